"""What a controller says of itself, for whoever asks whether it lives: no database, no lock, one frozen value.

The controller's loops publish it, other threads read it. One that is not renewed tells that the loops are late. A
process without the controller has no board; it asks the database for the lease instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from robotics.modbus_link.quality import LinkQuality
from scheduler.types import StationMode
from swap.station.life.database import DatabaseState

LATE_AFTER_S = 1.0
"""Real seconds without a new status, or of lag of the loops, after which they are late."""


class ControlWord(StrEnum):
    """The state of a controller in one word."""

    STARTING = "starting"
    RUNNING = "running"
    DATABASE_SLOW = "database_slow"
    DATABASE_LOST = "database_lost"
    """Robots are on hold and chargers at 0 kW until the database is back and a person has confirmed."""
    LOOP_LATE = "loop_late"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ControlStatus:
    """One look at the controller's own state."""

    at_s: float
    """Monotonic real seconds when it was published."""
    since_at: datetime
    """Station time when this controller began."""
    mode: StationMode
    held_why: str
    """Why the station does not run by itself; empty while it does."""
    database: DatabaseState
    database_reason: str
    """Why the database was lost last; empty when it never was."""
    oldest_write_s: float | None
    """Real seconds that the oldest commit under way has been waited for."""
    loop_lag_s: float
    """Longest lag of the loops in the last seconds."""
    gap_s: float
    """Longest time between two looks at a cell in the last seconds."""
    links: Mapping[str, bool] = field(default_factory=dict)
    """By lane: its cell is heard, with a heartbeat that moves."""
    devices: Mapping[str, LinkQuality] = field(default_factory=dict)
    """By device: how well its link works; empty where devices are not linked by wire."""


@dataclass(frozen=True, slots=True)
class StopReport:
    """What the end of a controller has left, as far as it was confirmed."""

    lost: bool = False
    """Another controller runs the station: nothing was written any more."""
    held: tuple[str, ...] = ()
    """Lanes whose robot was under way and is on hold."""
    holds_not_confirmed: tuple[str, ...] = ()
    """Lanes whose robot was under way and whose cell did not confirm the hold."""
    chargers_not_confirmed: Mapping[str, str] = field(default_factory=dict)
    """Bays whose charger did not confirm 0 kW, and why."""
    stored: bool = True
    """The end is in the journal; otherwise the next start asks for a person."""


class ControlBoard:
    """Where a controller hangs out its status."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._status: ControlStatus | None = None
        self._stopped = False
        self.end: StopReport | None = None
        """What the end of the controller has left; None before it, and where it did not come so far."""

    @property
    def stopped(self) -> bool:
        """The controller has ended."""
        return self._stopped

    @property
    def status(self) -> ControlStatus | None:
        """The newest status; None before the first."""
        return self._status

    def publish(self, status: ControlStatus) -> None:
        """Hang out a new status."""
        self._status = status

    def stop(self) -> None:
        """The controller has ended."""
        self._stopped = True

    def age_s(self) -> float | None:
        """Real seconds since the newest status."""
        return None if self._status is None else self._monotonic() - self._status.at_s

    def word(self) -> ControlWord:
        """The state in one word. A status that is old says nothing but that."""
        status, age_s = self._status, self.age_s()
        if self._stopped:
            return ControlWord.STOPPED
        if status is None or age_s is None:
            return ControlWord.STARTING
        if age_s > LATE_AFTER_S:
            return ControlWord.LOOP_LATE
        if status.database is DatabaseState.LOST:
            return ControlWord.DATABASE_LOST
        if status.loop_lag_s > LATE_AFTER_S:
            return ControlWord.LOOP_LATE
        return ControlWord.DATABASE_SLOW if status.database is DatabaseState.SLOW else ControlWord.RUNNING
