"""Does the controller live, does it hold, has it lost its database? Answered without the database."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Literal

from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.access import Who, guarded_router
from api.deps import AnyDoors, Doors
from api.edge.metrics import Metrics
from api.problems import declared
from api.schemas import Output
from api.words import WORDS, load_language
from swap.errors import DatabaseAway, NotFound
from swap.identity.principal import EVERYTHING, Sight
from swap.reading.now import get_station
from swap.station.life.status import ControlBoard, ControlWord
from swap.words import LANGUAGES

router = guarded_router(under="", tags=["health"])

ASK_S = 0.8
"""Real seconds that the database is asked for the lease, where the controller runs in another process."""
_WELL = (ControlWord.RUNNING, ControlWord.DATABASE_SLOW)


class DeviceOut(Output):
    """How well the link to one device works."""

    connected: bool
    connections: int
    """Made since the start; the first one counts."""
    connections_last_minute: int
    requests: int
    """Since the start."""
    failed: int
    """Of them without an answer, or answered with an exception."""
    error_share: float | None
    """0…1, of the newest requests."""
    answer_p95_s: float | None
    """Real seconds within which 95 % of the newest answers came."""


class ControlOut(Output):
    """What the controller says of itself. Times are real seconds."""

    status_age_s: float | None
    """Since it said so; a controller whose loops are late says nothing new."""
    since_at: str | None
    mode: str | None
    held_why: str
    database: str | None
    database_reason: str
    oldest_write_s: float | None
    loop_lag_s: float | None
    gap_s: float | None
    links: dict[str, bool]
    devices: dict[str, DeviceOut]


class Health(Output):
    """Is the station run?"""

    status: Literal["ok", "failing"]
    station_id: str
    word: str
    """`running`, `database_slow`, `database_lost`, `loop_late`, `starting`, `stopped`; `unknown` where another
    process runs the station and the database does not answer."""
    words: dict[str, str]
    """The same as a sentence, by language tag."""
    control: ControlOut | None
    """None where another process runs the station."""


@router.get("/health", responses={503: {"model": Health, "description": "The station is not run as it should be."}})
async def health(doors: AnyDoors, response: Response) -> Health:
    """200 while a controller runs the station, with a database that may be slow; 503 otherwise."""
    if doors.control is not None:
        word: str = doors.control.word()
        well = word in _WELL
    else:
        word = await _lease_word(doors)
        well = word == ControlWord.RUNNING
    if not well:
        response.status_code = 503
    return Health(
        status="ok" if well else "failing",
        station_id=doors.station_id,
        word=word,
        words=_sentences(doors, word),
        control=None if doors.control is None else _control(doors.control),
    )


@router.get(
    "/metrics",
    responses={
        **declared(404),
        200: {"description": "Figures in Prometheus' text format.", "content": {"text/plain": {}}},
    },
    response_class=Response,
)
def metrics(doors: AnyDoors, who: Who, request: Request) -> Response:
    """Figures for Prometheus: requests by operation and status, the controller's life, the station's state."""
    if who.view.sight is Sight.STATIONS and doors.station_id not in who.view.station_ids:
        raise NotFound("station", doors.station_id)
    figures: Metrics = request.app.state.metrics
    return Response(figures.text(), media_type=CONTENT_TYPE_LATEST)


async def _lease_word(doors: Doors) -> str:
    """Of a controller in another process the database knows only whether it has been heard."""

    def heard() -> bool:
        with doors.reading(EVERYTHING) as db:
            return get_station(db, doors.station_id).controller is not None

    try:
        return ControlWord.RUNNING if await asyncio.wait_for(asyncio.to_thread(heard), ASK_S) else ControlWord.STOPPED
    except (DatabaseAway, TimeoutError):
        return "unknown"
    except NotFound:
        return ControlWord.STOPPED


def _sentences(doors: Doors, word: str) -> dict[str, str]:
    message = WORDS["control"][word]
    return {tag: load_language(name, doors.config.station.zone).text(message) for name, tag in LANGUAGES.items()}


def _control(board: ControlBoard) -> ControlOut:
    status = board.status
    return ControlOut(
        status_age_s=board.age_s(),
        since_at=None if status is None else status.since_at.isoformat(),
        mode=None if status is None else status.mode.value,
        held_why="" if status is None else status.held_why,
        database=None if status is None else status.database.value,
        database_reason="" if status is None else status.database_reason,
        oldest_write_s=None if status is None else status.oldest_write_s,
        loop_lag_s=None if status is None else status.loop_lag_s,
        gap_s=None if status is None else status.gap_s,
        links={} if status is None else dict(status.links),
        devices={} if status is None else {k: DeviceOut(**asdict(v)) for k, v in status.devices.items()},
    )
