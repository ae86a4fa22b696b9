"""A contract as it stood on each day: which version counted, whether it was suspended, when it ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import pairwise

from swap.commerce.leases.periods import DAY, Days
from swap.commerce.leases.terms import LeaseTerms


@dataclass(frozen=True, slots=True)
class Version:
    """What a contract says from a day on."""

    number: int
    effective: date
    terms: LeaseTerms
    rated_kwh: Mapping[str, Decimal]
    """By kind of the entitlement."""

    @property
    def capacity_kwh(self) -> Decimal:
        """Rated energy of the entitlement."""
        return sum((part.number * self.rated_kwh[part.kind] for part in self.terms.entitlement), Decimal(0))

    @property
    def packs(self) -> int:
        """Packs of the entitlement."""
        return sum(part.number for part in self.terms.entitlement)


@dataclass(frozen=True, slots=True)
class Segment:
    """Days on which one version counts, and the contract is suspended or is not."""

    days: Days
    version: Version
    suspended: bool


@dataclass(frozen=True, slots=True)
class LeaseHistory:
    """A contract over its whole life."""

    id: str
    versions: tuple[Version, ...]
    """Those in force, by number."""
    active_from: date | None = None
    suspensions: tuple[Days, ...] = ()
    """The last one may be open, until `date.max`."""
    ended_on: date | None = None
    """Last day, where it was ended."""

    @property
    def newest(self) -> Version:
        """The version that was made last."""
        return self.versions[-1]

    @property
    def terms(self) -> LeaseTerms:
        """What no version changes may be read from any: the newest."""
        return self.versions[-1].terms

    def with_version(self, version: Version) -> LeaseHistory:
        """The contract as it is with a further version in force."""
        return replace(self, versions=tuple(sorted((*self.versions, version), key=lambda one: one.number)))

    def version_of(self, day: date) -> Version | None:
        """The version that counts on a day, active or not: the newest that is effective by then."""
        return next((version for version in reversed(self.versions) if version.effective <= day), None)

    @property
    def until_day(self) -> date:
        """The day after the last that is covered; `date.max` where none is known."""
        return self.newest.terms.until_day if self.ended_on is None else self.ended_on + DAY

    def segments(self, period: Days) -> tuple[Segment, ...]:
        """The days of a period that the contract covers, divided where something changes."""
        if self.active_from is None:
            return ()
        inside = Days(max(period.first, self.active_from), min(period.until, self.until_day))
        if not inside.count:
            return ()
        points = {inside.first, inside.until}
        points |= {version.effective for version in self.versions}
        points |= {version.terms.until_day for version in self.versions}
        for days in self.suspensions:
            points |= {days.first, days.until}
        cuts = sorted(point for point in points if inside.first <= point <= inside.until)
        found: list[Segment] = []
        for first, until in pairwise(cuts):
            version = self.version_of(first)
            if version is None or first >= version.terms.until_day:
                continue
            suspended = any(days.first <= first < days.until for days in self.suspensions)
            found.append(Segment(Days(first, until), version, suspended))
        return tuple(found)

    def covers(self, vehicle_id: str, day: date) -> bool:
        """Whether the contract counts for a vehicle on a day; suspended days are covered."""
        return any(vehicle_id in part.version.terms.vehicles for part in self.segments(Days(day, day + DAY)))

    def days_of(self, vehicle_id: str, *, binding: bool = False) -> tuple[Days, ...]:
        """The days on which it counts for a vehicle, in order and joined.

        Args:
            binding: a contract that is not active yet counts from its first day.
        """
        lease = self if self.active_from is not None or not binding else replace(self, active_from=self.terms.first_day)
        found: list[Days] = []
        for part in lease.segments(Days(date.min, date.max)):
            if vehicle_id not in part.version.terms.vehicles:
                continue
            if found and found[-1].until == part.days.first:
                found[-1] = Days(found[-1].first, part.days.until)
            else:
                found.append(part.days)
        return tuple(found)
