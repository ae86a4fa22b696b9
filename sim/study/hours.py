"""What a station has done in each hour."""

from __future__ import annotations

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
