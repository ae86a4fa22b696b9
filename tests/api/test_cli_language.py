"""The command line in Chinese and English: `--lang`, the environment, no sentence left in the other language."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from api import terminal
from api.announce import Announcer
from api.cli.__main__ import app
from api.words import Language
from deploy.catalogues import CONSOLE, DOMAINS, extracted
from scheduler.types import StationMode
from sim.report.words import Words
from swap.audit import INVARIANTS
from swap.config.loading import load_station
from swap.events import append_event
from swap.messages.events import Reconciled, StationModeChanged, SwapHeld
from swap.store import Store
from tests.support.api.doors import STATION_FILE
from tests.support.sim.study import SMALL_FILE, WEAK_FILE

ROOT = Path(__file__).parents[2]
SCENARIO = str(STATION_FILE.with_name("scenario.toml"))
NETWORK = str(ROOT / "examples" / "network" / "network.toml")
CASES = str(ROOT / "tests" / "vectors" / "queueing_cases.json")
SHORT = ("--days", "1", "--quick", "-p", "1")
ENGLISH_SENTENCE = re.compile(r"[A-Za-z’']{2,}(?: [A-Za-z’']{2,}){2,}")
"""Three words in a row."""
SMALL = SMALL_FILE + "sizing = { packs = [7, 8], transformer_kva = [1250, 2000] }\n"


def swap(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


@pytest.fixture
def database(tmp_path: Path, store: Store) -> str:
    """A database with one violation to tell of."""
    with store.transaction() as db:
        append_event(
            db, Reconciled(examined=0, mismatches=()), station_id="yangquan-mine", at=datetime(2026, 11, 1, tzinfo=UTC)
        )
    return store.engine.url.render_as_string(hide_password=False)


COMMANDS: dict[str, tuple[str, ...]] = {
    "simulate": ("simulate", SCENARIO, "-n", "2", *SHORT),
    "packs": ("size", "small.toml", "--packs-only", *SHORT),
    "too weak": ("size", "weak.toml", "--packs-only", *SHORT),
    "size": ("size", "small.toml", *SHORT),
    "network": ("network", NETWORK, "-n", "2", *SHORT),
    "validate": ("validate", CASES, "--only", "lanes_only-1", "--quick", "-p", "1"),
    "twin": ("twin", str(STATION_FILE), SCENARIO, "--hours", "0.2"),
    "check": ("check", str(STATION_FILE)),
    "charge-plan": ("charge-plan", str(STATION_FILE), "--soc", "A1=20", "--hours", "1"),
    "flexibility": ("flexibility", str(STATION_FILE), "--soc", "A1=20", "--hours", "1", "--at", "2026-07-01T23:00:00"),
    "recipe": ("recipe", "top_lift"),
    "faults": ("devices", str(STATION_FILE), "--fault", "list"),
    "audit": ("audit", "--database-url", "DATABASE"),
    "upgrade": ("db", "upgrade", "--database-url", "DATABASE"),
    "no database": ("audit", "--database-url", "sqlite:///none.db"),
    "no case": ("validate", CASES, "--only", "nothing-like-it"),
}


@pytest.fixture(scope="module")
def texts() -> frozenset[str]:
    """Every text of the sources that is marked for translation."""
    return frozenset(str(message.id) for domain in DOMAINS for message in extracted(domain))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_speaks_the_language_asked_for(
    name: str, database: str, texts: frozenset[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL, encoding="utf-8")
    Path("weak.toml").write_text(WEAK_FILE, encoding="utf-8")
    arguments = [database if given == "DATABASE" else given for given in COMMANDS[name]]
    asked: set[str] = set()
    for kind in (Language, Words):
        monkeypatch.setattr(kind, "text", recorded(kind.text, asked))
    chinese, english = swap("--lang", "zh", *arguments), swap("--lang", "en", *arguments)
    assert re.search(r"[一-鿿]{2,}", chinese)
    for line in chinese.splitlines():
        # What is to be typed, such as a command, stands in backquotes.
        assert not ENGLISH_SENTENCE.search(re.sub("`[^`]*`", "", line)), line
    assert not re.search(r"[一-鿿]", english), english
    assert len(chinese.splitlines()) == len(english.splitlines())
    # A text in a variable is in no catalogue unless it was marked where it was written.
    assert asked <= {"", *texts}


def recorded(real: Callable[..., str], asked: set[str]) -> Callable[..., str]:
    def text(self: object, message: str, **values: object) -> str:
        asked.add(message)
        return real(self, message, **values)

    return text


@pytest.mark.parametrize(
    ("environment", "arguments", "chinese"),
    [
        ({"LC_ALL": "zh_CN.UTF-8"}, (), True),
        ({"LC_ALL": "", "LANG": "zh_CN.UTF-8"}, (), True),
        ({"LC_ALL": "en_GB.UTF-8", "LANG": "zh_CN.UTF-8"}, (), False),
        ({"LC_ALL": "C"}, (), False),
        ({"LC_ALL": "zh_CN.UTF-8"}, ("--lang", "en"), False),
        ({"LC_ALL": "C"}, ("--lang", "zh"), True),
    ],
)
def test_the_option_goes_before_the_environment(
    environment: dict[str, str], arguments: tuple[str, ...], chinese: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, environment.get(name, ""))
    said = swap(*arguments, "check", str(STATION_FILE))
    assert ("条通道" in said) is chinese
    assert ("lane(s)" in said) is not chinese


def test_what_programs_read_is_the_same_in_every_language() -> None:
    arguments = ("simulate", SCENARIO, "-n", "2", *SHORT, "--json")
    chinese, english = (json.loads(swap("--lang", lang, *arguments)) for lang in ("zh", "en"))
    assert chinese == english
    plan = ("charge-plan", str(STATION_FILE), "--at", "2026-07-01T00:00:00", "--json")
    assert swap("--lang", "zh", *plan) == swap("--lang", "en", *plan)
    assert json.loads(swap("--lang", "zh", "devices", str(STATION_FILE), "--fault", "list", "--json"))


@pytest.mark.parametrize(
    ("before", "after", "report"),
    [((), (), "假设"), (("--lang", "en"), (), "Assumptions"), (("--lang", "zh"), ("--lang", "en"), "Assumptions")],
)
def test_report_and_tables_follow_the_option_and_are_chinese_without_it(
    before: tuple[str, ...], after: tuple[str, ...], report: str, tmp_path: Path
) -> None:
    folder = tmp_path / "tables"
    swap(*before, "simulate", SCENARIO, "-n", "2", *SHORT, "--tables", str(folder), *after)
    heads = (folder / "assumptions.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert heads.startswith({"假设": "部分,假设内容", "Assumptions": "Section,Assumption"}[report])


def _mode(after: StationMode, reason: str) -> StationModeChanged:
    return StationModeChanged(before=StationMode.AUTOMATIC, after=after, reason=reason)


def test_the_banner_names_the_reason_in_words(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    terminal.choose(None)
    station = load_station(STATION_FILE)
    announcer = Announcer(store, station, terminal.language(ZoneInfo("UTC")), print)
    at = datetime(2026, 11, 1, tzinfo=UTC)
    with store.transaction() as db:
        told = (
            (_mode(StationMode.HELD, "asked"), "王芳"),
            (SwapHeld(reason="guard_lost"), "controller"),
            (_mode(StationMode.THERMAL, "thermal event in A1, A2"), "controller"),
        )
        for event, actor in told:
            append_event(db, event, station_id=station.station.id, at=at, actor=actor, swap_id="sw-1")
    mode_line, held_line, hot_line = announcer.lines()
    assert "高温电池处置 (A1, A2 电池过热; controller)" in hot_line
    assert mode_line == "00:00:00  换电站: 暂停待确认 (人工请求; 王芳)"
    assert held_line.endswith("(动作中安全条件丢失)")


def test_every_invariant_of_the_audit_is_a_text_of_the_catalogue() -> None:
    texts = {str(message.id) for message in extracted(CONSOLE) if message.id}
    assert set(INVARIANTS.values()) <= texts
