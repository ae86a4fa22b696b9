"""Accounts of people and keys of machines: make, list, change, disable. Each change leaves a row in the record.

All functions are called inside `store.identity()`; a password is hashed before, since that takes its time.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlmodel import col, select

from swap.errors import InvalidInput, NotFound
from swap.identity import secrets
from swap.identity.changes import note
from swap.identity.errors import LoginTaken
from swap.identity.principal import ROLES_OF
from swap.identity.rights import SCOPES, Role
from swap.identity_db import IdentityDb
from swap.messages.values import unfit_character
from swap.paging import Order, between, cut
from swap.register.persons import ERASED, PREFIX, person_actor
from swap.tables import ApiKey, Party, Person, Station, TokenFamily, UserAccount, VehicleRow
from swap.words import N_

LOGIN_MOST = 64


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class OrganisationRecord(_Record):
    """A firm or authority."""

    organisation_id: str
    """Id of the firm."""
    kind: str
    """`station_operator`, `battery_owner`, `fleet`, `energy_seller`, `supervisor` or `platform`."""
    name_zh: str
    """Its name in Chinese."""
    name_en: str
    """Its name in English."""


class UserRecord(_Record):
    """An account, without its secrets."""

    user_id: str
    """Id of the account."""
    login: str
    """What the person signs in with."""
    name: str
    """The person's name, under which requests are made."""
    organisation_id: str
    """Firm that the person belongs to."""
    station_id: str | None
    """The one station of the firm that the person works at; null: all of them."""
    roles: tuple[Role, ...]
    """What the person is there for."""
    vehicle_ids: tuple[str, ...]
    """Of a driver: vehicles of the firm that the person sees; empty: all of them."""
    pin_set: bool
    """A PIN is set, which is asked for where a robot may move."""
    totp_set: bool
    """A device for codes is set, which are asked for where money moves."""
    demo: bool
    """Made for trying out; refused outside development."""
    created_at: datetime
    """When it was made, in real time."""
    disabled_at: datetime | None
    """Since when nobody signs in with it; null while it is in use."""


class ApiKeyRecord(_Record):
    """A key, without itself."""

    key_id: str
    """Id of the key, which is not the key."""
    name: str
    """What the machine is."""
    organisation_id: str
    """Firm that the machine works for."""
    station_id: str | None
    """The one station of the firm that it works at; null: all of them."""
    roles: tuple[Role, ...]
    """Whose rows it sees, as for a person of these roles."""
    scopes: tuple[str, ...]
    """What of that it may do."""
    vehicle_ids: tuple[str, ...]
    """Of a driver's machine: vehicles of the firm that it sees; empty: all of them."""
    created_at: datetime
    """When it was made, in real time."""
    expires_at: datetime | None
    """When it ends by itself; null where it does not."""
    revoked_at: datetime | None
    """When it was ended; null while it is good."""


def login_name(value: str) -> str:
    """A login as it is stored and compared: compatible forms and cases are one. Raises InvalidInput."""
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    fit = 1 <= len(name) <= LOGIN_MOST and unfit_character(name) is None and not any(c.isspace() for c in name)
    if not fit:
        raise InvalidInput("login", value, N_("1…{most} characters without blanks"), most=LOGIN_MOST)
    return name


def organisation(db: IdentityDb, organisation_id: str) -> Party:
    """A firm. Raises InvalidInput for one that the register does not have."""
    party = db.get(Party, organisation_id)
    if party is None:
        known = ", ".join(db.exec(select(Party.id).order_by(Party.id).limit(20)))
        raise InvalidInput("organisation_id", organisation_id, N_("one of {names}"), names=known)
    return party


def _roles(party: Party, roles: Iterable[str]) -> list[str]:
    allowed = ROLES_OF.get(party.kind, frozenset())
    wanted = sorted(set(roles))
    wrong = [role for role in wanted if role not in allowed]
    if wrong or not wanted:
        names = ", ".join(sorted(allowed)) or "–"
        message = N_("for a firm of the kind {kind}: {names}")
        raise InvalidInput("roles", ", ".join(wrong), message, kind=party.kind, names=names)
    return wanted


