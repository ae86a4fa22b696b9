"""The composition root: builds one station from its file and runs it with its doors.

Simulated mode is a setting of the station file: the same drivers then talk to simulated devices, which are real
Modbus TCP servers on the same addresses.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from api import terminal
from api.announce import Announcer, stop_lines
from api.control import run_apart
from api.problems import said
from api.serving import DoorsProcess, PortTakenError, bind, keep_loaded
from api.settings import Settings
from battery_bms.modbus_rack import ModbusRack
from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.link import ModbusLink
from robotics.modbus_link.registers import load_map
from robotics.plc_robot import PlcRobot
from scheduler.optimal.learned import LearnedTrucks
from scheduler.tariff import Tariff
from scheduler.tariff_files import load_tariff
from swap.commerce.leases.billing import ContractTerms
from swap.commerce.leases.rights import ContractRights, swap_right
from swap.commerce.runner import Commerce
from swap.commerce.webhooks.pump import WebhookPump, over_http
from swap.config.seed import SyncError, sync_station
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway, DatabaseUnfit
from swap.identity.demo import DemoLogin, demo_logins, simulated_fleet_key
from swap.keeping.runner import keep
from swap.reading.lists import latest_at
from swap.station.clock import Clock
from swap.station.context import StationContext
from swap.station.controller import StationController
from swap.station.faults import clear_fault, raise_fault
from swap.station.file_check import check_recipes
from swap.station.lease import ControllerRunning, Lease
from swap.station.life.database import ApartDatabase
from swap.station.life.heads import keep_heads
from swap.station.life.ownership import CellOwned
from swap.station.life.status import ControlBoard
from swap.station.power.modbus_site import modbus_site
from swap.station.power.planning import PlanRunner
from swap.station.resume import CellWorkedBefore
from swap.store import Store, folder_is_there, shown
from swap.words import N_

if TYPE_CHECKING:
    from sim.plant.plant import Plant

REFUSED = 2
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
        if not folder_is_there(self.settings.heads_path.parent):
            raise DatabaseUnfit(
                N_("there is no folder {folder} for the heads of the journals (SWAP_HEADS_FILE); make it first"),
                folder=self.settings.heads_path.parent,
            )
        self.store.upgrade()
        last_at = latest_at(self.store, self.config.station.id)
        now = datetime.now(UTC)
        # Station time of a sped-up station runs ahead of real time; it never runs backwards.
        start_at = max(now, last_at + timedelta(seconds=1)) if last_at is not None else now
        self.first_start = last_at is None
        # Simulated devices run by the station's own clock; real ones and prices run by the world's.
        wall = (lambda: datetime.now(UTC)) if self.config.devices == "real" else None
        self.clock = Clock(start_at, self.speed, wall=wall)
        if not self.first_start:  # nothing of a running station is touched before it is ours
            self.lease.acquire()
        sync_station(self.store, self.config, start_at)
        if self.first_start:
            self.lease.acquire()
        self.demo = self._demo(now)
        self.tariff: Tariff = load_tariff(self.config.tariff, self.config.station.zone, self.config.folder)
        self.controller = self._controller()
        self.commerce = Commerce(
            self.store,
            self.config,
            self.clock.now,
            self._tell_of_commerce,
            terms=ContractTerms(),
            rights=ContractRights(contract_required=self.config.commerce.contract_required),
        )

    async def tell_firms(self) -> None:
        """Send webhooks until cancelled."""
        async with over_http() as post:
            pump = WebhookPump(
                self.store,
                self.config.station.id,
                self.settings.secret.get_secret_value(),
                self.settings.webhook_targets,
                lambda: datetime.now(UTC),
                post,
            )
            await pump.run()

    def _demo(self, now: datetime) -> tuple[DemoLogin, ...]:
        """Accounts for trying out: with simulated devices in development only."""
        if self.settings.environment != "development" or self.config.devices == "real":
            return ()
        return demo_logins(self.store, self.settings.identity, self.config.station.operator, now)

    def close(self) -> None:
        """End the controller's threads and every connection."""
        self.database.close()
        self.control_store.close()
        self.store.close()

    def _controller(self) -> StationController:
        config, now = self.config, self.clock.now
        links: dict[str, ModbusLink] = {}

        def link(address: ModbusAddress, name: str) -> ModbusLink:
            links[name] = ModbusLink(address, name=name)
            return links[name]

        robots = [
            PlcRobot(
                lane.id,
                lane.cell,
                load_map(lane.cell.register_map, config.folder),
                self.lease.token,
                now,
                link=link(lane.cell.address, f"cell {lane.id}"),
            )
            for lane in config.lanes
        ]
        rack = ModbusRack(config.rack_devices, config.bays, now, folder=config.folder, link_factory=link)
        context = StationContext.build(self.database, config, self.clock, self.tariff)
        context.forecast.usual = self._forecaster()
        required = config.commerce.contract_required
        context.has_right = lambda db, swap_id, at: swap_right(db, swap_id, at, contract_required=required).allowed
        return StationController(
            context,
            robots,
            rack,
            rack,
            modbus_site(config, now, link_factory=link),
            self.lease,
            board=self.board,
            link_quality=lambda: {name: one.quality() for name, one in links.items()},
            planning=PlanRunner(context) if config.charging.plan == "optimal" else None,
        )

    def _forecaster(self) -> LearnedTrucks:
        """Learns which trucks come; as long as its record is short, the scenario of the station file stands in."""
        config = self.config
        if config.scenario is None:
            return LearnedTrucks(config.station.zone)
        from sim.scenario.expected import ExpectedWeeks
        from sim.scenario.load import load_scenario

        scenario = load_scenario((config.folder or Path()) / config.scenario)
        return LearnedTrucks(config.station.zone, ExpectedWeeks(scenario))

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

    async def simulate(self, servers: object, base_url: str, opened: asyncio.Event) -> None:
        """Watch the simulated devices, and let trucks of the scenario come, over HTTP, once the doors have opened;
        raises what fails."""
        from sim.devices.servers import DeviceServers

        assert isinstance(servers, DeviceServers)
        async with asyncio.TaskGroup() as group:
            group.create_task(servers.watch())
            group.create_task(self._fleet(servers.plant, base_url, opened))
            group.create_task(self._sun(servers.plant))

    async def _sun(self, plant: Plant) -> None:
        """The sun of the scenario shines on the simulated photovoltaics."""
        from sim.scenario.load import load_scenario
        from sim.world.world import World

        if self.config.scenario is None or self.config.site.pv is None:
            return
        scenario = load_scenario((self.config.folder or Path()) / self.config.scenario)
        world = World(scenario, seed=1, replication=0)
        while True:
            at_s = (self.clock.now() - scenario.start_at).total_seconds()
            now = world.at(at_s)
            plant.site.set_pv_kw(now.limits.pv_kw, plant.now_us)
            await self.clock.sleep(now.until_s - at_s)

    async def _fleet(self, plant: Plant, base_url: str, opened: asyncio.Event) -> None:
        from sim.live.fleet import SimulatedFleet
        from sim.scenario.demand import arrivals
        from sim.scenario.load import load_scenario

        if self.config.scenario is None:
            return
        scenario = load_scenario((self.config.folder or Path()) / self.config.scenario)
        await opened.wait()
        start_at = self.clock.now()
        key = simulated_fleet_key(self.store, self.config.station.operator, datetime.now(UTC))
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=base_url, timeout=10.0, headers=headers) as client:
            fleet = SimulatedFleet(
                plant,
                self.config,
                arrivals(scenario, start_at, seed=int(start_at.timestamp())),
                client,
                self.clock,
                start_at=start_at,
            )
            await fleet.run()


