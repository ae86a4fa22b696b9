"""Write transactions of one process take turns: a controller first, then everybody in the order they came.

Without it a controller would wait for as many foreign transactions as there are clients, and on SQLite, whose busy
wait is unfair, for any number of them. `FileTurn` does the same between the processes of one station: each sends one
writer at a time.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 0.5
"""Real seconds after which somebody else goes before a controller's next transaction: a busy one shuts nobody out."""


class TurnNotReached(Exception):
    """Others kept the database for the whole wait."""


class Turns:
    """One place, two lines of waiting threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._passed_over_since_s = 0.0
        """Since when the others wait without one of them being called."""
        self._moved_s = 0.0
        """When one of the others was called last: while their line moves, nobody in it gives up."""
        self._first: deque[threading.Event] = deque()
        self._others: deque[threading.Event] = deque()
        self._kept = 0
        """Transactions of a controller on their way: nobody else begins one meanwhile."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """A controller will ask for a turn: of several of its transactions none waits for one of somebody else."""
        with self._lock:
            self._kept += 1
        try:
            yield
        finally:
            with self._lock:
                self._kept -= 1
                if not self._taken:
                    self._call_next()

    @contextmanager
    def turn(self, *, first: bool, wait_s: float) -> Iterator[None]:
        """Have the place meanwhile.

        Args:
            wait_s: longest wait of who goes first; of the others, longest time in which none of them is called.

        Raises:
            TurnNotReached: it did not become free within `wait_s`.
        """
        self._take(self._first if first else self._others, wait_s)
        try:
            yield
        finally:
            self._pass_on()

    def _take(self, line: deque[threading.Event], wait_s: float) -> None:
        with self._lock:
            if not self._taken and (line is self._first or not self._kept):
                self._taken = True
                return
            if line is self._others and not line:
                self._passed_over_since_s = time.monotonic()
            called = threading.Event()
            line.append(called)
        began_s = time.monotonic()
        while True:
            since_s = began_s if line is self._first else max(began_s, self._moved_s)
            left_s = since_s + wait_s - time.monotonic()
            if left_s <= 0.0:
                break
            if called.wait(min(left_s, PATIENCE_S)):
                return
            with self._lock:
                shut_out = time.monotonic() - began_s >= PATIENCE_S and not self._taken
                if shut_out and not called.is_set() and line[0] is called:
                    # Kept for a controller that does not come: patience is over.
                    line.popleft()
                    self._taken, self._passed_over_since_s = True, time.monotonic()
                    return
        with self._lock:
            if called.is_set():  # called just as the wait ended
                return
            line.remove(called)
        raise TurnNotReached(f"others keep the database: no turn within {wait_s:g} s")

    def _pass_on(self) -> None:
        with self._lock:
            self._taken = False
            self._call_next()

    def _call_next(self) -> None:
        line = self._first
        if self._others:
            now_s = time.monotonic()
            patient = now_s - self._passed_over_since_s <= PATIENCE_S
            if not (patient and (self._first or self._kept)):
                line, self._passed_over_since_s = self._others, now_s
        if line:
            self._taken = True
            if line is self._others:
                self._moved_s = time.monotonic()
            line.popleft().set()


LOOK_AGAIN_S = 0.001
"""Real seconds between two looks whether another process has ended its transaction."""
GIVE_WAY_S = 0.004
"""Real seconds between two transactions of a process, in which another one that waits gets its turn."""


class FileTurn:
    """Processes that write to one SQLite file take turns, by a lock on a file beside it.

    SQLite's own wait looks again ever more seldom, up to every 100 ms: a controller would find the moments between two
    transactions of a busy process of doors by luck. Who finds the file taken shows that he waits, by a shared lock on a
    second file: only then others give way. A process that dies gives its locks back.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}-turn")
        self._waits_path = database.with_name(f"{database.name}-waits")
        self._file: int | None = None
        self._waits: int | None = None
        self._ended_s = float("-inf")

    @contextmanager
    def turn(self, *, first: bool, wait_s: float) -> Iterator[None]:
        """Have the file meanwhile. A writer that is not first lets other processes in that wait, before its next turn.

        Raises:
            TurnNotReached: it did not become free within `wait_s`, or cannot be locked.
        """
        until_s = time.monotonic() + wait_s
        try:
            if self._file is None or self._waits is None:
                self._file, self._waits = _opened(self._path), _opened(self._waits_path)
            left_s = self._ended_s + GIVE_WAY_S - time.monotonic()
            if not first and left_s > 0.0 and self._somebody_waits(self._waits):
                _pause(left_s)
            if not _locked(self._file):
                fcntl.flock(self._waits, fcntl.LOCK_SH)
                try:
                    while not _locked(self._file):
                        if time.monotonic() > until_s:
                            raise TurnNotReached(f"another process keeps the database: no turn within {wait_s:g} s")
                        _pause(LOOK_AGAIN_S)
                finally:
                    fcntl.flock(self._waits, fcntl.LOCK_UN)
        except OSError as error:
            raise TurnNotReached(f"{self._path}: {error.strerror}") from error
        try:
            yield
        finally:
            self._ended_s = time.monotonic()
            fcntl.flock(self._file, fcntl.LOCK_UN)

    @staticmethod
    def _somebody_waits(waits: int) -> bool:
        """Whether another process shows that it waits; one that looks at the same moment may be taken for one."""
        if not _locked(waits):
            return True
        fcntl.flock(waits, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Give the files back."""
        for file in (self._file, self._waits):
            if file is not None:
                os.close(file)
        self._file = self._waits = None


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
