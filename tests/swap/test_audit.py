"""The audit finds nothing wrong in a database that the real controller wrote, and each kind of damage done to it.

Every invariant is corrupted at least once, behind the back of triggers and constraints; a check that no
damage can make fail would prove nothing.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from swap.audit import CHECKS, AuditReport, audit
from swap.audit.journal import JOURNAL_CHECKS
from swap.audit.packs import PACK_CHECKS
from swap.commerce.billing import correct_bill
from swap.commerce.bookings import cancel_booking, make_booking
from swap.commerce.pricing import CENTI_KWH
from swap.journal.heads import NotedHead
from swap.messages.events import SwapCompleted, SwapDispatched, SwapStepStarted
from swap.reading.lists import list_bills
from swap.store import Store
from tests.support.sim.plant import station
from tests.support.swap.commerce import filled_store
from tests.support.swap.commerce import station as fresh_station
from tests.support.swap.station import START_AT, Bench


def examine(url: str, heads: Sequence[NotedHead] = ()) -> AuditReport:
    store = Store(url)
    try:
        with store.reading() as db:
            return audit(db, heads=heads)
    finally:
        store.close()


async def a_day(bench: Bench) -> None:
    """Two swaps of V1, one of them booked and corrected, V2 cancelled in the queue, V3 under way."""
    await bench.start()
    await bench.run(5)
    at = bench.clock.now()
    with bench.store.station(bench.config.station.id) as db:
        for vehicle, minutes in (("V1", 0), ("V4", 60)):
            start_at = at + timedelta(minutes=minutes)
            booking = make_booking(
                db,
                bench.config,
                vehicle_id=vehicle,
                window_start_at=start_at,
                window_end_at=start_at + timedelta(minutes=30),
                at=at,
            )
        cancel_booking(db, bench.config, booking.booking_id, at=at)
    bench.arrive("V1", 30)
    await bench.run_until(SwapDispatched.kind)
    waiting = bench.arrive("V2", 30)
    bench.ask("cancel_swap", swap_id=waiting)
    bench.plant.leave_yard("V2")
    await bench.run_until(SwapCompleted.kind)
    await bench.run(60, 2)
    bench.arrive("V1", 60)
    await bench.run_until(SwapCompleted.kind)
    await bench.run(5)
    with bench.store.station(bench.config.station.id) as db:
        first = list_bills(db, bench.config.station.id).items[-1]
        quantity = first.lines[0].energy_kwh - CENTI_KWH
        correct_bill(db, first.bill_id, {1: quantity}, at=bench.clock.now(), name="Li", reason="read again")
    bench.arrive("V3", 30)
    await bench.run_until(SwapStepStarted.kind)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database file of `a_day`."""
    folder = tmp_path_factory.mktemp("day")
    bench = Bench(folder, station(), speed=20.0)
    try:
        asyncio.run(a_day(bench))
    finally:
        bench.close()
    return folder / "swap.db"


def written_heads(written: Path) -> list[NotedHead]:
    """The heads that somebody would have noted after events 20 and 60, and at the end."""
    with closing(sqlite3.connect(written)) as connection:
        rows = connection.execute(
            "SELECT station_id, epoch, seq, hash FROM station_event "
            "WHERE seq IN (20, 60) OR seq = (SELECT max(seq) FROM station_event)"
        ).fetchall()
    assert len(rows) == 3
    return [NotedHead(station_id, epoch, seq, own, START_AT) for station_id, epoch, seq, own in rows]


def test_what_the_controller_wrote_is_clean_and_every_check_looked_at_something(written: Path) -> None:
    report = examine(f"sqlite:///{written}", written_heads(written))
    assert {i.name: i.violations for i in report.invariants if i.violations} == {}
    assert report.ok
    assert [i.name for i in report.invariants if not i.examined and i.name != "fault_open_once"] == []
    assert all(i.meaning for i in report.invariants)
    by_name = {i.name: i for i in report.invariants}
    assert by_name["swap_steps_legal"].examined > 20
    assert by_name["completed_swap_billed_once"].examined == 4


TABLES = (
    "pack", "bay", "swap", "swap_seat", "booking", "robot_command", "charge_session", "fault", "bill", "bill_line",
    "station_event",
)  # fmt: skip

