"""The programme file of demand response: notice, baseline rule, settlement, price and penalty, all of it data.

Rules differ by province and year, and many of their figures are published in part only: a file names those of its
fields that are assumed, and whoever prints money from them says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from scheduler.sections import Identifier, Section, did_you_mean

Yuan = Annotated[Decimal, Field(ge=0, le=1000, decimal_places=4)]
"""Yuan per kWh or per kW, to 0.0001."""


class BaselineSection(Section):
    """Which metered days say what would have been drawn."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    like_days: int = Field(default=10, ge=1, le=60)
    """So many like days before the event are looked at, newest first."""
    highest: int | None = Field(default=None, ge=1, le=60)
    """Of them only those with the highest mean in the hours of the event count; all when not given."""
    alike: Literal["any", "workday", "weekday"] = "workday"
    """Like days: any; working days for a working day and rest days for a rest day; the same day of the week."""
    look_back_days: int = Field(default=45, ge=1, le=366)
    """No day further back is looked at."""
    least_days: int = Field(default=3, ge=1, le=60)
    """With fewer days there is no baseline."""
    rebound_h: float = Field(default=6.0, ge=0, le=48)
    """For so long after an event its packs catch up: no such hour counts for a later baseline."""
    least_covered_share: float = Field(default=0.8, gt=0, le=1)
    """Share of a slot that must have been metered."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.highest is not None and self.highest > self.like_days:
            raise ValueError(f"highest is {self.highest}; it must be at most like_days = {self.like_days}")
        if self.least_days > self.like_days:
            raise ValueError(f"least_days is {self.least_days}; it must be at most like_days = {self.like_days}")
        return self


class ProgrammeSection(Section):
    """One programme of an aggregator or a grid company."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: Identifier
    """Name of the programme."""
    name_zh: str
    """Name in Chinese."""
    name_en: str
    """Name in English."""
    source: str = ""
    """The notice it is taken from."""
    payer: Identifier
    """Firm of `[[parties]]` that pays for what is delivered, and is owed the penalties."""
    control: Literal["voluntary", "direct"] = "voluntary"
    """`voluntary`: an event may be declined. `direct`: direct control, the limit holds when it is told."""
    direction: Literal["shed", "absorb"] = "shed"
    """`shed`: less import than the baseline is paid. `absorb`: more (填谷); always voluntary."""
    notice_min: float = Field(ge=0, le=10_080)
    """Least time from the announcement to the begin; a voluntary event told later may be declined for that alone."""
    least_kw: float = Field(default=0.0, ge=0, le=100_000)
    """Entry rule: less is not taken by the programme."""
    least_min: float = Field(default=0.0, ge=0, le=1440)
    """Entry rule: shorter is not taken."""
    slot_min: Literal[5, 10, 15, 30, 60] = 15
    """Length of the slots of the settlement; they begin at full hours."""
    least_share: float = Field(default=0.8, ge=0, le=1)
    """A slot that delivers less than this share of what was offered is paid nothing and is short."""
    most_share: float = Field(default=1.2, ge=1, le=10)
    """Of what is delivered, at most this share of what was offered is paid."""
    price_yuan_per_kwh: Yuan | None = None
    """Paid for each kWh that counts. Either this or `price_yuan_per_kw`."""
    price_yuan_per_kw: Yuan | None = None
    """Paid for each kW that counts, once an event: each slot earns its part."""
    penalty_yuan_per_kwh: Yuan = Decimal(0)
    """For each kWh that a short slot lacks to what was offered."""
    tax_category: str = Field(default="demand_response", min_length=1, max_length=32)
    """Category of tax of what is paid."""
    tax_rate: Decimal = Field(default=Decimal(0), ge=0, le=1, decimal_places=4)
    """Tax that is in what is paid (含税); a penalty has none."""
    baseline: BaselineSection = BaselineSection()
    """How much would have been drawn."""
    assumed: tuple[str, ...] = ()
    """Fields whose figures are assumptions, those of the baseline as `baseline.highest`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.price_yuan_per_kwh is None) == (self.price_yuan_per_kw is None):
            raise ValueError("give either price_yuan_per_kwh or price_yuan_per_kw")
        if self.control == "direct" and self.direction == "absorb":
            raise ValueError("direct control gives a limit; a programme that absorbs is voluntary")
        known = {*ProgrammeSection.model_fields, *(f"baseline.{name}" for name in BaselineSection.model_fields)}
        for name in self.assumed:
            if name not in known:
                raise ValueError(f"assumed: {name!r} is no field of a programme{did_you_mean(name, known)}")
        return self

    @property
    def slot(self) -> timedelta:
        """Length of a slot."""
        return timedelta(minutes=self.slot_min)


@dataclass(frozen=True, slots=True)
class EventSpan:
    """One event as it was called, whether it was accepted or not.

    Raises:
        ValueError: an end that is not after the begin, or an announcement after it.
    """

    told_at: datetime
    """From then on the station, and so its plan, knew of it."""
    from_at: datetime
    until_at: datetime

    def __post_init__(self) -> None:
        if not self.told_at <= self.from_at < self.until_at:
            times = ", ".join(at.isoformat(timespec="seconds") for at in (self.told_at, self.from_at, self.until_at))
            raise ValueError(f"an event is told, begins and ends in this order; it has {times}")

    def slots(self, slot: timedelta) -> Iterator[datetime]:
        """Begins of the settlement's slots that lie wholly or in part within the event."""
        at = slot_begin(self.from_at, slot)
        while at < self.until_at:
            yield at
            at += slot

    def hours_in(self, slot_at: datetime, slot: timedelta) -> float:
        """How much of a slot the event takes."""
        return (min(self.until_at, slot_at + slot) - max(self.from_at, slot_at)) / timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class MeteredSlot:
    """Mean import over one slot."""

    at: datetime
    """Its begin."""
    mean_kw: float
    covered_share: float = 1.0
    """Part of the slot that was metered."""


def slot_begin(at: datetime, slot: timedelta) -> datetime:
    """Begin of the slot that holds an instant; slots are counted from 1970, so they begin at full quarters and hours
    in every zone whose offset is a whole number of slots."""
    length_s = round(slot.total_seconds())
    return datetime.fromtimestamp(int(at.timestamp()) // length_s * length_s, at.tzinfo)
