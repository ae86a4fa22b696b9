"""What `swap charge-plan --plan optimal` prints: the plan of least cost, what limits it, what more would save."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from api.cli.common import fail, print_json, print_table
from api.cli.power.forecast import basis_line
from api.cli.power.picture import draw, of_least_cost
from api.terminal import echo, language, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scheduler.optimal.learned import TruckForecast
    from scheduler.optimal.worth import UnitWorth
    from scheduler.tariff import Tariff
    from swap.config.station_file import StationConfig
    from swap.reading.charge_plan import StockedPack
    from swap.reading.least_cost import LeastCost

T = TypeVar("T")

LEAST_LATE_MIN = 1.0
"""Less is rounding: the plan's straight lines lie below what a pack takes."""


def show_least_cost(
    config: StationConfig,
    stock: Mapping[str, StockedPack],
    tariff: Tariff,
    *,
    start_at: datetime,
    hours: float,
    trucks: TruckForecast,
    as_json: bool,
    plot: Path | None = None,
) -> None:
    """Plan a day, print the first hours of it; ends the command where there is no plan."""
    from swap.reading.least_cost import least_cost

    plan = by_optimiser(lambda: least_cost(config, stock, tariff, start_at=start_at, trucks=trucks))
    if as_json:
        print_json(_json(config, plan, start_at + timedelta(hours=hours)) | {"trucks_basis": str(trucks.basis)})
    else:
        echo(basis_line(trucks))
        _print(config, plan, start_at + timedelta(hours=hours))
    if plot is not None:
        picture = of_least_cost(config, plan, start_at + timedelta(hours=hours))
        draw(plot, language().pick(config.station.name_zh, config.station.name_en), picture)


def by_optimiser(make: Callable[[], T]) -> T:
    """What is made by the optimiser; ends the command where there is no plan."""
    from scheduler.optimal.plan import NotBelieved
    from scheduler.optimal.solve import NoSolver, NotSolved

    try:
        return make()
    except (NoSolver, NotSolved, NotBelieved, ValueError) as error:
        fail(text("--plan optimal: {reason}. With --plan rule the price rule charges.", reason=error))


def _json(config: StationConfig, plan: LeastCost, until_at: datetime) -> dict[str, object]:
    shortfalls = [
        {
            "pack": short.store,
            "tier": short.tier.name.lower(),
            "at": short.at,
            "kwh": round(short.kwh, 2),
            "minutes": round(short.minutes, 1) if math.isfinite(short.minutes) else None,
        }
        for short in plan.shortfalls
    ]
    return {
        "station": config.station.id,
        "plan": "optimal",
        "trucks_expected": plan.trucks,
        "import_yuan": round(plan.import_yuan, 2),
        "primal_residual": plan.primal_residual,
        "gap": plan.gap,
        "slots": [asdict(slot) for slot in plan.slots if slot.at < until_at],
        "shortfalls": shortfalls,
        "worth": [asdict(worth) for worth in plan.worths],
    }


def _print(config: StationConfig, plan: LeastCost, until_at: datetime) -> None:
    word, zone = language().word, config.station.zone
    slots = [slot for slot in plan.slots if slot.at < until_at]
    names = [bay.bay_id for bay in plan.slots[0].bays]
    rows = []
    for slot in slots:
        by_bay = {bay.bay_id: bay for bay in slot.bays}
        cells = []
        for name in names:
            bay = by_bay.get(name)
            cell = "–" if bay is None else f"{bay.soc_pct:.0f}% {bay.power_kw:.0f} kW {word('limit', bay.limited_by)}"
            cells.append(cell)
        rows.append(
            (
                slot.at.astimezone(zone).strftime("%m-%d %H:%M"),
                word("period", slot.period),
                f"{slot.price_yuan_per_kwh:.4f}",
                f"{slot.import_kw:.0f} / {slot.limit_kw:.0f}",
                f"{slot.ready} / {slot.need}",
                *cells,
            )
        )
    heads = (text("time"), text("period"), text("yuan/kWh"), text("import / limit, kW"), text("ready / kept"))
    print_table((*heads, *names), rows, right=(2, 3, 4))
    echo(
        text(
            "A day with {trucks} trucks expected: import for {yuan:,.2f} yuan; checked: residual {residual:.0e}, gap "
            "{gap:.0e}",
            trucks=plan.trucks,
            yuan=plan.import_yuan,
            residual=plan.primal_residual,
            gap=plan.gap,
        )
    )
    late = [short for short in plan.shortfalls if short.minutes >= LEAST_LATE_MIN]
    if late:
        worst = max(late, key=lambda short: short.minutes)
        echo(
            text(
                "Short: {number} packs lack {kwh:,.1f} kWh in all; {pack} at {at} needs {minutes:.0f} min more",
                number=len(late),
                kwh=sum(short.kwh for short in late),
                pack=worst.store,
                at=worst.at.astimezone(zone).strftime("%m-%d %H:%M"),
                minutes=worst.minutes,
            )
        )
    echo(text("What more would save over the day, each asked by a plan of its own:"))
    print_table(
        (text("one more"), text("yuan"), text("kWh short less"), text("kWh handed out more")),
        [(_named(worth), f"{worth.yuan:.3f}", f"{worth.kwh:.2f}", f"{worth.handed_kwh:.2f}") for worth in plan.worths],
        right=(1, 2, 3),
    )


def _named(worth: UnitWorth) -> str:
    if worth.resource == "transformer":
        return text("kW of the grid connection")
    if worth.resource == "charger":
        return text("kW of the charger of bay {bay}", bay=worth.name)
    return text("pack of kind {kind}, spent", kind=worth.name)
