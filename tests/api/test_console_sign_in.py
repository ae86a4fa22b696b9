"""Who looks at the console, and with what."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from api.app import create_app
from api.console.entry import SESSION_COOKIE
from api.settings import Settings
from swap.config.loading import load_station
from swap.store import Store
from tests.support.api.doors import STATION_FILE, StoppedClock, busy_day
from tests.support.api.people import PASSWORD, account, session, the_administrator
from tests.support.api.signing import V1, RealTime

FAR = ("192.0.2.7", 50000)
NEAR = ("127.0.0.1", 50000)


def test_who_looks_at_the_console_from_elsewhere_signs_in(timed_app: FastAPI, store: Store, time: RealTime) -> None:
    account(store)
    with TestClient(timed_app, client=FAR, follow_redirects=False) as browser:
        assert browser.get("/console").headers["location"] == "/login"
        with pytest.raises(WebSocketDisconnect), browser.websocket_connect("/console/live"):
            pass
        held = browser.post("/console/requests", data={"kind": "hold"})
        assert held.json()["state"] == "pending"
        wrong = browser.post("/login", data={"login": "operatora", "password": "a wrong password"})
        assert wrong.status_code == 401
        signed = browser.post("/login", data={"login": "operatora", "password": PASSWORD})
        assert (signed.status_code, signed.headers["location"]) == (303, "/console")
        cookie = signed.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert "Operator A" in browser.get("/console").text
        with browser.websocket_connect("/console/live") as socket:
            assert socket.receive_json()
        token = browser.cookies[SESSION_COOKIE]
        api = browser.get(f"{V1}/auth/me", headers={"Authorization": f"Bearer {token}"})
        assert api.status_code == 401, "the cookie's token is good at the console only"
        time.step(12 * 3600)
        assert browser.get("/console").headers["location"] == "/login"
        signed = browser.post("/login", data={"login": "operatora", "password": PASSWORD})
        assert browser.post("/logout").headers["location"] == "/login"
        assert browser.get("/console").headers["location"] == "/login"


def test_pages_of_others_use_no_ones_cookie(timed_app: FastAPI, store: Store) -> None:
    cookies = session(store, the_administrator(store))
    with TestClient(timed_app, client=FAR, cookies=cookies, follow_redirects=False) as browser:
        for path in ("/console/requests", "/login", "/logout", "/console/faults/1"):
            foreign = browser.post(path, data={"kind": "close"}, headers={"origin": "http://elsewhere"})
            assert foreign.status_code == 403


def test_the_stations_own_machine_sees_and_holds_without_a_sign_in(timed_app: FastAPI, store: Store) -> None:
    busy_day(store)
    with TestClient(timed_app, client=NEAR, follow_redirects=False) as browser:
        assert browser.get("/console").status_code == 200
        assert browser.post("/console/requests", data={"kind": "close"}).json()["state"] == "failed"
        assert browser.post("/console/requests", data={"kind": "hold"}).json()["state"] == "pending"
        for header in ("x-forwarded-for", "forwarded", "via"):
            proxied = browser.get("/console", headers={header: "192.0.2.7"})
            assert proxied.headers["location"] == "/login", "behind a proxy everybody comes from here"


def test_a_driver_has_no_console(timed_app: FastAPI, store: Store) -> None:
    cookies = session(store, account(store, "driver", "fleet-a", "Driver A"))
    with TestClient(timed_app, client=FAR, cookies=cookies) as browser:
        assert browser.get("/console").status_code == 403


async def test_an_open_console_is_open_to_all(store: Store) -> None:
    settings = Settings(station_file=STATION_FILE, database_url=store.url, open_console=True, hosts=("testserver",))
    app = create_app(store, load_station(STATION_FILE), StoppedClock(), settings=settings)
    with TestClient(app, client=FAR) as browser:
        assert browser.get("/console").status_code == 200
