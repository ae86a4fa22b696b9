"""Stationary storage in the study: the decision of `scheduler.storage`, moved on the clock of events.

Between two changes of load, limits or price the storage either keeps its power or holds the import at a value
and follows the load. Either way its energy is known in advance: the load can only fall, along the tapers of the
packs, and its energy is the chargers' own closed form. So the instants at which something ends are found, not
looked for: full, empty, at the reserve, or the load has fallen to where another rule applies.

A scenario with `storage.power_kw` is accounted for by instants, whatever the size of its storage; one without
has none of this and nets sun and load within each hour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf

from scheduler.site import StorageSection
from scheduler.storage import plan_storage, support_kw
from scheduler.types import SiteLimits, TariffSlice
from sim.study.agenda import Agenda, Call
from sim.study.rack import StudyRack
from sim.world.world import WorldNow

LEVEL_TOLERANCE_KW = 1e-6
"""A load so close to a level has reached it."""
TIME_TOLERANCE_S = 1e-7
ENERGY_TOLERANCE_KWH = 1e-9


@dataclass(slots=True)
class SiteFlows:
    """Energy of the site over a span, AC, kWh. import + pv_used + out = into the chargers + base load + in."""

    import_kwh: float = 0.0
    pv_used_kwh: float = 0.0
    in_kwh: float = 0.0
    """Into the storage, at the grid's side."""
    out_kwh: float = 0.0
    """Out of the storage, at the grid's side."""
    without_kwh: float = 0.0
    """Import of the same load at the same instants without the storage."""
    stored_kwh: float = 0.0
    """In the storage at the end of the span."""


