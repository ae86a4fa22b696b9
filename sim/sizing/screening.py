"""Bounds on what a design can do, found without simulating it. They flatter a design, never the reverse.

The lane's bound is an exact first-come-first-served recursion over the trucks that the engine would see:
start = the latest of arrival, first free lane, first charged pack; charge start = the later of set-down and
first free charger. Charges run at the charger's full power up to the BMS limit, without price, transformer
or temperature. With no packs named, packs never run out. A test compares the recursion truck by truck with
the engine at fixed times.

Bookings and priorities serve some trucks out of turn, which can bring more of them inside a limit than
first come first served does; `MARGIN` covers that, and a test against the whole grid watches it. Trucks that
give up or drive on make room for others, so then only the capacities bound the share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from heapq import heapify, heapreplace
from math import ceil, inf
from pathlib import Path

from battery_bms.pack import energy_at_soc_kwh, spec_from_section, time_to_soc_s
from scheduler.demand_response import limit_at
from scheduler.tariff_files import load_tariff
from sim.scenario.demand import arrivals
from sim.scenario.file import EquipmentSection, Scenario
from sim.scenario.streams import Purpose, stream
from sim.study.swap_times import stretch_of, swap_plan
from swap.station.sequence.recipe import load_recipe

DAY_S = 86_400.0
HOUR = timedelta(hours=1)
SERVED = 0.99
"""Least share of the energy that a design which keeps its promise hands out of what another does on the same trucks,
where none drives on: some may still wait at the end."""
MARGIN = 0.03
"""Share that serving out of turn may gain over first come first served."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Trucks of one replication, as the recursion wants them; one entry for each pack's truck."""

    at_s: tuple[float, ...]
    swap_s: tuple[float, ...]
    charge_s: tuple[float, ...]
    """Least time from set-down to ready, of the slowest pack of the truck."""
    output_kwh: float
    """Energy at the chargers' output until ready, all trucks together."""
    packs: int
    """Packs exchanged in a swap; the most of all models."""
    store_share: float
    """Share of the lane time after which the first spent pack is in its bay."""


def fifo_starts(
    at_s: Sequence[float],
    swap_s: Sequence[float],
    charge_s: Sequence[float],
    *,
    lanes: int,
    packs: int | None,
    chargers: int | None,
    store_share: float = 1.0,
) -> list[float]:
    """Start of each swap, first come first served; `None` packs or chargers never run out."""
    lane_free = [0.0] * lanes
    ready = [0.0] * (packs or 0)
    charger_free = [0.0] * (chargers or 0)
    heapify(lane_free)
    starts = []
    for at, swap, charge in zip(at_s, swap_s, charge_s, strict=True):
        start = max(at, lane_free[0])
        if packs is not None and ready[0] > start:
            start = ready[0]
        heapreplace(lane_free, start + swap)
        if packs is not None:
            stored = start + swap * store_share
            if chargers is not None:
                stored = max(stored, charger_free[0])
                heapreplace(charger_free, stored + charge)
            heapreplace(ready, stored + charge)
        starts.append(start)
    return starts


def trace_of(scenario: Scenario, seed: int, replication: int, days: float) -> Trace:
    """The trucks that the engine would see, with the same draws."""
    equipment = scenario.equipment
    recipe = load_recipe(equipment.recipe, Path(scenario.folder))
    specs = {kind.id: spec_from_section(kind) for kind in scenario.pack_kinds}
    plans = {
        model.id: swap_plan(recipe.table(model.packs_per_vehicle, equipment.swap_order), equipment.swap_s)
        for model in scenario.vehicle_models
    }
    offer_pct, soh_pct = scenario.charging.offer_soc_pct, equipment.soh_pct
    draw = stream(seed, replication, Purpose.SWAP_TIME)
    at_s, swap_s, charge_s = [], [], []
    output_kwh = 0.0
    for arrival in arrivals(scenario, scenario.start_at, seed, replication):
        if arrival.at_s > days * DAY_S:
            break
        if not arrival.comes:
            continue
        at_s.append(arrival.at_s)
        swap_s.append(plans[arrival.model].nominal_s * stretch_of(draw, equipment.swap_cv))
        least_s = 1e9
        for kind in scenario.vehicle_model(arrival.model).pack_kinds:
            spec = specs[kind]
            power_kw = min(equipment.charger_kw, spec.max_charge_kw)
            energies_kwh = [energy_at_soc_kwh(soc, spec, soh_pct) for soc in arrival.soc_pct]
            longest_s = max(time_to_soc_s(spec, soh_pct, kwh, power_kw, offer_pct) for kwh in energies_kwh)
            least_s = min(least_s, longest_s)
        charge_s.append(least_s)
        spec = specs[scenario.vehicle_model(arrival.model).pack_kinds[0]]
        ready_kwh = energy_at_soc_kwh(offer_pct, spec, soh_pct)
        output_kwh += sum(
            (ready_kwh - energy_at_soc_kwh(soc, spec, soh_pct)) / spec.charge_efficiency for soc in arrival.soc_pct
        )
    stores = [share for plan in plans.values() for share, what, _ in plan.moves if what == "store"]
    return Trace(
        tuple(at_s),
        tuple(swap_s),
        tuple(charge_s),
        output_kwh,
        max(model.packs_per_vehicle for model in scenario.vehicle_models),
        min(stores, default=1.0),
    )


