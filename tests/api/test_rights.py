"""The matrix: every operation × every role of every kind of organisation × own and foreign, against the one table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from api.app import guarded
from scheduler.types import PackState
from swap.commerce.bookings.standing import Rule, make_standing
from swap.commerce.bookings.store import make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.commerce.leases.contracts import draft
from swap.commerce.leases.terms import LeaseTerms
from swap.config.loading import load_station
from swap.events import append_event
from swap.identity.accounts import create_api_key
from swap.identity.principal import BATTERY_OWNER, FLEET, ROLES_OF, STATION_OPERATOR
from swap.identity.rights import RIGHTS, SCOPES, Factor, Role, right_of
from swap.messages.packs import PackStateChanged
from swap.messages.requests import REQUESTS, Hold
from swap.station.requests import make_request
from swap.store import Store
from swap.tables import Party
from tests.support.api.doors import NOW, STATION_FILE, busy_day, filled_store, make_app
from tests.support.api.people import account, signed_in
from tests.support.swap.databases import migrated_sqlite
from tests.support.swap.leases import terms_data

STATION = "yangquan-mine"
PACK = "0SXPB280000YQ1G510000011"
"""On truck YQ-004 of fleet-a, owned by battery-owner."""
OWN = {STATION_OPERATOR: "station-operator", FLEET: "fleet-a", BATTERY_OWNER: "battery-owner"}
FOREIGN = {STATION_OPERATOR: "other-operator", FLEET: "fleet-b", BATTERY_OWNER: "other-owner"}
ALONE = {"energy_seller": "seller", "supervisor": "authority", "platform": "platform"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "reset": {"lane_id": "L1"},
    "release_pack": {"pack_id": PACK},
    "take_out_pack": {"pack_id": PACK},
    "bring_in_pack": {"pack_id": PACK, "bay_id": "A1"},
    "release_bay": {"bay_id": "A1"},
    "cancel_swap": {"swap_id": "sw-0001"},
    "decide": {"swap_id": "sw-0004", "decision": "continue"},
    "demand_response": {
        "programme": "direct",
        "from_at": "2026-03-04T08:00:00Z",
        "until_at": "2026-03-04T09:00:00Z",
        "limit_kw": 100.0,
    },
}
LISTS = {"power", "faults", "events", "packs", "bookings", "standing_bookings", "swaps", "bills", "contracts"}
"""Lists of what organisations see their part of."""
SEEN = {
    FLEET: {"contracts", "contract", "events", "packs", "pack", "bookings", "booking", "swaps", "swap", "bills", "bill"}
    | {"book", "change_window", "cancel", "arrive", "stand", "standing_bookings", "standing_booking"}
    | {"change_standing_booking", "end_standing_booking"},
    BATTERY_OWNER: {"contracts", "contract", "events", "packs", "pack", "bills", "bill"},
}
"""Operations that find something for an organisation that sees its own."""

JUDGED = LISTS | {
    *("state", "acknowledge", "pack", "request", "booking", "book", "cancel", "arrive", "swap", "bill", "contract"),
    *(f"ask.{kind}" for kind in REQUESTS),
}
"""Operations of which the day has a record, so that own and foreign differ; of the others it is judged who may."""


class Ids(dict[str, str]):
    """Ids by their names in paths; `none` where the day has no such record."""

    def __missing__(self, name: str) -> str:
        return "none"


@dataclass(frozen=True)
class Desk:
    """An app in the middle of a day."""

    app: FastAPI
    store: Store
    ids: Ids


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    store = filled_store(migrated_sqlite(tmp_path_factory.mktemp("rights") / "station.db"))
    busy_day(store)
    config = load_station(STATION_FILE)
    with store.transaction() as db:
        for kind, party in [*FOREIGN.items(), *ALONE.items()]:
            if party != "fleet-b":
                db.add(Party(id=party, kind=kind, name_zh=party, name_en=party))
    with store.station(STATION) as db:
        start = NOW + timedelta(hours=3)
        booked = make_booking(db, config, Wanted("YQ-004", start, start + timedelta(hours=1)), at=NOW)
        rule = Rule("YQ-004", (1,), time(7, 10), 30, (NOW + timedelta(days=1)).date())
        standing = make_standing(db, config, rule, at=NOW)
        asked = make_request(db, station_id=STATION, request=Hold(), name="Operator A", at=NOW)
        changed = PackStateChanged(before=PackState.WAITING, after=PackState.CHARGING, trigger="charge")
        append_event(db, changed, station_id=STATION, at=NOW, pack_id=PACK, swap_id="sw-0001")
    with store.commerce() as db:
        terms = terms_data(
            lessor_id="battery-owner",
            lessee_id="fleet-a",
            vehicles=["YQ-004"],
            entitlement=[{"kind": "lfp-282", "number": 1}],
            stations=[STATION],
        )
        contract_id = draft(db, LeaseTerms.model_validate(terms), at=NOW, actor="api")
    ids = {
        "contract_id": contract_id,
        "vehicle_id": "YQ-004",
        "station_id": STATION,
        "booking_id": booked.booking_id,
        "standing_id": standing.standing_id,
        "swap_id": "sw-0001",
        "pack_id": PACK,
        "bill_id": "bl-0001",
        "request_id": str(asked.request_id),
        "fault_id": "1",
        "user_id": "us-none",
        "key_id": "ak-none",
    }
    yield Desk(make_app(store), store, Ids(ids))
    store.close()


def operations(app: FastAPI) -> dict[str, tuple[str, str]]:
    """Method and path by operation."""
    document = app.openapi()
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def address(desk: Desk, operation: str, path: str) -> str:
    """Where an operation is asked for. A stream would not end: it is asked for from beyond the journal's end."""
    return path.format_map(desk.ids) + ("?after=1000000000" if operation == "event_stream" else "")


