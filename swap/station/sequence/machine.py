"""The states of a swap session: a state table made from a recipe."""

from __future__ import annotations

from enum import StrEnum
from functools import cache

from swap.state_table import Row, StateTable
from swap.station.sequence.recipe import CANCELLED, COMPLETED, QUEUED, RETURNED, StepTable


class Trigger(StrEnum):
    """What moves a session from one state to another."""

    DISPATCH = "dispatch"
    DONE = "done"
    UNWIND = "unwind"
    CANCEL = "cancel"
    """The truck did not come, or left, before anything moved."""
    TOW_OUT = "tow_out"
    """People have taken the vehicle out by hand, without an exchange."""
    TOW_OUT_EXCHANGED = "tow_out_exchanged"
    """The same, with a new pack in a seat."""
    PARTIAL = "partial"
    """The way back ends, but another seat of the vehicle was exchanged before."""


BY_HAND = frozenset({Trigger.TOW_OUT, Trigger.TOW_OUT_EXCHANGED})
"""Possible in every state once a vehicle is in the lane; left out of diagrams."""


@cache
def session_states(table: StepTable) -> StateTable[str, Trigger]:
    """The states of a step table."""
    rows: list[Row[str, Trigger]] = [
        Row(Trigger.DISPATCH, (QUEUED,), table.first_state),
        Row(Trigger.CANCEL, (QUEUED, table.first_state), CANCELLED),
    ]
    in_lane = tuple(row.state for row in table.rows if row.state != table.first_state)
    rows.append(Row(Trigger.TOW_OUT, in_lane, CANCELLED))
    rows.append(Row(Trigger.TOW_OUT_EXCHANGED, in_lane, COMPLETED))
    for row in table.rows:
        here = (row.state,)
        rows.append(Row(Trigger.DONE, here, row.next_state))
        if row.next_state == RETURNED and table.pack_count > 1:
            rows.append(Row(Trigger.PARTIAL, here, COMPLETED))
        if row.unwind_state is not None:
            rows.append(Row(Trigger.UNWIND, here, row.unwind_state))
    states = (QUEUED, *(row.state for row in table.rows), COMPLETED, RETURNED, CANCELLED)
    name = f"swap by {table.recipe}, {table.pack_count} pack(s), {table.swap_order}"
    return StateTable(name, states, rows)
