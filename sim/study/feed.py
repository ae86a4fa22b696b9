"""Who comes to a station, and what becomes of those that leave it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sim.scenario.demand import Arrival, FleetDemand, arrivals
from sim.scenario.file import Scenario
from sim.study.agenda import Agenda, AgendaEvent, Call
from sim.study.rows import StudyTruck

LOST_AGAIN_S = 1800.0
"""A truck of a fleet that left without a swap comes again after this."""


class Feed:
    """Where trucks come from and go to."""

    def start(self, time: Agenda, gate: Callable[[Arrival], None]) -> None:
        """Begin to send trucks through the gate."""

    def left(self, truck: StudyTruck, soc_pct: tuple[float, ...]) -> None:
        """A truck leaves with packs at these states of charge."""

    def lost(self, truck: StudyTruck) -> None:
        """A truck leaves without a swap."""


class _NextTruck(AgendaEvent):
    """The next truck of a stream is at the gate."""

    def __init__(self, time: Agenda, coming: Iterator[Arrival], gate: Callable[[Arrival], None]) -> None:
        super().__init__()
        self.time = time
        self.coming = coming
        self.gate = gate
        self.arrival: Arrival | None = None

    def await_next(self) -> None:
        """Put the next truck on the list; the stream may end."""
        self.arrival = next(self.coming, None)
        if self.arrival is not None:
            self.time.put(self.arrival.at_s, self)

    def happen(self) -> None:
        """Let it in, unless it is one that booked and stays away."""
        arrival = self.arrival
        assert arrival is not None
        self.await_next()
        if arrival.comes:
            self.gate(arrival)


class StreamFeed(Feed):
    """Trucks in order of time; whoever leaves is not seen again."""

    def __init__(self, coming: Iterator[Arrival]) -> None:
        self._coming = coming

    def start(self, time: Agenda, gate: Callable[[Arrival], None]) -> None:
        """Begin to send trucks through the gate."""
        _NextTruck(time, self._coming, gate).await_next()


class FleetFeed(Feed):
    """Trucks that come again when they have driven their trips."""

    def __init__(self, scenario: Scenario, demand: FleetDemand) -> None:
        self.scenario = scenario
        self.demand = demand

    def start(self, time: Agenda, gate: Callable[[Arrival], None]) -> None:
        """Begin to send trucks through the gate."""
        self._time = time
        self._gate = gate
        for arrival in self.demand.first():
            self.comes(arrival)

    def comes(self, arrival: Arrival) -> None:
        """A truck will be at the gate at its instant."""
        self._time.at(arrival.at_s, self._on_gate, arrival)

    def _on_gate(self, call: Call) -> None:
        arrival: Arrival = call.payload
        if arrival.comes:
            self._gate(arrival)

    def left(self, truck: StudyTruck, soc_pct: tuple[float, ...]) -> None:
        """It will be back when its packs are spent."""
        fleet = self.scenario.fleet(truck.details.fleet)
        self.comes(self.demand.after_swap(fleet, truck.vehicle_id, self._time.now, soc_pct))

    def lost(self, truck: StudyTruck) -> None:
        """It comes again soon."""
        self.comes(truck.details._replace(at_s=self._time.now + LOST_AGAIN_S))


def scenario_feed(scenario: Scenario, seed: int, replication: int) -> Feed:
    """The trucks of a scenario."""
    if scenario.demand.mode == "fleet":
        return FleetFeed(scenario, FleetDemand(scenario, scenario.start_at, seed, replication))
    return StreamFeed(arrivals(scenario, scenario.start_at, seed, replication))
