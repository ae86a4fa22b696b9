"""The scenario file (`scenario.toml`): who comes for a swap, with what station, at what cost.

Strict like the station file: unknown fields are refused, every problem is listed at once. A scenario
either names a station file (`station = "station.toml"`), whose pack kinds, vehicle models, rack, lanes,
charging policy and tariff it then takes over, or carries them itself in `[equipment]`, `[[pack_kinds]]`
and `[[vehicle_models]]`. `docs/scenarios.md` is the user's guide.

Units are in the names. Hours of a day are local time of `timezone`; `*_by_hour` lists hold 24 values
(00–01 h first), `*_by_weekday` 7 (Monday first), `*_by_month` 12 (January first).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import date, datetime, time
from math import cos, pi
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from battery_bms.config import CHARGER_EFFICIENCY, ChargerEfficiency, PackKindSection
from scheduler.config import ChargingSection, TariffSection
from scheduler.sections import Identifier
from scheduler.site import DrEventSection, StorageSection
from sim.scenario.base import DayHours, Factor, Hours, MonthlyC, ScenarioSection, Share, Yuan
from sim.scenario.life import LifeSection
from sim.scenario.money import FinanceSection, RevenueSection
from sim.scenario.site import PvSection, StaffSection
from sim.scenario.uncertainty import UncertaintySection
from swap.config.station_file import VehicleModelSection, ZoneName


class SocSection(ScenarioSection):
    """State of charge at which trucks come: triangular between `min_pct` and `max_pct`."""

    min_pct: float = Field(default=15.0, ge=0, le=100)
    max_pct: float = Field(default=45.0, ge=0, le=100)
    mode_pct: float | None = Field(default=None, ge=0, le=100)
    """Most frequent value; the middle when not given."""

    @model_validator(mode="after")
    def _ordered(self) -> SocSection:
        if not self.min_pct <= self.peak_pct <= self.max_pct:
            raise ValueError(f"{self.min_pct:g} ≤ {self.peak_pct:g} ≤ {self.max_pct:g} (min, mode, max) does not hold")
        return self

    @property
    def mean_pct(self) -> float:
        """Mean of the triangular distribution."""
        return (self.min_pct + self.peak_pct + self.max_pct) / 3

    @property
    def peak_pct(self) -> float:
        """The most frequent value, %."""
        return (self.min_pct + self.max_pct) / 2 if self.mode_pct is None else self.mode_pct


class TripsSection(ScenarioSection):
    """What a truck does between two swaps; `demand.mode = "fleet"` needs it, and costs per km and tonne."""

    km_loaded: float = Field(gt=0, le=500)
    """Loaded distance of one round trip, km."""
    km_empty: float = Field(ge=0, le=500)
    """Empty distance of one round trip, km."""
    kwh_per_km_loaded: float = Field(gt=0, le=30)
    kwh_per_km_empty: float = Field(ge=-5, le=30)
    """May be below zero where a loaded truck goes downhill and recovers energy."""
    speed_kmh: float = Field(default=35.0, gt=0, le=120)
    """Mean over the round trip."""
    load_unload_min: float = Field(default=20.0, ge=0, le=600)
    """Loading, weighing, tipping and waiting for them, for one round trip, minutes."""
    cv: float = Field(default=0.15, ge=0, le=1)
    """Coefficient of variation of the energy and of the time of a trip."""
    swap_below_pct: float = Field(default=25.0, gt=0, lt=100)
    """The truck comes before a trip that would end below this state of charge."""
    load_t: float | None = Field(default=None, gt=0, le=500)
    """Tonnes carried on a round trip; costs per tonne need it."""


class ShiftSection(ScenarioSection):
    """Hours in which a fleet works."""

    from_hour: float = Field(ge=0, lt=24)
    hours: float = Field(gt=0, le=24)


class FleetSection(ScenarioSection):
    """A fleet that swaps here."""

    id: Identifier
    model: Identifier
    vehicles: int = Field(ge=1, le=5000)
    weight: float | None = Field(default=None, ge=0, le=1e6)
    """Part in the arrivals of the profile, relative to other fleets; its number of trucks when not given."""
    arrive_soc: SocSection = SocSection()
    trips: TripsSection | None = None
    shifts: tuple[ShiftSection, ...] = ()
    """Empty: round the clock."""
    priority: int = Field(default=0, ge=0, le=9)
    """Higher is served first."""


class ConvoySection(ScenarioSection):
    """Trucks that come together, for instance from one shovel."""

    share: Share = 0.0
    """Share of the arrival instants at which a convoy comes instead of one truck."""
    sizes: Mapping[str, Share] = Field(default_factory=lambda: {"2": 0.5, "3": 0.3, "4": 0.2})
    """Probability by number of trucks; the sum is 1."""
    headway_s: float = Field(default=45.0, ge=0, le=3600)
    """Time between two trucks of a convoy, s."""

    @field_validator("sizes")
    @classmethod
    def _distribution(cls, value: Mapping[str, float]) -> Mapping[str, float]:
        for size in value:
            if not (size.isascii() and size.isdigit() and 1 <= int(size) <= 50):
                raise ValueError(f"convoy size {size!r} is no number from 1 to 50")
        if abs(sum(value.values()) - 1) > 1e-6 or not value:
            raise ValueError(f"probabilities add up to {sum(value.values()):g}; they must be 0 or more and add up to 1")
        return value

    @property
    def mean_size(self) -> float:
        """Trucks that come at one arrival instant, on average."""
        convoy = sum(int(size) * p for size, p in self.sizes.items())
        return 1 + self.share * (convoy - 1)


class DemandSection(ScenarioSection):
    """When trucks come."""

    mode: Literal["profile", "fleet", "trace"] = "profile"
    """profile: a rate by hour. fleet: each truck drives its trips and comes when it must. trace: a file."""
    trucks_per_hour_by_hour: DayHours = (0.0,) * 24
    """Mean arrivals in each local hour of an ordinary day (profile)."""
    factor_by_weekday: tuple[Factor, ...] = Field(default=(1.0,) * 7, min_length=7, max_length=7)
    factor_by_month: tuple[Factor, ...] = Field(default=(1.0,) * 12, min_length=12, max_length=12)
    factor: Factor = 1.0
    """On top of all; sensitivity runs set it. Profile: the rate. Fleet: the number of trucks. Trace: of each truck
    so many come, at its instant or within the hour after."""
    follows_cold: bool = True
    """Raise the rate by the extra energy use in the cold: packs are empty sooner (`energy_use`)."""
    convoys: ConvoySection = ConvoySection()
    trace: str | None = Field(default=None, max_length=255)
    """CSV file with the columns `at` (local instant, or seconds from the start), and as far as known
    `fleet`, `vehicle`, `soc_pct`, `booked`; relative to the scenario file (trace)."""
    trace_columns: Mapping[str, str] = Field(default_factory=dict)
    """Heading in the file by column, where it is another: `{ at = "进站时间", soc_pct = "SOC" }`; "": not read."""
    trace_soc_unit: Literal["pct", "share"] = "pct"
    """Unit of the states of charge in the file."""
    trace_numbers: Literal["seconds", "excel"] | None = None
    """What plain numbers in the column `at` are; needed where they can be both, and for dates as Excel counts them."""
    repeat_trace: bool = True
    """Begin anew when the trace ends: its last whole weeks again and again, or all of it if it is shorter than one."""


class EnergyUsePoint(ScenarioSection):
    """Energy use at a temperature, relative to mild weather."""

    temp_c: float = Field(ge=-60, le=60)
    factor: float = Field(gt=0, le=5)


class ClimateSection(ScenarioSection):
    """Outside temperature and what it does."""

    mean_c_by_month: MonthlyC = (15.0,) * 12
    swing_c: float = Field(default=0.0, ge=0, le=30)
    """Half the difference between afternoon (15 h) and early morning (03 h)."""
    design_min_c: float = Field(default=-20.0, ge=-60, le=40)
    """Coldest day that a winter run takes."""
    design_max_c: float = Field(default=35.0, ge=-10, le=60)
    energy_use: tuple[EnergyUsePoint, ...] = ()
    """Linear between the points, level outside; empty: no effect."""
    rack_min_c: float | None = Field(default=12.0, ge=-40, le=40)
    """The rack's room is heated to this; None: not heated."""
    rack_max_c: float | None = Field(default=25.0, ge=0, le=60)
    """…and its coolant to this; None: not cooled."""
    pack_above_ambient_c: float = Field(default=10.0, ge=0, le=40)
    """How much warmer than outside a pack comes off a working truck."""
    pack_min_c: float = Field(default=3.0, ge=-40, le=30)
    """A truck's own heating keeps its pack at least this warm."""


