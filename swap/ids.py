"""Ids that this program makes."""

from __future__ import annotations

import secrets
from datetime import datetime


def new_id(prefix: str, at: datetime) -> str:
    """An id that sorts by time: prefix, second in hex, random part."""
    return f"{prefix}-{int(at.timestamp()):08x}{secrets.token_hex(5)}"
