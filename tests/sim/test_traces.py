"""The study does what it did: each case of `tests.support.sim.traces` against its frozen trace."""

from __future__ import annotations

import platform

import pytest

from tests.support.sim.traces import CASES, SEEDS, path_of

EXACT = platform.machine() == "x86_64" and platform.system() == "Linux"
"""Where the traces were made. Elsewhere exp and log differ in the last bit, and only the rows in clear are compared."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", CASES)
def test_the_engine_repeats_its_frozen_trace(case: str, seed: int) -> None:
    frozen = path_of(case, seed).read_text(encoding="utf-8").splitlines()
    now = CASES[case](seed).text().splitlines()
    if EXACT:
        assert now == frozen
        return
    for line, was in zip(now, frozen, strict=True):
        if not was.startswith(("day", "trucks", "hours")):
            assert [_number(word) for word in line.split()] == [_number(word) for word in was.split()]


def _number(word: str) -> object:
    try:
        return pytest.approx(float(word), rel=1e-9, abs=1e-6)
    except ValueError:
        return word
