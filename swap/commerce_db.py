"""Commerce's own part of the database: a session on contracts, charges, invoices and the ledger.

They belong to firms, not to a station: a contract counts at several stations, and an invoice takes from all of them.
Of the stations it reads their bills and the prices that their journals tell; what else happened at one is read there
by its own `StationDb`, or from the journals, which every station hands out.
`swap.store` opens it.
"""

from __future__ import annotations

from sqlmodel import Session

from swap.station_db import StationDb


class CommerceDb(Session):
    """A session on what commerce writes and on the register."""


AnyDb = StationDb | CommerceDb
"""A session in which the rows of commerce may be read and written; a station's own where its journal is told too."""
