"""The doors in a process of their own: what they compute, hold or break is not the controller's.

`DoorsProcess` is the station's side. It binds the port, starts `python -m api.serving` with that socket, and tells it
over its standard input first what to serve, then again and again what the controller says of itself. When that input
ends, however the station's process has ended, the doors end. Doors that end by themselves are started again; clients
meanwhile wait at the socket, which stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from api.deps import StationClock
from api.settings import Settings
from swap.config.station_file import StationConfig
from swap.station.life.status import ControlBoard, ControlStatus

if TYPE_CHECKING:
    from fastapi import FastAPI
    from uvicorn import Config, Server

    from api.edge.protocol import LimitedHttp

THREADS = 4
"""Requests that work at the same time. More would not be faster, since writers take turns."""
TELL_S = 0.2
"""Real seconds between two words about the controller."""
END_S = 4.0
"""Real seconds that the doors have to end in."""
AGAIN_S, LONGEST_AGAIN_S = 1.0, 30.0
"""Real seconds until doors that have ended by themselves are started again, at first and at most."""
NICENESS = 10
"""The doors step back where the processor is short."""
FULL_BYTES = 65_536
"""Doors that do not read what they are told are told no more until they do."""
_READY = b"ready\n"
_ROOT = str(Path(__file__).resolve().parents[1])
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """What the station's process tells the doors: station time at an instant of the machine, and the controller."""

    at_s: float
    """Monotonic seconds, the same in all processes of a machine."""
    now: datetime
    speed: float
    status: ControlStatus | None
    stopped: bool


@dataclass(frozen=True, slots=True)
class Begin:
    """The first that is told."""

    settings: Settings
    config: StationConfig
    told: Told


# the station's side


class PortTakenError(Exception):
    """Nothing can be served at the address; the message says why."""


def keep_loaded() -> None:
    """What this process has loaded stays to its end: no collection of memory stops it to look through it again."""
    gc.collect()
    gc.freeze()
    gc.enable()


_BEGIN = "import gc; gc.disable(); from api.serving import main; main()"
"""The program of the doors: nothing of what it loads is garbage, until `keep_loaded`."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises PortTakenError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(2048)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise PortTakenError(error.strerror or str(error)) from error
    return listening


class DoorsProcess:
    """The doors, seen from the station's process.

    Args:
        listening: the bound socket, which stays the caller's.
        clock: station time.
        board: where the controller hangs out its status.
    """

    def __init__(
        self,
        settings: Settings,
        config: StationConfig,
        listening: socket.socket,
        clock: StationClock,
        board: ControlBoard,
    ) -> None:
        self._settings = settings
        self._config = config
        self._listening = listening
        self._clock = clock
        self._board = board
        self.pid: int | None = None

    async def run(self, ready: Callable[[], object]) -> None:
        """Serve until cancelled.

        Args:
            ready: called when the doors answer for the first time.
        """
        again_s = AGAIN_S
        first = True
        while True:
            began_s = time.monotonic()
            async with self._started() as process:
                assert process.stdout is not None
                telling = asyncio.create_task(self._tell(process), name="doors are told")
                try:
                    if await process.stdout.readline() == _READY and first:
                        ready()
                        first = False
                    await process.wait()
                finally:
                    telling.cancel()
                    await asyncio.wait([telling])
            again_s = AGAIN_S if time.monotonic() - began_s > LONGEST_AGAIN_S else min(2 * again_s, LONGEST_AGAIN_S)
            _log.error("the doors have ended with %s and are started again in %g s", process.returncode, again_s)
            await asyncio.sleep(again_s)

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """The process, ended on leaving."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _BEGIN, str(self._listening.fileno())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(self._listening.fileno(),),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))},
        )
        self.pid = process.pid
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                async with asyncio.timeout(END_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    def _now(self) -> Told:
        board = self._board
        return Told(time.monotonic(), self._clock.now(), self._clock.speed, board.status, board.stopped)

    async def _tell(self, process: asyncio.subprocess.Process) -> None:
        pipe = process.stdin
        assert pipe is not None
        pipe.write(pickle.dumps(Begin(self._settings, self._config, self._now())))
        while True:
            if pipe.transport.get_write_buffer_size() < FULL_BYTES:
                pipe.write(pickle.dumps(self._now()))
            await asyncio.sleep(TELL_S)


# the doors' side


class ToldClock:
    """Station time as the station's process has last told it."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self.speed = told.speed

    def tell(self, told: Told) -> None:
        """Go on from another instant."""
        self._told = told

    def now(self) -> datetime:
        """Aware UTC."""
        told = self._told
        return told.now + timedelta(seconds=(time.monotonic() - told.at_s) * told.speed)


async def _serve(begin: Begin, listening: socket.socket) -> None:
    import anyio.to_thread
    import uvicorn

    from api.app import create_app
    from api.edge.protocol import ConnectionLimits, LimitedHttp, fit
    from swap.commerce.leases.rights import ContractRights
    from swap.store import Store

    settings = begin.settings

    class Limited(LimitedHttp):
        limits = fit(ConnectionLimits(most=settings.max_connections))

    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    store, board, clock = Store(settings.database_url), ControlBoard(), ToldClock(begin.told)
    rights = ContractRights(contract_required=begin.config.commerce.contract_required)
    app = create_app(store, begin.config, clock, settings=settings, control=board, rights=rights)
    server = uvicorn.Server(config_of(app, Limited))
    threading.Thread(target=_listen, args=(board, clock, server), name="told", daemon=True).start()
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listening])
    keep_loaded()
    os.nice(NICENESS)  # from now on: what starts, as after a crash, is to be there soon on a busy machine too
    os.write(sys.stdout.fileno(), _READY)
    await server.main_loop()
    app.state.streams.close()
    await server.shutdown()
    store.close()


def config_of(app: FastAPI, http: type[LimitedHttp]) -> Config:
    """How the doors are served."""
    import uvicorn

    from api.edge.protocol import KEEP_ALIVE_S

    return uvicorn.Config(
        app,
        http=http,
        log_config=None,  # the process has one form of logging
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=2,
        lifespan="off",
        ws_max_size=65_536,
        server_header=False,
    )


def _listen(board: ControlBoard, clock: ToldClock, server: Server) -> None:
    """Take what is told until nobody is left to tell it."""
    with contextlib.suppress(EOFError, pickle.UnpicklingError, OSError):
        while True:
            told: Told = pickle.load(sys.stdin.buffer)
            clock.tell(told)
            if told.status is not None:
                board.publish(told.status)
            if told.stopped:
                board.stop()
    server.should_exit = True
    threading.Event().wait(END_S - 1.0)
    os._exit(0)  # a request that does not end keeps no orphan alive


def main() -> None:
    """The process of the doors. Signals are for the station's process, which ends this one by its input."""
    from structlog.contextvars import bind_contextvars

    from api.logs import configure_logging

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # only Linux has it: where memory is short the doors go first
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    try:
        begin: Begin = pickle.load(sys.stdin.buffer)
    except EOFError:  # the station ended before it had begun
        return
    configure_logging(begin.settings.log_level)
    bind_contextvars(station=begin.config.station.id)
    asyncio.run(_serve(begin, socket.socket(fileno=int(sys.argv[1]))))
