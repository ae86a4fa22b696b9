"""A refusal in words, with what is kept for the one who asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scheduler.types import StationMode
from swap.commerce.bookings.rules import Demand, NotPromised, PromiseView, Why
from swap.commerce.errors import PacksPromised, SlotsFull, StationAway
from swap.config.station_file import StationConfig
from swap.errors import Conflict, NotServed
from swap.words import N_


@dataclass(frozen=True, slots=True)
class Alternative:
    """A window that is kept for somebody."""

    start_at: datetime
    end_at: datetime
    kept_until_at: datetime


@dataclass(frozen=True, slots=True)
class BookingDenied:
    """A window that is not promised."""

    why: Why
    station_id: str
    mode: StationMode
    opens_at: datetime
    start_at: datetime
    end_at: datetime
    demand: Demand
    alternative: Alternative | None = None
    none_before_at: datetime | None = None
    """There is no alternative before this; None where there is one, or where the station can never serve it."""
    kinds_here: tuple[str, ...] = field(default_factory=tuple)

    def error(self) -> Conflict:
        """The refusal as an error; its detail names the alternative."""
        detail = {}
        if self.alternative is not None:
            detail["next_start_at"] = self.alternative.start_at.isoformat()
            detail["next_end_at"] = self.alternative.end_at.isoformat()
            detail["kept_until_at"] = self.alternative.kept_until_at.isoformat()
        elif self.none_before_at is not None:
            detail["none_before_at"] = self.none_before_at.isoformat()
        window = {"start_at": self.start_at.isoformat(), "end_at": self.end_at.isoformat()}
        if self.why is Why.SLOTS_FULL:
            return SlotsFull(N_("every swap of the window {start_at}…{end_at} is promised already"), detail, **window)
        kinds = ", ".join(sorted(self.demand.kinds))
        if self.why is Why.PACKS_PROMISED:
            text = N_("every pack of {kinds} that will be charged in the window {start_at}…{end_at} is promised")
            return PacksPromised(text, detail, kinds=kinds, **window)
        if self.why is Why.STATION_MODE:
            text = N_("station {station_id} is in mode {mode} and not expected to serve before {opens_at}")
            detail["mode"] = self.mode.value
            return StationAway(text, detail, station_id=self.station_id, opens_at=self.opens_at.isoformat())
        if self.why is Why.NO_LANE:
            text = N_("no lane of station {station_id} swaps by {swap_mode}")
            return NotServed(text, station_id=self.station_id, swap_mode=self.demand.swap_mode)
        detail = {"kinds_here": ", ".join(self.kinds_here)} if self.kinds_here else {}
        if self.why is Why.NO_KIND:
            text = N_("station {station_id} has no pack of {kinds}")
            return NotServed(text, detail, station_id=self.station_id, kinds=kinds)
        if self.why is Why.TOO_FEW_PACKS:
            text = N_("station {station_id} has fewer than {packs} packs of {kinds}, which a swap of this truck needs")
            return NotServed(text, detail, station_id=self.station_id, kinds=kinds, packs=self.demand.packs)
        text = N_("no pack of {kinds} at station {station_id} holds {min_kwh} kWh")
        return NotServed(text, detail, station_id=self.station_id, kinds=kinds, min_kwh=self.demand.min_kwh)


def refused_for(
    config: StationConfig,
    view: PromiseView,
    start_at: datetime,
    end_at: datetime,
    demand: Demand,
    refusal: NotPromised,
    *,
    keep: timedelta | None = None,
) -> BookingDenied:
    """The refusal of a window; its alternative is kept from now on for `keep`."""
    lasting = refusal.why in (Why.NO_LANE, Why.NO_KIND, Why.TOO_FEW_PACKS, Why.TOO_MUCH_ENERGY)
    other = refusal.alternative
    return BookingDenied(
        why=refusal.why,
        station_id=config.station.id,
        mode=view.mode,
        opens_at=view.opens_at,
        start_at=start_at,
        end_at=end_at,
        demand=demand,
        alternative=None
        if other is None
        else Alternative(
            view.grid.start_of(other.first),
            view.grid.start_of(other.last + 1),
            view.at + (timedelta(seconds=config.bookings.alternative_keep_s) if keep is None else keep),
        ),
        none_before_at=None if other is not None or lasting else view.grid.start_of(view.last_slot + 1),
        kinds_here=refusal.kinds_here,
    )
