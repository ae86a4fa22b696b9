"""A PLC of a swap cell, written from the page docs/integrators.md alone.

It shares no line with the station: another Modbus library, and nothing imported from this project. It serves
either layout of the page (part A, `swap_cell_v1`; part B4, `gantry_flags_v1`), and moves a small machine whose
motions take a fraction of a second.

    python tests/peer/plc_peer.py --port 5020 --map gantry_flags_v1 --bays 7 --occupied 2,3,5

What it does goes to standard output, one JSON object a line: `listening`, `owner`, `command` (each one judged, with
its answer), `motion` (each one begun), `end`, `acknowledged`, `bad_write` (a write outside the command block).

The panel of the cell: SIGUSR2 presses and releases the e-stop, SIGUSR1 is the person who confirms at the cell.
With `--retain FILE` the retentive memory and the places of the packs outlive the process; a start with that file
is a return of the power.

Registers 3000… are no part of either layout. They show what a person at the cell would see: 3000 the number of
motions, 3001 the pack in the gripper, 3100 + location code (of part A) the pack at that place. A pack is a number, 0
is an empty place. The pack that stands in bay p at the start is p; the truck that comes as number k brings 900 + k.
"""

import argparse
import contextlib
import json
import signal
import struct
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

from pyModbusTCP.server import DataBank, DataHandler, ModbusServer

SCAN_S = 0.01
HEARTBEAT_S = 0.1
OWNER_SILENT_S = 3.0
DRIVER_S = 0.1  # the driver applies the handbrake, neutral, key and high voltage after the stop
WHAT_SITS_WHERE = 3000

NO_GRIPPER = 0  # as a location: none, and as a place of a pack: the gripper
SEATS = (101, 102)  # inside this program places have the codes of part A; each layout translates its own
TRANSFER = 201
TANK = 301


class Command(IntEnum):
    """The codes of part A; each layout translates its own."""

    ADMIT = 1
    LOCATE = 2
    UNLOCK = 3
    LOCK = 4
    PICK = 5
    PUT = 6
    HOME = 7
    RELEASE = 8
    RESET = 9
    FIRE = 10


class Answer(IntEnum):
    NONE = 0
    ACCEPTED = 1
    INTERLOCK = 2
    MODE = 3
    PARAMETER = 4
    BUSY = 5
    OWNER = 6


class Result(IntEnum):
    NONE = 0
    DONE = 1
    FAILED = 2
    ABORTED = 3


class State(IntEnum):
    FREE = 0
    READY = 1
    BUSY = 2
    PAUSED = 3
    ALARM = 4


ONLINE = 2
AUTOMATIC = 4

ESTOP_PRESSED = 1001
POWER_LOST = 1005
FAULT_LEVEL = {ESTOP_PRESSED: 3, POWER_LOST: 3}


def say(event: str, **what: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **what}) + "\n")
    sys.stdout.flush()


# --- the machine ------------------------------------------------------------------------------------------------------


@dataclass
class Vehicle:
    tag: int
    seats: int
    secured: bool = False  # handbrake, neutral, key off, high voltage off
    in_position: bool = False
    locks: dict[int, str] = field(default_factory=dict)  # seat → open, closed, between


