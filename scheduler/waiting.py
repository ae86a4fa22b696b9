"""What a truck or a lane waits for: one cause, with the names and numbers that a sentence about it needs.

The causes are found by the code that decides (`scheduler.queueing` for trucks, `swap.station.reasons` for lanes) and
published by the controller; pages have the words (`api/words.py`) and guess nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from scheduler.types import StationMode


class Wait(StrEnum):
    """Why somebody waits. In brackets what `names` and `number` of the `Waiting` are."""

    # The station as a whole
    STATION_HELD = "station_held"
    """Until a named person confirms (reason of the hold)."""
    STATION_MANUAL = "station_manual"
    """People move the robot; a person ends it (reason)."""
    STATION_THERMAL = "station_thermal"
    """The procedure for a hot pack runs (reason)."""
    STATION_FIRE = "station_fire"
    """Fire system released (reason)."""
    STATION_CLOSED = "station_closed"
    """Out of service (reason)."""
    NOT_COMPARED = "not_compared"
    """After a start nobody is called before each cell and each BMS has been heard (lanes and bays not heard yet)."""

    # A truck
    NEXT = "next"
    """It is called now (the lane)."""
    LANE_BUSY = "lane_busy"
    """Packs and bays are there; the lanes that could serve it have a truck in them (the lanes)."""
    LANE_NOT_READY = "lane_not_ready"
    """Packs and bays are there; no robot that could serve it is ready (the lanes; each says why)."""
    NO_LANE = "no_lane"
    """No lane of the station swaps in the way that the truck needs (the swap mode)."""
    KIND_AWAITED = "kind_awaited"
    """A truck further ahead waits for packs of the same kind (the trucks)."""
    AHEAD_TAKES = "ahead_takes"
    """What is there goes to trucks further ahead (the trucks)."""
    NONE_OF_KIND = "none_of_kind"
    """No pack of an accepted kind is in the station (the kinds)."""
    NOT_CHARGED = "not_charged"
    """Packs of the kind are charging (the kinds; packs needed)."""
    ALL_PROMISED = "all_promised"
    """Packs of the kind are promised to others (the kinds)."""
    UNSAFE = "unsafe"
    """Those charged are stale, alarmed, too hot or too cold (the kinds)."""
    NO_EMPTY_BAY = "no_empty_bay"
    """No bay can take the pack that comes off (packs that come off)."""
    TRANSFER_OCCUPIED = "transfer_occupied"
    """The transfer bay is not known to be empty."""

    # A lane
    NO_TRUCK = "no_truck"
    """Ready; nobody waits."""
    FIRST_TRUCK = "first_truck"
    """Ready; trucks wait for something else, which they say themselves (the first truck)."""
    CELL_SILENT = "cell_silent"
    """The cell is not heard, or what it says cannot be used (what is wrong with the link)."""
    CELL_FROZEN = "cell_frozen"
    """The cell answers, and its heartbeat stands still."""
    CELL_OWNED = "cell_owned"
    """Another controller owns the cell (number: its token)."""
    CELL_LOCAL = "cell_local"
    """A person has the cell in local mode."""
    CELL_RUN_MODE = "cell_run_mode"
    """The cell is not in automatic mode (the run mode)."""
    CELL_STATE = "cell_state"
    """The cell is paused, in alarm or busy with something that is no swap (the state)."""
    CELL_FACT = "cell_fact"
    """A sensor of the cell must read otherwise before a truck is called (the permissive)."""
    HOMING = "homing"
    """The robot is being referenced (latest end)."""
    RESETTING = "resetting"
    """Faults of the cell are being reset (latest end)."""
    CHECKS = "checks"
    """Pre-checks of the truck (those open)."""
    PERMISSIVES = "permissives"
    """The next command is not sent before these hold (the permissives)."""
    RESULT_KEPT = "result_kept"
    """The cell shows the result of an earlier command, which is being acknowledged (number: the command)."""
    CONDITION = "condition"
    """The step needs no command: these must become so (the permissives; latest end)."""
    COMMAND_DUE = "command_due"
    """The next command is about to leave."""
    COMMAND_UNHEARD = "command_unheard"
    """The cell has not answered the command (number: the command; latest end)."""
    COMMAND_REFUSED = "command_refused"
    """The cell does not take the command at the wire (what it says; number: the command; latest end)."""
    MOTION = "motion"
    """The cell works on the command (number: the command; latest end)."""
    SENSORS = "sensors"
    """The cell says done; the sensors must agree (the permissives; latest end)."""
    PERSON = "person"
    """A named person must decide about the swap (reason of the hold)."""
    CONFIRMED_STATION = "confirmed_station"
    """The swap goes on when a person confirms the station (reason of the hold)."""


BY_MODE = {
    StationMode.HELD: Wait.STATION_HELD,
    StationMode.MANUAL: Wait.STATION_MANUAL,
    StationMode.THERMAL: Wait.STATION_THERMAL,
    StationMode.FIRE: Wait.STATION_FIRE,
    StationMode.CLOSED: Wait.STATION_CLOSED,
}
"""Cause by mode in which no truck is called."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One answer to "what does it wait for?"."""

    cause: Wait
    names: tuple[str, ...] = ()
    number: int | None = None
    until_at: datetime | None = None
    """When it is expected to end, or by when at the latest, as the cause says; None where nobody knows."""
