"""What a station would have drawn without an event, from the metered days before it.

The station itself decides what it draws, so it could raise its own baseline as soon as it knows of an event. No day
with an event counts, and none whose slots lie between an announcement and the time at which the packs have caught up
after the end, whether the event was accepted or not. Whatever is drawn after the announcement so changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from scheduler.response.programme import BaselineSection, EventSpan, MeteredSlot, ProgrammeSection

_DAY = timedelta(days=1)
_SATURDAY = 5


class NoBaseline(ValueError):
    """Too few metered days are like that of the event; the message says how many, and what took the others away."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Reference by slot of an event."""

    kw: tuple[float, ...]
    days: tuple[date, ...]
    """Local days that it is the mean of, newest first."""
    left_out: Mapping[str, int]
    """Like days that did not count, by reason: `told`, `unmetered`."""


def baseline_kw(
    programme: ProgrammeSection,
    event: EventSpan,
    metered: Iterable[MeteredSlot],
    past: Sequence[EventSpan],
    zone: tzinfo,
    rest_days: Collection[date] = (),
) -> Baseline:
    """The mean of the last like days in the same local slots.

    Args:
        metered: of the days before, in any order; what is not needed is not looked at.
        past: every event that the station was told of, this one left out or not.
        rest_days: public holidays; Saturdays and Sundays rest by themselves.

    Raises:
        NoBaseline: fewer days than the rule asks for.
    """
    rule, slot = programme.baseline, programme.slot
    slots = [at.astimezone(zone) for at in event.slots(slot)]
    event_day = slots[0].date()
    by_slot = {part.at: part for part in metered}
    known = [(one.told_at, one.until_at + timedelta(hours=rule.rebound_h)) for one in (*past, event)]
    found: list[tuple[date, list[float]]] = []
    left_out = {"told": 0, "unmetered": 0}
    for back in range(1, rule.look_back_days + 1):
        day = event_day - back * _DAY
        if len(found) == rule.like_days:
            break
        if not _alike(rule, day, event_day, rest_days):
            continue
        if _had_one(day, zone, past):
            left_out["told"] += 1
            continue
        # The same local time back days earlier; an event past midnight goes on into the next day.
        instants = [(at.replace(tzinfo=None) - back * _DAY).replace(tzinfo=zone) for at in slots]
        powers = [_power(by_slot, at, rule) for at in instants]
        told = any(begin_at < at + slot and at < end_at for at in instants for begin_at, end_at in known)
        if told or any(kw is None for kw in powers):
            left_out["told" if told else "unmetered"] += 1
            continue
        found.append((day, [kw for kw in powers if kw is not None]))
    if len(found) < rule.least_days:
        raise NoBaseline(
            f"the baseline of {event.from_at.isoformat(timespec='minutes')} needs {rule.least_days} days that are "
            f"alike ({rule.alike}) of the {rule.look_back_days} before; {len(found)} are metered and free of events, "
            f"{left_out['told']} had one, {left_out['unmetered']} are not metered"
        )
    if rule.highest is not None:
        # The newer day of two that are equal; back in the order of days.
        found = sorted(sorted(found, key=lambda one: -sum(one[1]))[: rule.highest], key=lambda one: one[0])[::-1]
    means = tuple(sum(powers) / len(found) for powers in zip(*(powers for _, powers in found), strict=True))
    return Baseline(means, tuple(day for day, _ in found), left_out)


def _alike(rule: BaselineSection, day: date, other: date, rest_days: Collection[date]) -> bool:
    if rule.alike == "any":
        return True
    if rule.alike == "weekday":
        return day.weekday() == other.weekday()
    return _rests(day, rest_days) == _rests(other, rest_days)


def _rests(day: date, rest_days: Collection[date]) -> bool:
    return day.weekday() >= _SATURDAY or day in rest_days


def _had_one(day: date, zone: tzinfo, past: Iterable[EventSpan]) -> bool:
    begin_at = datetime.combine(day, time(), zone)
    end_at = datetime.combine(day + _DAY, time(), zone)
    return any(event.from_at < end_at and begin_at < event.until_at for event in past)


def _power(by_slot: Mapping[datetime, MeteredSlot], at: datetime, rule: BaselineSection) -> float | None:
    part = by_slot.get(at)
    return None if part is None or part.covered_share < rule.least_covered_share else part.mean_kw