@dataclass
class Machine:
    """What stands where, and what the sensors say."""

    bays: int
    seats: int
    tank: bool
    packs: dict[int, int] = field(default_factory=dict)  # place (0: gripper) → pack
    vehicle: Vehicle | None = None
    vehicles_seen: int = 0
    position: int = 0
    homed: bool = False
    at_home: bool = False
    motions: int = 0
    estop_pressed: bool = False
    estop_ok: bool = True
    power_ok: bool = True
    faults: set[int] = field(default_factory=set)

    def has_place(self, place: int) -> bool:
        known_tank = place == TANK and self.tank
        return 1 <= place <= self.bays or place in SEATS[: self.seats] or place == TRANSFER or known_tank

    @property
    def safe(self) -> bool:
        return self.estop_ok and self.power_ok

    @property
    def secured(self) -> bool:
        return self.vehicle is not None and self.vehicle.in_position and self.vehicle.secured

    @property
    def gripper(self) -> int:
        return self.packs.get(NO_GRIPPER, 0)

    def move_pack(self, source: int, target: int) -> None:
        self.packs[target] = self.packs.pop(source)

    def all_locks(self, state: str) -> bool:
        return self.vehicle is not None and all(at == state for at in self.vehicle.locks.values())

    def seats_filled(self) -> bool:
        return self.vehicle is not None and all(self.packs.get(seat) for seat in SEATS[: self.vehicle.seats])

    def interlocks_good(self, code: Command, source: int, target: int, tag: int) -> bool:
        vehicle = self.vehicle
        if code is Command.RESET:
            return True
        if not self.safe or self.faults:
            return False
        match code:
            case Command.ADMIT:
                return self.at_home and (vehicle is None or vehicle.tag == tag)
            case Command.LOCATE:
                return vehicle is not None
            case Command.UNLOCK:
                return self.secured
            case Command.LOCK:
                return self.secured and bool(self.packs.get(target)) and not self.gripper
            case Command.PICK:
                return self.homed and not self.gripper and bool(self.packs.get(source)) and self._seat_open(source)
            case Command.PUT:
                free = not self.packs.get(target)
                return self.homed and bool(self.gripper) and free and self._seat_open(target)
            case Command.RELEASE:
                return vehicle is not None and self.at_home and self.all_locks("closed") and self.seats_filled()
            case Command.FIRE:
                return self.homed and self.tank and not self.packs.get(TANK) and bool(self.packs.get(source))
            case _:
                return True

    def _seat_open(self, place: int) -> bool:
        if place not in SEATS:
            return True
        return self.secured and self.vehicle is not None and self.vehicle.locks.get(place) == "open"

    # A motion has a start, a middle in which things change hands, and an end.

    def start(self, code: Command, target: int) -> None:
        self.motions += 1
        if code in (Command.PICK, Command.PUT, Command.HOME, Command.FIRE):
            self.position, self.at_home = 0, False
        if code in (Command.UNLOCK, Command.LOCK) and self.vehicle is not None:
            self.vehicle.locks[target] = "between"
        if code is Command.RELEASE and self.vehicle is not None:
            self.vehicle.secured = self.vehicle.in_position = False

    def middle(self, code: Command, source: int, target: int) -> None:
        match code:
            case Command.PICK:
                self.move_pack(source, NO_GRIPPER)
            case Command.PUT:
                self.move_pack(NO_GRIPPER, target)
            case Command.FIRE:
                self.move_pack(source, TANK)
            case _:
                pass

    def end(self, code: Command, source: int, target: int, tag: int) -> Result:
        vehicle = self.vehicle
        match code:
            case Command.ADMIT if vehicle is None:
                self.vehicles_seen += 1
                self.vehicle = Vehicle(tag, self.seats, locks=dict.fromkeys(SEATS[: self.seats], "closed"))
                for seat in SEATS[: self.seats]:
                    self.packs[seat] = 900 + self.vehicles_seen
            case Command.LOCATE if vehicle is not None:
                vehicle.in_position = True
            case Command.UNLOCK if vehicle is not None:
                vehicle.locks[target] = "open"
            case Command.LOCK if vehicle is not None:
                vehicle.locks[target] = "closed"
            case Command.PICK:
                self.position = source
            case Command.PUT:
                self.position = target
            case Command.FIRE:
                self.position = TANK
            case Command.HOME:
                self.homed = self.at_home = True
            case Command.RELEASE:
                self.vehicle = None
                for seat in SEATS:
                    self.packs.pop(seat, None)
            case Command.RESET:
                pass  # e-stop and power are trips: they stay
            case _:
                pass
        return Result.DONE


# --- the registers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """The command block, decoded: copied in one go."""

    heartbeat: int
    claim: int
    owner: int
    code: int  # as in part A; -1 is a code that the layout does not have
    source: int
    target: int
    tag: int
    seq: int
    done_ack: int
    hold: int