def body_of(operation: str) -> dict[str, Any] | None:
    window = {"window_start_at": "2026-03-04T08:00:00Z", "window_end_at": "2026-03-04T09:00:00Z"}
    weekly = {"weekdays": [1], "local_time": "07:10", "window_min": 30, "starts_on": "2026-03-04"}
    bodies: dict[str, dict[str, Any]] = {
        "book": {"vehicle_id": "YQ-003", **window},
        "stand": {"vehicle_id": "YQ-003", **weekly},
        "arrive": {"vehicle_id": "YQ-004"},
    }
    return bodies.get(operation)


def test_every_operation_is_in_the_table_and_every_row_is_an_operation(desk: Desk) -> None:
    kinds = {f"ask.{kind}" for kind in REQUESTS}
    assert set(operations(desk.app)) | kinds == set(RIGHTS)


def test_every_route_under_the_interface_asks_who_it_is(desk: Desk) -> None:
    """A route that is put on the app beside the routers would pass unseen."""
    hidden = {"/", "/console", "/login", "/logout", "/console/requests", "/console/faults/{fault_id}"}
    seen = {path for _, path in operations(desk.app).values()}
    routes = {route.path for route in desk.app.routes if isinstance(route, APIRoute)}
    assert {path for path in routes if path not in hidden and path not in seen} == set()


def test_a_route_that_asks_nobody_who_they_are_is_no_route_of_ours() -> None:
    router = APIRouter()

    @router.get("/more")
    def more() -> None:
        """What a router without a guard would give to everybody."""

    with pytest.raises(TypeError, match="/more asks nobody"):
        guarded(router.routes[0])


def test_an_operation_without_a_row_is_refused() -> None:
    assert not right_of("made_up").anyone
    assert right_of("made_up").every == frozenset()


