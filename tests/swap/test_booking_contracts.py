"""What contracts say of bookings: who may, who goes first, what a truck that does not come costs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from swap.commerce.bookings.keeping import tell
from swap.commerce.bookings.store import cancel_booking, expire_bookings, make_booking, tend_bookings
from swap.commerce.bookings.wanted import Wanted
from swap.commerce.charges import charges_of
from swap.commerce.leases.rights import ContractRights, announce_arrears
from swap.commerce_db import AnyDb
from swap.config.seed import sync_station
from swap.config.station_file import StationConfig
from swap.errors import NotEntitled
from swap.gate import check_in
from swap.rights import BookingTerms, MaySwap, Purpose
from swap.store import Store
from swap.tables import Swap
from tests.support.swap.commerce import AT, STATION, charge_packs, filled_store, station
from tests.support.swap.leases import signed, signed_version, terms
from tests.swap.test_bookings import book, capacity_rules

HOUR = timedelta(hours=1)
PAIR = [{"kind": "lfp", "number": 2}]


@pytest.fixture
def config() -> StationConfig:
    return station(trucks=6, seats=2, packs=6, bays=8)


@pytest.fixture
def store(sqlite_url: str, config: StationConfig) -> Iterator[Store]:
    with filled_store(sqlite_url, config) as store:
        charge_packs(store)
        yield store


def test_a_contract_that_gives_no_swap_books_none_and_lets_nobody_in(store: Store, config: StationConfig) -> None:
    rights = Contract(allowed=False)
    with store.station(STATION) as db, pytest.raises(NotEntitled, match="in arrears since May"):
        make_booking(db, config, Wanted("V0", AT, AT + HOUR), at=AT, rights=rights)
    with store.station(STATION) as db, pytest.raises(NotEntitled, match="in arrears since May"):
        check_in(db, config, vehicle_id="V0", at=AT, rights=rights)


class Contract:
    """One contract for everybody."""

    def __init__(self, *, allowed: bool = True, priority: int = 0, fee: str | None = None) -> None:
        self.allowed = allowed
        self.booking_terms = BookingTerms(priority, None if fee is None else Decimal(fee))

    def may_swap(self, db: AnyDb, vehicle_id: str, station_id: str, at: datetime, purpose: Purpose) -> MaySwap:
        return MaySwap(self.allowed, "in arrears since {month}", {"month": "May"})

    def terms(self, db: AnyDb, vehicle_id: str, station_id: str, at: datetime) -> BookingTerms:
        return self.booking_terms


@pytest.mark.parametrize(
    ("station_fee", "contract_fee", "charged"),
    [("0", None, None), ("50.5", None, 5050), ("50.5", "12", 1200), ("50.5", "0", None), ("0", "7.25", 725)],
)
def test_who_does_not_come_owes_the_fee_of_contract_or_station_once(
    store: Store, config: StationConfig, station_fee: str, contract_fee: str | None, charged: int | None
) -> None:
    config = config.model_copy(update={"bookings": capacity_rules(no_show_fee_yuan=station_fee)})
    sync_station(store, config, AT)
    rights = Contract(fee=contract_fee, priority=3)
    with store.station(STATION) as db:
        booking = make_booking(db, config, Wanted("V0", AT + HOUR, AT + 2 * HOUR), at=AT, rights=rights)
    assert booking.priority == 3
    for hours in (3, 4):
        with store.station(STATION) as db:
            tend_bookings(db, config, AT + hours * HOUR, rights=rights)
    with store.reading_commerce() as commerce:
        rows = charges_of(commerce)
        assert [row.amount_fen for row in rows] == ([] if charged is None else [charged])
        for row in rows:
            assert (row.seller_id, row.buyer_id, row.kind, row.period) == ("op", "fleet", "no_show", "2026-11")
            assert row.source == f"no_show:{booking.booking_id}"


def test_a_cancelled_booking_and_a_broken_promise_cost_nothing(store: Store, config: StationConfig) -> None:
    config = config.model_copy(update={"bookings": capacity_rules(no_show_fee_yuan="50")})
    cancelled, broken = book(store, config, "V0"), book(store, config, "V1")
    with store.station(STATION) as db:
        cancel_booking(db, cancelled.booking_id, at=AT)
        row = db.station()
        row.mode, row.mode_since_at = "closed", AT
        assert tell(db, config, AT) == (broken.booking_id,)
        assert expire_bookings(db, config, AT + 5 * HOUR) == (broken.booking_id,)
    with store.reading_commerce() as commerce:
        assert charges_of(commerce) == ()


def test_the_class_of_a_contract_goes_with_the_truck(store: Store, config: StationConfig) -> None:
    with store.station(STATION) as db:
        make_booking(db, config, Wanted("V0", AT, AT + HOUR), at=AT, rights=Contract(priority=4))
        booked = check_in(db, config, vehicle_id="V0", at=AT, rights=Contract(priority=1))
        walks_in = check_in(db, config, vehicle_id="V1", at=AT, rights=Contract(priority=2))
        priorities = [db.get_one(Swap, found.swap_id).priority for found in (booked, walks_in)]
    assert priorities == [4, 2]


def test_a_contract_refuses_new_bookings_in_arrears_and_lets_the_booked_truck_in(store: Store) -> None:
    """The contracts themselves answer, through the one port that bookings and the gate ask."""
    rights = ContractRights(contract_required=True)
    contract_id = signed(store, terms(first_day="2026-01-01", entitlement=[{"kind": "lfp", "number": 2}]))
    config = station()
    with store.commerce() as db:
        announce_arrears(db, contract_id, Decimal(100), at=AT - timedelta(days=60), actor="controller")
    with store.station(config.station.id) as db:
        assert not rights.may_swap(db, "V0", db.station_id, AT, "booking").allowed
        assert rights.may_swap(db, "V0", db.station_id, AT, "booked_swap").allowed
        without = rights.may_swap(db, "V1", db.station_id, AT, "walk_in")
        assert not without.allowed
        assert without.reason
        assert ContractRights().may_swap(db, "V1", db.station_id, AT, "walk_in").allowed


def test_a_real_contract_refuses_in_words(store: Store, config: StationConfig) -> None:
    """Its values name the vehicle, as the refusal's own detail does."""
    with store.station(STATION) as db, pytest.raises(NotEntitled, match="V0") as refused:
        make_booking(db, config, Wanted("V0", AT, AT + HOUR), at=AT, rights=ContractRights(contract_required=True))
    assert refused.value.detail == {"vehicle_id": "V0"}


