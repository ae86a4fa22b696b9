"""The end of a contract, and what is charged by an act of a person: early end, damage, purchase, settlement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from swap.commerce.charges import FEN_YUAN, NewCharge, add_charge, charges_of, half_up
from swap.commerce.custody.readings import readings
from swap.commerce.custody.told import PackOnRecord, packs_on_record
from swap.commerce.leases.contracts import events_of, lease_of, move, note
from swap.commerce.leases.errors import ContractState
from swap.commerce.leases.facts import gather
from swap.commerce.leases.lease import LeaseHistory
from swap.commerce.leases.periods import day_of, start_of
from swap.commerce.leases.rating import early_end_yuan, residual_yuan
from swap.commerce.leases.rent import of_contract, open_month
from swap.commerce.leases.states import LeaseState, LeaseTrigger
from swap.commerce.leases.terms import BuyOut, Damage
from swap.commerce_db import AnyDb, CommerceDb
from swap.errors import InvalidInput
from swap.tables import LeaseEvent
from swap.words import N_


def end_contract(
    db: CommerceDb, contract_id: str, *, at: datetime, actor: str, day: date | None = None, reason: str = ""
) -> LeaseState:
    """End a contract with a day; before its last day with what the early end costs.

    Raises:
        NotFound, ContractState, InvalidInput: as `swap.commerce.leases.contracts.move`.
    """
    lease = lease_of(db, contract_id)
    last = day_of(at, lease.terms.tz) if day is None else day
    state = move(db, contract_id, LeaseTrigger.END, at=at, actor=actor, day=last, reason=reason)
    fee_yuan = early_end_yuan(lease, last)
    if fee_yuan:
        basis = {"last_day": last.isoformat(), "agreed_until_day": lease.until_day.isoformat()}
        _charge(db, lease, "early_end", "", fee_yuan, at, basis=basis)
    return state


def settle_contract(db: CommerceDb, contract_id: str, *, at: datetime, actor: str) -> LeaseState:
    """Settle an ended contract: give the deposit back, once every pack is back.

    Raises:
        NotFound: no such contract.
        ContractState: it has not ended, or packs are still held.
    """
    lease = lease_of(db, contract_id)
    held = packs_held(db, lease)
    if held:
        raise ContractState(
            N_("contract {contract_id}: packs are still held: {packs}"),
            {"contract_id": contract_id},
            packs=", ".join(held),
        )
    state = move(db, contract_id, LeaseTrigger.SETTLE, at=at, actor=actor)
    paid_fen = sum(row.amount_fen for row in charges_of(db, contract_id=contract_id) if row.kind == "deposit")
    if paid_fen:
        _charge(db, lease, "deposit", "return", -Decimal(paid_fen) * FEN_YUAN, at, basis={"paid_fen": paid_fen})
    return state


def packs_held(db: AnyDb, lease: LeaseHistory) -> tuple[str, ...]:
    """Packs that were on vehicles of a contract when it ended, and have not left them."""
    if lease.ended_on is None:
        return ()
    ended_at = start_of(lease.until_day, lease.terms.tz)
    facts = gather(db, lease, ended_at)
    return tuple(
        sorted(
            held.pack_id
            for held in facts.held
            if held.from_at < ended_at
            and held.until_at is None
            and not any(days.until > lease.until_day for days in facts.elsewhere.get(held.vehicle_id, ()))
        )
    )


def charge_damage(db: CommerceDb, contract_id: str, pack_id: str, code: str, *, at: datetime, actor: str) -> Decimal:
    """Charge a damage that a pack came back with, by the contract's list; what it costs, yuan.

    Raises:
        NotFound: no such contract.
        InvalidInput: the contract has no such damage, or the pack is unknown.
    """
    lease = lease_of(db, contract_id)
    part = next((c for c in lease.terms.components if isinstance(c, Damage)), None)
    codes = {} if part is None else part.yuan_by_code
    if part is None or code not in codes:
        raise InvalidInput("code", code, N_("a damage of the contract: {codes}"), codes=", ".join(codes) or "-")
    _owned(db, lease, pack_id)
    earlier = [
        row for row in charges_of(db, contract_id=contract_id) if row.kind == "damage" and row.pack_id == pack_id
    ]
    left_yuan = part.yuan_max_per_pack - Decimal(sum(row.amount_fen for row in earlier)) * FEN_YUAN
    yuan = half_up(min(codes[code], max(left_yuan, Decimal(0))))
    number = note(
        db,
        contract_id,
        "damage",
        day_of(at, lease.terms.tz),
        at=at,
        actor=actor,
        data={"pack_id": pack_id, "code": code},
    )
    basis = {"code": code, "listed_yuan": str(codes[code]), "event": number}
    _charge(db, lease, "damage", f"{pack_id}/{number}", yuan, at, pack_id=pack_id, basis=basis)
    return yuan


def buy_out(db: CommerceDb, contract_id: str, pack_id: str, *, at: datetime, actor: str) -> Decimal:
    """Charge the residual at which the lessee takes a pack over, by its newest SoH; what it costs, yuan.

    Raises:
        NotFound: no such contract.
        InvalidInput: the contract names no residual, the pack's owner is not the lessor, or its SoH is unknown.
        ContractState: the pack has been bought already.
    """
    lease = lease_of(db, contract_id)
    part = next((c for c in lease.terms.components if isinstance(c, BuyOut)), None)
    if part is None:
        raise InvalidInput("contract_id", contract_id, N_("a contract with a residual (buy_out)"))
    pack = _owned(db, lease, pack_id)
    series = readings(db, "soh_pct", [pack_id], at).get(pack_id, [])
    known = [value for read_at, value in series if read_at <= at]
    soh_pct = known[-1] if known else pack.soh_pct
    if soh_pct is None:
        raise InvalidInput("pack_id", pack_id, N_("a pack of which a SoH has been read"))
    yuan = residual_yuan(part, pack.rated_kwh, soh_pct)
    basis = {"soh_pct": str(soh_pct), "rated_kwh": str(pack.rated_kwh), "second_hand": str(part.second_hand)}
    if not _charge(db, lease, "buy_out", pack_id, yuan, at, pack_id=pack_id, basis=basis):
        raise ContractState(N_("pack {pack_id} has been bought already"), {"contract_id": contract_id}, pack_id=pack_id)
    data = {"pack_id": pack_id}
    note(db, contract_id, "buy_out", day_of(at, lease.terms.tz), at=at, actor=actor, data=data)
    return yuan


STRANDING = "stranding"
"""Kind of charge, and of the event of a contract, of a truck that was served in spite of arrears."""


def stranding_yuan(lease: LeaseHistory, at: datetime) -> Decimal:
    """What a contract asks at an instant for the swap of a truck below its reach in spite of arrears."""
    version = lease.version_of(day_of(at, lease.terms.tz)) or lease.newest
    return half_up(version.terms.stranding_yuan)


def stranding_source(contract_id: str, swap_id: str) -> str:
    """What such a swap is charged for, once."""
    return act_source(STRANDING, contract_id, swap_id)


def charge_stranding(
    db: CommerceDb, contract_id: str, vehicle_id: str, swap_id: str, station_id: str, *, at: datetime
) -> None:
    """Charge the swap of a truck below its reach in spite of arrears, and tell the lessor. A second time nothing."""
    lease = lease_of(db, contract_id)
    yuan = stranding_yuan(lease, at)
    basis = {"vehicle_id": vehicle_id, "station_id": station_id}
    charged = _charge(db, lease, STRANDING, swap_id, yuan, at, vehicle_id=vehicle_id, swap_id=swap_id, basis=basis)
    if charged and not stranding_told(events_of(db, contract_id), swap_id):
        data = {"vehicle_id": vehicle_id, "station_id": station_id, "swap_id": swap_id}
        note(db, contract_id, STRANDING, day_of(at, lease.terms.tz), at=at, actor="commerce", data=data)


def stranding_told(events: Iterable[LeaseEvent], swap_id: str) -> bool:
    """Whether the events of a contract tell of a swap that was given in spite of arrears."""
    return any(event.kind == STRANDING and event.data.get("swap_id") == swap_id for event in events)


def _owned(db: AnyDb, lease: LeaseHistory, pack_id: str) -> PackOnRecord:
    pack = packs_on_record(db, [pack_id]).get(pack_id)
    if pack is None or pack.owner_id != lease.terms.lessor_id:
        raise InvalidInput("pack_id", pack_id, N_("a pack of {lessor_id}"), lessor_id=lease.terms.lessor_id)
    return pack


def act_source(kind: str, contract_id: str, what: str) -> str:
    """What an act is charged for, once: an early end, a damage, a purchase, a deposit given back, a stranding."""
    return f"{kind}:{contract_id}:{what}"


def _charge(
    db: AnyDb,
    lease: LeaseHistory,
    kind: str,
    what: str,
    yuan: Decimal,
    at: datetime,
    *,
    basis: Mapping[str, Any],
    vehicle_id: str | None = None,
    pack_id: str | None = None,
    swap_id: str | None = None,
) -> bool:
    version = lease.version_of(day_of(at, lease.terms.tz)) or lease.newest
    new = NewCharge(
        source=act_source(kind, lease.id, what),
        quantity=Decimal(1 if yuan >= 0 else -1),
        unit="item",
        unit_price_yuan=abs(yuan),
        amount_yuan=yuan,
        vehicle_id=vehicle_id,
        pack_id=pack_id,
        swap_id=swap_id,
        basis=basis,
        **of_contract(lease, kind, open_month(db, lease, at), version.number),
    )
    return add_charge(db, new, at)[1]
