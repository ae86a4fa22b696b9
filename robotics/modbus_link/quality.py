"""How well a link works: connections, share of failed requests, time to the answer; and lines that do not repeat."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

KEPT = 400
"""Newest requests that count; at a poll each 0.2 s the last minute or more."""
FLAP_WINDOW_S = 60.0
FLAPS = 5
"""Connections within the window from which on a link is told to flap; once a window, with their number."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LinkQuality:
    """One look at a link. Shares and times are those of the newest requests, at most `KEPT`."""

    connected: bool
    connections: int
    """Made since the start; the first one counts."""
    connections_last_minute: int
    requests: int
    """Since the start."""
    failed: int
    """Requests since the start without an answer, or answered with an exception."""
    error_share: float | None
    """0…1; None before the first request."""
    answer_p95_s: float | None
    """Real seconds within which 95 % of the answers came; None before the first one."""


class LinkMeter:
    """Counts what a link does.

    Args:
        name: what log lines call the device.
        monotonic: real seconds.
    """

    def __init__(self, name: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._monotonic = monotonic
        self._made: deque[float] = deque()
        self._connections = self._requests = self._failures = 0
        self._failed: deque[bool] = deque(maxlen=KEPT)
        self._answers_s: deque[float] = deque(maxlen=KEPT)
        self._told_s = float("-inf")

    def now_s(self) -> float:
        """Real seconds; `request` is told the difference."""
        return self._monotonic()

    def connection(self) -> None:
        """A connection was made."""
        now_s = self._monotonic()
        self._connections += 1
        self._made.append(now_s)
        self._forget(now_s)
        if len(self._made) >= FLAPS and now_s - self._told_s >= FLAP_WINDOW_S:
            self._told_s = now_s
            _log.warning(
                "%s: the link flaps: %d connections in %.0f s, %d since the start",
                self._name,
                len(self._made),
                FLAP_WINDOW_S,
                self._connections,
            )

    def request(self, answer_s: float | None, *, refused: bool = False) -> None:
        """A request has ended: answered after `answer_s`, or not at all (None)."""
        self._requests += 1
        failed = refused or answer_s is None
        self._failures += failed
        self._failed.append(failed)
        if answer_s is not None:
            self._answers_s.append(answer_s)

    def quality(self, *, connected: bool) -> LinkQuality:
        """How it does now."""
        self._forget(self._monotonic())
        answers = sorted(self._answers_s)
        return LinkQuality(
            connected=connected,
            connections=self._connections,
            connections_last_minute=len(self._made),
            requests=self._requests,
            failed=self._failures,
            error_share=sum(self._failed) / len(self._failed) if self._failed else None,
            answer_p95_s=answers[int(0.95 * (len(answers) - 1))] if answers else None,
        )

    def _forget(self, now_s: float) -> None:
        while self._made and now_s - self._made[0] > FLAP_WINDOW_S:
            self._made.popleft()


class Repeated:
    """One line for what fails again and again: the first failure, and its end with the number of times."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._times = 0

    def failed(self, why: str) -> None:
        """It has failed, once more or for the first time."""
        self._times += 1
        self._log.log(logging.WARNING if self._times == 1 else logging.DEBUG, "%s: %s", self._what, why)

    def over(self) -> None:
        """It works; told where it had failed before."""
        if self._times:
            self._log.info("%s: over after %d times", self._what, self._times)
        self._times = 0
