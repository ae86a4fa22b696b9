"""What all tables share: one metadata, and how JSON is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Dialect, MetaData, Text
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel
from sqlmodel.sql.sqltypes import UTCDateTime

from swap.journal.canonical import canonical_json

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(SQLModel):
    """Common metadata with a naming convention, so that both engines name constraints alike."""

    metadata = MetaData(naming_convention=NAMING)


class CanonicalJson(TypeDecorator[dict[str, Any]]):
    """JSON kept as its canonical text: what is hashed is what is stored, equal on both engines."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:
        """The text that is stored."""
        return None if value is None else canonical_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:
        """The value that was stored."""
        return None if value is None else json.loads(value)


class Utc(UTCDateTime):
    """Instants of lists: as sqlmodel keeps them, and read in one step where the database knows no zones."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        """What makes an instant of what is stored."""
        return _instant if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text + "+00:00")


def json_field() -> Any:
    """A JSON object that is never NULL."""
    return Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
