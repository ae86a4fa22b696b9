"""Commerce of one station as a task of its own: what fails here is told and tried again, and stops nothing else.

It knows neither the controller nor its lease: it reads the journal and writes bookings and bills. It may run beside
the doors, or in a process of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tenacity import AsyncRetrying, RetryCallState, wait_exponential

from swap.commerce.billing import NotBilled, Tariff, run_commerce
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway
from swap.store import Store

PERIOD_S = 1.0
"""Real seconds between two looks at the journal."""
LONGEST_WAIT_S = 60.0
"""Real seconds between two tries, at most, when all of commerce fails."""
BILL_WAIT_S = 10.0
"""Real seconds until a bill that failed is tried again; twice as long after each failure."""
BILL_WAIT_MAX_S = 3600.0

log = logging.getLogger(__name__)

Tell = Callable[[str | None], object]
"""Called with what fails now, once, and with None when nothing fails any more."""


async def wait(real_s: float) -> None:
    """Let real seconds pass."""
    await asyncio.sleep(real_s)


@dataclass(slots=True)
class _Failed:
    """A swap that could not be billed."""

    tries: int
    again_s: float


class Commerce:
    """Ends bookings and makes bills, again and again.

    Args:
        store: database of the station.
        now: station time.
        tell: a fault of the station is raised and cleared by it.
        monotonic: real seconds.
    """

    def __init__(
        self,
        store: Store,
        config: StationConfig,
        tariff: Tariff,
        now: Callable[[], datetime],
        tell: Tell,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._config = config
        self._tariff = tariff
        self._now = now
        self._tell = tell
        self._monotonic = monotonic
        self._unbilled: dict[str, _Failed] = {}
        self._trouble: str | None = None
        """Why the last cycle failed as a whole."""
        self._told: str | None = None

    @property
    def unbilled(self) -> int:
        """Completed swaps whose bill has failed and is tried again."""
        return len(self._unbilled)

    async def run(self) -> None:
        """Work until cancelled; never ends by a failure."""
        while True:
            async for attempt in AsyncRetrying(
                wait=wait_exponential(multiplier=1.0, max=LONGEST_WAIT_S),
                sleep=wait,
                before_sleep=self._failed,
            ):
                with attempt:
                    await asyncio.to_thread(self.cycle)
            await wait(PERIOD_S)

    def cycle(self) -> None:
        """One look at the journal. Raises what kept it from looking; a single bill that fails is only kept."""
        self._tell_change()
        now_s = self._monotonic()
        waiting = {swap_id for swap_id, failed in self._unbilled.items() if failed.again_s > now_s}
        failed: dict[str, NotBilled] = {}
        try:
            run_commerce(self._store, self._config, self._tariff, self._now(), leave_out=waiting)
        except* NotBilled as group:
            failed = {error.swap_id: error for error in group.exceptions if isinstance(error, NotBilled)}
        self._unbilled = {
            swap_id: known for swap_id, known in self._unbilled.items() if swap_id in waiting or swap_id in failed
        }
        for error in failed.values():
            self._keep(error)
        self._trouble = None
        self._tell_change()

    def _keep(self, error: NotBilled) -> None:
        known = self._unbilled.get(error.swap_id)
        tries = 1 if known is None else known.tries + 1
        log.log(
            logging.ERROR if known is None else logging.DEBUG,
            "%s, try %d",
            error,
            tries,
            exc_info=error.__cause__,
        )
        wait_s = min(BILL_WAIT_S * 2 ** (tries - 1), BILL_WAIT_MAX_S)
        self._unbilled[error.swap_id] = _Failed(tries, self._monotonic() + wait_s)

    def _failed(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, DatabaseAway):
            log.warning("commerce waits: %s", error)
            return  # no fault of commerce, nor could it be stored
        if self._trouble is None:
            log.error("commerce fails and is tried again", exc_info=error)
        self._trouble = str(error) or type(error).__name__

    def _tell_change(self) -> None:
        """Tell once that something fails, and once that nothing fails any more."""
        failing = self._trouble
        if failing is None and self._unbilled:
            failing = f"no bill for {', '.join(sorted(self._unbilled))}"
        if (failing is None) != (self._told is None):
            self._tell(failing)
            self._told = failing
