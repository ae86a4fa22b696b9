"""Charging plan: hard limits under every stress, sharing, the tariff wish."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.charging import HYSTERESIS_C, is_known, kept_by_temperature, plan_charging, policy_from_section
from scheduler.config import ChargingSection
from scheduler.types import (
    BayRole,
    BayView,
    ChargingPolicy,
    Limit,
    PackState,
    PackView,
    Setpoint,
    SiteLimits,
    StationMode,
    TariffSlice,
)
from tests.support.scheduler.views import (
    AT,
    KIND,
    KINDS,
    OTHER,
    WILD,
    Limits,
    charging,
    pack,
    queues,
    rack,
    racks,
    site,
    site_limits,
    station,
    truck,
)

POLICY = ChargingPolicy()
NAN = float("nan")
INF = float("inf")


def powers(packs: Sequence[PackView | None], policy: ChargingPolicy = POLICY, **view: Any) -> list[tuple[float, str]]:
    """Power and cause of bays A1…."""
    plan = plan_charging(station(rack(*packs), **view), policy, KINDS)
    return [(s.power_kw, s.limited_by) for s in plan.values()]


def one(changes: dict[str, Any], bay_changes: dict[str, Any] | None = None) -> tuple[float, str]:
    (bay,) = rack(replace(charging(50), **changes))
    plan = plan_charging(station([replace(bay, **(bay_changes or {}))]), POLICY, KINDS)
    return plan["A1"].power_kw, plan["A1"].limited_by


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"state": PackState.RECEIVED}, Limit.PACK_STATE),
        ({"state": PackState.IDENTIFIED}, Limit.PACK_STATE),
        ({"state": PackState.COOLING}, Limit.PACK_STATE),
        ({"state": PackState.WARMING}, Limit.PACK_STATE),
        ({"state": PackState.RESERVED}, Limit.PACK_STATE),
        ({"state": PackState.PICKED}, Limit.PACK_STATE),
        ({"state": PackState.BLOCKED}, Limit.PACK_STATE),
        ({"state": PackState.QUARANTINED}, Limit.PACK_STATE),
        ({"reading_age_s": None}, Limit.STALE),
        ({"reading_age_s": 10.01}, Limit.STALE),
        ({"reading_age_s": NAN}, Limit.STALE),
        ({"reading_age_s": -1.0}, Limit.STALE),
        ({"alarm_level": 2}, Limit.ALARM),
        ({"soc_pct": None}, Limit.UNKNOWN),
        ({"temp_max_c": None}, Limit.UNKNOWN),
        ({"temp_min_c": None}, Limit.UNKNOWN),
        ({"max_charge_kw": None}, Limit.UNKNOWN),
        ({"kind": "unheard-of"}, Limit.UNKNOWN),
        ({"temp_max_c": 50.0}, Limit.TOO_HOT),
        ({"temp_max_c": NAN}, Limit.UNKNOWN),
        ({"temp_max_c": INF}, Limit.UNKNOWN),
        ({"temp_max_c": 20.0, "temp_min_c": 60.0}, Limit.UNKNOWN),
        ({"temp_min_c": -0.1}, Limit.TOO_COLD),
        ({"temp_min_c": -INF}, Limit.UNKNOWN),
        ({"temp_min_c": NAN}, Limit.UNKNOWN),
        ({"soc_pct": 95.0}, Limit.TARGET),
        ({"soc_pct": 94.99999999999}, Limit.TARGET),
        ({"soc_pct": NAN}, Limit.UNKNOWN),
        ({"max_charge_kw": 0.0}, Limit.BMS),
        ({"max_charge_kw": -5.0}, Limit.UNKNOWN),
        ({"max_charge_kw": INF}, Limit.UNKNOWN),
        ({"rated_kwh": NAN}, Limit.UNKNOWN),
        ({"soh_pct": NAN}, Limit.UNKNOWN),
        ({"max_charge_kw": NAN}, Limit.UNKNOWN),
        ({"max_charge_kw": NAN, "temp_max_c": 46.0}, Limit.UNKNOWN),
        ({"max_charge_kw": NAN, "temp_min_c": 3.0}, Limit.UNKNOWN),
        ({"soc_pct": -1.0}, Limit.UNKNOWN),
        ({"soc_pct": 250.0}, Limit.UNKNOWN),
        ({"soc_pct": 20.0, "energy_kwh": 400.0}, Limit.UNKNOWN),
        ({"soc_pct": 20.0, "energy_kwh": NAN}, Limit.UNKNOWN),
        ({"max_charge_kw": 4.9}, Limit.MIN_SETPOINT),
    ],
    ids=str,
)
def test_pack_in_doubt_gets_nothing(changes: dict[str, Any], cause: Limit) -> None:
    assert one(changes) == (0.0, cause)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"role": BayRole.QUARANTINE}, Limit.ROLE),
        ({"role": BayRole.TRANSFER}, Limit.ROLE),
        ({"blocked": True}, Limit.BAY_BLOCKED),
        ({"pack": None}, Limit.NO_PACK),
        ({"occupied": False}, Limit.SENSOR),
        ({"charger_ok": False}, Limit.CHARGER_FAULT),
        ({"max_charge_kw": 0.0}, Limit.NO_CHARGER),
        ({"max_charge_kw": NAN}, Limit.UNKNOWN),
        ({"max_charge_kw": INF}, Limit.UNKNOWN),
        ({"max_charge_kw": -1.0}, Limit.UNKNOWN),
    ],
    ids=str,
)
def test_bay_in_doubt_gets_nothing(changes: dict[str, Any], cause: Limit) -> None:
    assert one({}, changes) == (0.0, cause)


@pytest.mark.parametrize(
    ("changes", "charger_kw", "answer"),
    [
        ({}, 240.0, (240.0, Limit.CHARGER)),
        ({}, 360.0, (282.0, Limit.PACK)),
        ({"max_charge_kw": 90.0}, 240.0, (90.0, Limit.BMS)),
        ({"temp_max_c": 45.0}, 240.0, (141.0, Limit.PACK_TEMP)),
        ({"temp_min_c": 4.9}, 240.0, (141.0, Limit.PACK_TEMP)),
        ({"temp_min_c": 0.0}, 240.0, (141.0, Limit.PACK_TEMP)),
        ({"temp_max_c": 46.0, "max_charge_kw": 100.0}, 240.0, (100.0, Limit.BMS)),
        ({"temp_max_c": 44.9, "temp_min_c": 5.0}, 240.0, (240.0, Limit.CHARGER)),
        ({"alarm_level": 1}, 240.0, (240.0, Limit.CHARGER)),
        ({"state": PackState.CHARGING}, 240.0, (240.0, Limit.CHARGER)),
        ({"state": PackState.READY, "soc_pct": 92.0}, 240.0, (240.0, Limit.CHARGER)),
        ({"max_charge_kw": 300.0}, 300.0, (282.0, Limit.PACK)),
    ],
    ids=str,
)
def test_lowest_of_charger_pack_and_bms(
    changes: dict[str, Any], charger_kw: float, answer: tuple[float, Limit]
) -> None:
    assert one(changes, {"max_charge_kw": charger_kw}) == answer
    assert one(changes, {"max_charge_kw": charger_kw, "occupied": None}) == answer


def test_tighter_temperature_of_policy_and_kind_counts() -> None:
    view = station(rack(charging(50, temp_max_c=41.0), charging(50, temp_min_c=8.0)))
    plan = plan_charging(view, POLICY, {KIND: Limits(charge_temp_min_c=10.0, charge_temp_max_c=40.0)})
    assert [s.limited_by for s in plan.values()] == [Limit.TOO_HOT, Limit.TOO_COLD]


def test_every_bay_is_in_the_plan_in_the_order_of_the_view() -> None:
    view = station(rack(charging(20), None, pack(), charging(80)))
    assert list(plan_charging(view, POLICY, KINDS)) == ["A1", "A2", "A3", "A4"]


@pytest.mark.parametrize("mode", list(StationMode))
def test_modes(mode: StationMode) -> None:
    ((power_kw, cause),) = powers([charging(50)], mode=mode)
    assert (power_kw, cause) == ((0.0, Limit.FIRE) if mode is StationMode.FIRE else (240.0, Limit.CHARGER))


class TestSharing:
    """A short budget: 500 kW after 30 kW of base load."""

    limits: SiteLimits = site(grid_limit_kw=530.0, base_load_kw=30.0)

    def test_order_nearest_to_ready_first(self) -> None:
        assert powers([charging(20), charging(70), charging(60)], limits=self.limits) == [
            (20.0, Limit.GRID),
            (240.0, Limit.CHARGER),
            (240.0, Limit.CHARGER),
        ]

    def test_order_tops_up_ready_packs_last(self) -> None:
        assert powers([pack(94), charging(20), charging(30)], limits=self.limits) == [
            (20.0, Limit.GRID),
            (240.0, Limit.CHARGER),
            (240.0, Limit.CHARGER),
        ]

    def test_order_by_energy_not_by_state_of_charge(self) -> None:
        small = charging(50, kind=OTHER, rated_kwh=171.0)
        big = charging(60)  # 84.6 kWh missing against 68.4
        assert powers([big, small], limits=site(200.0)) == [
            (29.0, Limit.GRID),
            (171.0, Limit.PACK),
        ]

    def test_rest_below_the_least_setpoint_is_not_used(self) -> None:
        assert powers([charging(20), charging(70)], limits=site(244.0)) == [
            (0.0, Limit.GRID),
            (240.0, Limit.CHARGER),
        ]

    def test_rest_goes_to_one_who_can_use_it(self) -> None:
        packs = [charging(70), charging(60), charging(50, max_charge_kw=6.0)]
        policy = replace(POLICY, min_setpoint_kw=6.0)
        assert powers(packs, policy, limits=site(480.0 + 6.0)) == [
            (240.0, Limit.CHARGER),
            (240.0, Limit.CHARGER),
            (6.0, Limit.BMS),
        ]

    equal: ChargingPolicy = replace(POLICY, sharing="equal")

    def test_equal(self) -> None:
        packs = [charging(20), charging(70), charging(60, max_charge_kw=100.0), pack(94)]
        assert powers(packs, self.equal, limits=self.limits) == [
            (pytest.approx(400 / 3), Limit.GRID),
            (pytest.approx(400 / 3), Limit.GRID),
            (100.0, Limit.BMS),
            (pytest.approx(400 / 3), Limit.GRID),
        ]

    def test_equal_serves_fewer_rather_than_below_the_least_setpoint(self) -> None:
        packs = [charging(20), charging(70), charging(60)]
        policy = replace(self.equal, min_setpoint_kw=20.0)
        assert powers(packs, policy, limits=site(50.0)) == [
            (0.0, Limit.GRID),
            (25.0, Limit.GRID),
            (25.0, Limit.GRID),
        ]

    def test_enough_for_all(self) -> None:
        for policy in (POLICY, self.equal):
            assert powers([charging(20), charging(70)], policy) == [(240.0, Limit.CHARGER)] * 2


@pytest.mark.parametrize(
    ("limits", "max_power_kw", "answer"),
    [
        (site(130.0, base_load_kw=30.0), None, (100.0, Limit.GRID)),
        (site(500.0, base_load_kw=30.0, dr_limit_kw=90.0), None, (60.0, Limit.DEMAND_RESPONSE)),
        (site(130.0, base_load_kw=30.0, dr_limit_kw=900.0), None, (100.0, Limit.GRID)),
        (site(130.0, base_load_kw=30.0, pv_kw=50.0), None, (150.0, Limit.GRID)),
        (site(130.0, base_load_kw=30.0, storage_kw=-50.0), None, (50.0, Limit.GRID)),
        (site(500.0), 80.0, (80.0, Limit.RACK)),
        (site(20.0, base_load_kw=30.0), None, (0.0, Limit.GRID)),
        (site(500.0, base_load_kw=30.0, dr_limit_kw=0.0), None, (0.0, Limit.DEMAND_RESPONSE)),
        (site(-500.0), None, (0.0, Limit.GRID)),
        (site(NAN), None, (0.0, Limit.SITE_UNKNOWN)),
        (site(500.0, dr_limit_kw=NAN), None, (0.0, Limit.SITE_UNKNOWN)),
        (site(500.0, pv_kw=NAN), None, (0.0, Limit.SITE_UNKNOWN)),
        (site(INF), None, (0.0, Limit.SITE_UNKNOWN)),
        (site(500.0), NAN, (0.0, Limit.RACK)),
        (site(130.0, base_load_kw=-1e9), None, (0.0, Limit.SITE_UNKNOWN)),
        # The meter sees 90 kW that no one reckoned with: 190 − 100 of charging, so 40 are left of 130.
        (site(130.0, measured_import_kw=190.0, charging_kw=100.0), None, (40.0, Limit.MEASURED_IMPORT)),
        # It narrows before the limit is passed …
        (site(130.0, measured_import_kw=129.0, charging_kw=40.0), None, (41.0, Limit.MEASURED_IMPORT)),
        # … never widens …
        (site(130.0, base_load_kw=30.0, measured_import_kw=0.0, charging_kw=90.0), None, (100.0, Limit.GRID)),
        (site(130.0, base_load_kw=30.0, measured_import_kw=-1e6), None, (100.0, Limit.GRID)),
        # … and never sheds more than the charging there is.
        (site(130.0, measured_import_kw=1e12, charging_kw=10.0), None, (0.0, Limit.MEASURED_IMPORT)),
        (site(130.0, base_load_kw=30.0, measured_import_kw=150.0), None, (80.0, Limit.MEASURED_IMPORT)),
        (site(130.0, base_load_kw=30.0, measured_import_kw=NAN), None, (100.0, Limit.GRID)),
        (site(130.0, measured_import_kw=150.0, charging_kw=NAN), None, (110.0, Limit.MEASURED_IMPORT)),
        (site(130.0, measured_import_kw=150.0, charging_kw=INF), None, (110.0, Limit.MEASURED_IMPORT)),
        *((site(130.0, charger_efficiency=bad), None, (0.0, Limit.SITE_UNKNOWN)) for bad in (0.0, -1.0, 1.01, NAN)),
    ],
    ids=str,
)
def test_site_budget(limits: SiteLimits, max_power_kw: float | None, answer: tuple[float, Limit]) -> None:
    policy = replace(POLICY, max_power_kw=max_power_kw)
    assert powers([charging(50)], policy, limits=limits) == [answer]


def test_unknown_load_is_cut_at_once_and_the_plan_settles() -> None:
    """Three cycles with 300 kW that no file mentions: within the limit from the second on, no swinging."""
    bays = rack(charging(20), charging(30), charging(40))
    drawn_kw, imports = 0.0, []
    for _ in range(4):
        import_kw = drawn_kw + 330.0
        limits = site(800.0, base_load_kw=30.0, measured_import_kw=import_kw, charging_kw=drawn_kw)
        plan = plan_charging(station(bays, limits=limits), POLICY, KINDS)
        drawn_kw = sum(s.power_kw for s in plan.values())
        imports.append(drawn_kw + 330.0)
    assert imports == [800.0] * 4


def slices(period: str) -> tuple[TariffSlice, ...]:
    now = AT + timedelta(hours=1)
    hour = timedelta(hours=1)
    return (
        TariffSlice(now - hour, now, "valley", 0.3),
        TariffSlice(now, now + hour, period, 0.8),
        TariffSlice(now + hour, now + 2 * hour, "flat", 0.5),
    )


class TestTariff:
    """The wish to charge outside dear hours."""

    three_ready: tuple[BayView, ...] = rack(pack(), pack(), pack(), charging(50))

    @pytest.mark.parametrize(
        ("period", "power_kw"),
        [("critical", 0.0), ("peak", 0.0), ("flat", 240.0), ("valley", 240.0), ("deep_valley", 240.0)],
    )
    def test_holds_back_in_dear_hours(self, period: str, power_kw: float) -> None:
        plan = plan_charging(station(self.three_ready), POLICY, KINDS, slices(period))
        assert plan["A4"] == Setpoint(power_kw, Limit.CHARGER if power_kw else Limit.TARIFF)

    def test_not_when_switched_off(self) -> None:
        policy = replace(POLICY, tariff_aware=False)
        assert plan_charging(station(self.three_ready), policy, KINDS, slices("peak"))["A4"].power_kw == 240.0

    def test_not_without_a_slice_for_now(self) -> None:
        assert plan_charging(station(self.three_ready), POLICY, KINDS, slices("peak")[2:])["A4"].power_kw == 240.0
        assert plan_charging(station(self.three_ready), POLICY, KINDS)["A4"].power_kw == 240.0

    def test_not_below_the_reserve(self) -> None:
        bays = rack(pack(), pack(), pack(reading_age_s=60.0), charging(50))  # one ready pack is unknown
        assert plan_charging(station(bays), POLICY, KINDS, slices("peak"))["A4"].power_kw == 240.0

    def test_not_when_trucks_wait_for_the_reserve(self) -> None:
        view = station(self.three_ready, [truck(1)])
        assert plan_charging(view, POLICY, KINDS, slices("peak"))["A4"].power_kw == 240.0

    def test_reserve_is_counted_for_each_kind(self) -> None:
        bays = rack(pack(), pack(), pack(), charging(50), charging(50, kind=OTHER))
        plan = plan_charging(station(bays), POLICY, KINDS, slices("peak"))
        assert plan["A4"].limited_by == Limit.TARIFF
        assert plan["A5"].power_kw == 171.0


def test_policy_of_the_station_file() -> None:
    section = ChargingSection(
        offer_soc_pct=85, target_soc_pct=90, max_power_kw=900, sharing="equal", reserve_ready=1, tariff_aware=False
    )
    assert policy_from_section(section, 7.0) == ChargingPolicy(
        offer_soc_pct=85,
        target_soc_pct=90,
        max_power_kw=900,
        sharing="equal",
        reserve_ready=1,
        tariff_aware=False,
        max_reading_age_s=7.0,
    )


def test_temperature_limits_of_the_kinds_replace_the_fallback() -> None:
    warm, cold = Limits(charge_temp_max_c=55.0), Limits(charge_temp_min_c=-10.0, charge_temp_max_c=45.0)
    policy = policy_from_section(ChargingSection(), kinds=[warm, cold])
    assert (policy.charge_temp_min_c, policy.charge_temp_max_c) == (-10.0, 55.0)
    view = station(rack(charging(50, temp_max_c=52.0), charging(50, kind=OTHER, temp_max_c=52.0)))
    plan = plan_charging(view, policy, {KIND: warm, OTHER: cold})
    assert [s.limited_by for s in plan.values()] == [Limit.PACK_TEMP, Limit.TOO_HOT]


policies = st.builds(
    ChargingPolicy,
    sharing=st.sampled_from(["order", "equal"]),
    min_setpoint_kw=st.sampled_from([0.0, 5.0, 50.0]),
    max_power_kw=st.none() | st.floats(0, 2000) | WILD,
    reserve_ready=st.integers(0, 3),
)


@given(racks(), site_limits, policies, queues, st.sampled_from(list(StationMode)), st.sampled_from(["peak", "flat"]))
def test_no_limit_is_ever_passed(
    bays: tuple[BayView, ...],
    limits: SiteLimits,
    policy: ChargingPolicy,
    queue: list[Any],
    mode: StationMode,
    period: str,
) -> None:
    view = station(bays, queue, limits=limits, mode=mode)
    plan = plan_charging(view, policy, KINDS, slices(period))
    assert plan == plan_charging(view, policy, KINDS, slices(period))
    assert list(plan) == [bay.bay_id for bay in bays]
    total_kw = 0.0
    for bay in bays:
        setpoint = plan[bay.bay_id]
        power_kw = setpoint.power_kw
        assert setpoint.limited_by in set(Limit)
        assert math.isfinite(power_kw)
        assert power_kw >= 0.0
        total_kw += power_kw
        if power_kw == 0.0:
            continue
        item = bay.pack
        assert item is not None
        assert mode is not StationMode.FIRE
        assert bay.role is BayRole.RACK
        assert not bay.blocked
        assert bay.charger_ok
        assert bay.occupied is not False
        assert item.state in (PackState.WAITING, PackState.CHARGING, PackState.READY)
        assert item.alarm_level <= 1
        assert item.reading_age_s is not None
        assert item.reading_age_s <= policy.max_reading_age_s
        assert item.soc_pct is not None
        assert item.soc_pct < policy.target_soc_pct
        assert item.temp_max_c is not None
        assert item.temp_max_c < policy.charge_temp_max_c
        assert item.temp_min_c is not None
        assert item.temp_min_c >= policy.charge_temp_min_c
        assert item.max_charge_kw is not None
        assert policy.min_setpoint_kw <= power_kw * (1 + 1e-9)
        assert power_kw <= min(item.max_charge_kw, bay.max_charge_kw, KINDS[item.kind].max_charge_kw)
    if total_kw == 0.0:
        return
    # Something flows, so every limit is a number that leaves room for it.
    assert is_known(limits)
    base_kw, output_kw = limits.base_load_kw, total_kw
    total_kw /= limits.charger_efficiency
    own_kw = limits.pv_kw + limits.storage_kw
    slack_kw = 1e-9 * (1.0 + total_kw)
    assert total_kw <= limits.grid_limit_kw - base_kw + own_kw + slack_kw
    if limits.dr_limit_kw is not None:
        assert total_kw <= limits.dr_limit_kw - base_kw + own_kw + slack_kw
    if policy.max_power_kw is not None:
        assert output_kw <= policy.max_power_kw + slack_kw
    if limits.measured_import_kw is not None and limits.charging_kw is not None and limits.charging_kw >= 0.0:
        rest_kw = limits.measured_import_kw - limits.charging_kw / limits.charger_efficiency
        if math.isfinite(rest_kw):
            assert total_kw <= limits.grid_limit_kw - rest_kw + slack_kw


@given(racks(), site_limits, policies, queues)
def test_the_wish_only_narrows(
    bays: tuple[BayView, ...], limits: SiteLimits, policy: ChargingPolicy, queue: list[Any]
) -> None:
    """What the tariff keeps from one kind may go to another, so each bay stays within its own limits and the
    sum never grows beyond rounding."""
    view = station(bays, queue, limits=limits)
    free = plan_charging(view, replace(policy, min_setpoint_kw=0.0), KINDS)
    dear = plan_charging(view, replace(policy, min_setpoint_kw=0.0), KINDS, slices("critical"))
    total_kw = sum(s.power_kw for s in free.values())
    assert sum(s.power_kw for s in dear.values()) <= total_kw * (1 + 1e-9)


@given(racks(), site_limits, st.floats(0, 1000))
def test_a_tighter_grid_never_gives_more(bays: tuple[BayView, ...], limits: SiteLimits, less_kw: float) -> None:
    policy = replace(POLICY, min_setpoint_kw=0.0)
    tighter = replace(limits, grid_limit_kw=limits.grid_limit_kw - less_kw)
    wide = sum(s.power_kw for s in plan_charging(station(bays, limits=limits), policy, KINDS).values())
    narrow = sum(s.power_kw for s in plan_charging(station(bays, limits=tighter), policy, KINDS).values())
    assert narrow <= wide * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize(
    ("state", "soc_pct", "temp_c", "kept"),
    [
        (PackState.CHARGING, 50.0, 50.1, PackState.COOLING),
        (PackState.WAITING, 50.0, 49.9, None),
        (PackState.COOLING, 50.0, 50.1 - HYSTERESIS_C, PackState.COOLING),
        (PackState.COOLING, 50.0, 49.9 - HYSTERESIS_C, None),
        (PackState.WAITING, 50.0, -0.1, PackState.WARMING),
        (PackState.WARMING, 50.0, HYSTERESIS_C - 0.1, PackState.WARMING),
        (PackState.WARMING, 50.0, HYSTERESIS_C + 0.1, None),
        (PackState.READY, 90.0, -0.1, None),
        (PackState.READY, 90.0, 50.1, PackState.COOLING),
    ],
)
def test_a_pack_waits_for_a_temperature_at_which_it_may_be_charged(
    state: PackState, soc_pct: float, temp_c: float, kept: PackState | None
) -> None:
    assert kept_by_temperature(state, soc_pct, temp_c, temp_c, ChargingPolicy()) is kept
