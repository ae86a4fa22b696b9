"""Names that the drivers of rack and site read and write in a register map, and what they cannot do without."""

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
PV_NEEDED: Final = ("power_kw",)
PV_READ: Final = ("sample_counter", *PV_NEEDED)
STORAGE_NEEDED: Final = ("power_kw", "cmd_power_kw", "cmd_expires_s")
"""What a map must carry so that a storage can be commanded safely."""
STORAGE_ENERGY: Final = ("energy_kwh", "soc_pct")
"""One of them is needed; the energy counts where there are both."""
STORAGE_COMMAND: Final = ("cmd_power_kw", "cmd_hold_import_kw", "cmd_expires_s", "cmd_counter")
"""Written in one request, together with the constants of the map's write block."""
STORAGE_ECHO: Final[dict[str, str]] = {
    "cmd_power_kw": "order_kw",
    "cmd_hold_import_kw": "order_hold_import_kw",
    "cmd_counter": "order_counter",
}
"""Entry that is written, and the one that shows what was taken of it."""
STORAGE_READ: Final = ("sample_counter", "power_kw", *STORAGE_ENERGY, *STORAGE_ECHO.values(), "order_left_s")
