"""Routes of the console: the page, its live WebSocket, and the forms of its buttons."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Form, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from api.console.live import LOOK_S, REPEAT_S, LiveFeed
from api.console.view import PageView
from api.deps import AnyDoors, Doors, get_doors
from api.words import Language, load_language
from swap.errors import DatabaseAway, SwapError
from swap.messages.requests import read_request
from swap.station.requests import acknowledge_fault, make_request
from swap.words import DEFAULT_LANGUAGE, LANGUAGES, language_of

COOKIE = "lang"
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

    def render(self, template: str, language: Language, **values: Any) -> str:
        """A template in a language."""
        return self._environments[language.name].get_template(template).render(**values)

    def control(self, language: Language) -> str:
        """The controller's own word; empty while all is well, and where it runs in another process."""
        if self._doors.control is None:
            return ""
        word = self._doors.control.word()
        return self.render("control.html", language, word=word.value, sentence=language.word("control", word))

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
    environment.filters["epoch_ms"] = lambda at: int(at.timestamp() * 1000)
    return environment


def install_console(app: FastAPI) -> None:
    """Add the console to an app whose `state.doors` is set."""
    app.state.console = Console(app.state.doors)
    app.include_router(router)
    app.mount("/console/static", StaticFiles(directory=STATIC), name="console-static")


def _console(connection: Request | WebSocket) -> Console:
    console = connection.app.state.console
    assert isinstance(console, Console)
    return console


def same_origin(headers: Headers | Mapping[str, str]) -> bool:
    """Whether a browser sent this from our own page. Programs send no Origin and are let through."""
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


@router.get("/")
def root() -> RedirectResponse:
    """The console is the front page."""
    return RedirectResponse("/console")


@router.get("/console")
def page(request: Request, doors: AnyDoors, lang: Annotated[str | None, Query(max_length=10)] = None) -> HTMLResponse:
    """The whole page; its live part is kept up to date over the WebSocket."""
    console = _console(request)
    language = console.language(lang, request.cookies.get(COOKIE))
    try:
        live, power = console.feed.html(language), console.feed.power(language)
    except DatabaseAway:  # the page still tells how the controller does, and is filled when the database is back
        live, power = "", []
    html = console.render(
        "page.html",
        language,
        station=language.pick(doors.config.station.name_zh, doors.config.station.name_en),
        control=console.control(language),
        live=live,
        power=power,
    )
    response = HTMLResponse(html, headers=SECURITY_HEADERS)
    if language_of(lang) is not None:
        response.set_cookie(COOKIE, language.name, max_age=365 * 86400, samesite="lax", httponly=True)
    return response


@router.post("/console/requests")
def ask(
    request: Request,
    doors: AnyDoors,
    kind: Annotated[str, Form(max_length=32)],
    name: Annotated[str, Form(max_length=200)] = "",
    swap_id: Annotated[str | None, Form(max_length=32)] = None,
    decision: Annotated[str | None, Form(max_length=32)] = None,
    bay_id: Annotated[str | None, Form(max_length=32)] = None,
    pack_id: Annotated[str | None, Form(max_length=24)] = None,
    lane_id: Annotated[str | None, Form(max_length=32)] = None,
) -> HTMLResponse:
    """Store a person's request for the controller; its answer shows in the live part."""
    console = _console(request)
    language = console.language(None, request.cookies.get(COOKIE))
    given = {
        "swap_id": swap_id,
        "decision": decision,
        "bay_id": bay_id,
        "pack_id": pack_id,
        "lane_id": lane_id,
    }

    def store() -> str:
        with doors.writing() as db:
            record = make_request(
                db,
                station_id=doors.station_id,
                request=read_request(kind, {key: value for key, value in given.items() if value}),
                name=name,
                at=doors.clock.now(),
            )
        return language.text("Request {number} is stored.").format(number=record.request_id)

    return _answer(request, console, language, name, store)


@router.post("/console/faults/{fault_id}")
def acknowledge(
    request: Request, fault_id: int, doors: AnyDoors, name: Annotated[str, Form(max_length=200)] = ""
) -> HTMLResponse:
    """Record that a person has seen a fault."""
    console = _console(request)
    language = console.language(None, request.cookies.get(COOKIE))

    def store() -> str:
        with doors.writing() as db:
            acknowledge_fault(db, station_id=doors.station_id, fault_id=fault_id, name=name, at=doors.clock.now())
        return language.text("Fault acknowledged.")

    return _answer(request, console, language, name, store)


def _answer(request: Request, console: Console, language: Language, name: str, store: Any) -> HTMLResponse:
    """Run what a button asks for and say how it went. 200 in any case: the notice is what the person reads."""
    if not same_origin(request.headers):
        return HTMLResponse("", status_code=403)
    good = False
    if not name.strip():
        message = language.text("Enter your name first.")
    else:
        try:
            message, good = store(), True
        except DatabaseAway:
            message = language.text("Not stored: the database cannot be used now. Try again.")
        except SwapError as error:
            message = str(error)
    return HTMLResponse(console.render("notice.html", language, message=message, good=good))


@router.websocket("/console/live")
async def live(websocket: WebSocket, lang: str = "") -> None:
    """Push the live part when something has changed: HTML for the page and rows for the chart."""
    if not same_origin(websocket.headers):
        await websocket.close(1008)
        return
    console = _console(websocket)
    get_doors(websocket)
    language = console.language(lang, websocket.cookies.get(COOKIE))
    await websocket.accept()
    gone = asyncio.create_task(_until_gone(websocket))
    try:
        # A browser that goes away while something is being sent ends the loop, nothing more.
        with suppress(WebSocketDisconnect):
            await _push(websocket, console, language, gone)
    finally:
        gone.cancel()
        with suppress(asyncio.CancelledError, RuntimeError):
            await gone


async def _until_gone(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _push(websocket: WebSocket, console: Console, language: Language, gone: asyncio.Task[None]) -> None:
    loop = asyncio.get_running_loop()
    feed = console.feed
    shown: tuple[int, int] | None = None
    shown_s = float("-inf")
    told = "" if get_doors(websocket).control is None else None  # what an older page shows is not known
    last_ms = 0
    while not gone.done():
        control = console.control(language)
        if control != told:
            await _send(websocket, control, "#control")
            told = control
        with suppress(DatabaseAway):  # the part above has told it; the newest page stays
            mark = await run_in_threadpool(feed.mark)
            if mark != shown or loop.time() - shown_s >= REPEAT_S:
                await _send(websocket, await run_in_threadpool(feed.html, language), "#live")
                if shown is None or mark[1] != shown[1]:
                    rows = [row for row in await run_in_threadpool(feed.power, language) if row[0] > last_ms]
                    if rows:
                        last_ms = rows[-1][0]
                        await websocket.send_text(json.dumps({"power": rows, "whole": shown is None}))
                shown, shown_s = mark, loop.time()
        await asyncio.wait({gone}, timeout=LOOK_S)


async def _send(websocket: WebSocket, html: str, target: str) -> None:
    message = {"content": html, "target": target, "swap": "innerMorph"}
    await websocket.send_text(json.dumps(message, ensure_ascii=False))
