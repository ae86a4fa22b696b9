"""The section that every Modbus device has in the station file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scheduler.sections import Section

MAX_READ = 125
"""Registers that one Modbus read may ask for (Modbus Application Protocol V1.1b3, 6.3)."""
MaxRegisters = Annotated[int, Field(ge=1, le=MAX_READ)]
"""Most registers that one request to a device may carry: less than 125 behind many serial gateways."""


class ModbusAddress(Section):
    """Where a device answers on Modbus TCP."""

    host: str = "127.0.0.1"
    """Name or address."""
    port: int = Field(ge=1, le=65535)
    """TCP port; 502 at most devices."""
    device_id: int = Field(default=1, ge=0, le=255)
    """Modbus unit identifier."""
    base_address: int = Field(default=0, ge=0, le=65535)
    """Added to every address of the register map."""
    timeout_s: float = Field(default=0.8, gt=0, le=30)
    """A request without an answer for this long is lost."""
    max_registers: MaxRegisters = MAX_READ
    """Most registers in one request. Lower it where a gateway refuses longer ones; a longer read is then split."""
