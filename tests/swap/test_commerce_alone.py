"""Commerce stands alone: from the exported journals of two stations, in a database without the tables of a station, it
makes the same bills to the byte; what is damaged or missing makes none, and is told."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from swap.commerce.bills.closing import close_period
from swap.commerce.bills.issuing import correct_bill
from swap.commerce.bills.journal_record import JournalRecord
from swap.commerce.bills.money import CENTI_KWH
from swap.commerce.bills.record import RowRecord
from swap.commerce.bookings.store import make_booking, tend_bookings
from swap.commerce.bookings.wanted import Wanted
from swap.commerce.custody.show import pack_uses
from swap.commerce.journals import JournalsTaken, import_journals
from swap.commerce.leases.billing import ContractTerms
from swap.commerce.leases.contracts import kinds_at
from swap.commerce.leases.errors import JournalBehind
from swap.commerce.leases.rent import run_rent
from swap.commerce.leases.rights import ContractRights, announce_arrears
from swap.commerce.strandings import charge_strandings, note_strandings
from swap.config.loading import parse_station
from swap.config.seed import SyncError, sync_station
from swap.config.station_file import StationConfig
from swap.journal.canonical import canonical_json
from swap.journal.chain import FIRST, Entry, entry_hash
from swap.journal.heads import NotedHead
from swap.journal.lines import JournalLine, export_line, read_files, read_line
from swap.keeping.archive import exported
from swap.messages.commerce import BillIssued, BillReversed
from swap.messages.events import FileTaken, SwapCompleted
from swap.messages.packs import ChargeEnded
from swap.reading.lists import list_bills
from swap.store import Store
from swap.tables import (
    Bill,
    BillLine,
    ChargeRow,
    CustodyMove,
    LeaseContract,
    LeaseEvent,
    LeaseVehicle,
    LeaseVersion,
    LedgerTransfer,
    Pack,
    ReadingRow,
    RentRun,
    Settlement,
    SettlementShare,
)
from swap.tables.base import Base
from tests.support.sim.plant import station_data
from tests.support.swap.commerce import arrive
from tests.support.swap.databases import fill, migrate
from tests.support.swap.leases import signed, terms
from tests.support.swap.station import Bench

A, B = "alpha", "beta"
STATION_ROWS = (
    "swap_seat", "robot_command", "swap", "charge_session", "hot_pack", "pack", "bay", "control_request", "site_sample",
    "fault", "controller_lease",
)  # fmt: skip
"""Tables of stations, in an order in which they can be dropped."""
BILL_KINDS = (BillIssued.kind, BillReversed.kind)
BILLED = (Bill, BillLine, Settlement, SettlementShare)
LEASED = (ChargeRow, CustodyMove, ReadingRow, RentRun)
"""Tables of what contracts and bookings charge, and what that rests on."""
OF_CONTRACTS = (LeaseContract, LeaseVersion, LeaseVehicle, LeaseEvent)
COMPONENTS = (
    {"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "10", "soh": {"floor": "0.8"}},
    {"id": "energy", "kind": "usage", "per": "kwh", "yuan": "0.05", "tariff": True},
    {"id": "swap", "kind": "usage", "per": "swap", "yuan": "3"},
    {"id": "late", "kind": "occupancy", "yuan_per_kwh_day": "0.9"},
)


def config(station_id: str, number: int, **billing: Any) -> StationConfig:
    """A station of its own trucks and packs, whose operator shares the income of the service."""
    data: dict[str, Any] = station_data()
    data["station"]["id"] = station_id
    for pack in data["packs"]:
        pack["id"] = pack["id"].replace("G51", f"G{number}1")
    for truck in data["vehicles"]:
        truck["id"] = f"{station_id.upper()}-{truck['id']}"
        truck["tag"] += 1000 * number
        truck["packs"] = [pack.replace("G51", f"G{number}1") for pack in truck["packs"]]
    shares = [
        {"of": "service", "party": "op", "share": "0.75", "takes_rest": True},
        {"of": "service", "party": "owner", "share": "0.25"},
    ]
    return parse_station(data | {"billing": {"shares": shares, **billing}, "bookings": {"no_show_fee_yuan": "50"}})


def contract(store: Store, at: datetime, station_id: str, vehicles: Sequence[int], **changed: Any) -> None:
    """A lease of trucks of a station, from the owner of the packs to the fleet, active from this day on."""
    given = {
        "lessor_id": "owner",
        "lessee_id": "fleet",
        "first_day": f"{at.astimezone(ZoneInfo('Asia/Shanghai')):%Y-%m-%d}",
        "vehicles": [f"{station_id.upper()}-V{number}" for number in vehicles],
        "stations": [station_id],
        "energy": "soe",
        "components": COMPONENTS,
        **changed,
    }
    signed(store, terms(**given), at)


def miss(store: Store, station: StationConfig, trucks: Sequence[int], at: datetime) -> None:
    """Trucks book, none comes."""
    rights = ContractRights()
    with store.station(station.station.id) as db:
        for number in trucks:
            name = f"{station.station.id.upper()}-V{number}"
            window = at + timedelta(minutes=20), at + timedelta(minutes=50)
            make_booking(db, station, Wanted(name, *window), at=at, rights=rights)
        tend_bookings(db, station, at + timedelta(hours=3), rights=rights)


def strand(store: Store, station: StationConfig, truck: int, at: datetime) -> datetime:
    """A truck below its reach is served in spite of arrears, and charged; when."""
    name = f"{station.station.id.upper()}-V{truck}"
    with store.commerce() as db:
        (contract_id,) = db.exec(select(LeaseVehicle.contract_id).where(LeaseVehicle.vehicle_id == name))
        at = announce_arrears(db, contract_id, Decimal(900), at=at, actor="person:1")
    with store.station(station.station.id) as db:
        pack = db.exec(select(Pack).where(Pack.vehicle_id == name)).one()
        pack.soc_pct, pack.energy_kwh = 8.0, 0.08 * pack.rated_kwh * pack.soh_pct / 100
    arrive(store, station, name, at)
    note_strandings(store, station.station.id, at)
    assert len(charge_strandings(store, station.station.id).swaps) == 1
    return at


@dataclass(frozen=True)
class Day:
    """A day of two stations: their journals, and what their database has."""

    store: Store
    lines: dict[str, list[JournalLine]]
    rows: dict[str, list[str]]
    ended_at: datetime
    leased: dict[str, list[str]]
    """Rows of what contracts and bookings charge, and what that rests on."""
    contracts: list[Any]
    """Rows of the contracts."""

    @property
    def all_lines(self) -> list[JournalLine]:
        return [*self.lines[A], *self.lines[B]]


def billed(store: Store, tables: Sequence[type[Base]] = BILLED) -> dict[str, list[str]]:
    """Every row of bills and settlements, or of other tables, as text."""
    with store.reading_commerce() as db:
        return {
            table.__name__: sorted(canonical_json(row.model_dump(mode="json")) for row in db.exec(select(table)))
            for table in tables
        }


def take(store: Store, lines: Iterable[JournalLine | str], at: datetime, **options: Any) -> JournalsTaken:
    """An import by the contracts that the database has."""
    return import_journals(store, lines, at, terms=ContractTerms(), rights=ContractRights(), **options)


def close_month(store: Store, at: datetime) -> None:
    """Close the month of a day, so that the income is settled."""
    close_period(store, f"{at:%Y-%m}", at=at + timedelta(days=40), zone=ZoneInfo("Asia/Shanghai"), name="Li")


async def live(bench: Bench, *trucks: int, charge: bool = False) -> None:
    """A swap of each truck, with the reading of the pack given back; it is charged where that is asked for."""
    for number in trucks:
        bench.arrive(f"{bench.config.station.id.upper()}-V{number}", 30)
        await bench.run_until(SwapCompleted.kind)
        if charge:
            await bench.run_until(ChargeEnded.kind, 20_000)
        await bench.run(120, 20)


async def days(folder: Path, url: str) -> datetime:
    """One station bills by readings, and a bill is corrected; the other by what was charged, then at other prices."""
    first = Bench(folder, config(A, 1), url=url, speed=20.0)
    first.terms = ContractTerms()
    contract(first.store, first.clock.now(), A, [1], swaps={"service_yuan_per_kwh": "0.21"})
    await first.start()
    await first.run(5)
    await live(first, 1, 1)
    at = first.clock.now()
    with first.store.station(A) as db:
        bill = list_bills(db).items[-1]
        correct_bill(db, bill.bill_id, {1: bill.lines[0].energy_kwh - CENTI_KWH}, at=at, name="Li", reason="read again")
    await live(first, 2)
    contract(first.store, first.clock.now(), A, [3], bookings={"no_show_yuan": "12.5"})
    miss(first.store, first.config, (2, 3), first.clock.now())
    contract(first.store, first.clock.now(), A, [2], arrears_notice_days=1, stranding_yuan="88.50")
    strand(first.store, first.config, 2, first.clock.now())
    first.close()
    charged = config(B, 2, basis="charged_energy", energy_price="moving_average")
    second = Bench(folder, charged, url=url, speed=20.0)
    second.terms = ContractTerms()
    contract(second.store, second.clock.now(), B, [1], last_day=f"{second.clock.now():%Y-%m-%d}")
    await second.start()
    await second.run(5)
    await live(second, 1, 1, charge=True)
    sync_station(second.store, config(B, 2, energy_price="flat", flat_price_yuan_per_kwh="0.61"), second.clock.now())
    await live(second, 2)
    at = second.clock.now()
    second.close()
    return at


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("days")
    url = f"sqlite:///{folder / 'stations.db'}"
    migrate(url)
    at = asyncio.run(days(folder, url))
    store = Store(url)
    lines = {}
    for station_id in (A, B):
        with store.reading_station(station_id) as db:
            lines[station_id] = [read_line(line, f"{station_id}") for line in exported(db)]
    close_month(store, at)
    run_rent(store, f"{at:%Y-%m}", at + timedelta(days=40))
    with store.reading_commerce() as db:
        contracts = [(table, row.model_dump()) for table in OF_CONTRACTS for row in db.exec(select(table))]
    yield Day(store, lines, billed(store), at, billed(store, LEASED), contracts)
    store.close()


def known_of(day: Day, station_id: str) -> int:
    """Events of a station that `begin` takes in."""
    return [line.entry.kind for line in day.lines[station_id]].index(FileTaken.kind) + 1


def begin(store: Store, day: Day) -> None:
    """Take in the first file of each station, and put the contracts on record."""
    for own in day.lines.values():
        assert not take(store, own[: known_of(day, own[0].entry.station_id)], day.ended_at).problems
    with store.commerce() as db:
        for table, values in day.contracts:
            db.add(table(**values))
            db.flush()


@contextmanager
def alone(day: Day | None = None, url: str | None = None) -> Iterator[Store]:
    """A database without the tables of a station; empty, or with the first file of each station and the contracts."""
    with TemporaryDirectory() as folder:
        if url is None:
            url = f"sqlite:///{folder}/commerce.db"
            migrate(url)
        store = Store(url)
        with store.transaction() as db:
            for table in STATION_ROWS:
                db.execute(text(f"DROP TABLE {table}"))
        if day is not None:
            begin(store, day)
        try:
            yield store
        finally:
            store.close()


def rehashed(lines: Sequence[JournalLine], change: Callable[[Entry], Entry | None]) -> list[JournalLine]:
    """A journal hashed anew after a change of its events; one that becomes None is left out."""
    found: list[JournalLine] = []
    for line in lines:
        entry = change(line.entry)
        if entry is not None:
            prev_hash = found[-1].hash if found else FIRST
            entry = replace(entry, seq=len(found) + 1, prev_hash=prev_hash)
            found.append(JournalLine(entry, entry_hash(entry), line.where))
    return found


def bills_told(lines: Sequence[JournalLine]) -> list[str]:
    """Every bill that lines tell of, in order."""
    return [json.loads(line.entry.data)["bill_id"] for line in lines if line.entry.kind in BILL_KINDS]


def test_the_day_has_bills_of_every_kind(day: Day) -> None:
    assert len(day.rows["Bill"]) == 8, "three swaps at each, a reversal and a correction"
    whole = " ".join(day.rows["BillLine"])
    assert all(word in whole for word in ("charged_energy", "soe_difference", "moving_average", "confirmed_kwh"))
    assert day.rows["Settlement"]
    assert min(json.loads(row)["total_fen"] for row in day.rows["Bill"] if '"kind":"swap"' in row) > 0


def test_journal_and_rows_tell_the_same_of_every_swap_and_pack(day: Day) -> None:
    used_again = 0
    for station_id in (A, B):
        with day.store.reading_station(station_id) as db:
            newest = db.newest_event()
            assert newest is not None
            rows, journal = RowRecord(db), JournalRecord(db, newest.seq + 1, day.ended_at)
            packs = [pack.id for pack in db.exec(select(Pack).order_by(Pack.id))]
            for pack_id in packs:
                assert journal.charges(pack_id) == rows.charges(pack_id)
                assert journal.counters(pack_id) == rows.counters(pack_id)
                assert journal.is_charged(pack_id) == rows.is_charged(pack_id)
            for event in db.events(SwapCompleted):
                swap = journal.swap(event.swap_id or "")
                assert swap == rows.swap(event.swap_id or "")
                assert journal.fleet_of(swap.vehicle_id) == rows.fleet_of(swap.vehicle_id)
                for pack_id in packs:
                    at = journal.used_again_at(swap, pack_id)
                    assert at == rows.used_again_at(swap, pack_id)
                    used_again += at is not None
    assert used_again


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_two_journals_make_the_same_bills_in_whatever_order_their_lines_come(day: Day, parts: int) -> None:
    """Late, interleaved and twice: what waits is given again with what was missing."""
    rnd = random.Random(parts)
    lines = [*day.all_lines, *rnd.sample(day.all_lines, 20)]
    rnd.shuffle(lines)
    with alone(day) as store:
        for part in range(1, parts + 1):
            taken = take(store, lines[: len(lines) * part // parts], day.ended_at)
        assert not taken.problems
        assert taken.waiting == 0
        close_month(store, day.ended_at)
        assert billed(store) == day.rows
        again = take(store, lines, day.ended_at)
        assert (again.events, again.bills, again.posted, again.repeated) == ({}, [], 0, len(lines))
        with store.reading_commerce() as db:
            posted = db.exec(select(LedgerTransfer.id).where(col(LedgerTransfer.id).startswith("bill:"))).all()
        assert len(posted) == len(day.rows["Bill"])


def rents(store: Store, day: Day) -> None:
    """Charge the rents of the day's month, as it was done at the stations."""
    run_rent(store, f"{day.ended_at:%Y-%m}", day.ended_at + timedelta(days=40), as_known=True)


