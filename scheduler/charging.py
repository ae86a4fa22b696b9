"""How much power each bay gets: hard limits first, wishes last, and a later rule may only narrow.

1. **BayRow and pack** (`claim`). A bay charges only with everything known, fresh and inside its limits; otherwise 0 kW.
2. **Site** (`budget`). The grid gives min(grid, demand response) − base load + PV + storage; of that the chargers put
   out `charger_efficiency`, and never more than the rack's own cap. The budget is never negative: a deficit is 0 kW
   for charging, and the base load is never shed. A number of the site that is not known is 0 kW, a meter that says
   nothing usable is no meter.
3. **Wish** (`scheduler.guide`). A kind with packs to spare takes part in no more than the guide allows.
4. **Sharing** of a short budget. "order": packs below the offer level first, the one with the least energy missing
   before the others, so that the stock recovers soonest; ready packs are topped up with what is left. "equal": each
   pack gets the same, what one cannot take goes to the others.

`share_power` works on rows and writes the set-points into them; `plan_charging` is the same for a frozen view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from scheduler.choice import HIGHEST_SAFE_ALARM, SOC_TOLERANCE_PCT, count_spare
from scheduler.config import ChargingSection
from scheduler.guide import EVERY_PACK, Guide, Planner, PriceRule, is_bound, standing
from scheduler.rows import INFINITE, NAN, BayRow, KindRow, is_possible
from scheduler.types import (
    BayRole,
    ChargingPolicy,
    KindLimits,
    Limit,
    PackState,
    Setpoint,
    SiteLimits,
    StationMode,
    StationView,
    TariffSlice,
)
from scheduler.view_rows import rows_of

_RACK: Final = BayRole.RACK
_WAITING: Final = PackState.WAITING
_CHARGING: Final = PackState.CHARGING
_READY: Final = PackState.READY
_COOLING: Final = PackState.COOLING
_WARMING: Final = PackState.WARMING

_ROLE: Final = Limit.ROLE
_NO_PACK: Final = Limit.NO_PACK
_BAY_BLOCKED: Final = Limit.BAY_BLOCKED
_NO_CHARGER: Final = Limit.NO_CHARGER
_CHARGER_FAULT: Final = Limit.CHARGER_FAULT
_PACK_STATE: Final = Limit.PACK_STATE
_SENSOR: Final = Limit.SENSOR
_STALE: Final = Limit.STALE
_UNKNOWN: Final = Limit.UNKNOWN
_ALARM: Final = Limit.ALARM
_TOO_HOT: Final = Limit.TOO_HOT
_TOO_COLD: Final = Limit.TOO_COLD
_TARGET: Final = Limit.TARGET
_CHARGER: Final = Limit.CHARGER
_BMS: Final = Limit.BMS
_PACK: Final = Limit.PACK
_PACK_TEMP: Final = Limit.PACK_TEMP
_MIN_SETPOINT: Final = Limit.MIN_SETPOINT
_TARIFF: Final = Limit.TARIFF

_PCT_PCT: Final = 1e4
"""`BayRow.missing` is of two percentages."""
_ROUNDING_H: Final = 1e-6
_ROUNDING_KW: Final = 1e-6
"""A sum of powers that comes no nearer to its limit than this is below it whatever the order of adding."""


def may_charge(state: PackState) -> bool:
    """Whether packs in this state are charged."""
    return state is _CHARGING or state is _WAITING or state is _READY


HYSTERESIS_C: Final = 2.0
"""A pack that was too warm or too cold to be charged is charged again only this far inside the limit."""


def kept_by_temperature(
    state: PackState, soc_pct: float, temp_max_c: float, temp_min_c: float, policy: ChargingPolicy
) -> PackState | None:
    """COOLING or WARMING where the temperature keeps a pack from being charged, else None.

    Cold is no matter for a pack that may be handed out: `ChargingPolicy.offer_temp_min_c` is its limit.
    """
    margin_c = HYSTERESIS_C if state is _COOLING or state is _WARMING else 0.0
    if temp_max_c > policy.charge_temp_max_c - margin_c:
        return _COOLING
    if temp_min_c < policy.charge_temp_min_c + margin_c and soc_pct < policy.offer_soc_pct - SOC_TOLERANCE_PCT:
        return _WARMING
    return None


def claim(bay: BayRow, policy: ChargingPolicy) -> None:
    """Set the most that the bay may draw, kW, and what limits that: as if it had the site for itself.

    Every number is judged before any is used: NaN, infinite, negative or impossible is `unknown` (an age: `stale`)
    and gives 0 kW.
    """
    pack = bay.pack
    bay.setpoint_kw = 0.0
    if bay.role is not _RACK:
        bay.limited_by = _ROLE
    elif bay.blocked:
        bay.limited_by = _BAY_BLOCKED
    elif pack is None:
        bay.limited_by = _NO_PACK
    elif not may_charge(pack.state):
        bay.limited_by = _PACK_STATE
    elif not 0.0 <= pack.reading_age_s <= policy.max_reading_age_s:
        bay.limited_by = _STALE
    elif pack.alarm_level > HIGHEST_SAFE_ALARM:
        bay.limited_by = _ALARM
    elif not (
        is_possible(pack)
        and 0.0 <= pack.max_charge_kw < INFINITE
        and 0.0 <= pack.kind.max_charge_kw < INFINITE
        and 0.0 <= bay.max_charge_kw < INFINITE
    ):
        bay.limited_by = _UNKNOWN
    elif not (pack.temp_max_c < policy.charge_temp_max_c and pack.temp_max_c < pack.kind.temp_max_c):
        bay.limited_by = _TOO_HOT
    elif not (pack.temp_min_c >= policy.charge_temp_min_c and pack.temp_min_c >= pack.kind.temp_min_c):
        bay.limited_by = _TOO_COLD
    elif bay.occupied is False:
        bay.limited_by = _SENSOR
    elif pack.soc_pct >= policy.target_soc_pct - SOC_TOLERANCE_PCT:
        bay.limited_by = _TARGET
    elif not bay.charger_ok:
        bay.limited_by = _CHARGER_FAULT
    elif not bay.max_charge_kw > 0.0:
        bay.limited_by = _NO_CHARGER
    else:
        most_kw, limit = bay.max_charge_kw, _CHARGER
        rated_kw = pack.kind.max_charge_kw
        if most_kw > rated_kw:
            most_kw, limit = rated_kw, _PACK
        if most_kw > pack.max_charge_kw:
            most_kw, limit = pack.max_charge_kw, _BMS
        if pack.temp_max_c >= policy.reduce_above_c or pack.temp_min_c < policy.reduce_below_c:
            reduced_kw = policy.reduced_share * rated_kw
            if most_kw > reduced_kw:
                most_kw, limit = reduced_kw, _PACK_TEMP
        if most_kw > 0.0 and most_kw >= policy.min_setpoint_kw:
            bay.setpoint_kw = most_kw
        elif most_kw > 0.0:
            limit = _MIN_SETPOINT
        bay.limited_by = limit
        offer_pct = policy.offer_soc_pct - SOC_TOLERANCE_PCT
        bay.at_offer = pack.soc_pct >= offer_pct
        goal_pct = policy.target_soc_pct - SOC_TOLERANCE_PCT if bay.at_offer else offer_pct
        bay.missing = (goal_pct - pack.soc_pct) * pack.rated_kwh * pack.soh_pct


def budget(limits: SiteLimits, policy: ChargingPolicy) -> tuple[float, Limit]:
    """Most that the chargers may put out together in kW, at least 0, and what sets it.

    The meter corrects the reckoning at once instead of steering on the error: with what the chargers give
    known, measured import − charging is all the rest of the site; with what the storage gives now known, that rest
    is seen without it, and what it can give counts. Where the chargers' output is not known,
    import above the limit is taken off. Either way the measurement only narrows. Without a measurement the
    reckoning holds: base load + output ÷ efficiency stays within the limit.
    """
    if not is_known(limits):
        return 0.0, Limit.SITE_UNKNOWN
    limit_kw = limits.grid_limit_kw
    cause = Limit.GRID
    if limits.dr_limit_kw is not None and limits.dr_limit_kw < limit_kw:
        limit_kw = limits.dr_limit_kw
        cause = Limit.DEMAND_RESPONSE
    budget_kw = limit_kw - limits.base_load_kw + limits.pv_kw + limits.storage_kw
    efficiency = limits.charger_efficiency
    measured_kw = NAN if limits.measured_import_kw is None else limits.measured_import_kw
    charging_kw = NAN if limits.charging_kw is None else limits.charging_kw
    if -INFINITE < measured_kw < INFINITE:
        narrowed_kw = budget_kw
        if 0.0 <= charging_kw < INFINITE:
            narrowed_kw = limit_kw - (measured_kw - charging_kw / efficiency)
            storage_now_kw = NAN if limits.storage_now_kw is None else limits.storage_now_kw
            if -INFINITE < storage_now_kw < INFINITE:
                narrowed_kw += limits.storage_kw - storage_now_kw
        elif measured_kw > limit_kw:
            narrowed_kw = budget_kw - (measured_kw - limit_kw)
        if narrowed_kw < budget_kw:
            budget_kw = narrowed_kw
            cause = Limit.MEASURED_IMPORT
    budget_kw *= efficiency
    if policy.max_power_kw is not None and not policy.max_power_kw >= budget_kw:
        budget_kw = policy.max_power_kw
        cause = Limit.RACK
    return (budget_kw, cause) if budget_kw > 0.0 else (0.0, cause)


def is_known(limits: SiteLimits) -> bool:
    """Whether every number of the site that has to be known is one, and such as a site can have.

    What the meter says is not among them: a site may have none.
    """
    dr_limit_kw = limits.dr_limit_kw
    return (
        -INFINITE < limits.grid_limit_kw < INFINITE
        and 0.0 <= limits.base_load_kw < INFINITE
        and -INFINITE < limits.pv_kw < INFINITE
        and -INFINITE < limits.storage_kw < INFINITE
        and 0.0 < limits.charger_efficiency <= 1.0
        and (dr_limit_kw is None or -INFINITE < dr_limit_kw < INFINITE)
    )


_SHORT: Final = frozenset({Limit.GRID, Limit.DEMAND_RESPONSE, Limit.MEASURED_IMPORT, Limit.RACK, Limit.SITE_UNKNOWN})
"""Causes that `budget` gives."""


def is_short(plan: Iterable[Setpoint]) -> bool:
    """Whether the budget was too short for all that a plan's packs could draw."""
    return any(setpoint.limited_by in _SHORT for setpoint in plan)


