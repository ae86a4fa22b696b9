"""Absorbing: for a time the import is raised to a floor, as far as packs can take it. Pure.

A floor is a wish, as every guide is: what holds packs back for its price lets go of so much power as the floor needs.
No hard limit and no promise gives way to it, and whoever needs power more urgently has it first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from scheduler.charging import is_known
from scheduler.guide import Guide, Planner, until
from scheduler.types import SiteLimits, TariffSlice


@dataclass(frozen=True, slots=True)
class ImportFloor:
    """From `from_at` to `until_at` at least `floor_kw` are to be imported."""

    from_at: datetime
    until_at: datetime
    floor_kw: float


def floor_at(floors: Sequence[ImportFloor], at: datetime) -> float:
    """The highest floor of those that run, kW; 0 where none does."""
    return max((one.floor_kw for one in floors if one.from_at <= at < one.until_at), default=0.0)


def output_for_import_kw(limits: SiteLimits, import_kw: float) -> float:
    """What the chargers put out where the site imports so much, kW, at least 0.

    As `scheduler.charging.budget` does, the meter counts where it says something: what is measured without the
    chargers is all the rest of the site. Of a site that is not known nothing is asked: 0.
    """
    if not is_known(limits):
        return 0.0
    measured_kw, charging_kw = limits.measured_import_kw, limits.charging_kw
    rest_kw = limits.base_load_kw - limits.pv_kw
    if measured_kw is not None and charging_kw is not None and isfinite(measured_kw) and isfinite(charging_kw):
        rest_kw = measured_kw - charging_kw / limits.charger_efficiency
    return max((import_kw - rest_kw) * limits.charger_efficiency, 0.0)


def raised(
    guide: Guide | None, floors: Sequence[ImportFloor], at: datetime, output_kw: Callable[[float], float]
) -> Guide | None:
    """A guide that holds back no more than the floors leave; it ends where one of them begins or ends.

    The power of single packs does not count where the guide is raised: the most urgent take it first.

    Args:
        output_kw: of the chargers, by import.
    """
    edges = [edge for one in floors for edge in (one.from_at, one.until_at) if at < edge]
    if guide is None or not floors:
        return guide
    end_at = min([guide.until_at, *edges])
    floor_kw = floor_at(floors, at)
    if floor_kw > 0.0:
        most_kw = output_kw(floor_kw)
        if guide.most_kw < most_kw:
            return Guide(end_at, most_kw, guide.least_ready, None, guide.reach_h)
    return guide if end_at == guide.until_at else until(guide, end_at)


class RaisedPlanner:
    """A planner whose guides are raised to floors.

    Args:
        output_kw: of the chargers, by import.
    """

    def __init__(self, planner: Planner, floors: Sequence[ImportFloor], output_kw: Callable[[float], float]) -> None:
        self._planner, self._floors, self._output_kw = planner, floors, output_kw

    def guide_at(self, at: datetime, prices: Sequence[TariffSlice]) -> Guide | None:
        """The planner's guide, raised."""
        return raised(self._planner.guide_at(at, prices), self._floors, at, self._output_kw)
