"""`swap run` as a user starts it: a process of its own, watched by its terminal, over HTTP and by signals."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.support.api.people import PersonAuth
from tests.support.ports import own_ports

EXAMPLE = Path(__file__).parents[2] / "examples" / "yangquan_mine"
SPEED = 60.0
LIMIT_S = 120.0
"""Real seconds to wait for anything; many times what it takes on an idle machine."""


def swap(*arguments: str) -> list[str]:
    """The command line of the `swap` program."""
    return [sys.executable, "-m", "api.cli", *arguments]


def example_station(folder: Path, *, devices: str = "simulated") -> Path:
    """The example station with its scenario, on ports of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    path = folder / "station.toml"
    text = path.read_text(encoding="utf-8").replace('devices = "simulated"', f'devices = "{devices}"')
    ports = dict(zip(("15020", "15030", "15040"), own_ports(3), strict=True))
    path.write_text(re.sub("|".join(ports), lambda found: str(ports[found[0]]), text), encoding="utf-8")
    return path


def wait_for(what: str, look: Callable[[], Any], process: subprocess.Popen[Any] | None = None) -> Any:
    """Look until something is true; AssertionError with the last of it when it never is, or the process has ended."""
    until_s = time.monotonic() + LIMIT_S
    while not (found := look()):
        assert process is None or process.poll() is None, f"{what}: the process has ended"
        assert time.monotonic() < until_s, f"{what}: not within {LIMIT_S} s; last: {found}"
        time.sleep(0.05)
    return found


def children(pid: int, marked: bytes) -> list[int]:
    """Processes that one has started, whose command line holds something."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # ended meanwhile
            continue
        if parent == pid and marked in command:
            found.append(int(folder.name))
    return found


def alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


class StationProcess:
    """One `swap run`."""

    def __init__(self, station: Path, database: Path, *, speed: float = SPEED) -> None:
        self.station = station
        self.database = database
        self.url = f"sqlite:///{database}"
        self.port = own_ports(1)[0]
        self.lines: list[str] = []
        self._new: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        command = swap("run", str(station), "--database-url", self.url, "--port", str(self.port), "--speed", str(speed))
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"LANG": "C.UTF-8"}
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api/v1", timeout=10.0, auth=PersonAuth(self.url)
        )

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._new.put(line.rstrip())
        self._new.put(None)

    def wait_for_line(self, part: str) -> str:
        """A line of the terminal that holds a text."""
        until_s = time.monotonic() + LIMIT_S
        while time.monotonic() < until_s:
            line = self._new.get(timeout=LIMIT_S)
            if line is None:
                break
            self.lines.append(line)
            if part in line:
                return line
        raise AssertionError(f"no line with {part!r}:\n" + "\n".join(self.lines))

    def wait(self, what: str, look: Callable[[], Any], limit_s: float = LIMIT_S) -> Any:
        """Ask until the answer is true; AssertionError with the last answer when it never is."""
        until_s = time.monotonic() + limit_s
        found: Any = None
        while time.monotonic() < until_s:
            assert self.process.poll() is None, f"ended with code {self.process.returncode}:\n{self.rest()}"
            try:
                found = look()
            except httpx.TransportError as error:
                found = error
            else:
                if found:
                    return found
            time.sleep(0.1)
        raise AssertionError(f"{what}: not within {limit_s} s; last: {found}\n{self.rest()}")

    def get(self, path: str, **parameters: str) -> Any:
        """The answer of a route."""
        answer = self.http.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()

    def swaps(self, state: str) -> list[dict[str, Any]]:
        """Swaps of a state, `open` or `ended`."""
        items: list[dict[str, Any]] = self.get("/swaps", state=state)["items"]
        return items

    def swap(self, swap_id: str) -> dict[str, Any]:
        """One swap."""
        found: dict[str, Any] = self.get(f"/swaps/{swap_id}")
        return found

    def under_way(self) -> str | None:
        """A swap whose spent pack is on its way, if there is one."""
        working = ("lifting_old", "storing_old", "fetching_new")
        return next((s["swap_id"] for s in self.swaps("open") if s["state"] in working and s["phase"] == "sent"), None)

    def ask(self, kind: str, name: str, **arguments: str) -> dict[str, Any]:
        """A request of a person and its answer; asked again while a device does not take it."""

        def settled() -> dict[str, Any] | None:
            body = {"kind": kind, "name": name, "arguments": arguments}
            answer = self.http.post("/requests", json=body, auth=PersonAuth(self.url, name))
            assert answer.status_code == 202, answer.text
            request_id = answer.json()["request_id"]
            found: dict[str, Any] = self.wait(
                "an answer",
                lambda: found if (found := self.get(f"/requests/{request_id}"))["status"] != "open" else None,
            )
            return found if found["status"] == "done" else None

        done: dict[str, Any] = self.wait(f"{kind} is done", settled)
        return done

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """Ctrl-C, or another signal that ends a program; the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return code

    def kill(self) -> None:
        """As by `kill -9`."""
        self.process.kill()
        self.process.wait(LIMIT_S)

    def rest(self) -> str:
        """What the terminal shows."""
        while not self._new.empty():
            line = self._new.get()
            if line is not None:
                self.lines.append(line)
        return "\n".join(self.lines)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.http.close()


def audit(url: str) -> dict[str, Any]:
    """`swap audit --json`; AssertionError unless its exit code is 0."""
    done = subprocess.run(
        swap("audit", "--json", "--database-url", url), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
