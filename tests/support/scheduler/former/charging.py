"""How much power each bay gets: hard limits first, wishes last, and a later rule may only narrow.

1. **Bay and pack.** A bay charges only with everything known, fresh and inside its limits; otherwise 0 kW.
2. **Site.** The sum stays within min(grid, demand response) − base load + PV + storage, and within the rack's
   own cap. The budget is never negative: a deficit is 0 kW for charging, and the base load is never shed.
3. **Sharing** of a short budget. "order": packs below the offer level first, the one with the least energy
   missing before the others, so that the stock recovers soonest; ready packs are topped up with what is left.
   "equal": each pack gets the same, what one cannot take goes to the others.
4. **Wish.** In critical and peak hours charging of a kind is held back while `reserve_ready` packs of it stay
   ready beyond what the queue needs.

`plan_charging` is the seam for an optimiser: another function of the same signature may take its place, and
this one takes over when that is late or fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from scheduler.config import ChargingSection
from scheduler.types import (
    BayRole,
    ChargingPolicy,
    PackState,
    Setpoint,
    SiteLimits,
    StationMode,
    TariffSlice,
)
from tests.support.scheduler.former.choice import HIGHEST_SAFE_ALARM, SOC_TOLERANCE_PCT, is_offerable
from tests.support.scheduler.former.facts import StationFacts


class Limit(StrEnum):
    """What decided a set-point."""

    FIRE = "fire"
    ROLE = "role"
    """The bay is not for charging."""
    NO_PACK = "no_pack"
    BAY_BLOCKED = "bay_blocked"
    NO_CHARGER = "no_charger"
    CHARGER_FAULT = "charger_fault"
    PACK_STATE = "pack_state"
    """The pack is not identified, promised, cooling, warming, blocked, quarantined."""
    SENSOR = "sensor"
    """The bay's own sensor sees no pack."""
    STALE = "stale"
    UNKNOWN = "unknown"
    """State of charge, temperature, BMS limit or kind is not known."""
    ALARM = "alarm"
    TOO_HOT = "too_hot"
    TOO_COLD = "too_cold"
    TARGET = "target"
    """Charged."""
    CHARGER = "charger"
    """Rating of the bay's charger."""
    BMS = "bms"
    """What the BMS allows now."""
    PACK = "pack"
    """Rating of the pack kind."""
    PACK_TEMP = "pack_temp"
    """Reduced power, warm or cold."""
    GRID = "grid"
    DEMAND_RESPONSE = "demand_response"
    MEASURED_IMPORT = "measured_import"
    """The site meter shows more load than was reckoned with."""
    RACK = "rack"
    """The cap on the whole rack."""
    MIN_SETPOINT = "min_setpoint"
    """What is left is less than a charger can run at."""
    TARIFF = "tariff"


class PackLimits(Protocol):
    """What charging needs to know of a kind of pack."""

    @property
    def max_charge_kw(self) -> float: ...
    @property
    def charge_temp_min_c(self) -> float: ...
    @property
    def charge_temp_max_c(self) -> float: ...
    @property
    def charge_efficiency(self) -> float:
        """Energy stored ÷ energy at the charger's output."""


DEAR_PERIODS = frozenset({"critical", "peak"})
"""Periods in which charging may be held back."""

_ZERO = {limit: Setpoint(0.0, limit) for limit in Limit}
_FIRE = _ZERO[Limit.FIRE]
_ROLE = _ZERO[Limit.ROLE]
_NO_PACK = _ZERO[Limit.NO_PACK]
_BAY_BLOCKED = _ZERO[Limit.BAY_BLOCKED]
_NO_CHARGER = _ZERO[Limit.NO_CHARGER]
_CHARGER_FAULT = _ZERO[Limit.CHARGER_FAULT]
_PACK_STATE = _ZERO[Limit.PACK_STATE]
_SENSOR = _ZERO[Limit.SENSOR]
_STALE = _ZERO[Limit.STALE]
_UNKNOWN = _ZERO[Limit.UNKNOWN]
_ALARM = _ZERO[Limit.ALARM]
_TOO_HOT = _ZERO[Limit.TOO_HOT]
_TOO_COLD = _ZERO[Limit.TOO_COLD]
_TARGET = _ZERO[Limit.TARGET]
_MIN_SETPOINT = _ZERO[Limit.MIN_SETPOINT]
_TARIFF = _ZERO[Limit.TARIFF]

