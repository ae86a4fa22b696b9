"""What a station looks like now, read from the database in one snapshot. Rows do not leave this room.

Lists over time (swaps, events, bills) are in `swap/reading/lists.py`. Instants are UTC; what is not known is None.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, bindparam
from sqlalchemy import select as sql_select
from sqlmodel import and_, col, func, or_, select

from scheduler.types import PackState
from swap.config.station_file import StationConfig
from swap.errors import NotFound
from swap.identity.view import rows_seen
from swap.messages.events import SwapRefused
from swap.paging import Listing, Order, cut
from swap.places import PLACE_COLUMNS, local_name, place_of, place_of_columns, place_within
from swap.reading.records import (
    AvailabilityRecord,
    BayRecord,
    FaultRecord,
    LaneRecord,
    PackRecord,
    Page,
    QueueRecord,
    SiteRecord,
    StationRecord,
    StationState,
    SwapRecord,
    WaitRecord,
    column,
)
from swap.register.persons import shown_actor, shown_text
from swap.station_db import StationDb
from swap.tables import (
    LEASE_EXPIRES_S,
    Bay,
    Booking,
    ControllerLease,
    FaultRow,
    Pack,
    SiteSample,
    Station,
    StationEvent,
    Swap,
    SwapSeat,
    VehicleRow,
)

# Made once: to build a statement and to narrow it to a station costs more than the database's answer.
_KNOWN_HERE = or_(
    and_(col(Pack.vehicle_id).is_(None), col(Pack.off_site).is_(False)),
    select(StationEvent.seq)
    .where(StationEvent.station_id == bindparam("station"), StationEvent.pack_id == Pack.id)
    .exists(),
)
"""Packs that are here, or that the journal of the station tells of."""
_PACK_FIELDS = tuple(name for name in PackRecord.model_fields if name != "place")
_PACK_NAMES = {"pack_id": "id", "charged_kwh": "cycles_kwh"}
"""What a pack's row calls fields of its record that are called otherwise there."""
_PACKS = Listing(
    sql_select(
        *(column(Pack, _PACK_NAMES.get(name, name)).label(name) for name in _PACK_FIELDS),
        *(getattr(Pack, name) for name in PLACE_COLUMNS),
    ).where(_KNOWN_HERE),
    Order(col(Pack.id), newest_first=False),
    {"state": col(Pack.state) == bindparam("state"), "kind": col(Pack.kind) == bindparam("kind")},
)
_PACK = select(Pack).where(Pack.id == bindparam("pack"), _KNOWN_HERE)
_STATIONS = (
    sql_select(
        *(getattr(Station, name) for name in StationRecord.model_fields if name not in ("station_id", "controller")),
        col(Station.id).label("station_id"),
        col(ControllerLease.holder),
        col(ControllerLease.heartbeat_at),
    )
    .join(ControllerLease, col(ControllerLease.station_id) == Station.id, isouter=True)
    .order_by(Station.id)
)


def pack_record(station_id: str, pack: Pack) -> PackRecord:
    """The record of a pack row, its place as seen from a station."""
    place = place_within(place_of(pack), station_id)
    return PackRecord.of(pack, pack_id=pack.id, place=place, charged_kwh=pack.cycles_kwh)


@functools.lru_cache(maxsize=4096)
def _pack_of_columns(station_id: str, columns: tuple[Any, ...]) -> PackRecord:
    """The record of a pack's row, once for each content: of the most packs nothing has changed since the list was asked
    for last, and records do not change."""
    values: dict[str, Any] = dict(zip(_PACK_FIELDS, columns, strict=False))  # the columns of its place come after them
    place = place_of_columns(columns[0], *columns[len(_PACK_FIELDS) :])
    return PackRecord(**values, place=place_within(place, station_id))


def swap_record(db: StationDb, swap: Swap, fleet_id: str) -> SwapRecord:
    """The record of a swap row."""
    return SwapRecord.of(swap, swap_id=swap.id, fleet_id=fleet_id, end_reason=shown_text(db, swap.end_reason))


def fault_record(db: StationDb, fault: FaultRow) -> FaultRecord:
    """The record of a fault row."""
    return FaultRecord.of(
        fault,
        fault_id=fault.id,
        acknowledged_by=None if fault.acknowledged_by is None else shown_actor(db, fault.acknowledged_by),
    )


def live_mark(db: StationDb, station_id: str) -> tuple[int, int]:
    """Two numbers that differ from the last ones when there is something to show: version, newest sample."""
    version = db.exec(select(Station.version).where(Station.id == station_id)).first()
    if version is None:
        raise NotFound("station", station_id)
    sample = db.exec(select(func.max(SiteSample.id)).where(SiteSample.station_id == station_id)).one()
    return version, sample or 0


