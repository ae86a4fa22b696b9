"""What speaks against a station's prices: a period table not in force, deep-valley days that nobody has named."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from api.words import Language
from scheduler.config import TariffSection
from scheduler.tariff import Doubt, Tariff
from scheduler.tariff_files import load_tariff
from swap.commerce.bills.quotes import shown_prices
from swap.config.prices import StationPrices
from swap.config.station_file import StationConfig

AHEAD = timedelta(days=31)
"""How long before a table ends, and a year begins, people are told."""


@lru_cache(maxsize=4)
def _tariff(section: str, zone: str, folder: Path | None) -> Tariff:
    return load_tariff(TariffSection.model_validate_json(section), ZoneInfo(zone), folder)


def price_line(config: StationConfig, at: datetime, language: Language) -> str:
    """What a kWh costs now, electricity and service apart (明码标价), and until when.

    Raises:
        TariffError: the period table is missing or not valid.
    """
    station, site = config.station, config.site
    tariff = _tariff(config.tariff.model_dump_json(), station.timezone, config.folder)
    now = StationPrices(0, station.operator, station.zone, tariff, config.billing, site.charger_efficiency)
    shown = shown_prices(station.id, now, at).prices[0]
    text, yuan = language.text, shown.electricity_yuan_per_kwh
    electricity = text("by the pack's charging") if yuan is None else f"{yuan:f}"
    return text(
        "electricity {electricity} ({period}, until {time}), service {service} yuan/kWh",
        electricity=electricity,
        period=language.word("period", shown.tariff_period),
        time=language.time_of_day(shown.until_at)[:5],
        service=f"{shown.service_yuan_per_kwh:f}",
    )


def tariff_notes(config: StationConfig, at: datetime, language: Language) -> tuple[str, ...]:
    """One sentence for each thing that makes prices doubtful, now or within a month.

    Raises:
        TariffError: the period table is missing or not valid.
    """
    tariff = _tariff(config.tariff.model_dump_json(), config.station.timezone, config.folder)
    profile, text = tariff.profile, language.text
    notes = []
    for instant in (at, at + AHEAD):
        if tariff.doubt_at(instant) is Doubt.OUTSIDE_VALIDITY:
            notes.append(
                text(
                    "The period table {table} is in force from {first} until {last}, not on {day}: bills of that time "
                    "are flagged. Name the table that follows it under [tariff] in the station file.",
                    table=profile.name,
                    first=profile.valid_from or "…",
                    last=profile.valid_until or "…",
                    day=instant.astimezone(tariff.zone).date(),
                )
            )
            break
    local = [instant.astimezone(tariff.zone).year for instant in (at, at + AHEAD)]
    notes += [
        text(
            "Nobody has named the deep-valley days of {year}: bills of those hours are flagged. Give the days under "
            "[tariff] holidays in the station file.",
            year=year,
        )
        for year in tariff.years_unknown(sorted(set(local)))
    ]
    return tuple(notes)
