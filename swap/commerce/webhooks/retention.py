"""How long the outbox is kept: as long as a firm may ask to be told again."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile

from sqlmodel import col, delete, select

from swap.commerce.webhooks.endpoints import wanted_events
from swap.commerce.webhooks.outbox import newest_seq
from swap.store import Store
from swap.tables import WebhookDelivery, WebhookEndpoint, WebhookEvent

KEPT = timedelta(days=90)
"""Of every firm and station alike, for the outbox is one."""
LOT = 500
"""Old events that are taken away in one transaction."""


def forget_events(store: Store, now: datetime) -> int:
    """Take away the events that are older and how they were sent, one lot; how many there were.

    What an endpoint was not told in all that time it is told no more. The newest event stays: the numbers go on from
    it. The database refuses to delete what an endpoint may still be told.

    Args:
        now: in the time of the events.

    Raises:
        DatabaseAway: the database cannot be used now.
    """
    with store.reading_commerce() as db:
        oldest = db.exec(select(WebhookEvent.seq, WebhookEvent.at).order_by(col(WebhookEvent.seq)).limit(LOT)).all()
        newest = newest_seq(db)
    old = [seq for seq, _ in takewhile(lambda event: event[1] <= now - KEPT and event[0] < newest, oldest)]
    if not old:
        return 0
    last = old[-1]
    with store.commerce() as db:
        for row in db.exec(select(WebhookEndpoint).where(col(WebhookEndpoint.from_seq) < last)):
            waiting = wanted_events(row, row.after_seq).where(col(WebhookEvent.seq) <= last)
            if db.exec(waiting.limit(1)).first() is not None:
                row.failures, row.next_try_at = 0, None  # they were those of an event that leaves
            row.from_seq, row.after_seq = last, max(row.after_seq, last)
            db.add(row)
        db.flush()
        db.execute(delete(WebhookDelivery).where(col(WebhookDelivery.event_seq) <= last))
        db.execute(delete(WebhookEvent).where(col(WebhookEvent.seq) <= last))
    return len(old)
