"""What a station can shed or absorb in a window: the charging rule carried forward with the trucks that come.

Decisions and physics are those of `swap.reading.charge_plan`, the search is `scheduler.response.flexibility`. What sun
and storage give is not counted on: it comes on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from battery_bms.pack import PackSpec, energy_at_soc_kwh, spec_from_section
from scheduler.charging import policy_from_section
from scheduler.guide import Guide, Planner, PriceRule
from scheduler.optimal.forecast import expected_at_h
from scheduler.optimal.learned import TruckForecast
from scheduler.optimal.outlook import HORIZON, SPENT_SOC_PCT
from scheduler.optimal.planner import GuideKeeper
from scheduler.response.flexibility import Course, CourseOf, CourseStep, Restraint
from scheduler.response.floor import ImportFloor, RaisedPlanner, output_for_import_kw
from scheduler.response.traffic import ComingTruck, RunningSwap, SwapTimes, Traffic
from scheduler.tariff import Tariff
from scheduler.types import ChargingPolicy, LaneView, PackState, QueueEntry, StationView, TariffSlice
from swap.config.station_file import StationConfig, VehicleModelSection
from swap.reading.charge_plan import DrLimit, StockedPack, carry_forward, dr_limits, pack_view, view_of_stock
from swap.reading.least_cost import model_weights, usual_soc_pct
from swap.station.sequence.recipe import load_recipe

AFTER = timedelta(hours=4)
"""A course goes on for so long after its window: trucks that wait for what was not charged in it are seen."""
STEP_S = 120.0
"""Longest step of a course; packs that come to a level and trucks end one sooner."""


@dataclass(frozen=True, slots=True)
class CourseStart:
    """A station at an instant, and what is known of the time ahead."""

    view: StationView
    policy: ChargingPolicy
    specs: Mapping[str, PackSpec]
    prices: Sequence[TariffSlice]
    dr_limit_kw: DrLimit
    trucks: Sequence[ComingTruck]
    """Those that wait too; they need not stand in the view's queue."""
    running: Sequence[RunningSwap] = ()
    planner: Planner | None = None
    """None: the price rule."""
    floors: Sequence[ImportFloor] = ()
    """Of events that were accepted before."""


class _Lifted:
    """A planner that holds nothing back over a span."""

    def __init__(self, planner: Planner, span: Restraint) -> None:
        self._planner, self._span = planner, span

    def guide_at(self, at: datetime, prices: Sequence[TariffSlice]) -> Guide | None:
        """None within the span."""
        return None if self._span.from_at <= at < self._span.until_at else self._planner.guide_at(at, prices)


def courses(beginning: CourseStart, until_at: datetime) -> CourseOf:
    """The courses of a station until `AFTER` the end of a window."""
    limits = replace(beginning.view.limits, pv_kw=0.0, storage_kw=0.0, storage_now_kw=None, measured_import_kw=None)
    view = replace(beginning.view, limits=limits, queue=(), promised=())
    end_at = until_at + AFTER
    came_at = {truck.entry.swap_id: truck.entry.arrived_at for truck in beginning.trucks}
    kinds = tuple(beginning.specs)

    def course(restraint: Restraint | None) -> Course:
        planner = PriceRule(beginning.policy, kinds) if beginning.planner is None else beginning.planner
        floors = [*beginning.floors]
        if restraint is not None and restraint.floor_kw is not None:
            floors.append(ImportFloor(restraint.from_at, restraint.until_at, restraint.floor_kw))
        if floors:
            planner = RaisedPlanner(planner, floors, partial(output_for_import_kw, limits))
        if restraint is not None and restraint.lifted and restraint.floor_kw is None:
            planner = _Lifted(planner, restraint)

        def limit_kw(at: datetime) -> float | None:
            own_kw = beginning.dr_limit_kw(at)
            if restraint is None or restraint.limit_kw is None or not restraint.from_at <= at < restraint.until_at:
                return own_kw
            return restraint.limit_kw if own_kw is None else min(own_kw, restraint.limit_kw)

        stops = {end_at, until_at, *(part.until_at for part in beginning.prices)}
        stops |= {edge for floor in floors for edge in (floor.from_at, floor.until_at)}
        if restraint is not None:
            stops |= {restraint.from_at, restraint.until_at}
        traffic = Traffic(beginning.policy, beginning.trucks, beginning.running)
        steps: list[CourseStep] = []
        begin = replace(view, limits=replace(view.limits, dr_limit_kw=limit_kw(view.at)))
        forward = carry_forward(
            begin,
            beginning.policy,
            beginning.specs,
            beginning.prices,
            step_s=STEP_S,
            until_at=end_at,
            dr_limit_kw=limit_kw,
            planner=planner,
            traffic=traffic,
            stops=stops,
        )
        for step in forward:
            site = step.view.limits
            import_kw = site.base_load_kw + step.drawn_kwh / (step.lasts_s / 3600) / site.charger_efficiency
            ready = sum(
                bay.pack is not None and bay.pack.state is PackState.READY and bay.reserved_by is None
                for bay in step.view.bays
            )
            steps.append(CourseStep(step.view.at, step.view.at + timedelta(seconds=step.lasts_s), import_kw, ready))
        return Course(tuple(steps), traffic.called_at, came_at)

    return course


