"""The study under the optimiser: plans made again and again from what the rack holds and what is expected to come.

The station of the study is asked as the live one is: packs, queue, running swaps. What comes is expected (the
scenario's rates by hour), learned from four weeks of record as the live station learns, or foreseen (the very trucks
of this replication), which no station can and a bench must.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Literal

from battery_bms.pack.ahead import laws_of
from scheduler.guide import Guide, PriceRule, until
from scheduler.optimal.forecast import Rates
from scheduler.optimal.learned import RECORD, CamePack, CameTruck, LearnedTrucks, TruckForecast
from scheduler.optimal.outlook import (
    HORIZON,
    Forecast,
    KnownTruck,
    Modules,
    Outlook,
    SpentPack,
    TruckShare,
    task_of,
    through_lanes,
)
from scheduler.optimal.plan import ChargePlan, NotBelieved, guides_of, make_plan
from scheduler.optimal.planner import GuideKeeper
from scheduler.optimal.problem import Tier
from scheduler.optimal.solve import NotSolved, has_solver
from scheduler.rows import BayRow
from scheduler.types import Plan, SiteLimits, TariffSlice
from sim.scenario.demand import Arrival, HourlyRates, arrivals
from sim.scenario.expected import spread
from sim.scenario.file import Scenario
from sim.scenario.notes import Note
from sim.study.layout import Model
from sim.study.rows import StudyTruck
from sim.study.station import Station
from swap.words import N_

Foresight = Literal["expected", "learned", "own"]
_OTHERS = 1000
"""Replications of the record are so far from those of the study."""
_PATIENCE_S = 600.0
"""A study waits: how busy the machine is must not show in its results."""


class CannotPlan(Exception):
    """The optimiser cannot plan for a scenario; the message says why."""


def check_plannable(scenario: Scenario) -> None:
    """Whether the study can charge as a scenario says. Raises CannotPlan."""
    if scenario.charging.plan == "rule":
        return
    if not has_solver():
        raise CannotPlan("the package highspy is not installed: pip install 'swapstation[optimal]'")
    if scenario.demand.mode != "profile":
        raise CannotPlan(f'demand.mode is "{scenario.demand.mode}"; plans need trucks by hour: "profile"')
    if scenario.equipment.swap_truck is not None:
        raise CannotPlan("equipment.swap_truck is set; plans are made for a rack that trucks come to")


def under_plan(scenario: Scenario, plan: Plan) -> Scenario:
    """The scenario with another planner."""
    if scenario.charging.plan == plan:
        return scenario
    return scenario.model_copy(update={"charging": scenario.charging.model_copy(update={"plan": plan})})


def under_rule(scenario: Scenario) -> tuple[Scenario, tuple[Note, ...]]:
    """The scenario for a study that cannot plan: under the price rule, and what is to be said of that."""
    if scenario.charging.plan == "rule":
        return scenario, ()
    text = N_('the price rule charges here: [charging] plan = "optimal" is left out')
    return under_plan(scenario, "rule"), (Note(text),)


@dataclass(frozen=True, slots=True)
class Habits:
    """How the study plans."""

    foresight: Foresight = "expected"
    every_min: float = 60.0
    """Between two plans. The live station plans each `scheduler.optimal.outlook.EVERY`; a study takes a fifth of that
    time, and `make bench BENCH=charging` prints what the difference costs (about 0.2 % of the energy)."""
    horizon_h: float = HORIZON.total_seconds() / 3600
    level: float | None = None
    """Share of draws of trucks for which packs are kept near ready; None: the share that the scenario promises."""


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
        self._came = self._record(seed, replication) if self.habits.foresight == "learned" else []
        self._next_s = -1.0
        self._swapping: list[StudyTruck] = []

    def attach(self, station: Station) -> None:
        """Plan for this station from now on."""
        self.station = station
        self._laws = laws_of(station.specs)
        self._keeper = GuideKeeper(PriceRule(station.policy, tuple(station.specs)))
        station.planner = self
        station.listeners.append(self._on_truck)

    def _on_truck(self, at_s: float, event: str, truck: StudyTruck) -> None:
        if event == "dispatched":
            self._swapping.append(truck)
            if self.habits.foresight == "learned":
                self._came.append(self._as_came(truck.details, self.scenario.start_at))
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
            return until(guide, due_at)
        return guide

    def _plan(self, at: datetime, now_s: float) -> None:
        task = task_of(self.outlook(at, now_s))
        self.plans += 1
        try:
            plan = self.newest = make_plan(task.problem, most_s=_PATIENCE_S)
        except (NotSolved, NotBelieved):
            self.failed += 1
        else:
            self._keeper.adopt(at, guides_of(plan, task.reach, task.packs))

    # -- what is known

    def outlook(self, at: datetime, now_s: float) -> Outlook:
        """What the station holds and expects at an instant."""
        station, rack = self.station, self.station.rack
        rack.settle_all()
        until_s = now_s + self.habits.horizon_h * 3600

        def limits_at(instant: datetime) -> SiteLimits:
            return station.world.at((instant - station.start_at).total_seconds()).limits

        changes, change_s = [], now_s
        while (change_s := station.world.at(change_s).until_s) < until_s:
            changes.append(station.start_at + timedelta(seconds=change_s))
        own = self.habits.foresight == "own"
        swap_h = sum(model.plan.nominal_s for model in station.models.values()) / len(station.models) / 3600
        in_lanes_h = sorted(
            max(truck.start_s + truck.late_s + truck.swap_s - now_s, 0.0) / 3600 for truck in self._swapping
        )
        free_h = [*([0.0] * (len(station.lanes) - len(in_lanes_h))), *in_lanes_h]
        waiting = [self._known(truck.swap_id, truck, 0.0) for truck in station.queue]
        known = through_lanes(waiting, free_h, swap_h)
        if own:
            known += self._foreseen(now_s, until_s, free_h, swap_h, len(known))
        else:
            for truck in station.promised:
                assert isinstance(truck, StudyTruck)
                at_h = max((truck.booked_from_s - now_s) / 3600, 0.0)
                known.append(self._known(truck.swap_id, truck, at_h, replaces=True))
        return Outlook(
            at,
            station.world.tariff_from(now_s),
            limits_at,
            changes,
            station.policy,
            self._laws,
            tuple(station.specs),
            list[BayRow](rack.bays),
            self._incoming(now_s),
            tuple(known),
            None if own else self._forecast(now_s),
            Modules(rack.modules, rack.charger_kw) if rack.switched else None,
            timedelta(hours=self.habits.horizon_h),
        )

    def _incoming(self, now_s: float) -> list[SpentPack]:
        """Packs on their way from a truck into their bays."""
        found = []
        for truck in self._swapping:
            for share, seat in truck.stores[truck.stored :]:
                at_s = truck.start_s + truck.late_s + share * truck.swap_s
                pack, home = truck.spent[seat - 1], truck.homes[seat - 1]
                charger_kw = self.station.rack.charger_kw if home.charger_ok else 0.0
                at_h = max(at_s - now_s, 0.0) / 3600
                found.append(SpentPack(pack.kind.name, at_h, pack.soc_pct, pack.soh_pct, charger_kw))
        return found

    def _leaves(self, model: Model, kinds: Sequence[str], soc_pct: Sequence[float]) -> tuple[SpentPack, ...]:
        """The packs of a truck, from its call on."""
        share_of = {seat: share for share, seat in model.stores}
        swap_h, soh_pct = model.plan.nominal_s / 3600, self.station.kinds.soh_pct
        return tuple(
            SpentPack(kind, share_of[seat] * swap_h, soc_pct[seat - 1], soh_pct)
            for seat, kind in enumerate(kinds, start=1)
        )

    def _record(self, seed: int, replication: int) -> list[CameTruck]:
        """Four weeks before the start, of trucks that have nothing to do with those of this replication."""
        scenario, until_s = self.scenario, RECORD / timedelta(seconds=1)
        begin_at = scenario.start_at - RECORD
        before = arrivals(scenario, begin_at, seed, replication + _OTHERS)
        return [self._as_came(one, begin_at) for one in takewhile(lambda one: one.at_s < until_s, before) if one.comes]

    def _as_came(self, arrival: Arrival, begin_at: datetime) -> CameTruck:
        kinds = self.scenario.vehicle_model(arrival.model).pack_kinds
        packs = tuple(CamePack(kinds[0], soc_pct) for soc_pct in arrival.soc_pct)
        return CameTruck(begin_at + timedelta(seconds=arrival.at_s), arrival.model, packs)

    def _known(self, name: str, truck: StudyTruck, at_h: float, *, replaces: bool = False) -> KnownTruck:
        leaves = self._arrival_leaves(truck.details)
        kinds = tuple(sorted(truck.accepts))
        return KnownTruck(name, at_h, kinds, leaves, min_kwh=truck.min_energy_kwh, replaces=replaces)

    def _arrival_leaves(self, arrival: Arrival) -> tuple[SpentPack, ...]:
        station, model = self.station, self.station.models[arrival.model]
        kinds = station.trucks.packs_of(arrival.vehicle_id or "") or model.kinds
        return self._leaves(model, kinds, arrival.soc_pct)

    def _foreseen(
        self, now_s: float, until_s: float, free_h: Sequence[float], usual_h: float, waiting: int
    ) -> list[KnownTruck]:
        """The trucks of this replication, one after the other through the lanes."""
        while not self._seen or self._seen[-1].at_s < until_s:
            self._seen.extend(islice(self._coming, 64))
        self._seen = [arrival for arrival in self._seen if arrival.at_s > now_s]
        station, found = self.station, []
        swap_h = {name: model.plan.nominal_s / 3600 for name, model in station.models.items()}
        free_h = sorted(free_h)
        for _ in range(waiting):
            free_h = sorted([free_h[0] + usual_h, *free_h[1:]])
        for number, arrival in enumerate(self._seen):
            if arrival.at_s >= until_s:
                break
            if not arrival.comes:
                continue
            at_h = max((arrival.at_s - now_s) / 3600, free_h[0])
            free_h = sorted([at_h + swap_h[arrival.model], *free_h[1:]])
            accepts = tuple(sorted(station.models[arrival.model].accepts))
            found.append(KnownTruck(f"T{number}", at_h, accepts, self._arrival_leaves(arrival), Tier.FORECAST))
        return found

    def _forecast(self, now_s: float) -> Forecast:
        """Trucks at the scenario's rates, each fleet in its share, with the usual packs."""
        scenario, models = self.scenario, self.station.models
        hour = int((now_s + self._rates.offset_s) // 3600)
        into_h = (now_s + self._rates.offset_s) / 3600 - hour
        habits = self.habits
        per_h = [self._rates[hour + n] for n in range(int(habits.horizon_h) + 3)]
        shares = tuple(
            TruckShare(
                float(fleet.vehicles) if fleet.weight is None else fleet.weight,
                tuple(sorted(models[fleet.model].accepts)),
                self._leaves(
                    models[fleet.model],
                    models[fleet.model].kinds,
                    (fleet.arrive_soc.mean_pct,) * models[fleet.model].packs,
                ),
            )
            for fleet in scenario.fleets
        )
        swap_h = sum(model.plan.nominal_s for model in models.values()) / len(models) / 3600
        rates = _shifted(per_h, into_h, spread(scenario))
        if habits.foresight == "learned":
            at = scenario.start_at + timedelta(seconds=now_s)
            known = LearnedTrucks(scenario.zone).forecast(self._came, scenario.start_at - RECORD, at)
            rates = known.rates(at, habits.horizon_h)
            shares = tuple(_with_soc(share, known) for share in shares)
        return Forecast(
            rates,
            shares,
            scenario.promise.target_share if habits.level is None else habits.level,
            swap_h / len(self.station.lanes),
            scenario.promise.wait_limit_min / 60,
        )


def _with_soc(share: TruckShare, known: TruckForecast) -> TruckShare:
    """Its packs as those of the record came, on the mean."""
    leaves = tuple(
        replace(one, soc_pct=known.packs[one.kind].mean_pct) if one.kind in known.packs else one for one in share.leaves
    )
    return replace(share, leaves=leaves)


def _shifted(per_h: Sequence[float], into_h: float, dispersion: float) -> Rates:
    """Rates by whole hours, from a part of the first on: in steps of a quarter."""
    quarters = [per_h[int((n + 0.5) * 0.25 + into_h)] for n in range(4 * (len(per_h) - 1))]
    return Rates(quarters, 0.25, dispersion)
