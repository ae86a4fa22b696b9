"""Read a station file: all errors are reported at once, each with field, value and what is allowed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from swap.config.checks import cross_check
from swap.config.station_file import StationConfig


class ConfigError(Exception):
    """The station file is not valid. `problems` holds one line for each: field, value, allowed range, what to do."""

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(f"{source}: {len(self.problems)} problem(s)\n" + "\n".join(f"  - {p}" for p in self.problems))


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a file that a person writes.

    Raises:
        ConfigError: it is missing, not UTF-8 or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [f"is not UTF-8 from byte {error.start} on: save it as UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), [f"is no valid TOML: {error}"]) from error


def load_station(path: Path) -> StationConfig:
    """Read and check a station file.

    Raises:
        ConfigError: the file is missing, no TOML, or not valid; every problem is listed.
    """
    return parse_station(read_toml(path), source=str(path), folder=path.parent)


def parse_station(data: dict[str, Any], *, source: str = "station file", folder: Path | None = None) -> StationConfig:
    """Check the content of a station file; `folder` is where relative paths start.

    Raises:
        ConfigError: with every field problem and, where the fields allow it, every cross-check problem.
    """
    if "folder" in data:
        raise ConfigError(source, ["folder: is no known field: remove it"])
    try:
        config = StationConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(source, _field_problems(error)) from error
    problems = cross_check(config, folder or Path())
    if problems:
        raise ConfigError(source, problems)
    return config.model_copy(update={"folder": folder})


def _field_problems(error: ValidationError) -> list[str]:
    problems = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"]) or "file"
        value = item["input"]
        shown = f" = {value!r}" if not isinstance(value, dict | list | tuple) and item["type"] != "missing" else ""
        message = (
            "is no known field: remove it or mend its spelling" if item["type"] == "extra_forbidden" else item["msg"]
        )
        problems.append(f"{where}{shown}: {message}")
    return problems
