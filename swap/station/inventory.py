"""Where every pack is: moves after the sensors confirmed them, reservations, states of packs and bays.

Every function writes inside the caller's transaction and appends the event of what it wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlmodel import col, select

from battery_bms.port import PackReading, WireRead
from scheduler.types import PackState
from swap.events import append_event
from swap.messages.events import PackGivenBack
from swap.messages.packs import (
    BayBlocked,
    BayReleased,
    ChargeEnded,
    ChargeStarted,
    PackMoved,
    PackStateChanged,
    RegistersRead,
)
from swap.places import place_of
from swap.station.records import qualified
from swap.station.sequence.permissives import SeatPlan
from swap.station.sequence.recipe import Move, Place
from swap.station.states.pack_states import PackTrigger, next_pack_state
from swap.station_db import StationDb as Db
from swap.tables import Bay, ChargeSession, Pack, Swap, SwapSeat

_MAY_BE_OFF_SITE = (PackState.QUARANTINED, PackState.BLOCKED, PackState.EVACUATED)
_INTO_USE = {
    PackState.QUARANTINED: (PackTrigger.RELEASE,),
    PackState.EVACUATED: (PackTrigger.RELEASE,),
    PackState.BLOCKED: (PackTrigger.RECOVER,),
    PackState.ON_VEHICLE: (PackTrigger.PICK, PackTrigger.STORE),
}
"""What makes a pack that comes from off site one that was received, by the state it has there."""


def _put(
    pack: Pack,
    *,
    bay_id: str | None = None,
    vehicle_id: str | None = None,
    seat: int | None = None,
    gripper: str | None = None,
    tank: str | None = None,
) -> None:
    pack.bay_id, pack.vehicle_id, pack.seat = bay_id, vehicle_id, seat
    pack.gripper_lane_id, pack.tank_station_id, pack.off_site = gripper, tank, False


def set_pack_state(
    db: Db,
    pack: Pack,
    trigger: PackTrigger,
    *,
    station_id: str,
    at: datetime,
    actor: str = "controller",
    reason: str | None = None,
) -> None:
    """Move a pack's state by a trigger of its table; nothing is written where the state stays.

    Raises:
        IllegalPackStep: the table has no such transition.
    """
    before = PackState(pack.state)
    after = next_pack_state(before, trigger)
    if after is before:
        return
    pack.state, pack.state_since_at = after.value, at
    db.add(pack)
    why: dict[str, Any] = {} if reason is None else {"reason": reason}
    append_event(
        db,
        PackStateChanged(before=before, after=after, trigger=trigger.value, **why),
        station_id=station_id,
        at=at,
        actor=actor,
        pack_id=pack.id,
        bay_id=pack.bay_id,
    )


def apply_move(
    db: Db,
    *,
    station_id: str,
    lane_id: str,
    swap: Swap,
    plan: SeatPlan,
    move: Move,
    at: datetime,
    odometer_km: float | None = None,
    transfer_bays: Sequence[str] = (),
) -> None:
    """Store a confirmed move of a step.

    Args:
        odometer_km: of the vehicle, where it tells it; journalled with what comes from its seats or to them.
        transfer_bays: those that the lane reaches, the first of which it uses, as keys of their rows.

    Raises:
        LookupError: the pack that the record expects at the source is not there; nothing is written.
    """
    pack_id = plan.old_pack_id if move.pack == "old" else plan.new_pack_id
    pack = db.get(Pack, pack_id) if pack_id else None
    if pack is None:
        raise LookupError(f"swap {swap.id}: no {move.pack} pack on record for seat {plan.seat}")
    before = place_of(pack)
    gripper = qualified(station_id, lane_id)
    if move.target is Place.GRIPPER:
        close_charge(db, pack, at)
        _put(pack, gripper=gripper)
        trigger = PackTrigger.PICK
    elif move.target is Place.SEAT:
        _put(pack, vehicle_id=swap.vehicle_id, seat=plan.seat)
        trigger = PackTrigger.INSTALL
    else:
        bay_id = _bay_of(plan, move.target, transfer_bays)
        _put(pack, bay_id=bay_id)
        trigger = PackTrigger.STORE
    db.add(pack)
    db.flush()
    held: dict[str, Any] = {}
    if move.target is Place.SEAT:
        held = {"energy_kwh": pack.energy_kwh, "soc_pct": pack.soc_pct}
    if odometer_km is not None and Place.SEAT in (move.source, move.target):
        held["odometer_km"] = odometer_km
    append_event(
        db,
        PackMoved(source=before, target=place_of(pack), **held),
        station_id=station_id,
        at=at,
        swap_id=swap.id,
        pack_id=pack.id,
        bay_id=pack.bay_id,
        lane_id=lane_id,
    )
    set_pack_state(db, pack, trigger, station_id=station_id, at=at)
    if move.target is Place.OLD_BAY and plan.quarantine:
        quarantine(db, pack, "incoming_unfit", station_id=station_id, at=at)
    if move.target is Place.SEAT:
        _installed(db, pack, swap, plan, move)
    elif move.source is Place.SEAT and move.pack == "new":
        _taken_off_again(db, swap, plan)


def _bay_of(plan: SeatPlan, place: Place, transfer_bays: Sequence[str]) -> str:
    if place is Place.TRANSFER:
        if not transfer_bays:
            raise LookupError("the lane reaches no transfer bay")
        return transfer_bays[0]
    bay_id = plan.old_bay if place is Place.OLD_BAY else plan.new_bay
    if bay_id is None:
        raise LookupError(f"no {place.value} is planned for seat {plan.seat}")
    return bay_id


def _installed(db: Db, pack: Pack, swap: Swap, plan: SeatPlan, move: Move) -> None:
    """What the pack held when it was put on the vehicle is what its next bill starts from."""
    if move.pack == "old":
        return
    seat = db.get_one(SwapSeat, (swap.id, plan.seat))
    seat.exchanged = True
    seat.installed_soe_kwh, seat.installed_soc_pct = pack.energy_kwh, pack.soc_pct
    db.add(seat)
    pack.settled_soe_kwh = pack.energy_kwh
    db.add(pack)


def _taken_off_again(db: Db, swap: Swap, plan: SeatPlan) -> None:
    """A charged pack that the vehicle did not accept comes back: its seat is not exchanged."""
    seat = db.get_one(SwapSeat, (swap.id, plan.seat))
    seat.exchanged = False
    seat.installed_soe_kwh, seat.installed_soc_pct = None, None
    db.add(seat)


def given_back(db: Db, swap_id: str) -> tuple[PackGivenBack, ...]:
    """What the record knows of the packs that a swap has taken off, for the journal: a bill is made of it, also where
    the record is not."""
    swap = db.get_one(Swap, swap_id)
    found = []
    for seat in db.seats(swap_id):
        if seat.exchanged:
            pack = db.get(Pack, seat.old_pack_id) if seat.old_pack_id else None
            found.append(
                PackGivenBack(
                    seat=seat.seat,
                    pack_id=seat.old_pack_id,
                    rated_kwh=None if pack is None else pack.rated_kwh,
                    last_settled_soe_kwh=seat.last_settled_soe_kwh,
                    put_on_by_swap=db.put_on_by_swap(swap, seat.old_pack_id),
                )
            )
    return tuple(found)


def close_charge(db: Db, pack: Pack, at: datetime) -> None:
    """Close the charging session of a pack that is picked or taken out of use; nothing where it has none."""
    row = db.exec(select(ChargeSession).where(ChargeSession.open_pack_id == pack.id)).first()
    if row is not None:
        end_charge(db, row, pack, at=at, meter_kwh=None)


def registers_of(reading: PackReading, *names: str) -> dict[str, Any]:
    """Registers of some values of a reading, as an event tells them; nothing where none were read."""
    found = {name: _told(reading.at, wire) for name in names if (wire := reading.wire.get(name)) is not None}
    return {"registers": found} if found else {}


def _told(read_at: datetime, wire: WireRead) -> RegistersRead:
    said = asdict(wire)
    usual = {name for name in ("offset", "power") if not said[name]}
    return RegistersRead(read_at=read_at, **{name: value for name, value in said.items() if name not in usual})


def end_charge(
    db: Db,
    row: ChargeSession,
    pack: Pack,
    *,
    at: datetime,
    meter_kwh: float | None,
    reading: PackReading | None = None,
) -> None:
    """Close a charging session with what the pack holds now.

    Args:
        reading: the one with which it ends; None where the pack is taken away.
    """
    row.open_pack_id, row.ended_at = None, at
    row.end_energy_kwh, row.end_meter_kwh = pack.energy_kwh, meter_kwh
    gained_kwh = (pack.energy_kwh or row.start_energy_kwh) - row.start_energy_kwh
    pack.cycles_kwh += max(0.0, gained_kwh)
    db.add(row)
    db.add(pack)
    append_event(
        db,
        ChargeEnded(
            gained_kwh=round(gained_kwh, 3),
            meter_kwh=meter_kwh,
            session_id=row.id,
            start_kwh=row.start_energy_kwh,
            end_kwh=row.end_energy_kwh,
            **({} if reading is None else registers_of(reading, *_read_now(pack, reading), "meter_kwh")),
        ),
        station_id=row.station_id,
        at=at,
        pack_id=pack.id,
        bay_id=row.bay_id,
    )


def _read_now(pack: Pack, reading: PackReading) -> tuple[str, ...]:
    """The pack's energy, where it is that of the reading."""
    return ("energy_kwh",) if pack.energy_kwh == reading.energy_kwh else ()


