"""The pages about the station file, from the models themselves: `python -m swap.config.station_page` writes
`docs/station-file.md` and `docs/station-file.zh-CN.md`.

English meanings are the docstrings of the models; the Chinese ones, and what stands above the tables, are in
`station_page.toml`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import tomllib
import typing
from functools import cache
from pathlib import Path

from pydantic import BaseModel

from robotics.modbus_link.page import write_pages
from swap.config.field_tables import Language, allowed, cell, default, section_in
from swap.config.station_file import StationConfig

PAGES: dict[Language, str] = {"en": "station-file.md", "zh": "station-file.zh-CN.md"}
_TEXT = Path(__file__).with_name("station_page.toml")
_HIDDEN = {"folder"}
_UNITS = (
    ("_yuan_per_kwh", "yuan/kWh", "元/kWh"),
    ("_yuan_per_kw", "yuan/kW", "元/kW"),
    ("_ohm_per_v", "Ω/V", "Ω/V"),
    ("_kwh", "kWh", "kWh"),
    ("_kva", "kVA", "kVA"),
    ("_kw", "kW", "kW"),
    ("_pct", "%", "%"),
    ("_min", "min", "min"),
    ("_s", "s", "s"),
    ("_h", "h", "h"),
    ("_c", "°C", "°C"),
    ("_v", "V", "V"),
)
_HEAD: dict[Language, str] = {
    "en": "| Field | Unit | Default | Allowed | Meaning |\n|---|---|---|---|---|",
    "zh": "| 字段 | 单位 | 默认值 | 允许值 | 含义 |\n|---|---|---|---|---|",
}
_SECTION: dict[Language, str] = {"en": "section `{}`", "zh": "`{}` 节"}
_TOP: dict[Language, str] = {"en": "Top of the file", "zh": "文件开头"}


def render(language: Language) -> str:
    """The page in one language.

    Raises:
        KeyError: a section or field has no meaning in that language.
    """
    parts = [_words()["intro"][language]]
    seen: set[type[BaseModel]] = set()
    todo: list[tuple[str, type[BaseModel], bool]] = [("", StationConfig, False)]
    while todo:
        path, model, listed = todo.pop(0)
        if model in seen:
            continue
        seen.add(model)
        head = f"`[[{path}]]`" if listed else f"`[{path}]`" if path else _TOP[language]
        lines = [f"## {head}", "", _meaning(model, "_", language), "", _HEAD[language]]
        for name, info in model.model_fields.items():
            if name in _HIDDEN:
                continue
            inner, many = section_in(info.annotation)
            may = allowed(info, language)
            if inner is not None:
                where = f"{path}.{name}" if path else name
                if typing.get_origin(info.annotation) is dict:
                    where += ".KEY"
                todo.append((where, inner, many))
                may = _SECTION[language].format(f"[[{where}]]" if many else f"[{where}]")
            cells = (
                f"`{name}`",
                _unit(name, language),
                default(info, section=inner is not None, language=language),
                may,
                cell(_meaning(model, name, language)),
            )
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _unit(name: str, language: Language) -> str:
    for suffix, en, zh in _UNITS:
        if name.endswith(suffix):
            return zh if language == "zh" else en
    return ""


def _meaning(model: type[BaseModel], name: str, language: Language) -> str:
    """What a field means, `_` for the section itself."""
    if name != "_":
        model = next(owner for owner in model.__mro__ if name in owner.__annotations__)
    if language == "zh":
        return _words()[model.__name__][name]
    return (inspect.getdoc(model) or "") if name == "_" else _docstrings(model)[name]


@cache
def _words() -> dict[str, dict[str, str]]:
    return tomllib.loads(_TEXT.read_text(encoding="utf-8"))


@cache
def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Texts under the fields of a class. Read when the page is made: keeping them would cost every start."""
    found: dict[str, str] = {}
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(tree, ast.ClassDef)
    for field, after in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            found[field.target.id] = after.value.value
    return found


if __name__ == "__main__":
    write_pages(PAGES, render, Path(__file__).parents[2] / "docs")
