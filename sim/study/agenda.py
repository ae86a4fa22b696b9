"""The list of what will happen, and the clock that runs through it.

Nothing ticks: whatever will happen has its instant on the list, and is put there anew when the instant changes. What
happens at one instant happens in the order in which it was put; that order is part of every result.

Lanes and charges, of which there are many, are events of this list. What reads better as a process (failures and
repair, carriers) is one of SimPy, on the environment of `clock.processes()`; the list runs between SimPy's own events.
Times are seconds from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final

NEVER: Final = inf
"""Read directly by the compiled form, which looks up a name that comes from a library at each use."""
_NOT_ON_LIST: Final = -1


class AgendaEvent:
    """Something that happens at an instant; it is on the list once at most.

    It may stand on the list too early: when it comes up, it is put where it belongs. So what is put off again and
    again costs nothing each time.
    """

    def __init__(self) -> None:
        self.ticket = _NOT_ON_LIST
        """Its place among all that was put; what counts at one instant."""
        self.at_s = NEVER
        """When it is due, s."""
        self.entry = _NOT_ON_LIST
        """The ticket by which it stands on the list."""
        self.entry_s = NEVER
        """The instant at which it comes up there."""

    def happen(self) -> None:
        """What happens."""
        raise NotImplementedError

    @property
    def waits(self) -> bool:
        """Whether it is on the list."""
        return self.ticket != _NOT_ON_LIST

    def drop(self) -> None:
        """Take it off. It keeps its place, which serves it again or does nothing."""
        self.ticket = _NOT_ON_LIST


class Call(AgendaEvent):
    """A call of `fn` with itself, for what happens too seldom to deserve a class."""

    def __init__(self, fn: Callable[[Call], None], payload: Any = None) -> None:
        # Not by the base class: a study makes thousands of calls.
        self.ticket = self.entry = _NOT_ON_LIST
        self.at_s = self.entry_s = NEVER
        self.fn = fn
        self.payload = payload

    def happen(self) -> None:
        """Call it."""
        self.fn(self)


class Agenda:
    """Events in order of time, then in the order in which they were put.

    The list is kept in order: a place on it is found by halving, and what is next stands at its end. A heap compares
    twice as often, and of a station with a hundred chargers the list has not two hundred events.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self.now = start_s
        """The present instant, s."""
        self.processes_s = NEVER
        """When SimPy's next event is due; its environment keeps it right."""
        self.environment: Any = None
        """The SimPy environment of `clock.processes`, once one is asked for."""
        self._list: list[AgendaEvent] = []
        """The latest first."""
        self._tickets = 0

    def put(self, at_s: float, event: AgendaEvent) -> None:
        """Have an event happen at `at_s`, instead of when it would have."""
        ticket = self._tickets
        self._tickets = ticket + 1
        event.ticket = ticket
        event.at_s = at_s
        if event.entry == _NOT_ON_LIST:
            self._enter(event)
        elif at_s < event.entry_s:
            self._list.pop(self._place(event.entry_s, event.entry))
            self._enter(event)

    def _enter(self, event: AgendaEvent) -> None:
        """Enter an event where it belongs."""
        event.entry = event.ticket
        event.entry_s = event.at_s
        self._list.insert(self._place(event.entry_s, event.entry), event)

    def _place(self, at_s: float, ticket: int) -> int:
        """Where an entry stands, or would stand."""
        due = self._list
        low, high = 0, len(due)
        while low < high:
            middle = (low + high) // 2
            other = due[middle]
            if other.entry_s > at_s or (other.entry_s == at_s and other.entry > ticket):
                low = middle + 1
            else:
                high = middle
        return low

    def at(self, at_s: float, fn: Callable[[Call], None], payload: Any = None) -> Call:
        """Have `fn(call)` called at `at_s`."""
        call = Call(fn, payload)
        self.put(at_s, call)
        return call

    def _take_next(self) -> AgendaEvent | None:
        """Take the foremost event off; None where it is not due now."""
        event = self._list.pop()
        entry = event.entry
        event.entry = _NOT_ON_LIST
        if event.ticket == entry:
            return event
        if event.ticket != _NOT_ON_LIST:
            self._enter(event)
        return None

    @property
    def next_s(self) -> float:
        """When something is due next; inf when nothing is."""
        due = self._list
        while due and due[-1].ticket != due[-1].entry:
            self._take_next()
        return min(due[-1].at_s if due else NEVER, self.processes_s)

    def run_until(self, time_s: float) -> None:
        """Let everything happen that is due before `time_s`, and stand there.

        Of what is due at one instant the events of this list come before SimPy's.
        """
        due = self._list
        while True:
            at_s = due[-1].entry_s if due else NEVER
            if self.processes_s < at_s:
                if self.processes_s >= time_s:
                    break
                self.now = self.processes_s
                self.environment.step()
                self.processes_s = self.environment.peek()
                continue
            if at_s >= time_s:
                break
            event = self._take_next()
            if event is not None:
                event.ticket = _NOT_ON_LIST
                self.now = at_s
                event.happen()
        self.now = time_s
