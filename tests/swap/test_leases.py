"""Contracts, rent runs and rights on record, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from swap.commerce.charges import NewCharge, add_charge, charges_of
from swap.commerce.custody.take import JournalEvent, NewReading, add_readings, take_events, take_journals
from swap.commerce.leases import rent
from swap.commerce.leases.contracts import (
    draft,
    events_of,
    lease_of,
    move,
    revise,
)
from swap.commerce.leases.errors import ContractsOverlap, ContractState, MonthNotOver
from swap.commerce.leases.rent import due_month, run_rent
from swap.commerce.leases.rights import (
    ContractRight,
    RightCode,
    RightFacts,
    announce_arrears,
    clear_arrears,
    entitled,
    may_swap,
    override,
    override_without_contract,
    standing_of,
    swap_right,
)
from swap.commerce.leases.settle import buy_out, charge_damage, end_contract, settle_contract
from swap.commerce.leases.show import Quantity, get_contract, give_readings, list_charges, list_contracts
from swap.commerce.leases.states import LeaseState, LeaseTrigger
from swap.commerce.strandings import charge_strandings, note_strandings
from swap.errors import InvalidInput, NotFound, SwapError
from swap.store import Store
from swap.tables import ChargeRow, LeaseEvent, LeaseVersion, Pack, PackKindRow, RentRun
from tests.support.swap.commerce import AT, arrive, code, station
from tests.support.swap.databases import fill
from tests.support.swap.leases import FIRST_AT, WHO, signed, signed_version, terms

JUNE_1 = date(2024, 6, 1)
JULY = datetime(2024, 7, 2, tzinfo=UTC)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    fill(database_url, station(bays=8, packs=4, trucks=3), FIRST_AT)
    store = Store(database_url)
    take_journals(store)
    yield store
    store.close()


def amounts(store: Store, contract_id: str) -> list[tuple[str, str, str, int]]:
    with store.reading_commerce() as db:
        rows = charges_of(db, contract_id=contract_id)
        return sorted((row.period, str(row.basis.get("rated", "")), row.kind, row.amount_fen) for row in rows)


def told(store: Store, seq: int, pack: str, at: datetime, source: str, target: str, swap: str | None = None) -> None:
    with store.commerce() as db:
        take_events(db, [JournalEvent("S", seq, at, "pack.moved", swap, pack, {"from": source, "to": target})])


@pytest.mark.parametrize(
    ("changed", "field", "value"),
    [
        ({"lessor_id": "nobody"}, "lessor_id", "nobody"),
        ({"vehicles": ["V9"]}, "vehicles", "V9"),
        ({"lessor_id": "fleet", "lessee_id": "own"}, "vehicles", "V0"),
        ({"stations": ["S", "T"]}, "stations", "T"),
        ({"entitlement": [{"kind": "nmc", "number": 1}]}, "entitlement", "nmc"),
    ],
)
def test_what_the_register_does_not_have_is_refused_and_nothing_is_written(
    store: Store, changed: dict[str, Any], field: str, value: str
) -> None:
    with store.commerce() as db:  # a kind of the register that the station has no pack of
        db.add(PackKindRow(id="nmc", rated_kwh=350.0, ratings={}))
    with pytest.raises(InvalidInput) as refused, store.commerce() as db:
        draft(db, terms(**changed), at=AT, actor=WHO)
    assert (refused.value.field, refused.value.value) == (field, value)
    with store.reading_commerce() as db:
        assert db.exec(select(LeaseVersion)).all() == []


def test_a_vehicle_has_one_contract_a_day(store: Store) -> None:
    first = signed(store, terms(last_day="2024-06-30"))
    with (
        pytest.raises(ContractsOverlap, match=r"V0 has contract .* from 2024-06-30 to 2024-06-30"),
        store.commerce() as db,
    ):
        draft(db, terms(first_day="2024-06-30"), at=AT, actor=WHO)
    signed(store, terms(first_day="2024-07-01"))
    with pytest.raises(ContractsOverlap), store.commerce() as db:
        revise(db, first, date(2024, 6, 1), terms(last_day="2024-07-01"), at=AT, actor=WHO)
    with store.commerce() as db:  # two drafts bind nobody; the second signature is refused
        one, two = (draft(db, terms(vehicles=["V1"]), at=AT, actor=WHO) for _ in range(2))
        for contract in (one, two):
            move(db, contract, LeaseTrigger.OFFER, at=AT, actor=WHO)
        move(db, one, LeaseTrigger.SIGN, at=AT, actor=WHO)
    with pytest.raises(ContractsOverlap), store.commerce() as db:
        move(db, two, LeaseTrigger.SIGN, at=AT, actor=WHO)


def test_steps_and_versions_out_of_place_are_refused(store: Store) -> None:
    contract = signed(store, terms(last_day="2024-12-31"))
    refused: list[tuple[type[SwapError], Any]] = [
        (ContractState, lambda db: move(db, contract, LeaseTrigger.SIGN, at=AT, actor=WHO)),
        (ContractState, lambda db: settle_contract(db, contract, at=AT, actor=WHO)),
        (InvalidInput, lambda db: move(db, contract, LeaseTrigger.SUSPEND, at=AT, actor=WHO, day=date(2023, 12, 31))),
        (InvalidInput, lambda db: end_contract(db, contract, at=AT, actor=WHO, day=date(2025, 1, 1))),
        (InvalidInput, lambda db: revise(db, contract, date(2023, 12, 31), terms(), at=AT, actor=WHO)),
        (InvalidInput, lambda db: revise(db, contract, date(2024, 6, 1), terms(zone="Asia/Urumqi"), at=AT, actor=WHO)),
        (InvalidInput, lambda db: revise(db, contract, JUNE_1, terms(last_day="2024-05-31"), at=AT, actor=WHO)),
        (NotFound, lambda db: move(db, "lc-none", LeaseTrigger.SIGN, at=AT, actor=WHO)),
    ]  # fmt: skip
    before = amounts(store, contract)
    for error, act in refused:
        with pytest.raises(error), store.commerce() as db:
            act(db)
    with store.reading_commerce() as db:
        record = get_contract(db, contract)
    assert [event.kind for event in record.events] == ["drafted", "offer", "sign", "activate"]
    assert len(record.versions) == 1
    assert amounts(store, contract) == before


@pytest.mark.parametrize("table", ["lease_version", "lease_event", "custody_move", "vehicle_override"])
def test_what_is_on_record_is_never_changed(store: Store, table: str) -> None:
    signed(store, terms())
    with store.commerce() as db:
        given: dict[str, Any] = {"until_at": AT + timedelta(days=1), "at": AT, "actor": WHO, "reason": "ramp"}
        override_without_contract(db, "V1", "safety", station_id="S", **given)
    for change in (f"UPDATE {table} SET at = '2024-01-01'", f"DELETE FROM {table}"):
        change = change.replace("SET at", "SET made_at") if table == "lease_version" else change
        with pytest.raises(DBAPIError, match="changed"), store.commerce() as db:
            db.execute(text(change))


def test_a_rent_run_charges_each_thing_once(store: Store) -> None:
    contract = signed(store, terms(first_day="2024-05-17"))
    report = run_rent(store, "2024-06", JULY)
    assert (report.months, report.contracts, len(report.charges)) == (("2024-05", "2024-06"), 1, 2)
    due = [("2024-05", "2024-05", "rent", 136_452), ("2024-06", "2024-06", "rent", 282_000)]  # 2820 × 15/31
    assert amounts(store, contract) == due
    assert run_rent(store, "2024-06", JULY).charges == ()
    assert run_rent(store, "2024-05", JULY).months == ()
    assert amounts(store, contract) == due
    with store.reading_commerce() as db:
        row = charges_of(db, contract_id=contract, period="2024-05")[0]
        assert (row.seller_id, row.buyer_id, row.contract_version) == ("own", "fleet", 1)
        assert (row.quantity_1e6, row.unit, row.unit_price_1e4_yuan) == (282_000_000, "kwh_month", 100_000)
        assert row.basis["factors"] == {"days": "15/31"}
        assert (row.tax_category, row.tax_rate_bp) == ("rent", 1300)
        runs = {run.month: (run.charges, run.amount_fen) for run in db.exec(select(RentRun))}
    assert runs == {"2024-05": (1, 136_452), "2024-06": (1, 282_000)}


def test_without_any_contract_no_month_is_closed_ahead(store: Store) -> None:
    """A month closed ahead would take up what is charged until then."""
    with pytest.raises(MonthNotOver):
        run_rent(store, "2030-01", JULY)
    with store.reading_commerce() as db:
        assert db.exec(select(RentRun)).all() == []


def test_a_run_that_was_killed_is_run_again_without_a_double(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    contracts = sorted(signed(store, terms(vehicles=[f"V{n}"])) for n in range(3))
    kill_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        run_rent(store, "2024-01", JULY)
    assert [len(amounts(store, one)) for one in contracts] == [1, 0, 0]
    monkeypatch.undo()
    assert len(run_rent(store, "2024-01", JULY).charges) == 2
    assert [amounts(store, one) for one in contracts] == [[("2024-01", "2024-01", "rent", 282_000)]] * 3


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The process ends with a charge written and not committed."""
    made = list[str]()

    def killed(db: Any, new: NewCharge, at: datetime) -> tuple[ChargeRow, bool]:
        found = add_charge(db, new, at)
        made.append(new.source)
        if len(made) == number:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(rent, "add_charge", killed)


