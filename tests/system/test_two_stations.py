"""Two stations in one database, each with its controller and its doors: every way in and out is walked at both.

Bays, lanes and places have the same names at both. What one does changes no row of the other, and what one shows
names nothing of the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from api.app import create_app
from api.settings import Settings
from swap.audit import audit
from swap.commerce.bills.issuing import correct_bill
from swap.config.loading import parse_station
from swap.config.station_file import StationConfig
from swap.events import newest_heads
from swap.messages.events import SwapCompleted, SwapHeld
from swap.messages.requests import REQUESTS
from swap.places import OFF_SITE
from swap.reading.lists import list_bills
from swap.reading.recording import recording
from swap.station.faults import raise_fault
from swap.station_db import STATION_TABLES
from swap.store import Store
from swap.tables import FaultRow, Pack
from tests.support.api.people import PersonAuth
from tests.support.sim.plant import DIRECT_PROGRAMME, code, station_data
from tests.support.swap.station import START_AT, Bench

PERSON = "Li Ming"


def config(station_id: str, number: int) -> StationConfig:
    """A station of its own trucks and packs; the rest is named as at every other."""
    data: dict[str, Any] = station_data()
    data["station"]["id"] = station_id
    data["programmes"] = [DIRECT_PROGRAMME]
    for pack in data["packs"]:
        pack["id"] = pack["id"].replace("G51", f"G{number}1")
    for truck in data["vehicles"]:
        truck["id"] = f"{station_id.upper()}-{truck['id']}"
        truck["tag"] += 1000 * number
        truck["packs"] = [pack.replace("G51", f"G{number}1") for pack in truck["packs"]]
    return parse_station(data)


@dataclass
class Place:
    """One station: its controller on a plant, and its doors."""

    bench: Bench
    http: httpx.AsyncClient
    number: int

    @property
    def id(self) -> str:
        return self.bench.config.station.id

    def truck(self, number: int) -> str:
        return f"{self.id.upper()}-V{number}"

    def pack(self, number: int) -> str:
        return code(number).replace("G51", f"G{self.number}1")

    async def ask(self, kind: str, **arguments: Any) -> str:
        """A request over HTTP, answered by the controller; its status."""
        body = {"kind": kind, "arguments": arguments, "name": PERSON}
        answer = await self.http.post("/api/v1/requests", json=body)
        assert answer.status_code == 202, answer.text
        await self.bench.controller.answers.cycle()
        await self.bench.controller.answers.calls_cycle()
        told = await self.http.get(f"/api/v1/requests/{answer.json()['request_id']}")
        assert told.json()["requested_by"] == PERSON
        status: str = told.json()["status"]
        return status

    async def get(self, path: str) -> str:
        answer = await self.http.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer.text

    def rows(self) -> dict[str, list[str]]:
        """Every row that is this station's alone."""
        found: dict[str, list[str]] = {}
        with self.bench.store.reading_station(self.id) as db:
            for table in STATION_TABLES:
                rows = db.exec(select(table)).all()
                own = [str(row) for row in rows if not isinstance(row, Pack) or row.vehicle_id is None]
                found[str(table.__tablename__)] = sorted(own)
        return found

    def names(self) -> set[str]:
        """Ids that only this station may show."""
        with self.bench.store.reading_station(self.id) as db:
            ids = {swap.id for swap in db.open_swaps()} | {pack.id for pack in db.packs_here()}
            swaps = {event.swap_id for event in db.events() if event.swap_id}
            bills = {bill.bill_id for bill in list_bills(db).items}
            return {self.id, *ids, *swaps, *bills, self.truck(1), self.truck(2)}


@asynccontextmanager
async def place(folder: Path, url: str, station_id: str, number: int) -> AsyncIterator[Place]:
    bench = Bench(folder / station_id, config(station_id, number), url=url, speed=20.0)
    settings = Settings(database_url=url, station_file=folder / "station.toml")
    app = create_app(bench.store, bench.config, bench.clock, settings=settings)
    transport = httpx.ASGITransport(app)
    auth = PersonAuth(url, PERSON, bench.config.station.operator)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", auth=auth) as http:
        await bench.start()
        await bench.run(5)
        yield Place(bench, http, number)
    bench.close()