class SwapTruckSection(ScenarioSection):
    """Mobile swapping: each lane is a swap truck that carries packs to the vehicles from a central rack."""

    packs: int = Field(ge=1, le=20)
    """Charged packs of a full load."""
    drive_min: float = Field(ge=0, le=600)
    """One way between rack and vehicles, minutes."""
    exchange_min: float = Field(default=15.0, ge=0, le=600)
    """Changing the whole load at the rack, minutes."""
    go_below: int = Field(default=1, ge=1, le=20)
    """The swap truck drives to the rack when it has fewer charged packs than this left, and leaves with no fewer."""


class EquipmentSection(ScenarioSection):
    """What the station has. `swap size` varies the marked fields (*)."""

    lanes: int = Field(default=1, ge=1, le=20)
    """(*) Lanes, each with its robot."""
    recipe: str = "top_lift"
    """Name of a shipped recipe, or path of a TOML file relative to the scenario."""
    swap_order: Literal["out_in", "in_out"] = "out_in"
    swap_s: float | None = Field(default=None, gt=0, le=7200)
    """Lane time of one swap; None takes the sum of the recipe's steps."""
    swap_cv: float = Field(default=0.08, ge=0, le=1)
    """Coefficient of variation of the lane time."""
    packs: Mapping[str, Annotated[int, Field(ge=0, le=99)]] = Field(default_factory=dict)
    """(*) Packs in the rack by kind."""
    spare_bays: int | None = Field(default=None, ge=0, le=50)
    """Bays more than packs; None: one for each lane (a spent pack comes in before the full one goes out)."""
    chargers: int | None = Field(default=None, ge=1, le=200)
    """(*) Charging modules; None: one at each bay. With fewer than bays they are switched to the packs in
    the order in which those came."""
    charger_kw: float = Field(default=240.0, gt=0, le=2000)
    """DC output of one module."""
    transformer_kva: float = Field(default=2000.0, gt=0, le=100_000)
    """(*)"""
    power_factor: float = Field(default=0.95, gt=0.5, le=1)
    contracted_kw: float | None = Field(default=None, gt=0, le=100_000)
    base_load_kw: float = Field(default=30.0, ge=0, le=10_000)
    charger_efficiency: ChargerEfficiency = CHARGER_EFFICIENCY
    """DC output of the chargers ÷ their AC input: what the grid delivers and the bill counts is the output ÷ this."""
    soh_pct: float = Field(default=100.0, ge=50, le=100)
    """State of health of all packs, in the rack and on the trucks: capacity now ÷ rated; 80 at the end of many
    warranties."""
    swap_truck: SwapTruckSection | None = None
    """Set for mobile swapping; `packs` then counts those on board too, bays and chargers are the rack's."""

    @property
    def grid_limit_kw(self) -> float:
        """The lower of transformer rating × power factor and contracted power."""
        rated_kw = self.transformer_kva * self.power_factor
        return rated_kw if self.contracted_kw is None else min(rated_kw, self.contracted_kw)

    @property
    def pack_total(self) -> int:
        """Packs in the rack, all kinds."""
        return sum(self.packs.values())

    @property
    def bay_count(self) -> int:
        """Bays of the rack."""
        return self.pack_total + (self.lanes if self.spare_bays is None else self.spare_bays)

    @property
    def charger_count(self) -> int:
        """Charging modules."""
        return self.bay_count if self.chargers is None else min(self.chargers, self.bay_count)


