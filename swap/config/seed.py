"""The station file into the database: first fill, and changes of the file later on.

The station and its bays follow the file at each start. Firms, kinds, vehicles and owners belong to the register:
the file brings new ones in, and is refused where it contradicts a row. Places do not follow it: from the first fill
on, where a pack is is known from moves only, so the file never moves a pack that the database knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from scheduler.types import PackState, StationMode
from swap.config.prices import told_prices
from swap.config.register_rows import KEPT_ELSEWHERE, RegisterImport
from swap.config.station_file import PackSection, StationConfig
from swap.errors import SwapError
from swap.events import append_event, raise_version
from swap.messages.commerce import PricesSet
from swap.messages.events import StationModeChanged
from swap.messages.packs import BayBlocked, BayReleased, PackMoved
from swap.places import OFF_SITE, bay_place, place_of, vehicle_place
from swap.store import Store
from swap.tables import Bay, ChargeSession, Pack, Station, StationEvent, Swap, SwapSeat, VehicleRow

ACTOR = "station_file"
"""Actor of the events of the first fill."""
STOCK_UNCONFIRMED = "stock_unconfirmed"
"""Reason by which a new station with real devices is held: where its packs are is only the file's word."""
RETIRED_REASON = "not in the station file"
"""Reason by which a bay that left the file is blocked."""


class SyncError(SwapError):
    """The station file contradicts the database. `problems` holds one line for each; nothing was written."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            f"station file and database disagree in {len(self.problems)} point(s)\n"
            + "\n".join(f"  - {p}" for p in self.problems)
        )


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What `sync_station` wrote."""

    first: bool
    """The station was not in the database before."""
    added: dict[str, int]
    """New rows by table."""
    changed: dict[str, int]
    """Rows that took a new value, by table."""


def import_register(store: Store, config: StationConfig, at: datetime) -> SyncReport:
    """Take a station file's word on firms, kinds, vehicle models, vehicles and owners of packs.

    Args:
        at: real UTC; the journal of the file's station is told.

    Raises:
        SyncError: what no word changes: a tag on two vehicles, the kind of a pack. Nothing was written.
    """
    with store.transaction() as db:
        register = RegisterImport(db, config, take=True)
        register.all()
        if register.problems:
            raise SyncError(register.problems)
        if db.get(Station, config.station.id) is not None:
            _tell(db, register, config.station.id, at)
        return SyncReport(False, dict(register.added), dict(register.changed))


def _tell(db: Session, register: RegisterImport, station_id: str, at: datetime) -> None:
    """Journal what the file has brought into rows."""
    at = _not_before_newest(db, station_id, at)
    for event in register.events():
        append_event(db, event, station_id=station_id, at=at, actor=ACTOR)


def _not_before_newest(db: Session, station_id: str, at: datetime) -> datetime:
    """An instant of the journal: a station's own time may run ahead."""
    newest: datetime | None = db.exec(
        select(func.max(StationEvent.at)).where(StationEvent.station_id == station_id)
    ).one()
    return at if newest is None else max(at, newest)


def _tell_prices(db: Session, config: StationConfig, now_at: datetime) -> None:
    """Journal the prices of the file where they differ from those told last: a late bill asks for those of its swap."""
    prices = told_prices(config)
    newest = db.exec(
        select(StationEvent)
        .where(StationEvent.station_id == config.station.id, StationEvent.kind == prices.kind)
        .order_by(col(StationEvent.seq).desc())
        .limit(1)
    ).first()
    if newest is None or PricesSet.read(newest.data) != prices:
        at = _not_before_newest(db, config.station.id, now_at)
        append_event(db, prices, station_id=config.station.id, at=at, actor=ACTOR)


def bay_key(station_id: str, bay_id: str) -> str:
    """Key of a bay's row: station id, a colon, bay id."""
    return f"{station_id}:{bay_id}"


def handover_soe_kwh(soc_pct: float, rated_kwh: float, soh_pct: float) -> float:
    """Energy on the handover record of a pack: SoC × rated energy × state of health (standards.md 8.3)."""
    return soc_pct / 100 * rated_kwh * soh_pct / 100


