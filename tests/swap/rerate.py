"""A second rating of leases, from docs/leases.md alone: day by day, of plain values, with nothing of the product."""

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

ONE_DAY, MICRO = timedelta(days=1), timedelta(microseconds=1)
Span = dict[str, Any]
Fen = dict[tuple[str, str, str], int]  # by contract, month and `component/part/vehicle/pack`


@dataclass
class Contract:
    id: str
    versions: list[tuple[int, date, dict[str, Any], dict[str, str]]]  # number, first day, terms, rated kWh by kind
    active: date | None = None
    suspended: list[tuple[date, date]] = field(default_factory=list)  # first day, first day after
    ended: date | None = None  # last day
    acts: list[tuple[str, int]] = field(default_factory=list)  # what was done with versions

    def __post_init__(self) -> None:
        signed = {n for act, n in self.acts if act in ("drafted", "revised", "version_signed")}
        self.versions = [v for v in self.versions if v[0] in signed]

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
    return F(int(abs(value) * 10**places + F(1, 2)) * (1 if value >= 0 else -1), 10**places)


def in_fen(yuan: F) -> int:
    return int(half_up(yuan * 100))


def number(text: Any) -> F:
    return F(Decimal(str(text)))


def add_months(first: date, count: int) -> date:
    year, month0 = divmod(first.year * 12 + first.month - 1 + count, 12)
    return date(year, month0 + 1, min(first.day, monthrange(year, month0 + 1)[1]))


