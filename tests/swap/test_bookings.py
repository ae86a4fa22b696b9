"""Bookings hold capacity and end once; check-in queues one swap with the right booking."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import col, select

from scheduler.types import StationMode
from swap.commerce.bookings.offers import Ask, offers
from swap.commerce.bookings.refusals import BookingDenied
from swap.commerce.bookings.rules import Demand, PromiseView, plan
from swap.commerce.bookings.slots import SlotGrid, SlotRange
from swap.commerce.bookings.store import cancel_booking, change_booking, expire_bookings, make_booking, tend_bookings
from swap.commerce.bookings.wanted import Wanted
from swap.commerce.errors import BookingNotUsable, BookingOpen, SlotsFull, StationAway, WindowNotAllowed
from swap.config.loading import ConfigError, parse_station
from swap.config.seed import sync_station
from swap.config.station_file import BookingSection, StationConfig
from swap.errors import InvalidInput, NotFound, NotServed, SwapOpen
from swap.gate import check_in
from swap.reading.records import BookingRecord
from swap.station.admission import admit, may_enter
from swap.station.file_check import check_recipes
from swap.store import Store
from swap.tables import Booking, Pack, Station, StationEvent, Swap, SwapSeat
from tests.support.swap.commerce import (
    AT,
    STATION,
    arrive,
    charge_packs,
    code,
    exchange,
    filled_store,
    finish,
    other_station,
    station,
    station_data,
)

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def config() -> StationConfig:
    return station(trucks=6, seats=2, packs=6, bays=8)


@contextmanager
def charged_store(url: str, config: StationConfig) -> Iterator[Store]:
    """A station whose rack is charged."""
    with filled_store(url, config) as store:
        charge_packs(store)
        yield store


@pytest.fixture
def store(sqlite_url: str, config: StationConfig) -> Iterator[Store]:
    with charged_store(sqlite_url, config) as store:
        yield store


def book(
    store: Store,
    config: StationConfig,
    vehicle_id: str = "V0",
    start_at: datetime = AT + HOUR,
    length: timedelta = HOUR,
    at: datetime = AT,
) -> BookingRecord:
    with store.station(STATION) as db:
        return make_booking(db, config, Wanted(vehicle_id, start_at, start_at + length), at=at)


def status_of(store: Store, booking_id: str) -> str:
    with store.reading() as db:
        return db.get_one(Booking, booking_id).status


def ends(store: Store) -> list[tuple[str, str]]:
    with store.reading() as db:
        query = select(StationEvent).where(StationEvent.kind == "booking.ended").order_by(col(StationEvent.seq))
        return [(e.data["booking_id"], e.data["status"]) for e in db.exec(query)]


def test_a_truck_books_several_swaps_a_day_and_none_at_the_same_time(store: Store, config: StationConfig) -> None:
    first = book(store, config)
    assert book(store, config, start_at=AT + 10 * HOUR).booking_id != first.booking_id
    with pytest.raises(BookingOpen) as caught:
        book(store, config, start_at=AT + 1.5 * HOUR)
    assert caught.value.detail == {"booking_id": first.booking_id}
    with store.station(STATION) as db:
        cancel_booking(db, first.booking_id, at=AT)
    assert book(store, config, start_at=AT + 1.5 * HOUR).status == "booked"
    few = config.model_copy(update={"bookings": capacity_rules(per_vehicle_max=2)})
    with pytest.raises(BookingOpen, match="2 open bookings"):
        book(store, few, start_at=AT + 15 * HOUR)


@pytest.mark.parametrize(
    ("start_at", "length", "field"),
    [
        (AT + HOUR, 14 * MINUTE, "window_end_at"),
        (AT + HOUR, 241 * MINUTE, "window_end_at"),
        (AT + HOUR, -HOUR, "window_end_at"),
        (AT - 16 * MINUTE, HOUR, "window_start_at"),
        (AT + 167.5 * HOUR, HOUR, "window_end_at"),
    ],
)
def test_windows_outside_the_rules(
    store: Store, config: StationConfig, start_at: datetime, length: timedelta, field: str
) -> None:
    with pytest.raises(WindowNotAllowed) as caught:
        book(store, config, start_at=start_at, length=length)
    assert caught.value.field == field


def test_unknown_vehicle_and_unserved_model(store: Store, config: StationConfig) -> None:
    with pytest.raises(NotFound):
        book(store, config, "V99")
    with store.station(STATION) as db:
        from swap.tables import VehicleRow

        db.get_one(VehicleRow, "V1").model = "bus"
    with pytest.raises(NotServed, match="bus"):
        book(store, config, "V1")
    with pytest.raises(NotServed, match="bus"):
        arrive(store, config, "V1")


def test_cancel(store: Store, config: StationConfig) -> None:
    booking = book(store, config)
    with store.station(STATION) as db:
        assert cancel_booking(db, booking.booking_id, at=AT).status == "cancelled"
        assert cancel_booking(db, booking.booking_id, at=AT).status == "cancelled"
    assert ends(store) == [(booking.booking_id, "cancelled")]
    used = book(store, config, start_at=AT)
    arrive(store, config, "V0")
    with store.station(STATION) as db, pytest.raises(BookingNotUsable, match="arrived"):
        cancel_booking(db, used.booking_id, at=AT)
    with store.station(STATION) as db, pytest.raises(NotFound):
        cancel_booking(db, "none", at=AT)


def test_expiry_after_window_and_grace(store: Store, config: StationConfig) -> None:
    booking = book(store, config)
    last_at = booking.window_end_at + timedelta(minutes=config.bookings.late_grace_min)
    with store.station(STATION) as db:
        assert expire_bookings(db, config, last_at) == ()
        assert expire_bookings(db, config, last_at + MINUTE) == (booking.booking_id,)
        assert expire_bookings(db, config, last_at + HOUR) == ()
    assert ends(store) == [(booking.booking_id, "expired")]


def test_an_expired_booking_is_in_nobodys_way(store: Store, config: StationConfig) -> None:
    """No job has run in between: booking and check-in end it themselves."""
    old = book(store, config)
    new = book(store, config, start_at=AT + 10 * HOUR, at=AT + 9 * HOUR)
    assert (status_of(store, old.booking_id), new.status) == ("expired", "booked")


@pytest.mark.parametrize(
    ("minutes", "used"), [(-31, False), (-30, True), (0, True), (60, True), (90, True), (91, False)]
)
def test_check_in_uses_the_booking_whose_window_is_now(
    store: Store, config: StationConfig, minutes: int, used: bool
) -> None:
    booking = book(store, config)
    result = arrive(store, config, "V0", booking.window_start_at + minutes * MINUTE)
    assert result.booking_id == (booking.booking_id if used else None)
    expected = "arrived" if used else "expired" if minutes > 0 else "booked"
    assert status_of(store, booking.booking_id) == expected


def test_check_in_queues_a_swap_with_its_seats(store: Store, config: StationConfig) -> None:
    result = arrive(store, config, "V1", priority=2)
    with store.reading() as db:
        swap = db.get_one(Swap, result.swap_id)
        assert (swap.state, swap.phase, swap.open_vehicle_id, swap.pack_count) == ("queued", "pending", "V1", 2)
        assert (swap.priority, swap.arrived_at, swap.ended_at) == (2, AT, None)
        seats = db.exec(select(SwapSeat).order_by(col(SwapSeat.seat))).all()
        assert [(s.seat, s.old_pack_id) for s in seats] == [(1, code(103)), (2, code(104))]
        settled = db.get_one(Pack, code(103)).settled_soe_kwh
        assert [s.last_settled_soe_kwh for s in seats] == [settled, settled]
        event = db.exec(select(StationEvent).where(StationEvent.kind == "swap.queued")).one()
        assert event.swap_id == swap.id
    with pytest.raises(SwapOpen) as caught:
        arrive(store, config, "V1")
    assert caught.value.detail == {"swap_id": result.swap_id}


def test_a_named_booking_must_be_usable(store: Store, config: StationConfig) -> None:
    booking = book(store, config)
    with pytest.raises(BookingNotUsable, match="not vehicle V1"):
        arrive(store, config, "V1", AT + HOUR, booking_id=booking.booking_id)
    with pytest.raises(BookingNotUsable, match="can be used from"):
        arrive(store, config, "V0", AT, booking_id=booking.booking_id)
    with pytest.raises(BookingNotUsable, match="is expired"):
        arrive(store, config, "V0", AT + 5 * HOUR, booking_id=booking.booking_id)
    with pytest.raises(NotFound):
        arrive(store, config, "V0", booking_id="none")


@pytest.mark.parametrize("mode", ["closed", "fire"])
def test_no_check_in_at_a_closed_station(store: Store, config: StationConfig, mode: str) -> None:
    with store.station(STATION) as db:
        db.get_one(Station, "S").mode = mode
    with pytest.raises(NotServed, match=mode):
        arrive(store, config, "V0")


def test_the_booking_ends_with_its_swap(store: Store, config: StationConfig) -> None:
    first, second = book(store, config, start_at=AT), book(store, config, "V1", start_at=AT)
    done, cancelled = arrive(store, config, "V0"), arrive(store, config, "V1")
    with store.station(STATION) as db:
        assert tend_bookings(db, config, AT) == ()
    exchange(store, done.swap_id)
    with store.station(STATION) as db:
        finish(db, db.get_one(Swap, cancelled.swap_id), AT + HOUR, "cancelled")
        assert set(tend_bookings(db, config, AT + HOUR)) == {first.booking_id, second.booking_id}
        assert tend_bookings(db, config, AT + HOUR) == ()
    assert dict(ends(store)) == {first.booking_id: "fulfilled", second.booking_id: "failed"}
    assert book(store, config, start_at=AT + 2 * HOUR, at=AT + HOUR).status == "booked"


def capacity_rules(**values: object) -> BookingSection:
    return BookingSection.model_validate(values)


def test_a_full_window_names_the_next_free_one(sqlite_url: str) -> None:
    """One lane at 6 min a swap promises 5 swaps in half an hour."""
    config = station(trucks=8, packs=8, bays=9)
    with charged_store(sqlite_url, config) as store:
        start_at = AT + HOUR
        for n in range(5):
            book(store, config, f"V{n}", start_at, 30 * MINUTE)
        with pytest.raises(SlotsFull) as caught:
            book(store, config, "V5", start_at, 30 * MINUTE)
        assert caught.value.detail["next_start_at"] == (start_at + 15 * MINUTE).isoformat()
        offered = datetime.fromisoformat(caught.value.detail["next_start_at"])
        assert book(store, config, "V5", offered, 30 * MINUTE).status == "booked"
        with store.reading_station(STATION) as db:
            free = offers(db, config, Ask(start_at, start_at + HOUR), AT).items
        assert min(offer.window_start_at for offer in free) >= start_at + 30 * MINUTE
        assert {offer.kind for offer in free} == {"lfp"}


def test_only_lanes_of_its_swap_mode_serve_a_truck(sqlite_url: str) -> None:
    """One lane lifts from the top, one grabs at the side; 5 swaps in half an hour each, whatever the other has left."""
    data = station_data(trucks=14, lanes=2, packs=14, bays=15)
    data["vehicle_models"].append({"id": "side", "pack_kinds": ["lfp"], "swap_mode": "side_grab"})
    data["lanes"][1]["recipe"] = "side_grab"
    for vehicle in data["vehicles"][7:]:
        vehicle["model"] = "side"
    config = check_recipes(parse_station(data))
    assert [lane.swap_mode for lane in config.lanes] == ["top_lift", "side_grab"]
    start_at = AT + HOUR
    with charged_store(sqlite_url, config) as store:
        for n in range(5):
            book(store, config, f"V{n}", start_at, 30 * MINUTE)
        with pytest.raises(SlotsFull) as caught:
            book(store, config, "V5", start_at, 30 * MINUTE)
        assert caught.value.detail["next_start_at"] == (start_at + 15 * MINUTE).isoformat()
        for n in range(7, 12):
            book(store, config, f"V{n}", start_at, 30 * MINUTE)
        with pytest.raises(SlotsFull):
            book(store, config, "V12", start_at, 30 * MINUTE)
    # A cap on the whole station counts for both modes together.
    capped = config.model_copy(update={"bookings": capacity_rules(capacity_per_slot=3)})
    with charged_store(f"{sqlite_url}-capped", capped) as store:
        for n in (0, 1, 2, 7, 8, 9):
            book(store, capped, f"V{n}", start_at, 30 * MINUTE)
        with pytest.raises(SlotsFull):
            book(store, capped, "V10", start_at, 30 * MINUTE)


def test_a_lane_does_not_serve_another_mode_than_its_recipe() -> None:
    data = station_data()
    data["lanes"][0]["swap_mode"] = "side_grab"
    with pytest.raises(ConfigError, match=r"lanes.L1.swap_mode = 'side_grab': recipe top_lift serves 'top_lift'"):
        check_recipes(parse_station(data))


def test_the_grid_carries_fractions_over() -> None:
    grid = SlotGrid.of(BookingSection(), lanes=1)
    assert sum(grid.capacity(slot) for slot in range(4 * 24)) == 24 * 10
    slow = SlotGrid.of(capacity_rules(nominal_swap_s=1800), lanes=1)
    assert [slow.capacity(slot) for slot in range(4)] == [0, 1, 0, 1]
    assert SlotGrid.of(capacity_rules(capacity_per_slot=3), lanes=1).capacity(7) == 3


def lanes_view(per_slot: Fraction) -> PromiseView:
    """A station with packs for everybody."""
    grid, origin = SlotGrid(900, per_slot), datetime.fromtimestamp(0, UTC)
    return PromiseView(origin, grid, {"top": grid}, StationMode.AUTOMATIC, origin, (), {}, 0.0, 100)


def demand(key: object, first: int, last: int, **more: Any) -> Demand:
    return Demand(str(key), SlotRange(first, last), frozenset({"lfp"}), 1, "top", **more)


@given(
    ranges=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)).map(lambda r: (r[0], r[0] + r[1])), max_size=6),
    per_slot=st.sampled_from([Fraction(1, 2), Fraction(1), Fraction(3, 2)]),
)
def test_a_plan_for_lanes_is_found_whenever_there_is_one(ranges: list[tuple[int, int]], per_slot: Fraction) -> None:
    view = lanes_view(per_slot)
    choices = product(*[range(first, last + 1) for first, last in ranges])
    possible = any(all(taken.count(s) <= view.grid.capacity(s) for s in set(taken)) for taken in choices)
    demands = [demand(number, first, last) for number, (first, last) in enumerate(ranges)]
    found = plan(view, demands, any_stock=True)
    assert (not found.failed) is possible
    assert all(d.window.first <= found.slots[d.key][0] <= d.window.last for d in demands if d.key in found.slots)


def test_a_stretch_that_was_sold_before_a_lane_was_lost_refuses_only_there() -> None:
    view = lanes_view(Fraction(1))
    held = [demand("a", 0, 0), demand("b", 0, 0)]
    lost = plan(view, held, any_stock=True).failed
    assert len(lost) == 1
    assert plan(view, [*held, demand("c", 0, 0)], any_stock=True).failed > lost
    assert "d" not in plan(view, [*held, demand("d", 1, 1)], any_stock=True).failed


def test_eight_clients_do_not_oversell(database_url: str) -> None:
    """Sixteen trucks want the same half hour, which five fit into; each asks twice."""
    config = station(trucks=16, packs=16, bays=17)
    with charged_store(database_url, config) as store:
        start = threading.Barrier(8)

        def client(number: int) -> list[str]:
            start.wait()
            made = []
            for vehicle in (number, number + 8):
                for _ in range(2):
                    with suppress(SlotsFull, BookingOpen):
                        made.append(book(store, config, f"V{vehicle}", AT + HOUR, 30 * MINUTE).booking_id)
            return made

        with ThreadPoolExecutor(8) as pool:
            answers = [i for ids in pool.map(client, range(8)) for i in ids]
        with store.reading() as db:
            stored = db.exec(select(Booking.id)).all()
        assert len(stored) == 5
        assert set(answers) == set(stored)


def test_eight_check_ins_of_one_truck_queue_one_swap(database_url: str) -> None:
    config = station()
    with charged_store(database_url, config) as store:
        booking = book(store, config, start_at=AT)
        start = threading.Barrier(8)

        def client(_number: int) -> str:
            start.wait()
            try:
                with store.station(STATION) as db:
                    return check_in(db, config, vehicle_id="V0", at=AT).swap_id
            except SwapOpen:
                return "refused"

        with ThreadPoolExecutor(8) as pool:
            answers = set(pool.map(client, range(8)))
        with store.reading() as db:
            swap = db.exec(select(Swap)).one()
            assert answers == {swap.id, "refused"}
            assert swap.booking_id == booking.booking_id


def test_a_change_promises_anew_or_leaves_the_booking_as_it_was(sqlite_url: str) -> None:
    config = station(trucks=8, packs=8, bays=9)
    start_at = AT + HOUR
    with charged_store(sqlite_url, config) as store:
        for n in range(5):
            book(store, config, f"V{n}", start_at, 30 * MINUTE)
        late = book(store, config, "V5", AT + 4 * HOUR, 30 * MINUTE)
        with store.station(STATION) as db:
            refused = change_booking(
                db, config, late.booking_id, at=AT, window_start_at=start_at, window_end_at=start_at + 30 * MINUTE
            )
        assert isinstance(refused, BookingDenied)
        assert refused.alternative is not None
        assert refused.alternative.start_at == start_at + 15 * MINUTE
        other = refused.alternative
        with store.station(STATION) as db:
            changed = change_booking(
                db, config, late.booking_id, at=AT, window_start_at=other.start_at, window_end_at=other.end_at
            )
        assert isinstance(changed, BookingRecord)
        assert (changed.status, changed.window_start_at) == ("booked", other.start_at)
        with store.station(STATION) as db:
            cancel_booking(db, late.booking_id, at=AT)
            with pytest.raises(BookingNotUsable, match="cancelled"):
                change_booking(db, config, late.booking_id, at=AT, min_kwh=100.0)


@pytest.mark.parametrize(
    ("mode", "opens_after"), [("held", HOUR), ("manual", HOUR), ("thermal", HOUR), ("closed", 24 * HOUR)]
)
def test_a_window_that_opens_before_the_station_is_expected_back_is_not_promised(
    store: Store, config: StationConfig, mode: str, opens_after: timedelta
) -> None:
    with store.station(STATION) as db:
        row = db.station()
        row.mode, row.mode_reason, row.mode_since_at = mode, "test", AT
    with pytest.raises(StationAway) as caught:
        book(store, config, start_at=AT + opens_after - 30 * MINUTE)
    assert caught.value.detail["mode"] == mode
    offered_at = datetime.fromisoformat(caught.value.detail["next_start_at"])
    assert offered_at == AT + opens_after
    later = book(store, config, start_at=offered_at)
    assert (later.status, later.promised_in) == ("booked", mode)


def test_a_hold_that_lasts_longer_is_expected_to_last_as_long_again(store: Store, config: StationConfig) -> None:
    with store.station(STATION) as db:
        row = db.station()
        row.mode, row.mode_since_at = "held", AT - 90 * MINUTE
    with pytest.raises(StationAway) as caught:
        book(store, config, start_at=AT)
    assert caught.value.detail["next_start_at"] == (AT + 30 * MINUTE).isoformat()


def test_what_the_station_does_not_have_is_refused_with_what_it_has(sqlite_url: str) -> None:
    data = station_data(trucks=3, packs=3, bays=4)
    data["pack_kinds"] += [{"id": "big", "rated_kwh": 400, "max_charge_kw": 300}]
    data["vehicle_models"][0]["pack_kinds"] = ["lfp", "big"]
    config = parse_station(data)
    with charged_store(sqlite_url, config) as store:

        def ask(**more: Any) -> BookingRecord:
            with store.station(STATION) as db:
                wanted = Wanted("V0", AT + HOUR, AT + 2 * HOUR, **more)
                return make_booking(db, config, wanted, at=AT)

        with pytest.raises(NotServed, match="no pack of big") as caught:
            ask(kinds=("big",))
        assert caught.value.detail == {"kinds_here": "lfp"}
        with pytest.raises(NotServed, match=r"holds 300\.0 kWh"):
            ask(min_kwh=300.0)
        with pytest.raises(InvalidInput, match="lfp, big"):
            ask(kinds=("nmc",))
        with pytest.raises(InvalidInput, match="all packs of a vehicle"):
            ask(packs=2)
        booked = ask(min_kwh=250.0)
        assert (booked.kinds, booked.packs, booked.min_kwh) == (("big", "lfp"), 1, 250.0)


def test_of_several_bookings_the_one_whose_window_is_now_is_used(store: Store, config: StationConfig) -> None:
    book(store, config, start_at=AT + 8 * HOUR)
    now = book(store, config, start_at=AT + HOUR)
    assert arrive(store, config, "V0", AT + HOUR).booking_id == now.booking_id


def test_a_truck_that_the_station_let_in_by_itself_is_found_in_its_record(store: Store, config: StationConfig) -> None:
    """Cut off from commerce, the station admits alone; commerce follows when it reads."""
    booking = book(store, config, start_at=AT)
    with store.station(STATION) as db:
        admit(db, may_enter(db, config, "V0"), at=AT, booking_id=booking.booking_id)
    assert status_of(store, booking.booking_id) == "booked"
    with store.station(STATION) as db:
        assert tend_bookings(db, config, AT) == ()
    assert status_of(store, booking.booking_id) == "arrived"


def test_two_stations_do_not_book_one_truck_at_the_same_time(store: Store, config: StationConfig) -> None:
    other = other_station(packs=6, bays=8, trucks=6, seats=2)
    sync_station(store, other, AT)
    charge_packs(store, station_id="T")
    book(store, config, "V0")
    with store.station("T") as db, pytest.raises(BookingOpen, match="another station"):
        make_booking(db, other, Wanted("V0", AT + 1.5 * HOUR, AT + 2 * HOUR), at=AT)
    with store.station("T") as db:
        assert make_booking(db, other, Wanted("V0", AT + 2 * HOUR, AT + 3 * HOUR), at=AT).status == "booked"


def test_offers_can_be_booked_and_end_with_the_packs(sqlite_url: str) -> None:
    config = station(trucks=6, packs=4, bays=6)
    with filled_store(sqlite_url, config) as store:
        charge_packs(store, only=2)
        for n in range(2):
            book(store, config, f"V{n}", AT, 30 * MINUTE)
        with store.reading_station(STATION) as db:
            free = offers(db, config, Ask(AT, AT + 6 * HOUR, 30, "V2"), AT).items
        assert free
        first = free[0]
        assert first.window_start_at > AT
        assert [packs.kind for packs in first.packs] == ["lfp"]
        length = first.window_end_at - first.window_start_at
        assert length == 30 * MINUTE
        assert book(store, config, "V2", first.window_start_at, length).status == "booked"
        with store.reading_station(STATION) as db, pytest.raises(InvalidInput, match="window_min"):
            offers(db, config, Ask(AT, AT + HOUR, 1000, "V2"), AT)