def beginning_of_file(
    config: StationConfig,
    stock: Mapping[str, StockedPack],
    tariff: Tariff,
    *,
    start_at: datetime,
    until_at: datetime,
    trucks: Sequence[ComingTruck],
    guides: Sequence[Guide] = (),
    temp_c: float = 25.0,
) -> CourseStart:
    """A station whose packs stand as its file or the asker says, in which nobody waits.

    Args:
        guides: of the plan in force, from `start_at` on; where they end, and without any, the price rule charges.
    """
    specs = {kind.id: spec_from_section(kind) for kind in config.pack_kinds}
    dr_limit_kw = dr_limits(config)
    view = view_of_stock(config, specs, stock, start_at, temp_c, dr_limit_kw(start_at))
    policy = policy_from_section(config.charging, kinds=list(specs.values()))
    keeper = GuideKeeper(PriceRule(policy, tuple(specs)), good_for=HORIZON)
    keeper.adopt(start_at, guides)
    return CourseStart(
        replace(view, lanes=_lanes(config)),
        policy,
        specs,
        tariff.slices(start_at, until_at + AFTER + timedelta(hours=1)),
        dr_limit_kw,
        trucks,
        planner=keeper,
    )


def _lanes(config: StationConfig) -> tuple[LaneView, ...]:
    return tuple(
        LaneView(
            lane.id,
            ready=True,
            swap_modes=frozenset({load_recipe(lane.recipe, config.folder).swap_mode}),
            swap_order=lane.swap_order,
        )
        for lane in config.lanes
    )


def swap_times(config: StationConfig, packs: int) -> SwapTimes:
    """What a swap takes by the recipe of the first lane: its rows' usual times, and one look at the cell for each."""
    lane = config.lanes[0]
    at_s, stores = 0.0, {}
    for row in load_recipe(lane.recipe, config.folder).table(packs, lane.swap_order).forward:
        at_s += (row.nominal_s if row.command is not None else 0.0) + lane.cell.poll_s
        if row.move is not None and row.move.pack == "old" and row.move.target == "old_bay":
            stores[row.seat] = at_s
    return SwapTimes(at_s, tuple(stores[seat] for seat in range(1, packs + 1)))


def coming_truck(
    config: StationConfig,
    name: str,
    model: VehicleModelSection,
    at: datetime,
    *,
    soc_pct: Sequence[float] = (),
    booked: tuple[datetime, datetime] | None = None,
    temp_c: float = 25.0,
) -> ComingTruck:
    """A truck of a model that comes at an instant with spent packs.

    Args:
        soc_pct: of its packs, by seat; without any what trucks are taken to come with (`SPENT_SOC_PCT`).
        booked: its window; packs are kept for it as the station's rule of bookings says.
    """
    specs = {kind.id: spec_from_section(kind) for kind in config.pack_kinds}
    kind, packs = model.pack_kinds[0], model.packs_per_vehicle
    levels = tuple(soc_pct) or (SPENT_SOC_PCT,) * packs
    leaves = tuple(
        pack_view(
            config,
            specs,
            StockedPack(f"{name}.{seat}", kind, 100.0, energy_at_soc_kwh(level, specs[kind], 100.0)),
            temp_c,
        )
        for seat, level in enumerate(levels, 1)
    )
    entry = QueueEntry(
        name,
        name,
        at,
        frozenset(model.pack_kinds),
        packs_needed=packs,
        swap_mode=model.swap_mode,
        booked_from_at=None if booked is None else booked[0],
        booked_until_at=None if booked is None else booked[1],
        installed_kinds=(kind,) * packs,
    )
    hold = timedelta(minutes=config.bookings.hold_before_min)
    return ComingTruck(entry, leaves, swap_times(config, packs), None if booked is None else booked[0] - hold)


def expected_trucks(config: StationConfig, known: TruckForecast, at: datetime, hours: float) -> list[ComingTruck]:
    """Trucks at the mean instants of their rates, models in turn by their shares."""
    rates = known.rates(at, hours)
    weights = model_weights(config, known)
    given = dict.fromkeys(weights, 0)
    found = []
    for number, at_h in enumerate(expected_at_h(rates, hours), 1):
        # Each sort in turn as its share asks: who has had least of it.
        name = min(weights, key=lambda one: (given[one] + 1) / weights[one])
        given[name] += 1
        model = config.vehicle_model(name)
        level_pct = usual_soc_pct(known, model.pack_kinds[0])
        soc_pct = () if level_pct is None else (level_pct,) * model.packs_per_vehicle
        found.append(coming_truck(config, f"E{number}", model, at + timedelta(hours=at_h), soc_pct=soc_pct))
    return found
