"""Nothing in the product is there for nobody: what no product code names is gone, or argued here."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from deploy.house import PACKAGES, ROOT

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
