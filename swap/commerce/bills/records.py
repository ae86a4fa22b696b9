"""What leaves this room about quotes, invoices and settlements, and why a bill is what it is."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from swap.commerce.bills.quantity import Flag
from swap.commerce.bills.terms import EnergyPrice, Measure
from swap.commerce.charges import Sale
from swap.reading.records import BillRecord, Record


class ShownPrice(Record):
    """What a kWh costs for some time, electricity and service apart (明码标价)."""

    from_at: datetime
    """Begin of the time for which they hold, or the instant that was asked for."""
    until_at: datetime
    tariff_period: str
    electricity_yuan_per_kwh: Decimal | None
    """Null where it is what that pack's charging has cost on average: a quote names it."""
    service_yuan_per_kwh: Decimal
    """Price of the service."""


class ShownPrices(Record):
    """What a station asks for a kWh, for vehicles without a contract that says otherwise."""

    station_id: str
    at: datetime
    energy_price: EnergyPrice
    """Where the price of electricity comes from."""
    electricity_tax_included: bool
    """The price of electricity has the tax in (含税)."""
    electricity_tax_rate: Decimal
    """0.13 for 13 %."""
    service_tax_included: bool
    """The price of the service has the tax in."""
    service_tax_rate: Decimal
    """0.06 for 6 %."""
    prices: tuple[ShownPrice, ...]
    """Of the next 24 hours, in order."""


class QuoteLine(Record):
    """One line that a bill would have."""

    kind: Literal["energy", "service"]
    """Electricity and service are told apart (明码标价)."""
    seat: int
    pack_id: str | None
    energy_kwh: Decimal
    unit_price_yuan_per_kwh: Decimal
    amount_yuan: Decimal
    seller_id: str
    """Firm that sells and invoices."""
    buyer_id: str
    sale: Sale
    for_id: str | None
    tax_included: bool
    tax_category: str
    tax_rate: Decimal
    tax_yuan: Decimal
    gross_yuan: Decimal


class Quote(Record):
    """What a swap would cost: the bill's own rules, so that equal readings cost the same to the fen."""

    station_id: str
    vehicle_id: str
    at: datetime
    measure: Measure
    """What the quantity of the bill will be read from."""
    energy_price: EnergyPrice
    """Where the price of electricity comes from."""
    tariff_period: str
    estimated: bool
    """The quantities are an estimate: their readings come with the swap, or with the charging after it."""
    lines: tuple[QuoteLine, ...]
    total_yuan: Decimal
    """With tax."""
    flags: tuple[Flag, ...]
    contract_id: str | None
    contract_version: int | None


class EventOf(Record):
    """An event of the journal that a line rests on."""

    event_id: int
    at: datetime
    kind: str


class ChargingOf(Record):
    """One charging that a line rests on, with the registers of its meter."""

    session_id: int
    bay_id: str
    started_at: datetime
    ended_at: datetime | None
    start_kwh: float
    """Energy in the pack."""
    end_kwh: float | None
    start_meter_kwh: float | None
    """Register of the charger's meter."""
    end_meter_kwh: float | None


class RegistersShown(Record):
    """Registers as they were read with one Modbus request, and how they make a value."""

    read_at: datetime
    """When they were read."""
    unit_id: int
    """Modbus device that answered."""
    function_code: int
    """3: holding registers."""
    address: int
    """Of the first register, from 0 as on the wire."""
    count: int
    """How many registers."""
    words: tuple[str, ...]
    """Each register as it was read, hexadecimal."""
    type: str
    """u16, i32, f32, …"""
    word_order: str
    """big or little: which word comes first."""
    how: str
    """How the words make the value: `0x0000 0x2A30 = 10800 × 0.1 = 1080 kWh`."""


class ReadingWhy(Record):
    """One reading that a quantity was made of."""

    event_id: int
    """Event of the journal that tells it."""
    at: datetime
    quantity: str
    """energy_kwh, discharged_kwh (counter of the BMS) or meter_kwh."""
    value_kwh: float
    """As the journal tells it."""
    registers: RegistersShown | None
    """Registers that it was read from; null: not kept, as in journals of earlier releases, or of what was told
    otherwise than by registers."""


class LineWhy(Record):
    """Why a line is what it is, down to readings and registers."""

    line_no: int
    kind: str
    quantity: str
    """How the quantity was made: `262.26 - 78.95 = 183.31 kWh`."""
    price: str
    """How the unit price was made: `0.38 × 1.00 + 0.17 = 0.5500`."""
    amount: str
    """Quantity × unit price, rounded half up."""
    tax: str
    """How the tax was made."""
    basis: dict[str, Any]
    priced_at: datetime | None
    """The instant whose price it has; null in bills of earlier releases."""
    tariff_period: str | None
    contract_id: str | None
    contract_version: int | None
    events: tuple[EventOf, ...]
    readings: tuple[ReadingWhy, ...]
    """Readings that the quantity was made of, down to the registers."""
    charging: tuple[ChargingOf, ...]


class BillWhy(Record):
    """Why a bill is what it is."""

    bill: BillRecord
    """The bill."""
    lines: tuple[LineWhy, ...]


class InvoiceLineRecord(Record):
    """One line of an invoice."""

    line_no: int
    bill_id: str | None
    bill_line_no: int | None
    """Line of that bill."""
    charge_id: str | None
    """Charge that was taken, where it is none of a bill."""
    kind: str
    sale: Sale
    for_id: str | None
    quantity: Decimal
    """Quantity in the unit."""
    unit: str
    """kwh, kwh_month, month, km, swap, tonne, hour or item."""
    unit_price_yuan: Decimal
    """Price of one unit."""
    tax_included: bool
    tax_category: str
    tax_rate: Decimal
    net_yuan: Decimal
    tax_yuan: Decimal
    gross_yuan: Decimal


class InvoiceHead(Record):
    """One invoice, or a red letter, without its lines."""

    invoice_id: str
    seller_id: str
    number: int
    """Number of the seller's invoice, from 1 without gaps."""
    buyer_id: str
    period: str
    """The month that it is of, `2026-06`."""
    kind: Literal["invoice", "red"]
    """invoice, or red: the red letter (红字) of an earlier one."""
    corrects_id: str | None
    """The invoice that a red letter corrects."""
    net_yuan: Decimal
    tax_yuan: Decimal
    gross_yuan: Decimal
    issued_at: datetime


class InvoiceRecord(InvoiceHead):
    """One invoice with its lines."""

    lines: tuple[InvoiceLineRecord, ...]


class ClosedPeriod(Record):
    """A month that a seller has closed."""

    seller_id: str
    period: str
    """The month, `2026-06`."""
    closed_at: datetime
    """When it was closed."""
    closed_by: str
    """Name of the person who closed it."""
    digest: str
    """SHA-256 of everything in it and of the month before."""


class ShareRecord(Record):
    """What one firm gets."""

    party_id: str
    """The firm."""
    share: Decimal
    """Its part of the whole."""
    takes_rest: bool
    """It gets what rounding leaves over."""
    amount_yuan: Decimal
    """What it gets."""


class SettlementRecord(Record):
    """What of a seller's income of a month goes to whom."""

    settlement_id: str
    seller_id: str
    period: str
    """The month, `2026-06`."""
    station_id: str
    kind: Literal["energy", "service"]
    """Kind of the lines whose income is shared."""
    prices_event_id: int
    """Event of the station that tells the shares."""
    income_yuan: Decimal
    """Without tax."""
    made_at: datetime
    shares: tuple[ShareRecord, ...]
    """What each firm gets."""
