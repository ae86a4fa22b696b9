"""The language of the terminal: what `--lang` says, else the environment, else English.

Texts come from the console's catalogues (`api/locale`).
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from enum import StrEnum
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from api.words import Language, load_language
from swap.messages.values import printable
from swap.words import DEFAULT_LANGUAGE, language_of


class Lang(StrEnum):
    """Languages as they are given on the command line."""

    zh = "zh"
    en = "en"


LangOption = Annotated[
    Lang | None,
    typer.Option(
        "--lang",
        help="Language of what is printed; that of the environment (LC_ALL, LC_MESSAGES, LANG) when not given.",
        show_default=False,
    ),
]

_chosen: ContextVar[Lang | None] = ContextVar("chosen", default=None)


def choose(lang: Lang | None) -> None:
    """Use a language from now on; None: that of the environment."""
    _chosen.set(lang)


def chosen() -> Lang | None:
    """The language asked for by `--lang`."""
    return _chosen.get()


def lang() -> Lang:
    """Chinese where `--lang` or else the terminal's locale asks for it, else English."""
    wanted = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return chosen() or (Lang.zh if wanted.lower().startswith("zh") else Lang.en)


@lru_cache
def _load(name: str, zone: ZoneInfo) -> Language:
    return load_language(name, zone)


def language(zone: ZoneInfo | None = None) -> Language:
    """Words of the terminal's language; times in a zone, UTC when not given."""
    return _load(language_of(lang()) or DEFAULT_LANGUAGE, ZoneInfo("UTC") if zone is None else zone)


def text(message: str, **values: object) -> str:
    """A text in the terminal's language with its values filled in."""
    return language().text(message, **values)


def echo(text: object = "", *, err: bool = False) -> None:
    """Print for a person or a program: what acts on a terminal is written out, lines stay."""
    typer.echo(printable(str(text), lines=True), err=err)
