"""What everybody waits for, in every state that is reached: never nothing, and never one sentence for two causes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from api.reasons import wait_words
from api.words import load_language
from scheduler.waiting import Wait, Waiting
from swap.reading.records import WaitRecord
from swap.station.reasons.lane import lane_waiting
from tests.prove.explore_station import LANE, Violation

if TYPE_CHECKING:
    from tests.prove.explore_world import World

NAMELESS = frozenset(
    {
        Wait.NO_TRUCK,
        Wait.CELL_FROZEN,
        Wait.CELL_LOCAL,
        Wait.HOMING,
        Wait.RESETTING,
        Wait.RESULT_KEPT,
        Wait.COMMAND_UNHEARD,
        Wait.MOTION,
    }
)
"""Causes that need no name beside them; every other one says of what."""


def cause_of(world: World) -> Waiting | None:
    """What the lane waits for where the controller has looked and has nothing to do; None where nobody has looked.

    Raises:
        Violation: it says nothing, or that something is about to happen that does not.
    """
    if LANE not in world.controller.context.cells:
        return None
    waiting = lane_waiting(world.lane, None)
    if waiting.cause is Wait.COMMAND_DUE:
        raise Violation("the lane says that its next command is about to leave, and none leaves")
    if waiting.cause not in NAMELESS and (not waiting.names or "" in waiting.names):
        raise Violation(f"the lane waits without a reason: {waiting.cause.value}")
    return waiting


def sentences(
    waits: Iterable[tuple[Wait, tuple[str, ...]]], language: str
) -> dict[str, set[tuple[Wait, tuple[str, ...]]]]:
    """Sentence in a language, to the causes that it is said for."""
    words = load_language(language, ZoneInfo("Asia/Shanghai"))
    said: dict[str, set[tuple[Wait, tuple[str, ...]]]] = {}
    for cause, names in waits:
        record = WaitRecord(cause=cause, names=names, number=1, until_at=None)
        said.setdefault(wait_words(record, words), set()).add((cause, names))
    return said
