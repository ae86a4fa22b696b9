"""The twin over stations that hypothesis draws: live station and study do the same on each.

A few on each run, the same ones; with TWIN_DRAWS=200 (`make twin`) so many others, new ones each time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from sim.study.given import StationMismatch
from sim.twin.live_side import DISPATCHED
from sim.twin.twin import TwinReport, run_twin
from tests.support.sim.twin_draws import DRAWS, FOUND, HOURS, Drawn
from tests.support.swap.databases import migrated_sqlite

FEW = 2
MANY = int(os.environ.get("TWIN_DRAWS", "0"))
ALLOWED = (
    "the study knows one rating for the chargers of all bays",
    "the study knows one recipe and one order for all lanes",
)
"""What the study may refuse."""
REFUSED_AT_MOST = 0.1


def binding(drawn: Drawn, report: TwinReport) -> set[str]:
    """The features of a station that had an effect in a run."""
    called = {event.detail.split()[0] for event in report.live if event.kind == DISPATCHED}
    found = {f"limited by {name}" if name not in ("pv", "storage") else name for name in report.bound}
    facts = {
        "health below 100 %": min(drawn.healths_pct) < 100 and report.charged_kwh[0] > 0,
        "several kinds": drawn.kinds > 1 and report.swaps(0) > 1,
        "several lanes": len(called) > 1,
        "in-out": drawn.in_out and bool(called),
        "two packs a truck": drawn.seats > 1 and bool(called),
        "no meter": not drawn.has_meter,
        "losses": drawn.charger_efficiency < 1 and report.charged_kwh[0] > 0,
        "shifts": drawn.unattended and drawn.lanes > 1,
        "guides": drawn.guided and "tariff" in report.bound,
    }
    return found | {name for name, holds in facts.items() if holds}


LOOKS_KWH = 0.05
"""What half an hour may differ by the instants of acting alone: the live station acts a look (0.1 s) after the study
does, a charger of 240 kW gives 0.007 kWh in one, and its plans of every 5 s, which give on what a pack in its taper
gives back, begin anew with each event of the site."""


def assert_same(report: TwinReport) -> None:
    """Same events in the same order, each within a second; energy within 1e-4 of the run and 0.1 kWh a pack."""
    assert report.difference is None, f"{report.difference} {report.notes}"
    assert report.largest_wait_error_s < 1.0
    for live_kwh, study_kwh in (report.charged_kwh, report.imported_kwh):
        assert abs(study_kwh - live_kwh) <= max(1e-4 * live_kwh, LOOKS_KWH), (
            f"{report.charged_kwh} {report.imported_kwh}"
        )
    assert report.largest_handed_error_kwh < 0.1


@pytest.mark.twin
@pytest.mark.timeout(600 * max(MANY, FEW))
def test_live_and_study_do_the_same_on_any_station(proved: Callable[[str], None], tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    bound: Counter[str] = Counter()

    @settings(
        max_examples=MANY or FEW,
        derandomize=not MANY,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(DRAWS)
    @example(FOUND[0])
    @example(FOUND[1])
    @example(FOUND[2])
    def same(drawn: Drawn) -> None:
        counts["drawn"] += 1
        config = drawn.station()
        folder = tmp_path / str(counts["drawn"])
        folder.mkdir()
        migrated_sqlite(folder / "twin.db")
        try:
            report = run_twin(
                drawn.scenario(config),
                config,
                HOURS,
                drawn.seed,
                from_hour=drawn.from_hour,
                folder=folder,
                planner=drawn.planner(),
            )
        except StationMismatch as refused:
            refusals[str(refused).split(";")[0]] += 1
            return
        assert_same(report)
        counts["events"] += report.compared
        bound.update(binding(drawn, report))

    same()
    assert all(reason in ALLOWED for reason in refusals), refusals
    ran = counts["drawn"] - refusals.total()
    assert ran >= (1 - REFUSED_AT_MOST) * counts["drawn"] - 1
    assert counts["events"] > 20 * ran
    proved(
        f"twin over random stations: {counts['drawn']} drawn, refused {dict(refusals)}, {counts['events']} events "
        f"compared; features with an effect: {dict(sorted(bound.items()))}"
    )
