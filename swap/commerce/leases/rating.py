"""The rent of a contract for a period: one pure function for each component, over contract, period and facts.

A component that says the same in several versions of a period is rated once over all their days (a `run`), so a
change of something else neither splits nor rounds it twice. What counts by time is charged in the share of the whole
period's days. Rounding: quantities to hundredths of their unit (swaps to whole ones), the SoH factor to 1/10 000, each
line half up to the fen; the rent is the sum of its lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from zoneinfo import ZoneInfo

from swap.commerce.leases.lease import LeaseHistory, Segment, Version
from swap.commerce.leases.lines import Line, decimal_of, fen_of, hundredths, rounded
from swap.commerce.leases.measured import (
    Facts,
    HeldPack,
    amounts_between,
    energy_between,
    mean_soh_pct,
    meter_between,
)
from swap.commerce.leases.periods import DAY, Days, day_of, start_of
from swap.commerce.leases.terms import (
    BuyOut,
    CapacityRent,
    Component,
    Deposit,
    EarlyEnd,
    FixedFee,
    Occupancy,
    SohRule,
    Step,
    TwoPartRent,
    Usage,
    UsageKind,
)

ONE = Fraction(1)
_USAGE_KIND = {
    UsageKind.KM: "distance",
    UsageKind.SWAP: "per_swap",
    UsageKind.KWH: "energy",
    UsageKind.TONNE: "tonnage",
    UsageKind.HOUR: "engine_hours",
}


@dataclass(frozen=True, slots=True)
class Run:
    """Stretch of a period over which a component says the same."""

    component: Component
    number: int
    segments: tuple[Segment, ...]
    period: Days
    zone: ZoneInfo
    cover_until: datetime
    """The instant from which the contract covers nothing any more."""

    @property
    def days(self) -> Days:
        """From its first day to its last."""
        return Days(self.segments[0].days.first, self.segments[-1].days.until)

    @property
    def version(self) -> int:
        """The version that counts at its end."""
        return self.segments[-1].version.number

    def share(self, vehicle_id: str | None = None) -> Fraction:
        """The part of the period's days that is charged: suspended ones with the contract's share."""
        weighted = Fraction(0)
        for part in self.segments:
            if vehicle_id is None or vehicle_id in part.version.terms.vehicles:
                weight = Fraction(part.version.terms.suspension_share) if part.suspended else ONE
                weighted += part.days.count * weight
        return weighted / self.period.count

    def line(
        self,
        kind: str,
        quantity: Decimal,
        unit: str,
        price_yuan: Decimal,
        *,
        part: str = "",
        factors: dict[str, Fraction] | None = None,
        basis: dict[str, str] | None = None,
        vehicle_id: str | None = None,
    ) -> Line:
        """A line of the component for these days."""
        return Line(
            self.component.id,
            part,
            kind,
            self.version,
            self.days,
            quantity,
            unit,
            price_yuan,
            factors or {},
            self.number,
            vehicle_id,
            None,
            basis or {},
            self.days.bounds(self.zone),
        )


def rate(lease: LeaseHistory, period: Days, facts: Facts) -> tuple[Line, ...]:
    """Every line of a contract for a period. Nothing for days before it is active."""
    lines: list[Line] = []
    zone, segments = lease.terms.tz, lease.segments(period)
    until = lease.until_day
    cover_until = start_of(until, zone) if until.year < 9999 else datetime.max.replace(tzinfo=zone)
    for run in _runs(segments, period, zone, cover_until):
        rule = _RULES.get(run.component.kind)
        if rule is not None:
            lines += rule(run, facts)
    lines += _deposits(lease, segments)
    lines += _occupied(lease, period, facts)
    return tuple(line for line in lines if line.amount_fen)


def _runs(segments: Sequence[Segment], period: Days, zone: ZoneInfo, cover_until: datetime) -> Iterator[Run]:
    names: dict[str, None] = {}
    for part in segments:
        names |= dict.fromkeys(component.id for component in part.version.terms.components)
    for name in names:
        said: list[tuple[object, Component, Segment]] = []
        for part in segments:
            component = _named(part, name)
            if component is not None:
                key = (component, part.version.capacity_kwh, part.version.terms.open_spans)
                said.append((key, component, part))
        number = 0
        for _, same in groupby(said, key=lambda one: one[0]):
            stretch, number = list(same), number + 1
            yield Run(stretch[0][1], number, tuple(part for _, _, part in stretch), period, zone, cover_until)


def _named(part: Segment, name: str) -> Component | None:
    return next((component for component in part.version.terms.components if component.id == name), None)


def _times(run: Run, vehicle_id: str | None = None) -> list[tuple[datetime, datetime]]:
    return [
        part.days.bounds(run.zone)
        for part in run.segments
        if vehicle_id is None or vehicle_id in part.version.terms.vehicles
    ]


def _vehicles(run: Run) -> list[str]:
    return sorted({vehicle for part in run.segments for vehicle in part.version.terms.vehicles})


def _held(run: Run, facts: Facts) -> list[HeldPack]:
    vehicles = set(_vehicles(run))
    return [held for held in facts.held if held.vehicle_id in vehicles]


def _time_factors(run: Run, facts: Facts, soh: SohRule | None) -> tuple[dict[str, Fraction], dict[str, str]]:
    factors, basis = {"days": run.share()}, {"period_days": str(run.period.count)}
    if soh is not None:
        mean = mean_soh_pct(_held(run, facts), _times(run))
        if mean is not None:
            share = min(ONE, max(Fraction(soh.floor), mean / Fraction(soh.reference_pct)))
            factors["soh"] = rounded(share, Fraction(1, 10_000))
            basis["mean_soh_pct"] = str(hundredths(mean))
    return factors, basis


def _capacity(run: Run, facts: Facts) -> Iterator[Line]:
    """kWh of the entitlement × months × price × days ÷ the period's days × SoH factor."""
    part = run.component
    assert isinstance(part, CapacityRent)
    version = run.segments[-1].version
    factors, basis = _time_factors(run, facts, part.soh)
    quantity = version.capacity_kwh * version.terms.months
    yield run.line("rent", quantity, "kwh_month", part.yuan_per_kwh_month, factors=factors, basis=basis)


