"""Routes of the console: the page, its live WebSocket, and the forms of its buttons."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Form, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope
from starlette.websockets import WebSocketDisconnected

from api.access import Factors, SignInTurns, address_of, holder, permit
from api.console.cards import PageView
from api.console.entry import PIN_KINDS, SESSION_COOKIE, forget, guest, keep, looker
from api.console.live import LOOK_S, REPEAT_S, LiveFeed, Shown
from api.deps import AnyDoors, Doors, doors_of
from api.problems import said
from api.schemas import RowId, Text
from api.words import WORDS, Language, load_language
from swap.errors import DatabaseAway, NotFound, SwapError
from swap.identity.errors import (
    AccessError,
    NotAllowed,
    NotSignedIn,
    SignInFailed,
    TokenNotValid,
    TooManyAttempts,
)
from swap.identity.principal import EVERYTHING
from swap.identity.secrets import PASSWORD_MOST
from swap.identity.sign_in import sign_out
from swap.messages.requests import DEADLINE_S, Hold, read_request
from swap.station.requests import acknowledge_fault, make_request
from swap.words import DEFAULT_LANGUAGE, LANGUAGES, language_of

COOKIE = "lang"
BEAT_S = 1.0
"""Real seconds between two signs of life to the page, which calls itself old after 2.5 s without one."""
STATIC = Path(__file__).with_name("static")
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

router = APIRouter(include_in_schema=False)


class Console:
    """Templates and catalogues of one app."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        zone = doors.config.station.zone
        self.languages = {name: load_language(name, zone) for name in LANGUAGES}
        self._environments = {name: _environment(lang) for name, lang in self.languages.items()}
        self.feed = LiveFeed(doors, self._live)

    def language(self, wanted: str | None, cookie: str | None = None) -> Language:
        """The language asked for in the address, else that of the cookie, else Chinese."""
        return self.languages[language_of(wanted) or language_of(cookie) or DEFAULT_LANGUAGE]

    def station(self, language: Language) -> str:
        """The station's name."""
        station = self._doors.config.station
        return language.pick(station.name_zh, station.name_en)

    def render(self, template: str, language: Language, **values: Any) -> str:
        """A template in a language."""
        return self._environments[language.name].get_template(template).render(**values)

    def control(self, language: Language) -> str:
        """The controller's own word; empty while all is well, and where it runs in another process."""
        if self._doors.control is None:
            return ""
        word = self._doors.control.word()
        told = word in WORDS["control_state"]  # of the others the bar tells the station's own cause
        return self.render(
            "control.html",
            language,
            word=word.value,
            sentence=language.word("control", word),
            state=language.word("control_state", word) if told else "",
            action=language.word("control_action", word) if told else "",
        )

    def _live(self, view: PageView, language: Language) -> str:
        return self.render("live.html", language, view=view)


