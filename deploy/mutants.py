"""Mutants: one small change at a time in code that must not be wrong, and whether a test notices it.

    python -m deploy.mutants                          # all of them, into tests/prove/mutants.json
    python -m deploy.mutants --only pricing,recovery  # some modules; the others keep their last result
    python -m deploy.mutants --list

A mutant runs in a process of its own, forked where the tests are already collected: the test that noticed it last
time first, then those that run the changed statement, the fastest first; no other test can notice it. Each verdict is
a line of `var/mutants.jsonl` at once. A mutant is tried again where its module or the test that noticed it has
changed since, and where it has survived; so a run that was broken off goes on after the last verdict. `--fresh`
tries all again. What survives is argued in `tests/prove/mutants_equivalent.toml`, by the text of the change.
`make mutants` runs this; it is no part of the checks.
"""

from __future__ import annotations

import argparse
import ast
import gc
import hashlib
import importlib.abc
import importlib.metadata
import importlib.util
import inspect
import json
import os
import resource
import select
import sys
import tempfile
import threading
import time
import tomllib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, NamedTuple

from deploy.mutate import Mutant, mutants

ROOT = Path(__file__).resolve().parent.parent
RESULT, ARGUED = ROOT / "tests/prove/mutants.json", ROOT / "tests/prove/mutants_equivalent.toml"
VERDICTS = ROOT / "var/mutants.jsonl"
LEAST_SHARE = 0.95
WORKERS = 2
SHARED = frozenset({"bench", "sqlite_url", "database_url", "tmp_path_factory"})
"""Fixtures of all tests that tests of pure functions do without."""
LATE_CPU_S = 60
"""Processor seconds after which a mutant is taken for one that never ends; not real ones: a busy machine kills none."""
SURVIVED = ""
"""The verdict on a mutant that no test notices; else the test that does."""


class Examined(NamedTuple):
    """A module and the unit tests that may notice a change in it."""

    module: str
    tests: tuple[str, ...]
    """Files; its own first."""
    pure: bool = False
    """Without tests that need what all tests share."""


