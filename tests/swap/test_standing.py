"""Standing bookings: which days, which instants, what is made, left out, ended, and told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlmodel import col, select

from swap.commerce.bills import issuing
from swap.commerce.bills.issuing import run_commerce
from swap.commerce.bookings import keeping, standing
from swap.commerce.bookings import store as bookings
from swap.commerce.bookings.keeping import KeepingMark, keep_promises
from swap.commerce.bookings.standing import (
    Rule,
    begins_at,
    book_ahead,
    change_standing,
    days_due,
    end_standing,
    make_standing,
)
from swap.commerce.bookings.store import cancel_booking
from swap.commerce.errors import BookingNotUsable
from swap.config.station_file import StationConfig
from swap.errors import InvalidInput, NotFound
from swap.reading.bookings import list_standing
from swap.reading.records import StandingRecord
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Booking, StandingBooking, StationEvent
from tests.support.swap.commerce import AT, STATION, charge_packs, filled_store, station
from tests.swap.test_promises import audit_of_bookings

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
TODAY = AT.astimezone(SHANGHAI).date()
"""Sunday 2026-11-01, 16:00 at the station."""
DAY = timedelta(days=1)


@pytest.fixture
def config() -> StationConfig:
    return station(trucks=6, packs=4, bays=6)


@pytest.fixture
def store(sqlite_url: str, config: StationConfig) -> Iterator[Store]:
    with filled_store(sqlite_url, config) as store:
        charge_packs(store)
        yield store


def rule(vehicle: str = "V0", **changes: Any) -> Rule:
    values: dict[str, Any] = {
        "weekdays": (1, 2, 3, 4, 5),
        "local_time": time(7, 10),
        "window_min": 30,
        "starts_on": TODAY,
    }
    return Rule(vehicle, **(values | changes))


def make(store: Store, config: StationConfig, wanted: Rule, at: datetime = AT) -> StandingRecord:
    with store.station(STATION) as db:
        return make_standing(db, config, wanted, at=at)


def made(store: Store, standing_id: str) -> list[tuple[str, str]]:
    with store.reading() as db:
        query = select(Booking).where(Booking.standing_id == standing_id).order_by(col(Booking.standing_on))
        return [(str(row.standing_on), row.status) for row in db.exec(query)]


def test_every_weekday_within_the_horizon_is_booked_at_the_time_of_the_station(
    store: Store, config: StationConfig
) -> None:
    found = make(store, config, rule())
    week = [(TODAY + n * DAY).isoformat() for n in range(1, 6)]
    assert made(store, found.standing_id) == [(day, "booked") for day in week]
    with store.reading() as db:
        first = db.exec(select(Booking).order_by(col(Booking.window_start_at))).all()[0]
        assert first.window_start_at == datetime(2026, 11, 2, 7, 10, tzinfo=SHANGHAI).astimezone(UTC)
        assert first.window_end_at - first.window_start_at == timedelta(minutes=30)


def test_what_comes_into_the_horizon_is_booked_once(store: Store, config: StationConfig) -> None:
    found = make(store, config, rule())
    assert book_ahead(store, config, AT) == ()
    later = AT + 7 * DAY
    new = book_ahead(store, config, later)
    assert len(new) == 5
    assert book_ahead(store, config, later) == ()
    assert len(made(store, found.standing_id)) == 10
    with store.reading() as db:
        assert audit_of_bookings(db) == {}


def test_what_was_cancelled_for_one_day_is_not_booked_again(store: Store, config: StationConfig) -> None:
    found = make(store, config, rule())
    with store.station(STATION) as db:
        booking = db.exec(select(Booking).order_by(col(Booking.window_start_at))).all()[0]
        cancel_booking(db, booking.id, at=AT)
    assert book_ahead(store, config, AT + timedelta(minutes=1)) == ()
    assert [status for _, status in made(store, found.standing_id)] == ["cancelled"] + 4 * ["booked"]


def test_days_are_left_out_and_the_last_day_ends_the_rule(store: Store, config: StationConfig) -> None:
    out = TODAY + 2 * DAY
    found = make(store, config, rule(exceptions=(out,)))
    assert out.isoformat() not in dict(made(store, found.standing_id))
    with store.station(STATION) as db:
        changed = change_standing(
            db, config, found.standing_id, at=AT, exceptions=(out, TODAY + DAY), ends_on=TODAY + 3 * DAY
        )
    assert (changed.ends_on, len(changed.exceptions)) == ((TODAY + 3 * DAY).isoformat(), 2)
    assert [status for _, status in made(store, found.standing_id)] == ["cancelled", "booked", "cancelled", "cancelled"]
    assert book_ahead(store, config, AT + 5 * DAY) == ()
    with store.reading_station(STATION) as db:
        assert list_standing(db, status="ended").items[0].standing_id == found.standing_id
    with store.station(STATION) as db, pytest.raises(BookingNotUsable, match="has ended"):
        change_standing(db, config, found.standing_id, at=AT, exceptions=())
    with store.reading() as whole:
        assert audit_of_bookings(whole) == {}


def test_ending_cancels_what_nobody_has_used_and_may_be_repeated(store: Store, config: StationConfig) -> None:
    found = make(store, config, rule())
    for _ in range(2):
        with store.station(STATION) as db:
            assert end_standing(db, found.standing_id, at=AT).status == "ended"
    assert {status for _, status in made(store, found.standing_id)} == {"cancelled"}
    with store.station(STATION) as db, pytest.raises(NotFound):
        end_standing(db, "none", at=AT)


def test_a_day_that_cannot_be_promised_is_told_with_an_alternative(store: Store, config: StationConfig) -> None:
    """A lane serves three trucks in a quarter of an hour at the most."""
    for n in range(4):
        make(store, config, rule(f"V{n}", weekdays=(1,), window_min=15))
    late = make(store, config, rule("V4", weekdays=(1,), window_min=15))
    assert [status for _, status in made(store, late.standing_id)] == ["disrupted"]
    with store.reading() as db:
        row = db.exec(select(Booking).where(Booking.standing_id == late.standing_id)).one()
        assert row.alternative_start_at is not None
        events = db.exec(select(StationEvent).where(StationEvent.kind == "booking.disrupted")).all()
        assert row.id in [event.data["booking_id"] for event in events]


def test_a_day_on_which_the_truck_has_another_booking_is_left_out_and_told(store: Store, config: StationConfig) -> None:
    make(store, config, rule(weekdays=(1,)))
    second = make(store, config, rule(weekdays=(1, 2), local_time=time(7, 0)))
    assert [day for day, _ in made(store, second.standing_id)] == [(TODAY + 2 * DAY).isoformat()]
    with store.reading() as db:
        event = db.exec(select(StationEvent).where(StationEvent.kind == "booking.refused")).one()
        assert event.data["reason"] == "other_booking"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weekdays": ()}, "weekdays"),
        ({"weekdays": (0,)}, "weekdays"),
        ({"weekdays": (8,)}, "weekdays"),
        ({"window_min": 5}, "window_min"),
        ({"window_min": 1000}, "window_min"),
        ({"ends_on": TODAY - DAY}, "ends_on"),
        ({"kinds": ("nmc",)}, "kinds"),
        ({"packs": 3}, "packs"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_and_nothing_is_kept(
    store: Store, config: StationConfig, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(store, config, rule(**changes))
    assert caught.value.field == field
    with store.reading() as db:
        assert db.exec(select(StandingBooking)).all() == []


def days(zone: ZoneInfo, first: date, last: date, at: time) -> list[datetime]:
    return [
        start_at
        for _, start_at, _ in days_due(
            weekdays=range(1, 8),
            first=first,
            ends_on=last,
            exceptions=(),
            local_time=at,
            window_min=30,
            zone=zone,
            until_at=datetime(2030, 1, 1, tzinfo=UTC),
        )
    ]


def test_days_of_23_and_25_hours() -> None:
    """Berlin 2026: forward on 29 March at 02:00, back on 25 October at 03:00."""
    spring = days(BERLIN, date(2026, 3, 28), date(2026, 3, 30), time(7, 10))
    assert [b - a for a, b in pairwise(spring)] == [23 * timedelta(hours=1), DAY]
    autumn = days(BERLIN, date(2026, 10, 24), date(2026, 10, 26), time(7, 10))
    assert [b - a for a, b in pairwise(autumn)] == [25 * timedelta(hours=1), DAY]
    gap = begins_at(date(2026, 3, 29), time(2, 30), BERLIN)
    assert gap.astimezone(BERLIN).time() == time(3, 30)
    twice = begins_at(date(2026, 10, 25), time(2, 30), BERLIN)
    assert twice == datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "the first of the two"
    assert len(days(BERLIN, date(2026, 3, 29), date(2026, 3, 29), time(2, 30))) == 1
    assert len(days(BERLIN, date(2026, 10, 25), date(2026, 10, 25), time(2, 30))) == 1


@contextmanager
def counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many events each write transaction of the station has appended."""
    told: list[int] = []
    whole = store.station

    @contextmanager
    def one(*args: Any) -> Iterator[StationDb]:
        with whole(*args) as db:
            newest = db.newest_event()
            yield db
            last = db.newest_event()
            assert newest is not None
            assert last is not None
            told.append(last.seq - newest.seq)

    with monkeypatch.context() as patch:
        patch.setattr(store, "station", one)
        yield told


