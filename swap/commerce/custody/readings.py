"""Readings by subject and time, as rents and custody look at them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, String, bindparam, union
from sqlalchemy.orm import aliased
from sqlmodel import and_, col, func, or_, select

from swap.commerce_db import AnyDb
from swap.errors import InvalidInput
from swap.tables import ReadingRow
from swap.words import N_

Series = list[tuple[datetime, Decimal]]
COUNTERS = ("odometer_km", "engine_h", "counter_kwh")
"""They only rise."""


_INSTANT = ReadingRow.__table__.c.at.type  # type: ignore[attr-defined]
FROM_AT, KNOWN_AT = bindparam("from_at", type_=_INSTANT), bindparam("known_at", type_=_INSTANT)
"""Parameters of statements that are made once."""


def by_then(column: Any, *, known: bool) -> tuple[ColumnElement[bool], ...]:
    """What narrows a statement to what an instant's column says was there by `KNOWN_AT`; nothing where all counts."""
    return (column <= KNOWN_AT,) if known else ()


def up_to(known_at: datetime | None) -> dict[str, datetime]:
    """The value of `KNOWN_AT`."""
    return {} if known_at is None else {"known_at": known_at}


@cache
def _readings(known: bool) -> Any:
    """Readings of a `quantity` of `subjects`."""
    row = ReadingRow
    mine = (
        col(row.quantity) == bindparam("quantity"),
        col(row.subject).in_(bindparam("subjects", expanding=True)),
        *by_then(row.made_at, known=known),
    )
    newest = (
        select(row.subject, func.max(col(row.at)).label("at"))
        .where(*mine, col(row.at) < FROM_AT)
        .group_by(col(row.subject))
        .subquery()
    )
    return (
        select(row.subject, row.at, row.value_1e4)
        .outerjoin(newest, col(row.subject) == newest.c.subject)
        .where(*mine, or_(col(row.at) >= FROM_AT, col(row.at) == newest.c.at))
        .order_by(col(row.subject), col(row.at), col(row.no))
    )


def readings(
    db: AnyDb, quantity: str, subjects: Iterable[str], from_at: datetime, known_at: datetime | None = None
) -> dict[str, Series]:
    """Readings from an instant on and the last before it, by subject and time; the last given for an instant counts.

    Args:
        known_at: leave out what was put on record after it.
    """
    asked = {"quantity": quantity, "subjects": sorted(subjects), "from_at": from_at, **up_to(known_at)}
    found: dict[str, dict[datetime, Decimal]] = defaultdict(dict)
    for subject, at, value in db.execute(_readings(known_at is not None), asked):
        found[subject][at] = Decimal(value).scaleb(-4)
    return {subject: sorted(series.items()) for subject, series in found.items()}


def readings_about(
    *,
    up_to: tuple[ColumnElement[str], ColumnElement[datetime]],
    since: tuple[ColumnElement[str], ColumnElement[datetime]],
    known: bool,
) -> Select[Any] | CompoundSelect[Any]:
    """A statement for the last readings of a `quantity` up to certain instants and the first ones from others on:
    what `series_of` puts in order.

    Args:
        up_to, since: subject and instant, columns of one query each.
        known: leave out what was put on record after `KNOWN_AT`.
    """
    quantity = bindparam("quantity", type_=String())
    row, other = ReadingRow, aliased(ReadingRow)
    asked = []
    for of, newest in ((up_to, True), (since, False)):
        subject, instant = of
        nearest = select(func.max(col(other.at)) if newest else func.min(col(other.at)))
        nearest = nearest.where(other.quantity == quantity, other.subject == subject)
        nearest = nearest.where(*by_then(other.made_at, known=known))
        nearest = nearest.where(col(other.at) <= instant if newest else col(other.at) >= instant)
        about = select(subject.label("subject"), nearest.scalar_subquery().label("at")).distinct().subquery()
        asked.append(
            select(row.subject, row.at, row.no, row.value_1e4)
            .join(about, and_(col(row.subject) == about.c.subject, col(row.at) == about.c.at))
            .where(row.quantity == quantity, *by_then(row.made_at, known=known))
        )
    return union(*asked)


def series_of(rows: Iterable[Any]) -> dict[str, Series]:
    """Readings by subject and time, from rows of `readings_about`; the last given for an instant counts."""
    found: dict[str, dict[datetime, Decimal]] = defaultdict(dict)
    for name, at, _, value in sorted(rows):
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
