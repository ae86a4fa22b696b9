"""Contradictions in how a station bills; one line each, with what is allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from scheduler.sections import did_you_mean
from swap.config.station_file import StationConfig


def billing_problems(config: StationConfig) -> list[str]:
    """Every contradiction of the section `billing`."""
    billing = config.billing
    problems = list(_parties(config))
    if (billing.energy_price == "flat") != (billing.flat_price_yuan_per_kwh is not None):
        problems.append(
            f"billing.flat_price_yuan_per_kwh = {billing.flat_price_yuan_per_kwh}: "
            f'give it with energy_price = "flat" and only then; energy_price is {billing.energy_price!r}'
        )
    bays = {bay.id for bay in config.bays}
    for meter in billing.meters:
        if meter.bay not in bays:
            problems.append(
                f"billing.meters.bay = {meter.bay!r}: no such bay; known: {', '.join(sorted(bays))}"
                f"{did_you_mean(meter.bay, bays)}"
            )
    problems += [
        f"billing.meters.bay: {bay!r} is given {count} times; a bay has one meter"
        for bay, count in Counter(meter.bay for meter in billing.meters).items()
        if count > 1
    ]
    return [*problems, *_shares(config)]


def _parties(config: StationConfig) -> Iterator[str]:
    known = {party.id for party in config.parties}
    named = {
        "billing.electricity.seller": config.billing.electricity.seller,
        "billing.electricity.collected_for": config.billing.electricity.collected_for,
        "billing.service.seller": config.billing.service.seller,
        "billing.service.collected_for": config.billing.service.collected_for,
    } | {f"billing.shares.{n}.party": share.party for n, share in enumerate(config.billing.shares, 1)}
    for where, party in named.items():
        if party is not None and party not in known:
            yield (f"{where} = {party!r}: no such party; known: {', '.join(sorted(known))}{did_you_mean(party, known)}")
    for name, sale in (("electricity", config.billing.electricity), ("service", config.billing.service)):
        seller = sale.seller or config.station.operator
        if sale.collected_for == seller:
            yield f"billing.{name}.collected_for = {seller!r}: is the seller itself; leave it out"
        for vehicle in sorted({vehicle.fleet for vehicle in config.vehicles}):
            if vehicle == seller:
                yield f"billing.{name}.seller = {seller!r}: is a fleet of this file; nobody sells to himself"


def _shares(config: StationConfig) -> Iterator[str]:
    for kind in ("energy", "service"):
        shares = [share for share in config.billing.shares if share.of == kind]
        if not shares:
            continue
        total = sum((share.share for share in shares), Decimal(0))
        if total != 1:
            yield f"billing.shares of {kind}: sum to {total}; allowed exactly 1"
        rest = sum(share.takes_rest for share in shares)
        if rest != 1:
            yield f"billing.shares of {kind}: takes_rest is true {rest} times; exactly one firm takes the rest"
        for party, count in Counter(share.party for share in shares).items():
            if count > 1:
                yield f"billing.shares of {kind}: {party!r} is given {count} times; each once"
