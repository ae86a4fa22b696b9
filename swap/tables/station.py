"""A station, its controller's lease, its bays, its power samples."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, UniqueConstraint, text
from sqlmodel import Field

from swap.tables.base import Base, json_field

_NEXT_NUMBER = text("(SELECT coalesce(max(number), 0) + 1 FROM station)")


class Station(Base, table=True):
    """One station; `version` rises with every stored change of its live state."""

    __tablename__ = "station"
    id: str = Field(primary_key=True, max_length=32)
    number: int = Field(default=None, unique=True, sa_column_kwargs={"default": _NEXT_NUMBER})
    """Never changes; PostgreSQL locks the station by it."""
    name_zh: str
    name_en: str
    timezone: str
    operator_id: str = Field(foreign_key="party.id", max_length=32)
    mode: str = Field(default="held", max_length=16)
    mode_reason: str = ""
    mode_since_at: datetime
    version: int = Field(default=0, sa_type=BigInteger)
    last_seq_by_lane: dict[str, int] = json_field()
    """Highest command number issued, by lane; read back together with the cell's own after a restart."""
    waiting: dict[str, Any] = json_field()
    """What each lane (`lane:L1`) and each waiting truck (`truck:` and its swap) waits for, and by bay when its pack is
    expected to be ready (`ready_at`), as the controller found it last (`swap/station/reasons`)."""


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
    reading_fresh: bool = False
    """The newest reading of its BMS is young enough to act on. Values that stay the same are not written again, so the
    age of `Pack.reading_at` says nothing of this."""
    setpoint_kw: float | None = None
    """Set-point of the last charging plan."""
    limited_by: str = ""
    """Limit that decided the set-point, as in `scheduler.types.Setpoint.limited_by`."""


class SiteSample(Base, table=True):
    """Site power over time, for pages and replay."""

    __tablename__ = "site_sample"
    __table_args__ = (
        Index("ix_site_sample_by_station", "station_id", "id"),
        Index("ix_site_sample_by_time", "station_id", "at", "id"),
        Index("ix_site_sample_by_mean", "station_id", "mean_s", "id"),
    )
    id: int | None = Field(default=None, primary_key=True)
    station_id: str = Field(foreign_key="station.id", max_length=32)
    at: datetime
    import_kw: float | None = None
    charge_kw: float | None = None
    limit_kw: float
    """Of the import: that of the grid, or of demand response where it is lower."""
    pv_kw: float | None = None
    """From the photovoltaics; None without any, or while they are silent."""
    storage_kw: float | None = None
    """Into the storage (positive) or out of it (negative); None without one, or while it is silent."""
    storage_kwh: float | None = None
    """In the storage."""
    ready_packs: int
    queue_length: int
    mean_s: int = 0
    """0: as it was taken. Else the row is the mean of the samples of so many seconds, made when they had become old:
    powers are means over time, `limit_kw` and `ready_packs` the lowest, `queue_length` the highest, `storage_kwh` what
    the first of them says."""
    covered_s: float | None = None
    """Of a mean: seconds for which its `import_kw` stands, from `at` on, so that its energy is that of its samples."""
