"""Webhooks: where firms are told of what concerns them, what they are told, and how it went."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Column, Index
from sqlmodel import Field

from swap.tables.base import Base, json_field


class WebhookEndpoint(Base, table=True):
    """An address of a firm. It is told events one after the other; `after_seq` is how far it has come."""

    __tablename__ = "webhook_endpoint"
    __table_args__ = (
        CheckConstraint("after_seq >= from_seq", name="forward"),
        CheckConstraint("(failures > 0) = (next_try_at IS NOT NULL)", name="tried_again"),
        CheckConstraint("(ended_at IS NULL) = (ended_why = '')", name="ended_why"),
    )
    id: str = Field(primary_key=True, max_length=32)
    organisation_id: str = Field(foreign_key="party.id", max_length=32, index=True)
    url: str = Field(max_length=400)
    kinds: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """What it is told of; empty: everything."""
    secret_no: int = 1
    """With the id and the secret of the server it makes the secret, so that this row alone is worth nothing."""
    previous_until_at: datetime | None = None
    """Until when the secret before signs too; real time."""
    from_seq: int = Field(sa_type=BigInteger)
    """The newest event when it was made, or the last that was taken away for its age: it is told of later ones."""
    after_seq: int = Field(sa_type=BigInteger)
    """The last event that it was told, or that was given up."""
    failures: int = 0
    """Tries in a row of the event after that."""
    next_try_at: datetime | None = None
    """When it is tried again, in real time; None: at once."""
    claimed_until_at: datetime | None = None
    """Until when a process sends to it, in real time; no other one does meanwhile. None: nobody does."""
    made_at: datetime
    """Real time."""
    ended_at: datetime | None = None
    ended_why: str = Field(default="", max_length=16)
    """owner: its firm has ended it; gone: it has answered with 410; empty while it is used."""


class WebhookEvent(Base, table=True):
    """Something that a firm with an endpoint is told of: the outbox. Never changed; taken away when it is old, once no
    endpoint is told of it any more.

    What commerce does is written here in the same transaction; what a station's journal tells is taken from there once,
    together with the mark of how far it was read.
    """

    __tablename__ = "webhook_event"
    __table_args__ = (
        Index("ix_webhook_event_of_organisation", "organisation_id", "seq"),
        Index("ix_webhook_event_by_kind", "organisation_id", "kind", "seq"),
    )
    seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    """From 1 without gaps, in the order of commits."""
    id: str = Field(max_length=32, unique=True)
    """What the receiver knows it by (`webhook-id`)."""
    organisation_id: str = Field(foreign_key="party.id", max_length=32)
    kind: str = Field(max_length=32)
    at: datetime
    """When it happened, in the time of the station."""
    about: str = Field(max_length=64)
    """What it is about: id of the booking, swap, bill, invoice, contract or payment."""
    data: dict[str, Any] = json_field()
    digest: str = Field(default="", max_length=64)


class WebhookDelivery(Base, table=True):
    """How an event went to an endpoint in the end."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (CheckConstraint("tries > 0", name="tries"),)
    endpoint_id: str = Field(primary_key=True, foreign_key="webhook_endpoint.id", max_length=32)
    event_seq: int = Field(primary_key=True, foreign_key="webhook_event.seq", sa_type=BigInteger)
    outcome: str = Field(max_length=16)
    """delivered; dead: given up after the last try."""
    tries: int
    status: int
    """HTTP status of the last try; 0: no answer."""
    ended_at: datetime
    """Real time."""


class WebhookMark(Base, table=True):
    """How far the journal of a station was read for webhooks."""

    __tablename__ = "webhook_mark"
    station_id: str = Field(primary_key=True, foreign_key="station.id", max_length=32)
    seq: int = Field(sa_type=BigInteger)
