"""Robots and chargers that fail and are repaired: SimPy processes on the clock of a station's agenda.

Processes and the agenda's events happen in one order of time.
"""

from __future__ import annotations

from collections.abc import Generator
from random import Random
from typing import Protocol

import simpy
from simpy.core import SimTime
from simpy.events import NORMAL, Event, EventPriority

from sim.scenario.file import FailureSection, Scenario
from sim.scenario.streams import Purpose, stream
from sim.study.agenda import Agenda
from sim.study.rack import StudyRack
from sim.study.rows import StudyBay, StudyLane

Process = Generator[simpy.Event, object, None]


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


class Repairable(Protocol):
    """The station as failures see it."""

    scenario: Scenario
    seed: int
    replication: int
    time: Agenda
    lanes: list[StudyLane]
    rack: StudyRack

    def lane_fails(self, lane: StudyLane, lasts_s: float) -> bool:
        """A lane serves nobody for this long."""
        ...

    def lane_repaired(self, lane: StudyLane, *, was_idle: bool) -> None:
        """A lane serves again."""
        ...

    def until_staffed_s(self) -> float:
        """Until somebody is there who can repair."""
        ...


def start_failures(station: Repairable) -> None:
    """Begin the lives of all robots and chargers that can fail."""
    failures, seed, replication = station.scenario.failures, station.seed, station.replication
    if failures.robot_mtbf_h > 0:
        for number, lane in enumerate(station.lanes):
            draw = Random(stream(seed, replication, Purpose.ROBOT_FAILURES).random() + number)
            env = processes(station.time)
            env.process(_robot(env, station, lane, failures, draw))
    if failures.charger_mtbf_h > 0:
        draw = stream(seed, replication, Purpose.CHARGER_FAILURES)
        for bay in station.rack.bays[: station.scenario.equipment.charger_count]:
            env = processes(station.time)
            env.process(_charger(env, station, bay, failures, draw))


def _robot(
    env: simpy.Environment, station: Repairable, lane: StudyLane, failures: FailureSection, draw: Random
) -> Process:
    while True:
        yield env.timeout(draw.expovariate(1 / (failures.robot_mtbf_h * 3600)))
        repair_s = draw.expovariate(1 / (failures.robot_repair_h * 3600)) + station.until_staffed_s()
        was_idle = station.lane_fails(lane, repair_s)
        yield env.timeout(repair_s)
        station.lane_repaired(lane, was_idle=was_idle)


def _charger(
    env: simpy.Environment, station: Repairable, bay: StudyBay, failures: FailureSection, draw: Random
) -> Process:
    while True:
        yield env.timeout(draw.expovariate(1 / (failures.charger_mtbf_h * 3600)))
        station.rack.module_changes(-1, bay)
        unstaffed_s = station.until_staffed_s()
        yield env.timeout(draw.expovariate(1 / (failures.charger_repair_h * 3600)))
        if unstaffed_s > 0:
            yield env.timeout(unstaffed_s)
        station.rack.module_changes(1, bay)
