"""What a station looks like now, read from the database in one snapshot. Rows do not leave this room.

Lists over time (swaps, events, bills) are in `swap/reading/lists.py`. Instants are UTC; what is not known is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session, col, func, select

from swap.config.station_file import StationConfig
from swap.errors import NotFound
from swap.events import EventKind
from swap.tables import (
    LEASE_EXPIRES_S,
    Bay,
    Booking,
    ControllerLease,
    FaultRow,
    Pack,
    Party,
    SiteSample,
    Station,
    StationEvent,
    Swap,
    SwapSeat,
    VehicleRow,
)


@dataclass(frozen=True, slots=True)
class PackRecord:
    """One pack, where it is, and its last stored reading."""

    pack_id: str
    kind: str
    owner_id: str
    state: str
    state_since_at: datetime
    place: str
    """`bay:A3`, `vehicle:YQ-001:1` (seat), `gripper:L1`, `tank` or `off_site`."""
    rated_kwh: float
    soh_pct: float
    energy_kwh: float | None
    soc_pct: float | None
    temp_max_c: float | None
    reading_at: datetime | None
    charged_kwh: float


@dataclass(frozen=True, slots=True)
class BayRecord:
    """One bay and what is in it."""

    bay_id: str
    position: int
    role: str
    blocked: bool
    blocked_reason: str
    charge_kw: float | None
    setpoint_kw: float | None
    limited_by: str
    """Limit that decided the set-point; empty while no plan was made."""
    reserved_by: str | None
    """Open swap that takes its pack from here or puts one down here."""
    pack: PackRecord | None


@dataclass(frozen=True, slots=True)
class SwapRecord:
    """One swap without its timeline."""

    swap_id: str
    vehicle_id: str
    fleet_id: str
    booking_id: str | None
    lane_id: str | None
    recipe: str | None
    pack_count: int
    priority: int
    state: str
    phase: str
    tries: int
    entered_at: datetime
    deadline_at: datetime | None
    hold_reason: str | None
    hold_detail: dict[str, Any]
    checks: dict[str, Any]
    arrived_at: datetime
    dispatched_at: datetime | None
    ended_at: datetime | None
    end_reason: str


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """One lane, the swap in it and what its gripper holds."""

    lane_id: str
    name_zh: str
    name_en: str
    recipe: str
    swap_order: str
    swap: SwapRecord | None
    gripper_pack_id: str | None
    refused: tuple[str, ...]
    """Permissives that kept the next command from being sent when it was last tried."""


@dataclass(frozen=True, slots=True)
class QueueRecord:
    """One truck that has checked in and waits for a lane."""

    swap_id: str
    vehicle_id: str
    arrived_at: datetime
    priority: int
    booked_from_at: datetime | None
    booked_until_at: datetime | None


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """Power of the site at one instant."""

    at: datetime
    import_kw: float | None
    charge_kw: float | None
    limit_kw: float
    ready_packs: int
    queue_length: int


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One occurrence of a fault."""

    fault_id: int
    code: int
    level: int
    source: str
    raised_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    cleared_at: datetime | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StationRecord:
    """Who the station is and what it may do now."""

    station_id: str
    name_zh: str
    name_en: str
    timezone: str
    operator_id: str
    mode: str
    mode_reason: str
    mode_since_at: datetime
    version: int
    controller: str | None
    """Host and process of the controller whose lease is fresh; None when none runs."""


@dataclass(frozen=True, slots=True)
class StationState:
    """The live state of one station in one database snapshot."""

    station: StationRecord
    bays: tuple[BayRecord, ...]
    """In rack order."""
    lanes: tuple[LaneRecord, ...]
    queue: tuple[QueueRecord, ...]
    """Highest priority first, then by arrival."""
    site: SiteRecord | None
    faults: tuple[FaultRecord, ...]
    """Open ones, worst first."""


def local_name(station_id: str, key: str) -> str:
    """The id in the station file of a bay or lane whose key is `station:id`."""
    return key.removeprefix(f"{station_id}:")


def pack_record(station_id: str, pack: Pack) -> PackRecord:
    """The record of a pack row."""
    return PackRecord(
        pack_id=pack.id,
        kind=pack.kind,
        owner_id=pack.owner_id,
        state=pack.state,
        state_since_at=pack.state_since_at,
        place=_place(station_id, pack),
        rated_kwh=pack.rated_kwh,
        soh_pct=pack.soh_pct,
        energy_kwh=pack.energy_kwh,
        soc_pct=pack.soc_pct,
        temp_max_c=pack.temp_max_c,
        reading_at=pack.reading_at,
        charged_kwh=pack.cycles_kwh,
    )


