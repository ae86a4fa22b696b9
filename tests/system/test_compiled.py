"""The compiled form: the same numbers as the source to the last bit, and the same tests pass on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.compiled import CompileError, _digest, build, has_compiler
from tests.support.tools import skip_or_fail

pytestmark = [pytest.mark.tool, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
TESTED = (
    "tests/scheduler",
    "tests/sim/test_demand.py",
    "tests/sim/test_study_engine.py",
    "tests/sim/test_study_theory.py",
    "tests/sim/test_staff.py",
    "tests/sim/test_swap_truck.py",
)
STUDIES = {
    **{
        f"{path.parent.name}/{path.stem}": ("simulate", str(path), "--days", "2", "-n", "2")
        for path in sorted((ROOT / "examples").glob("*/*.toml"))
        if path.name in ("scenario.toml", "storage.toml")
    },
    "network": ("network", str(ROOT / "examples/network/network.toml"), "--days", "2", "-n", "2"),
}
WHERE = """
import importlib, json, runpy, setuptools
from importlib.machinery import EXTENSION_SUFFIXES
setuptools.setup = lambda **named: None
names = [path[:-3].replace("/", ".") for path in runpy.run_path("setup.py")["COMPILED"]]
found = {name: importlib.import_module(name).__file__ for name in names}
print(json.dumps([sorted(found), sorted(n for n, f in found.items() if f.endswith(EXTENSION_SUFFIXES[0]))]))
"""


def compiled() -> Path:
    """The interpreter that has the compiled form; built by whichever test comes first."""
    if not has_compiler():
        skip_or_fail("no C compiler or no Python headers (Debian: apt-get install gcc python3-dev)")
    try:
        return build()
    except CompileError as error:
        pytest.fail(str(error), pytrace=False)


def run(python: Path | str, *arguments: str) -> str:
    # -P keeps the working folder, and with it the source, off the path.
    done = subprocess.run(
        [str(python), "-P", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_every_module_that_setup_names_is_compiled() -> None:
    named, extensions = json.loads(run(compiled(), "-c", WHERE))
    assert len(named) > 10
    assert extensions == named


def test_catalogues_that_another_babel_made_are_no_reason_to_build_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set-up and build make the same `.mo` with a Babel of their own each."""
    monkeypatch.setattr("deploy.compiled.ROOT", tmp_path)
    for name in ("setup.py", "pyproject.toml", "constraints.txt", "api/words.po", "api/words.mo"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("as it was", encoding="utf-8")
    before = _digest("1")
    (tmp_path / "api" / "words.mo").write_text("another", encoding="utf-8")
    assert _digest("1") == before
    (tmp_path / "api" / "words.po").write_text("another", encoding="utf-8")
    assert _digest("1") != before


def test_the_package_speaks_both_languages() -> None:
    found = run(compiled(), "-c", "import api, sim; print(api.__path__[0]); print(sim.__path__[0])").split()
    catalogues = sorted(path.name for folder in found for path in Path(folder).rglob("*.mo"))
    assert str(ROOT / "api") not in found
    assert catalogues == ["console.mo", "console.mo", "report.mo", "report.mo"]


@pytest.mark.parametrize("name", STUDIES)
def test_same_numbers_to_the_last_bit(name: str) -> None:
    arguments = ("-m", "api.cli", *STUDIES[name], "--processes", "1", "--json")
    theirs, ours = run(compiled(), *arguments), run(sys.executable, *arguments)
    assert json.loads(ours)["replications"] == 2
    assert theirs == ours


def test_the_tests_of_the_engine_and_of_the_decisions_pass_on_it() -> None:
    shown = run(compiled(), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTED)
    assert " passed" in shown
    assert "failed" not in shown
    assert "skipped" not in shown
