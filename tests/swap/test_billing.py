"""What a swap costs, and that each completed swap ends in exactly one bill."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from swap.commerce.billing import (
    bill_completed_swaps,
    correct_bill,
    reverse_bill,
    run_commerce,
)
from swap.commerce.errors import BillNotReversible
from swap.commerce.pricing import Flag, SeatEnergy, price_swap, to_decimal, two_part_rent
from swap.config.station_file import StationConfig
from swap.errors import InvalidInput, NotFound
from swap.reading.lists import list_bills
from swap.reading.records import BillRecord
from swap.register.persons import shown_actor
from swap.store import Store
from swap.tables import Bill, BillLine, StationEvent, Swap
from tests.support.swap.commerce import AT, STATION, FlatTariff, arrive, code, exchange, filled_store, finish, station

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "swap_billing.json").read_text(encoding="utf-8")
)
LATER = AT + timedelta(hours=1)


def seat(lsoe: str | None, usoe: str | None, rated: str | None = "282", **more: Any) -> SeatEnergy:
    def number(text: str | None) -> Decimal | None:
        return None if text is None else Decimal(text)

    return SeatEnergy(1, "P", number(rated), number(lsoe), number(usoe), **more)


# ---- pricing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["swap"], ids=lambda v: v["id"])
def test_vectors(vector: dict[str, str]) -> None:
    priced = price_swap(
        [seat(vector["last_settled_soe_kwh"], vector["returned_soe_kwh"])],
        Decimal(vector["energy_price"]),
        Decimal(vector["service_price"]),
    )
    energy, service = priced.lines
    if vector["id"] == "charged-elsewhere":  # the vector leaves the policy open; ours is 0 and a flag
        assert energy.basis["difference_kwh"] == vector["energy_kwh"]
        assert energy.energy_kwh == priced.total_yuan == 0
        assert priced.flags == (Flag.CHARGED_ELSEWHERE,)
        return
    assert (energy.kind, service.kind, priced.flags) == ("energy", "service", ())
    assert str(energy.energy_kwh) == str(service.energy_kwh) == vector["energy_kwh"]
    assert str(energy.amount_yuan) == vector["energy_fee"]
    assert str(service.amount_yuan) == vector["service_fee"]
    assert str(priced.total_yuan) == vector["total"]


@pytest.mark.parametrize("vector", VECTORS["two_part_rent"], ids=lambda v: str(v["energy_used_kwh"]))
def test_two_part_rent(vector: dict[str, Any]) -> None:
    rent = two_part_rent(
        Decimal(vector["capacity_kwh"]),
        Decimal(vector["energy_used_kwh"]),
        Decimal(vector["floor_per_kwh_month"]),
        Decimal(vector["overage_per_kwh"]),
    )
    assert rent.included_kwh == Decimal(vector["included_kwh"])
    assert rent.floor_yuan == Decimal(vector["floor_amount"])
    assert rent.metered_yuan == Decimal(vector["metered_amount"])
    assert rent.payable_yuan == Decimal(vector["payable"])


def test_rent_without_a_price_for_energy_or_with_a_negative_one() -> None:
    assert two_part_rent(Decimal(282), Decimal(1), Decimal(10), Decimal(0)).payable_yuan == 2820
    with pytest.raises(ValueError, match="0 or more"):
        two_part_rent(Decimal(282), Decimal(-1), Decimal(10), Decimal(1))


@pytest.mark.parametrize(
    ("energies", "flag"),
    [
        (seat(None, "80"), Flag.UNMEASURED),
        (seat("260", None), Flag.UNMEASURED),
        (seat("910", "0", "282"), Flag.IMPLAUSIBLE),
        (seat("282.01", "0"), Flag.IMPLAUSIBLE),
        (seat("260", "-1"), Flag.IMPLAUSIBLE),
        (seat("NaN", "10"), Flag.IMPLAUSIBLE),
        (seat("Infinity", "10"), Flag.IMPLAUSIBLE),
        (seat("260", "80", None), Flag.IMPLAUSIBLE),
        (seat("80", "80.01"), Flag.CHARGED_ELSEWHERE),
    ],
)
def test_what_cannot_be_billed_is_billed_as_zero_with_its_flag(energies: SeatEnergy, flag: Flag) -> None:
    priced = price_swap([energies], Decimal("0.55"), Decimal("0.4"))
    assert (str(priced.total_yuan), priced.flags) == ("0.00", (flag,))
    assert {line.basis["flag"] for line in priced.lines} == {flag.value}


def test_the_bound_itself_and_an_equal_reading_are_billed() -> None:
    assert price_swap([seat("282", "0")], Decimal(1), Decimal(0)).total_yuan == 282
    assert price_swap([seat("100", "100")], Decimal(1), Decimal(0)).flags == ()


def test_prices_are_rounded_half_up_too() -> None:
    line = price_swap([seat("100", "0")], Decimal("0.55005"), Decimal(0)).lines[0]
    assert (str(line.unit_price_yuan), str(line.amount_yuan)) == ("0.5501", "55.01")


def test_numbers_as_they_were_written() -> None:
    assert str(to_decimal(262.26)) == "262.26"
    assert to_decimal(None) is None


energies = st.one_of(st.none(), st.decimals(-10, 1200, places=3), st.sampled_from([Decimal("NaN")]))


@given(
    seats=st.lists(st.tuples(energies, energies), min_size=1, max_size=2),
    price=st.decimals(0, 10, places=6),
    service=st.decimals(0, 10, places=6),
)
def test_a_bill_is_never_negative_nor_above_the_pack_and_adds_up(
    seats: list[tuple[Decimal | None, Decimal | None]], price: Decimal, service: Decimal
) -> None:
    rated = Decimal(282)
    priced = price_swap(
        [SeatEnergy(n, "P", rated, lsoe, usoe) for n, (lsoe, usoe) in enumerate(seats, 1)], price, service
    )
    assert priced.total_yuan == sum(line.amount_yuan for line in priced.lines) >= 0
    for line in priced.lines:
        assert 0 <= line.energy_kwh <= rated
        assert abs(line.amount_yuan - line.energy_kwh * line.unit_price_yuan) <= Decimal("0.005")
        assert line.amount_yuan.as_tuple().exponent == line.energy_kwh.as_tuple().exponent == -2
    silent = [line for line in priced.lines if line.energy_kwh == 0 and line.basis["flag"] is None]
    assert all(Decimal(line.basis["difference_kwh"] or "nan") < Decimal("0.005") for line in silent)


# ---- bills -------------------------------------------------------------------------------------------------


@pytest.fixture
def config() -> StationConfig:
    return station()


@pytest.fixture
def store(sqlite_url: str, config: StationConfig) -> Iterator[Store]:
    with filled_store(sqlite_url, config) as store:
        yield store


def bills(store: Store) -> list[BillRecord]:
    with store.reading_station(STATION) as db:
        return sorted(list_bills(db, "S").items, key=lambda bill: bill.kind)


def test_a_completed_swap_is_billed_at_the_tariff_of_its_instant(database_url: str, config: StationConfig) -> None:
    with filled_store(database_url, config) as store:
        swap_id = arrive(store, config, "V0").swap_id
        exchange(store, swap_id, settled_soe_kwh=262.26, returned_soe_kwh=78.95)
        tariff = FlatTariff("9.9", by_hour={8: "0.55"})  # completed at 08:06, billed long after
        report = run_commerce(store, config, tariff, AT + timedelta(hours=7))
        (bill,) = bills(store)
        assert report.bills_issued == (bill.bill_id,)
        assert (bill.payer_id, str(bill.total_yuan), bill.flags) == ("fleet", "174.14", ("first_swap",))
        assert [(line.kind, line.payee_id, line.pack_id, str(line.energy_kwh)) for line in bill.lines] == [
            ("energy", "op", code(101), "183.31"),
            ("service", "op", code(101), "183.31"),
        ]
        assert [str(line.amount_yuan) for line in bill.lines] == ["100.82", "73.32"]
        assert bill.lines[0].basis["lsoe_kwh"] == "262.26"
        with store.reading() as db:
            event = db.exec(select(StationEvent).where(StationEvent.kind == "bill.issued")).one()
            cause = db.get_one(StationEvent, (event.station_id, event.cause_seq))
            assert (event.swap_id, event.data["total_fen"], cause.kind) == (swap_id, 17414, "swap.completed")
        assert run_commerce(store, config, tariff, LATER).bills_issued == ()


def test_first_swap_then_the_pack_that_the_swap_put_on(store: Store, config: StationConfig) -> None:
    first = arrive(store, config, "V0").swap_id
    exchange(store, first, installed_soe_kwh=267.9)
    second = arrive(store, config, "V0", LATER).swap_id
    exchange(store, second, LATER, returned_soe_kwh=67.9)
    bill_completed_swaps(store, config, FlatTariff(), LATER)
    by_swap = {bill.swap_id: bill for bill in bills(store)}
    assert by_swap[first].flags == ("first_swap",)
    assert by_swap[second].flags == ()
    assert by_swap[second].lines[0].energy_kwh == Decimal("200.00")


def test_a_truck_with_two_packs_and_one_that_exchanged_only_one(sqlite_url: str) -> None:
    config = station(seats=2, packs=3)
    with filled_store(sqlite_url, config) as store:
        both = arrive(store, config, "V0").swap_id
        exchange(store, both)
        bill_completed_swaps(store, config, FlatTariff(), LATER)
        assert [line.seat for line in bills(store)[0].lines] == [1, 1, 2, 2]
        one = arrive(store, config, "V1", LATER).swap_id
        exchange(store, one, LATER, only_seats=1)
        bill_completed_swaps(store, config, FlatTariff(), LATER)
        (bill,) = [bill for bill in bills(store) if bill.swap_id == one]
        assert [line.seat for line in bill.lines] == [1, 1]


def test_a_bill_waits_for_the_reading_but_not_for_ever(store: Store, config: StationConfig) -> None:
    swap_id = arrive(store, config, "V0").swap_id
    exchange(store, swap_id, AT, returned_soe_kwh=None)
    wait = timedelta(seconds=config.billing.reading_wait_s)
    assert bill_completed_swaps(store, config, FlatTariff(), AT + wait / 2) == ()
    assert len(bill_completed_swaps(store, config, FlatTariff(), AT + wait)) == 1
    (bill,) = bills(store)
    assert (str(bill.total_yuan), bill.flags) == ("0.00", ("first_swap", "unmeasured"))


def test_never_more_than_the_pack_holds(store: Store, config: StationConfig) -> None:
    swap_id = arrive(store, config, "V0").swap_id
    exchange(store, swap_id, settled_soe_kwh=910.0, returned_soe_kwh=0.0)
    bill_completed_swaps(store, config, FlatTariff(), LATER)
    (bill,) = bills(store)
    assert (str(bill.total_yuan), bill.flags) == ("0.00", ("first_swap", "implausible"))


@pytest.mark.parametrize("state", ["returned", "cancelled"])
def test_a_swap_without_an_exchange_has_no_bill(store: Store, config: StationConfig, state: str) -> None:
    swap_id = arrive(store, config, "V0").swap_id
    with store.transaction() as db:
        finish(db, db.get_one(Swap, swap_id), AT, state)
    assert bill_completed_swaps(store, config, FlatTariff(), LATER) == ()


class HolesInTariff(FlatTariff):
    """No price before 08:10."""

    def price_at(self, at: datetime) -> Decimal:
        if at < AT + timedelta(minutes=10):
            raise LookupError("no price")
        return super().price_at(at)


def test_a_swap_that_cannot_be_priced_stops_no_other(store: Store, config: StationConfig) -> None:
    for vehicle, minutes in (("V0", 6), ("V1", 12)):
        exchange(store, arrive(store, config, vehicle).swap_id, AT + timedelta(minutes=minutes))
    with pytest.raises(ExceptionGroup, match="1 completed swap") as caught:
        bill_completed_swaps(store, config, HolesInTariff(), LATER)
    assert "completed 2026-11-01T08:06" in str(caught.value.exceptions[0])
    assert len(bills(store)) == 1
    assert len(bill_completed_swaps(store, config, FlatTariff(), LATER)) == 1


def test_eight_billers_issue_each_bill_once(database_url: str) -> None:
    config = station(trucks=6)
    with filled_store(database_url, config) as store:
        for n in range(6):
            exchange(store, arrive(store, config, f"V{n}").swap_id)
        start = threading.Barrier(8)

        def run(_: int) -> tuple[str, ...]:
            start.wait()
            return bill_completed_swaps(store, config, FlatTariff(), LATER)

        with ThreadPoolExecutor(8) as pool:
            issued = [bill_id for ids in pool.map(run, range(8)) for bill_id in ids]
        assert len(issued) == len(set(issued)) == len(bills(store)) == 6


steps = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["complete", "complete", "return", "cancel"]),
        st.one_of(st.none(), st.floats(-5, 1000, allow_nan=False)),
        st.booleans(),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def filled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled database to copy; migrating anew for each example would take most of the time."""
    path = tmp_path_factory.mktemp("filled") / "station.db"
    with filled_store(f"sqlite:///{path}", station()):
        return path


