"""Three swaps one after another, and `kill -9` of the station at 25 points of a swap, as a stranger's PLC sees it.

Five stations at a time, each killed five times over one swap: when a motion has begun, when it has ended, and when its
result has just been acknowledged. After each kill the next life must leave the cell alone until a person has confirmed,
and in the end the swap is over, and nothing has moved twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlmodel import select

from swap.audit import audit
from swap.tables import Bill
from tests.support.robotics.peer import Peer, powered, until
from tests.support.robotics.peer_station import PLAIN, Life, Product, product

pytestmark = pytest.mark.system

SWAP = ("ADMIT", "LOCATE", "UNLOCK", "PICK", "PUT", "PICK", "PUT", "LOCK", "HOME", "RELEASE")
Point = tuple[int, str]
POINTS: list[Point] = [
    (number, moment)
    for number, command in enumerate(SWAP, 1)
    for moment in ("motion", "end", "acknowledged")
    if moment != "acknowledged" or command in ("UNLOCK", "PICK", "LOCK") or number == 5
]
STATIONS = 5


def come(peer: Peer, point: Point) -> bool:
    """The cell has come to a point; the first motion is the homing."""
    number, moment = point
    motions = peer.said("motion")
    if len(motions) <= number:
        return False
    assert motions[number]["command"] == SWAP[number - 1], peer.motions()
    return any(line["seq"] == motions[number]["seq"] for line in peer.said(moment))


async def goes_on_to(station: Product, condition: Callable[[], object]) -> None:
    """Until a condition holds; a person lets go on what waits for a decision."""
    while not condition():
        await station.let_go_on()
        await asyncio.sleep(0.02)


async def trial(folder: Path, points: list[Point], life: Life = PLAIN) -> None:
    """One swap and its kills. AssertionError with the point at which something was wrong."""
    with powered(folder / "peer.log", "swap_cell_v2") as peer:
        await until(lambda: peer.said("listening"))
        async with product(folder / "station", peer) as station:
            await station.start(life)
            await station.confirmed()
            await station.comes(lambda: peer.motions() == ["HOME"])
            station.arrive()
            for point in points:
                async with asyncio.timeout(120):
                    await goes_on_to(station, partial(come, peer, point))
                await station.kill()
                await station.start(life)
                # What was written before the kill may still begin; once the dead owner is gone nothing may.
                lines = peer.lines()
                taken_over = max(n for n, line in enumerate(lines) if line["event"] == "owner" and line["owner"] == 0)
                await station.leaves_all_alone()
                begun = [line for line in peer.lines()[taken_over:] if line in station.asked()]
                assert not begun, f"killed at {point}; nobody has confirmed: {begun}"
                await station.confirmed()
            async with asyncio.timeout(120):
                await goes_on_to(station, lambda: station.state() == "completed")
            assert peer.motions() == ["HOME", *SWAP], points
            assert not peer.moved_twice()
            assert not peer.said("bad_write")
            await station.until(partial(has_bills, station, 1))
            audited(station)


def has_bills(station: Product, number: int) -> bool:
    with station.store.reading() as db:
        return len(db.exec(select(Bill.id)).all()) == number


def audited(station: Product) -> None:
    with station.store.reading() as db:
        report = audit(db)
    assert report.ok, [(i.name, i.violations) for i in report.invariants if i.violations]


async def test_three_trucks_are_served_one_after_another(tmp_path: Path) -> None:
    with powered(tmp_path / "peer.log", "swap_cell_v2") as peer:
        await until(lambda: peer.said("listening"))
        async with product(tmp_path / "station", peer) as station:
            await station.start()
            await station.confirmed()
            for number, vehicle in enumerate(("V1", "V2", "V3"), 1):
                station.arrive(vehicle)
                await station.comes(lambda: station.state() == "completed")
                await station.until(partial(has_bills, station, number))
            assert peer.motions() == ["HOME", *SWAP, *SWAP, *SWAP]
            assert {line["answer"] for line in peer.said("command")} == {1}
            assert [line["seq"] for line in peer.said("motion")] == list(range(1, 32))
            await station.until(lambda: len(peer.said("acknowledged")) == 31)
            audited(station)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_killed_at_25_points_nothing_moves_twice_and_none_without_a_person(tmp_path: Path) -> None:
    assert len(set(POINTS)) == 25
    chains = [POINTS[n::STATIONS] for n in range(STATIONS)]
    folders = [tmp_path / str(n) for n in range(STATIONS + 1)]
    for folder in folders:
        folder.mkdir()
    async with asyncio.TaskGroup() as group:
        for folder, points in zip(folders[:-1], chains, strict=True):
            group.create_task(trial(folder, points))
        goes_on_by_itself = group.create_task(found_wrong(folders[-1]))
    assert "nobody has confirmed" in goes_on_by_itself.result()


async def found_wrong(folder: Path) -> str:
    """What is wrong with a station that goes on by itself after a kill."""
    try:
        await trial(folder, [(3, "end")], Life(flawed=True))
    except AssertionError as error:
        return str(error)
    raise AssertionError("a station that goes on by itself is not found out")
