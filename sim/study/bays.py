"""Bays with packs on their chargers: what each pack does at its set-point.

Physics are those of `battery_bms.pack`. Between two changes of a set-point everything is known in advance, so a bay
has at most one event on the list: its pack is ready, is full, or crosses a temperature limit. Who gets how much power
is decided in `rack.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from battery_bms.pack.charge import Charge
from battery_bms.pack.thermal import advance_temp_c, temp_after_c, time_to_temp_s
from scheduler.charging import HYSTERESIS_C
from scheduler.choice import SOC_TOLERANCE_PCT
from scheduler.types import ChargingPolicy, PackState
from sim.study.agenda import NEVER, Agenda, AgendaEvent
from sim.study.rows import StudyBay, StudyKind, StudyPack

READY: Final = PackState.READY
CHARGING: Final = PackState.CHARGING
WAITING: Final = PackState.WAITING
COOLING: Final = PackState.COOLING
WARMING: Final = PackState.WARMING


def is_active(pack: StudyPack) -> bool:
    """Whether it is in a state in which it may be charged, or waits for a temperature at which it may."""
    state = pack.state
    return state is READY or state is CHARGING or state is WAITING or is_kept(pack)


def is_kept(pack: StudyPack) -> bool:
    """Whether it waits for a temperature at which it may be charged."""
    return pack.state is COOLING or pack.state is WARMING


class Watcher:
    """Who is told what the rack does."""

    def before_change(self) -> None:
        """The number of ready packs is about to change."""

    def pack_ready(self) -> None:
        """A pack has become ready."""

    def power_changed(self) -> None:
        """A charger's power has changed."""


class BayEvent(AgendaEvent):
    """A pack is ready or full, or its temperature has crossed a limit."""

    def __init__(self, bays: Bays, bay: StudyBay) -> None:
        super().__init__()
        self.bays = bays
        self.bay = bay

    def happen(self) -> None:
        """Tell the rack."""
        self.bays.reached(self.bay)