@dataclass
class Handshake:
    ack_seq: int = 0
    ack_code: Answer = Answer.NONE
    active_seq: int = 0
    done_seq: int = 0
    result: Result = Result.NONE
    last_seq: int = 0
    last_code: Answer = Answer.NONE
    accepted: bool = False  # of the flag handshake: from the acceptance to the acknowledgement


@dataclass
class Status:
    heartbeat: int
    state: State
    owner: int
    step: int
    hand: Handshake
    machine: Machine

    def signals(self) -> dict[str, bool]:
        machine, vehicle = self.machine, self.machine.vehicle
        secured = vehicle is not None and vehicle.secured
        seat_1, seat_2 = (bool(machine.packs.get(seat)) for seat in SEATS)
        return {
            "estop_ok": machine.estop_ok, "curtain_clear": True, "doors_closed": True, "fire_ok": True,
            "smoke_ok": True, "power_ok": machine.power_ok, "exit_clear": True, "homed": machine.homed,
            "at_home": machine.at_home, "gripper_loaded": bool(machine.gripper),
            "transfer_occupied": bool(machine.packs.get(TRANSFER)),
            "tank_ready": machine.tank and not machine.packs.get(TANK),
            "tank_occupied": bool(machine.packs.get(TANK)),
            "vehicle_present": vehicle is not None,
            "vehicle_in_position": vehicle is not None and vehicle.in_position,
            "vehicle_link": vehicle is not None,
            "handbrake_on": secured, "gear_neutral": secured, "key_off": secured, "hv_off": secured,
            "locks_open": machine.all_locks("open"), "locks_closed": machine.all_locks("closed"),
            "seat_1_occupied": seat_1, "seat_2_occupied": seat_2,
            "pack_accepted": vehicle is not None and seat_1,
        }  # fmt: skip


def bits(names: Sequence[str], values: Mapping[str, bool], inverted: Sequence[str] = ()) -> int:
    return sum(1 << n for n, name in enumerate(names) if name and values[name] != (name in inverted))


class Layout(ABC):
    name: str
    tank: bool
    max_bays: int
    max_seats: int
    command_first: int
    command_count: int

    @abstractmethod
    def decode(self, words: Sequence[int]) -> Request: ...

    @abstractmethod
    def encode(self, status: Status) -> dict[int, list[int]]:
        """First register of each status block → its words."""

    @abstractmethod
    def acknowledged(self, request: Request, hand: Handshake) -> bool: ...

    answers_while_busy = True


