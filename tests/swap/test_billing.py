"""What a swap costs, and that each completed swap ends in exactly one bill."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import select

from swap.audit import audit
from swap.commerce.bills.issuing import (
    bill_completed_swaps,
    reverse_bill,
    run_commerce,
)
from swap.commerce.bills.money import to_decimal
from swap.commerce.bills.pricing import PricedSwap, UnitPrice, price_swap
from swap.commerce.bills.quantity import Flag, SeatEnergy
from swap.commerce.bills.terms import EnergyPrice, Measure, SaleTerms, StationTerms, SwapAsked, SwapTerms
from swap.commerce.bills.why import explain
from swap.commerce.charges import Sale
from swap.commerce.leases.rating import two_part_rent
from swap.config.prices import read_prices, told_prices
from swap.config.seed import sync_station
from swap.config.station_file import StationConfig
from swap.messages.commerce import PricesSet
from swap.messages.packs import PackRead
from swap.reading.lists import list_bills
from swap.reading.records import BillRecord
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import BillLine, ChargeSession, StationEvent, Swap
from tests.support.swap.commerce import AT, STATION, arrive, code, exchange, filled_store, finish, station

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "swap_billing.json").read_text(encoding="utf-8")
)
LATER = AT + timedelta(hours=1)


def seat(lsoe: str | None, usoe: str | None, rated: str | None = "282", **more: Any) -> SeatEnergy:
    def number(text: str | None) -> Decimal | None:
        return None if text is None else Decimal(text)

    return SeatEnergy(1, "P", number(rated), number(lsoe), number(usoe), **more)


OWN = SaleTerms("op", "fleet", Sale.OWN, None, "service", Decimal("0.06"), True)
PRICES = read_prices(1, told_prices(station()))


def terms(service: Decimal, **more: Any) -> SwapTerms:
    return SwapTerms(
        Measure.SOE_DIFFERENCE, EnergyPrice.TARIFF_AT_SWAP, None, service, Decimal("0.05"), OWN, OWN, **more
    )


def cost(seats: list[SeatEnergy], price: Decimal, service: Decimal) -> PricedSwap:
    """What a swap costs at two prices."""
    energy = UnitPrice(price.quantize(Decimal("0.0001"), ROUND_HALF_UP), "flat", (), {})
    return price_swap(seats, [energy] * len(seats), terms(service), PRICES, AT)


# ---- pricing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["swap"], ids=lambda v: v["id"])
def test_vectors(vector: dict[str, str]) -> None:
    priced = cost(
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
        (seat("282.051", "0"), Flag.IMPLAUSIBLE),
        (seat("260", "-1"), Flag.IMPLAUSIBLE),
        (seat("NaN", "10"), Flag.IMPLAUSIBLE),
        (seat("Infinity", "10"), Flag.IMPLAUSIBLE),
        (seat("260", "80", None), Flag.IMPLAUSIBLE),
        (seat("80", "80.051"), Flag.CHARGED_ELSEWHERE),
    ],
)
def test_what_cannot_be_billed_is_billed_as_zero_with_its_flag(energies: SeatEnergy, flag: Flag) -> None:
    priced = cost([energies], Decimal("0.55"), Decimal("0.4"))
    assert (str(priced.total_yuan), priced.flags) == ("0.00", (flag,))
    assert {line.basis["flag"] for line in priced.lines} == {flag.value}


def test_the_bound_itself_and_an_equal_reading_are_billed() -> None:
    assert cost([seat("282", "0")], Decimal(1), Decimal(0)).total_yuan == 282
    assert cost([seat("100", "100")], Decimal(1), Decimal(0)).flags == ()


def test_prices_are_rounded_half_up_too() -> None:
    line = cost([seat("100", "0")], Decimal("0.55005"), Decimal(0)).lines[0]
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
    priced = cost([SeatEnergy(n, "P", rated, lsoe, usoe) for n, (lsoe, usoe) in enumerate(seats, 1)], price, service)
    assert priced.total_yuan == sum(line.amount_yuan for line in priced.lines) >= 0
    for line in priced.lines:
        assert 0 <= line.energy_kwh <= rated
        assert abs(line.amount_yuan - line.energy_kwh * line.unit_price_yuan) <= Decimal("0.005")
        assert line.amount_yuan.as_tuple().exponent == line.energy_kwh.as_tuple().exponent == -2
    silent = [line for line in priced.lines if line.energy_kwh == 0 and line.basis["flag"] is None]
    assert all(-Decimal("0.05") <= Decimal(line.basis["difference_kwh"] or "nan") < Decimal("0.005") for line in silent)


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
        return sorted(list_bills(db).items, key=lambda bill: bill.kind)


def test_a_completed_swap_is_billed_at_the_tariff_of_its_instant(database_url: str, config: StationConfig) -> None:
    with filled_store(database_url, config) as store:
        swap_id = arrive(store, config, "V0").swap_id
        exchange(store, swap_id, settled_soe_kwh=262.26, returned_soe_kwh=78.95)
        report = run_commerce(store, config, AT + timedelta(hours=7))
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
        assert run_commerce(store, config, LATER).bills_issued == ()


def test_first_swap_then_the_pack_that_the_swap_put_on(store: Store, config: StationConfig) -> None:
    first = arrive(store, config, "V0").swap_id
    exchange(store, first, installed_soe_kwh=267.9)
    second = arrive(store, config, "V0", LATER).swap_id
    exchange(store, second, LATER, returned_soe_kwh=67.9)
    bill_completed_swaps(store, STATION, LATER)
    by_swap = {bill.swap_id: bill for bill in bills(store)}
    assert by_swap[first].flags == ("first_swap",)
    assert by_swap[second].flags == ()
    assert by_swap[second].lines[0].energy_kwh == Decimal("200.00")


def test_a_truck_with_two_packs_and_one_that_exchanged_only_one(sqlite_url: str) -> None:
    config = station(seats=2, packs=3)
    with filled_store(sqlite_url, config) as store:
        both = arrive(store, config, "V0").swap_id
        exchange(store, both)
        bill_completed_swaps(store, STATION, LATER)
        assert [line.seat for line in bills(store)[0].lines] == [1, 1, 2, 2]
        one = arrive(store, config, "V1", LATER).swap_id
        exchange(store, one, LATER, only_seats=1)
        bill_completed_swaps(store, STATION, LATER)
        (bill,) = [bill for bill in bills(store) if bill.swap_id == one]
        assert [line.seat for line in bill.lines] == [1, 1]


def test_a_bill_waits_for_the_reading_but_not_for_ever(store: Store, config: StationConfig) -> None:
    swap_id = arrive(store, config, "V0").swap_id
    exchange(store, swap_id, AT, returned_soe_kwh=None)
    wait = timedelta(seconds=config.billing.reading_wait_s)
    assert bill_completed_swaps(store, STATION, AT + wait / 2) == ()
    assert len(bill_completed_swaps(store, STATION, AT + wait)) == 1
    (bill,) = bills(store)
    assert (str(bill.total_yuan), bill.flags) == ("0.00", ("first_swap", "unmeasured"))


def test_a_reading_that_comes_while_a_bill_is_reckoned_is_not_left_out(
    store: Store, config: StationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bill is reckoned before the lock is taken: what came in between counts at the next look."""
    swap_id = arrive(store, config, "V0").swap_id
    exchange(store, swap_id, AT, returned_soe_kwh=None)

    def late(*arguments: Any) -> Any:
        with store.station(STATION) as db:
            for row in db.seats(swap_id):
                row.returned_soe_kwh = 78.95
                db.add(row)
        return price_swap(*arguments)

    monkeypatch.setattr("swap.commerce.bills.readings.price_swap", late)
    assert bill_completed_swaps(store, STATION, LATER) == ()
    monkeypatch.undo()
    (bill_id,) = bill_completed_swaps(store, STATION, LATER)
    with store.reading() as db:
        lines = db.exec(select(BillLine).where(BillLine.bill_id == bill_id)).all()
        assert all(line.energy_centi_kwh > 0 for line in lines)


