"""Changes values of a TOML text and leaves the rest as it stands, comments included."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

Path = tuple[str, ...]
LONGEST_WAS = 40
"""Characters of an old value that is told beside the new one."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One `key = value`: where it stands, and in which table."""

    table: Path
    key: Path
    first: int
    last: int
    """Line after its end."""


def _header(line: str) -> tuple[Path, bool] | None:
    """Path of a `[table]` or `[[table]]` line, and whether it is the latter."""
    bare = line.split("#", maxsplit=1)[0].strip()
    if not bare.startswith("["):
        return None
    many = bare.startswith("[[")
    name = bare.strip("[]").strip()
    return tuple(_keys(f"{name} = 0")), many


def _keys(assignment: str) -> list[str]:
    """The dotted key of an assignment, part by part."""
    found: list[str] = []
    value: Any = tomllib.loads(assignment)
    while isinstance(value, dict) and len(value) == 1:
        (key, value), *_ = value.items()
        found.append(key)
    return found


def _entries(lines: Sequence[str]) -> Iterator[_Entry | tuple[Path, bool, int]]:
    """Every assignment, and every header as (path, whether of a list, line), in order."""
    table: Path = ()
    at = 0
    while at < len(lines):
        bare = lines[at].strip()
        header = _header(lines[at])
        if header is not None:
            table = header[0]
            yield header[0], header[1], at
        elif bare and not bare.startswith("#"):
            first = at
            while True:
                try:
                    tomllib.loads("\n".join(lines[first : at + 1]))
                    break
                except tomllib.TOMLDecodeError:
                    if at + 1 >= len(lines):
                        raise
                    at += 1
            key = lines[first].split("=")[0].strip()
            yield _Entry(table, tuple(_keys(f"{key} = 0")), first, at + 1)
        at += 1


def shown(value: object) -> str:
    """A value as TOML, tables inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {shown(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, int | float):
        return f"{value:g}" if value == int(value) and abs(value) < 1e6 else repr(value)
    raise TypeError(f"{value!r} has no form in TOML")


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def with_value(text: str, path: Path, value: object) -> str:
    """The text with one value set: in its place, else beside its table's others, else in a table at the end."""
    lines = text.splitlines()
    beside: int | None = None
    prefix: Path = path[:-1]
    for found in _entries(lines):
        if isinstance(found, tuple):
            if found[0] == path[:-1] and not found[1] and beside is None:
                beside, prefix = found[2] + 1, ()
            if found[0] == path and not found[1] and isinstance(value, Mapping):
                for key, item in value.items():
                    text = with_value(text, (*path, key), item)
                return text
            continue
        whole = (*found.table, *found.key)
        if whole == path:
            lines[found.first : found.last] = [_assigned("\n".join(lines[found.first : found.last]), found.key, value)]
            return "\n".join(lines) + "\n"
        if whole == path[: len(whole)]:  # an inline table that holds it
            inside = _value_of("\n".join(lines[found.first : found.last]), found.key)
            _set(inside, path[len(whole) :], value)
            lines[found.first : found.last] = [_assigned("\n".join(lines[found.first : found.last]), found.key, inside)]
            return "\n".join(lines) + "\n"
        if not found.table and whole[: len(path) - 1] == path[:-1] and len(path) > 1:
            beside, prefix = found.last, path[:-1]
        elif not found.table and len(path) == 1:
            beside, prefix = found.last, ()
    written = f"{'.'.join(_key(part) for part in (*prefix, path[-1]))} = {shown(value)}"
    if beside is None:
        return (
            text.rstrip("\n")
            + f"\n\n[{'.'.join(_key(part) for part in path[:-1])}]\n{_key(path[-1])} = {shown(value)}\n"
        )
    lines.insert(beside, written)
    return "\n".join(lines) + "\n"


def without(text: str, path: Path) -> str:
    """The text without a table or value: its assignments, dotted ones too, and its header are gone."""
    lines = text.splitlines()
    gone: set[int] = set()
    for found in _entries(lines):
        if isinstance(found, tuple):
            if found[0][: len(path)] == path:
                gone.add(found[2])
        elif (*found.table, *found.key)[: len(path)] == path:
            gone.update(range(found.first, found.last))
    return "\n".join(line for at, line in enumerate(lines) if at not in gone) + "\n"


def _value_of(assignment: str, key: Path) -> Any:
    value: Any = tomllib.loads(assignment)
    for part in key:
        value = value[part]
    return value


def _set(table: dict[str, Any], path: Path, value: object) -> None:
    for part in path[:-1]:
        table = table.setdefault(part, {})
    table[path[-1]] = value


def _assigned(assignment: str, key: Path, value: object) -> str:
    """The assignment with another value, in one line. A comment at its end gave the old one's reason, and goes."""
    old = _value_of(assignment, key)
    if old == value:
        return assignment
    was = f", was {shown(old)}" if len(shown(old)) < LONGEST_WAS else ""
    return f"{'.'.join(_key(part) for part in key)} = {shown(value)}  # sized{was}"


def with_list(text: str, name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The text with another list of tables, written as the old one was: one row a line, or `[[name]]` blocks."""
    lines = text.splitlines()
    found = list(_entries(lines))
    for entry in found:
        if isinstance(entry, _Entry) and not entry.table and entry.key == (name,):
            lines[entry.first : entry.last] = [f"{name} = [", *(f"  {shown(row)}," for row in rows), "]"]
            return "\n".join(lines) + "\n"
    headers = [entry for entry in found if isinstance(entry, tuple)]
    own = [(at, n) for n, (path, _, at) in enumerate(headers) if path[0] == name]
    if not own:
        raise KeyError(name)
    ends = [headers[n + 1][2] if n + 1 < len(headers) else len(lines) for _, n in own]
    for (start, _), end in sorted(zip(own, ends, strict=True), reverse=True):
        del lines[start:end]
    blocks: list[str] = []
    for row in rows:
        blocks += [f"[[{name}]]", *(f"{_key(key)} = {shown(value)}" for key, value in row.items()), ""]
    lines[own[0][0] : own[0][0]] = blocks
    return "\n".join(lines) + "\n"
