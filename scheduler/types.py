"""The frozen views that decisions take and the decisions they give back.

The live controller fills a :class:`StationView` from the database and fresh readings, the
simulation study fills it from the plant. Both then call the same functions of this package.

Signs: power into a pack and power out of the grid are positive. Instants are timezone-aware UTC.
A value that is not known is ``None``, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

Plan = Literal["rule", "optimal"]
"""Who guides charging: the price rule, or the optimiser."""


class PackState(StrEnum):
    """State of a pack, driven by readings and moves; the table is `swap/station/states/pack_states.py`."""

    ON_VEHICLE = "on_vehicle"
    """Installed on a truck, or away from the station."""
    RECEIVED = "received"
    """Set down in a bay, identity not yet confirmed."""
    IDENTIFIED = "identified"
    """Identity confirmed; temperature not yet judged."""
    COOLING = "cooling"
    """Too warm to charge."""
    WARMING = "warming"
    """Too cold to charge."""
    WAITING = "waiting"
    """May be charged; no power assigned."""
    CHARGING = "charging"
    """Power assigned and confirmed."""
    READY = "ready"
    """Charged to at least the energy that may be offered."""
    RESERVED = "reserved"
    """Promised to one swap."""
    PICKED = "picked"
    """In the gripper."""
    BLOCKED = "blocked"
    """Alarm, stale reading or person's decision: neither charged nor offered; may recover."""
    QUARANTINED = "quarantined"
    """Out of use until a person with the role releases it."""
    EVACUATED = "evacuated"
    """Set down in the tank."""


class StationMode(StrEnum):
    """What the station as a whole may do."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    """People move the robot by local mode; charging goes on, no command is sent."""
    HELD = "held"
    """A trip, a restart or a link loss: nothing moves until a named person confirms."""
    THERMAL = "thermal"
    """The procedure for a hot pack runs; no new truck is admitted."""
    FIRE = "fire"
    """Fire system released: charging off everywhere, motion only by the fire procedure."""
    CLOSED = "closed"
    """Out of service hours: running swaps end, no truck is admitted."""


class BayRole(StrEnum):
    """What a bay is for."""

    RACK = "rack"
    TRANSFER = "transfer"
    """Set-down place between rack and vehicle; never charged, never stored in."""
    QUARANTINE = "quarantine"
    """Holds packs whose identity or condition is in doubt; never charged."""


class Limit(StrEnum):
    """What decided a set-point."""

    FIRE = "fire"
    ROLE = "role"
    """The bay is not for charging."""
    NO_PACK = "no_pack"
    BAY_BLOCKED = "bay_blocked"
    NO_CHARGER = "no_charger"
    CHARGER_FAULT = "charger_fault"
    PACK_STATE = "pack_state"
    """The pack is not identified, promised, cooling, warming, blocked, quarantined."""
    SENSOR = "sensor"
    """The bay's own sensor sees no pack."""
    STALE = "stale"
    UNKNOWN = "unknown"
    """State of charge, temperature, rating, BMS limit or kind is not known, or no pack or charger can have it."""
    ALARM = "alarm"
    TOO_HOT = "too_hot"
    TOO_COLD = "too_cold"
    TARGET = "target"
    """Charged."""
    CHARGER = "charger"
    """Rating of the bay's charger."""
    BMS = "bms"
    """What the BMS allows now."""
    PACK = "pack"
    """Rating of the pack kind."""
    PACK_TEMP = "pack_temp"
    """Reduced power, warm or cold."""
    SITE_UNKNOWN = "site_unknown"
    """Import limit, base load, sun, storage, demand response or charger efficiency is not known or impossible."""
    GRID = "grid"
    DEMAND_RESPONSE = "demand_response"
    MEASURED_IMPORT = "measured_import"
    """The site meter shows more load than was reckoned with."""
    RACK = "rack"
    """The cap on the whole rack."""
    MIN_SETPOINT = "min_setpoint"
    """What is left is less than a charger can run at."""
    TARIFF = "tariff"


class KindLimits(Protocol):
    """What charging needs to know of a kind of pack."""

    @property
    def max_charge_kw(self) -> float: ...
    @property
    def charge_temp_min_c(self) -> float: ...
    @property
    def charge_temp_max_c(self) -> float: ...
    @property
    def charge_efficiency(self) -> float:
        """Energy stored ÷ energy at the charger's output."""


@dataclass(frozen=True, slots=True)
class PackView:
    """One pack in a bay as known now."""

    pack_id: str
    kind: str
    state: PackState
    rated_kwh: float
    soh_pct: float = 100.0
    energy_kwh: float | None = None
    soc_pct: float | None = None
    temp_max_c: float | None = None
    temp_min_c: float | None = None
    max_charge_kw: float | None = None
    """What the BMS allows now."""
    alarm_level: int = 0
    """0 none … 3 stop at once (GB/T 32960 levels)."""
    reading_age_s: float | None = None
    """Seconds since the reading was taken; None when there never was one."""


@dataclass(frozen=True, slots=True)
class BayView:
    """One bay as known now."""

    bay_id: str
    position: int
    """Number of the bay in the robot's location codes, 1…99."""
    role: BayRole = BayRole.RACK
    pack: PackView | None = None
    kinds: frozenset[str] = frozenset()
    """Pack kinds that fit; empty means every kind."""
    max_charge_kw: float = 0.0
    """Rating of the bay's charger, 0 where it has none."""
    charger_ok: bool = True
    blocked: bool = False
    occupied: bool | None = None
    """The bay's own sensor; None when unknown."""
    reserved_by: str | None = None
    """Swap that has promised itself this bay, as the source or the target of a move."""
    lanes: frozenset[str] = frozenset()
    """Lanes whose robot reaches the bay; empty means every lane."""


