"""`swap login`, `book`, `arrive`, `status`, `watch`: a fleet's commands, which speak to a server over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from api.cli.common import FOUND, INVALID, OK, Json, fail, print_json, print_table
from api.terminal import echo, lang, language, text

if TYPE_CHECKING:
    from api.client.client import SwapClient
    from api.client.tokens import TokenFile
    from api.schemas import SwapOut
    from swap.reading.records import BookingRecord, StationRecord

commands = typer.Typer()

Url = Annotated[str, typer.Option("--url", envvar="SWAP_URL", help="Address of the server.")]
HERE = "http://127.0.0.1:8080"
Vehicle = Annotated[str, typer.Argument(help="Truck, by its number, such as YQ-001.", show_default=False)]
TOKEN = "SWAP_TOKEN"
TOKEN_FILE = "SWAP_TOKEN_FILE"


def token_file() -> TokenFile:
    """The file that `swap login` writes: SWAP_TOKEN_FILE, else in the folder of the user's settings."""
    from api.client.tokens import TokenFile

    named = os.environ.get(TOKEN_FILE)
    return TokenFile(Path(named) if named else Path(typer.get_app_dir("swap")) / "tokens.json")


@contextmanager
def server(url: str) -> Iterator[SwapClient]:
    """A client with SWAP_TOKEN (a key, or an access token), else with what `swap login` has kept. A refusal of the
    server leaves with 1, a server that does not answer with 2."""
    from api.client.client import SwapClient
    from api.client.errors import ProblemError, UnreachableError

    url = url.rstrip("/")
    spoken = "zh-CN" if lang() == "zh" else "en"
    try:
        token, renewed, file = os.environ.get(TOKEN), None, token_file()
        if token is None and (kept := file.tokens(url)) is not None:
            token, renewed = kept.access_token, kept.refresh_token
        with SwapClient(
            url,
            token,
            renewed,
            language=spoken,
            keep=lambda tokens: file.keep(url, tokens) if renewed else None,
            renewing=lambda: file.renewing(url),
        ) as client:
            yield client
    except ProblemError as error:
        if error.status == 401:
            echo(text("sign in with `swap login --url {url}`, or set {name}", url=url, name=TOKEN), err=True)
        fail(error.detail, INVALID if error.status in (401, 422) else FOUND)
    except UnreachableError as error:
        fail(text("{server} does not answer: {reason}", server=url, reason=error.reason))
    except ValueError as error:
        fail(str(error))


@commands.command(epilog="Example: `swap login fleet_operator --url https://station.example`")
def login(
    name: Annotated[str, typer.Argument(metavar="LOGIN", help="Login of the account.", show_default=False)],
    url: Url = HERE,
) -> None:
    """Sign in; the password is asked for, and the tokens are kept for the commands that come."""
    file = token_file()
    password = str(typer.prompt(text("Password"), hide_input=True))
    with server(url) as client:
        file.keep(client.url, client.sign_in(name, password))
        me = client.me()
    echo(text("{name} of {firm}", name=me.name, firm=me.organisation_id))


@commands.command(epilog="Example: `swap logout`")
def logout(url: Url = HERE) -> None:
    """End the sign-in of `swap login`."""
    with server(url) as client:
        client.sign_out()
        token_file().keep(client.url, None)


