"""The baseline, the settlement and what no plan can do to either."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from scheduler.response.baseline import NoBaseline, baseline_kw
from scheduler.response.programme import EventSpan, MeteredSlot, ProgrammeSection
from scheduler.response.settlement import settle

ZONE = ZoneInfo("Asia/Shanghai")
QUARTER = timedelta(minutes=15)
DAY = date(2026, 6, 18)
"""A Thursday."""


def programme(**over: Any) -> ProgrammeSection:
    data: dict[str, Any] = {
        "id": "test",
        "name_zh": "测试",
        "name_en": "Test",
        "payer": "grid",
        "notice_min": 15,
        "price_yuan_per_kwh": "2.0",
        "penalty_yuan_per_kwh": "0.5",
        "baseline": {"like_days": 5, "least_days": 2, "look_back_days": 20},
    }
    return ProgrammeSection.model_validate(data | over)


def local(day: date, hour: float) -> datetime:
    return (datetime(day.year, day.month, day.day, tzinfo=ZONE) + timedelta(hours=hour)).astimezone(UTC)


def event(day: date = DAY, from_hour: float = 18, hours: float = 1, told_h: float = 0.25) -> EventSpan:
    begin_at = local(day, from_hour)
    return EventSpan(begin_at - timedelta(hours=told_h), begin_at, begin_at + timedelta(hours=hours))


def metered(days: dict[date, float], from_hour: float = 0, hours: float = 24) -> list[MeteredSlot]:
    """Days of one power each."""
    return [
        MeteredSlot(local(day, from_hour) + n * QUARTER, kw) for day, kw in days.items() for n in range(int(4 * hours))
    ]


def back(days: int) -> date:
    return DAY - timedelta(days=days)


WEEK = {back(n): 1000.0 + 100 * n for n in range(1, 13)}


class TestBaseline:
    def test_the_last_like_days_count(self) -> None:
        # Wed 17, Tue 16, Mon 15, Fri 12, Thu 11: 1, 2, 3, 6, 7 days back.
        found = baseline_kw(programme(), event(), metered(WEEK), (), ZONE)
        assert found.days == (back(1), back(2), back(3), back(6), back(7))
        assert found.kw == pytest.approx([1000 + 100 * 19 / 5] * 4)

    def test_only_the_highest_count_where_the_rule_says_so(self) -> None:
        rule = {"like_days": 5, "highest": 2, "least_days": 2}
        found = baseline_kw(programme(baseline=rule), event(), metered(WEEK), (), ZONE)
        assert found.days == (back(6), back(7))
        assert found.kw == pytest.approx([1650] * 4)

    def test_a_holiday_is_a_rest_day(self) -> None:
        found = baseline_kw(programme(), event(), metered(WEEK), (), ZONE, rest_days={back(1)})
        assert found.days == (back(2), back(3), back(6), back(7), back(8))
        holiday = baseline_kw(programme(), event(), metered(WEEK), (), ZONE, rest_days={DAY})
        assert holiday.days == (back(4), back(5), back(11), back(12)), "Sundays and Saturdays"

    def test_a_day_with_an_event_and_the_hours_since_it_was_told_do_not_count(self) -> None:
        before = event(back(2), told_h=25)  # told at five on the day before that
        found = baseline_kw(programme(), event(), metered(WEEK), (before,), ZONE)
        assert found.days == (back(1), back(6), back(7), back(8), back(9))
        assert found.left_out == {"told": 2, "unmetered": 0}
        early = event(back(2), from_hour=8, hours=1)
        assert back(2) not in baseline_kw(programme(), event(), metered(WEEK), (early,), ZONE).days, "another hour"
        late = event(back(2), from_hour=23, hours=0.5)  # its packs catch up until half past five
        assert back(1) in baseline_kw(programme(), event(), metered(WEEK), (late,), ZONE).days
        assert back(1) not in baseline_kw(programme(), event(from_hour=5), metered(WEEK), (late,), ZONE).days

    def test_own_announcement_a_day_ahead_takes_that_day_out(self) -> None:
        found = baseline_kw(programme(), event(told_h=24), metered(WEEK), (), ZONE)
        assert back(1) not in found.days

    def test_an_unmetered_day_is_none_and_too_few_are_no_baseline(self) -> None:
        holes = [slot for slot in metered(WEEK) if slot.at != local(back(1), 18.5)]
        found = baseline_kw(programme(), event(), holes, (), ZONE)
        assert back(1) not in found.days
        assert found.left_out["unmetered"] == 1
        part = [MeteredSlot(slot.at, slot.mean_kw, 0.7) for slot in metered(WEEK)]
        with pytest.raises(NoBaseline, match=r"needs 2 days .* 0 are metered"):
            baseline_kw(programme(), event(), part, (), ZONE)

    def test_an_event_past_midnight_takes_the_slots_of_the_next_day(self) -> None:
        over = event(from_hour=23.5, hours=1)
        rule = {"like_days": 1, "least_days": 1, "alike": "any"}
        found = baseline_kw(programme(baseline=rule), over, metered(WEEK | {DAY: 70.0}), (), ZONE)
        # Of the day before 23:30; after midnight it is the event's own day, before anything was told.
        assert found.kw == pytest.approx([1100, 1100, 70, 70])

    @given(
        order=st.randoms(use_true_random=False),
        raised_kw=st.floats(0, 1e5),
        told_h=st.floats(0, 30),
        outside_kw=st.floats(0, 1e5),
    )
    def test_no_plan_raises_it_and_no_other_day_matters(
        self, order: Any, raised_kw: float, told_h: float, outside_kw: float
    ) -> None:
        called = event(told_h=told_h)
        slots = metered(WEEK)
        found = baseline_kw(programme(), called, slots, (), ZONE)
        raised = [
            MeteredSlot(slot.at, slot.mean_kw + (raised_kw if slot.at >= called.told_at else 0.0)) for slot in slots
        ] + metered({DAY: raised_kw})
        outside = metered({back(n): outside_kw for n in range(13, 40)})
        order.shuffle(raised)
        again = baseline_kw(programme(), called, raised, (), ZONE)
        assert again == found
        if len(found.days) == 5:
            order.shuffle(outside)
            assert baseline_kw(programme(), called, outside + raised, (), ZONE) == found


class TestSettlement:
    def lines(self, imports: list[float], **over: Any) -> list[tuple[float, str, str, str, str]]:
        called = event()
        slots = [MeteredSlot(called.from_at + n * QUARTER, kw) for n, kw in enumerate(imports)]
        found = settle(programme(**over), called, 500.0, slots, [1000.0] * 4)
        return [
            (one.delivered_kw, str(one.counted_kwh), str(one.money_yuan), str(one.short_kwh), str(one.penalty_yuan))
            for one in found.slots
        ]

    def test_by_hand(self) -> None:
        assert self.lines([500.0, 600.0, 601.0, 300.0]) == [
            (500.0, "125.000", "250.00", "0", "0.00"),
            (400.0, "100.000", "200.00", "0", "0.00"),  # at the least share of 80 %
            (399.0, "0.000", "0.00", "25.250", "12.63"),  # below it: (500 - 399) / 4 kWh short
            (700.0, "150.000", "300.00", "0", "0.00"),  # 120 % of the offer and no more
        ]

    def test_a_slot_that_is_not_metered_has_delivered_nothing(self) -> None:
        assert self.lines([500.0, 500.0])[2] == (0.0, "0.000", "0.00", "125.000", "62.50")

    def test_the_opposite_is_no_delivery(self) -> None:
        assert self.lines([1100.0] * 4)[0] == (-100.0, "0.000", "0.00", "125.000", "62.50")

    def test_paid_by_kw_each_slot_earns_its_part(self) -> None:
        found = self.lines([500.0, 500.0, 700.0, 300.0], price_yuan_per_kwh=None, price_yuan_per_kw="8")
        assert [line[2] for line in found] == ["1000.00", "1000.00", "0.00", "1200.00"]

    def test_absorbing_counts_upwards(self) -> None:
        called = event(hours=0.25)
        found = settle(programme(direction="absorb"), called, 200.0, [MeteredSlot(called.from_at, 700.0)], [500.0])
        assert found.slots[0].delivered_kw == 200.0
        assert found.money_yuan == Decimal("100.00")

    def test_part_of_a_slot_counts_for_its_part(self) -> None:
        called = event(from_hour=18.1, hours=0.4)  # 18:06 to 18:30
        slots = [MeteredSlot(local(DAY, 18) + n * QUARTER, 500.0) for n in range(2)]
        found = settle(programme(), called, 500.0, slots, [1000.0] * 2)
        assert [str(one.counted_kwh) for one in found.slots] == ["75.000", "125.000"]

    @given(
        imports=st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4),
        base=st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4),
        offered_kw=st.floats(1, 1e4),
        least=st.floats(0, 1),
        most=st.floats(1, 3),
    )
    @example(imports=[0.0, 0.0, 0.0, 5.96e-08], base=[0.0] * 4, offered_kw=1.0, least=0.0, most=1.0)
    def test_never_more_than_the_most_share_and_nothing_below_the_least(
        self, imports: list[float], base: list[float], offered_kw: float, least: float, most: float
    ) -> None:
        called = event()
        rules = programme(least_share=least, most_share=most)
        slots = [MeteredSlot(called.from_at + n * QUARTER, kw) for n, kw in enumerate(imports)]
        for one in settle(rules, called, offered_kw, slots, base).slots:
            assert one.counted_kwh <= Decimal(repr(most * offered_kw / 4)) + Decimal("0.001")
            assert one.money_yuan >= 0
            assert one.penalty_yuan >= 0
            if one.delivered_kw < least * offered_kw * (1 - 1e-9) - 1e-6:
                assert one.money_yuan == 0
                assert one.short_kwh >= 0
            else:
                assert one.penalty_yuan == 0


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"price_yuan_per_kw": "8"}, "either"),
        ({"price_yuan_per_kwh": None}, "either"),
        ({"assumed": ["notice_mins"]}, "did you mean 'notice_min'"),
        ({"assumed": ["baseline.high"]}, "is no field"),
        ({"baseline": {"like_days": 3, "highest": 4}}, "highest is 4"),
        ({"baseline": {"like_days": 2, "least_days": 3}}, "least_days is 3"),
        ({"slot_min": 20}, "slot_min"),
        ({"notice_min": float("nan")}, "notice_min"),
        ({"notice": 5}, "notice"),
    ],
)
def test_a_programme_that_cannot_be_is_refused(over: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        programme(**over)


def test_times_out_of_order_are_no_event() -> None:
    with pytest.raises(ValueError, match="in this order"):
        EventSpan(local(DAY, 19), local(DAY, 18), local(DAY, 20))
