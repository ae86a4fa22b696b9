"""One lane, live: read the cell, take one step of its swap, store it, then carry out its effects.

Looking and acting are apart: while a step waits for its commit, the cell is looked at as before, and held where the
swap would be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

from sqlmodel import select
from structlog.contextvars import bound_contextvars

from robotics.config import LaneSection
from robotics.port import (
    CellState,
    CellStatus,
    DriverSign,
    LinkLost,
    Refused,
    ResultCode,
    Signal,
    SwapRobot,
)
from scheduler.types import Dispatch, StationMode
from swap.messages.events import SwapHeld
from swap.messages.requests import DecisionKind
from swap.station.context import StationContext
from swap.station.lane.facts import LaneFacts
from swap.station.lane.journal import BayTaken, LaneJournal
from swap.station.lane.watch import CellWatch
from swap.station.life.coming_back import Return, person_needed
from swap.station.records import (
    load_session,
    store_session,
    table_for,
    take_result,
)
from swap.station.sequence.decided import lacks_to_decide
from swap.station.sequence.permissives import CellFacts, Missing, tripped
from swap.station.sequence.recipe import TERMINAL, StepTable
from swap.station.sequence.row_facts import MOVING_MODES, in_flight
from swap.station.sequence.sequencer import interrupted, step
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
from swap.tables import Station, Swap

log = logging.getLogger(__name__)

_RESULT_TAKEN_IN = frozenset({*MOVING_MODES, StationMode.HELD, StationMode.MANUAL})
"""Modes in which a lane deals with a result that no swap waits for; in the others the evacuation has the cell."""
MEANWHILE_S = 0.3
"""Real seconds of a step after which the looks themselves hold the cell."""


class NotDecided(Exception):
    """A decision is not taken: `facts` forbid it, or the swap would be held again at the next look for want of them."""

    def __init__(self, facts: tuple[str, ...]) -> None:
        super().__init__(", ".join(facts))
        self.facts = facts


def _names(lacking: Iterable[Missing]) -> tuple[str, ...]:
    return tuple(item.name for item in lacking)


class LaneRunner(LaneFacts):
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
        super().__init__(context, lane)
        self.robot = robot
        self._hold_station = hold_station
        self.journal = LaneJournal(context, lane.id)
        self.watch = CellWatch(context, lane, robot, hold_station)
        self._since_at = context.clock.now()
        self._heard = False
        """The cell has been heard, with a heartbeat that moves, since this controller began."""
        self._turn = asyncio.Lock()
        """Steps, decisions and reloads of this lane come one after the other."""
        self._step_at: datetime | None = None
        """When the step under way began."""
        self._held_meanwhile = ""
        """Why the cell was held during a step; the station is held for it afterwards."""
        self._told: tuple[str, Mapping[int, str]] | None = None
        """Swap, and the codes of packs by seat that its vehicle has been told, as journalled."""

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

    async def lacks_to_go_on(self, name: str) -> tuple[str, ...]:
        """Facts for want of which a station's confirmation leaves the held swap of this lane held, by the newest look.

        Args:
            name: the person who confirms.
        """
        facts, session, table = await self._once_confirmed(name), self.session, self.table
        return (
            () if facts is None or session is None or table is None else _names(lacks_to_decide(table, session, facts))
        )

    async def may_go_on(self, name: str) -> bool:
        """Whether a station's confirmation lets the swap of this lane go on; so too where none is held."""
        facts, session, table = await self._once_confirmed(name), self.session, self.table
        if facts is None or session is None or table is None or session.phase is not Phase.HELD:
            return True
        return step(table, session, facts)[0] is not session

    async def _once_confirmed(self, name: str) -> StepFacts | None:
        """What the step will know that follows a station's confirmation; None where the cell has not been heard."""
        cell = self.context.cells.get(self.lane.id)
        if cell is None:
            return None
        facts = await self.step_facts(self.cell_facts(cell), Decision(DecisionKind.CONTINUE, name))
        return replace(facts, mode=StationMode.AUTOMATIC)

    async def decide(self, decision: Decision) -> bool:
        """Apply a person's decision to the held swap; False when it makes no sense as things stand.

        The cell's hold is withdrawn only for a decision that is allowed, and only where the station may move: a
        paused motion goes on with it. The way back may be chosen while the station is held; it begins when a
        person confirms the station.

        Raises:
            NotDecided: facts forbid it, or the swap would be held again at the next look for want of them.
            LinkLost, Refused: the cell did not take the withdrawal of its hold; the swap stays held.
        """
        async with self._turn:
            if self.session is None or self.table is None or self.session.phase is not Phase.HELD:
                return False
            cell = await self.robot.status()
            self.context.cells[self.lane.id] = cell
            facts = await self.step_facts(self.cell_facts(cell), decision)
            if step(self.table, self.session, facts)[0] is self.session:
                lacking = lacks_to_decide(self.table, self.session, facts)
                if lacking:
                    raise NotDecided(_names(lacking))
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
                self.context.number_used(self.lane.id, effect.command.seq)
            elif isinstance(effect, Acknowledge) and not facts.result_known:
                self.context.number_used(self.lane.id, facts.cell.cell.done_seq)
        self._keep_off()
        for effect in effects:
            await self._carry_out(effect, facts)
        return True

    async def _held_result(self, cell: CellStatus) -> bool:
        """The cell shows a result that no swap waits for."""
        if cell.result is ResultCode.NONE or cell.active_seq != 0 or self.context.mode not in _RESULT_TAKEN_IN:
            return False
        try:
            return await self.watch.held_result(cell, known=await self._on_record(cell))
        except (LinkLost, Refused) as error:
            log.warning("lane %s: %s", self.lane.id, error)
            return True

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
