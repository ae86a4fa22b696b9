"""Who looks at the console: the sign-in page, the cookie, and what is shown without either.

The cookie is `HttpOnly` and `SameSite=Strict`; pages of other sites are refused before (`api.edge.hosts`). Without a
sign-in the station's own machine, or everybody where `SWAP_OPEN_CONSOLE` says so, sees live state and may hold.
"""

from __future__ import annotations

import ipaddress

from starlette.requests import HTTPConnection
from starlette.responses import Response

from api.deps import Doors
from swap.errors import DatabaseAway, NotFound
from swap.identity.errors import AccessError, NotSignedIn
from swap.identity.principal import NOBODY, Principal, Sight
from swap.identity.rights import RIGHTS, Factor, right_of
from swap.identity.sign_in import SESSION_S, Tokens, principal_of
from swap.messages.requests import REQUESTS

SESSION_COOKIE = "swap_session"
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Who sends one of these comes through a proxy, wherever the proxy is."""
PIN_KINDS = tuple(kind for kind in REQUESTS if RIGHTS[f"ask.{kind}"].factor is Factor.PIN)
"""Requests for which the page asks for the PIN."""


def is_local(connection: HTTPConnection) -> bool:
    """Whether a connection comes from this machine, and through no proxy."""
    if connection.client is None or any(name in connection.headers for name in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(connection.client.host).is_loopback
    except ValueError:
        return False


def guest(doors: Doors, connection: HTTPConnection) -> Principal:
    """Who has signed in at the console. Raises NotSignedIn, TokenNotValid, DatabaseAway."""
    token = connection.cookies.get(SESSION_COOKIE)
    if not token:
        raise NotSignedIn
    return principal_of(doors.store, doors.settings.identity, token, doors.real_now(), cookie=True)


def looker(doors: Doors, connection: HTTPConnection) -> Principal:
    """Who may look at the console: a signed-in person of the station, or nobody known where it is open.

    Raises:
        AccessError: neither.
        NotFound: it is another operator's station.
        DatabaseAway: nobody can tell who it is, and the console is not open.
    """
    is_open = doors.settings.open_console or is_local(connection)
    try:
        principal = guest(doors, connection)
    except (AccessError, DatabaseAway):
        if is_open:
            return NOBODY
        raise
    view = principal.view("state", right_of("state"))
    if view.sight is Sight.STATIONS and doors.station_id not in view.station_ids:
        raise NotFound("station", doors.station_id)
    return principal


def keep(response: Response, connection: HTTPConnection, tokens: Tokens) -> None:
    """Let the browser keep a sign-in for a shift."""
    response.set_cookie(
        SESSION_COOKIE,
        tokens.access_token,
        max_age=SESSION_S,
        path="/",
        secure=connection.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def forget(response: Response) -> None:
    """Let the browser forget it."""
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")