def _fixed(run: Run, facts: Facts) -> Iterator[Line]:
    """The sum of a period × days ÷ the period's days."""
    part = run.component
    assert isinstance(part, FixedFee)
    factors, basis = _time_factors(run, facts, None)
    yield run.line("fee", Decimal(1), "period", part.yuan_per_period, factors=factors, basis=basis)


@dataclass(frozen=True, slots=True)
class BatteryRent:
    """A rent by the two-part rule."""

    included_kwh: Decimal
    """Energy that the floor pays for."""
    floor_yuan: Decimal
    metered_yuan: Decimal
    payable_yuan: Decimal


def two_part_rent(
    capacity_kwh: Decimal,
    energy_used_kwh: Decimal,
    floor_yuan_per_kwh_month: Decimal,
    overage_yuan_per_kwh: Decimal,
    share: Fraction = ONE,
) -> BatteryRent:
    """The floor on capacity or the price of the energy used, whichever is more.

    The energy is that of the BMS's cumulative counter, not of swap counts (standards.md 8.2).

    Args:
        share: the part of the period that the floor is for, with its other factors.

    Raises:
        ValueError: capacity, energy or a price is negative.
    """
    if min(capacity_kwh, energy_used_kwh, floor_yuan_per_kwh_month, overage_yuan_per_kwh) < 0:
        raise ValueError("capacity, energy and prices of a rent are 0 or more")
    floor_fen = fen_of(capacity_kwh, floor_yuan_per_kwh_month, {"share": share})
    metered_fen = fen_of(energy_used_kwh, overage_yuan_per_kwh, {})
    included_kwh = (
        hundredths(Fraction(floor_yuan_per_kwh_month) * Fraction(capacity_kwh) * share / Fraction(overage_yuan_per_kwh))
        if overage_yuan_per_kwh
        else Decimal("Infinity")
    )
    floor_yuan, metered_yuan = Decimal(floor_fen).scaleb(-2), Decimal(metered_fen).scaleb(-2)
    return BatteryRent(included_kwh, floor_yuan, metered_yuan, max(floor_yuan, metered_yuan))


