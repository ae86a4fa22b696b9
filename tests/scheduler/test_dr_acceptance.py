"""What is accepted, what speaks against it, and what is told before it happens. Courses are made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest

from scheduler.response.acceptance import Objection, answer_direct, answer_voluntary, foresee
from scheduler.response.flexibility import (
    Course,
    CourseStep,
    Restraint,
    TruckWaits,
    flexibility,
    waits_of,
)
from scheduler.response.programme import EventSpan, MeteredSlot, ProgrammeSection

AT = datetime(2026, 6, 18, 10, tzinfo=UTC)
HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
BASE_KW, PLANNED_KW = 100.0, 1000.0
EVENT = EventSpan(AT - QUARTER, AT, AT + HOUR)
BASELINE = [1000.0] * 4


def programme(**over: Any) -> ProgrammeSection:
    data: dict[str, Any] = {"id": "p", "name_zh": "测", "name_en": "P", "notice_min": 15, "price_yuan_per_kwh": "2"}
    data |= {"payer": "grid"}
    return ProgrammeSection.model_validate(data | {"penalty_yuan_per_kwh": "1"} | over)


class Rack:
    """Draws 1000 kW, 1500 kW at most; truck T2 waits for what more than `spare_kwh` less has charged."""

    def __init__(self, spare_kwh: float = inf) -> None:
        self.spare_kwh = spare_kwh
        self.asked = 0

    def __call__(self, restraint: Restraint | None) -> Course:
        self.asked += 1
        came = {"T1": AT + HOUR, "T2": AT + 2 * HOUR}
        called = dict(came)
        if restraint is None:
            return Course((CourseStep(AT, AT + 5 * HOUR, PLANNED_KW, 6),), called, came)
        kw = 1500.0 if restraint.limit_kw is None else max(min(PLANNED_KW, restraint.limit_kw), BASE_KW)
        hours = (restraint.until_at - restraint.from_at) / HOUR
        missing_kwh = (PLANNED_KW - kw) * hours
        if missing_kwh > self.spare_kwh:
            called["T2"] += timedelta(hours=(missing_kwh - self.spare_kwh) / PLANNED_KW)
        steps = (
            CourseStep(AT, restraint.until_at, kw, 6),
            CourseStep(restraint.until_at, AT + 5 * HOUR, PLANNED_KW, 3),
        )
        return Course(steps, called, came)


def test_what_lies_inside_is_accepted_with_what_it_earns() -> None:
    found = answer_voluntary(programme(), EVENT, 600.0, BASELINE, Rack())
    assert found.accepted
    assert found.objections == ()
    assert found.limit_kw == 400.0
    assert found.foreseen is not None
    assert str(found.foreseen.money_yuan) == "1200.00"


def test_a_truck_that_would_wait_is_named_and_the_event_declined() -> None:
    found = answer_voluntary(programme(), EVENT, 600.0, BASELINE, Rack(spare_kwh=300.0))
    assert not found.accepted
    assert found.objections == (Objection.TRUCK_WAITS,)
    (waits,) = found.waits
    assert (waits.truck, waits.came_at) == ("T2", AT + 2 * HOUR)
    assert waits.minutes == pytest.approx(18.0)


def test_each_rule_of_the_programme_is_an_objection_of_its_own() -> None:
    rules = programme(notice_min=30, least_kw=700, least_min=120)
    found = answer_voluntary(rules, EVENT, 600.0, BASELINE, Rack())
    assert found.objections == (Objection.LATE_NOTICE, Objection.TOO_SMALL, Objection.TOO_SHORT)
    # 950 kW would need 50 kW of import, and the base load takes 100.
    assert answer_voluntary(programme(), EVENT, 950.0, BASELINE, Rack()).accepted, "900 kW are above the least share"
    strict = answer_voluntary(programme(least_share=1), EVENT, 950.0, BASELINE, Rack())
    assert strict.objections == (Objection.NOT_DELIVERED,)


def test_what_an_accepted_event_has_sold_is_not_sold_again() -> None:
    def objections(from_h: float, until_h: float) -> tuple[Objection, ...]:
        other = EventSpan(AT - 2 * HOUR, AT + from_h * HOUR, AT + until_h * HOUR)
        return answer_voluntary(programme(), EVENT, 600.0, BASELINE, Rack(), [other]).objections

    assert objections(0, 1) == objections(0.5, 3) == objections(-1, 0.1) == (Objection.OVERLAPS,)
    assert objections(-1, 0) == objections(1, 2) == (), "one begins when the other has ended"
    direct = answer_direct(programme(control="direct"), EVENT, 400.0, BASELINE, Rack(), [EVENT])
    assert (direct.accepted, direct.objections) == (True, (Objection.OVERLAPS,))


def test_direct_control_holds_whatever_speaks_against_it() -> None:
    found = answer_direct(programme(control="direct", notice_min=60), EVENT, 400.0, BASELINE, Rack(300.0))
    assert found.accepted
    assert found.objections == (Objection.LATE_NOTICE, Objection.TRUCK_WAITS)
    assert found.offered_kw == 600.0
    unknown = answer_direct(programme(), EVENT, 400.0, None, Rack())
    assert (unknown.accepted, unknown.offered_kw, unknown.foreseen) == (True, None, None)
    assert answer_direct(programme(), EVENT, 1200.0, BASELINE, Rack()).foreseen is None, "above the baseline"


def test_a_shortfall_is_told_with_its_penalty_before_it_happens() -> None:
    """Two slots are metered; from the third on the station draws as planned again."""
    metered = [MeteredSlot(AT, 400.0), MeteredSlot(AT + QUARTER, 400.0)]
    found = foresee(programme(), EVENT, 600.0, BASELINE, metered, Rack()(None))
    assert [str(slot.short_kwh) for slot in found.slots] == ["0", "0", "150.000", "150.000"]
    assert str(found.penalty_yuan) == "300.00"
    assert str(found.money_yuan) == "600.00"


class TestFlexibility:
    def test_the_curve_gives_up_time_for_power_and_names_the_truck(self) -> None:
        found = flexibility(Rack(spare_kwh=300.0), AT, AT + HOUR, BASE_KW, levels=4)
        assert found.planned_kw == PLANNED_KW
        # 225, 450, 675 and 900 kW less: 300 kWh are spare.
        assert [(point.kw, point.minutes) for point in found.shed] == [(225, 60), (450, 30), (675, 15), (900, 15)]
        assert found.shed[0].first is None
        assert {point.first.truck for point in found.shed[1:] if point.first is not None} == {"T2"}
        assert (found.shed[0].ready, found.shed[0].ready_planned) == (3, 6)

    def test_what_can_be_absorbed_is_what_is_held_back(self) -> None:
        found = flexibility(Rack(), AT, AT + HOUR, BASE_KW)
        assert found.absorb is not None
        assert (found.absorb.kw, found.absorb.minutes, found.absorb.limit_kw) == (500.0, 60.0, None)

    def test_nothing_can_be_shed_of_the_base_load(self) -> None:
        assert flexibility(Rack(), AT, AT + HOUR, PLANNED_KW).shed == ()

    def test_a_window_ends_after_its_begin(self) -> None:
        with pytest.raises(ValueError, match="must end after"):
            flexibility(Rack(), AT, AT, BASE_KW)

    def test_a_truck_that_is_never_called_waits_without_end(self) -> None:
        planned = Rack()(None)
        held = Course(planned.steps, {"T1": AT + HOUR}, planned.came_at)
        assert waits_of(planned, held) == (TruckWaits("T2", AT + 2 * HOUR, inf),)


class TestAbsorb:
    """The import is raised to a floor above the highest slot of the baseline."""

    rules = programme(direction="absorb")

    def test_what_packs_can_take_is_accepted(self) -> None:
        asked: list[Restraint | None] = []
        rack = Rack()

        def course_of(restraint: Restraint | None) -> Course:
            asked.append(restraint)
            return rack(restraint)

        found = answer_voluntary(self.rules, EVENT, 400.0, [1000.0, 900.0, 1100.0, 1000.0], course_of)
        assert asked == [None, Restraint(EVENT.from_at, EVENT.until_at, None, 1500.0)]
        assert found.accepted
        assert (found.limit_kw, found.floor_kw, found.offered_kw) == (None, 1500.0, 400.0)
        assert found.foreseen is not None
        # 500, 600, 400 and 500 kW above the baseline; at most 480 kW of each count.
        assert found.foreseen.money_yuan == 2 * (120 + 120 + 100 + 120)

    def test_more_than_packs_can_take_is_declined_with_what_lacks(self) -> None:
        found = answer_voluntary(self.rules, EVENT, 700.0, BASELINE, Rack())
        assert not found.accepted
        assert found.objections == (Objection.NOT_DELIVERED,)
        assert found.foreseen is not None
        assert found.foreseen.penalty_yuan == 4 * 50, "200 kW of each quarter lack"

    def test_direct_control_never_absorbs(self) -> None:
        with pytest.raises(ValueError, match="a programme that absorbs is voluntary"):
            programme(direction="absorb", control="direct")
