"""Station files by chance for the twin: all that may differ between two stations, small enough to be run in seconds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any

from hypothesis import strategies as st

from scheduler.guide import Guide
from scheduler.types import TariffSlice
from sim.scenario.file import Scenario
from swap.config.station_file import StationConfig
from tests.support.sim.twin import twin_scenario, twin_station

HOURS = 0.5


class AnyGuides:
    """A planner that neither side has seen: legal guides by chance, each for a piece of the day."""

    def __init__(self, seed: int, kinds: Sequence[str], piece_s: int) -> None:
        self._seed, self._kinds, self._piece_s = seed, kinds, piece_s
        self.given_kw: set[float] = set()
        """Powers of the guides that were given."""

    def guide_at(self, at: datetime, prices: Sequence[TariffSlice]) -> Guide:
        number = int(at.timestamp()) // self._piece_s
        draw = random.Random(self._seed * 1_000_000 + number)
        most_kw = draw.choice([0.0, 60.0, 150.0, 260.0, inf])
        self.given_kw.add(most_kw)
        until_at = datetime.fromtimestamp((number + 1) * self._piece_s, UTC)
        ready = {kind: draw.randint(0, 2) for kind in self._kinds}
        near = [kind for kind in self._kinds if draw.random() < 0.4]
        reach_h = {kind: sorted(draw.choice([0.0, 0.1, 0.5, 2.0]) for _ in range(draw.randint(0, 4))) for kind in near}
        return Guide(until_at, most_kw, ready, reach_h=reach_h)


@dataclass(frozen=True)
class Drawn:
    """One station with its day."""

    seed: int
    lanes: int
    in_out: bool
    seats: int
    packs: int
    spare_bays: int
    kinds: int
    takes_all: bool
    healths_pct: tuple[float, ...]
    outside_c: float
    heated: bool
    cooled: bool
    charger_efficiency: float
    transformer_kva: float
    has_meter: bool
    pv_kw: float
    storage_kw: float
    dr_kw: float
    equal: bool
    rack_kw: float | None
    booked: float
    reserve_ready: int
    from_hour: float
    trucks_per_hour: float
    guided: bool
    unattended: bool = False
    """The shift ends after a quarter of an hour, and one person attends one lane from then on."""
    odd: int = field(default=0)
    """1: a charger unlike the others, 2: a lane with another order."""

    def station(self) -> StationConfig:
        """The station file."""
        lanes = max(self.lanes, 2) if self.odd == 2 else self.lanes
        order, other = ("in_out", "out_in") if self.in_out else ("out_in", "in_out")
        packs = max(self.packs, self.seats * self.kinds)
        bays = packs + (self.spare_bays if self.in_out else max(self.spare_bays, lanes) * self.seats)
        site: dict[str, Any] = {"charger_efficiency": self.charger_efficiency}
        if not self.has_meter:
            site["meter"] = None
        if self.pv_kw:
            site["pv"] = {"address": {"port": 15901}, "peak_kw": self.pv_kw}
        if self.storage_kw:
            site["storage"] = {"address": {"port": 15902}, "energy_kwh": self.storage_kw, "power_kw": self.storage_kw}
            site["storage"]["efficiency"] = 0.85
        if self.dr_kw:
            event = {"from_hour": int(self.from_hour * 60 + 10) / 60, "hours": 0.25, "limit_kw": self.dr_kw}
            site["demand_response"] = [event]
        kinds: list[dict[str, Any]] = [
            {"rated_kwh": 141},
            {"rated_kwh": 100, "max_charge_kw": 200, "taper_from_soc_pct": 85},
            {"rated_kwh": 120, "max_charge_kw": 240, "taper_end_share": 0.5, "charge_efficiency": 0.94},
        ]
        return twin_station(
            lanes=lanes,
            bays=bays,
            packs=packs,
            seats=self.seats,
            trucks=12 * lanes,
            swap_order=order,
            transformer_kva=self.transformer_kva,
            healths_pct=self.healths_pct,
            kinds=kinds[: self.kinds],
            takes_all=self.takes_all,
            site=site,
            bay=lambda number: {"charger_kw": 180} if self.odd == 1 and number == 1 else {},
            lane=lambda number: {"swap_order": other} if self.odd == 2 and number == 2 else {},
            sharing="equal" if self.equal else "order",
            max_power_kw=self.rack_kw,
            reserve_ready=self.reserve_ready,
        )

    def scenario(self, config: StationConfig) -> Scenario:
        """The scenario of that station."""
        climate = {
            "mean_c_by_month": [self.outside_c] * 12,
            "swing_c": 0,
            "rack_min_c": 12 if self.heated else None,
            "rack_max_c": 25 if self.cooled else None,
            "pack_min_c": -30,
        }
        over: dict[str, Any] = {"climate": climate, "bookings": {"share": self.booked}}
        if self.unattended:
            ends_min = int(self.from_hour * 60) + 15
            shift = {"from_hour": ((ends_min - 480) % 1440) / 60, "hours": 8, "people": len(config.lanes)}
            single = {"from_hour": (ends_min % 1440) / 60, "hours": 8, "people": 1}
            over["staff"] = {"shifts": [shift, single]}
        return twin_scenario(config, self.trucks_per_hour, **over)

    def planner(self) -> AnyGuides | None:
        """Who guides the charging; None: the price rule."""
        return AnyGuides(self.seed, ["lfp", "lfp2", "lfp3"][: self.kinds], 330) if self.guided else None


def _one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


DRAWS = st.builds(
    Drawn,
    seed=st.integers(1, 10_000),
    lanes=_one_of(2, 1, 3),
    in_out=_one_of(False, False, True),
    seats=_one_of(1, 1, 1, 2),
    packs=st.integers(3, 6),
    spare_bays=st.integers(1, 3),
    kinds=st.integers(1, 3),
    takes_all=st.booleans(),
    healths_pct=st.lists(st.floats(60, 100), min_size=1, max_size=5).map(tuple),
    outside_c=st.floats(-20, 40),
    heated=st.booleans(),
    cooled=st.booleans(),
    charger_efficiency=_one_of(0.94, 0.9, 1.0),
    transformer_kva=_one_of(2000, 600, 350, 200),
    has_meter=st.booleans(),
    pv_kw=_one_of(0, 300),
    storage_kw=_one_of(0, 150),
    dr_kw=_one_of(0, 0, 120, 250),
    equal=st.booleans(),
    rack_kw=_one_of(None, None, None, 300),
    booked=_one_of(0.0, 0.0, 0.5),
    reserve_ready=st.integers(0, 3),
    from_hour=_one_of(10.5, 2.0, 17.75, 23.5),
    trucks_per_hour=st.floats(8, 30),
    guided=_one_of(False, False, True),
    unattended=_one_of(False, False, True),
    odd=_one_of(*[0] * 40, 1, 2),
)
"""Stations by chance."""


FOUND = (
    # A truck comes back with packs of another kind than its model's first.
    Drawn(
        seed=61,
        lanes=3,
        in_out=False,
        seats=1,
        packs=6,
        spare_bays=1,
        kinds=2,
        takes_all=True,
        healths_pct=(97.9, 70.6, 95.0, 86.6, 100.0),
        outside_c=8.8,
        heated=True,
        cooled=True,
        charger_efficiency=0.9,
        transformer_kva=2000,
        has_meter=False,
        pv_kw=0,
        storage_kw=150,
        dr_kw=250,
        equal=False,
        rack_kw=300,
        booked=0.5,
        reserve_ready=0,
        from_hour=17.75,
        trucks_per_hour=12.8,
        guided=True,
        unattended=False,
        odd=0,
    ),
    # Two lanes at work at once, looked at between each other's looks.
    Drawn(
        seed=1853,
        lanes=3,
        in_out=True,
        seats=2,
        packs=6,
        spare_bays=2,
        kinds=1,
        takes_all=True,
        healths_pct=(71.3, 60.0, 100.0, 76.9, 64.4),
        outside_c=31.9,
        heated=True,
        cooled=False,
        charger_efficiency=0.9,
        transformer_kva=600,
        has_meter=True,
        pv_kw=0,
        storage_kw=150,
        dr_kw=250,
        equal=False,
        rack_kw=None,
        booked=0.0,
        reserve_ready=1,
        from_hour=10.5,
        trucks_per_hour=29.0,
        guided=True,
        unattended=False,
        odd=0,
    ),
    # A hot day: packs reach their limit of temperature on the charger.
    Drawn(
        seed=1611,
        lanes=1,
        in_out=True,
        seats=2,
        packs=6,
        spare_bays=3,
        kinds=1,
        takes_all=False,
        healths_pct=(70.6, 60.0, 90.7),
        outside_c=37.6,
        heated=True,
        cooled=False,
        charger_efficiency=0.9,
        transformer_kva=200,
        has_meter=False,
        pv_kw=300,
        storage_kw=0,
        dr_kw=0,
        equal=False,
        rack_kw=300,
        booked=0.5,
        reserve_ready=1,
        from_hour=2.0,
        trucks_per_hour=30.0,
        guided=False,
        unattended=True,
        odd=0,
    ),
)
"""Stations on which the two sides once differed."""
