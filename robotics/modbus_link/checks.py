"""What concerns several entries of a register map: names, overlaps, references between entries."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from robotics.modbus_link.cell_entries import cell_problems
from robotics.modbus_link.schema import EntrySection, MapFile


def map_problems(file: MapFile) -> list[str]:
    """Every contradiction inside a map, one line each: entry, value, what is allowed."""
    blocks = [b.name for b in file.blocks]
    problems = _repeated("entry", [e.name for e in file.entries]) + _repeated("block", blocks)
    problems += [f"block {n!r}: has no entry" for n in blocks if all(e.block != n for e in file.entries)]
    problems += [
        f"entry {e.name!r} block = {e.block!r}: no such block; allowed: {', '.join(blocks)}"
        for e in file.entries
        if e.block not in blocks
    ]
    problems += _overlaps(file) + _references(file)
    if file.kind == "storage":
        problems += _in_one_request(file)
    if file.kind == "swap_cell":
        problems += cell_problems(file)
    elif file.handshake is not None:
        problems.append(f"handshake: is for kind swap_cell only, not {file.kind}; remove it")
    return problems


def _in_one_request(file: MapFile) -> list[str]:
    """An order to a storage must not arrive in halves: what is written lies in one run of registers."""
    writes = {block.name for block in file.blocks if block.access == "write"}
    spans = sorted((entry.address, entry.last, entry.name) for entry in file.entries if entry.block in writes)
    gaps = [(one, other) for one, other in pairwise(spans) if other[0] > one[1] + 1]
    problems = [
        f"entry {name!r}: register {first} does not follow {before!r}, which ends at {last}; what is written to a "
        "storage lies in adjacent registers, since it goes in one request (give those between a const)"
        for (_, last, before), (first, _, name) in gaps
    ]
    if len(writes) > 1:
        problems.append(f"block {', '.join(sorted(writes))}: a storage has one block that is written")
    return problems


def field_problem(item: Any, data: dict[str, Any]) -> str:
    """One pydantic error as a line that names the entry or block by its name."""
    loc = list(item["loc"])
    where = ".".join(str(part) for part in loc) or "file"
    if len(loc) >= 2 and loc[0] in ("entries", "blocks") and isinstance(loc[1], int):
        row = data[loc[0]][loc[1]]
        number = f"number {loc[1] + 1}"
        name = row.get("name", number) if isinstance(row, dict) else number
        rest = ".".join(str(part) for part in loc[2:])
        where = f"{'entry' if loc[0] == 'entries' else 'block'} {name!r}" + (f" {rest}" if rest else "")
    value = item["input"]
    plain = item["type"] != "missing" and not isinstance(value, dict | list | tuple)
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        message = "is no known field: remove it or mend its spelling"
    return f"{where}{f' = {value!r}' if plain else ''}: {message}"


def places(entry: EntrySection) -> list[tuple[int, int]]:
    """Every (register, bit) that an entry takes."""
    if entry.family in ("bool", "bits"):
        first = entry.bit or 0
        return [(entry.address + p // 16, p % 16) for p in range(first, first + entry.size)]
    return [(a, b) for a in range(entry.address, entry.last + 1) for b in range(16)]


def _repeated(what: str, names: list[str]) -> list[str]:
    return [
        f"{what} {n!r}: given more than once; names must be unique" for n in sorted(set(names)) if names.count(n) > 1
    ]


def _overlaps(file: MapFile) -> list[str]:
    problems: list[str] = []
    models = {block.name: block.sunspec_model for block in file.blocks}
    taken: dict[tuple[int | None, int, int], str] = {}
    block_of: dict[tuple[int | None, int], tuple[str, str]] = {}
    for entry in file.entries:
        at = f"register {entry.address}" + ("" if entry.bit is None else f" bit {entry.bit}")
        model = models.get(entry.block)
        here = [(model, *place) for place in places(entry)]
        clash = {taken[place] for place in here if place in taken}
        problems += [
            f"entry {entry.name!r}: {at} overlaps entry {other!r}; give it other registers" for other in sorted(clash)
        ]
        taken |= dict.fromkeys(here, entry.name)
        for register in range(entry.address, entry.last + 1):
            block, other = block_of.setdefault((model, register), (entry.block, entry.name))
            if block != entry.block and not clash:
                problems.append(
                    f"entry {entry.name!r}: {at} of block {entry.block!r} also holds entry {other!r} of "
                    f"block {block!r}; a register belongs to one block"
                )
    return problems


def _references(file: MapFile) -> list[str]:
    problems: list[str] = []
    by_name = {e.name: e for e in file.entries}
    models = {block.name: block.sunspec_model for block in file.blocks}
    if None in models.values() and len(set(models.values())) > 1:
        without = ", ".join(name for name, model in models.items() if model is None)
        problems.append(f"block {without}: has no sunspec_model; a map has one in every block or in none")
    for entry in file.entries:
        block = entry.block
        if entry.valid_when is not None:
            guard = by_name.get(entry.valid_when)
            if guard is None or guard.family != "bool" or guard.block != block:
                problems.append(
                    f"entry {entry.name!r} valid_when = {entry.valid_when!r}: must name a bool of {block!r}"
                )
        if entry.scale_from is not None:
            power = by_name.get(entry.scale_from)
            near = power is not None and models.get(power.block) == models.get(block)
            if power is None or power.type != "i16" or power.scale != 1.0 or power.scale_from or not near:
                problems.append(
                    f"entry {entry.name!r} scale_from = {entry.scale_from!r}: must name an i16 without a scale of the "
                    "same device and SunSpec model"
                )
        if entry.mask is not None:
            mask = by_name.get(entry.mask)
            if mask is None or mask.type != entry.type or mask.block != block:
                problems.append(f"entry {entry.name!r} mask = {entry.mask!r}: must name a {entry.type} of {block!r}")
    return problems
