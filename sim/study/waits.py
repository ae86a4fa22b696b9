"""What trucks wait for: each instant of each wait has one cause, so the causes add up to the waiting.

The cause is what keeps a truck from being called at that instant, asked in the order in which a swap needs things: a
lane and somebody who attends it, a pack, an empty bay, its turn before those who have booked. Where lanes are lacking
and some are under repair, the waiting is the repair's in their share of all lanes; likewise with packs, for modules
under repair and packs set aside.
"""

from __future__ import annotations

from typing import Final

from scheduler.choice import pick_packs
from scheduler.rows import TruckRow
from sim.study.rack import StudyRack
from sim.study.rows import StudyLane

LANE: Final = 0
PEOPLE: Final = 1
PACK: Final = 2
CHARGER: Final = 3
POWER: Final = 4
BAY: Final = 5
BOOKING: Final = 6
FAILURE: Final = 7

CAUSES: Final = ("lane", "people", "pack", "charger", "power", "bay", "booking", "failure")
"""Names of the causes, in the order of their numbers.

lane: every lane serves another truck. people: a lane is free, nobody attends it. pack: too few ready packs that the
truck takes, all others being charged as fast as they can be. charger: likewise, and a spent pack waits for a charging
module. power: likewise, and the site leaves the chargers less than they could draw. bay: no empty bay for the pack that
comes off. booking: packs are ready, and kept for trucks that have booked. failure: a lane or a module is being
repaired, or a pack inspected.
"""


class CountsDisagree(Exception):
    """Two counts of the same thing differ: a defect of the simulator, and no result."""


class WaitCauses:
    """Truck-seconds of waiting by cause."""

    def __init__(self) -> None:
        self.sums_s: list[float] = [0.0] * len(CAUSES)
        """In the order of `CAUSES`."""
        self.lanes_down = 0
        """Lanes under repair."""

    def reset(self) -> None:
        """Begin the sums anew."""
        self.sums_s = [0.0] * len(CAUSES)

    def add(
        self,
        dt_s: float,
        line: list[TruckRow],
        lanes: list[StudyLane],
        free_lanes: int,
        rack: StudyRack,
        promised: bool,
        in_out: bool,
        attended: bool,
    ) -> None:
        """The trucks of the line have waited `dt_s` more, and nothing has changed meanwhile."""
        waiting = len(line)
        if free_lanes <= 0:
            down = self.lanes_down / len(lanes)
            self.sums_s[FAILURE] += waiting * down * dt_s
            self.sums_s[LANE] += waiting * (1 - down) * dt_s
        elif not attended:
            self.sums_s[PEOPLE] += waiting * dt_s
        elif not rack.charged:
            self._lack_packs(waiting, rack, dt_s)
        elif rack.empty <= 0 and not in_out:
            self.sums_s[BAY] += waiting * dt_s
        else:
            self._ask_each(dt_s, line, lanes, rack, promised, in_out)

    def _lack_packs(self, waiting: int, rack: StudyRack, dt_s: float) -> None:
        down = 0.0
        if rack.modules_down > 0 or rack.inspected > 0:
            modules = rack.modules + rack.modules_down if rack.switched else len(rack.bays)
            down = min(rack.modules_down / modules + rack.inspected / max(rack.held, 1), 1.0)
        self.sums_s[FAILURE] += waiting * down * dt_s
        cause = PACK
        if rack.short:
            cause = POWER
        elif rack.lacks_module():
            cause = CHARGER
        self.sums_s[cause] += waiting * (1 - down) * dt_s

    def _ask_each(
        self,
        dt_s: float,
        line: list[TruckRow],
        lanes: list[StudyLane],
        rack: StudyRack,
        promised: bool,
        in_out: bool,
    ) -> None:
        """A lane, packs and bays are free; what each truck lacks of them for itself."""
        without = 0
        for truck in line:
            has_packs = False
            for lane in lanes:
                free = lane.ready and lane.open_swap_id is None
                if free and pick_packs(rack.charged, truck, rack.policy, lane.lane_id) is not None:
                    has_packs = True
                    break
            if not has_packs:
                without += 1
            elif not in_out and rack.empty < truck.packs_needed:
                self.sums_s[BAY] += dt_s
            elif promised:
                self.sums_s[BOOKING] += dt_s
            else:
                without += 1  # a truck further ahead waits for the same packs
        self._lack_packs(without, rack, dt_s)


def check_little(area_s: float, waits_s: float, causes_s: float, where: str) -> None:
    """Whether the time average of the queue, the trucks' own waits and the causes are the same truck-seconds.

    Raises:
        CountsDisagree: they are not. For a window of any run Little's law holds exactly, not only on average, where
            each truck counts with the part of its wait that lies inside.
    """
    allowed_s = 1e-6 * max(area_s, waits_s, causes_s) + 1e-3
    for name, other_s in (("the trucks' own waits", waits_s), ("the causes of waiting", causes_s)):
        if not abs(area_s - other_s) <= allowed_s:
            raise CountsDisagree(
                f"{where}: the queue held {area_s:.3f} truck-seconds, {name} add up to {other_s:.3f}; allowed is a "
                f"difference of {allowed_s:.3f}. This is a defect of the simulator: report it with the scenario"
            )