def list_stations(db: StationDb) -> tuple[StationRecord, ...]:
    """The stations of the session: one, and none while it was never filled."""
    return tuple(_station_record(row) for row in rows_seen(db, _STATIONS, {}))


def get_station(db: StationDb, station_id: str) -> StationRecord:
    """One station. Raises NotFound."""
    for record in list_stations(db):
        if record.station_id == station_id:
            return record
    raise NotFound("station", station_id)


def _station_record(row: Row[Any]) -> StationRecord:
    # The lease is kept in real time: two processes that run at different speeds must agree about it.
    heard_at = row.heartbeat_at
    fresh = heard_at is not None and (datetime.now(UTC) - heard_at).total_seconds() <= LEASE_EXPIRES_S
    return StationRecord.of(row, controller=row.holder if fresh else None)


def station_state(db: StationDb, config: StationConfig) -> StationState:
    """The live state of a station file's station. Raises NotFound while the database was never filled."""
    station_id = config.station.id
    station = get_station(db, station_id)
    open_swaps = db.exec(
        select(Swap, VehicleRow.fleet_id)
        .join(VehicleRow, col(VehicleRow.id) == col(Swap.vehicle_id))
        .where(Swap.station_id == station_id, col(Swap.ended_at).is_(None))
    ).all()
    run = station.controller is not None
    waiting = published(db, station)
    by_lane = {swap.lane_id: swap_record(db, swap, fleet) for swap, fleet in open_swaps}
    return StationState(
        station=station,
        bays=_bays(db, station_id, [swap.id for swap, _ in open_swaps], waiting.get("ready_at", {}), run=run),
        lanes=_lanes(db, config, by_lane, waiting),
        queue=_queue(db, [swap for swap, _ in open_swaps], waiting),
        site=newest_site(db, station_id),
        faults=tuple(
            fault_record(db, row)
            for row in db.exec(
                select(FaultRow)
                .where(FaultRow.station_id == station_id, col(FaultRow.cleared_at).is_(None))
                .order_by(col(FaultRow.level).desc(), col(FaultRow.id).desc())
            )
        ),
    )


def station_availability(db: StationDb, station_id: str) -> AvailabilityRecord:
    """What a station shows everyone, in numbers. Raises NotFound."""
    station = get_station(db, station_id)
    ready = select(Pack.kind, func.count()).where(Pack.state == PackState.READY, col(Pack.bay_id).is_not(None))
    waiting = select(func.count()).where(col(Swap.ended_at).is_(None), col(Swap.dispatched_at).is_(None))
    return AvailabilityRecord(
        station_id=station_id,
        mode=station.mode,
        ready_packs=dict(db.exec(ready.group_by(Pack.kind).order_by(Pack.kind)).all()),
        trucks_waiting=db.exec(waiting.select_from(Swap)).one(),
    )


def published(db: StationDb, station: StationRecord) -> Mapping[str, Any]:
    """What everybody waits for, as the controller has published it; nothing once it is gone."""
    return db.get_one(Station, station.station_id).waiting if station.controller is not None else {}


def swap_waits_for(waiting: Mapping[str, Any], swap: Swap) -> WaitRecord | None:
    """What a swap waits for, out of what is published."""
    if swap.ended_at is not None:
        return None
    return _waits_for(waiting, f"truck:{swap.id}" if swap.dispatched_at is None else f"lane:{swap.lane_id}")


def _waits_for(waiting: Mapping[str, Any], key: str) -> WaitRecord | None:
    return WaitRecord.model_validate(waiting[key]) if key in waiting else None


def _bays(
    db: StationDb, station_id: str, open_swap_ids: list[str], ready_at: Mapping[str, str], *, run: bool
) -> tuple[BayRecord, ...]:
    reserved: dict[str, str] = {}
    for seat in db.exec(select(SwapSeat).where(col(SwapSeat.swap_id).in_(open_swap_ids))):
        for bay_id in (seat.old_bay_id, seat.new_bay_id):
            if bay_id is not None:
                reserved[bay_id] = seat.swap_id
    rows = db.exec(select(Bay).where(Bay.station_id == station_id).order_by(col(Bay.position))).all()
    packs = {
        pack.bay_id: pack_record(station_id, pack)
        for pack in db.exec(select(Pack).where(col(Pack.bay_id).in_([bay.id for bay in rows])))
    }
    return tuple(
        BayRecord.of(
            bay,
            bay_id=bay.name,
            reading_fresh=run and bay.reading_fresh,
            reserved_by=reserved.get(bay.id),
            ready_at=ready_at.get(bay.name),
            pack=packs.get(bay.id),
        )
        for bay in rows
    )


