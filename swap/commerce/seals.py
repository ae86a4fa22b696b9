"""The digest of a row that is never changed."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Table
from sqlmodel import SQLModel

from swap.journal.canonical import canonical_instant, canonical_json

Row = TypeVar("Row", bound=SQLModel)


def row_digest(model: type[SQLModel], *rows: Any) -> str:
    """SHA-256 of what stands in rows of a table beside their own digest, in hex.

    What is not there is left out, so that a column that is added later changes no digest of an earlier row.

    Args:
        rows: rows as they were written, or as they were read by the names of their columns.
    """
    table: Table = model.__table__  # type: ignore[attr-defined]
    names = [column.name for column in table.columns if column.name != "digest"]
    said = [{name: _told(value) for name in names if (value := getattr(row, name)) is not None} for row in rows]
    return hashlib.sha256(canonical_json({"table": table.name, "rows": said}).encode()).hexdigest()


def digest_of_all(*digests: str) -> str:
    """One digest of several, in their order."""
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def sealed(row: Row) -> Row:
    """The row, with its digest."""
    setattr(row, "digest", row_digest(type(row), row))  # noqa: B010
    return row


def _told(value: object) -> object:
    return canonical_instant(value) if isinstance(value, datetime) else value
