"""Drills in real seconds: the database locked, restarted, gone; commerce wrong; loops blocked; the power cut.

`make drill` runs them. Each prints a row; `/health`, the PLC's registers and the journal are read from outside.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from swap.station.life.database import LOST_AFTER_S
from tests.drill.drill import HEAD, Row, drilling

pytestmark = [pytest.mark.drill, pytest.mark.system, pytest.mark.timeout(400)]

COMMIT_EVERY_S = 1.0
"""Longest real time without a commit that could be waited for: the rack stores its readings so often."""
Proved = Callable[[str], None]


def keep(proved: Proved, row: Row) -> None:
    proved(f"{HEAD}\n{row.line()}")


@pytest.mark.parametrize("seconds", [1, 2, 8, 20, 45])
def test_the_sqlite_file_is_locked(tmp_path: Path, proved: Proved, seconds: int) -> None:
    database = tmp_path / "swap.db"

    def lock() -> None:
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        other.execute("ROLLBACK")
        other.close()

    loses = seconds > 2.5
    with drilling(tmp_path, f"sqlite:///{database}") as drill:
        told = "database.lost" if loses else "database.slow"
        row = drill.trouble(f"SQLite locked for {seconds} s", lock, loses=loses, waits_for=told if seconds > 1 else "")
        keep(proved, row)
        assert row.silence_s < 3.0
        if loses:
            assert row.held_after_s is not None
            assert row.held_after_s < LOST_AFTER_S + COMMIT_EVERY_S
            assert row.faults == ["database_unavailable"]
            assert "database_lost" in row.words
        else:
            assert row.faults == []
            assert set(row.words) <= {"running", "database_slow"}
