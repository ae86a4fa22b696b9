"""What a contract says: strict models of the contract file, of the body over HTTP, and of what a version keeps.

Prices and quantities are decimal texts ("13.30"), never binary fractions. Every rate here is the contract's own; the
program has no price of its own. Tax rates are assumed defaults and may be set in each contract.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from swap.commerce.bills.terms import EnergyPrice, Measure
from swap.commerce.leases.periods import Calendar
from swap.zones import zone_names


def _decimal_text(value: object) -> object:
    if isinstance(value, bool | float):
        raise PydanticCustomError("decimal_text", "must be a decimal number in quotes, such as '13.30'")
    return value


def _known_zone(zone: str) -> str:
    if zone not in zone_names():
        raise PydanticCustomError("zone", "must be a time zone of the IANA list, such as Asia/Shanghai")
    return zone


def _plain(value: Decimal) -> Decimal:
    return value.normalize() + 0 if value == 0 else value


_Number = BeforeValidator(_decimal_text)
Price = Annotated[Decimal, _Number, AfterValidator(_plain), Field(ge=0, le=1_000_000, decimal_places=4)]
"""Yuan for one unit, in 1/10 000 yuan."""
Quantity = Annotated[Decimal, _Number, Field(ge=0, le=1_000_000_000, decimal_places=2)]
Share = Annotated[Decimal, _Number, Field(ge=0, le=1, decimal_places=4)]
Id = Annotated[str, Field(min_length=1, max_length=32)]


class TermsPart(BaseModel):
    """Base of all parts of a contract: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Entitlement(TermsPart):
    """Packs of one kind that the lessee may have at a time: kinds and numbers, not serial numbers."""

    kind: Id
    number: int = Field(ge=1, le=10_000)


class SohRule(TermsPart):
    """Rent × mean SoH ÷ reference, never more than 1 and never less than the floor; the mean is weighted with the
    time for which each pack was held."""

    reference_pct: Annotated[Decimal, _Number, Field(gt=0, le=100, decimal_places=2)] = Decimal(100)
    floor: Share
    """Least factor, such as 0.80."""


class Step(TermsPart):
    """A price from a quantity on."""

    from_quantity: Quantity
    """The first step starts at 0; each further one above the one before."""
    yuan: Price


class _Component(TermsPart):
    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,19}$")
    """Name within the contract: the same name in the next version is the same component."""


class CapacityRent(_Component):
    """Rent on the energy of the entitlement, whatever packs are held."""

    kind: Literal["capacity"]
    yuan_per_kwh_month: Price
    soh: SohRule | None = None


class TwoPartRent(_Component):
    """Floor on the energy of the entitlement, or the price of the energy used, whichever is more."""

    kind: Literal["two_part"]
    floor_yuan_per_kwh_month: Price
    overage_yuan_per_kwh: Price
    soh: SohRule | None = None


class FixedFee(_Component):
    """A sum for each period, whatever happens."""

    kind: Literal["fixed"]
    yuan_per_period: Price


class UsageKind(StrEnum):
    """What is counted."""

    KM = "km"
    SWAP = "swap"
    KWH = "kwh"
    TONNE = "tonne"
    HOUR = "hour"


class Usage(_Component):
    """A price for what is counted: kilometres, swaps, energy taken, tonnes, engine-hours."""

    kind: Literal["usage"]
    per: UsageKind
    yuan: Price | None = None
    """For one unit; instead of steps."""
    steps: tuple[Step, ...] = Field(default=(), max_length=20)
    stepping: Literal["tiered", "whole"] = "tiered"
    """tiered: each part at the price of its step; whole: all of it at the price of the step that is reached."""
    minimum: Quantity = Decimal(0)
    """At least this much is charged for each period, in the share of its days that the contract covers (保底)."""
    allowance: Quantity = Decimal(0)
    """So much of each period is free, in the same share."""
    counted: Literal["vehicle", "contract"] = "vehicle"
    """Minimum, allowance and steps count for each vehicle by itself, or for all together."""
    tariff: bool = False
    """Energy only: the price of electricity at each swap is added to `yuan` and passed through."""

    @model_validator(mode="after")
    def _one_price(self) -> Usage:
        if (self.yuan is None) == (not self.steps):
            raise PydanticCustomError("usage_price", "must have either yuan or steps")
        if self.minimum and self.allowance:
            raise PydanticCustomError("usage_minimum", "must have a minimum or an allowance, not both")
        bounds = [step.from_quantity for step in self.steps]
        if self.steps and (bounds[0] != 0 or bounds != sorted(set(bounds))):
            raise PydanticCustomError("steps", "steps must start at 0 and rise")
        if self.tariff and (self.per is not UsageKind.KWH or self.steps or self.minimum or self.allowance):
            raise PydanticCustomError("tariff", "only energy by one price is passed through with its tariff")
        return self

    @property
    def prices(self) -> tuple[Step, ...]:
        """The steps; one of them where there is one price."""
        return self.steps or (Step(from_quantity=Decimal(0), yuan=self.yuan or Decimal(0)),)


