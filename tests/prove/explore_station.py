"""The controller of one lane without a database: the live code over a store that holds only what must survive.

`LaneRunner`, `CellWatch`, `StationController` and `Answerer` are the live ones. Replaced is what writes rows:
here a step's session, number, moves and mode go into `Stored` in one go, as the transaction does, and everything
else is lost when the controller dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar, cast

from battery_bms.port import ChargerBank
from robotics.port import CellStatus, CommandCode, ResultCode, RobotCommand, SwapRobot
from scheduler.types import PackState, StationMode
from swap.config.station_file import StationConfig
from swap.places import TANK
from swap.station.clock import Clock
from swap.station.context import StationContext
from swap.station.controller import StationController
from swap.station.lane.runner import LaneRunner
from swap.station.lane.watch import ANSWER_S, CellWatch
from swap.station.lease import Lease
from swap.station.life.database import DirectDatabase
from swap.station.life.guard import Outage
from swap.station.life.watchdog import Watchdog
from swap.station.power.site import SiteDevices
from swap.station.reconcile import Mismatch
from swap.station.records import change_mode, next_seq
from swap.station.sequence.evacuation import CommandEnded, Procedure
from swap.station.sequence.evacuation import Effect as EvacuationEffect
from swap.station.sequence.evacuation import interrupted as interrupted_procedure
from swap.station.sequence.incoming import QuarantineBay
from swap.station.sequence.permissives import CellFacts, SeatPlan
from swap.station.sequence.recipe import TERMINAL, Check, Move, Place
from swap.station.sequence.sequencer import interrupted, step
from swap.station.sequence.session import (
    Acknowledge,
    Effect,
    Ended,
    Held,
    Phase,
    Resumed,
    Send,
    Session,
    StepDone,
    StepFacts,
    StepFailed,
)
from swap.station.states.modes import ModeTrigger
from swap.station.states.pack_states import PackTrigger, next_pack_state
from swap.station.states.thermal_stages import Stage
from swap.station.thermal import ThermalRunner
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Station
from tests.prove.explore_memory import MemoryLease, MemoryStore

T = TypeVar("T")
LANE = "L1"
VEHICLE = "V1"
TRANSFER_BAY = "T1"


class Violation(Exception):
    """A safety rule does not hold."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database would hold."""

    session: Session
    last_seq: int
    mode: StationMode
    places: Mapping[str, str]
    """Pack to place, both as the plant writes them."""
    states: Mapping[str, PackState]
    hot: Mapping[str, Procedure] = field(default_factory=dict)
    """Newest procedure of each bay that had a hot pack."""
    ended_seq: int = 0
    """Newest number whose end is on record."""
    outside: tuple[int, CommandCode] | None = None
    """A reset or a homing that has left, and whose end is not on record."""
    mode_reason: str = ""
    holder: str = ""
    """Who has the station."""
    journal: tuple[tuple[str, str], ...] = ()
    """Begin and end of the newest life: kind of the event, and whose."""


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end what never has to wait."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("something waits in the explored station")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end what asks for a loop, though nothing here lets time pass in it."""
    return _loop().run_until_complete(work)


class StationClock(Clock):
    """The plant's time is the station's."""

    def __init__(self, start_at: datetime) -> None:
        self.us = 0
        super().__init__(start_at, 1.0, monotonic=lambda: 0.0)
        self._begin_at = start_at

    def now(self) -> datetime:
        return self._begin_at + timedelta(microseconds=self.us)


class MemoryWatch(CellWatch):
    """`CellWatch` whose commands take their numbers from `Stored` and whose faults are not written."""

    owner: MemoryController

    async def load(self) -> None:
        self._shown, outside = frozenset(), self.owner.stored.outside
        self._command = None if outside is None else RobotCommand(*outside)
        self._sent_at, self.home_by, self._epoch = None, None, None
        self._deadline_at = self.context.clock.now() + timedelta(seconds=ANSWER_S) if self._command else None

    async def _store_faults(self, shown: frozenset[str]) -> None:
        self._shown = shown

    def step_done(self, db: object, at: datetime) -> None:
        return None

    def _end(self, db: object, seq: int, result: str) -> None:
        stored = self.owner.stored
        left = None if stored.outside is None or stored.outside[0] == seq else stored.outside
        self.owner.stored = replace(stored, ended_seq=seq, outside=left)

    async def command(self, code: CommandCode, cell: CellStatus) -> None:
        def store(_: object) -> int:
            seq = next_seq(self.owner.stored.last_seq, *cell.numbers)
            self.owner.stored = replace(self.owner.stored, last_seq=seq, outside=(seq, code))
            return seq

        await self._first(RobotCommand(await self.context.write(store), code), cell.epoch)

    @property
    def volatile(self) -> tuple[Any, ...]:
        return self.home_by, self._shown, self._command, self._sent_at, self._deadline_at, self._epoch

    @volatile.setter
    def volatile(self, value: tuple[Any, ...]) -> None:
        self.home_by, self._shown, self._command, self._sent_at, self._deadline_at, self._epoch = value


