"""Half a day of a station in memory: trucks at random, faults at random, people who put them right.

Whatever happens, packs are conserved, the truth and the record agree in the end, the audit is clean, and every
truck has left with one pack in its seat.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from sqlmodel import select

from scheduler.types import StationMode
from sim.plant.rack import PlantError
from sim.plant.yard import TruckPlace
from swap.messages.events import SwapCompleted, SwapHeld, SwapReturned
from swap.station.sequence.session import STATION_REASONS, Phase
from swap.tables import Bay, Pack, Station, Swap
from tests.support.sim.plant import station
from tests.support.swap.station import Bench

HOURS = 12
TRUCKS = 40
FAULTS = 60
LANE = "L1"

LASTING = {
    "estop": LANE,
    "curtain": LANE,
    "door": LANE,
    "power_cut": LANE,
    "smoke": LANE,
    "frozen_heartbeat": LANE,
    "axis_alarm": LANE,
    "exit_blocked": LANE,
    "bms_silent": "bay",
    "charger_fault": "bay",
    "handbrake_released": LANE,
    "gear_in": LANE,
    "truck_rolls": LANE,
}
"""Faults that stay for some minutes and then are put right; what they are put into."""
PASSING = {"gripper_jam": LANE, "pick_misses": LANE, "lidar_misses": LANE, "lost_ack": LANE}
"""Faults that pass by themselves."""


@dataclass
class Day:
    """What happens, and the people who deal with it."""

    bench: Bench
    rng: Random
    standing: dict[tuple[str, str], float] = field(default_factory=dict)
    """When each fault is put right, by name and target."""
    seen: Counter[str] = field(default_factory=Counter)

    def truck(self) -> None:
        """A truck that is away comes with a pack somewhere between empty and half full."""
        away = [v for v in self.bench.plant.trucks_away() if self._free(v)]
        if away:
            self.bench.arrive(self.rng.choice(away), self.rng.uniform(10, 60))
            self.seen["truck"] += 1

    def _free(self, vehicle: str) -> bool:
        with self.bench.store.reading() as db:
            open_swaps = db.exec(select(Swap.id).where(Swap.open_vehicle_id == vehicle)).all()
        return not open_swaps

    def fault(self) -> None:
        """Something goes wrong."""
        name = self.rng.choice([*LASTING, *PASSING])
        target = (LASTING | PASSING)[name]
        if target == "bay":
            target = self.rng.choice(["A1", "A2", "A3", "A4"])
        try:
            self.bench.plant.inject(name, target)
        except PlantError:
            return  # no truck is there
        self.seen[name] += 1
        if name in LASTING:
            self.standing[(name, target)] = self.bench.seconds + self.rng.uniform(20, 240)

    def mend(self) -> None:
        """People at the equipment."""
        for (name, target), until_s in list(self.standing.items()):
            if self.bench.seconds >= until_s:
                del self.standing[(name, target)]
                try:
                    self.bench.plant.clear(name, target)
                except PlantError:
                    continue  # its truck has left
        cell = self.bench.plant.cell(LANE)
        if not cell.power_confirmed and not cell.faults.power_cut:
            self.bench.plant.inject("person_confirms", LANE)

    async def operate(self) -> None:
        """The person at the screen, who looks each minute."""
        bench = self.bench
        with bench.store.reading() as db:
            mode = db.exec(select(Station.mode)).one()
            held = db.exec(select(Swap).where(Swap.phase == Phase.HELD.value, Swap.ended_at.is_(None))).first()  # type: ignore[union-attr]
            swap_id, reason = (held.id, held.hold_reason) if held is not None else (None, None)
            blocked = [b.name for b in db.exec(select(Bay)).all() if b.blocked]
            quarantined = [p.id for p in db.exec(select(Pack).where(Pack.state == "quarantined")).all()]
        if bench.plant.cell(LANE).latched and not self.standing:
            await bench.settled(bench.ask("reset", lane_id=LANE))
        if mode != StationMode.AUTOMATIC or reason in STATION_REASONS:
            await bench.settled(bench.ask("confirm"))
        elif swap_id is not None:
            status, _ = await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue"))
            self.seen[f"decision {status}"] += 1
        if not any(name in ("bms_silent", "wrong_code") for name, _ in self.standing):
            for pack_id in quarantined:
                await bench.settled(bench.ask("release_pack", pack_id=pack_id))
            for bay in blocked:
                await bench.settled(bench.ask("release_bay", bay_id=bay))

    async def run(self) -> None:
        """The whole day, and afterwards until the last truck has left."""
        end_s = self.bench.seconds + HOURS * 3600
        times = sorted(
            [(self.rng.uniform(self.bench.seconds, end_s - 1800), self.truck) for _ in range(TRUCKS)]
            + [(self.rng.uniform(self.bench.seconds, end_s - 1800), self.fault) for _ in range(FAULTS)],
            key=lambda item: item[0],
        )
        look_s = self.bench.seconds
        while self.bench.seconds < end_s or (self._open() and self.bench.seconds < end_s + 4 * 3600):
            busy = self.bench.plant.cell(LANE).active is not None or self._open()
            await self.bench.tick(self.bench.hop_s(20.0) if busy else 60.0)
            while times and times[0][0] <= self.bench.seconds:
                times.pop(0)[1]()
            self.mend()
            if self.bench.seconds - look_s >= 60:
                look_s = self.bench.seconds
                await self.operate()
            self._conserved()

    def _open(self) -> bool:
        with self.bench.store.reading() as db:
            return db.exec(select(Swap.id).where(Swap.ended_at.is_(None))).first() is not None  # type: ignore[union-attr]

    def _conserved(self) -> None:
        places = self.bench.places()
        assert len(places) == 7
        assert max(Counter(places.values()).values()) == 1, places
        lifted = [place for place in places.values() if place.startswith("gripper")]
        assert len(lifted) <= 1


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(1, 5) if os.environ.get("PROVE") == "all" else [1])
async def test_half_a_day_of_trucks_and_faults_ends_in_order(
    tmp_path: Path, seed: int, proved: Callable[[str], None]
) -> None:
    config = station()
    bench = Bench(
        tmp_path,
        config.model_copy(update={"charging": config.charging.model_copy(update={"cycle_s": 60.0})}),
        speed=60.0,
    )
    bench.commerce_s = 120.0
    await bench.start()
    await bench.run(5)
    day = Day(bench, Random(seed))
    await day.run()
    await bench.run(120, step_s=None)
    ended = Counter(e.kind for e in bench.events())
    seen = ", ".join(f"{count} {name}" for name, count in sorted(day.seen.items()))
    ends = {k: ended[k] for k in (SwapCompleted.kind, SwapReturned.kind, SwapHeld.kind)}
    proved(f"half a day, seed {seed}: {seen}; " + ", ".join(f"{count} {kind}" for kind, count in ends.items()))
    assert not day._open()
    assert day.seen["truck"] >= TRUCKS // 2
    assert ended[SwapCompleted.kind] >= TRUCKS // 2
    assert {t.place for t in bench.plant.yard.trucks.values()} == {TruckPlace.AWAY}
    assert bench.places() == bench.recorded_places()
    report = bench.audited()
    assert sum(i.examined for i in report.invariants) > 1000
    numbers = [number for what, number, _ in bench.motions if what == "accepted"]
    assert len(numbers) == len(set(numbers))
    bench.close()
