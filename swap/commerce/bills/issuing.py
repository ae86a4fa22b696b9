"""Bills from completed swaps.

Each `swap.completed` event ends in exactly one bill, whatever the readings were: what cannot be billed is
billed as 0 kWh with a flag. Prices, rules and terms are those of the instant of that event, as the journal tells
them, not those of the station file at the time of billing; so a bill made late, after an outage, is the same bill.

A bill is never edited. `reverse_bill` issues a second one with negative lines; `correct_bill` also issues a
third with the quantities that a named person confirms.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import bindparam
from sqlmodel import col, select

from swap.commerce.bills.money import BASIS_POINT, CENTI_KWH, FEN, UNIT_PRICE, to_decimal
from swap.commerce.bills.pricing import PricedLine, PricedSwap, priced_line
from swap.commerce.bills.quantity import OF_QUANTITY, Flag
from swap.commerce.bills.readings import measured, priced
from swap.commerce.bills.record import BillingRecord, RowRecord, SwapOnRecord
from swap.commerce.bills.terms import WAITS_FOR_CHARGING, BillingTerms, SaleTerms, StationTerms, SwapAsked, SwapTerms
from swap.commerce.bookings.store import ENDED_AT_ONCE, bookings_due, tend_bookings
from swap.commerce.charges import Sale, half_up, whole
from swap.commerce.errors import BillNotReversible
from swap.config.prices import StationPrices, prices_before
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway, InvalidInput, NotFound
from swap.events import append_event
from swap.ids import new_id
from swap.messages.commerce import BilledLine, BillIssued, BillReversed
from swap.messages.events import SwapCompleted
from swap.reading.lists import get_bill
from swap.reading.records import BillRecord
from swap.register.persons import person_actor
from swap.rights import EVERYBODY, SwapRights
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Bill, BillLine, ChargeSession, Pack, StationEvent
from swap.words import N_

SWAP, REVERSAL, CORRECTION = "swap", "reversal", "correction"


class NotBilled(Exception):
    """A completed swap for which no bill could be made; its cause is the `__cause__`."""

    def __init__(self, swap_id: str, completed_at: datetime, reason: str) -> None:
        self.swap_id = swap_id
        super().__init__(f"swap {swap_id}, completed {completed_at.isoformat()}, is not billed: {reason}")


_NEWEST_ENDED = (
    select(ChargeSession.id)
    .where(col(ChargeSession.ended_at).is_not(None))
    .order_by(col(ChargeSession.id).desc())
    .limit(1)
)


@dataclass(slots=True)
class BillingMark:
    """How far in the journal everything is known to be done: what came before is not looked at again."""

    seq: int = 0
    """Every completed swap has its bill."""
    tended: int = -1
    """Bookings follow their trucks."""


@dataclass(frozen=True, slots=True)
class CommerceReport:
    """What one run of `run_commerce` did."""

    bookings_ended: tuple[str, ...]
    bills_issued: tuple[str, ...]


def run_commerce(
    store: Store,
    config: StationConfig,
    at: datetime,
    *,
    terms: BillingTerms | None = None,
    leave_out: Collection[str] = (),
    mark: BillingMark | None = None,
    rights: SwapRights = EVERYBODY,
) -> CommerceReport:
    """End bookings that are over and bill what is completed, as `bill_completed_swaps`. Called again and again."""
    ended, mark = tuple[str, ...](), BillingMark() if mark is None else mark
    with store.reading_station(config.station.id) as db:  # most often there is nothing that anybody need wait for
        newest = db.newest_seq()
        going_on = bookings_due(db, config, at, trucks=newest != mark.tended)
    while going_on:
        with store.station(config.station.id) as db:
            part = tend_bookings(db, config, at, rights=rights)
        ended += part
        going_on = len(part) >= ENDED_AT_ONCE
    mark.tended = newest
    issued: tuple[str, ...] = ()
    if newest != mark.seq:
        issued = bill_completed_swaps(store, config.station.id, at, terms=terms, leave_out=leave_out, mark=mark)
    return CommerceReport(ended, issued)


def bill_completed_swaps(
    store: Store,
    station_id: str,
    at: datetime,
    *,
    terms: BillingTerms | None = None,
    leave_out: Collection[str] = (),
    mark: BillingMark | None = None,
) -> tuple[str, ...]:
    """Issue a bill for each completed swap that has none; their ids, in the order of completion.

    One transaction a bill. A swap that cannot be billed stops no other. A bill waits for what its measure reads: the
    reading of the pack given back for `billing.reading_wait_s` after the completion, its charging for
    `billing.charging_wait_s`.

    Args:
        terms: says how each swap is billed; the station file does where none is given.
        leave_out: swaps that are not tried this time.
        mark: kept by the caller from one call to the next; moved on here.

    Raises:
        ExceptionGroup: a `NotBilled` for each swap without a bill, after every other has been billed.
        DatabaseAway: the database cannot be used now.
    """
    issued: list[str] = []
    errors: list[NotBilled] = []
    mark = BillingMark() if mark is None else mark
    terms = StationTerms() if terms is None else terms
    with store.reading_station(station_id) as db:
        newest = db.newest_seq()
        unbilled = _unbilled(db, mark.seq)
        mark.seq = unbilled[0].seq - 1 if unbilled else newest
    for one in unbilled:
        if one.swap_id in leave_out:
            continue
        try:
            # Read and reckoned before the lock is taken, and looked at again with it.
            with store.reading_station(station_id) as db:
                draft = due_bill(RowRecord(db), one, terms, at)
                read = _readings(db, one.swap_id)
            if draft is None:
                continue
            with store.station(station_id) as db:
                if bill_of(db, one.swap_id, SWAP) is not None:
                    continue  # another process was faster
                if _readings(db, one.swap_id) != read:
                    continue  # a reading came in between: at the next look
                issued.append(issue_bill(db, draft, new_id("bl", at), at, "commerce", one.seq))
        except DatabaseAway:
            raise
        except Exception as error:
            errors.append(NotBilled(one.swap_id, one.at, str(error) or type(error).__name__))
            errors[-1].__cause__ = error
    if errors:
        raise ExceptionGroup(f"{len(errors)} completed swap(s) could not be billed", errors)
    return tuple(issued)


@dataclass(frozen=True, slots=True)
class Completion:
    """A swap that is to be billed, by the event of its completion."""

    swap_id: str
    at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class PricedBy:
    """What a line of a bill was priced by."""

    at: datetime | None
    """Completion of the swap."""
    prices_seq: int | None
    contract_id: str | None
    contract_version: int | None


@dataclass(frozen=True, slots=True)
class BillDraft:
    """A bill that is to be written."""

    kind: str
    swap_id: str
    payer_id: str
    priced: PricedSwap
    like: tuple[PricedBy, ...]
    """By line what it was priced by."""
    basis: Mapping[str, str]
    """What the basis of each line says beside its readings."""


def terms_of(
    record: BillingRecord, swap: SwapOnRecord, one: Completion, source: BillingTerms
) -> tuple[SwapTerms, StationPrices]:
    """How a completed swap is billed, by the prices that the station had then."""
    prices = prices_before(record.db, one.seq)
    fleet_id = record.fleet_of(swap.vehicle_id)
    return source.terms(record.db, SwapAsked(swap.vehicle_id, fleet_id, prices, one.at)), prices


def due_bill(record: BillingRecord, one: Completion, source: BillingTerms, at: datetime | None) -> BillDraft | None:
    """The bill of a completed swap; None while it waits at an instant for what its measure reads.

    Args:
        at: None where it is known to be due.
    """
    swap = record.swap(one.swap_id)
    by, prices = terms_of(record, swap, one, source)
    billing = prices.billing
    wait_s = billing.charging_wait_s if by.measure in WAITS_FOR_CHARGING else billing.reading_wait_s
    if at is not None and (at - one.at).total_seconds() < wait_s and not measured(record, swap, by):
        return None
    found = priced(record, swap, by, prices, one.at)
    payer_id = found.lines[0].sale.buyer_id if found.lines else record.fleet_of(swap.vehicle_id)
    priced_by = PricedBy(one.at, prices.seq, by.contract_id, by.contract_version)
    return BillDraft(SWAP, one.swap_id, payer_id, found, (priced_by,) * len(found.lines), {})


def reverse_bill(db: StationDb, bill_id: str, *, at: datetime, name: str, reason: str) -> BillRecord:
    """Issue the reversal of a bill: the same lines, negative. Call inside `store.station()`.

    Raises:
        NotFound: no such bill.
        BillNotReversible: it is a reversal or a corrected bill, or has its reversal.
    """
    bill = db.get(Bill, bill_id)
    if bill is None:
        raise NotFound("bill", bill_id)
    if bill.kind != SWAP:
        raise BillNotReversible(
            N_("bill {bill_id} is a {kind}; only the bill of a swap is reversed"), {"bill_id": bill_id}, kind=bill.kind
        )
    earlier = bill_of(db, bill.swap_id, REVERSAL)
    if earlier is not None:
        raise BillNotReversible(
            N_("bill {reversed_id} was reversed by {bill_id}"), {"bill_id": earlier.id}, reversed_id=bill_id
        )
    told = add_reversal(db, bill, new_id("bl", at), at, reason)
    append_event(
        db,
        told,
        station_id=bill.station_id,
        at=at,
        actor=person_actor(db, name, at),
        swap_id=bill.swap_id,
    )
    return get_bill(db, bill.station_id, told.bill_id)


def add_reversal(db: StationDb, bill: Bill, bill_id: str, at: datetime, reason: str) -> BillReversed:
    """Write the rows of a bill's reversal; what the journal tells of it."""
    reversal = Bill(
        id=bill_id,
        station_id=bill.station_id,
        swap_id=bill.swap_id,
        kind=REVERSAL,
        payer_id=bill.payer_id,
        issued_at=at,
        total_fen=-bill.total_fen,
        flags=bill.flags,
    )
    db.add(reversal)
    db.flush()
    lines = [
        BillLine(
            **line.model_dump(exclude={"bill_id", "energy_centi_kwh", "amount_fen", "tax_fen", "basis"}),
            bill_id=reversal.id,
            energy_centi_kwh=-line.energy_centi_kwh,
            amount_fen=-line.amount_fen,
            tax_fen=-line.tax_fen,
            basis={"reverses": bill.id, "line": line.line_no},
        )
        for line in lines_of(db, bill.id)
    ]
    db.add_all(lines)
    db.flush()
    return BillReversed(
        bill_id=reversal.id,
        reverses=bill.id,
        total_fen=reversal.total_fen,
        reason=reason,
        payer_id=reversal.payer_id,
        lines=_as_told(lines),
    )


