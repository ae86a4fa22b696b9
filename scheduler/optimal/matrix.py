"""The problem as arrays: columns, rows, bounds and the two objectives, built at once for all stores and slots.

Columns, in blocks (`Blocks`): output of each store in each slot of its window, its energy at the slot's end in two
parts (up to and above its `high_kwh`), what it gives, what is asked and not given; then by slot import up to the
limit, export, sun used, import above the limit, input of the shared chargers and how that rises and falls; what the
import lacks to its floor; the period's highest import; what each goal lacks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import NDArray

from scheduler.optimal.problem import ChargeLaw, ChargeProblem, EnergyStore, Floats, Tier

Ints = NDArray[np.int64]

_EARLY, _HIGH, _SMOOTH = 1.0, 0.05, 0.02
"""Weights of the second objective: energy early, then no time at high charge, then a level output."""
_AFTER_H, _ROOM = 1.0, 0.75
"""After a price has fallen, so much of the site's power may be asked for in so many hours, that charging waits for it
(measured where trucks come in groups: with more, some wait longer than promised)."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Every slot of every store's window, in one line: store after store, each in order of time."""

    store: Ints
    slot: Ints
    first: Ints
    """Place of each store's first slot in the line."""
    count: Ints
    connected_h: Floats
    """Of each slot, how long the store is connected."""

    @property
    def last(self) -> Ints:
        """Place of each store's last slot."""
        return self.first + self.count - 1


@dataclass(frozen=True, slots=True)
class Blocks:
    """Where each block of columns begins; -1: there is none."""

    charge: int
    low: int
    high: int
    discharge: int
    discharge_at: Ints
    """Places in the line of windows that have such a column."""
    unasked: int
    unasked_at: Ints
    grid_in: int
    grid_out: int
    sun: int
    over: int
    output: int
    rise: int
    fall: int
    below: int
    below_at: Ints
    """Slots that have a floor of the import."""
    peak: int
    short: int


@dataclass(slots=True)
class Rows:
    """Rows as they are collected."""

    count: int = 0
    row: list[Ints] = field(default_factory=list)
    column: list[Ints] = field(default_factory=list)
    value: list[Floats] = field(default_factory=list)
    lower: list[Floats] = field(default_factory=list)
    upper: list[Floats] = field(default_factory=list)

    def open(self, lower: Floats, upper: Floats) -> Ints:
        """Add rows by their bounds; gives their numbers."""
        numbers = np.arange(self.count, self.count + len(lower))
        self.count += len(lower)
        self.lower.append(lower)
        self.upper.append(upper)
        return numbers

    def put(self, row: Ints, column: Ints, value: Floats | float) -> None:
        """Add entries."""
        self.row.append(row)
        self.column.append(column)
        self.value.append(np.broadcast_to(np.asarray(value, dtype=np.float64), row.shape))


@dataclass(frozen=True)
class Matrix:
    """A problem as a linear program: least cost · x with lower ≤ x ≤ upper, row_lower ≤ A x ≤ row_upper."""

    windows: Windows
    blocks: Blocks
    cost: Floats
    """Money and the prices of what is short, yuan."""
    wish: Floats
    """The second objective, without a unit."""
    lower: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats
    starts: NDArray[np.int32]
    index: NDArray[np.int32]
    value: Floats
    money: Floats
    """The part of `cost` that is money."""
    money_row: int
    """Row of `cost`, without bounds in the first stage."""

    @property
    def columns(self) -> int:
        """Their number."""
        return len(self.cost)

    @property
    def rows(self) -> int:
        """Their number."""
        return len(self.row_lower)

    def times(self, x: Floats) -> Floats:
        """A x."""
        row_of = np.repeat(np.arange(self.rows), np.diff(self.starts))
        return np.asarray(np.bincount(row_of, self.value * x[self.index], minlength=self.rows), dtype=np.float64)

    def times_rows(self, y: Floats) -> Floats:
        """Aᵀ y."""
        by_entry = np.repeat(y, np.diff(self.starts))
        return np.asarray(np.bincount(self.index, self.value * by_entry, minlength=self.columns), dtype=np.float64)


