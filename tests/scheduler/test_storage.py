from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.storage import Hour, StorageLimit, StorageView, hour_by_price, plan_storage, support_kw
from scheduler.types import TariffSlice

AT = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
VIEW = StorageView(
    at=AT,
    charging_kw=300.0,
    base_load_kw=30.0,
    pv_kw=0.0,
    import_limit_kw=1000.0,
    energy_kwh=200.0,
    capacity_kwh=400.0,
    power_kw=100.0,
    efficiency=0.81,
)


def slices(*prices: float) -> tuple[TariffSlice, ...]:
    """Prices of four hours each, from `AT` on."""
    starts = [AT + timedelta(hours=4 * n) for n in range(len(prices) + 1)]
    return tuple(TariffSlice(starts[n], starts[n + 1], "flat", price) for n, price in enumerate(prices))


@pytest.mark.parametrize(
    ("prices", "hour"),
    [
        ((0.9, 0.6, 0.3), Hour.DEAR),
        ((0.6, 0.9, 0.3), Hour.CHEAP),  # a second cycle: bought at 0.6, spent at 0.9 × 0.81 = 0.729
        ((0.6, 0.7, 0.3), Hour.NEITHER),  # 0.7 × 0.81 = 0.567 would lose
        ((0.6, 0.3, 0.9), Hour.DEAR),  # replaced at 0.3 before 0.9 comes
        ((0.6, 0.55, 0.9), Hour.NEITHER),  # 0.55 > 0.6 × 0.81: not worth a cycle, but cheaper to buy
        ((0.3, 0.6, 0.9), Hour.CHEAP),
        ((0.3, 0.3, 0.9), Hour.CHEAP),
        ((0.9, 1.1, 0.3), Hour.NEITHER),  # the critical hours come first
        ((0.5,), Hour.DEAR),
        ((0.5, 0.5), Hour.DEAR),
        ((), Hour.NEITHER),
    ],
)
def test_hours_by_price(prices: tuple[float, ...], hour: Hour) -> None:
    assert hour_by_price(slices(*prices), AT, 0.81) is hour


def test_an_hour_outside_the_slices_is_neither() -> None:
    assert hour_by_price(slices(0.9, 0.3), AT - timedelta(hours=1), 0.81) is Hour.NEITHER
    assert hour_by_price(slices(0.9, 0.3), AT + timedelta(hours=8), 0.81) is Hour.NEITHER


DEAR, CHEAP, NEITHER = slices(0.9, 0.3), slices(0.3, 0.9), slices(0.6, 0.7, 0.3)


@pytest.mark.parametrize(
    ("change", "tariff", "power_kw", "limited_by", "until_kwh"),
    [
        ({}, DEAR, -100, StorageLimit.RATING, 0),
        ({"charging_kw": 40}, DEAR, -70, StorageLimit.NO_EXPORT, 0),
        ({"reserve_kwh": 80}, DEAR, -100, StorageLimit.RATING, 80),
        ({"reserve_kwh": 200}, DEAR, 0, StorageLimit.NO_NEED, 200),
        ({"energy_kwh": 0}, DEAR, 0, StorageLimit.NO_NEED, 0),
        # The import limit binds: whatever the hour, down to empty.
        ({"import_limit_kw": 270, "reserve_kwh": 200}, DEAR, -60, StorageLimit.IMPORT_LIMIT, 0),
        ({"import_limit_kw": 270}, CHEAP, -60, StorageLimit.IMPORT_LIMIT, 0),
        ({"import_limit_kw": 200}, NEITHER, -100, StorageLimit.RATING, 0),
        # Cheap hours, inside the limit and only when no charger wants more.
        ({}, CHEAP, 100, StorageLimit.RATING, 400),
        ({"import_limit_kw": 390}, CHEAP, 60, StorageLimit.IMPORT_LIMIT, 400),
        ({"import_limit_kw": 330}, CHEAP, 0, StorageLimit.IMPORT_LIMIT, 400),
        ({"chargers_short": True}, CHEAP, 0, StorageLimit.NO_NEED, 200),
        ({"energy_kwh": 400}, CHEAP, 0, StorageLimit.NO_NEED, 400),
        # The reserve is bought at any price.
        ({"reserve_kwh": 300}, DEAR, 100, StorageLimit.RATING, 300),
        ({}, NEITHER, 0, StorageLimit.NO_NEED, 200),
        # Sun beyond the need.
        ({"pv_kw": 390}, NEITHER, 60, StorageLimit.NO_EXPORT, 400),
        ({"pv_kw": 390}, DEAR, 60, StorageLimit.NO_EXPORT, 400),
        ({"pv_kw": 900}, NEITHER, 100, StorageLimit.RATING, 400),
        ({"pv_kw": 390}, CHEAP, 100, StorageLimit.RATING, 400),
        ({"pv_kw": 390, "energy_kwh": 400}, NEITHER, 0, StorageLimit.NO_NEED, 400),
    ],
)
def test_the_rule(
    change: dict[str, float],
    tariff: tuple[TariffSlice, ...],
    power_kw: float,
    limited_by: StorageLimit,
    until_kwh: float,
) -> None:
    plan = plan_storage(replace(VIEW, **change), tariff)  # type: ignore[arg-type]
    assert plan.power_kw == pytest.approx(power_kw)
    assert plan.limited_by is limited_by
    assert plan.until_kwh == pytest.approx(until_kwh)


def test_an_empty_storage_supports_nothing() -> None:
    assert support_kw(0.0, 100.0) == 0.0
    assert support_kw(1.0, 100.0) == 100.0


kw = st.floats(0, 3000)


@given(
    charging_kw=kw,
    base_kw=st.floats(0, 200),
    pv_kw=kw,
    limit_kw=kw,
    share=st.floats(0, 1),
    capacity_kwh=st.floats(0, 5000),
    power_kw=kw,
    reserve=st.floats(0, 1),
    short=st.booleans(),
    prices=st.lists(st.floats(0.1, 2), max_size=5),
)
def test_never_beyond_power_energy_limit_and_never_exporting(
    charging_kw: float,
    base_kw: float,
    pv_kw: float,
    limit_kw: float,
    share: float,
    capacity_kwh: float,
    power_kw: float,
    reserve: float,
    short: bool,
    prices: list[float],
) -> None:
    view = StorageView(
        AT, charging_kw, base_kw, pv_kw, limit_kw, share * capacity_kwh, capacity_kwh, power_kw, 0.81,
        reserve * capacity_kwh, short,
    )  # fmt: skip
    plan = plan_storage(view, slices(*prices))
    need_kw = charging_kw + base_kw - pv_kw
    assert abs(plan.power_kw) <= power_kw
    assert -1e-9 <= plan.until_kwh <= capacity_kwh + 1e-9
    if plan.power_kw > 0:
        assert plan.until_kwh > view.energy_kwh
        assert need_kw + plan.power_kw <= max(limit_kw, 0.0) + 2e-6
        assert not short or need_kw < 0
    elif plan.power_kw < 0:
        assert plan.until_kwh < view.energy_kwh
        assert need_kw + plan.power_kw >= -2e-6
    # What it can give is given where the limit binds.
    if need_kw > limit_kw + 1e-3 and view.energy_kwh > 1e-3:
        assert plan.power_kw <= -min(need_kw - limit_kw, power_kw) + 2e-6
