"""The sections of the station file (`station.toml`): strict and frozen.

Each room defines the sections it needs; this module joins them.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field

from battery_bms.config import BaySection, MeterSection, PackKindSection, RackDeviceSection
from robotics.config import LaneSection
from scheduler.config import ChargingSection, TariffSection
from scheduler.sections import Identifier, Section


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is no IANA time zone; use a name such as Asia/Shanghai")
    return value


ZoneName = Annotated[str, AfterValidator(_known_zone)]
"""IANA name of a time zone."""


class StationSection(Section):
    """Who the station is."""

    id: Identifier
    name_zh: str
    name_en: str
    timezone: ZoneName = "Asia/Shanghai"
    operator: Identifier = "operator"
    """Party that runs the station and is paid for energy and service."""

    @property
    def zone(self) -> ZoneInfo:
        """The station's time zone."""
        return ZoneInfo(self.timezone)


class SiteSection(Section):
    """The grid connection."""

    transformer_kva: float = Field(gt=0, le=100_000)
    power_factor: float = Field(default=1.0, gt=0.5, le=1)
    contracted_kw: float | None = Field(default=None, gt=0, le=100_000)
    base_load_kw: float = Field(default=30.0, ge=0, le=10_000)
    meter: MeterSection | None = None

    @property
    def grid_limit_kw(self) -> float:
        """The lower of transformer rating × power factor and contracted power."""
        rated_kw = self.transformer_kva * self.power_factor
        return rated_kw if self.contracted_kw is None else min(rated_kw, self.contracted_kw)


class PartySection(Section):
    """A firm that takes part: fleet operator, battery owner or station operator."""

    id: Identifier
    name_zh: str
    name_en: str
    kind: Literal["fleet", "battery_owner", "station_operator"]


class VehicleModelSection(Section):
    """What a vehicle model takes."""

    id: Identifier
    pack_kinds: tuple[Identifier, ...] = Field(min_length=1)
    packs_per_vehicle: int = Field(default=1, ge=1, le=2)
    swap_mode: Literal["top_lift", "side_grab", "chassis"] = "top_lift"


class VehicleSection(Section):
    """One truck known to the station."""

    id: str = Field(min_length=1, max_length=20)
    """Plate or fleet number."""
    tag: int = Field(ge=1, le=4_294_967_295)
    """Number of the tag that the lane reads."""
    model: Identifier
    fleet: Identifier
    packs: tuple[str, ...] = ()
    """Codes of the packs installed when the database is first filled, in seat order."""


class PackSection(Section):
    """One pack known when the database is first filled."""

    id: str = Field(pattern=r"^[0-9A-Z]{24}$")
    """GB/T 34014 code."""
    kind: Identifier
    owner: Identifier
    bay: Identifier | None = None
    """Bay it starts in; None when it starts on a vehicle or off site."""
    soc_pct: float = Field(default=95.0, ge=0, le=100)
    soh_pct: float = Field(default=100.0, gt=0, le=100)


class BillingSection(Section):
    """How a swap is billed (standards.md 8.3: energy = lsoe − usoe)."""

    basis: Literal["soe_difference"] = "soe_difference"
    energy_price: Literal["tariff_at_swap"] = "tariff_at_swap"
    service_price_yuan_per_kwh: Decimal = Field(default=Decimal("0.40"), ge=0, le=10, decimal_places=4)
    reading_wait_s: float = Field(default=600.0, ge=0, le=86_400)
    """How long a bill waits for the reading of the pack given back; then it is issued with 0 kWh and flagged."""


class BookingSection(Section):
    """Rules of booked windows. A booking holds capacity for one swap with any matching pack, not a certain pack."""

    slot_min: int = Field(default=15, ge=5, le=60, multiple_of=5)
    """Grid on which capacity is counted, minutes."""
    nominal_swap_s: float = Field(default=360.0, gt=0, le=3600)
    """Time one lane needs for one truck, calling in and driving out included."""
    capacity_per_slot: int | None = Field(default=None, ge=1, le=1000)
    """Swaps the station promises in a slot; None works it out from lanes and `nominal_swap_s`."""
    min_window_min: int = Field(default=15, ge=5, le=1440)
    max_window_min: int = Field(default=240, ge=5, le=1440)
    horizon_h: int = Field(default=168, ge=1, le=8760)
    """How far ahead a window may end."""
    early_grace_min: int = Field(default=30, ge=0, le=720)
    """A truck this much before its window may still use it."""
    late_grace_min: int = Field(default=30, ge=0, le=720)
    """A truck this much after its window may still use it; then the booking expires."""


class OperationSection(Section):
    """Times of the controller that are station policy."""

    vehicle_wait_s: float = Field(default=300.0, gt=0, le=7200)
    """A truck called into the lane and not in position after this long gives its place up."""
    max_identify_s: float = Field(default=60.0, gt=0, le=600)
    """A pack set down whose BMS does not answer within this is quarantined."""


class StationConfig(Section):
    """The whole station file."""

    devices: Literal["simulated", "real"] = "simulated"
    station: StationSection
    site: SiteSection
    charging: ChargingSection = ChargingSection()
    tariff: TariffSection = TariffSection()
    billing: BillingSection = BillingSection()
    bookings: BookingSection = BookingSection()
    operation: OperationSection = OperationSection()
    pack_kinds: tuple[PackKindSection, ...] = Field(min_length=1)
    vehicle_models: tuple[VehicleModelSection, ...] = Field(min_length=1)
    rack_devices: tuple[RackDeviceSection, ...] = Field(min_length=1)
    lanes: tuple[LaneSection, ...] = Field(min_length=1)
    bays: tuple[BaySection, ...] = Field(min_length=2)
    parties: tuple[PartySection, ...] = Field(min_length=1)
    vehicles: tuple[VehicleSection, ...] = ()
    packs: tuple[PackSection, ...] = ()
    scenario: str | None = None
    """Scenario file whose demand the simulated trucks follow, relative to the station file."""
    folder: Path | None = Field(default=None, exclude=True)
    """Where relative paths start; set by `load_station`, not written in the file."""

    def pack_kind(self, kind: str) -> PackKindSection:
        """The pack kind of an id; KeyError for an unknown one."""
        for item in self.pack_kinds:
            if item.id == kind:
                return item
        raise KeyError(kind)

    def vehicle_model(self, model: str) -> VehicleModelSection:
        """The vehicle model of an id; KeyError for an unknown one."""
        for item in self.vehicle_models:
            if item.id == model:
                return item
        raise KeyError(model)

    def bay(self, bay_id: str) -> BaySection:
        """The bay of an id; KeyError for an unknown one."""
        for item in self.bays:
            if item.id == bay_id:
                return item
        raise KeyError(bay_id)

    def rack_device(self, device_id: str) -> RackDeviceSection:
        """The rack device of an id; KeyError for an unknown one."""
        for item in self.rack_devices:
            if item.id == device_id:
                return item
        raise KeyError(device_id)
