"""Quotes, bills, invoices and settlements."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import Query, Response

from api.access import Who, guarded_router
from api.deps import AnyDoors, InTime, Paged
from api.documents import DocumentKind, render
from api.problems import declared
from api.schemas import ClosePeriodIn, CorrectIn, Instant, RecordId, ReverseIn, StationId, VehicleId
from api.words import load_language
from swap.commerce.bills.closing import close_period
from swap.commerce.bills.issuing import correct_bill, reverse_bill
from swap.commerce.bills.lists import closed_period, get_invoice, list_invoices, list_settlements
from swap.commerce.bills.quantity import TO_LOOK_AT, Flag
from swap.commerce.bills.quotes import quote
from swap.commerce.bills.records import (
    BillWhy,
    ClosedPeriod,
    InvoiceHead,
    InvoiceRecord,
    Quote,
    SettlementRecord,
)
from swap.commerce.bills.why import explain
from swap.commerce.leases.billing import ContractTerms
from swap.identity.principal import EVERYTHING, Sight
from swap.identity.view import require_firm, require_vehicle
from swap.reading.lists import get_bill, list_bills
from swap.reading.records import BillRecord, Page
from swap.register.show import party_names
from swap.words import language_of

router = guarded_router()
Period = Annotated[str | None, Query(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", examples=["2026-06"])]
Party = Annotated[str | None, Query(max_length=32)]
Kwh = Annotated[Decimal, Query(ge=0, le=10_000)]
Readings = Annotated[list[Kwh] | None, Query(max_length=8)]


@router.get("/quotes", tags=["bills"], responses=declared(404, 422))
def quotes(
    doors: AnyDoors,
    who: Who,
    vehicle_id: VehicleId,
    station_id: StationId | None = None,
    at: Instant | None = None,
    returned_soe_kwh: Readings = None,
    energy_kwh: Readings = None,
) -> Quote:
    """What a swap of a vehicle would cost, electricity and service apart. Equal readings cost what the bill says.

    `returned_soe_kwh` is the energy of each pack when it comes back, in seat order; `energy_kwh` the quantity itself.
    """
    doors.own_station(station_id)
    with doors.reading(EVERYTHING) as db:
        require_vehicle(db, who.view, vehicle_id)
        return quote(
            db,
            ContractTerms(),
            vehicle_id=vehicle_id,
            at=doors.clock.now() if at is None else at,
            returned_soe_kwh=returned_soe_kwh or (),
            energy_kwh=energy_kwh or (),
        )


@router.get("/bills", tags=["bills"], responses=declared(422))
def bills(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    payer_id: Party = None,
    flag: Flag | None = None,
    open: bool = False,
) -> Page[BillRecord]:
    """Bills, newest first. `open=true` is the work list: flagged bills that nobody has reversed or corrected."""
    flags = (flag,) if flag is not None else TO_LOOK_AT if open else None
    with doors.reading(who.view) as db:
        return list_bills(
            db,
            payer_id=payer_id,
            flags=flags,
            only_open=open,
            **span,
            **paging,
        )


@router.get("/bills/{bill_id}", tags=["bills"], responses=declared(404))
def bill(bill_id: RecordId, doors: AnyDoors, who: Who) -> BillRecord:
    """One bill with its lines."""
    with doors.reading(who.view) as db:
        return get_bill(db, doors.station_id, bill_id)


@router.get("/bills/{bill_id}/why", tags=["bills"], responses=declared(404))
def bill_why(bill_id: RecordId, doors: AnyDoors, who: Who) -> BillWhy:
    """Why each line is what it is: readings, charging with meter registers, tariff period, contract and events."""
    with doors.reading(who.view) as db:
        return explain(db, bill_id)


@router.post("/bills/{bill_id}/reverse", tags=["bills"], status_code=201, responses=declared(400, 404, 409, 422))
def reverse(bill_id: RecordId, body: ReverseIn, doors: AnyDoors, who: Who) -> BillRecord:
    """Issue the reversal of a bill: the same lines, negative. The bill itself stays as it is."""
    name = who.name(doors, body.name)
    with doors.writing(who.view) as db:
        return reverse_bill(db, bill_id, at=doors.clock.now(), name=name, reason=body.reason)


@router.post("/bills/{bill_id}/correct", tags=["bills"], status_code=201, responses=declared(400, 404, 409, 422))
def correct(bill_id: RecordId, body: CorrectIn, doors: AnyDoors, who: Who) -> tuple[BillRecord, BillRecord]:
    """Reverse a bill and issue it again with quantities that a person confirms, at its own prices."""
    name = who.name(doors, body.name)
    quantities = {seat.seat: seat.energy_kwh for seat in body.seats}
    with doors.writing(who.view) as db:
        return correct_bill(db, bill_id, quantities, at=doors.clock.now(), name=name, reason=body.reason)


@router.get("/invoices", tags=["bills"], responses=declared(422))
def invoices(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    period: Period = None,
    seller_id: Party = None,
    buyer_id: Party = None,
) -> Page[InvoiceHead]:
    """Invoices and red letters, newest first."""
    with doors.reading_commerce(who.view) as db:
        return list_invoices(db, period=period, seller_id=seller_id, buyer_id=buyer_id, **span, **paging)


@router.post("/invoices/close-period", tags=["bills"], responses=declared(400, 409, 422))
def close_month(body: ClosePeriodIn, doors: AnyDoors, who: Who) -> tuple[ClosedPeriod, ...]:
    """Close a month that is over: one invoice for each seller and buyer. Closing it again changes nothing."""
    name = who.name(doors, body.name)
    seller_id = body.seller_id
    if who.view.sight is not Sight.EVERYTHING:
        seller_id = who.view.organisation_id if seller_id is None else seller_id
        require_firm(who.view, seller_id)
    at, zone = doors.clock.now(), doors.config.station.zone
    closed = close_period(doors.store, body.period, at=at, zone=zone, name=name, seller_id=seller_id)
    with doors.store.reading_commerce() as db:
        return tuple(closed_period(db, row) for row in closed)


@router.get("/invoices/{invoice_id}", tags=["bills"], responses=declared(404))
def invoice(invoice_id: RecordId, doors: AnyDoors, who: Who) -> InvoiceRecord:
    """One invoice with its lines."""
    with doors.reading_commerce(who.view) as db:
        return get_invoice(db, invoice_id)


@router.get(
    "/invoices/{invoice_id}/document",
    tags=["bills"],
    responses={
        **declared(404, 422, 503),
        200: {"description": "The document.", "content": {kind.media_type: {} for kind in DocumentKind}},
    },
    response_class=Response,
)
def invoice_document(
    invoice_id: RecordId,
    doors: AnyDoors,
    who: Who,
    format: DocumentKind = DocumentKind.PDF,
    lang: Annotated[str, Query(max_length=10, pattern="^(zh|en)([-_].*)?$")] = "zh-CN",
) -> Response:
    """An invoice as PDF, Excel, or the fields of a digital invoice (数电发票), in Chinese or English."""
    with doors.reading_commerce(who.view) as db:
        found = get_invoice(db, invoice_id)
        names = party_names(db)
    language = load_language(language_of(lang) or "zh_CN", doors.config.station.zone)
    return Response(
        render(found, names, format, language),
        media_type=format.media_type,
        headers={"Content-Disposition": f'attachment; filename="{invoice_id}.{format.value}"'},
    )


@router.get("/settlements", tags=["bills"], responses=declared(422))
def settlements(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    period: Period = None,
    party_id: Party = None,
) -> Page[SettlementRecord]:
    """What of sellers' income goes to whom, by month. No customer's bill has these lines."""
    with doors.reading_commerce(who.view) as db:
        return list_settlements(db, period=period, party_id=party_id, **span, **paging)
