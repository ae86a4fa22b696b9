"""`swap charge-plan --plot`: a plan as a picture. Drawn by matplotlib, an extra that nothing else needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli.common import fail
from api.terminal import language, text
from swap.errors import NotInstalled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from swap.config.station_file import StationConfig
    from swap.reading.charge_plan import PlanStep
    from swap.reading.least_cost import LeastCost

CHINESE = ["Noto Sans CJK SC", "Noto Serif CJK SC", "Source Han Sans SC", "Microsoft YaHei", "SimHei", "PingFang SC"]
"""Fonts with Chinese characters, the first that is installed is taken."""
PERIOD_COLOURS = {"critical": "#f4b6b0", "peak": "#fbe0c3", "flat": "#f4f4f4", "valley": "#d9ecd9"}
_DEEPEST = "#bfe0cf"
DOTS_PER_INCH = 110


@dataclass(frozen=True, slots=True)
class PlanPicture:
    """What is drawn, by slot."""

    starts: tuple[datetime, ...]
    """Begin of each slot in station local time, and the end of the last."""
    periods: tuple[str, ...]
    prices: tuple[float, ...]
    import_kw: tuple[float, ...]
    limit_kw: tuple[float, ...]
    bays: tuple[str, ...]
    power_kw: tuple[tuple[float, ...], ...]
    """By bay, of the packs that stand there now."""
    later_kw: tuple[float, ...] = ()
    """Of those that trucks will bring; empty where no truck is counted on."""
    ready: tuple[int, ...] = ()
    """Packs that may be handed out; empty where the plan does not count them."""
    need: tuple[int, ...] = ()
    """Packs kept ready or nearly so."""
    sun_kw: tuple[float, ...] = ()


def of_least_cost(config: StationConfig, plan: LeastCost, until_at: datetime) -> PlanPicture:
    """The optimiser's plan until an instant."""
    zone, slots = config.station.zone, [slot for slot in plan.slots if slot.at < until_at]
    ends = [*(slot.at for slot in plan.slots[1:]), *([] if len(slots) < len(plan.slots) else [until_at])]
    found = {bay.bay_id for slot in slots for bay in slot.bays}
    names = tuple(sorted(found, key=lambda name: config.bay(name).position))
    powers = [{bay.bay_id: bay.power_kw for bay in slot.bays} for slot in slots]
    sun_kw = tuple(slot.sun_kw for slot in slots)
    output_kw = [
        config.site.charger_efficiency * (slot.import_kw + slot.sun_kw - config.site.base_load_kw) for slot in slots
    ]
    return PlanPicture(
        tuple(at.astimezone(zone) for at in (*(slot.at for slot in slots), ends[len(slots) - 1])),
        tuple(slot.period for slot in slots),
        tuple(slot.price_yuan_per_kwh for slot in slots),
        tuple(slot.import_kw for slot in slots),
        tuple(slot.limit_kw for slot in slots),
        names,
        tuple(tuple(power.get(name, 0.0) for power in powers) for name in names),
        tuple(max(kw - sum(power.values()), 0.0) for kw, power in zip(output_kw, powers, strict=True)),
        tuple(slot.ready for slot in slots),
        tuple(slot.need for slot in slots),
        sun_kw if any(sun_kw) else (),
    )


def of_rule(config: StationConfig, steps: Sequence[PlanStep], until_at: datetime) -> PlanPicture:
    """The price rule carried forward; the base load is part of the import."""
    zone = config.station.zone
    starts = [*(step.at for step in steps), until_at]
    hours = [(b - a).total_seconds() / 3600 for a, b in pairwise(starts)]
    names = tuple(bay.bay_id for bay in steps[0].bays)
    powers = [{bay.bay_id: bay.power_kw for bay in step.bays} for step in steps]
    site = config.site
    return PlanPicture(
        tuple(at.astimezone(zone) for at in starts),
        tuple(step.period for step in steps),
        tuple(float(step.price_yuan_per_kwh) for step in steps),
        tuple(step.import_kwh / lasts_h + site.base_load_kw for step, lasts_h in zip(steps, hours, strict=True)),
        (site.grid_limit_kw,) * len(steps),
        names,
        tuple(tuple(power.get(name, 0.0) for power in powers) for name in names),
    )