FIRST_SWAP = "(SELECT id FROM swap WHERE state = 'completed' ORDER BY arrived_at LIMIT 1)"
SECOND_SWAP = "(SELECT id FROM swap WHERE state = 'completed' ORDER BY arrived_at DESC LIMIT 1)"
OPEN_SWAP = "(SELECT id FROM swap WHERE ended_at IS NULL)"
CANCELLED_SWAP = "(SELECT id FROM swap WHERE state = 'cancelled')"
BILL = f"(SELECT id FROM bill WHERE kind = 'swap' AND swap_id = {SECOND_SWAP})"
STEP = "(SELECT seq FROM station_event WHERE kind = 'swap.step_done' AND json_extract(data, '$.seq') > 0 LIMIT 1)"
SPENT = "(SELECT pack_id FROM charge_session ORDER BY id LIMIT 1)"
FAULT = (
    "INSERT INTO fault (id, station_id, code, level, source, open_key, raised_at, cleared_at, data) "
    "VALUES ({}, 'test', 7, 1, 'lane:L1', {}, '2026-01-01 00:00:00', {}, '{{}}')"
)

DAMAGE: dict[str, tuple[str, ...]] = {
    "pack_in_one_place": (
        "UPDATE pack SET off_site = 1 WHERE bay_id = 'test:A1'",
        "UPDATE pack SET bay_id = NULL WHERE bay_id = 'test:A1'",
        "UPDATE pack SET seat = NULL WHERE vehicle_id = 'V4'",
    ),
    "bay_holds_one_pack": (
        "UPDATE pack SET bay_id = (SELECT max(bay_id) FROM pack) WHERE bay_id = (SELECT min(bay_id) FROM pack)",
        "DELETE FROM bay WHERE id = (SELECT max(bay_id) FROM pack)",
    ),
    "seat_holds_one_pack": ("UPDATE pack SET vehicle_id = 'V4' WHERE vehicle_id = 'V2'",),
    "pack_place_in_journal": (
        "UPDATE pack SET vehicle_id = 'V2' WHERE vehicle_id = 'V4'",
        "DELETE FROM station_event WHERE seq = (SELECT min(seq) FROM station_event WHERE kind = 'pack.moved' "
        f"AND swap_id = {FIRST_SWAP})",
        "UPDATE station_event SET data = json_set(data, '$.to', 'bay:test:Z') WHERE kind = 'pack.moved'",
    ),
    "pack_state_fits_place": (
        "UPDATE pack SET state = 'on_vehicle' WHERE bay_id = (SELECT max(bay_id) FROM pack)",
        "UPDATE pack SET state = 'charging' WHERE vehicle_id = 'V4'",
    ),
    "pack_states_legal": (
        "UPDATE station_event SET data = json_set(data, '$.to', 'picked') WHERE kind = 'pack.state' "
        "AND json_extract(data, '$.trigger') = 'identify'",
        f"UPDATE pack SET state = 'blocked' WHERE id = {SPENT}",
        "DELETE FROM station_event WHERE kind = 'pack.state' AND json_extract(data, '$.to') = 'picked'",
    ),
    "reserved_pack_is_promised": (
        f"UPDATE pack SET state = 'reserved' WHERE id = {SPENT}",
        f"DELETE FROM swap_seat WHERE swap_id = {OPEN_SWAP}",
    ),
    "charge_sessions_apart": (
        f"UPDATE charge_session SET started_at = '2020-01-01 00:00:00', ended_at = NULL WHERE pack_id = {SPENT}",
        "UPDATE charge_session SET ended_at = '2020-01-01 00:00:00'",
        "UPDATE charge_session SET open_pack_id = 'x'",
        "INSERT INTO charge_session SELECT id + 1000, station_id, pack_id, bay_id, open_pack_id, started_at, ended_at, "
        "start_energy_kwh, end_energy_kwh, start_meter_kwh, end_meter_kwh FROM charge_session",
    ),
    "journal_understood": (
        "UPDATE station_event SET data = json_set(data, '$.by', 'x') WHERE kind = 'pack.moved'",
        "UPDATE station_event SET data = json_remove(data, '$.seats') WHERE kind = 'swap.completed'",
        "UPDATE station_event SET data = json_set(data, '$.seats', '1') WHERE kind = 'swap.completed'",
        "UPDATE station_event SET kind = 'swap.danced' WHERE seq = 3",
        "UPDATE station_event SET data = '[1]' WHERE seq = 3",
        "UPDATE station_event SET data = '{' WHERE seq = 3",
    ),
    "journal_chained": (
        "DELETE FROM station_event WHERE seq = 20",
        "DELETE FROM station_event WHERE seq = 1",
        "INSERT INTO station_event SELECT * FROM station_event WHERE seq = 20",
        "UPDATE station_event SET at = '2020-01-01 00:00:00.000000' WHERE seq = 20",
        "UPDATE station_event SET actor = 'person:x' WHERE seq = 20",
        "UPDATE station_event SET data = data || ' ' WHERE seq = 20",
        "UPDATE station_event SET data = '{' WHERE seq = 20",
        "UPDATE station_event SET epoch = 2 WHERE seq > 20",
        "UPDATE station_event SET prev_hash = hash WHERE seq = 20",
        "UPDATE station_event SET hash = prev_hash WHERE seq = (SELECT max(seq) FROM station_event)",
    ),
    "journal_reaches_heads": (
        "DELETE FROM station_event WHERE seq > 40",
        "UPDATE station_event SET hash = prev_hash WHERE seq = 20",
        "DELETE FROM station WHERE id = 'test'",
    ),
    "fault_open_once": (
        FAULT.format(901, "'test|a'", "NULL") + "; " + FAULT.format(902, "'test|b'", "NULL"),
        FAULT.format(901, "NULL", "NULL"),
        FAULT.format(901, "'test|a'", "'2026-01-01 00:01:00'"),
    ),
    "swap_steps_legal": (
        f"DELETE FROM station_event WHERE seq = {STEP}",
        f"UPDATE station_event SET data = json_set(data, '$.next', 'releasing') WHERE seq = {STEP}",
        f"UPDATE swap SET state = 'locking' WHERE id = {OPEN_SWAP}",
        "UPDATE swap SET recipe = 'unknown' WHERE recipe IS NOT NULL",
    ),
    "swap_ended_or_open_with_reason": (
        f"UPDATE swap SET ended_at = NULL WHERE id = {FIRST_SWAP}",
        f"UPDATE swap SET phase = 'held' WHERE id = {OPEN_SWAP}",
        "DELETE FROM station_event WHERE kind = 'swap.cancelled'",
        "INSERT INTO station_event SELECT station_id, seq + 9000, epoch, at, kind, actor, swap_id, pack_id, bay_id, "
        "lane_id, cause_seq, data, prev_hash, hash FROM station_event WHERE kind = 'swap.completed'",
        f"UPDATE swap SET state = 'cancelled' WHERE id = {FIRST_SWAP}",
    ),
    "swap_locks": (
        f"UPDATE swap SET open_vehicle_id = NULL WHERE id = {OPEN_SWAP}",
        f"UPDATE swap SET open_lane_id = NULL WHERE id = {OPEN_SWAP}",
        f"UPDATE swap SET open_lane_id = 'test:L1' WHERE id = {FIRST_SWAP}",
    ),
    "command_numbers_rise": (
        "UPDATE robot_command SET seq = 1",
        "UPDATE robot_command SET seq = seq + 70000",
        "UPDATE robot_command SET result = 'open'",
    ),
    "commands_match_steps": (
        "UPDATE robot_command SET result = 'failed' WHERE id = (SELECT min(id) FROM robot_command)",
        f"DELETE FROM station_event WHERE seq = {STEP}",
        "UPDATE robot_command SET state = 'elsewhere'",
    ),
    "exchange_in_journal": (
        f"UPDATE swap_seat SET new_pack_id = 'x' WHERE swap_id = {FIRST_SWAP}",
        f"UPDATE swap_seat SET exchanged = 0 WHERE swap_id = {FIRST_SWAP}",
        f"DELETE FROM station_event WHERE kind = 'pack.moved' AND swap_id = {FIRST_SWAP}",
    ),
    "installed_energy_is_kept": (
        f"UPDATE swap_seat SET last_settled_soe_kwh = 1 WHERE swap_id = {SECOND_SWAP}",
        "UPDATE pack SET settled_soe_kwh = 1 WHERE vehicle_id = 'V1'",
    ),
    "booking_used_once": (
        f"UPDATE swap SET booking_id = (SELECT booking_id FROM swap WHERE id = {FIRST_SWAP}) WHERE id = {SECOND_SWAP}",
        "UPDATE booking SET status = 'booked' WHERE status = 'fulfilled'",
        "UPDATE booking SET status = 'fulfilled' WHERE status = 'cancelled'",
        "UPDATE booking SET vehicle_id = 'V3' WHERE status = 'fulfilled'",
        "UPDATE swap SET booking_id = 'none' WHERE booking_id IS NOT NULL",
        "DELETE FROM station_event WHERE kind = 'booking.ended'",
        "UPDATE booking SET status = 'arrived', vehicle_id = 'V1'",
    ),
    "completed_swap_billed_once": (
        f"DELETE FROM bill WHERE swap_id = {SECOND_SWAP};"
        "UPDATE station_event SET at = '2030-01-01 00:00:00' WHERE seq = (SELECT max(seq) FROM station_event)",
        f"UPDATE bill SET swap_id = {CANCELLED_SWAP} WHERE id = {BILL}",
        f"UPDATE bill SET swap_id = 'none' WHERE id = {BILL}",
        f"INSERT INTO bill SELECT id || 'x', swap_id, kind, payer_id, issued_at, total_fen, flags FROM bill "
        f"WHERE id = {BILL}",
    ),
    "bill_in_journal": (
        f"UPDATE bill SET total_fen = total_fen + 1 WHERE id = {BILL}",
        "DELETE FROM station_event WHERE kind = 'bill.issued'",
        f"DELETE FROM bill WHERE id = {BILL}",
    ),
    "bill_adds_up": (
        f"UPDATE bill SET total_fen = total_fen + 1 WHERE id = {BILL}",
        f"UPDATE bill_line SET amount_fen = amount_fen + 1 WHERE bill_id = {BILL}",
        f"DELETE FROM bill_line WHERE bill_id = {BILL} AND line_no = 1",
        f"DELETE FROM bill WHERE id = {BILL}",
    ),
    "reversal_mirrors_bill": (
        "DELETE FROM bill_line WHERE bill_id IN (SELECT id FROM bill WHERE kind = 'reversal')",
        "DELETE FROM bill WHERE kind = 'reversal'",
        "UPDATE bill SET kind = 'swap' WHERE kind = 'correction'",
    ),
    "bill_energy_is_the_packs": (
        f"UPDATE swap_seat SET returned_soe_kwh = returned_soe_kwh - 1 WHERE swap_id = {SECOND_SWAP}",
        f"UPDATE bill_line SET energy_centi_kwh = 91000 WHERE bill_id = {BILL}",
        f"UPDATE bill_line SET pack_id = 'x' WHERE bill_id = {BILL}",
        f"UPDATE bill_line SET seat = 2 WHERE bill_id = {BILL}",
    ),
}


