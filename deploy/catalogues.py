"""Bring the gettext catalogues up to date with the texts in code and templates, and compile them.

One catalogue is that of the console and the command line, one that of the planner's reports.

Both `.po` and `.mo` are committed, so a fresh clone speaks both languages without a build step. New texts enter
the Chinese catalogue empty: translate them in the `.po`, then run this again.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("zh_CN", "en")
WRITTEN_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""Fixed, so that an unchanged catalogue is an unchanged file."""


@dataclass(frozen=True)
class Domain:
    """One catalogue: where its texts stand and where its files go."""

    name: str
    code: tuple[str, ...]
    templates: tuple[str, ...]
    locale: str
    header: str
    docstrings: tuple[str, ...] = ()
    """Files whose public functions' docstrings are texts."""


CONSOLE = Domain(
    "console",
    ("api/**/*.py", "swap/station/answer_words.py"),
    ("api/console/templates/*.html",),
    "api/locale",
    "Texts of the console and the command line",
    docstrings=("swap/audit/journal.py", "swap/audit/packs.py", "swap/audit/swaps.py", "swap/audit/money.py"),
)
REPORT = Domain("report", ("sim/**/*.py",), (), "sim/report/locale", "Texts of the planner's reports")
DOMAINS = (CONSOLE, REPORT)


def extracted(domain: Domain = CONSOLE) -> Catalog:
    """Every text of a domain."""
    found = Catalog(project="swapstation", charset="utf-8")
    for path in _files(domain.code):
        for text in _texts_of_code(path):
            found.add(text, locations=[(path.relative_to(ROOT).as_posix(), 0)])
    for path in _files(domain.docstrings):
        for text in _docstrings(path):
            found.add(text, locations=[(path.relative_to(ROOT).as_posix(), 0)])
    reader = Environment(extensions=["jinja2.ext.i18n"], trim_blocks=True, lstrip_blocks=True)
    for path in _files(domain.templates):
        for _line, _function, text in reader.extract_translations(path.read_text(encoding="utf-8")):  # type: ignore[attr-defined]
            message = text if isinstance(text, str) else next(part for part in text if part)
            found.add(message, locations=[(path.relative_to(ROOT).as_posix(), 0)])
    return found


def _files(patterns: tuple[str, ...]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def _texts_of_code(path: Path) -> Iterator[str]:
    """Texts given to `N_()` and `text()`, also inside f-strings, which Babel's own reader passes over."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if name in {"N_", "text"} and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def _docstrings(path: Path) -> Iterator[str]:
    """Docstrings of the checks of a file in one line each, as `swap.audit` gives them."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and [given.arg for given in node.args.args] == ["records", "found"]:
            yield " ".join((ast.get_docstring(node) or "").split())


def po_path(language: str, domain: Domain = CONSOLE) -> Path:
    """Text catalogue of a language."""
    return ROOT / domain.locale / language / "LC_MESSAGES" / f"{domain.name}.po"


def read_catalogue(language: str, domain: Domain = CONSOLE) -> Catalog:
    """The committed catalogue of a language; empty when there is none."""
    path = po_path(language, domain)
    if not path.is_file():
        return Catalog(locale=language, project="swapstation", charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=language)


def renew(domain: Domain) -> int:
    """Write the files of one domain; the number of texts without a translation."""
    template = extracted(domain)
    empty = 0
    for language in LANGUAGES:
        catalogue = Catalog(
            locale=language,
            project="swapstation",
            charset="utf-8",
            header_comment=f"# {domain.header}, {language}.",
            creation_date=WRITTEN_AT,
            revision_date=WRITTEN_AT,
            fuzzy=False,
        )
        # Babel fills these with placeholders.
        catalogue.msgid_bugs_address = catalogue.last_translator = catalogue.language_team = "-"
        known = read_catalogue(language, domain)
        for message in template:
            if not message.id:
                continue
            old = known.get(message.id)
            text = str(message.id) if language == "en" else (str(old.string) if old is not None else "")
            catalogue.add(message.id, text, flags=message.flags - {"fuzzy"}, locations=message.locations)
            empty += not text
        path = po_path(language, domain)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            write_po(file, catalogue, sort_output=True, include_lineno=False, width=100)
        with path.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalogue)
        print(f"{path.relative_to(ROOT)}: {len(catalogue)} texts")
    return empty


def main() -> int:
    empty = sum(renew(domain) for domain in DOMAINS)
    if empty:
        print(f"{empty} texts wait for a translation", file=sys.stderr)
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