def test_never_more_than_the_pack_holds(store: Store, config: StationConfig) -> None:
    swap_id = arrive(store, config, "V0").swap_id
    exchange(store, swap_id, settled_soe_kwh=910.0, returned_soe_kwh=0.0)
    bill_completed_swaps(store, STATION, LATER)
    (bill,) = bills(store)
    assert (str(bill.total_yuan), bill.flags) == ("0.00", ("first_swap", "implausible"))


@pytest.mark.parametrize("state", ["returned", "cancelled"])
def test_a_swap_without_an_exchange_has_no_bill(store: Store, config: StationConfig, state: str) -> None:
    swap_id = arrive(store, config, "V0").swap_id
    with store.transaction() as db:
        finish(db, db.get_one(Swap, swap_id), AT, state)
    assert bill_completed_swaps(store, STATION, LATER) == ()


class HolesInTerms(StationTerms):
    """No terms before 08:10."""

    why: tuple[str, ...] = ("no terms",)

    def terms(self, db: StationDb, asked: SwapAsked) -> SwapTerms:
        if asked.at < AT + timedelta(minutes=10):
            raise LookupError(*self.why)
        return super().terms(db, asked)


def test_a_swap_that_cannot_be_priced_stops_no_other(store: Store, config: StationConfig) -> None:
    for vehicle, minutes in (("V0", 6), ("V1", 12)):
        exchange(store, arrive(store, config, vehicle).swap_id, AT + timedelta(minutes=minutes))
    with pytest.raises(ExceptionGroup, match="1 completed swap") as caught:
        bill_completed_swaps(store, STATION, LATER, terms=HolesInTerms())
    assert "completed 2026-11-01T08:06" in str(caught.value.exceptions[0])
    assert str(caught.value.exceptions[0]).endswith("is not billed: no terms")
    assert len(bills(store)) == 1
    silent = HolesInTerms()
    silent.why = ()
    with pytest.raises(ExceptionGroup) as wordless:
        bill_completed_swaps(store, STATION, LATER, terms=silent)
    assert str(wordless.value.exceptions[0]).endswith("is not billed: LookupError")
    assert len(bill_completed_swaps(store, STATION, LATER)) == 1


