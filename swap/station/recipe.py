"""Recipes: the swap as a table, loaded from TOML.

A recipe is data: rows before the exchange, rows repeated for each pack of the vehicle, rows after it, and
the rows of the way back. `Recipe.table()` expands it for a number of packs and an order into a
:class:`StepTable`, the one table that the session machine, the live controller, the simulation study, the
printed documentation and the exhaustive exploration read.

Permissives and confirmations are named facts; a leading `!` asks for the opposite, a leading `@` names a
group. Facts of the cell are the members of `robotics.port.Signal`; facts of the step (`source_occupied`,
`target_occupied`, `pack_safe`, `locks_open`, `locks_closed`, `all_locks_closed`, `pack_accepted`) are
worked out from them for the seat and the places of the step (`permissives.py`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from robotics.modbus_link.config import Section
from robotics.port import CommandCode, Signal

_SHIPPED = Path(__file__).with_name("recipes")

QUEUED = "queued"
COMPLETED = "completed"
RETURNED = "returned"
CANCELLED = "cancelled"
TERMINAL = frozenset({COMPLETED, RETURNED, CANCELLED})

SwapOrder = Literal["out_in", "in_out"]
PerOrder = str | dict[SwapOrder, str]


class RecipeError(Exception):
    """The recipe is not valid; the message names the row, the field and what is allowed."""


class Place(StrEnum):
    """Symbolic places a row speaks of."""

    SEAT = "seat"
    OLD_BAY = "old_bay"
    NEW_BAY = "new_bay"
    TRANSFER = "transfer"
    GRIPPER = "gripper"


class Check(StrEnum):
    """Pre-checks, in the order a station makes them (standards.md 5.2)."""

    AUTHORISED = "authorised"
    """The tag read in the lane belongs to the truck that checked in."""
    RECORD = "record"
    """The packs on the truck are those on record."""
    PACK_AVAILABLE = "pack_available"
    VEHICLE_LINK = "vehicle_link"
    POSITION = "position"
    OLD_PACK = "old_pack"
    """A pack sits in each seat and the vehicle is secured: handbrake, gear, key, HV off."""
    NEW_PACK_ACCEPTED = "new_pack_accepted"
    """The vehicle takes the kind of the new pack."""
    NEW_PACK_POWER_OFF = "new_pack_power_off"
    ROBOT_READY = "robot_ready"


DERIVED_FACTS = frozenset(
    {
        "source_occupied",
        "target_occupied",
        "pack_safe",
        "locks_open",
        "locks_closed",
        "all_locks_closed",
        "pack_accepted",
    }
)
_FACTS = frozenset(s.value for s in Signal) | DERIVED_FACTS


class FaultAction(StrEnum):
    """What a row asks for when its step fails."""

    RETRY = "retry"
    UNWIND = "unwind"
    PERSON = "person"
    STOP = "stop"


class _MoveRow(Section):
    pack: Literal["old", "new"]
    from_: Place = Field(alias="from")
    to: Place


class _Row(Section):
    state: str = Field(pattern=r"^[a-z][a-z_]{2,30}$")
    name_zh: str
    name_en: str
    orders: tuple[SwapOrder, ...] = ("out_in", "in_out")
    command: str | None = None
    source: Place | None = None
    target: Place | None = None
    permissives: tuple[str, ...] = ()
    confirm: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    move: _MoveRow | None = None
    next: PerOrder | None = None
    unwind: PerOrder = "none"
    nominal_s: float = Field(gt=0, le=3600)
    spread_share: float = Field(default=0.1, ge=0, lt=1)
    timeout_s: float = Field(gt=0, le=7200)
    confirm_s: float = Field(default=15.0, gt=0, le=600)
    on_fault: tuple[FaultAction, ...] = Field(min_length=1)


class _RecipeFile(Section):
    name: str
    swap_mode: Literal["top_lift", "side_grab", "chassis"]
    name_zh: str
    name_en: str
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    before: tuple[_Row, ...] = Field(min_length=1)
    each: tuple[_Row, ...] = Field(min_length=1)
    after: tuple[_Row, ...] = Field(min_length=1)
    unwind: tuple[_Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """The pack a step carries and between which places; stored once the sensors confirm it."""

    pack: Literal["old", "new"]
    source: Place
    target: Place


@dataclass(frozen=True, slots=True)
class StepRow:
    """One row: in this state, send this command once these facts hold; done when those are confirmed."""

    state: str
    name_zh: str
    name_en: str
    command: CommandCode | None
    source: Place | None
    target: Place | None
    seat: int
    """Seat the row works on, 1…; 1 for rows that work on none."""
    permissives: tuple[str, ...]
    confirm: tuple[str, ...]
    checks: tuple[Check, ...]
    move: Move | None
    next_state: str
    unwind_state: str | None
    """Where the way back begins; None where there is none and a person must decide."""
    nominal_s: float
    spread_share: float
    """Half width of the duration's variation as a share of `nominal_s`."""
    timeout_s: float
    """Longest time from entering the state to the command's end."""
    confirm_s: float
    """Longest time from the command's end to the sensors' agreement."""
    on_fault: tuple[FaultAction, ...]
    """Action of the first, second… failure; the last repeats."""
    unwinding: bool


