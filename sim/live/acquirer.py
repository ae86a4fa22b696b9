"""A simulated acquirer: it pays an order by a signed call, as often as it is told, and at what time it is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from swap.commerce.payments.acquirer import signature

CALLBACK = "/api/v1/payments/acquirer/callback"
"""Where the station is told."""


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A call as it is sent."""

    body: bytes
    headers: Mapping[str, str]


FEE_SHARE = Decimal("0.006")
"""Of each payment, half up to the fen (assumed)."""


def fee_yuan(amount_yuan: str) -> str:
    """What the acquirer keeps of an amount."""
    return str((Decimal(amount_yuan) * FEE_SHARE).quantize(Decimal("0.01"), ROUND_HALF_UP))


def paid_call(
    secret: str, *, channel: str, number: str, order_id: str, amount_yuan: str, at: datetime, fee_yuan: str = "0.00"
) -> SignedCall:
    """The call that tells of a paid order.

    Args:
        secret: what the station was given as `SWAP_ACQUIRER_SECRET`.
        number: the acquirer's own number of the payment.
        at: real time.
        fee_yuan: what the acquirer keeps of it.
    """
    said = {"channel": channel, "number": number, "order_id": order_id, "amount_yuan": amount_yuan}
    said["fee_yuan"] = fee_yuan
    body, stamp = json.dumps(said).encode(), str(int(at.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "Acquirer-Timestamp": stamp,
        "Acquirer-Signature": signature(secret, channel, stamp, body),
    }
    return SignedCall(body, headers)
