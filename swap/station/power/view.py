"""What the rules of `scheduler` read, from the database and the newest readings. Unknown is None, as they take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from sqlalchemy import Row, Table, bindparam, select

from battery_bms.port import OVER_PEAK, StorageReading
from scheduler.choice import pick_quarantine_bay
from scheduler.demand_response import limit_at
from scheduler.storage import support_kw
from scheduler.types import (
    BayRole,
    BayView,
    LaneView,
    PackState,
    PackView,
    QueueEntry,
    SiteLimits,
    StationView,
)
from scheduler.view_rows import rows_of
from swap.lots import among
from swap.station.context import StationContext
from swap.station.records import qualified
from swap.station.sequence.incoming import QuarantineBay
from swap.station.sequence.recipe import QUEUED, load_recipe
from swap.station_db import OfStation
from swap.station_db import StationDb as Db
from swap.tables import Bay, Booking, Pack, Swap, VehicleRow

OVERFULL = 1.05
"""Share of its energy up to which what a storage tells is believed."""

_BAYS: Table = Bay.__table__  # type: ignore[attr-defined]
_PACKS: Table = Pack.__table__  # type: ignore[attr-defined]
_SWAPS: Table = Swap.__table__  # type: ignore[attr-defined]
_BOOKINGS: Table = Booking.__table__  # type: ignore[attr-defined]
# Of the tables, and not of their classes: read each time that the rack is charged, and nothing of it is changed.
_RACK = OfStation(
    select(
        _BAYS.c.id.label("bay_id"),
        _BAYS.c.blocked,
        _PACKS.c.id,
        _PACKS.c.kind,
        _PACKS.c.state,
        _PACKS.c.rated_kwh,
        _PACKS.c.soh_pct,
    )
    .outerjoin(_PACKS, _PACKS.c.bay_id == _BAYS.c.id)
    .where(_BAYS.c.station_id == bindparam("station"))
)
_OPEN = OfStation(
    select(
        _SWAPS.c.id,
        _SWAPS.c.state,
        _SWAPS.c.open_lane_id,
        _SWAPS.c.vehicle_id,
        _SWAPS.c.booking_id,
        _SWAPS.c.arrived_at,
        _SWAPS.c.priority,
    ).where(_SWAPS.c.station_id == bindparam("station"), _SWAPS.c.ended_at.is_(None))
)
_PROMISED = OfStation(
    select(_BOOKINGS)
    .where(_BOOKINGS.c.station_id == bindparam("station"), among(_BOOKINGS.c.status, ("booked", "disrupted")))
    .where(_BOOKINGS.c.window_start_at <= bindparam("until"), _BOOKINGS.c.window_end_at > bindparam("now"))
    .order_by(_BOOKINGS.c.window_start_at, _BOOKINGS.c.id)
)


def station_view(context: StationContext, db: Db) -> StationView:
    """The frozen view that decisions take, from the database and the newest readings."""
    # Not ordered by the database, which might then walk all swaps by arrival.
    open_swaps = sorted(db.rows(_OPEN), key=lambda swap: (swap.arrived_at, swap.id))
    reserved = db.bays_of_swaps()
    rows = {row.bay_id: row for row in db.rows(_RACK)}
    return StationView(
        at=context.clock.now(),
        mode=context.mode,
        bays=tuple(_bay(context, section.id, rows, reserved) for section in context.config.bays),
        lanes=tuple(_lane(context, lane.id, open_swaps) for lane in context.config.lanes),
        queue=tuple(_entry(context, db, s) for s in open_swaps if s.state == QUEUED),
        limits=site_limits(context),
        promised=promised_until(
            context, db, context.clock.now() + timedelta(minutes=context.config.bookings.hold_before_min)
        ),
    )


def quarantine_bay(context: StationContext, db: Db, lane_id: str, pack_id: str | None) -> QuarantineBay | None:
    """A free bay for packs in doubt that a lane's robot reaches and this pack fits; None when there is none."""
    pack = db.get(Pack, pack_id) if pack_id else None
    chosen = pick_quarantine_bay(rows_of(station_view(context, db), {}).bays, pack.kind, lane_id) if pack else None
    return None if chosen is None else QuarantineBay(context.bay_key(chosen.bay_id), chosen.position)


def site_limits(context: StationContext) -> SiteLimits:
    """The site's limits: what the file says, what meter, sun and storage say now, and the demand response of now.

    A meter that is silent measures nothing, silent photovoltaics give nothing, a silent storage is not counted on, and
    one that does not do what it is told only with what it gives.
    """
    site, now = context.config.site, context.clock.now()
    storage = fresh_storage(context)
    support, storage_now_kw = 0.0, None
    if storage is not None and site.storage is not None:
        support = support_kw(storage.energy_kwh, site.storage.rating_kw)
        storage_now_kw = -storage.power_kw
        if not context.storage_obeys:
            support = min(support, max(storage_now_kw, 0.0))
    return SiteLimits(
        grid_limit_kw=site.grid_limit_kw,
        base_load_kw=site.base_load_kw,
        pv_kw=fresh_pv_kw(context) or 0.0,
        storage_kw=support,
        storage_now_kw=storage_now_kw,
        dr_limit_kw=limit_at(context.dr_events, now, context.config.station.zone)[0],
        charger_efficiency=site.charger_efficiency,
        measured_import_kw=meter_kw(context),
        charging_kw=context.charge_kw(),
    )