def damaged(written: Path, folder: Path, script: str) -> str:
    """A copy whose tables have neither triggers nor constraints, after a script; its URL."""
    path = folder / "damaged.db"
    shutil.copy(written, path)
    with closing(sqlite3.connect(path)) as connection:
        for table in TABLES:
            connection.executescript(
                f"CREATE TABLE bare AS SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE bare RENAME TO {table};"
            )
        before = connection.total_changes
        connection.executescript(script)
        assert connection.total_changes > before, "the damage met no row"
    return f"sqlite:///{path}"


@pytest.mark.parametrize(
    ("invariant", "script"),
    [
        pytest.param(invariant, script, id=f"{invariant}-{number}")
        for invariant, scripts in DAMAGE.items()
        for number, script in enumerate(scripts, start=1)
    ],
)
def test_damage_is_found(written: Path, tmp_path: Path, invariant: str, script: str) -> None:
    report = examine(damaged(written, tmp_path, script), written_heads(written))
    violations = {i.name: i.violations for i in report.invariants}
    assert violations[invariant], f"not found; others found: {[name for name, v in violations.items() if v]}"
    assert not report.ok


def test_taking_the_constraints_away_is_no_damage(written: Path, tmp_path: Path) -> None:
    assert examine(damaged(written, tmp_path, "UPDATE station SET version = version + 1")).ok