def test_eight_billers_issue_each_bill_once(database_url: str) -> None:
    config = station(trucks=6)
    with filled_store(database_url, config) as store:
        for n in range(6):
            exchange(store, arrive(store, config, f"V{n}").swap_id)
        start = threading.Barrier(8)

        def run(_: int) -> tuple[str, ...]:
            start.wait()
            return bill_completed_swaps(store, STATION, LATER)

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
                run_commerce(store, config, at)
        run_commerce(store, config, AT + timedelta(days=2))
        billed = [bill.swap_id for bill in bills(store)]
        assert sorted(billed) == sorted(completed)
        assert all(0 <= line.energy_kwh <= 282 for bill in bills(store) for line in bill.lines)
        store.close()


# ---- prices, measures and parties of their instant ----


def test_a_change_of_the_file_does_not_change_a_late_bill(database_url: str, config: StationConfig) -> None:
    with filled_store(database_url, config) as store:
        exchange(store, arrive(store, config, "V0").swap_id, returned_soe_kwh=78.95, settled_soe_kwh=262.26)
        dear = config.model_copy(
            update={
                "tariff": config.tariff.model_copy(update={"energy_price_yuan_per_kwh": Decimal("1.38")}),
                "billing": config.billing.model_copy(update={"service_price_yuan_per_kwh": Decimal("0.9")}),
            }
        )
        sync_station(store, dear, AT + timedelta(minutes=30))
        sync_station(store, dear, AT + timedelta(minutes=40))  # no change: told once
        exchange(
            store, arrive(store, config, "V1", LATER).swap_id, LATER, returned_soe_kwh=78.95, settled_soe_kwh=262.26
        )
        run_commerce(store, dear, LATER + timedelta(hours=7))
        late, new = sorted(bills(store), key=lambda bill: bill.total_yuan)
        assert (str(late.total_yuan), str(new.total_yuan)) == ("174.14", "449.11")
        line = late.lines[0]
        assert (line.tariff_period, line.priced_at, str(line.tax_rate)) == ("flat", AT + timedelta(minutes=6), "0.1300")
        assert (line.basis["tariff"], line.basis["tariff_parts"]) == ("flat", "0.38 × 1.00 + 0.17")
        with store.reading_station(STATION) as db:
            told = [event.seq for event in db.events(PricesSet)]
        assert [bill.lines[0].prices_event_id for bill in (late, new)] == told
        with store.reading() as db:
            assert audit_of(db) == {}


