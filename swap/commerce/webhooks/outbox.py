"""The outbox: what firms with an endpoint are to be told. Whoever writes to it holds commerce's line, so the numbers
are without gaps and in the order of commits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from sqlmodel import col, func, select

from swap.commerce.seals import sealed
from swap.commerce.webhooks.kinds import FROM_JOURNAL, FromJournal, WebhookKind
from swap.commerce_db import CommerceDb
from swap.ids import new_id
from swap.lots import lots
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import (
    BillLine,
    Booking,
    Station,
    StationEvent,
    Swap,
    VehicleRow,
    WebhookEndpoint,
    WebhookEvent,
    WebhookMark,
)

AT_ONCE = 20
"""Events of a journal that are taken in one transaction: with SQLite the controller waits meanwhile."""
HREF = "/api/v1/{about}s/{id}"


def newest_seq(db: CommerceDb) -> int:
    """Number of the newest event; 0 before the first."""
    return db.exec(select(func.max(WebhookEvent.seq))).one() or 0


def tell(
    db: CommerceDb,
    organisations: Iterable[str],
    kind: WebhookKind,
    about: str,
    key: str,
    at: datetime,
    **data: Any,
) -> None:
    """Tell each of some firms that has an endpoint in use, in the transaction in which it happens.

    Args:
        about: noun of what it is about, as in the addresses of the HTTP interface.
        key: its id.
    """
    tell_each(db, kind, about, [(organisations, key, data)], at)


def tell_each(
    db: CommerceDb,
    kind: WebhookKind,
    about: str,
    told: Sequence[tuple[Iterable[str], str, dict[str, Any]]],
    at: datetime,
) -> None:
    """`tell`, of many things of one kind at once.

    Args:
        told: of each the firms, its id, and what else is said.
    """
    wanted = sorted({organisation for organisations, _, _ in told for organisation in organisations})
    listening = set[str]()
    for some in lots(wanted):
        query = select(WebhookEndpoint.organisation_id).where(
            col(WebhookEndpoint.organisation_id).in_(some), col(WebhookEndpoint.ended_at).is_(None)
        )
        listening.update(db.exec(query))
    if not listening:
        return
    numbers = count(newest_seq(db) + 1)
    db.add_all(
        sealed(
            WebhookEvent(
                seq=next(numbers),
                id=new_id("ev", at),
                organisation_id=organisation_id,
                kind=kind.value,
                at=at,
                about=key,
                data={f"{about}_id": key, "href": HREF.format(about=about, id=key)} | data,
            )
        )
        for organisations, key, data in told
        for organisation_id in sorted(listening.intersection(organisations))
    )
    db.flush()


def collect(store: Store, station_id: str) -> int:
    """Take what the journal of a station has told since the last time, once; how many events were looked at.

    Raises:
        DatabaseAway: the database cannot be used now.
    """
    looked = 0
    while True:
        with store.reading_commerce() as db:
            if (
                db.exec(select(WebhookEndpoint.id).where(col(WebhookEndpoint.ended_at).is_(None)).limit(1)).first()
                is None
            ):
                return looked
            mark = db.get(WebhookMark, station_id)
            after = 0 if mark is None else mark.seq
        with store.reading_station(station_id) as station:
            events = station.exec(
                select(StationEvent)
                .where(
                    StationEvent.station_id == station_id,
                    col(StationEvent.kind).in_(FROM_JOURNAL),
                    col(StationEvent.seq) > after,
                )
                .order_by(col(StationEvent.seq))
                .limit(AT_ONCE)
            ).all()
            told = [_told(station, event) for event in events]
        if not told:
            return looked
        with store.commerce() as db:
            row = db.get(WebhookMark, station_id) or WebhookMark(station_id=station_id, seq=0)
            if row.seq > after:
                continue  # another process was faster
            for fact in told:
                tell(db, fact.organisations, fact.how.kind, fact.how.about, fact.key, fact.at, **fact.data)
            row.seq = told[-1].seq
            db.add(row)
        looked += len(told)


@dataclass(frozen=True, slots=True)
class _Fact:
    """What an event of the journal is about, whom it concerns, and what is said."""

    how: FromJournal
    seq: int
    at: datetime
    key: str
    organisations: set[str]
    data: dict[str, Any]


def _told(db: StationDb, event: StationEvent) -> _Fact:
    how = FROM_JOURNAL[event.kind]
    data: dict[str, Any] = {"station_id": event.station_id, "event_id": event.seq}
    data |= {name: event.data[name] for name in how.fields if event.data.get(name) is not None}
    organisations = {db.get_one(Station, event.station_id).operator_id}
    if how.about == "booking":
        key = str(event.data["booking_id"])
        data["vehicle_id"] = db.get_one(Booking, key).vehicle_id
    else:
        swap = db.get_one(Swap, event.swap_id)
        key, data["vehicle_id"] = swap.id, swap.vehicle_id
        if how.state is not None:
            data["state"] = how.state
        if how.about == "bill":
            key, data["swap_id"] = str(event.data["bill_id"]), swap.id
            lines = db.exec(select(BillLine.payee_id, BillLine.buyer_id).where(BillLine.bill_id == key))
            organisations |= {firm for line in lines for firm in line if firm}
    organisations.add(db.get_one(VehicleRow, data["vehicle_id"]).fleet_id)
    return _Fact(how, event.seq, event.at, key, organisations, data)
