"""JSON with one spelling: the same value gives the same bytes on both engines and in every process."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from json.encoder import encode_basestring

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


_AS_THEY_ARE = (str, int, bool, type(None))
"""Most of what an event tells: looked at first, for everything is looked at."""


def canonical_json(value: object) -> str:
    """Sorted keys, no spaces, UTF-8 as it is, floats by their shortest form that reads back equal.

    Raises:
        ValueError: NaN or an infinity; JSON has no word for them.
        TypeError: something that JSON has no form for, such as an instant.
    """
    return _ENCODER.encode(value)


def canonical_text(value: str | None) -> str:
    """`canonical_json` of a text or of None: most of what is hashed is that."""
    return "null" if value is None else encode_basestring(value)


def without_nan(value: object) -> object:
    """The value with None for every NaN and infinity: an unknown number is unknown, not a text of its own."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


def canonical_instant(at: datetime) -> str:
    """ISO 8601 in UTC with microseconds: `2026-11-01T08:00:00.000000Z`. Raises ValueError for a naive one."""
    if at.tzinfo is None:
        raise ValueError(f"at = {at!r}: an instant with its zone is needed")
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
