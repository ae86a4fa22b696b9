"""What each lane and each waiting truck waits for, and when packs are expected: found anew each second, published.

Trucks are judged by `scheduler.queueing.explain_queue`, the cell by what calls a truck into it (`StationContext`), a
swap by its session and the same permissives that its step function asks. Only what has changed is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from scheduler.queueing import explain_queue, in_order
from scheduler.types import StationMode, StationView, TariffSlice
from scheduler.waiting import Wait, Waiting
from swap.events import raise_version
from swap.reading.charge_plan import dr_limits, estimated_starts, expected_packs, ready_times
from swap.station.context import StationContext
from swap.station.lane.runner import LaneRunner
from swap.station.power.view import station_view
from swap.station.reasons.lane import lane_waiting, station_waiting
from swap.station_db import StationDb as Db

FORECAST_S = 15.0
"""Station seconds, and at least 2 real ones, for which expected times are kept; one that moves by less than a minute
stays as it was."""


class Reasons:
    """Publishes what everybody waits for.

    Args:
        unheard: names what has to be heard before the first truck is called; empty once it has been.
    """

    def __init__(self, context: StationContext, lanes: Mapping[str, LaneRunner]) -> None:
        self._context = context
        self._lanes = lanes
        self._published: dict[str, Any] | None = None
        self._forecast: tuple[float, dict[str, datetime]] | None = None

    def load(self) -> None:
        """What is stored is not known: publish anew."""
        self._published = None

    async def cycle(self, unheard: Collection[str] = ()) -> None:
        """Find out and, where something has changed, write it down."""
        context, still = self._context, self._context.still()
        view = await context.read(partial(station_view, still))
        ready_at = await self._ready_at(view)
        found = self._found(view, ready_at, unheard)
        if found == self._published:
            return

        def store(db: Db) -> None:
            db.station().waiting = found
            raise_version(db, db.station_id)

        await context.write(store)
        self._published = found

    def _found(
        self, view: StationView, ready_at: Mapping[str, datetime], unheard: Collection[str]
    ) -> dict[str, dict[str, Any]]:
        context = self._context
        order = in_order(view)
        trucks = explain_queue(view, context.policy)
        packs_at = expected_packs(view, context.policy, order, ready_at)
        found = {}
        for entry in order:
            waiting = trucks[entry.swap_id]
            if context.mode is not StationMode.AUTOMATIC:
                waiting = station_waiting(context)
            elif unheard:
                waiting = Waiting(Wait.NOT_COMPARED, tuple(sorted(unheard)))
            at = packs_at.get(entry.swap_id) if waiting.cause in _ENDS_WITH_A_PACK else None
            found[f"truck:{entry.swap_id}"] = _data(waiting, at)
        first = order[0].vehicle_id if order else None
        for lane_id, runner in self._lanes.items():
            found[f"lane:{lane_id}"] = _data(lane_waiting(runner, first, unheard))
        starts_at = estimated_starts(view, order, packs_at, context.config.bookings.nominal_swap_s)
        found["start_at"] = {swap: _minute(at) for swap, at in starts_at.items()}
        found["ready_at"] = {bay: _minute(at) for bay, at in sorted(ready_at.items())}
        return found

    async def _ready_at(self, view: StationView) -> dict[str, datetime]:
        """When packs are expected; reckoned on another thread, so that no look at a cell is late for it."""
        context = self._context
        now_s = asyncio.get_running_loop().time()
        before = {} if self._forecast is None else self._forecast[1]
        kept_s = max(FORECAST_S / max(context.clock.speed, 1.0), 2.0)
        if self._forecast is not None and now_s - self._forecast[0] < kept_s:
            return before
        slices: tuple[TariffSlice, ...] = ()
        if context.prices is not None:
            slices = tuple(context.prices.slices(view.at, view.at + timedelta(hours=24)))
        limits = dr_limits(context.config, context.orders)
        found = await asyncio.to_thread(ready_times, view, context.policy, context.specs, slices, limits)
        found = {bay: _steady(at, before.get(bay)) for bay, at in found.items()}
        self._forecast = now_s, found
        return found


_ENDS_WITH_A_PACK = frozenset({Wait.NOT_CHARGED, Wait.ALL_PROMISED, Wait.KIND_AWAITED, Wait.AHEAD_TAKES})


def _data(waiting: Waiting, until_at: datetime | None = None) -> dict[str, Any]:
    """As it is stored."""
    at = until_at or waiting.until_at
    return {
        "cause": waiting.cause.value,
        "names": list(waiting.names),
        "number": waiting.number,
        "until_at": None if at is None else _minute(at) if until_at is not None else at.isoformat(),
    }


def _steady(at: datetime, before: datetime | None) -> datetime:
    return before if before is not None and abs(at - before) < timedelta(minutes=1) else at


def _minute(at: datetime) -> str:
    """To the next whole minute: nobody knows it better, and what stays the same is not written again."""
    return (at.replace(second=0, microsecond=0) + timedelta(minutes=1)).isoformat()
