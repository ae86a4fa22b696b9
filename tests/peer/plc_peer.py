"""A PLC of a swap cell, its rack and its meter, written from docs/integrators.md and docs/chargers.md alone.

It shares no line with the station: the standard library, and nothing imported from this project but the files beside
it, which were written with it. It serves each layout of the page (part A, `swap_cell_v2`; its forerunner
`swap_cell_v1`; part B4, `gantry_flags_v1`), and moves a small machine whose motions take a fraction of a second.

    python tests/peer/plc_peer.py --port 5020 --map gantry_flags_v1 --bays 7 --occupied 2,3,5

What it does goes to standard output, one JSON object a line: `listening`, `connection`, `write` (each write to the
cell, with the number of the connection it came over), `owner`, `hold`, `command` (each one judged, with its answer),
`motion` (each one begun), `end`, `acknowledged`, `paused`, `goes_on`, `bad_write` (a write outside the command block),
`refused`, `setpoint` and `expired` of the chargers, `too_many` (registers for the gateway before them), `panel` (what
a line of standard input has done).

The panel of the cell: SIGUSR2 presses and releases the e-stop, SIGHUP breaks and clears the light curtain, SIGUSR1 is
the person who confirms at the cell. What goes wrong comes by standard input, one line each:

    signal NAME 0|1|-     a sensor shows this whatever is true; - shows the truth again
    lie COMMAND           the next of these motions ends with result 1, and nothing has changed
    show NAME N|-         `ack_code`, `result` or `word_check` shows this number
    exception FUNCTION N  requests of this Modbus function are answered by this exception; 0: no more
    heartbeat 0|1         the counter stands still, though the program goes on
    drop                  every connection is cut
    deaf 0|1              the cell takes requests and answers none; so do the chargers and the meter
    motion_s SECONDS      motions take so long from now on
    bms BAY NAME VALUE    the BMS in a bay says something else; NAME `silent`: nothing

With `--retain FILE` the retentive memory and the places of the packs outlive the process; a start with that file
is a return of the power. With `--rack FILE` there are chargers, packs and a meter (`peer_rack.py`): FILE names the
ports, the first register of each charger by its bay, and each pack.

A pack is a number, 0 is an empty place. The pack that stands in bay p at the start is p; the first truck brings 911
and 912, the next 921.
"""

import argparse
import contextlib
import json
import queue
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a script finds its neighbours by their bare names, the type checker by these
    from tests.peer.peer_layouts import LAYOUTS, Handshake, Layout, Request, Status, SwapCellV2
    from tests.peer.peer_machine import ESTOP_PRESSED, POWER_LOST, SEATS, TANK, Answer, Command, Machine, Result, State
    from tests.peer.peer_modbus import Registers, Server
    from tests.peer.peer_rack import Pack, Rack
else:
    from peer_layouts import LAYOUTS, Handshake, Layout, Request, Status, SwapCellV2
    from peer_machine import ESTOP_PRESSED, POWER_LOST, SEATS, TANK, Answer, Command, Machine, Result, State
    from peer_modbus import Registers, Server
    from peer_rack import Pack, Rack

SCAN_S = 0.01
HEARTBEAT_S = 0.1
OWNER_SILENT_S = 3.0
DRIVER_S = 0.1  # the driver applies the handbrake, neutral, key and high voltage after the stop


_said = threading.Lock()


