"""What may be promised from, as the database tells it: lanes, packs as they are and as they are expected, promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf, isfinite
from typing import Any

from sqlalchemy import Row, Table, and_, bindparam, func
from sqlalchemy import select as sql_select
from sqlmodel import col, select

from battery_bms.pack import PackSpec, energy_at_soc_kwh, soc_pct, spec_from_section
from scheduler.charging import budget, policy_from_section
from scheduler.types import Limit, PackState, SiteLimits, StationMode
from swap.commerce.bookings.rules import Demand, KindOutlook, Lot, PromiseView
from swap.commerce.bookings.slots import SlotGrid, SlotRange
from swap.commerce.bookings.states import COMING, OPEN, BookingStatus
from swap.config.station_file import BookingSection, StationConfig, VehicleModelSection
from swap.lots import among
from swap.messages.commerce import BookingMade, BookingRefused
from swap.reading.charge_plan import READY_HORIZON_H
from swap.station_db import OfStation, StationDb
from swap.tables import Bay, Booking, Pack, Station, StationEvent, Swap, SwapSeat, VehicleRow

_OUT_OF_USE = frozenset(
    {PackState.BLOCKED, PackState.QUARANTINED, PackState.EVACUATED, PackState.PICKED, PackState.ON_VEHICLE}
)
_NOT_CHARGED = frozenset({Limit.CHARGER_FAULT, Limit.NO_CHARGER, Limit.ALARM, Limit.UNKNOWN, Limit.STALE})
"""Why a bay gives its pack no power, and nobody knows until when."""
_LONG = (StationMode.CLOSED, StationMode.FIRE)
_SWAPS: Table = Swap.__table__  # type: ignore[attr-defined]
_SEATS: Table = SwapSeat.__table__  # type: ignore[attr-defined]
_VEHICLES: Table = VehicleRow.__table__  # type: ignore[attr-defined]
_BOOKINGS: Table = Booking.__table__  # type: ignore[attr-defined]
_BAYS: Table = Bay.__table__  # type: ignore[attr-defined]
_PACKS: Table = Pack.__table__  # type: ignore[attr-defined]
_EVENTS: Table = StationEvent.__table__  # type: ignore[attr-defined]
_STATIONS: Table = Station.__table__  # type: ignore[attr-defined]
# Of the tables, and not of their classes: all of it is read for each booking.
_QUEUED = OfStation(
    sql_select(
        _SWAPS.c.id,
        _SWAPS.c.pack_count,
        _SWAPS.c.priority,
        _VEHICLES.c.model,
        _BOOKINGS.c.id.label("booking_id"),
        _BOOKINGS.c.window_start_at,
        _BOOKINGS.c.window_end_at,
        _BOOKINGS.c.kinds,
        _BOOKINGS.c.min_kwh,
    )
    .join(_VEHICLES, _VEHICLES.c.id == _SWAPS.c.vehicle_id)
    .outerjoin(_BOOKINGS, and_(_BOOKINGS.c.id == _SWAPS.c.booking_id, _BOOKINGS.c.station_id == bindparam("station")))
    .where(_SWAPS.c.station_id == bindparam("station"), _SWAPS.c.ended_at.is_(None), _SWAPS.c.dispatched_at.is_(None))
)
_OPEN = OfStation(
    sql_select(_BOOKINGS, _VEHICLES.c.model, _SWAPS.c.id.label("swap_id"), _SWAPS.c.ended_at.label("swap_ended_at"))
    .join(_VEHICLES, _VEHICLES.c.id == _BOOKINGS.c.vehicle_id)
    .outerjoin(_SWAPS, and_(_SWAPS.c.booking_id == _BOOKINGS.c.id, _SWAPS.c.station_id == bindparam("station")))
    .where(_BOOKINGS.c.station_id == bindparam("station"), among(_BOOKINGS.c.status, OPEN))
    .order_by(_BOOKINGS.c.created_at, _BOOKINGS.c.id)
)
_COMING = (
    select(Booking, VehicleRow.model)
    .join(VehicleRow, col(VehicleRow.id) == Booking.vehicle_id)
    .where(col(Booking.status).in_(COMING))
    .order_by(col(Booking.created_at), col(Booking.id))
)
_MOVING = (
    sql_select(_SEATS.c.old_bay_id, _SEATS.c.new_bay_id)
    .join(_SWAPS, _SWAPS.c.id == _SEATS.c.swap_id)
    .where(_SWAPS.c.station_id == bindparam("station"), _SWAPS.c.ended_at.is_(None), _SWAPS.c.open_lane_id.is_not(None))
    .cte("moving")
)
_RACK = OfStation(
    sql_select(
        _BAYS.c.id,
        _BAYS.c.name,
        _BAYS.c.position,
        _BAYS.c.reading_fresh,
        _BAYS.c.limited_by,
        _PACKS.c.kind,
        _PACKS.c.state,
        _PACKS.c.soh_pct,
        _PACKS.c.soc_pct,
        _PACKS.c.energy_kwh,
        _PACKS.c.reading_at.is_not(None).label("was_read"),
    )
    .join(_PACKS, _PACKS.c.bay_id == _BAYS.c.id)
    .where(_BAYS.c.station_id == bindparam("station"), _BAYS.c.role == "rack", _BAYS.c.blocked.is_(False))
    .where(*(_BAYS.c.id.not_in(sql_select(bay_id).where(bay_id.is_not(None))) for bay_id in _MOVING.c))
    .order_by(_BAYS.c.position)
)
"""Bays of the rack that can be used and that no swap fills or empties, with the pack in each."""
_LAST_BEFORE = (
    sql_select(_EVENTS.c.seq)
    .where(_EVENTS.c.station_id == bindparam("station"), _EVENTS.c.at < bindparam("since"))
    .order_by(_EVENTS.c.at.desc(), _EVENTS.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)
_TOLD_SINCE = OfStation(
    sql_select(_EVENTS.c.seq, _EVENTS.c.data)
    .where(_EVENTS.c.station_id == bindparam("station"), _EVENTS.c.kind == bindparam("kind"))
    .where(_EVENTS.c.seq > func.coalesce(_LAST_BEFORE, 0), _EVENTS.c.at >= bindparam("since"))
    .order_by(_EVENTS.c.seq)
)
"""Events of a kind since an instant, found by their numbers: of all that happened meanwhile few are of the kind."""
_NOW = OfStation(
    sql_select(_STATIONS.c.version, _STATIONS.c.mode, _STATIONS.c.mode_since_at, _STATIONS.c.waiting).where(
        _STATIONS.c.id == bindparam("station")
    )
)


@dataclass(frozen=True, slots=True)
class _OfFile:
    """What promises are made from and the station file alone says."""

    grid: SlotGrid
    modes: Mapping[str, SlotGrid]
    """By swap mode, of the lanes that serve it."""
    specs: Mapping[str, PackSpec]
    kinds: Mapping[str, KindOutlook]
    charge_kw: float

    @classmethod
    def of(cls, config: StationConfig) -> _OfFile:
        """Reckon it."""
        grid = SlotGrid.of(config.bookings, len(config.lanes))
        own = config.bookings.model_copy(update={"capacity_per_slot": None})
        modes: dict[str, SlotGrid] = {}
        for swap_mode in {model.swap_mode for model in config.vehicle_models}:
            serving = sum(lane.swap_mode in (None, swap_mode) for lane in config.lanes)
            if serving:
                modes[swap_mode] = grid if serving == len(config.lanes) else SlotGrid.of(own, serving)
        specs = {kind.id: spec_from_section(kind) for kind in config.pack_kinds}
        charge_kw = _charge_kw(config)
        kinds = {name: _kind(config, spec, charge_kw) for name, spec in specs.items()}
        return cls(grid, modes, specs, kinds, charge_kw)


FILES_MOST = 16
"""Station files of which it is remembered; a process has one."""
_FILES: dict[int, tuple[StationConfig, _OfFile]] = {}


def _of_file(config: StationConfig) -> _OfFile:
    """The same, reckoned once for each station file, which does not change."""
    config_kept, known = _FILES.get(id(config), (None, None))
    if known is None or config_kept is not config:
        if len(_FILES) >= FILES_MOST:
            _FILES.clear()
        known = _OfFile.of(config)
        _FILES[id(config)] = config, known
    return known


def promise_view(db: StationDb, config: StationConfig, at: datetime) -> PromiseView:
    """The station as promises are made from it."""
    rules, known = config.bookings, _of_file(config)
    (station,) = db.rows(_NOW)
    mode = StationMode(station.mode)
    latest_at = at + timedelta(hours=rules.horizon_h)
    last_slot = int(latest_at.timestamp()) // known.grid.slot_s - 1
    return PromiseView(
        at=at,
        grid=known.grid,
        modes=known.modes,
        mode=mode,
        opens_at=at if mode is StationMode.AUTOMATIC else _opens_at(rules, mode, station.mode_since_at, at),
        lots=_lots(db, config, station.waiting, known, at),
        kinds=known.kinds,
        charge_kw=known.charge_kw,
        last_slot=last_slot,
        queue=_queue(db, config, known.grid, at, last_slot),
        version=station.version,
    )


def _opens_at(rules: BookingSection, mode: StationMode, since_at: datetime, at: datetime) -> datetime:
    """When the mode is expected to end: after its usual time, and where that has passed, after as long again."""
    usual_s = 60 * (rules.closed_expected_min if mode in _LONG else rules.hold_expected_min)
    times = max(int((at - since_at).total_seconds()) // usual_s, 0) + 1
    return since_at + timedelta(seconds=times * usual_s)


def _charge_kw(config: StationConfig) -> float:
    """What all chargers may take together by the station file."""
    limits = SiteLimits(
        grid_limit_kw=config.site.grid_limit_kw,
        base_load_kw=config.site.base_load_kw,
        charger_efficiency=config.site.charger_efficiency,
    )
    return min(budget(limits, policy_from_section(config.charging))[0], sum(bay.charger_kw for bay in config.bays))


def _kind(config: StationConfig, spec: PackSpec, charge_kw: float) -> KindOutlook:
    """How a new pack of a kind comes back, at the strongest charger, without the slower end of the curve."""
    charging = config.charging
    power_kw = min(spec.max_charge_kw, max(bay.charger_kw for bay in config.bays), charge_kw) * spec.charge_efficiency
    spent, offer, full = (
        energy_at_soc_kwh(level, spec, 100.0)
        for level in (config.bookings.return_soc_pct, charging.offer_soc_pct, charging.target_soc_pct)
    )
    need_kwh = max(offer - spent, 0.0)
    charge_s = need_kwh / power_kw * 3600 if power_kw > 0.0 else inf
    top_up_s = max(full - offer, 0.0) / power_kw * 3600 if power_kw > 0.0 else inf
    return KindOutlook(charge_s, need_kwh / spec.charge_efficiency, offer, full, top_up_s)


def turnaround_s(view: PromiseView, kinds: Iterable[str]) -> int:
    """Least time after which a pack of these kinds that comes back can be handed out again."""
    found = [view.kinds[kind].charge_s for kind in kinds if kind in view.kinds]
    return int(min([s for s in found if isfinite(s)], default=0.0))


def _lots(
    db: StationDb,
    config: StationConfig,
    waiting: Mapping[str, Any],
    known: _OfFile,
    at: datetime,
) -> tuple[Lot, ...]:
    """Packs of the rack that nobody has taken. When one is charged is what the controller has published, else
    reckoned from what it lacks; a pack that is not heard any more is none."""
    specs, kinds, charge_kw = known.specs, known.kinds, known.charge_kw
    published = waiting.get("ready_at")
    now_s = at.timestamp()
    ready: list[Lot] = []
    lacking: list[tuple[float, Row[Any], PackSpec]] = []
    for pack in db.rows(_RACK):
        if pack.kind not in specs:
            continue
        if PackState(pack.state) in _OUT_OF_USE or (pack.was_read and not pack.reading_fresh):
            continue
        spec = specs[pack.kind]
        energy_kwh = pack.energy_kwh
        if energy_kwh is None:
            # One that nobody has heard yet counts as spent.
            level_pct = config.bookings.return_soc_pct if pack.soc_pct is None else pack.soc_pct
            energy_kwh = energy_at_soc_kwh(level_pct, spec, pack.soh_pct)
        if soc_pct(energy_kwh, spec, pack.soh_pct) + 0.05 >= config.charging.offer_soc_pct:
            ready.append(_lot(config, pack, spec, kinds[pack.kind], now_s, energy_kwh))
        elif pack.limited_by not in _NOT_CHARGED:
            lacking.append((energy_kwh, pack, spec))
    lacking.sort(key=lambda item: (-item[0], item[1].position))
    busy_s = now_s
    for energy_kwh, pack, spec in lacking:
        outlook = kinds[pack.kind]
        offer_kwh = energy_at_soc_kwh(config.charging.offer_soc_pct, spec, pack.soh_pct)
        need_kwh = (offer_kwh - energy_kwh) / spec.charge_efficiency
        power_kw = min(spec.max_charge_kw, config.bay(pack.name).charger_kw, charge_kw)
        if power_kw <= 0.0:
            continue
        busy_s += need_kwh / charge_kw * 3600
        ready_s = max(now_s + need_kwh / power_kw * 3600, busy_s)
        if isinstance(published, dict):
            told = published.get(pack.name)
            # One that the controller sees no end of within its forecast is there after it at the earliest.
            ready_s = datetime.fromisoformat(told).timestamp() if told else max(ready_s, now_s + READY_HORIZON_H * 3600)
        ready.append(_lot(config, pack, spec, outlook, ready_s, offer_kwh))
    return tuple(ready)


def _lot(
    config: StationConfig, pack: Row[Any], spec: PackSpec, outlook: KindOutlook, ready_s: float, energy_kwh: float
) -> Lot:
    full_kwh = energy_at_soc_kwh(config.charging.target_soc_pct, spec, pack.soh_pct)
    full_s = ready_s if energy_kwh >= full_kwh else ready_s + outlook.top_up_s
    return Lot(pack.kind, ready_s, energy_kwh, full_s, max(full_kwh, energy_kwh))


def _queue(db: StationDb, config: StationConfig, grid: SlotGrid, at: datetime, last_slot: int) -> tuple[Demand, ...]:
    """Trucks that have checked in and are not called yet."""
    now = grid.slot_at(at)
    models = {model.id: model for model in config.vehicle_models}
    found: list[Demand] = []
    for swap in db.rows(_QUEUED):
        model = models.get(swap.model)
        if model is None:
            continue
        booked = swap.booking_id is not None
        last = grid.slots_of(swap.window_start_at, swap.window_end_at).last if booked else -1
        found.append(
            Demand(
                key=swap.booking_id if booked else swap.id,
                window=SlotRange(now, last if last >= now else last_slot),
                kinds=frozenset((swap.kinds if booked else ()) or model.pack_kinds),
                packs=swap.pack_count,
                swap_mode=model.swap_mode,
                min_kwh=swap.min_kwh if booked else 0.0,
                priority=swap.priority,
                promised=last >= now,
            )
        )
    return tuple(found)


def open_bookings(db: StationDb) -> Sequence[Row[Any]]:
    """Bookings that have not ended, in the order in which they were made, each with the `model` of its vehicle, and the
    `swap_id` and `swap_ended_at` of the swap that uses it."""
    return db.rows(_OPEN)


def coming_bookings(db: StationDb) -> Sequence[tuple[Booking, str]]:
    """Promises whose truck has not come, with the model of their vehicle, in the order in which they were made."""
    return db.exec(_COMING).all()


def promised_demands(
    db: StationDb,
    config: StationConfig,
    view: PromiseView,
    *,
    bookings: Sequence[Row[Any]] | None = None,
    without: str | None = None,
    asker: str | None = None,
) -> list[Demand]:
    """All that is promised or kept for somebody.

    Args:
        bookings: `open_bookings`, where they have been read.
        without: a booking that is left out, with its alternative.
        asker: a vehicle whose own alternatives are left out: it may have them.
    """
    grid, now = view.grid, view.grid.slot_at(view.at)
    models = {model.id: model for model in config.vehicle_models}
    found = []
    for booking in open_bookings(db) if bookings is None else bookings:
        model = models.get(booking.model)
        if booking.status not in COMING or booking.id == without or model is None:
            continue
        window = grid.slots_of(booking.window_start_at, booking.window_end_at)
        if window.last >= now:
            found.append(demand_of(booking, model, window))
        kept_until_at = booking.alternative_until_at
        if (
            booking.status == BookingStatus.DISRUPTED
            and booking.alternative_start_at is not None
            and booking.alternative_end_at is not None
            and kept_until_at is not None
            and kept_until_at > view.at
        ):
            other = grid.slots_of(booking.alternative_start_at, booking.alternative_end_at)
            found.append(demand_of(booking, model, other, key=f"{booking.id}:alternative"))
    return found + _kept_offers(db, config, view, {model.id: model.swap_mode for model in models.values()}, asker)


def demand_of(booking: Booking | Row[Any], model: VehicleModelSection, window: SlotRange, key: str = "") -> Demand:
    """A booking as a plan reads it; one without kinds, of an old release, is served by all that the vehicle takes."""
    return Demand(
        key=key or booking.id,
        window=window,
        kinds=frozenset(booking.kinds or model.pack_kinds),
        packs=booking.packs,
        swap_mode=model.swap_mode,
        min_kwh=booking.min_kwh,
        priority=booking.priority,
    )


def _told_since(db: StationDb, kind: str, since_at: datetime) -> Sequence[tuple[int, dict[str, Any]]]:
    """Numbers and contents of the events of a kind since an instant, in order."""
    return [(row.seq, row.data) for row in db.rows(_TOLD_SINCE, kind=kind, since=since_at)]


def _kept_offers(
    db: StationDb, config: StationConfig, view: PromiseView, modes: Mapping[str, str], asker: str | None
) -> list[Demand]:
    """Alternatives that are still kept: of each vehicle the newest, unless it has booked since."""
    since_at = view.at - timedelta(seconds=config.bookings.alternative_keep_s)
    newest: dict[str, dict[str, Any]] = {}
    seqs: dict[str, int] = {}
    for seq, told in _told_since(db, BookingRefused.kind, since_at):
        newest[told["vehicle_id"]], seqs[told["vehicle_id"]] = told, seq
    newest.pop(asker or "", None)
    if not newest:
        return []
    for seq, made in _told_since(db, BookingMade.kind, since_at):
        if seq > seqs.get(made["vehicle_id"], seq):
            newest.pop(made["vehicle_id"], None)
    models = dict(db.exec(select(VehicleRow.id, VehicleRow.model).where(col(VehicleRow.id).in_(list(newest)))).all())
    found = []
    for vehicle_id, told in newest.items():
        mode, until = modes.get(models.get(vehicle_id, "")), told.get("kept_until_at")
        if mode is None or until is None or datetime.fromisoformat(until) <= view.at:
            continue
        refused = BookingRefused.read(told)
        start_at, end_at = refused.alternative_start_at, refused.alternative_end_at
        assert start_at is not None
        assert end_at is not None
        found.append(
            Demand(
                key=f"{vehicle_id}:offer",
                window=view.grid.slots_of(start_at, end_at),
                kinds=frozenset(refused.kinds),
                packs=refused.packs,
                swap_mode=mode,
                min_kwh=refused.min_kwh,
                priority=refused.priority,
            )
        )
    return found
