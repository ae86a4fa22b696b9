"""Logging: one JSON object a line for a program, a person's form on a terminal, bound to what it is about."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.contextvars import bind_contextvars, bound_contextvars, clear_contextvars

from api import terminal
from api.cli.common import print_json, print_table
from api.logs import ROOMS, configure_logging


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    loggers = [logging.getLogger(), *(logging.getLogger(room) for room in ROOMS)]
    handlers, levels = loggers[0].handlers[:], [logger.level for logger in loggers]
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    clear_contextvars()


class Terminal(io.StringIO):
    """A stream with a person before it."""

    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_where_and_what_about() -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    with bound_contextvars(station="yangquan-mine", lane="L1", swap="S-1"):
        logging.getLogger("swap.station.lane.runner").warning("仓位 %s: %.1f s", "A1", 2.0)
    (line,) = lines(stream)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(line.pop("at"))).total_seconds()) < 60
    assert line == {
        "event": "仓位 A1: 2.0 s",
        "level": "warning",
        "logger": "swap.station.lane.runner",
        "station": "yangquan-mine",
        "lane": "L1",
        "swap": "S-1",
    }


def test_the_level_counts_for_our_rooms_and_libraries_are_quiet() -> None:
    stream = io.StringIO()
    configure_logging("debug", stream)
    for name in (*ROOMS, "httpx"):
        logging.getLogger(f"{name}.part").debug("one")
    logging.getLogger("httpx").info("GET /")
    assert [line["logger"] for line in lines(stream)] == [f"{room}.part" for room in ROOMS]
    configure_logging("error", stream)
    logging.getLogger("swap.part").warning("two")
    assert "two" not in stream.getvalue()


def test_an_exception_is_in_its_line() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    try:
        raise ValueError("soc_pct = 120: allowed 0…100")
    except ValueError:
        logging.getLogger("api.part").exception("not taken")
    (line,) = lines(stream)
    assert line["event"] == "not taken"
    assert "ValueError: soc_pct = 120: allowed 0…100" in line["exception"]


def test_a_person_reads_no_json() -> None:
    stream = Terminal()
    configure_logging("info", stream)
    logging.getLogger("swap.part").info("link works again")
    assert "link works again" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


async def test_tasks_and_threads_carry_what_was_bound() -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    bind_contextvars(station="a")
    log = logging.getLogger("swap.part")

    async def lane(name: str) -> None:
        bind_contextvars(lane=name)
        await asyncio.to_thread(log.info, "moves")

    async with asyncio.TaskGroup() as group:
        for name in ("L1", "L2"):
            group.create_task(lane(name))
    log.info("all")
    found = [(line["event"], line["station"], line.get("lane")) for line in lines(stream)]
    assert sorted(found[:2]) == [("moves", "a", "L1"), ("moves", "a", "L2")]
    assert found[2:] == [("all", "a", None)]


@pytest.mark.system
def test_the_devices_program_logs_by_the_line(tmp_path: Path) -> None:
    """A snapshot that is taken over is told; the next line says that it does not fit, and the program ends."""
    from tests.system.processes import example_station

    station, snapshot = example_station(tmp_path), tmp_path / "plant.json"
    code = f"""
import sys
from pathlib import Path
from sim.devices import servers
from sim.plant.plant import Plant
from swap.config.loading import load_station
from datetime import datetime, UTC
config = load_station(Path({str(station)!r}))
servers.write_snapshot(Plant(config, seed=1, start_at=datetime(2026, 1, 1, tzinfo=UTC)), Path({str(snapshot)!r}))
from api.cli.__main__ import main
sys.argv = ["swap", "devices", {str(station)!r}, "--snapshot", {str(snapshot)!r}, "--fault", "estop_pressed:L99"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    first = json.loads(done.stderr.splitlines()[0])
    assert first["event"].startswith("simulated plant goes on from")
    assert (first["level"], first["logger"], first["station"]) == ("info", "sim.devices.servers", "yangquan-mine")


ACTS = "Ann\x1b[2J\r\n\x9bA\u202etxt"
WRITTEN = "Ann\\u001b[2J\\u000d\\n\\u009bA\\u202etxt"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_what_acts_on_a_terminal_is_written_out(stream: io.StringIO) -> None:
    """A6: a name with an escape sequence or a line end in a message, a bound value, a traceback."""
    configure_logging("info", stream)
    with bound_contextvars(swap=ACTS):
        try:
            raise ValueError(ACTS)
        except ValueError:
            logging.getLogger("swap").exception("asked by %s", ACTS)
    text = stream.getvalue()
    shown = text if stream.isatty() else "\n".join(str(value) for value in json.loads(text).values())
    assert f"asked by {WRITTEN}" in shown
    assert [part for part in ("\x1b[2J", "\x9b", "\u202e", "\r") if part in text] == []
    assert len(text.splitlines()) == 1 or stream.isatty()


def test_the_command_line_writes_out_what_acts(capsys: pytest.CaptureFixture[str]) -> None:
    """A6: tables, lines, JSON."""
    print_table(("name",), [(ACTS,)])
    terminal.echo(f"by {ACTS}")
    print_json({"name": ACTS})
    told = capsys.readouterr().out
    assert [part for part in ("\x1b", "\x9b", "\u202e", "\r") if part in told] == []
    assert told.splitlines()[2] == WRITTEN
    assert json.loads(told[told.index("{") :]) == {"name": ACTS}
