"""D9: old samples become means of a minute, then of a quarter of an hour; the energy and the worst of the time stay."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlmodel import col, func, select

from swap.audit import audit
from swap.config.station_file import RetentionSection
from swap.errors import DatabaseAway
from swap.keeping import runner
from swap.keeping.samples import LOT, QUARTER_S, thin_samples
from swap.reading import samples as stored
from swap.reading.now import live_mark, newest_site
from swap.store import Store
from swap.tables import SiteSample
from tests.support.swap.commerce import AT, STATION, filled_store, station

RULES = RetentionSection(samples_full_days=30, samples_minute_days=90)
HOURS = 4
END = AT + timedelta(hours=HOURS)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with filled_store(database_url, station()) as store:
        with store.station(STATION) as db:
            for number in range(HOURS * 3600 // 20):
                meter = number % 50 != 7  # now and then the meter is silent
                db.add(
                    SiteSample(
                        station_id=STATION,
                        at=AT + timedelta(seconds=20 * number + number % 7),
                        import_kw=300.0 + number % 97 if meter else None,
                        charge_kw=280.0 + number % 89,
                        pv_kw=90.0 + number % 89,
                        storage_kw=number % 89 - 44.0,
                        limit_kw=1900.0 - number % 5,
                        ready_packs=4 + number % 3,
                        queue_length=number % 4,
                    )
                )
        yield store


def thin(store: Store, days: float, rules: RetentionSection = RULES) -> list[int]:
    """Thin until nothing is due, so many days after the last sample; how many were looked at in each lot."""
    lots = []
    while looked := thin_samples(store, STATION, rules, END + timedelta(days=days)):
        lots.append(looked)
    return lots


def rows(store: Store) -> list[SiteSample]:
    with store.reading_station(STATION) as db:
        found = list(db.exec(select(SiteSample).order_by(col(SiteSample.id))))
        db.expunge_all()
        return found


def imported(store: Store, from_at: datetime, until_at: datetime) -> tuple[float, float]:
    with store.reading_station(STATION) as db:
        kwh, seconds = stored.imported(db, STATION, from_at, until_at)
    assert kwh is not None
    return kwh, seconds


def test_young_samples_stay_as_they_were_taken(store: Store) -> None:
    before = [row.model_dump() for row in rows(store)]
    assert thin(store, days=29) == []
    assert [row.model_dump() for row in rows(store)] == before


@pytest.mark.parametrize(("days", "rows_an_hour"), [(31, 60), (91, 4)])
def test_energy_and_the_worst_of_the_time_stay(store: Store, days: int, rows_an_hour: int) -> None:
    before = rows(store)
    energy = imported(store, AT, END)
    lots = thin(store, days)
    after = rows(store)
    assert len(after) <= HOURS * rows_an_hour + 5  # the newest stay as they are
    assert max(lots) <= LOT + 1
    assert imported(store, AT, END) == pytest.approx(energy, rel=1e-9)
    assert min(row.ready_packs for row in after) == min(row.ready_packs for row in before)
    assert max(row.queue_length for row in after) == max(row.queue_length for row in before)
    assert min(row.limit_kw for row in after) == min(row.limit_kw for row in before)
    assert {row.id for row in after} <= {row.id for row in before}
    for name in ("charge_kw", "pv_kw"):
        mean = [sum(getattr(row, name) for row in some) / len(some) for some in (before, after)]
        assert mean[1] == pytest.approx(mean[0], rel=0.05)
    assert max(abs(row.storage_kw or 0.0) for row in after[:-5]) < 44.0
    with store.reading() as db:
        report = audit(db)
    assert {i.name: i.violations for i in report.invariants if i.violations} == {}


def test_a_part_of_a_mean_counts_for_its_part(store: Store) -> None:
    thin(store, days=91)
    whole, seconds = imported(store, AT, END)
    middle = AT + timedelta(minutes=67)
    parts = [imported(store, AT, middle), imported(store, middle, END)]
    assert sum(part[0] for part in parts) == pytest.approx(whole, rel=1e-9)
    assert sum(part[1] for part in parts) == pytest.approx(seconds, rel=1e-9)


def test_thinning_again_changes_nothing_and_what_pages_show_stays(store: Store) -> None:
    with store.reading_station(STATION) as db:
        before = newest_site(db, STATION), live_mark(db, STATION)
    thin(store, days=30.01)
    once = [row.model_dump() for row in rows(store)]
    assert thin(store, days=30.01) == []
    assert [row.model_dump() for row in rows(store)] == once
    with store.reading_station(STATION) as db:
        assert (newest_site(db, STATION), live_mark(db, STATION)) == before


def test_a_process_that_was_slower_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.reading_station(STATION) as db:
        from swap.keeping import samples

        late = samples._due(db, QUARTER_S, 0, END)
    thin(store, days=31)
    before = [row.model_dump() for row in rows(store)]
    with store.station(STATION) as db:
        assert [samples._write(db, mean, 0) for mean in late] == [0] * len(late)
    assert [row.model_dump() for row in rows(store)] == before


def test_the_task_goes_on_after_a_failure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    forgotten_at = set[datetime]()
    failures: list[Exception] = [DatabaseAway("locked"), ValueError("no such thing")]

    def failing(*arguments: object) -> int:
        if failures:
            raise failures.pop(0)
        return thin_samples(store, STATION, RULES, END + timedelta(days=31))

    async def run() -> None:
        async def passed(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) > 2 and seconds == runner.PERIOD_S:
                raise asyncio.CancelledError

        monkeypatch.setattr(runner, "wait", passed)
        with pytest.raises(asyncio.CancelledError):
            await runner.keep(store, station(), lambda: END, lambda: END + timedelta(days=1))

    def forget_events(_: Store, at: datetime) -> int:
        forgotten_at.add(at)
        return 0

    monkeypatch.setattr(runner, "thin_samples", failing)
    monkeypatch.setattr(runner, "forget_events", forget_events)
    asyncio.run(run())
    assert forgotten_at == {END}, "by the clock that is behind"
    assert waited[:2] == [runner.PERIOD_S] * 2
    assert waited[2] == runner.PAUSE_S
    with store.reading_station(STATION) as db:
        assert db.exec(select(func.count()).select_from(SiteSample)).one() <= HOURS * 60 + 5