def test_the_contract_of_the_window_counts_not_that_of_the_call(store: Store, config: StationConfig) -> None:
    contract_id = signed(store, terms(first_day="2026-10-01", vehicles=["V0"], entitlement=PAIR), AT - 30 * 24 * HOUR)
    dearer = terms(first_day="2026-10-01", vehicles=["V0"], entitlement=PAIR, bookings={"priority": 5})
    with store.commerce() as commerce:
        signed_version(commerce, contract_id, date(2026, 11, 2), dearer, AT)
    with store.station(STATION) as db:
        start_at = AT + 30 * HOUR
        wanted = Wanted("V0", start_at, start_at + HOUR)
        assert make_booking(db, config, wanted, at=AT, rights=ContractRights()).priority == 5


def test_a_contract_that_cannot_be_read_keeps_nobody_else_from_the_gate(store: Store, config: StationConfig) -> None:
    class Unreadable(Contract):
        def terms(self, db: AnyDb, vehicle_id: str, station_id: str, at: datetime) -> BookingTerms:
            if vehicle_id == "V0":
                raise ValueError("a version of another world")
            return super().terms(db, vehicle_id, station_id, at)

    both = [book(store, config, vehicle_id) for vehicle_id in ("V0", "V1")]
    late = AT + 24 * HOUR
    with store.station(STATION) as db:
        assert check_in(db, config, vehicle_id="V2", at=late, rights=Unreadable(fee="10")).swap_id
    with store.station(STATION) as db:
        assert expire_bookings(db, config, late, rights=Contract(fee="10")) == (both[0].booking_id,)
