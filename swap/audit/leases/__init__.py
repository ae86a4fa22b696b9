"""Lease contracts, their charges, and custody: as their events, the journals and the contracts themselves say.

`contracts` looks at each contract by itself, `charges` at what they have charged, `custody` at moves and readings.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from swap.audit.findings import Findings
from swap.audit.leases.charges import check_charges
from swap.audit.leases.contracts import check_contracts
from swap.audit.leases.custody import check_custody
from swap.audit.rows import Reader


def check_leases(reader: Reader, findings: Findings, newest_at: Mapping[str, datetime]) -> None:
    """Every check of contracts and their charges, and of custody. The journals have been walked.

    Args:
        newest_at: how far the journal of each station has come.
    """
    contracts = check_contracts(reader, findings)
    check_charges(reader, findings, contracts, newest_at)
    check_custody(reader, findings)
