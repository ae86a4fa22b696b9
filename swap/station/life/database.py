"""Where a controller's transactions run, and what it knows of its database.

Every transaction of a controller is a function of a session that changes no memory: memory follows its commit, from
what it returns. So it can be run again after a rollback, and on any thread.

    DirectDatabase   runs it at once, in the caller: virtual time, exploration, tests
    ApartDatabase    runs it on a thread of its own: the loops never wait in the database

A commit that takes longer than `SLOW_AFTER_S` is slow; the loops go on, and what waits for its commit does not leave.
After `LOST_AFTER_S`, or when a connection ends during a commit, the database is lost: every transaction under way is
given up, whatever became of it, and nothing is written until the controller has taken everything up anew.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from swap.errors import DatabaseAway
from swap.station_db import StationDb as Db
from swap.store import Store

T = TypeVar("T")

SLOW_AFTER_S = 1.0
"""Real seconds that a commit is waited for without a word."""
LOST_AFTER_S = 2.5
"""Real seconds after which the controller holds by its own act: before a PLC gives a silent owner up, at 3 s."""
START_S = 30.0
"""The same while the controller only begins and nothing moves."""
RETRY_S = 0.05
"""Pause between two tries of one transaction."""


class DatabaseState(StrEnum):
    """What a controller knows of its database."""

    OK = "ok"
    SLOW = "slow"
    LOST = "lost"


class DatabaseLost(Exception):
    """The transaction was given up; whether it was committed is not known."""


class DirectDatabase:
    """Runs every transaction at once, on the caller's thread. It is never slow; what fails is raised.

    Args:
        station_id: the only station whose rows are read and written.
    """

    holder: str | None = None
    """The controller that writes: each transaction is refused once another one has taken the station."""

    def __init__(self, store: Store, station_id: str) -> None:
        self._store = store
        self._station_id = station_id
        self.opened = asyncio.Event()
        """The loops may go on."""
        self.opened.set()
        self.lost = asyncio.Event()

    async def write(self, work: Callable[[Db], T]) -> T:
        """Run one write transaction and wait for its commit.

        Raises:
            DatabaseLost: it was given up.
            LeaseLost: another controller has taken the station; nothing was written.
        """
        with self._store.station(self._station_id, self.holder) as db:
            return work(db)

    async def read(self, work: Callable[[Db], T]) -> T:
        """Run one read transaction on a stable snapshot. Raises DatabaseLost."""
        with self._store.reading_station(self._station_id) as db:
            return work(db)

    @property
    def state(self) -> DatabaseState:
        """How the database does now."""
        return DatabaseState.OK

    @property
    def reason(self) -> str:
        """Why it was lost last; empty when it never was."""
        return ""

    def oldest_write_s(self) -> float | None:
        """Real seconds that the oldest commit under way has been waited for; None when none is."""
        return None

    def slow_s(self) -> float | None:
        """Longest wait of a slow time that has just ended, told once; None when there was none."""
        return None

    def watch(self) -> None:
        """The loops begin: from here on a late commit is a loss."""

    def try_again(self) -> None:
        """Let transactions through after a loss; the loops stay where they are until `reopen`."""

    def reopen(self) -> None:
        """Everything is taken up anew: the loops may go on."""

    def close(self) -> None:
        """End what runs; what is under way is given up."""


class _Job:
    """One transaction asked for."""

    def __init__(self, work: Callable[[Db], Any], asked_s: float) -> None:
        self.work = work
        self.asked_s = asked_s
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.given_up = threading.Event()
        self.finished = False
        """Set by the thread; the result may still be on its way to the loop."""


class _GivenUp(Exception):
    """Rolls back a transaction that nobody waits for any more."""


class _Line:
    """A thread that runs one transaction after the other."""

    def __init__(self, name: str, run: Callable[[Callable[[Db], Any]], Any]) -> None:
        self._run_one = run
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, job: _Job) -> None:
        self._jobs.put(job)

    def close(self) -> None:
        """End after the transaction under way; a thread stuck in the network is left behind."""
        self._jobs.put(None)
        self._thread.join(LOST_AFTER_S)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            result, error = None, None
            try:
                result = self._until_done(job)
            except BaseException as raised:  # every error goes to who asked
                error = raised
            job.finished = True
            if not job.given_up.is_set():
                job.future.get_loop().call_soon_threadsafe(_settle, job, result, error)

    def _until_done(self, job: _Job) -> Any:
        def work(db: Db) -> Any:
            done = job.work(db)
            if job.given_up.is_set():
                raise _GivenUp
            return done

        while not job.given_up.is_set():
            try:
                return self._run_one(work)
            except DatabaseAway as error:
                if error.outcome_unknown:
                    raise
                job.given_up.wait(RETRY_S)
        raise _GivenUp


def _settle(job: _Job, result: Any, error: BaseException | None) -> None:
    if job.future.done():
        return
    if error is not None:
        job.future.set_exception(error)
    else:
        job.future.set_result(result)


class ApartDatabase(DirectDatabase):
    """Runs transactions on two threads of its own, one that writes and one that reads.

    Args:
        store: of the controller alone (`Store.for_control`).
    """

    slow_after_s = SLOW_AFTER_S
    lost_after_s = LOST_AFTER_S

    def __init__(self, store: Store, station_id: str) -> None:
        super().__init__(store, station_id)
        self._watched = False
        self._writer = _Line("station writer", self._write_now)
        self._reader = _Line("station reader", self._read_now)
        self._writing: set[_Job] = set()
        self._under_way: set[_Job] = set()
        self._refusing = False
        self._reason = ""
        self._slow_s = 0.0

    def _write_now(self, work: Callable[[Db], Any]) -> Any:
        with self._store.station(self._station_id, self.holder) as db:
            return work(db)

    def _read_now(self, work: Callable[[Db], Any]) -> Any:
        with self._store.reading_station(self._station_id) as db:
            return work(db)

    async def write(self, work: Callable[[Db], T]) -> T:
        """As `DirectDatabase.write`, on the writer's thread; run again while the database is away."""
        job = _Job(work, time.monotonic())
        self._writing.add(job)
        try:
            with self._store.first_in_line(self._station_id):
                done: T = await self._ask(self._writer, job)
        finally:
            self._writing.discard(job)
            waited_s = time.monotonic() - job.asked_s
            if waited_s > self.slow_after_s:
                self._slow_s = max(self._slow_s, waited_s)
        return done

    async def read(self, work: Callable[[Db], T]) -> T:
        """As `DirectDatabase.read`, on the reader's thread."""
        done: T = await self._ask(self._reader, _Job(work, time.monotonic()))
        return done

    async def _ask(self, line: _Line, job: _Job) -> Any:
        if self._refusing:
            raise DatabaseLost(self._reason)
        self._under_way.add(job)
        line.put(job)
        try:
            limit_s = self.lost_after_s if self._watched else START_S
            await asyncio.wait({job.future}, timeout=limit_s)
            if not job.future.done() and not job.finished:
                self._lose(f"no commit within {limit_s:g} s")
            return await job.future
        except DatabaseAway as error:
            self._lose(str(error))
            raise DatabaseLost(self._reason) from error
        finally:
            self._under_way.discard(job)
            if not job.future.done():
                job.future.cancel()

    def _lose(self, reason: str) -> None:
        self._refusing = True
        self._reason = reason
        self.opened.clear()
        self.lost.set()
        for job in self._under_way:
            job.given_up.set()
            if not job.future.done():
                job.future.set_exception(DatabaseLost(reason))

    @property
    def state(self) -> DatabaseState:
        """How the database does now."""
        if not self.opened.is_set():
            return DatabaseState.LOST
        oldest_s = self.oldest_write_s()
        slow = oldest_s is not None and oldest_s > self.slow_after_s
        return DatabaseState.SLOW if slow else DatabaseState.OK

    @property
    def reason(self) -> str:
        """Why it was lost last; empty when it never was."""
        return self._reason

    def oldest_write_s(self) -> float | None:
        """Real seconds that the oldest commit under way has been waited for; None when none is."""
        asked_s = min((job.asked_s for job in self._writing if not job.finished), default=None)
        return None if asked_s is None else time.monotonic() - asked_s

    def slow_s(self) -> float | None:
        """Longest wait of a slow time that has just ended, told once; None when there was none."""
        if not self._slow_s or not self.opened.is_set() or self.state is DatabaseState.SLOW:
            return None
        slow_s, self._slow_s = self._slow_s, 0.0
        return slow_s

    def watch(self) -> None:
        """The loops begin: from here on a late commit is a loss."""
        self._watched = True

    def try_again(self) -> None:
        """Let transactions through after a loss; the loops stay where they are until `reopen`."""
        self._refusing = False
        self.lost.clear()

    def reopen(self) -> None:
        """Everything is taken up anew: the loops may go on."""
        self._slow_s = 0.0
        if not self._refusing:
            self.opened.set()

    def close(self) -> None:
        """End what runs; what is under way is given up."""
        self._lose("the controller has ended")
        self._writer.close()
        self._reader.close()