def test_every_check_has_its_damage() -> None:
    assert set(DAMAGE) == {check.__name__ for check in CHECKS}


def test_a_swap_that_was_completed_just_now_may_wait_for_its_bill(written: Path, tmp_path: Path) -> None:
    url = damaged(
        written, tmp_path, f"DELETE FROM bill WHERE id = {BILL}; DELETE FROM bill_line WHERE bill_id = {BILL}"
    )
    (invariant,) = [i for i in examine(url).invariants if i.name == "completed_swap_billed_once"]
    assert (invariant.violations, invariant.pending) == ((), 1)


def test_a_fresh_station_on_both_engines(database_url: str) -> None:
    with filled_store(database_url, fresh_station()):
        report = examine(database_url)
    assert report.ok
    examined = {i.name: i.examined for i in report.invariants if i.examined}
    assert (examined["pack_in_one_place"], examined["bay_holds_one_pack"]) == (5, 4)
    assert set(examined) <= {check.__name__ for check in (*JOURNAL_CHECKS, *PACK_CHECKS)}


def test_events_without_their_keys_are_violations_not_crashes(written: Path, tmp_path: Path) -> None:
    report = examine(damaged(written, tmp_path, "UPDATE station_event SET data = '{}'"))
    assert sum(bool(i.violations) for i in report.invariants) >= 5


def test_legality_can_be_given(written: Path) -> None:
    store = Store(f"sqlite:///{written}")
    asked: list[str | None] = []

    def legal(recipe: str | None, pack_count: int, steps: object) -> str | None:
        asked.append(recipe)
        return "no step is legal here"

    with store.reading() as db:
        report = audit(db, legal=legal)
    store.close()
    (invariant,) = [i for i in report.invariants if i.name == "swap_steps_legal"]
    assert len(invariant.violations) == len(asked) == 4
