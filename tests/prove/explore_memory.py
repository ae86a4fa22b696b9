"""A database of the explored station that holds only what must survive, and that can be away.

The live code that begins and ends a controller, changes the mode and claims the station runs over it as it is: a
write is refused once another controller has the station, and it can be lost before its commit or after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Protocol

from swap.messages.events import ControllerStarted, ControllerStopped
from swap.station.life.database import DatabaseLost
from swap.store import LeaseLost
from swap.tables import Station, Swap

STATION = "explored"
LIVES = {ControllerStarted.kind, ControllerStopped.kind}
"""Events that are kept: those of the newest life."""


class Owner(Protocol):
    """Who keeps what is stored."""

    stored: Any


class _Rows:
    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def all(self) -> list[Any]:
        return self._rows

    def first(self) -> Any:
        return self._rows[0] if self._rows else None


class MemoryDb:
    """One transaction. Fault rows, commands, answers and most events, which nothing here reads, go nowhere."""

    def __init__(self, owner: Owner, lane_key: str, ends: frozenset[str]) -> None:
        stored = owner.stored
        self._owner, self._lane_key, self._ends = owner, lane_key, ends
        self.station_id, self._lane = lane_key.split(":", 1)
        self._station: Any = None
        self._last_seq = stored.last_seq
        self.journal: list[tuple[str, str]] = list(stored.journal)
        self.info: dict[str, Any] = {}

    def get_one(self, table: Any, key: object) -> Any:
        """The station's row; nothing else is asked for by its key here."""
        assert table is Station, table
        if self._station is None:
            stored = self._owner.stored
            self._station = SimpleNamespace(
                mode=stored.mode.value,
                mode_reason=stored.mode_reason,
                mode_since_at=None,
                last_seq_by_lane={self._lane: stored.last_seq},
            )
        return self._station

    def exec(self, statement: Any, *, params: object = None) -> _Rows:
        """The open swap where swaps are asked for; nothing else is there."""
        described = getattr(statement, "column_descriptions", None)
        return _Rows(self.open_swaps() if described and described[0]["entity"] is Swap else [])

    def open_swaps(self) -> list[Any]:
        """The swap, while it is open."""
        session = self._owner.stored.session
        if session.state in self._ends:
            return []
        seats = len(session.seats)
        return [SimpleNamespace(id=session.swap_id, state=session.state, open_lane_id=self._lane_key, pack_count=seats)]

    def open_faults(self, source: str | None = None) -> list[Any]:
        """None is kept."""
        return []

    def open_commands(self, lane_id: str, seq: int | None = None) -> list[Any]:
        """None is kept."""
        return []

    def open_requests(self) -> list[Any]:
        """Nobody's: what persons ask is answered at once here."""
        return []

    bind: None = None
    """It has no transaction of its own to append with."""

    def connection(self) -> MemoryDb:
        """By which events are appended."""
        return self

    def execute(self, _: object, values: dict[str, Any]) -> _Rows:
        """Of the events that are appended, keep what tells of lives; no event stands before them."""
        if values.get("kind") in LIVES:
            begins = values["kind"] == ControllerStarted.kind
            self.journal = [*([] if begins else self.journal), (values["kind"], values["data"]["holder"])]
        return _Rows([])

    def append(self, event: object, *, at: object, actor: str) -> None:
        """What tells of a new record goes nowhere."""

    def add(self, row: object) -> None:
        """Rows go nowhere."""

    def flush(self) -> None:
        """Nothing is written before the commit."""

    def newest_event(self, event: Any) -> Any:
        """The newest event of a kind, if it is kept."""
        kept = [item for item in self.events(event) if item is not None]
        return kept[-1] if kept else None

    def events(self, event: Any, after: int = 0) -> list[Any]:
        """Events of a kind, the oldest first."""
        return [
            SimpleNamespace(seq=seq, data={"holder": holder})
            for seq, (kind, holder) in enumerate(self.journal, start=1)
            if kind == event.kind and seq > after
        ]

    def commit(self) -> None:
        """Take over what was written."""
        stored, row = self._owner.stored, self._station
        if self.journal != list(stored.journal):
            stored = replace(stored, journal=tuple(self.journal))
        if row is not None and (row.mode, row.mode_reason) != (stored.mode.value, stored.mode_reason):
            stored = replace(stored, mode=type(stored.mode)(row.mode), mode_reason=row.mode_reason)
        if row is not None and row.last_seq_by_lane[self._lane] != self._last_seq:
            stored = replace(stored, last_seq=row.last_seq_by_lane[self._lane])
        self._owner.stored = stored


class MemoryStore:
    """Transactions over what is stored. `lose_at` counts the writes until one is lost, with or without its commit."""

    def __init__(self, owner: Owner, lane_key: str, ends: frozenset[str]) -> None:
        self._owner, self._lane_key, self._ends = owner, lane_key, ends
        self.lose_at: int | None = None
        self.lost_committed = False

    @contextmanager
    def station(self, _: str, holder: str | None = None) -> Iterator[MemoryDb]:
        """A write. Raises LeaseLost where another controller has the station, DatabaseLost where it is lost."""
        owner, before = self._owner, self._owner.stored
        if holder is not None and holder != before.holder:
            raise LeaseLost(f"the station is now run by {before.holder}")
        db = MemoryDb(owner, self._lane_key, self._ends)
        yield db
        if self.lose_at == 0 and not self.lost_committed:
            owner.stored = before
            raise DatabaseLost("rolled back")
        db.commit()
        if self.lose_at == 0:
            raise DatabaseLost("the commit did not come back")
        if self.lose_at is not None:
            self.lose_at -= 1

    @contextmanager
    def reading_station(self, _: str) -> Iterator[MemoryDb]:
        """A read."""
        yield MemoryDb(self._owner, self._lane_key, self._ends)


class MemoryLease:
    """A controller's claim on the explored station; every life has a token of its own."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.holder, self.token = "", 0

    def begin(self, holder: str, token: int) -> None:
        """Another life has taken the station."""
        self.holder, self.token = holder, token
        self._owner.stored = replace(self._owner.stored, holder=holder)

    def renew(self, _: object) -> None:
        """Raises LeaseLost where another one has it."""
        if self._owner.stored.holder != self.holder:
            raise LeaseLost(f"the station is now run by {self._owner.stored.holder}")

    def now_s(self) -> float:
        """Its clock stands still."""
        return 0.0

    def renewed(self, began_s: float) -> None:
        """Nothing rests on when."""

    def sure(self) -> bool:
        """A stale controller may well believe that it has it still: what stops it must not rest on its clock."""
        return True

    def give_up(self, _: object) -> None:
        """The next one need not wait."""