def audit_of(db: Any) -> dict[str, tuple[str, ...]]:
    """What the audit finds about money; the moves of this test's swaps are no work of a controller."""
    return {i.name: i.violations for i in audit(db).invariants if i.name.startswith("bill_") and i.violations}


def charge(store: Store, pack_id: str, bay: str, at: datetime, energies: tuple[float, float], meters: Any) -> None:
    """A charging that has ended, without its events."""
    with store.station(STATION) as db:
        db.add(
            ChargeSession(
                station_id=STATION,
                pack_id=pack_id,
                bay_id=f"{STATION}:{bay}",
                started_at=at,
                ended_at=at + timedelta(minutes=30),
                start_energy_kwh=energies[0],
                end_energy_kwh=energies[1],
                start_meter_kwh=meters[0],
                end_meter_kwh=meters[1],
            )
        )


METERS = [{"bay": "A1", "serial": "DC-0017", "accuracy_class": "B", "valid_until": "2026-12-31"}]


@pytest.mark.parametrize(
    ("billing", "kwh", "flags"),
    [
        ({"basis": "charged_energy"}, "183.45", ("first_swap",)),
        ({"basis": "verified_meter", "meters": METERS}, "195.20", ("first_swap",)),
        ({"basis": "verified_meter"}, "195.20", ("first_swap", "meter_unverified")),
        (
            {"basis": "verified_meter", "meters": [METERS[0] | {"valid_until": "2026-10-31"}]},
            "195.20",
            ("first_swap", "meter_expired"),
        ),
    ],
)
def test_a_bill_by_what_was_charged_waits_for_the_charging(
    sqlite_url: str, billing: dict[str, Any], kwh: str, flags: tuple[str, ...]
) -> None:
    config = station(billing)
    with filled_store(sqlite_url, config) as store:
        exchange(store, arrive(store, config, "V0").swap_id)
        assert bill_completed_swaps(store, STATION, LATER) == ()
        charge(store, code(101), "A1", AT + timedelta(minutes=10), (78.95, 262.4), (5000.0, 5195.2))
        assert len(bill_completed_swaps(store, STATION, LATER)) == 1
        (bill,) = bills(store)
        assert (str(bill.lines[0].energy_kwh), bill.flags) == (kwh, flags)
        assert bill.lines[0].basis["measure"] == billing["basis"]
        with store.reading_station(STATION) as db:
            why = explain(db, bill.bill_id)
        assert [one.end_meter_kwh for one in why.lines[0].charging] == [5195.2]
        with store.reading() as db:
            assert audit_of(db) == {}


def test_a_charging_that_never_comes_is_not_waited_for_for_ever(sqlite_url: str) -> None:
    config = station({"basis": "charged_energy", "charging_wait_s": 7200})
    with filled_store(sqlite_url, config) as store:
        exchange(store, arrive(store, config, "V0").swap_id)
        assert bill_completed_swaps(store, STATION, AT + timedelta(hours=2)) == ()
        assert len(bill_completed_swaps(store, STATION, AT + timedelta(hours=3))) == 1
        assert bills(store)[0].flags == ("first_swap", "unmeasured")


