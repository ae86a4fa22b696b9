"""The composition root: builds one station from its file and runs it with its doors.

Simulated mode is a setting of the station file: the same drivers then talk to simulated devices, which are real
Modbus TCP servers on the same addresses.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
import httpx
import uvicorn

from api import terminal
from api.announce import Announcer
from api.app import create_app
from api.control import run_apart
from api.settings import Settings
from battery_bms.modbus_meter import ModbusMeter
from battery_bms.modbus_rack import ModbusRack
from robotics.modbus_link.registers import load_map
from robotics.plc_robot import PlcRobot
from scheduler.tariff import Tariff
from scheduler.tariff_files import load_tariff
from swap.commerce.runner import Commerce
from swap.config.seed import SyncError, sync_station
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway
from swap.reading.lists import latest_event_at
from swap.station.clock import Clock
from swap.station.context import StationContext
from swap.station.controller import CellOwned, StationController
from swap.station.faults import clear_fault, raise_fault
from swap.station.file_check import check_recipes
from swap.station.heads import keep_heads
from swap.station.lease import ControllerRunning, Lease
from swap.station.life.database import ApartDatabase
from swap.station.life.status import ControlBoard
from swap.store import Store, shown

if TYPE_CHECKING:
    from sim.plant.plant import Plant

REFUSED = 2
DOOR_THREADS = 4
"""Requests that work at the same time. More would not be faster, since writers take turns, and each is a thread that
the controller shares the interpreter with."""
SWITCH_S = 0.001
"""A thread that computes lets another one in after so long: loops that wait for the network are not kept waiting."""
_log = logging.getLogger(__name__)


class StationDevicesError(Exception):
    """The simulated devices cannot be started; the message says what is in the way."""


class Station:
    """One station of one process: store, clock, controller and, where simulated, its devices and its fleet."""

    def __init__(self, settings: Settings, config: StationConfig) -> None:
        self.settings = settings
        self.config = check_recipes(config, str(settings.station_file))
        self.store = Store(settings.database_url)
        self.control_store = self.store.for_control()
        self.database = ApartDatabase(self.control_store, config.station.id)
        self.board = ControlBoard()
        self.lease = Lease(self.store, config.station.id)
        self.speed = settings.speed_for(config.devices)

    def prepare(self) -> None:
        """Bring the database up to date, take the station, bring the file into the database, start station time.

        Raises:
            DatabaseAway: the database cannot be used.
            ControllerRunning: another process runs this station.
            SyncError: file and database contradict each other.
        """
        self.store.upgrade()
        last_at = latest_event_at(self.store, self.config.station.id)
        now = datetime.now(UTC)
        # Station time of a sped-up station runs ahead of real time; it never runs backwards.
        start_at = max(now, last_at + timedelta(seconds=1)) if last_at is not None else now
        self.first_start = last_at is None
        self.clock = Clock(start_at, self.speed)
        if not self.first_start:  # nothing of a running station is touched before it is ours
            self.lease.acquire()
        sync_station(self.store, self.config, start_at)
        if self.first_start:
            self.lease.acquire()
        self.tariff: Tariff = load_tariff(self.config.tariff, self.config.station.zone, self.config.folder)
        self.controller = self._controller()
        self.commerce = Commerce(self.store, self.config, self.tariff, self.clock.now, self._tell_of_commerce)

    def close(self) -> None:
        """End the controller's threads and every connection."""
        self.database.close()
        self.control_store.close()
        self.store.close()

    def _controller(self) -> StationController:
        config, now = self.config, self.clock.now
        robots = [
            PlcRobot(
                lane.id,
                lane.cell,
                load_map(lane.cell.register_map, config.folder),
                self.lease.token,
                now,
            )
            for lane in config.lanes
        ]
        rack = ModbusRack(config.rack_devices, config.bays, now, folder=config.folder)
        meter = ModbusMeter(config.site.meter, now, folder=config.folder) if config.site.meter is not None else None
        context = StationContext.build(self.database, config, self.clock, self.tariff)
        return StationController(context, robots, rack, rack, meter, self.lease, board=self.board)

    def _tell_of_commerce(self, failing: str | None) -> None:
        """Commerce fails, or works again: a fault of the station that holds nothing."""
        station_id, at = self.config.station.id, self.clock.now()
        with self.store.station(station_id) as db:
            if failing is None:
                clear_fault(db, station_id=station_id, name="commerce_failing", source="commerce", at=at)
            else:
                data = {"reason": failing}
                raise_fault(db, station_id=station_id, name="commerce_failing", source="commerce", at=at, data=data)

    @property
    def snapshot_path(self) -> Path:
        """Where the simulated plant keeps what a real one would remember by itself."""
        url = self.settings.database_url
        if url.startswith("sqlite:///") and ":memory:" not in url:
            return Path(url.removeprefix("sqlite:///")).with_suffix(".plant.json")
        return Path("var") / f"{self.config.station.id}.plant.json"

    @asynccontextmanager
    async def devices(self) -> AsyncIterator[object]:
        """The simulated devices, where the file asks for them; yields their servers or None."""
        if self.config.devices == "real":
            yield None
            return
        from sim.devices.servers import DeviceError, DeviceServers
        from sim.plant.plant import Plant

        if self.config.scenario is not None:
            # What the fleet needs is imported now: a second of importing later would stop every link's answers.
            import sim.live.fleet
            import sim.scenario.load  # noqa: F401
        if self.first_start:
            self.snapshot_path.unlink(missing_ok=True)
        plant = Plant(self.config, seed=1, start_at=self.clock.now())
        servers = DeviceServers(
            plant,
            self.config,
            speed=self.speed,
            snapshot_path=self.snapshot_path,
            folder=self.config.folder,
        )
        try:
            await servers.start()
        except DeviceError as error:
            self.lease.release()
            raise StationDevicesError(str(error)) from error
        try:
            yield servers
        finally:
            await servers.stop()

    async def simulate(self, servers: object, base_url: str) -> None:
        """Watch the simulated devices, and let trucks of the scenario come, over HTTP; raises what fails."""
        from sim.devices.servers import DeviceServers

        assert isinstance(servers, DeviceServers)
        async with asyncio.TaskGroup() as group:
            group.create_task(servers.watch())
            group.create_task(self._fleet(servers.plant, base_url))

    async def _fleet(self, plant: Plant, base_url: str) -> None:
        from sim.live.fleet import SimulatedFleet
        from sim.scenario.demand import arrivals
        from sim.scenario.load import load_scenario

        if self.config.scenario is None:
            return
        scenario = load_scenario((self.config.folder or Path()) / self.config.scenario)
        start_at = self.clock.now()
        async with httpx.AsyncClient(base_url=base_url, timeout=10.0) as client:
            fleet = SimulatedFleet(
                plant,
                self.config,
                arrivals(scenario, start_at, seed=int(start_at.timestamp())),
                client,
                self.clock,
                start_at=start_at,
            )
            await fleet.run()


