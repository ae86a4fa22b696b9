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
from functools import cache

from sqlmodel import select
from structlog.contextvars import bound_contextvars

from robotics.config import LaneSection
from robotics.port import (
    SEAT_OCCUPIED,
    CellState,
    CellStatus,
    ControlMode,
    DriverSign,
    LinkLost,
    Refused,
    ResultCode,
    RunMode,
    Signal,
    SwapRobot,
)
from scheduler.types import Dispatch, PackState, StationMode
from swap.config.station_file import SecuredSection
from swap.messages.events import SwapHeld
from swap.station.cell_watch import CellWatch
from swap.station.context import StationContext
from swap.station.lane_journal import BayTaken, LaneJournal
from swap.station.life.coming_back import Return, person_needed
from swap.station.life.ownership import Ownership
from swap.station.power.view import quarantine_bay
from swap.station.records import (
    ended_on_record,
    load_session,
    next_seq,
    qualified,
    store_session,
    table_for,
    take_result,
)
from swap.station.sequence.incoming import QuarantineBay, goes_to_quarantine
from swap.station.sequence.permissives import BayFact, CellFacts, tripped
from swap.station.sequence.recipe import TERMINAL, Check, StepTable
from swap.station.sequence.secured import STRICT, SecuredNeeds, VehiclePhase, to_home
from swap.station.sequence.sequencer import MOVING_MODES, in_flight, interrupted, plan_of, step, unfit_pack
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
from swap.station.sequence.signs import in_swap_mode, packs_told, sign_for
from swap.station_db import StationDb as Db
from swap.tables import Pack, Station, Swap, VehicleRow

log = logging.getLogger(__name__)

_RESULT_TAKEN_IN = frozenset({*MOVING_MODES, StationMode.HELD, StationMode.MANUAL})
"""Modes in which a lane deals with a result that no swap waits for; in the others the evacuation has the cell."""
MEANWHILE_S = 0.3
"""Real seconds of a step after which the looks themselves hold the cell."""


