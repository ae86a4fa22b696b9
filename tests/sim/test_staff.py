"""Hours in which lanes are attended: waits worked out by hand."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from scheduler.types import PackState
from sim.scenario.file import Scenario
from sim.scenario.load import parse_scenario
from sim.study import failures as study_failures
from sim.study.design import Design, capital_parts
from sim.study.study import simulate_once
from sim.study.swap_truck import scenario_station
from sim.world.staff import StaffHours
from swap.config.loading import ConfigError
from tests.support.sim.study import plain_scenario, scenario, scenario_data

HOUR_S, DAY_S = 3600.0, 86_400.0
DAY_SHIFT = {"from_hour": 8, "hours": 12}


def recorded(folder: Path, at_h: list[float], **over: Any) -> Scenario:
    """Trucks at given hours after Monday 2026-01-05, 0 h; a swap takes 300 s."""
    rows = [f"{at * HOUR_S},truck-{number},0" for number, at in enumerate(at_h)]
    (folder / "trucks.csv").write_text("\n".join(["at,vehicle,soc_pct", *rows]) + "\n", encoding="utf-8")
    made = plain_scenario(**over.pop("equipment", {}))
    plain = made.model_dump(
        include={"fleets", "pack_kinds", "vehicle_models", "charging", "equipment"}, exclude_defaults=True
    )
    demand = {"mode": "trace", "trace": "trucks.csv", "trace_numbers": "seconds", "repeat_trace": False}
    return parse_scenario(scenario_data(**plain) | {"demand": demand} | over, folder=folder)


def starts_h(made: Scenario, days: float = 1.0) -> list[float]:
    flow = scenario_station(made, 1)
    flow.run_until(days * DAY_S)
    return [(at_s + wait_s) / HOUR_S for at_s, wait_s in zip(flow.arrival_s, flow.waits, strict=True)]


def test_a_truck_at_night_waits_for_the_shift(tmp_path: Path) -> None:
    made = recorded(tmp_path, [3.0, 19 + 59 / 60, 20.0], staff={"shifts": [DAY_SHIFT]})
    flow = scenario_station(made, 1)
    flow.run_until(20 * HOUR_S + 301)
    # Called at 19:59, ends at 20:04 though nobody is there any more; the one of 20:00 stays.
    assert flow.started == 2
    assert all(lane.open_swap_id is None for lane in flow.lanes)
    assert starts_h(made, 2) == pytest.approx([8.0, 19 + 59 / 60, 32.0], abs=1e-9)
    assert starts_h(recorded(tmp_path, [3.0, 20.0]), 2) == pytest.approx([3.0, 20.0], abs=1e-9)


def test_an_unattended_lane_is_no_free_lane(tmp_path: Path) -> None:
    """Trucks that wait for people have not met an empty rack."""
    made = recorded(
        tmp_path,
        [3.0, 3.1, 3.2],
        staff={"shifts": [DAY_SHIFT]},
        equipment={"packs": {"lfp-282": 1}, "transformer_kva": 282, "spare_bays": 1},
    )
    flow = scenario_station(made, 1)
    flow.run_until(8 * HOUR_S)
    assert flow.stockouts == 0


def test_impatient_trucks_are_lost_while_nobody_is_there() -> None:
    over: dict[str, Any] = {
        "patience": {"mean_patience_min": 30},
        "demand": {"trucks_per_hour_by_hour": [2.0] * 24, "follows_cold": False},
    }
    # 2 trucks an hour, 12 h without people: on average one still waits when the shift begins.
    lost = simulate_once(scenario(**over, staff={"shifts": [DAY_SHIFT]}), 1, days=28).means["lost_per_day"]
    assert simulate_once(scenario(**over), 1, days=28).means["lost_per_day"] < 1
    assert lost == pytest.approx(24 - 1, rel=0.1)


def test_charging_goes_on_without_people(tmp_path: Path) -> None:
    made = recorded(tmp_path, [19.9], staff={"shifts": [DAY_SHIFT]})
    flow = scenario_station(made, 1)
    flow.run_until(22 * HOUR_S)
    assert len(flow.rack.charged) == 8


@pytest.mark.parametrize(
    ("shift", "per_person", "second_h"),
    [({"people": 1}, 1, 9 + 300 / HOUR_S), ({"people": 1}, 2, 9.0), ({"people": 2}, 1, 9.0)],
)
def test_one_person_attends_so_many_lanes(
    tmp_path: Path, shift: dict[str, int], per_person: int, second_h: float
) -> None:
    staff = {"shifts": [DAY_SHIFT | shift], "lanes_per_person": per_person}
    made = recorded(tmp_path, [9.0, 9.0], staff=staff, equipment={"lanes": 2})
    assert starts_h(made) == pytest.approx([9.0, second_h], abs=1e-9)


def test_weekends_and_shifts_that_pass_midnight(tmp_path: Path) -> None:
    working_days = {"shifts": [DAY_SHIFT | {"weekdays": [1, 2, 3, 4, 5]}]}
    # Saturday 10 h waits until Monday 8 h.
    made = recorded(tmp_path, [5 * 24 + 10.0], staff=working_days)
    assert starts_h(made, 9) == pytest.approx([7 * 24 + 8.0], abs=1e-9)
    # A shift of Sunday 22:30 for 4 h serves Monday 2 h, not Monday 3 h.
    sunday = {"shifts": [{"from_hour": 22.5, "hours": 4, "weekdays": [7]}]}
    made = recorded(tmp_path, [2.0, 3.0], staff=sunday)
    assert starts_h(made, 7) == pytest.approx([2.0, 6 * 24 + 22.5], abs=1e-9)


def test_overlapping_shifts_add_up() -> None:
    shifts = [{"from_hour": 6, "hours": 8}, {"from_hour": 12, "hours": 8, "people": 2}]
    hours = StaffHours(scenario(staff={"shifts": shifts, "lanes_per_person": 3}), 0.0)
    found = []
    for hour in (5, 6, 11, 12, 13, 14, 19, 20):
        hours.at(hour * HOUR_S)
        found.append(hours.lanes)
    assert found == [0, 3, 3, 9, 9, 6, 6, 0]
    assert hours.next_change_s(13.5 * HOUR_S) == 14 * HOUR_S
    assert hours.next_staffed_s(20 * HOUR_S) == 30 * HOUR_S
    assert hours.next_staffed_s(7 * HOUR_S + 1.5) == 7 * HOUR_S + 1.5


class Fixed(Random):
    """In place of a stream: every time is its mean, everything that can happen does."""

    def __init__(self, *seed: object) -> None:
        super().__init__(1)

    def random(self) -> float:
        return 0.0

    def expovariate(self, rate: float) -> float:
        return 1 / rate


def test_a_repair_begins_when_somebody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A robot that fails at 3 h needs 2 h: ready at 10 h. A charger that fails then needs 12 h: ready at 20 h."""
    failures = {"robot_mtbf_h": 3, "robot_repair_h": 2, "charger_mtbf_h": 3, "charger_repair_h": 12}
    monkeypatch.setattr(study_failures, "stream", Fixed)
    monkeypatch.setattr(study_failures, "Random", Fixed)
    flow = scenario_station(scenario(failures=failures, staff={"shifts": [DAY_SHIFT]}), 1)
    lane, bay = flow.lanes[0], flow.rack.bays[0]
    for hour, robot, charger in ((3.0, False, False), (9.99, False, False), (10.01, True, False), (20.01, True, True)):
        flow.run_until(hour * HOUR_S + 1)
        assert (lane.ready, bay.charger_ok) == (robot, charger)


