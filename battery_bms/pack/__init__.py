"""Physics of one pack on a rack charger, in closed form: nothing ticks, any step length is exact.

The truth about a pack is `energy_kwh`; `soc_pct` is derived here and nowhere else. Power and current into
the pack are positive, everywhere in this project. `power_kw` is the charger's DC output.

Model:

* capacity = rated_kwh × soh_pct / 100; soc_pct = 100 × energy_kwh / capacity.
* The BMS allows `max_charge_kw` up to `taper_from_soc_pct`, then a power that falls linearly with the state
  of charge to `taper_end_share` × `max_charge_kw` at 100 %. A full pack takes nothing.
* `charge_efficiency` of the charger's output is stored, the rest warms the pack.
* Temperature is one lump.

A pack made to charge outside its temperature window is not modelled: the caller sets 0 kW there
(`allowed_charge_kw` says so). Plant, study, charging plan and screening all ask here.
"""

from battery_bms.pack.charge import (
    Charge,
    Curve,
    advance_energy,
    allowed_charge_kw,
    charge_kw,
    curve_of,
    time_to_soc_s,
)
from battery_bms.pack.spec import PackSpec, capacity_kwh, energy_at_soc_kwh, soc_pct, spec_from_section
from battery_bms.pack.thermal import PackAdvance, advance, advance_temp_c, time_to_temp_s
from battery_bms.pack.voltage import lfp_cell_v, pack_voltage_v

__all__ = [
    "Charge",
    "Curve",
    "PackAdvance",
    "PackSpec",
    "advance",
    "advance_energy",
    "advance_temp_c",
    "allowed_charge_kw",
    "capacity_kwh",
    "charge_kw",
    "curve_of",
    "energy_at_soc_kwh",
    "lfp_cell_v",
    "pack_voltage_v",
    "soc_pct",
    "spec_from_section",
    "time_to_soc_s",
    "time_to_temp_s",
]
