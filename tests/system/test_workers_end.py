"""D7: the workers of a study end with the command that has started them, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.processes import EXAMPLE, LIMIT_S, alive, children, swap, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

WORKER = b"spawn_main"
"""In the command line of a worker that `multiprocessing` has spawned."""


def two_workers(pid: int) -> list[int]:
    found = children(pid, WORKER)
    return found if len(found) == 2 else []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_command(number: signal.Signals, proved: Callable[[str], None]) -> None:
    scenario = next(EXAMPLE.glob("scenario*.toml"))
    command = swap("simulate", str(scenario), "-p", "2", "--replications", "500")
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=os.environ
    )
    try:
        workers = wait_for("two workers", lambda: two_workers(process.pid), process)
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        process.wait(LIMIT_S)
        began_s = time.monotonic()
        wait_for("the workers have ended", lambda: not any(alive(worker) for worker in workers))
        proved(f"{number.name} to a study: its workers have ended {time.monotonic() - began_s:.2f} s after it")
    finally:
        for pid in (*children(process.pid, WORKER), process.pid):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def test_the_twin_ends_with_ctrl_c() -> None:
    """D7: on virtual time as well."""
    arguments = ("twin", str(EXAMPLE / "station.toml"), str(EXAMPLE / "scenario.toml"), "--hours", "700")
    process = subprocess.Popen(swap(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        # It has begun when it has computed for longer than an import takes.
        wait_for("it computes", lambda: used_s(process.pid) > 6.0, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) != 0
    finally:
        process.kill()
        process.communicate()


def used_s(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
