"""What is so around the plant and the controller of the explored station."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from battery_bms.port import PackReading
from robotics.port import CellStatus
from scheduler.types import StationMode
from swap.station.sequence.session import Session


@dataclass(frozen=True, slots=True)
class Rival:
    """A controller that stands still while another one has its station."""

    holder: str
    token: int
    memory: tuple[Any, ...]
    mode: StationMode
    last: CellStatus | None
    readings: Mapping[str, PackReading]
    late: str
    """Which write lies in a buffer; empty where none does."""
    write: Callable[[], object]

    @property
    def key(self) -> tuple[Any, ...]:
        """What its future depends on."""
        session: Session | None = self.memory[0][0]
        return self.late, self.mode, None if session is None else (session.state, session.phase, session.hold_reason)


@dataclass(frozen=True, slots=True)
class Env:
    """What is so around plant and controller."""

    faults: tuple[str, ...] = ()
    """Faults that are there now, in the order they came."""
    mishaps_left: int = 0
    down: str = ""
    """Why no controller works: died, stopped, or database (then it lives and waits); empty when one does."""
    gap: str = ""
    """What could not be done for longer than a cell waits, looking or commanding, and has not been seen yet."""
    person_needed: str = ""
    """Why nothing may move before a named person has decided; empty when it may."""
    unseen: tuple[str, ...] = ()
    """Trips that came while a fresh look at the cell was still to be had."""
    link_down: bool = False
    drop_sends: int = 0
    drop_acks: int = 0
    right: str = ""
    """What is wrong with the truck's right to its packs: withdrawn or unreadable; empty when it may have them."""
    right_seen: bool = False
    """It was asked for, and there."""
    by_hand: bool = False
    """Packs were moved by hand: record and truth may differ until the step resolves it."""
    accepted_seq: int = 0
    moved_seq: int = 0
    asked_seq: int = 0
    """Newest number that has been asked with."""
    rival: Rival | None = None
    """A controller whose station another one has taken, and that does not know it."""
    sent: tuple[int, int] | None = None
    """Number that left last, and when, µs of the plant; what the process remembers of it dies with it."""
