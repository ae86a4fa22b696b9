"""Which packs a truck gets and which bays its own packs go to.

Everything not known counts as unfit: a pack without a fresh reading is not handed out, a bay whose sensor is
silent is not set down in. The same view always gives the same answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import floor, inf

from scheduler.types import (
    BayRole,
    ChargingPolicy,
    NoPackReason,
    PackChoice,
    PackState,
)
from tests.support.scheduler.former.facts import BayFacts, PackFacts, StationFacts, TruckFacts


@dataclass(frozen=True, slots=True)
class NoPack:
    """Nothing can be handed out now, and why."""

    reason: NoPackReason


SOC_TOLERANCE_PCT = 1e-6
"""Rounding allowed when a computed state of charge is compared with a limit."""

HIGHEST_SAFE_ALARM = 1
"""Level 1 of GB/T 32960 does not affect driving; from level 2 on a pack is neither offered nor charged."""

_RACK = BayRole.RACK
_READY = PackState.READY
_GONE = (PackState.QUARANTINED, PackState.EVACUATED, PackState.ON_VEHICLE, PackState.PICKED)

Offer = tuple[float, int, str, PackFacts]
"""One pack that may be handed out: minus its ranked energy, position, bay id, pack; sorts fullest first."""

_EmptyBay = tuple[float, bool, int, int, str, frozenset[str]]
"""Minus the charger's power in kW, whether every kind fits, number of kinds, position, bay id, kinds."""


def is_offerable(bay: BayFacts, policy: ChargingPolicy) -> bool:
    """Whether the pack of this bay may be handed out at all; kind, energy and lane are the truck's side."""
    pack = bay.pack
    return (
        pack is not None
        and pack.state is _READY
        and bay.reserved_by is None
        and bay.role is _RACK
        and pack.soc_pct is not None
        and pack.soc_pct + SOC_TOLERANCE_PCT >= policy.offer_soc_pct
        and _is_safe(bay, pack, policy)
    )


def _is_safe(bay: BayFacts, pack: PackFacts, policy: ChargingPolicy) -> bool:
    """Nothing but state of charge and promises speaks against handing the pack out. NaN is never safe."""
    age_s = pack.reading_age_s
    hot_c = pack.temp_max_c
    cold_c = pack.temp_min_c
    return (
        not bay.blocked
        and bay.occupied is not False
        and age_s is not None
        and age_s <= policy.max_reading_age_s
        and pack.alarm_level <= HIGHEST_SAFE_ALARM
        and hot_c is not None
        and hot_c < policy.charge_temp_max_c
        and cold_c is not None
        and cold_c >= policy.offer_temp_min_c
    )


def energy_of(pack: PackFacts) -> float:
    """Energy in the pack in kWh: as read, else from the state of charge; 0 when neither is known."""
    if pack.energy_kwh is not None:
        return pack.energy_kwh
    if pack.soc_pct is None:
        return 0.0
    return pack.soc_pct * pack.rated_kwh * pack.soh_pct / 10_000.0


def ranked_kwh(pack: PackFacts, energy_kwh: float) -> float:
    """Energy in kWh to a tenth of a per cent of the pack: a BMS knows no more, and equally full packs are equal."""
    step_kwh = pack.rated_kwh * pack.soh_pct / 100_000.0
    return floor(energy_kwh / step_kwh + 0.5) * step_kwh


def offers(
    view: StationFacts,
    policy: ChargingPolicy,
    accepts: Collection[str],
    min_energy_kwh: float = 0.0,
    lane_id: str | None = None,
    taken: Collection[str] = (),
) -> list[Offer]:
    """The packs that may go onto a truck, fullest first, then by position; without the bays in `taken`."""
    found: list[Offer] = []
    for bay in view.bays:
        pack = bay.pack
        if (
            pack is None
            or pack.state is not _READY
            or pack.kind not in accepts
            or (lane_id is not None and bay.lanes and lane_id not in bay.lanes)
            or (taken and bay.bay_id in taken)
            or not is_offerable(bay, policy)
        ):
            continue
        energy_kwh = pack.energy_kwh
        if energy_kwh is None:
            energy_kwh = energy_of(pack)
        if min_energy_kwh <= energy_kwh < inf:
            found.append((-ranked_kwh(pack, energy_kwh), bay.position, bay.bay_id, pack))
    if len(found) > 1:
        found.sort()  # bay ids are unique, so packs are never compared
    return found


def pick(found: Sequence[Offer], packs_needed: int) -> PackChoice | None:
    """The packs to take out of `offers()`; None when there are not enough of one kind.

    A single pack is the fullest. Several on one vehicle are connected in parallel, so they are of one kind
    and as equal in state of charge as the stock allows (to a whole per cent), then as full as possible.
    """
    if len(found) < packs_needed or packs_needed < 1:
        return None
    if packs_needed == 1:
        best = found[0]
        return PackChoice((best[2],), (best[3].pack_id,))
    by_kind: dict[str, list[Offer]] = {}
    for offer in found:
        by_kind.setdefault(offer[3].kind, []).append(offer)
    best_key: tuple[int, float, list[int]] | None = None
    chosen: list[Offer] = []
    for group in by_kind.values():
        group.sort(key=_by_soc_then_position)
        for first in range(len(group) - packs_needed + 1):
            window = group[first : first + packs_needed]
            spread_pct = (window[0][3].soc_pct or 0.0) - (window[-1][3].soc_pct or 0.0)
            key = (round(spread_pct), sum(o[0] for o in window), [o[1] for o in window])
            if best_key is None or key < best_key:
                best_key, chosen = key, window
    if best_key is None:
        return None
    return PackChoice(tuple(o[2] for o in chosen), tuple(o[3].pack_id for o in chosen))


