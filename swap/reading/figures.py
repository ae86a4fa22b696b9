"""A station in a few numbers, for those who watch many."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import col, func, select

from swap.reading.now import get_station, site_history, station_availability
from swap.reading.records import AvailabilityRecord, SiteRecord
from swap.station_db import StationDb
from swap.tables import FaultRow, StationEvent, Swap


@dataclass(frozen=True, slots=True)
class StationFigures:
    """What stands in the database of one station now."""

    availability: AvailabilityRecord
    controlled: bool
    """A controller has the station and was heard."""
    head_seq: int
    """Number of the newest event; 0 before the first."""
    swaps: dict[str, int]
    """Swaps that have ended, by how."""
    open_faults: dict[int, int]
    """Faults that are not cleared, by level."""
    site: SiteRecord | None
    """The newest power sample; None before the first."""


def journal_head(db: StationDb) -> int:
    """Number of the newest event of the session's station; 0 before the first. Not narrowed by who looks."""
    seq = StationEvent.__table__.c.seq  # type: ignore[attr-defined]
    own = StationEvent.__table__.c.station_id == db.station_id  # type: ignore[attr-defined]
    found: int | None = db.execute(select(func.max(seq)).where(own)).scalar()
    return found or 0


def station_figures(db: StationDb) -> StationFigures:
    """The numbers of the session's station. Raises NotFound."""
    station_id = db.station_id
    ended = select(Swap.state, func.count()).where(col(Swap.ended_at).is_not(None)).group_by(Swap.state)
    faults = select(FaultRow.level, func.count()).where(col(FaultRow.cleared_at).is_(None))
    newest = site_history(db, station_id, 1)
    return StationFigures(
        availability=station_availability(db, station_id),
        controlled=get_station(db, station_id).controller is not None,
        head_seq=journal_head(db),
        swaps=dict(db.exec(ended).all()),
        open_faults=dict(db.exec(faults.group_by(col(FaultRow.level))).all()),
        site=newest[-1] if newest else None,
    )
