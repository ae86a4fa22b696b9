"""What a pack can take over a time that is planned ahead, as straight lines that lie below the truth.

Energy gained in a time at full power is a concave function of the energy at its start: constant below the taper,
exactly linear in it, curved where the taper begins within the time. Chords over the curved part lie below it, so a plan
within these lines can be carried out; in times of more than `_ONE_CHORD_H` there are two, to lie nearer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import inf

import numpy as np
from numpy.typing import NDArray

from battery_bms.pack.charge import SECONDS_PER_HOUR, Charge, Curve, curve_of
from battery_bms.pack.spec import PackSpec

_ONE_CHORD_H = 0.3


class ChargeAhead:
    """A pack of a curve on a charger of `power_kw`; satisfies `scheduler.optimal.outlook.PackLaw`."""

    __slots__ = ("curve", "power_kw")

    def __init__(self, curve: Curve, power_kw: float) -> None:
        self.curve = curve
        self.power_kw = min(power_kw, curve.max_kw)

    @property
    def capacity_kwh(self) -> float:
        """Energy of the full pack."""
        return self.curve.capacity_kwh

    @property
    def efficiency(self) -> float:
        """Energy stored ÷ energy at the charger's output."""
        return self.curve.efficiency

    def gain_lines(self, hours: NDArray[np.float64]) -> Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Offset and fall of the chords and of the taper, for each time; nothing where there is no taper."""
        curve = self.curve
        if curve.slope <= 0.0 or self.power_kw <= 0.0:
            return ()
        knee_kwh = curve.taper_from_kwh + (curve.max_kw - self.power_kw) / curve.slope
        end_kwh = knee_kwh + self.power_kw / curve.slope
        share = -np.expm1(-curve.decay_per_s * SECONDS_PER_HOUR * hours)
        straight_kwh = self.power_kw * curve.per_s * SECONDS_PER_HOUR * hours
        at_knee_kwh = (end_kwh - knee_kwh) * share
        half_kwh = straight_kwh / 2
        at_half_kwh = half_kwh + (end_kwh - knee_kwh) * -np.expm1(-curve.decay_per_s * SECONDS_PER_HOUR * hours / 2)
        two = hours > _ONE_CHORD_H
        # From full power throughout, by way of a taper from the middle of the time on, to taper from its start.
        drop_kwh = straight_kwh - np.where(two, at_half_kwh, at_knee_kwh)
        width_kwh = np.where(two, half_kwh, straight_kwh)
        first = np.divide(drop_kwh, width_kwh, out=np.zeros_like(hours), where=width_kwh > 0)
        last = np.divide(at_half_kwh - at_knee_kwh, half_kwh, out=np.zeros_like(hours), where=two)
        return (
            (straight_kwh + first * (knee_kwh - straight_kwh), first),
            (np.where(two, at_knee_kwh + last * knee_kwh, inf), last),
            (end_kwh * share, share),
        )

    def hours_to(self, from_kwh: float, to_kwh: float) -> float:
        """Hours at full power from one energy to another; 0 when there, inf when never."""
        if to_kwh <= from_kwh:
            return 0.0
        if self.power_kw <= 0.0:
            return inf
        return Charge(self.curve, 0.0, from_kwh, self.power_kw).instant_of(to_kwh) / SECONDS_PER_HOUR

    def energy_after(self, from_kwh: float, hours: float) -> float:
        """Energy after some time at full power."""
        return Charge(self.curve, 0.0, from_kwh, self.power_kw).energy_kwh(hours * SECONDS_PER_HOUR)


@lru_cache(maxsize=1024)
def _law(spec: PackSpec, soh_pct: float, charger_kw: float) -> ChargeAhead:
    """One for all packs that follow it: the program is built law by law."""
    return ChargeAhead(curve_of(spec, soh_pct), charger_kw)


def laws_of(specs: Mapping[str, PackSpec]) -> Callable[[str, float, float], ChargeAhead]:
    """The law of a kind by name, a state of health in %, and a charger's kW."""
    return lambda kind, soh_pct, charger_kw: _law(specs[kind], soh_pct, charger_kw)
