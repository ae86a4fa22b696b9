"""A station at the edges of what can be asked: each case gives what it must, and the table for `docs/model.md`.

The example Yangquan with two lanes, sixteen packs and 4 000 kVA, a station that keeps its promise with ease, is changed
in one thing at a time. Each case names what must come out of it on the same trucks: no more service than in the case
it is compared with, none at all, an unstable queue, the same result. `python -m benchmarks.edges
--pages` writes the table into the pages; a test holds the names of the cases and their outcome.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from scheduler.site import DrEventSection
from sim.report.model_page import PAGES, with_block
from sim.report.words import CAUSE_NAMES, load_words
from sim.scenario.demand import DAY_S, arrivals
from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario, parse_scenario
from sim.study.parallel import Workers, workers
from sim.study.stats import difference
from sim.study.study import StudyResult, run_study
from swap.words import N_

EXAMPLE = Path(__file__).parents[1] / "examples" / "yangquan_mine" / "scenario.toml"
DAYS, REPLICATIONS = 7.0, 4


@dataclass(frozen=True)
class Case:
    """One question at an edge."""

    name: str
    scenario: Scenario
    must: str
    """less, alike, none, unstable, stable or served."""
    than: str = ""
    """The case it is compared with."""


NAMES = {
    "base": N_("the station as it is"),
    "one pack less": N_("one pack less"),
    "six packs": N_("six packs"),
    "one pack": N_("one pack"),
    "one lane": N_("one lane"),
    "demand x 1.2": N_("demand × 1.2"),
    "demand x 3": N_("demand × 3"),
    "promise 99.99 %": N_("promise of 99.99 %"),
    "-40 °C": N_("−40 °C outside, packs heated"),
    "-36 °C in the packs": N_("packs at −36 °C, nothing heated"),
    "no power all day": N_("demand response to 0 kW all day"),
    "two kinds": N_("two kinds of pack, each with its fleet"),
    "fleet": N_("each truck drives its trips"),
    "fleet x 1.2": N_("each truck drives its trips, demand × 1.2"),
    "trace": N_("recorded arrivals"),
    "trace x 1.2": N_("recorded arrivals, demand × 1.2"),
}
MUSTS = {
    "less": N_("no more is served than in: {than}"),
    "alike": N_("waits as in: {than}"),
    "none": N_("nobody is served"),
    "unstable": N_("the queue grows without end"),
    "stable": N_("all are served in the end"),
    "served": N_("the promise is kept"),
}


def cases(folder: Path) -> list[Case]:
    """All of them; recorded arrivals are written into `folder`."""
    base = load_scenario(EXAMPLE).with_equipment(packs=16, spare_bays=4, lanes=2, transformer_kva=4000.0)
    base = with_parts(base, promise={"target_share": 0.95})
    frost = {"mean_c_by_month": (-40.0,) * 12, "swing_c": 0.0}
    unheated = {"rack_min_c": None, "pack_min_c": -36.0, "pack_above_ambient_c": 4.0}
    all_day = DrEventSection(from_hour=0, hours=24, limit_kw=0)
    fleet = with_parts(base, demand={"mode": "fleet"})
    trace = _trace(base, folder)
    return [
        Case("base", base, "served"),
        Case("one pack less", base.with_equipment(packs=15), "less", "base"),
        Case("six packs", base.with_equipment(packs=6), "less", "one pack less"),
        Case("one pack", base.with_equipment(packs=1), "unstable"),
        Case("one lane", base.with_equipment(lanes=1), "less", "base"),
        Case("demand x 1.2", with_parts(base, demand={"factor": 1.2}), "less", "base"),
        Case("demand x 3", with_parts(base, demand={"factor": 3.0}), "unstable"),
        Case("promise 99.99 %", with_parts(base, promise={"target_share": 0.9999}), "alike", "base"),
        Case("-40 °C", with_parts(base, climate=frost), "less", "base"),
        Case("-36 °C in the packs", with_parts(base, climate=frost | unheated), "none"),
        Case("no power all day", base.model_copy(update={"dr_events": (all_day,)}), "none"),
        Case("two kinds", _two_kinds(base), "less", "base"),
        Case("fleet", fleet, "stable"),
        Case("fleet x 1.2", with_parts(fleet, demand={"factor": 1.2}), "less", "fleet"),
        Case("trace", trace, "served"),
        Case("trace x 1.2", with_parts(trace, demand={"factor": 1.2}), "less", "trace"),
    ]


def with_parts(scenario: Scenario, **sections: Mapping[str, object]) -> Scenario:
    """The scenario with other values in some sections."""
    changed = {name: getattr(scenario, name).model_copy(update=dict(values)) for name, values in sections.items()}
    return scenario.model_copy(update=changed)


def _two_kinds(base: Scenario) -> Scenario:
    """Half the fleets take a second kind of pack, of which the rack has half of its packs."""
    kind, model = base.pack_kinds[0], base.vehicle_models[0]
    other, light = kind.model_copy(update={"id": "second"}), model.model_copy(update={"id": "light"})
    first, *rest = base.fleets
    return base.model_copy(
        update={
            "pack_kinds": (kind, other),
            "vehicle_models": (model, light.model_copy(update={"pack_kinds": ("second",)})),
            "fleets": (first, *(fleet.model_copy(update={"model": "light"}) for fleet in rest)),
            "equipment": base.equipment.model_copy(update={"packs": {kind.id: 8, "second": 8}}),
        }
    )


def _trace(base: Scenario, folder: Path) -> Scenario:
    """A week of the base's own trucks as a file."""
    week = takewhile(lambda arrival: arrival.at_s < 7 * DAY_S, arrivals(base, base.start_at, 99))
    rows = [f"{a.at_s:.0f},{a.fleet},{a.vehicle_id},{a.soc_pct[0]:.1f}" for a in week]
    (folder / "week.csv").write_text("\n".join(["at,fleet,vehicle,soc_pct", *rows]), encoding="utf-8")
    data = base.model_dump(mode="json", exclude={"station", "folder", "vehicle_ids"})
    data["demand"] |= {"mode": "trace", "trace": "week.csv"}
    read = parse_scenario(data, folder=folder)
    return read.model_copy(update={"vehicle_ids": base.vehicle_ids})


