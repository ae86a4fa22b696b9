"""Battery code of GB/T 34014-2017: 24 characters that name one pack, module or cell.

| Position | Content |
|---|---|
| 1–3 | vendor, registered |
| 4 | `P` pack, `M` module, `C` cell |
| 5 | battery type, `B` LFP, `E` NMC |
| 6–7 | specification, filed by the vendor |
| 8–14 | traceability information, filed by the vendor |
| 15–17 | production date: year, month, day, one character each |
| 18–24 | serial number |

A pack is identified by the whole normalised string, never by a decoded part. The date is advisory: published
decoders differ on the letters for the 27th to the 31st, so such a code is valid and its date unknown.
Reused products get a new, shorter code; that is no code of this layout and is refused here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

CODE_LENGTH = 24


class BatteryCodeError(ValueError):
    """The text is no GB/T 34014 code; the message says which character is wrong and what it may be."""


class Product(StrEnum):
    """What the code is on (4th character)."""

    PACK = "pack"
    MODULE = "module"
    CELL = "cell"


_PRODUCTS = {"P": Product.PACK, "M": Product.MODULE, "C": Product.CELL}

# B and E are certain; the others are as public decoders have them.
_CHEMISTRIES = {
    "A": "NiMH",
    "B": "LFP",
    "C": "LMO",
    "D": "LCO",
    "E": "NMC",
    "F": "supercapacitor",
    "G": "LTO",
    "Z": "other",
}

_YEAR_CHARACTERS = "0123456789ABCDEFGHJKLMNPRST"  # 2010 … 2036, without I, O and Q
_MONTH_CHARACTERS = "123456789ABC"
_DAY_CHARACTERS = "123456789ABCDEFGHJKLMNPRST"  # 1 … 26; what follows is not settled
_DAY_UNSETTLED = "0QUVWXYZ"


@dataclass(frozen=True, slots=True)
class BatteryCode:
    """The parts of a code."""

    text: str
    """The whole normalised code: the identity."""
    vendor: str
    product: Product
    chemistry: str
    """Name of the battery type; "unknown" for a letter without one."""
    spec: str
    trace: str
    date_code: str
    produced_on: date | None
    """None when the day's letter is one on which decoders differ."""
    serial: str


def normalise_code(text: str) -> str:
    """The code as it is compared and stored: no blanks, upper case."""
    return re.sub(r"\s+", "", text).upper()


def parse_code(text: str) -> BatteryCode:
    """The parts of a code, normalised first. Raises BatteryCodeError."""
    code = normalise_code(text)
    if len(code) != CODE_LENGTH:
        raise BatteryCodeError(f"{code!r} has {len(code)} characters, a battery code has {CODE_LENGTH}")
    if not re.fullmatch(r"[0-9A-Z]+", code):
        raise BatteryCodeError(f"{code!r}: only digits and the letters A to Z are allowed")
    product = _PRODUCTS.get(code[3])
    if product is None:
        raise BatteryCodeError(f"{code!r}: character 4 is {code[3]!r}, it must be P, M or C")
    return BatteryCode(
        text=code,
        vendor=code[0:3],
        product=product,
        chemistry=_CHEMISTRIES.get(code[4], "unknown"),
        spec=code[5:7],
        trace=code[7:14],
        date_code=code[14:17],
        produced_on=_produced_on(code),
        serial=code[17:24],
    )


def _produced_on(code: str) -> date | None:
    year, month, day = code[14], code[15], code[16]
    for position, character, allowed in (
        (15, year, _YEAR_CHARACTERS),
        (16, month, _MONTH_CHARACTERS),
        (17, day, _DAY_CHARACTERS + _DAY_UNSETTLED),
    ):
        if character not in allowed:
            raise BatteryCodeError(f"{code!r}: character {position} is {character!r}, it must be one of {allowed}")
    if day in _DAY_UNSETTLED:
        return None
    return date(
        2010 + _YEAR_CHARACTERS.index(year),
        1 + _MONTH_CHARACTERS.index(month),
        1 + _DAY_CHARACTERS.index(day),
    )
