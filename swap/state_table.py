"""A state table: what may follow what, driven by `transitions`.

A table holds no row and does no I/O. The state lives in a stored row; `next()` takes it with a trigger and gives the
state to store. Swap session, station mode, pack in its bay, stage of a hot pack and booking are such tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from transitions import Machine

S = TypeVar("S", bound=str)
T = TypeVar("T", bound=str)


class IllegalTransition(Exception):
    """A trigger that the table does not allow in a state."""

    def __init__(self, table: str, state: str, trigger: str, allowed: Iterable[str]) -> None:
        self.table, self.state, self.trigger = table, state, trigger
        super().__init__(
            f"{table}: {str(trigger)!r} is not allowed in state {str(state)!r}; "
            f"allowed: {', '.join(map(str, allowed)) or 'nothing, it is an end'}"
        )


@dataclass(frozen=True, slots=True)
class Row(Generic[S, T]):
    """One transition, from each of some states."""

    trigger: T
    sources: tuple[S, ...]
    target: S


class _Position:
    """What the machine moves: the state of one question."""

    def __init__(self, state: str) -> None:
        self.state = state


_PLAIN_BOXES: dict[str, Any] = {"node": {"default": {"fillcolor": "white", "color": "black"}}}
"""No state of a diagram is the one somebody is in."""


class StateTable(Generic[S, T]):
    """States and the transitions between them.

    Args:
        name: what it is about, for messages and diagrams.
        states: every state; the first is the one a new row is in.
        rows: the transitions; a trigger leads from a state to one other.

    Raises:
        ValueError: a row names a state that is not listed, or gives a trigger a second target from one state.
    """

    def __init__(self, name: str, states: Iterable[S], rows: Iterable[Row[S, T]]) -> None:
        self.name = name
        self.states: tuple[S, ...] = tuple(states)
        self.rows: tuple[Row[S, T], ...] = tuple(rows)
        self.initial: S = self.states[0]
        self._known = {str(state): state for state in self.states}
        self._triggers = {str(row.trigger): row.trigger for row in self.rows}
        targets: dict[tuple[str, str], S] = {}
        for row in self.rows:
            for state in (*row.sources, row.target):
                if str(state) not in self._known:
                    raise ValueError(
                        f"{name}: row {row.trigger} names state {state!r}; known: {', '.join(self.states)}"
                    )
            for source in row.sources:
                if targets.setdefault((str(source), str(row.trigger)), row.target) != row.target:
                    raise ValueError(f"{name}: {row.trigger} leads from {source} to two states")
        self._next: dict[tuple[S, T], S | None] = {}

    @cached_property
    def _machine(self) -> Machine:
        from transitions import Machine  # here: a study knows the states of some tables and asks none

        return Machine(model=None, auto_transitions=False, queued=False, **self._build())

    @cached_property
    def _may(self) -> Mapping[S, tuple[T, ...]]:
        return {
            state: tuple(self._triggers[trigger] for trigger in self._machine.get_triggers(name))
            for name, state in self._known.items()
        }

    def _build(self) -> dict[str, Any]:
        return {
            "states": list(self._known),
            "transitions": [
                [str(row.trigger), [str(source) for source in row.sources], str(row.target)] for row in self.rows
            ],
            "initial": str(self.initial),
        }

    def next(self, state: S, trigger: T) -> S:
        """The state after a trigger.

        Raises:
            IllegalTransition: the table has no such transition.
        """
        following = self._after(state, trigger)
        if following is None:
            raise IllegalTransition(self.name, state, trigger, self.triggers(state))
        return following

    def allows(self, state: S, trigger: T) -> bool:
        """Whether the table has a transition."""
        return self._after(state, trigger) is not None

    def _after(self, state: S, trigger: T) -> S | None:
        """The machine's own answer, asked once for each question."""
        key = (state, trigger)
        if key not in self._next:
            from transitions import MachineError

            position = _Position(str(state))
            try:
                self._machine.events[str(trigger)].trigger(position)
            except (MachineError, KeyError, ValueError):
                self._next[key] = None
            else:
                self._next[key] = self._known[position.state]
        return self._next[key]

    def triggers(self, state: S) -> tuple[T, ...]:
        """What may happen in a state, in the order of the table."""
        return self._may.get(state, ())

    def leads(self, state: S, following: S) -> bool:
        """Whether one trigger leads from a state to another."""
        return any(self.next(state, trigger) == following for trigger in self.triggers(state))

    def reachable(self, state: S | None = None) -> frozenset[S]:
        """The states that can follow a state, itself included; from the first one where none is given."""
        reached: set[S] = set()
        waiting = [self.initial if state is None else state]
        while waiting:
            here = waiting.pop()
            if here not in reached:
                reached.add(here)
                waiting += [self.next(here, trigger) for trigger in self.triggers(here)]
        return frozenset(reached)

    @cached_property
    def ends(self) -> frozenset[S]:
        """States that are never left."""
        return frozenset(state for state, triggers in self._may.items() if not triggers)

    def markdown(self) -> str:
        """The table as Markdown: each state with what may happen in it and what follows."""
        lines = ["| state | trigger | next |", "|---|---|---|"]
        for state in self.states:
            for trigger in self.triggers(state):
                lines.append(f"| `{state}` | {trigger} | `{self.next(state, trigger)}` |")
            if state in self.ends:
                lines.append(f"| `{state}` | – | – |")
        return "\n".join(lines)

    def mermaid(self, without: Collection[T] = ()) -> str:
        """The table as a Mermaid state diagram, drawn by `transitions`; without the rows of some triggers."""
        left_out = {str(trigger) for trigger in without}
        drawn = self._build()
        drawn["transitions"] = [row for row in drawn["transitions"] if row[0] not in left_out]
        from transitions.extensions import GraphMachine  # brings asyncio, which no table needs

        machine = GraphMachine(
            model=None, auto_transitions=False, graph_engine="mermaid", title=f"title: {self.name}", **drawn
        )
        machine.machine_attributes, machine.style_attributes = {"rankdir": "TB"}, _PLAIN_BOXES
        position = _Position(str(self.initial))
        machine.add_model(position)
        graph: Any = machine.model_graphs[id(position)]
        graph.reset_styling()
        ends = [f"  {state} --> [*]" for state in self.states if state in self.ends]
        return "\n".join([*(line.rstrip() for line in graph.get_graph().source.splitlines()), *ends])
