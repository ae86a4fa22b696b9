"""All tables, one file a noun. Rows are written inside the store's transactions only and never leave this room.

Conventions: instants are aware UTC (SQLModel stores them as UTC on both engines); money is fen and unit
prices are 1/10 000 yuan, as integers; billed energy is 0.01 kWh as integer. Physical truth is a constraint:
a pack row names exactly one place, and a bay, seat or gripper holds at most one pack.
"""

from swap.tables.base import Base
from swap.tables.commerce import Bill, BillLine, Booking
from swap.tables.journal import StationEvent
from swap.tables.packs import ChargeSession, HotPack, Pack
from swap.tables.register import PackKindRow, Party, Person, VehicleModelRow, VehicleRow
from swap.tables.requests import ControlRequest, FaultRow
from swap.tables.station import LEASE_EXPIRES_S, Bay, ControllerLease, SiteSample, Station
from swap.tables.swaps import RobotCommandRow, Swap, SwapSeat

__all__ = [
    "LEASE_EXPIRES_S",
    "Base",
    "Bay",
    "Bill",
    "BillLine",
    "Booking",
    "ChargeSession",
    "ControlRequest",
    "ControllerLease",
    "FaultRow",
    "HotPack",
    "Pack",
    "PackKindRow",
    "Party",
    "Person",
    "RobotCommandRow",
    "SiteSample",
    "Station",
    "StationEvent",
    "Swap",
    "SwapSeat",
    "VehicleModelRow",
    "VehicleRow",
]
