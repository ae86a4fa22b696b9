"""The books: accounts of firms and what was posted to them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api.access import Who, guarded_router
from api.deps import AnyDoors, InTime, Paged
from api.problems import declared
from api.schemas import AccountId, FirmQuery
from swap.commerce.ledger.balances import list_accounts, list_entries
from swap.commerce.ledger.records import AccountRecord, EntryRecord
from swap.reading.records import Page

router = guarded_router(prefix="/accounts", tags=["ledger"])


@router.get("", responses=declared(422))
def ledger_accounts(
    doors: AnyDoors,
    who: Who,
    paging: Paged,
    firm_id: FirmQuery = None,
    kind: Annotated[str | None, Query(max_length=32)] = None,
) -> Page[AccountRecord]:
    """Accounts by their ids, with balances."""
    with doors.reading_commerce(who.view) as db:
        return list_accounts(db, at=doors.clock.now(), firm_id=firm_id, kind=kind, **paging)


@router.get("/{account_id}/entries", responses=declared(404))
def ledger_entries(
    account_id: AccountId,
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
) -> Page[EntryRecord]:
    """What was posted to an account, newest first."""
    with doors.reading_commerce(who.view) as db:
        return list_entries(db, account_id, **span, **paging)
