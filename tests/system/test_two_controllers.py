"""One controller to a station: the database refuses a second one, and the PLC does."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sim.devices.servers import DeviceServers
from sim.plant.plant import Plant
from swap.config.loading import load_station
from tests.support.ports import own_ports
from tests.support.swap.databases import migrated_sqlite
from tests.system.processes import LIMIT_S, StationProcess, example_station, swap


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With databases of the newest migration; how a process makes its own is another test's business."""
    for name in ("swap", "first", "second"):
        migrated_sqlite(tmp_path / f"{name}.db")
    return tmp_path


@pytest.fixture
def processes() -> Iterator[list[StationProcess]]:
    """Processes that are ended with the test."""
    started: list[StationProcess] = []
    yield started
    for process in started:
        process.close()


def run_to_its_end(station: Path, url: str, speed: float) -> subprocess.CompletedProcess[str]:
    """`swap run` that is expected to refuse."""
    command = swap("run", str(station), "--database-url", url, "--port", str(own_ports(1)[0]), "--speed", f"{speed:g}")
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_database_refuses_a_second_controller(folder: Path, processes: list[StationProcess]) -> None:
    station = example_station(folder / "station")
    first = StationProcess(station, folder / "swap.db")
    processes.append(first)
    first.wait_for_line("/console")
    first.wait("the controller runs", lambda: first.get("/stations/yangquan-mine")["mode"] == "automatic")
    second = run_to_its_end(station, first.url, 60)
    assert second.returncode == 2, second.stdout + second.stderr
    assert "station yangquan-mine is run by " in second.stdout + second.stderr
    assert "Traceback" not in second.stdout + second.stderr
    # The first was not touched.
    starts = first.get("/events", kind="controller.started")["items"]
    assert len(starts) == 1
    assert first.interrupt() == 0


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_stations_on_the_same_simulated_ports_are_refused(folder: Path, processes: list[StationProcess]) -> None:
    station = example_station(folder / "station")
    first = StationProcess(station, folder / "first.db")
    processes.append(first)
    first.wait_for_line("/console")
    second = run_to_its_end(station, f"sqlite:///{folder / 'second.db'}", 60)
    assert second.returncode == 2, second.stdout + second.stderr
    assert "cannot be opened" in second.stdout + second.stderr
    assert "Traceback" not in second.stdout + second.stderr


class Equipment:
    """The devices of a station in this process, as equipment that two controllers are pointed at."""

    def __init__(self, station: Path) -> None:
        config = load_station(station)
        self.plant = Plant(config, seed=3, start_at=datetime.now(UTC))
        self.begun: list[str] = []
        for cell in self.plant.cells.values():
            cell.listeners.append(lambda what, command: self.begun.append(f"{what} {command.code.name}"))
        self.servers = DeviceServers(self.plant, config, speed=1.0)

    def owner(self) -> int:
        """Who owns the cell."""
        return self.plant.cell("L1").owner


@pytest.fixture
async def equipment(folder: Path) -> AsyncIterator[Equipment]:
    found = Equipment(example_station(folder / "station", devices="real"))
    await found.servers.start()
    yield found
    await found.servers.stop()


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_plc_refuses_a_second_controller_and_none_moves(
    folder: Path, equipment: Equipment, processes: list[StationProcess]
) -> None:
    station = folder / "station" / "station.toml"
    first = StationProcess(station, folder / "first.db", speed=1.0)
    processes.append(first)
    await asyncio.to_thread(first.wait_for_line, "/console")
    for _ in range(round(LIMIT_S / 0.1)):
        await asyncio.sleep(0.1)
        if equipment.owner():
            break
    owner = equipment.owner()
    assert owner

    second = await asyncio.to_thread(run_to_its_end, station, f"sqlite:///{folder / 'second.db'}", 1.0)
    said = second.stdout + second.stderr
    assert second.returncode == 2, said
    assert f"the cell of lane L1 belongs to controller {owner}" in said
    assert "Traceback" not in said
    assert equipment.owner() == owner
    assert equipment.begun == []
    assert not equipment.plant.cell("L1").hold  # nor did it hold the other's robot
    assert first.process.poll() is None

    # When the first has died, its cell is free after the PLC's time limit, for a controller of another database.
    first.kill()
    third = StationProcess(station, folder / "second.db", speed=1.0)
    processes.append(third)
    await asyncio.to_thread(third.wait_for_line, "/console")
    for _ in range(round(LIMIT_S / 0.1)):
        await asyncio.sleep(0.1)
        if equipment.owner() not in (0, owner):
            break
    assert equipment.owner() not in (0, owner)
    assert await asyncio.to_thread(third.interrupt) == 0
    assert equipment.begun == []
