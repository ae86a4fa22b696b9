"""Swaps, one after the other: what their rows say, what their commands were, and what they exchanged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, type_coerce
from sqlalchemy.types import NullType
from sqlmodel import Session, col

from robotics.port import CommandCode
from swap.audit.findings import Finding, Findings, listed
from swap.audit.journal import named
from swap.audit.legality import CHANGES, Legality, steps_told
from swap.audit.swap_files import SwapFile
from swap.messages.base import Event
from swap.messages.events import (
    SwapCancelled,
    SwapCheck,
    SwapCompleted,
    SwapDispatched,
    SwapDiverted,
    SwapHeld,
    SwapQueued,
    SwapResumed,
    SwapReturned,
    SwapStepDone,
    SwapStepFailed,
    SwapStepStarted,
)
from swap.messages.packs import PackMoved, PackRead
from swap.places import vehicle_place
from swap.station.sequence.recipe import (
    CANCELLED,
    COMPLETED,
    QUEUED,
    RETURNED,
    TERMINAL,
)
from swap.station.sequence.session import Phase
from swap.tables import Swap, SwapSeat

_END: dict[str, type[SwapCompleted | SwapReturned | SwapCancelled]] = {
    COMPLETED: SwapCompleted,
    RETURNED: SwapReturned,
    CANCELLED: SwapCancelled,
}
CLOCK = timedelta(minutes=2)
"""Earlier releases read the clock anew for an event, a little after the instant that stands in its rows."""
_ROUNDED_KWH = 0.01


class SwapChecks:
    """The checks of one swap after the other, and what they leave to be asked at the end."""

    def __init__(self, findings: Findings, legal: Legality) -> None:
        self._findings = findings
        self._legal = legal
        self._holders: Counter[str] = Counter()
        self.promised: Counter[str] = Counter()
        """Packs that open swaps have not taken yet."""

    def look(self, file: SwapFile) -> None:
        """Every check of one swap."""
        self._in_journal(file)
        self._legal_steps(file)
        self._ended(file)
        self._locks(file)
        self._commands(file)
        self._exchange(file)
        if file.row.ended_at is None:
            self.promised.update(seat.new_pack_id for seat in file.seats if seat.new_pack_id and not seat.exchanged)

    def close(self) -> None:
        """What only all swaps together can show."""
        self._findings["swap_locks"].violations += [
            f"{key} is held by {count} open swaps" for key, count in self._holders.items() if count > 1
        ]

    # what the row says

    def _in_journal(self, file: SwapFile) -> None:
        found, row = self._findings["swap_in_journal"], file.row
        queued, dispatched = file.told(SwapQueued), file.told(SwapDispatched)
        found.look(len(queued) == 1, f"{file.name} has {len(queued)} events of its arrival")
        found.look(
            len(dispatched) == (row.dispatched_at is not None),
            f"{file.name}: dispatched_at is {row.dispatched_at}, {len(dispatched)} events tell of a dispatch",
        )
        found.examined += len(file.events)
        found.violations += [
            f"{file.name} is of station {row.station_id}, {named(event)} tells of it"
            for event, _ in file.events
            if event.station_id != row.station_id
        ]
        for event, said in queued[:1]:
            told: dict[str, Any] = {
                "vehicle_id": said.vehicle_id,
                "booking_id": said.booking_id,
                "arrived_at": event.at,
            }
            if not dispatched:
                told["pack_count"] = said.seats
            if "priority" in said.model_fields_set:
                told["priority"] = said.priority
            found.same(file.name, named(event), row, told, within=CLOCK)
        for event, call in dispatched[:1]:
            told = {"dispatched_at": event.at, "lane_id": event.lane_id, "pack_count": len(call.packs)}
            if call.recipe is not None:
                told["recipe"] = call.recipe
            found.same(file.name, named(event), row, told, within=CLOCK)
        found.look(
            (row.lane_id is None) == (row.recipe is None) == (row.dispatched_at is None),
            f"{file.name}: lane_id is {row.lane_id}, recipe {row.recipe}, dispatched_at {row.dispatched_at}",
        )
        in_order = [at for at in (row.arrived_at, row.dispatched_at, row.ended_at) if at is not None]
        found.look(in_order == sorted(in_order), f"{file.name} arrived, was called and ended at {listed(in_order)}")
        self._standing(file, found)
        self._checks(file, found)

    def _standing(self, file: SwapFile, found: Finding) -> None:
        """Since when it stands where it stands, what it waits for, and how it ended."""
        row = file.row
        moments = [row.arrived_at, *(event.at for event, _ in file.events)]
        found.look(
            any(abs(row.entered_at - at) <= CLOCK for at in moments),
            f"{file.name}: entered_at is {row.entered_at.isoformat()}, and none of its events is of that instant",
        )
        ends = file.told(SwapCompleted, SwapReturned, SwapCancelled)
        for event, said in ends[-1:]:
            reason = row.state
            if isinstance(said, SwapCancelled) and said.reason is not None:
                reason = f"cancelled by {event.actor}"
            told = {"ended_at": event.at, "end_reason": reason, "phase": Phase.PENDING.value}
            found.same(file.name, named(event), row, told, within=CLOCK)
        if not ends:
            found.look(row.end_reason == "", f"{file.name}: end_reason is {row.end_reason!r}, and no event ended it")
        stands = file.told(SwapStepDone, SwapStepFailed, SwapHeld, SwapResumed, SwapStepStarted, SwapDispatched)
        for event, last in stands[-1:] if not ends else ():
            self._last(file, found, event, last)
        numbers = {command.seq for command in file.commands}
        found.look(
            row.seq is None or row.seq in numbers, f"{file.name}: seq is {row.seq}, its commands are {listed(numbers)}"
        )
        tries = 0
        for _, said in file.told(SwapDispatched, SwapStepDone, SwapStepFailed, SwapResumed):
            retried = isinstance(said, SwapStepFailed) and said.next == said.state and said.action == "retry"
            tries = (
                tries + 1 if retried else tries if isinstance(said, SwapStepFailed) and said.next == said.state else 0
            )
        found.look(row.tries == tries, f"{file.name}: tries is {row.tries}, its events say {tries}")

    def _last(self, file: SwapFile, found: Finding, event: Any, said: Event) -> None:
        """What an open swap waits for, by the newest event of its sequence."""
        row = file.row
        if isinstance(said, SwapHeld):
            detail = {
                key: value for key, value in said.payload().items() if key not in ("state", "reason", "schema_version")
            }
            told = {"phase": Phase.HELD.value, "hold_reason": said.reason, "hold_detail": detail}
            found.same(file.name, named(event), row, told)
        elif isinstance(said, SwapStepStarted):
            found.same(file.name, named(event), row, {"seq": said.seq})
            found.look(
                row.phase in (Phase.SENT.value, Phase.CONFIRMING.value),
                f"{file.name}: phase is {row.phase}, {named(event)} says that command {said.seq} was given",
            )
        elif not isinstance(said, SwapResumed):
            found.look(
                row.phase == Phase.PENDING.value, f"{file.name}: phase is {row.phase}, {named(event)} says pending"
            )
        if row.phase != Phase.HELD.value:
            found.look(
                row.hold_reason is None and row.hold_detail == {},
                f"{file.name}: hold_reason is {row.hold_reason}, hold_detail {row.hold_detail}, in phase {row.phase}",
            )

    def _checks(self, file: SwapFile, found: Finding) -> None:
        newest = {said.check: (event, said) for event, said in file.told(SwapCheck)}
        for name, (event, said) in newest.items():
            stored = file.row.checks.get(name)
            if stored is None and said.result != "pass":
                continue  # what had not passed is asked anew after a person's decision
            told = {"result": said.result, "tries": said.tries}
            found.look(
                stored is not None and {key: stored.get(key) for key in told} == told,
                f"{file.name}: checks has {stored} for {name}, {named(event)} says {told}",
            )
        unknown = file.row.checks.keys() - newest.keys()
        found.look(not unknown, f"{file.name}: checks has {listed(unknown)}, and no event tells of it")

    # what happened

    def _legal_steps(self, file: SwapFile) -> None:
        found = self._findings["swap_steps_legal"]
        steps, broken = steps_told(file.row, file.told(*CHANGES))
        found.examined += len(steps)
        problem = self._legal(file.row.recipe, file.row.pack_count, steps)
        found.violations += [f"{file.name}: {text}" for text in (*broken, *([problem] if problem else []))]

    def _ended(self, file: SwapFile) -> None:
        found, row = self._findings["swap_ended_or_open_with_reason"], file.row
        ends = [event.kind for event, _ in file.told(SwapCompleted, SwapReturned, SwapCancelled)]
        if row.state in TERMINAL:
            right = row.ended_at is not None and ends == [_END[row.state].kind]
            found.look(right, f"{file.name} is {row.state}, ended at {row.ended_at}, end events {listed(ends)}")
            return
        held = row.phase == Phase.HELD.value
        reason = bool(row.hold_reason) == held and (row.state == QUEUED or row.lane_id is not None)
        found.look(
            row.ended_at is None and not ends and reason,
            f"{file.name} is {row.state} ({row.phase}), lane {row.lane_id}, hold reason {row.hold_reason}, "
            f"ended at {row.ended_at}, end events {listed(ends)}",
        )

    def _locks(self, file: SwapFile) -> None:
        row = file.row
        is_open = row.state not in TERMINAL
        vehicle = row.vehicle_id if is_open else None
        lane = f"{row.station_id}:{row.lane_id}" if is_open and row.dispatched_at is not None else None
        self._findings["swap_locks"].look(
            row.open_vehicle_id == vehicle and row.open_lane_id == lane,
            f"{file.name} is {row.state}: open_vehicle_id is {row.open_vehicle_id} and open_lane_id "
            f"{row.open_lane_id}, should be {vehicle} and {lane}",
        )
        self._holders.update(key for key in (row.open_vehicle_id, row.open_lane_id) if key)

    def _commands(self, file: SwapFile) -> None:
        """Commands and the events of their steps, one for one."""
        found, row = self._findings["commands_match_steps"], file.row
        rows: dict[int, list[Any]] = defaultdict(list)
        for command in file.commands:
            rows[command.seq].append(command)
            found.same(
                f"robot_command {command.id}",
                file.name,
                command,
                {"station_id": row.station_id, "lane_id": f"{row.station_id}:{row.lane_id}"},
            )
        started = Counter(said.seq for _, said in file.told(SwapStepStarted))
        for seq in rows.keys() | started.keys():
            found.look(
                len(rows[seq]) == started[seq] == 1,
                f"{file.name}: command {seq} is on record {len(rows[seq])} times, {started[seq]} events gave it",
            )
        ends: dict[int, tuple[str, Any, int]] = {}
        for event, said in file.told(SwapStepStarted, SwapStepDone, SwapStepFailed):
            command = next(iter(rows.get(said.seq or 0, ())), None)
            if said.seq is None:
                continue
            if command is None:
                found.look(
                    False, f"{file.name}, {said.state}: {named(event)} tells of command {said.seq}, not on record"
                )
            elif isinstance(said, SwapStepStarted):
                told: dict[str, Any] = {"state": said.state, "issued_at": event.at}
                if said.command in CommandCode.__members__:
                    told["code"] = int(CommandCode[said.command])
                told |= {
                    name: getattr(said, name)
                    for name in ("source", "target", "vehicle_tag")
                    if getattr(said, name) is not None
                }
                found.same(f"robot_command {command.id}", named(event), command, told, within=CLOCK)
            else:
                failed = isinstance(said, SwapStepFailed)
                fault = said.fault_code if isinstance(said, SwapStepFailed) else None
                ends[said.seq] = ("failed" if failed else "done", event, fault or 0)
        given_up = [event.at for event, _ in file.told(SwapResumed)]
        for command in file.commands:
            if command.result == "abandoned" and given_up:  # by a person's decision, whatever was found of it later
                found.look(
                    command.ended_at is not None and any(abs(command.ended_at - at) <= CLOCK for at in given_up),
                    f"robot_command {command.id}: ended_at is {command.ended_at}, nobody gave it up then",
                )
            else:
                self._end(file, found, command, ends.get(command.seq))

    def _end(self, file: SwapFile, found: Finding, command: Any, end: tuple[str, Any, int] | None) -> None:
        what = f"robot_command {command.id}"
        if end is None:
            found.look(
                command.result == "open",
                f"{what} of {file.name}: result is {command.result}, and no event says so",
            )
            found.look(command.fault_code == 0, f"{what}: fault_code is {command.fault_code}, and no event says so")
            return
        result, event, fault_code = end
        found.same(what, named(event), command, {"result": result, "ended_at": event.at}, within=CLOCK)
        if result == "done" or fault_code:
            found.same(what, named(event), command, {"fault_code": fault_code})

    def _exchange(self, file: SwapFile) -> None:
        found, row = self._findings["exchange_in_journal"], file.row
        moves = file.told(PackMoved)
        for _, call in file.told(SwapDispatched)[:1]:
            self._planned(file, found, call)
        for seat in file.seats:
            place = vehicle_place(row.vehicle_id, seat.seat)
            put_on = [(e, m) for e, m in moves if m.target == place and e.pack_id == seat.new_pack_id]
            taken = [e.pack_id for e, m in moves if m.source == place and e.pack_id != seat.new_pack_id]
            what = f"{file.name}, seat {seat.seat}"
            if seat.exchanged:
                found.look(
                    seat.new_pack_id and put_on, f"{what}: no move put pack {seat.new_pack_id} (new_pack_id) there"
                )
            if taken:
                found.look(
                    taken[0] == seat.old_pack_id,
                    f"{what}: old_pack_id is {seat.old_pack_id}, pack {taken[0]} was taken off",
                )
            self._installed(found, what, seat, put_on)
            self._returned(file, found, what, seat)
        for event, said in file.told(SwapCompleted):
            seats = tuple(seat.seat for seat in file.exchanged())
            right = len(seats) == said.seats and (not said.exchanged or seats == said.exchanged)
            found.look(
                right and seats,
                f"{file.name}: {named(event)} completed {said.seats} seats, exchanged are {listed(seats)}",
            )
        for event, other in file.told(SwapReturned, SwapCancelled):
            if other.exchanged or isinstance(other, SwapCancelled):
                seats = tuple(seat.seat for seat in file.exchanged())
                found.look(
                    seats == other.exchanged,
                    f"{file.name}: {named(event)} says exchanged {other.exchanged}, seats {seats}",
                )

    def _planned(self, file: SwapFile, found: Finding, call: SwapDispatched) -> None:
        station = file.row.station_id
        diverted = {said.seat: said.bay for _, said in file.told(SwapDiverted)}
        found.look(
            len(file.seats) >= len(call.packs),
            f"{file.name} was called for {len(call.packs)} packs, has {len(file.seats)} seats",
        )
        for seat in file.seats:
            if not 1 <= seat.seat <= len(call.packs):
                found.look(False, f"{file.name} has a seat {seat.seat}, and was called for {len(call.packs)}")
                continue
            index = seat.seat - 1
            told = {
                "new_pack_id": call.packs[index],
                "new_bay_id": f"{station}:{call.from_bays[index]}" if index < len(call.from_bays) else None,
                "old_bay_id": f"{station}:{call.to_bays[index]}" if index < len(call.to_bays) else None,
            }
            if seat.seat in diverted:
                told["old_bay_id"] = f"{station}:{diverted[seat.seat]}"
            found.same(f"{file.name}, seat {seat.seat}", "its dispatch", seat, told)

    def _installed(self, found: Finding, what: str, seat: Any, put_on: Sequence[tuple[Any, PackMoved]]) -> None:
        if not seat.exchanged:
            found.look(
                seat.installed_soe_kwh is None and seat.installed_soc_pct is None,
                f"{what} is not exchanged, installed_soe_kwh is {seat.installed_soe_kwh}, "
                f"installed_soc_pct {seat.installed_soc_pct}",
            )
            return
        for event, move in put_on[-1:]:
            if "energy_kwh" not in move.model_fields_set:
                found.wait()
                continue
            told = {"installed_soe_kwh": move.energy_kwh, "installed_soc_pct": move.soc_pct}
            found.same(what, named(event), seat, told)

    def _returned(self, file: SwapFile, found: Finding, what: str, seat: Any) -> None:
        """What the old pack held is what its BMS said in the bay, or nothing."""
        readings = [(e, r) for e, r in file.told(PackRead) if e.pack_id == seat.old_pack_id]
        if not readings:
            found.look(
                seat.returned_soe_kwh is None and seat.returned_soc_pct is None,
                f"{what}: returned_soe_kwh is {seat.returned_soe_kwh}, returned_soc_pct {seat.returned_soc_pct}, "
                "and nobody has read it",
            )
        for event, reading in readings[-1:]:
            told = {"returned_soe_kwh": reading.energy_kwh, "returned_soc_pct": reading.soc_pct}
            found.same(what, named(event), seat, told)


class EnergyKept:
    """What packs held when swaps put them on vehicles, followed from swap to swap."""

    def __init__(self, findings: Findings, handed_over: Mapping[str, tuple[str, float]]) -> None:
        self._found = findings["installed_energy_is_kept"]
        self._kept: dict[str, tuple[str, float | None]] = dict(handed_over)

    def follow(self, db: Session) -> None:
        """Go along every exchanged seat, in the order in which trucks were called."""
        columns = (SwapSeat.swap_id, SwapSeat.seat, SwapSeat.old_pack_id, SwapSeat.new_pack_id, Swap.vehicle_id)
        energies = (SwapSeat.last_settled_soe_kwh, SwapSeat.installed_soe_kwh)
        query = (
            select(*(type_coerce(column, NullType()) for column in (*columns, *energies)))
            .join(Swap, col(Swap.id) == col(SwapSeat.swap_id))
            .where(col(SwapSeat.exchanged).is_(True))
            .order_by(func.coalesce(Swap.dispatched_at, Swap.arrived_at), col(Swap.id), col(SwapSeat.seat))
        )
        for swap_id, number, old, new, vehicle_id, settled_kwh, put_on_kwh in db.execute(
            query.execution_options(yield_per=1000)
        ):
            if old in self._kept:
                before, installed_kwh = self._kept.pop(old)
                if before == vehicle_id:  # else it changed hands elsewhere, so its record was made anew
                    self._found.look(
                        settled_kwh == installed_kwh,
                        f"swap {swap_id}, seat {number}: last_settled_soe_kwh of pack {old} is {settled_kwh}, "
                        f"it was put on {before} with {installed_kwh} kWh",
                    )
            if new is not None:
                self._kept[new] = (vehicle_id, put_on_kwh)

    def close(self, packs: Mapping[str, Any]) -> None:
        """What packs on vehicles settle from is what they were put on with."""
        for pack_id, (vehicle_id, installed_kwh) in self._kept.items():
            pack = packs.get(pack_id)
            if pack is not None and pack.vehicle_id == vehicle_id:
                self._found.look(
                    pack.settled_soe_kwh == installed_kwh,
                    f"pack {pack_id} on {vehicle_id}: settled_soe_kwh is {pack.settled_soe_kwh}, "
                    f"it was put on with {installed_kwh} kWh",
                )
