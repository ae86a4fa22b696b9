"""Names that the rack's and the meter's drivers read and write in a register map, and what they cannot do without."""

from __future__ import annotations

from typing import Final

from battery_bms.port import BMS_VALUES

BAY_COMMAND: Final = ("cmd_setpoint_kw", "cmd_expires_s", "cmd_counter")
"""Written in one request, the counter last."""
BAY_NEEDED: Final = ("setpoint_kw", "cmd_setpoint_kw", "cmd_expires_s")
"""What a map must carry so that a charger can be commanded safely; any other entry absent is unknown."""
BAY_CHARGES: Final = ("pack_code", "soc_pct", "temp_max_c", "temp_min_c", "max_charge_kw")
"""Without one of these no pack is ever charged: what is unknown gets 0 kW."""
BAY_READ: Final = (
    "bms_counter",
    "pack_present",
    "pack_code",
    *BMS_VALUES,
    "alarm_level",
    "alarm_bits",
    "charger_state",
    "charger_fault",
    "charge_kw",
    "setpoint_kw",
    "setpoint_counter",
    "meter_kwh",
)
METER_NEEDED: Final = ("import_kw", "import_kwh")
METER_READ: Final = ("sample_counter", *METER_NEEDED, "export_kwh")
