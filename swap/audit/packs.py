"""Checks of packs, bays, charging, and the journal of moves."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from swap.audit.records import Finding, Records, grouped
from swap.messages.events import PackMoved, PackStateChanged
from swap.places import OFF_SITE, places_of
from swap.station.states.pack_states import PACK_IN_BAY
from swap.tables import Pack

_IN_PLACE = {
    "bay": {
        "received", "identified", "cooling", "warming", "waiting", "charging", "ready", "reserved",
        "blocked", "quarantined",
    },
    "vehicle": {"on_vehicle"},
    "gripper": {"picked", "quarantined", "blocked"},
    "tank": {"evacuated", "quarantined"},
    OFF_SITE: {"on_vehicle", "evacuated", "quarantined", "blocked"},
}  # fmt: skip


def _place(pack: Pack) -> str | None:
    """The one place of a pack; None when it has not exactly one, which `pack_in_one_place` tells of."""
    places = places_of(pack)
    return places[0] if len(places) == 1 else None


def pack_in_one_place(records: Records, found: Finding) -> None:
    """Every pack is in exactly one place, and has a seat when and only when it is on a vehicle."""
    for pack in records.packs.values():
        where = places_of(pack)
        seated = (pack.vehicle_id is None) == (pack.seat is None)
        found.look(len(where) == 1 and seated, f"pack {pack.id} is in {len(where)} places, seat {pack.seat}")


def bay_holds_one_pack(records: Records, found: Finding) -> None:
    """A bay holds at most one pack, and every pack's bay exists."""
    held = grouped((p for p in records.packs.values() if p.bay_id), lambda pack: pack.bay_id or "")
    for key in records.bays.keys() | held.keys():
        packs = [pack.id for pack in held.get(key, [])]
        found.look(len(packs) <= 1, f"bay {key} holds {', '.join(packs)}")
        if key not in records.bays:
            found.violations.append(f"bay {key} does not exist, but holds {', '.join(packs)}")


def seat_holds_one_pack(records: Records, found: Finding) -> None:
    """A seat of a vehicle and a gripper hold at most one pack."""
    places = Counter(_place(p) for p in records.packs.values() if p.vehicle_id or p.gripper_lane_id)
    for place, count in places.items():
        if place is None:
            continue
        found.look(count <= 1, f"{place} holds {count} packs")


def pack_place_in_journal(records: Records, found: Finding) -> None:
    """The moves of a pack form one chain, and its last move ends where the pack is."""
    for pack in records.packs.values():
        moves = [move for _, move in records.told(PackMoved, of=records.by_pack.get(pack.id, []))]
        broken = [(a.target, b.source) for a, b in pairwise(moves) if a.target != b.source]
        last = moves[-1].target if moves else OFF_SITE
        here = _place(pack)
        found.look(
            not broken and last == here,
            f"pack {pack.id} is at {here}, its last move went to {last}"
            + "".join(f"; a move to {to} is followed by one from {came}" for to, came in broken),
        )


def pack_state_fits_place(records: Records, found: Finding) -> None:
    """A pack's state is one that its place allows."""
    for pack in records.packs.values():
        place = _place(pack)
        if place is None:
            continue
        allowed = _IN_PLACE[place.split(":")[0]]
        found.look(pack.state in allowed, f"pack {pack.id} is {pack.state} at {place}")


def pack_states_legal(records: Records, found: Finding) -> None:
    """Every change of a pack's state is one of its table, and the last one leads to its state."""
    table = {(source, row.trigger.value): row.target for row in PACK_IN_BAY.rows for source in row.sources}
    for pack in records.packs.values():
        changes = [change for _, change in records.told(PackStateChanged, of=records.by_pack.get(pack.id, []))]
        for change in changes:
            found.look(
                table.get((change.before, change.trigger)) is change.after,
                f"pack {pack.id}: {change.trigger} does not lead from {change.before} to {change.after}",
            )
        for one, other in pairwise(changes):
            if one.after is not other.before:
                found.violations.append(f"pack {pack.id}: {one.after} is followed by a change from {other.before}")
        if changes and changes[-1].after != pack.state:
            found.violations.append(f"pack {pack.id} is {pack.state}, its last change led to {changes[-1].after}")


def reserved_pack_is_promised(records: Records, found: Finding) -> None:
    """A reserved pack is promised to exactly one open swap, which has not taken it yet."""
    promised = Counter(
        seat.new_pack_id
        for swap in records.swaps.values()
        if swap.ended_at is None
        for seat in records.seats.get(swap.id, [])
        if not seat.exchanged
    )
    for pack in records.packs.values():
        if pack.state == "reserved":
            count = promised[pack.id]
            found.look(count == 1, f"pack {pack.id} is reserved and promised to {count} open swaps")


def charge_sessions_apart(records: Records, found: Finding) -> None:
    """Charging sessions of a pack do not overlap; an open one is marked open and lies in the pack's bay."""
    for pack_id, sessions in grouped(records.sessions, lambda session: session.pack_id).items():
        for session in sessions:
            is_open = session.ended_at is None
            bay_id = records.packs[pack_id].bay_id if pack_id in records.packs else None
            ends_after = session.ended_at is None or session.ended_at >= session.started_at
            found.look(
                ends_after
                and session.open_pack_id == (pack_id if is_open else None)
                and (not is_open or bay_id == session.bay_id),
                f"charging {session.id} of pack {pack_id} in {session.bay_id}: "
                f"{session.started_at}…{session.ended_at}, marked open for {session.open_pack_id}, "
                f"the pack is in {bay_id}",
            )
        for one, other in pairwise(sessions):
            if one.ended_at is None or one.ended_at > other.started_at:
                found.violations.append(f"charging {one.id} and {other.id} of pack {pack_id} overlap")


def fault_open_once(records: Records, found: Finding) -> None:
    """A fault is open at most once for a station and source, and marked open until it is cleared."""
    still_open = Counter((f.station_id, f.source, f.code) for f in records.faults if f.cleared_at is None)
    for fault in records.faults:
        is_open = fault.cleared_at is None
        count = still_open[(fault.station_id, fault.source, fault.code)] if is_open else 1
        found.look(
            count == 1 and is_open == (fault.open_key is not None),
            f"fault {fault.code} of {fault.source}: open {count} times, key {fault.open_key!r}, "
            f"cleared at {fault.cleared_at}",
        )


PACK_CHECKS = (
    pack_in_one_place,
    bay_holds_one_pack,
    seat_holds_one_pack,
    pack_place_in_journal,
    pack_state_fits_place,
    pack_states_legal,
    reserved_pack_is_promised,
    charge_sessions_apart,
    fault_open_once,
)
