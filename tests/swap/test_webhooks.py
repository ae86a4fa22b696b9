"""Webhooks: told with the fact, signed, in order, tried again, given up, replayed, and to the own firm only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlmodel import delete, select

from swap.audit import audit
from swap.commerce.bills.closing import close_period
from swap.commerce.bills.issuing import bill_completed_swaps, reverse_bill
from swap.commerce.bookings.store import cancel_booking, make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.commerce.leases.contracts import draft
from swap.commerce.payments.refunds import refund
from swap.commerce.payments.taking import NewPayment, take
from swap.commerce.webhooks.endpoints import (
    BOTH_SIGN,
    MOST,
    end_endpoint,
    get_webhook,
    list_deliveries,
    make_endpoint,
    renew_secret,
    replay,
    secret_of,
)
from swap.commerce.webhooks.hosts import AllowedHosts
from swap.commerce.webhooks.kinds import WebhookKind
from swap.commerce.webhooks.pump import CLAIM_S, DELAYS_S, WebhookPump
from swap.commerce.webhooks.retention import KEPT, forget_events
from swap.config.station_file import StationConfig
from swap.errors import Conflict, InvalidInput, NotFound
from swap.store import Store
from swap.tables import Swap, WebhookEvent
from tests.support.swap.commerce import AT, STATION, arrive, charge_packs, exchange, filled_store, station
from tests.support.swap.leases import WHO, terms
from tests.support.swap.receiving import Receiver, Seconds

SECRET = "the secret of the server of the tests"
HERE = AllowedHosts(("fleet.example", "op.example:8443"), development=True)
FLEET, OPERATOR = "https://fleet.example/told", "https://op.example:8443/told"


@dataclass
class Site:
    """A station, its pump, and receivers by address."""

    store: Store
    config: StationConfig
    time: Seconds = field(default_factory=Seconds)
    receivers: dict[str, Receiver] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pump = WebhookPump(self.store, STATION, SECRET, HERE, self.time, self._post)

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        return await self.receivers[url](url, body, headers)

    def listen(self, firm: str = "fleet", url: str = FLEET, *kinds: WebhookKind) -> tuple[str, Receiver]:
        """A new endpoint of a firm, and what receives there."""
        with self.store.commerce() as db:
            webhook_id = make_endpoint(db, firm, url, kinds, self.time(), HERE).webhook_id
            self.receivers[url] = Receiver(secret_of(db, webhook_id, SECRET))
        return webhook_id, self.receivers[url]

    def look(self) -> None:
        """One look of the pump."""
        asyncio.run(self.pump.cycle())

    def book(self, vehicle: str = "V0") -> str:
        """A booking of a truck, made and cancelled: two events."""
        with self.store.station(STATION) as db:
            window = Wanted(vehicle, AT, AT + timedelta(minutes=30))
            booking_id = make_booking(db, self.config, window, at=AT).booking_id
            cancel_booking(db, booking_id, at=AT)
        return booking_id

    def next_try_at(self, webhook_id: str) -> Any:
        with self.store.reading_commerce() as db:
            return get_webhook(db, webhook_id).next_try_at

    def outcomes(self, webhook_id: str) -> list[tuple[str | None, int]]:
        """Outcome and tries of each event, the oldest first."""
        with self.store.reading_commerce() as db:
            records = list_deliveries(db, webhook_id, limit=500).items
        return [(one.outcome, one.tries) for one in reversed(records)]


@pytest.fixture
def site(database_url: str) -> Iterator[Site]:
    config = station()
    with filled_store(database_url, config) as store:
        charge_packs(store)
        yield Site(store, config)


@pytest.fixture
def small(sqlite_url: str) -> Iterator[Site]:
    config = station()
    with filled_store(sqlite_url, config) as store:
        charge_packs(store)
        yield Site(store, config)


def test_a_firm_is_told_its_own_in_order_and_signed(site: Site) -> None:
    site.book()  # before anybody listens
    _, fleet = site.listen()
    _, operator = site.listen("op", OPERATOR)
    booking_id = site.book("V1")
    swap_id = arrive(site.store, site.config, "V0").swap_id
    exchange(site.store, swap_id)
    (bill_id,) = bill_completed_swaps(site.store, STATION, AT + timedelta(hours=1))
    with site.store.station(STATION) as station_db:
        reverse_bill(station_db, bill_id, at=AT + timedelta(hours=2), name="Li", reason="wrong")
    site.look()
    journal = ["booking.promised", "booking.ended", "swap.ended", "bill.issued", "bill.reversed"]
    assert fleet.kinds == operator.kinds == journal
    assert not set(fleet.messages) & set(operator.messages), "an event of each firm has its own id"
    first, _, ended, issued, _ = fleet.messages.values()
    assert first["data"] | {"event_id": 0} == {
        "booking_id": booking_id,
        "href": f"/api/v1/bookings/{booking_id}",
        "station_id": STATION,
        "event_id": 0,
        "vehicle_id": "V1",
        "window_start_at": "2026-11-01T08:00:00+00:00",
        "window_end_at": "2026-11-01T08:30:00+00:00",
        "promised_in": "automatic",
    }
    assert (ended["data"]["swap_id"], ended["data"]["state"]) == (swap_id, "completed")
    assert issued["data"]["bill_id"] == bill_id
    later = AT + timedelta(days=40)
    with site.store.commerce() as db:
        draft(db, terms(lessor_id="own", first_day="2027-01-01"), at=later, actor=WHO)
        payment, _ = take(db, NewPayment("bank", "N1", "fleet", "op", 5000), later)
        refund(db, payment.id, 100, reference="back", reason="paid twice", at=later)
    close_period(site.store, "2026-11", at=later, zone=site.config.station.zone, name="Li")
    site.look()
    assert fleet.kinds[5:] == ["contract.changed", "payment.taken", "payment.refunded", "invoice.issued"]
    assert operator.kinds[5:] == ["payment.taken", "payment.refunded", "invoice.issued"]
    assert fleet.came == list(fleet.messages)
    site.look()
    assert len(fleet.came) == 9, "nothing is told twice"
    assert _audited(site) == {}


def test_a_receiver_that_is_away_for_an_hour_gets_everything_in_order(site: Site) -> None:
    webhook_id, fleet = site.listen()
    fleet.status = 0
    began_at = site.time.at
    while site.time.at < began_at + timedelta(hours=1):
        site.book()
        site.look()
        again_at = site.next_try_at(webhook_id)
        assert again_at is not None
        site.time.at = max(again_at, site.time.at + timedelta(seconds=60))
    fleet.status = 200
    site.time.at = site.next_try_at(webhook_id) or site.time.at
    site.look()
    with site.store.reading_commerce() as db:
        told = [row.id for row in db.exec(select(WebhookEvent).order_by(WebhookEvent.seq))]  # type: ignore[arg-type]
    assert len(told) > 10
    assert list(fleet.messages) == fleet.came == told
    tries = [count for _, count in site.outcomes(webhook_id)]
    assert tries[0] > 5
    assert set(tries[1:]) == {1}


def test_what_is_given_up_is_passed_over_and_can_be_replayed(small: Site) -> None:
    webhook_id, fleet = small.listen()
    small.book()
    fleet.status = 500
    waited_s = []
    for _ in DELAYS_S:
        small.look()
        again_at = small.next_try_at(webhook_id)
        assert again_at is not None
        waited_s.append((again_at - small.time.at).total_seconds())
        small.time.step(waited_s[-1] - 1)
        small.look()
        assert len(fleet.came) == len(waited_s), "not before its time"
        small.time.step(1)
    assert tuple(waited_s) == DELAYS_S
    assert 24 <= sum(waited_s) / 3600 < 25, "a little over a day"
    small.look()
    assert small.outcomes(webhook_id)[0] == ("dead", len(DELAYS_S) + 1)
    fleet.status = 204
    small.look()
    assert fleet.kinds == ["booking.ended"]
    (dead, _) = dict.fromkeys(fleet.came)
    with small.store.commerce() as db:
        replay(db, webhook_id, dead)
    small.look()
    assert fleet.came[-2:] == [dead, next(iter(fleet.messages))]
    assert small.outcomes(webhook_id) == [("delivered", 1)] * 2
    with small.store.commerce() as db, pytest.raises(NotFound):
        replay(db, webhook_id, "ev-other")


def test_a_process_that_ends_before_its_record_sends_the_same_again(
    small: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, fleet = small.listen()
    small.book()
    with monkeypatch.context() as killed:
        killed.setattr(WebhookPump, "_record", _killed)
        small.look()
    assert "InterruptedError" in caplog.text
    small.time.step(CLAIM_S - 1)
    small.look()
    assert len(fleet.came) == 1, "the process may still be at it"
    small.time.step(1)
    small.look()
    assert fleet.came == [next(iter(fleet.messages)), *fleet.messages]
    assert fleet.kinds == ["booking.promised", "booking.ended"]


def _killed(*_: object) -> bool:
    raise InterruptedError


class Waiting(Receiver):
    """Answers when it is let."""

    def __init__(self, secret: str) -> None:
        super().__init__(secret)
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.asked.set()
        await self.let.wait()
        return await super().__call__(url, body, headers)


async def test_a_slow_receiver_delays_nobody_else(small: Site) -> None:
    """Not even later looks."""
    _, fleet = small.listen()
    _, operator = small.listen("op", OPERATOR)
    slow = Waiting(fleet.secret)
    small.receivers[FLEET] = slow
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for events in (2, 4):
            small.book()
            await small.pump.look(tasks)
            await slow.asked.wait()
            while len(operator.came) < events:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert slow.came == []
        slow.let.set()
    assert len(slow.came) == 4


async def test_it_ends_while_somebody_is_waited_for(small: Site) -> None:
    _, fleet = small.listen()
    slow = Waiting(fleet.secret)
    small.receivers[FLEET] = slow
    small.book()
    task = asyncio.create_task(small.pump.run())
    await slow.asked.wait()
    task.cancel()
    await asyncio.wait([task], timeout=30)
    assert task.cancelled()


async def test_two_processes_send_everything_once(site: Site) -> None:
    """While one of them sends to an endpoint the other one does not, and it goes on where that one has ended."""
    webhook_id, fleet = site.listen()
    slow = Waiting(fleet.secret)
    site.receivers[FLEET] = slow
    site.book()
    other_store = Store(site.store.url)
    other = Site(other_store, site.config, site.time, site.receivers)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        await site.pump.look(tasks)
        await slow.asked.wait()
        site.time.step(CLAIM_S - 1)
        await other.pump.cycle()
        assert slow.came == []
        site.time.step(1)
        slow.asked.clear()
        await other.pump.look(tasks)
        await slow.asked.wait()
        slow.let.set()
    other_store.close()
    first, second = slow.messages
    assert sorted(slow.came) == sorted([first, first, second]), "the first came again with its id, the second once"
    assert site.outcomes(webhook_id) == [("delivered", 1)] * 2


def test_it_is_told_with_the_fact_or_not_at_all(small: Site) -> None:
    _, fleet = small.listen()
    with pytest.raises(InterruptedError):
        _taken(small, _killed)
    small.look()
    assert fleet.came == []
    with small.store.commerce() as db:
        assert db.exec(select(WebhookEvent)).all() == []
    for _ in range(2):
        _taken(small)
    small.look()
    assert fleet.kinds == ["payment.taken"]


def _taken(site: Site, then: Callable[[], object] = bool, at: datetime = AT) -> None:
    with site.store.commerce() as db:
        take(db, NewPayment("bank", "N1", "fleet", "op", 5000), at)
        then()


def test_what_an_event_did_is_told_whatever_became_of_its_swap_since(small: Site) -> None:
    _, fleet = small.listen("fleet", FLEET, WebhookKind.SWAP_ENDED)
    swap_id = arrive(small.store, small.config, "V0").swap_id
    exchange(small.store, swap_id)
    with small.store.transaction() as db:
        db.get_one(Swap, swap_id).state = "returned"
    small.look()
    (message,) = fleet.messages.values()
    assert message["data"]["state"] == "completed"


def test_old_events_leave_and_the_numbers_go_on(site: Site) -> None:
    webhook_id, fleet = site.listen()
    waiting_id, operator = site.listen("op", OPERATOR, WebhookKind.BOOKING_ENDED)
    operator.status = 500
    site.book()
    site.look()
    _taken(site, at=AT + timedelta(days=1))
    site.look()
    old = next(iter(fleet.messages))
    assert forget_events(site.store, AT + KEPT - timedelta(seconds=1)) == 0
    with pytest.raises(DBAPIError, match="never changed"), site.store.commerce() as db:
        db.execute(delete(WebhookEvent))
    assert forget_events(site.store, AT + KEPT) == 4
    assert forget_events(site.store, AT + 2 * KEPT) == 1, "the newest stays"
    assert forget_events(site.store, AT + 2 * KEPT) == 0
    with site.store.reading_commerce() as db:
        (left,) = db.exec(select(WebhookEvent.seq)).all()
        assert get_webhook(db, waiting_id).failures == 0, "what it waited for is gone"
    assert left == 6
    with site.store.commerce() as db, pytest.raises(NotFound):
        replay(db, webhook_id, old)
    operator.status = 200
    site.book("V1")
    site.look()
    assert fleet.kinds[-2:] == ["booking.promised", "booking.ended"]
    assert operator.kinds == ["booking.ended"]
    assert site.outcomes(webhook_id)[-1] == ("delivered", 1)
    assert _audited(site) == {}


def _audited(site: Site) -> dict[str, tuple[str, ...]]:
    """What the audit finds in webhooks; each of its invariants has looked at something."""
    with site.store.reading() as whole:
        found = [one for one in audit(whole).invariants if one.name.startswith("webhook")]
    assert all(one.examined for one in found)
    return {one.name: one.violations for one in found if one.violations}


def test_only_the_kinds_that_are_asked_for(small: Site) -> None:
    webhook_id, fleet = small.listen("fleet", FLEET, WebhookKind.BOOKING_ENDED)
    small.book()
    small.look()
    assert fleet.kinds == ["booking.ended"]
    assert small.outcomes(webhook_id) == [("delivered", 1)]


def test_what_waits_is_found_by_its_kind(small: Site) -> None:
    """Not among all that the firm was told since."""
    small.listen("fleet", FLEET, WebhookKind.BOOKING_ENDED, WebhookKind.SWAP_ENDED)
    asked: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if "FROM webhook_event" in statement:
            asked.append((statement, values))

    listened = small.store._read_engine, "before_cursor_execute", note
    event.listen(*listened)
    small.look()
    event.remove(*listened)
    with small.store._read_engine.connect() as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", values).all() for one, values in asked]
    assert plans
    assert all("INDEX ix_webhook_event_by_kind (organisation_id=? AND kind=?" in str(plan) for plan in plans)


def test_a_renewed_secret_signs_with_the_old_one_for_a_day(small: Site) -> None:
    webhook_id, fleet = small.listen()
    old = fleet.secret
    with small.store.commerce() as db:
        renew_secret(db, webhook_id, small.time())
        new = secret_of(db, webhook_id, SECRET)
    assert new != old
    small.book()
    small.look()
    assert fleet.signatures == 2, "the old one is still good"
    small.time.step(BOTH_SIGN.total_seconds())
    fleet.secret = new
    small.book("V1")
    small.look()
    assert (fleet.signatures, len(fleet.messages)) == (1, 4)


def test_one_that_is_gone_or_ended_is_told_nothing(small: Site) -> None:
    webhook_id, fleet = small.listen()
    fleet.status = 410
    small.book()
    small.look()
    small.look()
    assert len(fleet.came) == 1
    with small.store.commerce() as db:
        record = get_webhook(db, webhook_id)
        assert (record.ended_why, record.ended_at) == ("gone", small.time())
        assert end_endpoint(db, webhook_id, small.time() + timedelta(hours=1)) == record
        with pytest.raises(Conflict):
            replay(db, webhook_id, fleet.came[0])


@pytest.mark.parametrize(
    ("url", "production", "development"),
    [
        ("https://fleet.example/told?a=1", True, True),
        ("https://FLEET.example:443/told", True, True),
        ("https://op.example:8443", True, True),
        ("http://127.0.0.1:9000/told", False, True),
        ("http://[::1]:9000/told", False, True),
        ("http://fleet.example/told", False, False),
        ("https://fleet.example:22/", False, False),
        ("https://op.example/", False, False),
        ("https://fleet.example.evil.example/", False, False),
        ("https://fleet.example@evil.example/", False, False),
        ("https://user@fleet.example/", False, False),
        ("https://169.254.169.254/latest/meta-data", False, False),
        ("https://10.0.0.1/", False, False),
        ("https://2130706433/", False, False),
        ("file:/etc/passwd", False, False),
        ("https://fleet.example:99999/", False, False),
        ("https://fleet.example/\r\nHost: other", False, False),
        ("https://fleet.example/\x7f", False, False),
        ("https://fleet.example/ü", False, False),
        ("https://xn--/", False, False),
        ("https://fleet.example:443\\@evil.example/", False, False),
    ],
)
def test_hosts_that_may_be_sent_to(url: str, production: bool, development: bool) -> None:
    for is_development, allowed in ((False, production), (True, development)):
        assert AllowedHosts(HERE.names, is_development).allow(url) is allowed


def test_bad_input_makes_no_endpoint(small: Site) -> None:
    with small.store.commerce() as db:
        with pytest.raises(InvalidInput, match=r"SWAP_WEBHOOK_HOSTS: fleet\.example, op\.example:8443"):
            make_endpoint(db, "fleet", "https://elsewhere.example", (), AT, HERE)
        for url in (FLEET + "\x7f", FLEET + " ", FLEET + "\t"):
            with pytest.raises(InvalidInput, match="visible ASCII characters"):
                make_endpoint(db, "fleet", url, (), AT, HERE)
        with pytest.raises(NotFound, match="firm"):
            make_endpoint(db, "nobody", FLEET, (), AT, HERE)
        for _ in range(MOST):
            make_endpoint(db, "fleet", FLEET, (), AT, HERE)
        with pytest.raises(Conflict, match="10 webhooks"):
            make_endpoint(db, "fleet", FLEET, (), AT, HERE)


def test_a_host_that_is_allowed_no_more_gets_nothing(small: Site) -> None:
    webhook_id, fleet = small.listen()
    small.book()
    small.pump = WebhookPump(small.store, STATION, SECRET, AllowedHosts(), small.time, fleet)
    small.look()
    assert fleet.came == []
    assert small.next_try_at(webhook_id) is not None