def share_power(
    bays: list[BayRow], policy: ChargingPolicy, budget_kw: float, cause: Limit, guide: Guide | None = None
) -> bool:
    """Set the power of these bays; the caller knows that no other bay claims any.

    Args:
        guide: the wish that holds now; `Kind.spare` must then be right.

    Returns:
        Whether the budget was too short for all of it.
    """
    line: list[BayRow] = []
    claims_kw, bound_kw = 0.0, 0.0
    kind: KindRow | None = None  # of the bay before; mostly that of the next one too
    bound = False
    for bay in bays:
        claim(bay, policy)
        if bay.setpoint_kw > 0.0:
            line.append(bay)
            claims_kw += bay.setpoint_kw
            if guide is not None and guide.binds and bay.pack is not None:
                if bay.pack.kind is not kind:
                    kind = bay.pack.kind
                    bound = standing(kind, guide) < EVERY_PACK
                if bound:
                    bound_kw += bay.setpoint_kw
    if guide is not None and bound_kw > 0.0 and (bound_kw > guide.most_kw or guide.pack_kw):
        claims_kw = _hold_back(line, policy, guide)
        line = [bay for bay in line if bay.setpoint_kw > 0.0]
    if claims_kw <= budget_kw - _ROUNDING_KW:
        return False
    if policy.sharing == "equal":
        return _share_equally(in_line(line), budget_kw, cause, policy.min_setpoint_kw)
    return _share_in_order(in_line(line), budget_kw, cause, policy.min_setpoint_kw)


