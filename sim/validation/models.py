"""The models of a case file, each as a set-up of the study engine and the numbers read off it.

A model's function runs one replication and gives a `Sample`: plain averages, pairs for ratios (per truck),
and waits for quantiles. Which numbers a case wants is known from its values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.scenario.streams import Purpose, generator
from sim.study.agenda import Agenda
from sim.validation.counted_racks import AMPLE, FailingRack, FixedPowerRack, SharedPowerRack
from sim.validation.flow import Flow, FlowRules, Truck

HOUR_S = 3600.0
Draw = Callable[[], float]
Parameters = Mapping[str, Any]


@dataclass(slots=True)
class Sample:
    """What one replication (or one batch of it) gave."""

    means: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, tuple[float, float]] = field(default_factory=dict)
    waits_s: Any = None
    hours: float = 0.0


@dataclass(frozen=True, slots=True)
class Length:
    """How long a replication is."""

    warmup_h: float
    batch_h: float
    batches: int


def exponential(seed: int, replication: int, purpose: Purpose, mean: float) -> Draw:
    """Draws exponential values, in blocks."""
    draw = generator(seed, replication, purpose)
    return _blocks(lambda: draw.exponential(mean, 2048)).__next__


def uniform(seed: int, replication: int, purpose: Purpose, low: float, high: float) -> Draw:
    """Draws uniform values, in blocks."""
    draw = generator(seed, replication, purpose)
    return _blocks(lambda: draw.uniform(low, high, 2048)).__next__


def constant(value: float) -> Draw:
    """Always the same value."""
    return lambda: value


def _blocks(draw: Callable[[], Any]) -> Iterator[float]:
    while True:
        yield from draw().tolist()


def poisson_trucks(per_hour: float, gap: Draw, need: Draw, swap: Draw, priority: int = 0) -> Iterator[Truck]:
    """Trucks of a Poisson stream; `gap` draws standard exponential values."""
    scale_s = HOUR_S / per_hour
    at_s = 0.0
    while True:
        at_s += gap() * scale_s
        yield Truck(at_s, need(), swap(), priority)


def profile_trucks(by_hour: tuple[float, ...], gap: Draw, need: Draw) -> Iterator[Truck]:
    """Trucks of a Poisson stream whose rate is constant within each hour and repeats daily."""
    hour, at_h = 0, 0.0
    while True:
        rest = gap()
        while (left := (hour + 1 - at_h) * by_hour[hour % 24]) < rest:
            rest -= left
            hour += 1
            at_h = float(hour)
        at_h += rest / by_hour[hour % 24]
        yield Truck(at_h * HOUR_S, need())


def _merged(one: Iterator[Truck], other: Iterator[Truck]) -> Iterator[Truck]:
    first, second = next(one), next(other)
    while True:
        if first.at_s <= second.at_s:
            yield first
            first = next(one)
        else:
            yield second
            second = next(other)


class CaseStation:
    """A set-up built from a case's parameters."""

    def __init__(self, p: Parameters, seed: int, replication: int) -> None:
        self.p = p
        self.seed, self.replication = seed, replication
        self.time = Agenda()
        self.flow: Flow
        self.rack: FixedPowerRack | SharedPowerRack

    def draw(self, purpose: Purpose, mean: float) -> Draw:
        """Exponential values of one purpose."""
        return exponential(self.seed, self.replication, purpose, mean)

    def build(
        self, rack: FixedPowerRack | SharedPowerRack, rules: FlowRules, trucks: Iterator[Truck] | None
    ) -> CaseStation:
        """Join the parts."""
        self.rack = rack
        self.flow = Flow(self.time, rack, rules, trucks)
        rack.flow = self.flow
        return self

    def fixed_rack(self, packs: float, chargers: float) -> FixedPowerRack:
        """Chargers at full power."""
        return FixedPowerRack(self.time, packs, chargers)  # type: ignore[arg-type]

    def trucks(self, need: Draw, swap: Draw | None = None) -> Iterator[Truck]:
        """Poisson trucks of the case."""
        gap = self.draw(Purpose.ARRIVALS, 1.0)
        return poisson_trucks(self.p["trucks_per_hour"], gap, need, swap or constant(0.0))

    def charge_s(self) -> Draw:
        """Exponential charge times of the case."""
        return self.draw(Purpose.CHARGE, self.p["mean_charge_min"] * 60)

    def swap_s(self) -> Draw:
        """Exponential swap times of the case."""
        return self.draw(Purpose.SWAP_TIME, self.p["mean_swap_min"] * 60)


