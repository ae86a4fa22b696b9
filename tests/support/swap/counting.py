"""How much each transaction of a store does: counted in statements, which do not depend on the machine's load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from swap.store import Store


@contextmanager
def counted_writes(store: Store) -> Iterator[list[int]]:
    """Statements of every write transaction that ends inside, in their order; a row of a lot counts as one.

    What is only read does not count: SQLite and PostgreSQL keep nobody waiting for it. On SQLite alone.
    """
    told: list[int] = []
    open_now = 0

    def begin(_connection: Any) -> None:
        nonlocal open_now
        open_now = 0

    def execute(_connection: Any, _cursor: Any, _statement: str, values: Any, _context: Any, many: bool) -> None:
        nonlocal open_now
        open_now += len(values) if many else 1

    def end(_connection: Any) -> None:
        told.append(open_now)

    heard = (("begin", begin), ("before_cursor_execute", execute), ("commit", end))
    for name, listener in heard:
        event.listen(store.engine, name, listener)
    try:
        yield told
    finally:
        for name, listener in heard:
            event.remove(store.engine, name, listener)
