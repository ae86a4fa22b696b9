"""Texts of the product in both languages: marked in code, kept in gettext catalogues, looked up by `Texts`.

`N_` marks an English text where it is written. Each door has a catalogue of its own, since each is installed and
translated as one piece: `api/locale` (console, command line) and `sim/report/locale` (the planner's reports).
Names that a customer gives (stations, faults, recipes) are no texts of the product: they carry both languages as
`name_zh` and `name_en` where they are given.
"""

from __future__ import annotations

import gettext
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = {"zh_CN": "zh-CN", "en": "en"}
"""Catalogue name to HTML language tag."""
DEFAULT_LANGUAGE = "zh_CN"


def N_(text: str) -> str:
    """Mark a text for the catalogues."""
    return text


PERIOD_NAMES = {
    "critical": N_("critical peak"),
    "peak": N_("peak"),
    "flat": N_("flat"),
    "valley": N_("valley"),
    "deep_valley": N_("deep valley"),
}
"""Words for `scheduler.tariff.PERIODS`."""


class CatalogueError(Exception):
    """A compiled catalogue is missing; the message says what to run."""


def language_of(wanted: str | None) -> str | None:
    """The catalogue for a language tag such as `en`, `en-GB`, `zh`, `zh-CN`, `zh_CN`; None for others."""
    if wanted is None:
        return None
    primary = wanted.replace("_", "-").split("-")[0].lower()
    return {"zh": "zh_CN", "en": "en"}.get(primary)


@dataclass(frozen=True)
class Texts:
    """The texts of one language."""

    name: str
    """One of `LANGUAGES`."""
    texts: gettext.NullTranslations

    @property
    def tag(self) -> str:
        """HTML language tag."""
        return LANGUAGES[self.name]

    def text(self, message: str, **values: object) -> str:
        """A text of the catalogue with its values filled in."""
        found = self.texts.gettext(message) if message else ""
        return found.format(**values) if values else found

    def pick(self, chinese: str, english: str) -> str:
        """The one of two names that this language shows."""
        return (chinese or english) if self.name == "zh_CN" else (english or chinese)


def load_texts(domain: str, folder: Path, name: str) -> gettext.NullTranslations:
    """The compiled catalogue of a language.

    Raises:
        CatalogueError: it is not there.
    """
    try:
        return gettext.translation(domain, folder, [name])
    except FileNotFoundError as error:
        raise CatalogueError(
            f"{folder / name / 'LC_MESSAGES' / domain}.mo is missing: catalogues are compiled at set-up; run "
            "`make setup` (in a development checkout also: python deploy/catalogues.py)"
        ) from error
