"""The sections of the station file (`station.toml`): strict and frozen.

Each room defines the sections it needs; this module joins them.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from battery_bms.config import (
    CHARGER_EFFICIENCY,
    BaySection,
    ChargerEfficiency,
    MeterSection,
    PackKindSection,
    PvPlantSection,
    RackDeviceSection,
    StorageDeviceSection,
)
from robotics.config import LaneSection
from robotics.port import SEATS, VEHICLE_SECURED, Signal
from scheduler.config import ChargingSection, TariffSection
from scheduler.response.programme import ProgrammeSection
from scheduler.sections import Identifier, Section
from scheduler.site import DrEventSection, StorageSection
from swap.config.billing_section import BillingSection
from swap.zones import zone_names


def _known_zone(value: str) -> str:
    if value not in zone_names():
        raise ValueError(f"{value!r} is no IANA time zone; use a name such as Asia/Shanghai")
    return value


ZoneName = Annotated[str, AfterValidator(_known_zone)]
"""IANA name of a time zone."""


class StationSection(Section):
    """Who the station is."""

    id: Identifier
    """Name in rows, events and addresses; it never changes."""
    name_zh: str
    """Name in Chinese."""
    name_en: str
    """Name in English."""
    timezone: ZoneName = "Asia/Shanghai"
    """IANA time zone of local times and price periods."""
    operator: Identifier = "operator"
    """Party that runs the station and is paid for energy and service."""

    @property
    def zone(self) -> ZoneInfo:
        """The station's time zone."""
        return ZoneInfo(self.timezone)


class SiteStorageSection(StorageSection, StorageDeviceSection):
    """Stationary storage on site."""

    energy_kwh: float = Field(gt=0, le=1_000_000)
    """What it can hold and give back, at its cells."""
    power_kw: float = Field(gt=0, le=100_000)
    """Rating at the grid's side, both ways."""
    efficiency: float = Field(default=0.9, gt=0.5, le=1)
    """Round trip; half of the loss falls to each way."""
    reserve_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the energy that is kept for times at which the import limit binds, and bought at any price."""


class SiteSection(Section):
    """The grid connection."""

    transformer_kva: float = Field(gt=0, le=100_000)
    """Rating of the transformer."""
    power_factor: float = Field(default=1.0, gt=0.5, le=1)
    """Of the whole site; rating × power factor is what it carries."""
    contracted_kw: float | None = Field(default=None, gt=0, le=100_000)
    """Contracted power; the lower of it and the transformer is the grid limit."""
    base_load_kw: float = Field(default=30.0, ge=0, le=10_000)
    """The station's own supplies, always kept and never measured apart: without a meter it is what is counted."""
    charger_efficiency: ChargerEfficiency = CHARGER_EFFICIENCY
    """DC output of the chargers ÷ their AC input; assumed 0.94 where it is not given. Take it from the charger's data
    sheet at the load it runs at, or from both meters."""
    meter: MeterSection | None = None
    """Meter at the point of common coupling; without it the import is reckoned from set-points."""
    pv: PvPlantSection | None = None
    """Photovoltaics behind the meter."""
    storage: SiteStorageSection | None = None
    """Stationary storage behind the meter."""
    demand_response: tuple[DrEventSection, ...] = ()
    """Import limits that the station has accepted, each on every day of its months."""

    @property
    def grid_limit_kw(self) -> float:
        """The lower of transformer rating × power factor and contracted power."""
        rated_kw = self.transformer_kva * self.power_factor
        return rated_kw if self.contracted_kw is None else min(rated_kw, self.contracted_kw)


class PartySection(Section):
    """A firm or authority that takes part."""

    id: Identifier
    """Name of the firm."""
    name_zh: str
    """Name in Chinese."""
    name_en: str
    """Name in English."""
    kind: Literal["fleet", "battery_owner", "station_operator", "energy_seller", "supervisor", "platform"]
    """What it does: runs trucks, owns packs, runs the station, sells energy, supervises, or runs a platform."""


NEVER_LEFT_OUT = frozenset({Signal.VEHICLE_PRESENT, Signal.VEHICLE_IN_POSITION, Signal.HANDBRAKE_ON})
"""Without these nobody knows that a vehicle stands still: no model may do without."""


def _secured(value: tuple[Signal, ...]) -> tuple[Signal, ...]:
    other = [fact.value for fact in value if fact not in VEHICLE_SECURED]
    if other:
        allowed = ", ".join(fact.value for fact in VEHICLE_SECURED)
        raise ValueError(f"{other[0]} says nothing of how a vehicle is secured; allowed {allowed}")
    lacking = sorted(NEVER_LEFT_OUT - set(value))
    if lacking:
        raise ValueError(f"{', '.join(lacking)} cannot be left out: it tells that the vehicle stands still")
    return value


SecuredFacts = Annotated[tuple[Signal, ...], AfterValidator(_secured)]
"""Facts that tell a vehicle secured."""


