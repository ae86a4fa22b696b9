"""Charging fails closed: 100 000 random stations with sick numbers, against a judgement written apart from the rule."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from battery_bms.config import CHARGER_EFFICIENCY
from scheduler.charging import plan_charging
from scheduler.queueing import next_dispatch
from scheduler.types import BayRole, BayView, ChargingPolicy, Limit, PackState, PackView, SiteLimits, StationMode
from tests.support.scheduler.views import KIND, KINDS, charging, pack, rack, site, station, truck

NAN, INF = float("nan"), float("inf")
SICK = (NAN, INF, -INF, -1.0, -1e9, 1e300)
POLICIES = tuple(
    ChargingPolicy(sharing=sharing, min_setpoint_kw=least_kw, max_power_kw=most_kw)
    for sharing in ("order", "equal")
    for least_kw in (0.0, 5.0)
    for most_kw in (None, 300.0)
)
VIEWS = 100_000


def test_the_import_holds_without_a_meter() -> None:
    """S23: 800 kVA, empty packs, no meter: 840.5 kW were drawn, as the sum of outputs was held against the limit."""
    bays = rack(*(charging(5) for _ in range(8)))
    for efficiency in (CHARGER_EFFICIENCY, 0.95, 1.0):
        limits = site(800.0, base_load_kw=30.0, charger_efficiency=efficiency)
        plan = plan_charging(station(bays, limits=limits), ChargingPolicy(), KINDS)
        output_kw = sum(setpoint.power_kw for setpoint in plan.values())
        assert 800.0 - 5.0 / efficiency < output_kw / efficiency + 30.0 < 800.0 + 1e-9


def test_no_reduction_heals_a_limit_that_is_no_number() -> None:
    """S24: 46 °C or 3 °C and a BMS limit of NaN gave 141 kW; at 25 °C nothing."""
    for temp_c in (46.0, 3.0, 25.0):
        pack = charging(50, temp_max_c=temp_c, temp_min_c=temp_c, max_charge_kw=NAN)
        plan = plan_charging(station(rack(pack)), ChargingPolicy(), KINDS)
        assert (plan["A1"].power_kw, plan["A1"].limited_by) == (0.0, Limit.UNKNOWN)


@pytest.mark.parametrize(
    "wrong",
    [
        {"energy_kwh": 300.0},
        {"energy_kwh": 280.0, "soh_pct": 90.0},
        {"energy_kwh": -1.0},
        {"energy_kwh": NAN},
        {"soc_pct": 150.0},
        {"soh_pct": 0.0},
        {"rated_kwh": -282.0},
        {"temp_max_c": 20.0},
        {"reading_age_s": -1.0},
    ],
    ids=str,
)
def test_a_pack_that_cannot_be_is_neither_charged_nor_handed_out(wrong: dict[str, Any]) -> None:
    """Its BMS may say what it likes: more energy than it holds, warmest below coldest, an answer from the future."""
    sound, sick = pack(92.0, energy_kwh=250.0), pack(**{"soc_pct": 94.0, "energy_kwh": 250.0} | wrong)
    plan = plan_charging(station(rack(sound, sick)), ChargingPolicy(), KINDS)
    assert (plan["A1"].power_kw, plan["A2"].power_kw) == (240.0, 0.0)
    assert plan["A2"].limited_by in (Limit.UNKNOWN, Limit.STALE)
    handed = next_dispatch(station(rack(sick, sound, None), [truck(1)]), ChargingPolicy())
    assert handed is not None
    assert handed.packs.bay_ids == ("A2",)


def _sick(draw: Random, value: float | None, none: bool = True) -> float | None:
    """The value, or now and then one that a broken device brings."""
    if draw.random() > 0.04:
        return value
    return draw.choice((*SICK, None) if none else SICK)


def _number(draw: Random, value: float) -> float:
    found = _sick(draw, value, none=False)
    assert found is not None
    return found


def _bay(draw: Random, number: int) -> BayView:
    temp_c = draw.choice((25.0, 25.0, 25.0, draw.uniform(-10.0, 60.0)))
    soc_pct = draw.uniform(0.0, 99.0)
    pack = PackView(
        f"P{number}",
        draw.choice((KIND, KIND, KIND, "unheard-of")),
        draw.choice((PackState.WAITING, PackState.CHARGING, PackState.READY, PackState.QUARANTINED)),
        _number(draw, 282.0),
        _number(draw, 100.0),
        draw.choice((None, 2.82 * soc_pct)),
        _sick(draw, soc_pct),
        _sick(draw, temp_c + 1.0),
        _sick(draw, temp_c - 1.0),
        _sick(draw, draw.uniform(0.0, 300.0)),
        draw.choice((0, 0, 0, 0, 1, 2)),
        _sick(draw, draw.choice((1.0, 1.0, 10.0, 10.5))),
    )
    return BayView(f"A{number}", number, BayRole.RACK, pack, frozenset(), _number(draw, 240.0))


def _limits(draw: Random) -> SiteLimits:
    return SiteLimits(
        _number(draw, draw.uniform(0.0, 900.0)),
        _number(draw, 30.0),
        draw.choice((0.0, _number(draw, 50.0))),
        draw.choice((0.0, _number(draw, -40.0))),
        draw.choice((None, None, _number(draw, 200.0))),
        draw.choice((None, _number(draw, draw.uniform(0.0, 900.0)))),
        draw.choice((None, _number(draw, draw.uniform(0.0, 400.0)))),
        charger_efficiency=_number(draw, draw.uniform(0.8, 1.0)),
    )


def _is(value: float | None, low: float, high: float) -> bool:
    return value is not None and math.isfinite(value) and low <= value <= high


def _doubt(bay: BayView, policy: ChargingPolicy) -> set[Limit]:
    """Causes that forbid this bay any power; the rule gives one of them."""
    pack, causes = bay.pack, set()
    assert pack is not None
    if not _is(pack.reading_age_s, 0.0, policy.max_reading_age_s):
        causes.add(Limit.STALE)
    if pack.alarm_level > 1:
        causes.add(Limit.ALARM)
    if pack.state is PackState.QUARANTINED:
        causes.add(Limit.PACK_STATE)
    rated_kwh = pack.rated_kwh * pack.soh_pct / 100
    if not (
        pack.kind in KINDS
        and _is(pack.soc_pct, 0.0, 101.0)
        and _is(pack.temp_max_c, -1e299, 1e299)
        and _is(pack.temp_min_c, -1e299, 1e299)
        and _is(pack.max_charge_kw, 0.0, INF)
        and _is(bay.max_charge_kw, 0.0, INF)
        and _is(pack.rated_kwh, 1e-9, INF)
        and _is(pack.soh_pct, 1e-9, INF)
        and (pack.energy_kwh is None or _is(pack.energy_kwh, 0.0, rated_kwh * 1.06))
    ):
        causes.add(Limit.UNKNOWN)
    return causes


def test_a_hundred_thousand_sick_stations() -> None:
    """S23, S24: any number of a bay that is unknown, no number, infinite, negative or stale gives that bay 0 kW and
    says so; any of the site gives all 0 kW; and the import, losses counted, never passes the limit."""
    draw = Random(23)
    charged = closed = shut = 0
    for number in range(VIEWS):
        bays = tuple(_bay(draw, place) for place in range(1, 3))
        limits, policy = _limits(draw), POLICIES[number % len(POLICIES)]
        plan = plan_charging(station(bays, limits=limits), policy, KINDS)
        output_kw = 0.0
        for bay in bays:
            setpoint, causes = plan[bay.bay_id], _doubt(bay, policy)
            assert 0.0 <= setpoint.power_kw < INF
            output_kw += setpoint.power_kw
            if causes:
                assert setpoint.power_kw == 0.0
                assert setpoint.limited_by in causes | {Limit.TOO_HOT, Limit.TOO_COLD, Limit.TARGET}
                closed += 1
        known = (
            _is(limits.grid_limit_kw, -INF, INF)
            and _is(limits.base_load_kw, 0.0, INF)
            and _is(limits.pv_kw, -INF, INF)
            and _is(limits.storage_kw, -INF, INF)
            and _is(limits.charger_efficiency, 1e-9, 1.0)
            and (limits.dr_limit_kw is None or math.isfinite(limits.dr_limit_kw))
        )
        if not known:
            assert output_kw == 0.0
            held = {s.limited_by for s in plan.values()}
            shut += Limit.SITE_UNKNOWN in held
        if output_kw == 0.0:
            continue
        charged += 1
        import_kw = output_kw / limits.charger_efficiency + limits.base_load_kw - limits.pv_kw - limits.storage_kw
        limit_kw = limits.grid_limit_kw
        if limits.dr_limit_kw is not None:
            limit_kw = min(limit_kw, limits.dr_limit_kw)
        assert import_kw <= limit_kw + 1e-9 * (1.0 + abs(limit_kw) + abs(limits.pv_kw))
    # Each kind of answer was seen often: the draw is no loop over nothing.
    assert min(charged, closed, shut) > VIEWS // 25, (charged, closed, shut)


def test_fire_gives_nothing_whatever_is_known() -> None:
    view = station(rack(charging(50)), mode=StationMode.FIRE)
    assert plan_charging(view, ChargingPolicy(), KINDS)["A1"].power_kw == 0.0
    calm = replace(view, mode=StationMode.AUTOMATIC)
    assert plan_charging(calm, ChargingPolicy(), KINDS)["A1"].power_kw > 0.0
