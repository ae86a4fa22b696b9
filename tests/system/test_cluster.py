"""`--cluster` on a real scheduler with two workers, each a process of its own: the same bits as one local process."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client
from typer.testing import CliRunner

from api.cli.__main__ import app
from sim.study import parallel
from sim.study.parallel import ClusterError, workers
from tests.support.ports import own_ports
from tests.support.sim.study import SMALL_FILE

pytestmark = [pytest.mark.system]

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
LIMIT_S = 60.0
"""Longest wait for anything; many times what it takes on an idle machine."""
SCENARIO = (
    SMALL_FILE
    + """
study = { warmup_days = 1 }
sizing = { packs = [8], transformer_kva = [1250, 2000] }
"""
)


@pytest.fixture(autouse=True)
def collected_between_tests() -> Iterator[None]:
    """A client that the collector of cycles finds closes itself once more, and waits for a lock of its class.

    Found while this very thread holds that lock, it would wait for ever: so it is found where nothing is held.
    """
    gc.disable()
    yield
    gc.enable()
    gc.collect()


def _process(stack: ExitStack, module: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments, "--host", "127.0.0.1", "--no-dashboard"]
    # Nobody reads what it says, and a full pipe would stop it.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _scheduler(stack: ExitStack) -> tuple[subprocess.Popen[bytes], str]:
    """A scheduler that answers, and its address."""
    port = own_ports(1)[0]
    process, address = _process(stack, "dask_scheduler", "--port", str(port)), f"tcp://127.0.0.1:{port}"
    Client(address, timeout=LIMIT_S).close()
    return process, address


def _workers(stack: ExitStack, address: str, count: int) -> list[subprocess.Popen[bytes]]:
    """Workers of one thread each, once they have joined."""
    started = [_process(stack, "dask_worker", address, "--nthreads", "1", "--no-nanny") for _ in range(count)]
    with Client(address) as client:
        client.wait_for_workers(count, timeout=LIMIT_S)
    return started


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with ExitStack() as stack:
        _, address = _scheduler(stack)
        _workers(stack, address, 2)
        yield address


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "scenario.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return str(path)


def swap(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "command",
    [
        ("simulate", "SCENARIO", "--days", "1", "-n", "4", "--seed", "3", "--json"),
        ("size", "SCENARIO", "--days", "0.5", "--quick", "--json"),
    ],
    ids=["simulate", "size"],
)
def test_a_cluster_gives_the_same_bits_as_one_process(cluster: str, scenario: str, command: tuple[str, ...]) -> None:
    arguments = [scenario if given == "SCENARIO" else given for given in command]
    far, near = swap(*arguments, "--cluster", cluster), swap(*arguments, "-p", "1")
    assert far == near
    assert far[0] in (0, 1, 4), "so short a run may leave it undecided"
    assert _tasks(cluster) == 0


def _tasks(address: str) -> int:
    """Tasks that the scheduler still knows."""
    with Client(address) as client:
        return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))


def test_the_work_is_done_by_the_workers(cluster: str) -> None:
    with workers(cluster=cluster) as pool:
        seen: list[int] = []
        done = pool.map(_process_id, list(range(40)), seen.append)
    assert seen == list(range(1, 41))
    assert len(set(done)) == 2
    assert os.getpid() not in done


def _process_id(number: int) -> int:
    return os.getpid()


def test_ctrl_c_ends_the_program_and_takes_its_tasks_back(cluster: str, scenario: str) -> None:
    command = [sys.executable, "-m", "api.cli", "simulate", scenario, "-n", "400", "--cluster", cluster]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    with ExitStack() as stack:
        stack.callback(_end, process)
        with Client(cluster) as client:
            _wait_for_tasks(client, some=True)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=LIMIT_S)
            _wait_for_tasks(client, some=False)
            assert len(client.scheduler_info()["workers"]) == 2
    assert process.returncode == 130
    assert "Traceback" not in said, said


def _wait_for_tasks(client: Client, *, some: bool) -> None:
    """Ask the scheduler until it has tasks, or until it has none."""
    while bool(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))) is not some:
        pass  # each question is a round trip; the test's own time limit ends it


def test_another_version_is_refused_by_name(cluster: str, scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = np.__version__
    monkeypatch.setattr(np, "__version__", "0.0.1")
    code, said = swap("simulate", scenario, "--cluster", cluster)
    assert code == 2
    assert f"has NumPy {real}, here it is 0.0.1: install the same on both" in said


def test_an_address_where_nobody_answers_is_said(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "CONNECT_S", 0.3)
    address = f"tcp://127.0.0.1:{own_ports(1)[0]}"
    code, said = swap("--lang", "zh", "simulate", scenario, "--cluster", address)
    assert code == 2
    assert f"{address} 没有调度器应答" in said
    code, said = swap("simulate", scenario, "--cluster", "nowhere")
    assert code == 2
    assert "--cluster nowhere: is no address; give tcp://HOST:PORT of a scheduler" in said


def test_a_cluster_without_workers_and_one_that_is_lost_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        scheduler, address = _scheduler(stack)
        with monkeypatch.context() as patch:
            patch.setattr(parallel, "CONNECT_S", 0.3)
            joined = workers(cluster=address)
            with pytest.raises(ClusterError, match="has no worker"):
                joined.__enter__()
        worker = _workers(stack, address, 1)

        def lose(done: int) -> None:
            for process in (*worker, scheduler):
                process.kill()

        with pytest.raises(ClusterError, match="was lost during the work"), workers(cluster=address) as pool:
            pool.map(_slow, [0.0, LIMIT_S], lose)


def _slow(seconds: float) -> float:
    import threading

    threading.Event().wait(seconds)
    return seconds
