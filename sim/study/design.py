"""A size of the station and what it costs in a year."""

from __future__ import annotations

from dataclasses import dataclass

from sim.scenario.file import Scenario
from sim.study.study import RunResult

YEAR_DAYS = 365.0
RESOURCES = ("packs", "chargers", "transformer_kva", "lanes", "storage_kwh", "extra_bays")


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


def investment_yuan(scenario: Scenario, design: Design) -> float:
    """What the equipment costs to buy, yuan."""
    costs, equipment = scenario.costs, applied(scenario, design).equipment
    pack_kwh = sum(scenario.pack_kind(kind).rated_kwh * count for kind, count in equipment.packs.items())
    return (
        costs.pack_yuan_per_kwh * pack_kwh
        + costs.charger_yuan_per_kw * equipment.charger_kw * design.chargers
        + costs.transformer_yuan_per_kva * design.transformer_kva
        + costs.lane_yuan * design.lanes
        + costs.bay_yuan * equipment.bay_count
        + costs.storage_yuan_per_kwh * design.storage_kwh
    )


def capital_parts(scenario: Scenario, design: Design) -> dict[str, float]:
    """Annuities of the equipment, capacity charge and staff, yuan a year. Packs on trucks are not the station's."""
    costs, equipment = scenario.costs, applied(scenario, design).equipment

    def annuity(yuan: float, years: float) -> float:
        rate = costs.interest
        return yuan / years if rate == 0 else yuan * rate / (1 - (1 + rate) ** -years)

    pack_kwh = sum(scenario.pack_kind(kind).rated_kwh * count for kind, count in equipment.packs.items())
    years = costs.plant_life_years
    return {
        "packs": annuity(costs.pack_yuan_per_kwh * pack_kwh, costs.pack_life_years),
        "chargers": annuity(
            costs.charger_yuan_per_kw * equipment.charger_kw * design.chargers, costs.charger_life_years
        ),
        "transformer": annuity(costs.transformer_yuan_per_kva * design.transformer_kva, years)
        + costs.kva_yuan_per_year * design.transformer_kva,
        "lanes": annuity(costs.lane_yuan * design.lanes, years),
        "bays": annuity(costs.bay_yuan * equipment.bay_count, years),
        "storage": annuity(costs.storage_yuan_per_kwh * design.storage_kwh, years),
        "staff": costs.staff_yuan_per_year
        + costs.staff_yuan_per_h * scenario.staff.person_hours_a_week * YEAR_DAYS / 7,
    }


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
