"""Numbers to 16-bit registers and back, in both word orders. Bytes in a register are big-endian."""

from __future__ import annotations

import struct
from collections.abc import Sequence

NUMBER_WORDS = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "u64": 4, "f32": 2}
"""Registers that each number type takes."""
NUMBER_RANGES: dict[str, tuple[int, int]] = {
    "u16": (0, 0xFFFF),
    "i16": (-0x8000, 0x7FFF),
    "u32": (0, 0xFFFF_FFFF),
    "i32": (-0x8000_0000, 0x7FFF_FFFF),
    "u64": (0, 0xFFFF_FFFF_FFFF_FFFF),
}
_PACKING = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "u64": ">Q", "f32": ">f"}


def from_words(words: Sequence[int], type_name: str, *, little: bool) -> int | float:
    """The number in registers; `little` means the low word comes first."""
    ordered = reversed(words) if little else words
    raw = b"".join(word.to_bytes(2, "big") for word in ordered)
    value: int | float = struct.unpack(_PACKING[type_name], raw)[0]
    return value


def to_words(value: int | float, type_name: str, *, little: bool) -> list[int]:
    """The registers of a number; it must fit the type."""
    raw = struct.pack(_PACKING[type_name], value)
    words = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, 2 * NUMBER_WORDS[type_name], 2)]
    return words[::-1] if little else words