def windows_of(problem: ChargeProblem) -> Windows:
    """The slots in which each store is connected; a window shorter than a slot has the one in which it lies."""
    stores = problem.stores
    ends, starts, slots = problem.ends_h, problem.starts_h, len(problem.hours)
    from_h = np.array([s.from_h for s in stores], dtype=np.float64)
    until_h = np.array([min(s.until_h, float(ends[-1])) for s in stores], dtype=np.float64)
    first_slot = np.minimum(np.searchsorted(ends, from_h + 1e-9, side="left"), slots - 1)
    last_slot = np.maximum(np.minimum(np.searchsorted(ends, until_h - 1e-9, side="left"), slots - 1), first_slot)
    count = last_slot - first_slot + 1
    first = np.cumsum(count) - count
    store = np.repeat(np.arange(len(stores)), count)
    slot = np.arange(int(count.sum())) - np.repeat(first - first_slot, count)
    connected = np.minimum(until_h[store], ends[slot]) - np.maximum(from_h[store], starts[slot])
    return Windows(store, slot, first, count, np.clip(connected, 0.0, None))


def _of(stores: tuple[EnergyStore, ...], name: str) -> Floats:
    return np.array([getattr(store, name) for store in stores], dtype=np.float64)


def build(problem: ChargeProblem) -> Matrix:
    """The arrays of a problem."""
    site, stores, hours = problem.site, problem.stores, problem.hours
    slots = len(hours)
    windows = windows_of(problem)
    line = len(windows.store)
    store, slot = windows.store, windows.slot
    slot_h, share = hours[slot], windows.connected_h / hours[slot]

    gives = np.flatnonzero(_of(stores, "discharge_kw")[store] > 0)
    asked_kw = np.zeros(line)
    for number, one in enumerate(stores):
        if one.asked_kw is not None:
            of = slice(windows.first[number], windows.last[number] + 1)
            asked_kw[of] = one.asked_kw[slot[of]]
    asks = np.flatnonzero(asked_kw > 0)
    goals = [(number, goal) for number, one in enumerate(stores) for goal in one.goals]
    has_sun = bool(np.any(site.pv_kw > 0))
    floor_kw = np.zeros(slots) if site.import_floor_kw is None else site.import_floor_kw
    floored = np.flatnonzero(floor_kw > 0)

    place = 0

    def block(size: int) -> int:
        nonlocal place
        place += size
        return place - size if size else -1

    blocks = Blocks(
        charge=block(line),
        low=block(line),
        high=block(line),
        discharge=block(len(gives)),
        discharge_at=gives,
        unasked=block(len(asks)),
        unasked_at=asks,
        grid_in=block(slots),
        grid_out=block(slots if site.export_yuan_per_kwh is not None else 0),
        sun=block(slots if has_sun else 0),
        over=block(slots),
        output=block(slots),
        rise=block(slots),
        fall=block(slots),
        below=block(len(floored)),
        below_at=floored,
        peak=block(1 if site.demand_yuan_per_kw > 0 else 0),
        short=block(len(goals)),
    )
    columns = place
    lower, upper = np.zeros(columns), np.full(columns, inf)
    money, wish = np.zeros(columns), np.zeros(columns)
    penalty = np.zeros(columns)
    rows = Rows()
    in_line, in_slots = np.arange(line), np.arange(slots)

    def cols(first: int, size: int) -> slice:
        return slice(first, first + size)

    # -- each store
    efficiency, out = _of(stores, "efficiency")[store], _of(stores, "efficiency_out")[store]
    energy_kwh, most_kwh = _of(stores, "energy_kwh"), _of(stores, "most_kwh")
    most_kwh = np.maximum(most_kwh, energy_kwh)[store]
    high_kwh = np.minimum(_of(stores, "high_kwh")[store], most_kwh)
    upper[cols(blocks.charge, line)] = _of(stores, "charge_kw")[store] * share
    upper[cols(blocks.low, line)] = high_kwh
    upper[cols(blocks.high, line)] = most_kwh - high_kwh
    least_kwh = np.minimum(_of(stores, "least_kwh"), energy_kwh)[store]
    wear = _of(stores, "wear_yuan_per_kwh")[store]
    money[cols(blocks.charge, line)] = wear * slot_h

    begins = np.zeros(line, dtype=bool)
    begins[windows.first] = True
    start_kwh = np.where(begins, energy_kwh[store], 0.0)
    later = np.flatnonzero(~begins)
    balance = rows.open(start_kwh, start_kwh)
    rows.put(balance, blocks.low + in_line, 1.0)
    rows.put(balance, blocks.high + in_line, 1.0)
    rows.put(balance[later], blocks.low + later - 1, -1.0)
    rows.put(balance[later], blocks.high + later - 1, -1.0)
    rows.put(balance, blocks.charge + in_line, -efficiency * slot_h)
    if len(gives):
        rows.put(balance[gives], blocks.discharge + np.arange(len(gives)), slot_h[gives] / out[gives])
        upper[cols(blocks.discharge, len(gives))] = (_of(stores, "discharge_kw")[store] * share)[gives]
        money[cols(blocks.discharge, len(gives))] = (wear * slot_h)[gives]
    floors = np.flatnonzero(least_kwh > 0)
    if len(floors):
        keep = rows.open(least_kwh[floors], np.full(len(floors), inf))
        rows.put(keep, blocks.low + floors, 1.0)
        rows.put(keep, blocks.high + floors, 1.0)
    _gain_rows(rows, problem, windows, blocks, start_kwh, begins)

    # -- the site
    ac = _of(stores, "ac_efficiency")[store]
    shared = _of(stores, "shared")[store] > 0
    own = np.flatnonzero(~shared)
    common = np.flatnonzero(shared)
    # The shared chargers' input at the site's bus; their output is limited together.
    output = rows.open(np.zeros(slots), np.zeros(slots))
    rows.put(output, blocks.output + in_slots, 1.0)
    rows.put(output[slot[common]], blocks.charge + common, -1.0 / ac[common])
    worst = ac[common].max() if len(common) else 1.0
    upper[cols(blocks.output, slots)] = site.chargers_kw / worst
    passed = 1.0 - site.transformer_loss_share
    bus = rows.open(site.base_kw, site.base_kw)
    rows.put(bus, blocks.grid_in + in_slots, passed)
    rows.put(bus, blocks.output + in_slots, -1.0)
    rows.put(bus[slot[own]], blocks.charge + own, -1.0 / ac[own])
    if len(gives):
        rows.put(bus[slot[gives]], blocks.discharge + np.arange(len(gives)), ac[gives])
    if has_sun:
        rows.put(bus, blocks.sun + in_slots, 1.0)
        upper[cols(blocks.sun, slots)] = site.pv_kw
    money[cols(blocks.grid_in, slots)] = site.import_yuan_per_kwh * hours
    if site.export_yuan_per_kwh is not None:
        rows.put(bus, blocks.grid_out + in_slots, -1.0)
        sources_kw = np.array(site.pv_kw, dtype=np.float64)
        if len(gives):
            given_kw = upper[cols(blocks.discharge, len(gives))] * ac[gives]
            sources_kw += np.bincount(slot[gives], given_kw, minlength=slots)
        upper[cols(blocks.grid_out, slots)] = np.minimum(site.export_limit_kw, sources_kw)
        money[cols(blocks.grid_out, slots)] = -site.export_yuan_per_kwh * hours
    rows.put(bus, blocks.over + in_slots, passed)
    # No plan that does not import and export at once needs more than all uses together, or gives more than all
    # sources: without these bounds an export dearer than the import would have no end.
    uses_kw = np.bincount(slot, upper[cols(blocks.charge, line)] / ac, minlength=slots)
    most_kw = (site.base_kw + uses_kw) / passed
    upper[cols(blocks.grid_in, slots)] = np.minimum(site.import_limit_kw, most_kw)
    money[cols(blocks.over, slots)] = site.import_yuan_per_kwh * hours
    needed_kw = np.maximum(site.base_kw / passed - site.import_limit_kw, 0.0)
    upper[cols(blocks.over, slots)] = most_kw if site.soft_limit else needed_kw
    scale = problem.price_scale
    penalty[cols(blocks.over, slots)] = 10 * problem.tier_weights[0] * scale * hours
    if len(floored):
        row = rows.open(floor_kw[floored], np.full(len(floored), inf))
        rows.put(row, blocks.grid_in + floored, 1.0)
        rows.put(row, blocks.over + floored, 1.0)
        rows.put(row, blocks.below + np.arange(len(floored)), 1.0)
        below = cols(blocks.below, len(floored))
        upper[below] = floor_kw[floored]
        penalty[below] = problem.tier_weights[Tier.COMFORT] * scale * hours[floored]
    if blocks.peak >= 0:
        lower[blocks.peak] = site.demand_floor_kw
        money[blocks.peak] = site.demand_yuan_per_kw
        above = rows.open(np.zeros(slots), np.full(slots, inf))
        rows.put(above, np.full(slots, blocks.peak), 1.0)
        rows.put(above, blocks.grid_in + in_slots, -1.0)
        rows.put(above, blocks.over + in_slots, -1.0)
    _source_rows(rows, problem, windows, blocks, has_sun)

    # -- wishes
    if goals:
        owner = np.array([number for number, _ in goals])
        at_h = np.array([goal.at_h for _, goal in goals])
        weight = np.array([problem.tier_weights[goal.tier] for _, goal in goals])
        first_slot, last = slot[windows.first[owner]], windows.last[owner]
        after = np.searchsorted(problem.ends_h, at_h - 1e-9) - first_slot
        at = np.minimum(windows.first[owner] + np.maximum(after, 0), last)
        row = rows.open(np.array([goal.kwh for _, goal in goals]), np.full(len(goals), inf))
        for column in (blocks.low + at, blocks.high + at, blocks.short + np.arange(len(goals))):
            rows.put(row, column, 1.0)
        penalty[cols(blocks.short, len(goals))] = weight * scale
    if len(asks):
        row = rows.open(asked_kw[asks], np.full(len(asks), inf))
        rows.put(row, blocks.charge + asks, 1.0)
        rows.put(row, blocks.unasked + np.arange(len(asks)), 1.0)
        penalty[cols(blocks.unasked, len(asks))] = problem.tier_weights[Tier.PROMISED] * scale * slot_h[asks]
    step = rows.open(np.zeros(slots - 1), np.zeros(slots - 1))
    rows.put(step, blocks.output + 1 + in_slots[:-1], 1.0)
    rows.put(step, blocks.output + in_slots[:-1], -1.0)
    rows.put(step, blocks.rise + 1 + in_slots[:-1], -1.0)
    rows.put(step, blocks.fall + 1 + in_slots[:-1], 1.0)
    upper[blocks.rise] = upper[blocks.fall] = 0.0
    until_end = np.array([s.until_h for s in stores]) >= problem.ends_h[-1] - 1e-9
    ends = windows.last[until_end] if len(stores) else windows.first
    worth = _of(stores, "end_yuan_per_kwh")[until_end]
    money[blocks.low + ends] -= worth
    money[blocks.high + ends] -= worth

    put_off = waits(problem)[slot] & may_not_come(problem)[store]
    wish[cols(blocks.low, line)] = -_EARLY * slot_h * np.where(put_off, -1.0, 1.0)
    wish[cols(blocks.high, line)] = _HIGH * slot_h
    wish[cols(blocks.rise, slots)] = _SMOOTH
    wish[cols(blocks.fall, slots)] = _SMOOTH
    apart = np.flatnonzero(~shared & (_of(stores, "discharge_kw")[store] > 0))
    wish[blocks.low + apart] = wish[blocks.high + apart] = 0.0  # a storage is not to be full early, but left alone
    wish[blocks.charge + apart] = _EARLY * slot_h[apart]

    cost = money + penalty
    money_row = int(rows.open(np.array([-inf]), np.array([inf]))[0])
    costly = np.flatnonzero(cost)
    rows.put(np.full(len(costly), money_row), costly, cost[costly])
    return _pressed(rows, windows, blocks, cost, wish, lower, upper, money, money_row)


