"""What every section of a TOML file stands on: station files, register maps, recipes, scenarios."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
"""Name of a station, lane, bay, device or kind."""


class Section(BaseModel):
    """Base of every section: frozen, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
