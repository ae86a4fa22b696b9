"""Plans of charging, live: asked every quarter of an hour, made elsewhere, carried out as guides.

No loop waits for a plan. What is late, fails or is not believed is dropped: the price rule charges, one alarm says so,
and the next good plan takes over again and clears it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache, partial

import numpy as np
from sqlmodel import col, select

from battery_bms.pack import Curve, curve_of
from battery_bms.pack.ahead import ChargeAhead
from scheduler.charging import claim
from scheduler.demand_response import limit_at
from scheduler.guide import PriceRule
from scheduler.optimal.forecast import Rates, expected_at_h, stock_beyond_mean
from scheduler.optimal.planner import GuideKeeper
from scheduler.optimal.problem import ChargeProblem, Site, Tier
from scheduler.optimal.slots import lengths_h, prices_of, slot_starts
from scheduler.optimal.stock import PackAhead, TruckAhead, Worth, visits_of
from scheduler.rows import BayRow
from scheduler.types import Limit, StationView, TariffSlice
from scheduler.view_rows import rows_of
from swap.station.context import StationContext
from swap.station.faults import clear_fault, raise_fault
from swap.station.power.plan_process import PlanFailed, PlannedGuides, PlanTask, plan_apart
from swap.station.power.view import station_view
from swap.station_db import StationDb as Db
from swap.tables import Swap

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=15)
HORIZON = timedelta(hours=24)
LEAST_HORIZON = timedelta(hours=2)
"""Prices must be known for so long."""
RECORD = timedelta(days=28)
"""Arrivals of so long make the expected ones."""
SERVICE_LEVEL = 0.95
COVER_H = 0.5
"""Time in which more packs can be made ready."""
SPENT_SOC_PCT = 25.0
"""Of a pack that a truck will leave, until it is read (assumed: trucks come between 15 and 45 %)."""
SWAP_H = 0.1
"""From a truck's call to its pack on the charger (assumed: the recipes take 5 to 6 minutes)."""
COOL_H = 1.0
"""A pack too warm or cold for charging is planned from then on (assumed)."""
FAULT = "charge_plan_failing"

Solver = Callable[[PlanTask], Awaitable[PlannedGuides]]

_CHARGEABLE = frozenset(
    {
        Limit.CHARGER,
        Limit.PACK,
        Limit.BMS,
        Limit.PACK_TEMP,
        Limit.TARGET,
        Limit.MIN_SETPOINT,
        Limit.TOO_HOT,
        Limit.TOO_COLD,
    }
)


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
        self._failing = False

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
        view, per_h = await self.context.read(lambda db: (station_view(still, db), arrivals_per_h(still, db, now)))
        prices = () if self.context.prices is None else tuple(self.context.prices.slices(now, now + HORIZON))
        try:
            task = ask(self.context, view, per_h, prices)
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
        if self._failing:
            self._failing = False
            await self.context.write(partial(self._tell, reason=None))

    async def _fail(self, reason: str) -> None:
        self._keeper.drop()
        self._failing = True
        await self.context.write(partial(self._tell, reason=reason))

    def _tell(self, db: Db, *, reason: str | None) -> None:
        station_id, at = self.context.station_id, self.context.clock.now()
        if reason is None:
            clear_fault(db, station_id=station_id, name=FAULT, source="planner", at=at)
        else:
            data = {"reason": reason}
            raise_fault(db, station_id=station_id, name=FAULT, source="planner", at=at, data=data)


def arrivals_per_h(context: StationContext, db: Db, now: datetime) -> tuple[float, ...]:
    """Mean arrivals in each local hour of the day, from the record of the last weeks; 0 where there is none yet."""
    first_at = now - RECORD
    query = select(Swap.arrived_at).where(Swap.station_id == context.station_id, col(Swap.arrived_at) >= first_at)
    came = db.exec(query).all()
    counts = [0] * 24
    for at in came:
        counts[at.astimezone(context.config.station.zone).hour] += 1
    days = max((now - min(came, default=now)) / timedelta(days=1), 1.0)
    return tuple(count / days for count in counts)


