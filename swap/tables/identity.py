"""Accounts of people, keys of machines, tokens, failed attempts, and what was changed of them by whom.

Of passwords, PINs, tokens and keys only hashes stand here. Instants are real time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index
from sqlmodel import Field

from swap.tables.base import Base


class UserAccount(Base, table=True):
    """What a person signs in with."""

    __tablename__ = "user_account"
    id: str = Field(primary_key=True, max_length=32)
    login: str = Field(max_length=64, unique=True)
    """As `swap.identity.accounts.login_name` writes it."""
    person_id: str = Field(foreign_key="person.id", max_length=32, unique=True)
    organisation_id: str = Field(foreign_key="party.id", max_length=32, index=True)
    station_id: str | None = Field(default=None, foreign_key="station.id", max_length=32)
    """The one station of its organisation that it works at; None: every one."""
    roles: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    vehicle_ids: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """Of a driver: the vehicles of its organisation that it sees; empty: all of them."""
    password_hash: str = Field(max_length=200)
    pin_hash: str | None = Field(default=None, max_length=200)
    totp_salt: str | None = Field(default=None, max_length=64)
    """With the secret of the server it makes the shared secret, so that this row alone is worth nothing."""
    totp_confirmed: bool = False
    """A code has been shown: the person's device has the secret."""
    totp_last_step: int | None = Field(default=None, sa_type=BigInteger)
    """Number of the 30 s in which a code was taken last: none is taken twice."""
    demo: bool = False
    """Made for trying out; refused outside development."""
    created_at: datetime
    disabled_at: datetime | None = None


class TokenFamily(Base, table=True):
    """One sign-in: the tokens that came of it, which are revoked together."""

    __tablename__ = "token_family"
    id: str = Field(primary_key=True, max_length=32)
    account_id: str = Field(foreign_key="user_account.id", max_length=32, index=True)
    kind: str = Field(max_length=16)
    """api, console."""
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_why: str = Field(default="", max_length=32)
    """signed_out, reused, password, disabled, erased; empty while it is good."""


class AccessToken(Base, table=True):
    """One token of a family."""

    __tablename__ = "access_token"
    hash: str = Field(primary_key=True, max_length=64)
    """SHA-256 of the token, in hexadecimal."""
    family_id: str = Field(foreign_key="token_family.id", max_length=32, index=True)
    kind: str = Field(max_length=16)
    """access, refresh, session."""
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    """Of a refresh token: when others were given for it. Once more and the family is revoked."""


class ApiKey(Base, table=True):
    """What a machine calls with."""

    __tablename__ = "api_key"
    id: str = Field(primary_key=True, max_length=32)
    name: str = Field(max_length=64)
    organisation_id: str = Field(foreign_key="party.id", max_length=32, index=True)
    station_id: str | None = Field(default=None, foreign_key="station.id", max_length=32)
    roles: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    scopes: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    vehicle_ids: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """Of a driver's machine: the vehicles of its organisation that it sees; empty: all of them."""
    key_hash: str = Field(max_length=64, unique=True)
    """SHA-256 of the key, in hexadecimal."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class AttemptCount(Base, table=True):
    """Failed attempts in a row: at an account, from an address, with a second factor."""

    __tablename__ = "attempt_count"
    key: str = Field(primary_key=True, max_length=80)
    """`login:`, `address:`, `pin:` or `totp:` and a hash or an id."""
    failures: int
    last_at: datetime = Field(index=True)


class AccessChange(Base, table=True):
    """One change of an account or key; never edited."""

    __tablename__ = "access_change"
    __table_args__ = (Index("ix_access_change_by_subject", "subject", "id"),)
    id: int | None = Field(default=None, primary_key=True)
    at: datetime
    actor: str = Field(max_length=64)
    """`person:` and an id, `api_key:` and an id, `command_line`, or `development`."""
    kind: str = Field(max_length=32)
    subject: str = Field(max_length=64)
    """Id of the account or key."""
    before: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """What was changed, as it was; never a secret or the hash of one."""
    after: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


class KeptAnswer(Base, table=True):
    """What a request with an `Idempotency-Key` was answered; written with what the request has changed."""

    __tablename__ = "kept_answer"
    organisation_id: str = Field(primary_key=True, max_length=32)
    """Of the caller: keys of two organisations are two keys."""
    key: str = Field(primary_key=True, max_length=64)
    fingerprint: str = Field(max_length=64)
    """HMAC-SHA-256 of station, caller, method, address and body under the secret of the server, in hexadecimal."""
    at: datetime
    """Real time at which it was claimed."""
    until_at: datetime = Field(index=True)
    """Real time until which it is kept, by the retention of the station that has answered."""
    status: int | None = None
    """HTTP status; None in the transaction that is still at it, which nobody else sees."""
    headers: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """Those that belong to the answer."""
    body: bytes | None = None
    """None where it shows a secret, which is not kept."""
