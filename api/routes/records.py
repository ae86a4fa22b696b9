"""Journal, packs, faults and bills."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.deps import AnyDoors
from api.problems import declared
from api.schemas import AcknowledgeIn
from swap.reading.lists import get_bill, list_bills, list_events, list_faults
from swap.reading.now import get_pack, list_packs
from swap.reading.records import BillRecord, EventRecord, FaultRecord, PackRecord, Page
from swap.station.requests import acknowledge_fault

router = APIRouter()
DB_ID = Annotated[int, Query(ge=0, le=2**63 - 1)]


@router.get("/events", tags=["events"], responses=declared(422))
def events(
    doors: AnyDoors,
    after: DB_ID = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    kind: Annotated[str | None, Query(max_length=48)] = None,
    swap_id: Annotated[str | None, Query(max_length=32)] = None,
    pack_id: Annotated[str | None, Query(max_length=24)] = None,
) -> Page[EventRecord]:
    """Events in their order, from the one after id `after`. `next_cursor` is the next `after`."""
    with doors.reading() as db:
        return list_events(db, doors.station_id, after=after, limit=limit, kind=kind, swap_id=swap_id, pack_id=pack_id)


@router.get("/packs", tags=["packs"], responses=declared(422))
def packs(
    doors: AnyDoors,
    state: Annotated[str | None, Query(max_length=16)] = None,
    kind: Annotated[str | None, Query(max_length=32)] = None,
) -> Page[PackRecord]:
    """Every pack, or those of a state or kind."""
    with doors.reading() as db:
        return Page(items=list_packs(db, doors.station_id, state=state, kind=kind))


@router.get("/packs/{pack_id}", tags=["packs"], responses=declared(404))
def pack(pack_id: str, doors: AnyDoors) -> PackRecord:
    """One pack."""
    with doors.reading() as db:
        return get_pack(db, doors.station_id, pack_id)


@router.get("/faults", tags=["faults"], responses=declared(422))
def faults(doors: AnyDoors, open: bool = False, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Page[FaultRecord]:
    """Faults, newest first; with `open=true` only those not cleared."""
    with doors.reading() as db:
        return Page(items=list_faults(db, doors.station_id, only_open=open, limit=limit))


@router.post("/faults/{fault_id}/acknowledge", tags=["faults"], responses=declared(400, 404, 422))
def acknowledge(
    fault_id: Annotated[int, Path(ge=1, le=2**63 - 1)], body: AcknowledgeIn, doors: AnyDoors
) -> FaultRecord:
    """Record that a named person has seen a fault. Nothing is cleared by it."""
    with doors.writing() as db:
        return acknowledge_fault(
            db, station_id=doors.station_id, fault_id=fault_id, name=body.name, at=doors.clock.now()
        )


@router.get("/bills", tags=["bills"], responses=declared(422))
def bills(
    doors: AnyDoors,
    payer_id: Annotated[str | None, Query(max_length=32)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[BillRecord]:
    """Bills, newest first."""
    with doors.reading() as db:
        return list_bills(db, doors.station_id, payer_id=payer_id, limit=limit, cursor=cursor)


@router.get("/bills/{bill_id}", tags=["bills"], responses=declared(404))
def bill(bill_id: str, doors: AnyDoors) -> BillRecord:
    """One bill with its lines."""
    with doors.reading() as db:
        return get_bill(db, doors.station_id, bill_id)
