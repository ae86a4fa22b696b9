"""Read period tables (`scheduler/tariffs/*.toml`, or one beside the station file) and make a station's tariff.

The one module of this room that reads files.
"""

from __future__ import annotations

import tomllib
from datetime import tzinfo
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from scheduler.config import TariffSection
from scheduler.tariff import Tariff, TariffProfile

_SHIPPED = Path(__file__).with_name("tariffs")


class TariffError(Exception):
    """The tariff table is missing or not valid; the message names the file, the field and what is allowed."""


@cache
def profile_path(name: str, folder: Path | None = None) -> Path:
    """Where a period table lies: shipped by name, or a TOML file relative to `folder`; it need not be there."""
    return (folder or Path()) / name if name.endswith(".toml") else _SHIPPED / f"{name}.toml"


def load_profile(name: str, folder: Path | None = None) -> TariffProfile:
    """A shipped period table by name, or the TOML file at a path relative to `folder`.

    Raises:
        TariffError: no such table, no TOML, or not valid; every problem is named.
    """
    path = profile_path(name, folder)
    try:
        return TariffProfile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        shipped = ", ".join(sorted(p.stem for p in _SHIPPED.glob("*.toml")))
        raise TariffError(
            f"tariff.profile = {name!r}: no such table; shipped: {shipped}; or give the path of a .toml file"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise TariffError(f"{path.name}: is no valid TOML: {error}") from error
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(p) for p in item['loc']) or 'file'}: {item['msg']}"
            for item in error.errors(include_url=False)
        ]
        raise TariffError(f"{path.name}: " + "; ".join(problems)) from error


def tariff_of(section: TariffSection, profile: TariffProfile, zone: tzinfo) -> Tariff:
    """The tariff of a section and the period table that it names."""
    months = {
        (int(month[:4]), int(month[5:])): (price.energy_price_yuan_per_kwh, price.adders_yuan_per_kwh)
        for month, price in section.months.items()
    }
    return Tariff(
        profile, zone, section.energy_price_yuan_per_kwh, section.adders_yuan_per_kwh, months, section.holidays
    )


def load_tariff(section: TariffSection, zone: tzinfo, folder: Path | None = None) -> Tariff:
    """The tariff of a station file; `folder` is where a relative profile path starts.

    Raises:
        TariffError: the profile is missing or not valid.
    """
    return tariff_of(section, load_profile(section.profile, folder), zone)
