"""Accounts of people and keys of machines, for administrators; what was changed of them, for supervisors too."""

from __future__ import annotations

import secrets as chance
from typing import Annotated

from fastapi import Query, Response
from pydantic import Field

from api.access import Who, guarded_router
from api.deps import AnyDoors, InTime, Paged
from api.problems import declared
from api.schemas import Input, Instant, Output, RecordId, VehicleId
from swap.identity import secrets
from swap.identity.accounts import (
    ApiKeyRecord,
    OrganisationRecord,
    UserRecord,
    get_user,
    list_api_keys,
    list_organisations,
    list_users,
    set_password,
)
from swap.identity.accounts import (
    change_user as changed,
)
from swap.identity.accounts import (
    create_api_key as new_api_key,
)
from swap.identity.accounts import (
    create_user as new_user,
)
from swap.identity.accounts import (
    revoke_api_key as revoked,
)
from swap.identity.changes import AccessChangeRecord, list_changes
from swap.identity.rights import SCOPES, Role
from swap.reading.records import Page

router = guarded_router(tags=["accounts"])

FirmId = Annotated[str, Field(min_length=1, max_length=32, examples=["fleet-a"])]
FirmQuery = Annotated[str | None, Query(max_length=32, description="Only those of a firm.")]
Vehicles = Annotated[tuple[VehicleId, ...], Field(max_length=100, examples=[["YQ-001"]])]
Roles = Annotated[tuple[Role, ...], Field(min_length=1, max_length=len(Role))]


class UserIn(Input):
    """A new account."""

    login: Annotated[str, Field(min_length=1, max_length=64)]
    """What the person signs in with; capitals do not matter."""
    name: Annotated[str, Field(min_length=1, max_length=64)]
    """The person's name, under which requests are made; no two people have one."""
    organisation_id: FirmId
    """Firm that the person belongs to."""
    station_id: Annotated[str | None, Field(max_length=32)] = None
    """The one station of the firm that the person works at; none: all of them."""
    roles: Roles
    """What the person is there for; each kind of firm has its own."""
    vehicle_ids: Vehicles = ()
    """Of a driver: vehicles of the firm that the person sees and books for; empty: all of them."""
    password: Annotated[str | None, Field(max_length=secrets.PASSWORD_MOST)] = None
    """At least 10 characters; none: one is made and shown once."""


class UserOut(Output):
    """An account, and the password where it was made here."""

    user: UserRecord
    """The account."""
    password: str | None = None
    """Shown this once; null where it was given."""


class UserChangeIn(Input):
    """What is to change of an account; what is left out stays."""

    roles: Roles | None = None
    """What the person is there for."""
    vehicle_ids: Vehicles | None = None
    """Of a driver: vehicles of the firm that the person sees and books for; empty: all of them."""
    disabled: bool | None = None
    """True: signs in no more, and every token is revoked. False: may sign in again."""


class ApiKeyIn(Input):
    """A new key of a machine."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """What the machine is."""
    organisation_id: FirmId
    """Firm that the machine works for."""
    station_id: Annotated[str | None, Field(max_length=32)] = None
    """The one station of the firm that it works at; none: all of them."""
    roles: Roles
    """Whose rows it sees, as for a person of these roles."""
    scopes: Annotated[tuple[str, ...], Field(min_length=1, max_length=len(SCOPES), examples=[["bookings:read"]])]
    """What of that it may do, such as `bookings:read`."""
    vehicle_ids: Vehicles = ()
    """Of a driver's machine: vehicles of the firm that it sees; none: all of them."""
    expires_at: Instant | None = None
    """When it ends by itself, in real time; none: when it is revoked."""


class ApiKeyOut(Output):
    """A key: itself is shown this once."""

    api_key: ApiKeyRecord
    """What is kept of it."""
    key: str
    """For `Authorization: Bearer …`."""


@router.get("/organisations", responses=declared(422))
def organisations(doors: AnyDoors, who: Who, paging: Paged) -> Page[OrganisationRecord]:
    """Firms and authorities that accounts may belong to, by their ids."""
    with doors.store.reading_identity() as db:
        items, following = list_organisations(db, **paging)
    return Page(items=items, next_cursor=following)


