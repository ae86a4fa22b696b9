"""The simulated fleet: what it tells the station, and what it does in the yard."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from sim.live.fleet import PATIENCE_S, SimulatedFleet
from sim.plant.plant import Plant
from sim.plant.yard import TruckPlace
from sim.scenario.demand import Arrival
from swap.identity.demo import simulated_fleet_key
from swap.places import bay_place
from swap.store import Store
from swap.tables import Station
from tests.support.api.doors import NOW, StoppedClock, filled_store, make_app
from tests.support.api.people import administrator
from tests.support.sim.plant import START_AT, Hand, code, plant


class Hands:
    """Station time, moved by hand together with the plant."""

    def __init__(self, world: Plant) -> None:
        self.world = world
        self.s = 0.0

    def now(self) -> datetime:
        return START_AT + timedelta(seconds=self.s)

    async def sleep(self, station_s: float) -> None:
        self.s += station_s
        self.world.advance(station_s)


class Desk:
    """The station's interface, as far as the fleet uses it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str, Any]] = []
        self.swaps: dict[str, dict[str, Any]] = {}
        self.refuse: Callable[[str], int] = lambda path: 0
        self.silent = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.silent:
            raise httpx.ConnectError("nobody there")
        body: Any = json.loads(request.content) if request.content else None
        key = request.headers.get("Idempotency-Key", "")
        path = request.url.path
        if request.method == "POST":
            self.requests.append((request.method, path, key, body))
        if status := self.refuse(path):
            return httpx.Response(status, json={"detail": "refused", "related": {}})
        if path == "/api/v1/bookings":
            return httpx.Response(201, json={"booking_id": f"bk-{body['vehicle_id']}"})
        if request.method == "POST":
            swap = next((s for s in self.swaps.values() if s["key"] == key), None)
            if swap is None:
                number = f"sw-{len(self.swaps) + 1}"
                swap = {"swap_id": number, "vehicle_id": body["vehicle_id"], "state": "queued", "key": key}
                self.swaps[number] = swap
            return httpx.Response(202, json=swap)
        if path == "/api/v1/swaps":
            queued = [s for s in self.swaps.values() if s["state"] == request.url.params["state"]]
            return httpx.Response(200, json={"items": queued})
        return httpx.Response(200, json=self.swaps[path.rsplit("/", 1)[1]])

    def posted(self, path: str) -> list[tuple[str, Any]]:
        return [(key, body) for _, at, key, body in self.requests if at == path]


def client_of(desk: Desk) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(desk), base_url="http://station")


def arrival(at_s: float, vehicle: str | None = None, **more: Any) -> Arrival:
    return Arrival(at_s, "fleet", "tractor", vehicle, (25.0,), **more)


async def until(fleet: SimulatedFleet, hands: Hands, end_s: float) -> None:
    while hands.s < end_s:
        await hands.sleep(min(await fleet.step(), end_s - hands.s))
    await fleet.step()


async def test_a_truck_comes_with_its_charge_and_checks_in_once() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    async with client_of(desk) as client:
        fleet = SimulatedFleet(world, world.config, [arrival(100, "V2")], client, hands, first_within_s=None)
        await until(fleet, hands, 99)
        assert world.yard.truck("V2").place is TruckPlace.AWAY
        await until(fleet, hands, 300)
    assert world.yard.truck("V2").place is TruckPlace.YARD
    assert world.rack.now(world.rack.pack(code(12)), world.now_us).soc_pct == pytest.approx(25)
    assert desk.posted("/api/v1/swaps") == [
        ("sim-20260105T000000-1", {"vehicle_id": "V2", "station_id": "test"}),
    ]


async def test_the_first_truck_of_a_run_comes_soon() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    async with client_of(desk) as client:
        await until(SimulatedFleet(world, world.config, [arrival(4000)], client, hands), hands, 31)
    assert [t.vehicle_id for t in world.yard.at(TruckPlace.YARD)] == ["V1"]


async def test_a_booked_truck_books_ahead_and_comes_with_its_booking() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    booked = arrival(5400, "V3", booked=True, booked_from_s=5000, booked_until_s=6800)
    async with client_of(desk) as client:
        fleet = SimulatedFleet(world, world.config, [booked], client, hands, first_within_s=None)
        await until(fleet, hands, 1500)
        (_, body) = desk.posted("/api/v1/bookings")[0]
        assert body["window_start_at"] == (START_AT + timedelta(seconds=5000)).isoformat()
        assert body["window_end_at"] == (START_AT + timedelta(seconds=6800)).isoformat()
        await until(fleet, hands, 5500)
    assert desk.posted("/api/v1/swaps")[0][1]["booking_id"] == "bk-V3"


async def test_one_that_books_and_stays_away_is_never_seen() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    absent = arrival(5400, "V3", booked=True, comes=False, booked_from_s=5000, booked_until_s=6800)
    async with client_of(desk) as client:
        await until(SimulatedFleet(world, world.config, [absent], client, hands, first_within_s=None), hands, 7000)
    assert len(desk.posted("/api/v1/bookings")) == 1
    assert desk.posted("/api/v1/swaps") == []


async def test_without_a_booking_slot_it_comes_all_the_same() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    desk.refuse = lambda path: 409 if path.endswith("bookings") else 0
    booked = arrival(600, "V3", booked=True, booked_from_s=500, booked_until_s=2300)
    async with client_of(desk) as client:
        await until(SimulatedFleet(world, world.config, [booked], client, hands, first_within_s=None), hands, 700)
    assert "booking_id" not in desk.posted("/api/v1/swaps")[0][1]


