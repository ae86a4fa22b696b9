"""Trucks below their reach that are served once in spite of arrears: told in a station's journal, and charged from it.

Here where the station lives, and in a database that has its journal from files, by the same function: so the charge is
the same to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select

from swap.commerce.charges import FEN_YUAN, whole
from swap.commerce.leases.contracts import events_of, lease_of
from swap.commerce.leases.rights import RightCode, swap_right
from swap.commerce.leases.settle import charge_stranding, stranding_source, stranding_told, stranding_yuan
from swap.commerce_db import AnyDb
from swap.errors import DatabaseAway
from swap.lots import lots
from swap.messages.commerce import StrandingServed
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import ChargeRow, StationEvent

ACTOR = "commerce"


@dataclass(frozen=True, slots=True)
class StrandingsCharged:
    """Swaps that were charged, and what could not be, in words."""

    swaps: tuple[str, ...]
    failed: tuple[str, ...]


def note_strandings(store: Store, station_id: str, at: datetime, *, contract_required: bool = False) -> None:
    """Tell the swaps that trucks below their reach get in spite of arrears, each once.

    Raises:
        DatabaseAway: the database cannot be used now.
    """
    with store.reading_station(station_id) as db:
        due = []
        for swap in db.open_swaps():
            if swap.booking_id is not None:
                continue
            right = swap_right(db, swap.id, at, contract_required=contract_required)
            if right.code is not RightCode.STRANDING or right.contract_id is None:
                continue
            if not stranding_told(events_of(db, right.contract_id), swap.id) and not _told(db, swap.id):
                event = StrandingServed(
                    contract_id=right.contract_id,
                    vehicle_id=swap.vehicle_id,
                    fee_fen=_fee_fen(db, right.contract_id, at),
                )
                due.append((swap.id, event))
    for swap_id, event in due:
        with store.station(station_id) as writing:
            if not _told(writing, swap_id):
                writing.append(event, at=at, actor=ACTOR, swap_id=swap_id)


def charge_strandings(store: Store, station_id: str) -> StrandingsCharged:
    """Charge every such swap that a station's journal tells of and that is not charged here, and tell the lessor.

    One that the contract, as it is here, makes another amount of is not charged, and is told.

    Raises:
        DatabaseAway: the database cannot be used now.
    """
    with store.reading_station(station_id) as db:
        told = [(event, StrandingServed.read(event.data)) for event in db.events(StrandingServed)]
        by_source = {stranding_source(said.contract_id, event.swap_id or ""): (event, said) for event, said in told}
        for lot in lots(sorted(by_source)):
            for source in db.exec(select(ChargeRow.source).where(col(ChargeRow.source).in_(lot))):
                del by_source[source]
        db.expunge_all()
    charged, failed = list[str](), list[str]()
    for event, said in by_source.values():
        try:
            _charge(store, event, said)
            charged.append(event.swap_id or "")
        except DatabaseAway:
            raise
        except Exception as error:
            failed.append(f"swap {event.swap_id}: {error}")
    return StrandingsCharged(tuple(charged), tuple(failed))


def _fee_fen(db: AnyDb, contract_id: str, at: datetime) -> int:
    return whole(stranding_yuan(lease_of(db, contract_id), at), FEN_YUAN)


def _told(db: StationDb, swap_id: str) -> bool:
    query = select(StationEvent.seq).where(StationEvent.kind == StrandingServed.kind, StationEvent.swap_id == swap_id)
    return db.exec(query.limit(1)).first() is not None


def _charge(store: Store, event: StationEvent, said: StrandingServed) -> None:
    """Raises ValueError where the contract does not make it what the station has told."""
    with store.commerce() as db:
        here_fen = _fee_fen(db, said.contract_id, event.at)
        if here_fen != said.fee_fen:
            raise ValueError(f"the station told {said.fee_fen} fen; contract {said.contract_id} makes it {here_fen}")
        swap_id = event.swap_id or ""
        charge_stranding(db, said.contract_id, said.vehicle_id, swap_id, event.station_id, at=event.at)
