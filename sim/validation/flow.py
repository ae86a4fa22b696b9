"""Trucks, queue and lanes over a rack that counts packs: the stations of queueing theory.

`Flow` moves trucks: they arrive, wait, are lost or give up, take a pack in a lane, and leave. A `Rack` says whether a
pack can be handed out and takes the spent one; `counted_racks.py` has those. The clock is that of the whole study, so
what holds exactly here holds for it. Times are seconds from the start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from sim.study.agenda import Agenda, Call

NEVER = float("inf")


class Truck:
    """One truck at the station."""

    __slots__ = ("at_s", "details", "give_up", "need", "priority", "start_s", "swap_s", "vehicle")

    def __init__(self, at_s: float, need: float = 0.0, swap_s: float = 0.0, priority: int = 0) -> None:
        self.at_s = at_s
        self.need = need
        """What its spent pack needs: seconds or kWh, as the rack takes it."""
        self.swap_s = swap_s
        """Time it keeps the lane."""
        self.priority = priority
        self.start_s = -1.0
        """When its swap started; below 0 before."""
        self.give_up: Call | None = None
        self.vehicle: int | None = None
        """Which truck of a finite fleet."""
        self.details: Any = None


class Rack(Protocol):
    """What holds the packs."""

    charged: int
    """Packs that can be handed out now."""

    def take(self) -> None:
        """Hand one pack out."""

    def put(self, need: float) -> None:
        """Take a spent pack in."""

    def accumulate(self, dt_s: float) -> None:
        """Add `dt_s` seconds of the present state to the time averages."""

    def reset(self) -> None:
        """Begin the time averages anew."""


@dataclass(frozen=True, slots=True)
class FlowRules:
    """How trucks behave."""

    lanes: int | None = None
    """None: a swap takes no time and needs no lane."""
    lose_when_none: bool = False
    """A truck that finds no charged pack leaves at once."""
    exchange_on_arrival: bool = False
    """The spent pack is handed over on arrival, not at the end of the swap."""
    truck_places: int | None = None
    """Trucks at the station, waiting or in a lane; one more leaves at once."""
    balk_at: int | None = None
    """A truck that finds this many waiting leaves at once."""
    patience_s: Callable[[], float] | None = None
    """Draws how long a truck waits before it gives up."""
    priorities: bool = False
    """Serve the highest priority first; else in the order of arrival."""
    averages: bool = True
    """Keep time averages; without them only waits and counts are kept, which is faster."""
    away_s: Callable[[], float] | None = None
    """Finite fleet: draws the time from the end of a swap to the truck's next arrival."""


