"""One lane's robot cell: the PLC's command handling, its interlocks and the motions of the robot.

The handshake is that of a sequence number: a command is acknowledged (`ack_seq`, `ack_code`), runs
(`active_seq`), ends (`done_seq`, `result`, held until `done_ack`). A number that was used once never moves
anything again.

Requests come with the epoch in which they were decided, or with None from a layout that has no epoch. A request of
another epoch changes nothing; within an epoch a number is new only when it lies ahead of the last one.

Rules of holding:

* e-stop, fire trip and power loss abort the motion where it is; the pack stays where it is.
* light curtain, a door, or a truck that is no longer secured pause the motion (any motion of the robot, from the
  first UNLOCK until the robot is home and the locks are closed); it goes on only after the cause is gone *and* a
  person confirmed at the cell or the station withdrew its hold.
* the station's hold, or its silence, lets the running command end and refuses the next.

Commands have phases, so an abort leaves the cell in a true intermediate state: a pick has the pack in the
gripper after the first phase, heads are between open and closed while they move.
"""

from __future__ import annotations

from robotics.port import (
    AckCode,
    CommandCode,
    ControlMode,
    LocationKind,
    ResultCode,
    RobotCommand,
    RunMode,
)
from sim.plant.cell_state import DRIVER_MOVES, PHASES, ActiveCommand, CellTruth
from sim.plant.fault_codes import cell_fault
from sim.plant.interlocks import Ruling, judge, may_go_on
from sim.plant.motion import effect
from sim.plant.rack import US_PER_S

NOMINAL_S: dict[CommandCode, float] = {
    CommandCode.ADMIT: 40.0,
    CommandCode.LOCATE: 8.0,
    CommandCode.UNLOCK: 10.0,
    CommandCode.LOCK: 12.0,
    CommandCode.PICK: 45.0,
    CommandCode.PUT: 45.0,
    CommandCode.HOME: 15.0,
    CommandCode.RELEASE: 20.0,
    CommandCode.RESET: 2.0,
    CommandCode.FIRE: 90.0,
}
"""Nominal durations of a top-lift gantry in seconds; assumed, a whole swap then takes about 5 minutes."""
TRANSFER_S = 30.0
"""Pick or put at a transfer bay: it lies beside the lane; assumed."""
SPREAD_SHARE = 0.1
"""Durations vary evenly by this share of the nominal value to either side; assumed."""
ADMIT_WAIT_S = 280.0
"""A truck that was called and does not come is given up by the PLC."""
TANK_WAIT_S = 60.0
"""The fire procedure waits this long at the tank before it gives up with the pack in the gripper."""


def ahead(seq: int, last: int) -> bool:
    """A number lies 1…32767 ahead of the last one around the circle."""
    return 1 <= (seq - last) & 0xFFFF <= 0x7FFF


