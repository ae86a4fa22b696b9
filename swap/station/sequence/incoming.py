"""The pack that a vehicle brings, judged before a head is opened: where the vehicle tells of it, nothing hot, alarmed,
leaking or unknown comes into the station but, where the station file says so, straight into a quarantine bay."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from robotics.port import VehiclePack
from swap.station.sequence.permissives import Missing, SeatPlan

ALARM_LEVEL = 2
"""From this level of GB/T 32960 on a pack is not taken; as for a charged pack that is handed out."""
NO_QUARANTINE_BAY = "quarantine_bay"
"""Named beside what speaks against a pack that would go into quarantine, where no bay for it is free."""


@dataclass(frozen=True, slots=True)
class QuarantineBay:
    """A free bay for packs in doubt that the lane's robot reaches and the pack fits."""

    key: str
    """Its database key."""
    position: int


def judge_incoming(pack: VehiclePack, expected: str | None, hot_c: float, age_s: float | None) -> list[Missing]:
    """What speaks against taking the pack off; empty when it may be taken. Unknown speaks against it as well.

    Args:
        expected: code on record for the seat; None when there is none.
        hot_c: limit of the pack's hottest cell.
        age_s: age of what the vehicle tells.
    """
    known: dict[str, tuple[str, bool | None]] = {
        "code": ("incoming_code", None if pack.code is None else pack.code == expected),
        "temp_max_c": ("incoming_cool", None if pack.temp_max_c is None else pack.temp_max_c < hot_c),
        "alarm_level": ("incoming_no_alarm", None if pack.alarm_level is None else pack.alarm_level < ALARM_LEVEL),
        "leak": ("incoming_tight", None if pack.leak is None else not pack.leak),
    }
    asked = [known[name] for name in known if name in pack.carried]
    return [Missing(name, value, age_s) for name, value in asked if value is not True]


def goes_to_quarantine(unfit: Sequence[Missing], quarantined_for: Collection[str]) -> bool:
    """Whether a pack is taken off all the same and set down in quarantine: everything that speaks against it is known
    for certain, and the station takes packs like that.

    Args:
        quarantined_for: names of what may speak against a pack that goes into quarantine.
    """
    return bool(unfit) and all(item.value is False and item.name in quarantined_for for item in unfit)


def kept_on(unfit: Sequence[Missing], plan: SeatPlan, quarantined_for: Collection[str]) -> list[Missing]:
    """What keeps the heads of a seat closed, by what speaks against its pack and where that is planned to go."""
    if not goes_to_quarantine(unfit, quarantined_for):
        return list(unfit)
    return [] if plan.quarantine else [*unfit, Missing(NO_QUARANTINE_BAY, False, None)]
