"""The shared fixtures themselves: each test gets a fresh database of its own."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlmodel import select

from swap.store import Store
from swap.tables import Party
from tests.support import tools
from tests.support.postgres import PostgresServer


@pytest.mark.parametrize("turn", [1, 2])
def test_the_migrated_database_is_without_a_row_each_time(database_url: str, turn: int) -> None:
    store = Store(database_url)
    store.check()
    with store.transaction() as db:
        assert db.exec(select(Party)).all() == []
        db.add(Party(id="p", kind="fleet", name_zh="甲", name_en=f"{turn}"))
    store.close()


@pytest.mark.parametrize("turn", [1, 2])
def test_an_unmigrated_database_is_empty_each_time(empty_database_url: str, turn: int) -> None:
    engine = create_engine(empty_database_url)
    try:
        assert inspect(engine).get_table_names() == []
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE pack (id INTEGER PRIMARY KEY)"))
        assert inspect(engine).get_table_names() == ["pack"]
    finally:
        engine.dispose()


def test_postgres_database_is_dropped_with_a_connection_left_open(postgres: PostgresServer) -> None:
    with postgres.database() as url:
        engine = create_engine(url)
        connection = engine.connect()
        connection.execute(text("SELECT 1"))
    with postgres.connect() as admin:
        names = [row[0] for row in admin.execute("SELECT datname FROM pg_database")]
    assert url.rsplit("/", 1)[1] not in names
    connection.invalidate()
    connection.close()
    engine.dispose()


def test_require_tool_finds_what_is_there() -> None:
    assert tools.require_tool("sh").name == "sh"


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_missing_tool_skips_here_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no-such-tool is not installed"):
        tools.require_tool("no-such-tool")


async def test_coroutines_run_without_a_marker(anyio_backend_name: str) -> None:
    assert anyio_backend_name == "asyncio"