def correct_bill(
    db: StationDb,
    bill_id: str,
    energy_kwh_by_seat: Mapping[int, Decimal],
    *,
    at: datetime,
    name: str,
    reason: str,
) -> tuple[BillRecord, BillRecord]:
    """Reverse a bill and issue the corrected one, at the prices of the first. Call inside `store.station()`.

    Args:
        energy_kwh_by_seat: the confirmed quantity of every seat on the bill, 0…rated energy of the pack.

    Raises:
        InvalidInput: a seat is missing, or a quantity is outside what the pack can hold.
        NotFound, BillNotReversible: as `reverse_bill`.
    """
    reversal = reverse_bill(db, bill_id, at=at, name=name, reason=reason)
    bill, old_lines = db.get_one(Bill, bill_id), lines_of(db, bill_id)
    seats = {line.seat for line in old_lines}
    if seats != set(energy_kwh_by_seat):
        raise InvalidInput(
            "energy_kwh_by_seat",
            sorted(energy_kwh_by_seat),
            N_("a quantity for each of the seats {seats}"),
            seats=seats,
        )
    for line in old_lines:
        quantity_kwh = energy_kwh_by_seat[_seat_of(line)]
        pack = db.get(Pack, line.pack_id) if line.pack_id else None
        limit_kwh = (to_decimal(pack.rated_kwh) if pack is not None else None) or Decimal(0)
        if not quantity_kwh.is_finite() or not 0 <= quantity_kwh <= limit_kwh:
            raise InvalidInput(
                f"energy_kwh_by_seat.{line.seat}", str(quantity_kwh), "0…{limit_kwh} kWh", limit_kwh=limit_kwh
            )
    by = person_actor(db, name, at)
    draft = corrected(bill, old_lines, energy_kwh_by_seat, by, reason)
    return reversal, get_bill(db, bill.station_id, issue_bill(db, draft, new_id("bl", at), at, by, None))