@pytest.mark.parametrize("order", [1, -1])
def test_rents_fees_and_custody_are_the_same_to_the_byte(day: Day, order: int) -> None:
    kinds = {json.loads(row)["kind"] for row in day.leased["ChargeRow"]}
    assert kinds == {"rent", "energy", "per_swap", "occupancy", "no_show", "stranding"}
    fees = {json.loads(row)["amount_fen"] for row in day.leased["ChargeRow"] if '"kind":"no_show"' in row}
    assert fees == {5000, 1250}, "of the station, and of the contract"
    contracted = [line for row in day.rows["BillLine"] if (line := json.loads(row))["contract_id"]]
    assert any(line["unit_price_1e4_yuan"] == 2100 for line in contracted), "the price of the contract"
    with alone(day) as store:
        taken = take(store, day.all_lines[::order], day.ended_at)
        assert (len(taken.fees), len(taken.strandings), taken.problems) == (2, 1, [])
        with pytest.raises(JournalBehind, match="the journal of station alpha is known up to"):
            run_rent(store, f"{day.ended_at:%Y-%m}", day.ended_at + timedelta(days=40))
        rents(store, day)
        assert billed(store, LEASED) == day.leased
        assert take(store, day.all_lines, day.ended_at).fees == []
        with store.reading_commerce() as db:
            first = db.exec(select(CustodyMove.pack_id)).first()
            used = pack_uses(db, "owner", day.ended_at - timedelta(days=1), day.ended_at, f"{day.ended_at:%Y-%m}")
            assert kinds_at(db, [A]) == {"lfp"}
        assert first in {one.pack_id for one in used}
        assert sum(one.income_yuan for one in used) > 0


