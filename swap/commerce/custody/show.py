"""Who held what, and what each pack did for its owner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import floor

from pydantic import BaseModel, ConfigDict
from sqlmodel import col, select

from swap.commerce.charges import FEN_YUAN
from swap.commerce.custody.readings import at_installation, at_removal, readings
from swap.commerce.custody.spans import CustodySpan, LifeEvent, PackMove, life_events, spans_of
from swap.commerce.custody.told import packs_on_record
from swap.commerce_db import AnyDb
from swap.errors import NotFound
from swap.paging import cut, read_cursor
from swap.reading.records import Page
from swap.tables import ChargeRow, CustodyMove, LeaseVehicle


class CustodyRecord(BaseModel):
    """A pack in one place, held by one firm."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    pack_id: str
    place: str
    """Where it was: `bay:STATION:BAY`, `vehicle:VEHICLE:SEAT`, `gripper:STATION:LANE`, `tank:STATION`, `off_site`."""
    holder_id: str
    """Firm that held it."""
    vehicle_id: str | None
    station_id: str | None
    from_at: datetime
    """When it came there."""
    until_at: datetime | None
    """When it left; null while it is there."""
    counter_from_kwh: Decimal | None = None
    """On a vehicle: counter of the BMS, energy given, when it was put on; null where it is not known."""
    counter_until_kwh: Decimal | None = None
    """On a vehicle: the same when it was taken off."""


def moves_of(db: AnyDb, pack_ids: Iterable[str] | None = None) -> dict[str, list[PackMove]]:
    """Every move, of some packs where they are named, by pack."""
    query = select(CustodyMove).order_by(col(CustodyMove.pack_id), col(CustodyMove.at))
    if pack_ids is not None:
        query = query.where(col(CustodyMove.pack_id).in_(list(pack_ids)))
    found: dict[str, list[PackMove]] = defaultdict(list)
    for row in db.exec(query):
        energy = None if row.energy_centi_kwh is None else Decimal(row.energy_centi_kwh).scaleb(-2)
        found[row.pack_id].append(
            PackMove(
                row.pack_id,
                row.at,
                row.station_id,
                row.seq,
                row.source,
                row.target,
                row.holder_id,
                row.swap_id,
                energy,
            )
        )
    return found


def custody_spans(
    db: AnyDb,
    *,
    pack_id: str | None = None,
    vehicle_id: str | None = None,
    holder_id: str | None = None,
    from_at: datetime | None = None,
    until_at: datetime | None = None,
) -> tuple[CustodySpan, ...]:
    """Spans of custody that touch a time, by pack and time, of one pack, vehicle or holder where it is named."""
    wanted = select(CustodyMove.pack_id).distinct()
    if pack_id is not None:
        wanted = wanted.where(CustodyMove.pack_id == pack_id)
    if vehicle_id is not None:
        wanted = wanted.where(CustodyMove.vehicle_id == vehicle_id)
    if holder_id is not None:
        wanted = wanted.where(CustodyMove.holder_id == holder_id)
    packs = list(db.exec(wanted))
    return tuple(
        span
        for _, moves in sorted(moves_of(db, packs).items())
        for span in spans_of(moves)
        if (vehicle_id is None or span.vehicle_id == vehicle_id)
        and (holder_id is None or span.holder_id == holder_id)
        and _touches(span, from_at, until_at)
    )


def _touches(span: CustodySpan, from_at: datetime | None, until_at: datetime | None) -> bool:
    return (until_at is None or span.from_at < until_at) and (
        from_at is None or span.until_at is None or span.until_at > from_at
    )


