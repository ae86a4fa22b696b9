"""A command in flight: how the cell's echo of its number is read, and when the same number is sent again.

A command leaves with a number that is stored before. The cell answers it in `ack_seq`, shows it in `active_seq`
while it moves and in `done_seq` with a result when it has ended, and never moves twice for one number. Whoever has a
command in flight (the swap, a homing, a reset, an evacuation) reads it here, and asks its permissives anew before it
sends it again.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from robotics.port import AckCode, CellStatus, ResultCode

RESEND_S = 1.0
"""Real seconds since the last sending without any echo after which the same number is sent again."""


class Progress(StrEnum):
    """What a cell shows of a number."""

    UNHEARD = "unheard"
    """Nothing: the command never came, is under way, or the cell has lost its numbers."""
    RUNNING = "running"
    """Taken, and not ended."""
    DONE = "done"
    """Ended as asked; the sensors have to agree before anybody believes it."""
    FAILED = "failed"
    ABORTED = "aborted"
    """Withdrawn by the cell: a trip, or a person at it."""
    REFUSED = "refused"
    """Not taken; why is in `ack_code`."""


_ENDED = {
    ResultCode.DONE: Progress.DONE,
    # A result acknowledged before the stored state was taken back to an older one.
    ResultCode.NONE: Progress.DONE,
    ResultCode.FAILED: Progress.FAILED,
    ResultCode.ABORTED: Progress.ABORTED,
}


def watch(cell: CellStatus, seq: int) -> Progress:
    """What a cell shows of a number.

    What moves comes first: an answer to the same number may be meant for another controller's command.
    """
    if cell.active_seq == seq:
        return Progress.RUNNING
    if cell.done_seq == seq:
        # A cell that keeps the result after its acknowledgement is believed before one that has none left.
        kept = cell.done_result if cell.result is ResultCode.NONE and cell.done_result is not None else cell.result
        return _ENDED[kept]
    if cell.ack_seq != seq:
        return Progress.UNHEARD
    return Progress.RUNNING if cell.ack_code in (AckCode.NONE, AckCode.ACCEPTED) else Progress.REFUSED


def due_again(echo: Progress, last_sent_at: datetime | None, now: datetime, *, speed: float) -> bool:
    """Whether the same number may be sent again: unheard, and the last sending is `RESEND_S` ago.

    Args:
        last_sent_at: last sending by this process; None where it has not sent the number.
        speed: station seconds per real second.
    """
    if echo is not Progress.UNHEARD:
        return False
    return last_sent_at is None or (now - last_sent_at).total_seconds() / speed >= RESEND_S


def believed(echo: Progress, last_sent_at: datetime | None, looked_at: datetime | None) -> bool:
    """Whether a look tells what became of a number: one that shows nothing of it must be younger than the sending.

    Args:
        last_sent_at: last sending by this process; None where it has not sent the number.
        looked_at: when the cell was looked at.
    """
    return echo is not Progress.UNHEARD or last_sent_at is None or (looked_at is not None and looked_at > last_sent_at)


def overdue(deadline_at: datetime | None, now: datetime) -> bool:
    """Whether the time for an answer or a result is over."""
    return deadline_at is not None and now > deadline_at
