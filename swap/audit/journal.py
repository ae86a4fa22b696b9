"""Checks of the journals: the chain of each is whole, and ends no earlier than what is known outside of it."""

from __future__ import annotations

from swap.audit.records import Finding, Records
from swap.journal.heads import compare


def journal_chained(records: Records, found: Finding) -> None:
    """Each event of a station follows the one before, holds its hash, and is what its own hash was made from."""
    for station_id, verdict in records.chains.items():
        found.examined += verdict.examined
        if verdict.broken_seq is not None:
            found.violations.append(f"station {station_id}: {verdict.problem}")


def journal_understood(records: Records, found: Finding) -> None:
    """Each event is of a known kind and says what events of its kind say, no more and no less."""
    found.examined += len(records.events)
    found.violations += records.unreadable


def journal_reaches_heads(records: Records, found: Finding) -> None:
    """Each head that was written down outside of the database is still in its journal, with the same hash."""
    outlines = {station_id: records.outline(station_id) for station_id in records.stations}
    for head in records.heads:
        outline = outlines.get(head.station_id)
        problem = (
            f"station {head.station_id} has a head of event {head.seq}, and is not in the database"
            if outline is None
            else compare(head, outline)
        )
        found.look(problem is None, problem or "")
    found.violations += records.unreadable_heads


JOURNAL_CHECKS = (journal_chained, journal_understood, journal_reaches_heads)
