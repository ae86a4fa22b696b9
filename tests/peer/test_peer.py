"""The real station against a PLC and a rack that were written from the pages alone, with the standard library.

`plc_peer.py` runs as a process of its own and moves a small machine whose motions take 0.2 s. All
drivers are the real ones.
"""

from __future__ import annotations

import ast
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import col, select

from robotics.plc_robot import PlcRobot
from robotics.port import (
    AckCode,
    CellState,
    CellStatus,
    CommandCode,
    Location,
    LocationKind,
    Refused,
    ResultCode,
    RobotCommand,
    Signal,
)
from swap.audit import audit
from swap.messages.commerce import BillIssued
from swap.messages.events import SwapStepFailed
from swap.station.life.ownership import CellOwned
from swap.tables import Bill, FaultRow, RobotCommandRow, Swap
from tests.support.robotics.peer import FULL_BAYS, LIMIT_S, PROGRAM, Peer, Run, Wire, powered, until
from tests.support.sim.plant import code, station

pytestmark = pytest.mark.system

MAPS = ["swap_cell_v2", "swap_cell_v1", "gantry_flags_v1"]
STEPS = [
    "admitting", "checking", "locating", "verifying", "unlocking", "lifting_old", "storing_old", "fetching_new",
    "placing_new", "locking", "accepting", "homing", "releasing",
]  # fmt: skip
SEAT = Location(LocationKind.SEAT, 1)


@pytest.fixture(params=MAPS)
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    with powered(tmp_path / "peer.log", request.param) as peer:
        await until(lambda: peer.said("listening"))
        yield peer


def test_the_peer_imports_nothing_of_this_project() -> None:
    looked_at, files = set(), [PROGRAM]
    roots: set[str] = set()
    while files:
        looked_at.add(files[-1])
        for node in ast.walk(ast.parse(files.pop().read_text(encoding="utf-8"))):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [str(node.module)]
            assert not (isinstance(node, ast.Name) and node.id in ("__import__", "exec", "eval"))
            for name in names:
                beside = PROGRAM.with_name(f"{name.removeprefix('tests.peer.')}.py")
                if beside.exists():
                    files += {beside} - looked_at
                else:
                    roots.add(name.partition(".")[0])
    assert len(looked_at) == 5
    assert not roots - sys.stdlib_module_names
    assert "importlib" not in roots


async def test_a_whole_swap_ends_in_one_bill(peer: Peer, tmp_path: Path) -> None:
    run = Run(tmp_path / "station", peer)
    async with run.running():
        await run.homed()
        swap_id = run.arrive()
        await run.until(lambda: run.events(BillIssued.kind))
        await run.until(lambda: peer.said("acknowledged")[-1]["seq"] == peer.said("motion")[-1]["seq"])

        assert run.steps() == STEPS
        assert not run.events(SwapStepFailed.kind)
        assert peer.motions() == [
            "HOME",
            *("ADMIT", "LOCATE", "UNLOCK", "PICK", "PUT", "PICK", "PUT", "LOCK", "HOME", "RELEASE"),
        ]
        with run.store.reading() as db:
            swap = db.get_one(Swap, swap_id)
            commands = db.exec(select(RobotCommandRow).order_by(col(RobotCommandRow.id))).all()
            bill = db.exec(select(Bill).where(Bill.swap_id == swap_id)).one()
            report = audit(db)
            faults = db.exec(select(FaultRow).where(col(FaultRow.open_key).is_not(None))).all()
            assert swap.state == "completed"
            assert bill.total_fen > 0
            assert [c.seq for c in commands] == [line["seq"] for line in peer.said("motion")]
            assert {c.result for c in commands} == {"done"}
            assert not faults
        assert report.ok, [(i.name, i.violations) for i in report.invariants if i.violations]
        assert not peer.moved_twice()
        assert not peer.said("bad_write")
        assert {line["answer"] for line in peer.said("command")} == {1}
        # The truck has left with a charged pack, its own one stands in the bay that was empty.
        shown = (await run.controller.rack.monitor.read_bays()).values()
        assert sorted(r.pack_id for r in shown if r.pack_id) == sorted(
            [code(11), *(code(n) for n in FULL_BAYS if n != peer.said("motion")[6]["source"])]
        )


