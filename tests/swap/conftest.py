"""What the tests of the controller share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
