"""Stationary storage in the study: values worked out by hand, and the balance of energy at any station."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.scenario.file import Scenario
from sim.scenario.load import parse_scenario
from sim.study.agenda import Call
from sim.study.station import Station
from sim.study.study import RunResult, read_run, simulate_once
from sim.study.swap_truck import scenario_station
from sim.world.world import World
from swap.config.loading import ConfigError
from tests.support.sim.study import plain_scenario, scenario, scenario_data

HOUR_S, DAY_S = 3600.0, 86_400.0

TWO_PRICES = """
name = "two"
name_zh = "两段"
name_en = "Two periods"
source = "test"

[ratios]
flat = "1.0"
valley = "0.5"
peak = "1.5"

[[seasons]]
name = "year"
months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
valley = [[0, 10]]
peak = [[10, 24]]
"""


def quiet(folder: Path | None = None, **over: Any) -> Scenario:
    """A station to which no truck comes; constant power, no losses in the packs; one price or, with a folder, two."""
    equipment = {"spare_bays": 4} | over.pop("equipment", {})
    made = plain_scenario(**equipment)
    tariff = {"profile": "flat", "energy_price_yuan_per_kwh": "0.6", "adders_yuan_per_kwh": "0"}
    if folder is not None:
        (folder / "two.toml").write_text(TWO_PRICES, encoding="utf-8")
        tariff["profile"] = "two.toml"
    plain = made.model_dump(
        include={"fleets", "pack_kinds", "vehicle_models", "charging", "equipment"}, exclude_defaults=True
    )
    sections = {"demand": {"trucks_per_hour_by_hour": [1e-4] * 24, "follows_cold": False}, "tariff": tariff}
    return parse_scenario(scenario_data(**plain) | sections | over, folder=folder)


def run_for(made: Scenario, days: float) -> tuple[Station, RunResult]:
    flow = scenario_station(made, 1)
    flow.run_until(days * DAY_S)
    flow.close()
    return flow, read_run(flow, made, 1, 0, days, 0.0)


def put_empty(flow: Station, count: int, at_s: float) -> None:
    """Empty packs come into free bays at an instant."""

    def place(call: Call) -> None:
        flow.before_change()
        free = [bay for bay in flow.rack.bays if bay.pack is None]
        for number, bay in enumerate(free[:count]):
            flow.rack.place(bay, flow.kinds.pack(f"spent-{number}", "lfp-282", 0.0, 20.0))

    flow.time.at(at_s, place)


def stored_at(flow: Station, at_s: float) -> float:
    assert flow.storage is not None
    flow.run_until(at_s)
    flow.storage.settle()
    return flow.storage.energy_kwh


# -- by hand


def test_two_prices_and_a_flat_load(tmp_path: Path) -> None:
    """Valley 0-10 h at 0.30, peak 10-24 h at 0.90 yuan/kWh, 300 kW all day; 810 kWh, 100 kW, 0.9 each way.

    Full after 810 / 0.9 = 900 kWh at 100 kW: at 9 h. From 10 h 810 x 0.9 = 729 kWh at 100 kW: empty at 17.29 h.
    A day saves 729 x 0.90 - 900 x 0.30 = 386.1 yuan, loses 171 kWh and is one cycle.
    """
    storage = {"energy_kwh": 810, "power_kw": 100, "efficiency": 0.81, "reserve_share": 0}
    flow, run = run_for(quiet(tmp_path, storage=storage, equipment={"base_load_kw": 300}), 3)
    assert run.means["storage_saved_yuan_per_day"] == pytest.approx(386.1, abs=1e-6)
    assert run.means["storage_losses_kwh_per_day"] == pytest.approx(171, abs=1e-6)
    assert run.means["storage_cycles_per_day"] == pytest.approx(1, abs=1e-9)
    assert run.storage.in_kwh_by_period["valley"] == pytest.approx(900, abs=1e-6)
    assert run.storage.out_kwh_by_period["peak"] == pytest.approx(729, abs=1e-6)
    without = 300 * (10 * 0.3 + 14 * 0.9)
    assert run.means["energy_yuan_per_day"] == pytest.approx(without - 386.1, abs=1e-6)
    assert simulate_once(quiet(tmp_path, equipment={"base_load_kw": 300}), 1, days=3).means[
        "energy_yuan_per_day"
    ] == pytest.approx(without, abs=1e-6)
    # The hours in which it gets full and empty, to the second.
    flow = scenario_station(quiet(tmp_path, storage=storage, equipment={"base_load_kw": 300}), 1)
    assert stored_at(flow, 9 * HOUR_S - 1) == pytest.approx(810 - 90 / 3600, abs=1e-9)
    assert stored_at(flow, 9 * HOUR_S) == pytest.approx(810, abs=1e-9)
    assert stored_at(flow, 10 * HOUR_S) == pytest.approx(810, abs=1e-9)
    assert stored_at(flow, 17.29 * HOUR_S - 1) == pytest.approx(100 / 0.9 / 3600, abs=1e-9)
    assert stored_at(flow, 17.29 * HOUR_S) == pytest.approx(0, abs=1e-9)
    # Nothing looks at it in between: an hour has one event, and the two ends.
    assert flow.storage is not None
    assert flow.storage.decisions <= 18 + 2


def test_prices_too_close_for_the_loss_are_not_used(tmp_path: Path) -> None:
    storage = {"energy_kwh": 810, "power_kw": 100, "efficiency": 0.51, "reserve_share": 0}
    close = quiet(tmp_path, storage=storage, equipment={"base_load_kw": 300})
    # 0.30 and 0.90 with an adder of 0.5: 0.80 and 1.40 x 0.51 = 0.71.
    dearer = close.tariff.model_copy(update={"adders_yuan_per_kwh": close.tariff.energy_price_yuan_per_kwh * 5 / 6})
    _, run = run_for(close.model_copy(update={"tariff": dearer}), 2)
    assert run.means["storage_charged_kwh_per_day"] == 0.0


def test_sun_is_used_only_while_something_draws_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 kW of sun from 10 to 12 h; one pack draws 282 kW from 10:30 to 11:30: 200 kWh of 400, not 282."""

    def square(world: World, local: datetime) -> float:
        return 200.0 if 10 <= local.hour < 12 else 0.0

    monkeypatch.setattr(World, "_pv_kw", square)
    made = quiet(pv={"peak_kw": 200})
    flow = scenario_station(made, 1)
    put_empty(flow, 1, 10.5 * HOUR_S)
    flow.run_until(DAY_S)
    flow.close()
    means = read_run(flow, made, 1, 0, 1.0, 0.0).means
    assert means["charged_kwh_per_day"] == pytest.approx(282, abs=1e-6)
    assert means["pv_used_kwh_per_day"] == pytest.approx(200, abs=1e-6)
    assert means["pv_self_use_share"] == pytest.approx(0.5, abs=1e-9)
    assert means["import_kwh_per_day"] == pytest.approx(82, abs=1e-6)
    assert means["storage_charged_kwh_per_day"] == 0.0