def _two_part(run: Run, facts: Facts) -> Iterator[Line]:
    """The floor as a capacity rent; what the energy used costs beyond it as a line of its own."""
    part = run.component
    assert isinstance(part, TwoPartRent)
    version = run.segments[-1].version
    factors, basis = _time_factors(run, facts, part.soh)
    capacity_kwh = version.capacity_kwh * version.terms.months
    used_kwh = hundredths(sum((_used(run, facts, UsageKind.KWH, vehicle) for vehicle in _vehicles(run)), Fraction(0)))
    share = ONE
    for factor in factors.values():
        share *= factor
    used_kwh = max(used_kwh, Decimal(0))
    rent = two_part_rent(capacity_kwh, used_kwh, part.floor_yuan_per_kwh_month, part.overage_yuan_per_kwh, share)
    floor = part.floor_yuan_per_kwh_month
    yield run.line("rent", capacity_kwh, "kwh_month", floor, part="floor", factors=factors, basis=basis)
    basis = {
        "energy_kwh": str(used_kwh),
        "included_kwh": str(rent.included_kwh),
        "floor_yuan": str(rent.floor_yuan),
        "metered_yuan": str(rent.metered_yuan),
    }
    over_yuan = rent.payable_yuan - rent.floor_yuan
    if over_yuan:
        yield run.line("overage", Decimal(1), "item", over_yuan, part="overage", basis=basis)


def _used(run: Run, facts: Facts, per: UsageKind, vehicle_id: str) -> Fraction:
    """What a vehicle used in the run's days."""
    total, held = Fraction(0), [one for one in facts.held if one.vehicle_id == vehicle_id]
    for part in run.segments:
        terms = part.version.terms
        if vehicle_id not in terms.vehicles:
            continue
        from_at, until_at = part.days.bounds(run.zone)
        with_swap = terms.open_spans == "with_swap"
        if per is UsageKind.SWAP:
            total += sum(vehicle == vehicle_id and from_at <= at < until_at for vehicle, at in facts.swaps)
        elif per is UsageKind.KWH:
            last = until_at == run.cover_until
            total += energy_between(
                held, from_at, until_at, with_swap=with_swap, last=last, period=run.period.bounds(run.zone)
            )
        elif per is UsageKind.TONNE:
            total += amounts_between(facts.meters.get((vehicle_id, "tonnes"), ()), from_at, until_at)
        else:
            name = "odometer_km" if per is UsageKind.KM else "engine_h"
            total += meter_between(facts.meters.get((vehicle_id, name), ()), from_at, until_at, with_swap=with_swap)
    return total


def _usage(run: Run, facts: Facts) -> Iterator[Line]:
    """What is counted, at least the minimum or beyond the allowance, by its steps."""
    part = run.component
    assert isinstance(part, Usage)
    vehicles = _vehicles(run)
    if part.tariff:
        for vehicle in vehicles:
            yield from _passed_through(run, part, facts, vehicle)
        return
    if part.counted == "vehicle":
        for vehicle in vehicles:
            yield from _counted(run, part, _used(run, facts, part.per, vehicle), run.share(vehicle), vehicle)
    else:
        used = sum((_used(run, facts, part.per, vehicle) for vehicle in vehicles), Fraction(0))
        yield from _counted(run, part, used, run.share(), None)