def corrected(
    bill: Bill, old_lines: Iterable[BillLine], energy_kwh_by_seat: Mapping[int, Decimal], by: str, reason: str
) -> BillDraft:
    """A bill again, at its prices, with the quantities that a person has confirmed."""
    old_lines = list(old_lines)
    confirmed = tuple(_confirmed(line, energy_kwh_by_seat[_seat_of(line)]) for line in old_lines)
    kept = tuple(flag for flag in Flag if flag.value in bill.flags.split(",") and flag not in OF_QUANTITY)
    total_yuan = sum((line.tax.gross_yuan for line in confirmed), Decimal("0.00"))
    return BillDraft(
        CORRECTION,
        bill.swap_id,
        confirmed[0].sale.buyer_id if confirmed else bill.payer_id,
        PricedSwap(confirmed, total_yuan, kept),
        tuple(PricedBy(line.priced_at, line.prices_seq, line.contract_id, line.contract_version) for line in old_lines),
        {"corrects": bill.id, "confirmed_by": by, "reason": reason},
    )


def lines_of(db: StationDb, bill_id: str) -> list[BillLine]:
    """The lines of a bill, in their order."""
    return list(db.exec(select(BillLine).where(BillLine.bill_id == bill_id).order_by(col(BillLine.line_no))))


