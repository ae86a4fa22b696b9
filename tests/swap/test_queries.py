"""Reading the live state and lists, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlmodel import select

from swap.commerce.bookings.store import make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.config.loading import load_station
from swap.config.seed import sync_station
from swap.errors import InvalidInput, NotFound
from swap.identity.principal import Sight, View
from swap.identity.view import narrow
from swap.messages.requests import Hold
from swap.paging import cut, make_cursor, number_in, read_cursor
from swap.reading.lists import (
    get_bill,
    get_booking,
    get_swap,
    latest_at,
    latest_ended,
    list_bills,
    list_bookings,
    list_events,
    list_swaps,
)
from swap.reading.now import get_pack, get_station, list_packs, live_mark, site_history, station_state
from swap.reading.records import BookingRecord, PackRecord
from swap.station.requests import get_request, latest_requests, make_request
from swap.store import Store
from swap.tables import Booking, Pack, SiteSample
from tests.support.api.doors import NOW, STATION_FILE, busy_day, filled_store
from tests.support.sim.plant import START_AT, station

STATION = "yangquan-mine"


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = filled_store(database_url)
    busy_day(store)
    yield store
    store.close()


def test_state_in_one_snapshot(store: Store) -> None:
    with store.reading_station(STATION) as db:
        state = station_state(db, load_station(STATION_FILE))
    assert [bay.position for bay in state.bays] == list(range(1, 10))
    assert state.bays[1].reserved_by == "sw-0004"
    assert state.lanes[0].swap is not None
    assert [entry.vehicle_id for entry in state.queue] == ["YQ-013", "YQ-020", "YQ-009"]
    assert state.site is not None
    assert state.site.limit_kw == 1500


def test_the_mark_moves_with_what_is_shown(store: Store) -> None:
    with store.reading_station(STATION) as db:
        before = live_mark(db, STATION)
    busy = load_station(STATION_FILE)
    with store.station(STATION) as db:
        make_request(db, station_id=busy.station.id, request=Hold(), name="Operator A", at=NOW)
    with store.reading_station(STATION) as db:
        after = live_mark(db, STATION)
        assert latest_requests(db, STATION)[0].kind == "hold"
        assert get_request(db, STATION, 1).requested_by == "Operator A"
    assert after > before


def test_pages_of_swaps_and_bills(store: Store) -> None:
    with store.reading_station(STATION) as db:
        whole = list_swaps(db, STATION, limit=100)
        assert whole.next_cursor is None
        first = list_swaps(db, STATION, limit=3)
        rest = list_swaps(db, STATION, limit=100, cursor=first.next_cursor)
        assert (*first.items, *rest.items) == whole.items
        one = list_bills(db, limit=1)
        other = list_bills(db, limit=5, cursor=one.next_cursor)
        assert [bill.bill_id for bill in (*one.items, *other.items)] == ["bl-0002", "bl-0001"]
        assert [s.swap_id for s in latest_ended(db, STATION, 2)] == ["sw-0003", "sw-0002"]


def test_money_and_energy_are_exact(store: Store) -> None:
    with store.reading_station(STATION) as db:
        bill = get_bill(db, STATION, "bl-0001")
    assert bill.total_yuan == Decimal("170.30")
    assert [line.energy_kwh for line in bill.lines] == [Decimal("179.27")] * 2
    assert bill.lines[1].unit_price_yuan_per_kwh == Decimal("0.4000")


def test_timeline_and_events_are_in_order(store: Store) -> None:
    with store.reading_station(STATION) as db:
        story = get_swap(db, STATION, "sw-0001")
        events = list_events(db, STATION, limit=1000).items
    assert [e.kind for e in story.timeline][-1] == "swap.completed"
    assert [e.event_id for e in events] == list(range(1, len(events) + 1))


def test_places_and_samples(store: Store) -> None:
    with store.reading_station(STATION) as db:
        places = {pack.place.split(":")[0] for pack in list_packs(db, STATION, limit=500).items}
        samples = site_history(db, STATION, 3)
    assert places <= {"bay", "vehicle", "gripper", "tank", "off_site"}
    assert [s.at for s in samples] == sorted(s.at for s in samples)


@pytest.mark.parametrize("cursor", ["", "nonsense", "MjAyNi0wMS0wMQ", "4pyT"])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        read_cursor(cursor)


def test_a_number_is_looked_for_in_the_cursor_of_a_list_by_number() -> None:
    rows, cursor = cut([7, 8, 9], 2, key=int)
    assert (list(rows), number_in(cursor or "")) == ([7, 8], 8)
    assert cut([7, 8], 2, key=int) == ([7, 8], None)
    for key in ("", "x", "-1", "²", str(2**63)):
        with pytest.raises(InvalidInput, match="cursor"):
            number_in(make_cursor(NOW, key))


def test_an_unknown_station_is_not_found(store: Store) -> None:
    with store.reading_station(STATION) as db, pytest.raises(NotFound):
        get_station(db, "elsewhere")


def test_station_time_goes_on_behind_the_newest_event_and_sample(database_url: str) -> None:
    """Each start after the first reads it: a killed station that was idle has samples behind its last event."""
    store = Store(database_url)
    assert latest_at(store, "test") is None
    sync_station(store, station(), START_AT)
    assert latest_at(store, "test") == START_AT
    for hours in (4, -4):
        at = START_AT + timedelta(hours=hours)
        row = SiteSample(station_id="test", at=at, import_kw=40.0, limit_kw=900.0, ready_packs=0, queue_length=0)
        with store.station("test") as db:
            db.add(row)
    assert latest_at(store, "test") == START_AT + timedelta(hours=4)
    store.close()


def test_lists_of_columns_tell_what_the_rows_tell_and_a_change_at_once(store: Store) -> None:
    def told() -> tuple[list[PackRecord], list[BookingRecord]]:
        with store.reading_station(STATION) as db:
            packs, bookings = list_packs(db, STATION).items, list_bookings(db, STATION).items
            assert list(packs) == [get_pack(db, STATION, pack.pack_id) for pack in packs]
            assert list(bookings) == [get_booking(db, STATION, one.booking_id) for one in bookings]
        return list(packs), list(bookings)

    packs, bookings = told()
    assert len(packs) > 5
    assert told() == (packs, bookings)
    with store.station(STATION) as db:
        config = load_station(STATION_FILE)
        wanted = Wanted("YQ-002", NOW + timedelta(hours=2), NOW + timedelta(hours=3))
        booked = make_booking(db, config, wanted, at=NOW)
        row = db.pack(packs[0].pack_id)
        assert row is not None
        row.soc_pct = 12.5
    later_packs, later_bookings = told()
    assert [booked] == [one for one in later_bookings if one not in bookings]
    assert later_packs[0] == packs[0].model_copy(update={"soc_pct": 12.5})
    assert later_packs[1:] == packs[1:]


@pytest.mark.parametrize(
    "view",
    [
        View(Sight.FLEET, "fleet-a"),
        View(Sight.FLEET, "fleet-a", vehicle_ids=frozenset({"YQ-001"})),
        View(Sight.PAYEE, "bank"),
        View(Sight.STATIONS, "operator", frozenset({"elsewhere"})),
    ],
)
def test_lists_of_columns_are_narrowed_as_all_that_a_session_is_asked_for(store: Store, view: View) -> None:
    with store.station(STATION) as db:
        config = load_station(STATION_FILE)
        for hours, vehicle_id in ((2, "YQ-002"), (4, "YQ-031")):
            wanted = Wanted(vehicle_id, NOW + timedelta(hours=hours), NOW + timedelta(hours=hours + 1))
            make_booking(db, config, wanted, at=NOW)
    with store.reading_station(STATION) as db:
        everything = {one.booking_id for one in list_bookings(db, STATION).items}
    with store.reading_station(STATION) as db:
        narrow(db, view)
        seen = {one.booking_id for one in list_bookings(db, STATION).items}
        assert seen == set(db.exec(select(Booking.id)).all())
        packs = {one.pack_id for one in list_packs(db, STATION).items}
        assert packs <= set(db.exec(select(Pack.id)).all())
    assert seen < everything
