"""Windows that can be promised now, with the packs that will be there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from swap.commerce.bookings.outlook import promise_view, promised_demands
from swap.commerce.bookings.rules import PromiseView, free_windows
from swap.commerce.bookings.wanted import Wanted, demand_for, served_model
from swap.config.station_file import StationConfig, VehicleModelSection
from swap.errors import InvalidInput
from swap.paging import cut, read_cursor
from swap.reading.records import OfferedPacks, OfferRecord, Page
from swap.station_db import StationDb
from swap.words import N_


@dataclass(frozen=True, slots=True)
class Ask:
    """What offers are asked for."""

    from_at: datetime
    until_at: datetime
    window_min: int | None = None
    """Length of the windows; None: the shortest that can be booked."""
    vehicle_id: str | None = None
    """Whose model counts; None: the first model of the station."""
    kinds: tuple[str, ...] = ()
    min_kwh: float = 0.0


def offers(
    db: StationDb, config: StationConfig, ask: Ask, at: datetime, *, limit: int = 50, cursor: str | None = None
) -> Page[OfferRecord]:
    """Free windows from an instant until another, on the grid of slots; each by itself. Reads only.

    Raises:
        NotFound, NotServed: the vehicle.
        InvalidInput: kinds that the model does not take, or a window that cannot be booked.
    """
    rules = config.bookings
    length_min = rules.min_window_min if ask.window_min is None else ask.window_min
    if not rules.min_window_min <= length_min <= rules.max_window_min:
        raise InvalidInput(
            "window_min",
            length_min,
            N_("{least_min}…{most_min} min"),
            least_min=rules.min_window_min,
            most_min=rules.max_window_min,
        )
    model = _model(db, config, ask.vehicle_id)
    view = promise_view(db, config, at)
    # Windows come in the order of their slots, so the page after a window is asked for from the next slot on.
    from_at = max(ask.from_at, at)
    if cursor is not None:
        from_at = max(from_at, read_cursor(cursor)[0] + timedelta(seconds=view.grid.slot_s))
    wanted = Wanted(ask.vehicle_id or "", from_at, ask.until_at, ask.kinds, None, ask.min_kwh)
    demand = demand_for(config, view, model, wanted, 0)
    bookings = promised_demands(db, config, view, asker=ask.vehicle_id)
    length = -(-length_min // rules.slot_min)
    found = []
    for window, promise in free_windows(view, bookings, demand, length, limit + 1):
        begin_s = window.first * view.grid.slot_s
        found.append(
            OfferRecord(
                window_start_at=view.grid.start_of(window.first),
                window_end_at=view.grid.start_of(window.last + 1),
                kind=promise.kind,
                packs=_packs(view, begin_s),
                promised_in=view.mode.value,
            )
        )
    windows, following = cut(found, limit, lambda one: "", lambda one: one.window_start_at)
    return Page(items=tuple(windows), next_cursor=following)


def _model(db: StationDb, config: StationConfig, vehicle_id: str | None) -> VehicleModelSection:
    return config.vehicle_models[0] if vehicle_id is None else served_model(db, config, vehicle_id)


def _packs(view: PromiseView, at_s: int) -> tuple[OfferedPacks, ...]:
    """Packs of today's rack that are expected to be charged by an instant, promised or not."""
    at_s = max(at_s, int(view.at.timestamp()))
    kinds = sorted({lot.kind for lot in view.lots})
    return tuple(
        OfferedPacks(
            kind=kind,
            ready=sum(lot.kind == kind and lot.ready_s <= at_s for lot in view.lots),
            most_kwh=max(
                (lot.energy_kwh for lot in view.lots if lot.kind == kind and lot.ready_s <= at_s), default=0.0
            ),
        )
        for kind in kinds
    )
