"""Each invariant of the ledger and of payments barks at its own damage, done behind the back of the triggers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from swap.audit import AuditReport, audit
from swap.commerce.bills.issuing import bill_completed_swaps
from swap.store import Store
from tests.support.swap import commerce as day
from tests.support.swap.damage import Examined, bare
from tests.support.swap.paid import pay_everything

MINE = (
    "account_named", "transfer_sealed", "no_leg_unsealed", "leg_in_one_firm", "hold_settled_once",
    "transfer_has_source", "owed_is_posted", "books_balance", "books_mirror", "floors_kept", "payment_not_exceeded",
    "debt_not_overpaid", "payment_rows_sealed", "payment_told_alike",
)  # fmt: skip
LEG = "(SELECT rowid FROM ledger_leg WHERE debit_id = 'fleet:cost:rent' LIMIT 1)"
DAMAGE = {
    # the invariant that finds it: what was done
    "account_named": "UPDATE ledger_account SET kind = 'treasure' WHERE id = 'op:tax_out'",
    "transfer_sealed": f"UPDATE ledger_leg SET amount_fen = amount_fen + 1 WHERE rowid = {LEG}",
    "no_leg_unsealed": "INSERT INTO ledger_leg VALUES ('lost', 1, 'op:bank', 'op:tax_out', 5, '2026-06-30', 'posted')",
    "leg_in_one_firm": f"UPDATE ledger_leg SET debit_id = 'op:bank' WHERE rowid = {LEG}",
    "hold_settled_once": "UPDATE ledger_transfer SET settles_id = (SELECT id FROM ledger_transfer WHERE kind = "
    "'pending' ORDER BY id DESC LIMIT 1) WHERE kind <> 'pending'",
    "transfer_has_source": "DELETE FROM refund",
    "owed_is_posted": "DELETE FROM ledger_transfer WHERE id = (SELECT 'charge:' || min(id) FROM charge); "
    "UPDATE charge SET made_at = '2020-01-01 00:00:00.000000'",
    "books_balance": f"UPDATE ledger_leg SET debit_id = 'op:bank' WHERE rowid = {LEG}",
    "books_mirror": f"UPDATE ledger_leg SET credit_id = 'fleet:bank' WHERE rowid = {LEG}",
    "floors_kept": "UPDATE ledger_leg SET amount_fen = 1 WHERE credit_id = 'op:wallet:fleet'",
    "payment_not_exceeded": "UPDATE refund SET amount_fen = 9001",
    "debt_not_overpaid": "UPDATE payment_allocation SET amount_fen = 2 * amount_fen",
    "payment_rows_sealed": "UPDATE payment SET payer_id = 'own' WHERE method = 'channel_a'",
    "payment_told_alike": "UPDATE acquirer_call SET number = 'A2'",
}


def written(url: str) -> None:
    config = day.station()
    with day.filled_store(url, config) as store:
        for vehicle, minutes in (("V0", 6), ("V1", 12)):
            day.exchange(store, day.arrive(store, config, vehicle).swap_id, day.AT + timedelta(minutes=minutes))
        at = day.AT + timedelta(hours=1)
        bill_completed_swaps(store, day.STATION, at)
        pay_everything(store, day.STATION, at, operator="op", fleet="fleet", owner="own")


def mine(report: AuditReport) -> dict[str, tuple[str, ...]]:
    return {i.name: i.violations for i in report.invariants if i.name in MINE and i.violations}


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examined]:
    """A database with everything in it, whose tables refuse nothing."""
    folder = tmp_path_factory.mktemp("paid")
    written(f"sqlite:///{folder / 'swap.db'}")
    examined = Examined(bare(folder / "swap.db", folder))
    yield examined
    examined.close()


def test_on_both_engines_all_is_well_and_every_invariant_has_looked(database_url: str) -> None:
    written(database_url)
    store = Store(database_url)
    with store.reading() as db:
        report = audit(db)
    store.close()
    assert mine(report) == {}
    assert [i.name for i in report.invariants if i.name in MINE and not i.examined] == []


@pytest.mark.parametrize("name", MINE)
def test_each_invariant_barks_at_its_own_damage(unguarded: Examined, name: str) -> None:
    assert name in mine(unguarded.after(DAMAGE[name]))