async def test_a_number_written_again_does_not_move_twice(peer: Peer, tmp_path: Path) -> None:
    async with Wire(peer.map, peer.port, hide=CommandCode.PICK).open() as wire:
        run = Run(tmp_path / "station", peer, lane_port=wire.port)
        async with run.running():
            await run.homed()
            run.arrive()
            await run.until(lambda: "lifting_old" in run.steps())
    assert wire.answers_kept_back > 3
    assert wire.numbers().count(wire.hidden) == 2
    assert [line["seq"] for line in peer.said("motion")].count(wire.hidden) == 1
    assert not peer.moved_twice()


async def test_a_second_controller_is_refused_and_moves_nothing(peer: Peer, tmp_path: Path) -> None:
    async with owner(peer) as first, Wire(peer.map, peer.port).open() as wire:
        await ended(first, RobotCommand(1, CommandCode.HOME))
        second = Run(tmp_path / "second", peer, lane_port=wire.port)
        try:
            with pytest.raises(CellOwned, match=str(first.owner_token)):
                await second.controller.start(claim_wait_s=0.3)
        finally:
            second.store.close()
        assert wire.writes == []

        stranger = robot(peer, token=9)
        await stranger.link.connect()
        try:
            with pytest.raises(Refused):
                await stranger.send(RobotCommand(2, CommandCode.PICK, Location(LocationKind.BAY, 1)))
            # One that does not look at the owner word first.
            await stranger._write({"cmd_heartbeat": 77, "owner_claim": 9})
            await stranger._write(raw_pick(peer, token=9, seq=2))
            await until(lambda: answers(peer)[-1] == (2, AckCode.REFUSED_OWNER))
            assert peer.motions() == ["HOME"]
            # The number of the refused command is still free for the owner, and used up from then on.
            pick = RobotCommand(2, CommandCode.PICK, Location(LocationKind.BAY, 1))
            status = await ended(first, pick)
            assert status.signals[Signal.GRIPPER_LOADED] is True
            await stranger._write(raw_pick(peer, token=9, seq=3))
            await until(lambda: answers(peer)[-1] == (3, AckCode.REFUSED_OWNER))
            await first.send(pick)
            await until(lambda: answers(peer)[-1] == (2, AckCode.ACCEPTED))
            assert (await shown(first, lambda s: s.ack_seq == 2)).active_seq == 0
        finally:
            await stranger.link.close()
        assert peer.motions() == ["HOME", "PICK"]
        assert [line["owner"] for line in peer.said("owner")] == [first.owner_token]


async def test_what_does_not_fit_is_answered_and_does_not_move(peer: Peer) -> None:
    bay = Location(LocationKind.BAY, 4)
    async with owner(peer) as first:
        asked = [
            (RobotCommand(1, CommandCode.ADMIT, vehicle_tag=101), AckCode.REFUSED_INTERLOCK),  # not at home yet
            (RobotCommand(2, CommandCode.UNLOCK, target=SEAT), AckCode.REFUSED_INTERLOCK),  # no vehicle
            (RobotCommand(3, CommandCode.PICK, bay), AckCode.REFUSED_INTERLOCK),  # nothing there
            (RobotCommand(4, CommandCode.PICK), AckCode.REFUSED_PARAMETER),
            (RobotCommand(5, CommandCode.PUT, target=Location(LocationKind.BAY, 7)), AckCode.REFUSED_PARAMETER),
        ]
        for command, answer in asked:
            await first.send(command)
            assert (await answered(first, command.seq)).ack_code is answer
        await first.hold("test")
        await first.send(RobotCommand(6, CommandCode.HOME))
        status = await answered(first, 6)
        assert (status.ack_code, status.state) == (AckCode.REFUSED_MODE, CellState.PAUSED)
        await first.resume()
        assert peer.motions() == []
        await ended(first, RobotCommand(7, CommandCode.HOME))
    await until(lambda: peer.said("owner")[-1]["owner"] == 0)


