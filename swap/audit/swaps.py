"""Checks of swaps: steps, ends, locks, commands, what was exchanged, bookings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from swap.audit.records import Finding, Legality, Records, grouped
from swap.commerce.booking_states import BOOKING, BookingStatus
from swap.messages.events import (
    BookingEnded,
    PackMoved,
    SwapCancelled,
    SwapCompleted,
    SwapResumed,
    SwapReturned,
    SwapStepDone,
    SwapStepFailed,
)
from swap.places import vehicle_place
from swap.station.sequence.machine import session_states
from swap.station.sequence.recipe import (
    CANCELLED,
    COMPLETED,
    QUEUED,
    RETURNED,
    TERMINAL,
    RecipeError,
    carried_orders,
    load_recipe,
)
from swap.station.sequence.session import Phase
from swap.tables import StationEvent, Swap

__all__ = ["SWAP_CHECKS", "Legality", "legal_by_recipe"]

_SEQ_MAX = 65535
_END_KIND = {
    "completed": SwapCompleted.kind,
    "returned": SwapReturned.kind,
    "cancelled": SwapCancelled.kind,
}


_CHANGES = (SwapStepDone, SwapStepFailed, SwapResumed, SwapCancelled)
"""Events that tell of a change of a swap's state."""


def legal_by_recipe(recipe: str | None, pack_count: int, steps: Sequence[tuple[str, str]]) -> str | None:
    """Whether the table of a shipped recipe has every step, in one of the orders it carries.

    A swap that was never dispatched has no recipe; it may only be cancelled.
    """
    if recipe is None:
        wrong = [step for step in steps if step != (QUEUED, CANCELLED)]
        return f"{wrong[0][0]} → {wrong[0][1]} without a recipe" if wrong else None
    try:
        loaded = load_recipe(recipe)
        tables = [loaded.table(pack_count, order) for order in carried_orders(loaded)]
    except RecipeError as error:
        return str(error)
    problem = None
    for table in tables:
        known = {QUEUED, *table.by_state, *TERMINAL}
        wrong = [s for s in steps if not (s[0] in known and session_states(table).leads(*s))]
        if not wrong:
            return None
        problem = f"{wrong[0][0]} → {wrong[0][1]} is no step of {recipe} with {pack_count} pack(s)"
    return problem


def _steps(
    swap: Swap, events: Sequence[tuple[StationEvent, SwapStepDone | SwapStepFailed | SwapResumed | SwapCancelled]]
) -> tuple[list[tuple[str, str]], list[str]]:
    """The changes of state that the journal tells of, and where they do not join."""
    state, steps, broken = QUEUED, [], []
    for row, event in events:
        if isinstance(event, SwapCancelled):
            if state == CANCELLED:
                continue
            source, following = state, CANCELLED
        else:
            source, following = event.state, event.next
            if source == following and not isinstance(event, SwapStepDone):
                continue  # tried again, or gone on
        if state == QUEUED and source != QUEUED:
            steps.append((QUEUED, source))  # the dispatch
            state = source
        if source != state:
            broken.append(f"event {row.seq} starts in {source}, the swap was in {state}")
        steps.append((source, following))
        state = following
    dispatched = swap.dispatched_at is not None
    if state != swap.state and not (state == QUEUED and dispatched):
        broken.append(f"the journal ends in {state}, the swap is in {swap.state}")
    if state == QUEUED and dispatched and swap.state != QUEUED:
        steps.append((QUEUED, swap.state))
    return steps, broken


def swap_steps_legal(records: Records, found: Finding) -> None:
    """The steps of each swap join, each is one of its recipe's table, and the last leads to its state."""
    for swap in records.swaps.values():
        steps, broken = _steps(swap, records.told(*_CHANGES, of=records.by_swap.get(swap.id, [])))
        found.examined += len(steps)
        problem = records.legal(swap.recipe, swap.pack_count, steps)
        found.violations += [f"swap {swap.id}: {text}" for text in (*broken, *([problem] if problem else []))]


