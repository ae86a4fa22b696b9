"""One corruption for each column of each table, made from the schema: found, and named, or listed with the reason.

The audit's rows of the faults that a tester found (B10, B12, B13; of B11 what the journal contradicts) are scripts of
`test_audit` and, on both engines, of `test_audit_engines`.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from swap.audit import AuditReport, audit
from swap.store import Store
from tests.support.swap.damage import TABLES, bare, columns, corrupt
from tests.support.swap.days import eventful, shared_station
from tests.support.swap.station import Bench

LISTED = Path(__file__).with_name("audit_columns.toml")
UNCONTRADICTED: dict[str, str] = tomllib.loads(LISTED.read_text(encoding="utf-8"))["uncontradicted"]
AT_MOST = 0.15
"""Share of the columns that may be contradicted by nothing."""


def examine(path: Path) -> AuditReport:
    store = Store(f"sqlite:///{path}")
    try:
        with store.reading() as db:
            return audit(db)
    finally:
        store.close()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database file of an eventful day, without triggers and constraints."""
    folder = tmp_path_factory.mktemp("eventful")
    bench = Bench(folder, shared_station(), speed=20.0)
    try:
        asyncio.run(eventful(bench))
    finally:
        bench.close()
    return bare(folder / "swap.db", folder)


def test_an_eventful_day_is_clean_and_every_invariant_looked_at_something(day: Path) -> None:
    report = examine(day)
    assert {i.name: i.violations for i in report.invariants if i.violations} == {}
    # No heads are given; the promised pack is taken; accounts have a day of their own (`test_audit_accounts`).
    idle = {"journal_reaches_heads", "reserved_pack_is_promised", "access_in_its_changes", "sign_ins_bounded"}
    assert {i.name for i in report.invariants if not i.examined} == idle


@pytest.mark.parametrize("table", TABLES)
def test_each_corrupted_column_is_found_and_named_or_listed(day: Path, tmp_path: Path, table: str) -> None:
    wrong = {}
    for owner, column in columns():
        if owner != table:
            continue
        path = tmp_path / "one.db"
        shutil.copy(day, path)
        with closing(sqlite3.connect(path)) as connection:
            damage = corrupt(connection, table, column)
            connection.commit()
        listed = f"{table}.{column}" in UNCONTRADICTED
        # Whether about twice a random token is still one is chance: no other record contradicts it.
        looked_at = [i for i in examine(path).invariants if not (listed and i.name == "values_in_range")]
        violations = [text for i in looked_at for text in i.violations]
        named = any(damage.named_in(text) for text in violations)
        if named == listed:
            wrong[column] = "found, and listed as not to be found" if named else f"{damage}: {violations}"
    assert wrong == {}


def test_few_columns_are_listed_and_each_with_a_reason() -> None:
    every = {f"{table}.{column}" for table, column in columns()}
    assert UNCONTRADICTED.keys() <= every
    assert all(len(reason) > 10 for reason in UNCONTRADICTED.values())
    assert len(UNCONTRADICTED) <= AT_MOST * len(every)
