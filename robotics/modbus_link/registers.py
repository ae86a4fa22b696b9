"""Register maps as data: TOML in, values out, registers in.

A map names what lies where in a Modbus device. Driver and device simulator share it, so that an address
is written down once. Values that the registers do not give are ``None``, never zero.

    register_map = load_map("swap_cell_v1")
    register_map.decode("fast", registers)          # registers of the block, first one first
    register_map.encode({"cmd_code": 3, ...})       # [(address, [registers]), ...], adjacent ones joined
    register_map.image()                      # for a server: all that it must answer
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robotics.modbus_link.checks import field_problem, map_problems
from robotics.modbus_link.config import MAX_READ
from robotics.modbus_link.schema import (
    BlockSection,
    EntrySection,
    HandshakeSection,
    MapFile,
    WordOrder,
)
from robotics.modbus_link.words import NUMBER_RANGES, from_words, to_words

MAX_WRITE = 123
"""Registers that one Modbus write may carry (6.12)."""
MOST_POWER = 10
"""Scale factors lie between -10 and 10 (SunSpec); another one is no scale factor."""
MAPS = Path(__file__).parent / "maps"

Value = int | float | bool | str | tuple[bool | None, ...] | None
Registers = Sequence[int | None] | Mapping[int, int]


class MapError(Exception):
    """A register map that cannot be used. `problems`: one line each with entry, value and what is allowed."""

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(f"{source}: " + "; ".join(self.problems))


@dataclass(frozen=True, slots=True)
class Span:
    """Adjacent registers, relative to the device's base address."""

    address: int
    count: int


