"""Exhaustive exploration: every reachable state of every recipe, with faults and deaths of the process at any moment.

`make prove` prints the counts. What is walked in CI, and how to walk deeper, is in `explore.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from robotics.port import CommandCode
from swap.station.context import StationContext
from swap.station.sequence import decided, row_facts, sequencer
from swap.station.sequence.handshake import Progress
from swap.station.sequence.recipe import TERMINAL, StepRow, StepTable, load_recipe
from swap.station.sequence.secured import unsecured
from swap.station.sequence.session import Phase, Session
from tests.prove.explore import Task, all_tables, chosen_tasks, ci_tasks, line, prove_tasks, walk
from tests.prove.explore_kinds import KINDS, counted, kind_lines, rows_of
from tests.prove.explore_layout import pack_code
from tests.prove.explore_mishaps import Mishap, happen, mishaps
from tests.prove.explore_rules import Rules
from tests.prove.explore_station import LANE, MemoryLane, at_once
from tests.prove.explore_walk import Report, Walk
from tests.prove.explore_world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("task", chosen_tasks(), ids=lambda task: task.name)
def test_no_rule_is_broken_and_every_path_ends(task: Task, proved: Callable[[str], None]) -> None:
    _, report, took_s = walk(task)
    proved(line(task, report, took_s))
    assert report.violations == []
    assert report.complete
    assert report.ends["completed"] > 0
    assert report.ends["returned"] > 0
    assert report.commands > 0
    hot = task.only is None or any("pack_hot" in name for name in task.only)
    assert (report.evacuations > 0) is hot
    if task.whole:
        _walked_everywhere(task, report)
        for text in kind_lines(report.table, report.happened):
            proved(text)
    if task.mishaps_most == 1:
        for kind in KINDS:
            if task.whole is ("rival" not in kind.lives):
                missing = rows_of(kind, report.table) - set(counted(kind, report.happened))
                assert not missing, f"{kind.name} never came in {missing}"


def _walked_everywhere(task: Task, report: Report) -> None:
    """Every row was reached, every mishap came in each row of the way forward (the way back begins with one), and
    the process died in each: waiting, between the store and the sending, between the result and its answer."""
    assert {row.state for row in report.table.rows} | TERMINAL <= {state for state, _ in report.visited}
    working = [row for row in report.table.forward if row.command is not None]
    for name in set(mishaps(task.packs)) - _NOT_EVERYWHERE:
        missing = {row.state for row in working} - {state for mishap, state in report.happened if mishap == name}
        assert missing <= {"admitting"}, f"{name} never came in {missing}"
    for row in report.table.forward:
        assert any(state == row.state and calls == -1 for state, _, calls in report.deaths), row.state
    for row in working:
        assert (row.state, Phase.PENDING.value, 0) in report.deaths, row.state
        assert {(row.state, phase.value, 0) for phase in (Phase.SENT, Phase.CONFIRMING)} & report.deaths, row.state


_NOT_EVERYWHERE = {"says_done", "manual_finishes", "manual_undoes", "old_pack_charges", "old_pack_hot"}
"""Need a motion that sensors show, a pack in the gripper, or the spent pack in its bay."""


def test_three_seats_are_walked_in_a_short_form() -> None:
    """S10: a truck with three packs; the third is not accepted, or one of its heads slips, at any moment."""
    table = load_recipe("top_lift").table(3, "out_in")
    report = Walk(table, names=("pack_refused", "head_slips"), deaths=False).run()
    assert report.violations == []
    assert report.complete
    assert {row.state for row in table.rows} | TERMINAL <= {state for state, _ in report.visited} | {"cancelled"}
    assert report.ends["completed"] > 0
    assert report.ends["returned"] > 0


def _old_pack_leaks() -> Mishap:
    """Before its heads are opened: later nobody would look."""
    return Mishap(
        "old_pack_leaks",
        lambda world: world.plant.inject("pack_leaks", pack_code(10)),
        None,
        lambda world: not world.controller.stored.session.opened,
    )


def _quarantining(*names: str) -> Report:
    extra = {"old_pack_leaks": _old_pack_leaks()}
    return Walk(
        load_recipe("top_lift").table(1, "out_in"),
        mishaps_most=2,
        names=("old_pack_leaks", *names),
        deaths=False,
        lives=("death",),
        quarantine=True,
        extra=extra,
        violations_most=1,
    ).run()


def test_a_leaking_pack_comes_into_quarantine_or_stays_on_its_truck() -> None:
    """S8: with a second mishap, and a process that dies, at any moment; no leaking pack is asked into another bay."""
    report = _quarantining("pack_refused", "head_slips")
    assert report.violations == []
    assert report.complete
    assert report.ends["completed"] > 0
    assert report.ends["returned"] > 0
    assert ("old_pack_leaks", "unlocking") in report.happened


def test_finds_a_leaking_pack_that_comes_into_the_rack(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (row_facts, sequencer):
        monkeypatch.setattr(module, "unfit_pack", lambda *_: [])
    report = _quarantining()
    assert "a leaking pack asked into" in report.violations[0]


# The exploration is tested by breaking what it is to find.


def _table(change: Callable[[StepRow], StepRow]) -> StepTable:
    table = load_recipe("top_lift").table(1, "out_in")
    return StepTable(table.recipe, 1, "out_in", tuple(change(row) for row in table.rows), table.groups)


def _without(state: str, *names: str) -> StepTable:
    def change(row: StepRow) -> StepRow:
        if row.state != state:
            return row
        assert set(names) <= set(row.permissives)
        return replace(row, permissives=tuple(name for name in row.permissives if name not in names))

    return _table(change)


def _broken(table: StepTable, *names: str, **options: Any) -> str:
    report = Walk(table, names=names, violations_most=1, **options).run()
    assert report.violations, "the exploration did not find what was broken"
    return report.violations[0]


def test_sound_where_nothing_is_broken() -> None:
    report = Walk(_table(lambda row: row), names=("handbrake", "head_slips"), deaths=False).run()
    assert report.violations == []
    assert report.complete


def test_finds_unlocking_without_the_handbrake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_facts, "to_unlock", lambda *_: [])
    monkeypatch.setattr(row_facts, "unsecured", lambda *_, **__: [])  # it would stop the command that it allowed
    text = _broken(_table(lambda row: row), "handbrake")
    assert "unlock asked while the vehicle can move" in text
    assert "handbrake" in text.split("after:")[1]


def test_finds_a_vehicle_that_is_forgotten_after_the_first_unlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """S2: the robot goes home above a truck whose key is on; no row asks for it, so nothing else would."""
    asked = unsecured

    def not_at_home(table: StepTable, row: StepRow, *rest: Any, **flags: Any) -> Any:
        return [] if row.command is CommandCode.HOME else asked(table, row, *rest, **flags)

    monkeypatch.setattr(row_facts, "unsecured", not_at_home)
    text = _broken(_table(lambda row: row), "key", deaths=False)
    assert "HOME asked after the first unlock while the vehicle can move" in text


def _new_record() -> Report:
    """The cell has worked before; it may lose its numbers before it has had a command of this record."""
    names = ("power_cut_forgets", "plc_forgets")
    return Walk(_table(lambda row: row), names=names, deaths=False, new_record=True, violations_most=1).run()


def test_no_number_of_a_lost_record_is_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the number that the cell shows is not used from the begin of the new one."""
    monkeypatch.setattr("swap.station.resume.person_actor", lambda db, name, at: name)
    report = _new_record()
    assert report.violations == []
    assert report.complete
    monkeypatch.setattr("swap.station.resume.use_number", lambda *_: None)
    monkeypatch.setattr(StationContext, "number_used", lambda *_: None)
    assert "number 1 asked after 812" in _new_record().violations[0]


