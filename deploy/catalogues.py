"""Bring the console's gettext catalogues up to date with the texts in code and templates, and compile them.

Both `.po` and `.mo` are committed, so a fresh clone speaks both languages without a build step. New texts enter
the Chinese catalogue empty: translate them in `console.po`, then run this again.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "api" / "console"
LOCALE = ROOT / "api" / "locale"
LANGUAGES = ("zh_CN", "en")
WRITTEN_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""Fixed, so that an unchanged catalogue is an unchanged file."""


def extracted() -> Catalog:
    """Every text of the console."""
    found = Catalog(project="swapstation", charset="utf-8")
    methods = [("**.py", "python"), ("templates/**.html", "jinja2")]
    options = {"templates/**.html": {"newstyle_gettext": "true", "trimmed": "true"}}
    for name, _line, message, _comments, context in extract_from_dir(
        SOURCE, methods, options, keywords={"N_": None, "_": None, "text": None}
    ):
        found.add(message, locations=[(f"api/console/{name}", 0)], context=context)
    return found


def po_path(language: str) -> Path:
    """Text catalogue of a language."""
    return LOCALE / language / "LC_MESSAGES" / "console.po"


def read_catalogue(language: str) -> Catalog:
    """The committed catalogue of a language; empty when there is none."""
    path = po_path(language)
    if not path.is_file():
        return Catalog(locale=language, project="swapstation", charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=language)


def main() -> int:
    template = extracted()
    empty = 0
    for language in LANGUAGES:
        catalogue = Catalog(
            locale=language,
            project="swapstation",
            charset="utf-8",
            header_comment=f"# Texts of the console, {language}.",
            creation_date=WRITTEN_AT,
            revision_date=WRITTEN_AT,
            fuzzy=False,
        )
        # Babel fills these with placeholders.
        catalogue.msgid_bugs_address = catalogue.last_translator = catalogue.language_team = "-"
        known = read_catalogue(language)
        for message in template:
            if not message.id:
                continue
            old = known.get(message.id)
            text = str(message.id) if language == "en" else (str(old.string) if old is not None else "")
            catalogue.add(message.id, text, flags=message.flags - {"fuzzy"}, locations=message.locations)
            empty += not text
        path = po_path(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            write_po(file, catalogue, sort_output=True, include_lineno=False, width=100)
        with path.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalogue)
        print(f"{path.relative_to(ROOT)}: {len(catalogue)} texts")
    if empty:
        print(f"{empty} texts wait for a translation", file=sys.stderr)
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
