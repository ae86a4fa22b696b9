"""What every section of a scenario file stands on."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from scheduler.sections import Section

Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0, le=20)]
DayHours = Annotated[tuple[float, ...], Field(min_length=24, max_length=24)]


class ScenarioSection(Section):
    """Base of every section of a scenario or network file: the text under a field is its description."""

    model_config = ConfigDict(use_attribute_docstrings=True)