def _by_soc_then_position(offer: Offer) -> tuple[float, int]:
    return -round(offer[3].soc_pct or 0.0, 1), offer[1]


def choose_packs(
    view: StationFacts, entry: TruckFacts, policy: ChargingPolicy, lane_id: str | None = None
) -> PackChoice | NoPack:
    """The packs to hand out to one truck, or the reason why there are none.

    Args:
        lane_id: lane whose robot must reach the packs; None asks for the whole station.
    """
    found = offers(view, policy, entry.accepts, entry.min_energy_kwh, lane_id)
    return pick(found, entry.packs_needed) or NoPack(why_no_pack(view, entry, policy, lane_id))


def why_no_pack(
    view: StationFacts, entry: TruckFacts, policy: ChargingPolicy, lane_id: str | None = None
) -> NoPackReason:
    """Why `choose_packs` found too few packs: the nearest thing that would have to change.

    In this order, for the accepted kind that comes closest: charged packs that are unsafe, packs still
    charging, packs promised to others, packs that are neither charged nor safe, none.
    """
    # Per kind: offerable, charged but unsafe, safe but not charged, promised, neither.
    counts: dict[str, list[int]] = {}
    for bay in view.bays:
        pack = bay.pack
        if (
            pack is None
            or bay.role is not _RACK
            or pack.kind not in entry.accepts
            or pack.state in _GONE
            or (lane_id is not None and bay.lanes and lane_id not in bay.lanes)
            or not _can_ever_hold(pack, entry.min_energy_kwh, policy)
        ):
            continue
        count = counts.setdefault(pack.kind, [0, 0, 0, 0, 0])
        charged = _is_charged(pack, entry.min_energy_kwh, policy)
        if bay.reserved_by is not None or pack.state is PackState.RESERVED:
            count[3] += 1
        elif pack.state is not PackState.BLOCKED and _is_safe(bay, pack, policy):
            count[0 if charged and pack.state is _READY else 2] += 1
        else:
            count[1 if charged else 4] += 1
    needed = entry.packs_needed
    for reason, columns in _REASONS:
        for count in counts.values():
            if count[0] + sum(count[column] for column in columns) >= needed:
                return reason
    return NoPackReason.NONE_OF_KIND


_REASONS: tuple[tuple[NoPackReason, tuple[int, ...]], ...] = (
    (NoPackReason.UNSAFE, (1,)),
    (NoPackReason.NOT_CHARGED, (1, 2)),
    (NoPackReason.ALL_PROMISED, (1, 2, 3)),
    (NoPackReason.UNSAFE, (1, 2, 3, 4)),
)


def _is_charged(pack: PackFacts, min_energy_kwh: float, policy: ChargingPolicy) -> bool:
    """Full enough as far as anyone knows; a ready pack whose reading is lost still counts as charged."""
    if pack.soc_pct is None:
        return pack.state is _READY
    return pack.soc_pct + SOC_TOLERANCE_PCT >= policy.offer_soc_pct and energy_of(pack) >= min_energy_kwh


def _can_ever_hold(pack: PackFacts, min_energy_kwh: float, policy: ChargingPolicy) -> bool:
    return pack.rated_kwh * pack.soh_pct * policy.target_soc_pct / 10_000.0 >= min_energy_kwh


def choose_empty_bays(
    view: StationFacts, kinds: tuple[str, ...], lane_id: str | None = None, exclude: Collection[str] = ()
) -> tuple[str, ...] | NoPack:
    """One bay for each pack that comes off the vehicle, in the order of `kinds`.

    A bay with the strongest working charger comes first, then one that few kinds fit, then by position.
    Bays promised without a name (`held_empty_bays`) are left over.
    """
    found = find_empty_bays(view, tuple((kind,) for kind in kinds), lane_id, exclude)
    return NoPack(NoPackReason.NO_EMPTY_BAY) if found is None else found


def find_empty_bays(
    view: StationFacts,
    seats: Sequence[Collection[str]],
    lane_id: str | None = None,
    exclude: Collection[str] = (),
) -> tuple[str, ...] | None:
    """One bay for each seat that fits every kind given for the seat; None when there are not enough."""
    empty: list[_EmptyBay] = []
    for bay in view.bays:
        if (
            bay.pack is not None
            or bay.occupied is not False
            or bay.role is not _RACK
            or bay.blocked
            or bay.reserved_by is not None
            or (lane_id is not None and bay.lanes and lane_id not in bay.lanes)
            or (exclude and bay.bay_id in exclude)
        ):
            continue
        kinds = bay.kinds
        # An empty set fits every kind, so such a bay is kept for last.
        power_kw = bay.max_charge_kw if bay.charger_ok else 0.0
        empty.append((-power_kw, not kinds, len(kinds), bay.position, bay.bay_id, kinds))
    if len(empty) - view.held_empty_bays < len(seats):
        return None
    if len(empty) > 1:
        empty.sort()
    found = _assign(empty, seats)
    if found is None and len(seats) > 1:
        # The first seat may have taken the only bay that fits the last one.
        found = _assign(empty, tuple(reversed(seats)))
        if found is not None:
            found.reverse()
    return None if found is None else tuple(found)


def _assign(empty: Sequence[_EmptyBay], seats: Sequence[Collection[str]]) -> list[str] | None:
    taken: list[str] = []
    for wanted in seats:
        for _, _, _, _, bay_id, kinds in empty:
            if bay_id not in taken and (not kinds or kinds.issuperset(wanted)):
                taken.append(bay_id)
                break
        else:
            return None
    return taken
