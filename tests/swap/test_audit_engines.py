"""What a tester did to a database and nobody found (B11, B12, B13): found on both engines.

Each damage is done behind the back of triggers and constraints, in a transaction that is rolled back. Where the
journal itself is damaged it is hashed anew afterwards, so that the chain is whole.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlmodel import Session

from swap.audit import AuditReport, audit
from swap.audit.rows import instant
from swap.commerce.bills.money import FEN, taxed
from swap.commerce.charges import half_up
from swap.journal.canonical import canonical_json
from swap.journal.chain import FIRST, Entry, entry_hash
from tests.conftest import BOTH_ENGINES
from tests.support.postgres import PostgresServer
from tests.support.sim.plant import station
from tests.support.swap.damage import TABLES, bare
from tests.support.swap.databases import fill
from tests.support.swap.days import ordinary, shared_station
from tests.support.swap.station import START_AT, Bench

DONE = "(SELECT min(id) FROM swap WHERE state = 'completed')"
COMPLETED = f"(SELECT max(seq) FROM station_event WHERE kind = 'swap.completed' AND swap_id = {DONE})"
BILL = f"(SELECT id FROM bill WHERE kind = 'swap' AND swap_id = {DONE})"
SPENT = "(SELECT pack_id FROM charge_session ORDER BY id LIMIT 1)"
BOOKINGS = ", ".join(
    f"('bk-{number}', 'test', 'V3', '2026-09-01 09:00:00', '2026-09-01 09:15:00', 'booked', '2026-09-01 03:00:00', "
    "'[]', 1, 0, 0, 'automatic', '')"
    for number in range(20)
)

DAMAGE: dict[str, tuple[str, str, bool]] = {
    # what was done: statement, the invariant that finds it, whether the journal is hashed anew
    "vehicle row deleted": ("DELETE FROM vehicle WHERE id = 'V1'", "references_exist", False),
    "pack owner unknown": (
        "UPDATE pack SET owner_id = 'nobody' WHERE bay_id = 'test:A1'", "references_exist", False,
    ),
    "SoC 250 %": ("UPDATE pack SET soc_pct = 250 WHERE bay_id = 'test:A1'", "values_in_range", False),
    "5 000 kWh in a 282": (
        "UPDATE pack SET energy_kwh = 5000 WHERE bay_id = 'test:A1'", "pack_energy_possible", False,
    ),
    "charging session's end 9 999 kWh": (
        f"UPDATE charge_session SET end_energy_kwh = 9999 WHERE pack_id = {SPENT}", "pack_energy_possible", False,
    ),
    "meter backwards": (
        "UPDATE charge_session SET end_meter_kwh = start_meter_kwh - 5 WHERE end_meter_kwh IS NOT NULL",
        "charge_in_journal", False,
    ),
    "20 open bookings in a slot of 2": (
        "INSERT INTO booking (id, station_id, vehicle_id, window_start_at, window_end_at, status, created_at, kinds, "
        "packs, min_kwh, priority, promised_in, trouble) VALUES "
        + BOOKINGS,
        "bookings_fit", False,
    ),
    "cancelled booking deleted": ("DELETE FROM booking WHERE status = 'cancelled'", "booking_in_journal", False),
    "fault acknowledged without event": (
        "INSERT INTO fault (id, station_id, code, level, source, raised_at, acknowledged_at, acknowledged_by, "
        "cleared_at, data) VALUES (900, 'test', 7001, 2, 'lane:L1', '2026-09-01 03:00:00', '2026-09-01 03:01:00', "
        "'person:x', '2026-09-01 03:02:00', '{}')",
        "fault_in_journal", False,
    ),
    "actor forged": ("UPDATE station_event SET actor = 'person:x' WHERE seq = 20", "actors_known", True),
    "unknown mode": ("UPDATE station SET mode = 'asleep'", "codes_known", False),
    "bay blocked without event": (
        "UPDATE bay SET blocked = TRUE, blocked_reason = 'so' WHERE id = 'test:A1'", "bay_in_journal", False,
    ),
    "event back to 2020": (
        "UPDATE station_event SET at = '2020-01-01 00:00:00.000000' WHERE seq = 20", "journal_in_time", True,
    ),
    "swap ended before arrival": (
        f"UPDATE swap SET ended_at = '2026-09-01 02:00:00' WHERE id = {DONE}", "swap_in_journal", False,
    ),
    "completion moved to another tariff hour": (
        f"UPDATE station_event SET at = '2026-09-01 02:30:00.000000' WHERE seq = {COMPLETED}; "
        f"UPDATE swap SET ended_at = '2026-09-01 02:30:00.000000', entered_at = '2026-09-01 02:30:00.000000' "
        f"WHERE id = {DONE}",
        "journal_in_time", True,
    ),
    "unit price doubled consistently": (
        f"UPDATE bill_line SET unit_price_1e4_yuan = 2 * unit_price_1e4_yuan, amount_fen = 2 * amount_fen "
        f"WHERE bill_id = {BILL}; UPDATE bill SET total_fen = 2 * total_fen WHERE id = {BILL}",
        "bill_in_journal", False,
    ),
    "payer changed": (f"UPDATE bill SET payer_id = 'owner' WHERE id = {BILL}", "bill_in_journal", False),
    "flag removed": ("UPDATE bill SET flags = '' WHERE flags <> ''", "bill_in_journal", False),
}  # fmt: skip


def hash_anew(db: Session) -> None:
    """Chain the journal again, as somebody would who wants to hide what he did."""
    previous = FIRST
    columns = ", ".join(Entry.__slots__)
    for row in db.execute(text(f"SELECT {columns} FROM station_event ORDER BY seq")).all():
        fields = row._asdict() | {"at": instant(row.at), "prev_hash": previous}
        own = entry_hash(Entry(**fields))
        values = {"previous": previous, "own": own, "seq": row.seq}
        db.execute(text("UPDATE station_event SET prev_hash = :previous, hash = :own WHERE seq = :seq"), values)
        previous = own


@pytest.fixture(scope="module", params=BOTH_ENGINES)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with an ordinary day, whose tables refuse nothing."""
    folder = tmp_path_factory.mktemp("engines")
    if request.param == "sqlite":
        _write(folder, None)
        yield f"sqlite:///{bare(folder / 'swap.db', folder)}"
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    with postgres.database(request.getfixturevalue("postgres_template")) as made:
        fill(made, station(), START_AT)
        _write(folder, made)
        engine = create_engine(made)
        with engine.begin() as connection:
            for table in TABLES:
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
                constraints = text(
                    "SELECT conname FROM pg_constraint WHERE conrelid = CAST(:table AS regclass) AND contype <> 'p'"
                )
                for name in connection.execute(constraints, {"table": table}).scalars().all():
                    connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE"))
        engine.dispose()
        yield made