LISTS = (
    "stations", "swaps", "swaps?state=ended", "bookings", "events?limit=500", "packs", "faults", "bills",
    "stations/{id}", "stations/{id}/state", "stations/{id}/power",
)  # fmt: skip


async def shown(place: Place) -> str:
    """Everything that the doors of a station show."""
    texts = [await place.get(f"/api/v1/{path.format(id=place.id)}") for path in LISTS]
    return "\n".join([*texts, await place.get("/console")])


async def live_through(place: Place) -> None:
    """A day of one station: swaps, bookings, bills, faults, and a request of every kind."""
    bench, http = place.bench, place.http
    at = bench.clock.now()

    async def book(truck: str, minutes: int) -> str:
        body = {
            "vehicle_id": truck,
            "window_start_at": (at + timedelta(minutes=minutes)).isoformat(),
            "window_end_at": (at + timedelta(minutes=minutes + 30)).isoformat(),
        }
        key = {"Idempotency-Key": f"{place.id}-{minutes}"}
        answer = await http.post("/api/v1/bookings", json=body, headers=key)
        assert answer.status_code == 201, answer.text
        booking: str = answer.json()["booking_id"]
        return booking

    await book(place.truck(1), 0)
    cancelled = await book(place.truck(4), 60)
    assert (await http.delete(f"/api/v1/bookings/{cancelled}")).status_code == 200
    bench.plant.arrive(place.truck(1), [30.0])
    answer = await http.post("/api/v1/swaps", json={"vehicle_id": place.truck(1)})
    assert answer.status_code == 202, answer.text
    await bench.run_until(SwapCompleted.kind, step_s=None)
    await bench.run(10)
    with bench.store.station(place.id) as db:
        bill = list_bills(db).items[0]
        correct_bill(db, bill.bill_id, {1: Decimal("1.00")}, at=bench.clock.now(), name=PERSON, reason="read again")
    done = set()
    with bench.store.station(place.id) as db:
        raise_fault(db, station_id=place.id, name="bms_silent", source="bay:A2", at=bench.clock.now())
        fault_id = max(db.exec(select(FaultRow.id)).all(), key=lambda number: number or 0)
    acknowledged = await http.post(f"/api/v1/faults/{fault_id}/acknowledge", json={"name": PERSON})
    assert acknowledged.json()["acknowledged_by"] == PERSON
    done.add(("release_bay", await place.ask("release_bay", bay_id="A2")))
    done.add(("release_pack", await place.ask("release_pack", pack_id=place.pack(1))))
    carried = place.pack(2)
    bench.plant.rack.move(carried, OFF_SITE, bench.plant.now_us)
    await bench.run(5)
    done.add(("take_out_pack", await place.ask("take_out_pack", pack_id=carried)))
    bench.plant.rack.move(carried, "bay:A2", bench.plant.now_us)
    await bench.run(5)
    done.add(("bring_in_pack", await place.ask("bring_in_pack", pack_id=carried, bay_id="A2")))
    for kind in ("close", "automatic", "hold", "resume", "manual", "confirm", "confirm"):
        done.add((kind, await place.ask(kind)))
        await bench.run(2)
    done.add(("permit_restart", await place.ask("permit_restart", within_min=5)))
    begin = bench.clock.now().replace(second=0, microsecond=0) + timedelta(hours=1)
    span = {"from_at": begin.isoformat(), "until_at": (begin + timedelta(minutes=30)).isoformat()}
    done.add(("demand_response", await place.ask("demand_response", programme="direct", limit_kw=300.0, **span)))
    done.add(("reset", await place.ask("reset", lane_id="L1")))
    waiting = bench.arrive(place.truck(2))
    done.add(("cancel_swap", await place.ask("cancel_swap", swap_id=waiting)))
    bench.plant.leave_yard(place.truck(2))
    await bench.run(5)
    swap_id = bench.arrive(place.truck(3))
    bench.plant.inject("gripper_jam", "L1")
    await bench.run(30)
    await place.ask("hold")
    await bench.run_until(SwapHeld.kind, step_s=None)
    done.add(("decide", await place.ask("decide", swap_id=swap_id, decision="unwind")))
    assert {kind for kind, _ in done} == set(REQUESTS), "a kind of request was not asked"
    assert {status for _, status in done} == {"done", "refused"}
    await bench.run(60)