@router.get("/users", responses=declared(422))
def users(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    organisation_id: FirmQuery = None,
) -> Page[UserRecord]:
    """Accounts by login, disabled ones too."""
    with doors.store.reading_identity() as db:
        items, following = list_users(db, organisation_id=organisation_id, **span, **paging)
    return Page(items=items, next_cursor=following)


@router.post("/users", status_code=201, responses=declared(400, 409))
def create_user(body: UserIn, doors: AnyDoors, who: Who, response: Response) -> UserOut:
    """Make an account for a person."""
    made = chance.token_urlsafe(12) if body.password is None else None
    hashed = secrets.hashed(secrets.password_text(made or body.password or ""))
    with doors.store.identity() as db:
        user = new_user(
            db,
            login=body.login,
            name=body.name,
            organisation_id=body.organisation_id,
            station_id=body.station_id,
            roles=body.roles,
            vehicle_ids=body.vehicle_ids,
            password_hash=hashed,
            actor=who.principal.actor,
            at=doors.real_now(),
        )
    response.headers["Cache-Control"] = "no-store"
    response.headers["Location"] = f"/api/v1/users/{user.user_id}"
    return UserOut(user=user, password=made)


@router.get("/users/{user_id}", responses=declared(404))
def user(user_id: RecordId, doors: AnyDoors, who: Who) -> UserRecord:
    """One account."""
    with doors.store.reading_identity() as db:
        return get_user(db, user_id)


@router.patch("/users/{user_id}", responses=declared(400, 404))
def change_user(user_id: RecordId, body: UserChangeIn, doors: AnyDoors, who: Who) -> UserRecord:
    """Give other roles or vehicles, disable an account, or let it be used again. One administrator stays in use."""
    with doors.store.identity() as db:
        return changed(
            db,
            user_id,
            roles=body.roles,
            vehicle_ids=body.vehicle_ids,
            disabled=body.disabled,
            actor=who.principal.actor,
            at=doors.real_now(),
        )


@router.post("/users/{user_id}/password", responses=declared(404))
def reset_password(user_id: RecordId, doors: AnyDoors, who: Who, response: Response) -> UserOut:
    """Give an account another password, which is made and shown once; every sign-in of it is ended."""
    made = chance.token_urlsafe(12)
    hashed = secrets.hashed(made)
    with doors.store.identity() as db:
        set_password(db, user_id, hashed, actor=who.principal.actor, at=doors.real_now())
        user = get_user(db, user_id)
    response.headers["Cache-Control"] = "no-store"
    return UserOut(user=user, password=made)


@router.get("/api-keys", responses=declared(422))
def api_keys(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    organisation_id: FirmQuery = None,
) -> Page[ApiKeyRecord]:
    """Keys of machines, revoked ones too; none is shown again."""
    with doors.store.reading_identity() as db:
        items, following = list_api_keys(db, organisation_id=organisation_id, **span, **paging)
    return Page(items=items, next_cursor=following)


@router.post("/api-keys", status_code=201, responses=declared(400))
def create_api_key(body: ApiKeyIn, doors: AnyDoors, who: Who, response: Response) -> ApiKeyOut:
    """Make a key for a machine. It may do what its roles and its scopes both allow."""
    with doors.store.identity() as db:
        record, key = new_api_key(
            db,
            name=body.name,
            organisation_id=body.organisation_id,
            station_id=body.station_id,
            roles=body.roles,
            scopes=body.scopes,
            vehicle_ids=body.vehicle_ids,
            expires_at=body.expires_at,
            actor=who.principal.actor,
            at=doors.real_now(),
        )
    response.headers["Cache-Control"] = "no-store"
    return ApiKeyOut(api_key=record, key=key)


@router.delete("/api-keys/{key_id}", responses=declared(404))
def revoke_api_key(key_id: RecordId, doors: AnyDoors, who: Who) -> ApiKeyRecord:
    """End a key at once. A second time changes nothing."""
    with doors.store.identity() as db:
        return revoked(db, key_id, actor=who.principal.actor, at=doors.real_now())


@router.get("/access-changes", responses=declared(422))
def access_changes(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    subject: Annotated[str | None, Query(max_length=64, description="Only those of an account or key.")] = None,
) -> Page[AccessChangeRecord]:
    """What was changed of accounts and keys, by whom, and what stood there before; newest first."""
    with doors.store.reading_identity() as db:
        items, following = list_changes(db, subject=subject, **span, **paging)
    return Page(items=items, next_cursor=following)
