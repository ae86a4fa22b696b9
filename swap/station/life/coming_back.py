"""May a station go on by itself? One rule for a start, for the database's return, for a gap and for a cell that holds.

What moved before nobody watched it may have people beside it now: after GB/T 29772-2024 8.5 nothing moves by itself
when power returns, and a stopped, killed or paused process is the same to them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swap.station.life import watchdog


class Ending(StrEnum):
    """How the controller before this one ended."""

    NONE = "none"
    """There was none, or this one goes on."""
    STOPPED = "stopped"
    """It said so."""
    DIED = "died"
    """It did not."""


class Cause(StrEnum):
    """Why a named person has to look first; also the station's reason for being held."""

    RESTART = "restart"
    CONTROL_GAP = "control_gap"
    SWAP_UNDER_WAY = "swap_under_way"
    CELL_HOLDS = "cell_holds"


@dataclass(frozen=True, slots=True)
class Return:
    """What a controller comes back to."""

    now: datetime
    """Station time."""
    ended: Ending = Ending.NONE
    gap_s: float = 0.0
    """Real seconds in which it did not look, could not command or did not own the station."""
    under_way: Collection[str] = ()
    """Swaps that are past admitting: their robot may be anywhere."""
    holding: Collection[str] = ()
    """Lanes whose cell shows a hold that nobody has withdrawn."""
    permitted_until_at: datetime | None = None
    """A named person has permitted a planned restart until then."""


def person_needed(back: Return) -> Cause | None:
    """Why a named person has to confirm before anything moves; None where the station may go on by itself.

    A permission covers what a stop in good order leaves behind: a swap under way and the hold of the stop. It covers
    neither a death nor a gap.
    """
    if back.ended is Ending.DIED:
        return Cause.RESTART
    if back.gap_s > watchdog.GAP_LOST_S:
        return Cause.CONTROL_GAP
    if back.permitted_until_at is not None and back.now <= back.permitted_until_at:
        return None
    if back.under_way:
        return Cause.SWAP_UNDER_WAY
    return Cause.CELL_HOLDS if back.holding else None
