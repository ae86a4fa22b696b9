"""The report's table and chart of the stationary storage."""

from __future__ import annotations

from typing import Any

from sim.report.results import storage_by_hour, storage_by_period
from sim.report.words import Words
from sim.study.stats import Estimate
from sim.study.study import StudyResult
from swap.words import PERIOD_NAMES


def has_storage(result: StudyResult) -> bool:
    """Whether the station has stationary storage."""
    return result.scenario.storage.energy_kwh > 0


def storage_rows(
    result: StudyResult, words: Words
) -> tuple[str, tuple[str, ...], tuple[tuple[str | Estimate, ...], ...]]:
    """Title, heads and rows of the table by period."""
    text = words.text
    heads = (text("Period"), text("Charged, kWh a day"), text("Discharged, kWh a day"), text("Saved, yuan a day"))
    rows = tuple(
        (text(PERIOD_NAMES[period]), *values)
        for period, values in storage_by_period(result).items()
        if any(value.mean for value in values)
    )
    return text("Stationary storage by tariff period"), heads, rows


def storage_series(result: StudyResult, words: Words) -> tuple[str, list[Any], str, list[float]]:
    """Name and values of the energy stored, name and values of the power, by local hour."""
    stored, power = storage_by_hour(result)
    return words.text("Stored, kWh"), stored, words.text("Charge (+) or discharge (−), kW"), [v.mean for v in power]
