"""Every kind of what can happen comes in every row between UNLOCK and home, and each stands for a fault of the
controller that no other kind finds: it is planted here, in the code that is explored.

With PROVE=all a planted fault is also looked for without its kind, by everything else that is explored.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import pytest

from robotics.port import VEHICLE_OPTIONAL, Signal
from sim.plant.cell import Cell
from swap.station.controller import StationController
from swap.station.life.coming_back import Ending
from swap.station.life.watchdog import Gap, Watchdog
from swap.station.records import next_seq
from swap.station.sequence import permissives, recovery, row_facts, rules, secured, turns
from swap.station.sequence.permissives import CellFacts, Missing
from swap.station.sequence.recipe import FaultAction, StepRow, StepTable, load_recipe
from swap.station.sequence.recovery import StepFault
from swap.station.sequence.session import HoldReason, Phase, StepFacts
from swap.station_db import StationDb
from tests.prove.explore_kinds import KIND, KIND_PAIRS, KINDS, Kind, counted, rows_of
from tests.prove.explore_mishaps import mishaps
from tests.prove.explore_reasons import sentences
from tests.prove.explore_station import MemoryLane
from tests.prove.explore_walk import LIVES, Report, Walk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Planted:
    """A fault put into the controller, what of the rules it breaks, and the world it is looked for in."""

    plant: Callable[[pytest.MonkeyPatch], None]
    breaks: str
    change: Callable[[StepTable], StepTable] = lambda table: table
    fenced: bool = True
    """False: a cell whose layout has no epoch, which would hide the fault."""


def _table() -> StepTable:
    return load_recipe("top_lift").table(1, "out_in")


def _walk(planted: Planted | None, names: tuple[str, ...], lives: tuple[str, ...], most: int = 1) -> Report:
    table = _table() if planted is None else planted.change(_table())
    fenced = planted is None or planted.fenced
    logging.disable(logging.CRITICAL)
    try:
        return Walk(table, names=names, lives=lives, mishaps_most=most, fenced=fenced, violations_most=1).run()
    finally:
        logging.disable(logging.NOTSET)


def _every_death_is_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swap.station.resume._ending", lambda db: Ending.STOPPED)


def _no_swap_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swap.station.resume.past_admitting", lambda db, config: frozenset())


def _gaps_are_not_told(what: str) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        told = Watchdog.take_gap

        def take_gap(self: Watchdog, lane_id: str) -> Gap | None:
            gap = told(self, lane_id)
            return None if gap is not None and gap.what == what else gap

        monkeypatch.setattr(Watchdog, "take_gap", take_gap)

    return plant


def _the_cell_takes_any_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Cell.command

    def command(self: Cell, asked: Any, now_us: int, token: int | None = None, epoch: int | None = None) -> Any:
        return taken(self, asked, now_us, token, None if epoch is None else self.epoch)

    monkeypatch.setattr(Cell, "command", command)


def _the_lease_is_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the question at the end, nor by what that end writes to the journal first."""

    async def still_ours(self: StationController) -> bool:
        return False

    async def told(self: StationController) -> bool:
        return True

    monkeypatch.setattr(StationController, "_lease_is_lost", still_ours)
    monkeypatch.setattr(StationController, "_tell_gaps", told)


def _the_database_was_never_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def goes_on(self: StationController, outage: object) -> None:
        await self._load(self.context.mode, self.context.mode_reason, restarted=False)

    monkeypatch.setattr(StationController, "_take_up", goes_on)


def _power_is_no_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = tuple(signal for signal in permissives.TRIPS if signal is not Signal.POWER_OK)
    monkeypatch.setattr(permissives, "TRIPS", trips)


def _only_the_cell_knows_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.prove.explore_station.next_seq", lambda stored, *seen: next_seq(0, *seen))


def _any_result_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    async def known(*_: object) -> bool:
        return True

    monkeypatch.setattr("tests.prove.explore_station.MemoryLane._on_record", known)


def _nobody_asks(name: Signal) -> Callable[[pytest.MonkeyPatch], None]:
    """One of the facts that secure a vehicle is asked by nobody, nor what only some vehicles tell and follows it."""
    forgotten = {signal.value for signal in (name, *VEHICLE_OPTIONAL)}

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        asked = secured._lacking

        def lacking(names: tuple[Signal, ...], cell: CellFacts) -> list[Missing]:
            return [item for item in asked(names, cell) if item.name not in forgotten]

        monkeypatch.setattr(secured, "_lacking", lacking)

    return plant


def _without_acceptance(table: StepTable) -> StepTable:
    def change(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in ("pack_accepted", "all_packs_accepted"))

    rows = (replace(row, permissives=change(row.permissives), confirm=change(row.confirm)) for row in table.rows)
    return StepTable(table.recipe, table.pack_count, table.swap_order, tuple(rows), table.groups)


def _acceptance_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    left = tuple(name for name in rules.RELEASED_WHEN if name != "all_packs_accepted")
    monkeypatch.setattr(row_facts, "RELEASED_WHEN", left)


def _the_cell_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the sensors: the row's own retries are taken."""
    decided = recovery.recovery_for

    def recovery_for(row: StepRow, fault: StepFault, tries: int) -> FaultAction:
        return decided(row, replace(fault, contradicted=False), tries)

    monkeypatch.setattr(turns, "recovery_for", recovery_for)


