"""Guides: what a plan wishes, how the rule carries it out, and the site's budget behind it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.charging import budget, plan_charging, share_power
from scheduler.choice import count_spare
from scheduler.guide import Guide, PriceRule, alike, is_bound, until
from scheduler.queueing import WaitingLine
from scheduler.rows import TruckRow
from scheduler.types import ChargingPolicy, Limit, SiteLimits, TariffSlice
from scheduler.view_rows import rows_of
from tests.support.scheduler.views import AT, KIND, KINDS, OTHER, charging, pack, rack, station, truck

POLICY = ChargingPolicy(reserve_ready=1)
END = AT + timedelta(hours=4)


def powers(guide: Guide | None, budget_kw: float = 2000.0) -> list[tuple[float, Limit]]:
    """Two packs of a kind with one to spare, one of a kind without."""
    bays = rack(charging(50), charging(70), pack(95), charging(20, kind=OTHER), charger_kw=100)
    rows = rows_of(station(bays), KINDS)
    count_spare(rows.kinds.values(), rows.bays, rows.queue, POLICY)
    share_power(rows.bays, POLICY, budget_kw, Limit.GRID, guide)
    return [(bay.setpoint_kw, bay.limited_by) for bay in (rows.bays[0], rows.bays[1], rows.bays[3])]


FULL = (100.0, Limit.CHARGER)
HELD = (0.0, Limit.TARIFF)


@pytest.mark.parametrize(
    ("guide", "expected"),
    [
        (None, [FULL, FULL, FULL]),
        (Guide(END, inf, {KIND: 0, OTHER: 0}), [FULL, FULL, FULL]),
        (Guide(END, 0.0, {KIND: 1, OTHER: 1}), [HELD, HELD, FULL]),
        (Guide(END, 0.0, {KIND: 2}), [FULL, FULL, FULL]),
        (Guide(END, 0.0, {}), [FULL, FULL, FULL]),
        (Guide(END, 130.0, {KIND: 1, OTHER: 1}), [(30.0, Limit.TARIFF), FULL, FULL]),
        (Guide(END, 103.0, {KIND: 1, OTHER: 1}), [HELD, FULL, FULL]),
    ],
)
def test_kinds_with_packs_to_spare_share_what_a_guide_allows(
    guide: Guide | None, expected: list[tuple[float, Limit]]
) -> None:
    assert powers(guide) == expected


@pytest.mark.parametrize(
    ("most_kw", "pack_kw", "expected"),
    [
        # The pack that is further from ready has the power that the plan means for it, not the one before it.
        (90.0, {0: 60.0, 1: 30.0}, [(60.0, Limit.TARIFF), (30.0, Limit.TARIFF), FULL]),
        (500.0, {0: 60.0, 1: 100.0}, [(60.0, Limit.TARIFF), FULL, FULL]),
        (90.0, {0: 60.0}, [(60.0, Limit.TARIFF), (30.0, Limit.TARIFF), FULL]),
        (60.0, {0: 60.0}, [(60.0, Limit.TARIFF), HELD, FULL]),
        (60.0, {0: 4.0, 1: 56.0}, [HELD, (56.0, Limit.TARIFF), FULL]),
    ],
)
def test_a_guide_can_give_single_packs_their_power(
    most_kw: float, pack_kw: dict[int, float], expected: list[tuple[float, Limit]]
) -> None:
    bays = rack(charging(50), charging(70), pack(95), charging(20, kind=OTHER), charger_kw=100)
    ids = [bay.pack.pack_id for bay in bays if bay.pack is not None]
    guide = Guide(END, most_kw, {KIND: 1}, {ids[place]: kw for place, kw in pack_kw.items()})
    assert powers(guide) == expected


@pytest.mark.parametrize(
    ("reach_h", "expected"),
    [
        # One pack is ready and nobody waits: the next in line, at 70 of 90 %, is second, the one at 50 % third.
        ([0.0], [HELD, HELD]),
        ([0.0, 1.0], [HELD, HELD]),
        ([0.0, 0.5], [HELD, FULL]),
        ([0.0, 0.5, 1.0], [FULL, FULL]),
        ([0.0, 0.5, 1.2], [HELD, FULL]),
        ([], [HELD, HELD]),
    ],
)
def test_packs_further_from_ready_than_a_guide_allows_are_not_bound(
    reach_h: list[float], expected: list[tuple[float, Limit]]
) -> None:
    """Packs of 282 kWh at 100 kW: 20 % take 0.56 h, 40 % take 1.13 h."""
    found = powers(Guide(END, 0.0, {}, reach_h={KIND: reach_h}))
    assert found[:2] == expected
    assert found[2] == FULL, "the other kind is not named"


def test_packs_that_the_queue_asks_for_are_not_bound() -> None:
    bays = rack(charging(50), charging(70), charger_kw=100)
    rows = rows_of(station(bays, queue=[truck(1)]), KINDS)
    count_spare(rows.kinds.values(), rows.bays, rows.queue, POLICY)
    share_power(rows.bays, POLICY, 2000.0, Limit.GRID, Guide(END, 0.0, {}, reach_h={KIND: []}))
    assert [(bay.setpoint_kw, bay.limited_by) for bay in rows.bays] == [HELD, FULL]


def test_a_guide_of_one_power_for_all_gives_what_is_left_to_the_others() -> None:
    found = powers(Guide(END, 40.0, {}, reach_h={KIND: [0.0, 0.5]}))
    assert found[:2] == [(40.0, Limit.TARIFF), FULL], "who is free takes nothing of what the plan has for the others"


def test_guides_that_keep_packs_otherwise_are_not_alike() -> None:
    guide = Guide(END, 0.0, {}, reach_h={KIND: [0.0]})
    assert alike(guide, until(guide, END + timedelta(hours=1)))
    assert not alike(guide, Guide(END, 0.0, {}, reach_h={KIND: [0.1]}))
    assert is_bound(rows_of(station(rack(pack(95))), KINDS).kinds[KIND], Guide(END, 0.0, {}, reach_h={KIND: []}))


def test_a_guide_with_a_power_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pack_kw of P1 in a guide is inf; it must be 0 or more and finite"):
        Guide(END, 5.0, {}, {"P1": inf})


def test_a_guide_only_narrows() -> None:
    """Where the site gives less than the guide allows, the site's share is what counts."""
    found = powers(Guide(END, 130.0, {KIND: 1}), budget_kw=150.0)
    assert sum(power_kw for power_kw, _ in found) == pytest.approx(150.0)
    assert found[0][0] + found[1][0] <= 130.0


