"""What the journal tells of packs, bays and charging."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from scheduler.types import PackState
from swap.messages.base import Event, Instant, Message


class PackMoved(Event):
    """A pack is in another place."""

    kind: ClassVar = "pack.moved"
    source: str = Field(alias="from")
    target: str = Field(alias="to")
    energy_kwh: float | None = None
    """What it holds as on record, where it is put on a vehicle: its next bill starts from it."""
    soc_pct: float | None = None
    odometer_km: float | None = None
    """Of the vehicle that it comes from or to, where the vehicle tells it."""


class PackStateChanged(Event):
    """A pack's state has changed."""

    kind: ClassVar = "pack.state"
    before: PackState = Field(alias="from")
    after: PackState = Field(alias="to")
    trigger: str
    """Trigger of the table of pack states."""
    reason: str | None = None


class RegistersRead(Message):
    """The registers of one value as they were read, and how they make it: raw × scale × 10^power + offset."""

    read_at: Instant
    unit_id: int
    function_code: int
    """Of Modbus: 3 reads holding registers."""
    address: int
    """Of the first register, from 0 as on the wire."""
    words: tuple[int, ...]
    type: str
    """u16, i32, f32, …"""
    word_order: str
    """Which word comes first: big or little."""
    raw: int | float
    """The number that the words make."""
    scale: float
    offset: float = 0.0
    power: int = 0


class PackRead(Event):
    """A reading that a bill rests on."""

    kind: ClassVar = "pack.reading"
    energy_kwh: float
    soc_pct: float | None
    soh_pct: float | None
    temp_max_c: float | None
    discharged_kwh: float | None = None
    """Counter of the BMS: energy given since it was made; where the BMS has one."""
    registers: dict[str, RegistersRead] = Field(default_factory=dict)
    """Of energy_kwh and discharged_kwh, where they were read from registers; earlier releases did not keep them."""

    def quantities(self) -> dict[str, float]:
        """What rents rest on, as far as it was read, by the name that commerce keeps it under."""
        values = {"energy_kwh": self.energy_kwh, "soh_pct": self.soh_pct, "counter_kwh": self.discharged_kwh}
        return {name: value for name, value in values.items() if value is not None}


class BayBlocked(Event):
    """A bay is out of use until a person releases it."""

    kind: ClassVar = "bay.blocked"
    reason: str


class BayReleased(Event):
    """A bay is back in use."""

    kind: ClassVar = "bay.released"
    reason: str
    """Why it was blocked."""


class ChargeStarted(Event):
    """A pack takes energy."""

    kind: ClassVar = "charge.started"
    energy_kwh: float
    """In the pack at the beginning."""
    meter_kwh: float | None
    """Reading of the charger's own meter."""
    session_id: int | None = None
    """The charging, as bills name it; events of earlier releases do not."""
    registers: dict[str, RegistersRead] = Field(default_factory=dict)
    """Of energy_kwh and meter_kwh, as in `PackRead`."""


class ChargeEnded(Event):
    """A pack takes no more energy."""

    kind: ClassVar = "charge.ended"
    gained_kwh: float
    """Rounded."""
    meter_kwh: float | None
    session_id: int | None = None
    """As in `ChargeStarted`."""
    start_kwh: float | None = None
    """In the pack at the beginning, as it was read."""
    end_kwh: float | None = None
    """The same at the end; None where it was not read."""
    registers: dict[str, RegistersRead] = Field(default_factory=dict)
    """Of energy_kwh (at the end) and meter_kwh, as in `PackRead`."""


class HotPackReading(Message):
    """One of the last readings before a hot pack was detected."""

    at: Instant
    temp_max_c: float | None
    cell_min_v: float | None
    charge_kw: float | None


class ThermalStep(Event):
    """The procedure for a hot pack has reached a stage. Which of the fields are there depends on it."""

    kind: ClassVar = "thermal.step"
    bay: str
    stage: str
    """detected, charging_stopped, evacuation_started, evacuated or isolated."""
    since_s: float
    """Since the detection."""
    causes: tuple[str, ...] = ()
    readings: tuple[HotPackReading, ...] = ()
    confirmed: bool | None = None
    """A reading shows that charging has stopped."""
    seq: int | None = None
    """Command that carries the pack to the tank."""
    bars: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Why the pack stays, by lane."""