class Flow:
    """Trucks through queue and lanes, with a counting rack.

    Args:
        trucks: the arrivals in order of time; None for a finite fleet alone.
    """

    def __init__(self, time: Agenda, rack: Rack, rules: FlowRules, trucks: Iterator[Truck] | None = None) -> None:
        self.time = time
        self.packs = rack
        self.rules = rules
        self.queue: deque[Truck] = deque()
        self._lanes = rules.lanes or 0
        self.free_lanes = NEVER if rules.lanes is None else rules.lanes
        self.trucks_here = 0
        self.arrived = 0
        self.lost = 0
        self.gave_up = 0
        self.started = 0
        self.waits: list[float] = []
        """Wait of each truck served, in the order of service, s."""
        self.queue_time_s = 0.0
        """Time in the queue of all trucks that left it, those who gave up included."""
        self._refuses = rules.lose_when_none or rules.truck_places is not None or rules.balk_at is not None
        self.trace: list[Truck] | None = None
        """Trucks in the order of service, where somebody wants them."""
        self._next = trucks
        self._waiting_area = 0.0
        self._lane_area = 0.0
        self._stockout_area = 0.0
        self._since_s = self._last_s = time.now
        """Start of the count, and the instant up to which the averages are kept; NEVER where they are not."""
        if not rules.averages:
            self._last_s = NEVER
        if trucks is not None:
            self._schedule_next()

    # -- arrivals

    def _schedule_next(self) -> None:
        truck = next(self._next, None) if self._next is not None else None
        if truck is not None:
            self.time.at(truck.at_s, self._on_arrival, truck)

    def _on_arrival(self, call: Call) -> None:
        truck = call.payload
        following = next(self._next, None) if self._next is not None else None
        if following is not None:
            call.payload = following
            self.time.put(following.at_s, call)
        self.arrive(truck)

    def arrive(self, truck: Truck) -> None:
        """A truck stands at the gate."""
        self.accumulate()
        rules = self.rules
        rack = self.packs
        self.arrived += 1
        if self._refuses and self._turns_away():
            self.lost += 1
            self._lose(truck)
            return
        self.trucks_here += 1
        if rules.exchange_on_arrival:
            rack.put(truck.need)
        queue = self.queue
        if not queue and self.free_lanes and rack.charged:
            self._start(truck)
            return
        if rules.priorities:
            place = len(queue)
            while place and queue[place - 1].priority < truck.priority:
                place -= 1
            queue.insert(place, truck)
        else:
            queue.append(truck)
        if rules.patience_s is not None:
            truck.give_up = self.time.at(self.time.now + rules.patience_s(), self._on_give_up, truck)

    def _turns_away(self) -> bool:
        """Whether a truck that comes now leaves at once."""
        rules = self.rules
        return (
            (rules.lose_when_none and (self.packs.charged == 0 or self.free_lanes == 0))
            or (rules.truck_places is not None and self.trucks_here >= rules.truck_places)
            or (rules.balk_at is not None and len(self.queue) >= rules.balk_at)
        )

    def _on_give_up(self, call: Call) -> None:
        self.accumulate()
        truck: Truck = call.payload
        self.queue.remove(truck)
        self.gave_up += 1
        self.trucks_here -= 1
        self.queue_time_s += self.time.now - truck.at_s
        self._lose(truck)

    def _lose(self, truck: Truck) -> None:
        """A truck leaves without a swap."""

    # -- lanes

    def start_swaps(self) -> None:
        """Start what can be started; call after `accumulate()` whenever a pack or a lane has come free."""
        queue = self.queue
        while queue and self.free_lanes and self.packs.charged:
            self._start(queue.popleft())

    def _start(self, truck: Truck) -> None:
        now_s = self.time.now
        truck.start_s = now_s
        if truck.give_up is not None:
            truck.give_up.drop()
        self.started += 1
        waited_s = now_s - truck.at_s
        self.waits.append(waited_s)
        self.queue_time_s += waited_s
        if self.trace is not None:
            self.trace.append(truck)
        self.packs.take()
        if self.rules.lanes is None:
            self._leave(truck)
        else:
            self.free_lanes -= 1
            self.time.at(now_s + truck.swap_s, self._on_swap_end, truck)

    def _on_swap_end(self, call: Call) -> None:
        self.accumulate()
        self.free_lanes += 1
        self._leave(call.payload)
        if self.queue:
            self.start_swaps()

    def _leave(self, truck: Truck) -> None:
        self.trucks_here -= 1
        if not self.rules.exchange_on_arrival:
            self.packs.put(truck.need)
        if self.rules.away_s is not None:
            self.time.at(self.time.now + self.rules.away_s(), self._on_return, truck)

    def _on_return(self, call: Call) -> None:
        truck: Truck = call.payload
        again = Truck(self.time.now, truck.need, truck.swap_s, truck.priority)
        again.vehicle = truck.vehicle
        again.details = truck.details
        if callable(truck.details):
            truck.details(again)
        self.arrive(again)

    # -- time averages

    def accumulate(self) -> None:
        """Add the time since the last change to the averages; call before any change."""
        now_s = self.time.now
        dt_s = now_s - self._last_s
        if dt_s > 0:
            self._last_s = now_s
            if self.queue:
                self._waiting_area += len(self.queue) * dt_s
            if self.packs.charged == 0:
                self._stockout_area += dt_s
            if self._lanes:
                self._lane_area += (self._lanes - self.free_lanes) * dt_s
            self.packs.accumulate(dt_s)

    def reset(self) -> None:
        """Forget all that was counted (end of the warm-up); trucks and packs stay where they are."""
        self.accumulate()
        self.arrived = self.lost = self.gave_up = self.started = 0
        self.waits = []
        self.queue_time_s = 0.0
        self._waiting_area = self._lane_area = self._stockout_area = 0.0
        self._since_s = self.time.now
        if self.rules.averages:
            self._last_s = self._since_s
        self.packs.reset()

    @property
    def observed_s(self) -> float:
        """Seconds since the start or the last reset."""
        return self.time.now - self._since_s

    @property
    def mean_waiting(self) -> float:
        """Trucks waiting, time average."""
        return self._waiting_area / self.observed_s

    @property
    def lane_utilisation(self) -> float:
        """Share of the lanes' time spent on swaps."""
        return self._lane_area / self.observed_s / (self.rules.lanes or 1)

    @property
    def stockout_share(self) -> float:
        """Share of the time without a charged pack."""
        return self._stockout_area / self.observed_s