def may_not_come(problem: ChargeProblem) -> NDArray[np.bool_]:
    """By store, whether it is for nobody, or for a truck that is expected and not known."""
    tiers = [{goal.tier for goal in s.goals} for s in problem.stores]
    unknown = any(Tier.STOCK in found for found in tiers)
    return np.array([unknown and Tier.PROMISED not in found for found in tiers], dtype=bool)


def waits(problem: ChargeProblem) -> NDArray[np.bool_]:
    """By slot, whether what need not be charged yet is left until later: the next other price is lower, and what is
    asked for in the hour after that leaves the site room to make good what then lacks. Not every truck that is expected
    comes, and for one that does not come nothing is paid at the dear price."""
    price, starts_h = problem.site.import_yuan_per_kwh, problem.starts_h
    stores, limit_kw = problem.stores, problem.site.import_limit_kw
    leaves_h = np.array([s.until_h for s in stores], dtype=np.float64)
    asked_kwh = np.array(
        [
            max((goal.kwh for goal in s.goals if goal.tier is not Tier.COMFORT), default=0.0) - s.energy_kwh
            for s in stores
        ],
        dtype=np.float64,
    )
    drawn_kwh = np.maximum(asked_kwh, 0.0) / (_of(stores, "efficiency") * _of(stores, "ac_efficiency"))
    found = np.zeros(len(price), dtype=bool)
    for slot in range(len(price) - 2, -1, -1):
        after = slot + 1
        if price[after] == price[slot]:
            found[slot] = found[after]
        elif price[after] < price[slot]:
            soon = (leaves_h > starts_h[after]) & (leaves_h <= starts_h[after] + _AFTER_H)
            room_kw = limit_kw[after] - problem.site.base_kw[after]
            found[slot] = float(drawn_kwh[soon].sum()) <= _ROOM * _AFTER_H * room_kw
    return found