_RACK_ROLE = BayRole.RACK
_WAITING = PackState.WAITING
_CHARGING = PackState.CHARGING
_READY = PackState.READY

_CHARGER = Limit.CHARGER


@lru_cache(maxsize=256)
def _at_rating(power_kw: float) -> Setpoint:
    """The commonest set-point, made once for each rating."""
    return Setpoint(power_kw, Limit.CHARGER)


Claim = tuple[bool, float, int, str, float, Limit]
"""One bay that may charge: whether it is already at the offer level, energy missing in kWh, position, bay id,
most it may take in kW, what limits that. Sorts in the order of "order"."""


def policy_from_section(
    section: ChargingSection, max_reading_age_s: float = 10.0, kinds: Iterable[PackLimits] = ()
) -> ChargingPolicy:
    """The policy of the station file.

    Args:
        max_reading_age_s: age from which a pack reading is unknown: `max_age_s` of the racks.
        kinds: all kinds of pack. Their makers' temperature limits count; without any the fallback does.
    """
    limits = tuple(kinds)
    return ChargingPolicy(
        charge_temp_min_c=min((x.charge_temp_min_c for x in limits), default=ChargingPolicy().charge_temp_min_c),
        charge_temp_max_c=max((x.charge_temp_max_c for x in limits), default=ChargingPolicy().charge_temp_max_c),
        offer_soc_pct=section.offer_soc_pct,
        target_soc_pct=section.target_soc_pct,
        max_reading_age_s=max_reading_age_s,
        min_setpoint_kw=section.min_setpoint_kw,
        sharing=section.sharing,
        tariff_aware=section.tariff_aware,
        reserve_ready=section.reserve_ready,
        max_power_kw=section.max_power_kw,
    )


def plan_charging(
    view: StationFacts,
    policy: ChargingPolicy,
    kinds: Mapping[str, PackLimits],
    tariff: Sequence[TariffSlice] = (),
) -> dict[str, Setpoint]:
    """Power for every bay of the view, with what decided it (a :class:`Limit`).

    Args:
        kinds: limits of each kind of pack; a pack of another kind gets 0 kW.
        tariff: slices around `view.at`; without one that holds it, no wish is applied.
    """
    if view.mode is StationMode.FIRE:
        return {bay.bay_id: _FIRE for bay in view.bays}
    plan, claims = _claims(view, policy, kinds)
    if not claims:
        return plan
    if policy.tariff_aware and tariff and is_dear(tariff, view.at):
        claims = _without_held_back(view, policy, claims, plan)
    budget_kw, cause = _budget(view.limits, policy)
    if policy.sharing == "equal":
        _share_equally(claims, budget_kw, cause, policy.min_setpoint_kw, plan)
    else:
        _share_in_order(claims, budget_kw, cause, policy.min_setpoint_kw, plan)
    return plan


