from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from datetime import datetime, timedelta
from math import inf, nextafter

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_bms.pack import Charge, Curve, PackSpec, advance_energy, time_to_soc_s
from scheduler.charging import share_power
from scheduler.choice import count_spare
from scheduler.guide import Guide, is_bound
from scheduler.queueing import call_next
from scheduler.rows import BayRow
from scheduler.site import StorageSection
from scheduler.types import Limit, PackState, TariffSlice
from sim.scenario.file import Scenario
from sim.sizing.screening import fifo_starts, trace_of
from sim.study.agenda import Agenda, Call
from sim.study.failures import processes
from sim.study.layout import Kinds
from sim.study.parallel import workers
from sim.study.rows import StudyBay
from sim.study.station import Station
from sim.study.study import run_study, simulate_once
from sim.study.swap_truck import scenario_station
from sim.validation.counted_racks import FixedPowerRack
from sim.validation.flow import Flow, FlowRules, Truck
from tests.support.sim.study import plain_scenario, scenario, yangquan

ACTIVE = (PackState.WAITING, PackState.CHARGING, PackState.READY)
SPEC = PackSpec(rated_kwh=282, max_charge_kw=282)


@pytest.mark.parametrize("power_kw", [0.5, 60.0, 84.6, 150.0, 240.0, 282.0, 400.0])
@pytest.mark.parametrize("from_pct", [0.0, 35.0, 80.0, 93.0])
@pytest.mark.parametrize("spec", [SPEC, PackSpec(282, 282, taper_from_soc_pct=100.0, taper_end_share=1.0)])
def test_a_charge_follows_the_pack_model(power_kw: float, from_pct: float, spec: PackSpec) -> None:
    start_kwh = from_pct * 2.82
    charge = Charge(Curve(spec), 1000.0, start_kwh, power_kw)
    for dt_s in (0.0, 1.0, 600.0, 2400.0, 9000.0, 90_000.0):
        energy_kwh, _ = advance_energy(spec, 100.0, start_kwh, power_kw, dt_s)
        assert charge.energy_kwh(1000 + dt_s) == pytest.approx(energy_kwh, rel=1e-9)
    for to_pct in (40.0, 79.0, 90.0, 95.0):
        expected_s = time_to_soc_s(spec, 100.0, start_kwh, power_kw, to_pct)
        assert charge.instant_of(to_pct * 2.82) - 1000 == pytest.approx(expected_s, rel=1e-9, abs=1e-9)


def built(made: Scenario, seed: int) -> Station:
    """The station of a scenario before its first event."""
    return scenario_station(made, seed)


def stressed() -> Scenario:
    """A short transformer, dear hours, two lanes, convoys, bookings, failures: everything at once."""
    return scenario(
        demand={
            "trucks_per_hour_by_hour": [7.0] * 24,
            "follows_cold": False,
            "convoys": {"share": 0.2},
        },
        equipment={
            "packs": {"lfp-282": 9},
            "lanes": 2,
            "charger_kw": 240,
            "transformer_kva": 1600,
            "swap_cv": 0.2,
        },
        bookings={"share": 0.5},
        climate={"mean_c_by_month": [-10.0] * 12, "swing_c": 8, "rack_min_c": 3, "pack_min_c": -4},
        failures={"robot_mtbf_h": 60, "charger_mtbf_h": 100, "pack_fault_share": 0.02, "pack_inspection_h": 6},
        charging={"reserve_ready": 2},
        dr_events=[{"from_hour": 18, "hours": 2, "limit_kw": 900}],
    )


