"""Swaps, some hundred at a time, each with everything that names it: seats, commands, bills and events;
and the contracts that its vehicle had, as they were known then."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlmodel import SQLModel, col

from swap.audit.journal import parsed
from swap.audit.leases.contracts import plain_event
from swap.audit.rows import Reader
from swap.commerce.leases.billing import counts
from swap.commerce.leases.contracts import lease_from
from swap.commerce.leases.lease import LeaseHistory, Version
from swap.messages.base import Event
from swap.messages.events import AnyEvent
from swap.tables import (
    Bill,
    BillLine,
    LeaseEvent,
    LeaseVehicle,
    LeaseVersion,
    RobotCommandRow,
    StationEvent,
    Swap,
    SwapSeat,
)


@dataclass
class SwapFile:
    """One swap and everything that names it."""

    row: Any
    seats: list[Any] = field(default_factory=list)
    commands: list[Any] = field(default_factory=list)
    """In the order of issue."""
    bills: list[Any] = field(default_factory=list)
    lines: dict[str, list[Any]] = field(default_factory=dict)
    """By bill, in line order."""
    events: list[tuple[Any, AnyEvent]] = field(default_factory=list)
    """Those that are understood, in order."""

    @property
    def name(self) -> str:
        """For people."""
        return f"swap {self.row.id}"

    def told(self, *models: type[Event]) -> list[tuple[Any, Any]]:
        """The events of some models, in order."""
        return [(row, said) for row, said in self.events if isinstance(said, models)]

    def exchanged(self) -> list[Any]:
        """The seats that were exchanged."""
        return [seat for seat in self.seats if seat.exchanged]


def swap_files(reader: Reader) -> Iterator[SwapFile]:
    """Every swap, in the order of their ids."""
    for rows in reader.lots(Swap, col(Swap.id)):
        files = {row.id: SwapFile(row) for row in rows}
        for seat in _of(reader, SwapSeat, files, (col(SwapSeat.swap_id), col(SwapSeat.seat))):
            files[seat.swap_id].seats.append(seat)
        for command in _of(reader, RobotCommandRow, files, (col(RobotCommandRow.id),), judged=False):
            files[command.swap_id].commands.append(command)
        by_bill: dict[str, SwapFile] = {}
        for bill in _of(reader, Bill, files, (col(Bill.issued_at), col(Bill.id))):
            files[bill.swap_id].bills.append(bill)
            by_bill[bill.id] = files[bill.swap_id]
        lines = reader.of(
            BillLine, col(BillLine.bill_id), by_bill, order=(col(BillLine.bill_id), col(BillLine.line_no))
        )
        for line in lines:
            by_bill[line.bill_id].lines.setdefault(line.bill_id, []).append(line)
        stations = col(StationEvent.station_id).in_(reader.stations)
        events = reader.of(StationEvent, col(StationEvent.swap_id), files, stations, judged=False)
        # Sorted here: in this order the database would read the journal, and not its index.
        for event in sorted(events, key=lambda event: (event.station_id, event.seq)):
            said = parsed(event.kind, event.data)
            if said is not None:
                files[event.swap_id].events.append((event, said))
        yield from files.values()


def _of(
    reader: Reader, model: type[SQLModel], files: Mapping[str, SwapFile], order: Sequence[Any], *, judged: bool = True
) -> Iterator[Any]:
    """Rows of a table that name one of some swaps. Commands outside of swaps are judged with their lanes."""
    column: Any = model.swap_id  # type: ignore[attr-defined]
    return reader.of(model, column, files, order=order, judged=judged)


class KnownContracts:
    """Every contract of a database, read once. One that cannot be read counts for nobody: its own checks tell of it."""

    def __init__(self, reader: Reader) -> None:
        self._versions: dict[str, list[Any]] = defaultdict(list)
        self._events: dict[str, list[Any]] = defaultdict(list)
        self._of_vehicle: dict[str, set[str]] = defaultdict(set)
        self._read: dict[tuple[str, int, int], LeaseHistory | None] = {}
        for row in reader.rows(LeaseVersion, order=(col(LeaseVersion.contract_id),), judged=False):
            self._versions[row.contract_id].append(row)
        for row in reader.rows(LeaseEvent, order=(col(LeaseEvent.contract_id), col(LeaseEvent.no)), judged=False):
            self._events[row.contract_id].append(plain_event(row))
        for row in reader.rows(LeaseVehicle, judged=False):
            self._of_vehicle[row.vehicle_id].add(row.contract_id)

    def counting(
        self, vehicle_id: str, station_id: str, at: datetime, known_at: datetime
    ) -> tuple[str, Version] | None:
        """The contract that counted for a vehicle at a station at an instant, and its version, by what was known."""
        for contract_id in sorted(self._of_vehicle.get(vehicle_id, ())):
            lease = self._known(contract_id, known_at)
            version = None if lease is None else counts(lease, vehicle_id, station_id, at)
            if version is not None:
                return contract_id, version
        return None

    def _known(self, contract_id: str, at: datetime) -> LeaseHistory | None:
        versions = [row for row in self._versions[contract_id] if row.made_at <= at]
        events = [row for row in self._events[contract_id] if row.at <= at]
        key = contract_id, len(versions), len(events)
        if key not in self._read:
            try:
                plain = [
                    SimpleNamespace(
                        version=row.version,
                        effective_day=row.effective_day,
                        terms=json.loads(row.terms),
                        rated_kwh=json.loads(row.rated_kwh),
                    )
                    for row in versions
                ]
                self._read[key] = lease_from(contract_id, plain, events) if plain else None
            except (ValueError, LookupError, ArithmeticError):
                self._read[key] = None
        return self._read[key]