class _Server(uvicorn.Server):
    """Served inside another task; takes no signals, since the robots must be held before the process ends."""

    @asynccontextmanager
    async def serving(self, announce: Callable[[int], None]) -> AsyncIterator[int]:
        """Serve until the block is left; yields the port."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup()
        port = self.servers[0].sockets[0].getsockname()[1]
        announce(port)
        loop = asyncio.create_task(self.main_loop(), name="http")
        try:
            yield port
        finally:
            self.should_exit = True
            await loop
            await self.shutdown()


async def serve(settings: Settings, config: StationConfig, echo: Callable[[str], None]) -> int:
    """Run a station until it is asked to stop; the exit code."""
    station: Station | None = None
    try:
        station = Station(settings, config)
        await asyncio.to_thread(station.prepare)
        return await _serve(station, echo)
    except DatabaseAway as error:
        echo(f"database {shown(settings.database_url)}: {error}; start it, or name another with --database-url")
        return REFUSED
    except (ControllerRunning, CellOwned, SyncError, StationDevicesError) as error:
        echo(str(error))
        return REFUSED
    finally:
        if station is not None:
            station.close()


async def _serve(station: Station, echo: Callable[[str], None]) -> int:
    language = terminal.language(station.config.station.zone)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    settings = station.settings
    sys.setswitchinterval(SWITCH_S)
    anyio.to_thread.current_default_thread_limiter().total_tokens = DOOR_THREADS
    app = create_app(station.store, station.config, station.clock, settings=settings, control=station.board)
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,  # the process has one form of logging
            access_log=False,
            timeout_graceful_shutdown=2,
            lifespan="off",
        )
    )

    def announce(port: int) -> None:
        name = language.pick(station.config.station.name_zh, station.config.station.name_en)
        echo(f"{name}: http://{settings.host}:{port}/console")
        if station.config.devices == "simulated":
            text, speed = language.text, station.speed
            echo(text("Simulated devices, {speed:g} station seconds a second; Ctrl-C stops safely.", speed=speed))

    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(station.devices())
        port = await stack.enter_async_context(server.serving(announce))
        tasks = [asyncio.create_task(run_apart(station.controller), name="controller")]
        beside = [
            asyncio.create_task(station.commerce.run(), name="commerce"),
            asyncio.create_task(
                keep_heads(station.store, settings.heads_path, lambda: datetime.now(UTC)), name="heads"
            ),
            asyncio.create_task(Announcer(station.store, station.config, language, echo).run(), name="terminal"),
        ]
        for task in beside:
            task.add_done_callback(_log_failure)
        if servers is not None:
            base_url = f"http://{settings.host}:{port}"
            tasks.append(asyncio.create_task(station.simulate(servers, base_url), name="simulation"))
        waiting = asyncio.create_task(_until(stop), name="stop")
        try:
            failed = await _first_failure(tasks, waiting)
        finally:
            waiting.cancel()
            for task in [*beside, *reversed(tasks)]:
                task.cancel()
                await asyncio.wait([task])
        if isinstance(failed, CellOwned):
            raise failed
        echo(language.text("Stopped: robots held, charging at 0 kW."))
        if failed is not None:
            raise failed
    return 0


async def _until(event: asyncio.Event) -> bool:
    return await event.wait()


def _log_failure(task: asyncio.Task[None]) -> None:
    """What only serves people beside the station may fail; the station goes on."""
    if not task.cancelled() and task.exception() is not None:
        _log.error("%s has failed; the station goes on without it", task.get_name(), exc_info=task.exception())


async def _first_failure(tasks: list[asyncio.Task[None]], stop: asyncio.Task[bool]) -> BaseException | None:
    """Wait until asked to stop (None) or until a task fails (its exception); a task may end by itself."""
    left: set[asyncio.Task[None]] = set(tasks)
    while not stop.done():
        await asyncio.wait([*left, stop], return_when=asyncio.FIRST_COMPLETED)
        for task in [t for t in left if t.done()]:
            left.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is not None:
                return error
    return None


def run_station(settings: Settings, config: StationConfig, echo: Callable[[str], None] | None = None) -> int:
    """Run a station in this process; 0 after a safe stop, 2 when another process runs it."""

    def say(line: str) -> None:
        print(line, flush=True)

    return asyncio.run(serve(settings, config, echo or say))
