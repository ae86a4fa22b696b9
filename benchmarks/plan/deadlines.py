"""Two ways of charging that know deadlines and no price: earliest deadline first, least laxity first.

Trucks are expected at the mean instants of the scenario's rates, those of the queue now; each next one takes the pack
that is ready next. Where the site's power is short, the packs with the earliest deadline, or with the least time to
spare before it, have full power, and the others wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from scheduler.charging import budget, claim, in_line, lacks_h
from scheduler.guide import Guide
from scheduler.optimal.forecast import Rates, expected_at_h
from scheduler.rows import BayRow
from scheduler.types import PackState, TariffSlice
from sim.scenario.demand import HourlyRates
from sim.scenario.file import Scenario
from sim.study.station import Station

Order = Literal["deadline", "laxity"]
EVERY = timedelta(minutes=2)
AHEAD_H = 12


class Deadlines:
    """A planner that gives the site's power to packs by their deadlines; `attach` it before the station is built."""

    def __init__(self, scenario: Scenario, order: Order) -> None:
        self._rates = HourlyRates(scenario, scenario.start_at)
        self._order = order
        self.plans = self.failed = 0

    def attach(self, station: Station) -> None:
        """Charge this station so from now on."""
        self.station = station
        station.planner = self

    def guide_at(self, at: datetime, prices: Sequence[TariffSlice]) -> Guide | None:
        """Full power for the packs that come first."""
        station, policy, until_at = self.station, self.station.policy, at + EVERY
        station.rack.settle_all()
        bays = list[BayRow](station.rack.bays)
        for bay in bays:
            claim(bay, policy)
        line = [bay for bay in in_line([bay for bay in bays if bay.setpoint_kw > 0]) if bay.pack is not None]
        left_kw, _ = budget(station.world.at(station.time.now).limits, policy)
        if sum(bay.setpoint_kw for bay in line) <= left_kw:
            return None
        ready = sum(bay.pack is not None and bay.pack.state is PackState.READY for bay in bays)
        due_h = self._due_h(station.time.now, len(bays))
        below = [bay for bay in line if not bay.at_offer]
        rank = {bay.bay_id: due_h[ready + place] for place, bay in enumerate(below)}

        def first(bay_id: str, lacks: float) -> float:
            return rank[bay_id] - (lacks if self._order == "laxity" else 0.0)

        below.sort(key=lambda bay: (first(bay.bay_id, lacks_h(bay)), bay.position))
        pack_kw: dict[str, float] = {}
        for bay in (*below, *(bay for bay in line if bay.at_offer)):
            assert bay.pack is not None
            kw = min(bay.setpoint_kw, left_kw)
            pack_kw[bay.pack.pack_id] = kw
            left_kw -= kw
        return Guide(until_at, sum(pack_kw.values()) + left_kw, dict.fromkeys(station.specs, -len(bays) * 100), pack_kw)

    def _due_h(self, now_s: float, packs: int) -> list[float]:
        """When the first, the second, the third … ready pack is wanted: hours from now."""
        into_h = (now_s + self._rates.offset_s) / 3600
        hours = [self._rates[int(into_h) + n] for n in range(AHEAD_H + 1)]
        quarters = [hours[int((n + 0.5) * 0.25 + into_h % 1)] for n in range(4 * AHEAD_H)]
        expected = expected_at_h(Rates(quarters, 0.25), AHEAD_H)
        due_h = [0.0] * len(self.station.queue) + expected
        return due_h + [float(AHEAD_H)] * max(2 * packs - len(due_h), 0)
