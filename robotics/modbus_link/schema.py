"""Shape of a register-map file: blocks, entries, value tables, and how a cell expresses its handshake.

Pydantic models only; `registers.py` joins them into a map and checks what concerns several entries.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from robotics.modbus_link.words import NUMBER_RANGES, NUMBER_WORDS
from scheduler.sections import Section

WordOrder = Literal["big", "little"]
EntryName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]

TYPE_NAMES = "u16, i16, u32, i32, u64, f32, bool, bits(n) with n 1…1024, ascii(n) with n 1…64 characters"
_SIZED = re.compile(r"^(bits|ascii)\((\d{1,4})\)$")
_SIZED_MAX = {"bits": 1024, "ascii": 64}


class ValueSection(Section):
    """One value of a word and the name this project gives it."""

    raw: int = Field(strict=True, ge=-0x8000_0000, le=0xFFFF_FFFF)
    means: EntryName
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class EntrySection(Section):
    """One named thing in the registers."""

    name: EntryName
    block: EntryName
    address: int = Field(strict=True, ge=0, le=65535)
    """Zero-based, relative to the device's `base_address`."""
    type: str
    word_order: WordOrder | None = None
    """Of values longer than one register; the map's own order when absent."""
    scale: float = Field(default=1.0, ge=-1_000_000, le=1_000_000)
    """Value = raw × scale + offset; below 0 where the device counts the other way round."""
    scale_from: EntryName | None = None
    """Entry whose value is the power of ten that the raw value is multiplied by besides (SunSpec's scale factors)."""
    offset: float = Field(default=0.0, ge=-1_000_000, le=1_000_000)
    unit: str = Field(default="", max_length=16)
    bit: int | None = Field(default=None, strict=True, ge=0, le=15)
    """Bit of a bool, 0 = least significant; of bits(n) the first one."""
    invert: bool = Field(default=False, strict=True)
    """True when 1 on the wire is the false state of the name."""
    const: int | None = Field(default=None, strict=True)
    """Raw value that never changes (packet head, word-order check)."""
    idle: int | None = Field(default=None, strict=True)
    """Raw value that stands for none; read as 0, written for 0."""
    invalid: int | None = Field(default=None, strict=True)
    """Raw value that stands for unknown; read as None."""
    valid_when: EntryName | None = None
    """Bool of the same block without which this entry is unknown."""
    mask: EntryName | None = None
    """bits(n) of the same block that says which bits are known."""
    values: tuple[ValueSection, ...] = ()
    codes: dict[str, int] = Field(default_factory=dict)
    """Of a fault code: the device's own number → code of the fault catalogue."""
    faults: dict[str, int] = Field(default_factory=dict)
    """Of a fault word: bit (0…15) → code of the fault catalogue."""
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        sized = _SIZED.match(value)
        if value == "bool" or value in NUMBER_WORDS:
            return value
        if sized and 1 <= int(sized[2]) <= _SIZED_MAX[sized[1]]:
            return value
        raise ValueError(f"unknown type; allowed: {TYPE_NAMES}")

    @property
    def family(self) -> str:
        """number, bool, bits or ascii."""
        sized = _SIZED.match(self.type)
        if sized:
            return sized[1]
        return "bool" if self.type == "bool" else "number"

    @property
    def size(self) -> int:
        """Characters of an ascii entry, bits of a bits entry, else 1."""
        sized = _SIZED.match(self.type)
        return int(sized[2]) if sized else 1

    @property
    def words(self) -> int:
        """Registers it takes."""
        if self.family == "bits":
            return ((self.bit or 0) + self.size + 15) // 16
        if self.family == "ascii":
            return (self.size + 1) // 2
        return NUMBER_WORDS.get(self.type, 1)

    @property
    def last(self) -> int:
        """Its last register."""
        return self.address + self.words - 1

    @model_validator(mode="after")
    def _fits_type(self) -> Self:
        family = self.family
        if family == "bool" and self.bit is None:
            raise ValueError("a bool needs bit; allowed 0…15")
        if family in ("number", "ascii") and self.bit is not None:
            raise ValueError(f"bit is for bool and bits(n) only, not {self.type}; remove it")
        if self.invert and family not in ("bool", "bits"):
            raise ValueError(f"invert is for bool and bits(n) only, not {self.type}; remove it")
        if self.last > 65535:
            raise ValueError(f"ends at register {self.last}; allowed up to 65535")
        if self.scale == 0.0:
            raise ValueError("scale = 0: nothing would be left of the value; allowed -1000000…1000000 without 0")
        if self.scale_from is not None and (family != "number" or self.offset or self.values or self.idle is not None):
            raise ValueError("scale_from is for numbers without offset, idle and values; remove it")
        raw_fields = [f for f in ("const", "idle", "invalid") if getattr(self, f) is not None]
        for field in raw_fields:
            allowed = NUMBER_RANGES.get(self.type)
            if allowed is None:
                raise ValueError(f"{field} is for integer types only, not {self.type}; remove it")
            if not allowed[0] <= getattr(self, field) <= allowed[1]:
                raise ValueError(f"{field} = {getattr(self, field)}: allowed in {self.type} {allowed[0]}…{allowed[1]}")
        if (self.values or self.idle is not None) and (self.scale != 1.0 or self.offset != 0.0):
            raise ValueError("values and idle are raw; scale must be 1 and offset 0")
        if self.values and self.type not in NUMBER_RANGES:
            raise ValueError(f"values are for integer types only, not {self.type}; remove them")
        for field in ("raw", "means"):
            given = [getattr(v, field) for v in self.values]
            twice = sorted({str(g) for g in given if given.count(g) > 1})
            if twice:
                raise ValueError(f"values.{field} {', '.join(twice)} given more than once; each must be unique")
        if self.faults and self.type != "u16":
            raise ValueError(f"faults are for u16 words only, not {self.type}")
        for key in self.faults:
            if not key.isdigit() or int(key) > 15:
                raise ValueError(f"faults.{key}: bit must be 0…15")
        if self.codes and self.type not in ("u16", "u32"):
            raise ValueError(f"codes are for u16 and u32 only, not {self.type}")
        wrong = [key for key in self.codes if not key.isdigit()]
        if wrong:
            raise ValueError(f"codes.{wrong[0]}: the device's number must be a whole number from 0")
        if self.mask is not None and family != "bits":
            raise ValueError(f"mask is for bits(n) only, not {self.type}; remove it")
        return self


