"""The step table of a swap: its rows, places, checks and the facts they may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal

from robotics.port import CommandCode, Signal

QUEUED = "queued"
COMPLETED = "completed"
RETURNED = "returned"
CANCELLED = "cancelled"
TERMINAL = frozenset({COMPLETED, RETURNED, CANCELLED})

SwapOrder = Literal["out_in", "in_out"]


class Place(StrEnum):
    """Symbolic places a row speaks of."""

    SEAT = "seat"
    OLD_BAY = "old_bay"
    NEW_BAY = "new_bay"
    TRANSFER = "transfer"
    GRIPPER = "gripper"
    HOT_BAY = "hot_bay"
    """The bay of a pack that is carried to the tank."""


class Check(StrEnum):
    """Pre-checks, in the order a station makes them (standards.md 5.2)."""

    AUTHORISED = "authorised"
    """The tag read in the lane belongs to the truck that checked in."""
    RECORD = "record"
    """The packs on the truck are those on record."""
    PACK_AVAILABLE = "pack_available"
    VEHICLE_LINK = "vehicle_link"
    POSITION = "position"
    OLD_PACK = "old_pack"
    """A pack sits in each seat and the vehicle is secured: handbrake, gear, key, HV off."""
    NEW_PACK_ACCEPTED = "new_pack_accepted"
    """The vehicle takes the kind of the new pack."""
    NEW_PACK_POWER_OFF = "new_pack_power_off"
    ROBOT_READY = "robot_ready"


DERIVED_FACTS = frozenset(
    {
        "source_occupied",
        "target_occupied",
        "pack_safe",
        "source_power_off",
        "locks_open",
        "locks_closed",
        "all_locks_closed",
        "all_seats_occupied",
        "pack_accepted",
        "all_packs_accepted",
    }
)
"""Facts worked out for the seat and the places of a row."""
INCOMING_FACTS = frozenset({"incoming_code", "incoming_cool", "incoming_no_alarm", "incoming_tight", "quarantine_bay"})
"""What an UNLOCK of the vehicle's own pack waits for where the vehicle tells of it."""
CELL_FACTS = frozenset({"fresh_status", "cell_idle", "no_cell_alarm"}) | INCOMING_FACTS
"""What every command waits for besides the permissives of its row: named where it lacks, not written in recipes."""
FACTS = frozenset(s.value for s in Signal) | DERIVED_FACTS


class FaultAction(StrEnum):
    """What a row asks for when its step fails."""

    RETRY = "retry"
    UNWIND = "unwind"
    PERSON = "person"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class OnFault:
    """What follows the failures of a row: so many are tried again, the next one and all after it do `then`."""

    retry: int
    then: FaultAction
    """Never a retry: nothing is tried for ever."""

    def action(self, tries: int) -> FaultAction:
        """The action for the `tries`-th failure, counted from 0."""
        return FaultAction.RETRY if tries < self.retry else self.then

    def __str__(self) -> str:
        again = {0: "", 1: "retry → "}.get(self.retry, f"retry ×{self.retry} → ")
        return f"{again}{self.then.value}"


@dataclass(frozen=True, slots=True)
class Move:
    """The pack a step carries and between which places; stored once the sensors confirm it."""

    pack: Literal["old", "new"]
    source: Place
    target: Place


@dataclass(frozen=True, slots=True)
class StepRow:
    """One row: in this state, send this command once these facts hold; done when those are confirmed."""

    state: str
    name_zh: str
    name_en: str
    command: CommandCode | None
    source: Place | None
    target: Place | None
    seat: int
    """Seat the row works on, 1…; 1 for rows that work on none."""
    permissives: tuple[str, ...]
    """Facts that must hold before the command leaves; a leading `!` marks one that must not."""
    confirm: tuple[str, ...]
    """Facts that tell the step done, marked alike."""
    checks: tuple[Check, ...]
    move: Move | None
    next_state: str
    unwind_state: str | None
    """Where the way back begins; None where there is none and a person must decide."""
    nominal_s: float
    spread_share: float
    """Half width of the duration's variation as a share of `nominal_s`."""
    timeout_s: float
    """Longest time from entering the state to the command's end."""
    confirm_s: float
    """Longest time from the command's end to the sensors' agreement."""
    on_fault: OnFault
    unwinding: bool
    working: bool
    """The exchange has begun: a guard lost while the row waits holds the swap until a person decides."""


@dataclass(frozen=True, eq=False)
class StepTable:
    """A recipe expanded for one number of packs and one order; the same one is given for the same question."""

    recipe: str
    pack_count: int
    swap_order: SwapOrder
    rows: tuple[StepRow, ...]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Permissives that the recipe names together, for printing."""

    @cached_property
    def by_state(self) -> Mapping[str, StepRow]:
        """Row of each state."""
        return {row.state: row for row in self.rows}

    @property
    def first_state(self) -> str:
        """The state a dispatched swap begins in."""
        return self.rows[0].state

    @cached_property
    def forward(self) -> tuple[StepRow, ...]:
        """Rows of a swap without faults, in order."""
        return self.way(self.first_state)

    def way(self, state: str) -> tuple[StepRow, ...]:
        """Rows from a state to the end without faults, in order."""
        path = []
        while state not in TERMINAL:
            row = self.by_state[state]
            path.append(row)
            state = row.next_state
        return tuple(path)

    @property
    def nominal_s(self) -> float:
        """Nominal duration of a swap without faults."""
        return sum(row.nominal_s for row in self.forward)

    @property
    def needs_transfer(self) -> bool:
        """Whether a pack is set down in a transfer bay on the way."""
        return any(Place.TRANSFER in (row.source, row.target) for row in self.rows)
