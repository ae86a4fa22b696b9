"""All tables, one file a noun. Rows are written inside the store's transactions only and never leave this room.

Conventions: instants are aware UTC (SQLModel stores them as UTC on both engines); money is fen and unit
prices are 1/10 000 yuan, as integers; billed energy is 0.01 kWh as integer. Physical truth is a constraint:
a pack row names exactly one place, and a bay, seat or gripper holds at most one pack.
"""

from swap.tables.base import Base
from swap.tables.bills import Bill, BillLine
from swap.tables.bookings import Booking, StandingBooking
from swap.tables.charges import ChargeRow
from swap.tables.codes import constrain
from swap.tables.custody import CustodyMark, CustodyMove, ReadingRow
from swap.tables.identity import AccessChange, AccessToken, ApiKey, AttemptCount, KeptAnswer, TokenFamily, UserAccount
from swap.tables.invoices import BillingPeriod, ClosingClaim, Invoice, InvoiceLine, Settlement, SettlementShare
from swap.tables.journal import StationEvent
from swap.tables.leases import LeaseContract, LeaseEvent, LeaseVehicle, LeaseVersion, RentRun, VehicleOverride
from swap.tables.ledger import LedgerAccount, LedgerLeg, LedgerTransfer
from swap.tables.packs import ChargeSession, HotPack, Pack
from swap.tables.payments import (
    AcquirerCall,
    AcquirerOrder,
    BankLine,
    BankLineEnd,
    NetStatement,
    Payment,
    PaymentAllocation,
    Refund,
    WalletCredit,
)
from swap.tables.register import PackKindRow, Party, Person, VehicleModelRow, VehicleRow
from swap.tables.requests import ControlRequest, FaultRow
from swap.tables.station import LEASE_EXPIRES_S, Bay, ControllerLease, SiteSample, Station
from swap.tables.swaps import RobotCommandRow, Swap, SwapSeat
from swap.tables.webhooks import WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookMark

constrain(Base.metadata)

__all__ = [
    "LEASE_EXPIRES_S",
    "AccessChange",
    "AccessToken",
    "AcquirerCall",
    "AcquirerOrder",
    "ApiKey",
    "AttemptCount",
    "BankLine",
    "BankLineEnd",
    "Base",
    "Bay",
    "Bill",
    "BillLine",
    "BillingPeriod",
    "Booking",
    "ChargeRow",
    "ChargeSession",
    "ClosingClaim",
    "ControlRequest",
    "ControllerLease",
    "CustodyMark",
    "CustodyMove",
    "FaultRow",
    "HotPack",
    "Invoice",
    "InvoiceLine",
    "KeptAnswer",
    "LeaseContract",
    "LeaseEvent",
    "LeaseVehicle",
    "LeaseVersion",
    "LedgerAccount",
    "LedgerLeg",
    "LedgerTransfer",
    "NetStatement",
    "Pack",
    "PackKindRow",
    "Party",
    "Payment",
    "PaymentAllocation",
    "Person",
    "ReadingRow",
    "Refund",
    "RentRun",
    "RobotCommandRow",
    "Settlement",
    "SettlementShare",
    "SiteSample",
    "StandingBooking",
    "Station",
    "StationEvent",
    "Swap",
    "SwapSeat",
    "TokenFamily",
    "UserAccount",
    "VehicleModelRow",
    "VehicleOverride",
    "VehicleRow",
    "WalletCredit",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
    "WebhookMark",
]
