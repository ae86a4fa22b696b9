"""What the station cannot choose: weather, prices, sun, demand response.

Constant between full hours, changes of price, and the ends of demand-response events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import cos, pi, sin
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from scheduler.config import TariffSection
from scheduler.demand_response import limit_at
from scheduler.tariff import Tariff
from scheduler.tariff_files import load_tariff
from scheduler.types import SiteLimits, TariffSlice
from sim.scenario.file import EquipmentSection, Scenario

_DAY = timedelta(days=1)


_MOST_KEPT = 1000
"""Hours that are kept of one world: some weeks, which many runs ask for. A year is asked for once."""


@dataclass(frozen=True, slots=True)
class WorldNow:
    """The world from an instant until `until_s`."""

    at: datetime
    limits: SiteLimits
    tariff: TariffSlice
    outside_c: float
    rack_c: float
    """Room and coolant of the rack."""
    until_s: float


def site_limits(equipment: EquipmentSection) -> SiteLimits:
    """What the site's connection gives at any time."""
    return SiteLimits(equipment.grid_limit_kw, equipment.base_load_kw, charger_efficiency=equipment.charger_efficiency)


@lru_cache(maxsize=16)
def _tariff(section: str, timezone: str, folder: str) -> Tariff:
    """Every replication asks for the same days: the tariff, and with it what it has worked out, is kept."""
    return load_tariff(TariffSection.model_validate_json(section), ZoneInfo(timezone), Path(folder))


@lru_cache(maxsize=16)
def _known_hours(facts: str, limits: SiteLimits, start_at: datetime, draw: int) -> dict[float, WorldNow]:
    """What is known of a world by the second from its start; shared by replications and designs."""
    return {}


class World:
    """The surroundings of a scenario's station by seconds from its start."""

    def __init__(self, scenario: Scenario, seed: int, replication: int) -> None:
        self._scenario = scenario
        self._start_at = scenario.start_at.astimezone(UTC)
        tariff = scenario.tariff.model_dump_json()
        self._tariff = _tariff(tariff, scenario.timezone, scenario.folder)
        self._draw = seed * 31 + replication
        self._limits = site_limits(scenario.equipment)
        parts = tariff, scenario.climate.model_dump_json(), scenario.pv.model_dump_json()
        events = [event.model_dump_json() for event in scenario.dr_events]
        facts = "\n".join([scenario.timezone, scenario.folder, *parts, *events])
        draw = self._draw if scenario.pv.peak_kw > 0 else 0
        self._known = _known_hours(facts, self._limits, self._start_at, draw)

    def at(self, at_s: float) -> WorldNow:
        """What holds from `at_s` on."""
        now = self._known.get(at_s)
        if now is None:
            now = self._work_out(at_s)
            if len(self._known) < _MOST_KEPT:
                self._known[at_s] = now
        return now

    def _work_out(self, at_s: float) -> WorldNow:
        scenario, climate = self._scenario, self._scenario.climate
        at = self._start_at + timedelta(seconds=at_s)
        local = at.astimezone(scenario.zone)
        tariff = self._tariff.slice_at(at)
        outside_c = scenario.outside_c(local.month, local.hour + local.minute / 60)
        rack_c = outside_c if climate.rack_min_c is None else max(outside_c, climate.rack_min_c)
        rack_c = rack_c if climate.rack_max_c is None else min(rack_c, climate.rack_max_c)
        until_s = (at_s // 3600 + 1) * 3600
        change_s = (tariff.until_at - self._start_at).total_seconds()
        if at_s < change_s < until_s:
            until_s = change_s
        limits = self._limits
        if scenario.dr_events or scenario.pv.peak_kw > 0:
            dr_limit_kw, change_at = limit_at(scenario.dr_events, at, scenario.zone)
            limits = replace(limits, pv_kw=self._pv_kw(local), dr_limit_kw=dr_limit_kw)
            until_s = min(until_s, (change_at - self._start_at).total_seconds())
        return WorldNow(at, limits, tariff, outside_c, rack_c, until_s)

    def tariff_from(self, at_s: float) -> tuple[TariffSlice, ...]:
        """Prices of the day that begins at `at_s`."""
        at = self._start_at + timedelta(seconds=at_s)
        return self._tariff.slices(at, at + _DAY)

    def _pv_kw(self, local: datetime) -> float:
        """Half a sine over the day, longer and higher in summer, times a draw for the day's clouds."""
        pv = self._scenario.pv
        if pv.peak_kw <= 0:
            return 0.0
        season = cos((local.timetuple().tm_yday - 172) / 365 * 2 * pi)
        day_h = 12 + 2.5 * season
        phase = (local.hour + 0.5 - 12.5 + day_h / 2) / day_h
        if not 0 < phase < 1:
            return 0.0
        clouds = Random(local.toordinal() * 7919 + self._draw).betavariate(4, 1.5)
        # The half sine's mean is 2/π of its top, the clouds' mean 4/5.5; scaled to the stated full-load hours.
        whole_h = 2 / pi * 12 / 24 * 8760 * 4 / 5.5
        return pv.peak_kw * min(sin(pi * phase) * (1 + 0.25 * season) * clouds * pv.yield_h / whole_h, 1.0)
