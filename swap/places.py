"""Places of packs as text.

`bay:STATION:BAY`, `vehicle:VEHICLE:SEAT`, `gripper:STATION:LANE`, `tank:STATION` or `off_site`.

Within one station the station's name is left out: `bay:A3`, `gripper:L1`, `tank`. A bay's or lane's key is the
station's id, a colon and its id in the station file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swap.tables import Pack

OFF_SITE = "off_site"
TANK = "tank"
"""The water tank, within a station."""


class ImpossiblePlace(Exception):
    """A pack's row names no place, or more than one, which the tables' constraints refuse."""


def bay_place(bay: str) -> str:
    """Place of a bay: of its key, or within a station of its id."""
    return f"bay:{bay}"


def vehicle_place(vehicle_id: str, seat: int) -> str:
    """Place of a seat, 1…, of a vehicle."""
    return f"vehicle:{vehicle_id}:{seat}"


def gripper_place(lane: str) -> str:
    """Place of a lane's gripper: of its key, or within a station of its id."""
    return f"gripper:{lane}"


def tank_place(station_id: str) -> str:
    """Place of a station's water tank."""
    return f"{TANK}:{station_id}"


def places_of(pack: Pack) -> tuple[str, ...]:
    """Every place that a pack's row names: one, unless the row is impossible."""
    named = (
        None if pack.bay_id is None else bay_place(pack.bay_id),
        None if pack.vehicle_id is None or pack.seat is None else vehicle_place(pack.vehicle_id, pack.seat),
        None if pack.gripper_lane_id is None else gripper_place(pack.gripper_lane_id),
        None if pack.tank_station_id is None else tank_place(pack.tank_station_id),
        OFF_SITE if pack.off_site else None,
    )
    return tuple(place for place in named if place is not None)


def place_of(pack: Pack) -> str:
    """The one place of a pack. Raises ImpossiblePlace."""
    places = places_of(pack)
    if len(places) != 1:
        where = " and ".join(places) or "no place"
        raise ImpossiblePlace(f"pack {pack.id} is in {where}: allowed exactly one; `swap audit` shows such rows")
    return places[0]


def local_name(station_id: str, key: str) -> str:
    """The id in the station file of a bay or lane whose key is `station:id`."""
    return key.removeprefix(f"{station_id}:")


def place_within(place: str, station_id: str) -> str:
    """A place as it is called inside a station: `bay:A3`, `gripper:L1`, `tank`; one elsewhere stays as it is."""
    sort, _, key = place.partition(":")
    if place == tank_place(station_id):
        return TANK
    return f"{sort}:{local_name(station_id, key)}" if sort in ("bay", "gripper") else place
