"""The page of the model: its generated parts are as the code gives them, and the edges come out as they must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.edges import Case, cases, outcome
from sim.report.model_page import PAGES, blocks, made
from sim.report.words import load_words
from sim.study.study import StudyResult, simulate_once


@pytest.mark.parametrize("language", PAGES)
def test_the_page_says_what_the_code_does(language: str) -> None:
    page = PAGES[language].read_text(encoding="utf-8")
    assert made(page, language) == page, "run: python -m sim.report.model_page"
    assert set(re.findall(r"<!-- made: (\w+) -->", page)) == {*blocks(load_words(language)), "edges"}


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return {case.name: case for case in cases(tmp_path_factory.mktemp("edges"))}


@pytest.mark.parametrize("language", PAGES)
def test_the_table_of_edges_has_every_case(language: str, edges: dict[str, Case]) -> None:
    block = PAGES[language].read_text(encoding="utf-8").split("<!-- made: edges -->")[1].split("<!-- end -->")[0]
    assert block.count("\n| ") == len(edges) + 1
    assert "nan" not in block


def test_every_edge_comes_out_as_it_must(edges: dict[str, Case]) -> None:
    """Two replications of two days: enough for what must be so on the same trucks."""
    quick = [name for name in edges if name not in ("promise 99.99 %", "-36 °C in the packs")]
    results = {}
    for name in quick:
        made_of = edges[name].scenario
        runs = tuple(simulate_once(made_of, 1, n, days=2) for n in range(2))
        results[name] = StudyResult(made_of, 1, 2.0, 1.0, runs)
    wrong = {name for name in quick if edges[name].must != "served" and not outcome(edges[name], results)}
    assert wrong == set()
    assert all(results[name].share_within.mean > 0.9 for name in quick if edges[name].must == "served")


def test_pages_name_each_other() -> None:
    for name, path in PAGES.items():
        other = PAGES["zh" if name == "en" else "en"]
        links = re.findall(r"\]\(([\w./-]+\.md)\)", path.read_text(encoding="utf-8"))
        assert other.name in links
        assert [link for link in links if not (Path(path).parent / link).exists()] == []
