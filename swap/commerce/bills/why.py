"""Why a bill is what it is: each line down to readings, charging with its registers, prices, contract and events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from sqlmodel import col, select

from swap.commerce.bills.issuing import lines_of
from swap.commerce.bills.money import BASIS_POINT, CENTI_KWH, FEN, UNIT_PRICE
from swap.commerce.bills.records import BillWhy, ChargingOf, EventOf, LineWhy, ReadingWhy, RegistersShown
from swap.commerce.bills.terms import Measure
from swap.messages.base import Event
from swap.messages.commerce import BillIssued, BillReversed, PricesSet
from swap.messages.events import SwapCompleted
from swap.messages.packs import ChargeEnded, ChargeStarted, PackMoved, PackRead, RegistersRead
from swap.places import local_name
from swap.reading.lists import get_bill
from swap.station_db import StationDb
from swap.tables import BillLine, ChargeSession, StationEvent, Swap


def explain(db: StationDb, bill_id: str) -> BillWhy:
    """Why a bill is what it is. Raises NotFound."""
    bill = get_bill(db, db.station_id, bill_id)
    swap = db.get_one(Swap, bill.swap_id)
    of_swap = db.exec(select(StationEvent).where(StationEvent.swap_id == swap.id).order_by(col(StationEvent.seq))).all()
    told = [
        event
        for event in of_swap
        if event.kind == SwapCompleted.kind
        or (event.kind in (BillIssued.kind, BillReversed.kind) and event.data["bill_id"] == bill_id)
    ]
    return BillWhy(
        bill=bill,
        lines=tuple(_line(db, swap, line, told, of_swap) for line in lines_of(db, bill_id)),
    )


def _line(
    db: StationDb, swap: Swap, line: BillLine, told: Iterable[StationEvent], of_swap: Iterable[StationEvent]
) -> LineWhy:
    events = {event.seq: event for event in told}
    for event in of_swap:
        if event.kind == PackRead.kind and event.pack_id == line.pack_id:
            events[event.seq] = event
    if line.prices_seq is not None:
        events |= {event.seq: event for event in db.events(PricesSet, after=line.prices_seq - 1, limit=1)}
    first_seq = min((event.seq for event in of_swap), default=0)
    put_on = db.exec(
        select(StationEvent)
        .where(StationEvent.pack_id == line.pack_id, StationEvent.kind == PackMoved.kind, StationEvent.seq < first_seq)
        .order_by(col(StationEvent.seq).desc())
        .limit(1)
    ).first()
    if put_on is not None:
        events[put_on.seq] = put_on
        if _measure(line) == Measure.SOE_DIFFERENCE:
            events |= {event.seq: event for event in _read_before(db, put_on)}
    if _measure(line) == Measure.BMS_COUNTER:
        events |= {event.seq: event for event in _counter_before(db, line, first_seq)}
    charging = _charging(db, line)
    before_charging = set(events)
    for session in charging:
        query = select(StationEvent).where(
            StationEvent.pack_id == session.pack_id,
            col(StationEvent.kind).in_([ChargeStarted.kind, ChargeEnded.kind]),
            col(StationEvent.at).in_([session.started_at, session.ended_at]),
        )
        events |= {event.seq: event for event in db.exec(query)}
    return LineWhy(
        line_no=line.line_no,
        kind=line.kind,
        quantity=_quantity(line),
        price=_price(line),
        amount=f"{_kwh(line)} × {_unit(line)} = {line.amount_fen * FEN}",
        tax=_tax(line),
        basis=line.basis,
        priced_at=line.priced_at,
        tariff_period=line.tariff_period,
        contract_id=line.contract_id,
        contract_version=line.contract_version,
        readings=tuple(
            _readings(
                line,
                # Chargings that make the price are no readings of the quantity.
                [events[seq] for seq in sorted(events) if seq in before_charging or line.basis.get("sessions")],
            )
        ),
        events=tuple(EventOf(event_id=seq, at=events[seq].at, kind=events[seq].kind) for seq in sorted(events)),
        charging=tuple(
            ChargingOf(
                session_id=row.id or 0,
                bay_id=local_name(row.station_id, row.bay_id),
                started_at=row.started_at,
                ended_at=row.ended_at,
                start_kwh=row.start_energy_kwh,
                end_kwh=row.end_energy_kwh,
                start_meter_kwh=row.start_meter_kwh,
                end_meter_kwh=row.end_meter_kwh,
            )
            for row in charging
        ),
    )


READ: dict[str, dict[type[Event], tuple[str, str]]] = {
    Measure.SOE_DIFFERENCE: {
        ChargeEnded: ("energy_kwh", "end_kwh"),
        PackMoved: ("energy_kwh", "energy_kwh"),
        PackRead: ("energy_kwh", "energy_kwh"),
    },
    Measure.BMS_COUNTER: {PackRead: ("discharged_kwh", "discharged_kwh")},
    Measure.CHARGED_ENERGY: {ChargeStarted: ("energy_kwh", "energy_kwh"), ChargeEnded: ("energy_kwh", "end_kwh")},
    Measure.VERIFIED_METER: {ChargeStarted: ("meter_kwh", "meter_kwh"), ChargeEnded: ("meter_kwh", "meter_kwh")},
}
"""By measure: the events that tell its readings, and of each the quantity that was read and the field that tells it."""


def _measure(line: BillLine) -> str:
    return str(line.basis.get("measure", Measure.SOE_DIFFERENCE.value))


def _read_before(db: StationDb, put_on: StationEvent) -> Iterable[StationEvent]:
    """The end of the charging before a pack was put on a vehicle, where it read what the pack was put on with."""
    query = select(StationEvent).where(
        StationEvent.pack_id == put_on.pack_id, StationEvent.kind == ChargeEnded.kind, StationEvent.seq < put_on.seq
    )
    ended = db.exec(query.order_by(col(StationEvent.seq).desc()).limit(1)).first()
    told_kwh = put_on.data.get("energy_kwh")
    return [] if ended is None or told_kwh is None or ended.data.get("end_kwh") != told_kwh else [ended]


def _counter_before(db: StationDb, line: BillLine, first_seq: int) -> Iterable[StationEvent]:
    """The reading of the counter of which a quantity begins: the last before the swap that has one."""
    query = select(StationEvent).where(
        StationEvent.pack_id == line.pack_id, StationEvent.kind == PackRead.kind, StationEvent.seq < first_seq
    )
    found = db.exec(query.order_by(col(StationEvent.seq).desc()))
    return next(([event] for event in found if event.data.get("discharged_kwh") is not None), [])


def _readings(line: BillLine, events: Iterable[StationEvent]) -> Iterator[ReadingWhy]:
    """The readings of a line's measure, in order."""
    kinds = {model.kind: (model, *read) for model, read in READ.get(_measure(line), {}).items()}
    for event in events:
        if event.kind not in kinds:
            continue
        model, quantity, field = kinds[event.kind]
        said = model.read(event.data)
        value_kwh = getattr(said, field)
        if value_kwh is None:
            continue
        kept: dict[str, RegistersRead] = getattr(said, "registers", {})
        registers = _shown(kept[quantity]) if quantity in kept else None
        yield ReadingWhy(event_id=event.seq, at=event.at, quantity=quantity, value_kwh=value_kwh, registers=registers)


