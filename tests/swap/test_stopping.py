"""The end of a controller tells what was confirmed, what was not, and what the devices do by themselves."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from api.announce import stop_lines
from api.words import load_language
from swap.messages.events import ControllerStopped, SwapStepStarted
from swap.station.life.status import StopReport
from tests.support.sim.plant import station
from tests.support.swap.station import Bench

EN, ZH = (load_language(name, ZoneInfo("UTC")) for name in ("en", "zh_CN"))
ALONE = "By itself a robot cell lets its motion end and takes no other within 3 s of the last heartbeat; "


@pytest.mark.parametrize(
    ("end", "lines"),
    [
        (StopReport(), ["Stopped: robots at rest, charging at 0 kW."]),
        (
            StopReport(held=("L1",)),
            ["Stopped: robot in lane L1 held, charging at 0 kW.", "The next start waits for a named person."],
        ),
        (
            StopReport(holds_not_confirmed=("L1",), chargers_not_confirmed={"A2": "dead", "A1": "dead"}),
            [
                "Stopped. Not confirmed: hold of the robot in lane L1.",
                "Stopped. Not confirmed: 0 kW in bay A1, A2.",
                ALONE + "a charger ends its set-point within 30 s.",
            ],
        ),
        (
            StopReport(stored=False),
            [
                "Stopped: robots at rest, charging at 0 kW.",
                "The end is not in the journal: the next start waits for a named person.",
            ],
        ),
        (
            StopReport(lost=True),
            ["Stopped: another controller runs the station; cells, chargers and journal are left to it."],
        ),
        (None, ["Stopped. Nothing was confirmed.", ALONE + "a charger ends its set-point within 30 s."]),
    ],
)
def test_the_last_words_are_bound_to_the_result(end: StopReport | None, lines: list[str]) -> None:
    """S16."""
    assert stop_lines(end, station(), EN) == lines
    chinese = stop_lines(end, station(), ZH)
    assert len(chinese) == len(lines)
    assert all(ord(line[0]) > 0x2FFF for line in chinese)


async def test_a_stop_without_a_link_confirms_nothing(bench: Bench) -> None:
    """S16: in the record as on the terminal."""
    bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state="lifting_old")
    bench.robots["L1"].cut = True
    await bench.controller.stop()
    end = bench.controller.board.end
    assert end is not None
    assert replace(end, chargers_not_confirmed={}) == StopReport(holds_not_confirmed=("L1",))
    (stopped,) = [e for e in bench.events() if e.kind == ControllerStopped.kind]
    assert stopped.data["holds_not_confirmed"] == ["L1"]


async def test_a_stop_at_rest_asks_no_cell_to_hold(bench: Bench) -> None:
    await bench.controller.stop()
    assert bench.controller.board.end == StopReport()
    assert not bench.plant.cell("L1").hold
    assert bench.plant.cell("L1").owner == 0


async def test_a_stop_in_a_swap_sees_the_hold(bench: Bench) -> None:
    bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state="lifting_old")
    await bench.controller.stop()
    assert bench.controller.board.end == StopReport(held=("L1",))
    assert bench.plant.cell("L1").hold
