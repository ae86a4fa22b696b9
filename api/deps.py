"""What every route needs, kept on the app and handed to routes as one argument."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Protocol

from fastapi import Depends, Header
from starlette.requests import HTTPConnection

from api.settings import Settings
from swap.config.station_file import StationConfig
from swap.errors import NotFound
from swap.station.life.status import ControlBoard
from swap.station_db import StationDb
from swap.store import Store


class StationClock(Protocol):
    """Station time, as `swap.station.clock.Clock` gives it."""

    speed: float

    def now(self) -> datetime:
        """Aware UTC."""


@dataclass(frozen=True)
class Doors:
    """What the routes of one process stand on. Live state is never here, but for the controller's own word about its
    life: it is in the database."""

    store: Store
    config: StationConfig
    clock: StationClock
    settings: Settings
    control: ControlBoard | None = None
    """The controller's own word, where it runs in this process."""

    @property
    def station_id(self) -> str:
        """The station this process serves."""
        return self.config.station.id

    @property
    def folder(self) -> Path:
        """Where paths in the station file start."""
        return self.settings.station_file.parent

    def reading(self) -> AbstractContextManager[StationDb]:
        """A read session on the station. Raises DatabaseAway."""
        return self.store.reading_station(self.station_id)

    def writing(self) -> AbstractContextManager[StationDb]:
        """A write session on the station. Raises NotFound while it was never filled, and DatabaseAway."""
        return self.store.station(self.station_id)

    def own_station(self, station_id: str | None) -> str:
        """The station asked for, if it is ours. Raises NotFound."""
        if station_id is not None and station_id != self.station_id:
            raise NotFound("station", station_id)
        return self.station_id


def get_doors(connection: HTTPConnection) -> Doors:
    """The doors of the app that serves this request or WebSocket."""
    doors = connection.app.state.doors
    assert isinstance(doors, Doors)
    return doors


AnyDoors = Annotated[Doors, Depends(get_doors)]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=64,
        pattern=r"^[!-~]+$",
        description="Chosen by the caller; repeating a request with the same key changes nothing.",
    ),
]