class SwapCellV1(Layout):
    name = "swap_cell_v1"
    tank = True
    max_bays = 99
    max_seats = 2
    command_first, command_count = 200, 11
    cell_bits = (
        "estop_ok", "curtain_clear", "doors_closed", "fire_ok", "smoke_ok", "power_ok", "exit_clear", "homed",
        "at_home", "gripper_loaded", "transfer_occupied", "tank_ready", "tank_occupied",
    )  # fmt: skip
    vehicle_bits = (
        "vehicle_present", "vehicle_in_position", "vehicle_link", "handbrake_on", "gear_neutral", "key_off", "hv_off",
        "locks_open", "locks_closed", "seat_1_occupied", "seat_2_occupied", "pack_accepted",
    )  # fmt: skip
    fault_bits: ClassVar = {ESTOP_PRESSED: 0, POWER_LOST: 4}
    heads_of_a_seat = 0b1111  # four heads

    def decode(self, words: Sequence[int]) -> Request:
        beat, claim, owner, code, source, target, tag_high, tag_low, seq, done_ack, hold = words
        return Request(beat, claim, owner, code, source, target, tag_high << 16 | tag_low, seq, done_ack, hold)

    def encode(self, status: Status) -> dict[int, list[int]]:
        hand, machine, vehicle = status.hand, status.machine, status.machine.vehicle
        signals = status.signals()
        code = min(machine.faults, default=0)
        tag = vehicle.tag if vehicle else 0
        locks = vehicle.locks if vehicle else {}
        heads = {state: self._heads(locks, state) for state in ("open", "closed", "")}
        fault_word_1 = sum(1 << self.fault_bits[fault] for fault in machine.faults)
        fast = [
            status.heartbeat, status.state, ONLINE, AUTOMATIC,
            hand.ack_seq, hand.ack_code, hand.active_seq, hand.done_seq, hand.result,
            code, FAULT_LEVEL.get(code, 0), machine.position, status.owner, status.step,
            bits(self.cell_bits, signals), bits(self.vehicle_bits, signals),
            fault_word_1, 0, 0, 0, 0, 0, tag >> 16, tag & 0xFFFF, heads[""], heads["open"], heads["closed"],
            1, 0x1234, 0x5678,
        ]  # fmt: skip
        occupied = sum(1 << place - 1 for place in machine.packs if 1 <= place <= machine.bays)
        known = (1 << machine.bays) - 1
        slow = [value >> 16 * n & 0xFFFF for value in (occupied, known) for n in range(7)]
        slow += [253, machine.motions >> 16, machine.motions & 0xFFFF]
        return {0: fast, 100: slow}

    def _heads(self, locks: Mapping[int, str], state: str) -> int:
        wanted = [n for n, seat in enumerate(SEATS) if seat in locks and state in ("", locks[seat])]
        return sum(self.heads_of_a_seat << 8 * n for n in wanted)

    def acknowledged(self, request: Request, hand: Handshake) -> bool:
        return request.done_ack != 0 and request.done_ack == hand.done_seq


class GantryFlagsV1(Layout):
    name = "gantry_flags_v1"
    tank = False  # this layout has no signal of a tank
    max_bays = 7
    max_seats = 1
    command_first, command_count = 1200, 12
    answers_while_busy = False  # the flags belong to one task number; another number must not take them over
    codes: ClassVar = {
        1: Command.PICK, 2: Command.PUT, 3: Command.HOME, 5: Command.RESET, 11: Command.ADMIT, 12: Command.LOCATE,
        13: Command.UNLOCK, 14: Command.LOCK, 15: Command.RELEASE, 99: Command.FIRE,
    }  # fmt: skip
    places: ClassVar = {21: TRANSFER, 41: SEATS[0], 42: SEATS[1], 61: TANK}
    refusals: ClassVar = {Answer.INTERLOCK: 1, Answer.MODE: 2, Answer.PARAMETER: 3, Answer.BUSY: 4, Answer.OWNER: 5}
    states: ClassVar = {State.FREE: 10, State.READY: 20, State.BUSY: 30, State.PAUSED: 40, State.ALARM: 50}
    warning_ids: ClassVar = {ESTOP_PRESSED: 1, POWER_LOST: 4}
    fault_bits: ClassVar = {ESTOP_PRESSED: 0, POWER_LOST: 1}
    cell_bits = (
        "estop_ok", "curtain_clear", "doors_closed", "fire_ok", "smoke_ok", "power_ok", "homed", "at_home",
        "gripper_loaded", "exit_clear",
    )  # fmt: skip
    inverted = ("estop_ok", "curtain_clear", "doors_closed", "fire_ok", "smoke_ok")
    vehicle_bits = (
        "vehicle_present", "vehicle_in_position", "vehicle_link", "handbrake_on", "gear_neutral", "key_off", "hv_off",
        "locks_open", "locks_closed", "seat_1_occupied", "pack_accepted",
    )  # fmt: skip
    none = 9999

    def decode(self, words: Sequence[int]) -> Request:
        beat, claim, owner, code, source, target, tag_low, tag_high, seq_low, seq_high, done_ack, hold = words
        return Request(
            beat, claim, owner, self.codes.get(code, -1), self._place(source), self._place(target),
            tag_high << 16 | tag_low, seq_high << 16 | seq_low, done_ack, hold,
        )  # fmt: skip

    def _place(self, code: int) -> int:
        if code == self.none:
            return 0
        return code if 1 <= code <= 19 else self.places.get(code, -1)

    def encode(self, status: Status) -> dict[int, list[int]]:
        hand, machine, vehicle = status.hand, status.machine, status.machine.vehicle
        signals = status.signals()
        refused = hand.ack_code in self.refusals
        flags = (
            hand.accepted, refused, hand.active_seq != 0,
            hand.result is Result.DONE, hand.result is Result.FAILED, hand.result is Result.ABORTED,
        )  # fmt: skip
        own = {place: code for code, place in self.places.items()}
        code = min(machine.faults, default=0)
        tag = vehicle.tag if vehicle else 0
        fast = [
            0xFFEE, status.heartbeat, self.states[status.state], ONLINE, AUTOMATIC,
            hand.ack_seq & 0xFFFF, hand.ack_seq >> 16, sum(1 << n for n, flag in enumerate(flags) if flag),
            self.refusals.get(hand.ack_code, self.none), own.get(machine.position, machine.position or self.none),
            self.warning_ids.get(code, 0), FAULT_LEVEL.get(code, 0), status.owner, 0,
            *[0] * 8, sum(1 << self.fault_bits[fault] for fault in machine.faults), *[0] * 17,
            tag & 0xFFFF, tag >> 16, bits(self.cell_bits, signals, self.inverted), bits(self.vehicle_bits, signals),
        ]  # fmt: skip
        occupied = sum(1 << place for place in machine.packs if 1 <= place <= machine.bays)
        power_high, power_low = struct.unpack(">HH", struct.pack(">f", 12.5))
        slow = [occupied | signals["transfer_occupied"], *[self.none] * 7, power_low, power_high]
        return {1000: fast, 1100: slow}

    def acknowledged(self, request: Request, hand: Handshake) -> bool:
        return request.done_ack == 1


