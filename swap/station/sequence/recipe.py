"""Recipes: the swap as a table, loaded from TOML.

A recipe is data: rows before the exchange, rows repeated for each pack of the vehicle, rows after it, the
rows of the way back for each pack, and the rows by which a vehicle leaves with its own pack. `Recipe.table()`
expands it for a number of packs and an order into a :class:`StepTable`, the one table that the session
machine, the live controller, the simulation study, the printed documentation and the exhaustive exploration
read. `rules.py` holds what every recipe must ask for, whoever wrote it.

Permissives and confirmations are named facts, in lists `require` and `forbid`; `groups` stands for lists of required
facts that the recipe names together. Facts of the cell are the members of `robotics.port.Signal`; facts of the step
(`source_occupied`, `target_occupied`, `pack_safe`, `source_power_off`, `locks_open`, `locks_closed`,
`all_locks_closed`, `pack_accepted`, `all_packs_accepted`) are worked out from them for the seat and places of the step
(`permissives.py`). In an expanded row a fact that must not hold has a leading `!`.

`[evacuate]` is the one row by which a cell carries a hot pack to the tank; `evacuation.py` reads it.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from robotics.port import SEATS, CommandCode
from scheduler.sections import Section, did_you_mean
from swap.station.sequence.recipe_format import format_problem
from swap.station.sequence.rules import evacuation_problems, table_problems
from swap.station.sequence.secured import span
from swap.station.sequence.step_table import (
    CANCELLED,
    COMPLETED,
    DERIVED_FACTS,
    FACTS,
    QUEUED,
    RETURNED,
    TERMINAL,
    Check,
    FaultAction,
    Move,
    OnFault,
    Place,
    StepRow,
    StepTable,
    SwapOrder,
)
from swap.station.states.thermal_stages import Stage

_SHIPPED = Path(__file__).with_name("recipes")
PerOrder = str | dict[SwapOrder, str]


class RecipeError(Exception):
    """The recipe is not valid; the message names the row, the field and what is allowed."""


class _MoveRow(Section):
    pack: Literal["old", "new"]
    from_: Place = Field(alias="from")
    to: Place


class _Facts(Section):
    groups: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()


class _OnFault(Section):
    retry: int = Field(default=0, ge=0, le=20)
    then: Literal["person", "unwind", "stop"]


class _Step(Section):
    """What every row has."""

    state: str = Field(pattern=r"^[a-z][a-z_]{2,30}$")
    name_zh: str
    name_en: str
    command: str | None = None
    source: Place | None = None
    permissives: _Facts = _Facts()
    confirm: _Facts = _Facts()
    nominal_s: float = Field(gt=0, le=3600)
    spread_share: float = Field(default=0.1, ge=0, lt=1)
    timeout_s: float = Field(gt=0, le=7200)
    confirm_s: float = Field(default=15.0, gt=0, le=600)
    on_fault: _OnFault


class _Row(_Step):
    orders: tuple[SwapOrder, ...] = ("out_in", "in_out")
    target: Place | None = None
    checks: tuple[Check, ...] = ()
    move: _MoveRow | None = None
    next: PerOrder | None = None
    unwind: PerOrder = "none"


class _RecipeFile(Section):
    format: int
    name: str
    swap_mode: Literal["top_lift", "side_grab", "chassis"]
    name_zh: str
    name_en: str
    times: Literal["assumed", "measured"] = "assumed"
    """Whether the times below were measured at a station or are assumed until they are."""
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    before: tuple[_Row, ...] = Field(min_length=1)
    each: tuple[_Row, ...] = Field(min_length=1)
    """Once for each pack of the vehicle."""
    after: tuple[_Row, ...] = Field(min_length=1)
    unwind: tuple[_Row, ...] = ()
    """The way back, for each pack."""
    leave: tuple[_Row, ...] = ()
    """How the way back ends, once for the vehicle."""
    evacuate: _Step | None = None
    """How a hot pack is carried to the tank; without it, it stays in its bay."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """A loaded recipe; `table()` expands it."""

    name: str
    swap_mode: str
    name_zh: str
    name_en: str
    file: _RecipeFile

    def table(
        self, pack_count: int = 1, swap_order: SwapOrder = "out_in", *, transfer: bool | None = None
    ) -> StepTable:
        """Expand for a number of packs (1…4) and an order.

        Args:
            transfer: whether the lane reaches a transfer bay; None leaves that unchecked.

        Raises:
            RecipeError: the order is not carried by this recipe, or needs a transfer bay that is not there.
        """
        table = _expand(self, pack_count, swap_order)
        if transfer is False and table.needs_transfer:
            raise RecipeError(
                f"recipe {self.name}, order {swap_order}: sets the charged pack down in a transfer bay and the lane "
                'reaches none; add a bay with role = "transfer" to the station file, or use order out_in'
            )
        return table

    def rows(self, pack_count: int = 1, swap_order: SwapOrder = "out_in") -> tuple[StepRow, ...]:
        """Every row of `table()`, the way back included."""
        return self.table(pack_count, swap_order).rows

    @cached_property
    def evacuation(self) -> StepRow | None:
        """The row by which a cell carries a hot pack to the tank; None where the recipe has none."""
        step = self.file.evacuate
        if step is None:
            return None
        row = _row(step, self.file.groups, f"recipe {self.name}, state {step.state}")
        return replace(row, next_state=Stage.EVACUATED)


def recipe_path(name: str, folder: Path | None = None) -> Path:
    """Where a recipe lies: shipped by name, or a file relative to `folder`; it need not be there."""
    shipped = _SHIPPED / f"{name}.toml"
    return shipped if shipped.is_file() else (folder or Path()) / name


@cache
def load_recipe(name: str, folder: Path | None = None) -> Recipe:
    """Load a shipped recipe by name, or a TOML file relative to `folder`.

    Raises:
        RecipeError: unknown name, or a file that is not valid (every problem listed).
    """
    path = recipe_path(name, folder)
    if not path.is_file():
        raise RecipeError(f"recipe {name!r} is neither shipped ({', '.join(shipped_recipes())}) nor a file at {path}")
    text = path.read_text(encoding="utf-8")
    try:
        parsed = tomllib.loads(text)
        problem = format_problem(text, parsed)
        if problem is not None:
            raise RecipeError(f"recipe {path.name}: {problem}")
        file = _RecipeFile.model_validate(parsed)
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"recipe {path.name}: {error}") from error
    recipe = Recipe(file.name, file.swap_mode, file.name_zh, file.name_en, file)
    problems = []
    for pack_count in SEATS:
        for order in carried_orders(recipe):
            problems += table_problems(recipe.table(pack_count, order))
    if recipe.evacuation is not None:
        problems += evacuation_problems(recipe.evacuation)
    if problems:
        raise RecipeError(f"recipe {path.name}: " + "; ".join(dict.fromkeys(problems)))
    return recipe


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes in the package."""
    return tuple(sorted(p.stem for p in _SHIPPED.glob("*.toml")))


