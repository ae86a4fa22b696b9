"""Published stations as oracles. Each test says where the number comes from and how it follows."""

from __future__ import annotations

from typing import Any

import pytest

from sim.engine_station import StationFlow
from sim.scenario import Scenario
from tests.fakes_study import scenario

DAYS = 3


def station(packs: int, rated_kwh: float, charger_kw: float, **over: Any) -> Scenario:
    """Packs that come empty and leave full, no taper and no losses: what the published arithmetic assumes."""
    equipment = {
        "packs": {"p": packs},
        "charger_kw": charger_kw,
        "transformer_kva": over.pop("kva", 50_000),
        "power_factor": 1.0,
        "base_load_kw": 0,
        "swap_s": over.pop("swap_s", 300),
        "swap_cv": 0,
        "spare_bays": over.pop("spare_bays", 1),
    }
    low = over.pop("arrive_pct", 0.0)
    return scenario(
        pack_kinds=[
            {
                "id": "p",
                "rated_kwh": rated_kwh,
                "max_charge_kw": 2000,
                "taper_from_soc_pct": 100,
                "taper_end_share": 1.0,
                "charge_efficiency": 1.0,
            }
        ],
        vehicle_models=[{"id": "tractor", "pack_kinds": ["p"]}],
        fleets=[
            {
                "id": "f1",
                "model": "tractor",
                "vehicles": over.pop("vehicles", 5000),
                "arrive_soc": {"min_pct": low, "max_pct": low, "mode_pct": low},
            }
        ],
        charging={"offer_soc_pct": 100, "target_soc_pct": 100, "tariff_aware": False, "min_setpoint_kw": 0}
        | over.pop("charging", {}),
        demand={"trucks_per_hour_by_hour": [over.pop("per_hour", 16.0)] * 24, "follows_cold": False},
        equipment=equipment,
        **over,
    )


def swaps_a_day(made: Scenario, days: int = DAYS) -> float:
    """Swaps a day once the full packs of the start are used up."""
    flow = StationFlow(made, 1)
    flow.time.run_until(86_400.0)
    flow.reset()
    flow.time.run_until((1 + days) * 86_400.0)
    return flow.started / days


def test_seven_packs_of_350_kwh_full_in_an_hour_give_at_most_168_swaps_a_day() -> None:
    """Ziyang, Chengdu-Chongqing corridor (2023): 7 packs, 350 kWh, about an hour, 3-5 min, "max 168 a day".

    A pack is out of the rack for a moment only, then charges for an hour: 7 x 24 = 168 is the bound if nothing
    else took time. From "call the truck" to the spent pack in its bay, and for the charged pack to be taken at
    once, a cycle costs the hour plus that part of the swap; the lane alone could do 288.
    """
    found = swaps_a_day(station(7, 350, 350))
    stored_s = 300 * 152 / 292  # rows of the recipe until the spent pack is set down
    assert found <= 168
    assert found == pytest.approx(7 * 86_400 / (3600 + stored_s), rel=0.01)


def test_with_packs_to_spare_the_lane_gives_288() -> None:
    """24 h / 5 min = 288."""
    assert swaps_a_day(station(30, 350, 350)) == pytest.approx(288, abs=1)


def test_two_thousand_kva_instead_of_2450_kw_give_137() -> None:
    """Seven chargers of 350 kW ask for 2 450 kW. With 2 000 kW at power factor 1 the same energy takes 2450/2000
    of the time: 2 000 x 24 / 350 = 137 swaps a day."""
    found = swaps_a_day(station(7, 350, 350, kva=2000))
    assert found == pytest.approx(2000 * 24 / 350, rel=0.01)


def test_eight_chargers_of_300_kw_bound_a_day_at_351_swaps_of_164_kwh() -> None:
    """Fuhai Xinhe, Shenzhen (2021): 8 x 300 kW; 9 GWh a year at 150 swaps a day are 164 kWh a swap.

    8 x 300 x 24 / 164 = 351 by energy. The lane's 5 minutes allow 288 only, so the lane binds; with two lanes it
    is the chargers. 150 observed are 43 % of 351.
    """
    made = station(8, 282, 300, arrive_pct=100 * (1 - 164 / 282))
    assert swaps_a_day(made) == pytest.approx(288, abs=3)
    two = made.with_equipment(lanes=2, spare_bays=2, packs=24, chargers=8)
    assert swaps_a_day(two) == pytest.approx(8 * 300 * 24 / 164, rel=0.01)
    observed = made.model_copy(
        update={"demand": made.demand.model_copy(update={"trucks_per_hour_by_hour": (150 / 24,) * 24})}
    )
    flow = StationFlow(observed, 1)
    flow.time.run_until(20 * 86_400.0)
    flow.close()
    assert flow.rack.active_area / flow.time.now / 8 == pytest.approx(150 / 351, abs=0.04)


@pytest.mark.parametrize(("turnaround_h", "waits"), [(4.5, False), (8.0, True)])
def test_eight_trucks_with_thirteen_packs_of_800_kwh(turnaround_h: float, waits: bool) -> None:
    """Oyu Tolgoi (2024): 8 trucks, 13 packs of 800 kWh, 7 minutes, up to 8 h a pack: about one swap an hour, 5 spares.

    Five spares cover an hourly truck as long as a pack is ready again within five hours (160 kW a bay at full
    depth); at 8 h they cannot: 5 packs / 8 h is less than one an hour.
    """
    at_s = [hour * 3600.0 for hour in range(24 * 10)]
    made = station(5, 800, 800 / turnaround_h, swap_s=420)
    flow = StationFlow(made, 1)
    flow._coming = iter([next(flow._coming)._replace(at_s=at) for at in at_s])
    flow.time._queue[:] = [entry for entry in flow.time._queue if getattr(entry[3], "fn", None) != flow._on_gate]
    flow._await_next()
    flow.time.run_until(at_s[-1])
    assert (max(flow.waits) > 0) is waits


def test_ten_bays_above_200_swaps_a_day_need_a_turnaround_of_72_minutes() -> None:
    """Zangang, Xiong'an (2024): 10 bays, over 200 a day: 10 x 24 h / 200 = 72 min from swap to swap of a bay."""
    stored_s = 240 * 152 / 292
    quick = station(10, 282, 282 / ((72 * 60 - stored_s) / 3600), swap_s=240)
    slow = station(10, 282, 282 / (80 / 60), swap_s=240)
    assert swaps_a_day(quick) == pytest.approx(200, abs=2)
    assert swaps_a_day(slow) < 185
