"""The report's tables, and how they are written as HTML, CSV and Excel.

A cell is a text, a whole number, a number, an `Estimate` or a `Share` (of 0…1). In HTML an estimate is a mean and
half the width of its interval; in CSV and Excel it takes three columns, so that nothing is rounded.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from sim.report.assumptions import CHOICES, FIELDS, UNSEEN, YES_NO
from sim.report.results import by_hour, by_period
from sim.report.storage import has_storage, storage_rows
from sim.report.words import CAUSE_NAMES, QUANTITIES, SECTIONS, Words
from sim.scenario.file import Scenario
from sim.study.stats import Estimate, estimate
from sim.study.study import StudyResult
from swap.words import PERIOD_NAMES

DAY_MIN = 24 * 60


@dataclass(frozen=True, slots=True)
class Share:
    """A share of 0…1, shown in per cent."""

    value: Estimate | float


Cell = str | int | float | Estimate | Share | None


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the report."""

    id: str
    """Name of its CSV file and Excel sheet."""
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def study_tables(result: StudyResult, words: Words) -> list[Table]:
    """Key numbers, energy by period, the day by hours and the waits of a study."""
    text = words.text
    found = result.estimates()
    key_rows: list[tuple[Cell, ...]] = []
    for name, value in found.items():
        if name.startswith("storage_") and not has_storage(result):
            continue
        heading, unit = QUANTITIES.get(name, (name, ""))
        key_rows.append((text(heading), Share(value) if unit == "%" else value, words.unit(unit)))
    kwh, yuan = by_period(result, "kwh_by_period"), by_period(result, "yuan_by_period")
    limits_kw = limit_kw_by_hour(result.scenario)
    hours = [by_hour(result, name) for name in ("ready_by_hour", "waiting_by_hour", "site_kw_by_hour")]
    tables = [
        Table("key_numbers", text("Key numbers"), (text("Quantity"), text("Value"), text("Unit")), tuple(key_rows)),
        Table(
            "causes",
            text("What trucks waited for"),
            (text("Cause"), text("Share of the waiting"), text("Truck-hours a day")),
            cause_rows(result, words),
        ),
        Table(
            "periods",
            text("Energy and its price by tariff period"),
            (text("Period"), text("kWh a day"), text("yuan a day")),
            tuple((text(PERIOD_NAMES[p]), kwh[p], yuan[p]) for p in kwh if kwh[p].mean > 0),
        ),
        Table(
            "hours",
            text("The mean day by hours"),
            (text("Hour"), text("Packs ready"), text("Trucks waiting"), text("Import, kW"), text("Limit, kW")),
            tuple((f"{h:02d}–{h + 1:02d}", *(of[h] for of in hours), limits_kw[h]) for h in range(24)),
        ),
        Table(
            "waits",
            text("Waits of the trucks served"),
            (text("From, min"), text("To, min"), text("Share of the trucks")),
            tuple((low, high, Share(share)) for low, high, share in wait_bins(result)),
        ),
    ]
    if has_storage(result):
        tables.insert(3, Table("storage", *storage_rows(result, words)))
    return tables


def limit_kw_steps(scenario: Scenario) -> list[tuple[float, float]]:
    """What the grid may give over the day: local hour, to the minute, and kW from then on; demand response of the first
    simulated month included."""
    equipment, month = scenario.equipment, scenario.study.start_on.month
    events = [
        (round(60 * event.from_hour), round(60 * event.hours), event.limit_kw)
        for event in scenario.dr_events
        if month in event.months
    ]
    ends = {minute % DAY_MIN for begin, lasts, _ in events for minute in (begin, begin + lasts)}
    found: list[tuple[float, float]] = []
    for minute in sorted({0, *ends}):
        limits_kw = [kw for begin, lasts, kw in events if (minute - begin) % DAY_MIN < lasts]
        limit_kw = min([equipment.grid_limit_kw, *limits_kw])
        if not found or found[-1][1] != limit_kw:
            found.append((minute / 60, limit_kw))
    return found


def limit_kw_by_hour(scenario: Scenario) -> list[float]:
    """The lowest of these limits in each local hour, kW."""
    steps = limit_kw_steps(scenario)
    found = []
    for hour in range(24):
        begun = [kw for at, kw in steps if at <= hour][-1]
        found.append(min([begun, *(kw for at, kw in steps if hour < at < hour + 1)]))
    return found


def cause_rows(result: StudyResult, words: Words) -> tuple[tuple[Cell, ...], ...]:
    """Each cause that made a truck wait, the largest first, and their sum; all causes where no truck waited."""
    hours, shares = result.waiting_h_by_cause(), result.share_by_cause()
    total = estimate([sum(run.waiting_h_by_cause.values()) for run in result.runs], result.confidence)
    ranked = sorted(hours, key=lambda name: -hours[name].mean)
    rows: list[tuple[Cell, ...]] = [
        (words.text(CAUSE_NAMES[name]), Share(shares[name]) if total.mean > 0 else None, hours[name])
        for name in ranked
        if hours[name].mean > 0 or total.mean == 0
    ]
    return (*rows, (words.text("All waiting"), Share(1.0) if total.mean > 0 else None, total))


