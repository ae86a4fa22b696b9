"""Errors of this room that a caller can act on.

SwapError
├── NotFound       no such record
├── InvalidInput   a value outside what is allowed: field, value and allowed range are named
├── Conflict       contradicts the present state: an open swap, a taken slot, a key used twice
└── DatabaseAway   the database cannot be used for now
"""

from __future__ import annotations


class SwapError(Exception):
    """Base of the errors of the swap room."""


class NotFound(SwapError):
    """There is no such record."""

    def __init__(self, what: str, key: object) -> None:
        self.what = what
        self.key = key
        super().__init__(f"no {what} {key!r}")


class InvalidInput(SwapError):
    """A value that is not allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field = field
        self.value = value
        self.allowed = allowed
        super().__init__(f"{field} = {value!r}: allowed {allowed}")


class Conflict(SwapError):
    """The request is well formed and contradicts the present state. `detail` names the record in the way."""

    def __init__(self, message: str, **detail: str) -> None:
        self.detail = detail
        super().__init__(message)


class DatabaseAway(SwapError):
    """The database is locked, refuses, has ended the connection or is full; the same may succeed later.

    Attributes:
        outcome_unknown: it went away during a commit: what was written may be stored or not.
    """

    def __init__(self, reason: str, *, outcome_unknown: bool = False) -> None:
        self.outcome_unknown = outcome_unknown
        super().__init__(f"the database cannot be used now: {reason}")