def start_charge(
    db: Db,
    pack: Pack,
    reading: PackReading,
    *,
    station_id: str,
    bay_id: str,
    at: datetime,
    energy_kwh: float,
) -> ChargeSession:
    """Open a charging session with a reading; the one before must be closed."""
    row = ChargeSession(
        station_id=station_id,
        pack_id=pack.id,
        bay_id=bay_id,
        open_pack_id=pack.id,
        started_at=at,
        start_energy_kwh=energy_kwh,
        start_meter_kwh=reading.meter_kwh,
    )
    db.add(row)
    db.flush()
    append_event(
        db,
        ChargeStarted(
            energy_kwh=round(energy_kwh, 3),
            meter_kwh=reading.meter_kwh,
            session_id=row.id,
            **registers_of(reading, "energy_kwh", "meter_kwh"),
        ),
        station_id=station_id,
        at=at,
        pack_id=pack.id,
        bay_id=bay_id,
    )
    return row


def take_out(db: Db, pack: Pack, *, station_id: str, at: datetime, actor: str) -> None:
    """People have carried a pack off: it is off site, and not used before it has been brought in again.

    Raises:
        IllegalPackStep: a swap has it.
    """
    before, bay_id = place_of(pack), pack.bay_id
    close_charge(db, pack, at)
    if PackState(pack.state) not in _MAY_BE_OFF_SITE:
        reason = "taken_out"
        set_pack_state(db, pack, PackTrigger.BLOCK, station_id=station_id, at=at, actor=actor, reason=reason)
    _put(pack)
    pack.off_site = True
    db.add(pack)
    db.flush()
    event = PackMoved(source=before, target=place_of(pack))
    append_event(db, event, station_id=station_id, at=at, actor=actor, pack_id=pack.id, bay_id=bay_id)