class Bays:
    """Bays, their chargers and the packs in them."""

    def __init__(
        self,
        time: Agenda,
        bays: Sequence[StudyBay],
        policy: ChargingPolicy,
        kinds: dict[str, StudyKind],
        charger_kw: float,
    ) -> None:
        self.time = time
        self.bays = list(bays)
        self.by_id: dict[str, StudyBay] = {}
        self.policy = policy
        self.kinds = kinds
        self.charger_kw = charger_kw
        self.watcher = Watcher()
        self.ambient_c = 20.0
        self.temperature_step_s = 60.0
        """A pack that hovers at a temperature limit is looked at this often."""
        self.temperature_late_s = 0.5
        """It is looked at so long after it has crossed one."""
        self.some_unsafe = False
        """Whether the temperature of a pack may have to be followed: `StudyPack.temp_safe`."""
        self.active = 0
        """Chargers that give power."""
        self.drawn_kwh = 0.0
        """Energy at the chargers' outputs, brought up to date by `settle`."""
        self._active_moment = 0.0
        """Sum over the starts and ends of power: minus the instant of a start, plus that of an end."""
        self._offer_share = policy.offer_soc_pct / 100
        self._target_share = policy.target_soc_pct / 100
        self._target_pct = policy.target_soc_pct - SOC_TOLERANCE_PCT
        self._offer_pct = policy.offer_soc_pct - SOC_TOLERANCE_PCT
        for place, bay in enumerate(self.bays):
            bay.place = place
            self.add(bay)

    def add(self, bay: StudyBay) -> None:
        """Take a bay in, whether the rack charges it or not."""
        self.by_id[bay.bay_id] = bay
        bay.next = BayEvent(self, bay)

    @property
    def active_area(self) -> float:
        """Time integral of `active` since the last reset, s."""
        return self.active * self.time.now + self._active_moment

    # -- the pack of a bay

    def settle(self, bay: StudyBay) -> None:
        """Bring the pack of a bay up to the present instant."""
        now_s = self.time.now
        pack = bay.content
        if pack is None or now_s <= bay.since_s:
            return
        if not pack.temp_safe:
            if bay.charge is None:
                temp_c = advance_temp_c(pack.curve.spec, pack.temp_max_c, 0.0, self.ambient_c, now_s - bay.since_s)
            else:
                temp_c = temp_after_c(bay.charge, pack.temp_max_c, self.ambient_c, bay.since_s, now_s)
            pack.temp_max_c = pack.temp_min_c = temp_c
        bay.since_s = now_s
        charge = bay.charge
        if charge is not None:
            energy_kwh = charge.energy_kwh(now_s)
            self.drawn_kwh += (energy_kwh - pack.energy_kwh) / charge.curve.efficiency
            pack.energy_kwh = energy_kwh
            pack.soc_pct = 100 * energy_kwh / pack.capacity_kwh

    def settle_all(self) -> float:
        """Bring all packs up to now; energy drawn at the chargers' outputs since the start, kWh."""
        for bay in self.bays:
            self.settle(bay)
        return self.drawn_kwh

    def full_kw(self, pack: StudyPack) -> float:
        """Most that a charger gives the pack."""
        return min(self.charger_kw, pack.kind.max_charge_kw)

    def judge_temperature(self, pack: StudyPack) -> None:
        """Whether the pack can leave the band of full power while it is charged."""
        policy, kind = self.policy, pack.kind
        coldest_c = max(policy.reduce_below_c, kind.temp_min_c)
        warmest_c = min(policy.reduce_above_c, kind.temp_max_c)
        temp_c, ambient_c = pack.temp_max_c, self.ambient_c
        if temp_c < coldest_c or ambient_c < coldest_c or temp_c + 1 >= warmest_c:
            pack.temp_safe = False
            self.some_unsafe = True
            return
        power_kw = self.full_kw(pack)
        curve = pack.curve
        if ambient_c + curve.heat_k_per_kw * power_kw + 1 < warmest_c:
            pack.temp_safe = True  # not even a charge without end would warm it that far
            return
        goal_kwh = policy.target_soc_pct * pack.capacity_kwh / 100
        pack.temp_safe = curve.warmest_c(temp_c, ambient_c, pack.energy_kwh, goal_kwh, power_kw) + 1 < warmest_c
        if not pack.temp_safe:
            self.some_unsafe = True

    # -- set-points

    def stop(self, bay: StudyBay) -> None:
        """No power, and nothing to come."""
        if bay.next is not None:
            bay.next.drop()
        if bay.power_kw > 0:
            bay.power_kw = 0.0
            bay.charge = None
            self.active -= 1
            self._active_moment += self.time.now
            self.watcher.power_changed()

    def set_power(self, bay: StudyBay, power_kw: float) -> None:
        """Apply a set-point and put the pack's next event on the list."""
        pack = bay.content
        assert pack is not None
        assert bay.next is not None
        before_kw = bay.power_kw
        if power_kw <= 0 < before_kw and bay.next.waits and pack.soc_pct >= self._target_pct:
            return  # full at this very instant: its own event says so
        if power_kw != before_kw:
            now_s = self.time.now
            if bay.since_s < now_s:
                self.settle(bay)
            bay.power_kw = power_kw
            if power_kw > 0:
                if before_kw <= 0:
                    self.active += 1
                    self._active_moment -= now_s
                bay.charge = Charge(pack.curve, now_s, pack.energy_kwh, power_kw)
                if pack.state is not READY:
                    pack.state = CHARGING
            else:
                self.active -= 1
                self._active_moment += now_s
                bay.charge = None
                if pack.state is not READY:
                    pack.state = WAITING
            self.watcher.power_changed()
        elif bay.next.waits and pack.temp_safe:
            return
        self._time_next(bay, pack)

    def _time_next(self, bay: StudyBay, pack: StudyPack) -> None:
        """Put what will happen next to the pack on the list."""
        event = bay.next
        assert event is not None
        charge = bay.charge
        next_s = NEVER
        if charge is not None:
            share = self._target_share if pack.state is READY else self._offer_share
            next_s = charge.instant_of(share * pack.capacity_kwh)
        bay.goal_s = next_s
        if not pack.temp_safe:
            self.settle(bay)
            crosses_s = self.time.now + self._to_next_temperature_s(pack, bay.power_kw)
            next_s = min(next_s, max(crosses_s, bay.crossed_s + self.temperature_step_s))
        if next_s < NEVER:
            self.time.put(next_s, event)
        else:
            event.drop()

    def _to_next_temperature_s(self, pack: StudyPack, power_kw: float) -> float:
        """Until the pack crosses a limit that changes what it may draw."""
        spec, policy = pack.curve.spec, self.policy
        heat_kw = (1 - spec.charge_efficiency) * power_kw
        soonest_s = NEVER
        for limit_c in (
            policy.charge_temp_min_c,
            policy.charge_temp_max_c,
            policy.reduce_above_c,
            policy.reduce_below_c,
            policy.charge_temp_max_c - HYSTERESIS_C,
            policy.charge_temp_min_c + HYSTERESIS_C,
            spec.charge_temp_min_c,
            spec.charge_temp_max_c,
        ):
            if limit_c != pack.temp_max_c:
                soonest_s = min(soonest_s, time_to_temp_s(spec, pack.temp_max_c, limit_c, heat_kw, self.ambient_c))
        return soonest_s + self.temperature_late_s

    def reached(self, bay: StudyBay) -> None:
        """The event of a bay."""
        raise NotImplementedError
