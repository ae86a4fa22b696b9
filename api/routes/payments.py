"""Payments: from wallets, through the acquirer, by bank files; refunds, deposits, netting."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from fastapi import Depends, Header, Query, Request, Response

from api.access import Who, guarded_router
from api.deps import AnyDoors, Doors, IdempotencyKey, InTime, Paged
from api.documents import DocumentKind, render_receipt
from api.money_schemas import (
    BankLineEndIn,
    CallIn,
    CreditIn,
    DepositIn,
    DepositRecord,
    HoldIn,
    HoldRecord,
    NetIn,
    PaymentIn,
    RefundIn,
    ReleaseIn,
    TopUpIn,
)
from api.problems import declared
from api.schemas import FirmId, FirmQuery, RecordId
from api.words import load_language
from swap.commerce.charges import FEN_YUAN
from swap.commerce.errors import SignatureWrong
from swap.commerce.ledger.postings import TOP_UP, WALLET
from swap.commerce.payments.acquirer import PaidCall, check_signature, get_order, make_order, take_call
from swap.commerce.payments.bank import end_bank_line, list_bank_lines, take_bank_file
from swap.commerce.payments.deposits import hold_deposit, release_deposit
from swap.commerce.payments.netting import NetRecord, list_net, net
from swap.commerce.payments.receipts import deposit_receipt
from swap.commerce.payments.records import (
    BankFileRecord,
    BankLineRecord,
    OrderRecord,
    PaidOrOrdered,
    PaymentRecord,
    RefundRecord,
)
from swap.commerce.payments.refunds import refund
from swap.commerce.payments.taking import get_payment, list_payments, own_reference
from swap.commerce.payments.wallets import grant_credit, hold_in_wallet, pay_from_wallet, release_hold
from swap.identity.view import require_firm
from swap.ids import new_id
from swap.reading.records import Page
from swap.register.show import party_names
from swap.words import N_, language_of

router = guarded_router(tags=["payments"])
RECEIPTS = (DocumentKind.PDF, DocumentKind.XLSX)
"""What a receipt may be had as."""


def _fen(yuan: str) -> int:
    return int(Decimal(yuan) / FEN_YUAN)


def _key(doors: Doors, given: str | None) -> str:
    """The caller's key, or one that nobody has."""
    return given if given is not None else new_id("key", doors.clock.now())


def _month(doors: Doors) -> str:
    return doors.clock.now().astimezone(doors.config.station.zone).strftime("%Y-%m")


@router.post("/payments", status_code=201, responses=declared(404, 409))
def pay(body: PaymentIn, doors: AnyDoors, who: Who, idempotency_key: IdempotencyKey = None) -> PaidOrOrdered:
    """Pay what the own firm owes: at once from a wallet, or by an order that the payer then pays at the acquirer."""
    require_firm(who.view, body.payer_id)
    at, key = doors.clock.now(), _key(doors, idempotency_key)
    fen = _fen(body.amount_yuan)
    with doors.store.commerce() as db:
        if body.method == WALLET:
            payment, _ = pay_from_wallet(
                db,
                holder_id=body.holder_id or body.payee_id,
                payer_id=body.payer_id,
                payee_id=body.payee_id,
                amount_fen=fen,
                reference=own_reference(body.payer_id, key),
                at=at,
                target=body.target,
                hold_id=body.hold_id,
            )
            return PaidOrOrdered(payment=get_payment(db, payment.id))
        order = make_order(
            db,
            channel=body.method,
            payer_id=body.payer_id,
            payee_id=body.payee_id,
            amount_fen=fen,
            key=key,
            at=at,
            target=body.target,
        )
        return PaidOrOrdered(order=order)


@router.get("/payments", responses=declared(422))
def payments(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    payer_id: FirmQuery = None,
    payee_id: FirmQuery = None,
) -> Page[PaymentRecord]:
    """Payments, newest first."""
    with doors.reading_commerce(who.view) as db:
        return list_payments(db, payer_id=payer_id, payee_id=payee_id, **span, **paging)


@router.get("/payments/orders/{order_id}", responses=declared(404))
def payment_order(order_id: RecordId, doors: AnyDoors, who: Who) -> OrderRecord:
    """One order of the acquirer."""
    with doors.reading_commerce(who.view) as db:
        return get_order(db, order_id, doors.clock.now())


async def raw_body(request: Request) -> bytes:
    """The body as it came: what is signed, or in an encoding of its own."""
    return await request.body()


RawBody = Annotated[bytes, Depends(raw_body)]


