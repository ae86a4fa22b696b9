"""Resting voltage of a pack by its state of charge."""

from __future__ import annotations

from itertools import pairwise

from battery_bms.pack.spec import PackSpec

# Assumed resting voltage of one LFP cell by state of charge, flat in the middle as the chemistry is.
_LFP_CELL_V = (
    (0.0, 2.80),
    (5.0, 3.10),
    (10.0, 3.20),
    (30.0, 3.27),
    (70.0, 3.31),
    (95.0, 3.35),
    (100.0, 3.45),
)
_LFP_NOMINAL_CELL_V = 3.22


def lfp_cell_v(soc: float) -> float:
    """Resting voltage of one LFP cell at a state of charge in percent (assumed curve)."""
    soc = min(max(soc, 0.0), 100.0)
    for (from_soc, from_v), (to_soc, to_v) in pairwise(_LFP_CELL_V):
        if soc <= to_soc:
            return from_v + (to_v - from_v) * (soc - from_soc) / (to_soc - from_soc)
    return _LFP_CELL_V[-1][1]


def pack_voltage_v(spec: PackSpec, soc: float) -> float:
    """Resting voltage of the pack at a state of charge in percent (assumed curve)."""
    return spec.nominal_v * lfp_cell_v(soc) / _LFP_NOMINAL_CELL_V