def _claims(
    view: StationFacts, policy: ChargingPolicy, kinds: Mapping[str, PackLimits]
) -> tuple[dict[str, Setpoint], list[Claim]]:
    """The plan with 0 kW and its cause where nothing may flow, and the bays where power may.

    Comparisons are written so that a NaN fails them and ends at 0 kW.
    """
    plan: dict[str, Setpoint] = {}
    claims: list[Claim] = []
    max_age_s = policy.max_reading_age_s
    min_setpoint_kw = policy.min_setpoint_kw
    offer_pct = policy.offer_soc_pct - SOC_TOLERANCE_PCT
    target_pct = policy.target_soc_pct - SOC_TOLERANCE_PCT
    charge_min_c, charge_max_c = policy.charge_temp_min_c, policy.charge_temp_max_c
    reduce_below_c, reduce_above_c = policy.reduce_below_c, policy.reduce_above_c
    for bay in view.bays:
        bay_id = bay.bay_id
        pack = bay.pack
        if bay.role is not _RACK_ROLE:
            plan[bay_id] = _ROLE
            continue
        if bay.blocked:
            plan[bay_id] = _BAY_BLOCKED
            continue
        if pack is None:
            plan[bay_id] = _NO_PACK
            continue
        state = pack.state
        if state is not _CHARGING and state is not _WAITING and state is not _READY:
            plan[bay_id] = _PACK_STATE
            continue
        soc_pct = pack.soc_pct
        age_s = pack.reading_age_s
        if age_s is None or not age_s <= max_age_s:
            plan[bay_id] = _STALE
            continue
        if pack.alarm_level > HIGHEST_SAFE_ALARM:
            plan[bay_id] = _ALARM
            continue
        kind = kinds.get(pack.kind)
        hot_c = pack.temp_max_c
        cold_c = pack.temp_min_c
        bms_kw = pack.max_charge_kw
        if kind is None or soc_pct is None or hot_c is None or cold_c is None or bms_kw is None:
            plan[bay_id] = _UNKNOWN
        elif not (hot_c < charge_max_c and hot_c < kind.charge_temp_max_c):
            plan[bay_id] = _TOO_HOT
        elif not (cold_c >= charge_min_c and cold_c >= kind.charge_temp_min_c):
            plan[bay_id] = _TOO_COLD
        elif bay.occupied is False:
            plan[bay_id] = _SENSOR
        elif not soc_pct < target_pct:
            plan[bay_id] = _TARGET if soc_pct >= target_pct else _UNKNOWN
        elif not bay.charger_ok:
            plan[bay_id] = _CHARGER_FAULT
        elif not bay.max_charge_kw > 0.0:
            plan[bay_id] = _NO_CHARGER
        else:
            rated_kw = kind.max_charge_kw
            cap_kw = bay.max_charge_kw
            limit = _CHARGER
            if not cap_kw <= rated_kw:
                cap_kw = rated_kw
                limit = Limit.PACK
            if not cap_kw <= bms_kw:
                cap_kw = bms_kw
                limit = Limit.BMS
            if hot_c >= reduce_above_c or cold_c < reduce_below_c:
                reduced_kw = policy.reduced_share * rated_kw
                if not cap_kw <= reduced_kw:
                    cap_kw = reduced_kw
                    limit = Limit.PACK_TEMP
            if not (cap_kw > 0.0 and cap_kw >= min_setpoint_kw):
                plan[bay_id] = _MIN_SETPOINT if cap_kw > 0.0 else _ZERO[limit]
                continue
            plan[bay_id] = _MIN_SETPOINT  # its place in the order of the view; set by the sharing
            at_offer = soc_pct >= offer_pct
            missing_pct = (target_pct if at_offer else offer_pct) - soc_pct
            missing_kwh = missing_pct * pack.rated_kwh * pack.soh_pct
            claims.append((at_offer, missing_kwh, bay.position, bay_id, cap_kw, limit))
    return plan, claims


def _budget(limits: SiteLimits, policy: ChargingPolicy) -> tuple[float, Limit]:
    """Power left for charging in kW, at least 0, and what sets it.

    The meter corrects the reckoning at once instead of steering on the error: with what the chargers draw
    known, measured import − charging is all the rest of the site. Where the chargers' draw is not known,
    import above the limit is taken off. Either way the measurement only narrows. A NaN limit leaves 0 kW, a
    NaN measurement counts as none.
    """
    limit_kw = limits.grid_limit_kw
    cause = Limit.GRID
    if limits.dr_limit_kw is not None and not limits.dr_limit_kw >= limit_kw:
        limit_kw = limits.dr_limit_kw
        cause = Limit.DEMAND_RESPONSE
    base_kw = 0.0 if limits.base_load_kw < 0.0 else limits.base_load_kw
    budget_kw = limit_kw - base_kw + limits.pv_kw + limits.storage_kw
    measured_kw = limits.measured_import_kw
    if measured_kw is not None:
        if limits.charging_kw is not None:
            narrowed_kw = limit_kw - (measured_kw - limits.charging_kw)
        elif measured_kw > limit_kw:
            narrowed_kw = budget_kw - (measured_kw - limit_kw)
        else:
            narrowed_kw = budget_kw
        if narrowed_kw < budget_kw:
            budget_kw = narrowed_kw
            cause = Limit.MEASURED_IMPORT
    if policy.max_power_kw is not None and not policy.max_power_kw >= budget_kw:
        budget_kw = policy.max_power_kw
        cause = Limit.RACK
    return (budget_kw, cause) if budget_kw > 0.0 else (0.0, cause)


