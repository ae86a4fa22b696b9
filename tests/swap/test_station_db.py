"""Two stations in one database: a `StationDb` sees and changes its own station only, whatever it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import bindparam, delete, func, update
from sqlalchemy import select as sql_select
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from swap.commerce.bills.issuing import bill_completed_swaps
from swap.commerce.bookings.store import make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.config.seed import sync_station
from swap.errors import NotFound
from swap.messages.events import Reconciled
from swap.station.faults import raise_fault
from swap.station.lease import Lease
from swap.station_db import STATION_TABLES, OfStation, OtherStation
from swap.store import LeaseLost, Store
from swap.tables import (
    Base,
    Bay,
    Bill,
    BillLine,
    ChargeSession,
    ControlRequest,
    FaultRow,
    HotPack,
    Pack,
    RobotCommandRow,
    SiteSample,
    StandingBooking,
    Station,
    StationEvent,
    Swap,
    SwapSeat,
)
from tests.support.swap.commerce import AT, arrive, exchange, other_station, station

COMMERCE = {
    "acquirer_call",
    "acquirer_order",
    "bank_line",
    "bank_line_end",
    "billing_period",
    "charge",
    "closing_claim",
    "custody_mark",
    "custody_move",
    "invoice",
    "invoice_line",
    "lease_contract",
    "lease_event",
    "lease_vehicle",
    "lease_version",
    "ledger_account",
    "ledger_leg",
    "ledger_transfer",
    "net_statement",
    "payment",
    "payment_allocation",
    "reading",
    "refund",
    "rent_run",
    "settlement",
    "settlement_share",
    "vehicle_override",
    "wallet_credit",
    "webhook_delivery",
    "webhook_endpoint",
    "webhook_event",
    "webhook_mark",
}
"""What belongs to firms (`swap.commerce_db`)."""
REGISTER = {"party", "person", "pack_kind", "vehicle_model", "vehicle"}
IDENTITY = {"user_account", "token_family", "access_token", "api_key", "attempt_count", "access_change", "kept_answer"}


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """Two stations with a row of everything."""
    store = Store(database_url)
    for config, truck in ((station(), "V0"), (other_station(), "W0")):
        sync_station(store, config, AT)
        swap_id = arrive(store, config, truck).swap_id
        exchange(store, swap_id, station_id=config.station.id)
        bill_completed_swaps(store, config.station.id, AT + timedelta(hours=1))
        lease = Lease(store, config.station.id)
        lease.acquire()
        with store.station(config.station.id) as db:
            make_booking(
                db,
                config,
                Wanted(truck, AT + timedelta(hours=2), AT + timedelta(hours=3)),
                at=AT,
            )
        with store.station(config.station.id) as own:
            raise_fault(own, station_id=own.station_id, name="bms_silent", source="bay:A1", at=AT)
            own.add(
                StandingBooking(
                    id=f"sb-{truck}",
                    station_id=own.station_id,
                    vehicle_id=truck,
                    weekdays=[1],
                    local_time="07:10",
                    window_min=30,
                    starts_on="2026-12-01",
                    created_at=AT,
                )
            )
            own.add(SiteSample(station_id=own.station_id, at=AT, limit_kw=1, ready_packs=1, queue_length=0))
            own.add(ControlRequest(station_id=own.station_id, kind="hold", requested_by="person:x", requested_at=AT))
            own.add(
                RobotCommandRow(
                    station_id=own.station_id, lane_id=own.key("L1"), seq=1, state="x", code=1, issued_at=AT
                )
            )
            pack = own.packs_here()[0]
            own.add(HotPack(station_id=own.station_id, bay_id=own.key("A1"), detected_at=AT, stage="detected"))
            own.add(
                ChargeSession(
                    station_id=own.station_id,
                    pack_id=pack.id,
                    bay_id=str(pack.bay_id),
                    started_at=AT,
                    start_energy_kwh=1.0,
                )
            )
    yield store
    store.close()


def test_every_table_belongs_to_a_station_or_to_the_register() -> None:
    tables = {table.__tablename__ for table in STATION_TABLES}
    assert tables | REGISTER | COMMERCE | IDENTITY == set(Base.metadata.tables)


def test_a_query_without_a_condition_gives_this_stations_rows(store: Store) -> None:
    for table in STATION_TABLES:
        with store.reading() as whole:
            every = {str(row) for row in whole.exec(select(table)).all()}
        seen = {}
        for station_id in ("S", "T"):
            with store.reading_station(station_id) as db:
                rows = db.exec(select(table)).all()
                assert rows, f"no row of {table.__tablename__}: the test proves nothing"
                seen[station_id] = {str(row) for row in rows}
                count = db.exec(select(func.count()).select_from(table)).one()
                assert count == len(rows) == len(db.exec(select(aliased(table))).all())
        if table is Pack:  # on vehicles they are nobody's
            assert seen["S"] & seen["T"]
            seen = {key: {row for row in rows if "vehicle_id=None" in row} for key, rows in seen.items()}
            every = {row for row in every if "vehicle_id=None" in row}
        assert not seen["S"] & seen["T"]
        assert seen["S"] | seen["T"] == every


def test_a_table_inside_another_query_is_narrowed_too(store: Store) -> None:
    for station_id, other_id in (("S", "T"), ("T", "S")):
        with store.reading_station(station_id) as db:
            newest = select(func.max(Swap.id)).scalar_subquery()
            assert db.exec(select(newest)).one() == db.exec(select(func.max(Swap.id))).one()
            in_bays = select(col(Pack.bay_id)).where(col(Pack.bay_id).is_not(None))
            assert {bay.station_id for bay in db.exec(select(Bay).where(col(Bay.id).in_(in_bays)))} == {station_id}
            both = select(Station.id).where(select(Swap.id).where(Swap.station_id == other_id).exists())
            assert db.exec(both).all() == []
            inner = select(Swap).subquery()
            assert set(db.exec(select(inner.c.station_id)).all()) == {station_id}
            db_rows = db.exec(select(select(Bay).cte().c.station_id)).all()
            assert set(db_rows) == {station_id}


def test_a_row_of_another_station_is_not_got_by_its_key(store: Store) -> None:
    with store.reading_station("T") as other:
        pack_id = other.packs_here()[0].id
        swap_id = other.exec(select(Swap.id)).one()
        fault_id = other.exec(select(FaultRow.id)).one()
    with store.reading_station("S") as db:
        assert db.get(Bay, "T:A1") is None
        assert db.pack(pack_id) is None
        assert db.swap(swap_id) is None
        assert db.get(FaultRow, fault_id) is None
        assert db.get(Station, "T") is None
        assert not db.seats(swap_id)
        assert db.get(SwapSeat, (swap_id, 1)) is None
        assert not db.exec(select(Bill).where(Bill.swap_id == swap_id)).all()
        assert not db.exec(
            select(BillLine).join(Bill, col(Bill.id) == BillLine.bill_id).where(Bill.swap_id == swap_id)
        ).all()


def test_a_change_of_all_rows_changes_this_stations(store: Store) -> None:
    with store.station("S") as db:
        db.exec(update(Bay).values(blocked=True))
        db.exec(delete(SiteSample))
        db.exec(update(Pack).values(state="quarantined"))
    with store.reading_station("T") as db:
        assert not any(bay.blocked for bay in db.bays())
        assert db.exec(select(SiteSample)).all()
        assert not any(pack.state == "quarantined" for pack in db.packs_here())


@pytest.mark.parametrize(
    "row",
    [
        lambda: SiteSample(station_id="T", at=AT, limit_kw=1, ready_packs=1, queue_length=0),
        lambda: Bay(id="T:X", station_id="T", name="X", position=99, role="rack"),
        lambda: StationEvent(station_id="T", seq=999, at=AT, kind="k", actor="x", prev_hash="", hash=""),
    ],
)
def test_a_row_of_another_station_is_not_written(store: Store, row: object) -> None:
    with pytest.raises(OtherStation, match="station T was to be written by station S"), store.station("S") as db:
        db.add(row())  # type: ignore[operator]


def test_journals_count_for_themselves(store: Store) -> None:
    for _ in range(3):
        for station_id in ("S", "T"):
            with store.station(station_id) as db:
                db.append(Reconciled(examined=0, mismatches=()), at=AT)
    for station_id in ("S", "T"):
        with store.reading_station(station_id) as db:
            events = db.events()
            assert [e.seq for e in events] == list(range(1, len(events) + 1))
            assert {e.station_id for e in events} == {station_id}


def test_a_station_that_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound, match="no station 'X'"), store.station("X"):
        pass


def test_a_stale_holder_writes_nothing(store: Store) -> None:
    with store.reading_station("S") as db:
        before = db.events()[-1].seq
    with pytest.raises(LeaseLost, match="no longer by somebody"), store.station("S", holder="somebody") as db:
        db.append(Reconciled(examined=0, mismatches=()), at=AT)
    with store.reading_station("S") as db:
        assert db.events()[-1].seq == before


def test_a_writer_of_one_station_does_not_wait_for_another_on_postgres(postgres_url: str) -> None:
    store = Store(postgres_url)
    sync_station(store, station(), AT)
    sync_station(store, other_station(), AT)
    through, whole = threading.Event(), threading.Event()

    def other() -> None:
        with store.station("T") as db:
            db.append(Reconciled(examined=0, mismatches=()), at=AT)
        through.set()

    def all_of_them() -> None:
        with store.transaction():
            whole.set()

    threads = [threading.Thread(target=other), threading.Thread(target=all_of_them)]
    with store.station("S") as db:
        db.append(Reconciled(examined=0, mismatches=()), at=AT)
        threads[0].start()
        assert through.wait(20), "the other station waited"
        threads[1].start()
        assert not whole.wait(0.3), "a writer of the whole did not wait for the station"
    assert whole.wait(20)
    for thread in threads:
        thread.join()
    store.close()


SWAPS, SEATS, BOOKINGS = (Base.metadata.tables[name] for name in ("swap", "swap_seat", "booking"))


def test_a_statement_on_tables_asks_each_of_them_for_the_own_station(store: Store) -> None:
    here = SWAPS.c.station_id == bindparam("station")
    joined = sql_select(SWAPS.c.id, BOOKINGS.c.id).join(BOOKINGS, BOOKINGS.c.id == SWAPS.c.booking_id, isouter=True)
    alone = sql_select(SEATS.c.swap_id, SEATS.c.seat).where(
        SEATS.c.seat == 1
    )  # names no station, and is joined to none
    fixed = sql_select(SWAPS).where(SWAPS.c.station_id == "S")
    for forgotten in (sql_select(SWAPS.c.id), joined.where(here), fixed, alone):
        with pytest.raises(ValueError, match="of every station"):
            OfStation(forgotten)
    OfStation(joined.where(here, BOOKINGS.c.station_id == bindparam("station")))
    own = OfStation(sql_select(SWAPS.c.id, SEATS.c.seat).join(SEATS, SEATS.c.swap_id == SWAPS.c.id).where(here))
    with store.reading() as whole:
        everybody = {row.station_id for row in whole.exec(select(Swap))}
    assert len(everybody) == 2
    for station_id in everybody:
        with store.reading_station(station_id) as db:
            assert {row.id for row in db.rows(own)} == {row.id for row in db.exec(select(Swap))}
        with store.station(station_id) as writing:  # what was written before is read
            swap = writing.exec(select(Swap)).one()
            swap.end_reason = "seen"
            told = OfStation(sql_select(SWAPS.c.end_reason).where(here, SWAPS.c.id == bindparam("swap")))
            assert [row.end_reason for row in writing.rows(told, swap=swap.id)] == ["seen"]


def test_the_version_is_that_of_what_was_written(store: Store) -> None:
    with store.station("S") as db:
        before = db.version()
        assert db.version() == before
        db.exec(select(Bay)).first().blocked = True  # type: ignore[union-attr]
        assert db.version() == before + 1
