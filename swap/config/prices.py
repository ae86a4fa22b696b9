"""The prices of a station as its journal tells them: what was in force when a swap ended is known for ever.

The station file is only today's word. `sync_station` journals each change of it (`prices.set`), and bills, quotes and
the audit read prices from there.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from scheduler.config import TariffSection
from scheduler.tariff import Tariff, TariffProfile
from scheduler.tariff_files import load_profile, tariff_of
from swap.config.billing_section import BillingSection
from swap.config.station_file import StationConfig
from swap.journal.canonical import canonical_json
from swap.messages.commerce import PricesSet
from swap.station_db import StationDb
from swap.tables import StationEvent


@dataclass(frozen=True)
class StationPrices:
    """Prices and rules of billing of a station, from an event on."""

    seq: int
    """The event that tells them."""
    operator_id: str
    zone: tzinfo
    tariff: Tariff
    billing: BillingSection
    charger_efficiency: float
    no_show_fee_yuan: Decimal = Decimal(0)
    no_show_tax_rate: Decimal = Decimal("0.06")

    def month(self, at: datetime) -> str:
        """The local month of an instant: `2026-06`."""
        return f"{at.astimezone(self.zone):%Y-%m}"


class NoPrices(LookupError):
    """The journal of a station tells of no prices: no station file has come into it since it can tell them."""


def told_prices(config: StationConfig) -> PricesSet:
    """What the journal is told of a station file.

    Raises:
        TariffError: the period table is missing or not valid.
    """
    return PricesSet(
        operator_id=config.station.operator,
        timezone=config.station.timezone,
        tariff=config.tariff.model_dump(mode="json"),
        profile=load_profile(config.tariff.profile, config.folder).model_dump(mode="json", by_alias=True),
        billing=config.billing.model_dump(mode="json"),
        charger_efficiency=config.site.charger_efficiency,
        no_show_fee_yuan=str(config.bookings.no_show_fee_yuan),
        no_show_tax_rate=str(config.bookings.no_show_tax_rate),
    )


_KEPT = 64
_known: OrderedDict[str, tuple[Tariff, BillingSection]] = OrderedDict()
"""What was read last, by its text: a tariff keeps the days that it has worked out."""


def read_prices(seq: int, said: PricesSet) -> StationPrices:
    """The prices that an event tells. Raises ValueError where they do not fit."""
    zone = ZoneInfo(said.timezone)
    key = canonical_json([said.timezone, said.tariff, said.profile, said.billing])
    found = _known.get(key)
    if found is None:
        profile = TariffProfile.model_validate(said.profile)
        tariff = tariff_of(TariffSection.model_validate(said.tariff), profile, zone)
        found = tariff, BillingSection.model_validate(said.billing)
        _known[key] = found
        if len(_known) > _KEPT:
            _known.popitem(last=False)
    fee = Decimal(said.no_show_fee_yuan), Decimal(said.no_show_tax_rate)
    return StationPrices(seq, said.operator_id, zone, *found, said.charger_efficiency, *fee)


def prices_before(db: StationDb, seq: int | None = None) -> StationPrices:
    """The prices in force at an event, or now; those of the first event that tells some, for what is older than it.

    Raises:
        NoPrices: no event tells any.
    """
    newest = db.newest_event(PricesSet, before=seq)
    if newest is None:
        rows = db.events(PricesSet, limit=1)
        if not rows:
            raise NoPrices(f"the journal of station {db.station_id} tells of no prices; start the station once")
        newest = rows[0]
    return _of(newest)


def _of(row: StationEvent) -> StationPrices:
    data: dict[str, Any] = row.data
    return read_prices(row.seq, PricesSet.read(data))