def _shown(read: RegistersRead) -> RegistersShown:
    words = tuple(f"0x{word:04X}" for word in read.words)
    made = f"{read.raw:.12g} × {read.scale:.12g}"
    value = read.raw * read.scale * 10.0**read.power + read.offset
    made += f" × 10^{read.power}" if read.power else ""
    made += f" + {read.offset:.12g}" if read.offset else ""
    return RegistersShown(
        read_at=read.read_at,
        unit_id=read.unit_id,
        function_code=read.function_code,
        address=read.address,
        count=len(read.words),
        words=words,
        type=read.type,
        word_order=read.word_order,
        how=f"{' '.join(words)} = {made} = {value:.12g} kWh",
    )


def _charging(db: StationDb, line: BillLine) -> list[ChargeSession]:
    """The chargings that the quantity was read from, or else those that the average price was made of."""
    ids = [int(one) for one in str(line.basis.get("sessions") or "").split(",") if one]
    if ids:
        return list(
            db.exec(select(ChargeSession).where(col(ChargeSession.id).in_(ids)).order_by(col(ChargeSession.id)))
        )
    count = int(line.basis.get("sessions_averaged") or 0)
    if not count or line.priced_at is None:
        return []
    query = select(ChargeSession).where(
        ChargeSession.pack_id == line.pack_id, ChargeSession.started_at < line.priced_at
    )
    return list(db.exec(query.order_by(col(ChargeSession.started_at)).limit(count)))


def _kwh(line: BillLine) -> Decimal:
    return line.energy_centi_kwh * CENTI_KWH


def _unit(line: BillLine) -> Decimal:
    return line.unit_price_1e4_yuan * UNIT_PRICE


def _quantity(line: BillLine) -> str:
    basis = line.basis
    if "reverses" in basis:
        return f"- ({basis['reverses']}, {basis['line']}) = {_kwh(line)} kWh"
    if basis.get("confirmed_kwh") is not None:
        return f"{basis['confirmed_kwh']} = {_kwh(line)} kWh ({basis.get('confirmed_by', '')})"
    measure = basis.get("measure", "soe_difference")
    if measure == "soe_difference":
        read = f"{basis.get('lsoe_kwh')} - {basis.get('usoe_kwh')}"
    elif measure == "bms_counter":
        read = f"{basis.get('counter_after_kwh')} - {basis.get('counter_before_kwh')}"
    else:
        read = " + ".join(f"({end} - {start})" for start, _, end in _spans(str(basis.get("readings_kwh") or "")))
    why = "".join(f" [{basis[name]}]" for name in ("flag", "within_tolerance") if basis.get(name))
    return f"{read} = {_kwh(line)} kWh{why}"


def _spans(text: str) -> Iterable[tuple[str, str, str]]:
    return (part.partition("-") for part in text.split(",") if part)


def _price(line: BillLine) -> str:
    basis = line.basis
    kind = basis.get("price")
    if kind == "tariff_at_swap":
        return f"{basis.get('tariff')}, {line.tariff_period}: {basis.get('tariff_parts')} = {_unit(line)}"
    if kind == "moving_average":
        return f"{kind} ({basis.get('sessions_averaged')}): {basis.get('average_yuan')} = {_unit(line)}"
    return f"{kind or 'price'} = {_unit(line)}"


def _tax(line: BillLine) -> str:
    rate, amount = line.tax_rate_bp * BASIS_POINT, line.amount_fen * FEN
    by = f"{amount} × {rate} ÷ {1 + rate}" if line.tax_included else f"{amount} × {rate}"
    return f"{line.tax_category}: {by} = {line.tax_fen * FEN}"
