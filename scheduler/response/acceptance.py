"""What a station answers to a call: yes only inside its flexibility, and what the event will bring and cost.

Direct control leaves no choice: its limit holds, and what speaks against it is told all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from scheduler.response.flexibility import Course, CourseOf, Restraint, TruckWaits, waits_of
from scheduler.response.programme import EventSpan, MeteredSlot, ProgrammeSection
from scheduler.response.settlement import DrSettlement, settle


class Objection(StrEnum):
    """What speaks against an event."""

    LATE_NOTICE = "late_notice"
    """It was told later than the programme asks."""
    TOO_SMALL = "too_small"
    """Less than the least that the programme takes."""
    TOO_SHORT = "too_short"
    """Shorter than the programme takes."""
    TRUCK_WAITS = "truck_waits"
    """A truck would wait for it."""
    NOT_DELIVERED = "not_delivered"
    """In some slot less than what counts can be given: the base load alone is above the limit, or packs take less than
    the floor."""
    OVERLAPS = "overlaps"
    """Another accepted event runs at the same time: what is delivered is measured once, and is sold once."""


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """To one call."""

    accepted: bool
    objections: tuple[Objection, ...]
    limit_kw: float | None
    """Of the import, from the event's begin to its end; None where it is raised."""
    floor_kw: float | None
    """To which the import is raised from the event's begin to its end; None where it is limited."""
    offered_kw: float | None
    """Below the baseline, or above it; None where there is none."""
    waits: tuple[TruckWaits, ...]
    """Trucks that wait longer for it, in the order in which they come."""
    foreseen: DrSettlement | None
    """As the event is expected to be settled; None without a baseline."""


def answer_voluntary(
    programme: ProgrammeSection,
    event: EventSpan,
    asked_kw: float,
    baseline: Sequence[float],
    course_of: CourseOf,
    accepted: Iterable[EventSpan] = (),
) -> CallAnswer:
    """Accept what is asked where nothing speaks against it.

    The limit lies the asked power below the lowest slot of the baseline, so that every slot delivers it; the floor of
    a programme that absorbs so much above the highest.

    Args:
        baseline: kW by slot of the event.
        accepted: events that the station has accepted before, also those that are over.

    Raises:
        ValueError: an asked power that is not above 0, or a baseline of another length.
    """
    limit_kw = floor_kw = None
    if programme.direction == "shed":
        limit_kw = max(min(baseline) - asked_kw, 0.0)
    else:
        floor_kw = max(baseline) + asked_kw
    planned, held = course_of(None), course_of(Restraint(event.from_at, event.until_at, limit_kw, floor_kw))
    waits = waits_of(planned, held)
    foreseen = foresee(programme, event, asked_kw, baseline, (), held)
    objections = _objections(programme, event, asked_kw, waits, foreseen, accepted)
    return CallAnswer(not objections, objections, limit_kw, floor_kw, asked_kw, waits, foreseen)


def answer_direct(
    programme: ProgrammeSection,
    event: EventSpan,
    limit_kw: float,
    baseline: Sequence[float] | None,
    course_of: CourseOf,
    accepted: Iterable[EventSpan] = (),
) -> CallAnswer:
    """The limit of direct control holds; who waits for it and what it earns is told.

    Args:
        baseline: kW by slot of the event; None where none is known: nothing can be settled then.
        accepted: events that the station has accepted before, also those that are over.
    """
    planned, held = course_of(None), course_of(Restraint(event.from_at, event.until_at, limit_kw))
    waits = waits_of(planned, held)
    offered_kw = None if baseline is None else min(baseline) - limit_kw
    foreseen = None
    if baseline is not None and offered_kw is not None and offered_kw > 0:
        foreseen = foresee(programme, event, offered_kw, baseline, (), held)
    objections = _objections(programme, event, offered_kw, waits, foreseen, accepted)
    return CallAnswer(True, objections, limit_kw, None, offered_kw, waits, foreseen)


def foresee(
    programme: ProgrammeSection,
    event: EventSpan,
    offered_kw: float,
    baseline: Sequence[float],
    metered: Iterable[MeteredSlot],
    ahead: Course,
) -> DrSettlement:
    """The settlement to be expected: slots that are metered as they are, those ahead as the course has them.

    What is short in it is known before it happens, with its penalty.
    """
    known = {slot.at: slot for slot in metered}
    for at in event.slots(programme.slot):
        if at not in known:
            begin_at, end_at = max(at, event.from_at), min(at + programme.slot, event.until_at)
            known[at] = MeteredSlot(at, ahead.mean_kw(begin_at, end_at))
    return settle(programme, event, offered_kw, known.values(), baseline)


def _objections(
    programme: ProgrammeSection,
    event: EventSpan,
    offered_kw: float | None,
    waits: Sequence[TruckWaits],
    foreseen: DrSettlement | None,
    accepted: Iterable[EventSpan],
) -> tuple[Objection, ...]:
    found = []
    if event.from_at - event.told_at < timedelta(minutes=programme.notice_min):
        found.append(Objection.LATE_NOTICE)
    if offered_kw is not None and offered_kw < programme.least_kw:
        found.append(Objection.TOO_SMALL)
    if event.until_at - event.from_at < timedelta(minutes=programme.least_min):
        found.append(Objection.TOO_SHORT)
    if waits:
        found.append(Objection.TRUCK_WAITS)
    if foreseen is not None and any(slot.short_kwh > 0 for slot in foreseen.slots):
        found.append(Objection.NOT_DELIVERED)
    if any(one.from_at < event.until_at and event.from_at < one.until_at for one in accepted):
        found.append(Objection.OVERLAPS)
    return tuple(found)
