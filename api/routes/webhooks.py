"""Webhooks of firms: addresses that are told, signed and in order, of what concerns them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response
from pydantic import Field

from api.access import Who, guarded_router
from api.deps import AnyDoors, InTime, Paged
from api.problems import declared
from api.schemas import FirmId, Input, Output, RecordId
from swap.commerce.webhooks.endpoints import (
    DeliveryRecord,
    WebhookRecord,
    end_endpoint,
    get_webhook,
    list_deliveries,
    list_endpoints,
    make_endpoint,
    renew_secret,
    replay,
    secret_of,
)
from swap.commerce.webhooks.kinds import WebhookKind
from swap.identity.view import require_firm, require_webhook
from swap.reading.records import Page

router = guarded_router(prefix="/webhooks", tags=["webhooks"])


class WebhookIn(Input):
    """An address that is to be told."""

    url: Annotated[str, Field(min_length=1, max_length=400, examples=["https://fleet.example/swaps"])]
    """By HTTPS, at a host that the operator of the server allows."""
    kinds: Annotated[tuple[WebhookKind, ...], Field(max_length=len(WebhookKind))] = ()
    """What it is told of; empty: everything."""
    organisation_id: FirmId | None = None
    """Firm that it belongs to; none: the own."""


class WebhookOut(Output):
    """An address, and its secret."""

    webhook: WebhookRecord
    """The address."""
    secret: str
    """`whsec_` and the key in base64, shown this once: messages are signed with it (Standard Webhooks)."""


class ReplayIn(Input):
    """From where on it is told again."""

    event_id: RecordId
    """`webhook-id` of the first message that is to come again."""


@router.post("", status_code=201, responses=declared(400, 404, 409, 422))
def make_webhook(body: WebhookIn, doors: AnyDoors, who: Who, response: Response) -> WebhookOut:
    """Have an address told of what concerns the firm from now on. Each message is sent until it is taken, those after
    it wait; a receiver takes each `webhook-id` once."""
    organisation_id = who.principal.organisation_id if body.organisation_id is None else body.organisation_id
    require_firm(who.view, organisation_id)
    with doors.store.commerce() as db:
        made = make_endpoint(
            db, organisation_id, body.url, body.kinds, doors.real_now(), doors.settings.webhook_targets
        )
        secret = secret_of(db, made.webhook_id, doors.settings.secret.get_secret_value())
    response.headers["Cache-Control"] = "no-store"
    return WebhookOut(webhook=made, secret=secret)


@router.get("", responses=declared(422))
def webhooks(doors: AnyDoors, who: Who, span: InTime, paging: Paged) -> Page[WebhookRecord]:
    """Addresses, ended ones too, newest first."""
    with doors.reading_commerce(who.view) as db:
        return list_endpoints(db, **span, **paging)


@router.get("/{webhook_id}", responses=declared(404))
def webhook(webhook_id: RecordId, doors: AnyDoors, who: Who) -> WebhookRecord:
    """One address and how it stands with it."""
    with doors.reading_commerce(who.view) as db:
        return get_webhook(db, webhook_id)


@router.delete("/{webhook_id}", responses=declared(404))
def end_webhook(webhook_id: RecordId, doors: AnyDoors, who: Who) -> WebhookRecord:
    """Tell an address nothing more. Again it changes nothing."""
    with doors.store.commerce() as db:
        require_webhook(db, who.view, webhook_id)
        return end_endpoint(db, webhook_id, doors.real_now())


@router.post("/{webhook_id}/secret", responses=declared(404))
def renew_webhook_secret(webhook_id: RecordId, doors: AnyDoors, who: Who, response: Response) -> WebhookOut:
    """Another secret, shown this once; for a day messages are signed with the one before too."""
    with doors.store.commerce() as db:
        require_webhook(db, who.view, webhook_id)
        renewed = renew_secret(db, webhook_id, doors.real_now())
        secret = secret_of(db, webhook_id, doors.settings.secret.get_secret_value())
    response.headers["Cache-Control"] = "no-store"
    return WebhookOut(webhook=renewed, secret=secret)


@router.post("/{webhook_id}/replay", status_code=202, responses=declared(404, 409))
def replay_webhook(webhook_id: RecordId, body: ReplayIn, doors: AnyDoors, who: Who) -> WebhookRecord:
    """Send again from a message on, that one and all after it, with the ids they had; at once."""
    with doors.store.commerce() as db:
        require_webhook(db, who.view, webhook_id)
        return replay(db, webhook_id, body.event_id)


@router.get("/{webhook_id}/deliveries", responses=declared(404, 422))
def webhook_deliveries(
    webhook_id: RecordId, doors: AnyDoors, who: Who, span: InTime, paging: Paged
) -> Page[DeliveryRecord]:
    """What it was told and is to be told, newest first."""
    with doors.reading_commerce(who.view) as db:
        return list_deliveries(db, webhook_id, **span, **paging)
