"""Make `docs/troubleshooting.md` and its Chinese page from `docs/troubleshooting.toml` and the fault catalogue.

`python deploy/troubleshooting.py --pages` writes them; without it the English page is printed.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robotics.faults import Fault, fault_by_name

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs" / "troubleshooting.toml"
PAGES = {"en": ROOT / "docs" / "troubleshooting.md", "zh": ROOT / "docs" / "troubleshooting.zh-CN.md"}


def _read() -> dict[str, Any]:
    return tomllib.loads(SOURCE.read_text(encoding="utf-8"))


def symptoms() -> list[dict[str, Any]]:
    """What people see, in the order of the page."""
    found: list[dict[str, Any]] = _read()["symptoms"]
    return found


def page(language: str) -> str:
    """The page of a language."""
    return "\n".join(_lines(language)) + "\n"


def _lines(language: str) -> Iterator[str]:
    words = _read()["words"][language]
    yield f"# {words['title']}\n"
    yield "<!-- made by `python deploy/troubleshooting.py --pages` from docs/troubleshooting.toml -->\n"
    yield f"{words['intro']} {words['other']}"
    for item in symptoms():
        yield f"\n## {item[language]}\n"
        yield f"{words['look']} {item[f'look_{language}']}\n"
        for number, step in enumerate(item[f"steps_{language}"], start=1):
            yield f"{number}. {step}"
        yield f"\n{words['head']}"
        yield "|---|---|---|---|---|"
        for name in item["faults"]:
            yield _row(fault_by_name(name), language)


def _row(fault: Fault, language: str) -> str:
    texts = (getattr(fault, field) for field in (language, f"cause_{language}", f"action_{language}"))
    cells = " | ".join(text.replace("|", "\\|") for text in texts)
    return f"| {fault.code} `{fault.name}` | {fault.level}{' ⚠' if fault.safety_trip else ''} | {cells} |"


if __name__ == "__main__":
    if "--pages" in sys.argv[1:]:
        for code, path in PAGES.items():
            path.write_text(page(code), encoding="utf-8")
    else:
        print(page("en"))
