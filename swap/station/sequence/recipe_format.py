"""The format number of recipe files, and what to change in a file of format 1.

Format 1 had no number. It wrote permissives and confirmations as one list with prefixes (`!` for a fact that must not
hold, `@` for a group) and `on_fault` as a list of actions, the first for the first failure and so on.
"""

from __future__ import annotations

import json
import re
import tomllib
from itertools import takewhile
from typing import Any

FORMAT = 2
"""The one format that is read."""
_OLD = re.compile(r"^\s*(permissives|confirm|on_fault)\s*=\s*\[")


def format_problem(text: str, file: dict[str, Any]) -> str | None:
    """Why a file is not of the format that is read, with each line to change; None where it is.

    Args:
        text: the file as written.
        file: the same, parsed.
    """
    given = file.get("format", 1)
    if given == FORMAT:
        return None
    if given != 1:
        return f"format = {given!r}: this program reads format = {FORMAT}; use the program the file was written for"
    changes = [f"add as its first line: format = {FORMAT}"] if "format" not in file else [f"format = {FORMAT}"]
    for number, line in enumerate(text.splitlines(), 1):
        if _OLD.match(line):
            changes.append(f"line {number}: {line.strip()}  →  {_rewritten(line)}")
    return f"format 1, this program reads format = {FORMAT}; change:\n  " + "\n  ".join(changes)


def _rewritten(line: str) -> str:
    try:
        ((name, value),) = tomllib.loads(line).items()
    except tomllib.TOMLDecodeError:
        return "write it on one line to be told how, or see docs/recipes.md"
    names = [str(item) for item in value]
    if name == "on_fault":
        again = len(list(takewhile(lambda action: action == "retry", names)))
        then = next((action for action in names if action != "retry"), "person")
        return f'on_fault = {{ {f"retry = {again}, " if again else ""}then = "{then}" }}'
    lists = {
        "groups": [item[1:] for item in names if item.startswith("@")],
        "require": [item for item in names if item[:1] not in ("@", "!")],
        "forbid": [item[1:] for item in names if item.startswith("!")],
    }
    parts = [f"{key} = {json.dumps(items)}" for key, items in lists.items() if items]
    return f"{name} = {{ {', '.join(parts)} }}" if parts else f"{name} = {{}}"
