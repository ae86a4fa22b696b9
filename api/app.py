"""The HTTP application: routes, problem details, console. It runs nothing; `wiring.py` does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute

from api import problems
from api.access import API, SignInTurns, authorise, describe_access, operation_of
from api.console.page import install_console
from api.deps import Doors, StationClock
from api.edge.gate import BodyLimits, Gate
from api.edge.hosts import KnownHosts
from api.edge.keys import KeysInWork, describe_keys
from api.edge.metrics import Metrics
from api.edge.rates import CallerRates
from api.edge.route import Signpost
from api.edge.stream import EventStreams
from api.examples import give_examples
from api.glossary import describe
from api.routes import (
    accounts,
    auth,
    bills,
    bookings,
    contracts,
    health,
    ledger,
    payments,
    records,
    requests,
    standing,
    statements,
    stations,
    swaps,
    webhooks,
)
from api.routes import problems as problem_kinds
from api.schemas import Problem
from api.settings import Settings
from swap.config.station_file import StationConfig
from swap.rights import EVERYBODY, SwapRights
from swap.station.life.status import ControlBoard
from swap.store import Store

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
HOLDS_AT_ONCE = 4
"""Threads that nobody but who asks for a hold waits for."""


def create_app(
    store: Store,
    config: StationConfig,
    clock: StationClock,
    *,
    lifespan: Lifespan | None = None,
    settings: Settings,
    control: ControlBoard | None = None,
    rights: SwapRights = EVERYBODY,
) -> FastAPI:
    """Build the application on a migrated and filled database.

    Args:
        store: the database; routes read it and write requests, bookings and check-ins.
        config: the station file.
        clock: station time.
        lifespan: starts and stops what runs beside the routes; None runs nothing.
        settings: station file's path, environment and secret.
        control: where the controller of this process hangs out its status; None where it runs elsewhere.
        rights: what contracts say of bookings and check-ins.
    """
    app = FastAPI(
        title="Swap station",
        version=_version(),
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        generate_unique_id_function=operation_of,
        # The pages of FastAPI load their scripts from a public address; this server makes no outside request.
        docs_url=None,
        redoc_url=None,
    )
    doors = app.state.doors = Doors(store, config, clock, settings, control, rights)
    metrics = app.state.metrics = Metrics(doors)
    problems.install(app)
    app.state.sign_in_turns = SignInTurns()
    app.state.keys_in_work = KeysInWork()
    app.state.caller_rates = CallerRates(settings.requests_a_second, settings.requests_at_once)
    app.state.hold_turns = CapacityLimiter(HOLDS_AT_ONCE)
    app.state.streams = EventStreams(doors)
    app.router.routes += [Signpost(API, _ROUTES), *_ROUTES]
    install_console(app)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=3)
    app.add_middleware(
        Gate, hosts=KnownHosts(settings.host, settings.hosts), limits=BodyLimits(), answered=metrics.answered
    )
    _describe_problems(app)
    return app


def guarded(route: BaseRoute) -> BaseRoute:
    """The route, if it lets in who may; a route of a bare router would let in everybody. Raises TypeError."""
    if isinstance(route, APIRoute) and not any(part.call is authorise for part in route.dependant.dependencies):
        raise TypeError(f"{route.path} asks nobody who they are: make its router with api.access.guarded_router")
    return route


# They know no application, so those of one process share them: most of the work of building one is here.
_ROUTES = tuple(
    guarded(route)
    for part in (
        health,
        auth,
        stations,
        bookings,
        standing,
        contracts,
        swaps,
        bills,
        records,
        ledger,
        payments,
        statements,
        webhooks,
        requests,
        accounts,
        problem_kinds,
    )
    for route in part.router.routes
)


def _version() -> str:
    try:
        return version("swapstation")
    except PackageNotFoundError:
        return "0"


def _describe_problems(app: FastAPI) -> None:
    """Put the model of problem details, which the declared responses point at, and every meaning into the document."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        schemas = document["components"]["schemas"]
        if "Problem" not in schemas:
            model = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(model.pop("$defs", {}))
            schemas["Problem"] = model
            describe(document)
            describe_access(document)
            describe_keys(document)
            give_examples(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
