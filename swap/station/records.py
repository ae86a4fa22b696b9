"""Between rows and the frozen values of the sequence: sessions, command numbers, the station's mode."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import col, select

from robotics.port import CellStatus, CommandCode, RobotCommand
from scheduler.types import BayRole, StationMode
from swap.config.seed import STOCK_UNCONFIRMED
from swap.config.station_file import StationConfig
from swap.events import append_event
from swap.messages.events import ResultTaken, StationModeChanged
from swap.station.sequence.permissives import SeatPlan
from swap.station.sequence.recipe import TERMINAL, StepTable, SwapOrder, load_recipe
from swap.station.sequence.session import HoldReason, Phase, Session
from swap.station.states.modes import ModeTrigger, next_mode
from swap.station_db import StationDb as Db
from swap.tables import Bay, RobotCommandRow, Station, Swap, SwapSeat, VehicleRow

SEQ_MAX = 65535


def qualified(station_id: str, name: str) -> str:
    """Key of a bay or lane in the database: station, colon, name in the station file."""
    return f"{station_id}:{name}"


def table_for(config: StationConfig, lane_id: str, pack_count: int) -> StepTable:
    """The step table of a lane for a number of packs."""
    lane = next(lane for lane in config.lanes if lane.id == lane_id)
    order: SwapOrder = lane.swap_order
    return load_recipe(lane.recipe, config.folder).table(pack_count, order)


def stock_unconfirmed(db: Db) -> bool:
    """A new station with real devices that no person has confirmed yet."""
    changes = db.events(StationModeChanged)
    first = changes[0].data["reason"] if changes else ""
    return first == STOCK_UNCONFIRMED and not any(
        change.data.get("trigger") == ModeTrigger.CONFIRM for change in changes
    )


def past_admitting(db: Db, config: StationConfig) -> frozenset[str]:
    """Open swaps for which the robot may have moved: in a lane, and beyond the first state of their table."""
    found = set()
    for swap in db.open_swaps():
        if swap.open_lane_id is None:
            continue
        lane_id = swap.open_lane_id.split(":", 1)[1]
        if swap.state != table_for(config, lane_id, swap.pack_count).first_state:
            found.add(swap.id)
    return frozenset(found)


def load_session(db: Db, swap: Swap) -> Session:
    """The session of a dispatched swap as stored.

    A session read back was interrupted, so its sensors may already show its step done.
    """
    bays = db.exec(select(Bay).where(Bay.station_id == swap.station_id)).all()
    positions = {bay.id: bay.position for bay in bays}
    quarantine = {bay.id for bay in bays if bay.role == BayRole.QUARANTINE}
    vehicle = db.get_one(VehicleRow, swap.vehicle_id)
    seats = db.exec(select(SwapSeat).where(SwapSeat.swap_id == swap.id).order_by(SwapSeat.seat)).all()  # type: ignore[arg-type]
    sent = set(db.exec(select(RobotCommandRow.code).where(RobotCommandRow.swap_id == swap.id).distinct()).all())
    return Session(
        swap_id=swap.id,
        vehicle_tag=vehicle.tag,
        state=swap.state,
        seats=tuple(
            SeatPlan(
                seat=row.seat,
                old_pack_id=row.old_pack_id,
                new_pack_id=row.new_pack_id,
                old_bay=row.old_bay_id,
                old_position=positions.get(row.old_bay_id or "", 0),
                new_bay=row.new_bay_id,
                new_position=positions.get(row.new_bay_id or "", 0),
                quarantine=row.old_bay_id in quarantine,
            )
            for row in seats
        ),
        entered_at=swap.entered_at,
        phase=Phase(swap.phase),
        deadline_at=swap.deadline_at,
        seq=swap.seq,
        tries=swap.tries,
        hold_reason=HoldReason(swap.hold_reason) if swap.hold_reason else None,
        hold_detail=swap.hold_detail,
        resumed=True,
        checks=swap.checks,
        exchanged=frozenset(row.seat for row in seats if row.exchanged),
        opened=CommandCode.UNLOCK in sent,
        released=CommandCode.RELEASE in sent,
        vehicle_model=vehicle.model,
    )


def store_session(db: Db, session: Session) -> Swap:
    """Write a session to its row; call inside a transaction."""
    swap = db.get_one(Swap, session.swap_id)
    if swap.state in TERMINAL:
        raise ValueError(f"swap {swap.id} is {swap.state}: a terminal state is never left")
    swap.state = session.state
    if session.state in TERMINAL:
        swap.ended_at, swap.end_reason = session.entered_at, session.state
        swap.open_lane_id, swap.open_vehicle_id = None, None
    swap.phase = session.phase.value
    swap.seq = session.seq
    swap.tries = session.tries
    swap.entered_at = session.entered_at
    swap.deadline_at = session.deadline_at
    swap.hold_reason = session.hold_reason.value if session.hold_reason else None
    swap.hold_detail = dict(session.hold_detail)
    swap.checks = {k: dict(v) for k, v in session.checks.items()}
    db.add(swap)
    return swap


def store_command(
    db: Db,
    *,
    station_id: str,
    lane_id: str,
    command: RobotCommand,
    swap_id: str | None,
    state: str,
    at: datetime,
) -> None:
    """Store a command and its number before it leaves."""
    db.add(
        RobotCommandRow(
            station_id=station_id,
            lane_id=qualified(station_id, lane_id),
            seq=command.seq,
            swap_id=swap_id,
            state=state,
            code=int(command.code),
            source=command.source.code if command.source else 0,
            target=command.target.code if command.target else 0,
            vehicle_tag=command.vehicle_tag,
            issued_at=at,
        )
    )
    station = db.get_one(Station, station_id)
    station.last_seq_by_lane = {**station.last_seq_by_lane, lane_id: command.seq}
    db.add(station)


def end_command(
    db: Db, *, station_id: str, lane_id: str, seq: int, result: str, at: datetime, fault_code: int = 0
) -> None:
    """Store how the newest command of a number ended."""
    for row in db.open_commands(lane_id, seq):
        row.result, row.ended_at, row.fault_code = result, at, fault_code
        db.add(row)


def ended_on_record(db: Db, lane_key: str, seq: int) -> bool:
    """The newest command of a number is on record with its end, or its result was taken over without one.

    A number ahead of the record is of a command that it does not know; what it has under it is of the round before.
    """
    station_id, lane_id = lane_key.split(":", 1)
    stored = db.get_one(Station, station_id).last_seq_by_lane.get(lane_id, 0)
    if newest_seq(stored, seq) != stored:
        return False
    newest = db.exec(
        select(RobotCommandRow.result)
        .where(RobotCommandRow.lane_id == lane_key, RobotCommandRow.seq == seq)
        .order_by(col(RobotCommandRow.id).desc())
        .limit(1)
    ).first()
    if newest not in (None, "open"):
        return True
    taken = db.newest_event(ResultTaken)
    return taken is not None and (taken.lane_id, taken.data["seq"]) == (lane_id, seq)


def take_result(db: Db, *, station_id: str, lane_id: str, cell: CellStatus, at: datetime, actor: str) -> None:
    """Put the result that a cell shows on record, so that it may be acknowledged; nothing where it is there already.

    Its number is used from then on: a cell that forgets its numbers must not hear it again, or the result of another
    command would pass for this one.
    """
    lane_key, seq, result = qualified(station_id, lane_id), cell.done_seq, cell.result.name.lower()
    if ended_on_record(db, lane_key, seq):
        return
    open_rows = db.open_commands(lane_id, seq)
    if open_rows and open_rows[-1].swap_id is None:  # a swap ends its own command, with the step
        end_command(
            db, station_id=station_id, lane_id=lane_id, seq=seq, result=result, at=at, fault_code=cell.fault_code
        )
    event = ResultTaken(seq=seq, result=result, command=open_rows[-1].state if open_rows else None)
    append_event(db, event, station_id=station_id, at=at, actor=actor, lane_id=lane_id)
    use_number(db, station_id, lane_id, seq)


def use_number(db: Db, station_id: str, lane_id: str, seq: int) -> None:
    """A number that a cell shows is used: the lane's next one comes after it."""
    station = db.get_one(Station, station_id)
    numbers = station.last_seq_by_lane
    station.last_seq_by_lane = {**numbers, lane_id: newest_seq(numbers.get(lane_id, 0), seq)}
    db.add(station)