def test_finds_lifting_with_a_lock_that_is_not_confirmed() -> None:
    assert "PICK at the vehicle asked with heads" in _broken(_without("lifting_old", "locks_open"), "head_slips")


def test_finds_placing_with_a_lock_that_is_not_confirmed() -> None:
    assert "PUT at the vehicle asked with heads" in _broken(_without("placing_new", "locks_open"), "head_slips")


def test_finds_a_release_without_a_confirmed_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """S6: the row does not ask for it, and neither does the step function."""
    monkeypatch.setattr(row_facts, "RELEASED_WHEN", ())
    assert "release asked without a confirmed lock" in _broken(_without("releasing", "all_locks_closed"), "head_slips")


def test_finds_a_truck_that_is_unlocked_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it may have its packs is taken for granted."""
    monkeypatch.setattr(StationContext, "right_of", lambda *_: True)
    text = _broken(_table(lambda row: row), "right_withdrawn", deaths=False)
    assert "unlock asked for a truck whose right to its packs nobody has seen" in text


def test_finds_a_pack_picked_while_it_charges() -> None:
    text = _broken(_without("fetching_new", "pack_safe"), "charger_runs_on")
    assert "hot, alarmed, unknown or charging" in text


def test_finds_a_pack_put_on_another() -> None:
    """The sensor is not asked: the swap's own spent pack would come onto one that a person has put there."""
    table = _without("storing_old", "!target_occupied")
    walk = Walk(table, names=("bay_filled_by_hand",), violations_most=1, extra={"bay_filled_by_hand": _bay_filled()})
    report = walk.run()
    assert "which holds one" in report.violations[0]


