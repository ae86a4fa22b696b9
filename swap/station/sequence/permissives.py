"""Facts of a step: what the row's permissives and confirmations mean for its seat and places, read fresh.

A fact is true, false or unknown. Unknown never counts as true, whichever way it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from robotics.port import (
    SEAT_ACCEPTED,
    SEAT_LOCKS_CLOSED,
    SEAT_LOCKS_OPEN,
    SEAT_OCCUPIED,
    CellStatus,
    Location,
    LocationKind,
    Signal,
)
from swap.station.sequence.step_table import Place, StepRow

GUARDS = frozenset(
    {
        Signal.ESTOP_OK,
        Signal.CURTAIN_CLEAR,
        Signal.DOORS_CLOSED,
        Signal.FIRE_OK,
        Signal.SMOKE_OK,
        Signal.POWER_OK,
        Signal.VEHICLE_PRESENT,
        Signal.VEHICLE_IN_POSITION,
        Signal.VEHICLE_LINK,
        Signal.HANDBRAKE_ON,
        Signal.GEAR_NEUTRAL,
        Signal.KEY_OFF,
        Signal.HV_OFF,
    }
)
"""Permissives that must stay true while the row's command runs, not only when it is sent."""

TRIPS = (Signal.ESTOP_OK, Signal.POWER_OK, Signal.FIRE_OK)
"""Signals whose loss stops the whole station until a named person confirms."""

SLOW_FACTOR = 5.0
"""The slow block may be this many times older than the fast one (standards.md 5.2: 1 s against 100 ms)."""
_SLOW = frozenset({Signal.TANK_READY, Signal.TANK_OCCUPIED, Signal.TRANSFER_OCCUPIED})


@dataclass(frozen=True, slots=True)
class BayFact:
    """What is known of one bay when a step looks at it."""

    occupied: bool | None
    """Occupancy sensor of the cell, fresh; None when unknown."""
    pack_id: str | None = None
    """Code of the pack that the BMS in the bay gives, fresh."""
    pack_safe: bool | None = None
    """Fresh reading, right pack, no alarm of level 2 or 3, charging power off."""
    power_off: bool | None = None
    """The bay's charger gives nothing, fresh; true where it has none."""
    reading_age_s: float | None = None
    """Age of the BMS reading in real seconds; None when there is none."""


@dataclass(frozen=True, slots=True)
class SeatPlan:
    """The exchange planned for one seat."""

    seat: int
    old_pack_id: str | None
    new_pack_id: str | None
    old_bay: str | None
    old_position: int
    new_bay: str | None
    new_position: int
    quarantine: bool = False
    """The vehicle's own pack was judged unfit: `old_bay` is a quarantine bay."""


@dataclass(frozen=True, slots=True)
class CellFacts:
    """One fresh look at the cell with the ages of its blocks in real seconds."""

    cell: CellStatus
    fast_age_s: float | None
    slow_age_s: float | None
    max_age_s: float
    bays: Mapping[int, BayFact]
    """By position."""
    beat_age_s: float | None = None
    """Since the cell's heartbeat was seen to move; None where the driver tells only whether it does."""

    @property
    def fresh(self) -> bool:
        """The fast block and the cell's heartbeat are young enough."""
        read = self.fast_age_s is not None and self.fast_age_s <= self.max_age_s
        beaten = self.cell.heartbeat_ok and (self.beat_age_s is None or self.beat_age_s <= self.max_age_s)
        return read and beaten

    @property
    def slow_fresh(self) -> bool:
        """The slow block, read less often, is young enough as well."""
        return self.fresh and self.slow_age_s is not None and self.slow_age_s <= SLOW_FACTOR * self.max_age_s

    def signal(self, name: Signal) -> bool | None:
        """A signal, None when its block is stale."""
        known = self.slow_fresh if name in _SLOW else self.fresh
        return self.cell.signals.get(name) if known else None


@dataclass(frozen=True, slots=True)
class Missing:
    """A permissive that does not hold: its name, value and the age of what it rests on."""

    name: str
    value: bool | None
    age_s: float | None

    def as_data(self) -> dict[str, object]:
        """For an event."""
        return {
            "name": self.name,
            "value": self.value,
            "age_s": None if self.age_s is None else round(self.age_s, 2),
        }


def location(place: Place, plan: SeatPlan) -> Location | None:
    """The robot's location for a symbolic place of a swap's row; None for the gripper."""
    if place is Place.SEAT:
        return Location(LocationKind.SEAT, plan.seat)
    if place is Place.OLD_BAY:
        return Location(LocationKind.BAY, plan.old_position)
    if place is Place.NEW_BAY:
        return Location(LocationKind.BAY, plan.new_position)
    if place is Place.TRANSFER:
        return Location(LocationKind.TRANSFER, 1)
    return None


def _occupied(where: Location | None, facts: CellFacts) -> bool | None:
    if where is None:
        return facts.signal(Signal.GRIPPER_LOADED)
    if where.kind is LocationKind.SEAT:
        return facts.signal(SEAT_OCCUPIED[where.index])
    if where.kind is LocationKind.TRANSFER:
        return facts.signal(Signal.TRANSFER_OCCUPIED)
    if where.kind is LocationKind.TANK:
        return facts.signal(Signal.TANK_OCCUPIED)
    fact = facts.bays.get(where.index)
    return None if fact is None or not facts.slow_fresh else fact.occupied


