"""All tables. Rows are written inside `store.transaction()` only and never leave this room's functions as rows.

Conventions: instants are aware UTC (SQLModel stores them as UTC on both engines); money is fen and unit
prices are 1/10 000 yuan, as integers; billed energy is 0.01 kWh as integer. Physical truth is a constraint:
a pack row names exactly one place, and a bay, seat or gripper holds at most one pack.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Column, Index, MetaData, UniqueConstraint, text
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(SQLModel):
    """Common metadata with a naming convention, so that both engines name constraints alike."""

    metadata = MetaData(naming_convention=NAMING)


def _json() -> Any:
    return Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


class Party(Base, table=True):
    """A firm: fleet operator, battery owner, station operator."""

    __tablename__ = "party"
    id: str = Field(primary_key=True, max_length=32)
    kind: str = Field(max_length=20)
    name_zh: str
    name_en: str


class Station(Base, table=True):
    """One station; `version` rises with every stored change of its live state."""

    __tablename__ = "station"
    id: str = Field(primary_key=True, max_length=32)
    name_zh: str
    name_en: str
    timezone: str
    operator_id: str = Field(foreign_key="party.id", max_length=32)
    mode: str = Field(default="held", max_length=16)
    mode_reason: str = ""
    mode_since_at: datetime
    version: int = Field(default=0, sa_type=BigInteger)
    last_seq_by_lane: dict[str, int] = _json()
    """Highest command number issued, by lane; read back together with the cell's own after a restart."""


LEASE_EXPIRES_S = 10.0
"""Real seconds without a heartbeat after which a controller no longer counts as running, and another may take over."""


class ControllerLease(Base, table=True):
    """Exactly one controller runs a station: who, and when it last said so."""

    __tablename__ = "controller_lease"
    station_id: str = Field(primary_key=True, foreign_key="station.id", max_length=32)
    holder: str
    """Host, process and random token of the controller."""
    token: int
    """Number written to the owner word of each cell, 1…65535."""
    heartbeat_at: datetime
    """Real UTC, not station time."""


class VehicleRow(Base, table=True):
    """One truck."""

    __tablename__ = "vehicle"
    id: str = Field(primary_key=True, max_length=20)
    tag: int = Field(sa_type=BigInteger, unique=True)
    model: str = Field(max_length=32)
    fleet_id: str = Field(foreign_key="party.id", max_length=32)


class Bay(Base, table=True):
    """One bay of a station's rack."""

    __tablename__ = "bay"
    __table_args__ = (UniqueConstraint("station_id", "position"),)
    id: str = Field(primary_key=True, max_length=64)
    """Station id, a colon, and the bay's id in the station file."""
    station_id: str = Field(foreign_key="station.id", max_length=32, index=True)
    name: str = Field(max_length=32)
    position: int
    role: str = Field(max_length=16)
    blocked: bool = False
    blocked_reason: str = ""
    charge_kw: float | None = None
    """Charger's measured output; None when stale. The controller writes it with the pack's reading."""
    setpoint_kw: float | None = None
    """Set-point of the last charging plan."""
    limited_by: str = ""
    """Limit that decided the set-point, as in `scheduler.types.Setpoint.limited_by`."""