def test_a_fee_that_is_not_what_its_journal_makes_it_is_not_charged_and_told(day: Day) -> None:
    """A fee and a stranding charge that were raised, in a journal hashed anew."""

    def raise_it(entry: Entry) -> Entry:
        data = json.loads(entry.data)
        fen = data.get("fee_fen")
        return replace(entry, data=canonical_json(data | {"fee_fen": fen + 1})) if fen in (5000, 8850) else entry

    with alone(day) as store:
        taken = take(store, [*rehashed(day.lines[A], raise_it), *day.lines[B]], day.ended_at)
        fee, stranding = taken.problems
        assert "the station charged 5001 fen; its journal and the contracts make it 5000" in fee
        assert "the station told 8851 fen" in stranding
        assert stranding.endswith("makes it 8850")
        assert (len(taken.fees), taken.strandings) == (1, [])


def head(lines: Sequence[JournalLine], at: datetime) -> NotedHead:
    """The head that a station has written down behind some lines."""
    last = lines[-1]
    return NotedHead(last.entry.station_id, last.entry.epoch, last.entry.seq, last.hash, at)


def test_heads_of_the_stations_are_compared_with_what_is_taken_in(day: Day) -> None:
    """A tail that was hashed anew is whole in itself: only a head that was written down elsewhere tells of it."""
    own = day.lines[A]
    anew = rehashed(own, lambda entry: replace(entry, actor="x") if entry.seq == len(own) - 3 else entry)
    heads = [head(own[:40], day.ended_at), head(own, day.ended_at), head(day.lines[B], day.ended_at)]
    with alone(day) as store:
        taken = take(store, [*anew, *day.lines[B]], day.ended_at, heads=heads)
        assert A not in taken.events
        (problem,) = taken.problems
        assert f"event {len(own)} with another hash: the journal was written anew" in problem
        short = take(store, own[:-2], day.ended_at, heads=heads)
        assert short.events == {A: len(own) - 2 - known_of(day, A)}
        (problem,) = short.problems
        assert f"was event {len(own)}, the journal ends at {len(own) - 2}" in problem
        assert not take(store, own, day.ended_at, heads=heads).problems
        assert billed(store, BILLED[:2]) == {name: day.rows[name] for name in ("Bill", "BillLine")}


