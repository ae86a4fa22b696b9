"""What the live station knows for its charging plan: rows, readings, bookings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlmodel import col, select

from battery_bms.pack.ahead import laws_of
from scheduler.demand_response import changes_between, limit_at
from scheduler.optimal.learned import TruckForecast
from scheduler.optimal.outlook import HORIZON, KnownTruck, Outlook, SpentPack, through_lanes
from scheduler.types import BayRole, QueueEntry, SiteLimits, StationView, TariffSlice
from scheduler.view_rows import rows_of
from swap.reading.least_cost import SWAP_H, forecast_of, usual_soc_pct
from swap.station.context import StationContext
from swap.station.power.view import promised_until, station_view
from swap.station_db import StationDb as Db
from swap.tables import Pack, Swap, SwapSeat, VehicleRow


@dataclass(frozen=True, slots=True)
class Seen:
    """What one transaction has read for a plan."""

    view: StationView
    booked: tuple[QueueEntry, ...]
    """All who have booked and are to come within the horizon."""
    incoming: tuple[SpentPack, ...]


def look(context: StationContext, db: Db, now: datetime) -> Seen:
    """Read all that a plan is made from, but the record of arrivals."""
    view = station_view(context, db)
    booked = promised_until(context, db, now + HORIZON)
    return Seen(view, booked, incoming_packs(context, db, now))


def incoming_packs(context: StationContext, db: Db, now: datetime) -> tuple[SpentPack, ...]:
    """Packs of the trucks in the lanes that do not stand in their bays yet."""
    query = (
        select(SwapSeat, Swap)
        .join(Swap, col(Swap.id) == col(SwapSeat.swap_id))
        .where(Swap.station_id == context.station_id, col(Swap.ended_at).is_(None))
        .where(col(Swap.open_lane_id).is_not(None), col(SwapSeat.old_bay_id).is_not(None))
    )
    bays = {context.bay_key(bay.id): bay for bay in context.config.bays}
    found = []
    for seat, swap in db.exec(query).all():
        bay = bays.get(seat.old_bay_id or "")
        pack = db.get(Pack, seat.old_pack_id) if seat.old_pack_id else None
        if bay is None or BayRole(bay.role) is not BayRole.RACK or (pack and pack.bay_id == seat.old_bay_id):
            continue
        model = context.config.vehicle_model(db.get_one(VehicleRow, swap.vehicle_id).model)
        since_h = (now - (swap.dispatched_at or now)) / timedelta(hours=1)
        kind, soh_pct = (pack.kind, pack.soh_pct) if pack else (model.pack_kinds[0], 100.0)
        found.append(SpentPack(kind, max(SWAP_H - since_h, 0.0), seat.returned_soc_pct, soh_pct, bay.charger_kw))
    return tuple(found)


def outlook_of(context: StationContext, seen: Seen, expected: TruckForecast, prices: Sequence[TariffSlice]) -> Outlook:
    """What the station holds and expects, for its plan."""
    view, config = seen.view, context.config
    zone, events = config.station.zone, context.dr_events

    def limits_at(at: datetime) -> SiteLimits:
        # The sun of tomorrow is not known: what it gives is more than planned.
        return replace(view.limits, pv_kw=0.0, dr_limit_kw=limit_at(events, at, zone)[0])

    free_h = [0.0 if lane.open_swap_id is None else SWAP_H / 2 for lane in view.lanes]
    trucks = through_lanes([_known(context, entry, 0.0, expected) for entry in view.queue], free_h, SWAP_H)
    for entry in seen.booked:
        begins_at = entry.booked_from_at or view.at
        at_h = max((begins_at - view.at) / timedelta(hours=1), 0.0)
        trucks.append(_known(context, entry, at_h, expected, replaces=True))
    return Outlook(
        view.at,
        prices,
        limits_at,
        changes_between(events, view.at, view.at + HORIZON, zone),
        context.policy,
        laws_of(context.specs),
        tuple(context.specs),
        rows_of(view, context.specs).bays,
        seen.incoming,
        tuple(trucks),
        forecast_of(config, expected, view.at),
        floors=context.floors,
    )


def _known(
    context: StationContext, entry: QueueEntry, at_h: float, known: TruckForecast, *, replaces: bool = False
) -> KnownTruck:
    kinds = tuple(sorted(entry.accepts))
    usual = next((kind for kind in kinds if kind in context.specs), "")
    leaves = (usual,) * entry.packs_needed if entry.installed_kinds is None else entry.installed_kinds
    spent = tuple(SpentPack(kind, SWAP_H, usual_soc_pct(known, kind)) for kind in leaves)
    return KnownTruck(entry.swap_id, at_h, kinds, spent, min_kwh=entry.min_energy_kwh, replaces=replaces)
