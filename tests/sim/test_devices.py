"""The plant over real Modbus TCP. Real time is moved by hand, so nothing here waits for a clock."""

from __future__ import annotations

import asyncio

import pytest
from pymodbus.exceptions import ModbusIOException

from battery_bms.config import CHARGER_EFFICIENCY
from battery_bms.modbus_meter import ModbusMeter
from battery_bms.modbus_rack import ModbusRack
from robotics.modbus_link.registers import load_map
from robotics.port import (
    AckCode,
    CommandCode,
    LinkLost,
    Location,
    Refused,
    ResultCode,
    RobotCommand,
    Signal,
)
from swap.places import bay_place, vehicle_place
from tests.support.ports import own_ports
from tests.support.sim.devices import running, until_done
from tests.support.sim.plant import bay, code, seat, station
from tests.support.tools import require_tool

pytestmark = pytest.mark.system

C, A, R = CommandCode, AckCode, ResultCode
MAPS = ["swap_cell_v2", "swap_cell_v1", "gantry_flags_v1"]


async def test_heartbeat_and_bay_occupancy_are_where_the_map_says() -> None:
    async with running() as bench:
        client = await bench.client("L1")
        cell_map = load_map("swap_cell_v1")
        first = await client.read_holding_registers(cell_map.entries["heartbeat"].address, count=1)
        again = await client.read_holding_registers(cell_map.entries["heartbeat"].address, count=1)
        assert first.registers == again.registers, "reading moves nothing"
        bench.later(1.05)
        later = await client.read_holding_registers(cell_map.entries["heartbeat"].address, count=1)
        assert later.registers[0] - first.registers[0] == 10
        span = cell_map.read_blocks["slow"][0]
        slow = await client.read_holding_registers(span.address, count=span.count)
        occupied = cell_map.decode("slow", slow.registers)["bays_occupied"]
        assert isinstance(occupied, tuple)
        assert occupied[:7] == (True, True, True, False, False, False, None)
        client.close()


async def test_the_time_of_the_plant_is_real_time_times_speed() -> None:
    async with running() as bench:
        client = await bench.client("meter")
        for _ in range(20):
            await client.read_holding_registers(0, count=5)
        assert bench.plant.now_us == 0
        bench.later(2.0)
        assert bench.plant.now_us == 120_000_000
        client.close()


@pytest.mark.parametrize("map_name", MAPS)
async def test_the_real_driver_makes_a_whole_swap(map_name: str) -> None:
    async with running(map_name=map_name) as bench:
        robot = bench.robot()
        await robot.connect()
        bench.plant.arrive("V1", [30])
        steps = [
            RobotCommand(1, C.ADMIT, vehicle_tag=101),
            RobotCommand(2, C.LOCATE),
            RobotCommand(3, C.UNLOCK, target=seat()),
            RobotCommand(4, C.PICK, source=seat()),
            RobotCommand(5, C.PUT, target=bay(4)),
            RobotCommand(6, C.PICK, source=bay(1)),
            RobotCommand(7, C.PUT, target=seat()),
            RobotCommand(8, C.LOCK, target=seat()),
            RobotCommand(9, C.HOME),
            RobotCommand(10, C.RELEASE),
        ]
        for step in steps:
            await robot.send(step)
            status = await until_done(bench, robot, step.seq)
            assert status.result is R.DONE, (step, status)
            if step.code is C.LOCK:
                assert status.signals[Signal.LOCKS_CLOSED]
                assert map_name == "gantry_flags_v1" or status.heads_closed[:4] == (True,) * 4
        assert bench.plant.rack.pack(code(1)).place == vehicle_place("V1", 1)
        assert bench.plant.rack.pack(code(11)).place == bay_place("A4")
        await robot.close()
        assert bench.plant.cell("L1").owner == 0


@pytest.mark.parametrize("map_name", MAPS)
async def test_a_write_repeated_on_the_wire_moves_once(map_name: str) -> None:
    async with running(map_name=map_name) as bench:
        robot = bench.robot()
        await robot.connect()
        told: list[str] = []
        bench.plant.cell("L1").listeners.append(lambda what, _: told.append(what))
        pick = RobotCommand(1, C.PICK, source=bay(1))
        for _ in range(3):
            await robot.send(pick)
        assert (await robot.status()).active_seq == 1
        await until_done(bench, robot, 1)
        await robot.send(pick)
        bench.later(2.0)
        assert told.count("accepted") == 1
        await robot.close()


