"""The record of a station as its journal alone tells it, in a database that holds journals and no station's rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from sqlmodel import col, select

from swap.commerce.bills.quantity import ChargeReading
from swap.commerce.bills.record import READY, CounterRead, SeatOnRecord, SwapOnRecord, charged, counters_told
from swap.messages.base import Event
from swap.messages.events import FileTaken, SwapCompleted, SwapDispatched, SwapQueued
from swap.messages.packs import ChargeEnded, ChargeStarted, PackMoved, PackRead, PackStateChanged
from swap.places import local_name
from swap.station_db import StationDb
from swap.tables import StationEvent, VehicleRow

E = TypeVar("E", bound=Event)
ON_VEHICLE = "vehicle:"


class NotTold(LookupError):
    """A journal does not tell what a bill rests on."""


class JournalRecord:
    """What a journal tells before an event of it, so that what came later changes no bill of earlier.

    Args:
        before_seq: that event.
        at: when it happened.
    """

    def __init__(self, db: StationDb, before_seq: int, at: datetime) -> None:
        self.db = db
        self._before_seq = before_seq
        self._at = at

    def swap(self, swap_id: str) -> SwapOnRecord:
        """Of its check-in, its completion, and the readings of the packs that it took off.

        Raises:
            NotTold: one of the events is missing, or of a release that did not tell what a bill rests on.
        """
        queued = self._told(SwapQueued, swap_id=swap_id)
        completed = self._told(SwapCompleted, swap_id=swap_id)
        if not queued or not completed:
            missing = SwapCompleted.kind if queued else SwapQueued.kind
            raise NotTold(f"the journal of station {self.db.station_id} has no {missing} of swap {swap_id}")
        row, done = completed[-1]
        if [one.seat for one in done.given_back] != sorted(done.exchanged):
            raise NotTold(
                f"event {row.seq} of station {row.station_id} tells {len(done.given_back)} of {done.seats} packs given "
                "back (given_back): an earlier release wrote it; bill the swap at its station"
            )
        returned = {event.pack_id: read.energy_kwh for event, read in self._told(PackRead, swap_id=swap_id)}
        arrived, call = queued[0]
        seats = tuple(
            SeatOnRecord(
                one.seat,
                one.pack_id,
                one.rated_kwh,
                one.last_settled_soe_kwh,
                returned.get(one.pack_id),
                one.put_on_by_swap,
            )
            for one in done.given_back
        )
        return SwapOnRecord(swap_id, call.vehicle_id, arrived.at, seats)

    def fleet_of(self, vehicle_id: str) -> str:
        """Of the station files that the journals tell, at the instant of the bill; else of the register here."""
        for event in self.db.files_taken(self._at):
            for row in reversed(FileTaken.read(event).rows):
                if (row.table, row.id) == ("vehicle", vehicle_id) and "fleet_id" in row.values:
                    return str(row.values["fleet_id"])
        known = self.db.get(VehicleRow, vehicle_id)
        if known is None:
            raise NotTold(f"no journal tells of vehicle {vehicle_id}, and the register does not know it")
        return known.fleet_id

    def counters(self, pack_id: str | None) -> Sequence[CounterRead]:
        """Of the readings of the pack."""
        return counters_told(self.db, pack_id, self._before_seq)

    def charges(self, pack_id: str | None) -> Sequence[ChargeReading]:
        """Of the beginnings and ends of charging.

        Raises:
            NotTold: one was written by a release that did not tell what a bill rests on.
        """
        begun: tuple[StationEvent, ChargeStarted] | None = None
        starts, ends = self._told(ChargeStarted, pack_id=pack_id), self._told(ChargeEnded, pack_id=pack_id)
        found = []
        for row, said in sorted([*starts, *ends], key=lambda one: one[0].seq):
            if isinstance(said, ChargeStarted):
                begun = row, said
            elif isinstance(said, ChargeEnded) and begun is not None:
                start, began = begun
                if said.session_id is None or said.start_kwh is None:
                    raise NotTold(
                        f"event {row.seq} of station {row.station_id} does not tell what was charged (session_id, "
                        "start_kwh): an earlier release wrote it; bill the swap at its station"
                    )
                found.append(
                    charged(
                        said.session_id,
                        local_name(row.station_id, row.bay_id or ""),
                        (start.at, row.at),
                        (said.start_kwh, said.end_kwh),
                        (began.meter_kwh, said.meter_kwh),
                    )
                )
                begun = None
        return sorted(found, key=lambda one: (one.started_at, one.session_id))

    def used_again_at(self, swap: SwapOnRecord, pack_id: str | None) -> datetime | None:
        """Of the moves of the pack by other swaps: one that brought it to a vehicle, and left it there."""
        by_swap: dict[str, list[PackMoved]] = {}
        for row, moved in self._told(PackMoved, pack_id=pack_id):
            if row.swap_id is not None and row.swap_id != swap.swap_id:
                by_swap.setdefault(row.swap_id, []).append(moved)
        used = [
            self._told(SwapDispatched, swap_id=swap_id)[-1][0].at
            for swap_id, moves in by_swap.items()
            if not moves[0].source.startswith(ON_VEHICLE) and moves[-1].target.startswith(ON_VEHICLE)
        ]
        return min((at for at in used if at > swap.arrived_at), default=None)

    def is_charged(self, pack_id: str | None) -> bool:
        """Of the pack's newest state."""
        told = self._told(PackStateChanged, pack_id=pack_id)
        return bool(told) and told[-1][1].after in READY

    def _told(
        self, model: type[E], *, swap_id: str | None = None, pack_id: str | None = None
    ) -> list[tuple[StationEvent, E]]:
        query = select(StationEvent).where(StationEvent.kind == model.kind, col(StationEvent.seq) < self._before_seq)
        query = query.where(StationEvent.pack_id == pack_id if swap_id is None else StationEvent.swap_id == swap_id)
        return [(row, model.read(row.data)) for row in self.db.exec(query.order_by(col(StationEvent.seq)))]
