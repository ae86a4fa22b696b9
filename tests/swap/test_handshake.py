"""A command in flight: every echo a cell can show of a number, and when the number is sent again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from robotics.port import AckCode, CellStatus, ResultCode
from swap.station.sequence.handshake import RESEND_S, Progress, due_again, overdue, watch

SEQ, OTHER = 42, 41
NOW = datetime(2026, 9, 1, 3, 0, tzinfo=UTC)


def cell(
    ack: int = 0,
    code: AckCode = AckCode.NONE,
    active: int = 0,
    done: int = 0,
    result: ResultCode = ResultCode.NONE,
) -> CellStatus:
    return CellStatus("L1", NOW, NOW, ack_seq=ack, ack_code=code, active_seq=active, done_seq=done, result=result)


@pytest.mark.parametrize(
    ("shown", "echo"),
    [
        # it never came, or the cell lost its numbers
        (cell(), Progress.UNHEARD),
        (cell(OTHER, AckCode.ACCEPTED, 0, OTHER), Progress.UNHEARD),
        (cell(OTHER, AckCode.ACCEPTED, OTHER), Progress.UNHEARD),
        (cell(OTHER, AckCode.REFUSED_MODE), Progress.UNHEARD),
        # taken
        (cell(SEQ, AckCode.ACCEPTED), Progress.RUNNING),
        (cell(SEQ, AckCode.NONE), Progress.RUNNING),
        (cell(SEQ, AckCode.ACCEPTED, SEQ), Progress.RUNNING),
        (cell(0, AckCode.NONE, SEQ), Progress.RUNNING),
        (cell(SEQ, AckCode.ACCEPTED, SEQ, OTHER, ResultCode.DONE), Progress.RUNNING),
        # it moves: a refusal of the same number is an answer to somebody else, a result is an older one
        (cell(SEQ, AckCode.REFUSED_OWNER, SEQ), Progress.RUNNING),
        (cell(SEQ, AckCode.ACCEPTED, SEQ, SEQ, ResultCode.ABORTED), Progress.RUNNING),
        # ended
        (cell(SEQ, AckCode.ACCEPTED, 0, SEQ, ResultCode.DONE), Progress.DONE),
        (cell(SEQ, AckCode.ACCEPTED, 0, SEQ, ResultCode.NONE), Progress.DONE),
        (cell(SEQ, AckCode.ACCEPTED, 0, SEQ, ResultCode.FAILED), Progress.FAILED),
        (cell(SEQ, AckCode.ACCEPTED, 0, SEQ, ResultCode.ABORTED), Progress.ABORTED),
        (cell(OTHER, AckCode.BUSY, OTHER, SEQ, ResultCode.DONE), Progress.DONE),
        # not taken
        *((cell(SEQ, code), Progress.REFUSED) for code in AckCode if code not in (AckCode.NONE, AckCode.ACCEPTED)),
        (cell(SEQ, AckCode.BUSY, OTHER, OTHER, ResultCode.DONE), Progress.REFUSED),
    ],
)
def test_what_a_cell_shows_of_a_number(shown: CellStatus, echo: Progress) -> None:
    assert watch(shown, SEQ) is echo


@pytest.mark.parametrize("kept", [ResultCode.DONE, ResultCode.FAILED, ResultCode.ABORTED])
def test_a_result_that_was_acknowledged_is_read_from_what_the_cell_keeps(kept: ResultCode) -> None:
    shown = replace(cell(SEQ, AckCode.ACCEPTED, 0, SEQ), done_result=kept)
    assert watch(shown, SEQ) is watch(cell(SEQ, AckCode.ACCEPTED, 0, SEQ, kept), SEQ)


def test_every_result_has_its_meaning() -> None:
    echoes = {result: watch(cell(SEQ, AckCode.ACCEPTED, 0, SEQ, result), SEQ) for result in ResultCode}
    assert set(echoes) == set(ResultCode)
    assert Progress.UNHEARD not in echoes.values()


@pytest.mark.parametrize("speed", [1.0, 20.0])
def test_a_number_is_sent_again_a_second_after_its_last_sending_and_not_at_every_look(speed: float) -> None:
    """Ten looks a second for five seconds at a cell that never answers: five sendings, not fifty."""
    sent_at, sendings = NOW, 0
    for look in range(1, 51):
        now = NOW + timedelta(seconds=look * 0.1 * speed)
        if due_again(Progress.UNHEARD, sent_at, now, speed=speed):
            sent_at, sendings = now, sendings + 1
    assert sendings == pytest.approx(5.0 / RESEND_S, abs=1)


@pytest.mark.parametrize("echo", [echo for echo in Progress if echo is not Progress.UNHEARD])
def test_what_was_heard_is_never_sent_again(echo: Progress) -> None:
    assert not due_again(echo, NOW - timedelta(hours=1), NOW, speed=1.0)
    assert not due_again(echo, None, NOW, speed=1.0)


def test_a_number_that_this_process_has_not_sent_is_due() -> None:
    assert due_again(Progress.UNHEARD, None, NOW, speed=1.0)


def test_a_deadline_is_over_after_it_and_not_at_it() -> None:
    assert not overdue(None, NOW)
    assert not overdue(NOW, NOW)
    assert overdue(NOW, NOW + timedelta(milliseconds=1))