def outcome(case: Case, results: Mapping[str, StudyResult]) -> bool:
    """Whether what must come out has come out."""
    result = results[case.name]
    share = result.share_within
    if case.must == "none":
        return max(run.means["swaps_per_day"] for run in result.runs) < 20 and share.mean < 0.05
    if case.must == "unstable":
        return result.unstable
    if case.must == "stable":
        return not result.unstable and share.mean > 0.5
    if case.must == "served":
        return share.low >= result.scenario.promise.target_share
    other = results[case.than]
    if case.must == "alike":
        return result.mean_wait_min == other.mean_wait_min
    gained = difference(_served(result), _served(other))
    return gained.low <= 1e-9


def _served(result: StudyResult) -> list[float]:
    return [run.within / max(run.arrived, 1) for run in result.runs]


def simulated(pool: Workers, *, days: float = DAYS, replications: int = REPLICATIONS) -> dict[str, StudyResult]:
    """The result of each case by name; unchanged whatever the machine."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            case.name: run_study(case.scenario, pool, replications=replications, days=days, warmup_days=1.0, seed=1)
            for case in cases(Path(folder))
        }


def all_cases() -> list[Case]:
    """The cases, where their files are not needed any more."""
    with tempfile.TemporaryDirectory() as folder:
        return cases(Path(folder))


def rows(results: Mapping[str, StudyResult], language: str) -> str:
    """The table as Markdown."""
    words = load_words(language)
    heads = ("Case", "Trucks a day", "Within the promise", "Wait, mean, min", "Most waited for", "Must come out")
    lines = ["| " + " | ".join(words.text(HEADS[head]) for head in heads) + " |", "|---|---:|---:|---:|---|---|"]
    for case in all_cases():
        result = results[case.name]
        shares = {name: share.mean for name, share in result.share_by_cause().items() if share.mean > 0}
        cause = max(shares, key=lambda name: shares[name], default="")
        wait = result.mean_wait_min
        grows = words.text("grows by {growth:.0f} a day", growth=result.queue_growth_per_day.mean)
        than = words.text(NAMES[case.than]) if case.than else ""
        cells = (
            words.text(NAMES[case.name]),
            f"{sum(run.arrived for run in result.runs) / len(result.runs) / result.days:.0f}",
            f"{result.share_within.mean:.1%}",
            grows if result.unstable else f"{wait.mean:.2f} ± {wait.half_width:.2f}",
            f"{words.text(CAUSE_NAMES[cause])} {shares[cause]:.0%}" if cause else "–",
            words.text(MUSTS[case.must], than=than),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


HEADS = {
    "Case": N_("Case"),
    "Trucks a day": N_("Trucks a day"),
    "Within the promise": N_("Within the promise"),
    "Wait, mean, min": N_("Wait, mean, min"),
    "Most waited for": N_("Most waited for"),
    "Must come out": N_("Must come out"),
}


def run() -> Mapping[str, object]:
    """Simulate all cases; `agree`: every one gives what it must."""
    with workers() as pool:
        results = simulated(pool)
    wrong = [case.name for case in all_cases() if not outcome(case, results)]
    shares = {f"{name}: within the promise": result.share_within.mean for name, result in results.items()}
    return {"agree": not wrong, "wrong": ", ".join(wrong), **shares}


def write_pages() -> None:
    """Write the table into the pages."""
    with workers() as pool:
        results = simulated(pool)
    for language, path in PAGES.items():
        page = with_block(path.read_text(encoding="utf-8"), "edges", rows(results, language))
        path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    if "--pages" in sys.argv[1:]:
        write_pages()
    else:
        with workers() as local:
            print(rows(simulated(local), "en"))