def test_postgresql_makes_the_same_bills(day: Day, postgres_url: str) -> None:
    with alone(day, postgres_url) as store:
        assert not take(store, reversed(day.all_lines), day.ended_at).problems
        close_month(store, day.ended_at)
        assert billed(store) == day.rows
        rents(store, day)
        assert billed(store, LEASED) == day.leased


@pytest.mark.parametrize("damage", ["missing", "changed"])
@pytest.mark.parametrize("station_id", [A, B])
def test_what_is_behind_a_missing_or_damaged_line_makes_no_bill(
    day: Day, damage: str, station_id: str, tmp_path: Path
) -> None:
    own = day.lines[station_id]
    at = next(n for n, line in enumerate(own) if line.entry.kind == BillIssued.kind) + 1  # behind the first bill
    raw = [export_line(line.entry, line.hash) for line in own]
    if damage == "missing":
        del raw[at]
        told = f"station {station_id}: event {at + 1} is missing; {len(own) - at - 1} line(s) wait for it"
    else:
        raw[at] = raw[at].replace(b'"at":"2026', b'"at":"2027')
        told = f"event {at + 1} of {station_id} is not what its hash was made from"
    other = day.lines[A if station_id == B else B]
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in raw))
    with alone(day) as store:
        taken = take(store, [*read_files([path]), *other], day.ended_at)
        assert any(told in problem for problem in taken.problems), taken.problems
        assert taken.waiting == len(own) - at - 1
        assert sorted(taken.bills) == sorted([*bills_told(other), *bills_told(own[:at])])
        assert len(bills_told(own)) > 1
        mended = take(store, own, day.ended_at)
        assert not mended.problems
        close_month(store, day.ended_at)
        assert billed(store) == day.rows