def build(model: str, p: Parameters, seed: int, replication: int) -> CaseStation:
    """The station of a model. Raises KeyError for an unknown model or a missing parameter."""
    s = CaseStation(p, seed, replication)
    if model in ("rack_backorder", "rack_loss", "start_up"):
        rules = FlowRules(lose_when_none=model != "rack_backorder")
        return s.build(s.fixed_rack(p["batteries"], p["chargers"]), rules, s.trucks(s.charge_s()))
    if model == "rack_loss_insensitive":
        # Any law with the mean: three values far apart, as unlike an exponential as a test could wish.
        mean_s = p["mean_charge_min"] * 60
        draw = generator(seed, replication, Purpose.CHARGE)
        law = _blocks(lambda: draw.choice([0.2, 0.6, 2.2], 2048) * mean_s).__next__
        return s.build(s.fixed_rack(p["batteries"], p["chargers"]), FlowRules(lose_when_none=True), s.trucks(law))
    if model == "exchange_ample":
        need = constant(p["mean_charge_min"] * 60)
        return s.build(s.fixed_rack(p["batteries"], AMPLE), FlowRules(exchange_on_arrival=True), s.trucks(need))
    if model == "rack_backorder_fixed_charge":
        need = constant(p["charge_min"] * 60)
        return s.build(s.fixed_rack(p["batteries"], p["chargers"]), FlowRules(), s.trucks(need))
    if model == "single_charger_uniform_energy":
        hours = HOUR_S / p["charger_kw"]
        need = uniform(seed, replication, Purpose.CHARGE, p["e_lo_kwh"] * hours, p["e_hi_kwh"] * hours)
        return s.build(s.fixed_rack(p["batteries"], 1), FlowRules(), s.trucks(need))
    if model in ("lane_only", "lanes_only"):
        rules = FlowRules(lanes=p.get("lanes", 1))
        trucks = s.trucks(constant(1.0), constant(p["swap_min"] * 60))
        return s.build(s.fixed_rack(AMPLE, AMPLE), rules, trucks)
    if model in ("station", "sizing", "station_parking"):
        rules = FlowRules(lanes=p["lanes"], truck_places=p.get("truck_places"))
        rack = s.fixed_rack(p["batteries"], p.get("chargers", p["batteries"]))
        return s.build(rack, rules, s.trucks(s.charge_s(), s.swap_s()))
    if model in ("finite_fleet", "finite_fleet_lane"):
        return _finite_fleet(s, lane=model == "finite_fleet_lane")
    if model == "reneging":
        rules = FlowRules(patience_s=s.draw(Purpose.PATIENCE, p["mean_patience_min"] * 60))
        return s.build(s.fixed_rack(p["batteries"], p["chargers"]), rules, s.trucks(s.charge_s()))
    if model in ("grid_shared_loss", "grid_shared_backorder"):
        shared = SharedPowerRack(s.time, p["batteries"], p["charger_kw"], p["grid_kw"])
        need = s.draw(Purpose.CHARGE, p["mean_kwh"])
        return s.build(shared, FlowRules(lose_when_none=model == "grid_shared_loss"), s.trucks(need))
    if model == "convoys":
        return s.build(s.fixed_rack(p["batteries"], p["chargers"]), FlowRules(), _convoys(s))
    if model == "priority":
        need = s.charge_s()
        first = poisson_trucks(p["class1_per_hour"], s.draw(Purpose.ARRIVALS, 1.0), need, constant(0.0), priority=1)
        second = poisson_trucks(p["class2_per_hour"], s.draw(Purpose.VEHICLES, 1.0), need, constant(0.0))
        rules = FlowRules(priorities=True)
        station = s.build(s.fixed_rack(p["batteries"], p["chargers"]), rules, _merged(first, second))
        station.flow.trace = []
        return station
    if model == "charger_outages":
        failing = FailingRack(
            s.time,
            p["batteries"],
            p["chargers"],
            up_s=s.draw(Purpose.CHARGER_FAILURES, p["mean_hours_between_failures"] * HOUR_S),
            repair_s=s.draw(Purpose.ROBOT_FAILURES, p["mean_repair_hours"] * HOUR_S),
            redraw=s.draw(Purpose.PACK_FAULTS, p["mean_charge_min"] * 60),
        )
        return s.build(failing, FlowRules(lose_when_none=bool(p.get("trucks_leave"))), s.trucks(s.charge_s()))
    if model == "daily_profile_loss":
        trucks = profile_trucks(tuple(p["trucks_per_hour_by_hour"]), s.draw(Purpose.ARRIVALS, 1.0), s.charge_s())
        return s.build(s.fixed_rack(p["batteries"], p["chargers"]), FlowRules(lose_when_none=True), trucks)
    if model == "peak_infinite_chargers":
        trucks = profile_trucks(
            tuple(p["trucks_per_hour_by_hour"]),
            s.draw(Purpose.ARRIVALS, 1.0),
            constant(p["charge_min"] * 60),
        )
        return s.build(s.fixed_rack(AMPLE, AMPLE), FlowRules(exchange_on_arrival=True), trucks)
    if model == "hand_trace":
        trucks = iter(
            [
                Truck(at * 60.0, charge * 60.0, p["swap_min"] * 60.0)
                for at, charge in zip(p["arrival_min"], p["charge_min"], strict=True)
            ]
        )
        rack = s.fixed_rack(p["batteries"], p["chargers"])
        rack.calendar = []
        station = s.build(rack, FlowRules(lanes=p["lanes"]), trucks)
        station.flow.trace = []
        return station
    raise KeyError(f"model {model!r}")