@commands.command(
    epilog="Example: `swap book YQ-001 --from 2026-06-01T14:00 --minutes 30`. "
    "Exit codes: 0 booked, 1 refused, 2 wrong input, no sign-in or no answer."
)
def book(
    vehicle: Vehicle,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", help="Begin of the window, local time of the station, or with an offset; none: the first."
        ),
    ] = None,
    minutes: Annotated[int, typer.Option("--minutes", min=5, max=1440, help="Length of the window.")] = 30,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Pack kind that will do; may be given again.")
    ] = None,
    min_kwh: Annotated[float, typer.Option("--min-kwh", min=0, help="Least energy in each pack.")] = 0.0,
    take_next: Annotated[bool, typer.Option("--or-next", help="Take the window that is offered instead.")] = False,
    url: Url = HERE,
    as_json: Json = False,
) -> None:
    """Book a swap of a truck in a time window."""
    from api.client.errors import ProblemError
    from api.schemas import BookingIn

    with server(url) as client:
        station = next(client.stations())
        zone = ZoneInfo(station.timezone)
        start_at = _first(client, station, vehicle, minutes) if from_ is None else _instant(from_, zone)
        wanted = BookingIn(
            vehicle_id=vehicle,
            window_start_at=start_at,
            window_end_at=start_at + timedelta(minutes=minutes),
            kinds=tuple(kind or ()),
            min_kwh=min_kwh,
        )
        try:
            made = client.book(wanted)
        except ProblemError as error:
            start, end = error.related.get("next_start_at"), error.related.get("next_end_at")
            if start is None or end is None:
                raise
            window = _window(datetime.fromisoformat(start), datetime.fromisoformat(end), zone)
            if not take_next:
                echo(error.detail, err=True)
                fail(text("kept for a minute: {window}; take it with --or-next", window=window), FOUND)
            other = {"window_start_at": start, "window_end_at": end}
            made = client.book(BookingIn.model_validate(wanted.model_dump() | other))
    _show(made, zone, as_json=as_json)


@commands.command(
    epilog="Example: `swap arrive YQ-001`. Exit codes: 0 checked in, 1 refused, 2 wrong input, no sign-in or no answer."
)
def arrive(
    vehicle: Vehicle,
    booking: Annotated[
        str | None, typer.Option("--booking", help="Booking to use; none: the one whose time it is.")
    ] = None,
    url: Url = HERE,
    as_json: Json = False,
) -> None:
    """Check a truck in at the gate."""
    from api.schemas import TruckAtGate

    with server(url) as client:
        accepted = client.arrive(TruckAtGate(vehicle_id=vehicle, booking_id=booking))
    if as_json:
        print_json(accepted.model_dump(mode="json"))
        return
    used = (
        text("with booking {booking}", booking=accepted.booking_id) if accepted.booking_id else text("without booking")
    )
    echo(text("{vehicle}: swap {swap}, {used}", vehicle=vehicle, swap=accepted.swap_id, used=used))


@commands.command(epilog="Example: `swap status YQ-001 --json`")
def status(
    vehicle: Annotated[str | None, typer.Argument(help="Truck; none: all of the fleet.", show_default=False)] = None,
    url: Url = HERE,
    as_json: Json = False,
) -> None:
    """The station as it is, open bookings and swaps."""
    with server(url) as client:
        station = next(client.stations())
        shown = client.availability(station.station_id)
        booked = [one for state in _OPEN for one in client.bookings(status=state, vehicle_id=vehicle)]
        swaps = list(client.swaps(state="open", vehicle_id=vehicle))
    if as_json:
        print_json(
            {
                "station": shown.model_dump(mode="json"),
                "bookings": [one.model_dump(mode="json") for one in booked],
                "swaps": [one.model_dump(mode="json") for one in swaps],
            }
        )
        return
    words, zone = language(ZoneInfo(station.timezone)), ZoneInfo(station.timezone)
    ready = ", ".join(f"{count} × {kind}" for kind, count in sorted(shown.ready_packs.items())) or text("none")
    echo(
        text(
            "{name}: {mode}; packs ready: {ready}; trucks waiting: {waiting}",
            name=words.pick(station.name_zh, station.name_en),
            mode=words.word("mode", shown.mode),
            ready=ready,
            waiting=shown.trucks_waiting,
        )
    )
    if booked:
        print_table(
            (text("booking"), text("truck"), text("window"), text("state")),
            [
                (
                    one.booking_id,
                    one.vehicle_id,
                    _window(one.window_start_at, one.window_end_at, zone),
                    words.word("booking_status", one.status),
                )
                for one in sorted(booked, key=lambda one: one.window_start_at)
            ],
        )
    for swap in swaps:
        echo(_line(swap, zone))


