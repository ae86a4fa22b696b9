"""One lane, live: read the cell, take one step of its swap, store it, then carry out its effects.

Looking and acting are apart: while a step waits for its commit, the cell is looked at as before, and held where the
swap would be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime

from sqlmodel import select
from structlog.contextvars import bound_contextvars

from robotics.config import LaneSection
from robotics.port import (
    CellState,
    CellStatus,
    ControlMode,
    LinkLost,
    Refused,
    ResultCode,
    RunMode,
    Signal,
    SwapRobot,
)
from scheduler.types import Dispatch, PackState
from swap.messages.events import SwapDispatched, SwapHeld
from swap.station.cell_watch import CellWatch
from swap.station.context import StationContext
from swap.station.inventory import reserve_packs
from swap.station.lane_journal import LaneJournal
from swap.station.records import ended_on_record, load_session, next_seq, qualified, store_session, table_for
from swap.station.sequence.permissives import BayFact, CellFacts, SeatPlan, tripped
from swap.station.sequence.recipe import TERMINAL, Check, StepTable
from swap.station.sequence.sequencer import MOVING_MODES, begin, in_flight, interrupted, step
from swap.station.sequence.session import (
    STATION_REASONS,
    Acknowledge,
    Decision,
    Effect,
    HoldReason,
    HoldRobot,
    Phase,
    Send,
    Session,
    StationHold,
    StepDone,
    StepFacts,
)
from swap.station_db import StationDb as Db
from swap.tables import Bay, Pack, Station, Swap, SwapSeat, VehicleRow

log = logging.getLogger(__name__)

POWER_OFF_KW = 0.5
"""A charger below this gives nothing: the pack may be picked."""
MEANWHILE_S = 0.3
"""Real seconds of a step after which the looks themselves hold the cell."""


class LaneRunner:
    """Drives the swap in one lane. `look()` is called at the cell's poll period, `act()` takes one step after it.

    Args:
        hold_station: called with a reason when the whole station must be held.
    """

    def __init__(
        self,
        context: StationContext,
        lane: LaneSection,
        robot: SwapRobot,
        hold_station: Callable[[str], Awaitable[object]],
    ) -> None:
        self.context = context
        self.lane = lane
        self.robot = robot
        self._hold_station = hold_station
        self.journal = LaneJournal(context, lane.id)
        self.watch = CellWatch(context, lane, robot, hold_station)
        self.session: Session | None = None
        self.table: StepTable | None = None
        self._last_sent_at: datetime | None = None
        self._since_at = context.clock.now()
        self._heard = False
        """The cell has been heard, with a heartbeat that moves, since this controller began."""
        self._stop_hold = False
        """The cell may still be held from the clean stop of the last controller."""
        self._turn = asyncio.Lock()
        """Steps, decisions and reloads of this lane come one after the other."""
        self._step_at: datetime | None = None
        """When the step under way began."""
        self._held_meanwhile = ""
        """Why the cell was held during a step; the station is held for it afterwards."""
        self._epoch: int | None = None
        """Epoch of the cell that the swap goes by; None until the cell is this controller's."""

    @property
    def lane_key(self) -> str:
        """Database key of the lane."""
        return qualified(self.context.station_id, self.lane.id)

    async def load(self, *, restarted: bool) -> Session | None:
        """Take up the open swap of this lane from the database; after an unclean end it is held."""
        async with self._turn:
            await self.watch.load()
            session, self.table, last_seq = await self.context.write(lambda db: self._load(db, restarted))
            self.context.last_seq[self.lane.id] = last_seq
            self.session, self._last_sent_at, self._held_meanwhile, self._epoch = session, None, "", None
            self._keep_off()
            return session

    def _load(self, db: Db, restarted: bool) -> tuple[Session | None, StepTable | None, int]:
        station = db.get_one(Station, self.context.station_id)
        last_seq = station.last_seq_by_lane.get(self.lane.id, 0)
        swap = db.exec(select(Swap).where(Swap.open_lane_id == self.lane_key)).first()
        if swap is None:
            return None, None, last_seq
        session = load_session(db, swap)
        if restarted and session.phase is not Phase.HELD:
            session = interrupted(session)
            store_session(db, session)
            self.journal.event(db, SwapHeld(reason=HoldReason.RESTART.value), swap.id)
        return session, table_for(self.context.config, self.lane.id, swap.pack_count), last_seq

    def _keep_off(self) -> None:
        """Name the bays that are not to be charged, since the swap is on its way back and picks from them."""
        session, table = self.session, self.table
        bays: set[str] = set()
        under_way = session is not None and session.state not in TERMINAL
        if session is not None and table is not None and under_way and table.by_state[session.state].unwinding:
            keys = {key for plan in session.seats for key in (plan.old_bay, plan.new_bay) if key is not None}
            bays = {key.split(":", 1)[1] for key in keys}
        self.context.kept_off[self.lane.id] = frozenset(bays)

    @property
    def waits_for_decision(self) -> bool:
        """The swap is held for a reason of its own; confirming the station does not end that."""
        session = self.session
        return session is not None and session.phase is Phase.HELD and session.hold_reason not in STATION_REASONS

    @property
    def at_work(self) -> bool:
        """A swap runs here, or a reset or a homing is with the cell."""
        return self.watch.busy or (self.session is not None and self.session.phase is not Phase.HELD)

    def in_flight(self, cell: CellStatus) -> bool:
        """A command of the swap, a reset or a homing is with the cell, or on its way there."""
        return self.watch.busy or (self.session is not None and in_flight(self.session, cell, self._last_sent_at))

    def go_on(self) -> None:
        """After a clean stop: the cell's hold of that stop is to be withdrawn as soon as the cell answers."""
        self._stop_hold = True

    async def _withdraw_stop_hold(self, cell: CellStatus) -> None:
        """Withdraw the hold of a clean stop, unless something else holds the lane.

        A motion that the PLC has paused stays paused; its step then runs into its time limit and asks for a
        person.
        """
        paused = cell.state is CellState.PAUSED and cell.active_seq != 0
        held = self.session is not None and self.session.phase is Phase.HELD
        if self.context.mode in MOVING_MODES and not paused and not held:
            try:
                await self.robot.resume(cell.epoch)
            except (LinkLost, Refused) as error:
                log.warning("lane %s: the hold of the last stop is not withdrawn: %s", self.lane.id, error)
                return
        self._stop_hold = False

    async def cycle(self) -> None:
        """Read the cell and take one step."""
        await self.look()
        await self.act()

    async def look(self) -> None:
        """Read the cell. While a step waits, hold the cell at once where the swap would be held."""
        with self._about():
            await self._look()

    def _about(self) -> AbstractContextManager[None]:
        """What is logged inside names its lane, and its swap where there is one."""
        swap = {} if self.session is None else {"swap": self.session.swap_id}
        return bound_contextvars(lane=self.lane.id, **swap)

    async def _look(self) -> None:
        cell = await self.robot.status()
        self.context.cells[self.lane.id] = cell
        waited_s = self.context.clock.age_s(self._step_at)
        if waited_s is not None and waited_s > MEANWHILE_S and not self._held_meanwhile:
            await self._hold_meanwhile(cell)

    async def _hold_meanwhile(self, cell: CellStatus) -> None:
        session, table = self.session, self.table
        if session is None or table is None or session.phase not in (Phase.SENT, Phase.CONFIRMING):
            return
        held, _ = step(table, session, self._facts(self.cell_facts(cell), {}, None))
        if held.phase is Phase.HELD and held.hold_reason is not None:
            self._held_meanwhile = held.hold_reason.value
            await self.robot.hold(held.hold_reason.value)

    async def act(self) -> None:
        """Take one step on the newest look, with all that it stores and sends."""
        async with self._turn:
            self._step_at = self.context.clock.now()
            try:
                with self._about():
                    await self._act()
            finally:
                self._step_at = None

    async def _act(self) -> None:
        cell = self.context.cells[self.lane.id]
        facts = self.cell_facts(cell)
        self._follow(cell)
        if not self._heard:
            self._heard = facts.fresh
            since_s = self.context.clock.age_s(self._since_at) or 0.0
            if not self._heard and since_s <= self.lane.cell.heartbeat_lost_s:
                return  # the link is only just being made; that is no loss
        if self._held_meanwhile:
            reason, self._held_meanwhile = self._held_meanwhile, ""
            if self.session is None or self.session.phase is not Phase.HELD:
                await self._hold_station(reason)
        if self._stop_hold and facts.fresh:
            await self._withdraw_stop_hold(cell)
        if facts.signal(Signal.SMOKE_OK) is False:
            await self._hold_station(Signal.SMOKE_OK.value)
        await self.watch.look(cell, facts)
        session = self.session
        idle = session is None or (session.phase is Phase.PENDING and session.seq is None)
        waits_for_home = session is not None and idle and session.refused == (Signal.AT_HOME.value,)
        away = waits_for_home and facts.signal(Signal.AT_HOME) is False
        try:
            waiting = await self.watch.work(cell, facts, idle=idle, away=away)
        except (LinkLost, Refused) as error:
            log.warning("lane %s: %s", self.lane.id, error)
            waiting = True
        if session is not None:
            # What was stored above may have taken its time: the step goes by the newest look.
            now = await self.step_facts(self.cell_facts(self.context.cells[self.lane.id]), None)
            if not waiting or self._would_hold(now):
                await self._take(now)
        signal = tripped(facts)
        if signal is not None:  # after the step, so that the swap names the trip as the reason of its hold
            await self._hold_station(signal.value)

    def _would_hold(self, facts: StepFacts) -> bool:
        """Whether the next step holds the swap: that never waits for a reset or a homing to end."""
        assert self.session is not None
        assert self.table is not None
        return self.session.phase is not Phase.HELD and step(self.table, self.session, facts)[0].phase is Phase.HELD

    async def decide(self, decision: Decision) -> bool:
        """Apply a person's decision to the held swap; False when it is not allowed as things stand.

        The cell's hold is withdrawn only for a decision that is allowed, and only where the station may move: a
        paused motion goes on with it. The way back may be chosen while the station is held; it begins when a
        person confirms the station.

        Raises:
            LinkLost, Refused: the cell did not take the withdrawal of its hold; the swap stays held.
        """
        async with self._turn:
            if self.session is None or self.table is None or self.session.phase is not Phase.HELD:
                return False
            cell = await self.robot.status()
            self.context.cells[self.lane.id] = cell
            facts = await self.step_facts(self.cell_facts(cell), decision)
            if step(self.table, self.session, facts)[0] is self.session:
                return False
            if self.context.mode in MOVING_MODES:
                await self.robot.resume(cell.epoch)
                self.watch.home_by = decision.by
            if self.context.owner_token in (None, cell.owner):
                self._go_by(cell)
            elif cell.owner == 0:
                self._epoch = None  # the cell has let its owner go: the grant that follows belongs to this decision
            return await self._take(facts)

    def _follow(self, cell: CellStatus) -> None:
        """Go by the cell's present epoch while nothing is under way that it could interrupt."""
        ours = self.context.owner_token in (None, cell.owner)
        waits = self.session is None or self.session.phase is Phase.HELD
        if ours and (waits or self._epoch is None):
            self._go_by(cell)

    def _go_by(self, cell: CellStatus) -> None:
        if self._epoch != cell.epoch:
            self._epoch = cell.epoch
            self._last_sent_at = None  # what was sent in an earlier epoch is on its way no more

    async def _take(self, facts: StepFacts) -> bool:
        assert self.session is not None
        assert self.table is not None
        before = self.session
        after, effects = step(self.table, before, facts)
        if after is before and not effects:
            return False

        def store(db: Db) -> None:
            if after != before:
                store_session(db, after)
            for effect in effects:
                self.journal.effect(db, before, after, effect, facts)
                if isinstance(effect, StepDone):
                    self.watch.step_done(db, facts.now)

        await self.context.write(store)
        self.session = None if after.state in TERMINAL else after
        for effect in effects:
            if isinstance(effect, Send) and not effect.repeated:
                self.context.last_seq[self.lane.id] = effect.command.seq
        self._keep_off()
        for effect in effects:
            await self._carry_out(effect, facts)
        return True

    def cell_facts(self, cell: CellStatus) -> CellFacts:
        """The cell with the ages of its blocks and what is known of the bays of this swap."""
        clock = self.context.clock
        bays: dict[int, BayFact] = {}
        if self.session is not None:
            for plan in self.session.seats:
                for key, position, pack_id in (
                    (plan.old_bay, plan.old_position, plan.old_pack_id),
                    (plan.new_bay, plan.new_position, plan.new_pack_id),
                ):
                    if key is not None:
                        bays[position] = self._bay_fact(key.split(":", 1)[1], position, pack_id, cell)
        return CellFacts(
            cell=cell,
            fast_age_s=clock.age_s(cell.fast_at),
            slow_age_s=clock.age_s(cell.slow_at),
            max_age_s=self.lane.cell.max_age_s,
            bays=bays,
        )

    def _bay_fact(self, name: str, position: int, pack_id: str | None, cell: CellStatus) -> BayFact:
        occupied = cell.bays_occupied[position - 1] if position <= len(cell.bays_occupied) else None
        uncharged = self.context.config.bay(name).charger_kw <= 0.0
        reading = self.context.readings.get(name)
        if reading is None or not self.context.reading_fresh(name):
            return BayFact(occupied, power_off=uncharged or None)
        off = uncharged or (None if reading.charge_kw is None else reading.charge_kw < POWER_OFF_KW)
        safe = (
            reading.pack_id == pack_id
            and reading.alarm_level < 2
            and reading.temp_max_c is not None
            and reading.temp_max_c <= self.context.policy.charge_temp_max_c
            and off is True
        )
        age_s = self.context.reading_age_s(name)
        return BayFact(occupied, reading.pack_id, safe, power_off=off, reading_age_s=age_s)

    async def step_facts(self, facts: CellFacts, decision: Decision | None) -> StepFacts:
        """Everything one step may know."""
        known = await self._result_known(facts.cell)
        return self._facts(facts, await self._checks(facts), decision, result_known=known)

    def _facts(
        self,
        facts: CellFacts,
        checks: Mapping[Check, bool | None],
        decision: Decision | None,
        *,
        result_known: bool = True,
    ) -> StepFacts:
        context = self.context
        return StepFacts(
            now=context.clock.now(),
            cell=facts,
            mode=context.mode,
            next_seq=self._next_seq(facts.cell),
            speed=context.clock.speed,
            link_lost_s=self.lane.cell.heartbeat_lost_s,
            checks=checks,
            decision=decision,
            last_sent_at=self._last_sent_at,
            cell_changed=self._epoch not in (None, facts.cell.epoch),
            result_known=result_known,
            hot_load=self.lane.id in context.hot_loads,
        )

    async def _result_known(self, cell: CellStatus) -> bool:
        """The end of the command whose result the cell shows is on record; True where it shows none."""
        waits = self.session is not None and self.session.phase is Phase.PENDING
        if not waits or cell.result is ResultCode.NONE or cell.active_seq != 0:
            return True
        lane_key, seq = self.lane_key, cell.done_seq
        return await self.context.read(lambda db: ended_on_record(db, lane_key, seq))

    def _next_seq(self, cell: CellStatus) -> int:
        stored = self.context.last_seq.get(self.lane.id, 0)
        return next_seq(stored, *cell.numbers)

    async def _checks(self, facts: CellFacts) -> Mapping[Check, bool | None]:
        session, table = self.session, self.table
        if session is None or table is None or session.state in TERMINAL or not table.by_state[session.state].checks:
            return {}
        signal, cell = facts.signal, facts.cell
        secured = [
            signal(s)
            for s in (
                Signal.SEAT_1_OCCUPIED,
                *((Signal.SEAT_2_OCCUPIED,) if table.pack_count > 1 else ()),
                Signal.HANDBRAKE_ON,
                Signal.GEAR_NEUTRAL,
                Signal.KEY_OFF,
                Signal.HV_OFF,
            )
        ]
        result: dict[Check, bool | None] = {
            Check.AUTHORISED: None if cell.vehicle_tag == 0 else cell.vehicle_tag == session.vehicle_tag,
            Check.VEHICLE_LINK: signal(Signal.VEHICLE_LINK),
            Check.POSITION: signal(Signal.VEHICLE_IN_POSITION),
            Check.OLD_PACK: False if False in secured else None if None in secured else True,
            Check.ROBOT_READY: cell.state in (CellState.FREE, CellState.READY)
            and cell.control_mode is ControlMode.ONLINE
            and cell.run_mode is RunMode.AUTO
            and signal(Signal.GRIPPER_LOADED) is False,
        }
        return result | await self.context.read(lambda db: self._record_checks(db, session, facts))

    def _record_checks(self, db: Db, session: Session, facts: CellFacts) -> dict[Check, bool | None]:
        seats = session.seats
        swap = db.get_one(Swap, session.swap_id)
        vehicle = db.get_one(VehicleRow, swap.vehicle_id)
        kinds = self.context.config.vehicle_model(vehicle.model).pack_kinds
        old = [db.get(Pack, plan.old_pack_id) if plan.old_pack_id else None for plan in seats]
        new = [db.get(Pack, plan.new_pack_id) if plan.new_pack_id else None for plan in seats]
        facts_new = [facts.bays.get(plan.new_position) for plan in seats]
        return {
            Check.RECORD: all(p is not None and p.vehicle_id == swap.vehicle_id for p in old),
            Check.PACK_AVAILABLE: all(p is not None and p.state == PackState.RESERVED for p in new),
            Check.NEW_PACK_ACCEPTED: all(p is not None and p.kind in kinds for p in new),
            Check.NEW_PACK_POWER_OFF: None
            if any(f is None or f.pack_safe is None for f in facts_new)
            else all(f is not None and f.pack_safe for f in facts_new),
        }

    def dispatch(self, db: Db, chosen: Dispatch) -> tuple[Session, StepTable]:
        """Give a queued swap this lane, its packs and its bays; call inside a transaction, then `take_up`."""
        context, now = self.context, self.context.clock.now()
        swap = db.get_one(Swap, chosen.swap_id)
        vehicle = db.get_one(VehicleRow, swap.vehicle_id)
        table = table_for(context.config, self.lane.id, len(chosen.packs.pack_ids))
        plans = []
        for index, pack_id in enumerate(chosen.packs.pack_ids):
            seat = db.get(SwapSeat, (swap.id, index + 1)) or SwapSeat(swap_id=swap.id, seat=index + 1)
            old = db.exec(select(Pack).where(Pack.vehicle_id == swap.vehicle_id, Pack.seat == index + 1)).first()
            seat.old_pack_id = old.id if old else None
            seat.last_settled_soe_kwh = old.settled_soe_kwh if old else None
            seat.new_pack_id = pack_id
            seat.old_bay_id = context.bay_key(chosen.empty_bay_ids[index])
            seat.new_bay_id = context.bay_key(chosen.packs.bay_ids[index])
            db.add(seat)
            plans.append(
                SeatPlan(
                    index + 1,
                    seat.old_pack_id,
                    pack_id,
                    seat.old_bay_id,
                    db.get_one(Bay, seat.old_bay_id).position,
                    seat.new_bay_id,
                    db.get_one(Bay, seat.new_bay_id).position,
                )
            )
        session = begin(table, swap.id, vehicle.tag, tuple(plans), now)
        swap.lane_id, swap.open_lane_id = self.lane.id, self.lane_key
        swap.recipe, swap.pack_count, swap.dispatched_at = table.recipe, len(plans), now
        db.add(swap)
        db.flush()
        reserve_packs(db, station_id=context.station_id, pack_ids=chosen.packs.pack_ids, at=now)
        store_session(db, session)
        self.journal.event(
            db,
            SwapDispatched(
                state=session.state,
                swap_order=table.swap_order,
                packs=chosen.packs.pack_ids,
                from_bays=chosen.packs.bay_ids,
                to_bays=chosen.empty_bay_ids,
            ),
            swap.id,
        )
        return session, table

    def take_up(self, session: Session, table: StepTable) -> None:
        """The dispatch is stored: the swap is in this lane."""
        self.session, self.table, self._last_sent_at = session, table, None

    async def _carry_out(self, effect: Effect, facts: StepFacts) -> None:
        try:
            if isinstance(effect, Send):
                if not self._may_leave(facts):
                    log.info("lane %s: command %d stays here, too late or held", self.lane.id, effect.command.seq)
                    return
                self._last_sent_at = facts.now
                await self.robot.send(effect.command, facts.cell.cell.epoch)
            elif isinstance(effect, Acknowledge):
                await self.robot.acknowledge(effect.seq, facts.cell.cell.epoch)
        except LinkLost as error:
            # The number is stored: the next steps read whether it arrived, and send it again if not.
            log.warning("lane %s: %s", self.lane.id, error)
        except Refused as error:
            log.error("lane %s: %s", self.lane.id, error)
        if isinstance(effect, HoldRobot):
            await self.robot.hold(effect.reason)
        elif isinstance(effect, StationHold):
            await self._hold_station(effect.reason)

    def _may_leave(self, facts: StepFacts) -> bool:
        """After its commit a command leaves only if nothing was held meanwhile and its facts are fresh still.

        What stays is stored as sent: the next step sends the number again when its permissives allow it.
        """
        age_s = self.context.clock.age_s(facts.cell.cell.fast_at)
        return self.context.may_move() and age_s is not None and age_s <= self.lane.cell.max_age_s
