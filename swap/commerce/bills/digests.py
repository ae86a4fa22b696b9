"""What a row, and a closed month, is at an instant: a SHA-256 that any later change of it contradicts. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from swap.journal.canonical import canonical_instant, canonical_json

FIRST = "0" * 64
"""Stands for the digest of the month before the first."""


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: canonical_instant(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _sha256(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def row_digest(values: Mapping[str, Any]) -> str:
    """Of a row, by its columns."""
    return _sha256(_plain(values))


def period_digest(
    period: Mapping[str, Any],
    previous: str,
    parts: Iterable[tuple[Mapping[str, Any], Iterable[Mapping[str, Any]]]],
) -> str:
    """Of a closed month.

    Args:
        period: its row; the digest in it does not count.
        previous: digest of the seller's month before.
        parts: invoices with their lines in order, then settlements with their shares.
    """
    head = {name: value for name, value in period.items() if name != "digest"}
    content = [[_plain(part), [_plain(line) for line in lines]] for part, lines in parts]
    return _sha256([_plain(head), previous, content])