async def test_nobody_gets_past_what_is_open(desk: Desk) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(desk.app), base_url="http://station") as client:
        for operation, (method, path) in operations(desk.app).items():
            for headers in ({}, {"Authorization": "Bearer swa_made_up"}, {"Authorization": "Basic eDp5"}):
                answer = await client.request(method, address(desk, operation, path), json={}, headers=headers)
                if RIGHTS[operation].anyone:
                    assert answer.status_code not in (401, 403) or operation in ("login", "refresh"), operation
                else:
                    assert answer.status_code == 401, operation
                    assert answer.headers["www-authenticate"] == "Bearer"
        for kind in REQUESTS:
            body = {"kind": kind, "arguments": ARGUMENTS.get(kind, {})}
            answer = await client.post("/api/v1/requests", json=body)
            assert answer.status_code == (202 if kind == "hold" else 401), kind


CASES = [
    *((kind, role, place[kind]) for kind in OWN for role in sorted(ROLES_OF[kind]) for place in (OWN, FOREIGN)),
    *((kind, role, party) for kind, party in ALONE.items() for role in sorted(ROLES_OF[kind])),
]


def expected(kind: str, role: Role, party: str, operation: str) -> str:
    """`yes`, `no`, or `nothing`: it may, and finds nothing."""
    right = right_of(operation)
    if right.anyone or role in right.every:
        return "yes"
    if role in right.own or (role in right.station and kind == STATION_OPERATOR):
        own = party == OWN.get(kind) and not (kind == STATION_OPERATOR and operation in ("contracts", "contract"))
        return "yes" if own and (kind == STATION_OPERATOR or operation in SEEN.get(kind, ())) else "nothing"
    return "no"


@pytest.mark.parametrize(("kind", "role", "party"), CASES, ids=str)
async def test_the_table_is_what_happens(desk: Desk, kind: str, role: Role, party: str) -> None:
    person = account(desk.store, role, party, f"{role} of {party}")
    headers = signed_in(desk.store, person)
    wrong = []
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(desk.app), base_url="http://station", headers=headers
    ) as client:
        for operation, (method, path) in operations(desk.app).items():
            if operation in ("ask", "logout"):
                continue
            body = body_of(operation)
            answer = await client.request(method, address(desk, operation, path), json={} if body is None else body)
            wanted = expected(kind, role, party, operation)
            if (said := judged(operation, answer)) not in wanted_as(wanted, operation):
                wrong.append((operation, wanted, said, answer.text[:200]))
            if wanted != "no" and right_of(operation).factor is Factor.TOTP:  # these people have no device
                assert answer.json().get("code") == "second_factor_not_set", (operation, answer.text)
        for name in REQUESTS:
            body = {"kind": name, "arguments": ARGUMENTS.get(name, {})}
            answer = await client.post("/api/v1/requests", json=body)
            wanted = expected(kind, role, party, f"ask.{name}")
            if (said := judged(f"ask.{name}", answer)) not in wanted_as(wanted, f"ask.{name}"):
                wrong.append((name, wanted, said, answer.text[:200]))
    assert wrong == []


def wanted_as(wanted: str, operation: str) -> tuple[str, ...]:
    """What is not there for anybody, such as an account of the id given here, is `nothing` to all who may."""
    return (wanted,) if wanted == "no" or operation in JUDGED else ("yes", "nothing")


def judged(operation: str, answer: httpx.Response) -> str:
    """What an answer says of the right."""
    if answer.status_code == 403 and answer.json()["code"] == "second_factor_not_set":
        assert right_of(operation).factor is Factor.TOTP, operation  # these people have a PIN, and no device
        return "yes"
    if answer.status_code == 403:
        assert answer.json()["code"] == "forbidden", answer.text
        return "no"
    if answer.status_code == 404:
        return "nothing"
    if operation in LISTS and answer.is_success:
        return "yes" if answer.json()["items"] else "nothing"
    assert answer.status_code < 500 or operation == "health", answer.text
    return "yes"


