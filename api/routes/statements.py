"""Statements as documents: of an account, of a settlement, of what two firms have set off."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Response

from api.access import Who, guarded_router
from api.deps import AnyDoors, Doors, InTime
from api.documents import DocumentKind, Sheet, draw
from api.documents.statements import account_sheet, net_sheet, settlement_sheet
from api.problems import declared
from api.schemas import AccountId, RecordId
from api.words import Language, load_language
from swap.commerce.bills.lists import get_settlement
from swap.commerce.ledger.balances import account_statement
from swap.commerce.payments.netting import get_net
from swap.register.show import party_names
from swap.words import language_of

router = guarded_router(tags=["statements"])

Form = Literal["pdf", "xlsx"]
Lang = Annotated[str, Query(max_length=10, pattern="^(zh|en)([-_].*)?$")]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    **declared(404, 422, 503),
    200: {
        "description": "The statement.",
        "content": {kind.media_type: {} for kind in (DocumentKind.PDF, DocumentKind.XLSX)},
    },
}


def _language(doors: Doors, lang: str) -> Language:
    return load_language(language_of(lang) or "zh_CN", doors.config.station.zone)


def _drawn(page: Sheet, form: Form, name: str) -> Response:
    kind = DocumentKind(form)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return Response(draw(page, kind), media_type=kind.media_type, headers=headers)


@router.get("/accounts/{account_id}/statement", responses=_ANSWERS, response_class=Response)
def account_document(
    account_id: AccountId, doors: AnyDoors, who: Who, span: InTime, format: Form = "pdf", lang: Lang = "zh-CN"
) -> Response:
    """The statement of an account (对账单) as PDF or Excel: balance before, what was posted, balance after."""
    with doors.reading_commerce(who.view) as db:
        found = account_statement(db, account_id, at=doors.clock.now(), **span)
        names = party_names(db)
    page = account_sheet(found, names, _language(doors, lang))
    return _drawn(page, format, account_id.replace(":", "-").encode("ascii", "replace").decode())


@router.get("/settlements/{settlement_id}/document", responses=_ANSWERS, response_class=Response)
def settlement_document(
    settlement_id: RecordId, doors: AnyDoors, who: Who, format: Form = "pdf", lang: Lang = "zh-CN"
) -> Response:
    """A settlement statement (分账结算单) as PDF or Excel; a firm that shares in it reads its own share."""
    with doors.reading_commerce(who.view) as db:
        found = get_settlement(db, settlement_id)
        names = party_names(db)
    return _drawn(settlement_sheet(found, names, _language(doors, lang)), format, settlement_id)


@router.get("/net-statements/{statement_id}/document", responses=_ANSWERS, response_class=Response)
def net_document(
    statement_id: RecordId, doors: AnyDoors, who: Who, format: Form = "pdf", lang: Lang = "zh-CN"
) -> Response:
    """A net statement (轧差结算单) of two firms as PDF or Excel."""
    with doors.reading_commerce(who.view) as db:
        found = get_net(db, statement_id)
        names = party_names(db)
    return _drawn(net_sheet(found, names, _language(doors, lang)), format, statement_id)
