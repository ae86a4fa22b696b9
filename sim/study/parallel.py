"""Runs independent tasks on all cores, or on a cluster that already runs; results in the order of the tasks.

A task must be picklable and carry its own seed, so what it gives does not depend on where it runs. A cluster is
that of the package `distributed` (an extra). Its workers must have the same program and the same versions of Python
and NumPy, or the results could differ: this is checked before anything is sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sim.scenario.notes import Note
from swap.words import N_

Task = TypeVar("Task")
Result = TypeVar("Result")


CONNECT_S = 10.0
"""How long a scheduler may take to answer, and its first worker to join."""
CODE = ("sim", "swap", "scheduler", "battery_bms", "robotics")
"""Folders whose files decide what a task gives."""


class ClusterError(Exception):
    """The cluster cannot be used; the note says what to do."""

    def __init__(self, text: str, **values: object) -> None:
        self.note = Note(text, values)
        super().__init__(str(self.note))


class Workers:
    """Something that maps a function over tasks. `processes` 1 works in this process."""

    def __init__(self, executor: Executor | None, processes: int) -> None:
        self._executor = executor
        self.processes = processes

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        on_done: Callable[[int], None] | None = None,
    ) -> list[Result]:
        """`function` of each task, in order; `on_done` gets the number of tasks done so far."""
        results: list[Result] = []
        done = map(function, tasks) if self._executor is None else self._executor.map(function, tasks)
        for result in done:
            results.append(result)
            if on_done is not None:
                on_done(len(results))
        return results


@contextmanager
def workers(processes: int | None = None, cluster: str | None = None) -> Iterator[Workers]:
    """Local processes (all cores when None), or the workers of a cluster at `tcp://HOST:PORT`.

    Raises:
        ClusterError: the extra is not installed, nobody answers at the address, no worker joins, a worker has another
            program, or the cluster is lost during the work.
    """
    if cluster is not None:
        with _cluster(cluster) as executor:
            yield Workers(executor, 0)
        return
    count = processes or os.cpu_count() or 1
    if count == 1:
        yield Workers(None, 1)
        return
    # Fresh interpreters: a fork would copy the threads' locks of a progress bar or a server.
    context = multiprocessing.get_context("spawn")
    ends, keeps = context.Pipe(duplex=False)
    with ProcessPoolExecutor(count, mp_context=context, initializer=_end_with, initargs=(ends,)) as pool:
        try:
            yield Workers(pool, count)
        except BaseException:
            keeps.close()  # nobody waits for what the workers still compute
            raise
    keeps.close()
    ends.close()


def _end_with(kept: Connection) -> None:
    """Let this worker end with who has started it: by its end, whatever it was, or when it closes its side of a pipe.

    Ctrl-C reaches all processes of a terminal; what it means is for who has started them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel, kept])
        os._exit(1)

    threading.Thread(target=watch, name="ends with its parent", daemon=True).start()


def versions() -> dict[str, str]:
    """What must be the same wherever a task runs."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for folder in CODE:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".toml"):
                digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return {"Python": platform.python_version(), "NumPy": np.__version__, "swapstation": digest.hexdigest()[:12]}


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
        from distributed.comm import CommClosedError
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        raise ClusterError(N_("install the extra first: pip install 'swapstation[cluster]'")) from error
    try:
        client = Client(address, timeout=CONNECT_S)
    except (ValueError, TypeError) as error:
        text = N_("--cluster {address}: is no address; give tcp://HOST:PORT of a scheduler")
        raise ClusterError(text, address=address) from error
    except OSError as error:
        raise ClusterError(N_("no scheduler answers at {address}: {reason}"), address=address, reason=error) from error
    with client:
        _check_workers(client, address)
        try:
            # A key of its own for each task: nobody else's result is taken for ours.
            yield client.get_executor(pure=False)
        except (CancelledError, asyncio.CancelledError, CommClosedError, KilledWorker) as error:
            reason = str(error) or type(error).__name__
            text = N_("the cluster at {address} was lost during the work: {reason}; start it anew and try again")
            raise ClusterError(text, address=address, reason=reason) from error


def _check_workers(client: Any, address: str) -> None:
    """Raise ClusterError unless there are workers and each has what this program has."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError as error:
        text = N_("the scheduler at {address} has no worker: start one with `dask worker {address}`")
        raise ClusterError(text, address=address) from error
    own = versions()
    try:
        found: dict[str, dict[str, str]] = client.run(versions)
    except (ImportError, AttributeError) as error:
        text = N_("the workers at {address} cannot load this program ({reason}): install swapstation there")
        raise ClusterError(text, address=address, reason=error) from error
    for worker, theirs in sorted(found.items()):
        for name, version in own.items():
            if theirs.get(name) != version:
                text = N_("worker {worker} has {name} {theirs}, here it is {own}: install the same on both")
                raise ClusterError(text, worker=worker, name=name, theirs=theirs.get(name, "–"), own=version)
