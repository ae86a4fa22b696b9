"""The study under the optimiser: plans made again and again from what the rack holds and what is expected to come.

The station of the study is asked as the live one is: packs, queue, running swaps. What comes is either expected (the
scenario's rates by hour) or foreseen (the very trucks of this replication), which no station can and a bench must.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal

import numpy as np

from battery_bms.pack.ahead import ChargeAhead
from battery_bms.pack.charge import Curve
from scheduler.guide import Guide, PriceRule
from scheduler.optimal.forecast import Rates, expected_at_h, stock_beyond_mean
from scheduler.optimal.plan import ChargePlan, NotBelieved, guides_of, make_plan
from scheduler.optimal.planner import GuideKeeper
from scheduler.optimal.problem import ChargeProblem, Site, Tier
from scheduler.optimal.slots import lengths_h, prices_of, slot_starts
from scheduler.optimal.solve import NotSolved, has_solver
from scheduler.optimal.stock import PackAhead, TruckAhead, Worth, visits_of
from scheduler.types import TariffSlice
from sim.scenario.demand import Arrival, HourlyRates, arrivals
from sim.scenario.file import Scenario
from sim.study.bays import is_active
from sim.study.rows import StudyPack, StudyTruck
from sim.study.station import Station

Foresight = Literal["expected", "own"]
Plan = Literal["rule", "optimal"]
"""Who guides the charging: the price rule, or the optimiser."""


_PATIENCE_S = 600.0
"""A study waits: how busy the machine is must not show in its results."""


class CannotPlan(Exception):
    """The optimiser cannot plan for a scenario; the message says why."""


def check_plannable(scenario: Scenario) -> None:
    """Whether the study can plan for a scenario. Raises CannotPlan."""
    if not has_solver():
        raise CannotPlan("the package highspy is not installed: pip install 'swapstation[optimal]'")
    if scenario.demand.mode != "profile":
        raise CannotPlan(f'demand.mode is "{scenario.demand.mode}"; plans need trucks by hour: "profile"')
    if scenario.equipment.swap_truck is not None:
        raise CannotPlan("equipment.swap_truck is set; plans are made for a rack that trucks come to")


@dataclass(frozen=True, slots=True)
class Habits:
    """How the study plans."""

    foresight: Foresight = "expected"
    every_min: float = 15.0
    """Between two plans."""
    horizon_h: float = 24.0
    cover_h: float = 0.5
    """Time in which more packs can be made ready: so long the stock must last."""


class StudyPlanner:
    """Plans for one station of the study; `attach` it before the station is built."""

    def __init__(self, scenario: Scenario, seed: int, replication: int, habits: Habits | None = None) -> None:
        self.habits = Habits() if habits is None else habits
        self.scenario = scenario
        self.plans = 0
        self.failed = 0
        """Of these, thrown away: the price rule charged."""
        self.newest: ChargePlan | None = None
        self._coming: Iterator[Arrival] = arrivals(scenario, scenario.start_at, seed, replication)
        self._seen: list[Arrival] = []
        self._rates = HourlyRates(scenario, scenario.start_at)
        self._next_s = -1.0
        self._laws: dict[int, tuple[Curve, ChargeAhead]] = {}
        self._swapping: list[StudyTruck] = []

    def attach(self, station: Station) -> None:
        """Plan for this station from now on."""
        self.station = station
        self._keeper = GuideKeeper(PriceRule(station.policy, tuple(station.specs)))
        station.planner = self
        station.listeners.append(self._on_truck)

    def _on_truck(self, at_s: float, event: str, truck: StudyTruck) -> None:
        if event == "dispatched":
            self._swapping.append(truck)
        elif event == "completed":
            self._swapping.remove(truck)

    def guide_at(self, at: datetime, prices: Sequence[TariffSlice]) -> Guide | None:
        """The guide of the newest plan; a new one is made when it is due."""
        now_s = self.station.time.now
        if now_s >= self._next_s:
            self._next_s = now_s + self.habits.every_min * 60
            self._plan(at, now_s)
        guide = self._keeper.guide_at(at, prices)
        due_at = self.station.start_at + timedelta(seconds=self._next_s)
        if guide is not None and guide.until_at > due_at:
            return Guide(due_at, guide.most_kw, guide.least_ready)
        return guide

    def _plan(self, at: datetime, now_s: float) -> None:
        problem, need = self.ask(at, now_s)
        self.plans += 1
        try:
            plan = self.newest = make_plan(problem, most_s=_PATIENCE_S)
        except (NotSolved, NotBelieved):
            self.failed += 1
            self._keeper.drop()
        else:
            self._keeper.adopt(at, guides_of(plan, need))

    # -- what is asked

    def ask(self, at: datetime, now_s: float) -> tuple[ChargeProblem, list[dict[str, int]]]:
        """The problem of an instant, and by slot the packs to spare below which nothing is held back."""
        station, habits = self.station, self.habits
        slices = station.world.tariff_from(now_s)
        horizon_h = min(habits.horizon_h, (slices[-1].until_at - at).total_seconds() / 3600)
        starts = slot_starts(at, horizon_h, [part.until_at for part in slices])
        price = prices_of(starts, slices)
        hours = lengths_h(starts)
        now = [station.world.at((start - station.start_at).total_seconds()).limits for start in starts[:-1]]
        first = now[0]
        chargers_kw = station.rack.modules * station.rack.charger_kw
        if station.policy.max_power_kw is not None:
            chargers_kw = min(chargers_kw, station.policy.max_power_kw)
        site = Site(
            price,
            np.array([limits.base_load_kw for limits in now]),
            np.array([max(limits.pv_kw, 0.0) for limits in now]),
            np.array([limits.import_limit_kw for limits in now]),
            chargers_kw=chargers_kw,
        )
        trucks, need = self._trucks(now_s, horizon_h, starts)
        spec = next(iter(station.specs.values()))
        mean_yuan = float(np.average(price, weights=hours))
        worth = Worth(
            mean_yuan / (first.charger_efficiency * spec.charge_efficiency),
            first.charger_efficiency,
            station.policy.min_setpoint_kw,
        )
        visits = visits_of(self._packs(now_s), trucks, horizon_h, worth)
        return ChargeProblem(at, hours, site, visits.stores), need

    def _law(self, curve: Curve) -> ChargeAhead:
        found = self._laws.get(id(curve))
        if found is None:
            found = self._laws[id(curve)] = (curve, ChargeAhead(curve, self.station.rack.charger_kw))
        return found[1]

    def _ahead(self, name: str, pack: StudyPack, from_h: float) -> PackAhead:
        policy, law = self.station.policy, self._law(pack.curve)
        return PackAhead(
            name,
            pack.kind.name,
            pack.energy_kwh,
            policy.offer_soc_pct / 100 * pack.capacity_kwh,
            policy.target_soc_pct / 100 * pack.capacity_kwh,
            law.power_kw,
            pack.curve.efficiency,
            law,
            from_h,
        )

    def _packs(self, now_s: float) -> list[PackAhead]:
        """Packs on their chargers, and those on their way from a truck into their bays."""
        rack = self.station.rack
        rack.settle_all()
        found = [
            self._ahead(bay.bay_id, bay.content, 0.0)
            for bay in rack.bays
            if bay.content is not None and is_active(bay.content)
        ]
        for truck in self._swapping:
            for share, seat in truck.stores[truck.stored :]:
                at_s = truck.start_s + truck.late_s + share * truck.swap_s
                spent = truck.spent[seat - 1]
                found.append(self._ahead(f"{truck.swap_id}.{seat}", spent, max(at_s - now_s, 0.0) / 3600))
        return found

    def _leaves(self, name: str, arrival: Arrival, at_h: float) -> tuple[PackAhead, ...]:
        """The packs of a truck that is called at `at_h`."""
        station = self.station
        model = station.models[arrival.model]
        kinds = station.trucks.packs_of(arrival.vehicle_id or "") or model.kinds
        found = []
        for seat, kind in enumerate(kinds):
            pack = station.kinds.pack(f"{name}.{seat}", kind, arrival.soc_pct[seat], 20.0)
            share = next(share for share, which in model.stores if which == seat + 1)
            found.append(self._ahead(pack.pack_id, pack, at_h + share * model.plan.nominal_s / 3600))
        return tuple(found)

    def _trucks(
        self, now_s: float, horizon_h: float, starts: Sequence[datetime]
    ) -> tuple[list[TruckAhead], list[dict[str, int]]]:
        """Those that wait, and those that are foreseen or expected."""
        station = self.station
        waiting = [
            TruckAhead(
                truck.swap_id,
                0.0,
                tuple(sorted(truck.accepts)),
                self._leaves(truck.swap_id, truck.details, 0.0),
                Tier.PROMISED,
            )
            for truck in station.queue
        ]
        if self.habits.foresight == "own":
            none = dict.fromkeys(station.specs, 0)
            return waiting + self._foreseen(now_s, horizon_h, len(waiting)), [none] * (len(starts) - 1)
        return self._expected(now_s, horizon_h, starts, waiting)

    def _foreseen(self, now_s: float, horizon_h: float, waiting: int) -> list[TruckAhead]:
        """The trucks of this replication, one after the other through the lanes."""
        until_s = now_s + horizon_h * 3600
        while not self._seen or self._seen[-1].at_s < until_s:
            self._seen.extend(islice(self._coming, 64))
        self._seen = [arrival for arrival in self._seen if arrival.at_s > now_s]
        station, found = self.station, []
        swap_h = {name: model.plan.nominal_s / 3600 for name, model in station.models.items()}
        usual_h = next(iter(swap_h.values()))
        busy = len(self._swapping)
        free_h = sorted(usual_h / 2 if number < busy else 0.0 for number in range(len(station.lanes)))
        for _ in range(waiting):
            free_h = sorted([free_h[0] + usual_h, *free_h[1:]])
        for number, arrival in enumerate(self._seen):
            if arrival.at_s >= until_s:
                break
            if not arrival.comes:
                continue
            at_h = max((arrival.at_s - now_s) / 3600, free_h[0])
            free_h = sorted([at_h + swap_h[arrival.model], *free_h[1:]])
            name = f"T{number}"
            accepts = tuple(sorted(station.models[arrival.model].accepts))
            found.append(TruckAhead(name, at_h, accepts, self._leaves(name, arrival, at_h)))
        return found

    def _expected(
        self, now_s: float, horizon_h: float, starts: Sequence[datetime], waiting: list[TruckAhead]
    ) -> tuple[list[TruckAhead], list[dict[str, int]]]:
        """Trucks at the scenario's rates, each fleet in its share, with the usual packs; and the stock beyond them."""
        station, habits, scenario = self.station, self.habits, self.scenario
        hour = int((now_s + self._rates.offset_s) // 3600)
        into_h = (now_s + self._rates.offset_s) / 3600 - hour
        per_h = [self._rates[hour + n] for n in range(int(horizon_h) + 3)]
        rates = _shifted(per_h, into_h)
        level = scenario.promise.target_share
        weights = np.array([float(f.vehicles) if f.weight is None else f.weight for f in scenario.fleets])
        share = np.cumsum(weights / weights.sum())
        found = []
        mean_h = expected_at_h(rates, horizon_h)
        for number, at_h in enumerate(mean_h):
            fleet = scenario.fleets[int(np.searchsorted(share, (number * 0.618034) % 1.0, side="right"))]
            model = station.models[fleet.model]
            soc = (fleet.arrive_soc.mean_pct,) * model.packs
            arrival = Arrival(now_s + at_h * 3600, fleet.id, fleet.model, None, soc)
            beyond = stock_beyond_mean(rates, at_h, habits.cover_h, level)
            needed_h = mean_h[number - beyond] if number >= beyond else 0.0
            name = f"E{number}"
            found.append(TruckAhead(name, needed_h, tuple(sorted(model.accepts)), self._leaves(name, arrival, at_h)))
        begin = starts[0]
        least = habits.every_min / 60
        need = []
        for start in starts[:-1]:
            at_h = (start - begin).total_seconds() / 3600
            count = stock_beyond_mean(rates, at_h, least, level)
            need.append(dict.fromkeys(station.specs, count))
        return waiting + found, need


def _shifted(per_h: Sequence[float], into_h: float) -> Rates:
    """Rates by whole hours, from a part of the first on: in steps of a quarter."""
    quarters = [per_h[int((n + 0.5) * 0.25 + into_h)] for n in range(4 * (len(per_h) - 1))]
    return Rates(quarters, 0.25)