def test_a_charging_that_ends_while_a_bill_is_reckoned_is_not_left_out(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal tells the end before the bill: who makes the bill from it would find another one."""
    config = station({"basis": "charged_energy", "charging_wait_s": 7200})
    with filled_store(sqlite_url, config) as store:
        exchange(store, arrive(store, config, "V0").swap_id)

        def late(*arguments: Any) -> Any:
            charge(store, code(101), "A1", AT + timedelta(minutes=10), (78.95, 262.4), (None, None))
            return price_swap(*arguments)

        monkeypatch.setattr("swap.commerce.bills.readings.price_swap", late)
        assert bill_completed_swaps(store, STATION, AT + timedelta(hours=3)) == ()
        monkeypatch.undo()
        assert len(bill_completed_swaps(store, STATION, AT + timedelta(hours=3))) == 1
        assert str(bills(store)[0].lines[0].energy_kwh) == "183.45"


def test_a_bill_by_the_counter_of_the_bms(sqlite_url: str) -> None:
    config = station({"basis": "bms_counter"})
    with filled_store(sqlite_url, config) as store:
        for n, (at, counter) in enumerate(((AT, 1000.5), (LATER, 1180.25))):
            swap_id = arrive(store, config, "V0", at).swap_id
            exchange(store, swap_id, at + timedelta(minutes=6), installed_soe_kwh=260.0)
            with store.station(STATION) as db:
                pack_id = code(101) if n == 0 else code(1)
                for pack, value in ((pack_id, counter), *(((code(1), 1000.5),) if n == 0 else ())):
                    read = PackRead(energy_kwh=80.0, soc_pct=None, soh_pct=None, temp_max_c=None, discharged_kwh=value)
                    by = swap_id if pack == pack_id else None
                    db.append(read, at=at + timedelta(minutes=7), swap_id=by, pack_id=pack)
        bill_completed_swaps(store, STATION, LATER + timedelta(hours=1))
        first, second = sorted(bills(store), key=lambda bill: bill.lines[0].energy_kwh)
        assert (first.flags, str(first.total_yuan)) == (("first_swap", "unmeasured"), "0.00")
        assert (second.flags, str(second.lines[0].energy_kwh)) == ((), "179.75")
        with store.reading() as db:
            assert audit_of(db) == {}


def test_a_bill_at_the_average_cost_of_the_packs_charging(sqlite_url: str) -> None:
    config = station({"energy_price": "moving_average"})
    with filled_store(sqlite_url, config) as store:
        charge(store, code(101), "A1", AT - timedelta(hours=3), (80.0, 180.0), (0.0, 110.0))
        exchange(store, arrive(store, config, "V0").swap_id)
        exchange(store, arrive(store, config, "V1", LATER).swap_id, LATER)
        bill_completed_swaps(store, STATION, LATER + timedelta(hours=1))
        known, unknown = sorted(bills(store), key=lambda bill: bill.lines[0].unit_price_yuan_per_kwh, reverse=True)
        assert (str(known.lines[0].unit_price_yuan_per_kwh), known.flags) == ("0.6050", ("first_swap",))
        assert unknown.flags == ("first_swap", "average_unknown")
        with store.reading_station(STATION) as db:
            assert len(explain(db, known.bill_id).lines[0].charging) == 1
        with store.reading() as db:
            assert audit_of(db) == {}


def test_lines_name_seller_buyer_sale_and_tax(sqlite_url: str) -> None:
    config = station(
        {
            "energy_price": "flat",
            "flat_price_yuan_per_kwh": "0.65",
            "electricity": {"collected_for": "own", "tax_included": False},
            "service": {"seller": "own", "tax_rate": "0.09"},
        }
    )
    with filled_store(sqlite_url, config) as store:
        exchange(store, arrive(store, config, "V0").swap_id, returned_soe_kwh=78.95, settled_soe_kwh=262.26)
        bill_completed_swaps(store, STATION, LATER)
        (bill,) = bills(store)
        energy, service = bill.lines
        assert (energy.payee_id, energy.buyer_id, energy.sale, energy.for_id) == ("op", "fleet", "collected", "own")
        assert (service.payee_id, service.sale, service.for_id) == ("own", "own", None)
        assert (str(energy.amount_yuan), str(energy.tax_yuan), energy.tax_included) == ("119.15", "15.49", False)
        assert (str(service.amount_yuan), str(service.tax_yuan)) == ("73.32", "6.05")
        assert str(bill.total_yuan) == "207.96"
        assert bill.flags == ("first_swap", "above_cost")
        with store.station(STATION) as db:
            reversal = reverse_bill(db, bill.bill_id, at=LATER, name="Li", reason="wrong")
        assert reversal.total_yuan == -bill.total_yuan
        with store.reading() as db:
            assert audit_of(db) == {}


class ByContract(StationTerms):
    """A contract that has its own price of the service."""

    def terms(self, db: StationDb, asked: SwapAsked) -> SwapTerms:
        own = super().terms(db, asked)
        return replace(own, service_price_yuan=Decimal("0.2"), contract_id="lease-1", contract_version=3)


def test_a_contract_says_how_its_vehicles_are_billed(store: Store, config: StationConfig) -> None:
    exchange(store, arrive(store, config, "V0").swap_id)
    bill_completed_swaps(store, STATION, LATER, terms=ByContract())
    line = bills(store)[0].lines[1]
    assert (str(line.unit_price_yuan_per_kwh), line.contract_id, line.contract_version) == ("0.2000", "lease-1", 3)
