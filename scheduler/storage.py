"""What the stationary storage does now: one set-point from the state of the site, by a rule.

The order in one cycle: `support_kw` goes into `SiteLimits.storage_kw`, `plan_charging` shares the power of
the site, `plan_storage` then decides with what the chargers will draw.

The rule, first match first:

1. In a dear hour it discharges to replace import, down to the reserve.
2. Where the site needs more than the import limit allows, it discharges what is missing, down to empty.
3. In a cheap hour, and below its reserve at any price, it charges as far as the import limit allows. Not while
   the chargers are short of power.
4. It takes what the photovoltaics give beyond the site's need.
5. Else it rests.

It never exports: no more is discharged than the site needs. An hour is **dear** when no dearer one comes before
what is spent now can be bought back cheaper, losses paid. It is **cheap** when no cheaper one comes before what
is bought now can be spent with gain, losses paid. So the storage is full before the dear hours and spends itself
in the dearest of them first. Where the price never changes every hour is dear and none is cheap: sun is kept
until the sun does not cover the site, and the reserve alone is bought.

The rule knows no forecast of trucks or sun and no wear. `plan_storage` is the seam for an optimal plan.
Powers are those at the grid's side, kW; charging is positive. Half of the round trip's loss falls to each way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import sqrt

from scheduler.types import TariffSlice

ENERGY_TOLERANCE_KWH = 1e-6
"""Less than this above empty is empty, less than this below full is full."""
POWER_TOLERANCE_KW = 1e-6


class StorageLimit(StrEnum):
    """What sets the power."""

    NO_NEED = "no_need"
    """Nothing to do: 0 kW."""
    RATING = "rating"
    """Its own rated power."""
    IMPORT_LIMIT = "import_limit"
    """The import is held at its limit; the storage follows the load."""
    NO_EXPORT = "no_export"
    """The import is held at 0 kW; the storage follows the load, or takes the surplus of the photovoltaics."""


class Hour(StrEnum):
    """What the price says."""

    CHEAP = "cheap"
    DEAR = "dear"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class StorageView:
    """What the decision may know."""

    at: datetime
    charging_kw: float
    """What the chargers draw or will draw."""
    base_load_kw: float
    pv_kw: float
    import_limit_kw: float
    """The lowest of transformer, contract and demand response."""
    energy_kwh: float
    """Stored now."""
    capacity_kwh: float
    power_kw: float
    """Rating, both ways."""
    efficiency: float = 1.0
    """Round trip."""
    reserve_kwh: float = 0.0
    """Kept for times at which the import limit binds."""
    chargers_short: bool = False
    """The chargers would take more than the site can give them."""


@dataclass(frozen=True, slots=True)
class StoragePlan:
    """The set-point and how long it holds if nothing else changes."""

    power_kw: float
    """Charge (positive) or discharge (negative)."""
    limited_by: StorageLimit
    until_kwh: float
    """Energy stored at which the plan ends; the present energy when it rests."""

    def held_import_kw(self, import_limit_kw: float) -> float | None:
        """Import that it holds by following the load; None: it keeps its power."""
        if self.limited_by is StorageLimit.IMPORT_LIMIT:
            return import_limit_kw
        return 0.0 if self.limited_by is StorageLimit.NO_EXPORT else None


def one_way_efficiency(efficiency: float) -> float:
    """Share that is left after one way, from the efficiency of the round trip."""
    return sqrt(efficiency)


def support_kw(energy_kwh: float, power_kw: float) -> float:
    """What the storage can add to the import limit now, kW; for `SiteLimits.storage_kw` before charging is planned."""
    return power_kw if energy_kwh > ENERGY_TOLERANCE_KWH else 0.0


def plan_storage(view: StorageView, tariff: Sequence[TariffSlice] = ()) -> StoragePlan:
    """The set-point of the storage, by the rule above.

    Args:
        tariff: slices from `view.at` on, as far ahead as prices are known (a day is enough); without one that
            holds `view.at` no hour is cheap or dear.
    """
    need_kw = view.charging_kw + view.base_load_kw - view.pv_kw
    limit_kw = view.import_limit_kw
    hour = hour_by_price(tariff, view.at, view.efficiency)
    if hour is Hour.DEAR and need_kw > POWER_TOLERANCE_KW and view.energy_kwh > view.reserve_kwh + ENERGY_TOLERANCE_KWH:
        return _discharge(view, need_kw, StorageLimit.NO_EXPORT, view.reserve_kwh)
    if need_kw > limit_kw + POWER_TOLERANCE_KW and view.energy_kwh > ENERGY_TOLERANCE_KWH:
        return _discharge(view, need_kw - limit_kw, StorageLimit.IMPORT_LIMIT, 0.0)
    if not view.chargers_short and need_kw <= limit_kw + POWER_TOLERANCE_KW:
        fill_kwh = view.capacity_kwh if hour is Hour.CHEAP else min(view.reserve_kwh, view.capacity_kwh)
        if view.energy_kwh < fill_kwh - ENERGY_TOLERANCE_KWH:
            return _charge(view, limit_kw - need_kw, StorageLimit.IMPORT_LIMIT, fill_kwh)
    if need_kw <= POWER_TOLERANCE_KW and view.energy_kwh < view.capacity_kwh - ENERGY_TOLERANCE_KWH:
        return _charge(view, -need_kw, StorageLimit.NO_EXPORT, view.capacity_kwh)
    return StoragePlan(0.0, StorageLimit.NO_NEED, view.energy_kwh)


def _discharge(view: StorageView, wanted_kw: float, cause: StorageLimit, until_kwh: float) -> StoragePlan:
    if wanted_kw > view.power_kw + POWER_TOLERANCE_KW:
        return StoragePlan(-view.power_kw, StorageLimit.RATING, until_kwh)
    return StoragePlan(-min(wanted_kw, view.power_kw), cause, until_kwh)


def _charge(view: StorageView, left_kw: float, cause: StorageLimit, until_kwh: float) -> StoragePlan:
    if left_kw >= view.power_kw:
        return StoragePlan(view.power_kw, StorageLimit.RATING, until_kwh)
    return StoragePlan(max(left_kw, 0.0), cause, until_kwh)


def hour_by_price(tariff: Sequence[TariffSlice], at: datetime, efficiency: float) -> Hour:
    """Whether energy is worth buying or spending at `at`."""
    ahead = [part for part in tariff if part.until_at > at]
    if not ahead or ahead[0].from_at > at:
        return Hour.NEITHER
    price = ahead[0].price_yuan_per_kwh
    for part in ahead[1:]:
        if part.price_yuan_per_kwh < price:
            if part.price_yuan_per_kwh < price * efficiency:
                return Hour.DEAR
        elif part.price_yuan_per_kwh > price:
            return Hour.CHEAP if _gains(ahead, price, efficiency) else Hour.NEITHER
    return Hour.DEAR


def _gains(ahead: Sequence[TariffSlice], price: float, efficiency: float) -> bool:
    """Whether energy bought at a price can be spent with gain before it could be bought cheaper."""
    for part in ahead[1:]:
        if part.price_yuan_per_kwh < price:
            return False
        if part.price_yuan_per_kwh * efficiency > price:
            return True
    return False
