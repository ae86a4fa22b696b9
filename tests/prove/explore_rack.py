"""The rack of the explored station, read and judged as `RackRunner` does it, over `Stored`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from battery_bms.limits import judge
from battery_bms.port import PackReading
from scheduler.types import PackState
from sim.plant.plant import Plant
from swap.places import bay_place
from swap.station.power.rack import BLOCK_LEVEL, STOP_LEVEL, THERMAL_BITS
from swap.station.sequence.recipe import TERMINAL
from swap.station.states.pack_states import PackTrigger, may, next_pack_state, trigger_for_reading
from tests.prove.explore_station import MemoryController, at_once

START_AT = datetime(2026, 9, 1, 3, 0, tzinfo=UTC)
_NEVER_OLD_AT = START_AT + timedelta(days=36500)
"""The rack's link never fails here; a silent BMS gives no code."""


class JudgedRack:
    """What a look at the rack changes in `Stored`."""

    plant: Plant
    controller: MemoryController
    _read: Sequence[str]
    """Bays whose pack can be read."""
    _readings: dict[tuple[Any, ...], tuple[PackReading, int]]

    def _read_rack(self) -> None:
        """Read every bay, and store what comes of it."""
        levels: dict[str, int] = {}
        for bay in self._read:
            self.controller.context.readings[bay], levels[bay] = self._reading(bay)
        self._judge_rack(self.controller.context.readings, levels)

    def _reading(self, bay_id: str) -> tuple[PackReading, int]:
        """A reading and its alarm level; made once for the same facts, since nothing here charges or heats slowly."""
        bay = self.plant.rack.bays[bay_id]
        pack = self.plant.rack.at(bay_place(bay_id))
        facts: tuple[Any, ...] = (bay_id, bay.held_kw, bay.setpoint_kw, bay.bms_silent, bay.false_code)
        if pack is not None:
            facts = (*facts, pack.code, pack.alarm_level, pack.alarm_bits, round(pack.temp_c))
        known = self._readings.get(facts)
        if known is None:
            reading = replace(self.plant.pack_reading(bay_id), at=_NEVER_OLD_AT)
            level = max(judge(reading, self.controller.context.limits["lfp-171"]).level, reading.alarm_level)
            known = self._readings[facts] = (reading, level)
        return known

    def _judge_rack(self, readings: dict[str, PackReading], levels: dict[str, int]) -> None:
        stored, in_motion = self.controller.stored, self._bays_in_motion()
        states, hot = dict(stored.states), list[str]()
        context = self.controller.context
        for code, place in stored.places.items():
            bay_id = place.removeprefix("bay:")
            reading = readings.get(bay_id) if place.startswith("bay:") else None
            state = states[code]
            if reading is None or state in (PackState.QUARANTINED, PackState.EVACUATED):
                continue
            trigger: PackTrigger | None = None
            if reading.pack_id is None:
                waits = bay_id in in_motion or state in (PackState.RECEIVED, PackState.BLOCKED, PackState.RESERVED)
                trigger = None if waits else PackTrigger.BLOCK
            elif reading.pack_id != code:
                trigger = None if bay_id in in_motion and state is not PackState.RECEIVED else PackTrigger.QUARANTINE
            else:
                level = levels[bay_id]
                if level >= STOP_LEVEL:
                    trigger = PackTrigger.QUARANTINE
                elif level >= BLOCK_LEVEL:
                    trigger = PackTrigger.BLOCK
                elif state is PackState.BLOCKED:
                    trigger = PackTrigger.RECOVER
                elif state is PackState.RECEIVED:
                    trigger = PackTrigger.IDENTIFY
                else:
                    trigger = trigger_for_reading(
                        state,
                        soc_pct=reading.soc_pct or 0.0,
                        temp_max_c=reading.temp_max_c or 0.0,
                        temp_min_c=reading.temp_min_c or 0.0,
                        charging=False,
                        policy=context.policy,
                    )
            if trigger is not None and may(state, trigger):
                states[code] = next_pack_state(state, trigger)
            if reading.alarm_level >= STOP_LEVEL and reading.alarm_bits & THERMAL_BITS and bay_id not in stored.hot:
                hot.append(bay_id)
        if states != stored.states:
            self.controller.stored = replace(stored, states=states)
        if hot:
            at_once(self.controller.heat.detect(hot))

    def _bays_in_motion(self) -> set[str]:
        session = self.controller.stored.session
        if session.state in TERMINAL:
            return set()
        keys = [key for plan in session.seats for key in (plan.old_bay, plan.new_bay)]
        return {key.split(":", 1)[1] for key in keys if key is not None}
