"""The fleet of a simulated station: trucks that book, come, check in and wait, over HTTP like anybody else.

Arrivals come from the scenario's demand. A booked one books its window ahead of time; at its instant the truck
drives into the plant's yard with packs drained to the state of charge it arrives with, and checks in. From
there on the station works it; a truck let go is away again.

What is told to the interface carries a key made from the visit, and the yard remembers the visit, so a
process that was killed between the two tells nothing twice. A truck somebody else checks in (a person with
`curl`) drives into the yard as well.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import httpx

from sim.plant.plant import Plant
from sim.plant.yard import Truck, TruckPlace
from sim.scenario.demand import Arrival
from swap.config.station_file import StationConfig

FIRST_WITHIN_S = 30.0
"""The first truck of a run comes within this many station seconds, so that there is something to see."""
LEAD_S = 3600.0
"""Bookings are made this long before their window begins, as far as the run had begun by then."""
LOOK_S = 20.0
"""Station seconds between two looks at the yard and at open swaps."""
RETRY_S = 30.0
"""Station seconds until a check-in that was refused is tried again."""
PATIENCE_S = 3600.0
"""A truck that could not check in for so long drives away."""
UNKNOWN_SOC_PCT = 30.0
"""State of charge of a truck that somebody else has checked in; assumed."""
_FOREIGN = "swap:"
"""Begins the name of a visit that somebody else has checked in; its swap follows."""
_BOOKED = "."
"""Stands in the key of a visit before its booking."""
ENDED = frozenset({"completed", "returned", "cancelled"})

_log = logging.getLogger(__name__)


class StationTime(Protocol):
    """The part of a station clock that the fleet needs."""

    def now(self) -> datetime:
        """Station time."""

    async def sleep(self, station_s: float) -> None:
        """Wait for station seconds."""


@dataclass(slots=True)
class _Visit:
    """A truck in the yard and what it has told the station."""

    vehicle_id: str
    key: str
    began_at: datetime
    booking_id: str | None = None
    swap_id: str | None = None
    try_at: datetime | None = None
    """When to check in again; None once it is checked in."""
    refused: int = 0
    """Check-ins that the station has refused."""


@dataclass(order=True, slots=True)
class _Plan:
    """Something to do at an instant."""

    at_s: float
    number: int
    books: bool = field(compare=False)
    arrival: Arrival = field(compare=False)


class SimulatedFleet:
    """Trucks of a scenario that use the station through its HTTP interface.

    Args:
        plant: the truth they drive in.
        config: the station file.
        arrivals: who comes and when, in order of time (`sim.scenario.demand.arrivals`).
        client: HTTP client whose base URL is the station's server.
        clock: station time.
        start_at: instant from which the arrivals' seconds count; now when not given.
        first_within_s: the first truck comes at most this late; None leaves the demand as it is.
    """

    def __init__(
        self,
        plant: Plant,
        config: StationConfig,
        arrivals: Iterable[Arrival],
        client: httpx.AsyncClient,
        clock: StationTime,
        *,
        start_at: datetime | None = None,
        first_within_s: float | None = FIRST_WITHIN_S,
    ) -> None:
        self.plant = plant
        self.config = config
        self._arrivals = iter(arrivals)
        self._client = client
        self._clock = clock
        self._start_at = start_at if start_at is not None else clock.now()
        self._first_within_s = first_within_s
        self._numbers = itertools.count(1)
        self._next: Arrival | None = None
        self._plans: list[_Plan] = []
        self._visits: dict[str, _Visit] = {}
        self._bookings: dict[int, str] = {}
        """Booking by number of the arrival."""
        self._booked_truck: dict[int, str] = {}
        self._fleet_of = {vehicle.id: vehicle.fleet for vehicle in config.vehicles}
        self._began = False
        self._offline = False

    async def run(self) -> None:
        """Send trucks until cancelled."""
        while True:
            await self._clock.sleep(await self.step())

    async def step(self) -> float:
        """Do everything that is due; returns the station seconds until there is more to do."""
        if not self._began:
            self._begin()
        self._look_ahead()
        while self._plans and self._plans[0].at_s <= self._now_s():
            plan = heapq.heappop(self._plans)
            await (self._book(plan) if plan.books else self._arrive(plan))
        for visit in list(self._visits.values()):
            await self._tend(visit)
        await self._bring_checked_in()
        next_s = self._plans[0].at_s if self._plans else float("inf")
        return max(min(next_s - self._now_s(), LOOK_S), 1.0)

    # Planning

    def _now_s(self) -> float:
        return (self._clock.now() - self._start_at).total_seconds()

    def _begin(self) -> None:
        """Trucks in the yard from an earlier run check in again with the key of their visit."""
        self._began = True
        now = self._clock.now()
        for truck in self.plant.yard.at(TruckPlace.YARD):
            key = truck.visit or self._key(next(self._numbers))
            visit = _Visit(truck.vehicle_id, key, now, try_at=now, booking_id=key.partition(_BOOKED)[2] or None)
            if key.startswith(_FOREIGN):
                visit.swap_id, visit.try_at = key.removeprefix(_FOREIGN), None
            self._visits[truck.vehicle_id] = visit
        self._next = next(self._arrivals, None)
        if self._next is not None and self._first_within_s is not None and not self._visits:
            self._next = self._next._replace(at_s=min(self._next.at_s, self._first_within_s), booked=False)

    def _look_ahead(self) -> None:
        """Take arrivals from the demand as far as bookings need to be made for them."""
        until_s = self._now_s() + 2 * LEAD_S
        while self._next is not None and self._next.at_s <= until_s:
            arrival, number = self._next, next(self._numbers)
            if arrival.booked:
                book_s = max(arrival.booked_from_s - LEAD_S, 0.0)
                heapq.heappush(self._plans, _Plan(book_s, number, True, arrival))
            if arrival.comes:
                heapq.heappush(self._plans, _Plan(arrival.at_s, number, False, arrival))
            self._next = next(self._arrivals, None)

    def _key(self, number: int) -> str:
        return f"sim-{self._start_at:%Y%m%dT%H%M%S}-{number}"

    def _truck_for(self, arrival: Arrival) -> Truck | None:
        """The truck of an arrival if it is away, else the one of its fleet that has been away longest."""
        away = [t for t in self.plant.yard.at(TruckPlace.AWAY) if self.plant.yard.seats_filled(t)]
        promised = set(self._booked_truck.values())
        for truck in away:
            if truck.vehicle_id == arrival.vehicle_id:
                return truck
        for truck in away:
            if self._fleet_of[truck.vehicle_id] == arrival.fleet and truck.vehicle_id not in promised:
                return truck
        return None

    # Doing

    async def _book(self, plan: _Plan) -> None:
        arrival = plan.arrival
        truck = self._truck_for(arrival)
        if truck is None:
            return
        answer = await self._post(
            "/api/v1/bookings",
            f"{self._key(plan.number)}-booking",
            {
                "vehicle_id": truck.vehicle_id,
                "station_id": self.config.station.id,
                "window_start_at": self._instant(arrival.booked_from_s),
                "window_end_at": self._instant(arrival.booked_until_s),
            },
        )
        if answer is not None and answer.is_success:
            self._bookings[plan.number] = answer.json()["booking_id"]
            self._booked_truck[plan.number] = truck.vehicle_id
        elif answer is not None:  # no slot, or it has a booking: it comes without one
            _log.info("truck %s comes without a booking: %s", truck.vehicle_id, _reason(answer))

    async def _arrive(self, plan: _Plan) -> None:
        booked = self._booked_truck.pop(plan.number, None)
        booking_id = self._bookings.pop(plan.number, None)
        arrival = plan.arrival if booked is None else plan.arrival._replace(vehicle_id=booked)
        truck = self._truck_for(arrival)
        if truck is None:
            _log.info("no truck of %s is away; the arrival at %.0f s is left out", arrival.fleet, arrival.at_s)
            return
        if booked != truck.vehicle_id:
            booking_id = None
        key = self._key(plan.number) + (f"{_BOOKED}{booking_id}" if booking_id is not None else "")
        now = self._clock.now()
        self.plant.arrive(truck.vehicle_id, arrival.soc_pct, visit=key)
        visit = _Visit(truck.vehicle_id, key, now, try_at=now, booking_id=booking_id)
        self._visits[truck.vehicle_id] = visit
        await self._tend(visit)

    async def _tend(self, visit: _Visit) -> None:
        """Check a waiting truck in, or see whether it still has a swap to wait for."""
        now = self._clock.now()
        truck = self.plant.yard.truck(visit.vehicle_id)
        if truck.place is not TruckPlace.YARD:
            del self._visits[visit.vehicle_id]
        elif visit.try_at is None:
            await self._see_swap(visit)
        elif visit.try_at <= now:
            await self._check_in(visit, now)

    async def _check_in(self, visit: _Visit, now: datetime) -> None:
        body = {"vehicle_id": visit.vehicle_id, "station_id": self.config.station.id}
        if visit.booking_id is not None:
            body["booking_id"] = visit.booking_id
        # What was refused stays the answer of its key: the next try is another request.
        answer = await self._post("/api/v1/swaps", f"{visit.key}-{visit.refused}" if visit.refused else visit.key, body)
        swap_id = None if answer is None else _swap_of(answer)
        if swap_id is not None:
            visit.swap_id, visit.try_at = swap_id, None
            return
        visit.try_at = now + timedelta(seconds=RETRY_S)
        if answer is None:
            return
        _log.info("truck %s is not checked in: %s", visit.vehicle_id, _reason(answer))
        visit.refused += 1
        visit.booking_id = None  # its window may have passed; next time it comes as a walk-in
        if (now - visit.began_at).total_seconds() > PATIENCE_S:
            self._leave(visit)

    async def _see_swap(self, visit: _Visit) -> None:
        answer = await self._get(f"/api/v1/swaps/{visit.swap_id}")
        if answer is not None and answer.is_success and answer.json()["state"] in ENDED:
            self._leave(visit)

    def _leave(self, visit: _Visit) -> None:
        del self._visits[visit.vehicle_id]
        if self.plant.yard.truck(visit.vehicle_id).place is TruckPlace.YARD:
            self.plant.leave_yard(visit.vehicle_id)

    async def _bring_checked_in(self) -> None:
        """A truck that waits in the queue and is away drives in: somebody else has checked it in."""
        answer = await self._get("/api/v1/swaps?state=queued&limit=500")
        if answer is None or not answer.is_success:
            return
        for swap in answer.json()["items"]:
            truck = self.plant.yard.trucks.get(swap["vehicle_id"])
            if truck is None or truck.place is not TruckPlace.AWAY:
                continue
            key = f"{_FOREIGN}{swap['swap_id']}"
            self.plant.arrive(truck.vehicle_id, [UNKNOWN_SOC_PCT] * truck.seats, visit=key)
            self._visits[truck.vehicle_id] = _Visit(truck.vehicle_id, key, self._clock.now(), swap_id=swap["swap_id"])

    # HTTP

    def _instant(self, at_s: float) -> str:
        return (self._start_at + timedelta(seconds=at_s)).isoformat()

    async def _post(self, path: str, key: str, body: dict[str, Any]) -> httpx.Response | None:
        return await self._ask(self._client.build_request("POST", path, json=body, headers={"Idempotency-Key": key}))

    async def _get(self, path: str) -> httpx.Response | None:
        return await self._ask(self._client.build_request("GET", path))

    async def _ask(self, request: httpx.Request) -> httpx.Response | None:
        """An answer, or None when the server does not answer or fails; the same request may then be repeated."""
        try:
            answer = await self._client.send(request)
        except httpx.TransportError as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            if answer.status_code < 500:
                if self._offline:
                    _log.info("the station answers again")
                self._offline = False
                return answer
            reason = f"status {answer.status_code}"
        _log.log(logging.DEBUG if self._offline else logging.WARNING, "the station does not answer: %s", reason)
        self._offline = True
        return None


def _swap_of(answer: httpx.Response) -> str | None:
    """The swap a check-in has opened, or the one the truck has open already."""
    try:
        body = answer.json()
        found = body["swap_id"] if answer.is_success else body["related"]["swap_id"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(found)


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("detail", answer.status_code))
    except (ValueError, AttributeError):
        return f"status {answer.status_code}"
