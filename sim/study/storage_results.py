"""What the storage did in one replication, from the records of its hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scheduler.site import StorageSection
from sim.study.hours import HourRecord


@dataclass(frozen=True, slots=True)
class StorageResult:
    """The storage over one replication; all zero without one."""

    in_kwh_by_period: dict[str, float] = field(default_factory=dict)
    """Charged a day, at the grid's side, by tariff period."""
    out_kwh_by_period: dict[str, float] = field(default_factory=dict)
    """Discharged a day, at the grid's side."""
    saved_yuan_by_period: dict[str, float] = field(default_factory=dict)
    """Price a day of the import that the same load would have had without storage, less that of the import it had."""
    kwh_by_hour: tuple[float, ...] = (0.0,) * 24
    """Stored at the end of each local hour of the day, mean."""
    kw_by_hour: tuple[float, ...] = (0.0,) * 24
    """Charge less discharge, mean over the hour."""


def read_storage(
    hours: Sequence[HourRecord], section: StorageSection, first_hour: int, days: float, periods: Sequence[str]
) -> tuple[StorageResult, dict[str, float]]:
    """Sums by period and by hour, and the means of `RunResult.means`."""
    means = dict.fromkeys(
        (
            "storage_charged_kwh_per_day",
            "storage_discharged_kwh_per_day",
            "storage_losses_kwh_per_day",
            "storage_cycles_per_day",
            "storage_saved_yuan_per_day",
        ),
        0.0,
    )
    if section.energy_kwh <= 0 or not hours:
        return StorageResult(), means
    in_kwh, out_kwh, saved = dict.fromkeys(periods, 0.0), dict.fromkeys(periods, 0.0), dict.fromkeys(periods, 0.0)
    stored, net, counts = [0.0] * 24, [0.0] * 24, [0.0] * 24
    way = section.one_way_efficiency
    lost_kwh = cells_kwh = 0.0
    for hour in hours:
        flows = hour.flows
        if flows is None:
            continue
        in_kwh[hour.period] += flows.in_kwh / days
        out_kwh[hour.period] += flows.out_kwh / days
        saved[hour.period] += (flows.without_kwh - flows.import_kwh) * hour.price_yuan_per_kwh / days
        cells_kwh += flows.out_kwh / way
        lost_kwh += flows.in_kwh * (1 - way) + flows.out_kwh * (1 / way - 1)
        at = int((first_hour + hour.start_s / 3600) % 24)
        counts[at] += hour.hours
        stored[at] += flows.stored_kwh * hour.hours
        net[at] += flows.in_kwh - flows.out_kwh
    means["storage_charged_kwh_per_day"] = sum(in_kwh.values())
    means["storage_discharged_kwh_per_day"] = sum(out_kwh.values())
    means["storage_losses_kwh_per_day"] = lost_kwh / days
    means["storage_cycles_per_day"] = cells_kwh / section.energy_kwh / days
    means["storage_saved_yuan_per_day"] = sum(saved.values())
    return (
        StorageResult(
            in_kwh,
            out_kwh,
            saved,
            tuple(kwh / (count or 1.0) for kwh, count in zip(stored, counts, strict=True)),
            tuple(kwh / (count or 1.0) for kwh, count in zip(net, counts, strict=True)),
        ),
        means,
    )
