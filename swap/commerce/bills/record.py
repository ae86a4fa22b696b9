"""What bills are made of beside prices and terms, and where it is on record: in a station's rows, or in its journal.

The rules are written once, in `swap.commerce.bills.readings` and below it; they ask a `BillingRecord`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from sqlmodel import col, select

from swap.commerce.bills.money import to_decimal
from swap.commerce.bills.quantity import ChargeReading
from swap.messages.packs import PackRead
from swap.places import local_name
from swap.station_db import StationDb
from swap.tables import ChargeSession, Pack, StationEvent, Swap, SwapSeat, VehicleRow

READY = ("ready", "reserved", "picked")
"""States of a pack that has been charged."""


@dataclass(frozen=True, slots=True)
class SeatOnRecord:
    """The pack that a swap has taken off a seat, with what is known of it."""

    seat: int
    pack_id: str | None
    rated_kwh: float | None
    last_settled_soe_kwh: float | None
    returned_soe_kwh: float | None
    """None until its BMS has been read in the bay."""
    put_on_by_swap: bool


@dataclass(frozen=True, slots=True)
class SwapOnRecord:
    """A swap with the seats that it has exchanged, by seat."""

    swap_id: str
    vehicle_id: str
    arrived_at: datetime
    seats: tuple[SeatOnRecord, ...]


@dataclass(frozen=True, slots=True)
class CounterRead:
    """A reading of a pack at its station, of a swap where it came off a vehicle by one."""

    at: datetime
    swap_id: str | None
    discharged_kwh: float | None


class BillingRecord(Protocol):
    """What one station has on record of its swaps."""

    @property
    def db(self) -> StationDb:
        """Prices are in its journal, firms in its register."""

    def swap(self, swap_id: str) -> SwapOnRecord:
        """A completed swap. Raises LookupError where the record does not tell it."""

    def fleet_of(self, vehicle_id: str) -> str:
        """The fleet that a vehicle belongs to. Raises LookupError where the record does not tell it."""

    def counters(self, pack_id: str | None) -> Sequence[CounterRead]:
        """Every reading of a pack, in order."""

    def charges(self, pack_id: str | None) -> Sequence[ChargeReading]:
        """Each charging of a pack that has ended, in order."""

    def used_again_at(self, swap: SwapOnRecord, pack_id: str | None) -> datetime | None:
        """When a later swap of this station took a pack into use again."""

    def is_charged(self, pack_id: str | None) -> bool:
        """Whether a pack at the station is charged."""


class RowRecord:
    """The record of a station in its own database."""

    def __init__(self, db: StationDb) -> None:
        self.db = db

    def swap(self, swap_id: str) -> SwapOnRecord:
        """Of the rows of swap, seats and packs."""
        swap = self.db.get_one(Swap, swap_id)
        seats = []
        for seat in self.db.seats(swap_id):
            if seat.exchanged:
                pack = self.db.get(Pack, seat.old_pack_id) if seat.old_pack_id else None
                seats.append(
                    SeatOnRecord(
                        seat.seat,
                        seat.old_pack_id,
                        None if pack is None else pack.rated_kwh,
                        seat.last_settled_soe_kwh,
                        seat.returned_soe_kwh,
                        self.db.put_on_by_swap(swap, seat.old_pack_id),
                    )
                )
        return SwapOnRecord(swap_id, swap.vehicle_id, swap.arrived_at, tuple(seats))

    def fleet_of(self, vehicle_id: str) -> str:
        """Of the register."""
        return self.db.get_one(VehicleRow, vehicle_id).fleet_id

    def counters(self, pack_id: str | None) -> Sequence[CounterRead]:
        """Of the journal: no row keeps counters."""
        return counters_told(self.db, pack_id)

    def charges(self, pack_id: str | None) -> Sequence[ChargeReading]:
        """Of the rows of charging."""
        query = select(ChargeSession).where(ChargeSession.pack_id == pack_id)
        rows = self.db.exec(query.order_by(col(ChargeSession.started_at), col(ChargeSession.id)))
        return [charge_reading(row) for row in rows if row.ended_at is not None]

    def used_again_at(self, swap: SwapOnRecord, pack_id: str | None) -> datetime | None:
        """Of the rows of swaps."""
        query = (
            select(Swap.dispatched_at)
            .join(SwapSeat, col(SwapSeat.swap_id) == Swap.id)
            .where(SwapSeat.new_pack_id == pack_id, col(SwapSeat.exchanged).is_(True), Swap.id != swap.swap_id)
            .where(col(Swap.dispatched_at) > swap.arrived_at)
            .order_by(col(Swap.dispatched_at))
            .limit(1)
        )
        return self.db.exec(query).first()

    def is_charged(self, pack_id: str | None) -> bool:
        """Of the pack's row."""
        pack = self.db.get(Pack, pack_id) if pack_id else None
        return pack is not None and pack.state in READY


def counters_told(db: StationDb, pack_id: str | None, before: int | None = None) -> list[CounterRead]:
    """Every reading of a pack that the journal tells before an event."""
    query = select(StationEvent).where(StationEvent.pack_id == pack_id, StationEvent.kind == PackRead.kind)
    if before is not None:
        query = query.where(col(StationEvent.seq) < before)
    rows = db.exec(query.order_by(col(StationEvent.seq)))
    return [CounterRead(row.at, row.swap_id, PackRead.read(row.data).discharged_kwh) for row in rows]


def charge_reading(row: Any) -> ChargeReading:
    """One charging that has ended, of its row."""
    return charged(
        row.id,
        local_name(row.station_id, row.bay_id),
        (row.started_at, row.ended_at),
        (row.start_energy_kwh, row.end_energy_kwh),
        (row.start_meter_kwh, row.end_meter_kwh),
    )


Ends = tuple[float | None, float | None]
"""What was read at the beginning and at the end."""


def charged(session_id: int, bay: str, times: tuple[datetime, datetime], energy: Ends, meter: Ends) -> ChargeReading:
    """One charging that has ended. An end that was not read is taken as the beginning: nothing is guessed."""
    start_kwh, end_kwh = energy
    return ChargeReading(
        session_id,
        bay,
        *times,
        to_decimal(start_kwh) or Decimal(0),
        to_decimal(end_kwh if end_kwh is not None else start_kwh) or Decimal(0),
        to_decimal(meter[0]),
        to_decimal(meter[1]),
    )