def sale_of(line: BillLine) -> SaleTerms:
    """Who sells a line to whom, and its tax."""
    return SaleTerms(
        line.payee_id,
        line.buyer_id,
        Sale(line.sale),
        line.for_id,
        line.tax_category,
        Decimal(line.tax_rate_bp) * BASIS_POINT,
        line.tax_included,
    )


def _readings(db: StationDb, swap_id: str) -> tuple[tuple[int, float | None, int | None], ...]:
    """What the seats of a swap say of their return, and the newest charging of their packs that has ended."""
    return tuple(
        (
            seat.seat,
            seat.returned_soe_kwh,
            db.exec(_NEWEST_ENDED.where(ChargeSession.pack_id == seat.old_pack_id)).first(),
        )
        for seat in db.seats(swap_id)
        if seat.exchanged
    )


def _seat_of(line: BillLine) -> int:
    """The seat that a line is for; every line of a swap's bill is written with one."""
    assert line.seat is not None, f"line {line.line_no} of bill {line.bill_id} has no seat"
    return line.seat


def _confirmed(line: BillLine, quantity_kwh: Decimal) -> PricedLine:
    """A line again, at its price, with a quantity that a person has confirmed."""
    quantity_kwh = half_up(quantity_kwh, CENTI_KWH)
    return priced_line(
        line.kind,
        _seat_of(line),
        line.pack_id,
        quantity_kwh,
        Decimal(line.unit_price_1e4_yuan) * UNIT_PRICE,
        sale_of(line),
        line.tariff_period or "",
        {**line.basis, "flag": None, "confirmed_kwh": str(quantity_kwh)},
    )


