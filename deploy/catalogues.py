"""Bring the gettext catalogues up to date with the texts in code and templates, and compile them.

`python deploy/catalogues.py` after a change of texts: new ones enter the Chinese catalogue empty, translate them in
the `.po` and run it again. Only `.po` files are committed; set-up and the package build compile them (`setup.py`).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("zh_CN", "en")
WRITTEN_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""Fixed, so that an unchanged catalogue is an unchanged file."""
Found = tuple[int, str, str, list[str]]
"""What Babel takes from an extractor: line, function, text, comments."""


def code(file: IO[bytes], keywords: Mapping[str, Any], comment_tags: object, options: object) -> Iterator[Found]:
    """Texts given to a marking function, also inside f-strings, which Babel's own reader passes over."""
    for node in ast.walk(ast.parse(file.read())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in keywords and isinstance(node.args[0].value, str):
                yield node.lineno, name, node.args[0].value, []


@dataclass(frozen=True)
class Domain:
    """One catalogue: which files are read how, and where its own files go."""

    name: str
    sources: tuple[tuple[str, str | Callable[..., Any]], ...]
    locale: str
    header: str


CONSOLE = Domain(
    "console",
    (
        ("api/**/*.py", code),
        ("swap/words.py", code),
        ("swap/errors.py", code),
        ("swap/messages/answers.py", code),
        ("swap/audit/findings.py", code),
        ("swap/messages/requests.py", code),
        ("swap/paging.py", code),
        ("swap/keeping/archive.py", code),
        ("swap/register/persons.py", code),
        ("swap/identity/*.py", code),
        ("swap/config/erasing.py", code),
        ("swap/commerce/**/*.py", code),
        ("swap/station/admission.py", code),
        ("swap/reading/reconciliation.py", code),
        ("api/console/templates/*.html", "jinja2.ext:babel_extract"),
    ),
    "api/locale",
    "Texts of the console and the command line",
)
REPORT = Domain(
    "report",
    (("sim/**/*.py", code), ("benchmarks/edges.py", code), ("swap/words.py", code)),
    "sim/report/locale",
    "Texts of the planner's reports",
)
DOMAINS = (CONSOLE, REPORT)


def extracted(domain: Domain = CONSOLE) -> Catalog:
    """Every text of a domain."""
    found = Catalog(project="swapstation", charset="utf-8")
    keywords: dict[str, None] = dict.fromkeys(("N_", "text", "gettext", "_"))
    trim = {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true"}
    for pattern, method in domain.sources:
        for path in sorted(ROOT.glob(pattern)):
            for _line, text, _comments, _context in extract_from_file(method, path, keywords, (), trim):
                found.add(text, locations=[(path.relative_to(ROOT).as_posix(), 0)])
    return found


def po_path(language: str, domain: Domain = CONSOLE) -> Path:
    """Text catalogue of a language."""
    return ROOT / domain.locale / language / "LC_MESSAGES" / f"{domain.name}.po"


def renewed(language: str, domain: Domain) -> Catalog:
    """The catalogue of a language with every text that is there now, and what is known of their translations."""
    path = po_path(language, domain)
    known = Catalog(locale=language)
    if path.is_file():
        with path.open("rb") as file:
            known = read_po(file, locale=language)
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
    for message in extracted(domain):
        if message.id:
            old = known.get(message.id)
            text = message.id if language == "en" else "" if old is None else old.string
            catalogue.add(message.id, text, flags=message.flags - {"fuzzy"}, locations=message.locations)
    return catalogue


def compile_all() -> None:
    """Write the `.mo` of every `.po`."""
    for domain in DOMAINS:
        for language in LANGUAGES:
            path = po_path(language, domain)
            with path.open("rb") as source, path.with_suffix(".mo").open("wb") as target:
                write_mo(target, read_po(source, locale=language))


def main() -> int:
    empty = 0
    for domain in DOMAINS:
        for language in LANGUAGES:
            catalogue, path = renewed(language, domain), po_path(language, domain)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                write_po(file, catalogue, sort_output=True, include_lineno=False, width=100)
            empty += sum(not message.string for message in catalogue if message.id)
            print(f"{path.relative_to(ROOT)}: {len(catalogue)} texts")
    compile_all()
    if empty:
        print(f"{empty} texts wait for a translation", file=sys.stderr)
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
