"""One lane, its truck and its rack as one value that can be kept, compared and gone on from.

The plant is the simulated one with durations that do not vary; the controller is the live one over `Stored`.
`World` moves them by small actions and looks at every command and every motion with the eyes of `explore_rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from battery_bms.limits import judge
from battery_bms.port import PackReading
from robotics.port import CellStatus, LinkLost, Location, LocationKind, Refused, RobotCommand
from scheduler.types import PackState, StationMode
from sim.plant.plant import Draws, Plant
from sim.plant.rack import US_PER_S
from swap.places import bay_place
from swap.station.answers import Denied
from swap.station.rack import BLOCK_LEVEL, STOP_LEVEL, THERMAL_BITS
from swap.station.sequence.evacuation import EVACUATE_WITHIN_S, Procedure
from swap.station.sequence.handshake import RESEND_S
from swap.station.sequence.recipe import TERMINAL, StepRow, StepTable
from swap.station.sequence.sequencer import CHECK_RETRY_S, MOVING_MODES, begin
from swap.station.sequence.session import Phase, Session
from swap.station.states.modes import IllegalMode
from swap.station.states.pack_states import PackTrigger, may, next_pack_state, trigger_for_reading
from swap.station.states.thermal_stages import THERMAL_STAGE, Stage
from tests.prove.explore_layout import TAG, explored_station, seat_plans
from tests.prove.explore_plant import Keeper
from tests.prove.explore_robot import WorldRobot
from tests.prove.explore_station import LANE, LOST_THERMAL, VEHICLE, MemoryController, StationClock, Stored, at_once

START_AT = datetime(2026, 9, 1, 3, 0, tzinfo=UTC)
PERSON = "Person on shift"
_MOMENT_S = 0.001
_NEVER_OLD_AT = START_AT + timedelta(days=36500)
"""The rack's link never fails here; a silent BMS gives no code."""


class Nominal(Draws):
    """No variation: the same action from the same state ends in the same state."""

    def __call__(self, nominal: float, spread_share: float) -> float:
        return nominal


@dataclass(frozen=True, slots=True)
class Env:
    """What is so around plant and controller."""

    faults: tuple[str, ...] = ()
    """Faults that are there now, in the order they came."""
    mishaps_left: int = 0
    down: bool = False
    """The controller's process is dead."""
    person_needed: str = ""
    """Why nothing may move before a named person has decided; empty when it may."""
    unseen: tuple[str, ...] = ()
    """Trips that came while a fresh look at the cell was still to be had."""
    link_down: bool = False
    drop_sends: int = 0
    drop_acks: int = 0
    by_hand: bool = False
    """Packs were moved by hand: record and truth may differ until the step resolves it."""
    accepted_seq: int = 0
    moved_seq: int = 0
    sent: tuple[int, int] | None = None
    """Number that left last, and when, µs of the plant; what the process remembers of it dies with it."""


