"""A month's energy explained: cases worked by hand, and that the balance always closes where every reading is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from api.cli.__main__ import app
from swap.errors import InvalidInput
from swap.reading.reconciliation import (
    Charging,
    Exchange,
    PowerSample,
    Reconciliation,
    explain,
    month_of,
    read_month,
    stock_kwh,
)
from swap.tables import SiteSample
from tests.support.api.doors import STATION_FILE, filled_store
from tests.support.swap import commerce as day

FROM_AT = datetime(2026, 6, 1, tzinfo=UTC)
TO_AT = datetime(2026, 7, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def charging(begin_h: float, end_h: float | None, start: float, end: float | None, loss: float = 1.1) -> Charging:
    """A session of pack P, hours from the beginning of the month."""
    ended_at = None if end_h is None else FROM_AT + end_h * HOUR
    meter = None if end is None else 1000 + loss * (end - start)
    return Charging("P", FROM_AT + begin_h * HOUR, ended_at, start, end, 1000, meter)


def explained(
    sessions: list[Charging], exchanges: list[Exchange] | None = None, samples: list[PowerSample] | None = None
) -> Reconciliation:
    return explain("S", FROM_AT, TO_AT, samples or [], sessions, exchanges or [])


def test_a_pack_comes_back_empty_is_charged_and_leaves() -> None:
    back = Exchange(FROM_AT + HOUR, "P", 50, "Q", 280)
    away = Exchange(FROM_AT + 9 * HOUR, "R", 40, "P", 279)
    samples = [PowerSample(FROM_AT - HOUR / 60, 60, 24, -12), PowerSample(FROM_AT + HOUR / 12, None)]
    samples += [PowerSample(FROM_AT + HOUR / 6, 120), PowerSample(FROM_AT + HOUR, 30, stands=HOUR / 2)]
    found = explained([charging(2, 4, 50, 280)], [back, away], samples)
    assert (found.meter_kwh, found.unread_h) == (Decimal("40.00"), Decimal("719.25"))
    assert (found.chargers_kwh, found.into_packs_kwh) == (Decimal("253.00"), Decimal("230.00"))
    assert (found.handed_out_kwh, found.taken_back_kwh) == (Decimal("559.00"), Decimal("90.00"))
    assert (found.stock_begin_kwh, found.stock_end_kwh) == (Decimal("280.00"), Decimal("40.00"))
    assert found.charging_loss_kwh == Decimal("23.00")
    assert found.unexplained_kwh == Decimal("1.00")  # P lost 1 kWh between charger and truck
    assert (found.pv_kwh, found.storage_kwh) == (Decimal("2.00"), Decimal("-1.00"))
    assert found.other_use_kwh == Decimal("-210.00")


def test_a_session_that_the_month_cuts_is_shared_and_so_is_the_stock() -> None:
    found = explained([charging(-1, 3, 100, 200)])
    assert [found.into_packs_kwh, found.stock_begin_kwh, found.stock_end_kwh] == [
        Decimal(75),
        Decimal(125),
        Decimal(200),
    ]
    assert found.unexplained_kwh == 0
    assert explained([charging(-3, -1, 100, 200)]).into_packs_kwh == 0
    assert explained([charging(2, None, 100, None)]).sessions == 0


def test_what_was_not_read_is_counted() -> None:
    unmetered = Charging("P", FROM_AT, FROM_AT + HOUR, 10, 20, None, 5)
    found = explained([unmetered], [Exchange(FROM_AT + 2 * HOUR, None, None, "P", 20)])
    assert (found.sessions_unmetered, found.exchanges_unread) == (1, 1)
    assert found.charging_loss_kwh == 0


@given(
    st.lists(
        st.tuples(st.floats(1, 280), st.floats(1, 280), st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=6
    )
)
def test_where_every_reading_is_there_nothing_is_left(cycles: list[tuple[float, float, int, int]]) -> None:
    """One pack comes, is charged, leaves, again and again, before, in and after the month: readings agree."""
    at, sessions, exchanges = FROM_AT - 24 * HOUR, list[Charging](), list[Exchange]()
    for empty, full, charge_h, away_h in cycles:
        exchanges.append(Exchange(at, "P", empty, None, None))
        end_at = at + charge_h * 10 * HOUR
        sessions.append(Charging("P", at, end_at, empty, full, 0, 0))
        exchanges.append(Exchange(end_at, None, None, "P", full))
        at = end_at + away_h * 5 * HOUR
    assert abs(explained(sessions, exchanges).unexplained_kwh) <= Decimal("0.05")


def test_a_pack_stands_where_its_last_event_left_it() -> None:
    session, away = charging(2, 4, 50, 280), Exchange(FROM_AT + 9 * HOUR, None, None, "P", 279)
    stocks = [stock_kwh(FROM_AT + hours * HOUR, [session], [away]) for hours in (0, 3, 5, 10)]
    assert stocks == [50, 165, 280, 0]


def test_months() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    begin, end = month_of("2025-12", zone)
    assert (begin.isoformat(), end.isoformat()) == ("2025-12-01T00:00:00+08:00", "2026-01-01T00:00:00+08:00")
    for wrong in ("2025-13", "december", ""):
        with pytest.raises(InvalidInput, match="2026-06"):
            month_of(wrong, zone)


def test_it_reads_the_station_and_the_command_prints_it(tmp_path: Path) -> None:
    config = day.station()
    url = f"sqlite:///{tmp_path / 'swap.db'}"
    with day.filled_store(url, config) as store:
        day.exchange(store, day.arrive(store, config, "V0").swap_id, day.AT + HOUR)
        with store.station(day.STATION) as db:
            for minutes in (0, 5):
                at = day.AT + timedelta(minutes=minutes)
                db.add(
                    SiteSample(
                        station_id=day.STATION,
                        at=at,
                        import_kw=120,
                        charge_kw=100,
                        limit_kw=500,
                        ready_packs=1,
                        queue_length=0,
                    )
                )
        with store.reading_station(day.STATION) as db:
            found = read_month(db, *month_of("2026-11", config.station.zone))
    assert found.exchanges == 1
    assert found.meter_kwh == Decimal("30.00")
    assert found.handed_out_kwh > 0
    store = filled_store(f"sqlite:///{tmp_path / 'other.db'}")
    store.close()
    run = ["reconcile", str(STATION_FILE), "--month", "2026-03", "--database-url", store.url]
    for language, said in (("en", "not explained"), ("zh", "未解释")):
        done = CliRunner().invoke(app, ["--lang", language, *run])
        assert (done.exit_code, said in done.output) == (0, True), done.output
    assert '"unexplained_kwh": "0.00"' in CliRunner().invoke(app, [*run, "--json"]).output
    assert CliRunner().invoke(app, [*run[:3], "march", *run[4:]]).exit_code != 0