def planned_anew(station: Station) -> dict[str, tuple[float, Limit]]:
    """Power and its cause by the rule over the whole rack; what the rack has counted must be what the rule counts."""
    rack, policy = station.rack, station.policy
    rack.settle_all()
    for bay in rack.bays:
        pack = bay.content
        if pack is not None:
            allowed_kw = pack.curve.allowed_kw(pack.energy_kwh)
            cold = not pack.kind.temp_min_c <= pack.temp_max_c <= pack.kind.temp_max_c
            pack.max_charge_kw = 0.0 if cold else allowed_kw
    counted = [kind.spare for kind in rack.kinds.values()]
    count_spare(rack.kinds.values(), rack.bays, station.line.trucks, policy)
    assert [kind.spare for kind in rack.kinds.values()] == counted
    share_power(list[BayRow](rack.bays), policy, rack.budget_kw, Limit.GRID, rack.guide)
    return {bay.bay_id: (bay.setpoint_kw, bay.limited_by) for bay in rack.bays}


def test_no_truck_that_could_be_called_is_left_waiting() -> None:
    station = built(stressed(), 3)
    waited = 0
    for instant in range(300, 3 * 86_400, 300):
        station.run_until(float(instant))
        station.rack.settle_all()
        line, bays = station.line, list[BayRow](station.rack.bays)
        rest = (0, station.promised, station.time.now)
        assert call_next(line.trucks, station.lanes, bays, bays, [], station.policy, *rest) is None
        waited += bool(line.trucks)
    assert waited > 100


@pytest.mark.parametrize("which", ["stressed", "storage", "yangquan", "switched"])
def test_powers_are_those_that_the_live_decision_gives(which: str) -> None:
    """The short cuts of the study change nothing: at any instant the plan made anew gives the powers in force."""
    with_storage = stressed().model_copy(update={"storage": StorageSection(energy_kwh=200, power_kw=200)})
    made = {
        "stressed": stressed(),
        "storage": with_storage,
        "yangquan": yangquan(),
        "switched": scenario_with_modules(5),
    }
    station = built(made[which], 1)
    rack = station.rack
    compared = short = 0
    for instant in range(130, 5 * 86_400, 613):
        station.run_until(float(instant))
        plan = planned_anew(station)
        limits = rack.limits
        in_force = {
            bay.bay_id: min(bay.power_kw, bay.content.max_charge_kw)
            for bay in rack.bays
            if bay.content is not None and bay.content.state in ACTIVE
        }
        budget_kw = (
            min(limits.grid_limit_kw, 1e9 if limits.dr_limit_kw is None else limits.dr_limit_kw)
            - limits.base_load_kw
            + limits.storage_kw
        ) * limits.charger_efficiency
        assert sum(in_force.values()) <= budget_kw + 1e-6
        limited = any(plan[bay_id][1] is Limit.GRID for bay_id in in_force)
        short += limited
        if limited:
            # Power that a taper set free is handed on in steps.
            wanted_kw = sum(plan[bay_id][0] for bay_id in in_force)
            assert sum(in_force.values()) >= wanted_kw - len(in_force) * rack.replan_kw - 1e-6
            continue
        for bay_id, power_kw in in_force.items():
            pack = rack.by_id[bay_id].content
            assert pack is not None
            if not pack.temp_safe and abs(plan[bay_id][0] - power_kw) > 1e-6:
                continue  # at a temperature limit, which is looked at once a minute
            assert power_kw == pytest.approx(plan[bay_id][0], abs=1e-6), (instant, bay_id, plan[bay_id])
            compared += 1
    assert compared > 500
    assert (short > 20) == (which in ("stressed", "storage"))


