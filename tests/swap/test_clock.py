"""Station time and real seconds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from swap.station.clock import SLEW_LIMIT_S, SLEW_RATE, Clock

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


class World:
    """Monotonic seconds, and a clock on the wall that somebody may set."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.seconds = 0.0
        self.ahead_s = ahead_s
        self.clock = Clock(START, 1.0, lambda: self.seconds, wall=self.wall)

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.seconds + self.ahead_s)

    def run(self, seconds: float) -> list[tuple[str, float]]:
        """Follow the wall each second; what was told, by how much."""
        told = []
        for _ in range(round(seconds)):
            before = self.clock.now()
            self.seconds += 1
            found = self.clock.measure()
            if found is not None:
                told.append((found.correction.value, round(found.by_s, 1)))
            self.clock.correct()
            assert self.clock.now() > before  # station time never stands still nor runs back
        return told


def test_a_small_correction_is_slewed_and_told_once() -> None:
    """S13."""
    for ahead_s in (20.0, -20.0):
        world = World()
        assert world.run(30) == []
        world.ahead_s = ahead_s
        assert world.run(5) == [("slewed", ahead_s)]
        read_at = world.clock.now()
        assert world.run(10) == []
        assert world.clock.age_s(read_at) == pytest.approx(10, rel=SLEW_RATE * 1.01)
        assert world.run(600) == []
        assert abs(world.clock.off_s()) < 0.5
        world.ahead_s += 3
        ((how, by_s),) = world.run(5)
        assert how == "slewed"
        assert by_s == pytest.approx(3, abs=0.5)


def test_a_clock_set_ahead_is_followed_at_once_and_ages_nothing() -> None:
    """S13: the computer started two hours late, and NTP has found out."""
    world = World()
    world.run(10)
    read_at = world.clock.now()
    world.ahead_s = 7200
    assert world.run(1) == [("stepped", 7200.0)]
    assert world.clock.now() == world.wall()
    assert world.clock.age_s(read_at) == pytest.approx(1)
    later_at = world.clock.now()
    assert world.run(20) == []
    assert world.clock.age_s(later_at) == pytest.approx(20)
    assert world.clock.age_s(read_at) == pytest.approx(21)


def test_a_clock_set_back_is_told_and_waited_for() -> None:
    """S13: station time never runs backwards."""
    world = World()
    world.run(10)
    world.ahead_s = -70
    assert world.run(5) == [("held", -70.0)]
    assert world.run(200) == []
    assert -SLEW_LIMIT_S < world.clock.off_s() < -55
    assert world.run(2000) == []
    assert abs(world.clock.off_s()) < 0.5


def test_a_simulated_station_has_its_own_time() -> None:
    wall = Wall()
    clock = Clock(START, 60.0, wall)
    wall.seconds += 10
    assert clock.measure() is None
    clock.correct()
    assert clock.now() == START + timedelta(seconds=600)


async def test_sleep_is_in_station_seconds() -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await Clock(START, 1000.0).sleep(20.0)
    assert 0.01 < loop.time() - began_s < 5.0
