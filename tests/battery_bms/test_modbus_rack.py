"""The rack driver: what it reads, what it takes for unknown, what it writes and when that counts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_bms import rack_device
from battery_bms.config import BayPointSection, BaySection, MeterSection, RackDeviceSection
from battery_bms.modbus_meter import ModbusMeter
from battery_bms.modbus_rack import ModbusRack
from battery_bms.port import ChargerBank, ChargerState, PackMonitor, SiteMeter
from battery_bms.rack_device import safe_setpoint_kw
from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.registers import MapError
from robotics.port import LinkLost
from tests.support.battery_bms.charger import PACK, ChargeController, FakeClock, FakeLink
from tests.support.battery_bms.rack import START_AT


@pytest.fixture(autouse=True, scope="module")
def _no_waiting() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rack_device, "ECHO_WAIT_S", 0.0)
        yield


FAR = (100, 200)
CLOSE = (0, 50)


class Rig:
    """A rack of one device for each controller, on links in memory."""

    def __init__(
        self,
        *controllers: ChargeController,
        rated_kw: float | None = None,
        timeout_s: float = 0.8,
        max_registers: int = 125,
    ) -> None:
        self.clock = FakeClock()
        self.controllers = controllers
        self.links = {f"rack-{i}": FakeLink(c, self.clock, timeout_s) for i, c in enumerate(controllers, 1)}
        self.devices = [
            RackDeviceSection(id=name, port=1, timeout_s=timeout_s, rated_kw=rated_kw, max_registers=max_registers)
            for name in self.links
        ]
        self.bays = [
            bay_section(f"{'ABC'[d]}{n}", f"rack-{d + 1}", base, 10 * d + n)
            for d, controller in enumerate(controllers)
            for n, base in enumerate(controller.bases, 1)
        ]
        self.rack = ModbusRack(
            self.devices,
            self.bays,
            self.now,
            monotonic=self.clock,
            link_factory=lambda address, name: self.links[name],
        )

    def now(self) -> datetime:
        return START_AT + timedelta(seconds=self.clock.now_s - 1000.0)

    async def settle(self) -> None:
        """Two polls with a living BMS: everything is known."""
        await self.rack.read_bays()
        for controller in self.controllers:
            controller.beat()
        await self.rack.read_bays()


def bay_section(bay_id: str, device: str, base: int, position: int, charger_kw: float = 240.0) -> BaySection:
    return BaySection(
        id=bay_id,
        position=position,
        charger_kw=charger_kw,
        point=BayPointSection(device=device, base_address=base),
    )


# -- reading


@pytest.mark.parametrize("most", [12, 20, 50])
async def test_a_gateway_of_short_requests_is_read_and_commanded(most: int) -> None:
    """S19: the whole reading and the set-point arrive, and no request is longer than the gateway takes."""
    controller = ChargeController(CLOSE)
    controller.most = most
    rig = Rig(controller, max_registers=most)
    await rig.settle()
    readings = await rig.rack.read_bays()
    for bay_id in ("A1", "A2"):
        assert (readings[bay_id].pack_id, readings[bay_id].soc_pct) == (PACK["pack_code"], 52.5)
        assert readings[bay_id].meter_kwh == 1234.56
    assert await rig.rack.set_charge_kw({"A1": 100.0}) == {}
    assert max(count for _, count in controller.reads) <= most
    refused = Rig(ChargeController(CLOSE))
    refused.controllers[0].most = most
    await refused.settle()
    assert await refused.rack.read_bays() == {} or most >= 43


async def test_a_reading_carries_every_field() -> None:
    rig = Rig(ChargeController(FAR))
    await rig.settle()
    rig.controllers[0].set(
        100, {"current_a": 351.2, "alarm_level": 2, "alarm_bits": 1 << 23 | 1, "charger_state": 2, "charge_kw": 222.2}
    )
    readings = await rig.rack.read_bays()
    a1 = readings["A1"]
    assert set(readings) == {"A1", "A2"}
    assert a1.present is True
    assert a1.pack_id == PACK["pack_code"]
    assert (a1.soc_pct, a1.energy_kwh, a1.soh_pct) == (52.5, 148.05, 98.2)
    assert (a1.voltage_v, a1.current_a) == (633.1, 351.2)
    assert (a1.temp_max_c, a1.temp_min_c) == (24.5, -3.5)
    assert (a1.cell_max_v, a1.cell_min_v, a1.insulation_ohm_per_v) == (3.312, 3.304, 1800.0)
    assert (a1.max_charge_kw, a1.alarm_level, a1.alarm_bits) == (282.0, 2, 1 << 23 | 1)
    assert (a1.charger_state, a1.charger_fault, a1.charge_kw) == (ChargerState.CHARGING, 0, 222.2)
    assert (a1.setpoint_kw, a1.meter_kwh) == (0.0, 1234.56)


async def test_what_bills_rest_on_is_kept_with_its_registers() -> None:
    """Of the pack's energy and the charger's counter; of what the registers do not give, and of an integrator's counter
    that this map lacks, nothing."""
    rig = Rig(ChargeController(FAR))
    await rig.settle()
    rig.controllers[0].set(200, {"energy_kwh": None})
    readings = await rig.rack.read_bays()
    wire, entries = readings["A1"].wire, rig.controllers[0].register_map.entries
    assert set(wire) == {"energy_kwh", "meter_kwh"}
    meter = wire["meter_kwh"]
    assert (meter.unit_id, meter.function_code) == (rig.devices[0].device_id, 3)
    assert meter.address == 100 + entries["meter_kwh"].address
    assert meter.words == tuple(rig.controllers[0].words[meter.address + n] for n in range(2))
    assert (meter.raw, meter.raw * meter.scale + meter.offset) == (123_456, 1234.56)
    assert wire["energy_kwh"].raw * wire["energy_kwh"].scale == pytest.approx(148.05)
    assert set(readings["A2"].wire) == {"meter_kwh"}


async def test_each_reading_is_stamped_when_it_is_read() -> None:
    rig = Rig(ChargeController(FAR))
    readings = await rig.rack.read_bays()
    assert START_AT < readings["A1"].at < readings["A2"].at <= rig.now()


async def test_an_empty_bay_and_values_not_available_are_none() -> None:
    rig = Rig(ChargeController(FAR))
    await rig.settle()
    rig.controllers[0].set(100, {"pack_present": False})
    rig.controllers[0].set(200, {"soc_pct": None, "energy_kwh": None, "current_a": None, "temp_max_c": None})
    readings = await rig.rack.read_bays()
    empty, partly = readings["A1"], readings["A2"]
    assert (empty.present, empty.pack_id, empty.soc_pct, empty.temp_max_c) == (False, None, None, None)
    assert (empty.alarm_level, empty.charger_state) == (0, ChargerState.IDLE)
    assert (partly.soc_pct, partly.energy_kwh, partly.current_a, partly.temp_max_c) == (None,) * 4
    assert partly.temp_min_c == -3.5


async def test_a_charger_state_without_a_meaning_is_unknown() -> None:
    rig = Rig(ChargeController(FAR))
    rig.controllers[0].words[129] = 77
    assert (await rig.rack.read_bays())["A1"].charger_state is None


async def test_bays_far_apart_are_read_one_by_one_and_close_ones_together() -> None:
    far, close = Rig(ChargeController(FAR)), Rig(ChargeController(CLOSE))
    close.controllers[0].fill_gaps()
    await far.rack.read_bays()
    await close.rack.read_bays()
    assert far.controllers[0].reads == [(100, 37), (200, 37)]
    assert close.controllers[0].reads == [(0, 87)]


async def test_no_request_asks_more_than_125_registers() -> None:
    rig = Rig(ChargeController(tuple(range(0, 500, 50))))
    rig.controllers[0].fill_gaps()
    readings = await rig.rack.read_bays()
    assert len(readings) == 10
    assert len(rig.controllers[0].reads) == 5
    assert all(count <= 125 for _, count in rig.controllers[0].reads)


async def test_a_device_that_refuses_the_gap_is_asked_bay_by_bay() -> None:
    rig = Rig(ChargeController(CLOSE))
    assert await rig.rack.read_bays() == {}
    readings = await rig.rack.read_bays()
    assert set(readings) == {"A1", "A2"}


async def test_one_refused_bay_leaves_the_others() -> None:
    rig = Rig(ChargeController(FAR))
    rig.controllers[0].refusing = {110}
    assert set(await rig.rack.read_bays()) == {"A2"}


async def test_a_silent_bms_makes_its_values_unknown_and_keeps_its_alarm() -> None:
    rig = Rig(ChargeController(FAR))
    controller = rig.controllers[0]
    first = await rig.rack.read_bays()
    assert first["A1"].soc_pct is None, "a counter not yet seen to move may be a frozen one"
    assert first["A1"].present is True
    controller.beat()
    assert (await rig.rack.read_bays())["A1"].soc_pct == 52.5
    controller.set(100, {"alarm_level": 3, "alarm_bits": 1 << 1})
    for _ in range(12):
        rig.clock.now_s += 1.0
        controller.beat(200)
        readings = await rig.rack.read_bays()
    silent, alive = readings["A1"], readings["A2"]
    assert alive.soc_pct == 52.5
    assert (silent.pack_id, silent.soc_pct, silent.energy_kwh, silent.temp_max_c) == (None,) * 4
    assert (silent.max_charge_kw, silent.cell_min_v, silent.insulation_ohm_per_v) == (None,) * 3
    assert (silent.present, silent.alarm_level, silent.alarm_bits) == (True, 3, 1 << 1)
    assert silent.charge_kw == 0.0, "the charger itself still answers"
    controller.beat(100)
    assert (await rig.rack.read_bays())["A1"].soc_pct == 52.5


async def test_a_pack_that_has_not_been_heard_is_not_taken_for_the_one_before() -> None:
    rig = Rig(ChargeController(FAR))
    controller = rig.controllers[0]
    await rig.settle()
    controller.set(100, {"pack_present": False})
    await rig.rack.read_bays()
    controller.set(100, {"pack_present": True})  # another pack; the registers still hold the old one's values
    reading = (await rig.rack.read_bays())["A1"]
    assert (reading.present, reading.pack_id, reading.soc_pct) == (True, None, None)
    controller.set(100, {"pack_code": "0SXPB280000YQ1G510000002"})
    controller.beat(100)
    assert (await rig.rack.read_bays())["A1"].pack_id == "0SXPB280000YQ1G510000002"


async def test_an_alarm_not_available_stays_what_it_was_for_the_same_pack() -> None:
    rig = Rig(ChargeController(FAR))
    await rig.settle()
    rig.controllers[0].set(100, {"alarm_level": 3, "alarm_bits": 2})
    await rig.rack.read_bays()
    rig.controllers[0].set(100, {"alarm_level": None, "alarm_bits": None})
    reading = (await rig.rack.read_bays())["A1"]
    assert (reading.alarm_level, reading.alarm_bits) == (3, 2)
    rig.controllers[0].set(100, {"pack_code": "0SXPB280000YQ1G510000002"})
    assert (await rig.rack.read_bays())["A1"].alarm_level == 0


async def test_a_dead_device_gives_no_new_reading_and_the_others_do() -> None:
    rig = Rig(ChargeController(FAR), ChargeController(FAR))
    await rig.settle()
    before = await rig.rack.read_bays()
    rig.links["rack-1"].silent = True
    after = await rig.rack.read_bays()
    assert after["A1"] == before["A1"]
    assert after["B1"].at > before["B1"].at


async def test_a_slow_device_ends_at_its_budget_and_goes_on_from_there() -> None:
    rig = Rig(ChargeController(tuple(range(0, 1000, 100))))
    rig.links["rack-1"].slow_s = 0.3
    counts = []
    for _ in range(3):
        start_s = rig.clock.now_s
        counts.append(len(await rig.rack.read_bays()))
        assert rig.clock.now_s - start_s <= 1.0 + 0.8
    assert counts == [4, 8, 10]


async def test_a_link_is_opened_and_closed() -> None:
    rig = Rig(ChargeController(FAR))
    await rig.rack.connect()
    assert rig.links["rack-1"].connected
    await rig.rack.close()
    assert not rig.links["rack-1"].connected


def test_a_map_that_cannot_command_a_charger_is_refused(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "robotics/modbus_link/maps/bay_charger_v1.toml").read_text("utf-8")
    (tmp_path / "mine.toml").write_text(text.replace('name = "cmd_expires_s"', 'name = "cmd_something"'), "utf-8")
    device = RackDeviceSection(id="rack-1", port=1, register_map="mine.toml")
    with pytest.raises(MapError, match="cmd_expires_s"):
        ModbusRack([device], [], lambda: START_AT, folder=tmp_path)


# -- set-points


async def test_set_points_are_written_with_expiry_and_confirmed_by_echo() -> None:
    rig = Rig(ChargeController(FAR))
    assert await rig.rack.set_charge_kw({"A1": 120.04, "A2": 240.0}) == {}
    assert rig.controllers[0].taken == [(100, 120.0, 30), (200, 240.0, 30)]
    assert await rig.rack.set_charge_kw({"A1": 120.04}) == {}
    assert rig.controllers[0].taken[-1] == (100, 120.0, 30), "repeated, so that it does not expire"


async def test_a_counter_left_by_an_earlier_run_is_gone_on_from() -> None:
    rig = Rig(ChargeController(FAR))
    rig.controllers[0].set(100, {"setpoint_counter": 1})
    rig.controllers[0].set(200, {"setpoint_counter": 65534})
    assert await rig.rack.set_charge_kw({"A1": 50.0, "A2": 60.0}) == {}
    assert [write[2] for write in rig.controllers[0].raw_writes] == [2, 1]


async def test_a_charger_that_does_not_follow_is_reported() -> None:
    rig = Rig(ChargeController(FAR))
    rig.controllers[0].deaf = {100}
    reasons = await rig.rack.set_charge_kw({"A1": 50.0, "A2": 60.0})
    assert set(reasons) == {"A1"}
    assert "echoes 0 kW, 50 kW was written" in reasons["A1"]
    same = await rig.rack.set_charge_kw({"A1": 0.0})
    assert "has not taken set-point number" in same["A1"], "0 kW in the echo may be an old 0 kW"


async def test_a_lost_answer_is_not_a_lost_set_point() -> None:
    rig = Rig(ChargeController(FAR))
    rig.links["rack-1"].lost_answers = 1
    reasons = await rig.rack.set_charge_kw({"A1": 50.0})
    assert "no answer" in reasons["A1"]
    assert await rig.rack.set_charge_kw({"A1": 50.0}) == {}


async def test_a_refusal_and_a_dead_device_are_reported_with_reasons() -> None:
    rig = Rig(ChargeController(FAR), ChargeController(FAR))
    rig.links["rack-1"].silent = True
    rig.controllers[1].refusing = {140}
    start_s = rig.clock.now_s
    reasons = await rig.rack.set_charge_kw({"A1": 50.0, "A2": 50.0, "B1": 50.0, "B2": 50.0})
    assert set(reasons) == {"A1", "A2", "B1"}
    assert "no answer" in reasons["A1"]
    assert "refused" in reasons["B1"]
    assert rig.clock.now_s - start_s <= 2 * 0.8 + 0.8 + 0.2


@pytest.mark.parametrize("bay_id", ["Q1", "X9"])
async def test_a_bay_without_charger_takes_nothing_but_zero(bay_id: str) -> None:
    rig = Rig(ChargeController((100, 200)))
    bays = [rig.bays[0], bay_section("Q1", "rack-1", 200, 9, charger_kw=0.0)]
    rack = ModbusRack(rig.devices, bays, rig.now, monotonic=rig.clock, link_factory=lambda a, name: rig.links[name])
    assert await rack.set_charge_kw({bay_id: 0.0}) == {}
    assert "no charger" in (await rack.set_charge_kw({bay_id: 10.0}))[bay_id]
    assert await rack.stop_all() == {}
    assert [base for base, _, _ in rig.controllers[0].taken] == [100]


async def test_lower_set_points_go_first() -> None:
    rig = Rig(ChargeController(FAR))
    await rig.rack.set_charge_kw({"A1": 0.0, "A2": 200.0})
    await rig.rack.set_charge_kw({"A1": 200.0, "A2": 0.0})
    assert rig.controllers[0].taken[-2:] == [(200, 0.0, 30), (100, 200.0, 30)]


async def test_nothing_is_raised_while_a_lower_set_point_is_not_confirmed() -> None:
    rig = Rig(ChargeController(FAR), ChargeController(FAR))
    await rig.rack.set_charge_kw({"A1": 200.0, "B1": 40.0})
    rig.links["rack-1"].silent = True
    reasons = await rig.rack.set_charge_kw({"A1": 0.0, "B1": 240.0})
    assert set(reasons) == {"A1", "B1"}
    assert "bay A1 has not confirmed" in reasons["B1"]
    assert rig.controllers[1].taken[-1] == (100, 40.0, 30), "kept alive where it was"
    rig.clock.now_s += 31.0  # the old 200 kW have expired in the charger by themselves
    reasons = await rig.rack.set_charge_kw({"A1": 0.0, "B1": 240.0})
    assert set(reasons) == {"A1"}
    assert rig.controllers[1].taken[-1] == (100, 240.0, 30)


async def test_what_an_earlier_run_left_in_the_chargers_counts() -> None:
    rig = Rig(ChargeController(FAR), ChargeController(FAR))
    rig.controllers[0].set(100, {"setpoint_kw": 200.0, "setpoint_counter": 7})
    await rig.rack.read_bays()
    rig.links["rack-1"].silent = True
    assert set(await rig.rack.set_charge_kw({"A1": 0.0, "B1": 240.0})) == {"A1", "B1"}
    rig.clock.now_s += 31.0
    assert set(await rig.rack.set_charge_kw({"A1": 0.0, "B1": 240.0})) == {"A1"}


async def test_a_power_cabinet_is_not_asked_for_more_than_it_gives() -> None:
    rig = Rig(ChargeController((0, 100, 200)), rated_kw=300.0)
    await rig.rack.set_charge_kw({"A1": 240.0, "A2": 160.0})
    assert [power for _, power, _ in rig.controllers[0].taken] == [180.0, 120.0]
    await rig.rack.set_charge_kw({"A3": 100.0})
    assert rig.controllers[0].taken[-1] == (200, 0.0, 30)


async def test_stop_all_stops_every_charger() -> None:
    rig = Rig(ChargeController(FAR), ChargeController(FAR))
    await rig.rack.set_charge_kw({"A1": 100.0, "B2": 100.0})
    assert await rig.rack.stop_all() == {}
    assert {base for base, power, _ in rig.controllers[0].taken[-2:] if power == 0.0} == set(FAR)


async def test_a_stop_overrules_the_plan_that_is_being_written() -> None:
    rig = Rig(ChargeController(FAR), ChargeController(FAR))
    await rig.rack.set_charge_kw({"A1": 100.0, "B1": 50.0})
    rig.controllers[0].deaf = {100}
    plan = asyncio.create_task(rig.rack.set_charge_kw({"A1": 0.0, "B1": 200.0}))
    later = asyncio.create_task(rig.rack.set_charge_kw({"A2": 200.0}))
    for _ in range(3):
        await asyncio.sleep(0)  # the plan waits for the echo of A1 before it raises B1
    rig.controllers[0].deaf = set()
    assert await rig.rack.stop_all() == {}
    assert set(await plan) == {"A1", "B1"}
    assert set(await later) == {"A2"}
    assert all(word == 0 for c in rig.controllers for word in (c.words[132], c.words[232]))
    assert await rig.rack.set_charge_kw({"A1": 20.0}) == {}, "a plan made after the stop goes out"


async def test_a_bay_that_never_answers_does_not_hide_those_after_it() -> None:
    rig = Rig(ChargeController((0, 100, 200)))
    link = rig.links["rack-1"]
    ordinary = link.read

    async def read(address: int, count: int) -> list[int]:
        if address == 0:
            raise LinkLost("the gateway's first charger is dead")
        return await ordinary(address, count)

    link.read = read  # type: ignore[method-assign]
    assert set(await rig.rack.read_bays()) == set()
    assert set(await rig.rack.read_bays()) == {"A2", "A3"}


async def test_stop_all_returns_without_a_link_and_names_every_bay() -> None:
    rig = Rig(ChargeController(tuple(range(0, 1000, 100))), ChargeController(FAR))
    rig.links["rack-1"].silent = True
    start_s = rig.clock.now_s
    reasons = await rig.rack.stop_all()
    assert len(reasons) == 10
    assert all(bay_id.startswith("A") for bay_id in reasons)
    assert rig.clock.now_s - start_s <= 3 * 2 * 0.8 + 0.8 + 0.2


@given(
    st.floats(allow_nan=True, allow_infinity=True) | st.floats(-1e4, 1e4),
    st.floats(0, 2000),
    st.sampled_from([0.1, 1.0, 0.01]),
)
def test_no_request_becomes_more_than_was_asked(requested_kw: float, rating_kw: float, step_kw: float) -> None:
    safe_kw = safe_setpoint_kw(requested_kw, rating_kw, step_kw)
    assert 0.0 <= safe_kw <= rating_kw + 1e-9
    if 0.0 < requested_kw < math.inf:
        assert safe_kw <= requested_kw + 1e-9
        assert safe_kw > min(requested_kw, rating_kw) - step_kw - 1e-9
    else:
        assert safe_kw == 0.0


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True) | st.integers(-70_000, 70_000), min_size=1, max_size=6))
def test_no_number_underflows_on_the_wire(requests: list[float]) -> None:
    """What reaches the register is 0…rating, for every sequence of requests."""
    rig = Rig(ChargeController(FAR))

    async def run() -> None:
        for requested_kw in requests:
            assert await rig.rack.set_charge_kw({"A1": requested_kw}) == {}

    asyncio.run(run())
    raw = [write[0] for write in rig.controllers[0].raw_writes]
    assert len(raw) == len(requests)
    assert all(0 <= word <= 2400 for word in raw)
    assert all(word == 0 for word, kw in zip(raw, requests, strict=True) if not 0 < kw < math.inf)


@given(st.lists(st.tuples(st.floats(0, 240), st.floats(0, 240), st.sets(st.sampled_from([1, 2]))), max_size=12))
def test_the_sum_on_the_wire_stays_within_the_plans(plans: list[tuple[float, float, set[int]]]) -> None:
    """Whichever device falls silent: chargers never follow more than the larger of two successive plans allows."""
    rig = Rig(ChargeController((100,)), ChargeController((100,)))
    worst: list[float] = []

    def in_force() -> float:
        return sum(controller.words[132] * 0.1 for controller in rig.controllers)

    async def run() -> None:
        highest = 0.0
        for a_kw, b_kw, silent in plans:
            for number, link in enumerate(rig.links.values(), 1):
                link.silent = number in silent
            highest = max(highest, a_kw + b_kw)
            await rig.rack.set_charge_kw({"A1": a_kw, "B1": b_kw})
            worst.append(in_force() - highest)

    asyncio.run(run())
    assert all(excess <= 1e-6 for excess in worst)


def test_the_drivers_keep_their_ports() -> None:
    rig = Rig(ChargeController(FAR))
    monitor: PackMonitor = rig.rack
    bank: ChargerBank = rig.rack
    meter: SiteMeter = ModbusMeter(MeterSection(address=ModbusAddress(port=1)), rig.now)
    assert None not in (monitor, bank, meter)