@settings(max_examples=12, deadline=None)
@given(
    modules=st.integers(3, 11),
    transformer_kva=st.sampled_from([700, 1000, 1500, 4000]),
    reserve_ready=st.integers(0, 6),
    sharing=st.sampled_from(["order", "equal"]),
    lanes=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_no_event_leaves_out_a_plan_that_would_change_anything(
    modules: int, transformer_kva: int, reserve_ready: int, sharing: str, lanes: int, seed: int
) -> None:
    """After each event the whole rack planned anew has the powers in force, whether the study planned or not."""
    read = scenario(
        demand={"trucks_per_hour_by_hour": [8.0] * 24, "follows_cold": False, "convoys": {"share": 0.3}},
        equipment={
            "packs": {"lfp-282": 9},
            "chargers": modules,
            "lanes": lanes,
            "charger_kw": 240,
            "transformer_kva": transformer_kva,
        },
        charging={"reserve_ready": reserve_ready, "sharing": sharing},
        failures={"charger_mtbf_h": 30, "pack_fault_share": 0.05, "pack_inspection_h": 2},
    )
    station = built(read, seed)
    time, rack = station.time, station.rack
    time.run_until(seed % 12 * 3600.0)
    for _ in range(80):
        plans, until_s = rack.plans, time.next_s
        time.run_until(nextafter(until_s, inf))
        planned = rack.plans > plans
        assert rack.plans - plans <= 12, "a few for each event, not one for each bay"
        anew = planned_anew(station)
        # What tapers give back while power is short is handed on in steps, by a plan of its own.
        in_taper = sum(bay.charge is not None and bay.charge.from_s + bay.charge.knee_s < time.now for bay in rack.bays)
        step_kw = in_taper * rack.replan_kw if rack.short and not planned else 0.0
        for bay in rack.bays:
            if bay.content is not None and bay.content.state in ACTIVE:
                in_force_kw = min(bay.power_kw, bay.content.max_charge_kw)
                assert in_force_kw == pytest.approx(anew[bay.bay_id][0], abs=step_kw + 1e-5), (until_s, bay)


GENEROUS = {"packs": {"lfp-282": 12}, "charger_kw": 240, "transformer_kva": 4000}


def scenario_with_modules(modules: int) -> Scenario:
    return scenario(
        equipment={"packs": {"lfp-282": 9}, "chargers": modules, "charger_kw": 240, "transformer_kva": 4000},
        charging={"tariff_aware": False},
    )


def test_no_more_packs_are_charged_than_there_are_modules() -> None:
    flow = built(scenario_with_modules(5), 1)
    most = 0
    for instant in range(100, 4 * 86_400, 457):
        flow.run_until(float(instant))
        most = max(most, flow.rack.active)
    assert most == 5


def test_modules_are_with_the_first_of_the_line_after_each_event() -> None:
    """Spent packs by when they came, then ready ones."""
    made = scenario(
        demand={"trucks_per_hour_by_hour": [8.0] * 24, "follows_cold": False, "convoys": {"share": 0.3}},
        equipment={"packs": {"lfp-282": 12}, "chargers": 5, "lanes": 2, "charger_kw": 240, "transformer_kva": 1100},
        failures={"charger_mtbf_h": 20, "pack_fault_share": 0.05, "pack_inspection_h": 2},
    )
    station = built(made, 2)
    time, rack, fewest, most_left = station.time, station.rack, 5, 0
    while time.now < 5 * 86_400:
        time.run_until(nextafter(time.next_s, inf))
        line, modules = rack._line, max(rack.modules, 0)
        assert line == sorted(rack._wanting, key=_by_turn)
        assert [bay.max_charge_kw for bay in line] == [240.0] * min(modules, len(line)) + [0.0] * (len(line) - modules)
        assert rack._connected == [bay for bay in rack._wanting if bay.max_charge_kw > 0]
        fewest, most_left = min(fewest, modules), max(most_left, len(line) - modules)
    assert fewest < 5
    assert most_left > 4


def test_a_ready_pack_that_became_too_warm_leaves_the_line_from_the_place_that_it_had() -> None:
    flow = built(scenario_with_modules(1), 1)
    rack = flow.rack
    for bay, energy_kwh in zip(rack.bays[:3], (262.0, 100.0, 262.0), strict=True):
        pack = rack.pick(bay)
        pack.set_energy(energy_kwh)
        rack.charged.remove(bay)
        rack.place(bay, pack)
    warm, spent, ready = rack.bays[:3]
    assert [rack._line.index(bay) for bay in (spent, warm, ready)] == [0, 1, 2]
    assert warm.content is not None
    warm.content.temp_max_c = warm.content.temp_min_c = 70.0
    rack._keep_or_let(warm, warm.content)
    rack.set_aside(warm, 24.0)
    assert (rack._line, rack._wanting, rack._connected) == ([spent, ready], [spent, ready], [spent])


def _by_turn(bay: StudyBay) -> tuple[bool, float, int]:
    assert bay.content is not None
    return bay.content.state is PackState.READY, bay.put_s, bay.position


@pytest.mark.parametrize("made", [stressed, yangquan])
def test_use_of_the_chargers_is_added_up_over_every_change(made: Callable[[], Scenario]) -> None:
    flow = built(made().with_equipment(transformer_kva=1250.0), 1)
    time, rack = flow.time, flow.rack
    time.run_until(3600.0)
    flow.reset()
    charger_s = 0.0
    while time.now < 86_400:
        before_s, active = time.now, rack.active
        time.run_until(nextafter(time.next_s, inf))
        charger_s += active * (time.now - before_s)
        assert rack.active_area == pytest.approx(charger_s, rel=1e-9, abs=1e-6)


def test_a_pack_that_is_set_aside_leaves_its_module_to_the_next() -> None:
    flow = built(scenario_with_modules(1), 1)
    rack = flow.rack
    first, second = rack.bays[:2]
    for bay in (first, second):
        pack = rack.pick(bay)
        pack.set_energy(100.0)
        rack.charged.remove(bay)
        rack.place(bay, pack)
    assert (first.power_kw, second.power_kw) == (240, 0)
    rack.set_aside(first, 24.0)
    assert (first.power_kw, second.power_kw) == (0, 240)
    assert rack.active == 1


def test_packs_and_bays_are_conserved() -> None:
    flow = built(stressed(), 2)
    for instant in range(0, 4 * 86_400, 701):
        flow.run_until(float(instant))
        rack = flow.rack
        in_rack = [bay.pack for bay in rack.bays if bay.pack is not None]
        assert len({id(pack) for pack in in_rack}) == len(in_rack)
        assert len(rack.charged) == sum(pack.state is PackState.READY for pack in in_rack)
        assert rack.empty == sum(bay.pack is None and bay.reserved_by is None for bay in rack.bays)
        assert rack.active == sum(bay.power_kw > 0 for bay in rack.bays)
        # 9 packs belong to the rack; swaps under way have one in the robot's hand or one too many in the rack.
        busy = sum(lane.open_swap_id is not None for lane in flow.lanes)
        assert 9 - busy <= len(in_rack) <= 9 + busy
        assert all(0 <= pack.soc_pct <= 95.0001 for pack in in_rack)
    assert flow.started > 300


def test_energy_drawn_is_energy_stored() -> None:
    flow = built(yangquan(), 1)
    flow.run_until(10 * 86_400.0)
    flow.close()
    rack = flow.rack
    in_rack = [bay.pack.energy_kwh for bay in rack.bays if bay.pack is not None]
    start_kwh = 7 * 0.95 * 282
    gained_kwh = sum(in_rack) + flow.handed_kwh - start_kwh - flow.taken_kwh
    assert rack.drawn_kwh * 0.96 == pytest.approx(gained_kwh, rel=1e-9)
    assert sum(hour.charge_kwh for hour in flow.hours) == pytest.approx(rack.drawn_kwh)


def test_a_charger_may_fail_at_a_pack_that_is_promised() -> None:
    cold = scenario(
        equipment={"packs": {"lfp-282": 8}, "charger_kw": 240, "transformer_kva": 2500, "lanes": 2},
        failures={"charger_mtbf_h": 5},
        climate={"mean_c_by_month": [-10.0] * 12, "swing_c": 8, "rack_min_c": 3, "pack_min_c": -4},
    )
    flow = built(cold, 0)
    flow.run_until(6 * 86_400.0)
    assert not any(bay.next is not None and bay.next.waits for bay in flow.rack.bays if bay.pack is None)
    assert flow.started > 150


def test_a_seed_means_the_same_on_any_number_of_processes() -> None:
    read = scenario()
    found = []
    for count in (1, 2, 3):
        with workers(count) as pool:
            found.append(run_study(read, pool, days=2, replications=4, warmup_days=0.5))
    means = [[dict(run.means) for run in result.runs] for result in found]
    assert means[0] == means[1] == means[2]
    assert found[0].runs[0].means != found[0].runs[1].means


def test_a_replication_repeats_to_the_last_digit() -> None:
    one, again = (simulate_once(stressed(), 9, 4, days=3) for _ in range(2))
    assert one.means == again.means
    assert one.waits_min.tolist() == again.waits_min.tolist()


@pytest.mark.parametrize(("lanes", "packs", "chargers"), [(1, 8, 8), (1, 10, 7), (2, 9, 9)])
def test_the_recursion_is_the_engine_truck_by_truck(lanes: int, packs: int, chargers: int) -> None:
    """Fixed times, first come first served: recursion, counting engine and whole station agree."""
    read = plain_scenario(lanes=lanes, packs={"lfp-282": packs}, chargers=chargers)
    trace = trace_of(read, 1, 0, 30)
    at_s, charge_s = trace.at_s, [3600.0] * len(trace.at_s)
    assert trace.charge_s == pytest.approx(charge_s)
    starts = fifo_starts(at_s, trace.swap_s, charge_s, lanes=lanes, packs=packs, chargers=chargers)

    time = Agenda()
    rack = FixedPowerRack(time, packs, chargers)
    trucks = (Truck(at, 3600.0, 300.0) for at in at_s)
    rack.flow = flow = Flow(time, rack, FlowRules(lanes=lanes), trucks)
    flow.trace = []
    time.run_until(at_s[-1] + 1)
    engine = [truck.start_s for truck in flow.trace]
    assert len(engine) >= len(starts) - 20
    assert engine == pytest.approx(starts[: len(engine)], abs=1e-9)

    whole = built(read, 1)
    whole.run_until(30 * 86_400.0)
    station = [at + wait for at, wait in zip(whole.arrival_s, whole.waits, strict=True)]
    store = trace.store_share
    starts = fifo_starts(at_s, trace.swap_s, charge_s, lanes=lanes, packs=packs, chargers=chargers, store_share=store)
    assert station == pytest.approx(starts[: len(station)], abs=1e-6)


def test_processes_of_simpy_run_between_the_calls() -> None:
    time, seen = Agenda(), []
    env = processes(time)

    def process(every_s: float) -> Generator[simpy.Event, None, None]:
        while True:
            yield env.timeout(every_s)
            assert env.now == time.now
            seen.append(("process", env.now))

    def called(call: Call) -> None:
        seen.append(("call", time.now))
        if time.now == 15:
            env.process(process(3))  # counts from now, though SimPy's last event was at 10

    env.process(process(10))
    for at_s in (5.0, 15.0, 20.0, 21.0):
        time.at(at_s, called)
    time.run_until(22.0)
    assert seen == [
        ("call", 5),
        ("process", 10),
        ("call", 15),
        ("process", 18),
        ("call", 20),  # of one instant the agenda's come first
        ("process", 20),
        ("call", 21),
        ("process", 21),
    ]
    assert time.now == 22.0
    assert time.next_s == 24.0


def test_an_event_put_anew_happens_once_and_one_that_is_dropped_never() -> None:
    time, seen = Agenda(), []
    again, dropped = (Call(lambda call: seen.append((time.now, call.payload)), name) for name in ("again", "dropped"))
    time.put(5.0, again)
    time.put(4.0, dropped)
    time.put(7.0, again)
    dropped.drop()
    assert time.next_s == 7.0
    time.run_until(10.0)
    assert seen == [(7.0, "again")]
    assert not again.waits


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "put", "drop", "run", "look"]), st.integers(0, 4), st.integers(0, 12)),
        max_size=60,
    )
)
def test_what_is_put_off_and_back_happens_in_the_order_in_which_it_was_put(steps: list[tuple[str, int, int]]) -> None:
    """Held against a list that is sorted anew: whatever is put earlier, later, dropped and put again."""
    time, seen, expected = Agenda(), [], []
    events = [Call(lambda call: seen.append((time.now, call.payload)), name) for name in range(5)]
    due: dict[int, tuple[float, int]] = {}
    for number, (what, name, after_s) in enumerate(steps):
        at_s = time.now + after_s
        if what == "put":
            time.put(at_s, events[name])
            due[name] = at_s, number
        elif what == "drop":
            events[name].drop()
            due.pop(name, None)
        elif what == "run":
            now = sorted((at, order, one) for one, (at, order) in due.items() if at < at_s)
            expected += [(at, one) for at, _, one in now]
            for _, _, one in now:
                del due[one]
            time.run_until(at_s)
        assert [event.waits for event in events] == [one in due for one in range(5)]
        if what == "look":
            assert time.next_s == min((at for at, _ in due.values()), default=inf)
    assert seen == expected


