"""Watched from outside: the registers of the PLC over Modbus, and `/health` over HTTP, each by a thread of its own."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

from pymodbus.client import ModbusTcpClient

from robotics.modbus_link.registers import load_map

ADDRESSES = {name: entry.address for name, entry in load_map("swap_cell_v2").entries.items()}
"""Of the layout that the drilled station uses, where docs/integrators.md prints them."""
STATUS = ("ack_seq", "active_seq", "done_seq", "owner")
COMMAND = ("cmd_heartbeat", "cmd_seq", "hold")
WATCH_S = 0.05
HEALTH_S = 0.2
HEALTH_LIMIT_S = 1.0


@dataclass(frozen=True)
class Seen:
    """The PLC at one instant."""

    at_s: float
    """Monotonic seconds."""
    ack_seq: int
    active_seq: int
    done_seq: int
    owner: int
    cmd_heartbeat: int
    cmd_seq: int
    hold: int


class PlcWatch:
    """Reads a PLC's registers until it is left."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._seen: list[Seen] = []
        self._stop = threading.Event()

    @property
    def seen(self) -> list[Seen]:
        """Every look so far."""
        return list(self._seen)

    @property
    def now(self) -> Seen | None:
        """The newest look."""
        return self._seen[-1] if self._seen else None

    def owned(self) -> bool:
        """Somebody owns the cell."""
        return self.now is not None and self.now.owner != 0

    @contextmanager
    def watching(self) -> Iterator[PlcWatch]:
        """Watch meanwhile."""
        thread = threading.Thread(target=self._run, name="PLC watch")
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        client = ModbusTcpClient("127.0.0.1", port=self._port, timeout=2, retries=0)
        assert client.connect()  # type: ignore[no-untyped-call]
        try:
            while not self._stop.is_set():
                words = {**_read(client, STATUS), **_read(client, COMMAND)}
                self._seen.append(Seen(at_s=time.monotonic(), **words))
                self._stop.wait(WATCH_S)
        finally:
            client.close()  # type: ignore[no-untyped-call]

    def silence_s(self, from_s: float, until_s: float) -> float:
        """Longest time without a new heartbeat of the station."""
        beats = [one for one in self._seen if from_s <= one.at_s <= until_s]
        longest_s = 0.0
        moved_s = beats[0].at_s if beats else from_s
        for before, after in pairwise(beats):
            if after.cmd_heartbeat != before.cmd_heartbeat:
                moved_s = after.at_s
            longest_s = max(longest_s, after.at_s - moved_s)
        return longest_s

    def begun(self, from_s: float, until_s: float) -> list[int]:
        """Numbers of commands that the PLC took in a time."""
        numbers = [one.ack_seq for one in self._seen if from_s <= one.at_s <= until_s]
        return [after for before, after in pairwise(numbers) if after != before]

    def owners(self, from_s: float, until_s: float) -> set[int]:
        """Who owned the cell in a time."""
        return {one.owner for one in self._seen if from_s <= one.at_s <= until_s}

    def held_at(self, from_s: float) -> float | None:
        """When the hold was first asked for after an instant."""
        return next((one.at_s for one in self._seen if one.at_s >= from_s and one.hold), None)


@dataclass(frozen=True)
class Answered:
    """One answer of `/health`; `word` is empty when none came in time."""

    at_s: float
    took_s: float
    word: str


def _read(client: ModbusTcpClient, names: tuple[str, ...]) -> dict[str, int]:
    first = min(ADDRESSES[name] for name in names)
    count = max(ADDRESSES[name] for name in names) - first + 1
    words = client.read_holding_registers(first, count=count).registers
    return {name: words[ADDRESSES[name] - first] for name in names}


class HealthWatch:
    """Asks `/health` again and again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers: list[Answered] = []
        self._stop = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[HealthWatch]:
        """Ask meanwhile."""
        thread = threading.Thread(target=self._run, name="health watch")
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            began_s = time.monotonic()
            word = ""
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            try:
                connection.request("GET", "/health")
                word = str(json.loads(connection.getresponse().read())["word"])
            except (OSError, http.client.HTTPException):
                pass  # no answer, or half of one: the word stays empty, and a drill fails by it
            finally:
                connection.close()
            self.answers.append(Answered(began_s, time.monotonic() - began_s, word))
            self._stop.wait(HEALTH_S)

    def words(self, from_s: float, until_s: float) -> list[str]:
        """The words of a time, in order, each once in a row."""
        found: list[str] = []
        for answer in self.answers:
            if from_s <= answer.at_s <= until_s and (not found or found[-1] != answer.word):
                found.append(answer.word)
        return found

    def worst_s(self, from_s: float, until_s: float) -> float:
        """Longest wait for an answer in a time."""
        return max((a.took_s for a in self.answers if from_s <= a.at_s <= until_s), default=0.0)
