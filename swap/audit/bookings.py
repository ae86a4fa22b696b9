"""Bookings: each as its events say, used by at most one swap, and all of them possible."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from sqlmodel import SQLModel, col

from scheduler.types import StationMode
from swap.audit.findings import Findings
from swap.audit.promised import Promised, PromiseWalk
from swap.audit.rows import Reader
from swap.commerce.bookings.fees import KIND as NO_SHOW
from swap.commerce.bookings.fees import fee_source
from swap.commerce.bookings.rules import Demand, PromiseView, plan
from swap.commerce.bookings.slots import SlotGrid
from swap.commerce.bookings.states import BOOKING, BookingStatus
from swap.station.sequence.recipe import CANCELLED, COMPLETED, RETURNED
from swap.tables import Booking, ChargeRow, StandingBooking, Swap


def check_bookings(reader: Reader, findings: Findings, walk: PromiseWalk) -> None:
    """Every check of bookings; the journals have been walked."""
    told, found = walk.bookings, findings["booking_in_journal"]
    open_rows: dict[str, list[Any]] = defaultdict(list)
    seen: set[str] = set()
    days: dict[tuple[str, str], str] = {}
    for lot in reader.lots(Booking, col(Booking.id)):
        users: dict[str, list[Any]] = defaultdict(list)
        for swap in reader.of(Swap, col(Swap.booking_id), [row.id for row in lot], judged=False):
            users[swap.booking_id].append(swap)
        for row in lot:
            seen.add(row.id)
            found.look(
                row.window_start_at < row.window_end_at,
                f"booking {row.id}: its window ends at {row.window_end_at.isoformat()}, before it starts",
            )
            promised = told.get(row.id)
            if found.look(promised is not None, f"booking {row.id} of {row.vehicle_id}: no event promised it"):
                assert promised is not None
                _as_told(findings, row, promised)
            _used(findings, row, users[row.id])
            _of_its_rule(findings, row, days)
            if row.status not in BOOKING.ends:
                open_rows[row.station_id].append(row)
    for key in told.keys() - seen:
        found.look(False, f"{told[key].where} tells of booking {key}, which does not exist")
    for station_id, rows in open_rows.items():
        _apart(findings, rows)
        # What was told as broken is promised no more.
        kept = [row for row in rows if row.status != BookingStatus.DISRUPTED]
        if station_id in walk.grids:
            _fit(findings, station_id, _grid(*walk.grids[station_id]), kept)
        _stocked(findings, station_id, kept, told)
    _standing(reader, findings, walk.standing, days)
    _fees(reader, findings, told)


def _fees(reader: Reader, findings: Findings, told: Mapping[str, Promised]) -> None:
    """Fees for trucks that did not come, against the ends of their bookings; those of earlier releases tell none."""
    found = findings["no_show_as_told"]
    due = {fee_source(key): promised.fee for key, promised in told.items() if promised.fee is not None}
    untold = {fee_source(key) for key, promised in told.items() if promised.ended and promised.fee is None}
    for row in reader.rows(ChargeRow, order=(col(ChargeRow.id),), judged=False):
        if row.kind != NO_SHOW and not row.source.startswith(f"{NO_SHOW}:"):
            continue
        if row.source in untold:
            continue  # an earlier release told no fee
        fee = due.pop(row.source, None)
        if found.look(fee is not None, f"charge {row.id}: {row.source} is told by no end of a booking"):
            assert fee is not None
            values = {"kind": NO_SHOW, "station_id": fee[0], "made_at": fee[1], "amount_fen": fee[2]}
            found.same(f"charge {row.id}", f"the end of {row.source}", row, values)
    for source, (_, _, fen) in due.items():
        found.look(not fen, f"{source} was told as charged, and there is no such charge")


def _as_told(findings: Findings, row: Any, promised: Promised) -> None:
    found = findings["booking_in_journal"]
    coming = (BookingStatus.BOOKED.value, BookingStatus.DISRUPTED.value)
    if promised.values["status"] == BookingStatus.ARRIVED and row.status in coming:
        found.wait()  # commerce has not read yet that its truck was let in
        return
    found.same(f"booking {row.id}", promised.where, row, promised.values)


def _of_its_rule(findings: Findings, row: Any, days: dict[tuple[str, str], str]) -> None:
    """A standing booking makes one booking a day."""
    found = findings["standing_in_journal"]
    if row.standing_id is None and row.standing_on is None:
        return
    whole = row.standing_id is not None and row.standing_on is not None
    if found.look(whole, f"booking {row.id}: a standing booking and its day belong together"):
        other = days.setdefault((row.standing_id, row.standing_on), row.id)
        found.look(
            other == row.id, f"bookings {other} and {row.id} are both of {row.standing_id} for {row.standing_on}"
        )


def _used(findings: Findings, row: Any, swaps: list[Any]) -> None:
    found = findings["booking_used_once"]
    swap = swaps[0] if swaps else None
    coming = row.status in (BookingStatus.BOOKED, BookingStatus.DISRUPTED)
    if swap is not None and (coming or (row.status == BookingStatus.ARRIVED and swap.ended_at is not None)):
        found.pending += 1
    fits = {
        BookingStatus.BOOKED.value: swap is None or swap.ended_at is None,
        BookingStatus.DISRUPTED.value: swap is None or swap.ended_at is None,
        BookingStatus.EXPIRED.value: swap is None,
        BookingStatus.CANCELLED.value: swap is None,
        BookingStatus.ARRIVED.value: swap is not None,
        BookingStatus.FULFILLED.value: swap is not None and swap.state == COMPLETED,
        BookingStatus.FAILED.value: swap is not None and swap.state in (RETURNED, CANCELLED),
    }.get(row.status, False)
    own = all(s.vehicle_id == row.vehicle_id and s.station_id == row.station_id for s in swaps)
    found.look(
        len(swaps) <= 1 and fits and own,
        f"booking {row.id} of {row.vehicle_id}: status is {row.status}, used by "
        f"{[f'{s.id} of {s.vehicle_id} ({s.state})' for s in swaps]}",
    )


def _apart(findings: Findings, rows: Sequence[Any]) -> None:
    """A truck is in one place at a time: its open bookings do not overlap."""
    found = findings["bookings_apart"]
    last: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: (row.vehicle_id, row.window_start_at, row.id)):
        before = last.get(row.vehicle_id)
        found.look(
            before is None or before.window_end_at <= row.window_start_at,
            f"bookings {'' if before is None else before.id} and {row.id} of {row.vehicle_id} overlap",
        )
        last[row.vehicle_id] = row


def _grid(slot_s: int, swaps_per_slot: str) -> SlotGrid:
    return SlotGrid(slot_s, Fraction(swaps_per_slot))


def _fit(findings: Findings, station_id: str, grid: SlotGrid, rows: Sequence[Any]) -> None:
    """Earliest deadline first, as the promises were made. A station that lost a lane since keeps what it promised."""
    if not rows:
        return
    at = min(row.window_start_at for row in rows)
    demands = [
        Demand(row.id, grid.slots_of(row.window_start_at, row.window_end_at), frozenset(), 1, "") for row in rows
    ]
    view = PromiseView(at, grid, {"": grid}, StationMode.AUTOMATIC, grid.start_of(grid.slot_at(at)), (), {}, 0.0, 0)
    findings["bookings_fit"].look(
        not plan(view, demands, any_stock=True).failed,
        f"station {station_id} has {len(rows)} open bookings, more than its slots of {grid.slot_s} s "
        f"with {grid.swaps_per_slot} swaps each can serve",
    )


def _stocked(findings: Findings, station_id: str, rows: Sequence[Any], told: Mapping[str, Promised]) -> None:
    """In a time in which no pack can come back charged, no more packs are promised than the station had.

    Judged by the promises themselves: for each, those whose window lies within the turnaround from its begin on and
    that may only be served with kinds of its own.
    """
    found = findings["bookings_have_packs"]
    ordered = sorted((row for row in rows if isinstance(row.kinds, list)), key=lambda row: row.window_start_at)
    for number, row in enumerate(ordered):
        promised = told.get(row.id)
        if promised is None or promised.stock_packs is None or promised.turnaround_s is None:
            continue
        packs, stock, kinds = 0, 0, set(row.kinds)
        for other in ordered[number:]:
            if (other.window_start_at - row.window_start_at).total_seconds() > promised.turnaround_s:
                break
            inside = (other.window_end_at - row.window_start_at).total_seconds() <= promised.turnaround_s
            if inside and kinds.issuperset(other.kinds):
                packs += other.packs
                beside = told.get(other.id)
                stock = max(stock, beside.stock_packs or 0 if beside is not None else 0)
        found.look(
            packs <= max(stock, promised.stock_packs),
            f"station {station_id} has promised {packs} packs of {', '.join(sorted(kinds))} from "
            f"{row.window_start_at.isoformat()} on (booking {row.id}) before any can come back, and had {stock}",
        )


def _standing(
    reader: Reader, findings: Findings, told: Mapping[str, Promised], days: Mapping[tuple[str, str], str]
) -> None:
    booked: dict[str, str] = {}
    for standing_id, day in days:
        booked[standing_id] = max(booked.get(standing_id, day), day)
    found = findings["standing_in_journal"]
    seen: set[str] = set()
    model: type[SQLModel] = StandingBooking
    for lot in reader.lots(model, col(StandingBooking.id)):
        for row in lot:
            seen.add(row.id)
            promised = told.get(row.id)
            if found.look(promised is not None, f"standing booking {row.id} of {row.vehicle_id}: no event made it"):
                assert promised is not None
                found.same(f"standing booking {row.id}", promised.where, row, promised.values)
            newest = booked.get(row.id)
            found.look(
                newest is None or (row.made_until is not None and newest <= row.made_until),
                f"standing booking {row.id}: made_until is {row.made_until}, it has booked {newest}",
            )
    for key in told.keys() - seen:
        found.look(False, f"{told[key].where} tells of standing booking {key}, which does not exist")
