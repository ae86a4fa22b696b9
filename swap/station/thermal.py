"""The procedure for a hot pack (standards.md 6.3): detect, stop charging, block, evacuate only while allowed.

The safety PLC and the fire system act without this; it observes, records the time of each step, and asks for the
evacuation by handshake. What the procedure may do next is `sequence.evacuation.step`, a pure function of the facts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlmodel import select

from battery_bms.limits import ThermalCause, ThermalWatch
from robotics.port import CellStatus, LinkLost, Refused, SwapRobot
from scheduler.types import PackState, StationMode
from swap.events import append_event
from swap.messages.packs import HotPackReading, PackMoved, ThermalStep
from swap.places import place_of
from swap.station.context import StationContext
from swap.station.faults import raise_fault
from swap.station.inventory import block_bay, close_charge, quarantine, set_pack_state
from swap.station.records import change_mode, end_command, next_seq, store_command, take_result
from swap.station.sequence.evacuation import (
    CommandEnded,
    Effect,
    EvacuationFacts,
    EvacuationLane,
    Procedure,
    Result,
    StageReached,
    WithdrawHold,
    bars,
    interrupted,
    persons_needed,
    step,
)
from swap.station.sequence.recipe import load_recipe
from swap.station.sequence.session import Acknowledge, HoldReason, HoldRobot, Phase, Send
from swap.station.states.modes import ModeTrigger
from swap.station.states.pack_states import PackTrigger, may
from swap.station.states.thermal_stages import Stage
from swap.station_db import StationDb as Db
from swap.tables import HotPack, Pack, Station

if TYPE_CHECKING:
    from swap.station.lane.runner import LaneRunner

log = logging.getLogger(__name__)


class ThermalRunner:
    """Runs the procedure for every hot pack of a station."""

    def __init__(self, context: StationContext, lanes: Mapping[str, LaneRunner]) -> None:
        self.context = context
        self.lanes = lanes
        self.procedures: dict[str, Procedure] = {}
        """Those under way, by bay."""
        self._sent_at: dict[str, datetime] = {}
        """Last sending by this process of the number under way, by bay."""
        self._persons_needed: frozenset[str] = frozenset(lanes)

    async def load(self, *, restarted: bool) -> None:
        """Take up procedures that were under way.

        A detection stays latched while its pack is quarantined, so it is not made a second time. After an
        unclean end of the controller no evacuation begins: nothing moves before a person has looked.
        """
        self.procedures, watches = await self.context.read(self._load)
        self._loads()
        self.context.watches.clear()
        self.context.watches.update(watches)
        self._sent_at.clear()
        self._persons_needed = frozenset(self.lanes)
        for procedure in list(self.procedures.values()) if restarted else ():
            await self._take(procedure, interrupted(procedure))

    def _load(self, db: Db) -> tuple[dict[str, Procedure], dict[str, ThermalWatch]]:
        context = self.context
        procedures: dict[str, Procedure] = {}
        watches: dict[str, ThermalWatch] = {}
        for row in db.exec(select(HotPack).where(HotPack.station_id == context.station_id)).all():
            name = row.bay_id.split(":", 1)[1]
            procedure = Procedure(
                bay=name,
                position=context.config.bay(name).position,
                pack_id=row.pack_id,
                detected_at=row.detected_at,
                stage=Stage(row.stage),
                lane_id=row.lane_id,
                seq=row.seq,
                deadline_at=row.deadline_at,
                confirming=row.confirming,
                tries=row.tries,
                left=row.left,
            )
            if not procedure.over:
                procedures[name] = procedure
            pack = db.get(Pack, row.pack_id) if row.pack_id else None
            here = pack is not None and pack.bay_id == row.bay_id
            if here and pack is not None and pack.state == PackState.QUARANTINED:
                causes = tuple(ThermalCause(cause) for cause in row.causes)
                watches[name] = ThermalWatch(latched_at=row.detected_at, causes=causes)
        return procedures, watches

    async def detect(self, bays: Sequence[str]) -> None:
        """Latch: quarantine the packs, block their bays and neighbours, put the station into thermal mode."""
        context, now = self.context, self.context.clock.now()
        self._look()
        hot = {name: context.watches[name] for name in bays if name not in self.procedures}
        reason = f"thermal event in {', '.join(bays)}"

        def store(db: Db) -> tuple[list[Procedure], StationMode]:
            begun = [self._detect_one(db, name, watch, now) for name, watch in hot.items()]
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
            return begun, mode

        context.holding += 1
        try:
            begun, mode = await context.write(store)
        finally:
            context.holding -= 1
        self.procedures |= {procedure.bay: procedure for procedure in begun}
        if mode is not context.mode:
            context.mode, context.mode_reason = mode, reason

    def _detect_one(self, db: Db, name: str, watch: ThermalWatch, now: datetime) -> Procedure:
        context = self.context
        section = context.config.bay(name)
        pack = db.exec(select(Pack).where(Pack.bay_id == context.bay_key(name))).first()
        procedure = Procedure(name, section.position, pack.id if pack else None, now)
        history = tuple(
            HotPackReading(at=r.at, temp_max_c=r.temp_max_c, cell_min_v=r.cell_min_v, charge_kw=r.charge_kw)
            for r in watch.readings
        )
        causes = tuple(cause.value for cause in watch.causes)
        raise_fault(
            db,
            station_id=context.station_id,
            name="thermal_event",
            source=f"bay:{name}",
            at=now,
            data={"causes": list(causes)},
        )
        self._keep(db, procedure, causes)
        self._tell(db, procedure, StageReached(Stage.DETECTED, {"causes": causes, "readings": history}), now)
        if pack is not None and may(PackState(pack.state), PackTrigger.QUARANTINE):
            quarantine(db, pack, "thermal_event", station_id=context.station_id, at=now)
        block_bay(db, context.bay_key(name), "thermal_event", at=now)
        for neighbour in section.neighbours:
            block_bay(db, context.bay_key(neighbour), "neighbour_blocked", at=now)
        return procedure

    async def cycle(self) -> None:
        """One step of every procedure under way."""
        self._look()
        for procedure in list(self.procedures.values()):
            await self._take(procedure, step(procedure, self._facts(procedure)))

    def _look(self) -> None:
        cells = {k: self.lanes[k].cell_facts(cell) for k, cell in self.context.cells.items()}
        self._persons_needed = persons_needed(self._persons_needed, self.context.mode, self.lanes, cells)

    def wait_for_person(self) -> None:
        """A person has held the robots while the station is thermal: nothing more begins to move by itself."""
        self._persons_needed = frozenset(self.lanes)

    def _facts(self, procedure: Procedure) -> EvacuationFacts:
        context = self.context
        reading = context.readings.get(procedure.bay)
        lanes = context.config.bay(procedure.bay).lanes
        return EvacuationFacts(
            now=context.clock.now(),
            mode=context.mode,
            lanes={
                lane_id: self._lane_facts(lane, cell)
                for lane_id, lane in self.lanes.items()
                if (not lanes or lane_id in lanes) and (cell := context.cells.get(lane_id)) is not None
            },
            charge_kw=None if reading is None else reading.charge_kw,
            last_sent_at=self._sent_at.get(procedure.bay),
            speed=context.clock.speed,
        )

    def _lane_facts(self, lane: LaneRunner, cell: CellStatus) -> EvacuationLane:
        session = lane.session
        held = session is not None and session.phase is Phase.HELD and session.hold_reason is not HoldReason.MODE
        return EvacuationLane(
            cell=lane.cell_facts(cell),
            row=load_recipe(lane.lane.recipe, self.context.config.folder).evacuation,
            next_seq=next_seq(self._last_seq(lane.lane.id), *cell.numbers),
            in_flight=lane.in_flight(cell),
            person_needed=held or lane.lane.id in self._persons_needed,
        )

    def _last_seq(self, lane_id: str) -> int:
        return self.context.last_seq.get(lane_id, 0)

    async def _take(self, before: Procedure, result: Result) -> None:
        """Store a step with all that belongs to it in one commit, then carry its effects out."""
        after, effects = result
        if after == before and not effects:
            return
        decided_in = {lane_id: cell.epoch for lane_id, cell in self.context.cells.items()}
        await self._store(before, after, effects)
        if after.over:
            self.procedures.pop(after.bay, None)
        else:
            self.procedures[after.bay] = after
        self._loads()
        if any(isinstance(effect, Send) for effect in effects):
            self._sent_at[after.bay] = self.context.clock.now()
        lane = self.lanes.get(after.lane_id or "")
        if lane is not None:
            await self._carry_out(effects, lane.robot, after, decided_in.get(lane.lane.id))

    def _loads(self) -> None:
        """Name the lanes whose gripper may hold a hot pack: no swap sets it down."""
        self.context.hot_loads = frozenset(p.lane_id for p in self.procedures.values() if p.left and p.lane_id)

    async def _store(self, before: Procedure, after: Procedure, effects: Sequence[Effect]) -> None:
        now, cell = self.context.clock.now(), self.context.cells.get(after.lane_id or "")

        def store(db: Db) -> None:
            if after != before:
                self._keep(db, after)
            for effect in effects:
                self._tell(db, after, effect, now)
                if isinstance(effect, Acknowledge) and cell is not None and cell.done_seq == effect.seq:
                    # A result of somebody else: it is on record before the cell forgets it.
                    station_id, lane_id = self.context.station_id, cell.lane_id
                    take_result(db, station_id=station_id, lane_id=lane_id, cell=cell, at=now, actor="controller")

        await self.context.write(store)
        for effect in effects:
            if isinstance(effect, Send) and not effect.repeated and after.lane_id is not None:
                self.context.number_used(after.lane_id, effect.command.seq)
            elif isinstance(effect, Acknowledge) and cell is not None and cell.done_seq == effect.seq:
                self.context.number_used(cell.lane_id, cell.done_seq)

    def _keep(self, db: Db, procedure: Procedure, causes: Sequence[str] | None = None) -> None:
        """Write a procedure to the row of its bay; a new one, with its causes, takes the place of the last."""
        bay_id = self.context.bay_key(procedure.bay)
        row = db.get(HotPack, bay_id) or HotPack(
            bay_id=bay_id,
            station_id=self.context.station_id,
            detected_at=procedure.detected_at,
            stage=procedure.stage.value,
        )
        row.pack_id, row.detected_at, row.stage = procedure.pack_id, procedure.detected_at, procedure.stage.value
        row.lane_id, row.seq, row.tries = procedure.lane_id, procedure.seq, procedure.tries
        row.deadline_at, row.confirming, row.left = procedure.deadline_at, procedure.confirming, procedure.left
        if causes is not None:
            row.causes = list(causes)
        db.add(row)

    def _tell(self, db: Db, procedure: Procedure, effect: Effect, now: datetime) -> None:
        """Store what an effect says: an event, a command, a fault, a move."""
        station_id, lane_id = self.context.station_id, procedure.lane_id or ""
        if isinstance(effect, Send) and not effect.repeated:
            store_command(
                db,
                station_id=station_id,
                lane_id=lane_id,
                command=effect.command,
                swap_id=None,
                state="evacuating",
                at=now,
            )
        elif isinstance(effect, CommandEnded):
            end_command(db, station_id=station_id, lane_id=lane_id, seq=effect.seq, result=effect.result, at=now)
        elif isinstance(effect, StageReached):
            if effect.stage is Stage.EVACUATED:
                self._carried(db, procedure, now)
            elif effect.stage is Stage.ISOLATED:
                source = f"bay:{procedure.bay}"
                data = dict(effect.data)
                raise_fault(db, station_id=station_id, name="evacuation_failed", source=source, at=now, data=data)
            since_s = round((now - procedure.detected_at).total_seconds(), 1)
            append_event(
                db,
                ThermalStep(bay=procedure.bay, stage=effect.stage.value, since_s=since_s, **effect.data),
                station_id=station_id,
                at=now,
                pack_id=procedure.pack_id,
                bay_id=self.context.bay_key(procedure.bay),
                lane_id=procedure.lane_id,
            )

    def _carried(self, db: Db, procedure: Procedure, now: datetime) -> None:
        """The pack lies in the tank."""
        station_id = self.context.station_id
        pack = db.get(Pack, procedure.pack_id) if procedure.pack_id else None
        if pack is None:
            return
        before = place_of(pack)
        close_charge(db, pack, now)
        pack.bay_id, pack.tank_station_id = None, station_id
        db.add(pack)
        db.flush()
        append_event(
            db,
            PackMoved(source=before, target=place_of(pack)),
            station_id=station_id,
            at=now,
            pack_id=pack.id,
            lane_id=procedure.lane_id,
        )
        set_pack_state(db, pack, PackTrigger.EVACUATE, station_id=station_id, at=now)

    def _may_leave(self, procedure: Procedure) -> bool:
        """After its commit a command leaves only if the newest look bars nothing. What stays is stored as sent: the
        next step sends it, or gives it up."""
        facts = self._facts(procedure)
        lane = facts.lanes.get(procedure.lane_id or "")
        return lane is not None and not bars(procedure, lane, facts)

    async def _carry_out(
        self, effects: Sequence[Effect], robot: SwapRobot, procedure: Procedure, epoch: int | None
    ) -> None:
        """Ask the cell. What it did not take is asked again with the number, a second later."""
        free = self.context.database.opened.is_set()
        if any(isinstance(effect, Send) for effect in effects):
            free = free and self._may_leave(procedure)
        for effect in effects:
            try:
                if isinstance(effect, Acknowledge):
                    await robot.acknowledge(effect.seq, epoch)
                elif isinstance(effect, WithdrawHold) and free:
                    await robot.resume(epoch)
                elif isinstance(effect, Send) and free:
                    await robot.send(effect.command, epoch)
            except (LinkLost, Refused) as error:
                free = False
                log.error("evacuation of %s: %s", procedure.bay, error)
            if isinstance(effect, HoldRobot):
                await robot.hold(effect.reason)
