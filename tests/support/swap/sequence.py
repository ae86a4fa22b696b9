"""One swap over cell facts set by hand: tables of cycles for the step function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from robotics.port import (
    SEAT_ACCEPTED,
    SEAT_LOCKS_CLOSED,
    SEAT_LOCKS_OPEN,
    SEAT_OCCUPIED,
    AckCode,
    CellState,
    CellStatus,
    CommandCode,
    ResultCode,
    Signal,
)
from scheduler.types import StationMode
from swap.messages.requests import DecisionKind
from swap.station.sequence.decided import lacks_to_decide
from swap.station.sequence.incoming import QuarantineBay
from swap.station.sequence.permissives import BayFact, CellFacts, SeatPlan
from swap.station.sequence.recipe import Check, StepTable, SwapOrder, load_recipe
from swap.station.sequence.secured import span
from swap.station.sequence.sequencer import begin, step
from swap.station.sequence.session import Decision, Effect, Phase, Send, Session, StepFacts

START_AT = datetime(2026, 9, 1, 3, 0, tzinfo=UTC)
HEADS = 8
SEAT_BY_SEAT = {*SEAT_LOCKS_OPEN.values(), *SEAT_LOCKS_CLOSED.values(), *SEAT_ACCEPTED.values()}
"""Told of each seat by some cells only."""
GOOD: Mapping[Signal, bool] = dict.fromkeys([signal for signal in Signal if signal not in SEAT_BY_SEAT], True) | {
    Signal.GRIPPER_LOADED: False,
    Signal.TRANSFER_OCCUPIED: False,
    Signal.TANK_OCCUPIED: False,
    Signal.LOCKS_OPEN: False,
    **dict.fromkeys([SEAT_OCCUPIED[seat] for seat in (2, 3, 4)], False),
}


def heads(*seats: str) -> tuple[bool | None, ...]:
    """Four heads a seat of eight places: `1111` true, `0` false, `-` unknown."""
    values = {"1": True, "0": False, "-": None}
    bits: list[bool | None] = []
    for seat in seats:
        bits += [values[c] for c in seat] + [None] * (HEADS - len(seat))
    return (*bits, *[None] * (seats_for(len(seats)) * HEADS - len(bits)))


def seats_for(packs: int) -> int:
    """Seats of a cell's layout that has room for so many packs."""
    return 2 if packs <= 2 else 4


