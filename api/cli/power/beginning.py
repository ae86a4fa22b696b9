"""Where what is carried forward begins: the instant, the stock and the prices that the command line names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli.common import fail

if TYPE_CHECKING:
    from scheduler.tariff import Tariff
    from swap.config.station_file import StationConfig
    from swap.reading.charge_plan import StockedPack


def begin_of(config: StationConfig, at: datetime | None) -> datetime:
    """The full minute that is asked for, UTC; without a zone it is local time of the station, without any it is now."""
    start_at = datetime.now(UTC) if at is None else at.replace(tzinfo=at.tzinfo or config.station.zone).astimezone(UTC)
    return start_at.replace(second=0, microsecond=0)


def stock_and_tariff(
    station: Path, config: StationConfig, soc: Sequence[str] | None
) -> tuple[dict[str, StockedPack], Tariff]:
    """The file's packs, at the states of charge given as BAY=PERCENT, and its tariff; ends with a sentence where one
    of them cannot be."""
    from scheduler.tariff_files import TariffError, load_tariff
    from swap.errors import InvalidInput
    from swap.reading.charge_plan import set_soc, stock_of_file

    stock = stock_of_file(config)
    try:
        for item in soc or ():
            bay_id, _, percent = item.partition("=")
            try:
                value = float(percent)
            except ValueError:
                raise InvalidInput("--soc", item, "BAY=PERCENT, such as A1=20") from None
            set_soc(config, stock, bay_id, value)
        return stock, load_tariff(config.tariff, config.station.zone, station.parent)
    except (InvalidInput, TariffError) as error:
        fail(str(error))
