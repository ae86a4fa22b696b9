"""Settled demand response in the ledger: charged once from the journal, at the station and from its exported journal
alike; put right when readings come late; in an open month; and what is changed behind the program's back is found."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from beancount import loader
from sqlmodel import select
from typer.testing import CliRunner

from api.cli.__main__ import app
from swap.audit import audit
from swap.commerce.bills.closing import close_period
from swap.commerce.demand_response import SETTLED_AFTER, charge_settlements, tell_settlements
from swap.commerce.journals import import_journals
from swap.commerce.ledger.balances import account_statement
from swap.commerce.ledger.beancount import export
from swap.commerce.posting import PostingMark, post_due
from swap.commerce.runner import RESPONSES_WAIT_S, Commerce
from swap.config.loading import ConfigError, load_station, parse_station
from swap.config.station_file import StationConfig
from swap.events import append_event
from swap.journal.canonical import canonical_json
from swap.journal.lines import JournalLine, read_line
from swap.keeping.archive import exported
from swap.messages.power import DrAnswered, DrSettled
from swap.reading.response import delivery
from swap.store import Store
from swap.tables import ChargeRow, LedgerLeg, LedgerTransfer, SiteSample
from tests.support.swap.commerce import AT, STATION, filled_store, station_data
from tests.support.swap.damage import Examined, bare
from tests.support.swap.databases import migrated_sqlite

FROM_AT, UNTIL_AT = AT + timedelta(hours=2), AT + timedelta(hours=3)
QUARTER = timedelta(minutes=15)
LATER = UNTIL_AT + SETTLED_AFTER
PROGRAMME: dict[str, Any] = {
    "id": "p",
    "name_zh": "项目",
    "name_en": "Programme",
    "payer": "grid",
    "notice_min": 15,
    "price_yuan_per_kwh": "2.1111",
    "penalty_yuan_per_kwh": "0.7777",
    "tax_rate": "0.06",
}
GRID = {"id": "grid", "kind": "energy_seller", "name_zh": "电网", "name_en": "Grid"}
ZONE = ZoneInfo("Asia/Shanghai")


def config(**programme: Any) -> StationConfig:
    data = station_data()
    data["parties"].append(GRID)
    return parse_station(data | {"programmes": [PROGRAMME | programme]})


def answer(config: StationConfig, **over: Any) -> DrAnswered:
    """An accepted event of an hour: 100 kW below a baseline of 300 kW."""
    said: dict[str, Any] = {
        "event_id": "dr-1",
        "programme": "p",
        "control": "voluntary",
        "told_at": AT,
        "from_at": FROM_AT,
        "until_at": UNTIL_AT,
        "accepted": True,
        "limit_kw": 200.0,
        "offered_kw": 100.0,
        "baseline_kw": (300.0,) * 4,
        "rules": config.programmes[0].model_dump(mode="json"),
    }
    return DrAnswered(**said | over)


def tell(store: Store, event: DrAnswered, at: datetime = AT) -> None:
    with store.station(STATION) as db:
        append_event(db, event, station_id=STATION, at=at, actor="controller")


def sample(store: Store, slots_kw: Sequence[float | None], from_at: datetime = FROM_AT) -> None:
    """The meter's record of quarters of an hour; None: nothing was recorded."""
    with store.station(STATION) as db:
        for number, kw in enumerate(slots_kw):
            for minutes in (0, 5, 10) if kw is not None else ():
                at = from_at + number * QUARTER + timedelta(minutes=minutes)
                row = SiteSample(
                    station_id=STATION, at=at, import_kw=kw, limit_kw=2000.0, ready_packs=0, queue_length=0
                )
                row.id = int(at.timestamp())  # samples that are put back later stand where they belong
                db.add(row)


def settle(store: Store, config: StationConfig, at: datetime) -> int:
    """Settle, charge and post what is due; how many events were charged."""
    assert tell_settlements(store, config, at).failed == ()
    charged = charge_settlements(store, STATION)
    assert charged.failed == ()
    post_due(store, STATION, at, PostingMark())
    return len(charged.events)