async def serve(
    settings: Settings, config: StationConfig, echo: Callable[[str], None], new_record_by: str | None = None
) -> int:
    """Run a station until it is asked to stop; the exit code."""
    station: Station | None = None
    try:
        listening = bind(settings.host, settings.port)
    except PortTakenError as error:
        address = f"{settings.host}:{settings.port}"
        echo(
            terminal.text(
                "{address} cannot be listened on: {reason}; choose another --port", address=address, reason=error
            )
        )
        return REFUSED
    try:
        station = Station(settings, config)
        await asyncio.to_thread(station.prepare)
        station.controller.new_record_by = new_record_by
        return await _serve(station, listening, echo)
    except (DatabaseAway, DatabaseUnfit) as error:
        message = N_("database {url}: {reason}; another one is named with --database-url")
        echo(terminal.text(message, url=shown(settings.database_url), reason=said(error, terminal.language())))
        return REFUSED
    except (ControllerRunning, CellOwned, CellWorkedBefore, SyncError, StationDevicesError) as error:
        echo(str(error))
        return REFUSED
    finally:
        listening.close()
        if station is not None:
            station.close()


async def _serve(station: Station, listening: socket.socket, echo: Callable[[str], None]) -> int:
    language = terminal.language(station.config.station.zone)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    settings = station.settings
    sys.setswitchinterval(SWITCH_S)
    keep_loaded()
    port = listening.getsockname()[1]
    doors = DoorsProcess(settings, station.config, listening, station.clock, station.board)

    opened = asyncio.Event()

    def announce() -> None:
        opened.set()
        text = language.text
        name = language.pick(station.config.station.name_zh, station.config.station.name_en)
        echo(f"{name}: http://{settings.host}:{port}/console")
        if station.config.devices == "simulated":
            message = "Simulated devices, {speed:g} station seconds a second; Ctrl-C stops safely."
            echo(text(message, speed=station.speed))
        for one in station.demo:
            role = language.word("account_role", one.role)
            named = text("Sign in: {login} {password} PIN {pin}", login=one.login, password=one.password, pin=one.pin)
            echo(f"{named}  {role}")

    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(station.devices())
        serving = asyncio.create_task(doors.run(announce), name="doors")
        stack.push_async_callback(_ended, serving)
        tasks = [asyncio.create_task(run_apart(station.controller), name="controller")]
        beside = [
            asyncio.create_task(station.commerce.run(), name="commerce"),
            asyncio.create_task(station.tell_firms(), name="webhooks"),
            asyncio.create_task(
                keep_heads(station.store, settings.heads_path, lambda: datetime.now(UTC)), name="heads"
            ),
            asyncio.create_task(
                keep(station.store, station.config, station.clock.now, lambda: datetime.now(UTC)), name="keeping"
            ),
            asyncio.create_task(Announcer(station.store, station.config, language, echo).run(), name="terminal"),
        ]
        for task in (*beside, serving):
            task.add_done_callback(_log_failure)
        if servers is not None:
            base_url = f"http://{settings.host}:{port}"
            tasks.append(asyncio.create_task(station.simulate(servers, base_url, opened), name="simulation"))
        waiting = asyncio.create_task(_until(stop), name="stop")
        try:
            failed = await _first_failure(tasks, waiting)
        finally:
            waiting.cancel()
            for task in [*beside, *reversed(tasks)]:
                await _ended(task)
        if isinstance(failed, CellOwned | CellWorkedBefore):
            raise failed
        for line in stop_lines(station.board.end, station.config, language):
            echo(line)
        if station.board.end is not None and station.board.end.lost:
            return REFUSED
        if failed is not None:
            raise failed
    return 0


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


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


def run_station(
    settings: Settings,
    config: StationConfig,
    echo: Callable[[str], None] | None = None,
    *,
    new_record_by: str | None = None,
) -> int:
    """Run a station in this process; 0 after a safe stop, 2 when another process runs it.

    Args:
        new_record_by: the person who begins a new record for cells that have worked before.
    """

    return asyncio.run(serve(settings, config, echo or terminal.echo, new_record_by))
