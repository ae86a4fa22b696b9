"""Which packs a truck gets and which bays its own packs go to.

Everything not known counts as unfit: a pack without a fresh reading is not handed out, a bay whose sensor is
silent is not set down in. The same rows always give the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor
from typing import Final

from scheduler.rows import INFINITE, BayRow, KindRow, PackRow, TruckRow, is_possible
from scheduler.types import BayRole, ChargingPolicy, PackState
from scheduler.waiting import Wait

SOC_TOLERANCE_PCT: Final = 1e-6
"""Rounding allowed when a computed state of charge is compared with a limit."""

HIGHEST_SAFE_ALARM: Final = 1
"""Level 1 of GB/T 32960 does not affect driving; from level 2 on a pack is neither offered nor charged."""

_STEPS_PCT: Final = 100_000.0
"""Steps in which packs are ranked, times the 100 % of the state of health."""

NOTHING: Final[set[str]] = set()
"""Nothing is barred or kept; never changed."""

_RACK: Final = BayRole.RACK
_QUARANTINE: Final = BayRole.QUARANTINE
_READY: Final = PackState.READY
_RESERVED: Final = PackState.RESERVED
_BLOCKED: Final = PackState.BLOCKED
_GONE: Final = (PackState.QUARANTINED, PackState.EVACUATED, PackState.ON_VEHICLE, PackState.PICKED)


def is_offerable(bay: BayRow, policy: ChargingPolicy) -> bool:
    """Whether the pack of this bay may be handed out at all; kind, energy and lane are the truck's side."""
    pack = bay.pack
    return (
        pack is not None
        and pack.state is _READY
        and bay.reserved_by is None
        and bay.role is _RACK
        and pack.soc_pct + SOC_TOLERANCE_PCT >= policy.offer_soc_pct
        and _is_safe(bay, pack, policy)
    )


def _is_safe(bay: BayRow, pack: PackRow, policy: ChargingPolicy) -> bool:
    """Nothing but state of charge and promises speaks against handing the pack out."""
    return (
        not bay.blocked
        and bay.occupied is not False
        and 0.0 <= pack.reading_age_s <= policy.max_reading_age_s
        and pack.alarm_level <= HIGHEST_SAFE_ALARM
        and is_possible(pack)
        and pack.temp_max_c < policy.charge_temp_max_c
        and pack.temp_min_c >= policy.offer_temp_min_c
    )


def count_spare(
    kinds: Iterable[KindRow], bays: Iterable[BayRow], queue: Iterable[TruckRow], policy: ChargingPolicy
) -> None:
    """Set of each kind how many packs may be handed out beyond what these trucks ask for."""
    by_name = {kind.name: kind for kind in kinds}
    for kind in by_name.values():
        kind.spare = 0
    for bay in bays:
        if bay.pack is not None and is_offerable(bay, policy):
            bay.pack.kind.spare += 1
    for truck in queue:
        for name in truck.accepts:
            if name in by_name:
                by_name[name].spare -= truck.packs_needed


def energy_of(pack: PackRow) -> float:
    """Energy in the pack in kWh: as read, else from the state of charge; NaN when neither is known."""
    if pack.energy_kwh == pack.energy_kwh:
        return pack.energy_kwh
    return pack.soc_pct * pack.rated_kwh * pack.soh_pct / 10_000.0


def ranked_kwh(pack: PackRow, energy_kwh: float) -> float:
    """Energy in kWh to a tenth of a per cent of the pack: a BMS knows no more, and equally full packs are equal."""
    step_kwh = pack.rated_kwh * pack.soh_pct / _STEPS_PCT
    return floor(energy_kwh / step_kwh + 0.5) * step_kwh


def is_offered_to(
    bay: BayRow,
    truck: TruckRow,
    policy: ChargingPolicy,
    lane_id: str | None,
    barred: set[str] = NOTHING,
    kept: set[str] = NOTHING,
) -> bool:
    """Whether this truck may get the pack of this bay.

    Args:
        lane_id: lane whose robot must reach it; None asks for the whole station.
        barred: kinds that it does not get.
        kept: bays whose packs it does not get.
    """
    pack = bay.pack
    return (
        pack is not None
        and pack.state is _READY
        and pack.kind.name in truck.accepts
        and pack.kind.name not in barred
        and (lane_id is None or not bay.lanes or lane_id in bay.lanes)
        and bay.bay_id not in kept
        and is_offerable(bay, policy)
        and truck.min_energy_kwh <= energy_of(pack)
    )


