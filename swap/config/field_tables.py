"""What a field of a section looks like on a page: default and allowed values, in either language."""

from __future__ import annotations

import types
import typing
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

Language = Literal["en", "zh"]

_WORDS: dict[str, dict[Language, str]] = {
    "required": {"en": "required", "zh": "必填"},
    "none": {"en": "none", "zh": "无"},
    "see there": {"en": "see there", "zh": "见该节"},
    "from": {"en": "from {} values", "zh": "至少 {} 项"},
    "to": {"en": "to {} values", "zh": "至多 {} 项"},
    "from_text": {"en": "from {} characters", "zh": "至少 {} 个字符"},
    "to_text": {"en": "to {} characters", "zh": "至多 {} 个字符"},
    "bool": {"en": "true or false", "zh": "true 或 false"},
    "str": {"en": "text", "zh": "文本"},
    "int": {"en": "whole number", "zh": "整数"},
    "float": {"en": "number", "zh": "数值"},
}


def section_in(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The section that a field holds, and whether it is a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for argument in typing.get_args(annotation):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument, typing.get_origin(annotation) is tuple
    return None, False


def default(info: FieldInfo, *, section: bool = False, language: Language = "en") -> str:
    """What holds where the file says nothing."""
    if info.is_required():
        return _WORDS["required"][language]
    if section:
        return _WORDS["none" if info.default in (None, ()) else "see there"][language]
    value = info.get_default(call_default_factory=True) if info.default is PydanticUndefined else info.default
    if isinstance(value, tuple) and len(value) > 3 and len(set(value)) == 1:
        return f"{len(value)} × {value[0]:g}"
    if isinstance(value, tuple) and value and all(isinstance(item, str) for item in value):
        return ", ".join(f"`{item}`" for item in value)
    return _WORDS["none"][language] if value is None or value in ((), {}) else f"`{value}`"


def allowed(info: FieldInfo, language: Language = "en") -> str:
    """Choices or range, else the kind of value."""
    signs = {"ge": "≥ ", "gt": "> ", "le": "≤ ", "lt": "< "}
    found = []
    for item in _metadata(info):
        for name in (*signs, "min_length", "max_length"):
            if (value := getattr(item, name, None)) is not None:
                if name in signs:
                    found.append(f"{signs[name]}{_bound(value)}")
                else:
                    end = "from" if name == "min_length" else "to"
                    of_text = info.annotation is str or str in typing.get_args(info.annotation)
                    found.append(_WORDS[f"{end}_text" if of_text else end][language].format(value))
    choices = [a for a in _options(info.annotation) if isinstance(a, str)]
    return ", ".join(choices or found) or _kind(info.annotation, language)


def _bound(value: Any) -> str:
    """The end of a range, written out."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1e6 else f"{value:g}"


def text(info: FieldInfo) -> str:
    """Description of a field of a model that keeps it."""
    return cell(info.description or "")


def cell(meaning: str) -> str:
    """A text in one cell of a table."""
    return " ".join(meaning.split()).replace("|", "\\|")


def _options(annotation: Any) -> tuple[Any, ...]:
    """Values of a literal, also of one that may be left out."""
    arguments = typing.get_args(annotation)
    inner = [a for argument in arguments if typing.get_origin(argument) is Literal for a in typing.get_args(argument)]
    return (*arguments, *inner)


def _metadata(info: FieldInfo) -> list[Any]:
    found = list(info.metadata)
    for argument in typing.get_args(info.annotation):
        if argument is not types.NoneType:
            for item in getattr(argument, "__metadata__", ()):
                found += getattr(item, "metadata", [item])
    return found


def _kind(annotation: Any, language: Language) -> str:
    names = {bool: "bool", str: "str", int: "int", float: "float"}
    return next((_WORDS[name][language] for kind, name in names.items() if annotation is kind), "")