def limit_of(bay: BayRow, policy: ChargingPolicy) -> Limit:
    """What `claim` would say limits the bay; the row stays as it is."""
    before = bay.setpoint_kw, bay.limited_by, bay.at_offer, bay.missing
    claim(bay, policy)
    found = bay.limited_by
    bay.setpoint_kw, bay.limited_by, bay.at_offer, bay.missing = before
    return found


def claim_alone(bay: BayRow, policy: ChargingPolicy, guide: Guide | None) -> None:
    """What `share_power` gives a bay where neither the budget nor a guide between nothing and all divides anything."""
    claim(bay, policy)
    if bay.setpoint_kw > 0.0 and guide is not None and bay.pack is not None and is_bound(bay.pack.kind, guide):
        bay.setpoint_kw = 0.0
        bay.limited_by = _TARIFF


def _hold_back(line: list[BayRow], policy: ChargingPolicy, guide: Guide) -> float:
    """Keep the bays whose kind the guide binds to its powers; gives what all claim together then."""
    left_kw, claims_kw = guide.rest_kw, 0.0
    rank: dict[str, int] = {}
    for bay in in_line(line) if left_kw > 0.0 or guide.reach_h else line:
        if bay.pack is not None and not _is_free(bay, bay.pack.kind, guide, rank):
            own = len(guide.pack_kw) > 0 and bay.pack.pack_id in guide.pack_kw
            most_kw = guide.pack_kw[bay.pack.pack_id] if own else left_kw
            if bay.setpoint_kw > most_kw:
                bay.setpoint_kw = most_kw if most_kw > 0.0 and most_kw >= policy.min_setpoint_kw else 0.0
                bay.limited_by = _TARIFF
            if not own:
                left_kw -= bay.setpoint_kw
        claims_kw += bay.setpoint_kw
    return claims_kw


