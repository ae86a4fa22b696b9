"""Make `docs/safety.md` and `docs/safety.zh-CN.md` from `docs/safety.toml` and what a cell's layout leaves open.

`python deploy/safety.py --pages` writes them; without it the English page is printed.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs" / "safety.toml"
LIMITS = ROOT / "robotics" / "link_limits.toml"
PAGES = {"en": ROOT / "docs" / "safety.md", "zh": ROOT / "docs" / "safety.zh-CN.md"}


def read() -> Mapping[str, Any]:
    """The hazards as written down."""
    return tomllib.loads(SOURCE.read_text(encoding="utf-8"))


def page(language: str) -> str:
    """The page of a language."""
    return "\n".join(_lines(language, read(), tomllib.loads(LIMITS.read_text(encoding="utf-8")))) + "\n"


def _lines(language: str, data: Mapping[str, Any], limits: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    words, hazards = data["words"][language], data["hazards"]
    yield f"# {words['title']}\n"
    yield "<!-- made by `python deploy/safety.py --pages` from docs/safety.toml -->\n"
    yield f"{words['intro']} {words['other']}\n"
    yield f"## {words['hazards']}\n"
    yield words["hazard_head"]
    yield "|---|---|---|---|---|---|"
    for item in hazards:
        acts = [item[language], item[f"plc_{language}"], item[f"station_{language}"]]
        yield f"| {item['id']} | {' | '.join(acts)} | {len(item['invariants'])} | {len(item['tests'])} |"
    counted = {
        "hazards": len(hazards),
        "invariants": len({text for item in hazards for text in item["invariants"]}),
        "tests": len({test for item in hazards for test in item["tests"]}),
    }
    yield f"\n{words['total'].format(**counted)}\n"
    yield f"## {words['shown']}\n"
    yield f"{words['shown_intro']}\n"
    yield words["shown_head"]
    yield "|---|---|---|---|"
    for item in hazards:
        tests = _listed([_test(name) for name in item["tests"]], words)
        clauses = _listed(item["clauses"], words)
        yield f"| {item['id']} | {_listed(item['invariants'], words)} | {tests} | {clauses} |"
    yield f"\n## {words['race']}\n"
    yield f"{words['race_text']}\n"
    yield words["race_head"]
    yield "|---|---|"
    for name, texts in limits.items():
        yield f"| `{name}` | {texts[language]} |"
    yield f"\n## {words['clauses']}\n"
    yield f"{words['clauses_intro']}\n"
    yield words["clauses_head"]
    yield "|---|---|---|"
    for clause in data["clauses"]:
        yield f"| {clause['id']} | {clause[language]} | {words.get(clause['mark'], clause['mark'])} |"
    yield f"\n## {words['outside']}\n"
    for item in data["outside"]:
        yield f"- {item[language]}"


def _listed(items: Sequence[str], words: Mapping[str, str]) -> str:
    return "<br>".join(items) or words["none"]


def _test(name: str) -> str:
    path, _, function = name.partition("::")
    return f"`{Path(path).name}::{function}`"


if __name__ == "__main__":
    if "--pages" in sys.argv[1:]:
        for code, path in PAGES.items():
            path.write_text(page(code), encoding="utf-8")
    else:
        print(page("en"))