def bring_in(db: Db, pack: Pack, bay_id: str, *, station_id: str, at: datetime, actor: str) -> None:
    """People have set a pack that was off site into a bay; it is identified before it is used."""
    before = place_of(pack)
    _put(pack, bay_id=bay_id)
    db.add(pack)
    db.flush()
    event = PackMoved(source=before, target=place_of(pack))
    append_event(db, event, station_id=station_id, at=at, actor=actor, pack_id=pack.id, bay_id=bay_id)
    for trigger in _INTO_USE[PackState(pack.state)]:
        set_pack_state(db, pack, trigger, station_id=station_id, at=at, actor=actor)


def reserve_packs(db: Db, *, station_id: str, pack_ids: Sequence[str], at: datetime) -> None:
    """Promise packs to a swap."""
    for pack_id in pack_ids:
        set_pack_state(db, db.get_one(Pack, pack_id), PackTrigger.RESERVE, station_id=station_id, at=at)


def unreserve_packs(db: Db, swap: Swap, *, at: datetime) -> None:
    """Give back the packs still promised to a swap that ends without taking them."""
    seats = db.exec(select(SwapSeat).where(SwapSeat.swap_id == swap.id)).all()
    wanted = [seat.new_pack_id for seat in seats if seat.new_pack_id is not None and not seat.exchanged]
    for pack in db.exec(select(Pack).where(col(Pack.id).in_(wanted))).all():
        if pack.state == PackState.RESERVED:
            set_pack_state(db, pack, PackTrigger.UNRESERVE, station_id=swap.station_id, at=at)


def block_bay(db: Db, bay_id: str, reason: str, *, at: datetime, actor: str = "controller") -> None:
    """Take a bay out of use until a person releases it; nothing is written where it already is."""
    bay = db.get_one(Bay, bay_id)
    if bay.blocked:
        return
    bay.blocked, bay.blocked_reason = True, reason
    db.add(bay)
    append_event(
        db,
        BayBlocked(reason=reason),
        station_id=bay.station_id,
        at=at,
        actor=actor,
        bay_id=bay.id,
    )


def release_bay(db: Db, bay_id: str, *, at: datetime, actor: str) -> None:
    """Put a bay back into use; nothing is written where it is in use."""
    bay = db.get_one(Bay, bay_id)
    if not bay.blocked:
        return
    reason = bay.blocked_reason
    bay.blocked, bay.blocked_reason = False, ""
    db.add(bay)
    append_event(
        db,
        BayReleased(reason=reason),
        station_id=bay.station_id,
        at=at,
        actor=actor,
        bay_id=bay.id,
    )


def quarantine(db: Db, pack: Pack, reason: str, *, station_id: str, at: datetime, actor: str = "controller") -> None:
    """Take a pack and the bay it lies in out of use until a person releases both."""
    close_charge(db, pack, at)
    set_pack_state(db, pack, PackTrigger.QUARANTINE, station_id=station_id, at=at, actor=actor, reason=reason)
    if pack.bay_id is not None:
        block_bay(db, pack.bay_id, reason, at=at, actor=actor)