def test_a_journal_waits_for_the_one_that_tells_its_firms(day: Day) -> None:
    """Stations of one database tell a firm once: the second one's journal comes first, and its firm is not known."""
    with alone() as store:
        taken = take(store, day.lines[B], day.ended_at)
        assert (taken.events, taken.bills, taken.waiting) == ({}, [], len(day.lines[B]))
        assert any(f"station {B}: its firm op is told by the journal of another station" in p for p in taken.problems)
        begin(store, day)
        take(store, day.lines[A], day.ended_at)
        assert not take(store, day.lines[B], day.ended_at).problems
        close_month(store, day.ended_at)
        assert billed(store) == day.rows


def test_a_bill_that_is_not_what_its_journal_makes_is_not_made_and_told(day: Day) -> None:
    """Bills are made anew, not copied: one that was raised, in a journal hashed anew, is found."""
    first = bills_told(day.lines[B])[0]

    def raise_it(entry: Entry) -> Entry:
        data = json.loads(entry.data)
        if data.get("bill_id") != first:
            return entry
        return replace(entry, data=canonical_json(data | {"total_fen": data["total_fen"] + 1}))

    with alone(day) as store:
        taken = take(store, [*rehashed(day.lines[B], raise_it), *day.lines[A]], day.ended_at)
        assert sorted(taken.bills) == sorted([*bills_told(day.lines[B])[1:], *bills_told(day.lines[A])])
        (problem,) = taken.problems
        assert first in problem
        assert "its journal makes it" in problem