class RegisterMap:
    """One device's registers, checked. Built by `load_map` or `parse_map`."""

    def __init__(self, file: MapFile, source: str = "") -> None:
        problems = map_problems(file)
        if problems:
            raise MapError(source or file.name, problems)
        self.name = file.name
        self.kind = file.kind
        self.version = file.version
        self.word_order = file.word_order
        self.handshake = file.handshake or HandshakeSection()
        self.file = file
        self.entries: dict[str, EntrySection] = {e.name: e for e in file.entries}
        self.blocks: dict[str, BlockSection] = {b.name: b for b in file.blocks}
        self.by_block: dict[str, tuple[EntrySection, ...]] = {
            b.name: tuple(sorted((e for e in file.entries if e.block == b.name), key=lambda e: (e.address, e.bit or 0)))
            for b in file.blocks
        }
        self.sunspec = any(b.sunspec_model is not None for b in file.blocks)
        """Addresses count from SunSpec models; `sunspec.placed` puts the map where a device has them."""
        self.span: tuple[int, int] = (
            (0, 1) if self.sunspec else (min(e.address for e in file.entries), max(e.last for e in file.entries))
        )
        """First and last register, relative to the device's base address; of SunSpec the marker, all that is known."""
        self.read_blocks: dict[str, tuple[Span, ...]] = {
            b.name: _coalesce(self.by_block[b.name], b.max_gap) for b in file.blocks if b.access == "read"
        }
        """Reads that fetch each block: adjacent entries joined, gaps up to `max_gap` run over."""
        self._first = {name: entries[0].address for name, entries in self.by_block.items()}
        self._readers = {name: [(e.name, self._reader(e)) for e in items] for name, items in self.by_block.items()}
        self._guards = {
            name: [(e.name, e.valid_when) for e in items if e.valid_when] for name, items in self.by_block.items()
        }
        self._masks = {name: [(e.name, e.mask) for e in items if e.mask] for name, items in self.by_block.items()}

        self._faults = [(e.name, [(int(b), c) for b, c in e.faults.items()]) for e in file.entries if e.faults]

    def order(self, entry: EntrySection) -> WordOrder:
        """Word order that applies to an entry."""
        return entry.word_order or self.word_order

    def block_span(self, block: str) -> tuple[int, int]:
        """First and last register of a block. Raises MapError for an unknown block."""
        items = self._block(block)
        return items[0].address, max(e.last for e in items)

    def reads_within(self, max_registers: int) -> dict[str, tuple[Span, ...]]:
        """`read_blocks` for a device that answers at most so many registers a request; no value is read in halves.

        An entry that is longer than that is asked in one request all the same.
        """
        return {
            name: _coalesce(self.by_block[name], block.max_gap, max_registers)
            for name, block in self.blocks.items()
            if block.access == "read"
        }

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that the map does not carry."""
        return tuple(name for name in names if name not in self.entries)

    def means(self, name: str, raw: Value) -> str | None:
        """Name of a raw value by the entry's value table; None when the table has no such value."""
        entry = self.entries.get(name)
        if entry is None or raw is None:
            return None
        return next((v.means for v in entry.values if v.raw == raw), None)

    def raw_of(self, name: str, meaning: str) -> int:
        """Raw value of a meaning. Raises MapError when the entry or the meaning is not in the map."""
        entry = self._entry(name)
        for value in entry.values:
            if value.means == meaning:
                return value.raw
        allowed = ", ".join(v.means for v in entry.values) or "none, the entry has no value table"
        raise MapError(self.name, [f"entry {name!r}: no value means {meaning!r}; allowed: {allowed}"])

    def faults_in(self, values: Mapping[str, Value]) -> tuple[int, ...]:
        """Fault codes whose bits are set in decoded fault words, in the order of the map."""
        found = []
        for name, codes in self._faults:
            word = values.get(name)
            if isinstance(word, int) and word:
                found += [code for bit, code in codes if word >> bit & 1]
        return tuple(found)

    # -- reading

    def decode(self, block: str, registers: Registers) -> dict[str, Value]:
        """Values of a block by entry name; an entry whose registers are not given is None.

        Args:
            block: name of a block.
            registers: the block's registers from its first address on, or registers by relative address.
        """
        self._block(block)
        if isinstance(registers, Mapping):
            words: Mapping[int, int] = registers
        else:
            first = self._first[block]
            words = {first + i: w for i, w in enumerate(registers) if w is not None}
        values: dict[str, Value] = {}
        for name, read in self._readers[block]:
            try:
                values[name] = read(words)
            except KeyError:
                values[name] = None
        for name, mask in self._masks[block]:
            bits, known = values[name], values[mask]
            if isinstance(bits, tuple):
                values[name] = (
                    tuple(b if k else None for b, k in zip(bits, known, strict=True))
                    if isinstance(known, tuple)
                    else None
                )
        for name, guard in self._guards[block]:
            if values[guard] is not True:
                values[name] = None
        return values

    def _reader(self, entry: EntrySection) -> Callable[[Mapping[int, int]], Value]:
        address, invert = entry.address, entry.invert
        if entry.family == "bool":
            bit = entry.bit or 0
            return lambda words: bool(words[address] >> bit & 1) != invert
        if entry.family == "bits":
            places = [(address + p // 16, p % 16) for p in range(entry.bit or 0, (entry.bit or 0) + entry.size)]
            return lambda words: tuple(bool(words[a] >> b & 1) != invert for a, b in places)
        addresses = range(address, address + entry.words)
        if entry.family == "ascii":
            size = entry.size

            def text(words: Mapping[int, int]) -> Value:
                raw = b"".join(words[a].to_bytes(2, "big") for a in addresses)[:size]
                cut = raw.split(b"\0", 1)[0].decode("ascii", "replace").rstrip()
                return cut or None

            return text
        if entry.type == "u16" and entry.scale == 1.0 and entry.offset == 0.0 and entry.idle is entry.invalid is None:
            return lambda words: words[address]  # most of the words of a cell
        little = self.order(entry) == "little"
        scaled = entry.scale_from is not None

        def number(words: Mapping[int, int]) -> Value:
            raw = from_words([words[a] for a in addresses], entry.type, little=little)
            if raw == entry.invalid or raw != raw:  # the second is NaN
                return None
            if raw == entry.idle:
                return 0
            if scaled:
                power = self.power(entry, words)
                return None if power is None else round(raw * entry.scale * 10.0**power, 9)
            if entry.scale == 1.0 and entry.offset == 0.0:
                return raw
            return round(raw * entry.scale + entry.offset, 9)

        return number

    def power(self, entry: EntrySection, words: Mapping[int, int]) -> int | None:
        """Power of ten of an entry that has a scale factor; None where the registers give none."""
        factor = self.entries[entry.scale_from or ""]
        if factor.address not in words:
            return None
        raw = int(from_words([words[factor.address]], factor.type, little=False))
        return raw if raw != factor.invalid and abs(raw) <= MOST_POWER else None

    # -- writing

    def encode(
        self, values: Mapping[str, Value], image: Mapping[int, int] | None = None
    ) -> list[tuple[int, list[int]]]:
        """Registers that carry the values: runs of adjacent registers, lowest address first, ≤123 each.

        Bits that share a register with a given one keep their state in `image` and are 0 without it. Where
        bits(n) has a mask that is not given itself, elements that are None or absent are unknown in it.
        Scale factors are those of `image`.

        Raises:
            MapError: an unknown entry, or a value that does not fit; the message gives what is allowed.
        """
        words: dict[int, int] = {}
        for name, value in values.items():
            entry = self._entry(name)
            if entry.mask is not None and entry.mask not in values:
                self._put(words, self.entries[entry.mask], _known_bits(value), image)
            self._put(words, entry, value, image)
        runs: list[tuple[int, list[int]]] = []
        for address in sorted(words):
            if runs and runs[-1][0] + len(runs[-1][1]) == address and len(runs[-1][1]) < MAX_WRITE:
                runs[-1][1].append(words[address])
            else:
                runs.append((address, [words[address]]))
        return runs

    def image(self, values: Mapping[str, Value] | None = None) -> dict[int, int]:
        """Registers that a server of this map must answer: whole blocks, gaps 0, constants and idle set."""
        words: dict[int, int] = {}
        for block in self.blocks:
            first, last = self.block_span(block)
            words.update(dict.fromkeys(range(first, last + 1), 0))
        start: dict[str, Value] = {e.name: 0 for e in self.entries.values() if e.idle is not None}
        start |= {e.name: None for e in self.entries.values() if e.invalid is not None}
        start |= {e.name: self.constant(e) for e in self.entries.values() if e.const is not None}
        start |= {
            e.name: e.family == "bits" and ()
            for e in self.entries.values()
            if e.family in ("bool", "bits") and e.invert
        }
        start |= {e.name: e.values[0].raw for e in self.entries.values() if e.values and self._lacks_zero(e)}
        for part in (start, values or {}):
            for address, registers in self.encode(part, words):
                words.update(zip(range(address, address + len(registers)), registers, strict=True))
        return words

    @staticmethod
    def _lacks_zero(entry: EntrySection) -> bool:
        return entry.idle is None and entry.const is None and all(v.raw != 0 for v in entry.values)

    @staticmethod
    def constant(entry: EntrySection) -> Value:
        """Value of an entry that never changes."""
        return (entry.const or 0) * entry.scale + entry.offset if entry.scale != 1.0 or entry.offset else entry.const

    def _put(self, words: dict[int, int], entry: EntrySection, value: Value, image: Mapping[int, int] | None) -> None:
        if entry.family in ("bool", "bits"):
            self._put_bits(words, entry, value, image)
            return
        if entry.family == "ascii":
            if not isinstance(value, str | None) or len(value or "") > entry.size or not (value or "").isascii():
                raise self._unfit(entry, value, f"ASCII text of up to {entry.size} characters, or None")
            raw_text = (value or "").encode("ascii").ljust(entry.words * 2, b"\0")
            registers = [int.from_bytes(raw_text[i : i + 2], "big") for i in range(0, len(raw_text), 2)]
        else:
            registers = to_words(self._raw(entry, value, image), entry.type, little=self.order(entry) == "little")
        words.update(zip(range(entry.address, entry.last + 1), registers, strict=True))

    def _raw(self, entry: EntrySection, value: Value, image: Mapping[int, int] | None) -> int | float:
        if value is None:
            if entry.type == "f32":
                return float("nan")
            if entry.invalid is None:
                raise self._unfit(entry, value, "a number; the entry has no value for unknown")
            return entry.invalid
        if isinstance(value, str | tuple):
            raise self._unfit(entry, value, "a number")
        if entry.idle is not None and value == 0:
            return entry.idle
        scale = entry.scale
        if entry.scale_from is not None:
            power = self.power(entry, image or {})
            if power is None:
                raise self._unfit(
                    entry, value, f"a value once {entry.scale_from!r} is known: the device gives no factor"
                )
            scale *= 10.0**power
        raw = (value - entry.offset) / scale if scale != 1.0 or entry.offset else value
        if entry.type == "f32":
            return float(raw)
        low, high = NUMBER_RANGES[entry.type]
        if raw != raw or not low <= round(raw) <= high:
            shown = [f"{bound:.10g}" for bound in sorted(bound * scale + entry.offset for bound in (low, high))]
            raise self._unfit(entry, value, f"{shown[0]}…{shown[1]} {entry.unit}".rstrip())
        return round(raw)

    def _put_bits(
        self, words: dict[int, int], entry: EntrySection, value: Value, image: Mapping[int, int] | None
    ) -> None:
        if entry.family == "bool":
            if value is None or value not in (0, 1):
                raise self._unfit(entry, value, "true or false")
            bits: tuple[bool | None, ...] = (bool(value),)
        else:
            if not isinstance(value, tuple) or len(value) > entry.size:
                raise self._unfit(entry, value, f"a tuple of up to {entry.size} of true, false or None")
            bits = value + (None,) * (entry.size - len(value))
        first = entry.bit or 0
        for place, state in enumerate(bits, start=first):
            address, bit = entry.address + place // 16, place % 16
            word = words.get(address, (image or {}).get(address, 0))
            on = bool(state) != entry.invert
            words[address] = word | 1 << bit if on else word & ~(1 << bit)

    def _unfit(self, entry: EntrySection, value: Value, allowed: str) -> MapError:
        return MapError(self.name, [f"entry {entry.name!r} = {value!r}: allowed {allowed}"])

    def _entry(self, name: str) -> EntrySection:
        try:
            return self.entries[name]
        except KeyError:
            raise MapError(self.name, [f"no entry {name!r}; known: {', '.join(sorted(self.entries))}"]) from None

    def _block(self, name: str) -> tuple[EntrySection, ...]:
        try:
            return self.by_block[name]
        except KeyError:
            raise MapError(self.name, [f"no block {name!r}; known: {', '.join(self.by_block)}"]) from None


def shipped_maps() -> tuple[str, ...]:
    """Names of the maps in the package."""
    return tuple(sorted(p.stem for p in MAPS.glob("*.toml")))


def load_map(name_or_path: str, folder: Path | None = None) -> RegisterMap:
    """A shipped map by its name, or a map file by its path, relative to `folder`.

    Raises:
        MapError: there is no such map, or it is not valid; every problem is listed.
    """
    shipped = shipped_maps()
    path = MAPS / f"{name_or_path}.toml" if name_or_path in shipped else (folder or Path()) / name_or_path
    try:
        changed = path.stat().st_mtime_ns
        if not path.is_file():
            raise OSError("no file")
    except (OSError, ValueError):
        raise MapError(
            name_or_path,
            [f"no such register map; give a shipped one ({', '.join(shipped)}) or the path of a TOML file"],
        ) from None
    return _load(path.resolve(), changed)


@lru_cache(maxsize=64)
def _load(path: Path, changed_ns: int) -> RegisterMap:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MapError(path.name, [f"is no valid TOML: {error}"]) from error
    return parse_map(data, path.name)


def parse_map(data: dict[str, Any], source: str = "register map") -> RegisterMap:
    """A map from the content of its file. Raises MapError with every problem."""
    try:
        file = MapFile.model_validate(data)
    except ValidationError as error:
        # A list whose items are all bad also counts as empty; only the items' own lines help.
        items = [i for i in error.errors(include_url=False) if i["type"] != "too_short" or not i["input"]]
        raise MapError(source, [field_problem(item, data) for item in items]) from error
    return RegisterMap(file, source)


def _coalesce(entries: Sequence[EntrySection], max_gap: int, most: int = MAX_READ) -> tuple[Span, ...]:
    spans: list[tuple[int, int]] = []
    for entry in entries:
        if spans:
            first, last = spans[-1]
            if entry.address - last - 1 <= max_gap and entry.last - first < most:
                spans[-1] = (first, max(last, entry.last))
                continue
        spans.append((entry.address, entry.last))
    return tuple(Span(first, last - first + 1) for first, last in spans)


def _known_bits(value: Value) -> tuple[bool | None, ...]:
    return tuple(b is not None for b in value) if isinstance(value, tuple) else ()
