"""Signing in, tokens, second factors and names over HTTP: what works, and what goes wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pyotp
import pytest
from fastapi import FastAPI
from sqlmodel import select

from api.app import create_app
from api.deps import Doors
from api.settings import Settings
from swap.config.erasing import erase
from swap.config.loading import load_station
from swap.identity import secrets, sign_in
from swap.identity.accounts import create_user
from swap.identity.demo import demo_logins
from swap.identity.errors import SecondFactorNotSet, SecondFactorWrong
from swap.identity.principal import PrincipalKind
from swap.identity.rights import Factor, Role
from swap.identity.settings import IdentitySettings
from swap.store import Store
from swap.tables import AccessToken, TokenFamily
from tests.support.api.doors import STATION_FILE, StoppedClock, busy_day
from tests.support.api.people import PASSWORD, PIN, TEST_HASHER, account
from tests.support.api.signing import V1, RealTime, bearer, code, confirm, login


async def test_a_person_signs_in_is_known_and_signs_out(http: httpx.AsyncClient, store: Store) -> None:
    user = account(store)
    answer = await login(http, "ＯｐｅｒａｔｏｒA")  # full-width letters and capitals are the same login
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    me = (await http.get(f"{V1}/auth/me", headers=bearer(answer))).json()
    assert (me["name"], me["user_id"], me["roles"]) == ("Operator A", user.user_id, ["administrator"])
    assert {"create_user", "ask.confirm"} <= set(me["operations"])
    assert (await http.post(f"{V1}/auth/logout", headers=bearer(answer))).status_code == 204
    assert (await http.post(f"{V1}/auth/logout", headers=bearer(answer))).status_code == 204
    gone = await http.get(f"{V1}/auth/me", headers=bearer(answer))
    assert (gone.status_code, code(gone)) == (401, "token_not_valid")
    refreshed = await http.post(f"{V1}/auth/refresh", json={"refresh_token": answer.json()["refresh_token"]})
    assert (refreshed.status_code, code(refreshed)) == (401, "token_not_valid")


@pytest.mark.parametrize("name", ["OperatorA", "nobody", "a b", "\u202e", "x" * 64])
async def test_wrong_ones_wait_alike_whether_the_login_exists_or_not(
    http: httpx.AsyncClient, store: Store, time: RealTime, name: str
) -> None:
    account(store)
    told = [await login(http, name, f"wrong password {number}") for number in range(5)]
    assert {(answer.status_code, code(answer)) for answer in told} == {(401, "sign_in_failed")}
    waits = await login(http, name, PASSWORD)  # right or wrong: it is not tried
    assert (waits.status_code, code(waits)) == (429, "too_many_attempts")
    assert waits.headers["retry-after"] == "60"
    time.step(59)
    assert (await login(http, name)).status_code == 429
    time.step(1.5)
    assert (await login(http, name, "wrong password again")).status_code == 401
    assert (await login(http, name)).headers["retry-after"] == "120"
    time.step(121)
    assert (await login(http, name)).status_code == (200 if name == "OperatorA" else 401)


async def test_a_sign_in_forgets_the_failures_before(http: httpx.AsyncClient, store: Store) -> None:
    account(store)
    for _ in range(3):
        for _ in range(4):
            assert (await login(http, password="a wrong password")).status_code == 401
        assert (await login(http)).status_code == 200


async def test_an_address_has_a_count_of_its_own(http: httpx.AsyncClient, store: Store) -> None:
    account(store)
    for number in range(50):
        assert (await login(http, f"guess-{number}")).status_code == 401
    assert (await login(http)).status_code == 429


async def test_a_login_that_does_not_exist_costs_a_hash_as_well(
    http: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time tells nothing: both are worked out by the same hasher."""
    account(store)
    tried: list[str] = []

    class Counting:
        def hash(self, text: str) -> str:
            return TEST_HASHER.hash(text)

        def verify(self, stored: str, text: str) -> bool:
            tried.append(text)
            return TEST_HASHER.verify(stored, text)

    monkeypatch.setattr(secrets, "HASHER", Counting())
    for name in ("OperatorA", "nobody"):
        await login(http, name, f"a wrong password for {name}")
    assert len(tried) == 2


