"""The audit finds nothing wrong in a database that the real controller wrote, and each kind of damage done to it.

Every invariant is corrupted at least once, behind the back of triggers and constraints; a check that no
damage can make fail would prove nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from swap.audit import INVARIANTS, AuditReport, audit
from swap.journal.heads import NotedHead
from swap.store import Store
from tests.support.swap.commerce import filled_store
from tests.support.swap.commerce import station as fresh_station
from tests.support.swap.damage import Examined, bare
from tests.support.swap.days import ordinary, shared_station
from tests.support.swap.lease_day import LEASE_DAMAGE
from tests.support.swap.station import START_AT, Bench
from tests.support.swap.told import WEBHOOK_DAMAGE
from tests.swap.test_audit_accounts import ACCESS_DAMAGE
from tests.swap.test_audit_fees import FEE_DAMAGE
from tests.swap.test_audit_leases import LEASE_AUDIT_DAMAGE
from tests.swap.test_audit_ledger import DAMAGE as LEDGER_DAMAGE
from tests.swap.test_dr_settled import RESPONSE_DAMAGE


def examine(url: str, heads: Sequence[NotedHead] = ()) -> AuditReport:
    store = Store(url)
    try:
        with store.reading() as db:
            return audit(db, heads=heads)
    finally:
        store.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database file of an ordinary day."""
    folder = tmp_path_factory.mktemp("day")
    bench = Bench(folder, shared_station(), speed=20.0)
    try:
        asyncio.run(ordinary(bench))
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
    assert {i.name for i in report.invariants if not i.examined} == NOTHING_OF
    assert all(i.meaning for i in report.invariants)
    by_name = {i.name: i for i in report.invariants}
    assert by_name["swap_steps_legal"].examined > 20
    assert by_name["completed_swap_billed_once"].examined == 4


NOTHING_OF = {
    "fault_in_journal", "fault_open_once", "hot_pack_in_journal", "bookings_fit", "bookings_apart",
    "bookings_have_packs", "standing_in_journal",
    "account_named", "transfer_sealed", "no_leg_unsealed", "leg_in_one_firm", "hold_settled_once",
    "transfer_has_source", "books_balance", "books_mirror", "floors_kept", "payment_not_exceeded",
    "debt_not_overpaid", "payment_rows_sealed", "payment_told_alike",
    "access_in_its_changes", "sign_ins_bounded", "stranding_as_told", "response_as_settled",
}  # fmt: skip
"""Nothing of the kind happens on an ordinary day; `test_audit_columns`, `test_audit_accounts`, `test_audit_leases`
and `test_dr_settled` have days of it."""
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

BOOKING = (
    "INSERT INTO booking (id, station_id, vehicle_id, window_start_at, window_end_at, status, created_at, kinds, "
    "packs, min_kwh, priority, promised_in, trouble) VALUES ('bk-{0}', 'test', 'V3', '2026-09-01 09:00:00', "
    "'2026-09-01 09:15:00', 'booked', '2026-09-01 03:00:00', '[\"lfp-282\"]', 1, 0, 0, 'automatic', '');"
)

