"""Routes of the console: the page, its live WebSocket, and the forms of its buttons."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Form, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from api.console.bar import UNNAMED
from api.console.cards import PageView
from api.console.live import LOOK_S, REPEAT_S, LiveFeed
from api.deps import AnyDoors, Doors, get_doors
from api.words import Language, load_language
from swap.errors import DatabaseAway, SwapError
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
        sent_ms=_real_ms(),
        deadline_ms=DEADLINE_S * 1000,
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
    name: Annotated[str, Form()] = "",
    swap_id: Annotated[str | None, Form(max_length=32)] = None,
    decision: Annotated[str | None, Form(max_length=32)] = None,
    bay_id: Annotated[str | None, Form(max_length=32)] = None,
    pack_id: Annotated[str | None, Form(max_length=24)] = None,
    lane_id: Annotated[str | None, Form(max_length=32)] = None,
    pressed_ms: Annotated[float | None, Form(allow_inf_nan=False)] = None,
) -> JSONResponse:
    """Store a person's request for the controller; its answer shows in the live part.

    `pressed_ms` is when the button was pressed, in the server's real time as the page knows it: a request that has
    been under way for longer than its deadline is not stored. A hold needs no name.
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

    person = " ".join(name.split())[:64] or UNNAMED if kind == Hold().kind else name
    under_way_s = 0.0 if pressed_ms is None else max(0.0, (_real_ms() - pressed_ms) / 1000)

    def store() -> dict[str, Any]:
        if under_way_s > DEADLINE_S:
            return {"state": "expired", "message": language.word("request_status", "expired")}
        with doors.writing() as db:
            record = make_request(
                db,
                station_id=doors.station_id,
                request=read_request(kind, {key: value for key, value in given.items() if value}),
                name=person,
                at=doors.clock.now() - timedelta(seconds=under_way_s * doors.clock.speed),
            )
        return {
            "state": "pending",
            "message": language.text("Request {number} is stored.", number=record.request_id),
            "request_id": record.request_id,
        }

    return _answer(request, language, person, store)


@router.post("/console/faults/{fault_id}")
def acknowledge(
    request: Request, fault_id: int, doors: AnyDoors, name: Annotated[str, Form(max_length=200)] = ""
) -> JSONResponse:
    """Record that a person has seen a fault."""
    console = _console(request)
    language = console.language(None, request.cookies.get(COOKIE))

    def store() -> dict[str, Any]:
        with doors.writing() as db:
            acknowledge_fault(db, station_id=doors.station_id, fault_id=fault_id, name=name, at=doors.clock.now())
        return {"state": "done", "message": language.text("Fault acknowledged.")}

    return _answer(request, language, name, store)


def _answer(request: Request, language: Language, name: str, store: Callable[[], dict[str, Any]]) -> JSONResponse:
    """Run what a button asks for and say how it went. 200 in any case: the message is what the person reads.

    `state` is `pending` (the controller has yet to answer, in the row `request_id`), `done`, `failed` or `expired`.
    """
    if not same_origin(request.headers):
        return JSONResponse({"state": "failed", "message": ""}, status_code=403)
    if not name.strip():
        return JSONResponse({"state": "failed", "message": language.text("Enter your name first.")})
    try:
        said = store()
    except DatabaseAway:
        said = {
            "state": "failed",
            "message": language.text("Not stored: the database cannot be used now. Try again."),
        }
    except SwapError as error:
        said = {"state": "failed", "message": str(error)}
    return JSONResponse(said)


def _real_ms() -> float:
    return time.monotonic() * 1000


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
    alive = asyncio.create_task(_beat(websocket, console, language))
    try:
        # A browser that goes away while something is being sent ends the loop, nothing more.
        with suppress(WebSocketDisconnect):
            await _push(websocket, console.feed, language, gone)
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
    told = "" if get_doors(websocket).control is None else None  # what an older page shows is not known
    beat_s = float("-inf")
    while True:
        control = console.control(language)
        if control != told:
            await _send(websocket, control, "#control")
            told = control
        if time.monotonic() - beat_s >= BEAT_S:
            beat_s = time.monotonic()
            age_s = min(console.feed.age_s(), 86_400.0)
            await websocket.send_text(json.dumps({"beat": {"sent_ms": _real_ms(), "age_ms": age_s * 1000}}))
        await asyncio.sleep(LOOK_S)


async def _push(websocket: WebSocket, feed: LiveFeed, language: Language, gone: asyncio.Task[None]) -> None:
    loop = asyncio.get_running_loop()
    shown: tuple[int, int] | None = None
    shown_s = float("-inf")
    last_ms = 0
    while not gone.done():
        with suppress(DatabaseAway):  # the sign of life tells the age; the newest page stays
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
    message = {"content": html, "target": target}
    await websocket.send_text(json.dumps(message, ensure_ascii=False))