def _finite_fleet(s: CaseStation, *, lane: bool) -> CaseStation:
    p = s.p
    away_s = s.draw(Purpose.TRIPS, p["mean_hours_away"] * HOUR_S)
    need, swap = s.charge_s(), s.swap_s() if lane else constant(0.0)
    rules = FlowRules(lanes=p["lanes"] if lane else None, exchange_on_arrival=not lane, away_s=away_s)

    def renew(truck: Truck) -> None:
        truck.need, truck.swap_s = need(), swap()

    def first() -> Iterator[Truck]:
        for at_s in sorted(away_s() for _ in range(p["trucks"])):
            truck = Truck(at_s, need(), swap())
            truck.details = renew
            yield truck

    return s.build(s.fixed_rack(p["batteries"], p["chargers"]), rules, first())


def _convoys(s: CaseStation) -> Iterator[Truck]:
    sizes = {int(size): share for size, share in s.p["size_probabilities"].items()}
    draw = generator(s.seed, s.replication, Purpose.CONVOYS)
    size_of = _blocks(lambda: draw.choice(list(sizes), 2048, p=list(sizes.values()))).__next__
    gap, need = s.draw(Purpose.ARRIVALS, HOUR_S / s.p["convoys_per_hour"]), s.charge_s()
    at_s = 0.0
    while True:
        at_s += gap()
        for _ in range(int(size_of())):
            yield Truck(at_s, need())


def run(model: str, p: Parameters, seed: int, replication: int, length: Length) -> list[Sample]:
    """One replication: a sample for each batch after the warm-up."""
    station = build(model, p, seed, replication)
    watch = _Watch(station, model) if model in _OBSERVED else None
    station.time.run_until(length.warmup_h * HOUR_S)
    station.flow.reset()
    if watch is not None:
        watch.sums.clear()
    if station.flow.trace is not None:
        station.flow.trace = []
    samples = []
    for batch in range(1, length.batches + 1):
        station.time.run_until((length.warmup_h + batch * length.batch_h) * HOUR_S)
        station.flow.accumulate()
        sample = read(station, model)
        if watch is not None:
            sample.means |= watch.take()
        samples.append(sample)
        station.flow.reset()
    return samples