def say(event: str, **what: Any) -> None:
    with _said:
        sys.stdout.write(json.dumps({"event": event, **what}) + "\n")
        sys.stdout.flush()


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

    def __init__(self, layout: Layout, machine: Machine, bank: Registers, motion_s: float, retain: Path | None) -> None:
        self.layout, self.machine, self.bank = layout, machine, bank
        self.motion_s, self.retain = motion_s, retain
        self.hand = Handshake()
        self.motion: Motion | None = None
        self.heartbeat = self.owner = 0
        self.next_beat = self.silent_since = self.vehicle_stopped = 0.0
        self.retained = ""
        self.person_confirms = False
        self.paused_since: float | None = None
        self.tripped = False
        self.first_command = self.first_hold = True
        self.frozen = False
        self.lies: set[Command] = set()
        self.shown: dict[str, int] = {}
        if retain is not None and retain.exists():
            self.power_returns(json.loads(retain.read_text(encoding="utf-8")))
        bank.write(layout.command_first, [0] * layout.command_count)
        request = self.request()
        self.seen = (request.seq, request.owner, request.epoch)
        self.beat_seen = request.heartbeat
        self.ack_seen = (request.done_ack, request.ack_epoch)
        self.hold_seen = (request.hold_seq, request.hold_epoch)
        if self.hand.active_seq:
            self.ends(Result.ABORTED)

    def power_returns(self, kept: dict[str, Any]) -> None:
        hand = kept["hand"]
        self.hand = Handshake(
            hand["ack_seq"], Answer(hand["ack_code"]), hand["active_seq"], hand["done_seq"], Result(hand["result"]),
            hand["last_seq"], Answer(hand["last_code"]), hand["accepted"],
            hand["epoch"], Result(hand["done_result"]), hand["hold"], hand["hold_seq"],
        )  # fmt: skip
        self.new_epoch()
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
        words = self.bank.read(self.layout.command_first, self.layout.command_count)
        return self.layout.decode(words)

    def scan(self, now: float) -> None:
        request = self.request()
        if now >= self.next_beat and not self.frozen:
            self.heartbeat = self.heartbeat + 1 & 0xFFFF
            self.next_beat = now + HEARTBEAT_S
        self.panel(now)
        if self.layout.fenced:
            self.fenced_ownership(request, now)
        else:
            self.ownership(request, now)
        self.acknowledgement(request)
        self.hold_of(request, now)
        command = (request.seq, request.owner, request.epoch)
        if request.seq and command != self.seen:
            self.seen = command
            self.new_command(request, now)
        self.moves(now)
        self.keep()  # before anybody can read it
        self.publish()

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

    # What the fenced layout adds: the epoch counts what has happened, and a request of another epoch changes nothing.

    def new_epoch(self) -> None:
        self.hand.epoch = self.hand.epoch % 65535 + 1
        self.first_command = self.first_hold = True

    def fenced_ownership(self, request: Request, now: float) -> None:
        before = self.owner
        if self.owner and now - self.silent_since > OWNER_SILENT_S:
            self.owner = 0
            self.new_epoch()
        if request.heartbeat != self.beat_seen:
            self.beat_seen = request.heartbeat
            if request.beat_epoch == self.hand.epoch:
                if self.owner == 0 and request.claim:
                    self.owner = request.claim
                    self.silent_since = now
                    self.new_epoch()
                elif self.owner and request.claim == self.owner:
                    self.silent_since = now
                elif self.owner and request.claim == 0:
                    self.owner = 0
                    self.new_epoch()
        if self.owner != before:
            say("owner", owner=self.owner)

    def acknowledgement(self, request: Request) -> None:
        hand, seen = self.hand, (request.done_ack, request.ack_epoch)
        if self.layout.fenced and (seen == self.ack_seen or request.ack_epoch != hand.epoch):
            self.ack_seen = seen
            return
        self.ack_seen = seen
        if hand.result is not Result.NONE and self.layout.acknowledged(request, hand):
            say("acknowledged", seq=hand.done_seq)
            hand.result, hand.accepted = Result.NONE, False

    def hold_of(self, request: Request, now: float) -> None:
        hand, seen = self.hand, (request.hold_seq, request.hold_epoch)
        if not self.layout.fenced:
            withdrawn = hand.hold and not request.hold
            hand.hold = bool(request.hold)
        elif request.hold_seq == 0 or seen == self.hold_seen:
            return
        else:
            self.hold_seen = seen
            late = request.hold_epoch != hand.epoch or not (self.first_hold or ahead(request.hold_seq, hand.hold_seq))
            say("hold", seq=request.hold_seq, hold=request.hold, late=late)
            if late:
                return
            hand.hold_seq, hand.hold, self.first_hold = request.hold_seq, bool(request.hold), False
            withdrawn = not hand.hold
        if withdrawn:
            self.goes_on(now)

    def goes_on(self, now: float) -> None:
        """A person has confirmed: a paused motion goes on when its cause is gone."""
        if self.paused_since is not None and self.machine.curtain_clear and self.motion is not None:
            self.motion.began += now - self.paused_since
            self.paused_since = None
            say("goes_on", seq=self.hand.active_seq)

    def panel(self, now: float) -> None:
        machine = self.machine
        tripped = machine.estop_pressed or not machine.curtain_clear
        if tripped and not self.tripped:
            self.new_epoch()
        self.tripped = tripped
        if not machine.curtain_clear and self.motion is not None and self.paused_since is None:
            self.paused_since = now
            self.new_epoch()
            say("paused", seq=self.hand.active_seq)
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
            self.goes_on(now)

    def new_command(self, request: Request, now: float) -> None:
        hand = self.hand
        if self.layout.fenced and request.epoch != hand.epoch:
            say("command", seq=request.seq, owner=request.owner, code=request.code, answer="of another epoch")
            return
        standing = hand.active_seq != 0 or hand.result is not Result.NONE
        if standing and not self.layout.answers_while_busy:
            say("command", seq=request.seq, owner=request.owner, code=request.code, answer="left alone")
            return
        if request.owner != self.owner or self.owner == 0:
            answer = Answer.OWNER  # the number is not used up
            if self.layout.fenced:  # and the owner's answer stays
                hand.refused_owner = request.owner
                say("command", seq=request.seq, owner=request.owner, code=request.code, answer=int(answer))
                return
        elif request.seq == hand.last_seq:
            answer = hand.last_code
        elif self.layout.fenced and not self.first_command and not ahead(request.seq, hand.last_seq):
            say("command", seq=request.seq, owner=request.owner, code=request.code, answer="an old number")
            return
        else:
            answer = self.judge(request, standing)
            self.first_command = False
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
        if self.hand.hold:
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
        self.hand.active_seq, self.hand.accepted, self.hand.done_result = request.seq, True, Result.NONE
        self.motion = Motion(code, request.source, request.target, request.tag, now)
        self.machine.start(code, request.target)
        say("motion", seq=request.seq, command=code.name, source=request.source, target=request.target)

    def moves(self, now: float) -> None:
        vehicle = self.machine.vehicle
        leaving = self.motion is not None and self.motion.code is Command.RELEASE
        if vehicle is not None and not leaving and now - self.vehicle_stopped > DRIVER_S:
            vehicle.secured = True
        motion = self.motion
        if motion is None or self.paused_since is not None:
            return
        if not motion.changed_hands and motion.code not in self.lies and now - motion.began >= self.motion_s / 2:
            motion.changed_hands = True
            self.machine.middle(motion.code, motion.source, motion.target)
        if now - motion.began >= self.motion_s:
            if motion.code is Command.ADMIT and vehicle is None:
                self.vehicle_stopped = now
            if motion.code in self.lies:
                self.lies.remove(motion.code)
                self.ends(Result.DONE)
            else:
                self.ends(self.machine.end(motion.code, motion.source, motion.target, motion.tag))

    def ends(self, result: Result) -> None:
        hand = self.hand
        hand.done_seq, hand.active_seq, hand.result, hand.done_result = hand.active_seq, 0, result, result
        self.motion = self.paused_since = None
        say("end", seq=hand.done_seq, result=int(result))

    def state(self) -> State:
        if self.machine.faults:
            return State.ALARM
        if self.paused_since is not None:
            return State.PAUSED
        if self.hand.active_seq:
            return State.BUSY
        if self.owner == 0 or self.hand.hold:
            return State.PAUSED
        return State.READY if self.machine.homed else State.FREE

    def publish(self) -> None:
        step = self.motion.changed_hands + 1 if self.motion else 0
        status = Status(self.heartbeat, self.state(), self.owner, step, self.hand, self.machine)
        for address, words in self.layout.encode(status).items():
            self.bank.write(address, words)
        for name, value in self.shown.items():
            self.bank.write(self.layout.registers[name], [value])


