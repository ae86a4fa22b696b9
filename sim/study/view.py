"""The present state of the simulated station, with the fields of `scheduler.types`.

The decision functions read a frozen `StationView`. Building one for every truck would cost more than the
decision itself, so the study keeps one set of objects with the same fields and changes them in place:
the functions only read, and never keep, what they are given. `StationNow.frozen()` makes the real view; a
test compares the decisions on both, and the fields of both.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from math import inf
from typing import Any

from battery_bms.pack import Charge, PackSpec
from scheduler.types import (
    BayRole,
    BayView,
    LaneView,
    PackState,
    PackView,
    QueueEntry,
    SiteLimits,
    StationMode,
    StationView,
)
from sim.study.engine import Call, StudyTime, Truck


class PackNow:
    """One pack in the rack. Energy, state of charge and temperature are those of `BayNow.since_s`."""

    __slots__ = (
        "alarm_level",
        "capacity_kwh",
        "energy_kwh",
        "kind",
        "max_charge_kw",
        "pack_id",
        "rated_kwh",
        "reading_age_s",
        "soc_pct",
        "soh_pct",
        "spec",
        "state",
        "temp_max_c",
        "temp_min_c",
        "temp_safe",
    )

    def __init__(self, pack_id: str, kind: str, spec: PackSpec, soc_pct: float, temp_c: float) -> None:
        self.pack_id = pack_id
        self.kind = kind
        self.spec = spec
        self.state = PackState.WAITING
        self.rated_kwh = spec.rated_kwh
        self.soh_pct = 100.0
        self.capacity_kwh = spec.rated_kwh
        self.soc_pct = soc_pct
        self.energy_kwh = soc_pct * spec.rated_kwh / 100
        self.temp_max_c = temp_c
        self.temp_min_c = temp_c
        self.temp_safe = True
        """Whatever is done to it, its temperature limits nothing: it need not be followed."""
        self.max_charge_kw = spec.max_charge_kw
        self.alarm_level = 0
        self.reading_age_s = 0.0

    def set_energy(self, energy_kwh: float) -> None:
        """Energy and, from it, state of charge."""
        self.energy_kwh = energy_kwh
        self.soc_pct = 100 * energy_kwh / self.capacity_kwh

    def frozen(self) -> PackView:
        """As the live controller would show it."""
        return PackView(**{name: getattr(self, name) for name in PackView.__dataclass_fields__})


class BayNow:
    """One bay and what its charger does."""

    __slots__ = (
        "bay_id",
        "blocked",
        "call",
        "charge",
        "charger_ok",
        "claim_kw",
        "goal_s",
        "kinds",
        "lanes",
        "max_charge_kw",
        "occupied",
        "pack",
        "position",
        "power_kw",
        "put_s",
        "reserved_by",
        "role",
        "since_s",
    )

    def __init__(self, bay_id: str, position: int, charger_kw: float) -> None:
        self.bay_id = bay_id
        self.position = position
        self.role = BayRole.RACK
        self.pack: PackNow | None = None
        self.kinds: frozenset[str] = frozenset()
        self.max_charge_kw = charger_kw
        self.charger_ok = True
        self.blocked = False
        self.occupied = False
        self.reserved_by: str | None = None
        self.lanes: frozenset[str] = frozenset()
        self.power_kw = 0.0
        """Set-point."""
        self.charge: Charge | None = None
        """The charge at this set-point; None at 0 kW."""
        self.since_s = 0.0
        """Instant of the pack's energy and temperature."""
        self.put_s = 0.0
        """When the pack came."""
        self.call: Call | None = None
        """The next thing that will happen to the pack by itself."""
        self.goal_s = inf
        """When the charge makes the pack ready, or full where it is ready already."""
        self.claim_kw = 0.0
        """What its charger could draw at most until its pack is full."""

    def frozen(self) -> BayView:
        """As the live controller would show it."""
        values = {name: getattr(self, name) for name in BayView.__dataclass_fields__}
        return BayView(**values | {"pack": self.pack.frozen() if self.pack is not None else None})