def swap_ended_or_open_with_reason(records: Records, found: Finding) -> None:
    """Each swap has ended with one event that says so, or waits in the queue, runs, or is held with a reason."""
    for swap in records.swaps.values():
        ends = [e.kind for e in records.by_swap.get(swap.id, []) if e.kind in _END_KIND.values()]
        if swap.state in TERMINAL:
            right = swap.ended_at is not None and ends == [_END_KIND[swap.state]]
            found.look(right, f"swap {swap.id} is {swap.state}, ended at {swap.ended_at}, end events {ends or 'none'}")
            continue
        held = swap.phase == Phase.HELD.value
        reason = bool(swap.hold_reason) == held and (swap.state == QUEUED or swap.lane_id is not None)
        found.look(
            swap.ended_at is None and not ends and reason,
            f"swap {swap.id} is {swap.state} ({swap.phase}), lane {swap.lane_id}, hold reason {swap.hold_reason}, "
            f"ended at {swap.ended_at}, end events {ends or 'none'}",
        )


def swap_locks(records: Records, found: Finding) -> None:
    """An open swap holds its vehicle, and its lane once dispatched; an ended one holds nothing; none is held twice."""
    for swap in records.swaps.values():
        is_open = swap.state not in TERMINAL
        lane = f"{swap.station_id}:{swap.lane_id}" if is_open and swap.dispatched_at is not None else None
        found.look(
            swap.open_vehicle_id == (swap.vehicle_id if is_open else None) and swap.open_lane_id == lane,
            f"swap {swap.id} is {swap.state}: holds vehicle {swap.open_vehicle_id} and lane {swap.open_lane_id}, "
            f"should hold {swap.vehicle_id if is_open else None} and {lane}",
        )
    held = Counter(key for swap in records.swaps.values() for key in (swap.open_vehicle_id, swap.open_lane_id) if key)
    found.violations += [f"{key} is held by {count} open swaps" for key, count in held.items() if count > 1]


def command_numbers_rise(records: Records, found: Finding) -> None:
    """Command numbers of a lane rise from command to command (65535 wraps to 1), and none but the newest is open."""
    for lane, commands in grouped(records.commands, lambda command: command.lane_id).items():
        previous = None
        for command in commands:
            rises = previous is None or 0 < (command.seq - previous.seq) % _SEQ_MAX < _SEQ_MAX // 2
            closed = command is commands[-1] or command.result != "open"
            found.look(
                1 <= command.seq <= _SEQ_MAX and rises and closed,
                f"lane {lane}: command {command.seq} ({command.result}) after {previous.seq if previous else 0}, "
                f"newest {commands[-1].seq}",
            )
            previous = command


def commands_match_steps(records: Records, found: Finding) -> None:
    """Each step done by a command has that command done, and each command done in a swap has its step."""
    done: Counter[tuple[str | None, int, str]] = Counter(
        (c.swap_id, c.seq, c.state) for c in records.commands if c.swap_id and c.result == "done"
    )
    steps: Counter[tuple[str | None, int, str]] = Counter(
        (row.swap_id, event.seq, event.state) for row, event in records.told(SwapStepDone) if event.seq is not None
    )
    for key in done.keys() | steps.keys():
        swap_id, seq, state = key
        found.look(
            done[key] == steps[key] == 1,
            f"swap {swap_id}, {state}: command {seq} is done {done[key]} times, its step {steps[key]} times",
        )


def exchange_in_journal(records: Records, found: Finding) -> None:
    """Each exchanged seat got its new pack by a move of that swap; a completed swap exchanged what its event says."""
    for swap in records.swaps.values():
        moves = records.told(PackMoved, of=records.by_swap.get(swap.id, []))
        for seat in records.exchanged(swap.id):
            place = vehicle_place(swap.vehicle_id, seat.seat)
            put_on = [row for row, move in moves if row.pack_id == seat.new_pack_id and move.target == place]
            found.look(
                seat.new_pack_id and put_on,
                f"swap {swap.id}, seat {seat.seat}: no move put pack {seat.new_pack_id} there",
            )
    for row, event in records.told(SwapCompleted):
        seats = len(records.exchanged(row.swap_id or ""))
        found.look(
            seats == event.seats and seats > 0,
            f"swap {row.swap_id} completed with {event.seats} seats, {seats} are exchanged",
        )


