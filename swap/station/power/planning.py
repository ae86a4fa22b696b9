"""Plans of charging, live: asked every quarter of an hour, made elsewhere, carried out as guides.

No loop waits for a plan. What is late, fails or is not believed is not adopted: the plan before is carried out while it
is good, then the price rule charges. One alarm says so, and the next good plan takes over again and clears it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from scheduler.guide import PriceRule
from scheduler.optimal.outlook import EVERY, HORIZON, PlanTask, task_of
from scheduler.optimal.planner import GuideKeeper
from swap.station.context import StationContext
from swap.station.faults import clear_fault, raise_fault
from swap.station.power.outlook import look, outlook_of
from swap.station.power.plan_process import PlanFailed, PlannedGuides, plan_apart
from swap.station_db import StationDb as Db

log = logging.getLogger(__name__)

FAULT = "charge_plan_failing"
SOURCE = "planner"

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
        seen = await self.context.read(lambda db: look(still, db, now))
        prices = () if self.context.prices is None else tuple(self.context.prices.slices(now, now + HORIZON))
        try:
            task = task_of(outlook_of(self.context, seen, prices))
        except Exception as error:  # whatever it is, it must not end the controller: the price rule charges
            if not isinstance(error, ValueError):
                log.error("a charging plan could not be asked for", exc_info=error)
            await self._fail(str(error) or type(error).__name__)
            return
        self._running = asyncio.get_running_loop().create_task(self._made(task))

    async def _made(self, task: PlanTask) -> PlannedGuides:
        return await self._solve(task)

    def close(self) -> None:
        """End a plan that is being made."""
        if self._running is not None:
            self._running.cancel()
            self._running = None

    async def _take(self, done: asyncio.Task[PlannedGuides]) -> None:
        error = done.exception()
        if error is not None:
            if not isinstance(error, PlanFailed):
                log.error("a charging plan failed", exc_info=error)
            await self._fail(str(error) or type(error).__name__)
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
        # Also a fault from before a restart, or one whose clearing was lost with the database.
        at, station_id = self.context.clock.now(), self.context.station_id
        await self.context.write(partial(clear_plan_fault, station_id=station_id, at=at))

    async def _fail(self, reason: str) -> None:
        """Tell; a plan that was adopted before is carried out as long as it is good."""
        await self.context.write(partial(self._tell, reason=reason))

    def _tell(self, db: Db, *, reason: str) -> None:
        station_id, at = self.context.station_id, self.context.clock.now()
        raise_fault(db, station_id=station_id, name=FAULT, source=SOURCE, at=at, data={"reason": reason})


def clear_plan_fault(db: Db, *, station_id: str, at: datetime) -> None:
    """There is a plan, or none is asked for."""
    clear_fault(db, station_id=station_id, name=FAULT, source=SOURCE, at=at)
