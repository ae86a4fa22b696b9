"""`swap run` from its first start over Ctrl-C and `kill -9` to a clean audit, as `make run` does it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.processes import StationProcess, audit, example_station

Starter = Callable[[], StationProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts the same station on the same database again."""
    station, database = example_station(tmp_path / "station"), tmp_path / "swap.db"
    started: list[StationProcess] = []

    def begin() -> StationProcess:
        started.append(StationProcess(station, database))
        return started[-1]

    yield begin
    for process in started:
        process.close()


def snapshot(process: StationProcess) -> dict[str, Any]:
    """The simulated plant as the process left it."""
    found: dict[str, Any] = json.loads(process.database.with_suffix(".plant.json").read_text(encoding="utf-8"))
    return found


def places(process: StationProcess) -> dict[str, str]:
    """Where each pack truly is."""
    return {code: pack["place"] for code, pack in snapshot(process)["rack"]["packs"].items()}


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_station_runs_stops_resumes_dies_and_waits_for_a_person(start: Starter) -> None:
    first = start()
    first.wait_for_line("/console")
    began_s = time.monotonic()
    completed = first.wait("a completed swap with its bill", lambda: _billed(first), limit_s=60)
    print(f"\nfirst completed swap {time.monotonic() - began_s:.1f} s after the address was shown")
    assert completed["timeline"][0]["kind"] == "swap.queued"
    assert completed["timeline"][-1]["kind"] in ("swap.completed", "bill.issued")
    assert [e["data"]["state"] for e in completed["timeline"] if e["kind"] == "swap.step_done"][-1] == "releasing"
    assert len(completed["bills"]) == 1
    assert completed["bills"][0]["total_yuan"] or completed["bills"][0]["lines"]

    # Ctrl-C in the middle of a swap: the robot is held, nothing charges.
    under_way = first.wait("a swap under way", first.under_way)
    assert first.interrupt() == 0
    assert "held" in first.rest() or "保持" in first.rest()
    logged = [json.loads(line) for line in first.lines if line.startswith("{")]
    assert "cell L1: hold: controller stopped" in [line["event"] for line in logged]
    assert {line["station"] for line in logged} == {"yangquan-mine"}
    plant = snapshot(first)
    assert all(bay["setpoint_kw"] == 0 and bay["held_kw"] == 0 for bay in plant["rack"]["bays"].values())
    assert all(cell["hold"] for cell in plant["cells"].values())

    # S5: the second start waits for a person, who lets it go on.
    second = start()
    second.wait_for_line("/console")
    second.wait("the station is held", lambda: second.get("/stations/yangquan-mine")["mode"] == "held", limit_s=10)
    assert second.get("/stations/yangquan-mine")["mode_reason"] == "swap_under_way"
    assert second.ask("confirm", "Operator A")["answer"].startswith("going on")
    second.wait("the swap ends", lambda: second.swap(under_way)["state"] == "completed")

    # Ctrl-C that a named person has permitted: the third start goes on by itself.
    under_way = second.wait("a swap under way", second.under_way)
    assert "goes on by itself" in second.ask("permit_restart", "Operator A", within_min="60")["answer"]
    assert second.interrupt() == 0
    second = start()
    second.wait_for_line("/console")
    second.wait("the swap goes on by itself", lambda: second.swap(under_way)["state"] == "completed")
    told = [e["kind"] for e in second.swap(under_way)["timeline"]]
    assert "swap.held" not in told

    # kill -9 in the middle of the next one: it waits for a person.
    under_way = second.wait("a swap under way", second.under_way)
    second.kill()
    third = start()
    third.wait_for_line("/console")
    third.wait("the station is held", lambda: third.get("/stations/yangquan-mine")["mode"] == "held", limit_s=10)
    held = third.swap(under_way)
    assert (held["phase"], held["hold_reason"]) == ("held", "restart")
    station_passes(third, 30)
    before = places(third)
    station_passes(third, 30)
    assert places(third) == before
    assert third.swap(under_way)["phase"] == "held"
    assert third.ask("confirm", "Operator A")["answer"].startswith("going on")
    third.wait("the swap ends", lambda: third.swap(under_way)["state"] == "completed")
    resumed = [e for e in third.swap(under_way)["timeline"] if e["kind"] == "swap.resumed"]
    assert [e["actor"] for e in resumed] == ["Operator A"]
    assert third.interrupt(signal.SIGHUP) == 0  # S12: as SIGTERM
    assert "Stopped" in third.rest() or "停止" in third.rest()
    plant = snapshot(third)
    assert all(bay["setpoint_kw"] == 0 and bay["held_kw"] == 0 for bay in plant["rack"]["bays"].values())
    assert third.process.returncode == 0

    report = audit(third.url)
    examined = {item["name"]: item["examined"] for item in report["invariants"]}
    empty = [name for name, count in examined.items() if not count]
    print(f"audit: {sum(examined.values())} items; nothing to look at in {empty}")
    assert examined["pack_in_one_place"] == 57
    assert sum(examined.values()) > 400
    at_all = {"rows_well_formed", "values_in_range", "journal_understood", "swap_steps_legal", "pack_in_one_place"}
    assert at_all <= examined.keys() - set(empty)  # of leases, payments and invoices there is nothing here
    taken = [place for place in places(third).values() if place != "off_site"]
    assert len(taken) == len(set(taken))


def station_passes(process: StationProcess, seconds: float) -> None:
    """Wait until the simulated plant has gone on by some station seconds."""
    until_us = snapshot(process)["now_us"] + seconds * 1e6
    process.wait(f"{seconds} s of the station", lambda: snapshot(process)["now_us"] >= until_us)


def _billed(process: StationProcess) -> dict[str, Any] | None:
    return next((process.swap(s["swap_id"]) for s in process.swaps("completed") if s["bills"]), None)
