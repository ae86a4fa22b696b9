"""The schema on both engines: migrations, constraints of physical truth, rows that are never changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import CheckConstraint, inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import Session, select

from swap.audit.allowed import CODES
from swap.events import append_event
from swap.messages.events import Reconciled
from swap.store import Store
from swap.tables import (
    Base,
    Bay,
    Bill,
    BillLine,
    Booking,
    KeptAnswer,
    Pack,
    Party,
    Station,
    StationEvent,
    Swap,
    VehicleRow,
)
from swap.tables.codes import KNOWN

AT = datetime(2026, 11, 1, 8, tzinfo=UTC)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    yield store
    store.close()


def fill(db: Session) -> None:
    """One of everything that other rows point at."""
    db.add_all([Party(id="p", kind="fleet", name_zh="甲", name_en="A")])
    db.flush()
    db.add(Station(id="S", name_zh="站", name_en="S", timezone="Asia/Shanghai", operator_id="p", mode_since_at=AT))
    db.add(VehicleRow(id="V1", tag=1, model="m", fleet_id="p"))
    db.flush()
    db.add_all([Bay(id=f"S:A{n}", station_id="S", name=f"A{n}", position=n, role="rack") for n in (1, 2)])
    db.flush()


def pack(number: int, **place: Any) -> Pack:
    return Pack(
        id=f"{number:024d}",
        kind="k",
        owner_id="p",
        rated_kwh=282,
        state="received",
        state_since_at=AT,
        **place,
    )


def test_tables_and_migrations_agree(store: Store) -> None:
    store.check()


def test_check_constraints_are_those_of_the_tables(store: Store) -> None:
    """Alembic's comparison leaves these out."""
    found = {
        (table, str(check["name"])): " ".join(check["sqltext"].split())
        for table in Base.metadata.tables
        for check in inspect(store.engine).get_check_constraints(table)
    }
    wanted = {
        (
            table.name,
            f"ck_{table.name}_{check.name}" if "ck_" not in str(check.name) else str(check.name),
        ): str(check.sqltext)
        for table in Base.metadata.sorted_tables
        for check in table.constraints
        if isinstance(check, CheckConstraint)
    }
    assert set(found) == set(wanted)
    if store.is_sqlite:  # PostgreSQL gives them back in its own words
        assert found == wanted


def test_check_sees_a_difference(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE site_sample ADD COLUMN surplus INTEGER"))
    with pytest.raises(CommandError, match="surplus"):
        store.check()


def test_upgrade_again_changes_nothing_and_downgrade_leaves_nothing(empty_database_url: str) -> None:
    store = Store(empty_database_url)
    store.upgrade()
    store.upgrade()
    assert set(Base.metadata.tables) <= set(inspect(store.engine).get_table_names())
    command.downgrade(store.alembic_config(), "0019")
    with store.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO kept_answer (organisation_id, key, fingerprint, at, headers) "
                "VALUES ('p', 'k', '', :at, '{}')"
            ),
            {"at": AT.strftime("%Y-%m-%d %H:%M:%S.%f") if store.is_sqlite else AT},
        )
    store.upgrade()
    with store.reading() as db:
        assert db.exec(select(KeptAnswer.at, KeptAnswer.until_at)).all() == [(AT, AT + timedelta(days=1))]
    command.downgrade(store.alembic_config(), "base")
    assert set(inspect(store.engine).get_table_names()) == {"alembic_version"}
    store.upgrade()
    store.check()
    store.close()