class MemoryLane(LaneRunner):
    """`LaneRunner` that stores a step in `Stored`; the steps themselves and their effects are the live ones."""

    def __init__(self, owner: MemoryController, robot: SwapRobot) -> None:
        lane = owner.context.config.lanes[0]
        super().__init__(owner.context, lane, robot, owner.hold_station)
        self.owner = owner
        watch = MemoryWatch(owner.context, lane, robot, owner.hold_station)
        watch.owner = owner
        self.watch = watch

    async def load(self, *, restarted: bool) -> Session | None:
        """As `records.load_session`: what is not a column of the swap's row is lost."""
        await self.watch.load()
        self._last_sent_at, self.own.epoch = None, None
        stored = self.owner.stored
        self.context.last_seq[LANE] = stored.last_seq
        if stored.session.state in TERMINAL:
            self.session = None
            return None
        self.session = replace(stored.session, resumed=True, refused=(), checked_at=None)
        if restarted and self.session.phase is not Phase.HELD:
            self.session = interrupted(self.session)
            self.owner.stored = replace(stored, session=self.session)
        return self.session

    async def _take(self, facts: StepFacts) -> bool:
        assert self.session is not None
        assert self.table is not None
        before = self.session
        after, effects = step(self.table, before, facts)
        if after is before and not effects:
            return False
        await self.context.write(lambda _: self._store(before, after, effects, taken=not facts.result_known))
        self.session = None if after.state in TERMINAL else after
        self._keep_off()
        for effect in effects:
            await self._carry_out(effect, facts)
        return True

    def _store(self, before: Session, after: Session, effects: Sequence[Effect], *, taken: bool) -> None:
        stored = replace(self.owner.stored, session=after)
        if self.owner.journal is not None:
            self.owner.journal += [entry for effect in effects if (entry := journal_entry(before, effect))]
        for effect in effects:
            if isinstance(effect, Send) and not effect.repeated:
                stored = replace(stored, last_seq=effect.command.seq)
            elif isinstance(effect, StepDone | StepFailed):
                stored = stored if effect.seq is None else replace(stored, ended_seq=effect.seq)
                if isinstance(effect, StepDone) and effect.move is not None:
                    stored = moved(stored, effect.plan, effect.move)
            elif isinstance(effect, Resumed) and before.seq is not None and after.seq is None:
                stored = replace(stored, ended_seq=before.seq)
            elif isinstance(effect, Acknowledge) and taken:
                stored = replace(stored, ended_seq=effect.seq)
            elif isinstance(effect, Ended):
                stored = unreserved(stored)
        self.owner.stored = stored

    def _next_seq(self, cell: CellStatus) -> int:
        return next_seq(self.owner.stored.last_seq, *cell.numbers)

    async def _free_quarantine_bay(self, pack_id: str | None) -> QuarantineBay | None:
        """As `StationContext.quarantine_bay`, by the record and the cell's sensor."""
        bay = next((bay for bay in self.context.config.bays if bay.role == "quarantine"), None)
        if bay is None or f"bay:{bay.id}" in self.owner.stored.places.values():
            return None
        seen = self.context.occupied(bay.position) is False
        return QuarantineBay(f"{self.context.station_id}:{bay.id}", bay.position) if seen else None

    async def _on_record(self, cell: CellStatus) -> bool:
        return cell.result is ResultCode.NONE or cell.done_seq == self.owner.stored.ended_seq

    def _record_checks(self, db: object, session: Session, facts: CellFacts) -> dict[Check, bool | None]:
        stored, plans = self.owner.stored, session.seats
        safe = [bay.pack_safe if (bay := facts.bays.get(plan.new_position)) else None for plan in plans]
        return {
            Check.AUTHORISED: self.context.right_of(cast(StationDb, db), session.swap_id),
            Check.RECORD: all(stored.places[str(p.old_pack_id)].startswith(f"vehicle:{VEHICLE}:") for p in plans),
            Check.PACK_AVAILABLE: all(stored.states[str(p.new_pack_id)] is PackState.RESERVED for p in plans),
            Check.NEW_PACK_ACCEPTED: True,
            Check.NEW_PACK_POWER_OFF: None if None in safe else all(safe),
        }

    @property
    def volatile(self) -> tuple[Any, ...]:
        """What is in the memory of the process only."""
        return self.session, self._last_sent_at, cast(MemoryWatch, self.watch).volatile, self.own.epoch

    @volatile.setter
    def volatile(self, value: tuple[Any, ...]) -> None:
        self.session, self._last_sent_at, cast(MemoryWatch, self.watch).volatile, self.own.epoch = value