class EnergyBound:
    """What the electricity of some days costs at least: all of it bought in the cheapest hours with room for it.

    Neither packs nor storage, however many, can move it to better hours, so no design runs for less.
    """

    def __init__(self, scenario: Scenario, from_at: datetime, days: float) -> None:
        """Days on end from an instant on, in the scenario's prices and demand response."""
        tariff = load_tariff(scenario.tariff, scenario.zone, Path(scenario.folder))
        events, zone = scenario.dr_events, scenario.zone
        self._hours: list[tuple[float, float]] = []
        """Least price and most import of each hour, kW, the cheapest first."""
        for number in range(ceil(24 * days)):
            at = from_at + number * HOUR
            price = min(part.price_yuan_per_kwh for part in tariff.slices(at, at + HOUR))
            limits_kw: list[float] = []
            if events:
                limit_kw, change_at = limit_at(events, at, zone)
                limits_kw = [inf if limit_kw is None else limit_kw]
                if change_at < at + HOUR:
                    after_kw = limit_at(events, change_at, zone)[0]
                    limits_kw.append(inf if after_kw is None else after_kw)
            self._hours.append((price, max(limits_kw, default=inf)))
        self._hours.sort()
        patience = scenario.patience
        loses = any(v is not None for v in (patience.balk_at, patience.mean_patience_min, patience.truck_places))
        self._served = scenario.promise.target_share if loses else SERVED

    def least_yuan(self, equipment: EquipmentSection, kwh: float, lost_yuan_per_kwh: float = 0.0) -> float:
        """Least price of the energy of a station that keeps its promise, and of the swaps that it loses.

        Args:
            kwh: what serving all trucks takes at least.
            lost_yuan_per_kwh: what it costs not to serve the trucks that a kWh would.
        """
        chargers_kw = equipment.charger_count * equipment.charger_kw / equipment.charger_efficiency
        power_kw = min(equipment.grid_limit_kw, equipment.base_load_kw + chargers_kw)
        must_kwh, may_kwh = self._served * kwh, (1 - self._served) * kwh
        yuan = 0.0
        for price, limit_kw in self._hours:
            room_kwh = min(power_kw, limit_kw)
            bought_kwh = min(room_kwh, must_kwh)
            must_kwh -= bought_kwh
            yuan += bought_kwh * price
            if bought_kwh < room_kwh and price < lost_yuan_per_kwh:
                served_kwh = min(room_kwh - bought_kwh, may_kwh)
                may_kwh -= served_kwh
                yuan += served_kwh * price
            elif bought_kwh < room_kwh:
                break
        return yuan + may_kwh * lost_yuan_per_kwh


class Screen:
    """Bounds for the designs of one scenario, from one long trace."""

    def __init__(self, scenario: Scenario, seed: int, days: float = 28.0) -> None:
        self._scenario = scenario
        self._days = days
        self.usable = scenario.demand.mode != "fleet"
        """Trucks of a fleet that drive trips come by when they were served: no trace is known in advance."""
        self._trace = trace_of(scenario, seed, 0, days) if self.usable else Trace((), (), (), 0.0, 1, 1.0)
        patience = scenario.patience
        self._losing = any(
            limit is not None for limit in (patience.balk_at, patience.mean_patience_min, patience.truck_places)
        )
        self._share = lru_cache(maxsize=None)(self._fifo_share)

    def best_share(self, equipment: EquipmentSection) -> float:
        """No station with this equipment serves a larger share within the promise."""
        if not self.usable or not self._trace.at_s:
            return 1.0
        bound = min(self._lane_capacity(equipment), self._energy_capacity(equipment))
        if not self._losing and self._trace.packs == 1:
            share = self._share(equipment.lanes, equipment.pack_total, equipment.charger_count)
            served_in_turn = (
                self._scenario.bookings.share == 0 and len({f.priority for f in self._scenario.fleets}) == 1
            )
            bound = min(bound, share if served_in_turn else share + MARGIN)
        return min(bound, 1.0)

    def lane_share(self, lanes: int) -> float:
        """Share within the promise if packs never ran out, first come first served."""
        return self._share(lanes, None, None) if self.usable else 1.0

    def _fifo_share(self, lanes: int, packs: int | None, chargers: int | None) -> float:
        t = self._trace
        starts = fifo_starts(
            t.at_s, t.swap_s, t.charge_s, lanes=lanes, packs=packs, chargers=chargers, store_share=t.store_share
        )
        limit_s = self._scenario.promise.wait_limit_min * 60
        return sum(start - at <= limit_s for start, at in zip(starts, t.at_s, strict=True)) / len(starts)

    def _lane_capacity(self, equipment: EquipmentSection) -> float:
        """Share of the trucks that the lanes have time for."""
        return equipment.lanes * self._days * DAY_S / sum(self._trace.swap_s)

    def _energy_capacity(self, equipment: EquipmentSection) -> float:
        """Share of the energy that transformer and chargers can give; a full rack at the start comes on top.

        Stationary storage starts empty, so over the whole span it gives nothing that the site has not given it.
        """
        scenario = self._scenario
        site_kw = equipment.grid_limit_kw - equipment.base_load_kw + scenario.pv.peak_kw
        power_kw = min(site_kw * equipment.charger_efficiency, equipment.charger_count * equipment.charger_kw)
        stock_kwh = max(kind.rated_kwh for kind in scenario.pack_kinds) * equipment.pack_total
        return (max(power_kw, 0.0) * self._days * 24 + stock_kwh) / self._trace.output_kwh