class FailureSection(ScenarioSection):
    """Failures, exponential times. 0 hours between failures means the thing does not fail."""

    robot_mtbf_h: float = Field(default=0.0, ge=0, le=1e6)
    """Mean time between failures of one lane's robot, h; 0, or 0.1 and more."""
    robot_repair_h: Hours = 2.0
    charger_mtbf_h: float = Field(default=0.0, ge=0, le=1e6)
    """Mean time between failures of one charging module, h; 0, or 0.1 and more."""
    charger_repair_h: Hours = 12.0
    pack_fault_share: Share = 0.0
    """Share of returned packs that are set aside for inspection."""
    pack_inspection_h: Hours = 24.0

    @field_validator("robot_mtbf_h", "charger_mtbf_h")
    @classmethod
    def _none_or_some(cls, value: float) -> float:
        if 0 < value < 0.1:
            raise ValueError("allowed 0 (it does not fail) or 0.1…1000000 h")
        return value


class BookingHabitSection(ScenarioSection):
    """Trucks that book a window before they come."""

    share: Share = 0.0
    no_show_share: Share = 0.0
    """Share of the bookings whose truck never comes."""
    lead_min: float = Field(default=60.0, ge=0, le=10_080)
    """How long before the window the booking is made, minutes."""
    window_min: float = Field(default=30.0, gt=0, le=1440)
    """Length of the window; the truck comes somewhere inside it."""
    hold_before_min: float | None = Field(default=None, ge=0, le=720)
    """From this long before a window opens until it closes, charged packs are kept from walk-ins for it, minutes; None:
    none are kept. A live station keeps them (`bookings.hold_before_min` of its file), and promises no more than it can
    keep; here every booking counts as promised."""


