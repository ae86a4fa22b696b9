"""The session on accounts, keys and tokens, which belong to no station. `swap.store` opens it."""

from __future__ import annotations

from sqlmodel import Session


class IdentityDb(Session):
    """A session on what belongs to people and machines; what a station has is read here to know whose it is."""