def carried_orders(recipe: Recipe) -> tuple[SwapOrder, ...]:
    """Orders the recipe has rows for; every row of an order must be reachable."""
    file = recipe.file
    orders: list[SwapOrder] = ["out_in"]
    if any("in_out" in row.orders and "out_in" not in row.orders for row in file.each):
        orders.append("in_out")
    return tuple(orders)


def _pick(value: PerOrder | None, order: SwapOrder) -> str | None:
    return value.get(order) if isinstance(value, dict) else value


def _facts(facts: _Facts, groups: Mapping[str, tuple[str, ...]], where: str) -> tuple[str, ...]:
    """The facts as a row carries them: groups, required, forbidden with a leading `!`."""
    unknown = [name for name in facts.groups if name not in groups]
    if unknown:
        raise RecipeError(f"{where}: group {unknown[0]!r} is unknown; known: {', '.join(sorted(groups))}")
    required = [name for group in facts.groups for name in groups[group]] + list(facts.require)
    for name in (*required, *facts.forbid):
        if name not in FACTS:
            known = ", ".join(sorted(FACTS))
            raise RecipeError(f"{where}: fact {name!r} is unknown; known: {known}{did_you_mean(name, FACTS)}")
    both = sorted(set(required) & set(facts.forbid))
    if both:
        raise RecipeError(f"{where}: {', '.join(both)} is required and forbidden; it never holds")
    return tuple(dict.fromkeys((*required, *(f"!{name}" for name in facts.forbid))))


def _row(step: _Step, groups: Mapping[str, tuple[str, ...]], where: str) -> StepRow:
    """A step as a row of its own, that leads to the end of a swap; a row of a path says more by `replace`."""
    return StepRow(
        state=step.state,
        name_zh=step.name_zh,
        name_en=step.name_en,
        command=_command(step.command, where),
        source=step.source,
        target=None,
        seat=1,
        permissives=_facts(step.permissives, groups, where),
        confirm=_facts(step.confirm, groups, where),
        checks=(),
        move=None,
        next_state=COMPLETED,
        unwind_state=None,
        nominal_s=step.nominal_s,
        spread_share=step.spread_share,
        timeout_s=step.timeout_s,
        confirm_s=step.confirm_s,
        on_fault=OnFault(step.on_fault.retry, FaultAction(step.on_fault.then)),
        unwinding=False,
        working=True,
    )