@pytest.fixture(scope="module")
def engine(url: str) -> Iterator[Engine]:
    made = create_engine(url)
    yield made
    made.dispose()


def _write(folder: Path, database: str | None) -> None:
    bench = Bench(folder, shared_station(), url=database, speed=20.0)
    try:
        asyncio.run(ordinary(bench))
    finally:
        bench.close()


def examine(engine: Engine, statement: str, *, anew: bool) -> AuditReport:
    """The audit of a database after a statement, which is taken back."""
    with Session(engine) as db:
        for part in filter(None, statement.split(";")):
            changed = db.execute(text(part))
            assert changed.rowcount > 0, "the damage met no row"  # type: ignore[attr-defined]
        if anew:
            hash_anew(db)
        report = audit(db)
        db.rollback()
        return report


@pytest.mark.parametrize("what", DAMAGE)
def test_what_a_tester_did_is_found_by_name(engine: Engine, what: str) -> None:
    statement, invariant, anew = DAMAGE[what]
    found = {i.name: i.violations for i in examine(engine, statement, anew=anew).invariants if i.violations}
    assert invariant in found, f"others found: {list(found)}"
    assert not (anew and "journal_chained" in found), "the chain was not made whole again"


def test_nothing_is_found_where_nothing_was_done(engine: Engine) -> None:
    report = examine(engine, "", anew=True)
    assert {i.name: i.violations for i in report.invariants if i.violations} == {}


def doubled(said: dict[str, Any]) -> None:
    """The unit price, with everything that is made of it."""
    for line in said["lines"]:
        line["unit_price_1e4_yuan"] *= 2
        _made_of(line)


def twice(said: dict[str, Any]) -> None:
    said["lines"] = [*said["lines"], dict(said["lines"][-1])]


def other_payer(said: dict[str, Any]) -> None:
    said["payer_id"] = "owner"
    for line in said["lines"]:
        line["buyer_id"] = "owner"


