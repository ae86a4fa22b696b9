"""What the controller logs of a lane names the lane and its swap, in whichever module the line is written."""

from __future__ import annotations

import logging

import pytest
from structlog.contextvars import get_contextvars

from robotics.port import LinkLost, RobotCommand
from swap.messages.events import SwapStepStarted
from tests.support.swap.station import Bench


class Bound(logging.Handler):
    """Keeps what is bound when a line is written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.name, record.getMessage(), get_contextvars()))


async def test_a_line_of_a_lane_names_its_swap(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    swap_id = bench.arrive("V1", 30)
    robot = bench.robots["L1"]

    async def lost(command: RobotCommand, epoch: int | None = None) -> None:
        raise LinkLost("the request was lost")

    monkeypatch.setattr(robot, "send", lost)
    kept = Bound()
    logger = logging.getLogger("swap.station.lane.runner")
    logger.addHandler(kept)
    try:
        await bench.run_until(SwapStepStarted.kind, step_s=None)
        await bench.run(2, step_s=None)
    finally:
        logger.removeHandler(kept)
    assert kept.lines
    name, message, bound = kept.lines[0]
    assert (name, message) == ("swap.station.lane.runner", "lane L1: the request was lost")
    assert bound == {"lane": "L1", "swap": swap_id}
    assert get_contextvars() == {}
