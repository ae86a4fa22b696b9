"""What every section of a scenario file stands on."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from scheduler.sections import Section

Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0, le=20)]
Rate = Annotated[float, Field(ge=0, le=1000)]
DayHours = Annotated[tuple[Rate, ...], Field(min_length=24, max_length=24)]
MonthlyC = Annotated[tuple[Annotated[float, Field(ge=-60, le=60)], ...], Field(min_length=12, max_length=12)]
Yuan = Annotated[float, Field(ge=0, le=1e9)]
"""A price or a yearly cost."""
Hours = Annotated[float, Field(ge=0.01, le=100_000)]
"""A mean time to repair or to inspect, h."""


class ScenarioSection(Section):
    """Base of every section of a scenario or network file: the text under a field is its description."""

    model_config = ConfigDict(use_attribute_docstrings=True)
