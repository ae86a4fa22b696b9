"""What a station's record says of a span of time, for replay in the study: who came, what was in the rack,
when nobody was served, how much was charged. Instants are station time. Rows do not leave this room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlmodel import and_, col, func, or_, select

from scheduler.types import StationMode
from swap.errors import InvalidInput, NotFound
from swap.messages.events import (
    AnyEvent,
    ControllerStarted,
    ControllerStopped,
    StationModeChanged,
    SwapCancelled,
    SwapCompleted,
    SwapDispatched,
    SwapHeld,
    SwapQueued,
    SwapResumed,
    SwapReturned,
    SwapStepDone,
    SwapStepFailed,
    read_event,
)
from swap.messages.journal import JournalArchived
from swap.messages.packs import PackMoved, PackRead
from swap.places import local_name
from swap.reading.samples import imported
from swap.station_db import StationDb as Db
from swap.tables import (
    Booking,
    ChargeSession,
    Pack,
    SiteSample,
    Station,
    StationEvent,
    Swap,
    SwapSeat,
    VehicleRow,
)

SWAP_KINDS = (
    SwapQueued.kind,
    SwapDispatched.kind,
    SwapStepDone.kind,
    SwapStepFailed.kind,
    SwapHeld.kind,
    SwapResumed.kind,
    SwapCompleted.kind,
    SwapReturned.kind,
    SwapCancelled.kind,
)
"""Events that say how a swap went; checks and refusals on the way are left out."""


@dataclass(frozen=True, slots=True)
class SwapEntry:
    """One event of a swap."""

    at: datetime
    kind: str
    swap_id: str
    vehicle_id: str
    lane_id: str | None
    said: AnyEvent


def swap_entries(db: Db, station_id: str, from_at: datetime, until_at: datetime) -> tuple[SwapEntry, ...]:
    """The journal of all swaps in [from_at, until_at), in its order."""
    rows = db.exec(
        select(StationEvent, Swap.vehicle_id)
        .join(Swap, col(Swap.id) == StationEvent.swap_id)
        .where(StationEvent.station_id == station_id, col(StationEvent.kind).in_(SWAP_KINDS))
        .where(col(StationEvent.at) >= from_at, col(StationEvent.at) < until_at)
        .order_by(col(StationEvent.seq))
    )
    return tuple(
        SwapEntry(row.at, row.kind, str(row.swap_id), vehicle, row.lane_id, read_event(row.kind, row.data))
        for row, vehicle in rows
    )


def returned_temp_by_swap(db: Db, station_id: str) -> dict[str, tuple[float | None, ...]]:
    """The warmest probe of each pack that came off, at its first reading in the rack, by seat; None without one."""
    found: dict[str, list[float | None]] = {}
    ids = db.exec(select(Swap.id).where(Swap.station_id == station_id)).all()
    read = _first_readings(db, ids)
    for seat in db.exec(
        select(SwapSeat).where(col(SwapSeat.swap_id).in_(ids)).order_by(SwapSeat.swap_id, col(SwapSeat.seat))
    ):
        told = read.get((seat.swap_id, seat.old_pack_id))
        found.setdefault(seat.swap_id, []).append(None if told is None else told.temp_max_c)
    return {swap_id: tuple(temps) for swap_id, temps in found.items()}


def _first_readings(db: Db, swap_ids: Sequence[str]) -> dict[tuple[str | None, str | None], PackRead]:
    """By swap and pack: what was read of a pack that came off a truck."""
    query = select(StationEvent).where(StationEvent.kind == PackRead.kind, col(StationEvent.swap_id).in_(swap_ids))
    return {(event.swap_id, event.pack_id): PackRead.read(event.data) for event in db.exec(query)}


def handed_by_swap(db: Db, station_id: str) -> dict[str, float]:
    """Energy in kWh of the packs that each truck has left with or will leave with."""
    found: dict[str, float] = {}
    seats = (
        select(SwapSeat)
        .join(Swap, col(Swap.id) == SwapSeat.swap_id)
        .where(Swap.station_id == station_id, col(SwapSeat.exchanged))
    )
    for seat in db.exec(seats):
        found[seat.swap_id] = found.get(seat.swap_id, 0.0) + (seat.installed_soe_kwh or 0.0)
    return found


@dataclass(frozen=True, slots=True)
class RecordedSwap:
    """One truck that checked in."""

    swap_id: str
    vehicle_id: str
    model: str
    fleet_id: str
    priority: int
    arrived_at: datetime
    dispatched_at: datetime | None
    ended_at: datetime | None
    state: str
    lane_id: str | None
    soc_pct: tuple[float | None, ...]
    """Of the packs that came off, by seat; None where no reading came."""
    temp_c: tuple[float | None, ...]
    """The warmest probe of each, at the same reading."""
    soh_pct: tuple[float, ...]
    """State of health of each; as it is now where no reading told it."""
    booked_from_at: datetime | None
    booked_until_at: datetime | None
    kinds: tuple[str, ...] = ()
    """Of the packs that came off, by seat; empty where one of them is not known."""

    @property
    def wait_s(self) -> float | None:
        """From check-in until the lane called; None where it never did."""
        return None if self.dispatched_at is None else (self.dispatched_at - self.arrived_at).total_seconds()


@dataclass(frozen=True, slots=True)
class RecordedPack:
    """One pack in a bay at the beginning."""

    bay_id: str
    pack_id: str
    kind: str
    energy_kwh: float | None
    """Between two readings of a charge by proportion; None where nothing is recorded."""
    soh_pct: float
    """State of health as it is now."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A lane did not serve."""

    lane_id: str
    from_at: datetime
    until_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A station over [from_at, until_at)."""

    station_id: str
    from_at: datetime
    until_at: datetime
    swaps: tuple[RecordedSwap, ...]
    """All that were in the station in the span, in the order of check-in."""
    rack: tuple[RecordedPack, ...]
    stops: tuple[Stop, ...]
    """In order of time; those of one lane do not overlap."""
    charged_kwh: float
    """Energy stored in packs by charging."""
    import_kwh: float | None
    """By the samples of the site meter; None without a meter."""
    sampled_s: float
    """Time for which the meter was sampled."""

    def lane_s(self, swap: RecordedSwap) -> float | None:
        """How long a swap kept its lane, stops left out; None for one that has not ended."""
        if swap.dispatched_at is None or swap.ended_at is None:
            return None
        took = swap.ended_at - swap.dispatched_at
        for stop in self.stops:
            if stop.lane_id == swap.lane_id:
                both = min(stop.until_at, swap.ended_at) - max(stop.from_at, swap.dispatched_at)
                took -= max(both, timedelta(0))
        return took.total_seconds()


def covered(db: Db, station_id: str) -> tuple[datetime, datetime]:
    """From the first start of a controller, or what was archived, to the newest event.

    Raises:
        NotFound: nothing is recorded.
    """
    if db.get(Station, station_id) is None:
        raise NotFound("station", station_id)
    first: datetime | None = db.exec(
        select(func.min(StationEvent.at)).where(
            StationEvent.station_id == station_id, StationEvent.kind == ControllerStarted.kind
        )
    ).one()
    last: datetime | None = db.exec(
        select(func.max(StationEvent.at)).where(StationEvent.station_id == station_id)
    ).one()
    sampled: datetime | None = db.exec(select(func.max(SiteSample.at)).where(SiteSample.station_id == station_id)).one()
    if first is None or last is None:
        raise NotFound("record of station", station_id)
    first = max(first, _archived_until(db) or first)
    return first, last if sampled is None else max(last, sampled)


def _archived_until(db: Db) -> datetime | None:
    """Until when events have left for a file and were not put back."""
    row = db.newest_event(JournalArchived)
    if row is None:
        return None
    told = JournalArchived.read(row.data)
    there = db.exec(select(func.count()).select_from(StationEvent).where(col(StationEvent.seq) <= told.last_seq)).one()
    return None if there == told.last_seq else told.until_at


def recording(db: Db, station_id: str, from_at: datetime, until_at: datetime, lanes: Sequence[str]) -> Recording:
    """What is recorded of a span, narrowed to the time in which there was a record.

    Args:
        lanes: the station's lanes.

    Raises:
        NotFound: nothing is recorded of the station.
        InvalidInput: nothing is recorded of the span.
    """
    first_at, last_at = covered(db, station_id)
    begin_at, end_at = max(from_at, first_at).astimezone(UTC), min(until_at, last_at).astimezone(UTC)
    if begin_at >= end_at:
        raise InvalidInput(
            "day", f"{from_at.isoformat()}…{until_at.isoformat()}", f"{first_at.isoformat()}…{last_at.isoformat()}"
        )
    charges = list(db.exec(select(ChargeSession).where(ChargeSession.station_id == station_id)))
    packs = {pack.id: pack for pack in db.exec(select(Pack))}
    swaps = _swaps(db, station_id, begin_at, end_at, packs)
    import_kwh, sampled_s = imported(db, station_id, begin_at, end_at)
    return Recording(
        station_id,
        begin_at,
        end_at,
        swaps,
        _rack(db, station_id, begin_at, swaps, charges, packs),
        _stops(db, station_id, begin_at, end_at, swaps, lanes),
        sum(_gained_kwh(row, packs, begin_at, end_at) for row in charges),
        import_kwh,
        sampled_s,
    )


# Swaps


def _swaps(
    db: Db, station_id: str, from_at: datetime, until_at: datetime, packs: Mapping[str, Pack]
) -> tuple[RecordedSwap, ...]:
    rows: Sequence[tuple[Swap, VehicleRow, Booking | None]] = db.exec(
        select(Swap, VehicleRow, Booking)
        .join(VehicleRow, col(VehicleRow.id) == Swap.vehicle_id)
        .join(Booking, col(Booking.id) == Swap.booking_id, isouter=True)
        .where(Swap.station_id == station_id, Swap.arrived_at < until_at)
        .where(or_(col(Swap.ended_at).is_(None), col(Swap.ended_at) > from_at))
        .order_by(col(Swap.arrived_at), Swap.id)
    ).all()
    soc: dict[str, list[float | None]] = {}
    temp: dict[str, list[float | None]] = {}
    soh: dict[str, list[float]] = {}
    kinds: dict[str, list[str]] = {}
    ids = [swap.id for swap, _, _ in rows]
    read = _first_readings(db, ids)
    seats = select(SwapSeat).where(col(SwapSeat.swap_id).in_(ids))
    for seat in db.exec(seats.order_by(SwapSeat.swap_id, col(SwapSeat.seat))):
        soc.setdefault(seat.swap_id, []).append(seat.returned_soc_pct)
        told = read.get((seat.swap_id, seat.old_pack_id))
        temp.setdefault(seat.swap_id, []).append(None if told is None else told.temp_max_c)
        known = packs.get(seat.old_pack_id or "")
        kinds.setdefault(seat.swap_id, []).append("" if known is None else known.kind)
        now_pct = 100.0 if known is None else known.soh_pct
        soh.setdefault(seat.swap_id, []).append(now_pct if told is None or told.soh_pct is None else told.soh_pct)
    return tuple(
        RecordedSwap(
            swap.id,
            swap.vehicle_id,
            vehicle.model,
            vehicle.fleet_id,
            swap.priority,
            swap.arrived_at,
            swap.dispatched_at,
            swap.ended_at,
            swap.state,
            swap.lane_id,
            tuple(soc.get(swap.id, ())),
            tuple(temp.get(swap.id, ())),
            tuple(soh.get(swap.id, ())),
            booking.window_start_at if booking is not None else None,
            booking.window_end_at if booking is not None else None,
            tuple(of) if all(of := kinds.get(swap.id, [])) else (),
        )
        for swap, vehicle, booking in rows
    )


# Packs and energy


def _energy_at(row: ChargeSession, pack: Pack, at: datetime) -> float:
    """Energy of the pack of a charge at an instant: linear between the readings at its ends."""
    end_at, end_kwh = row.ended_at, row.end_energy_kwh
    if end_at is None:
        end_at, end_kwh = pack.reading_at, pack.energy_kwh
    if end_at is None or end_kwh is None or at <= row.started_at or end_at <= row.started_at:
        return row.start_energy_kwh
    share = min((at - row.started_at) / (end_at - row.started_at), 1.0)
    return row.start_energy_kwh + share * (end_kwh - row.start_energy_kwh)


def _gained_kwh(row: ChargeSession, packs: dict[str, Pack], from_at: datetime, until_at: datetime) -> float:
    pack = packs[row.pack_id]
    return max(0.0, _energy_at(row, pack, until_at) - _energy_at(row, pack, from_at))


def _rack(
    db: Db,
    station_id: str,
    at: datetime,
    swaps: Iterable[RecordedSwap],
    charges: Sequence[ChargeSession],
    packs: dict[str, Pack],
) -> tuple[RecordedPack, ...]:
    """Packs by bay at an instant. Of a swap under way the spent packs count as set down, the new ones as gone."""
    place: dict[str, tuple[str, datetime]] = {}
    moves = (
        select(StationEvent)
        .where(StationEvent.kind == PackMoved.kind, col(StationEvent.at) <= at)
        .order_by(col(StationEvent.seq))
    )
    for event in db.exec(moves):
        place[str(event.pack_id)] = (PackMoved.read(event.data).target, event.at)
    prefix = f"bay:{station_id}:"
    found = {
        to.removeprefix(prefix): (pack_id, since_at)
        for pack_id, (to, since_at) in place.items()
        if to.startswith(prefix)
    }
    read: dict[str, tuple[datetime, float]] = {}
    under_way = [s.swap_id for s in swaps if s.dispatched_at is not None and s.dispatched_at <= at]
    for seat in db.exec(select(SwapSeat).where(col(SwapSeat.swap_id).in_(under_way))):
        if seat.new_bay_id is not None:
            found.pop(local_name(station_id, seat.new_bay_id), None)
    for seat in db.exec(select(SwapSeat).where(col(SwapSeat.swap_id).in_(under_way))):
        if seat.old_bay_id is not None and seat.old_pack_id is not None:
            found[local_name(station_id, seat.old_bay_id)] = (seat.old_pack_id, at)
            if seat.returned_soe_kwh is not None:
                read[seat.old_pack_id] = (at, seat.returned_soe_kwh)
    readings = (
        select(StationEvent)
        .where(StationEvent.kind == PackRead.kind, col(StationEvent.at) <= at)
        .order_by(col(StationEvent.seq))
    )
    for event in db.exec(readings):
        pack_id = str(event.pack_id)
        if pack_id not in read or read[pack_id][0] < at:
            read[pack_id] = (event.at, PackRead.read(event.data).energy_kwh)
    left = _left_with(db, station_id, at)
    return tuple(
        RecordedPack(
            bay,
            pack_id,
            packs[pack_id].kind,
            _stock_kwh(packs[pack_id], charges, read.get(pack_id), left.get(pack_id), since_at, at),
            packs[pack_id].soh_pct,
        )
        for bay, (pack_id, since_at) in sorted(found.items())
    )


def _left_with(db: Db, station_id: str, at: datetime) -> dict[str, tuple[datetime, float | None]]:
    """When each pack first left its place after an instant, and its energy where it was handed out then."""
    found: dict[str, tuple[datetime, float | None]] = {}
    moves = (
        select(StationEvent, SwapSeat)
        .join(
            SwapSeat,
            and_(
                col(SwapSeat.swap_id) == StationEvent.swap_id,
                col(SwapSeat.new_pack_id) == StationEvent.pack_id,
                col(SwapSeat.exchanged),
            ),
            isouter=True,
        )
        .where(StationEvent.station_id == station_id, StationEvent.kind == PackMoved.kind)
        .where(col(StationEvent.at) > at)
        .order_by(col(StationEvent.seq))
    )
    rows: Iterable[tuple[StationEvent, SwapSeat | None]] = db.exec(moves)
    for event, seat in rows:
        found.setdefault(str(event.pack_id), (event.at, None if seat is None else seat.installed_soe_kwh))
    return found


def _stock_kwh(
    pack: Pack,
    charges: Sequence[ChargeSession],
    reading: tuple[datetime, float] | None,
    left: tuple[datetime, float | None] | None,
    since_at: datetime,
    at: datetime,
) -> float | None:
    """Energy of a pack that has lain in its bay since `since_at` and left it with what `left` says.

    What was last known of it there; else what it began its next charge there with, or left with.
    """
    newest = reading if reading is not None and reading[0] >= since_at else None
    for row in sorted((c for c in charges if c.pack_id == pack.id), key=lambda c: c.started_at):
        if row.started_at > at:
            if newest is None and (left is None or row.started_at < left[0]):
                return row.start_energy_kwh
            break
        if row.started_at >= since_at and (newest is None or row.started_at >= newest[0]):
            newest = (row.started_at, _energy_at(row, pack, at))
    if newest is not None:
        return newest[1]
    return pack.energy_kwh if left is None else left[1]


# When nobody was served


def _stops(
    db: Db, station_id: str, from_at: datetime, until_at: datetime, swaps: Iterable[RecordedSwap], lanes: Sequence[str]
) -> tuple[Stop, ...]:
    found = [
        Stop(lane, begin_at, end_at, reason)
        for begin_at, end_at, reason in _station_stops(db, station_id, until_at)
        for lane in lanes
    ]
    found += _lane_holds(db, station_id, until_at)
    for swap in swaps:
        if swap.lane_id is None or swap.dispatched_at is None:
            continue
        ended_at = swap.ended_at or until_at
        if swap.dispatched_at < from_at:
            found.append(Stop(swap.lane_id, from_at, ended_at, "swap under way"))
        elif swap.state in ("returned", "cancelled"):
            found.append(Stop(swap.lane_id, swap.dispatched_at, ended_at, f"swap {swap.state}"))
    return tuple(sorted(_joined(found, from_at, until_at), key=lambda s: (s.from_at, s.lane_id)))


def _station_stops(db: Db, station_id: str, until_at: datetime) -> list[tuple[datetime, datetime, str]]:
    """Spans in which the station called no truck: no controller ran, or the mode was not automatic."""
    kinds = (StationModeChanged.kind, ControllerStarted.kind, ControllerStopped.kind)
    events = db.exec(
        select(StationEvent)
        .where(StationEvent.station_id == station_id, col(StationEvent.kind).in_(kinds))
        .where(col(StationEvent.at) < until_at)
        .order_by(col(StationEvent.seq))
    )
    mode, running = StationMode.AUTOMATIC, False
    since_at: datetime | None = None
    reason = ""
    found: list[tuple[datetime, datetime, str]] = []
    for event in events:
        if event.kind == StationModeChanged.kind:
            mode = StationModeChanged.read(event.data).after
        else:
            running = event.kind == ControllerStarted.kind
        serves = running and mode == StationMode.AUTOMATIC
        if serves and since_at is not None:
            found.append((since_at, event.at, reason))
            since_at = None
        elif not serves and since_at is None:
            since_at, reason = event.at, mode if running else "controller stopped"
    if since_at is not None:
        found.append((since_at, until_at, reason))
    return found


def _lane_holds(db: Db, station_id: str, until_at: datetime) -> list[Stop]:
    ends = (SwapResumed.kind, SwapCompleted.kind, SwapReturned.kind, SwapCancelled.kind)
    kinds = [SwapHeld.kind, *ends]
    held: dict[str, tuple[datetime, str]] = {}
    found = []
    events = db.exec(
        select(StationEvent)
        .where(StationEvent.station_id == station_id, col(StationEvent.kind).in_(kinds))
        .where(col(StationEvent.at) < until_at)
        .order_by(col(StationEvent.seq))
    )
    for event in events:
        lane = event.lane_id
        if lane is None:
            continue
        if event.kind == SwapHeld.kind:
            held.setdefault(lane, (event.at, f"held: {SwapHeld.read(event.data).reason}"))
        elif lane in held:
            since_at, reason = held.pop(lane)
            found.append(Stop(lane, since_at, event.at, reason))
    return found + [Stop(lane, since_at, until_at, reason) for lane, (since_at, reason) in held.items()]


def _joined(stops: Iterable[Stop], from_at: datetime, until_at: datetime) -> list[Stop]:
    """Cut to the span, overlapping ones of a lane made one."""
    found: list[Stop] = []
    for stop in sorted(stops, key=lambda s: (s.lane_id, s.from_at)):
        begin_at, end_at = max(stop.from_at, from_at), min(stop.until_at, until_at)
        if begin_at >= end_at:
            continue
        last = found[-1] if found and found[-1].lane_id == stop.lane_id else None
        if last is not None and begin_at <= last.until_at:
            found[-1] = Stop(stop.lane_id, last.from_at, max(last.until_at, end_at), last.reason)
        else:
            found.append(Stop(stop.lane_id, begin_at, end_at, stop.reason))
    return found
