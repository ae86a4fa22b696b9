"""The charging plan carried forward: what the rack would do over the next hours with the packs it holds.

Decisions are those of `scheduler.charging`, physics that of `battery_bms.pack`. No truck comes, temperatures
stay as they are: the plan shows how fast the stock recovers and what it costs, not a forecast of the day. A live
station's view carried forward says when a pack is expected to be ready.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import inf, isfinite

from battery_bms.pack import (
    PackSpec,
    advance_energy,
    allowed_charge_kw,
    energy_at_soc_kwh,
    soc_pct,
    spec_from_section,
    time_to_soc_s,
)
from scheduler.charging import plan_charging, policy_from_section
from scheduler.choice import is_offerable
from scheduler.demand_response import limit_at
from scheduler.guide import Planner
from scheduler.response.traffic import Traffic
from scheduler.site import DrEventSection
from scheduler.tariff import Tariff
from scheduler.types import (
    BayRole,
    BayView,
    ChargingPolicy,
    PackState,
    PackView,
    QueueEntry,
    Setpoint,
    SiteLimits,
    StationMode,
    StationView,
    TariffSlice,
)
from scheduler.view_rows import rows_of
from swap.config.station_file import StationConfig
from swap.errors import InvalidInput


@dataclass(slots=True)
class StockedPack:
    """A pack in a bay at the start of the plan."""

    pack_id: str
    kind: str
    soh_pct: float
    energy_kwh: float


@dataclass(frozen=True, slots=True)
class PlannedBay:
    """One bay over one step."""

    bay_id: str
    pack_id: str
    soc_pct: float
    """At the beginning of the step."""
    power_kw: float
    """Set-point; what flows may be less, as the BMS tapers within the step."""
    limited_by: str


@dataclass(frozen=True, slots=True)
class PlanStep:
    """All bays over one step."""

    at: datetime
    period: str
    price_yuan_per_kwh: Decimal
    setpoint_kw: float
    energy_kwh: float
    """Given by the chargers during the step (DC)."""
    import_kwh: float
    """What they drew from the grid for that (AC); the base load comes on top."""
    bays: tuple[PlannedBay, ...]


def stock_of_file(config: StationConfig) -> dict[str, StockedPack]:
    """The packs that the station file puts into rack bays, by bay."""
    stock = {}
    for pack in config.packs:
        if pack.bay is not None and config.bay(pack.bay).role == "rack":
            spec = spec_from_section(config.pack_kind(pack.kind))
            energy_kwh = energy_at_soc_kwh(pack.soc_pct, spec, pack.soh_pct)
            stock[pack.bay] = StockedPack(pack.id, pack.kind, pack.soh_pct, energy_kwh)
    return stock


def set_soc(config: StationConfig, stock: Mapping[str, StockedPack], bay_id: str, soc: float) -> None:
    """Start the pack in a bay at another state of charge. Raises InvalidInput."""
    if bay_id not in stock:
        raise InvalidInput("bay", bay_id, f"a bay with a pack: {', '.join(stock) or 'none'}")
    if not 0 <= soc <= 100:
        raise InvalidInput(f"soc of bay {bay_id}", soc, "0…100 %")
    pack = stock[bay_id]
    pack.energy_kwh = energy_at_soc_kwh(soc, spec_from_section(config.pack_kind(pack.kind)), pack.soh_pct)


def project_charging(
    config: StationConfig,
    stock: Mapping[str, StockedPack],
    tariff: Tariff,
    *,
    start_at: datetime,
    hours: float,
    step_min: int,
    temp_c: float = 25.0,
) -> tuple[PlanStep, ...]:
    """The plan from `start_at` on."""
    specs = {kind.id: spec_from_section(kind) for kind in config.pack_kinds}
    policy = policy_from_section(config.charging, kinds=list(specs.values()))
    until_at = start_at + timedelta(hours=hours)
    slices = tariff.slices(start_at, until_at + timedelta(hours=24))
    steps = []
    dr_limit_kw = dr_limits(config)
    begin = view_of_stock(config, specs, stock, start_at, temp_c, dr_limit_kw(start_at))
    step_s = step_min * 60.0
    for step in carry_forward(begin, policy, specs, slices, step_s=step_s, until_at=until_at, dr_limit_kw=dr_limit_kw):
        bays = []
        for bay in step.view.bays:
            if bay.pack is not None and bay.bay_id in stock:
                setpoint = step.plan[bay.bay_id]
                bays.append(
                    PlannedBay(
                        bay_id=bay.bay_id,
                        pack_id=bay.pack.pack_id,
                        soc_pct=bay.pack.soc_pct or 0.0,
                        power_kw=setpoint.power_kw,
                        limited_by=str(setpoint.limited_by),
                    )
                )
        steps.append(
            PlanStep(
                at=step.view.at,
                period=tariff.period_at(step.view.at),
                price_yuan_per_kwh=tariff.price_at(step.view.at),
                setpoint_kw=sum(bay.power_kw for bay in bays),
                energy_kwh=step.drawn_kwh,
                import_kwh=step.drawn_kwh / config.site.charger_efficiency,
                bays=tuple(bays),
            )
        )
    return tuple(steps)


DrLimit = Callable[[datetime], float | None]
"""Import limit of demand response at an instant, kW."""


def dr_limits(config: StationConfig, orders: Sequence[DrEventSection] = ()) -> DrLimit:
    """The demand response that a station has accepted: that of its file, and single events."""
    events, zone = (*config.site.demand_response, *orders), config.station.zone
    return lambda at: limit_at(events, at, zone)[0]


@dataclass(frozen=True, slots=True)
class ForwardStep:
    """One step of a view that is carried forward."""

    view: StationView
    """At its beginning."""
    plan: Mapping[str, Setpoint]
    drawn_kwh: float
    """From the chargers' outputs."""
    ready_at: Mapping[str, datetime]
    """By bay, packs that come to what may be offered in this step."""
    lasts_s: float


