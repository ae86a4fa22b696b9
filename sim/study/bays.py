"""Bays with packs on their chargers: what each pack does at its set-point, in closed form.

Pack physics are those of `battery_bms.pack`. Between two changes of a set-point everything is known in
advance, so a bay has at most one event on the list: its pack is ready, is full, or crosses a temperature limit.
Who gets how much power is decided in `engine_charging.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import inf

from battery_bms.pack import Charge, Curve, PackSpec, advance, allowed_charge_kw, time_to_temp_s
from scheduler.types import ChargingPolicy, PackState
from sim.study.engine import Call, StudyTime
from sim.study.former_choice import SOC_TOLERANCE_PCT
from sim.study.view import BayNow, PackNow

READY, CHARGING, WAITING = PackState.READY, PackState.CHARGING, PackState.WAITING
ACTIVE = (READY, CHARGING, WAITING)
"""States in which a pack may be charged."""


class Bays(ABC):
    """Bays, their chargers and the packs in them."""

    def __init__(
        self,
        time: StudyTime,
        bays: tuple[BayNow, ...],
        policy: ChargingPolicy,
        specs: dict[str, PackSpec],
        charger_kw: float,
    ) -> None:
        self.time = time
        self.bays = bays
        self.by_id = {bay.bay_id: bay for bay in bays}
        self.policy = policy
        self.specs = specs
        self.curves = {kind: Curve(spec) for kind, spec in specs.items()}
        self.charger_kw = charger_kw
        self.ambient_c = 20.0
        self.temperature_step_s = 60.0
        """A pack that hovers at a temperature limit is looked at this often."""
        self.active = 0
        """Chargers that give power."""
        self.drawn_kwh = 0.0
        """Energy at the chargers' outputs, brought up to date by `settle`."""
        self.on_power: Callable[[], None] | None = None
        """Called when a charger's power has changed, where somebody wants that."""
        self._active_moment = 0.0
        """Sum over the starts and ends of power: minus the instant of a start, plus that of an end."""
        self._full_kw = {kind: min(charger_kw, spec.max_charge_kw) for kind, spec in specs.items()}
        """Most a charger gives a kind."""
        self._offer_share = policy.offer_soc_pct / 100
        self._target_share = policy.target_soc_pct / 100
        self._target_pct = policy.target_soc_pct - SOC_TOLERANCE_PCT
        self._offer_pct = policy.offer_soc_pct - SOC_TOLERANCE_PCT
        self._band_c = {
            kind: (
                max(policy.reduce_below_c, spec.charge_temp_min_c),
                min(policy.reduce_above_c, spec.charge_temp_max_c),
            )
            for kind, spec in specs.items()
        }
        """Temperatures between which a kind may draw its full power."""

    @property
    def active_area(self) -> float:
        """Time integral of `active` since the last reset, s."""
        return self.active * self.time.now + self._active_moment

    # -- the pack of a bay

    def settle(self, bay: BayNow) -> None:
        """Bring the pack of a bay up to the present instant."""
        now_s = self.time.now
        pack = bay.pack
        if pack is None or now_s <= bay.since_s:
            return
        if not pack.temp_safe:
            after = advance(
                pack.spec,
                pack.soh_pct,
                pack.energy_kwh,
                pack.temp_max_c,
                bay.power_kw,
                self.ambient_c,
                now_s - bay.since_s,
            )
            pack.temp_max_c = pack.temp_min_c = after.temp_c
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

    def _own_limit_kw(self, bay: BayNow, pack: PackNow) -> float:
        """What `plan_charging` gives a bay when nothing is short."""
        soc_pct = pack.soc_pct
        power_kw = bay.max_charge_kw
        if soc_pct >= self._target_pct or power_kw <= 0 or not bay.charger_ok:
            return 0.0
        policy, spec = self.policy, pack.spec
        if power_kw > spec.max_charge_kw:
            power_kw = spec.max_charge_kw
        temp_c = pack.temp_max_c
        if not pack.temp_safe:
            if temp_c >= policy.charge_temp_max_c or temp_c < policy.charge_temp_min_c:
                return 0.0
            if temp_c >= policy.reduce_above_c or temp_c < policy.reduce_below_c:
                power_kw = min(power_kw, policy.reduced_share * spec.max_charge_kw)
            power_kw = min(power_kw, allowed_charge_kw(spec, soc_pct, temp_c))
        elif soc_pct > spec.taper_from_soc_pct:
            power_kw = min(power_kw, allowed_charge_kw(spec, soc_pct, temp_c))
        return power_kw if power_kw >= policy.min_setpoint_kw else 0.0

    def _judge_temperature(self, pack: PackNow) -> None:
        """Whether the pack can leave the band of full power while it is charged."""
        coldest_c, warmest_c = self._band_c[pack.kind]
        temp_c, ambient_c = pack.temp_max_c, self.ambient_c
        if temp_c < coldest_c or ambient_c < coldest_c or temp_c + 1 >= warmest_c:
            pack.temp_safe = False
            return
        power_kw = self._full_kw[pack.kind]
        curve = self.curves[pack.kind]
        if ambient_c + curve.heat_k_per_kw * power_kw + 1 < warmest_c:
            pack.temp_safe = True  # not even a charge without end would warm it that far
            return
        goal_kwh = self.policy.target_soc_pct * pack.capacity_kwh / 100
        pack.temp_safe = curve.warmest_c(temp_c, ambient_c, pack.energy_kwh, goal_kwh, power_kw) + 1 < warmest_c

    # -- set-points

    def _stop(self, bay: BayNow) -> None:
        call = bay.call
        if call is not None:
            call.fn = None
            bay.call = None
        if bay.power_kw > 0:
            bay.power_kw = 0.0
            bay.charge = None
            self.active -= 1
            self._active_moment += self.time.now
            if self.on_power is not None:
                self.on_power()

    def _set_power(self, bay: BayNow, power_kw: float) -> None:
        """Apply a set-point and put the pack's next event on the list."""
        pack = bay.pack
        assert pack is not None
        before_kw = bay.power_kw
        if power_kw <= 0 < before_kw and bay.call is not None and pack.soc_pct >= self._target_pct:
            return  # full at this very instant: its own event says so
        if power_kw != before_kw:
            self.settle(bay)
            now_s = self.time.now
            bay.power_kw = power_kw
            if power_kw > 0:
                if before_kw <= 0:
                    self.active += 1
                    self._active_moment -= now_s
                bay.charge = Charge(self.curves[pack.kind], now_s, pack.energy_kwh, power_kw)
                if pack.state is not READY:
                    pack.state = CHARGING
            else:
                self.active -= 1
                self._active_moment += now_s
                bay.charge = None
                if pack.state is not READY:
                    pack.state = WAITING
            if self.on_power is not None:
                self.on_power()
        elif bay.call is not None and pack.temp_safe:
            return
        self._time_next(bay, pack)

    def _time_next(self, bay: BayNow, pack: PackNow) -> None:
        """Put what will happen next to the pack on the list."""
        if bay.call is not None:
            bay.call.fn = None
            bay.call = None
        charge = bay.charge
        next_s = inf
        if charge is not None:
            share = self._target_share if pack.state is READY else self._offer_share
            next_s = charge.instant_of(share * pack.capacity_kwh)
        bay.goal_s = next_s
        if not pack.temp_safe:
            self.settle(bay)
            next_s = min(next_s, self.time.now + self._to_next_temperature_s(pack, bay.power_kw))
        if next_s < inf:
            bay.call = self.time.at(next_s, self._on_bay, bay)

    def _to_next_temperature_s(self, pack: PackNow, power_kw: float) -> float:
        """Until the pack crosses a limit that changes what it may draw."""
        heat_kw = (1 - pack.spec.charge_efficiency) * power_kw
        policy, spec = self.policy, pack.spec
        limits_c = {
            policy.charge_temp_min_c,
            policy.charge_temp_max_c,
            policy.reduce_above_c,
            policy.reduce_below_c,
            spec.charge_temp_min_c,
            spec.charge_temp_max_c,
        }
        times_s = [
            time_to_temp_s(spec, pack.temp_max_c, limit_c, heat_kw, self.ambient_c)
            for limit_c in limits_c
            if limit_c != pack.temp_max_c
        ]
        return max(min(times_s) + 0.5, self.temperature_step_s)

    @abstractmethod
    def _on_bay(self, call: Call) -> None:
        """A pack is ready or full, or its temperature has crossed a limit."""