@router.post("/payments/acquirer/callback", responses=declared(403, 404, 409))
def acquirer_callback(
    body: CallIn,
    raw: RawBody,
    doors: AnyDoors,
    timestamp: Annotated[str, Header(alias="Acquirer-Timestamp", max_length=32, description="Seconds since 1970 UTC.")],
    signature: Annotated[
        str,
        Header(
            alias="Acquirer-Signature",
            max_length=128,
            description="HMAC-SHA256 of the instant, a line feed and the body, in hex, by the key of the channel.",
        ),
    ],
) -> OrderRecord:
    """The acquirer tells that an order was paid. Told again it changes nothing."""
    secret = doors.settings.acquirer_secret
    if secret is None:
        raise SignatureWrong(N_("no acquirer is set up: SWAP_ACQUIRER_SECRET"))
    check_signature(secret.get_secret_value(), body.channel, timestamp, raw, signature, doors.real_now())
    call = PaidCall(body.channel, body.number, body.order_id, _fen(body.amount_yuan), _fen(body.fee_yuan))
    with doors.store.commerce() as db:
        return take_call(db, call, doors.clock.now())


@router.get("/payments/{payment_id}", responses=declared(404))
def payment(payment_id: RecordId, doors: AnyDoors, who: Who) -> PaymentRecord:
    """One payment, what it pays and what was given back."""
    with doors.reading_commerce(who.view) as db:
        return get_payment(db, payment_id)


@router.post("/refunds", status_code=201, responses=declared(404, 409))
def refund_payment(body: RefundIn, doors: AnyDoors, idempotency_key: IdempotencyKey = None) -> RefundRecord:
    """Give money of a payment back, by the way it came."""
    reference = _key(doors, idempotency_key)
    with doors.store.commerce() as db:
        return refund(
            db,
            body.payment_id,
            _fen(body.amount_yuan),
            reference=reference,
            reason=body.reason,
            at=doors.clock.now(),
        )


@router.post("/wallets/{firm_id}/top-ups", status_code=201, responses=declared(404, 409))
def top_up(
    firm_id: FirmId, body: TopUpIn, doors: AnyDoors, who: Who, idempotency_key: IdempotencyKey = None
) -> OrderRecord:
    """Order money into the own firm's wallet; it is there once the acquirer has told that it was paid."""
    require_firm(who.view, firm_id)
    with doors.store.commerce() as db:
        return make_order(
            db,
            channel=body.channel,
            payer_id=firm_id,
            payee_id=body.holder_id,
            amount_fen=_fen(body.amount_yuan),
            key=_key(doors, idempotency_key),
            at=doors.clock.now(),
            purpose=TOP_UP,
        )


@router.put("/wallets/{firm_id}/credit", responses=declared(404))
def wallet_credit(firm_id: FirmId, body: CreditIn, doors: AnyDoors) -> CreditIn:
    """Say how far a firm's wallet may go below 0 from now on."""
    with doors.store.commerce() as db:
        grant_credit(db, body.holder_id, firm_id, _fen(body.limit_yuan), doors.clock.now())
    return body


@router.post("/wallets/{firm_id}/holds", status_code=201, responses=declared(404, 409))
def hold_money(firm_id: FirmId, body: HoldIn, doors: AnyDoors, idempotency_key: IdempotencyKey = None) -> HoldRecord:
    """Hold money in a firm's wallet for a payment to come. What is not used in its time is free again by itself."""
    with doors.store.commerce() as db:
        hold_id = hold_in_wallet(
            db,
            holder_id=body.holder_id,
            payer_id=firm_id,
            payee_id=body.payee_id,
            amount_fen=_fen(body.amount_yuan),
            reference=_key(doors, idempotency_key),
            at=doors.clock.now(),
            expires_at=body.expires_at,
        )
    return HoldRecord(hold_id=hold_id, amount_yuan=Decimal(body.amount_yuan), expires_at=body.expires_at)


@router.delete("/wallets/{firm_id}/holds/{hold_id}", status_code=204, responses=declared(404, 409))
def release_money(firm_id: FirmId, hold_id: RecordId, doors: AnyDoors) -> None:
    """Let go of what is held. Again it changes nothing."""
    with doors.store.commerce() as db:
        release_hold(db, hold_id, doors.clock.now(), owner_id=firm_id)


