"""Sends what the outbox has: to each endpoint one event after the other, each until it is taken.

An event that is not taken is tried again after each of `DELAYS_S`, a little over a day in all, then given up; those
after it wait meanwhile, so that a receiver that was away gets everything in order. A process that ends between a
message and its record sends it again with the same id: the receiver takes each id once.

A task of its own: a receiver that is slow, away or hostile delays neither commerce nor the controller nor another one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
from sqlmodel import col, select
from tenacity import AsyncRetrying, RetryCallState, wait_exponential

from swap.commerce.webhooks.endpoints import end_endpoint, get_endpoint, wanted_events
from swap.commerce.webhooks.hosts import AllowedHosts
from swap.commerce.webhooks.kinds import DeliveryOutcome
from swap.commerce.webhooks.outbox import collect
from swap.commerce.webhooks.signing import endpoint_key, signature_headers
from swap.commerce_db import CommerceDb
from swap.errors import DatabaseAway
from swap.journal.canonical import canonical_instant
from swap.store import Store
from swap.tables import WebhookDelivery, WebhookEndpoint, WebhookEvent

DELAYS_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800)
"""Real seconds until an event is tried again, after each failed try; after one more failure it is given up."""
PERIOD_S = 1.0
"""Real seconds between two looks at the outbox."""
ANSWER_S = 10.0
"""Real seconds that a receiver has to answer in."""
AT_ONCE = 50
"""Events that an endpoint is told in one look."""
LONGEST_WAIT_S = 60.0
GONE = 410

log = logging.getLogger(__name__)

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Sends a body to an address; the HTTP status. Raises OSError, TimeoutError where no answer comes."""


async def post_over_http(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Send a message. No redirection is followed, and of the answer nothing is read but its status."""
    try:
        async with (
            asyncio.timeout(ANSWER_S),
            httpx.AsyncClient(timeout=ANSWER_S) as client,
            client.stream("POST", url, content=body, headers=dict(headers)) as answer,
        ):
            return answer.status_code
    except httpx.HTTPError as error:
        raise OSError(str(error) or type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class _Message:
    """An event on its way to an endpoint."""

    endpoint_id: str
    url: str
    secret_no: int
    previous_until_at: datetime | None
    seq: int
    event_id: str
    body: bytes


class WebhookPump:
    """Collects and sends, again and again.

    Args:
        station_id: the station whose journal is read.
        server_secret: what the secrets of endpoints are made of.
        real_now: real time: receivers look at it, and tries are counted by it.
        post: sends a message.
    """

    def __init__(
        self,
        store: Store,
        station_id: str,
        server_secret: str,
        allowed: AllowedHosts,
        real_now: Callable[[], datetime],
        post: Post = post_over_http,
    ) -> None:
        self._store = store
        self._station_id = station_id
        self._secret = server_secret
        self._allowed = allowed
        self._now = real_now
        self._post = post
        self._failing = False

    async def run(self) -> None:
        """Work until cancelled; never ends by a failure."""
        while True:
            async for attempt in AsyncRetrying(
                wait=wait_exponential(multiplier=1.0, max=LONGEST_WAIT_S), before_sleep=self._failed
            ):
                with attempt:
                    await self.cycle()
            self._failing = False
            await asyncio.sleep(PERIOD_S)

    def _failed(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, DatabaseAway):
            log.warning("webhooks wait: %s", error)
        elif not self._failing:
            log.error("webhooks fail and are tried again", exc_info=error)
        self._failing = True

    async def cycle(self) -> None:
        """One look at the journal and the outbox: every endpoint whose turn it is is told what waits for it."""
        await asyncio.to_thread(collect, self._store, self._station_id)
        due = await asyncio.to_thread(self._due)
        await asyncio.gather(*(self._tell(endpoint_id) for endpoint_id in due))

    def _due(self) -> list[str]:
        with self._store.reading_commerce() as db:
            rows = db.exec(select(WebhookEndpoint).where(col(WebhookEndpoint.ended_at).is_(None))).all()
            now = self._now()
            return [
                row.id
                for row in rows
                if (row.next_try_at is None or row.next_try_at <= now) and self._head(db, row) is not None
            ]

    @staticmethod
    def _head(db: CommerceDb, row: WebhookEndpoint) -> WebhookEvent | None:
        query = wanted_events(row).where(col(WebhookEvent.seq) > row.after_seq).limit(1)
        found: WebhookEvent | None = db.exec(query).first()
        return found

    async def _tell(self, endpoint_id: str) -> None:
        """Events in their order until one is not taken."""
        for _ in range(AT_ONCE):
            message = await asyncio.to_thread(self._next, endpoint_id)
            if message is None:
                return
            status = await self._try(message)
            if not await asyncio.to_thread(self._record, message, status):
                return

    def _next(self, endpoint_id: str) -> _Message | None:
        with self._store.reading_commerce() as db:
            row = get_endpoint(db, endpoint_id)
            event = None if row.ended_at is not None else self._head(db, row)
            if event is None:
                return None
            body = message_body(event)
            return _Message(row.id, row.url, row.secret_no, row.previous_until_at, event.seq, event.id, body)

    async def _try(self, message: _Message) -> int:
        """The status; 0 where no answer came."""
        if not self._allowed.allow(message.url):
            log.warning("webhook %s: %s is at no allowed host any more", message.endpoint_id, message.url)
            return 0
        now = self._now()
        numbers = [message.secret_no]
        if message.previous_until_at is not None and now < message.previous_until_at:
            numbers.append(message.secret_no - 1)
        keys = [endpoint_key(self._secret, message.endpoint_id, number) for number in numbers]
        headers = signature_headers(keys, message.event_id, int(now.timestamp()), message.body)
        try:
            return await self._post(message.url, message.body, {"Content-Type": "application/json"} | headers)
        except (OSError, TimeoutError) as error:
            log.debug("webhook %s: %s", message.endpoint_id, error)
            return 0

    def _record(self, message: _Message, status: int) -> bool:
        """Keep how a try went; whether the next event may follow."""
        now = self._now()
        with self._store.commerce() as db:
            row = get_endpoint(db, message.endpoint_id)
            if row.ended_at is not None or message.seq <= row.after_seq or self._moved(db, row, message.seq):
                return row.ended_at is None  # ended or replayed meanwhile
            if status == GONE:
                end_endpoint(db, row.id, now, "gone")
                return False
            tries = row.failures + 1
            taken = 200 <= status < 300
            if taken or tries > len(DELAYS_S):
                db.add(
                    WebhookDelivery(
                        endpoint_id=row.id,
                        event_seq=message.seq,
                        outcome=(DeliveryOutcome.DELIVERED if taken else DeliveryOutcome.DEAD).value,
                        tries=tries,
                        status=status,
                        ended_at=now,
                    )
                )
                row.after_seq, row.failures, row.next_try_at = message.seq, 0, None
            else:
                row.failures, row.next_try_at = tries, now + timedelta(seconds=DELAYS_S[tries - 1])
            db.add(row)
            if not taken and tries == 1:
                log.warning("webhook %s of %s is not taken: status %d", row.id, row.organisation_id, status)
            return taken

    def _moved(self, db: CommerceDb, row: WebhookEndpoint, seq: int) -> bool:
        """Whether another event than the one that was sent is next."""
        head = self._head(db, row)
        return head is None or head.seq != seq


def message_body(event: WebhookEvent) -> bytes:
    """What is sent: the same bytes at each try."""
    said = {"type": event.kind, "timestamp": canonical_instant(event.at), "data": event.data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