class SecuredSection(Section):
    """What must be so while a vehicle of this model is worked on: from the first UNLOCK until the robot is home and
    the locks are closed. Each phase asks everything unless the maker of the vehicle says that it cannot be so."""

    exchange: SecuredFacts = VEHICLE_SECURED
    """While packs are taken off and put on."""
    locking: SecuredFacts = VEHICLE_SECURED
    """While its heads close."""
    accepting: SecuredFacts = VEHICLE_SECURED
    """While its controller looks at the new pack; one that needs high voltage for that leaves `hv_off` out."""
    leaving: SecuredFacts = VEHICLE_SECURED
    """While the robot goes home."""


class VehicleModelSection(Section):
    """What a vehicle model takes."""

    id: Identifier
    """Name of the model."""
    pack_kinds: tuple[Identifier, ...] = Field(min_length=1)
    """Kinds of packs that it takes."""
    packs_per_vehicle: int = Field(default=1, ge=1, le=SEATS[-1])
    """Packs that a swap exchanges."""
    swap_mode: Literal["top_lift", "side_grab", "chassis"] = "top_lift"
    """How the pack comes off; the recipe of a lane serves one mode."""
    secured: SecuredSection = SecuredSection()
    """What must be so while it is worked on."""


class VehicleSection(Section):
    """One truck known to the station."""

    id: str = Field(min_length=1, max_length=20)
    """Plate or fleet number."""
    tag: int = Field(ge=1, le=4_294_967_295)
    """Number of the tag that the lane reads."""
    model: Identifier
    """Its vehicle model."""
    fleet: Identifier
    """The fleet that pays."""
    packs: tuple[str, ...] = ()
    """Codes of the packs installed when the database is first filled, in seat order."""


class PackSection(Section):
    """One pack known when the database is first filled."""

    id: str = Field(pattern=r"^[0-9A-Z]{24}$")
    """GB/T 34014 code."""
    kind: Identifier
    """Its kind."""
    owner: Identifier
    """The battery owner."""
    bay: Identifier | None = None
    """Bay it starts in; None when it starts on a vehicle or off site."""
    soc_pct: float = Field(default=95.0, ge=0, le=100)
    """State of charge until its BMS is heard."""
    soh_pct: float = Field(default=100.0, gt=0, le=100)
    """State of health: capacity now ÷ rated."""


class BookingSection(Section):
    """Rules of booked windows. A booking holds a lane's time and packs of its kinds, not a certain pack."""

    slot_min: int = Field(default=15, ge=5, le=60, multiple_of=5)
    """Grid on which capacity is counted, minutes."""
    nominal_swap_s: float = Field(default=360.0, gt=0, le=3600)
    """Time one lane needs for one truck, calling in and driving out included."""
    capacity_per_slot: int | None = Field(default=None, ge=1, le=1000)
    """Swaps the station promises in a slot; None works it out from lanes and `nominal_swap_s`."""
    min_window_min: int = Field(default=15, ge=5, le=1440)
    """Shortest window that can be booked."""
    max_window_min: int = Field(default=240, ge=5, le=1440)
    """Longest window that can be booked."""
    horizon_h: int = Field(default=168, ge=1, le=8760)
    """How far ahead a window may end."""
    early_grace_min: int = Field(default=30, ge=0, le=720)
    """A truck this much before its window may still use it."""
    late_grace_min: int = Field(default=30, ge=0, le=720)
    """A truck this much after its window may still use it; then the booking expires."""
    hold_before_min: int = Field(default=15, ge=0, le=720)
    """From this long before a window opens until it closes, charged packs are kept from walk-ins for it."""
    per_vehicle_max: int = Field(default=24, ge=1, le=1000)
    """Open bookings that a truck may have; their windows do not overlap."""
    alternative_keep_s: int = Field(default=60, ge=0, le=3600)
    """So long an alternative is kept for the one to whom it was offered, seconds."""
    disrupted_keep_min: int = Field(default=15, ge=0, le=1440)
    """The same for the holder of a promise that cannot be kept, minutes."""
    hold_expected_min: int = Field(default=60, ge=5, le=1440)
    """A hold, manual mode or the procedure for a hot pack is expected to end after this, and where it does not, after
    as long again; no window that opens before is promised (assumed)."""
    closed_expected_min: int = Field(default=1440, ge=5, le=10_080)
    """The same for a station that is closed, or whose fire system has released (assumed)."""
    return_soc_pct: float = Field(default=20.0, ge=0, le=100)
    """State of charge with which packs come back, from which the time is reckoned until they can be promised again
    (assumed)."""
    no_show_fee_yuan: Decimal = Field(default=Decimal(0), ge=0, le=100_000, decimal_places=2)
    """Owed by the fleet for a booking whose truck does not come, tax included; a contract may say otherwise."""
    no_show_tax_rate: Decimal = Field(default=Decimal("0.06"), ge=0, le=1, decimal_places=4)
    """Tax in that fee (assumed)."""


IncomingRule = Literal["refuse", "quarantine"]