@router.post(
    "/bank-files",
    status_code=201,
    responses=declared(404, 409),
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def bank_file(raw: RawBody, doors: AnyDoors, firm_id: Annotated[str, Query(max_length=32)]) -> BankFileRecord:
    """Take a bank's statement (CSV) of a firm's account, whole or not at all. Larger ones: `swap ledger bank-file`."""
    with doors.store.commerce() as db:
        return take_bank_file(db, firm_id, raw, doors.clock.now())


@router.get("/bank-lines", responses=declared(422))
def bank_lines(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    firm_id: FirmQuery = None,
    open: bool = False,
) -> Page[BankLineRecord]:
    """Lines of bank statements, newest first; with `open=true` the work list: those that nobody has explained yet."""
    with doors.reading_commerce(who.view) as db:
        return list_bank_lines(db, firm_id=firm_id, only_open=open, **span, **paging)


@router.post("/bank-lines/{line_id}/end", responses=declared(404, 409))
def end_line(line_id: RecordId, body: BankLineEndIn, doors: AnyDoors) -> BankLineRecord:
    """Decide what a line of the work list is."""
    with doors.store.commerce() as db:
        return end_bank_line(
            db,
            line_id,
            body.outcome,
            doors.clock.now(),
            payer_id=body.payer_id,
            purpose=body.purpose,
            target=body.target,
            detail=body.detail,
        )


@router.post("/deposits", status_code=201, responses=declared(404, 409))
def charge_deposit(body: DepositIn, doors: AnyDoors, idempotency_key: IdempotencyKey = None) -> DepositRecord:
    """Charge a deposit, which is held once it is paid and is nobody's income."""
    with doors.store.commerce() as db:
        row = hold_deposit(
            db,
            holder_id=body.holder_id,
            owner_id=body.owner_id,
            amount_fen=_fen(body.amount_yuan),
            reference=_key(doors, idempotency_key),
            period=_month(doors),
            at=doors.clock.now(),
            contract_id=body.contract_id,
        )
        return DepositRecord(deposit_id=row.id, amount_yuan=row.amount_fen * FEN_YUAN, damage_yuan=None)


@router.post("/deposits/{deposit_id}/release", responses=declared(404, 409))
def release(deposit_id: RecordId, body: ReleaseIn, doors: AnyDoors) -> DepositRecord:
    """Take a deposit back less damage; what is left of its payment is free, and given back by a refund."""
    with doors.store.commerce() as db:
        row, damage = release_deposit(
            db, deposit_id, damage_fen=_fen(body.damage_yuan), period=_month(doors), at=doors.clock.now()
        )
        damage_fen = 0 if damage is None else damage.amount_fen
        return DepositRecord(
            deposit_id=deposit_id, amount_yuan=-row.amount_fen * FEN_YUAN, damage_yuan=damage_fen * FEN_YUAN
        )


@router.get(
    "/deposits/{deposit_id}/receipt",
    responses={
        **declared(404, 409, 422, 503),
        200: {"description": "The receipt.", "content": {kind.media_type: {} for kind in RECEIPTS}},
    },
    response_class=Response,
)
def receipt(
    deposit_id: RecordId,
    doors: AnyDoors,
    who: Who,
    format: Literal["pdf", "xlsx"] = "pdf",
    lang: Annotated[str, Query(max_length=10, pattern="^(zh|en)([-_].*)?$")] = "zh-CN",
) -> Response:
    """The receipt of a deposit (收据) as PDF or Excel, in Chinese or English, once something has been paid for it."""
    with doors.reading_commerce(who.view) as db:
        found = deposit_receipt(db, deposit_id)
        names = party_names(db)
    language = load_language(language_of(lang) or "zh_CN", doors.config.station.zone)
    kind = DocumentKind(format)
    return Response(
        render_receipt(found, names, kind, language),
        media_type=kind.media_type,
        headers={"Content-Disposition": f'attachment; filename="{deposit_id}.{format}"'},
    )


@router.post("/net-statements", status_code=201, responses=declared(404))
def make_net_statement(body: NetIn, doors: AnyDoors) -> NetRecord:
    """Set off what two firms owe each other by an instant; the known statement where there is one."""
    with doors.store.commerce() as db:
        return net(db, body.one_id, body.other_id, body.until_at, doors.clock.now())


@router.get("/net-statements", responses=declared(422))
def net_statements(
    doors: AnyDoors, who: Who, span: InTime, paging: Paged, firm_id: Annotated[str, Query(max_length=32)]
) -> Page[NetRecord]:
    """Net statements of a firm, newest first."""
    with doors.reading_commerce(who.view) as db:
        return list_net(db, firm_id, **span, **paging)
