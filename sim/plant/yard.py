"""Trucks: away, in the yard, driving in, standing in a lane, driving out.

The driver acts by himself: he drives in when his tag is called, stops, puts the gear in neutral, sets the
handbrake, turns the key off and waits; the high voltage goes off last. When the barrier opens he undoes all
that and drives out. The PLC only sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from robotics.port import Signal
from sim.plant.rack import US_PER_S, PlantError, Rack
from swap.config.station_file import SecuredSection, StationConfig
from swap.places import vehicle_place

HEADS_PER_SEAT = 4
POSITION_TOLERANCE_MM = 50.0
"""The gantry's guides take up this much; assumed."""

SECURE_AFTER_S = {"gear_neutral": 1.0, "handbrake_on": 2.0, "key_off": 3.0, "hv_off": 4.0}
"""What the driver does after stopping, in seconds; assumed."""

Draw = Callable[[float, float], float]
"""(nominal, spread share) → a varied value."""


class TruckPlace(StrEnum):
    """Where a truck is."""

    AWAY = "away"
    YARD = "yard"
    ENTERING = "entering"
    LANE = "lane"


class LockHead(StrEnum):
    """True state of one locking head."""

    OPEN = "open"
    BETWEEN = "between"
    CLOSED = "closed"


@dataclass(slots=True)
class Truck:
    """One truck."""

    vehicle_id: str
    tag: int
    kinds: frozenset[str]
    seats: int
    place: TruckPlace = TruckPlace.AWAY
    lane_id: str = ""
    since_us: int = 0
    """When it came to its place; for the yard: when it arrived."""
    stop_us: int | None = None
    """When it will have driven into the lane."""
    secured: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(SECURE_AFTER_S, False))
    secure_us: dict[str, int] = field(default_factory=dict)
    """When the driver will have done each thing that he has still to do."""
    offset_mm: float = 0.0
    heads: list[LockHead] = field(default_factory=list)
    """Locking heads, seat 1 first."""
    link_ok: bool = True
    comes_when_called: bool = True
    refuses_packs: bool = False
    refuses_seat: int = 0
    """Its controller refuses the pack in this seat; 0: in none."""
    told: tuple[str, ...] = ()
    """Codes of the packs that it is to accept, by seat - 1, as the station has told it; empty: any pack."""
    inhibits: bool = True
    """Its controller lets nobody drive while it is in swap mode."""
    discharges: bool = True
    """The voltage behind its open contactors goes."""
    connector_free: bool = True
    opened: bool = False
    """Its locks may have been opened since it came."""
    needs: SecuredSection = field(default_factory=SecuredSection)
    """What its model asks to be so while it is worked on."""
    visit: str = ""
    """What whoever sent the truck calls this visit; kept until it leaves."""

    def seat_heads(self, seat: int) -> range:
        """Indices of a seat's heads."""
        each = len(self.heads) // self.seats
        return range((seat - 1) * each, seat * each)