class PatienceSection(ScenarioSection):
    """Trucks that do not wait for ever."""

    balk_at: int | None = Field(default=None, ge=1, le=1000)
    """A truck that finds this many waiting drives on."""
    mean_patience_min: float | None = Field(default=None, gt=0, le=10_000)
    """Mean of an exponential patience; None: trucks wait until served."""
    truck_places: int | None = Field(default=None, ge=1, le=1000)
    """Places in the yard and the lanes; a truck that finds none drives on."""


class PromiseSection(ScenarioSection):
    """The service promise."""

    wait_limit_min: float = Field(default=10.0, gt=0, le=1440)
    """Wait from arrival until the lane calls the truck, minutes."""
    target_share: float = Field(default=0.95, gt=0, lt=1)
    """Share of all trucks that must be served within the limit; lost trucks count as not served."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class CostSection(ScenarioSection):
    """Yearly cost; capital by annuity."""

    interest: float = Field(default=0.05, ge=0, le=0.5)
    pack_yuan_per_kwh: Yuan = 600.0
    pack_life_years: float = Field(default=8.0, gt=0, le=40)
    charger_yuan_per_kw: Yuan = 350.0
    charger_life_years: float = Field(default=10.0, gt=0, le=40)
    transformer_yuan_per_kva: Yuan = 450.0
    """Transformer, switchgear and line."""
    kva_yuan_per_year: Yuan = 0.0
    """Capacity charge for one kVA and year; 0 while it is waived for swap stations."""
    lane_yuan: Yuan = 1_800_000.0
    """Robot, lane and enclosure."""
    bay_yuan: Yuan = 25_000.0
    """Rack bay and the land it needs."""
    storage_yuan_per_kwh: Yuan = 900.0
    pv_yuan_per_kw: Yuan = 3000.0
    """Photovoltaics, installed, by peak power; assumed."""
    plant_life_years: float = Field(default=15.0, gt=0, le=60)
    """Transformer, lanes, bays, storage, photovoltaics."""
    lost_swap_yuan: Yuan = 0.0
    wait_yuan_per_h: Yuan = 0.0
    """Price of an hour a truck waits."""
    staff_yuan_per_year: Yuan = 0.0
    """Whatever the hours."""
    staff_yuan_per_h: Yuan = 0.0
    """One person for one hour of `[[staff.shifts]]`."""


class StudySection(ScenarioSection):
    """Defaults of `swap simulate` and `swap size`; the command line overrides."""

    start_on: date = Field(default=date(2026, 1, 5), ge=date(2000, 1, 1), le=date(2099, 12, 31))
    """First simulated local day; its month sets temperature, tariff and demand. Left out with a trace of instants:
    the first day of the trace."""
    days: int = Field(default=28, ge=1, le=3660)
    warmup_days: float | None = Field(default=None, ge=0, le=60)
    """None: found by MSER-5."""
    replications: int = Field(default=10, ge=2, le=10_000)
    seed: int = Field(default=1, ge=0, le=2**63 - 1)


class SizingSection(ScenarioSection):
    """Where `swap size` looks."""

    packs: tuple[Annotated[int, Field(ge=1, le=99)], ...] = ()
    chargers: tuple[Annotated[int, Field(ge=1, le=200)], ...] = ()
    """Empty: one at each bay."""
    transformer_kva: tuple[Annotated[float, Field(gt=0, le=100_000)], ...] = ()
    lanes: tuple[Annotated[int, Field(ge=1, le=20)], ...] = ()
    storage_kwh: tuple[Annotated[float, Field(ge=0, le=1_000_000)], ...] = ()
    extra_bays: tuple[Annotated[int, Field(ge=-200, le=200)], ...] = ()
    """Bays more than one for each pack and one for each lane; below 0 for fewer. Empty: as many as the station has."""
    budget_yuan: float | None = Field(default=None, gt=0, le=1e12)
    """Most that the equipment may cost to buy; dearer designs are not looked at."""
    most_bays: int | None = Field(default=None, ge=1, le=200)
    """Bays for which the site has room."""
    most_kva: float | None = Field(default=None, gt=0, le=100_000)
    """The largest transformer that the site's connection allows."""


