"""One corruption for each column of each table, made from the schema: found, and named, or listed with the reason.

The audit's rows of the faults that a tester found (B10, B12, B13; of B11 what the journal contradicts) are scripts of
`test_audit` and, on both engines, of `test_audit_engines`.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from swap.audit import audit
from tests.support.swap.damage import TABLES, Examined, bare, columns, corrupt
from tests.support.swap.days import eventful, shared_station
from tests.support.swap.station import Bench

LISTED = Path(__file__).with_name("audit_columns.toml")
UNCONTRADICTED: dict[str, str] = tomllib.loads(LISTED.read_text(encoding="utf-8"))["uncontradicted"]
AT_MOST = 0.15
"""Share of the columns that may be contradicted by nothing."""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examined]:
    """An eventful day in tables that have neither triggers nor constraints."""
    folder = tmp_path_factory.mktemp("eventful")
    bench = Bench(folder, shared_station(), speed=20.0)
    try:
        asyncio.run(eventful(bench))
    finally:
        bench.close()
    examined = Examined(bare(folder / "swap.db", folder))
    yield examined
    examined.close()


def test_an_eventful_day_is_clean_and_every_invariant_looked_at_something(day: Examined) -> None:
    report = day.after("")
    assert {i.name: i.violations for i in report.invariants if i.violations} == {}
    # No heads are given; the promised pack is taken; accounts have a day of their own (`test_audit_accounts`),
    # and a stranded truck has (`test_audit_leases`).
    idle = {"journal_reaches_heads", "reserved_pack_is_promised", "access_in_its_changes", "sign_ins_bounded"}
    idle |= {"stranding_as_told", "response_as_settled"}
    assert {i.name for i in report.invariants if not i.examined} == idle


def test_a_standing_booking_has_dealt_with_every_day_that_it_has_booked(day: Examined) -> None:
    for script in (
        "UPDATE standing_booking SET made_until = NULL",
        "UPDATE standing_booking SET made_until = starts_on",
    ):
        found = {i.name for i in day.after(script).invariants if i.violations}
        assert "standing_in_journal" in found


@pytest.mark.parametrize("table", TABLES)
def test_each_corrupted_column_is_found_and_named_or_listed(day: Examined, table: str) -> None:
    wrong = {}
    for owner, column in columns():
        if owner != table:
            continue
        with day.opened() as (db, connection):
            damage = corrupt(connection, table, column)
            report = audit(db)
        listed = f"{table}.{column}" in UNCONTRADICTED
        # Whether about twice a random token is still one is chance: no other record contradicts it.
        looked_at = [i for i in report.invariants if not (listed and i.name == "values_in_range")]
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
