"""Walk the whole database and check what must always hold, with how many items each check examined.

"No violation" proves something only together with the number: a check that examined nothing found nothing.
What is under way, such as a completed swap whose bill is about to be made, is counted as `pending`.

Everything is read row by row, some hundred rows at a time, and each row a fixed number of times: the time grows
with the rows and the memory does not, but for a few numbers for each booking, fault and request. A row that cannot
be read is a finding like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, col

from swap.audit.accounts import check_accounts
from swap.audit.archives import take_archives
from swap.audit.bookings import check_bookings
from swap.audit.findings import INVARIANTS, Findings
from swap.audit.invoices import InvoiceChecks
from swap.audit.journal import JournalWalk
from swap.audit.leases import check_leases
from swap.audit.ledger import LedgerChecks
from swap.audit.legality import Legality, legal_by_recipe
from swap.audit.money import MoneyChecks
from swap.audit.packs import PackChecks
from swap.audit.present import check_present
from swap.audit.references import check_references
from swap.audit.responses import check_responses
from swap.audit.rows import Reader
from swap.audit.swap_files import swap_files
from swap.audit.swaps import EnergyKept, SwapChecks
from swap.audit.webhooks import check_webhooks
from swap.journal.heads import NotedHead
from swap.tables import Pack, Station, StationEvent

__all__ = ["INVARIANTS", "AuditReport", "Invariant", "Legality", "audit"]


@dataclass(frozen=True, slots=True)
class Invariant:
    """One invariant as found."""

    name: str
    meaning: str
    examined: int
    """How many items were looked at."""
    pending: int
    """How many of them are under way and cannot be judged yet, or older than what they would be judged by."""
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Every invariant as found."""

    invariants: tuple[Invariant, ...]
    left_out: tuple[str, ...] = ()
    """Archived parts of journals that were not given: what rests on them was counted, and not judged."""

    @property
    def ok(self) -> bool:
        """Whether nothing is violated."""
        return not any(i.violations for i in self.invariants)


def audit(
    db: Session,
    *,
    legal: Legality = legal_by_recipe,
    heads: Sequence[NotedHead] = (),
    unreadable_heads: Sequence[str] = (),
    archives: Sequence[Path] = (),
) -> AuditReport:
    """Check every invariant. Take the session from `store.reading()`: it sees one instant, writers go on.

    Args:
        legal: whether a swap of a recipe, with a number of packs, may go from one state to another; the
            tables of the shipped recipes when not given.
        heads: what was written down of the journals outside of the database (`swap.journal.heads`).
        unreadable_heads: lines of such files that are none.
        archives: files with archived parts of journals (`swap.keeping.archive`). Where one is missing, the chain is
            looked at from the recorded head of the archive on.
    """
    findings = Findings()
    taken = take_archives(db, findings, archives)
    reader = Reader(db, findings)
    noted: dict[str, list[NotedHead]] = defaultdict(list)
    for head in heads:
        noted[head.station_id].append(head)
    walk = JournalWalk(reader, findings, noted)
    stations = [row.id for row in reader.rows(Station, order=(col(Station.id),), judged=False)]
    reader.stations = tuple(stations)
    for station in stations:
        walk.station(station, taken.without.get(station))
    reader.whole(StationEvent)
    reached = findings["journal_reaches_heads"]
    for station in noted.keys() - set(stations):
        for head in noted[station]:
            reached.look(False, f"station {station} has a head of event {head.seq}, and is not in the database")
    reached.violations += unreadable_heads
    check_present(reader, findings, walk)
    packs = {row.id: row for row in reader.rows(Pack, order=(col(Pack.id),))}
    swaps = SwapChecks(findings, legal)
    money = MoneyChecks(reader, findings, walk.told, {pack.id: pack.rated_kwh for pack in packs.values()})
    for file in swap_files(reader):
        swaps.look(file)
        money.look(file)
    swaps.close()
    kept = EnergyKept(findings, walk.told.handed_over)
    kept.follow(db)
    kept.close(packs)
    PackChecks(reader, findings, packs, swaps.promised).look()
    check_bookings(reader, findings, walk.promises)
    LedgerChecks(reader, findings).look()
    check_leases(reader, findings, walk.told.newest_at)
    check_responses(reader, findings, walk.told.newest_at)
    check_accounts(reader, findings)
    InvoiceChecks(reader, findings, walk.told).look()
    check_webhooks(reader, findings)
    check_references(db, findings["references_exist"])
    taken.leave_out(findings)
    return AuditReport(
        tuple(
            Invariant(name, INVARIANTS[name], found.examined, found.pending, tuple(found.violations))
            for name, found in findings.items()
        ),
        taken.told(),
    )