def test_trucks_lose_patience_drive_on_and_find_no_place() -> None:
    demand = {"trucks_per_hour_by_hour": [14.0] * 24, "follows_cold": False}
    balking = simulate_once(scenario(demand=demand, patience={"balk_at": 3}), 1, days=5)
    places = simulate_once(scenario(demand=demand, patience={"truck_places": 4}), 1, days=5)
    patience = simulate_once(scenario(demand=demand, patience={"mean_patience_min": 15}), 1, days=5)
    for run in (balking, places, patience):
        assert run.lost > 100
        # At the end a few may still wait, for longer than promised already.
        assert 0 <= run.arrived - run.lost - run.waits_min.size <= 5
    assert simulate_once(scenario(demand=demand), 1, days=5).lost == 0


def test_trucks_of_a_fleet_come_back_only_after_their_swap() -> None:
    trips = {"km_loaded": 20, "km_empty": 20, "kwh_per_km_loaded": 2.3, "kwh_per_km_empty": 1.1}
    fleet = {"id": "f1", "model": "tractor", "vehicles": 40, "trips": trips}
    read = scenario(demand={"mode": "fleet"}, fleets=[fleet])
    flow = built(read, 1)
    for instant in range(0, 4 * 86_400, 1800):
        flow.run_until(float(instant))
        here = [truck.vehicle_id for truck in flow.queue]
        assert len(here) == len(set(here))
    run = simulate_once(read, 1, days=5)
    assert 3 < run.means["swaps_per_day"] / 40 < 7


