"""What comes in over HTTP about money. Amounts are decimal text in yuan, with at most two decimals."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from api.schemas import FirmId, Input, Instant, Output, RecordId

AmountYuan = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,12})(\.[0-9]{1,2})?$", examples=["1234.50"])]
Channel = Literal["channel_a", "channel_b"]
Target = Annotated[str | None, Field(max_length=80, examples=["bill:bl-6a43f6103a0d5e1082"])]
Currency = Literal["CNY"]


class PaymentIn(Input):
    """A wish to pay."""

    payer_id: FirmId
    payee_id: FirmId
    method: Literal["wallet", "channel_a", "channel_b"]
    amount_yuan: AmountYuan
    currency: Currency = "CNY"
    target: Target = None
    """The bill, charge or invoice that it is meant for; none: the oldest first."""
    holder_id: FirmId | None = None
    """Of a wallet: the firm that holds it; none: the payee."""
    hold_id: RecordId | None = None
    """Of a wallet: the hold that it uses."""


class TopUpIn(Input):
    """Money for a wallet."""

    holder_id: FirmId
    """The firm that holds the wallet."""
    channel: Channel
    amount_yuan: AmountYuan
    currency: Currency = "CNY"


class CreditIn(Input):
    """How far a wallet may go below 0."""

    holder_id: FirmId
    """The firm that holds the wallet."""
    limit_yuan: AmountYuan


class HoldIn(Input):
    """Money to hold in a wallet."""

    holder_id: FirmId
    """The firm that holds the wallet."""
    payee_id: FirmId
    amount_yuan: AmountYuan
    expires_at: Instant
    """From then on nothing is held any more."""


class HoldRecord(Output):
    """What is held."""

    hold_id: str
    amount_yuan: Decimal
    expires_at: datetime


class CallIn(Input):
    """What the acquirer tells: an order was paid."""

    channel: Channel
    number: Annotated[str, Field(min_length=1, max_length=64)]
    """The acquirer's number of the payment."""
    order_id: RecordId
    amount_yuan: AmountYuan
    fee_yuan: AmountYuan = "0.00"
    """What the acquirer keeps of it; it pays out the rest."""
    currency: Currency = "CNY"


class RefundIn(Input):
    """Money to give back."""

    payment_id: RecordId
    amount_yuan: AmountYuan
    reason: Annotated[str, Field(min_length=1, max_length=200)]


class BankLineEndIn(Input):
    """What a line of a bank's statement is."""

    outcome: Literal["payment", "refund", "channel", "other"]
    payer_id: FirmId | None = None
    """Of a payment: the firm that paid."""
    purpose: Literal["debt", "top_up"] = "debt"
    target: Target = None
    """Of a payment: the bill, charge or invoice that it is meant for; none: the oldest first."""
    detail: Annotated[str, Field(max_length=200)] = ""
    """The channel that has paid out, or why the line is set aside."""


class DepositIn(Input):
    """A deposit to charge."""

    holder_id: FirmId
    """The firm that gets and holds it."""
    owner_id: FirmId
    """The firm that pays it, and gets it back."""
    amount_yuan: AmountYuan
    contract_id: RecordId | None = None


class ReleaseIn(Input):
    """The end of a deposit."""

    damage_yuan: AmountYuan = "0"
    """What is kept for damage; it may be more than the deposit."""


class DepositRecord(Output):
    """A deposit."""

    deposit_id: str
    amount_yuan: Decimal
    damage_yuan: Decimal | None
    """What was charged for damage at its release; null before."""


class NetIn(Input):
    """Two firms that set off what they owe each other."""

    one_id: FirmId
    other_id: FirmId
    until_at: Instant
    """Everything before this instant is in it."""
