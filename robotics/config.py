"""The robot cell's section of the station file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robotics.modbus_link.config import ModbusAddress
from scheduler.sections import Identifier, Section


class CellSection(Section):
    """One lane's robot cell: PLC address, register map, and the link's time limits."""

    address: ModbusAddress
    """Where the PLC answers."""
    register_map: str = "swap_cell_v2"
    """Name of a shipped map, or path of a TOML file relative to the station file."""
    poll_s: float = Field(default=0.1, ge=0.02, le=5)
    """How often the fast block is read."""
    heartbeat_warn_s: float = Field(default=1.0, gt=0, le=60)
    """A heartbeat of the PLC that stands still this long is warned of."""
    heartbeat_lost_s: float = Field(default=3.0, gt=0, le=60)
    """After this it counts as lost: the station holds."""
    max_age_s: float = Field(default=2.0, gt=0, le=60)
    """A status block older than this (real seconds) is unknown: no command is sent."""


class LaneSection(Section):
    """One lane."""

    id: Identifier
    """Name of the lane."""
    name_zh: str = ""
    """Name in Chinese."""
    name_en: str = ""
    """Name in English."""
    recipe: str = "top_lift"
    """Name of a shipped recipe, or path of a TOML file relative to the station file."""
    swap_order: Literal["out_in", "in_out"] = "out_in"
    """"out_in": the spent pack leaves first; "in_out": the charged pack waits in the transfer bay."""
    swap_mode: Literal["top_lift", "side_grab", "chassis"] | None = None
    """Vehicles it serves. Taken from the recipe when left out; where given it must agree with the recipe."""
    cell: CellSection
    """The robot cell."""
