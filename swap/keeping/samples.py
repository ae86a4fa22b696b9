"""Old samples of a station's power become means of a minute, and later of a quarter of an hour.

The energy stays what it was: each mean holds for as long as its samples did. Of the rest the worst of the time is
kept, so that no shortage disappears. A lot is read without a lock, and written in one short transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from sqlmodel import col, delete, select

from swap.config.station_file import RetentionSection
from swap.reading.samples import SAMPLE_GAP_S
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import SiteSample

MINUTE_S, QUARTER_S = 60, 900
LOT = 60
"""Samples read at a time: some milliseconds of the station's lock."""


@dataclass(frozen=True, slots=True)
class _Mean:
    """What one row becomes, and the rows that it stands for besides itself."""

    first_id: int
    others: tuple[int, ...]
    values: dict[str, float | int | None]


def thin_samples(store: Store, station_id: str, rules: RetentionSection, now: datetime) -> int:
    """Make means of the oldest samples that are due, one lot; how many samples were looked at, 0 when none is due.

    Args:
        now: station time.

    Raises:
        DatabaseAway: the database cannot be used now.
    """
    for mean_s, of_s, days in (
        (MINUTE_S, 0, rules.samples_full_days),
        (QUARTER_S, MINUTE_S, rules.samples_minute_days),
    ):
        with store.reading_station(station_id) as db:
            means = _due(db, mean_s, of_s, now - timedelta(days=days))
        if means:
            with store.station(station_id) as db:
                return sum(_write(db, mean, of_s) for mean in means)
    return 0


def _due(db: StationDb, mean_s: int, of_s: int, before_at: datetime) -> list[_Mean]:
    """The means of the oldest lot; only of spans that are over."""
    before_at = _begin(before_at, mean_s)
    query = select(SiteSample).where(SiteSample.mean_s == of_s, col(SiteSample.at) < before_at)
    rows = db.exec(query.order_by(col(SiteSample.id)).limit(LOT + 1)).all()
    spans = [list(span) for _, span in groupby(rows, key=lambda row: _begin(row.at, mean_s))]
    if len(rows) > LOT and len(spans) > 1:
        spans.pop()  # may go on behind the lot
    taken = [row for span in spans for row in span]
    if not rows:
        return []
    after = select(SiteSample.at).where(col(SiteSample.id) > taken[-1].id).order_by(col(SiteSample.id)).limit(1)
    next_at = db.exec(after).first()
    if next_at is None:  # the newest of all: pages show it, and how long it stands is not known yet
        last = spans.pop()
        next_at, taken = last[0].at, taken[: -len(last)]
    if not taken:
        return []
    stands_s = _stands_s(taken, next_at)
    return [_mean(span, stands_s, mean_s) for span in spans]


def _begin(at: datetime, mean_s: int) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // mean_s * mean_s, UTC)


def _stands_s(rows: Sequence[SiteSample], next_at: datetime) -> dict[int, float]:
    """How long each sample stands: until the next one, as `swap.reading.samples` has it."""
    stands = {}
    for row, end_at in zip(rows, [*(row.at for row in rows[1:]), next_at], strict=True):
        until_next_s = max(0.0, (end_at - row.at).total_seconds())
        stands[row.id or 0] = min(until_next_s, SAMPLE_GAP_S) if row.covered_s is None else row.covered_s
    return stands


def _mean(span: Sequence[SiteSample], stands_s: dict[int, float], mean_s: int) -> _Mean:
    def over_time(value: Callable[[SiteSample], float | None]) -> tuple[float | None, float]:
        known = [(found, stands_s[row.id or 0]) for row in span if (found := value(row)) is not None]
        seconds = sum(lasts_s for _, lasts_s in known)
        if not known:
            return None, 0.0
        if not seconds:
            return sum(found for found, _ in known) / len(known), 0.0
        return sum(found * lasts_s for found, lasts_s in known) / seconds, seconds

    import_kw, covered_s = over_time(lambda row: row.import_kw)
    charge_kw, _ = over_time(lambda row: row.charge_kw)
    pv_kw, _ = over_time(lambda row: row.pv_kw)
    storage_kw, _ = over_time(lambda row: row.storage_kw)
    return _Mean(
        first_id=span[0].id or 0,
        others=tuple(row.id or 0 for row in span[1:]),
        values={
            "import_kw": import_kw,
            "charge_kw": charge_kw,
            "pv_kw": pv_kw,
            "storage_kw": storage_kw,
            "limit_kw": min(row.limit_kw for row in span),
            "ready_packs": min(row.ready_packs for row in span),
            "queue_length": max(row.queue_length for row in span),
            "mean_s": mean_s,
            "covered_s": covered_s,
        },
    )


def _write(db: StationDb, mean: _Mean, of_s: int) -> int:
    """Put a mean in the place of its samples; how many rows. Nothing where another process was faster."""
    first = db.get(SiteSample, mean.first_id)
    if first is None or first.mean_s != of_s:
        return 0
    first.sqlmodel_update(mean.values)
    db.add(first)
    db.exec(delete(SiteSample).where(col(SiteSample.id).in_(mean.others)))
    return 1 + len(mean.others)