def _lanes(
    db: StationDb, config: StationConfig, by_lane: dict[str | None, SwapRecord], waiting: Mapping[str, Any]
) -> tuple[LaneRecord, ...]:
    station_id = config.station.id
    in_gripper = {
        local_name(station_id, pack.gripper_lane_id or ""): pack.id
        for pack in db.exec(select(Pack).where(col(Pack.gripper_lane_id).is_not(None)))
    }
    return tuple(
        LaneRecord(
            lane_id=lane.id,
            name_zh=lane.name_zh or lane.id,
            name_en=lane.name_en or lane.id,
            recipe=lane.recipe,
            swap_order=lane.swap_order,
            swap=by_lane.get(lane.id),
            gripper_pack_id=in_gripper.get(lane.id),
            refused=_refused(db, by_lane.get(lane.id)),
            waits_for=_waits_for(waiting, f"lane:{lane.id}"),
        )
        for lane in config.lanes
    )


def _refused(db: StationDb, swap: SwapRecord | None) -> tuple[str, ...]:
    if swap is None or swap.phase != "pending":
        return ()
    event = db.exec(
        select(StationEvent).where(StationEvent.swap_id == swap.swap_id).order_by(col(StationEvent.seq).desc()).limit(1)
    ).first()
    if event is None or event.kind != SwapRefused.kind:
        return ()
    return tuple(item.name for item in SwapRefused.read(event.data).missing)


def _queue(db: StationDb, open_swaps: list[Swap], published: Mapping[str, Any]) -> tuple[QueueRecord, ...]:
    waiting = [swap for swap in open_swaps if swap.dispatched_at is None]
    booked = [swap.booking_id for swap in waiting if swap.booking_id is not None]
    # Not asked for none: SQLite would read every booking of the station to find none of them.
    found = db.exec(select(Booking).where(col(Booking.id).in_(booked))) if booked else ()
    bookings = {booking.id: booking for booking in found}
    # As the controller serves them; those that it has not seen yet come last.
    place = {key: number for number, key in enumerate(published)}

    def rank(swap: Swap) -> tuple[int, int, datetime, str]:
        return place.get(f"truck:{swap.id}", len(place)), -swap.priority, swap.arrived_at, swap.id

    records = []
    for swap in sorted(waiting, key=rank):
        booking = bookings.get(swap.booking_id or "")
        records.append(
            QueueRecord(
                swap_id=swap.id,
                vehicle_id=swap.vehicle_id,
                arrived_at=swap.arrived_at,
                priority=swap.priority,
                booked_from_at=None if booking is None else booking.window_start_at,
                booked_until_at=None if booking is None else booking.window_end_at,
                waits_for=_waits_for(published, f"truck:{swap.id}"),
            )
        )
    return tuple(records)


def newest_site(db: StationDb, station_id: str) -> SiteRecord | None:
    """The newest power sample; None before the first."""
    row = db.exec(
        select(SiteSample).where(SiteSample.station_id == station_id).order_by(col(SiteSample.id).desc()).limit(1)
    ).first()
    return None if row is None else SiteRecord.of(row)


def site_history(db: StationDb, station_id: str, limit: int = 240) -> tuple[SiteRecord, ...]:
    """The newest `limit` power samples, oldest first."""
    rows = db.exec(
        select(SiteSample).where(SiteSample.station_id == station_id).order_by(col(SiteSample.id).desc()).limit(limit)
    ).all()
    return tuple(SiteRecord.of(row) for row in reversed(rows))


def list_packs(
    db: StationDb,
    station_id: str,
    *,
    state: str | None = None,
    kind: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[PackRecord]:
    """Packs by id, all or those of a state or kind: what is here, and what has been here and is on a truck or away."""
    query, values = _PACKS.page(limit, cursor, station=station_id, state=state, kind=kind)
    rows, following = cut(rows_seen(db, query, values), limit, lambda row: row.pack_id)
    items = tuple(_pack_of_columns(station_id, tuple(row)) for row in rows)
    return Page[PackRecord](items=items, next_cursor=following)


def get_pack(db: StationDb, station_id: str, pack_id: str) -> PackRecord:
    """One pack that is or has been here. Raises NotFound."""
    row = db.exec(_PACK, params={"station": db.station_id, "pack": pack_id}).first()
    if row is None:
        raise NotFound("pack", pack_id)
    return pack_record(station_id, row)