def test_finds_a_restart_that_waits_for_nobody() -> None:
    def goes_on(lane: MemoryLane) -> None:
        def load() -> None:
            at_once(MemoryLane.load(lane, restarted=False))

        lane.owner.restart = load  # type: ignore[method-assign]

    assert "asked after restart" in _broken(_table(lambda row: row), lane_patch=goes_on)


def test_finds_a_trip_that_nobody_holds_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (decided, sequencer):
        monkeypatch.setattr(module, "tripped", lambda facts: None)
    monkeypatch.setattr("swap.station.lane.runner.tripped", lambda facts: None)
    assert "the swap is not held although estop was seen" in _broken(_table(lambda row: row), "estop")


def test_finds_a_withdrawn_motion_that_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An e-stop comes and goes while the link is lost for a moment; the row's own retry is taken after it. The epoch
    that it begins would hold the swap as well, so that is not looked at."""
    monkeypatch.setattr("swap.station.life.ownership.Ownership.changed", lambda *_: False)
    monkeypatch.setattr(
        "swap.station.sequence.turns.recovery_for", lambda row, fault, tries: row.on_fault.action(tries)
    )
    names = ("link_down", "estop")
    text = _broken(_table(lambda row: row), *names, mishaps_most=2, deaths=False, since="lifting_old")
    assert "asked after estop" in text


def test_finds_a_command_sent_again_without_its_permissives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is lost; before its number is sent again the charger of the pack comes on."""
    asked = row_facts.lacking_of

    def only_before_the_first(table: StepTable, session: Session, *rest: Any) -> Any:
        return [] if session.phase is Phase.SENT else asked(table, session, *rest)

    monkeypatch.setattr(row_facts, "lacking_of", only_before_the_first)
    text = _broken(_table(lambda row: row), "command_lost", "charger_runs_on", mishaps_most=2, deaths=False)
    assert "hot, alarmed, unknown or charging asked out" in text


def test_finds_a_curtain_that_resumes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swap.station.sequence.row_facts.broken_guards", lambda *_: [])
    assert "although curtain was seen" in _broken(_table(lambda row: row), "curtain")


def test_finds_a_decision_that_is_held_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swap.station.sequence.decided._held_again", lambda *_: ())
    text = _broken(_table(lambda row: row), "curtain", deaths=False)
    assert "a decision is taken and held again at the next look for curtain_clear" in text


def test_finds_a_confirmation_that_forgets_the_truck(monkeypatch: pytest.MonkeyPatch) -> None:
    """The station is confirmed: the hold of a cell is withdrawn that has paused a motion at an unsecured truck."""

    async def whatever(*_: Any) -> bool:
        return True

    monkeypatch.setattr(MemoryLane, "may_go_on", whatever)
    names = ("curtain", "handbrake")
    text = _broken(_table(lambda row: row), *names, mishaps_most=2, deaths=False, since="unlocking")
    assert "a paused motion is let go on at a vehicle that can move" in text


def test_finds_a_number_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are not stored, so a restart counts from an old one."""
    monkeypatch.setattr("tests.prove.explore_station.next_seq", lambda stored, *seen: stored)
    text = _broken(_table(lambda row: row))
    assert "number" in text or "no way to an end" in text


def test_finds_a_step_that_no_person_can_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swap.station.sequence.decided._continue", lambda table, session, *rest: (session, ()))
    assert "no way to an end" in _broken(_table(lambda row: row), "gripper_jam_lasting", deaths=False)


def test_finds_a_swap_that_goes_round() -> None:
    """A row leads back to one before it: never to an end."""
    table = _table(lambda row: replace(row, next_state="locating") if row.state == "verifying" else row)
    assert "no way to an end" in _broken(table, deaths=False)
    report = Walk(table, names=(), deaths=False).run()
    assert any("goes round by itself" in text for text in report.violations)


def _never_waits(progress: Progress, *_: Any, **__: Any) -> bool:
    return progress is Progress.UNHEARD


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("swap.station.sequence.sequencer", ("command_lost",)),
        ("swap.station.sequence.evacuation", ("new_pack_hot", "command_lost")),
        ("swap.station.lane.watch", ("power_cut", "command_lost")),
    ],
)
def test_finds_a_number_that_is_sent_again_at_every_look(
    module: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the command in flight: a swap, a hot pack's procedure, a homing."""
    monkeypatch.setattr(f"{module}.due_again", _never_waits)
    assert "asked again after 0" in _broken(_table(lambda row: row), *names, mishaps_most=len(names), deaths=False)


