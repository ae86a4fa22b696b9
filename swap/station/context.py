"""What the parts of one controller share: the store, the station file, the clock, the newest readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, TypeVar

from sqlmodel import col, select

from battery_bms.limits import PackLimits, ThermalRule, ThermalWatch
from battery_bms.pack import PackSpec, spec_from_section
from battery_bms.port import MeterReading, PackReading
from robotics.port import CellState, CellStatus, ControlMode, RunMode, Signal
from scheduler.charging import policy_from_section
from scheduler.types import (
    BayRole,
    BayView,
    ChargingPolicy,
    LaneView,
    PackState,
    PackView,
    QueueEntry,
    Setpoint,
    SiteLimits,
    StationMode,
    StationView,
    TariffSlice,
)
from swap.config.station_file import StationConfig
from swap.station.clock import Clock
from swap.station.life.database import DirectDatabase
from swap.station.records import qualified
from swap.station.sequence.recipe import QUEUED, load_recipe
from swap.station.sequence.sequencer import MOVING_MODES
from swap.station_db import StationDb as Db
from swap.tables import Bay, Booking, Pack, Swap, SwapSeat, VehicleRow

T = TypeVar("T")


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
    prices: Prices | None = None
    policy: ChargingPolicy = field(default_factory=ChargingPolicy)
    specs: Mapping[str, PackSpec] = field(default_factory=dict)
    limits: Mapping[str, PackLimits] = field(default_factory=dict)
    thermal_rule: ThermalRule = field(default_factory=ThermalRule)
    mode: StationMode = StationMode.HELD
    mode_reason: str = ""
    holding: int = 0
    """Holds of the station that are on their way into the database: nothing begins to move meanwhile."""
    last_seq: dict[str, int] = field(default_factory=dict)
    """Newest stored command number by lane."""
    cells: dict[str, CellStatus] = field(default_factory=dict)
    readings: dict[str, PackReading] = field(default_factory=dict)
    """By bay name of the station file."""
    watches: dict[str, ThermalWatch] = field(default_factory=dict)
    meter: MeterReading | None = None
    plan: dict[str, Setpoint] = field(default_factory=dict)
    kept_off: dict[str, frozenset[str]] = field(default_factory=dict)
    """Bays by lane that a swap on its way back picks from: they are not charged, like those of promised packs."""
    hot_loads: frozenset[str] = frozenset()
    """Lanes whose gripper may hold a hot pack that a failed evacuation has left there."""
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
            prices=prices,
            policy=policy_from_section(config.charging, max_age_s, specs.values()),
            specs=specs,
            limits={kind.id: kind.limits for kind in config.pack_kinds},
        )

    @property
    def station_id(self) -> str:
        """The station's id."""
        return self.config.station.id

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

    def view(self, db: Db) -> StationView:
        """The frozen view that decisions take, from the database and the newest readings."""
        packs = {p.bay_id: p for p in db.exec(select(Pack).where(col(Pack.bay_id).is_not(None))).all()}
        open_swaps = db.exec(select(Swap).where(Swap.station_id == self.station_id, col(Swap.ended_at).is_(None))).all()
        reserved: dict[str, str] = {}
        for seat in db.exec(
            select(SwapSeat).where(col(SwapSeat.swap_id).in_([s.id for s in open_swaps if s.open_lane_id]))
        ):
            for bay_id in (seat.old_bay_id, seat.new_bay_id):
                if bay_id is not None:
                    reserved[bay_id] = seat.swap_id
        rows = {b.id: b for b in db.exec(select(Bay).where(Bay.station_id == self.station_id)).all()}
        return StationView(
            at=self.clock.now(),
            mode=self.mode,
            bays=tuple(self._bay(section.id, rows, packs, reserved) for section in self.config.bays),
            lanes=tuple(self._lane(lane.id, open_swaps) for lane in self.config.lanes),
            queue=tuple(self._entry(db, s) for s in open_swaps if s.state == QUEUED),
            limits=self.site_limits(),
        )

    def site_limits(self) -> SiteLimits:
        """The site's limits and what the meter says now."""
        site = self.config.site
        fresh = False
        if self.meter is not None and site.meter is not None:
            age_s = self.clock.age_s(self.meter.at)
            fresh = age_s is not None and age_s <= site.meter.max_age_s
        return SiteLimits(
            grid_limit_kw=site.grid_limit_kw,
            base_load_kw=site.base_load_kw,
            measured_import_kw=self.meter.import_kw if fresh and self.meter else None,
            charging_kw=self.charge_kw(),
        )

    def _bay(
        self,
        name: str,
        rows: Mapping[str, Bay],
        packs: Mapping[str | None, Pack],
        reserved: Mapping[str, str],
    ) -> BayView:
        section = self.config.bay(name)
        key = self.bay_key(name)
        row = rows[key]
        pack = packs.get(key)
        reading = self.readings.get(name)
        charger_ok = reading is None or reading.charger_fault == 0
        kept_off = any(name in bays for bays in self.kept_off.values())
        return BayView(
            bay_id=name,
            position=section.position,
            role=BayRole(section.role),
            pack=self._pack(name, pack, kept_off) if pack is not None else None,
            kinds=frozenset(section.kinds),
            max_charge_kw=section.charger_kw,
            charger_ok=charger_ok,
            blocked=row.blocked,
            occupied=self.occupied(section.position),
            reserved_by=reserved.get(key),
            lanes=frozenset(section.lanes),
        )

    def _pack(self, name: str, pack: Pack, kept_off: bool) -> PackView:
        reading = self.readings.get(name)
        known = reading is not None and reading.pack_id == pack.id
        return PackView(
            pack_id=pack.id,
            kind=pack.kind,
            state=PackState.RESERVED if kept_off else PackState(pack.state),
            rated_kwh=pack.rated_kwh,
            soh_pct=pack.soh_pct,
            energy_kwh=reading.energy_kwh if known and reading else None,
            soc_pct=reading.soc_pct if known and reading else None,
            temp_max_c=reading.temp_max_c if known and reading else None,
            temp_min_c=reading.temp_min_c if known and reading else None,
            max_charge_kw=reading.max_charge_kw if known and reading else None,
            alarm_level=reading.alarm_level if known and reading else 0,
            reading_age_s=self.reading_age_s(name) if known else None,
        )

    def _lane(self, lane_id: str, open_swaps: Sequence[Swap]) -> LaneView:
        section = next(lane for lane in self.config.lanes if lane.id == lane_id)
        key = qualified(self.station_id, lane_id)
        open_swap = next((s.id for s in open_swaps if s.open_lane_id == key), None)
        return LaneView(
            lane_id=lane_id,
            ready=self.cell_ready(lane_id) and open_swap is None,
            swap_modes=frozenset({load_recipe(section.recipe, self.config.folder).swap_mode}),
            open_swap_id=open_swap,
            swap_order=section.swap_order,
        )

    def cell_ready(self, lane_id: str) -> bool:
        """The cell is on line, fresh, automatic, at rest and empty-handed."""
        section = next(lane for lane in self.config.lanes if lane.id == lane_id)
        cell = self.cells.get(lane_id)
        age_s = self.clock.age_s(cell.fast_at) if cell is not None else None
        return (
            cell is not None
            and age_s is not None
            and age_s <= section.cell.max_age_s
            and cell.heartbeat_ok
            and (self.owner_token is None or cell.owner in (0, self.owner_token))
            and cell.control_mode is ControlMode.ONLINE
            and cell.run_mode is RunMode.AUTO
            and cell.state in (CellState.FREE, CellState.READY)
            and cell.signals.get(Signal.HOMED) is True
            and cell.signals.get(Signal.GRIPPER_LOADED) is False
            and cell.signals.get(Signal.VEHICLE_PRESENT) is False
        )

    def _entry(self, db: Db, swap: Swap) -> QueueEntry:
        vehicle = db.get_one(VehicleRow, swap.vehicle_id)
        model = self.config.vehicle_model(vehicle.model)
        booking = db.get(Booking, swap.booking_id) if swap.booking_id else None
        seats = db.exec(select(SwapSeat).where(SwapSeat.swap_id == swap.id)).all()
        kinds = [p.kind for seat in seats if seat.old_pack_id and (p := db.get(Pack, seat.old_pack_id)) is not None]
        return QueueEntry(
            swap_id=swap.id,
            vehicle_id=swap.vehicle_id,
            arrived_at=swap.arrived_at,
            accepts=frozenset(model.pack_kinds),
            packs_needed=model.packs_per_vehicle,
            swap_mode=model.swap_mode,
            priority=swap.priority,
            booked_from_at=booking.window_start_at if booking else None,
            booked_until_at=booking.window_end_at if booking else None,
            installed_kinds=tuple(kinds) if len(kinds) == model.packs_per_vehicle else None,
        )
