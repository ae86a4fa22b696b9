"""A simulated year of every kind of plan, with contracts that change: charged month by month, rated anew by
`tests.swap.rerate`, equal to the fen."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from swap.commerce.charges import charges_of
from swap.commerce.leases.contracts import answer_version, events_of, lease_of, move, revise
from swap.commerce.leases.periods import month_days
from swap.commerce.leases.rent import run_rent
from swap.commerce.leases.settle import end_contract
from swap.commerce.leases.show import get_contract
from swap.commerce.leases.states import LeaseTrigger, VersionStep
from swap.commerce.leases.terms import LeaseTerms
from swap.store import Store
from swap.tables import ChargeRow, RentRun
from tests.support.swap.leases import WHO, Traffic, lease_store, signed, terms, terms_data
from tests.swap import rerate as rerate_module
from tests.swap.rerate import Contract, Fen, World, rerate

MONTHS = [f"2024-{n:02d}" for n in range(1, 13)]
SOH = {"reference_pct": "95", "floor": "0.82"}
STEPS = [
    {"from_quantity": "0", "yuan": "42"},
    {"from_quantity": "12", "yuan": "35.5"},
    {"from_quantity": "25", "yuan": "9.99"},
]
PLANS: dict[str, dict[str, Any]] = {
    "two-part": {
        "vehicles": ["V0", "V1"],
        "entitlement": [{"kind": "lfp", "number": 2}],
        "suspension_share": "0.25",
        "components": [
            {"id": "rent", "kind": "two_part", "floor_yuan_per_kwh_month": "6.3333", "overage_yuan_per_kwh": "0.6117",
             "soh": SOH},
            {"id": "deposit", "kind": "deposit", "yuan_per_pack": "20000"},
            {"id": "late", "kind": "occupancy", "yuan_per_kwh_day": "0.4567"},
        ],
    },
    "distance": {
        "first_day": "2024-01-31",
        "billing": "anniversary",
        "open_spans": "with_swap",
        "vehicles": ["V2"],
        "components": [
            {"id": "km", "kind": "usage", "per": "km", "yuan": "0.6231", "minimum": "3100"},
            {"id": "swaps", "kind": "usage", "per": "swap", "steps": STEPS},
        ],
    },
    "quarter": {
        "months": 3,
        "first_day": "2024-02-10",
        "vehicles": ["V3"],
        "components": [
            {"id": "fee", "kind": "fixed", "yuan_per_period": "910.00"},
            {"id": "km", "kind": "usage", "per": "km", "yuan": "0.31", "allowance": "5000", "counted": "contract"},
            {"id": "power", "kind": "usage", "per": "kwh", "yuan": "0.0450", "tariff": True},
        ],
    },
    "mine": {
        "zone": "America/St_Johns",
        "first_day": "2024-02-29",
        "last_day": "2024-11-17",
        "vehicles": ["V5"],
        "components": [
            {"id": "tonnes", "kind": "usage", "per": "tonne", "stepping": "whole", "steps": [
                {"from_quantity": "0", "yuan": "0.9"}, {"from_quantity": "1500.5", "yuan": "0.77"}]},
            {"id": "hours", "kind": "usage", "per": "hour", "yuan": "3.3333"},
            {"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "9.9", "soh": SOH},
        ],
    },
}  # fmt: skip


def plain(store: Store, contract_id: str) -> Contract:
    """A contract as the second rating takes it."""
    with store.reading_commerce() as db:
        lease = lease_of(db, contract_id)
        acts = [(event.kind, event.data["version"]) for event in events_of(db, contract_id) if "version" in event.data]
        every = get_contract(db, contract_id).versions  # whether anybody has signed them or not
    versions = [
        (v.version, v.effective_day, v.terms.model_dump(mode="json"), {k: str(kwh) for k, kwh in v.rated_kwh.items()})
        for v in every
    ]
    suspended = [(days.first, days.until) for days in lease.suspensions]
    return Contract(contract_id, versions, lease.active_from, suspended, lease.ended_on, acts)


def charged(store: Store) -> Fen:
    """What the rent runs have charged, by contract, month and thing."""
    found: Fen = defaultdict(int)
    with store.reading_commerce() as db:
        for row in charges_of(db):
            if row.source.startswith("rent:"):
                found[row.contract_id or "", row.basis["rated"], row.basis["group"]] += row.amount_fen
    return {key: fen for key, fen in found.items() if fen}


def rows(store: Store) -> list[tuple[Any, ...]]:
    """Every charge, whole."""
    with store.reading_commerce() as db:
        return [tuple(row.model_dump().items()) for row in db.exec(select(ChargeRow).order_by(col(ChargeRow.id)))]


def run_at(month: str) -> datetime:
    """Two days after a month."""
    return datetime.combine(month_days(month).until, datetime.min.time(), UTC) + timedelta(days=2)


class Year:
    """The year, month by month."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.traffic = Traffic.of(7)
        self.ids = {name: signed(store, terms(**plan)) for name, plan in PLANS.items()}

    def offer(self, name: str, effective: date, at: datetime, **changed: Any) -> int:
        """A version that the lessor offers; its number."""
        given = LeaseTerms.model_validate(terms_data(**(PLANS[name] | changed)))
        with self.store.commerce() as db:
            return revise(db, self.ids[name], effective, given, at=at, actor=WHO)

    def answer(self, name: str, number: int, step: VersionStep, at: datetime) -> None:
        with self.store.commerce() as db:
            answer_version(db, self.ids[name], number, step, at=at, actor=WHO)

    def revise(self, name: str, effective: date, at: datetime, **changed: Any) -> None:
        self.answer(name, self.offer(name, effective, at, **changed), VersionStep.SIGN, at)

    def move(self, name: str, trigger: LeaseTrigger, day: date) -> None:
        at = datetime(day.year, day.month, day.day, 4, tzinfo=UTC)
        with self.store.commerce() as db:
            if trigger is LeaseTrigger.END:
                end_contract(db, self.ids[name], at=at, actor=WHO, day=day)
            else:
                move(db, self.ids[name], trigger, at=at, actor=WHO, day=day)

    def change(self, month: str, at: datetime) -> None:
        """What people do to the contracts in a month."""
        cheaper = [{**c, "floor_yuan_per_kwh_month": "5.9001"} if c["id"] == "rent" else c for c in TWO_PART]
        more = [{"kind": "lfp", "number": 3}]
        match month:
            case "2024-03":
                self.move("two-part", LeaseTrigger.SUSPEND, date(2024, 3, 28))
            case "2024-04":
                self.move("two-part", LeaseTrigger.RESUME, date(2024, 4, 9))
            case "2024-05":
                self.offer("mine", date(2024, 5, 1), at, components=[GIVEN_AWAY])
                self.revise("quarter", date(2024, 5, 17), at, vehicles=["V4"])
            case "2024-06":
                self.answer("mine", 2, VersionStep.DECLINE, at)
                self.revise("two-part", date(2024, 6, 14), at, entitlement=more)
            case "2024-07":
                self.offer(
                    "distance",
                    date(2024, 7, 9),
                    at,
                    components=[
                        PLANS["distance"]["components"][0],
                        {"id": "swaps", "kind": "usage", "per": "swap", "yuan": "30"},
                    ],
                )
            case "2024-08":
                self.offer("quarter", date(2024, 8, 20), at, components=[GIVEN_AWAY])  # and nobody answers
            case "2024-09":  # each counts from a day of a closed month on; one was offered before that was closed
                self.answer("distance", 2, VersionStep.SIGN, at)
                self.revise("two-part", date(2024, 7, 25), at, components=cheaper, entitlement=more)
            case "2024-10":
                self.move("two-part", LeaseTrigger.END, date(2024, 10, 20))
                taken_over = {
                    **PLANS["two-part"],
                    "vehicles": ["V1"],
                    "first_day": "2024-10-21",
                    "energy": "soe",
                    "open_spans": "with_swap",
                    "entitlement": [{"kind": "lfp", "number": 1}],
                }
                self.ids["taken over"] = signed(self.store, terms(**taken_over), at)
            case "2024-11":
                self.revise("mine", date(2024, 11, 10), at, last_day="2024-12-05")  # renewed before its end
            case _:
                pass

    def month(self, month: str) -> None:
        days = month_days(month)
        day = days.first
        while day < days.until:
            # V0 keeps its last pack after the end of its contract, until the 2nd of November.
            trucks = [t for t in self.traffic.on if t != "V0" or not date(2024, 10, 18) <= day < date(2024, 11, 2)]
            self.traffic.day(day, trucks)
            day += timedelta(days=1)
        at = run_at(month)
        self.change(month, at - timedelta(days=1))
        self.traffic.tell(self.store)
        run_rent(self.store, month, at)


