"""The walk: every state that can be reached, each looked at once, and the way from each to an end."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from robotics.port import CellState
from scheduler.waiting import Wait
from sim.plant.plant import PlantError
from swap.state_table import IllegalTransition
from swap.station.life.database import DatabaseLost
from swap.station.sequence.recipe import TERMINAL, StepTable
from swap.station.sequence.row_facts import MOVING_MODES
from swap.station.sequence.session import Phase
from swap.station.states.pack_states import IllegalPackStep
from tests.prove.explore_mishaps import Mishap, happen, may_end, mishaps, over
from tests.prove.explore_parts import Snapshot
from tests.prove.explore_robot import ControllerDied, TakenOver
from tests.prove.explore_rules import Rules
from tests.prove.explore_station import Violation
from tests.prove.explore_world import World

GO, HELP, MISHAP = 0, 1, 2
"""Kinds of transitions: by itself; a fault goes, a person decides, the process comes back; something goes wrong."""
LIVES = {
    "death": "the process dies",
    "stop": "the process ends in good order",
    "pause": "the process stands still",
    "stand": "nothing can be commanded for a while",
    "late": "the process stands still in a write",
    "rival": "another controller takes the station of a process that stands still",
    "database": "the database is lost",
}
"""What may befall the process and its database, as it is told in a path."""
_WRONG = (Violation, PlantError, IllegalTransition, IllegalPackStep, AssertionError, LookupError)


@dataclass
class Report:
    """What a walk has seen."""

    table: StepTable
    states: int = 0
    transitions: int = 0
    commands: int = 0
    motions: int = 0
    plans: int = 0
    evacuations: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    visited: set[tuple[str, str]] = field(default_factory=set)
    """State of the recipe and phase, with the reason where held."""
    happened: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Mishap, and the state of the recipe it came in: how often."""
    deaths: set[tuple[str, str, int]] = field(default_factory=set)
    """State and phase in which the process was killed, and after how many calls to the cell in that step."""
    complete: bool = True
    said: frozenset[tuple[Wait, tuple[str, ...]]] = frozenset()
    """What a lane has said it waits for."""

    @property
    def name(self) -> str:
        """Which table."""
        return f"{self.table.recipe}, {self.table.pack_count} pack(s), {self.table.swap_order}"