async def test_after_a_loss_of_power_nothing_moves_by_itself(peer: Peer, tmp_path: Path) -> None:
    kept, name = str(tmp_path / "retentive.json"), peer.map.name
    slow = ("--retain", kept, "--motion-s", "60")
    with powered(tmp_path / "first.log", name, *slow) as first:
        await until(lambda: first.said("listening"))
        async with owner(first) as station_side:
            await station_side.send(RobotCommand(41, CommandCode.HOME))
            assert (await answered(station_side, 41)).active_seq == 41
            first.stop(signal.SIGKILL)
            with powered(tmp_path / "second.log", name, "--retain", kept, instead_of=first) as second:
                await until(lambda: second.said("listening"))
                status = await shown(station_side, lambda s: s.result is ResultCode.ABORTED)
                assert (status.done_seq, status.active_seq) == (41, 0)
                assert status.signals[Signal.POWER_OK] is False
                assert 1005 in status.fault_codes
                await shown(station_side, lambda s: s.owner == 7)
                await station_side.send(RobotCommand(41, CommandCode.HOME))
                await station_side.acknowledge(41)
                await shown(station_side, lambda s: s.result is ResultCode.NONE and s.owner != 0)
                await station_side.send(RobotCommand(42, CommandCode.HOME))
                assert (await answered(station_side, 42)).ack_code is AckCode.REFUSED_INTERLOCK
                assert second.motions() == []
                second.at_panel(signal.SIGUSR1)
                await shown(station_side, lambda s: s.signals[Signal.POWER_OK] is True)
                status = await ended(station_side, RobotCommand(43, CommandCode.HOME))
                assert status.signals[Signal.HOMED] is True
                assert second.motions() == ["HOME"]


async def test_an_emergency_stop_aborts_and_a_person_releases_it(tmp_path: Path) -> None:
    with powered(tmp_path / "slow.log", "swap_cell_v1", "--motion-s", "60") as peer:
        await until(lambda: peer.said("listening"))
        async with owner(peer) as first:
            await first.send(RobotCommand(1, CommandCode.HOME))
            await answered(first, 1)
            peer.at_panel(signal.SIGUSR2)
            status = await shown(first, lambda s: s.result is ResultCode.ABORTED)
            assert (status.fault_code, status.state) == (1001, CellState.ALARM)
            await first.acknowledge(1)
            peer.at_panel(signal.SIGUSR2)
            await first.send(RobotCommand(2, CommandCode.HOME))
            status = await answered(first, 2)
            assert (status.ack_code, status.signals[Signal.ESTOP_OK]) == (AckCode.REFUSED_INTERLOCK, False)
            peer.at_panel(signal.SIGUSR1)
            await shown(first, lambda s: s.signals[Signal.ESTOP_OK] is True)
            assert peer.motions() == ["HOME"]


# --- the driver alone -------------------------------------------------------------------------------------------------


def robot(peer: Peer, token: int) -> PlcRobot:
    cell = station(ports=(1, 2, peer.port), map_name=peer.map.name).lanes[0].cell
    return PlcRobot("L1", cell, peer.map, token, lambda: datetime.now(UTC))


def raw_pick(peer: Peer, token: int, seq: int) -> dict[str, int]:
    """The registers of a pick from bay 1."""
    pick = peer.map.raw_of("cmd_code", "pick")
    numbers = {"cmd_owner": token, "cmd_code": pick, "cmd_seq": seq}
    return {**numbers, "cmd_source": 1, "cmd_target": 0, "cmd_vehicle_tag": 0}


def answers(peer: Peer) -> list[tuple[int, int]]:
    """Number and answer of every command that was looked at."""
    return [(line["seq"], line["answer"]) for line in peer.said("command")]


@asynccontextmanager
async def owner(peer: Peer) -> AsyncIterator[PlcRobot]:
    """A driver that owns the cell."""
    first = robot(peer, token=7)
    await first.connect()
    try:
        await shown(first, lambda s: s.owner == 7)
        yield first
    finally:
        await first.close()


async def shown(driver: PlcRobot, wanted: Callable[[CellStatus], bool]) -> CellStatus:
    """The first status that is as wanted."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            status = await driver.status()
            if wanted(status):
                return status
            await asyncio.sleep(0.02)


async def answered(driver: PlcRobot, seq: int) -> CellStatus:
    return await shown(driver, lambda s: s.ack_seq == seq and s.ack_code is not AckCode.NONE)


async def ended(driver: PlcRobot, command: RobotCommand) -> CellStatus:
    """Send a command and acknowledge its end, which must be good."""
    await driver.send(command)
    status = await shown(driver, lambda s: s.done_seq == command.seq and s.result is not ResultCode.NONE)
    assert status.result is ResultCode.DONE
    await driver.acknowledge(command.seq)
    return await shown(driver, lambda s: s.result is ResultCode.NONE)
