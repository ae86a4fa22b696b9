"""The rack, live: readings move packs through their states, the charging plan becomes set-points.

Looking and storing are apart: readings go on, and a hot pack's charger is stopped, whatever the database does.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from battery_bms.config import BaySection
from battery_bms.limits import AlarmBit, ThermalCause, ThermalWatch, judge, may_be_of_temperature, watch_thermal
from battery_bms.port import MOST_DISCHARGED_KWH, ChargerBank, PackMonitor, PackReading
from robotics.port import Signal
from scheduler.charging import plan_charging
from scheduler.types import PackState, Setpoint, SiteLimits, StationMode, TariffSlice
from swap.events import append_event
from swap.messages.packs import PackRead
from swap.reading.response import floors, in_force, orders
from swap.station.context import StationContext
from swap.station.faults import clear_fault, raise_fault
from swap.station.inventory import (
    block_bay,
    close_charge,
    end_charge,
    quarantine,
    registers_of,
    set_pack_state,
    start_charge,
)
from swap.station.power.site import SiteRunner
from swap.station.power.site_faults import SiteWatch, Trouble
from swap.station.power.view import fresh_pv_kw, fresh_storage, site_limits, station_view
from swap.station.states.pack_states import PackTrigger, may, trigger_for_reading
from swap.station_db import StationDb as Db
from swap.tables import Bay, ChargeSession, Pack, SiteSample

BLOCK_LEVEL = 2
"""A pack with an alarm of this level or more is neither charged nor offered."""
STOP_LEVEL = 3
_THERMAL_ALARMS = (
    AlarmBit.TEMPERATURE_HIGH,
    AlarmBit.CELL_OVER_VOLTAGE,
    AlarmBit.INSULATION,
    AlarmBit.OVERCHARGE,
    AlarmBit.THERMAL_EVENT,
)
THERMAL_BITS = sum(1 << int(bit) for bit in _THERMAL_ALARMS)
"""Alarms that start the thermal procedure when the BMS gives them level 3 (standards.md 2.3)."""
SAMPLE_S = 15.0
"""Least station seconds between two stored samples of the site."""
SAMPLE_AGAIN_S = 300.0
"""A sample is stored after this many station seconds also when nothing has changed."""
ENERGY_STEP_KWH, SOC_STEP_PCT, TEMP_STEP_C, POWER_STEP_KW = 0.005, 0.05, 0.5, 1.0
"""Changes smaller than these are not written down: an idle rack writes next to nothing."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """What was last stored of the site."""

    at: datetime
    import_kw: float | None
    charge_kw: float | None
    counts: tuple[float, int, int]
    """Limit, ready packs, queue."""
    pv_kw: float | None
    storage_kw: float | None
    storage_kwh: float | None

    def says(self, other: _Sample) -> bool:
        """The other one has nothing to add."""
        return (
            self.counts == other.counts
            and _same(self.import_kw, other.import_kw, POWER_STEP_KW)
            and _same(self.charge_kw, other.charge_kw, POWER_STEP_KW)
            and _same(self.pv_kw, other.pv_kw, POWER_STEP_KW)
            and _same(self.storage_kw, other.storage_kw, POWER_STEP_KW)
        )


@dataclass(frozen=True, slots=True)
class _Look:
    """One judgement of the rack: what was read, the rows of before, and what memory takes over after the commit."""

    context: StationContext
    """A copy that no loop changes."""
    fresh: frozenset[str]
    """Bays whose reading is young enough."""
    now: datetime
    bays: Mapping[str, Bay]
    packs: Mapping[str, Pack]
    """By bay."""
    charges: Mapping[str, ChargeSession]
    """Open charging by pack."""
    moving: frozenset[str]
    silent_since: dict[str, datetime]
    stopped: list[str] = field(default_factory=list)


class RackRunner:
    """Reads packs and chargers, keeps their states, and commands the chargers."""

    def __init__(
        self,
        context: StationContext,
        monitor: PackMonitor,
        chargers: ChargerBank,
        site: SiteRunner,
    ) -> None:
        self.context = context
        self.monitor = monitor
        self.chargers = chargers
        self.site = site
        self.watch = SiteWatch(site)
        self._sampled: _Sample | None = None
        self._stopped: list[str] = []
        """Bays whose pack was blocked or quarantined, or has such an alarm, in the newest cycle."""
        self._silent_since: dict[str, datetime] = {}
        """When the reading of a bay's pack went missing."""
        self._unconfirmed = {bay.id for bay in context.config.bays}
        self._planned: tuple[StationMode, bool] | None = None
        """Mode and smoke that the charging plan in force was made for."""
        self._stored: dict[str, tuple[float, str]] | None = None
        """Power and what limits it, by bay, as the rows have them."""
        self._hot: list[str] = []
        """Bays whose detection latched and is not stored yet."""
        self._planning = asyncio.Lock()

    def load(self) -> None:
        """Forget what the database may not have stored: everything is judged, planned and confirmed anew."""
        self._sampled, self._planned, self._stored = None, None, None
        self.watch.forget()
        self._stopped, self._hot = [], []
        self._silent_since = {}
        self._unconfirmed = {bay.id for bay in self.context.config.bays}

    async def look(self) -> None:
        """Read every bay and the site; a bay that has become hot gets 0 kW at once."""
        context = self.context
        context.readings.update(await self.monitor.read_bays())
        await self.site.look()
        hot = [section.id for section in context.config.bays if self._watch(section)]
        self._hot += hot
        stop_kw = {b.id: 0.0 for b in context.config.bays if b.id in hot and b.charger_kw > 0}
        if stop_kw:
            await self.chargers.set_charge_kw(stop_kw)

    async def judge(self) -> list[str]:
        """Store what the newest readings say. Returns bays whose detection has latched since the last time."""
        context = self.context.still()
        fresh = frozenset(b.id for b in context.config.bays if context.reading_fresh(b.id))
        now, limits = context.clock.now(), site_limits(context)
        last = self._sampled
        due = last is None or (now - last.at).total_seconds() >= SAMPLE_S
        silent_since = dict(self._silent_since)
        troubles = self.watch.troubles(context, limits, now)

        def store(db: Db) -> tuple[_Look, frozenset[Trouble], _Sample | None]:
            queue = db.queue_length() if due else 0  # before anything is changed, which would be written first
            look = self._look(db, context, fresh, now, dict(silent_since))
            for section in context.config.bays:
                self._judge_bay(db, section, look)
            told = self.watch.store(db, troubles, now)
            return look, told, self._sample(db, look, limits, queue, last) if due else last

        look, told, self._sampled = await self.context.write(store)
        self.watch.stored(told)
        self._stopped, self._silent_since = look.stopped, look.silent_since
        hot, self._hot = self._hot, []
        return hot

    def _look(
        self, db: Db, context: StationContext, fresh: frozenset[str], now: datetime, silent_since: dict[str, datetime]
    ) -> _Look:
        return _Look(
            context=context,
            fresh=fresh,
            now=now,
            bays={b.id: b for b in db.bays()},
            packs=db.packs_in_bays(),
            charges=db.open_charges(),
            moving=frozenset(db.bays_in_motion()),
            silent_since=silent_since,
        )

    def _watch(self, section: BaySection) -> bool:
        reading = self.context.readings.get(section.id)
        if reading is None or not self.context.reading_fresh(section.id):
            return False
        before = self.context.watches.get(section.id, ThermalWatch())
        after = watch_thermal(before, reading, self.context.thermal_rule, smoke=self._smoke())
        if not after.latched and reading.alarm_level >= STOP_LEVEL and reading.alarm_bits & THERMAL_BITS:
            after = ThermalWatch(after.readings, reading.at, (ThermalCause.BMS_THERMAL_EVENT,))
        self.context.watches[section.id] = after
        return after.latched and not before.latched

    def _smoke(self) -> bool:
        """Any cell reports smoke: nothing is charged."""
        return any(cell.signals.get(Signal.SMOKE_OK) is False for cell in self.context.cells.values())

    def _judge_bay(self, db: Db, section: BaySection, look: _Look) -> None:
        context, now = look.context, look.now
        key = context.bay_key(section.id)
        pack, bay, in_motion = look.packs.get(key), look.bays[key], key in look.moving
        reading = context.readings.get(section.id)
        fresh = section.id in look.fresh
        charge_kw = _finite(reading.charge_kw) if reading is not None and fresh else None
        if not _same(bay.charge_kw, charge_kw, POWER_STEP_KW / 10):
            bay.charge_kw = charge_kw
        if bay.reading_fresh != fresh:
            bay.reading_fresh = fresh
        if pack is None:
            if not bay.blocked:
                self._judge_empty(db, section, reading, fresh, in_motion)
            return
        if PackState(pack.state) in (PackState.QUARANTINED, PackState.EVACUATED):
            known = fresh and reading is not None and reading.pack_id == pack.id
            if section.role == "quarantine" and known and reading is not None and reading.at > pack.state_since_at:
                self._settle_returned(db, pack, reading)  # brought straight from a truck, whose bill waits for this
            return
        if section.role == "transfer" and section.point is None:
            return  # no BMS is read there; the swap that set the pack down carries it on
        if reading is None or not fresh or reading.pack_id is None:
            self._no_reading(db, section, pack, look, in_motion)
            return
        if reading.at <= pack.state_since_at and pack.state == PackState.RECEIVED:
            return
        if reading.pack_id != pack.id:
            if not in_motion or pack.state == PackState.RECEIVED:
                data = {"expected": pack.id, "found": reading.pack_id}
                self._raise(db, "pack_identity_mismatch", section, data)
                look.stopped.append(section.id)
                quarantine(db, pack, "pack_identity_mismatch", station_id=context.station_id, at=now)
            return
        self._take_reading(db, section, pack, reading, look)

    def _raise(self, db: Db, name: str, section: BaySection, data: Mapping[str, Any] | None = None) -> None:
        context = self.context
        raise_fault(
            db,
            station_id=context.station_id,
            name=name,
            source=f"bay:{section.id}",
            at=context.clock.now(),
            data=dict(data or {}),
        )

    def _clear(self, db: Db, name: str, section: BaySection) -> dict[str, Any] | None:
        context = self.context
        source, at = f"bay:{section.id}", context.clock.now()
        return clear_fault(db, station_id=context.station_id, name=name, source=source, at=at)

    def _judge_empty(
        self, db: Db, section: BaySection, reading: PackReading | None, fresh: bool, in_motion: bool
    ) -> None:
        """A bay that should be empty and is not is blocked until a person has looked."""
        if in_motion or reading is None or not fresh or not reading.present:
            return
        self._raise(db, "bay_occupancy_mismatch", section, {"found": reading.pack_id})
        block_bay(db, self.context.bay_key(section.id), "bay_occupancy_mismatch", at=self.context.clock.now())

    def _no_reading(self, db: Db, section: BaySection, pack: Pack, look: _Look, in_motion: bool) -> None:
        """Without a reading a pack is neither charged nor offered; one never identified is quarantined."""
        context, now = look.context, look.now
        waited_s = (now - pack.state_since_at).total_seconds()
        if pack.state == PackState.RECEIVED:
            limit_s = max(context.config.operation.max_identify_s, 5 * context.clock.speed)
            if waited_s > limit_s and not in_motion:
                self._raise(db, "pack_identity_unknown", section)
                quarantine(db, pack, "pack_identity_unknown", station_id=context.station_id, at=now)
            return
        if in_motion or pack.state in (PackState.BLOCKED, PackState.RESERVED):
            return
        since = look.silent_since.setdefault(section.id, now)
        silent_s = context.clock.age_s(since)
        if silent_s is not None and silent_s > context.policy.max_reading_age_s:
            name = "bms_silent" if section.id in look.fresh else "reading_stale"
            self._raise(db, name, section)
            close_charge(db, pack, now)
            set_pack_state(db, pack, PackTrigger.BLOCK, station_id=context.station_id, at=now, reason=name)

    def _take_reading(self, db: Db, section: BaySection, pack: Pack, reading: PackReading, look: _Look) -> None:
        context, now = look.context, look.now
        station_id = context.station_id
        look.silent_since.pop(section.id, None)
        _write_down(pack, reading)
        judged = judge(reading, context.limits[pack.kind])
        level = judged.level
        state = PackState(pack.state)
        if level >= BLOCK_LEVEL:
            look.stopped.append(section.id)
        if level >= STOP_LEVEL:
            self._raise(db, "bms_alarm_level_3", section, {"alarm_bits": reading.alarm_bits})
            quarantine(db, pack, "bms_alarm_level_3", station_id=station_id, at=now)
            return
        if level >= BLOCK_LEVEL:
            if state is not PackState.BLOCKED:
                quantities = [finding.quantity for finding in judged.findings if finding.level >= BLOCK_LEVEL]
                data = {"level": level, "alarm_bits": reading.alarm_bits, "quantities": quantities}
                self._raise(db, "bms_alarm", section, data)
                close_charge(db, pack, now)
                set_pack_state(db, pack, PackTrigger.BLOCK, station_id=station_id, at=now, reason="bms_alarm")
            return
        was_off_limits = False
        if state is PackState.BLOCKED:
            alarm = self._clear(db, "bms_alarm", section)
            was_off_limits = alarm is not None and may_be_of_temperature(alarm.get("quantities"))
            for name in ("reading_stale", "bms_silent"):
                self._clear(db, name, section)
            set_pack_state(db, pack, PackTrigger.RECOVER, station_id=station_id, at=now)
            state = PackState(pack.state)
        if state is PackState.RECEIVED:
            set_pack_state(db, pack, PackTrigger.IDENTIFY, station_id=station_id, at=now)
            self._settle_returned(db, pack, reading)
        self._charge_record(db, section, pack, reading, look.charges.get(pack.id))
        if reading.soc_pct is None or reading.temp_max_c is None or reading.temp_min_c is None:
            return
        trigger = trigger_for_reading(
            PackState(pack.state),
            soc_pct=reading.soc_pct,
            temp_max_c=reading.temp_max_c,
            temp_min_c=reading.temp_min_c,
            charging=(reading.charge_kw or 0.0) > 0.0,
            policy=context.policy,
            was_off_limits=was_off_limits,
        )
        if trigger is not None and may(PackState(pack.state), trigger):
            set_pack_state(db, pack, trigger, station_id=station_id, at=now)

    def _settle_returned(self, db: Db, pack: Pack, reading: PackReading) -> None:
        """The first reading of a pack that came off a truck is what its bill rests on; of one that was brought in,
        its counter is what the first rent begins with."""
        seat = db.seat_taken_from(pack.id)
        energy_kwh, discharged_kwh = _finite(reading.energy_kwh), _finite(reading.discharged_kwh)
        if discharged_kwh is not None and not 0 <= discharged_kwh <= MOST_DISCHARGED_KWH:
            discharged_kwh = None
        if energy_kwh is None:
            return
        if seat is not None and seat.returned_soe_kwh is None:
            seat.returned_soe_kwh, seat.returned_soc_pct = energy_kwh, _finite(reading.soc_pct)
            db.add(seat)
        elif discharged_kwh is None:
            return
        else:
            seat = None
        append_event(
            db,
            PackRead(
                energy_kwh=energy_kwh,
                soc_pct=_finite(reading.soc_pct),
                soh_pct=_finite(reading.soh_pct),
                temp_max_c=_finite(reading.temp_max_c),
                discharged_kwh=discharged_kwh,
                **registers_of(reading, "energy_kwh", *(() if discharged_kwh is None else ("discharged_kwh",))),
            ),
            station_id=self.context.station_id,
            at=self.context.clock.now(),
            swap_id=None if seat is None else seat.swap_id,
            pack_id=pack.id,
            bay_id=pack.bay_id,
        )

    def _charge_record(
        self, db: Db, section: BaySection, pack: Pack, reading: PackReading, row: ChargeSession | None
    ) -> None:
        charging = (reading.charge_kw or 0.0) > 0.0
        if charging and row is None and reading.energy_kwh is not None:
            start_charge(
                db,
                pack,
                reading,
                station_id=self.context.station_id,
                bay_id=self.context.bay_key(section.id),
                at=self.context.clock.now(),
                energy_kwh=reading.energy_kwh,
            )
        elif row is not None and not charging and reading.charge_kw is not None:
            at = self.context.clock.now()
            end_charge(db, row, pack, at=at, meter_kwh=reading.meter_kwh, reading=reading)

    def must_stop_charging(self) -> bool:
        """The plan in force gives power where it may no longer: it is made anew at once, not at its period.

        So it is for smoke, for a change to the fire or thermal mode, for a pack that became blocked or
        quarantined while it charges, and for one that a swap on its way back picks up.
        """
        if not any(setpoint.power_kw > 0.0 for setpoint in self.context.plan.values()):
            return False
        if self._planned != (self._mode_class(), self._smoke()):
            return True
        stopped = {*self._stopped, *(bay for bays in self.context.kept_off.values() for bay in bays)}
        return any(self.context.plan[bay].power_kw > 0.0 for bay in stopped if bay in self.context.plan)

    def _mode_class(self) -> StationMode:
        """The mode as far as it matters for charging."""
        mode = self.context.mode
        return mode if mode in (StationMode.FIRE, StationMode.THERMAL) else StationMode.AUTOMATIC

    async def charge_cycle(self) -> None:
        """Make the charging plan anew and write it to the chargers; what is not confirmed is a fault."""
        async with self._planning:
            obeyed = self.context.storage_obeys
            await self._charge()
            if obeyed and not self.context.storage_obeys:  # the plan counts on what does not come
                await self._charge()

    async def _charge(self) -> None:
        context = self.context
        events = await context.read(partial(in_force, now=context.clock.now()))
        context.orders, context.floors = orders(events, context.config.station.zone), floors(events)
        still = context.still()
        made_for = (self._mode_class(), self._smoke())
        view = await context.read(partial(station_view, still))
        tariff: tuple[TariffSlice, ...] = ()
        if context.prices is not None:
            tariff = tuple(context.prices.slices(view.at, view.at + timedelta(hours=24)))
        if made_for[1]:
            view = replace(view, mode=StationMode.FIRE)
        plan = plan_charging(view, context.policy, context.specs, tariff, context.planner_for(view.limits))
        context.plan = plan
        self._planned = made_for
        commanded_kw = {b.id: self._allowed_kw(plan, b) for b in context.config.bays if b.charger_kw > 0}
        failed = await self.chargers.set_charge_kw(commanded_kw)
        await self.site.command(self.site.decide(plan, view.limits, tariff, view.mode))
        unconfirmed = frozenset(self._unconfirmed)
        told = {name: (setpoint.power_kw, setpoint.limited_by) for name, setpoint in plan.items()}
        if not failed and not unconfirmed and told == self._stored:
            return  # nothing to write: nobody is kept waiting for it
        await context.write(lambda db: self._store_plan(db, plan, failed, unconfirmed))
        self._unconfirmed, self._stored = set(failed), told

    def _allowed_kw(self, plan: Mapping[str, Setpoint], section: BaySection) -> float:
        """The plan's power; none where a detection is latched, which the plan's rows may not know yet."""
        watch = self.context.watches.get(section.id)
        hot = watch is not None and watch.latched
        return plan[section.id].power_kw if section.id in plan and not hot else 0.0

    def _store_plan(
        self, db: Db, plan: Mapping[str, Setpoint], failed: Mapping[str, str], unconfirmed: frozenset[str]
    ) -> None:
        context = self.context
        bays = {b.id: b for b in db.bays()}
        for section in context.config.bays:
            setpoint, bay = plan.get(section.id), bays[context.bay_key(section.id)]
            bay.setpoint_kw = setpoint.power_kw if setpoint else None
            bay.limited_by = setpoint.limited_by if setpoint else ""
            if section.id in failed:
                self._raise(db, "charger_setpoint_not_confirmed", section, {"reason": failed[section.id]})
            elif section.id in unconfirmed:
                self._clear(db, "charger_setpoint_not_confirmed", section)

    def _sample(self, db: Db, look: _Look, limits: SiteLimits, queue: int, last: _Sample | None) -> _Sample:
        """Store the site's powers where they say something new. Returns what is stored now."""
        now = look.now
        ready = sum(pack.state == PackState.READY for pack in look.packs.values())
        counts = (limits.import_limit_kw, ready, queue)
        storage = fresh_storage(self.context)
        sample = _Sample(
            now,
            _finite(limits.measured_import_kw),
            _finite(limits.charging_kw),
            counts,
            fresh_pv_kw(self.context),
            None if storage is None else _finite(storage.power_kw),
            None if storage is None else storage.energy_kwh,
        )
        if last is not None and last.says(sample) and (now - last.at).total_seconds() < SAMPLE_AGAIN_S:
            return last
        db.add(
            SiteSample(
                station_id=self.context.station_id,
                at=now,
                import_kw=sample.import_kw,
                charge_kw=sample.charge_kw,
                limit_kw=limits.import_limit_kw,
                pv_kw=sample.pv_kw,
                storage_kw=sample.storage_kw,
                storage_kwh=sample.storage_kwh,
                ready_packs=ready,
                queue_length=queue,
            )
        )
        return sample


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _same(one: float | None, other: float | None, step: float) -> bool:
    """Both unknown, or apart by less than a step."""
    if one is None or other is None:
        return one is other
    return abs(one - other) < step


def _write_down(pack: Pack, reading: PackReading) -> None:
    """Put a reading on the pack's row where it says something new; `reading_at` is that of the values there."""
    energy_kwh, soc_pct, temp_max_c = map(_finite, (reading.energy_kwh, reading.soc_pct, reading.temp_max_c))
    soh_pct = _finite(reading.soh_pct)
    if soh_pct is None or soh_pct <= 0:
        soh_pct = pack.soh_pct
    if (
        pack.reading_at is not None
        and _same(pack.energy_kwh, energy_kwh, ENERGY_STEP_KWH)
        and _same(pack.soc_pct, soc_pct, SOC_STEP_PCT)
        and _same(pack.temp_max_c, temp_max_c, TEMP_STEP_C)
        and soh_pct == pack.soh_pct
    ):
        return
    pack.energy_kwh, pack.soc_pct, pack.temp_max_c = energy_kwh, soc_pct, temp_max_c
    pack.soh_pct, pack.reading_at = soh_pct, reading.at
