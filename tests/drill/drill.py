"""One drill: a station in the middle of a swap, its PLC and `/health` watched from outside, and something goes wrong.

Devices run in a process of their own, the product in another. Station time is `SPEED` times real time, motions take
`MOTION_SHARE` of theirs: a motion lasts some real seconds, as long as the shorter drills.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from robotics.faults import fault_by_code
from swap.config.loading import parse_station
from tests.drill.station import run_station
from tests.drill.watch import HEALTH_LIMIT_S, HealthWatch, PlcWatch
from tests.prove.kill_devices import Look, run_devices
from tests.prove.kill_trial import forkserver
from tests.support.api.people import PersonAuth
from tests.support.ports import own_ports
from tests.support.sim.plant import station_data

SPEED = 4.0
MOTION_SHARE = 0.3
LIMIT_S = 120.0
POLL_S = 0.1
PERSON = "Operator A"
GAP_S = 3.0
"""After a gap longer than this nothing begins before a person has confirmed."""
STILL_S = 2.0
"""So long is watched that nothing begins before the person confirms."""


@dataclass
class Row:
    """What one drill showed."""

    name: str
    took_s: float = 0.0
    """Time of the trouble."""
    held_after_s: float | None = None
    """From its beginning to the hold at the PLC."""
    silence_s: float = 0.0
    """Longest time without a heartbeat at the PLC."""
    health_s: float = 0.0
    """Longest wait for `/health`."""
    words: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    told: str = ""
    ended: str = ""

    def line(self) -> str:
        """One line of the table."""
        held = "–" if self.held_after_s is None else f"{self.held_after_s:.2f}"
        return (
            f"{self.name:<34} {self.took_s:>6.1f} {held:>7} {self.silence_s:>8.2f} {self.health_s * 1000:>7.0f}  "
            f"{' > '.join(self.words):<46} {', '.join(self.faults) or 'none':<24} {self.told:<30} {self.ended}"
        )


HEAD = (
    f"{'drill':<34} {'s':>6} {'held':>7} {'silence':>8} {'health':>7}  {'words':<46} {'faults':<24} {'told':<30} swap\n"
    f"{'':<34} {'':>6} {'after s':>7} {'of beats':>8} {'ms':>7}"
)


class Process:
    """A process that answers over a pipe."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self._pipe, theirs = forkserver().Pipe()
        self._lock = threading.Lock()
        self.process = forkserver().Process(target=target, args=(*arguments, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def told(self) -> Any:
        """What it says next."""
        assert self._pipe.poll(LIMIT_S), "the process does not answer"
        return self._pipe.recv()

    def ask(self, *question: Any) -> Any:
        """Its answer to a question."""
        with self._lock:
            self._pipe.send(question)
            return self.told()

    @property
    def pid(self) -> int:
        """Number of the process."""
        assert self.process.pid is not None
        return int(self.process.pid)

    def kill(self) -> None:
        """As by `kill -9`."""
        self.process.kill()
        self.process.join(LIMIT_S)
        self._pipe.close()


class Drill:
    """A station under way. Use `drilling`.

    Args:
        disk, copies: as `run_station`.
        more: what the station file has beside that of `station_data`.
    """

    def __init__(
        self, folder: Path, url: str, *, disk: Path | None = None, copies: Path | None = None, **more: Any
    ) -> None:
        ports = own_ports(5)
        self.url = url
        self.data = station_data(ports=ports[:4], trucks=more.pop("trucks", 4)) | more
        self.config = parse_station(self.data)
        self.port = ports[4]
        self.file = folder / "station.json"
        self.file.write_text(json.dumps(self.data), encoding="utf-8")
        self._disk, self._copies = disk, copies
        self.plc = PlcWatch(ports[2])
        self.health = HealthWatch(self.port)
        self.auth = PersonAuth(url, PERSON, self.config.station.operator)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}/api/v1", timeout=15.0, auth=self.auth)
        self.devices: Process
        self.station: Process
        self._stack = ExitStack()

    def begin(self) -> None:
        """Start everything, until the controller runs and sees its cell."""
        stack = self._stack
        self.devices = Process(run_devices, self.data, SPEED, MOTION_SHARE)
        stack.callback(self.devices.kill)
        assert self.devices.told() == "ready"
        stack.enter_context(self.plc.watching())
        self.start_station()
        stack.callback(self._kill_station)
        stack.callback(self._close_http)
        stack.enter_context(self.health.watching())
        self.until("the controller runs", lambda: self.health.answers and self.health.answers[-1].word == "running")
        self.until("automatic", lambda: self.get(f"/stations/{self.config.station.id}")["mode"] == "automatic")

    def start_station(self) -> None:
        """The product's process."""
        disk, copies = (None if folder is None else str(folder) for folder in (self._disk, self._copies))
        self.station = Process(run_station, str(self.file), self.url, self.port, SPEED, disk, copies)

    def start_another(self) -> None:
        """One more process of the product on the same database, which is asked and watched from now on."""
        self.http.close()
        self.port = own_ports(1)[0]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}/api/v1", timeout=15.0, auth=self.auth)
        self.start_station()

    def _close_http(self) -> None:
        self.http.close()

    def _kill_station(self) -> None:
        self.station.kill()

    def end(self) -> None:
        """Stop everything."""
        self._stack.close()

    # what the station says

    def get(self, path: str, **parameters: str) -> Any:
        """The answer of a route."""
        answer = self.http.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Events of a kind."""
        found: list[dict[str, Any]] = self.get("/events", kind=kind)["items"]
        return found

    def swap(self, swap_id: str) -> dict[str, Any]:
        """One swap."""
        found: dict[str, Any] = self.get(f"/swaps/{swap_id}")
        return found

    def mode(self) -> str:
        """The station's mode."""
        return str(self.get(f"/stations/{self.config.station.id}")["mode"])

    def faults(self) -> list[str]:
        """Names of the faults that were raised so far."""
        raised = self.events("fault.raised")
        return sorted({fault_by_code(int(event["data"]["code"])).name for event in raised})

    def until(self, what: str, true: Callable[[], Any], limit_s: float = LIMIT_S) -> Any:
        """Ask until it is so; AssertionError when it is not, or the station's process dies."""
        until_s = time.monotonic() + limit_s
        last: Any = None
        while time.monotonic() < until_s:
            assert self.station.process.is_alive(), f"{what}: the process ended, {self.station.process.exitcode}"
            try:
                last = true()
            except httpx.HTTPError as error:
                last = error
            else:
                if last:
                    return last
            time.sleep(POLL_S)
        raise AssertionError(f"{what}: not within {limit_s} s; last: {last}")

    # what happens

    def arrive(self, vehicle_id: str = "V1") -> str:
        """A truck comes and checks in."""
        look = self.devices.ask("arrive", vehicle_id, 30.0)
        assert isinstance(look, Look)

        def checked_in() -> str | None:
            body = {"vehicle_id": vehicle_id, "station_id": self.config.station.id}
            answer = self.http.post("/swaps", json=body)
            return str(answer.json()["swap_id"]) if answer.is_success else None

        found: str = self.until("checked in", checked_in)
        return found

    def under_way(self, vehicle_id: str = "V1") -> str:
        """A swap whose robot carries a pack."""
        swap_id = self.arrive(vehicle_id)
        self.until("the robot carries", lambda: self.swap(swap_id)["state"] in ("lifting_old", "storing_old"))
        self.until("a command runs", lambda: self.plc.now is not None and self.plc.now.active_seq != 0)
        return swap_id

    def confirm(self) -> None:
        """A named person looks and lets the station go on."""

        def confirmed() -> bool:
            body = {"kind": "confirm", "name": PERSON, "arguments": {}}
            answer = self.http.post("/requests", json=body)
            if answer.status_code != 202:
                return False
            request_id = answer.json()["request_id"]
            done = self.until(
                "an answer",
                lambda: found if (found := self.get(f"/requests/{request_id}"))["status"] != "open" else None,
            )
            return bool(done["status"] == "done")

        self.until("confirmed", confirmed)

    def let_go_on(self, swap_id: str) -> str:
        """Until the swap has ended, with a person's decisions where it waits for them; how it ended."""
        for _ in range(6):
            self.until("ended or waiting", lambda: self._ended(swap_id) or self.swap(swap_id)["phase"] == "held")
            if self._ended(swap_id):
                return str(self.swap(swap_id)["state"])
            if self.mode() == "held":
                self.confirm()
            else:
                arguments = {"swap_id": swap_id, "decision": "continue"}
                self.http.post("/requests", json={"kind": "decide", "name": PERSON, "arguments": arguments})
            time.sleep(0.5)
        return f"waits in {self.swap(swap_id)['state']}"

    def _ended(self, swap_id: str) -> bool:
        return self.swap(swap_id)["ended_at"] is not None

    # one trouble

    def trouble(self, name: str, make: Callable[[], None], *, loses: bool | None, waits_for: str = "") -> Row:
        """Something goes wrong in the middle of a swap; what it showed.

        Args:
            make: makes the trouble and ends it.
            loses: whether the station must be held for a person by it; None where both are right, since the
                outcome of a commit may be unknown.
            waits_for: kind of the event that tells of it.
        """
        swap_id = self.under_way()
        row = Row(name)
        began_s = time.monotonic()
        make()
        ended_s = time.monotonic()
        row.took_s = ended_s - began_s
        if waits_for:
            event = self.until(f"{waits_for} is told", lambda: self.events(waits_for))[-1]
            numbers = {k: v for k, v in event["data"].items() if isinstance(v, float)}
            row.told = f"{waits_for} " + " ".join(f"{k} {v}" for k, v in numbers.items())
        if loses is None:
            time.sleep(GAP_S)
            self.until("the controller runs", lambda: self.health.answers[-1].word == "running")
            loses = bool(self.events("database.lost"))
        if loses:
            self.until("held for a person", lambda: self.mode() == "held")
            self.until("the controller runs", lambda: self.health.answers[-1].word == "running")
            time.sleep(STILL_S)
            begun = self.plc.begun(began_s + GAP_S, time.monotonic())
            assert begun == [], f"{name}: commands {begun} were taken before a person confirmed"
            held_s = self.plc.held_at(began_s)
            assert held_s is not None, f"{name}: the PLC was never held"
            row.held_after_s = held_s - began_s
            self.confirm()
        row.ended = self.let_go_on(swap_id)
        until_s = time.monotonic()
        assert row.ended == "completed"
        row.silence_s = self.plc.silence_s(began_s, until_s)
        row.health_s = self.health.worst_s(began_s, until_s)
        row.words = self.health.words(began_s, until_s)
        row.faults = self.faults()
        if not loses:
            assert self.events("swap.held") == [], f"{name}: the swap was held"
            assert self.mode() == "automatic"
        assert row.health_s < HEALTH_LIMIT_S, f"{name}: /health took {row.health_s:.2f} s"
        assert "" not in row.words, f"{name}: /health did not answer"
        return row


@contextmanager
def drilling(folder: Path, url: str, **options: Any) -> Iterator[Drill]:
    """A station that is ready for its drill, ended afterwards."""
    drill = Drill(folder, url, **options)
    try:
        drill.begin()
        yield drill
    finally:
        drill.end()
