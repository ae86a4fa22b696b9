"""The product as `swap run` builds it, in a process that can be told to misbehave; its devices are elsewhere."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import api.wiring as wiring
from api.settings import Settings
from robotics.plc_robot import PlcRobot
from robotics.port import RobotCommand
from swap.commerce import runner
from swap.config.loading import parse_station
from swap.station.controller import StationController
from swap.station.life.database import ApartDatabase
from swap.station_db import StationDb as Db
from swap.store import Store
from tests.drill.power import shadow_disk

T = TypeVar("T")
APPOINTMENT_S = 0.01


class Hooks:
    """What a drill can do inside the process, and what it learns from there."""

    def __init__(self) -> None:
        self.control: asyncio.AbstractEventLoop | None = None
        self.waits_s: list[float] = []
        """What each commit of the controller was waited for."""
        self.foreign: list[tuple[float, float, str]] = []
        """How long each transaction of somebody else kept the others out: seconds on the wall, of the processor."""
        self.commerce_fails = False
        self.late_s: list[float] = []
        """How late the controller's loop was for each of many appointments."""
        self._watching = False

    def watch_lateness(self, on: bool) -> None:
        """Let the controller's loop keep appointments from now on, or no more."""
        assert self.control is not None
        if on and not self._watching:
            asyncio.run_coroutine_threadsafe(self._keep_appointments(), self.control)
        self._watching = on

    async def _keep_appointments(self) -> None:
        loop = asyncio.get_running_loop()
        self.late_s = []
        self._watching = True
        while self._watching:
            due_s = loop.time() + APPOINTMENT_S
            await asyncio.sleep(APPOINTMENT_S)
            self.late_s.append(loop.time() - due_s)

    def block(self, seconds: float) -> None:
        """The controller's loop does nothing for a while."""
        assert self.control is not None
        self.control.call_soon_threadsafe(time.sleep, seconds)


def run_station(
    station_file: str,
    database_url: str,
    port: int,
    speed: float,
    disk: str | None,
    copies: str | None,
    pipe: Connection,
) -> None:
    """The process: runs until SIGTERM.

    Args:
        pipe: takes ("block", seconds), ("commerce", fails), ("waits",), ("lateness", on), and answers each.
        disk: folder in which every file of the database stands as it was synced last; None watches no syncs.
        copies: folder that gets a copy of the database at the moment each command leaves; None makes none.
    """
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s %(message)s")
    hooks = Hooks()
    if disk is not None:
        shadow_disk(Path(disk))
    if copies is not None:
        _copy_at_each_command(database_url, Path(copies))
    _install(hooks)
    threading.Thread(target=_listen, args=(pipe, hooks), daemon=True).start()
    config = parse_station(json.loads(Path(station_file).read_text(encoding="utf-8")))
    settings = Settings(database_url=database_url, station_file=Path(station_file), speed=speed, port=port)
    raise SystemExit(wiring.run_station(settings, config))


def _install(hooks: Hooks) -> None:
    class Elsewhere(wiring.Station):
        """A station whose devices another process simulates."""

        @asynccontextmanager
        async def devices(self) -> AsyncIterator[object]:
            yield None

    class Measured(ApartDatabase):
        """Keeps how long each commit was waited for."""

        async def write(self, work: Callable[[Db], T]) -> T:
            began_s = time.monotonic()
            done = await super().write(work)
            hooks.waits_s.append(time.monotonic() - began_s)
            return done

    real_turn = Store._turn

    @contextmanager
    def turn(self: Store, station_id: str | None) -> Iterator[None]:
        first = self._first
        with real_turn(self, station_id):
            wall_s, processor_s, whose = time.monotonic(), time.thread_time(), "" if first else _writer()
            yield
        if not first:
            hooks.foreign.append((time.monotonic() - wall_s, time.thread_time() - processor_s, whose))

    real_apart, real_commerce = wiring.run_apart, runner.run_commerce  # type: ignore[attr-defined]

    async def apart(controller: StationController) -> None:
        real_run = controller.run

        async def run() -> None:
            hooks.control = asyncio.get_running_loop()
            await real_run()

        controller.run = run  # type: ignore[method-assign]
        await real_apart(controller)

    def commerce(*arguments: Any, **options: Any) -> Any:
        if hooks.commerce_fails:
            raise ZeroDivisionError("a mistake in commerce")
        return real_commerce(*arguments, **options)

    for module, name, value in (
        (Store, "_turn", turn),
        (wiring, "Station", Elsewhere),
        (wiring, "ApartDatabase", Measured),
        (wiring, "run_apart", apart),
        (runner, "run_commerce", commerce),
    ):
        setattr(module, name, value)


def _writer() -> str:
    """The function of the product that writes, by its file and name: the innermost that is no part of the store."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] in ("api", "swap") and name not in ("swap.store", "swap.turns", "swap.station_db"):
            return f"{name}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "unknown"


def _copy_at_each_command(database_url: str, copies: Path) -> None:
    database = Path(database_url.removeprefix("sqlite:///"))
    copies.mkdir(parents=True)
    real_send = PlcRobot.send

    async def send(self: PlcRobot, command: RobotCommand, *more: Any) -> None:
        folder = copies / f"{command.seq}"
        if not folder.exists():
            folder.mkdir()
            for name in (database.name, f"{database.name}-wal"):
                shutil.copyfile(database.with_name(name), folder / name)
        await real_send(self, command, *more)

    setattr(PlcRobot, "send", send)  # noqa: B010


def _listen(pipe: Connection, hooks: Hooks) -> None:
    while True:
        try:
            what, *arguments = pipe.recv()
        except EOFError:
            os._exit(3)
        if what == "block":
            hooks.block(*arguments)
        elif what == "commerce":
            (hooks.commerce_fails,) = arguments
        elif what == "lateness":
            hooks.watch_lateness(*arguments)
            pipe.send(list(hooks.late_s))
            continue
        pipe.send((list(hooks.waits_s), list(hooks.foreign)))
