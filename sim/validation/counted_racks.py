"""Racks that count packs: a charge takes a time or an energy, and nothing else about a pack matters.

Packs are charged in the order in which they come, one on a charger. `need` is the time at full power
(`FixedPowerRack`, seconds) or the energy (`SharedPowerRack`, kWh) of the pack that comes in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from sim.study.agenda import Agenda, Call
from sim.validation.flow import Flow


class FixedPowerRack:
    """Each charger gives a pack its full power: a charge takes the time that the pack brings."""

    def __init__(self, time: Agenda, packs: int, chargers: int) -> None:
        self.time = time
        self.charged = packs
        self.idle = chargers
        self.charging = 0
        self.depleted: deque[float] = deque()
        self.flow: Flow | None = None
        """Told when a pack is charged; set by the builder."""
        self.calendar: list[tuple[float, float]] | None = None
        """Start and end of each charge, in the order of the starts, where somebody wants them."""
        self.charged_area = 0.0
        self.charging_area = 0.0
        self.depleted_area = 0.0

    def take(self) -> None:
        self.charged -= 1

    def put(self, need: float) -> None:
        if self.idle:
            self.idle -= 1
            self.charging += 1
            self._begin(need)
        else:
            self.depleted.append(need)

    def _begin(self, need: float, call: Call | None = None) -> None:
        now_s = self.time.now
        if call is None:
            self.time.at(now_s + need, self._on_charged)
        else:
            self.time.put(now_s + need, call)
        if self.calendar is not None:
            self.calendar.append((now_s, now_s + need))

    def _on_charged(self, call: Call) -> None:
        flow = self.flow
        assert flow is not None
        flow.accumulate()
        self.charged += 1
        if self.depleted:
            self._begin(self.depleted.popleft(), call)
        else:
            self.idle += 1
            self.charging -= 1
        if flow.queue:
            flow.start_swaps()

    def accumulate(self, dt_s: float) -> None:
        self.charged_area += self.charged * dt_s
        self.charging_area += self.charging * dt_s
        self.depleted_area += len(self.depleted) * dt_s

    def reset(self) -> None:
        self.charged_area = self.charging_area = self.depleted_area = 0.0


class FailingRack(FixedPowerRack):
    """As `FixedPowerRack`, with chargers that fail, busy or idle, and are repaired.

    The pack on a charger that fails goes to the front of the queue and needs `redraw()` seconds anew.
    """

    def __init__(
        self,
        time: Agenda,
        packs: int,
        chargers: int,
        *,
        up_s: Callable[[], float],
        repair_s: Callable[[], float],
        redraw: Callable[[], float],
    ) -> None:
        super().__init__(time, packs, chargers)
        self.up_s, self.repair_s, self.redraw = up_s, repair_s, redraw
        self.up = chargers
        self.up_area = 0.0
        self._free = list(range(chargers))
        self._jobs: dict[int, Call] = {}
        for charger in range(chargers):
            time.at(up_s(), self._on_failure, charger)

    def put(self, need: float) -> None:
        self.depleted.append(need)
        self._fill()

    def _fill(self) -> None:
        while self._free and self.depleted:
            charger = self._free.pop()
            self.charging += 1
            self._jobs[charger] = self.time.at(self.time.now + self.depleted.popleft(), self._on_charged, charger)

    def _on_charged(self, call: Call) -> None:
        flow = self.flow
        assert flow is not None
        flow.accumulate()
        del self._jobs[call.payload]
        self._free.append(call.payload)
        self.charging -= 1
        self.charged += 1
        self._fill()
        flow.start_swaps()

    def _on_failure(self, call: Call) -> None:
        assert self.flow is not None
        self.flow.accumulate()
        charger = call.payload
        self.up -= 1
        job = self._jobs.pop(charger, None)
        if job is None:
            self._free.remove(charger)
        else:
            job.drop()
            self.charging -= 1
            self.depleted.appendleft(self.redraw())
            self._fill()
        self.time.at(self.time.now + self.repair_s(), self._on_repair, charger)

    def _on_repair(self, call: Call) -> None:
        assert self.flow is not None
        self.flow.accumulate()
        self.up += 1
        self._free.append(call.payload)
        self._fill()
        self.time.at(self.time.now + self.up_s(), self._on_failure, call.payload)

    def accumulate(self, dt_s: float) -> None:
        super().accumulate(dt_s)
        self.up_area += self.up * dt_s

    def reset(self) -> None:
        super().reset()
        self.up_area = 0.0


class SharedPowerRack:
    """Every pack has a charger, and all share a grid limit equally: j packs get min(charger_kw, grid_kw / j).

    All packs on charge gain energy at the same rate, so one running sum of energy per pack orders them:
    a pack is full when the sum has risen by its need. Only the first of them has an instant on the event
    list, which is set anew when the number on charge changes.
    """

    def __init__(self, time: Agenda, packs: int, charger_kw: float, grid_kw: float) -> None:
        self.time = time
        self.charged = packs
        self.charger_kw, self.grid_kw = charger_kw, grid_kw
        self.flow: Flow | None = None
        self._given_kwh = 0.0
        """Energy that a pack on charge since the start would have by now."""
        self._given_at_s = 0.0
        self._full_at: list[float] = []
        self._call: Call | None = None
        self.charged_area = self.charging_area = self.energy_kwh = 0.0
        self.limited_area = 0.0

    @property
    def charging(self) -> int:
        """Packs on charge."""
        return len(self._full_at)

    @property
    def power_kw(self) -> float:
        """Output of one charger now."""
        return min(self.charger_kw, self.grid_kw / max(len(self._full_at), 1))

    def _advance(self) -> None:
        now_s = self.time.now
        if self._full_at:
            self._given_kwh += self.power_kw * (now_s - self._given_at_s) / 3600.0
        self._given_at_s = now_s

    def _plan(self) -> None:
        if self._call is not None:
            self._call.drop()
            self._call = None
        if self._full_at:
            hours = max(self._full_at[0] - self._given_kwh, 0.0) / self.power_kw
            self._call = self.time.at(self.time.now + 3600.0 * hours, self._on_charged)

    def take(self) -> None:
        self.charged -= 1

    def put(self, need: float) -> None:
        self._advance()
        heappush(self._full_at, self._given_kwh + need)
        self._plan()

    def _on_charged(self, call: Call) -> None:
        assert self.flow is not None
        self.flow.accumulate()
        self._advance()
        self._given_kwh = heappop(self._full_at)
        self._call = None
        self.charged += 1
        self._plan()
        self.flow.start_swaps()

    def accumulate(self, dt_s: float) -> None:
        count = len(self._full_at)
        self.charged_area += self.charged * dt_s
        self.charging_area += count * dt_s
        self.energy_kwh += min(count * self.charger_kw, self.grid_kw) * dt_s / 3600.0
        if count * self.charger_kw > self.grid_kw:
            self.limited_area += dt_s

    def reset(self) -> None:
        self.charged_area = self.charging_area = self.energy_kwh = self.limited_area = 0.0


AMPLE = 10**12
"""Number of chargers where there are always enough."""