@dataclass(slots=True)
class Yard:
    """All trucks by id."""

    trucks: dict[str, Truck]
    rack: Rack
    changes: int = 0
    """Rises with every arrival and every truck that gives up."""

    @classmethod
    def from_config(cls, config: StationConfig, rack: Rack, heads_per_seat: int = HEADS_PER_SEAT) -> Yard:
        """Every truck away."""
        trucks = {}
        for item in config.vehicles:
            model = config.vehicle_model(item.model)
            trucks[item.id] = Truck(
                vehicle_id=item.id,
                tag=item.tag,
                kinds=frozenset(model.pack_kinds),
                seats=model.packs_per_vehicle,
                heads=[LockHead.CLOSED] * (heads_per_seat * model.packs_per_vehicle),
                needs=model.secured,
            )
        return cls(trucks, rack)

    def truck(self, vehicle_id: str) -> Truck:
        """A truck. Raises PlantError for an unknown one."""
        if vehicle_id not in self.trucks:
            raise PlantError(f"no truck {vehicle_id!r} in the station file")
        return self.trucks[vehicle_id]

    def at(self, place: TruckPlace) -> list[Truck]:
        """Trucks at a place, the longest there first."""
        return sorted((t for t in self.trucks.values() if t.place == place), key=lambda t: (t.since_us, t.tag))

    def in_lane(self, lane_id: str) -> Truck | None:
        """The truck that stands in a lane."""
        for truck in self.trucks.values():
            if truck.place == TruckPlace.LANE and truck.lane_id == lane_id:
                return truck
        return None

    def entering(self, lane_id: str) -> Truck | None:
        """The truck that drives into a lane."""
        for truck in self.trucks.values():
            if truck.place == TruckPlace.ENTERING and truck.lane_id == lane_id:
                return truck
        return None

    def waiting(self, tag: int) -> Truck | None:
        """The truck in the yard with this tag, if its driver looks at the lights."""
        for truck in self.trucks.values():
            if truck.tag == tag and truck.place == TruckPlace.YARD and truck.comes_when_called:
                return truck
        return None

    # What trucks do

    def arrive(self, vehicle_id: str, now_us: int, visit: str = "") -> None:
        """A truck that is away comes into the yard. Raises PlantError when it is not away."""
        truck = self.truck(vehicle_id)
        if truck.place != TruckPlace.AWAY:
            raise PlantError(f"truck {vehicle_id} cannot arrive: it is in {truck.place} already")
        truck.place, truck.lane_id, truck.since_us, truck.offset_mm = TruckPlace.YARD, "", now_us, 0.0
        truck.secured = dict.fromkeys(SECURE_AFTER_S, False)
        truck.secure_us = {}
        truck.visit, truck.opened = visit, False
        self.changes += 1

    def leave(self, vehicle_id: str, now_us: int) -> None:
        """A truck gives up waiting in the yard. Raises PlantError when it is not there."""
        truck = self.truck(vehicle_id)
        if truck.place != TruckPlace.YARD:
            raise PlantError(f"truck {vehicle_id} cannot leave the yard: it is in {truck.place}")
        truck.place, truck.since_us, truck.visit = TruckPlace.AWAY, now_us, ""
        self.changes += 1

    def drive_in(self, truck: Truck, lane_id: str, stop_us: int, now_us: int) -> None:
        """The driver has seen the light and drives in."""
        truck.place, truck.lane_id, truck.stop_us, truck.since_us = TruckPlace.ENTERING, lane_id, stop_us, now_us

    def secure(self, truck: Truck, now_us: int, draw: Draw) -> None:
        """The driver starts to secure a standing truck."""
        truck.secure_us = {
            name: now_us + round(draw(after_s, 0.1) * US_PER_S)
            for name, after_s in SECURE_AFTER_S.items()
            if not truck.secured[name]
        }

    def unsecure(self, truck: Truck) -> None:
        """The driver makes ready to go: key on, gear in, handbrake off."""
        truck.secure_us = {}
        truck.secured = dict.fromkeys(SECURE_AFTER_S, False)

    def drive_out(self, truck: Truck, now_us: int) -> None:
        """The truck has left."""
        truck.place, truck.lane_id, truck.since_us, truck.visit = TruckPlace.AWAY, "", now_us, ""
        truck.opened, truck.told = False, ()
        self.unsecure(truck)

    def next_us(self) -> int | None:
        """When the next driver does something."""
        times = [t.stop_us for t in self.trucks.values() if t.stop_us is not None]
        times += [at for t in self.trucks.values() for at in t.secure_us.values()]
        return min(times, default=None)

    def act(self, now_us: int, draw: Draw) -> None:
        """Do what is due now."""
        for truck in self.trucks.values():
            if truck.stop_us is not None and truck.stop_us <= now_us:
                truck.place, truck.stop_us, truck.since_us = TruckPlace.LANE, None, now_us
                self.secure(truck, now_us, draw)
            for name in [n for n, at in truck.secure_us.items() if at <= now_us]:
                truck.secured[name] = True
                del truck.secure_us[name]

    # What the lane's sensors can know of a truck

    def in_position(self, truck: Truck) -> bool:
        """Inside the tolerance of the gantry."""
        return truck.place == TruckPlace.LANE and abs(truck.offset_mm) <= POSITION_TOLERANCE_MM

    def may_move(self, truck: Truck) -> bool:
        """Nothing but the driver's foot holds it."""
        return not all(truck.secured.values())

    def secured(self, truck: Truck, facts: tuple[Signal, ...]) -> bool:
        """What is asked of a standing truck is so; unknown while its controller is silent."""
        link = truck.link_ok or Signal.VEHICLE_LINK not in facts
        told = [fact for fact in facts if fact.value in truck.secured]
        held = not told or (truck.link_ok and all(truck.secured[fact.value] for fact in told))
        return link and held and self.in_position(truck)

    def seats_filled(self, truck: Truck) -> bool:
        """A pack sits in each seat."""
        seats = range(1, truck.seats + 1)
        return all(self.rack.at(vehicle_place(truck.vehicle_id, seat)) is not None for seat in seats)

    def accepts_packs(self, truck: Truck) -> bool:
        """The truck's controller takes the pack in each seat."""
        return all(self.accepts_seat(truck, seat) for seat in range(1, truck.seats + 1))

    def accepts_seat(self, truck: Truck, seat: int) -> bool:
        """The seat holds a pack of a kind that the truck's controller takes, and the one it was told of, if any."""
        pack = self.rack.at(vehicle_place(truck.vehicle_id, seat))
        told = truck.told[seat - 1] if seat <= len(truck.told) else ""
        refused = truck.refuses_packs or truck.refuses_seat == seat
        return pack is not None and not refused and pack.kind in truck.kinds and told in ("", pack.code)

    # Snapshot

    def snapshot(self) -> dict[str, Any]:
        """Everything that changes, as JSON."""
        return {
            truck.vehicle_id: {
                **{name: getattr(truck, name) for name in _TRUCK_FIELDS},
                "place": truck.place.value,
                "secured": dict(truck.secured),
                "secure_us": dict(truck.secure_us),
                "heads": [head.value for head in truck.heads],
            }
            for truck in self.trucks.values()
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Take a snapshot over; trucks it does not know are away. Raises PlantError for a truck in a lane or
        yard that the station file lacks."""
        for vehicle_id, values in data.items():
            place = TruckPlace(values["place"])
            if vehicle_id not in self.trucks:
                if place == TruckPlace.AWAY:
                    continue
                raise PlantError(f"the snapshot has truck {vehicle_id} in {place}; the station file has no such truck")
            truck = self.trucks[vehicle_id]
            for name in _TRUCK_FIELDS:
                value = values.get(name, getattr(truck, name))  # a field may be younger than the snapshot
                setattr(truck, name, tuple(value) if isinstance(value, list) else value)
            truck.place = place
            truck.secured = dict(values["secured"])
            truck.secure_us = dict(values["secure_us"])
            if len(values["heads"]) == len(truck.heads):
                truck.heads = [LockHead(head) for head in values["heads"]]


_TRUCK_FIELDS = (
    "lane_id",
    "since_us",
    "stop_us",
    "offset_mm",
    "link_ok",
    "comes_when_called",
    "refuses_packs",
    "refuses_seat",
    "told",
    "inhibits",
    "discharges",
    "connector_free",
    "opened",
    "visit",
)
