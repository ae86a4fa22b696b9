"""What the exploration keeps in memory is what the live controller keeps in its database.

The same swap, with the same faults and the same decisions, runs once in the world of the exploration and once with
the live controller on SQLite; journal, packs and stored session must be the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from swap.messages.events import SwapHeld, SwapResumed, SwapStepDone, SwapStepFailed
from swap.station.records import load_session
from swap.station.sequence.recipe import TERMINAL, StepTable, load_recipe
from swap.station.sequence.session import Phase
from swap.tables import Swap
from tests.prove.explore_layout import explored_station
from tests.prove.explore_mishaps import happen, mishaps
from tests.prove.explore_rules import Rules
from tests.prove.explore_station import LANE, VEHICLE
from tests.prove.explore_world import World
from tests.support.swap.station import Bench

Journal = list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Trial:
    """A fault that comes while a state's command runs, and what a person decides once the swap is held."""

    name: str
    state: str = ""
    fault: str = ""
    arguments: tuple[tuple[str, Any], ...] = ()
    clear: bool = True
    resets: bool = False
    confirms: bool = False
    decides: str = ""


TRIALS = [
    Trial("without faults"),
    Trial("a pick that misses, tried again", "lifting_old", "pick_misses", (("times", 1),), clear=False),
    Trial("a jam that a person ends", "lifting_old", "gripper_jam", (("times", 1),), resets=True, decides="continue"),
    Trial("a jam and the way back", "fetching_new", "gripper_jam", (("times", 1),), resets=True, decides="continue"),
    Trial("an e-stop", "storing_old", "estop", confirms=True),
    Trial("a light curtain", "storing_old", "curtain", decides="continue"),
]


def _world(table: StepTable, trial: Trial) -> tuple[Journal, dict[str, str], str]:
    world = World(table, Rules(), 5)
    journal: Journal = []
    world.controller.journal = journal
    happened = False
    for _ in range(2000):
        session = world.controller.stored.session
        if world.ended:
            break
        if trial.fault and not happened and session.state == trial.state and world.cell.active is not None:
            happened = True
            world.plant.inject(trial.fault, LANE, **dict(trial.arguments))
        if world.cycle():
            continue
        if session.phase is Phase.HELD:
            if trial.clear and happened:
                world.plant.clear(trial.fault, LANE)
                world.cycle()
            if trial.resets:
                world.person("reset", lane_id=LANE)
                while world.cycle() or world.lane.watch.busy:
                    world.advance()
            if trial.confirms:
                world.person("confirm")
            if trial.decides:
                world.person("decide", swap_id="swap-1", decision=trial.decides)
            continue
        assert world.advance(), "the world stands still"
    return journal, dict(world.controller.stored.places), world.controller.stored.session.state


_EVENTS: dict[str, Callable[[Any], tuple[str, str, str]]] = {
    SwapStepDone.kind: lambda d: ("done", d["state"], d["next"]),
    SwapStepFailed.kind: lambda d: ("failed", d["state"], d["fault"]),
    SwapHeld.kind: lambda d: ("held", d["state"], d["reason"]),
    SwapResumed.kind: lambda d: ("resumed", d["state"], d["next"]),
}


async def _live(folder: Path, table: StepTable, trial: Trial) -> tuple[Journal, dict[str, str], str]:
    bench = Bench(folder, explored_station(table))
    await bench.start()
    await bench.run(20)
    swap_id = bench.arrive(VEHICLE, 30)
    happened = False
    for _ in range(2000):
        await bench.tick(bench.hop_s(5.0))  # a reading of the rack is good for 10 s
        swap = bench.swap(swap_id)
        if swap.state in TERMINAL:
            break
        _same_session(bench)
        cell = bench.plant.cell(LANE)
        if trial.fault and not happened and swap.state == trial.state and cell.active is not None:
            happened = True
            bench.plant.inject(trial.fault, LANE, **dict(trial.arguments))
        if swap.phase == Phase.HELD.value and happened:
            if trial.clear:
                bench.plant.clear(trial.fault, LANE)
                await bench.tick(1.0)
            if trial.resets:
                bench.ask("reset", lane_id=LANE)
                await bench.run(6, 1.0)
            if trial.confirms:
                bench.ask("confirm")
            if trial.decides:
                bench.ask("decide", swap_id=swap_id, decision=trial.decides)
            await bench.tick(1.0)
    journal = [_EVENTS[e.kind](e.data) for e in bench.events() if e.kind in _EVENTS]
    result = journal, bench.recorded_places(), bench.swap(swap_id).state
    bench.close()
    return result


def _same_session(bench: Bench) -> None:
    """What would be read back is what the lane holds, less what the exploration loses too."""
    session = bench.controller.lanes[LANE].session
    with bench.store.reading_station(bench.config.station.id) as db:
        swap = db.exec(select(Swap).where(Swap.open_lane_id == f"{bench.config.station.id}:{LANE}")).first()
        if session is None or swap is None:
            assert session is None
            assert swap is None
            return
        assert load_session(db, swap) == replace(session, resumed=True, refused=(), checked_at=None)


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
async def test_world_and_live_controller_tell_the_same(tmp_path: Path, trial: Trial) -> None:
    table = load_recipe("top_lift").table(1, "out_in")
    world, world_places, world_end = _world(table, trial)
    live, live_places, live_end = await _live(tmp_path, table, trial)
    assert live == world
    assert live_places == world_places
    assert live_end == world_end
    assert world_end in TERMINAL


@pytest.mark.parametrize(("recipe", "packs", "order"), [("side_grab", 2, "in_out"), ("chassis", 2, "out_in")])
async def test_two_packs_of_other_recipes_tell_the_same(tmp_path: Path, recipe: str, packs: int, order: str) -> None:
    """Two packs of 171 kWh on one truck."""
    table = load_recipe(recipe).table(packs, "in_out" if order == "in_out" else "out_in")
    world, world_places, _ = _world(table, TRIALS[0])
    live, live_places, _ = await _live(tmp_path, table, TRIALS[0])
    assert live == world
    assert live_places == world_places
    assert [state for kind, state, _ in live if kind == "done"] == [row.state for row in table.forward]


def test_every_mishap_can_happen_and_most_can_be_over() -> None:
    world = World(load_recipe("top_lift").table(1, "out_in"), Rules(), 1000)
    while world.cell.gripped is None:
        if not world.cycle():
            world.advance()
    start = world.snapshot()
    for name, item in mishaps(1).items():
        world.restore(start)
        if item.when(world):
            happen(world, item)
            assert world.env.mishaps_left == start.env.mishaps_left - 1, name
            assert (name in world.env.faults) is (item.over is not None)
