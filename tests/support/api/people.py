"""People of the tests: accounts in a database, and what they send to be known."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from pathlib import Path

import httpx
from argon2 import PasswordHasher
from sqlalchemy.exc import SQLAlchemyError

from api.console.entry import SESSION_COOKIE
from swap.errors import SwapError
from swap.identity.accounts import UserRecord, create_user, list_users
from swap.identity.sign_in import tokens_for
from swap.store import Store

OPERATOR = "Operator A"
"""The administrator of the tests."""
PASSWORD, PIN = "a password of the tests", "2468"
TEST_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
RENEW_S = 300.0
EARLY = datetime(2026, 1, 1, tzinfo=UTC)
"""Before the time of every station of the tests: a person is known before it acts."""


def account(
    store: Store,
    role: str = "administrator",
    organisation_id: str = "station-operator",
    name: str = OPERATOR,
    vehicle_ids: Iterable[str] = (),
) -> UserRecord:
    """An account with a password and a PIN, hashed cheaply."""
    with store.identity() as db:
        return create_user(
            db,
            login="".join(name.split()),
            name=name,
            organisation_id=organisation_id,
            roles=[role],
            vehicle_ids=vehicle_ids,
            password_hash=TEST_HASHER.hash(PASSWORD),
            pin_hash=TEST_HASHER.hash(PIN),
            actor="command_line",
            at=EARLY,
        )


def signed_in(store: Store, user: UserRecord) -> dict[str, str]:
    """Headers of a person who has signed in, with the PIN."""
    with store.identity() as db:
        tokens = tokens_for(db, user.user_id, datetime.now(UTC))
    return {"Authorization": f"Bearer {tokens.access_token}", "Swap-Pin": PIN}


def session(store: Store, user: UserRecord) -> dict[str, str]:
    """Cookies of a person who has signed in at the console."""
    with store.identity() as db:
        tokens = tokens_for(db, user.user_id, datetime.now(UTC), console=True)
    return {SESSION_COOKIE: tokens.access_token}


def the_administrator(store: Store, name: str = OPERATOR, organisation_id: str = "station-operator") -> UserRecord:
    """An administrator's account, made the first time."""
    with store.reading_identity() as db:
        known = [user for user in list_users(db, limit=500)[0] if user.name == name]
    return known[0] if known else account(store, organisation_id=organisation_id, name=name)


def administrator(store: Store, name: str = OPERATOR, organisation_id: str = "station-operator") -> dict[str, str]:
    """Headers of an administrator."""
    return signed_in(store, the_administrator(store, name, organisation_id))


class PersonAuth(httpx.Auth):
    """Lets a client of a running station be an administrator, whose account is made with the first request.

    Args:
        url: the station's database.
    """

    def __init__(self, url: str, name: str = OPERATOR, organisation_id: str = "station-operator") -> None:
        self._url, self._name, self._organisation_id = url, name, organisation_id
        self._headers: dict[str, str] = {}
        self._until_s = float("-inf")

    def _known(self) -> dict[str, str]:
        """Headers; ConnectError while the station has not filled its database yet."""
        file = Path(self._url.removeprefix("sqlite:///"))
        if self._url.startswith("sqlite") and not file.is_file():
            raise httpx.ConnectError(f"there is no {file} yet")
        store = Store(self._url)
        try:
            return administrator(store, self._name, self._organisation_id)
        except (SwapError, SQLAlchemyError) as error:
            raise httpx.ConnectError(str(error)) from error
        finally:
            store.close()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign a request."""
        if time.monotonic() > self._until_s:
            self._headers = self._known()
            self._until_s = time.monotonic() + RENEW_S
        request.headers.update(self._headers)
        yield request
