"""Mobile swapping: swap trucks carry packs from a central rack in lots."""

from __future__ import annotations

from typing import Any

import pytest

from sim.scenario.file import Scenario
from sim.study.rows import StudyBay
from sim.study.station import Station
from sim.study.study import simulate_once
from sim.study.swap_truck import SwapTrucks, scenario_station
from swap.config.loading import ConfigError
from tests.support.sim.study import scenario

DAY_S = 86_400.0
EXACT = {
    "pack_kinds": [
        {
            "id": "lfp-282",
            "rated_kwh": 282,
            "max_charge_kw": 282,
            "taper_from_soc_pct": 100,
            "taper_end_share": 1.0,
            "charge_efficiency": 1.0,
        }
    ],
    "charging": {"offer_soc_pct": 100, "target_soc_pct": 100, "tariff_aware": False, "min_setpoint_kw": 0},
}


def mobile(packs: int = 60, lanes: int = 1, per_hour: float = 40.0, **truck: Any) -> Scenario:
    """A full charge takes an hour, a swap 5 minutes; by default trucks never stop coming."""
    return scenario(
        **EXACT,
        fleets=[
            {
                "id": "f1",
                "model": "tractor",
                "vehicles": 5000,
                "arrive_soc": {"min_pct": 0, "max_pct": 0, "mode_pct": 0},
            }
        ],
        demand={"trucks_per_hour_by_hour": [per_hour] * 24, "follows_cold": False},
        patience={"balk_at": 12},
        equipment={
            "lanes": lanes,
            "packs": {"lfp-282": packs},
            "charger_kw": 282,
            "transformer_kva": 50_000,
            "power_factor": 1.0,
            "base_load_kw": 0,
            "charger_efficiency": 1.0,
            "swap_s": 300,
            "swap_cv": 0,
            "swap_truck": {"packs": 6, "drive_min": 10, "exchange_min": 10} | truck,
        },
    )


def built(made: Scenario, seed: int) -> tuple[Station, SwapTrucks]:
    station = scenario_station(made, seed)
    assert isinstance(station.lane_task, SwapTrucks)
    return station, station.lane_task


def all_bays(station: Station) -> list[StudyBay]:
    """Those of the rack and those on board."""
    return list(station.rack.by_id.values())


def packs_here(station: Station) -> int:
    """Packs in rack and on board, without those that came from a vehicle still in its swap."""
    lanes = {lane.open_swap_id for lane in station.lanes}
    return sum(
        bay.pack is not None and not any(bay.pack.pack_id.startswith(f"{swap}-") for swap in lanes)
        for bay in all_bays(station)
    )


def test_a_saturated_swap_truck_gives_a_load_in_the_time_of_its_swaps_and_its_trip() -> None:
    """6 swaps of 5 min and 10 + 10 + 10 min on the way: 6 an hour, 144 a day."""
    assert simulate_once(mobile(), 1, days=5).means["swaps_per_day"] == pytest.approx(144, abs=1)


def test_two_swap_trucks_give_twice_as_much() -> None:
    assert simulate_once(mobile(lanes=2), 1, days=5).means["swaps_per_day"] == pytest.approx(288, abs=1)


def test_going_early_costs_trips() -> None:
    """Going with 3 left takes the trip of 30 min every 4 swaps: 4 in 50 min are 115.2 a day."""
    assert simulate_once(mobile(go_below=3), 1, days=5).means["swaps_per_day"] == pytest.approx(115.2, abs=1)


def test_too_few_packs_for_load_and_charge_slow_it_down() -> None:
    """With 6 packs in all, each goes round in no less than an hour of charging and twice 10 min of driving: 80 min,
    so 6 x 1440 / 80 = 108 a day bound it, not the 144 of the swap truck."""
    few = simulate_once(mobile(packs=6), 1, days=5).means["swaps_per_day"]
    assert 40 < few < 108
    assert simulate_once(mobile(packs=12), 1, days=5).means["swaps_per_day"] > 1.3 * few


def test_packs_are_neither_lost_nor_made() -> None:
    base = mobile(packs=20, lanes=2, per_hour=10.0)
    failures = base.failures.model_copy(update={"robot_mtbf_h": 8.0, "pack_fault_share": 0.05})
    flow, trucks = built(base.model_copy(update={"failures": failures}), 4)
    for hour in range(1, 24 * 10):
        flow.run_until(hour * 3600.0)
        in_lane = sum(len(bay.pack.pack_id) > 0 for bay in all_bays(flow) if bay.pack is not None)
        assert in_lane >= packs_here(flow)
        taken = 20 - packs_here(flow)
        # What is missing has been handed to a vehicle whose swap is under way.
        assert 0 <= taken <= len(flow.lanes)
    assert trucks.trips > 20
    assert flow.started > 1000


def test_only_the_rack_charges() -> None:
    flow, trucks = built(mobile(packs=20, lanes=2, per_hour=10.0), 2)
    for step in range(1, 300):
        flow.run_until(step * 500.0)
        on_board = [bay for bays in trucks.on_board.values() for bay in bays]
        assert all(bay.power_kw == 0 for bay in on_board)
        assert flow.free_lanes == sum(lane.open_swap_id is None for lane in flow.lanes)
        assert len(flow.rack.charged) == sum(
            bay.pack is not None and bay.pack.state == "ready" for bay in all_bays(flow)
        )
        free = [bay for bay in all_bays(flow) if bay.pack is None and bay.reserved_by is None]
        assert flow.rack.empty == len(free)


def test_fewer_chargers_than_bays_serve_the_rack_alone() -> None:
    made = mobile(packs=30, per_hour=10.0).with_equipment(chargers=4)
    found = simulate_once(made, 1, days=5)
    # Four chargers give four packs an hour, whatever the 144 a day of the swap truck.
    assert found.means["swaps_per_day"] == pytest.approx(96, abs=2)
    assert found.means["charger_utilisation"] == pytest.approx(1.0, abs=0.02)


def test_contradictions_are_named() -> None:
    with pytest.raises(ConfigError, match="go_below = 7: allowed 1…6"):
        mobile(go_below=7)
