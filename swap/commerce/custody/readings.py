"""Readings by subject and time, as rents and custody look at them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, union
from sqlalchemy.orm import aliased
from sqlmodel import and_, col, func, or_, select

from swap.commerce_db import AnyDb
from swap.errors import InvalidInput
from swap.tables import ReadingRow
from swap.words import N_

Series = list[tuple[datetime, Decimal]]
COUNTERS = ("odometer_km", "engine_h", "counter_kwh")
"""They only rise."""


def by_then(column: Any, known_at: datetime | None) -> tuple[ColumnElement[bool], ...]:
    """What narrows a query to what an instant's column says was there by then; nothing where no instant is given."""
    return () if known_at is None else (column <= known_at,)


def readings(
    db: AnyDb, quantity: str, subjects: Iterable[str], from_at: datetime, known_at: datetime | None = None
) -> dict[str, Series]:
    """Readings from an instant on and the last before it, by subject and time; the last given for an instant counts.

    Args:
        known_at: leave out what was put on record after it.
    """
    row, names = ReadingRow, sorted(subjects)
    mine = (col(row.quantity) == quantity, col(row.subject).in_(names), *by_then(row.made_at, known_at))
    newest = (
        select(row.subject, func.max(col(row.at)).label("at"))
        .where(*mine, col(row.at) < from_at)
        .group_by(col(row.subject))
        .subquery()
    )
    query = (
        select(row.subject, row.at, row.value_1e4)
        .outerjoin(newest, col(row.subject) == newest.c.subject)
        .where(*mine, or_(col(row.at) >= from_at, col(row.at) == newest.c.at))
        .order_by(col(row.subject), col(row.at), col(row.no))
    )
    found: dict[str, dict[datetime, Decimal]] = defaultdict(dict)
    for subject, at, value in db.exec(query):
        found[subject][at] = Decimal(value).scaleb(-4)
    return {subject: sorted(series.items()) for subject, series in found.items()}


def readings_about(
    db: AnyDb,
    quantity: str,
    *,
    up_to: tuple[ColumnElement[str], ColumnElement[datetime]],
    since: tuple[ColumnElement[str], ColumnElement[datetime]],
    known_at: datetime | None = None,
) -> dict[str, Series]:
    """The last readings up to certain instants and the first ones from others on, by subject and time.

    Args:
        up_to, since: subject and instant, columns of one query each.
        known_at: leave out what was put on record after it.
    """
    row, other = ReadingRow, aliased(ReadingRow)
    asked = []
    for of, newest in ((up_to, True), (since, False)):
        subject, instant = of
        nearest = select(func.max(col(other.at)) if newest else func.min(col(other.at)))
        nearest = nearest.where(other.quantity == quantity, other.subject == subject)
        nearest = nearest.where(*by_then(other.made_at, known_at))
        nearest = nearest.where(col(other.at) <= instant if newest else col(other.at) >= instant)
        about = select(subject.label("subject"), nearest.scalar_subquery().label("at")).distinct().subquery()
        asked.append(
            select(row.subject, row.at, row.no, row.value_1e4)
            .join(about, and_(col(row.subject) == about.c.subject, col(row.at) == about.c.at))
            .where(row.quantity == quantity, *by_then(row.made_at, known_at))
        )
    found: dict[str, dict[datetime, Decimal]] = defaultdict(dict)
    for name, at, _, value in sorted(db.execute(union(*asked))):
        found[name][at] = Decimal(value).scaleb(-4)
    return {name: sorted(series.items()) for name, series in found.items()}


def at_installation(series: Series, from_at: datetime) -> Decimal | None:
    """What the counter of a pack showed when it was put on a vehicle: its last reading up to then. It stands still
    while the pack is charged."""
    place = bisect_right(series, from_at, key=lambda one: one[0]) - 1
    return None if place < 0 else series[place][1]


def at_removal(series: Series, until_at: datetime, again_at: datetime | None) -> Decimal | None:
    """What it showed when the pack was taken off: its first reading from then on, before it is put on again."""
    place = bisect_left(series, until_at, key=lambda one: one[0])
    if place >= len(series) or (again_at is not None and series[place][0] > again_at):
        return None
    return series[place][1]


def never_backwards(db: AnyDb, subject: str, quantity: str, at: datetime, value: Decimal) -> None:
    """Raise InvalidInput where a counter would be below what it showed before, or above what it showed later."""
    series = readings(db, quantity, [subject], at).get(subject, [])
    before = max((known for of, known in series if of < at), default=Decimal(0))
    after = min((known for of, known in series if of > at), default=None)
    if value < before or (after is not None and value > after):
        most = "…" if after is None else str(after)
        raise InvalidInput(quantity, str(value), N_("{least}…{most}: it never runs backwards"), least=before, most=most)