class Scenario(ScenarioSection):
    """The whole scenario file, after the station file it names has been merged in."""

    id: Identifier
    name_zh: str = Field(min_length=1, max_length=200)
    name_en: str = Field(min_length=1, max_length=200)
    timezone: ZoneName = "Asia/Shanghai"
    station: str | None = None
    """Station file, relative to the scenario; its equipment is the one studied."""
    fleets: tuple[FleetSection, ...] = Field(min_length=1)
    demand: DemandSection = DemandSection()
    climate: ClimateSection = ClimateSection()
    equipment: EquipmentSection = EquipmentSection()
    pack_kinds: tuple[PackKindSection, ...] = Field(min_length=1)
    vehicle_models: tuple[VehicleModelSection, ...] = Field(min_length=1)
    charging: ChargingSection = ChargingSection()
    tariff: TariffSection = TariffSection()
    failures: FailureSection = FailureSection()
    staff: StaffSection = StaffSection()
    bookings: BookingHabitSection = BookingHabitSection()
    patience: PatienceSection = PatienceSection()
    promise: PromiseSection = PromiseSection()
    pv: PvSection = PvSection()
    storage: StorageSection = StorageSection()
    dr_events: tuple[DrEventSection, ...] = ()
    life: LifeSection | None = None
    costs: CostSection = CostSection()
    revenue: RevenueSection | None = None
    finance: FinanceSection = FinanceSection()
    study: StudySection = StudySection()
    sizing: SizingSection = SizingSection()
    uncertainty: UncertaintySection = UncertaintySection()
    vehicle_ids: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Trucks by fleet. Taken from the station file; made up where it names none."""
    folder: str = "."
    """Where relative paths start; set by the loader."""

    @property
    def zone(self) -> ZoneInfo:
        """Local time of the hourly lists."""
        return ZoneInfo(self.timezone)

    @property
    def start_at(self) -> datetime:
        """First simulated instant: local midnight of `study.start_on`."""
        return datetime.combine(self.study.start_on, time(), self.zone)

    def pack_kind(self, kind: str) -> PackKindSection:
        """The pack kind of an id; KeyError for an unknown one."""
        return {item.id: item for item in self.pack_kinds}[kind]

    def vehicle_model(self, model: str) -> VehicleModelSection:
        """The vehicle model of an id; KeyError for an unknown one."""
        return {item.id: item for item in self.vehicle_models}[model]

    def fleet(self, fleet: str) -> FleetSection:
        """The fleet of an id; KeyError for an unknown one."""
        return {item.id: item for item in self.fleets}[fleet]

    def vehicles_of(self, fleet: FleetSection) -> tuple[str, ...]:
        """Ids of a fleet's trucks."""
        known = self.vehicle_ids.get(fleet.id, ())
        if known:
            return tuple(known)
        return tuple(f"{fleet.id[:14]}-{number:03d}" for number in range(1, fleet.vehicles + 1))

    def with_equipment(self, **changes: Any) -> Scenario:
        """The same demand at another station; `packs` may be a number when there is one kind."""
        packs = changes.get("packs")
        if isinstance(packs, int):
            changes["packs"] = split_packs(packs, self.equipment.packs)
        return self.model_copy(update={"equipment": self.equipment.model_copy(update=changes)})

    def outside_c(self, month: int, hour: float) -> float:
        """Outside temperature, °C: the month's mean and a daily wave with its top at 15 h."""
        climate = self.climate
        return climate.mean_c_by_month[month - 1] + climate.swing_c * cos((hour - 15) * pi / 12)

    def energy_factor(self, temp_c: float) -> float:
        """Energy use relative to mild weather, linear between the points of `climate.energy_use`."""
        points = sorted((p.temp_c, p.factor) for p in self.climate.energy_use)
        if not points:
            return 1.0
        if temp_c <= points[0][0]:
            return points[0][1]
        for (low_c, low), (high_c, high) in itertools.pairwise(points):
            if temp_c <= high_c:
                return low + (high - low) * (temp_c - low_c) / (high_c - low_c)
        return points[-1][1]


def split_packs(total: int, like: Mapping[str, int]) -> dict[str, int]:
    """`total` packs divided among the kinds in the proportions of `like`, at least one of each."""
    if len(like) == 1:
        return dict.fromkeys(like, total)
    whole = sum(like.values())
    shares = {kind: max(1, int(total * count / whole)) for kind, count in like.items()}
    by_rest = sorted(like, key=lambda kind: (-(total * like[kind] / whole) % 1, kind))
    for kind in by_rest:
        if sum(shares.values()) >= total:
            break
        shares[kind] += 1
    return shares
