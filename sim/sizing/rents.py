"""Rents of lease contracts in a year of a plan, by the rules of the rent run (`swap.commerce.leases.rating`).

Each truck swaps evenly through the year; what its packs hold, drive and carry follows from the simulated mean. A
contract counts from its first whole period on, for as long as the station stands; deposits are given back and earn
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from sim.scenario.file import Scenario

if TYPE_CHECKING:
    from swap.commerce.leases.terms import LeaseTerms


@dataclass(frozen=True, slots=True)
class TruckYear:
    """What one truck does in a year."""

    swaps: float
    kwh: float
    km: float | None
    tonnes: float | None


def rent_yuan(
    scenario: Scenario, terms: LeaseTerms, trucks: Mapping[str, TruckYear], soh_pct: float, yuan_per_kwh: float
) -> float:
    """Rent of a year.

    Args:
        trucks: by vehicle; others of the contract do not come.
        soh_pct: mean state of health of the packs.
        yuan_per_kwh: mean price of electricity, for what is passed through.
    """
    from swap.commerce.leases.lease import LeaseHistory, Version
    from swap.commerce.leases.lines import KINDS
    from swap.commerce.leases.measured import Facts, HeldPack
    from swap.commerce.leases.rating import rate

    endless = terms.model_copy(update={"last_day": None})
    rated_kwh = {kind.id: Decimal(str(kind.rated_kwh)) for kind in scenario.pack_kinds}
    version = Version(1, terms.first_day, endless, rated_kwh)
    lease = LeaseHistory("plan", (version,), terms.first_day)
    period = terms.calendar.period_of(terms.first_day)
    if period.first < terms.first_day:
        period = terms.calendar.period_of(period.until)
    held_kwh = Decimal(str(scenario.pack_kind(terms.entitlement[0].kind).rated_kwh))
    fen = 0
    for number in range(12 // terms.months):
        begin, end = period.bounds(terms.tz)
        share = terms.months / 12
        swaps, held, meters = [], [], {}
        for vehicle in terms.vehicles:
            does = trucks.get(vehicle)
            if does is None:
                continue
            # Whole swaps: those of the year divided among its periods.
            count = round(does.swaps * share * (number + 1)) - round(does.swaps * share * number)
            swaps += [(vehicle, begin + (end - begin) * (at + 0.5) / count) for at in range(count)]
            held.append(
                HeldPack(
                    vehicle, vehicle, held_kwh, begin, end - timedelta(microseconds=1), _decimal(does.kwh * share),
                    _decimal(soh_pct), _decimal(yuan_per_kwh, 4),
                )
            )  # fmt: skip
            if does.km is not None:
                meters[vehicle, "odometer_km"] = [(begin, Decimal(0)), (end, _decimal(does.km * share))]
            if does.tonnes is not None:
                meters[vehicle, "tonnes"] = [(begin, _decimal(does.tonnes * share))]
        lines = rate(lease, period, Facts(tuple(held), tuple(swaps), meters))
        fen += sum(line.amount_fen for line in lines if KINDS[line.kind] != "deposit")
        period = terms.calendar.period_of(period.until)
    return fen / 100


def _decimal(value: float, places: int = 2) -> Decimal:
    return Decimal(f"{value:.{places}f}")
