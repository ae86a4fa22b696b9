"""The handshake of layout swap_cell_v2 as a model, walked by spin: no error with all of it, one with any part left out.

The model is `model/swap_cell_v2.pml`; `make prove` walks it with three faults in a run, from any numbers, and prints
the counts.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import pytest

from tests.support.tools import require_tool

pytestmark = [pytest.mark.slow, pytest.mark.tool, pytest.mark.timeout(1800)]

MODEL = Path(__file__).parent / "model" / "swap_cell_v2.pml"
ALL = os.environ.get("PROVE") == "all"
DEPTH = 2_000_000
MEMORY_MB = 8000


class Property(IntEnum):
    """Properties by their number in the model."""

    ONE_MOTION = 1
    OWN_LIFE = 2
    PERSON = 3
    RESULT_KEPT = 4
    TRUE_RECORD = 5
    NO_STALE_RELEASE = 6
    NO_STALE_HOLD = 7
    PAUSE_PERSON = 8
    OWNER_GIVES_UP = 9
    OWN_ANSWER = 10
    HEARD = 11
    RESULT_WAITS = 12


LEFT_OUT = [
    ("NO_EPOCH", Property.PERSON),
    ("NO_EPOCH", Property.NO_STALE_HOLD),
    ("NO_EPOCH", Property.OWNER_GIVES_UP),
    ("NO_WINDOW", Property.ONE_MOTION),
    ("NO_HOLD_SEQ", Property.NO_STALE_RELEASE),
    ("NO_DONE_RESULT", Property.RESULT_KEPT),
    ("NO_DONE_RESULT", Property.TRUE_RECORD),
    ("NO_TRIP_EPOCH", Property.PAUSE_PERSON),
    ("ACK_LEVEL", Property.RESULT_WAITS),
    ("TOKEN_REUSE", Property.OWN_LIFE),
    ("STALE_CONFIRM", Property.PERSON),
]
"""What is left out of the cell or of the station, and a property that then breaks within two faults."""
STARTS = [(record, cell) for record in (1, 4, 8) for cell in (0, 3, 4, 7, 8)] if ALL else [(8, 4)]
"""Numbers used last, by the record and by the cell, on a circle of eight."""


@dataclass(frozen=True, slots=True)
class Walked:
    """What spin says at the end."""

    states: int
    errors: int
    said: str


def walk(folder: Path, *switches: str, faults: int = 2, ends: bool = True) -> Walked:
    """Walk every state of the model; stops at the first error. `ends` looks for dead ends as well."""
    spin, compiler = require_tool("spin"), require_tool("cc")
    (folder / MODEL.name).write_text(MODEL.read_text(encoding="utf-8"), encoding="utf-8")
    defines = [f"-D{switch}" for switch in (f"FAULTS={faults}", *switches)]
    deep = ["-O2", "-DCOLLAPSE"] if faults > 2 else ["-O0"]
    options = [f"-m{DEPTH}", *([] if ends else ["-E"])]
    for command in (
        [str(spin), "-a", *defines, MODEL.name],
        [str(compiler), *deep, "-w", "-DSAFETY", f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c"],
        ["./pan", *options],
    ):
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert said.returncode == 0, f"{command}: {said.stdout[-2000:]} {said.stderr[-2000:]}"
    text = said.stdout
    assert "max search depth too small" not in text
    assert "out of memory" not in text.lower()
    errors = re.search(r"errors: (\d+)", text)
    states = re.search(r"(\d+) states, stored", text)
    assert errors is not None, text
    assert states is not None, text
    return Walked(int(states[1]), int(errors[1]), text)


@pytest.mark.parametrize("world", ["RETENTIVE", "NOT_RETENTIVE", "NOT_RETENTIVE NEW_RECORD"])
def test_nothing_that_comes_late_breaks_a_fenced_cell(
    tmp_path: Path, world: str, proved: Callable[[str], None]
) -> None:
    faults = 3 if ALL else 2
    walked = walk(tmp_path, *world.split(), faults=faults)
    proved(f"model swap_cell_v2, {world.lower()}, {faults} faults: {walked.states:,} states, {walked.errors} errors")
    assert walked.errors == 0, walked.said
    assert walked.states > 300_000


@pytest.mark.parametrize(("left_out", "broken"), LEFT_OUT, ids=lambda value: getattr(value, "name", value))
def test_each_part_left_out_breaks_its_property(
    tmp_path: Path, left_out: str, broken: Property, proved: Callable[[str], None]
) -> None:
    walked = walk(tmp_path, left_out, f"ONLY={broken.value}", ends=False)
    assert walked.errors == 1, walked.said
    assert f"assertion violated (bad!={broken.value})" in walked.said
    proved(f"model swap_cell_v2 with {left_out}: {broken.name} breaks after {walked.states:,} states")


def test_a_number_that_was_taken_over_and_not_kept_breaks_it(tmp_path: Path, proved: Callable[[str], None]) -> None:
    """Three faults: two commits lost, and between them the power of a cell that keeps nothing."""
    only = f"ONLY={Property.RESULT_WAITS.value}"
    walked = walk(tmp_path, "NUMBER_NOT_KEPT", "NOT_RETENTIVE", only, faults=3, ends=False)
    assert f"assertion violated (bad!={Property.RESULT_WAITS.value})" in walked.said
    proved(f"model swap_cell_v2 with NUMBER_NOT_KEPT: RESULT_WAITS breaks after {walked.states:,} states")


def test_the_model_reaches_its_end(tmp_path: Path) -> None:
    walked = walk(tmp_path, "REACHED", "COMMANDS=3", faults=0)
    assert walked.errors == 1
    assert re.search(r"assertion violated +!\(", walked.said)


@pytest.mark.parametrize(("record", "cell"), STARTS)
def test_from_any_numbers_of_record_and_cell(
    tmp_path: Path, record: int, cell: int, proved: Callable[[str], None]
) -> None:
    walked = walk(tmp_path, f"DB_START={record}", f"CELL_START={cell}")
    proved(f"model swap_cell_v2 from number {record} of the record and {cell} of the cell: {walked.states:,} states")
    assert walked.errors == 0, walked.said