def _station(db: IdentityDb, party: Party, station_id: str | None) -> str | None:
    if station_id is None:
        return None
    station = db.get(Station, station_id)
    if station is None or station.operator_id != party.id:
        raise InvalidInput("station_id", station_id, N_("a station that {firm} operates"), firm=party.id)
    return station_id


def _vehicles(db: IdentityDb, party: Party, roles: list[str], vehicle_ids: Iterable[str]) -> list[str]:
    wanted = sorted(set(vehicle_ids))
    if wanted and roles != [Role.DRIVER]:
        raise InvalidInput("vehicle_ids", ", ".join(wanted), N_("none, where the roles are others than driver alone"))
    known = set(db.exec(select(VehicleRow.id).where(col(VehicleRow.id).in_(wanted), VehicleRow.fleet_id == party.id)))
    if foreign := [one for one in wanted if one not in known]:
        raise InvalidInput("vehicle_ids", ", ".join(foreign), N_("vehicles of {firm}"), firm=party.id)
    return wanted


def create_user(
    db: IdentityDb,
    *,
    login: str,
    name: str,
    organisation_id: str,
    roles: Iterable[str],
    password_hash: str,
    pin_hash: str | None = None,
    station_id: str | None = None,
    vehicle_ids: Iterable[str] = (),
    actor: str,
    at: datetime,
    demo: bool = False,
    user_id: str | None = None,
) -> UserRecord:
    """A new account for a person, who is known from now on.

    Raises:
        InvalidInput: no login, no name, an unknown firm, roles that its kind does not have, a station it does not run,
            vehicles that are not its own, or with other roles than driver.
        LoginTaken: the login is another account's, or the person of this name has an account.
    """
    login = login_name(login)
    party = organisation(db, organisation_id)
    wanted, place = _roles(party, roles), _station(db, party, station_id)
    vehicles = _vehicles(db, party, wanted, vehicle_ids)
    taken = db.exec(select(UserAccount).where(UserAccount.login == login)).first()
    if taken is not None:
        raise LoginTaken(N_("the login {login!r} is in use"), {"user_id": taken.id}, login=login)
    person_id = person_actor(db, name, at).removeprefix(PREFIX)
    taken = db.exec(select(UserAccount).where(UserAccount.person_id == person_id)).first()
    if taken is not None:
        raise LoginTaken(N_("{name} has an account; two people need two names"), {"user_id": taken.id}, name=name)
    row = UserAccount(
        id=user_id or secrets.new_id("us"),
        login=login,
        person_id=person_id,
        organisation_id=party.id,
        station_id=place,
        roles=wanted,
        vehicle_ids=vehicles,
        password_hash=password_hash,
        pin_hash=pin_hash,
        demo=demo,
        created_at=at,
    )
    db.add(row)
    db.flush()
    after = {"organisation_id": party.id, "station_id": place, "roles": wanted, "vehicle_ids": vehicles}
    note(db, "user_created", row.id, actor=actor, at=at, after=after)
    return user_record(db, row)


def user_record(db: IdentityDb, row: UserAccount) -> UserRecord:
    """The record of an account."""
    person = db.get(Person, row.person_id)
    return UserRecord(
        user_id=row.id,
        login=row.login,
        name=ERASED if person is None or person.name is None else person.name,
        organisation_id=row.organisation_id,
        station_id=row.station_id,
        roles=tuple(Role(role) for role in row.roles),
        vehicle_ids=tuple(row.vehicle_ids),
        pin_set=row.pin_hash is not None,
        totp_set=row.totp_confirmed,
        demo=row.demo,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
    )


def _account(db: IdentityDb, user_id: str) -> UserAccount:
    row = db.get(UserAccount, user_id)
    if row is None:
        raise NotFound("user", user_id)
    return row


def get_user(db: IdentityDb, user_id: str) -> UserRecord:
    """One account. Raises NotFound."""
    return user_record(db, _account(db, user_id))


def user_of_login(db: IdentityDb, login: str) -> UserRecord:
    """The account of a login. Raises NotFound."""
    row = db.exec(select(UserAccount).where(UserAccount.login == login_name(login))).first()
    if row is None:
        raise NotFound("user", login)
    return user_record(db, row)