DAMAGE: dict[str, tuple[str, ...]] = {
    "rows_well_formed": (
        f"UPDATE swap SET arrived_at = 'yesterday' WHERE id = {FIRST_SWAP}",
        f"UPDATE swap SET checks = '{{' WHERE id = {FIRST_SWAP}",
        f"UPDATE swap SET id = NULL WHERE id = {FIRST_SWAP}",
        "UPDATE bill_line SET basis = '[1]'",
        "UPDATE pack SET soc_pct = 'full' WHERE bay_id = 'test:A1'",
        "UPDATE pack SET energy_kwh = 9e999 WHERE bay_id = 'test:A1'",
        f"UPDATE bill SET payer_id = NULL WHERE id = {BILL}",
        "UPDATE station_event SET at = 'noon' WHERE seq = 20",
        "UPDATE station_event SET seq = 'x' WHERE seq = 20",
        "UPDATE vehicle_model SET pack_kinds = '{}'",
    ),
    "values_in_range": (
        "UPDATE pack SET soc_pct = 250 WHERE bay_id = 'test:A1'",
        "UPDATE pack SET temp_max_c = -300 WHERE bay_id = 'test:A1'",
        "UPDATE bay SET setpoint_kw = -1",
        "UPDATE robot_command SET seq = seq + 70000",
    ),
    "codes_known": (
        "UPDATE station SET mode = 'asleep'",
        "UPDATE station SET timezone = 'Mars/Olympus'",
        f"UPDATE swap SET phase = 'dancing' WHERE id = {OPEN_SWAP}",
        "UPDATE booking SET status = 'perhaps'",
    ),
    "references_exist": (
        "DELETE FROM vehicle WHERE id = 'V1'",
        "UPDATE pack SET owner_id = 'nobody' WHERE bay_id = 'test:A1'",
        "UPDATE pack_kind SET id = 'other'",
        f"DELETE FROM swap WHERE id = {FIRST_SWAP}",
    ),
    "journal_in_time": ("UPDATE station_event SET at = '2020-01-01 00:00:00.000000' WHERE seq = 20",),
    "actors_known": (
        "UPDATE station_event SET actor = 'mallory' WHERE seq = 20",
        "UPDATE station_event SET actor = 'person:x' WHERE seq = 20",
        "UPDATE station_event SET actor = 'controller' WHERE kind = 'request.answered'",
        "UPDATE station_event SET actor = (SELECT 'person:' || id FROM person) WHERE kind = 'pack.moved'",
        "DELETE FROM person",
        "UPDATE person SET known_since_at = '2030-01-01 00:00:00'",
        "UPDATE person SET erased_at = '2026-09-01 03:00:00'",
    ),
    "file_is_on_record": (
        "UPDATE party SET name_en = 'Another' WHERE id = 'op'",
        "UPDATE vehicle SET fleet_id = 'owner' WHERE id = 'V1'",
        "UPDATE pack_kind SET rated_kwh = 300",
        "UPDATE bay SET role = 'quarantine' WHERE id = 'test:A1'",
        "DELETE FROM vehicle_model",
    ),
    "mode_in_journal": (
        "UPDATE station SET mode = 'closed'",
        "UPDATE station SET mode_reason = 'so'",
        "UPDATE station SET mode_since_at = '2026-09-01 04:00:00'",
        "DELETE FROM station_event WHERE kind = 'station.mode'",
    ),
    "bay_in_journal": (
        "UPDATE bay SET blocked = 1, blocked_reason = 'thermal_event' WHERE id = 'test:A1'",
        "UPDATE bay SET name = 'A9' WHERE id = 'test:A1'",
    ),
    "last_numbers_kept": ("UPDATE station SET last_seq_by_lane = '{\"L1\": 3}'", "DELETE FROM robot_command"),
    "fault_in_journal": (
        FAULT.format(901, "'test|lane:L1|7'", "NULL"),
        FAULT.format(901, "NULL", "'2026-01-01 00:01:00'"),
    ),
    "request_in_journal": (
        "UPDATE control_request SET status = 'refused'",
        "UPDATE control_request SET status = 'open', answered_at = NULL",
        "UPDATE control_request SET answer = 'as you like'",
        "UPDATE control_request SET requested_by = 'controller'",
        "UPDATE control_request SET arguments = '{}'",
        "DELETE FROM control_request",
    ),
    "hot_pack_in_journal": (
        "INSERT INTO hot_pack (bay_id, station_id, causes, detected_at, stage, confirming, tries, left) "
        "VALUES ('test:A1', 'test', '[]', '2026-09-01 03:00:00', 'isolated', 0, 0, 0)",
    ),
    "samples_in_time": ("UPDATE site_sample SET at = '2020-01-01 00:00:00' WHERE id > 5",),
    "pack_energy_possible": (
        "UPDATE pack SET energy_kwh = 5000 WHERE bay_id = 'test:A1'",
        "UPDATE pack SET energy_kwh = 20 WHERE bay_id = 'test:A1'",
        "UPDATE pack SET settled_soe_kwh = 9999 WHERE vehicle_id = 'V4'",
        f"UPDATE charge_session SET end_energy_kwh = 9999 WHERE pack_id = {SPENT}",
        f"UPDATE pack SET reading_at = NULL WHERE id = {SPENT}",
    ),
    "charge_in_journal": (
        "UPDATE charge_session SET end_meter_kwh = start_meter_kwh - 5 WHERE end_meter_kwh IS NOT NULL",
        f"UPDATE charge_session SET end_energy_kwh = end_energy_kwh + 1 WHERE pack_id = {SPENT}",
        f"UPDATE charge_session SET started_at = '2026-09-01 03:00:00' WHERE pack_id = {SPENT}",
        "DELETE FROM charge_session",
        "DELETE FROM station_event WHERE kind = 'charge.ended'",
    ),
    "charged_energy_adds_up": ("UPDATE pack SET cycles_kwh = cycles_kwh + 1",),
    "swap_in_journal": (
        f"UPDATE swap SET ended_at = '2026-09-01 02:00:00' WHERE id = {FIRST_SWAP}",
        f"UPDATE swap SET vehicle_id = 'V2' WHERE id = {FIRST_SWAP}",
        f"UPDATE swap SET dispatched_at = NULL WHERE id = {FIRST_SWAP}",
        f"UPDATE swap SET end_reason = 'so' WHERE id = {CANCELLED_SWAP}",
        f"UPDATE swap SET checks = '{{}}' WHERE id = {FIRST_SWAP}",
        f"UPDATE swap SET seq = seq + 1 WHERE id = {OPEN_SWAP}",
        f"UPDATE swap SET tries = 1 WHERE id = {OPEN_SWAP}",
        f"UPDATE swap SET phase = 'pending' WHERE id = {OPEN_SWAP}",
        f"UPDATE swap SET hold_detail = '{{\"a\": 1}}' WHERE id = {OPEN_SWAP}",
        "DELETE FROM station_event WHERE kind = 'swap.queued'",
    ),
    "booking_in_journal": (
        "DELETE FROM booking WHERE status = 'cancelled'",
        "UPDATE booking SET window_end_at = '2026-09-01 12:00:00'",
        "UPDATE booking SET created_at = '2026-09-01 02:00:00'",
        "DELETE FROM station_event WHERE kind = 'booking.ended'",
        BOOKING.format(1),
        # a status that no event led to
        "UPDATE booking SET status = 'disrupted' WHERE status = 'cancelled'",
        "UPDATE booking SET kinds = '[\"other\"]'",
        "UPDATE booking SET min_kwh = 200",
        "UPDATE booking SET trouble = 'packs_promised'",
    ),
    "bookings_fit": ("".join(BOOKING.format(number) for number in range(20)),),
    "bookings_apart": ("".join(BOOKING.format(number) for number in range(2)),),
    # more packs promised than the station has, before any can come back
    "bookings_have_packs": (
        "UPDATE booking SET status = 'booked' WHERE status = 'cancelled'; "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) "
        "INSERT INTO booking (id, station_id, vehicle_id, window_start_at, window_end_at, status, created_at, kinds, "
        "packs, min_kwh, priority, promised_in, trouble) SELECT 'bk-' || i, station_id, vehicle_id, window_start_at, "
        "window_end_at, status, created_at, kinds, packs, 0, 0, 'automatic', '' FROM booking, n "
        "WHERE status = 'booked'",
    ),
    "standing_in_journal": (
        "INSERT INTO standing_booking (id, station_id, vehicle_id, status, weekdays, local_time, window_min, kinds, "
        "packs, min_kwh, starts_on, exceptions, created_at) VALUES ('sb-1', 'test', 'V1', 'active', '[1]', '07:10', "
        "30, '[]', 1, 0, '2026-09-01', '[]', '2026-09-01 03:00:00')",
        "UPDATE booking SET standing_on = '2026-09-01'",
    ),
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
        "UPDATE charge_session SET end_energy_kwh = 30 WHERE ended_at IS NULL",
        "UPDATE charge_session SET end_meter_kwh = 30 WHERE ended_at IS NULL",
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
        "UPDATE swap SET booking_id = NULL WHERE booking_id IS NOT NULL",
        "UPDATE booking SET status = 'arrived', vehicle_id = 'V1'",
    ),
    "completed_swap_billed_once": (
        f"DELETE FROM bill WHERE swap_id = {SECOND_SWAP};"
        "UPDATE station_event SET at = '2030-01-01 00:00:00' WHERE seq = (SELECT max(seq) FROM station_event)",
        f"UPDATE bill SET swap_id = {CANCELLED_SWAP} WHERE id = {BILL}",
        "INSERT INTO bill (id, station_id, swap_id, kind, payer_id, issued_at, total_fen, flags) "
        f"SELECT id || 'x', station_id, swap_id, kind, payer_id, issued_at, total_fen, flags FROM bill "
        f"WHERE id = {BILL}",
    ),
    "bill_in_journal": (
        f"UPDATE bill SET total_fen = total_fen + 1 WHERE id = {BILL}",
        "DELETE FROM station_event WHERE kind = 'bill.issued'",
        f"DELETE FROM bill WHERE id = {BILL}",
        f"UPDATE bill SET payer_id = 'owner' WHERE id = {BILL}",
        "UPDATE bill SET flags = '' WHERE id = (SELECT id FROM bill WHERE flags != '')",
        f"UPDATE bill SET issued_at = '2026-09-01 04:30:00' WHERE id = {BILL}",
        # a price twice as high, or that of another tariff period, consistently
        f"UPDATE bill_line SET unit_price_1e4_yuan = 2 * unit_price_1e4_yuan, amount_fen = 2 * amount_fen "
        f"WHERE bill_id = {BILL}; UPDATE bill SET total_fen = 2 * total_fen WHERE id = {BILL}",
        # a line twice, with the total adjusted
        f"CREATE TEMP TABLE twice AS SELECT * FROM bill_line WHERE bill_id = {BILL}; "
        "UPDATE twice SET line_no = line_no + 2; INSERT INTO bill_line SELECT * FROM twice; "
        f"UPDATE bill SET total_fen = 2 * total_fen WHERE id = {BILL}",
        f"UPDATE bill_line SET payee_id = 'owner' WHERE bill_id = {BILL}",
        f"UPDATE bill_line SET basis = json_set(basis, '$.usoe_kwh', '1') WHERE bill_id = {BILL}",
    ),
    "bill_adds_up": (
        f"UPDATE bill SET total_fen = total_fen + 1 WHERE id = {BILL}",
        f"UPDATE bill_line SET amount_fen = amount_fen + 1 WHERE bill_id = {BILL}",
        f"DELETE FROM bill_line WHERE bill_id = {BILL} AND line_no = 1",
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
        f"UPDATE bill_line SET basis = json_set(basis, '$.flag', 'implausible') WHERE bill_id = {BILL}",
    ),
    "bill_priced_by_its_instant": (
        # the unit price, doubled with everything that is made of it, is another one than the tariff's
        f"UPDATE bill_line SET unit_price_1e4_yuan = 2 * unit_price_1e4_yuan WHERE bill_id = {BILL}",
        f"UPDATE bill_line SET tariff_period = 'critical' WHERE bill_id = {BILL}",
        f"UPDATE bill_line SET prices_seq = prices_seq + 1 WHERE bill_id = {BILL}",
        f"UPDATE bill_line SET priced_at = '2026-09-01 04:30:00' WHERE bill_id = {BILL}",
        f"UPDATE bill_line SET buyer_id = 'owner' WHERE bill_id = {BILL}",
        f"UPDATE bill_line SET sale = 'collected', for_id = 'owner' WHERE bill_id = {BILL}",
        f"UPDATE bill_line SET tax_category = 'rent' WHERE bill_id = {BILL}",
        f"UPDATE bill_line SET tax_rate_bp = 900 WHERE bill_id = {BILL}",
    ),
    "bill_flagged": (
        "UPDATE bill SET flags = '' WHERE id = (SELECT id FROM bill WHERE flags != '' AND kind = 'swap')",
        f"UPDATE bill SET flags = 'implausible' WHERE id = {BILL}",
    ),
    "charge_adds_up": (
        "UPDATE charge SET amount_fen = amount_fen + 1",
        "UPDATE charge SET basis = '{}' WHERE corrects_id IS NULL",
        "UPDATE charge SET corrects_id = 'nothing' WHERE corrects_id IS NOT NULL",
    ),
    "taken_once": (
        "UPDATE charge SET amount_fen = 2 * amount_fen, quantity_1e6 = 2 * quantity_1e6",
        "DELETE FROM charge WHERE id = (SELECT charge_id FROM invoice_line WHERE charge_id IS NOT NULL)",
        "UPDATE invoice_line SET charge_id = (SELECT max(id) FROM charge) WHERE charge_id IS NOT NULL",
        f"UPDATE bill_line SET basis = '{{}}' WHERE bill_id = {BILL}",
    ),
    "invoice_adds_up": (
        "UPDATE invoice SET gross_fen = gross_fen + 1, net_fen = net_fen + 1 WHERE number = 1",
        "DELETE FROM invoice_line WHERE line_no = 1",
        "UPDATE invoice_line SET tax_fen = tax_fen + 1, net_fen = net_fen - 1 WHERE line_no = 1",
    ),
    "drafts_of_closings": (
        "DELETE FROM closing_claim",
        "UPDATE closing_claim SET seller_id = 'op'",
        "DELETE FROM invoice_line WHERE line_no = 1 AND invoice_id NOT IN (SELECT id FROM invoice)",
        "UPDATE invoice_line SET invoice_id = 'nothing' WHERE line_no = 1",
    ),
    "invoice_numbers_whole": (
        "UPDATE invoice SET number = number + 1",
        "DELETE FROM invoice WHERE seller_id = 'owner' AND number = 1",
        "UPDATE invoice SET issued_at = '2020-01-01 00:00:00' WHERE seller_id = 'owner' AND number = 2",
    ),
    "red_letter_names_invoice": (
        "UPDATE invoice SET corrects_id = NULL WHERE kind = 'red'",
        "UPDATE invoice SET kind = 'invoice' WHERE kind = 'red'",
        "UPDATE invoice SET buyer_id = 'op' WHERE kind = 'red'",
        "UPDATE invoice SET gross_fen = -10000000 WHERE kind = 'red'",
    ),
    "period_closed_for_good": (
        "UPDATE billing_period SET closed_by = 'x' WHERE seller_id = 'op'",
        "UPDATE invoice SET issued_at = '2026-12-24 00:00:00' WHERE seller_id = 'op'",
        "UPDATE settlement_share SET amount_fen = amount_fen + 1",
        "DELETE FROM billing_period WHERE seller_id = 'op'",
        # one month, and its digest, are another month's
        "UPDATE billing_period SET digest = (SELECT max(digest) FROM billing_period)",
    ),
    "shares_conserved": (
        "UPDATE settlement_share SET amount_fen = amount_fen + 1 WHERE takes_rest = 1",
        "UPDATE settlement SET income_fen = income_fen + 100",
        "UPDATE settlement_share SET takes_rest = 1 - takes_rest",
        "DELETE FROM settlement",
        "UPDATE settlement_share SET party_id = 'fleet' WHERE party_id = 'owner'",
    ),
}


