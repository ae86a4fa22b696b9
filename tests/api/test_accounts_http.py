"""Accounts of people and keys of machines over HTTP, and the record of their changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from swap.identity.accounts import change_user, create_api_key
from swap.identity.rights import Role
from swap.store import Store
from tests.support.api.doors import filled_store
from tests.support.api.people import PIN, account
from tests.support.api.signing import V1, RealTime, bearer, code, confirm, login


async def test_a_key_is_shown_once_used_and_revoked(http: httpx.AsyncClient, store: Store, time: RealTime) -> None:
    account(store)
    admin = bearer(await login(http))
    end = (time.at + timedelta(days=1)).isoformat()
    body = {"name": "gate", "organisation_id": "fleet-a", "roles": ["driver"], "scopes": ["swaps:read"]}
    made = await http.post(f"{V1}/api-keys", json=body | {"expires_at": end}, headers=admin)
    assert made.status_code == 201, made.text
    key, key_id = made.json()["key"], made.json()["api_key"]["key_id"]
    assert key not in (await http.get(f"{V1}/api-keys", headers=admin)).text
    machine = {"Authorization": f"Bearer {key}"}
    assert (await http.get(f"{V1}/swaps", headers=machine)).status_code == 200
    fewer = await http.get(f"{V1}/bookings", headers=machine)  # the role may, the scope does not
    assert (fewer.status_code, code(fewer)) == (403, "forbidden")
    time.step(86_400)
    assert code(await http.get(f"{V1}/swaps", headers=machine)) == "token_not_valid"
    time.step(-80_000)
    assert (await http.get(f"{V1}/swaps", headers=machine)).status_code == 200
    admin = bearer(await login(http))
    for _ in range(2):
        assert (await http.delete(f"{V1}/api-keys/{key_id}", headers=admin)).json()["revoked_at"] is not None
    assert code(await http.get(f"{V1}/swaps", headers=machine)) == "token_not_valid"
    kinds = [c["kind"] for c in (await http.get(f"{V1}/access-changes", headers=admin)).json()["items"]]
    assert kinds.count("key_revoked") == 1


USER: dict[str, Any] = {
    "login": "li.ming",
    "name": "Li Ming",
    "organisation_id": "fleet-a",
    "roles": ["fleet_operator"],
    "password": "a good password",
}


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"organisation_id": "nowhere"}, 422, "organisation_id"),
        ({"organisation_id": ""}, 422, "organisation_id"),
        ({"roles": ["administrator"]}, 422, "roles"),
        ({"roles": []}, 422, "roles"),
        ({"roles": ["king"]}, 422, "roles"),
        ({"password": "short"}, 422, "password"),
        ({"password": "p" * 129}, 422, "password"),
        ({"login": "li ming"}, 422, "login"),
        ({"login": ""}, 422, "login"),
        ({"name": "controller"}, 422, "name"),
        ({"station_id": "yangquan-mine"}, 422, "station_id"),
        ({"colour": "red"}, 422, "colour"),
        ({"login": "OPERATORA"}, 409, "login_taken"),
        ({"name": "Operator A"}, 409, "login_taken"),
    ],
)
async def test_what_is_no_account_is_refused_and_changes_nothing(
    http: httpx.AsyncClient, store: Store, change: dict[str, Any], status: int, field: str
) -> None:
    account(store)
    admin = bearer(await login(http))
    before = (await http.get(f"{V1}/access-changes", headers=admin)).json()
    answer = await http.post(f"{V1}/users", json=USER | change, headers=admin)
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.json()["problems"][0]["field"].startswith(field)
    else:
        assert answer.json()["code"] == field
    assert (await http.get(f"{V1}/access-changes", headers=admin)).json() == before
    assert [user["login"] for user in (await http.get(f"{V1}/users", headers=admin)).json()["items"]] == ["operatora"]


async def test_changes_bear_actor_and_what_stood_there_before(http: httpx.AsyncClient, store: Store) -> None:
    admin_user = account(store)
    admin = bearer(await login(http))
    made = (await http.post(f"{V1}/users", json={**USER, "password": None}, headers=admin)).json()
    user_id = made["user"]["user_id"]
    assert (await login(http, "li.ming", made["password"])).status_code == 200
    for roles in (["driver", "accountant"], ["driver", "accountant"]):  # the second time changes nothing
        await http.patch(f"{V1}/users/{user_id}", json={"roles": roles}, headers=admin)
    params = {"subject": user_id, "limit": 1}
    page = (await http.get(f"{V1}/access-changes", params=params, headers=admin)).json()
    (newest,) = page["items"]
    assert (newest["kind"], newest["actor"]) == ("roles", "Operator A")
    assert newest["before"] == {"roles": ["fleet_operator"]}
    assert newest["after"] == {"roles": ["accountant", "driver"]}
    assert newest["actor_id"].startswith("person:")
    (first,) = (
        await http.get(f"{V1}/access-changes", params=params | {"cursor": page["next_cursor"]}, headers=admin)
    ).json()["items"]
    assert first["kind"] == "user_created"
    whole = (await http.get(f"{V1}/access-changes", headers=admin)).text
    assert made["password"] not in whole
    assert admin_user.user_id in whole


def test_the_record_of_changes_is_never_edited(database_url: str) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    store = filled_store(database_url)
    try:
        account(store)
        for change in ("UPDATE access_change SET kind = 'x'", "DELETE FROM access_change"):
            with pytest.raises(DBAPIError, match="never changed"), store.engine.begin() as connection:
                connection.execute(text(change))
    finally:
        store.close()


async def test_a_machine_asks_for_nothing_but_a_hold(http: httpx.AsyncClient, store: Store, time: RealTime) -> None:
    with store.identity() as db:
        _, key = create_api_key(
            db,
            name="panel",
            organisation_id="station-operator",
            roles=[Role.STATION_OPERATOR],
            scopes=["station:read"],
            actor="command_line",
            at=time.at,
        )
    headers = {"Authorization": f"Bearer {key}", "Swap-Pin": PIN}
    assert code(await confirm(http, headers, PIN)) == "forbidden"
    held = await http.post(f"{V1}/requests", json={"kind": "hold"}, headers=headers)
    assert (held.status_code, held.json()["requested_by"]) == (202, "-")


def test_a_disabled_account_may_be_used_again(store: Store, time: RealTime) -> None:
    account(store)
    user = account(store, "driver", "fleet-a", "Driver A")
    with store.identity() as db:
        for disabled in (True, True, False):
            found = change_user(db, user.user_id, disabled=disabled, actor="command_line", at=time.at)
            assert (found.disabled_at is not None) == disabled