def test_photovoltaics_save_import() -> None:
    sunny = simulate_once(scenario(pv={"peak_kw": 500}), 1, days=7)
    plain = simulate_once(scenario(), 1, days=7)
    saved = plain.means["import_kwh_per_day"] - sunny.means["import_kwh_per_day"]
    assert 500 * 1 < saved < 500 * 5
    assert 0.5 < sunny.means["pv_self_use_share"] <= 1


def test_two_packs_a_truck_and_two_kinds() -> None:
    read = scenario(
        pack_kinds=[
            {"id": "lfp-282", "rated_kwh": 282, "max_charge_kw": 282},
            {"id": "lfp-350", "rated_kwh": 350, "max_charge_kw": 350},
        ],
        vehicle_models=[
            {"id": "tractor", "pack_kinds": ["lfp-282", "lfp-350"]},
            {"id": "dumper", "pack_kinds": ["lfp-350"], "packs_per_vehicle": 2},
        ],
        fleets=[
            {"id": "f1", "model": "tractor", "vehicles": 30},
            {"id": "f2", "model": "dumper", "vehicles": 10},
        ],
        demand={"trucks_per_hour_by_hour": [3.0] * 24, "follows_cold": False},
        equipment={"packs": {"lfp-282": 6, "lfp-350": 8}, "spare_bays": 3, "charger_kw": 240, "transformer_kva": 4000},
    )
    flow = built(read, 1)
    flow.run_until(5 * 86_400.0)
    assert flow.started > 250
    assert len(flow.queue) < 20


