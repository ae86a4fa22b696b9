"""How a cell says that it took, runs and ended a command: three styles, one meaning.

`sequence`: the cell shows numbers (`ack_seq`, `active_seq`, `done_seq`) and holds the result until `done_ack`
equals `done_seq`.

`fenced`: the same numbers, and an epoch that counts what has happened to the cell (power, owner, trips, pauses).
Every request carries the epoch in which it was decided; the cell leaves one of another epoch alone.

`flags`: the cell shows the task number it took last (`task_echo`) and separate flags. A done flag stays until
the station raises `done_ack`, and the station lowers it when the flags are gone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

from robotics.modbus_link.registers import RegisterMap, Value
from robotics.modbus_link.schema import LocationsSection
from robotics.port import AckCode, LinkFault, LinkLimit, LinkTrouble, Location, LocationKind, ResultCode


class BadWord(Exception):
    """A word of the cell has no meaning in the map: the block cannot be trusted."""

    def __init__(self, message: str, trouble: LinkTrouble) -> None:
        self.trouble = trouble
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class CommandEcho:
    """What a cell says about commands; what its style does not carry is None, the epoch then 0."""

    ack_seq: int
    ack_code: AckCode
    active_seq: int
    done_seq: int
    result: ResultCode
    epoch: int = 0
    last_seq: int | None = None
    done_result: ResultCode | None = None
    hold: bool | None = None


class Handshake(Protocol):
    """One style of handshake."""

    needs_reset: bool
    """`done_ack` is a level that must be lowered again."""
    fenced: bool
    """The cell judges the epoch of every request."""

    def echo(self, values: Mapping[str, Value]) -> CommandEcho:
        """What the fast block says. Raises BadWord."""

    def acknowledgement(self, seq: int) -> int:
        """Value of `done_ack` that acknowledges a number."""


def meaning(register_map: RegisterMap, values: Mapping[str, Value], name: str) -> str:
    """Name of a word's value by the map's table. Raises BadWord for a value without a name."""
    found = register_map.means(name, values.get(name))
    if found is None:
        value = values.get(name)
        raise BadWord(
            f"{name} = {value!r} has no meaning in map {register_map.name}",
            LinkTrouble(LinkFault.NO_MEANING, name, str(value)),
        )
    return found


def whole(values: Mapping[str, Value], name: str) -> int:
    """A whole number of the block. Raises BadWord when it is unknown."""
    value = values.get(name)
    if not isinstance(value, int):
        raise BadWord(f"{name} is unknown", LinkTrouble(LinkFault.NO_MEANING, name, str(value)))
    return int(value)


class SequenceHandshake:
    """Numbers in acknowledge, active and done words."""

    needs_reset = False
    fenced = False

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


class FencedHandshake(SequenceHandshake):
    """Numbers as in `sequence`, fenced by an epoch."""

    fenced = True

    def echo(self, values: Mapping[str, Value]) -> CommandEcho:
        """What the fast block says. Raises BadWord, also for epoch 0, which no running cell shows."""
        epoch = whole(values, "epoch")
        if epoch == 0:
            raise BadWord("epoch reads 0: the cell's program has not begun", LinkTrouble(LinkFault.NOT_BEGUN))
        return replace(
            super().echo(values),
            epoch=epoch,
            last_seq=whole(values, "last_seq"),
            done_result=ResultCode[meaning(self._map, values, "done_result").upper()],
            hold=meaning(self._map, values, "hold_seen") == "on",
        )


class FlagHandshake:
    """One echoed task number and a flag for each phase."""

    needs_reset = True
    fenced = False
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
            names = ", ".join(sorted(up))
            raise BadWord(f"flags contradict each other: {names}", LinkTrouble(LinkFault.CONTRADICTION, names))
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
    styles: dict[str, type[SequenceHandshake] | type[FlagHandshake]] = {
        "fenced": FencedHandshake,
        "sequence": SequenceHandshake,
        "flags": FlagHandshake,
    }
    return styles[register_map.handshake.style](register_map)


def limits_of(register_map: RegisterMap) -> tuple[LinkLimit, ...]:
    """What late, lost or repeated requests can still do to a cell of this map, the most serious first."""
    style = register_map.handshake.style
    if style == "fenced":
        return (LinkLimit.BEFORE_SILENCE,)
    limits = [LinkLimit.LATE_COMMAND, LinkLimit.LATE_HEARTBEAT, LinkLimit.LATE_RELEASE, LinkLimit.OLD_CONFIRMATION]
    limits += [LinkLimit.LATE_ACKNOWLEDGEMENT, LinkLimit.HOLD_UNSEEN]
    if "owner" not in register_map.entries:
        limits.insert(0, LinkLimit.NO_OWNER)
    elif style == "sequence":
        limits.append(LinkLimit.ANSWER_OVERWRITTEN)
    return tuple(limits)


def limit_sentence(limit: LinkLimit, language: Literal["en", "zh"]) -> str:
    """What a limit means, in a sentence for people."""
    return _limit_sentences()[limit.value][language]


@cache
def _limit_sentences() -> dict[str, dict[str, str]]:
    return tomllib.loads((Path(__file__).parent / "link_limits.toml").read_text(encoding="utf-8"))


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
