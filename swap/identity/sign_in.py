"""Signing in, tokens, and second factors. Functions open their own sessions: hashing waits outside of them.

Tokens are good for real seconds. An access token is short-lived; a refresh token is good once and gives the next pair.
One that comes twice ends its whole sign-in, since one of the two that had it was not meant to have it. A session of
the console has one token, which its cookie keeps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Table, bindparam
from sqlalchemy import select as sql_select
from sqlmodel import col, delete, select

from swap.errors import InvalidInput
from swap.identity import secrets
from swap.identity.accounts import login_name
from swap.identity.changes import note
from swap.identity.errors import (
    SecondFactorNeeded,
    SecondFactorNotSet,
    SecondFactorWrong,
    SignInFailed,
    TokenNotValid,
    TokenReused,
    TooManyAttempts,
)
from swap.identity.principal import STATION_OPERATOR, Principal, PrincipalKind
from swap.identity.rights import Factor, Role
from swap.identity.settings import IdentitySettings
from swap.identity.throttle import Count, counted, waits_s
from swap.identity_db import IdentityDb
from swap.register.persons import PREFIX
from swap.store import Store
from swap.tables import AccessToken, ApiKey, AttemptCount, Party, Person, Station, TokenFamily, UserAccount

ACCESS_S = 15 * 60
REFRESH_S = 30 * 24 * 3600
"""Since the sign-in, however often it was refreshed."""
SESSION_S = 12 * 3600
"""A shift."""
KEPT = timedelta(days=30)
"""Expired sign-ins and old counts are deleted after so long."""


_TOKENS: Table = AccessToken.__table__  # type: ignore[attr-defined]
_FAMILIES: Table = TokenFamily.__table__  # type: ignore[attr-defined]
_ACCOUNTS: Table = UserAccount.__table__  # type: ignore[attr-defined]
_KEYS: Table = ApiKey.__table__  # type: ignore[attr-defined]
_PERSONS: Table = Person.__table__  # type: ignore[attr-defined]
_PARTIES: Table = Party.__table__  # type: ignore[attr-defined]
_STATIONS: Table = Station.__table__  # type: ignore[attr-defined]
# Of the tables, and not of their classes, and made once: every request asks them. A row for each station that the
# organisation operates, one where it operates none.
_OF_TOKEN = (
    sql_select(
        _TOKENS.c.kind,
        _TOKENS.c.expires_at,
        _FAMILIES.c.id.label("family_id"),
        _FAMILIES.c.expires_at.label("family_expires_at"),
        _FAMILIES.c.revoked_at,
        _ACCOUNTS.c.id.label("account_id"),
        _ACCOUNTS.c.station_id,
        _ACCOUNTS.c.roles,
        _ACCOUNTS.c.vehicle_ids,
        _ACCOUNTS.c.disabled_at,
        _ACCOUNTS.c.demo,
        _PERSONS.c.id.label("person_id"),
        _PERSONS.c.name,
        _PARTIES.c.id.label("party_id"),
        _PARTIES.c.kind.label("party_kind"),
        _STATIONS.c.id.label("operated_id"),
    )
    .join(_FAMILIES, _FAMILIES.c.id == _TOKENS.c.family_id)
    .join(_ACCOUNTS, _ACCOUNTS.c.id == _FAMILIES.c.account_id)
    .join(_PERSONS, _PERSONS.c.id == _ACCOUNTS.c.person_id)
    .join(_PARTIES, _PARTIES.c.id == _ACCOUNTS.c.organisation_id)
    .outerjoin(_STATIONS, _STATIONS.c.operator_id == _PARTIES.c.id)
    .where(_TOKENS.c.hash == bindparam("hash"))
)
_OF_KEY = (
    sql_select(
        _KEYS,
        _PARTIES.c.id.label("party_id"),
        _PARTIES.c.kind.label("party_kind"),
        _STATIONS.c.id.label("operated_id"),
    )
    .join(_PARTIES, _PARTIES.c.id == _KEYS.c.organisation_id)
    .outerjoin(_STATIONS, _STATIONS.c.operator_id == _PARTIES.c.id)
    .where(_KEYS.c.key_hash == bindparam("hash"))
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in or a refresh gives; shown this once."""

    access_token: str
    access_expires_at: datetime
    refresh_token: str | None
    refresh_expires_at: datetime


# attempts