def _share_in_order(
    claims: list[Claim], budget_kw: float, cause: Limit, min_setpoint_kw: float, plan: dict[str, Setpoint]
) -> None:
    """Full power to one pack after another until the budget ends."""
    claims.sort()
    left_kw = budget_kw
    for _, _, _, bay_id, cap_kw, limit in claims:
        if cap_kw <= left_kw:
            plan[bay_id] = _at_rating(cap_kw) if limit is _CHARGER else Setpoint(cap_kw, limit)
            left_kw -= cap_kw
        elif left_kw > 0.0 and left_kw >= min_setpoint_kw:
            plan[bay_id] = Setpoint(left_kw, cause)
            left_kw = 0.0
        else:
            plan[bay_id] = _ZERO[cause]


def _share_equally(
    claims: list[Claim], budget_kw: float, cause: Limit, min_setpoint_kw: float, plan: dict[str, Setpoint]
) -> None:
    """The same power to every pack; what one cannot take goes to the others.

    Where the share would be below what chargers run at, the packs furthest from ready get nothing.
    """
    claims.sort()
    if min_setpoint_kw > 0.0 and budget_kw < min_setpoint_kw * len(claims):
        served = int(budget_kw / min_setpoint_kw)
        for claim in claims[served:]:
            plan[claim[3]] = _ZERO[cause]
        claims = claims[:served]
    claims.sort(key=_by_cap)
    left_kw = budget_kw
    for index, (_, _, _, bay_id, cap_kw, limit) in enumerate(claims):
        share_kw = left_kw / (len(claims) - index)
        if cap_kw <= share_kw:
            plan[bay_id] = _at_rating(cap_kw) if limit is _CHARGER else Setpoint(cap_kw, limit)
            left_kw -= cap_kw
        elif share_kw > 0.0:
            plan[bay_id] = Setpoint(share_kw, cause)
            left_kw -= share_kw
        else:
            plan[bay_id] = _ZERO[cause]


def _by_cap(claim: Claim) -> tuple[float, int]:
    return claim[4], claim[2]


def is_dear(tariff: Sequence[TariffSlice], at: datetime) -> bool:
    """Whether a slice of a dear period holds this instant."""
    return any(s.from_at <= at < s.until_at and s.period in DEAR_PERIODS for s in tariff)


def _without_held_back(
    view: StationFacts, policy: ChargingPolicy, claims: list[Claim], plan: dict[str, Setpoint]
) -> list[Claim]:
    """The claims of kinds short of their reserve; the others are set to 0 kW."""
    spare: dict[str, int] = {}
    kind_of: dict[str, str] = {}
    for bay in view.bays:
        if bay.pack is not None:
            kind = bay.pack.kind
            kind_of[bay.bay_id] = kind
            spare[kind] = spare.get(kind, 0) + (bay.pack.state is _READY and is_offerable(bay, policy))
    for entry in view.queue:
        for kind in entry.accepts:
            if kind in spare:
                spare[kind] -= entry.packs_needed
    kept: list[Claim] = []
    for claim in claims:
        if spare[kind_of[claim[3]]] >= policy.reserve_ready:
            plan[claim[3]] = _TARIFF
        else:
            kept.append(claim)
    return kept
