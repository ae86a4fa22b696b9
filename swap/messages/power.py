"""What the journal tells of power that was asked for from outside."""

from __future__ import annotations

from typing import Any, ClassVar

from swap.messages.base import Event, Instant, Message


class DrWait(Message):
    """A truck that waits longer for an event of demand response."""

    truck: str
    """Swap or booking; `E` and a number: one that is only expected."""
    minutes: float | None = None
    """None: no end was seen within the hours that were looked at."""


class DrAnswered(Event):
    """An event of demand response was told to the station, and this is its answer; an accepted limit holds, to an
    accepted floor the import is raised."""

    kind: ClassVar = "demand_response.answered"
    event_id: str
    programme: str
    control: str
    """voluntary or direct."""
    told_at: Instant
    from_at: Instant
    until_at: Instant
    accepted: bool
    limit_kw: float | None = None
    """Of the import; None where it is raised."""
    floor_kw: float | None = None
    """To which the import is raised; None where it is limited."""
    offered_kw: float | None = None
    """Below the baseline, or above it; None where there is none."""
    baseline_kw: tuple[float, ...] = ()
    """By slot of the settlement."""
    objections: tuple[str, ...] = ()
    """What spoke against it (`scheduler.response.acceptance.Objection`)."""
    waits: tuple[DrWait, ...] = ()
    money_yuan: str | None = None
    """As foreseen."""
    penalty_yuan: str | None = None
    """As foreseen."""
    rules: dict[str, Any] | None = None
    """The programme's section of the station file as it was then; None in events of earlier releases."""


class DrSettled(Event):
    """An accepted event of demand response is over and settled: what was metered, what it earns and what it costs.

    Readings that come late make a further one, which takes the place of the one before.
    """

    kind: ClassVar = "demand_response.settled"
    event_id: str
    no: int
    """1, and one more with each further settlement of the event."""
    seller_id: str
    """The station's operator."""
    metered_kw: tuple[float | None, ...]
    """Mean import by slot; None where too little of it was metered."""
    counted_kwh: str
    money_fen: int
    """Earned, the sum of its slots, each rounded half up to the fen."""
    penalty_fen: int
    """Likewise to be paid for shortfall."""
    period: str
    """The month it is charged in, `2026-06`: that of the event's end, or a later one where that was closed."""
    rules: dict[str, Any] | None = None
    """The programme, where the answer does not tell it."""