def installed_energy_is_kept(records: Records, found: Finding) -> None:
    """What a pack held when a swap put it on a vehicle is what its next bill starts from."""
    kept: dict[str, tuple[str, float | None]] = {}
    for swap in sorted(records.swaps.values(), key=lambda s: (s.dispatched_at or s.arrived_at, s.id)):
        for seat in records.exchanged(swap.id):
            if seat.old_pack_id in kept:
                vehicle_id, installed_kwh = kept.pop(seat.old_pack_id)
                if vehicle_id != swap.vehicle_id:
                    continue  # changed hands elsewhere, so its record was made anew
                found.look(
                    seat.last_settled_soe_kwh == installed_kwh,
                    f"swap {swap.id}, seat {seat.seat}: bills pack {seat.old_pack_id} from "
                    f"{seat.last_settled_soe_kwh} kWh, it was put on {vehicle_id} with {installed_kwh} kWh",
                )
            if seat.new_pack_id is not None:
                kept[seat.new_pack_id] = (swap.vehicle_id, seat.installed_soe_kwh)
    for pack_id, (vehicle_id, installed_kwh) in kept.items():
        pack = records.packs.get(pack_id)
        if pack is not None and pack.vehicle_id == vehicle_id:
            found.look(
                pack.settled_soe_kwh == installed_kwh,
                f"pack {pack_id} on {vehicle_id} settles from {pack.settled_soe_kwh} kWh, "
                f"its swap put it on with {installed_kwh} kWh",
            )


def booking_used_once(records: Records, found: Finding) -> None:
    """A booking serves at most one swap, of its own vehicle; its status fits the swap; it ends with one event."""
    users = grouped((s for s in records.swaps.values() if s.booking_id), lambda swap: swap.booking_id or "")
    ends = Counter(event.booking_id for _, event in records.told(BookingEnded))
    for booking in records.bookings.values():
        swaps = users.get(booking.id, [])
        swap = swaps[0] if swaps else None
        ended = booking.status in BOOKING.ends
        if booking.status == BookingStatus.ARRIVED and swap is not None and swap.ended_at is not None:
            found.pending += 1
        fits = {
            BookingStatus.BOOKED.value: swap is None,
            BookingStatus.EXPIRED.value: swap is None,
            BookingStatus.CANCELLED.value: swap is None,
            BookingStatus.ARRIVED.value: swap is not None,
            BookingStatus.FULFILLED.value: swap is not None and swap.state == COMPLETED,
            BookingStatus.FAILED.value: swap is not None and swap.state in (RETURNED, CANCELLED),
        }.get(booking.status, False)
        own = all(s.vehicle_id == booking.vehicle_id and s.station_id == booking.station_id for s in swaps)
        found.look(
            len(swaps) <= 1 and fits and own and ends[booking.id] == ended,
            f"booking {booking.id} of {booking.vehicle_id} is {booking.status}, used by "
            f"{[f'{s.id} of {s.vehicle_id} ({s.state})' for s in swaps]}, end events {ends[booking.id]}",
        )
    unknown = users.keys() - records.bookings.keys()
    found.violations += [f"swap {s.id} uses booking {key}, which does not exist" for key in unknown for s in users[key]]
    waiting = Counter(b.vehicle_id for b in records.bookings.values() if b.status not in BOOKING.ends)
    found.violations += [f"vehicle {v} has {count} open bookings" for v, count in waiting.items() if count > 1]


SWAP_CHECKS = (
    swap_steps_legal,
    swap_ended_or_open_with_reason,
    swap_locks,
    command_numbers_rise,
    commands_match_steps,
    exchange_in_journal,
    installed_energy_is_kept,
    booking_used_once,
)
