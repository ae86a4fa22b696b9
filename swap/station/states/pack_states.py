"""A pack in its bay: driven by moves and readings, read by the charging plan."""

from __future__ import annotations

from enum import StrEnum

from scheduler.charging import kept_by_temperature
from scheduler.types import ChargingPolicy, PackState
from swap.messages.answers import ANSWERS
from swap.state_table import IllegalTransition, Row, StateTable


class PackTrigger(StrEnum):
    """What changes the state of a pack."""

    STORE = "store"
    """Set down in a bay."""
    PICK = "pick"
    INSTALL = "install"
    """Set down on a vehicle."""
    IDENTIFY = "identify"
    """The BMS gave the code on record."""
    COOL = "cool"
    WARM = "warm"
    WAIT = "wait"
    CHARGE = "charge"
    READY = "ready"
    RESERVE = "reserve"
    UNRESERVE = "unreserve"
    BLOCK = "block"
    RECOVER = "recover"
    QUARANTINE = "quarantine"
    RELEASE = "release"
    """A person takes it out of quarantine."""
    EVACUATE = "evacuate"


_P = PackState
_IN_BAY = (
    _P.RECEIVED,
    _P.IDENTIFIED,
    _P.COOLING,
    _P.WARMING,
    _P.WAITING,
    _P.CHARGING,
    _P.READY,
    _P.RESERVED,
    _P.BLOCKED,
)
_RESTING = (_P.IDENTIFIED, _P.COOLING, _P.WARMING, _P.WAITING, _P.CHARGING, _P.READY)

PACK_IN_BAY: StateTable[PackState, PackTrigger] = StateTable(
    "pack in its bay",
    _P,
    (
        Row(PackTrigger.STORE, (_P.PICKED,), _P.RECEIVED),
        Row(PackTrigger.PICK, (_P.ON_VEHICLE, *_IN_BAY, _P.QUARANTINED), _P.PICKED),
        Row(PackTrigger.INSTALL, (_P.PICKED,), _P.ON_VEHICLE),
        Row(PackTrigger.IDENTIFY, (_P.RECEIVED,), _P.IDENTIFIED),
        Row(PackTrigger.COOL, _RESTING, _P.COOLING),
        Row(PackTrigger.WARM, _RESTING, _P.WARMING),
        Row(PackTrigger.WAIT, _RESTING, _P.WAITING),
        Row(PackTrigger.CHARGE, (_P.WAITING,), _P.CHARGING),
        Row(PackTrigger.READY, (_P.IDENTIFIED, _P.WAITING, _P.CHARGING), _P.READY),
        Row(PackTrigger.RESERVE, (_P.READY,), _P.RESERVED),
        Row(PackTrigger.UNRESERVE, (_P.RESERVED,), _P.READY),
        Row(PackTrigger.BLOCK, _IN_BAY, _P.BLOCKED),
        Row(PackTrigger.RECOVER, (_P.BLOCKED,), _P.RECEIVED),
        Row(PackTrigger.QUARANTINE, (*_IN_BAY, _P.PICKED, _P.QUARANTINED), _P.QUARANTINED),
        Row(PackTrigger.RELEASE, (_P.QUARANTINED, _P.EVACUATED), _P.RECEIVED),
        Row(PackTrigger.EVACUATE, (*_IN_BAY, _P.QUARANTINED, _P.PICKED), _P.EVACUATED),
    ),
)


class IllegalPackStep(Exception):
    """A trigger that the pack's table does not allow in its state."""

    def __init__(self, trigger: PackTrigger, state: PackState) -> None:
        self.trigger, self.state = trigger, state
        super().__init__(ANSWERS["pack_forbids"].format(pack_trigger=trigger, pack_state=state))


def next_pack_state(state: PackState, trigger: PackTrigger) -> PackState:
    """The state after a trigger.

    Raises:
        IllegalPackStep: the table has no such transition.
    """
    try:
        return PACK_IN_BAY.next(state, trigger)
    except IllegalTransition as error:
        raise IllegalPackStep(trigger, state) from error


def may(state: PackState, trigger: PackTrigger) -> bool:
    """Whether the table allows a trigger."""
    return PACK_IN_BAY.allows(state, trigger)


def trigger_for_reading(
    state: PackState,
    *,
    soc_pct: float,
    temp_max_c: float,
    temp_min_c: float,
    charging: bool,
    policy: ChargingPolicy,
    was_off_limits: bool = False,
) -> PackTrigger | None:
    """What a fresh reading of an identified pack without alarm does to its state; None when nothing.

    Too warm, or too cold for the charge that it needs, comes first.

    Args:
        was_off_limits: until this reading an alarm stood that may have been one of temperature: the pack has to come
            away from the limit as one that cools does, or alarm and charger would go on and off at every look.
    """
    if state not in _RESTING:
        return None
    before = PackState.COOLING if was_off_limits else state
    kept = kept_by_temperature(before, soc_pct, temp_max_c, temp_min_c, policy)
    if kept is not None:
        trigger = PackTrigger.COOL if kept is PackState.COOLING else PackTrigger.WARM
        return trigger if kept is not state else None
    if state is PackState.READY:
        return PackTrigger.WAIT if soc_pct < policy.offer_soc_pct - 2.0 else None
    if soc_pct >= policy.offer_soc_pct:
        return (
            PackTrigger.READY
            if state in (PackState.IDENTIFIED, PackState.WAITING, PackState.CHARGING)
            else PackTrigger.WAIT
        )
    if state is PackState.CHARGING:
        return None if charging else PackTrigger.WAIT
    if state is PackState.WAITING:
        return PackTrigger.CHARGE if charging else None
    return PackTrigger.WAIT
