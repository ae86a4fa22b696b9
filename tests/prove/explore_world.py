"""One lane, its truck and its rack as one value that can be kept, compared and gone on from.

The plant is the simulated one with durations that do not vary; the controller is the live one over `Stored`.
`World` moves them by small actions and looks at every command and every motion with the eyes of `explore_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from battery_bms.port import PackReading
from robotics.port import CellStatus, LinkLost, Location, LocationKind, Refused, RobotCommand
from scheduler.types import PackState, StationMode
from sim.plant.plant import Plant
from sim.plant.rack import US_PER_S
from swap.messages.events import ControllerStarted
from swap.station.answers import Denied
from swap.station.sequence.evacuation import EVACUATE_WITHIN_S
from swap.station.sequence.handshake import RESEND_S
from swap.station.sequence.recipe import TERMINAL, StepRow, StepTable
from swap.station.sequence.row_facts import MOVING_MODES
from swap.station.sequence.sequencer import CHECK_RETRY_S, begin
from swap.station.sequence.session import Phase
from swap.station.states.modes import IllegalMode
from swap.station.states.thermal_stages import THERMAL_STAGE, Stage
from swap.store import LeaseLost
from tests.prove.explore_env import Env, Rival
from tests.prove.explore_key import parts
from tests.prove.explore_layout import TAG, explored_station, seat_plans
from tests.prove.explore_parts import Nominal, Snapshot, WorldRack
from tests.prove.explore_plant import Keeper
from tests.prove.explore_rack import START_AT, JudgedRack
from tests.prove.explore_robot import WorldRobot
from tests.prove.explore_station import (
    LANE,
    LOST_THERMAL,
    VEHICLE,
    MemoryController,
    StationClock,
    Stored,
    Violation,
    at_once,
    in_loop,
)

PERSON = "Person on shift"
HOLDERS = ("first", "second", "third")
"""Names of lives: two may be there at a time."""
_MOMENT_S = 0.001
WORKED_SEQ = 812
"""Number that a cell shows whose record was begun anew."""
GAP_S = 4.0
"""A pause that is longer than a cell waits for its controller, and than a controller takes for nothing."""


class World(JudgedRack):
    """Plant, controller and surroundings of one swap."""

    def __init__(
        self,
        table: StepTable,
        rules: Any,
        mishaps: int,
        lane_patch: Callable[[Any], None] | None = None,
        *,
        fenced: bool = True,
        quarantine: bool = False,
        new_record: bool = False,
    ):
        self.table = table
        self.fenced = fenced
        self.stale = False
        """The controller that acts has lost its station."""
        self.rules = rules
        self.config = explored_station(table, quarantine=quarantine)
        self.plant = Plant(self.config, seed=0, start_at=START_AT)
        self.plant.vehicles_tell = quarantine
        self.plant._driver_draw = Nominal(0, "")
        for cell in self.plant.cells.values():
            cell.draw = Nominal(0, "")
            cell.listeners.append(self._told)
        self.cell = self.plant.cell(LANE)
        self._read = [bay.id for bay in self.config.bays if bay.point is not None]
        self.keeper = Keeper(self.plant)
        self.env = Env(mishaps_left=mishaps)
        self.clock = StationClock(START_AT)
        self.robot = WorldRobot(self)
        self.plant.arrive(VEHICLE, [30.0] * table.pack_count)
        plans = seat_plans(table)
        session = begin(table, "swap-1", TAG, plans, START_AT)
        places = {code: pack.place for code, pack in self.plant.rack.packs.items()}
        states = dict.fromkeys(places, PackState.ON_VEHICLE)
        states |= {str(plan.new_pack_id): PackState.RESERVED for plan in plans}
        stored = Stored(session, 65530, StationMode.AUTOMATIC, places, states)
        rack = WorldRack(self)
        self.controller = MemoryController(self.config, self.robot, stored, self.clock, rack)
        at_once(self.controller.context.write(self._first_life))
        self.controller.context.has_right = self._has_right
        self.lane = self.controller.lane
        self.lane.table, self.lane.session = table, session
        self._readings = {}
        if new_record:
            self._begin_record()
        self.claim()
        if lane_patch is not None:
            lane_patch(self.lane)

    def _first_life(self, db: Any) -> None:
        self.controller.claimed.begin("first", 1)
        self.controller.live_as("first", 1)
        db.journal = [(ControllerStarted.kind, "first")]

    def _begin_record(self) -> None:
        """The cell has worked under a record that is lost; a named person has begun this one."""
        cell, controller = self.cell, self.controller
        cell.last_seq = cell.done_seq = WORKED_SEQ
        self.env = replace(self.env, asked_seq=WORKED_SEQ, accepted_seq=WORKED_SEQ)
        controller.stored, controller.new_record_by = replace(controller.stored, last_seq=0), PERSON
        at_once(controller._know_the_cells())

    def _has_right(self, *_: object) -> bool:
        """What the contract says. Raises LookupError where it cannot be read."""
        if self.env.right == "unreadable":
            raise LookupError("terms of an unknown kind")
        self.env = replace(self.env, right_seen=self.env.right_seen or not self.env.right)
        return not self.env.right

    def claim(self) -> None:
        """The heartbeat carries the claim: a cell without an owner takes it."""
        if not (self.env.link_down or self.env.down in ("died", "stopped")):
            self.cell.claim(self.controller.claimed.token, owner_silent=False)

    def silent(self) -> None:
        """The cell has heard nothing of its controller for longer than it waits: it lets it go."""
        if self.cell.owner:
            self.cell.claim(0, owner_silent=True)

    # keeping and going on

    def snapshot(self) -> Snapshot:
        return Snapshot(self.keeper.keep(), self.controller.stored, self._volatile, self.robot.last, self.env)

    @property
    def _volatile(self) -> tuple[Any, ...]:
        return self.lane.volatile, self.controller.heat.volatile

    def restore(self, kept: Snapshot) -> None:
        self.keeper.restore(kept.plant)
        self.clock.us = self.plant.now_us
        self.controller.stored = kept.stored
        self.controller.live_as(kept.stored.holder, self._token(kept.stored))
        self.controller.context.mode, self.controller.context.mode_reason = kept.stored.mode, kept.stored.mode_reason
        self.lane.volatile, self.controller.heat.volatile = kept.volatile
        self.robot.last = kept.last
        self.robot.die_at, self.robot.person_acts, self.robot.resumed = None, False, False
        self.robot.freeze_at, self.robot.frozen, self.controller.store.lose_at = None, False, None
        self.env = kept.env
        if kept.last is not None:
            self.controller.context.cells[LANE] = kept.last
        else:
            self.controller.context.cells.pop(LANE, None)

    @staticmethod
    def _token(stored: Stored) -> int:
        return HOLDERS.index(stored.holder) + 1

    def looked(self) -> tuple[CellStatus | None, dict[str, PackReading]]:
        """What the controller saw at its last look."""
        return self.robot.last, dict(self.controller.context.readings)

    def look_as(self, seen: tuple[CellStatus | None, dict[str, PackReading]]) -> None:
        """Take a look over that was taken in this very state."""
        self.robot.last = seen[0]
        self.controller.context.readings.update(seen[1])
        if seen[0] is not None:
            self.controller.context.cells[LANE] = seen[0]

    def key(self) -> int:
        """Equal for worlds that go on alike."""
        return hash(self.parts())

    def parts(self) -> tuple[Any, ...]:
        """What the future depends on."""
        return parts(self)

    @property
    def ended(self) -> bool:
        return self.controller.stored.session.state in TERMINAL

    @property
    def row(self) -> StepRow | None:
        """The row the stored swap is in."""
        return self.table.by_state.get(self.controller.stored.session.state)

    # the controller

    def cycle(self) -> bool:
        """One look of the controller at everything, one step; whether anything came of it."""
        before = (self.controller.stored, self._volatile, self.plant.changes, self.env)
        phase, row = None if self.lane.session is None else self.lane.session.phase, self.row
        seen = not self.env.link_down and not self.cell.faults.frozen_heartbeat
        self._read_rack()
        self.rules.charging(self)
        gap, self.env = self.env.gap, replace(self.env, gap="")
        if gap:
            self._thaw(gap)
        else:
            at_once(self.lane.cycle())
        at_once(self.controller.heat.cycle())
        if seen:
            self.rules.seen(self, phase, row)
        if gap:
            self.rules.thawed(self, gap)
        return before != (self.controller.stored, self._volatile, self.plant.changes, self.env)

    def _thaw(self, gap: str) -> None:
        """The step after a gap, with the live watchdog; looks went on where only commanding stood still."""
        controller, watchdog = self.controller, self.controller.watchdog
        watchdog.begin_anew()
        for controller.watched_s in (0.0, *((1.0, 2.0, 3.0) if gap == "commanding" else ()), GAP_S):
            watchdog.looked(LANE)
            if controller.watched_s == 0.0:
                watchdog.worked(LANE)
        at_once(self.lane.look())
        at_once(cast(Coroutine[Any, Any, object], controller._lane_step(self.lane)()))

    def freeze(self) -> None:
        """The process stands still for longer than the cell waits for it; it does not know that yet."""
        self.silent()
        self.plant.set_station_alive(LANE, False)
        self.pass_s(GAP_S)
        self.plant.set_station_alive(LANE, True)
        self.claim()
        self.env = replace(self.env, gap="looking", person_needed=self.env.person_needed or "a pause")

    def stand(self) -> None:
        """Nothing can be commanded for a while; looks and heartbeats go on."""
        self.pass_s(GAP_S)
        self.env = replace(self.env, gap="commanding", person_needed=self.env.person_needed or "a pause")

    def pass_s(self, seconds: float) -> None:
        """Time passes, and nobody looks."""
        self.plant.advance(seconds)
        self.clock.us = self.plant.now_us

    def advance(self) -> bool:
        """Let time pass to the next change of the plant or the next limit of the controller; False for neither."""
        due = [us for us in (self.plant.yard.next_us(), self.cell.next_us()) if us is not None]
        waits = [max(us - self.plant.now_us, 0) / US_PER_S for us in due] + self._limits_s()
        if not waits:
            return False
        self.plant.advance(min(waits))
        self.clock.us = self.plant.now_us
        return True

    def _limits_s(self) -> list[float]:
        """Seconds until the controller would look at the same facts otherwise."""
        if self.env.down or self.lane.session is None:
            return []
        now, session = self.clock.now(), self.lane.session
        limits: list[float] = []

        def after(at: datetime | None, seconds: float = 0.0) -> None:
            if at is not None:
                left_us = round((at - now).total_seconds() * 1e6) + round((seconds + _MOMENT_S) * 1e6)
                if left_us > 0:
                    limits.append(left_us / 1e6)

        cell = self.cell
        numbers = (cell.ack_seq, cell.active_seq, cell.done_seq)
        _, sent_at, (_, _, extra, extra_at, extra_until_at, _), _ = self.lane.volatile
        if extra is not None:
            after(extra_at, RESEND_S)
            after(extra_until_at)
        procedures, sent_hot, _ = self.controller.heat.volatile
        for bay, hot in procedures:
            if hot.stage in THERMAL_STAGE.ends:
                continue
            after(hot.deadline_at)
            after(hot.detected_at, EVACUATE_WITHIN_S)
            if hot.seq is not None and hot.seq not in numbers:
                after(dict(sent_hot).get(bay), RESEND_S)
        if session.phase is Phase.HELD:
            if session.seq is not None and session.seq not in numbers:
                after(sent_at)  # the look after this one tells what became of what was sent just now
            return limits
        after(session.deadline_at)
        if session.checked_at is not None:
            after(session.checked_at, CHECK_RETRY_S)
        if session.phase is Phase.SENT and session.seq not in numbers:
            after(sent_at, RESEND_S)
        if self.env.link_down and self.robot.last is not None:
            after(self.robot.last.fast_at, self.config.lanes[0].cell.max_age_s)
            after(self.robot.last.fast_at, self.config.lanes[0].cell.heartbeat_lost_s)
        return limits

    def die(self) -> None:
        """The process is killed; the cell ends its motion, nothing that was not stored is left."""
        self.robot.last = None
        self.controller.context.cells.clear()
        self._forgotten()
        self.silent()
        self.env = replace(self.env, down="died", gap="", sent=None, person_needed=self.env.person_needed or "restart")

    def _forgotten(self) -> None:
        self.lane.volatile = (None, None, (None, frozenset(), None, None, None, 0), None)
        self.controller.heat.volatile = LOST_THERMAL

    def stop(self) -> None:
        """The process is asked to end, and ends in good order."""
        in_loop(self.controller.stop())
        self.robot.last = None
        self.controller.context.cells.clear()
        self._forgotten()
        needed = self.env.person_needed or ("" if self.row is None or self._at_first else "a stop")
        self.env = replace(self.env, down="stopped", gap="", sent=None, person_needed=needed)

    @property
    def _at_first(self) -> bool:
        """The swap is not past admitting: no robot has moved for it."""
        return self.controller.stored.session.state == self.table.first_state

    def lose_database(self) -> None:
        """The database is away: the controller holds by its own act and waits."""
        self.controller.store.lose_at = None
        at_once(self.robot.hold("the database is lost"))
        self._forgotten()
        needed = self.env.person_needed or "a lost database"
        self.env = replace(self.env, down="database", gap="", sent=None, person_needed=needed)

    def restart(self) -> None:
        """The process comes back, or the database, and the stored state is taken up."""
        why, stored = self.env.down, self.controller.stored
        self.env = replace(self.env, down="")
        if why == "database":
            self.controller.take_up()
            return
        rival = None if self.env.rival is None else self.env.rival.holder
        holder = next(name for name in HOLDERS if name not in (stored.holder, rival))
        self.controller.claimed.token = token = self._token(replace(stored, holder=holder))
        self.claim()
        self.controller.begin(holder, token)

    def take_over(self, late: str = "", write: Callable[[], object] = lambda: None) -> None:
        """The process stands still, and a controller elsewhere is about to take the station over."""
        context, claimed = self.controller.context, self.controller.claimed
        readings = dict(context.readings)
        rival = Rival(
            claimed.holder, claimed.token, self._volatile, context.mode, self.robot.last, readings, late, write
        )
        self.freeze()
        self.die()
        self.env = replace(self.env, rival=rival)

    def rival_goes_on(self) -> None:
        """The stale controller is thawed: its write arrives, it makes a step, finds that its station is another's,
        and ends. Nothing of it may be seen: not at the cell, not at the chargers, not in the record."""
        rival = self.env.rival
        assert rival is not None
        self.plant.advance(0.0)  # what the cell does by itself is nobody's doing
        kept = self.snapshot()
        readings, before = dict(self.controller.context.readings), self._untouched()
        controller, context = self.controller, self.controller.context
        controller.live_as(rival.holder, rival.token)
        self.lane.volatile, controller.heat.volatile = rival.memory
        context.mode, self.robot.last = rival.mode, rival.last
        context.readings.update(rival.readings)
        if rival.last is not None:
            context.cells[LANE] = rival.last
        self.stale = True
        try:
            rival.write()
            with suppress(LeaseLost):
                self._thaw("looking")
                at_once(controller.heat.cycle())
            in_loop(controller.stop())
        finally:
            self.stale = False
        after = self._untouched()
        if after != before:
            changed = [name for name in before if after[name] != before[name]]
            raise Violation(f"a controller whose station another one has taken changes {', '.join(changed)}")
        self.restore(kept)
        context.readings.clear()
        context.readings.update(readings)
        self.env = replace(kept.env, rival=None)

    def _untouched(self) -> dict[str, object]:
        """What only the controller that has the station may change."""
        cell = self.cell
        return {
            "the cell's hold": cell.hold,
            "the cell's owner": cell.owner,
            "the cell's epoch": cell.epoch,
            "the cell's command": (cell.active_seq, cell.ack_seq, cell.ack_code, cell.paused),
            "the cell's result": (cell.done_seq, cell.result, cell.done_result),
            "the chargers": {name: bay.setpoint_kw for name, bay in self.plant.rack.bays.items()},
            "the record": self.controller.stored,
        }

    def person(self, kind: str, **arguments: Any) -> None:
        """A named person asks for something; a refusal changes nothing."""
        self.robot.person_acts = True
        held = self.controller.stored.mode
        try:
            at_once(self.controller.answers._answer(kind, arguments, PERSON))
        except (Denied, IllegalMode, LinkLost, Refused):
            return
        finally:
            self.robot.person_acts = False
        self.rules.decided(self)
        mode = self.controller.stored.mode
        if (kind == "decide" and mode in MOVING_MODES) or (kind == "confirm" and mode in MOVING_MODES):
            session = self.lane.session
            if session is None or session.phase is not Phase.HELD or (held not in MOVING_MODES and kind == "confirm"):
                self.env = replace(self.env, person_needed="")

    @property
    def carries_hot_pack(self) -> bool:
        """The procedure for a hot pack has a cell at work."""
        stored = self.controller.stored
        begun = any(hot.stage is Stage.EVACUATION_STARTED for hot in stored.hot.values())
        return begun and stored.mode is StationMode.THERMAL

    @property
    def hot_pack_gripped(self) -> bool:
        """A hot pack hangs in the gripper of a cell at rest, where its evacuation has left it."""
        gripped = self.cell.gripped
        hot = {procedure.pack_id for procedure in self.controller.stored.hot.values() if procedure.left}
        return gripped is not None and gripped.code in hot and self.cell.active is None

    def take_hot_pack(self) -> None:
        """People carry it to the tank, in local mode."""
        self.plant.inject("local_mode", LANE)
        self.plant.inject("local_move", LANE, source=0, target=Location(LocationKind.TANK, 1).code)
        self.plant.clear("local_mode", LANE)

    def _told(self, what: str, command: RobotCommand) -> None:
        self.rules.told(self, what, command)
