"""Events of demand response that are over: settled by the station's meter, told in its journal, and charged from there.

Only the station has the samples of its meter, so it tells what they make of each slot. The charges are made from the
journal alone, here where the station lives and in a database that has its journal from files: the same to the byte.
What is paid is a sale of the station's operator to the programme's payer; a penalty is owed the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlmodel import col, func, select

from scheduler.response.programme import MeteredSlot, ProgrammeSection
from scheduler.response.settlement import DrSettlement
from swap.commerce.charges import FEN_YUAN, NewCharge, add_charge, whole
from swap.commerce.leases.periods import next_month
from swap.commerce_db import AnyDb
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway
from swap.events import append_event
from swap.lots import lots
from swap.messages.power import DrAnswered, DrSettled
from swap.reading.response import answered, can_settle, rules_of, settled, settled_by, settlements, spans
from swap.reading.samples import SAMPLE_GAP_S
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import BillingPeriod, ChargeRow, Party

PAID, PENALTY = "demand_response", "demand_response_penalty"
"""Kinds of charges, and with the event and the number of its settlement what they are for."""
ACTOR = "commerce"
SETTLED_AFTER = timedelta(seconds=SAMPLE_GAP_S)
"""After its end an event is settled: no sample of it stands for longer."""
READ_LATE = timedelta(days=45)
"""So long after its end an event is settled again where slots that were not metered are metered by then."""


@dataclass(frozen=True, slots=True)
class ResponsesSettled:
    """Events that were settled or charged, and what could not be, in words."""

    events: tuple[str, ...]
    failed: tuple[str, ...]


class NotSettled(ValueError):
    """A journal does not make a settlement what it tells of it."""


# told by the station


def tell_settlements(store: Store, config: StationConfig, at: datetime) -> ResponsesSettled:
    """Settle each accepted event that is over, once, and again where readings of it have come late.

    Args:
        at: station time.

    Raises:
        DatabaseAway: the database cannot be used now.
    """
    due, failed = list[DrSettled](), list[str]()
    with store.reading_station(config.station.id) as db:
        told = settlements(db)
        for event in answered(db):
            if not can_settle(event) or at < event.until_at + SETTLED_AFTER:
                continue
            try:
                found = _settle(db, config, event, told.get(event.event_id), at)
            except (LookupError, ValueError) as error:
                failed.append(str(error))
                continue
            if found is not None:
                due.append(found)
    for settlement in due:
        with store.station(config.station.id) as writing:
            newest = settlements(writing).get(settlement.event_id)
            if (0 if newest is None else newest.no) < settlement.no:  # else another process was faster
                append_event(writing, settlement, station_id=config.station.id, at=at, actor=ACTOR)
    return ResponsesSettled(tuple(one.event_id for one in due), tuple(failed))


def _settle(
    db: StationDb, config: StationConfig, event: DrAnswered, before: DrSettled | None, at: datetime
) -> DrSettled | None:
    """The settlement that an event is due; None where it is settled."""
    if before is not None and (None not in before.metered_kw or at > event.until_at + READ_LATE):
        return None
    programme = rules_of(event, config.programmes) if before is None else rules_told(event, before)
    lines = settled(db, programme, event)
    assert lines is not None
    metered_kw = tuple(slot.metered_kw for slot in lines.slots)
    if before is not None:
        # What was metered stays as it was told: samples become means with time.
        pairs = zip(before.metered_kw, metered_kw, strict=True)
        metered_kw = tuple(new if old is None else old for old, new in pairs)
        if metered_kw == before.metered_kw:
            return None
        lines = by_meter(programme, event, metered_kw)
    operator = config.station.operator if before is None else before.seller_id
    month = f"{event.until_at.astimezone(config.station.zone):%Y-%m}"
    return DrSettled(
        event_id=event.event_id,
        no=1 if before is None else before.no + 1,
        seller_id=operator,
        metered_kw=metered_kw,
        counted_kwh=str(lines.counted_kwh),
        money_fen=whole(lines.money_yuan, FEN_YUAN),
        penalty_fen=whole(lines.penalty_yuan, FEN_YUAN),
        period=_open_month(db, (operator, programme.payer), month),
        rules=None if event.rules is not None else programme.model_dump(mode="json"),
    )


def _open_month(db: AnyDb, firms: Sequence[str], month: str) -> str:
    """The month, or the first after it that none of the firms has closed."""
    query = select(func.max(BillingPeriod.period)).where(col(BillingPeriod.seller_id).in_(firms))
    last: str | None = db.exec(query).one()
    return month if last is None or last < month else next_month(last)


# made again from the journal


def rules_told(event: DrAnswered, said: DrSettled) -> ProgrammeSection:
    """The programme by which an event was settled. Raises ValueError where the journal tells none."""
    rules = event.rules if event.rules is not None else said.rules
    if rules is None:
        raise NotSettled(f"demand response: neither answer nor settlement of event {event.event_id} tells its rules")
    return ProgrammeSection.model_validate(rules)


def by_meter(programme: ProgrammeSection, event: DrAnswered, metered_kw: Sequence[float | None]) -> DrSettlement:
    """An event settled from the powers that a settlement tells, by slot. Raises ValueError where they do not fit."""
    (span,) = spans((event,))
    slots = zip(span.slots(programme.slot), metered_kw, strict=True)
    return settled_by(programme, event, [MeteredSlot(at, kw) for at, kw in slots if kw is not None])


def settlement_charges(
    station_id: str, event: DrAnswered, said: DrSettled, before: DrSettled | None, at: datetime
) -> tuple[NewCharge, ...]:
    """What a settlement charges: what the one before it charged is taken back, then pay and penalty. Pure.

    Args:
        at: of the settlement's event.

    Raises:
        NotSettled: baseline, metered power and programme make it something else than it tells.
    """
    programme = rules_told(event, said)
    lines = by_meter(programme, event, said.metered_kw)
    made = whole(lines.money_yuan, FEN_YUAN), whole(lines.penalty_yuan, FEN_YUAN), str(lines.counted_kwh)
    if made != (said.money_fen, said.penalty_fen, said.counted_kwh):
        raise NotSettled(
            f"demand response: settlement {said.no} of event {event.event_id} tells {said.money_fen} fen and a penalty "
            f"of {said.penalty_fen} fen for {said.counted_kwh} kWh; its journal makes it {made[0]}, {made[1]} and "
            f"{made[2]}"
        )
    if said.no != (1 if before is None else before.no + 1):
        raise NotSettled(f"demand response: settlement {said.no} of event {event.event_id} has none before it")

    def charge(kind: str, number: int, fen: int, *, back: bool = False) -> NewCharge:
        source = f"{kind}:{event.event_id}:{number}"
        parties = (said.seller_id, programme.payer) if kind == PAID else (programme.payer, said.seller_id)
        basis = {
            "event_id": event.event_id,
            "programme": event.programme,
            "settlement": said.no,
            "counted_kwh": said.counted_kwh,
        }
        return NewCharge(
            source=f"{source}:back" if back else source,
            seller_id=parties[0],
            buyer_id=parties[1],
            kind=kind,
            period=said.period,
            quantity=Decimal(-1 if back else 1),
            unit="item",
            unit_price_yuan=fen * FEN_YUAN,
            amount_yuan=(-fen if back else fen) * FEN_YUAN,
            tax_category=programme.tax_category if kind == PAID else "penalty",
            tax_rate=programme.tax_rate if kind == PAID else Decimal(0),
            station_id=station_id,
            from_at=event.from_at,
            until_at=event.until_at,
            basis=basis | ({"corrects": source} if back else {}),
        )

    taken_back = (
        []
        if before is None
        else [
            charge(kind, before.no, fen, back=True)
            for kind, fen in ((PAID, before.money_fen), (PENALTY, before.penalty_fen))
        ]
    )
    new = [charge(kind, said.no, fen) for kind, fen in ((PAID, said.money_fen), (PENALTY, said.penalty_fen))]
    return tuple(one for one in (*taken_back, *new) if one.amount_yuan)


def charge_settlements(store: Store, station_id: str) -> ResponsesSettled:
    """Charge every settlement that a station's journal tells of and that is not charged here.

    One that its journal makes something else is not charged, and is told.

    Raises:
        DatabaseAway: the database cannot be used now.
    """
    charged, failed = list[str](), list[str]()
    with store.reading_station(station_id) as db:
        events = {one.event_id: one for one in answered(db)}
        told = [(row.at, DrSettled.read(row.data)) for row in db.events(DrSettled)]
        before: dict[str, DrSettled] = {}
        asked = list[tuple[datetime, DrSettled, DrSettled | None]]()
        for at, said in told:
            asked.append((at, said, before.get(said.event_id)))
            before[said.event_id] = said
        known = set[str]()
        for lot in lots([source for _, said, earlier in asked for source in _sources(said, earlier)]):
            known |= set(db.exec(select(ChargeRow.source).where(col(ChargeRow.source).in_(lot))))
        due = list[tuple[datetime, NewCharge]]()
        for at, said, earlier in asked:
            sources, event = _sources(said, earlier), events.get(said.event_id)
            # What is charged may have its answer in the archive.
            if sources <= known and (sources or event is None):
                continue
            try:
                if event is None:
                    raise NotSettled(f"demand response: event {said.event_id} is settled, and was not answered before")
                due += [(at, one) for one in settlement_charges(station_id, event, said, earlier, at)]
            except ValueError as error:
                failed.append(str(error))
    for at, one in due:
        if one.source in known:
            continue
        try:
            with store.commerce() as writing:
                _charge(writing, one, at)
            if one.basis["event_id"] not in charged:
                charged.append(one.basis["event_id"])
        except DatabaseAway:
            raise
        except Exception as error:
            failed.append(f"{one.source}: {error}")
    return ResponsesSettled(tuple(charged), tuple(failed))


def _sources(said: DrSettled, before: DrSettled | None) -> set[str]:
    """What a settlement asks to be charged, by its own word."""
    amounts = [(said, "")] if before is None else [(said, ""), (before, ":back")]
    return {
        f"{kind}:{one.event_id}:{one.no}{end}"
        for one, end in amounts
        for kind, fen in ((PAID, one.money_fen), (PENALTY, one.penalty_fen))
        if fen
    }


def _charge(db: AnyDb, new: NewCharge, at: datetime) -> None:
    unknown = [firm for firm in (new.seller_id, new.buyer_id) if db.get(Party, firm) is None]
    if unknown:
        raise NotSettled(f"the register does not know {', '.join(unknown)}; another journal may tell it")
    corrects = new.basis.get("corrects")
    if corrects is not None:
        first = db.exec(select(ChargeRow.id).where(ChargeRow.source == corrects)).first()
        if first is None:
            raise NotSettled(f"it takes back {corrects}, which is not charged")
        new = replace(new, corrects_id=first)
    add_charge(db, new, at)