class MemoryThermal(ThermalRunner):
    """`ThermalRunner` that stores a step in `Stored`; detection here is the rack's alarm of heat alone."""

    def __init__(self, owner: MemoryController) -> None:
        super().__init__(owner.context, owner.lanes)
        self.owner = owner

    async def load(self, *, restarted: bool) -> None:
        self.volatile = LOST_THERMAL
        self.procedures = {bay: hot for bay, hot in self.owner.stored.hot.items() if not hot.over}
        self._loads()
        for procedure in list(self.procedures.values()) if restarted else ():
            await self._take(procedure, interrupted_procedure(procedure))

    async def detect(self, bays: Sequence[str]) -> None:
        self._look()
        context, now = self.context, self.context.clock.now()
        packs = {place.removeprefix("bay:"): code for code, place in self.owner.stored.places.items()}
        reason = f"thermal event in {', '.join(bays)}"

        def store(db: Any) -> tuple[dict[str, Procedure], StationMode]:
            mode = StationMode(db.get_one(Station, context.station_id).mode)
            if mode not in (StationMode.THERMAL, StationMode.FIRE):
                mode = change_mode(
                    db,
                    station_id=context.station_id,
                    trigger=ModeTrigger.THERMAL,
                    reason=reason,
                    actor="controller",
                    at=now,
                )
            begun = {
                bay: Procedure(bay, self.context.config.bay(bay).position, packs.get(bay), now)
                for bay in bays
                if bay not in self.procedures
            }
            self.owner.stored = replace(self.owner.stored, hot={**self.owner.stored.hot, **begun})
            return begun, mode

        begun, mode = await context.write(store)
        self.procedures |= begun
        if mode is not context.mode:
            context.mode, context.mode_reason = mode, reason

    async def _store(self, before: Procedure, after: Procedure, effects: Sequence[EvacuationEffect]) -> None:
        await self.context.write(lambda _: self._keep_step(after, effects))

    def _keep_step(self, after: Procedure, effects: Sequence[EvacuationEffect]) -> None:
        stored = replace(self.owner.stored, hot={**self.owner.stored.hot, after.bay: after})
        for effect in effects:
            if isinstance(effect, Send) and not effect.repeated:
                stored = replace(stored, last_seq=effect.command.seq)
            elif isinstance(effect, CommandEnded):
                stored = replace(stored, ended_seq=effect.seq)
        if after.stage is Stage.EVACUATED and after.pack_id is not None:
            state = next_pack_state(stored.states[after.pack_id], PackTrigger.EVACUATE)
            places = {**stored.places, after.pack_id: TANK}
            stored = replace(stored, places=places, states={**stored.states, after.pack_id: state})
        self.owner.stored = stored

    def _last_seq(self, lane_id: str) -> int:
        return self.owner.stored.last_seq

    @property
    def volatile(self) -> tuple[Any, ...]:
        """What is in the memory of the process only. Who is needed is made anew at each look until a pack is hot:
        until then it is nothing that a state depends on."""
        needed = self._persons_needed if self.owner.stored.hot else LOST_THERMAL[2]
        return tuple(self.procedures.items()), tuple(self._sent_at.items()), needed

    @volatile.setter
    def volatile(self, value: tuple[Any, ...]) -> None:
        procedures, sent_at, self._persons_needed = value
        self.procedures, self._sent_at = dict(procedures), dict(sent_at)
        self._loads()


LOST_THERMAL: tuple[Any, ...] = ((), (), frozenset({LANE}))
"""What a process that has just begun knows of hot packs before it has looked."""