def _tests(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/swap/test_{name}.py" for name in names)


def _sequence(name: str, own: str = "") -> Examined:
    files = _tests(
        "permissives", "recovery", "secured", "fitted", "released", "sequencer", "sequencer_faults",
        "sequencer_decisions", "seats", "incoming", "evacuation",
    )  # fmt: skip
    first = _tests(own or name)
    return Examined(f"swap.station.sequence.{name}", tuple(dict.fromkeys((*first, *files))), pure=True)


def _bills(name: str, *files: str, pure: bool = True) -> Examined:
    return Examined(f"swap.commerce.bills.{name}", _tests(*files), pure=pure)


MODULES: dict[str, Examined] = {
    "recovery": _sequence("recovery"),
    "permissives": _sequence("permissives"),
    "secured": _sequence("secured"),
    "sequencer": _sequence("sequencer"),
    "row_facts": _sequence("row_facts", own="sequencer"),
    "turns": _sequence("turns", own="sequencer_faults"),
    "decided": _sequence("decided", own="sequencer_decisions"),
    "reconcile": Examined("swap.station.reconcile", _tests("reconcile")),
    "money": _bills("money", "bill_rules", "billing", "ledger"),
    "quantity": _bills("quantity", "bill_rules", "billing"),
    "pricing": _bills("pricing", "bill_rules", "billing"),
    "issuing": _bills(
        "issuing", "billing", "bill_corrections", "contract_bills", "commerce_runner", "standing", pure=False
    ),
}

_LOADED = (
    "pytest", "hypothesis", "anyio.pytest_plugin", "pytest_timeout", "_pytest.assertion.rewrite",
    "robotics.plc_robot", "battery_bms.modbus_rack", "scheduler.charging", "scheduler.tariff_files",
    "swap.config.seed", "swap.register.persons", "swap.reading", "swap.store",
)  # fmt: skip
"""What all mutants share; nothing of it may import a module that is examined."""


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module from a text."""

    def __init__(self, module: str, text: str) -> None:
        self.module, self.text = module, text

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        return importlib.util.spec_from_loader(name, self) if name == self.module else None

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(ROOT / (self.module.replace(".", "/") + ".py"))
        exec(compile(self.text, module.__file__, "exec"), module.__dict__)


def _pytest(examined: Examined, files: Iterable[str], *plugins: object) -> int:
    import hypothesis
    import pytest

    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, suppress_health_check=slow)
    hypothesis.settings.load_profile("mutants")
    options = ["-q", "-x", "-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
    options += ["--tb=native", "--assert=plain", "-m", "not postgres", *(["--noconftest"] if examined.pure else [])]
    return pytest.main([*options, *files], plugins=[*plugins, *([_Pure()] if examined.pure else [])])


class _Pure:
    """Leaves out tests that need what all tests share."""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if SHARED.isdisjoint(item.fixturenames)]


class _First:
    """Keeps the first test that fails."""

    failed = SURVIVED

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def _imported_anew(examined: Examined, text: str) -> str:
    """Try a mutant where nothing has imported its module yet."""
    sys.meta_path.insert(0, _Finder(examined.module, text))
    first = _First()
    for file in examined.tests:
        if _pytest(examined, [file], first) != 0:
            return first.failed or file
    return SURVIVED


def _functions(code: CodeType) -> Iterator[CodeType]:
    """Functions of a module and of its classes, not what is inside of them."""
    for part in code.co_consts:
        if isinstance(part, CodeType):
            if part.co_flags & inspect.CO_OPTIMIZED:
                yield part
            else:
                yield from _functions(part)


def _around(code: CodeType) -> tuple[object, ...]:
    """What runs when the module is imported."""
    parts: list[object] = []
    for part in code.co_consts:
        if not isinstance(part, CodeType):
            parts.append((type(part), part))
        elif not part.co_flags & inspect.CO_OPTIMIZED:
            parts.append(_around(part))
    return code.co_code, code.co_names, tuple(parts)


def _held_functions(module: ModuleType) -> list[Any]:
    """What a module and its classes hold that may be a function."""
    holders = [vars(module), *(vars(one) for one in vars(module).values() if inspect.isclass(one))]
    return [one for holder in holders for one in holder.values()]


def _remember_nothing(module: ModuleType) -> None:
    for held in _held_functions(module):
        if hasattr(held, "cache_clear"):
            held.cache_clear()


def _put_in_place(module: ModuleType, code: CodeType) -> None:
    """Give the functions of a module that others have imported the code of a mutant."""
    new = {part.co_qualname: part for part in _functions(code)}
    for held in _held_functions(module):
        function = inspect.unwrap(getattr(held, "fget", held)) if callable(held) or hasattr(held, "fget") else None
        if isinstance(function, FunctionType) and function.__module__ == module.__name__:
            function.__code__ = new.get(function.__qualname__, function.__code__)
    _remember_nothing(module)


class _Run(NamedTuple):
    """What one test does where nothing is changed."""

    test: str
    took_s: float
    lines: list[int]
    """Of the examined module, that it runs."""


def _run(session: Any, items: Sequence[Any]) -> Iterator[str]:
    """Run tests; each that has been run, until one fails."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        yield item.nodeid
        if session.testsfailed:
            return


def _measured(session: Any, module: ModuleType) -> list[_Run]:
    """Run every test, and see which lines of a module it runs."""
    assert module.__file__ is not None
    file, lines = module.__file__, set[int]()

    def enter(frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename != file:
            return None

        def look(frame: FrameType, event: str, arg: object) -> Any:
            lines.add(frame.f_lineno)
            return look

        return look

    sys.settrace(enter)
    threading.settrace(enter)
    runs = []
    _remember_nothing(module)
    began_s = time.process_time()
    for test in _run(session, session.items):
        runs.append(_Run(test, time.process_time() - began_s, sorted(lines)))
        lines.clear()
        _remember_nothing(module)
        began_s = time.process_time()
    return runs


class _Loop:
    """Instead of the loop over tests: one process for each mutant, over the tests that are collected already."""

    def __init__(
        self,
        examined: Examined,
        codes: Mapping[str, tuple[CodeType, range | None]],
        last: Mapping[str, str],
        measured: Path,
        say: Callable[[str, str], None],
    ) -> None:
        self.examined, self.codes, self.last, self.measured, self.say = examined, codes, last, measured, say

    def pytest_runtestloop(self, session: Any) -> bool:
        module = sys.modules[self.examined.module]
        gc.freeze()  # or the first collection in each process copies everything

        def plain(what: str) -> str:
            runs = _measured(session, module)
            return json.dumps(None if session.testsfailed else sorted(runs, key=lambda run: run.took_s))

        if not self.measured.exists():
            ((_, told),) = _side_by_side([""], plain)
            if told in (DIED, "null"):
                return True
            self.measured.write_text(told, encoding="utf-8")
        runs = [_Run(*run) for run in json.loads(self.measured.read_text(encoding="utf-8"))]
        items = {item.nodeid: item for item in session.items}
        self.say("", SURVIVED)

        def child(what: str) -> str:
            code, lines = self.codes[what]
            before = [self.last[what]] if self.last.get(what) in items else []
            reached = [run.test for run in runs if lines is None or not set(lines).isdisjoint(run.lines)]
            _put_in_place(module, code)
            tests = list(_run(session, [items[test] for test in dict.fromkeys([*before, *reached])]))
            return tests[-1] if session.testsfailed else SURVIVED

        for what, by in _side_by_side(self.codes, child):
            self.say(what, by)
        return True


DIED = "died, or did not end"


def _side_by_side(whats: Iterable[str], child: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """Run a function on each, in processes forked here, some at a time; what it returned, as soon as that is known.

    One that never ends has only so much processor time, and is noticed by that; so is one that dies.
    """
    waiting = deque(whats)
    running: dict[int, tuple[int, str, list[bytes]]] = {}  # where it tells → its number, what, what it has told
    while waiting or running:
        while waiting and len(running) < WORKERS:
            what = waiting.popleft()
            near, far = os.pipe()
            number = os.fork()
            if number == 0:
                code = 1
                try:
                    os.close(near)
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                    os.dup2(1, 2)
                    if what:
                        resource.setrlimit(resource.RLIMIT_CPU, (LATE_CPU_S, LATE_CPU_S))
                    told = child(what).encode()
                    with os.fdopen(far, "wb") as out:
                        out.write(told)
                    code = 0
                finally:
                    os._exit(code)
            os.close(far)
            running[near] = (number, what, [])
        for near in select.select(list(running), [], [])[0]:
            number, what, parts = running[near]
            part = os.read(near, 1 << 16)
            parts.append(part)
            if not part:
                os.close(near)
                del running[near]
                code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
                yield what, b"".join(parts).decode() if code == 0 else DIED


def tried(
    examined: Examined, source: str, given: Mapping[str, Mutant], last: Mapping[str, str], measured: Path
) -> Iterator[tuple[str, str]]:
    """Try mutants; each with the test that noticed it, as soon as that is known.

    A change inside of a function is put in place in a process that has collected the tests; one that acts when its
    module is imported needs a process that has imported nothing of it.

    Args:
        last: what noticed a mutant the last time.
        measured: file of what each test takes and runs; written where there is none.
    """
    plain = compile(ast.unparse(ast.parse(source)), examined.module, "exec")
    compiled = {what: compile(mutant.text, examined.module, "exec") for what, mutant in given.items()}
    inside = {what: (code, given[what].lines) for what, code in compiled.items() if _around(code) == _around(plain)}
    near, far = os.pipe()
    server = os.fork()
    if server == 0:
        os.close(near)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:

            def say(what: str, by: str) -> None:
                os.write(far, (json.dumps([what, by]) + "\n").encode())

            _pytest(examined, examined.tests, _Loop(examined, inside, last, measured, say))
        finally:
            os._exit(0)
    os.close(far)
    sound = False
    with os.fdopen(near, encoding="utf-8") as lines:
        for what, by in map(json.loads, lines):
            if what:
                yield what, by
            else:
                sound = True
    os.waitpid(server, 0)
    if not sound:
        raise SystemExit(f"the code as it is fails or cannot be tested: pytest {' '.join(examined.tests)}")
    outside = [what for what in given if what not in inside]
    yield from _side_by_side(outside, lambda what: _imported_anew(examined, given[what].text))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _test_texts(file: str) -> Mapping[str, str]:
    """Test functions of a file by their names, with what is written above them; the whole file without one."""
    path = ROOT / file
    source = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = source.splitlines()
    tests = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    began = {node.name: min(part.lineno for part in (node, *node.decorator_list)) for node in tests}
    return {"": source} | {node.name: "\n".join(lines[began[node.name] - 1 : node.end_lineno]) for node in tests}


def _test_sha256(test: str) -> str:
    """The number of a test as it is written now; of one that is no function of its file, of the whole file."""
    file, _, name = test.partition("[")[0].partition("::")
    texts = _test_texts(file)
    return _sha256(texts.get(name, texts[""]))


def verdicts(name: str) -> Iterator[dict[str, str]]:
    """What was found of a module's mutants, the oldest first."""
    if VERDICTS.exists():
        lines = map(json.loads, VERDICTS.read_text(encoding="utf-8").splitlines())
        yield from (line for line in lines if line["name"] == name)


def _source(name: str) -> tuple[str, str]:
    """A module's text and its number."""
    source = (ROOT / (MODULES[name].module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    return source, _sha256(source)


def examine(name: str, *, fresh: bool) -> dict[str, Any]:
    """Try the mutants of one module that are not known to be noticed; the module's part of the result."""
    source, number = _source(name)
    given = dict(mutants(source))
    known: dict[str, str] = {}
    last: dict[str, str] = {}
    for line in verdicts(name):
        last[line["change"]] = line["by"]
        if (line["source"], line["test"]) == (number, _test_sha256(line["by"])):
            known[line["change"]] = line["by"]
    left = {what: mutant for what, mutant in given.items() if fresh or not known.get(what)}
    VERDICTS.parent.mkdir(exist_ok=True)
    tests = "".join(map(_test_sha256, MODULES[name].tests))
    measured = VERDICTS.with_name(f"mutants_{name}_{_sha256(number + tests)[:12]}.json")
    if fresh:
        measured.unlink(missing_ok=True)
    with VERDICTS.open("a", encoding="utf-8") as out:
        for what, by in tried(MODULES[name], source, left, last, measured) if left else ():
            known[what] = by
            line = {"name": name, "source": number, "change": what, "by": by, "test": _test_sha256(by)}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
            out.flush()
    survived = [what for what in given if not known[what]]
    return {
        "module": MODULES[name].module,
        "source_sha256": number,
        "mutants": len(given),
        "killed": len(given) - len(survived),
        "survived": survived,
    }


def _migrate_once() -> None:
    """Make the empty database that tests copy, so that no mutant's process has to."""
    from tests.support.swap.databases import migrated_sqlite

    with tempfile.TemporaryDirectory() as folder:
        migrated_sqlite(Path(folder) / "empty.db")


def main() -> int:
    """Run them; 1 where fewer than 95 % are noticed, a survivor is not argued or a module has changed since."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(MODULES), help="modules, with commas between")
    parser.add_argument("--fresh", action="store_true", help="try all again, also what is known to be noticed")
    parser.add_argument("--list", action="store_true", help="print the mutants, run none")
    given = parser.parse_args()
    names = given.only.split(",")
    if given.list:
        for name in names:
            for what, _ in mutants(_source(name)[0]):
                print(f"{name}: {what}")
        return 0
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for heavy in _LOADED:
        importlib.import_module(heavy)
    for plugin in importlib.metadata.entry_points(group="pytest11"):
        plugin.load()
    if not all(MODULES[name].pure for name in names):
        _migrate_once()
    spoilt = {MODULES[name].module for name in names} & sys.modules.keys()
    assert not spoilt, f"{spoilt} would not be changed: something that is loaded for all imports it"
    known: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    for name in names:
        known[name] = examine(name, fresh=given.fresh)
        RESULT.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    argued: dict[str, dict[str, str]] = tomllib.loads(ARGUED.read_text(encoding="utf-8")) if ARGUED.exists() else {}
    wrong = 0
    for name in MODULES:
        if name not in known or known[name]["source_sha256"] != _source(name)[1]:
            print(f"{name}: not tried as it is now")
            wrong += 1
            continue
        item = known[name]
        left = [text for text in item["survived"] if text not in argued.get(name, {})]
        share = item["killed"] / item["mutants"]
        print(f"{name}: {item['mutants']} mutants, {share:.1%} killed, {len(left)} survivors not argued")
        wrong += bool(left) or share < LEAST_SHARE
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
