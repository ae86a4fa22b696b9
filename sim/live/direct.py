"""The plant behind the ports without a wire: for the twin on virtual time, exploration and tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from battery_bms.port import MeterReading, PackReading
from robotics.port import AckCode, CellStatus, LinkLimit, Refused, RobotCommand
from sim.plant.plant import Plant


class DirectRobot:
    """A `SwapRobot` that works a fenced cell of the plant. `before` lets time pass before each look or command."""

    limits: tuple[LinkLimit, ...] = ()

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
        self._hold_seq = 0

    async def connect(self) -> None:
        """Claim the cell where it is free."""
        self.plant.cell(self.lane_id).claim(self.token, owner_silent=False)

    async def status(self) -> CellStatus:
        """The cell now, stamped with station time."""
        self._before()
        now = self._now()
        return replace(self.plant.cell_status(self.lane_id), fast_at=now, slow_at=now)

    async def send(self, command: RobotCommand, epoch: int | None = None) -> None:
        """Give the command. Raises Refused when another controller owns the cell."""
        self._before()
        if self.plant.command(self.lane_id, command, self.token, self._current(epoch)) is AckCode.REFUSED_OWNER:
            raise Refused(f"cell {self.lane_id} belongs to another controller")

    async def acknowledge(self, seq: int, epoch: int | None = None) -> None:
        """The result of a number is stored."""
        self._before()
        self.plant.done_ack(self.lane_id, seq, self._current(epoch))

    async def hold(self, reason: str) -> None:
        """Hold after the running command."""
        self._before()
        self._ask_hold(True, None)

    async def resume(self, epoch: int | None = None) -> None:
        """Withdraw the hold. Raises Refused when the cell has begun another epoch since."""
        self._before()
        self._ask_hold(False, epoch)
        if self.plant.cell(self.lane_id).hold:
            raise Refused(f"cell {self.lane_id} still holds: something has happened since the confirmation")

    async def close(self) -> None:
        """Give the cell up."""
        cell = self.plant.cell(self.lane_id)
        if cell.owner == self.token:
            cell.claim(0, owner_silent=False)

    def _current(self, epoch: int | None) -> int:
        return self.plant.cell(self.lane_id).epoch if epoch is None else epoch

    def _ask_hold(self, hold: bool, epoch: int | None) -> None:
        self._hold_seq = self._hold_seq % 0xFFFF + 1
        self.plant.set_hold(self.lane_id, hold, self._current(epoch), self._hold_seq)


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
