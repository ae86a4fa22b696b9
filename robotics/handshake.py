"""How a cell says that it took, runs and ended a command: two styles, one meaning.

`sequence`: the cell shows numbers (`ack_seq`, `active_seq`, `done_seq`) and holds the result until `done_ack`
equals `done_seq`.

`flags`: the cell shows the task number it took last (`task_echo`) and separate flags. A done flag stays until
the station raises `done_ack`, and the station lowers it when the flags are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from robotics.modbus_link.registers import RegisterMap, Value
from robotics.modbus_link.schema import LocationsSection
from robotics.port import AckCode, Location, LocationKind, ResultCode


class BadWord(Exception):
    """A word of the cell has no meaning in the map: the block cannot be trusted."""


@dataclass(frozen=True, slots=True)
class CommandEcho:
    """What a cell says about commands."""

    ack_seq: int
    ack_code: AckCode
    active_seq: int
    done_seq: int
    result: ResultCode


class Handshake(Protocol):
    """One style of handshake."""

    needs_reset: bool
    """`done_ack` is a level that must be lowered again."""

    def echo(self, values: Mapping[str, Value]) -> CommandEcho:
        """What the fast block says. Raises BadWord."""

    def acknowledgement(self, seq: int) -> int:
        """Value of `done_ack` that acknowledges a number."""


def meaning(register_map: RegisterMap, values: Mapping[str, Value], name: str) -> str:
    """Name of a word's value by the map's table. Raises BadWord for a value without a name."""
    found = register_map.means(name, values.get(name))
    if found is None:
        raise BadWord(f"{name} = {values.get(name)!r} has no meaning in map {register_map.name}")
    return found


def whole(values: Mapping[str, Value], name: str) -> int:
    """A whole number of the block. Raises BadWord when it is unknown."""
    value = values.get(name)
    if not isinstance(value, int):
        raise BadWord(f"{name} is unknown")
    return int(value)


class SequenceHandshake:
    """Numbers in acknowledge, active and done words."""

    needs_reset = False

    def __init__(self, register_map: RegisterMap) -> None:
        self._map = register_map

    def echo(self, values: Mapping[str, Value]) -> CommandEcho:
        """What the fast block says. Raises BadWord."""
        return CommandEcho(
            ack_seq=whole(values, "ack_seq"),
            ack_code=AckCode[meaning(self._map, values, "ack_code").upper()],
            active_seq=whole(values, "active_seq"),
            done_seq=whole(values, "done_seq"),
            result=ResultCode[meaning(self._map, values, "result").upper()],
        )

    def acknowledgement(self, seq: int) -> int:
        """The number itself."""
        return seq


class FlagHandshake:
    """One echoed task number and a flag for each phase."""

    needs_reset = True
    _RESULTS = (
        ("flag_aborted", ResultCode.ABORTED),
        ("flag_failed", ResultCode.FAILED),
        ("flag_done", ResultCode.DONE),
    )

    def __init__(self, register_map: RegisterMap) -> None:
        self._map = register_map

    def echo(self, values: Mapping[str, Value]) -> CommandEcho:
        """What the fast block says. Raises BadWord, also for flags that contradict each other."""
        task = whole(values, "task_echo")
        up = {name for name in values if name.startswith("flag_") and values[name] is True}
        results = [result for name, result in self._RESULTS if name in up]
        if len(results) > 1 or (results and "flag_running" in up) or {"flag_accepted", "flag_refused"} <= up:
            raise BadWord(f"flags contradict each other: {', '.join(sorted(up))}")
        ack = AckCode.NONE
        if "flag_refused" in up:
            ack = AckCode[meaning(self._map, values, "refusal").upper()]
        elif "flag_accepted" in up:
            ack = AckCode.ACCEPTED
        return CommandEcho(
            ack_seq=task,
            ack_code=ack,
            active_seq=task if "flag_running" in up else 0,
            done_seq=task if results else 0,
            result=results[0] if results else ResultCode.NONE,
        )

    def acknowledgement(self, seq: int) -> int:
        """A raised flag."""
        return 1


def handshake_for(register_map: RegisterMap) -> Handshake:
    """The handshake that a map asks for."""
    style = register_map.handshake.style
    return FlagHandshake(register_map) if style == "flags" else SequenceHandshake(register_map)


def encode_location(bases: LocationsSection, location: Location | None) -> int:
    """Register value of a place in a cell's own numbering; 0 for None.

    Raises:
        ValueError: the number would mean another kind of place.
    """
    if location is None:
        return 0
    value = _base(bases, location.kind) + location.index
    if decode_location(bases, value) != location:
        raise ValueError(f"{location.kind.value} {location.index} has no number in this cell's map")
    return value


def decode_location(bases: LocationsSection, value: int) -> Location | None:
    """Place of a register value in a cell's own numbering; None for 0 and for numbers of no place."""
    for kind in sorted(LocationKind, key=lambda k: -_base(bases, k)):
        index = value - _base(bases, kind)
        if index > 0:
            return Location(kind, index) if index <= 99 else None
    return None


def _base(bases: LocationsSection, kind: LocationKind) -> int:
    base: int = getattr(bases, kind.value)
    return base
