"""Sends what the outbox has: to each endpoint one event after the other, each until it is taken.

An event that is not taken is tried again after each of `DELAYS_S`, a little over a day in all, then given up; those
after it wait meanwhile, so that a receiver that was away gets everything in order.

Each endpoint is told by a task of its own: a receiver that is slow, away or hostile delays neither commerce nor the
controller nor another one. Every process of a database sends to every endpoint, so one claims an endpoint before it
sends to it, for `CLAIM_S`. A process that ends between a message and its record leaves its claim to run out; then the
message is sent again with the same id: the receiver takes each id once.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from sqlmodel import col, func, select
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

DELAYS_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 32_400)
"""Real seconds until an event is tried again, after each failed try; after one more failure it is given up."""
PERIOD_S = 1.0
"""Real seconds between two looks at the outbox."""
ANSWER_S = 10.0
"""Real seconds that a receiver has to answer in."""
CLAIM_S = 60.0
"""Real seconds for which an endpoint is one process's: more than a try and its record take."""
LONGEST_WAIT_S = 60.0
GONE = 410

log = logging.getLogger(__name__)

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Sends a body to an address; the HTTP status. Raises OSError, TimeoutError where no answer comes."""


@asynccontextmanager
async def over_http() -> AsyncIterator[Post]:
    """Sends by HTTP, until it is left. No redirection is followed, no cookie kept, and of the answer nothing is read
    but its status. No receiver waits for the connection of another one."""
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=ANSWER_S, cookies=no_cookies, limits=limits) as client:

        async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
            try:
                async with (
                    asyncio.timeout(ANSWER_S),
                    client.stream("POST", url, content=body, headers=dict(headers)) as answer,
                ):
                    return answer.status_code
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise OSError(str(error) or type(error).__name__) from error

        yield post


@dataclass(frozen=True, slots=True)
class _Message:
    """An event on its way to an endpoint."""

    endpoint_id: str
    url: str
    secret_no: int
    previous_until_at: datetime | None
    claimed_until_at: datetime
    """It tells the claim from a later one."""
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
        post: Post,
    ) -> None:
        self._store = store
        self._station_id = station_id
        self._secret = server_secret
        self._allowed = allowed
        self._now = real_now
        self._post = post
        self._telling = set[str]()
        """Endpoints that a task is at."""
        self._failing = False

    async def run(self) -> None:
        """Work until cancelled; never ends by a failure."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                async for attempt in AsyncRetrying(
                    wait=wait_exponential(multiplier=1.0, max=LONGEST_WAIT_S), before_sleep=self._failed
                ):
                    with attempt:
                        await self.look(tasks)
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
        """One look, and everything told that was due then."""
        async with asyncio.TaskGroup() as tasks:
            await self.look(tasks)

    async def look(self, tasks: asyncio.TaskGroup) -> None:
        """One look at the journal and the outbox: every endpoint whose turn it is gets a task that tells it what waits
        for it, unless it has one already."""
        await asyncio.to_thread(collect, self._store, self._station_id)
        for endpoint_id in await asyncio.to_thread(self._due):
            if endpoint_id not in self._telling:
                self._telling.add(endpoint_id)
                tasks.create_task(self._tell(endpoint_id))

    def _due(self) -> list[str]:
        with self._store.reading_commerce() as db:
            rows = db.exec(select(WebhookEndpoint).where(col(WebhookEndpoint.ended_at).is_(None))).all()
            now = self._now()
            return [row.id for row in rows if _is_free(row, now) and self._head(db, row) is not None]

    @staticmethod
    def _head(db: CommerceDb, row: WebhookEndpoint) -> WebhookEvent | None:
        waiting = wanted_events(row, row.after_seq).order_by(None)
        # Not the first of an order: for several kinds it would be looked for among all events of the firm.
        seq = db.execute(waiting.with_only_columns(func.min(WebhookEvent.seq))).scalar()
        return None if seq is None else db.get(WebhookEvent, seq)

    async def _tell(self, endpoint_id: str) -> None:
        """Events in their order until one is not taken. What fails is logged; its claim runs out, and it is tried
        again."""
        try:
            message = await asyncio.to_thread(self._claim, endpoint_id)
            while message is not None:
                status = await self._try(message)
                message = await asyncio.to_thread(self._record, message, status)
        except DatabaseAway as error:
            log.warning("webhook %s waits: %s", endpoint_id, error)
        except Exception:
            log.exception("webhook %s fails and is tried again", endpoint_id)
        finally:
            self._telling.discard(endpoint_id)

    def _claim(self, endpoint_id: str) -> _Message | None:
        """The next message to an endpoint, which nobody else sends to meanwhile; None where somebody does."""
        with self._store.commerce() as db:
            return self._next(db, get_endpoint(db, endpoint_id), self._now())

    def _next(self, db: CommerceDb, row: WebhookEndpoint, now: datetime) -> _Message | None:
        event = self._head(db, row) if row.ended_at is None and _is_free(row, now) else None
        if event is None:
            return None
        row.claimed_until_at = now + timedelta(seconds=CLAIM_S)
        db.add(row)
        return _Message(
            row.id,
            row.url,
            row.secret_no,
            row.previous_until_at,
            row.claimed_until_at,
            event.seq,
            event.id,
            message_body(event),
        )

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

    def _record(self, message: _Message, status: int) -> _Message | None:
        """Keep how a try went and end the claim, or go on with the next message."""
        now = self._now()
        with self._store.commerce() as db:
            row = get_endpoint(db, message.endpoint_id)
            if row.claimed_until_at != message.claimed_until_at:
                return None  # it took so long that another process has gone on
            row.claimed_until_at = None
            db.add(row)
            if row.ended_at is not None:
                return None
            head = self._head(db, row)
            if head is None or head.seq != message.seq:
                return self._next(db, row, now)  # replayed meanwhile
            if status == GONE:
                end_endpoint(db, row.id, now, "gone")
                return None
            tries = row.failures + 1
            taken = 200 <= status < 300
            if not taken and tries == 1:
                log.warning("webhook %s of %s is not taken: status %d", row.id, row.organisation_id, status)
            if not taken and tries <= len(DELAYS_S):
                row.failures, row.next_try_at = tries, now + timedelta(seconds=DELAYS_S[tries - 1])
                return None
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
            return self._next(db, row, now) if taken else None


def _is_free(row: WebhookEndpoint, now: datetime) -> bool:
    """Whether an endpoint may be sent to: nobody does, and it waits for no later try."""
    return all(at is None or at <= now for at in (row.claimed_until_at, row.next_try_at))


def message_body(event: WebhookEvent) -> bytes:
    """What is sent: the same bytes at each try."""
    said = {"type": event.kind, "timestamp": canonical_instant(event.at), "data": event.data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
