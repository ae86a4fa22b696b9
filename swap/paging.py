"""Lists page by page, in one style: an opaque cursor, a limit, a time filter."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Integer, Select, bindparam, or_

from swap.errors import InvalidInput
from swap.words import N_

LONGEST_KEY = 96
"""Characters of the longest id."""
LARGEST_KEY = 2**63 - 1
"""Of keys that are numbers."""
NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Instant in the cursor of a list that has none."""

Row = TypeVar("Row")
Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])
Column = Any
"""A mapped column, or anything that can be compared in a query."""


def make_cursor(at: datetime, key: str) -> str:
    """An opaque position in a list ordered by time and id."""
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{key}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """The time and id of a cursor. Raises InvalidInput for one that this program did not make."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        at, _, key = text.partition("|")
        moment = datetime.fromisoformat(at)
        made = moment.utcoffset() == timedelta(0)
    except (binascii.Error, ValueError):
        made = False
    if not made or not key.isprintable() or len(key) > LONGEST_KEY:
        raise _not_made(cursor)
    return moment, key


def _not_made(cursor: str) -> InvalidInput:
    return InvalidInput("cursor", cursor, N_("the next_cursor of an earlier answer"))


def number_in(cursor: str) -> int:
    """The key of a cursor, of a list whose keys are numbers. Raises InvalidInput."""
    _, key = read_cursor(cursor)
    if not (key.isascii() and key.isdecimal() and int(key) <= LARGEST_KEY):
        raise _not_made(cursor)
    return int(key)


def between(column: Column, from_at: datetime | None, to_at: datetime | None) -> list[ColumnElement[bool]]:
    """Conditions of a time filter: from an instant, before another."""
    found: list[ColumnElement[bool]] = []
    if from_at is not None:
        found.append(column >= from_at)
    if to_at is not None:
        found.append(column < to_at)
    return found


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a list, in which each record has one place."""

    key: Column
    """Id of the records: text, or a number."""
    at: Column | None = None
    """Instant that comes before the id; None: ordered by the id alone."""
    newest_first: bool = True

    def page(self, query: Query, limit: int, cursor: str | None) -> Query:
        """The records after a cursor, one more than a page has, which tells that there are further ones.

        Raises:
            InvalidInput: a cursor that this program did not make.
        """
        if cursor is not None:
            query = query.where(*self.beyond(*self.position(cursor)))
        return query.order_by(*self.columns()).limit(limit + 1)

    def columns(self) -> list[ColumnElement[Any]]:
        """What the records are ordered by."""
        columns = [self.key] if self.at is None else [self.at, self.key]
        return [one.desc() if self.newest_first else one for one in columns]

    def position(self, cursor: str) -> tuple[datetime, str | int]:
        """The instant and id of a cursor. Raises InvalidInput for one that this program did not make."""
        at, text = read_cursor(cursor)
        return at, number_in(cursor) if self.key.type.python_type is int else text

    def beyond(self, at: Any, key: Any) -> list[ColumnElement[bool]]:
        """The records after a position: of an instant and an id, or of parameters for them."""
        further = self.key < key if self.newest_first else self.key > key
        if self.at is None:
            return [further]
        if self.newest_first:
            # The first is implied by the second, which alone no index answers: the pages before would be read again.
            return [self.at <= at, or_(self.at < at, further)]
        return [self.at >= at, or_(self.at > at, further)]


class Listing(Generic[Query]):
    """A list whose statement is made once for each set of filters that it is asked with.

    To build a statement, to narrow it to a station and to find it among the compiled ones costs more than the
    database's answer.

    Args:
        query: without any filter.
        filters: by name, each with the parameter of its name.
    """

    def __init__(self, query: Query, order: Order, filters: Mapping[str, ColumnElement[bool]]) -> None:
        self._query = query
        self._order = order
        self._filters = filters
        self._made: dict[tuple[bool, tuple[str, ...]], Query] = {}

    def page(self, limit: int, cursor: str | None, **given: object) -> tuple[Query, dict[str, Any]]:
        """The statement of the records after a cursor, one more than a page has, and its parameters.

        Args:
            given: values of the filters, None: not asked with it; and of parameters that the query itself has.

        Raises:
            InvalidInput: a cursor that this program did not make.
        """
        values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        asked = (cursor is not None, tuple(name for name in self._filters if name in values))
        query = self._made.get(asked)
        if query is None:
            query = self._made[asked] = self._make(*asked)
        values["page_limit"] = limit + 1
        if cursor is not None:
            values["page_at"], values["page_key"] = self._order.position(cursor)
        return query, values

    def _make(self, beyond: bool, filters: Iterable[str]) -> Query:
        query = self._query.where(*(self._filters[name] for name in filters))
        if beyond:
            query = query.where(*self._order.beyond(bindparam("page_at"), bindparam("page_key")))
        return query.order_by(*self._order.columns()).limit(bindparam("page_limit", type_=Integer))


def cut(
    rows: Sequence[Row], limit: int, key: Callable[[Row], object], at: Callable[[Row], datetime] | None = None
) -> tuple[Sequence[Row], str | None]:
    """The records of a page, of those that `Order.page` has given, and the cursor of the next page.

    Args:
        key: id of a record.
        at: its instant, where the list is ordered by one.
    """
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], make_cursor(NO_TIME if at is None else at(last), str(key(last)))


def cut_after(
    items: Sequence[Row], limit: int, cursor: str | None, key: Callable[[Row], str]
) -> tuple[Sequence[Row], str | None]:
    """A page of records that are all at hand, in the order of their keys, which are one each.

    Raises:
        InvalidInput: a cursor that this program did not make.
    """
    known = None if cursor is None else read_cursor(cursor)[1]
    return cut([item for item in items if known is None or key(item) > known], limit, key)
