"""Lease contracts that a scenario names, read by the models of the leasing room."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from sim.scenario.file import Scenario

if TYPE_CHECKING:
    from swap.commerce.leases.terms import LeaseTerms


def contracts_of(scenario: Scenario) -> list[LeaseTerms]:
    """The contracts of `revenue.contracts`, in order. Raises OSError, ValueError for files that `problems_of` names."""
    from swap.commerce.leases.terms import LeaseTerms  # loads the database's library: only where there are contracts

    names = () if scenario.revenue is None else scenario.revenue.contracts
    texts = [(Path(scenario.folder) / name).read_text(encoding="utf-8") for name in names]
    return [LeaseTerms.model_validate(tomllib.loads(text)) for text in texts]


def problems_of(scenario: Scenario) -> list[str]:
    """What is wrong with the contracts, one line each."""
    problems: list[str] = []
    for name in () if scenario.revenue is None else scenario.revenue.contracts:
        where = f"revenue.contracts = {name!r}"
        one = scenario.model_copy(
            update={"revenue": scenario.revenue.model_copy(update={"contracts": (name,)})}  # type: ignore[union-attr]
        )
        try:
            (terms,) = contracts_of(one)
        except OSError as error:
            problems.append(f"{where}: cannot be read: {error.strerror}; give a file beside the scenario")
        except ValidationError as error:
            problems += [
                f"{where}: {'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}"
                for item in error.errors(include_url=False, include_input=False)
            ]
        except ValueError as error:
            problems.append(f"{where}: is no TOML in UTF-8: {error}")
        else:
            problems += [f"{where}: {problem}" for problem in _against(scenario, terms)]
    return problems


def _against(scenario: Scenario, terms: LeaseTerms) -> list[str]:
    """What a contract counts that the scenario does not tell."""
    from swap.commerce.leases.terms import Usage, UsageKind

    problems = []
    known = {vehicle for fleet in scenario.fleets for vehicle in scenario.vehicles_of(fleet)}
    strange = [vehicle for vehicle in terms.vehicles if vehicle not in known]
    if strange:
        some = ", ".join(sorted(known)[:3])
        problems.append(f"vehicles: {', '.join(strange[:5])} are in no fleet of the scenario, which has {some} …")
    kinds = {kind.id for kind in scenario.pack_kinds}
    problems += [
        f"entitlement: no such pack kind {part.kind!r}; known: {', '.join(sorted(kinds))}"
        for part in terms.entitlement
        if part.kind not in kinds
    ]
    trips = [fleet.trips for fleet in scenario.fleets]
    for part in terms.components:
        if not isinstance(part, Usage):
            continue
        if part.per is UsageKind.HOUR:
            problems.append(f"components.{part.id}: counts engine-hours, which no scenario tells; leave it out")
        if part.per in (UsageKind.KM, UsageKind.TONNE) and not all(trips):
            problems.append(f"components.{part.id}: counts {part.per.value}; give every fleet its [fleets.trips]")
        elif part.per is UsageKind.TONNE and not all(trip is not None and trip.load_t for trip in trips):
            problems.append(f"components.{part.id}: counts tonnes; give every fleet its trips.load_t, above 0")
    return problems
