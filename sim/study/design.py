"""A size of the station and what it costs in a year."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from sim.scenario.file import Scenario
from sim.study.study import RunResult

YEAR_DAYS = 365.0
RESOURCES = ("packs", "chargers", "transformer_kva", "lanes", "storage_kwh", "extra_bays")


@dataclass(frozen=True, slots=True)
class Bought:
    """Equipment of one kind, bought again whenever its life is over."""

    name: str
    yuan: float
    life_years: float

    def replaced_in(self, years: int) -> tuple[int, ...]:
        """Years at whose end it is bought again; not at the end of the last."""
        return tuple(range(ceil(self.life_years), years, ceil(self.life_years)))

    def book_yuan(self, years: int) -> float:
        """Its price less straight-line depreciation at the end of so many years."""
        last = max(self.replaced_in(years), default=0)
        return self.yuan * max(1 - (years - last) / self.life_years, 0.0)


@dataclass(frozen=True, slots=True, order=True)
class Design:
    """One size of the station."""

    packs: int
    chargers: int
    transformer_kva: float
    lanes: int
    storage_kwh: float = 0.0
    extra_bays: int = 0
    """Bays beyond one for each pack and one for each lane, which a spent pack needs while the full one goes out."""

    def __str__(self) -> str:
        storage = f", {self.storage_kwh:g} kWh storage" if self.storage_kwh else ""
        return (
            f"{self.packs} packs, {self.bays} bays, {self.chargers} chargers, {self.transformer_kva:g} kVA, "
            f"{self.lanes} lane(s){storage}"
        )

    @property
    def spare_bays(self) -> int:
        """Bays more than packs."""
        return max(self.lanes + self.extra_bays, 0)

    @property
    def bays(self) -> int:
        """Bays of the rack."""
        return self.packs + self.spare_bays

    def differs_in(self, other: Design, name: str) -> bool:
        """Whether the amounts of one resource differ."""
        return bool(getattr(self, name) != getattr(other, name))

    def no_larger_than(self, other: Design) -> bool:
        """Whether no resource exceeds the other's."""
        return all(getattr(self, name) <= getattr(other, name) for name in RESOURCES)

    def fails_with(self, other: Design) -> bool:
        """Whether the other's broken promise is this one's too: as much storage, no more of the rest.

        That more storage never serves worse is not proved: its rule spends energy by price, so a larger one may be
        empty when a smaller one is not.
        """
        return self.storage_kwh == other.storage_kwh and self.no_larger_than(other)


def applied(scenario: Scenario, design: Design) -> Scenario:
    """The scenario with this station."""
    changed = scenario.with_equipment(
        packs=design.packs,
        chargers=design.chargers,
        transformer_kva=design.transformer_kva,
        lanes=design.lanes,
        spare_bays=design.spare_bays,
    )
    return changed.model_copy(update={"storage": scenario.storage.sized(design.storage_kwh)})


def design_of(scenario: Scenario) -> Design:
    """The station as the scenario has it."""
    equipment = scenario.equipment
    return Design(
        equipment.pack_total,
        equipment.charger_count,
        equipment.transformer_kva,
        equipment.lanes,
        scenario.storage.energy_kwh,
        equipment.bay_count - equipment.pack_total - equipment.lanes,
    )


def bought_parts(scenario: Scenario, design: Design) -> tuple[Bought, ...]:
    """What is bought, part by part. Packs on trucks are not the station's."""
    costs, equipment = scenario.costs, applied(scenario, design).equipment
    pack_kwh = sum(scenario.pack_kind(kind).rated_kwh * count for kind, count in equipment.packs.items())
    charger_kw, years = equipment.charger_kw * design.chargers, costs.plant_life_years
    return (
        Bought("packs", costs.pack_yuan_per_kwh * pack_kwh, costs.pack_life_years),
        Bought("chargers", costs.charger_yuan_per_kw * charger_kw, costs.charger_life_years),
        Bought("transformer", costs.transformer_yuan_per_kva * design.transformer_kva, years),
        Bought("lanes", costs.lane_yuan * design.lanes, years),
        Bought("bays", costs.bay_yuan * equipment.bay_count, years),
        Bought("storage", costs.storage_yuan_per_kwh * design.storage_kwh, years),
        Bought("pv", costs.pv_yuan_per_kw * scenario.pv.peak_kw, years),
    )


def investment_yuan(scenario: Scenario, design: Design) -> float:
    """What the equipment costs to buy, yuan."""
    return sum(part.yuan for part in bought_parts(scenario, design))


def fixed_parts(scenario: Scenario, design: Design) -> dict[str, float]:
    """What is paid in every year whatever is served, yuan: pay, and the charge for the transformer's capacity."""
    costs = scenario.costs
    hours = scenario.staff.person_hours_a_week * YEAR_DAYS / 7
    return {
        "transformer": costs.kva_yuan_per_year * design.transformer_kva,
        "staff": costs.staff_yuan_per_year + costs.staff_yuan_per_h * hours,
    }


def capital_parts(scenario: Scenario, design: Design) -> dict[str, float]:
    """Annuities of the equipment, capacity charge and staff, yuan a year."""
    fixed, rate = fixed_parts(scenario, design), scenario.costs.interest

    def annuity(part: Bought) -> float:
        years = part.life_years
        return part.yuan / years if rate == 0 else part.yuan * rate / (1 - (1 + rate) ** -years)

    parts = {part.name: annuity(part) for part in bought_parts(scenario, design)}
    return {name: parts.get(name, 0.0) + fixed.get(name, 0.0) for name in (*parts, "staff")}


def capital_yuan_per_year(scenario: Scenario, design: Design) -> float:
    """Sum of `capital_parts`."""
    return sum(capital_parts(scenario, design).values())


def running_parts(scenario: Scenario, run: RunResult) -> dict[str, float]:
    """Energy, lost swaps and waiting of one replication, yuan a year.

    Energy is what was paid less what the packs of the rack have gained meanwhile, so that a large rack that begins
    full is no cheaper for being drained in a short replication.
    """
    costs = scenario.costs
    return {
        "energy": YEAR_DAYS * (run.means["energy_yuan_per_day"] - run.means["stock_yuan_per_day"]),
        "lost swaps": YEAR_DAYS * costs.lost_swap_yuan * run.means["lost_per_day"],
        "waiting": YEAR_DAYS * costs.wait_yuan_per_h * 24 * run.means["mean_waiting_trucks"],
    }


def running_yuan_per_year(scenario: Scenario, run: RunResult) -> float:
    """Sum of `running_parts`."""
    return sum(running_parts(scenario, run).values())