def begin_attempt(store: Store, keys: dict[str, int], settings: IdentitySettings, at: datetime) -> None:
    """Count an attempt before it is tried. Args: keys: where it counts, each with its free failures.

    Raises:
        TooManyAttempts: nothing is tried now; it is not counted either.
    """
    with store.identity() as db:
        rows = {key: db.get(AttemptCount, key) for key in keys}
        counts = {key: None if row is None else Count(row.failures, row.last_at) for key, row in rows.items()}
        wait_s = max(waits_s(counts[key], free, settings.limits, at) for key, free in keys.items())
        if wait_s:
            raise TooManyAttempts(wait_s)
        db.exec(delete(AttemptCount).where(col(AttemptCount.last_at) < at - KEPT))
        for key in keys:
            more = counted(counts[key], settings.limits, at)
            db.merge(AttemptCount(key=key, failures=more.failures, last_at=more.last_at))


def forget_attempt(db: IdentityDb, key: str, *, whole: bool) -> None:
    """Take back the attempt that has succeeded: the whole count of an account, this one of an address."""
    row = db.get(AttemptCount, key)
    if row is None:
        return
    row.failures = 0 if whole else row.failures - 1
    if row.failures <= 0:
        db.delete(row)
    else:
        db.add(row)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


# signing in


def sign_in(
    store: Store, settings: IdentitySettings, *, login: str, password: str, address: str, at: datetime, console: bool
) -> Tokens:
    """Sign a person in. Call it from a thread of its own: the hash takes some 50 ms.

    Raises:
        SignInFailed: in every case of a wrong login, a wrong password or an account that is not in use.
        TooManyAttempts: after failures at this login, whether it exists or not, or from this address.
    """
    try:
        name = login_name(login)
    except InvalidInput:
        name = "\n"  # no login is like it
    by_login, by_address = f"login:{_short(name)}", f"address:{_short(address)}"
    limits = settings.limits
    begin_attempt(store, {by_login: limits.free, by_address: limits.address_free}, settings, at)
    with store.reading_identity() as db:
        wanted = select(UserAccount.id, UserAccount.password_hash).where(UserAccount.login == name)
        found = db.exec(wanted).first()
    right = secrets.is_it(None if found is None else found[1], password)
    if found is None or not right:
        raise SignInFailed
    with store.identity() as db:
        account = db.get_one(UserAccount, found[0])
        if not _in_use(db, account, settings):
            raise SignInFailed
        forget_attempt(db, by_login, whole=True)
        forget_attempt(db, by_address, whole=False)
        _forget_old(db, at)
        return _begin(db, account.id, at, console=console)


def tokens_for(db: IdentityDb, user_id: str, at: datetime, *, console: bool = False) -> Tokens:
    """Tokens without a password, for the command line of a development station."""
    return _begin(db, user_id, at, console=console)


def _begin(db: IdentityDb, account_id: str, at: datetime, *, console: bool) -> Tokens:
    lasts_s = SESSION_S if console else REFRESH_S
    family = TokenFamily(
        id=secrets.new_id("si"),
        account_id=account_id,
        kind="console" if console else "api",
        created_at=at,
        expires_at=at + timedelta(seconds=lasts_s),
    )
    db.add(family)
    db.flush()
    if console:
        token = _issue(db, family, secrets.SESSION, "session", at, SESSION_S)
        return Tokens(token, family.expires_at, None, family.expires_at)
    return _pair(db, family, at)


def _pair(db: IdentityDb, family: TokenFamily, at: datetime) -> Tokens:
    access = _issue(db, family, secrets.ACCESS, "access", at, ACCESS_S)
    refresh = _issue(db, family, secrets.REFRESH, "refresh", at, REFRESH_S)
    ends_at = min(at + timedelta(seconds=ACCESS_S), family.expires_at)
    return Tokens(access, ends_at, refresh, family.expires_at)


def _issue(db: IdentityDb, family: TokenFamily, prefix: str, kind: str, at: datetime, lasts_s: int) -> str:
    token = secrets.new_token(prefix)
    ends_at = min(at + timedelta(seconds=lasts_s), family.expires_at)
    row = AccessToken(hash=secrets.token_hash(token), family_id=family.id, kind=kind, issued_at=at, expires_at=ends_at)
    db.add(row)
    db.flush()
    return token


def _forget_old(db: IdentityDb, at: datetime) -> None:
    old = select(TokenFamily.id).where(col(TokenFamily.expires_at) < at - KEPT)
    db.exec(delete(AccessToken).where(col(AccessToken.family_id).in_(old)))
    db.exec(delete(TokenFamily).where(col(TokenFamily.expires_at) < at - KEPT))