def _place(station_id: str, pack: Pack) -> str:
    if pack.bay_id is not None:
        return f"bay:{local_name(station_id, pack.bay_id)}"
    if pack.vehicle_id is not None:
        return f"vehicle:{pack.vehicle_id}:{pack.seat}"
    if pack.gripper_lane_id is not None:
        return f"gripper:{local_name(station_id, pack.gripper_lane_id)}"
    return "tank" if pack.tank_station_id is not None else "off_site"


def swap_record(swap: Swap, fleet_id: str) -> SwapRecord:
    """The record of a swap row."""
    return SwapRecord(
        swap_id=swap.id,
        vehicle_id=swap.vehicle_id,
        fleet_id=fleet_id,
        booking_id=swap.booking_id,
        lane_id=swap.lane_id,
        recipe=swap.recipe,
        pack_count=swap.pack_count,
        priority=swap.priority,
        state=swap.state,
        phase=swap.phase,
        tries=swap.tries,
        entered_at=swap.entered_at,
        deadline_at=swap.deadline_at,
        hold_reason=swap.hold_reason,
        hold_detail=dict(swap.hold_detail),
        checks=dict(swap.checks),
        arrived_at=swap.arrived_at,
        dispatched_at=swap.dispatched_at,
        ended_at=swap.ended_at,
        end_reason=swap.end_reason,
    )


def fault_record(fault: FaultRow) -> FaultRecord:
    """The record of a fault row."""
    assert fault.id is not None
    return FaultRecord(
        fault_id=fault.id,
        code=fault.code,
        level=fault.level,
        source=fault.source,
        raised_at=fault.raised_at,
        acknowledged_at=fault.acknowledged_at,
        acknowledged_by=fault.acknowledged_by,
        cleared_at=fault.cleared_at,
        data=dict(fault.data),
    )


def _site_record(sample: SiteSample) -> SiteRecord:
    return SiteRecord(
        at=sample.at,
        import_kw=sample.import_kw,
        charge_kw=sample.charge_kw,
        limit_kw=sample.limit_kw,
        ready_packs=sample.ready_packs,
        queue_length=sample.queue_length,
    )


def live_mark(db: Session, station_id: str) -> tuple[int, int]:
    """Two numbers that differ from the last ones when there is something to show: version, newest sample."""
    version = db.exec(select(Station.version).where(Station.id == station_id)).first()
    if version is None:
        raise NotFound("station", station_id)
    sample = db.exec(select(func.max(SiteSample.id)).where(SiteSample.station_id == station_id)).one()
    return version, sample or 0


def list_stations(db: Session) -> tuple[StationRecord, ...]:
    """Every station of the database."""
    return tuple(_station_record(db, row) for row in db.exec(select(Station).order_by(Station.id)))


def get_station(db: Session, station_id: str) -> StationRecord:
    """One station. Raises NotFound."""
    row = db.get(Station, station_id)
    if row is None:
        raise NotFound("station", station_id)
    return _station_record(db, row)


def _station_record(db: Session, row: Station) -> StationRecord:
    lease = db.get(ControllerLease, row.id)
    # The lease is kept in real time: two processes that run at different speeds must agree about it.
    fresh = lease is not None and (datetime.now(UTC) - lease.heartbeat_at).total_seconds() <= LEASE_EXPIRES_S
    return StationRecord(
        station_id=row.id,
        name_zh=row.name_zh,
        name_en=row.name_en,
        timezone=row.timezone,
        operator_id=row.operator_id,
        mode=row.mode,
        mode_reason=row.mode_reason,
        mode_since_at=row.mode_since_at,
        version=row.version,
        controller=lease.holder if lease is not None and fresh else None,
    )


