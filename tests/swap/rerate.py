"""A second rating of leases, written from docs/leases.md alone: day by day, with nothing of the product.

It takes plain values (terms as their JSON, moves and readings as tuples) and gives fen by contract, month and thing.
"""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction as F
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)
Group = dict[str, int]
Span = dict[str, Any]
Dates = list[date]
Fen = dict[tuple[str, str, str], int]
"""By contract, month and `component/part/vehicle/pack`."""


@dataclass
class Contract:
    id: str
    versions: list[tuple[int, date, dict[str, Any], dict[str, str]]]  # number, first day, terms, rated kWh by kind
    active: date | None = None
    suspended: list[tuple[date, date]] = field(default_factory=list)  # first day, first day after
    ended: date | None = None  # last day

    def version(self, day: date) -> Any:
        known = [v for v in self.versions if v[1] <= day]
        return max(known, key=lambda v: v[0]) if known else None

    def covered(self, day: date) -> bool:
        version = self.version(day)
        if version is None or self.active is None or day < self.active or (self.ended and day > self.ended):
            return False
        return version[2]["last_day"] is None or day <= date.fromisoformat(version[2]["last_day"])


@dataclass
class World:
    # pack, instant, from, to, swap, kWh; subject, quantity, instant, value in the order given; kWh by pack
    moves: list[tuple[str, datetime, str, str, str | None, Decimal | None]]
    readings: list[tuple[str, str, datetime, Decimal]]
    rated: dict[str, Decimal]


def half_up(value: F, places: int = 0) -> F:
    exact = abs(value) * 10**places
    whole = int(exact)
    whole += exact - whole >= F(1, 2)
    return F(whole if value >= 0 else -whole, 10**places)


def number(text: Any) -> F:
    return F(Decimal(str(text)))


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(0), tzinfo=zone).astimezone(UTC)


def add_months(first: date, anchor: int, count: int) -> date:
    year, month0 = divmod(first.year * 12 + first.month - 1 + count, 12)
    return date(year, month0 + 1, min(anchor, monthrange(year, month0 + 1)[1]))


