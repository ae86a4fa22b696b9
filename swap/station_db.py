"""One station's part of the database: the only way to its tables.

A `StationDb` is a session in which every query is narrowed to the station, whatever it asks: each SELECT, UPDATE
and DELETE of a station's table gets the condition of `_SCOPE`, and a row of another station is not written. So no
caller can forget the station. `swap.store` opens it.

What belongs to no station stays visible: the register (firms, vehicles, kinds), and packs on vehicles or off site.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    Column,
    ColumnElement,
    Delete,
    Row,
    Select,
    String,
    Table,
    TableClause,
    Update,
    bindparam,
    event,
    exists,
    inspect,
    or_,
)
from sqlalchemy import select as sql_select
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import ORMExecuteState, UOWTransaction, with_loader_criteria
from sqlalchemy.orm.util import identity_key
from sqlalchemy.sql.base import ExecutableOption
from sqlalchemy.sql.visitors import iterate
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from swap.events import append_event, connected, raise_version
from swap.journal.chain import Entry
from swap.lots import among
from swap.messages.events import AnyEvent, FileTaken
from swap.tables import (
    Base,
    Bay,
    Bill,
    BillLine,
    Booking,
    ChargeSession,
    ControllerLease,
    ControlRequest,
    FaultRow,
    HotPack,
    Pack,
    RobotCommandRow,
    SiteSample,
    StandingBooking,
    Station,
    StationEvent,
    Swap,
    SwapSeat,
)

T = TypeVar("T")

OWN_STATION = (
    ControllerLease,
    Bay,
    HotPack,
    Booking,
    StandingBooking,
    Swap,
    RobotCommandRow,
    ChargeSession,
    StationEvent,
    FaultRow,
    ControlRequest,
    SiteSample,
    Bill,
)
"""Tables whose rows name their station."""
STATION_TABLES = (*OWN_STATION, Station, Pack, SwapSeat, BillLine)
"""Tables that are read and written through a `StationDb` only; of a pack, a seat and a line the station follows."""


SHOWN = (Bay, Pack, HotPack, Swap, SwapSeat, Booking, FaultRow, ControlRequest)
"""Tables that pages show the present state of; the newest power sample has a mark of its own."""


class OtherStation(Exception):
    """A row of another station was to be written."""


def qualified(station_id: str, name: str) -> str:
    """Key of a bay or lane in the database: station, colon, name in the station file."""
    return f"{station_id}:{name}"


def local_name(station_id: str, key: str) -> str:
    """The name in the station file of a bay or lane whose key is `station:name`."""
    return key.removeprefix(f"{station_id}:")


class _Value(BindParameter[str]):
    """A value in a condition that each query gets. It is looked up among the values of the compiled statement, where
    one of SQLAlchemy's own would make an expression of SQL out of each comparison."""

    inherit_cache = True
    __hash__ = BindParameter.__hash__

    def __eq__(self, other: object) -> bool:  # type: ignore[override]
        return hash(self) == hash(other)


def _value(text: str) -> _Value:
    return _Value(None, text, type_=String(), unique=True)


def _pack_here(station_id: str) -> ColumnElement[bool]:
    own_bays = select(Bay.id).where(col(Bay.station_id) == _value(station_id)).scalar_subquery()
    return or_(
        col(Pack.vehicle_id).is_not(None),
        col(Pack.off_site).is_(True),
        col(Pack.bay_id).in_(own_bays),
        col(Pack.gripper_lane_id).startswith(f"{station_id}:", autoescape=True),
        col(Pack.tank_station_id) == _value(station_id),
    )


_SWAP: Table = Swap.__table__  # type: ignore[attr-defined]
_BILL: Table = Bill.__table__  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=1024)
def _scope(station_id: str) -> dict[str, ExecutableOption]:
    """The condition of each station table, by the table's name."""
    # Asked of each row that is read, by its key: a list of all swaps of the station would be made for every query.
    swap, bill = _SWAP.alias("own_swap"), _BILL.alias("own_bill")

    def of_own_swap(swap_id: Any) -> ColumnElement[bool]:
        return exists().where(swap.c.id == swap_id, swap.c.station_id == _value(station_id))

    of_own_bill = exists().where(bill.c.id == col(BillLine.bill_id), bill.c.station_id == _value(station_id))
    conditions: list[tuple[type[Any], ColumnElement[bool]]] = [
        (Station, col(Station.id) == _value(station_id)),
        (Pack, _pack_here(station_id)),
        (SwapSeat, of_own_swap(col(SwapSeat.swap_id))),
        (BillLine, of_own_bill),
    ]
    conditions += [(table, col(table.station_id) == _value(station_id)) for table in OWN_STATION]
    return {
        str(table.__tablename__): with_loader_criteria(table, condition, include_aliases=True)
        for table, condition in conditions
    }


