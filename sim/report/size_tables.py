"""The report's tables of a search: the station, its year, what each resource is worth, and the designs."""

from __future__ import annotations

from collections.abc import Sequence

from sim.report.money_tables import money_tables
from sim.report.results import cost_parts, station_values
from sim.report.tables import Cell, Share, Table
from sim.report.words import CHANGES, PART_NAMES, RESOURCE_NAMES, STATION_ROWS, VERDICTS, Words
from sim.scenario.file import Scenario
from sim.sizing.answer import Sizing
from sim.sizing.board import board_of
from sim.sizing.trial import Trial
from sim.study.design import YEAR_DAYS, design_of
from sim.study.stats import estimate, quantile_estimate


def size_tables(by_packs: Sequence[Trial], found: Sizing | None, words: Words) -> list[Table]:
    """The designs of a search: by packs, the station, its weeks, prices, front, cost, rivals, all simulated."""
    text = words.text
    title = text("The station as it stands, with other numbers of packs, {week}", week=words.week(by_packs[0].spans[0]))
    tables = [_designs("by_packs", title, by_packs, words)]
    if found is None:
        return tables
    if found.answer is not None:
        money = money_tables(board_of(found.answer), words)
        tables = [_station(found.scenario, found.answer, words), _weeks(found.answer, words), *money, *tables]
    if found.years:
        tables.append(_years(found, words))
    if found.prices:
        tables.append(_prices(found, words))
    if found.front:
        tables.append(
            _designs("front", text("Cost against wait: no simulated design is better in both"), found.front, words)
        )
        tables.append(_costs(found, words))
    if found.gains:
        gains = sorted(found.gains.items(), key=lambda item: -item[1].mean)
        rows = tuple((text(RESOURCE_NAMES[name]), Share(gain)) for name, gain in gains)
        heads = (text("One step more of"), text("Gain in the share within the promise"))
        tables.append(Table("gains", text("What would help the largest design"), heads, rows))
    if found.rivals:
        rivals = tuple((words.design(design), extra) for design, extra in found.rivals)
        heads = (text("Design"), text("Dearer than the answer, yuan a year"))
        tables.append(Table("rivals", text("Other designs that keep the promise"), heads, rivals))
    if found.sensitivity:
        changes = tuple((text(CHANGES[change]), Share(share), p95) for change, share, p95 in found.sensitivity)
        columns = (text("Change"), text("Within the promise"), text("P95 wait, min"))
        title = text("The answer under other circumstances, {week}", week=words.week(found.spans[found.asked[0]]))
        tables.append(Table("sensitivity", title, columns, changes))
    simulated = sorted(found.trials.values(), key=lambda trial: trial.design)
    tables.append(_designs("simulated", text("Every design that was simulated"), simulated, words))
    return tables


def _station(scenario: Scenario, answer: Trial, words: Words) -> Table:
    """Every decision that makes the sized station, beside the station as it stands."""
    text = words.text
    now, sized = (station_values(trial) for trial in (_as_it_stands(scenario), answer))
    rows: list[tuple[Cell, ...]] = [
        (text("Packs {kind}", kind=kind), now["packs"].get(kind, 0), count, "")
        for kind, count in sized["packs"].items()
    ]
    for name, heading, unit in STATION_ROWS:
        if now[name] or sized[name]:
            rows.append((text(heading), now[name], sized[name], words.unit(unit)))
    heads = (text("Quantity"), text("As it stands"), text("Answer"), text("Unit"))
    return Table("station", text("The station"), heads, tuple(rows))


def _as_it_stands(scenario: Scenario) -> Trial:
    return Trial(design_of(scenario), scenario, 0.0, ())