class Pack(Base, table=True):
    """One pack and the one place it is in."""

    __tablename__ = "pack"
    __table_args__ = (
        CheckConstraint(
            "(CASE WHEN bay_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN vehicle_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN gripper_lane_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN tank_station_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN off_site THEN 1 ELSE 0 END) = 1",
            name="one_place",
        ),
        CheckConstraint("(vehicle_id IS NULL) = (seat IS NULL)", name="seat_with_vehicle"),
        CheckConstraint("soc_pct IS NULL OR (soc_pct >= 0 AND soc_pct <= 100)", name="soc_range"),
        CheckConstraint("soh_pct > 0 AND soh_pct <= 100", name="soh_range"),
        UniqueConstraint("vehicle_id", "seat"),
    )
    id: str = Field(primary_key=True, max_length=24)
    kind: str = Field(max_length=32, index=True)
    owner_id: str = Field(foreign_key="party.id", max_length=32)
    rated_kwh: float
    soh_pct: float = 100.0
    state: str = Field(max_length=16, index=True)
    state_since_at: datetime
    bay_id: str | None = Field(default=None, foreign_key="bay.id", unique=True, max_length=64)
    vehicle_id: str | None = Field(default=None, foreign_key="vehicle.id", max_length=20)
    seat: int | None = None
    gripper_lane_id: str | None = Field(default=None, unique=True, max_length=64)
    """Station id, a colon, lane id."""
    tank_station_id: str | None = Field(default=None, foreign_key="station.id", max_length=32)
    off_site: bool = False
    energy_kwh: float | None = None
    soc_pct: float | None = None
    temp_max_c: float | None = None
    reading_at: datetime | None = None
    settled_soe_kwh: float | None = None
    """Energy at the moment it was last installed on a vehicle (lsoe of the next bill)."""
    cycles_kwh: float = 0.0
    """Energy charged into it here since the record began."""


class Booking(Base, table=True):
    """A promise of a swap in a time window."""

    __tablename__ = "booking"
    __table_args__ = (
        CheckConstraint("window_end_at > window_start_at", name="window"),
        Index(
            "uq_booking_open_vehicle",
            "vehicle_id",
            unique=True,
            sqlite_where=text("status IN ('booked', 'arrived')"),
            postgresql_where=text("status IN ('booked', 'arrived')"),
        ),
    )
    id: str = Field(primary_key=True, max_length=32)
    station_id: str = Field(foreign_key="station.id", max_length=32, index=True)
    vehicle_id: str = Field(foreign_key="vehicle.id", max_length=20)
    window_start_at: datetime
    window_end_at: datetime
    status: str = Field(default="booked", max_length=16)
    """booked, arrived, fulfilled, expired, cancelled, failed."""
    idempotency_key: str | None = Field(default=None, unique=True, max_length=64)
    created_at: datetime


class HotPack(Base, table=True):
    """The newest procedure for a hot pack in a bay; older ones are in the journal."""

    __tablename__ = "hot_pack"
    bay_id: str = Field(primary_key=True, foreign_key="bay.id", max_length=64)
    station_id: str = Field(foreign_key="station.id", max_length=32, index=True)
    pack_id: str | None = Field(default=None, max_length=24)
    causes: list[str] = Field(default_factory=list, sa_type=JSON, nullable=False)
    detected_at: datetime
    stage: str = Field(max_length=32)
    """A stage of the thermal table."""
    lane_id: str | None = Field(default=None, max_length=32)
    """Lane whose cell was asked to carry it."""
    seq: int | None = None
    """Number of the command in flight."""
    deadline_at: datetime | None = None
    confirming: bool = False
    tries: int = 0
    left: bool = False
    """It may hang in the gripper, where a failed evacuation has left it."""


