"""Signing in and out, and what a person changes of the own account."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request, Response
from pydantic import Field

from api.access import SignInTurns, Who, address_of, bearer, guarded_router
from api.deps import AnyDoors
from api.problems import declared
from api.schemas import Input, Output
from swap.identity import secrets
from swap.identity.accounts import set_password, set_pin
from swap.identity.principal import PrincipalKind
from swap.identity.rights import RIGHTS, Role
from swap.identity.sign_in import (
    Tokens,
    check_password,
    confirm_totp,
    enrol_totp,
    sign_out,
)
from swap.identity.sign_in import (
    refresh as refreshed,
)

router = guarded_router(prefix="/auth", tags=["auth"])

Secret = Annotated[str, Field(min_length=1, max_length=secrets.PASSWORD_MOST)]
Token = Annotated[str, Field(min_length=1, max_length=secrets.TOKEN_MOST)]


class LoginIn(Input):
    """Login and password."""

    login: Annotated[str, Field(min_length=1, max_length=64, examples=["administrator"])]
    """The account's login; capitals do not matter."""
    password: Secret
    """The account's password."""


class RefreshIn(Input):
    """A refresh token."""

    refresh_token: Token
    """As the last sign-in or refresh gave it; good once."""


class TokensOut(Output):
    """A pair of tokens, shown this once."""

    access_token: str
    """For `Authorization: Bearer …`."""
    access_expires_at: str
    """Until when, in real time."""
    refresh_token: str
    """Good once, for the next pair."""
    refresh_expires_at: str
    """When the person has to sign in again, in real time."""
    token_type: str = "Bearer"
    """Always `Bearer`."""


class MeOut(Output):
    """Who has signed in."""

    kind: PrincipalKind
    """`person` or `machine`."""
    user_id: str
    """Id of the account, or of the key."""
    name: str
    """The person's name, under which requests are made."""
    organisation_id: str
    """Firm that it belongs to."""
    organisation_kind: str
    """What the firm does."""
    roles: tuple[Role, ...]
    """What it is there for."""
    vehicle_ids: tuple[str, ...]
    """Of a driver: vehicles of the firm that are seen; empty: all of them."""
    scopes: tuple[str, ...]
    """What a key holds; a person needs none."""
    operations: tuple[str, ...]
    """What it may do, as the operations of this document are named."""


class PasswordIn(Input):
    """The password, and the next one."""

    password: Secret
    """The present password."""
    new_password: Secret
    """At least 10 characters."""


class PinIn(Input):
    """A PIN, with the password."""

    password: Secret
    """The account's password."""
    pin: Annotated[str, Field(min_length=1, max_length=32)]
    """4 to 12 digits, not all the same."""


class EnrolIn(Input):
    """The password."""

    password: Secret
    """The account's password."""


class EnrolOut(Output):
    """What a device for codes is given, shown this once."""

    secret: str
    """In base 32, to type."""
    address: str
    """`otpauth://…`, to show as a QR code."""


class CodeIn(Input):
    """A code of the device."""

    code: Annotated[str, Field(min_length=1, max_length=16)]
    """Six digits."""


def _out(tokens: Tokens, response: Response) -> TokensOut:
    response.headers["Cache-Control"] = "no-store"
    return TokensOut(
        access_token=tokens.access_token,
        access_expires_at=tokens.access_expires_at.isoformat(),
        refresh_token=tokens.refresh_token or "",
        refresh_expires_at=tokens.refresh_expires_at.isoformat(),
    )


@router.post("/login", responses=declared(400))
async def login(body: LoginIn, doors: AnyDoors, request: Request, response: Response) -> TokensOut:
    """Sign in with login and password. After failures nothing is tried for a while, right or wrong, whether the login
    exists or not."""
    turns: SignInTurns = request.app.state.sign_in_turns
    tokens = await turns.sign_in(doors, body.login, body.password, address_of(request), console=False)
    return _out(tokens, response)


@router.post("/refresh", responses=declared(400))
def refresh(body: RefreshIn, doors: AnyDoors, response: Response) -> TokensOut:
    """The next pair of tokens. A refresh token that comes twice ends its whole sign-in."""
    return _out(refreshed(doors.store, doors.settings.identity, body.refresh_token, doors.real_now()), response)


@router.post("/logout", status_code=204, responses=declared())
def logout(request: Request, doors: AnyDoors) -> None:
    """End the sign-in of the token that is sent. A second time, or without one, changes nothing."""
    token = bearer(request)
    if token is not None:
        sign_out(doors.store, token, doors.real_now())


@router.get("/me", responses=declared())
def me(who: Who) -> MeOut:
    """Who has signed in, and what they may do."""
    one = who.principal

    def may(operation: str) -> bool:
        right = RIGHTS[operation]
        if right.anyone:
            return True
        if one.kind is PrincipalKind.MACHINE and right.scope not in one.scopes:
            return False
        station = right.station if one.station_ids else frozenset()
        return bool(one.roles & (right.every | station | right.own))

    return MeOut(
        kind=one.kind,
        user_id=one.id,
        name=one.name,
        organisation_id=one.organisation_id,
        organisation_kind=one.organisation_kind,
        roles=tuple(sorted(one.roles)),
        vehicle_ids=tuple(sorted(one.vehicle_ids)),
        scopes=tuple(sorted(one.scopes)),
        operations=tuple(sorted(name for name in RIGHTS if may(name))),
    )


@router.post("/password", status_code=204, responses=declared(400))
def change_password(body: PasswordIn, doors: AnyDoors, who: Who) -> None:
    """Change the own password; every other sign-in of the account is ended."""
    one, at = who.principal, doors.real_now()
    check_password(doors.store, doors.settings.identity, one, body.password, at)
    new = secrets.hashed(secrets.password_text(body.new_password))
    with doors.store.identity() as db:
        set_password(db, one.id, new, actor=one.actor, at=at, keep_family=one.family_id)


@router.post("/pin", status_code=204, responses=declared(400))
def set_own_pin(body: PinIn, doors: AnyDoors, who: Who) -> None:
    """Set the own PIN, which is asked for where a robot may move."""
    one, at = who.principal, doors.real_now()
    check_password(doors.store, doors.settings.identity, one, body.password, at)
    pin = secrets.hashed(secrets.pin_text(body.pin))
    with doors.store.identity() as db:
        set_pin(db, one.id, pin, actor=one.actor, at=at)


@router.post("/totp", responses=declared(400))
def begin_totp(body: EnrolIn, doors: AnyDoors, who: Who, response: Response) -> EnrolOut:
    """Begin with a device for codes (TOTP), which are asked for where money moves. An earlier device ends."""
    one, at = who.principal, doors.real_now()
    check_password(doors.store, doors.settings.identity, one, body.password, at)
    secret, address = enrol_totp(doors.store, doors.settings.identity, one, at, doors.config.station.name_en)
    response.headers["Cache-Control"] = "no-store"
    return EnrolOut(secret=secret, address=address)


@router.post("/totp/confirm", status_code=204, responses=declared(400))
def finish_totp(body: CodeIn, doors: AnyDoors, who: Who) -> None:
    """The device shows codes: from now on they count."""
    confirm_totp(doors.store, doors.settings.identity, who.principal, body.code, doors.real_now())
