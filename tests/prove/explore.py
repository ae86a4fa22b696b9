"""`python -m tests.prove.explore`: the exhaustive walk over recipes, packs and orders, on all processors.

python -m tests.prove.explore                            # one mishap a run: what CI does
python -m tests.prove.explore --mishaps 2 --recipe chassis --packs 1 --order out_in
python -m tests.prove.explore --mishaps 2 --only estop,gripper_jam
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swap.station.sequence.recipe import SwapOrder, carried_orders, load_recipe, shipped_recipes
from tests.prove.explore_kinds import KIND, KIND_PAIRS
from tests.prove.explore_mishaps import mishaps
from tests.prove.explore_walk import LIVES, Report, Walk


@dataclass(frozen=True, slots=True)
class Task:
    """One walk."""

    recipe: str
    packs: int
    order: SwapOrder
    mishaps_most: int = 1
    only: tuple[str, ...] | None = None
    deaths: bool = True
    lives: tuple[str, ...] | None = None
    """What befalls the process and its database; None for everything but a second controller."""
    title: str = ""
    """What is walked, where mishaps do not tell it."""

    @property
    def whole(self) -> bool:
        """Everything that is known is walked, one at a time."""
        return self.mishaps_most == 1 and self.only is None and self.lives is None

    @property
    def name(self) -> str:
        """As it is printed."""
        what = "" if self.only is None else f", {self.title or ' and '.join(self.only) or 'no fault'}"
        most = "" if self.mishaps_most == 1 else f", up to {self.mishaps_most} mishaps"
        return f"{self.recipe}, {self.packs} pack(s), {self.order}{most}{what}"


def all_tables() -> list[tuple[str, int, SwapOrder]]:
    """Every shipped recipe with one and two packs in every order it carries."""
    return [
        (name, packs, order)
        for name in shipped_recipes()
        for packs in (1, 2)
        for order in carried_orders(load_recipe(name))
    ]


PAIRS: tuple[tuple[str, SwapOrder, tuple[str, str]], ...] = (
    ("top_lift", "out_in", ("estop", "gripper_jam")),
    ("side_grab", "in_out", ("power_cut", "head_slips")),
    ("chassis", "out_in", ("link_down", "estop")),
    ("top_lift", "in_out", ("new_pack_hot", "new_pack_silent")),
    ("side_grab", "out_in", ("plc_forgets", "lost_ack")),
    ("chassis", "in_out", ("manual_undoes", "pack_refused")),
    ("top_lift", "out_in", ("new_pack_hot", "estop")),
    ("side_grab", "out_in", ("new_pack_hot", "link_down")),
    ("chassis", "out_in", ("new_pack_hot", "command_lost")),
    ("top_lift", "in_out", ("new_pack_hot", "tank_not_ready")),
    ("chassis", "in_out", ("new_pack_hot", "curtain")),
    ("side_grab", "in_out", ("new_pack_hot", "person_holds")),
)
"""Two mishaps that are walked together, with deaths of the process between: a trip, the supply, the link, a hot
pack, numbers, people; the last six are of evacuations that go wrong."""


def pair_task(recipe: str, order: SwapOrder, *names: str) -> Task:
    """Two kinds in one run, in either order; both may come twice over."""
    kinds = [KIND[name] for name in names]
    only = tuple(name for kind in kinds for name in kind.mishaps)
    lives = tuple(life for kind in kinds for life in kind.lives)
    return Task(recipe, 1, order, 2, only, lives=lives, title=" + ".join(names))


def rival_tasks() -> list[Task]:
    """Two controllers, on one table a recipe: wherever the first one stands still, the second takes the station."""
    title = "two controllers, lost lease"
    return [Task(recipe, 1, "out_in", 1, (), lives=("rival",), title=title) for recipe in shipped_recipes()]


def gap_tasks() -> list[Task]:
    """A hot pack and a time in which nobody looked, or could command, in either order."""
    title = "new_pack_hot + a gap"
    return [Task("top_lift", 1, "out_in", 2, ("new_pack_hot",), lives=("pause", "stand"), title=title)]


def ci_tasks() -> list[Task]:
    """What every run of the tests walks: each recipe with one pack, one mishap at any moment."""
    return [Task(name, packs, order) for name, packs, order in all_tables() if packs == 1 and order == "out_in"] + [
        *rival_tasks()
    ]


def prove_tasks() -> list[Task]:
    """What `make prove` walks: every recipe, number of packs and order with one mishap at any moment, some with two."""
    tasks = [Task(*table) for table in all_tables()] + rival_tasks() + gap_tasks()
    tasks += [Task(recipe, 1, order, 2, pair, lives=("death",)) for recipe, order, pair in PAIRS]
    for number, names in enumerate(KIND_PAIRS):
        recipe, _, order = all_tables()[number % len(all_tables())]
        tasks.append(pair_task(recipe, order, *names))
    return sorted(tasks, key=lambda task: -task.packs)  # the longest first


def chosen_tasks() -> list[Task]:
    """All of them where the environment says PROVE=all, as `make prove` does."""
    return prove_tasks() if os.environ.get("PROVE") == "all" else ci_tasks()


def walk(task: Task) -> tuple[Task, Report, float]:
    """Walk one task; also the processor time it took."""
    begin_s = time.process_time()
    table = load_recipe(task.recipe).table(task.packs, task.order)
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        report = Walk(
            table, mishaps_most=task.mishaps_most, names=task.only, deaths=task.deaths, lives=task.lives
        ).run()
    finally:
        logging.disable(before)
    return task, report, time.process_time() - begin_s


def walk_all(tasks: Sequence[Task], processes: int | None = None) -> Iterable[tuple[Task, Report, float]]:
    """Walk many, as they end."""
    context = multiprocessing.get_context("fork")
    with context.Pool(processes or os.cpu_count() or 1) as pool:
        yield from pool.imap_unordered(walk, tasks)


def line(task: Task, report: Report, took_s: float) -> str:
    """One line of the table that is printed."""
    ends = ", ".join(f"{name} {report.ends[name]}" for name in ("completed", "returned", "cancelled"))
    return (
        f"explored {task.name:<62} {report.states:>8,} states {report.transitions:>9,} transitions  "
        f"{report.commands:>7,} commands  {report.evacuations:>5,} evacuations  ends: {ends}  {took_s:5.1f} s"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mishaps", type=int, default=1, help="most mishaps in one run (default 1)")
    parser.add_argument("--recipe", choices=shipped_recipes(), help="only this recipe")
    parser.add_argument("--packs", type=int, choices=(1, 2), help="only this number of packs")
    parser.add_argument("--order", choices=("out_in", "in_out"), help="only this order")
    parser.add_argument("--only", help=f"only these mishaps, with commas between: {', '.join(mishaps(1))}")
    parser.add_argument("--lives", help=f"only these, with commas between: {', '.join(LIVES)}")
    parser.add_argument("--no-deaths", action="store_true", help="the process is never killed")
    parser.add_argument("--processes", type=int, help="processes (default: one for each processor)")
    return parser.parse_args()


def main() -> int:
    """Walk what the arguments say; 1 where a rule does not hold."""
    given = _arguments()
    only = None if given.only is None else tuple(given.only.split(","))
    lives = None if given.lives is None else tuple(given.lives.split(","))
    tasks = [
        Task(recipe, packs, order, given.mishaps, only, not given.no_deaths, lives)
        for recipe, packs, order in all_tables()
        if given.recipe in (None, recipe) and given.packs in (None, packs) and given.order in (None, order)
    ]
    wrong = 0
    for task, report, took_s in walk_all(tasks, given.processes):
        print(line(task, report, took_s), flush=True)
        for text in report.violations:
            wrong += 1
            print(f"  {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
