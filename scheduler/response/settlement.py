"""What an event earned and cost, slot by slot: delivered power, energy that counts, money, penalty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from scheduler.response.programme import EventSpan, MeteredSlot, ProgrammeSection

_FEN = Decimal("0.01")
_WATT_HOURS = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class SettledSlot:
    """One slot of the settlement."""

    at: datetime
    hours: float
    """Of the slot within the event."""
    baseline_kw: float
    metered_kw: float | None
    """None: not metered enough, so that nothing counts as delivered."""
    delivered_kw: float
    """Below 0 where the station did the opposite."""
    counted_kwh: Decimal
    money_yuan: Decimal
    short_kwh: Decimal
    """What a short slot lacks to the offer; 0 for one that is not short."""
    penalty_yuan: Decimal


@dataclass(frozen=True, slots=True)
class DrSettlement:
    """An event settled."""

    slots: tuple[SettledSlot, ...]

    @property
    def counted_kwh(self) -> Decimal:
        """Energy that is paid or earns capacity money."""
        return sum((slot.counted_kwh for slot in self.slots), Decimal(0))

    @property
    def money_yuan(self) -> Decimal:
        """Earned, before penalties."""
        return sum((slot.money_yuan for slot in self.slots), Decimal(0))

    @property
    def penalty_yuan(self) -> Decimal:
        """To be paid for shortfall."""
        return sum((slot.penalty_yuan for slot in self.slots), Decimal(0))


def settle(
    programme: ProgrammeSection,
    event: EventSpan,
    offered_kw: float,
    metered: Iterable[MeteredSlot],
    baseline: Sequence[float],
) -> DrSettlement:
    """Each slot: what was delivered against the baseline, what of it counts, what it earns and what it costs.

    A slot below the least share of the offer earns nothing, and what it lacks to the offer is short; above the most
    share nothing more is paid. One that is not metered has delivered nothing. Money is rounded to the fen by slot.

    Args:
        baseline: kW by slot of the event, as from `baseline_kw`.

    Raises:
        ValueError: an offer that is not above 0, or a baseline of another length.
    """
    starts = list(event.slots(programme.slot))
    if not 0 < offered_kw < float("inf"):
        raise ValueError(f"offered_kw is {offered_kw}; it must be above 0 kW and finite")
    if len(baseline) != len(starts):
        raise ValueError(f"the baseline has {len(baseline)} slots, the event {len(starts)}")
    by_slot = {part.at: part for part in metered}
    whole_h = (event.until_at - event.from_at).total_seconds() / 3600
    lines = []
    for at, base_kw in zip(starts, baseline, strict=True):
        part = by_slot.get(at)
        if part is not None and part.covered_share < programme.baseline.least_covered_share:
            part = None
        sign = 1.0 if programme.direction == "shed" else -1.0
        delivered_kw = 0.0 if part is None else sign * (base_kw - part.mean_kw)
        hours = event.hours_in(at, programme.slot)
        # 80 kW of 100 must not be short because 0.8 × 100 has no exact form.
        short = delivered_kw < programme.least_share * offered_kw * (1 - _ROUNDING) - _ROUNDING_KW
        counted_kw = 0.0 if short else max(min(delivered_kw, programme.most_share * offered_kw), 0.0)
        short_kwh = _kwh((offered_kw - max(delivered_kw, 0.0)) * hours) if short else Decimal(0)
        counted_kwh = _kwh(counted_kw * hours)
        if programme.price_yuan_per_kwh is not None:
            money = counted_kwh * programme.price_yuan_per_kwh
        else:
            assert programme.price_yuan_per_kw is not None
            money = Decimal(str(counted_kw * hours / whole_h)) * programme.price_yuan_per_kw
        lines.append(
            SettledSlot(
                at,
                hours,
                base_kw,
                None if part is None else part.mean_kw,
                delivered_kw,
                counted_kwh,
                money.quantize(_FEN, ROUND_HALF_UP),
                short_kwh,
                (short_kwh * programme.penalty_yuan_per_kwh).quantize(_FEN, ROUND_HALF_UP),
            )
        )
    return DrSettlement(tuple(lines))


_ROUNDING, _ROUNDING_KW = 1e-9, 1e-6


def _kwh(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(_WATT_HOURS, ROUND_HALF_UP)
