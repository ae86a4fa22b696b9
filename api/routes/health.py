"""Is this process able to serve, and does somebody run the station?"""

from __future__ import annotations

import logging

from fastapi import APIRouter, Response

from api.deps import AnyDoors
from api.schemas import Health
from swap.errors import NotFound
from swap.reading.now import get_station

router = APIRouter(tags=["health"])
_log = logging.getLogger(__name__)


@router.get("/health", responses={503: {"model": Health, "description": "No database or no controller."}})
def health(doors: AnyDoors, response: Response) -> Health:
    """200 while the database answers and a controller holds the station; 503 otherwise."""
    try:
        with doors.store.reading() as db:
            station = get_station(db, doors.station_id)
    except NotFound:
        response.status_code = 503
        return Health(
            status="failing", station_id=doors.station_id, database="ok", controller=None, mode=None, version=None
        )
    except Exception:
        # Whatever is wrong with the database, this route must still answer; the log has the reason.
        _log.exception("the database does not answer")
        response.status_code = 503
        return Health(
            status="failing",
            station_id=doors.station_id,
            database="failing",
            controller=None,
            mode=None,
            version=None,
        )
    if station.controller is None:
        response.status_code = 503
    return Health(
        status="failing" if station.controller is None else "ok",
        station_id=station.station_id,
        database="ok",
        controller=station.controller,
        mode=station.mode,
        version=station.version,
    )