class Book:
    def __init__(self, contract: Contract, others: list[Contract], world: World) -> None:
        self.c, self.world, self.others = contract, world, others
        self.terms = contract.versions[-1][2]
        self.zone = ZoneInfo(self.terms["zone"])
        self.vehicles = sorted({v for version in contract.versions for v in version[2]["vehicles"]})
        self.series: dict[tuple[str, str], list[tuple[datetime, F]]] = {}
        last = {(subject, quantity, at): value for subject, quantity, at, value in world.readings}
        for (subject, quantity, at), value in sorted(last.items(), key=lambda item: item[0][2]):
            self.series.setdefault((subject, quantity), []).append((at, F(value)))
        self.spans = list(self._spans())
        self._swaps()

    def midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(0), tzinfo=self.zone).astimezone(UTC)

    def hours(self, day: date) -> tuple[datetime, datetime]:
        return self.midnight(day), self.midnight(day + ONE_DAY)

    def elsewhere(self, vehicle: str, day: date) -> bool:
        return any(other.covered(day) and vehicle in other.version(day)[2]["vehicles"] for other in self.others)

    def end_day(self) -> date | None:
        """The first day after everything."""
        last = str(self.c.ended or self.terms["last_day"] or "")
        return date.fromisoformat(last) + ONE_DAY if last else None

    def _spans(self) -> Iterator[dict[str, Any]]:
        energy = "counter_kwh" if self.terms["energy"] == "counter" else "energy_kwh"
        for pack, of_pack in groupby(sorted(self.world.moves, key=lambda m: m[:2]), key=lambda m: m[0]):
            moves = list(of_pack)
            for index, (_, at, _, target, _, held) in enumerate(moves):
                if not target.startswith("vehicle:") or target.split(":")[1] not in self.vehicles:
                    continue
                off = moves[index + 1] if index + 1 < len(moves) else None
                again = next((m[1] for m in moves[index + 2 :] if m[3].startswith("vehicle:")), None)
                used = None if off is None else self._energy(pack, energy, at, off[1], again, held)
                health = self.series.get((pack, "soh_pct"), [])
                soh = [v for t, v in health if t <= at][-1:] or [v for _, v in health][:1]
                price = self.series.get((off[4] or "", "energy_price"), []) if off else []
                span = {"pack": pack, "vehicle": target.split(":")[1], "from": at, "until": off[1] if off else None}
                yield span | {"kwh": used, "soh": soh[0] if soh else None, "price": price[-1][1] if price else None}

    def _energy(self, pack: str, quantity: str, on: datetime, off: datetime, again: Any, held: Any) -> F | None:
        series = self.series.get((pack, quantity), [])
        counted, before = quantity == "counter_kwh", [v for t, v in series if t <= on]
        after = [v for t, v in series if t >= off and (again is None or t < again or (counted and t == again))]
        if counted:
            return max(after[0] - before[-1], F(0)) if before and after else None
        return max(F(held) - after[0], F(0)) if held is not None and after else None

    def seconds(self, span: Span, begin: datetime, end: datetime) -> F:
        until = end if span["until"] is None else min(end, span["until"])
        return max(F((until - max(begin, span["from"])) // MICRO, 10**6), F(0))

    def used(self, per: str, vehicle: str, days: list[date], period: tuple[date, date]) -> F:
        total, frame = F(0), (self.midnight(period[0]), self.midnight(period[1]))
        for day in [day for day in days if vehicle in self.c.version(day)[2]["vehicles"]]:
            begin, end = self.hours(day)
            whole = self.c.version(day)[2]["open_spans"] == "with_swap"
            if per == "kwh":
                total += self.kwh(vehicle, begin, end, whole, frame)
            elif per in ("swap", "tonne"):
                total += sum(v for t, v in self.series.get((vehicle, f"{per}s"), []) if begin <= t < end)
            else:
                name = "odometer_km" if per == "km" else "engine_h"
                total += self.meter(vehicle, name, end, whole) - self.meter(vehicle, name, begin, whole)
        return total

    def _swaps(self) -> None:
        """When a swap gave a vehicle a pack that it did not take off it."""
        off = {(swap, source.rpartition(":")[0], pack) for pack, _, source, _, swap, _ in self.world.moves}
        moves = [
            (swap, target.rpartition(":")[0], pack, at) for pack, at, _, target, swap, _ in self.world.moves if swap
        ]
        given = {move[:2]: move[3] for move in moves if move[1].startswith("vehicle:") and move[:3] not in off}
        for (_, place), at in given.items():
            self.series.setdefault((place.removeprefix("vehicle:"), "swaps"), []).append((at, F(1)))

    def meter(self, vehicle: str, name: str, at: datetime, whole: bool) -> F:
        series = self.series.get((vehicle, name), [])
        before, after = [p for p in series if p[0] <= at], [p for p in series if p[0] > at]
        if not before or whole or not after:
            return (before[-1] if before else after[0])[1] if series else F(0)
        (t0, v0), (t1, v1) = before[-1], after[0]
        return v0 + (v1 - v0) * F((at - t0) // MICRO, (t1 - t0) // MICRO)

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
        ended = [s for s in self.spans if s["vehicle"] == vehicle and s["until"] and s["kwh"] is not None]
        done = [s for s in ended if frame[0] <= s["until"] < frame[1]]
        length = sum(self.seconds(s, s["from"], s["until"]) for s in done)
        return F(sum(s["kwh"] for s in done) / length) if length else F(0)

    def ends_in(self, span: Span, begin: datetime, end: datetime) -> bool:
        last, day = self.end_day(), span["until"].astimezone(self.zone).date()
        free = last is not None and end == self.midnight(last) and not self.elsewhere(span["vehicle"], day)
        return begin <= span["until"] < end or (free and span["from"] < end <= span["until"])

    def rate(self, first: date, until: date) -> dict[str, int]:
        """Fen of one period by group."""
        self.fen: dict[str, int] = defaultdict(int)
        count = (until - first).days
        days = [first + timedelta(n) for n in range(count) if self.c.covered(first + timedelta(n))]
        for name in {c["id"]: None for d in days for c in self.c.version(d)[2]["components"]}:
            known = [(what, day) for day in days if (what := self.said(day, name)) is not None]
            for _, same in groupby(known, key=lambda pair: repr(pair[0])):
                stretch = list(same)
                self.component(*stretch[0][0][:2], [day for _, day in stretch], (first, until))
        self.deposits(days)
        self.occupied(first, until)
        return {group: amount for group, amount in self.fen.items() if amount}

    def said(self, day: date, name: str) -> tuple[dict[str, Any], F, str] | None:
        _, _, terms, rated = self.c.version(day)
        component = next((c for c in terms["components"] if c["id"] == name), None)
        capacity = sum((part["number"] * number(rated[part["kind"]]) for part in terms["entitlement"]), F(0))
        return None if component is None else (component, capacity, terms["open_spans"])

    def share(self, days: list[date], count: int, vehicle: str = "") -> F:
        total = F(0)
        for day in days:
            terms = self.c.version(day)[2]
            if vehicle in ("", *terms["vehicles"]):
                total += number(terms["suspension_share"]) if any(a <= day < b for a, b in self.c.suspended) else 1
        return total / count

    def component(self, c: Span, capacity: F, days: list[date], period: tuple[date, date]) -> None:
        count = (period[1] - period[0]).days
        share, months = self.share(days, count), self.terms["months"]
        share *= self.health(c["soh"], days) if c.get("soh") else 1
        per = "kwh" if c["kind"] == "two_part" else c.get("per")
        used = {v: self.used(per, v, days, period) for v in self.vehicles} if per and not c.get("tariff") else {}
        if c["kind"] == "capacity":
            self.fen[f"{c['id']}///"] += in_fen(capacity * months * number(c["yuan_per_kwh_month"]) * share)
        elif c["kind"] == "fixed":
            self.fen[f"{c['id']}///"] += in_fen(number(c["yuan_per_period"]) * share)
        elif c["kind"] == "two_part":
            floor = in_fen(capacity * months * number(c["floor_yuan_per_kwh_month"]) * share)
            self.fen[f"{c['id']}/floor//"] += floor
            metered = in_fen(half_up(sum(used.values(), F(0)), 2) * number(c["overage_yuan_per_kwh"]))
            self.fen[f"{c['id']}/overage//"] += max(metered - floor, 0)
        elif c["kind"] == "usage" and c["tariff"]:
            self.passed_through(c, days)
        elif c["kind"] == "usage":
            for v, total in ({"": sum(used.values(), F(0))} if c["counted"] == "contract" else used).items():
                self.usage(c, total, self.share(days, count, v), v)

    def health(self, rule: dict[str, Any], days: list[date]) -> F:
        known = [s for s in self.spans if s["soh"] is not None]
        held = [(self.seconds(s, *self.hours(day)), s["soh"]) for s in known for day in days]
        weight = sum(seconds for seconds, _ in held)
        mean = sum(seconds * soh for seconds, soh in held) / weight if weight else number(rule["reference_pct"])
        return half_up(min(F(1), max(number(rule["floor"]), mean / number(rule["reference_pct"]))), 4)

    def usage(self, c: dict[str, Any], used: F, share: F, vehicle: str) -> None:
        places = 0 if c["per"] == "swap" else 2
        least, free = half_up(number(c["minimum"]) * share, places), half_up(number(c["allowance"]) * share, places)
        charged = max(half_up(used, places), least) if number(c["minimum"]) else half_up(used, places) - free
        if charged <= 0:
            return
        steps = c["steps"] or [{"from_quantity": 0, "yuan": c["yuan"]}]
        bounds = [half_up(number(step["from_quantity"]) * share, places) for step in steps]
        parts = [min(charged, max(end, b)) - b for b, end in zip(bounds, [*bounds[1:], charged], strict=True)]
        if c["stepping"] == "whole":
            reached = max(n for n, bound in enumerate(bounds) if bound <= charged)
            parts = [charged if n == reached else F(0) for n in range(len(bounds))]
        for n, part in enumerate(parts):
            group = f"{c['id']}/{f'step{n + 1}' if c['steps'] else ''}/{vehicle}/"
            self.fen[group] += in_fen(max(part, F(0)) * number(steps[n]["yuan"]))

    def passed_through(self, c: dict[str, Any], days: list[date]) -> None:
        kwh: dict[tuple[str, F], F] = defaultdict(F)
        for span in self.spans:
            for day in days if span["price"] is not None and span["kwh"] is not None else []:
                if span["vehicle"] in self.c.version(day)[2]["vehicles"] and self.ends_in(span, *self.hours(day)):
                    kwh[span["vehicle"], span["price"]] += span["kwh"]
        for (vehicle, price), energy in kwh.items():
            group = f"{c['id']}/at{Decimal(price.numerator) / price.denominator:.4f}/{vehicle}/"
            self.fen[group] += in_fen(half_up(energy, 2) * (price + number(c["yuan"] or 0)))

    def deposits(self, days: list[date]) -> None:
        for day in days:
            self.fen["deposit///"] += self.deposit(day)
            if self.c.active and day > self.c.active and self.c.version(day - ONE_DAY):
                self.fen["deposit///"] -= self.deposit(day - ONE_DAY)

    def deposit(self, day: date) -> int:
        terms = self.c.version(day)[2]
        each = sum(number(c["yuan_per_pack"]) for c in terms["components"] if c["kind"] == "deposit")
        return int(each * sum(part["number"] for part in terms["entitlement"]) * 100)

    def occupied(self, first: date, until: date) -> None:
        last = self.end_day()
        c = next((c for c in self.terms["components"] if c["kind"] == "occupancy"), None)
        if c is None or last is None or self.c.active is None:
            return
        for span in [span for span in self.spans if span["from"] < self.midnight(last)]:
            count, day, off = 0, max(first, last), span["until"] or self.midnight(until)
            while day < until and self.midnight(day) < off and not self.elsewhere(span["vehicle"], day):
                count, day = count + 1, day + ONE_DAY
            amount = in_fen(F(self.world.rated[span["pack"]]) * count * number(c["yuan_per_kwh_day"]))
            self.fen[f"{c['id']}//{span['vehicle']}/{span['pack']}"] += amount


def rerate(contracts: list[Contract], world: World, last_month: str) -> Fen:
    """Fen of every contract, month and thing up to a month."""
    found: Fen = {}
    for contract in contracts:
        book = Book(contract, [other for other in contracts if other is not contract], world)
        start = date.fromisoformat(book.terms["first_day"])
        anniversary, months = book.terms["billing"] == "anniversary", book.terms["months"]
        base = start if anniversary else date(start.year, (start.month - 1) // months * months + 1, 1)
        for n in range(400):
            first, until = add_months(base, n * months), add_months(base, (n + 1) * months)
            month = f"{until - ONE_DAY:%Y-%m}"
            if month <= last_month:
                found |= {(contract.id, month, group): fen for group, fen in book.rate(first, until).items()}
    return found