def pick_packs(
    bays: list[BayRow],
    truck: TruckRow,
    policy: ChargingPolicy,
    lane_id: str | None = None,
    barred: set[str] = NOTHING,
    kept: set[str] = NOTHING,
) -> list[BayRow] | None:
    """The bays whose packs the truck gets, in seat order; None when there are not enough of one kind.

    A single pack is the fullest, then that of the first position. Several on one vehicle are connected in parallel,
    so they are of one kind and as equal in state of charge as the stock allows (to a whole per cent), then as full
    as possible. The arguments are those of `is_offered_to`.
    """
    if truck.packs_needed == 1:
        best: BayRow | None = None
        best_kwh = 0.0
        for bay in bays:
            pack = bay.pack
            if pack is None:
                continue
            energy_kwh = pack.energy_kwh
            if energy_kwh != energy_kwh:
                energy_kwh = energy_of(pack)
            full_kwh_pct = pack.rated_kwh * pack.soh_pct
            if not (0.0 <= energy_kwh < INFINITE and 0.0 < full_kwh_pct < INFINITE):
                continue  # not known: `is_offered_to` would refuse it, and there is nothing to rank it by
            if energy_kwh + full_kwh_pct / _STEPS_PCT < best_kwh:
                continue  # ranked half a step above its energy at most
            ranked = ranked_kwh(pack, energy_kwh)
            # Ranked first: in a large stock few packs are better than the best so far, and the rest need no look.
            if (best is None or ranked > best_kwh or (ranked == best_kwh and _is_before(bay, best))) and is_offered_to(
                bay, truck, policy, lane_id, barred, kept
            ):
                best, best_kwh = bay, ranked
        return None if best is None else [best]
    found = [bay for bay in bays if is_offered_to(bay, truck, policy, lane_id, barred, kept)]
    return _most_alike(found, truck.packs_needed)


def _is_before(bay: BayRow, other: BayRow) -> bool:
    return bay.position < other.position or (bay.position == other.position and bay.bay_id < other.bay_id)


def _most_alike(found: list[BayRow], packs_needed: int) -> list[BayRow] | None:
    """Of several packs those of one kind that are nearest to each other in state of charge."""
    if packs_needed < 1 or len(found) < packs_needed:
        return None
    by_kind: dict[str, list[tuple[float, float, int, BayRow]]] = {}
    found.sort(key=_fullest_first)
    for bay in found:
        pack = bay.pack
        if pack is not None:
            ranked = ranked_kwh(pack, energy_of(pack))
            by_kind.setdefault(pack.kind.name, []).append((pack.soc_pct, ranked, bay.position, bay))
    best_key: tuple[int, float, list[int]] | None = None
    chosen: list[BayRow] = []
    for group in by_kind.values():
        group.sort(key=_by_soc_then_position)
        for first in range(len(group) - packs_needed + 1):
            window = group[first : first + packs_needed]
            spread_pct = window[0][0] - window[-1][0]
            key = (round(spread_pct), -sum(offer[1] for offer in window), [offer[2] for offer in window])
            if best_key is None or key < best_key:
                best_key, chosen = key, [offer[3] for offer in window]
    return None if best_key is None else chosen


def _fullest_first(bay: BayRow) -> tuple[float, int, str]:
    pack = bay.pack
    return (0.0 if pack is None else -ranked_kwh(pack, energy_of(pack))), bay.position, bay.bay_id


def _by_soc_then_position(offer: tuple[float, float, int, BayRow]) -> tuple[float, int]:
    return -round(offer[0], 1), offer[2]


def why_no_pack(bays: Sequence[BayRow], truck: TruckRow, policy: ChargingPolicy, lane_id: str | None = None) -> Wait:
    """Why `pick_packs` found too few packs: the nearest thing that would have to change.

    In this order, for the accepted kind that comes closest: charged packs that are unsafe, packs still
    charging, packs promised to others, packs that are neither charged nor safe, none.
    """
    # Per kind: offerable, charged but unsafe, safe but not charged, promised, neither.
    counts: dict[str, list[int]] = {}
    for bay in bays:
        pack = bay.pack
        if (
            pack is None
            or bay.role is not _RACK
            or pack.kind.name not in truck.accepts
            or pack.state in _GONE
            or (lane_id is not None and bay.lanes and lane_id not in bay.lanes)
            or not _can_ever_hold(pack, truck.min_energy_kwh, policy)
        ):
            continue
        count = counts.setdefault(pack.kind.name, [0, 0, 0, 0, 0])
        charged = _is_charged(pack, truck.min_energy_kwh, policy)
        if bay.reserved_by is not None or pack.state is _RESERVED:
            count[3] += 1
        elif pack.state is not _BLOCKED and _is_safe(bay, pack, policy):
            count[0 if charged and pack.state is _READY else 2] += 1
        else:
            count[1 if charged else 4] += 1
    needed = truck.packs_needed
    for reason, columns in _REASONS:
        for count in counts.values():
            if count[0] + sum(count[column] for column in columns) >= needed:
                return reason
    return Wait.NONE_OF_KIND