def sync_station(store: Store, config: StationConfig, now_at: datetime) -> SyncReport:
    """Bring the station file's register, station, bays and packs into the database. Repeatable.

    A station that is new and has real devices is held until a named person has confirmed its stock: that a pack lies
    where the file says is so far nobody's observation.

    Args:
        store: a migrated database.
        config: the checked station file.
        now_at: instant written to new rows.

    Raises:
        SyncError: something that left the file still holds packs or has an open swap, a new pack's place is
            taken, or the file contradicts the register. Every problem is listed.
        TariffError: the period table of its tariff is missing or not valid.
    """
    with store.transaction() as db:
        sync = _Sync(db, config, now_at)
        first = db.get(Station, config.station.id) is None
        sync.register.all()
        sync.station()
        sync.vehicles_left()
        sync.bays()
        sync.packs()
        if sync.problems:
            raise SyncError(sync.problems)
        _tell(db, sync.register, config.station.id, now_at)
        _tell_prices(db, config, now_at)
        if sync.added or sync.changed:
            raise_version(db, config.station.id)
        return SyncReport(first, dict(sync.added), dict(sync.changed))


class _Sync:
    def __init__(self, db: Session, config: StationConfig, now_at: datetime) -> None:
        self.db = db
        self.config = config
        self.station_id = config.station.id
        self.now_at = now_at
        self.register = RegisterImport(db, config, take=False)
        self.added, self.changed, self.problems = self.register.added, self.register.changed, self.register.problems

    def add(self, row: Station | Bay | Pack) -> None:
        self.register.add(row)

    def update(self, row: Station | Bay, **values: object) -> None:
        different = {name: value for name, value in values.items() if getattr(row, name) != value}
        if different:
            for name, value in different.items():
                setattr(row, name, value)
            self.changed[row.__tablename__] += 1
            self.register.tell(row, different.keys() - {"blocked", "blocked_reason"})

    def station(self) -> None:
        section = self.config.station
        values: dict[str, Any] = {
            "name_zh": section.name_zh,
            "name_en": section.name_en,
            "timezone": section.timezone,
            "operator_id": section.operator,
        }
        row = self.db.get(Station, section.id)
        if row is not None:
            if row.mode_reason == KEPT_ELSEWHERE:
                self.problems.append(
                    f"station {section.id} lives in another database: this one has its journal from files only "
                    "(`swap commerce import`); run it with its own"
                )
            self.update(row, **values)
            self.db.flush()
            return
        real = self.config.devices == "real"
        first_mode = StationMode.HELD if real else StationMode.AUTOMATIC
        reason = STOCK_UNCONFIRMED if real else "first start"
        self.add(
            Station(
                id=section.id,
                mode=first_mode.value,
                mode_reason=reason,
                mode_since_at=self.now_at,
                **values,
            )
        )
        self.db.flush()
        append_event(
            self.db,
            StationModeChanged(before=None, after=first_mode, reason=reason),
            station_id=section.id,
            at=self.now_at,
            actor=ACTOR,
        )

    def tell(self, event: BayBlocked | BayReleased, bay_id: str) -> None:
        """Journal what the file has done to a bay."""
        append_event(self.db, event, station_id=self.station_id, at=self.now_at, actor=ACTOR, bay_id=bay_id)

    def vehicles_left(self) -> None:
        """A truck that left the file must be done with here."""
        if self.db.exec(select(func.count()).select_from(Station)).one() > 1:
            return  # a truck that this file does not name may be another station's
        known = {vehicle.id for vehicle in self.config.vehicles}
        for vehicle_id in self.db.exec(select(VehicleRow.id)).all():
            if vehicle_id not in known:
                holds = col(Pack.vehicle_id) == vehicle_id
                self.removed(f"vehicle {vehicle_id}", holds, Swap.open_vehicle_id == vehicle_id)

    def bays(self) -> None:
        rows = {row.id: row for row in self.db.exec(select(Bay).where(col(Bay.station_id) == self.station_id))}
        keys = {bay_key(self.station_id, bay.id): bay for bay in self.config.bays}
        for key in rows.keys() - keys.keys():
            self.retire(rows[key])
        for number, (key, bay) in enumerate(keys.items(), start=1):
            if key in rows and rows[key].position != bay.position:
                rows[key].position = -1000 - number  # bays may exchange their positions, as tags above
        self.db.flush()
        for key, bay in keys.items():
            row = rows.get(key)
            if row is None:
                self.add(Bay(id=key, station_id=self.station_id, name=bay.id, position=bay.position, role=bay.role))
                continue
            self.update(row, name=bay.id, position=bay.position, role=bay.role)
            if row.blocked and row.blocked_reason == RETIRED_REASON:
                self.update(row, blocked=False, blocked_reason="")
                self.tell(BayReleased(reason=RETIRED_REASON), key)
        self.db.flush()

    def retire(self, bay: Bay) -> None:
        """Take a bay out of the rack: remove its row, or keep it blocked where charging records name it."""
        in_use = select(SwapSeat).join(Swap, col(Swap.id) == SwapSeat.swap_id)
        in_use = in_use.where(
            col(Swap.ended_at).is_(None), (SwapSeat.old_bay_id == bay.id) | (SwapSeat.new_bay_id == bay.id)
        )
        if self.db.exec(in_use).first() is not None:
            self.problems.append(f"bay {bay.id} left the file, but an open swap uses it; end the swap first")
            return
        if self.removed(f"bay {bay.id}", col(Pack.bay_id) == bay.id):
            return
        if self.db.exec(select(ChargeSession.id).where(ChargeSession.bay_id == bay.id)).first() is None:
            self.db.delete(bay)
            self.register.taken["bay", bay.id] = {}
        else:
            lowest = self.db.exec(select(func.min(Bay.position))).one()
            news = not bay.blocked or bay.blocked_reason != RETIRED_REASON
            self.update(
                bay,
                position=min(lowest, 0) - 1,  # its number is free for another bay
                blocked=True,
                blocked_reason=RETIRED_REASON,
            )
            if news:
                self.tell(BayBlocked(reason=RETIRED_REASON), bay.id)
        self.db.flush()

    def removed(self, what: str, holds: object, open_swap: object = None) -> bool:
        """Note a problem when something that left the file still matters; whether there was one."""
        packs = self.db.exec(select(Pack.id).where(holds)).all()  # type: ignore[arg-type]
        if packs:
            self.problems.append(
                f"{what} left the file, but holds {', '.join(sorted(packs))}; put it back, or move them first"
            )
        swap = None
        if open_swap is not None:
            swap = self.db.exec(select(Swap.id).where(open_swap)).first()  # type: ignore[arg-type]
            if swap is not None:
                self.problems.append(f"{what} left the file, but swap {swap} is open; end it first")
        return bool(packs) or swap is not None

    def packs(self) -> None:
        seat_of = {
            code: (vehicle.id, seat)
            for vehicle in self.config.vehicles
            for seat, code in enumerate(vehicle.packs, start=1)
        }
        taken = {place_of(row): row.id for row in self.db.exec(select(Pack)) if not row.off_site}
        for pack in self.config.packs:
            if self.db.get(Pack, pack.id) is None:
                self.new_pack(pack, self.config.pack_kind(pack.kind).rated_kwh, seat_of.get(pack.id), taken)
        self.db.flush()

    def new_pack(
        self, pack: PackSection, rated_kwh: float, seat: tuple[str, int] | None, taken: dict[str, str]
    ) -> None:
        row = Pack(
            id=pack.id,
            kind=pack.kind,
            owner_id=pack.owner,
            rated_kwh=rated_kwh,
            soh_pct=pack.soh_pct,
            state=PackState.ON_VEHICLE.value,
            state_since_at=self.now_at,
        )
        if pack.bay is not None:
            row.bay_id = bay_key(self.station_id, pack.bay)
            row.state = PackState.RECEIVED.value  # until its BMS has told who it is
            place = bay_place(row.bay_id)
        elif seat is not None:
            row.vehicle_id, row.seat = seat
            row.settled_soe_kwh = handover_soe_kwh(pack.soc_pct, rated_kwh, pack.soh_pct)
            place = vehicle_place(*seat)
        else:
            row.off_site = True
            place = OFF_SITE
        if place in taken:
            self.problems.append(
                f"pack {pack.id} is new and starts at {place}, where {taken[place]} is; give it a free place, or none"
            )
            return
        if self.problems:
            return  # nothing will be kept, and what the row points at may be missing
        self.add(row)
        if place == OFF_SITE:
            return
        taken[place] = pack.id
        self.db.flush()
        append_event(
            self.db,
            PackMoved(source=OFF_SITE, target=place)
            if row.settled_soe_kwh is None
            else PackMoved(source=OFF_SITE, target=place, energy_kwh=row.settled_soe_kwh),
            station_id=self.station_id,
            at=self.now_at,
            actor=ACTOR,
            pack_id=pack.id,
            bay_id=row.bay_id,
        )
