"""Station time and real seconds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from swap.station.clock import Clock

START = datetime(2026, 9, 1, 3, 0, tzinfo=UTC)


class Wall:
    """A clock on the wall that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize("speed", [0.5, 1.0, 60.0])
def test_station_time_runs_by_its_speed(speed: float) -> None:
    wall = Wall()
    clock = Clock(START, speed, wall)
    assert clock.now() == START
    wall.seconds += 10
    assert clock.now() == START + timedelta(seconds=10 * speed)


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_ages_are_real_seconds(speed: float) -> None:
    """A wire does not run faster because a simulation does."""
    wall = Wall()
    clock = Clock(START, speed, wall)
    read_at = clock.now()
    wall.seconds += 2.5
    assert clock.age_s(read_at) == pytest.approx(2.5)


def test_what_was_never_read_has_no_age_and_what_lies_ahead_none_below_zero() -> None:
    clock = Clock(START, 1.0, Wall())
    assert clock.age_s(None) is None
    assert clock.age_s(START + timedelta(seconds=5)) == 0.0


def test_without_a_start_it_is_now() -> None:
    before = datetime.now(UTC)
    now = Clock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


@pytest.mark.parametrize("speed", [0.0, -1.0])
def test_time_neither_stands_still_nor_runs_back(speed: float) -> None:
    with pytest.raises(ValueError, match="allowed above 0"):
        Clock(START, speed)


async def test_sleep_is_in_station_seconds() -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await Clock(START, 1000.0).sleep(20.0)
    assert 0.01 < loop.time() - began_s < 5.0