@pytest.fixture(scope="module")
def unguarded(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examined]:
    """The day in tables that have neither triggers nor constraints."""
    examined = Examined(bare(written, tmp_path_factory.mktemp("bare")))
    yield examined
    examined.close()


@pytest.mark.parametrize(
    ("invariant", "script"),
    [
        pytest.param(invariant, script, id=f"{invariant}-{number}")
        for invariant, scripts in (DAMAGE | LEASE_DAMAGE | WEBHOOK_DAMAGE).items()
        for number, script in enumerate(scripts, start=1)
    ],
)
def test_damage_is_found(written: Path, unguarded: Examined, invariant: str, script: str) -> None:
    report = unguarded.after(script, written_heads(written))
    violations = {i.name: i.violations for i in report.invariants}
    assert violations[invariant], f"not found; others found: {[name for name, v in violations.items() if v]}"
    assert not report.ok


def test_taking_the_constraints_away_is_no_damage(unguarded: Examined) -> None:
    assert unguarded.after("UPDATE station SET version = version + 1").ok


def test_every_invariant_has_its_damage() -> None:
    known = {*DAMAGE, *LEASE_DAMAGE, *LEDGER_DAMAGE, *WEBHOOK_DAMAGE, *ACCESS_DAMAGE, *FEE_DAMAGE, *LEASE_AUDIT_DAMAGE}
    known |= {*RESPONSE_DAMAGE}
    assert known == set(INVARIANTS)


