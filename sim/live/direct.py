"""The plant behind the ports without a wire: for the twin on virtual time, exploration and tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from battery_bms.port import MeterReading, PackReading
from robotics.port import AckCode, CellStatus, Refused, RobotCommand
from sim.plant.plant import Plant


class DirectRobot:
    """A `SwapRobot` that works a cell of the plant. `before` lets time pass before each look or command."""

    def __init__(
        self,
        plant: Plant,
        lane_id: str,
        token: int,
        now: Callable[[], datetime],
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self.plant = plant
        self.lane_id = lane_id
        self.token = token
        self._now = now
        self._before = before

    async def connect(self) -> None:
        """Claim the cell where it is free."""
        cell = self.plant.cell(self.lane_id)
        if cell.owner == 0:
            cell.owner = self.token

    async def status(self) -> CellStatus:
        """The cell now, stamped with station time."""
        self._before()
        now = self._now()
        return replace(self.plant.cell_status(self.lane_id), fast_at=now, slow_at=now)

    async def send(self, command: RobotCommand) -> None:
        """Give the command. Raises Refused when another controller owns the cell."""
        self._before()
        if self.plant.command(self.lane_id, command, self.token) is AckCode.REFUSED_OWNER:
            raise Refused(f"cell {self.lane_id} belongs to another controller")

    async def acknowledge(self, seq: int) -> None:
        """The result of a number is stored."""
        self._before()
        self.plant.done_ack(self.lane_id, seq)

    async def hold(self, reason: str) -> None:
        """Hold after the running command."""
        self._before()
        self.plant.set_hold(self.lane_id, True)

    async def resume(self) -> None:
        """Withdraw the hold."""
        self._before()
        self.plant.set_hold(self.lane_id, False)

    async def close(self) -> None:
        """Give the cell up."""
        cell = self.plant.cell(self.lane_id)
        if cell.owner == self.token:
            cell.owner = 0


class DirectRack:
    """`PackMonitor` and `ChargerBank` over the plant's rack."""

    def __init__(self, plant: Plant, now: Callable[[], datetime], before: Callable[[], None] = lambda: None) -> None:
        self.plant = plant
        self._now = now
        self._before = before
        self._bays = [b.id for b in plant.config.bays if b.point is not None]

    async def connect(self) -> None:
        """Nothing to open."""

    async def read_bays(self) -> Mapping[str, PackReading]:
        """Every bay now, stamped with station time."""
        self._before()
        now = self._now()
        return {bay: replace(self.plant.pack_reading(bay), at=now) for bay in self._bays}

    async def set_charge_kw(self, setpoints_kw: Mapping[str, float]) -> Mapping[str, str]:
        """Write set-points."""
        self._before()
        for bay, power_kw in setpoints_kw.items():
            self.plant.set_charge_kw(bay, power_kw)
        return {}

    async def stop_all(self) -> Mapping[str, str]:
        """0 kW everywhere."""
        return await self.set_charge_kw({bay.id: 0.0 for bay in self.plant.config.bays if bay.charger_kw > 0})

    async def close(self) -> None:
        """Nothing to close."""


class DirectMeter:
    """`SiteMeter` over the plant."""

    def __init__(self, plant: Plant, now: Callable[[], datetime]) -> None:
        self.plant = plant
        self._now = now

    async def connect(self) -> None:
        """Nothing to open."""

    async def read(self) -> MeterReading | None:
        """The meter now."""
        return replace(self.plant.meter_reading(), at=self._now())

    async def close(self) -> None:
        """Nothing to close."""
