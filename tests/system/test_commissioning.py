"""The guide from the first ping to the first swap (found fault S20): its commands are run as they stand, against
devices that a station takes for real ones."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support.api.people import PIN
from tests.system.processes import LIMIT_S, StationProcess, example_station, swap

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("commissioning.md", "commissioning.zh-CN.md")


def commands(page: str) -> list[str]:
    """The lines to type, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_both_guides_have_twenty_steps_and_the_same_commands() -> None:
    """S20."""
    assert commands(PAGES[0]) == commands(PAGES[1])
    assert len(commands(PAGES[0])) > 12
    for page in PAGES:
        steps = re.findall(r"^\*\*(\d+)\. ", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert [int(step) for step in steps] == list(range(1, 21))


def test_every_page_that_the_guide_names_is_there() -> None:
    for page in PAGES:
        named = re.findall(r"\]\(([^)]+)\)", (DOCS / page).read_text(encoding="utf-8"))
        assert named
        assert [name for name in named if not (DOCS / name).is_file()] == []


@contextmanager
def devices(station: Path) -> Iterator[None]:
    """`swap devices`: equipment of its own, as on site."""
    process = subprocess.Popen(
        swap("devices", str(station)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        else:
            raise AssertionError("".join(lines))
        yield
    finally:
        process.kill()
        process.wait(LIMIT_S)
        if process.stdout is not None:
            process.stdout.close()


def typed(line: str, folder: Path, url: str) -> str:
    """Run a line of the guide that begins with `swap`; its output."""
    words = shlex.split(line)
    done = subprocess.run(
        swap(*words[1:]),
        cwd=folder,
        env=os.environ | {"SWAP_DATABASE_URL": url, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2])])},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def asked(line: str, port: int) -> httpx.Response:
    """Send what a `curl` line of the guide sends."""
    words = shlex.split(line)
    assert words[:2] == ["curl", "-s"]
    method, url, body, headers = "GET", "", None, {}
    rest = iter(words[2:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = json.loads(next(rest))
        else:
            assert word.startswith("http://127.0.0.1:8080/")
            url = word.replace(":8080/", f":{port}/")
    return httpx.request(method, url, headers=headers, json=body, timeout=10.0)


def answered(running: StationProcess, number: int) -> bool:
    """Whether a person's request has its answer."""
    return bool(running.get(f"/requests/{number}")["status"] != "open")


def called(running: StationProcess, swap_id: str) -> bool:
    """Whether the truck of a swap is past the queue."""
    return bool(running.swap(swap_id)["state"] != "queued")


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(900)  # many programs, one after the other, beside the other tests
def test_the_commands_of_the_guide_do_what_it_says(tmp_path: Path) -> None:
    """S20: from `swap check` over the first confirmation to the truck that is checked in."""
    station = example_station(tmp_path / "site", devices="real")
    (station.parent / "var").mkdir(exist_ok=True)
    database = tmp_path / "swap.db"
    url = f"sqlite:///{database}"
    running: StationProcess | None = None
    done: list[str] = []
    with devices(station):
        try:
            stands_for = {"PIN": PIN}
            for told in commands(PAGES[0]):
                line = re.sub("|".join(sorted(stands_for)), lambda found: stands_for[found[0]], told)
                if line.startswith("swap run"):
                    running = StationProcess(station, database, speed=1.0)
                    running.wait("the station answers", partial(running.get, "/stations"))
                    (item,) = running.get("/stations")["items"]
                    assert item["mode"] == "held"  # S11: the stock is confirmed by a person first
                elif line.startswith("swap "):
                    out = typed(line, station.parent, url)
                    assert out or line.startswith("swap db")
                    if line.startswith("swap user create"):
                        stands_for["PASSWORD"] = out.rsplit(" ", 1)[1].strip()
                else:
                    assert running is not None, "the guide asks the server before it is started"
                    answer = asked(line, running.port)
                    assert answer.status_code in (200, 202, 204), f"{line}\n{answer.text}"
                    if "access_token" in answer.text:
                        stands_for["TOKEN"] = answer.json()["access_token"]
                    if answer.status_code == 202 and "request_id" in answer.json():
                        number = answer.json()["request_id"]
                        running.wait("the request is answered", partial(answered, running, number))
                done.append(told)
            assert running is not None
            (swap_of_truck,) = running.swaps("open")
            assert swap_of_truck["vehicle_id"] == "YQ-001"
            running.wait("the truck is called", partial(called, running, swap_of_truck["swap_id"]))
        finally:
            if running is not None:
                running.close()
    assert done == commands(PAGES[0])


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_first_commands_of_the_readme_are_those_of_a_fresh_clone(name: str) -> None:
    """S20: `swap: command not found`. Before the first `swap` stands what puts it on the path; make has the targets."""
    text = (DOCS.parent / name).read_text(encoding="utf-8")
    typed_lines = re.findall(r"^    (?:\$ )?((?:make|swap) .*?)(?:  +#.*)?$", text, re.MULTILINE)
    first = next(n for n, line in enumerate(typed_lines) if line.startswith("swap "))
    assert any(line == "make setup && . .venv/bin/activate" for line in typed_lines[:first])
    targets = set(re.findall(r"^([a-z]+):", (DOCS.parent / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {line.split()[1] for line in typed_lines if line.startswith("make ")} <= targets
    assert {"setup", "run"} <= targets