def _weeks(trial: Trial, words: Words) -> Table:
    """The weeks of the year and how the station does in each."""
    text = words.text
    rows = []
    for at in trial.simulated:
        span, runs = trial.spans[at], trial.by_span[at]
        confidence = trial.scenario.promise.confidence
        rows.append(
            (
                f"{span.from_on} – {span.until_on}" + (text(", year {year}", year=span.year) if span.year else ""),
                span.weight * YEAR_DAYS,
                estimate([run.arrived / run.days for run in runs], confidence),
                Share(trial.share_in(at)),
                quantile_estimate([run.waits_min for run in runs], 0.95, confidence),
                estimate([run.means["energy_yuan_per_day"] for run in runs], confidence),
                len(runs),
            )
        )
    heads = (
        text("Week"),
        text("Days of the year it stands for"),
        text("Trucks a day"),
        text("Within the promise"),
        text("P95 wait, min"),
        text("Energy, yuan a day"),
        text("Replications"),
    )
    return Table("weeks", text("The answer over the year, with fresh seeds"), heads, tuple(rows))


def _years(found: Sizing, words: Words) -> Table:
    """The years of the station's life, one by one."""
    text = words.text
    rows = tuple(
        (
            one.year,
            Share(one.growth),
            one.soh_pct,
            Share(one.share),
            Share(one.hardest_share),
            one.yuan,
            one.reckoned_yuan,
        )
        for one in found.years
    )
    heads = (
        text("Year"),
        text("Trucks relative to the scenario"),
        text("State of health of the packs, %"),
        text("Within the promise"),
        text("In the hardest week"),
        text("Cost simulated, yuan"),
        text("Cost reckoned from the mean year, yuan"),
    )
    return Table("years", text("The answer in each year of its life, one replication of each week"), heads, rows)


def _prices(found: Sizing, words: Words) -> Table:
    """What each resource is worth to the answer."""
    text = words.text
    rows = tuple(
        (
            words.less(price.resource, price.step),
            Share(price.share),
            text(VERDICTS[price.trial.verdict]),
            price.saved_yuan,
            price.dearer,
            "" if price.in_grid else text("not in [sizing]"),
        )
        for price in found.prices
    )
    heads = (
        text("The answer with"),
        text("Within the promise, hardest week"),
        text("Promise"),
        text("Equipment and pay saved, yuan a year"),
        text("Dearer than the answer, yuan a year"),
        "",
    )
    return Table("prices", text("What one step less of each resource costs"), heads, rows)


def _costs(found: Sizing, words: Words) -> Table:
    text = words.text
    shown = cost_trials(found)
    costs = [cost_parts(trial) for trial in shown]
    used = [name for name in PART_NAMES if any(parts[name].mean for parts in costs)]
    return Table(
        "cost",
        text("Cost a year by part, yuan"),
        (text("Design"), *(f"{text(PART_NAMES[name])}, {words.unit('yuan')}" for name in used), text("Sum")),
        tuple(
            (words.design(trial.design), *(parts[name] for name in used), trial.cost)
            for trial, parts in zip(shown, costs, strict=True)
        ),
    )


def _designs(table_id: str, title: str, trials: Sequence[Trial], words: Words) -> Table:
    text = words.text
    resources = ["packs", "bays", "chargers", "transformer_kva", "lanes"]
    if any(trial.design.storage_kwh for trial in trials):
        resources.append("storage_kwh")
    heads = (
        *(text(RESOURCE_NAMES[name]) for name in resources),
        text("Replications"),
        text("Within the promise"),
        text("In the hardest week"),
        text("Mean wait, min"),
        text("P95 wait, min"),
        text("No pack ready"),
        text("kWh a day"),
        text("yuan a year"),
        text("Promise"),
    )
    rows = []
    for trial in trials:
        result, design, whole = trial.result(), trial.design, trial.complete
        rows.append(
            (
                *(getattr(design, name) for name in resources),
                len(trial.runs),
                # One that broke the promise in its hardest week has no year.
                Share(trial.share) if whole else None,
                Share(trial.hardest[1]),
                result.mean_wait_min,
                result.wait_quantile_min(0.95),
                Share(result.stockout_share),
                result.mean("import_kwh_per_day"),
                trial.cost if whole else None,
                text(VERDICTS[trial.verdict]) if trial.asked else text("not asked"),
            )
        )
    return Table(table_id, title, heads, tuple(rows))


def cost_trials(found: Sizing, most: int = 8) -> list[Trial]:
    """Designs whose cost is shown by part: the answer and some of the front."""
    shown = [] if found.answer is None else [found.answer]
    shown += [trial for trial in found.front if all(trial.design != other.design for other in shown)]
    return shown[:most]
