"""Packs, bays, chargers and the site meter as they truly are.

A pack is in exactly one place, a place holds at most one pack; `Rack.move` is the only way a pack gets
from one to another. Places are written as within a station (`swap.places`): ``bay:A1``, ``vehicle:YQ-001:1``,
``gripper:L1``, ``tank`` and ``off_site`` (which holds any number).

On a truck and for the minute in the gripper a pack keeps its temperature, elsewhere it takes on that of the room.
Energy and temperature are closed forms from the last change (`battery_bms.pack`), so reading them, and the
length of the steps by which time advances, changes nothing. A *change* is a new set-point, a move, a fault,
or a mark of the internal grid on which the temperature limits of charging are judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from battery_bms import pack as physics
from battery_bms.config import BaySection
from battery_bms.pack import PackSpec, spec_from_section
from swap.config.station_file import StationConfig
from swap.places import OFF_SITE, TANK, bay_place, vehicle_place

US_PER_S = 1_000_000
START_TEMP_C = 20.0
TEMP_MAX_C = 900.0
"""A pack that burns gets no hotter; about the flame temperature of vented electrolyte, assumed."""
GRID_US = 30 * US_PER_S
"""Temperature limits of charging are judged this often while a charger runs."""
FINE_GRID_US = US_PER_S
"""… and this often while a pack heats by a fault."""

_WARM_C, _HOT_C, _STOP_C = 45.0, 50.0, 55.0
_RUNAWAY_C_PER_S = 1.0
"""Rise rate of standards 6.4 that counts as a thermal event."""
BIT_HIGH_TEMPERATURE, BIT_INSULATION, BIT_THERMAL_EVENT = 1, 11, 23
_INSULATION_OHM_PER_V = 1000.0
_KEEP_WARM = ("vehicle:", "gripper:")
"""A truck heats and cools its pack itself; a minute in the gripper is no matter."""


class PlantError(Exception):
    """Asked for something that cannot be: a place taken, a name unknown, a truck that is not there."""


@dataclass(slots=True)
class PackTruth:
    """One pack. Energy and temperature are those at `since_us`; ask the rack for the present ones."""

    code: str
    kind: str
    spec: PackSpec
    soh_pct: float
    energy_kwh: float
    temp_c: float = START_TEMP_C
    since_us: int = 0
    place: str = OFF_SITE
    heat_c_per_s: float = 0.0
    """Extra heating by a fault."""
    heat_since_us: int = 0
    alarm_level: int = 0
    """Least alarm level, by a fault."""
    alarm_bits: int = 0
    insulation_ohm_per_v: float = _INSULATION_OHM_PER_V
    leaks: bool = False
    discharged_kwh: float = 0.0
    """Given on vehicles since the plant began."""


@dataclass(slots=True)
class BayTruth:
    """One bay and its charger; `meter_kwh` is that at the last change of the pack in it."""

    section: BaySection
    setpoint_kw: float = 0.0
    held_kw: float = 0.0
    """Output the charger is driven with since the pack's last change; the pack's taper lowers it."""
    meter_kwh: float = 0.0
    charger_fault: int = 0
    ignores_setpoint: bool = False
    bms_silent: bool = False
    false_code: str = ""
    """Code the BMS gives instead of the true one, by a fault."""
    false_occupied: bool | None = None
    """What the occupancy sensor says instead of the truth, by a fault."""


@dataclass(frozen=True, slots=True)
class TruthNow:
    """A pack at one instant."""

    energy_kwh: float
    soc_pct: float
    temp_c: float
    charge_kw: float
    drawn_kwh: float
    """Drawn from the charger since the last change."""
    alarm_level: int
    alarm_bits: int


@dataclass(slots=True)
class Rack:
    """All packs by code and all bays by id."""

    packs: dict[str, PackTruth]
    bays: dict[str, BayTruth]
    base_load_kw: float
    charger_efficiency: float
    """DC output of the chargers ÷ what they draw from the grid, whatever their load."""
    ambient_c: float = START_TEMP_C
    fed: bool = True
    """The feeder of the chargers carries voltage."""
    import_kwh: float = 0.0
    """Site meter at `import_since_us`, without what runs chargers have drawn since their last change."""
    import_since_us: int = 0
    charged_kwh: float = 0.0
    """Sum of the chargers' DC output up to their last change."""
    holders: dict[str, str] = field(default_factory=dict)
    """Pack by place; derived from the packs' own places."""

    @classmethod
    def from_config(cls, config: StationConfig) -> Rack:
        """Every pack where the station file puts it at the first start."""
        specs = {kind.id: spec_from_section(kind) for kind in config.pack_kinds}
        seats = {
            code: vehicle_place(vehicle.id, index)
            for vehicle in config.vehicles
            for index, code in enumerate(vehicle.packs, start=1)
        }
        site = config.site
        rack = cls({}, {bay.id: BayTruth(bay) for bay in config.bays}, site.base_load_kw, site.charger_efficiency)
        for item in config.packs:
            spec = specs[item.kind]
            energy = physics.energy_at_soc_kwh(item.soc_pct, spec, item.soh_pct)
            truth = PackTruth(item.id, item.kind, spec, item.soh_pct, energy)
            truth.place = bay_place(item.bay) if item.bay else seats.get(item.id, OFF_SITE)
            rack.packs[item.id] = truth
        rack.index()
        return rack

    def index(self) -> None:
        """Derive the holders from the packs. Raises PlantError for two packs in one place."""
        self.holders.clear()
        for truth in self.packs.values():
            if truth.place == OFF_SITE:
                continue
            other = self.holders.setdefault(truth.place, truth.code)
            if other != truth.code:
                raise PlantError(f"{truth.place} holds both {other} and {truth.code}")

    def at(self, place: str) -> PackTruth | None:
        """The pack in a place."""
        code = self.holders.get(place)
        return None if code is None else self.packs[code]

    def bay(self, bay_id: str) -> BayTruth:
        """A bay. Raises PlantError for an unknown one."""
        if bay_id not in self.bays:
            raise PlantError(f"no bay {bay_id!r}; known: {', '.join(self.bays)}")
        return self.bays[bay_id]

    def pack(self, code: str) -> PackTruth:
        """A pack. Raises PlantError for an unknown one."""
        if code not in self.packs:
            raise PlantError(f"no pack {code!r}")
        return self.packs[code]

    def move(self, code: str, place: str, now_us: int) -> None:
        """Bring a pack to another place. Raises PlantError when that place is taken."""
        truth = self.pack(code)
        if place == truth.place:
            return
        if place != OFF_SITE and place in self.holders:
            raise PlantError(f"{place} holds {self.holders[place]}; {code} cannot be set down there")
        left = self._bay_at(truth.place)
        self.settle(truth, now_us)
        if truth.place != OFF_SITE:
            del self.holders[truth.place]
        truth.place = place
        if place != OFF_SITE:
            self.holders[place] = code
        for bay in (left, self._bay_at(place)):
            if bay is not None:  # the connector opens or closes: what was asked before is not for this pack
                bay.setpoint_kw = 0.0
                bay.held_kw = 0.0
        self.settle(truth, now_us)

    # Energy and temperature

    def now(self, truth: PackTruth, now_us: int) -> TruthNow:
        """A pack at an instant at or after its last change; changes nothing."""
        dt_s = (now_us - truth.since_us) / US_PER_S
        bay = self._bay_at(truth.place)
        held_kw = 0.0 if bay is None else bay.held_kw
        around_c = truth.temp_c if truth.place.startswith(_KEEP_WARM) else self.ambient_c
        step = physics.advance(truth.spec, truth.soh_pct, truth.energy_kwh, truth.temp_c, held_kw, around_c, dt_s)
        temp_c = min(step.temp_c + truth.heat_c_per_s * dt_s, TEMP_MAX_C)
        level, bits = self._alarm(truth, temp_c, now_us)
        return TruthNow(
            energy_kwh=step.energy_kwh,
            soc_pct=physics.soc_pct(step.energy_kwh, truth.spec, truth.soh_pct),
            temp_c=temp_c,
            charge_kw=physics.charge_kw(truth.spec, truth.soh_pct, step.energy_kwh, held_kw),
            drawn_kwh=step.drawn_kwh,
            alarm_level=level,
            alarm_bits=bits,
        )

    def settle(self, truth: PackTruth, now_us: int) -> None:
        """Make this instant the last change of a pack, and of its charger where it has one."""
        now = self.now(truth, now_us)
        truth.energy_kwh, truth.temp_c, truth.since_us = now.energy_kwh, now.temp_c, now_us
        bay = self._bay_at(truth.place)
        if bay is not None:
            bay.meter_kwh += now.drawn_kwh
            bay.held_kw = self._held_kw(bay, truth, now)
            self.charged_kwh += now.drawn_kwh
            self.import_kwh += now.drawn_kwh / self.charger_efficiency

    def settle_all(self, now_us: int) -> None:
        """Make this instant the last change of every pack."""
        for truth in self.packs.values():
            self.settle(truth, now_us)

    def settle_bay(self, bay_id: str, now_us: int) -> None:
        """Make this instant the last change of the pack in a bay."""
        truth = self.at(bay_place(bay_id))
        if truth is not None:
            self.settle(truth, now_us)
        else:
            self.bay(bay_id).held_kw = 0.0

    def set_charge_kw(self, bay_id: str, power_kw: float, now_us: int) -> None:
        """Give a charger its set-point; one that ignores set-points keeps its old one."""
        bay = self.bay(bay_id)
        if not bay.ignores_setpoint and power_kw != bay.setpoint_kw:
            bay.setpoint_kw = max(power_kw, 0.0)
            self.settle_bay(bay_id, now_us)

    def expire_setpoint(self, bay_id: str, now_us: int) -> None:
        """Let a charger fall to 0 kW by itself, because no set-point came for too long."""
        bay = self.bay(bay_id)
        if bay.setpoint_kw > 0.0:
            bay.setpoint_kw = 0.0
            self.settle_bay(bay_id, now_us)

    def feed(self, fed: bool, now_us: int) -> None:
        """The feeder of the chargers trips, or carries voltage again: then they wait for a new set-point."""
        self.settle_all(now_us)
        self.fed = fed
        for bay in self.bays.values():
            bay.setpoint_kw = 0.0
        self.settle_all(now_us)

    def grid_us(self) -> int | None:
        """Spacing of the grid on which limits are judged now; None when nothing needs judging."""
        if any(truth.heat_c_per_s for truth in self.packs.values()):
            return FINE_GRID_US
        return GRID_US if any(bay.setpoint_kw > 0.0 for bay in self.bays.values()) else None

    def judge(self, now_us: int) -> None:
        """One mark of the grid: packs on a running charger, and those that heat."""
        for bay_id, bay in self.bays.items():
            if bay.setpoint_kw > 0.0:
                self.settle_bay(bay_id, now_us)
        for truth in self.packs.values():
            if truth.heat_c_per_s:
                self.settle(truth, now_us)

    def set_ambient_c(self, ambient_c: float, now_us: int) -> None:
        """Change the temperature around the packs."""
        self.settle_all(now_us)
        self.ambient_c = ambient_c

    # Meters

    def charge_kw(self, bay_id: str, now_us: int) -> float:
        """Output of a bay's charger now."""
        truth = self.at(bay_place(bay_id))
        return 0.0 if truth is None or self.bay(bay_id).held_kw <= 0.0 else self.now(truth, now_us).charge_kw

    def meter_kwh(self, bay_id: str, now_us: int) -> float:
        """Cumulative DC output of a bay's charger."""
        truth = self.at(bay_place(bay_id))
        pending = 0.0 if truth is None else self.now(truth, now_us).drawn_kwh
        return self.bay(bay_id).meter_kwh + pending

    def total_charge_kw(self, now_us: int) -> float:
        """Sum of all chargers' output."""
        return sum(self.charge_kw(bay_id, now_us) for bay_id, bay in self.bays.items() if bay.held_kw > 0.0)

    def import_kw(self, now_us: int) -> float:
        """Power at the point of common coupling: output of the chargers ÷ their efficiency + base load."""
        return self.base_load_kw + self.total_charge_kw(now_us) / self.charger_efficiency

    def import_meter_kwh(self, now_us: int) -> float:
        """Cumulative energy at the point of common coupling."""
        base = self.base_load_kw * (now_us - self.import_since_us) / US_PER_S / 3600.0
        pending = sum(
            self.now(truth, now_us).drawn_kwh
            for bay_id, bay in self.bays.items()
            if bay.held_kw > 0.0 and (truth := self.at(bay_place(bay_id))) is not None
        )
        return self.import_kwh + base + pending / self.charger_efficiency

    # Inside

    def _bay_at(self, place: str) -> BayTruth | None:
        return self.bays.get(place.removeprefix("bay:")) if place.startswith("bay:") else None

    def _held_kw(self, bay: BayTruth, truth: PackTruth, now: TruthNow) -> float:
        """What the charger gives from now on: nothing without its BMS, outside the pack's limits or at level 3."""
        if bay.setpoint_kw <= 0.0 or not self.fed or bay.charger_fault or bay.bms_silent or now.alarm_level >= 3:
            return 0.0
        if physics.allowed_charge_kw(truth.spec, now.soc_pct, now.temp_c) <= 0.0:
            return 0.0
        return min(bay.setpoint_kw, bay.section.charger_kw)

    def _alarm(self, truth: PackTruth, temp_c: float, now_us: int) -> tuple[int, int]:
        level, bits = truth.alarm_level, truth.alarm_bits
        if temp_c >= _WARM_C:
            bits |= 1 << BIT_HIGH_TEMPERATURE
            level = max(level, 3 if temp_c >= _STOP_C else 2 if temp_c >= _HOT_C else 1)
        runaway = truth.heat_c_per_s >= _RUNAWAY_C_PER_S and now_us - truth.heat_since_us >= 3 * US_PER_S
        if runaway:
            bits |= 1 << BIT_THERMAL_EVENT
            level = 3
        if truth.insulation_ohm_per_v < 500.0:
            bits |= 1 << BIT_INSULATION
            low = truth.insulation_ohm_per_v
            level = max(level, 3 if low < 100.0 else 2 if low < 300.0 else 1)
        return level, bits

    # Snapshot

    def snapshot(self) -> dict[str, Any]:
        """Everything that changes, as JSON."""
        packs = {code: {name: getattr(truth, name) for name in _PACK_FIELDS} for code, truth in self.packs.items()}
        bays = {bay_id: {name: getattr(bay, name) for name in _BAY_FIELDS} for bay_id, bay in self.bays.items()}
        site = {name: getattr(self, name) for name in _SITE_FIELDS} | {"fed": self.fed}
        return {"packs": packs, "bays": bays, "site": site}

    def restore(self, data: dict[str, Any], now_us: int) -> None:
        """Take a snapshot over. A pack of the station file that the snapshot does not know stays where the file
        puts it, or goes off site where that place is taken.

        Raises PlantError for a pack in a bay that the file lacks, or a pack on site that the file lacks.
        """
        for bay_id, values in data["bays"].items():
            if bay_id in self.bays:
                _assign(self.bays[bay_id], values, _BAY_FIELDS)
        _assign(self, data["site"], _SITE_FIELDS)
        self.fed = data["site"].get("fed", True)  # a release whose feeder could not trip
        taken: set[str] = set()
        for code, values in data["packs"].items():
            place = _spelled(str(values["place"]))
            if place.startswith("bay:") and self._bay_at(place) is None:
                raise PlantError(f"the snapshot has pack {code} in {place}, which the station file lacks")
            if code in self.packs:
                _assign(self.packs[code], {**values, "place": place}, _PACK_FIELDS)
                taken.add(place)
            elif place != OFF_SITE:
                raise PlantError(f"the snapshot has pack {code} in {place}; the station file has no such pack")
        for code, truth in self.packs.items():
            if code not in data["packs"]:
                truth.since_us = now_us
                if truth.place in taken:
                    truth.place = OFF_SITE
        self.index()


_PACK_FIELDS = (
    "soh_pct",
    "energy_kwh",
    "temp_c",
    "since_us",
    "place",
    "heat_c_per_s",
    "heat_since_us",
    "alarm_level",
    "alarm_bits",
    "insulation_ohm_per_v",
    "leaks",
)
_BAY_FIELDS = (
    "setpoint_kw",
    "held_kw",
    "meter_kwh",
    "charger_fault",
    "ignores_setpoint",
    "bms_silent",
    "false_code",
    "false_occupied",
)
_SITE_FIELDS = ("ambient_c", "import_kwh", "import_since_us", "charged_kwh")


def _spelled(place: str) -> str:
    """A place of a snapshot; those of release 0.1.0 say `seat:YQ-001:1` and `tank:1`."""
    return TANK if place == "tank:1" else place.replace("seat:", "vehicle:", 1)


def _assign(target: object, values: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        setattr(target, name, values[name])
