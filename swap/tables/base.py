"""What all tables share: one metadata, and how JSON is kept."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import JSON, Column, Dialect, MetaData, Text
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

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


def json_field() -> Any:
    """A JSON object that is never NULL."""
    return Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
