"""A database of the first release, brought to the newest schema on both engines: nothing is lost."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy import JSON, Connection, DateTime, bindparam, create_engine, text
from sqlmodel import select

from sim.plant.plant import Plant
from swap.audit import audit
from swap.commerce.leases.contracts import lease_of, terms_hash
from swap.commerce.seals import sealed
from swap.events import newest_heads
from swap.messages.commerce import PricesSet
from swap.messages.events import ControllerStarted, FileTaken, RequestAnswered
from swap.station.life.coming_back import Cause
from swap.store import Store
from swap.tables import HotPack, LeaseContract, LeaseEvent
from tests.support.sim.plant import station
from tests.support.swap.leases import terms as plain_terms
from tests.support.swap.station import START_AT, Bench

RELEASE = Path(__file__).parents[1] / "vectors" / "release"
SAME = (
    "party", "vehicle", "bay", "controller_lease", "site_sample", "pack", "charge_session", "swap_seat", "bill",
)  # fmt: skip
"""Tables of which every row and column stays as it was."""
NEW_OF_A_BOOKING = (
    "alternative_start_at", "alternative_end_at", "alternative_until_at", "standing_id", "standing_on",
)  # fmt: skip
LASTED_S = 4607.0
"""How far the release's station had come."""
Old = tuple[str, dict[str, list[dict[str, Any]]]]
"""URL of a database, and its rows by table before it was upgraded."""


TOLD_SINCE = (
    "buyer_id", "sale", "for_id", "tax_included", "tax_category", "tax_rate_bp", "tax_fen", "priced_at",
    "tariff_period", "prices_seq", "contract_id", "contract_version",
)  # fmt: skip
"""Columns of the lines of bills that came later."""


