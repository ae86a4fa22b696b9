"""Nothing in the product is there for nobody: what no product code names is gone, or argued here."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from deploy.house import PACKAGES, ROOT
from robotics.faults import load_faults
from robotics.port import AckCode

ARGUED = {
    "parse_code": "what a pack's code says by GB/T 34014, before packs are registered by it",
    "erase_person": "a person's right, for the one who administers the register",
    "shown_actor": "how records name a person",
}
"""Public names that nothing in the product uses, and why they stay."""
CALLED_BY_A_FRAMEWORK = re.compile(r"command|callback|router|app\.|listens_for|validator|hybrid")


def sources() -> list[Path]:
    return [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py")) if "versions" not in path.parts]


def test_every_public_name_is_used_in_the_product() -> None:
    texts = {path: path.read_text("utf-8") for path in sources()}
    assert len(texts) > 200, "the rooms were not found"
    used = Counter(word for text in texts.values() for word in re.findall(r"\w+", text))
    defined, unused = set[str](), set[str]()
    for text in texts.values():
        for node in ast.parse(text).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            defined.add(node.name)
            framework = any(CALLED_BY_A_FRAMEWORK.search(ast.unparse(mark)) for mark in node.decorator_list)
            if used[node.name] == 1 and not framework:
                unused.add(node.name)
    assert unused - set(ARGUED) == set()
    assert set(ARGUED) - defined == set(), "argued, and gone"


SENT_BY_A_CELL = range(1000, 3000), range(6000, 7000)
"""Codes that a cell may send of itself: the maps list them, and it may send others of these ranges."""
REFUSED = "command_"
"""Faults named after how a cell refuses a command."""


def test_every_fault_of_the_catalogue_is_raised_by_somebody() -> None:
    words = {word for path in sources() for word in re.findall(r"\w+", path.read_text("utf-8"))}
    refusals = {f"{REFUSED}{code.name.lower()}" for code in AckCode}
    silent = {
        fault.name
        for fault in load_faults().values()
        if not any(fault.code in codes for codes in SENT_BY_A_CELL) and fault.name not in words | refusals
    }
    assert silent == set(), "the troubleshooting page tells people of what never comes"
