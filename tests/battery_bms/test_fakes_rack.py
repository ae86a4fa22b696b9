"""The fake rack behaves as a rack does, and fails when told to."""

from __future__ import annotations

from battery_bms.port import ChargerBank, ChargerState, PackMonitor, SiteMeter
from tests.support.battery_bms.rack import START_AT, FakeBay, FakeMeter, FakeRack

CODE = "0SXPB280000YQ1G510000001"


async def test_it_charges_a_pack() -> None:
    rack = FakeRack(["A1", FakeBay("A2", charger_kw=100.0)])
    monitor: PackMonitor = rack
    bank: ChargerBank = rack
    rack.put("A1", CODE, soc=50.0)
    assert await bank.set_charge_kw({"A1": 240.0, "A2": 240.0}) == {}
    rack.advance(600.0)
    readings = await monitor.read_bays()
    a1 = readings["A1"]
    assert a1.pack_id == CODE
    assert a1.energy_kwh is not None
    assert abs(a1.energy_kwh - (141.0 + 40.0 * 0.96)) < 1e-9
    assert a1.charger_state is ChargerState.CHARGING
    assert a1.meter_kwh is not None
    assert abs(a1.meter_kwh - 40.0) < 1e-9
    assert (readings["A2"].present, readings["A2"].setpoint_kw) == (False, 100.0)
    assert await bank.stop_all() == {}
    assert (await monitor.read_bays())["A1"].charge_kw == 0.0


async def test_it_fails_when_told() -> None:
    rack = FakeRack(["A1", "A2"])
    rack.put("A1", CODE)
    await rack.read_bays()
    rack.go_stale("A1")
    rack.advance(30.0)
    readings = await rack.read_bays()
    assert (readings["A1"].at, readings["A2"].at) == (START_AT, rack.at)
    rack.go_stale("A1", stale=False)
    rack.heat("A1", 61.0)
    rack.refuse("A1")
    assert set(await rack.set_charge_kw({"A1": 10.0, "A2": 10.0})) == {"A1"}
    hot = (await rack.read_bays())["A1"]
    assert (hot.temp_max_c, hot.max_charge_kw, hot.setpoint_kw) == (61.0, 0.0, 0.0)
    rack.bays["A1"].bms_silent = True
    silent = (await rack.read_bays())["A1"]
    assert (silent.present, silent.pack_id, silent.soc_pct) == (True, None, None)
    assert rack.take("A1").pack_id == CODE


async def test_the_meter_shows_what_is_set() -> None:
    fake = FakeMeter()
    meter: SiteMeter = fake
    fake.stale = True
    assert await meter.read() is None
    fake.stale, fake.import_kw = False, 55.0
    reading = await meter.read()
    assert reading is not None
    assert reading.import_kw == 55.0
