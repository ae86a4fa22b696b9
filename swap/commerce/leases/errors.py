"""Errors of leases that a caller can act on.

CommerceError
├── ContractsOverlap    (Conflict)  a vehicle would have two contracts on one day
├── ContractState       (Conflict)  not in this state of the contract
├── JournalBehind       (Conflict)  a rent run for a month that a journal from a file does not tell to its end
├── MonthNotOver        (Conflict)  a rent run for a month that has not ended everywhere
└── VehicleNotLessees   (Conflict)  a vehicle of the contract belongs to another firm than its lessee
"""

from __future__ import annotations

from swap.commerce.errors import CommerceError
from swap.errors import Conflict


class ContractsOverlap(CommerceError, Conflict):
    """A vehicle has another binding contract on days of this one."""


class ContractState(CommerceError, Conflict):
    """What was asked is not possible in the state of the contract."""


class JournalBehind(CommerceError, Conflict):
    """The journal of a station that lives elsewhere is not known to the end of the month."""


class MonthNotOver(CommerceError, Conflict):
    """The month has not ended in the zone of each contract."""


class VehicleNotLessees(CommerceError, Conflict):
    """What is offered or signed names a vehicle that belongs to another firm than the lessee by now."""
