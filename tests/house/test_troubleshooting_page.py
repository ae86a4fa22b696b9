"""The troubleshooting page has every fault of the catalogue, under what people see of it, in both languages."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from deploy.troubleshooting import PAGES, page, symptoms
from robotics.faults import load_faults


def test_every_fault_belongs_to_one_symptom() -> None:
    listed = Counter(name for item in symptoms() for name in item["faults"])
    assert {fault.name for fault in load_faults().values()} == set(listed)
    assert {name for name, count in listed.items() if count > 1} == set()


def test_both_languages_say_the_same_steps() -> None:
    for item in symptoms():
        assert len(item["steps_en"]) == len(item["steps_zh"]) >= 2
        for name in ("", "look_"):
            assert re.search(r"[\u4e00-\u9fff]", item[f"{name}zh"])
            assert not re.search(r"[\u4e00-\u9fff]", item[f"{name}en"])


@pytest.mark.parametrize("language", PAGES)
def test_the_pages_are_as_they_are_made(language: str) -> None:
    made = page(language)
    assert PAGES[language].read_text(encoding="utf-8") == made, "run: python deploy/troubleshooting.py --pages"
