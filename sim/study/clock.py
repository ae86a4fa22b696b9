"""SimPy on the clock of an agenda: its processes and the agenda's events happen in one order of time."""

from __future__ import annotations

import simpy
from simpy.core import SimTime
from simpy.events import NORMAL, Event, EventPriority

from sim.study.agenda import Agenda


class _SharedClock(simpy.Environment):
    """An environment whose events the agenda runs between its own."""

    def __init__(self, agenda: Agenda) -> None:
        super().__init__(agenda.now)
        self._agenda = agenda

    def schedule(self, event: Event, priority: EventPriority = NORMAL, delay: SimTime = 0) -> None:
        """As SimPy does, counted from the agenda's present instant; the agenda is told what is due next."""
        super().schedule(event, priority, delay + (self._agenda.now - self.now))
        self._agenda.processes_s = self.peek()


def processes(agenda: Agenda) -> simpy.Environment:
    """The environment for processes beside an agenda; one for each agenda."""
    if agenda.environment is None:
        agenda.environment = _SharedClock(agenda)
    found: simpy.Environment = agenda.environment
    return found
