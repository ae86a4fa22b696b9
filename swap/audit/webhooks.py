"""Webhooks: the outbox is whole, and each endpoint was told each of its events once, in order."""

from __future__ import annotations

from itertools import zip_longest

from sqlmodel import col, select

from swap.audit.findings import Findings
from swap.audit.rows import Reader
from swap.commerce.seals import row_digest
from swap.commerce.webhooks.kinds import WebhookKind
from swap.tables import StationEvent, WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookMark


def check_webhooks(reader: Reader, findings: Findings) -> None:
    """Every check of webhooks."""
    endpoints = list(reader.rows(WebhookEndpoint, order=(col(WebhookEndpoint.id),)))
    # Old events have left, up to the one after which every endpoint is told.
    gone = min((endpoint.from_seq for endpoint in endpoints), default=0)
    found, last = findings["webhook_events_sealed"], 0
    for row in reader.rows(WebhookEvent, order=(col(WebhookEvent.seq),)):
        follows = row.seq == last + 1 or (last == 0 < row.seq <= gone + 1)
        found.look(follows, f"webhook_event {row.seq} follows {last}")
        found.look(
            row.digest == row_digest(WebhookEvent, row), f"webhook_event {row.seq}: it is not what its digest says"
        )
        last = row.seq
    found = findings["webhook_outcome_fits"]
    for row in reader.rows(WebhookDelivery, order=(col(WebhookDelivery.endpoint_id), col(WebhookDelivery.event_seq))):
        found.look(
            (row.outcome == "delivered") == (200 <= row.status < 300),
            f"webhook_delivery {row.endpoint_id}:{row.event_seq}: outcome {row.outcome} with status {row.status}",
        )
    for endpoint in endpoints:
        _told_in_order(reader, findings, endpoint, last)
    found = findings["webhook_mark_in_journal"]
    for row in reader.rows(WebhookMark, order=(col(WebhookMark.station_id),)):
        stands = reader.db.execute(
            select(1).where(StationEvent.station_id == row.station_id, StationEvent.seq == row.seq)
        ).first()
        found.look(
            row.seq == 0 or stands is not None,
            f"webhook_mark {row.station_id}: seq {row.seq} is not in the journal",
        )


def _told_in_order(reader: Reader, findings: Findings, endpoint: WebhookEndpoint, newest: int) -> None:
    found, name = findings["webhook_told_in_order"], f"webhook_endpoint {endpoint.id}"
    found.look(
        0 <= endpoint.from_seq <= endpoint.after_seq <= newest,
        f"{name}: from_seq {endpoint.from_seq}, after_seq {endpoint.after_seq}, the newest event is {newest}",
    )
    found.look(
        (endpoint.failures > 0) == (endpoint.next_try_at is not None)
        and (endpoint.ended_at is None) == (endpoint.ended_why == ""),
        f"{name}: failures {endpoint.failures}, next_try_at {endpoint.next_try_at}, ended_at {endpoint.ended_at}, "
        f"ended_why {endpoint.ended_why!r}",
    )
    unknown = sorted(set(endpoint.kinds) - set(WebhookKind))
    found.look(not unknown, f"{name}: kinds has {', '.join(unknown)}, which is no kind")
    wanted = [
        WebhookEvent.organisation_id == endpoint.organisation_id,
        col(WebhookEvent.seq) > endpoint.from_seq,
        col(WebhookEvent.seq) <= endpoint.after_seq,
    ]
    if endpoint.kinds:
        wanted.append(col(WebhookEvent.kind).in_(endpoint.kinds))
    events = reader.rows(WebhookEvent, *wanted, order=(col(WebhookEvent.seq),), judged=False)
    mine = WebhookDelivery.endpoint_id == endpoint.id
    told = reader.rows(WebhookDelivery, mine, order=(col(WebhookDelivery.event_seq),), judged=False)
    for event, delivery in zip_longest(events, told):
        asked, given = (None if event is None else event.seq), (None if delivery is None else delivery.event_seq)
        found.look(
            asked == given,
            f"{name} (organisation_id {endpoint.organisation_id}, kinds {endpoint.kinds}, after_seq "
            f"{endpoint.after_seq}): its next event is {asked}, it was told {given}",
        )
        if asked != given:
            return  # one is wanting: all after it would be told of too