@dataclass(frozen=True)
class StepTable:
    """A recipe expanded for one number of packs and one order."""

    recipe: str
    pack_count: int
    swap_order: SwapOrder
    rows: tuple[StepRow, ...]

    @cached_property
    def by_state(self) -> Mapping[str, StepRow]:
        """Row of each state."""
        return {row.state: row for row in self.rows}

    @property
    def first_state(self) -> str:
        """The state a dispatched swap begins in."""
        return self.rows[0].state

    @cached_property
    def forward(self) -> tuple[StepRow, ...]:
        """Rows of a swap without faults, in order."""
        path, state = [], self.first_state
        while state not in TERMINAL:
            row = self.by_state[state]
            path.append(row)
            state = row.next_state
        return tuple(path)

    @property
    def nominal_s(self) -> float:
        """Nominal duration of a swap without faults."""
        return sum(row.nominal_s for row in self.forward)


@dataclass(frozen=True, eq=False)
class Recipe:
    """A loaded recipe; `table()` expands it."""

    name: str
    swap_mode: str
    name_zh: str
    name_en: str
    file: _RecipeFile

    def table(self, pack_count: int = 1, swap_order: SwapOrder = "out_in") -> StepTable:
        """Expand for a number of packs (1 or 2) and an order.

        Raises:
            RecipeError: the order is not carried by this recipe, or a row leads nowhere.
        """
        return _expand(self, pack_count, swap_order)

    def rows(self, pack_count: int = 1, swap_order: SwapOrder = "out_in") -> tuple[StepRow, ...]:
        """Every row of `table()`, the way back included."""
        return self.table(pack_count, swap_order).rows


@cache
def load_recipe(name: str, folder: Path | None = None) -> Recipe:
    """Load a shipped recipe by name, or a TOML file relative to `folder`.

    Raises:
        RecipeError: unknown name, or a file that is not valid (every problem listed).
    """
    path = _SHIPPED / f"{name}.toml"
    if not path.is_file():
        path = (folder or Path()) / name
    if not path.is_file():
        raise RecipeError(f"recipe {name!r} is neither shipped ({', '.join(shipped_recipes())}) nor a file at {path}")
    try:
        file = _RecipeFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"recipe {path.name}: {error}") from error
    recipe = Recipe(file.name, file.swap_mode, file.name_zh, file.name_en, file)
    for pack_count in (1, 2):
        for order in carried_orders(recipe):
            recipe.table(pack_count, order)
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


def _facts(names: tuple[str, ...], groups: Mapping[str, tuple[str, ...]], where: str) -> tuple[str, ...]:
    result: list[str] = []
    for name in names:
        if name.startswith("@"):
            if name[1:] not in groups:
                raise RecipeError(f"{where}: group {name!r} is unknown; known: {', '.join(sorted(groups))}")
            result += _facts(groups[name[1:]], groups, where)
        elif name.removeprefix("!") in _FACTS:
            result.append(name)
        else:
            raise RecipeError(f"{where}: fact {name!r} is unknown; known: {', '.join(sorted(_FACTS))}")
    return tuple(dict.fromkeys(result))