def _gain_rows(
    rows: Rows, problem: ChargeProblem, windows: Windows, blocks: Blocks, start_kwh: Floats, begins: NDArray[np.bool_]
) -> None:
    """What each law allows to be gained; a line that cannot bind within the store's energies is left out."""
    stores, store = problem.stores, windows.store
    slot_h = problem.hours[windows.slot]
    for law, at in law_groups(problem, windows):
        full = _of(stores, "charge_kw")[store[at]] * _of(stores, "efficiency")[store[at]] * windows.connected_h[at]
        most = _of(stores, "most_kwh")[store[at]]
        for offset, fall in law.gain_lines(windows.connected_h[at]):
            binds = offset - fall * (most - full) < full - 1e-9
            here, offsets, falls = at[binds], offset[binds], fall[binds]
            first = begins[here]
            row = rows.open(np.full(len(here), -inf), offsets - np.where(first, falls * start_kwh[here], 0.0))
            eff = _of(stores, "efficiency")[store[here]]
            rows.put(row, blocks.charge + here, eff * slot_h[here])
            rows.put(row[~first], blocks.low + here[~first] - 1, falls[~first])
            rows.put(row[~first], blocks.high + here[~first] - 1, falls[~first])


def law_groups(problem: ChargeProblem, windows: Windows) -> list[tuple[ChargeLaw, Ints]]:
    """Each law of charging, and the places in the line of windows of the stores that follow it."""
    laws: list[ChargeLaw] = []
    numbers: dict[int, int] = {}
    law_of = np.full(len(problem.stores), -1)
    for place, one in enumerate(problem.stores):
        if one.law is not None:
            if id(one.law) not in numbers:
                numbers[id(one.law)] = len(laws)
                laws.append(one.law)
            law_of[place] = numbers[id(one.law)]
    by_line = law_of[windows.store]
    return [(law, np.flatnonzero(by_line == number)) for number, law in enumerate(laws)]


