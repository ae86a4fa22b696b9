"""What a station has done in each hour."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from sim.study.storage import SiteFlows


@dataclass(slots=True)
class HourRecord:
    """One hour of the station, for plots and sums."""

    start_s: float
    hours: float
    charge_kwh: float
    site_kwh: float
    """Charging and base load."""
    import_kwh: float
    """Of that from the grid."""
    pv_kwh: float
    """What the photovoltaics could give."""
    price_yuan_per_kwh: float
    period: str
    limit_kw: float
    ready: int
    """Packs ready at its end."""
    waiting: int
    """Trucks waiting at its end."""
    lost: int = 0
    flows: SiteFlows | None = None
    """Of a site with sun or storage."""


class HourLog:
    """The hours of a run, in their order. Kept in columns: as objects, those of a year take some megabytes."""

    def __init__(self) -> None:
        self._numbers = array("d")
        self._periods: list[str] = []
        self._flows: list[SiteFlows | None] = []

    def __len__(self) -> int:
        return len(self._periods)

    def __iter__(self) -> Iterator[HourRecord]:
        for at, (period, flows) in enumerate(zip(self._periods, self._flows, strict=True)):
            start_s, hours, charge_kwh, site_kwh, import_kwh, pv_kwh, price, limit_kw, ready, waiting, lost = (
                self._numbers[at * _NUMBERS : (at + 1) * _NUMBERS]
            )
            yield HourRecord(
                start_s, hours, charge_kwh, site_kwh, import_kwh, pv_kwh, price, period, limit_kw,
                int(ready), int(waiting), int(lost), flows,
            )  # fmt: skip

    def append(self, hour: HourRecord) -> None:
        """Add the next one."""
        self._numbers.extend(
            (
                hour.start_s, hour.hours, hour.charge_kwh, hour.site_kwh, hour.import_kwh, hour.pv_kwh,
                hour.price_yuan_per_kwh, hour.limit_kw, hour.ready, hour.waiting, hour.lost,
            )
        )  # fmt: skip
        self._periods.append(hour.period)
        self._flows.append(hour.flows)

    def clear(self) -> None:
        """Forget all."""
        del self._numbers[:], self._periods[:], self._flows[:]


_NUMBERS = 11
"""Of each hour, in the order of its fields."""
