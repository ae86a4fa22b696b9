"""Keeping as a task of its own: what fails is told and tried again, and stops nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from swap.commerce.webhooks.retention import forget_events
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway
from swap.identity.answers import forget_answers
from swap.keeping.samples import thin_samples
from swap.store import Store

log = logging.getLogger(__name__)

PERIOD_S = 3600.0
"""Real seconds from one look for old samples to the next."""
PAUSE_S = 1.0
"""Real seconds between two lots: others go first."""


async def wait(real_s: float) -> None:
    """Let real seconds pass."""
    await asyncio.sleep(real_s)


async def keep(store: Store, config: StationConfig, now: Callable[[], datetime], real: Callable[[], datetime]) -> None:
    """Make means of old samples, and forget old answers and webhook events, again and again until cancelled.

    Args:
        now: station time.
        real: real time.
    """
    while True:
        samples = await _once("old samples", lambda: thin_samples(store, config.station.id, config.retention, now()))
        answers = await _once("old answers", lambda: forget_answers(store, real()))
        # Events have the time of their station, which may be another than the real one where it is simulated.
        events = await _once("old webhook events", lambda: forget_events(store, min(now(), real())))
        await wait(PAUSE_S if samples or answers or events else PERIOD_S)


async def _once(what: str, work: Callable[[], int]) -> int:
    """One lot, in a thread; how much it was, 0 where it failed, which is told."""
    try:
        return await asyncio.to_thread(work)
    except DatabaseAway as error:
        log.warning("%s wait: %s", what, error)
    except Exception:
        log.exception("%s are not tended, and tried again", what)
    return 0
