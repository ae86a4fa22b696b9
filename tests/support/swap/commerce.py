"""A small station for tests of the swap room: file content, filled database, a swap played through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import Session, col, select

from swap.config.loading import parse_station
from swap.config.seed import bay_key
from swap.config.station_file import StationConfig
from swap.events import append_event
from swap.gate import check_in
from swap.messages.events import SwapCompleted
from swap.messages.packs import PackMoved
from swap.places import bay_place, gripper_place, place_of, vehicle_place
from swap.station.admission import CheckIn
from swap.store import Store
from swap.tables import Bay, Pack, Swap, SwapSeat
from tests.support.swap.databases import fill

AT = datetime(2026, 11, 1, 8, tzinfo=UTC)
STATION = "S"


def code(number: int) -> str:
    """Code of the pack with a number."""
    return f"0SXPB280000YQ1G51{number:07d}"


def station_data(*, bays: int = 4, trucks: int = 3, seats: int = 1, packs: int = 2, lanes: int = 1) -> dict[str, Any]:
    """Content of a station file: `packs` full ones in the rack, every truck with its own."""
    rack: list[dict[str, Any]] = [{"id": code(n), "bay": f"A{n}"} for n in range(1, packs + 1)]
    on_trucks: list[dict[str, Any]] = [{"id": code(n), "soc_pct": 93} for n in range(101, 101 + trucks * seats)]
    return {
        "station": {"id": STATION, "name_zh": "站", "name_en": "Station", "operator": "op"},
        "site": {"transformer_kva": 2000},
        "tariff": {"profile": "flat"},
        "pack_kinds": [{"id": "lfp", "rated_kwh": 282, "max_charge_kw": 282}],
        "vehicle_models": [{"id": "truck", "pack_kinds": ["lfp"], "packs_per_vehicle": seats}],
        "rack_devices": [{"id": "rack", "port": 15030}],
        "lanes": [
            {"id": f"L{n}", "cell": {"address": {"host": "127.0.0.1", "port": 15020 + n}}} for n in range(1, lanes + 1)
        ],
        "bays": [
            {
                "id": f"A{n}",
                "position": n,
                "charger_kw": 240,
                "point": {"device": "rack", "base_address": 100 * n},
            }
            for n in range(1, bays + 1)
        ],
        "parties": [
            {"id": "op", "kind": "station_operator", "name_zh": "运营方", "name_en": "Operator"},
            {"id": "own", "kind": "battery_owner", "name_zh": "资产方", "name_en": "Owner"},
            {"id": "fleet", "kind": "fleet", "name_zh": "车队", "name_en": "Fleet"},
        ],
        "packs": [{"kind": "lfp", "owner": "own", **pack} for pack in (*rack, *on_trucks)],
        "vehicles": [
            {
                "id": f"V{n}",
                "tag": 100 + n,
                "model": "truck",
                "fleet": "fleet",
                "packs": [code(101 + n * seats + seat) for seat in range(seats)],
            }
            for n in range(trucks)
        ],
    }


def station(billing: Mapping[str, Any] | None = None, **sizes: int) -> StationConfig:
    """The checked station of `station_data`; electricity costs 0.55 yuan/kWh at all hours."""
    return parse_station(deepcopy(station_data(**sizes)) | {"billing": dict(billing or {})})


@contextmanager
def filled_store(url: str, config: StationConfig) -> Iterator[Store]:
    """A database with the station in it."""
    fill(url, config, AT)
    store = Store(url)
    try:
        yield store
    finally:
        store.close()


def charge_packs(store: Store, soc_pct: float = 95.0, *, station_id: str = STATION, only: int | None = None) -> None:
    """The packs of the rack are heard: `only` so many are charged to this, the others are spent."""
    with store.station(station_id) as db:
        bays = {bay.id: bay for bay in db.bays()}
        packs = sorted(db.packs_in_bays().items(), key=lambda item: bays[item[0]].position)
        for number, (bay_id, pack) in enumerate(packs):
            charged = only is None or number < only
            pack.soc_pct = soc_pct if charged else 20.0
            pack.energy_kwh = pack.rated_kwh * pack.soh_pct * pack.soc_pct / 10_000
            pack.state = "ready" if charged else "waiting"
            pack.temp_max_c, pack.reading_at = 25.0, AT
            bays[bay_id].reading_fresh = True


def arrive(store: Store, config: StationConfig, vehicle_id: str, at: datetime = AT, **more: Any) -> CheckIn:
    """Check a truck in."""
    with store.station(config.station.id) as db:
        return check_in(db, config, vehicle_id=vehicle_id, at=at, **more)


def move(
    db: Session, pack: Pack, place: str, at: datetime, swap_id: str, station_id: str = STATION, **columns: Any
) -> None:
    """Move a pack as the controller does: row and event together."""
    came_from = place_of(pack)
    for name in ("bay_id", "vehicle_id", "seat", "gripper_lane_id", "tank_station_id"):
        setattr(pack, name, columns.get(name))
    pack.off_site = False
    db.flush()
    append_event(
        db,
        PackMoved(source=came_from, target=place),
        station_id=station_id,
        at=at,
        swap_id=swap_id,
        pack_id=pack.id,
    )


def exchange(
    store: Store,
    swap_id: str,
    at: datetime = AT + timedelta(minutes=6),
    *,
    returned_soe_kwh: float | None = 78.95,
    settled_soe_kwh: float | None = -1.0,
    installed_soe_kwh: float = 267.9,
    only_seats: int | None = None,
    station_id: str = STATION,
) -> None:
    """Play a queued swap through in the database: packs moved, energies kept, completed.

    The energies are those of every seat; `settled_soe_kwh` replaces the one on record when given.
    """
    lane = bay_key(station_id, "L1")
    with store.transaction() as db:
        swap = db.get_one(Swap, swap_id)
        swap.lane_id, swap.open_lane_id, swap.dispatched_at, swap.recipe = "L1", lane, at, "top_lift"
        seats = db.exec(select(SwapSeat).where(SwapSeat.swap_id == swap_id).order_by(col(SwapSeat.seat))).all()
        own_bays = select(Bay.id).where(Bay.station_id == station_id).order_by(col(Bay.position).desc())
        empty_bay = db.exec(own_bays).all()[0]
        for seat in seats[:only_seats]:
            on_rack = select(Pack).where(col(Pack.bay_id).startswith(f"{station_id}:"))
            new = db.exec(on_rack.order_by(col(Pack.state_since_at), col(Pack.id))).first()
            assert new is not None
            assert new.bay_id is not None
            assert seat.old_pack_id is not None
            if settled_soe_kwh != -1.0:
                seat.last_settled_soe_kwh = settled_soe_kwh
            old = db.get_one(Pack, seat.old_pack_id)
            seat.new_pack_id, seat.new_bay_id, seat.old_bay_id = new.id, new.bay_id, empty_bay
            seat.returned_soe_kwh, seat.installed_soe_kwh = returned_soe_kwh, installed_soe_kwh
            bay_of_new = new.bay_id
            for pack, place, columns in (
                (old, gripper_place(lane), {"gripper_lane_id": lane}),
                (old, bay_place(seat.old_bay_id), {"bay_id": seat.old_bay_id}),
                (new, gripper_place(lane), {"gripper_lane_id": lane}),
                (new, vehicle_place(swap.vehicle_id, seat.seat), {"vehicle_id": swap.vehicle_id, "seat": seat.seat}),
                (old, bay_place(bay_of_new), {"bay_id": bay_of_new}),
            ):
                move(db, pack, place, at, swap_id, station_id, **columns)
            seat.old_bay_id = bay_of_new
            old.state, new.state, old.state_since_at = "ready", "on_vehicle", at
            old.settled_soe_kwh, new.settled_soe_kwh = None, installed_soe_kwh
            seat.exchanged = True
        finish(db, swap, at, "completed")
        append_event(
            db,
            SwapCompleted(seats=len(seats[:only_seats])),
            station_id=station_id,
            at=at,
            swap_id=swap_id,
            lane_id="L1",
        )


def finish(db: Session, swap: Swap, at: datetime, state: str) -> None:
    """Put a swap into a terminal state."""
    swap.state, swap.ended_at, swap.open_vehicle_id, swap.open_lane_id = state, at, None, None
    db.flush()


def other_station(station_id: str = "T", **sizes: int) -> StationConfig:
    """A second station whose bays and lanes have the names of the first; trucks and packs of its own."""
    data = station_data(**sizes)
    data["station"]["id"] = station_id
    for pack in data["packs"]:
        pack["id"] = pack["id"].replace("51", "52", 1)
    for truck in data["vehicles"]:
        truck["id"] = truck["id"].replace("V", "W")
        truck["tag"] += 1000
        truck["packs"] = [pack.replace("51", "52", 1) for pack in truck["packs"]]
    return parse_station(data)
