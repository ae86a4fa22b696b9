"""Station time: real time, or time sped up for a simulated station."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

TOLERATED_S = 0.5
"""Seconds between station time and the computer's clock that are no difference."""
SLEW_LIMIT_S = 60.0
"""Seconds of difference up to which station time is slewed; beyond it a person looks. This project's own value."""
SLEW_RATE = 0.05
"""Share by which station time runs faster or slower while it is slewed: short enough for no age or limit to matter."""


def asleep_s() -> float:
    """Seconds since the start of the computer in which it slept: no monotonic clock has counted them."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)  # of Linux
    return 0.0 if boot is None else time.clock_gettime(boot) - time.clock_gettime(time.CLOCK_MONOTONIC)


def awake_or_asleep_s() -> float:
    """Monotonic seconds that go on while the computer sleeps: for what others may do meanwhile."""
    return time.monotonic() + asleep_s()


class Correction(StrEnum):
    """What station time does about a difference from the computer's clock."""

    SLEWED = "slewed"
    STEPPED = "stepped"
    """It jumps ahead to the computer's clock, and the station is held."""
    HELD = "held"
    """The computer's clock was set back: station time never runs backwards; it is slewed, and the station is held."""


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """The computer's clock and station time differ."""

    by_s: float
    """Seconds that the computer's clock is ahead."""
    correction: Correction


class Clock:
    """Station time advances `speed` times as fast as real time from `start_at`.

    Stored instants, tariffs and process durations are in station time. Limits of links and readings are in
    real seconds (`age_s`), since a wire does not run faster because a simulation does.

    Args:
        start_at: station time at construction (aware UTC); None takes the real time.
        speed: station seconds per real second; must be 1 with real devices.
        monotonic: source of real seconds.
        wall: the computer's clock, where station time follows its corrections; None where it does not.
        origin_s: `monotonic` at `start_at`; None: now.
    """

    def __init__(
        self,
        start_at: datetime | None = None,
        speed: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        wall: Callable[[], datetime] | None = None,
        origin_s: float | None = None,
    ) -> None:
        if speed <= 0:
            raise ValueError(f"speed = {speed}: allowed above 0")
        self.speed = speed
        self._monotonic = monotonic
        self._wall = wall
        start_at = start_at if start_at is not None else datetime.now(UTC)
        self._base = (start_at, monotonic() if origin_s is None else origin_s, speed)
        """Station time, monotonic seconds and rate since the last change; one value, since other threads read it."""
        self._steps: tuple[tuple[datetime, float], ...] = ()
        """Steps ahead: station time right before, and seconds."""
        self._told: Correction | None = None

    def now(self) -> datetime:
        """Station time, aware UTC."""
        start_at, origin_s, rate = self._base
        return start_at + timedelta(seconds=(self._monotonic() - origin_s) * rate)

    def age_s(self, at: datetime | None) -> float | None:
        """Real seconds since a station instant; None stays None. Never negative; a step of the time ages nothing."""
        if at is None:
            return None
        stepped_s = sum(by_s for before_at, by_s in self._steps if at <= before_at) if self._steps else 0.0
        return max(0.0, ((self.now() - at).total_seconds() - stepped_s) / self.speed)

    def off_s(self) -> float:
        """Seconds that the computer's clock is ahead of station time; 0 where station time does not follow it."""
        return 0.0 if self._wall is None else (self._wall() - self.now()).total_seconds()

    def measure(self) -> ClockOffset | None:
        """Look at the computer's clock; a difference that was not told yet, or None. Nothing is corrected by this."""
        off_s = self.off_s()
        correction = None
        if off_s > SLEW_LIMIT_S:
            correction = Correction.STEPPED
        elif off_s < -SLEW_LIMIT_S:
            correction = Correction.HELD
        elif abs(off_s) > TOLERATED_S:
            correction = Correction.SLEWED
        known, self._told = self._told, correction
        # What is slewed comes back below the limit by itself: that is no further difference.
        new = correction is not None and correction is not known
        falling = known is Correction.HELD and correction is Correction.SLEWED
        return ClockOffset(off_s, correction) if new and correction is not None and not falling else None

    def correct(self) -> None:
        """Bring station time nearer to the computer's clock; call again and again, after `measure`."""
        off_s, now = self.off_s(), self.now()
        if off_s > SLEW_LIMIT_S:
            self._steps = (*self._steps, (now, off_s))
            now, off_s = now + timedelta(seconds=off_s), 0.0
        slew = 0.0 if abs(off_s) <= TOLERATED_S / 2 else SLEW_RATE if off_s > 0 else -SLEW_RATE
        self._base = (now, self._monotonic(), self.speed * (1 + slew))

    async def sleep(self, station_s: float) -> None:
        """Wait for station seconds."""
        await asyncio.sleep(station_s / self.speed)