def test_a_large_rack_that_is_drained_has_saved_nothing() -> None:
    """One that buys almost nothing for a day owes what its packs have lost; one that charges owes nothing."""

    def day(packs: int, kva: float) -> tuple[float, float]:
        equipment = {"packs": {"lfp-282": packs}, "charger_kw": 240, "transformer_kva": kva, "swap_cv": 0.1}
        demand = {"trucks_per_hour_by_hour": [2.0] * 24, "follows_cold": False}
        flat = {"profile": "flat"}
        run = simulate_once(scenario(equipment=equipment, demand=demand, tariff=flat), 1, days=1, warmup_days=0)
        assert run.lost == 0
        paid = run.means["energy_yuan_per_day"]
        return paid, paid - run.means["stock_yuan_per_day"]

    small_paid, small_cost = day(12, 2500)
    drained_paid, drained_cost = day(60, 150)
    assert drained_paid < 0.5 * small_paid
    assert drained_cost == pytest.approx(small_cost, rel=0.04)


def test_aged_packs_hold_and_take_less() -> None:
    """A truck that comes as empty in per cent takes 80 % of the energy, and its charge takes 80 % of the time."""
    equipment = {"packs": {"lfp-282": 12}, "charger_kw": 240, "transformer_kva": 4000}
    new, aged = (simulate_once(scenario(equipment=equipment | {"soh_pct": soh}), 1, days=5) for soh in (100, 80))
    assert aged.means["kwh_per_swap"] == pytest.approx(0.8 * new.means["kwh_per_swap"], rel=0.01)
    assert aged.means["charger_utilisation"] == pytest.approx(0.8 * new.means["charger_utilisation"], rel=0.03)