class Swap(Base, table=True):
    """One truck's swap, from check-in to release. Terminal states are never left."""

    __tablename__ = "swap"
    __table_args__ = (
        UniqueConstraint("open_vehicle_id"),
        UniqueConstraint("open_lane_id"),
        CheckConstraint(
            "(ended_at IS NULL) = (state NOT IN ('completed', 'returned', 'cancelled'))",
            name="ended_when_terminal",
        ),
    )
    id: str = Field(primary_key=True, max_length=32)
    station_id: str = Field(foreign_key="station.id", max_length=32, index=True)
    vehicle_id: str = Field(foreign_key="vehicle.id", max_length=20, index=True)
    booking_id: str | None = Field(default=None, foreign_key="booking.id", unique=True, max_length=32)
    idempotency_key: str | None = Field(default=None, unique=True, max_length=64)
    open_vehicle_id: str | None = Field(default=None, max_length=20)
    """Vehicle while the swap is open: at most one open swap for a vehicle."""
    open_lane_id: str | None = Field(default=None, max_length=64)
    """Lane (station:lane) from dispatch to the end: at most one open swap in a lane."""
    lane_id: str | None = Field(default=None, max_length=32)
    recipe: str | None = Field(default=None, max_length=64)
    pack_count: int = 1
    priority: int = 0
    state: str = Field(default="queued", max_length=40, index=True)
    """A state of the session table."""
    phase: str = Field(default="pending", max_length=16)
    """Phase inside the state: pending, sent, confirming, held."""
    seq: int | None = None
    """Number of the command in flight."""
    tries: int = 0
    entered_at: datetime
    deadline_at: datetime | None = None
    hold_reason: str | None = None
    hold_detail: dict[str, Any] = _json()
    checks: dict[str, Any] = _json()
    """Result and tries of each pre-check."""
    arrived_at: datetime
    dispatched_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str = ""


class SwapSeat(Base, table=True):
    """The packs exchanged in one seat of a swap and what they held."""

    __tablename__ = "swap_seat"
    swap_id: str = Field(primary_key=True, foreign_key="swap.id", max_length=32)
    seat: int = Field(primary_key=True)
    old_pack_id: str | None = Field(default=None, max_length=24)
    new_pack_id: str | None = Field(default=None, max_length=24)
    old_bay_id: str | None = Field(default=None, max_length=64)
    """Where the pack taken off goes."""
    new_bay_id: str | None = Field(default=None, max_length=64)
    """Where the pack put on comes from."""
    last_settled_soe_kwh: float | None = None
    """lsoe: energy of the old pack when it was installed."""
    returned_soe_kwh: float | None = None
    """usoe: its energy when taken off, as its BMS gave it in the bay."""
    returned_soc_pct: float | None = None
    installed_soe_kwh: float | None = None
    """dsoe: energy of the new pack when handed out."""
    installed_soc_pct: float | None = None
    exchanged: bool = False
    """The new pack is on the vehicle."""


class RobotCommandRow(Base, table=True):
    """Every command ever issued, by lane and number; stored before it leaves."""

    __tablename__ = "robot_command"
    __table_args__ = (Index("ix_robot_command_lane_seq", "lane_id", "seq"),)
    id: int | None = Field(default=None, primary_key=True)
    lane_id: str = Field(max_length=64)
    seq: int
    swap_id: str | None = Field(default=None, foreign_key="swap.id", index=True, max_length=32)
    state: str = Field(max_length=40)
    code: int
    source: int = 0
    target: int = 0
    vehicle_tag: int = Field(default=0, sa_type=BigInteger)
    issued_at: datetime
    ended_at: datetime | None = None
    result: str = Field(default="open", max_length=16)
    """open, done, failed, aborted, refused, abandoned."""
    fault_code: int = 0


class ChargeSession(Base, table=True):
    """Charging of one pack in one bay; not a child of any swap, which it outlives."""

    __tablename__ = "charge_session"
    id: int | None = Field(default=None, primary_key=True)
    station_id: str = Field(foreign_key="station.id", max_length=32, index=True)
    pack_id: str = Field(foreign_key="pack.id", max_length=24, index=True)
    bay_id: str = Field(foreign_key="bay.id", max_length=64)
    open_pack_id: str | None = Field(default=None, unique=True, max_length=24)
    started_at: datetime
    ended_at: datetime | None = None
    start_energy_kwh: float
    end_energy_kwh: float | None = None
    start_meter_kwh: float | None = None
    end_meter_kwh: float | None = None


