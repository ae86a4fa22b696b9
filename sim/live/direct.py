"""The plant behind the ports without a wire: for the twin on virtual time, exploration and tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from battery_bms.port import MeterReading, PackReading, PvReading, StorageOrder, StorageReading
from robotics.port import NO_PACKS, AckCode, CellStatus, DriverSign, LinkLimit, Refused, RobotCommand
from sim.plant.plant import Plant
from swap.station.power.site import SiteDevices

ORDER_EXPIRES_S = 30.0
"""Real seconds after which a storage rests that has not been given its order again, as a charger ends its set-point."""


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

    async def hold(self, reason: str) -> bool:
        """Hold after the running command; another controller's cell is left alone."""
        self._before()
        if self.plant.cell(self.lane_id).owner not in (0, self.token):
            return False
        self._ask_hold(True, None)
        return True

    async def resume(self, epoch: int | None = None) -> None:
        """Withdraw the hold. Raises Refused when the cell has begun another epoch since."""
        self._before()
        self._ask_hold(False, epoch)
        if self.plant.cell(self.lane_id).hold:
            raise Refused(f"cell {self.lane_id} still holds: something has happened since the confirmation")

    async def show(self, sign: DriverSign, *, swap_mode: bool, packs: Mapping[int, str] = NO_PACKS) -> bool:
        """Show the driver a sign and tell his vehicle its packs; it goes into swap mode by itself."""
        self.plant.cell(self.lane_id).sign = sign
        if not self.plant.takes_codes:
            return False
        self.plant.tell_packs(self.lane_id, packs)
        return bool(packs)

    async def close(self, *, give_up: bool = True) -> None:
        """Give the cell up."""
        cell = self.plant.cell(self.lane_id)
        if give_up and cell.owner == self.token:
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


class DirectPv:
    """`PvMeter` over the plant."""

    def __init__(self, plant: Plant, now: Callable[[], datetime]) -> None:
        self.plant = plant
        self._now = now
        self._reading: PvReading | None = None

    async def connect(self) -> None:
        """Nothing to open."""

    async def read(self) -> PvReading | None:
        """The photovoltaics now; the old reading while they are silent."""
        if not self.plant.site.silent:
            self._reading = PvReading(self._now(), self.plant.site.pv_kw)
        return self._reading

    async def close(self) -> None:
        """Nothing to close."""


class DirectStorage:
    """`StorageInverter` over the plant. An order ends `expires_s` station seconds after it was given last."""

    follows_load = True

    def __init__(self, plant: Plant, now: Callable[[], datetime], expires_s: float) -> None:
        self.plant = plant
        self._now = now
        self._expires_s = expires_s
        self._reading: StorageReading | None = None

    async def connect(self) -> None:
        """Nothing to open."""

    async def read(self) -> StorageReading | None:
        """The storage now; the old reading while it is silent."""
        site, now_us = self.plant.site, self.plant.now_us
        if not (site.silent or site.dead):
            self._reading = StorageReading(self._now(), site.stored_kwh(now_us), site.storage_kw(now_us))
        return self._reading

    async def command(self, order: StorageOrder) -> str | None:
        """Give an order."""
        if self.plant.site.silent or self.plant.site.dead:
            return "no answer"
        self.plant.site.command(order, self.plant.now_us, self._expires_s)
        return None

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


def direct_site(plant: Plant, now: Callable[[], datetime], *, order_expires_s: float = ORDER_EXPIRES_S) -> SiteDevices:
    """The site's devices that the station file has, over the plant.

    Args:
        order_expires_s: station seconds after which the storage rests that has not been given its order again.
    """
    site = plant.config.site
    return SiteDevices(
        DirectMeter(plant, now) if site.meter is not None else None,
        DirectPv(plant, now) if site.pv is not None else None,
        DirectStorage(plant, now, order_expires_s) if site.storage is not None else None,
    )
