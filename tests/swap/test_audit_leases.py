"""What contracts have charged, rated again and held against what was done: each invariant barks at its own damage, and
at nothing that was learnt after the last rent run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlmodel import select

from swap.audit import AuditReport, audit
from swap.commerce.custody.take import NewReading, add_readings
from swap.commerce.leases.rent import run_rent
from swap.commerce.leases.rights import announce_arrears
from swap.commerce.leases.settle import buy_out, charge_damage, end_contract, settle_contract
from swap.commerce.leases.terms import LeaseTerms
from swap.commerce.strandings import charge_strandings, note_strandings
from swap.store import Store
from swap.tables import Pack
from tests.support.swap.commerce import arrive, code, station
from tests.support.swap.damage import Examined, bare
from tests.support.swap.leases import WHO, Traffic, lease_store, signed, signed_version, terms

MINE = (
    "rents_rated_again", "contract_acts_charged", "stranding_as_told", "lease_charge_due", "rents_complete",
    "lease_in_its_events", "readings_in_journal",
)  # fmt: skip
TWO_PART = terms(
    last_day="2024-12-31",
    components=[
        {"id": "rent", "kind": "two_part", "floor_yuan_per_kwh_month": "6.3333", "overage_yuan_per_kwh": "0.6117",
         "soh": {"reference_pct": "95", "floor": "0.82"}},
        {"id": "deposit", "kind": "deposit", "yuan_per_pack": "20000"},
        {"id": "harm", "kind": "damage", "yuan_by_code": {"dent": "1200.55", "leak": "4500"},
         "yuan_max_per_pack": "5000"},
        {"id": "sale", "kind": "buy_out", "new_yuan_per_kwh": "650", "second_hand": "0.55"},
        {"id": "early", "kind": "early_end", "share": "0.5", "days_max": 60},
    ],
)  # fmt: skip
BY_USE = terms(
    vehicles=["V1"],
    components=[
        {"id": "km", "kind": "usage", "per": "km", "yuan": "0.6231", "minimum": "900"},
        {"id": "power", "kind": "usage", "per": "kwh", "yuan": "0.0917"},
    ],
)
IN_ARREARS = terms(vehicles=["V2"], arrears_notice_days=1, stranding_yuan="88.50")


def day(month: int, number: int, hour: int = 0) -> datetime:
    return datetime(2024, month, number, hour, tzinfo=UTC)


def drive(store: Store, traffic: Traffic, first: date, last: date, *trucks: str) -> None:
    """Swaps of trucks on some days, of which the journals and all readings are known at once."""
    while first <= last:
        traffic.day(first, trucks)
        first += timedelta(days=1)
    traffic.tell(store, all_readings=True)


def strand(store: Store, contract_id: str) -> None:
    """Truck V2 comes with next to nothing, in spite of arrears."""
    with store.commerce() as db:
        at = announce_arrears(db, contract_id, Decimal(900), at=day(2, 3), actor=WHO)
        pack = db.exec(select(Pack).where(Pack.vehicle_id == "V2")).one()
        pack.soc_pct, pack.energy_kwh = 8.0, 20.0
    config = station(bays=8, packs=4, trucks=6)
    arrive(store, config, "V2", at)
    note_strandings(store, "S", at)
    assert len(charge_strandings(store, "S").swaps) == 1
    arrive(store, config, "V3", at + timedelta(hours=2))  # the journal goes on


def written(store: Store) -> tuple[Traffic, str]:
    """Two months charged; a contract ended early, harmed, bought out of and settled; a truck stranded. What drives, and
    the contract that goes on."""
    two_part, by_use, in_arrears = (signed(store, given) for given in (TWO_PART, BY_USE, IN_ARREARS))
    traffic = Traffic.of(11)
    drive(store, traffic, date(2024, 1, 1), date(2024, 1, 31), "V0", "V1")
    run_rent(store, "2024-01", day(2, 2))
    strand(store, in_arrears)
    with store.commerce() as db:
        for harm in ("leak", "dent"):
            charge_damage(db, two_part, code(3), harm, at=day(2, 6), actor=WHO)
        soh = NewReading(code(4), "soh_pct", day(2, 5), Decimal("83.7"), "entered", WHO, day(2, 5))
        add_readings(db, [soh])
        buy_out(db, two_part, code(4), at=day(2, 6), actor=WHO)
        end_contract(db, two_part, at=day(2, 10, 4), actor=WHO)
    traffic.move(traffic.on["V0"], day(2, 10, 5), "vehicle:V0:1", "bay:S:B1", None, None)
    drive(store, traffic, date(2024, 2, 11), date(2024, 2, 29), "V1")
    run_rent(store, "2024-02", day(3, 2))
    with store.commerce() as db:
        settle_contract(db, two_part, at=day(3, 3), actor=WHO)
    return traffic, by_use


def mine(report: AuditReport) -> dict[str, tuple[str, ...]]:
    return {one.name: one.violations for one in report.invariants if one.name in MINE and one.violations}


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examined]:
    """What was written, in tables that refuse nothing."""
    folder = tmp_path_factory.mktemp("quarter")
    with lease_store(folder) as store:
        written(store)
    examined = Examined(bare(folder / "leases.db", folder))
    yield examined
    examined.close()


def test_what_the_program_wrote_is_right_and_every_invariant_looked(unguarded: Examined) -> None:
    report = unguarded.after("")
    assert mine(report) == {}
    seen = {one.name: (one.examined, one.pending) for one in report.invariants if one.name in MINE}
    assert all(examined for examined, _ in seen.values()), seen
    # What a person has entered, no journal tells.
    assert [name for name, (_, pending) in seen.items() if pending] == ["readings_in_journal"]
    assert seen["contract_acts_charged"][0] >= 5


RENT = "(SELECT min(id) FROM charge WHERE kind = 'rent' AND basis LIKE '%2024-01%')"
LEASE_AUDIT_DAMAGE = {
    "rents_rated_again": (
        # raised so that quantity, price and amount fit each other
        "UPDATE charge SET unit_price_1e4_yuan = 2 * unit_price_1e4_yuan, amount_fen = 2 * amount_fen "
        f"WHERE id = {RENT}",
        "UPDATE charge SET quantity_1e6 = 2 * quantity_1e6, amount_fen = 2 * amount_fen WHERE kind = 'distance'",
        "UPDATE charge SET basis = json_set(basis, '$.rated', '2023-12') WHERE kind = 'overage'",
        "DELETE FROM charge WHERE kind = 'energy'",
        "UPDATE charge SET made_at = '2024-03-05 00:00:00.000000' WHERE kind = 'distance'",
        # a version changed in place, and what it rested on
        "UPDATE lease_version SET terms = replace(terms, '0.6231', '0.6230')",
        "UPDATE lease_version SET rated_kwh = replace(rated_kwh, '282', '281')",
        "UPDATE reading SET value_1e4 = value_1e4 + 50000 WHERE quantity = 'odometer_km' AND subject = 'V1' AND at = "
        "(SELECT min(at) FROM reading WHERE subject = 'V1' AND quantity = 'odometer_km' AND at > '2024-01-31 16:00')",
        "UPDATE lease_event SET day = '2024-01-15' WHERE kind = 'activate'",
    ),
    "rents_complete": (
        "UPDATE rent_run SET month = '2024-02' WHERE month = '2024-01'",
        "DELETE FROM rent_run WHERE month = '2024-01'",
    ),
    "lease_in_its_events": (
        "UPDATE lease_event SET day = '2024-01-01' WHERE kind = 'arrears'",
        "UPDATE lease_event SET actor = 'person:other' WHERE kind = 'end'",
        "UPDATE lease_event SET data = replace(data, '900', '90') WHERE kind = 'arrears'",
        "UPDATE lease_event SET at = '2024-02-10 04:00:01.000000' WHERE kind = 'end'",
    ),
    "readings_in_journal": (
        "UPDATE reading SET value_1e4 = value_1e4 + 1 WHERE origin = 'entered'",
        "UPDATE reading SET made_at = '2024-01-01 00:00:00.000000' WHERE origin = 'entered'",
    ),
    "contract_acts_charged": (
        "DELETE FROM charge WHERE id = (SELECT min(id) FROM charge WHERE kind = 'damage')",
        "UPDATE charge SET amount_fen = 2 * amount_fen, quantity_1e6 = 2 * quantity_1e6 WHERE kind = 'buy_out'",
        "UPDATE charge SET amount_fen = 2 * amount_fen, quantity_1e6 = 2 * quantity_1e6 WHERE kind = 'early_end'",
        # a refund larger than what was paid
        "UPDATE charge SET amount_fen = 2 * amount_fen, quantity_1e6 = 2 * quantity_1e6 "
        "WHERE kind = 'deposit' AND amount_fen < 0",
        "UPDATE charge SET amount_fen = 120055, unit_price_1e4_yuan = 12005500 WHERE kind = 'damage'",
        "UPDATE charge SET pack_id = 'x' WHERE kind = 'damage'",
        "UPDATE charge SET source = 'gift:1' WHERE kind = 'early_end'",
        "UPDATE charge SET made_at = '2024-02-07 00:00:00.000000' WHERE kind = 'buy_out'",
        "DELETE FROM lease_event WHERE kind = 'damage'",
        "UPDATE lease_event SET day = '2024-02-09' WHERE kind = 'end'",
    ),
    "stranding_as_told": (
        "DELETE FROM charge WHERE kind = 'stranding'",
        "UPDATE charge SET amount_fen = 2 * amount_fen, quantity_1e6 = 2 * quantity_1e6 WHERE kind = 'stranding'",
        "UPDATE charge SET vehicle_id = 'V0' WHERE kind = 'stranding'",
        "DELETE FROM station_event WHERE kind = 'contract.stranding'",
        "DELETE FROM lease_event WHERE kind = 'stranding'",
        "UPDATE lease_event SET data = replace(data, 'V2', 'V1') WHERE kind = 'stranding'",
    ),
}
"""By invariant: scripts, each of which it must find."""


@pytest.mark.parametrize(
    ("invariant", "script"), [(name, script) for name, scripts in LEASE_AUDIT_DAMAGE.items() for script in scripts]
)
def test_damage_to_what_contracts_charged_is_found(unguarded: Examined, invariant: str, script: str) -> None:
    assert invariant in mine(unguarded.after(script))


def test_a_stranding_that_was_told_just_now_may_wait_for_its_charge(unguarded: Examined) -> None:
    later = "(SELECT at FROM station_event WHERE kind = 'contract.stranding')"
    report = unguarded.after(
        "DELETE FROM charge WHERE kind = 'stranding'; DELETE FROM lease_event WHERE kind = 'stranding'; "
        f"DELETE FROM station_event WHERE at > {later}"
    )
    (told,) = [one for one in report.invariants if one.name == "stranding_as_told"]
    assert (told.violations, told.pending) == ((), 1)


def test_what_is_learnt_after_the_last_run_is_no_violation(tmp_path: Path) -> None:
    """A pack that came back, a late reading, versions for past days: the next run charges the difference."""
    with lease_store(tmp_path) as store:
        _learn(store, *written(store))


def _learn(store: Store, traffic: Traffic, by_use: str) -> None:
    drive(store, traffic, date(2024, 3, 3), date(2024, 3, 20), "V1")
    dearer = BY_USE.model_dump(mode="json")
    dearer["components"] = [*dearer["components"], {"id": "fee", "kind": "fixed", "yuan_per_period": "10"}]
    late = NewReading("V1", "odometer_km", day(2, 28, 23), traffic.odometers["V1"], "entered", WHO, day(3, 21))
    with store.commerce() as db:
        signed_version(db, by_use, date(2024, 2, 1), LeaseTerms.model_validate(dearer), day(3, 21))
        add_readings(db, [late])
    signed(store, terms(vehicles=["V4"], first_day="2024-01-01"), day(3, 21))
    with store.reading() as db:
        assert mine(audit(db)) == {}
    made = run_rent(store, "2024-03", day(4, 2))
    assert made.charges
    with store.reading() as db:
        assert mine(audit(db)) == {}
