"""The field tables of `docs/scenarios.md`, from the models themselves: `python -m sim.report.field_tables` prints them.

`python -m sim.report.field_tables network` prints those of `docs/networks.md`; `zh` beside it those of the Chinese
pages, whose meanings are the phrases that the report has for the fields (`assumptions`).
"""

from __future__ import annotations

import re
import sys

from pydantic import BaseModel

from scheduler.site import DrEventSection, StorageSection
from sim.network.file import NetworkSection
from sim.report.assumptions import FIELDS, NETWORK_FIELDS
from sim.report.words import Words, load_words
from sim.scenario.base import ScenarioSection
from sim.scenario.file import Scenario
from swap.config.field_tables import allowed, default, section_in, text

_HIDDEN = {"folder", "vehicle_ids"}
_CHINESE = {
    "Top of the file": "文件开头",
    "| Field | Default | Allowed | Meaning |": "| 字段 | 默认 | 允许 | 含义 |",
    "section": "部分",
    "as in the station file": "同站文件",
    "required": "必填",
    "none": "无",
    "see there": "见该部分",
    "text": "文本",
    "true or false": "true 或 false",
    "whole number": "整数",
    "number": "数",
}
"""What the tables say beside the meanings."""


def tables(root: type[BaseModel] = Scenario, words: Words | None = None) -> str:
    """A Markdown table for each section of the scenario file, or of another, in the order of the file.

    Args:
        words: of the language in which the fields' short phrases are given; None gives their English descriptions.
    """
    say = (lambda english: english) if words is None else (lambda english: _CHINESE[english])

    def said(english: str) -> str:
        return english if words is None else _CHINESE.get(english, english)

    parts = []
    seen: set[type[BaseModel]] = set()
    todo: list[tuple[str, type[BaseModel], bool]] = [("", root, False)]
    while todo:
        path, model, listed = todo.pop(0)
        if model in seen:
            continue
        seen.add(model)
        head = f"`[[{path}]]`" if listed else f"`[{path}]`" if path else say("Top of the file")
        lines = [f"### {head}", "", say("| Field | Default | Allowed | Meaning |"), "|---|---|---|---|"]
        for name, info in model.model_fields.items():
            if name in _HIDDEN:
                continue
            inner, is_list = section_in(info.annotation)
            where = f"{path}.{name}" if path else name
            meaning = text(info) if words is None else _phrase(model, name, words)
            if inner is not None and issubclass(inner, (ScenarioSection, StorageSection, DrEventSection)):
                todo.append((where, inner, is_list))
                link = f"{say('section')} `[[{where}]]`" if is_list else f"{say('section')} `[{where}]`"
                lines.append(f"| `{name}` | {said(default(info, section=True))} | {link} | {meaning} |")
            elif inner is not None:
                given = say("as in the station file")
                lines.append(f"| `{name}` | {said(default(info, section=True))} | {given} | {meaning} |")
            else:
                limits = allowed(info)
                if words is not None:
                    limits = _in_chinese(limits)
                lines.append(f"| `{name}` | {said(default(info))} | {said(limits)} | {meaning} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _phrase(model: type[BaseModel], name: str, words: Words) -> str:
    """The short phrase of a field; sections of their own have none, their tables follow."""
    phrase = (FIELDS | NETWORK_FIELDS).get(model.__name__, {}).get(name, "")
    return words.text(phrase).replace("|", "\\|")


def _in_chinese(limits: str) -> str:
    """Numbers of values, as a Chinese page says them."""
    least_or_most = {"from": "至少", "to": "至多"}
    of = {"values": "个值", "characters": "个字符"}
    return re.sub(
        r"(from|to) (\d+) (values|characters)",
        lambda found: f"{least_or_most[found[1]]} {found[2]} {of[found[3]]}",
        limits,
    )


if __name__ == "__main__":
    chosen = NetworkSection if "network" in sys.argv[1:] else Scenario
    print(tables(chosen, load_words("zh_CN") if "zh" in sys.argv[1:] else None))
