"""Who comes to a station, and what becomes of those that leave it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from sim.scenario.demand import Arrival, FleetDemand, arrivals
from sim.scenario.file import Scenario
from sim.study.agenda import Agenda, AgendaEvent, Call
from sim.study.rows import StudyTruck

LOST_AGAIN_S = 1800.0
"""A truck of a fleet that left without a swap comes again after this."""


class Foresight:
    """Tells a station in time of trucks that have booked, so that packs are kept for them.

    Args:
        expect: told of a truck that will come, when packs begin to be kept for it.
        hold_s: so long before its booked window opens.
    """

    def __init__(self, time: Agenda, expect: Callable[[Arrival], None], hold_s: float) -> None:
        self.hold_s = hold_s
        self._time = time
        self._expect = expect

    def foresee(self, arrival: Arrival) -> None:
        """Tell of this one, if it has booked."""
        now_s = self._time.now
        if arrival.booked and arrival.booked_until_s > now_s:
            self._time.at(max(arrival.booked_from_s - self.hold_s, now_s), self._on_expect, arrival)

    def _on_expect(self, call: Call) -> None:
        self._expect(call.payload)


class Feed(Protocol):
    """Where trucks come from and go to."""

    def start(self, time: Agenda, gate: Callable[[Arrival], None], foresight: Foresight | None) -> None:
        """Begin to send trucks through the gate; None: no packs are kept for those that have booked."""
        ...

    def left(self, truck: StudyTruck, soc_pct: tuple[float, ...]) -> None:
        """A truck leaves with packs at these states of charge."""
        ...

    def lost(self, truck: StudyTruck) -> None:
        """A truck leaves without a swap."""
        ...


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


class StreamFeed:
    """Trucks in order of time; whoever leaves is not seen again.

    Args:
        window_s: a truck that has booked comes at most so long after its window opens.
    """

    def __init__(self, coming: Iterator[Arrival], window_s: float = 0.0) -> None:
        self._coming = coming
        self._window_s = window_s

    def start(self, time: Agenda, gate: Callable[[Arrival], None], foresight: Foresight | None) -> None:
        """Begin to send trucks through the gate."""
        coming = self._coming if foresight is None else self._foreseen(foresight)
        _NextTruck(time, coming, gate).await_next()

    def _foreseen(self, foresight: Foresight) -> Iterator[Arrival]:
        """The same trucks, with those that have booked foreseen before packs have to be kept for them."""
        window_s, hold_s = self._window_s, foresight.hold_s
        seen: list[Arrival] = []
        ended = False
        while True:
            while not ended and (not seen or seen[-1].at_s <= seen[0].at_s + window_s + hold_s):
                arrival = next(self._coming, None)
                if arrival is None:
                    ended = True
                else:
                    seen.append(arrival)
                    foresight.foresee(arrival)
            if not seen:
                return
            yield seen.pop(0)

    def left(self, truck: StudyTruck, soc_pct: tuple[float, ...]) -> None:
        """It has gone."""

    def lost(self, truck: StudyTruck) -> None:
        """It has gone."""


class FleetFeed:
    """Trucks that come again when they have driven their trips."""

    def __init__(self, scenario: Scenario, demand: FleetDemand) -> None:
        self.scenario = scenario
        self.demand = demand

    def start(self, time: Agenda, gate: Callable[[Arrival], None], foresight: Foresight | None) -> None:
        """Begin to send trucks through the gate."""
        self._time = time
        self._gate = gate
        self._foresight = foresight
        for arrival in self.demand.first():
            self.comes(arrival)

    def comes(self, arrival: Arrival) -> None:
        """A truck will be at the gate at its instant."""
        if self._foresight is not None:
            self._foresight.foresee(arrival)
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
    coming = arrivals(scenario, scenario.start_at, seed, replication)
    return StreamFeed(coming, scenario.bookings.window_min * 60)
