"""Station tables are reached by a `StationDb` only: a query cannot forget its station.

A `StationDb` narrows every query by itself; so it is enough that nobody else opens, or asks for, another session.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("api", "sim", "swap", "robotics", "battery_bms", "scheduler")

WHOLE = {
    "swap/store.py": "opens the sessions",
    "swap/station_db.py": "is the scope; the head of a `StationDb`",
    "swap/identity_db.py": "is the session on accounts, which belong to no station",
    "swap/identity/answers.py": "a key is claimed in whichever transaction does the work",
    "swap/identity/view.py": "marks any session with what its reader sees",
    "swap/commerce_db.py": "is the session of commerce",
    "swap/events.py": "appends for seed and restore, and lists the heads of every journal",
    "swap/audit/__init__.py": "walks the whole database",
    "swap/audit/archives.py": "walks the whole database",
    "swap/audit/references.py": "walks the whole database",
    "swap/audit/rows.py": "walks the whole database",
    "swap/audit/swaps.py": "walks the whole database",
    "swap/config/seed.py": "brings a station in, and packs and vehicles that several stations know",
    "swap/config/register_rows.py": "the register, and owners of packs wherever they are",
    "swap/keeping/archive.py": "which stations there are: each is archived by itself",
    "swap/config/erasing.py": "persons belong to no station",
    "swap/register/persons.py": "persons belong to no station",
    "swap/register/show.py": "the register belongs to no station",
    "swap/register/vehicles.py": "vehicles belong to no station",
    "swap/station/life/heads.py": "the heads of every journal of the database",
    "swap/station/restored.py": "a restore concerns every journal of the database",
    "api/cli/data.py": "audit, backup and register are of the whole database",
}
"""Modules that may use a session on every station, and why."""


def unscoped(source: str) -> Iterator[str]:
    """What in a module could reach rows of every station."""
    tree = ast.parse(source)
    plain = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("sqlmodel", "sqlalchemy.orm")
        for alias in node.names
        if alias.name == "Session"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in plain:
            yield f"line {node.lineno}: a plain session; take a StationDb"
        if isinstance(node, ast.Attribute) and node.attr in ("engine", "_read_engine"):
            yield f"line {node.lineno}: the engine itself; open a session of the store"
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.args or node.keywords:
            continue
        owner = ast.unparse(node.func.value)
        if node.func.attr == "transaction" or (node.func.attr == "reading" and "store" in owner.lower()):
            yield f"line {node.lineno}: {owner}.{node.func.attr}() is a session on every station"


def modules() -> list[Path]:
    return [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts]


def test_nobody_else_uses_a_session_on_every_station() -> None:
    found = {
        name: problems
        for path in modules()
        if (name := path.relative_to(ROOT).as_posix()) not in WHOLE
        and (problems := list(unscoped(path.read_text(encoding="utf-8"))))
    }
    assert found == {}


def test_the_exceptions_are_needed() -> None:
    idle = [name for name in WHOLE if not list(unscoped((ROOT / name).read_text(encoding="utf-8")))]
    assert idle == []


@pytest.mark.parametrize(
    "source",
    [
        "with store.transaction() as db:\n    db.get(Bay, 1)",
        "with self._store.reading() as db:\n    pass",
        "from sqlmodel import Session\ndef f(db: Session): ...",
        "from sqlmodel import Session as Db\ndef f(db: Db): ...",
        "from sqlmodel import Session\nSession(x)",
        "store.engine.connect()",
    ],
)
def test_a_query_without_the_scope_is_found(source: str) -> None:
    assert list(unscoped(source))


def test_the_scoped_ones_pass() -> None:
    source = "with store.station('S') as db, doors.reading() as other, store.reading_station('S') as third: ..."
    assert list(unscoped(source)) == []
