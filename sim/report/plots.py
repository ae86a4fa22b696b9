"""The report's charts as ECharts options: plain values that go into the page as JSON.

Each option names no function; where one is needed (`"whiskers"`, `"number"`), the page's script puts it in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sim.report.results import by_hour, cost_parts
from sim.report.size_tables import cost_trials
from sim.report.storage import has_storage, storage_series
from sim.report.tables import limit_kw_steps, wait_bins
from sim.report.words import PART_NAMES, Words
from sim.sizing.answer import Sizing
from sim.sizing.trial import Trial
from sim.study.stats import Estimate
from sim.study.study import StudyResult

BLUE, GREEN, AMBER, RED, GREY = "#0b5cad", "#1f8a4c", "#b86a00", "#c62828", "#7b8794"
COLOURS = [BLUE, GREEN, AMBER, "#6a3fa0", GREY, "#2aa1b3", "#8d6e63", RED, "#c2a300", "#455a64"]

Option = dict[str, Any]


def study_plots(result: StudyResult, words: Words) -> dict[str, Option]:
    """Charts of one station by name: waits, stock and power over the day."""
    plots = {"waits": _waits(result, words), "stock": _stock(result, words), "power": _power(result, words)}
    return plots | {"storage": _storage(result, words)} if has_storage(result) else plots


def size_plots(found: Sizing, words: Words) -> dict[str, Option]:
    """Charts of a search by name: Pareto front, cost by part; none where no design had its year simulated."""
    if not found.front:
        return {}
    return {"front": _front(found, words), "cost": _cost(found, words)}


def _base(**over: Any) -> Option:
    return {
        "animation": False,
        "color": COLOURS,
        "grid": {"left": 64, "right": 24, "top": 48, "bottom": 48},
        "legend": {"top": 4},
        "tooltip": {"trigger": "axis", "valueFormatter": "number"},
    } | over


def _axis(name: str, **over: Any) -> Option:
    return {"type": "value", "name": name, "nameLocation": "middle", "nameGap": 44} | over


def _below(name: str, **over: Any) -> Option:
    return {"name": name, "nameLocation": "middle", "nameGap": 28} | over


def _ends(found: Estimate) -> tuple[float, float]:
    """Interval for a chart; no longer than the mean itself where it is not known."""
    return (found.low, found.high) if math.isfinite(found.half_width) else (found.mean, found.mean)


def _whiskers(name: str, points: Sequence[Sequence[Any]]) -> Option:
    """Intervals as lines with caps: each point is the low and high end on the x axis, then on the y axis."""
    return {
        "type": "custom",
        "name": name,
        "renderItem": "whiskers",
        "encode": {"x": [0, 1], "y": [2, 3]},
        "data": [list(point) for point in points],
        "itemStyle": {"color": "#17212b"},
        "tooltip": {"show": False},
        "silent": True,
        "z": 5,
        "clip": True,
    }


def _line(name: str, values: Sequence[float] | Sequence[Sequence[float]], colour: str, **over: Any) -> Option:
    style = {"color": colour}
    return {
        "type": "line",
        "name": name,
        "data": list(values),
        "symbol": "none",
        "itemStyle": style,
        "lineStyle": style | {"width": 2},
    } | over


def _band(name: str, found: Sequence[Estimate], colour: str) -> list[Option]:
    """A line with its interval as a band: the lower end unseen, and on top of it the width."""
    ends = [_ends(value) for value in found]
    hidden = {"type": "line", "symbol": "none", "lineStyle": {"opacity": 0}, "silent": True, "stack": f"band {name}"}
    hidden |= {"tooltip": {"show": False}, "stackStrategy": "all"}
    return [
        hidden | {"data": [low for low, _ in ends]},
        hidden | {"data": [high - low for low, high in ends], "areaStyle": {"color": colour, "opacity": 0.2}},
        _line(name, [value.mean for value in found], colour),
    ]


def _waits(result: StudyResult, words: Words) -> Option:
    bins = wait_bins(result)
    limit_min = result.scenario.promise.wait_limit_min
    names = [f"{low:g}–{high:g}" if high is not None else f"> {low:g}" for low, high, _ in bins]
    bars = [
        {
            "value": 100 * share.mean,
            "itemStyle": {"color": BLUE if high is not None and high <= limit_min + 1e-9 else AMBER},
        }
        for _, high, share in bins
    ]
    whiskers = [(at, at, *(100 * end for end in _ends(share))) for at, (_, _, share) in enumerate(bins)]
    name = words.text("Share of the trucks, %")
    return _base(
        legend={"show": False},
        xAxis=_below(words.text("Wait, min"), type="category", data=names),
        yAxis=_axis(name, min=0),
        series=[
            {"type": "bar", "name": name, "data": bars, "barCategoryGap": "8%"},
            _whiskers(words.text("Interval"), whiskers),
        ],
    )


def _hours() -> list[str]:
    return [f"{hour:02d}" for hour in range(24)]


def _stock(result: StudyResult, words: Words) -> Option:
    ready, waiting = words.text("Packs ready"), words.text("Trucks waiting")
    whole = words.text("Packs of the station")
    packs = [float(result.scenario.equipment.pack_total)] * 24
    return _base(
        legend={"top": 4, "data": [ready, waiting, whole]},
        xAxis=_below(words.text("Local hour"), type="category", data=_hours()),
        yAxis=_axis(words.text("Number"), min=0),
        series=[
            *_band(ready, by_hour(result, "ready_by_hour"), GREEN),
            *_band(waiting, by_hour(result, "waiting_by_hour"), AMBER),
            _line(whole, packs, GREY, lineStyle={"color": GREY, "type": "dashed", "width": 1}),
        ],
    )


def _power(result: StudyResult, words: Words) -> Option:
    mean, limit = words.text("Import, mean of the hour"), words.text("Limit of the grid")
    highest = words.text("Highest hour of a run")
    peak_kw = result.mean("peak_hour_kw").mean
    return _base(
        legend={"top": 4, "data": [mean, highest, limit]},
        # The limit changes to the minute, the hours are bands side by side: an axis of its own over the same width.
        xAxis=[
            _below(words.text("Local hour"), type="category", data=_hours()),
            {"type": "value", "min": 0, "max": 24, "show": False},
        ],
        yAxis=_axis("kW", min=0),
        series=[
            *_band(mean, by_hour(result, "site_kw_by_hour"), BLUE),
            _line(highest, [peak_kw] * 24, AMBER, lineStyle={"color": AMBER, "type": "dotted", "width": 2}),
            _line(limit, _corners(limit_kw_steps(result.scenario)), RED, xAxisIndex=1),
        ],
    )


def _corners(steps: Sequence[tuple[float, float]]) -> list[list[float]]:
    """Points of a line with steps over the day, from local hour and value of each."""
    ends = [hour for hour, _ in steps[1:]] + [24.0]
    return [[at, kw] for (hour, kw), end in zip(steps, ends, strict=True) for at in (hour, end)]


def _storage(result: StudyResult, words: Words) -> Option:
    stored, by_hour_kwh, power, by_hour_kw = storage_series(result, words)
    return _base(
        grid={"left": 64, "right": 64, "top": 48, "bottom": 48},
        legend={"top": 4, "data": [stored, power]},
        xAxis=_below(words.text("Local hour"), type="category", data=_hours()),
        yAxis=[_axis("kWh", min=0), _axis("kW")],
        series=[
            *_band(stored, by_hour_kwh, GREEN),
            {"type": "bar", "name": power, "data": by_hour_kw, "yAxisIndex": 1, "itemStyle": {"color": BLUE}},
        ],
    )


def _point(trial: Trial, words: Words) -> Option:
    p95 = trial.result().wait_quantile_min(0.95)
    return {"name": words.design(trial.design), "value": [p95.mean, trial.cost.mean / _money(words)[0]]}


def _money(words: Words) -> tuple[float, str]:
    """In how many yuan a chart counts, and how its axis is called: ten thousands in Chinese, millions in English."""
    chinese = words.tag.startswith("zh")
    return (1e4, words.text("Cost, 10 000 yuan a year")) if chinese else (1e6, words.text("Cost, million yuan a year"))


def _front(found: Sizing, words: Words) -> Option:
    best = found.front
    on_front = {trial.design for trial in best}
    others = [trial for trial in found.trials.values() if trial.complete and trial.design not in on_front]
    names = [words.text("Pareto front"), words.text("Other designs simulated"), words.text("Answer")]
    whiskers: list[tuple[float, ...]] = []
    scale = _money(words)[0]
    for trial in best:
        p95, cost = trial.result().wait_quantile_min(0.95), trial.cost
        low, high = _ends(cost)
        whiskers.append((p95.mean, p95.mean, low / scale, high / scale))
        low, high = _ends(p95)
        whiskers.append((low, high, cost.mean / scale, cost.mean / scale))
    series = [
        {
            "type": "line",
            "name": names[0],
            "data": [_point(trial, words) for trial in best],
            "symbolSize": 8,
            "itemStyle": {"color": BLUE},
            "lineStyle": {"color": BLUE, "type": "dashed"},
        },
        {
            "type": "scatter",
            "name": names[1],
            "data": [_point(trial, words) for trial in others],
            "symbolSize": 6,
            "itemStyle": {"color": GREY, "opacity": 0.6},
        },
        _whiskers(words.text("Interval"), whiskers),
    ]
    if found.answer is not None:
        style = {"color": GREEN, "borderColor": "#fff", "borderWidth": 1}
        answer = {"type": "scatter", "name": names[2], "data": [_point(found.answer, words)], "symbolSize": 16}
        series.append(answer | {"symbol": "diamond", "itemStyle": style, "z": 6})
    return _base(
        legend={"top": 4, "data": names if found.answer is not None else names[:2]},
        tooltip={"trigger": "item", "formatter": "point"},
        xAxis=_axis(words.text("P95 wait, min"), nameGap=28, min=0, scale=True),
        yAxis=_axis(_money(words)[1], nameGap=48, scale=True),
        series=series,
    )


def _cost(found: Sizing, words: Words) -> Option:
    trials = cost_trials(found)
    parts = [cost_parts(trial) for trial in trials]
    used = [name for name in PART_NAMES if any(part[name].mean for part in parts)]
    labels = []
    for trial in trials:
        label = words.design(trial.design)
        if found.answer is not None and trial.design == found.answer.design:
            label = words.text("Answer") + "\n" + label
        labels.append(label)
    whiskers = [(*(end / _money(words)[0] for end in _ends(trial.cost)), at, at) for at, trial in enumerate(trials)]
    return _base(
        grid={"left": 16, "right": 32, "top": 64, "bottom": 48, "containLabel": True},
        tooltip={"trigger": "axis", "axisPointer": {"type": "shadow"}, "valueFormatter": "number"},
        xAxis=_axis(_money(words)[1], nameGap=28),
        yAxis={"type": "category", "data": labels, "inverse": True, "axisLabel": {"width": 220, "overflow": "break"}},
        series=[
            {
                "type": "bar",
                "name": words.text(PART_NAMES[name]),
                "stack": "cost",
                "data": [part[name].mean / _money(words)[0] for part in parts],
            }
            for name in used
        ]
        + [_whiskers(words.text("Interval"), whiskers)],
    )
