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
from robotics.port import CellStatus, CommandCode, LinkLost, Location, LocationKind, ResultCode, RobotCommand, Signal
from scheduler.types import PackState, StationMode
from sim.plant.plant import Draws, Plant
from sim.plant.rack import US_PER_S
from swap.places import TANK, bay_place
from swap.station.answers import Denied
from swap.station.rack import BLOCK_LEVEL, STOP_LEVEL, THERMAL_BITS
from swap.station.sequence.handshake import RESEND_S
from swap.station.sequence.recipe import TERMINAL, StepRow, StepTable
from swap.station.sequence.sequencer import CHECK_RETRY_S, MOVING_MODES, begin
from swap.station.sequence.session import Phase, Session
from swap.station.states.modes import IllegalMode, ModeTrigger
from swap.station.states.pack_states import PackTrigger, may, next_pack_state, trigger_for_reading
from swap.station.thermal import evacuation_bars
from tests.prove.explore_layout import TAG, explored_station, seat_plans
from tests.prove.explore_plant import Keeper
from tests.prove.explore_robot import WorldRobot
from tests.prove.explore_station import LANE, VEHICLE, MemoryController, StationClock, Stored, at_once

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
    latched: frozenset[str] = frozenset()
    """Bays whose pack was detected hot."""
    evacuation: tuple[str, int] | None = None
    """Pack and number of the evacuation under way."""
    lost_track: frozenset[str] = frozenset()
    """Packs that the fire procedure left on the way: a person finds them."""


