"""What a study or a search found, as plain values: the document of `--json`, and the report's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sim.sizing.answer import Sizing
from sim.sizing.board import UNITS, Board, board_of
from sim.sizing.trial import Trial
from sim.study.design import capital_parts, running_parts
from sim.study.stats import Estimate, estimate
from sim.study.study import StudyResult


def study_values(result: StudyResult) -> dict[str, Any]:
    """Every number of a study by name."""
    return {
        "scenario": result.scenario.id,
        "seed": result.seed,
        "days": result.days,
        "warmup_days": result.warmup_days,
        "replications": len(result.runs),
        "confidence": result.confidence,
        "notes": [str(note) for note in result.notes],
        "values": {name: interval(found) for name, found in result.estimates().items()},
        "unstable": result.unstable,
        "queue_growth_trucks_per_day": interval(result.queue_growth_per_day),
        "waiting": {
            "truck_hours_per_day_by_cause": {n: interval(found) for n, found in result.waiting_h_by_cause().items()},
            "share_by_cause": {name: interval(found) for name, found in result.share_by_cause().items()},
        },
        "kwh_per_day_by_period": {name: found.mean for name, found in by_period(result, "kwh_by_period").items()},
        "yuan_per_day_by_period": {name: found.mean for name, found in by_period(result, "yuan_by_period").items()},
        "storage_per_day_by_period": {
            period: dict(zip(("charged_kwh", "discharged_kwh", "saved_yuan"), (v.mean for v in values), strict=True))
            for period, values in storage_by_period(result).items()
        },
        "stored_kwh_by_hour": [found.mean for found in storage_by_hour(result)[0]],
        "storage_kw_by_hour": [found.mean for found in storage_by_hour(result)[1]],
        "ready_by_hour": [found.mean for found in by_hour(result, "ready_by_hour")],
        "waiting_by_hour": [found.mean for found in by_hour(result, "waiting_by_hour")],
        "site_kw_by_hour": [found.mean for found in by_hour(result, "site_kw_by_hour")],
    }


def size_values(table: Sequence[Trial], found: Sizing | None) -> dict[str, Any]:
    """Every number of a search by name: the table by packs and, unless only that was wanted, the search."""
    stock = next((trial for trial in table if trial.verdict), None)
    values: dict[str, Any] = {
        "smallest_stock": None if stock is None else stock.design.packs,
        "by_packs": [trial_values(trial) for trial in table],
    }
    if found is not None:
        values["search"] = {
            "seed": found.seed,
            "verdict": VERDICT_NAMES[found.verdict],
            "stopped": found.stopped,
            "answer": None if found.answer is None else trial_values(found.answer),
            "station": None if found.answer is None else station_values(found.answer),
            "money": None if found.answer is None else board_values(board_of(found.answer)),
            "best": None if found.best is None else trial_values(found.best),
            "years": [asdict(one) | {"off": one.off} for one in found.years],
            "edges": found.edges,
            "binding": found.binding,
            "prices": [
                {
                    "resource": price.resource,
                    "less": price.step,
                    "design": _design(price.trial),
                    "share_within_promise": interval(price.share),
                    "verdict": VERDICT_NAMES[price.trial.verdict],
                    "saved_yuan_per_year": price.saved_yuan,
                    "dearer_yuan_per_year": None if price.dearer is None else interval(price.dearer),
                    "in_grid": price.in_grid,
                }
                for price in found.prices
            ],
            "largest": None if found.largest is None else trial_values(found.largest),
            "gains": {name: interval(gain) for name, gain in found.gains.items()},
            "pareto_front": [trial_values(trial) for trial in found.front],
            "sensitivity": [
                {"change": text, "share_within_promise": share.mean, "p95_wait_min": p95.mean}
                for text, share, p95 in found.sensitivity
            ],
            "designs_in_grid": found.grid,
            "screened_out": found.screened,
            "simulated": len(found.trials),
            "days_simulated": found.days_simulated,
            "days_of_the_whole_grid": found.grid_days,
        }
    return values


VERDICT_NAMES = {True: "keeps", False: "breaks", None: "undecided"}


def trial_values(trial: Trial) -> dict[str, Any]:
    """One design and what its replications say, over the year and in each of its weeks."""
    result = trial.result()
    values = {
        "share_within_promise": trial.share,
        "mean_wait_min": result.mean_wait_min,
        "p95_wait_min": result.wait_quantile_min(0.95),
        "stockout_share": result.stockout_share,
        "import_kwh_per_day": result.mean("import_kwh_per_day"),
        "yuan_per_year": trial.cost,
    }
    return {
        "design": _design(trial),
        "keeps_promise": trial.verdict,
        "verdict": VERDICT_NAMES[trial.verdict],
        "whole_year": trial.complete,
        "replications": min(len(trial.by_span[at]) for at in trial.simulated),
        "capital_yuan_per_year": trial.capital_yuan,
        "yuan_per_year_by_part": {name: part.mean for name, part in cost_parts(trial).items()},
        "values": {name: interval(value) for name, value in values.items()},
        "weeks": [
            {
                "from": trial.spans[at].from_on.isoformat(),
                "until": trial.spans[at].until_on.isoformat(),
                "year_of_life": trial.spans[at].year,
                "days_of_the_year": trial.spans[at].weight * 365,
                "replications": len(trial.by_span[at]),
                "share_within_promise": interval(trial.share_in(at)),
            }
            for at in trial.simulated
        ],
    }


def _design(trial: Trial) -> dict[str, Any]:
    return asdict(trial.design) | {"bays": trial.design.bays}


def board_values(board: Board) -> dict[str, Any]:
    """The money of a design by name; null is undefined."""
    return {
        "investment_yuan": board.investment_yuan,
        "subsidy_yuan": board.subsidy_yuan,
        "paid_yuan_per_year": interval(board.yearly_yuan),
        "per_year": {name: maybe_interval(board.yearly[name]) for name in UNITS},
        "yuan_per": {name: maybe_interval(board.per[name]) for name in UNITS},
        "years": board.years,
        "discount": board.discount,
        "revenue_yuan_first_year": maybe_interval(board.revenue_yuan),
        "cash_flows_yuan": None if board.flows is None else list(board.flows),
        "net_present_value_yuan": maybe_interval(board.present_value_yuan),
        "irr": board.irr[0] if board.irr is not None and len(board.irr) == 1 else None,
        "rates_of_return": None if board.irr is None else list(board.irr),
        "payback_years": board.payback_years,
        "discounted_payback_years": board.discounted_payback_years,
    }


def maybe_interval(value: Estimate | None) -> dict[str, float] | None:
    """The same of what may be undefined."""
    return None if value is None else interval(value)


def station_values(trial: Trial) -> dict[str, Any]:
    """Every decision that makes the station of a design."""
    scenario, equipment = trial.scenario, trial.scenario.equipment
    return {
        "packs": dict(equipment.packs),
        "bays": equipment.bay_count,
        "spare_bays": trial.design.spare_bays,
        "chargers": equipment.charger_count,
        "charger_kw": equipment.charger_kw,
        "transformer_kva": equipment.transformer_kva,
        "lanes": equipment.lanes,
        "storage_kwh": scenario.storage.energy_kwh,
        "storage_kw": scenario.storage.power_kw,
        "person_hours_a_week": scenario.staff.person_hours_a_week if scenario.staff.shifts else None,
    }


def cost_parts(trial: Trial) -> dict[str, Estimate]:
    """Yearly cost of a design by part, yuan; parts of the equipment are certain."""
    scenario, confidence = trial.scenario, trial.scenario.promise.confidence
    parts = {name: Estimate(yuan, 0.0, 2, confidence) for name, yuan in capital_parts(scenario, trial.design).items()}
    running = running_parts(scenario, trial.by_span[trial.simulated[0]][0])
    return parts | {
        name: trial.over_the_year(lambda run, name=name: running_parts(scenario, run)[name])  # type: ignore[misc]
        for name in running
    }


def by_period(result: StudyResult, name: str) -> dict[str, Estimate]:
    """`kwh_by_period` or `yuan_by_period`, a day."""
    runs = result.runs
    return {
        period: estimate([getattr(run, name)[period] for run in runs], result.confidence)
        for period in getattr(runs[0], name)
    }


def by_hour(result: StudyResult, name: str) -> list[Estimate]:
    """`ready_by_hour`, `waiting_by_hour` or `site_kw_by_hour`."""
    return [estimate([getattr(run, name)[hour] for run in result.runs], result.confidence) for hour in range(24)]


def storage_by_period(result: StudyResult) -> dict[str, tuple[Estimate, Estimate, Estimate]]:
    """Charged and discharged kWh and yuan saved a day, by tariff period."""
    runs, confidence = [run.storage for run in result.runs], result.confidence
    return {
        period: (
            estimate([run.in_kwh_by_period[period] for run in runs], confidence),
            estimate([run.out_kwh_by_period[period] for run in runs], confidence),
            estimate([run.saved_yuan_by_period[period] for run in runs], confidence),
        )
        for period in runs[0].in_kwh_by_period
    }


def storage_by_hour(result: StudyResult) -> tuple[list[Estimate], list[Estimate]]:
    """Energy stored at the end of each local hour, kWh, and charge less discharge in it, kW."""
    runs, confidence = [run.storage for run in result.runs], result.confidence
    return (
        [estimate([run.kwh_by_hour[hour] for run in runs], confidence) for hour in range(24)],
        [estimate([run.kw_by_hour[hour] for run in runs], confidence) for hour in range(24)],
    )


def interval(found: Estimate) -> dict[str, float]:
    """A mean and both ends of its interval."""
    return {"mean": found.mean, "low": found.low, "high": found.high}
