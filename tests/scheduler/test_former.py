"""The decisions over rows against those they replace, on random views: equal but for values that no pack can have."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from math import isnan
from random import Random
from typing import Any

from scheduler.charging import plan_charging
from scheduler.queueing import in_order, next_dispatch
from scheduler.types import (
    BayRole,
    BayView,
    ChargingPolicy,
    LaneView,
    Limit,
    PackState,
    PackView,
    QueueEntry,
    SiteLimits,
    StationMode,
    StationView,
    TariffSlice,
)
from tests.support.scheduler.former import charging as former_charging
from tests.support.scheduler.former import queueing as former_queueing
from tests.support.scheduler.views import AT, KIND, KINDS, OTHER

VIEWS = int(os.environ.get("FORMER_VIEWS", "4000"))
NAN, INF = float("nan"), float("inf")
_WILD = (NAN, INF, -INF, -1.0, 0.0, 1e18, -1e18, 5e-324)


def _number(draw: Random, low: float, high: float, wild: float = 0.03, none: float = 0.03) -> Any:
    at = draw.random()
    if at < wild:
        return draw.choice(_WILD)
    if at < wild + none:
        return None
    if at < 0.4:
        return float(round(draw.uniform(low, high)))
    return draw.uniform(low, high)


def _pack(draw: Random, number: int) -> PackView:
    kind = draw.choice([KIND, KIND, OTHER, OTHER, "unheard-of"] if draw.random() < 0.2 else [KIND, OTHER])
    rated_kwh = 282.0 if kind == KIND else 171.0
    soh_pct = draw.choice([100.0, 100.0, draw.uniform(60, 100)])
    soc = _number(draw, 0, 100) if draw.random() < 0.5 else draw.choice([90.0, 92.0, 95.0, draw.uniform(85, 97)])
    energy = None
    if soc is not None and not isnan(soc) and 0 <= soc <= 100 and draw.random() < 0.5:
        energy = soc * rated_kwh * soh_pct / 1e4
    warm = _number(draw, -5, 55)
    if draw.random() < 0.6:  # a pack that may be charged and, where it is full enough, handed out
        soc, warm = draw.choice([draw.uniform(10, 99), 92.0, 95.0]), draw.choice([20.0, 46.0, 3.0])
        state = PackState.READY if soc >= 90 else draw.choice([PackState.WAITING, PackState.CHARGING])
        bms_kw = draw.choice([draw.uniform(0, 300), 282.0])
        return PackView(f"P{number}", kind, state, rated_kwh, soh_pct, None, soc, warm, warm, bms_kw, 0, 1.0)
    return PackView(
        f"P{number}",
        kind,
        draw.choice([PackState.READY, PackState.READY, PackState.WAITING, PackState.CHARGING, *PackState]),
        rated_kwh,
        soh_pct,
        energy,
        soc,
        warm,
        warm if draw.random() < 0.5 else _number(draw, -25, 50),
        _number(draw, 0, 400),
        draw.choice([0] * 9 + [1, 2, 3]),
        draw.choice([1.0] * 12 + [None, 10.0, 60.0, NAN]),
    )


def _bay(draw: Random, number: int) -> BayView:
    pack = _pack(draw, number) if draw.random() < 0.75 else None
    return BayView(
        f"A{number}",
        number,
        draw.choice([BayRole.RACK] * 14 + [BayRole.TRANSFER, BayRole.QUARANTINE]),
        pack,
        draw.choice([frozenset(), frozenset(), frozenset({KIND}), frozenset({KIND, OTHER})]),
        draw.choice([240.0] * 6 + [60.0, 0.0, NAN, -1.0, INF]),
        draw.random() < 0.93,
        draw.random() < 0.05,
        draw.choice([pack is not None] * 9 + [None, pack is None]),
        draw.choice([None] * 12 + ["S0"]),
        draw.choice([frozenset()] * 4 + [frozenset({"L1"}), frozenset({"L2"})]),
    )


def _truck(draw: Random, number: int) -> QueueEntry:
    accepts = draw.choice([frozenset({KIND}), frozenset({OTHER}), frozenset({KIND, OTHER})])
    packs = draw.choice([1, 1, 1, 2, 3])
    booked = draw.random() < 0.4
    return QueueEntry(
        f"S{number}",
        f"V{number}",
        AT + timedelta(minutes=draw.randrange(8)),
        accepts,
        packs,
        draw.choice(["top_lift", "top_lift", "chassis"]),
        draw.choice([0, 0, 0, 1]),
        AT + timedelta(minutes=draw.choice([0, 30, 60, 90])) if booked else None,
        AT + timedelta(minutes=draw.choice([30, 60, 120])) if booked and draw.random() < 0.9 else None,
        draw.choice([0.0, 0.0, 0.0, 160.0, 262.0]),
        draw.choice([None, tuple(draw.choice(sorted(accepts)) for _ in range(packs))]),
    )


def random_view(draw: Random) -> StationView:
    """A station: most of it healthy, some of it sick."""
    return StationView(
        AT + timedelta(hours=1),
        draw.choice([StationMode.AUTOMATIC] * 9 + [*StationMode]),
        tuple(_bay(draw, n) for n in range(1, draw.randrange(1, 14))),
        tuple(
            LaneView(
                f"L{n}",
                draw.random() < 0.85,
                draw.choice([frozenset(), frozenset(), frozenset({"top_lift"}), frozenset({"chassis"})]),
                draw.choice([None, None, "S0"]),
                draw.choice(["out_in", "out_in", "in_out"]),
            )
            for n in range(1, draw.randrange(1, 4))
        ),
        tuple(_truck(draw, n) for n in range(1, draw.randrange(1, 8))),
        SiteLimits(
            draw.choice([_number(draw, 0, 2000, none=0), 300.0, 700.0, 2000.0]),
            draw.choice([30.0, 0.0, -5.0]),
            draw.choice([0.0, 0.0, 300.0]),
            draw.choice([0.0, 0.0, 200.0, -200.0]),
            draw.choice([None, None, _number(draw, 0, 1000)]),
            draw.choice([None, None, _number(draw, -500, 3000)]),
            draw.choice([None, _number(draw, 0, 1500)]),
        ),
        draw.choice([0, 0, 0, 1]),
    )


def random_policy(draw: Random) -> ChargingPolicy:
    """A legal policy."""
    return ChargingPolicy(
        sharing=draw.choice(["order", "equal"]),
        min_setpoint_kw=draw.choice([0.0, 5.0, 60.0]),
        tariff_aware=draw.random() < 0.8,
        reserve_ready=draw.choice([0, 1, 3]),
        max_power_kw=draw.choice([None, None, 300.0, 900.0]),
    )


def _impossible(pack: PackView | None) -> bool:
    """NaN, negative or above what a pack can have; there the two may differ."""
    if pack is None:
        return False
    known = (pack.soc_pct, pack.temp_max_c, pack.temp_min_c, pack.max_charge_kw)
    return any(value is not None and isnan(value) for value in known) or not (
        (pack.soc_pct is None or 0 <= pack.soc_pct <= 101) and (pack.max_charge_kw is None or pack.max_charge_kw >= 0)
    )


def test_equal_on_random_views() -> None:
    draw = Random(int(os.environ.get("FORMER_SEED", "1")))
    powered = dispatched = unlike = 0
    for _ in range(VIEWS):
        view, policy = random_view(draw), random_policy(draw)
        prices = (TariffSlice(AT, AT + timedelta(hours=2), draw.choice(["peak", "flat", "critical"]), 1.0),)
        sick = any(_impossible(bay.pack) for bay in view.bays)
        if sick:
            unlike += 1
            now = plan_charging(view, policy, KINDS, prices)
            then = former_charging.plan_charging(view, policy, KINDS, prices)
            for bay in view.bays:
                if _impossible(bay.pack) and now[bay.bay_id] != then[bay.bay_id]:
                    assert now[bay.bay_id].power_kw == 0.0
                    assert now[bay.bay_id].limited_by is Limit.UNKNOWN or then[bay.bay_id].power_kw == 0.0
            view = replace(view, bays=tuple(bay for bay in view.bays if not _impossible(bay.pack)))
        now = plan_charging(view, policy, KINDS, prices)
        then = former_charging.plan_charging(view, policy, KINDS, prices)
        assert {k: (v.power_kw, str(v.limited_by)) for k, v in now.items()} == {
            k: (v.power_kw, str(v.limited_by)) for k, v in then.items()
        }, (view, policy)
        powered += any(setpoint.power_kw > 0 for setpoint in now.values())
        # A rating that no charger can have counts as none; before, a NaN among the bays left their order open.
        bays = (b if b.max_charge_kw > 0 else replace(b, max_charge_kw=0.0) for b in view.bays)
        view = replace(view, bays=tuple(bays))
        called, was = next_dispatch(view, policy), former_queueing.next_dispatch(view, policy)
        assert called == was, (view, policy)
        dispatched += called is not None
        assert in_order(view) == former_queueing.in_order(view)
    print(f"{VIEWS} views, {powered} with power, {dispatched} with a dispatch, {unlike} with impossible values")
    assert powered > VIEWS / 4
    assert dispatched > VIEWS / 40
