"""What stands beside the rack in registers: the site meter, photovoltaics, storage."""

from __future__ import annotations

from battery_bms.config import StorageDeviceSection
from battery_bms.port import StorageOrder
from robotics.modbus_link.registers import RegisterMap, Value
from robotics.modbus_link.sunspec import chain_of
from sim.devices.image import SAMPLE_S, Image
from sim.plant.plant import Plant

_MODEL_POWERS = {1: 2, 2: 0, 4: 0}
"""Scale factor that a simulated SunSpec device gives a value of so many registers: 16 bits reach to 3 277 kW."""
_PERCENT_POWER = -1


class SiteImage(Image):
    """A device beside the rack, whose values may stand still by a fault. A SunSpec map becomes a device with its chain.

    Args:
        endpoint: `meter`, `pv` or `storage`.
    """

    def __init__(self, plant: Plant, endpoint: str, base: int, register_map: RegisterMap, now_s: float) -> None:
        super().__init__(plant, endpoint, base, chain_of(register_map) if register_map.sunspec else register_map)
        self._sample_due_s = now_s
        self._counter = 0
        self.show(_scale_factors(self.map))

    @property
    def frozen(self) -> bool:
        """Values and counter stand still, by a fault."""
        return "frozen_values" in self.plant.wire_faults.get(self.endpoint, {})

    def tick(self, now_s: float) -> None:
        """Count samples."""
        while self._sample_due_s <= now_s:
            self._sample_due_s += SAMPLE_S
            if not self.frozen:
                self._counter = (self._counter + 1) & 0xFFFF

    def render(self) -> None:
        """The device now."""
        if not self.frozen:
            self.show({"sample_counter": self._counter} | self.values())

    def values(self) -> dict[str, Value]:
        """What it shows beside its counter."""
        raise NotImplementedError

    def write(self, address: int, words: list[int], now_s: float) -> bool:
        """Nothing can be written to a meter."""
        return False


def _scale_factors(register_map: RegisterMap) -> dict[str, Value]:
    """A power of ten for each scale factor that values of the map have."""
    return {
        entry.scale_from: _PERCENT_POWER if entry.unit == "%" else _MODEL_POWERS[entry.words]
        for entry in register_map.entries.values()
        if entry.scale_from is not None
    }


class MeterUnit(SiteImage):
    """The site meter."""

    def values(self) -> dict[str, Value]:
        """Power and energy at the point of common coupling."""
        reading = self.plant.meter_reading()
        return {
            "import_kw": reading.import_kw,
            "import_kwh": reading.import_kwh,
            "export_kwh": reading.export_kwh,
        }


class PvUnit(SiteImage):
    """The photovoltaics."""

    def values(self) -> dict[str, Value]:
        """Power at their AC side."""
        return {"power_kw": self.plant.site.pv_kw}


class StorageUnit(SiteImage):
    """The stationary storage: an order is taken when its number changes, and ends by itself after real seconds."""

    def __init__(
        self, plant: Plant, section: StorageDeviceSection, base: int, register_map: RegisterMap, now_s: float
    ) -> None:
        super().__init__(plant, "storage", base, register_map, now_s)
        self._now_s = now_s
        self._number = 0
        self._until_s = now_s + section.order_expires_s
        """When the order ends; one that was in force at the start is given a whole term."""

    def tick(self, now_s: float) -> None:
        """Samples, and the end of the order."""
        super().tick(now_s)
        self._now_s = now_s
        if now_s >= self._until_s and self.plant.site.order.power_kw != 0.0:
            self.plant.site.command(StorageOrder(0.0), self.plant.now_us)

    def values(self) -> dict[str, Value]:
        """Energy, power and the order in force."""
        site, now_us = self.plant.site, self.plant.now_us
        stored_kwh, order = site.stored_kwh(now_us), site.order
        capacity_kwh = 0.0 if site.storage is None else site.storage.energy_kwh
        return {
            "power_kw": site.storage_kw(now_us),
            "energy_kwh": stored_kwh,
            "soc_pct": 100.0 * stored_kwh / capacity_kwh if capacity_kwh else None,
            "order_kw": order.power_kw,
            "order_hold_import_kw": order.hold_import_kw,
            "order_counter": self._number,
            "order_left_s": max(0, min(round(self._until_s - self._now_s), 65534)) if order.power_kw else 0,
        }

    def write(self, address: int, words: list[int], now_s: float) -> bool:
        """Take an order; without a number in the map, with each write."""
        if not self.put(address, words):
            return False
        values = self.commands()
        if "cmd_counter" in self.map.entries:
            number = int(values["cmd_counter"] or 0)
            if "cmd_counter" not in self.touched(address, words) or number in (0, self._number):
                return True
            self._number = number
        expires_s = float(values["cmd_expires_s"] or 0)
        held_kw = values.get("cmd_hold_import_kw")
        power_kw = float(values["cmd_power_kw"] or 0) if expires_s else 0.0
        order = StorageOrder(power_kw, None if held_kw is None else float(held_kw))
        self._until_s = now_s + expires_s
        self.plant.site.command(order, self.plant.now_us)
        return True
