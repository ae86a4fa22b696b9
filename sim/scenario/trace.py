"""Recorded arrivals: a CSV file as spreadsheets and station systems write it, read strictly.

Encoding, separator and the form of the instants are told from the file; what could be meant in two ways is refused by
name. Every problem of the file is listed at once, with its line. A trace of instants keeps its own calendar: its first
day is the first that is simulated, so prices, weather and weekdays are those of the record.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from scheduler.sections import did_you_mean
from sim.scenario.file import Scenario
from sim.scenario.notes import Note
from swap.config.loading import ConfigError
from swap.words import N_

COLUMNS = ("at", "fleet", "vehicle", "soc_pct", "booked", "swap_s")
MOST_LISTED = 50
"""Problems listed one by one; of more only the number is said."""
_DAY_S = 86_400.0
_LONGEST_DAYS = 3660
_LONGEST_SWAP_S = 7200.0
_EXCEL_DAYS = (36_526.0, 73_051.0)
"""Serial numbers of 2000-01-01 and 2100-01-01: days from 1899-12-30."""
_EXCEL_BEGINS = datetime(1899, 12, 30)  # noqa: DTZ001 - local, of any zone
_LIKELY = {
    "soc_pct": ("soc", "电量"),
    "vehicle": ("vehicle", "truck", "plate", "车牌", "车辆"),
    "fleet": ("fleet", "车队"),
    "booked": ("book", "预约"),
}
"""By column: a heading with such a part in it is probably that column under another name."""
_YES, _NO = {"1", "true", "yes", "y", "是"}, {"", "0", "false", "no", "n", "否"}
_INSTANT = re.compile(
    r"(?P<year>\d{4})(?P<sep>[-/.年])(?P<month>\d{1,2})(?:[-/.]|月)(?P<day>\d{1,2})日?"
    r"(?:[T ]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d{1,6})?))?)?"
    r"\s*(?P<offset>Z|[+-]\d{2}:?\d{2})?"
)
_PARTS = ("year", "month", "day", "hour", "minute")
_DAY_FIRST = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b.*")


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One recorded arrival."""

    at_s: float
    """Seconds from the local midnight before the first row, or as the file gives them."""
    fleet: str
    """Empty where the file does not say."""
    vehicle: str
    soc_pct: float | None
    booked: bool | None
    swap_s: float | None = None
    """How long the swap kept the lane; only `swap fit` reads it."""


@dataclass(frozen=True)
class TraceFile:
    """A file of recorded arrivals, in order of time."""

    rows: tuple[TraceRow, ...]
    first_on: date | None
    """Its first local day; None where it gives seconds and not instants."""
    form: Note
    """What was read, for people."""
    days: int = field(default=1)
    """Local days that it covers, the first and the last included."""

    @property
    def last_on(self) -> date | None:
        """Its last local day."""
        return None if self.first_on is None else self.first_on + timedelta(days=self.days - 1)


@dataclass(frozen=True)
class TraceForm:
    """How a file is to be read."""

    columns: tuple[tuple[str, str], ...] = ()
    """Heading in the file by column; empty: the column is not read."""
    soc_unit: str = "pct"
    numbers: str | None = None
    """What plain numbers in `at` are: "seconds", "excel", or None where the file leaves no doubt."""


def trace_form(scenario: Scenario) -> TraceForm:
    """How the scenario's trace is to be read."""
    demand = scenario.demand
    return TraceForm(tuple(sorted(demand.trace_columns.items())), demand.trace_soc_unit, demand.trace_numbers)


def scenario_trace(scenario: Scenario) -> TraceFile:
    """The trace of a scenario; a file that has not changed is read once.

    Raises:
        ConfigError: with every problem of the file.
    """
    path = Path(scenario.folder) / str(scenario.demand.trace)
    fleets = tuple(fleet.id for fleet in scenario.fleets)
    try:
        known = path.stat()
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    return _read_once(path, (known.st_mtime_ns, known.st_size), trace_form(scenario), scenario.timezone, fleets)


