"""The booking section of the station file."""

from __future__ import annotations

from pydantic import Field

from robotics.modbus_link.config import Section


class BookingSection(Section):
    """Rules of booked windows. A booking holds capacity for one swap with any matching pack, not a certain pack."""

    slot_min: int = Field(default=15, ge=5, le=60, multiple_of=5)
    """Grid on which capacity is counted, minutes."""
    nominal_swap_s: float = Field(default=360.0, gt=0, le=3600)
    """Time one lane needs for one truck, calling in and driving out included."""
    capacity_per_slot: int | None = Field(default=None, ge=1, le=1000)
    """Swaps the station promises in a slot; None works it out from lanes and `nominal_swap_s`."""
    min_window_min: int = Field(default=15, ge=5, le=1440)
    max_window_min: int = Field(default=240, ge=5, le=1440)
    horizon_h: int = Field(default=168, ge=1, le=8760)
    """How far ahead a window may end."""
    early_grace_min: int = Field(default=30, ge=0, le=720)
    """A truck this much before its window may still use it."""
    late_grace_min: int = Field(default=30, ge=0, le=720)
    """A truck this much after its window may still use it; then the booking expires."""
