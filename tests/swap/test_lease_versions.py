"""Versions of a signed contract, which the lessee signs; and vehicles without a contract that a person has served."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from swap.audit import audit
from swap.commerce.custody.take import take_journals
from swap.commerce.leases.contracts import (
    answer_version,
    contracts_of_vehicle,
    draft,
    events_of,
    lease_of,
    move,
    revise,
)
from swap.commerce.leases.errors import ContractsOverlap, ContractState, VehicleNotLessees
from swap.commerce.leases.rent import run_rent
from swap.commerce.leases.rights import ALLOWING, RightCode, may_swap, override_without_contract
from swap.commerce.leases.settle import end_contract
from swap.commerce.leases.show import get_contract
from swap.commerce.leases.states import LeaseTrigger, VersionState, VersionStep
from swap.errors import InvalidInput, NotFound, SwapError
from swap.store import Store
from swap.tables import Party, VehicleOverride, VehicleRow
from tests.support.swap.commerce import station
from tests.support.swap.databases import fill
from tests.support.swap.leases import FIRST_AT, WHO, signed, terms
from tests.swap.test_leases import amounts

JUNE_1 = date(2024, 6, 1)
JULY = datetime(2024, 7, 2, tzinfo=UTC)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    fill(database_url, station(bays=8, packs=4, trucks=3), FIRST_AT)
    store = Store(database_url)
    take_journals(store)
    yield store
    store.close()


def offer(store: Store, contract: str, effective: date, at: datetime = FIRST_AT, **changed: Any) -> int:
    with store.commerce() as db:
        return revise(db, contract, effective, terms(**changed), at=at, actor=WHO)


def answer(store: Store, contract: str, number: int, step: VersionStep, at: datetime = FIRST_AT) -> VersionState:
    with store.commerce() as db:
        return answer_version(db, contract, number, step, at=at, actor=WHO)


def test_a_version_of_a_signed_contract_waits_for_the_lessee_and_the_next_for_its_answer(store: Store) -> None:
    contract = signed(store, terms())
    number = offer(store, contract, JUNE_1, vehicles=["V0", "V1"])
    with store.reading_commerce() as db:
        assert [version.number for version in lease_of(db, contract).versions] == [1]
        assert contracts_of_vehicle(db, "V1") == ()
        assert may_swap(db, "V1", "S", JULY).code is RightCode.NO_CONTRACT_NEEDED
        assert [one.state for one in get_contract(db, contract).versions] == ["in_force", "offered"]
    with pytest.raises(ContractState, match="version 2 is offered"):
        offer(store, contract, JUNE_1)
    assert answer(store, contract, number, VersionStep.DECLINE) is VersionState.DECLINED
    for step in VersionStep:
        with pytest.raises(ContractState, match=r"version 2 of contract .* is declined"):
            answer(store, contract, number, step)
    with pytest.raises(NotFound, match="version 3"):
        answer(store, contract, 3, VersionStep.SIGN)
    again = offer(store, contract, JUNE_1, vehicles=["V0", "V1"])
    assert (number, again) == (2, 3)
    assert answer(store, contract, again, VersionStep.SIGN) is VersionState.IN_FORCE
    with store.reading_commerce() as db:
        assert [version.number for version in lease_of(db, contract).versions] == [1, 3]
        assert contracts_of_vehicle(db, "V1") == (contract,)
        record = get_contract(db, contract)
    assert [one.state for one in record.versions] == ["in_force", "declined", "in_force"]
    assert [event.kind for event in record.events[4:]] == [
        "version_offered", "version_declined", "version_offered", "version_signed",
    ]  # fmt: skip
    assert [event.day for event in record.events[4:]] == [JUNE_1, FIRST_AT.date(), JUNE_1, JUNE_1]


def test_a_draft_is_changed_at_once_for_all_of_it_is_signed(store: Store) -> None:
    with store.commerce() as db:
        contract = draft(db, terms(), at=FIRST_AT, actor=WHO)
    offer(store, contract, date(2024, 1, 1), arrears_notice_days=9)
    with store.reading_commerce() as db:
        assert [event.kind for event in events_of(db, contract)] == ["drafted", "revised"]
        assert lease_of(db, contract).terms.arrears_notice_days == 9


def test_what_is_offered_binds_no_vehicle_and_is_signed_only_where_none_is_bound(store: Store) -> None:
    first = signed(store, terms())
    number = offer(store, first, JUNE_1, vehicles=["V0", "V1"])
    second = signed(store, terms(vehicles=["V1"]))
    with pytest.raises(ContractsOverlap):
        answer(store, first, number, VersionStep.SIGN)
    with store.reading_commerce() as db:
        assert contracts_of_vehicle(db, "V1") == (second,)
    assert answer(store, first, number, VersionStep.WITHDRAW) is VersionState.WITHDRAWN


def sold(store: Store, vehicle_id: str, fleet_id: str = "other") -> None:
    """A vehicle goes to another firm of the register."""
    with store.commerce() as db:
        if db.get(Party, fleet_id) is None:
            db.add(Party(id=fleet_id, kind="fleet", name_zh="他", name_en="Other"))
            db.flush()
        db.get_one(VehicleRow, vehicle_id).fleet_id = fleet_id


def test_what_names_a_vehicle_that_is_not_the_lessees_any_more_is_not_signed(store: Store) -> None:
    contract, named = signed(store, terms()), terms(vehicles=["V1", "V2"])
    number = offer(store, contract, JUNE_1, vehicles=["V0", "V1"])
    with store.commerce() as db:
        other = draft(db, named, at=FIRST_AT, actor=WHO)
        third = draft(db, named, at=FIRST_AT, actor=WHO)
        move(db, other, LeaseTrigger.OFFER, at=FIRST_AT, actor=WHO)
    sold(store, "V1")
    with pytest.raises(VehicleNotLessees, match=f"vehicle V1 of contract {contract} is not of fleet any more"):
        answer(store, contract, number, VersionStep.SIGN)
    for one, step in ((other, LeaseTrigger.SIGN), (third, LeaseTrigger.OFFER)):
        with pytest.raises(VehicleNotLessees, match=f"vehicle V1 of contract {one}"), store.commerce() as db:
            move(db, one, step, at=FIRST_AT, actor=WHO)
    with store.reading_commerce() as db:
        assert [get_contract(db, one).state for one in (contract, other, third)] == ["active", "offered", "draft"]
        assert [one.state for one in get_contract(db, contract).versions] == ["in_force", "offered"]
    sold(store, "V1", "fleet")
    assert answer(store, contract, number, VersionStep.SIGN) is VersionState.IN_FORCE


def test_a_day_that_no_day_follows_is_refused_by_its_own_name(store: Store) -> None:
    contract = signed(store, terms())
    with pytest.raises(InvalidInput, match=r"effective_day = '9999-12-31': allowed before 9999-12-31"):
        offer(store, contract, date.max)


def test_an_offer_lapses_with_its_contract_and_is_signed_while_it_is_suspended(store: Store) -> None:
    suspended, ended = signed(store, terms()), signed(store, terms(vehicles=["V1"]))
    numbers = [offer(store, one, JUNE_1, vehicles=[v]) for one, v in ((suspended, "V0"), (ended, "V1"))]
    with store.commerce() as db:
        move(db, suspended, LeaseTrigger.SUSPEND, at=JULY, actor=WHO)
        end_contract(db, ended, at=JULY, actor=WHO)
    assert answer(store, suspended, numbers[0], VersionStep.SIGN, JULY) is VersionState.IN_FORCE
    assert offer(store, suspended, JUNE_1, JULY) == 3
    for step in VersionStep:
        with pytest.raises(ContractState, match="is lapsed"):
            answer(store, ended, numbers[1], step, JULY)
    with pytest.raises(ContractState, match="gets no new version"):
        offer(store, ended, JUNE_1, JULY, vehicles=["V1"])
    with store.reading_commerce() as db:
        assert get_contract(db, ended).versions[1].state is VersionState.LAPSED
        found = {i.name: i.violations for i in audit(db).invariants if i.name.startswith("lease_")}
    assert {name: told for name, told in found.items() if told} == {}


def test_a_version_signed_late_counts_from_its_day_and_is_corrected_in_the_open_month(store: Store) -> None:
    contract = signed(store, terms())
    run_rent(store, "2024-01", datetime(2024, 2, 2, tzinfo=UTC))
    cheaper = [{"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "8"}]
    number = offer(store, contract, date(2024, 2, 15), datetime(2024, 2, 3, tzinfo=UTC), components=cheaper)
    run_rent(store, "2024-02", datetime(2024, 3, 2, tzinfo=UTC))
    closed = amounts(store, contract)
    assert closed[-1] == ("2024-02", "2024-02", "rent", 282_000)
    answer(store, contract, number, VersionStep.SIGN, datetime(2024, 3, 3, tzinfo=UTC))
    run_rent(store, "2024-03", datetime(2024, 4, 2, tzinfo=UTC))
    assert amounts(store, contract) == [
        *closed, ("2024-03", "2024-02", "rent", -29_172), ("2024-03", "2024-03", "rent", 225_600),
    ]  # fmt: skip
    with store.reading_commerce() as db:
        found = {i.name: i.violations for i in audit(db).invariants if i.name.startswith(("lease_", "rents_"))}
    assert {name: told for name, told in found.items() if told} == {}


def served(store: Store, vehicle_id: str, at: datetime, station_id: str = "S") -> RightCode:
    with store.reading_commerce() as db:
        return may_swap(db, vehicle_id, station_id, at, contract_required=True).code


@pytest.mark.parametrize(
    ("kind", "code"), [("credit", RightCode.CREDIT_WITHOUT_CONTRACT), ("safety", RightCode.SAFETY_OVERRIDE)]
)
def test_a_vehicle_without_a_contract_is_served_by_a_person_for_a_time_at_one_station(
    store: Store, kind: Any, code: RightCode
) -> None:
    until_at = JULY + timedelta(hours=2)
    given: dict[str, Any] = {"until_at": until_at, "at": JULY, "actor": WHO, "reason": "ramp", "station_id": "S"}
    assert served(store, "V0", JULY) is RightCode.NO_CONTRACT
    with store.commerce() as db:
        override_without_contract(db, "V0", kind, **given)
    assert [served(store, one, JULY) for one in ("V0", "V1")] == [code, RightCode.NO_CONTRACT]
    assert (served(store, "V0", JULY, "T"), served(store, "V0", until_at)) == (RightCode.NO_CONTRACT,) * 2
    assert code in ALLOWING
    with store.commerce() as db:  # the newest counts
        override_without_contract(db, "V0", kind, **given | {"until_at": until_at + timedelta(days=1)})
    assert served(store, "V0", until_at) is code
    with store.reading_commerce() as db:
        told = db.exec(select(VehicleOverride).order_by(col(VehicleOverride.no))).all()
        assert [(row.no, row.kind, row.actor, row.reason) for row in told] == [
            (1, f"{kind}_override", WHO, "ramp"),
            (2, f"{kind}_override", WHO, "ramp"),
        ]
    wrong: tuple[tuple[type[SwapError], str, dict[str, Any]], ...] = (
        (InvalidInput, "V0", {"until_at": JULY}),
        (InvalidInput, "V0", {"until_at": JULY + timedelta(days=8)}),
        (InvalidInput, "V0", {"reason": " "}),
        (NotFound, "V9", {}),
    )
    for error, vehicle_id, changed in wrong:
        with pytest.raises(error), store.commerce() as db:
            override_without_contract(db, vehicle_id, kind, **given | changed)
    contract = signed(store, terms(vehicles=["V1"]))
    with pytest.raises(ContractState, match=contract), store.commerce() as db:
        override_without_contract(db, "V1", kind, **given)
