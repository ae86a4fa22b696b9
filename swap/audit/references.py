"""What rows point at: declared foreign keys, and those that the tables keep as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from sqlalchemy import Column, Select, exists, select
from sqlmodel import Session

from swap.audit.findings import Finding
from swap.tables import Base

_PLAIN = (
    ("pack", "kind", "pack_kind"),
    ("vehicle", "model", "vehicle_model"),
    ("swap", "open_vehicle_id", "vehicle"),
    ("swap_seat", "old_pack_id", "pack"),
    ("swap_seat", "new_pack_id", "pack"),
    ("charge_session", "open_pack_id", "pack"),
    ("hot_pack", "pack_id", "pack"),
    ("bill", "swap_id", "swap"),
    ("bill_line", "pack_id", "pack"),
    ("station_event", "swap_id", "swap"),
    ("station_event", "pack_id", "pack"),
)
"""Table and column, and the table whose key stands there. Bays that left the file and were never charged in are gone
with it, and trucks' seats of long ago still name them: those are compared with their events instead."""
_LATER = {"pack_kind", "vehicle_model"}
"""Tables of the register that a database has only since a release of which the station has been started."""


def _all() -> Iterator[tuple[Column[Any], Column[Any]]]:
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            for key in column.foreign_keys:
                yield column, key.column
    tables = Base.metadata.tables
    for name, column_name, target in _PLAIN:
        (key_column,) = tables[target].primary_key.columns
        yield tables[name].columns[column_name], key_column


@cache
def _questions() -> tuple[tuple[str, str, Select[Any], Select[Any]], ...]:
    """Of each such column its name, the table it points at, whether that table has a row, and each value with whether
    its row is there. Made once: the tables do not change, and making them takes longer than a small answer."""
    made = []
    for column, key in _all():
        used = select(column.label("value")).where(column.is_not(None)).distinct().subquery()
        # An alias: a table may point at itself.
        target = key.table.alias("target")
        there = exists(select(target.columns[key.name]).where(target.columns[key.name] == used.columns.value))
        asked = select(used.columns.value, there).execution_options(yield_per=1000)
        made.append((f"{column.table.name}.{column.name}", key.table.name, select(exists(select(key))), asked))
    return tuple(made)


def check_references(db: Session, found: Finding) -> None:
    """Ask for every value that stands in such a column, once, whether its row is there."""
    for name, target, any_row, values in _questions():
        if target in _LATER and not db.execute(any_row).scalar_one():
            continue
        for value, is_there in db.execute(values):
            found.look(is_there, f"{name} names {target} {value}, which does not exist")
