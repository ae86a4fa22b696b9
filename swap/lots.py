"""Long sequences in lots that one query may name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def lots(whole: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """The parts of a sequence one after the other, none longer than `size`."""
    return (whole[first : first + size] for first in range(0, len(whole), size))