class Deposit(_Component):
    """Paid for each pack of the entitlement when the contract begins, given back when it is settled (押金)."""

    kind: Literal["deposit"]
    yuan_per_pack: Price


class Damage(_Component):
    """What a pack that comes back damaged costs, by the code of the damage."""

    kind: Literal["damage"]
    yuan_by_code: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,23}$")], Price] = Field(min_length=1)
    yuan_max_per_pack: Price


class BuyOut(_Component):
    """Residual at which the lessee may buy a pack: new price × rated energy × SoH × second-hand share (残值)."""

    kind: Literal["buy_out"]
    new_yuan_per_kwh: Price
    second_hand: Share


class EarlyEnd(_Component):
    """An end before the last day costs a share of the rent by time of the days that are left, of `days_max` at most."""

    kind: Literal["early_end"]
    share: Share
    days_max: int = Field(ge=0, le=3660)


class Occupancy(_Component):
    """Packs still held after the end, for each day until they are handed back (占用费)."""

    kind: Literal["occupancy"]
    yuan_per_kwh_day: Price


Component = Annotated[
    CapacityRent | TwoPartRent | FixedFee | Usage | Deposit | Damage | BuyOut | EarlyEnd | Occupancy,
    Field(discriminator="kind"),
]


class TaxRates(TermsPart):
    """Value-added tax by category; assumed defaults, the contract's own where it has them."""

    rent: Share = Decimal("0.13")
    electricity: Share = Decimal("0.13")
    service: Share = Decimal("0.06")
    included: bool = True
    """Prices have the tax in (含税)."""


class SwapBilling(TermsPart):
    """How the swaps of its vehicles are billed at the stations of the contract; what is not said is as the station
    says it. A charge for each swap, or for what was used in a month, is a component."""

    payer: Literal["lessee", "lessor"] | None = None
    """Who gets the bills of swaps: the lessor where electricity is passed through with the rent (it is paid once), the
    lessee otherwise."""
    measure: Measure | None = None
    """What the quantity is read from."""
    energy_price: EnergyPrice | None = None
    """Where the price of a kWh comes from."""
    flat_yuan_per_kwh: Price | None = None
    """Price of electricity where it is flat."""
    service_yuan_per_kwh: Price | None = None
    """Price of the service of a swap."""
    electricity_tax_rate: Share | None = None
    """Of electricity, instead of the station's."""
    service_tax_rate: Share | None = None
    """Of the service, instead of the station's."""

    @model_validator(mode="after")
    def _flat_price(self) -> SwapBilling:
        if (self.energy_price is EnergyPrice.FLAT) != (self.flat_yuan_per_kwh is not None):
            raise PydanticCustomError("flat", "must have flat_yuan_per_kwh with energy_price flat, and only then")
        return self


class BookingClass(TermsPart):
    """What the contract's class says of bookings."""

    priority: int = Field(default=0, ge=0, le=9)
    """Higher goes first, at bookings and at the gate."""
    no_show_yuan: Annotated[Decimal, _Number, Field(ge=0, le=100_000, decimal_places=2)] | None = None
    """For a booking whose truck does not come, tax included; none: what the station asks."""


