"""What a running station says on the terminal: where it is, one line a swap, and when it waits for a person."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from api.reasons import reason_words
from api.words import Language
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway
from swap.messages.commerce import BillIssued
from swap.messages.events import StationModeChanged, SwapCancelled, SwapHeld, SwapReturned
from swap.messages.values import printable
from swap.reading.lists import get_swap, latest_event_id, list_events
from swap.reading.records import EventRecord
from swap.station.life.status import StopReport
from swap.store import Store


def stop_lines(end: StopReport | None, config: StationConfig, language: Language) -> list[str]:
    """What the end of a controller has left: what was confirmed, what was not, and what the devices do by themselves.

    Args:
        end: None where the controller did not come to its end in order.
    """
    text = language.text
    expires_s = max((device.setpoint_expires_s for device in config.rack_devices), default=0)
    alone = text(
        "By itself a robot cell lets its motion end and takes no other within 3 s of the last heartbeat; "
        "a charger ends its set-point within {expires_s} s.",
        expires_s=expires_s,
    )
    if end is None:
        return [text("Stopped. Nothing was confirmed."), alone]
    if end.lost:
        return [text("Stopped: another controller runs the station; cells, chargers and journal are left to it.")]
    lines = []
    if end.holds_not_confirmed or end.chargers_not_confirmed:
        if end.holds_not_confirmed:
            lanes = ", ".join(end.holds_not_confirmed)
            lines.append(text("Stopped. Not confirmed: hold of the robot in lane {lanes}.", lanes=lanes))
        if end.chargers_not_confirmed:
            bays = ", ".join(sorted(end.chargers_not_confirmed))
            lines.append(text("Stopped. Not confirmed: 0 kW in bay {bays}.", bays=bays))
        lines.append(alone)
    elif end.held:
        lanes = ", ".join(end.held)
        lines.append(text("Stopped: robot in lane {lanes} held, charging at 0 kW.", lanes=lanes))
        lines.append(text("The next start waits for a named person."))
    else:
        lines.append(text("Stopped: robots at rest, charging at 0 kW."))
    if not end.stored:
        lines.append(text("The end is not in the journal: the next start waits for a named person."))
    return lines


class Announcer:
    """Follows the journal from its end and prints what a person at the terminal wants to know."""

    def __init__(self, store: Store, config: StationConfig, language: Language, echo: Callable[[str], None]) -> None:
        self._store = store
        self._station_id = config.station.id
        self._language = language
        self._echo = echo
        self._after = latest_event_id(store, self._station_id)

    async def run(self, period_s: float = 0.5) -> None:
        """Print until cancelled; without a database there is nothing to follow for a while."""
        while True:
            with suppress(DatabaseAway):
                for line in await asyncio.to_thread(self.lines):
                    self._echo(printable(line))
            await asyncio.sleep(period_s)

    def lines(self) -> list[str]:
        """Lines for the events since the last call."""
        with self._store.reading_station(self._station_id) as db:
            events = list_events(db, self._station_id, after=self._after, limit=200).items
        if not events:
            return []
        lines = [line for event in events if (line := self._line(event)) is not None]
        self._after = events[-1].event_id
        return lines

    def _line(self, event: EventRecord) -> str | None:
        text, at = self._language.text, self._language.time_of_day(event.at)
        if event.kind == BillIssued.kind and event.swap_id is not None:
            return self._swap_line(event.swap_id)
        if event.kind == StationModeChanged.kind:
            changed = StationModeChanged.read(event.data)
            mode = self._language.word("mode", changed.after)
            why = reason_words(changed.reason or "–", self._language)
            return f"{at}  {text('Station')}: {mode} ({why}; {event.actor})"
        if event.kind == SwapHeld.kind:
            why = reason_words(SwapHeld.read(event.data).reason, self._language)
            return f"{at}  {text('Swap waits for a person')}: {event.swap_id} ({why})"
        if event.kind in (SwapReturned.kind, SwapCancelled.kind):
            return f"{at}  {text('Swap ended without an exchange')}: {event.swap_id}"
        return None

    def _swap_line(self, swap_id: str) -> str:
        with self._store.reading_station(self._station_id) as db:
            swap = get_swap(db, self._station_id, swap_id)
        bill = swap.bills[-1]
        started, ended = swap.dispatched_at, swap.ended_at
        took_s = (ended - started).total_seconds() if started is not None and ended is not None else 0.0
        energy = next((line.energy_kwh for line in bill.lines), 0)
        waited_s = (started - swap.arrived_at).total_seconds() if started is not None else 0.0
        at = self._language.time_of_day(ended or bill.issued_at)
        text = self._language.text
        minutes = text("waited {waited:.0f} s, swapped in {took:.0f} s", waited=waited_s, took=took_s)
        return (
            f"{at}  {swap.lane_id}  {swap.vehicle_id:<8} {minutes:<34} "
            f"{energy:>8} kWh  {bill.total_yuan:>8} {text('yuan')}"
        )
