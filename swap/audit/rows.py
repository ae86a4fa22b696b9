"""Rows as they are stored, read one after the other: what does not fit its column is a finding, and never an error.

A row of which a value cannot be read is told of by `rows_well_formed` and left out of every other check. Nothing is
kept here: how much memory an audit takes does not depend on how many rows there are.
"""

from __future__ import annotations

import json
import math
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import JSON, Column, Select, Table, bindparam, null, select, type_coerce
from sqlalchemy.types import NullType, TypeDecorator
from sqlmodel import Session, SQLModel

from swap.audit.allowed import CODES, range_of
from swap.audit.findings import Findings, shown
from swap.tables.base import CanonicalJson

T = TypeVar("T")

AT_ONCE = 500
"""Rows fetched, and keys asked for, at a time."""
LOT = 100
"""Rows that are held together with everything that names them."""


def instant(value: object) -> datetime:
    """An instant as either engine gives it. Raises ValueError."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(at, datetime):
        raise ValueError("no instant")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("no whole number")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("no finite number")
    return float(value)


def _truth(value: object) -> bool:
    if value not in (0, 1):
        raise ValueError("neither true nor false")
    return bool(value)


def _json(kind: type) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        found = json.loads(value) if isinstance(value, str | bytes) else value
        if not isinstance(found, kind):
            raise ValueError(f"no {kind.__name__}")
        return found

    return read


_AS_STORED = NullType()
_BY_TYPE: dict[type, Callable[[object], Any]] = {bool: _truth, datetime: instant, int: _whole, float: _number}


def _reader(model: type[SQLModel], column: Column[Any]) -> Callable[[object], Any]:
    if isinstance(column.type, CanonicalJson):
        return _text
    if isinstance(column.type, JSON):
        return _json(list if "list" in str(model.model_fields[column.name].annotation) else dict)
    plain = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    read = _BY_TYPE.get(plain.python_type)
    if read is not None:
        return read
    length = getattr(plain, "length", None)
    if length is None:
        return _text

    def short(value: object) -> str:
        if not isinstance(value, str) or len(value) > length:
            raise ValueError(f"no text of at most {length} characters")
        return value

    return short


@dataclass(frozen=True)
class Shape:
    """How the rows of one table are read."""

    table: Table
    row: Callable[..., Any]
    columns: tuple[tuple[str, Callable[[object], Any], bool], ...]
    """Name, reader, whether it may be missing."""
    key: tuple[int, ...]
    """Places of the primary key."""
    ranges: tuple[tuple[int, float, float, str], ...]
    """Place, least, most and unit of the numbers."""
    codes: tuple[tuple[int, frozenset[Any]], ...]
    """Place and what may stand there."""
    documents: tuple[int, ...]
    """Places of JSON."""
    query: Select[Any]
    """Every column as it is stored; made once, since an audit asks some hundred times."""

    def named(self, values: Sequence[object]) -> str:
        """A row, for people."""
        return f"{self.table.name} {':'.join(str(values[place]) for place in self.key)}"


def _as_stored(table: Table) -> Select[Any]:
    columns: list[Any] = [type_coerce(column, _AS_STORED).label(column.name) for column in table.columns]
    return select(*columns)


@cache
def shape(model: type[SQLModel]) -> Shape:
    """The shape of a table."""
    table: Table = model.__table__  # type: ignore[attr-defined]
    names = [column.name for column in table.columns]
    spans = (
        (place, range_of(table.name, column.name))
        for place, column in enumerate(table.columns)
        if _reader(model, column) in (_whole, _number)
    )
    codes = ((place, CODES.get((table.name, name))) for place, name in enumerate(names))
    return Shape(
        table,
        namedtuple(f"{table.name}_row", names),
        tuple((c.name, _reader(model, c), bool(c.nullable)) for c in table.columns),
        tuple(names.index(column.name) for column in table.primary_key.columns),
        tuple((place, *span) for place, span in spans if span is not None),
        tuple((place, allowed) for place, allowed in codes if allowed is not None),
        tuple(place for place, column in enumerate(table.columns) if isinstance(column.type, JSON)),
        _as_stored(table),
    )


# Made once: most of an audit's questions are about some rows only, and to make and look up a statement of a table
# costs more than the answer.


@lru_cache(maxsize=512)
def _ordered(model: type[SQLModel], order: tuple[Any, ...]) -> Select[Any]:
    return shape(model).query.order_by(*order).execution_options(yield_per=AT_ONCE)


@lru_cache(maxsize=512)
def _with_keys(model: type[SQLModel], column: Any, order: tuple[Any, ...]) -> Select[Any]:
    return _ordered(model, order).where(column.in_(bindparam("keys", expanding=True)))


@lru_cache(maxsize=512)
def _by_lots(model: type[SQLModel], key: Any) -> tuple[Select[Any], Select[Any], Select[Any]]:
    """The first lot in the order of a key, the one after `last`, and the rows that have no key."""
    query = shape(model).query
    first = query.order_by(key).limit(LOT)
    return first, first.where(key > bindparam("last")), query.where(key.is_(null()))


class Reader:
    """Reads tables, and judges each row by itself the first time it is read."""

    def __init__(self, db: Session, findings: Findings) -> None:
        self.db = db
        self._connection = db.connection()
        """Rows that are read by their columns need nothing of a session, whose work would come on top."""
        self._formed = findings["rows_well_formed"]
        self._ranges = findings["values_in_range"]
        self._codes = findings["codes_known"]
        self.stations: tuple[str, ...] = ()
        """Every station. What is asked of the journals names them: the indexes begin with the station, and without it
        SQLite would read all of a journal for every question."""
        self._whole: set[str] = set()
        """Tables that were read to their end, with nothing in them that does not fit: read again, only what needs a
        conversion is looked at."""

    def rows(self, model: type[SQLModel], *where: Any, order: Sequence[Any] = (), judged: bool = True) -> Iterator[Any]:
        """The rows that fit their columns, one after the other, in an order.

        Args:
            judged: tell of those that do not; False where they are read again.
        """
        query = _ordered(model, tuple(order))
        return self._asked(model, query.where(*where) if where else query, {}, judged=judged)

    def _asked(
        self, model: type[SQLModel], query: Select[Any], values: Mapping[str, object], *, judged: bool
    ) -> Iterator[Any]:
        form = shape(model)
        if not judged and form.table.name in self._whole:
            return self._again(form, query, values)
        return self._read(form, query, values, judged=judged)

    def whole(self, model: type[SQLModel]) -> None:
        """Every row of a table has been judged; where all fit, they are not judged again."""
        form = shape(model)
        if not any(text.startswith(f"{form.table.name} ") for text in self._formed.violations):
            self._whole.add(form.table.name)

    def _again(self, form: Shape, query: Select[Any], values: Mapping[str, object]) -> Iterator[Any]:
        conversions: list[tuple[int, Callable[[object], Any]]] = [
            (place, read) for place, (_, read, _) in enumerate(form.columns) if read in (instant, _truth, _number)
        ]
        conversions += [(place, form.columns[place][1]) for place in form.documents]
        row = form.row
        for raws in self._connection.execute(query, values).partitions():
            for raw in raws:
                row_values = list(raw)
                try:
                    for place, read in conversions:
                        if row_values[place] is not None:
                            row_values[place] = read(row_values[place])
                except (ValueError, RecursionError):
                    continue  # of no station, so that nobody has judged it; what it points at is told of
                yield row(*row_values)

    def of(
        self,
        model: type[SQLModel],
        column: Any,
        keys: Iterable[Any],
        *where: Any,
        order: Sequence[Any] = (),
        judged: bool = True,
    ) -> Iterator[Any]:
        """The rows whose column has one of some values."""
        query = _with_keys(model, column, tuple(order))
        for some in in_lots(keys):
            yield from self._asked(model, query.where(*where) if where else query, {"keys": some}, judged=judged)

    def lots(self, model: type[SQLModel], key: Any, *, judged: bool = True) -> Iterator[list[Any]]:
        """All rows in the order of their key, in lots; a lot is read whole before it is given."""
        form, last = shape(model), None
        first, onward, without = _by_lots(model, key)
        while True:
            told = self._connection.execute(first) if last is None else self._connection.execute(onward, {"last": last})
            raws = list(told)
            if last is None:  # a key that is missing follows no other
                yield list(self._judge(form, self._connection.execute(without), judged=judged))
            if not raws:
                return
            last = raws[-1][form.key[0]]
            yield list(self._judge(form, raws, judged=judged))

    def _read(self, form: Shape, query: Select[Any], values: Mapping[str, object], *, judged: bool) -> Iterator[Any]:
        for raws in self._connection.execute(query, values).partitions():
            yield from self._judge(form, raws, judged=judged)

    def _judge(self, form: Shape, raws: Iterable[Any], *, judged: bool) -> Iterator[Any]:
        columns, row = form.columns, form.row
        for raw in raws:
            values: list[Any] = []
            problems: list[str] = []
            for (name, read, optional), value in zip(columns, raw, strict=True):
                if value is None:
                    values.append(None)
                    if not optional:
                        problems.append(f"{name} is missing")
                    continue
                try:
                    values.append(read(value))
                except (ValueError, RecursionError) as error:
                    problems.append(f"{name} = {shown(value)[:80]}: {error}")
            if judged:
                self._formed.examined += 1
            if problems:
                if judged:
                    self._formed.violations += [f"{form.named(raw)}: {problem}" for problem in problems]
                continue
            if judged:
                self._judge_values(form, values)
            yield row(*values)

    def _judge_values(self, form: Shape, values: Sequence[Any]) -> None:
        for place, least, most, unit in form.ranges:
            value = values[place]
            if value is not None:
                self._ranges.examined += 1
                if not least <= value <= most:
                    self._ranges.violations.append(
                        f"{form.named(values)}: {form.columns[place][0]} = {value}: allowed {least:g}…{most:g} {unit}"
                    )
        for place, allowed in form.codes:
            value = values[place]
            if value is not None:
                self._codes.examined += 1
                if value not in allowed:
                    self._codes.violations.append(
                        f"{form.named(values)}: {form.columns[place][0]} = {value!r} is unknown; "
                        f"allowed {', '.join(sorted(map(str, allowed)))[:300]}"
                    )


def in_lots(items: Iterable[T]) -> Iterator[list[T]]:
    """Items, `AT_ONCE` at a time."""
    rest = iter(items)
    while lot := list(islice(rest, AT_ONCE)):
        yield lot