def carry_forward(
    view: StationView,
    policy: ChargingPolicy,
    specs: Mapping[str, PackSpec],
    slices: Sequence[TariffSlice],
    *,
    step_s: float,
    until_at: datetime,
    dr_limit_kw: DrLimit,
    planner: Planner | None = None,
    traffic: Traffic | None = None,
    stops: Collection[datetime] = (),
) -> Iterator[ForwardStep]:
    """Let the packs of a view charge as the plan says, step by step. Pure: the same view gives the same steps.

    A pack of unknown energy or kind, and one that may not charge now, stays as it is.

    Args:
        step_s: longest step.
        planner: whose guides are carried out; None: the price rule.
        traffic: trucks that come; steps then end also where one does, and where a pack is ready or full.
        stops: instants at which a step ends.
    """
    longest_s = step_s
    while view.at < until_at:
        if traffic is not None:
            view = traffic.take_in(view)
        plan = plan_charging(view, policy, specs, slices, planner)
        step_s = min([longest_s, *((at - view.at).total_seconds() for at in stops if at > view.at)])
        if traffic is not None:
            step_s = min(step_s, _until_change_s(view, plan, policy, specs, traffic))
        drawn_kwh = 0.0
        bays, ready_at = [], {}
        for bay in view.bays:
            pack, power_kw = bay.pack, plan[bay.bay_id].power_kw
            spec = None if pack is None else specs.get(pack.kind)
            energy_kwh = None if pack is None or spec is None else _energy_kwh(pack, spec)
            if pack is not None and spec is not None and energy_kwh is not None:
                after_kwh, drawn = advance_energy(spec, pack.soh_pct, energy_kwh, power_kw, step_s)
                drawn_kwh += drawn
                soc = soc_pct(after_kwh, spec, pack.soh_pct)
                state = pack.state
                if state in (PackState.WAITING, PackState.CHARGING) and soc >= policy.offer_soc_pct:
                    left_s = time_to_soc_s(spec, pack.soh_pct, energy_kwh, power_kw, policy.offer_soc_pct)
                    ready_at[bay.bay_id] = view.at + timedelta(seconds=min(left_s, step_s))
                    state = PackState.READY
                allowed_kw = pack.max_charge_kw
                if power_kw > 0.0 and pack.temp_max_c is not None:
                    allowed_kw = allowed_charge_kw(spec, soc, pack.temp_max_c)
                pack = replace(pack, energy_kwh=after_kwh, soc_pct=soc, state=state, max_charge_kw=allowed_kw)
            bays.append(replace(bay, pack=pack))
        yield ForwardStep(view, plan, drawn_kwh, ready_at, step_s)
        next_at = view.at + timedelta(seconds=step_s)
        limits = replace(view.limits, dr_limit_kw=dr_limit_kw(next_at))
        view = replace(view, at=next_at, bays=tuple(bays), limits=limits)


