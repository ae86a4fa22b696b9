"""Which trucks to expect, asked on a thread of its own: whoever says it may be slow, hang, fail or say nonsense.

No loop and no transaction waits for a forecaster. What it does not say in time, or says wrongly, is replaced by what
the station learns itself: its record, and where that is short the scenario of the station file.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from scheduler.optimal.learned import LearnedTrucks, TruckForecast, TruckForecaster, check_forecast
from swap.reading.arrivals import ArrivalRecord

log = logging.getLogger(__name__)

FORECAST_S = 20.0
"""Real seconds that a forecaster has: a plan is made every quarter of an hour, and who calls waits for an answer."""


class ForecastCause(StrEnum):
    """Why the trucks to come are not known as they should be."""

    NO_TRUCKS = "no_trucks"
    """None is on record yet, and no scenario says how many come."""
    FAILED = "forecast_failed"
    """The forecaster has raised an error, or what it said is no forecast."""
    LATE = "forecast_late"
    """It has given no answer in time."""


@dataclass(frozen=True, slots=True)
class ForecastFailing:
    """What is wrong with the forecast."""

    cause: ForecastCause
    reason: str
    """For the log and whoever looks after the program: as the forecaster has said it."""


@dataclass(frozen=True, slots=True)
class ForecastFound:
    """What is expected; `failing` says why something else stands in for the forecast, or why there is none."""

    trucks: TruckForecast
    failing: ForecastFailing | None = None


@dataclass(eq=False)
class ForecastThread:
    """Asks a forecaster, one question at a time.

    Args:
        usual: what the station learns by itself.
        better: who knows better (a dispatcher's plan, a feed); None: nobody does.
        most_s: real seconds that `better` has.
    """

    usual: LearnedTrucks
    better: TruckForecaster | None = None
    most_s: float = FORECAST_S
    _asked: dict[str, threading.Thread] = field(default_factory=dict)

    async def ask(self, record: ArrivalRecord, now: datetime) -> ForecastFound:
        """The forecast, or what stands in for it. Whatever a forecaster does, this never fails for it."""
        known = await self._said("usual", self.usual, FORECAST_S, record, now)
        failing = known if isinstance(known, ForecastFailing) else None
        if self.better is not None:
            said = await self._said("better", self.better, self.most_s, record, now)
            if isinstance(said, TruckForecast):
                known, failing = said, None
            else:
                failing = said
        if isinstance(known, TruckForecast):
            found = known
        else:  # its scenario cannot be drawn: the record alone, a table of sums
            found = LearnedTrucks(self.usual.zone).forecast(record.came, record.since, now)
        if failing is None and not found.expects_any():
            failing = ForecastFailing(ForecastCause.NO_TRUCKS, "no truck is on record yet, and no scenario says more")
        return ForecastFound(found, failing)

    async def _said(
        self, name: str, forecaster: TruckForecaster, most_s: float, record: ArrivalRecord, now: datetime
    ) -> TruckForecast | ForecastFailing:
        late = ForecastFailing(ForecastCause.LATE, f"no answer within {most_s:g} s")
        if name in self._asked and self._asked[name].is_alive():
            return late  # it hangs still: one thread is enough
        answer: Future[TruckForecast] = Future()
        answer.set_running_or_notify_cancel()  # so that whoever gives up cannot end what is not his

        def work() -> None:
            try:
                said = forecaster.forecast(record.came, record.since, now)
                check_forecast(said)
            except BaseException as error:  # whoever made it, the thread ends with an answer, and the loop goes on
                plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
                answer.set_exception(error if plain else RuntimeError(repr(error)))
            else:
                answer.set_result(said)

        thread = self._asked[name] = threading.Thread(target=work, name=f"truck forecast: {name}", daemon=True)
        thread.start()
        try:
            async with asyncio.timeout(most_s):
                return await asyncio.wrap_future(answer)
        except Exception as error:
            if not answer.done():
                log.error("the forecast of trucks: %s", late.reason)
                return late
            log.error("the forecast of trucks failed", exc_info=error)
            return ForecastFailing(ForecastCause.FAILED, str(error) or type(error).__name__)
