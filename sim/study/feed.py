"""Who comes to a station, and what becomes of those that leave it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sim.scenario.demand import Arrival, FleetDemand, arrivals
from sim.scenario.file import Scenario
from sim.study.agenda import Agenda, AgendaEvent, Call
from sim.study.rows import StudyTruck

LOST_AGAIN_S = 1800.0
"""A truck of a fleet that left without a swap comes again after this."""


Expect = Callable[[Arrival], None]
"""Told of a truck that has booked and will come, when packs begin to be kept for it."""


class Feed:
    """Where trucks come from and go to."""

    def __init__(self) -> None:
        self.expect: Expect | None = None
        """Set by the station before the start."""
        self.hold_s = 0.0
        """So long before a booked window opens packs are kept for it; set with `expect`."""

    def foresee(self, time: Agenda, arrival: Arrival) -> None:
        """Have the station expect a truck that has booked, in time."""
        if arrival.booked and self.expect is not None and arrival.booked_until_s > time.now:
            time.at(max(arrival.booked_from_s - self.hold_s, time.now), self._on_expect, arrival)

    def _on_expect(self, call: Call) -> None:
        if self.expect is not None:
            self.expect(call.payload)

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
    """Trucks in order of time; whoever leaves is not seen again.

    Args:
        window_s: a truck that has booked comes at most so long after its window opens; None: no packs are kept.
    """

    def __init__(self, coming: Iterator[Arrival], window_s: float | None = None) -> None:
        super().__init__()
        self._coming = coming
        self._window_s = window_s

    def start(self, time: Agenda, gate: Callable[[Arrival], None]) -> None:
        """Begin to send trucks through the gate."""
        coming = self._coming if self._window_s is None else self._foreseen(time, self._window_s)
        _NextTruck(time, coming, gate).await_next()

    def _foreseen(self, time: Agenda, window_s: float) -> Iterator[Arrival]:
        """The same trucks, with those that have booked foreseen before packs have to be kept for them."""
        seen: list[Arrival] = []
        ended = False
        while True:
            while not ended and (not seen or seen[-1].at_s <= seen[0].at_s + window_s + self.hold_s):
                arrival = next(self._coming, None)
                if arrival is None:
                    ended = True
                else:
                    seen.append(arrival)
                    self.foresee(time, arrival)
            if not seen:
                return
            yield seen.pop(0)


class FleetFeed(Feed):
    """Trucks that come again when they have driven their trips."""

    def __init__(self, scenario: Scenario, demand: FleetDemand) -> None:
        super().__init__()
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
        self.foresee(self._time, arrival)
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
    keeps = scenario.bookings.hold_before_min is not None
    window_s = scenario.bookings.window_min * 60 if keeps else None
    return StreamFeed(arrivals(scenario, scenario.start_at, seed, replication), window_s)
