from __future__ import annotations

from itertools import islice, pairwise, takewhile
from pathlib import Path
from typing import Any

import pytest

from sim.scenario.demand import DAY_S, Arrival, FleetDemand, HourlyRates, _known_rates, arrivals
from sim.scenario.file import Scenario
from sim.world.world import World, _known_hours
from tests.support.sim.study import scenario, yangquan


def first_days(read: Scenario, days: float, seed: int = 1) -> list[Arrival]:
    return list(takewhile(lambda a: a.at_s < days * DAY_S, arrivals(read, read.start_at, seed)))


def test_the_same_seed_gives_the_same_trucks() -> None:
    read = yangquan()
    one, again = (list(islice(arrivals(read, read.start_at, 5), 500)) for _ in range(2))
    other = list(islice(arrivals(read, read.start_at, 6), 500))
    assert one == again
    assert one != other


def test_trucks_come_in_order_and_as_often_as_the_profile_says() -> None:
    read = yangquan()
    found = first_days(read, 60)
    assert all(a.at_s <= b.at_s for a, b in pairwise(found))
    expected = sum(read.demand.trucks_per_hour_by_hour) * (6 + 0.9) / 7 * 60
    assert len(found) == pytest.approx(expected, abs=4 * expected**0.5)
    at_seven = sum(7 <= a.at_s / 3600 % 24 < 8 for a in found)
    assert at_seven / 60 == pytest.approx(13 * 6.9 / 7, rel=0.15)


def test_a_truck_is_away_for_hours_before_it_comes_again() -> None:
    last: dict[str, float] = {}
    for arrival in first_days(yangquan(), 30):
        assert arrival.vehicle_id is not None
        gap_s = arrival.at_s - last.get(arrival.vehicle_id, -1e9)
        assert gap_s > 3600
        last[arrival.vehicle_id] = arrival.at_s
    assert len(last) == 50


def test_state_of_charge_and_bookings_follow_the_scenario() -> None:
    read = yangquan()
    found = first_days(read, 40)
    levels = [a.soc_pct[0] for a in found]
    assert 15 <= min(levels) <= max(levels) <= 45
    assert sum(levels) / len(levels) == pytest.approx(30, abs=0.5)
    booked = [a for a in found if a.booked]
    assert len(booked) / len(found) == pytest.approx(read.bookings.share, abs=0.03)
    assert all(a.booked_from_s <= a.at_s <= a.booked_until_s for a in booked)
    assert sum(not a.comes for a in booked) / len(booked) == pytest.approx(0.03, abs=0.01)


def test_more_demand_means_the_same_trucks_earlier() -> None:
    base = scenario()
    more = base.model_copy(update={"demand": base.demand.model_copy(update={"factor": 1.25})})
    one = list(islice(arrivals(base, base.start_at, 3), 200))
    other = list(islice(arrivals(more, more.start_at, 3), 200))
    assert [a.soc_pct for a in one] == [a.soc_pct for a in other]
    assert all(b.at_s == pytest.approx(a.at_s / 1.25) for a, b in zip(one, other, strict=True))


def test_convoys_keep_the_rate_and_come_close_together() -> None:
    read = scenario(
        demand={
            "trucks_per_hour_by_hour": [6.0] * 24,
            "follows_cold": False,
            "convoys": {"share": 0.5, "sizes": {"3": 1.0}, "headway_s": 60},
        }
    )
    found = first_days(read, 100)
    assert len(found) == pytest.approx(14_400, rel=0.04)
    convoys: dict[int, list[float]] = {}
    for arrival in found:
        if arrival.convoy is not None:
            convoys.setdefault(arrival.convoy, []).append(arrival.at_s)
    complete = [times for times in convoys.values() if len(times) == 3]
    assert len(complete) >= len(convoys) - 1
    assert all(times[2] - times[0] == pytest.approx(120) for times in complete)


def test_cold_brings_trucks_more_often() -> None:
    climate = {"mean_c_by_month": [-20.0] * 12, "energy_use": [{"temp_c": -20, "factor": 1.3}]}
    cold = scenario(climate=climate, demand={"trucks_per_hour_by_hour": [6.0] * 24, "follows_cold": True})
    assert len(first_days(cold, 60)) == pytest.approx(1.3 * 6 * 24 * 60, rel=0.05)