@pytest.mark.parametrize(("soc_pct", "soh_pct", "temp_c"), [(101, 100, 20), (-1, 100, 20), (50, 0, 20), (50, 100, inf)])
def test_a_pack_that_cannot_be_is_refused(soc_pct: float, soh_pct: float, temp_c: float) -> None:
    with pytest.raises(ValueError, match="P1"):
        Kinds(scenario()).pack("P1", "lfp-282", soc_pct, temp_c, soh_pct)


def test_the_study_carries_out_any_planner() -> None:
    """One that neither side has seen: at most 300 kW, by day, for kinds with two packs to spare."""

    class ByDay:
        def guide_at(self, at: datetime, prices: Sequence[TariffSlice]) -> Guide | None:
            until_at = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            return Guide(until_at, 300.0, {"lfp-282": 2}) if 0 <= at.hour < 10 else None

    station = Station(scenario(equipment=GENEROUS), 1, planner=ByDay())
    station.build()
    bound = 0
    for instant in range(100, 3 * 86_400, 457):
        station.run_until(float(instant))
        guide = station.rack.guide
        planned_anew(station)
        filled = [bay for bay in station.rack.bays if bay.content is not None]
        in_force_kw = sum(min(bay.power_kw, bay.content.max_charge_kw) for bay in filled if bay.content is not None)
        if guide is not None and is_bound(station.rack.kinds["lfp-282"], guide):
            assert in_force_kw <= 300.0 + 1e-6
            bound += in_force_kw > 100
        elif guide is None:
            assert not any(bay.limited_by is Limit.TARIFF for bay in station.rack.bays)
    assert bound > 20
