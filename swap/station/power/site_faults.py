"""What is wrong beside the packs, one fault each: a silent device, orders not taken, a feeder that tripped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from swap.station.context import StationContext
from swap.station.faults import clear_fault, raise_fault
from swap.station.power.site import EMPTY_SHARE, SiteRunner
from swap.station.power.view import fresh_pv_kw, fresh_storage, meter_kw
from swap.station_db import StationDb as Db

SOURCE: Final = "site"
NAMES: Final = ("meter_silent", "pv_silent", "storage_silent", "storage_does_not_obey", "feeder_tripped")
FEWEST_CHARGERS = 2
"""Chargers that must all report a fault before it is taken for one of their supply."""

Troubles = Mapping[str, Mapping[str, Any]]
"""Data by fault."""


class SiteWatch:
    """Judges the site and keeps which faults are stored.

    A device is silent when what it says has not been believed for its `max_age_s`: it does not answer, refuses, is
    frozen, or tells what cannot be. That orders are not confirmed is told when it has gone on for as long and
    the storage has been heard since: a silent storage is one fault, not two.
    """

    def __init__(self, site: SiteRunner) -> None:
        self._site = site
        self._good_at: dict[str, datetime] = {}
        self._heard_since_at: dict[str, datetime] = {}
        self._stored: frozenset[str] | None = None
        """None: not known."""

    def forget(self) -> None:
        """What is stored may not be what is kept here."""
        self._stored = None

    def troubles(self, context: StationContext, now: datetime) -> Troubles:
        """What is wrong now."""
        found: dict[str, Mapping[str, Any]] = {}
        for name, max_age_s, good in self._heard(context):
            since_at = self._good_at.setdefault(name, now)
            if good:
                self._good_at[name] = now
                self._heard_since_at.setdefault(name, now)
                continue
            self._heard_since_at.pop(name, None)
            if not context.is_young(since_at, max_age_s):
                found[f"{name}_silent"] = {}
        if (reason := self._disobedience(context, now)) is not None:
            found["storage_does_not_obey"] = {"reason": reason}
        if _feeder_tripped(context):
            found["feeder_tripped"] = {}
        return found

    def store(self, db: Db, station_id: str, troubles: Troubles, at: datetime) -> frozenset[str]:
        """Raise what is new, clear what is over. Returns what `stored` takes once that is committed."""
        before: Collection[str] = NAMES if self._stored is None else self._stored
        for name, data in troubles.items():
            if self._stored is None or name not in before:
                raise_fault(db, station_id=station_id, name=name, source=SOURCE, at=at, data=dict(data))
        for name in before:
            if name not in troubles:
                clear_fault(db, station_id=station_id, name=name, source=SOURCE, at=at)
        return frozenset(troubles)

    def stored(self, names: frozenset[str]) -> None:
        """The transaction of `store` is committed."""
        self._stored = names

    def _disobedience(self, context: StationContext, now: datetime) -> str | None:
        """Why the storage does not obey, where that has lasted and the storage is heard; None where it does."""
        section, heard = context.config.site.storage, fresh_storage(context)
        if section is None or heard is None:
            return None
        empty = heard.energy_kwh <= EMPTY_SHARE * section.energy_kwh
        found = self._site.refused or (None if empty else self._site.short)
        if found is None or heard.at < found.last_at:
            return None
        since_at = max(found.since_at, self._heard_since_at.get("storage", now))
        return None if context.is_young(since_at, section.max_age_s) else found.reason

    def _heard(self, context: StationContext) -> list[tuple[str, float, bool]]:
        """Name, age allowed and whether it is believed, of each device there is."""
        site, runner = context.config.site, self._site
        found: list[tuple[str, float, bool]] = []
        if site.meter is not None and runner.meter is not None:
            found.append(("meter", site.meter.max_age_s, meter_kw(context) is not None))
        if site.pv is not None and runner.pv is not None:
            found.append(("pv", site.pv.max_age_s, fresh_pv_kw(context) is not None))
        if site.storage is not None and runner.storage is not None:
            found.append(("storage", site.storage.max_age_s, fresh_storage(context) is not None))
        return found


def _feeder_tripped(context: StationContext) -> bool:
    """Every charger that is heard reports a fault: they have lost their supply, not each its module."""
    heard = [
        reading.charger_fault
        for bay in context.config.bays
        if bay.charger_kw > 0.0
        and (reading := context.readings.get(bay.id)) is not None
        and context.reading_fresh(bay.id)
    ]
    return len(heard) >= FEWEST_CHARGERS and all(heard)