def test_sun_is_shifted_into_the_afternoon(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 kW of sun from 10 to 12 h, 100 kW of load, one price; 360 kWh, 250 kW, 0.9 each way.

    400 kW are left over, 250 kW x 0.9 go in: full after 360 / 225 = 1.6 h, with 400 kWh. From 12 h on 324 kWh for
    the load: empty at 15.24 h. Used of 1000 kWh: 200 at once, 400 stored. Import: 22 h x 100 kW - 324 kWh.
    """

    def square(world: World, local: datetime) -> float:
        return 500.0 if 10 <= local.hour < 12 else 0.0

    monkeypatch.setattr(World, "_pv_kw", square)
    storage = {"energy_kwh": 360, "power_kw": 250, "efficiency": 0.81, "reserve_share": 0}
    made = quiet(storage=storage, pv={"peak_kw": 500}, equipment={"base_load_kw": 100})
    flow, run = run_for(made, 1)
    assert run.means["pv_self_use_share"] == pytest.approx(0.6, abs=1e-9)
    assert run.means["import_kwh_per_day"] == pytest.approx(2200 - 324, abs=1e-6)
    assert run.means["storage_saved_yuan_per_day"] == pytest.approx(324 * 0.6, abs=1e-6)
    flow = scenario_station(made, 1)
    assert stored_at(flow, 11.6 * HOUR_S - 1) < 360 - 0.06
    assert stored_at(flow, 11.6 * HOUR_S) == pytest.approx(360, abs=1e-6)
    assert stored_at(flow, 15.24 * HOUR_S - 1) > 0.03
    assert stored_at(flow, 15.24 * HOUR_S) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("energy_kwh", "ready_h", "full_h"),
    [
        # Two packs of 282 kWh, 282 kW of transformer: one after the other.
        (0, (4.0, 5.0), None),
        # Storage for half an hour of the second: both are half full at 3.5 h, then one after the other.
        (141, (4.0, 4.5), 5.0),
        # Storage for all of the second.
        (282, (4.0, 4.0), 5.0),
    ],
)
def test_a_transformer_too_small_for_two_packs(
    energy_kwh: float, ready_h: tuple[float, float], full_h: float | None
) -> None:
    storage = {"energy_kwh": energy_kwh, "power_kw": 282, "efficiency": 1.0, "reserve_share": 1.0}
    flow = scenario_station(quiet(storage=storage, equipment={"transformer_kva": 282}), 1)
    put_empty(flow, 2, 3 * HOUR_S)
    assert stored_at(flow, 3 * HOUR_S) == pytest.approx(energy_kwh)
    for instant_h in sorted(set(ready_h)):
        flow.run_until(instant_h * HOUR_S - 1)
        assert len(flow.rack.charged) == 8 + sum(at_h < instant_h for at_h in ready_h)
        flow.run_until(instant_h * HOUR_S + 1)
        assert len(flow.rack.charged) == 8 + sum(at_h <= instant_h for at_h in ready_h)
    if full_h is not None:
        assert stored_at(flow, full_h * HOUR_S - 1) < energy_kwh - 0.07
        assert stored_at(flow, full_h * HOUR_S) == pytest.approx(energy_kwh, abs=1e-6)


def test_a_demand_response_event_is_ridden_through() -> None:
    """100 kW allowed from 18.25 h for 1.5 h, 282 kW wanted: 182 kW x 1.5 h = 273 kWh come from the storage."""
    storage = {"energy_kwh": 400, "power_kw": 200, "efficiency": 1.0, "reserve_share": 1.0}
    event = {"from_hour": 18.25, "hours": 1.5, "limit_kw": 100}
    flow = scenario_station(quiet(storage=storage, dr_events=[event]), 1)
    for hour in (18.0, 19.0):
        put_empty(flow, 1, hour * HOUR_S)
    assert stored_at(flow, 18.25 * HOUR_S) == pytest.approx(400)
    assert stored_at(flow, 19 * HOUR_S) == pytest.approx(400 - 182 * 0.75, abs=1e-6)
    assert flow.storage is not None
    assert flow.storage.import_kw() == pytest.approx(100)
    assert stored_at(flow, 19.75 * HOUR_S) == pytest.approx(400 - 273, abs=1e-6)
    flow.run_until(20 * HOUR_S + 1)
    assert len(flow.rack.charged) == 10  # both in an hour each, as if nothing had been asked


def test_the_load_of_a_taper_is_followed(tmp_path: Path) -> None:
    """In dear hours the import is held at 0 while a pack's power falls; what is stored falls by what the pack takes."""
    kind = {"id": "lfp-282", "rated_kwh": 282, "max_charge_kw": 282, "charge_efficiency": 1.0}
    storage = {"energy_kwh": 1000, "power_kw": 500, "efficiency": 1.0, "reserve_share": 0}
    charging = {"tariff_aware": False, "offer_soc_pct": 90, "target_soc_pct": 95, "min_setpoint_kw": 0}
    made = quiet(tmp_path, storage=storage, pack_kinds=[kind], charging=charging)
    flow = scenario_station(made, 1)
    put_empty(flow, 1, 12 * HOUR_S)
    assert flow.storage is not None
    decisions = 0
    for minute in range(1, 90):
        left = stored_at(flow, 12 * HOUR_S + 60 * minute)
        drawn = flow.rack.settle_all()
        assert left == pytest.approx(1000 - drawn, abs=1e-6)
        assert flow.storage.import_kw() == pytest.approx(0, abs=1e-6)
        if minute == 1:
            decisions = flow.storage.decisions
    assert drawn == pytest.approx(0.95 * 282, abs=1e-6)
    # Ready, full, and one hour in between; the taper itself needs no event.
    assert flow.storage.decisions - decisions <= 4


# -- any station


def made_up(seed: int) -> Scenario:
    """A station with everything at once, most of it too small."""
    draw = random.Random(seed)
    events = [
        {"from_hour": 18.25, "hours": 1.5, "limit_kw": draw.choice([0, 100, 400])},
        {"from_hour": 23.5, "hours": 1.75, "limit_kw": 200},
    ]
    return scenario(
        demand={"trucks_per_hour_by_hour": [draw.choice([0.5, 5, 14]) for _ in range(24)], "follows_cold": False},
        equipment={
            "packs": {"lfp-282": draw.randint(4, 10)},
            "charger_kw": draw.choice([120, 240, 300]),
            "transformer_kva": draw.choice([400, 800, 1500, 2500]),
            "lanes": draw.randint(1, 2),
            "chargers": draw.randint(3, 12),
        },
        charging={
            "sharing": draw.choice(["order", "equal"]),
            "tariff_aware": draw.random() < 0.5,
            "reserve_ready": 2,
        },
        pv={"peak_kw": draw.choice([0, 300, 1500])},
        storage={
            "energy_kwh": draw.choice([50, 500, 3000]),
            "power_kw": draw.choice([50, 400, 1500]),
            "efficiency": draw.choice([0.81, 0.9, 1.0]),
            "reserve_share": draw.choice([0, 0.2, 1]),
        },
        dr_events=draw.sample(events, draw.randint(0, 2)),
        failures={"robot_mtbf_h": 60, "charger_mtbf_h": 50, "pack_fault_share": 0.02, "pack_inspection_h": 6},
        climate={"mean_c_by_month": [-10.0] * 12, "swing_c": 8, "rack_min_c": 3, "pack_min_c": -4},
        staff=draw.choice([{}, {"shifts": [{"from_hour": 6.5, "hours": 14}]}]),
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_energy_balances_and_no_limit_is_passed(seed: int) -> None:
    made = made_up(seed)
    flow = scenario_station(made, seed)
    storage, section = flow.storage, made.storage
    assert storage is not None
    draw = random.Random(seed)
    at_s = 0.0
    while at_s < 2 * DAY_S:
        at_s += draw.expovariate(1 / 600)
        flow.run_until(at_s)
        storage.settle()
        limits = flow._now.limits
        limit_kw = min(limits.grid_limit_kw, limits.grid_limit_kw if limits.dr_limit_kw is None else limits.dr_limit_kw)
        output_kw = sum(bay.charge.power_kw(at_s) for bay in flow.rack.bays if bay.charge is not None)
        charging_kw = output_kw / made.equipment.charger_efficiency
        import_kw = storage.import_kw()
        power_kw = import_kw - (charging_kw + limits.base_load_kw - limits.pv_kw)
        assert abs(power_kw) <= section.power_kw + 1e-5
        assert -1e-6 <= storage.energy_kwh <= section.energy_kwh + 1e-6
        # The base load is never shed; what charges packs or storage keeps within the limit.
        assert import_kw <= max(limit_kw, limits.base_load_kw - limits.pv_kw) + 1e-5
        assert power_kw > -1e-5 or import_kw >= -1e-5, "exports from the storage"
    flow.close()
    way = section.efficiency**0.5
    before_kwh = 0.0
    for hour in flow.hours:
        flows = hour.flows
        assert flows is not None
        given_kwh = flows.import_kwh + flows.pv_used_kwh + flows.out_kwh
        assert given_kwh == pytest.approx(hour.site_kwh + flows.in_kwh, abs=1e-6)
        stored_kwh = flows.in_kwh * way - flows.out_kwh / way
        assert flows.stored_kwh - before_kwh == pytest.approx(stored_kwh, abs=1e-6)
        before_kwh = flows.stored_kwh
        assert -1e-9 <= flows.pv_used_kwh <= hour.pv_kwh + 1e-9
        assert min(flows.import_kwh, flows.in_kwh, flows.out_kwh) >= 0
    assert sum(hour.charge_kwh for hour in flow.hours) == pytest.approx(flow.rack.settle_all())


# -- the file


def problems(**over: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_scenario(scenario_data(**over))
    return "\n".join(caught.value.problems)


def test_storage_without_power_is_refused() -> None:
    assert "storage.power_kw = 0" in problems(storage={"energy_kwh": 100})
    assert "storage.power_kw = 0" in problems(sizing={"storage_kwh": [0, 100]})
    assert "sizing.storage_kwh.0 = -5" in problems(storage={"power_kw": 100}, sizing={"storage_kwh": [-5, 100]})


def test_another_size_has_power_in_proportion() -> None:
    cabinet = scenario(storage={"energy_kwh": 215, "power_kw": 100}).storage
    assert cabinet.sized(430).power_kw == pytest.approx(200)
    assert cabinet.sized(0).energy_kwh == 0
    inverter = scenario(storage={"power_kw": 100}).storage
    assert inverter.sized(430).power_kw == 100
