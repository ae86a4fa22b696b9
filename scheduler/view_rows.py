"""The rows of a frozen view: what the live station knows, as the rules read it. Unknown becomes NaN."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.rows import NAN, BayRow, KindRow, LaneRow, PackRow, TruckRow
from scheduler.types import BayView, KindLimits, LaneView, PackView, QueueEntry, StationView


class StationRows:
    """A station as rows; everything in the order of the view."""

    def __init__(
        self,
        at_s: float,
        bays: list[BayRow],
        lanes: list[LaneRow],
        queue: list[TruckRow],
        promised: list[TruckRow],
        kinds: dict[str, KindRow],
    ) -> None:
        self.at_s = at_s
        self.bays = bays
        self.lanes = lanes
        self.queue = queue
        self.promised = promised
        self.kinds = kinds
        """By name; one without limits for a pack of a kind that nobody knows."""


def rows_of(view: StationView, limits: Mapping[str, KindLimits]) -> StationRows:
    """The rows of a view; instants count from 1970."""
    kinds = {
        name: KindRow(name, kind.max_charge_kw, kind.charge_temp_min_c, kind.charge_temp_max_c)
        for name, kind in limits.items()
    }
    bays = [bay_row(bay, kinds) for bay in view.bays]
    lanes = [lane_row(lane) for lane in view.lanes]
    queue, promised = [truck_row(entry) for entry in view.queue], [truck_row(entry) for entry in view.promised]
    return StationRows(view.at.timestamp(), bays, lanes, queue, promised, kinds)


def bay_row(view: BayView, kinds: dict[str, KindRow]) -> BayRow:
    """One bay; a kind that is not in `kinds` is added to them without limits."""
    bay = BayRow(view.bay_id, view.position, view.role, view.max_charge_kw)
    bay.kinds, bay.lanes = view.kinds, view.lanes
    bay.charger_ok, bay.blocked, bay.occupied = view.charger_ok, view.blocked, view.occupied
    bay.reserved_by = view.reserved_by
    if view.pack is not None:
        name = view.pack.kind
        if name not in kinds:
            kinds[name] = KindRow(name)
        bay.pack = _pack_row(view.pack, kinds[name])
    return bay


def _pack_row(view: PackView, kind: KindRow) -> PackRow:
    pack = PackRow(view.pack_id, kind, view.state, view.rated_kwh, view.soh_pct)
    # An energy that is not told stands back behind the state of charge; one that is told as NaN is nonsense.
    pack.energy_kwh = NAN if view.energy_kwh is None else view.energy_kwh if view.energy_kwh >= 0.0 else -1.0
    pack.soc_pct = _known(view.soc_pct)
    pack.temp_max_c, pack.temp_min_c = _known(view.temp_max_c), _known(view.temp_min_c)
    pack.max_charge_kw = _known(view.max_charge_kw)
    pack.alarm_level = view.alarm_level
    pack.reading_age_s = _known(view.reading_age_s)
    return pack


def lane_row(view: LaneView) -> LaneRow:
    """One lane."""
    lane = LaneRow(view.lane_id, in_out=view.swap_order == "in_out")
    lane.ready, lane.open_swap_id, lane.swap_modes = view.ready, view.open_swap_id, view.swap_modes
    return lane


def truck_row(entry: QueueEntry) -> TruckRow:
    """One truck that waits."""
    truck = TruckRow(entry.swap_id, entry.vehicle_id, entry.arrived_at.timestamp(), entry.accepts)
    truck.packs_needed, truck.swap_mode, truck.priority = entry.packs_needed, entry.swap_mode, entry.priority
    truck.min_energy_kwh = entry.min_energy_kwh
    if entry.installed_kinds is not None:
        truck.seats = [frozenset((kind,)) for kind in entry.installed_kinds]
    if entry.booked_from_at is not None:
        truck.booked_from_s = entry.booked_from_at.timestamp()
    if entry.booked_until_at is not None:
        truck.booked_until_s = entry.booked_until_at.timestamp()
    return truck


def _known(value: float | None) -> float:
    return NAN if value is None else value