def custody_records(
    db: AnyDb,
    pack_id: str,
    *,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[CustodyRecord]:
    """The spans of one pack that touch a time, the oldest first. Raises NotFound for a pack of which nothing is known.

    Spans are made of all the pack's moves whatever the page: a late journal may tell of earlier ones.
    """
    if db.exec(select(CustodyMove.seq).where(CustodyMove.pack_id == pack_id).limit(1)).first() is None:
        raise NotFound("pack", pack_id)
    spans = custody_spans(db, pack_id=pack_id)  # all of them: what comes next says until when a counter was read
    counters = readings(db, "counter_kwh", [pack_id], spans[0].from_at).get(pack_id, []) if spans else []
    known_at = None if cursor is None else read_cursor(cursor)[0]
    wanted = [
        (place, span)
        for place, span in enumerate(spans)
        if _touches(span, from_at, to_at) and (known_at is None or span.from_at > known_at)
    ]
    shown, following = cut(wanted, limit, lambda one: "", lambda one: one[1].from_at)  # one span begins at an instant
    records = []
    for place, span in shown:
        on_vehicle = span.vehicle_id is not None
        again = next((later.from_at for later in spans[place + 1 :] if later.vehicle_id is not None), None)
        records.append(
            CustodyRecord(
                pack_id=span.pack_id,
                place=span.place,
                holder_id=span.holder_id,
                vehicle_id=span.vehicle_id,
                station_id=span.station_id,
                from_at=span.from_at,
                until_at=span.until_at,
                counter_from_kwh=at_installation(counters, span.from_at) if on_vehicle else None,
                counter_until_kwh=(
                    at_removal(counters, span.until_at, again) if on_vehicle and span.until_at is not None else None
                ),
            )
        )
    return Page(items=tuple(records), next_cursor=following)


def life_events_of(db: AnyDb, pack_id: str) -> tuple[LifeEvent, ...]:
    """The life-cycle events of a pack. Raises NotFound for a pack of which nothing is known."""
    moves = moves_of(db, [pack_id]).get(pack_id)
    if not moves:
        raise NotFound("pack", pack_id)
    return life_events(moves)


class PackUse(BaseModel):
    """What a pack did in a time."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    pack_id: str
    on_vehicles_h: Decimal
    """Hours on vehicles, half up to 0.01."""
    share: Decimal
    """Of the time for which it is on record."""
    installed: int
    """How often it was put on a vehicle."""
    income_yuan: Decimal
    """Charges that name it, and its share, by time on the contract's vehicles, of those that name none."""


def pack_uses(db: AnyDb, owner_id: str, from_at: datetime, until_at: datetime, period: str) -> tuple[PackUse, ...]:
    """Use and income of each pack of an owner between two instants, with the charges of a period. Income adds up."""
    packs = sorted(packs_on_record(db, owner_id=owner_id))
    spans = {pack: spans_of(moves) for pack, moves in moves_of(db, packs).items()}
    income = _income_fen(db, owner_id, period, spans, from_at, until_at)
    found = []
    for pack in packs:
        known_s = _held_s(spans.get(pack, ()), from_at, until_at, None)
        used_s = _held_s([s for s in spans.get(pack, ()) if s.vehicle_id is not None], from_at, until_at, None)
        installed = sum(s.vehicle_id is not None and from_at <= s.from_at < until_at for s in spans.get(pack, ()))
        found.append(
            PackUse(
                pack_id=pack,
                on_vehicles_h=_two(used_s / 3600),
                share=_two(used_s / known_s) if known_s else Decimal("0.00"),
                installed=installed,
                income_yuan=Decimal(income.get(pack, 0)) * FEN_YUAN,
            )
        )
    return tuple(found)


def _two(value: Fraction) -> Decimal:
    return Decimal(floor(value * 100 + Fraction(1, 2))).scaleb(-2)


def _held_s(spans: Iterable[CustodySpan], from_at: datetime, until_at: datetime, vehicles: set[str] | None) -> Fraction:
    total = 0
    for span in spans:
        if vehicles is not None and span.vehicle_id not in vehicles:
            continue
        end = until_at if span.until_at is None else min(span.until_at, until_at)
        total += max(round((end - max(span.from_at, from_at)).total_seconds()), 0)
    return Fraction(total)


def _income_fen(
    db: AnyDb,
    owner_id: str,
    period: str,
    spans: Mapping[str, Sequence[CustodySpan]],
    from_at: datetime,
    until_at: datetime,
) -> dict[str, int]:
    income: dict[str, int] = defaultdict(int)
    shared: dict[str, int] = defaultdict(int)
    for row in db.exec(select(ChargeRow).where(ChargeRow.seller_id == owner_id, ChargeRow.period == period)):
        if row.kind == "deposit":
            continue
        if row.pack_id is not None:
            income[row.pack_id] += row.amount_fen
        elif row.contract_id is not None:
            shared[row.contract_id] += row.amount_fen
    for contract_id, amount_fen in shared.items():
        query = select(LeaseVehicle.vehicle_id).where(LeaseVehicle.contract_id == contract_id)
        vehicles = set(db.exec(query))
        weights = {pack: _held_s(spans[pack], from_at, until_at, vehicles) for pack in sorted(spans)}
        for pack, part_fen in shared_out(amount_fen, weights).items():
            income[pack] += part_fen
    return income


def shared_out(amount_fen: int, weights: Mapping[str, Fraction]) -> dict[str, int]:
    """An amount divided by weights to the fen; what rounding leaves goes fen by fen to the largest remainders, then to
    the first name. Nothing where no weight is above 0."""
    total = sum(weights.values(), Fraction(0))
    if not total:
        return {}
    sign = 1 if amount_fen >= 0 else -1
    exact = {name: abs(amount_fen) * weight / total for name, weight in weights.items() if weight}
    parts = {name: floor(value) for name, value in exact.items()}
    left = abs(amount_fen) - sum(parts.values())
    for name in sorted(exact, key=lambda name: (parts[name] - exact[name], name))[:left]:
        parts[name] += 1
    return {name: sign * part for name, part in parts.items()}
