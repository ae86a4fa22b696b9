"""Bookings and check-in over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.edge import keys
from api.routes import bookings as routes
from swap.commerce.bookings import store as bookings
from swap.commerce.bookings.rules import promise
from swap.identity.answers import keep
from swap.store import Store
from tests.support.api.doors import NOW, StoppedClock


def booking(vehicle_id: str = "YQ-001", after_min: int = 60, length_min: int = 60) -> dict[str, Any]:
    start = NOW + timedelta(minutes=after_min)
    return {
        "vehicle_id": vehicle_id,
        "station_id": "yangquan-mine",
        "window_start_at": start.isoformat(),
        "window_end_at": (start + timedelta(minutes=length_min)).isoformat(),
    }


async def test_book_read_cancel(client: httpx.AsyncClient) -> None:
    made = await client.post("/api/v1/bookings", json=booking())
    assert made.status_code == 201, made.text
    booking_id = made.json()["booking_id"]
    assert made.json()["status"] == "booked"

    assert (await client.get(f"/api/v1/bookings/{booking_id}")).json() == made.json()
    listed = (await client.get("/api/v1/bookings", params={"vehicle_id": "YQ-001"})).json()
    assert [item["booking_id"] for item in listed["items"]] == [booking_id]

    for _ in range(2):
        cancelled = await client.delete(f"/api/v1/bookings/{booking_id}")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")


async def test_the_same_key_books_once(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "order-17"}
    first = await client.post("/api/v1/bookings", json=booking(), headers=key)
    second = await client.post("/api/v1/bookings", json=booking(), headers=key)
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()


async def test_the_plan_of_all_promises_is_made_without_the_stations_lock(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Store = app.state.doors.store
    locked = list[bool]()

    def planned(*asked: Any) -> Any:
        locked.append(store._line("yangquan-mine")._taken)
        return promise(*asked)

    monkeypatch.setattr(bookings, "promise", planned)
    made = await client.post("/api/v1/bookings", json=booking())
    assert made.status_code == 201
    assert locked == [False]


async def test_who_changes_or_cancels_waits_for_who_finds_out_what_may_be_booked(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else most of what is found out among others would be old before it is used."""
    store: Store = app.state.doors.store
    alone = dict[str, bool]()

    def watched(name: str) -> None:
        work = getattr(routes, name)

        def noting(*given: Any, **more: Any) -> Any:
            alone[name] = store._turns["yangquan-mine:asking"]._taken
            return work(*given, **more)

        monkeypatch.setattr(routes, name, noting)

    for name in ("ask_booking", "change_booking", "cancel_booking"):
        watched(name)
    made = await client.post("/api/v1/bookings", json=booking())
    one = f"/api/v1/bookings/{made.json()['booking_id']}"
    later = booking(after_min=120)
    changed = await client.patch(one, json={name: later[name] for name in ("window_start_at", "window_end_at")})
    assert (changed.status_code, (await client.delete(one)).status_code) == (200, 200)
    assert alone == {"ask_booking": True, "change_booking": True, "cancel_booking": True}


async def test_of_a_request_with_a_key_nobody_asks_between_its_booking_and_the_commit(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = app.state.doors.store._turns["yangquan-mine:asking"]
    alone = list[bool]()

    def noting(*given: Any) -> None:
        alone.append(line._taken)
        keep(*given)

    monkeypatch.setattr(keys, "keep", noting)
    made = await client.post("/api/v1/bookings", json=booking(), headers={"Idempotency-Key": "order-18"})
    assert (made.status_code, alone, line._taken) == (201, [True], False)


async def test_a_second_booking_of_a_truck_at_the_same_time_is_a_conflict(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/v1/bookings", json=booking())).status_code == 201
    again = await client.post("/api/v1/bookings", json=booking(after_min=90))
    assert again.status_code == 409
    assert again.headers["content-type"] == "application/problem+json"


async def test_a_window_in_the_past_names_the_field(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/bookings", json=booking(after_min=-300))
    assert answer.status_code == 422
    (named,) = answer.json()["problems"]
    assert named["field"] == "window_start_at"
    assert "or later" in named["allowed"]


async def test_check_in_opens_one_swap(client: httpx.AsyncClient) -> None:
    first = await client.post("/api/v1/swaps", json={"vehicle_id": "YQ-001"}, headers={"Idempotency-Key": "g1"})
    assert first.status_code == 202, first.text
    swap_id = first.json()["swap_id"]
    assert first.headers["location"] == f"/api/v1/swaps/{swap_id}"

    again = await client.post("/api/v1/swaps", json={"vehicle_id": "YQ-001"}, headers={"Idempotency-Key": "g1"})
    assert (again.status_code, again.json()["swap_id"]) == (202, swap_id)

    other = await client.post("/api/v1/swaps", json={"vehicle_id": "YQ-001"}, headers={"Idempotency-Key": "g2"})
    assert other.status_code == 409
    assert other.json()["related"]["swap_id"] == swap_id

    detail = (await client.get(f"/api/v1/swaps/{swap_id}")).json()
    assert detail["state"] == "queued"
    assert [event["kind"] for event in detail["timeline"]] == ["swap.queued"]


async def test_check_in_uses_the_booking_whose_window_is_now(
    client: httpx.AsyncClient, clock: StoppedClock, store: Store
) -> None:
    made = (await client.post("/api/v1/bookings", json=booking())).json()
    clock.at = NOW + timedelta(minutes=65)
    swap = (await client.post("/api/v1/swaps", json={"vehicle_id": "YQ-001"})).json()
    assert swap["booking_id"] == made["booking_id"]
    cancelled = await client.delete(f"/api/v1/bookings/{made['booking_id']}")
    assert cancelled.status_code == 409


async def test_unknown_records_are_404(client: httpx.AsyncClient) -> None:
    for path in ("bookings/none", "swaps/none", "packs/none", "bills/none", "requests/9", "stations/none/state"):
        answer = await client.get(f"/api/v1/{path}")
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.post("/api/v1/swaps", json={"vehicle_id": "NOBODY"})).status_code == 404
    foreign = {**booking(), "station_id": "elsewhere"}
    assert (await client.post("/api/v1/bookings", json=foreign)).status_code == 404
