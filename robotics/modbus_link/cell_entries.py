"""Entry names that the robot driver knows, and the check that a cell's map carries what it needs."""

from __future__ import annotations

from collections.abc import Container
from itertools import pairwise

from robotics.modbus_link.schema import EntrySection, MapFile
from robotics.port import (
    SEAT_OCCUPIED,
    SEATS,
    AckCode,
    CellState,
    CommandCode,
    ControlMode,
    DriverSign,
    ResultCode,
    RunMode,
    Signal,
)

SIGNALS = tuple(signal.value for signal in Signal)
"""Optional one by one: a signal that the map does not carry is unknown, and a step that needs it refuses."""

ALWAYS_NEEDED = ("heartbeat", "state", "control_mode", "run_mode", "fault_code", "fault_level", "position")
OPTIONAL = (
    "step",
    "owner",
    "refused_owner",
    "vehicle_tag",
    "odometer_km",
    "bays_occupied",
    "heads_open",
    "heads_closed",
    "packet_head",
    "word_check",
)
_NUMBERS = ("ack_seq", "ack_code", "active_seq", "done_seq", "result")
NEEDED_BY_STYLE: dict[str, tuple[str, ...]] = {
    "fenced": (*_NUMBERS, "owner", "epoch", "last_seq", "done_result", "hold_seen"),
    "sequence": _NUMBERS,
    "flags": (
        "task_echo",
        "flag_accepted",
        "flag_refused",
        "refusal",
        "flag_running",
        "flag_done",
        "flag_failed",
        "flag_aborted",
    ),
}
COMMAND_NEEDED = ("cmd_heartbeat", "cmd_code", "cmd_source", "cmd_target", "cmd_seq", "done_ack", "hold")
FENCE_NEEDED = ("beat_epoch", "owner_claim", "cmd_epoch", "cmd_owner", "ack_epoch", "hold_epoch", "hold_seq")
"""Needed to command as well where the style is fenced."""
OWNERSHIP = ("owner", "owner_claim", "cmd_owner")
"""All three or none: without them only the station's lease keeps a second controller away."""
VEHICLE_PACK = {"code": "pack_code", "temp_max_c": "temp_max_c", "alarm_level": "alarm_level", "leak": "leak"}
"""What a vehicle may tell of the pack in a seat, and how its entry is called after `seat_N_`."""
VEHICLE_PACKS = tuple(f"seat_{seat}_{name}" for seat in SEATS for name in VEHICLE_PACK.values())
PACK_CODE_LENGTH = 24
"""Characters of a GB/T 34014 code."""
NEW_PACK_CODES = {seat: f"seat_{seat}_new_pack_code" for seat in SEATS}
"""Optional outputs: code of the pack that the vehicle is to accept in a seat."""
OUTPUTS = ("driver_sign", "swap_request", *NEW_PACK_CODES.values())
"""Optional outputs of the station to the driver and his vehicle."""
COMMAND_OPTIONAL = ("cmd_vehicle_tag", "owner_claim", "cmd_owner", *OUTPUTS)
COMMAND_WRITE = ("cmd_epoch", "cmd_owner", "cmd_code", "cmd_source", "cmd_target", "cmd_vehicle_tag", "cmd_seq")
"""Written in one request, `cmd_seq` at the highest address."""
FENCED_WRITES = (
    ("beat_epoch", "owner_claim", "cmd_heartbeat"),
    ("ack_epoch", "done_ack"),
    ("hold_epoch", "hold", "hold_seq"),
)
"""The other requests of a fenced cell, each with the word that makes it new at the highest address."""

KNOWN = frozenset(
    (
        *SIGNALS,
        *ALWAYS_NEEDED,
        *OPTIONAL,
        *(name for names in NEEDED_BY_STYLE.values() for name in names),
        *COMMAND_NEEDED,
        *FENCE_NEEDED,
        *OWNERSHIP,
        *COMMAND_OPTIONAL,
        *VEHICLE_PACKS,
    )
)
"""Every name that the robot driver asks for. Other entries are read for nothing, unless they guard or mask one of
these, hold a constant that is checked, or are a fault word."""

MEANINGS: dict[str, tuple[str, ...]] = {
    "state": tuple(x.name.lower() for x in CellState),
    "control_mode": tuple(x.name.lower() for x in ControlMode),
    "run_mode": tuple(x.name.lower() for x in RunMode),
    "ack_code": tuple(x.name.lower() for x in AckCode),
    "refusal": tuple(x.name.lower() for x in AckCode if x is not AckCode.ACCEPTED),
    "result": tuple(x.name.lower() for x in ResultCode),
    "done_result": tuple(x.name.lower() for x in ResultCode),
    "hold_seen": ("off", "on"),
    "cmd_code": tuple(x.name.lower() for x in CommandCode),
    "driver_sign": tuple(x.name.lower() for x in DriverSign),
}
"""Names that the value table of an entry must give a raw value to."""


