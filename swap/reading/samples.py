"""What the stored samples of a station's power say of a span of time."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlmodel import col, func, select

from swap.station_db import StationDb as Db
from swap.tables import SiteSample

SAMPLE_GAP_S = 600.0
"""A site sample stands for at most this long: beyond, nothing was recorded."""
LONGEST_MEAN = timedelta(seconds=900 + SAMPLE_GAP_S)
"""The mean of old samples (`swap.keeping.samples`) stands for at most this long."""


def imported(db: Db, station_id: str, from_at: datetime, until_at: datetime) -> tuple[float | None, float]:
    """Energy imported in a span, and the seconds of it that are recorded; None where none are.

    Each sample stands until the next one; a mean of old ones for as long as they did.
    """
    rows = db.exec(
        select(SiteSample)
        .where(SiteSample.station_id == station_id)
        .where(col(SiteSample.at) >= from_at - LONGEST_MEAN, col(SiteSample.at) < until_at)
        .order_by(col(SiteSample.at))
    ).all()
    if not rows:
        return None, 0.0
    kwh = seconds = 0.0
    for row, next_at in zip(rows, [*(r.at for r in rows[1:]), until_at], strict=True):
        if row.import_kw is None:
            continue
        begin_at = max(row.at, from_at)
        if row.covered_s is None:
            end_at = min(next_at, row.at + timedelta(seconds=SAMPLE_GAP_S))
        else:
            end_at = min(row.at + timedelta(seconds=row.covered_s), until_at)
        lasts_s = (end_at - begin_at).total_seconds()
        if lasts_s > 0:
            kwh += row.import_kw * lasts_s / 3600
            seconds += lasts_s
    return (kwh if seconds else None), seconds


def sampled_until(db: Db) -> datetime | None:
    """When the station has written down its newest sample: the clock of whoever reads may be another one, as beside a
    simulated station whose time runs faster. None without any."""
    return db.exec(select(func.max(SiteSample.at)).where(SiteSample.station_id == db.station_id)).one()
