"""Endpoints of firms: where they may be, and what their owners do with them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete
from sqlmodel import and_, col, select

from swap.commerce.webhooks.hosts import AllowedHosts, is_visible
from swap.commerce.webhooks.kinds import DeliveryOutcome, WebhookKind
from swap.commerce.webhooks.outbox import newest_seq
from swap.commerce.webhooks.signing import endpoint_key, shown_secret
from swap.commerce_db import CommerceDb
from swap.errors import Conflict, InvalidInput, NotFound
from swap.events import newest_heads
from swap.ids import new_id
from swap.paging import Order, between, cut
from swap.reading.records import Page, Record
from swap.tables import Party, WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookMark
from swap.words import N_

MOST = 10
"""Endpoints that a firm may have in use."""
BOTH_SIGN = timedelta(hours=24)
"""How long the secret before signs too."""


class WebhookRecord(Record):
    """An endpoint of a firm."""

    webhook_id: str
    organisation_id: str
    """Firm that it belongs to."""
    url: str
    """Where it is told."""
    kinds: tuple[WebhookKind, ...]
    """What it is told of; empty: everything."""
    made_at: datetime
    """In real time."""
    failures: int
    """Failed tries in a row of the event that waits."""
    next_try_at: datetime | None
    """When it is tried again, in real time; null: nothing has failed."""
    ended_at: datetime | None
    """When it was ended, in real time; null while it is used."""
    ended_why: str
    """owner, or gone: it has answered with 410; empty while it is used."""


class DeliveryRecord(Record):
    """An event, and how it went to an endpoint."""

    event_id: str
    """`webhook-id` of its message."""
    kind: WebhookKind
    at: datetime
    about: str
    """Id of the booking, swap, bill, invoice, contract or payment."""
    outcome: DeliveryOutcome | None
    """delivered, dead: given up after the last try; null while it waits."""
    tries: int
    """0 while it waits for its turn."""
    status: int | None
    """HTTP status of the last try, 0 where no answer came; null while it waits."""


def make_endpoint(
    db: CommerceDb,
    organisation_id: str,
    url: str,
    kinds: Sequence[WebhookKind],
    at: datetime,
    allowed: AllowedHosts,
) -> WebhookRecord:
    """An endpoint that is told of what happens from now on.

    Raises:
        InvalidInput: messages may not be sent there.
        NotFound: no such firm.
        Conflict: the firm has as many as it may have.
    """
    if not is_visible(url):
        raise InvalidInput("url", url, N_("an address in visible ASCII characters, such as https://fleet.example/told"))
    if not allowed.allow(url):
        hosts = ", ".join(sorted(allowed.names)) or "–"
        raise InvalidInput(
            "url", url, N_("an https address at one of the hosts of SWAP_WEBHOOK_HOSTS: {hosts}"), hosts=hosts
        )
    if db.get(Party, organisation_id) is None:
        raise NotFound("firm", organisation_id)
    in_use = db.exec(select(WebhookEndpoint).where(col(WebhookEndpoint.ended_at).is_(None))).all()
    if sum(one.organisation_id == organisation_id for one in in_use) >= MOST:
        raise Conflict(N_("firm {firm} has {most} webhooks in use; end one first"), firm=organisation_id, most=MOST)
    if not in_use:  # nobody has listened: journals are read from here on
        for head in newest_heads(db, at):
            mark = db.get(WebhookMark, head.station_id) or WebhookMark(station_id=head.station_id, seq=0)
            mark.seq = head.seq
            db.add(mark)
    newest = newest_seq(db)
    row = WebhookEndpoint(
        id=new_id("wh", at),
        organisation_id=organisation_id,
        url=url,
        kinds=sorted({kind.value for kind in kinds}),
        from_seq=newest,
        after_seq=newest,
        made_at=at,
    )
    db.add(row)
    db.flush()
    return _shown(row)


def secret_of(db: CommerceDb, webhook_id: str, server_secret: str) -> str:
    """The newest secret of an endpoint, as its owner is shown it. Raises NotFound."""
    row = get_endpoint(db, webhook_id)
    return shown_secret(endpoint_key(server_secret, row.id, row.secret_no))


def get_webhook(db: CommerceDb, webhook_id: str) -> WebhookRecord:
    """An endpoint as its owner sees it. Raises NotFound."""
    return _shown(get_endpoint(db, webhook_id))


def get_endpoint(db: CommerceDb, webhook_id: str) -> WebhookEndpoint:
    """An endpoint. Raises NotFound."""
    row = db.exec(select(WebhookEndpoint).where(WebhookEndpoint.id == webhook_id)).first()
    if row is None:
        raise NotFound("webhook", webhook_id)
    return row


def list_endpoints(
    db: CommerceDb,
    *,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[WebhookRecord]:
    """Endpoints, ended ones too, newest first, made from an instant and before another."""
    made_at = col(WebhookEndpoint.made_at)
    query = select(WebhookEndpoint).where(*between(made_at, from_at, to_at))
    query = Order(col(WebhookEndpoint.id), made_at).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id, lambda row: row.made_at)
    return Page(items=tuple(_shown(row) for row in rows), next_cursor=following)


def _shown(row: WebhookEndpoint) -> WebhookRecord:
    """The record of an endpoint."""
    return WebhookRecord.of(row, webhook_id=row.id, kinds=tuple(WebhookKind(kind) for kind in row.kinds))


def end_endpoint(db: CommerceDb, webhook_id: str, at: datetime, why: str = "owner") -> WebhookRecord:
    """Tell an endpoint nothing more. Again it changes nothing."""
    row = get_endpoint(db, webhook_id)
    if row.ended_at is None:
        row.ended_at, row.ended_why, row.failures, row.next_try_at = at, why, 0, None
        db.add(row)
        db.flush()
    return _shown(row)


def renew_secret(db: CommerceDb, webhook_id: str, at: datetime) -> WebhookRecord:
    """Another secret; the one before signs too for `BOTH_SIGN`."""
    row = get_endpoint(db, webhook_id)
    row.secret_no, row.previous_until_at = row.secret_no + 1, at + BOTH_SIGN
    db.add(row)
    db.flush()
    return _shown(row)


def replay(db: CommerceDb, webhook_id: str, event_id: str) -> WebhookRecord:
    """Tell an endpoint again from an event on, that one first; at once, whatever it waits for.

    Raises:
        NotFound: no such endpoint, or no such event of its firm since it was made.
        Conflict: it was ended.
    """
    row = get_endpoint(db, webhook_id)
    if row.ended_at is not None:
        raise Conflict(N_("webhook {webhook_id} was ended"), {"webhook_id": webhook_id})
    seq = db.exec(
        select(WebhookEvent.seq).where(
            WebhookEvent.id == event_id,
            WebhookEvent.organisation_id == row.organisation_id,
            col(WebhookEvent.seq) > row.from_seq,
        )
    ).first()
    if seq is None:
        raise NotFound("webhook event", event_id)
    row.after_seq, row.failures, row.next_try_at = min(row.after_seq, seq - 1), 0, None
    db.add(row)
    db.execute(
        delete(WebhookDelivery).where(
            and_(col(WebhookDelivery.endpoint_id) == webhook_id, col(WebhookDelivery.event_seq) > row.after_seq)
        )
    )
    db.flush()
    return _shown(row)


def wanted_events(row: WebhookEndpoint, after_seq: int) -> Any:
    """The events after a number that an endpoint is told of, in their order, as a query.

    Args:
        after_seq: of the endpoint: `from_seq`, or `after_seq` for those that wait.
    """
    query = select(WebhookEvent).where(
        WebhookEvent.organisation_id == row.organisation_id, col(WebhookEvent.seq) > after_seq
    )
    if row.kinds:
        query = query.where(col(WebhookEvent.kind).in_(row.kinds))
    return query.order_by(col(WebhookEvent.seq))


def list_deliveries(
    db: CommerceDb,
    webhook_id: str,
    *,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[DeliveryRecord]:
    """What an endpoint was told and is to be told of what happened in a time, newest first. Raises NotFound."""
    row = get_endpoint(db, webhook_id)
    query = wanted_events(row, row.from_seq).order_by(None).where(*between(col(WebhookEvent.at), from_at, to_at))
    found: Sequence[WebhookEvent] = db.exec(Order(col(WebhookEvent.seq)).page(query, limit, cursor)).all()
    events, following = cut(found, limit, lambda event: event.seq)
    asked = col(WebhookDelivery.event_seq).in_([event.seq for event in events])
    rows = db.exec(select(WebhookDelivery).where(WebhookDelivery.endpoint_id == webhook_id, asked))
    ended = {one.event_seq: one for one in rows}
    head = next((event.seq for event in reversed(events) if event.seq > row.after_seq), None)
    records = []
    for event in events:
        done = ended.get(event.seq)
        waits = row.failures if event.seq == head else 0
        records.append(
            DeliveryRecord.of(
                event,
                event_id=event.id,
                kind=WebhookKind(event.kind),
                outcome=None if done is None else DeliveryOutcome(done.outcome),
                tries=waits if done is None else done.tries,
                status=None if done is None else done.status,
            )
        )
    return Page(items=tuple(records), next_cursor=following)