def charged(store: Store) -> dict[str, tuple[str, str, int, str]]:
    with store.reading_commerce() as db:
        rows = db.exec(select(ChargeRow)).all()
        return {row.source: (row.seller_id, row.buyer_id, row.amount_fen, row.period) for row in rows}


def rows(store: Store) -> list[str]:
    """Charges and the ledger, to the byte."""
    with store.reading_commerce() as db:
        return sorted(
            canonical_json(row.model_dump(mode="json"))
            for table in (ChargeRow, LedgerTransfer, LedgerLeg)
            for row in db.exec(select(table))
        )


def balances(store: Store) -> dict[str, int]:
    names = (
        "op:receivable:grid",
        "op:income:demand_response",
        "op:tax_out:",
        "op:payable:grid",
        "op:cost:demand_response_penalty",
        "grid:payable:op",
        "grid:income:demand_response_penalty",
    )
    with store.reading_commerce() as db:
        found = {}
        for name in names:
            statement = account_statement(db, name.removesuffix(":"), at=datetime(2030, 1, 1, tzinfo=UTC))
            found[name] = int(statement.closing_yuan * 100)
        return found


def violated(store: Store) -> dict[str, tuple[str, ...]]:
    with store.reading() as db:
        return {one.name: one.violations for one in audit(db).invariants if one.violations}


@contextmanager
def settled_store(url: str, slots_kw: Sequence[float | None] = (200.0, 150.0, 250.0, 215.0)) -> Iterator[Store]:
    """A station with an event that is over: one quarter delivers too little, one more than it offered."""
    with filled_store(url, config()) as store:
        tell(store, answer(config()))
        tell(store, answer(config(), event_id="dr-no", accepted=False))
        tell(store, answer(config(), event_id="dr-none", baseline_kw=(), offered_kw=None))
        sample(store, slots_kw)
        yield store


# 100, 150 (120 count), 50 (short) and 85 of 100 kW: 25, 30, 0, 21.25 kWh at 2.1111 yuan; 12.5 kWh short at 0.7777 yuan.
PAID_FEN, PENALTY_FEN = 5278 + 6333 + 4486, 972


def test_a_settled_event_is_posted_once_as_income_and_penalty(database_url: str) -> None:
    with settled_store(database_url) as store:
        assert settle(store, config(), LATER - timedelta(seconds=1)) == 0, "its last slot may not be wholly recorded"
        assert charged(store) == {}
        assert settle(store, config(), LATER) == 1
        assert charged(store) == {
            "demand_response:dr-1:1": ("op", "grid", PAID_FEN, "2026-11"),
            "demand_response_penalty:dr-1:1": ("grid", "op", PENALTY_FEN, "2026-11"),
        }
        tax_fen = round(PAID_FEN * 6 / 106)
        assert balances(store) == {
            "op:receivable:grid": PAID_FEN,
            "op:income:demand_response": PAID_FEN - tax_fen,
            "op:tax_out:": tax_fen,
            "op:payable:grid": PENALTY_FEN,
            "op:cost:demand_response_penalty": PENALTY_FEN,
            "grid:payable:op": PAID_FEN,
            "grid:income:demand_response_penalty": PENALTY_FEN,
        }
        before = rows(store)
        for hours in (1, 24 * 60):
            assert settle(store, config(), LATER + timedelta(hours=hours)) == 0
        assert rows(store) == before, "a second run changes nothing"
        assert violated(store) == {}
        with store.reading_commerce() as db:
            _, errors, _ = loader.load_string("\n".join(export(db, ZONE)))
        assert errors == []


def test_the_commerce_task_settles_and_posts(sqlite_url: str) -> None:
    told: list[str | None] = []
    with settled_store(sqlite_url) as store:
        instants, seconds = [UNTIL_AT], [0.0]
        task = Commerce(store, config(), lambda: instants[-1], told.append, lambda: seconds[-1])
        task.cycle()
        assert charged(store) == {}
        instants.append(LATER)
        seconds.append(RESPONSES_WAIT_S)
        task.cycle()
        assert charged(store)["demand_response:dr-1:1"][2] == PAID_FEN
        seconds.append(2 * RESPONSES_WAIT_S)
        task.cycle()
        assert balances(store)["op:receivable:grid"] == PAID_FEN
        assert told == []