@pytest.mark.parametrize("map_name", MAPS)
async def test_refusals_reach_the_driver(map_name: str) -> None:
    async with running(map_name=map_name) as bench:
        robot = bench.robot()
        await robot.connect()
        await robot.send(RobotCommand(1, C.PICK, source=bay(4)))
        status = await robot.status()
        assert (status.ack_seq, status.ack_code, status.active_seq) == (1, A.REFUSED_INTERLOCK, 0)
        await robot.send(RobotCommand(2, C.PICK, source=Location.from_code(19)))
        assert (await robot.status()).ack_code is A.REFUSED_PARAMETER
        await robot.hold("test")
        await robot.send(RobotCommand(3, C.HOME))
        assert (await robot.status()).ack_code is A.REFUSED_MODE
        await robot.resume()
        await robot.send(RobotCommand(4, C.HOME))
        assert (await robot.status()).ack_code is A.ACCEPTED
        await robot.close()


async def test_two_controllers_the_second_is_refused_until_the_first_is_silent() -> None:
    async with running(map_name="swap_cell_v1") as bench:
        one, two = bench.robot(token=7), bench.robot(token=8)
        await one.connect()
        await two.connect()
        assert bench.plant.cell("L1").owner == 7
        with pytest.raises(Refused, match="owned by controller 7"):
            await two.send(RobotCommand(1, C.HOME))
        raw = await bench.client("L1")  # a controller that does not ask first
        entries = load_map("swap_cell_v1").entries
        await raw.write_registers(entries["cmd_owner"].address, [8, int(C.HOME), 0, 0, 0, 0, 1])
        status = await one.status()
        assert (status.ack_code, status.owner, status.active_seq) == (A.REFUSED_OWNER, 7, 0)
        await one.send(RobotCommand(1, C.HOME))
        assert (await one.status()).active_seq == 1, "the stranger has not used up the number"
        raw.close()
        bench.later(3.1)
        assert bench.plant.cell("L1").owner == 0
        await two.status()
        await two.beat()
        assert bench.plant.cell("L1").owner == 8
        await one.close()
        await two.close()


async def test_a_silent_station_lets_the_motion_end_and_starts_none() -> None:
    async with running() as bench:
        robot = bench.robot()
        await robot.connect()
        await robot.send(RobotCommand(1, C.PICK, source=bay(1)))
        bench.later(3.5)
        cell = bench.plant.cell("L1")
        assert cell.result is R.DONE, "the running motion has ended"
        assert bench.plant.cell("L1").station_alive is False
        await robot.status()
        await robot.beat()
        assert bench.plant.cell("L1").station_alive is True
        await robot.close()


async def test_rack_and_meter_drivers_read_the_truth_and_set_the_power() -> None:
    async with running() as bench:
        rack = ModbusRack(bench.config.rack_devices, bench.config.bays, bench.now, monotonic=bench.hands)
        section = bench.config.site.meter
        assert section is not None
        meter = ModbusMeter(section, bench.now, monotonic=bench.hands)
        await rack.connect()
        await meter.connect()
        await rack.read_bays()
        bench.later(1.0)
        readings = await rack.read_bays()
        truth = bench.plant.pack_reading("A1")
        assert readings["A1"].pack_id == code(1)
        assert readings["A1"].energy_kwh == pytest.approx(truth.energy_kwh, abs=0.01)
        assert readings["A1"].temp_max_c == pytest.approx(truth.temp_max_c, abs=0.1)
        assert readings["A4"].present is False
        assert await rack.set_charge_kw({"A1": 100.0, "A2": 30.0}) == {}
        assert bench.plant.pack_reading("A1").charge_kw == pytest.approx(100)
        bench.later(1.0)
        power = await meter.read()
        assert power is not None
        assert power.import_kw == pytest.approx(20 + 130 / CHARGER_EFFICIENCY, abs=0.1)
        assert (await rack.read_bays())["A1"].meter_kwh == pytest.approx(100 / 60, abs=0.01)
        bench.plant.inject("bms_silent", "A2")
        bench.later(12.0)
        assert (await rack.read_bays())["A2"].soc_pct is None
        bench.later(31.0)
        assert bench.plant.pack_reading("A1").setpoint_kw == 0, "the set-point has expired"
        await rack.close()
        await meter.close()


async def test_a_charger_that_ignores_its_set_point_does_not_echo_it() -> None:
    async with running() as bench:
        rack = ModbusRack(bench.config.rack_devices, bench.config.bays, bench.now)
        await rack.connect()
        assert await rack.set_charge_kw({"A1": 100.0}) == {}
        bench.plant.inject("charger_ignores_setpoint", "A1")
        assert "A1" in await rack.set_charge_kw({"A1": 50.0})
        assert bench.plant.pack_reading("A1").charge_kw == pytest.approx(100)
        await rack.close()


