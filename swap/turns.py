"""Write transactions of one process take turns: a controller first, then everybody in the order they came.

Without it a controller would wait for as many foreign transactions as there are clients, and on SQLite, whose busy
wait is unfair, for any number of them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

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
        while (left_s := began_s + wait_s - time.monotonic()) > 0.0:
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
            line.popleft().set()
