"""A station's database in the middle of a day, and what an app needs beside it. No controller runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import insert
from sqlmodel import Session, col, select

from api.app import create_app
from api.settings import Settings
from swap.config.loading import load_station
from swap.config.station_file import StationConfig
from swap.events import append_event
from swap.messages.events import AnyEvent, SwapCompleted, SwapDispatched, SwapQueued, SwapReturned, SwapStepDone
from swap.station.life.status import ControlBoard
from swap.store import Store
from swap.tables import (
    Bay,
    Bill,
    BillLine,
    ControllerLease,
    FaultRow,
    Pack,
    SiteSample,
    Station,
    Swap,
    SwapSeat,
)
from tests.support.swap.databases import fill

STATION_FILE = Path(__file__).resolve().parents[3] / "examples" / "yangquan_mine" / "station.toml"
NOW = datetime(2026, 3, 4, 2, 30, tzinfo=UTC)
"""Half past ten in the morning at the station."""


ACQUIRER_SECRET = "what the acquirer of the tests signs with"


class StoppedClock:
    """Station time that stands still until it is set."""

    def __init__(self, at: datetime = NOW, speed: float = 1.0) -> None:
        self.at = at
        self.speed = speed

    def now(self) -> datetime:
        return self.at


@cache
def station_config() -> StationConfig:
    """The station file, read once."""
    return load_station(STATION_FILE)


def make_app(
    store: Store, clock: StoppedClock | None = None, control: ControlBoard | None = None, **given: Any
) -> FastAPI:
    """An app on a filled database, with the board of a controller in its process where one is given.

    Args:
        given: further settings.
    """
    settings = Settings(
        station_file=STATION_FILE,
        database_url=store.url,
        hosts=("station", "testserver"),
        acquirer_secret=SecretStr(ACQUIRER_SECRET),
        **given,
    )
    return create_app(store, station_config(), clock or StoppedClock(), settings=settings, control=control)


def filled_store(url: str) -> Store:
    """A database that holds what the station file says."""
    fill(url, station_config(), NOW)
    return Store(url)


def _sample(station_id: str, minute: int) -> dict[str, Any]:
    """The site's power in one of the last three hours' minutes."""
    charge_kw = 420 + 260 * ((minute * 7) % 23) / 23
    return {
        "station_id": station_id,
        "at": NOW - timedelta(minutes=180 - minute),
        "import_kw": None if 60 < minute < 64 else charge_kw + 30,
        "charge_kw": charge_kw,
        "limit_kw": 1900 if minute < 120 else 1500,
        "ready_packs": 4,
        "queue_length": minute % 4,
        "mean_s": 0,
    }


def take_lease(store: Store, config: StationConfig) -> None:
    """As if a controller said that it runs the station; also on a machine on which the test takes minutes."""
    later_at = datetime.now(UTC) + timedelta(minutes=10)
    with store.transaction() as db:
        db.merge(ControllerLease(station_id=config.station.id, holder="host:1", token=7, heartbeat_at=later_at))


def busy_day(store: Store) -> None:
    """A swap in the lane, a queue, packs in all states, swaps that have ended with bills, faults, power samples."""
    config = station_config()
    station_id = config.station.id
    take_lease(store, config)
    with store.transaction() as db:
        _packs(db, station_id)
        _ended(db, station_id, 1, "completed", "YQ-004", timedelta(minutes=21))
        _ended(db, station_id, 2, "completed", "YQ-011", timedelta(minutes=14))
        _ended(db, station_id, 3, "returned", "YQ-007", timedelta(minutes=6))
        _in_lane(db, station_id)
        _queued(db, station_id)
        for code, level, source in ((1101, 2, "lane:L1"), (3114, 2, "bay:A7")):
            db.add(
                FaultRow(
                    station_id=station_id,
                    code=code,
                    level=level,
                    source=source,
                    open_key=f"{station_id}|{source}|{code}",
                    raised_at=NOW - timedelta(minutes=3),
                )
            )
        db.execute(insert(SiteSample), [_sample(station_id, minute) for minute in range(180)])
        db.get_one(Station, station_id).version += 1


def _packs(db: Session, station_id: str) -> None:
    states = {
        "A1": ("ready", 95.0, 24.0, 0.0, 0.0, "target"),
        "A2": ("reserved", 94.6, 25.0, 0.0, 0.0, "pack_state"),
        "A3": ("charging", 61.2, 31.0, 232.0, 240.0, "charger"),
        "A4": ("charging", 83.9, 36.0, 171.0, 171.0, "bms"),
        "A5": ("waiting", 47.5, 29.0, 0.0, 0.0, "tariff"),
        "A6": ("cooling", 22.0, 52.0, 0.0, 0.0, "too_hot"),
        "A7": ("blocked", None, None, None, 0.0, "stale"),
    }
    bays = {bay.name: bay for bay in db.exec(select(Bay).where(Bay.station_id == station_id))}
    packs = {pack.bay_id: pack for pack in db.exec(select(Pack).where(col(Pack.bay_id).is_not(None)))}
    for name, (state, soc, temp, kw, setpoint, limit) in states.items():
        bay = bays[name]
        bay.charge_kw, bay.setpoint_kw, bay.limited_by = kw, setpoint, limit
        pack = packs[bay.id]
        pack.state, pack.soc_pct, pack.temp_max_c = state, soc, temp
        pack.energy_kwh = None if soc is None else soc / 100 * pack.rated_kwh
        pack.reading_at, bay.reading_fresh = NOW, soc is not None


def _ended(db: Session, station_id: str, number: int, state: str, vehicle_id: str, ago: timedelta) -> None:
    ended_at = NOW - ago
    swap = Swap(
        id=f"sw-{number:04d}",
        station_id=station_id,
        vehicle_id=vehicle_id,
        lane_id="L1",
        recipe="top_lift",
        state=state,
        phase="pending",
        entered_at=ended_at,
        arrived_at=ended_at - timedelta(minutes=9),
        dispatched_at=ended_at - timedelta(minutes=6, seconds=12),
        ended_at=ended_at,
    )
    db.add(swap)
    db.flush()
    db.add(
        SwapSeat(
            swap_id=swap.id,
            seat=1,
            old_pack_id="0SXPB280000YQ1G510000021",
            new_pack_id="0SXPB280000YQ1G510000033",
            old_bay_id=f"{station_id}:A8",
            new_bay_id=f"{station_id}:A3",
            last_settled_soe_kwh=267.9,
            returned_soe_kwh=88.63,
        )
    )
    told: tuple[AnyEvent, ...] = (
        SwapQueued(booking_id=None, seats=1, vehicle_id=vehicle_id),
        SwapDispatched(state="admitting", swap_order="out_in", packs=(), from_bays=("A3",), to_bays=("A8",)),
        SwapStepDone(state="admitting", next="checking", seq=1, took_s=44.0),
        SwapCompleted(seats=1, exchanged=(1,)) if state == "completed" else SwapReturned(seats=0, exchanged=()),
    )
    for event in told:
        append_event(db, event, station_id=station_id, at=ended_at, swap_id=swap.id)
    if state != "completed":
        return
    bill_id = f"bl-{number:04d}"
    db.add(
        Bill(
            id=bill_id, station_id=station_id, swap_id=swap.id, payer_id="fleet-a", issued_at=ended_at, total_fen=17_030
        )
    )
    db.flush()
    for line_no, line_kind, payee, price, fen, category, rate_bp, tax_fen in (
        (1, "energy", "battery-owner", 5500, 9_860, "electricity", 1300, 1_134),
        (2, "service", "station-operator", 4000, 7_170, "service", 600, 406),
    ):
        db.add(
            BillLine(
                bill_id=bill_id,
                line_no=line_no,
                kind=line_kind,
                seat=1,
                pack_id="0SXPB280000YQ1G510000021",
                payee_id=payee,
                buyer_id="fleet-a",
                tax_category=category,
                tax_rate_bp=rate_bp,
                tax_fen=tax_fen,
                energy_centi_kwh=17_927,
                unit_price_1e4_yuan=price,
                amount_fen=fen,
            )
        )


def _in_lane(db: Session, station_id: str) -> None:
    db.add(
        Swap(
            id="sw-0004",
            station_id=station_id,
            vehicle_id="YQ-002",
            open_vehicle_id="YQ-002",
            open_lane_id=f"{station_id}:L1",
            lane_id="L1",
            recipe="top_lift",
            state="storing_old",
            phase="sent",
            entered_at=NOW - timedelta(seconds=21),
            arrived_at=NOW - timedelta(minutes=7),
            dispatched_at=NOW - timedelta(minutes=3),
            checks={"authorised": {"result": "pass", "tries": 1}, "position": {"result": "pass", "tries": 2}},
        )
    )
    db.flush()
    db.add(SwapSeat(swap_id="sw-0004", seat=1, old_bay_id=f"{station_id}:A8", new_bay_id=f"{station_id}:A2"))
    queued = SwapQueued(booking_id=None, seats=1, vehicle_id="YQ-002")
    append_event(db, queued, station_id=station_id, at=NOW, swap_id="sw-0004")


def _queued(db: Session, station_id: str) -> None:
    for number, (vehicle_id, minutes) in enumerate((("YQ-013", 5), ("YQ-020", 2), ("YQ-009", 1))):
        db.add(
            Swap(
                id=f"sw-001{number}",
                station_id=station_id,
                vehicle_id=vehicle_id,
                open_vehicle_id=vehicle_id,
                entered_at=NOW - timedelta(minutes=minutes),
                arrived_at=NOW - timedelta(minutes=minutes),
            )
        )
