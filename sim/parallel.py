"""Runs independent tasks on all cores, or on a cluster that already runs; results in the order of the tasks.

A task must be picklable and carry its own seed, so what it gives does not depend on where it runs.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class ClusterError(Exception):
    """The cluster cannot be used; the message says what to do."""


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
        ClusterError: the extra is not installed, or nobody answers at the address.
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
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Workers(pool, count)


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError("install the extra first: pip install 'swapstation[cluster]'") from error
    try:
        client = Client(address, timeout="10s")
    except OSError as error:
        raise ClusterError(f"no scheduler answers at {address}: {error}") from error
    with client:
        executor: Executor = client.get_executor()
        yield executor
