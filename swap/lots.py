"""Sequences in queries: long ones in lots that one query may name, fixed ones as parts of its text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, literal

T = TypeVar("T")


def lots(whole: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """The parts of a sequence one after the other, none longer than `size`."""
    return (whole[first : first + size] for first in range(0, len(whole), size))


def among(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    """Whether a column has one of some values that are always the same: where `in_` takes as many as are given each
    time, and writes the statement anew for it, this is written once."""
    return column.in_([literal(value) for value in values])
