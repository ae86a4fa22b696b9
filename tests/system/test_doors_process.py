"""The doors in a process of their own: they end with the station's, and the station goes on without them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from swap.station.life.status import LATE_AFTER_S
from tests.support.swap.databases import migrated_sqlite
from tests.system.processes import LIMIT_S, StationProcess, alive, children, example_station, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[StationProcess]:
    database = tmp_path / "swap.db"
    migrated_sqlite(database)
    process = StationProcess(example_station(tmp_path / "station"), database)
    process.wait_for_line("/console")
    yield process
    process.close()


def doors_of(pid: int) -> int | None:
    """The process of the doors that a station's process has started."""
    return next(iter(children(pid, b"api.serving")), None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_doors_end_with_their_station(station: StationProcess, number: signal.Signals) -> None:
    """D7: however it ends."""
    pid = station.process.pid
    doors = station.wait("the doors", lambda: doors_of(pid))
    station.process.send_signal(number)
    station.process.wait(LIMIT_S)
    wait_for("the doors have ended", lambda: not alive(doors))


def _are_others(pid: int, doors: int) -> bool:
    return doors_of(pid) not in (None, doors)


@pytest.mark.timeout(300)  # doors start again and again, beside the other tests
def test_the_station_goes_on_while_its_doors_are_killed(station: StationProcess) -> None:
    """D3, D4: whatever ends the doors, the controller is the same, and doors are there again."""
    pid = station.process.pid
    since_at = station.wait("the controller runs", lambda: (health(station) or {}).get("control", {}).get("since_at"))
    for _ in range(2):
        doors = station.wait("the doors", lambda: doors_of(pid))
        os.kill(doors, signal.SIGKILL)
        station.wait("other doors", partial(_are_others, pid, doors))
        answered = station.wait("an answer", lambda: health(station))
        assert answered["control"]["since_at"] == since_at
    assert len(station.get("/events", kind="controller.started")["items"]) == 1
    assert station.interrupt() == 0


def test_doors_say_that_a_station_has_come_to_a_stand(station: StationProcess) -> None:
    """A frozen process behind living doors: 503 and an old page, never a green one."""
    station.wait("the controller runs", lambda: health(station))
    pid = station.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        seen: list[tuple[int, float, str]] = []

        def looked() -> bool:  # where the processor is short the doors may take their time
            answer = station.http.get(f"http://127.0.0.1:{station.port}/health")
            said = answer.json()
            seen.append((answer.status_code, said["control"]["status_age_s"], said["word"]))
            return seen[-1][0] == 503

        station.wait("503", looked)
        assert seen[-1][2] == "loop_late"
        assert all(age_s <= LATE_AFTER_S for code, age_s, _ in seen if code == 200)
        page = f"http://127.0.0.1:{station.port}/console?lang=en"
        station.wait("the page tells it", lambda: 'class="control loop_late"' in station.http.get(page).text)
        with connect(f"ws://127.0.0.1:{station.port}/console/live?lang=en", open_timeout=LIMIT_S) as socket:
            heard = [json.loads(socket.recv(LIMIT_S))]
            while (beat := heard[-1].get("beat")) is None or beat["age_ms"] <= 3000:
                heard.append(json.loads(socket.recv(LIMIT_S)))
        assert beat["control"] is True
        assert any("loop_late" in message.get("content", "") for message in heard)
    finally:
        os.kill(pid, signal.SIGCONT)
    station.wait("the controller is heard again", lambda: health(station))
    assert station.interrupt() == 0


def health(station: StationProcess) -> Any:
    answer = station.http.get(f"http://127.0.0.1:{station.port}/health")
    return answer.json() if answer.status_code == 200 else None


LOADED = """
import gc
import api.wiring
from api.serving import keep_loaded
before = len(gc.get_objects())
keep_loaded()
print(before, len(gc.get_objects()))
"""


def test_what_a_process_has_loaded_is_not_looked_through_again() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before / 100
