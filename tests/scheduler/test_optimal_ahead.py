"""What a plan is made from: slots, expected trucks, visits of packs; and who carries it out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from math import inf
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from scheduler.config import TariffSection
from scheduler.guide import Guide
from scheduler.optimal.forecast import Rates, count_quantile, expected_at_h
from scheduler.optimal.plan import make_plan
from scheduler.optimal.planner import GuideKeeper
from scheduler.optimal.problem import ChargeProblem, Tier
from scheduler.optimal.slots import lengths_h, prices_of, slot_starts
from scheduler.optimal.stock import PackAhead, TruckAhead, Worth, visits_of
from scheduler.tariff_files import load_tariff
from scheduler.types import TariffSlice
from tests.support.scheduler.optimal import BEGIN_AT, LAW, site


class TestSlots:
    """Short now, longer later."""

    def test_steps_grow_and_lie_on_the_clock(self) -> None:
        begin_at = BEGIN_AT + timedelta(hours=7, minutes=3)
        starts = slot_starts(begin_at, 24.0)
        hours = lengths_h(starts)
        assert starts[0] == begin_at
        assert hours[0] == pytest.approx(2 / 60)
        assert hours[1:12] == pytest.approx(np.full(11, 5 / 60))
        assert {round(h * 60) for h in hours[14:30]} == {15}
        assert round(hours[-2] * 60) == 60
        assert hours.sum() == pytest.approx(24.0)
        assert all(at.minute % 5 == 0 for at in starts[1:-1])

    def test_no_slot_crosses_a_change_of_price(self) -> None:
        change_at = BEGIN_AT + timedelta(hours=10, minutes=30)
        assert change_at in slot_starts(BEGIN_AT, 24.0, [change_at])

    @pytest.mark.parametrize(
        ("day", "lasts_h"),
        [(date(2026, 3, 29), 23), (date(2026, 6, 3), 24), (date(2026, 10, 25), 25)],
    )
    def test_every_hour_costs_its_real_length(self, day: date, lasts_h: int) -> None:
        zone = ZoneInfo("Europe/Berlin")
        tariff = load_tariff(TariffSection(), zone)
        begin_at = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        next_day = day + timedelta(days=1)
        end_at = datetime(next_day.year, next_day.month, next_day.day, tzinfo=zone).astimezone(UTC)
        slices = tariff.slices(begin_at, end_at)
        starts = slot_starts(begin_at, lasts_h, [part.until_at for part in slices])
        hours, price = lengths_h(starts), prices_of(starts, slices)
        assert starts[-1] == end_at
        assert hours.sum() == pytest.approx(lasts_h)
        true = sum((p.until_at - p.from_at).total_seconds() / 3600 * p.price_yuan_per_kwh for p in slices)
        asked = ChargeProblem(begin_at, hours, site(list(price), base_kw=1.0), ())
        assert make_plan(asked).money_yuan == pytest.approx(true)
        assert all(float(tariff.price_at(at)) == pytest.approx(p) for at, p in zip(starts, price, strict=False))

    def test_without_a_price_there_is_no_plan(self) -> None:
        part = TariffSlice(BEGIN_AT, BEGIN_AT + timedelta(hours=2), "flat", 0.5)
        with pytest.raises(ValueError, match="no price is known for 2026-06-01T02"):
            prices_of(slot_starts(BEGIN_AT, 4.0), [part])
        with pytest.raises(ValueError, match="horizon_h is 0"):
            slot_starts(BEGIN_AT, 0.0)


class TestForecast:
    """Means and the stock beyond them."""

    @pytest.mark.parametrize(("mean", "level", "count"), [(0.0, 0.9, 0), (1.0, 0.5, 1), (4.0, 0.95, 8), (9.0, 0.9, 13)])
    def test_quantiles_of_a_count(self, mean: float, level: float, count: int) -> None:
        """By tables of the Poisson distribution: P(N ≤ 7) = 0.9489 and P(N ≤ 8) = 0.9786 at a mean of 4."""
        assert count_quantile(mean, level) == count

    def test_no_quantile_of_nonsense(self) -> None:
        with pytest.raises(ValueError, match="level 1"):
            count_quantile(3.0, 1.0)
        with pytest.raises(ValueError, match="mean is -1"):
            count_quantile(-1.0, 0.5)

    def test_trucks_are_expected_where_half_of_one_more_has_come(self) -> None:
        assert expected_at_h(Rates([2.0, 0.0, 4.0]), 3.0) == pytest.approx([0.25, 0.75, 2.125, 2.375, 2.625, 2.875])
        assert expected_at_h(Rates([2.0, 2.0]), 1.0) == pytest.approx([0.25, 0.75])


WORTH = Worth(0.5, 0.95)


def pack_ahead(name: str, energy_kwh: float, from_h: float = 0.0, kind: str = "lfp", **more: bool) -> PackAhead:
    return PackAhead(name, kind, energy_kwh, 253.8, 267.9, 240.0, 0.96, LAW, from_h, **more)


def truck(
    name: str, at_h: float, tier: Tier = Tier.FORECAST, kinds: tuple[str, ...] = ("lfp",), seats: int = 1
) -> TruckAhead:
    leaves = tuple(pack_ahead(f"{name}.{seat}", 60.0, at_h + 0.1, kinds[0]) for seat in range(seats))
    return TruckAhead(name, at_h, kinds, leaves, tier)


class TestVisits:
    """Which pack goes to which truck."""

    def test_the_first_truck_gets_the_pack_that_is_ready_first(self) -> None:
        packs = [pack_ahead("A1", 60.0), pack_ahead("A2", 260.0), pack_ahead("A3", 200.0)]
        visits = visits_of(packs, [truck("T2", 3.0), truck("T1", 1.0)], 24.0, WORTH)
        until = {store.name: store.until_h for store in visits.stores}
        assert until == {"A2": 1.0, "A3": 3.0, "A1": inf, "T1.0": inf, "T2.0": inf}
        assert visits.delays == ()
        assert {goal.kwh for store in visits.stores if store.name == "A2" for goal in store.goals} == {253.8, 267.9}

    def test_a_pack_comes_round_again(self) -> None:
        visits = visits_of([pack_ahead("A1", 260.0)], [truck("T1", 1.0), truck("T2", 5.0)], 24.0, WORTH)
        assert [(s.name, s.from_h, s.until_h) for s in visits.stores] == [
            ("A1", 0.0, 1.0), ("T1.0", 1.1, 5.0), ("T2.0", 5.1, inf),
        ]  # fmt: skip

    def test_a_deadline_that_nobody_can_keep_is_named_and_moves_what_follows(self) -> None:
        visits = visits_of([pack_ahead("A1", 60.0)], [truck("T1", 0.5, Tier.PROMISED)], 24.0, WORTH)
        ready_h = LAW.hours_to(60.0, 253.8)
        (delay,) = visits.delays
        assert (delay.truck, delay.tier) == ("T1", Tier.PROMISED)
        assert delay.minutes == pytest.approx(60 * (ready_h - 0.5))
        assert delay.missing_kwh == pytest.approx(253.8 - LAW.energy_after(60.0, 0.5))
        store, back = visits.stores
        assert (store.until_h, back.from_h) == pytest.approx((ready_h, ready_h + 0.1))
        asked = ChargeProblem(BEGIN_AT, np.full(6, 0.25), site([0.9] * 4 + [0.1] * 2), visits.stores)
        plan = make_plan(asked)
        assert plan.flows.charge_kw[0] == pytest.approx(240.0), "full power, though it is dear"

    def test_who_was_promised_packs_does_not_wait_behind_those_that_are_expected(self) -> None:
        expected = [truck(f"E{n}", 0.1 * n) for n in range(8)]
        visits = visits_of([pack_ahead("A1", 260.0)], [*expected, truck("B1", 0.5, Tier.PROMISED)], 24.0, WORTH)
        late = {delay.truck: delay.minutes for delay in visits.delays}
        charge_h = 0.1 + LAW.hours_to(60.0, 253.8)
        assert late["B1"] <= 60 * charge_h, "one charge at most, not eight"
        assert late["E7"] > 5 * 60 * charge_h

    def test_two_packs_of_one_kind_or_none(self) -> None:
        packs = [pack_ahead("A1", 260.0), pack_ahead("B1", 260.0, kind="nmc"), pack_ahead("B2", 250.0, kind="nmc")]
        visits = visits_of(packs, [truck("T1", 1.0, kinds=("lfp", "nmc"), seats=2)], 24.0, WORTH)
        assert {s.name for s in visits.stores if s.until_h == 1.0} == {"B1", "B2"}

    def test_what_is_blocked_stays(self) -> None:
        visits = visits_of([pack_ahead("A1", 260.0, offerable=False)], [truck("T1", 1.0)], 24.0, WORTH)
        assert [(s.name, s.until_h) for s in visits.stores] == [("A1", inf)]


class TestKeeper:
    """Plans while they are good, the rule before and after."""

    class Rule:
        def guide_at(self, at: datetime, prices: object) -> Guide | None:
            return None

    def test_guides_follow_each_other_and_then_the_rule_takes_over(self) -> None:
        keeper = GuideKeeper(self.Rule(), timedelta(hours=2))
        assert keeper.guide_at(BEGIN_AT, ()) is None
        guides = [Guide(BEGIN_AT + timedelta(hours=n + 1), 100.0 * n, {"lfp": 1}) for n in range(4)]
        keeper.adopt(BEGIN_AT, guides)
        minutes = (0, 59, 60, 119, 120, 300)
        found = [keeper.guide_at(BEGIN_AT + timedelta(minutes=m), ()) for m in minutes]
        assert [None if g is None else g.most_kw for g in found] == [0.0, 0.0, 100.0, 100.0, None, None]

    def test_before_its_begin_a_plan_says_nothing(self) -> None:
        keeper = GuideKeeper(self.Rule())
        keeper.adopt(BEGIN_AT, [Guide(BEGIN_AT + timedelta(hours=1), 5.0, {})])
        assert keeper.guide_at(BEGIN_AT - timedelta(minutes=1), ()) is None
        assert keeper.guide_at(BEGIN_AT + timedelta(hours=1), ()) is None


def test_slots_of_any_begin_cover_the_horizon_and_are_no_longer_than_their_steps() -> None:
    begin_at, change_at = BEGIN_AT + timedelta(seconds=17), BEGIN_AT + timedelta(hours=5, seconds=3)
    starts = slot_starts(begin_at, 30.0, [change_at])
    assert (starts[0], starts[-1]) == (begin_at, begin_at + timedelta(hours=30))
    assert change_at in starts
    for at, after in pairwise(starts):
        into_h = (at - begin_at) / timedelta(hours=1)
        assert timedelta(0) < after - at <= timedelta(minutes=5 if into_h < 1 else 15 if into_h < 6 else 60)
