"""Exactly one controller runs a station: a lease row with a heartbeat in real time."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from swap.station.clock import awake_or_asleep_s
from swap.station_db import StationDb as Db
from swap.store import LeaseLost, Store
from swap.tables import LEASE_EXPIRES_S, ControllerLease

SURE_S = LEASE_EXPIRES_S - 2.0
"""Real seconds after a renewal in which nobody else can have taken the station; 2 s are for clocks that differ."""


class ControllerRunning(Exception):
    """Another controller holds the station."""


class Lease:
    """This process's claim on one station. `token` goes to the owner word of each cell.

    Every life has a token of its own, also after one that died on this machine: what the dead one has written and a
    cell has not seen yet is then nobody's. The cells give the dead one up after 3 s without a heartbeat.
    """

    def __init__(self, store: Store, station_id: str, monotonic: Callable[[], float] = awake_or_asleep_s) -> None:
        self._store = store
        self._monotonic = monotonic
        self._renewed_s: float | None = None
        self.station_id = station_id
        self.token = secrets.randbelow(65535) + 1
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def acquire(self, now: datetime | None = None) -> None:
        """Take the station. A controller that is known to have died on this machine is not waited for.

        Raises:
            ControllerRunning: another controller's heartbeat is younger than `LEASE_EXPIRES_S`.
        """
        now = now or datetime.now(UTC)
        with self._store.station(self.station_id) as db:
            row = db.get(ControllerLease, self.station_id, with_for_update=True)
            if row is None:
                db.add(
                    ControllerLease(station_id=self.station_id, holder=self.holder, token=self.token, heartbeat_at=now)
                )
                return
            age_s = (now - row.heartbeat_at).total_seconds()
            # A heartbeat far ahead comes from a clock that was set back since; it says nothing.
            if row.holder != self.holder and abs(age_s) < LEASE_EXPIRES_S and not _dead_here(row.holder):
                raise ControllerRunning(
                    f"station {self.station_id} is run by {row.holder}, last heard {age_s:.1f} s ago; "
                    f"stop it first, or wait {LEASE_EXPIRES_S:g} s after it died"
                )
            while self.token == row.token:
                self.token = secrets.randbelow(65535) + 1
            row.holder, row.token, row.heartbeat_at = self.holder, self.token, now
            db.add(row)

    def renew(self, db: Db, now: datetime | None = None) -> None:
        """Say that this controller lives; call inside a transaction.

        Raises:
            LeaseLost: the row names another holder.
        """
        row = db.get(ControllerLease, self.station_id, with_for_update=True)
        if row is None or row.holder != self.holder:
            raise LeaseLost(f"station {self.station_id} is now run by {row.holder if row else 'nobody'}")
        row.heartbeat_at = now or datetime.now(UTC)
        db.add(row)

    def renewed(self, began_s: float) -> None:
        """A renewal that began then, on the lease's own clock, is stored."""
        self._renewed_s = began_s

    def now_s(self) -> float:
        """The lease's own clock."""
        return self._monotonic()

    def sure(self) -> bool:
        """Nobody else can have taken the station; always so before the first renewal."""
        return self._renewed_s is None or self._monotonic() - self._renewed_s < SURE_S

    def give_up(self, db: Db) -> None:
        """Free the station, so that the next controller need not wait; call inside a transaction."""
        row = db.get(ControllerLease, self.station_id)
        if row is not None and row.holder == self.holder:
            row.heartbeat_at = datetime.now(UTC) - timedelta(seconds=2 * LEASE_EXPIRES_S)
            db.add(row)

    def release(self) -> None:
        """Free the station, where no controller runs yet."""
        with self._store.station(self.station_id) as db:
            self.give_up(db)


def _dead_here(holder: str) -> bool:
    """The holder was a process of this machine and is gone: no need to wait for its lease."""
    host, pid, _ = holder.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
