"""What the rents of a contract rest on, read from custody and readings."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import CTE, BindParameter, CompoundSelect, Select, bindparam, union
from sqlalchemy.orm import aliased
from sqlmodel import and_, col, func, select

from swap.commerce.custody.readings import (
    FROM_AT,
    Series,
    at_installation,
    at_removal,
    by_then,
    readings,
    readings_about,
    series_of,
    up_to,
)
from swap.commerce.custody.spans import PackMove, in_order, vehicle_of
from swap.commerce.custody.told import packs_on_record
from swap.commerce.leases.contracts import leases_of
from swap.commerce.leases.lease import LeaseHistory
from swap.commerce.leases.measured import Facts, HeldPack
from swap.commerce.leases.periods import Days, day_of
from swap.commerce.leases.states import BINDING, CHARGED
from swap.commerce_db import AnyDb
from swap.lots import lots
from swap.tables import CustodyMove, LeaseContract, LeaseVehicle, ReadingRow

ON_VEHICLE = "vehicle:"
_VEHICLES: BindParameter[Any] = bindparam("vehicles", expanding=True)
METERS = ("odometer_km", "engine_h", "tonnes")


def gather(db: AnyDb, lease: LeaseHistory, from_at: datetime, known_at: datetime | None = None) -> Facts:
    """Everything from an instant on that counts for the vehicles of a contract.

    Args:
        known_at: leave out what happened, or was put on record, after it; None for what is known now. Contracts that
            cover the vehicles elsewhere are as they are now.
    """
    vehicles = sorted({name for version in lease.versions for name in version.terms.vehicles})
    asked, statements = {"from_at": from_at, "vehicles": vehicles, **up_to(known_at)}, _statements(known_at is not None)
    moves = _moves(db.execute(statements.moves, asked))
    elsewhere = _elsewhere(db, lease, vehicles)
    wanted = {vehicle: None for vehicle in vehicles}
    energy = "counter_kwh" if lease.terms.energy == "counter" else "energy_kwh"
    counters = series_of(db.execute(statements.counters, {**asked, "quantity": energy}))
    health = series_of(db.execute(statements.health, {**asked, "quantity": "soh_pct"}))
    prices = _prices(db, {move.swap_id for pack in moves.values() for move in pack if move.swap_id}, known_at)
    known = packs_on_record(db, moves)
    held: list[HeldPack] = []
    for pack_id, ordered in moves.items():
        for place, move in enumerate(ordered):
            vehicle_id = vehicle_of(move.target)
            if vehicle_id not in wanted or vehicle_id is None:
                continue
            following = ordered[place + 1] if place + 1 < len(ordered) else None
            again = next((later.at for later in ordered[place + 2 :] if vehicle_of(later.target) is not None), None)
            until_at = None if following is None else following.at
            series = counters.get(pack_id, [])
            used = None
            if until_at is not None:
                used = (
                    _counted(series, move.at, until_at, again)
                    if energy == "counter_kwh"
                    else _given_up(series, move.energy_kwh, until_at, again)
                )
            price = None if following is None or following.swap_id is None else prices.get(following.swap_id)
            ended = None if until_at is None else day_of(until_at, lease.terms.tz)
            covered = (
                any(days.first <= ended < days.until for days in elsewhere.get(vehicle_id, ())) if ended else False
            )
            held.append(
                HeldPack(
                    pack_id,
                    vehicle_id,
                    known[pack_id].rated_kwh if pack_id in known else Decimal(0),
                    move.at,
                    until_at,
                    used,
                    _latest(health.get(pack_id, []), move.at),
                    price,
                    free_end=ended is not None and not covered,
                )
            )
    meters: dict[tuple[str, str], Series] = {}
    for quantity in METERS:
        for vehicle_id, series in readings(db, quantity, vehicles, from_at, known_at).items():
            meters[vehicle_id, quantity] = series
    return Facts(tuple(held), _swaps(moves, wanted), meters, elsewhere)


@dataclass(frozen=True, slots=True)
class _Statements:
    """What is asked of the packs of `vehicles` since `FROM_AT`."""

    moves: Select[Any] | CompoundSelect[Any]
    counters: Select[Any] | CompoundSelect[Any]
    """The readings of a `quantity` at the begin and the end of each span."""
    health: Select[Any] | CompoundSelect[Any]
    """Those at its begin."""


@cache
def _statements(known: bool) -> _Statements:
    # Made once: they are asked for every contract of a month, and are long.
    spans = _spans(known=known)
    put_on, taken_off = (spans.c.pack_id, spans.c.at), (spans.c.pack_id, spans.c.ends_at)
    return _Statements(
        _moves_of(spans, known=known),
        readings_about(up_to=put_on, since=taken_off, known=known),
        readings_about(up_to=put_on, since=put_on, known=known),
    )


def _spans(*, known: bool) -> CTE:
    """When packs were put on these vehicles since an instant, and the last time before it: `pack_id`, `at`, when it
    moved next to or from any vehicle, `ends_at`, and when it was put on one after that, `again_at`.

    Looked up move by move: what a pack did elsewhere in between, which is most of what it does in a large pool, is
    not read.
    """
    row, after, again = CustodyMove, aliased(CustodyMove), aliased(CustodyMove)
    put_on = and_(
        col(row.vehicle_id).in_(_VEHICLES), col(row.target).startswith(ON_VEHICLE), *by_then(row.at, known=known)
    )
    before = (
        select(row.pack_id, func.max(col(row.at)).label("at"))
        .where(col(row.vehicle_id).in_(_VEHICLES), col(row.at) < FROM_AT)
        .group_by(col(row.pack_id))
        .subquery()
    )
    newest = select(row.pack_id, row.at).join(
        before, and_(col(row.pack_id) == before.c.pack_id, col(row.at) == before.c.at)
    )
    own = union(select(row.pack_id, row.at).where(put_on, col(row.at) >= FROM_AT), newest.where(put_on)).subquery()
    ends_at = (
        select(func.min(col(after.at)))
        .where(after.pack_id == own.c.pack_id, col(after.vehicle_id).is_not(None), col(after.at) > own.c.at)
        .where(col(after.at) >= FROM_AT, *by_then(after.at, known=known))
        .scalar_subquery()
    )
    ended = select(own.c.pack_id, own.c.at, ends_at.label("ends_at")).cte("ended")
    again_at = (
        select(func.min(col(again.at)))
        .where(again.pack_id == ended.c.pack_id, col(again.at) > ended.c.ends_at)
        .where(col(again.target).startswith(ON_VEHICLE), *by_then(again.at, known=known))
        .scalar_subquery()
    )
    return select(ended.c.pack_id, ended.c.at, ended.c.ends_at, again_at.label("again_at")).cte("spans")


def _moves_of(spans: CTE, *, known: bool) -> CompoundSelect[Any]:
    """Moves to and from these vehicles since an instant, and those that begin and end the spans."""
    row = CustodyMove
    columns = select(  # type: ignore[call-overload]
        row.pack_id, row.at, row.station_id, row.seq, row.source, row.target, row.holder_id, row.swap_id,
        row.energy_centi_kwh,
    ).where(col(row.vehicle_id).is_not(None))  # fmt: skip
    of_spans = (
        columns.join(spans, and_(col(row.pack_id) == spans.c.pack_id, col(row.at) == at))
        for at in (spans.c.at, spans.c.ends_at, spans.c.again_at)
    )
    own = columns.where(col(row.vehicle_id).in_(_VEHICLES), col(row.at) >= FROM_AT, *by_then(row.at, known=known))
    return union(own, *of_spans)


def _moves(rows: Iterable[Any]) -> dict[str, list[PackMove]]:
    """By pack, in order."""
    by_pack: dict[str, list[PackMove]] = defaultdict(list)
    for told in rows:
        energy = None if told.energy_centi_kwh is None else Decimal(told.energy_centi_kwh).scaleb(-2)
        by_pack[told.pack_id].append(
            PackMove(
                told.pack_id,
                told.at,
                told.station_id,
                told.seq,
                told.source,
                told.target,
                told.holder_id,
                told.swap_id,
                energy,
            )
        )
    return {pack: in_order(moves) for pack, moves in sorted(by_pack.items())}


def _prices(db: AnyDb, swaps: set[str], known_at: datetime | None) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for some in lots(sorted(swaps)):
        rows = db.execute(_prices_of(known_at is not None), {"swaps": some, **up_to(known_at)})
        found |= {swap: Decimal(value).scaleb(-4) for swap, value in rows}
    return found


@cache
def _prices_of(known: bool) -> Any:
    query = select(ReadingRow.subject, ReadingRow.value_1e4).where(
        ReadingRow.quantity == "energy_price",
        col(ReadingRow.subject).in_(bindparam("swaps", expanding=True)),
        *by_then(ReadingRow.made_at, known=known),
    )
    return query.order_by(col(ReadingRow.no))


def _swaps(moves: Mapping[str, Sequence[PackMove]], vehicles: Mapping[str, None]) -> tuple[tuple[str, datetime], ...]:
    """Vehicle and instant of each swap that gave a vehicle a pack which it had not before."""
    off = {(move.swap_id, vehicle_of(move.source), pack) for pack, all_ in moves.items() for move in all_}
    given: dict[tuple[str, str], datetime] = {}
    for pack, ordered in moves.items():
        for move in ordered:
            vehicle_id = vehicle_of(move.target)
            if vehicle_id not in vehicles or vehicle_id is None or move.swap_id is None:
                continue
            if (move.swap_id, vehicle_id, pack) not in off:
                key = (vehicle_id, move.swap_id)
                given[key] = max(given.get(key, move.at), move.at)
    return tuple(sorted((vehicle, at) for (vehicle, _), at in given.items()))


def _counted(series: Series, from_at: datetime, until_at: datetime, again_at: datetime | None) -> Decimal | None:
    """Counter at removal − at installation."""
    before, after = at_installation(series, from_at), at_removal(series, until_at, again_at)
    return None if before is None or after is None else max(after - before, Decimal(0))


def _given_up(
    series: Series, held_kwh: Decimal | None, until_at: datetime, again_at: datetime | None
) -> Decimal | None:
    """Energy when it was put on − when it came back; never less than 0."""
    after = bisect_left(series, until_at, key=lambda one: one[0])
    if held_kwh is None or after >= len(series) or (again_at is not None and series[after][0] >= again_at):
        return None
    return max(held_kwh - series[after][1], Decimal(0))


def _latest(series: Series, at: datetime) -> Decimal | None:
    """The last reading up to an instant, else the first after it."""
    if not series:
        return None
    return series[max(bisect_right(series, at, key=lambda one: one[0]) - 1, 0)][1]


def _elsewhere(db: AnyDb, lease: LeaseHistory, vehicles: Sequence[str]) -> dict[str, tuple[Days, ...]]:
    query = (
        select(LeaseVehicle.contract_id, LeaseVehicle.vehicle_id, LeaseContract.state)
        .join(LeaseContract, col(LeaseContract.id) == LeaseVehicle.contract_id)
        .where(col(LeaseVehicle.vehicle_id).in_(vehicles), LeaseVehicle.contract_id != lease.id)
        .where(col(LeaseContract.state).in_([*BINDING, *CHARGED]))
        .distinct()
    )
    named = db.exec(query).all()
    others = {other.id: other for other in leases_of(db, sorted({contract for contract, _, _ in named}))}
    found: dict[str, list[Days]] = defaultdict(list)
    for contract_id, vehicle_id, state in named:
        found[vehicle_id] += others[contract_id].days_of(vehicle_id, binding=state in BINDING)
    return {vehicle: tuple(sorted(days)) for vehicle, days in found.items()}
