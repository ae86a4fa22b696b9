"""What the tests of the room share."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer
from tests.support.sim.plant import station
from tests.support.swap.station import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """The example station, running for some seconds."""
    bench = Bench(tmp_path, station(), speed=20.0)
    await bench.start()
    await bench.run(5)
    yield bench
    bench.close()


@pytest.fixture
def copy_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Copies a database to which nobody is connected; the URL of the copy."""
    number = count()
    with ExitStack() as copies:

        def copied(url: str) -> str:
            if url.startswith("sqlite"):
                target = tmp_path / f"copy-{next(number)}.db"
                shutil.copy(url.removeprefix("sqlite:///"), target)
                return f"sqlite:///{target}"
            postgres: PostgresServer = request.getfixturevalue("postgres")
            return copies.enter_context(postgres.database(url.rsplit("/", 1)[1]))

        yield copied