@pytest.mark.parametrize("most_kw", [-1.0, nan])
def test_a_guide_without_sense_is_refused(most_kw: float) -> None:
    with pytest.raises(ValueError, match="most_kw of a guide"):
        Guide(END, most_kw, {})


@pytest.mark.parametrize(
    ("period", "at", "aware", "bound"),
    [
        ("peak", AT, True, True),
        ("critical", AT, True, True),
        ("flat", AT, True, False),
        ("peak", AT - timedelta(seconds=1), True, False),
        ("peak", END, True, False),
        ("peak", AT, False, False),
    ],
)
def test_the_price_rule_holds_back_in_dear_hours(period: str, at: datetime, aware: bool, bound: bool) -> None:
    prices: Sequence[TariffSlice] = (TariffSlice(AT, END, period, 1.0),)
    guide = PriceRule(ChargingPolicy(tariff_aware=aware), [KIND]).guide_at(at, prices)
    assert (guide is not None) is bound
    if guide is not None:
        assert (guide.until_at, guide.most_kw, guide.least_ready) == (END, 0.0, {KIND: 3})


@given(st.floats(0.5, 1.0), st.floats(100, 2000), st.floats(0, 100))
def test_what_the_chargers_draw_stays_within_the_site(efficiency: float, limit_kw: float, base_kw: float) -> None:
    """Output (DC) ÷ efficiency is what they draw (AC), with a meter and without."""
    limits = SiteLimits(limit_kw, base_kw, charger_efficiency=efficiency)
    output_kw, _ = budget(limits, ChargingPolicy())
    assert output_kw / efficiency + base_kw <= max(limit_kw, base_kw) + 1e-9
    drawing_kw = 50.0
    metered = SiteLimits(
        limit_kw,
        base_kw,
        charger_efficiency=efficiency,
        measured_import_kw=base_kw + 7.0 + drawing_kw / efficiency,
        charging_kw=drawing_kw,
    )
    assert budget(metered, ChargingPolicy())[0] == pytest.approx(max(limit_kw - base_kw - 7.0, 0.0) * efficiency)


def test_the_plan_of_a_view_knows_the_losses() -> None:
    bays = rack(*(charging(30) for _ in range(5)))
    view = station(bays, limits=SiteLimits(800.0, 30.0, charger_efficiency=0.95))
    plan = plan_charging(view, POLICY, KINDS)
    assert sum(setpoint.power_kw for setpoint in plan.values()) / 0.95 + 30 == pytest.approx(800.0)


def test_the_line_is_put_right_when_a_window_opens_and_closes() -> None:
    walk_in, booked = (TruckRow(name, name, at_s, frozenset({KIND})) for name, at_s in (("S1", 0.0), ("S2", 10.0)))
    booked.booked_from_s, booked.booked_until_s = 100.0, 200.0
    line = WaitingLine()
    for row in (walk_in, booked):
        line.add(row, 10.0)
    order = []
    for at_s in (10.0, 99.9, 100.0, 199.9, 200.0):
        line.put_right(at_s)
        order.append(line.trucks[0].swap_id)
    assert order == ["S1", "S1", "S2", "S2", "S1"]
