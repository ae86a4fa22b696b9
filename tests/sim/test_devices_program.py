"""The devices as a program: what they keep over a restart, ports, the control interface, faults from the start."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from robotics.port import CommandCode, ResultCode, RobotCommand
from sim.devices.control import create_control_app
from sim.devices.program import run_devices
from sim.devices.server import DeviceError
from sim.devices.servers import DeviceServers
from sim.plant.plant import PlantError
from tests.support.ports import own_ports
from tests.support.sim.devices import running
from tests.support.sim.plant import bay, code, station

pytestmark = pytest.mark.system

C, R = CommandCode, ResultCode


async def test_a_command_is_stored_before_it_is_answered_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "plant.json"
    config = station(ports=own_ports(4))
    async with running(path, config) as bench:
        robot = bench.robot()
        await robot.connect()
        await robot.send(RobotCommand(1, C.PICK, source=bay(1)))
        stored = json.loads(path.read_text(encoding="utf-8"))
        assert stored["cells"]["L1"]["active"]["seq"] == 1
        bench.later(0.2)
        killed = path.read_bytes()
        await robot.close()
    path.write_bytes(killed)  # as a kill would leave it
    async with running(path, config) as bench:
        cell = bench.plant.cell("L1")
        assert cell.active_seq == 1
        assert cell.owner == 7
        bench.later(1.0)
        assert cell.result is R.DONE
        assert bench.plant.rack.pack(code(1)).place == "gripper:L1"
        robot = bench.robot(token=9)
        await robot.connect()
        bench.later(2.5)
        await robot.status()
        await robot.beat()
        status = await robot.status()
        assert (status.owner, status.done_seq, status.result) == (9, 1, R.DONE)
        await robot.close()


async def test_the_plant_is_stored_each_second_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "var" / "plant.json"
    async with running(path) as bench:
        bench.later(0.5)
        bench.later(0.6)
        assert json.loads(path.read_text(encoding="utf-8"))["now_us"] == 66_000_000
        bench.hands.s += 0.25
    assert json.loads(path.read_text(encoding="utf-8"))["now_us"] == 81_000_000
    assert [p.name for p in path.parent.iterdir()] == ["plant.json"]


async def test_a_snapshot_that_does_not_fit_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "plant.json"
    for content in ("no json", "{}", '{"version": 1, "station": "elsewhere"}'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(DeviceError, match=r"plant\.json: the stored plant cannot be taken over"):
            async with running(path):
                pass


async def test_a_port_in_use_is_named() -> None:
    async with running() as bench:
        with pytest.raises(DeviceError, match="another program may use it"):
            async with running(config=bench.config):
                pass


async def test_the_control_interface_puts_faults_in_and_shows_the_truth() -> None:
    async with running() as bench:
        transport = httpx.ASGITransport(app=create_control_app(bench.servers))
        async with httpx.AsyncClient(transport=transport, base_url="http://control") as http:
            assert (await http.post("/faults", json={"name": "estop", "target": "L1"})).status_code == 204
            assert (await http.get("/plant")).json()["cells"]["L1"]["state"] == "alarm"
            assert (await http.delete("/faults/estop/L1")).status_code == 204
            assert (await http.get("/plant")).json()["cells"]["L1"]["state"] == "ready"
            wrong = await http.post("/faults", json={"name": "gripper_jam", "target": "L9"})
            assert wrong.status_code == 422
            assert "known: L1" in wrong.json()["detail"]
            names = {row["name"] for row in (await http.get("/faults")).json()}
            assert {"estop", "truck_rolls", "half_open"} <= names
            assert (await http.post("/arrivals", json={"vehicle_id": "V1", "soc_pct": [20]})).status_code == 204
            assert (await http.get("/plant")).json()["trucks"]["V1"]["place"] == "yard"
            assert (await http.post("/arrivals", json={"vehicle_id": "V1"})).status_code == 422
            assert (await http.get("/addresses")).json()["meter"].startswith("127.0.0.1:")


async def test_the_devices_alone_begin_with_the_faults_asked_for(tmp_path: Path) -> None:
    ready: asyncio.Future[DeviceServers] = asyncio.get_running_loop().create_future()
    running_alone = asyncio.create_task(
        run_devices(
            station(ports=own_ports(4)),
            snapshot_path=tmp_path / "plant.json",
            faults=["estop_pressed:L1", "slow_replies:rack-1,delay_s=0.5"],
            on_ready=ready.set_result,
        )
    )
    servers = await ready
    assert servers.plant.cell("L1").faults.estop
    assert servers.plant.wire_faults == {"rack-1": {"slow_replies": {"delay_s": 0.5}}}
    running_alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_alone
    assert (tmp_path / "plant.json").is_file()


async def test_a_wrong_fault_ends_the_devices_with_what_is_allowed() -> None:
    with pytest.raises(PlantError, match="no fault 'nonsense'"):
        await run_devices(station(ports=own_ports(4)), faults=["nonsense:L1"])


async def test_a_failing_tick_ends_those_who_watch() -> None:
    async with running() as bench:
        bench.plant.cells["L1"].act = None  # type: ignore[method-assign, assignment]
        with pytest.raises(TypeError):
            await bench.servers.watch()
