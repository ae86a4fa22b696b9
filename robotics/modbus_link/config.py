"""The section that every Modbus device has in the station file."""

from __future__ import annotations

from pydantic import Field

from scheduler.sections import Section


class ModbusAddress(Section):
    """Where a device answers on Modbus TCP."""

    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65535)
    device_id: int = Field(default=1, ge=0, le=255)
    base_address: int = Field(default=0, ge=0, le=65535)
    """Added to every address of the register map."""
    timeout_s: float = Field(default=0.8, gt=0, le=30)
