"""The HTTP application: routes, problem details, console. It runs nothing; `wiring.py` does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, FastAPI

from api import problems
from api.console.page import install_console
from api.deps import Doors, StationClock
from api.routes import bookings, health, records, requests, stations, swaps
from api.schemas import Problem
from api.settings import Settings
from swap.config.station_file import StationConfig
from swap.station.life.status import ControlBoard
from swap.store import Store

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    store: Store,
    config: StationConfig,
    clock: StationClock,
    *,
    lifespan: Lifespan | None = None,
    settings: Settings,
    control: ControlBoard | None = None,
) -> FastAPI:
    """Build the application on a migrated and filled database.

    Args:
        store: the database; routes read it and write requests, bookings and check-ins.
        config: the station file.
        clock: station time.
        lifespan: starts and stops what runs beside the routes; None runs nothing.
        settings: station file's path, environment and secret.
        control: where the controller of this process hangs out its status; None where it runs elsewhere.
    """
    app = FastAPI(
        title="Swap station",
        version=_version(),
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        # The pages of FastAPI load their scripts from a public address; this server makes no outside request.
        docs_url=None,
        redoc_url=None,
    )
    app.state.doors = Doors(store, config, clock, settings, control)
    problems.install(app)
    app.include_router(health.router)
    v1 = APIRouter(prefix="/api/v1")
    for part in (stations, bookings, swaps, records, requests):
        v1.include_router(part.router)
    app.include_router(v1)
    install_console(app)
    _describe_problems(app)
    return app


def _version() -> str:
    try:
        return version("swapstation")
    except PackageNotFoundError:
        return "0"


def _describe_problems(app: FastAPI) -> None:
    """Put the model of problem details into the OpenAPI document, which the declared responses point at."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        schemas = document["components"]["schemas"]
        if "Problem" not in schemas:
            model = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(model.pop("$defs", {}))
            schemas["Problem"] = model
        return document

    app.openapi = openapi  # type: ignore[method-assign]