def load(url: str) -> None:
    """Fill an empty database with what the release left."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript((RELEASE / "c999fc7.sqlite.sql").read_text(encoding="utf-8"))
        return
    with psycopg.connect(url.replace("+psycopg", "")) as postgres:
        postgres.execute((RELEASE / "c999fc7.postgres.sql").read_bytes())


def rows(db: Connection, table: str) -> list[dict[str, Any]]:
    """Every row, in an order of its own text."""
    found = [dict(row) for row in db.execute(text(f"SELECT * FROM {table}")).mappings()]
    return sorted(found, key=repr)


@pytest.fixture
def old(empty_database_url: str) -> Old:
    """URL of an upgraded database, and the rows that it had before."""
    load(empty_database_url)
    engine = create_engine(empty_database_url)
    with engine.connect() as db:
        tables = [*SAME, "station", "swap", "booking", "station_event", "control_request", "fault", "bill_line"]
        before = {table: rows(db, table) for table in [*tables, "robot_command"]}
    engine.dispose()
    store = Store(empty_database_url)
    store.upgrade()
    store.check()
    store.close()
    return empty_database_url, before


def after(url: str, *tables: str) -> dict[str, list[dict[str, Any]]]:
    engine = create_engine(url)
    with engine.connect() as db:
        found = {table: rows(db, table) for table in tables}
    engine.dispose()
    return found


def test_every_row_is_still_there(old: Old) -> None:
    url, before = old
    # Keys of requests stand beside their answers now, which nobody had kept.
    assert any([row.pop("idempotency_key") for table in ("booking", "swap") for row in before[table]])
    for table in ("booking", "swap"):
        before[table].sort(key=repr)
    now = after(url, *before, "person")
    for row in now["bay"]:
        assert not row.pop("reading_fresh")  # until a controller has looked
    for row in now["site_sample"]:
        assert [row.pop(name) for name in ("pv_kw", "storage_kw", "storage_kwh", "covered_s")] == [None] * 4
        assert row.pop("mean_s") == 0  # as it was taken
    at_station = {row["id"]: row["station_id"] for row in now["swap"]}
    for row in now["bill"]:
        assert row.pop("station_id") == at_station[row["swap_id"]]
    assert {table: now[table] for table in SAME} == {table: before[table] for table in SAME}
    assert all(before[table] for table in SAME)
    for row in now["booking"]:
        assert {name: row.pop(name) for name in NEW_OF_A_BOOKING if row[name] is None}.keys() >= {"standing_id"}
        assert (row.pop("packs"), row.pop("min_kwh"), row.pop("priority")) == (1, 0.0, 0)
        assert (row.pop("promised_in"), row.pop("trouble")) == ("automatic", "")
        assert row.pop("kinds") in ("[]", [])  # the register knew no models then: all that the truck takes
    assert sorted(now["booking"], key=repr) == before["booking"]
    for row in now["station"]:
        assert row.pop("number") == 1
        assert row.pop("waiting") in ("{}", {})  # until a controller has looked
    for row in now["robot_command"]:
        assert row.pop("station_id") == "test"
    assert now["station"] == before["station"]
    assert sorted(now["robot_command"], key=repr) == before["robot_command"]
    names = {f"person:{row['id']}": row["name"] for row in now["person"]}
    assert set(names.values()) == {"李 Li", "Wang", "controller"}

    def named(value: object) -> object:
        return re.sub(r"person:pe-\w+", lambda m: names[m[0]], value) if isinstance(value, str) else value

    for row in now["bill_line"]:
        since = {name: row.pop(name) for name in TOLD_SINCE}
        assert (since["sale"], since["tax_included"], since["prices_seq"]) == ("own", 1, None)
        rate = {"energy": ("electricity", 1300), "service": ("service", 600)}[row["kind"]]
        assert (since["tax_category"], since["tax_rate_bp"]) == rate
        exact = Fraction(abs(row["amount_fen"]) * rate[1], 10_000 + rate[1])
        assert abs(since["tax_fen"]) == int(exact + Fraction(1, 2))
        assert since["buyer_id"] == next(bill["payer_id"] for bill in now["bill"] if bill["id"] == row["bill_id"])
    for table in ("control_request", "fault", "swap", "bill_line"):
        told = [{key: named(str(value)) for key, value in row.items()} for row in now[table]]
        was = [{key: str(value) for key, value in row.items()} for row in before[table]]
        assert sorted(told, key=repr) == sorted(was, key=repr), table
        assert now[table] != before[table], f"no person stood in {table}"


def test_every_event_is_told_as_before(old: Old) -> None:
    url, before = old
    engine = create_engine(url)
    with engine.connect() as db:
        names = {f"person:{row['id']}": row["name"] for row in rows(db, "person")}
    engine.dispose()
    store = Store(url)
    with store.reading_station("test") as station_db:
        told = [
            {"id": e.seq, "kind": e.kind, "actor": names.get(e.actor, e.actor), "swap_id": e.swap_id, "data": e.data}
            | {"pack_id": e.pack_id, "bay_id": e.bay_id, "lane_id": e.lane_id, "cause_id": e.cause_seq}
            for e in station_db.events()
        ]
        by_name = {e.actor for e in station_db.events() if e.kind == RequestAnswered.kind}
    store.close()
    was = sorted(before["station_event"], key=lambda row: row["id"])
    for row in was:
        del row["at"], row["station_id"]
        row["data"] = json.loads(row["data"]) if isinstance(row["data"], str) else row["data"]
    assert told == was
    assert all(actor.startswith("person:") for actor in by_name), "a person named controller is a person"


def test_the_audit_is_clean_and_the_chain_whole(old: Old) -> None:
    url, before = old
    store = Store(url)
    with store.reading() as db:
        heads = newest_heads(db, START_AT)
        report = audit(db, heads=heads)
    store.close()
    assert {i.name: i.violations for i in report.invariants if i.violations} == {}
    examined = {i.name: i.examined for i in report.invariants}
    assert examined["journal_chained"] == heads[0].seq == len(before["station_event"])
    assert examined["journal_reaches_heads"] == 1


async def test_the_station_goes_on(old: Old, tmp_path: Path) -> None:
    """Held, since its process died in a swap; a person lets it go on, and its journal continues the chain."""
    url, before = old
    config = station()
    plant = Plant(config, seed=5, start_at=START_AT)
    bench = Bench(tmp_path, config, url=url, plant=plant, seconds=LASTED_S)
    try:
        assert (await bench.start()).cause is Cause.RESTART
        await bench.run(30)
        events = bench.events(after=len(before["station_event"]))
        brought = (FileTaken.kind, PricesSet.kind)  # the register and the prices are new to the release's database
        events = [e for e in events if e.kind not in brought]
        assert events[0].kind == ControllerStarted.kind
        assert [e.seq for e in events] == list(range(events[0].seq, events[0].seq + len(events)))
        answered = [e.data["status"] for e in events if e.kind == RequestAnswered.kind]
        assert answered, "the request left open was not answered"
        bench.audited()
    finally:
        bench.close()


def test_hot_packs_of_the_journal_become_rows_of_their_bays(empty_database_url: str) -> None:
    """The newest procedure of each bay: one that ended, one under way after an older one."""
    load(empty_database_url)
    told: list[tuple[str, str, str | None, dict[str, Any]]] = [
        ("A1", "P1", None, {"stage": "detected", "causes": ["temperature"]}),
        ("A1", "P1", None, {"stage": "isolated", "bars": {}}),
        ("A2", "P2", None, {"stage": "detected", "causes": ["smoke"]}),
        ("A2", "P2", None, {"stage": "isolated", "bars": {}}),
        ("A2", "P3", None, {"stage": "detected", "causes": ["rise", "smoke"]}),
        ("A2", "P3", "L1", {"stage": "evacuation_started", "seq": 17}),
    ]
    insert = text(
        "INSERT INTO station_event (id, station_id, at, kind, actor, pack_id, bay_id, lane_id, data)"
        " VALUES (:id, 'test', :at, 'thermal.step', 'controller', :pack, :bay, :lane, :data)"
    ).bindparams(bindparam("data", type_=JSON()), bindparam("at", type_=DateTime(timezone=True)))
    engine = create_engine(empty_database_url)
    with engine.begin() as db:
        last = int(db.execute(text("SELECT max(id) FROM station_event")).scalar_one())
        for number, (bay, pack, lane, data) in enumerate(told, start=1):
            at = START_AT + timedelta(seconds=10_000 + number)
            values = {"id": last + number, "at": at, "pack": pack, "bay": f"test:{bay}", "lane": lane}
            db.execute(insert, values | {"data": {"bay": bay, "since_s": 0.0, **data}})
    engine.dispose()
    store = Store(empty_database_url)
    store.upgrade()
    store.check()
    with store.reading() as reading:
        found = reading.exec(select(HotPack).order_by(HotPack.bay_id)).all()
        shown = [(row.bay_id, row.pack_id, row.stage, row.lane_id, row.seq, row.causes) for row in found]
        detected = [row.detected_at for row in found]
    store.close()
    assert shown == [
        ("test:A1", "P1", "isolated", None, None, ["temperature"]),
        ("test:A2", "P3", "evacuation_started", "L1", 17, ["rise", "smoke"]),
    ]
    assert detected == [START_AT + timedelta(seconds=10_000 + n) for n in (1, 5)]


def test_versions_of_an_earlier_release_count_as_signed(empty_database_url: str) -> None:
    """A contract that was changed when no signature was asked for says so; one that was changed as a draft does not."""
    store = Store(empty_database_url)
    store.upgrade()
    command.downgrade(store.alembic_config(), "0026")
    fill_register(store)
    with store.engine.begin() as db:
        for contract, kinds in OLD_CONTRACTS.items():
            add_old_contract(db, contract, kinds)
    store.upgrade()
    store.check()
    with store.reading_commerce() as db:
        found = {one.id: one.last_unsigned_version for one in db.exec(select(LeaseContract))}
        assert found == {"lc-changed": 3, "lc-draft": 0, "lc-plain": 0}
        assert [version.number for version in lease_of(db, "lc-changed").versions] == [1, 2, 3]
        told = {i.name: (i.examined > 0, i.violations) for i in audit(db).invariants if i.name.startswith("lease_v")}
    store.close()
    assert told == {"lease_versions_kept": (True, ()), "lease_versions_signed": (True, ())}


OLD_CONTRACTS = {
    "lc-changed": ("drafted", "offer", "sign", "revised", "activate", "revised"),
    "lc-draft": ("drafted", "revised", "offer", "sign", "activate"),
    "lc-plain": ("drafted", "offer", "sign"),
}
"""Contracts as they stood in a database before versions were signed: what had happened to each."""


def fill_register(store: Store) -> None:
    with store.engine.begin() as db:
        for firm, kind in (("own", "battery_owner"), ("fleet", "fleet")):
            values = {"id": firm, "kind": kind}
            db.execute(text("INSERT INTO party (id, kind, name_zh, name_en) VALUES (:id, :kind, '', '')"), values)
        vehicle = "INSERT INTO vehicle (id, tag, model, fleet_id) VALUES (:id, :tag, 'm', 'fleet')"
        for tag, contract in enumerate(OLD_CONTRACTS, start=1):
            db.execute(text(vehicle), {"id": f"V-{contract}", "tag": tag})
        at = START_AT.strftime("%Y-%m-%d %H:%M:%S.%f") if store.is_sqlite else START_AT
        person = "INSERT INTO person (id, name, known_since_at) VALUES ('pe-1', 'Wang', :at)"
        db.execute(text(person), {"at": at})


def add_old_contract(db: Connection, contract: str, kinds: tuple[str, ...]) -> None:
    """Rows as the release before wrote them."""
    at: Any = START_AT if db.dialect.name == "postgresql" else START_AT.strftime("%Y-%m-%d %H:%M:%S.%f")
    terms = plain_terms(vehicles=[f"V-{contract}"]).stored()
    first = {"id": contract, "at": at, "state": "active" if "activate" in kinds else "signed"}
    db.execute(
        text(
            "INSERT INTO lease_contract (id, lessor_id, lessee_id, zone, first_day, state, made_at) "
            "VALUES (:id, 'own', 'fleet', 'Asia/Shanghai', '2024-01-01', :state, :at)"
        ),
        first,
    )
    for no, kind in enumerate(kinds, start=1):
        event = LeaseEvent(
            contract_id=contract, no=no, at=START_AT, kind=kind, day="2024-01-01", actor="person:pe-1", data={}
        )
        if kind in ("drafted", "revised"):
            number = 1 + kinds[: no - 1].count("revised") + (kind == "revised")
            event.data = {"version": number, "hash": terms_hash(terms, {"lfp": "282"}, "2024-01-01")}
            said = json.dumps(terms), json.dumps({"lfp": "282"})
            db.execute(
                text(
                    "INSERT INTO lease_version "
                    "(contract_id, version, effective_day, terms, rated_kwh, made_at, made_by) "
                    "VALUES (:id, :number, '2024-01-01', :terms, :rated, :at, 'person:pe-1')"
                ),
                {"id": contract, "number": number, "terms": said[0], "rated": said[1], "at": at},
            )
            vehicle = "INSERT INTO lease_vehicle (contract_id, version, vehicle_id) VALUES (:id, :number, :vehicle)"
            db.execute(text(vehicle), {"id": contract, "number": number, "vehicle": f"V-{contract}"})
        row = sealed(event).model_dump() | {"at": at, "data": json.dumps(event.data)}
        names = ", ".join(row)
        db.execute(text(f"INSERT INTO lease_event ({names}) VALUES (:{', :'.join(row)})"), row)


def test_a_journal_with_a_gap_is_not_numbered_anew(tmp_path: Path) -> None:
    sqlite_url = f"sqlite:///{tmp_path / 'old.db'}"
    load(sqlite_url)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        connection.executescript("DROP TRIGGER station_event_no_delete; DELETE FROM station_event WHERE id = 30;")
    store = Store(sqlite_url)
    with pytest.raises(RuntimeError, match="the journal has a gap"):
        store.upgrade()
    store.close()