def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=PackageLoader("api.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    # The i18n extension adds this method when it is loaded.
    environment.install_gettext_translations(language.texts, newstyle=True)  # type: ignore[attr-defined]
    environment.globals["language"] = language
    environment.globals["static"] = static_path
    environment.filters["epoch_ms"] = lambda at: int(at.timestamp() * 1000)
    return environment


@functools.cache
def static_path(name: str) -> str:
    """Address of a file of the page with a mark of its content: what has an address never changes."""
    mark = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/console/static/{name}?v={mark}"


class Unchanging(StaticFiles):
    """Files that a browser need not ask for again, where their address bears the mark of their content."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file, or that it has not changed."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        marked = scope["query_string"].startswith(b"v=")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if marked else "no-cache"
        return response


def install_console(app: FastAPI) -> None:
    """Add the console to an app whose `state.doors` is set."""
    app.state.console = Console(app.state.doors)
    app.include_router(router)
    app.mount("/console/static", Unchanging(directory=STATIC), name="console-static")


def _console(connection: Request | WebSocket) -> Console:
    console = connection.app.state.console
    assert isinstance(console, Console)
    return console


@router.get("/")
def root() -> RedirectResponse:
    """The console is the front page."""
    return RedirectResponse("/console")


@router.get("/console")
def page(request: Request, doors: AnyDoors, lang: Annotated[str | None, Query(max_length=10)] = None) -> Response:
    """The whole page; its live part is kept up to date over the WebSocket. Who may not look is asked to sign in."""
    console = _console(request)
    language = console.language(lang, request.cookies.get(COOKIE))
    try:
        person = looker(doors, request)
    except (NotSignedIn, TokenNotValid):
        return RedirectResponse("/login", 303)
    except (NotAllowed, NotFound) as error:
        return _login_page(console, language, said(error, language), 403)
    try:
        live, power = console.feed.html(language), console.feed.power(language)
    except DatabaseAway:  # the page still tells how the controller does, and is filled when the database is back
        live, power = "", []
    html = console.render(
        "page.html",
        language,
        station=console.station(language),
        control=console.control(language),
        live=live,
        power=power,
        sent_ms=_real_ms(),
        deadline_ms=DEADLINE_S * 1000,
        person=person.name,
        pin_kinds=PIN_KINDS,
    )
    response = HTMLResponse(html, headers=SECURITY_HEADERS)
    if language_of(lang) is not None:
        response.set_cookie(COOKIE, language.name, max_age=365 * 86400, samesite="lax", httponly=True)
    return response


def _login_page(console: Console, language: Language, message: str, status: int = 200) -> HTMLResponse:
    html = console.render("login.html", language, station=console.station(language), message=message)
    return HTMLResponse(html, status, headers=SECURITY_HEADERS)


@router.get("/docs")
def docs(request: Request, lang: Annotated[str | None, Query(max_length=10)] = None) -> HTMLResponse:
    """The interface's description, to read and to try; its files come from this server."""
    console = _console(request)
    language = console.language(lang, request.cookies.get(COOKIE))
    html = console.render("docs.html", language, station=console.station(language))
    return HTMLResponse(html, headers=SECURITY_HEADERS)


@router.get("/login")
def login_page(request: Request, lang: Annotated[str | None, Query(max_length=10)] = None) -> HTMLResponse:
    """Where a person signs in."""
    console = _console(request)
    language = console.language(lang, request.cookies.get(COOKIE))
    response = _login_page(console, language, "")
    if language_of(lang) is not None:
        response.set_cookie(COOKIE, language.name, max_age=365 * 86400, samesite="lax", httponly=True)
    return response


@router.post("/login")
async def login(
    request: Request,
    doors: AnyDoors,
    login: Annotated[str, Form(max_length=64)] = "",
    password: Annotated[str, Form(max_length=PASSWORD_MOST)] = "",
) -> Response:
    """Sign in, and go to the console."""
    console = _console(request)
    language = console.language(None, request.cookies.get(COOKIE))
    turns: SignInTurns = request.app.state.sign_in_turns
    try:
        tokens = await turns.sign_in(doors, login, password, address_of(request), console=True)
    except (AccessError, DatabaseAway) as error:
        status = {SignInFailed: 401, TooManyAttempts: 429}.get(type(error), 503)
        return _login_page(console, language, said(error, language), status)
    response = RedirectResponse("/console", 303)
    keep(response, request, tokens)
    return response


@router.post("/logout")
def logout(request: Request, doors: AnyDoors) -> Response:
    """End the sign-in, and go to the sign-in page."""
    token = request.cookies.get(SESSION_COOKIE)
    if token:
        sign_out(doors.store, token, doors.real_now())
    response = RedirectResponse("/login", 303)
    forget(response)
    return response


@router.post("/console/requests")
def ask(
    request: Request,
    doors: AnyDoors,
    kind: Annotated[Text, Form(max_length=32)],
    pin: Annotated[str | None, Form(max_length=64)] = None,
    swap_id: Annotated[Text | None, Form(max_length=32)] = None,
    decision: Annotated[Text | None, Form(max_length=32)] = None,
    bay_id: Annotated[Text | None, Form(max_length=32)] = None,
    pack_id: Annotated[Text | None, Form(max_length=24)] = None,
    lane_id: Annotated[Text | None, Form(max_length=32)] = None,
    pressed_ms: Annotated[float | None, Form(allow_inf_nan=False)] = None,
) -> JSONResponse:
    """Store a person's request for the controller; its answer shows in the live part.

    `pressed_ms` is when the button was pressed, in the server's real time as the page knows it: a request that has
    been under way for longer than its deadline is not stored. A hold needs no sign-in; what may move a robot needs the
    PIN.
    """
    console = _console(request)
    language = console.language(None, request.cookies.get(COOKIE))
    given = {
        "swap_id": swap_id,
        "decision": decision,
        "bay_id": bay_id,
        "pack_id": pack_id,
        "lane_id": lane_id,
    }

    holds = kind == Hold().kind
    under_way_s = 0.0 if pressed_ms is None else max(0.0, (_real_ms() - pressed_ms) / 1000)

    def store() -> dict[str, Any]:
        if under_way_s > DEADLINE_S:
            return {"state": "expired", "message": language.word("request_status", "expired")}
        if holds:
            name, view = holder(lambda: guest(doors, request)), EVERYTHING
        else:
            who = permit(doors, guest(doors, request), f"ask.{kind}", lambda: Factors(pin))
            name, view = who.name(doors, None), who.view
        with doors.writing(view) as db:
            record = make_request(
                db,
                station_id=doors.station_id,
                request=read_request(kind, {key: value for key, value in given.items() if value}),
                name=name,
                at=doors.clock.now() - timedelta(seconds=under_way_s * doors.clock.speed),
            )
        return {
            "state": "pending",
            "message": language.text("Request {number} is stored.", number=record.request_id),
            "request_id": record.request_id,
        }

    return _answer(language, store)


@router.post("/console/faults/{fault_id}")
def acknowledge(request: Request, fault_id: RowId, doors: AnyDoors) -> JSONResponse:
    """Record that the signed-in person has seen a fault."""
    console = _console(request)
    language = console.language(None, request.cookies.get(COOKIE))

    def store() -> dict[str, Any]:
        who = permit(doors, guest(doors, request), "acknowledge")
        name = who.name(doors, None)
        with doors.writing(who.view) as db:
            acknowledge_fault(db, station_id=doors.station_id, fault_id=fault_id, name=name, at=doors.clock.now())
        return {"state": "done", "message": language.text("Fault acknowledged.")}

    return _answer(language, store)


def _answer(language: Language, store: Callable[[], dict[str, Any]]) -> JSONResponse:
    """Run what a button asks for and say how it went. 200 in any case: the message is what the person reads.

    `state` is `pending` (the controller has yet to answer, in the row `request_id`), `done`, `failed` or `expired`.
    """
    try:
        answer = store()
    except DatabaseAway:
        answer = {
            "state": "failed",
            "message": language.text("Not stored: the database cannot be used now. Try again."),
        }
    except SwapError as error:
        answer = {"state": "failed", "message": said(error, language)}
    return JSONResponse(answer)


def _real_ms() -> float:
    return time.monotonic() * 1000


@router.websocket("/console/live")
async def live(websocket: WebSocket, lang: str = "") -> None:
    """Push the live part when something has changed: HTML for the page and rows for the chart."""
    console, doors = _console(websocket), doors_of(websocket)
    language = console.language(lang, websocket.cookies.get(COOKIE))
    try:
        await run_in_threadpool(looker, doors, websocket)
    except SwapError:
        await websocket.close(1008)
        return
    await websocket.accept()
    gone = asyncio.create_task(_until_gone(websocket))
    alive = asyncio.create_task(_beat(websocket, console, language))
    try:
        # A browser that goes away while something is being sent ends the loop, nothing more.
        with suppress(WebSocketDisconnect, WebSocketDisconnected):
            await _push(websocket, console.feed, language, gone, doors)
    finally:
        for task in (alive, gone):
            task.cancel()
            with suppress(asyncio.CancelledError, RuntimeError, WebSocketDisconnect):
                await task


async def _until_gone(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _beat(websocket: WebSocket, console: Console, language: Language) -> None:
    """Signs of life and the controller's word, which no slow database keeps back."""
    told = "" if doors_of(websocket).control is None else None  # what an older page shows is not known
    beat_s = float("-inf")
    while True:
        control = console.control(language)
        if control != told:
            await _send(websocket, control, "#control")
            told = control
        if time.monotonic() - beat_s >= BEAT_S:
            beat_s = time.monotonic()
            read_s, heard_s = console.feed.age_s(), console.feed.control_age_s()
            age_ms = min(max(read_s, heard_s), 86_400.0) * 1000
            beat = {"sent_ms": _real_ms(), "age_ms": age_ms, "control": heard_s > read_s}
            await websocket.send_text(json.dumps({"beat": beat}))
        await asyncio.sleep(LOOK_S)


async def _push(
    websocket: WebSocket, feed: LiveFeed, language: Language, gone: asyncio.Task[None], doors: Doors
) -> None:
    loop = asyncio.get_running_loop()
    shown: tuple[int, int] | None = None
    page = Shown()
    shown_s = float("-inf")
    last_ms = 0
    while not gone.done():
        with suppress(DatabaseAway):  # the sign of life tells the age; the newest page stays
            mark = await run_in_threadpool(feed.mark)
            if mark != shown or loop.time() - shown_s >= REPEAT_S:
                try:
                    await run_in_threadpool(looker, doors, websocket)
                except (AccessError, NotFound):  # signed out, disabled, or the shift is over
                    await websocket.close(1008)
                    return
                whole, html = page.changed(await run_in_threadpool(feed.html, language))
                if html:
                    await _send(websocket, html, "#live", cards=not whole)
                if shown is None or mark[1] != shown[1]:
                    rows = [row for row in await run_in_threadpool(feed.power, language) if row[0] > last_ms]
                    if rows:
                        last_ms = rows[-1][0]
                        await websocket.send_text(json.dumps({"power": rows, "whole": shown is None}))
                shown, shown_s = mark, loop.time()
        await asyncio.wait({gone}, timeout=LOOK_S)


async def _send(websocket: WebSocket, html: str, target: str, *, cards: bool = False) -> None:
    """Args:
    cards: parts with addresses of their own, which take the place of what is there; else all that is in the target.
    """
    message = {"content": html, "target": target, "cards": cards}
    await websocket.send_text(json.dumps(message, ensure_ascii=False))
