"""The procedure for a hot pack (standards.md 6.3): detect, stop charging, block, evacuate only while allowed.

The safety PLC and the fire system act without this; it observes, records the time of each step, and asks for
the evacuation by handshake. What the procedure may do next is a pure function of the facts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlmodel import col, select

from battery_bms.limits import ThermalCause, ThermalWatch
from robotics.port import (
    AckCode,
    CommandCode,
    LinkLost,
    Location,
    LocationKind,
    Refused,
    ResultCode,
    RobotCommand,
    Signal,
)
from scheduler.types import PackState, StationMode
from swap.events import append_event
from swap.messages.events import HotPackReading, PackMoved, ThermalStep
from swap.places import place_of
from swap.station.context import StationContext
from swap.station.faults import raise_fault
from swap.station.inventory import block_bay, close_charge, quarantine, set_pack_state
from swap.station.records import change_mode, end_command, next_seq, store_command
from swap.station.sequence.permissives import CellFacts
from swap.station.states.modes import ModeTrigger
from swap.station.states.pack_states import PackTrigger, may
from swap.station_db import StationDb as Db
from swap.tables import Pack, Station, StationEvent

if TYPE_CHECKING:
    from swap.station.lanes import LaneRunner

log = logging.getLogger(__name__)

EVACUATE_WITHIN_S = 240.0
"""Station seconds after detection in which an evacuation may still begin. Below the 300 s that GB 38031 gives
from alarm to hazard; this project's own value."""


class Stage(StrEnum):
    """Steps of the procedure, in order."""

    DETECTED = "detected"
    CHARGING_STOPPED = "charging_stopped"
    EVACUATION_STARTED = "evacuation_started"
    EVACUATED = "evacuated"
    ISOLATED = "isolated"
    """Left in its bay: evacuation is not allowed, people and the fire system act."""


_OPEN = frozenset({Stage.DETECTED, Stage.CHARGING_STOPPED, Stage.EVACUATION_STARTED})


@dataclass(frozen=True, slots=True)
class Procedure:
    """One hot pack."""

    bay: str
    pack_id: str | None
    detected_at: datetime
    stage: Stage = Stage.DETECTED
    lane_id: str | None = None
    seq: int | None = None


def evacuation_bars(facts: CellFacts, *, since_s: float, robot_free: bool) -> tuple[str, ...]:
    """Why the robot may not carry the pack to the tank now; empty when it may.

    Allowed only before flame, with a healthy and free robot, a free path, a ready and empty tank, nobody and no
    vehicle motion in the zone, and inside the time limit. Unknown bars.
    """
    wanted = {
        Signal.ESTOP_OK: True,
        Signal.POWER_OK: True,
        Signal.FIRE_OK: True,
        Signal.CURTAIN_CLEAR: True,
        Signal.DOORS_CLOSED: True,
        Signal.HOMED: True,
        Signal.GRIPPER_LOADED: False,
        Signal.TANK_READY: True,
        Signal.TANK_OCCUPIED: False,
    }
    bars = [name.value for name, value in wanted.items() if facts.signal(name) is not value]
    if not facts.fresh:
        bars.append("cell_stale")
    if not robot_free:
        bars.append("robot_busy")
    if since_s > EVACUATE_WITHIN_S:
        bars.append("too_late")
    return tuple(bars)