class Book:
    def __init__(self, contract: Contract, others: list[Contract], world: World) -> None:
        self.c, self.world, self.others = contract, world, others
        self.terms = contract.versions[-1][2]
        self.zone = ZoneInfo(self.terms["zone"])
        self.vehicles = sorted({v for version in contract.versions for v in version[2]["vehicles"]})
        self.series: dict[tuple[str, str], list[tuple[datetime, F]]] = {}
        last: dict[tuple[str, str, datetime], Decimal] = {}
        for subject, quantity, at, value in world.readings:
            last[subject, quantity, at] = value
        for (subject, quantity, at), value in sorted(last.items(), key=lambda item: item[0][2]):
            self.series.setdefault((subject, quantity), []).append((at, F(value)))
        self.spans, self.swaps = list(self._spans()), self._swaps()
        self.means: dict[tuple[str, datetime], F] = {}

    def elsewhere(self, vehicle: str, day: date) -> bool:
        return any(other.covered(day) and vehicle in other.version(day)[2]["vehicles"] for other in self.others)

    def end_day(self) -> date | None:
        """The first day after everything."""
        if self.c.ended is not None:
            return self.c.ended + ONE_DAY
        last = self.c.versions[-1][2]["last_day"]
        return None if last is None else date.fromisoformat(last) + ONE_DAY

    def _spans(self) -> Iterator[dict[str, Any]]:
        energy = "counter_kwh" if self.terms["energy"] == "counter" else "energy_kwh"
        by_pack = defaultdict(list)
        for move in sorted(self.world.moves, key=lambda m: m[1]):
            by_pack[move[0]].append(move)
        for pack, moves in sorted(by_pack.items()):
            for index, (_, at, _, target, _, held) in enumerate(moves):
                if not target.startswith("vehicle:") or target.split(":")[1] not in self.vehicles:
                    continue
                off = moves[index + 1] if index + 1 < len(moves) else None
                again = next((m[1] for m in moves[index + 2 :] if m[3].startswith("vehicle:")), None)
                used = None if off is None else self._energy(pack, energy, at, off[1], again, held)
                health = self.series.get((pack, "soh_pct"), [])
                soh = [v for t, v in health if t <= at][-1:] or [v for _, v in health][:1]
                price = self.series.get((off[4] or "", "energy_price"), []) if off else []
                names = ("pack", "vehicle", "from", "until", "kwh", "soh", "price")
                until, cost = (off[1] if off else None), (price[-1][1] if price else None)
                values = (pack, target.split(":")[1], at, until, used, soh[0] if soh else None, cost)
                yield dict(zip(names, values, strict=True))

    def _energy(self, pack: str, quantity: str, on: datetime, off: datetime, again: Any, held: Any) -> F | None:
        series = self.series.get((pack, quantity), [])
        if quantity == "counter_kwh":
            before = [v for t, v in series if t <= on]
            after = [v for t, v in series if t >= off and (again is None or t <= again)]
            return max(after[0] - before[-1], F(0)) if before and after else None
        after = [v for t, v in series if t >= off and (again is None or t < again)]
        return max(F(held) - after[0], F(0)) if held is not None and after else None

    def seconds(self, span: Span, begin: datetime, end: datetime) -> F:
        until = end if span["until"] is None else min(end, span["until"])
        return max(F((until - max(begin, span["from"])) // timedelta(microseconds=1), 10**6), F(0))

    def used(self, per: str, vehicle: str, days: Dates, period: tuple[date, date]) -> F:
        total, frame = F(0), (midnight(period[0], self.zone), midnight(period[1], self.zone))
        for day in days:
            version = self.c.version(day)
            if vehicle not in version[2]["vehicles"]:
                continue
            begin, end = midnight(day, self.zone), midnight(day + ONE_DAY, self.zone)
            whole = version[2]["open_spans"] == "with_swap"
            if per == "swap":
                total += sum(begin <= at < end for at in self.swaps[vehicle])
            elif per == "kwh":
                total += self.kwh(vehicle, begin, end, whole, frame)
            elif per == "tonne":
                total += sum(v for t, v in self.series.get((vehicle, "tonnes"), []) if begin <= t < end)
            else:
                name = "odometer_km" if per == "km" else "engine_h"
                total += self.meter(vehicle, name, end, whole) - self.meter(vehicle, name, begin, whole)
        return total

    def _swaps(self) -> dict[str, list[datetime]]:
        """When a swap gave a vehicle a pack that it did not take off it."""
        off = {(swap, source.rpartition(":")[0], pack) for pack, _, source, _, swap, _ in self.world.moves}
        given: dict[tuple[str, str], datetime] = {}
        for pack, at, _, target, swap, _ in self.world.moves:
            place = target.rpartition(":")[0]
            if swap is not None and place.startswith("vehicle:") and (swap, place, pack) not in off:
                given[place.removeprefix("vehicle:"), swap] = max(given.get((place, swap), at), at)
        found = defaultdict(list)
        for (vehicle, _), at in given.items():
            found[vehicle].append(at)
        return found

    def meter(self, vehicle: str, name: str, at: datetime, whole: bool) -> F:
        series = self.series.get((vehicle, name), [])
        before, after = [p for p in series if p[0] <= at], [p for p in series if p[0] > at]
        if not before:
            return series[0][1] if series else F(0)
        if whole or not after:
            return before[-1][1]
        (t0, v0), (t1, v1) = before[-1], after[0]
        micro = timedelta(microseconds=1)
        return v0 + (v1 - v0) * F((at - t0) // micro, (t1 - t0) // micro)

    def kwh(self, vehicle: str, begin: datetime, end: datetime, whole: bool, frame: tuple[datetime, datetime]) -> F:
        total, spans = F(0), [s for s in self.spans if s["vehicle"] == vehicle and s["from"] < end]
        for span in spans:
            known = span["until"] is not None and span["kwh"] is not None
            if whole:
                total += span["kwh"] if known and self.ends_in(span, begin, end) else 0
            elif span["until"] is None or span["until"] > begin:
                seconds = self.seconds(span, begin, end)
                length = self.seconds(span, span["from"], span["until"]) if known else F(1)
                total += span["kwh"] * seconds / length if known else self.mean(vehicle, frame) * seconds
        return total

    def mean(self, vehicle: str, frame: tuple[datetime, datetime]) -> F:
        """kWh a second of the packs that came off within a period."""
        if (vehicle, frame[0]) not in self.means:
            ended = [s for s in self.spans if s["vehicle"] == vehicle and s["until"] and s["kwh"] is not None]
            done = [s for s in ended if frame[0] <= s["until"] < frame[1]]
            length = sum((self.seconds(s, s["from"], s["until"]) for s in done), F(0))
            self.means[vehicle, frame[0]] = sum((s["kwh"] for s in done), F(0)) / length if length else F(0)
        return self.means[vehicle, frame[0]]

    def ends_in(self, span: Span, begin: datetime, end: datetime) -> bool:
        if begin <= span["until"] < end:
            return True
        last, day = self.end_day(), span["until"].astimezone(self.zone).date()
        free = last is not None and end == midnight(last, self.zone) and not self.elsewhere(span["vehicle"], day)
        return free and span["from"] < end <= span["until"]

    def rate(self, first: date, until: date) -> dict[str, int]:
        """Fen of one period by group."""
        fen: dict[str, int] = defaultdict(int)
        count = (until - first).days
        days = [first + timedelta(n) for n in range(count) if self.c.covered(first + timedelta(n))]
        names = {c["id"]: None for d in days for c in self.c.version(d)[2]["components"]}
        for name in names:
            said = [(self.said(day, name), day) for day in days]
            known = [(what, day) for what, day in said if what is not None]
            for _, same in groupby(known, key=lambda pair: repr(pair[0])):
                stretch = list(same)
                component, capacity, _ = stretch[0][0]
                self.component(component, capacity, [d for _, d in stretch], (first, until), fen)
        self.deposits(days, fen)
        self.occupied(first, until, fen)
        return {group: amount for group, amount in fen.items() if amount}

    def said(self, day: date, name: str) -> tuple[dict[str, Any], F, str] | None:
        _, _, terms, rated = self.c.version(day)
        component = next((c for c in terms["components"] if c["id"] == name), None)
        capacity = sum((part["number"] * number(rated[part["kind"]]) for part in terms["entitlement"]), F(0))
        return None if component is None else (component, capacity, terms["open_spans"])

    def share(self, days: Dates, count: int, vehicle: str | None = None) -> F:
        total = F(0)
        for day in days:
            terms = self.c.version(day)[2]
            if vehicle is None or vehicle in terms["vehicles"]:
                total += number(terms["suspension_share"]) if any(a <= day < b for a, b in self.c.suspended) else 1
        return total / count

    def component(self, c: Span, capacity: F, days: Dates, period: tuple[date, date], fen: Group) -> None:
        count = (period[1] - period[0]).days
        share, months = self.share(days, count), self.terms["months"]
        if c.get("soh"):
            share *= self.health(c["soh"], days)
        if c["kind"] == "capacity":
            fen[f"{c['id']}///"] += int(half_up(capacity * months * number(c["yuan_per_kwh_month"]) * share * 100))
        elif c["kind"] == "fixed":
            fen[f"{c['id']}///"] += int(half_up(number(c["yuan_per_period"]) * share * 100))
        elif c["kind"] == "two_part":
            kwh = half_up(sum((self.used("kwh", v, days, period) for v in self.vehicles), F(0)), 2)
            floor = int(half_up(capacity * months * number(c["floor_yuan_per_kwh_month"]) * share * 100))
            metered = int(half_up(kwh * number(c["overage_yuan_per_kwh"]) * 100))
            fen[f"{c['id']}/floor//"] += floor
            fen[f"{c['id']}/overage//"] += max(metered - floor, 0)
        elif c["kind"] == "usage" and c["tariff"]:
            self.passed_through(c, days, fen)
        elif c["kind"] == "usage" and c["counted"] == "contract":
            used = sum((self.used(c["per"], v, days, period) for v in self.vehicles), F(0))
            self.usage(c, used, self.share(days, count), "", fen)
        elif c["kind"] == "usage":
            for v in self.vehicles:
                self.usage(c, self.used(c["per"], v, days, period), self.share(days, count, v), v, fen)

    def health(self, rule: dict[str, Any], days: Dates) -> F:
        weight, total = F(0), F(0)
        for span in self.spans:
            for day in days if span["soh"] is not None else []:
                seconds = self.seconds(span, midnight(day, self.zone), midnight(day + ONE_DAY, self.zone))
                weight, total = weight + seconds, total + seconds * span["soh"]
        if not weight:
            return F(1)
        return half_up(min(F(1), max(number(rule["floor"]), total / weight / number(rule["reference_pct"]))), 4)

    def usage(self, c: dict[str, Any], used: F, share: F, vehicle: str, fen: Group) -> None:
        places = 0 if c["per"] == "swap" else 2
        least, free = half_up(number(c["minimum"]) * share, places), half_up(number(c["allowance"]) * share, places)
        charged = max(half_up(used, places), least) if number(c["minimum"]) else half_up(used, places) - free
        if charged <= 0:
            return
        if not c["steps"]:
            fen[f"{c['id']}//{vehicle}/"] += int(half_up(charged * number(c["yuan"]) * 100))
            return
        bounds = [half_up(number(step["from_quantity"]) * share, places) for step in c["steps"]]
        if c["stepping"] == "whole":
            reached = max(n for n, bound in enumerate(bounds) if bound <= charged)
            parts = {reached: charged}
        else:
            ends = [*bounds[1:], charged]
            parts = {n: min(charged, max(end, b)) - b for n, (b, end) in enumerate(zip(bounds, ends, strict=True))}
        for n, part in parts.items():
            if part > 0:
                fen[f"{c['id']}/step{n + 1}/{vehicle}/"] += int(half_up(part * number(c["steps"][n]["yuan"]) * 100))

    def passed_through(self, c: dict[str, Any], days: Dates, fen: Group) -> None:
        kwh: dict[tuple[str, F], F] = defaultdict(F)
        for span in self.spans:
            for day in days:
                begin, end = midnight(day, self.zone), midnight(day + ONE_DAY, self.zone)
                inside = span["vehicle"] in self.c.version(day)[2]["vehicles"]
                if inside and span["price"] is not None and span["kwh"] is not None and self.ends_in(span, begin, end):
                    kwh[span["vehicle"], span["price"]] += span["kwh"]
        for (vehicle, price), energy in kwh.items():
            group = f"{c['id']}/at{Decimal(price.numerator) / price.denominator:.4f}/{vehicle}/"
            fen[group] += int(half_up(half_up(energy, 2) * (price + number(c["yuan"] or 0)) * 100))

    def deposits(self, days: Dates, fen: Group) -> None:
        def due(version: Any) -> F:
            sums = [number(c["yuan_per_pack"]) for c in version[2]["components"] if c["kind"] == "deposit"]
            return F(sum(sums, F(0)) * sum(part["number"] for part in version[2]["entitlement"]))

        for day in days:
            before = self.c.version(day - ONE_DAY) if self.c.active and day > self.c.active else None
            fen["deposit///"] += int((due(self.c.version(day)) - (due(before) if before else 0)) * 100)

    def occupied(self, first: date, until: date, fen: Group) -> None:
        last = self.end_day()
        c = next((c for c in self.terms["components"] if c["kind"] == "occupancy"), None)
        if c is None or last is None or self.c.active is None:
            return
        end = midnight(last, self.zone)
        for span in self.spans:
            count, day = 0, max(first, last)
            while day < until and span["from"] < end and not self.elsewhere(span["vehicle"], day):
                if span["until"] is not None and span["until"] <= midnight(day, self.zone):
                    break
                count, day = count + 1, day + ONE_DAY
            quantity = F(self.world.rated[span["pack"]]) * count
            amount = int(half_up(quantity * number(c["yuan_per_kwh_day"]) * 100))
            fen[f"{c['id']}//{span['vehicle']}/{span['pack']}"] += amount


def rerate(contracts: list[Contract], world: World, last_month: str) -> Fen:
    """Fen of every contract, month and thing up to a month."""
    found: Fen = {}
    for contract in contracts:
        book = Book(contract, [other for other in contracts if other is not contract], world)
        start = date.fromisoformat(book.terms["first_day"])
        anniversary, months = book.terms["billing"] == "anniversary", book.terms["months"]
        anchor = start.day if anniversary else 1
        base = start if anniversary else date(start.year, (start.month - 1) // months * months + 1, 1)
        for n in range(400):
            first, until = add_months(base, anchor, n * months), add_months(base, anchor, (n + 1) * months)
            month = f"{until - ONE_DAY:%Y-%m}"
            if month > last_month:
                break
            for group, fen in book.rate(first, until).items():
                found[contract.id, month, group] = fen
    return found
