"""The mode of a whole station: held, changed, and let go on by a named person who has looked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress

from robotics.port import LinkLost, Refused, Signal
from scheduler.types import StationMode
from swap.messages.requests import DecisionKind
from swap.station.context import StationContext
from swap.station.lane.runner import LaneRunner, NotDecided
from swap.station.reconcile import Mismatch, reconcile
from swap.station.records import change_mode
from swap.station.resume import clear_losses, stored_mode
from swap.station.sequence.permissives import tripped
from swap.station.sequence.row_facts import MOVING_MODES
from swap.station.sequence.session import Decision, Phase
from swap.station.states.modes import ModeTrigger
from swap.station_db import StationDb as Db

_NOT_FIRE = frozenset(StationMode) - {StationMode.FIRE}


class HoldingController:
    """Holds a station and lets it go on; the part of a controller that people and trips ask."""

    context: StationContext
    lanes: Mapping[str, LaneRunner]

    async def hold_station(self, reason: str, actor: str = "controller") -> None:
        """Hold the whole station; nothing is written where it is held, manual, in thermal or fire mode.

        A released fire system puts the station into fire mode from any mode.
        """
        fire = reason == Signal.FIRE_OK
        from_modes = _NOT_FIRE if fire else MOVING_MODES
        if self.context.mode not in from_modes:
            return
        self.context.holding += 1
        try:
            trigger = ModeTrigger.FIRE if fire else ModeTrigger.HOLD
            await self.change_mode(trigger, reason, actor, only_from=from_modes)
        finally:
            self.context.holding -= 1

    async def change_mode(
        self, trigger: ModeTrigger, reason: str, actor: str, *, only_from: Collection[StationMode] | None = None
    ) -> StationMode:
        """Store a change of mode; nothing changes where the stored mode is none of `only_from`.

        Raises:
            IllegalMode: the table of modes has no such change.
        """
        context = self.context
        at = context.clock.now()

        def store(db: Db) -> tuple[StationMode, str]:
            if only_from is None or stored_mode(db, context.station_id)[0] in only_from:
                change_mode(db, station_id=context.station_id, trigger=trigger, reason=reason, actor=actor, at=at)
            return stored_mode(db, context.station_id)

        context.mode, context.mode_reason = await context.write(store)
        return context.mode

    def trips(self) -> list[str]:
        """Safety trips that the cells report now, as `lane: signal`."""
        found = []
        for lane_id, cell in self.context.cells.items():
            signal = tripped(self.lanes[lane_id].cell_facts(cell))
            if signal is not None:
                found.append(f"{lane_id}: {signal.value}")
        return found

    async def confirm(self, name: str) -> list[Mismatch]:
        """A named person has looked and confirms: compare record and sensors, then go on.

        A lane whose swap waits for a decision of its own, or could not go on now, stays held: a paused motion, or a
        command on its way, would go on with the withdrawal of the cell's hold. Returns the differences found; places
        that differ are blocked, the rest of the station goes on.

        Raises:
            LinkLost, Refused: a cell did not take the withdrawal of its hold; the station stays held.
        """
        shown, lost_at = dict(self.context.cells), self.context.lost_at
        mismatches = await self.reconcile_now(name)
        going_on = [lane for lane in self.lanes.values() if not lane.waits_for_decision and await lane.may_go_on(name)]
        for lane in self.lanes.values():
            await lane.watch.take_result(name)
            lane.watch.home_by = name  # a lane that waits for a decision homes after it, and holds nobody up till then
        try:
            for lane in going_on:
                cell = shown.get(lane.lane.id)
                await lane.release(None if cell is None else cell.epoch)
            if self.context.lost_at != lost_at:
                raise Refused("something happened while the station was being let go")
        except (LinkLost, Refused):
            for lane in going_on:
                await lane.robot.hold("not every cell took the confirmation")
            raise
        for lane in going_on:
            lane.decided_on(self.context.cells[lane.lane.id])
        if self.context.mode is StationMode.HELD:
            await self.change_mode(ModeTrigger.CONFIRM, "confirmed", name)
        station_id, at = self.context.station_id, self.context.clock.now()
        await self.context.write(lambda db: clear_losses(db, station_id, at, name))
        for lane in going_on:
            if lane.session is not None and lane.session.phase is Phase.HELD:
                with suppress(NotDecided):  # lost since: it stays held, and the answer says so
                    await lane.decide(Decision(DecisionKind.CONTINUE, name))
        return mismatches

    async def reconcile_now(self, actor: str) -> list[Mismatch]:
        """Compare record and sensors and store the differences."""
        still = self.context.still()
        positions = {b.id: b.position for b in still.config.bays}
        busy = {lane_id for lane_id, lane in self.lanes.items() if lane.session is not None}
        occupied = {p: still.occupied(p) for p in positions.values()}
        readings = {k: v for k, v in still.readings.items() if still.reading_fresh(k)}
        at = still.clock.now()
        return await self.context.write(
            lambda db: reconcile(
                db,
                station_id=still.station_id,
                at=at,
                actor=actor,
                positions=positions,
                in_motion=db.bays_in_motion(),
                busy_lanes=busy,
                occupied=occupied,
                readings=readings,
                cells=still.cells,
            )
        )

    def unheard(self) -> list[str]:
        """Lanes and bays that have not been heard."""
        context = self.context
        lanes = [k for k in self.lanes if (cell := context.cells.get(k)) is None or cell.slow_at is None]
        bays = [b.id for b in context.config.bays if b.point is not None and not context.reading_fresh(b.id)]
        return lanes + bays
