"""The stage of the procedure for one hot pack (standards.md 6.3)."""

from __future__ import annotations

from enum import StrEnum

from swap.state_table import Row, StateTable


class Stage(StrEnum):
    """How far the procedure has come."""

    DETECTED = "detected"
    CHARGING_STOPPED = "charging_stopped"
    EVACUATION_STARTED = "evacuation_started"
    EVACUATED = "evacuated"
    ISOLATED = "isolated"
    """Left where it is: evacuation is not allowed or failed, people and the fire system act."""


class StageTrigger(StrEnum):
    """What leads from one stage to another."""

    STOP = "stop"
    """The charger gives nothing, or nothing is known of it."""
    BEGIN = "begin"
    """A cell is asked to carry the pack to the tank."""
    ARRIVE = "arrive"
    """The tank's sensor says that the pack lies in it."""
    ISOLATE = "isolate"


_S = Stage
THERMAL_STAGE: StateTable[Stage, StageTrigger] = StateTable(
    "thermal stage",
    _S,
    (
        Row(StageTrigger.STOP, (_S.DETECTED,), _S.CHARGING_STOPPED),
        Row(StageTrigger.BEGIN, (_S.CHARGING_STOPPED,), _S.EVACUATION_STARTED),
        Row(StageTrigger.ARRIVE, (_S.EVACUATION_STARTED,), _S.EVACUATED),
        Row(StageTrigger.ISOLATE, (_S.DETECTED, _S.CHARGING_STOPPED, _S.EVACUATION_STARTED), _S.ISOLATED),
    ),
)