def test_a_swap_that_was_completed_just_now_may_wait_for_its_bill(unguarded: Examined) -> None:
    report = unguarded.after(f"DELETE FROM bill_line WHERE bill_id = {BILL}; DELETE FROM bill WHERE id = {BILL}")
    (invariant,) = [i for i in report.invariants if i.name == "completed_swap_billed_once"]
    assert (invariant.violations, invariant.pending) == ((), 1)


def test_a_fresh_station_on_both_engines(database_url: str) -> None:
    with filled_store(database_url, fresh_station()):
        report = examine(database_url)
    assert report.ok
    examined = {i.name: i.examined for i in report.invariants if i.examined}
    assert (examined["pack_in_one_place"], examined["bay_holds_one_pack"]) == (5, 4)
    assert not {name for name in examined if name.startswith(("swap", "bill", "booking", "charge_"))}


def test_events_without_their_keys_are_violations_not_crashes(unguarded: Examined) -> None:
    report = unguarded.after("UPDATE station_event SET data = '{}'")
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


def test_a_clock_that_was_set_back_is_no_event_of_the_past(written: Path, tmp_path: Path) -> None:
    """What the journal tells of a correction is allowed for, and no more than that."""
    path = bare(written, tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE station_event SET at = '2026-08-31 00:00:00.000000' WHERE seq > 90")
        connection.commit()
        back = {i.name: i.violations for i in examine(f"sqlite:///{path}").invariants}
        assert back["journal_in_time"]
        connection.execute(
            'UPDATE station_event SET kind = \'clock.corrected\', data = \'{"by_s": -100000.0, "how": "held"}\' '
            "WHERE seq = 90"
        )
        connection.commit()
    corrected = {i.name: i.violations for i in examine(f"sqlite:///{path}").invariants}
    assert corrected["journal_in_time"] == ()
