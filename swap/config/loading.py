"""Read a station file: all errors are reported at once, each with field, value and what is allowed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from scheduler.sections import did_you_mean
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
    config = parse_fields(data, source=source, folder=folder)
    problems = cross_check(config)
    if problems:
        raise ConfigError(source, problems)
    return config


def parse_fields(data: dict[str, Any], *, source: str, folder: Path | None) -> StationConfig:
    """The content of a station file, its fields checked one by one and not yet against each other.

    Raises:
        ConfigError: with every field problem.
    """
    if "folder" in data:
        raise ConfigError(source, ["folder: is no known field: remove it"])
    try:
        config = StationConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(source, field_problems(error, StationConfig, data)) from error
    return config.model_copy(update={"folder": folder})


def field_problems(error: ValidationError, root: type[BaseModel], data: Mapping[str, Any]) -> list[str]:
    """One line for each field that is wrong: where, its value, what is allowed or what it means where it is missing,
    and for a word without meaning the one that is nearest. A row of a list is named by its id where it has one.

    Args:
        root: the model of the whole file.
        data: the content of the file.
    """
    problems = []
    for item in error.errors(include_url=False):
        loc = item["loc"]
        where = ".".join(_names(loc, data)) or "file"
        value = item["input"]
        shown = f" = {value!r}" if not isinstance(value, dict | list | tuple) and item["type"] != "missing" else ""
        message = item["msg"]
        if item["type"] == "missing":
            message = f"must be given{_meaning_at(root, loc)}"
        elif item["type"] == "extra_forbidden":
            near = did_you_mean(str(loc[-1]), _fields_at(root, loc[:-1]))
            message = f"is no known field: remove it or mend its spelling{near}"
        elif item["type"] == "literal_error" and isinstance(value, str):
            message += did_you_mean(value, [word.strip("'") for word in _QUOTED.findall(item["msg"])])
        problems.append(f"{where}{shown}: {message}")
    return problems


_QUOTED = re.compile(r"'[^']*'")


def _names(loc: tuple[int | str, ...], data: Any) -> list[str]:
    """The parts of a place in the file; of a row that has an id its id, since nobody counts rows from 0."""
    names = []
    for part in loc:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
        name = data.get("id") if isinstance(part, int) and isinstance(data, dict) else None
        names.append(name if isinstance(name, str) and name else str(part))
    return names


def _meaning_at(root: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """What a field says of itself, as the page of the file's fields has it; nothing where it says nothing."""
    section = _section_at(root, loc[:-1])
    info = None if section is None else section.model_fields.get(str(loc[-1]))
    return "" if info is None or not info.description else f": {info.description.splitlines()[0]}"


def _fields_at(root: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[str, ...]:
    """Names of the fields of the section at a place in the file; none where that is no section."""
    section = _section_at(root, loc)
    return () if section is None else tuple(section.model_fields)


def _section_at(root: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = root
    for part in loc:
        if isinstance(part, str):
            info = model.model_fields.get(part) if model is not None else None
            model = _section_in(info.annotation) if info is not None else None
    return model


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part)) is not None), None)
