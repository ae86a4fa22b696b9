"""What rows point at: declared foreign keys, and those that the tables keep as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, exists, select
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


def check_references(db: Session, found: Finding) -> None:
    """Ask for every value that stands in such a column, once, whether its row is there."""
    for column, key in _all():
        if key.table.name in _LATER and not db.execute(select(exists(select(key)))).scalar_one():
            continue
        used = select(column.label("value")).where(column.is_not(None)).distinct().subquery()
        # An alias: a table may point at itself.
        target = key.table.alias("target")
        there = exists(select(target.columns[key.name]).where(target.columns[key.name] == used.columns.value))
        for value, is_there in db.execute(select(used.columns.value, there).execution_options(yield_per=1000)):
            found.look(
                is_there,
                f"{column.table.name}.{column.name} names {key.table.name} {value}, which does not exist",
            )
