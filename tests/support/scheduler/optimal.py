"""Small problems for the optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import inf
from typing import Any

import numpy as np

from battery_bms.pack import PackSpec, curve_of
from battery_bms.pack.ahead import ChargeAhead
from scheduler.optimal.problem import ChargeProblem, EnergyStore, Site

BEGIN_AT = datetime(2026, 6, 1, tzinfo=UTC)
SPEC = PackSpec(rated_kwh=282.0, max_charge_kw=240.0)
LAW = ChargeAhead(curve_of(SPEC, 100.0), 240.0)


def site(
    price: Sequence[float], *, limit_kw: float = 1000.0, base_kw: float = 0.0, pv_kw: float = 0.0, **more: Any
) -> Site:
    """A site with the same limit, base load and sun in each slot."""
    count = len(price)
    return Site(
        np.array(price, dtype=np.float64),
        np.full(count, base_kw),
        np.full(count, pv_kw),
        np.full(count, limit_kw),
        **more,
    )


def problem(
    price: Sequence[float],
    *stores: EnergyStore,
    hours: Sequence[float] | None = None,
    steady_h: float = inf,
    **more: Any,
) -> ChargeProblem:
    """Slots of an hour where nothing else is said; every slot is a set-point."""
    lengths = np.ones(len(price)) if hours is None else np.array(hours, dtype=np.float64)
    return ChargeProblem(BEGIN_AT, lengths, site(price, **more), stores, steady_h=steady_h)


def storage(energy_kwh: float = 0.0, *, most_kwh: float = 100.0, kw: float = 50.0, **more: Any) -> EnergyStore:
    """A stationary storage that loses a tenth each way."""
    settings: dict[str, Any] = {"efficiency": 0.9, "efficiency_out": 0.9, "shared": False, "discharge_kw": kw} | more
    return EnergyStore("storage", energy_kwh, most_kwh, kw, **settings)


def pack(name: str = "A1", energy_kwh: float = 60.0, **more: Any) -> EnergyStore:
    """A pack of 282 kWh that is charged to 95 %."""
    settings: dict[str, Any] = {"efficiency": 0.96, "ac_efficiency": 0.95, "law": LAW, "high_kwh": 253.8} | more
    return EnergyStore(name, energy_kwh, 267.9, 240.0, **settings)