@functools.cache
def _by_key(table: Any) -> SelectOfScalar[Any]:
    (key,) = inspect(table).primary_key
    return select(table).where(key == bindparam("key"))


# Made once, since the controller and its tasks ask them again and again: to build a statement, to look through it for
# tables and to find it among the compiled ones costs more than SQLite's answer.
_BAYS = select(Bay).order_by(col(Bay.position))
_PACKS_IN_BAYS = select(Pack).where(col(Pack.bay_id).is_not(None))
_PACKS_IN_GRIPPERS = select(Pack).where(col(Pack.gripper_lane_id).is_not(None))
_OPEN_CHARGES = select(ChargeSession).where(col(ChargeSession.open_pack_id).is_not(None))
_OPEN_SWAPS = select(Swap).where(col(Swap.ended_at).is_(None))
_SEATS_OF = (
    select(SwapSeat)
    .where(col(SwapSeat.swap_id).in_(bindparam("swap_ids", expanding=True)))
    .order_by(col(SwapSeat.swap_id), col(SwapSeat.seat))
)
_SEAT_TAKEN_FROM = (
    select(SwapSeat)
    .join(Swap, col(Swap.id) == SwapSeat.swap_id)
    .where(SwapSeat.old_pack_id == bindparam("pack"), Swap.station_id == bindparam("station"))
    .where(col(Swap.dispatched_at).is_not(None))
    .where(or_(col(Swap.ended_at).is_(None), col(SwapSeat.exchanged)))
    .order_by(col(Swap.dispatched_at).desc(), col(Swap.id).desc())
    .limit(1)
)
_OPEN_COMMANDS = select(RobotCommandRow).where(
    RobotCommandRow.lane_id == bindparam("lane"), RobotCommandRow.result == "open"
)
_OPEN_COMMAND = _OPEN_COMMANDS.where(RobotCommandRow.seq == bindparam("seq"))
_OPEN_FAULTS = select(FaultRow).where(col(FaultRow.cleared_at).is_(None)).order_by(col(FaultRow.id))
_OPEN_FAULTS_OF = _OPEN_FAULTS.where(FaultRow.source == bindparam("source"))
_OPEN_REQUESTS = select(ControlRequest).where(ControlRequest.status == "open").order_by(col(ControlRequest.id))
_STATION = select(Station)
_STATIONS: Table = Station.__table__  # type: ignore[attr-defined]
_VERSION = sql_select(_STATIONS.c.version).where(_STATIONS.c.id == bindparam("station"))


_BOOKINGS: Table = Booking.__table__  # type: ignore[attr-defined]
_BOOKED_ELSEWHERE = (
    sql_select(_BOOKINGS.c.station_id)
    .where(
        _BOOKINGS.c.vehicle_id == bindparam("vehicle"),
        _BOOKINGS.c.station_id != bindparam("station"),
        among(_BOOKINGS.c.status, ("booked", "disrupted", "arrived")),
        _BOOKINGS.c.window_start_at < bindparam("until"),
        _BOOKINGS.c.window_end_at > bindparam("since"),
    )
    .limit(1)
    .scalar_subquery()
)
_ELSEWHERE = sql_select(_STATIONS.c.version, _BOOKED_ELSEWHERE).where(_STATIONS.c.id == bindparam("station"))


@functools.cache
def _events_after(kinds: tuple[str, ...], limit: int | None) -> SelectOfScalar[StationEvent]:
    query = select(StationEvent).where(col(StationEvent.seq) > bindparam("after")).limit(limit)
    return (query.where(col(StationEvent.kind).in_(kinds)) if kinds else query).order_by(col(StationEvent.seq))


@functools.cache
def _newest_event(kinds: tuple[str, ...], before: bool) -> SelectOfScalar[StationEvent]:
    query = select(StationEvent).order_by(col(StationEvent.seq).desc()).limit(1)
    if before:
        query = query.where(col(StationEvent.seq) < bindparam("before"))
    return query.where(col(StationEvent.kind).in_(kinds)) if kinds else query


def _tables_of(statement: Select[Any] | Update | Delete) -> set[str]:
    """Names of the tables that a statement reads or writes anywhere, in subqueries and under aliases too."""
    return {str(part.name) for part in iterate(statement) if isinstance(part, TableClause)}