def at_panel(plc: Plc, server: Server, rack: Rack | None, words: Sequence[str]) -> None:
    """What a line of standard input says."""
    match words:
        case ["signal", name, "-"]:
            plc.machine.forced.pop(name, None)
        case ["signal", name, value]:
            plc.machine.forced[name] = value == "1"
        case ["lie", name]:
            plc.lies.add(Command[name])
        case ["show", name, "-"]:
            plc.shown.pop(name, None)
        case ["show", name, value]:
            plc.shown[name] = int(value)
        case ["exception", function, code]:
            server.exceptions = {int(function): int(code)} if int(code) else {}
        case ["heartbeat", value]:
            plc.frozen = value == "0"
        case ["deaf", value]:
            for one in (server, *(rack.servers if rack is not None else ())):
                (one.deaf.set if value == "1" else one.deaf.clear)()
        case ["drop"]:
            server.drop()
        case ["motion_s", value]:
            plc.motion_s = float(value)
        case ["bms", bay, name, value] if rack is not None:
            rack.bms(int(bay), name, json.loads(value))
        case _:
            raise SystemExit(f"not known at the panel: {words}")
    say("panel", words=words)


def ahead(seq: int, last: int) -> bool:
    """1…32767 ahead around the circle."""
    return 1 <= (seq - last) & 0xFFFF <= 0x7FFF


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def main() -> None:
    parser = argparse.ArgumentParser(description="A PLC of a swap cell")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--map", choices=sorted(LAYOUTS), default=SwapCellV2.name)
    parser.add_argument("--bays", type=int, default=7)
    parser.add_argument("--occupied", type=numbers, default=[2, 3, 4, 5, 6, 7], help="bays that hold a pack")
    parser.add_argument("--seats", type=int, default=1, help="seats of the vehicles that come")
    parser.add_argument("--motion-s", type=float, default=0.2)
    parser.add_argument("--rack", type=Path, help="file of chargers, packs and meter")
    parser.add_argument("--max-registers", type=int, default=125, help="a gateway before the chargers takes no more")
    parser.add_argument("--retain", type=Path, help="file of the retentive memory")
    args = parser.parse_args()

    layout = LAYOUTS[args.map]()
    if args.bays > layout.max_bays or args.seats > layout.max_seats:
        parser.error(f"{layout.name} has at most {layout.max_bays} bays and {layout.max_seats} seats")
    machine = Machine(args.bays, args.seats, layout.tank, {bay: bay for bay in args.occupied})
    bank = Registers()
    plc = Plc(layout, machine, bank, args.motion_s, args.retain)
    plc.publish()
    rack = None
    if args.rack is not None:
        given = json.loads(args.rack.read_text(encoding="utf-8"))
        chargers = {int(bay): first for bay, first in given["chargers"].items()}
        packs = {int(number): Pack(**values) for number, values in given["packs"].items()}
        rack = Rack(machine, chargers, packs, given["base_kw"], given["ports"], say, args.max_registers)

    def confirm(_number: int, _frame: FrameType | None) -> None:
        plc.person_confirms = True

    def estop(_number: int, _frame: FrameType | None) -> None:
        machine.estop_pressed = not machine.estop_pressed

    def curtain(_number: int, _frame: FrameType | None) -> None:
        machine.curtain_clear = not machine.curtain_clear

    signal.signal(signal.SIGHUP, curtain)
    signal.signal(signal.SIGUSR1, confirm)
    signal.signal(signal.SIGUSR2, estop)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    first, count = layout.command_first, layout.command_count
    server = Server(args.port, bank, lambda at, words: first <= at and at + words <= first + count, say)
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listens() -> None:
        for line in sys.stdin:
            asked.put(line)

    threading.Thread(target=listens, daemon=True).start()
    server.begin()
    if rack is not None:
        rack.begin()
    say("listening", port=args.port, map=layout.name)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            with bank.lock:
                while not asked.empty():
                    at_panel(plc, server, rack, asked.get().split())
                plc.scan(time.monotonic())
            if rack is not None:
                rack.scan(time.monotonic())
            time.sleep(SCAN_S)


if __name__ == "__main__":
    main()
