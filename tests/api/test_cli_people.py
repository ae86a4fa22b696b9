"""`swap user` and `swap token`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from api.cli.__main__ import app
from swap.identity import secrets
from swap.identity.demo import demo_logins
from swap.identity.settings import IdentitySettings
from swap.identity.sign_in import principal_of, sign_in
from swap.store import Store
from tests.support.api.people import TEST_HASHER

AT = datetime(2026, 5, 1, tzinfo=UTC)
SETTINGS = IdentitySettings("a development secret that every checkout knows", development=True)


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    monkeypatch.setattr(secrets, "HASHER", TEST_HASHER)
    monkeypatch.setenv("SWAP_DATABASE_URL", store.url)


def swap(*words: str, code: int = 0, given: str = "") -> str:
    done = CliRunner().invoke(app, words, input=given)
    assert done.exit_code == code, f"{done.output}{done.exception}"
    return done.output


def create(*more: str, code: int = 0, given: str = "") -> str:
    words = ("user", "create", "Li.Ming", "--name", "Li Ming", "--firm", "station-operator")
    return swap(*words, "--role", "administrator", *more, code=code, given=given)


def signs_in(store: Store, password: str) -> str:
    """Name of the person."""
    tokens = sign_in(store, SETTINGS, login="li.ming", password=password, address="here", at=AT, console=False)
    return principal_of(store, SETTINGS, tokens.access_token, AT, cookie=False).name


def test_the_first_administrator_gets_a_password_that_is_shown_once(store: Store) -> None:
    password = create().strip().rsplit(" ", 1)[1]
    assert signs_in(store, password) == "Li Ming"
    (listed,) = json.loads(swap("user", "list", "--json"))
    assert (listed["login"], listed["roles"]) == ("li.ming", ["administrator"])
    assert password not in swap("user", "list")
    again = swap("user", "reset-password", "LI.MING").strip().rsplit(" ", 1)[1]
    assert signs_in(store, again) == "Li Ming"


def test_a_driver_is_made_with_vehicles_of_the_own(store: Store) -> None:
    words = ("user", "create", "zhao", "--name", "Zhao", "--firm", "fleet-a", "--role", "driver", "--vehicle")
    swap(*words, "YQ-NONE", code=1)
    create()
    swap(*words, "YQ-001", "--vehicle", "YQ-003")
    listed = {one["login"]: one["vehicle_ids"] for one in json.loads(swap("user", "list", "--json"))}
    assert listed["zhao"] == ["YQ-001", "YQ-003"]


def test_a_typed_password_is_asked_for_twice_and_not_printed(store: Store) -> None:
    out = create("--ask-password", given="a typed password\na typed password\n")
    assert "a typed password" not in out
    assert signs_in(store, "a typed password") == "Li Ming"


def test_what_is_no_account_is_refused(store: Store) -> None:
    for more, part in ((["--role", "driver"], "roles"), (["--station", "elsewhere"], "station_id")):
        done = CliRunner().invoke(
            app, ["user", "create", "x", "--name", "X", "--firm", "station-operator", "--role", "planner", *more]
        )
        assert part in str(done.exception)
    assert json.loads(swap("user", "list", "--json")) == []


def test_an_account_is_disabled_used_again_and_erased(store: Store) -> None:
    create()
    CliRunner().invoke(app, ["user", "create", "b", "--name", "B", "--firm", "fleet-a", "--role", "driver"])
    assert "disabled" in swap("user", "disable", "b")
    assert [one["disabled_at"] is None for one in json.loads(swap("user", "list", "--json"))] == [False, True]
    swap("user", "disable", "b", "--enable")
    swap("register", "erase-person", "B", "--by", "Li Ming")
    erased = json.loads(swap("user", "list", "--json"))[0]
    assert erased["login"].startswith("erased-")
    assert erased["name"] == "erased person"


def test_a_token_of_each_role_is_printed_in_development_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in demo_logins(store, SETTINGS, "station-operator", AT):
        token = swap("token", "--role", one.role).strip()
        assert principal_of(store, SETTINGS, token, datetime.now(UTC), cookie=False).roles == {one.role}
    assert "there are" in swap("token", "--role", "king", code=2)
    monkeypatch.setenv("SWAP_ENVIRONMENT", "production")
    monkeypatch.setenv("SWAP_SECRET", "x" * 40)
    assert "development only" in swap("token", "--role", "driver", code=2)
