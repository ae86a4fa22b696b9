"""The lease: one controller to a station, taken over only from one that is dead or silent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from swap.config.seed import sync_station
from swap.station.lease import ControllerRunning, Lease
from swap.store import LeaseLost, Store
from swap.tables import LEASE_EXPIRES_S, ControllerLease
from tests.support.sim.plant import START_AT, station

NOW = START_AT
LATER = NOW + timedelta(seconds=LEASE_EXPIRES_S + 1)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    sync_station(store, station(), NOW)
    yield store
    store.close()


def row(store: Store) -> ControllerLease:
    with store.reading() as db:
        found = db.get_one(ControllerLease, "test")
        db.expunge_all()
        return found


def beat(store: Store, lease: Lease, now: datetime) -> None:
    with store.station(lease.station_id) as db:
        lease.renew(db, now)


def test_a_second_controller_is_refused_while_the_first_is_heard(store: Store) -> None:
    first, second = Lease(store, "test"), Lease(store, "test")
    first.acquire(NOW)
    with pytest.raises(ControllerRunning, match=r"station test is run by .*, last heard 9\.0 s ago; stop it first"):
        second.acquire(NOW + timedelta(seconds=9))
    beat(store, first, NOW + timedelta(seconds=9))
    with pytest.raises(ControllerRunning):
        second.acquire(LATER)


def test_a_silent_controller_loses_the_station_and_notices(store: Store) -> None:
    first, second = Lease(store, "test"), Lease(store, "test")
    first.acquire(NOW)
    second.acquire(LATER)
    assert row(store).holder == second.holder
    with pytest.raises(LeaseLost, match=f"now run by {second.holder}"):
        beat(store, first, LATER)
    beat(store, second, LATER)
    # The silent one may only be slow: its cells must be able to tell the two apart.
    assert row(store).token == second.token != first.token


def test_a_clock_that_was_set_back_locks_nobody_out(store: Store) -> None:
    Lease(store, "test").acquire(NOW + timedelta(days=1))
    Lease(store, "test").acquire(NOW)


def test_a_released_station_is_free_at_once(store: Store) -> None:
    first, second = Lease(store, "test"), Lease(store, "test")
    first.acquire()
    first.release()
    second.acquire()
    first.release()  # no longer its own: nothing happens
    with pytest.raises(ControllerRunning):
        Lease(store, "test").acquire()


def test_the_same_controller_may_take_its_station_again(store: Store) -> None:
    lease = Lease(store, "test")
    lease.acquire(NOW)
    lease.acquire(NOW)
    assert row(store).token == lease.token


def test_a_controller_that_died_on_this_machine_is_replaced_at_once_with_another_token(store: Store) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    first, second = Lease(store, "test"), Lease(store, "test")
    first.holder = f"{socket.gethostname()}:{ended.pid}:dead"
    first.acquire(NOW)
    second.acquire(NOW)
    assert row(store).holder == second.holder
    assert row(store).token == second.token != first.token


def test_a_process_of_another_machine_is_not_taken_for_dead(store: Store) -> None:
    first = Lease(store, "test")
    first.holder = f"elsewhere:{os.getpid()}:x"
    first.acquire(NOW)
    with pytest.raises(ControllerRunning):
        Lease(store, "test").acquire(NOW)


def test_without_a_row_there_is_nothing_to_beat(store: Store) -> None:
    with pytest.raises(LeaseLost, match="run by nobody"):
        beat(store, Lease(store, "test"), NOW)


def test_tokens_fit_the_owner_word(store: Store) -> None:
    tokens = {Lease(store, "test").token for _ in range(200)}
    assert min(tokens) >= 1
    assert max(tokens) <= 65535
    assert len(tokens) > 150
