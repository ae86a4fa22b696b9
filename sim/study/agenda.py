"""The list of what will happen, and the clock that runs through it.

Nothing ticks: whatever will happen has its instant on the list, and is put there anew when the instant changes. What
happens at one instant happens in the order in which it was put; that order is part of every result.

Lanes and charges, of which there are many, are events of this list. What reads better as a process (failures and
repair, carriers) is one of SimPy, on the environment of `clock.processes()`; the list runs between SimPy's own events.
Times are seconds from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Any, Final

_NOT_ON_LIST: Final = -1
_push: Final = heappush
_pop: Final = heappop


class AgendaEvent:
    """Something that happens at an instant; it is on the list once at most."""

    def __init__(self) -> None:
        self.ticket = _NOT_ON_LIST
        """Number of its valid entry."""

    def happen(self) -> None:
        """What happens."""
        raise NotImplementedError

    @property
    def waits(self) -> bool:
        """Whether it is on the list."""
        return self.ticket != _NOT_ON_LIST

    def drop(self) -> None:
        """Take it off. Its entry stays and does nothing."""
        self.ticket = _NOT_ON_LIST


class Call(AgendaEvent):
    """A call of `fn` with itself, for what happens too seldom to deserve a class."""

    def __init__(self, fn: Callable[[Call], None], payload: Any = None) -> None:
        # Not by the base class: a study makes thousands of calls.
        self.ticket = _NOT_ON_LIST
        self.fn = fn
        self.payload = payload

    def happen(self) -> None:
        """Call it."""
        self.fn(self)


class Agenda:
    """Events in order of time, then in the order in which they were put."""

    def __init__(self, start_s: float = 0.0) -> None:
        self.now = start_s
        """The present instant, s."""
        self.processes_s = inf
        """When SimPy's next event is due; its environment keeps it right."""
        self.environment: Any = None
        """The SimPy environment of `clock.processes`, once one is asked for."""
        self._list: list[tuple[float, int, AgendaEvent]] = []
        self._tickets = 0

    def put(self, at_s: float, event: AgendaEvent) -> None:
        """Have an event happen at `at_s`, instead of when it would have."""
        ticket = self._tickets
        self._tickets = ticket + 1
        event.ticket = ticket
        _push(self._list, (at_s, ticket, event))

    def at(self, at_s: float, fn: Callable[[Call], None], payload: Any = None) -> Call:
        """Have `fn(call)` called at `at_s`."""
        call = Call(fn, payload)
        ticket = self._tickets
        self._tickets = ticket + 1
        call.ticket = ticket
        _push(self._list, (at_s, ticket, call))
        return call

    @property
    def next_s(self) -> float:
        """When something is due next; inf when nothing is."""
        due = self._list
        while due and due[0][2].ticket != due[0][1]:
            heappop(due)
        return min(due[0][0] if due else inf, self.processes_s)

    def run_until(self, time_s: float) -> None:
        """Let everything happen that is due before `time_s`, and stand there.

        Of what is due at one instant the events of this list come before SimPy's.
        """
        due = self._list
        while True:
            at_s = due[0][0] if due else inf
            if self.processes_s < at_s:
                if self.processes_s >= time_s:
                    break
                self.now = self.processes_s
                self.environment.step()
                self.processes_s = self.environment.peek()
                continue
            if at_s >= time_s:
                break
            entry = _pop(due)
            event = entry[2]
            if event.ticket == entry[1]:
                event.ticket = _NOT_ON_LIST
                self.now = at_s
                if type(event) is Call:
                    event.fn(event)
                else:
                    event.happen()
        self.now = time_s