def read(station: CaseStation, model: str) -> Sample:
    """The numbers of the time since the last reset."""
    flow, rack, p = station.flow, station.rack, station.p
    seconds = flow.observed_s
    waits = np.asarray(flow.waits)
    served, offered = float(waits.size), float(flow.arrived)
    charging = rack.charging_area / seconds
    lanes = flow.rules.lanes or 0
    means = {
        "mean_waiting_trucks": flow.mean_waiting,
        "mean_charged": rack.charged_area / seconds,
        "mean_charging": charging,
        "swaps_per_hour": served / seconds * HOUR_S,
        "swaps_per_day": served / seconds * 24 * HOUR_S,
        "trucks_per_hour": offered / seconds * HOUR_S,
        "stockout_time_fraction": flow.stockout_share,
        "lane_utilisation": flow.lane_utilisation,
    }
    if isinstance(rack, FixedPowerRack):
        means["mean_depleted_waiting"] = rack.depleted_area / seconds
        chargers = 1 if model == "single_charger_uniform_energy" else p.get("chargers", p.get("batteries", 1))
        means["charger_utilisation"] = charging / chargers
    else:
        means["mean_power_kw"] = rack.energy_kwh / seconds * HOUR_S
        means["grid_limited_time_fraction"] = rack.limited_area / seconds
    if isinstance(rack, FailingRack):
        means["mean_chargers_up"] = rack.up_area / seconds
    if "trucks" in p:
        here = flow.mean_waiting + flow.lane_utilisation * lanes
        means["mean_trucks_at_station"] = here
        means["mean_trucks_driving"] = p["trucks"] - here
        means["truck_availability"] = 1 - here / p["trucks"]
    waited = float(np.count_nonzero(waits > 0))
    total_min = float(waits.sum()) / 60
    ratios = {
        "p_wait": (waited, served),
        "mean_wait_min": (total_min, served),
        "mean_wait_given_wait_min": (total_min, waited),
        "loss_probability": (float(flow.lost), offered),
        "fill_rate": (offered - flow.lost, offered),
        "mean_charge_duration_min": (rack.charging_area / 60, served),
    }
    if model == "reneging":
        # Every truck that did not find a pack at once waited, served in the end or not.
        ratios["p_wait"] = (waited + flow.gave_up, served + flow.gave_up)
        ratios["abandon_probability"] = (float(flow.gave_up), served + flow.gave_up)
        ratios["mean_time_in_queue_min"] = (flow.queue_time_s / 60, served + flow.gave_up)
    if model == "exchange_ample":
        ratios["fill_rate"] = (served - waited, served)
    for limit in (5, 10, 15, 20, 30):
        within = float(np.count_nonzero(waits <= limit * 60))
        ratios[f"p_wait_le_{limit}min"] = (within, served)
    if model == "sizing":
        ratios["share_within_limit"] = (float(np.count_nonzero(waits <= p["wait_limit_min"] * 60)), served)
    if flow.trace is not None:
        for name, level in (("class1", 1), ("class2", 0)):
            of_class = [t.start_s - t.at_s for t in flow.trace if t.priority == level]
            ratios[f"mean_wait_{name}_min"] = (sum(of_class) / 60, float(len(of_class)))
        flow.trace = []
    return Sample(means, ratios, waits, seconds / HOUR_S)


def _busiest_hour(rates: Sequence[float], charge_h: float) -> float:
    """The hour of the day at which most packs are expected on charge: with chargers for all, the arrivals of the last
    `charge_h`. Their number bends only where a rate changes, now or a charge ago, so it is greatest at such an hour."""
    cells = [*range(24), *((hour + charge_h) % 24 for hour in range(24))]
    return float(
        max(sorted(cells), key=lambda hour: round(_expected(rates, hour) - _expected(rates, hour - charge_h), 9))
    )


def _expected(rates: Sequence[float], hour: float) -> float:
    """Arrivals from the first midnight until an hour, which may lie on another day."""
    days, within = divmod(hour, 24)
    whole = int(within)
    return days * sum(rates) + sum(rates[:whole]) + (within - whole) * rates[whole % 24]


_OBSERVED = ("daily_profile_loss", "start_up", "peak_infinite_chargers")


class _Watch:
    """Looks at the rack at hours of the day (or of the run) and keeps the means of what it sees."""

    def __init__(self, station: CaseStation, model: str) -> None:
        self.station, self.model = station, model
        self.sums: dict[str, tuple[float, int]] = {}
        p = station.p
        if model == "daily_profile_loss":
            self.hours = [float(hour) for hour in range(1, 25)]
        elif model == "start_up":
            self.hours = [1.0, 2.0, 4.0, 8.0, 24.0]
        else:
            rates = p["trucks_per_hour_by_hour"]
            self.peak = _busiest_hour(rates, p["charge_min"] / 60)
            self.hours = sorted({*map(float, p["hours"]), self.peak})
        for hour in self.hours:
            station.time.at(hour * HOUR_S, self._look, hour)

    def _look(self, call: Any) -> None:
        hour, rack = call.payload, self.station.rack
        if self.model != "start_up":
            self.station.time.at(self.station.time.now + 24 * HOUR_S, self._look, hour)
        if self.model == "daily_profile_loss":
            self._add(f"mean_charged_at_hour_end.{hour:g}", rack.charged)
        elif self.model == "start_up":
            self._add(f"mean_charged_at.{hour:g}", rack.charged)
            self._add(f"p_no_charged_at.{hour:g}", rack.charged == 0)
        else:
            self._add(f"mean_charging_at.{hour:g}", rack.charging)
            for many in (8, 12):
                self._add(f"p_more_than.{hour:g}.{many}", rack.charging > many)
            if hour == self.peak:
                self._add("peak_mean_charging", rack.charging)

    def _add(self, name: str, value: float) -> None:
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = (total + value, count + 1)

    def take(self) -> dict[str, float]:
        """Means since the last call."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums.clear()
        return means
