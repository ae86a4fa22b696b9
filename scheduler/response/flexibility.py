"""How much less or more a station can draw in a window, for how long, and which truck would wait first.

Nothing is reckoned here by formula: a course is the live rules carried forward with the trucks that are known or
expected (`swap.station.power.flexibility`), once as planned and once under each limit. The difference in import is what
can be given; a truck that is called later than it would be is one that waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, inf

LEAST_WAIT = timedelta(minutes=1)
"""A truck that is called so little later does not wait: a swap takes some minutes more or less."""
QUARTER = timedelta(minutes=15)
LEVELS = 8
"""Points of the curve."""
LEAST_SHARE = 0.1
"""Of what is planned: less lies within what a course errs, and is no point of the curve."""
LEAST_KWH = 50.0
"""Likewise over the minutes of a point: in 200 windows by chance small points erred by up to 2.4 kWh, a twentieth of it
(`FLEXIBILITY_WINDOWS=200 pytest tests/sim/test_flexibility.py`)."""


@dataclass(frozen=True, slots=True)
class Restraint:
    """What is tried over a span.

    Args:
        limit_kw: most import; None with `lifted`: no wish holds anything back, everything is charged that can be.
        floor_kw: without a limit, nothing is held back only until so much is imported.
    """

    from_at: datetime
    until_at: datetime
    limit_kw: float | None
    floor_kw: float | None = None

    @property
    def lifted(self) -> bool:
        """Whether it asks for more, not for less."""
        return self.limit_kw is None


@dataclass(frozen=True, slots=True)
class CourseStep:
    """The site over a piece of time."""

    at: datetime
    until_at: datetime
    import_kw: float
    ready: int
    """Packs at its begin that may be handed out and are nobody's."""


@dataclass(frozen=True, slots=True)
class Course:
    """The station carried forward."""

    steps: tuple[CourseStep, ...]
    called_at: Mapping[str, datetime]
    """By truck; those that were not called within the course are missing."""
    came_at: Mapping[str, datetime]
    """By truck, of all that came or were expected."""

    def mean_kw(self, from_at: datetime, until_at: datetime) -> float:
        """Mean import over a span of the course."""
        kwh = 0.0
        for step in self.steps:
            piece = min(step.until_at, until_at) - max(step.at, from_at)
            if piece > timedelta(0):
                kwh += step.import_kw * (piece / timedelta(hours=1))
        return kwh / ((until_at - from_at) / timedelta(hours=1))

    def ready_at(self, at: datetime) -> int:
        """Packs ready at an instant of the course."""
        return next((step.ready for step in reversed(self.steps) if step.at <= at), 0)


@dataclass(frozen=True, slots=True)
class TruckWaits:
    """A truck that is called later than as planned."""

    truck: str
    came_at: datetime
    minutes: float
    """Later than as planned; inf: not within the course."""


@dataclass(frozen=True, slots=True)
class FlexPoint:
    """One point of the curve: held from the window's begin for so long, nobody waits."""

    limit_kw: float | None
    """Import that is not exceeded; None: everything is charged that can be."""
    minutes: float
    kw: float
    """Mean change of import over these minutes: less where power is shed, more where it is absorbed."""
    least_kw: float
    """In the quarter of an hour in which it is least."""
    first: TruckWaits | None
    """Who would wait first if it were held a quarter longer; None: nobody in the whole window."""
    ready: int
    """Packs ready at the end of these minutes."""
    ready_planned: int
    """The same as planned."""


@dataclass(frozen=True, slots=True)
class Flexibility:
    """What a station can give in a window."""

    from_at: datetime
    until_at: datetime
    planned_kw: float
    """Mean import as planned."""
    shed: tuple[FlexPoint, ...]
    """From little to all; empty where nothing is drawn beyond the base load."""
    absorb: FlexPoint | None
    """None where everything that can be charged is charged already."""


CourseOf = Callable[[Restraint | None], Course]
"""The course under a restraint, or as planned; it must reach far enough beyond the window that stock recovers."""


