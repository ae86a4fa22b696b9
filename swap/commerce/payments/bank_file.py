"""A bank's statement as CSV, read strictly. Pure: bytes in, lines out; the first mistake is told with its line.

Encodings: UTF-8 with or without mark, UTF-16 with mark (the "Unicode text" of spreadsheets), else GB 18030, which GBK
is a part of. Separators: comma, semicolon or tab, whichever the header has. Amounts are decimal text in yuan.
"""

from __future__ import annotations

import codecs
import csv
import functools
import io
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from swap.commerce.errors import FileUnreadable
from swap.commerce.ledger.transfers import MOST_FEN
from swap.messages.values import unfit_character
from swap.words import N_

MOST_BYTES = 5_000_000
MOST_LINES = 20_000
_AMOUNT = re.compile(r"([+-]?)(?:¥|￥)?(\d{1,3}(?:,\d{3})+|\d{1,13})(?:\.(\d{1,2})0*)?")
_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y.%m.%d", "%Y年%m月%d日")
_CURRENCIES = ("CNY", "RMB", "人民币", "人民币元")
_LONGEST = {"reference": 64, "other_name": 200, "other_account": 64, "memo": 400}
_SEPARATORS = ",;\t"


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line of a statement."""

    line_no: int
    """In the file, the first line is 1."""
    reference: str
    booked_on: date
    amount_fen: int
    """Negative: what went out."""
    other_name: str
    other_account: str
    memo: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A file that was read."""

    encoding: str
    lines: tuple[StatementLine, ...]


def read_statement(data: bytes) -> Statement:
    """Read a file.

    Raises:
        FileUnreadable: it is empty, no text, no CSV, has no header that is known, or a line is wrong or there twice.
    """
    encoding, text = _decoded(data)
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns: dict[str, int] | None = None
    lines: list[StatementLine] = []
    at_line: dict[str, int] = {}
    try:
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = _columns(cells, rows.line_num)
                continue
            line = _line(cells, columns, rows.line_num)
            if line.reference in at_line:
                raise _wrong(
                    line.line_no, "reference", line.reference, N_("a number of its own; line {other} has it"),
                    other=at_line[line.reference],
                )  # fmt: skip
            at_line[line.reference] = line.line_no
            lines.append(line)
            if len(lines) > MOST_LINES:
                raise _wrong(line.line_no, "file", len(lines), N_("at most {most} lines"), most=MOST_LINES)
    except csv.Error as error:
        raise _wrong(rows.line_num, "line", str(error), N_("lines of CSV")) from error
    if not lines:
        raise FileUnreadable("file", f"{len(data)} bytes", N_("a header and at least one line"))
    return Statement(encoding, tuple(lines))


def _decoded(data: bytes) -> tuple[str, str]:
    if not data.strip():
        raise FileUnreadable("file", f"{len(data)} bytes", N_("a header and at least one line"))
    if len(data) > MOST_BYTES:
        raise FileUnreadable("file", f"{len(data)} bytes", N_("at most {most} bytes"), most=MOST_BYTES)
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise FileUnreadable("file", "Excel", N_("CSV: save the sheet as CSV (UTF-8)"))
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    errors: list[UnicodeDecodeError] = []
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            errors.append(error)
            continue
        for number, line in enumerate(text.split("\n"), start=1):
            character = unfit_character(line.replace("\t", "").rstrip("\r"))
            if character is not None:
                raise _wrong(
                    number, "line", line[:40], N_("a text without the character {character}"), character=character
                )
        return encoding.removesuffix("-sig"), text
    last = max(errors, key=lambda error: error.start)  # of the encoding that went furthest
    broken = data.count(b"\n", 0, last.start) + 1
    raise _wrong(broken, "encoding", data[last.start : last.end].hex(), N_("UTF-8, UTF-16 with mark, or GBK"))


@functools.cache
def _names() -> dict[str, str]:
    with Path(__file__).with_name("bank_columns.toml").open("rb") as file:
        return {name: field for field, names in tomllib.load(file).items() for name in names}