async def test_a_key_does_what_its_role_and_its_scope_both_allow(desk: Desk) -> None:
    at = datetime.now(UTC)
    for scope in SCOPES:
        with desk.store.identity() as db:
            _, key = create_api_key(
                db,
                name=scope,
                organisation_id="station-operator",
                roles=[Role.STATION_OPERATOR],
                scopes=[scope],
                actor="command_line",
                at=at,
            )
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(desk.app), base_url="http://station", headers=headers
        ) as client:
            for operation, (method, path) in operations(desk.app).items():
                right = RIGHTS[operation]
                answer = await client.request(method, address(desk, operation, path), json=body_of(operation) or {})
                mine = Role.STATION_OPERATOR in right.every | right.station | right.own
                if right.anyone:
                    continue
                assert (answer.status_code != 403) == (right.scope == scope and mine), (scope, operation, answer.text)
            for kind in REQUESTS:
                body = {"kind": kind, "arguments": ARGUMENTS.get(kind, {})}
                answer = await client.post("/api/v1/requests", json=body)
                assert answer.status_code == (202 if kind == "hold" else 403), "machines move nothing"


DRIVES = ["bookings", "booking", "standing_bookings", "standing_booking", "swaps", "swap", "offered", "quotes", "right"]
"""What a driver reads, by operation."""


async def test_a_driver_with_vehicles_sees_and_books_for_those_only(desk: Desk) -> None:
    found: dict[str, dict[str, tuple[int, list[Any]]]] = {}
    known = operations(desk.app)
    for vehicles in ("YQ-003", "YQ-004", "YQ-003 YQ-004", ""):
        person = account(desk.store, Role.DRIVER, "fleet-a", f"driver of {vehicles or 'all'}", vehicles.split())
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(desk.app), base_url="http://station", headers=signed_in(desk.store, person)
        ) as client:
            assert (await client.get("/api/v1/auth/me")).json()["vehicle_ids"] == vehicles.split()
            seen = found[vehicles] = {}
            for operation in DRIVES:
                params = {"vehicle_id": "YQ-004"} if operation in ("quotes", "offered") else {}
                answer = await client.get(known[operation][1].format_map(desk.ids), params=params)
                items = answer.json().get("items", []) if answer.is_success else []
                seen[operation] = answer.status_code, [one.get("vehicle_id") for one in items]
            for method, path, body in (
                ("PATCH", f"/api/v1/bookings/{desk.ids['booking_id']}", {"min_kwh": 1.0}),
                ("PATCH", f"/api/v1/standing-bookings/{desk.ids['standing_id']}", {"exceptions": ["2026-03-11"]}),
                ("POST", "/api/v1/swaps", {"vehicle_id": "YQ-004", "booking_id": desk.ids["booking_id"]}),
            ):
                answer = await client.request(method, path, json=body)
                assert (answer.status_code == 404) == (vehicles == "YQ-003"), (vehicles, path, answer.text)
            assert (await client.get("/api/v1/events/stream")).status_code == 403
            assert (await client.get("/api/v1/webhooks")).status_code == 403
    own_swap = next(iter(found["YQ-004"]["swaps"][1]), None)
    assert own_swap == "YQ-004"
    for operation in DRIVES:
        whole, other, his = (found[one][operation] for one in ("", "YQ-003", "YQ-004"))
        assert found["YQ-003 YQ-004"][operation][0] == his[0] == whole[0] == 200, operation
        assert other[0] == (200 if operation.endswith("s") and operation != "quotes" else 404), operation
        if operation != "offered":
            assert set(his[1]) <= {"YQ-004"}, operation
            assert set(other[1]) <= {"YQ-003"}, operation
            assert his[1] == [one for one in whole[1] if one == "YQ-004"], operation
    assert len(set(found[""]["swaps"][1])) > 1


