"""Spans of custody from moves. Pure: whatever order the journals came in, the same moves give the same spans."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby, pairwise

from swap.places import OFF_SITE


@dataclass(frozen=True, slots=True)
class PackMove:
    """A pack came to another place."""

    pack_id: str
    at: datetime
    station_id: str
    """Whose journal tells it, under `seq`."""
    seq: int
    source: str
    target: str
    holder_id: str
    """Firm that holds it from then on."""
    swap_id: str | None = None
    energy_kwh: Decimal | None = None


@dataclass(frozen=True, slots=True)
class CustodySpan:
    """A pack in one place, held by one firm."""

    pack_id: str
    place: str
    holder_id: str
    from_at: datetime
    until_at: datetime | None
    """None while it is there."""
    begun_by: PackMove
    ended_by: PackMove | None

    @property
    def vehicle_id(self) -> str | None:
        """The vehicle it is on, if it is on one."""
        return vehicle_of(self.place)

    @property
    def station_id(self) -> str | None:
        """The station it is in, if it is in one."""
        return station_of(self.place)


def vehicle_of(place: str) -> str | None:
    """The vehicle of a place `vehicle:VEHICLE:SEAT`; None for others."""
    sort, _, key = place.partition(":")
    return key.rpartition(":")[0] if sort == "vehicle" else None


def station_of(place: str) -> str | None:
    """The station of a bay, gripper or tank; None for others."""
    sort, _, key = place.partition(":")
    return key.partition(":")[0] if sort in ("bay", "gripper", "tank") else None


def in_order(moves: Iterable[PackMove]) -> list[PackMove]:
    """Moves of one pack as they happened: by time; at one instant as the places join, else by station and number."""
    ordered: list[PackMove] = []
    for _, same in groupby(sorted(moves, key=lambda m: (m.at, m.station_id, m.seq)), key=lambda m: m.at):
        waiting = list(same)
        while waiting:
            here = ordered[-1].target if ordered else None
            following = next((move for move in waiting if move.source == here), waiting[0])
            waiting.remove(following)
            ordered.append(following)
    return ordered


def spans_of(moves: Iterable[PackMove]) -> tuple[CustodySpan, ...]:
    """The spans of one pack. A move of no duration leaves none; the last span is open."""
    ordered = in_order(moves)
    found = []
    for move, following in zip(ordered, [*ordered[1:], None], strict=True):
        until_at = None if following is None else following.at
        if until_at != move.at:
            found.append(CustodySpan(move.pack_id, move.target, move.holder_id, move.at, until_at, move, following))
    return tuple(found)


def gaps(moves: Iterable[PackMove]) -> tuple[str, ...]:
    """Where a pack left a place in which no journal had put it: a move is missing, or one too many."""
    ordered = in_order(moves)
    return tuple(
        f"pack {move.pack_id} left {move.source} at {move.at.isoformat()} (event {move.seq} of station "
        f"{move.station_id}), and was in {before.target} since {before.at.isoformat()}"
        for before, move in pairwise(ordered)
        if move.source != before.target
    )


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """What happened to a pack, as registers of traction batteries ask (standards.md 8.5)."""

    event: str
    """pack_in or pack_out of a station, off_site, swap (with the one before), holder_changed (with them)."""
    pack_id: str
    at: datetime
    old_holder: str | None
    new_holder: str
    vehicle: str | None
    reason: str
    """swap, moved, or brought_into_record."""
    station: str
    seq: int


def life_events(moves: Iterable[PackMove]) -> tuple[LifeEvent, ...]:
    """The life-cycle events of one pack, in order; moves within a station are none."""
    found: list[LifeEvent] = []
    before: PackMove | None = None
    holder: str | None = None
    for move in in_order(moves):
        inside = station_of(move.source), station_of(move.target)
        vehicle = vehicle_of(move.source) or vehicle_of(move.target)
        reason = "swap" if move.swap_id else "brought_into_record" if before is None else "moved"
        event = None
        if inside[0] is None and inside[1] is not None:
            event = "pack_in"
        elif inside[0] is not None and inside[1] is None:
            event = "pack_out"
        elif move.target == OFF_SITE and move.source != OFF_SITE:
            event = "off_site"

        names = [] if event is None else [event, "swap"] if move.swap_id else [event]
        if holder != move.holder_id:
            names.append("holder_changed")
        found += [
            LifeEvent(name, move.pack_id, move.at, holder, move.holder_id, vehicle, reason, move.station_id, move.seq)
            for name in names
        ]
        before, holder = move, move.holder_id
    return tuple(found)
