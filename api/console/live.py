"""The live feed of the page: one rendering per language and change, shared by everybody who looks.

State is in the database; what is kept here is only the last rendering of it, so any number of processes can
serve the page.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from api.console.cards import PageView
from api.console.view import page_view
from api.deps import Doors
from api.words import Language
from swap.reading.lists import latest_ended
from swap.reading.now import live_mark, site_history, station_state
from swap.reading.records import SiteRecord
from swap.station.requests import latest_requests

LOOK_S = 0.3
"""How often the database is asked whether something has changed (real seconds)."""
REPEAT_S = 5.0
"""The page is rendered at least this often, since a dead controller changes nothing in the database."""
CHART_POINTS = 360

Mark = tuple[int, int]
Render = Callable[[PageView, Language], str]


@dataclass(frozen=True)
class _Rendered:
    mark: Mark
    at_s: float
    html: str


class LiveFeed:
    """Renders the live part of the page. Its methods block: call them from a worker thread."""

    def __init__(self, doors: Doors, render: Render) -> None:
        self._doors = doors
        self._render = render
        self._lock = threading.Lock()
        self._mark: tuple[float, Mark] = (float("-inf"), (-1, -1))
        self._rendered: dict[str, _Rendered] = {}

    def mark(self) -> Mark:
        """Version and newest power sample; asked of the database at most once in `LOOK_S`."""
        with self._lock:
            asked_s, mark = self._mark
            if time.monotonic() - asked_s < LOOK_S * 0.8:
                return mark
            with self._doors.reading() as db:
                mark = live_mark(db, self._doors.station_id)
            self._mark = (time.monotonic(), mark)
            return mark

    def age_s(self) -> float:
        """Real seconds since the database was last read; infinite before the first time."""
        return time.monotonic() - self._mark[0]

    def html(self, language: Language) -> str:
        """The live part of the page in a language, as of the newest mark."""
        mark = self.mark()
        with self._lock:
            last = self._rendered.get(language.name)
            if last is not None and last.mark == mark and time.monotonic() - last.at_s < REPEAT_S * 0.9:
                return last.html
            html = self._render(self.view(language), language)
            self._rendered[language.name] = _Rendered(mark, time.monotonic(), html)
            return html

    def view(self, language: Language) -> PageView:
        """Read the database and work out the page."""
        doors = self._doors
        station_id = doors.station_id
        with doors.reading() as db:
            state = station_state(db, doors.config)
            ended = latest_ended(db, station_id)
            asked = latest_requests(db, station_id)
        now = doors.clock.now()
        asked = tuple(r for r in asked if r.status == "open" or _recent(r.requested_at, now, doors.clock.speed))
        return page_view(
            state,
            ended,
            asked,
            config=doors.config,
            folder=doors.folder,
            language=language,
            now=now,
            speed=doors.clock.speed,
            links={} if doors.control is None or doors.control.status is None else doors.control.status.links,
        )

    def power(self, language: Language, after: datetime | None = None) -> list[list[Any]]:
        """Chart rows [time, import kW, charging kW, limit kW] newer than `after`, oldest first."""
        with self._doors.reading() as db:
            samples = site_history(db, self._doors.station_id, CHART_POINTS)
        return [chart_row(s, language) for s in samples if after is None or s.at > after]


def _recent(at: datetime, now: datetime, speed: float) -> bool:
    return now - at < timedelta(seconds=120 * speed)


def chart_row(sample: SiteRecord, language: Language) -> list[Any]:
    """One point. The browser draws station local time whatever zone it is in: local time is given as if UTC."""
    local = sample.at.astimezone(language.zone).replace(tzinfo=UTC)
    return [int(local.timestamp() * 1000), sample.import_kw, sample.charge_kw, sample.limit_kw]