def list_users(
    db: IdentityDb,
    *,
    organisation_id: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[tuple[UserRecord, ...], str | None]:
    """Accounts by login, made from an instant and before another, and the cursor of the next page."""
    query = select(UserAccount).where(*between(col(UserAccount.created_at), from_at, to_at))
    if organisation_id is not None:
        query = query.where(UserAccount.organisation_id == organisation_id)
    query = Order(col(UserAccount.login), newest_first=False).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.login)
    return tuple(user_record(db, row) for row in rows), following


def list_organisations(
    db: IdentityDb, *, limit: int = 50, cursor: str | None = None
) -> tuple[tuple[OrganisationRecord, ...], str | None]:
    """Firms by id, and the cursor of the next page."""
    query = Order(col(Party.id), newest_first=False).page(select(Party), limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id)
    records = (
        OrganisationRecord(organisation_id=row.id, kind=row.kind, name_zh=row.name_zh, name_en=row.name_en)
        for row in rows
    )
    return tuple(records), following


def change_user(
    db: IdentityDb,
    user_id: str,
    *,
    roles: Iterable[str] | None = None,
    vehicle_ids: Iterable[str] | None = None,
    disabled: bool | None = None,
    actor: str,
    at: datetime,
) -> UserRecord:
    """Other roles or vehicles, disable, or enable again; what is None stays. Tokens of a disabled account are revoked.

    Raises:
        NotFound: no such account.
        InvalidInput: roles that the firm's kind does not have, vehicles that are not the firm's or with other roles
            than driver, or the last administrator would be gone.
    """
    row = _account(db, user_id)
    party = organisation(db, row.organisation_id)
    wanted = row.roles if roles is None else _roles(party, roles)
    if wanted != row.roles:
        note(db, "roles", row.id, actor=actor, at=at, before={"roles": row.roles}, after={"roles": wanted})
        row.roles = wanted
    if vehicle_ids is not None or roles is not None:
        vehicles = _vehicles(db, party, wanted, row.vehicle_ids if vehicle_ids is None else vehicle_ids)
        if vehicles != row.vehicle_ids:
            before, after = {"vehicle_ids": row.vehicle_ids}, {"vehicle_ids": vehicles}
            note(db, "vehicles", row.id, actor=actor, at=at, before=before, after=after)
            row.vehicle_ids = vehicles
    if disabled is not None and disabled != (row.disabled_at is not None):
        since, row.disabled_at = row.disabled_at, at if disabled else None
        values = {"disabled_at": since.isoformat() if since else None}
        note(db, "disabled" if disabled else "enabled", row.id, actor=actor, at=at, before=values)
        if disabled:
            revoke_tokens(db, row.id, why="disabled", at=at)
    db.add(row)
    db.flush()
    _keep_an_administrator(db)
    return user_record(db, row)


def _keep_an_administrator(db: IdentityDb) -> None:
    rows = db.exec(select(UserAccount)).all()
    administrators = [row for row in rows if Role.ADMINISTRATOR in row.roles]
    if administrators and all(row.disabled_at is not None for row in administrators):
        raise InvalidInput("disabled", True, N_("one administrator must stay in use"))
    if not administrators and rows:
        raise InvalidInput("roles", "…", N_("one administrator must stay in use"))


def set_password(
    db: IdentityDb, user_id: str, password_hash: str, *, actor: str, at: datetime, keep_family: str = ""
) -> None:
    """Another password; every sign-in of the account but one is ended. Raises NotFound."""
    row = _account(db, user_id)
    row.password_hash = password_hash
    db.add(row)
    note(db, "password", row.id, actor=actor, at=at)
    revoke_tokens(db, row.id, why="password", at=at, but=keep_family)


def set_pin(db: IdentityDb, user_id: str, pin_hash: str | None, *, actor: str, at: datetime) -> None:
    """Another PIN, or none. Raises NotFound."""
    row = _account(db, user_id)
    note(db, "pin", row.id, actor=actor, at=at, before={"pin_set": row.pin_hash is not None})
    row.pin_hash = pin_hash
    db.add(row)


def revoke_tokens(db: IdentityDb, user_id: str, *, why: str, at: datetime, but: str = "") -> None:
    """End every sign-in of an account, but one where it is given."""
    open_families = select(TokenFamily).where(TokenFamily.account_id == user_id, col(TokenFamily.revoked_at).is_(None))
    for family in db.exec(open_families.where(TokenFamily.id != but)):
        family.revoked_at, family.revoked_why = at, why
        db.add(family)


