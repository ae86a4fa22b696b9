"""What all tests share: databases, time zone, and the rule that CI skips nothing it was made for."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import settings

from tests.support.postgres import PostgresMissingError, PostgresServer, postgres_server
from tests.support.swap.databases import migrate, migrate_once, migrated_sqlite
from tests.support.swap.statements import compile_once
from tests.support.tools import in_ci, skip_or_fail

# Neither UTC nor any station's zone, and half an hour off: code that leans on the machine's zone fails here.
MACHINE_ZONE = "America/St_Johns"
PROVED = "proved"
NEVER_SKIPPED_IN_CI = ("postgres", "browser", "tool")

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 1024**3

settings.register_profile("here", deadline=None)  # two busy cores make every deadline a coin toss
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    # Databases of tests need no disk: every commit of theirs would wait for it, and every copy of a PostgreSQL
    # database is six hundred files. Processes that tests start are given the same folder.
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES and "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    os.environ["TZ"] = MACHINE_ZONE
    time.tzset()
    # A developer's own settings must not decide whether a test passes.
    for name in [n for n in os.environ if n.startswith(("SWAP_", "PG"))]:
        del os.environ[name]
    settings.load_profile("ci" if in_ci() else "here")
    compile_once()
    migrate_once()
    gc.disable()  # nothing of what is loaded until all tests are collected is garbage


def pytest_collection_finish() -> None:
    """What is loaded by now stays; to look through it again and again would take a fifth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Also of the process that only hands tests out."""
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    for item in items:
        if {"postgres_url", "postgres"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("postgres")
    yield  # what is not asked for is taken out
    items[:] = slow_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def slow_first(items: Sequence[pytest.Item], processes: int) -> list[pytest.Item]:
    """The order for several processes, each of which is given an equal part of the list: it begins with its share of
    the files with slow tests, so that nobody is left alone with a long one at the end."""
    if processes < 2:
        return list(items)
    by_file: defaultdict[Path, list[pytest.Item]] = defaultdict(list)
    rest: list[pytest.Item] = []
    for item in items:
        (by_file[item.path] if item.get_closest_marker("slow") else rest).append(item)
    ordered: list[pytest.Item] = []
    for number in range(processes):
        size = (len(items) - len(ordered)) // (processes - number)
        slow = [item for file in list(by_file.values())[number::processes] for item in file]
        others = max(size - len(slow), 0)
        ordered += slow + rest[:others]
        del rest[:others]
    return ordered + rest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    needed = [name for name in NEVER_SKIPPED_IN_CI if item.get_closest_marker(name)]
    if in_ci() and needed and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"skipped in CI although marked {', '.join(needed)}: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """The counts of the proofs, whichever process they ran in."""
    texts = [
        str(value)
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, value in report.user_properties
        if name == PROVED
    ]
    if texts:
        terminalreporter.section("proved")
        for text in sorted(texts):
            terminalreporter.write_line(text)


@pytest.fixture
def proved(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Keeps a text with the counts of a proof; it is printed when all tests have ended."""
    return lambda text: record_property(PROVED, text)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for each worker process."""
    try:
        with postgres_server() as server:
            yield server
    except PostgresMissingError as missing:
        skip_or_fail(str(missing))


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> Iterator[str]:
    """Name of a PostgreSQL database of the newest migration without a row."""
    with postgres.database() as url:
        migrate(url)
        yield url.rsplit("/", 1)[1]


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_template: str) -> Iterator[str]:
    """SQLAlchemy URL of a fresh PostgreSQL database of the newest migration."""
    with postgres.database(postgres_template) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """SQLAlchemy URL of a fresh SQLite file of the newest migration."""
    return migrated_sqlite(tmp_path / "station.db")


BOTH_ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=BOTH_ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database of the newest migration on each engine in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="module", params=BOTH_ENGINES)
def lasting_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of the newest migration on each engine in turn, for all tests of a module: they only read."""
    if request.param == "sqlite":
        yield migrated_sqlite(tmp_path_factory.mktemp("lasting") / "station.db")
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    with postgres.database(request.getfixturevalue("postgres_template")) as url:
        yield url


@pytest.fixture(params=BOTH_ENGINES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that nothing has migrated, on each engine in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    with postgres.database() as url:
        yield url