_NARROWED: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()
"""By statement, as long as somebody has it, and for whom."""
_NARROWED_MOST = 256
"""Forms of one statement that are kept."""


def narrowed(
    statement: Select[Any] | Update | Delete, whose: Hashable, conditions: Mapping[str, ExecutableOption]
) -> Any:
    """A statement with the conditions of the tables that it reads or writes; the same one again for the same statement.

    Args:
        whose: names the conditions, which are always the same for it.
        conditions: by the table's name.
    """
    known = _NARROWED.setdefault(statement, {})
    found = known.get(whose)
    if found is None:
        if len(known) >= _NARROWED_MOST:
            known.clear()
        used = _tables_of(statement)
        found = known[whose] = statement.options(*[option for name, option in conditions.items() if name in used])
    return found


def of_station(statement: Select[Any] | Update | Delete, station_id: str) -> Any:
    """A statement narrowed to a station."""
    return narrowed(statement, station_id, _scope(station_id))


class OfStation:
    """A statement on tables for `StationDb.rows`: each table of a station is asked for the rows of `:station` alone.

    Args:
        statement: with the parameter `station`, and a condition with it on every table whose rows name their station;
            tables whose rows name none, such as packs and seats, are joined to one that does.

    Raises:
        ValueError: a table is asked without it, or none is asked with it.
    """

    def __init__(self, statement: Select[Any]) -> None:
        asked = {
            part.left.table
            for part in iterate(statement)
            if isinstance(part, BinaryExpression)
            and getattr(part.right, "key", None) == "station"
            and isinstance(part.left, Column)
        }
        own = {Base.metadata.tables[str(table.__tablename__)] for table in (*OWN_STATION, Station)}
        tables = {part for part in iterate(statement) if isinstance(part, Table)}
        forgotten = sorted(table.name for table in ((tables & own) or tables) - asked)
        if forgotten:
            raise ValueError(f"{', '.join(forgotten)}: asked for rows of every station")
        self.statement = statement


_SEATS: Table = SwapSeat.__table__  # type: ignore[attr-defined]
_QUEUED = sql_select(_SWAP.c.id).where(_SWAP.c.station_id == bindparam("station"), _SWAP.c.state == "queued")
_EVENTS: Table = StationEvent.__table__  # type: ignore[attr-defined]
_NEWEST_SEQ = OfStation(
    sql_select(_EVENTS.c.seq)
    .where(_EVENTS.c.station_id == bindparam("station"))
    .order_by(_EVENTS.c.seq.desc())
    .limit(1)
)
_QUEUE, _ONE_QUEUED = OfStation(_QUEUED), OfStation(_QUEUED.limit(1))
_SEATS_IN_LANES = OfStation(
    sql_select(_SEATS.c.swap_id, _SEATS.c.old_bay_id, _SEATS.c.new_bay_id)
    .join(_SWAP, _SWAP.c.id == _SEATS.c.swap_id)
    .where(_SWAP.c.station_id == bindparam("station"), _SWAP.c.ended_at.is_(None), _SWAP.c.open_lane_id.is_not(None))
    .order_by(_SEATS.c.swap_id, _SEATS.c.seat)
)


