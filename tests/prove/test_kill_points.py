"""The controller process is killed at every step of a swap, and between command and answer.

Each time the station must come up held and wait for a named person; in the end the swap is over or waits by name,
the audit is clean, no command number has moved anything twice, and no pack is lost.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from swap.station.sequence.recipe import load_recipe
from tests.prove.kill_points import KillPoint, Moment, chains, kill_points, way_back_points
from tests.prove.kill_trial import Outcome, Trial
from tests.support.swap.databases import migrated_sqlite

TABLE = load_recipe("top_lift").table(1, "out_in")
KILLS = 6
"""Kills in one swap; each is followed by a restart and a confirmation."""
AT_ONCE = 3 * (os.cpu_count() or 2)
"""Stations at a time: a trial mostly waits."""
TURNING = KillPoint("placing_new", Moment.SENT)
"""Where the person chooses the way back: the charged pack is in the gripper, the spent one in its bay."""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """An empty database of the newest migration."""
    path = tmp_path / "template.db"
    migrated_sqlite(path)
    return path


async def prove(trials: Sequence[Trial]) -> list[Outcome]:
    """Run trials, some at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(trial: Trial) -> Outcome:
        async with places:
            return await trial.run()

    return list(await asyncio.gather(*(one(trial) for trial in trials)))


def report(title: str, outcomes: Sequence[Outcome], took_s: float) -> str:
    """What was proved, with its counts. AssertionError with every rule that did not hold."""
    points = [point for outcome in outcomes for point in outcome.points]
    wrong = [f"{' | '.join(map(str, o.points))}: {text}" for o in outcomes for text in o.wrong]
    assert not wrong, "\n".join(wrong)
    ended = Counter(outcome.ended.split(":")[0] for outcome in outcomes)
    waits = Counter(wait.split("{")[0].strip() for outcome in outcomes for wait in outcome.waits)
    lines = [f"{title}: {len(points)} kill points in {len(outcomes)} swaps, {took_s:.0f} s"]
    lines += [f"  {count:3d} × {moment.value}" for moment, count in Counter(p.moment for p in points).items()]
    lines.append("  swaps: " + ", ".join(f"{count} {text}" for text, count in ended.most_common()))
    lines.append(f"  waits for a decision of a person on the way: {sum(waits.values())} {dict(waits) or ''}")
    return "\n".join(lines)


def test_the_points_come_from_the_table() -> None:
    points = kill_points(TABLE)
    assert {p.state for p in points} == {"queued", *(row.state for row in TABLE.forward)}
    commands = [row for row in TABLE.forward if row.command is not None]
    assert len(points) == 6 * len(commands) + 2 * (len(TABLE.forward) - len(commands)) + 2
    in_swaps = [point for chain in chains(points, KILLS) for point in chain]
    assert sorted(map(str, in_swaps)) == sorted(map(str, points))
    assert all(len({p.state for p in chain}) == len(chain) for chain in chains(points, KILLS))


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_killed_at_every_step_a_swap_completes_or_waits_by_name(
    tmp_path: Path, template: Path, proved: Callable[[str], None]
) -> None:
    began_s = time.monotonic()
    swaps = chains(kill_points(TABLE), KILLS)
    outcomes = await prove([Trial(points, tmp_path / f"{n:03d}", template) for n, points in enumerate(swaps)])
    proved(report("killed at every step", outcomes, time.monotonic() - began_s))
    assert all(o.ended == "completed" or o.ended.startswith("waits in") for o in outcomes)


@pytest.mark.system
@pytest.mark.timeout(900)
async def test_a_controller_that_goes_on_by_itself_is_found_out(tmp_path: Path, template: Path) -> None:
    points = (KillPoint("unlocking", Moment.DONE),)
    outcome = await Trial(points, tmp_path / "flawed", template, flawed=True).run()
    assert [text for text in outcome.wrong if "not held" in text]
    assert [text for text in outcome.wrong if "before a person confirmed" in text]


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_killed_at_every_step_of_the_way_back_a_truck_keeps_its_pack(
    tmp_path: Path, template: Path, proved: Callable[[str], None]
) -> None:
    began_s = time.monotonic()
    swaps = [(TURNING, *points) for points in chains(way_back_points(TABLE, TURNING.state), KILLS)]
    trials = [Trial(points, tmp_path / f"{n:03d}", template, way_back=True) for n, points in enumerate(swaps)]
    outcomes = await prove(trials)
    proved(report("killed on the way back", outcomes, time.monotonic() - began_s))
    # Where the killed command had put the charged pack on the truck, there is no way back to choose any more.
    assert all(o.ended in ("returned", "completed") or o.ended.startswith("waits in") for o in outcomes)
