"""What every route needs, kept on the app and handed to routes as one argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Protocol, TypedDict

from fastapi import Depends, Header, Query
from pydantic import AfterValidator
from starlette.requests import HTTPConnection

from api.schemas import FromAt, ToAt
from api.settings import Settings
from swap.commerce_db import CommerceDb
from swap.config.station_file import StationConfig
from swap.errors import NotFound
from swap.identity.principal import Sight, View
from swap.identity.view import narrow
from swap.register.persons import listed_person
from swap.rights import EVERYBODY, SwapRights
from swap.station.life.status import ControlBoard
from swap.station_db import StationDb
from swap.store import Store


class StationClock(Protocol):
    """Station time, as `swap.station.clock.Clock` gives it."""

    speed: float

    def now(self) -> datetime:
        """Aware UTC."""


def real_now() -> datetime:
    """The world's time: sign-ins are good for real seconds, however fast the station's clock runs."""
    return datetime.now(UTC)


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
    rights: SwapRights = EVERYBODY
    """What contracts say of bookings and check-ins."""
    real_now: Callable[[], datetime] = real_now
    """Real time, for sign-ins."""

    @property
    def station_id(self) -> str:
        """The station this process serves."""
        return self.config.station.id

    @property
    def folder(self) -> Path:
        """Where paths in the station file start."""
        return self.settings.station_file.parent

    @contextmanager
    def reading(self, view: View) -> Iterator[StationDb]:
        """A read session on what a view has of the station. Raises DatabaseAway."""
        with self.store.reading_station(self.station_id) as db:
            narrow(db, view)
            yield db

    @contextmanager
    def writing(self, view: View) -> Iterator[StationDb]:
        """A write session on the whole station; who sees but a part of it asks `swap.identity.view` first.

        Raises:
            NotFound: the station was never filled, or is another operator's.
            DatabaseAway: the database cannot be used now.
        """
        if view.sight is Sight.STATIONS and self.station_id not in view.station_ids:
            raise NotFound("station", self.station_id)
        with self.store.station(self.station_id) as db:
            yield db

    @contextmanager
    def reading_commerce(self, view: View) -> Iterator[CommerceDb]:
        """A read session on what belongs to firms, as far as a view has it. Raises DatabaseAway."""
        with self.store.reading_commerce() as db:
            narrow(db, view)
            yield db

    def own_station(self, station_id: str | None) -> str:
        """The station asked for, if it is ours. Raises NotFound."""
        if station_id is not None and station_id != self.station_id:
            raise NotFound("station", station_id)
        return self.station_id

    def person(self, name: str) -> str:
        """The name of a person who may ask here. Raises InvalidInput."""
        return listed_person(name, self.config.operation.person_names)


# What only looks at the request is `async`: a plain function would wait for one of the threads, and `/health` with it
# behind as many clients as there are threads, each of which waits for its turn at the database.


def doors_of(connection: HTTPConnection) -> Doors:
    """The doors of the app that serves this request or WebSocket."""
    doors = connection.app.state.doors
    assert isinstance(doors, Doors)
    return doors


async def get_doors(connection: HTTPConnection) -> Doors:
    """The same for a route."""
    return doors_of(connection)


AnyDoors = Annotated[Doors, Depends(get_doors)]


class TimeSpan(TypedDict):
    """The time filter of a list, as its reader takes it."""

    from_at: datetime | None
    to_at: datetime | None


class Paging(TypedDict):
    """The page of a list, as its reader takes it."""

    limit: int
    cursor: str | None


async def span(from_at: FromAt = None, to_at: ToAt = None) -> TimeSpan:
    """The parameters `from` and `to`."""
    return TimeSpan(from_at=from_at, to_at=to_at)


async def paging(
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Paging:
    """The parameters `limit` and `cursor`."""
    return Paging(limit=limit, cursor=cursor)


InTime = Annotated[TimeSpan, Depends(span)]
Paged = Annotated[Paging, Depends(paging)]

KEY_FORM = r'^("[!#-\[\]-~]{1,64}"|[!#-\[\]-~]{1,64})$'
"""An `Idempotency-Key`: a string of structured fields (RFC 8941) without blanks, or the same without its quotes."""
KEY_HEADER = "Idempotency-Key"


def bare_key(given: str) -> str:
    """A key without the quotes that it may be sent in."""
    return given.strip('"')


IdempotencyKey = Annotated[
    Annotated[str, AfterValidator(bare_key)] | None,
    Header(alias=KEY_HEADER, min_length=1, max_length=66, pattern=KEY_FORM),
]
"""The caller's key, where it is also kept as a reference."""
