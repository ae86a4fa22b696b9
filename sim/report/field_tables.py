"""The field tables of `docs/scenarios.md`, from the models themselves: `python -m sim.report.field_tables` prints them.

`python -m sim.report.field_tables network` prints those of `docs/networks.md`.
"""

from __future__ import annotations

import sys
import types
import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sim.network.file import NetworkSection
from sim.scenario.base import ScenarioSection
from sim.scenario.file import Scenario

_HIDDEN = {"folder", "vehicle_ids"}


def tables(root: type[BaseModel] = Scenario) -> str:
    """A Markdown table for each section of the scenario file, or of another, in the order of the file."""
    parts = []
    seen: set[type[BaseModel]] = set()
    todo: list[tuple[str, type[BaseModel], bool]] = [("", root, False)]
    while todo:
        path, model, listed = todo.pop(0)
        if model in seen:
            continue
        seen.add(model)
        head = f"`[[{path}]]`" if listed else f"`[{path}]`" if path else "Top of the file"
        lines = [f"### {head}", "", "| Field | Default | Allowed | Meaning |", "|---|---|---|---|"]
        for name, info in model.model_fields.items():
            if name in _HIDDEN:
                continue
            inner, is_list = _section_in(info.annotation)
            where = f"{path}.{name}" if path else name
            if inner is not None and issubclass(inner, ScenarioSection):
                todo.append((where, inner, is_list))
                link = f"section `[[{where}]]`" if is_list else f"section `[{where}]`"
                lines.append(f"| `{name}` | {_default(info, section=True)} | {link} | {_text(info)} |")
            elif inner is not None:
                lines.append(f"| `{name}` | {_default(info, section=True)} | as in the station file | {_text(info)} |")
            else:
                lines.append(f"| `{name}` | {_default(info)} | {_allowed(info)} | {_text(info)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _section_in(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for argument in typing.get_args(annotation):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument, typing.get_origin(annotation) is tuple
    return None, False


def _default(info: FieldInfo, *, section: bool = False) -> str:
    if info.is_required():
        return "required"
    if section:
        return "none" if info.default in (None, ()) else "see there"
    value = info.get_default(call_default_factory=True) if info.default is PydanticUndefined else info.default
    if isinstance(value, tuple) and len(value) > 3 and len(set(value)) == 1:
        return f"{len(value)} × {value[0]:g}"
    return "none" if value is None or value in ((), {}) else f"`{value}`"


def _allowed(info: FieldInfo) -> str:
    signs = {"ge": "≥ ", "gt": "> ", "le": "≤ ", "lt": "< ", "min_length": "from ", "max_length": "to "}
    found = []
    for item in _metadata(info):
        for name, sign in signs.items():
            if (value := getattr(item, name, None)) is not None:
                found.append(f"{sign}{value:g}" + (" values" if name.endswith("length") else ""))
    choices = [a for a in typing.get_args(info.annotation) if isinstance(a, str)]
    return ", ".join(choices or found) or _kind(info.annotation)


def _metadata(info: FieldInfo) -> list[Any]:
    found = list(info.metadata)
    for argument in typing.get_args(info.annotation):
        if argument is not types.NoneType:
            for item in getattr(argument, "__metadata__", ()):
                found += getattr(item, "metadata", [item])
    return found


def _kind(annotation: Any) -> str:
    names = {bool: "true or false", str: "text", int: "whole number", float: "number"}
    return next((text for kind, text in names.items() if annotation is kind), "")


def _text(info: FieldInfo) -> str:
    return " ".join((info.description or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    print(tables(NetworkSection if "network" in sys.argv[1:] else Scenario))