def refresh(store: Store, settings: IdentitySettings, token: str, at: datetime) -> Tokens:
    """Another pair of tokens for a refresh token, which is used up.

    Raises:
        TokenNotValid: it is none, has expired or was revoked.
        TokenReused: it was used before; the sign-in has ended with it.
    """
    with store.identity() as db:
        row = _token(db, token)
        if row is None or row.kind != "refresh":
            raise TokenNotValid
        family = db.get_one(TokenFamily, row.family_id)
        account = db.get_one(UserAccount, family.account_id)
        if family.revoked_at is not None or min(row.expires_at, family.expires_at) <= at:
            raise TokenNotValid
        if not _in_use(db, account, settings):
            raise TokenNotValid
        reused = row.used_at is not None
        if reused:
            family.revoked_at, family.revoked_why = at, "reused"
            note(db, "token_reused", account.id, actor=PREFIX + account.person_id, at=at, after={"sign_in": family.id})
        else:
            row.used_at = at
            db.add(row)
            expired = delete(AccessToken).where(col(AccessToken.family_id) == family.id)
            db.exec(expired.where(col(AccessToken.kind) == "access", col(AccessToken.expires_at) <= at))
            tokens = _pair(db, family, at)
        db.add(family)
    if reused:  # the revocation is committed
        raise TokenReused
    return tokens


def sign_out(store: Store, token: str, at: datetime) -> None:
    """End the sign-in that a token came of; an unknown token, or a second time, changes nothing."""
    with store.identity() as db:
        row = _token(db, token)
        family = None if row is None else db.get_one(TokenFamily, row.family_id)
        if family is not None and family.revoked_at is None:
            family.revoked_at, family.revoked_why = at, "signed_out"
            db.add(family)


# who it is


def _token(db: IdentityDb, token: str) -> AccessToken | None:
    """The row of a token. It is found by its hash: how long that takes tells nothing of the token."""
    return db.get(AccessToken, secrets.token_hash(token)) if len(token) <= secrets.TOKEN_MOST else None


def _in_use(db: IdentityDb, account: UserAccount, settings: IdentitySettings) -> bool:
    person = db.get(Person, account.person_id)
    return _usable(None if person is None else person.name, account.disabled_at, account.demo, settings)


def _usable(name: str | None, disabled_at: datetime | None, demo: bool, settings: IdentitySettings) -> bool:
    """Whether an account may be used: its person was not erased, and it is neither disabled nor a demo elsewhere."""
    return name is not None and disabled_at is None and (settings.development or not demo)


def principal_of(store: Store, settings: IdentitySettings, token: str, at: datetime, *, cookie: bool) -> Principal:
    """Who has sent a token or key, as it stands now: nothing of it is remembered between two requests.

    Args:
        cookie: it came in the console's cookie; such a token is good nowhere else, and no other is good there.

    Raises:
        TokenNotValid: it is unknown, expired, revoked, or its account is not in use.
    """
    if len(token) > secrets.TOKEN_MOST:
        raise TokenNotValid
    key = token.startswith(secrets.KEY) and not cookie
    with store.looking_up() as connection:
        rows = connection.execute(_OF_KEY if key else _OF_TOKEN, {"hash": secrets.token_hash(token)}).all()
    if not rows:
        raise TokenNotValid
    return _machine(rows, at) if key else _person(rows, settings, at, "session" if cookie else "access")


def _person(rows: Sequence[Row[Any]], settings: IdentitySettings, at: datetime, kind: str) -> Principal:
    row = rows[0]
    if row.kind != kind or row.revoked_at is not None or min(row.expires_at, row.family_expires_at) <= at:
        raise TokenNotValid
    if not _usable(row.name, row.disabled_at, row.demo, settings):
        raise TokenNotValid
    return Principal(
        kind=PrincipalKind.PERSON,
        id=row.account_id,
        name=row.name,
        actor=PREFIX + row.person_id,
        organisation_id=row.party_id,
        organisation_kind=row.party_kind,
        station_ids=_stations(rows),
        vehicle_ids=frozenset(row.vehicle_ids),
        roles=frozenset(Role(role) for role in row.roles),
        family_id=row.family_id,
    )


