"""How long one decision takes: the study asks for one at every event of years of simulated time.

The ratio is to `bare_scan`, a loop over the same ten bays that reads three fields of each and adds them up:
about the least any decision over the rack can cost in this interpreter, measured in the same rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from zoneinfo import ZoneInfo

from scheduler.charging import plan_charging, share_power
from scheduler.choice import pick_packs
from scheduler.config import TariffSection
from scheduler.queueing import next_dispatch
from scheduler.tariff_files import load_tariff
from scheduler.types import (
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
)
from scheduler.view_rows import rows_of

AT = datetime(2026, 9, 1, 10, 0, tzinfo=UTC)  # 18:00 in Shanxi, peak
KIND = "lfp-282"
ROUNDS = 15
CALLS = 1000


@dataclass(frozen=True, slots=True)
class _Limits:
    max_charge_kw: float = 282.0
    charge_temp_min_c: float = 0.0
    charge_temp_max_c: float = 50.0
    charge_efficiency: float = 0.96


def _bays(soc_pct: tuple[float | None, ...]) -> tuple[BayView, ...]:
    return tuple(
        BayView(
            bay_id=f"A{position}",
            position=position,
            pack=None
            if soc is None
            else PackView(
                pack_id=f"P{position}",
                kind=KIND,
                state=PackState.READY if soc >= 90 else PackState.CHARGING,
                rated_kwh=282.0,
                energy_kwh=2.82 * soc,
                soc_pct=soc,
                temp_max_c=30.0,
                temp_min_c=26.0,
                max_charge_kw=260.0,
                reading_age_s=0.5,
            ),
            max_charge_kw=240.0,
            occupied=soc is not None,
        )
        for position, soc in enumerate(soc_pct, start=1)
    )


def _truck(number: int) -> QueueEntry:
    return QueueEntry(f"S{number}", f"V{number}", AT - timedelta(minutes=9 - number), frozenset({KIND}))


def _view(soc_pct: tuple[float | None, ...], trucks: int) -> StationView:
    return StationView(
        at=AT,
        mode=StationMode.AUTOMATIC,
        bays=_bays(soc_pct),
        lanes=(LaneView("L1", ready=True),),
        queue=tuple(_truck(number) for number in range(trucks)),
        limits=SiteLimits(grid_limit_kw=1500.0, base_load_kw=30.0, charger_efficiency=0.94),
    )


def _scan(view: StationView) -> float:
    total = 0.0
    for bay in view.bays:
        if bay.pack is not None:
            total += bay.max_charge_kw + bay.position
    return total


def run() -> dict[str, float]:
    """Microseconds for each decision and its ratio to the bare scan.

    Of the interleaved rounds the least counts: the rest is what other work of the machine added.
    """
    policy = ChargingPolicy()
    kinds = {KIND: _Limits()}
    mixed = _view((95.0, 94.0, 92.0, 60.0, 50.0, 40.0, 30.0, 25.0, None, None), 1)
    convoy = replace(mixed, queue=tuple(_truck(number) for number in range(6)))
    dry = _view((60.0, 55.0, 50.0, 45.0, 40.0, 35.0, 30.0, 25.0, None, None), 6)
    full = _view(tuple(5.0 * number + 10 for number in range(10)), 0)
    tariff = load_tariff(TariffSection(), ZoneInfo("Asia/Shanghai"))
    slices = tariff.slices(AT - timedelta(hours=1), AT + timedelta(hours=23))
    equal = replace(policy, sharing="equal")
    rows, full_rows = rows_of(mixed, kinds), rows_of(full, kinds)
    cases: dict[str, Callable[[], object]] = {
        "bare_scan": lambda: _scan(mixed),
        "pick_packs": lambda: pick_packs(rows.bays, rows.queue[0], policy, "L1"),
        "share_power": lambda: share_power(full_rows.bays, policy, 1470.0, Limit.GRID),
        "next_dispatch": lambda: next_dispatch(mixed, policy),
        "next_dispatch_of_6_trucks": lambda: next_dispatch(convoy, policy),
        "next_dispatch_no_pack_for_6": lambda: next_dispatch(dry, policy),
        "plan_charging": lambda: plan_charging(full, policy, kinds),
        "plan_charging_equal": lambda: plan_charging(full, equal, kinds),
        "plan_charging_in_peak": lambda: plan_charging(mixed, policy, kinds, slices),
        "price_at": lambda: tariff.price_at(AT),
    }
    times_us: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, call in cases.items():
            start = perf_counter()
            for _ in range(CALLS):
                call()
            times_us[name].append((perf_counter() - start) / CALLS * 1e6)
    results: dict[str, float] = {}
    reference_us = min(times_us["bare_scan"])
    for name, samples in times_us.items():
        best_us = min(samples)
        results[f"{name}_us"] = round(best_us, 3)
        if name != "bare_scan":
            results[f"{name}_per_bare_scan"] = round(best_us / reference_us, 2)
    return results
