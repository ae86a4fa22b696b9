"""What may be promised from packs that are charged, will be, or come back; and promises that fall through."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session

from scheduler.types import StationMode
from swap.audit import audit
from swap.commerce.bookings.keeping import KeepingMark, keep_promises, tell
from swap.commerce.bookings.outlook import _of_file, promise_view
from swap.commerce.bookings.refusals import BookingDenied
from swap.commerce.bookings.rules import Demand, KindOutlook, Lot, NotPromised, Promise, PromiseView, Why, plan, promise
from swap.commerce.bookings.slots import SlotGrid, SlotRange
from swap.commerce.bookings.store import ask_booking, make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.commerce.errors import PacksPromised
from swap.config.station_file import StationConfig
from swap.messages.commerce import BookingDisrupted
from swap.messages.packs import BayBlocked, BayReleased
from swap.reading.lists import get_booking
from swap.reading.records import BookingRecord
from swap.store import Store
from swap.tables import Booking
from tests.support.swap.commerce import AT, STATION, arrive, charge_packs, filled_store, station

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SLOT_S = 900
ORIGIN = datetime.fromtimestamp(0, UTC)
FAR_S = 1e12


def view(*ready_slots: int, per_slot: int = 10, charge_slots: int | None = None, **changes: Any) -> PromiseView:
    """A station at slot 0 whose packs are charged at the begin of these slots."""
    grid = SlotGrid(SLOT_S, Fraction(per_slot))
    charge_s = FAR_S if charge_slots is None else charge_slots * SLOT_S
    found = PromiseView(
        at=ORIGIN,
        grid=grid,
        modes={"top": grid},
        mode=StationMode.AUTOMATIC,
        opens_at=ORIGIN,
        lots=tuple(Lot("lfp", slot * SLOT_S, 250.0, slot * SLOT_S + 600, 268.0) for slot in ready_slots),
        kinds={"lfp": KindOutlook(charge_s, 0.0, 250.0, 268.0, 600.0)},
        charge_kw=1000.0,
        last_slot=95,
    )
    return replace(found, **changes)


def wants(key: object, first: int, last: int, packs: int = 1, **more: Any) -> Demand:
    values: dict[str, Any] = {"kinds": frozenset({"lfp"}), "swap_mode": "top"} | more
    return Demand(key=str(key), window=SlotRange(first, last), packs=packs, **values)


def test_a_pack_is_promised_once() -> None:
    one = view(0)
    assert promise(one, [], wants("a", 0, 3)) == Promise(0, "lfp")
    refused = promise(one, [wants("a", 0, 3)], wants("b", 0, 3))
    assert refused == NotPromised(Why.PACKS_PROMISED, None)


def test_a_pack_that_will_be_charged_is_promised_from_then_on() -> None:
    later = view(6)
    assert promise(later, [], wants("a", 0, 5)) == NotPromised(Why.PACKS_PROMISED, SlotRange(1, 6))
    assert promise(later, [], wants("a", 5, 8)) == Promise(6, "lfp")


def test_a_pack_that_comes_back_is_promised_again_when_it_is_charged() -> None:
    """It comes back at the end of the slot and charges for four."""
    turning = view(0, charge_slots=4)
    first = wants("a", 0, 0)
    assert promise(turning, [first], wants("b", 0, 3)) == NotPromised(Why.PACKS_PROMISED, SlotRange(2, 5))
    assert promise(turning, [first], wants("b", 5, 6)) == Promise(5, "lfp")


def test_chargers_share_their_power_among_packs_that_come_back() -> None:
    """Two packs of 200 kWh at 400 kW: half an hour each, one after the other."""
    kinds = {"lfp": KindOutlook(1800.0, 200.0, 250.0, 268.0, 600.0)}
    shared = view(0, 0, kinds=kinds, charge_kw=400.0)
    first = [wants("a", 0, 0), wants("b", 0, 0)]
    assert promise(shared, first, wants("c", 3, 3)) == Promise(3, "lfp")
    assert promise(shared, [*first, wants("c", 3, 3)], wants("d", 3, 3)) == NotPromised(
        Why.PACKS_PROMISED, SlotRange(5, 5)
    )


def test_two_packs_of_one_truck_are_of_one_kind_and_there_together() -> None:
    mixed = view(0, 2)
    assert promise(mixed, [], wants("a", 0, 1, packs=2)) == NotPromised(Why.PACKS_PROMISED, SlotRange(1, 2))
    other = replace(mixed.lots[1], kind="nmc", ready_s=0.0)
    kinds = frozenset({"lfp", "nmc"})
    apart = replace(mixed, lots=(mixed.lots[0], other))
    assert promise(apart, [], wants("a", 0, 1, packs=2, kinds=kinds)) == NotPromised(Why.TOO_FEW_PACKS)


def test_energy_is_promised_from_when_a_pack_is_so_full() -> None:
    one = view(0)
    assert promise(one, [], wants("a", 0, 0, min_kwh=250.0)) == Promise(0, "lfp")
    assert promise(one, [], wants("a", 0, 0, min_kwh=260.0)) == NotPromised(Why.PACKS_PROMISED, SlotRange(1, 1))
    assert promise(one, [], wants("a", 0, 0, min_kwh=269.0)) == NotPromised(Why.TOO_MUCH_ENERGY, kinds_here=("lfp",))


def test_lanes_and_packs_are_told_apart() -> None:
    narrow = view(0, 0, 0, per_slot=1)
    assert promise(narrow, [wants("a", 0, 0)], wants("b", 0, 0)) == NotPromised(Why.SLOTS_FULL, SlotRange(1, 1))
    assert promise(view(0), [], wants("a", 0, 0, swap_mode="chassis")) == NotPromised(Why.NO_LANE)
    assert promise(view(0), [], wants("a", 0, 0, kinds=frozenset({"nmc"}))) == NotPromised(
        Why.NO_KIND, kinds_here=("lfp",)
    )


def test_a_truck_at_the_station_takes_its_pack_first() -> None:
    queued = view(0, 4, queue=(wants("here", 0, 95, promised=False),))
    assert promise(queued, [], wants("a", 0, 2)) == NotPromised(Why.PACKS_PROMISED, SlotRange(2, 4))


def test_no_alternative_lies_beyond_the_horizon() -> None:
    beyond = view(0, 40, last_slot=39)
    assert promise(beyond, [wants("a", 0, 0)], wants("b", 0, 3)) == NotPromised(Why.PACKS_PROMISED, None)
    assert promise(replace(beyond, last_slot=40), [wants("a", 0, 0)], wants("b", 0, 3)) == NotPromised(
        Why.PACKS_PROMISED, SlotRange(37, 40)
    )


@given(
    ready=st.lists(st.integers(0, 8), min_size=1, max_size=5),
    charge=st.sampled_from([None, 2, 5]),
    asked=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4), st.integers(1, 2)), max_size=12),
)
def test_alternatives_can_be_booked_and_nothing_is_oversold(
    ready: list[int], charge: int | None, asked: list[tuple[int, int, int]]
) -> None:
    """Everybody who is refused takes the alternative: it is promised, and the whole still has a plan."""
    station_view = view(*ready, charge_slots=charge, per_slot=2)
    held: list[Demand] = []
    for number, (first, length, packs) in enumerate(asked):
        wanted = wants(number, first, first + length, packs)
        found = promise(station_view, held, wanted)
        if isinstance(found, NotPromised):
            if found.alternative is None:
                continue
            wanted = replace(wanted, window=found.alternative)
            assert isinstance(promise(station_view, held, wanted), Promise)
        held.append(wanted)
        assert not plan(station_view, held).failed
    _simulate(station_view, held, charge)


def _simulate(station_view: PromiseView, held: list[Demand], charge: int | None) -> None:
    """Serve by the plan with packs that are counted one by one."""
    slots = plan(station_view, held).slots
    free = sorted(int(lot.ready_s // SLOT_S) for lot in station_view.lots)
    served = Counter(slot for slot, _ in slots.values())
    assert all(number <= 2 for number in served.values())
    packs_of = {demand.key: demand.packs for demand in held}
    for key, (slot, _) in sorted(slots.items(), key=lambda item: item[1][0]):
        free.sort()
        for _ in range(packs_of[key]):
            assert free[0] <= slot
            free.pop(0)
            if charge is not None:
                free.append(slot + 1 + charge)
                free.sort()


# In the database


@pytest.fixture
def config() -> StationConfig:
    return station(trucks=8, packs=4, bays=6)


@pytest.fixture
def store(sqlite_url: str, config: StationConfig) -> Iterator[Store]:
    with filled_store(sqlite_url, config) as store:
        charge_packs(store, only=2)
        yield store


def book(store: Store, config: StationConfig, vehicle: str, after: timedelta, at: datetime = AT) -> BookingRecord:
    with store.station(STATION) as db:
        return make_booking(db, config, Wanted(vehicle, AT + after, AT + after + 30 * MINUTE), at=at)


def ask(store: Store, config: StationConfig, vehicle: str, start_at: datetime, at: datetime = AT) -> object:
    with store.station(STATION) as db:
        return ask_booking(db, config, Wanted(vehicle, start_at, start_at + 30 * MINUTE), at=at)


def test_the_forecast_of_the_controller_counts(store: Store, config: StationConfig) -> None:
    for n in range(2):
        book(store, config, f"V{n}", timedelta())
    ready_at = AT + 100 * MINUTE
    with store.station(STATION) as db:
        db.station().waiting = {"ready_at": {"A3": ready_at.isoformat()}}
        lots = promise_view(db, config, AT).lots
    assert sorted(lot.ready_s for lot in lots)[2] == ready_at.timestamp()
    with pytest.raises(PacksPromised) as caught:
        book(store, config, "V2", 30 * MINUTE)
    # V0's and V1's spent packs are charged sooner than what the controller promises for A3.
    offered_at = datetime.fromisoformat(caught.value.detail["next_end_at"])
    assert AT + 60 * MINUTE <= offered_at <= AT + 120 * MINUTE
    assert book(store, config, "V2", 100 * MINUTE).status == "booked"


def test_an_alternative_is_kept_for_the_asker_and_then_for_nobody(store: Store, config: StationConfig) -> None:
    for n in range(2):
        book(store, config, f"V{n}", timedelta())
    first, second = (ask(store, config, f"V{n}", AT) for n in (2, 3))
    assert isinstance(first, BookingDenied)
    assert isinstance(second, BookingDenied)
    assert first.alternative is not None
    assert second.alternative is not None
    assert first.alternative.kept_until_at == AT + timedelta(seconds=config.bookings.alternative_keep_s)
    late = AT + timedelta(seconds=59)
    assert isinstance(ask(store, config, "V3", second.alternative.start_at, late), BookingRecord)
    assert isinstance(ask(store, config, "V2", first.alternative.start_at, late), BookingRecord)
    third = ask(store, config, "V4", AT, late)
    assert isinstance(third, BookingDenied)
    assert third.alternative is not None
    gone = late + timedelta(seconds=61)
    fourth = ask(store, config, "V5", third.alternative.start_at, gone)
    assert isinstance(fourth, BookingRecord), "what nobody took is anybody's"


def test_a_promise_that_falls_through_is_told_with_another_window_and_can_be_kept_again(
    store: Store, config: StationConfig
) -> None:
    first = book(store, config, "V0", 15 * MINUTE)
    second = book(store, config, "V1", 15 * MINUTE, AT + timedelta(seconds=1))
    mark = KeepingMark()
    assert keep_promises(store, config, AT, mark) == ()
    with store.station(STATION) as db:
        bay = db.bay("A1")
        assert bay is not None
        bay.blocked = True
        db.append(BayBlocked(reason="test"), at=AT, bay_id=bay.id)
    assert keep_promises(store, config, AT, mark) == (second.booking_id,), "who was promised first is kept first"
    assert keep_promises(store, config, AT, mark) == ()
    with store.reading_station(STATION) as db:
        told = get_booking(db, STATION, second.booking_id)
        event = db.events(BookingDisrupted)[-1].data
    assert (told.status, told.trouble) == ("disrupted", "packs_promised")
    assert event["booking_id"] == second.booking_id
    assert told.alternative_start_at is not None
    assert told.alternative_start_at > second.window_start_at
    assert event["alternative_start_at"] == told.alternative_start_at.isoformat()
    with store.reading() as whole:
        assert audit_of_bookings(whole) == {}
    with store.station(STATION) as db:
        bay = db.bay("A1")
        assert bay is not None
        bay.blocked = False
        db.append(BayReleased(reason="test"), at=AT, bay_id=bay.id)
    assert keep_promises(store, config, AT + MINUTE, mark) == (second.booking_id,)
    with store.reading_station(STATION) as db:
        told = get_booking(db, STATION, second.booking_id)
    assert (told.status, told.trouble, told.alternative_start_at) == ("booked", "", None)
    assert get_status(store, first.booking_id) == "booked"


@pytest.mark.parametrize("damage", ["held", "dead_charger", "silent", "blocked_pack"])
def test_everything_that_breaks_a_promise_is_seen(store: Store, config: StationConfig, damage: str) -> None:
    booked = [book(store, config, f"V{n}", 15 * MINUTE) for n in range(2)]
    with store.station(STATION) as db:
        bay = db.bay("A1")
        assert bay is not None
        pack = db.packs_in_bays()[bay.id]
        if damage == "held":
            db.station().mode, db.station().mode_since_at = "held", AT
        elif damage == "dead_charger":
            pack.state, pack.soc_pct, pack.energy_kwh, bay.limited_by = "waiting", 50.0, 141.0, "charger_fault"
        elif damage == "silent":
            bay.reading_fresh = False
        else:
            pack.state = "blocked"
        found = tell(db, config, AT)
    assert len(found) == (2 if damage == "held" else 1)
    with store.reading_station(STATION) as db:
        troubles = {get_booking(db, STATION, booking_id).trouble for booking_id in found}
    assert troubles == {"station_mode" if damage == "held" else "packs_promised"}
    assert set(found) <= {booking.booking_id for booking in booked}


def test_a_truck_whose_promise_fell_through_may_come_all_the_same(store: Store, config: StationConfig) -> None:
    booking = book(store, config, "V0", timedelta())
    with store.station(STATION) as db:
        db.station().mode, db.station().mode_since_at = "held", AT
        assert tell(db, config, AT) == (booking.booking_id,)
    assert arrive(store, config, "V0").booking_id == booking.booking_id
    with store.reading_station(STATION) as db:
        assert get_booking(db, STATION, booking.booking_id).trouble == ""


def get_status(store: Store, booking_id: str) -> str:
    with store.reading() as db:
        return db.get_one(Booking, booking_id).status


# A crowd


CLIENTS = 200


def test_two_hundred_clients_and_the_last_six_packs(database_url: str) -> None:
    """Six are promised; each of the others takes the alternative that it was given, or was told that there is none."""
    config = station(trucks=CLIENTS, packs=6, bays=8, lanes=2)
    with filled_store(database_url, config) as store:
        charge_packs(store)
        start_at = AT + 30 * MINUTE
        gate = threading.Barrier(8)
        lock = threading.Lock()
        promised: list[str] = []
        refused: list[tuple[str, BookingDenied]] = []

        def client(worker: int) -> None:
            gate.wait()
            for number in range(worker, CLIENTS, 8):
                found = ask(store, config, f"V{number}", start_at)
                with lock:
                    if isinstance(found, BookingDenied):
                        refused.append((f"V{number}", found))
                    else:
                        promised.append(f"V{number}")

        def second(worker: int) -> list[str]:
            gate.wait()
            booked = []
            for vehicle, answer in refused[worker::8]:
                if answer.alternative is None:
                    assert answer.none_before_at is not None
                    assert answer.none_before_at > AT + 167 * HOUR
                    continue
                again = ask(store, config, vehicle, answer.alternative.start_at, AT + timedelta(seconds=59))
                assert isinstance(again, BookingRecord), (vehicle, answer, again)
                booked.append(vehicle)
            return booked

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(client, range(8)))
            assert len(promised) == 6
            assert len(refused) == CLIENTS - 6
            places = Counter(answer.alternative for _, answer in refused)
            later = [vehicle for vehicles in pool.map(second, range(8)) for vehicle in vehicles]
        assert len(later) == sum(answer.alternative is not None for _, answer in refused)
        assert len(places) > len(refused) / 6, "spread over many windows"
        with store.reading() as db:
            assert audit_of_bookings(db) == {}
        with store.station(STATION) as db:
            assert tell(db, config, AT + timedelta(seconds=59)) == ()


def audit_of_bookings(db: Session) -> dict[str, tuple[str, ...]]:
    names = ("booking_in_journal", "bookings_fit", "bookings_apart", "bookings_have_packs", "standing_in_journal")
    return {i.name: i.violations for i in audit(db).invariants if i.name in names and i.violations}


def test_what_the_station_file_alone_says_is_reckoned_once_for_each_file() -> None:
    config = station()
    known = _of_file(config)
    assert _of_file(config) is known
    lower = config.model_copy(update={"bookings": config.bookings.model_copy(update={"slot_min": 60})})
    assert _of_file(lower).grid.slot_s == 3600 != known.grid.slot_s
    assert _of_file(config) is known
