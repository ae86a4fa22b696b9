"""The parts of the page as a person reads them, in one language. No HTML here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class BayCard:
    """One bay as a card."""

    bay_id: str
    role: str
    role_word: str
    pack_id: str
    short: str
    state: str
    """Code of the pack's state, or `empty`; chooses the colour."""
    state_word: str
    soc_pct: float | None
    """None when unknown or too old to stand for the present."""
    temp: str
    power: str
    age: str
    """How old the newest reading is; empty while it is fresh."""
    why: str
    """Why there is no charging power, what reserves the bay, or when its pack is expected to be ready."""
    blocked: bool


@dataclass(frozen=True)
class StepLine:
    """One row of the recipe in a lane."""

    name: str
    status: str
    """done, current or todo."""


@dataclass(frozen=True)
class CheckChip:
    """One pre-check."""

    name: str
    result: str
    result_word: str


@dataclass(frozen=True)
class LaneCard:
    """One lane: who is in it and how far the table is."""

    lane_id: str
    name: str
    swap_id: str
    vehicle_id: str
    state: str
    phase: str
    phase_word: str
    hold_word: str
    hold_detail: str
    missing: str
    """Permissives that the next command waits for."""
    waits: str
    """What the lane waits for, in a sentence."""
    tries: int
    since: datetime | None
    steps: tuple[StepLine, ...]
    checks: tuple[CheckChip, ...]
    gripper: str
    unwinding: bool
    motion: str
    """What moves when a person lets a held swap go on."""
    way_back: str
    """What moves when a person sends a held swap back."""
    not_now: str
    """Why neither may be asked for; empty when they may."""


@dataclass(frozen=True)
class QueueLine:
    """One waiting truck."""

    swap_id: str
    vehicle_id: str
    since: datetime
    waited: str
    window: str
    priority: int
    waits: str
    """What the truck waits for, in a sentence."""


@dataclass(frozen=True)
class SwapLine:
    """One swap that has ended."""

    swap_id: str
    vehicle_id: str
    end: str
    end_word: str
    ended: str
    waited: str
    took: str
    packs: str
    energy_kwh: str
    total_yuan: str


@dataclass(frozen=True)
class FaultLine:
    """One open fault."""

    fault_id: int
    level: int
    level_word: str
    source: str
    code: int
    text: str
    detail: str
    """What the device itself gave as the reason, or what was missing; empty where neither is known."""
    action: str
    raised: str
    acknowledged_by: str
    lane_id: str
    """Lane whose cell may be asked to reset; empty where a reset does not help."""


@dataclass(frozen=True)
class RequestLine:
    """One request of a person."""

    request_id: int
    what: str
    name: str
    status: str
    status_word: str
    answer: str
    unsure: bool
    """A hold that not every cell has confirmed."""


@dataclass(frozen=True)
class DeviceLine:
    """How well the link to one device works."""

    name: str
    state: str
    good: bool
    reconnects: int
    """Connections of the last minute."""
    error_pct: str
    answer_ms: str


@dataclass(frozen=True)
class GoOn:
    """The button that lets the station go on after a hold, manual work or closing."""

    kind: str
    label: str
    motion: str
    """What may move when it is pressed."""
    not_now: str
    """Why it may not be pressed; empty when it may."""


@dataclass(frozen=True)
class Bar:
    """Is the station run, why not, and what is next: what stays in sight wherever the page is scrolled to."""

    tone: str
    """`good`, `busy` (somebody has to act) or `bad`; chooses the colour."""
    word: str
    why: str
    next: str
    alarms: int
    """Number of open faults."""
    level_word: str
    """Level of the highest one."""


@dataclass(frozen=True)
class PageView:
    """Everything the live part of the page shows."""

    bar: Bar
    go_on: GoOn | None
    name: str
    mode: str
    mode_word: str
    mode_reason: str
    controller: str
    now: datetime
    speed: float
    power: str
    charge: str
    limit: str
    power_share_pct: float
    sun: str
    """Power of the photovoltaics, kW; empty without any."""
    storage: str
    """What the storage does and holds; empty without one."""
    site_at: str
    """Local time of the sample that these powers are of; empty before the first."""
    ready: int
    ready_of: int
    next_ready: str
    """When the next pack is expected to be ready; empty where nobody knows."""
    bays: tuple[BayCard, ...]
    lanes: tuple[LaneCard, ...]
    queue: tuple[QueueLine, ...]
    swaps: tuple[SwapLine, ...]
    faults: tuple[FaultLine, ...]
    requests: tuple[RequestLine, ...]
    devices: tuple[DeviceLine, ...]
    """Empty where another process runs the station."""
    prices: str
    """What a kWh costs now, electricity and service apart."""
    tariff_notes: tuple[str, ...]
    """What makes prices doubtful."""