def erase_account(db: IdentityDb, person_id: str, *, actor: str, at: datetime) -> None:
    """Erase the account of a person, where there is one: it signs in no more and tells nothing. The name is the
    register's (`swap.config.erasing`). A second time changes nothing.

    Raises:
        InvalidInput: the last administrator would be gone.
    """
    row = db.exec(select(UserAccount).where(UserAccount.person_id == person_id)).first()
    if row is None or row.login == f"erased-{row.id}":
        return
    row.login, row.password_hash, row.pin_hash = f"erased-{row.id}", "", None
    row.totp_salt, row.totp_confirmed, row.totp_last_step = None, False, None
    row.disabled_at = row.disabled_at or at
    db.add(row)
    note(db, "erased", row.id, actor=actor, at=at)
    revoke_tokens(db, row.id, why="erased", at=at)
    db.flush()
    _keep_an_administrator(db)


def create_api_key(
    db: IdentityDb,
    *,
    name: str,
    organisation_id: str,
    roles: Iterable[str],
    scopes: Iterable[str],
    station_id: str | None = None,
    vehicle_ids: Iterable[str] = (),
    expires_at: datetime | None = None,
    actor: str,
    at: datetime,
) -> tuple[ApiKeyRecord, str]:
    """A new key: its record, and the key itself, which is shown this once.

    Raises:
        InvalidInput: as for `create_user`; an unknown scope; an end that is past.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= 64 or unfit_character(name) is not None:
        raise InvalidInput("name", name, N_("1…64 characters"))
    party = organisation(db, organisation_id)
    held = sorted(set(scopes))
    if not held or any(scope not in SCOPES for scope in held):
        raise InvalidInput("scopes", ", ".join(held), N_("one of {names}"), names=", ".join(SCOPES))
    if expires_at is not None and expires_at <= at:
        raise InvalidInput("expires_at", expires_at.isoformat(), N_("an instant to come"))
    key = secrets.new_token(secrets.KEY)
    wanted = _roles(party, roles)
    vehicles = _vehicles(db, party, wanted, vehicle_ids)
    row = ApiKey(
        id=secrets.new_id("ak"),
        name=name,
        organisation_id=party.id,
        station_id=_station(db, party, station_id),
        roles=wanted,
        scopes=held,
        vehicle_ids=vehicles,
        key_hash=secrets.token_hash(key),
        created_at=at,
        expires_at=expires_at,
    )
    db.add(row)
    db.flush()
    after = {"name": name, "organisation_id": party.id, "roles": wanted, "scopes": held, "vehicle_ids": vehicles}
    note(db, "key_created", row.id, actor=actor, at=at, after=after)
    return key_record(row), key


def key_record(row: ApiKey) -> ApiKeyRecord:
    """The record of a key."""
    return ApiKeyRecord(
        key_id=row.id,
        name=row.name,
        organisation_id=row.organisation_id,
        station_id=row.station_id,
        roles=tuple(Role(role) for role in row.roles),
        scopes=tuple(row.scopes),
        vehicle_ids=tuple(row.vehicle_ids),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def list_api_keys(
    db: IdentityDb,
    *,
    organisation_id: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[tuple[ApiKeyRecord, ...], str | None]:
    """Keys by id, revoked ones too, made from an instant and before another, and the cursor of the next page."""
    query = select(ApiKey).where(*between(col(ApiKey.created_at), from_at, to_at))
    if organisation_id is not None:
        query = query.where(ApiKey.organisation_id == organisation_id)
    query = Order(col(ApiKey.id), newest_first=False).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id)
    return tuple(key_record(row) for row in rows), following


def revoke_api_key(db: IdentityDb, key_id: str, *, actor: str, at: datetime) -> ApiKeyRecord:
    """End a key; a second time changes nothing. Raises NotFound."""
    row = db.get(ApiKey, key_id)
    if row is None:
        raise NotFound("api_key", key_id)
    if row.revoked_at is None:
        row.revoked_at = at
        db.add(row)
        note(db, "key_revoked", row.id, actor=actor, at=at, before={"name": row.name, "scopes": row.scopes})
    return key_record(row)