def test_commerce_alone_makes_the_same_of_the_exported_journal(database_url: str, tmp_path: Path) -> None:
    with settled_store(migrated_sqlite(tmp_path / "own.db"), (200.0, None, 250.0, 215.0)) as store:
        settle(store, config(), LATER)
        sample(store, (None, 150.0))
        settle(store, config(), LATER + timedelta(days=1))
        post_due(store, STATION, LATER, PostingMark())
        lines, made = journal(store), rows(store)
        assert len(charged(store)) == 6
    alone = Store(database_url)
    try:
        assert import_journals(alone, lines[:-1], LATER).problems == []
        taken = import_journals(alone, lines, LATER)
        assert (taken.problems, taken.settlements) == ([], ["dr-1"])
        assert rows(alone) == made
        again = import_journals(alone, lines, LATER)
        assert (again.settlements, again.posted, again.problems) == ([], 0, [])
        assert rows(alone) == made
        assert "response_as_settled" not in violated(alone)
    finally:
        alone.close()


def journal(store: Store) -> list[JournalLine]:
    with store.reading_station(STATION) as db:
        return [read_line(line, STATION) for line in exported(db)]


def test_a_settlement_that_its_journal_does_not_make_is_not_charged_and_told(sqlite_url: str) -> None:
    with settled_store(sqlite_url) as store:
        tell_settlements(store, config(), LATER)
        with store.station(STATION) as db:
            event = answer(config(), event_id="dr-2")
            append_event(db, event, station_id=STATION, at=AT, actor="controller")
            wrong = DrSettled(
                event_id="dr-2", no=1, seller_id="op", metered_kw=(200.0,) * 4, counted_kwh="100.000",
                money_fen=99_999, penalty_fen=0, period="2026-11",
            )  # fmt: skip
            append_event(db, wrong, station_id=STATION, at=LATER, actor="commerce")
        found = charge_settlements(store, STATION)
        assert found.events == ("dr-1",)
        (told,) = found.failed
        assert "settlement 1 of event dr-2 tells 99999 fen" in told
        assert "makes it 21112, 0 and 100.000" in told
        assert "demand_response:dr-2:1" not in charged(store)


def test_what_is_charged_may_have_its_answer_in_an_archive(sqlite_url: str) -> None:
    with settled_store(sqlite_url) as store:
        assert settle(store, config(), LATER) == 1
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM station_event WHERE kind = 'demand_response.answered'")
    store = Store(sqlite_url)
    try:
        assert settle(store, config(), LATER + timedelta(days=1)) == 0
        assert len(charged(store)) == 2
    finally:
        store.close()


def test_readings_that_come_late_take_it_back_and_charge_anew(database_url: str) -> None:
    with settled_store(database_url, (200.0, None, 250.0, 215.0)) as store:
        assert settle(store, config(), LATER) == 1
        first = {source: one[2] for source, one in charged(store).items()}
        assert first == {
            "demand_response:dr-1:1": PAID_FEN - 6333,
            "demand_response_penalty:dr-1:1": PENALTY_FEN + 1944,  # 25 kWh that nobody metered
        }
        sample(store, (None, 150.0))
        assert settle(store, config(), LATER + timedelta(days=3)) == 1
        assert {source: one[2] for source, one in charged(store).items()} == first | {
            "demand_response:dr-1:1:back": -first["demand_response:dr-1:1"],
            "demand_response_penalty:dr-1:1:back": -first["demand_response_penalty:dr-1:1"],
            "demand_response:dr-1:2": PAID_FEN,
            "demand_response_penalty:dr-1:2": PENALTY_FEN,
        }
        assert balances(store)["op:receivable:grid"] == PAID_FEN
        assert balances(store)["op:payable:grid"] == PENALTY_FEN
        assert settle(store, config(), LATER + timedelta(days=4)) == 0
        assert violated(store) == {}


