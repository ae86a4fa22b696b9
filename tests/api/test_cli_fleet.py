"""`swap login | book | arrive | status | watch` against a server of this process."""

from __future__ import annotations

import functools
import json
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from api.app import create_app
from api.cli.__main__ import app as program
from api.client.session import ServerSession
from api.settings import Settings
from swap.commerce.bills.issuing import bill_completed_swaps
from swap.identity import secrets
from swap.store import Store
from tests.support.api.calls import in_process
from tests.support.api.doors import StoppedClock
from tests.support.api.people import PASSWORD, TEST_HASHER, account
from tests.support.swap.commerce import AT, STATION, charge_packs, exchange, filled_store, station


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(AT)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "home" / "tokens.json"


@pytest.fixture
def store(sqlite_url: str, clock: StoppedClock, tokens: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The small station behind the commands, and a driver of its fleet."""
    monkeypatch.setattr(secrets, "HASHER", TEST_HASHER)
    monkeypatch.setenv("SWAP_TOKEN_FILE", str(tokens))
    config = station()
    with filled_store(sqlite_url, config) as store:
        charge_packs(store)
        account(store, "driver", organisation_id="fleet", name="Zhao")
        app = create_app(store, config, clock, settings=Settings(station_file=tokens.parent / "station.toml"))
        with in_process(app) as transport:
            client = functools.partial(httpx.Client, transport=transport)
            monkeypatch.setattr(httpx, "Client", lambda **given: client(**given | {"transport": transport}))
            yield store


def swap(*words: str, code: int = 0, given: str = "") -> str:
    done = CliRunner().invoke(program, words, input=given)
    assert done.exit_code == code, f"{done.output}{done.exception}"
    return done.output


def test_from_the_login_to_the_exchange(
    store: Store, clock: StoppedClock, tokens: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Zhao of fleet" in swap("login", "Zhao", given=f"{PASSWORD}\n")
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    booked = json.loads(swap("book", "V0", "--from", "2026-11-01T16:00", "--json"))
    assert (booked["status"], booked["window_start_at"]) == ("booked", "2026-11-01T08:00:00Z")
    assert "packs ready: 2 × lfp; trucks waiting: 0" in swap("status")
    clock.at += timedelta(minutes=2)
    assert booked["booking_id"] in swap("arrive", "V0")
    assert "in the queue" in swap("status", "V0")
    assert "排队中" in swap("--lang", "zh", "status", "V0")
    (open_swap,) = json.loads(swap("status", "--json"))["swaps"]

    def exchanged(_session: ServerSession, _real_s: float) -> None:
        exchange(store, open_swap["swap_id"])
        bill_completed_swaps(store, STATION, AT + timedelta(hours=1))

    monkeypatch.setattr(ServerSession, "pause", exchanged)
    lines = [json.loads(line) for line in swap("watch", "V0", "--json").splitlines()]
    assert [line["state"] for line in lines] == ["queued", "completed"]
    assert lines[-1]["bills"][0]["payer_id"] == "fleet"
    assert "Completed" in swap("watch", open_swap["swap_id"])
    swap("watch", "V0", code=2)
    swap("logout")
    assert "sign in with" in swap("status", code=2)
    assert json.loads(tokens.read_text()) == {}


def test_a_refusal_offers_the_next_window_and_takes_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    swap("login", "Zhao", given=f"{PASSWORD}\n")
    at = ("--from", "2026-11-01T16:00")
    first = json.loads(swap("book", "V0", "--json"))
    swap("book", "V1", *at)
    refused = swap("book", "V2", *at, code=1)
    assert "take it with --or-next" in refused
    taken = json.loads(swap("book", "V2", *at, "--or-next", "--json"))
    assert taken["window_start_at"] > first["window_start_at"]
    assert "cancelled" not in swap("status")
    with store.station(STATION) as db:
        db.connection()
    assert "no open swap and no booking" in swap("watch", "V9", code=2)


def test_wrong_input_and_no_server(store: Store, tokens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swap("login", "Zhao", given=f"{PASSWORD}\n")
    assert "no instant" in swap("book", "V0", "--from", "soon", code=2)
    assert "window_start_at" in swap("book", "V0", "--from", "2020-01-01T00:00", code=2)
    assert "no vehicle 'X'" in swap("arrive", "X", code=1)
    monkeypatch.setenv("SWAP_TOKEN", "swk_nobody")
    assert "SWAP_TOKEN" in swap("status", code=2)
    monkeypatch.delenv("SWAP_TOKEN")
    tokens.write_text('{"http://127.0.0.1:8080": 1}')
    assert "tokens.json: 1 value(s)" in swap("status", code=2)
    monkeypatch.undo()
    monkeypatch.setattr(ServerSession, "pause", lambda *_: None)
    monkeypatch.setenv("SWAP_TOKEN_FILE", str(tokens.with_name("none")))
    assert "http://127.0.0.1:9 does not answer" in swap("status", "--url", "http://127.0.0.1:9", code=2)
