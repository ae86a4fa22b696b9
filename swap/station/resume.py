"""How a controller begins and goes on after a loss, as rows and events: what was, who has to look, what is void.

Every function writes inside the caller's transaction.
"""

from __future__ import annotations

from datetime import datetime

from scheduler.types import StationMode
from swap.events import append_event
from swap.messages.answers import Answer
from swap.messages.events import ControllerStarted, ControllerStopped, DatabaseReturned
from swap.station.answers import refuse_open
from swap.station.faults import clear_fault, raise_fault
from swap.station.life.guard import Outage
from swap.station.records import change_mode
from swap.station.states.modes import ModeTrigger
from swap.station_db import StationDb as Db
from swap.tables import Station

SOURCE = "controller"
_RESTARTED, _NO_DATABASE = "controller_restarted", "database_unavailable"
_HELD_BY_LOSS = (StationMode.AUTOMATIC, StationMode.CLOSED, StationMode.MANUAL)


def begin_control(db: Db, station_id: str, holder: str, now: datetime) -> bool:
    """Say that a controller begins; returns whether the last one ended without saying so. Then the station is held."""
    unclean = _ended_uncleanly(db)
    append_event(
        db,
        ControllerStarted(holder=holder, unclean=unclean),
        station_id=station_id,
        at=now,
    )
    if unclean:
        _hold_for_person(db, station_id, now, _RESTARTED, "restart", {})
    return unclean


def _ended_uncleanly(db: Db) -> bool:
    """What one controller started, only that one can stop. One that never began leaves nothing to be looked at."""
    started = db.newest_event(ControllerStarted)
    if started is None:
        return False
    stops = db.events(ControllerStopped, after=started.seq)
    holder = started.data["holder"]
    return not any(stop.data.get("holder", holder) == holder for stop in stops)


def journal_outage(db: Db, station_id: str, outage: Outage, now: datetime, speed: float) -> None:
    """Tell what was done without the database, and hold the station for a person."""
    event = DatabaseReturned(
        reason=outage.reason,
        lost_at=outage.lost_at,
        held_at=outage.held_at,
        back_at=now,
        lost_s=round((now - outage.lost_at).total_seconds() / speed, 2),
        chargers_not_confirmed=dict(outage.not_confirmed),
    )
    append_event(db, event, station_id=station_id, at=now)
    _hold_for_person(db, station_id, now, _NO_DATABASE, "database_lost", {"reason": outage.reason})


def _hold_for_person(db: Db, station_id: str, now: datetime, fault: str, reason: str, data: dict[str, object]) -> None:
    """Nobody knows what went on meanwhile: a named person has to look, and what was asked before is void."""
    refuse_open(db, station_id, Answer("asked_before", {}), now)
    if StationMode(db.get_one(Station, station_id).mode) in _HELD_BY_LOSS:
        raise_fault(db, station_id=station_id, name=fault, source=SOURCE, at=now, data=data)
        change_mode(db, station_id=station_id, trigger=ModeTrigger.HOLD, reason=reason, actor=SOURCE, at=now)


def clear_losses(db: Db, station_id: str, now: datetime, name: str) -> None:
    """A named person has looked: the losses are over."""
    for fault in (_RESTARTED, _NO_DATABASE):
        clear_fault(db, station_id=station_id, name=fault, source=SOURCE, at=now, actor=name)


def stored_mode(db: Db, station_id: str) -> tuple[StationMode, str]:
    """The station's mode and its reason."""
    station = db.get_one(Station, station_id)
    return StationMode(station.mode), station.mode_reason
