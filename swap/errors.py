"""Errors of this room that a caller can act on.

SwapError
├── NotFound       no such record
├── InvalidInput   a value outside what is allowed: field, value and allowed range are named
├── Conflict       contradicts the present state
│   ├── SwapOpen     the vehicle has an open swap
│   ├── KeyReused    the idempotency key belongs to another request
│   ├── NotServed    the station is closed, or has nothing for this vehicle
│   └── NotEntitled  the vehicle's contract gives it no swap here
├── DatabaseAway   the database cannot be used for now
├── NotInstalled   a part of the program that is installed apart
└── DatabaseUnfit  what is named is no database that could be used; trying again does not help
"""

from __future__ import annotations

from collections.abc import Mapping

from swap.words import N_


class SwapError(Exception):
    """Base of the errors of the swap room.

    Attributes:
        message: the English text of the catalogues, with the names of its values in braces.
        values: what stands in the braces.
    """

    def __init__(self, message: str, **values: object) -> None:
        self.message = message
        self.values = values
        super().__init__(message.format(**values) if values else message)


class NotFound(SwapError):
    """There is no such record."""

    def __init__(self, what: str, key: object) -> None:
        self.what = what
        self.key = key
        super().__init__(N_("no {record} {key!r}"), record=what, key=key)


class InvalidInput(SwapError):
    """A value that is not allowed. `allowed` is a text of the catalogues, with its own values."""

    def __init__(self, field: str, value: object, allowed: str, **values: object) -> None:
        self.field = field
        self.value = value
        self.allowed_message = allowed
        self.allowed_values = values
        self.allowed = allowed.format(**values) if values else allowed
        super().__init__(N_("{field} = {value!r}: allowed {allowed}"), field=field, value=value, allowed=self.allowed)


class Conflict(SwapError):
    """The request is well formed and contradicts the present state. `detail` names the record in the way."""

    def __init__(self, message: str, detail: Mapping[str, str] | None = None, **values: object) -> None:
        self.detail = dict(detail or {})
        super().__init__(message, **{**values, **self.detail})


class SwapOpen(Conflict):
    """The vehicle has an open swap."""


class KeyReused(Conflict):
    """The idempotency key was used with other content."""


class NotServed(Conflict):
    """The station is closed, or does not have what the vehicle needs."""


class NotEntitled(Conflict):
    """The vehicle's contract gives it no swap here now."""


class DatabaseAway(SwapError):
    """The database is locked, refuses, has ended the connection or is full; the same may succeed later.

    Attributes:
        outcome_unknown: it went away during a commit: what was written may be stored or not.
    """

    def __init__(self, reason: str, *, outcome_unknown: bool = False) -> None:
        self.outcome_unknown = outcome_unknown
        super().__init__(N_("the database cannot be used now: {reason}"), reason=reason)


class NotInstalled(SwapError):
    """What was asked for needs a part of the program that is not installed here."""

    def __init__(self, extra: str) -> None:
        super().__init__(N_("this needs the extra {extra}: pip install 'swapstation[{extra}]'"), extra=extra)


class DatabaseUnfit(SwapError):
    """What is named as the database is none: a malformed URL, a driver that is not there, a file of something else."""

    NO_URL = N_("{url} is no database URL; give {forms}")
    OTHER_DATABASE = N_("{url} is no database of this program; give {forms}")
    NO_DRIVER = N_("{url}: its driver is not there ({reason}); give {forms}")
    NO_FOLDER = N_("there is no folder {folder} for the database; make it first")
    NO_DATABASE = N_("the file is no database of this program: {reason}")