def test_what_is_settled_after_its_month_was_closed_is_charged_in_the_open_one(database_url: str) -> None:
    with settled_store(database_url) as store:
        # Another debt of the operator's, so that there is a month to close.
        close_at = datetime(2026, 12, 2, tzinfo=UTC)
        tell(store, answer(config(), event_id="dr-0", from_at=FROM_AT - 4 * QUARTER, until_at=FROM_AT))
        sample(store, (200.0,) * 4, FROM_AT - 4 * QUARTER)
        assert settle(store, config(), FROM_AT + SETTLED_AFTER) == 1
        close_period(store, "2026-11", at=close_at, zone=ZONE, name="Li")
        assert settle(store, config(), close_at + timedelta(hours=1)) == 1
        assert {source: one[3] for source, one in charged(store).items()} == {
            "demand_response:dr-0:1": "2026-11",
            "demand_response:dr-1:1": "2026-12",
            "demand_response_penalty:dr-1:1": "2026-12",
        }
        close_period(store, "2026-12", at=datetime(2027, 1, 2, tzinfo=UTC), zone=ZONE, name="Li")
        assert violated(store) == {}


def test_of_a_slot_only_the_part_within_the_event_counts(sqlite_url: str) -> None:
    """From 10:05 to 10:25: ten minutes of each of two quarters, beside which the station draws what it likes."""
    begin, end = FROM_AT + timedelta(minutes=5), FROM_AT + timedelta(minutes=25)
    with filled_store(sqlite_url, config()) as store:
        tell(store, answer(config(), from_at=begin, until_at=end, baseline_kw=(300.0, 300.0)))
        with store.station(STATION) as db:
            for minutes in range(0, 30, 5):
                kw = 200.0 if 5 <= minutes < 25 else 900.0
                at = FROM_AT + timedelta(minutes=minutes)
                row = SiteSample(
                    station_id=STATION, at=at, import_kw=kw, limit_kw=2000.0, ready_packs=0, queue_length=0
                )
                db.add(row)
        assert settle(store, config(), end + SETTLED_AFTER) == 1
        # 100 kW for ten minutes, twice: 16.667 kWh at 2.1111 yuan.
        assert {source: one[2] for source, one in charged(store).items()} == {"demand_response:dr-1:1": 2 * 3519}
        assert violated(store) == {}


def test_the_rules_are_those_of_the_answer(sqlite_url: str) -> None:
    with settled_store(sqlite_url) as store:
        assert settle(store, config(price_yuan_per_kwh="9", slot_min=30), LATER) == 1
        assert charged(store)["demand_response:dr-1:1"][2] == PAID_FEN


def test_an_answer_of_an_earlier_release_is_settled_by_the_file_and_waits_for_it(sqlite_url: str) -> None:
    with filled_store(sqlite_url, config()) as store:
        said = answer(config()).model_dump()
        del said["rules"], said["schema_version"]
        tell(store, DrAnswered(**said))
        sample(store, (200.0, 150.0, 250.0, 215.0))
        (told,) = tell_settlements(store, config(id="other"), LATER).failed
        assert "programme p, which is not in the station file" in told
        assert settle(store, config(), LATER) == 1
        assert charged(store)["demand_response:dr-1:1"][2] == PAID_FEN
        assert charge_settlements(store, STATION).events == ()
        assert violated(store) == {}


@pytest.mark.parametrize("payer", ["gird", "op", "fleet"])
def test_a_payer_that_is_no_party_that_pays_is_refused(payer: str) -> None:
    with pytest.raises(ConfigError, match=rf"programmes\.p\.payer = '{payer}': no such party that pays .* known: grid"):
        config(payer=payer)


# the audit


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examined]:
    path = tmp_path_factory.mktemp("settled") / "swap.db"
    with settled_store(migrated_sqlite(path), (200.0, None, 250.0, 215.0)) as store:
        settle(store, config(), LATER)
        sample(store, (None, 150.0))
        settle(store, config(), LATER + timedelta(days=1))
        next_day = LATER + timedelta(days=1)
        span = {"from_at": next_day + timedelta(hours=5), "until_at": next_day + timedelta(hours=6)}
        tell(store, answer(config(), event_id="dr-soon", **span), next_day)
        assert violated(store) == {}
        # The journal has gone on.
        tell(store, answer(config(), event_id="dr-x", accepted=False), next_day + timedelta(hours=4))
    examined = Examined(bare(path, tmp_path_factory.mktemp("bare")))
    yield examined
    examined.close()


