"""A network of stations: nothing is lost, one station is the single-station study, sharing helps."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.network.engine import NetworkFlow, station_seed
from sim.network.file import Network, build_network, load_network, parse_network
from sim.network.network import NetworkResult, run_network, simulate_network_once
from sim.scenario.demand import Arrival, arrivals
from sim.scenario.file import Scenario
from sim.scenario.load import parse_scenario
from sim.study.agenda import Call
from sim.study.optimal.planned import under_plan, under_rule
from sim.study.parallel import workers
from sim.study.rows import StudyTruck
from sim.study.stats import difference
from sim.study.study import RunResult, run_study, simulate_once
from swap.config.loading import ConfigError
from tests.support.sim.study import EXAMPLES, scenario, scenario_data, yangquan

TRIPS = {
    "km_loaded": 20,
    "km_empty": 20,
    "kwh_per_km_loaded": 2.3,
    "kwh_per_km_empty": 1.1,
    "load_unload_min": 30,
}


def network(*stations: Scenario, factors: tuple[float, ...] = (), minutes: float = 10.0, **over: Any) -> Network:
    """Stations s1, s2… in a row, `minutes` and as many kilometres between neighbours."""
    ids = [f"s{number}" for number in range(1, len(stations) + 1)]
    data: dict[str, Any] = {
        "id": "net",
        "name_zh": "网络",
        "name_en": "Network",
        "stations": [
            {"id": name, "scenario": "", "demand_factor": factor}
            for name, factor in zip(ids, factors or [1.0] * len(ids), strict=True)
        ],
        "roads": [{"between": [one, other], "km": minutes, "minutes": minutes} for one, other in pairwise(ids)],
    }
    return build_network(parse_network(data | over), list(stations))


def with_packs(base: Scenario, packs: int, **changes: Any) -> Scenario:
    return base.with_equipment(packs={"lfp-282": packs}, **changes)


def same(one: RunResult, other: RunResult) -> bool:
    """Every field, to the last bit."""
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(RunResult)]
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def fleet_scenario(packs: int = 6, vehicles: int = 30) -> Scenario:
    fleets = [{"id": "f1", "model": "tractor", "vehicles": vehicles, "trips": TRIPS}]
    equipment = {"packs": {"lfp-282": packs}, "charger_kw": 240, "transformer_kva": 2500}
    return scenario(fleets=fleets, demand={"mode": "fleet"}, equipment=equipment)


def trace_scenario(folder: Path) -> Scenario:
    """A truck at every full hour: the instants of changes of price and hour."""
    rows = "\n".join(f"{hour * 3600},f1,20" for hour in range(24) for _ in range(8))
    (folder / "trace.csv").write_text(f"at,fleet,soc_pct\n{rows}\n", encoding="utf-8")
    data = scenario_data(demand={"mode": "trace", "trace": "trace.csv"}, patience={"balk_at": 9})
    return parse_scenario(data, folder=folder)


# -- one station


@pytest.mark.parametrize("which", ["example", "fleet", "trace", "losing", "site"])
def test_a_network_of_one_station_is_the_single_station_study(which: str, tmp_path: Path) -> None:
    if which == "example":
        made = yangquan()
    elif which == "fleet":
        made = fleet_scenario()
    elif which == "trace":
        made = trace_scenario(tmp_path)
    elif which == "site":
        made = scenario(
            storage={"energy_kwh": 400, "power_kw": 200},
            pv={"peak_kw": 300},
            dr_events=[{"from_hour": 18.25, "hours": 1.5, "limit_kw": 600}],
            staff={"shifts": [{"from_hour": 6, "hours": 18}]},
        )
    else:
        made = scenario(
            demand={"trucks_per_hour_by_hour": [9.0] * 24},
            patience={"mean_patience_min": 20, "balk_at": 5},
            failures={"robot_mtbf_h": 20, "charger_mtbf_h": 50, "pack_fault_share": 0.02},
        )
    single = simulate_once(made, 7, 3, days=8)
    joined = simulate_network_once(network(made), 7, 3, days=8)
    assert len(single.waits_min) > 500
    assert same(joined.stations[0], single)
    assert joined.detour_min == 0


def test_so_are_its_estimates_warm_up_and_replications() -> None:
    made = busy(3.0, 3, study={"days": 3, "replications": 3})
    with workers(1) as pool:
        single = run_study(made, pool)
        joined = run_network(network(made), pool)
    assert joined.station(0).estimates() == single.estimates()
    assert joined.warmup_days == single.warmup_days
    total = joined.estimates()
    assert total["mean_wait_min"] == single.mean_wait_min == total["mean_time_lost_min"]
    assert total["share_within_promise"] == single.share_within


# -- many


def busy(rate: float = 6.0, packs: int = 6, **over: Any) -> Scenario:
    equipment = {"packs": {"lfp-282": packs}, "charger_kw": 240, "transformer_kva": 2500, "swap_cv": 0.1}
    return scenario(equipment=equipment, demand={"trucks_per_hour_by_hour": [rate] * 24, "follows_cold": False}, **over)


def test_a_truck_knows_when_a_station_has_nobody() -> None:
    shift = {"shifts": [{"from_hour": 8, "hours": 12}]}
    flow = NetworkFlow(network(busy(1e-3, staff=shift), busy(1e-3)), 1)
    flow.run_until(3 * 3600.0)
    truck = next(arrivals(busy(), busy().start_at, 1))
    waits_s = [station.expected_wait_s(truck, 600.0) for station in flow.stations]
    assert waits_s == pytest.approx([5 * 3600 - 600, 0.0])


def test_in_a_network_the_price_rule_charges_and_the_result_says_so() -> None:
    with workers(1) as pool:
        found = run_network(network(under_plan(busy(), "optimal")), pool, days=0.1, replications=2, warmup_days=0.0)
    assert found.network.scenarios[0].charging.plan == "rule"
    assert [str(note) for note in found.notes] == [str(note) for note in under_rule(under_plan(busy(), "optimal"))[1]]


def test_the_same_seed_gives_the_same_numbers_on_any_number_of_processes() -> None:
    made = network(busy(), busy(2.0), rebalancing={"carriers": 1})
    found = []
    for processes in (1, 2):
        with workers(processes) as pool:
            found.append(run_network(made, pool, days=2, replications=3, warmup_days=0.5, seed=5))
    assert found[0].estimates() == found[1].estimates()
    with workers(1) as pool:
        other = run_network(made, pool, days=2, replications=3, warmup_days=0.5, seed=6)
    assert other.estimates() != found[0].estimates()


def test_stations_draw_from_streams_of_their_own() -> None:
    assert station_seed(4, 0) == 4
    assert len({station_seed(seed, index) for seed in range(20) for index in range(20)}) == 400


@pytest.mark.parametrize("mode", ["profile", "fleet"])
def test_packs_are_neither_lost_nor_made(mode: str) -> None:
    failures = {"robot_mtbf_h": 15.0, "pack_fault_share": 0.02, "pack_inspection_h": 3.0}
    if mode == "fleet":
        stations = [fleet_scenario(5, 50), fleet_scenario(12, 10), fleet_scenario(7, 20)]
    else:
        stations = [
            busy(rate, packs, failures=failures, patience={"mean_patience_min": 60})
            for rate, packs in ((10.0, 5), (1.0, 14), (4.0, 7))
        ]
    made = network(*stations, rebalancing={"carriers": 2, "review_min": 7, "exchange_min": 4})
    flow = NetworkFlow(made, 2)
    packs = sum(s.equipment.pack_total for s in stations)
    on_road = 0
    for step in range(1, 600):
        flow.run_until(step * 1111.0)
        assert flow.packs_held == packs
        on_road = max(on_road, flow.carriers.packs_held)
        for station in (member.station for member in flow.stations):
            states = [bay.pack.state for bay in station.rack.bays if bay.pack is not None]
            assert len(station.rack.charged) == sum(state == "ready" for state in states)
            assert station.rack.empty == sum(b.pack is None and b.reserved_by is None for b in station.rack.bays)
    flow.close()
    assert flow.diverted > 20
    assert flow.carriers.packs_moved > 20
    assert on_road > 1


def test_no_truck_of_a_fleet_gets_lost_between_stations() -> None:
    """Each truck is on the event list, in a queue or in a lane, once."""
    fleets = [fleet_scenario(4, 45), fleet_scenario(10, 5)]
    flow = NetworkFlow(network(*fleets, choice={"least_gain_min": 0}), 3)
    calls = ("_on_gate", "_on_guest")
    for day in range(1, 15):
        flow.run_until(day * 86_400.0)
        found = []
        feeds = {member.feed.own: member.index for member in flow.stations}
        for call in [event for event in flow.time._list if event.waits]:
            name = getattr(getattr(call, "fn", None), "__name__", "")
            if isinstance(call, Call) and name in calls:
                owner: Any = getattr(call.fn, "__self__", None)
                arrival = call.payload if name == "_on_gate" else call.payload[0]
                index = feeds[owner] if name == "_on_gate" else owner.index
                found.append(named(index, arrival.vehicle_id))
        for member in flow.stations:
            found += [named(member.index, truck.vehicle_id) for truck in member.station.queue]
            found += [named(member.index, truck.vehicle_id) for truck in member.open.values()]
        assert len(found) == len(set(found)) == 50
    assert flow.diverted > 20


def named(station: int, vehicle: str) -> str:
    """A truck by its home, wherever it is."""
    return vehicle if ":" in vehicle else f"{station}:{vehicle}"


def results(*made: Network, days: float, replications: int = 4) -> list[NetworkResult]:
    with workers(1) as pool:
        return [run_network(one, pool, days=days, replications=replications, warmup_days=1) for one in made]


def test_two_equal_stations_beat_one_overloaded_one() -> None:
    """One lane and 7 packs cannot serve 11 trucks an hour; a twin 10 minutes away, with no trucks of its own, takes
    what is too much, and drivers lose less time although they drive there and back."""
    overloaded = busy(11.0, 7, patience={"truck_places": 30})
    one, two = results(network(overloaded), network(overloaded, overloaded, factors=(1.0, 0.0)), days=6)
    first, second = one.estimates(), two.estimates()
    assert second["share_within_promise"].low > first["share_within_promise"].high
    assert second["mean_time_lost_min"].high < first["mean_time_lost_min"].low
    assert second["lost_share"].high < first["lost_share"].low
    assert second["swaps_per_day"].mean == pytest.approx(11 * 24, rel=0.03)
    # The detour of 20 minutes keeps most trucks at the station on their way; only what is too much for it leaves.
    swaps = [study.mean("swaps_per_day").mean for study in two.by_station().values()]
    assert swaps[0] > 0.95 * one.station(0).mean("swaps_per_day").mean
    assert 0.1 < swaps[1] / sum(swaps) < 0.5
    assert second["mean_detour_min"].mean == pytest.approx(20 * second["diverted_share"].mean, rel=1e-6)


def test_a_network_with_a_station_that_cannot_serve_all_has_no_mean_wait() -> None:
    plenty, few = with_packs(scenario(), 9), with_packs(scenario(), 1)
    with workers(1) as pool:
        apart = run_network(network(plenty, few, choice={"rule": "home"}), pool, replications=3, days=3, warmup_days=1)
    assert set(apart.unstable) == {"s2"}
    found = apart.estimates()
    assert math.isnan(found["mean_wait_min"].mean)
    assert math.isnan(found["p95_time_lost_min"].mean)
    assert 0.3 < found["share_within_promise"].mean < 0.7
    assert [str(note).split(" is unstable")[0] for note in apart.notes] == ["s2"]


def test_a_choice_by_home_leaves_the_twin_idle() -> None:
    overloaded = busy(11.0, 7, patience={"truck_places": 30})
    made = network(overloaded, overloaded, factors=(1.0, 0.0), choice={"rule": "home"})
    run = simulate_network_once(made, 1, days=3)
    assert run.stations[1].waits_min.size == 0
    assert same(run.stations[0], simulate_once(overloaded, 1, days=3))


def test_moving_packs_cuts_stock_outs_where_packs_are_short() -> None:
    """Station 1 has 4 packs on two chargers for 5 trucks an hour, station 2 has 14 packs for 1; trucks keep to their
    station, so only packs can help. Each replication is better, on the same trucks."""
    short = busy(5.0).with_equipment(packs={"lfp-282": 4}, chargers=2)
    made = network(
        short,
        busy(1.0, 14).with_equipment(transformer_kva=5000),  # charges all of its packs at once
        choice={"rule": "home"},
        rebalancing={"carriers": 2, "packs_per_trip": 4, "review_min": 10, "exchange_min": 10},
    )
    alone, shared = results(made.alone(), made, days=6)
    gains = []
    for without, with_ in zip(alone.runs, shared.runs, strict=True):
        gains.append(
            without.stations[0].stockouts / without.stations[0].arrived
            - (with_.stations[0].stockouts / with_.stations[0].arrived)
        )
    gain = difference(gains, [0.0] * len(gains))
    assert gain.low > 0.1
    assert shared.station(0).share_within.low > alone.station(0).share_within.high
    # The giver still serves its own trucks.
    assert shared.station(1).share_within.mean > 0.97
    assert shared.estimates()["packs_moved_per_day"].mean > 10
    assert alone.estimates()["packs_moved_per_day"].mean == 0


def test_the_wait_shown_to_drivers_is_on_average_the_wait_they_find() -> None:
    flow = NetworkFlow(network(busy(7.0, 7)), 1)
    station = flow.stations[0]
    shown: dict[str, float] = {}
    pairs: list[tuple[float, float]] = []

    def receive(arrival: Arrival) -> None:
        wait_s = station.expected_wait_s(arrival, 0.0)
        truck = station.station.trucks.truck_of(arrival)
        shown[truck.swap_id] = wait_s
        station.station.arrive(truck)

    def compare(at_s: float, event: str, truck: StudyTruck) -> None:
        if event == "dispatched":
            pairs.append((shown[truck.swap_id], at_s - truck.at_s))

    station.receive = receive  # type: ignore[method-assign]
    station.station.listeners.append(compare)
    flow.run_until(25 * 86_400.0)
    told, found = np.array(pairs).T / 60
    assert found.mean() > 5
    assert told.mean() == pytest.approx(found.mean(), rel=0.1)
    assert np.corrcoef(told, found)[0, 1] > 0.9


# -- who goes where


def directed(made: Network, **arrival: Any) -> int:
    """Station to which a truck at a crowded station 1 is sent."""
    flow = NetworkFlow(made, 1)
    model, fleet = made.scenarios[0].vehicle_models[0].id, made.scenarios[0].fleets[0].id
    for number in range(6):
        flow.direct(flow.stations[0], Arrival(0.0, fleet, model, f"t{number}", (30.0,), booked=True))
    sent = flow.diverted
    flow.direct(flow.stations[0], Arrival(0.0, fleet, model, "x", (30.0,))._replace(**arrival))
    return int(flow.diverted > sent)


def test_a_truck_drives_on_when_that_is_quicker() -> None:
    """Six trucks ahead at five minutes and more are half an hour; ten minutes there and back are twenty."""
    assert directed(network(busy(), busy())) == 1


@pytest.mark.parametrize(
    ("over", "arrival"),
    [
        ({"choice": {"rule": "home"}}, {}),
        ({"choice": {"least_gain_min": 60}}, {}),
        ({"choice": {"drive_weight": 5}}, {}),
        ({"minutes": 25.0}, {}),
        ({}, {"booked": True}),
        ({}, {"soc_pct": (10.0,)}),  # 10 km at 1.7 kWh/km are 6 % of 282 kWh; 8 % must be left
    ],
)
def test_a_truck_stays_when_it_is_not(over: dict[str, Any], arrival: dict[str, Any]) -> None:
    assert directed(network(busy(), busy(), **over), **arrival) == 0


def test_a_detour_costs_energy() -> None:
    flow = NetworkFlow(network(busy(), busy()), 1)
    home, other = flow.stations
    arrival = Arrival(0.0, "f1", "tractor", "x", (30.0,))
    assert flow._drained(home, other, arrival)[0] == pytest.approx(30 - 100 * 10 * 1.7 / 282)


def test_a_station_without_the_trucks_packs_is_no_choice() -> None:
    data = scenario_data(
        pack_kinds=[{"id": "big", "rated_kwh": 564, "max_charge_kw": 564}],
        vehicle_models=[{"id": "dumper", "pack_kinds": ["big"]}],
        fleets=[{"id": "f2", "model": "dumper", "vehicles": 5}],
        equipment={"packs": {"big": 4}},
    )
    assert directed(network(busy(), parse_scenario(data))) == 0


# -- the file


def test_ways_lead_over_other_stations() -> None:
    made = network(busy(), busy(), busy(), minutes=7.0)
    assert made.minutes[0] == (0.0, 7.0, 14.0)
    assert made.km[2] == (14.0, 7.0, 0.0)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"roads": []}, "roads: none leads to 's1'"),
        ({"roads": [{"between": ["s1", "s9"], "km": 1, "minutes": 1}]}, "no such station 's9'"),
        ({"factors": (0.0, 0.0)}, "no truck ever comes"),
        ({"rebalancing": {"carrier": 1}}, "rebalancing.carrier = 1: is no known field"),
    ],
)
def test_contradictions_are_named(over: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        network(busy(), busy(), **over)


def test_what_is_shared_must_be_the_same() -> None:
    other = parse_scenario(scenario_data(pack_kinds=[{"id": "lfp-282", "rated_kwh": 300, "max_charge_kw": 282}]))
    with pytest.raises(ConfigError, match=r"pack_kinds.lfp-282 differs"):
        network(busy(), other)


def test_problems_of_the_scenarios_are_all_listed(tmp_path: Path) -> None:
    text = 'id = "n"\nname_zh = "网"\nname_en = "N"\nstations = [{id = "a", scenario = "a.toml"}]\n'
    (tmp_path / "network.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"stations.a.scenario = 'a.toml': cannot be read"):
        load_network(tmp_path / "network.toml")


def test_the_example_helps_its_overloaded_station() -> None:
    read = load_network(EXAMPLES / "network" / "network.toml")
    alone, shared = results(read.alone(), read, days=7, replications=3)
    assert shared.station(0).share_within.mean > alone.station(0).share_within.mean + 0.05
    assert shared.estimates()["mean_time_lost_min"].mean < 0.7 * alone.estimates()["mean_time_lost_min"].mean
    assert shared.estimates()["packs_moved_per_day"].mean > 1