def _source_rows(rows: Rows, problem: ChargeProblem, windows: Windows, blocks: Blocks, has_sun: bool) -> None:
    """Stores that take nothing from the grid, or give nothing to it."""
    stores, slot = problem.stores, windows.slot
    slots = len(problem.hours)
    sunny = np.flatnonzero(np.array([not s.from_grid for s in stores], dtype=bool)[windows.store])
    if len(sunny):
        row = rows.open(np.full(slots, -inf), np.zeros(slots))
        rows.put(row[slot[sunny]], blocks.charge + sunny, 1.0 / _of(stores, "ac_efficiency")[windows.store[sunny]])
        if has_sun:
            rows.put(row, blocks.sun + np.arange(slots), -1.0)
    at = blocks.discharge_at
    kept = np.array([not s.to_grid for s in stores], dtype=bool)[windows.store[at]] if len(at) else np.zeros(0, bool)
    if blocks.grid_out >= 0 and kept.any():
        row = rows.open(np.full(slots, -inf), np.zeros(slots))
        rows.put(row, blocks.grid_out + np.arange(slots), 1.0)
        free = np.flatnonzero(~kept)
        rows.put(row[slot[at[free]]], blocks.discharge + free, -_of(stores, "ac_efficiency")[windows.store[at[free]]])
        if has_sun:
            rows.put(row, blocks.sun + np.arange(slots), -1.0)


def _pressed(
    rows: Rows,
    windows: Windows,
    blocks: Blocks,
    cost: Floats,
    wish: Floats,
    lower: Floats,
    upper: Floats,
    money: Floats,
    money_row: int,
) -> Matrix:
    """The rows in compressed form."""
    row, column, value = np.concatenate(rows.row), np.concatenate(rows.column), np.concatenate(rows.value)
    order = np.argsort(row, kind="stable")
    starts = np.zeros(rows.count + 1, dtype=np.int32)
    np.cumsum(np.bincount(row, minlength=rows.count), out=starts[1:])
    return Matrix(
        windows,
        blocks,
        cost,
        wish,
        lower,
        upper,
        np.concatenate(rows.lower),
        np.concatenate(rows.upper),
        starts,
        column[order].astype(np.int32),
        value[order],
        money,
        money_row,
    )
