"""The mode of the station, which says what swaps and packs may do."""

from __future__ import annotations

from enum import StrEnum

from scheduler.types import StationMode
from swap.messages.answers import ANSWERS
from swap.state_table import IllegalTransition, Row, StateTable


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
STATION_MODE: StateTable[StationMode, ModeTrigger] = StateTable(
    "station mode",
    (_M.HELD, *(mode for mode in _M if mode is not _M.HELD)),
    (
        Row(ModeTrigger.HOLD, (_M.AUTOMATIC, _M.CLOSED, _M.MANUAL, _M.HELD), _M.HELD),
        Row(ModeTrigger.CONFIRM, (_M.HELD,), _M.AUTOMATIC),
        Row(ModeTrigger.MANUAL, (_M.AUTOMATIC, _M.HELD, _M.CLOSED), _M.MANUAL),
        Row(ModeTrigger.CLOSE, (_M.AUTOMATIC,), _M.CLOSED),
        Row(ModeTrigger.OPEN, (_M.CLOSED,), _M.AUTOMATIC),
        Row(ModeTrigger.THERMAL, (_M.AUTOMATIC, _M.CLOSED, _M.MANUAL, _M.HELD), _M.THERMAL),
        Row(ModeTrigger.THERMAL_OVER, (_M.THERMAL,), _M.HELD),
        Row(ModeTrigger.FIRE, tuple(_M), _M.FIRE),
        Row(ModeTrigger.FIRE_OVER, (_M.FIRE,), _M.HELD),
    ),
)


class IllegalMode(Exception):
    """A trigger that the mode's table does not allow."""

    def __init__(self, trigger: ModeTrigger, mode: StationMode) -> None:
        self.trigger, self.mode = trigger, mode
        super().__init__(ANSWERS["mode_forbids"].format(mode_trigger=trigger, mode=mode))


def next_mode(mode: StationMode, trigger: ModeTrigger) -> StationMode:
    """The mode after a trigger.

    Raises:
        IllegalMode: the table has no such transition.
    """
    try:
        return STATION_MODE.next(mode, trigger)
    except IllegalTransition as error:
        raise IllegalMode(trigger, mode) from error
