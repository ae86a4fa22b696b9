"""Plans of charging, live: asked every quarter of an hour, made elsewhere, carried out as guides.

No loop waits for a plan. What is late, fails or is not believed is not adopted: the plan before is carried out while it
is good, then the price rule charges. One alarm says so, and the next good plan takes over again and clears it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from math import isfinite
from typing import Any

from sqlmodel import col, select

from robotics.faults import fault_by_name
from scheduler.guide import PriceRule
from scheduler.optimal.outlook import EVERY, HORIZON, PlanTask, task_of
from scheduler.optimal.planner import GuideKeeper
from swap.reading.arrivals import ArrivalRecord, arrival_record
from swap.station.context import StationContext
from swap.station.faults import clear_fault, raise_fault
from swap.station.power.outlook import Seen, look, outlook_of
from swap.station.power.plan_process import PlanCause, PlanFailed, PlannedGuides, plan_apart
from swap.station.truck_forecast import ForecastFailing
from swap.station_db import StationDb as Db
from swap.tables import Booking, FaultRow

log = logging.getLogger(__name__)

FAULT = "charge_plan_failing"
SOURCE = "planner"
UNFORESEEN = "truck_forecast_missing"
LATE = "booking_late"
LATE_SOURCE = "booking"
LEAST_LATE_MIN = 1.0
"""A delay of less is none: a swap takes some minutes more or less."""

_NOTHING_TOLD = ""
"""What is on record of faults before a restart is put right once; None is a forecast without a fault."""

Solver = Callable[[PlanTask], Awaitable[PlannedGuides]]


class PlanRunner:
    """Asks for plans of one station and hands their guides to its planner's port.

    Args:
        solve: makes a plan; in a process of its own when not given.
    """

    def __init__(self, context: StationContext, solve: Solver = plan_apart) -> None:
        self.context = context
        self._solve = solve
        self._keeper = GuideKeeper(PriceRule(context.policy, tuple(context.specs)))
        context.planner = self._keeper
        self._due_at: datetime | None = None
        self._told: str | None = _NOTHING_TOLD
        self._failing: ForecastFailing | None = None
        """What was wrong with the forecast of the plan that is being made."""
        self._running: asyncio.Task[PlannedGuides] | None = None

    async def step(self) -> None:
        """Take a plan that is made, ask for the next one when it is due; waits for neither. Raises DatabaseLost."""
        if self._running is not None:
            if self._running.done():
                done, self._running = self._running, None
                await self._take(done)
            return
        now = self.context.clock.now()
        if self._due_at is not None and now < self._due_at:
            return
        self._due_at = now + EVERY
        still = self.context.still()
        station_id = self.context.station_id
        seen, record = await self.context.read(
            lambda db: (look(still, db, now), arrival_record(db, station_id=station_id, now=now))
        )
        self._running = asyncio.get_running_loop().create_task(self._made(seen, record, now))

    async def _made(self, seen: Seen, record: ArrivalRecord, now: datetime) -> PlannedGuides:
        """Expect trucks, ask, solve. Raises PlanFailed."""
        found = await self.context.forecast.ask(record, now)
        self._failing = found.failing
        prices = () if self.context.prices is None else tuple(self.context.prices.slices(now, now + HORIZON))
        try:
            task = task_of(outlook_of(self.context, seen, found.trucks, prices))
        except ValueError as error:
            raise PlanFailed(str(error), PlanCause.NOT_ASKED) from error
        return await self._solve(task)

    async def _tell_of_trucks(self) -> None:
        """A plan without a forecast of trucks keeps packs for those alone that wait or have booked."""
        failing = self._failing
        cause = None if failing is None else failing.cause
        if cause == self._told:
            return
        station_id, at = self.context.station_id, self.context.clock.now()
        await self.context.write(partial(tell_of_trucks, station_id=station_id, at=at, failing=failing))
        self._told = cause

    def close(self) -> None:
        """End a plan that is being made."""
        if self._running is not None:
            self._running.cancel()
            self._running = None

    async def _take(self, done: asyncio.Task[PlannedGuides]) -> None:
        await self._tell_of_trucks()
        error = done.exception()
        if error is not None:
            if not isinstance(error, PlanFailed):
                log.error("a charging plan failed", exc_info=error)
            cause = error.cause if isinstance(error, PlanFailed) else PlanCause.BROKEN
            await self._fail(str(error) or type(error).__name__, cause)
            return
        plan = done.result()
        self._keeper.adopt(plan.from_at, plan.guides)
        log.info(
            "charging plan from %s: residual %.1e, gap %.1e, short %.1f kWh",
            plan.from_at.isoformat(timespec="seconds"),
            plan.primal_residual,
            plan.gap,
            plan.short_kwh,
        )
        for delay in plan.delays:
            log.warning(
                "truck %s, promised in %.1f h: its packs will be %.0f min late, %.1f kWh lack then at full power",
                delay.truck,
                delay.at_h,
                delay.minutes,
                delay.missing_kwh,
            )
        at, station_id = self.context.clock.now(), self.context.station_id
        await self.context.write(partial(tell_of_plan, station_id=station_id, at=at, plan=plan))

    async def _fail(self, reason: str, cause: PlanCause) -> None:
        """Tell; a plan that was adopted before is carried out as long as it is good."""
        await self.context.write(partial(self._tell, data={"reason": reason, "cause": cause.value}))

    def _tell(self, db: Db, *, data: dict[str, Any]) -> None:
        station_id, at = self.context.station_id, self.context.clock.now()
        raise_fault(db, station_id=station_id, name=FAULT, source=SOURCE, at=at, data=data)


def tell_of_plan(db: Db, *, station_id: str, at: datetime, plan: PlannedGuides) -> None:
    """There is a plan; what it cannot keep of what was booked is an alarm for each truck, before that truck comes.

    A truck that stands in the queue sees on the console already when it is expected to be served.
    """
    # Also a fault from before a restart, or one whose clearing was lost with the database.
    clear_fault(db, station_id=station_id, name=FAULT, source=SOURCE, at=at)
    late = {
        f"{LATE_SOURCE}:{delay.truck}": delay
        for delay in plan.delays
        if delay.minutes >= LEAST_LATE_MIN and db.get(Booking, delay.truck) is not None
    }
    _clear_late(db, station_id=station_id, at=at, but=late.keys())
    for source, delay in late.items():
        data = {
            "promised_at": (plan.from_at + timedelta(hours=delay.at_h)).isoformat(timespec="seconds"),
            "late_min": round(delay.minutes) if isfinite(delay.minutes) else None,
            "missing_kwh": round(delay.missing_kwh, 1) if isfinite(delay.missing_kwh) else None,
        }
        raise_fault(db, station_id=station_id, name=LATE, source=source, at=at, data=data)


def tell_of_trucks(db: Db, *, station_id: str, at: datetime, failing: ForecastFailing | None) -> None:
    """Whether the trucks to come are known; None: they are."""
    clear_fault(db, station_id=station_id, name=UNFORESEEN, source=SOURCE, at=at)
    if failing is not None:
        data = {"reason": failing.reason, "cause": failing.cause.value}
        raise_fault(db, station_id=station_id, name=UNFORESEEN, source=SOURCE, at=at, data=data)


def _clear_late(db: Db, *, station_id: str, at: datetime, but: Collection[str]) -> None:
    told = select(FaultRow.source).where(FaultRow.station_id == station_id, col(FaultRow.cleared_at).is_(None))
    for source in db.exec(told.where(FaultRow.code == fault_by_name(LATE).code)).all():
        if source not in but:
            clear_fault(db, station_id=station_id, name=LATE, source=source, at=at)


def clear_plan_faults(db: Db, *, station_id: str, at: datetime) -> None:
    """No plan is asked for."""
    for name in (FAULT, UNFORESEEN):
        clear_fault(db, station_id=station_id, name=name, source=SOURCE, at=at)
    _clear_late(db, station_id=station_id, at=at, but=())
