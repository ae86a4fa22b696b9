"""Bills that were wrong: the reversal, and the correction with what a person confirms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlmodel import col, select

from swap.audit import audit
from swap.commerce.bills.issuing import (
    add_bill,
    bill_completed_swaps,
    correct_bill,
    corrected,
    lines_of,
    reverse_bill,
)
from swap.commerce.bills.late import LateMark, correct_late
from swap.commerce.bills.terms import StationTerms, SwapAsked, SwapTerms
from swap.commerce.errors import BillNotReversible
from swap.config.station_file import StationConfig
from swap.errors import InvalidInput, NotFound
from swap.messages.commerce import LATE_READING
from swap.messages.packs import PackRead
from swap.reading.lists import list_bills
from swap.reading.records import BillRecord
from swap.register.persons import shown_actor
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Bill, BillLine, StationEvent
from tests.support.swap.commerce import AT, STATION, arrive, exchange, filled_store, station
from tests.support.swap.damage import Examined, bare

LATER = AT + timedelta(hours=1)


@pytest.fixture
def config() -> StationConfig:
    return station()


@pytest.fixture
def store(sqlite_url: str, config: StationConfig) -> Iterator[Store]:
    with filled_store(sqlite_url, config) as store:
        yield store


def bills(store: Store) -> list[BillRecord]:
    with store.reading_station(STATION) as db:
        return list(list_bills(db).items)


def one_bill(store: Store, config: StationConfig, **energies: Any) -> BillRecord:
    exchange(store, arrive(store, config, "V0").swap_id, **energies)
    bill_completed_swaps(store, STATION, LATER)
    return bills(store)[0]


def test_reversal(database_url: str, config: StationConfig) -> None:
    with filled_store(database_url, config) as store:
        bill = one_bill(store, config)
        with store.station(STATION) as db:
            reversal = reverse_bill(db, bill.bill_id, at=LATER, name="Li", reason="wrong fleet")
        assert reversal.total_yuan == -bill.total_yuan
        assert [line.amount_yuan for line in reversal.lines] == [-line.amount_yuan for line in bill.lines]
        for bill_id, message in ((bill.bill_id, "was reversed"), (reversal.bill_id, "is a reversal")):
            with store.station(STATION) as db, pytest.raises(BillNotReversible, match=message):
                reverse_bill(db, bill_id, at=LATER, name="Li", reason="again")
        with store.station(STATION) as db, pytest.raises(NotFound):
            reverse_bill(db, "none", at=LATER, name="Li", reason="")
        assert bill_completed_swaps(store, STATION, LATER) == ()
        with store.reading() as db:
            event = db.exec(select(StationEvent).where(StationEvent.kind == "bill.reversed")).one()
            assert (shown_actor(db, event.actor), event.data["reverses"]) == ("Li", bill.bill_id)
            assert sum(db.exec(select(Bill.total_fen))) == 0


def test_correction_with_a_confirmed_quantity(store: Store, config: StationConfig) -> None:
    bill = one_bill(store, config, settled_soe_kwh=910.0, returned_soe_kwh=0.0)
    with store.station(STATION) as db:
        reversal, corrected = correct_bill(
            db, bill.bill_id, {1: Decimal("183.31")}, at=LATER, name="Li", reason="read at the pack"
        )
    assert reversal.total_yuan == 0
    assert str(corrected.total_yuan) == "174.14"
    assert (corrected.kind, corrected.flags) == ("correction", ("first_swap",))
    assert corrected.lines[0].basis["confirmed_by"] == "Li"
    assert corrected.lines[0].basis["lsoe_kwh"] == "910.0"


@pytest.mark.parametrize("quantity", ["0", "183.31", "282"])
def test_a_correction_takes_over_all_but_the_quantity(store: Store, config: StationConfig, quantity: str) -> None:
    """From nothing to all that the pack holds; the same quantity gives the same bill."""
    bill = one_bill(store, config, settled_soe_kwh=262.26)
    with store.station(STATION) as db:
        _, corrected = correct_bill(db, bill.bill_id, {1: Decimal(quantity)}, at=LATER, name="Li", reason="read")
    changed = {"basis"} if quantity == "183.31" else {"basis", "energy_kwh", "amount_yuan", "tax_yuan"}
    for before, after in zip(bill.lines, corrected.lines, strict=True):
        assert after.model_dump(exclude=changed) == before.model_dump(exclude=changed)
        assert after.energy_kwh == Decimal(quantity)
    with store.reading() as db:
        lines = db.exec(select(BillLine).order_by(col(BillLine.line_no))).all()
        assert [line.tariff_period for line in lines] == ["flat"] * 6


def test_a_line_of_an_earlier_release_has_no_tariff_period_when_corrected(store: Store, config: StationConfig) -> None:
    bill_id = one_bill(store, config).bill_id
    with store.reading_station(STATION) as db:
        bill = db.get_one(Bill, bill_id)
        old = [BillLine(**line.model_dump() | {"tariff_period": None}) for line in lines_of(db, bill_id)]
        draft = corrected(bill, old, {1: Decimal(1)}, "Li", "read")
    written: list[BillLine] = []
    rows = SimpleNamespace(station_id=STATION, add=lambda _: None, flush=lambda: None, add_all=written.extend)
    add_bill(cast(StationDb, rows), draft, "bl-2", LATER)
    assert [line.tariff_period for line in written] == [None, None]


class TwoBuyers(StationTerms):
    """The service is for another firm than the electricity."""

    def terms(self, db: StationDb, asked: SwapAsked) -> SwapTerms:
        by = super().terms(db, asked)
        return replace(by, service=replace(by.service, buyer_id="own"))


def test_who_buys_the_first_line_pays_the_bill_and_its_correction(store: Store, config: StationConfig) -> None:
    exchange(store, arrive(store, config, "V0").swap_id)
    bill_completed_swaps(store, STATION, LATER, terms=TwoBuyers())
    (bill,) = bills(store)
    with store.station(STATION) as db:
        _, corrected = correct_bill(db, bill.bill_id, {1: Decimal(1)}, at=LATER, name="Li", reason="read")
    for one in (bill, corrected):
        assert (one.payer_id, [line.buyer_id for line in one.lines]) == ("fleet", ["fleet", "own"])


def test_a_bill_of_nothing_is_corrected_to_nothing(store: Store, config: StationConfig) -> None:
    exchange(store, arrive(store, config, "V0").swap_id, only_seats=0)
    bill_completed_swaps(store, STATION, LATER)
    (bill,) = bills(store)
    assert (bill.payer_id, bill.lines) == ("fleet", ())
    with store.station(STATION) as db:
        _, corrected = correct_bill(db, bill.bill_id, {}, at=LATER, name="Li", reason="read")
    assert (corrected.payer_id, corrected.lines) == ("fleet", ())
    assert corrected.total_yuan == 0


def test_of_a_pack_that_nobody_knows_no_quantity_is_possible(store: Store, config: StationConfig) -> None:
    swap_id = arrive(store, config, "V0").swap_id
    exchange(store, swap_id)
    with store.station(STATION) as db:
        for seat in db.seats(swap_id):
            seat.old_pack_id = None
            db.add(seat)
    bill_completed_swaps(store, STATION, LATER)
    (bill,) = bills(store)
    with store.station(STATION) as db, pytest.raises(InvalidInput, match=r"0…0 kWh"):
        correct_bill(db, bill.bill_id, {1: Decimal("0.01")}, at=LATER, name="Li", reason="")


@pytest.mark.parametrize(
    "quantities", [{}, {2: Decimal(1)}, {1: Decimal(-1)}, {1: Decimal("282.01")}, {1: Decimal("NaN")}]
)
def test_a_correction_outside_what_is_possible_leaves_the_bill(
    store: Store, config: StationConfig, quantities: dict[int, Decimal]
) -> None:
    bill = one_bill(store, config)

    def correct() -> None:
        with store.station(STATION) as db:
            correct_bill(db, bill.bill_id, quantities, at=LATER, name="Li", reason="")

    with pytest.raises(InvalidInput, match="energy_kwh_by_seat"):
        correct()
    assert len(bills(store)) == 1
    with store.reading() as db:
        assert db.exec(select(BillLine.line_no).order_by(col(BillLine.line_no))).all() == [1, 2]


def read_late(store: Store, swap_id: str, at: datetime, energy_kwh: float) -> None:
    """The BMS of the pack given back is heard at last, as the controller writes it."""
    with store.station(STATION) as db:
        (seat,) = db.seats(swap_id)
        seat.returned_soe_kwh = energy_kwh
        db.add(seat)
        read = PackRead(energy_kwh=energy_kwh, soc_pct=28.0, soh_pct=100.0, temp_max_c=None)
        db.append(read, at=at, actor="controller", swap_id=swap_id, pack_id=seat.old_pack_id)


def test_a_reading_that_comes_late_corrects_its_bill_by_itself(store: Store, config: StationConfig) -> None:
    """Once, as the bill would have been; of a doubtful one, and of a bill that a person has reversed, nothing."""
    at, mark = LATER + timedelta(hours=1), LateMark()
    swaps = [arrive(store, config, f"V{number}").swap_id for number in range(2)]
    for swap_id in swaps:
        exchange(store, swap_id, LATER, returned_soe_kwh=None)
    bill_completed_swaps(store, STATION, at)
    assert {bill.flags for bill in bills(store)} == {("first_swap", "unmeasured")}
    assert correct_late(store, STATION, at, mark=mark) == ()
    read_late(store, swaps[0], at, 78.95)
    read_late(store, swaps[1], at, 270.0)  # charged elsewhere: for a person
    (bill_id,) = correct_late(store, STATION, at, mark=mark)
    assert correct_late(store, STATION, at, mark=mark) == ()
    assert correct_late(store, STATION, at) == ()
    again = next(bill for bill in bills(store) if bill.bill_id == bill_id)
    assert (again.swap_id, again.kind, again.flags) == (swaps[0], "correction", ("first_swap",))
    assert str(again.total_yuan) == "174.14"
    assert (again.lines[0].basis["confirmed_by"], again.lines[0].basis["reason"]) == ("commerce", LATE_READING)
    assert sorted(bill.kind for bill in bills(store)) == ["correction", "reversal", "swap", "swap"]
    with store.reading() as db:
        found = {one.name: one.violations for one in audit(db).invariants}
    assert [found[name] for name in LOOKED_AT] == [()] * len(LOOKED_AT)


LOOKED_AT = ("bill_in_journal", "bill_energy_is_the_packs", "reversal_mirrors_bill", "bill_adds_up", "actors_known")


@pytest.mark.parametrize(
    ("invariant", "script"),
    [
        ("bill_in_journal", "UPDATE bill SET flags = 'first_swap' WHERE kind <> 'correction'"),
        ("actors_known", "UPDATE station_event SET data = replace(data, 'late_reading', 'a gift')"),
        ("bill_energy_is_the_packs", "UPDATE bill_line SET energy_centi_kwh = 100 WHERE basis LIKE '%confirmed_by%'"),
    ],
)
def test_a_correction_that_commerce_would_not_have_made_is_found(
    sqlite_url: str, config: StationConfig, tmp_path: Path, invariant: str, script: str
) -> None:
    with filled_store(sqlite_url, config) as store:
        swap_id = arrive(store, config, "V0").swap_id
        exchange(store, swap_id, LATER, returned_soe_kwh=None)
        bill_completed_swaps(store, STATION, LATER + timedelta(hours=1))
        read_late(store, swap_id, LATER, 78.95)
        assert len(correct_late(store, STATION, LATER + timedelta(hours=1))) == 1
    examined = Examined(bare(Path(sqlite_url.removeprefix("sqlite:///")), tmp_path))
    found = {one.name for one in examined.after(script).invariants if one.violations}
    examined.close()
    assert invariant in found
