"""The live feed of the page: one rendering per language and change, shared by everybody who looks.

State is in the database; what is kept here is only the last rendering of it, so any number of processes can
serve the page.
"""

from __future__ import annotations

import re
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
from swap.identity.principal import EVERYTHING
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
            with self._doors.reading(EVERYTHING) as db:
                mark = live_mark(db, self._doors.station_id)
            self._mark = (time.monotonic(), mark)
            return mark

    def age_s(self) -> float:
        """Real seconds since the database was last read; infinite before the first time."""
        return time.monotonic() - self._mark[0]

    def control_age_s(self) -> float:
        """Real seconds since the controller last spoke: what nobody writes any more is old however often it is read.
        0 where it has not spoken yet, or runs in another process."""
        control = self._doors.control
        return (control.age_s() if control is not None else None) or 0.0

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
        with doors.reading(EVERYTHING) as db:
            state = station_state(db, doors.config)
            ended = latest_ended(db, station_id)
            asked = latest_requests(db, station_id)
        now = doors.clock.now()
        status = None if doors.control is None else doors.control.status
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
            links={} if status is None else status.links,
            devices={} if status is None else status.devices,
        )

    def power(self, language: Language, after: datetime | None = None) -> list[list[Any]]:
        """Chart rows [time, import kW, charging kW, limit kW] newer than `after`, oldest first."""
        with self._doors.reading(EVERYTHING) as db:
            samples = site_history(db, self._doors.station_id, CHART_POINTS)
        return [chart_row(s, language) for s in samples if after is None or s.at > after]


_CARD = re.compile(r'<(article|section|div)(?= )[^>]*? id="([^"]+)".*?</\1>', re.DOTALL)
"""A part of the page with an address of its own; none has one of its kind in it."""


class Shown:
    """What a page shows, so that it is told of what has changed only."""

    def __init__(self) -> None:
        self._frame = ""
        self._cards: dict[str, str] = {}

    def changed(self, html: str) -> tuple[bool, str]:
        """Whether the whole live part is to be sent, and what: the cards that have changed where nothing else has."""
        cards = {found[2]: found[0] for found in _CARD.finditer(html)}
        frame = _CARD.sub(lambda found: f"<{found[2]}>", html)
        before, whole = self._cards, frame != self._frame
        self._frame, self._cards = frame, cards
        if whole:
            return True, html
        return False, "".join(card for name, card in cards.items() if before[name] != card)


def _recent(at: datetime, now: datetime, speed: float) -> bool:
    return now - at < timedelta(seconds=120 * speed)


def chart_row(sample: SiteRecord, language: Language) -> list[Any]:
    """One point. The browser draws station local time whatever zone it is in: local time is given as if UTC."""
    local = sample.at.astimezone(language.zone).replace(tzinfo=UTC)
    return [int(local.timestamp() * 1000), sample.import_kw, sample.charge_kw, sample.limit_kw]
