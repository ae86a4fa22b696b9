"""The one function that appends events to a station's journal.

The event is written in the same transaction as the state it tells of. Events of a station are numbered by `seq`
from 1 without gaps, and each carries the hash of the one before it: both are taken under the station's lock.
What each event says: `swap.messages.events`.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Table, bindparam, insert, update
from sqlalchemy import select as sql_select
from sqlmodel import Session, func, select

from swap.journal.canonical import canonical_json, without_nan
from swap.journal.chain import FIRST, Entry, entry_hash
from swap.journal.heads import NotedHead
from swap.messages.events import AnyEvent
from swap.tables import Station, StationEvent

_EVENTS: Table = StationEvent.__table__  # type: ignore[attr-defined]
# Of the tables, and not of their classes: made once, and as each event asks for them, without the session's own work.
_NEWEST = (
    sql_select(_EVENTS.c.seq, _EVENTS.c.hash, _EVENTS.c.epoch)
    .where(_EVENTS.c.station_id == bindparam("station"))
    .order_by(_EVENTS.c.seq.desc())
    .limit(1)
)
_INSERT = insert(_EVENTS)
_STATIONS: Table = Station.__table__  # type: ignore[attr-defined]
_RAISE = update(_STATIONS).where(_STATIONS.c.id == bindparam("station")).values(version=_STATIONS.c.version + 1)


def connected(db: Session) -> Connection:
    """The connection of a session, for statements on tables; of one that was given its transaction without the work of
    a session for each of them."""
    if isinstance(db.bind, Connection) and not db.in_nested_transaction():
        return db.bind
    return db.connection()


def newest_heads(db: Session, at: datetime) -> tuple[NotedHead, ...]:
    """The newest event of every station that has one; `at` is when they are looked at."""
    newest = select(StationEvent.station_id, func.max(StationEvent.seq)).group_by(StationEvent.station_id).subquery()
    query = (
        select(StationEvent.station_id, StationEvent.epoch, StationEvent.seq, StationEvent.hash)
        .join(newest, (newest.c[0] == StationEvent.station_id) & (newest.c[1] == StationEvent.seq))
        .order_by(StationEvent.station_id)
    )
    return tuple(NotedHead(*row, at) for row in db.exec(query))


def append_event(
    db: Session,
    event: AnyEvent,
    *,
    station_id: str,
    at: datetime,
    actor: str = "controller",
    swap_id: str | None = None,
    pack_id: str | None = None,
    bay_id: str | None = None,
    lane_id: str | None = None,
    cause_seq: int | None = None,
    epoch: int | None = None,
) -> Entry:
    """Append one event and raise the station's version; call inside a write transaction of the store.

    Args:
        epoch: begins a new epoch; only the event `journal.epoch` does.

    Returns:
        What was written.
    """
    plain = without_nan(event.payload())
    data = canonical_json(plain)
    db.flush()
    connection = connected(db)
    last = connection.execute(_NEWEST, {"station": station_id}).first()
    seq, prev_hash, last_epoch = last if last is not None else (0, FIRST, 1)
    entry = Entry(
        station_id=station_id,
        seq=seq + 1,
        epoch=last_epoch if epoch is None else epoch,
        at=at,
        kind=event.kind,
        actor=actor,
        swap_id=swap_id,
        pack_id=pack_id,
        bay_id=bay_id,
        lane_id=lane_id,
        cause_seq=cause_seq,
        data=data,
        prev_hash=prev_hash,
    )
    fields = {name: getattr(entry, name) for name in Entry.__slots__} | {"data": plain}
    connection.execute(_INSERT, {**fields, "hash": entry_hash(entry)})
    raise_version(db, station_id)
    return entry


def raise_version(db: Session, station_id: str) -> None:
    """Let pages know that a station has something new to show; once is enough in a write transaction."""
    raised: set[str] = db.info.setdefault("raised", set())
    if station_id not in raised:
        connected(db).execute(_RAISE, {"station": station_id})
        raised.add(station_id)