def meter_kw(context: StationContext) -> float | None:
    """Import that the site meter measures; None without a meter, and where what it says is old or no number."""
    reading, section = context.meter, context.config.site.meter
    if reading is None or section is None or not context.is_young(reading.at, section.max_age_s):
        return None
    return reading.import_kw if isfinite(reading.import_kw) else None


def fresh_pv_kw(context: StationContext) -> float | None:
    """What the photovoltaics give, AC; None where there are none, or what they say is old or no power."""
    reading, section = context.pv, context.config.site.pv
    if reading is None or section is None or not context.is_young(reading.at, section.max_age_s):
        return None
    return reading.power_kw if 0.0 <= reading.power_kw <= OVER_PEAK * section.peak_kw else None


def fresh_storage(context: StationContext) -> StorageReading | None:
    """The storage as far as it can be acted on: read lately, and with an energy that it can have."""
    reading, section = context.storage, context.config.site.storage
    if reading is None or section is None or not context.is_young(reading.at, section.max_age_s):
        return None
    return reading if 0.0 <= reading.energy_kwh <= OVERFULL * section.energy_kwh else None


def _bay(
    context: StationContext,
    name: str,
    rows: Mapping[str, Row[Any]],
    reserved: Mapping[str, str],
) -> BayView:
    section = context.config.bay(name)
    key = context.bay_key(name)
    row = rows[key]
    reading = context.readings.get(name)
    charger_ok = reading is None or reading.charger_fault == 0
    kept_off = any(name in bays for bays in context.kept_off.values())
    return BayView(
        bay_id=name,
        position=section.position,
        role=BayRole(section.role),
        pack=_pack(context, name, row, kept_off) if row.id is not None else None,
        kinds=frozenset(section.kinds),
        max_charge_kw=section.charger_kw,
        charger_ok=charger_ok,
        blocked=row.blocked,
        occupied=context.occupied(section.position),
        reserved_by=reserved.get(key),
        lanes=frozenset(section.lanes),
    )


def _pack(context: StationContext, name: str, pack: Row[Any], kept_off: bool) -> PackView:
    reading = context.readings.get(name)
    known = reading is not None and reading.pack_id == pack.id
    return PackView(
        pack_id=pack.id,
        kind=pack.kind,
        state=PackState.RESERVED if kept_off else PackState(pack.state),
        rated_kwh=pack.rated_kwh,
        soh_pct=pack.soh_pct,
        energy_kwh=reading.energy_kwh if known and reading else None,
        soc_pct=reading.soc_pct if known and reading else None,
        temp_max_c=reading.temp_max_c if known and reading else None,
        temp_min_c=reading.temp_min_c if known and reading else None,
        max_charge_kw=reading.max_charge_kw if known and reading else None,
        alarm_level=reading.alarm_level if known and reading else 0,
        reading_age_s=context.reading_age_s(name) if known else None,
    )


def _lane(context: StationContext, lane_id: str, open_swaps: Sequence[Row[Any]]) -> LaneView:
    section = next(lane for lane in context.config.lanes if lane.id == lane_id)
    key = qualified(context.station_id, lane_id)
    open_swap = next((s.id for s in open_swaps if s.open_lane_id == key), None)
    return LaneView(
        lane_id=lane_id,
        ready=context.cell_ready(lane_id) and open_swap is None,
        swap_modes=frozenset({load_recipe(section.recipe, context.config.folder).swap_mode}),
        open_swap_id=open_swap,
        swap_order=section.swap_order,
    )


def _entry(context: StationContext, db: Db, swap: Row[Any]) -> QueueEntry:
    vehicle = db.get_one(VehicleRow, swap.vehicle_id)
    model = context.config.vehicle_model(vehicle.model)
    booking = db.get(Booking, swap.booking_id) if swap.booking_id else None
    kinds = [
        p.kind for seat in db.seats(swap.id) if seat.old_pack_id and (p := db.get(Pack, seat.old_pack_id)) is not None
    ]
    return QueueEntry(
        swap_id=swap.id,
        vehicle_id=swap.vehicle_id,
        arrived_at=swap.arrived_at,
        accepts=frozenset((booking and booking.kinds) or model.pack_kinds),
        packs_needed=model.packs_per_vehicle,
        swap_mode=model.swap_mode,
        priority=swap.priority,
        min_energy_kwh=booking.min_kwh if booking else 0.0,
        booked_from_at=booking.window_start_at if booking else None,
        booked_until_at=booking.window_end_at if booking else None,
        installed_kinds=tuple(kinds) if len(kinds) == model.packs_per_vehicle else None,
    )


def promised_until(context: StationContext, db: Db, until_at: datetime) -> tuple[QueueEntry, ...]:
    """Those who have booked and are to come, and whose window is open or opens until an instant."""
    now = context.clock.now()
    return tuple(
        QueueEntry(
            swap_id=booking.id,
            vehicle_id=booking.vehicle_id,
            arrived_at=booking.window_start_at,
            accepts=frozenset(booking.kinds),
            packs_needed=booking.packs,
            priority=booking.priority,
            booked_from_at=booking.window_start_at,
            booked_until_at=booking.window_end_at,
            min_energy_kwh=booking.min_kwh,
        )
        for booking in db.rows(_PROMISED, until=until_at, now=now)
    )