def test_an_inspection_begins_when_somebody_is_there(tmp_path: Path) -> None:
    """The pack of a truck called at 19:59 is set down after the shift: 2 h from 8 h the next day."""
    made = recorded(
        tmp_path,
        [19 + 59 / 60],
        staff={"shifts": [DAY_SHIFT]},
        failures={"pack_fault_share": 0.5, "pack_inspection_h": 2},
    )
    flow = scenario_station(made, 1)
    flow._faults = Fixed()
    for hour, seen in ((20.1, True), (33.99, True), (34.01, False)):
        flow.run_until(hour * HOUR_S)
        assert any(b.pack is not None and b.pack.state is PackState.QUARANTINED for b in flow.rack.bays) is seen


def test_people_for_every_lane_all_the_time_change_nothing() -> None:
    """Same seed, same numbers, to the last digit."""
    over: dict[str, Any] = {
        "equipment": {"packs": {"lfp-282": 9}, "lanes": 2, "charger_kw": 240, "transformer_kva": 1600},
        "failures": {"robot_mtbf_h": 60, "charger_mtbf_h": 100},
        "patience": {"mean_patience_min": 40},
    }
    always = {"shifts": [{"from_hour": 7.5, "hours": 24}], "lanes_per_person": 2}
    plain, staffed = (simulate_once(scenario(**over, staff=staff), 3, days=5) for staff in ({}, always))
    assert plain.means == staffed.means
    assert plain.waits_min.tolist() == staffed.waits_min.tolist()


def test_people_cost_what_their_hours_cost() -> None:
    shifts = [DAY_SHIFT | {"weekdays": [1, 2, 3, 4, 5], "people": 2}, {"from_hour": 9, "hours": 5, "weekdays": [6]}]
    made = scenario(staff={"shifts": shifts}, costs={"staff_yuan_per_h": 40, "staff_yuan_per_year": 1000})
    assert made.staff.person_hours_a_week == 125
    assert capital_parts(made, Design(8, 9, 2500, 1))["staff"] == pytest.approx(1000 + 125 * 40 * 365 / 7)


def test_swap_trucks_have_no_shifts() -> None:
    data = scenario_data(staff={"shifts": [DAY_SHIFT]})
    data["equipment"] |= {"swap_truck": {"packs": 3, "drive_min": 20}}
    with pytest.raises(ConfigError, match=r"staff\.shifts: not simulated for swap trucks"):
        parse_scenario(data)