def seats_of(names: Container[str]) -> int:
    """Seats that a map with these entries has room for. Heads are listed for two at least."""
    return max([2, *(seat for seat, signal in SEAT_OCCUPIED.items() if signal.value in names)])


def read_needed(style: str) -> tuple[str, ...]:
    """Names that the status blocks of a swap cell's map must carry."""
    return ALWAYS_NEEDED + NEEDED_BY_STYLE[style]


def command_needed(style: str) -> tuple[str, ...]:
    """Names that its command block must carry."""
    return COMMAND_NEEDED + (FENCE_NEEDED if style == "fenced" else ())


def meanings(style: str) -> dict[str, tuple[str, ...]]:
    """Names that each value table must give a raw value to; a fenced cell answers strangers in no answer word."""
    if style != "fenced":
        return MEANINGS
    return MEANINGS | {"ack_code": tuple(m for m in MEANINGS["ack_code"] if m != AckCode.REFUSED_OWNER.name.lower())}


def cell_problems(file: MapFile) -> list[str]:
    """What keeps the robot driver from using the map, one line each."""
    if file.handshake is None:
        return ["handshake: missing; a swap_cell map needs [handshake] with style = sequence or flags"]
    entries = {e.name: e for e in file.entries}
    style = file.handshake.style
    to_read, to_write = read_needed(style), command_needed(style)
    needed = to_read + to_write
    missing = [name for name in needed if name not in entries]
    if missing:
        return [f"entries missing for a swap cell: {', '.join(missing)}; needed are {', '.join(needed)}"]
    access = {b.name: b.access for b in file.blocks}
    problems = []
    for names, allowed in (
        (to_write + COMMAND_OPTIONAL, "write"),
        (to_read + OPTIONAL + SIGNALS + VEHICLE_PACKS, "read"),
    ):
        problems += [
            f"entry {name!r} block = {entries[name].block!r}: must lie in a block with access = {allowed!r}"
            for name in names
            if name in entries and access.get(entries[name].block, allowed) != allowed
        ]
    problems += [
        f"entry {name!r} type = {entries[name].type!r}: allowed bool"
        for name in SIGNALS
        if name in entries and entries[name].family != "bool"
    ]
    seats = seats_of(entries)
    problems += [
        f"entry {name!r} type = {entries[name].type!r}: the map has {seats} seats, parts of one length: allowed "
        f"bits(N) with N a multiple of {seats}"
        for name in ("heads_fitted", "heads_open", "heads_closed")
        if name in entries and entries[name].family == "bits" and entries[name].size % seats
    ]
    problems += [
        f"entry {name!r} type = {entries[name].type!r}: allowed ascii(N) with N = {PACK_CODE_LENGTH} or more"
        for name in NEW_PACK_CODES.values()
        if name in entries and not (entries[name].family == "ascii" and entries[name].size >= PACK_CODE_LENGTH)
    ]
    for name, named in meanings(style).items():
        if name not in entries:
            continue
        given = {v.means for v in entries[name].values}
        lacking = [m for m in named if m not in given]
        unknown = sorted(given - set(named))
        if lacking:
            problems.append(
                f"entry {name!r} values: no raw value for {', '.join(lacking)}; allowed: {', '.join(named)}"
            )
        if unknown:
            problems.append(f"entry {name!r} values.means = {', '.join(unknown)}: allowed: {', '.join(named)}")
    lacking = [name for name in OWNERSHIP if name not in entries]
    if 0 < len(lacking) < len(OWNERSHIP):
        problems.append(f"entries missing: {', '.join(lacking)}; {', '.join(OWNERSHIP)} go together, all or none")
    if style == "fenced":
        for names in FENCED_WRITES:
            problems += _one_write([entries[n] for n in names])
    else:
        claim, beat = entries.get("owner_claim"), entries["cmd_heartbeat"]
        if claim is not None and beat.last + 1 != claim.address:
            problems.append(
                f"entry 'cmd_heartbeat' address = {beat.address}: must lie right before owner_claim, at register "
                f"{claim.address - beat.words}; both go in one request"
            )
    return problems + _one_write([entries[n] for n in COMMAND_WRITE if n in entries])


def _one_write(asked: list[EntrySection]) -> list[str]:
    """Entries that go in one request, the one that makes it new given last."""
    names = ", ".join(e.name for e in asked)
    written = sorted(asked, key=lambda e: e.address)
    problems = [
        f"entry {b.name!r}: must follow entry {a.name!r} without a gap, at register {a.last + 1}; "
        f"{names} go in one request"
        for a, b in pairwise(written)
        if b.address != a.last + 1
    ]
    if written[-1] is not asked[-1]:
        problems.append(f"entry {asked[-1].name!r}: must have the highest address, above {written[-1].name!r}")
    return problems
