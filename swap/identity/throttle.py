"""How long nothing is tried after failed attempts: pure.

An attempt counts before it is tried and is taken back when it succeeds, so that many at once get no further than one
after the other. While the wait runs the right password is not tried either: an answer to it would tell a guesser more
than it tells the person, who reads how long to wait. The same holds for logins that do not exist.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """Limits of failed attempts; the figures are assumed and can be set."""

    free: int = 5
    """Failures in a row at one account, or with one second factor, before the first wait."""
    address_free: int = 50
    """The same from one address."""
    first_wait_s: int = 60
    """The first wait; it doubles with each further failure."""
    longest_wait_s: int = 900
    forget_s: int = 3600
    """A count is forgotten after so long without a failure."""


@dataclass(frozen=True, slots=True)
class Count:
    """Failures in a row."""

    failures: int
    last_at: datetime


def waits_s(count: Count | None, free: int, limits: AttemptLimits, at: datetime) -> int:
    """Whole seconds until the next attempt is tried; 0 for now.

    A clock that was set back does not prolong a wait beyond twice the longest.
    """
    if count is None or count.failures < free or _forgotten(count, limits, at):
        return 0
    doublings = min(count.failures - free, 30)
    wait_s = min(limits.first_wait_s * 2**doublings, limits.longest_wait_s)
    left_s = (count.last_at + timedelta(seconds=wait_s) - at).total_seconds()
    return max(0, math.ceil(left_s))


def counted(count: Count | None, limits: AttemptLimits, at: datetime) -> Count:
    """The count with one attempt more."""
    before = 0 if count is None or _forgotten(count, limits, at) else count.failures
    return Count(before + 1, at)


def _forgotten(count: Count, limits: AttemptLimits, at: datetime) -> bool:
    away_s = (at - count.last_at).total_seconds()
    return away_s > limits.forget_s or -away_s > limits.longest_wait_s