def newest_seq(stored: int, *seen: int) -> int:
    """The furthest command number of what is stored and what a cell shows, 0 where there is none.

    "Furthest" is judged around the circle 1…65535, so a wrapped number counts as newer.
    """
    newest = stored
    for value in seen:
        if value and (newest == 0 or 0 < (value - newest) % SEQ_MAX < SEQ_MAX // 2):
            newest = value
    return newest


def next_seq(stored: int, *seen: int) -> int:
    """The next command number: one after the furthest, so that a database restored from an older backup never reuses
    one that the cell has seen."""
    return newest_seq(stored, *seen) % SEQ_MAX + 1


def change_mode(db: Db, *, station_id: str, trigger: ModeTrigger, reason: str, actor: str, at: datetime) -> StationMode:
    """Move the station's mode by a trigger of its table; the event tells who and why.

    Raises:
        IllegalMode: the table has no such transition.
    """
    station = db.get_one(Station, station_id)
    before = StationMode(station.mode)
    after = next_mode(before, trigger)
    if after is before and reason == station.mode_reason:
        return after
    station.mode, station.mode_reason, station.mode_since_at = after.value, reason, at
    db.add(station)
    append_event(
        db,
        StationModeChanged(before=before, after=after, trigger=trigger.value, reason=reason),
        station_id=station_id,
        at=at,
        actor=actor,
    )
    return after
