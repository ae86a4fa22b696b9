"""Write transactions of one process take turns: a controller first, then everybody in the order they came.

Without it a controller would wait for as many foreign transactions as there are clients, and on SQLite, whose busy
wait is unfair, for any number of them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class TurnNotReached(Exception):
    """Others kept the database for the whole wait."""


class Turns:
    """One place, two lines of waiting threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._first: deque[threading.Event] = deque()
        self._others: deque[threading.Event] = deque()

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
            if not self._taken:
                self._taken = True
                return
            called = threading.Event()
            line.append(called)
        if called.wait(wait_s):
            return
        with self._lock:
            if called.is_set():  # called just as the wait ended
                return
            line.remove(called)
        raise TurnNotReached(f"others keep the database: no turn within {wait_s:g} s")

    def _pass_on(self) -> None:
        with self._lock:
            line = self._first or self._others
            if line:
                line.popleft().set()
            else:
                self._taken = False
