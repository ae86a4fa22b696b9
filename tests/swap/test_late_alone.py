"""Bills that were corrected later, by a late reading or a changed contract: the same from the journal alone."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlmodel import select

from swap.commerce.bills.late import correct_late
from swap.commerce.leases.billing import ContractTerms
from swap.commerce.leases.contracts import answer_version, lease_of, revise
from swap.commerce.leases.states import VersionStep
from swap.commerce.leases.terms import SwapBilling
from swap.journal.lines import JournalLine, read_line
from swap.keeping.archive import exported
from swap.messages.events import FileTaken
from swap.messages.packs import ChargeEnded
from swap.tables import LeaseContract
from tests.support.swap.databases import migrate
from tests.support.swap.leases import WHO
from tests.support.swap.station import Bench
from tests.swap.test_commerce_alone import BILLED, OF_CONTRACTS, A, alone, billed, config, contract, live, take


async def late(folder: Path, url: str) -> tuple[list[JournalLine], dict[str, list[str]], datetime]:
    """A swap that is billed before its pack is read, and again when it has been: journal, rows of bills, when."""
    bench = Bench(folder, config(A, 1, basis="charged_energy", charging_wait_s=0), url=url, speed=20.0)
    await bench.start()
    await bench.run(5)
    await live(bench, 1)
    at = bench.clock.now()
    assert correct_late(bench.store, A, at) == (), "the pack is charged"
    await bench.run_until(ChargeEnded.kind, 20_000)
    await bench.run(120, 20)
    at = bench.clock.now()
    first = billed(bench.store, BILLED[:1])["Bill"]
    assert [json.loads(row)["flags"] for row in first] == ["first_swap,unmeasured"]
    assert len(correct_late(bench.store, A, at)) == 1
    with bench.store.reading_station(A) as db:
        lines = [read_line(line, A) for line in exported(db)]
    rows = billed(bench.store, BILLED[:2])
    bench.close()
    return lines, rows, at


def test_a_bill_that_was_corrected_by_a_late_reading_is_the_same(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'station.db'}"
    migrate(url)
    lines, rows, at = asyncio.run(late(tmp_path, url))
    with alone() as store:
        assert not take(store, lines, at).problems
        assert billed(store, BILLED[:2]) == rows
    assert {json.loads(row)["kind"] for row in rows["Bill"]} == {"swap", "reversal", "correction"}


def test_journals_make_the_same_correction_where_the_contract_is_known(tmp_path: Path) -> None:
    """A correction by a contract that was changed is worked out again from journal and contract, to the byte."""
    url = f"sqlite:///{tmp_path / 'station.db'}"
    migrate(url)
    lines, rows, contracts, at = asyncio.run(changed_late(tmp_path, url))
    first = [line.entry.kind for line in lines].index(FileTaken.kind) + 1
    unchanged = [(table, values) for table, values in contracts if not _of_second(values)]
    for known in (contracts, unchanged):
        with alone() as store:
            take(store, lines[:first], at)
            with store.commerce() as db:
                for table, values in known:
                    db.add(table(**values))
                    db.flush()
            problems = take(store, lines, at).problems
            assert len(problems) == (known is not contracts)
            if problems:  # the change is not known here
                assert "leave as it is" in problems[0]
            else:
                assert billed(store, BILLED[:2]) == rows


def _of_second(values: dict[str, Any]) -> bool:
    """Whether a row is of the second version of a contract, or tells of it."""
    return 2 in (values.get("version"), values.get("data", {}).get("version"))


async def changed_late(folder: Path, url: str) -> tuple[list[JournalLine], dict[str, list[str]], list[Any], datetime]:
    """A swap by a contract whose price is lowered for its day: offered before the swap, and signed afterwards."""
    bench = Bench(folder, config(A, 1), url=url, speed=20.0)
    bench.terms = ContractTerms()
    await bench.start()
    await bench.run(5)
    at = bench.clock.now()
    contract(bench.store, at - timedelta(days=3), A, [1], swaps={"service_yuan_per_kwh": "0.21"})
    with bench.store.commerce() as db:
        (contract_id,) = db.exec(select(LeaseContract.id))
        known = lease_of(db, contract_id)
        cheaper = known.terms.model_copy(update={"swaps": SwapBilling(service_yuan_per_kwh=Decimal("0.11"))})
        offered = revise(db, contract_id, known.terms.first_day, cheaper, at=at, actor=WHO)
    await live(bench, 1)
    later = bench.clock.now() + timedelta(days=1)
    assert correct_late(bench.store, A, later, terms=ContractTerms()) == ()
    with bench.store.commerce() as db:
        answer_version(db, contract_id, offered, VersionStep.SIGN, at=later, actor=WHO)
    assert len(correct_late(bench.store, A, later, terms=ContractTerms())) == 1
    with bench.store.reading_station(A) as here:
        lines = [read_line(line, A) for line in exported(here)]
    with bench.store.reading_commerce() as db:
        contracts = [(table, row.model_dump()) for table in OF_CONTRACTS for row in db.exec(select(table))]
    rows = billed(bench.store, BILLED[:2])
    bench.close()
    return lines, rows, contracts, later