async def test_after_a_restart_a_waiting_truck_uses_the_key_of_its_visit_again() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    async with client_of(desk) as client:
        await until(SimulatedFleet(world, world.config, [arrival(10, "V1")], client, hands), hands, 60)
        again = Plant.restore(world.config, json.loads(json.dumps(world.snapshot())))
        later = Hands(again)
        later.s = 500
        await until(SimulatedFleet(again, again.config, [], client, later), later, 600)
    keys = [key for key, _ in desk.posted("/api/v1/swaps")]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(desk.swaps) == 1


async def test_a_station_that_does_not_answer_is_asked_again_with_the_same_key() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    async with client_of(desk) as client:
        fleet = SimulatedFleet(world, world.config, [arrival(10, "V1")], client, hands)
        desk.silent = True
        await until(fleet, hands, 100)
        desk.silent = False
        desk.refuse = lambda path: 503
        await until(fleet, hands, 200)
        desk.refuse = lambda path: 0
        await until(fleet, hands, 300)
    assert len({key for key, _ in desk.posted("/api/v1/swaps")}) == 1
    assert len(desk.swaps) == 1


async def test_a_truck_that_is_not_admitted_gives_up_in_the_end() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    desk.refuse = lambda path: 409
    async with client_of(desk) as client:
        await until(SimulatedFleet(world, world.config, [arrival(10, "V1")], client, hands), hands, PATIENCE_S + 200)
    assert world.yard.truck("V1").place is TruckPlace.AWAY


async def test_a_cancelled_swap_sends_its_truck_away() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    async with client_of(desk) as client:
        fleet = SimulatedFleet(world, world.config, [arrival(10, "V1")], client, hands)
        await until(fleet, hands, 60)
        desk.swaps["sw-1"]["state"] = "cancelled"
        await until(fleet, hands, 100)
    assert world.yard.truck("V1").place is TruckPlace.AWAY


async def test_a_truck_somebody_else_has_checked_in_drives_in() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    desk.swaps["sw-x"] = {"swap_id": "sw-x", "vehicle_id": "V4", "state": "queued", "key": "by-hand"}
    async with client_of(desk) as client:
        await until(SimulatedFleet(world, world.config, [], client, hands), hands, 30)
        assert world.yard.truck("V4").place is TruckPlace.YARD
        again = Hands(world)
        await until(SimulatedFleet(world, world.config, [], client, again), again, 30)
    assert desk.posted("/api/v1/swaps") == []


async def test_a_truck_that_is_not_away_is_replaced_by_another_of_its_fleet() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    many = [arrival(10.0 * n, "V1") for n in range(1, 7)]
    async with client_of(desk) as client:
        await until(SimulatedFleet(world, world.config, many, client, hands), hands, 200)
    assert len(world.yard.at(TruckPlace.YARD)) == 4, "the two that came when nobody was away are left out"


async def test_a_truck_without_a_pack_does_not_come() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    world.rack.move(code(11), bay_place("A4"), world.now_us)
    async with client_of(desk) as client:
        await until(SimulatedFleet(world, world.config, [arrival(10, "V1")], client, hands), hands, 60)
    assert world.yard.truck("V1").place is TruckPlace.AWAY
    assert len(world.yard.at(TruckPlace.YARD)) == 1


async def test_a_served_truck_may_come_again() -> None:
    world, desk = plant(), Desk()
    hands = Hands(world)
    async with client_of(desk) as client:
        fleet = SimulatedFleet(world, world.config, [arrival(10, "V1"), arrival(2000, "V1")], client, hands)
        await until(fleet, hands, 60)
        hand = Hand(world)
        hand.run_admitted("V1")
        hand.swap(old_bay=4, new_bay=1)
        desk.swaps["sw-1"]["state"] = "completed"
        await until(fleet, hands, 2100)
    assert [body["vehicle_id"] for _, body in desk.posted("/api/v1/swaps")] == ["V1", "V1"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = filled_store(f"sqlite:///{tmp_path / 'swap.db'}")
    yield made
    made.close()


async def test_the_real_interface_takes_what_the_fleet_sends(store: Store) -> None:
    clock = StoppedClock(NOW)
    app = make_app(store, clock)
    with store.transaction() as db:
        station = db.get_one(Station, "yangquan-mine")
        station.mode = "automatic"
    config = app.state.doors.config
    world = Plant(config, seed=1, start_at=NOW)

    class Steps(Hands):
        def now(self) -> datetime:
            return clock.at

        async def sleep(self, station_s: float) -> None:
            clock.at += timedelta(seconds=station_s)
            await super().sleep(station_s)

    hands = Steps(world)
    who = [
        Arrival(10, "fleet-a", "tractor-6x4", "YQ-001", (20.0,)),
        Arrival(4500, "fleet-b", "tractor-6x4", "YQ-040", (30.0,), True, booked_from_s=4200, booked_until_s=6000),
    ]
    transport = httpx.ASGITransport(app=app)
    key = simulated_fleet_key(store, config.station.operator, datetime.now(UTC))
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://station", headers=headers) as client:
        await until(SimulatedFleet(world, config, who, client, hands), hands, 4600)
        swaps = {s["vehicle_id"]: s for s in (await client.get("/api/v1/swaps")).json()["items"]}
        bookings = (await client.get("/api/v1/bookings", headers=administrator(store))).json()["items"]
    assert set(swaps) == {"YQ-001", "YQ-040"}
    assert [b["vehicle_id"] for b in bookings] == ["YQ-040"]
    assert swaps["YQ-040"]["booking_id"] == bookings[0]["booking_id"]
