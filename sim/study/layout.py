"""What a station is built of: lanes, bays, and the packs in them at the start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from battery_bms.pack.charge import curve_of
from battery_bms.pack.spec import PackSpec, spec_from_section
from sim.scenario.demand import Arrival
from sim.scenario.file import Scenario
from sim.scenario.streams import Purpose, stream
from sim.study.rows import StudyBay, StudyKind, StudyLane, StudyPack, StudyTruck
from sim.study.swap_times import RowTime, SwapPlan, nominal_row_s, stretch_of, swap_plan
from swap.station.sequence.recipe import load_recipe

_FIRST: Final = 100_000_000


@dataclass(frozen=True)
class Model:
    """What a vehicle model asks for."""

    accepts: frozenset[str]
    packs: int
    swap_mode: str
    kind: str
    """Kind it carries when nothing else is known."""
    kinds: tuple[str, ...]
    """The same by seat."""
    one_kind: bool
    """It takes no other kind."""
    wants: tuple[StudyKind, ...]
    """The kinds that it accepts, as the rack counts them."""
    plan: SwapPlan
    stores: tuple[tuple[float, int], ...]
    """Share of the swap after which a spent pack is in its bay, and its seat; in order of time."""


class Kinds:
    """The kinds of pack of a scenario: their models, and the rows that decisions read."""

    def __init__(self, scenario: Scenario) -> None:
        self.specs: dict[str, PackSpec] = {kind.id: spec_from_section(kind) for kind in scenario.pack_kinds}
        self.rows = {
            name: StudyKind(name, spec.max_charge_kw, spec.charge_temp_min_c, spec.charge_temp_max_c)
            for name, spec in self.specs.items()
        }
        self.soh_pct = scenario.equipment.soh_pct
        """Of a pack whose state of health is not told."""
        self._usual = {name: curve_of(spec, self.soh_pct) for name, spec in self.specs.items()}
        self._seats: dict[tuple[str, ...], list[frozenset[str]]] = {}

    def pack(self, pack_id: str, kind: str, soc_pct: float, temp_c: float, soh_pct: float | None = None) -> StudyPack:
        """A pack as it is now.

        Raises:
            ValueError: a state of charge or of health, or a temperature, that no pack has.
        """
        soh_pct = self.soh_pct if soh_pct is None else soh_pct
        if not (0.0 <= soc_pct <= 100.0 and 0.0 < soh_pct <= 110.0 and -90.0 < temp_c < 900.0):
            raise ValueError(
                f"pack {pack_id}: state of charge {soc_pct:g} % (0…100), state of health {soh_pct:g} % (above 0, "
                f"at most 110), {temp_c:g} °C (-90…900); correct the stock or the trace it comes from"
            )
        curve = self._usual[kind] if soh_pct == self.soh_pct else curve_of(self.specs[kind], soh_pct)
        return StudyPack(pack_id, self.rows[kind], curve, soh_pct, soc_pct, temp_c)

    def seats(self, kinds: tuple[str, ...]) -> list[frozenset[str]]:
        """The kinds of a truck's packs, by seat, as the rules read them."""
        found = self._seats.get(kinds)
        if found is None:
            found = self._seats[kinds] = [frozenset((kind,)) for kind in kinds]
        return found


class Layout:
    """Lanes, bays and stock of a station before its first event."""

    def __init__(self, lanes: list[StudyLane], bays: list[StudyBay], stock: list[tuple[StudyBay, StudyPack]]) -> None:
        self.lanes = lanes
        self.bays = bays
        self.stock = stock


def scenario_layout(scenario: Scenario, kinds: Kinds, target_soc_pct: float, rack_c: float) -> Layout:
    """The equipment of a scenario with a charged rack, as warm as its room."""
    equipment = scenario.equipment
    in_out = equipment.swap_order == "in_out"
    lanes = [StudyLane(f"L{n}", in_out=in_out) for n in range(1, equipment.lanes + 1)]
    bays = [StudyBay(f"A{n}", n, equipment.charger_kw) for n in range(1, equipment.bay_count + 1)]
    packs = [
        kinds.pack(f"{kind}-{number}", kind, target_soc_pct, rack_c)
        for kind, count in equipment.packs.items()
        for number in range(1, count + 1)
    ]
    return Layout(lanes, bays, list(zip(bays, packs, strict=False)))