def waits_of(planned: Course, held: Course) -> tuple[TruckWaits, ...]:
    """Trucks that wait longer than as planned, in the order in which they come."""
    found = []
    for truck, called_at in planned.called_at.items():
        later_at = held.called_at.get(truck)
        if later_at is None or later_at - called_at > LEAST_WAIT:
            minutes = inf if later_at is None else (later_at - called_at) / timedelta(minutes=1)
            found.append(TruckWaits(truck, planned.came_at[truck], minutes))
    return tuple(sorted(found, key=lambda one: (one.came_at, one.truck)))


def flexibility(
    course_of: CourseOf, from_at: datetime, until_at: datetime, base_load_kw: float, levels: int = LEVELS
) -> Flexibility:
    """The curve of a window.

    Args:
        base_load_kw: of the station's own supplies, never shed.

    Raises:
        ValueError: a window that does not end after its begin.
    """
    if not from_at < until_at:
        raise ValueError(f"the window ends {until_at.isoformat()}; it must end after its begin {from_at.isoformat()}")
    planned = course_of(None)
    mean_kw = planned.mean_kw(from_at, until_at)
    room_kw = mean_kw - base_load_kw
    least_kw = LEAST_SHARE * mean_kw
    limits_kw = [mean_kw - room_kw * level / levels for level in range(1, levels + 1)] if room_kw > least_kw else []
    shed = [_longest(course_of, planned, Restraint(from_at, until_at, max(kw, 0.0))) for kw in limits_kw]
    lifted = _longest(course_of, planned, Restraint(from_at, until_at, None))
    return Flexibility(
        from_at,
        until_at,
        mean_kw,
        tuple(point for point in shed if point.minutes == 0 or _counts(point, least_kw)),
        lifted if _counts(lifted, least_kw) else None,
    )


def _counts(point: FlexPoint, least_kw: float) -> bool:
    """Whether a point is more than what a course errs."""
    return point.kw >= least_kw and point.kw * point.minutes / 60 >= LEAST_KWH


def _longest(course_of: CourseOf, planned: Course, whole: Restraint) -> FlexPoint:
    """For how many quarters of an hour a restraint can be held before somebody waits."""
    from_at = whole.from_at
    course = course_of(whole)
    waits = waits_of(planned, course)
    if not waits:
        return _point(planned, course, whole, None)
    held, held_course, first = 0, planned, waits[0]
    fails = ceil((whole.until_at - from_at) / QUARTER)
    while fails - held > 1:
        middle = (held + fails) // 2
        course = course_of(Restraint(from_at, from_at + middle * QUARTER, whole.limit_kw))
        waits = waits_of(planned, course)
        if waits:
            fails, first = middle, waits[0]
        else:
            held, held_course = middle, course
    return _point(planned, held_course, Restraint(from_at, from_at + held * QUARTER, whole.limit_kw), first)


def _point(planned: Course, course: Course, held: Restraint, first: TruckWaits | None) -> FlexPoint:
    from_at, until_at = held.from_at, held.until_at
    minutes = (until_at - from_at) / timedelta(minutes=1)
    if minutes == 0:
        ready = planned.ready_at(from_at)
        return FlexPoint(held.limit_kw, 0.0, 0.0, 0.0, first, ready, ready)
    kw, least_kw = given_kw(planned, course, held)
    return FlexPoint(held.limit_kw, minutes, kw, least_kw, first, course.ready_at(until_at), planned.ready_at(until_at))


def given_kw(planned: Course, course: Course, held: Restraint) -> tuple[float, float]:
    """Mean change of import over a restraint, and that of the quarter in which it is least."""
    sign = -1.0 if held.lifted else 1.0

    def between(at: datetime, end_at: datetime) -> float:
        return sign * (planned.mean_kw(at, end_at) - course.mean_kw(at, end_at))

    quarters, at = [], held.from_at
    while at < held.until_at:
        quarters.append(between(at, min(at + QUARTER, held.until_at)))
        at += QUARTER
    return between(held.from_at, held.until_at), min(quarters)