class SiteStorage:
    """The storage of one station.

    It starts empty.

    Args:
        tariff_from: slices of the next day from an instant on, seconds from the start.
    """

    def __init__(
        self,
        time: Agenda,
        rack: StudyRack,
        section: StorageSection,
        start_at: datetime,
        tariff_from: Callable[[float], Sequence[TariffSlice]],
    ) -> None:
        self.time = time
        self.rack = rack
        self.section = section
        self.start_at = start_at
        self.capacity_kwh = section.energy_kwh
        self.rating_kw = section.rating_kw
        self.one_way = section.one_way_efficiency
        self.energy_kwh = 0.0
        self.power_kw = 0.0
        """Set-point at the last decision: charge (positive) or discharge (negative)."""
        self.held_kw: float | None = None
        """Import that it holds by following the load; None: it keeps `power_kw`."""
        self.support_kw = 0.0
        """What the charging plan may count on."""
        self.flows = SiteFlows()
        self.decisions = 0
        self._tariff_from = tariff_from
        self._tariff: Sequence[TariffSlice] = ()
        self._world: WorldNow | None = None
        self._since_s = time.now
        self._drawn_kwh = self._drawn_until_kwh(time.now)
        self._end_call: Call | None = None
        self._waiting = False

    # -- what the station tells

    def new_world(self, world: WorldNow) -> SiteLimits:
        """Prices, sun and limits from now on; gives the limits that charging is planned with."""
        self.settle()
        self._world = world
        self._tariff = self._tariff_from(self.time.now)
        self.load_changed()
        return replace(world.limits, storage_kw=self.support_kw)

    def load_changed(self) -> None:
        """The chargers draw something else from now on; decided anew when all of this instant has happened."""
        if not self._waiting:
            self._waiting = True
            self.time.at(self.time.now, self._on_changed)

    def take_flows(self) -> SiteFlows:
        """What flowed since this was last asked."""
        self.settle()
        flows, self.flows = self.flows, SiteFlows()
        flows.stored_kwh = self.energy_kwh
        return flows

    # -- the load

    def load_kw(self, at_s: float) -> float:
        """What the chargers draw (AC) at an instant if nothing happens until then."""
        output_kw = sum(bay.charge.power_kw(at_s) for bay in self.rack.bays if bay.charge is not None)
        return output_kw / self.rack.limits.charger_efficiency

    def _first_full_s(self) -> float:
        """When the first pack reaches its target: the load changes then in any case."""
        target_pct = self.rack.policy.target_soc_pct
        return min(
            (
                bay.charge.instant_of(target_pct / 100 * bay.content.capacity_kwh)
                for bay in self.rack.bays
                if bay.charge is not None and bay.content is not None
            ),
            default=inf,
        )

    def import_kw(self) -> float:
        """What the site draws from the grid now; below 0 for sun that nobody takes."""
        need_kw = self._need_kw(self.time.now)
        return self.held_kw if self.held_kw is not None else need_kw + self.power_kw

    def _need_kw(self, at_s: float) -> float:
        assert self._world is not None
        limits = self._world.limits
        return self.load_kw(at_s) + limits.base_load_kw - limits.pv_kw

    def _drawn_until_kwh(self, at_s: float) -> float:
        """Energy that the chargers drew (AC) from the start to an instant not before the last event."""
        drawn_kwh = self.rack.drawn_kwh
        for bay in self.rack.bays:
            charge, pack = bay.charge, bay.content
            if charge is not None and pack is not None:
                drawn_kwh += (charge.energy_kwh(at_s) - pack.energy_kwh) / charge.curve.efficiency
        return drawn_kwh / self.rack.limits.charger_efficiency

    def _span(self, at_s: float) -> tuple[float, float]:
        """Energy that the site needs, and that the storage takes (below 0: gives), from the last event to `at_s`."""
        assert self._world is not None
        limits = self._world.limits
        hours = (at_s - self._since_s) / 3600
        need_kwh = self._drawn_until_kwh(at_s) - self._drawn_kwh + (limits.base_load_kw - limits.pv_kw) * hours
        taken_kwh = self.power_kw * hours if self.held_kw is None else self.held_kw * hours - need_kwh
        return need_kwh, taken_kwh

    def _stored_kwh(self, at_s: float) -> float:
        """Energy stored at an instant if nothing happens until then."""
        taken_kwh = self._span(at_s)[1]
        return self.energy_kwh + (taken_kwh * self.one_way if taken_kwh > 0 else taken_kwh / self.one_way)

    # -- on the clock

    def settle(self) -> None:
        """Account for what flowed since the last event. Signs do not change in between."""
        now_s = self.time.now
        if self._world is None or now_s <= self._since_s:
            return
        need_kwh, taken_kwh = self._span(now_s)
        flows, pv_kwh = self.flows, self._world.limits.pv_kw * (now_s - self._since_s) / 3600
        grid_kwh = need_kwh + taken_kwh
        flows.import_kwh += max(grid_kwh, 0.0)
        flows.pv_used_kwh += pv_kwh + min(grid_kwh, 0.0)
        flows.without_kwh += max(need_kwh, 0.0)
        self.energy_kwh = self._stored_kwh(now_s)
        if taken_kwh > 0:
            flows.in_kwh += taken_kwh
        else:
            flows.out_kwh -= taken_kwh
        self._since_s = now_s
        self._drawn_kwh = self._drawn_until_kwh(now_s)

    def _on_changed(self, call: Call) -> None:
        self._decide()
        self._waiting = False

    def _on_end(self, call: Call) -> None:
        """Full, empty, at the reserve, or the load is at a level."""
        self._end_call = None
        self.load_changed()

    def _decide(self) -> None:
        self.settle()
        assert self._world is not None
        self.decisions += 1
        now_s, limits = self.time.now, self._world.limits
        can_kw = support_kw(self.energy_kwh, self.rating_kw)
        if can_kw != self.support_kw:
            self.support_kw = can_kw
            rack = self.rack
            rack.settle_all()
            rack.set_world(replace(limits, storage_kw=can_kw), rack.guide, rack.ambient_c)
        limit_kw = limits.import_limit_kw
        at = self.start_at + timedelta(seconds=now_s)
        load_kw = self.load_kw(now_s)
        view = self.section.view(at, limits, self.energy_kwh, load_kw, chargers_short=self.rack.short)
        plan = plan_storage(view, self._tariff)
        self.power_kw = plan.power_kw
        self.held_kw = plan.held_import_kw(limit_kw)
        self._time_end(plan.until_kwh, limit_kw)

    def _time_end(self, until_kwh: float, limit_kw: float) -> None:
        """Put the instant on the list at which this set-point ends by itself."""
        if self._end_call is not None:
            self._end_call.drop()
            self._end_call = None
        assert self._world is not None
        now_s = self.time.now
        last_s = min(self._world.until_s, self._first_full_s())
        need_kw = self._need_kw(now_s)
        # Where the import with or without the storage or the storage's power changes its sign, where that reaches
        # its rating, where there is room below the limit.
        levels_kw = [0.0, limit_kw]
        levels_kw += [-self.power_kw] if self.held_kw is None else [self.held_kw, self.held_kw - self.rating_kw]
        below_kw = [level for level in levels_kw if level < need_kw - LEVEL_TOLERANCE_KW]
        end_s = inf
        if last_s <= now_s:
            return
        if below_kw and self._need_kw(last_s) <= (level_kw := max(below_kw)):
            end_s = last_s = _first_s(lambda at_s: self._need_kw(at_s) <= level_kw, now_s, last_s)
        if self.power_kw or self.held_kw is not None:
            end_s = min(end_s, self._reaches_s(until_kwh, now_s, last_s))
        if end_s < inf:
            self._end_call = self.time.at(end_s, self._on_end)

    def _reaches_s(self, goal_kwh: float, now_s: float, last_s: float) -> float:
        """When the energy stored reaches a value, not after `last_s`; inf when it does not."""
        rising = goal_kwh > self.energy_kwh

        def reached(at_s: float) -> bool:
            stored_kwh = self._stored_kwh(at_s)
            return stored_kwh >= goal_kwh if rising else stored_kwh <= goal_kwh

        if not reached(last_s):
            return inf
        rate_kw = self.power_kw * self.one_way if rising else self.power_kw / self.one_way
        if rate_kw:
            # Exact where the power does not change until then.
            straight_s = now_s + (goal_kwh - self.energy_kwh) / rate_kw * 3600
            if now_s <= straight_s <= last_s and abs(self._stored_kwh(straight_s) - goal_kwh) < ENERGY_TOLERANCE_KWH:
                return straight_s
        return _first_s(reached, now_s, last_s)


def _first_s(reached: Callable[[float], bool], from_s: float, until_s: float) -> float:
    """The first instant at which something holds that holds at `until_s` and from then on."""
    while until_s - from_s > TIME_TOLERANCE_S:
        middle_s = (from_s + until_s) / 2
        if not from_s < middle_s < until_s:
            break
        if reached(middle_s):
            until_s = middle_s
        else:
            from_s = middle_s
    return until_s
