"""Which changes of a swap's state its journal tells of, and whether its recipe has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from swap.messages.events import SwapCancelled, SwapResumed, SwapStepDone, SwapStepFailed
from swap.station.sequence.machine import session_states
from swap.station.sequence.recipe import (
    CANCELLED,
    QUEUED,
    TERMINAL,
    RecipeError,
    carried_orders,
    load_recipe,
)

Legality = Callable[[str | None, int, Sequence[tuple[str, str]]], str | None]
"""(recipe, packs per vehicle, steps as (state, following state)) → what is wrong with them, or None."""
CHANGES = (SwapStepDone, SwapStepFailed, SwapResumed, SwapCancelled)
"""Events that tell of a change of a swap's state."""


def legal_by_recipe(recipe: str | None, pack_count: int, steps: Sequence[tuple[str, str]]) -> str | None:
    """Whether the table of a shipped recipe has every step, in one of the orders it carries.

    A swap that was never dispatched has no recipe; it may only be cancelled.
    """
    if recipe is None:
        wrong = [step for step in steps if step != (QUEUED, CANCELLED)]
        return f"{wrong[0][0]} → {wrong[0][1]} without a recipe" if wrong else None
    try:
        loaded = load_recipe(recipe)
        tables = [loaded.table(pack_count, order) for order in carried_orders(loaded)]
    except RecipeError as error:
        return str(error)
    problem = None
    for table in tables:
        known = {QUEUED, *table.by_state, *TERMINAL}
        wrong = [s for s in steps if not (s[0] in known and session_states(table).leads(*s))]
        if not wrong:
            return None
        problem = f"{wrong[0][0]} → {wrong[0][1]} is no step of {recipe} with {pack_count} pack(s)"
    return problem


def steps_told(
    swap: Any, events: Iterable[tuple[Any, SwapStepDone | SwapStepFailed | SwapResumed | SwapCancelled]]
) -> tuple[list[tuple[str, str]], list[str]]:
    """The changes of state that the journal tells of, and where they do not join."""
    state, steps, broken = QUEUED, [], []
    for row, event in events:
        if isinstance(event, SwapCancelled):
            if state == CANCELLED:
                continue
            source, following = state, CANCELLED
        else:
            source, following = event.state, event.next
            if source == following and not isinstance(event, SwapStepDone):
                continue  # tried again, or gone on
        if state == QUEUED and source != QUEUED:
            steps.append((QUEUED, source))  # the dispatch
            state = source
        if source != state:
            broken.append(f"event {row.seq} starts in {source}, the swap was in {state}")
        steps.append((source, following))
        state = following
    dispatched = swap.dispatched_at is not None
    if state != swap.state and not (state == QUEUED and dispatched):
        broken.append(f"the journal ends in {state}, state is {swap.state}")
    if state == QUEUED and dispatched and swap.state != QUEUED:
        steps.append((QUEUED, swap.state))
    return steps, broken