def _machine(rows: Sequence[Row[Any]], at: datetime) -> Principal:
    row = rows[0]
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= at):
        raise TokenNotValid
    return Principal(
        kind=PrincipalKind.MACHINE,
        id=row.id,
        name=row.name,
        actor=f"api_key:{row.id}",
        organisation_id=row.party_id,
        organisation_kind=row.party_kind,
        station_ids=_stations(rows),
        vehicle_ids=frozenset(row.vehicle_ids),
        roles=frozenset(Role(role) for role in row.roles),
        scopes=frozenset(row.scopes),
    )


def _stations(rows: Sequence[Row[Any]]) -> frozenset[str]:
    """Stations of an organisation that somebody is let into: all, or the one that he works at."""
    row = rows[0]
    if row.party_kind != STATION_OPERATOR:
        return frozenset()
    operated = frozenset(one.operated_id for one in rows if one.operated_id is not None)
    return operated if row.station_id is None else operated & {row.station_id}


# second factors


def check_factor(
    store: Store, settings: IdentitySettings, principal: Principal, factor: Factor, given: str | None, at: datetime
) -> None:
    """Ask once more for a PIN or a code.

    Raises:
        SecondFactorNotSet: the account has none.
        SecondFactorNeeded: none was given.
        SecondFactorWrong: it is wrong, or the code was used before.
        TooManyAttempts: after wrong ones.
    """
    with store.reading_identity() as db:
        account = db.get_one(UserAccount, principal.id)
        pin_hash, totp_set = account.pin_hash, account.totp_confirmed
    if not (pin_hash is not None if factor is Factor.PIN else totp_set):
        raise SecondFactorNotSet(factor)
    if not given:
        raise SecondFactorNeeded(factor)
    key = f"{factor}:{principal.id}"
    begin_attempt(store, {key: settings.limits.free}, settings, at)
    if factor is Factor.PIN and not secrets.is_it(pin_hash, given):
        raise SecondFactorWrong(factor)
    with store.identity() as db:
        if factor is Factor.TOTP:
            take_code(db, settings, principal.id, given, at)
        forget_attempt(db, key, whole=True)


def take_code(db: IdentityDb, settings: IdentitySettings, user_id: str, code: str, at: datetime) -> None:
    """Use up a TOTP code. Raises SecondFactorWrong."""
    account = db.get_one(UserAccount, user_id)
    device = secrets.totp(settings.secret, account.totp_salt or "")
    step = secrets.totp_step(device, code, at, account.totp_last_step)
    if account.totp_salt is None or step is None:
        raise SecondFactorWrong(Factor.TOTP)
    account.totp_last_step = step
    db.add(account)


def check_password(store: Store, settings: IdentitySettings, principal: Principal, password: str, at: datetime) -> None:
    """Ask for the password once more, before a secret is changed. Raises SignInFailed, TooManyAttempts."""
    with store.reading_identity() as db:
        account = db.get_one(UserAccount, principal.id)
        login, password_hash = account.login, account.password_hash
    key = f"login:{_short(login)}"
    begin_attempt(store, {key: settings.limits.free}, settings, at)
    if not secrets.is_it(password_hash, password):
        raise SignInFailed
    with store.identity() as db:
        forget_attempt(db, key, whole=True)


def enrol_totp(
    store: Store, settings: IdentitySettings, principal: Principal, at: datetime, issuer: str
) -> tuple[str, str]:
    """Begin with a device for TOTP codes: its secret, and the address that a phone reads. The old one ends."""
    with store.identity() as db:
        account = db.get_one(UserAccount, principal.id)
        before = {"totp_set": account.totp_confirmed}
        account.totp_salt, account.totp_confirmed, account.totp_last_step = secrets.new_id("ts"), False, None
        db.add(account)
        note(db, "totp_begun", account.id, actor=principal.actor, at=at, before=before)
        device = secrets.totp(settings.secret, account.totp_salt)
        return device.secret, device.provisioning_uri(name=account.login, issuer_name=issuer)


def confirm_totp(store: Store, settings: IdentitySettings, principal: Principal, code: str, at: datetime) -> None:
    """The device shows codes: from now on they count. Raises SecondFactorWrong, TooManyAttempts."""
    key = f"{Factor.TOTP}:{principal.id}"
    begin_attempt(store, {key: settings.limits.free}, settings, at)
    with store.identity() as db:
        take_code(db, settings, principal.id, code, at)
        account = db.get_one(UserAccount, principal.id)
        account.totp_confirmed = True
        db.add(account)
        note(db, "totp_set", account.id, actor=principal.actor, at=at)
        forget_attempt(db, key, whole=True)
