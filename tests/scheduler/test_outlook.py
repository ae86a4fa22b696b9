"""The problem of a charging plan, made from what a station holds and expects: the same for live and study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf, nan
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from battery_bms.pack.ahead import laws_of
from scheduler.demand_response import changes_between, limit_at
from scheduler.optimal.forecast import Rates
from scheduler.optimal.outlook import (
    COOL_H,
    SPENT_SOC_PCT,
    Forecast,
    KnownTruck,
    Modules,
    Outlook,
    SpentPack,
    TruckShare,
    packs_ahead,
    reach_of,
    task_of,
    through_lanes,
    trucks_ahead,
)
from scheduler.optimal.plan import make_plan
from scheduler.optimal.problem import Tier
from scheduler.rows import BayRow, KindRow, PackRow
from scheduler.site import DrEventSection
from scheduler.types import BayRole, ChargingPolicy, PackState, SiteLimits, TariffSlice
from tests.support.scheduler.optimal import BEGIN_AT, SPEC

KIND, OTHER = KindRow("lfp", 240.0, -20.0, 60.0), KindRow("nmc", 240.0, -20.0, 60.0)
LIMITS = SiteLimits(1000.0, charger_efficiency=0.95)
POLICY = ChargingPolicy(reserve_ready=0)
SHARE = TruckShare(1.0, ("lfp",), (SpentPack("lfp", 0.1),))


def bay(number: int, soc_pct: float = 50.0, charger_kw: float = 240.0, **more: Any) -> BayRow:
    """A bay with a pack, as it is read."""
    row = BayRow(f"A{number}", number, max_charge_kw=charger_kw)
    pack = row.pack = PackRow(f"P{number}", KIND, PackState.WAITING, 282.0)
    pack.soc_pct, pack.temp_min_c, pack.temp_max_c = soc_pct, 20.0, 25.0
    pack.energy_kwh = 2.82 * soc_pct
    pack.max_charge_kw, pack.reading_age_s = 240.0, 1.0
    for name, value in more.items():
        setattr(pack if hasattr(pack, name) else row, name, value)
    return row


def outlook(*bays: BayRow, **more: Any) -> Outlook:
    """A station that expects nobody, at one price, where nothing else is said."""
    prices = [TariffSlice(BEGIN_AT, BEGIN_AT + timedelta(hours=24), "flat", 0.6)]
    plain = Outlook(
        BEGIN_AT,
        prices,
        lambda at: LIMITS,
        (),
        POLICY,
        laws_of({"lfp": SPEC, "nmc": SPEC}),
        ("lfp", "nmc"),
        bays,
        (),
        (),
        None,
    )
    return replace(plain, **more)


def forecast(per_h: float, *shares: TruckShare) -> Forecast:
    return Forecast(Rates([per_h] * 24), shares or (SHARE,), 0.95, call_h=0.1)


def _until_ready_h(reach_h: Sequence[float]) -> list[float]:
    """Hours until packs so far from ready are ready, their taper counted."""
    law = laws_of({"lfp": SPEC})("lfp", 100.0, 240.0)
    offer_kwh = POLICY.offer_soc_pct / 100 * law.capacity_kwh
    return [law.hours_to(offer_kwh - hours * law.power_kw, offer_kwh) for hours in reach_h]


class TestPacks:
    """Each pack of the rack at its own charger, from when it may be charged."""

    def test_each_is_planned_with_the_charger_of_its_own_bay(self) -> None:
        asked = outlook(bay(1, charger_kw=60.0), bay(2, charger_kw=180.0), incoming=[SpentPack("lfp", 0.1)])
        assert [pack.charge_kw for pack in packs_ahead(asked)] == [60.0, 180.0, 120.0]
        plan = make_plan(task_of(replace(asked, trucks=(known("T1", 0.5), known("T2", 0.5)))).problem)
        first = plan.flows.charge_kw[plan.flows.windows.first]
        assert dict(zip((s.name for s in plan.problem.stores), first, strict=True))["A1"] == pytest.approx(60.0)
        assert task_of(asked).problem.site.chargers_kw == pytest.approx(240.0)

    def test_modules_that_are_switched_serve_every_bay(self) -> None:
        asked = outlook(bay(1, charger_kw=0.0), bay(2), modules=Modules(1, 240.0))
        assert [pack.charge_kw for pack in packs_ahead(asked)] == [240.0, 240.0]
        assert task_of(asked).problem.site.chargers_kw == pytest.approx(240.0)

    @pytest.mark.parametrize(
        ("row", "from_h"),
        [
            (bay(1), 0.0),
            (bay(1, state=PackState.COOLING), COOL_H),
            (bay(1, state=PackState.WARMING), COOL_H),
            (bay(1, temp_max_c=55.0), COOL_H),
            (bay(1, state=PackState.RECEIVED), 0.0),
            (bay(1, state=PackState.IDENTIFIED), 0.0),
            (bay(1, state=PackState.READY, soc_pct=96.0), 0.0),
            (bay(1, state=PackState.READY, soc_pct=92.0, charger_ok=False), 0.0),
            (bay(1, state=PackState.RESERVED), None),
            (bay(1, state=PackState.BLOCKED), None),
            (bay(1, role=BayRole.QUARANTINE), None),
            (bay(1, blocked=True), None),
            (bay(1, reading_age_s=nan), None),
        ],
        ids=lambda case: case if not isinstance(case, BayRow) else str(case.pack.state if case.pack else case.bay_id),
    )
    def test_none_vanishes_that_will_be_charged_or_handed_out(self, row: BayRow, from_h: float | None) -> None:
        before = row.setpoint_kw, row.limited_by
        found = packs_ahead(outlook(row))
        assert [pack.from_h for pack in found] == ([] if from_h is None else [from_h])
        assert (row.setpoint_kw, row.limited_by) == before, "what the rack does now is not touched"

    def test_one_that_is_just_set_down_and_not_read_is_taken_as_spent(self) -> None:
        (pack,) = packs_ahead(outlook(bay(1, state=PackState.RECEIVED, soc_pct=nan, energy_kwh=nan)))
        assert pack.energy_kwh == pytest.approx(SPENT_SOC_PCT / 100 * 282.0)

    def test_those_on_their_way_come_when_they_come(self) -> None:
        coming = [SpentPack("lfp", 0.05, 30.0, 90.0, 120.0), SpentPack("unknown", 0.1)]
        (pack,) = packs_ahead(outlook(incoming=coming))
        assert (pack.from_h, pack.charge_kw) == (0.05, 120.0)
        assert pack.energy_kwh == pytest.approx(0.3 * 0.9 * 282.0)


def known(name: str, at_h: float, kind: str = "lfp", **more: Any) -> KnownTruck:
    return KnownTruck(name, at_h, (kind,), (SpentPack(kind, 0.1),), **more)


class TestTrucks:
    """Those that are known, and those expected."""

    def test_those_in_the_queue_are_called_as_lanes_become_free(self) -> None:
        waiting = [known(f"T{number}", 0.0) for number in range(4)]
        found = through_lanes(waiting, [0.05, 0.0], 0.1)
        assert [truck.at_h for truck in found] == pytest.approx([0.0, 0.05, 0.1, 0.15])
        assert [truck.at_h for truck in through_lanes(waiting, [], 0.1)] == [0.0] * 4
        spent = [store.from_h for store in task_of(outlook(bay(1), trucks=tuple(found))).problem.stores]
        assert len(set(spent)) == len(spent), "packs come back one after another"

    def test_one_that_has_booked_takes_the_place_of_the_nearest_expected_of_its_kind(self) -> None:
        both = forecast(1.0, replace(SHARE, weight=1.0), TruckShare(1.0, ("nmc",), (SpentPack("nmc", 0.1),)))
        plain = trucks_ahead(outlook(forecast=both), 24.0)
        assert {truck.kinds for truck in plain} == {("lfp",), ("nmc",)}
        asked = outlook(forecast=both, trucks=(known("B1", 12.4, replaces=True),))
        left = trucks_ahead(asked, 24.0)
        (gone,) = {truck.name for truck in plain} - {truck.name for truck in left}
        comes_h = {truck.name: truck.at_h for truck in plain if truck.kinds == ("lfp",)}
        assert gone == min(comes_h, key=lambda name: abs(comes_h[name] - 12.4))
        waits = outlook(forecast=both, trucks=(known("S1", 0.0),))
        assert len(trucks_ahead(waits, 24.0)) == len(plain) + 1, "who has come is not expected any more"

    def test_what_was_promised_in_each_pack_is_the_goal(self) -> None:
        asked = outlook(bay(1, 30.0), trucks=(known("B1", 3.0, min_kwh=262.0),))
        goals = [goal for store in task_of(asked).problem.stores for goal in store.goals]
        assert [(g.kwh, g.tier) for g in goals] == [(262.0, Tier.PROMISED), (pytest.approx(267.9), Tier.COMFORT)]

    def test_a_pack_that_can_never_hold_what_was_promised_goes_to_another(self) -> None:
        old = bay(1, 80.0, soh_pct=80.0, energy_kwh=180.0)
        asked = outlook(old, bay(2, 30.0), trucks=(known("B1", 3.0, min_kwh=250.0),))
        until = {store.name: store.until_h for store in task_of(asked).problem.stores}
        assert until["A2"] == 3.0
        assert until["A1"] == inf

    def test_shares_of_the_fleets_and_their_packs(self) -> None:
        two = TruckShare(3.0, ("nmc",), (SpentPack("nmc", 0.1), SpentPack("nmc", 0.15)))
        found = trucks_ahead(outlook(forecast=forecast(2.0, replace(SHARE, weight=1.0), two)), 24.0)
        assert len(found) == 48
        assert sum(truck.kinds == ("nmc",) for truck in found) == pytest.approx(36, abs=2)
        assert {len(truck.leaves) for truck in found if truck.kinds == ("nmc",)} == {2}

    def test_packs_are_kept_near_ready_for_trucks_that_come_sooner(self) -> None:
        """No faster than lanes take them, nor than the level counts on; with two packs a truck each counts twice."""
        one = reach_of(outlook(bay(1), forecast=forecast(8.0)), 1.0)
        assert one["nmc"] == (), "no truck takes it"
        first, *others = one["lfp"]
        assert first == 0.0, "the first must be ready"
        assert list(others) == sorted(others)
        assert len(others) >= 3
        pairs = forecast(8.0, TruckShare(1.0, ("lfp",), SHARE.leaves * 2))
        assert reach_of(outlook(bay(1), forecast=pairs), 1.0)["lfp"] == tuple(h for h in one["lfp"] for _ in range(2))
        assert _until_ready_h(one["lfp"]) == pytest.approx([0.1 * call for call in range(len(one["lfp"]))], abs=1e-3)

    def test_few_trucks_need_fewer_packs_and_groups_more(self) -> None:
        few, many = (len(reach_of(outlook(bay(1), forecast=forecast(rate)), 1.0)["lfp"]) for rate in (1.0, 8.0))
        assert few < many
        grouped = replace(forecast(1.0), rates=Rates([1.0] * 24, dispersion=3.0))
        assert few < len(reach_of(outlook(bay(1), forecast=grouped), 1.0)["lfp"])
        assert reach_of(outlook(bay(1)), 1.0) == {"lfp": (), "nmc": ()}, "nobody is expected"

    def test_lanes_take_those_who_come_together_one_after_the_other(self) -> None:
        """From noon on a truck may come at any time; all of them at noon, a lane has one each six minutes."""
        noon = replace(forecast(0.0), rates=Rates([0.0, 0.0, 8.0, 8.0]))
        hours = reach_of(outlook(bay(1), forecast=noon), 1.6)["lfp"]
        latest_h = _until_ready_h(hours)
        assert latest_h[0] >= 0.3, "nobody comes before"
        assert len(latest_h) >= 3
        assert np.diff(latest_h) == pytest.approx(0.1, abs=2e-3)

    def test_before_a_price_falls_the_promised_wait_is_counted_on(self) -> None:
        """What is kept then is bought too dear; who may come still waits no longer than promised, less a swap."""
        falls_at = BEGIN_AT + timedelta(hours=4)

        def kept(at_h: float, after: float, per_h: float = 1.0, wait_h: float = 0.35) -> tuple[float, ...]:
            prices = [
                TariffSlice(BEGIN_AT, falls_at, "flat", 0.6),
                TariffSlice(falls_at, falls_at + timedelta(hours=20), "other", after),
            ]
            asked = replace(forecast(per_h), wait_h=wait_h)
            return reach_of(outlook(bay(1), prices=prices, forecast=asked), at_h)["lfp"]

        usual = reach_of(outlook(bay(1), forecast=forecast(1.0)), 2.0)["lfp"]
        assert usual[0] == 0.0
        assert kept(2.0, 0.3) == usual, "long before the fall"
        assert kept(3.5, 0.9) == usual, "before a rise"
        assert kept(4.5, 0.3) == usual, "after the fall"
        assert kept(3.5, 0.59) == usual, "before a fall that is worth no wait"
        assert _until_ready_h(kept(3.5, 0.3)[:1]) == pytest.approx([0.25], abs=2e-3)
        group = _until_ready_h(kept(3.5, 0.3, per_h=4.0))
        assert group[1] == pytest.approx(group[0] + 0.1, abs=2e-3), "the first waits no longer than the next can bear"
        assert 0.0 < group[0] < 0.25
        assert kept(3.5, 0.3, wait_h=0.1) == usual, "one who waits for the swap before him has waited"
        assert kept(3.5, 0.3, per_h=30.0) == kept(2.0, 0.3, per_h=30.0), "where the lanes are full nobody can wait"

    def test_the_plan_keeps_them_too(self) -> None:
        """A dear hour and trucks that are expected hours later: the pack is not left spent until then."""
        asked = outlook(bay(1, 20.0), bay(2, 95.0), bay(3, 95.0), forecast=forecast(2.0))
        goals = {goal.tier for store in task_of(asked).problem.stores for goal in store.goals}
        assert Tier.STOCK in goals
        task = task_of(asked)
        stock = [goal for store in task.problem.stores for goal in store.goals if goal.tier is Tier.STOCK]
        assert all(goal.kwh <= POLICY.offer_soc_pct / 100 * 282.0 + 1e-6 for goal in stock)
        assert make_plan(task.problem).shortfalls == () or all(
            short.tier is not Tier.STOCK for short in make_plan(task.problem).shortfalls
        )

    def test_one_without_packs_is_named_and_a_forecast_makes_nobody_late(self) -> None:
        asked = outlook(bay(1, 60.0), trucks=(known("B1", 2.0), known("B2", 2.0, "nmc")), forecast=forecast(6.0))
        (delay,) = task_of(asked).delays
        assert (delay.truck, delay.minutes, delay.missing_kwh) == ("B2", inf, inf)

    def test_one_whose_packs_are_ready_after_the_horizon_is_no_shortfall(self) -> None:
        asked = outlook(bay(1, 10.0), trucks=(known("B1", 1.5),), horizon=timedelta(hours=2))
        slow = replace(asked, bays=[bay(1, 10.0, charger_kw=90.0)])
        task = task_of(slow)
        (delay,) = task.delays
        assert delay.minutes > 30.0
        plan = make_plan(task.problem)
        assert plan.shortfalls == ()
        assert plan.flows.charge_kw[0] == pytest.approx(90.0), "full power all the same"


class TestSite:
    """Prices, limits and the worth of what is left."""

    ZONE = ZoneInfo("Asia/Shanghai")
    EVENT = DrEventSection(months=[6], from_hour=14.4, hours=1.3, limit_kw=200.0)

    def test_no_slot_crosses_the_begin_or_end_of_a_demand_response_event(self) -> None:
        events = [self.EVENT]
        changes = changes_between(events, BEGIN_AT, BEGIN_AT + timedelta(hours=24), self.ZONE)
        begin_at = datetime(2026, 6, 1, 14, 24, tzinfo=self.ZONE)
        assert changes == [begin_at, begin_at + timedelta(minutes=78)]

        def limits_at(at: datetime) -> SiteLimits:
            return replace(LIMITS, dr_limit_kw=limit_at(events, at, self.ZONE)[0])

        problem = task_of(outlook(bay(1), limits_at=limits_at, changes=changes)).problem
        bound = problem.site.import_limit_kw == 200.0
        assert problem.hours[bound].sum() == pytest.approx(1.3)
        assert problem.starts_h[bound][0] == pytest.approx((begin_at - BEGIN_AT) / timedelta(hours=1))
        assert changes_between([], BEGIN_AT, BEGIN_AT + timedelta(hours=24), self.ZONE) == []

    def test_what_is_left_is_worth_what_it_costs_to_import_again(self) -> None:
        (store,) = task_of(outlook(bay(1))).problem.stores
        assert store.end_yuan_per_kwh == pytest.approx(0.6 / (0.95 * SPEC.charge_efficiency))

    @pytest.mark.parametrize("prices", [(), [TariffSlice(BEGIN_AT, BEGIN_AT + timedelta(hours=1), "flat", 0.6)]])
    def test_prices_for_too_short_a_time_make_no_plan(self, prices: Sequence[TariffSlice]) -> None:
        with pytest.raises(ValueError, match=r"2:00:00 ahead are needed"):
            task_of(outlook(bay(1), prices=prices))

    def test_sun_and_base_load_by_slot(self) -> None:
        def limits_at(at: datetime) -> SiteLimits:
            return replace(LIMITS, base_load_kw=20.0, pv_kw=10.0 * at.hour)

        problem = task_of(outlook(limits_at=limits_at)).problem
        assert np.all(problem.site.base_kw == 20.0)
        assert problem.site.pv_kw[0] == 0.0
        assert problem.site.pv_kw[-1] == 230.0