def load_models(scenario: Scenario, rows: dict[str, StudyKind], row_s: RowTime = nominal_row_s) -> dict[str, Model]:
    """The vehicle models of a scenario by id.

    Args:
        rows: the kinds of the station.
        row_s: time of each row of the recipe.
    """
    equipment = scenario.equipment
    recipe = load_recipe(equipment.recipe, Path(scenario.folder))
    found = {}
    for model in scenario.vehicle_models:
        packs, kinds = model.packs_per_vehicle, model.pack_kinds
        plan = swap_plan(recipe.table(packs, equipment.swap_order), equipment.swap_s, row_s)
        stores = tuple((share, seat) for share, what, seat in plan.moves if what == "store")
        seats = (kinds[0],) * packs
        found[model.id] = Model(
            frozenset(kinds),
            packs,
            model.swap_mode,
            kinds[0],
            seats,
            len(kinds) == 1,
            tuple(rows[kind] for kind in kinds),
            plan,
            stores,
        )
    return found


class TruckMaker:
    """Makes the trucks of arrivals and the packs that come off them, with the draws of a replication."""

    def __init__(self, scenario: Scenario, seed: int, replication: int, kinds: Kinds, models: dict[str, Model]) -> None:
        self.kinds = kinds
        self.models = models
        self.spent_c = 20.0
        """Temperature of a pack that comes off a truck now."""
        self._swap_cv = scenario.equipment.swap_cv
        self._swap_time = stream(seed, replication, Purpose.SWAP_TIME)
        self._installed: dict[str, tuple[str, ...]] = {}
        """Kinds that a truck carries, where they are not told by its model."""
        self._number = 0

    def truck_of(self, arrival: Arrival) -> StudyTruck:
        """The truck of an arrival; numbered in the order in which they come."""
        model = self.models[arrival.model]
        self._number += 1
        swap_s = model.plan.nominal_s * stretch_of(self._swap_time, self._swap_cv)
        # Eight digits, as the live station gives; the format of a number is slow in the compiled form.
        truck = StudyTruck("S" + str(_FIRST + self._number)[1:], arrival, arrival.at_s, model.accepts, swap_s)
        truck.packs_needed = model.packs
        truck.swap_mode = model.swap_mode
        truck.priority = arrival.priority
        if arrival.booked:
            truck.booked_from_s, truck.booked_until_s = arrival.booked_from_s, arrival.booked_until_s
        truck.kinds = model.kinds if model.one_kind else self._installed.get(truck.vehicle_id, model.kinds)
        truck.seats = self.kinds.seats(truck.kinds)
        truck.stores = model.stores
        truck.wants = model.wants
        return truck

    def coming(self, arrival: Arrival) -> StudyTruck:
        """A truck that has booked and is still to come, as the rules keep packs for it; nothing is drawn."""
        model = self.models[arrival.model]
        vehicle = arrival.vehicle_id or ""
        truck = StudyTruck(f"B{vehicle}", arrival, arrival.booked_from_s, model.accepts, 0.0)
        truck.packs_needed, truck.swap_mode = model.packs, model.swap_mode
        truck.booked_from_s, truck.booked_until_s = arrival.booked_from_s, arrival.booked_until_s
        truck.wants = model.wants
        return truck

    def packs_of(self, vehicle: str) -> tuple[str, ...]:
        """Kinds of the packs that a truck carries, by seat; empty where its model tells."""
        return self._installed.get(vehicle, ())

    def know_packs(self, vehicle: str, kinds: tuple[str, ...]) -> None:
        """Note them; nothing is noted where there are none."""
        if kinds:
            self._installed[vehicle] = kinds

    def spent_pack(self, truck: StudyTruck, seat: int) -> StudyPack:
        """The pack that comes off a seat."""
        temps_c, healths_pct = truck.spent_c, truck.spent_soh_pct
        temp_c = temps_c[seat] if seat < len(temps_c) else None
        soh_pct = healths_pct[seat] if seat < len(healths_pct) else None
        return self.kinds.pack(
            f"{truck.swap_id}-{seat}",
            truck.kinds[seat],
            truck.soc_pct[seat],
            self.spent_c if temp_c is None else temp_c,
            soh_pct,
        )