class ThermalRunner:
    """Runs the procedure for every hot pack of a station."""

    def __init__(self, context: StationContext, lanes: Mapping[str, LaneRunner]) -> None:
        self.context = context
        self.lanes = lanes
        self.procedures: dict[str, Procedure] = {}
        self._sent: dict[str, RobotCommand] = {}
        """Commands of evacuations that this process has sent, by bay."""

    async def load(self, *, restarted: bool) -> None:
        """Take up procedures that were under way, from the journal.

        A detection stays latched while its pack is quarantined, so it is not made a second time. After an
        unclean end of the controller no evacuation begins: nothing moves before a person has looked.
        """
        found, watches = await self.context.read(self._load)
        self.context.watches.clear()
        self.context.watches.update(watches)
        self._sent.clear()
        self.procedures = {k: p for k, p in found.items() if p.stage in _OPEN}
        for procedure in list(self.procedures.values()) if restarted else ():
            if procedure.stage is not Stage.EVACUATION_STARTED:
                await self._isolate(procedure, {"": ["restart"]})

    def _load(self, db: Db) -> tuple[dict[str, Procedure], dict[str, ThermalWatch]]:
        found: dict[str, Procedure] = {}
        latched: dict[str, tuple[str | None, ThermalWatch]] = {}
        events = db.exec(
            select(StationEvent)
            .where(
                StationEvent.station_id == self.context.station_id,
                StationEvent.kind == ThermalStep.kind,
            )
            .order_by(col(StationEvent.seq))
        ).all()
        for event in events:
            step = ThermalStep.read(event.data)
            bay, stage = step.bay, Stage(step.stage)
            known = found.get(bay)
            if stage is Stage.DETECTED or known is None:
                known = Procedure(bay, event.pack_id, event.at)
            found[bay] = replace(known, stage=stage, lane_id=event.lane_id, seq=step.seq)
            causes = tuple(ThermalCause(c) for c in step.causes)
            if causes:
                latched[bay] = (event.pack_id, ThermalWatch(latched_at=event.at, causes=causes))
        watches: dict[str, ThermalWatch] = {}
        for bay, (pack_id, watch) in latched.items():
            pack = db.get(Pack, pack_id) if pack_id else None
            here = pack is not None and pack.bay_id == self.context.bay_key(bay)
            if here and pack is not None and pack.state == PackState.QUARANTINED:
                watches[bay] = watch
        return found, watches

    async def detect(self, bays: Sequence[str]) -> None:
        """Latch: quarantine the packs, block their bays and neighbours, put the station into thermal mode."""
        context, now = self.context, self.context.clock.now()
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
        pack = db.exec(select(Pack).where(Pack.bay_id == context.bay_key(name))).first()
        procedure = Procedure(name, pack.id if pack else None, now)
        history = tuple(
            HotPackReading(at=r.at, temp_max_c=r.temp_max_c, cell_min_v=r.cell_min_v, charge_kw=r.charge_kw)
            for r in watch.readings
        )
        raise_fault(
            db,
            station_id=context.station_id,
            name="thermal_event",
            source=f"bay:{name}",
            at=now,
            data={"causes": [c.value for c in watch.causes]},
        )
        self._stage(db, procedure, Stage.DETECTED, now, causes=tuple(c.value for c in watch.causes), readings=history)
        if pack is not None and may(PackState(pack.state), PackTrigger.QUARANTINE):
            quarantine(db, pack, "thermal_event", station_id=context.station_id, at=now)
        block_bay(db, context.bay_key(name), "thermal_event", at=now)
        for neighbour in context.config.bay(name).neighbours:
            block_bay(db, context.bay_key(neighbour), "neighbour_blocked", at=now)
        return procedure

    def _stage(self, db: Db, procedure: Procedure, stage: Stage, now: datetime, **data: Any) -> None:
        since_s = (now - procedure.detected_at).total_seconds()
        append_event(
            db,
            ThermalStep(bay=procedure.bay, stage=stage.value, since_s=round(since_s, 1), **data),
            station_id=self.context.station_id,
            at=now,
            pack_id=procedure.pack_id,
            bay_id=self.context.bay_key(procedure.bay),
            lane_id=procedure.lane_id,
        )

    async def _advance(
        self,
        procedure: Procedure,
        stage: Stage,
        first: Callable[[Db, datetime], object] | None = None,
        **data: Any,
    ) -> None:
        """Store a stage, and in the same commit what belongs to it."""
        now = self.context.clock.now()
        changed = replace(procedure, stage=stage)

        def store(db: Db) -> None:
            if first is not None:
                first(db, now)
            self._stage(db, changed, stage, now, **data)

        await self.context.write(store)
        if stage in _OPEN:
            self.procedures[procedure.bay] = changed
        else:
            self.procedures.pop(procedure.bay, None)

    async def cycle(self) -> None:
        """One step of every procedure under way."""
        for procedure in list(self.procedures.values()):
            if procedure.stage is Stage.DETECTED:
                await self._charging_stopped(procedure)
            elif procedure.stage is Stage.CHARGING_STOPPED:
                await self._evacuate(procedure)
            elif procedure.stage is Stage.EVACUATION_STARTED:
                await self._watch(procedure)

    async def _charging_stopped(self, procedure: Procedure) -> None:
        reading = self.context.readings.get(procedure.bay)
        if reading is not None and reading.charge_kw is not None and reading.charge_kw > 0.5:
            return
        known = reading is not None and reading.charge_kw is not None
        await self._advance(procedure, Stage.CHARGING_STOPPED, confirmed=known)

    async def _evacuate(self, procedure: Procedure) -> None:
        context = self.context
        section = context.config.bay(procedure.bay)
        since_s = (context.clock.now() - procedure.detected_at).total_seconds()
        reasons: dict[str, tuple[str, ...]] = {}
        for lane_id, lane in self.lanes.items():
            cell = context.cells.get(lane_id)
            if cell is None or (section.lanes and lane_id not in section.lanes):
                continue
            robot_free = cell.active_seq == 0 and context.mode is StationMode.THERMAL
            bars = evacuation_bars(lane.cell_facts(cell), since_s=since_s, robot_free=robot_free)
            if bars:
                reasons[lane_id] = bars
                continue
            await self._send(replace(procedure, lane_id=lane_id), lane, section.position)
            return
        # The command that runs is let end: it may just be setting a pack down.
        passing = {"robot_busy", "gripper_loaded"}
        waiting = any("robot_busy" in bars and set(bars) <= passing for bars in reasons.values())
        if not waiting or since_s > EVACUATE_WITHIN_S:
            await self._isolate(procedure, {lane: list(bars) for lane, bars in reasons.items()})

    async def _isolate(self, procedure: Procedure, bars: Mapping[str, list[str]]) -> None:
        """Leave the pack where it is, with the reason by lane."""

        def fail(db: Db, now: datetime) -> None:
            self._raise_failed(db, procedure, now, {"bars": dict(bars)})

        await self._advance(procedure, Stage.ISOLATED, fail, bars={lane: tuple(why) for lane, why in bars.items()})

    def _raise_failed(self, db: Db, procedure: Procedure, now: datetime, data: dict[str, object]) -> None:
        raise_fault(
            db,
            station_id=self.context.station_id,
            name="evacuation_failed",
            source=f"bay:{procedure.bay}",
            at=now,
            data=data,
        )

    async def _send(self, procedure: Procedure, lane: LaneRunner, position: int) -> None:
        context = self.context
        cell = context.cells[lane.lane.id]
        now = context.clock.now()

        def store(db: Db) -> tuple[RobotCommand, Procedure]:
            stored = db.get_one(Station, context.station_id).last_seq_by_lane.get(lane.lane.id, 0)
            seq = next_seq(stored, cell.ack_seq, cell.active_seq, cell.done_seq)
            command = RobotCommand(seq, CommandCode.FIRE, Location(LocationKind.BAY, position))
            store_command(
                db,
                station_id=context.station_id,
                lane_id=lane.lane.id,
                command=command,
                swap_id=None,
                state="evacuating",
                at=now,
            )
            started = replace(procedure, stage=Stage.EVACUATION_STARTED, seq=seq)
            self._stage(db, started, Stage.EVACUATION_STARTED, now, seq=seq)
            return command, started

        command, started = await context.write(store)
        context.last_seq[lane.lane.id] = command.seq
        self.procedures[procedure.bay] = started
        self._sent[procedure.bay] = command
        if not context.database.opened.is_set():
            return
        try:
            if cell.result is not ResultCode.NONE:
                # The result of a held swap: the sensors tell its step later, the cell must be free now.
                await lane.robot.acknowledge(cell.done_seq)
            await lane.robot.resume()
            await lane.robot.send(command)
        except (LinkLost, Refused) as error:
            log.error("evacuation of %s: %s", procedure.bay, error)

    async def _watch(self, procedure: Procedure) -> None:
        context = self.context
        lane = self.lanes.get(procedure.lane_id or "")
        cell = context.cells.get(procedure.lane_id or "")
        if lane is None or cell is None or procedure.seq is None:
            await self._advance(procedure, Stage.ISOLATED, bars={"": ("no_lane",)})
            return
        facts = lane.cell_facts(cell)
        since_s = (context.clock.now() - procedure.detected_at).total_seconds()
        if cell.done_seq == procedure.seq and cell.result is ResultCode.DONE:
            if facts.signal(Signal.TANK_OCCUPIED) is not True:
                return
            await self._store_evacuated(procedure)
            await lane.robot.acknowledge(procedure.seq)
        elif cell.done_seq == procedure.seq and cell.result is not ResultCode.NONE:
            await self._end_failed(procedure, f"fault {cell.fault_code}")
            await lane.robot.acknowledge(procedure.seq)
        elif cell.ack_seq == procedure.seq and cell.ack_code not in (AckCode.NONE, AckCode.ACCEPTED):
            await self._end_failed(procedure, f"the cell answers {cell.ack_code.name.lower()}")
        elif since_s > 2 * EVACUATE_WITHIN_S:
            await self._end_failed(procedure, "no result in time")
        elif procedure.seq not in (cell.ack_seq, cell.active_seq, cell.done_seq):
            await self._repeat(procedure, lane, facts, since_s)
            return
        else:
            return
        # What was held for the procedure stays so: the swap waits for a person.
        await lane.robot.hold("the evacuation has ended")

    async def _repeat(self, procedure: Procedure, lane: LaneRunner, facts: CellFacts, since_s: float) -> None:
        """The cell has not heard the command: the same number again, while the evacuation may still begin.

        Only the process that sent it repeats it; after a restart nothing moves by itself.
        """
        command = self._sent.get(procedure.bay)
        bars = evacuation_bars(facts, since_s=since_s, robot_free=facts.cell.active_seq == 0)
        if command is None or bars:
            await self._end_failed(procedure, "restart" if command is None else ", ".join(bars))
            return
        try:
            if facts.cell.result is not ResultCode.NONE:
                await lane.robot.acknowledge(facts.cell.done_seq)
            await lane.robot.send(command)
        except (LinkLost, Refused) as error:
            log.error("evacuation of %s: %s", procedure.bay, error)

    async def _end_failed(self, procedure: Procedure, reason: str) -> None:
        def fail(db: Db, now: datetime) -> None:
            self._end(db, procedure, "failed", now)
            self._raise_failed(db, procedure, now, {"reason": reason})

        await self._advance(procedure, Stage.ISOLATED, fail, bars={procedure.lane_id or "": (reason,)})

    def _end(self, db: Db, procedure: Procedure, result: str, now: datetime) -> None:
        assert procedure.seq is not None
        end_command(
            db,
            station_id=self.context.station_id,
            lane_id=procedure.lane_id or "",
            seq=procedure.seq,
            result=result,
            at=now,
        )

    async def _store_evacuated(self, procedure: Procedure) -> None:
        station_id = self.context.station_id

        def move(db: Db, now: datetime) -> None:
            self._end(db, procedure, "done", now)
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

        await self._advance(procedure, Stage.EVACUATED, move, seq=procedure.seq)