@commands.command(
    epilog="Example: `swap watch YQ-001`. Exit codes: 0 every pack was exchanged, 1 it ended without, "
    "2 nothing to watch, no sign-in or no answer."
)
def watch(
    what: Annotated[str, typer.Argument(metavar="TRUCK|BOOKING|SWAP", help="What to follow.", show_default=False)],
    url: Url = HERE,
    as_json: Json = False,
) -> None:
    """Follow a truck's swap or a booking until it has ended."""
    from swap.reading.records import BookingRecord

    completed = False
    with server(url) as client:
        zone = ZoneInfo(next(client.stations()).timezone)
        for one in _followed(client, what):
            _show(one, zone, as_json=as_json, line=True)
            completed = not isinstance(one, BookingRecord) and one.state == "completed"
    raise typer.Exit(OK if completed else FOUND)


_TO_COME: Any = ("booked", "disrupted")
_OPEN: Any = (*_TO_COME, "arrived")


def _followed(client: SwapClient, what: str) -> Iterator[BookingRecord | SwapOut]:
    """What happens to a swap, a booking, or the open swap or next booking of a truck."""
    if what.startswith("sw-"):
        return client.follow(what)
    if what.startswith("bk-"):
        return client.follow_booking(what)
    swap = next(client.swaps(state="open", vehicle_id=what), None)
    if swap is not None:
        return client.follow(swap.swap_id)
    booked = [one for state in _TO_COME for one in client.bookings(status=state, vehicle_id=what)]
    if not booked:
        fail(text("{vehicle} has no open swap and no booking", vehicle=what))
    return client.follow_booking(min(booked, key=lambda one: one.window_start_at).booking_id)


def _first(client: SwapClient, station: StationRecord, vehicle: str, minutes: int) -> datetime:
    """Begin of the first window that can be booked in the next 24 hours."""
    found = next(client.offers(station.station_id, vehicle_id=vehicle, window_min=minutes), None)
    if found is None:
        fail(text("no window of the next 24 hours can be booked"), FOUND)
    return found.window_start_at


def _instant(given: str, zone: ZoneInfo) -> datetime:
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        fail(text("--from {given} is no instant, such as 2026-06-01T14:00", given=given))
    return at.replace(tzinfo=zone) if at.tzinfo is None else at


def _window(start_at: datetime, end_at: datetime, zone: ZoneInfo) -> str:
    start, end = start_at.astimezone(zone), end_at.astimezone(zone)
    return f"{start:%Y-%m-%d %H:%M}–{end:%H:%M}"


def _show(one: BookingRecord | SwapOut, zone: ZoneInfo, *, as_json: bool, line: bool = False) -> None:
    """A record for a person, or for a program; with `line` each is one line."""
    if as_json:
        echo(one.model_dump_json()) if line else print_json(one.model_dump(mode="json"))
    else:
        echo(_line(one, zone))


def _line(one: BookingRecord | SwapOut, zone: ZoneInfo) -> str:
    from swap.reading.records import BookingRecord

    words = language(zone)
    if isinstance(one, BookingRecord):
        state = words.word("booking_status", one.status)
        window = _window(one.window_start_at, one.window_end_at, zone)
        return f"{one.vehicle_id}  {one.booking_id}  {window}  {state}"
    waits = "" if one.waits_for is None else f"  {one.waits_for.text}"
    at = words.time_of_day(one.ended_at or one.entered_at)
    return f"{one.vehicle_id}  {one.swap_id}  {at}  {one.lane_id or '–'}  {_state(one)}{waits}"


def _state(swap: SwapOut) -> str:
    """Words for where a swap stands: those of its recipe's step, where the recipe is one of ours."""
    from swap.station.sequence.recipe import QUEUED, RecipeError, load_recipe, shipped_recipes

    words = language()
    if swap.state == QUEUED:
        return text("in the queue")
    if swap.ended_at is None and swap.recipe in shipped_recipes():
        try:
            row = load_recipe(swap.recipe).table(swap.pack_count, "out_in").by_state.get(swap.state)
        except RecipeError:
            row = None
        if row is not None:
            return words.pick(row.name_zh, row.name_en)
    return words.word("swap_end", swap.state)