FIRST = "source = 'demand_response:dr-1:1'"
RESPONSE_DAMAGE = {
    "response_as_settled": (
        # settled, and not charged
        f"DELETE FROM charge WHERE {FIRST}",
        "DELETE FROM charge WHERE source = 'demand_response:dr-1:1:back'",
        # charged, and not settled
        "DELETE FROM station_event WHERE kind = 'demand_response.settled'",
        f"UPDATE charge SET source = 'demand_response:dr-7:1' WHERE {FIRST}",
        "UPDATE charge SET kind = 'demand_response' WHERE source = 'demand_response_penalty:dr-1:2'",
        # another amount, that adds up
        f"UPDATE charge SET amount_fen = amount_fen * 2, quantity_1e6 = quantity_1e6 * 2 WHERE {FIRST}",
        "UPDATE station_event SET data = replace(data, '\"penalty_fen\":972', '\"penalty_fen\":971') "
        "WHERE kind = 'demand_response.settled'",
        "UPDATE station_event SET data = replace(data, '250.0', '249.0') WHERE kind = 'demand_response.settled'",
        "UPDATE station_event SET data = replace(data, '2.1111', '2.2') WHERE kind = 'demand_response.answered'",
        # another party, station, time or month
        f"UPDATE charge SET buyer_id = 'fleet' WHERE {FIRST}",
        f"UPDATE charge SET station_id = NULL WHERE {FIRST}",
        f"UPDATE charge SET made_at = '2026-11-02 00:00:00.000000' WHERE {FIRST}",
        f"UPDATE charge SET period = '2026-12' WHERE {FIRST}",
        "UPDATE charge SET corrects_id = NULL WHERE source = 'demand_response:dr-1:1:back'",
        # over, and not settled
        "UPDATE station_event SET data = replace(data, '\"accepted\":false', '\"accepted\":true') "
        "WHERE data LIKE '%dr-no%'",
    ),
    "owed_is_posted": (f"DELETE FROM ledger_transfer WHERE id = (SELECT 'charge:' || id FROM charge WHERE {FIRST})",),
    "transfer_has_source": (
        "DELETE FROM charge WHERE kind = 'demand_response_penalty'",
        "UPDATE charge SET amount_fen = amount_fen * 2, quantity_1e6 = quantity_1e6 * 2 WHERE kind = 'demand_response'",
    ),
}
"""By invariant: scripts, each of which it must find."""


def test_what_the_program_wrote_is_right(unguarded: Examined) -> None:
    (one,) = (one for one in unguarded.after("").invariants if one.name == "response_as_settled")
    assert one.violations == ()
    assert one.pending == 1, "an event that is not over"
    assert one.examined > 60


@pytest.mark.parametrize(
    ("invariant", "script"), [(name, script) for name, scripts in RESPONSE_DAMAGE.items() for script in scripts]
)
def test_damage_to_a_settlement_is_found(unguarded: Examined, invariant: str, script: str) -> None:
    found = {one.name for one in unguarded.after(script).invariants if one.violations}
    assert invariant in found


def test_a_settlement_that_was_told_just_now_may_wait_for_its_charge(unguarded: Examined) -> None:
    later = "(SELECT max(at) FROM station_event WHERE kind = 'demand_response.settled')"
    report = unguarded.after(
        f"DELETE FROM charge WHERE made_at = {later}; DELETE FROM station_event WHERE at > {later}"
    )
    (one,) = (one for one in report.invariants if one.name == "response_as_settled")
    assert (one.violations, one.pending) == ((), 4 + 1)


# what people see