class LaneNow:
    """One lane."""

    __slots__ = ("lane_id", "lost_s", "open_swap_id", "ready", "swap_modes", "swap_order")

    def __init__(self, lane_id: str, swap_order: str) -> None:
        self.lane_id = lane_id
        self.ready = True
        self.swap_modes: frozenset[str] = frozenset()
        self.open_swap_id: str | None = None
        self.swap_order = swap_order
        self.lost_s = 0.0
        """Time lost to failures so far, s; what was planned before a failure comes later by it."""

    def frozen(self) -> LaneView:
        """As the live controller would show it."""
        return LaneView(**{name: getattr(self, name) for name in LaneView.__dataclass_fields__})


class StationTruck(Truck):
    """A truck with the fields of `scheduler.types.QueueEntry`."""

    __slots__ = (
        "_arrived_at",
        "accepts",
        "booked_from_at",
        "booked_until_at",
        "dispatch",
        "epoch_at",
        "installed_kinds",
        "lane",
        "late_s",
        "lost_s",
        "min_energy_kwh",
        "packs_needed",
        "soc_pct",
        "spent",
        "stored",
        "stores",
        "swap_id",
        "swap_mode",
        "taken",
        "vehicle_id",
    )

    swap_id: str
    vehicle_id: str
    accepts: frozenset[str]
    packs_needed: int
    swap_mode: str
    booked_from_at: datetime | None
    booked_until_at: datetime | None
    min_energy_kwh: float
    installed_kinds: tuple[str, ...] | None
    soc_pct: tuple[float, ...]
    """Of the packs that come off."""
    lane: LaneNow
    dispatch: Any
    late_s: float
    """Time that its swap has lost to failures of the lane."""
    lost_s: float
    """The lane's lost time when the next move was planned."""
    stores: tuple[tuple[float, int], ...]
    """Share of the swap after which a spent pack is in its bay, and its seat."""
    stored: int
    """Packs set down so far."""
    spent: list[PackNow]
    taken: list[PackNow]

    def __init__(self, epoch_at: datetime, at_s: float, swap_s: float, priority: int) -> None:
        super().__init__(at_s, 0.0, swap_s, priority)
        self.epoch_at = epoch_at
        """Start of the study."""
        self._arrived_at: datetime | None = None

    @property
    def arrived_at(self) -> datetime:
        """Worked out when a decision asks."""
        at = self._arrived_at
        if at is None:
            at = self._arrived_at = self.epoch_at + timedelta(0, self.at_s)
        return at

    def frozen(self) -> QueueEntry:
        """As the live controller would show it."""
        return QueueEntry(**{name: getattr(self, name) for name in QueueEntry.__dataclass_fields__})


class StationNow:
    """Everything a decision may know."""

    __slots__ = ("bays", "epoch_at", "held_empty_bays", "lanes", "limits", "mode", "queue", "time")

    def __init__(
        self,
        time: StudyTime,
        epoch_at: datetime,
        bays: tuple[BayNow, ...],
        lanes: tuple[LaneNow, ...],
        queue: deque[StationTruck],
        limits: SiteLimits,
    ) -> None:
        self.time = time
        self.epoch_at = epoch_at
        """Start of the study."""
        self.mode = StationMode.AUTOMATIC
        self.bays = bays
        self.lanes = lanes
        self.queue = queue
        self.limits = limits
        self.held_empty_bays = 0

    @property
    def at(self) -> datetime:
        """The present instant."""
        return self.epoch_at + timedelta(0, self.time.now)

    def frozen(self) -> StationView:
        """The view that the live controller would build."""
        return StationView(
            at=self.at,
            mode=self.mode,
            bays=tuple(bay.frozen() for bay in self.bays),
            lanes=tuple(lane.frozen() for lane in self.lanes),
            queue=tuple(truck.frozen() for truck in self.queue),
            limits=self.limits,
            held_empty_bays=self.held_empty_bays,
        )