@cache
def _needs_of(section: SecuredSection) -> SecuredNeeds:
    return SecuredNeeds(**{phase.value: getattr(section, phase.value) for phase in VehiclePhase})


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
        self._turn = asyncio.Lock()
        """Steps, decisions and reloads of this lane come one after the other."""
        self._step_at: datetime | None = None
        """When the step under way began."""
        self._held_meanwhile = ""
        """Why the cell was held during a step; the station is held for it afterwards."""
        self.own = Ownership()
        self._told: tuple[str, Mapping[int, str]] | None = None
        """Swap, and the codes of packs by seat that its vehicle has been told, as journalled."""

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
            self.session, self._last_sent_at, self._held_meanwhile, self.own.epoch = session, None, "", None
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
            self.journal.event(db, SwapHeld(reason=HoldReason.RESTART.value), swap.id, self.context.clock.now())
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

    @property
    def past_admitting(self) -> bool:
        """The robot may have moved for a swap here, or moves for a homing."""
        session, table = self.session, self.table
        moved = session is not None and table is not None and session.state != table.first_state
        return moved or self.watch.busy

    def go_on(self, until_at: datetime) -> None:
        """After a planned stop: the cell's hold of that stop is to be withdrawn as soon as the cell answers.

        Args:
            until_at: end of the permission; later a person is asked.
        """
        self.own.let_go_until_at = until_at

    async def _withdraw_stop_hold(self, cell: CellStatus, until_at: datetime) -> None:
        """Withdraw the hold of a planned stop, unless something else holds the lane.

        A motion that the PLC has paused stays paused; its step then runs into its time limit and asks for a
        person.
        """
        paused = cell.state is CellState.PAUSED and cell.active_seq != 0
        held = self.session is not None and self.session.phase is Phase.HELD
        late = self.context.clock.now() > until_at
        if self.context.mode in MOVING_MODES and not paused and not held and not late:
            if self.own.epoch is None and self.context.owner_token not in (None, cell.owner):
                return  # it has not taken the claim yet
            try:
                await self.release(cell.epoch)
            except LinkLost as error:
                log.warning("lane %s: the hold of the last stop is not withdrawn yet: %s", self.lane.id, error)
                return
            except Refused as error:  # something has happened there: a person is asked
                log.warning("lane %s: the hold of the last stop is not withdrawn: %s", self.lane.id, error)
        self.own.let_go_until_at = None

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
        if self.own.new_dangers(facts):
            self.context.lost_at = self.context.clock.now()
        if not self._heard:
            self._heard = facts.fresh
            since_s = self.context.clock.age_s(self._since_at) or 0.0
            if not self._heard and since_s <= self.lane.cell.heartbeat_lost_s:
                return  # the link is only just being made; that is no loss
        if self._held_meanwhile:
            reason, self._held_meanwhile = self._held_meanwhile, ""
            if self.session is None or self.session.phase is not Phase.HELD:
                await self._hold_station(reason)
        if self.own.let_go_until_at is not None and facts.fresh:
            await self._withdraw_stop_hold(cell, self.own.let_go_until_at)
            facts = self.cell_facts(self.context.cells[self.lane.id])
        await self._ask_for_person(facts)
        if facts.signal(Signal.SMOKE_OK) is False:
            await self._hold_station(Signal.SMOKE_OK.value)
        await self.watch.look(cell, facts)
        session = self.session
        unclaimed = session is None and facts.fresh and await self._held_result(cell)
        idle = session is None or (session.phase is Phase.PENDING and session.seq is None)
        waits_for_home = session is not None and idle and session.refused == (Signal.AT_HOME.value,)
        away = waits_for_home and facts.signal(Signal.AT_HOME) is False
        try:
            waiting = unclaimed or await self.watch.work(
                cell, facts, idle=idle, away=away, secured=self._may_home(facts)
            )
        except (LinkLost, Refused) as error:
            log.warning("lane %s: %s", self.lane.id, error)
            waiting = True
        if session is not None:
            # What was stored above may have taken its time: the step goes by the newest look.
            now = await self.step_facts(self.cell_facts(self.context.cells[self.lane.id]), None)
            if not waiting or self._would_hold(now):
                await self._take(now)
        await self._show()
        signal = tripped(facts)
        if signal is not None:  # after the step, so that the swap names the trip as the reason of its hold
            await self._hold_station(signal.value)

    async def _show(self) -> None:
        """Tell the driver and his vehicle, by the newest look, what the swap asks of them."""
        session, table = self.session, self.table
        if session is None or table is None or session.state in TERMINAL:
            await self.robot.show(DriverSign.NONE, swap_mode=False)
            return
        facts = self.cell_facts(self.context.cells[self.lane.id])
        sign = sign_for(table, session, self._needs(), facts)
        packs, swap_id = packs_told(table, session), session.swap_id
        told = await self.robot.show(sign, swap_mode=in_swap_mode(table, session), packs=packs)
        if told and self._told != (swap_id, packs):
            await self.context.write(lambda db: self.journal.told(db, swap_id, packs))
            self._told = swap_id, packs

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
                await self.release(cell.epoch)
                self.watch.home_by = decision.by
            self.decided_on(cell)
            return await self._take(facts)

    async def release(self, epoch: int | None) -> None:
        """Withdraw the cell's hold, by what a person or a permission has decided on, and look at it again.

        Raises:
            LinkLost, Refused: the cell did not take it.
        """
        await self.robot.resume(epoch)
        self.context.cells[self.lane.id] = await self.robot.status()

    def decided_on(self, cell: CellStatus) -> None:
        """A person has decided on this look of the cell."""
        if self.own.decided_on(cell, self.context.owner_token):
            self._last_sent_at = None

    async def _ask_for_person(self, facts: CellFacts) -> None:
        """Hold the station where the cell has changed with nothing under way, or shows a hold that nobody knows of;
        then go by the cell's present epoch, while nothing is under way that it could interrupt."""
        context, cell, session = self.context, facts.cell, self.session
        held = session is not None and session.phase is Phase.HELD
        if facts.fresh and context.mode in MOVING_MODES:
            if session is None and self.own.changed(cell, context.owner_token):
                context.lost_at = context.clock.now()
                await self._hold_station(HoldReason.CELL_CHANGED.value)
            known = held or self.own.let_go_until_at is not None
            holding = (self.lane.id,) if cell.hold and not known else ()
            cause = person_needed(Return(context.clock.now(), holding=holding))
            if cause is not None:
                await self._hold_station(cause.value)
        waits = session is None or held
        if (waits or self.own.epoch is None) and self.own.go_by(cell, context.owner_token):
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
                elif isinstance(effect, Acknowledge) and not facts.result_known:
                    cell, station_id = facts.cell.cell, self.context.station_id
                    take_result(
                        db, station_id=station_id, lane_id=self.lane.id, cell=cell, at=facts.now, actor="controller"
                    )

        try:
            await self.context.write(store)
        except BayTaken as error:  # by another lane, since this one looked: the next look finds another one, or none
            log.info("lane %s: bay %s is taken", self.lane.id, error)
            return False
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
                        bays[position] = self.context.bay_fact(key.split(":", 1)[1], position, pack_id, cell)
        return CellFacts(
            cell=cell,
            fast_age_s=clock.age_s(cell.fast_at),
            slow_age_s=clock.age_s(cell.slow_at),
            max_age_s=self.lane.cell.max_age_s,
            bays=bays,
            beat_age_s=clock.age_s(cell.beat_at),
        )

    async def step_facts(self, facts: CellFacts, decision: Decision | None) -> StepFacts:
        """Everything one step may know."""
        known = await self._result_known(facts.cell)
        bay = await self._quarantine_bay(facts)
        return self._facts(facts, await self._checks(facts), decision, result_known=known, quarantine_bay=bay)

    def _facts(
        self,
        facts: CellFacts,
        checks: Mapping[Check, bool | None],
        decision: Decision | None,
        *,
        result_known: bool = True,
        quarantine_bay: QuarantineBay | None = None,
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
            cell_changed=self.own.changed(facts.cell, self.context.owner_token),
            result_known=result_known,
            needs=self._needs(),
            hot_c=self._hot_c(),
            hot_load=self.lane.id in context.hot_loads,
            quarantined_for=context.config.operation.incoming.quarantined_for,
            quarantine_bay=quarantine_bay,
        )

    async def _quarantine_bay(self, facts: CellFacts) -> QuarantineBay | None:
        """A free quarantine bay for the pack whose heads are about to be opened; None where it needs none."""
        session, table, rules = self.session, self.table, self.context.config.operation.incoming.quarantined_for
        row = None if session is None or table is None else table.by_state.get(session.state)
        if session is None or row is None or plan_of(session, row).quarantine:
            return None
        unfit = goes_to_quarantine(unfit_pack(session, row, facts, self._hot_c()), rules)
        return await self._free_quarantine_bay(plan_of(session, row).old_pack_id) if unfit else None

    async def _free_quarantine_bay(self, pack_id: str | None) -> QuarantineBay | None:
        still, lane_id = self.context.still(), self.lane.id
        return await self.context.read(lambda db: quarantine_bay(still, db, lane_id, pack_id))

    async def _held_result(self, cell: CellStatus) -> bool:
        """The cell shows a result that no swap waits for."""
        if cell.result is ResultCode.NONE or cell.active_seq != 0 or self.context.mode not in _RESULT_TAKEN_IN:
            return False
        try:
            return await self.watch.held_result(cell, known=await self._on_record(cell))
        except (LinkLost, Refused) as error:
            log.warning("lane %s: %s", self.lane.id, error)
            return True

    def _needs(self) -> SecuredNeeds:
        """What the vehicle's model asks while it is worked on; of a model that the file no longer has, everything."""
        model = "" if self.session is None else self.session.vehicle_model
        found = next((item.secured for item in self.context.config.vehicle_models if item.id == model), None)
        return STRICT if found is None else _needs_of(found)

    def _hot_c(self) -> float:
        """The lowest limit (level 2) of the packs that the vehicle's model may carry."""
        model = "" if self.session is None else self.session.vehicle_model
        carried = {kind for item in self.context.config.vehicle_models if item.id == model for kind in item.pack_kinds}
        limits = [limit for kind, limit in self.context.limits.items() if kind in carried or not carried]
        return min(limit.temp_high_c[1] for limit in limits)

    def _may_home(self, facts: CellFacts) -> bool:
        """Whether the vehicle stands so that the robot may go home outside of the rows."""
        session, table = self.session, self.table
        row = None if session is None or table is None else table.by_state.get(session.state)
        if session is None or table is None or row is None:
            return True
        return not to_home(table, row, self._needs(), facts, opened=session.opened)

    async def _result_known(self, cell: CellStatus) -> bool:
        """The end of the command whose result the cell shows is on record; True where it shows none."""
        waits = self.session is not None and self.session.phase is Phase.PENDING
        if not waits or cell.result is ResultCode.NONE or cell.active_seq != 0:
            return True
        return await self._on_record(cell)

    async def _on_record(self, cell: CellStatus) -> bool:
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
                *(SEAT_OCCUPIED[plan.seat] for plan in session.seats),
                *self._needs().exchange,
            )
        ]
        result: dict[Check, bool | None] = {
            Check.VEHICLE_LINK: signal(Signal.VEHICLE_LINK),
            Check.POSITION: signal(Signal.VEHICLE_IN_POSITION),
            Check.OLD_PACK: False if False in secured else None if None in secured else True,
            Check.ROBOT_READY: cell.state in (CellState.FREE, CellState.READY)
            and cell.control_mode is ControlMode.ONLINE
            and cell.run_mode is RunMode.AUTO
            and signal(Signal.GRIPPER_LOADED) is False,
        }
        result |= await self.context.read(lambda db: self._record_checks(db, session, facts))
        seen = cell.vehicle_tag == session.vehicle_tag if cell.vehicle_tag else None
        return result | {Check.AUTHORISED: result[Check.AUTHORISED] and seen}

    def _record_checks(self, db: Db, session: Session, facts: CellFacts) -> dict[Check, bool | None]:
        swap = db.get_one(Swap, session.swap_id)
        kinds = self.context.config.vehicle_model(db.get_one(VehicleRow, swap.vehicle_id).model).pack_kinds
        old = [db.get(Pack, plan.old_pack_id) if plan.old_pack_id else None for plan in session.seats]
        new = [db.get(Pack, plan.new_pack_id) if plan.new_pack_id else None for plan in session.seats]
        facts_new = [facts.bays.get(plan.new_position) for plan in session.seats]
        return {
            Check.AUTHORISED: self.context.right_of(db, session.swap_id),
            Check.RECORD: all(p is not None and p.vehicle_id == swap.vehicle_id for p in old),
            Check.PACK_AVAILABLE: all(p is not None and p.state == PackState.RESERVED for p in new),
            Check.NEW_PACK_ACCEPTED: all(p is not None and p.kind in kinds for p in new),
            Check.NEW_PACK_POWER_OFF: None
            if any(f is None or f.pack_safe is None for f in facts_new)
            else all(f is not None and f.pack_safe for f in facts_new),
        }

    def dispatch(self, db: Db, chosen: Dispatch) -> tuple[Session, StepTable]:
        """Give a queued swap this lane, its packs and its bays; call inside a transaction, then `take_up`."""
        return self.journal.dispatch(db, chosen)

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
        """After its commit a command leaves only if nothing was held meanwhile, its facts are fresh still, and the
        newest look holds nothing either.

        What stays is stored as sent: the next step sends the number again when its permissives allow it.
        """
        newest = self._facts(self.cell_facts(self.context.cells[self.lane.id]), {}, None)
        fresh = self.cell_facts(facts.cell.cell).fresh
        return self.context.may_move() and fresh and not self._would_hold(newest)