def ask(context: StationContext, view: StationView, per_h: Sequence[float], prices: Sequence[TariffSlice]) -> PlanTask:
    """The plan that a view asks for.

    Raises:
        ValueError: prices are not known for long enough.
    """
    at, config, policy = view.at, context.config, context.policy
    until_at = min(prices[-1].until_at if prices else at, at + HORIZON)
    if until_at - at < LEAST_HORIZON:
        known = until_at.isoformat(timespec="minutes")
        raise ValueError(f"prices are known until {known}, {LEAST_HORIZON} ahead are needed")
    horizon_h = (until_at - at).total_seconds() / 3600
    starts = slot_starts(at, horizon_h, [part.until_at for part in prices])
    price, hours = prices_of(starts, prices), lengths_h(starts)
    zone, events, grid_kw = config.station.zone, config.site.demand_response, config.site.grid_limit_kw
    ordered = [limit_at(events, start, zone)[0] for start in starts[:-1]]
    chargers_kw = sum(bay.max_charge_kw for bay in view.bays)
    site = Site(
        price,
        np.full(len(hours), view.limits.base_load_kw),
        np.zeros(len(hours)),  # the sun of tomorrow is not known: what it gives is more than planned
        np.array([grid_kw if kw is None else min(grid_kw, kw) for kw in ordered]),
        chargers_kw=chargers_kw if policy.max_power_kw is None else min(chargers_kw, policy.max_power_kw),
    )
    efficiency = view.limits.charger_efficiency
    worth = Worth(float(np.average(price, weights=hours)) / efficiency, efficiency, policy.min_setpoint_kw)
    rates = _rates(per_h, at, horizon_h, config.station.zone)
    trucks = _trucks(context, view, rates, horizon_h)
    visits = visits_of(_packs(context, view), trucks, horizon_h, worth)
    problem = ChargeProblem(at, hours, site, visits.stores)
    return PlanTask(problem, tuple(_need(context, rates, float(start_h)) for start_h in problem.starts_h))


def _need(context: StationContext, rates: Rates, at_h: float) -> dict[str, int]:
    """Packs of each kind below which nothing is held back: never fewer than the price rule keeps."""
    beyond = stock_beyond_mean(rates, at_h, EVERY.total_seconds() / 3600, SERVICE_LEVEL)
    return dict.fromkeys(context.specs, max(beyond, context.policy.reserve_ready))


def _rates(per_h: Sequence[float], at: datetime, horizon_h: float, zone: tzinfo) -> Rates:
    quarters = [at + timedelta(minutes=15 * n + 7.5) for n in range(int(4 * horizon_h) + 4)]
    return Rates([per_h[quarter.astimezone(zone).hour] for quarter in quarters], 0.25)


@lru_cache(maxsize=256)
def _law(curve: Curve, power_kw: float) -> ChargeAhead:
    """One law for all packs that follow it: the program is built law by law."""
    return ChargeAhead(curve, power_kw)


def _ahead(
    context: StationContext, name: str, kind: str, soh_pct: float, kwh: float | None, from_h: float
) -> PackAhead:
    spec, policy = context.specs[kind], context.policy
    curve = curve_of(spec, soh_pct)
    law = _law(curve, max(bay.charger_kw for bay in context.config.bays))
    return PackAhead(
        name,
        kind,
        SPENT_SOC_PCT / 100 * curve.capacity_kwh if kwh is None else kwh,
        policy.offer_soc_pct / 100 * curve.capacity_kwh,
        policy.target_soc_pct / 100 * curve.capacity_kwh,
        law.power_kw,
        curve.efficiency,
        law,
        from_h,
    )


def _packs(context: StationContext, view: StationView) -> list[PackAhead]:
    """Packs in bays that may be charged, now or when they have cooled."""
    found = []
    rows: list[BayRow] = rows_of(view, context.specs).bays
    for row in rows:
        claim(row, context.policy)
        pack = row.pack
        if pack is None or row.limited_by not in _CHARGEABLE or pack.kind.name not in context.specs:
            continue
        kwh = pack.energy_kwh if pack.energy_kwh >= 0 else pack.soc_pct / 100 * pack.rated_kwh * pack.soh_pct / 100
        from_h = COOL_H if row.limited_by in (Limit.TOO_HOT, Limit.TOO_COLD) else 0.0
        found.append(_ahead(context, row.bay_id, pack.kind.name, pack.soh_pct, kwh, from_h))
    return found


def _trucks(context: StationContext, view: StationView, rates: Rates, horizon_h: float) -> list[TruckAhead]:
    """Trucks that wait, those that have booked, and those expected beside them."""
    known = [(entry, 0.0) for entry in view.queue]
    for entry in view.promised:
        begins_at = entry.booked_from_at or view.at
        known.append((entry, max((begins_at - view.at).total_seconds() / 3600, 0.0)))
    found = []
    for entry, at_h in known:
        kinds = tuple(sorted(kind for kind in entry.accepts if kind in context.specs))
        if not kinds:
            continue
        leaves = tuple(
            _ahead(context, f"{entry.swap_id}.{seat}", kinds[0], 100.0, None, at_h + SWAP_H)
            for seat in range(entry.packs_needed)
        )
        found.append(TruckAhead(entry.swap_id, at_h, kinds, leaves, Tier.PROMISED))
    model = context.config.vehicle_models[0]
    mean_h = expected_at_h(rates, horizon_h)[len(view.promised) :]  # those that have booked are among the expected
    for number, at_h in enumerate(mean_h):
        beyond = stock_beyond_mean(rates, at_h, COVER_H, SERVICE_LEVEL)
        needed_h = mean_h[number - beyond] if number >= beyond else 0.0
        leaves = tuple(
            _ahead(context, f"E{number}.{seat}", model.pack_kinds[0], 100.0, None, at_h + SWAP_H)
            for seat in range(model.packs_per_vehicle)
        )
        found.append(TruckAhead(f"E{number}", needed_h, tuple(model.pack_kinds), leaves))
    return found
