"""What is known of the trucks that came, whichever record tells it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sim.scenario.trace import TraceFile
from swap.reading.recording import Recording


@dataclass(frozen=True, slots=True)
class Visit:
    """One truck that came."""

    at: datetime
    """Aware, in local time."""
    fleet: str
    """Empty where the record does not say."""
    soc_pct: tuple[float, ...]
    """Of each pack of which it is known."""
    booked: bool | None
    swap_s: float | None
    """How long its swap kept the lane."""


@dataclass(frozen=True)
class VisitRecord:
    """All that came in a span, in order of time."""

    visits: tuple[Visit, ...]
    from_at: datetime
    """Aware, in local time; the record is complete from here …"""
    until_at: datetime
    """… until here."""

    def hours(self) -> Iterator[tuple[datetime, float]]:
        """Each local hour of the span: its begin, and how much of it lies inside, h."""
        zone = self.from_at.tzinfo
        begin, end = self.from_at.astimezone(UTC), self.until_at.astimezone(UTC)
        at = self.from_at.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        while at < end:
            ends = at + timedelta(hours=1)
            yield at.astimezone(zone), (min(ends, end) - max(at, begin)).total_seconds() / 3600
            at = ends


def visits_of_trace(trace: TraceFile, zone: ZoneInfo) -> VisitRecord:
    """The rows of a file of recorded arrivals, which is taken to be complete from its first day to its last.

    Raises:
        ValueError: it gives seconds and not instants, so that nobody knows which hour of which day it was.
    """
    if trace.first_on is None:
        raise ValueError("the record gives seconds in the column 'at'; rates by hour and weekday need instants")
    begin = datetime.combine(trace.first_on, time(), zone)
    found = tuple(
        Visit(
            (begin.astimezone(UTC) + timedelta(seconds=row.at_s)).astimezone(zone),
            row.fleet,
            () if row.soc_pct is None else (row.soc_pct,),
            row.booked,
            row.swap_s,
        )
        for row in trace.rows
    )
    return VisitRecord(found, begin, begin + timedelta(days=trace.days))


def visits_of_recording(recording: Recording, zone: ZoneInfo) -> VisitRecord:
    """The trucks that checked in at a live station, by its journal; those that were there at the beginning left out."""
    found = tuple(
        Visit(
            swap.arrived_at.astimezone(zone),
            swap.fleet_id,
            tuple(level for level in swap.soc_pct if level is not None),
            swap.booked_from_at is not None,
            recording.lane_s(swap) if swap.state == "completed" else None,
        )
        for swap in recording.swaps
        if recording.from_at <= swap.arrived_at < recording.until_at
    )
    return VisitRecord(found, recording.from_at.astimezone(zone), recording.until_at.astimezone(zone))
