"""The rack: bays, chargers and transformer, and the live station's own rule of who gets how much power.

The live controller asks the rule every few seconds. Here it is asked when the answer can differ: when a pack comes, is
ready, is full, crosses a temperature limit or is taken; when the guide, the limits or the weather change. It is asked
for one bay alone where nothing is divided among several (`scheduler.charging.claim_alone`): the budget covers what all
chargers could draw, and no kind begins or ceases to be held back. While the budget is short, packs in their taper set
power free little by little: the rack is planned anew each time one has given back `replan_kw`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from scheduler.charging import (
    budget,
    claim_alone,
    in_line,
    kept_by_temperature,
    lacks_h,
    reach_at,
    share_power,
)
from scheduler.guide import EVERY_PACK, Guide, alike, standing
from scheduler.rows import BayRow
from scheduler.types import ChargingPolicy, Limit, PackState, SiteLimits
from sim.study.agenda import NEVER, Agenda, AgendaEvent, Call
from sim.study.bays import READY, WAITING, Bays, is_active, is_kept
from sim.study.rows import StudyBay, StudyKind, StudyPack

RESERVED: Final = PackState.RESERVED
QUARANTINED: Final = PackState.QUARANTINED
RECEIVED: Final = PackState.RECEIVED
_BMS: Final = Limit.BMS
_AFTER_S: Final = 1.0
"""A plan for what a pack has reached is made so long after it."""
Row = TypeVar("Row", bound=BayRow)


class _Replan(AgendaEvent):
    """A pack in its taper has given power back."""

    def __init__(self, rack: StudyRack) -> None:
        super().__init__()
        self.rack = rack

    def happen(self) -> None:
        """Plan anew."""
        self.rack.plan()


class StudyRack(Bays):
    """Bays and chargers of one station."""

    def __init__(
        self,
        time: Agenda,
        bays: Sequence[StudyBay],
        policy: ChargingPolicy,
        kinds: dict[str, StudyKind],
        limits: SiteLimits,
        *,
        modules: int,
        charger_kw: float,
    ) -> None:
        super().__init__(time, bays, policy, kinds, charger_kw)
        self.replan_kw = 20.0
        self.replan_s: float | None = None
        """While power is short and a pack is in its taper, the rack is planned so often, whatever has been given back;
        None: by `replan_kw`."""
        self.identify_s = 0.0
        """From setting down until the station knows the pack and charges it."""
        self.modules = modules
        self.switched = modules < len(bays)
        """Fewer modules than bays: they are switched to the packs in the order in which those came."""
        self.charged: list[BayRow] = []
        """Bays whose pack may be handed out."""
        self.vacant: list[BayRow] = []
        """Bays without a pack."""
        self.empty = 0
        """Of these, not promised."""
        self.limits = limits
        self.guide: Guide | None = None
        self.budget_kw, self._cause = budget(limits, policy)
        self.short = False
        """Whether the chargers would take more than the site leaves them."""
        self.modules_down = 0
        """Modules under repair."""
        self.inspected = 0
        """Packs set aside for inspection."""
        self.charged_area = 0.0
        self.plans = 0
        """How often the whole rack was planned."""
        self._sorts = list(kinds.values())
        self._wanting: list[StudyBay] = []
        """Bays of the rack whose pack is below its target, by place."""
        self._connected: list[StudyBay] = [] if self.switched else self._wanting
        """Those of them that have a module, by place."""
        self._line: list[StudyBay] = []
        """Those that want one in the order in which modules are switched to them; empty where each bay has its own."""
        self._turn = 0
        """How often modules were switched."""
        self._claims_kw = 0.0
        """What the chargers of packs below their target could draw together."""
        self._replan = _Replan(self)

    def reset(self) -> None:
        """Begin the time averages anew."""
        self.charged_area = 0.0
        self._active_moment = -self.active * self.time.now

    # -- packs come and go

    def place(self, bay: StudyBay, pack: StudyPack, promised_to: str | None = None) -> None:
        """A pack is set down; it is charged as soon as its limits and the plan allow.

        Args:
            promised_to: the swap that set it down; the pack is handed to nobody until `release`.
        """
        if bay.content is None:
            _take_off(self.vacant, bay)
        bay.hold(pack)
        bay.reserved_by = promised_to
        bay.put_s = bay.since_s = self.time.now
        bay.power_kw = 0.0
        bay.charge = None
        if promised_to is not None and self.identify_s > 0:
            pack.state = RECEIVED
            self.time.at(self.time.now + self.identify_s, self._on_identified, (bay, pack))
        else:
            self._take_in(bay, pack)

    def _on_identified(self, call: Call) -> None:
        bay, pack = call.payload
        if bay.content is pack and pack.state is RECEIVED and self._take_in(bay, pack):
            self.watcher.pack_ready()

    def _take_in(self, bay: StudyBay, pack: StudyPack) -> bool:
        """The station knows the pack; gives whether it may be handed out as it is."""
        bay.crossed_s = -NEVER
        self.settle(bay)
        self.judge_temperature(pack)
        pack.state = WAITING
        kept = self._kept(pack)
        if kept is not None:
            pack.state = kept
        elif pack.soc_pct >= self._offer_pct:
            self._make_ready(bay, pack)
        if pack.soc_pct < self._target_pct:
            bay.claim_kw = self.full_kw(pack)
            self._claims_kw += bay.claim_kw
            if bay.place >= 0:
                self._begin_wanting(bay)
        self._repacked(bay)
        return kept is None and pack.soc_pct >= self._offer_pct

    def reserve(self, bay: StudyBay, swap_id: str) -> None:
        """A ready pack is promised: it is not charged further."""
        pack = bay.content
        assert pack is not None
        self.settle(bay)
        self._drop_claim(bay)
        self._make_unready(bay, pack)
        pack.state = RESERVED
        bay.reserved_by = swap_id
        drew = bay.power_kw > 0
        self.stop(bay)
        self._repacked(None, frees=drew)

    def promise_empty(self, bay: StudyBay, swap_id: str) -> None:
        """An empty bay is promised to a spent pack."""
        bay.reserved_by = swap_id
        self.empty -= 1

    def release(self, bay: StudyBay) -> None:
        """The swap that a bay is promised to has ended."""
        if bay.reserved_by is None:
            return
        bay.reserved_by = None
        if bay.content is None:
            self.empty += 1
        elif bay.content.state is READY:
            bay.content.sort.spare += 1
            if self.guide is not None:
                self.changed(None, frees=False, connected=None)

    def pick(self, bay: StudyBay) -> StudyPack:
        """The promised pack leaves its bay."""
        pack = bay.content
        assert pack is not None
        bay.hold(None)
        bay.max_charge_kw = self.charger_kw
        self.vacant.append(bay)
        self.empty += 1
        return pack

    def set_aside(self, bay: StudyBay, hours: float) -> None:
        """The pack of a bay is inspected: neither charged nor offered meanwhile."""
        pack = bay.content
        assert pack is not None
        self.settle(bay)
        self._drop_claim(bay)
        self.stop(bay)
        self.watcher.before_change()
        if pack.state is READY:
            self._make_unready(bay, pack)
        pack.state = QUARANTINED
        self.inspected += 1
        self.time.at(self.time.now + hours * 3600, self._on_inspected, (bay, pack))
        self._repacked(None)

    def _on_inspected(self, call: Call) -> None:
        bay, pack = call.payload
        self.watcher.before_change()
        self.inspected -= 1
        if bay.content is pack and pack.state is QUARANTINED:
            self.place(bay, pack)

    def _make_ready(self, bay: StudyBay, pack: StudyPack) -> None:
        self.watcher.before_change()
        in_line = self.switched and bay.claim_kw > 0 and bay.place >= 0
        if in_line:
            self._take_from_line(bay)
        pack.state = READY
        if bay.reserved_by is None:
            pack.sort.spare += 1
        self.charged.append(bay)
        if in_line:
            self._line.insert(self._place_in_line(bay), bay)

    def _make_unready(self, bay: StudyBay, pack: StudyPack) -> None:
        if bay.reserved_by is None:
            pack.sort.spare -= 1
        _take_off(self.charged, bay)

    def settle_charged(self) -> None:
        """Bring the packs up to now that may be handed out and are still being charged."""
        for bay in self._connected:
            if bay.power_kw > 0 and bay.content is not None and bay.content.state is READY:
                self.settle(bay)

    # -- what a bay could draw

    def _begin_wanting(self, bay: StudyBay) -> None:
        self._wanting.insert(_place_among(self._wanting, bay), bay)
        if self.switched:
            if bay.max_charge_kw > 0:
                self._connected.insert(_place_among(self._connected, bay), bay)
            self._line.insert(self._place_in_line(bay), bay)

    def _drop_claim(self, bay: StudyBay) -> None:
        self._claims_kw -= bay.claim_kw
        if bay.claim_kw > 0 and bay.place >= 0:
            self._wanting.pop(_place_among(self._wanting, bay))
            if self.switched:
                if bay.max_charge_kw > 0:
                    self._connected.pop(_place_among(self._connected, bay))
                self._take_from_line(bay)
        bay.claim_kw = 0.0

    def _place_in_line(self, bay: StudyBay) -> int:
        """Behind all to which a module goes before it."""
        line = self._line
        low, high = 0, len(line)
        while low < high:
            middle = (low + high) // 2
            if _is_switched_before(bay, line[middle]):
                high = middle
            else:
                low = middle + 1
        return low

    def _take_from_line(self, bay: StudyBay) -> None:
        line, number = self._line, self._place_in_line(bay) - 1
        if number >= 0 and line[number] is bay:
            line.pop(number)
        else:
            _take_off(line, bay)  # one that is too warm has kept its place, whatever its state is now

    # -- deciding

    def _repacked(self, bay: StudyBay | None, *, frees: bool = True) -> None:
        """As `changed`, where modules may have to be switched to other packs."""
        if self.switched:
            self.changed(bay, frees=frees, connected=self._switch_modules())
        elif frees or bay is not None or self.guide is not None:
            self.changed(bay, frees=frees, connected=None)

    def changed(self, bay: StudyBay | None, *, frees: bool, connected: list[StudyBay] | None) -> None:
        """Something about the rack or the queue changed.

        Args:
            bay: the one whose own power may change.
            frees: another bay may have stopped drawing; without it, and without a bay, only a hold-back can change.
            connected: bays with a module that give no power so far.
        """
        guide = self.guide
        claims_kw = self._claims_kw
        if self.switched:
            claims_kw = min(claims_kw, self.modules * self.charger_kw)
        if guide is not None and self._hold_back_changes(guide):
            self.plan()
        elif self.short or claims_kw > self.budget_kw + 1e-6 or (guide is not None and _divides(guide)):
            if frees or bay is not None or connected:
                self.plan()
        else:
            if connected is not None:
                for other in connected:
                    self._set_own_power(other)
            if bay is not None:
                self._set_own_power(bay)

    def _set_own_power(self, bay: StudyBay) -> None:
        """What the bay gets while nothing is short."""
        pack = bay.content
        if pack is not None and is_active(pack):
            pack.max_charge_kw = pack.curve.allowed_at_kw(pack.energy_kwh, pack.temp_max_c)
            claim_alone(bay, self.policy, self.guide)
            self.set_power(bay, bay.setpoint_kw)

    def _hold_back_changes(self, guide: Guide) -> bool:
        """Whether more or fewer packs of a kind are held back."""
        for kind in self._sorts:  # noqa: SIM110 - a generator is slow in the compiled form
            if standing(kind, guide) != kind.stood:
                return True
        return False

    def plan(self) -> None:
        """Ask the live station's rule about the whole rack, and apply it."""
        self.plans += 1
        claiming: list[BayRow] = []
        bays = self._wanting if self.some_unsafe else self._connected
        self.some_unsafe = False
        for bay in bays:
            pack = bay.content
            assert pack is not None
            if not pack.temp_safe:
                self.some_unsafe = True
                self.settle(bay)
                pack.max_charge_kw = pack.curve.allowed_at_kw(pack.energy_kwh, pack.temp_max_c)
            elif bay.max_charge_kw > 0:
                if bay.charge is not None:
                    self.settle(bay)
                pack.max_charge_kw = pack.curve.allowed_kw(pack.energy_kwh)
            else:
                continue  # no module is connected
            claiming.append(bay)
        guide = self.guide
        for kind in self._sorts:
            kind.stood = EVERY_PACK if guide is None else standing(kind, guide)
        short = share_power(claiming, self.policy, self.budget_kw, self._cause, guide)
        if short != self.short:
            self.watcher.before_change()
            self.short = short
        for row in claiming:
            assert isinstance(row, StudyBay)
            self._apply(row)
        self._time_next_plan(claiming)

    def _apply(self, bay: StudyBay) -> None:
        """Give the charger the set-point that the rule has written into the bay."""
        pack = bay.content
        assert pack is not None
        assert bay.next is not None
        if bay.setpoint_kw == bay.power_kw and pack.temp_safe and (bay.next.waits or bay.power_kw <= 0):
            return
        if bay.limited_by is _BMS and bay.charge is not None and bay.power_kw >= bay.setpoint_kw:
            # It already draws what the BMS allows, on its way down the taper.
            if not (bay.next.waits and pack.temp_safe):
                self.set_power(bay, bay.power_kw)
        else:
            self.set_power(bay, bay.setpoint_kw)

    def _time_next_plan(self, claiming: list[BayRow]) -> None:
        """While power is divided, plan again when a pack in its taper has given some back."""
        self._replan.drop()
        guide = self.guide
        if not self.short and (guide is None or not _divides(guide) or not guide.binds):
            return
        now_s = self.time.now
        soonest_s = NEVER if guide is None else now_s + self._reached_s(guide, claiming)
        for row in claiming:
            assert isinstance(row, StudyBay)
            charge = row.charge
            if charge is None or charge.curve.decay_per_s <= 0 or charge.knee_kwh >= charge.curve.capacity_kwh:
                continue
            from_s = max(now_s, charge.from_s + charge.knee_s)
            # Power falls at first by decay x power in a second: never later than when `replan_kw` are free.
            given_s = self.replan_kw / (charge.taper_kw * charge.curve.decay_per_s)
            soonest_s = min(soonest_s, from_s + (given_s if self.replan_s is None else self.replan_s))
        if soonest_s < NEVER:
            self.time.put(soonest_s, self._replan)

    def _reached_s(self, guide: Guide, claiming: list[BayRow]) -> float:
        """Until the first pack that a guide leaves alone is as near to ready as the guide asks."""
        soonest_s = NEVER
        if len(guide.reach_h) == 0:
            return soonest_s
        rank: dict[str, int] = {}
        for row in in_line(claiming):
            pack = row.pack
            if pack is None or row.at_offer or pack.kind.name not in guide.reach_h:
                continue
            name = pack.kind.name
            place = rank.get(name, pack.kind.spare)
            rank[name] = place + 1
            if row.setpoint_kw > 0:
                left_s = (lacks_h(row) - reach_at(guide, name, place)) * 3600
                if left_s > 0:
                    soonest_s = min(soonest_s, left_s + _AFTER_S)
        return soonest_s

    # -- one bay

    def reached(self, bay: StudyBay) -> None:
        """A pack is ready or full, or its temperature has crossed a limit."""
        pack = bay.content
        assert pack is not None
        self.settle(bay)
        if not pack.temp_safe:
            self.judge_temperature(pack)
        if self.time.now < bay.goal_s:
            bay.crossed_s = self.time.now
            self._keep_or_let(bay, pack)
            self.changed(bay, frees=True, connected=None)
            return
        share = self._target_share if pack.state is READY else self._offer_share
        pack.set_energy(share * pack.capacity_kwh)
        if pack.state is READY:
            self._drop_claim(bay)
            self.stop(bay)
            self._repacked(None)
            return
        self._make_ready(bay, pack)
        if pack.soc_pct >= self._target_pct:
            self._drop_claim(bay)
            self.stop(bay)
        self._repacked(bay)
        self.watcher.pack_ready()

    def _kept(self, pack: StudyPack) -> PackState | None:
        return kept_by_temperature(pack.state, pack.soc_pct, pack.temp_max_c, pack.temp_min_c, self.policy)

    def _keep_or_let(self, bay: StudyBay, pack: StudyPack) -> None:
        """The temperature keeps a pack from being charged from now on, or no longer."""
        kept = self._kept(pack)
        if kept is pack.state:
            return
        if kept is not None:
            if pack.state is READY:
                self.watcher.before_change()
                self._make_unready(bay, pack)
            self.set_power(bay, 0.0)
            pack.state = kept
        elif is_kept(pack):
            pack.state = WAITING
            if pack.soc_pct >= self._offer_pct:
                self._make_ready(bay, pack)
                self.watcher.pack_ready()

    # -- fewer modules than bays

    def _switch_modules(self) -> list[StudyBay]:
        """Connect spent packs first, in the order in which they came, then ready packs below their target.

        Gives the connected bays without power.
        """
        self._turn += 1
        first = self._line[: max(self.modules, 0)]
        for bay in first:
            bay.turn = self._turn
        passed_over = [bay for bay in self._connected if bay.turn != self._turn]
        if len(passed_over) > 1:
            passed_over.sort(key=self._line.index)
        for bay in passed_over:
            self._connected.pop(_place_among(self._connected, bay))
            bay.max_charge_kw = 0.0
            self.set_power(bay, 0.0)
        idle: list[StudyBay] = []
        for bay in first:
            if bay.max_charge_kw <= 0:
                bay.max_charge_kw = self.charger_kw
                self._connected.insert(_place_among(self._connected, bay), bay)
            if bay.power_kw <= 0:
                idle.append(bay)
        return idle

    def lacks_module(self) -> bool:
        """Whether a spent pack waits for a module."""
        if not self.switched or len(self._line) <= self.modules:
            return False
        pack = self._line[max(self.modules, 0)].content
        return pack is not None and pack.state is not READY

    @property
    def held(self) -> int:
        """Packs in the rack."""
        return sum(bay.content is not None for bay in self.bays)

    def module_changes(self, number: int, bay: StudyBay) -> None:
        """A module fails (-1) or is repaired (+1); it is that of `bay` where each has its own."""
        self.watcher.before_change()
        self.modules_down -= number
        if self.switched:
            self.modules += number
            self._repacked(None)
        else:
            bay.charger_ok = number > 0
            self.changed(bay, frees=True, connected=None)

    # -- the world around

    def set_world(self, limits: SiteLimits, guide: Guide | None, ambient_c: float) -> None:
        """Limits, guide and temperature from now on; call `settle_all` before."""
        before_kw, was = self.budget_kw, self.guide
        self.limits, self.guide = limits, guide
        self.budget_kw, self._cause = budget(limits, self.policy)
        if ambient_c != self.ambient_c:
            self.ambient_c = ambient_c
            for bay in self.bays:
                pack = bay.content
                if pack is not None and is_active(pack):
                    self.judge_temperature(pack)
                    if not pack.temp_safe:
                        self.changed(bay, frees=True, connected=None)
        if before_kw != self.budget_kw or not alike(was, guide):
            self.plan()