def _is_free(bay: BayRow, kind: KindRow, guide: Guide, rank: dict[str, int]) -> bool:
    """Whether the guide leaves a bay alone; bays come in line, `rank` counts the packs of each kind before it."""
    if len(guide.reach_h) == 0 or kind.name not in guide.reach_h:
        return not is_bound(kind, guide)
    if bay.at_offer:
        return False
    place = rank.get(kind.name, kind.spare)
    rank[kind.name] = place + 1
    return lacks_h(bay) > reach_at(guide, kind.name, place) + _ROUNDING_H


def reach_at(guide: Guide, kind: str, place: int) -> float:
    """How far from ready the pack of a kind at a place may be, hours; places below 0 are the queue's."""
    reach_h = guide.reach_h[kind]
    if place < 0:
        return 0.0
    return reach_h[place] if place < len(reach_h) else INFINITE


def lacks_h(bay: BayRow) -> float:
    """How far a pack below the offer level is from it at the power that it can take now, hours, its taper left out."""
    return bay.missing / _PCT_PCT / bay.setpoint_kw


def goes_first(bay: BayRow, other: BayRow) -> bool:
    """Packs below the offer level before the others, then the least energy missing, then position."""
    if bay.at_offer != other.at_offer:
        return other.at_offer
    if bay.missing != other.missing:
        return bay.missing < other.missing
    if bay.position != other.position:
        return bay.position < other.position
    return bay.bay_id < other.bay_id


def in_line(bays: list[BayRow]) -> list[BayRow]:
    """Bays that `claim` has judged, in the order in which they are served."""
    line: list[BayRow] = []
    for bay in bays:
        low, high = 0, len(line)
        while low < high:
            middle = (low + high) // 2
            if goes_first(bay, line[middle]):
                high = middle
            else:
                low = middle + 1
        line.insert(low, bay)
    return line


def _share_in_order(line: list[BayRow], budget_kw: float, cause: Limit, min_setpoint_kw: float) -> bool:
    """Full power to one pack after another until the budget ends."""
    left_kw = budget_kw
    short = False
    for bay in line:
        if bay.setpoint_kw <= left_kw:
            left_kw -= bay.setpoint_kw
            continue
        short = True
        bay.limited_by = cause
        if left_kw > 0.0 and left_kw >= min_setpoint_kw:
            bay.setpoint_kw = left_kw
            left_kw = 0.0
        else:
            bay.setpoint_kw = 0.0
    return short


def _share_equally(line: list[BayRow], budget_kw: float, cause: Limit, min_setpoint_kw: float) -> bool:
    """The same power to every pack; what one cannot take goes to the others.

    Where the share would be below what chargers run at, the packs furthest from ready get nothing.
    """
    short = False
    if min_setpoint_kw > 0.0 and budget_kw < min_setpoint_kw * len(line):
        served = int(budget_kw / min_setpoint_kw)
        for bay in line[served:]:
            bay.setpoint_kw, bay.limited_by = 0.0, cause
            short = True
        line = line[:served]
    line.sort(key=_by_claim)
    left_kw = budget_kw
    sharers = len(line)
    for bay in line:
        share_kw = left_kw / sharers
        sharers -= 1
        if bay.setpoint_kw > share_kw:
            bay.setpoint_kw, bay.limited_by = max(share_kw, 0.0), cause
            short = True
        left_kw -= bay.setpoint_kw
    return short


def _by_claim(bay: BayRow) -> tuple[float, int]:
    return bay.setpoint_kw, bay.position


def policy_from_section(
    section: ChargingSection, max_reading_age_s: float = 10.0, kinds: Iterable[KindLimits] = ()
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
    view: StationView,
    policy: ChargingPolicy,
    kinds: Mapping[str, KindLimits],
    tariff: Sequence[TariffSlice] = (),
    planner: Planner | None = None,
) -> dict[str, Setpoint]:
    """Power for every bay of the view, with what decided it.

    Args:
        kinds: limits of each kind of pack; a pack of another kind gets 0 kW.
        tariff: slices around `view.at`; without one that holds it, the price rule wishes nothing.
        planner: whose guide is carried out; None: the price rule.
    """
    if view.mode is StationMode.FIRE:
        return {bay.bay_id: Setpoint(0.0, Limit.FIRE) for bay in view.bays}
    rows = rows_of(view, kinds)
    count_spare(rows.kinds.values(), rows.bays, [*rows.queue, *rows.promised], policy)
    budget_kw, cause = budget(view.limits, policy)
    wishes = PriceRule(policy, tuple(rows.kinds)) if planner is None else planner
    guide = wishes.guide_at(view.at, tariff)
    share_power(rows.bays, policy, budget_kw, cause, guide)
    return {bay.bay_id: Setpoint(bay.setpoint_kw, bay.limited_by) for bay in rows.bays}