class StationEvent(Base, table=True):
    """Append-only journal; a trigger refuses update and delete. Ids have no gaps."""

    __tablename__ = "station_event"
    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    station_id: str = Field(foreign_key="station.id", max_length=32, index=True)
    at: datetime
    kind: str = Field(max_length=48, index=True)
    actor: str = Field(max_length=64)
    """Who caused it: `controller`, or the name of a person or client."""
    swap_id: str | None = Field(default=None, max_length=32, index=True)
    pack_id: str | None = Field(default=None, max_length=24, index=True)
    bay_id: str | None = Field(default=None, max_length=64)
    lane_id: str | None = Field(default=None, max_length=32)
    cause_id: int | None = Field(default=None, sa_type=BigInteger)
    data: dict[str, Any] = _json()


class FaultRow(Base, table=True):
    """One occurrence of a fault: raised, acknowledged, cleared."""

    __tablename__ = "fault"
    id: int | None = Field(default=None, primary_key=True)
    station_id: str = Field(foreign_key="station.id", max_length=32, index=True)
    code: int
    level: int
    source: str = Field(max_length=64)
    """Device or place: `lane:L1`, `bay:A3`, `meter`."""
    open_key: str | None = Field(default=None, unique=True, max_length=160)
    """Station, source and code while open: a fault is open once."""
    raised_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = Field(default=None, max_length=64)
    cleared_at: datetime | None = None
    data: dict[str, Any] = _json()


class ControlRequest(Base, table=True):
    """What the API asks of the controller; the controller picks it up and answers here."""

    __tablename__ = "control_request"
    id: int | None = Field(default=None, primary_key=True)
    station_id: str = Field(foreign_key="station.id", max_length=32, index=True)
    kind: str = Field(max_length=32)
    """confirm, hold, resume, manual, automatic, close, release_pack, release_bay, cancel_swap, decide."""
    arguments: dict[str, Any] = _json()
    requested_by: str = Field(max_length=64)
    requested_at: datetime
    status: str = Field(default="open", max_length=16, index=True)
    """open, done, refused."""
    answered_at: datetime | None = None
    answer: str = ""
    """In English, for programs."""
    answer_parts: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """The same as codes and values (`swap.station.answer_words`); None in rows older than this column."""


class Bill(Base, table=True):
    """One bill; never edited. A correction is a second bill that reverses it."""

    __tablename__ = "bill"
    __table_args__ = (UniqueConstraint("swap_id", "kind"),)
    id: str = Field(primary_key=True, max_length=32)
    swap_id: str = Field(foreign_key="swap.id", max_length=32, index=True)
    kind: str = Field(default="swap", max_length=16)
    """swap, reversal."""
    payer_id: str = Field(foreign_key="party.id", max_length=32)
    issued_at: datetime
    total_fen: int = Field(sa_type=BigInteger)
    flags: str = ""
    """Comma-separated: first_swap, charged_elsewhere, …"""


class BillLine(Base, table=True):
    """One line: quantity × unit price, rounded half up to the fen."""

    __tablename__ = "bill_line"
    bill_id: str = Field(primary_key=True, foreign_key="bill.id", max_length=32)
    line_no: int = Field(primary_key=True)
    kind: str = Field(max_length=16)
    """energy, service."""
    seat: int | None = None
    pack_id: str | None = Field(default=None, max_length=24)
    payee_id: str = Field(foreign_key="party.id", max_length=32)
    energy_centi_kwh: int = Field(sa_type=BigInteger)
    """Quantity in 0.01 kWh."""
    unit_price_1e4_yuan: int = Field(sa_type=BigInteger)
    amount_fen: int = Field(sa_type=BigInteger)
    basis: dict[str, Any] = _json()
    """Raw values the quantity and the price were made from."""


class SiteSample(Base, table=True):
    """Site power over time, for pages and replay."""

    __tablename__ = "site_sample"
    id: int | None = Field(default=None, primary_key=True)
    station_id: str = Field(foreign_key="station.id", max_length=32)
    at: datetime = Field(index=True)
    import_kw: float | None = None
    charge_kw: float | None = None
    limit_kw: float
    ready_packs: int
    queue_length: int