def wait_bins(result: StudyResult) -> list[tuple[float, float | None, Estimate]]:
    """Share of the trucks served by wait: from, to (minutes; None: no end), share.

    Five bins up to the promise, as many more as there are longer waits, at most to four times the promise.
    """
    limit_min = result.scenario.promise.wait_limit_min
    waits = [run.waits_min for run in result.runs]
    served = np.concatenate(waits)
    width = limit_min / 5
    count = min(max(math.ceil(float(served.max()) / width), 5), 20) if served.size else 5
    edges = [width * n for n in range(count + 1)]
    # A wait of exactly the limit keeps the promise, so a bin holds its upper end and not its lower one.
    ends = [-1.0, *edges[1:], math.inf]
    found = []
    for n in range(count + 1):
        shares = [float(((run > ends[n]) & (run <= ends[n + 1])).sum()) / max(run.size, 1) for run in waits]
        found.append((width * n, edges[n + 1] if n < count else None, estimate(shares, result.confidence)))
    return found if found[-1][2].mean > 0 else found[:-1]


_SUFFIXES = (
    ("_kwh_per_km_loaded", "kWh/km"),
    ("_trucks_per_hour_by_hour", "1/h"),
    ("_ohm_per_v", "Ω/V"),
    ("_yuan_per_kwh", "yuan/kWh"),
    ("_yuan_per_kva", "yuan/kVA"),
    ("_yuan_per_kw", "yuan/kW"),
    ("_yuan_per_year", "yuan/year"),
    ("_yuan_per_swap", "yuan"),
    ("_load_t", "t"),
    ("_yuan_per_h", "yuan/h"),
    ("_c_by_month", "°C"),
    ("_life_years", "years"),
    ("_warmup_days", "days"),
    ("_yuan", "yuan"),
    ("_kwh", "kWh"),
    ("_kva", "kVA"),
    ("_kmh", "km/h"),
    ("_kw", "kW"),
    ("_km", "km"),
    ("_min", "min"),
    ("_pct", "%"),
    ("_mtbf_h", "h"),
    ("_h", "h"),
    ("_s", "s"),
    ("_c", "°C"),
    ("_v", "V"),
)
_WHOLE_NAMES = {
    "km_loaded": "km",
    "km_empty": "km",
    "kwh_per_km_loaded": "kWh/km",
    "kwh_per_km_empty": "kWh/km",
    "kva_yuan_per_year": "yuan/(kVA·year)",
    "hours": "h",
    "from_hour": "h",
    "days": "days",
}


def unit_of(name: str) -> str:
    """Unit of a field of the scenario file, from its name; "" for none."""
    if name in _WHOLE_NAMES:
        return _WHOLE_NAMES[name]
    return next((unit for suffix, unit in _SUFFIXES if f"_{name}".endswith(suffix)), "")


def assumption_table(scenario: Scenario, words: Words) -> Table:
    """Every value of the scenario, those taken from the station file and the defaults included."""
    text = words.text
    rows: list[tuple[Cell, ...]] = []
    for path, owner, name, value in _leaves("", scenario):
        section = path.split(".")[0].split("[")[0] if "." in path or "[" in path else ""
        phrase = FIELDS[type(owner).__name__].get(name) or SECTIONS[name]
        shown = CHOICES.get(f"{type(owner).__name__}.{name}", {}).get(str(value))
        cell = _plain(value, words) if shown is None else f"{text(shown)} ({value})"
        rows.append((text(SECTIONS[section]), text(phrase), cell, words.unit(unit_of(name)), path))
    heads = (text("Section"), text("Assumption"), text("Value"), text("Unit"), text("Field of the scenario file"))
    return Table("assumptions", text("Assumptions"), heads, tuple(rows))


def _leaves(path: str, section: BaseModel) -> Iterator[tuple[str, BaseModel, str, Any]]:
    """Path in the file, the section that holds it, name and value of every field."""
    for name in type(section).model_fields:
        item, where = getattr(section, name), f"{path}.{name}" if path else name
        if name in UNSEEN:
            continue
        if isinstance(item, BaseModel):
            yield from _leaves(where, item)
        elif isinstance(item, tuple) and item and isinstance(item[0], BaseModel):
            for number, part in enumerate(item, start=1):
                yield from _leaves(f"{where}[{getattr(part, 'id', number)}]", part)
        elif isinstance(item, Mapping) and any(isinstance(part, BaseModel) for part in item.values()):
            for key, part in item.items():
                yield from _leaves(f"{where}[{key}]", part)
        else:
            yield where, section, name, item


def _plain(value: Any, words: Words) -> Cell:
    if value is None or value in ((), {}):
        return "–"
    if isinstance(value, bool):
        return words.text(YES_NO[value])
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(item, words)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return str(value)


