"""The planner's report: one HTML file that needs nothing else, the answer first, in Chinese or English.

The charts are drawn by ECharts, whose code the caller passes in, because this folder ships no browser files.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sim.report.plots import Option, size_plots, study_plots
from sim.report.results import size_values, study_values
from sim.report.size_tables import size_tables
from sim.report.tables import Table, assumption_table, number, share_text, study_tables, table_html
from sim.report.uncertainty_tables import chance_line, uncertainty_tables, uncertainty_values
from sim.report.words import CAUSE_NAMES, RESOURCE_NAMES, Words
from sim.scenario.file import Scenario
from sim.scenario.notes import Note
from sim.sizing.answer import Sizing
from sim.sizing.trial import Trial
from sim.sizing.uncertainty import Uncertainty
from sim.sizing.year import FEW
from sim.sizing.years import off_of_all
from sim.study.stats import Estimate
from sim.study.study import StudyResult
from swap.words import N_

FOLDED = {"assumptions", "simulated", "hours", "waits", "flows"}
"""Long tables that stand at the end, closed."""

PLOTS = {
    "front": (
        N_("Cost against wait"),
        N_("Each point is a design that was simulated. Bars: intervals. Down and left is better."),
    ),
    "cost": (N_("Cost a year by part"), N_("Equipment as annuities. Bars: interval of the sum.")),
    "waits": (
        N_("Waits of the trucks served"),
        N_("Blue: within the promise. Amber: longer. Lost trucks are not shown here. Bars: intervals."),
    ),
    "stock": (N_("Packs ready over the day"), N_("Mean of all days by local hour. Band: interval.")),
    "power": (
        N_("Power against limit over the day"),
        N_(
            "Import from the grid, mean of all days by local hour. Band: interval. "
            "Limit: transformer or contract, with the first month's demand response."
        ),
    ),
    "storage": (
        N_("Storage over the day"),
        N_("Mean of all days by local hour: energy at its end, power over it. Band: interval."),
    ),
}


@dataclass
class Report:
    """What a report says, before it is written."""

    words: Words
    scenario: Scenario
    values: dict[str, Any]
    """The document that `--json` prints."""
    answer: list[str]
    """The first line is the answer, the others say why and how sure it is."""
    mood: str
    """good, bad or unsure."""
    made: list[tuple[str, str]]
    tables: list[Table]
    plots: dict[str, Option]
    warnings: list[str] = field(default_factory=list)
    sized: Scenario | None = None
    """The station that was found, where there is one; the head of the page names it."""
    shown: str = ""
    """Which design the charts of waits, packs and power show, when it is not the answer."""

    def html(self, charts_code: str) -> str:
        """The whole page; `charts_code` is the text of `echarts.min.js`."""
        words, scenario = self.words, self.scenario
        kinds = Environment(
            loader=FileSystemLoader(Path(__file__).parent),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        shown = [{"id": t.id, "title": t.title, "html": Markup(table_html(t))} for t in self.tables]
        name = words.pick(scenario.name_zh, scenario.name_en)
        return kinds.get_template("report.html").render(
            tag=words.tag,
            title=name,
            station=station_line(self.sized or scenario, words),
            answer=[*self.answer, self.shown] if self.shown else self.answer,
            mood=self.mood,
            warnings=self.warnings,
            plots=[
                {"id": plot, "title": words.text(PLOTS[plot][0]), "note": words.text(PLOTS[plot][1])}
                for plot in self.plots
            ],
            tables=[table for table in shown if table["id"] not in FOLDED],
            folded=[table for table in shown if table["id"] in FOLDED],
            minutes=words.unit("min"),
            made_title=words.text("How these numbers were made"),
            made=self.made,
            values=_script_json(self.values),
            options=_script_json(self.plots),
            charts_code=Markup(charts_code.replace("</script", "<\\/script")),
        )


def study_report(result: StudyResult, words: Words, unsure: Uncertainty | None = None) -> Report:
    """Report of `swap simulate`; `unsure` is what `--uncertainty` found."""
    text, promise = words.text, result.scenario.promise
    share, values = (
        result.share_within,
        {"limit": f"{promise.wait_limit_min:g}", "target": _target(promise.target_share)},
    )
    values["share"] = share_text(share)
    if math.isnan(share.mean):
        mood = "unsure"
        first = text("No truck came in the simulated time: there is nothing to say about the promise.")
    elif result.unstable:
        mood = "bad"
        first = unstable_line(result, words)
    elif share.low >= promise.target_share:
        mood = "good"
        first = text(
            "The station keeps the promise: {share} of the trucks are served within {limit} min, wanted {target}.",
            **values,
        )
    elif share.high < promise.target_share:
        mood = "bad"
        first = text(
            "The station breaks the promise: {share} of the trucks are served within {limit} min, wanted {target}.",
            **values,
        )
    else:
        mood = "unsure"
        first = text(
            "Too close to call: {share} of the trucks are served within {limit} min, wanted {target}.", **values
        )
    answer = [first, _waits_line(result, words), *cause_line(result, words)]
    tables, found = study_tables(result, words), study_values(result)
    if unsure is not None:
        answer.append(chance_line(unsure, words))
        tables += uncertainty_tables(unsure, words)
        found["uncertainty"] = uncertainty_values(unsure)
    return Report(
        words=words,
        scenario=result.scenario,
        values=found,
        answer=answer,
        mood=mood,
        made=_made(result, words),
        tables=[*tables, assumption_table(result.scenario, words)],
        plots=study_plots(result, words),
    )


def size_report(by_packs: Sequence[Trial], found: Sizing | None, words: Words, scenario: Scenario) -> Report:
    """Report of `swap size`; `found` is None when only the number of packs was asked for."""
    text = words.text
    if found is None:
        stock = next((trial for trial in by_packs if trial.verdict), None)
        answer, mood = [stock_line(by_packs, words)], "bad" if stock is None else "good"
        shown, chosen = stock or max(by_packs, key=lambda trial: trial.share.mean), stock
    else:
        answer, mood = answer_lines(found, words), {True: "good", False: "bad", None: "unsure"}[found.verdict]
        chosen = found.answer
        shown = chosen or found.best or found.largest or max(by_packs, key=lambda trial: trial.share.mean)
    result = shown.result()
    if result.unstable:
        answer.append(unstable_line(result, words))
    answer += [_waits_line(result, words), *cause_line(result, words)]
    tables = [*size_tables(by_packs, found, words), *study_tables(result, words), assumption_table(scenario, words)]
    made = _made(result, words, by_packs[0].by_span[0][0].seed, one_span=len(shown.simulated) == 1)
    if found is not None:
        made += [(text("The year"), year_line(found, words)), (text("Verdicts"), verdict_line(found, words))]
        made.append(
            (
                text("Search"),
                text(
                    "{grid} designs in the grid: {screened} struck out by bounds, {simulated} simulated; "
                    "{days} station days, the whole grid would take {grid_days}",
                    grid=found.grid,
                    screened=found.screened,
                    simulated=len(found.trials),
                    days=f"{found.days_simulated:,.0f}",
                    grid_days=f"{found.grid_days:,.0f}",
                ),
            )
        )
    return Report(
        words=words,
        scenario=scenario,
        values=size_values(by_packs, found),
        answer=answer,
        mood=mood,
        made=made,
        tables=tables,
        plots=({} if found is None else size_plots(found, words)) | study_plots(result, words),
        sized=None if chosen is None else chosen.scenario,
        shown="" if chosen is not None else text("The charts show: {design}.", design=words.design(shown.design)),
        warnings=[] if found is None else edge_warnings(found, words),
    )


def answer_lines(found: Sizing, words: Words) -> list[str]:
    """What the search says, the answer first."""
    text, promise = words.text, found.scenario.promise
    limit, target = f"{promise.wait_limit_min:g}", _target(promise.target_share)
    lines = [text("Stopped before the end: what follows is what was known then.")] if found.stopped else []
    if found.answer is not None:
        at, share = found.answer.hardest
        lines += [
            text(
                "Cheapest station that keeps the promise: {design}, at {cost} yuan a year.",
                design=words.design(found.answer.design),
                cost=_plus_minus(found.answer.cost),
            ),
            text(
                "{share} of the trucks are served within {limit} min over the year, {hardest} in the hardest week "
                "({week}); wanted {target} in every week. Of the cost {capital} yuan is equipment and pay.",
                share=share_text(found.answer.share),
                hardest=share_text(share),
                week=words.week(found.spans[at]),
                limit=limit,
                target=target,
                capital=number(found.answer.capital_yuan),
            ),
        ]
        if found.years:
            worst = max(found.years, key=lambda one: abs(one.off))
            lines.append(
                text(
                    "Simulated year by year, the station's life costs {all} more than was reckoned from its mean year; "
                    "year {year} differs most, by {most}.",
                    all=f"{off_of_all(found.years):+.2%}",
                    year=worst.year,
                    most=f"{worst.off:+.2%}",
                )
            )
        failing = [price for price in found.prices if price.trial.verdict is False]
        if failing:
            told = "; ".join(
                f"{words.less(price.resource, price.step)}: {_percent(price.share.mean)}" for price in failing
            )
            lines.append(text("What breaks the promise: {told}.", told=told))
        return lines
    if found.best is not None:
        at, share = found.best.hardest
        message = N_(
            "Undecided: no design of the grid keeps the promise for certain, but not all break it. "
            "The most promising, {design}, serves {share} within {limit} min in its hardest week ({week}), "
            "wanted {target}. More replications may tell."
        )
        if found.best.verdict:
            message = N_(
                "The cheapest so far, {design}, serves {share} within {limit} min in its hardest week ({week}), "
                "wanted {target}; it was not asked again with fresh seeds, and cheaper ones were left."
            )
        values = {"design": words.design(found.best.design), "week": words.week(found.spans[at])}
        lines.append(text(message, **values, share=share_text(share), limit=limit, target=target))
    elif not found.stopped:
        lines.append(
            text(
                "Not reachable: no design of the grid serves {target} of the trucks within {limit} min.",
                target=target,
                limit=limit,
            )
        )
    most = _percent(found.lane_share)
    lines.append(text("With packs that never run out, the most lanes of the grid serve {share}.", share=most))
    if found.largest is not None:
        message = N_("The largest design ({design}) serves {share}. What binds there: {resource}.")
        if found.binding is None:
            message = N_(
                "The largest design ({design}) serves {share}. No resource helps for certain with one step more."
            )
        values = {"design": words.design(found.largest.design), "share": share_text(found.largest.hardest[1])}
        resource = "" if found.binding is None else text(RESOURCE_NAMES[found.binding])
        lines.append(text(message, **values, resource=resource))
    return lines


def year_line(found: Sizing, words: Words) -> str:
    """What was simulated of the year, in a line."""
    weeks = [span for span in found.spans if span.weight > 0]
    if len(weeks) == 1:
        return words.text("{days:g} days on end from {first} stand for it", days=weeks[0].days, first=weeks[0].from_on)
    line = words.text("{count} weeks with weights, each after a day of warm-up", count=len(weeks))
    if len(weeks) <= FEW:
        line += words.text("; the quick form: each speaks for the parts of the year that are most like it")
    life = found.scenario.life
    if life is None:
        return line + words.text("; fleet and packs as in the first year: [life] says otherwise")
    return line + words.text("; mean of {years} years, and the hardest of them", years=life.years)


def verdict_line(found: Sizing, words: Words) -> str:
    """How sure the verdicts are, in a line."""
    promise = found.scenario.promise
    return words.text(
        "a station exactly on the target is told to keep the promise in {error} of the searches at most: the error is "
        "spent over looks after {looks} replications, and the answer was asked again with fresh seeds",
        error=_percent((1 - promise.confidence) / 2),
        looks=", ".join(str(look) for look in found.effort.looks),
    )


def stock_line(by_packs: Sequence[Trial], words: Words) -> str:
    """The smallest number of packs that keeps the promise, everything else as it stands; or that none does."""
    promise = by_packs[0].scenario.promise
    stock = next((trial for trial in by_packs if trial.verdict), None)
    looked_at = stock or max(by_packs, key=lambda trial: trial.share.mean)
    message = N_("Not reachable with packs alone: {packs} packs serve {share} within {limit} min, wanted {target}.")
    if any(trial.verdict is None for trial in by_packs):
        message = N_(
            "Undecided with packs alone: {packs} packs serve {share} within {limit} min, wanted {target}; "
            "too few replications to tell."
        )
    if stock is not None:
        message = N_(
            "Smallest stock that keeps the promise: {packs} packs; "
            "{share} of the trucks are served within {limit} min, wanted {target}."
        )
    return words.text(
        message,
        packs=looked_at.design.packs,
        share=share_text(looked_at.share),
        limit=f"{promise.wait_limit_min:g}",
        target=_target(promise.target_share),
    )


def runs_line(runs: int, days: float, start_on: date, seed: int, words: Words) -> str:
    """What was simulated, in a line."""
    message = N_("{runs} replications of {days:g} days from {start_on}, seed {seed}")
    return words.text(message, runs=runs, days=days, start_on=start_on.isoformat(), seed=seed)


def warmup_line(notes: Sequence[Note], warmup_days: float, words: Words) -> str:
    """How the warm-up was chosen and what else is to be said, in a line."""
    found = [words.note(note) for note in notes]
    return "; ".join(found) if found else words.text("warm-up {days:g} day(s)", days=warmup_days)


def edge_warnings(found: Sizing, words: Words) -> list[str]:
    """One line for each resource of which the answer has the least or the most of the grid."""
    lines = []
    for name, end in found.edges.items():
        message = N_(
            "The answer has the lowest {resource} that [sizing] lists: add lower ones, a cheaper station may be there."
        )
        if end == "highest":
            message = N_(
                "The answer has the highest {resource} that [sizing] lists: "
                "add higher ones, a cheaper station may be there."
            )
        lines.append(words.text(message, resource=words.text(RESOURCE_NAMES[name])))
    return lines


def station_line(scenario: Scenario, words: Words) -> str:
    """What stands there now, in a line."""
    equipment = scenario.equipment
    return words.text(
        "{id}: {packs} packs, {bays} bays, {chargers} chargers of {kw} kW, {kva} kVA, {lanes} lane(s)",
        id=scenario.id,
        packs=equipment.pack_total,
        bays=equipment.bay_count,
        chargers=equipment.charger_count,
        kw=f"{equipment.charger_kw:g}",
        kva=f"{equipment.transformer_kva:g}",
        lanes=equipment.lanes,
    )


def unstable_line(result: StudyResult, words: Words) -> str:
    """That more trucks come than the station can serve."""
    promise = result.scenario.promise
    return words.text(
        "Unstable: the queue grows by {growth} trucks a day, so waits have no mean. "
        "{share} of the trucks are served within {limit} min, wanted {target}.",
        growth=_plus_minus(result.queue_growth_per_day),
        share=share_text(result.share_within),
        limit=f"{promise.wait_limit_min:g}",
        target=_target(promise.target_share),
    )


def cause_line(result: StudyResult, words: Words) -> list[str]:
    """What trucks waited for most; no line where none waited."""
    shares = {name: share.mean for name, share in result.share_by_cause().items() if share.mean >= 0.005}
    if not shares:
        return []
    ranked = sorted(shares, key=lambda name: -shares[name])[:3]
    causes = "; ".join(f"{words.text(CAUSE_NAMES[name])} {_percent(shares[name])}" for name in ranked)
    return [words.text("Of the waiting: {causes}.", causes=causes)]


def _waits_line(result: StudyResult, words: Words) -> str:
    return words.text(
        "Wait: mean {mean}, P95 {p95} min; {swaps} swaps a day.",
        mean=_plus_minus(result.mean_wait_min),
        p95=_plus_minus(result.wait_quantile_min(0.95)),
        swaps=_plus_minus(result.mean("swaps_per_day")),
    )


def _made(
    result: StudyResult, words: Words, seed: int | None = None, *, one_span: bool = True
) -> list[tuple[str, str]]:
    """How the numbers were made; the weeks of a year have days of their own, which their table tells."""
    text = words.text
    try:
        own = version("swapstation")
    except PackageNotFoundError:
        own = "–"
    days = [
        (text("Days each, after the warm-up"), f"{result.days:g}"),
        (text("Warm-up, days"), f"{result.warmup_days:g}"),
        (text("First simulated day"), result.scenario.study.start_on.isoformat()),
    ]
    return [
        (text("Replications"), str(len(result.runs))),
        *(days if one_span else []),
        (text("Seed"), str(result.seed if seed is None else seed)),
        (text("Confidence of the intervals"), _percent(result.confidence)),
        (
            text("Intervals"),
            text("from independent replications by Student's t; quantiles by sectioning. ± is half the width"),
        ),
        (text("Versions"), f"swapstation {own}, NumPy {np.__version__}, Python {platform.python_version()}"),
    ]


def _target(share: float) -> str:
    """A wanted share, with all its digits."""
    return f"{100 * share:.8g}%"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace(".0%", "%")


def _plus_minus(found: Estimate) -> str:
    return f"{number(found.mean)} ± {number(found.half_width, 2)}"


def _script_json(value: Any) -> Markup:
    """JSON that may stand inside a script element; what is not finite becomes null."""
    written = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)
    return Markup(written.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
