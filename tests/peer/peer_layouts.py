"""The three register layouts of the page, for the peer PLC: command block in, status blocks out."""

import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:  # a script finds its neighbours by their bare names, the type checker by these
    from tests.peer.peer_machine import (
        AUTOMATIC,
        ESTOP_PRESSED,
        FAULT_LEVEL,
        ONLINE,
        POWER_LOST,
        SEATS,
        SECURED,
        TANK,
        TRANSFER,
        Answer,
        Command,
        Machine,
        Result,
        State,
    )
else:
    from peer_machine import (
        AUTOMATIC,
        ESTOP_PRESSED,
        FAULT_LEVEL,
        ONLINE,
        POWER_LOST,
        SEATS,
        SECURED,
        TANK,
        TRANSFER,
        Answer,
        Command,
        Machine,
        Result,
        State,
    )


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
    # of the fenced layout
    beat_epoch: int = 0
    epoch: int = 0
    ack_epoch: int = 0
    hold_epoch: int = 0
    hold_seq: int = 0


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
    # of the fenced layout
    epoch: int = 1
    done_result: Result = Result.NONE
    hold: bool = False
    hold_seq: int = 0
    refused_owner: int = 0


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
        facts = {name: vehicle is not None and vehicle.secured for name in SECURED}
        seat_1, seat_2 = (bool(machine.packs.get(seat)) for seat in SEATS)
        return {
            "estop_ok": machine.estop_ok, "curtain_clear": machine.curtain_clear, "doors_closed": True, "fire_ok": True,
            "smoke_ok": True, "power_ok": machine.power_ok, "exit_clear": True, "homed": machine.homed,
            "at_home": machine.at_home, "gripper_loaded": bool(machine.gripper),
            "transfer_occupied": bool(machine.packs.get(TRANSFER)),
            "tank_ready": machine.tank and not machine.packs.get(TANK),
            "tank_occupied": bool(machine.packs.get(TANK)),
            "vehicle_present": vehicle is not None,
            "vehicle_in_position": vehicle is not None and vehicle.in_position,
            "vehicle_link": vehicle is not None,
            **facts,
            "locks_open": machine.all_locks("open"), "locks_closed": machine.all_locks("closed"),
            "seat_1_occupied": seat_1, "seat_2_occupied": seat_2,
            "pack_accepted": vehicle is not None and seat_1,
            **machine.forced,
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
    fenced = False
    registers: ClassVar[dict[str, int]]
    """Registers that `show` can change; of two, the first."""


class SwapCellV1(Layout):
    name = "swap_cell_v1"
    version = 1
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
    registers: ClassVar = {"ack_code": 5, "result": 8, "layout_version": 27, "word_check": 28}
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
            self.version, 0x1234, 0x5678,
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


class SwapCellV2(SwapCellV1):
    """The same machine words; each request carries the epoch in which it was decided."""

    name = "swap_cell_v2"
    version = 2
    command_first, command_count = 200, 16
    fenced = True

    def decode(self, words: Sequence[int]) -> Request:
        (
            beat_epoch, claim, beat, epoch, owner, code, source, target, tag_high, tag_low, seq, ack_epoch, done_ack,
            hold_epoch, hold, hold_seq,
        ) = words  # fmt: skip
        return Request(
            beat, claim, owner, code, source, target, tag_high << 16 | tag_low, seq, done_ack, hold,
            beat_epoch, epoch, ack_epoch, hold_epoch, hold_seq,
        )  # fmt: skip

    def encode(self, status: Status) -> dict[int, list[int]]:
        hand, blocks = status.hand, super().encode(status)
        fence = [hand.epoch, hand.last_seq, hand.done_result, int(hand.hold), hand.refused_owner]
        return {**blocks, 0: blocks[0] + fence}


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
    registers: ClassVar = {"word_check": 1000}

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


LAYOUTS: dict[str, type[Layout]] = {layout.name: layout for layout in (SwapCellV1, SwapCellV2, GantryFlagsV1)}
