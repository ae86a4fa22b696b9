"""The rack with real packs: bays, chargers, transformer, and the live station's charging decision.

Pack physics are the closed forms of `battery_bms.pack`; the power of each bay is what
`scheduler.charging.plan_charging` gives. Between two changes everything is known in advance, so only
changes have events: a pack comes, is ready, is full, crosses a temperature limit, is taken; the tariff,
the demand-response limit or the weather changes.

The live controller plans anew every few seconds. Here it is planned anew when the answer can differ:
always for the whole rack, except when it is certain that a change concerns one bay alone. It is when the
budget covers what all chargers could draw together and no kind's hold-back in dear hours begins or ends;
then the plan is each bay's own limit (a test compares with `plan_charging`). While the budget is short,
packs in their taper set power free little by little: the plan is renewed each time one has given back
`replan_kw`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from battery_bms.pack import PackSpec, allowed_charge_kw
from scheduler.types import ChargingPolicy, PackState, SiteLimits, TariffSlice
from sim.study.bays import ACTIVE, READY, WAITING, Bays
from sim.study.engine import NEVER, Call, StudyTime
from sim.study.former_charging import DEAR_PERIODS, Limit, plan_charging
from sim.study.view import BayNow, PackNow, StationNow

_SHORT = frozenset({Limit.GRID, Limit.DEMAND_RESPONSE, Limit.RACK, Limit.MEASURED_IMPORT})


def _nothing() -> None:
    """Where nobody wants to be told."""


class ChargingRack(Bays):
    """Bays and chargers; a `sim.study.engine.Rack`."""

    def __init__(
        self,
        time: StudyTime,
        view: StationNow,
        policy: ChargingPolicy,
        specs: dict[str, PackSpec],
        *,
        start_at: datetime,
        modules: int,
        charger_kw: float,
        replan_kw: float = 20.0,
    ) -> None:
        super().__init__(time, view.bays, policy, specs, charger_kw)
        self.view = view
        self.start_at = start_at
        self.replan_kw = replan_kw
        self.modules = modules
        self.switched = modules < len(view.bays)
        """Fewer modules than bays: they are switched to the packs in the order in which those came."""
        self.on_ready: Callable[[], None] = _nothing
        """Called when a pack has become ready."""
        self.on_change: Callable[[], None] = _nothing
        """Called before the state changes; the flow adds up its time averages."""
        self.charged = 0
        """Packs that may be handed out."""
        self.empty = 0
        """Bays that may take a pack."""
        self.ready_by_kind: dict[str, int] = dict.fromkeys(specs, 0)
        self.asked_by_kind: dict[str, int] = dict.fromkeys(specs, 0)
        """Packs that the queue asks for."""
        self.slices: tuple[TariffSlice, ...] = ()
        self.dear = False
        self._any_held = False
        self._held: dict[str, bool] = dict.fromkeys(specs, False)
        self._budget_kw = self._work_out_budget_kw()
        self._claims_kw = 0.0
        """What the chargers of packs below their target could draw together."""
        self._short = False
        self._replan_call: Call | None = None
        self.charged_area = 0.0
        self.plans = 0
        """Calls of the charging decision."""

    # -- sim.study.engine.Rack

    def take(self) -> None:
        """Not used: packs leave by `pick`."""

    def put(self, need: float) -> None:
        """Not used: packs come by `place`."""

    def accumulate(self, dt_s: float) -> None:
        """Add `dt_s` seconds of the present state to the time averages."""
        self.charged_area += self.charged * dt_s

    def reset(self) -> None:
        """Begin the time averages anew."""
        self.charged_area = 0.0
        self._active_moment = -self.active * self.time.now

    # -- packs come and go

    def place(self, bay: BayNow, pack: PackNow) -> None:
        """A pack is set down; it is charged as soon as its limits and the plan allow."""
        bay.pack = pack
        bay.occupied = True
        bay.reserved_by = None
        bay.put_s = bay.since_s = self.time.now
        bay.power_kw = 0.0
        bay.charge = None
        self._judge_temperature(pack)
        if pack.soc_pct >= self._offer_pct:
            self._make_ready(pack)
        else:
            pack.state = WAITING
        if pack.soc_pct < self._target_pct:
            claim_kw = bay.claim_kw = self._full_kw[pack.kind]
            self._claims_kw += claim_kw
        self._repacked(bay)

    def reserve(self, bay: BayNow, swap_id: str) -> None:
        """A ready pack is promised: it is not charged further."""
        pack = bay.pack
        assert pack is not None
        self.settle(bay)
        self._drop_claim(bay)
        pack.state = PackState.RESERVED
        bay.reserved_by = swap_id
        self.charged -= 1
        self.ready_by_kind[pack.kind] -= 1
        drew = bay.power_kw > 0
        self._stop(bay)
        self._repacked(None, frees=drew)

    def promise_empty(self, bay: BayNow, swap_id: str) -> None:
        """An empty bay is promised to a spent pack."""
        bay.reserved_by = swap_id
        self.empty -= 1

    def pick(self, bay: BayNow) -> PackNow:
        """The promised pack leaves its bay."""
        pack = bay.pack
        assert pack is not None
        bay.pack = None
        bay.occupied = False
        bay.reserved_by = None
        bay.max_charge_kw = self.charger_kw
        self.empty += 1
        return pack

    def set_aside(self, bay: BayNow, hours: float) -> None:
        """The pack of a bay is inspected: neither charged nor offered meanwhile."""
        pack = bay.pack
        assert pack is not None
        self.settle(bay)
        self._drop_claim(bay)
        self._stop(bay)
        if pack.state is READY:
            self.on_change()
            self.charged -= 1
            self.ready_by_kind[pack.kind] -= 1
        pack.state = PackState.QUARANTINED
        self.time.at(self.time.now + hours * 3600, self._on_inspected, (bay, pack))
        self._repacked(None)

    def _on_inspected(self, call: Call) -> None:
        bay, pack = call.payload
        if bay.pack is pack and pack.state is PackState.QUARANTINED:
            self.place(bay, pack)

    def _make_ready(self, pack: PackNow) -> None:
        self.on_change()
        pack.state = READY
        self.charged += 1
        self.ready_by_kind[pack.kind] += 1

    # -- what a bay could draw

    def _drop_claim(self, bay: BayNow) -> None:
        self._claims_kw -= bay.claim_kw
        bay.claim_kw = 0.0

    # -- deciding

    @property
    def short(self) -> bool:
        """Whether the chargers would take more than the site leaves them."""
        return self._short

    def _work_out_budget_kw(self) -> float:
        """Power the site can give to charging, as `plan_charging` reckons it."""
        limits, cap_kw = self.view.limits, self.policy.max_power_kw
        limit_kw = limits.grid_limit_kw
        if limits.dr_limit_kw is not None:
            limit_kw = min(limit_kw, limits.dr_limit_kw)
        budget_kw = limit_kw - limits.base_load_kw + limits.pv_kw + limits.storage_kw
        return max(budget_kw if cap_kw is None else min(budget_kw, cap_kw), 0.0)

    def _repacked(self, bay: BayNow | None, *, frees: bool = True) -> None:
        """As `changed`, where modules may have to be switched to other packs."""
        if self.switched:
            self.changed(bay, frees=frees, connected=self._switch_modules())
        elif self.dear or frees or bay is not None:
            self.changed(bay, frees=frees)

    def changed(self, bay: BayNow | None, *, frees: bool = True, connected: Sequence[BayNow] = ()) -> None:
        """Something about the rack or the queue changed.

        Args:
            bay: the one whose own power may change.
            frees: another bay may have stopped drawing; without it, and without a bay, only a hold-back can change.
            connected: bays with a module that give no power so far.
        """
        claims_kw = self._claims_kw
        if self.switched:
            claims_kw = min(claims_kw, self.modules * self.charger_kw)
        if self.dear and self._hold_back_changes():
            self.plan()
        elif self._short or claims_kw > self._budget_kw + 1e-6:
            if frees or bay is not None or connected:
                self.plan()
        else:
            for other in connected:
                self._set_own_power(other)
            if bay is not None:
                self._set_own_power(bay)

    def _set_own_power(self, bay: BayNow) -> None:
        """What the bay gets while nothing is short."""
        pack = bay.pack
        if pack is not None and pack.state in ACTIVE:
            held = self.dear and self._held[pack.kind]
            self._set_power(bay, 0.0 if held else self._own_limit_kw(bay, pack))

    def _hold_back_changes(self) -> bool:
        """Whether a kind's charging begins or ends to be held back; asked in dear hours."""
        reserve, ready, asked = self.policy.reserve_ready, self.ready_by_kind, self.asked_by_kind
        changes = False
        for kind, held in self._held.items():
            changes |= (ready[kind] - asked[kind] >= reserve) is not held
        return changes

    def plan(self) -> None:
        """Ask the live station's decision about the whole rack, and apply it."""
        self.plans += 1
        view = self.view
        claiming = []
        for bay in self.bays:
            pack = bay.pack
            if pack is None or bay.claim_kw <= 0:
                continue
            if not pack.temp_safe:
                self.settle(bay)
                pack.max_charge_kw = allowed_charge_kw(pack.spec, pack.soc_pct, pack.temp_max_c)
            elif bay.max_charge_kw > 0:
                if bay.charge is not None:
                    self.settle(bay)
                pack.max_charge_kw = self.curves[pack.kind].allowed_kw(pack.energy_kwh)
            else:
                continue  # no module is connected
            claiming.append(bay)
        if self.dear:
            reserve = self.policy.reserve_ready
            for kind in self._held:
                self._held[kind] = self.ready_by_kind[kind] - self.asked_by_kind[kind] >= reserve
        elif self._any_held:
            self._held = dict.fromkeys(self._held, False)
        self._any_held = self.dear
        setpoints = plan_charging(view, self.policy, self.specs, self.slices)
        self._short = False
        for bay in claiming:
            pack = bay.pack
            assert pack is not None
            setpoint = setpoints[bay.bay_id]
            if setpoint.limited_by in _SHORT:
                self._short = True
            if setpoint.power_kw == bay.power_kw and pack.temp_safe and (bay.call is not None or bay.power_kw <= 0):
                continue
            if setpoint.limited_by is Limit.BMS and bay.charge is not None and bay.power_kw >= setpoint.power_kw:
                # It already draws what the BMS allows, on its way down the taper.
                if bay.call is not None and pack.temp_safe:
                    continue
                self._set_power(bay, bay.power_kw)
            else:
                self._set_power(bay, setpoint.power_kw)
        self._time_next_plan(claiming)

    def _time_next_plan(self, claiming: Sequence[BayNow]) -> None:
        """While power is short, plan again when a pack in its taper has given some back."""
        if self._replan_call is not None:
            self._replan_call.drop()
            self._replan_call = None
        if not self._short:
            return
        now_s = self.time.now
        soonest_s = NEVER
        for bay in claiming:
            charge = bay.charge
            if charge is None or charge.curve.decay_per_s <= 0 or charge.knee_kwh >= charge.curve.capacity_kwh:
                continue
            from_s = max(now_s, charge.from_s + charge.knee_s)
            # Power falls at first by decay x power in a second: never later than when `replan_kw` are free.
            soonest_s = min(soonest_s, from_s + self.replan_kw / (charge.taper_kw * charge.curve.decay_per_s))
        if soonest_s < NEVER:
            self._replan_call = self.time.at(soonest_s, self._on_replan)

    def _on_replan(self, call: Call) -> None:
        self._replan_call = None
        self.plan()

    # -- one bay

    def _on_bay(self, call: Call) -> None:
        """A pack is ready or full, or its temperature has crossed a limit."""
        bay: BayNow = call.payload
        pack = bay.pack
        assert pack is not None
        bay.call = None
        self.settle(bay)
        if not pack.temp_safe:
            self._judge_temperature(pack)
        if self.time.now < bay.goal_s:
            self.changed(bay)
            return
        share = self._target_share if pack.state is READY else self._offer_share
        pack.set_energy(share * pack.capacity_kwh)
        if pack.state is READY:
            self._drop_claim(bay)
            self._stop(bay)
            self._repacked(None)
            return
        self._make_ready(pack)
        if pack.soc_pct >= self._target_pct:
            self._drop_claim(bay)
            self._stop(bay)
        self._repacked(bay)
        self.on_ready()

    # -- fewer modules than bays

    def _switch_modules(self) -> list[BayNow]:
        """Connect spent packs first, in the order in which they came, then ready packs below their target.

        Gives the connected bays without power.
        """
        wanting = []
        target_pct = self._target_pct
        for bay in self.bays:
            pack = bay.pack
            # A pack that draws power is below its target.
            if pack is not None and (bay.power_kw > 0 or (pack.state in ACTIVE and pack.soc_pct < target_pct)):
                wanting.append((pack.state is READY, bay.put_s, bay.position, bay))
        wanting.sort()
        for *_, bay in wanting[self.modules :]:
            if bay.max_charge_kw != 0.0:
                bay.max_charge_kw = 0.0
                self._set_power(bay, 0.0)
        idle = []
        for *_, bay in wanting[: self.modules]:
            bay.max_charge_kw = self.charger_kw
            if bay.power_kw <= 0:
                idle.append(bay)
        return idle

    def module_changes(self, number: int, bay: BayNow | None) -> None:
        """A module fails (-1) or is repaired (+1); `bay` where it belongs to one."""
        self.on_change()
        if self.switched:
            self.modules += number
            self._repacked(None)
        elif bay is not None:
            bay.charger_ok = number > 0
            self.changed(bay)

    # -- the world around

    def set_world(self, limits: SiteLimits, slices: Sequence[TariffSlice], ambient_c: float, *, aware: bool) -> None:
        """Limits, tariff and temperature from now on; call `settle_all` before."""
        before = (self._budget_kw, self.dear)
        self.view.limits = limits
        self.slices = tuple(slices)
        self._budget_kw = self._work_out_budget_kw()
        self.dear = aware and any(part.period in DEAR_PERIODS for part in slices)
        if ambient_c != self.ambient_c:
            self.ambient_c = ambient_c
            for bay in self.bays:
                if bay.pack is not None and bay.pack.state in ACTIVE:
                    self._judge_temperature(bay.pack)
                    if not bay.pack.temp_safe:
                        self.changed(bay)
        if before != (self._budget_kw, self.dear):
            self.plan()