async def test_tokens_expire_and_are_refreshed_once(http: httpx.AsyncClient, store: Store, time: RealTime) -> None:
    account(store)
    first = await login(http)
    time.step(15 * 60 - 1)
    assert (await http.get(f"{V1}/auth/me", headers=bearer(first))).status_code == 200
    time.step(1)
    assert code(await http.get(f"{V1}/auth/me", headers=bearer(first))) == "token_not_valid"
    second = await http.post(f"{V1}/auth/refresh", json={"refresh_token": first.json()["refresh_token"]})
    assert (await http.get(f"{V1}/auth/me", headers=bearer(second))).status_code == 200
    again = await http.post(f"{V1}/auth/refresh", json={"refresh_token": first.json()["refresh_token"]})
    assert (again.status_code, code(again)) == (401, "token_reused")
    # Whoever has the newer ones has lost them too.
    assert code(await http.get(f"{V1}/auth/me", headers=bearer(second))) == "token_not_valid"
    later = await http.post(f"{V1}/auth/refresh", json={"refresh_token": second.json()["refresh_token"]})
    assert code(later) == "token_not_valid"
    admin = await login(http)
    changes = (await http.get(f"{V1}/access-changes", headers=bearer(admin))).json()["items"]
    assert changes[0]["kind"] == "token_reused"