async def test_the_vehicles_of_a_driver_are_changed_and_are_the_firms(desk: Desk) -> None:
    headers = signed_in(desk.store, account(desk.store, "administrator", "station-operator", "changes vehicles"))
    person = account(desk.store, Role.DRIVER, "fleet-a", "is changed", ["YQ-003"])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(desk.app), base_url="http://station", headers=headers
    ) as client:
        place = f"/api/v1/users/{person.user_id}"
        for wrong in ({"vehicle_ids": ["YQ-NONE"]}, {"roles": ["fleet_operator"]}):
            refused = await client.patch(place, json=wrong)
            assert (refused.status_code, refused.json()["problems"][0]["field"]) == (422, "vehicle_ids"), refused.text
        changed = await client.patch(place, json={"vehicle_ids": ["YQ-004"]})
        assert changed.json()["vehicle_ids"] == ["YQ-004"]
        (change,) = [
            one
            for one in (await client.get("/api/v1/access-changes", params={"subject": person.user_id})).json()["items"]
            if one["kind"] == "vehicles"
        ]
        assert (change["before"], change["after"]) == ({"vehicle_ids": ["YQ-003"]}, {"vehicle_ids": ["YQ-004"]})
        promoted = await client.patch(place, json={"roles": ["fleet_operator"], "vehicle_ids": []})
        assert (promoted.status_code, promoted.json()["vehicle_ids"]) == (200, [])


async def test_the_key_of_a_drivers_machine_sees_the_vehicles_that_it_was_made_with(desk: Desk) -> None:
    headers = signed_in(desk.store, account(desk.store, "administrator", "station-operator", "makes keys"))
    body = {
        "name": "on board", "organisation_id": "fleet-a", "roles": ["driver"],
        "scopes": ["bookings:read", "swaps:read"],
    }  # fmt: skip
    transport = httpx.ASGITransport(desk.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://station", headers=headers) as client:
        for wrong in ({"vehicle_ids": ["YQ-NONE"]}, {"vehicle_ids": ["YQ-003"], "roles": ["fleet_operator"]}):
            refused = await client.post("/api/v1/api-keys", json=body | wrong)
            assert (refused.status_code, refused.json()["problems"][0]["field"]) == (422, "vehicle_ids")
        seen = {}
        for vehicles in ([], ["YQ-003"]):
            made = (await client.post("/api/v1/api-keys", json=body | {"vehicle_ids": vehicles})).json()
            assert made["api_key"]["vehicle_ids"] == vehicles
            own = {"Authorization": f"Bearer {made['key']}"}
            answers = [await client.get(f"/api/v1/{name}", headers=own) for name in ("bookings", "swaps")]
            seen[len(vehicles)] = [{one["vehicle_id"] for one in answer.json()["items"]} for answer in answers]
    assert all(part <= {"YQ-003"} for part in seen[1])
    assert "YQ-004" in seen[0][0]


async def test_a_key_has_no_device_and_is_asked_for_no_code(desk: Desk) -> None:
    with desk.store.identity() as db:
        _, key = create_api_key(
            db,
            name="books",
            organisation_id="station-operator",
            roles=[Role.ADMINISTRATOR],
            scopes=["payments:write"],
            actor="command_line",
            at=datetime.now(UTC),
        )
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(desk.app), base_url="http://station", headers=headers
    ) as client:
        refund = {"payment_id": "none", "amount_yuan": "1.00", "reason": "paid twice"}
        answer = await client.post("/api/v1/refunds", json=refund)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        credit = {"holder_id": "station-operator", "limit_yuan": "1.00"}
        assert (await client.put("/api/v1/wallets/fleet-a/credit", json=credit)).status_code == 403, "no scope"


def test_foreign_and_own_are_both_of_every_kind() -> None:
    assert {kind for kind, _, _ in CASES} == set(ROLES_OF)
    assert len(CASES) == 2 * sum(len(ROLES_OF[kind]) for kind in OWN) + sum(len(ROLES_OF[kind]) for kind in ALONE)
