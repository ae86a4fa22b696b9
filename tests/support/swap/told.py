"""Webhooks of an audited day: one that is told everything, one that fails, one that has ended; and their damage."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from threading import Thread

from swap.commerce.webhooks.endpoints import end_endpoint, make_endpoint
from swap.commerce.webhooks.hosts import AllowedHosts
from swap.commerce.webhooks.kinds import WebhookKind
from swap.commerce.webhooks.pump import WebhookPump
from swap.store import Store

REAL_AT = datetime(2026, 9, 1, 12, tzinfo=UTC)
HOSTS = AllowedHosts(("fleet.example", "op.example", "owner.example"))
WELL = "https://fleet.example/told"


def listen(store: Store) -> None:
    """Before anything happens: the fleet is told of contracts, bookings and swaps, the others of more."""
    with store.commerce() as db:
        swaps = (WebhookKind.CONTRACT_CHANGED, WebhookKind.BOOKING_PROMISED, WebhookKind.SWAP_ENDED)
        money = (WebhookKind.PAYMENT_TAKEN,)
        first, second, third = (REAL_AT + timedelta(seconds=number) for number in range(3))  # so they are in this order
        make_endpoint(db, "fleet", WELL, swaps, first, HOSTS)
        make_endpoint(db, "op", "https://op.example/told", (), second, HOSTS)
        owner = make_endpoint(db, "owner", "https://owner.example/told", money, third, HOSTS)
        end_endpoint(db, owner.webhook_id, third)


def deliver(store: Store, station_id: str) -> None:
    """The fleet's receiver takes what it is told; the operator's breaks after the first."""
    others = list[str]()

    async def post(url: str, _body: bytes, _headers: Mapping[str, str]) -> int:
        if url != WELL:
            others.append(url)
        return 200 if url == WELL or len(others) == 1 else 500

    pump = WebhookPump(store, station_id, "a secret of the tests", HOSTS, lambda: REAL_AT, post)
    # On a loop of its own: the day runs on one.
    thread = Thread(target=lambda: asyncio.run(pump.cycle()))
    thread.start()
    thread.join()


FIRST = "(SELECT min(event_seq) FROM webhook_delivery)"
WEBHOOK_DAMAGE: dict[str, tuple[str, ...]] = {
    "webhook_events_sealed": (
        "UPDATE webhook_event SET data = '{}' WHERE seq = 1",
        "UPDATE webhook_event SET organisation_id = 'owner' WHERE seq = 2",
        "UPDATE webhook_event SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM webhook_event)",
        "DELETE FROM webhook_event WHERE seq = 1",
    ),
    "webhook_outcome_fits": (
        "UPDATE webhook_delivery SET outcome = 'dead'",
        "UPDATE webhook_delivery SET status = 500",
    ),
    "webhook_told_in_order": (
        f"DELETE FROM webhook_delivery WHERE event_seq = {FIRST}",
        f"UPDATE webhook_delivery SET event_seq = event_seq + 1 WHERE event_seq = {FIRST}",
        "UPDATE webhook_endpoint SET after_seq = from_seq WHERE organisation_id = 'fleet'",
        "UPDATE webhook_endpoint SET from_seq = from_seq - 1 WHERE organisation_id = 'fleet'",
        "UPDATE webhook_endpoint SET kinds = '[]' WHERE organisation_id = 'fleet'",
        "UPDATE webhook_endpoint SET organisation_id = 'op' WHERE organisation_id = 'fleet'",
        "UPDATE webhook_endpoint SET failures = 0 WHERE organisation_id = 'op'",
        "UPDATE webhook_endpoint SET ended_why = '' WHERE organisation_id = 'owner'",
    ),
    "webhook_mark_in_journal": (
        "UPDATE webhook_mark SET seq = 99999999",
        "UPDATE webhook_mark SET seq = -1",
    ),
}
"""By invariant: scripts, each of which it must find."""