def draw(path: Path, title: str, picture: PlanPicture) -> None:
    """Write the picture; the form follows the name (.png, .svg, .pdf). Ends the command where it cannot."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        fail(text(NotInstalled("plot").message, extra="plot"))
    fonts = [*CHINESE, "sans-serif"] if language().tag == "zh-CN" else ["sans-serif"]
    with matplotlib.rc_context({"font.family": _installed(fonts), "svg.fonttype": "none", "axes.unicode_minus": False}):
        counted = bool(picture.ready)
        figure = Figure(figsize=(11, 9 if counted else 7), layout="constrained")
        axes = figure.subplots(3 if counted else 2, 1, sharex=True)
        figure.suptitle(title)
        for one in axes:
            _bands(one, picture)
        _site(axes[0], picture)
        _bays(axes[1], picture)
        if counted:
            _stock(axes[2], picture)
        axes[-1].set_xlim(hours_of(picture)[0], hours_of(picture)[-1])
        axes[-1].set_xticks(*clock_of(picture))
        axes[-1].set_xlabel(picture.starts[0].strftime("%Y-%m-%d"))
        try:
            figure.savefig(path, dpi=DOTS_PER_INCH)
        except (OSError, ValueError) as error:
            fail(text("--plot: {path} cannot be written: {reason}", path=path, reason=error))


def _installed(families: Sequence[str]) -> list[str]:
    """Those that this machine has."""
    from matplotlib.font_manager import fontManager

    known = {font.name for font in fontManager.ttflist}
    return [name for name in families if name in known or name == "sans-serif"]


def hours_of(picture: PlanPicture) -> list[float]:
    """Hours from the begin: their real length, also on the day on which the clocks are set."""
    begin = picture.starts[0].astimezone(UTC)
    return [(at.astimezone(UTC) - begin) / timedelta(hours=1) for at in picture.starts]


def _steps(values: Sequence[float]) -> list[float]:
    return [*values, values[-1]]


def _bands(axes: Axes, picture: PlanPicture) -> None:
    at = hours_of(picture)
    for period, group in groupby(range(len(picture.periods)), key=lambda number: picture.periods[number]):
        numbers = list(group)
        axes.axvspan(at[numbers[0]], at[numbers[-1] + 1], color=PERIOD_COLOURS.get(period, _DEEPEST), zorder=0, lw=0)


def _site(axes: Axes, picture: PlanPicture) -> None:
    at = hours_of(picture)
    axes.step(at, _steps(picture.import_kw), where="post", color="#1f4e79", label=text("import, kW"))
    axes.step(at, _steps(picture.limit_kw), where="post", color="#b03030", ls="--", label=text("limit, kW"))
    if picture.sun_kw:
        axes.step(at, _steps(picture.sun_kw), where="post", color="#c79a00", label=text("sun, kW"))
    axes.set_ylabel("kW")
    axes.set_ylim(bottom=0)
    for period, group in groupby(range(len(picture.periods)), key=lambda number: picture.periods[number]):
        numbers = list(group)
        middle = (at[numbers[0]] + at[numbers[-1] + 1]) / 2
        word = f"{language().word('period', period)}\n{picture.prices[numbers[0]]:.3f}"
        axes.annotate(word, (middle, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7)
    axes.legend(loc="upper left", fontsize=8)


def _bays(axes: Axes, picture: PlanPicture) -> None:
    at = hours_of(picture)
    powers, names = list(picture.power_kw), list(picture.bays)
    if picture.later_kw:
        powers.append(picture.later_kw)
        names.append(text("packs that trucks bring"))
    colours = [f"C{number % 10}" for number in range(len(picture.bays))] + ["#b8b8b8"]
    stacked = [_steps(power) for power in powers]
    axes.stackplot(at, *stacked, labels=names, colors=colours, step="post", edgecolor="white", lw=0.3)
    axes.set_ylabel(text("chargers by bay, kW"))
    axes.legend(loc="upper left", fontsize=7, ncols=max(len(names) // 3, 1))


def _stock(axes: Axes, picture: PlanPicture) -> None:
    at = hours_of(picture)
    axes.step(at, _steps(picture.ready), where="post", color="#2e7d32", label=text("packs ready"))
    axes.step(at, _steps(picture.need), where="post", color="#555555", ls=":", label=text("kept ready or nearly so"))
    axes.set_ylim(bottom=0)
    axes.set_ylabel(text("packs"))
    axes.legend(loc="upper left", fontsize=8)


def clock_of(picture: PlanPicture) -> tuple[list[float], list[str]]:
    """Places on the axis, in real hours, and what the station's clock says there: whole hours."""
    begin, last_h = picture.starts[0], hours_of(picture)[-1]
    every = max(round(last_h / 12), 1)
    into_h = begin.minute / 60 + begin.second / 3600
    first = 1 - into_h if into_h else 0.0
    places = [first + number * every for number in range(int((last_h - first) / every) + 1)]
    instants = [begin.astimezone(UTC) + timedelta(hours=place) for place in places]
    return places, [at.astimezone(begin.tzinfo).strftime("%H:%M") for at in instants]