def test_trucks_of_a_fleet_drive_until_the_pack_is_low() -> None:
    trips = {"km_loaded": 20, "km_empty": 20, "kwh_per_km_loaded": 2.3, "kwh_per_km_empty": 1.1, "cv": 0}
    fleet = {"id": "f1", "model": "tractor", "vehicles": 5, "trips": trips, "shifts": [{"from_hour": 6, "hours": 12}]}
    read = scenario(demand={"mode": "fleet"}, fleets=[fleet])
    demand = FleetDemand(read, read.start_at, 1)
    arrival = demand.after_swap(read.fleets[0], "f1-001", 8 * 3600.0, (95.0,))
    # 68 kWh a trip are 24.1 % of 282 kWh: two trips leave 46.8 %, a third would end below 25 %.
    assert arrival.soc_pct[0] == pytest.approx(95 - 2 * 100 * 68 / 282, abs=0.01)
    assert arrival.at_s == pytest.approx(8 * 3600 + 2 * (40 / 35 * 3600 + 20 * 60))
    night = demand.after_swap(read.fleets[0], "f1-001", 20 * 3600.0, (95.0,))
    assert night.at_s > 30 * 3600
    found = first_days(read, 5)
    assert {a.vehicle_id for a in found} == {f"f1-{n:03d}" for n in range(1, 6)}


def test_a_trace_is_played_and_repeated(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("at,fleet,vehicle,soc_pct\n2026-01-05T06:00,f1,T9,22\n2026-01-05T07:30,f1,,\n")
    read = scenario(demand={"mode": "fleet"}, fleets=[fleet_with_trips()])
    demand = read.demand.model_copy(update={"mode": "trace", "trace": "day.csv"})
    read = read.model_copy(update={"demand": demand, "folder": str(tmp_path)})
    found = list(islice(arrivals(read, read.start_at, 1), 4))
    assert [a.at_s for a in found] == [21_600, 27_000, 21_600 + DAY_S, 27_000 + DAY_S]
    assert found[0].vehicle_id == "T9"
    assert found[0].soc_pct == (22.0,)
    assert 15 <= found[1].soc_pct[0] <= 45


def fleet_with_trips() -> dict[str, object]:
    trips = {"km_loaded": 20, "km_empty": 20, "kwh_per_km_loaded": 2.3, "kwh_per_km_empty": 1.1}
    return {"id": "f1", "model": "tractor", "vehicles": 5, "trips": trips}


@pytest.mark.parametrize(("factor", "trucks"), [(0.5, {2, 3}), (1.0, {5}), (1.4, {7}), (2.5, {12, 13})])
def test_more_demand_means_more_trucks_of_a_fleet(factor: float, trucks: set[int]) -> None:
    read = scenario(demand={"mode": "fleet", "factor": factor}, fleets=[fleet_with_trips()])
    counts = {len(FleetDemand(read, read.start_at, 1, replication).first()) for replication in range(8)}
    assert counts == trucks
    names = [arrival.vehicle_id for arrival in FleetDemand(read, read.start_at, 1).first()]
    assert len(set(names)) == len(names)


OTHERS: list[dict[str, Any]] = [
    {},
    {"climate": {"mean_c_by_month": [-5.0] * 12}},
    {
        "demand": {"trucks_per_hour_by_hour": [6.0] * 24, "follows_cold": True},
        "climate": {"mean_c_by_month": [-5.0] * 12, "energy_use": [{"temp_c": -10, "factor": 1.5}]},
    },
    {"demand": {"trucks_per_hour_by_hour": [6.0] * 24, "follows_cold": False, "factor": 2.0}},
    {"equipment": {"packs": {"lfp-282": 8}, "charger_kw": 240, "transformer_kva": 900}},
    {"pv": {"peak_kw": 500.0}},
    {"dr_events": [{"from_hour": 18.0, "hours": 2.0, "limit_kw": 100.0}]},
    {"tariff": {"profile": "flat", "energy_price_yuan_per_kwh": "0.77"}},
    {"timezone": "Asia/Urumqi"},
]


def test_worlds_and_rates_that_runs_share_are_those_of_their_own_scenario() -> None:
    """What is kept of one run is not taken for another's: each is what it would be alone."""

    def told(read: Scenario, seed: int) -> list[object]:
        world, rates = World(read, seed, 0), HourlyRates(read, read.start_at)
        return [[world.at(hour * 3600.0), rates[hour]] for hour in range(72)]

    asked = [(scenario(**over), seed) for over in OTHERS for seed in (1, 2)]
    beside_others = [told(*one) for one in asked]
    alone = []
    for one in asked:
        _known_hours.cache_clear()
        _known_rates.cache_clear()
        alone.append(told(*one))
    assert beside_others == alone
    assert len({str(one) for one in alone}) > len(OTHERS)  # the sun's clouds are drawn by seed
