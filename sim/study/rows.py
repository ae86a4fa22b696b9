"""The rows of `scheduler.rows` with what only the study knows of them: the truth about packs, charges and swaps."""

from __future__ import annotations

from typing import Protocol

from battery_bms.pack.charge import Charge, Curve
from scheduler.guide import EVERY_PACK
from scheduler.rows import BayRow, KindRow, LaneRow, PackRow, TruckRow
from scheduler.types import PackState
from sim.scenario.demand import Arrival
from sim.study.agenda import NEVER, AgendaEvent


class StudyKind(KindRow):
    """A kind of pack, with what the rack has counted of it."""

    def __init__(self, name: str, max_charge_kw: float, temp_min_c: float, temp_max_c: float) -> None:
        super().__init__(name, max_charge_kw, temp_min_c, temp_max_c)
        self.stood = EVERY_PACK
        """What the guide saw of its stock when the rack was planned last."""


class StudyPack(PackRow):
    """One pack. In a bay its energy, state of charge and temperature are those of `StudyBay.since_s`."""

    def __init__(
        self, pack_id: str, kind: StudyKind, curve: Curve, soh_pct: float, soc_pct: float, temp_c: float
    ) -> None:
        super().__init__(pack_id, kind, PackState.WAITING, curve.spec.rated_kwh, soh_pct)
        self.sort = kind
        """Its kind."""
        self.curve = curve
        self.capacity_kwh = curve.capacity_kwh
        self.soc_pct = soc_pct
        self.energy_kwh = soc_pct * curve.capacity_kwh / 100
        self.temp_max_c = self.temp_min_c = temp_c
        self.max_charge_kw = curve.max_kw
        self.reading_age_s = 0.0
        self.temp_safe = True
        """Whatever is done to it, its temperature limits nothing: it need not be followed."""

    def set_energy(self, energy_kwh: float) -> None:
        """Energy and, from it, state of charge."""
        self.energy_kwh = energy_kwh
        self.soc_pct = 100 * energy_kwh / self.capacity_kwh


class StudyBay(BayRow):
    """One bay and what its charger does."""

    def __init__(self, bay_id: str, position: int, charger_kw: float) -> None:
        super().__init__(bay_id, position, max_charge_kw=charger_kw)
        self.occupied = False
        self.place = -1
        """Its place among the bays of the rack; below 0 for one on board of a swap truck, which is never charged."""
        self.content: StudyPack | None = None
        """The pack in it; the same as `pack`."""
        self.power_kw = 0.0
        """Set-point that the charger has."""
        self.charge: Charge | None = None
        """The charge at this set-point; None at 0 kW."""
        self.since_s = 0.0
        """Instant of the pack's energy and temperature."""
        self.crossed_s = -NEVER
        """When the pack last crossed a temperature limit."""
        self.put_s = 0.0
        """When the pack came."""
        self.goal_s = NEVER
        """When the charge makes the pack ready, or full where it is ready already."""
        self.claim_kw = 0.0
        """What its charger could draw at most until its pack is full."""
        self.turn = 0
        """When it last was among those that modules go to, counted by the rack."""
        self.next: AgendaEvent | None = None
        """The next thing that will happen to the pack by itself; made by the rack."""

    def hold(self, pack: StudyPack | None) -> None:
        """A pack is in the bay from now on, or none."""
        self.pack = self.content = pack
        self.occupied = pack is not None
        self.reserved_by = None


class StudyLane(LaneRow):
    """One lane."""

    def __init__(self, lane_id: str, *, in_out: bool) -> None:
        super().__init__(lane_id, in_out=in_out)
        self.lost_s = 0.0
        """Time lost to failures so far, s; what was planned before a failure comes later by it."""


class StudyTruck(TruckRow):
    """A truck, and its swap once it has begun."""

    def __init__(self, swap_id: str, arrival: Arrival, at_s: float, accepts: frozenset[str], swap_s: float) -> None:
        super().__init__(swap_id, arrival.vehicle_id or "", at_s, accepts)
        self.details = arrival
        self.kinds: tuple[str, ...] = ()
        """Of the packs that come off, by seat."""
        self.soc_pct = arrival.soc_pct
        """Of the packs that come off."""
        self.swap_s = swap_s
        """Time it keeps the lane."""
        self.wants: tuple[StudyKind, ...] = ()
        """The kinds that it accepts, as the rack counts them."""
        self.start_s = -1.0
        """When its swap started; below 0 before."""
        self.give_up: AgendaEvent | None = None
        self.lane: StudyLane | None = None
        self.given: list[StudyBay] = []
        """The bays whose packs it gets."""
        self.homes: list[StudyBay] = []
        """The bays that its own packs go to."""
        self.stores: tuple[tuple[float, int], ...] = ()
        """Share of the swap after which a spent pack is in its bay, and its seat."""
        self.stored = 0
        """Packs set down so far."""
        self.late_s = 0.0
        """Time that its swap has lost to failures of the lane."""
        self.lost_s = 0.0
        """The lane's lost time when the next move was planned."""
        self.spent_c: tuple[float | None, ...] = ()
        """Temperature of the packs that come off, by seat; that of the climate where it is None or left out."""
        self.spent_soh_pct: tuple[float, ...] = ()
        """Their state of health; the scenario's where it is left out."""
        self.spent: list[StudyPack] = []
        self.taken: list[StudyPack] = []


class LaneTask(Protocol):
    """What lanes do besides swaps."""

    def build(self) -> None:
        """Lanes and a stocked rack stand."""
        ...

    def begin(self) -> None:
        """The station is complete."""
        ...

    def before_calls(self) -> None:
        """Trucks are about to be called."""
        ...

    def lane_free(self, lane: StudyLane) -> None:
        """A lane has ended its swap or is repaired."""
        ...
