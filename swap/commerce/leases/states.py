"""The state of a lease contract."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from swap.state_table import Row, StateTable


class LeaseState(StrEnum):
    """Where a contract stands."""

    DRAFT = "draft"
    OFFERED = "offered"
    """The lessee has it before him; what it says is changed only by a withdrawal."""
    SIGNED = "signed"
    """Binding; nothing is charged before it is active."""
    ACTIVE = "active"
    SUSPENDED = "suspended"
    """No packs are handed out, and the share of the rent that the contract names is charged."""
    ENDED = "ended"
    """No packs are handed out; those still held are charged until they are back (占用费)."""
    SETTLED = "settled"
    """Every pack is back, deposit and damage are settled."""
    WITHDRAWN = "withdrawn"
    """Called off before it was active."""


class LeaseTrigger(StrEnum):
    """What changes the state of a contract."""

    OFFER = "offer"
    SIGN = "sign"
    ACTIVATE = "activate"
    SUSPEND = "suspend"
    RESUME = "resume"
    END = "end"
    SETTLE = "settle"
    WITHDRAW = "withdraw"


class VersionState(StrEnum):
    """Where a version of a contract stands."""

    IN_FORCE = "in_force"
    """It counts from its day on: drafted with the contract, or signed by the lessee."""
    OFFERED = "offered"
    """The lessee has it before him; nothing is charged by it."""
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"
    """It was offered, and the contract has ended."""


class VersionStep(StrEnum):
    """What becomes of a version that is offered."""

    SIGN = "sign"
    DECLINE = "decline"
    WITHDRAW = "withdraw"


def version_taker(step: VersionStep) -> Literal["lessor_id", "lessee_id"]:
    """Who takes a step with an offered version: the lessee signs or declines, the lessor withdraws."""
    return "lessor_id" if step is VersionStep.WITHDRAW else "lessee_id"


def takers(state: LeaseState, trigger: LeaseTrigger) -> tuple[Literal["lessor_id", "lessee_id"], ...]:
    """Who takes a step: the lessee signs and may decline an offer, everything else is the lessor's."""
    if trigger is LeaseTrigger.SIGN:
        return ("lessee_id",)
    return ("lessor_id", "lessee_id") if (state, trigger) == (_S.OFFERED, LeaseTrigger.WITHDRAW) else ("lessor_id",)


_S = LeaseState
LEASE: StateTable[LeaseState, LeaseTrigger] = StateTable(
    "lease contract",
    _S,
    (
        Row(LeaseTrigger.OFFER, (_S.DRAFT,), _S.OFFERED),
        Row(LeaseTrigger.SIGN, (_S.OFFERED,), _S.SIGNED),
        Row(LeaseTrigger.ACTIVATE, (_S.SIGNED,), _S.ACTIVE),
        Row(LeaseTrigger.SUSPEND, (_S.ACTIVE,), _S.SUSPENDED),
        Row(LeaseTrigger.RESUME, (_S.SUSPENDED,), _S.ACTIVE),
        Row(LeaseTrigger.END, (_S.ACTIVE, _S.SUSPENDED), _S.ENDED),
        Row(LeaseTrigger.SETTLE, (_S.ENDED,), _S.SETTLED),
        Row(LeaseTrigger.WITHDRAW, (_S.DRAFT, _S.OFFERED, _S.SIGNED), _S.WITHDRAWN),
    ),
)

BINDING = (LeaseState.SIGNED, LeaseState.ACTIVE, LeaseState.SUSPENDED)
"""A vehicle has at most one contract of these for each day; an ended one binds it up to its last day."""
CHARGED = (LeaseState.ACTIVE, LeaseState.SUSPENDED, LeaseState.ENDED, LeaseState.SETTLED)
"""Contracts that rents are charged for."""
