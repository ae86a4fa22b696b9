"""Errors of leases that a caller can act on.

CommerceError
├── ContractsOverlap    (Conflict)  a vehicle would have two contracts on one day
├── ContractState       (Conflict)  not in this state of the contract
└── MonthNotOver        (Conflict)  a rent run for a month that has not ended everywhere
"""

from __future__ import annotations

from swap.commerce.errors import CommerceError
from swap.errors import Conflict


class ContractsOverlap(CommerceError, Conflict):
    """A vehicle has another binding contract on days of this one."""


class ContractState(CommerceError, Conflict):
    """What was asked is not possible in the state of the contract."""


class MonthNotOver(CommerceError, Conflict):
    """The month has not ended in the zone of each contract."""