def test_the_command_prints_slots_minutes_and_what_was_charged(tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "examples" / "shuozhou_open_pit" / "station.toml"
    shuozhou, url = load_station(path), migrated_sqlite(tmp_path / "shuozhou.db")
    station_id, run = shuozhou.station.id, CliRunner()
    arguments = ["--lang", "en", "dr", "settle", str(path), "--minutes", "--database-url", url]
    with filled_store(url, shuozhou) as store:
        with store.station(station_id) as db:
            said = answer(shuozhou, programme="shanxi-voluntary", rules=shuozhou.programmes[0].model_dump(mode="json"))
            append_event(db, said, station_id=station_id, at=AT, actor="controller")
            for minutes in range(0, 60, 5):
                at = FROM_AT + timedelta(minutes=minutes)
                kw = 200.0 if minutes < 30 else 260.0
                db.add(
                    SiteSample(
                        station_id=station_id, at=at, import_kw=kw, limit_kw=2000.0, ready_packs=0, queue_length=0
                    )
                )
        before = run.invoke(app, arguments)
        assert before.exit_code == 0, before.output
        assert "Not charged yet." in before.output
        assert tell_settlements(store, shuozhou, LATER).events == ("dr-1",)
        assert charge_settlements(store, station_id).events == ("dr-1",)
        with store.reading_station(station_id) as db:
            lines = delivery(db, shuozhou.programmes[0], said, FROM_AT + timedelta(minutes=31))
    assert [line.delivered_kw for line in lines] == [100.0] * 30 + [pytest.approx(40.0)]
    after = run.invoke(app, arguments)
    assert after.exit_code == 0, after.output
    assert "Charged in 2026-11: 100.00 yuan of aggregator, 30.00 yuan of penalty to it" in after.output
    assert "50.000 kWh count: 100.00 yuan, less 30.00 yuan of penalty" in after.output
    assert sum("260" in line and "40" in line for line in after.output.splitlines()) >= 30, "each minute has its line"
    told = json.loads(run.invoke(app, [*arguments, "--json"]).output)
    assert len(told[0]["minutes"]) == 60
    assert told[0]["charged"]["money_fen"] == 10_000


def test_the_command_follows_the_time_of_the_samples_and_says_what_cannot_be_settled(tmp_path: Path) -> None:
    """The time of a simulated station runs ahead of the clock of whoever asks."""
    path = Path(__file__).parents[2] / "examples" / "shuozhou_open_pit" / "station.toml"
    shuozhou, url = load_station(path), migrated_sqlite(tmp_path / "shuozhou.db")
    station_id, run, ahead = shuozhou.station.id, CliRunner(), timedelta(days=36_500)
    arguments = ["--lang", "en", "dr", "settle", str(path), "--minutes", "--database-url", url]
    with filled_store(url, shuozhou) as store:
        assert run.invoke(app, arguments).output.strip() == "No event of demand response has been accepted."
        said = answer(shuozhou, programme="shanxi-voluntary", rules=shuozhou.programmes[0].model_dump(mode="json"))
        times = {"told_at": said.told_at + ahead, "from_at": said.from_at + ahead, "until_at": said.until_at + ahead}
        with store.station(station_id) as db:
            append_event(db, said.model_copy(update=times), station_id=station_id, at=AT, actor="controller")
            nothing = said.model_copy(update={"event_id": "dr-2", "offered_kw": -10.0})
            append_event(db, nothing, station_id=station_id, at=AT, actor="controller")
            unknown = said.model_copy(update={"event_id": "dr-3", "baseline_kw": ()})
            append_event(db, unknown, station_id=station_id, at=AT, actor="controller")
            for minutes in range(0, 35, 5):
                at, kw = times["from_at"] + timedelta(minutes=minutes), 300.0 if minutes < 15 else 300.4
                db.add(
                    SiteSample(
                        station_id=station_id, at=at, import_kw=kw, limit_kw=2000.0, ready_packs=0, queue_length=0
                    )
                )
    found = run.invoke(app, arguments).output
    shown = found.split("dr-2")[0].split("delivered, kW")[-1].splitlines()[2:]
    assert len(shown) == 30
    assert "-0" not in found.split(), "nothing delivered has no sign"
    assert [line for line in found.splitlines() if line.endswith("settled.")] == [
        "Its limit is not below its baseline: nothing was offered, so nothing is settled.",
        "No baseline was known when it was told, so it cannot be settled.",
    ]