def seat_heads(values: tuple[bool | None, ...], seat: int, seats: int) -> tuple[bool | None, ...]:
    """The locking heads of one seat: the registers list them seat by seat, so many seats in all; None where no head
    is fitted or its signal is not valid."""
    per_seat = len(values) // seats
    return values[(seat - 1) * per_seat : seat * per_seat]


def _heads(values: tuple[bool | None, ...], seat: int, seats: int, pack_count: int) -> bool | None:
    """Whether all heads of one seat report true; a head known in another seat of the vehicle only is unknown."""
    mine = seat_heads(values, seat, seats)
    others = [seat_heads(values, other, seats) for other in range(1, pack_count + 1) if other != seat]
    known = [any(values is not None for values in alike) for alike in zip(*others, strict=False)]
    if all(v is None for v in mine) or any(a is None and b for a, b in zip(mine, known, strict=False)):
        return None
    return all(v is not False for v in mine)


def _locks(name: str, plan: SeatPlan, facts: CellFacts, pack_count: int) -> bool | None:
    """Locks of the row's seat, as told of the seat, else by its heads. Those of other seats are closed meanwhile: so
    closed needs the agreement of all sensors of the whole vehicle, open what this seat tells."""
    together = facts.signal(Signal.LOCKS_OPEN if name == "locks_open" else Signal.LOCKS_CLOSED)
    if pack_count == 1 or not facts.fresh:
        return together
    cell = facts.cell
    told, heads = (SEAT_LOCKS_OPEN, cell.heads_open) if name == "locks_open" else (SEAT_LOCKS_CLOSED, cell.heads_closed)
    own = told[plan.seat]
    seat = facts.signal(own) if own in cell.signals else _heads(heads, plan.seat, cell.seats, pack_count)
    return together if name == "locks_closed" and seat else seat


def _accepted(seat: int, facts: CellFacts) -> bool | None:
    """Whether the vehicle accepts the pack in a seat: as told of the seat, else of all of them."""
    own = SEAT_ACCEPTED[seat]
    return facts.signal(own if own in facts.cell.signals else Signal.PACK_ACCEPTED)


def _all_accepted(facts: CellFacts, pack_count: int) -> bool | None:
    """Whether the vehicle accepts its packs: each of them, and all together where it tells that as well."""
    values = [_accepted(seat, facts) for seat in range(1, pack_count + 1)]
    if Signal.PACK_ACCEPTED in facts.cell.signals:
        values.append(facts.signal(Signal.PACK_ACCEPTED))
    return False if False in values else None if None in values else True


def fact(name: str, row: StepRow, plan: SeatPlan, facts: CellFacts, pack_count: int) -> bool | None:
    """The value of a named fact (without `!`) for a row; None when unknown."""
    if name == "source_occupied":
        return _occupied(location(row.source, plan) if row.source else None, facts)
    if name == "target_occupied":
        return _occupied(location(row.target, plan) if row.target else None, facts)
    if name == "pack_safe":
        bay = facts.bays.get(plan.new_position)
        return None if bay is None else bay.pack_safe
    if name == "source_power_off":
        where = location(row.source, plan) if row.source else None
        bay = facts.bays.get(where.index) if where is not None and where.kind is LocationKind.BAY else None
        return None if bay is None else bay.power_off
    if name in ("locks_open", "locks_closed"):
        return _locks(name, plan, facts, pack_count)
    if name == "all_seats_occupied":
        seats = [_occupied(Location(LocationKind.SEAT, seat), facts) for seat in range(1, pack_count + 1)]
        return False if False in seats else None if None in seats else True
    if name == "all_locks_closed":
        return facts.signal(Signal.LOCKS_CLOSED)
    if name == "pack_accepted":
        return _accepted(plan.seat, facts)
    if name == "all_packs_accepted":
        return _all_accepted(facts, pack_count)
    return facts.signal(Signal(name))


def _age_s(name: str, row: StepRow, plan: SeatPlan, facts: CellFacts) -> float | None:
    """Age of what a fact rests on."""
    place = {"source_occupied": row.source, "target_occupied": row.target}.get(name)
    if place in (Place.OLD_BAY, Place.NEW_BAY, Place.TRANSFER) or name in _SLOW:
        return facts.slow_age_s
    if name == "pack_safe":
        bay = facts.bays.get(plan.new_position)
        return None if bay is None else bay.reading_age_s
    return facts.fast_age_s


def missing(names: tuple[str, ...], row: StepRow, plan: SeatPlan, facts: CellFacts, pack_count: int) -> list[Missing]:
    """The facts that do not hold, in the row's order; empty when all hold."""
    result = []
    for name in names:
        plain = name.removeprefix("!")
        value = fact(plain, row, plan, facts, pack_count)
        if value is not (not name.startswith("!")):
            result.append(Missing(name, value, _age_s(plain, row, plan, facts)))
    return result


def broken_guards(row: StepRow, plan: SeatPlan, facts: CellFacts, pack_count: int) -> list[Missing]:
    """Permissives of the row that must hold throughout and do not."""
    return missing(_guards(row.permissives), row, plan, facts, pack_count)


@cache
def _guards(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in GUARDS)


def tripped(facts: CellFacts) -> Signal | None:
    """The first safety trip the cell reports; None when there is none. Unknown is no trip but staleness."""
    for signal in TRIPS:
        if facts.signal(signal) is False:
            return signal
    return None