def test_instants_come_back_as_utc(store: Store) -> None:
    with store.transaction() as db:
        fill(db)
        beijing = datetime(2026, 11, 1, 16, 30, tzinfo=timezone(timedelta(hours=8)))
        append_event(db, Reconciled(examined=0, mismatches=()), station_id="S", at=beijing)
    with store.reading() as db:
        at = db.exec(select(StationEvent.at)).one()
    assert at == beijing
    assert at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("problem", "rows"),
    [
        ("no place", [lambda: pack(1)]),
        ("two places", [lambda: pack(1, bay_id="S:A1", off_site=True)]),
        ("bay and gripper", [lambda: pack(1, bay_id="S:A1", gripper_lane_id="S:L1")]),
        ("vehicle without seat", [lambda: pack(1, vehicle_id="V1")]),
        ("seat without vehicle", [lambda: pack(1, bay_id="S:A1", seat=1)]),
        ("bay holds two", [lambda: pack(1, bay_id="S:A1"), lambda: pack(2, bay_id="S:A1")]),
        (
            "seat holds two",
            [lambda: pack(1, vehicle_id="V1", seat=1), lambda: pack(2, vehicle_id="V1", seat=1)],
        ),
        (
            "gripper holds two",
            [lambda: pack(1, gripper_lane_id="S:L1"), lambda: pack(2, gripper_lane_id="S:L1")],
        ),
        ("unknown bay", [lambda: pack(1, bay_id="S:Z9")]),
        ("charge above 100 %", [lambda: pack(1, bay_id="S:A1", soc_pct=100.5)]),
        ("health of 0 %", [lambda: pack(1, bay_id="S:A1", soh_pct=0)]),
        (
            "two bays in one position",
            [lambda: Bay(id="S:B", station_id="S", name="B", position=1, role="rack")],
        ),
        ("two trucks with one tag", [lambda: VehicleRow(id="V2", tag=1, model="m", fleet_id="p")]),
        ("window that ends before it starts", [lambda: booking(1, end_at=AT - timedelta(1))]),
        ("half an alternative", [lambda: booking(1, alternative_start_at=AT)]),
        ("two open swaps of a truck", [lambda: swap(1), lambda: swap(2)]),
        ("ended swap without an end", [lambda: swap(1, state="completed")]),
        ("open swap with an end", [lambda: swap(1, ended_at=AT)]),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_refused(store: Store, problem: str, rows: list) -> None:  # type: ignore[type-arg]
    with store.transaction() as db:
        fill(db)
    with pytest.raises(IntegrityError), store.transaction() as db:
        db.add_all([row() for row in rows])
    with store.reading() as db:
        assert not db.exec(select(Pack)).all(), f"half of it was kept: {problem}"


def booking(number: int, *, end_at: datetime = AT + timedelta(hours=1), status: str = "booked", **more: Any) -> Booking:
    return Booking(
        id=f"B{number}",
        station_id="S",
        vehicle_id="V1",
        window_start_at=AT,
        window_end_at=end_at,
        status=status,
        created_at=AT,
        **more,
    )


def swap(number: int, **values: Any) -> Swap:
    values = {"open_vehicle_id": "V1"} | values
    return Swap(id=f"W{number}", station_id="S", vehicle_id="V1", entered_at=AT, arrived_at=AT, **values)


def test_closed_bookings_of_a_truck_may_be_many(store: Store) -> None:
    with store.transaction() as db:
        fill(db)
        db.add_all([booking(1, status="expired"), booking(2, status="fulfilled"), booking(3)])


WRITE_ONCE = ("station_event", "bill", "bill_line")


@pytest.mark.parametrize("table", WRITE_ONCE)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {}", "DELETE FROM {}"], ids=["update", "delete"])
def test_journal_and_bills_are_never_changed(store: Store, table: str, statement: str) -> None:
    column = {"station_event": "actor = 'x'", "bill": "total_fen = 0", "bill_line": "amount_fen = 0"}[table]
    with store.transaction() as db:
        fill(db)
        append_event(db, Reconciled(examined=0, mismatches=()), station_id="S", at=AT)
        db.add(swap(1))
        db.flush()
        db.add(Bill(id="I1", station_id="S", swap_id="W1", payer_id="p", issued_at=AT, total_fen=95))
        db.flush()
        line: dict[str, Any] = {"energy_centi_kwh": 100, "unit_price_1e4_yuan": 9500, "amount_fen": 95}
        line |= {"tax_category": "electricity", "tax_rate_bp": 1300, "tax_fen": 11}
        db.add(BillLine(bill_id="I1", line_no=1, kind="energy", payee_id="p", buyer_id="p", **line))
    with pytest.raises(DBAPIError, match=f"{table} rows are never changed"), store.transaction() as db:
        db.execute(text(statement.format(table, column)))


@pytest.mark.parametrize("table", WRITE_ONCE)
def test_postgres_does_not_truncate_them(postgres_url: str, table: str) -> None:
    store = Store(postgres_url)
    with pytest.raises(DBAPIError, match="rows are never changed"), store.transaction() as db:
        db.execute(text(f"TRUNCATE {table} CASCADE"))
    store.close()


def test_the_codes_of_columns_are_those_of_the_enums() -> None:
    """The lists of the tables are those that the program writes and the audit knows."""
    left_out = {("station", "timezone"), ("control_request", "kind")}
    of_texts = {key: codes for key, codes in CODES.items() if key not in left_out and key[1] != "code"}
    assert {key: frozenset(codes) for key, codes in KNOWN.items()} == of_texts
    assert all(codes == {str(code) for code in codes} for codes in of_texts.values())


@pytest.fixture(scope="module")
def looked_at(lasting_database_url: str) -> Iterator[Store]:
    store = Store(lasting_database_url)
    yield store
    store.close()


@pytest.mark.parametrize(("table", "column"), KNOWN)
def test_a_column_of_codes_takes_no_other(looked_at: Store, table: str, column: str) -> None:
    """Each has its constraint, on both engines, with exactly its codes."""
    found = inspect(looked_at.engine).get_check_constraints(table)
    checks = {check["name"]: check["sqltext"] for check in found}
    assert set(re.findall(r"'([\w.]*)'", checks[f"ck_{table}_{column}_known"])) == {*KNOWN[table, column]}
    assert len(checks) == len(found)


def test_a_row_with_an_unknown_code_is_refused(store: Store) -> None:
    with store.transaction() as db:
        fill(db)
    for statement in (
        "UPDATE station SET mode = 'asleep'",
        "UPDATE bay SET role = 'garage'",
        "UPDATE bay SET limited_by = 'mood'",
        "UPDATE party SET kind = 'guild'",
    ):
        with pytest.raises(DBAPIError, match=r"known"), store.engine.begin() as connection:
            connection.execute(text(statement))
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE station SET mode = 'closed'"))


def test_an_upgrade_stops_at_a_code_that_nobody_has_written(empty_database_url: str) -> None:
    """It names the column and the code, and changes nothing; mended, it goes through."""
    store = Store(empty_database_url)
    command.upgrade(store.alembic_config(), "0008")
    with store.engine.begin() as connection:
        connection.execute(text("INSERT INTO party (id, kind, name_zh, name_en) VALUES ('p', 'guild', '甲', 'A')"))
    with pytest.raises(RuntimeError, match=r"party\.kind = 'guild': allowed 'battery_owner', 'energy_seller'"):
        store.upgrade()
    assert not [c for c in inspect(store.engine).get_check_constraints("station") if "known" in str(c["name"])]
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE party SET kind = 'fleet'"))
    store.upgrade()
    store.check()
    store.close()