def station_state(db: Session, config: StationConfig) -> StationState:
    """The live state of a station file's station. Raises NotFound while the database was never filled."""
    station_id = config.station.id
    station = get_station(db, station_id)
    open_swaps = db.exec(
        select(Swap, VehicleRow.fleet_id)
        .join(VehicleRow, col(VehicleRow.id) == col(Swap.vehicle_id))
        .where(Swap.station_id == station_id, col(Swap.ended_at).is_(None))
    ).all()
    return StationState(
        station=station,
        bays=_bays(db, station_id, [swap.id for swap, _ in open_swaps]),
        lanes=_lanes(db, config, {swap.lane_id: swap_record(swap, fleet) for swap, fleet in open_swaps}),
        queue=_queue(db, [swap for swap, _ in open_swaps]),
        site=newest_site(db, station_id),
        faults=tuple(
            fault_record(row)
            for row in db.exec(
                select(FaultRow)
                .where(FaultRow.station_id == station_id, col(FaultRow.cleared_at).is_(None))
                .order_by(col(FaultRow.level).desc(), col(FaultRow.id).desc())
            )
        ),
    )


def _bays(db: Session, station_id: str, open_swap_ids: list[str]) -> tuple[BayRecord, ...]:
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
        BayRecord(
            bay_id=bay.name,
            position=bay.position,
            role=bay.role,
            blocked=bay.blocked,
            blocked_reason=bay.blocked_reason,
            charge_kw=bay.charge_kw,
            setpoint_kw=bay.setpoint_kw,
            limited_by=bay.limited_by,
            reserved_by=reserved.get(bay.id),
            pack=packs.get(bay.id),
        )
        for bay in rows
    )


def _lanes(db: Session, config: StationConfig, by_lane: dict[str | None, SwapRecord]) -> tuple[LaneRecord, ...]:
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
        )
        for lane in config.lanes
    )


def _refused(db: Session, swap: SwapRecord | None) -> tuple[str, ...]:
    if swap is None or swap.phase != "pending":
        return ()
    event = db.exec(
        select(StationEvent).where(StationEvent.swap_id == swap.swap_id).order_by(col(StationEvent.seq).desc()).limit(1)
    ).first()
    if event is None or event.kind != EventKind.SWAP_REFUSED:
        return ()
    return tuple(str(item["name"]) for item in event.data.get("missing", ()))


def _queue(db: Session, open_swaps: list[Swap]) -> tuple[QueueRecord, ...]:
    waiting = [swap for swap in open_swaps if swap.dispatched_at is None]
    bookings = {
        booking.id: booking
        for booking in db.exec(select(Booking).where(col(Booking.id).in_([swap.booking_id for swap in waiting])))
    }
    records = []
    for swap in sorted(waiting, key=lambda swap: (-swap.priority, swap.arrived_at, swap.id)):
        booking = bookings.get(swap.booking_id or "")
        records.append(
            QueueRecord(
                swap_id=swap.id,
                vehicle_id=swap.vehicle_id,
                arrived_at=swap.arrived_at,
                priority=swap.priority,
                booked_from_at=None if booking is None else booking.window_start_at,
                booked_until_at=None if booking is None else booking.window_end_at,
            )
        )
    return tuple(records)


def newest_site(db: Session, station_id: str) -> SiteRecord | None:
    """The newest power sample; None before the first."""
    row = db.exec(
        select(SiteSample).where(SiteSample.station_id == station_id).order_by(col(SiteSample.id).desc()).limit(1)
    ).first()
    return None if row is None else _site_record(row)


def site_history(db: Session, station_id: str, limit: int = 240) -> tuple[SiteRecord, ...]:
    """The newest `limit` power samples, oldest first."""
    rows = db.exec(
        select(SiteSample).where(SiteSample.station_id == station_id).order_by(col(SiteSample.id).desc()).limit(limit)
    ).all()
    return tuple(_site_record(row) for row in reversed(rows))


def list_packs(
    db: Session, station_id: str, *, state: str | None = None, kind: str | None = None
) -> tuple[PackRecord, ...]:
    """Packs by id, all or those of a state or kind. `station_id` shortens the names of places."""
    query = select(Pack).order_by(Pack.id)
    if state is not None:
        query = query.where(Pack.state == state)
    if kind is not None:
        query = query.where(Pack.kind == kind)
    return tuple(pack_record(station_id, row) for row in db.exec(query))


def get_pack(db: Session, station_id: str, pack_id: str) -> PackRecord:
    """One pack. Raises NotFound."""
    row = db.get(Pack, pack_id)
    if row is None:
        raise NotFound("pack", pack_id)
    return pack_record(station_id, row)


def party_names(db: Session) -> dict[str, tuple[str, str]]:
    """Chinese and English name by party id."""
    return {row.id: (row.name_zh, row.name_en) for row in db.exec(select(Party))}