def _take_off(rows: list[Row], row: Row) -> None:
    """Take a row off a list that has it, by identity: `list.remove` compares, which is slow in the compiled form."""
    for number in range(len(rows)):
        if rows[number] is row:
            rows.pop(number)
            return
    raise ValueError("the list has no such bay")


def _place_among(bays: list[StudyBay], bay: StudyBay) -> int:
    """Where a bay stands, or would stand, among others that are in order of place."""
    place = bay.place
    low, high = 0, len(bays)
    while low < high:
        middle = (low + high) // 2
        if bays[middle].place < place:
            low = middle + 1
        else:
            high = middle
    return low


def _divides(guide: Guide) -> bool:
    """Whether what a guide gives one bay depends on the others."""
    return guide.most_kw > 0 or len(guide.reach_h) > 0


def _is_switched_before(bay: StudyBay, other: StudyBay) -> bool:
    """Whether a module goes to the first of two bays before the other."""
    ready, other_ready = (
        bay.pack is not None and bay.pack.state is READY,
        (other.pack is not None and other.pack.state is READY),
    )
    if ready != other_ready:
        return other_ready
    if bay.put_s != other.put_s:
        return bay.put_s < other.put_s
    return bay.position < other.position


# Packs that come and go other than by a swap: on a swap truck, or with a carrier between stations


def take_out(rack: StudyRack, bay: StudyBay) -> StudyPack:
    """Take the pack of a bay away, whatever its state."""
    rack.set_aside(bay, 0.0)
    return rack.pick(bay)


def take_charged(rack: StudyRack, bay: StudyBay, who: str) -> StudyPack:
    """Take the ready pack of a bay away."""
    rack.reserve(bay, who)
    return rack.pick(bay)


def put_in(rack: StudyRack, bay: StudyBay, pack: StudyPack, who: str) -> None:
    """Set a pack down in an empty bay that is promised to nobody."""
    pack.kind = pack.sort = rack.kinds[pack.kind.name]  # it may come from another station, which counts its own
    rack.promise_empty(bay, who)
    rack.place(bay, pack)


def is_free(bay: StudyBay) -> bool:
    """Whether a pack may be set down here now."""
    return bay.content is None and bay.reserved_by is None


def is_charged(bay: StudyBay) -> bool:
    """Whether the bay holds a pack that may be handed out."""
    return bay.content is not None and bay.content.state is READY and bay.reserved_by is None