_UNBILLED = (
    select(StationEvent.swap_id, StationEvent.at, StationEvent.seq)
    .join(Bill, (col(Bill.swap_id) == StationEvent.swap_id) & (col(Bill.kind) == SWAP), isouter=True)
    .where(
        StationEvent.kind == SwapCompleted.kind,
        col(StationEvent.seq) > bindparam("after"),
        col(StationEvent.swap_id).is_not(None),
        col(Bill.id).is_(None),
    )
    .order_by(col(StationEvent.seq))
)


def _unbilled(db: StationDb, after: int) -> list[Completion]:
    """Each completion after an event that has no bill, in the order of the journal."""
    rows = db.exec(_UNBILLED, params={"after": after})
    return [Completion(swap_id, at, seq) for swap_id, at, seq in rows if swap_id is not None]


def bill_of(db: StationDb, swap_id: str, kind: str) -> Bill | None:
    return db.exec(select(Bill).where(Bill.swap_id == swap_id, Bill.kind == kind)).first()


def _as_told(lines: Iterable[BillLine]) -> tuple[BilledLine, ...]:
    """Lines as the journal tells them, in their order."""
    return tuple(BilledLine(**line.model_dump(include=set(BilledLine.model_fields))) for line in lines)


def issue_bill(db: StationDb, draft: BillDraft, bill_id: str, at: datetime, actor: str, cause_seq: int | None) -> str:
    """Write a bill and its event; its id."""
    append_event(
        db,
        add_bill(db, draft, bill_id, at),
        station_id=db.station_id,
        at=at,
        actor=actor,
        swap_id=draft.swap_id,
        cause_seq=cause_seq,
    )
    return bill_id


def add_bill(db: StationDb, draft: BillDraft, bill_id: str, at: datetime) -> BillIssued:
    """Write the rows of a bill; what the journal tells of it."""
    bill = Bill(
        id=bill_id,
        station_id=db.station_id,
        swap_id=draft.swap_id,
        kind=draft.kind,
        payer_id=draft.payer_id,
        issued_at=at,
        total_fen=whole(draft.priced.total_yuan, FEN),
        flags=",".join(draft.priced.flags),
    )
    db.add(bill)
    db.flush()
    lines = [
        BillLine(
            bill_id=bill.id,
            line_no=number,
            kind=line.kind,
            seat=line.seat,
            pack_id=line.pack_id,
            payee_id=line.sale.seller_id,
            buyer_id=line.sale.buyer_id,
            sale=line.sale.sale.value,
            for_id=line.sale.for_id,
            energy_centi_kwh=whole(line.energy_kwh, CENTI_KWH),
            unit_price_1e4_yuan=whole(line.unit_price_yuan, UNIT_PRICE),
            amount_fen=whole(line.amount_yuan, FEN),
            tax_included=line.sale.tax_included,
            tax_category=line.sale.tax_category,
            tax_rate_bp=whole(line.sale.tax_rate, BASIS_POINT),
            tax_fen=whole(line.tax.tax_yuan, FEN),
            priced_at=of.at,
            tariff_period=line.tariff_period or None,
            prices_seq=of.prices_seq,
            contract_id=of.contract_id,
            contract_version=of.contract_version,
            basis={**line.basis, **draft.basis},
        )
        for number, (line, of) in enumerate(zip(draft.priced.lines, draft.like, strict=True), start=1)
    ]
    db.add_all(lines)
    db.flush()
    return BillIssued(
        bill_id=bill.id,
        bill=draft.kind,
        total_fen=bill.total_fen,
        flags=tuple(flag.value for flag in draft.priced.flags),
        payer_id=bill.payer_id,
        lines=_as_told(lines),
    )
