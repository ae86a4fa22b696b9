"""Station time: real time, or time sped up for a simulated station."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Station time advances `speed` times as fast as real time from `start_at`.

    Stored instants, tariffs and process durations are in station time. Limits of links and readings are in
    real seconds (`age_s`), since a wire does not run faster because a simulation does.

    Args:
        start_at: station time at construction (aware UTC); None takes the real time.
        speed: station seconds per real second; must be 1 with real devices.
        monotonic: source of real seconds.
    """

    def __init__(
        self,
        start_at: datetime | None = None,
        speed: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if speed <= 0:
            raise ValueError(f"speed = {speed}: allowed above 0")
        self.speed = speed
        self._monotonic = monotonic
        self._origin_s = monotonic()
        self._start_at = start_at if start_at is not None else datetime.now(UTC)

    def now(self) -> datetime:
        """Station time, aware UTC."""
        return self._start_at + timedelta(seconds=(self._monotonic() - self._origin_s) * self.speed)

    def age_s(self, at: datetime | None) -> float | None:
        """Real seconds since a station instant; None stays None. Never negative."""
        if at is None:
            return None
        return max(0.0, (self.now() - at).total_seconds() / self.speed)

    async def sleep(self, station_s: float) -> None:
        """Wait for station seconds."""
        await asyncio.sleep(station_s / self.speed)
