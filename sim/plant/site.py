"""The AC side of the site as it truly is: chargers and base load, photovoltaics, storage, and the meter before them.

The storage carries out its order by itself: it keeps its power, or follows the load so that the import stays where it
was told, within its rating and in the direction of the order, until the order ends. Energies are closed forms from the
last change; a change is an order or its end, other sun, a mark of the rack's grid, and the instant at which the storage
is full or empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from battery_bms.port import StorageOrder
from sim.plant.rack import US_PER_S, Rack
from swap.config.station_file import SiteSection, SiteStorageSection

REST = StorageOrder(0.0)
LEVEL_TOLERANCE_KWH = 1e-6
"""So near to full or empty the storage is so."""


@dataclass(slots=True)
class SiteTruth:
    """Sun, storage and meter. Energies are those at `since_us`."""

    rack: Rack
    storage: SiteStorageSection | None = None
    pv_kw: float = 0.0
    energy_kwh: float = 0.0
    """Stored; it starts empty."""
    order: StorageOrder = REST
    order_until_us: int | None = None
    """When the order ends by itself unless it is given again; None for one that does not."""
    silent: bool = False
    """Storage and photovoltaics do not answer, by a fault."""
    dead: bool = False
    """The storage neither answers nor gives or takes anything, by a fault."""
    import_kwh: float = 0.0
    export_kwh: float = 0.0
    since_us: int = 0
    gross_kwh: float = 0.0
    """What chargers and base load had taken at `since_us`."""
    gross_kw: float = 0.0
    """What they took then."""
    held_kw: float = 0.0
    """What the chargers were driven with then: another sum is a change."""

    @classmethod
    def from_config(cls, site: SiteSection, rack: Rack) -> SiteTruth:
        """The site of a station file, at night and with its storage empty."""
        return cls(rack, site.storage)

    # What flows now

    def storage_kw(self, now_us: int) -> float:
        """Charge (positive) or discharge (negative) of the storage at its grid side, kW."""
        return self._storage_kw(self._energy_kwh(now_us), self.rack.import_kw(now_us))

    def import_kw(self, now_us: int) -> float:
        """At the meter, kW; below 0 while the site exports."""
        need_kw = self.rack.import_kw(now_us) - self.pv_kw
        return need_kw + self._storage_kw(self._energy_kwh(now_us), need_kw + self.pv_kw)

    def stored_kwh(self, now_us: int) -> float:
        """Energy in the storage."""
        return self._energy_kwh(now_us)

    def counters_kwh(self, now_us: int) -> tuple[float, float]:
        """Cumulative import and export at the meter. Within a span only their difference is told apart by its sign."""
        grid_kwh = self._grid_kwh(now_us)
        return self.import_kwh + max(grid_kwh, 0.0), self.export_kwh + max(-grid_kwh, 0.0)

    # What changes it

    def settle(self, now_us: int) -> None:
        """Make this instant the last change."""
        energy_kwh = self._energy_kwh(now_us)
        self.import_kwh, self.export_kwh = self.counters_kwh(now_us)
        self.energy_kwh, self.since_us, self.gross_kwh = energy_kwh, now_us, self.rack.import_meter_kwh(now_us)
        self.gross_kw, self.held_kw = self.rack.import_kw(now_us), self._held_now_kw()

    def look(self, now_us: int, *, mark: bool) -> None:
        """Settle where the chargers are driven otherwise than at the last change, at a mark, when full or empty, and
        when the order ends: the storage then rests."""
        due_us = self.next_us()
        if mark or (due_us is not None and due_us <= now_us) or self._held_now_kw() != self.held_kw:
            self.settle(now_us)
        if self.order_until_us is not None and self.order_until_us <= now_us:
            self.command(REST, now_us)

    def set_pv_kw(self, power_kw: float, now_us: int) -> None:
        """The sun changes."""
        self.settle(now_us)
        self.pv_kw = power_kw

    def command(self, order: StorageOrder, now_us: int, expires_s: float | None = None) -> None:
        """The storage gets an order, or the one that it has once more.

        Args:
            expires_s: station seconds after which it ends by itself; None: it does not.
        """
        if order != self.order:
            self.settle(now_us)
            self.order = order
        self.order_until_us = None
        if expires_s is not None and order != REST:
            self.order_until_us = now_us + round(expires_s * US_PER_S)

    def die(self, dead: bool, now_us: int) -> None:
        """The storage dies, or works again; what it was ordered is forgotten."""
        self.command(REST, now_us)
        self.dead = dead

    def next_us(self) -> int | None:
        """When the storage will be full or empty, as it works at the last change, or its order ends; None when it
        rests."""
        times = (self._level_us(), self.order_until_us)
        return min((time for time in times if time is not None), default=None)

    def _level_us(self) -> int | None:
        if self.storage is None:
            return None
        power_kw = self._storage_kw(self.energy_kwh, self.gross_kw)
        if power_kw == 0.0:
            return None
        one_way = self.storage.one_way_efficiency
        left_kwh = self.storage.energy_kwh - self.energy_kwh if power_kw > 0 else self.energy_kwh
        rate_kw = power_kw * one_way if power_kw > 0 else -power_kw / one_way
        return self.since_us + max(round(left_kwh / rate_kw * 3600 * US_PER_S), 1)

    # Inside

    def _storage_kw(self, energy_kwh: float, gross_kw: float) -> float:
        section, order = self.storage, self.order
        if section is None or order.power_kw == 0.0 or self.dead:
            return 0.0
        wanted_kw = order.power_kw
        if order.hold_import_kw is not None:
            wanted_kw = order.hold_import_kw - (gross_kw - self.pv_kw)
        if order.power_kw > 0:
            full = energy_kwh >= section.energy_kwh - LEVEL_TOLERANCE_KWH
            return 0.0 if full else min(max(wanted_kw, 0.0), section.power_kw)
        return 0.0 if energy_kwh <= LEVEL_TOLERANCE_KWH else max(min(wanted_kw, 0.0), -section.power_kw)

    def _taken_kwh(self, now_us: int) -> float:
        """What the storage has taken (below 0: given) at its grid side since the last change."""
        section, hours = self.storage, (now_us - self.since_us) / US_PER_S / 3600.0
        if section is None or hours <= 0.0:
            return 0.0
        power_kw = self._storage_kw(self.energy_kwh, self.gross_kw)
        if power_kw == 0.0:
            return 0.0
        taken_kwh, order = power_kw * hours, self.order
        if order.hold_import_kw is not None and abs(power_kw) < section.power_kw:
            taken_kwh = order.hold_import_kw * hours - (self._gross_since_kwh(now_us) - self.pv_kw * hours)
        most_kwh = section.power_kw * hours
        one_way = section.one_way_efficiency
        if order.power_kw > 0:
            return min(max(taken_kwh, 0.0), most_kwh, (section.energy_kwh - self.energy_kwh) / one_way)
        return max(min(taken_kwh, 0.0), -most_kwh, -self.energy_kwh * one_way)

    def _held_now_kw(self) -> float:
        return sum(bay.held_kw for bay in self.rack.bays.values())

    def _gross_since_kwh(self, now_us: int) -> float:
        return self.rack.import_meter_kwh(now_us) - self.gross_kwh

    def _energy_kwh(self, now_us: int) -> float:
        if self.storage is None:
            return 0.0
        taken_kwh, one_way = self._taken_kwh(now_us), self.storage.one_way_efficiency
        return self.energy_kwh + (taken_kwh * one_way if taken_kwh > 0 else taken_kwh / one_way)

    def _grid_kwh(self, now_us: int) -> float:
        hours = (now_us - self.since_us) / US_PER_S / 3600.0
        return self._gross_since_kwh(now_us) - self.pv_kw * hours + self._taken_kwh(now_us)

    # Snapshot

    def snapshot(self) -> dict[str, Any]:
        """Everything that changes, as JSON."""
        order = {"power_kw": self.order.power_kw, "hold_import_kw": self.order.hold_import_kw}
        ends = {"order": order, "order_until_us": self.order_until_us}
        return {name: getattr(self, name) for name in _FIELDS} | ends | {"dead": self.dead}

    def restore(self, data: dict[str, Any]) -> None:
        """Take a snapshot over."""
        for name in _FIELDS:
            setattr(self, name, data[name])
        self.dead = data.get("dead", False)  # a release whose storage could not die
        self.order = StorageOrder(**data["order"])
        # A release whose orders did not end: nobody knows who gave it.
        self.order_until_us = data.get("order_until_us", self.since_us)


_FIELDS = ("pv_kw", "energy_kwh", "silent", "import_kwh", "export_kwh", "since_us", "gross_kwh", "gross_kw", "held_kw")
