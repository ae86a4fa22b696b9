"""Trucks simulated in a second, by our study and by others, in one interleaved run.

The simple model: one lane of 5 minutes, 10 packs, 8 chargers, every charge takes an hour, trucks come as a
Poisson stream of 7 an hour and wait first come first served. All programs get the same arrivals and must
give the same waits before any time counts. The cases of `full_station.py` are whole stations: recipe, bays, pack
physics, tariff, failures, with the live station's rules at every event; `…_compiled` is the same source compiled
(`make compiled`), and must give the same waits too. Without a C compiler it is left out. `bare_agenda` and
`agenda_with_simpy` run the same events without and with SimPy beside them. `SIMULATION='sized packs_10'` measures some
stations alone, beside naive SimPy.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import pairwise
from statistics import median
from time import process_time
from typing import Any

import ciw
import salabim
import simpy

from benchmarks.engine.full_station import CASES, OtherProcess, run_station
from deploy.compiled import build, has_compiler
from sim.sizing.screening import fifo_starts
from sim.study.agenda import Agenda, Call
from sim.study.failures import processes
from sim.validation.counted_racks import FixedPowerRack
from sim.validation.flow import Flow, FlowRules, Truck

LANES, PACKS, CHARGERS = 1, 10, 8
SWAP_S, CHARGE_S, PER_HOUR = 300.0, 3600.0, 7.0
ROUNDS = 5
DAYS = {case: 1.0 if case == "station_x16" else 14.0 for case in CASES}
"""How long each whole station runs: all serve some two thousand trucks or more."""
AGENDA_EVENTS = 50_000


def arrivals(count: int) -> list[float]:
    """Instants of a Poisson stream, s."""
    draw = random.Random(1).expovariate
    at_s, found = 0.0, []
    for _ in range(count):
        at_s += draw(PER_HOUR / 3600)
        found.append(at_s)
    return found


def naive_simpy(at_s: Sequence[float]) -> list[float]:
    """As one would write it from the SimPy documentation: a process for each truck and each charge."""
    env = simpy.Environment()
    lane, chargers = simpy.Resource(env, LANES), simpy.Resource(env, CHARGERS)
    full = simpy.Store(env)
    full.items.extend(range(PACKS))
    waits = []

    def charge(pack: int) -> Generator[simpy.Event, Any, None]:
        with chargers.request() as request:
            yield request
            yield env.timeout(CHARGE_S)
        yield full.put(pack)

    def truck() -> Generator[simpy.Event, Any, None]:
        came_s = env.now
        with lane.request() as request:
            yield request
            pack = yield full.get()
            waits.append(env.now - came_s)
            yield env.timeout(SWAP_S)
        env.process(charge(pack))

    def source() -> Generator[simpy.Event, Any, None]:
        last_s = 0.0
        for at in at_s:
            yield env.timeout(at - last_s)
            last_s = at
            env.process(truck())

    env.process(source())
    env.run()
    return waits


def ours_simple(at_s: Sequence[float]) -> list[float]:
    """The study engine with a counting rack."""
    time = Agenda()
    rack = FixedPowerRack(time, PACKS, CHARGERS)
    rack.flow = flow = Flow(
        time, rack, FlowRules(lanes=LANES, averages=False), (Truck(at, CHARGE_S, SWAP_S) for at in at_s)
    )
    time.run_until(at_s[-1] + 1e7)
    return flow.waits


def ours_recursion(at_s: Sequence[float]) -> list[float]:
    """The recursion that screens designs."""
    count = len(at_s)
    starts = fifo_starts(at_s, [SWAP_S] * count, [CHARGE_S] * count, lanes=LANES, packs=PACKS, chargers=CHARGERS)
    return [start - at for start, at in zip(starts, at_s, strict=True)]


class _Lane(ciw.Node):  # type: ignore[misc]
    """A lane that begins a swap only while a pack is left: those in the charging node are not."""

    leaving = False

    def choose_next_customer(self) -> object:
        if self.leaving or self.simulation.nodes[2].number_of_individuals >= PACKS:
            return None
        return super().choose_next_customer()

    def release(self, *arguments: object, **named: object) -> None:
        self.leaving = True
        super().release(*arguments, **named)
        self.leaving = False
        self.try_next()

    def try_next(self) -> None:
        server = self.find_free_server(None)
        if server is not None:
            self.begin_service_if_possible_release(None, server)


class _Chargers(ciw.Node):  # type: ignore[misc]
    def release(self, *arguments: object, **named: object) -> None:
        super().release(*arguments, **named)
        self.simulation.nodes[1].try_next()


def ciw_network(at_s: Sequence[float]) -> list[float]:
    """Ciw: a lane and a charging node, the pack as a condition on the lane."""
    gaps = [at_s[0], *(b - a for a, b in pairwise(at_s))]
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*gaps, 1e12]), None],
        service_distributions=[ciw.dists.Deterministic(SWAP_S), ciw.dists.Deterministic(CHARGE_S)],
        routing=[[0.0, 1.0], [0.0, 0.0]],
        number_of_servers=[LANES, CHARGERS],
    )
    simulation = ciw.Simulation(network, node_class=[_Lane, _Chargers])
    simulation.simulate_until_max_time(at_s[-1] + 1e7)
    records = [r for r in simulation.get_all_records() if r.node == 1]
    return [r.waiting_time for r in sorted(records, key=lambda r: r.arrival_date)]


def salabim_components(at_s: Sequence[float]) -> list[float]:
    """Salabim: a component for each truck and each charge."""
    salabim.yieldless(False)
    env = salabim.Environment(trace=False, random_seed=1)
    lane = salabim.Resource("lane", LANES, env=env)
    packs = salabim.Resource("packs", PACKS, anonymous=True, env=env)
    chargers = salabim.Resource("chargers", CHARGERS, env=env)
    waits = []

    class Charge(salabim.Component):  # type: ignore[misc]
        def process(self) -> Iterator[object]:
            yield self.request(chargers)
            yield self.hold(CHARGE_S)
            self.release(chargers)
            packs.release(1)

    class Lorry(salabim.Component):  # type: ignore[misc]
        def process(self) -> Iterator[object]:
            came_s = env.now()
            yield self.request(lane)
            yield self.request(packs)
            waits.append(env.now() - came_s)
            yield self.hold(SWAP_S)
            self.release(lane)
            Charge(env=env)

    class Source(salabim.Component):  # type: ignore[misc]
        def process(self) -> Iterator[object]:
            for at in at_s:
                yield self.hold(till=at)
                Lorry(env=env)

    Source(env=env)
    env.run(till=at_s[-1] + 1e6)
    return waits


def agenda_events_per_s(*, with_simpy: bool) -> float:
    """Events of an agenda that put themselves again; beside them, one process of SimPy for every hundred."""
    agenda = Agenda()

    def again(call: Call) -> None:
        agenda.put(agenda.now + 1.0, call)

    def process(env: simpy.Environment) -> Generator[simpy.Event, Any, None]:
        while True:
            yield env.timeout(100.0)

    for number in range(50):
        agenda.at(number / 50, again)
    if with_simpy:
        env = processes(agenda)
        for _ in range(50):
            env.process(process(env))
    start = process_time()
    agenda.run_until(AGENDA_EVENTS / 50)
    return AGENDA_EVENTS / (process_time() - start)


PROGRAMS: tuple[tuple[str, Callable[[Sequence[float]], list[float]], int], ...] = (
    ("naive_simpy", naive_simpy, 20_000),
    ("ours_simple", ours_simple, 20_000),
    ("ours_recursion", ours_recursion, 20_000),
    ("ciw", ciw_network, 5_000),
    ("salabim", salabim_components, 1_500),
)


def run() -> dict[str, object]:
    """Trucks a second, the best round; and times naive SimPy, the median of the rounds."""
    at_s = arrivals(20_000)
    reference = naive_simpy(at_s)
    asked = os.environ.get("SIMULATION", "").split()
    cases = [case for case in CASES if case in asked] or list(CASES)
    programs = PROGRAMS[:1] if asked else PROGRAMS
    for name, program, count in programs:
        waits = program(at_s[:count])
        if any(abs(a - b) > 1e-6 for a, b in zip(waits, reference[:count], strict=True)):
            raise AssertionError(f"{name} gives other waits than naive SimPy")
    rates: dict[str, list[float]] = {}
    compiled = OtherProcess(build()) if has_compiler() else None
    if compiled is not None:
        for case in cases:
            if run_station(case, DAYS[case])[:2] != compiled.run_station(case, DAYS[case])[:2]:
                raise AssertionError(f"{case}: the compiled station gives other waits than its source")
    memory_mb = 0.0
    for _ in range(ROUNDS):
        for name, program, count in programs:
            start = process_time()
            program(at_s[:count])
            rates.setdefault(name, []).append(count / (process_time() - start))
        for with_simpy in (False, True):
            name = "agenda_with_simpy" if with_simpy else "bare_agenda"
            rates.setdefault(name, []).append(agenda_events_per_s(with_simpy=with_simpy))
        for case in cases:
            full = run_station(case, DAYS[case])
            rates.setdefault(case, []).append(full.trucks / full.took_s)
            if compiled is not None:
                full = compiled.run_station(case, DAYS[case])
                rates.setdefault(f"{case}_compiled", []).append(full.trucks / full.took_s)
                memory_mb = full.memory_mb
    if compiled is not None:
        compiled.close()
    results: dict[str, object] = {"waits_equal": "yes, all programs, to 1e-6 s", "memory_mb": memory_mb}
    for form in ("", "_compiled"):
        if {f"packs_10{form}", f"packs_640{form}"} <= rates.keys():
            few, many = (max(rates[f"{case}{form}"]) for case in ("packs_10", "packs_640"))
            results[f"time_a_truck_of_640_packs_to_10{form}"] = few / many
    results["agenda_with_simpy_to_bare"] = median(
        bare / both for bare, both in zip(rates["bare_agenda"], rates["agenda_with_simpy"], strict=True)
    )
    for name, found in rates.items():
        results[f"{name}_trucks_per_s"] = max(found)
        # Round by round: what slows the machine for a while slows both.
        results[f"{name}_times_naive_simpy"] = median(
            rate / naive for rate, naive in zip(found, rates["naive_simpy"], strict=True)
        )
    return results