class MemoryController(StationController):
    """`StationController` over `Stored`: its beginning and end, confirmations, holds and requests are the live ones."""

    def __init__(
        self,
        config: StationConfig,
        robot: SwapRobot,
        stored: Stored,
        clock: StationClock,
        rack: ChargerBank | None = None,
    ) -> None:
        self.stored = stored
        self.store = MemoryStore(self, f"{config.station.id}:{LANE}", frozenset(TERMINAL))
        context = StationContext.build(DirectDatabase(cast(Store, self.store), config.station.id), config, clock)
        context.mode = stored.mode
        self.claimed = MemoryLease(self)
        super().__init__(context, [robot], cast(Any, rack), cast(Any, rack), SiteDevices(), cast(Lease, self.claimed))
        self.journal: list[tuple[str, str, str]] | None = None
        """What the live journal would tell of the swap, where asked for."""
        self.lane = MemoryLane(self, robot)
        self.lanes = {LANE: self.lane}
        self.heat = MemoryThermal(self)
        self.thermal = self.heat
        self.watched_s = 0.0
        """Time of the loop, of which only gaps count here."""
        self.watchdog = Watchdog(self.lanes, lambda: self.watched_s)

    def live_as(self, holder: str, token: int) -> None:
        """Go on as this life."""
        self.claimed.holder, self.claimed.token = holder, token
        self.context.owner_token, self.context.database.holder = token, holder

    def begin(self, holder: str, token: int) -> None:
        """Another life takes the station and its cells; what it finds stored decides how."""
        self.claimed.begin(holder, token)
        self.live_as(holder, token)
        self.context.cells.clear()
        self.context.readings.clear()
        self.restart()

    def restart(self) -> None:
        """Begin, as a process does."""
        at_once(self.start(claim_wait_s=0.0))

    def take_up(self) -> None:
        """The database is back."""
        now = self.context.clock.now()
        at_once(self._take_up(Outage("away", now - timedelta(seconds=OUTAGE_S), now, {})))

    async def connect(self) -> None:
        """The links are there; whether the cell takes the claim is the world's."""

    async def claim(self, wait_s: float = 0.0) -> None:
        """The world has waited."""

    async def reconcile_now(self, actor: str) -> list[Mismatch]:
        return []


OUTAGE_S = 4.0
"""Real seconds that the database is away: a gap like any other."""


def journal_entry(before: Session, effect: Effect) -> tuple[str, str, str] | None:
    """State and outcome of an effect, as its event tells them."""
    if isinstance(effect, StepDone):
        return ("done", effect.row.state, effect.following)
    if isinstance(effect, StepFailed):
        return ("failed", effect.row.state, effect.fault.name)
    if isinstance(effect, Held):
        return ("held", before.state, effect.reason.value)
    if isinstance(effect, Resumed):
        return ("resumed", effect.state, effect.following)
    return None


def place_name(place: Place, plan: SeatPlan) -> str:
    """A row's place as the plant writes it."""
    if place is Place.SEAT:
        return f"vehicle:{VEHICLE}:{plan.seat}"
    if place is Place.GRIPPER:
        return f"gripper:{LANE}"
    if place is Place.TRANSFER:
        return f"bay:{TRANSFER_BAY}"
    key = plan.old_bay if place is Place.OLD_BAY else plan.new_bay
    return "bay:" + str(key).split(":", 1)[1]


def moved(stored: Stored, plan: SeatPlan, move: Move) -> Stored:
    """As `inventory.apply_move`, with its constraint: a place holds at most one pack."""
    pack = str(plan.old_pack_id if move.pack == "old" else plan.new_pack_id)
    target = place_name(move.target, plan)
    other = [code for code, place in stored.places.items() if place == target and code != pack]
    if other:
        raise Violation(f"record: {target} would hold {other[0]} and {pack}")
    trigger = {Place.GRIPPER: PackTrigger.PICK, Place.SEAT: PackTrigger.INSTALL}.get(move.target, PackTrigger.STORE)
    state = next_pack_state(stored.states[pack], trigger)
    if move.target is Place.OLD_BAY and plan.quarantine:
        state = next_pack_state(state, PackTrigger.QUARANTINE)
    return replace(stored, places={**stored.places, pack: target}, states={**stored.states, pack: state})


def unreserved(stored: Stored) -> Stored:
    """As `inventory.unreserve_packs`."""
    states = {
        code: next_pack_state(state, PackTrigger.UNRESERVE) if state is PackState.RESERVED else state
        for code, state in stored.states.items()
    }
    return replace(stored, states=states)