_REASONS: tuple[tuple[Wait, tuple[int, ...]], ...] = (
    (Wait.UNSAFE, (1,)),
    (Wait.NOT_CHARGED, (1, 2)),
    (Wait.ALL_PROMISED, (1, 2, 3)),
    (Wait.UNSAFE, (1, 2, 3, 4)),
)


def _is_charged(pack: PackRow, min_energy_kwh: float, policy: ChargingPolicy) -> bool:
    """Full enough as far as anyone knows; a ready pack whose reading is lost still counts as charged."""
    if pack.soc_pct != pack.soc_pct:
        return pack.state is _READY
    return pack.soc_pct + SOC_TOLERANCE_PCT >= policy.offer_soc_pct and energy_of(pack) >= min_energy_kwh


def _can_ever_hold(pack: PackRow, min_energy_kwh: float, policy: ChargingPolicy) -> bool:
    return pack.rated_kwh * pack.soh_pct * policy.target_soc_pct / 10_000.0 >= min_energy_kwh


def pick_empty_bays(
    bays: list[BayRow],
    seats: list[frozenset[str]],
    lane_id: str | None = None,
    kept: set[str] = NOTHING,
    held_empty_bays: int = 0,
) -> list[BayRow] | None:
    """One bay for each pack that comes off; None when there are not enough.

    A bay with the strongest working charger comes first, then one that few kinds fit, then by position.

    Args:
        seats: of each seat the kinds that its pack may be of; the bay must fit all of them.
        kept: bays that are not set down in.
        held_empty_bays: so many are left over: promised to swaps under way, without a name.
    """
    empty: list[BayRow] = []
    for bay in bays:
        if (
            bay.pack is None
            and bay.occupied is False
            and bay.role is _RACK
            and not bay.blocked
            and bay.reserved_by is None
            and (lane_id is None or not bay.lanes or lane_id in bay.lanes)
            and bay.bay_id not in kept
        ):
            empty.append(bay)
    if len(empty) - held_empty_bays < len(seats):
        return None
    found = _assign(empty, seats)
    if found is None and len(seats) > 1:
        # The first seat may have taken the only bay that fits the last one.
        found = _assign(empty, seats[::-1])
        if found is not None:
            found.reverse()
    return found


def pick_quarantine_bay(bays: list[BayRow], kind: str, lane_id: str) -> BayRow | None:
    """The first free bay for packs in doubt that the lane's robot reaches and a pack of this kind fits; None when there
    is none."""
    best: BayRow | None = None
    for bay in bays:
        if (
            bay.pack is None
            and bay.occupied is False
            and bay.role is _QUARANTINE
            and not bay.blocked
            and bay.reserved_by is None
            and (not bay.lanes or lane_id in bay.lanes)
            and (not bay.kinds or kind in bay.kinds)
            and (best is None or _is_before(bay, best))
        ):
            best = bay
    return best


def _assign(empty: list[BayRow], seats: list[frozenset[str]]) -> list[BayRow] | None:
    taken: list[BayRow] = []
    for wanted in seats:
        best: BayRow | None = None
        for bay in empty:
            if fits(bay, wanted) and bay not in taken and (best is None or _is_better_place(bay, best)):
                best = bay
        if best is None:
            return None
        taken.append(best)
    return taken


def fits(bay: BayRow, kinds: frozenset[str]) -> bool:
    """Whether packs of all these kinds fit the bay."""
    return not bay.kinds or kinds <= bay.kinds


def _is_better_place(bay: BayRow, other: BayRow) -> bool:
    power_kw = bay.max_charge_kw if bay.charger_ok and bay.max_charge_kw > 0.0 else 0.0
    other_kw = other.max_charge_kw if other.charger_ok and other.max_charge_kw > 0.0 else 0.0
    if power_kw != other_kw:
        return power_kw > other_kw
    kinds, other_kinds = len(bay.kinds), len(other.kinds)
    if kinds != other_kinds:
        # No kinds means that every kind fits: such a bay is kept for last.
        return other_kinds == 0 or 0 < kinds < other_kinds
    return _is_before(bay, other)
