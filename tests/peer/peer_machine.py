"""The machine behind the peer PLC: what stands where, what the sensors say, what each motion changes."""

from dataclasses import dataclass, field
from enum import IntEnum

GRIPPER = 0  # as a location: none, and as a place of a pack: the gripper
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


SECURED = ("handbrake_on", "gear_neutral", "key_off", "hv_off")

ONLINE = 2
AUTOMATIC = 4

ESTOP_PRESSED = 1001
POWER_LOST = 1005
FAULT_LEVEL = {ESTOP_PRESSED: 3, POWER_LOST: 3}


@dataclass
class Vehicle:
    tag: int
    seats: int
    secured: bool = False  # handbrake, neutral, key off, high voltage off
    in_position: bool = False
    locks: dict[int, str] = field(default_factory=dict)  # seat → open, closed, between
    opened: bool = False  # a lock was opened since it came


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
    curtain_clear: bool = True
    power_ok: bool = True
    faults: set[int] = field(default_factory=set)
    forced: dict[str, bool] = field(default_factory=dict)
    """Signals that show something whatever is true."""

    def has_place(self, place: int) -> bool:
        known_tank = place == TANK and self.tank
        return 1 <= place <= self.bays or place in SEATS[: self.seats] or place == TRANSFER or known_tank

    @property
    def safe(self) -> bool:
        return self.estop_ok and self.power_ok and self.curtain_clear

    @property
    def secured(self) -> bool:
        shown = (self.forced.get(name, True) for name in (*SECURED, "vehicle_in_position"))
        return self.vehicle is not None and self.vehicle.in_position and self.vehicle.secured and all(shown)

    @property
    def gripper(self) -> int:
        return self.packs.get(GRIPPER, 0)

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
                return (
                    vehicle is not None
                    and self.at_home
                    and self.all_locks("closed")
                    and self.seats_filled()
                    and (not vehicle.opened or self.forced.get("pack_accepted", True))
                )
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
            self.vehicle.opened = True
        if code is Command.RELEASE and self.vehicle is not None:
            self.vehicle.secured = self.vehicle.in_position = False

    def middle(self, code: Command, source: int, target: int) -> None:
        match code:
            case Command.PICK:
                self.move_pack(source, GRIPPER)
            case Command.PUT:
                self.move_pack(GRIPPER, target)
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
                for number, seat in enumerate(SEATS[: self.seats], 1):
                    self.packs[seat] = 900 + 10 * self.vehicles_seen + number
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
