"""What is wrong with the power of a site, one fault each: a silent device, orders not taken, a feeder that tripped, a
charger that reports a fault or gives more than it was told, an import above its limit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sqlmodel import col, select

from battery_bms.config import BaySection
from battery_bms.port import PackReading
from robotics.faults import fault_by_name
from scheduler.types import SiteLimits
from swap.station.context import StationContext
from swap.station.faults import clear_fault, raise_fault
from swap.station.power.site import EMPTY_SHARE, SiteRunner
from swap.station.power.view import fresh_pv_kw, fresh_storage, meter_kw
from swap.station_db import StationDb as Db
from swap.tables import FaultRow

SOURCE: Final = "site"
NAMES: Final = (
    "meter_silent",
    "pv_silent",
    "storage_silent",
    "storage_does_not_obey",
    "feeder_tripped",
    "site_over_limit",
)
OTHER_NAMES: Final = ("charger_fault", "charger_over_delivers", "rack_link_lost")
_RACK = "rack:"
FEWEST_CHARGERS = 2
"""Chargers that must all report a fault before it is taken for one of their supply."""
OVER_S = 15.0
"""Real seconds that a power stays above what is allowed before it is told: three control periods (assumed)."""
OVER_SHARE, OVER_KW = 0.05, 5.0
"""Share of the allowed power, and least power, by which it does (assumed: accuracy of chargers and meters)."""

Trouble = tuple[str, str]
"""Name and source of a fault."""
Troubles = Mapping[Trouble, Mapping[str, Any]]
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
        self._over_since_at: dict[Trouble, datetime] = {}
        self._stored: frozenset[Trouble] | None = None
        """None: not known."""

    def forget(self) -> None:
        """What is stored may not be what is kept here."""
        self._stored = None

    def troubles(self, context: StationContext, limits: SiteLimits, now: datetime) -> Troubles:
        """What is wrong now.

        Args:
            limits: of the site, now.
        """
        found: dict[Trouble, Mapping[str, Any]] = {}
        for name, max_age_s, good in self._heard(context):
            since_at = self._good_at.setdefault(name, now)
            if good:
                self._good_at[name] = now
                self._heard_since_at.setdefault(name, now)
                continue
            self._heard_since_at.pop(name, None)
            if not context.is_young(since_at, max_age_s):
                found[_silence(name)] = {}
        if (reason := self._disobedience(context, now)) is not None:
            found["storage_does_not_obey", SOURCE] = {"reason": reason}
        faulty = _faulty_chargers(context)
        if _feeder_tripped(context, faulty):
            found["feeder_tripped", SOURCE] = {}
        else:
            found |= {("charger_fault", f"bay:{bay_id}"): {"charger_code": code} for bay_id, code in faulty.items()}
        over = _over(context, limits)
        self._over_since_at = {trouble: self._over_since_at.get(trouble, now) for trouble in over}
        for trouble, since_at in self._over_since_at.items():
            if not context.is_young(since_at, OVER_S):
                found[trouble] = over[trouble]
        return found

    def store(self, db: Db, troubles: Troubles, at: datetime) -> frozenset[Trouble]:
        """Raise what is new, clear what is over. Returns what `stored` takes once that is committed."""
        before = self._stored
        for (name, source), data in troubles.items():
            if before is None or (name, source) not in before:
                raise_fault(db, station_id=db.station_id, name=name, source=source, at=at, data=dict(data))
        for name, source in _open(db) if before is None else before:
            if (name, source) not in troubles:
                clear_fault(db, station_id=db.station_id, name=name, source=source, at=at)
        return frozenset(troubles)

    def stored(self, troubles: frozenset[Trouble]) -> None:
        """The transaction of `store` is committed."""
        self._stored = troubles

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
        for device in context.config.rack_devices:
            bays = [bay.id for bay in context.config.bays if bay.point is not None and bay.point.device == device.id]
            if bays:
                found.append((f"{_RACK}{device.id}", device.max_age_s, any(map(context.reading_fresh, bays))))
        return found


def _silence(device: str) -> Trouble:
    """The fault of a device that is not heard; of a rack's, whose bays are then all silent, the cause of theirs."""
    return ("rack_link_lost", device) if device.startswith(_RACK) else (f"{device}_silent", SOURCE)


def _open(db: Db) -> list[Trouble]:
    """What is open of the faults that are judged here."""
    names = {fault_by_name(name).code: name for name in (*NAMES, *OTHER_NAMES)}
    rows = db.exec(select(FaultRow).where(col(FaultRow.open_key).is_not(None), col(FaultRow.code).in_(names)))
    return [(names[row.code], row.source) for row in rows]


def _faulty_chargers(context: StationContext) -> dict[str, int]:
    """The charger's own code by bay, of those that are heard and report a fault."""
    return {
        bay.id: reading.charger_fault
        for bay in context.config.bays
        if (reading := _charger(context, bay)) is not None and reading.charger_fault
    }


def _charger(context: StationContext, bay: BaySection) -> PackReading | None:
    reading = context.readings.get(bay.id) if bay.charger_kw > 0.0 else None
    return reading if reading is not None and context.reading_fresh(bay.id) else None


def _feeder_tripped(context: StationContext, faulty: Collection[str]) -> bool:
    """Every charger that is heard reports a fault: they have lost their supply, not each its module."""
    heard = sum(_charger(context, bay) is not None for bay in context.config.bays)
    return heard >= FEWEST_CHARGERS and len(faulty) == heard


def _over(context: StationContext, limits: SiteLimits) -> dict[Trouble, Mapping[str, Any]]:
    """Powers that are above what is allowed now, by more than is measured wrongly."""
    found: dict[Trouble, Mapping[str, Any]] = {}
    measured_kw, limit_kw = limits.measured_import_kw, limits.import_limit_kw
    if measured_kw is not None and _exceeds(measured_kw, limit_kw):
        found["site_over_limit", SOURCE] = {"import_kw": round(measured_kw, 1), "limit_kw": round(limit_kw, 1)}
    for bay in context.config.bays:
        reading, planned = _charger(context, bay), context.plan.get(bay.id)
        if reading is None or reading.charge_kw is None or planned is None:
            continue
        told_kw = planned.power_kw  # not what the charger shows: one that takes no order shows an old one
        if _exceeds(reading.charge_kw, told_kw):
            given = {"charge_kw": round(reading.charge_kw, 1), "setpoint_kw": round(told_kw, 1)}
            found["charger_over_delivers", f"bay:{bay.id}"] = given
    return found


def _exceeds(power_kw: float, allowed_kw: float) -> bool:
    return power_kw > allowed_kw + max(OVER_KW, OVER_SHARE * allowed_kw)