def _counted(run: Run, part: Usage, used: Fraction, share: Fraction, vehicle_id: str | None) -> Iterator[Line]:
    unit = Fraction(1) if part.per is UsageKind.SWAP else Fraction(1, 100)

    def to_unit(value: Fraction) -> Fraction:
        return rounded(value, unit)

    def scaled(quantity: Decimal) -> Fraction:
        return to_unit(Fraction(quantity) * share)

    counted = to_unit(used)
    charged = max(counted, scaled(part.minimum)) if part.minimum else max(counted - scaled(part.allowance), Fraction(0))
    basis = {"used": str(hundredths(counted))}
    if part.minimum:
        basis["minimum"] = str(hundredths(scaled(part.minimum)))
    if part.allowance:
        basis["allowance"] = str(hundredths(scaled(part.allowance)))
    kind = _USAGE_KIND[part.per]
    for number, step, quantity in stepped(part.prices, charged, part.stepping == "tiered", scaled):
        name = f"step{number}" if part.steps else ""
        yield run.line(
            kind,
            decimal_of(quantity, 2),
            part.per.value,
            step.yuan,
            part=name,
            basis=basis,
            vehicle_id=vehicle_id,
        )


def stepped(
    steps: Sequence[Step], quantity: Fraction, tiered: bool, scaled: Callable[[Decimal], Fraction]
) -> Iterator[tuple[int, Step, Fraction]]:
    """The parts of a quantity by the steps of a price, with the number of the step from 1.

    Args:
        scaled: a step's bound in the share of the period that is charged.
    """
    bounds = [scaled(step.from_quantity) for step in steps]
    if not tiered:
        reached = max((n for n, bound in enumerate(bounds) if bound <= quantity), default=0)
        yield reached + 1, steps[reached], quantity
        return
    for number, (step, bound) in enumerate(zip(steps, bounds, strict=True), start=1):
        end = bounds[number] if number < len(bounds) else None
        inside = (quantity if end is None else min(quantity, end)) - bound
        if inside > 0:
            yield number, step, inside


def _passed_through(run: Run, part: Usage, facts: Facts, vehicle_id: str) -> Iterator[Line]:
    """Energy with the swap that ends it, a line for each price of electricity; without one until it is known."""
    by_price: dict[Decimal, Fraction] = {}
    for held in facts.held:
        if held.vehicle_id != vehicle_id or held.tariff_yuan is None:
            continue
        for from_at, until_at in _times(run, vehicle_id):
            last = until_at == run.cover_until
            kwh = energy_between([held], from_at, until_at, with_swap=True, last=last, period=(from_at, until_at))
            by_price[held.tariff_yuan] = by_price.get(held.tariff_yuan, Fraction(0)) + kwh
    for tariff_yuan, kwh in sorted(by_price.items()):
        price = tariff_yuan + (part.yuan or Decimal(0))
        basis = {"tariff_yuan_per_kwh": str(tariff_yuan), "added_yuan_per_kwh": str(part.yuan)}
        quantity = hundredths(kwh)
        if quantity:
            name = f"at{tariff_yuan}"
            yield run.line("energy", quantity, "kwh", price, part=name, basis=basis, vehicle_id=vehicle_id)


def deposit_yuan(version: Version) -> Decimal:
    """The deposit that a version asks for: its sum for a pack × the packs of the entitlement."""
    part = next((c for c in version.terms.components if isinstance(c, Deposit)), None)
    return Decimal(0) if part is None else part.yuan_per_pack * version.packs


def _deposits(lease: LeaseHistory, segments: Sequence[Segment]) -> Iterator[Line]:
    """The deposit with the first day; the difference where a later version has more or fewer packs, or another sum."""
    for segment in segments:
        first, version = segment.days.first, segment.version
        starts = lease.active_from is None or first <= lease.active_from
        before = None if starts else lease.version_of(first - DAY)
        if before is not None and before.number == version.number:
            continue
        due_yuan = deposit_yuan(version)
        was_yuan = Decimal(0) if before is None else deposit_yuan(before)
        if due_yuan == was_yuan:
            continue
        change_yuan = due_yuan - was_yuan
        basis = {"packs": str(version.packs), "due_yuan": str(due_yuan), "was_yuan": str(was_yuan)}
        sign = Decimal(1 if change_yuan > 0 else -1)
        days, number = segment.days, version.number
        yield Line(DEPOSIT, "", "deposit", number, days, sign, "item", abs(change_yuan), {}, number, None, None, basis)