@cache
def _expand(recipe: Recipe, pack_count: int, order: SwapOrder) -> StepTable:
    if pack_count not in SEATS:
        raise RecipeError(f"recipe {recipe.name}: {pack_count} packs per vehicle; allowed 1…{SEATS[-1]}")
    if order not in carried_orders(recipe):
        raise RecipeError(
            f"recipe {recipe.name}: order {order!r} is not carried; allowed {', '.join(carried_orders(recipe))}"
        )
    file = recipe.file
    per_seat = {row.state for row in (*file.each, *file.unwind)}
    seats = range(1, pack_count + 1)

    def name(state: str, seat: int | None) -> str:
        return state if seat is None or pack_count == 1 else f"{state}_{seat}"

    def rows_of(section: tuple[_Row, ...], seat: int | None) -> list[tuple[_Row, int | None]]:
        return [(row, seat) for row in section if order in row.orders]

    forward = rows_of(file.before, None)
    for place in seats:
        forward += rows_of(file.each, place)
    forward += rows_of(file.after, None)
    back = [item for place in seats for item in rows_of(file.unwind, place)] + rows_of(file.leave, None)
    ends = {id(row) for row in file.leave}
    known = {row.state for row, _ in (*forward, *back)} | TERMINAL
    names = Counter(name(row.state, seat) for row, seat in (*forward, *back))
    twice = [state for state, count in names.items() if count > 1]
    if twice:
        raise RecipeError(f"recipe {recipe.name}, order {order}: states given more than once: {', '.join(twice)}")

    rows: list[StepRow] = []
    for path, unwinding in ((forward, False), (back, True)):
        for index, (row, seat) in enumerate(path):
            where = f"recipe {recipe.name}, state {row.state}"

            def target(state: str, field: str, seat: int | None = seat, where: str = where) -> str:
                if state not in known:
                    raise RecipeError(f"{where}, {field} = {state!r}: no such state in order {order}")
                return name(state, seat or 1) if state in per_seat else state

            following = _pick(row.next, order)
            if following is not None:
                following = target(following, "next")
            elif index + 1 < len(path) and not (unwinding and id(row) not in ends):
                following = name(path[index + 1][0].state, path[index + 1][1])
            elif not unwinding:
                following = COMPLETED
            else:
                raise RecipeError(f"{where}, next: missing; a row of the way back says where it leads")
            back_to = _pick(row.unwind, order)
            before = not unwinding and any(row is first for first in file.before)
            rows.append(
                replace(
                    _row(row, file.groups, where),
                    state=name(row.state, seat),
                    target=row.target,
                    seat=seat or 1,
                    checks=row.checks,
                    move=Move(row.move.pack, row.move.from_, row.move.to) if row.move else None,
                    next_state=following,
                    unwind_state=None if back_to in (None, "none") else target(back_to, "unwind"),
                    unwinding=unwinding,
                    working=not before,
                )
            )
    return StepTable(recipe.name, pack_count, order, tuple(rows), file.groups)


def _command(name: str | None, where: str) -> CommandCode | None:
    if name is not None and name not in CommandCode.__members__:
        raise RecipeError(f"{where}, command = {name!r}: allowed {', '.join(CommandCode.__members__)}")
    return None if name is None else CommandCode[name]


_HEADS = {
    "en": (
        "state",
        "step",
        "command",
        "permissives",
        "confirmed by",
        "next",
        "way back",
        "limit s",
        "on fault",
        "secured",
    ),
    "zh": ("状态", "步骤", "指令", "许可条件", "确认条件", "下一状态", "回退", "时限 s", "故障处理", "固定"),
}


def markdown(table: StepTable, language: Literal["zh", "en"] = "en") -> str:
    """The table as Markdown, one line a row; permissives that the recipe groups stand under the group's name."""
    heads = _HEADS[language]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    secured = span(table)
    for row in table.rows:
        places = "→".join(p.value for p in (row.source, row.target) if p)
        command = f"{row.command.name} {places}".strip() if row.command else ", ".join(row.checks) or "–"
        cells = (
            f"`{row.state}`",
            row.name_zh if language == "zh" else row.name_en,
            command,
            ", ".join(_grouped(row.permissives, table.groups)) or "–",
            ", ".join(row.confirm) or "–",
            f"`{row.next_state}`",
            f"`{row.unwind_state}`" if row.unwind_state else "–",
            f"{row.timeout_s:g}",
            str(row.on_fault),
            secured.get(row.state, "–"),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _grouped(names: tuple[str, ...], groups: Mapping[str, tuple[str, ...]]) -> list[str]:
    shown: list[str] = []
    rest = list(names)
    for group, members in groups.items():
        if set(members) <= set(rest):
            shown.append(f"**{group}**")
            rest = [name for name in rest if name not in members]
    return [*shown, *rest]


__all__ = [
    "CANCELLED",
    "COMPLETED",
    "DERIVED_FACTS",
    "QUEUED",
    "RETURNED",
    "TERMINAL",
    "Check",
    "FaultAction",
    "Move",
    "OnFault",
    "Place",
    "Recipe",
    "RecipeError",
    "StepRow",
    "StepTable",
    "SwapOrder",
    "carried_orders",
    "load_recipe",
    "markdown",
    "shipped_recipes",
]
