"""What every section of a TOML file stands on: station files, register maps, recipes, scenarios."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
"""Name of a station, lane, bay, device or kind."""


class Section(BaseModel):
    """Base of every section: frozen, unknown fields and numbers that are none (`nan`, `inf`) refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_NEAR = 0.75
"""Likeness from which a word counts as another one misspelt: one or two letters of a usual name."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What to append to a line about a word that has no meaning: the known word it is nearest to, or nothing."""
    from difflib import get_close_matches  # here: only who has misspelt something needs it

    near = get_close_matches(word, tuple(known), 1, _NEAR)
    return f"; did you mean {near[0]!r}?" if near else ""