def number(value: float, digits: int = 4) -> str:
    """A number to so many digits, never in powers of ten."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    shown = f"{round(value, decimals):,.{min(max(decimals, 0), 6)}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def share_text(share: Estimate) -> str:
    """A share in per cent with its interval, and as many decimals as a narrow interval can tell: 99.94 is not 99.99."""
    half = share.half_width
    if not math.isfinite(half):
        return f"{share.mean:.1%}"
    decimals = 1 if half == 0 or half >= 0.001 else 2 if half >= 0.0001 else 3
    return f"{share.mean:.{decimals}%} ± {half:.{decimals}%}"


def shown(cell: Cell) -> str:
    """A cell as the reader sees it."""
    if isinstance(cell, Share):
        value = cell.value
        if math.isnan(value.mean if isinstance(value, Estimate) else value):
            return "–"
        return share_text(value) if isinstance(value, Estimate) else f"{value:.1%}"
    if isinstance(cell, Estimate):
        if math.isnan(cell.mean):
            return "–"
        if cell.half_width == 0:
            return number(cell.mean)
        return f"{number(cell.mean)} ± {number(cell.half_width, 2)}"
    if isinstance(cell, float):
        return number(cell)
    return "" if cell is None else str(cell)


def table_html(table: Table) -> str:
    """An HTML table; each number carries its full value in `data-value`, its interval in `title`."""
    first = table.rows[0] if table.rows else (None,) * len(table.heads)
    heads = "".join(
        f"<th>{escape(head)}</th>" if isinstance(cell, str | None) else f'<th class="n">{escape(head)}</th>'
        for head, cell in zip(table.heads, first, strict=True)
    )
    rows = []
    for row in table.rows:
        cells = []
        for cell in row:
            value = cell.value if isinstance(cell, Share) else cell
            if isinstance(value, int | float | Estimate) and not _is_defined(value):
                cells.append(f'<td class="n">{escape(shown(cell))}</td>')
            elif isinstance(value, Estimate):
                title = f"{number(value.low, 6)} … {number(value.high, 6)}"
                cells.append(f'<td class="n" data-value="{value.mean!r}" title="{title}">{escape(shown(cell))}</td>')
            elif isinstance(value, int | float):
                cells.append(f'<td class="n" data-value="{value!r}">{escape(shown(cell))}</td>')
            else:
                cells.append(f"<td>{escape(shown(cell))}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table id="table-{table.id}"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def flat(table: Table, words: Words) -> tuple[list[str], list[list[str | int | float | None]]]:
    """Heads and rows with plain values only: an estimate takes three columns, a share is in per cent, as its head or a
    column of units says."""
    units = words.text("Unit") in table.heads
    names = [
        f"{head}, %" if not units and any(isinstance(row[at], Share) for row in table.rows) else head
        for at, head in enumerate(table.heads)
    ]
    wide = [any(isinstance(_bare(row[at]), Estimate) for row in table.rows) for at in range(len(table.heads))]
    heads: list[str] = []
    for head, three in zip(names, wide, strict=True):
        heads += (
            [head, words.text("{name}, low", name=head), words.text("{name}, high", name=head)] if three else [head]
        )
    rows = []
    for row in table.rows:
        cells: list[str | int | float | None] = []
        for cell, three in zip(row, wide, strict=True):
            value = _bare(cell)
            if isinstance(value, Estimate):
                cells += [_finite(value.mean), _finite(value.low), _finite(value.high)]
            else:
                cells += [value, None, None] if three else [value]
        rows.append(cells)
    return heads, rows


def _bare(cell: Cell) -> str | int | float | Estimate | None:
    """A cell without its dress; a share in per cent."""
    if not isinstance(cell, Share):
        return cell
    value = cell.value
    if isinstance(value, Estimate):
        return Estimate(100 * value.mean, 100 * value.standard_error, value.count, value.confidence)
    return 100 * value


def _is_defined(value: float | Estimate) -> bool:
    return not math.isnan(value.mean if isinstance(value, Estimate) else value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write_tables(tables: Sequence[Table], target: Path, words: Words) -> list[Path]:
    """Write an Excel workbook (target ends in .xlsx) or a folder of CSV files, in a folder that is there. Raises
    OSError."""
    if target.suffix.lower() == ".xlsx":
        return [_write_workbook(tables, target, words)]
    target.mkdir(exist_ok=True)
    written = []
    for table in tables:
        path = target / f"{table.id}.csv"
        heads, rows = flat(table, words)
        # Excel takes a file for UTF-8 only with this mark, and Chinese heads must not be garbled there.
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file).writerows([heads, *rows])
        written.append(path)
    return written


def _write_workbook(tables: Sequence[Table], target: Path, words: Words) -> Path:
    from openpyxl import Workbook
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    book = Workbook()
    if book.active is not None:
        book.remove(book.active)
    for table in tables:
        sheet = book.create_sheet(table.id)
        heads, rows = flat(table, words)
        sheet.append([table.title])
        sheet.append(heads)
        for row in rows:
            sheet.append(row)
        for cell in (*sheet[1], *sheet[2]):
            cell.font = Font(bold=True)
        sheet.freeze_panes = "A3"
        for at, head in enumerate(heads, start=1):
            longest = max([len(head) * 2, *(len(str(row[at - 1])) for row in rows)])
            sheet.column_dimensions[get_column_letter(at)].width = min(max(longest + 2, 8), 48)
    book.save(target)
    return target
