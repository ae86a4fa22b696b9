"""Custody: no gap, no overlap, whatever order the journals come in; export; use and income."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from swap.commerce.custody.show import custody_records, custody_spans, life_events_of, pack_uses
from swap.commerce.custody.spans import PackMove, gaps, in_order, life_events, spans_of
from swap.commerce.custody.take import JournalEvent, take_events, take_journals
from swap.commerce.leases.rent import run_rent
from swap.errors import NotFound
from swap.tables import CustodyMark, CustodyMove, ReadingRow
from tests.support.swap.commerce import AT, code, filled_store, station
from tests.support.swap.leases import FIRST_AT, Traffic, lease_store, signed, terms

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
PLACES = ("bay:S:A1", "vehicle:V0:1", "gripper:S:L1", "bay:T:A1", "vehicle:V1:1", "off_site", "tank:T")


def chain(places: list[str], minutes: list[int]) -> list[PackMove]:
    """Moves from off site along places, so many minutes apart."""
    found, here, at = [], "off_site", BEGIN
    for number, (place, wait) in enumerate(zip(places, minutes, strict=False), start=1):
        at += timedelta(minutes=wait)
        found.append(PackMove("P", at, "ST"[number % 2], number, here, place, f"holder of {place}"))
        here = place
    return found


@given(
    st.lists(st.sampled_from(PLACES), min_size=1, max_size=12).filter(
        lambda places: all(a != b for a, b in zip(["off_site", *places], places, strict=False))
    ),
    st.lists(st.integers(1, 500), min_size=12, max_size=12),
    st.integers(0, 2**32),
)
def test_spans_divide_the_time_whatever_order_the_moves_come_in(
    places: list[str], minutes: list[int], seed: int
) -> None:
    moves = chain(places, minutes)
    mixed = moves[:]
    Random(seed).shuffle(mixed)
    spans = spans_of(mixed)
    assert [span.place for span in spans] == places
    assert all(span.until_at == following.from_at for span, following in pairwise(spans))
    assert (spans[0].from_at, spans[-1].until_at) == (moves[0].at, None)
    assert gaps(mixed) == ()
    assert in_order(mixed) == moves
    if len(moves) > 1:
        lost = moves[:-2] + moves[-1:]
        joined = len(lost) < 2 or lost[-1].source == lost[-2].target
        assert bool(gaps(lost)) != joined


def test_moves_of_one_instant_are_ordered_by_their_places() -> None:
    moves = [
        PackMove("P", BEGIN, "S", 7, "gripper:S:L1", "bay:S:A2", "op"),
        PackMove("P", BEGIN, "T", 9, "bay:S:A1", "gripper:S:L1", "op"),
        PackMove("P", BEGIN - timedelta(hours=1), "S", 1, "off_site", "bay:S:A1", "op"),
    ]
    assert [span.place for span in spans_of(moves)] == ["bay:S:A1", "bay:S:A2"]
    assert gaps(moves) == ()


def test_journals_of_two_stations_come_late_and_interleaved(tmp_path: Path) -> None:
    """Each event counts once, and the spans are the same as if all had come in time."""

    def event(
        station_id: str, seq: int, minute: int, source: str, target: str, swap: str | None = None
    ) -> JournalEvent:
        at = BEGIN + timedelta(minutes=minute)
        return JournalEvent(station_id, seq, at, "pack.moved", swap, code(1), {"from": source, "to": target})

    here = [
        event("S", 100, 1, "bay:S:A1", "gripper:S:L1", "sw-1"),
        event("S", 101, 2, "gripper:S:L1", "vehicle:V0:1", "sw-1"),
        event("S", 190, 90, "vehicle:V0:1", "bay:S:A2", "sw-3"),
    ]
    there = [
        event("T", 10, 60, "vehicle:V0:1", "bay:T:A1", "sw-2"),
        event("T", 11, 70, "bay:T:A1", "vehicle:V0:1", "sw-2"),
    ]
    with lease_store(tmp_path) as store:
        for part in (here, here, there, [*here, *there]):
            with store.commerce() as db:
                take_events(db, part)
        with store.reading_commerce() as db:
            records = custody_records(db, code(1), from_at=BEGIN).items
            places = [(record.place, record.holder_id, record.until_at) for record in records]
            marks = {row.station_id: row.seq for row in db.exec(select(CustodyMark))}
            moved = db.exec(select(CustodyMove).where(CustodyMove.seq >= 10, CustodyMove.pack_id == code(1))).all()
    assert places == [
        ("bay:S:A1", "op", BEGIN + timedelta(minutes=1)),
        ("gripper:S:L1", "op", BEGIN + timedelta(minutes=2)),
        ("vehicle:V0:1", "fleet", BEGIN + timedelta(minutes=60)),
        ("bay:T:A1", "own", BEGIN + timedelta(minutes=70)),  # of station T nothing is known here
        ("vehicle:V0:1", "fleet", BEGIN + timedelta(minutes=90)),
        ("bay:S:A2", "op", None),
    ]
    assert marks == {"S": 190, "T": 11}
    assert len(moved) == 5


def test_what_a_station_writes_is_taken_over_once(sqlite_url: str) -> None:
    with filled_store(sqlite_url, station()) as store:
        first = take_journals(store)
        assert first == 5  # two packs in the rack and three on trucks
        assert take_journals(store) == 0
        with store.reading_commerce() as db:
            spans = custody_spans(db, vehicle_id="V1")
            assert [(span.pack_id, span.place, span.holder_id) for span in spans] == [
                (code(102), "vehicle:V1:1", "fleet")
            ]
            assert len(custody_spans(db, holder_id="op")) == 2
            assert custody_spans(db, until_at=AT - timedelta(days=1)) == ()
            with pytest.raises(NotFound):
                custody_records(db, "unknown")
            with pytest.raises(NotFound):
                life_events_of(db, "unknown")


def test_the_life_of_a_pack() -> None:
    moves = [
        PackMove("P", BEGIN, "S", 1, "off_site", "bay:S:A1", "op"),
        PackMove("P", BEGIN + timedelta(hours=1), "S", 2, "bay:S:A1", "gripper:S:L1", "op", "sw-1"),
        PackMove("P", BEGIN + timedelta(hours=2), "S", 3, "gripper:S:L1", "vehicle:V0:1", "fleet", "sw-1"),
        PackMove("P", BEGIN + timedelta(hours=9), "T", 4, "vehicle:V0:1", "gripper:T:L1", "op2", "sw-2"),
        PackMove("P", BEGIN + timedelta(hours=99), "T", 5, "gripper:T:L1", "off_site", "own"),
    ]
    told = [(e.event, e.old_holder, e.new_holder, e.vehicle, e.reason) for e in life_events(moves)]
    assert told == [
        ("pack_in", None, "op", None, "brought_into_record"),
        ("holder_changed", None, "op", None, "brought_into_record"),
        ("pack_out", "op", "fleet", "V0", "swap"),
        ("swap", "op", "fleet", "V0", "swap"),
        ("holder_changed", "op", "fleet", "V0", "swap"),
        ("pack_in", "fleet", "op2", "V0", "swap"),
        ("swap", "fleet", "op2", "V0", "swap"),
        ("holder_changed", "fleet", "op2", "V0", "swap"),
        ("pack_out", "op2", "own", None, "moved"),
        ("holder_changed", "op2", "own", None, "moved"),
    ]


def test_use_and_income_of_each_pack_add_up_to_what_was_charged(tmp_path: Path) -> None:
    with lease_store(tmp_path) as store:
        signed(store, terms(vehicles=["V0", "V1"], entitlement=[{"kind": "lfp", "number": 2}]))
        traffic = Traffic.of(3)
        for day in range(20):
            traffic.day((BEGIN + timedelta(days=day)).date(), ["V0", "V1", "V2"])
        traffic.tell(store, all_readings=True)
        run_rent(store, "2024-01", datetime(2024, 2, 2, tzinfo=UTC))
        until = datetime(2024, 2, 1, tzinfo=UTC)
        with store.reading_commerce() as db:
            uses = pack_uses(db, "own", BEGIN, until, "2024-01")
            assert db.exec(select(ReadingRow.id).where(ReadingRow.quantity == "soh_pct")).first() is not None
    assert len(uses) == 10
    assert sum(use.income_yuan for use in uses) == Decimal("5640.00")  # 2 × 282 kWh × 10 yuan
    hours = sum(use.on_vehicles_h for use in uses)
    assert Decimal("4400") < hours < Decimal("4464")  # six trucks for 744 h, less the minutes of the swaps
    assert all(0 <= use.share <= 1 for use in uses)
    assert sum(use.installed for use in uses) == traffic.swaps
    assert FIRST_AT < BEGIN
