"""Deposits: charged and held, later released less damage. Call inside `store.commerce()`.

A deposit is a charge that is no income. Its release takes the charge back, whole; so what was paid for it is free, pays
the damage, and the rest can be given back (`refunds`).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from swap.commerce.charges import FEN_YUAN, NewCharge, add_charge
from swap.commerce.ledger.book import post
from swap.commerce.ledger.postings import DEPOSIT, postings_of
from swap.commerce.ledger.sources import charge_owed
from swap.commerce.payments.allocation import pay_debts
from swap.commerce.payments.taking import check_amount, check_firms
from swap.commerce_db import CommerceDb
from swap.errors import InvalidInput, KeyReused, NotFound
from swap.tables import ChargeRow
from swap.words import N_


def hold_deposit(
    db: CommerceDb,
    *,
    holder_id: str,
    owner_id: str,
    amount_fen: int,
    reference: str,
    period: str,
    at: datetime,
    contract_id: str | None = None,
) -> ChargeRow:
    """Charge a deposit, once for a reference of the two firms.

    Raises:
        NotFound, InvalidInput: no such firm, or no amount above 0.
        KeyReused: the reference belongs to another deposit.
    """
    check_firms(db, owner_id=owner_id, holder_id=holder_id)
    check_amount(amount_fen)
    source = f"deposit:{holder_id}:{owner_id}:{reference}"
    new = _charge(source, holder_id, owner_id, DEPOSIT, amount_fen, period, contract_id)
    return _made(db, new, at)


def release_deposit(
    db: CommerceDb,
    deposit_id: str,
    *,
    damage_fen: int,
    period: str,
    at: datetime,
    damage_tax_rate: Decimal = Decimal(0),
) -> tuple[ChargeRow, ChargeRow | None]:
    """Take a deposit back, once, and charge the damage; both charges, the second None without damage.

    Damage may be more than the deposit: the rest is owed.

    Args:
        deposit_id: the charge of the deposit.
        damage_fen: with tax.

    Raises:
        NotFound: no such deposit.
        InvalidInput: the damage is negative.
        KeyReused: it was released before, with other damage.
    """
    deposit = db.get(ChargeRow, deposit_id)
    if deposit is None or deposit.kind != DEPOSIT or deposit.corrects_id is not None:
        raise NotFound("deposit", deposit_id)
    if damage_fen < 0:
        raise InvalidInput("damage_fen", damage_fen, N_("0 or more"))
    firms = deposit.seller_id, deposit.buyer_id
    release = _charge(
        f"deposit-release:{deposit_id}", *firms, DEPOSIT, -deposit.amount_fen, period, deposit.contract_id,
        corrects_id=deposit_id, basis={"damage_fen": damage_fen},
    )  # fmt: skip
    released = _made(db, release, at)
    if released.basis != {"damage_fen": damage_fen}:
        raise KeyReused(
            N_("deposit {charge_id} was released with {damage_fen} fen of damage"),
            charge_id=deposit_id,
            damage_fen=released.basis["damage_fen"],
        )
    charged = None
    if damage_fen:
        damage = _charge(
            f"deposit-damage:{deposit_id}", *firms, "damage", damage_fen, period, deposit.contract_id,
            tax_rate=damage_tax_rate, basis={"deposit": deposit_id},
        )  # fmt: skip
        charged = _made(db, damage, at)
    pay_debts(db, *firms, at)
    return released, charged


def _charge(
    source: str,
    seller_id: str,
    buyer_id: str,
    kind: str,
    amount_fen: int,
    period: str,
    contract_id: str | None,
    *,
    tax_rate: Decimal = Decimal(0),
    corrects_id: str | None = None,
    basis: dict[str, object] | None = None,
) -> NewCharge:
    amount_yuan = amount_fen * FEN_YUAN
    return NewCharge(
        source=source,
        seller_id=seller_id,
        buyer_id=buyer_id,
        kind=kind,
        period=period,
        quantity=Decimal(1 if amount_fen >= 0 else -1),
        unit="item",
        unit_price_yuan=abs(amount_yuan),
        amount_yuan=amount_yuan,
        tax_category=kind,
        tax_rate=tax_rate,
        contract_id=contract_id,
        corrects_id=corrects_id,
        basis=basis or {},
    )


def _made(db: CommerceDb, new: NewCharge, at: datetime) -> ChargeRow:
    row, made = add_charge(db, new, at)
    same = (new.seller_id, new.buyer_id, new.amount_yuan) == (row.seller_id, row.buyer_id, row.amount_fen * FEN_YUAN)
    if not made and not same:
        raise KeyReused(N_("{source} was charged with other content"), {"charge_id": row.id}, source=new.source)
    post(db, postings_of(charge_owed(row)))
    return row
