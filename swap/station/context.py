"""What the parts of one controller share: the store, the station file, the clock, the newest readings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from battery_bms.limits import PackLimits, ThermalRule, ThermalWatch
from battery_bms.pack import PackSpec, spec_from_section
from battery_bms.port import MeterReading, PackReading, PvReading, StorageReading
from robotics.port import CellState, CellStatus, ControlMode, RunMode, Signal
from scheduler.charging import policy_from_section
from scheduler.guide import Planner, PriceRule
from scheduler.optimal.learned import LearnedTrucks
from scheduler.response.floor import ImportFloor, RaisedPlanner, output_for_import_kw
from scheduler.site import DrEventSection
from scheduler.types import (
    ChargingPolicy,
    Setpoint,
    SiteLimits,
    StationMode,
    TariffSlice,
)
from scheduler.waiting import Wait, Waiting
from swap.config.station_file import StationConfig
from swap.station.clock import Clock
from swap.station.life.database import DirectDatabase
from swap.station.records import newest_seq, qualified
from swap.station.sequence.permissives import BayFact
from swap.station.sequence.row_facts import MOVING_MODES
from swap.station.truck_forecast import ForecastThread
from swap.station_db import StationDb as Db

T = TypeVar("T")
log = logging.getLogger(__name__)

POWER_OFF_KW = 0.5
"""A charger below this gives nothing: the pack may be picked."""
_READY_SIGNALS = ((Signal.HOMED, True), (Signal.GRIPPER_LOADED, False), (Signal.VEHICLE_PRESENT, False))
"""What a cell must report before a truck is called into its lane."""


class Prices(Protocol):
    """The tariff as the controller uses it."""

    def slices(self, from_at: datetime, until_at: datetime) -> Sequence[TariffSlice]:
        """Price periods over [from_at, until_at)."""


@dataclass
class StationContext:
    """Shared by the loops of one controller; the database stays the truth of all that must survive.

    A transaction runs on another thread: it is given a copy (`still`) of what it reads here, and changes nothing.
    """

    database: DirectDatabase
    config: StationConfig
    clock: Clock
    forecast: ForecastThread
    """Asks whoever says which trucks to expect."""
    prices: Prices | None = None
    planner: Planner | None = None
    """Who guides the charging; None: the price rule."""
    orders: tuple[DrEventSection, ...] = ()
    """Import limits of single events that were told and accepted, as the journal has them."""
    floors: tuple[ImportFloor, ...] = ()
    """Likewise to what the import is raised."""
    policy: ChargingPolicy = field(default_factory=ChargingPolicy)
    specs: Mapping[str, PackSpec] = field(default_factory=dict)
    limits: Mapping[str, PackLimits] = field(default_factory=dict)
    thermal_rule: ThermalRule = field(default_factory=ThermalRule)
    mode: StationMode = StationMode.HELD
    mode_reason: str = ""
    holding: int = 0
    """Holds of the station that are on their way into the database: nothing begins to move meanwhile."""
    last_seq: dict[str, int] = field(default_factory=dict)
    """Newest number on record by lane, of a command or of a result that was taken over."""
    cells: dict[str, CellStatus] = field(default_factory=dict)
    readings: dict[str, PackReading] = field(default_factory=dict)
    """By bay name of the station file."""
    watches: dict[str, ThermalWatch] = field(default_factory=dict)
    meter: MeterReading | None = None
    pv: PvReading | None = None
    storage: StorageReading | None = None
    storage_obeys: bool = True
    """The storage takes its orders and follows them, as far as that can be told; else only what it gives counts."""
    plan: dict[str, Setpoint] = field(default_factory=dict)
    kept_off: dict[str, frozenset[str]] = field(default_factory=dict)
    """Bays by lane that a swap on its way back picks from: they are not charged, like those of promised packs."""
    hot_loads: frozenset[str] = frozenset()
    """Lanes whose gripper may hold a hot pack that a failed evacuation has left there."""
    lost_at: datetime | None = None
    """Last time that this controller lost sight of something, or saw a trip or somebody in the zone: what a person
    asked before it was asked of another station."""
    has_right: Callable[[Db, str, datetime], bool] = lambda db, swap_id, at: True
    """Whether the truck of a swap may have its packs; handed in, since the station knows no contracts. Ask by
    `right_of`."""
    owner_token: int | None = None
    """What this controller writes into the owner word of its cells; None where nobody claims them."""

    @classmethod
    def build(
        cls, database: DirectDatabase, config: StationConfig, clock: Clock, prices: Prices | None = None
    ) -> StationContext:
        """The context of a station file."""
        max_age_s = min(d.max_age_s for d in config.rack_devices)
        specs = {kind.id: spec_from_section(kind) for kind in config.pack_kinds}
        return cls(
            database=database,
            config=config,
            clock=clock,
            forecast=ForecastThread(LearnedTrucks(config.station.zone)),
            prices=prices,
            policy=policy_from_section(config.charging, max_age_s, specs.values()),
            specs=specs,
            limits={kind.id: kind.limits for kind in config.pack_kinds},
        )

    @property
    def station_id(self) -> str:
        """The station's id."""
        return self.config.station.id

    @property
    def dr_events(self) -> tuple[DrEventSection, ...]:
        """Every import limit of demand response: those of the station file, and of single events."""
        return (*self.config.site.demand_response, *self.orders)

    def planner_for(self, limits: SiteLimits) -> Planner | None:
        """Who guides the charging of a site that stands so, raised to what was accepted; None: the price rule."""
        if not self.floors:
            return self.planner
        rule = PriceRule(self.policy, tuple(self.specs)) if self.planner is None else self.planner
        return RaisedPlanner(rule, self.floors, partial(output_for_import_kw, limits))

    async def write(self, work: Callable[[Db], T]) -> T:
        """Run one write transaction; `work` changes no memory. Raises DatabaseLost."""
        return await self.database.write(work)

    async def read(self, work: Callable[[Db], T]) -> T:
        """Run one read transaction; `work` changes no memory. Raises DatabaseLost."""
        return await self.database.read(work)

    def still(self) -> StationContext:
        """A copy that the other loops do not change, for a transaction on another thread."""
        return replace(
            self,
            cells=dict(self.cells),
            readings=dict(self.readings),
            kept_off=dict(self.kept_off),
        )

    def right_of(self, db: Db, swap_id: str) -> bool | None:
        """Whether the truck of a swap may have its packs. Not known where whoever knows contracts fails: that stops
        one truck, not the controller. What the database raises goes on to the one who watches it."""
        try:
            return self.has_right(db, swap_id, self.clock.now())
        except SQLAlchemyError:
            raise
        except Exception:
            log.exception("swap %s: whether it is authorised cannot be found out", swap_id)
            return None

    def may_move(self) -> bool:
        """Whether a command may leave at this moment."""
        return self.mode in MOVING_MODES and not self.holding and self.database.opened.is_set()

    def bay_key(self, name: str) -> str:
        """Database key of a bay."""
        return qualified(self.station_id, name)

    def reading_age_s(self, name: str) -> float | None:
        """Real seconds since the reading of a bay was taken; None when there never was one."""
        reading = self.readings.get(name)
        return None if reading is None else self.clock.age_s(reading.at)

    def reading_fresh(self, name: str) -> bool:
        """Whether the reading of a bay is young enough to act on."""
        age_s = self.reading_age_s(name)
        return age_s is not None and age_s <= self.policy.max_reading_age_s

    def is_young(self, at: datetime, max_age_s: float) -> bool:
        """Whether what was read at an instant is young enough to act on; ages are real seconds."""
        age_s = self.clock.age_s(at)
        return age_s is not None and age_s <= max_age_s

    def charge_kw(self) -> float | None:
        """What all chargers give now; None when one that has a pack is unknown."""
        total_kw = 0.0
        for name, reading in self.readings.items():
            if reading.charge_kw is None or not self.reading_fresh(name):
                if reading.present is False:
                    continue
                return None
            total_kw += reading.charge_kw
        return total_kw

    def occupied(self, position: int) -> bool | None:
        """What the cells' occupancy sensors say of a bay position; None when no fresh cell knows."""
        for lane in self.config.lanes:
            cell = self.cells.get(lane.id)
            age_s = self.clock.age_s(cell.slow_at) if cell is not None else None
            if cell is None or age_s is None or age_s > 5 * lane.cell.max_age_s:
                continue
            if position <= len(cell.bays_occupied) and cell.bays_occupied[position - 1] is not None:
                return cell.bays_occupied[position - 1]
        return None

    def number_used(self, lane_id: str, seq: int) -> None:
        """A number is on record: the lane's next one comes after it, also where the cell has forgotten it."""
        self.last_seq[lane_id] = newest_seq(self.last_seq.get(lane_id, 0), seq)

    def bay_fact(self, name: str, position: int, pack_id: str | None, cell: CellStatus) -> BayFact:
        """What is known of a bay by the newest reading and the cell's look, for a swap that expects a pack in it."""
        occupied = cell.bays_occupied[position - 1] if position <= len(cell.bays_occupied) else None
        uncharged = self.config.bay(name).charger_kw <= 0.0
        reading, age_s = self.readings.get(name), self.reading_age_s(name)
        if reading is None or age_s is None or age_s > self.policy.max_reading_age_s:
            return BayFact(occupied, power_off=uncharged or None)
        off = uncharged or (None if reading.charge_kw is None else reading.charge_kw < POWER_OFF_KW)
        safe = (
            reading.pack_id == pack_id
            and reading.alarm_level < 2
            and reading.temp_max_c is not None
            and reading.temp_max_c <= self.policy.charge_temp_max_c
            and off is True
        )
        return BayFact(occupied, reading.pack_id, safe, power_off=off, reading_age_s=age_s)

    def cell_ready(self, lane_id: str) -> bool:
        """The cell is on line, fresh, automatic, at rest and empty-handed."""
        return self.cell_hindrance(lane_id) is None

    def cell_hindrance(self, lane_id: str) -> Waiting | None:
        """What keeps a lane's cell from being given a truck, swaps apart; None when nothing does."""
        section = next(lane for lane in self.config.lanes if lane.id == lane_id)
        cell = self.cells.get(lane_id)
        age_s = self.clock.age_s(cell.fast_at) if cell is not None else None
        if cell is None or age_s is None or age_s > section.cell.max_age_s:
            trouble = None if cell is None else cell.trouble
            about = () if trouble is None else (str(trouble),)
            return Waiting(Wait.CELL_SILENT, about)
        if not cell.heartbeat_ok or (self.clock.age_s(cell.beat_at) or 0.0) > section.cell.max_age_s:
            return Waiting(Wait.CELL_FROZEN)
        if self.owner_token is not None and cell.owner not in (0, self.owner_token):
            return Waiting(Wait.CELL_OWNED, number=cell.owner)
        if cell.control_mode is not ControlMode.ONLINE:
            return Waiting(Wait.CELL_LOCAL)
        if cell.run_mode is not RunMode.AUTO:
            return Waiting(Wait.CELL_RUN_MODE, (cell.run_mode.name.lower(),))
        if cell.state not in (CellState.FREE, CellState.READY):
            return Waiting(Wait.CELL_STATE, (cell.state.name.lower(),))
        for signal, wanted in _READY_SIGNALS:
            if cell.signals.get(signal) is not wanted:
                return Waiting(Wait.CELL_FACT, (signal.value if wanted else f"!{signal.value}",))
        return None