LAYOUTS: dict[str, type[Layout]] = {layout.name: layout for layout in (SwapCellV1, GantryFlagsV1)}


class CommandBlockOnly(DataHandler):  # type: ignore[misc]  # the library has no types
    """Clients write the command block and nothing else."""

    def __init__(self, bank: DataBank, layout: Layout) -> None:
        super().__init__(data_bank=bank)
        self.layout = layout

    def write_h_regs(self, address: int, words_l: list[int], srv_info: Any) -> Any:
        first = self.layout.command_first
        if not (first <= address and address + len(words_l) <= first + self.layout.command_count):
            say("bad_write", address=address, count=len(words_l))
            return DataHandler.Return(exp_code=2)
        return super().write_h_regs(address, words_l, srv_info)


# --- the program ------------------------------------------------------------------------------------------------------


@dataclass
class Motion:
    code: Command
    source: int
    target: int
    tag: int
    began: float
    changed_hands: bool = False


class Plc:
    """One scan after the other, in the order of the page."""

    def __init__(self, layout: Layout, machine: Machine, bank: DataBank, motion_s: float, retain: Path | None) -> None:
        self.layout, self.machine, self.bank = layout, machine, bank
        self.motion_s, self.retain = motion_s, retain
        self.hand = Handshake()
        self.motion: Motion | None = None
        self.heartbeat = self.owner = 0
        self.next_beat = self.silent_since = self.vehicle_stopped = 0.0
        self.retained = ""
        self.person_confirms = False
        if retain is not None and retain.exists():
            self.power_returns(json.loads(retain.read_text(encoding="utf-8")))
        request = self.request()
        self.seen = (request.seq, request.owner)
        self.beat_seen = request.heartbeat
        if self.hand.active_seq:
            self.ends(Result.ABORTED)

    def power_returns(self, kept: dict[str, Any]) -> None:
        hand = kept["hand"]
        self.hand = Handshake(
            hand["ack_seq"], Answer(hand["ack_code"]), hand["active_seq"], hand["done_seq"], Result(hand["result"]),
            hand["last_seq"], Answer(hand["last_code"]), hand["accepted"],
        )  # fmt: skip
        self.machine.packs = {int(place): pack for place, pack in kept["packs"].items()}
        self.machine.power_ok = False
        self.machine.faults.add(POWER_LOST)

    def keep(self) -> None:
        if self.retain is None:
            return
        text = json.dumps({"hand": self.hand.__dict__, "packs": self.machine.packs})
        if text != self.retained:
            fresh = self.retain.with_suffix(".new")
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(self.retain)
            self.retained = text

    def request(self) -> Request:
        words = self.bank.get_holding_registers(self.layout.command_first, self.layout.command_count)
        return self.layout.decode(words)

    def scan(self, now: float) -> None:
        request = self.request()
        if now >= self.next_beat:
            self.heartbeat = self.heartbeat + 1 & 0xFFFF
            self.next_beat = now + HEARTBEAT_S
        self.ownership(request, now)
        self.panel()
        if self.hand.result is not Result.NONE and self.layout.acknowledged(request, self.hand):
            say("acknowledged", seq=self.hand.done_seq)
            self.hand.result, self.hand.accepted = Result.NONE, False
        if request.seq and (request.seq, request.owner) != self.seen:
            self.seen = (request.seq, request.owner)
            self.new_command(request, now)
        self.moves(now)
        self.keep()  # before anybody can read it
        self.publish(request)

    def ownership(self, request: Request, now: float) -> None:
        before = self.owner
        if request.heartbeat != self.beat_seen:
            self.beat_seen = request.heartbeat
            if self.owner == 0:
                self.owner = request.claim
            if self.owner and request.claim == self.owner:
                self.silent_since = now
        if self.owner and (request.claim == 0 or now - self.silent_since > OWNER_SILENT_S):
            self.owner = 0
        if self.owner != before:
            say("owner", owner=self.owner)

    def panel(self) -> None:
        machine = self.machine
        if machine.estop_pressed and machine.estop_ok:
            machine.estop_ok = False
            machine.faults.add(ESTOP_PRESSED)
            if self.motion is not None:
                self.ends(Result.ABORTED)
        if self.person_confirms:
            self.person_confirms = False
            machine.power_ok = True
            machine.faults.discard(POWER_LOST)
            if not machine.estop_pressed:
                machine.estop_ok = True
                machine.faults.discard(ESTOP_PRESSED)

    def new_command(self, request: Request, now: float) -> None:
        hand = self.hand
        standing = hand.active_seq != 0 or hand.result is not Result.NONE
        if standing and not self.layout.answers_while_busy:
            say("command", seq=request.seq, owner=request.owner, code=request.code, answer="left alone")
            return
        if request.owner != self.owner or self.owner == 0:
            answer = Answer.OWNER  # the number is not used up
        elif request.seq == hand.last_seq:
            answer = hand.last_code
        else:
            answer = self.judge(request, standing)
            hand.last_seq, hand.last_code = request.seq, answer
            if answer is Answer.ACCEPTED:
                self.starts(request, now)
        hand.ack_seq, hand.ack_code = request.seq, answer
        say(
            "command", seq=request.seq, owner=request.owner, code=request.code, source=request.source,
            target=request.target, answer=int(answer),
        )  # fmt: skip

    def judge(self, request: Request, standing: bool) -> Answer:
        machine = self.machine
        if standing:
            return Answer.BUSY
        if request.hold:
            return Answer.MODE
        try:
            code = Command(request.code)
        except ValueError:
            return Answer.PARAMETER
        source_ok = {
            Command.PICK: machine.has_place(request.source) and request.source != TANK,
            Command.FIRE: 0 <= request.source <= machine.bays,
        }.get(code, True)
        target_ok = {
            Command.UNLOCK: request.target in SEATS[: machine.seats],
            Command.LOCK: request.target in SEATS[: machine.seats],
            Command.PUT: machine.has_place(request.target),
            Command.ADMIT: request.tag != 0,
        }.get(code, True)
        if not (source_ok and target_ok):
            return Answer.PARAMETER
        good = machine.interlocks_good(code, request.source, request.target, request.tag)
        return Answer.ACCEPTED if good else Answer.INTERLOCK

    def starts(self, request: Request, now: float) -> None:
        code = Command(request.code)
        self.hand.active_seq, self.hand.accepted = request.seq, True
        self.motion = Motion(code, request.source, request.target, request.tag, now)
        self.machine.start(code, request.target)
        say("motion", seq=request.seq, command=code.name, source=request.source, target=request.target)

    def moves(self, now: float) -> None:
        vehicle = self.machine.vehicle
        leaving = self.motion is not None and self.motion.code is Command.RELEASE
        if vehicle is not None and not leaving and now - self.vehicle_stopped > DRIVER_S:
            vehicle.secured = True
        motion = self.motion
        if motion is None:
            return
        if not motion.changed_hands and now - motion.began >= self.motion_s / 2:
            motion.changed_hands = True
            self.machine.middle(motion.code, motion.source, motion.target)
        if now - motion.began >= self.motion_s:
            if motion.code is Command.ADMIT and vehicle is None:
                self.vehicle_stopped = now
            self.ends(self.machine.end(motion.code, motion.source, motion.target, motion.tag))

    def ends(self, result: Result) -> None:
        hand = self.hand
        hand.done_seq, hand.active_seq, hand.result = hand.active_seq, 0, result
        self.motion = None
        say("end", seq=hand.done_seq, result=int(result))

    def state(self, request: Request) -> State:
        if self.machine.faults:
            return State.ALARM
        if self.hand.active_seq:
            return State.BUSY
        if self.owner == 0 or request.hold:
            return State.PAUSED
        return State.READY if self.machine.homed else State.FREE

    def publish(self, request: Request) -> None:
        step = self.motion.changed_hands + 1 if self.motion else 0
        status = Status(self.heartbeat, self.state(request), self.owner, step, self.hand, self.machine)
        for address, words in self.layout.encode(status).items():
            self.bank.set_holding_registers(address, words)
        packs = self.machine.packs
        self.bank.set_holding_registers(WHAT_SITS_WHERE, [self.machine.motions, self.machine.gripper])
        self.bank.set_holding_registers(
            WHAT_SITS_WHERE + 100, [packs.get(place, 0) if place else 0 for place in range(TANK + 1)]
        )


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def main() -> None:
    parser = argparse.ArgumentParser(description="A PLC of a swap cell")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--map", choices=sorted(LAYOUTS), default=SwapCellV1.name)
    parser.add_argument("--bays", type=int, default=7)
    parser.add_argument("--occupied", type=numbers, default=[2, 3, 4, 5, 6, 7], help="bays that hold a pack")
    parser.add_argument("--seats", type=int, default=1, help="seats of the vehicles that come")
    parser.add_argument("--motion-s", type=float, default=0.2)
    parser.add_argument("--retain", type=Path, help="file of the retentive memory")
    args = parser.parse_args()

    layout = LAYOUTS[args.map]()
    if args.bays > layout.max_bays or args.seats > layout.max_seats:
        parser.error(f"{layout.name} has at most {layout.max_bays} bays and {layout.max_seats} seats")
    machine = Machine(args.bays, args.seats, layout.tank, {bay: bay for bay in args.occupied})
    bank = DataBank()
    plc = Plc(layout, machine, bank, args.motion_s, args.retain)
    plc.publish(plc.request())

    def confirm(_number: int, _frame: FrameType | None) -> None:
        plc.person_confirms = True

    def estop(_number: int, _frame: FrameType | None) -> None:
        machine.estop_pressed = not machine.estop_pressed

    signal.signal(signal.SIGUSR1, confirm)
    signal.signal(signal.SIGUSR2, estop)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = ModbusServer("127.0.0.1", args.port, no_block=True, data_hdl=CommandBlockOnly(bank, layout))
    server.start()
    say("listening", port=args.port, map=layout.name)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                plc.scan(time.monotonic())
                time.sleep(SCAN_S)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