_ENV_PARTS = attrgetter(*(n for n in Env.__slots__ if n not in ("accepted_seq", "moved_seq", "evacuation")))


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
        return Snapshot(self.keeper.keep(), self.controller.stored, self.lane.volatile, self.robot.last, self.env)

    def restore(self, kept: Snapshot) -> None:
        self.keeper.restore(kept.plant)
        self.clock.us = self.plant.now_us
        self.controller.stored = kept.stored
        self.controller.context.mode = kept.stored.mode
        self.lane.volatile = kept.volatile
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
            None if env.evacuation is None else env.evacuation[1],
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
            return None if at is None else max(round((at - self.clock.now()).total_seconds() * 1000), -200_000)

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

        truck = self.plant.yard.trucks[VEHICLE]
        active = cell.active
        faults = cell.faults
        _, sent_at, (home_by, shown, extra, extra_at) = self.lane.volatile
        sent_s = None if sent_at is None else (self.clock.now() - sent_at).total_seconds()
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
            None if not in_flight or sent_s is None else min(round(sent_s * 1000), 1001),
            (home_by is not None, shown, None if extra is None else (number(extra.seq), extra.code)),
            None if extra is None or extra_at is None else until(extra_at),
            (cell.hold, cell.paused, cell.power_confirmed, cell.homed, cell.at_home, cell.located, cell.called_tag),
            (number(cell.ack_seq), cell.ack_code, number(cell.done_seq), cell.result),
            (cell.control_mode, cell.run_mode, tuple(cell.latched)),
            (stored.session.seq in cell.used, extra is not None and extra.seq in cell.used),
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
            None if env.evacuation is None else (env.evacuation[0], number(env.evacuation[1])),
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
        before = (self.controller.stored, self.lane.volatile, self.plant.changes, self.env)
        phase, row = None if self.lane.session is None else self.lane.session.phase, self.row
        seen = not self.env.link_down and not self.cell.faults.frozen_heartbeat
        self._read_rack()
        self.rules.charging(self)
        at_once(self.lane.cycle())
        self._watch_evacuation()
        if seen:
            self.rules.seen(self, phase, row)
        return before != (self.controller.stored, self.lane.volatile, self.plant.changes, self.env)

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
        now, session, limits = self.clock.now(), self.lane.session, []

        def after(at: datetime | None, seconds: float = 0.0) -> None:
            if at is not None:
                left_us = round((at - now).total_seconds() * 1e6) + round((seconds + _MOMENT_S) * 1e6)
                if left_us > 0:
                    limits.append(left_us / 1e6)

        _, sent_at, (_, _, extra, extra_at) = self.lane.volatile
        if extra is not None:
            after(extra_at, 1.0)
            after(extra_at, 120.0)
        if session.phase is Phase.HELD:
            return limits
        after(session.deadline_at)
        if session.checked_at is not None:
            after(session.checked_at, CHECK_RETRY_S)
        cell = self.cell
        if session.phase is Phase.SENT and session.seq not in (cell.ack_seq, cell.active_seq, cell.done_seq):
            after(sent_at, RESEND_S)
        if self.env.link_down and self.robot.last is not None:
            after(self.robot.last.fast_at, self.config.lanes[0].cell.max_age_s)
            after(self.robot.last.fast_at, self.config.lanes[0].cell.heartbeat_lost_s)
        return limits

    def die(self) -> None:
        """The process is killed; the cell ends its motion, nothing that was not stored is left."""
        self.robot.last = None
        self.controller.context.cells.clear()
        self.lane.volatile = (None, None, (None, frozenset(), None, None))
        self.env = replace(self.env, down=True, person_needed=self.env.person_needed or "restart")

    def restart(self) -> None:
        """The process comes back and takes the stored state up."""
        self.env = replace(self.env, down=False)
        self.controller.restart()

    def person(self, kind: str, **arguments: Any) -> None:
        """A named person asks for something; a refusal changes nothing."""
        self.robot.person_acts = True
        held = self.controller.stored.mode
        try:
            at_once(self.controller.answers._answer(kind, arguments, PERSON))
        except (Denied, IllegalMode, LinkLost):
            return
        finally:
            self.robot.person_acts = False
        mode = self.controller.stored.mode
        if (kind == "decide" and mode in MOVING_MODES) or (kind == "confirm" and mode in MOVING_MODES):
            session = self.lane.session
            if session is None or session.phase is not Phase.HELD or (held not in MOVING_MODES and kind == "confirm"):
                self.env = replace(self.env, person_needed="")

    # the rack, as `RackRunner` and `ThermalRunner` judge it

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
        states = dict(stored.states)
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
            hot = reading.alarm_level >= STOP_LEVEL and reading.alarm_bits & THERMAL_BITS
            if hot and bay_id not in self.env.latched:
                self.env = replace(self.env, latched=self.env.latched | {bay_id})
                if stored.mode not in (StationMode.THERMAL, StationMode.FIRE):
                    at_once(self.controller.change_mode(ModeTrigger.THERMAL, "thermal event", "controller"))
                    stored = self.controller.stored
        if states != stored.states:
            self.controller.stored = replace(self.controller.stored, states=states)

    def _bays_in_motion(self) -> set[str]:
        if self.ended:
            return set()
        keys = [key for plan in self.controller.stored.session.seats for key in (plan.old_bay, plan.new_bay)]
        return {key.split(":", 1)[1] for key in keys if key is not None}

    def hot_bay(self) -> str | None:
        """A bay whose pack the thermal procedure would carry to the tank now."""
        if self.env.evacuation or self.controller.stored.mode is not StationMode.THERMAL or self.env.person_needed:
            return None
        cell = self.controller.context.cells.get(LANE)
        if cell is None:
            return None
        facts = self.lane.cell_facts(cell)
        if evacuation_bars(facts, since_s=0.0, robot_free=cell.active_seq == 0):
            return None
        return next((bay for bay in sorted(self.env.latched) if self.plant.rack.at(bay_place(bay))), None)

    def evacuate(self, bay_id: str) -> None:
        """As `ThermalRunner._send`: the number is stored, the hold withdrawn, the command given."""
        pack = self.plant.rack.at(bay_place(bay_id))
        assert pack is not None
        stored = self.controller.stored
        seq = stored.last_seq % 65535 + 1
        self.controller.stored = replace(stored, last_seq=seq)
        self.env = replace(self.env, evacuation=(pack.code, seq))
        position = self.plant.rack.bays[bay_id].section.position
        self.plant.set_hold(LANE, False)
        self.plant.command(LANE, RobotCommand(seq, CommandCode.FIRE, Location(LocationKind.BAY, position)))

    def _watch_evacuation(self) -> None:
        if self.env.evacuation is None or self.env.link_down:
            return
        code, seq = self.env.evacuation
        cell = self.cell
        if cell.done_seq != seq or cell.active_seq == seq or cell.result is ResultCode.NONE:
            refused = cell.ack_seq == seq and cell.active_seq != seq and cell.done_seq != seq
            if refused:
                self.env = replace(self.env, evacuation=None)
            return
        if cell.result is not ResultCode.DONE:
            self.env = replace(self.env, lost_track=self.env.lost_track | {code})
        elif self.plant.signals(LANE)[Signal.TANK_OCCUPIED]:
            stored = self.controller.stored
            state = next_pack_state(stored.states[code], PackTrigger.EVACUATE)
            self.controller.stored = replace(
                stored, places={**stored.places, code: TANK}, states={**stored.states, code: state}
            )
        self.plant.done_ack(LANE, seq)
        self.env = replace(self.env, evacuation=None)

    def _told(self, what: str, command: RobotCommand) -> None:
        self.rules.told(self, what, command)