class Walk:
    """One table, a number of mishaps at most; deaths of the process are mishaps too."""

    def __init__(
        self,
        table: StepTable,
        *,
        mishaps_most: int = 1,
        names: Sequence[str] | None = None,
        deaths: bool = True,
        lives: Sequence[str] | None = None,
        fenced: bool = True,
        quarantine: bool = False,
        new_record: bool = False,
        states_most: int = 5_000_000,
        violations_most: int = 5,
        lane_patch: Callable[[Any], None] | None = None,
        extra: Mapping[str, Mishap] | None = None,
        since: str | None = None,
    ) -> None:
        self.rules = Rules()
        self.world = World(
            table, self.rules, mishaps_most, lane_patch, fenced=fenced, quarantine=quarantine, new_record=new_record
        )
        self.known = {**mishaps(table.pack_count), **(extra or {})}
        self.mishaps: list[Mishap] = [self.known[name] for name in (names if names is not None else self.known)]
        self._seen: Any = None
        forward = [row.state for row in table.forward] if since is not None else []
        self._spared = frozenset(forward[: forward.index(since)] if since is not None else ())
        """Rows before the one since which something may go wrong."""
        self.lives = frozenset(lives if lives is not None else set(LIVES) - {"rival"} if deaths else ())
        self.states_most, self.violations_most = states_most, violations_most
        self.report = Report(table)
        self._nodes: dict[int, int] = {}
        self._parent = array("l")
        self._label: list[str] = []
        self._edges: tuple[array[int], array[int], array[int]] = (array("l"), array("l"), array("b"))
        self._ends: set[int] = set()
        self._rests: dict[int, str] = {}
        """States in which nothing happens by itself and that are no named wait."""
        self._open: list[tuple[int, Snapshot]] = []

    def run(self) -> Report:
        """Walk, then look for ways to an end and for rounds."""
        self._add(-1, "dispatched", GO)
        while self._open and len(self.report.violations) < self.violations_most:
            if len(self._nodes) > self.states_most:
                self.report.complete = False
                break
            node, kept = self._open.pop()
            self._expand(node, kept)
        report, rules = self.report, self.rules
        report.states, report.transitions = len(self._nodes), len(self._edges[0])
        report.commands, report.motions, report.plans = rules.commands, rules.motions, rules.plans
        report.evacuations, report.said = rules.evacuations, frozenset(rules.said)
        if not report.violations and report.complete:
            self._look_for_ends()
        return report

    # one state

    def _expand(self, node: int, kept: Snapshot) -> None:
        world, session = self.world, kept.stored.session
        reason = f" {session.hold_reason}" if session.hold_reason else ""
        self.report.visited.add((session.state, f"{session.phase}{reason}"))
        if session.state in TERMINAL:
            self._ends.add(node)
            self.report.ends[session.state] += 1
            return
        before = len(self.report.violations)
        quiet = self._go(node, kept)
        if len(self.report.violations) > before:
            return
        mark = (session.state, session.phase.value)
        for name in kept.env.faults:
            item = self.known[name]
            if item.over is not None and may_end(kept.env, name):
                self._try(node, kept, f"{name} is over", HELP, partial(over, world, item), by_cell=False)
        if kept.env.down:
            self._try(node, kept, "the process comes back", HELP, world.restart)
        elif quiet:
            self._people(node, kept, self._seen)
        if kept.env.rival is not None and not kept.env.down:
            self._try(node, kept, "the stale controller goes on", HELP, world.rival_goes_on)
        if kept.env.mishaps_left <= 0 or session.state in self._spared:
            return
        world.restore(kept)
        possible = [item for item in self.mishaps if item.name not in kept.env.faults and item.when(world)]
        for item in possible:
            if self._try(node, kept, item.name, MISHAP, partial(happen, world, item), by_cell=False):
                self.report.happened[item.name, session.state] += 1
        if not kept.env.down:
            self._end_of_life(node, kept, mark, quiet=quiet)

    def _go(self, node: int, kept: Snapshot) -> bool:
        """What happens by itself; True where the controller has nothing to do at this instant."""
        world = self.world
        quiet = [True]

        def act() -> bool:
            if not world.env.down:
                if world.cycle():
                    quiet[0] = False
                    return True
                self._seen = world.looked()
                self.rules.waits(world)
            return world.advance()

        if not self._try(node, kept, "", GO, act):
            session = kept.stored.session
            if session.phase is not Phase.HELD and not kept.env.down and not self.report.violations:
                self._rests[node] = f"{session.state} {session.phase}, {kept.stored.mode}"
        return quiet[0]

    def _people(self, node: int, kept: Snapshot, seen: Any) -> None:
        """What people may do while nothing happens at once: where the swap or the station waits for them."""
        world, session = self.world, kept.stored.session
        world.restore(kept)
        cell = world.cell
        held = session.phase is Phase.HELD
        at_cell = bool(cell.paused or cell.latched or not cell.power_confirmed)
        asked: list[tuple[str, str, dict[str, Any]]] = []
        if held or kept.stored.mode not in MOVING_MODES:
            asked.append(("a person confirms the station", "confirm", {}))
        if held:
            first = session.state == self.report.table.first_state
            for decision in ("continue", "unwind", *(("cancel",) if first else ())):
                arguments = {"swap_id": session.swap_id, "decision": decision}
                asked.append((f"a person decides: {decision}", "decide", arguments))
        standing = cell.standing_faults()
        if cell.state is CellState.ALARM and any(name not in standing for name in cell.latched) and not cell.tripped:
            asked.append(("a person asks for a reset", "reset", {"lane_id": "L1"}))
        mark = (session.state, session.phase.value)
        for label, kind, arguments in asked:

            def act(kind: str = kind, arguments: dict[str, Any] = arguments) -> None:
                world.look_as(seen)
                world.person(kind, **arguments)

            self._try(node, kept, label, HELP, act)
            if kept.env.mishaps_left > 0:
                self._break_off(node, kept, mark, f"{label}, ", act)
        if at_cell:
            self._try(node, kept, "a person confirms at the cell", HELP, self._at_cell, by_cell=False)
        world.restore(kept)
        if world.hot_pack_gripped:
            self._try(node, kept, "people take the hot pack away", HELP, world.take_hot_pack, by_cell=False)

    def _at_cell(self) -> None:
        self.world.plant.inject("person_confirms", "L1")

    # the process and its database

    def _end_of_life(self, node: int, kept: Snapshot, mark: tuple[str, str], *, quiet: bool) -> None:
        """The process ends, stands still or loses its database, between two steps or inside of one."""
        world = self.world
        between: dict[str, Callable[[], object]] = {
            "death": world.die,
            "stop": world.stop,
            "pause": world.freeze,
            "stand": world.stand,
            "rival": world.take_over,
        }
        for life, act in between.items():
            alone = not (kept.env.gap or kept.env.link_down or kept.env.rival)
            able = life in self.lives and (life in ("death", "stop") or alone)
            if able and self._try(node, kept, LIVES[life], MISHAP, self._mishap(act)):
                self.report.happened[life, mark[0]] += 1
                if life == "death":
                    self.report.deaths.add((*mark, -1))
        if not quiet:
            self._break_off(node, kept, mark, "", world.cycle)

    def _mishap(self, act: Callable[[], object]) -> Callable[[], None]:
        def once() -> None:
            act()
            env = self.world.env
            self.world.env = replace(env, mishaps_left=env.mishaps_left - 1)

        return once

    def _break_off(
        self, node: int, kept: Snapshot, mark: tuple[str, str], label: str, act: Callable[[], object]
    ) -> None:
        """Break an action off at each of its writes: to the cell, where the process is killed or stands still, and to
        the database, which is lost before the commit or after it."""
        world = self.world
        if "death" in self.lives:

            def die_at(calls: int) -> bool:
                world.robot.die_at = calls
                try:
                    act()
                except ControllerDied:
                    self._mishap(world.die)()
                    return True
                finally:
                    world.robot.die_at, world.robot.person_acts = None, False
                return False

            for calls in self._each(node, kept, f"{label}{LIVES['death']}", die_at):
                self.report.deaths.add((*mark, calls))
                self.report.happened["death", mark[0]] += 1
        if "late" in self.lives and not kept.env.gap and not kept.env.link_down:

            def freeze_at(calls: int) -> bool:
                world.robot.freeze_at = calls
                act()
                frozen = world.robot.freeze_at < 0
                world.robot.freeze_at = None
                if frozen:
                    self._mishap(lambda: None)()
                return frozen

            for _ in self._each(node, kept, f"{label}{LIVES['late']}", freeze_at):
                self.report.happened["late", mark[0]] += 1
        if "rival" in self.lives and not (kept.env.gap or kept.env.link_down or kept.env.rival):

            def take_over_at(calls: int) -> bool:
                world.robot.freeze_at, world.robot.taken_over = calls, True
                try:
                    act()
                except TakenOver as late:
                    self._mishap(partial(world.take_over, late.name, late.write))()
                    return True
                finally:
                    world.robot.freeze_at, world.robot.taken_over, world.robot.person_acts = None, False, False
                return False

            for _ in self._each(node, kept, f"{label}{LIVES['rival']}", take_over_at):
                self.report.happened["rival", mark[0]] += 1
        if "database" in self.lives:
            for committed in (False, True):

                def lose_at(writes: int, committed: bool = committed) -> bool:
                    world.controller.store.lose_at, world.controller.store.lost_committed = writes, committed
                    try:
                        act()
                    except DatabaseLost:
                        self._mishap(world.lose_database)()
                        return True
                    finally:
                        world.controller.store.lose_at, world.robot.person_acts = None, False
                    return False

                how = "with its commit" if committed else "rolled back"
                for _ in self._each(node, kept, f"{label}{LIVES['database']} ({how})", lose_at):
                    self.report.happened["database", mark[0]] += 1

    def _each(self, node: int, kept: Snapshot, label: str, at: Callable[[int], bool]) -> Iterator[int]:
        """Each write of an action, until it has no more."""
        for calls in range(8):
            hit = [False]

            def act(calls: int = calls, hit: list[bool] = hit) -> bool:
                hit[0] = at(calls)
                return hit[0]

            if self._try(node, kept, f"{label} at write {calls}", MISHAP, act) or hit[0]:
                yield calls
            if not hit[0]:
                return

    def _try(
        self, node: int, kept: Snapshot, label: str, kind: int, act: Callable[[], object], *, by_cell: bool = True
    ) -> bool:
        """Act from a state; False where nothing came of it."""
        world = self.world
        world.restore(kept)
        before = self.rules.look(world)
        try:
            if act() is False:
                return False
            self.rules.moved(world, before, by_cell=by_cell)
            self.rules.state(world)
        except _WRONG as wrong:
            self._violated(node, label, f"{type(wrong).__name__}: {wrong}")
            return True
        return self._add(node, label, kind)

    def _add(self, parent: int, label: str, kind: int) -> bool:
        key = self.world.key()
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = len(self._nodes)
            self._parent.append(parent)
            self._label.append(label)
            self._open.append((node, self.world.snapshot()))
        elif node == parent:
            if kind == GO:
                self._rests[node] = "goes round in one state"
            return False
        if parent >= 0:
            for column, value in zip(self._edges, (parent, node, kind), strict=True):
                column.append(value)
        return True

    # all states

    def _look_for_ends(self) -> None:
        """From every state a way leads to an end once faults are over and people decide; nothing goes round."""
        back: dict[int, list[int]] = {}
        onward: dict[int, int] = {}
        for source, target, kind in zip(*self._edges, strict=True):
            if kind != MISHAP:
                back.setdefault(target, []).append(source)
            if kind == GO:
                onward[source] = target
        reached, waiting = set(self._ends), list(self._ends)
        while waiting:
            for source in back.get(waiting.pop(), ()):
                if source not in reached:
                    reached.add(source)
                    waiting.append(source)
        lost = [node for node in range(len(self._nodes)) if node not in reached]
        if lost:
            self._violated(lost[0], "", f"no way to an end from {len(lost)} of {len(self._nodes)} states")
        for node, text in self._rests.items():
            self._violated(node, "", f"stands still without a named wait: {text}")
        safe: set[int] = set()
        for start in onward:
            path: set[int] = set()
            node = start
            while node in onward and node not in safe:
                if node in path:
                    self._violated(node, "", "goes round by itself without an end")
                    break
                path.add(node)
                node = onward[node]
            safe |= path

    def _violated(self, node: int, label: str, text: str) -> None:
        if len(self.report.violations) >= self.violations_most:
            return
        steps = [label] if label else []
        while node >= 0:
            steps.append(self._label[node] or "…")
            node = self._parent[node]
        path: list[str] = []
        for step in reversed(steps):
            if step != "…" or not path or path[-1] != "…":
                path.append(step)
        self.report.violations.append(f"{self.report.name}: {text}\n    after: {'; '.join(path)}")
