"""A database put back from a copy: a new epoch of every journal, by a named person, and a station that is held.

What happened after the copy was made is gone from the table and still known by the heads outside of it. The event
`journal.epoch` tells who put the copy back and what was lost; the audit accepts the gap with it, and only with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import col, select

from scheduler.types import StationMode
from swap.events import append_event, newest_heads
from swap.journal.heads import NotedHead
from swap.messages.journal import JournalEpoch, JournalHead
from swap.register.persons import person_actor, person_name
from swap.station.records import change_mode
from swap.station.states.modes import ModeTrigger
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import LEASE_EXPIRES_S, ControllerLease

RESTORED = "restored"
"""Reason by which a station is held whose database was put back."""


def begin_epoch(
    store: Store, *, by: str, at: datetime, known: Sequence[NotedHead] = (), copy: str = ""
) -> tuple[NotedHead, ...]:
    """Begin a new epoch of every station's journal and hold the stations; the new heads.

    Args:
        by: the person who put the database back.
        at: real UTC; a station whose own time runs ahead takes its own.
        known: heads from outside of the database.
        copy: name of the copy.

    Raises:
        InvalidInput: no name.
    """
    person_name(by)
    with store.reading() as whole:
        heads = newest_heads(whole, at)
    for head in heads:
        beyond = [item for item in known if item.station_id == head.station_id]
        with store.station(head.station_id) as db:
            _begin(db, head, beyond, by, at, copy)
    with store.reading() as whole:
        return newest_heads(whole, at)


def _begin(db: StationDb, head: NotedHead, beyond: Sequence[NotedHead], by: str, at: datetime, copy: str) -> None:
    station_id, actor = db.station_id, person_actor(db, by, at)
    newest = db.newest_event()
    if newest is not None:  # a station's own time may run ahead
        at = max(at, newest.at)
    lost = max(beyond, key=lambda item: (item.epoch, item.seq), default=None)
    append_event(
        db,
        JournalEpoch(
            from_epoch=head.epoch,
            from_seq=head.seq,
            from_hash=head.hash,
            lost=None if lost is None else JournalHead(epoch=lost.epoch, seq=lost.seq, hash=lost.hash),
            copy_name=copy,
        ),
        station_id=station_id,
        at=at,
        actor=actor,
        epoch=max([head.epoch, *(item.epoch for item in beyond)]) + 1,
    )
    if StationMode(db.station().mode) in (StationMode.AUTOMATIC, StationMode.CLOSED, StationMode.MANUAL):
        change_mode(db, station_id=station_id, trigger=ModeTrigger.HOLD, reason=RESTORED, actor=actor, at=at)


def running_controllers(store: Store, now: datetime) -> tuple[str, ...]:
    """Holders of leases with a fresh heartbeat: their stations must be stopped before the database is replaced."""
    with store.reading() as db:
        return tuple(
            f"{lease.station_id} ({lease.holder})"
            for lease in db.exec(select(ControllerLease).order_by(col(ControllerLease.station_id)))
            if abs((now - lease.heartbeat_at).total_seconds()) <= LEASE_EXPIRES_S
        )