def _the_right_is_asked_again_at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a guard: whoever has lost it is stopped wherever he stands."""
    asked = MemoryLane._take

    async def take(self: MemoryLane, facts: StepFacts) -> bool:
        session = self.session
        lost = session is not None and self.context.right_of(cast(StationDb, None), session.swap_id) is not True
        if session is None or not lost or not session.opened or session.phase is Phase.HELD:
            return await asked(self, facts)
        self.session = replace(session, phase=Phase.HELD, hold_reason=HoldReason.CHECK_FAILED)
        self.owner.stored = replace(self.owner.stored, session=self.session)
        return True

    monkeypatch.setattr(MemoryLane, "_take", take)


PLANTED: dict[str, Planted] = {
    "process killed": Planted(_every_death_is_a_stop, "no person has decided"),
    "clean stop": Planted(_no_swap_is_under_way, "asked after a stop", fenced=False),
    "pause in looking": Planted(_gaps_are_not_told("looking"), "ADMIT asked after a pause", fenced=False),
    "pause in commanding": Planted(_gaps_are_not_told("commanding"), "ADMIT asked after a pause"),
    "pause in a write": Planted(_the_cell_takes_any_epoch, "that was decided before a pause starts after it"),
    "two controllers, lost lease": Planted(_the_lease_is_never_lost, "writes to the chargers"),
    "database away": Planted(_the_database_was_never_away, "asked after a lost database", fenced=False),
    "power cut, memory kept": Planted(_power_is_no_trip, "although power_cut was seen"),
    "power cut, memory lost": Planted(_only_the_cell_knows_numbers, "with number 1 asked again"),
    "out of position": Planted(_nobody_asks(Signal.VEHICLE_IN_POSITION), "vehicle can move"),
    "handbrake": Planted(_nobody_asks(Signal.HANDBRAKE_ON), "vehicle can move"),
    "gear": Planted(_nobody_asks(Signal.GEAR_NEUTRAL), "vehicle can move"),
    "key": Planted(_nobody_asks(Signal.KEY_OFF), "vehicle can move"),
    "high voltage": Planted(_nobody_asks(Signal.HV_OFF), "vehicle can move"),
    "accepts late or never": Planted(_acceptance_is_not_asked, "does not accept its packs", _without_acceptance),
    "done against the sensors": Planted(_the_cell_is_believed, "asked after says_done"),
    "lost right": Planted(_the_right_is_asked_again_at_every_look, "past its first unlock is held for a check"),
    "held result": Planted(_any_result_is_ours, "is not on record, and no person has decided"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_by_its_kind(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, planted = KIND[name], PLANTED[name]
    sound = _walk(Planted(lambda _: None, "", planted.change, planted.fenced), kind.mishaps, kind.lives)
    assert sound.violations == []
    planted.plant(monkeypatch)
    found = _walk(planted, kind.mishaps, kind.lives)
    assert found.violations, "the exploration did not find what was planted"
    assert planted.breaks in found.violations[0]


@cache
def _everything_said() -> Report:
    names = tuple(name for kind in KINDS for name in kind.mishaps)
    return _walk(None, (*names, "estop", "curtain", "gripper_jam_lasting", "link_down", "person_holds", "manual"), ())


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_no_state_waits_without_a_reason_and_no_two_causes_share_a_sentence(language: str) -> None:
    """S14, S15: looked at in every state in which the controller has nothing to do; what is said is never a code."""
    report = _everything_said()
    assert report.violations == []
    said = sentences(report.said, language)
    assert len(said) > 20
    shared = {text: causes for text, causes in said.items() if len(causes) > 1}
    assert shared == {}
    codes = {name.removeprefix("!") for _, names in report.said for name in names if "_" in name}
    assert [text for text in said for code in codes if code in text] == []


def _others(kind: Kind) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Everything that is explored but a kind and its kin."""
    left = [kind, *(KIND[name] for name in kind.kin)]
    names = {name for item in left for name in item.mishaps}
    lives = {life for item in left for life in item.lives}
    return tuple(n for n in mishaps(1) if n not in names), tuple(life for life in LIVES if life not in lives)


@pytest.mark.skipif(os.environ.get("PROVE") != "all", reason="a whole walk for each kind: PROVE=all")
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_by_nothing_else(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell without an epoch cannot fence a write that was decided before a pause: there that is left out."""
    kind, planted = KIND[name], PLANTED[name]
    names, lives = _others(kind)
    if not planted.fenced:
        lives = tuple(life for life in lives if life not in ("late", "rival"))
    planted.plant(monkeypatch)
    report = _walk(planted, names, lives)
    assert report.complete
    assert report.violations == []


def test_every_kind_has_its_planted_fault() -> None:
    assert set(PLANTED) == set(KIND)
    known = set(mishaps(1))
    assert all(set(kind.mishaps) <= known and set(kind.lives) <= set(LIVES) for kind in KINDS)
    assert len(set(KIND_PAIRS)) >= 20


def test_a_kind_that_does_not_come_in_a_row_is_missed() -> None:
    """The count is of what came, not of what was listed."""
    report = _walk(None, (), ("pause",))
    assert set(counted(KIND["pause in looking"], report.happened)) >= rows_of(KIND["pause in looking"], _table())
    assert not counted(KIND["held result"], report.happened)
