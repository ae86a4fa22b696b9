"""Section of a scenario about what its numbers may be: ranges for `swap simulate --uncertainty`."""

from __future__ import annotations

from math import exp, log, sqrt
from statistics import NormalDist
from typing import Literal

from pydantic import Field, model_validator

from sim.scenario.base import ScenarioSection

_P95 = NormalDist().inv_cdf(0.95)
LEAST_FACTOR = 0.05


class RangeSection(ScenarioSection):
    """What an input may be, as a factor on the scenario's value or as a difference from it."""

    kind: Literal["uniform", "triangular", "normal", "lognormal"] = "triangular"
    """uniform, triangular: between `low` and `high`. normal, lognormal: 5 % lie below `low`, 5 % above `high`."""
    low: float = Field(ge=-100, le=100)
    """Low end, where the tornado looks too."""
    mode: float | None = Field(default=None, ge=-100, le=100)
    """Most frequent value (triangular); the middle when not given."""
    high: float = Field(ge=-100, le=100)
    """High end."""

    @model_validator(mode="after")
    def _ordered(self) -> RangeSection:
        if self.low > self.high:
            raise ValueError(f"low = {self.low:g} is above high = {self.high:g}")
        if self.mode is not None and (self.kind != "triangular" or not self.low <= self.mode <= self.high):
            raise ValueError(f"mode = {self.mode:g}: only with kind = 'triangular', from {self.low:g} to {self.high:g}")
        if self.kind == "lognormal" and self.low <= 0:
            raise ValueError(f"low = {self.low:g}: allowed above 0 with kind = 'lognormal'")
        return self

    def at(self, share: float) -> float:
        """The value that a share of 0…1 of all draws stays below."""
        low, high = self.low, self.high
        if self.kind == "uniform" or low == high:
            return low + (high - low) * share
        if self.kind == "triangular":
            mode = (low + high) / 2 if self.mode is None else self.mode
            below = (mode - low) / (high - low)
            if share < below:
                return low + sqrt(share * (high - low) * (mode - low))
            return high - sqrt((1 - share) * (high - low) * (high - mode))
        off = NormalDist().inv_cdf(min(max(share, 1e-12), 1 - 1e-12)) / _P95
        if self.kind == "normal":
            return (low + high) / 2 + off * (high - low) / 2
        return exp((log(low) + log(high)) / 2 + off * (log(high) - log(low)) / 2)


class FactorRange(RangeSection):
    """A factor on the scenario's value; no draw is below 0.05."""

    low: float = Field(ge=LEAST_FACTOR, le=10)
    """Low end, where the tornado looks too."""
    mode: float | None = Field(default=None, ge=LEAST_FACTOR, le=10)
    """Most frequent value (triangular); the middle when not given."""
    high: float = Field(ge=LEAST_FACTOR, le=10)
    """High end."""

    def at(self, share: float) -> float:
        """The factor that a share of 0…1 of all draws stays below."""
        return max(super().at(share), LEAST_FACTOR)


class UncertaintySection(ScenarioSection):
    """Ranges of the inputs that are drawn by `swap simulate --uncertainty N`; with none given demand, price, state of
    charge on arrival and failures are drawn from assumed ranges."""

    demand: FactorRange | None = None
    """Factor on the trucks that come."""
    price: FactorRange | None = None
    """Factor on the energy price, adders aside."""
    arrive_soc: RangeSection | None = None
    """Points of state of charge more on arrival."""
    failures: FactorRange | None = None
    """Factor on how often robots and modules fail and packs are set aside."""
    repair: FactorRange | None = None
    """Factor on the times of repair and inspection."""
    swap_time: FactorRange | None = None
    """Factor on the lane time of a swap."""
    warmth: RangeSection | None = None
    """Degrees Celsius more outside."""
    soh: RangeSection | None = None
    """Points of state of health more."""
    trip_energy: FactorRange | None = None
    """Factor on the energy of trips."""
    convoys: FactorRange | None = None
    """Factor on the share of convoys."""
    bookings: FactorRange | None = None
    """Factor on the share that books."""
    patience: FactorRange | None = None
    """Factor on how long trucks wait before they leave."""
    charger_power: FactorRange | None = None
    """Factor on the output of a charging module."""
    transformer: FactorRange | None = None
    """Factor on the transformer's rating."""
    sun: FactorRange | None = None
    """Factor on the full-load hours of photovoltaics."""
    demand_response: FactorRange | None = None
    """Factor on what demand response leaves."""
    pack_price: FactorRange | None = None
    """Factor on the price of packs."""
    interest: RangeSection | None = None
    """Points of interest more: 1 is from 5 to 6 %."""
