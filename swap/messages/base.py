"""What every event is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainSerializer


def _isoformat(at: datetime) -> str:
    return at.isoformat()


Instant = Annotated[AwareDatetime, PlainSerializer(_isoformat, when_used="json")]


class Message(BaseModel):
    """Base of events and their parts: frozen, strict, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_by_name=True, use_attribute_docstrings=True
    )


class Event(Message):
    """Base of all events."""

    kind: ClassVar[str]
    """As in the row's `kind` column."""
    schema_version: Literal[1] = 1

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """The event that a row's `data` tells. Raises ValidationError, a ValueError, where it does not fit."""
        # Strict, yet as JSON has it: a list is read as a tuple, a text as an instant or a code.
        return cls.model_validate_json(json.dumps(data))

    @classmethod
    def read_text(cls, data: str) -> Self:
        """The same of the text that is stored."""
        return cls.model_validate_json(data)

    def payload(self) -> dict[str, Any]:
        """What the row's `data` holds."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
