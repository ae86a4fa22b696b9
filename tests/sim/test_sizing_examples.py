"""Every example in its smallest form: size, write, read back, simulate: the promised service within the intervals.

The whole form, over the weeks of a year and all of `[sizing]`, is `python -m benchmarks sizing_written`.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from sim.scenario.load import load_scenario
from sim.sizing.answer import find_size
from sim.sizing.search import Effort
from sim.sizing.toml_text import with_value
from sim.sizing.written import write_sized
from sim.study.design import RESOURCES, design_of
from sim.study.parallel import Workers
from sim.study.study import run_study
from tests.support.sim.study import EXAMPLES

SCENARIOS = sorted(path for path in EXAMPLES.glob("*/*.toml") if path.name not in ("station.toml", "network.toml"))
EFFORT = Effort(days=1.5, warmup_days=0.5, first=3, step=3, most=6)


@pytest.mark.slow
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_sized_and_written_serves_what_was_promised(path: Path, tmp_path: Path) -> None:
    source = tmp_path / path.parent.name / path.name
    shutil.copytree(path.parent, source.parent)
    text, listed = source.read_text(encoding="utf-8"), load_scenario(source).sizing
    now = design_of(load_scenario(source))
    for name in RESOURCES:
        levels = getattr(listed, name)
        if levels:
            # The largest, and beside the number of packs that there are.
            few = sorted({now.packs, max(levels)}) if name == "packs" else [max(levels)]
            text = with_value(text, ("sizing", name), few)
    # Two days and a half tell no 95 % from 93 %.
    text = with_value(text, ("promise", "target_share"), 0.8)
    source.write_text(text, encoding="utf-8")
    read, alone = load_scenario(source), Workers(None, 1)
    found = find_size(read, alone, EFFORT, seed=7, sensitivity=False)
    assert found.answer is not None, found.trials
    written = write_sized(source, found.answer, tmp_path / "sized")
    sized = load_scenario(written[0])
    assert design_of(sized) == found.answer.design
    again = run_study(sized, alone, days=EFFORT.days, warmup_days=EFFORT.warmup_days, replications=6, seed=4711)
    promised, served = found.answer.hardest[1], again.share_within
    assert abs(promised.mean - served.mean) <= math.hypot(promised.half_width, served.half_width)
    assert served.high >= read.promise.target_share
