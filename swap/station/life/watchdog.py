"""Watches the controller's own loops: their lag, and the gaps between looks at a cell and steps of its lane."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

GAP_LOST_S = 3.0
"""Real seconds without a look or a step after which a PLC has given the controller up: a person has to confirm."""
WATCH_S = 0.1
"""Real seconds between two looks of the watchdog at its own lateness."""
_KEPT_S = 10.0


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a lane was not looked at or not worked."""

    what: str
    """`looking` or `commanding`."""
    seconds: float


class Watchdog:
    """Real seconds between what must happen often.

    Args:
        now_s: time of the loop.
    """

    def __init__(self, lanes: Iterable[str], now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._looked_s: dict[str, float] = {}
        self._worked_s: dict[str, float] = {}
        self._found: dict[str, Gap] = {}
        self._told: set[str] = set()
        """Lanes whose gap has been told of, and that have made no step since."""
        self._lags: deque[tuple[float, float]] = deque()
        self._gaps: deque[tuple[float, float]] = deque()
        self._lanes = tuple(lanes)

    def looked(self, lane_id: str) -> None:
        """A lane's cell has just been looked at."""
        now_s = self._now_s()
        gap_s = now_s - self._looked_s.get(lane_id, now_s)
        self._looked_s[lane_id] = now_s
        _keep(self._gaps, now_s, gap_s)
        if gap_s > GAP_LOST_S:
            self._found[lane_id] = Gap("looking", gap_s)

    def worked(self, lane_id: str) -> None:
        """A lane has just made a step."""
        self._worked_s[lane_id] = self._now_s()
        self._told.discard(lane_id)

    def take_gap(self, lane_id: str) -> Gap | None:
        """The gap that a lane comes out of, told once, whichever loop asks first; None where there was none."""
        found = self._found.pop(lane_id, None)
        now_s = self._now_s()
        worked_s = now_s - self._worked_s.get(lane_id, now_s)
        if found is None and worked_s > GAP_LOST_S and lane_id not in self._told:
            found = Gap("commanding", worked_s)
        if found is not None:
            self._told.add(lane_id)
        return found

    def begin_anew(self) -> None:
        """What was in between is known and dealt with."""
        self._worked_s.clear()
        self._found.clear()
        self._told.clear()

    def lagged(self, lag_s: float) -> None:
        """The loop came back so late from a sleep."""
        _keep(self._lags, self._now_s(), lag_s)

    def loop_lag_s(self) -> float:
        """Longest lag of the last seconds."""
        return _longest(self._lags, self._now_s())

    def gap_s(self) -> float:
        """Longest time between two looks at a cell in the last seconds, one that lasts included."""
        now_s = self._now_s()
        open_s = max((now_s - looked_s for looked_s in self._looked_s.values()), default=0.0)
        return max(open_s, _longest(self._gaps, now_s))


def _keep(kept: deque[tuple[float, float]], now_s: float, value: float) -> None:
    while kept and (kept[0][0] < now_s - _KEPT_S or kept[-1][1] <= value):
        # What is older, or smaller than a newer one, is never the longest again.
        kept.popleft() if kept[0][0] < now_s - _KEPT_S else kept.pop()
    kept.append((now_s, value))


def _longest(kept: deque[tuple[float, float]], now_s: float) -> float:
    return max((value for at_s, value in kept if at_s >= now_s - _KEPT_S), default=0.0)
