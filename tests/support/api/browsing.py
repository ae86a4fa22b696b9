"""The console in a browser: a server of its own, Chromium, a page that bears no errors."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright

from api.edge.protocol import KEEP_ALIVE_S
from swap.store import Store
from tests.support.api.doors import make_app
from tests.support.tools import require_tool

ROOT = Path(__file__).resolve().parents[3]
SHOTS = ROOT / "var" / "screenshots"


def _serve(url: str, port: int) -> None:
    """The process of a `ServerProcess`."""
    uvicorn.run(make_app(Store(url)), host="127.0.0.1", port=port, log_level="warning", timeout_keep_alive=KEEP_ALIVE_S)


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """A server on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        free.listen(16)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [free]})
        thread.start()
        try:
            give_up_s = time.monotonic() + 20
            while not server.started and time.monotonic() < give_up_s:
                thread.join(0.05)
            assert server.started
            yield f"http://127.0.0.1:{free.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


class ServerProcess:
    """The console in a process of its own, which can be frozen and killed."""

    def __init__(self, url: str) -> None:
        self.url = url
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Start it, with everything imported, and wait until it listens."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.support.api.browsing"])
        self.process = context.Process(target=_serve, args=(self.url, self.port), daemon=True)
        self.process.start()
        give_up_s = time.monotonic() + 30
        while not self._listens():
            assert self.process.is_alive()
            assert time.monotonic() < give_up_s
            threading.Event().wait(0.05)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.join(10)


class Wire:
    """A network between browser and server that can be cut without a word to either."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.up = threading.Event()
        self.up.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._open += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.up.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        """End every connection."""
        self.up.set()
        for one in (self._listener, *self._open):
            one.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_tool("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser,
    address: str,
    width: int = 1280,
    height: int = 800,
    *,
    lossy: bool = False,
    person: Mapping[str, str] | None = None,
) -> Iterator[Page]:
    """A page whose errors and outside requests fail the test; `lossy` bears with a server that is not reached.

    Args:
        person: cookies of somebody who has signed in.
    """
    wrong: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": height})
    for name, value in (person or {}).items():
        context.add_cookies([{"name": name, "value": value, "url": address}])
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    if not lossy:
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("request", lambda r: wrong.append(f"asked {r.url}") if not r.url.startswith(address) else None)
    yield page
    context.close()
    assert wrong == []
