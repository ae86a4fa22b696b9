"""How many requests each caller may send: so many a second, and after a pause a number of them at once.

Callers are known by their sign-in or key. What is counted is in memory and of this process alone: a limit keeps one
program in a loop from taking the server from all others, and needs no account of what was before a restart. A hold is
never counted, nor is what nobody has to sign in for.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

KNOWN_MOST = 10_000
"""Callers that are remembered; beyond it those are forgotten who may send all they ever may."""


class CallerRates:
    """The generic cell rate algorithm (ITU-T I.371), a leaky bucket that keeps one instant for each caller.

    Args:
        a_second: requests of a caller in a second, on and on.
        at_once: the same at once after a pause.
        clock: real seconds that only rise.
    """

    def __init__(self, a_second: float, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap_s = 1.0 / a_second
        self._ahead_s = at_once / a_second
        self._clock = clock
        self._due_s: dict[str, float] = {}
        """By caller, when all that he has sent would have been sent at his rate."""
        self._lock = threading.Lock()

    def wait_s(self, caller: str) -> int:
        """Count a request: 0, or whole seconds after which the caller may send one, and this one is not counted."""
        with self._lock:
            now_s = self._clock()
            due_s = max(self._due_s.get(caller, now_s), now_s) + self._gap_s
            early_s = due_s - now_s - self._ahead_s
            if early_s > 1e-9:
                return math.ceil(early_s)
            if len(self._due_s) >= KNOWN_MOST:
                self._due_s = {name: at_s for name, at_s in self._due_s.items() if at_s > now_s}
            self._due_s[caller] = due_s
            return 0
