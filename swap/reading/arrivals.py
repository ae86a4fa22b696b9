"""The trucks that came, as the station's record has them: what the forecast of trucks learns from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, func, select

from scheduler.optimal.learned import RECORD, CamePack, CameTruck
from swap.station_db import StationDb as Db
from swap.tables import Pack, Swap, SwapSeat, VehicleRow


@dataclass(frozen=True, slots=True)
class ArrivalRecord:
    """Who came."""

    came: tuple[CameTruck, ...]
    since: datetime
    """From when on the record is whole: nobody else came."""


def arrival_record(db: Db, *, station_id: str, now: datetime) -> ArrivalRecord:
    """Arrivals of the last weeks with vehicle model and what the packs held that came off.

    A station's record begins with its first truck.
    """
    first_at = db.exec(select(func.min(Swap.arrived_at)).where(Swap.station_id == station_id)).one()
    since = now if first_at is None else max(first_at, now - RECORD)
    query = (
        select(Swap.id, Swap.arrived_at, VehicleRow.model, Pack.kind, SwapSeat.returned_soc_pct)
        .join(VehicleRow, col(VehicleRow.id) == col(Swap.vehicle_id))
        .join(SwapSeat, col(SwapSeat.swap_id) == col(Swap.id), isouter=True)
        .join(Pack, col(Pack.id) == col(SwapSeat.old_pack_id), isouter=True)
        .where(Swap.station_id == station_id, col(Swap.arrived_at) >= since, col(Swap.arrived_at) < now)
        .order_by(col(Swap.arrived_at), col(Swap.id), col(SwapSeat.seat))
    )
    found: dict[str, CameTruck] = {}
    for swap_id, at, model, kind, soc_pct in db.exec(query).all():
        before = found.get(swap_id)
        packs = () if before is None else before.packs
        if kind is not None:
            packs = (*packs, CamePack(kind, soc_pct))
        found[swap_id] = CameTruck(at, model, packs)
    return ArrivalRecord(tuple(found.values()), since)