class LeaseTerms(TermsPart):
    """One version of a contract, whole."""

    lessor_id: Id
    """Firm that owns the packs and charges."""
    lessee_id: Id
    """Firm whose vehicles get them and that pays."""
    zone: Annotated[str, Field(max_length=64), AfterValidator(_known_zone)] = "Asia/Shanghai"
    """Its days are the contract's."""
    first_day: date
    last_day: date | None = None
    """The last day that counts; none: until it is ended."""
    months: Literal[1, 3, 12] = 1
    """Length of a period."""
    billing: Literal["calendar", "anniversary"] = "calendar"
    """Periods begin with a calendar month, or on the day of the month of `first_day`."""
    vehicles: tuple[Annotated[str, Field(min_length=1, max_length=20)], ...] = Field(min_length=1, max_length=5000)
    entitlement: tuple[Entitlement, ...] = Field(min_length=1, max_length=50)
    stations: tuple[Id, ...] = Field(min_length=1, max_length=500)
    """Where it counts."""
    energy: Literal["counter", "soe"] = "counter"
    """What measures the energy of a pack: the difference of its BMS counter, or of the energy it held."""
    open_spans: Literal["true_up", "with_swap"] = "true_up"
    """Packs on the road at the end of a period: accrued by time and trued up, or charged with the swap that ends
    them."""
    suspension_share: Share = Decimal(0)
    """Share of the rents by time that is charged for suspended days."""
    arrears_notice_days: int = Field(default=7, ge=1, le=90)
    """Days between the announcement of arrears and the refusal of new bookings; assumed."""
    stranding_soc_pct: Annotated[Decimal, _Number, Field(ge=0, le=50, decimal_places=1)] = Decimal(15)
    """A truck at a station with less than this is served once in spite of arrears; assumed."""
    stranding_yuan: Price = Decimal(0)
    """What such a swap costs besides."""
    tax: TaxRates = TaxRates()
    swaps: SwapBilling = SwapBilling()
    """How its swaps are billed."""
    bookings: BookingClass = BookingClass()
    """What its class says of bookings."""
    components: tuple[Component, ...] = Field(max_length=30)

    @model_validator(mode="after")
    def _consistent(self) -> LeaseTerms:
        if self.last_day is not None and self.last_day < self.first_day:
            raise PydanticCustomError(
                "last_day",
                "last_day {last_day} must not be before first_day {first_day}",
                {"last_day": str(self.last_day), "first_day": str(self.first_day)},
            )
        if not self.components:  # asked here, so that a wrong component is not told of as a missing one too
            raise PydanticCustomError("components", "must have one component or more")
        if self.lessor_id == self.lessee_id:
            raise PydanticCustomError("lessee", "lessor_id and lessee_id must be two firms")
        if self.swaps.payer == "lessee" and self.passes_electricity:
            raise PydanticCustomError(
                "paid_twice", "swaps.payer must be lessor where a component passes the tariff through: it is paid once"
            )
        for name, values in (
            ("components", [part.id for part in self.components]),
            ("vehicles", list(self.vehicles)),
            ("stations", list(self.stations)),
            ("entitlement", [part.kind for part in self.entitlement]),
        ):
            if len(set(values)) < len(values):
                raise PydanticCustomError("twice", "{field} names something twice", {"field": name})
        for kind in ("deposit", "damage", "buy_out", "early_end", "occupancy"):
            if sum(part.kind == kind for part in self.components) > 1:
                raise PydanticCustomError("twice", "{field} names something twice", {"field": kind})
        return self

    @property
    def tz(self) -> ZoneInfo:
        """The zone."""
        return ZoneInfo(self.zone)

    @property
    def calendar(self) -> Calendar:
        """How it is divided into periods."""
        return Calendar.of(self.first_day, self.months, anniversary=self.billing == "anniversary")

    @property
    def until_day(self) -> date:
        """The day after the last one."""
        return date.max if self.last_day is None else self.last_day + timedelta(days=1)

    @property
    def passes_electricity(self) -> bool:
        """Whether the lessor charges the electricity that swaps were billed for."""
        return any(isinstance(part, Usage) and part.tariff for part in self.components)

    @property
    def swap_payer_id(self) -> str:
        """The firm that gets the bills of swaps."""
        payer = self.swaps.payer or ("lessor" if self.passes_electricity else "lessee")
        return self.lessor_id if payer == "lessor" else self.lessee_id

    def stored(self) -> dict[str, Any]:
        """As a version keeps it."""
        return self.model_dump(mode="json")


FIXED_FIELDS = ("lessor_id", "lessee_id", "zone", "first_day", "months", "billing")
"""What no version changes."""
