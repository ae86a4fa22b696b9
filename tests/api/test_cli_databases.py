"""What is wrong with a database, a folder or a port is one sentence, in both languages, and exit code 2."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.contextvars import clear_contextvars

from api.cli.__main__ import main
from tests.support.api.doors import STATION_FILE
from tests.support.ports import own_ports


@pytest.fixture(autouse=True)
def _no_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process of the tests keeps its own."""
    monkeypatch.setattr("api.logs.configure_logging", lambda *_: None)
    yield
    clear_contextvars()


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and everything that a command says."""
    monkeypatch.setattr("sys.argv", ["swap", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr()
    return int(left.value.code or 0), told.out + told.err


def one_sentence(text: str) -> bool:
    return len(text.strip().splitlines()) == 1 and "Traceback" not in text


@pytest.fixture
def garbage(tmp_path: Path) -> str:
    file = tmp_path / "garbage.db"
    file.write_bytes(b"no database at all" * 500)
    return f"sqlite:///{file}"


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "http://elsewhere/x",
        "mysql://a:secret@b/c",
        "postgresql+nodriver://a:secret@b/c",
        "garbage",
        "folder",
    ],
)
@pytest.mark.parametrize("command", [("db", "upgrade"), ("audit",), ("run", str(STATION_FILE), "--port", "0")])
def test_a_database_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    garbage: str,
    command: tuple[str, ...],
    url: str,
    lang: str,
) -> None:
    """D6, D8: a malformed URL, another engine, no driver, another file, a folder that is not there."""
    url = {"garbage": garbage, "folder": f"sqlite:///{tmp_path}/none/swap.db"}.get(url, url)
    code, told = run(monkeypatch, capsys, "--lang", lang, *command, "--database-url", url)
    assert code == 2, told
    assert one_sentence(told), told
    assert any("\u4e00" <= character <= "\u9fff" for character in told) is (lang == "zh")
    assert "secret" not in told
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_port_in_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, lang: str
) -> None:
    """D6: told before anything is begun."""
    port = own_ports(1)[0]
    database = tmp_path / "swap.db"
    arguments = (
        "--lang",
        lang,
        "run",
        str(STATION_FILE),
        "--port",
        str(port),
        "--database-url",
        f"sqlite:///{database}",
    )
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(port)))
        other.listen()
        code, told = run(monkeypatch, capsys, *arguments)
    assert (code, one_sentence(told)) == (2, True), told
    assert f"127.0.0.1:{port}" in told
    assert not database.exists()


def test_no_folder_is_made_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """D8: refused before the work; a workbook of another kind is no folder of that name."""
    scenario = str(STATION_FILE.parent / "scenario.toml")
    (tmp_path / "out.xlsx").mkdir()
    for option, path in (
        ("--report", "none/out.html"),
        ("--tables", "none/out.xlsx"),
        ("--tables", "none/tables"),
        ("--tables", "out.xls"),
        ("--tables", "out.xlsx"),
    ):
        code, told = run(monkeypatch, capsys, "simulate", scenario, option, f"{tmp_path}/{path}")
        assert (code, one_sentence(told)) == (2, True), told
        assert f"{option} {tmp_path}/{path}" in told
    assert [path.name for path in tmp_path.iterdir()] == ["out.xlsx"]


def test_no_folder_is_made_for_a_copy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, sqlite_url: str
) -> None:
    """D8: backup and heads."""
    for command in (
        ("db", "backup", f"{tmp_path}/none/copy.db"),
        ("db", "heads", "--to", f"{tmp_path}/none/heads.jsonl"),
    ):
        code, told = run(monkeypatch, capsys, *command, "--database-url", sqlite_url)
        assert (code, one_sentence(told)) == (2, True), told
        assert str(tmp_path / "none") in told
        assert not (tmp_path / "none").exists()