class BlockSection(Section):
    """Registers read or written together."""

    name: EntryName
    access: Literal["read", "write"]
    """From the station's side."""
    period_s: float = Field(default=1.0, gt=0, le=3600)
    """How often the station reads it, or repeats what it writes."""
    max_gap: int = Field(default=0, ge=0, le=120)
    """Unused registers that one read may run over; 0 when the device refuses addresses it does not know."""
    sunspec_model: int | None = Field(default=None, strict=True, ge=1, le=65534)
    """Addresses count from the ID register of this SunSpec model, which is looked for in the device's chain of models;
    where the device has no such model, the entries of the block are absent."""
    sunspec_length: int = Field(default=0, ge=0, le=65535)
    """Registers of that model behind its ID and length; the simulated device has it so."""
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class LocationsSection(Section):
    """Number that each kind of place starts from: register value = base + index."""

    bay: int = Field(default=0, ge=0, le=60_000)
    seat: int = Field(default=100, ge=0, le=60_000)
    transfer: int = Field(default=200, ge=0, le=60_000)
    tank: int = Field(default=300, ge=0, le=60_000)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        bases = sorted((self.bay, self.seat, self.transfer, self.tank))
        if any(b - a < 10 for a, b in pairwise(bases)):
            raise ValueError("bases of bay, seat, transfer and tank must lie at least 10 apart")
        return self


class HandshakeSection(Section):
    """How a cell says that it took, runs and ended a command (`docs/integrators.md`)."""

    style: Literal["fenced", "sequence", "flags"] = "sequence"
    """`sequence`: numbers in ack_seq, active_seq, done_seq, answered by done_ack.
    `fenced`: the same, and every request carries the epoch in which it was decided.
    `flags`: one echoed task number and separate flags that stay until done_ack is set."""
    locations: LocationsSection = LocationsSection()


class MapFile(Section):
    """A whole register-map file."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
    kind: Literal["swap_cell", "bay_charger", "site_meter", "pv_meter", "storage"]
    version: int = Field(strict=True, ge=1, le=65535)
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)
    word_order: WordOrder = "big"
    handshake: HandshakeSection | None = None
    blocks: tuple[BlockSection, ...] = Field(min_length=1)
    entries: tuple[EntrySection, ...] = Field(min_length=1)