@lru_cache(maxsize=8)
def _read_once(
    path: Path, version: tuple[int, int], form: TraceForm, timezone: str, fleets: tuple[str, ...]
) -> TraceFile:
    return read_trace(path, form, ZoneInfo(timezone), fleets)


def read_trace(path: Path, form: TraceForm, zone: ZoneInfo, fleets: Sequence[str] | None = None) -> TraceFile:
    """Read and check a file.

    Args:
        zone: local time of instants without an offset.
        fleets: those that there are; None: any.

    Raises:
        ConfigError: with every problem, each with its line.
    """
    text, encoding = _decoded(path)
    reader = _Reader(str(path), form, zone, fleets)
    return reader.read(text, encoding)


def _decoded(path: Path) -> tuple[str, str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    if data.startswith(b"PK\x03\x04") or data.startswith(b"\xd0\xcf\x11\xe0"):
        raise ConfigError(str(path), ["is an Excel workbook: save the sheet as CSV UTF-8"])
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\x00" in data:
        raise ConfigError(str(path), ["holds zero bytes, as UTF-16 without a byte order mark does: save it as UTF-8"])
    else:
        encodings = ["utf-8-sig", "gb18030"]
    for encoding in encodings:
        try:
            return data.decode(encoding), {"utf-8-sig": "UTF-8", "gb18030": "GBK", "utf-16": "UTF-16"}[encoding]
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
    raise ConfigError(str(path), [f"line {line}: is neither UTF-8, UTF-16 nor GBK: save it as UTF-8"])


class _Reader:
    """One pass through a file."""

    def __init__(self, source: str, form: TraceForm, zone: ZoneInfo, fleets: Sequence[str] | None) -> None:
        self.source, self.form, self.zone, self.fleets = source, form, zone, fleets
        self.problems: list[str] = []
        self.delimiter = ","

    def read(self, text: str, encoding: str) -> TraceFile:
        """The trace of a text."""
        lines = text.splitlines()
        head = next((line for line in lines if line.strip()), "")
        if not head:
            self._refuse("is empty: give a header with the column 'at' and a row for each arrival")
        self.delimiter = max(",;\t", key=head.count)
        table = csv.reader(io.StringIO(text), delimiter=self.delimiter)
        places, unread = self._header(table)
        raw: list[tuple[int, dict[str, str]]] = []
        width = max(places.values()) + 1
        try:
            for cells in table:
                if not any(cell.strip() for cell in cells):
                    continue
                if (len(cells) > self._width and any(cell.strip() for cell in cells[self._width :])) or len(
                    cells
                ) < width:
                    self._problem(table.line_num, f"has {len(cells)} fields, the header has {self._width}")
                else:
                    raw.append((table.line_num, {name: cells[at].strip() for name, at in places.items()}))
        except csv.Error as error:
            self._problem(table.line_num, str(error))
        if not raw and not self.problems:
            self._refuse("has a header and no row: give at least one arrival")
        seconds, first_on = self._instants([(line, row["at"]) for line, row in raw])
        rows = [self._row(line, row, at_s) for (line, row), at_s in zip(raw, seconds, strict=True)]
        self._check_order(raw, seconds)
        self._check_twice(raw, seconds)
        self._raise()
        days = int(rows[-1].at_s // _DAY_S) + 1
        if days > _LONGEST_DAYS:
            self._refuse(f"covers {days} days; allowed up to {_LONGEST_DAYS}: is an instant wrong?")
        return TraceFile(tuple(rows), first_on, self._told(encoding, len(rows), first_on, days, unread), days)

    # -- header

    def _header(self, table: object) -> tuple[dict[str, int], list[str]]:
        """Place of each column that is there, and headings that are not read."""
        assert hasattr(table, "__next__")
        heads: list[str] = []
        while not any(heads):
            heads = [cell.strip() for cell in next(table)]
        self._width = len(heads)
        mapped = dict(self.form.columns)
        for name in mapped:
            if name not in COLUMNS:
                near = did_you_mean(name, COLUMNS)
                self.problems.append(f"trace_columns.{name}: is no column; allowed: {', '.join(COLUMNS)}{near}")
        twice = sorted(head for head, count in Counter(heads).items() if head and count > 1)
        self.problems += [f"line 1: the heading {head!r} stands there {heads.count(head)} times" for head in twice]
        places: dict[str, int] = {}
        for name in COLUMNS:
            wanted = mapped.get(name, name)
            if wanted and wanted in heads:
                places[name] = heads.index(wanted)
            elif wanted and name in mapped:
                self.problems.append(f"line 1: no heading {wanted!r} for {name}; there are: {self._shown(heads)}")
        unread = [head for at, head in enumerate(heads) if head and at not in places.values()]
        if "at" not in places and not (mapped.get("at") and self.problems):
            looks_like_data = _INSTANT.fullmatch(heads[0]) is not None or _is_number(heads[0])
            what = "the header is missing" if looks_like_data else f"no column 'at'; there are: {self._shown(heads)}"
            self.problems.append(
                f"line 1: {what}. Head the columns {', '.join(COLUMNS)}, or name them in demand.trace_columns"
            )
        for head in unread:
            for name, parts in _LIKELY.items():
                if name not in places and name not in mapped and any(part in head.casefold() for part in parts):
                    self.problems.append(
                        f"line 1: the column {head!r} is not read; if it is {name}, say so: "
                        f'demand.trace_columns = {{ {name} = "{head}" }}; if not: {{ {name} = "" }}'
                    )
        self._raise()
        return places, unread

    @staticmethod
    def _shown(heads: Sequence[str]) -> str:
        return ", ".join(repr(head) for head in heads)

    # -- rows

    def _row(self, line: int, row: Mapping[str, str], at_s: float) -> TraceRow:
        fleet = row.get("fleet", "")
        if fleet and self.fleets is not None and fleet not in self.fleets:
            near = did_you_mean(fleet, self.fleets)
            self._problem(line, f"fleet {fleet!r} is not in the scenario; known: {', '.join(self.fleets)}{near}")
        vehicle = row.get("vehicle", "")
        if len(vehicle) > 32:
            self._problem(line, f"vehicle {vehicle!r} has {len(vehicle)} characters; allowed up to 32")
        said = row.get("booked")
        if said is not None and said.casefold() not in _YES | _NO:
            self._problem(line, f"booked {said!r}: allowed yes, no, true, false, 1, 0, 是, 否 or nothing")
        booked = None if said is None or said == "" else said.casefold() in _YES
        soc_pct, swap_s = self._soc(line, row.get("soc_pct", "")), self._swap_s(line, row.get("swap_s", ""))
        return TraceRow(at_s, fleet, vehicle, soc_pct, booked, swap_s)

    def _swap_s(self, line: int, text: str) -> float | None:
        if not text:
            return None
        bare = text.replace(",", ".") if self.delimiter != "," else text
        if not _is_number(bare) or not 0 < float(bare) <= _LONGEST_SWAP_S:
            self._problem(line, f"swap_s {text!r}: allowed above 0 up to {_LONGEST_SWAP_S:g} s")
            return None
        return float(bare)

    def _soc(self, line: int, text: str) -> float | None:
        if not text:
            return None
        bare, share = text.removesuffix("%").strip(), self.form.soc_unit == "share" and "%" not in text
        if self.delimiter != ",":
            bare = bare.replace(",", ".")
        if not _is_number(bare):
            self._problem(line, f"soc_pct {text!r} is no number; allowed 0…100 %")
            return None
        value = float(bare)
        if not share and "%" not in text and 0 < value < 1:
            self._problem(
                line,
                f"soc_pct {text!r} would be {value:g} %; for a share of 1 set demand.trace_soc_unit = 'share'",
            )
            return None
        soc_pct = 100 * value if share else value
        if not 0 <= soc_pct <= 100:
            self._problem(line, f"soc_pct {text!r}: allowed {'0…1' if share else '0…100 %'}")
            return None
        return soc_pct

    # -- instants

    def _instants(self, cells: Sequence[tuple[int, str]]) -> tuple[list[float], date | None]:
        """Seconds of each row, and the first local day; NaN where a cell cannot be read."""
        plain = [text.replace(",", ".") if self.delimiter != "," else text for _, text in cells]
        numbers = [float(text) if _is_number(text) else math.nan for text in plain]
        are_numbers = [not math.isnan(value) for value in numbers]
        if any(are_numbers):
            for (line, text), is_number in zip(cells, are_numbers, strict=True):
                if not is_number:
                    self._problem(line, f"at {text!r} is no number, other rows have numbers: give all in one form")
            return self._from_numbers(cells, numbers)
        return self._from_instants([self._instant(line, text) for line, text in cells], cells)

    def _from_numbers(self, cells: Sequence[tuple[int, str]], numbers: list[float]) -> tuple[list[float], date | None]:
        low, high = _EXCEL_DAYS
        known = [value for value in numbers if not math.isnan(value)]
        excel = self.form.numbers == "excel"
        if self.form.numbers is None and all(low <= value < high for value in known):
            self.problems.append(
                f"at: all numbers lie between {low:g} and {high:g}, so they can be dates as Excel counts them or "
                "seconds: set demand.trace_numbers = 'excel' or 'seconds'"
            )
        if not excel:
            most = _LONGEST_DAYS * _DAY_S
            for (line, text), value in zip(cells, numbers, strict=True):
                if not math.isnan(value) and not 0 <= value <= most:
                    self._problem(line, f"at {text!r}: allowed 0…{most:.0f} s, or an instant like 2026-06-01T06:00")
            return numbers, None
        days: list[datetime | None] = []
        for (line, text), value in zip(cells, numbers, strict=True):
            if not math.isnan(value) and not low <= value < high:
                self._problem(line, f"at {text!r}: no date as Excel counts them; allowed {low:g}…{high:g}")
            usable = low <= value < high
            # Excel counts in days; its own display rounds to a second, and so does this.
            days.append(_EXCEL_BEGINS + timedelta(seconds=round(value * _DAY_S)) if usable else None)
        return self._from_instants(days, cells)

    def _instant(self, line: int, text: str) -> datetime | None:
        """A local or an aware instant; None where it cannot be read."""
        found = _INSTANT.fullmatch(text)
        if found is None:
            what = "is no instant like 2026-06-01T06:00 and no number of seconds"
            if _DAY_FIRST.fullmatch(text):
                what = "leaves open which is the day and which the month: write 2026-06-01 06:00"
            self._problem(line, f"at {text!r} {what}" if text else "at is empty")
            return None
        part = found.groupdict()
        second = float(part["second"] or 0)
        offset = part["offset"]
        try:
            year, month, day, hour, minute = (int(part[name] or 0) for name in _PARTS)
            instant = datetime(year, month, day, hour, minute)  # noqa: DTZ001 - local, unless an offset follows
            instant += timedelta(seconds=second)
            if second >= 60:
                raise ValueError("second must be in 0..59")
            if offset is not None:
                ahead = datetime.strptime(offset.replace("Z", "+0000").replace(":", ""), "%z").tzinfo
                instant = instant.replace(tzinfo=ahead)
        except ValueError as error:
            self._problem(line, f"at {text!r} is no instant: {error}")
            return None
        if not 2000 <= instant.year < 2100:
            self._problem(line, f"at {text!r}: allowed are the years 2000…2099")
            return None
        return instant

    def _from_instants(
        self, instants: list[datetime | None], cells: Sequence[tuple[int, str]]
    ) -> tuple[list[float], date | None]:
        read = [instant for instant in instants if instant is not None]
        if len({instant.tzinfo is None for instant in read}) > 1:
            aware = [line for (line, _), at in zip(cells, instants, strict=True) if at is not None and at.tzinfo]
            few = min(aware, [line for line, _ in cells if line not in set(aware)], key=len)
            self.problems.append(
                f"line {_some(few)}: some instants have an offset from UTC and some have none: give all or none one"
            )
            return [math.nan] * len(instants), None
        if not read:
            return [math.nan] * len(instants), None
        local = [None if at is None else self._local(at) for at in instants]
        first = next(at for at in local if at is not None)
        midnight = datetime(first.year, first.month, first.day, tzinfo=self.zone).astimezone(UTC)
        return [
            math.nan if at is None else (at.astimezone(UTC) - midnight).total_seconds() for at in local
        ], first.date()

    def _local(self, at: datetime) -> datetime:
        return at.replace(tzinfo=self.zone) if at.tzinfo is None else at.astimezone(self.zone)

    # -- all rows together

    def _check_order(self, raw: Sequence[tuple[int, dict[str, str]]], seconds: Sequence[float]) -> None:
        latest_s = -math.inf
        for (line, row), at_s in zip(raw, seconds, strict=True):
            if at_s < latest_s:
                self._problem(line, f"at {row['at']!r} is before a row above it: sort the file by time")
            elif not math.isnan(at_s):
                latest_s = at_s

    def _check_twice(self, raw: Sequence[tuple[int, dict[str, str]]], seconds: Sequence[float]) -> None:
        seen: dict[tuple[str, float], int] = {}
        for (line, row), at_s in zip(raw, seconds, strict=True):
            vehicle = row.get("vehicle", "")
            if vehicle and not math.isnan(at_s):
                other = seen.setdefault((vehicle, at_s), line)
                if other != line:
                    self._problem(line, f"vehicle {vehicle!r} comes at {row['at']!r} in line {other} too")

    # -- what is said

    def _told(self, encoding: str, rows: int, first_on: date | None, days: int, unread: list[str]) -> Note:
        values: dict[str, object] = {
            "file": Path(self.source).name,
            "rows": rows,
            "days": days,
            "encoding": encoding,
            "separator": {",": ",", ";": ";", "\t": "Tab"}[self.delimiter],
            "unread": ", ".join(unread) or "–",
        }
        if first_on is None:
            return Note(
                N_("{file}: {rows} arrivals in {days} day(s); {encoding}, separator {separator}; not read: {unread}"),
                values,
            )
        return Note(
            N_(
                "{file}: {rows} arrivals in {days} day(s) from {first}; {encoding}, separator {separator}; "
                "not read: {unread}"
            ),
            values | {"first": first_on.isoformat()},
        )

    def _problem(self, line: int, what: str) -> None:
        self.problems.append(f"line {line}: {what}")

    def _refuse(self, what: str) -> None:
        raise ConfigError(self.source, [what])

    def _raise(self) -> None:
        if self.problems:
            # By line, what is said of the whole file first.
            ordered = sorted(self.problems, key=lambda said: int(said[5:].split(":")[0]) if _has_line(said) else 0)
            left = len(ordered) - MOST_LISTED
            more = [f"and {left} more"] if left > 0 else []
            raise ConfigError(self.source, ordered[:MOST_LISTED] + more)


def _has_line(said: str) -> bool:
    return said.startswith("line ") and said[5:].split(":", maxsplit=1)[0].isdigit()


def _some(lines: Sequence[int]) -> str:
    shown = ", ".join(str(line) for line in lines[:10])
    return f"{shown} and {len(lines) - 10} more" if len(lines) > 10 else shown


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?")


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None
