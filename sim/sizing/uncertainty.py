"""What a study's inputs do to its answer when they are otherwise: one by one (tornado), and all together by chance.

Every run sees the same trucks (common random numbers), so an effect is taken pair by pair. An input that the scenario
gives nothing to act on is not applicable: that is told apart from an effect that was simulated and is 0.

Second order: the inputs are drawn `draws` times, each draw is simulated with the study's replications. The chance that
the promise holds is the share of draws that keep it. Its interval is Wilson's, and counts draws whose own interval does
not decide as breaking at its lower end and as keeping at its upper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import sqrt
from pathlib import Path
from statistics import NormalDist

from pydantic import BaseModel

from sim.scenario.file import Scenario
from sim.scenario.streams import Purpose, stream
from sim.scenario.trace import scenario_trace
from sim.scenario.uncertainty import FactorRange, RangeSection
from sim.study.design import capital_yuan_per_year, design_of, running_yuan_per_year
from sim.study.parallel import Workers
from sim.study.stats import Estimate, difference, ratio_estimate
from sim.study.study import RunTask, StudyResult, run_task
from sim.study.swap_times import swap_plan
from swap.station.sequence.recipe import load_recipe
from swap.words import N_

Change = Callable[[Scenario, float], Scenario]
Lack = Callable[[Scenario], str | None]


@dataclass(frozen=True, slots=True)
class UncertainInput:
    """An input that may be otherwise."""

    name: str
    """As in `[uncertainty]`."""
    assumed: RangeSection
    """Where the scenario gives no range."""
    change: Change
    lack: Lack = lambda scenario: None
    """Why it cannot reach the model of a scenario, marked; None: it can."""
    serves: bool = True
    """False: it reaches cost alone, and no truck."""


@dataclass(frozen=True, slots=True)
class InputEffect:
    """What one input does by itself."""

    name: str
    given: RangeSection
    lack: str | None
    """Why it is not applicable, marked; then there is no effect."""
    share: tuple[Estimate, Estimate] | None = None
    """By how much the share within the promise is larger at `low` and `high`; None where it reaches no truck."""
    yearly_yuan: tuple[Estimate, Estimate] | None = None
    """Yearly cost, more than as the scenario stands."""

    @property
    def size(self) -> float:
        """The larger effect on the share."""
        return -1.0 if self.share is None else max(abs(found.mean) for found in self.share)


@dataclass(frozen=True)
class Uncertainty:
    """What the inputs do to the answer of a study."""

    effects: tuple[InputEffect, ...]
    """Those that do most to the share within the promise first, then those that reach cost alone, then the others."""
    drawn: tuple[str, ...]
    """Inputs that were drawn."""
    assumed: bool
    """None of them was given: their ranges are assumed."""
    shares: tuple[Estimate, ...]
    """Share within the promise of each draw."""
    yearly_yuan: tuple[float, ...]
    """Yearly cost of each draw."""
    target_share: float
    confidence: float

    @property
    def kept(self) -> int:
        """Draws that keep the promise for certain."""
        return sum(found.low >= self.target_share for found in self.shares)

    @property
    def broken(self) -> int:
        """Draws that break it for certain."""
        return sum(found.high < self.target_share for found in self.shares)

    @property
    def chance(self) -> tuple[float, float, float]:
        """Chance that the promise holds, and both ends of its interval."""
        count = len(self.shares)
        mean = sum(found.mean >= self.target_share for found in self.shares) / count
        low = wilson(self.kept, count, self.confidence)[0]
        return mean, low, wilson(count - self.broken, count, self.confidence)[1]


def wilson(found: int, count: int, confidence: float) -> tuple[float, float]:
    """Interval of a share (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = found / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return max(middle - half, 0.0), min(middle + half, 1.0)


# What each input changes


def _with(scenario: Scenario, section: str, **changes: object) -> Scenario:
    part: BaseModel = getattr(scenario, section)
    return scenario.model_copy(update={section: part.model_copy(update=changes)})


def _price(scenario: Scenario, factor: float) -> Scenario:
    def times(price: Decimal) -> Decimal:
        return (price * Decimal(repr(factor))).quantize(Decimal("0.0001"))

    tariff = scenario.tariff
    months = {
        month: part.model_copy(update={"energy_price_yuan_per_kwh": times(part.energy_price_yuan_per_kwh)})
        for month, part in tariff.months.items()
    }
    return _with(scenario, "tariff", energy_price_yuan_per_kwh=times(tariff.energy_price_yuan_per_kwh), months=months)


def _arrive_soc(scenario: Scenario, points: float) -> Scenario:
    fleets = []
    for fleet in scenario.fleets:
        soc = fleet.arrive_soc
        low, mode, high = (min(max(at + points, 0.0), 100.0) for at in (soc.min_pct, soc.peak_pct, soc.max_pct))
        changed = soc.model_copy(update={"min_pct": low, "mode_pct": mode, "max_pct": high})
        fleets.append(fleet.model_copy(update={"arrive_soc": changed}))
    return scenario.model_copy(update={"fleets": tuple(fleets)})


def _no_arrive_soc(scenario: Scenario) -> str | None:
    if scenario.demand.mode == "fleet":
        return N_("trucks that drive trips come with what these leave")
    if scenario.demand.mode == "trace" and all(row.soc_pct is not None for row in scenario_trace(scenario).rows):
        return N_("the record has every state of charge")
    return None


def _failures(scenario: Scenario, factor: float) -> Scenario:
    failures = scenario.failures

    def less(mtbf_h: float) -> float:
        return max(mtbf_h / factor, 0.1) if mtbf_h > 0 else 0.0

    return _with(
        scenario,
        "failures",
        robot_mtbf_h=less(failures.robot_mtbf_h),
        charger_mtbf_h=less(failures.charger_mtbf_h),
        pack_fault_share=min(failures.pack_fault_share * factor, 1.0),
    )


def _repair(scenario: Scenario, factor: float) -> Scenario:
    failures = scenario.failures
    names = ("robot_repair_h", "charger_repair_h", "pack_inspection_h")
    return _with(scenario, "failures", **{name: max(getattr(failures, name) * factor, 0.01) for name in names})


def _no_failures(scenario: Scenario) -> str | None:
    failures = scenario.failures
    if failures.robot_mtbf_h or failures.charger_mtbf_h or failures.pack_fault_share:
        return None
    return N_("nothing fails in this scenario")


def _lane_s(scenario: Scenario) -> float | None:
    """Lane time of a swap; None where models with different numbers of packs take their recipe's own."""
    equipment = scenario.equipment
    packs = {model.packs_per_vehicle for model in scenario.vehicle_models}
    if equipment.swap_s is not None or len(packs) > 1:
        return equipment.swap_s
    recipe = load_recipe(equipment.recipe, Path(scenario.folder))
    return swap_plan(recipe.table(packs.pop(), equipment.swap_order), None).nominal_s


def _swap_time(scenario: Scenario, factor: float) -> Scenario:
    lane_s = _lane_s(scenario)
    return scenario if lane_s is None else _with(scenario, "equipment", swap_s=lane_s * factor)


def _no_lane_time(scenario: Scenario) -> str | None:
    return None if _lane_s(scenario) is not None else N_("the lane time is that of each model's recipe")


def _warmth(scenario: Scenario, degrees_c: float) -> Scenario:
    warmer = tuple(mean_c + degrees_c for mean_c in scenario.climate.mean_c_by_month)
    return _with(scenario, "climate", mean_c_by_month=warmer)


def _soh(scenario: Scenario, points: float) -> Scenario:
    soh_pct = min(max(scenario.equipment.soh_pct + points, 50.0), 100.0)
    changed = _with(scenario, "equipment", soh_pct=soh_pct)
    if scenario.demand.mode != "profile":
        return changed
    # As over the station's life: a pack that holds less is empty sooner, and its truck comes as much more often.
    return _times("demand", "factor")(changed, scenario.equipment.soh_pct / soh_pct)


def _trip_energy(scenario: Scenario, factor: float) -> Scenario:
    fleets = []
    for fleet in scenario.fleets:
        trips = fleet.trips
        if trips is not None:
            changes = {n: getattr(trips, n) * factor for n in ("kwh_per_km_loaded", "kwh_per_km_empty")}
            fleet = fleet.model_copy(update={"trips": trips.model_copy(update=changes)})
        fleets.append(fleet)
    return scenario.model_copy(update={"fleets": tuple(fleets)})


def _transformer(scenario: Scenario, factor: float) -> Scenario:
    return _with(scenario, "equipment", transformer_kva=scenario.equipment.transformer_kva * factor)


def _no_transformer(scenario: Scenario) -> str | None:
    contracted_kw, given = scenario.equipment.contracted_kw, range_of(scenario, BY_NAME["transformer"])
    if contracted_kw is None or _transformer(scenario, given.low).equipment.grid_limit_kw < contracted_kw:
        return None
    return N_("the contracted power limits, not the transformer")


def _demand_response(scenario: Scenario, factor: float) -> Scenario:
    events = tuple(event.model_copy(update={"limit_kw": event.limit_kw * factor}) for event in scenario.dr_events)
    return scenario.model_copy(update={"dr_events": events})


def _times(section: str, name: str, most: float = float("inf")) -> Change:
    def change(scenario: Scenario, factor: float) -> Scenario:
        return _with(scenario, section, **{name: min(getattr(getattr(scenario, section), name) * factor, most)})

    return change


def _convoys(scenario: Scenario, factor: float) -> Scenario:
    convoys = scenario.demand.convoys
    return _with(scenario, "demand", convoys=convoys.model_copy(update={"share": min(convoys.share * factor, 1.0)}))


def _unless(has: Callable[[Scenario], object], why: str) -> Lack:
    return lambda scenario: None if has(scenario) else why


def _factor(low: float, high: float) -> FactorRange:
    return FactorRange(low=low, mode=min(max(1.0, low), high), high=high)


INPUTS = (
    UncertainInput("demand", _factor(0.8, 1.2), _times("demand", "factor")),
    UncertainInput("price", _factor(0.8, 1.2), _price),
    UncertainInput("arrive_soc", RangeSection(low=-5, high=5), _arrive_soc, _no_arrive_soc),
    UncertainInput("failures", FactorRange(kind="lognormal", low=0.5, high=2.0), _failures, _no_failures),
    UncertainInput("repair", FactorRange(kind="lognormal", low=0.7, high=1.5), _repair, _no_failures),
    UncertainInput("swap_time", _factor(0.9, 1.2), _swap_time, _no_lane_time),
    UncertainInput("warmth", RangeSection(low=-5, high=5), _warmth),
    UncertainInput("soh", RangeSection(low=-5, mode=0, high=0), _soh),
    UncertainInput(
        "trip_energy", _factor(0.9, 1.15), _trip_energy,
        _unless(lambda s: s.demand.mode == "fleet", N_("trucks come by a profile or a record, not by their trips")),
    ),
    UncertainInput(
        "convoys", _factor(0.5, 2.0), _convoys,
        _unless(lambda s: s.demand.mode == "profile" and s.demand.convoys.share, N_("no convoys come")),
    ),
    UncertainInput(
        "bookings", _factor(0.5, 1.5), _times("bookings", "share", 1.0),
        _unless(lambda s: s.bookings.share, N_("nobody books")),
    ),
    UncertainInput(
        "patience", _factor(0.7, 1.3), _times("patience", "mean_patience_min"),
        _unless(lambda s: s.patience.mean_patience_min, N_("trucks wait until they are served")),
    ),
    UncertainInput("charger_power", _factor(0.9, 1.0), _times("equipment", "charger_kw")),
    UncertainInput("transformer", _factor(0.9, 1.0), _transformer, _no_transformer),
    UncertainInput(
        "sun", _factor(0.8, 1.1), _times("pv", "yield_h"),
        _unless(lambda s: s.pv.peak_kw, N_("there is no photovoltaics")),
    ),
    UncertainInput(
        "demand_response", _factor(0.8, 1.2), _demand_response,
        _unless(lambda s: s.dr_events, N_("there is no demand response")),
    ),
    UncertainInput("pack_price", _factor(0.7, 1.1), _times("costs", "pack_yuan_per_kwh"), serves=False),
    UncertainInput(
        "interest", RangeSection(low=-1, high=2),
        lambda s, points: _with(s, "costs", interest=max(s.costs.interest + points / 100, 0.0)), serves=False,
    ),
)  # fmt: skip
"""Every input that a study can be asked about, with ranges that are assumed."""
BY_NAME = {item.name: item for item in INPUTS}
USUAL = ("demand", "price", "arrive_soc", "failures")
"""Drawn where the scenario gives no range."""


def range_of(scenario: Scenario, item: UncertainInput) -> RangeSection:
    """The range of an input: the scenario's, or the assumed one."""
    given: RangeSection | None = getattr(scenario.uncertainty, item.name)
    return item.assumed if given is None else given


# The runs


@dataclass(frozen=True, slots=True)
class _Outcome:
    within: int
    arrived: int
    running_yuan: float


def _outcome(task: RunTask) -> _Outcome:
    """One replication, of it only what is needed here."""
    run = run_task(task)
    return _Outcome(run.within, run.arrived, running_yuan_per_year(task.scenario, run))


def study_uncertainty(
    result: StudyResult, pool: Workers, draws: int, on_done: Callable[[int, int], None] | None = None
) -> Uncertainty:
    """Tornado and chance that the promise holds, on the trucks of a study that was just run.

    Args:
        draws: of all uncertain inputs together.
    """
    base, count = result.scenario, len(result.runs)
    given = [item.name for item in INPUTS if getattr(base.uncertainty, item.name) is not None]
    usable = [item for item in INPUTS if item.lack(base) is None]
    drawn = [item for item in usable if item.name in (given or USUAL)]
    one_by_one = [item.change(base, end) for item in usable for end in _ends(range_of(base, item))]
    by_chance = [_drawn(base, drawn, result.seed, number) for number in range(draws)]
    tasks = [
        RunTask(scenario, result.seed, n, result.days, result.warmup_days)
        for scenario in (*one_by_one, *by_chance)
        for n in range(count)
    ]
    found = pool.map(_outcome, tasks, None if on_done is None else lambda done: on_done(done, len(tasks)))
    parts = [found[at * count : (at + 1) * count] for at in range(len(one_by_one) + draws)]
    now = [_Outcome(run.within, run.arrived, running_yuan_per_year(base, run)) for run in result.runs]
    effects = {
        item.name: _effect(item, base, (one_by_one[2 * at], one_by_one[2 * at + 1]), parts[2 * at : 2 * at + 2], now)
        for at, item in enumerate(usable)
    }
    every = [effects.get(item.name) or InputEffect(item.name, range_of(base, item), item.lack(base)) for item in INPUTS]
    promise, last = base.promise, parts[len(one_by_one) :]
    return Uncertainty(
        effects=tuple(sorted(every, key=lambda effect: (effect.lack is not None, -effect.size))),
        drawn=tuple(item.name for item in drawn),
        assumed=not given,
        shares=tuple(_share(part, promise.confidence) for part in last),
        yearly_yuan=tuple(
            _capital_yuan(base, scenario) + sum(run.running_yuan for run in part) / count
            for scenario, part in zip(by_chance, last, strict=True)
        ),
        target_share=promise.target_share,
        confidence=promise.confidence,
    )


def _ends(given: RangeSection) -> tuple[float, float]:
    return given.low, given.high


def _drawn(base: Scenario, drawn: Sequence[UncertainInput], seed: int, number: int) -> Scenario:
    """The scenario of one draw. Each input has its place in the stream, so what is drawn for it depends on no other."""
    draw = stream(seed, number, Purpose.UNCERTAINTY)
    shares = {item.name: draw.random() for item in INPUTS}
    for item in drawn:
        base = item.change(base, range_of(base, item).at(shares[item.name]))
    return base


def _capital_yuan(base: Scenario, changed: Scenario) -> float:
    """What the station costs at changed prices: it is the same one, though it may give less than its plate says."""
    return capital_yuan_per_year(base.model_copy(update={"costs": changed.costs}), design_of(base))


def _share(runs: Sequence[_Outcome], confidence: float) -> Estimate:
    return ratio_estimate([float(run.within) for run in runs], [float(run.arrived) for run in runs], confidence)


def _effect(
    item: UncertainInput,
    base: Scenario,
    changed: tuple[Scenario, Scenario],
    runs: Sequence[Sequence[_Outcome]],
    now: Sequence[_Outcome],
) -> InputEffect:
    confidence, given = base.promise.confidence, range_of(base, item)
    shares, yuan = [], []
    for scenario, part in zip(changed, runs, strict=True):
        more = _capital_yuan(base, scenario) - _capital_yuan(base, base)
        dearer = difference([more + run.running_yuan for run in part], [run.running_yuan for run in now], confidence)
        yuan.append(dearer)
        shares.append(_gap(part, now, confidence))
    both = (yuan[0], yuan[1])
    return InputEffect(item.name, given, None, (shares[0], shares[1]) if item.serves else None, both)


def _gap(one: Sequence[_Outcome], other: Sequence[_Outcome], confidence: float) -> Estimate:
    """Difference of two shares, pair by pair (delta method)."""
    shares = [_share(runs, confidence).mean for runs in (one, other)]
    means = [sum(run.arrived for run in runs) / len(runs) for runs in (one, other)]
    if 0 in means:
        return Estimate(float("nan"), float("nan"), len(one), confidence)
    rest = [
        [(run.within - share * run.arrived) / mean for run in runs]
        for runs, share, mean in zip((one, other), shares, means, strict=True)
    ]
    found = difference(rest[0], rest[1], confidence)
    return Estimate(shares[0] - shares[1], found.standard_error, found.count, confidence)