def amounts(charges: Sequence[str]) -> dict[str, int]:
    """Of charges, by what they are charged for."""
    return {row["source"]: row["amount_fen"] for row in map(json.loads, charges)}


def test_a_station_that_bills_nothing_is_billed_here(day: Day) -> None:
    """The journals of stations without commerce: the lines of their bills are those that the stations would have
    issued, but for number and instant of the bill, and for the numbers of events."""

    def own(rows: dict[str, list[str]]) -> list[dict[str, Any]]:
        lines = [json.loads(row) for row in rows["BillLine"]]
        first = [line for line in lines if not {"reverses", "corrects"} & line["basis"].keys()]
        for line in first:
            del line["bill_id"], line["prices_seq"]
        return sorted(first, key=canonical_json)

    silent = [
        line
        for lines in day.lines.values()
        for line in rehashed(lines, lambda entry: None if entry.kind in BILL_KINDS else entry)
    ]
    with alone(day) as store:
        assert take(store, silent, day.ended_at).bills == []
        taken = take(store, [], day.ended_at, issue=True)
        assert len(taken.bills) == taken.posted == 6
        assert own(billed(store)) == own(day.rows)
        assert take(store, [], day.ended_at, issue=True).bills == []
        rents(store, day)
        assert amounts(billed(store, LEASED)["ChargeRow"]) == amounts(day.leased["ChargeRow"])


def test_foreign_and_contradicting_lines_are_told(day: Day) -> None:
    first = day.lines[A]
    other = rehashed(first[:20], lambda entry: replace(entry, actor="x") if entry.seq == 20 else entry)
    with alone() as store:
        taken = take(store, [*first[:30], day.lines[B][0]], day.ended_at, stations=[A])
        assert taken.events == {A: 30}
        assert taken.problems == [f"{B}: event 1 is of station {B}; taken are {A}"]
        taken = take(store, other[-1:], day.ended_at)
        assert taken.problems == [f"{A}: event 20 of {A} is known with another hash"]


def test_a_station_that_lives_in_the_database_takes_no_journal_from_a_file(day: Day, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'swap.db'}"
    fill(url, config(A, 1), day.ended_at)
    store = Store(url)
    taken = take(store, day.lines[A], day.ended_at)
    store.close()
    assert taken.problems == [f"station {A} lives in this database: its journal is taken from no file"]
    assert (taken.events, taken.bills) == ({}, [])


def test_a_station_whose_journal_came_from_a_file_is_not_run_on_that_database(day: Day, sqlite_url: str) -> None:
    store = Store(sqlite_url)
    take(store, day.lines[A], day.ended_at)
    with pytest.raises(SyncError, match=f"station {A} lives in another database"):
        sync_station(store, config(A, 1), day.ended_at)
    store.close()
