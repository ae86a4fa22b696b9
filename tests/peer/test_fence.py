"""What arrives late, twice or from another controller changes nothing at a fenced cell: the simulated one and the peer.

Each test is one of the ways in which a layout without an epoch moves a robot that nobody asked to move.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from robotics.modbus_link.registers import load_map
from sim.devices.servers import DeviceServers
from sim.plant.plant import Plant
from tests.support.ports import own_ports
from tests.support.robotics.fence import LateController
from tests.support.robotics.peer import powered, until
from tests.support.sim.plant import START_AT, station

pytestmark = pytest.mark.system
MAP = "swap_cell_v2"
OURS, OTHER = 7, 9


@dataclass
class Cell:
    """A PLC and the hands at its panel."""

    port: int
    motions: Callable[[], int]
    """Motions begun since the start."""
    curtain: Callable[[bool], None]
    """True breaks the light curtain, False clears it."""

    @asynccontextmanager
    async def controller(self, token: int = OURS) -> AsyncIterator[LateController]:
        client = AsyncModbusTcpClient("127.0.0.1", port=self.port, timeout=3.0, retries=0)
        assert await client.connect()
        try:
            yield LateController(client, load_map(MAP), token)
        finally:
            client.close()


@pytest.fixture(params=["simulated", "peer"])
async def cell(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cell]:
    if request.param == "peer":
        with powered(tmp_path / "peer.log", MAP, "--motion-s", "1.0") as peer:
            await until(lambda: peer.said("listening"))
            yield Cell(peer.port, lambda: len(peer.said("motion")), lambda _: peer.at_panel(signal.SIGHUP))
        return
    config = station(ports=own_ports(4), map_name=MAP)
    plant = Plant(config, seed=3, start_at=START_AT)
    servers = DeviceServers(plant, config, speed=15.0)
    begun: list[int] = []
    plant.cell("L1").listeners.append(lambda what, command: begun.append(command.seq) if what == "accepted" else None)

    def curtain(broken: bool) -> None:
        if broken:
            plant.inject("curtain", "L1")
        else:
            plant.clear("curtain", "L1")

    await servers.start()
    try:
        yield Cell(config.lanes[0].cell.address.port, lambda: len(begun), curtain)
    finally:
        await servers.stop()


async def test_a_late_copy_of_an_earlier_command_does_not_move_again(cell: Cell) -> None:
    async with cell.controller() as ours:
        await ours.own()
        epoch = (await ours.look())["epoch"]
        await ours.homed(1)
        await ours.homed(2)
        await ours.beat()
        await ours.home(1, epoch)
        status = await ours.scans()
        assert (status["active_seq"], status["last_seq"], status["ack_seq"]) == (0, 2, 2)
        assert cell.motions() == 2


async def test_a_late_heartbeat_does_not_give_the_cell_back(cell: Cell) -> None:
    async with cell.controller() as ours:
        await ours.own()
        epoch = (await ours.look())["epoch"]
        lost = await ours.seen(lambda s: s["owner"] == 0)
        assert lost["epoch"] == epoch + 1
        await ours.beat(epoch=epoch)
        await ours.home(1, epoch)
        status = await ours.scans()
        assert (status["owner"], status["epoch"]) == (0, epoch + 1)
        assert cell.motions() == 0
        await ours.own()  # one that has looked is heard


async def test_a_late_withdrawal_releases_nothing(cell: Cell) -> None:
    async with cell.controller() as ours:
        await ours.own()
        await ours.hold(True, 1)
        await ours.seen(lambda s: s["hold_seen"] == 1)
        # Withdrawn with number 2, which is late; its writer has asked for the hold again meanwhile.
        await ours.hold(True, 3)
        await ours.scans()
        await ours.hold(False, 2)
        assert (await ours.scans())["hold_seen"] == 1
        await ours.hold(False, 4)
        await ours.seen(lambda s: s["hold_seen"] == 0)


async def test_hold_and_release_of_a_controller_that_has_lost_the_cell_do_nothing(cell: Cell) -> None:
    async with cell.controller() as ours, cell.controller(OTHER) as other:
        await ours.own()
        epoch = (await ours.look())["epoch"]
        await ours.beat(claim=0)
        await ours.seen(lambda s: s["owner"] == 0)
        await other.own()
        await ours.hold(True, 5, epoch)
        assert (await other.scans())["hold_seen"] == 0
        await other.hold(True, 1)
        await other.seen(lambda s: s["hold_seen"] == 1)
        await ours.hold(False, 9, epoch)
        assert (await other.scans())["hold_seen"] == 1
        await ours.beat(claim=0, epoch=epoch)
        assert (await other.scans())["owner"] == OTHER, "only the owner gives the cell up"


async def test_a_confirmation_older_than_a_trip_does_not_release_it(cell: Cell) -> None:
    async with cell.controller() as ours:
        await ours.own()
        await ours.home(1)
        await ours.seen(lambda s: s["active_seq"] == 1)
        confirmed_in = (await ours.look())["epoch"]
        cell.curtain(True)
        paused = await ours.seen(lambda s: s["state"] == 3)
        assert paused["epoch"] != confirmed_in
        cell.curtain(False)
        await ours.seen(lambda s: s["curtain_clear"] is True)
        await ours.hold(False, 1, confirmed_in)
        assert (await ours.scans())["state"] == 3
        await ours.beat()
        await ours.hold(False, 2)  # what was shown is what was confirmed
        await ours.seen(lambda s: s["result"] == 1)
        assert cell.motions() == 1


async def test_an_acknowledgement_acts_once_and_the_result_stays_readable(cell: Cell) -> None:
    async with cell.controller() as ours:
        await ours.own()
        await ours.home(1)
        ended = await ours.seen(lambda s: s["result"] == 1)
        before = ended["epoch"] - 1 or 65535
        await ours.acknowledge(1, before)
        assert (await ours.scans())["result"] == 1
        await ours.beat()
        await ours.acknowledge(1)
        status = await ours.seen(lambda s: s["result"] == 0)
        assert (status["done_seq"], status["done_result"]) == (1, 1)
        await ours.home(2)
        status = await ours.seen(lambda s: s["active_seq"] == 2)
        assert status["done_result"] == 0
        status = await ours.seen(lambda s: s["done_seq"] == 2)
        assert status["result"] == 1, "what stands in the register does not acknowledge a later result"


async def test_a_stranger_s_command_leaves_the_owner_s_answer_alone(cell: Cell) -> None:
    async with cell.controller() as ours:
        await ours.own()
        await ours.home(1)
        await ours.seen(lambda s: s["active_seq"] == 1)
        await ours.home(2, token=OTHER)
        status = await ours.seen(lambda s: s["refused_owner"] == OTHER)
        assert (status["ack_seq"], status["ack_code"], status["last_seq"]) == (1, 1, 1)
        await ours.seen(lambda s: s["result"] == 1)
        await ours.acknowledge(1)
        await ours.homed(2)  # the number is still free for the owner
        assert cell.motions() == 2


async def test_the_first_number_of_an_epoch_is_free_and_the_last_one_is_not(cell: Cell) -> None:
    async with cell.controller() as ours:
        await ours.own()
        await ours.homed(40_000)
        await ours.homed(40_001)
        await ours.beat(claim=0)
        await ours.seen(lambda s: s["owner"] == 0)
        await ours.own()
        await ours.home(40_001)
        status = await ours.scans()
        assert (status["active_seq"], status["ack_seq"]) == (0, 40_001)
        await ours.homed(3)
        await ours.beat()
        await ours.home(40_001)
        await ours.scans()
        assert cell.motions() == 3