@settings(max_examples=25)
@given(history=steps)
def test_every_completed_swap_ends_with_exactly_one_bill(
    filled_file: Path, history: list[tuple[int, str, float | None, bool]]
) -> None:
    config = station()
    with TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{shutil.copy(filled_file, folder)}")
        completed = set()
        for number, (truck, how, returned, bill_now) in enumerate(history):
            at = AT + timedelta(hours=number)
            swap_id = arrive(store, config, f"V{truck}", at).swap_id
            if how == "complete":
                exchange(store, swap_id, at, returned_soe_kwh=returned)
                completed.add(swap_id)
            else:
                with store.transaction() as db:
                    finish(db, db.get_one(Swap, swap_id), at, "returned" if how == "return" else "cancelled")
            if bill_now:
                run_commerce(store, config, FlatTariff(), at)
        run_commerce(store, config, FlatTariff(), AT + timedelta(days=2))
        billed = [bill.swap_id for bill in bills(store)]
        assert sorted(billed) == sorted(completed)
        assert all(0 <= line.energy_kwh <= 282 for bill in bills(store) for line in bill.lines)
        store.close()


# ---- reversal and correction -------------------------------------------------------------------------------


def one_bill(store: Store, config: StationConfig, **energies: Any) -> BillRecord:
    exchange(store, arrive(store, config, "V0").swap_id, **energies)
    bill_completed_swaps(store, config, FlatTariff(), LATER)
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
        assert bill_completed_swaps(store, config, FlatTariff(), LATER) == ()
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