@dataclass(frozen=True, slots=True)
class LaneView:
    """One lane with its robot cell."""

    lane_id: str
    ready: bool
    """Robot on line, no trip, no open swap."""
    swap_modes: frozenset[str] = frozenset()
    open_swap_id: str | None = None
    swap_order: str = "out_in"
    """With "in_out" the charged pack waits in the transfer bay, the spent one goes into the bay it left."""


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One truck that has checked in and waits for a lane."""

    swap_id: str
    vehicle_id: str
    arrived_at: datetime
    accepts: frozenset[str]
    """Pack kinds the vehicle takes."""
    packs_needed: int = 1
    swap_mode: str = "top_lift"
    priority: int = 0
    """Higher goes first."""
    booked_from_at: datetime | None = None
    booked_until_at: datetime | None = None
    min_energy_kwh: float = 0.0
    """Least energy the truck asks for in each pack."""
    installed_kinds: tuple[str, ...] | None = None
    """Kinds of the packs that come off, by seat; None when unknown: bays must then fit all of `accepts`."""


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """Power the site may draw, by cause. All are hard limits."""

    grid_limit_kw: float
    """Transformer rating × power factor, or the contracted power where lower."""
    base_load_kw: float = 0.0
    """The station's own supplies, always kept; never shed for charging."""
    pv_kw: float = 0.0
    storage_kw: float = 0.0
    """What the storage can add, discharge (positive), or takes (negative)."""
    storage_now_kw: float | None = None
    """What it gives now, discharge (positive), read at the same time as the meter, which shows the import without it;
    None: there is none, or it is not known."""
    dr_limit_kw: float | None = None
    """Import limit asked by demand response; None when no event runs."""
    measured_import_kw: float | None = None
    """Site meter; None when stale."""
    charging_kw: float | None = None
    """What all chargers give now (DC), read at the same time as the meter; None when unknown."""
    charger_efficiency: float = field(kw_only=True)
    """Output of the chargers (DC) ÷ their input (AC), above 0, at most 1. `charging_kw` is DC, all other powers here
    are AC. It has no default: a rule that does not know the losses lets the site draw more than its limit."""

    @property
    def import_limit_kw(self) -> float:
        """The lower of the grid's limit and that of demand response."""
        return self.grid_limit_kw if self.dr_limit_kw is None else min(self.grid_limit_kw, self.dr_limit_kw)


@dataclass(frozen=True, slots=True)
class StationView:
    """Everything a decision may know, frozen for one cycle."""

    at: datetime
    mode: StationMode
    bays: tuple[BayView, ...]
    lanes: tuple[LaneView, ...] = ()
    queue: tuple[QueueEntry, ...] = ()
    limits: SiteLimits = field(default_factory=lambda: SiteLimits(grid_limit_kw=0.0, charger_efficiency=1.0))
    held_empty_bays: int = 0
    """Empty bays promised to swaps under way that no bay's `reserved_by` names."""
    promised: tuple[QueueEntry, ...] = ()
    """Trucks that have booked, are still to come, and whose window is near or open: packs are kept for them. The id is
    that of the booking."""


@dataclass(frozen=True, slots=True)
class PackChoice:
    """The packs to hand out: one bay for each pack the vehicle needs, in seat order."""

    bay_ids: tuple[str, ...]
    pack_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The next truck to call, its lane, the packs it gets and the bays its packs go to."""

    swap_id: str
    lane_id: str
    packs: PackChoice
    empty_bay_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setpoint:
    """Charging power for one bay and the limit that decided it."""

    power_kw: float
    limited_by: str


@dataclass(frozen=True, slots=True)
class ChargingPolicy:
    """Limits and wishes of charging that do not change within a day."""

    offer_soc_pct: float = 90.0
    """A pack with at least this state of charge may be handed out."""
    target_soc_pct: float = 95.0
    """Charging stops here."""
    max_reading_age_s: float = 10.0
    """Older than this is unknown: 0 kW, not offered."""
    charge_temp_min_c: float = 0.0
    charge_temp_max_c: float = 50.0
    reduce_above_c: float = 45.0
    reduce_below_c: float = 5.0
    reduced_share: float = 0.5
    """Share of the pack's limit allowed between the reduce and the stop temperatures."""
    min_setpoint_kw: float = 5.0
    """Chargers do not run below this; less is 0."""
    sharing: str = "order"
    """How a short site limit is divided: "order" fills packs one after another (fullest first),
    "equal" gives each the same."""
    tariff_aware: bool = True
    """Hold back in dear hours as long as `reserve_ready` packs stay ready."""
    reserve_ready: int = 3
    """Counted for each kind of pack, beyond what the queue needs."""
    max_power_kw: float | None = None
    """Most that all chargers together may put out; None leaves it to the site limits."""
    offer_temp_min_c: float = -20.0
    """A colder pack is not handed out: usual discharge limit of LFP packs (assumed)."""


@dataclass(frozen=True, slots=True)
class TariffSlice:
    """Price of one kWh over [from_at, until_at)."""

    from_at: datetime
    until_at: datetime
    period: str
    """critical, peak, flat, valley or deep_valley."""
    price_yuan_per_kwh: float
