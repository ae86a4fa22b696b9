"""Entry names that the robot driver knows, and the check that a cell's map carries what it needs."""

from __future__ import annotations

from itertools import pairwise

from robotics.modbus_link.schema import EntrySection, MapFile
from robotics.port import AckCode, CellState, CommandCode, ControlMode, ResultCode, RunMode, Signal

SIGNALS = tuple(signal.value for signal in Signal)
"""Optional one by one: a signal that the map does not carry is unknown, and a step that needs it refuses."""

ALWAYS_NEEDED = ("heartbeat", "state", "control_mode", "run_mode", "fault_code", "fault_level", "position")
OPTIONAL = (
    "step",
    "owner",
    "vehicle_tag",
    "bays_occupied",
    "heads_open",
    "heads_closed",
    "packet_head",
    "word_check",
)
NEEDED_BY_STYLE: dict[str, tuple[str, ...]] = {
    "sequence": ("ack_seq", "ack_code", "active_seq", "done_seq", "result"),
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
OWNERSHIP = ("owner", "owner_claim", "cmd_owner")
"""All three or none: without them only the station's lease keeps a second controller away."""
COMMAND_OPTIONAL = ("cmd_vehicle_tag", "owner_claim", "cmd_owner")
COMMAND_WRITE = ("cmd_owner", "cmd_code", "cmd_source", "cmd_target", "cmd_vehicle_tag", "cmd_seq")
"""Written in one request, `cmd_seq` at the highest address."""

MEANINGS: dict[str, tuple[str, ...]] = {
    "state": tuple(x.name.lower() for x in CellState),
    "control_mode": tuple(x.name.lower() for x in ControlMode),
    "run_mode": tuple(x.name.lower() for x in RunMode),
    "ack_code": tuple(x.name.lower() for x in AckCode),
    "refusal": tuple(x.name.lower() for x in AckCode if x is not AckCode.ACCEPTED),
    "result": tuple(x.name.lower() for x in ResultCode),
    "cmd_code": tuple(x.name.lower() for x in CommandCode),
}
"""Names that the value table of an entry must give a raw value to."""


def required_entries(style: str) -> tuple[str, ...]:
    """Names that a swap cell's map must carry."""
    return ALWAYS_NEEDED + NEEDED_BY_STYLE[style] + COMMAND_NEEDED


def cell_problems(file: MapFile) -> list[str]:
    """What keeps the robot driver from using the map, one line each."""
    if file.handshake is None:
        return ["handshake: missing; a swap_cell map needs [handshake] with style = sequence or flags"]
    entries = {e.name: e for e in file.entries}
    needed = required_entries(file.handshake.style)
    missing = [name for name in needed if name not in entries]
    if missing:
        return [f"entries missing for a swap cell: {', '.join(missing)}; needed are {', '.join(needed)}"]
    access = {b.name: b.access for b in file.blocks}
    problems = []
    for names, allowed in (
        (COMMAND_NEEDED + COMMAND_OPTIONAL, "write"),
        (needed[: -len(COMMAND_NEEDED)] + OPTIONAL + SIGNALS, "read"),
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
    for name, meanings in MEANINGS.items():
        if name not in entries:
            continue
        given = {v.means for v in entries[name].values}
        lacking = [m for m in meanings if m not in given]
        unknown = sorted(given - set(meanings))
        if lacking:
            problems.append(
                f"entry {name!r} values: no raw value for {', '.join(lacking)}; allowed: {', '.join(meanings)}"
            )
        if unknown:
            problems.append(f"entry {name!r} values.means = {', '.join(unknown)}: allowed: {', '.join(meanings)}")
    lacking = [name for name in OWNERSHIP if name not in entries]
    if 0 < len(lacking) < len(OWNERSHIP):
        problems.append(f"entries missing: {', '.join(lacking)}; {', '.join(OWNERSHIP)} go together, all or none")
    claim, beat = entries.get("owner_claim"), entries["cmd_heartbeat"]
    if claim is not None and beat.last + 1 != claim.address:
        problems.append(
            f"entry 'cmd_heartbeat' address = {beat.address}: must lie right before owner_claim, at register "
            f"{claim.address - beat.words}; both go in one request"
        )
    return problems + _one_write([entries[n] for n in COMMAND_WRITE if n in entries])


def _one_write(written: list[EntrySection]) -> list[str]:
    written = sorted(written, key=lambda e: e.address)
    problems = [
        f"entry {b.name!r}: must follow entry {a.name!r} without a gap, at register {a.last + 1}; "
        "owner, command and number go in one request"
        for a, b in pairwise(written)
        if b.address != a.last + 1
    ]
    if written[-1].name != "cmd_seq":
        problems.append(f"entry 'cmd_seq': must have the highest address, above {written[-1].name!r}")
    return problems
