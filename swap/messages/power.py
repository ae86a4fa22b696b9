"""What the journal tells of power that was asked for from outside."""

from __future__ import annotations

from typing import ClassVar

from swap.messages.base import Event, Instant, Message


class DrWait(Message):
    """A truck that waits longer for an event of demand response."""

    truck: str
    """Swap or booking; `E` and a number: one that is only expected."""
    minutes: float | None = None
    """None: no end was seen within the hours that were looked at."""


class DrAnswered(Event):
    """An event of demand response was told to the station, and this is its answer; an accepted limit holds."""

    kind: ClassVar = "demand_response.answered"
    event_id: str
    programme: str
    control: str
    """voluntary or direct."""
    told_at: Instant
    from_at: Instant
    until_at: Instant
    accepted: bool
    limit_kw: float
    """Of the import."""
    offered_kw: float | None = None
    """Below the baseline; None where there is none."""
    baseline_kw: tuple[float, ...] = ()
    """By slot of the settlement."""
    objections: tuple[str, ...] = ()
    """What spoke against it (`scheduler.response.acceptance.Objection`)."""
    waits: tuple[DrWait, ...] = ()
    money_yuan: str | None = None
    """As foreseen."""
    penalty_yuan: str | None = None
    """As foreseen."""
