"""From contract to bill: the measure, prices, tax, payer and class of a contract reach quotes, bills and bookings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from swap.audit import audit
from swap.commerce.bills.issuing import bill_completed_swaps
from swap.commerce.bills.late import LateMark, correct_late
from swap.commerce.bills.quotes import quote
from swap.commerce.bookings.store import make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.commerce.leases.billing import ContractTerms
from swap.commerce.leases.contracts import answer_version, revise
from swap.commerce.leases.rights import ContractRights
from swap.commerce.leases.states import VersionStep
from swap.config.station_file import StationConfig
from swap.messages.packs import PackRead
from swap.reading.lists import list_bills
from swap.reading.records import BillRecord
from swap.store import Store
from swap.tables import ChargeSession
from tests.support.swap.commerce import AT, STATION, arrive, charge_packs, code, exchange, filled_store, station
from tests.support.swap.leases import WHO, signed, signed_version, terms

LATER = AT + timedelta(hours=1)
BEFORE = AT - timedelta(days=30)


@pytest.fixture
def config() -> StationConfig:
    return station({"basis": "soe_difference", "service_price_yuan_per_kwh": "0.4"})


@pytest.fixture
def store(sqlite_url: str, config: StationConfig) -> Iterator[Store]:
    with filled_store(sqlite_url, config) as store:
        yield store


def contract(store: Store, **changed: Any) -> str:
    """A contract of V0 that was active long before the swaps."""
    return signed(store, terms(first_day="2026-09-01", **changed), BEFORE)


def billed(store: Store) -> list[BillRecord]:
    """Bill what is completed; all bills, in the order in which the trucks came."""
    bill_completed_swaps(store, STATION, LATER + timedelta(days=2), terms=ContractTerms())
    with store.reading_station(STATION) as db:
        return sorted(list_bills(db).items, key=lambda bill: bill.swap_id)


def money_findings(store: Store) -> dict[str, tuple[str, ...]]:
    with store.reading() as db:
        return {i.name: i.violations for i in audit(db).invariants if i.name.startswith("bill_") and i.violations}


def charged(store: Store) -> None:
    """The pack given back is charged at A1: 183.45 kWh into it, 195.20 kWh by the meter."""
    with store.station(STATION) as db:
        db.add(
            ChargeSession(
                station_id=STATION, pack_id=code(101), bay_id=f"{STATION}:A1",
                started_at=AT + timedelta(minutes=10), ended_at=AT + timedelta(minutes=40),
                start_energy_kwh=78.95, end_energy_kwh=262.4, start_meter_kwh=5000.0, end_meter_kwh=5195.2,
            )
        )  # fmt: skip


@pytest.mark.parametrize(
    ("measure", "kwh"),
    [
        ("soe_difference", "183.31"),
        ("bms_counter", "181.50"),
        ("charged_energy", "183.45"),
        ("verified_meter", "195.20"),
    ],
)
def test_the_contracts_measure_bills(store: Store, config: StationConfig, measure: str, kwh: str) -> None:
    contract_id = contract(store, swaps={"measure": measure})
    swap_id = arrive(store, config, "V0").swap_id
    exchange(store, swap_id, settled_soe_kwh=262.26)
    charged(store)
    with store.station(STATION) as db:
        for at, counter, by in ((AT - timedelta(days=1), 900.0, None), (AT + timedelta(minutes=7), 1081.5, swap_id)):
            read = PackRead(energy_kwh=80.0, soc_pct=None, soh_pct=None, temp_max_c=None, discharged_kwh=counter)
            db.append(read, at=at, swap_id=by, pack_id=code(101))
    (bill,) = billed(store)
    for line in bill.lines:
        assert (str(line.energy_kwh), line.basis["measure"]) == (kwh, measure)
        assert (line.contract_id, line.contract_version) == (contract_id, 1)
    assert money_findings(store) == {}


def test_prices_tax_and_payer_are_the_contracts_and_the_quote_says_the_same(
    store: Store, config: StationConfig
) -> None:
    own = {"energy_price": "flat", "flat_yuan_per_kwh": "0.5", "service_yuan_per_kwh": "0.2", "payer": "lessor"}
    contract(store, swaps={**own, "service_tax_rate": "0.09"})
    with store.reading_station(STATION) as db:
        said = quote(db, ContractTerms(), vehicle_id="V0", at=AT, returned_soe_kwh=[Decimal("78.95")])
    exchange(store, arrive(store, config, "V0").swap_id)
    exchange(store, arrive(store, config, "V1", LATER).swap_id, LATER)
    mine, other = billed(store)
    assert [str(line.unit_price_yuan_per_kwh) for line in mine.lines] == ["0.5000", "0.2000"]
    assert [str(line.tax_rate) for line in mine.lines] == ["0.1300", "0.0900"]
    assert {line.buyer_id for line in mine.lines} == {mine.payer_id} == {"own"}
    assert said.total_yuan == mine.total_yuan
    assert [str(line.unit_price_yuan_per_kwh) for line in other.lines] == ["0.5500", "0.4000"]
    assert (other.payer_id, other.lines[0].contract_id) == ("fleet", None)
    assert money_findings(store) == {}


def test_a_bill_made_late_is_by_the_contract_as_it_was_known(store: Store, config: StationConfig) -> None:
    contract_id = contract(store, swaps={"service_yuan_per_kwh": "0.2"})
    exchange(store, arrive(store, config, "V0").swap_id)
    cheaper = terms(first_day="2026-09-01", swaps={"service_yuan_per_kwh": "0.1"})
    with store.commerce() as db:
        assert signed_version(db, contract_id, date(2026, 10, 1), cheaper, LATER) == 2
    exchange(store, arrive(store, config, "V0", LATER).swap_id, LATER + timedelta(minutes=6))
    known, later = (bill.lines[1] for bill in billed(store))
    assert (str(known.unit_price_yuan_per_kwh), known.contract_version) == ("0.2000", 1)
    assert (str(later.unit_price_yuan_per_kwh), later.contract_version) == ("0.1000", 2)
    assert money_findings(store) == {}


def test_a_version_bills_once_the_lessee_has_signed_it_and_what_is_past_is_corrected(
    store: Store, config: StationConfig
) -> None:
    contract_id = contract(store, swaps={"service_yuan_per_kwh": "0.2"})
    dearer = terms(first_day="2026-09-01", swaps={"service_yuan_per_kwh": "0.9"})
    late: dict[str, Any] = {"terms": ContractTerms(), "mark": LateMark()}
    with store.commerce() as db:
        offered = revise(db, contract_id, date(2026, 10, 1), dearer, at=AT - timedelta(days=2), actor=WHO)
    with store.reading_station(STATION) as db:
        said = quote(db, ContractTerms(), vehicle_id="V0", at=AT, returned_soe_kwh=[Decimal("78.95")])
    exchange(store, arrive(store, config, "V0").swap_id)
    (bill,) = billed(store)
    assert (str(bill.lines[1].unit_price_yuan_per_kwh), bill.lines[1].contract_version) == ("0.2000", 1)
    assert said.total_yuan == bill.total_yuan
    assert correct_late(store, STATION, LATER, **late) == ()
    with store.commerce() as db:
        answer_version(db, contract_id, offered, VersionStep.SIGN, at=LATER, actor=WHO)
    assert len(correct_late(store, STATION, LATER, **late)) == 1
    assert correct_late(store, STATION, LATER, **late) == ()
    again = next(one for one in billed(store) if one.kind == "correction")
    assert (str(again.lines[1].unit_price_yuan_per_kwh), again.lines[1].contract_version) == ("0.9000", 2)
    assert money_findings(store) == {}
    with store.engine.begin() as connection:  # as if nobody had signed
        connection.execute(text("DROP TRIGGER lease_event_no_delete"))
        connection.execute(text("DELETE FROM lease_event WHERE kind = 'version_signed'"))
    assert again.bill_id in str(money_findings(store)["bill_priced_by_its_instant"])


@pytest.mark.parametrize("step", [VersionStep.DECLINE, VersionStep.WITHDRAW])
def test_a_version_that_is_declined_or_withdrawn_bills_nothing(
    store: Store, config: StationConfig, step: VersionStep
) -> None:
    contract_id = contract(store, swaps={"service_yuan_per_kwh": "0.2"})
    dearer = terms(first_day="2026-09-01", vehicles=["V0", "V1"], swaps={"service_yuan_per_kwh": "0.9"})
    with store.commerce() as db:
        offered = revise(db, contract_id, date(2026, 10, 1), dearer, at=AT - timedelta(days=2), actor=WHO)
        answer_version(db, contract_id, offered, step, at=AT - timedelta(days=1), actor=WHO)
    exchange(store, arrive(store, config, "V0").swap_id)
    exchange(store, arrive(store, config, "V1", LATER).swap_id, LATER)
    assert [bill.lines[1].contract_version for bill in billed(store)] == [1, None]
    assert correct_late(store, STATION, LATER + timedelta(days=1), terms=ContractTerms()) == ()
    assert money_findings(store) == {}


def test_electricity_that_the_lessor_passes_through_is_billed_to_the_lessor(
    store: Store, config: StationConfig
) -> None:
    passed = {"id": "energy", "kind": "usage", "per": "kwh", "yuan": "0.1", "tariff": True}
    contract(store, components=[passed])
    exchange(store, arrive(store, config, "V0").swap_id)
    assert [bill.payer_id for bill in billed(store)] == ["own"]
    with pytest.raises(ValidationError, match="must be lessor where"):
        terms(components=[passed], swaps={"payer": "lessee"})


@pytest.mark.parametrize("given", [{"energy_price": "flat"}, {"flat_yuan_per_kwh": "0.5"}])
def test_a_flat_price_comes_with_its_amount(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="must have flat_yuan_per_kwh with energy_price flat"):
        terms(swaps=given)


def test_a_contract_counts_at_its_stations_and_on_its_days(store: Store, config: StationConfig) -> None:
    contract(store, swaps={"service_yuan_per_kwh": "0.2"}, last_day="2026-10-31")
    exchange(store, arrive(store, config, "V0").swap_id)
    assert billed(store)[0].lines[1].contract_id is None


def test_the_class_of_the_contract_goes_first_and_has_its_fee(store: Store, config: StationConfig) -> None:
    charge_packs(store)
    contract(store, bookings={"priority": 5, "no_show_yuan": "12.50"})
    rights = ContractRights()
    with store.station(STATION) as db:
        window = (LATER, LATER + timedelta(hours=1))
        first = make_booking(db, config, Wanted("V0", *window), at=AT, rights=rights)
        plain = make_booking(db, config, Wanted("V1", *window), at=AT, rights=rights)
        fees = [rights.terms(db, vehicle, STATION, LATER).no_show_fee_yuan for vehicle in ("V0", "V1")]
    assert [first.priority, plain.priority] == [5, 0]
    assert fees == [Decimal("12.50"), None]


def test_a_contract_that_is_changed_for_days_past_corrects_the_bills_of_those_days(
    store: Store, config: StationConfig
) -> None:
    """Once, by reversal and correction; what a change leaves as it was, and bills of other days, stay alone."""
    contract_id = contract(store, swaps={"service_yuan_per_kwh": "0.2"})
    exchange(store, arrive(store, config, "V0").swap_id)
    assert len(billed(store)) == 1
    late: dict[str, Any] = {"terms": ContractTerms(), "mark": LateMark()}
    hours = (LATER + timedelta(days=2, hours=number) for number in range(9))
    assert correct_late(store, STATION, LATER, **late) == ()

    def change(day: date, yuan: str) -> tuple[str, ...]:
        given, at = terms(first_day="2026-09-01", swaps={"service_yuan_per_kwh": yuan}), next(hours)
        with store.commerce() as db:
            signed_version(db, contract_id, day, given, at)
        return correct_late(store, STATION, at, **late)

    assert change(date(2026, 11, 2), "0.15") == (), "the swap was the day before"
    assert change(date(2026, 10, 1), "0.2") == (), "it says the same of that day"
    (bill_id,) = change(date(2026, 10, 1), "0.1")
    first, reversal, again = sorted(billed(store), key=lambda bill: ("swap", "reversal", "correction").index(bill.kind))
    assert (again.bill_id, again.lines[1].contract_version) == (bill_id, 4)
    assert str(again.lines[1].unit_price_yuan_per_kwh) == "0.1000"
    assert again.lines[0].amount_yuan == first.lines[0].amount_yuan
    assert reversal.total_yuan == -first.total_yuan
    assert change(date(2026, 10, 1), "0.3") == (), "it was corrected before: a person decides"
    assert correct_late(store, STATION, next(hours), terms=ContractTerms()) == ()
    assert money_findings(store) == {}