def test_finds_an_evacuation_that_nobody_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The station is held by a person; a pack becomes hot, and the robot moves."""
    monkeypatch.setattr("swap.station.thermal.persons_needed", lambda *_: frozenset())
    text = _broken(_table(lambda row: row), "person_holds", "new_pack_hot", mishaps_most=2, deaths=False)
    assert "FIRE asked after person_holds, and no person has decided" in text


def test_finds_an_evacuation_that_begins_anew_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swap.station.thermal.persons_needed", lambda *_: frozenset())
    monkeypatch.setattr("tests.prove.explore_station.interrupted_procedure", lambda procedure: (procedure, ()))
    lives = ("death",)
    text = _broken(_table(lambda row: row), "new_pack_hot", mishaps_most=2, lives=lives, since="fetching_new")
    assert "FIRE asked after restart" in text


def test_finds_an_evacuation_that_a_gap_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swap.station.thermal.ThermalRunner.wait_for_person", lambda _: None)
    lives = ("pause", "stand")
    text = _broken(_table(lambda row: row), "new_pack_hot", mishaps_most=2, lives=lives)
    assert "FIRE asked after a pause, and no person has decided" in text


def test_finds_an_evacuation_over_a_command_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link is lost as the swap's command leaves; nothing of it is seen, and the cell takes it."""
    monkeypatch.setattr("swap.station.lane.runner.LaneRunner.in_flight", lambda *_: False)
    monkeypatch.setattr("swap.station.sequence.row_facts.believed", lambda *_: True)
    names = ("new_pack_hot", "link_down")
    text = _broken(_table(lambda row: row), *names, mishaps_most=2, deaths=False, since="lifting_old")
    assert "is recorded in" in text


def test_finds_a_hot_pack_that_a_swap_sets_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """The evacuation is broken off with the pack in the gripper: for the swap it would be its own."""
    monkeypatch.setattr("swap.station.thermal.ThermalRunner._loads", lambda _: None)
    names = ("new_pack_hot", "estop")
    text = _broken(_table(lambda row: row), *names, mishaps_most=2, deaths=False, since="storing_old")
    assert "is recorded in" in text


def test_finds_a_charger_that_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swap.station.sequence.evacuation.POWER_OFF_KW", 1000.0)
    text = _broken(_table(lambda row: row), "charger_runs_on", "new_pack_hot", mishaps_most=2, deaths=False)
    assert "evacuation asked with charger on" in text


# The world itself.


def test_the_quick_snapshot_keeps_what_the_plant_keeps() -> None:
    """At each state of a swap: whatever happens after it, the quick snapshot brings the plant's own one back."""
    world = World(load_recipe("top_lift").table(2, "in_out"), Rules(), 1000)
    states = 0
    while not world.ended:
        kept, whole = world.snapshot(), world.plant.snapshot()
        for item in mishaps(2).values():
            if item.when(world):
                happen(world, item)
        for _ in range(3):
            if not world.cycle():
                world.advance()
        world.restore(kept)
        assert world.plant.snapshot() == whole
        states += 1
        if not world.cycle():
            world.advance()
    assert states > 80


def test_the_same_action_from_the_same_state_ends_alike() -> None:
    world = World(load_recipe("chassis").table(1, "in_out"), Rules(), 0)
    while not world.ended:
        kept = world.snapshot()
        outcomes = []
        for _ in range(2):
            world.restore(kept)
            if not world.cycle():
                world.advance()
            outcomes.append(world.parts())
        assert outcomes[0] == outcomes[1]


def _bay_filled() -> Mishap:
    def fill(world: World) -> None:
        spare = next(code for code, pack in world.plant.rack.packs.items() if pack.place == "bay:A1")
        world.plant.rack.move(spare, "bay:A2", world.plant.now_us)
        world.env = replace(world.env, by_hand=True)

    return Mishap("bay_filled_by_hand", fill, None, lambda world: world.plant.rack.at("bay:A2") is None)


def test_what_no_state_depends_on_is_no_change() -> None:
    """A look that changes nothing of what is told apart lets time pass; else a walk would stand still there."""
    world = World(load_recipe("top_lift").table(1, "out_in"), Rules(), mishaps=0)
    for needed in (frozenset[str](), frozenset({LANE})):
        while world.cycle():
            pass
        before = world.key()
        world.controller.heat._persons_needed = needed
        assert world.key() == before
        assert not world.cycle()


def test_every_table_is_walked() -> None:
    assert {(t.recipe, t.packs, t.order) for t in prove_tasks() if t.whole} == set(all_tables())
    assert {task.recipe for task in ci_tasks()} == {recipe for recipe, _, _ in all_tables()}
