"""Trucks that move packs between stations.

Every so often the stock is looked at. A station with too few packs ready gets charged ones from the station that
has most to spare; the carrier takes as many spent packs back in exchange, so each station keeps its number of
packs, and the spent ones are charged where there is time. A carrier waits where it unloaded last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from scheduler.types import PackState
from sim.network.file import RebalancingSection
from sim.study.agenda import Agenda, Call
from sim.study.rack import is_charged, is_free, put_in, take_charged, take_out
from sim.study.rows import StudyBay, StudyPack
from sim.study.station import Station

_SPENT = (PackState.WAITING, PackState.CHARGING)
_AGAIN_S = 60.0
"""A carrier that finds no empty bay looks again after this."""


@dataclass(slots=True)
class Trip:
    """One carrier on its way."""

    donor: int
    receiver: int
    kind: str
    count: int
    """Charged packs it is to bring."""
    charged: list[StudyPack] = field(default_factory=list)
    spent: list[StudyPack] = field(default_factory=list)


class Carriers:
    """All carriers of a network."""

    def __init__(
        self,
        time: Agenda,
        stations: Sequence[Station],
        section: RebalancingSection,
        minutes: Sequence[Sequence[float]],
    ) -> None:
        self.time = time
        self.stations = stations
        self.section = section
        self.minutes = minutes
        self.idle = [number % len(stations) for number in range(section.carriers)]
        """Where carriers without a task stand."""
        self.trips: list[Trip] = []
        """Under way."""
        self.trips_done = 0
        self.packs_moved = 0
        """Charged packs set down at a station that was short of them."""
        self._kinds = sorted({kind for station in stations for kind in station.scenario.equipment.packs})
        self._promised: Counter[tuple[int, str]] = Counter()
        """Packs that a carrier will fetch."""
        self._on_way: Counter[tuple[int, str]] = Counter()
        """Packs that a carrier will bring."""
        if self.idle:
            self._review_later()

    def reset(self) -> None:
        """Forget all that was counted."""
        self.trips_done = self.packs_moved = 0

    @property
    def packs_held(self) -> int:
        """Packs on carriers."""
        return sum(len(trip.charged) + len(trip.spent) for trip in self.trips)

    # -- deciding

    def _review_later(self) -> None:
        self.time.at(self.time.now + self.section.review_min * 60, self._on_review)

    def _on_review(self, call: Call) -> None:
        for kind in self._kinds:
            while self.idle and (trip := self._next_trip(kind)) is not None:
                self._send(trip)
        self._review_later()

    def spare(self, index: int, kind: str) -> int:
        """Packs ready at a station beyond those that its queue asks for."""
        rack = self.stations[index].rack
        return rack.kinds[kind].spare if kind in rack.kinds else 0

    def _next_trip(self, kind: str) -> Trip | None:
        """The most urgent trip: the station shortest of packs, helped by the one that can spare most."""
        section = self.section
        holds = [i for i, s in enumerate(self.stations) if s.scenario.equipment.packs.get(kind, 0) > 0]
        stock = {i: self.spare(i, kind) + self._on_way[i, kind] for i in holds}
        for receiver in sorted(holds, key=lambda i: (stock[i], i)):
            if stock[receiver] >= section.low_ready:
                return None
            surplus = {
                i: self.spare(i, kind) - self._promised[i, kind] - section.keep_ready
                for i in holds
                if i != receiver and self.minutes[i][receiver] < inf
            }
            donor = min(surplus, key=lambda i: (-surplus[i], self.minutes[i][receiver], i), default=None)
            if donor is None:
                continue
            spent = len(self._spent_bays(receiver, kind)) - self._on_way[receiver, kind]
            count = min(section.packs_per_trip, surplus[donor], spent)
            if count >= 1:
                return Trip(donor, receiver, kind, count)
        return None

    def _spent_bays(self, index: int, kind: str) -> list[StudyBay]:
        """Bays whose pack may be taken in exchange, emptiest first."""
        rack = self.stations[index].rack
        found = [
            bay
            for bay in rack.bays
            if bay.content is not None
            and bay.content.kind.name == kind
            and bay.content.state in _SPENT
            and bay.reserved_by is None
        ]
        for bay in found:
            rack.settle(bay)
        return sorted(found, key=lambda bay: (bay.content.energy_kwh if bay.content is not None else 0.0, bay.position))

    # -- driving

    def _send(self, trip: Trip) -> None:
        place = min(self.idle, key=lambda at: (self.minutes[at][trip.donor], at))
        self.idle.remove(place)
        self.trips.append(trip)
        self._promised[trip.donor, trip.kind] += trip.count
        self._on_way[trip.receiver, trip.kind] += trip.count
        self._drive(place, trip.donor, self._on_load, trip)

    def _drive(self, from_: int, to: int, handler: Callable[[Call], None], trip: Trip) -> None:
        """Drive, then load or unload; `handler` is called when that is done."""
        minutes = self.minutes[from_][to] + self.section.exchange_min
        self.time.at(self.time.now + minutes * 60, handler, trip)

    def _on_load(self, call: Call) -> None:
        trip: Trip = call.payload
        station = self.stations[trip.donor]
        station.before_change()
        rack = station.rack
        self._promised[trip.donor, trip.kind] -= trip.count
        bays = [
            bay
            for bay in rack.bays
            if is_charged(bay) and bay.content is not None and bay.content.kind.name == trip.kind
        ]
        # The stock may have gone down on the way: never below what the giver is helped at itself.
        count = max(min(trip.count, self.spare(trip.donor, trip.kind) - self.section.low_ready), 0)
        trip.charged = [take_charged(rack, bay, "carrier") for bay in bays[:count]]
        self._on_way[trip.receiver, trip.kind] -= trip.count - len(trip.charged)
        if trip.charged:
            self._drive(trip.donor, trip.receiver, self._on_exchange, trip)
        else:
            self._end(trip)

    def _on_exchange(self, call: Call) -> None:
        trip: Trip = call.payload
        station = self.stations[trip.receiver]
        station.before_change()
        self._on_way[trip.receiver, trip.kind] -= len(trip.charged)
        for bay in self._spent_bays(trip.receiver, trip.kind)[: len(trip.charged)]:
            trip.spent.append(take_out(station.rack, bay))
            put_in(station.rack, bay, trip.charged.pop(), "carrier")
            self.packs_moved += 1
        station.call_trucks()
        self._drive(trip.receiver, trip.donor, self._on_unload, trip)

    def _on_unload(self, call: Call) -> None:
        trip: Trip = call.payload
        station = self.stations[trip.donor]
        station.before_change()
        for packs in (trip.charged, trip.spent):
            free = [bay for bay in station.rack.bays if is_free(bay)]
            for bay in free[: len(packs)]:
                put_in(station.rack, bay, packs.pop(), "carrier")
        station.call_trucks()
        if trip.charged or trip.spent:
            self.time.at(self.time.now + _AGAIN_S, self._on_unload, trip)
        else:
            self._end(trip)

    def _end(self, trip: Trip) -> None:
        self.trips.remove(trip)
        self.trips_done += 1
        self.idle.append(trip.donor)