_ENV_PARTS = attrgetter(*(n for n in Env.__slots__ if n not in ("accepted_seq", "moved_seq", "sent")))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a world is."""

    plant: tuple[Any, ...]
    stored: Stored
    volatile: tuple[Any, ...]
    last: CellStatus | None
    env: Env


class World:
    """Plant, controller and surroundings of one swap."""

    def __init__(self, table: StepTable, rules: Any, mishaps: int, lane_patch: Callable[[Any], None] | None = None):
        self.table = table
        self.rules = rules
        self.config = explored_station(table)
        self.plant = Plant(self.config, seed=0, start_at=START_AT)
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
        self.controller = MemoryController(self.config, self.robot, stored, self.clock)
        self.lane = self.controller.lane
        self.lane.table, self.lane.session = table, session
        self._readings: dict[tuple[Any, ...], tuple[PackReading, int]] = {}
        if lane_patch is not None:
            lane_patch(self.lane)

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
        self.controller.context.mode = kept.stored.mode
        self.lane.volatile, self.controller.heat.volatile = kept.volatile
        self.robot.last = kept.last
        self.robot.die_at, self.robot.person_acts, self.robot.resumed = None, False, False
        self.env = kept.env
        if kept.last is not None:
            self.controller.context.cells[LANE] = kept.last
        else:
            self.controller.context.cells.pop(LANE, None)

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
        """What the future depends on: times count from now, numbers by what they are to those waited for."""
        now_us, stored, env, cell = self.plant.now_us, self.controller.stored, self.env, self.cell
        waited_for = (
            stored.session.seq,
            None if self.lane.volatile[2][2] is None else self.lane.volatile[2][2].seq,
            next((hot.seq for hot in stored.hot.values() if hot.stage is Stage.EVACUATION_STARTED), None),
            stored.last_seq,
        )

        def number(seq: int | None) -> int | None:
            """Which of the numbers that matter; the others are only old."""
            if not seq:
                return seq
            return waited_for.index(seq) + 1 if seq in waited_for else 9

        def left(us: int | None) -> int | None:
            return None if us is None else round((us - now_us) / 1000)

        def until(at: datetime | None) -> int | None:
            """Milliseconds from now; what is over is over."""
            return None if at is None else max(round((at - self.clock.now()).total_seconds() * 1000), -250_000)

        def session_key(session: Session | None) -> Any:
            if session is None:
                return None
            waits = session.phase is not Phase.HELD
            return (
                session.state,
                session.phase,
                number(session.seq),
                session.tries,
                session.hold_reason,
                session.resumed,
                session.refused,
                until(session.deadline_at) if waits else None,
                until(session.checked_at) if waits and session.checked_at else None,
                tuple((k, v["result"], v["tries"]) for k, v in sorted(session.checks.items())),
                session.exchanged,
            )

        sent_hot = dict(self.controller.heat.volatile[1])

        def sent_ms(at: datetime | None) -> int | None:
            """Milliseconds since a sending; all the same once the number may be sent again."""
            return None if at is None else min(-(until(at) or 0), 1001)

        def hot_key(hot: Procedure) -> Any:
            if hot.stage in THERMAL_STAGE.ends:
                return hot.bay, hot.stage, hot.seq is not None, hot.left
            limits = until(hot.detected_at), until(hot.deadline_at), sent_ms(sent_hot.get(hot.bay))
            return hot.bay, hot.stage, number(hot.seq), hot.confirming, hot.tries, limits

        truck = self.plant.yard.trucks[VEHICLE]
        active = cell.active
        faults = cell.faults
        _, sent_at, (home_by, shown, extra, extra_at, extra_until_at, extra_epoch), goes_by = self.lane.volatile
        in_flight = stored.session.phase in (Phase.SENT, Phase.HELD)
        last = self.robot.last
        age = None
        if env.link_down:
            age = "never" if last is None or last.fast_at is None else min(-(until(last.fast_at) or 0), 3100)
        return (
            session_key(stored.session),
            None if env.down else session_key(self.lane.session),
            stored.mode,
            tuple(stored.places.values()),
            tuple(stored.states.values()),
            sent_ms(sent_at) if in_flight else None,
            (home_by is not None, shown, None if extra is None else (number(extra.seq), extra.code)),
            None if extra is None else (sent_ms(extra_at), until(extra_until_at)),
            tuple(hot_key(hot) for hot in stored.hot.values()),
            None if env.down or not stored.hot else self.controller.heat.volatile[2],
            (cell.hold, cell.paused, cell.power_confirmed, cell.homed, cell.at_home, cell.located, cell.called_tag),
            (number(cell.ack_seq), cell.ack_code, number(cell.done_seq), cell.result),
            (cell.control_mode, cell.run_mode, tuple(cell.latched)),
            (number(cell.last_seq), cell.first_command, cell.done_result, cell.done_seq == stored.ended_seq),
            (
                goes_by is None,
                goes_by == cell.epoch,
                extra is not None and extra_epoch == cell.epoch,
                last is not None and last.epoch == cell.epoch,
            ),
            (faults.gripper_jam, faults.pick_misses, faults.lidar_misses, faults.lost_ack),
            None
            if active is None
            else (
                active.command.code,
                number(active.command.seq),
                active.phase,
                left(active.due_us),
                round(active.left_us / 1000),
                active.waited_s,
            ),
            (truck.place, left(truck.stop_us), tuple(truck.secured.values()), tuple(truck.heads)),
            tuple(left(us) for us in truck.secure_us.values()),
            tuple(pack.place for pack in self.plant.rack.packs.values()),
            _ENV_PARTS(env),
            age,
        )

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
        at_once(self.lane.cycle())
        at_once(self.controller.heat.cycle())
        if seen:
            self.rules.seen(self, phase, row)
        return before != (self.controller.stored, self._volatile, self.plant.changes, self.env)

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
        self.lane.volatile = (None, None, (None, frozenset(), None, None, None, 0), None)
        self.cell.new_epoch()  # nobody is heard any more
        self.controller.heat.volatile = LOST_THERMAL
        self.env = replace(self.env, down=True, sent=None, person_needed=self.env.person_needed or "restart")

    def restart(self) -> None:
        """The process comes back and takes the stored state up."""
        self.env = replace(self.env, down=False)
        self.cell.new_epoch()  # another life claims the cell
        self.controller.restart()

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
        mode = self.controller.stored.mode
        if (kind == "decide" and mode in MOVING_MODES) or (kind == "confirm" and mode in MOVING_MODES):
            session = self.lane.session
            if session is None or session.phase is not Phase.HELD or (held not in MOVING_MODES and kind == "confirm"):
                self.env = replace(self.env, person_needed="")

    # the rack, as `RackRunner` judges it

    def _read_rack(self) -> None:
        levels: dict[str, int] = {}
        for bay in self._read:
            self.controller.context.readings[bay], levels[bay] = self._reading(bay)
        self._judge_rack(self.controller.context.readings, levels)

    def _reading(self, bay_id: str) -> tuple[PackReading, int]:
        """A reading and its alarm level; made once for the same facts, since nothing here charges or heats slowly."""
        bay = self.plant.rack.bays[bay_id]
        pack = self.plant.rack.at(bay_place(bay_id))
        facts: tuple[Any, ...] = (bay_id, bay.held_kw, bay.setpoint_kw, bay.bms_silent, bay.false_code)
        if pack is not None:
            facts = (*facts, pack.code, pack.alarm_level, pack.alarm_bits, round(pack.temp_c))
        known = self._readings.get(facts)
        if known is None:
            reading = replace(self.plant.pack_reading(bay_id), at=_NEVER_OLD_AT)
            level = max(judge(reading, self.controller.context.limits["lfp-171"]).level, reading.alarm_level)
            known = self._readings[facts] = (reading, level)
        return known

    def _judge_rack(self, readings: dict[str, PackReading], levels: dict[str, int]) -> None:
        stored, in_motion = self.controller.stored, self._bays_in_motion()
        states, hot = dict(stored.states), list[str]()
        context = self.controller.context
        for code, place in stored.places.items():
            bay_id = place.removeprefix("bay:")
            reading = readings.get(bay_id) if place.startswith("bay:") else None
            state = states[code]
            if reading is None or state in (PackState.QUARANTINED, PackState.EVACUATED):
                continue
            trigger: PackTrigger | None = None
            if reading.pack_id is None:
                waits = bay_id in in_motion or state in (PackState.RECEIVED, PackState.BLOCKED, PackState.RESERVED)
                trigger = None if waits else PackTrigger.BLOCK
            elif reading.pack_id != code:
                trigger = None if bay_id in in_motion and state is not PackState.RECEIVED else PackTrigger.QUARANTINE
            else:
                level = levels[bay_id]
                if level >= STOP_LEVEL:
                    trigger = PackTrigger.QUARANTINE
                elif level >= BLOCK_LEVEL:
                    trigger = PackTrigger.BLOCK
                elif state is PackState.BLOCKED:
                    trigger = PackTrigger.RECOVER
                elif state is PackState.RECEIVED:
                    trigger = PackTrigger.IDENTIFY
                else:
                    trigger = trigger_for_reading(
                        state,
                        soc_pct=reading.soc_pct or 0.0,
                        temp_max_c=reading.temp_max_c or 0.0,
                        temp_min_c=reading.temp_min_c or 0.0,
                        charging=False,
                        policy=context.policy,
                    )
            if trigger is not None and may(state, trigger):
                states[code] = next_pack_state(state, trigger)
            if reading.alarm_level >= STOP_LEVEL and reading.alarm_bits & THERMAL_BITS and bay_id not in stored.hot:
                hot.append(bay_id)
        if states != stored.states:
            self.controller.stored = replace(stored, states=states)
        if hot:
            at_once(self.controller.heat.detect(hot))

    def _bays_in_motion(self) -> set[str]:
        if self.ended:
            return set()
        keys = [key for plan in self.controller.stored.session.seats for key in (plan.old_bay, plan.new_bay)]
        return {key.split(":", 1)[1] for key in keys if key is not None}

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
