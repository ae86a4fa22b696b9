"""The third machine: the mode of the station, which says what the other two may do."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Any

from transitions import Machine, MachineError

from scheduler.types import StationMode
from swap.messages.answers import ANSWERS


class ModeTrigger(StrEnum):
    """What changes the station's mode."""

    HOLD = "hold"
    """A trip, a lost link, a restart, or a person."""
    CONFIRM = "confirm"
    """A named person has looked and confirms."""
    MANUAL = "manual"
    CLOSE = "close"
    OPEN = "open"
    THERMAL = "thermal"
    THERMAL_OVER = "thermal_over"
    FIRE = "fire"
    FIRE_OVER = "fire_over"


_M = StationMode
MODE_TRANSITIONS: tuple[tuple[ModeTrigger, tuple[StationMode, ...], StationMode], ...] = (
    (ModeTrigger.HOLD, (_M.AUTOMATIC, _M.CLOSED, _M.MANUAL, _M.HELD), _M.HELD),
    (ModeTrigger.CONFIRM, (_M.HELD,), _M.AUTOMATIC),
    (ModeTrigger.MANUAL, (_M.AUTOMATIC, _M.HELD, _M.CLOSED), _M.MANUAL),
    (ModeTrigger.CLOSE, (_M.AUTOMATIC,), _M.CLOSED),
    (ModeTrigger.OPEN, (_M.CLOSED,), _M.AUTOMATIC),
    (ModeTrigger.THERMAL, (_M.AUTOMATIC, _M.CLOSED, _M.MANUAL, _M.HELD), _M.THERMAL),
    (ModeTrigger.THERMAL_OVER, (_M.THERMAL,), _M.HELD),
    (ModeTrigger.FIRE, tuple(_M), _M.FIRE),
    (ModeTrigger.FIRE_OVER, (_M.FIRE,), _M.HELD),
)


class IllegalMode(Exception):
    """A trigger that the mode's table does not allow."""

    def __init__(self, trigger: ModeTrigger, mode: StationMode) -> None:
        self.trigger, self.mode = trigger, mode
        super().__init__(ANSWERS["mode_forbids"].format(mode_trigger=trigger, mode=mode))


class _Model:
    state: str = StationMode.HELD.value


def _rows() -> list[Any]:
    return [[t.value, [m.value for m in sources], target.value] for t, sources, target in MODE_TRANSITIONS]


@cache
def mode_machine() -> Machine:
    """The machine of all stations; it keeps no state of its own."""
    return Machine(
        model=None,
        states=[m.value for m in StationMode],
        transitions=_rows(),
        initial=StationMode.HELD.value,
        auto_transitions=False,
        queued=False,
    )


@cache
def next_mode(mode: StationMode, trigger: ModeTrigger) -> StationMode:
    """The mode after a trigger.

    Raises:
        IllegalMode: the table has no such transition.
    """
    machine = mode_machine()
    model = _Model()
    machine.add_model(model, initial=mode.value)
    try:
        machine.events[trigger.value].trigger(model)
        return StationMode(model.state)
    except (MachineError, KeyError) as error:
        raise IllegalMode(trigger, mode) from error
    finally:
        machine.remove_model(model)
