"""The record of changes: who changed what of an account or key, and what stood there before."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlmodel import col, select

from swap.identity_db import IdentityDb
from swap.paging import Order, between, cut
from swap.register.persons import shown_actor
from swap.tables import AccessChange


class AccessChangeRecord(BaseModel):
    """One change."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    change_id: int
    """Number of the change; later ones have larger numbers."""
    at: datetime
    """When it was, in real time."""
    actor: str
    """Name of the person, or the machine or command, that did it."""
    actor_id: str
    """The same as `person:` and an id, `api_key:` and an id, or a machine's name."""
    kind: str
    """What was done, such as `user_created`, `roles`, `disabled`, `password`, `key_revoked`."""
    subject: str
    """Id of the account or key."""
    before: dict[str, Any]
    """What was changed, as it was; no secrets."""
    after: dict[str, Any]
    """What was changed, as it is now; no secrets."""


def note(
    db: IdentityDb,
    kind: str,
    subject: str,
    *,
    actor: str,
    at: datetime,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Record a change; no secret and no hash is among its values."""
    db.add(AccessChange(at=at, actor=actor, kind=kind, subject=subject, before=before or {}, after=after or {}))


def list_changes(
    db: IdentityDb,
    *,
    subject: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[tuple[AccessChangeRecord, ...], str | None]:
    """Changes, newest first, and the cursor of the next page: all or those of one account or key, or of a time."""
    query = select(AccessChange).where(*between(col(AccessChange.at), from_at, to_at))
    if subject is not None:
        query = query.where(AccessChange.subject == subject)
    query = Order(col(AccessChange.id)).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id)
    records = (
        AccessChangeRecord(
            change_id=row.id or 0,
            at=row.at,
            actor=shown_actor(db, row.actor),
            actor_id=row.actor,
            kind=row.kind,
            subject=row.subject,
            before=row.before,
            after=row.after,
        )
        for row in rows
    )
    return tuple(records), following
