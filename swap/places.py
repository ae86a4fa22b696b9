"""Places of packs as the journal writes them."""

from __future__ import annotations

from swap.tables import Pack

OFF_SITE = "off_site"


def bay_place(bay_key: str) -> str:
    """Place of a bay; the key is the station id, a colon and the bay's id."""
    return f"bay:{bay_key}"


def vehicle_place(vehicle_id: str, seat: int) -> str:
    """Place of a seat, 1…, of a vehicle."""
    return f"vehicle:{vehicle_id}:{seat}"


def gripper_place(lane_key: str) -> str:
    """Place of a lane's gripper; the key is the station id, a colon and the lane's id."""
    return f"gripper:{lane_key}"


def tank_place(station_id: str) -> str:
    """Place of a station's water tank."""
    return f"tank:{station_id}"


def place_of(pack: Pack) -> str:
    """The one place of a pack.

    Raises:
        ValueError: the row names no place, which the table's constraints refuse.
    """
    if pack.bay_id is not None:
        return bay_place(pack.bay_id)
    if pack.vehicle_id is not None and pack.seat is not None:
        return vehicle_place(pack.vehicle_id, pack.seat)
    if pack.gripper_lane_id is not None:
        return gripper_place(pack.gripper_lane_id)
    if pack.tank_station_id is not None:
        return tank_place(pack.tank_station_id)
    if pack.off_site:
        return OFF_SITE
    raise ValueError(f"pack {pack.id} is in no place")


def local_name(station_id: str, key: str) -> str:
    """The id in the station file of a bay or lane whose key is `station:id`."""
    return key.removeprefix(f"{station_id}:")


def place_within(place: str, station_id: str) -> str:
    """A place as it is called inside a station: `bay:A3`, `gripper:L1`, `tank`; one elsewhere stays as it is."""
    sort, _, key = place.partition(":")
    if sort == "tank" and key == station_id:
        return sort
    return f"{sort}:{local_name(station_id, key)}" if sort in ("bay", "gripper") else place