DEPOSIT = "deposit"
"""Name of the deposit's lines, whatever the component is called: there is one deposit in a contract."""


def _occupied(lease: LeaseHistory, period: Days, facts: Facts) -> Iterator[Line]:
    """Each pack still held after the end: its rated energy × the days at whose beginning it was held."""
    part = next((c for c in lease.terms.components if isinstance(c, Occupancy)), None)
    if part is None or lease.active_from is None or lease.until_day >= period.until:
        return
    zone = lease.terms.tz
    after = Days(max(period.first, lease.until_day), period.until)
    ended_at = start_of(lease.until_day, zone)
    for held in sorted(facts.held, key=lambda one: (one.pack_id, one.from_at)):
        if held.from_at >= ended_at or (held.until_at is not None and held.until_at <= ended_at):
            continue
        until = after.until if held.until_at is None else min(_day_after_start(held.until_at, zone), after.until)
        until = min(
            [until, *(days.first for days in facts.elsewhere.get(held.vehicle_id, ()) if days.until > after.first)]
        )
        days = Days(after.first, until)
        if days.count:
            basis = {"rated_kwh": str(held.rated_kwh), "days": str(days.count)}
            quantity = held.rated_kwh * days.count
            version, span = lease.newest.number, days.bounds(zone)
            yield Line(
                part.id, "", "occupancy", version, days, quantity, "kwh_day", part.yuan_per_kwh_day, {}, 1,
                held.vehicle_id, held.pack_id, basis, span,
            )  # fmt: skip


def _day_after_start(at: datetime, zone: ZoneInfo) -> date:
    """The first day at whose beginning what ended at an instant was over."""
    day = day_of(at, zone)
    return day if start_of(day, zone) == at else day + DAY


_RULES: dict[str, Callable[[Run, Facts], Iterator[Line]]] = {
    "capacity": _capacity,
    "two_part": _two_part,
    "fixed": _fixed,
    "usage": _usage,
}
"""By kind of component. A deposit follows versions, and packs still held the end: they have no run."""


def early_end_yuan(lease: LeaseHistory, last_day: date) -> Decimal:
    """What an end on a day costs: the share of the rents by time for the days left, of so many at most."""
    version = lease.version_of(last_day)
    part = None
    if version is not None:
        part = next((c for c in version.terms.components if isinstance(c, EarlyEnd)), None)
    until = lease.until_day
    if part is None or until == date.max:
        return Decimal(0)
    left = Days(last_day + DAY, min(until, last_day + DAY * (part.days_max + 1)))
    total_fen, first = 0, left.first
    while first < left.until:
        period = lease.terms.calendar.period_of(first)
        for line in _time_lines(lease, period, left):
            total_fen += line.amount_fen
        first = period.until
    return Decimal(int(rounded(total_fen * Fraction(part.share)))).scaleb(-2)


def _time_lines(lease: LeaseHistory, period: Days, left: Days) -> Iterator[Line]:
    zone, segments = lease.terms.tz, [part for part in lease.segments(period.within(left)) if part.days.count]
    for run in _runs(segments, period, zone, start_of(left.until, zone)):
        if run.component.kind in ("capacity", "two_part", "fixed"):
            yield from _RULES[run.component.kind](run, Facts())


def residual_yuan(part: BuyOut, rated_kwh: Decimal, soh_pct: Decimal) -> Decimal:
    """Residual of a pack: new price × rated energy × SoH × second-hand share (standards.md 8.2), half up to the fen."""
    factors = {"soh": Fraction(soh_pct) / 100, "second_hand": Fraction(part.second_hand)}
    return Decimal(fen_of(rated_kwh, part.new_yuan_per_kwh, factors)).scaleb(-2)