class Cycle:
    """A swap in a state of its table; the cell is sound unless told otherwise."""

    def __init__(
        self,
        state: str | None = None,
        *,
        recipe: str = "top_lift",
        packs: int = 1,
        order: SwapOrder = "out_in",
        **session: Any,
    ) -> None:
        self.table: StepTable = load_recipe(recipe).table(packs, order)
        self.now = START_AT
        plans = tuple(
            SeatPlan(seat, f"OLD{seat}", f"NEW{seat}", f"s:A{seat + 2}", seat + 2, f"s:A{seat}", seat)
            for seat in range(1, packs + 1)
        )
        self.session: Session = begin(self.table, "swap-1", 7, plans, self.now)
        if state is not None:
            timeout = timedelta(seconds=self.table.by_state[state].timeout_s)
            opened = state in span(self.table) and self.table.by_state[state].command is not CommandCode.UNLOCK
            self.session = replace(self.session, state=state, deadline_at=self.now + timeout, opened=opened)
        self.session = replace(self.session, **session)
        self.signals: dict[Signal, bool | None] = dict(GOOD)
        self.signals |= {SEAT_OCCUPIED[seat]: True for seat in range(2, packs + 1)}
        self.bays = {p.old_position: BayFact(False, power_off=True) for p in plans} | {
            p.new_position: BayFact(True, p.new_pack_id, True, power_off=True, reading_age_s=0.5) for p in plans
        }
        self.cell = CellStatus(
            "L1",
            START_AT,
            START_AT,
            heartbeat_ok=True,
            state=CellState.READY,
            vehicle_tag=7,
            heads_open=heads(*["0000"] * packs),
            heads_closed=heads(*["1111"] * packs),
            seats=seats_for(packs),
        )
        self.age_s: float | None = 0.1
        self.slow_age_s: float | None = 0.5
        self.mode = StationMode.AUTOMATIC
        self.checks: dict[Check, bool | None] = dict.fromkeys(Check, True)
        self.next_seq = 42
        self.last_sent_at: datetime | None = None
        self.speed = 1.0
        self.cell_changed = False
        self.result_known = True
        self.hot_load = False
        self.quarantined_for: frozenset[str] = frozenset()
        self.quarantine_bay: QuarantineBay | None = None

    def see(self, **values: Any) -> Cycle:
        """Change signals by their names; `heads_open`, `state`, `result`… change the status itself."""
        for name, value in values.items():
            if name in {s.value for s in Signal}:
                self.signals[Signal(name)] = value
            else:
                self.cell = replace(self.cell, **{name: value})
        return self

    def bay(self, position: int, **values: Any) -> Cycle:
        """Change what is known of a bay."""
        self.bays[position] = replace(self.bays[position], **values)
        return self

    def facts(self, decision: Decision | None = None) -> StepFacts:
        """What the next step knows."""
        cell = replace(self.cell, signals=dict(self.signals))
        return StepFacts(
            now=self.now,
            cell=CellFacts(cell, self.age_s, self.slow_age_s, 2.0, self.bays),
            mode=self.mode,
            next_seq=self.next_seq,
            speed=self.speed,
            checks=self.checks,
            decision=decision,
            last_sent_at=self.last_sent_at,
            cell_changed=self.cell_changed,
            result_known=self.result_known,
            hot_load=self.hot_load,
            quarantined_for=self.quarantined_for,
            quarantine_bay=self.quarantine_bay,
        )

    def step(self, after_s: float = 0.0, decide: str | None = None) -> tuple[Effect, ...]:
        """One step after some seconds, with a person's decision where given; the effects."""
        self.now += timedelta(seconds=after_s)
        decision = None if decide is None else Decision(DecisionKind(decide), "Person on shift")
        self.session, effects = step(self.table, self.session, self.facts(decision))
        if any(isinstance(effect, Send) for effect in effects):
            self.last_sent_at = self.now
        return effects

    def lacking(self, decide: str) -> tuple[str, ...]:
        """The facts for want of which a decision is refused now, as they are asked for: each is the other way round."""
        facts = self.facts(Decision(DecisionKind(decide), "Person on shift"))
        lacking = lacks_to_decide(self.table, self.session, facts)
        assert all(item.value in (None, item.name.startswith("!")) for item in lacking)
        return tuple(item.name for item in lacking)

    def sent(self) -> Send:
        """Step until a command is sent and let the cell run it."""
        (effect,) = [e for e in self.step() if isinstance(e, Send)]
        assert self.session.phase is Phase.SENT
        assert self.session.seq == effect.command.seq
        return self.running(effect)

    def running(self, sent: Send) -> Send:
        """The cell has taken the command."""
        seq = sent.command.seq
        self.see(ack_seq=seq, ack_code=AckCode.ACCEPTED, active_seq=seq, state=CellState.BUSY)
        return sent

    def ended(self, result: ResultCode = ResultCode.DONE, **status: Any) -> Cycle:
        """The cell has ended the command of the session."""
        seq = self.session.seq
        assert seq is not None
        return self.see(active_seq=0, done_seq=seq, result=result, state=CellState.READY, **status)

    def acknowledged(self) -> Cycle:
        """The cell has seen that its result is stored."""
        return self.see(result=ResultCode.NONE)


def kinds(effects: tuple[Effect, ...]) -> list[str]:
    """Names of effects, in order."""
    return [type(effect).__name__ for effect in effects]


def of(effects: tuple[Effect, ...], kind: type) -> Any:
    """The one effect of a kind."""
    (effect,) = [e for e in effects if isinstance(e, kind)]
    return effect