def _columns(cells: list[str], number: int) -> dict[str, int]:
    """Place of each field."""
    found: dict[str, int] = {}
    for place, cell in enumerate(cells):
        field = _names().get(re.sub(r"\s|[(（].*?[)）]", "", cell).lower())
        if field is not None:
            found.setdefault(field, place)
    missing = [field for field in ("reference", "booked_on") if field not in found]
    if "amount" not in found and not {"credit", "debit"} <= found.keys():
        missing.append("amount")
    if missing:
        known = [name for name, field in _names().items() if field == missing[0]]
        raise _wrong(number, "header", ", ".join(cells)[:100], N_("a column {names}"), names=" | ".join(known))
    return found


def _line(cells: list[str], columns: Mapping[str, int], number: int) -> StatementLine:
    value = {field: _plain(cells[place]) if place < len(cells) else "" for field, place in columns.items()}
    for field, longest in _LONGEST.items():
        if len(value.get(field, "")) > longest:
            raise _wrong(number, field, value[field][:40] + "…", N_("at most {longest} characters"), longest=longest)
    if not value["reference"]:
        raise _wrong(number, "reference", "", N_("the bank's number of the line"))
    currency = value.get("currency", "")
    if currency and currency.upper() not in _CURRENCIES:
        raise _wrong(number, "currency", currency, ", ".join(_CURRENCIES))
    return StatementLine(
        number,
        value["reference"],
        _day(value["booked_on"], number),
        _signed_fen(value, number),
        value.get("other_name", ""),
        value.get("other_account", ""),
        value.get("memo", ""),
    )


def _plain(cell: str) -> str:
    """A cell without blanks around it, and without what spreadsheets put around numbers that are to stay text."""
    text = cell.strip()
    if text.startswith('="') and text.endswith('"'):
        text = text[2:-1]
    return text.removeprefix("'").strip()


def _day(text: str, number: int) -> date:
    day = text.replace("T", " ").partition(" ")[0]
    for form in _DAYS:
        try:
            return datetime.strptime(day, form).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    raise _wrong(number, "date", text, "2026-06-30, 2026/6/30, 20260630, 2026年6月30日")


def _signed_fen(value: Mapping[str, str], number: int) -> int:
    fields = [("amount", 1)] if "amount" in value else [("credit", 1), ("debit", -1)]
    amounts = {field: sign * _fen(value[field], field, number) for field, sign in fields if value[field]}
    given = {field: fen for field, fen in amounts.items() if fen}
    if len(given) != 1:
        shown = ", ".join(f"{field} {value[field]!r}" for field, _ in fields)
        raise _wrong(number, "amount", shown, N_("one amount that is not 0"))
    return next(iter(given.values()))


def _fen(text: str, field: str, number: int) -> int:
    found = _AMOUNT.fullmatch(text.replace(" ", ""))
    if found is None or (field != "amount" and found[1] == "-"):
        raise _wrong(number, field, text, N_("yuan with at most two decimals, such as 1234.50 or 1,234.50"))
    fen = int(found[2].replace(",", "")) * 100 + int((found[3] or "").ljust(2, "0"))
    if fen > MOST_FEN:
        raise _wrong(number, field, text, N_("at most {most} yuan"), most=MOST_FEN // 100)
    return -fen if found[1] == "-" else fen


def _wrong(number: int, field: str, value: object, allowed: str, **values: object) -> FileUnreadable:
    return FileUnreadable(f"line {number}, {field}", value, allowed, **values)


def references(text: str) -> Iterator[str]:
    """What a memo names of ours: ids of bills and charges as payments call them."""
    for kind, found in re.findall(r"(?<![A-Za-z0-9])(bl|ch)-([0-9a-f]{10,28})(?![0-9A-Za-z])", text):
        yield f"{'bill' if kind == 'bl' else 'charge'}:{kind}-{found}"
