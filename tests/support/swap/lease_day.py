"""A lease at the small station of the tests, so that an audited day has rows of contracts, rents and custody; and the
damage that each of its invariants must find."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from swap.commerce.custody.take import take_journals
from swap.commerce.leases.contracts import answer_version, draft, move, revise
from swap.commerce.leases.rent import run_rent
from swap.commerce.leases.rights import announce_arrears, override_without_contract
from swap.commerce.leases.settle import charge_damage
from swap.commerce.leases.show import Quantity, give_readings
from swap.commerce.leases.states import LeaseTrigger, VersionStep
from swap.config.station_file import StationConfig
from swap.register.persons import person_actor
from swap.store import Store
from tests.support.swap.leases import terms


def leased(store: Store, config: StationConfig, at: datetime) -> None:
    """Two contracts of August 2026, one of them changed in its middle, a rent run, arrears, a damage, a reading."""
    kind = config.pack_kinds[0].id
    lessee = config.vehicles[0].fleet
    lessor = config.packs[0].owner
    vehicles = [vehicle.id for vehicle in config.vehicles if vehicle.fleet == lessee][:2]
    common = {
        "lessor_id": lessor,
        "lessee_id": lessee,
        "zone": config.station.timezone,
        "first_day": "2026-08-01",
        "stations": [config.station.id],
        "entitlement": [{"kind": kind, "number": 2}],
        "components": [
            {"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "10"},
            {"id": "harm", "kind": "damage", "yuan_by_code": {"dent": "1200"}, "yuan_max_per_pack": "5000"},
        ],
    }
    take_journals(store)
    pack = next(pack.id for pack in config.packs if pack.owner == lessor)
    with store.commerce() as db:
        actor, other = person_actor(db, "Chen", at), person_actor(db, "Wang", at)
        contracts = [draft(db, terms(**(common | {"vehicles": [name]})), at=at, actor=actor) for name in vehicles]
        for contract in contracts:
            for trigger in (LeaseTrigger.OFFER, LeaseTrigger.SIGN, LeaseTrigger.ACTIVATE):
                move(db, contract, trigger, at=at, actor=other)
        changed = terms(**(common | {"vehicles": vehicles[:1], "entitlement": [{"kind": kind, "number": 3}]}))
        revise(db, contracts[0], date(2026, 8, 11), changed, at=at, actor=actor, reason="one more")
        answer_version(db, contracts[0], 2, VersionStep.SIGN, at=at, actor=other)
        other_fee = terms(**(common | {"vehicles": vehicles[1:], "stranding_yuan": "88"}))
        for step in VersionStep:
            number = revise(db, contracts[1], date(2026, 8, 11), other_fee, at=at, actor=actor)
            answer_version(db, contracts[1], number, step, at=at, actor=other, reason="as talked over")
        read_at = at - timedelta(hours=1)
        given: list[tuple[str, Quantity, datetime, Decimal]] = [
            (vehicles[0], "odometer_km", read_at, Decimal("50123.4")),
            (vehicles[1], "tonnes", read_at, Decimal("31.5")),
        ]
        give_readings(db, given, origin="entered", actor=actor, now=at)
    run_rent(store, "2026-08", at)
    with store.commerce() as db:
        charge_damage(db, contracts[0], pack, "dent", at=at, actor=actor)
        announce_arrears(db, contracts[1], Decimal("100"), at=at, actor=actor)
        without = next(vehicle.id for vehicle in config.vehicles if vehicle.id not in vehicles)
        kinds: tuple[Literal["credit", "safety"], ...] = ("credit", "safety")
        for hours, name in enumerate(kinds, start=1):
            until_at, station_id = at + timedelta(hours=hours), config.station.id
            override_without_contract(
                db, without, name, until_at=until_at, at=at, actor=other, reason="ramp", station_id=station_id
            )


CONTRACT = "(SELECT id FROM lease_contract ORDER BY id LIMIT 1)"
CHANGED = "(SELECT contract_id FROM lease_version WHERE terms LIKE '%\"number\":3%')"
OTHER = f"(SELECT id FROM lease_contract WHERE id <> {CHANGED})"
RENT = "(SELECT id FROM charge WHERE kind = 'rent' AND contract_id IS NOT NULL ORDER BY id LIMIT 1)"
MOVE = "(SELECT seq FROM custody_move ORDER BY seq LIMIT 1)"

LEASE_DAMAGE: dict[str, tuple[str, ...]] = {
    "lease_versions_kept": (
        # changed in place: the price, the day, the rated energy, who made it
        "UPDATE lease_version SET terms = replace(terms, '\"10\"', '\"9\"') WHERE version = 1",
        "UPDATE lease_version SET effective_day = '2026-08-12' WHERE version = 2",
        "UPDATE lease_version SET rated_kwh = '{}'",
        "UPDATE lease_version SET made_by = 'person:x'",
        "DELETE FROM lease_version WHERE version = 2",
        "DELETE FROM lease_event WHERE kind = 'version_offered'",
        "DELETE FROM lease_vehicle WHERE version = 2",
        # a vehicle of a version that nobody has signed
        "UPDATE lease_vehicle SET version = 3 WHERE version = 2",
        # with its hash adjusted: the event does not fit the version's day
        "UPDATE lease_event SET day = '2026-08-12' WHERE kind = 'version_offered'",
    ),
    "lease_versions_signed": (
        # as an earlier release had it, which the contract does not say
        "UPDATE lease_event SET kind = 'revised' WHERE kind = 'version_offered'",
        "UPDATE lease_contract SET last_unsigned_version = 2",
        # signed without an offer, offered twice at once, signed for another day
        "DELETE FROM lease_event WHERE kind = 'version_offered'",
        "DELETE FROM lease_event WHERE kind = 'version_declined'",
        "UPDATE lease_event SET day = '2026-08-12' WHERE kind = 'version_signed'",
        "UPDATE lease_event SET data = replace(data, '2', '3') WHERE kind = 'version_signed'",
    ),
    "lease_in_its_events": (
        f"UPDATE lease_contract SET state = 'settled' WHERE id = {CONTRACT}",
        f"UPDATE lease_contract SET lessee_id = lessor_id WHERE id = {CONTRACT}",
        f"UPDATE lease_contract SET zone = 'America/St_Johns' WHERE id = {CONTRACT}",
        "DELETE FROM lease_event WHERE kind = 'sign'",
        "UPDATE lease_event SET no = no + 7 WHERE kind = 'arrears'",
        "UPDATE lease_event SET data = '{}' WHERE kind = 'arrears'",
        "UPDATE lease_event SET at = '2020-01-01 00:00:00.000000' WHERE kind = 'activate'",
    ),
    "overrides_kept": (
        "UPDATE vehicle_override SET reason = 'other' WHERE no = 1",
        "UPDATE vehicle_override SET until_at = '2030-01-01 00:00:00.000000' WHERE no = 2",
        "DELETE FROM vehicle_override WHERE no = 1",
    ),
    "leases_apart": (
        f"UPDATE lease_version SET terms = (SELECT terms FROM lease_version WHERE contract_id = {OTHER}) "
        f"WHERE contract_id = {CHANGED}",
    ),
    "lease_charge_due": (
        f"UPDATE charge SET amount_fen = amount_fen + 1 WHERE id = {RENT}",
        f"UPDATE charge SET quantity_1e6 = quantity_1e6 * 2 WHERE id = {RENT}",
        f"UPDATE charge SET unit_price_1e4_yuan = 1 WHERE id = {RENT}",
        f"UPDATE charge SET contract_version = 9 WHERE id = {RENT}",
        f"UPDATE charge SET contract_id = 'lc-x' WHERE id = {RENT}",
        f"UPDATE charge SET buyer_id = 'op' WHERE id = {RENT}",
        f"UPDATE charge SET from_at = '2026-07-20 16:00:00.000000' WHERE id = {RENT}",
        "UPDATE lease_event SET kind = 'offer' WHERE kind = 'activate'",
        # charged by a version that nobody has signed
        "DELETE FROM lease_event WHERE kind = 'version_signed'",
        "UPDATE lease_event SET kind = 'version_declined' WHERE kind = 'version_signed'",
    ),
    "rents_complete": (
        f"DELETE FROM charge WHERE id = {RENT}",
        "UPDATE rent_run SET charges = charges + 1",
        "UPDATE rent_run SET amount_fen = amount_fen - 1",
        "UPDATE rent_run SET month = '2026-09'",
    ),
    "charge_names_own_pack": (
        "UPDATE pack SET owner_id = 'op' WHERE id = (SELECT pack_id FROM charge WHERE kind = 'damage')",
    ),
    "custody_in_journal": (
        f"DELETE FROM custody_move WHERE seq = {MOVE}",
        f"UPDATE custody_move SET at = '2026-09-01 04:44:44.000000' WHERE seq = {MOVE}",
        f"UPDATE custody_move SET target = 'off_site' WHERE seq = {MOVE}",
        "UPDATE custody_move SET seq = 99999999",
        "UPDATE custody_mark SET seq = 99999999",
        "DELETE FROM custody_mark",
    ),
    "custody_unbroken": (
        "DELETE FROM custody_move WHERE swap_id IS NOT NULL AND target LIKE 'gripper:%'",
        "UPDATE custody_move SET source = 'off_site' WHERE swap_id IS NOT NULL",
    ),
    "readings_in_journal": (
        "UPDATE reading SET value_1e4 = value_1e4 + 1 WHERE origin = 'journal'",
        "UPDATE reading SET subject = 'x' WHERE origin = 'journal'",
        "UPDATE reading SET no = 3",
        "UPDATE reading SET actor = 'test:1' WHERE origin = 'journal'",
    ),
}
"""By invariant: scripts, each of which it must find."""
