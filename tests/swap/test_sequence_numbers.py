"""Command numbers: round the circle, after a restart, and after the database was taken back to an older backup."""

from __future__ import annotations

from contextlib import closing

import pytest

from robotics.port import CommandCode, RobotCommand
from swap.config.seed import sync_station
from swap.station.records import SEQ_MAX, end_command, ended_on_record, next_seq, store_command
from swap.store import Store
from swap.tables import Station
from tests.support.sim.plant import START_AT, station


@pytest.mark.parametrize(
    ("stored", "seen", "expected"),
    [
        (0, (), 1),  # the very first
        (0, (0, 0, 0), 1),
        (41, (41, 0, 41), 42),
        (41, (40, 0, 40), 42),  # stored before it left, and it never left
        (12, (900, 0, 899), 901),  # an older backup: the cell is further
        (900, (0, 0, 0), 901),  # a PLC that forgot
        (0, (77, 78, 77), 79),  # a new database on an old cell
        (65534, (65534, 0, 65534), 65535),
        (65535, (65535, 0, 65535), 1),  # 0 means none: it is left out
        (65530, (3, 0, 2), 4),  # the cell has come round, the backup has not
        (3, (65530, 0, 65530), 4),  # the stored one has come round, the cell has not
        (1, (65535, 0, 65535), 2),
    ],
)
def test_the_next_number_is_one_after_the_furthest(stored: int, seen: tuple[int, ...], expected: int) -> None:
    assert next_seq(stored, *seen) == expected


def test_round_the_circle_no_number_is_given_twice_and_none_is_zero() -> None:
    number, given = 0, set()
    for _ in range(SEQ_MAX):
        number = next_seq(number, number)
        given.add(number)
    assert given == set(range(1, SEQ_MAX + 1))
    assert next_seq(number, number) == 1


def test_a_number_that_the_cell_saw_is_never_given_again_after_an_older_backup() -> None:
    for behind in (1, 5, 500, 30000):
        for shown in (1, 100, 40000, 65535):
            stored = (shown - behind - 1) % SEQ_MAX + 1
            following = next_seq(stored, shown, 0, shown)
            assert 0 < (following - shown) % SEQ_MAX < SEQ_MAX // 2, (stored, shown, following)


def test_a_result_ahead_of_the_record_is_not_the_one_of_the_round_before(database_url: str) -> None:
    """The database was taken back to a copy: the cell shows a number that it does not know, and has an old end of."""
    before = (40, 41, 30000)
    with closing(Store(database_url)) as store:
        sync_station(store, station(), START_AT)
        with store.station("test") as db:
            for seq in (*before, 39):
                command = RobotCommand(seq, CommandCode.HOME)
                store_command(
                    db, station_id="test", lane_id="L1", command=command, swap_id=None, state="homing_axes", at=START_AT
                )
                end_command(db, station_id="test", lane_id="L1", seq=seq, result="done", at=START_AT)
            assert db.get_one(Station, "test").last_seq_by_lane == {"L1": 39}
            assert ended_on_record(db, "test:L1", 39)
            assert [ended_on_record(db, "test:L1", seq) for seq in before] == [False, False, False]