async def test_only_command_registers_can_be_written() -> None:
    async with running(map_name="swap_cell_v1") as bench:
        client = await bench.client("L1")
        for address in (0, 100):
            assert (await client.write_register(address, 1)).exception_code == 2
        assert (await client.write_registers(208, [1, 2, 3, 4])).exception_code == 2
        assert (await client.read_holding_registers(400, count=1)).exception_code == 2
        assert (await client.read_coils(0, count=8)).exception_code == 1
        assert not (await client.read_input_registers(0, count=8)).isError()
        client.close()


async def test_a_command_that_cannot_be_read_is_refused() -> None:
    async with running(map_name="swap_cell_v1") as bench:
        client = await bench.client("L1")
        await client.write_registers(200, [1, 7])
        await client.write_registers(202, [7, 99, 0, 0, 0, 0, 5])
        assert (await client.read_holding_registers(4, count=2)).registers == [5, 4]
        await client.write_registers(202, [7, int(C.PICK), 9999, 0, 0, 0, 6])
        assert (await client.read_holding_registers(4, count=2)).registers == [6, 4]
        client.close()


async def test_faults_of_the_wire() -> None:
    async with running() as bench:
        client = await bench.client("L1", timeout_s=0.2)
        bench.plant.inject("exception_replies", "L1", code=4)
        assert (await client.read_holding_registers(0, count=1)).exception_code == 4
        bench.plant.clear("exception_replies", "L1")
        check = load_map("swap_cell_v1").entries["word_check"].address
        assert (await client.read_holding_registers(check, count=2)).registers == [0x1234, 0x5678]
        bench.plant.inject("wrong_word_order", "L1")
        bench.later(0.1)
        assert (await client.read_holding_registers(check, count=2)).registers == [0x5678, 0x1234]
        bench.plant.clear("wrong_word_order", "L1")
        bench.plant.inject("half_open", "L1")
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(0, count=1)
        assert client.connected
        bench.plant.clear("half_open", "L1")
        bench.plant.inject("slow_replies", "L1", delay_s=0.05)
        assert not (await client.read_holding_registers(0, count=1)).isError()
        bench.plant.inject("slow_replies", "L1", delay_s=60.0)
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(0, count=1)
        meter = await bench.client("meter")
        assert not (await meter.read_holding_registers(0, count=1)).isError(), "other endpoints are not touched"
        meter.close()
        client.close()


async def test_a_frozen_heartbeat_stands_while_the_cell_answers() -> None:
    async with running() as bench:
        robot = bench.robot()
        await robot.connect()
        bench.later(0.5)
        assert (await robot.status()).heartbeat_ok
        bench.plant.inject("frozen_heartbeat", "L1")
        bench.later(4.0)
        assert not (await robot.status()).heartbeat_ok
        await robot.close()


async def test_a_dead_device_is_a_lost_link() -> None:
    async with running() as bench:
        robot = bench.robot()
        await robot.connect()
        await bench.servers.stop()
        with pytest.raises(LinkLost):
            await robot.link.read(0, 1)
        await robot.close()


async def test_things_may_share_a_port_and_a_device_id() -> None:
    port, *others = own_ports(4)
    config = station(ports=[port, *others])
    meter, lane = config.site.meter, config.lanes[0]
    assert meter is not None
    moved = meter.model_copy(update={"address": meter.address.model_copy(update={"port": port, "device_id": 5})})
    address = lane.cell.address.model_copy(update={"port": port, "base_address": 2000})
    lane = lane.model_copy(update={"cell": lane.cell.model_copy(update={"address": address})})
    site = config.site.model_copy(update={"meter": moved})
    shared = config.model_copy(update={"site": site, "lanes": (lane,)})
    async with running(config=shared) as bench:
        client = await bench.client("L1")
        bay_block = await client.read_holding_registers(100, count=2)
        assert bay_block.registers[1] == 1, "a pack sits in A1"
        assert (await client.read_holding_registers(2001, count=1)).registers == [1]
        assert not (await client.read_holding_registers(1, count=2, device_id=5)).isError()
        assert (await client.read_holding_registers(100, count=2, device_id=6)).exception_code == 4
        client.close()


@pytest.mark.tool
async def test_mbpoll_reads_heartbeat_state_and_bays() -> None:
    program = require_tool("mbpoll")
    async with running() as bench:
        bench.later(1.0)
        host, port = bench.servers.addresses["L1"]
        shown = {}
        for address in (0, 1, 100):
            process = await asyncio.create_subprocess_exec(
                *(str(program), "-0", "-1", "-q", "-m", "tcp", "-p", str(port), "-t", "4", "-r", str(address), host),
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await process.communicate()
            assert process.returncode == 0
            shown[address] = int(output.decode().split(":")[-1].split()[0])
        assert shown.pop(0) in (10, 11)
        assert shown == {1: 1, 100: 0b000111}
