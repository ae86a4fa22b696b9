"""Recipes: what they expand to, what is refused, what is printed."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from robotics.port import CommandCode, Signal
from swap.state_table import IllegalTransition
from swap.station.sequence.docs import PAGES, Language, fact_words, render
from swap.station.sequence.machine import Trigger, session_states
from swap.station.sequence.permissives import location
from swap.station.sequence.recipe import (
    COMPLETED,
    QUEUED,
    RETURNED,
    TERMINAL,
    Check,
    FaultAction,
    OnFault,
    Place,
    RecipeError,
    StepTable,
    SwapOrder,
    carried_orders,
    load_recipe,
    markdown,
    shipped_recipes,
)
from swap.station.sequence.rules import evacuation_problems, needed, table_problems
from swap.station.sequence.step_table import DERIVED_FACTS

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "swap/station/sequence/recipes"
ALL = [
    (name, packs, order)
    for name in ("chassis", "side_grab", "top_lift")
    for packs in (1, 2)
    for order in ("out_in", "in_out")
]
every_table = pytest.mark.parametrize(("name", "packs", "order"), ALL)


def table(name: str, packs: int, order: str) -> StepTable:
    carried: SwapOrder = "in_out" if order == "in_out" else "out_in"
    return load_recipe(name).table(packs, carried)


def test_three_recipes_are_shipped_and_carry_both_orders() -> None:
    assert shipped_recipes() == ("chassis", "side_grab", "top_lift")
    for name in shipped_recipes():
        assert carried_orders(load_recipe(name)) == ("out_in", "in_out")
        assert load_recipe(name).swap_mode == name


@every_table
def test_a_shipped_table_has_no_problem(name: str, packs: int, order: str) -> None:
    assert table_problems(table(name, packs, order)) == []


@every_table
def test_every_seat_is_exchanged_once_on_the_way_forward(name: str, packs: int, order: str) -> None:
    forward = table(name, packs, order).forward
    assert [r.command for r in forward if r.command][:1] == [CommandCode.ADMIT]
    assert forward[-1].command is CommandCode.RELEASE
    assert forward[-1].next_state == COMPLETED
    for seat in range(1, packs + 1):
        rows = [row for row in forward if row.seat == seat and row.command is not None]
        opened = next(i for i, row in enumerate(rows) if row.command is CommandCode.UNLOCK)
        closed = next(i for i, row in enumerate(rows) if row.command is CommandCode.LOCK)
        lifted = next(i for i, r in enumerate(rows) if r.command is CommandCode.PICK and r.source is Place.SEAT)
        placed = next(i for i, r in enumerate(rows) if r.command is CommandCode.PUT and r.target is Place.SEAT)
        assert opened < lifted < placed < closed


@every_table
def test_packs_are_where_each_row_needs_them(name: str, packs: int, order: str) -> None:
    """Carry the moves out on paper: a place holds one pack, and each row finds its pack where the last put it."""
    rows = table(name, packs, order).forward
    where = {("old", s): ("seat", s) for s in range(1, packs + 1)}
    where |= {("new", s): ("new_bay", s) for s in range(1, packs + 1)}

    def place(symbol: Place, seat: int) -> tuple[str, int]:
        if symbol is Place.OLD_BAY and order == "in_out":
            return ("new_bay", seat)
        return (symbol.value, seat if symbol in (Place.SEAT, Place.OLD_BAY, Place.NEW_BAY) else 0)

    for row in rows:
        if row.move is None:
            continue
        key = (row.move.pack, row.seat)
        assert where[key] == place(row.move.source, row.seat), row.state
        target = place(row.move.target, row.seat)
        assert target not in where.values(), row.state
        where[key] = target
    assert all(where[("new", s)] == ("seat", s) for s in range(1, packs + 1))


@every_table
def test_the_way_back_from_any_row_ends_with_the_own_pack_or_what_was_exchanged(
    name: str, packs: int, order: str
) -> None:
    rows = table(name, packs, order)
    for row in rows.rows:
        if row.unwind_state is None:
            continue
        state, seen = row.unwind_state, []
        while state not in TERMINAL:
            seen.append(rows.by_state[state])
            state = seen[-1].next_state
        assert state == RETURNED
        assert all(r.unwinding for r in seen)
        assert seen[-1].command is CommandCode.RELEASE


@every_table
def test_only_the_beginning_and_the_end_have_no_way_back(name: str, packs: int, order: str) -> None:
    forward = table(name, packs, order).forward
    without = [row.command for row in forward if row.unwind_state is None]
    homing = [CommandCode.HOME] if name != "side_grab" else []
    assert without == [CommandCode.ADMIT, *homing, CommandCode.RELEASE]


def test_in_out_needs_a_transfer_bay_and_says_so() -> None:
    recipe = load_recipe("top_lift")
    assert recipe.table(1, "in_out").needs_transfer
    assert not recipe.table(2, "out_in").needs_transfer
    assert recipe.table(1, "out_in", transfer=False).swap_order == "out_in"
    assert recipe.table(1, "in_out", transfer=True).needs_transfer
    with pytest.raises(RecipeError, match=r'recipe top_lift, order in_out: .*role = "transfer".*out_in'):
        recipe.table(1, "in_out", transfer=False)


def test_two_packs_carry_the_seat_in_their_states() -> None:
    states = [row.state for row in table("top_lift", 2, "out_in").forward]
    assert "unlocking_1" in states
    assert "unlocking_2" in states
    assert states.index("accepting_1") < states.index("unlocking_2")
    assert "homing" in states


def test_a_second_seat_that_returns_leaves_the_first_exchange_complete() -> None:
    rows = table("top_lift", 2, "out_in")
    assert session_states(rows).next("releasing_back", Trigger.PARTIAL) == COMPLETED
    with pytest.raises(IllegalTransition):
        session_states(table("top_lift", 1, "out_in")).next("releasing_back", Trigger.PARTIAL)


def test_the_side_robot_draws_its_arm_in_before_the_locks_move() -> None:
    for order in ("out_in", "in_out"):
        rows = table("side_grab", 1, order)
        for row in rows.rows:
            if row.command in (CommandCode.LOCK, CommandCode.UNLOCK):
                assert "at_home" in row.permissives, row.state
        before_lock = rows.forward[[r.state for r in rows.forward].index("locking") - 1]
        assert before_lock.command is CommandCode.HOME


def test_the_shuttle_takes_the_weight_and_drives_out_before_the_release() -> None:
    for row in table("chassis", 1, "in_out").rows:
        if row.command in (CommandCode.LOCK, CommandCode.UNLOCK):
            assert {"target_occupied", "!gripper_loaded"} <= set(row.permissives), row.state
        if row.command is CommandCode.RELEASE:
            assert "at_home" in row.permissives


def test_guards_hold_only_once_the_exchange_has_begun() -> None:
    rows = table("top_lift", 1, "out_in")
    assert not rows.by_state["locating"].working
    assert rows.by_state["unlocking"].working
    assert rows.by_state["relocking"].working


@every_table
def test_the_machine_has_just_the_transitions_of_the_table(name: str, packs: int, order: str) -> None:
    rows = table(name, packs, order)
    states = session_states(rows)
    assert states.next(QUEUED, Trigger.DISPATCH) == rows.first_state
    for row in rows.rows:
        assert states.next(row.state, Trigger.DONE) == row.next_state
        assert states.leads(row.state, row.next_state)
        assert states.allows(row.state, Trigger.UNWIND) is (row.unwind_state is not None)
    assert states.ends == TERMINAL
    assert states.reachable() == set(states.states)
    assert not states.leads(rows.first_state, COMPLETED)


@every_table
def test_every_row_asks_for_what_its_command_needs(name: str, packs: int, order: str) -> None:
    for row in table(name, packs, order).rows:
        assert set(needed(row)) <= set(row.permissives), row.state


def test_places_become_locations_of_the_robot() -> None:
    from swap.station.sequence.permissives import SeatPlan

    plan = SeatPlan(2, "O", "N", "s:A4", 4, "s:A2", 2)
    codes = {place: where.code if (where := location(place, plan)) else None for place in Place}
    assert codes == {
        Place.SEAT: 102,
        Place.OLD_BAY: 4,
        Place.NEW_BAY: 2,
        Place.TRANSFER: 201,
        Place.GRIPPER: None,
        Place.HOT_BAY: None,
    }


# Recipes that are not valid: each message names the row, the field and what is allowed.


def _rewritten(tmp_path: Path, change: Any) -> Path:
    text = (SHIPPED / "top_lift.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(change(text), encoding="utf-8")
    return tmp_path


def _replace(old: str, new: str, count: int = -1) -> Any:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, count)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _replace('{ groups = ["cell"], require = ["target_occupied"], forbid = ["gripper_loaded"] }', "{}", 1),
            "locking .*lack estop_ok, .*target_occupied, !gripper_loaded, which LOCK needs",
        ),
        (_replace('"all_locks_closed", ', "", 1), "releasing .*lack all_locks_closed, which RELEASE needs"),
        (
            _replace(', "pack_safe"]', "]"),
            "staging_new .*lack pack_safe, which PICK needs|fetching_new .*lack pack_safe",
        ),
        (
            _replace('confirm = { require = ["locks_closed"] }', "confirm = {}", 1),
            "locking .*confirm lacks locks_closed",
        ),
        (_replace('then = "unwind"', 'then = "retry"'), r"on_fault.then\n.*'person', 'unwind' or 'stop'"),
        (_replace("retry = 9", "retry = 99"), r"on_fault.retry\n.*less than or equal to 20"),
        (
            _replace('forbid = ["gripper_loaded", "vehicle_present"]', 'forbid = ["!gripper_loaded"]'),
            "admitting: fact '!gripper_loaded' is unknown",
        ),
        (
            _replace('forbid = ["gripper_loaded", "vehicle_present"]', 'forbid = ["gripper_loaded", "at_home"]'),
            "admitting: at_home is required and forbidden",
        ),
        (_replace(', "tank_ready"]', "]"), "evacuate, state evacuating: permissives lack tank_ready, which FIRE needs"),
        (_replace('command = "FIRE"', 'command = "PICK"'), "evacuate, .*is command FIRE with source hot_bay"),
        (_replace('confirm = { require = ["tank_occupied"], ', "confirm = { "), "evacuate, .*lacks tank_occupied"),
        (_replace('"homed", "tank_ready"', '"homed", "tank_ready", "pack_safe"'), "pack_safe, which only a swap has"),
        (_replace('source = "seat"', 'source = "hot_bay"', 1), "hot_bay belongs to .evacuate."),
        (_replace('command = "UNLOCK"', 'command = "TOGGLE"', 1), "unlocking, command = 'TOGGLE': allowed ADMIT"),
        (
            _replace('groups = ["cell"], require = ["at_home"]', 'groups = ["cells"]', 1),
            "admitting: group 'cells' is unknown; known: cell",
        ),
        (_replace('"exit_clear"', '"exit_free"', 1), "fact 'exit_free' is unknown; known: .*exit_clear"),
        (_replace('unwind = "relocking"', 'unwind = "relock"', 1), "state unlocking, unwind = 'relock': no such state"),
        (_replace('next = "releasing_back"', 'next = "away"'), "state homing_back, next = 'away': no such state"),
        (_replace("timeout_s = 60", "timeout_s = 9", 3), "timeout_s = 9 is shorter than the step itself"),
        (_replace('state = "homing"', 'state = "releasing"'), "states given more than once: releasing"),
        (
            _replace('move = { pack = "old", from = "seat", to = "gripper" }\n', ""),
            "lifting_old .*which pack goes from seat to gripper",
        ),
        (_replace('target = "seat"\n', "", 1), "unlocking .*UNLOCK, LOCK and PUT, and no other"),
        (_replace('checks = ["authorised", "record"', 'checks = ["authorised"'), "check record is made in no row"),
        (_replace('next = "relocking"', 'next = "replacing_old"'), "no end is reached; it goes"),
        (_replace("nominal_s = 40", "nominal_kw = 40"), "nominal_kw"),
        (_replace('swap_mode = "top_lift"', 'swap_mode = "toplift"'), "swap_mode"),
    ],
)
def test_a_recipe_that_is_not_valid_says_why(tmp_path: Path, change: Any, message: str) -> None:
    folder = _rewritten(tmp_path, change)
    with pytest.raises(RecipeError, match=message):
        load_recipe("mine.toml", folder)


def test_every_problem_of_a_recipe_is_told_at_once(tmp_path: Path) -> None:
    def change(text: str) -> str:
        return text.replace('"all_locks_closed", ', "").replace(
            'confirm = { require = ["locks_closed"] }', "confirm = {}"
        )

    with pytest.raises(RecipeError) as error:
        load_recipe("mine.toml", _rewritten(tmp_path, change))
    assert str(error.value).count("lack all_locks_closed") == 4  # releasing, releasing_back, in both orders
    assert "confirm lacks locks_closed" in str(error.value)


def test_a_file_without_a_format_is_told_each_line_to_change(tmp_path: Path) -> None:
    old = (
        'name = "x"\n'
        'permissives = ["@cell", "!gripper_loaded", "at_home"]\n'
        "confirm = []\n"
        'on_fault = ["retry", "retry", "unwind"]\n'
    )
    (tmp_path / "old.toml").write_text(old, encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        load_recipe("old.toml", tmp_path)
    assert str(error.value).splitlines() == [
        "recipe old.toml: format 1, this program reads format = 2; change:",
        "  add as its first line: format = 2",
        '  line 2: permissives = ["@cell", "!gripper_loaded", "at_home"]  →  '
        'permissives = { groups = ["cell"], require = ["at_home"], forbid = ["gripper_loaded"] }',
        "  line 3: confirm = []  →  confirm = {}",
        '  line 4: on_fault = ["retry", "retry", "unwind"]  →  on_fault = { retry = 2, then = "unwind" }',
    ]


@pytest.mark.parametrize(
    ("given", "message"), [("3", "format = 3: this program reads format = 2"), ("1", "format 1, ")]
)
def test_a_file_of_another_format_is_refused(tmp_path: Path, given: str, message: str) -> None:
    folder = _rewritten(tmp_path, _replace("format = 2", f"format = {given}"))
    with pytest.raises(RecipeError, match=message):
        load_recipe("mine.toml", folder)


def test_an_old_list_over_several_lines_is_named_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text('on_fault = [\n  "person",\n]\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"line 1: on_fault = \[  →  write it on one line"):
        load_recipe("old.toml", tmp_path)


@pytest.mark.parametrize("name", ["chassis", "side_grab", "top_lift"])
def test_a_hot_pack_is_carried_by_one_row_or_not_at_all(name: str, tmp_path: Path) -> None:
    row = load_recipe(name).evacuation
    assert row is not None
    assert evacuation_problems(row) == []
    assert (row.command, row.source, row.next_state) == (CommandCode.FIRE, Place.HOT_BAY, "evacuated")
    text = (SHIPPED / f"{name}.toml").read_text(encoding="utf-8")
    (tmp_path / "none.toml").write_text(text.partition("[evacuate]")[0], encoding="utf-8")
    assert load_recipe("none.toml", tmp_path).evacuation is None


def test_an_unknown_recipe_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="neither shipped \\(chassis, side_grab, top_lift\\) nor a file"):
        load_recipe("sideways", tmp_path)


def test_an_order_or_number_that_is_not_carried() -> None:
    with pytest.raises(RecipeError, match="5 packs per vehicle; allowed 1…4"):
        load_recipe("top_lift").table(5, "out_in")
    wrong: Any = "out_out"
    with pytest.raises(RecipeError, match="order 'out_out' is not carried; allowed out_in, in_out"):
        load_recipe("top_lift").table(1, wrong)


def test_a_recipe_without_rows_for_in_out_carries_out_in_only(tmp_path: Path) -> None:
    file = tomllib.loads((SHIPPED / "top_lift.toml").read_text(encoding="utf-8"))
    text = (SHIPPED / "top_lift.toml").read_text(encoding="utf-8")
    blocks = text.split("\n[[")
    kept = [block for block in blocks if 'orders = ["in_out"]' not in block]
    text = "\n[[".join(kept).replace('{ out_in = "restoring_new", in_out = "reparking_new" }', '"restoring_new"')
    text = text.replace('{ out_in = "retrieving_old", in_out = "homing_back" }', '"retrieving_old"')
    text = text.replace('{ out_in = "homing_back", in_out = "recollecting_new" }', '"homing_back"')
    (tmp_path / "plain.toml").write_text(text, encoding="utf-8")
    recipe = load_recipe("plain.toml", tmp_path)
    assert len(recipe.file.each) < len(file["each"])
    assert carried_orders(recipe) == ("out_in",)
    with pytest.raises(RecipeError, match="order 'in_out' is not carried; allowed out_in"):
        recipe.table(1, "in_out")


# What is printed.


@pytest.mark.parametrize("language", ["en", "zh"])
@every_table
def test_the_printed_table_has_every_row(name: str, packs: int, order: str, language: Language) -> None:
    rows = table(name, packs, order)
    lines = markdown(rows, language).splitlines()
    assert len(lines) == 2 + len(rows.rows)
    widths = {line.count("|") for line in lines}
    assert widths == {11}
    for row, line in zip(rows.rows, lines[2:], strict=True):
        assert line.startswith(f"| `{row.state}` | {row.name_zh if language == 'zh' else row.name_en} |")
        assert f"`{row.next_state}`" in line
    assert "retry ×9 → person" in markdown(rows, language)


def test_groups_stand_for_their_permissives() -> None:
    lines = markdown(table("top_lift", 1, "out_in")).splitlines()
    line = next(line for line in lines if line.startswith("| `lifting_old`"))
    assert "| **cell**, locks_open, source_occupied, !gripper_loaded |" in line


@every_table
def test_the_diagram_has_every_transition(name: str, packs: int, order: str) -> None:
    rows = table(name, packs, order)
    lines = [line.strip() for line in session_states(rows).mermaid().splitlines()]
    assert lines[3] == "stateDiagram-v2"
    labels = dict(line.split(": ") for line in lines if "-->" in line and ": " in line)
    for row in rows.rows:
        assert "done" in labels[f"{row.state} --> {row.next_state}"].split(" | ")
        if row.unwind_state is not None:
            assert "unwind" in labels[f"{row.state} --> {row.unwind_state}"].split(" | ")
    assert {f"{end} --> [*]" for end in TERMINAL} <= set(lines)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_what_the_recipes_say(language: Language) -> None:
    committed = (ROOT / "docs" / PAGES[language]).read_text(encoding="utf-8")
    assert committed == render(language), "run: python -m swap.station.sequence.docs"


def test_every_fact_has_words_in_both_languages() -> None:
    assert set(fact_words()) == {signal.value for signal in Signal} | DERIVED_FACTS
    assert all(words["zh"] and words["en"] for words in fact_words().values())


def test_assumed_times_are_marked() -> None:
    for name in shipped_recipes():
        assert load_recipe(name).file.times == "assumed"
    assert render("en").count("Times are **assumed**") == 3
    assert render("zh").count("假定值") == 3


def test_checks_are_made_in_the_order_of_the_station_standard() -> None:
    for name in shipped_recipes():
        made = [check for row in load_recipe(name).table().forward for check in row.checks]
        assert made == list(Check)


def test_the_lidar_has_ten_tries() -> None:
    row = load_recipe("top_lift").table().by_state["locating"]
    assert row.on_fault == OnFault(9, FaultAction.PERSON)