async def test_a_refresh_token_is_no_access_token_and_ends_with_its_sign_in(
    http: httpx.AsyncClient, store: Store, time: RealTime
) -> None:
    account(store)
    first = (await login(http)).json()
    swapped = {"Authorization": f"Bearer {first['refresh_token']}"}
    assert (await http.get(f"{V1}/auth/me", headers=swapped)).status_code == 401
    wrong = await http.post(f"{V1}/auth/refresh", json={"refresh_token": first["access_token"]})
    assert code(wrong) == "token_not_valid"
    time.step(30 * 24 * 3600)
    late = await http.post(f"{V1}/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert code(late) == "token_not_valid"


async def test_a_clock_that_is_set_back_keeps_nobody_out_for_long(
    http: httpx.AsyncClient, store: Store, time: RealTime
) -> None:
    account(store)
    for _ in range(6):
        await login(http, password="a wrong password")
    time.step(-365 * 86400)
    assert (await login(http)).status_code == 200


async def test_only_hashes_are_stored(http: httpx.AsyncClient, store: Store) -> None:
    account(store)
    given = (await login(http)).json()
    with store.reading_identity() as db:
        stored = " ".join(str(row) for row in [*db.exec(select(AccessToken)), *db.exec(select(TokenFamily))])
    assert given["access_token"] not in stored
    assert given["refresh_token"] not in stored
    assert secrets.token_hash(given["access_token"]) in stored


@pytest.mark.parametrize("how", ["disabled", "password", "erased"])
async def test_what_ends_an_account_ends_its_tokens(
    http: httpx.AsyncClient, store: Store, time: RealTime, how: str
) -> None:
    account(store)  # one administrator stays
    user = account(store, "driver", "fleet-a", "张 伟")
    headers = bearer(await login(http, "张伟"))
    assert (await http.get(f"{V1}/auth/me", headers=headers)).json()["name"] == "张 伟"
    admin = bearer(await login(http))
    if how == "disabled":
        answer = await http.patch(f"{V1}/users/{user.user_id}", json={"disabled": True}, headers=admin)
        assert answer.json()["disabled_at"] is not None
    elif how == "password":
        reset = await http.post(f"{V1}/users/{user.user_id}/password", headers=admin)
        assert (await login(http, "张伟", reset.json()["password"])).status_code == 200
    else:
        erase(store, "张 伟", by="Operator A", at=time.at)
    assert code(await http.get(f"{V1}/auth/me", headers=headers)) == "token_not_valid"
    assert code(await login(http, "张伟")) == "sign_in_failed"
    shown = (await http.get(f"{V1}/users/{user.user_id}", headers=admin)).json()
    assert (shown["name"] == "erased person", "张" in shown["login"]) == (how == "erased", how != "erased")


async def test_the_last_administrator_stays(http: httpx.AsyncClient, store: Store) -> None:
    user = account(store)
    headers = bearer(await login(http))
    for change in ({"disabled": True}, {"roles": ["planner"]}):
        answer = await http.patch(f"{V1}/users/{user.user_id}", json=change, headers=headers)
        assert (answer.status_code, code(answer)) == (422, "not_valid")
    second = account(store, name="Operator B")
    assert (
        await http.patch(f"{V1}/users/{second.user_id}", json={"disabled": True}, headers=headers)
    ).status_code == 200


async def test_a_demo_account_signs_nobody_in_outside_development(
    http: httpx.AsyncClient, store: Store, time: RealTime
) -> None:
    secret = "a secret of this test, long enough for it"
    development = IdentitySettings(secret, development=True)
    made = demo_logins(store, development, "station-operator", time.at)
    assert {one.role for one in made} == set(Role)
    assert demo_logins(store, development, "station-operator", time.at) == made  # a second start: the same
    one = made[0]
    config = load_station(STATION_FILE)
    for environment, status in (("development", 200), ("production", 401)):
        settings = Settings(
            station_file=STATION_FILE,
            database_url=store.url,
            environment=environment,
            secret=secret,
            hosts=("station",),
        )
        app = create_app(store, config, StoppedClock(), settings=settings)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://station") as client:
            answer = await login(client, one.login, one.password)
            assert answer.status_code == status
            if status == 200:
                token = bearer(answer)
            assert (await client.get(f"{V1}/auth/me", headers=token)).status_code == status


# second factors


async def test_a_pin_is_asked_for_where_a_robot_may_move(http: httpx.AsyncClient, store: Store, time: RealTime) -> None:
    account(store)
    headers = bearer(await login(http))
    assert code(await confirm(http, headers, None)) == "second_factor_needed"
    for pin in ("1357", "", "１２３４", "x" * 60):
        assert (await confirm(http, headers, pin)).status_code == 403
    for _ in range(2):
        assert code(await confirm(http, headers, "1357")) == "second_factor_wrong"
    locked = await confirm(http, headers, PIN)
    assert (locked.status_code, locked.headers["retry-after"]) == (429, "60")
    held = await http.post(f"{V1}/requests", json={"kind": "hold"}, headers=headers)  # never waits for a PIN
    assert (held.status_code, held.json()["requested_by"]) == (202, "Operator A")
    time.step(61)
    assert (await confirm(http, headers, PIN)).status_code == 202


async def test_a_pin_is_set_with_the_password(http: httpx.AsyncClient, store: Store) -> None:
    with store.identity() as db:
        create_user(
            db,
            login="new",
            name="New",
            organisation_id="station-operator",
            roles=["shift_worker"],
            password_hash=TEST_HASHER.hash(PASSWORD),
            actor="command_line",
            at=datetime(2026, 1, 1, tzinfo=UTC),
        )
    headers = bearer(await login(http, "new"))
    assert code(await confirm(http, headers, PIN)) == "second_factor_not_set"
    for wrong in ("12", "12a4", "1111", "1234567890123"):
        body = {"password": PASSWORD, "pin": wrong}
        answer = await http.post(f"{V1}/auth/pin", json=body, headers=headers)
        assert (answer.status_code, code(answer)) == (422, "not_valid")
        assert answer.json()["problems"][0]["value"] == "…"
    stolen = await http.post(f"{V1}/auth/pin", json={"password": "not the password", "pin": PIN}, headers=headers)
    assert code(stolen) == "sign_in_failed"
    body = {"password": PASSWORD, "pin": PIN}
    assert (await http.post(f"{V1}/auth/pin", json=body, headers=headers)).status_code == 204
    assert (await confirm(http, headers, PIN)).status_code == 202


async def test_another_password_ends_the_other_sign_ins(http: httpx.AsyncClient, store: Store) -> None:
    account(store)
    here, elsewhere = bearer(await login(http)), bearer(await login(http))
    short = {"password": PASSWORD, "new_password": "short"}
    assert (await http.post(f"{V1}/auth/password", json=short, headers=here)).status_code == 422
    body = {"password": PASSWORD, "new_password": "eine längere Parole 密码"}
    assert (await http.post(f"{V1}/auth/password", json=body, headers=here)).status_code == 204
    assert (await http.get(f"{V1}/auth/me", headers=here)).status_code == 200
    assert (await http.get(f"{V1}/auth/me", headers=elsewhere)).status_code == 401
    assert (await login(http)).status_code == 401
    decomposed = "eine la\u0308ngere Parole 密码"  # the same, as another keyboard writes it
    assert (await login(http, password=decomposed)).status_code == 200


async def test_a_code_is_good_once(http: httpx.AsyncClient, store: Store, timed_app: FastAPI, time: RealTime) -> None:
    account(store)
    headers = bearer(await login(http))
    doors: Doors = timed_app.state.doors
    settings = doors.settings.identity
    principal = sign_in.principal_of(store, settings, headers["Authorization"].split()[1], time.at, cookie=False)
    assert principal.kind is PrincipalKind.PERSON
    with pytest.raises(SecondFactorNotSet):
        sign_in.check_factor(store, settings, principal, Factor.TOTP, "000000", time.at)
    begun = await http.post(f"{V1}/auth/totp", json={"password": PASSWORD}, headers=headers)
    device = pyotp.TOTP(begun.json()["secret"])
    assert begun.json()["address"].startswith("otpauth://totp/")
    early = await http.post(f"{V1}/auth/totp/confirm", json={"code": "12345x"}, headers=headers)
    assert code(early) == "second_factor_wrong"
    first = {"code": device.at(time.at)}
    assert (await http.post(f"{V1}/auth/totp/confirm", json=first, headers=headers)).status_code == 204
    assert (await http.get(f"{V1}/users", headers=headers)).json()["items"][0]["totp_set"] is True
    with pytest.raises(SecondFactorWrong):  # replayed
        sign_in.check_factor(store, settings, principal, Factor.TOTP, first["code"], time.at)
    time.step(30)
    now = device.at(time.at)
    sign_in.check_factor(store, settings, principal, Factor.TOTP, now, time.at)
    time.step(-30)  # the clock is set back: a used code stays used
    with pytest.raises(SecondFactorWrong):
        sign_in.check_factor(store, settings, principal, Factor.TOTP, now, time.at)
    time.step(90)
    late = device.at(time.at - timedelta(seconds=60))
    with pytest.raises(SecondFactorWrong):  # two steps ago
        sign_in.check_factor(store, settings, principal, Factor.TOTP, late, time.at)
    other = IdentitySettings("another secret of the server, just as long", development=True)
    with pytest.raises(SecondFactorWrong):  # the stored row alone is worth nothing
        sign_in.check_factor(store, other, principal, Factor.TOTP, device.at(time.at), time.at)


# names


async def test_nobody_types_anothers_name(http: httpx.AsyncClient, store: Store) -> None:
    busy_day(store)
    account(store)
    headers = bearer(await login(http)) | {"Swap-Pin": PIN}
    for kind in ("confirm", "close"):
        other = await http.post(f"{V1}/requests", json={"kind": kind, "name": "Operator B"}, headers=headers)
        assert (other.status_code, code(other)) == (403, "name_of_another")
        own = await http.post(f"{V1}/requests", json={"kind": kind, "name": " Operator  A "}, headers=headers)
        assert (own.status_code, own.json()["requested_by"]) == (202, "Operator A")
    fault = (await http.get(f"{V1}/faults", headers=headers)).json()["items"][0]["fault_id"]
    path = f"{V1}/faults/{fault}/acknowledge"
    assert code(await http.post(path, json={"name": "Operator B"}, headers=headers)) == "name_of_another"
    assert (await http.post(path, headers=headers)).json()["acknowledged_by"] == "Operator A"


@pytest.mark.parametrize(
    "header", ["Bearer swa_expired", "Bearer", "Bearer " + "x" * 5000, "Basic eDp5", "Bearer \xff"]
)
async def test_nothing_refuses_a_hold(http: httpx.AsyncClient, header: str) -> None:
    sent = {b"Authorization": header.encode("latin-1"), b"Swap-Pin": b"wrong"}
    for name in ({}, {"name": "Operator B"}, {"name": ""}, {"name": "x" * 300}, {"name": 7}):
        held = await http.post(f"{V1}/requests", json={"kind": "hold", **name}, headers=sent)
        assert (held.status_code, held.json()["requested_by"]) == (202, "-")