def rows_of(store: Store, contract_id: str) -> list[dict[str, Any]]:
    with store.reading_commerce() as db:
        return [row.model_dump() for row in charges_of(db, contract_id=contract_id)]


def test_a_contract_is_charged_in_short_commits_and_killed_between_them_it_is_charged_the_same(
    database_url: str, copy_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vehicles = [f"V{n}" for n in range(3)]
    fill(database_url, station(bays=8, packs=4, trucks=3), FIRST_AT)
    store = Store(database_url)
    take_journals(store)
    each = [{"id": "km", "kind": "usage", "per": "km", "yuan": "1"}]
    contract = signed(store, terms(vehicles=vehicles, components=each))
    begin, end = (datetime(2024, 1, day, 4, tzinfo=UTC) for day in (1, 31))
    with store.commerce() as db:
        for place, vehicle in enumerate(vehicles):
            for at, km in ((begin, 1000), (end, 4000 + place)):
                add_readings(db, [NewReading(vehicle, "odometer_km", at, Decimal(km), "entered", WHO, AT)])
    store.close()
    monkeypatch.setattr(rent, "AT_ONCE", 1)

    def charged(killed_at: int | None) -> list[dict[str, Any]]:
        own = Store(copy_of(database_url))
        try:
            if killed_at is not None:
                with pytest.MonkeyPatch.context() as patch:
                    kill_at(patch, killed_at)
                    with pytest.raises(KeyboardInterrupt):
                        run_rent(own, "2024-01", JULY)
                assert len(rows_of(own, contract)) == killed_at - 1
            run_rent(own, "2024-01", JULY)
            return rows_of(own, contract)
        finally:
            own.close()

    at_once = charged(None)
    assert sorted(row["vehicle_id"] for row in at_once) == vehicles
    for number in (1, 2, 3):
        assert charged(number) == at_once


def test_what_another_run_has_charged_meanwhile_is_not_charged_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = signed(store, terms())
    real, raced = rent.owed, list[str]()

    def owed(db: Any, contract_id: str, month: str) -> list[list[NewCharge]]:
        found = real(db, contract_id, month)
        db.rollback()  # its snapshot ends
        if not raced:
            raced.append(contract_id)
            rent.charge_contract(store, contract_id, month, JULY)
        return found

    monkeypatch.setattr(rent, "owed", owed)
    assert run_rent(store, "2024-01", JULY).charges == ()
    assert amounts(store, contract) == [("2024-01", "2024-01", "rent", 282_000)]


def test_a_month_that_is_not_over_somewhere_is_not_charged(store: Store) -> None:
    signed(store, terms())
    signed(store, terms(vehicles=["V1"], zone="America/St_Johns"))
    china, newfoundland = datetime(2024, 6, 30, 16, tzinfo=UTC), datetime(2024, 7, 1, 2, 30, tzinfo=UTC)
    with pytest.raises(MonthNotOver, match="America/St_Johns"):
        run_rent(store, "2024-06", china)
    with store.reading_commerce() as db:
        assert due_month(db, newfoundland - timedelta(seconds=1)) == "2024-05"
        assert due_month(db, newfoundland) == "2024-06"
    assert run_rent(store, "2024-06", newfoundland).months[-1] == "2024-06"
    with store.reading_commerce() as db:
        assert due_month(db, newfoundland) is None
    with pytest.raises(InvalidInput):
        run_rent(store, "2024-13", JULY)


def test_a_contract_changed_in_the_past_is_corrected_by_the_difference_once(store: Store) -> None:
    contract = signed(store, terms())
    run_rent(store, "2024-02", datetime(2024, 3, 2, tzinfo=UTC))
    closed = amounts(store, contract)
    cheaper = terms(components=[{"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "8"}])
    with store.commerce() as db:
        signed_version(db, contract, date(2024, 2, 15), cheaper, JULY)
    for month in ("2024-03", "2024-04"):
        run_rent(store, month, datetime(2024, 6, 2, tzinfo=UTC))
    after = amounts(store, contract)
    assert [row for row in after if row[0] <= "2024-02"] == closed
    # February: 2820 → 2820 × 14/29 + 2256 × 15/29
    assert [row for row in after if row[0] > "2024-02"] == [
        ("2024-03", "2024-02", "rent", -29_172),
        ("2024-03", "2024-03", "rent", 225_600),
        ("2024-04", "2024-04", "rent", 225_600),
    ]
    with store.reading_commerce() as db:
        correction = next(row for row in charges_of(db, contract_id=contract) if row.amount_fen < 0)
        first = db.get_one(ChargeRow, correction.corrects_id)
        assert (first.period, first.amount_fen, correction.contract_version) == ("2024-02", 282_000, 2)
        assert (correction.basis["was_fen"], correction.basis["is_fen"]) == (282_000, 252_828)


def test_a_reading_that_comes_late_is_corrected_in_the_open_month(store: Store) -> None:
    part = [{"id": "km", "kind": "usage", "per": "km", "yuan": "1"}]
    contract = signed(store, terms(components=part))
    first, last = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 31, 8, tzinfo=UTC)
    with store.commerce() as db:
        give_readings(
            db,
            [("V0", "odometer_km", first, Decimal(1000)), ("V0", "odometer_km", last, Decimal(4000))],
            origin="entered",
            actor=WHO,
            now=last,
        )
    run_rent(store, "2024-01", JULY)
    with store.commerce() as db:
        given: list[tuple[str, Quantity, datetime, Decimal]] = [("V0", "odometer_km", last, Decimal("4010.5"))]
        assert give_readings(db, given, origin="entered", actor=WHO, now=JULY) == 1
        assert give_readings(db, given, origin="imported", actor=WHO, now=JULY) == 0
    run_rent(store, "2024-02", JULY)
    assert amounts(store, contract) == [
        ("2024-01", "2024-01", "distance", 300_000),
        ("2024-02", "2024-01", "distance", 1050),
    ]


@pytest.mark.parametrize(
    ("subject", "quantity", "day", "value"),
    [
        ("V0", "odometer_km", 10, "999"),
        ("V0", "odometer_km", 1, "4000.0001"),
        ("V0", "tonnes", 40, "1"),
        (code(1), "soh_pct", 5, "100.1"),
        ("V0", "engine_h", 5, "NaN"),
    ],
)
def test_readings_that_cannot_be_are_refused(store: Store, subject: str, quantity: Any, day: int, value: str) -> None:
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    now = begin + timedelta(days=30)
    known: list[tuple[str, Any, datetime, Decimal]] = [
        ("V0", "odometer_km", begin, Decimal(1000)),
        ("V0", "odometer_km", begin + timedelta(days=5), Decimal(4000)),
    ]
    with store.commerce() as db:
        give_readings(db, known, origin="entered", actor=WHO, now=now)
    one = (subject, quantity, begin + timedelta(days=day), Decimal(value))
    with pytest.raises(InvalidInput), store.commerce() as db:
        give_readings(db, [one], origin="entered", actor=WHO, now=now)


def test_the_end_the_packs_and_the_settlement(store: Store) -> None:
    parts = [
        {"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "10"},
        {"id": "deposit", "kind": "deposit", "yuan_per_pack": "20000"},
        {"id": "late", "kind": "occupancy", "yuan_per_kwh_day": "0.5"},
        {"id": "exit", "kind": "early_end", "share": "0.5", "days_max": 10},
        {
            "id": "harm",
            "kind": "damage",
            "yuan_by_code": {"dent": "1200", "water": "9000"},
            "yuan_max_per_pack": "9500",
        },
        {"id": "sale", "kind": "buy_out", "new_yuan_per_kwh": "650", "second_hand": "0.5"},
    ]
    contract, pack = signed(store, terms(last_day="2024-12-31", components=parts)), code(101)
    run_rent(store, "2024-05", datetime(2024, 6, 2, tzinfo=UTC))
    ended = datetime(2024, 6, 11, 2, tzinfo=UTC)
    with store.commerce() as db:
        assert end_contract(db, contract, at=ended, actor=WHO, day=date(2024, 6, 10)) is LeaseState.ENDED
    with pytest.raises(ContractState, match=pack), store.commerce() as db:
        settle_contract(db, contract, at=ended, actor=WHO)
    told(store, 900, pack, datetime(2024, 6, 14, 1, tzinfo=UTC), "vehicle:V0:1", "bay:S:A8")
    with store.commerce() as db:
        add_readings(db, [NewReading(pack, "soh_pct", ended, Decimal("90"), "entered", WHO, ended)])
        assert charge_damage(db, contract, pack, "dent", at=ended, actor=WHO) == 1200
        assert charge_damage(db, contract, pack, "water", at=ended, actor=WHO) == 8300  # no more than 9500 for a pack
        assert buy_out(db, contract, pack, at=ended, actor=WHO) == Decimal("82485.00")  # 282 × 650 × 0.9 × 0.5
    with pytest.raises(InvalidInput), store.commerce() as db:
        charge_damage(db, contract, pack, "theft", at=ended, actor=WHO)
    with pytest.raises(ContractState), store.commerce() as db:
        buy_out(db, contract, pack, at=ended, actor=WHO)
    run_rent(store, "2024-06", JULY)
    with store.commerce() as db:
        assert may_swap(db, "V0", "S", JULY).code is RightCode.ENDED
        assert settle_contract(db, contract, at=JULY, actor=WHO) is LeaseState.SETTLED
        assert may_swap(db, "V0", "S", JULY).code is RightCode.NO_CONTRACT_NEEDED
    found = [row[2:] for row in amounts(store, contract) if row[0] >= "2024-06"]
    assert sorted(found) == sorted([
        ("early_end", 47_000),  # half of 2820 × 10/30
        ("damage", 120_000),
        ("damage", 830_000),
        ("buy_out", 8_248_500),
        ("rent", 94_000),
        ("occupancy", 4 * 14_100),  # at the beginning of the 11th, 12th, 13th and 14th
        ("deposit", -2_000_000),
    ])  # fmt: skip


# who may swap


def facts(lease: Any, **changed: Any) -> RightFacts:
    plain = RightFacts("V0", "S", 1, frozenset({"lfp"}), lease, LeaseState.ACTIVE)
    return replace(plain, **changed)


def test_the_contract_decides(store: Store) -> None:
    contract = signed(store, terms(last_day="2024-06-30"))
    with store.reading_commerce() as db:
        lease = lease_of(db, contract)
    on, after = datetime(2024, 6, 30, 15, tzinfo=UTC), datetime(2024, 6, 30, 16, tzinfo=UTC)
    assert entitled(facts(lease), "booking", on).code is RightCode.ENTITLED
    assert entitled(facts(lease), "booking", after).code is RightCode.ENDED
    assert entitled(facts(lease), "booking", FIRST_AT).code is RightCode.NOT_ACTIVE
    assert entitled(facts(lease, station_id="T"), "booking", on).code is RightCode.OTHER_STATION
    assert entitled(facts(lease, kinds=frozenset({"nmc"})), "booking", on).code is RightCode.OTHER_KIND
    assert entitled(facts(lease, held_by_others=1), "booking", on).code is RightCode.TOO_MANY
    assert entitled(facts(None), "booking", on).code is RightCode.NO_CONTRACT_NEEDED
    none = entitled(facts(None, contract_required=True), "booking", on)
    assert (none.code, none.allowed) == (RightCode.NO_CONTRACT, False)
    assert none.words == "vehicle V0 has no contract, and station S asks for one"
    with store.commerce() as db:
        move(db, contract, LeaseTrigger.SUSPEND, at=on, actor=WHO, day=date(2024, 6, 20))
    with store.reading_commerce() as db:
        assert may_swap(db, "V0", "S", on).code is RightCode.SUSPENDED
        assert may_swap(db, "V1", "S", on).code is RightCode.NO_CONTRACT_NEEDED
        assert not may_swap(db, "V1", "S", on, contract_required=True).allowed
        with pytest.raises(NotFound):
            may_swap(db, "V9", "S", on)


def right(store: Store, at: datetime, purpose: Any) -> ContractRight:
    with store.reading_commerce() as db:
        return may_swap(db, "V0", "S", at, purpose=purpose)


def test_arrears_are_announced_and_bite_on_new_bookings(store: Store) -> None:
    contract = signed(store, terms(arrears_notice_days=3, stranding_yuan="88.50"))
    announced = datetime(2024, 6, 10, 3, tzinfo=UTC)
    with store.commerce() as db:
        bites_at = announce_arrears(db, contract, Decimal("5000"), at=announced, actor=WHO)
    assert bites_at == datetime(2024, 6, 13, 16, tzinfo=UTC)  # three whole days, until midnight in China
    assert right(store, bites_at - timedelta(seconds=1), "booking").code is RightCode.ENTITLED
    assert right(store, bites_at, "booking").code is RightCode.ARREARS
    assert right(store, bites_at, "booked_swap").code is RightCode.ENTITLED
    assert right(store, bites_at, "walk_in").code is RightCode.ARREARS
    with pytest.raises(ContractState), store.commerce() as db:
        announce_arrears(db, contract, Decimal("1"), at=announced, actor=WHO)
    with pytest.raises(InvalidInput), store.commerce() as db:
        announce_arrears(db, contract, Decimal("0"), at=announced, actor=WHO)
    _stranding(store, contract, bites_at)
    until_at = bites_at + timedelta(days=1)
    with store.commerce() as db:
        override(db, contract, "credit", until_at=until_at, at=bites_at, actor=WHO, reason="pays on Friday")
    assert right(store, bites_at, "booking").code is RightCode.CREDIT_OVERRIDE
    assert right(store, until_at, "booking").code is RightCode.ARREARS
    with store.commerce() as db:
        clear_arrears(db, contract, at=until_at, actor=WHO)
    assert right(store, until_at, "booking").code is RightCode.ENTITLED


def _stranding(store: Store, contract: str, at: datetime) -> None:
    """A truck below its reach is served once, billed, and the lessor is told."""
    with store.commerce() as db:
        pack = db.exec(select(Pack).where(Pack.vehicle_id == "V0")).one()
        pack.soc_pct, pack.energy_kwh = 8.0, 20.0
        db.add(pack)
    given = right(store, at, "walk_in")
    assert (given.code, given.allowed) == (RightCode.STRANDING, True)
    assert right(store, at, "booking").code is RightCode.ARREARS
    config = station(bays=8, packs=4, trucks=3)
    swap_id = arrive(store, config, "V0", at).swap_id
    for _ in range(2):
        note_strandings(store, "S", at)
    # The process ended between telling and charging: it is charged by what was told, once.
    assert [charge_strandings(store, "S").swaps for _ in range(2)] == [(swap_id,), ()]
    with store.reading_commerce() as db:
        assert [charge.made_at for charge in db.exec(select(ChargeRow))] == [at]
    with store.reading_station("S") as here:
        assert swap_right(here, swap_id, at).code is RightCode.STRANDING
    assert right(store, at, "walk_in").code is RightCode.ARREARS
    assert [row[2:] for row in amounts(store, contract)] == [("stranding", 8850)]
    with store.reading_commerce() as db:
        assert [e.data["swap_id"] for e in db.exec(select(LeaseEvent).where(LeaseEvent.kind == "stranding"))] == [
            swap_id
        ]


def test_a_safety_override_is_for_one_vehicle_and_a_time(store: Store) -> None:
    contract = signed(store, terms(last_day="2024-05-31"))
    at = datetime(2024, 6, 10, tzinfo=UTC)
    until_at = at + timedelta(hours=2)
    assert right(store, at, "walk_in").code is RightCode.ENDED
    with store.commerce() as db:
        override(db, contract, "safety", until_at=until_at, at=at, actor=WHO, reason="blocks the ramp", vehicle_id="V0")
    assert right(store, at, "walk_in").code is RightCode.SAFETY_OVERRIDE
    assert right(store, until_at, "walk_in").code is RightCode.ENDED
    for wrong in (
        {"until_at": at},
        {"until_at": at + timedelta(days=8)},
        {"until_at": until_at, "reason": " "},
        {"until_at": until_at, "vehicle_id": "V1"},
    ):
        given: dict[str, Any] = {"reason": "so", "vehicle_id": "V0", **wrong}
        with pytest.raises(InvalidInput), store.commerce() as db:
            override(db, contract, "safety", at=at, actor=WHO, **given)


def test_an_override_of_a_station_counts_there_only(store: Store) -> None:
    contract = signed(store, terms(last_day="2024-05-31"))
    at = datetime(2024, 6, 10, tzinfo=UTC)
    given: dict[str, Any] = {"until_at": at + timedelta(hours=2), "at": at, "actor": WHO, "reason": "blocks the ramp"}
    with store.commerce() as db:
        override(db, contract, "safety", vehicle_id="V0", station_id="S", **given)
        assert may_swap(db, "V0", "S", at).code is RightCode.SAFETY_OVERRIDE
        assert may_swap(db, "V0", "other", at).code is RightCode.ENDED
        override(db, contract, "credit", station_id="S", **given)
        assert standing_of(events_of(db, contract), "S").credit_until_at == given["until_at"]
        assert standing_of(events_of(db, contract), "other").credit_until_at is None
        with pytest.raises(NotFound):
            override(db, contract, "credit", station_id="other", **given)


def test_the_right_of_an_open_swap(store: Store) -> None:
    with store.reading_commerce() as db, pytest.raises(NotFound):
        swap_right(db, "sw-none", JULY)


def test_lists_come_page_by_page(store: Store) -> None:
    made = [signed(store, terms(vehicles=[f"V{n}"]), FIRST_AT + timedelta(hours=n)) for n in range(3)]
    run_rent(store, "2024-02", JULY)
    with store.reading_commerce() as db:
        first = list_contracts(db, limit=2)
        rest = list_contracts(db, limit=2, cursor=first.next_cursor)
        assert [one.contract_id for one in (*first.items, *rest.items)] == made[::-1]
        assert rest.next_cursor is None
        assert [one.contract_id for one in list_contracts(db, vehicle_id="V1").items] == [made[1]]
        assert list_contracts(db, state="draft").items == ()
        pages, cursor = [list_charges(db, limit=4)], None
        while (cursor := pages[-1].next_cursor) is not None:
            pages.append(list_charges(db, limit=4, cursor=cursor))
        ids = [one.charge_id for page in pages for one in page.items]
        assert len(ids) == len(set(ids)) == 6
        assert len(list_charges(db, contract_id=made[0], period="2024-02").items) == 1
        with pytest.raises(NotFound):
            list_charges(db, contract_id="lc-none")
