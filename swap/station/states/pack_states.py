"""The second machine: a pack in its bay, driven by moves and readings, read by the charging plan.

A `transitions` table used as a pure function, like the session's.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Any

from transitions import Machine, MachineError

from scheduler.types import ChargingPolicy, PackState
from swap.messages.answers import ANSWERS


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

PACK_TRANSITIONS: tuple[tuple[PackTrigger, tuple[PackState, ...], PackState], ...] = (
    (PackTrigger.STORE, (_P.PICKED,), _P.RECEIVED),
    (PackTrigger.PICK, (_P.ON_VEHICLE, *_IN_BAY, _P.QUARANTINED), _P.PICKED),
    (PackTrigger.INSTALL, (_P.PICKED,), _P.ON_VEHICLE),
    (PackTrigger.IDENTIFY, (_P.RECEIVED,), _P.IDENTIFIED),
    (PackTrigger.COOL, _RESTING, _P.COOLING),
    (PackTrigger.WARM, _RESTING, _P.WARMING),
    (PackTrigger.WAIT, _RESTING, _P.WAITING),
    (PackTrigger.CHARGE, (_P.WAITING,), _P.CHARGING),
    (PackTrigger.READY, (_P.IDENTIFIED, _P.WAITING, _P.CHARGING), _P.READY),
    (PackTrigger.RESERVE, (_P.READY,), _P.RESERVED),
    (PackTrigger.UNRESERVE, (_P.RESERVED,), _P.READY),
    (PackTrigger.BLOCK, _IN_BAY, _P.BLOCKED),
    (PackTrigger.RECOVER, (_P.BLOCKED,), _P.RECEIVED),
    (PackTrigger.QUARANTINE, (*_IN_BAY, _P.PICKED, _P.QUARANTINED), _P.QUARANTINED),
    (PackTrigger.RELEASE, (_P.QUARANTINED, _P.EVACUATED), _P.RECEIVED),
    (PackTrigger.EVACUATE, (*_IN_BAY, _P.QUARANTINED, _P.PICKED), _P.EVACUATED),
)


class IllegalPackStep(Exception):
    """A trigger that the pack's table does not allow in its state."""

    def __init__(self, trigger: PackTrigger, state: PackState) -> None:
        self.trigger, self.state = trigger, state
        super().__init__(ANSWERS["pack_forbids"].format(pack_trigger=trigger, pack_state=state))


class _Model:
    state: PackState = PackState.RECEIVED


def _rows() -> list[Any]:
    return [[t.value, [s.value for s in sources], target.value] for t, sources, target in PACK_TRANSITIONS]


@cache
def pack_machine() -> Machine:
    """The machine of all packs; it keeps no state of its own."""
    return Machine(
        model=None,
        states=[s.value for s in PackState],
        transitions=_rows(),
        initial=PackState.RECEIVED.value,
        auto_transitions=False,
        queued=False,
    )


@cache
def next_pack_state(state: PackState, trigger: PackTrigger) -> PackState:
    """The state after a trigger.

    Raises:
        IllegalPackStep: the table has no such transition.
    """
    machine = pack_machine()
    model = _Model()
    machine.add_model(model, initial=state.value)
    try:
        machine.events[trigger.value].trigger(model)
        return PackState(model.state)
    except (MachineError, KeyError) as error:
        raise IllegalPackStep(trigger, state) from error
    finally:
        machine.remove_model(model)


def may(state: PackState, trigger: PackTrigger) -> bool:
    """Whether the table allows a trigger."""
    try:
        next_pack_state(state, trigger)
    except IllegalPackStep:
        return False
    return True


HYSTERESIS_C = 2.0
"""A pack that was too warm or too cold charges again only this far inside the limit."""


def trigger_for_reading(
    state: PackState,
    *,
    soc_pct: float,
    temp_max_c: float,
    temp_min_c: float,
    charging: bool,
    policy: ChargingPolicy,
) -> PackTrigger | None:
    """What a fresh reading of an identified pack without alarm does to its state; None when nothing.

    Too cold or too warm comes first: such a pack is neither charged nor offered.
    """
    if state not in _RESTING:
        return None
    margin_c = HYSTERESIS_C if state in (PackState.COOLING, PackState.WARMING) else 0.0
    if temp_max_c > policy.charge_temp_max_c - margin_c:
        return PackTrigger.COOL if state is not PackState.COOLING else None
    if temp_min_c < policy.charge_temp_min_c + margin_c:
        return PackTrigger.WARM if state is not PackState.WARMING else None
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
