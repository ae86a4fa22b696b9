"""Walk the whole database and check what must always hold, with how many items each check examined.

"No violation" proves something only together with the number: a check that examined nothing found nothing.
What is under way, such as a completed swap whose bill is about to be made, is counted as `pending`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from swap.audit.journal import JOURNAL_CHECKS
from swap.audit.money import MONEY_CHECKS
from swap.audit.packs import PACK_CHECKS
from swap.audit.records import Finding, Records
from swap.audit.swaps import SWAP_CHECKS, Legality, legal_by_recipe
from swap.journal.heads import NotedHead

__all__ = ["CHECKS", "AuditReport", "Invariant", "Legality", "audit"]

CHECKS: tuple[Callable[[Records, Finding], None], ...] = (*JOURNAL_CHECKS, *PACK_CHECKS, *SWAP_CHECKS, *MONEY_CHECKS)
"""Every check. Its name is the invariant's name, its docstring says what must hold."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """One invariant as found."""

    name: str
    meaning: str
    examined: int
    """How many items were looked at."""
    pending: int
    """How many of them are under way and cannot be judged yet."""
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Every invariant as found."""

    invariants: tuple[Invariant, ...]

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
) -> AuditReport:
    """Check every invariant. Take the session from `store.reading()`: it sees one instant, writers go on.

    Args:
        legal: whether a swap of a recipe, with a number of packs, may go from one state to another; the
            tables of the shipped recipes when not given.
        heads: what was written down of the journals outside of the database (`swap.journal.heads`).
        unreadable_heads: lines of such files that are none.
    """
    records = Records.load(db, legal, heads, unreadable_heads)
    found = []
    for check in CHECKS:
        finding = Finding()
        check(records, finding)
        meaning = " ".join((check.__doc__ or "").split())
        found.append(Invariant(check.__name__, meaning, finding.examined, finding.pending, tuple(finding.violations)))
    return AuditReport(tuple(found))