class Cell(CellTruth):
    """One robot cell with its PLC. Time is given with every call, in microseconds of the plant."""

    # Commands

    def claim(self, token: int, *, owner_silent: bool, epoch: int | None = None) -> bool:
        """A controller asks for ownership (0 gives it up). True when it owns the cell now."""
        if epoch not in (None, self.epoch):
            return False
        if token == self.owner:
            return True
        if token == 0 or self.owner == 0 or owner_silent:
            self.owner = token
            self.new_epoch()
            return True
        return False

    def command(
        self, command: RobotCommand, now_us: int, token: int | None = None, epoch: int | None = None
    ) -> AckCode:
        """Take a command, refuse it, or recognise it. A number used before never moves anything.

        Args:
            token: claim that came with the command; None leaves ownership unchecked.
            epoch: epoch in which it was decided; None where the layout has none.
        """
        known = self._known(command.seq, token, epoch)
        if known is not None:
            return known
        code = self._judge(command, now_us, token, fenced=epoch is not None)
        if self.faults.lost_ack > 0 and code == AckCode.ACCEPTED:
            self.faults.lost_ack -= 1
        else:
            self.ack_seq, self.ack_code = command.seq, code
        self._used_up(command.seq, code)
        if code == AckCode.ACCEPTED:
            self._start(command, now_us)
        return code

    def refuse(self, seq: int, token: int | None = None, epoch: int | None = None) -> None:
        """Answer a command that could not be read."""
        if self._known(seq, token, epoch) is None:
            self.ack_seq, self.ack_code = seq, AckCode.REFUSED_PARAMETER
            self._used_up(seq, AckCode.REFUSED_PARAMETER)

    def _known(self, seq: int, token: int | None, epoch: int | None) -> AckCode | None:
        """Answer to a number that is not judged; None for a new one."""
        if seq == 0:
            return AckCode.NONE
        if epoch is None:
            known = seq == self.ack_seq and self.ack_code is not AckCode.REFUSED_OWNER
            return self.ack_code if known or seq in (self.active_seq, self.done_seq) else None
        if epoch != self.epoch:
            return AckCode.NONE
        if token is not None and (token == 0 or token != self.owner):
            self.refused_owner = token
            self.changes += 1
            return AckCode.REFUSED_OWNER
        if seq == self.last_seq:
            return self.ack_code
        return None if self.first_command or ahead(seq, self.last_seq) else AckCode.NONE

    def _used_up(self, seq: int, code: AckCode) -> None:
        if code is not AckCode.REFUSED_OWNER:  # a stranger's number is still free for the owner
            self.used.append(seq)
            self.last_seq, self.first_command = seq, False
        self.changes += 1

    def done_ack(self, seq: int, epoch: int | None = None) -> None:
        """The station has stored the result of a number: the result goes back to idle, the number stays."""
        if epoch in (None, self.epoch) and seq == self.done_seq and self.result != ResultCode.NONE:
            self.result = ResultCode.NONE
            self.changes += 1

    def _judge(self, command: RobotCommand, now_us: int, token: int | None, *, fenced: bool) -> AckCode:
        if token is not None and (token == 0 or token != self.owner):
            return AckCode.REFUSED_OWNER
        if not fenced and command.seq in self.used:
            return AckCode.REFUSED_PARAMETER
        if self.active is not None or self.result != ResultCode.NONE:
            return AckCode.BUSY
        in_fire = self.run_mode == RunMode.FIRE and command.code in (CommandCode.FIRE, CommandCode.RESET)
        if self.control_mode != ControlMode.ONLINE or not (self.run_mode == RunMode.AUTO or in_fire):
            return AckCode.REFUSED_MODE
        if self.hold or not self.station_alive:
            return AckCode.REFUSED_MODE
        verdict = judge(self, command, now_us)
        if verdict == Ruling.BAD_PARAMETER:
            return AckCode.REFUSED_PARAMETER
        return AckCode.ACCEPTED if verdict == Ruling.FREE else AckCode.REFUSED_INTERLOCK

    def _start(self, command: RobotCommand, now_us: int) -> None:
        whole_s = self.draw(self._nominal_s(command), SPREAD_SHARE) * self.faults.slow_factor
        phase_s = [whole_s * share for _, share in PHASES[command.code]]
        if command.code == CommandCode.ADMIT:
            self.called_tag = command.vehicle_tag
            truck = self.yard.waiting(command.vehicle_tag)
            if truck is not None:
                self.yard.drive_in(truck, self.lane_id, now_us + round(whole_s * US_PER_S), now_us)
            phase_s = [ADMIT_WAIT_S]
        self.done_result = ResultCode.NONE
        self.latched = [name for name in self.latched if cell_fault(name).blocks]
        self.active = ActiveCommand(command, 0, phase_s, now_us + round(phase_s[0] * US_PER_S))
        if command.code == CommandCode.UNLOCK and self.truck is not None:
            self.truck.opened = True
        if command.code in (CommandCode.PICK, CommandCode.PUT, CommandCode.FIRE):
            self.at_home, self.position = False, None
        if command.code == CommandCode.FIRE:
            self.run_mode = RunMode.FIRE
        self._tell("accepted", command)

    def _nominal_s(self, command: RobotCommand) -> float:
        if self.nominal_s is not None:
            return self.nominal_s(command)
        for location in (command.source, command.target):
            if location is not None and location.kind == LocationKind.TRANSFER:
                return TRANSFER_S
        return NOMINAL_S[command.code]

    def _tell(self, what: str, command: RobotCommand) -> None:
        self.changes += 1
        for listener in self.listeners:
            listener(what, command)

    # Time

    def next_us(self) -> int | None:
        """When the running command's phase ends."""
        return None if self.active is None else self.active.due_us

    def act(self, now_us: int) -> None:
        """Do what is due now."""
        self.watch_trips()
        self._watch(now_us)
        active = self.active
        if active is None:
            return
        if active.command.code == CommandCode.ADMIT:
            self._admit(active, now_us)
        elif active.due_us is not None and active.due_us <= now_us:
            self._end_phase(active, now_us)

    def _admit(self, active: ActiveCommand, now_us: int) -> None:
        truck = self.truck
        if truck is not None:
            self._end(ResultCode.DONE)
            return
        late = self.yard.waiting(active.command.vehicle_tag)
        if late is not None and self.yard.entering(self.lane_id) is None:
            drive_s = self.draw(self._nominal_s(active.command), SPREAD_SHARE) * self.faults.slow_factor
            self.yard.drive_in(late, self.lane_id, now_us + round(drive_s * US_PER_S), now_us)
        elif active.due_us is not None and active.due_us <= now_us:
            if self.yard.entering(self.lane_id) is None:
                self.fail("vehicle_not_arrived")
            else:
                active.due_us = None  # it is driving in and will be waited for

    def _watch(self, now_us: int) -> None:
        """Trips and intrusions act at once, whatever the command."""
        f = self.faults
        active = self.active
        if active is None:
            return
        if f.estop or f.power_cut:
            self.abort("estop_pressed" if f.estop else "power_lost", now_us)
            return
        command = active.command
        if f.axis_alarm and command.code not in (*DRIVER_MOVES, CommandCode.RESET):
            self.fail("axis_x_alarm")
            return
        if f.fire and command.code not in (CommandCode.FIRE, CommandCode.RESET, *DRIVER_MOVES):
            self.abort("fire_released", now_us)
            return
        if command.code in DRIVER_MOVES or command.code == CommandCode.RESET:
            return
        truck = self.truck
        if self.works_at_vehicle(command) and (truck is None or not self.yard.in_position(truck)):
            self.abort("vehicle_moved", now_us)
            return
        why = "curtain" if f.curtain else "door" if f.door else ""
        if not why and not may_go_on(self, command):
            why = "vehicle"
        if why:
            self.pause(why, now_us)

    def pause(self, why: str, now_us: int) -> None:
        """Stop the motion where it is, until a person confirms."""
        if not self.paused:
            self.paused = why
            self.new_epoch()
        active = self.active
        if active is not None and active.due_us is not None:
            active.left_us, active.due_us = max(active.due_us - now_us, 0), None
            self.changes += 1

    def resume(self, now_us: int) -> bool:
        """A person has confirmed (at the cell, or the station withdrew its hold). False while the cause is there."""
        if self.faults.curtain or self.faults.door:
            return False
        active = self.active
        if active is not None and not may_go_on(self, active.command):
            return False
        self.paused = ""
        if active is not None and active.due_us is None:
            active.due_us = now_us + active.left_us
            self.changes += 1
        return True

    def set_hold(self, hold: bool, now_us: int, epoch: int | None = None, seq: int = 0) -> None:
        """The station asks to hold, or withdraws it after a person confirmed.

        Args:
            epoch: epoch in which it was decided; None where the layout has none: then the level counts.
            seq: number of the request within the epoch.
        """
        if epoch is None:
            if hold == self.hold:
                return
        elif epoch != self.epoch or not (self.first_hold or ahead(seq, self.hold_seq)):
            return
        else:
            self.hold_seq, self.first_hold = seq, False
        self.hold = hold
        self.changes += 1
        if not hold and self.paused:
            self.resume(now_us)

    def abort(self, fault: str, now_us: int) -> None:
        """Withdraw the running command where it is, with a fault or, by a person's will, without."""
        active = self.active
        if active is None:
            return
        if fault:
            self.latch(fault)
        truck = self.truck
        if active.command.code == CommandCode.RELEASE and active.phase > 0 and truck is not None:
            self.yard.secure(truck, now_us, self.draw)
        self._end(ResultCode.ABORTED)

    def fail(self, fault: str) -> None:
        """The running command ends without success."""
        self.latch(fault)
        self._end(ResultCode.FAILED)

    def latch(self, fault: str) -> None:
        """Raise a fault. It is shown until a reset, or where it does not block, until the next command."""
        if fault not in self.latched:
            self.latched.append(fault)
            self.changes += 1

    def unlatch(self, fault: str) -> None:
        """Its cause is gone and the PLC needs no reset for it."""
        if fault in self.latched:
            self.latched.remove(fault)
            self.changes += 1

    def force(self, fault: str, now_us: int) -> None:
        """Raise a fault of the catalogue as it is. Raises KeyError for an unknown name."""
        serious = cell_fault(fault).blocks
        if fault not in self.faults.forced:
            self.faults.forced.append(fault)
        if serious:
            self.abort(fault, now_us)

    def _end(self, result: ResultCode) -> None:
        assert self.active is not None
        command = self.active.command
        self.active = None
        self.paused = ""
        self.done_seq, self.result, self.done_result = command.seq, result, result
        if command.code == CommandCode.FIRE:
            self.run_mode = RunMode.AUTO
        if command.code == CommandCode.ADMIT:
            self.called_tag = 0
        self._tell(result.name.lower(), command)

    def _end_phase(self, active: ActiveCommand, now_us: int) -> None:
        outcome = effect(self, active, now_us)
        if outcome.moved:
            self.lifts += 1
            self._tell("moved", active.command)
        if outcome.wait:
            self._wait_for_tank(active, now_us)
        elif outcome.fault:
            self.fail(outcome.fault)
        elif active.phase + 1 >= len(active.phase_s):
            self._end(ResultCode.DONE)
        else:
            active.phase += 1
            active.due_us = now_us + round(active.phase_s[active.phase] * US_PER_S)

    def _wait_for_tank(self, active: ActiveCommand, now_us: int) -> None:
        """Ask the tank again each second; give up with the pack in the gripper after `TANK_WAIT_S`."""
        active.waited_s += 1.0
        if active.waited_s > TANK_WAIT_S:
            self.fail("tank_not_ready")
        else:
            active.due_us = now_us + US_PER_S
