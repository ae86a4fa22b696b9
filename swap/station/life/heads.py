"""Heads of the journals are written down outside of the database: at the start, and then each hour."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from swap.errors import DatabaseAway
from swap.events import newest_heads
from swap.journal.heads import write_heads
from swap.store import Store

log = logging.getLogger(__name__)

PERIOD_S = 3600.0
"""Real seconds from one writing to the next."""


def note_heads(store: Store, path: Path, at: datetime) -> int:
    """Append the newest head of every journal to a file; how many there are. Raises DatabaseAway and OSError."""
    with store.reading() as whole:
        heads = newest_heads(whole, at)
    write_heads(path, heads)
    return len(heads)


async def keep_heads(store: Store, path: Path, now: Callable[[], datetime], period_s: float = PERIOD_S) -> None:
    """Note the heads again and again until cancelled. What fails is told, and tried again at the next period."""
    while True:
        try:
            await asyncio.to_thread(note_heads, store, path, now())
        except (DatabaseAway, OSError) as error:
            log.error("the heads of the journals are not written to %s: %s", path, error)
        await asyncio.sleep(period_s)