@pytest.mark.timeout(600)
async def test_nothing_of_one_is_seen_or_changed_by_the_other(database_url: str, tmp_path: Path) -> None:
    store = Store(database_url)
    async with place(tmp_path, database_url, "north", 5) as north, place(tmp_path, database_url, "south", 6) as south:
        for acting, other in ((north, south), (south, north)):
            with other.bench.store.station(other.id) as db:  # the other's bay of the same name has a fault as well
                raise_fault(db, station_id=other.id, name="bms_alarm", source="bay:A2", at=other.bench.clock.now())
                raise_fault(
                    db, station_id=other.id, name="command_timeout", source="lane:L1", at=other.bench.clock.now()
                )
            before = other.rows()
            await live_through(acting)
            assert other.rows() == before
            told = await shown(acting)
            assert {name for name in acting.names() if name in told} >= {acting.id, acting.truck(1)}
            assert [name for name in other.names() if name in told] == []
        for one, other in ((north, south), (south, north)):
            await refused(one, other)
        with store.reading() as whole:
            report = audit(whole, heads=newest_heads(whole, START_AT))
            assert {i.name: i.violations for i in report.invariants if i.violations} == {}
        for one in (north, south):
            with store.reading_station(one.id) as db:
                seqs = [event.seq for event in db.events()]
                recorded = recording(db, one.id, START_AT, one.bench.clock.now(), ["L1"])
            assert seqs == list(range(1, len(seqs) + 1))
            assert {swap.vehicle_id[: len(one.id)].lower() for swap in recorded.swaps} == {one.id}
            assert {pack.pack_id[14:17] for pack in recorded.rack} == {f"G{one.number}1"}
    store.close()


async def refused(one: Place, other: Place) -> None:
    """By its id, nothing of the other is given out or changed."""
    with one.bench.store.reading_station(other.id) as db:
        swap = next(event.swap_id for event in db.events() if event.swap_id)
        bill = list_bills(db).items[0].bill_id
        pack = db.packs_here()[0].id
        fault = db.exec(select(FaultRow.id)).first()
        booking = next(e.data["booking_id"] for e in db.events() if e.kind == "booking.made")
    before = other.rows()
    for path in (f"swaps/{swap}", f"bills/{bill}", f"packs/{pack}", f"bookings/{booking}", f"stations/{other.id}"):
        assert (await one.http.get(f"/api/v1/{path}")).status_code == 404, path
    assert (await one.http.delete(f"/api/v1/bookings/{booking}")).status_code == 404
    answer = await one.http.post(f"/api/v1/faults/{fault}/acknowledge", json={"name": PERSON})
    assert answer.status_code == 404
    for kind, arguments in (
        ("release_pack", {"pack_id": pack}),
        ("take_out_pack", {"pack_id": pack}),
        ("cancel_swap", {"swap_id": swap}),
        ("decide", {"swap_id": swap, "decision": "cancel"}),
    ):
        assert await one.ask(kind, **arguments) == "refused"
    # A truck that is promised at one station is not promised at the other; it may be known to both.
    at = one.bench.clock.now() + timedelta(hours=3)
    body = {"window_start_at": at.isoformat(), "window_end_at": (at + timedelta(minutes=30)).isoformat()}
    first = await other.http.post("/api/v1/bookings", json={"vehicle_id": other.truck(2), **body})
    assert first.status_code == 201, first.text
    before = other.rows()
    second = await one.http.post("/api/v1/bookings", json={"vehicle_id": other.truck(2), **body})
    assert second.status_code == 409, second.text
    assert first.json()["booking_id"] not in second.text
    assert other.rows() == before
