"""Rounding and tax, declared once: half up, away from zero, line by line; a total is the sum of rounded lines.

An amount is rounded once, from the exact product of quantity, unit price and factors. Where the price has the tax in
(含税) that product is the gross amount, else the net amount; the tax comes from the same exact product, and the third
is their sum or difference, so that net + tax = gross on each line. `docs/bills.md` says it with examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from swap.commerce.charges import half_up, whole

CENTI_KWH = Decimal("0.01")
UNIT_PRICE = Decimal("0.0001")
FEN = Decimal("0.01")
BASIS_POINT = Decimal("0.0001")


def to_decimal(value: float | None) -> Decimal | None:
    """The decimal that a stored number was written as: 262.26, not 262.2599999…"""
    return None if value is None else Decimal(repr(float(value)))


@dataclass(frozen=True, slots=True)
class Taxed:
    """An amount with its tax, yuan: net + tax = gross."""

    net_yuan: Decimal
    tax_yuan: Decimal
    gross_yuan: Decimal


def taxed(amount_yuan: Decimal, rate: Decimal, *, included: bool) -> Taxed:
    """The tax of a line.

    Args:
        amount_yuan: exact product of quantity, unit price and factors.
        rate: 0.13 for 13 %.
        included: the amount has the tax in.
    """
    if included:
        gross, tax = half_up(amount_yuan, FEN), half_up(amount_yuan * rate / (1 + rate), FEN)
        return Taxed(gross - tax, tax, gross)
    net, tax = half_up(amount_yuan, FEN), half_up(amount_yuan * rate, FEN)
    return Taxed(net, tax, net + tax)


def taxed_fen(amount_fen: int, rate_bp: int, *, included: bool) -> tuple[int, int, int]:
    """Net, tax and gross of an amount that is rounded already, fen; of a negative one the mirror image.

    Args:
        rate_bp: rate in 1/10 000.
        included: the amount has the tax in.
    """
    parts = taxed(amount_fen * FEN, rate_bp * BASIS_POINT, included=included)
    return whole(parts.net_yuan, FEN), whole(parts.tax_yuan, FEN), whole(parts.gross_yuan, FEN)
