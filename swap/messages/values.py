"""What a text from outside may hold, and how a text is shown where control characters act.

A text is one that every medium can carry: no NUL, no lone surrogate, no control character but tab and line ends. So
both databases store it, UTF-8 can write it, and no name moves the cursor of a terminal. Older rows and device data may
hold others: `printable` is for whoever prints.
"""

from __future__ import annotations

import re

LARGEST_ROW = 2**31 - 1
"""Largest number of a row that counts itself (PostgreSQL's INTEGER)."""
LARGEST_SEQ = 2**63 - 1
"""Largest number of the journal, and of what else is kept as BIGINT."""
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Acts on a terminal or turns its direction, or cannot be written; tab and newline are judged apart."""


def unfit_character(text: str) -> str | None:
    """The first character that no text from outside may hold, as `U+001B`; None where all are fit."""
    found = _NOT_TEXT.search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def printable(text: str, *, lines: bool = False) -> str:
    """A text with everything that acts on a terminal written out as JSON does, such as `\\u001b`.

    Args:
        lines: the text may have several lines; else a line end is written out too, so that nothing in a line can
            begin another one.
    """
    shown = _ACTS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return shown if lines else shown.replace("\n", "\\n")