@cache
def _expand(recipe: Recipe, pack_count: int, order: SwapOrder) -> StepTable:
    if pack_count not in (1, 2):
        raise RecipeError(f"recipe {recipe.name}: {pack_count} packs per vehicle; allowed 1…2")
    if order not in carried_orders(recipe):
        raise RecipeError(f"recipe {recipe.name}: order {order!r} is not carried; allowed {carried_orders(recipe)}")
    file = recipe.file

    def name(state: str, seat: int | None) -> str:
        return state if seat is None or pack_count == 1 else f"{state}_{seat}"

    plain = [r for r in (*file.before, *file.after) if order in r.orders]
    tails = {"homing_back", "releasing_back"}
    repeated = [r for r in file.each if order in r.orders]
    back = [r for r in file.unwind if order in r.orders]
    per_seat = {r.state for r in (*repeated, *back)} - tails

    forward: list[tuple[_Row, int | None]] = [(r, None) for r in file.before if order in r.orders]
    for seat in range(1, pack_count + 1):
        forward += [(r, seat) for r in repeated]
    forward += [(r, None) for r in file.after if order in r.orders]
    unwinding: list[tuple[_Row, int | None]] = []
    for seat in range(1, pack_count + 1):
        unwinding += [(r, seat) for r in back if r.state not in tails]
    unwinding += [(r, None) for r in back if r.state in tails]
    known = {r.state for r in (*plain, *repeated, *back)} | TERMINAL

    rows: list[StepRow] = []
    for index, (row, row_seat) in enumerate((*forward, *unwinding)):
        is_back = index >= len(forward)
        where = f"recipe {recipe.name}, state {row.state}"
        if row.command is not None and row.command not in CommandCode.__members__:
            raise RecipeError(f"{where}: command {row.command!r}; allowed: {', '.join(CommandCode.__members__)}")
        following = _pick(row.next, order)
        if following is None:
            if is_back:
                raise RecipeError(f"{where}: a row of the way back needs `next`")
            following = name(*_state(forward[index + 1])) if index + 1 < len(forward) else COMPLETED
        else:
            if following not in known:
                raise RecipeError(f"{where}: next state {following!r} does not exist for order {order}")
            following = name(following, row_seat) if following in per_seat else following
        back_to = _pick(row.unwind, order)
        if back_to in (None, "none"):
            back_to = None
        elif back_to not in known:
            raise RecipeError(f"{where}: unwind state {back_to!r} does not exist for order {order}")
        elif back_to in per_seat:
            back_to = name(back_to, row_seat or 1)
        rows.append(
            StepRow(
                state=name(row.state, row_seat),
                name_zh=row.name_zh,
                name_en=row.name_en,
                command=CommandCode[row.command] if row.command else None,
                source=row.source,
                target=row.target,
                seat=row_seat or 1,
                permissives=_facts(row.permissives, file.groups, where),
                confirm=_facts(row.confirm, file.groups, where),
                checks=row.checks,
                move=Move(row.move.pack, row.move.from_, row.move.to) if row.move else None,
                next_state=following,
                unwind_state=back_to,
                nominal_s=row.nominal_s,
                spread_share=row.spread_share,
                timeout_s=row.timeout_s,
                confirm_s=row.confirm_s,
                on_fault=row.on_fault,
                unwinding=is_back,
            )
        )
    return StepTable(recipe.name, pack_count, order, tuple(rows))


def _state(item: tuple[_Row, int | None]) -> tuple[str, int | None]:
    return item[0].state, item[1]


def markdown(table: StepTable, language: Literal["zh", "en"] = "en") -> str:
    """The table as Markdown, one line a row."""
    heads = {
        "en": (
            "state",
            "step",
            "command",
            "permissives",
            "confirmed by",
            "next",
            "way back",
            "timeout s",
            "on fault",
        ),
        "zh": ("状态", "步骤", "指令", "许可条件", "确认条件", "下一状态", "回退", "超时 s", "故障处理"),
    }[language]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in table.rows:
        places = "→".join(p.value for p in (row.source, row.target) if p)
        command = f"{row.command.name} {places}".strip() if row.command else ", ".join(row.checks) or "–"
        cells = (
            f"`{row.state}`",
            row.name_zh if language == "zh" else row.name_en,
            command,
            ", ".join(row.permissives) or "–",
            ", ".join(row.confirm) or "–",
            f"`{row.next_state}`",
            f"`{row.unwind_state}`" if row.unwind_state else "–",
            f"{row.timeout_s:g}",
            " → ".join(row.on_fault),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