GIVEN_AWAY = {"id": "fee", "kind": "fixed", "yuan_per_period": "1"}
TWO_PART: list[dict[str, Any]] = PLANS["two-part"]["components"]


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    with lease_store(tmp_path_factory.mktemp("year")) as store:
        year = Year(store)
        closed: dict[str, list[tuple[Any, ...]]] = {}
        for month in MONTHS:
            year.month(month)
            for earlier, before in closed.items():
                assert of_period(store, earlier) == before, f"{earlier} is closed, and was changed in {month}"
            closed[month] = of_period(store, month)
        yield year


def of_period(store: Store, month: str) -> list[tuple[Any, ...]]:
    return [row for row in rows(store) if dict(row)["period"] == month]


@pytest.mark.slow
@pytest.mark.timeout(600)  # the year is simulated in its fixture
def test_the_year_is_rated_alike_to_the_fen(year: Year) -> None:
    year.traffic.tell(year.store, all_readings=True)
    run_rent(year.store, "2025-01", run_at("2025-01"))  # what came late is put right in the month that is open
    traffic = year.traffic
    rated = {pack: Decimal(282) for pack in traffic.counters}
    world = World(traffic.moves, traffic.readings, rated)
    expected = rerate([plain(year.store, one) for one in year.ids.values()], world, "2025-01")
    assert charged(year.store) == expected
    things = {key[2].split("/")[0] + "/" + key[2].split("/")[1] for key in expected}
    assert {
        "rent/floor",
        "rent/overage",
        "late/",
        "deposit/",
        "km/",
        "swaps/step3",
        "swaps/",
        "fee/",
        "hours/",
    } <= things
    assert {"tonnes/step1", "tonnes/step2", "power/at0.5500"} <= things
    assert len(expected) > 120


def test_the_second_rating_is_short_enough_to_be_read_and_has_nothing_of_the_product() -> None:
    source = Path(rerate_module.__file__).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 300
    named = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            named.add(node.module or "")
    assert {name.partition(".")[0] for name in named} <= sys.stdlib_module_names


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_running_again_changes_nothing(year: Year) -> None:
    before = rows(year.store)
    for month in ("2024-12", "2024-05"):
        assert run_rent(year.store, month, run_at("2025-02")).charges == ()
    assert rows(year.store) == before
    with year.store.reading_commerce() as db:
        assert {run.month for run in db.exec(select(RentRun))} >= set(MONTHS)
