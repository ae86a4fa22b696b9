"""Places of packs as text.

`bay:STATION:BAY`, `vehicle:VEHICLE:SEAT`, `gripper:STATION:LANE`, `tank:STATION` or `off_site`.

Within one station the station's name is left out: `bay:A3`, `gripper:L1`, `tank`. A bay's or lane's key is the
station's id, a colon and its id in the station file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    return tuple(
        _named(pack.bay_id, pack.vehicle_id, pack.seat, pack.gripper_lane_id, pack.tank_station_id, pack.off_site)
    )


def _named(
    bay_id: str | None,
    vehicle_id: str | None,
    seat: int | None,
    gripper_lane_id: str | None,
    tank_station_id: str | None,
    off_site: bool,
) -> list[str]:
    found = []
    if bay_id is not None:
        found.append(bay_place(bay_id))
    if vehicle_id is not None and seat is not None:
        found.append(vehicle_place(vehicle_id, seat))
    if gripper_lane_id is not None:
        found.append(gripper_place(gripper_lane_id))
    if tank_station_id is not None:
        found.append(tank_place(tank_station_id))
    if off_site:
        found.append(OFF_SITE)
    return found


PLACE_COLUMNS = ("bay_id", "vehicle_id", "seat", "gripper_lane_id", "tank_station_id", "off_site")
"""The columns of a pack that say where it is, as `place_of_columns` takes them."""


def place_of(pack: Pack) -> str:
    """The one place of a pack. Raises ImpossiblePlace."""
    return place_of_columns(pack.id, *(getattr(pack, name) for name in PLACE_COLUMNS))


def place_of_columns(pack_id: str, *columns: Any) -> str:
    """The same by `PLACE_COLUMNS`. Raises ImpossiblePlace."""
    places = _named(*columns)
    if len(places) != 1:
        where = " and ".join(places) or "no place"
        raise ImpossiblePlace(f"pack {pack_id} is in {where}: allowed exactly one; `swap audit` shows such rows")
    return places[0]


def local_name(station_id: str, key: str) -> str:
    """The id in the station file of a bay or lane whose key is `station:id`."""
    return key.removeprefix(f"{station_id}:")


def place_within(place: str, station_id: str) -> str:
    """A place as it is called inside a station: `bay:A3`, `gripper:L1`, `tank`; one elsewhere stays as it is."""
    sort, _, key = place.partition(":")
    if sort in ("bay", "gripper"):
        return f"{sort}:{local_name(station_id, key)}"
    return TANK if place == tank_place(station_id) else place