class IncomingSection(Section):
    """What becomes of a truck's own pack that is judged unfit before its locks are opened, where the cell's register
    map carries what the truck tells of it: "refuse" leaves it on the truck, which leaves as it came; "quarantine" takes
    it off and sets it down in a free quarantine bay, blocked with its bay until a person releases both. Where no such
    bay is free, and where something is not known, it stays on the truck."""

    wrong_code: IncomingRule = "refuse"
    """Its code is another than the one on record."""
    hot: IncomingRule = "refuse"
    """At its limit of temperature or above."""
    alarm: IncomingRule = "refuse"
    """With an alarm of level 2 or 3."""
    leak: IncomingRule = "refuse"
    """Leaking."""

    @property
    def quarantined_for(self) -> frozenset[str]:
        """Facts of the swap's steps whose lack sends the pack into quarantine."""
        rules = {
            "incoming_code": self.wrong_code,
            "incoming_cool": self.hot,
            "incoming_no_alarm": self.alarm,
            "incoming_tight": self.leak,
        }
        return frozenset(name for name, rule in rules.items() if rule == "quarantine")


class OperationSection(Section):
    """Times of the controller that are station policy."""

    vehicle_wait_s: float = Field(default=300.0, gt=0, le=7200)
    """A truck called into the lane and not in position after this long gives its place up."""
    max_identify_s: float = Field(default=60.0, gt=0, le=600)
    """A pack set down whose BMS does not answer within this is quarantined."""
    incoming: IncomingSection = IncomingSection()
    """What becomes of a truck's own pack that is not fit to be taken."""
    person_names: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(default=(), max_length=200)
    """People who may ask, confirm and acknowledge, by name; with none listed everybody whose roles allow it. A hold
    goes through under every name and none."""


class CommerceSection(Section):
    """What trucks need before they are swapped."""

    contract_required: bool = False
    """A truck without a lease contract is not served; otherwise it swaps packs of its own fleet, or on the spot."""


class RetentionSection(Section):
    """How long samples of the site's power are kept as they were taken, and answers under the callers' keys. Nothing
    else is thinned: the journal is kept whole, or archived by a person (`swap db archive`)."""

    samples_full_days: int = Field(default=60, ge=1, le=36_500)
    """Days for which every sample is kept; then they become means of a minute."""
    samples_minute_days: int = Field(default=400, ge=1, le=36_500)
    """Days for which means of a minute are kept; then they become means of a quarter of an hour."""
    answers_hours: int = Field(default=24, ge=1, le=8760)
    """Real hours for which a request with an `Idempotency-Key` is answered as it was the first time."""


class StationConfig(Section):
    """The whole station file."""

    devices: Literal["simulated", "real"] = "simulated"
    """With "real" the addresses below are your PLC, chargers and meter; with "simulated" the program starts its own."""
    station: StationSection
    """Who the station is."""
    site: SiteSection
    """The grid connection."""
    charging: ChargingSection = ChargingSection()
    """Charging policy."""
    tariff: TariffSection = TariffSection()
    """Price of electricity."""
    billing: BillingSection = BillingSection()
    """How a swap is billed."""
    bookings: BookingSection = BookingSection()
    """Rules of booked windows."""
    commerce: CommerceSection = CommerceSection()
    """What trucks need."""
    operation: OperationSection = OperationSection()
    """Times that are station policy."""
    retention: RetentionSection = RetentionSection()
    """How long samples of power are kept as they were taken, and answers."""
    pack_kinds: tuple[PackKindSection, ...] = Field(min_length=1)
    """Kinds of packs."""
    vehicle_models: tuple[VehicleModelSection, ...] = Field(min_length=1)
    """Vehicle models."""
    rack_devices: tuple[RackDeviceSection, ...] = Field(min_length=1)
    """Modbus endpoints of chargers and BMS."""
    lanes: tuple[LaneSection, ...] = Field(min_length=1)
    """Lanes with their robot cells."""
    bays: tuple[BaySection, ...] = Field(min_length=2)
    """Bays of the rack."""
    parties: tuple[PartySection, ...] = Field(min_length=1)
    """Firms that take part."""
    vehicles: tuple[VehicleSection, ...] = ()
    """Trucks known at the first start."""
    packs: tuple[PackSection, ...] = ()
    """Packs known at the first start."""
    programmes: tuple[ProgrammeSection, ...] = ()
    """Programmes of demand response that the station takes part in."""
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

    def transfer_bays(self, lane_id: str) -> list[str]:
        """Transfer bays that a lane's robot reaches, by position."""
        found = [bay for bay in self.bays if bay.role == "transfer" and (not bay.lanes or lane_id in bay.lanes)]
        return [bay.id for bay in sorted(found, key=lambda bay: bay.position)]

    def rack_device(self, device_id: str) -> RackDeviceSection:
        """The rack device of an id; KeyError for an unknown one."""
        for item in self.rack_devices:
            if item.id == device_id:
                return item
        raise KeyError(device_id)
