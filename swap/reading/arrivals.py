"""The trucks that came, as the station's record has them: what the forecast of trucks learns from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select

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
    own = select(Swap.arrived_at).where(Swap.station_id == station_id)
    first_at = db.exec(own.order_by(col(Swap.arrived_at)).limit(1)).first()
    since = now if first_at is None else max(first_at, now - RECORD)
    here = (Swap.station_id == station_id, col(Swap.arrived_at) >= since, col(Swap.arrived_at) < now)
    taken_off = (
        select(SwapSeat.swap_id, Pack.kind, SwapSeat.returned_soc_pct)
        .join(Swap, col(Swap.id) == col(SwapSeat.swap_id))
        .join(Pack, col(Pack.id) == col(SwapSeat.old_pack_id))
        .where(*here)
        .order_by(col(SwapSeat.swap_id), col(SwapSeat.seat))
    )
    packs: dict[str, list[CamePack]] = {}
    for swap_id, kind, soc_pct in db.exec(taken_off).all():
        packs.setdefault(swap_id, []).append(CamePack(kind, soc_pct))
    trucks = (
        select(Swap.id, Swap.arrived_at, VehicleRow.model)
        .join(VehicleRow, col(VehicleRow.id) == col(Swap.vehicle_id))
        .where(*here)
        .order_by(col(Swap.arrived_at), col(Swap.id))
    )
    came = (CameTruck(at, model, tuple(packs.get(swap_id, ()))) for swap_id, at, model in db.exec(trucks).all())
    return ArrivalRecord(tuple(came), since)
