"""How a controller begins and goes on after a loss, as rows and events: what was, who has to look, what is void.

Every function writes inside the caller's transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from scheduler.types import StationMode
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway
from swap.events import append_event
from swap.messages.answers import Answer
from swap.messages.events import (
    ControllerStarted,
    ControllerStopped,
    DatabaseReturned,
    RecordBegun,
    RestartPermitted,
    StationModeChanged,
)
from swap.register.persons import person_actor
from swap.station.answers import refuse_open
from swap.station.context import StationContext
from swap.station.faults import clear_fault, raise_fault
from swap.station.lease import Lease
from swap.station.life.coming_back import Cause, Ending, Return, person_needed
from swap.station.life.database import DatabaseLost
from swap.station.life.guard import Outage
from swap.station.life.status import StopReport
from swap.station.power.planning import clear_plan_faults
from swap.station.records import change_mode, past_admitting, use_number
from swap.station.states.modes import ModeTrigger
from swap.station_db import StationDb as Db
from swap.store import LeaseLost
from swap.tables import Station

_log = logging.getLogger(__name__)

SOURCE = "controller"
CLOCK_WRONG = "clock_wrong"
_RESTARTED, _NO_DATABASE = "controller_restarted", "database_unavailable"
_HELD_BY_LOSS = (StationMode.AUTOMATIC, StationMode.CLOSED, StationMode.MANUAL)


class CellWorkedBefore(Exception):
    """A cell has worked before, and this database knows nothing of it; this controller must not run."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a controller begins."""

    cause: Cause | None
    """Why a named person has to look first; None where nothing of before asks for one."""
    permitted_until_at: datetime | None
    """A planned restart: what the stop left held may be let go until then."""


def begin_control(db: Db, config: StationConfig, holder: str, now: datetime) -> Beginning:
    """Say that a controller begins. What the last one left behind decides whether the station is held."""
    station_id, ended = config.station.id, _ending(db)
    permission = _permission(db) if ended is Ending.STOPPED else None
    under_way = past_admitting(db, config)
    until_at = None if permission is None else permission[1].until_at
    cause = person_needed(Return(now, ended=ended, under_way=under_way, permitted_until_at=until_at))
    event = ControllerStarted(holder=holder, unclean=ended is Ending.DIED)
    if cause is not None:
        event = event.model_copy(update={"held_for": cause.value})
    elif permission is not None and until_at is not None and now <= until_at:
        event = event.model_copy(update={"permitted_by_seq": permission[0]})
    else:
        until_at = None
    append_event(db, event, station_id=station_id, at=now)
    if config.charging.plan == "rule":
        clear_plan_faults(db, station_id=station_id, at=now)
    if cause is not None:
        _hold_for_person(db, station_id, now, _RESTARTED, cause.value, {"swaps": sorted(under_way)})
    return Beginning(cause, until_at if cause is None else None)


def _ending(db: Db) -> Ending:
    """What one controller started, only that one can stop. One that never began leaves nothing to be looked at."""
    started = db.newest_event(ControllerStarted)
    if started is None:
        return Ending.NONE
    stops = db.events(ControllerStopped, after=started.seq)
    holder = started.data["holder"]
    stopped = any(stop.data.get("holder", holder) == holder for stop in stops)
    return Ending.STOPPED if stopped else Ending.DIED


def _permission(db: Db) -> tuple[int, RestartPermitted] | None:
    """The permission of a planned restart given in the last controller's life, unless the station was held since."""
    started, given = db.newest_event(ControllerStarted), db.newest_event(RestartPermitted)
    if started is None or given is None or given.seq < started.seq:
        return None
    moving = {StationMode.AUTOMATIC.value, StationMode.CLOSED.value}
    if any(change.data["to"] not in moving for change in db.events(StationModeChanged, after=given.seq)):
        return None
    return given.seq, RestartPermitted.read(given.data)


def journal_outage(
    db: Db, station_id: str, outage: Outage, now: datetime, speed: float, holding: Collection[str]
) -> None:
    """Tell what was done without the database, and hold the station for a person.

    Args:
        holding: lanes whose cell was put on hold meanwhile.
    """
    event = DatabaseReturned(
        reason=outage.reason,
        lost_at=outage.lost_at,
        held_at=outage.held_at,
        back_at=now,
        lost_s=round((now - outage.lost_at).total_seconds() / speed, 2),
        chargers_not_confirmed=dict(outage.not_confirmed),
    )
    append_event(db, event, station_id=station_id, at=now)
    if person_needed(Return(now, gap_s=event.lost_s, holding=holding)) is not None:
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


def know_cells(db: Db, unknown: Mapping[str, int], name: str | None, now: datetime) -> None:
    """Cells that have worked before, and of which this database knows no command: a named person begins their record.

    Their numbers are used from then on: a cell that forgets them must not hear one again under another command.

    Args:
        unknown: by lane, the number that its cell shows.
        name: that person; None where nobody does.

    Raises:
        CellWorkedBefore: nobody does.
    """
    if name is None:
        shown = ", ".join(f"lane {lane_id} (command {number})" for lane_id, number in unknown.items())
        raise CellWorkedBefore(
            f"{shown}: the cell has worked before, and this database knows of no command to it. Put the station's own "
            "database back (swap db restore); where its record is to begin anew, say who decides it: "
            "swap run --new-record-by NAME"
        )
    db.append(RecordBegun(numbers=dict(unknown)), at=now, actor=person_actor(db, name, now))
    for lane_id, number in unknown.items():
        use_number(db, db.station_id, lane_id, number)


def tell_clock(db: Db, station_id: str, now: datetime, *, wrong: bool) -> None:
    """Station time and the computer's clock differ by more than is slewed, or agree again."""
    if wrong:
        raise_fault(db, station_id=station_id, name=CLOCK_WRONG, source=SOURCE, at=now)
    else:
        clear_fault(db, station_id=station_id, name=CLOCK_WRONG, source=SOURCE, at=now)


def stored_mode(db: Db, station_id: str) -> tuple[StationMode, str]:
    """The station's mode and its reason."""
    station = db.get_one(Station, station_id)
    return StationMode(station.mode), station.mode_reason


async def give_up(context: StationContext, lease: Lease, report: StopReport) -> bool:
    """Say the clean end and free the station, in one commit; whether it is stored.

    Without a database the next start finds neither, and asks for a person.
    """
    now = context.clock.now()

    def store(db: Db) -> None:
        ended = ControllerStopped(
            holder=lease.holder,
            chargers_not_confirmed=dict(report.chargers_not_confirmed),
            holds_not_confirmed=report.holds_not_confirmed,
        )
        append_event(db, ended, station_id=context.station_id, at=now)
        lease.give_up(db)

    try:
        await context.write(store)
    except (DatabaseLost, DatabaseAway, LeaseLost) as error:
        _log.error("the clean end is not stored, the next start will ask for a person: %s", error)
        return False
    return True