def test_no_transaction_of_commerce_grows_with_how_much_is_to_be_booked_broken_or_ended(
    store: Store, config: StationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controller waits for each of them: a week of standing bookings, a station that closes, a day that is over."""
    for number in range(4):
        make(store, config, rule(f"V{number}", weekdays=(1, 2, 3, 4, 5, 6, 7), local_time=time(7 + number, 10)))
    later = AT + 7 * DAY
    with counted(store, monkeypatch) as told:
        booked = book_ahead(store, config, later)
    assert len(booked) > 5
    assert sum(told) == len(booked)
    assert max(told) <= standing.AT_ONCE
    with store.station(STATION) as db:
        db.station().mode, db.station().mode_since_at = "closed", later
    monkeypatch.setattr(keeping, "AT_ONCE", 3)
    with counted(store, monkeypatch) as told:
        broken = keep_promises(store, config, later, KeepingMark())
    assert len(set(broken)) == len(broken) == sum(told) > keeping.AT_ONCE
    assert max(told) <= keeping.AT_ONCE
    monkeypatch.setattr(bookings, "ENDED_AT_ONCE", 3)
    monkeypatch.setattr(issuing, "ENDED_AT_ONCE", 3)
    with counted(store, monkeypatch) as told:
        ended = run_commerce(store, config, later + 10 * DAY).bookings_ended
    assert len(set(ended)) == len(ended) == sum(told) > 3
    assert max(told) <= 3