def other_seller(said: dict[str, Any]) -> None:
    for line in said["lines"]:
        line["payee_id"] = "owner"


def other_period(said: dict[str, Any]) -> None:
    for line in said["lines"]:
        line["tariff_period"] = "peak" if line["tariff_period"] != "peak" else "valley"


def more_energy(said: dict[str, Any]) -> None:
    for line in said["lines"]:
        line["energy_centi_kwh"] += 100
        line["basis"]["lsoe_kwh"] = str(Decimal(line["basis"]["lsoe_kwh"]) + 1)
        line["basis"]["difference_kwh"] = str(Decimal(line["basis"]["difference_kwh"]) + 1)
        _made_of(line)


def no_flags(said: dict[str, Any]) -> None:
    said["flags"] = []


def less_tax(said: dict[str, Any]) -> None:
    for line in said["lines"]:
        line["tax_rate_bp"] = 300
        _made_of(line)


def _made_of(line: dict[str, Any]) -> None:
    yuan = Decimal(line["energy_centi_kwh"]) * line["unit_price_1e4_yuan"] / 1_000_000
    tax = taxed(yuan, Decimal(line["tax_rate_bp"]) / 10_000, included=line["tax_included"])
    line["amount_fen"], line["tax_fen"] = int(half_up(yuan, FEN) * 100), int(tax.tax_yuan * 100)


@pytest.mark.parametrize(
    ("change", "invariant"),
    [
        (doubled, "bill_priced_by_its_instant"),
        (twice, "bill_energy_is_the_packs"),
        (other_payer, "bill_priced_by_its_instant"),
        (other_seller, "bill_priced_by_its_instant"),
        (other_period, "bill_priced_by_its_instant"),
        (more_energy, "bill_energy_is_the_packs"),
        (no_flags, "bill_flagged"),
        (less_tax, "bill_priced_by_its_instant"),
    ],
)
def test_a_bill_edited_with_its_total_and_its_event_is_found(
    engine: Engine, change: Callable[[dict[str, Any]], None], invariant: str
) -> None:
    """The row, the event and the chain all say the same wrong thing: only working it out again contradicts it."""
    with Session(engine) as db:
        _edit(db, change)
        hash_anew(db)
        found = {i.name: i.violations for i in audit(db).invariants if i.violations}
        db.rollback()
    assert invariant in found, f"others found: {list(found)}"
    hidden = {"bill_in_journal", "bill_adds_up", "journal_chained", "journal_understood"}
    assert hidden & found.keys() == set(), "the edit was not hidden well"


def _edit(db: Session, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a bill, its lines and its event alike, and what was invoiced of it."""
    bill_id = db.execute(text(f"SELECT id FROM bill WHERE id = {BILL}")).scalar_one()
    events = db.execute(text("SELECT seq, data FROM station_event WHERE kind = 'bill.issued'")).all()
    seq, told = next((seq, data) for seq, data in events if json.loads(data)["bill_id"] == bill_id)
    said = json.loads(told)
    change(said)
    said["total_fen"] = sum(line["amount_fen"] for line in said["lines"])
    db.execute(
        text("UPDATE bill SET total_fen = :total, payer_id = :payer, flags = :flags WHERE id = :id"),
        {"total": said["total_fen"], "payer": said["payer_id"], "flags": ",".join(said["flags"]), "id": bill_id},
    )
    reversal = text(f"UPDATE bill SET flags = :flags WHERE kind = 'reversal' AND swap_id = {DONE}")
    db.execute(reversal, {"flags": ",".join(said["flags"])})
    rows = [dict(row) for row in db.execute(text(f"SELECT * FROM bill_line WHERE bill_id = {BILL}")).mappings()]
    db.execute(text(f"DELETE FROM bill_line WHERE bill_id = {BILL}"))
    for number, line in enumerate(said["lines"], start=1):
        told_of = {name: value for name, value in line.items() if name not in ("basis", "priced_at")}
        row = rows[min(number, len(rows)) - 1] | told_of
        row |= {"line_no": number, "basis": json.dumps(line["basis"])}
        names = ", ".join(row)
        db.execute(text(f"INSERT INTO bill_line ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), row)
    db.execute(
        text("UPDATE station_event SET data = :data WHERE seq = :seq"), {"data": canonical_json(said), "seq": seq}
    )