class StationDb(Session):
    """A session on one station's rows."""

    station_id: str
    _station: Station | None = None

    def key(self, name: str) -> str:
        """Key of a bay or lane of this station."""
        return qualified(self.station_id, name)

    def name_of(self, key: str) -> str:
        """Name in the station file of a bay or lane of this station."""
        return local_name(self.station_id, key)

    def append(
        self,
        event: AnyEvent,
        *,
        at: datetime,
        actor: str = "controller",
        swap_id: str | None = None,
        pack_id: str | None = None,
        bay_id: str | None = None,
        lane_id: str | None = None,
        cause_seq: int | None = None,
    ) -> Entry:
        """Append one event of this station."""
        return append_event(
            self,
            event,
            station_id=self.station_id,
            at=at,
            actor=actor,
            swap_id=swap_id,
            pack_id=pack_id,
            bay_id=bay_id,
            lane_id=lane_id,
            cause_seq=cause_seq,
        )

    def get(self, entity: type[T], ident: Any, **options: Any) -> T | None:  # type: ignore[override]
        """The row of a key, or None; by a statement that is made once, where a session makes one each time."""
        if options or not isinstance(ident, str | int) or identity_key(entity, ident) in self.identity_map:
            return super().get(entity, ident, **options)
        table: Any = entity
        found: T | None = self.exec(_by_key(table), params={"key": ident}).first()
        return found

    def get_one(self, entity: type[T], ident: Any, **options: Any) -> T:  # type: ignore[override]
        """The row of a key. Raises sqlalchemy.exc.NoResultFound."""
        row = self.get(entity, ident, **options)
        if row is None:
            raise NoResultFound(f"{entity.__name__} {ident}: no such row at station {self.station_id}")
        return row

    def rows(self, query: OfStation, **values: object) -> Sequence[Row[Any]]:
        """Rows of tables, for what is read again and again and not changed: no objects of the session are made.

        Args:
            query: of this station alone, whose id it asks for itself.
        """
        self.flush()
        return connected(self).execute(query.statement, {"station": self.station_id, **values}).all()

    # the rack and its packs

    def station(self) -> Station:
        """The station's row, held to the end of the session."""
        if self._station is None:
            with self.no_autoflush:
                self._station = self.exec(_STATION).one()
        return self._station

    def version(self) -> int:
        """The station's version as it is now: it has risen with whatever this session has written."""
        self.flush()
        found: int = connected(self).execute(_VERSION, {"station": self.station_id}).scalar_one()
        return found

    def bays(self) -> Sequence[Bay]:
        """Every bay, in rack order."""
        return self.exec(_BAYS).all()

    def bay(self, name: str) -> Bay | None:
        """The bay of a name of the station file."""
        return self.get(Bay, self.key(name))

    def packs_here(self) -> Sequence[Pack]:
        """Packs in this station's bays, grippers and tank, by id."""
        here = select(Pack).where(col(Pack.vehicle_id).is_(None), col(Pack.off_site).is_(False))
        return self.exec(here.order_by(col(Pack.id))).all()

    def packs_in_bays(self) -> dict[str, Pack]:
        """Packs by the key of the bay they lie in."""
        rows = self.exec(_PACKS_IN_BAYS)
        return {pack.bay_id: pack for pack in rows if pack.bay_id is not None}

    def packs_in_grippers(self) -> dict[str, Pack]:
        """Packs by the key of the lane whose gripper holds them."""
        rows = self.exec(_PACKS_IN_GRIPPERS)
        return {pack.gripper_lane_id: pack for pack in rows if pack.gripper_lane_id is not None}

    def pack(self, pack_id: str) -> Pack | None:
        """A pack that is here, on a vehicle or off site; None for one in another station."""
        return self.get(Pack, pack_id)

    def open_charges(self) -> dict[str, ChargeSession]:
        """Charging that goes on, by pack."""
        return {row.pack_id: row for row in self.exec(_OPEN_CHARGES)}

    def open_charge(self, pack_id: str) -> ChargeSession | None:
        """The charging of a pack that goes on."""
        return self.exec(select(ChargeSession).where(ChargeSession.open_pack_id == pack_id)).first()

    # swaps

    def swap(self, swap_id: str) -> Swap | None:
        """A swap of this station."""
        return self.get(Swap, swap_id)

    def open_swaps(self) -> Sequence[Swap]:
        """Swaps that have not ended, in the order of arrival."""
        rows = self.exec(_OPEN_SWAPS).all()
        # Not ordered by the database, which might then walk all swaps by arrival.
        return sorted(rows, key=lambda row: (row.arrived_at, row.id))

    def nobody_waits(self) -> bool:
        """No truck that was not called yet."""
        return not self.rows(_ONE_QUEUED)

    def queue_length(self) -> int:
        """How many trucks wait and were not called yet."""
        return len(self.rows(_QUEUE))

    def seats(self, *swap_ids: str) -> Sequence[SwapSeat]:
        """The seats of swaps, by swap and seat."""
        return self.exec(_SEATS_OF, params={"swap_ids": swap_ids}).all() if swap_ids else ()

    def seat_taken_from(self, pack_id: str) -> SwapSeat | None:
        """The seat from which a swap here has taken a pack last, or is taking it."""
        return self.exec(_SEAT_TAKEN_FROM, params={"pack": pack_id, "station": self.station_id}).first()

    def bays_of_swaps(self) -> dict[str, str]:
        """Swaps in a lane by the keys of the bays that they fill or empty."""
        rows = self.rows(_SEATS_IN_LANES)
        return {key: row.swap_id for row in rows for key in (row.old_bay_id, row.new_bay_id) if key is not None}

    def bays_in_motion(self) -> set[str]:
        """Keys of bays that the robot may be filling or emptying: rows and sensors may differ for the moment."""
        return set(self.bays_of_swaps())

    def open_commands(self, lane_id: str, seq: int | None = None) -> Sequence[RobotCommandRow]:
        """Commands of a lane whose end is not stored; of one number where it is given."""
        lane = self.key(lane_id)
        if seq is None:
            return self.exec(_OPEN_COMMANDS, params={"lane": lane}).all()
        return self.exec(_OPEN_COMMAND, params={"lane": lane, "seq": seq}).all()

    def put_on_by_swap(self, swap: Swap, pack_id: str | None) -> bool:
        """Whether an earlier swap put a pack on the vehicle of this one, at whichever station.

        The one question that crosses stations: a truck may be swapped at one and come to another. It asks the
        tables, not their classes, so it is not narrowed.
        """
        seats, swaps = SwapSeat.__table__.c, Swap.__table__.c  # type: ignore[attr-defined]
        query = (
            sql_select(seats.swap_id)
            .join(Swap.__table__, swaps.id == seats.swap_id)  # type: ignore[attr-defined]
            .where(seats.new_pack_id == pack_id, seats.exchanged.is_(True))
            .where(swaps.vehicle_id == swap.vehicle_id, swaps.id != swap.id, swaps.arrived_at <= swap.arrived_at)
        )
        # Newest first: it is nearly always the one before, and a truck has thousands.
        newest_first = query.order_by(swaps.arrived_at.desc(), swaps.id.desc())
        return self.execute(newest_first.limit(1)).first() is not None

    def version_and_elsewhere(self, vehicle_id: str, from_at: datetime, until_at: datetime) -> tuple[int, str | None]:
        """The station's version as it is now, and the station, other than this one, at which a vehicle has booked a
        window that overlaps [from, until).

        Like `put_on_by_swap` it crosses stations, so it asks the tables.
        """
        self.flush()
        asked = {"vehicle": vehicle_id, "station": self.station_id, "since": from_at, "until": until_at}
        version, elsewhere = connected(self).execute(_ELSEWHERE, asked).one()
        return version, elsewhere

    def files_taken(self, until_at: datetime) -> list[dict[str, Any]]:
        """What station files have brought into the register up to an instant, at whichever station, newest first.

        Like `put_on_by_swap` it crosses stations, so it asks the tables.
        """
        events = StationEvent.__table__.c  # type: ignore[attr-defined]
        query = sql_select(events.data).where(events.kind == FileTaken.kind, events.at <= until_at)
        return list(self.execute(query.order_by(events.at.desc(), events.station_id, events.seq.desc())).scalars())

    # people

    def open_faults(self, source: str | None = None) -> Sequence[FaultRow]:
        """Faults that are open, of one source where it is given."""
        if source is None:
            return self.exec(_OPEN_FAULTS).all()
        return self.exec(_OPEN_FAULTS_OF, params={"source": source}).all()

    def open_requests(self) -> Sequence[ControlRequest]:
        """Requests that nobody has answered, oldest first."""
        return self.exec(_OPEN_REQUESTS).all()

    # the journal

    def events(self, *kinds: type[AnyEvent], after: int = 0, limit: int | None = None) -> Sequence[StationEvent]:
        """Events after a number, of some kinds where they are given, in order."""
        query = _events_after(tuple(kind.kind for kind in kinds), limit)
        return self.exec(query, params={"after": after}).all()

    def newest_seq(self) -> int:
        """Number of the newest event; 0 where there is none."""
        newest = self.rows(_NEWEST_SEQ)
        return newest[0].seq if newest else 0

    def newest_event(self, *kinds: type[AnyEvent], before: int | None = None) -> StationEvent | None:
        """The newest event, of some kinds and before a number where they are given."""
        query = _newest_event(tuple(kind.kind for kind in kinds), before is not None)
        return self.exec(query, params=None if before is None else {"before": before}).first()


@event.listens_for(StationDb, "do_orm_execute")
def _narrow(state: ORMExecuteState) -> None:
    assert isinstance(state.session, StationDb)
    if isinstance(state.statement, (Select, Update, Delete)):
        state.statement = of_station(state.statement, state.session.station_id)


@event.listens_for(StationDb, "before_flush")
def _look_through(session: Session, _context: UOWTransaction, _instances: object) -> None:
    """Refuse rows of other stations, and raise the station's version where a page has something new to show."""
    assert isinstance(session, StationDb)
    changed = [*session.new, *(row for row in session.dirty if session.is_modified(row)), *session.deleted]
    if any(isinstance(row, SHOWN) for row in changed):
        raise_version(session, session.station_id)
    for row in changed:
        owner = row.id if isinstance(row, Station) else getattr(row, "station_id", session.station_id)
        if owner != session.station_id:
            raise OtherStation(
                f"a row of {type(row).__name__} of station {owner} was to be written by station {session.station_id}"
            )
