"""Bills from completed swaps.

Each `swap.completed` event ends in exactly one bill, whatever the readings were: what cannot be billed is
billed as 0 kWh with a flag. The energy price is the tariff at the instant of that event, not at the time of
billing; so a bill made late, after an outage, is the same bill.

A bill is never edited. `reverse_bill` issues a second one with negative lines; `correct_bill` also issues a
third with the quantities that a named person confirms.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from sqlmodel import col, select

from swap.commerce.bookings import new_id, tend_bookings
from swap.commerce.errors import BillNotReversible
from swap.commerce.pricing import CENTI_KWH, FEN, UNIT_PRICE, PricedSwap, SeatEnergy, price_swap, to_decimal
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway, InvalidInput, NotFound
from swap.events import append_event
from swap.messages.events import BillIssued, BillReversed, SwapCompleted
from swap.reading.lists import get_bill
from swap.reading.records import BillRecord
from swap.register.persons import person_actor
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Bill, BillLine, Pack, Station, StationEvent, Swap, SwapSeat, VehicleRow

SWAP, REVERSAL, CORRECTION = "swap", "reversal", "correction"


class Tariff(Protocol):
    """What billing needs of a tariff."""

    def price_at(self, at: datetime) -> Decimal:
        """Price of one kWh at an instant, yuan."""


class NotBilled(Exception):
    """A completed swap for which no bill could be made; its cause is the `__cause__`."""

    def __init__(self, swap_id: str, completed_at: datetime, reason: str) -> None:
        self.swap_id = swap_id
        super().__init__(f"swap {swap_id}, completed {completed_at.isoformat()}, is not billed: {reason}")


@dataclass(frozen=True, slots=True)
class CommerceReport:
    """What one run of `run_commerce` did."""

    bookings_ended: tuple[str, ...]
    bills_issued: tuple[str, ...]


def run_commerce(
    store: Store, config: StationConfig, tariff: Tariff, at: datetime, *, leave_out: Collection[str] = ()
) -> CommerceReport:
    """End bookings that are over and bill what is completed, as `bill_completed_swaps`. Called again and again."""
    with store.station(config.station.id) as db:
        ended = tend_bookings(db, config, at)
    return CommerceReport(ended, bill_completed_swaps(store, config, tariff, at, leave_out=leave_out))


def bill_completed_swaps(
    store: Store, config: StationConfig, tariff: Tariff, at: datetime, *, leave_out: Collection[str] = ()
) -> tuple[str, ...]:
    """Issue a bill for each completed swap that has none; their ids, in the order of completion.

    One transaction a bill. A swap that cannot be billed stops no other. A bill waits for the reading of the
    pack given back for `billing.reading_wait_s` after the completion.

    Args:
        leave_out: swaps that are not tried this time.

    Raises:
        ExceptionGroup: a `NotBilled` for each swap without a bill, after every other has been billed.
        DatabaseAway: the database cannot be used now.
    """
    issued: list[str] = []
    errors: list[NotBilled] = []
    with store.reading_station(config.station.id) as db:
        pending = [
            item
            for item in _unbilled(db, config.station.id)
            if item[0] not in leave_out
            and ((at - item[1]).total_seconds() >= config.billing.reading_wait_s or _measured(db, item[0]))
        ]
    for swap_id, completed_at, event_seq in pending:
        try:
            energy_price_yuan = tariff.price_at(completed_at)
            with store.station(config.station.id) as db:
                if _bill_of(db, swap_id, SWAP) is not None:
                    continue  # another process was faster
                priced = price_swap(
                    seat_energies(db, swap_id), energy_price_yuan, config.billing.service_price_yuan_per_kwh
                )
                issued.append(_issue(db, swap_id, SWAP, priced, at, "commerce", event_seq, {}))
        except DatabaseAway:
            raise
        except Exception as error:
            errors.append(NotBilled(swap_id, completed_at, str(error) or type(error).__name__))
            errors[-1].__cause__ = error
    if errors:
        raise ExceptionGroup(f"{len(errors)} completed swap(s) could not be billed", errors)
    return tuple(issued)


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
            f"bill {bill_id} is a {bill.kind}; only the bill of a swap is reversed", bill_id=bill_id
        )
    earlier = _bill_of(db, bill.swap_id, REVERSAL)
    if earlier is not None:
        raise BillNotReversible(f"bill {bill_id} was reversed by {earlier.id}", bill_id=earlier.id)
    swap = db.get_one(Swap, bill.swap_id)
    reversal = Bill(
        id=new_id("bl", at),
        swap_id=bill.swap_id,
        kind=REVERSAL,
        payer_id=bill.payer_id,
        issued_at=at,
        total_fen=-bill.total_fen,
        flags=bill.flags,
    )
    db.add(reversal)
    db.flush()
    for line in db.exec(select(BillLine).where(BillLine.bill_id == bill_id)).all():
        db.add(
            BillLine(
                bill_id=reversal.id,
                line_no=line.line_no,
                kind=line.kind,
                seat=line.seat,
                pack_id=line.pack_id,
                payee_id=line.payee_id,
                energy_centi_kwh=-line.energy_centi_kwh,
                unit_price_1e4_yuan=line.unit_price_1e4_yuan,
                amount_fen=-line.amount_fen,
                basis={"reverses": bill_id, "line": line.line_no},
            )
        )
    db.flush()
    append_event(
        db,
        BillReversed(bill_id=reversal.id, reverses=bill_id, total_fen=reversal.total_fen, reason=reason),
        station_id=swap.station_id,
        at=at,
        actor=person_actor(db, name, at),
        swap_id=swap.id,
    )
    return get_bill(db, swap.station_id, reversal.id)


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
    swap_id = reversal.swap_id
    old_lines = db.exec(select(BillLine).where(BillLine.bill_id == bill_id).order_by(col(BillLine.line_no))).all()
    prices = {line.kind: Decimal(line.unit_price_1e4_yuan) * UNIT_PRICE for line in old_lines}
    seats = {line.seat for line in old_lines}
    if seats != set(energy_kwh_by_seat):
        raise InvalidInput(
            "energy_kwh_by_seat", sorted(energy_kwh_by_seat), f"a quantity for each of the seats {seats}"
        )
    confirmed = []
    for seat in seat_energies(db, swap_id):
        quantity_kwh = energy_kwh_by_seat[seat.seat]
        limit_kwh = seat.rated_kwh if seat.rated_kwh is not None else Decimal(0)
        if not quantity_kwh.is_finite() or not 0 <= quantity_kwh <= limit_kwh:
            raise InvalidInput(f"energy_kwh_by_seat.{seat.seat}", str(quantity_kwh), f"0…{limit_kwh} kWh")
        confirmed.append(replace(seat, confirmed_kwh=quantity_kwh))
    by = person_actor(db, name, at)
    priced = price_swap(confirmed, prices["energy"], prices["service"])
    corrected_id = _issue(
        db,
        swap_id,
        CORRECTION,
        priced,
        at,
        by,
        None,
        {"confirmed_by": by, "reason": reason},
    )
    return reversal, get_bill(db, db.get_one(Swap, swap_id).station_id, corrected_id)


def seat_energies(db: StationDb, swap_id: str) -> tuple[SeatEnergy, ...]:
    """The readings of the seats that a swap exchanged, in seat order."""
    swap = db.get_one(Swap, swap_id)
    query = select(SwapSeat).where(SwapSeat.swap_id == swap_id, col(SwapSeat.exchanged).is_(True))
    result = []
    for seat in db.exec(query.order_by(col(SwapSeat.seat))):
        pack = db.get(Pack, seat.old_pack_id) if seat.old_pack_id else None
        result.append(
            SeatEnergy(
                seat=seat.seat,
                pack_id=seat.old_pack_id,
                rated_kwh=to_decimal(pack.rated_kwh) if pack else None,
                last_settled_soe_kwh=to_decimal(seat.last_settled_soe_kwh),
                returned_soe_kwh=to_decimal(seat.returned_soe_kwh),
                first_swap=not db.put_on_by_swap(swap, seat.old_pack_id),
            )
        )
    return tuple(result)


def _measured(db: StationDb, swap_id: str) -> bool:
    return all(seat.returned_soe_kwh is not None for seat in seat_energies(db, swap_id))


def _unbilled(db: StationDb, station_id: str) -> list[tuple[str, datetime, int]]:
    """Swap, instant and event of each completion without a bill, in the order of the journal."""
    query = (
        select(StationEvent.swap_id, StationEvent.at, StationEvent.seq)
        .join(Bill, (col(Bill.swap_id) == StationEvent.swap_id) & (col(Bill.kind) == SWAP), isouter=True)
        .where(
            StationEvent.station_id == station_id,
            StationEvent.kind == SwapCompleted.kind,
            col(StationEvent.swap_id).is_not(None),
            col(Bill.id).is_(None),
        )
        .order_by(col(StationEvent.seq))
    )
    return [(swap_id, at, event_seq) for swap_id, at, event_seq in db.exec(query) if swap_id is not None]


def _bill_of(db: StationDb, swap_id: str, kind: str) -> Bill | None:
    return db.exec(select(Bill).where(Bill.swap_id == swap_id, Bill.kind == kind)).first()


def _scaled(value: Decimal, step: Decimal) -> int:
    scaled = value / step
    assert scaled == scaled.to_integral_value(), f"{value} is no multiple of {step}"
    return int(scaled)


def _issue(
    db: StationDb,
    swap_id: str,
    kind: str,
    priced: PricedSwap,
    at: datetime,
    actor: str,
    cause_seq: int | None,
    basis: Mapping[str, str],
) -> str:
    swap = db.get_one(Swap, swap_id)
    payee_id = db.get_one(Station, swap.station_id).operator_id
    bill = Bill(
        id=new_id("bl", at),
        swap_id=swap_id,
        kind=kind,
        payer_id=db.get_one(VehicleRow, swap.vehicle_id).fleet_id,
        issued_at=at,
        total_fen=_scaled(priced.total_yuan, FEN),
        flags=",".join(priced.flags),
    )
    db.add(bill)
    db.flush()
    for number, line in enumerate(priced.lines, start=1):
        db.add(
            BillLine(
                bill_id=bill.id,
                line_no=number,
                kind=line.kind,
                seat=line.seat,
                pack_id=line.pack_id,
                payee_id=payee_id,
                energy_centi_kwh=_scaled(line.energy_kwh, CENTI_KWH),
                unit_price_1e4_yuan=_scaled(line.unit_price_yuan, UNIT_PRICE),
                amount_fen=_scaled(line.amount_yuan, FEN),
                basis={**line.basis, **basis},
            )
        )
    db.flush()
    append_event(
        db,
        BillIssued(bill_id=bill.id, bill=kind, total_fen=bill.total_fen, flags=priced.flags),
        station_id=swap.station_id,
        at=at,
        actor=actor,
        swap_id=swap_id,
        cause_seq=cause_seq,
    )
    return bill.id
