"""A rack in memory: `PackMonitor` and `ChargerBank` that are instant and fail when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from battery_bms.pack import (
    PackSpec,
    advance,
    allowed_charge_kw,
    charge_kw,
    energy_at_soc_kwh,
    lfp_cell_v,
    pack_voltage_v,
    soc_pct,
)
from battery_bms.port import ChargerState, MeterReading, PackReading

START_AT = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
LFP_282 = PackSpec(rated_kwh=282.0, max_charge_kw=282.0)


@dataclass
class FakePack:
    """A pack as its BMS knows it."""

    pack_id: str
    spec: PackSpec = LFP_282
    energy_kwh: float = 140.0
    soh_pct: float = 100.0
    temp_c: float = 25.0
    alarm_level: int = 0
    alarm_bits: int = 0
    insulation_ohm_per_v: float = 2000.0


@dataclass
class FakeBay:
    """A bay with its charger; the three flags are its faults."""

    bay_id: str
    charger_kw: float = 240.0
    pack: FakePack | None = None
    setpoint_kw: float = 0.0
    meter_kwh: float = 0.0
    stale: bool = False
    """Gives no new reading."""
    bms_silent: bool = False
    refuses: bool = False
    """Set-points are not confirmed and not taken."""
    reading: PackReading | None = field(default=None, repr=False)


class FakeRack:
    """`PackMonitor` and `ChargerBank`. Time moves only by `advance`; `now` may come from elsewhere."""

    def __init__(self, bays: Iterable[FakeBay | str], now: Callable[[], datetime] | None = None) -> None:
        made = [bay if isinstance(bay, FakeBay) else FakeBay(bay) for bay in bays]
        self.bays = {bay.bay_id: bay for bay in made}
        self.at = START_AT
        self.ambient_c = 20.0
        self.connected = False
        self.written: list[Mapping[str, float]] = []
        """Every call of `set_charge_kw`, as given."""
        self.stops = 0
        self._now = now or (lambda: self.at)

    def put(self, bay_id: str, pack_id: str, soc: float = 50.0, spec: PackSpec = LFP_282) -> FakePack:
        """Set a pack down in a bay."""
        pack = FakePack(pack_id, spec, energy_at_soc_kwh(soc, spec, 100.0))
        self.bays[bay_id].pack = pack
        return pack

    def take(self, bay_id: str) -> FakePack:
        """Take the pack out of a bay; KeyError when there is none."""
        bay = self.bays[bay_id]
        if bay.pack is None:
            raise KeyError(bay_id)
        pack, bay.pack, bay.setpoint_kw = bay.pack, None, 0.0
        return pack

    def heat(self, bay_id: str, temp_c: float) -> None:
        """Bring the pack of a bay to a temperature."""
        pack = self.bays[bay_id].pack
        if pack is None:
            raise KeyError(bay_id)
        pack.temp_c = temp_c

    def go_stale(self, *bay_ids: str, stale: bool = True) -> None:
        """Stop (or take up again) giving new readings; all bays when none is named."""
        for bay_id in bay_ids or tuple(self.bays):
            self.bays[bay_id].stale = stale

    def refuse(self, *bay_ids: str, refuses: bool = True) -> None:
        """Stop (or take up again) following set-points; all bays when none is named."""
        for bay_id in bay_ids or tuple(self.bays):
            self.bays[bay_id].refuses = refuses

    def advance(self, dt_s: float) -> None:
        """Charge for a time at the present set-points."""
        self.at += timedelta(seconds=dt_s)
        for bay in self.bays.values():
            if bay.pack is not None:
                pack = bay.pack
                power_kw = bay.setpoint_kw if self._allowed_kw(pack) > 0.0 else 0.0
                after = advance(pack.spec, pack.soh_pct, pack.energy_kwh, pack.temp_c, power_kw, self.ambient_c, dt_s)
                pack.energy_kwh, pack.temp_c = after.energy_kwh, after.temp_c
                bay.meter_kwh += after.drawn_kwh

    # -- PackMonitor

    async def connect(self) -> None:
        self.connected = True

    async def close(self) -> None:
        self.connected = False

    async def read_bays(self) -> Mapping[str, PackReading]:
        for bay in self.bays.values():
            if not bay.stale:
                bay.reading = self._read(bay)
        return {bay.bay_id: bay.reading for bay in self.bays.values() if bay.reading is not None}

    # -- ChargerBank

    async def set_charge_kw(self, setpoints_kw: Mapping[str, float]) -> Mapping[str, str]:
        self.written.append(dict(setpoints_kw))
        reasons = {}
        for bay_id, power_kw in setpoints_kw.items():
            bay = self.bays.get(bay_id)
            if bay is None or bay.refuses:
                reasons[bay_id] = "refused by the fake rack"
            else:
                bay.setpoint_kw = min(max(power_kw, 0.0), bay.charger_kw)
        return reasons

    async def stop_all(self) -> Mapping[str, str]:
        self.stops += 1
        return await self.set_charge_kw(dict.fromkeys(self.bays, 0.0))

    def _allowed_kw(self, pack: FakePack) -> float:
        if pack.alarm_level >= 3:
            return 0.0
        return allowed_charge_kw(pack.spec, soc_pct(pack.energy_kwh, pack.spec, pack.soh_pct), pack.temp_c)

    def _read(self, bay: FakeBay) -> PackReading:
        pack = None if bay.bms_silent else bay.pack
        power_kw = 0.0
        if bay.pack is not None and self._allowed_kw(bay.pack) > 0.0:
            power_kw = charge_kw(bay.pack.spec, bay.pack.soh_pct, bay.pack.energy_kwh, bay.setpoint_kw)
        soc = soc_pct(pack.energy_kwh, pack.spec, pack.soh_pct) if pack is not None else 0.0
        voltage_v = pack_voltage_v(pack.spec, soc) if pack is not None else None
        return PackReading(
            bay_id=bay.bay_id,
            at=self._now(),
            present=bay.pack is not None,
            pack_id=pack.pack_id if pack else None,
            soc_pct=soc if pack else None,
            energy_kwh=pack.energy_kwh if pack else None,
            soh_pct=pack.soh_pct if pack else None,
            voltage_v=voltage_v,
            current_a=1000.0 * power_kw / voltage_v if voltage_v else None,
            temp_max_c=pack.temp_c if pack else None,
            temp_min_c=pack.temp_c - 2.0 if pack else None,
            cell_max_v=lfp_cell_v(soc) + 0.01 if pack else None,
            cell_min_v=lfp_cell_v(soc) if pack else None,
            insulation_ohm_per_v=pack.insulation_ohm_per_v if pack else None,
            max_charge_kw=self._allowed_kw(pack) if pack else None,
            alarm_level=bay.pack.alarm_level if bay.pack else 0,
            alarm_bits=bay.pack.alarm_bits if bay.pack else 0,
            charger_state=ChargerState.CHARGING if power_kw > 0.0 else ChargerState.IDLE,
            charger_fault=0,
            charge_kw=power_kw,
            setpoint_kw=bay.setpoint_kw,
            meter_kwh=bay.meter_kwh,
        )


class FakeMeter:
    """`SiteMeter` that shows what the test sets."""

    def __init__(self, now: Callable[[], datetime] = lambda: START_AT) -> None:
        self.import_kw = 0.0
        self.import_kwh = 0.0
        self.stale = False
        self._now = now
        self._reading: MeterReading | None = None

    async def connect(self) -> None:
        return

    async def close(self) -> None:
        return

    async def read(self) -> MeterReading | None:
        if not self.stale:
            self._reading = MeterReading(self._now(), self.import_kw, self.import_kwh)
        return self._reading