_AFTER_S = 1e-3
"""A step goes so far beyond the instant at which a pack reaches a level, for rounding."""


def _until_change_s(
    view: StationView,
    plan: Mapping[str, Setpoint],
    policy: ChargingPolicy,
    specs: Mapping[str, PackSpec],
    traffic: Traffic,
) -> float:
    """Until the next truck, or until the first pack on a charger is ready or full."""
    next_at = traffic.next_at(view.at)
    found_s = inf if next_at is None else (next_at - view.at).total_seconds()
    for bay in view.bays:
        pack, power_kw = bay.pack, plan[bay.bay_id].power_kw
        if pack is None or power_kw <= 0.0 or (spec := specs.get(pack.kind)) is None:
            continue
        energy_kwh = _energy_kwh(pack, spec)
        if energy_kwh is None:
            continue
        for goal_pct in (policy.offer_soc_pct, policy.target_soc_pct):
            if (pack.soc_pct or 0.0) < goal_pct:
                left_s = time_to_soc_s(spec, pack.soh_pct, energy_kwh, power_kw, goal_pct)
                found_s = min(found_s, left_s + _AFTER_S)
    return found_s


def _energy_kwh(pack: PackView, spec: PackSpec) -> float | None:
    if pack.energy_kwh is not None and isfinite(pack.energy_kwh):
        return pack.energy_kwh
    if pack.soc_pct is None or not 0.0 <= pack.soc_pct <= 100.0:
        return None
    return energy_at_soc_kwh(pack.soc_pct, spec, pack.soh_pct)


READY_STEP_S = 300.0
"""Steps in which a live view is carried forward; within one a pack's own end is exact."""
READY_HORIZON_H = 6.0
"""A pack that is not ready by then is given no time: too much happens until then."""


def ready_times(
    view: StationView,
    policy: ChargingPolicy,
    specs: Mapping[str, PackSpec],
    slices: Sequence[TariffSlice],
    dr_limit_kw: DrLimit,
) -> dict[str, datetime]:
    """When the pack of a bay is expected to be charged enough to be offered, by bay; packs that are ready already and
    those with no end in sight are left out."""
    waiting = sum(bay.pack is not None and bay.pack.state in _TO_COME for bay in view.bays)
    until_at = view.at + timedelta(hours=READY_HORIZON_H)
    found: dict[str, datetime] = {}
    forward = carry_forward(
        view, policy, specs, slices, step_s=READY_STEP_S, until_at=until_at, dr_limit_kw=dr_limit_kw
    )
    for step in forward:
        found |= step.ready_at
        if len(found) >= waiting:
            break
    return found


_TO_COME = frozenset({PackState.WAITING, PackState.CHARGING})


