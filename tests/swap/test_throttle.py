"""How long nothing is tried after failed attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swap.identity.throttle import AttemptLimits, Count, counted, waits_s

AT = datetime(2026, 5, 1, tzinfo=UTC)
LIMITS = AttemptLimits()


@pytest.mark.parametrize(
    ("failures", "wait_s"), [(0, 0), (4, 0), (5, 60), (6, 120), (8, 480), (9, 900), (40, 900), (10**6, 900)]
)
def test_waits_double_up_to_the_longest(failures: int, wait_s: int) -> None:
    assert waits_s(Count(failures, AT), LIMITS.free, LIMITS, AT) == wait_s


def test_nothing_counted_waits_for_nothing() -> None:
    assert waits_s(None, LIMITS.free, LIMITS, AT) == 0
    assert counted(None, LIMITS, AT) == Count(1, AT)


def test_a_count_is_forgotten_after_a_quiet_hour() -> None:
    old = Count(9, AT - timedelta(seconds=LIMITS.forget_s + 1))
    assert waits_s(old, LIMITS.free, LIMITS, AT) == 0
    assert counted(old, LIMITS, AT) == Count(1, AT)
    assert counted(Count(9, AT - timedelta(seconds=LIMITS.forget_s)), LIMITS, AT).failures == 10


@given(st.integers(0, 10**9), st.integers(-(10**9), 10**9))
def test_no_clock_keeps_anybody_out_for_longer_than_twice_the_longest(failures: int, away_s: int) -> None:
    """A clock that was set forward, used, and set back."""
    wait_s = waits_s(Count(failures, AT + timedelta(seconds=away_s)), LIMITS.free, LIMITS, AT)
    assert 0 <= wait_s <= 2 * LIMITS.longest_wait_s
