"""Commerce of one station as a task of its own: what fails here is told and tried again, and stops nothing else.

It knows neither the controller nor its lease: it reads the journal and writes bookings, bills and the ledger. It may
run beside the doors, or in a process of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tenacity import AsyncRetrying, RetryCallState, wait_exponential

from swap.commerce.bills.issuing import BillingMark, NotBilled, run_commerce
from swap.commerce.bills.late import LateMark, correct_late
from swap.commerce.bills.terms import BillingTerms, StationTerms
from swap.commerce.bookings.keeping import KeepingMark, keep_promises
from swap.commerce.bookings.standing import book_ahead
from swap.commerce.custody.take import take_journals
from swap.commerce.demand_response import charge_settlements, tell_settlements
from swap.commerce.leases.rent import due_month, run_rent
from swap.commerce.posting import PostingMark, post_due
from swap.commerce.strandings import charge_strandings, note_strandings
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway
from swap.rights import EVERYBODY, SwapRights
from swap.store import Store

PERIOD_S = 1.0
"""Real seconds between two looks at the journal."""
LONGEST_WAIT_S = 60.0
"""Real seconds between two tries, at most, when all of commerce fails."""
BILL_WAIT_S = 10.0
"""Real seconds until a bill that failed is tried again; twice as long after each failure."""
BILL_WAIT_MAX_S = 3600.0
RESPONSES_WAIT_S = 30.0
"""Real seconds between two looks whether an event of demand response is over."""
CONTRACTS_WAIT_S = 60.0
"""Real seconds between two looks whether a contract was changed for days past."""
RENT_WAIT_S = 60.0
"""Real seconds until custody and rents are tried again after a failure."""

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
    """Ends bookings, makes bills and posts them to the ledger, again and again.

    Args:
        store: database of the station.
        now: station time.
        tell: a fault of the station is raised and cleared by it.
        terms: says how each swap is billed; the station file does where none is given.
        monotonic: real seconds.
        rights: what contracts say of bookings.
    """

    def __init__(
        self,
        store: Store,
        config: StationConfig,
        now: Callable[[], datetime],
        tell: Tell,
        monotonic: Callable[[], float] = time.monotonic,
        terms: BillingTerms | None = None,
        rights: SwapRights = EVERYBODY,
    ) -> None:
        self._store = store
        self._config = config
        self._terms = StationTerms() if terms is None else terms
        self._now = now
        self._tell = tell
        self._monotonic = monotonic
        self._rights = rights
        self._keeping = KeepingMark()
        self._unbilled: dict[str, _Failed] = {}
        self._rents_failing: str | None = None
        """Why custody or rents could not be brought up to now."""
        self._rents_again_s = 0.0
        self._responses_again_s = 0.0
        self._mark = BillingMark()
        self._late = LateMark()
        self._contracts_again_s = 0.0
        self._posted = PostingMark()
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
        at = self._now()
        keep_promises(self._store, self._config, at, self._keeping)
        book_ahead(self._store, self._config, at, self._rights)
        try:
            run_commerce(
                self._store,
                self._config,
                at,
                terms=self._terms,
                leave_out=waiting,
                mark=self._mark,
                rights=self._rights,
            )
        except* NotBilled as group:
            failed = {error.swap_id: error for error in group.exceptions if isinstance(error, NotBilled)}
        self._unbilled = {
            swap_id: known for swap_id, known in self._unbilled.items() if swap_id in waiting or swap_id in failed
        }
        for error in failed.values():
            self._keep(error)
        contracts = now_s >= self._contracts_again_s
        station_id = self._config.station.id
        correct_late(self._store, station_id, at, terms=self._terms, mark=self._late, contracts=contracts)
        if contracts:
            self._contracts_again_s = now_s + CONTRACTS_WAIT_S
        post_due(self._store, self._config.station.id, self._now(), self._posted)
        self._tend_rents()
        self._trouble = None
        self._tell_change()

    def _tend_rents(self) -> None:
        """Bring custody up to the journal, and charge the rents of a month that has ended. What fails here is told,
        is tried again after a while, and keeps no bill from being made."""
        now_s = self._monotonic()
        if now_s < self._rents_again_s:
            return
        at = self._now()
        try:
            take_journals(self._store, (self._config.station.id,))
            required = self._config.commerce.contract_required
            note_strandings(self._store, self._config.station.id, at, contract_required=required)
            charged = charge_strandings(self._store, self._config.station.id)
            unsettled = self._settle_responses(at) if now_s >= self._responses_again_s else ()
            with self._store.reading_commerce() as db:
                month = due_month(db, at)
            if month is not None:
                run_rent(self._store, month, at)
            if charged.failed or unsettled:
                raise ValueError("; ".join((*charged.failed, *unsettled)))
        except DatabaseAway:
            raise
        except Exception as error:
            if self._rents_failing is None:
                log.error("custody or rents fail and are tried again", exc_info=error)
            self._rents_failing = str(error) or type(error).__name__
            self._rents_again_s = now_s + RENT_WAIT_S
        else:
            self._rents_failing = None

    def _settle_responses(self, at: datetime) -> tuple[str, ...]:
        """Settle events of demand response that are over, and charge them; what could not be, in words."""
        told = tell_settlements(self._store, self._config, at)
        charged = charge_settlements(self._store, self._config.station.id)
        failed = told.failed + charged.failed
        if not failed:
            self._responses_again_s = self._monotonic() + RESPONSES_WAIT_S
        return failed

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
        if failing is None and self._rents_failing is not None:
            failing = f"rents: {self._rents_failing}"
        if (failing is None) != (self._told is None):
            self._tell(failing)
            self._told = failing
