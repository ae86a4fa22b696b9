"""Frozen traces of the study: for each case who was served when, in which lane, from and into which bays, and the
energy of each hour.

`python -m tests.support.sim.traces` writes them anew into `tests/vectors/traces/`, `… CASE` only those of one case,
and `… --print CASE SEED` shows a whole trace. A file holds the first rows in clear and a digest of each day, so that a
difference can be located. A change of the engine that changes a trace says by how much.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from sim.network.engine import NetworkFlow
from sim.network.file import Network, build_network, load_network, parse_network
from sim.scenario.demand import Arrival, arrivals
from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario, parse_scenario
from sim.study.given import Given, GivenStation, LaneOutage, Stock
from sim.study.rows import StudyTruck
from sim.study.station import Station
from sim.study.swap_truck import scenario_station
from swap.config.loading import load_station
from tests.support.sim.study import EXAMPLES, scenario_data, yangquan

FOLDER = Path(__file__).parents[2] / "vectors" / "traces"
SEEDS = (1, 2)
DAY_S = 86_400.0
_SHOWN_TRUCKS, _SHOWN_HOURS = 25, 12


@dataclass
class Trace:
    """What one run did."""

    trucks: list[str] = field(default_factory=list)
    """Start in seconds, station, lane, bays of the charged packs, bays of the spent ones."""
    hours: list[str] = field(default_factory=list)
    """Start in seconds, station, energy charged and imported in kWh, packs ready, trucks waiting."""

    def text(self) -> str:
        """The file: the first rows, and digests by day."""
        lines = [f"trucks {len(self.trucks)}", *self.trucks[:_SHOWN_TRUCKS]]
        lines += [f"hours {len(self.hours)}", *self.hours[:_SHOWN_HOURS]]
        lines += [f"day {day} trucks {_digest(rows)}" for day, rows in _by_day(self.trucks)]
        lines += [f"day {day} hours {_digest(rows)}" for day, rows in _by_day(self.hours)]
        return "\n".join(lines) + "\n"


def _by_day(rows: list[str]) -> Iterator[tuple[int, list[str]]]:
    found: dict[int, list[str]] = {}
    for row in rows:
        found.setdefault(int(float(row.split()[0]) // DAY_S), []).append(row)
    yield from sorted(found.items())


def _digest(rows: list[str]) -> str:
    return sha256("\n".join(rows).encode()).hexdigest()[:16]


def _watch(station: Station, number: int, rows: list[str]) -> None:
    def told(at_s: float, event: str, truck: StudyTruck) -> None:
        if event == "dispatched" and truck.lane is not None:
            given, taken = (",".join(bay.bay_id for bay in bays) for bays in (truck.given, truck.homes))
            rows.append(f"{at_s!r} {number} {truck.lane.lane_id} {given} {taken}")

    station.listeners.append(told)


def _hours(station: Station, number: int) -> list[str]:
    return [
        f"{h.start_s!r} {number} {h.charge_kwh!r} {h.import_kwh!r} {h.ready} {h.waiting}"
        + ("" if h.flows is None else f" {h.flows.in_kwh!r} {h.flows.out_kwh!r} {h.flows.pv_used_kwh!r}")
        for h in station.hours
    ]


def run_station(station: Station, until_s: float) -> Trace:
    """The trace of one station up to an instant."""
    trace = Trace()
    _watch(station, 0, trace.trucks)
    station.run_until(until_s)
    station.close()
    trace.hours = _hours(station, 0)
    return trace


def run_network(network: Network, seed: int, days: float) -> Trace:
    """The trace of all stations of a network."""
    flow = NetworkFlow(network, seed)
    trace = Trace()
    for index, member in enumerate(flow.stations):
        _watch(member.station, index, trace.trucks)
    flow.run_until(days * DAY_S)
    flow.close()
    for index, member in enumerate(flow.stations):
        trace.hours += _hours(member.station, index)
    return trace


# -- cases


def _example(name: str, file: str = "scenario.toml", days: float = 7, **equipment: Any) -> Callable[[int], Trace]:
    def run(seed: int) -> Trace:
        scenario = load_scenario(EXAMPLES / name / file)
        return _run(scenario.with_equipment(**equipment) if equipment else scenario, seed, days)

    return run


def _run(scenario: Scenario, seed: int, days: float) -> Trace:
    return run_station(scenario_station(scenario, seed), days * DAY_S)


def _made(days: float = 5, **sections: Any) -> Callable[[int], Trace]:
    return lambda seed: _run(parse_scenario(scenario_data(**sections)), seed, days)


def _equipment(**over: Any) -> dict[str, Any]:
    return {"packs": {"lfp-282": 8}, "charger_kw": 240, "transformer_kva": 2500, "swap_cv": 0.1} | over


def _demand(rate: float, **over: Any) -> dict[str, Any]:
    return {"trucks_per_hour_by_hour": [rate] * 24, "follows_cold": False} | over


_SIZED: dict[str, Any] = {"packs": 36, "chargers": 8, "transformer_kva": 2000, "lanes": 2}
_TWO_PACKS: dict[str, Any] = {
    "vehicle_models": [{"id": "tractor", "pack_kinds": ["lfp-282"], "packs_per_vehicle": 2}],
    "demand": _demand(3.0),
}
_TWO_KINDS: dict[str, Any] = {
    "pack_kinds": [
        {"id": "lfp-282", "rated_kwh": 282, "max_charge_kw": 282},
        {"id": "lfp-141", "rated_kwh": 141, "max_charge_kw": 200, "charge_temp_max_c": 48},
    ],
    "vehicle_models": [
        {"id": "tractor", "pack_kinds": ["lfp-282"]},
        {"id": "light", "pack_kinds": ["lfp-141"]},
        {"id": "either", "pack_kinds": ["lfp-141", "lfp-282"]},
    ],
    "fleets": [
        {"id": "f1", "model": "tractor", "vehicles": 30, "arrive_soc": {"min_pct": 15, "max_pct": 45}},
        {"id": "f2", "model": "light", "vehicles": 20, "priority": 2},
        {"id": "f3", "model": "either", "vehicles": 15, "arrive_soc": {"min_pct": 5, "max_pct": 95}},
    ],
    "equipment": _equipment(packs={"lfp-282": 7, "lfp-141": 5}, lanes=2, transformer_kva=1000),
    "bookings": {"share": 0.4, "no_show_share": 0.1},
    "demand": _demand(8.0),
}
_FLEET = {
    "id": "f1",
    "model": "tractor",
    "vehicles": 25,
    "shifts": [{"from_hour": 6, "hours": 9}, {"from_hour": 18, "hours": 9}],
    "trips": {"km_loaded": 12, "km_empty": 12, "kwh_per_km_loaded": 2.5, "kwh_per_km_empty": 1.2},
}
_STORAGE = {"energy_kwh": 1200, "power_kw": 500, "reserve_share": 0.2}


def _climate(temp_c: float, **over: Any) -> dict[str, Any]:
    return {"mean_c_by_month": [temp_c] * 12, "swing_c": 6, "rack_min_c": None, "rack_max_c": None} | over


def _traced(seed: int) -> Trace:
    data = scenario_data(demand={"mode": "trace", "trace": "arrivals.csv"})
    return _run(parse_scenario(data, folder=FOLDER), seed, 5)


def _given(seed: int) -> Trace:
    """The rack of the Yangquan file at 7 h, unlike packs, outages, lane times and temperatures by truck."""
    scenario = yangquan()
    station = load_station(EXAMPLES / "yangquan_mine" / "station.toml")
    rack = [bay for bay in station.bays if bay.role == "rack"]
    kind = scenario.pack_kinds[0].id
    stock = {
        bay.id: Stock(kind, 20.0 + 75 * (n * 7 % 10) / 9, None if n % 3 else 41.0) for n, bay in enumerate(rack[:-2])
    }
    start_s = 7 * 3600.0
    coming: list[Arrival] = []
    for arrival in arrivals(scenario, scenario.start_at, seed):
        if arrival.at_s > 40 * 3600:
            break
        if arrival.at_s > start_s - 1200:
            coming.append(arrival)
    outages = [
        LaneOutage(station.lanes[0].id, 10 * 3600.0, 10.7 * 3600.0),
        LaneOutage(station.lanes[0].id, 50_000.0, 51_000.0),
    ]
    given = Given(
        station,
        coming,
        stock,
        start_s,
        outages,
        temp_c=[(None if n % 4 else 43.0,) for n in range(len(coming) // 2)],
        swap_s=[None if n % 5 else 420.0 for n in range(len(coming))],
    )
    return run_station(GivenStation(scenario, given, seed).station, 40 * 3600.0)


def _network(seed: int) -> Trace:
    return run_network(load_network(EXAMPLES / "network" / "network.toml"), seed, 5)


def _fleet_network(seed: int) -> Trace:
    made = [
        parse_scenario(scenario_data(fleets=[fleet], demand={"mode": "fleet"}, equipment=_equipment(packs=packs)))
        for fleet, packs in ((_FLEET, {"lfp-282": 4}), (_FLEET | {"vehicles": 6}, {"lfp-282": 10}))
    ]
    data = {
        "id": "pair",
        "name_zh": "两站",
        "name_en": "Pair",
        "stations": [{"id": "a", "scenario": ""}, {"id": "b", "scenario": ""}],
        "roads": [{"between": ["a", "b"], "km": 6, "minutes": 11}],
        "choice": {"rule": "queue_and_distance", "least_gain_min": 2},
        "rebalancing": {"carriers": 2, "packs_per_trip": 2, "low_ready": 2, "keep_ready": 3},
    }
    return run_network(build_network(parse_network(data), made), seed, 5)


CASES: dict[str, Callable[[int], Trace]] = {
    "yangquan": _example("yangquan_mine"),
    "yangquan_sized": _example("yangquan_mine", **_SIZED),
    "yangquan_overload": lambda seed: _run(_overload(2.0), seed, 5),
    "shuozhou": _example("shuozhou_open_pit"),
    "zezhou": _example("zezhou_transfer"),
    "zezhou_storage": _example("zezhou_transfer", "storage.toml"),
    "trunk_road": _example("trunk_road"),
    "mobile_swap": _example("mobile_swap"),
    "network": _network,
    "two_packs": _made(**_TWO_PACKS, equipment=_equipment(lanes=2)),
    "two_packs_in_out": _made(**_TWO_PACKS, equipment=_equipment(swap_order="in_out", spare_bays=0)),
    "in_out": _made(equipment=_equipment(swap_order="in_out", spare_bays=1, lanes=2)),
    "two_kinds": _made(**_TWO_KINDS),
    "pack_faults": _made(
        failures={"pack_fault_share": 0.1, "pack_inspection_h": 5, "robot_mtbf_h": 20, "charger_mtbf_h": 50},
        equipment=_equipment(lanes=2, packs={"lfp-282": 12}),
    ),
    "convoys": _made(demand=_demand(6.0, convoys={"share": 0.5})),
    "patience": _made(demand=_demand(9.0), patience={"balk_at": 4, "mean_patience_min": 20, "truck_places": 6}),
    "staff": _made(
        demand=_demand(5.0),
        staff={"shifts": [{"from_hour": 6, "hours": 11}, {"from_hour": 15.5, "hours": 8, "weekdays": [1, 2, 3]}]},
        failures={"robot_mtbf_h": 30, "charger_mtbf_h": 60, "pack_fault_share": 0.03},
        equipment=_equipment(lanes=2),
    ),
    "storage_and_sun": _made(
        pv={"peak_kw": 900}, storage=_STORAGE, equipment=_equipment(transformer_kva=900), demand=_demand(7.0)
    ),
    "sun": _made(pv={"peak_kw": 600}, equipment=_equipment(transformer_kva=900)),
    "demand_response": _made(
        dr_events=[{"from_hour": 18.25, "hours": 2, "limit_kw": 400}, {"from_hour": 9, "hours": 1.5, "limit_kw": 0}]
    ),
    "storage_and_response": _made(
        storage=_STORAGE,
        dr_events=[{"from_hour": 18.25, "hours": 2, "limit_kw": 400}],
        equipment=_equipment(transformer_kva=1200, packs={"lfp-282": 12}),
    ),
    "fleet": _made(fleets=[_FLEET], demand={"mode": "fleet"}, bookings={"share": 0.3, "no_show_share": 0.1}),
    "fleet_patience": _made(fleets=[_FLEET], demand={"mode": "fleet"}, patience={"balk_at": 2}),
    "trace": _traced,
    "swap_truck": _made(
        equipment=_equipment(
            lanes=2, packs={"lfp-282": 16}, spare_bays=0, chargers=6, swap_truck={"packs": 4, "drive_min": 8}
        ),
        failures={"robot_mtbf_h": 10, "robot_repair_h": 0.5, "charger_mtbf_h": 50},
    ),
    "recorded_start": _given,
    "fleet_network": _fleet_network,
    "frozen": _made(climate=_climate(-14.0, pack_min_c=2)),
    "cold": _made(climate=_climate(4.0), failures={"charger_mtbf_h": 60, "charger_repair_h": 4}),
    "hot": _made(climate=_climate(37.0), equipment=_equipment(transformer_kva=1500)),
    "short_equal": _made(
        charging={"sharing": "equal"}, equipment=_equipment(transformer_kva=800, packs={"lfp-282": 12})
    ),
    "rack_cap": _made(charging={"max_power_kw": 600}, equipment=_equipment(packs={"lfp-282": 12}, chargers=6)),
    "no_tariff": _made(charging={"tariff_aware": False}, equipment=_equipment(transformer_kva=900)),
    "own_chargers": _made(
        failures={"charger_mtbf_h": 30, "charger_repair_h": 6, "robot_mtbf_h": 15},
        equipment=_equipment(transformer_kva=1400, packs={"lfp-282": 10}),
    ),
}
"""Cases by name: a function of the seed."""


def _overload(factor: float) -> Scenario:
    made = yangquan()
    return made.model_copy(update={"demand": made.demand.model_copy(update={"factor": factor})})


def path_of(case: str, seed: int) -> Path:
    """The file of a frozen trace."""
    return FOLDER / f"{case}.{seed}.txt"


def main(arguments: list[str]) -> None:
    """Write or print traces."""
    if arguments[:1] == ["--print"]:
        trace = CASES[arguments[1]](int(arguments[2]))
        print("\n".join([*trace.trucks, *trace.hours]))
        return
    FOLDER.mkdir(exist_ok=True)
    for case in arguments or CASES:
        for seed in SEEDS:
            path_of(case, seed).write_text(CASES[case](seed).text(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