def expected_packs(
    view: StationView, policy: ChargingPolicy, order: Sequence[QueueEntry], ready_at: Mapping[str, datetime]
) -> dict[str, datetime]:
    """When the packs for each waiting truck are expected, in the order in which trucks are served.

    Each takes the packs of one kind that are there first; who comes before does not wait. A truck for which there
    will not be enough is left out.
    """
    by_kind: dict[str, list[datetime]] = {}
    rows = {row.bay_id: row for row in rows_of(view, {}).bays}
    for bay in view.bays:
        if bay.pack is None:
            continue
        at = view.at if is_offerable(rows[bay.bay_id], policy) else ready_at.get(bay.bay_id)
        if at is not None and bay.reserved_by is None:
            by_kind.setdefault(bay.pack.kind, []).append(at)
    for instants in by_kind.values():
        instants.sort()
    found: dict[str, datetime] = {}
    for entry in order:
        offers = [
            (instants[entry.packs_needed - 1], kind)
            for kind in sorted(entry.accepts)
            if len(instants := by_kind.get(kind, [])) >= entry.packs_needed
        ]
        if offers:
            found[entry.swap_id], kind = min(offers)
            del by_kind[kind][: entry.packs_needed]
    return found


def estimated_starts(
    view: StationView, order: Sequence[QueueEntry], packs_at: Mapping[str, datetime], swap_s: float
) -> dict[str, datetime]:
    """When each waiting truck is expected to be called, by swap: its lane is free and its packs are there. Pure.

    Each lane takes `swap_s` a truck; of one that is being served half is taken to be left. Empty while no truck is
    called; a truck for which no packs are expected is left out.

    Args:
        packs_at: as from `expected_packs`.
    """
    if view.mode is not StationMode.AUTOMATIC:
        return {}
    half = timedelta(seconds=swap_s / 2)
    free_at = {lane.lane_id: view.at if lane.open_swap_id is None else view.at + half for lane in view.lanes}
    modes = {lane.lane_id: lane.swap_modes for lane in view.lanes}
    found: dict[str, datetime] = {}
    for entry in order:
        lanes = [name for name in free_at if not modes[name] or entry.swap_mode in modes[name]]
        if not lanes or entry.swap_id not in packs_at:
            continue
        lane = min(lanes, key=lambda name: free_at[name])
        found[entry.swap_id] = max(free_at[lane], packs_at[entry.swap_id], view.at)
        free_at[lane] = found[entry.swap_id] + timedelta(seconds=swap_s)
    return found


def view_of_stock(
    config: StationConfig,
    specs: Mapping[str, PackSpec],
    stock: Mapping[str, StockedPack],
    at: datetime,
    temp_c: float,
    dr_limit_kw: float | None,
) -> StationView:
    """A station with these packs in its bays, where nobody waits."""
    return StationView(
        at=at,
        mode=StationMode.AUTOMATIC,
        bays=tuple(
            BayView(
                bay_id=bay.id,
                position=bay.position,
                role=BayRole(bay.role),
                kinds=frozenset(bay.kinds),
                max_charge_kw=bay.charger_kw,
                occupied=bay.id in stock,
                pack=pack_view(config, specs, stock[bay.id], temp_c) if bay.id in stock else None,
                lanes=frozenset(bay.lanes),
            )
            for bay in config.bays
        ),
        limits=SiteLimits(
            grid_limit_kw=config.site.grid_limit_kw,
            base_load_kw=config.site.base_load_kw,
            dr_limit_kw=dr_limit_kw,
            charger_efficiency=config.site.charger_efficiency,
        ),
    )


def pack_view(config: StationConfig, specs: Mapping[str, PackSpec], pack: StockedPack, temp_c: float) -> PackView:
    """A pack as the rules see it once it has been read."""
    spec = specs[pack.kind]
    soc = soc_pct(pack.energy_kwh, spec, pack.soh_pct)
    return PackView(
        pack_id=pack.pack_id,
        kind=pack.kind,
        state=PackState.READY if soc >= config.charging.offer_soc_pct else PackState.WAITING,
        rated_kwh=spec.rated_kwh,
        soh_pct=pack.soh_pct,
        energy_kwh=pack.energy_kwh,
        soc_pct=soc,
        temp_max_c=temp_c,
        temp_min_c=temp_c,
        max_charge_kw=allowed_charge_kw(spec, soc, temp_c),
        reading_age_s=0.0,
    )
