"""Sessions that show each organisation its own rows: the one place where that is enforced.

`narrow` marks a session; from then on each SELECT of it gets, for every table it touches, the condition of `SEEN`,
whatever the query asks. A row of somebody else is not found, as if it did not exist. Who writes asks `require_…` first,
since a write has to count everybody's rows.

A table that is neither in `SEEN` nor in `OPEN` is seen by nobody but those who see everything.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Row,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    event,
    exists,
    false,
    inspect,
    or_,
    true,
)
from sqlalchemy import select as sql_select
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria
from sqlalchemy.sql.base import ExecutableOption
from sqlmodel import Session, col, func, select
from sqlmodel.main import default_registry

from swap.commerce_db import CommerceDb
from swap.errors import NotFound
from swap.events import connected
from swap.identity.errors import StepOfParty
from swap.identity.principal import EVERYTHING, Sight, View
from swap.register.persons import HIDES_STRANGERS
from swap.register.vehicles import note_model
from swap.station_db import OWN_STATION, StationDb, narrowed, of_station
from swap.tables import (
    AcquirerCall,
    AcquirerOrder,
    BankLine,
    BankLineEnd,
    Bill,
    BillingPeriod,
    BillLine,
    Booking,
    ChargeRow,
    ChargeSession,
    ControllerLease,
    CustodyMove,
    Invoice,
    InvoiceLine,
    LeaseContract,
    LeaseEvent,
    LeaseVehicle,
    LeaseVersion,
    LedgerAccount,
    LedgerLeg,
    LedgerTransfer,
    NetStatement,
    Pack,
    PackKindRow,
    Party,
    Payment,
    PaymentAllocation,
    Person,
    ReadingRow,
    Refund,
    Settlement,
    SettlementShare,
    StandingBooking,
    Station,
    StationEvent,
    Swap,
    SwapSeat,
    UserAccount,
    VehicleModelRow,
    VehicleRow,
    WalletCredit,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)

OPEN = (Station, ControllerLease, Party, PackKindRow, VehicleModelRow)
"""Tables that everybody sees: what a station shows everyone, and what kinds mean."""

Condition = Callable[[str], ColumnElement[bool]]
"""Which rows an organisation sees, by its id."""

# Asked as tables, not as classes: a condition is not narrowed itself.
_VEHICLE: Table = VehicleRow.__table__.alias("its_vehicle")  # type: ignore[attr-defined]
_SWAP: Table = Swap.__table__.alias("its_swap")  # type: ignore[attr-defined]
_BILL: Table = Bill.__table__.alias("its_bill")  # type: ignore[attr-defined]
_LINE: Table = BillLine.__table__.alias("its_line")  # type: ignore[attr-defined]
_PACK: Table = Pack.__table__.alias("its_pack")  # type: ignore[attr-defined]
_CONTRACT: Table = LeaseContract.__table__.alias("its_contract")  # type: ignore[attr-defined]
_INVOICE: Table = Invoice.__table__.alias("its_invoice")  # type: ignore[attr-defined]
_SETTLEMENT: Table = Settlement.__table__.alias("its_settlement")  # type: ignore[attr-defined]
_ACCOUNT: Table = UserAccount.__table__.alias("its_account")  # type: ignore[attr-defined]
_PAYMENT: Table = Payment.__table__.alias("its_payment")  # type: ignore[attr-defined]
_ORDER: Table = AcquirerOrder.__table__.alias("its_order")  # type: ignore[attr-defined]
_BANK_LINE: Table = BankLine.__table__.alias("its_bank_line")  # type: ignore[attr-defined]
_LEG: Table = LedgerLeg.__table__.alias("its_leg")  # type: ignore[attr-defined]
_ENDPOINT: Table = WebhookEndpoint.__table__.alias("its_endpoint")  # type: ignore[attr-defined]
_SHARE: Table = SettlementShare.__table__.alias("its_share")  # type: ignore[attr-defined]


def _own_vehicle(organisation_id: str, vehicle_id: Any) -> ColumnElement[bool]:
    return exists().where(_VEHICLE.c.id == vehicle_id, _VEHICLE.c.fleet_id == organisation_id)


def _own_swap(organisation_id: str, swap_id: Any) -> ColumnElement[bool]:
    fleet = _VEHICLE.c.fleet_id == organisation_id
    return exists().where(_SWAP.c.id == swap_id, _VEHICLE.c.id == _SWAP.c.vehicle_id, fleet)


def _own_pack(organisation_id: str, pack_id: Any) -> ColumnElement[bool]:
    return exists().where(_PACK.c.id == pack_id, _PACK.c.owner_id == organisation_id)


def _paid_swap(organisation_id: str, swap_id: Any) -> ColumnElement[bool]:
    line = _LINE.c.bill_id == _BILL.c.id
    return exists().where(_BILL.c.swap_id == swap_id, line, _LINE.c.payee_id == organisation_id)


def _own_person(organisation_id: str) -> ColumnElement[bool]:
    """People of the own organisation have names; those of another are its staff."""
    return exists().where(_ACCOUNT.c.person_id == col(Person.id), _ACCOUNT.c.organisation_id == organisation_id)


SEEN: dict[Sight, dict[type[Any], Condition]] = {
    Sight.FLEET: {
        Person: _own_person,
        VehicleRow: lambda own: col(VehicleRow.fleet_id) == own,
        Pack: lambda own: _own_vehicle(own, col(Pack.vehicle_id)),
        Booking: lambda own: _own_vehicle(own, col(Booking.vehicle_id)),
        StandingBooking: lambda own: _own_vehicle(own, col(StandingBooking.vehicle_id)),
        Swap: lambda own: _own_vehicle(own, col(Swap.vehicle_id)),
        SwapSeat: lambda own: _own_swap(own, col(SwapSeat.swap_id)),
        StationEvent: lambda own: _own_swap(own, col(StationEvent.swap_id)),
        Bill: lambda own: col(Bill.payer_id) == own,
        BillLine: lambda own: exists().where(_BILL.c.id == col(BillLine.bill_id), _BILL.c.payer_id == own),
    },
    Sight.PAYEE: {
        Person: _own_person,
        Pack: lambda own: col(Pack.owner_id) == own,
        ChargeSession: lambda own: _own_pack(own, col(ChargeSession.pack_id)),
        StationEvent: lambda own: _own_pack(own, col(StationEvent.pack_id)),
        # Of a swap no more than that it was: who sees the bill may know which swap it is of.
        Swap: lambda own: _paid_swap(own, col(Swap.id)),
        SwapSeat: lambda own: or_(_own_pack(own, col(SwapSeat.old_pack_id)), _own_pack(own, col(SwapSeat.new_pack_id))),
        Bill: lambda own: exists().where(_LINE.c.bill_id == col(Bill.id), _LINE.c.payee_id == own),
        BillLine: lambda own: col(BillLine.payee_id) == own,
    },
}
"""Which rows of which table an organisation sees."""


def _swap_with(vehicle_ids: frozenset[str], swap_id: Any) -> ColumnElement[bool]:
    return exists().where(_SWAP.c.id == swap_id, _SWAP.c.vehicle_id.in_(vehicle_ids))


WITH_VEHICLES: dict[type[Any], Callable[[frozenset[str]], ColumnElement[bool]]] = {
    Person: lambda vehicles: true(),
    VehicleRow: lambda vehicles: col(VehicleRow.id).in_(vehicles),
    Pack: lambda vehicles: col(Pack.vehicle_id).in_(vehicles),
    Booking: lambda vehicles: col(Booking.vehicle_id).in_(vehicles),
    StandingBooking: lambda vehicles: col(StandingBooking.vehicle_id).in_(vehicles),
    Swap: lambda vehicles: col(Swap.vehicle_id).in_(vehicles),
    SwapSeat: lambda vehicles: _swap_with(vehicles, col(SwapSeat.swap_id)),
    StationEvent: lambda vehicles: _swap_with(vehicles, col(StationEvent.swap_id)),
    Bill: lambda vehicles: _swap_with(vehicles, col(Bill.swap_id)),
    BillLine: lambda vehicles: exists().where(
        _BILL.c.id == col(BillLine.bill_id), _SWAP.c.id == _BILL.c.swap_id, _SWAP.c.vehicle_id.in_(vehicles)
    ),
}
"""Which of the fleet's rows a driver sees who has vehicles of his own; of a table that is not here, none."""


def _own_contract(organisation_id: str, contract_id: Any) -> ColumnElement[bool]:
    party = or_(_CONTRACT.c.lessor_id == organisation_id, _CONTRACT.c.lessee_id == organisation_id)
    return exists().where(_CONTRACT.c.id == contract_id, party)


def _own_invoice(organisation_id: str, invoice_id: Any) -> ColumnElement[bool]:
    party = or_(_INVOICE.c.seller_id == organisation_id, _INVOICE.c.buyer_id == organisation_id)
    return exists().where(_INVOICE.c.id == invoice_id, party)


def _own_share(organisation_id: str, settlement_id: Any) -> ColumnElement[bool]:
    return exists().where(_SHARE.c.settlement_id == settlement_id, _SHARE.c.party_id == organisation_id)


def _own_settlement(organisation_id: str, settlement_id: Any) -> ColumnElement[bool]:
    return exists().where(_SETTLEMENT.c.id == settlement_id, _SETTLEMENT.c.seller_id == organisation_id)


def _own_payment(organisation_id: str, payment_id: Any) -> ColumnElement[bool]:
    firms = (_PAYMENT.c.payer_id, _PAYMENT.c.payee_id, _PAYMENT.c.holder_id)
    return exists().where(_PAYMENT.c.id == payment_id, or_(*(firm == organisation_id for firm in firms)))


def _of_firm(organisation_id: str, account_id: Any) -> ColumnElement[bool]:
    """Whether a ledger account is a firm's, by its id; both accounts of a leg are of one firm."""
    # Letter by letter: the LIKE of SQLite does not tell upper case from lower.
    start = f"{organisation_id}:"
    same: ColumnElement[bool] = func.substr(account_id, 1, len(start)) == start
    return same


SEEN[Sight.FIRM] = {
    Person: _own_person,
    LedgerAccount: lambda own: col(LedgerAccount.firm_id) == own,
    LedgerLeg: lambda own: _of_firm(own, LedgerLeg.debit_id),
    LedgerTransfer: lambda own: exists().where(
        _LEG.c.transfer_id == col(LedgerTransfer.id), _of_firm(own, _LEG.c.debit_id)
    ),
    Payment: lambda own: or_(col(Payment.payer_id) == own, col(Payment.payee_id) == own, col(Payment.holder_id) == own),
    PaymentAllocation: lambda own: _own_payment(own, col(PaymentAllocation.payment_id)),
    Refund: lambda own: _own_payment(own, col(Refund.payment_id)),
    AcquirerOrder: lambda own: or_(col(AcquirerOrder.payer_id) == own, col(AcquirerOrder.payee_id) == own),
    AcquirerCall: lambda own: exists().where(
        _ORDER.c.id == col(AcquirerCall.order_id), or_(_ORDER.c.payer_id == own, _ORDER.c.payee_id == own)
    ),
    BankLine: lambda own: col(BankLine.firm_id) == own,
    BankLineEnd: lambda own: exists().where(_BANK_LINE.c.id == col(BankLineEnd.line_id), _BANK_LINE.c.firm_id == own),
    WalletCredit: lambda own: or_(col(WalletCredit.holder_id) == own, col(WalletCredit.owner_id) == own),
    NetStatement: lambda own: or_(col(NetStatement.first_id) == own, col(NetStatement.second_id) == own),
    VehicleRow: lambda own: col(VehicleRow.fleet_id) == own,
    Pack: lambda own: col(Pack.owner_id) == own,
    LeaseContract: lambda own: or_(col(LeaseContract.lessor_id) == own, col(LeaseContract.lessee_id) == own),
    LeaseVersion: lambda own: _own_contract(own, col(LeaseVersion.contract_id)),
    LeaseVehicle: lambda own: _own_contract(own, col(LeaseVehicle.contract_id)),
    LeaseEvent: lambda own: _own_contract(own, col(LeaseEvent.contract_id)),
    ChargeRow: lambda own: or_(col(ChargeRow.seller_id) == own, col(ChargeRow.buyer_id) == own),
    Invoice: lambda own: or_(col(Invoice.seller_id) == own, col(Invoice.buyer_id) == own),
    InvoiceLine: lambda own: _own_invoice(own, col(InvoiceLine.invoice_id)),
    BillingPeriod: lambda own: col(BillingPeriod.seller_id) == own,
    # Of a settlement a firm sees its own share; the seller all of them.
    Settlement: lambda own: or_(col(Settlement.seller_id) == own, _own_share(own, col(Settlement.id))),
    SettlementShare: lambda own: or_(
        col(SettlementShare.party_id) == own, _own_settlement(own, col(SettlementShare.settlement_id))
    ),
    WebhookEndpoint: lambda own: col(WebhookEndpoint.organisation_id) == own,
    WebhookEvent: lambda own: col(WebhookEvent.organisation_id) == own,
    WebhookDelivery: lambda own: exists().where(
        _ENDPOINT.c.id == col(WebhookDelivery.endpoint_id), _ENDPOINT.c.organisation_id == own
    ),
    # Counters and meters of what is its own; of a pack that it only holds, what it owes says what was counted.
    ReadingRow: lambda own: or_(_own_pack(own, col(ReadingRow.subject)), _own_vehicle(own, col(ReadingRow.subject))),
    CustodyMove: lambda own: or_(col(CustodyMove.holder_id) == own, _own_pack(own, col(CustodyMove.pack_id))),
}

STATION_STAFF, OTHER_STAFF = "station staff", "staff of another firm"
"""What a fleet or a payee reads in place of the names of people who are not its own."""
_KEY = "view"
_NOTHING = "nothing"


def narrow(db: Session, view: View) -> None:
    """Show in a session only what a view has; before its first query."""
    if view.sight not in (Sight.EVERYTHING, Sight.STATIONS) or (
        isinstance(db, CommerceDb) and view.sight is not Sight.EVERYTHING
    ):
        db.info[HIDES_STRANGERS] = OTHER_STAFF if isinstance(db, CommerceDb) else STATION_STAFF
    if isinstance(db, CommerceDb) and view.sight is not Sight.EVERYTHING:
        # What a firm has with others is none of a driver's who has vehicles of his own.
        db.info[_KEY] = _NOTHING if view.vehicle_ids else View(Sight.FIRM, view.organisation_id)
    elif view.sight is Sight.STATIONS:
        # A session on one station has no other rows; of another station nothing is seen.
        own = isinstance(db, StationDb) and db.station_id in view.station_ids
        db.info[_KEY] = EVERYTHING if own else _NOTHING
    else:
        db.info[_KEY] = view


def sees_part(db: Session) -> bool:
    """Whether a session shows of a bill only the lines that are paid to somebody."""
    view = db.info.get(_KEY)
    return isinstance(view, View) and view.sight is Sight.PAYEE


def condition(view: View | str, table: type[Any]) -> ColumnElement[bool] | None:
    """Which rows of a table a view has; None for all of them."""
    if table in OPEN and view != _NOTHING:
        return None
    if isinstance(view, View) and view.sight is Sight.EVERYTHING:
        return None
    seen = SEEN.get(view.sight, {}).get(table) if isinstance(view, View) else None
    if seen is None or not isinstance(view, View):
        return false()
    if not view.vehicle_ids:
        return seen(view.organisation_id)
    further = WITH_VEHICLES.get(table)
    return false() if further is None else and_(seen(view.organisation_id), further(view.vehicle_ids))


def require_vehicle(db: StationDb, view: View, vehicle_id: str) -> None:
    """Ask for a vehicle that something is done for, in a session that is not narrowed.

    Raises:
        NotFound: there is none, or it is somebody else's: which of the two is not told.
    """
    note_model(db, vehicle_id, _require(db, view, VehicleRow, vehicle_id, "vehicle").model)


def require_booking(db: StationDb, view: View, booking_id: str) -> Row[Any]:
    """Ask for a booking that is to be used or changed, in a session that is not narrowed; its row in the table. Raises
    NotFound."""
    return _require(db, view, Booking, booking_id, "booking")


def require_contract(db: CommerceDb, view: View, contract_id: str) -> None:
    """Ask for a contract of which the organisation is the lessor, which alone changes it. Raises NotFound."""
    query = select(LeaseContract.id).where(LeaseContract.id == contract_id)
    if view.sight is not Sight.EVERYTHING:
        query = query.where(LeaseContract.lessor_id == view.organisation_id)
    if db.exec(query).first() is None:
        raise NotFound("contract", contract_id)


def require_step(db: CommerceDb, view: View, contract_id: str, step: str, takers: Sequence[str]) -> None:
    """Ask for a contract of which the organisation takes a step.

    Args:
        takers: the columns of the contract that name the firms which may take it.

    Raises:
        NotFound: no such contract, or the organisation is no party to it.
        StepOfParty: only the other party may take it.
    """
    row = db.get(LeaseContract, contract_id)
    parties = () if row is None else (row.lessor_id, row.lessee_id)
    everything = view.sight is Sight.EVERYTHING
    if row is None or not (everything or view.organisation_id in parties):
        raise NotFound("contract", contract_id)
    allowed = [str(getattr(row, name)) for name in takers]
    if not everything and view.organisation_id not in allowed:
        raise StepOfParty(step, allowed[0])


def require_served(db: CommerceDb, view: View, contract_id: str, station_id: str) -> str | None:
    """Ask to have a contract's vehicles served: by its lessor at every station, by a station's own people there.

    Returns:
        The station to which it is limited; None for none.

    Raises:
        NotFound: no such contract, or its lessor is another firm and the station is not the own organisation's.
    """
    lessor_id = db.exec(select(LeaseContract.lessor_id).where(LeaseContract.id == contract_id)).first()
    if lessor_id is not None and (view.sight is Sight.EVERYTHING or lessor_id == view.organisation_id):
        return None
    if lessor_id is None or view.sight is not Sight.STATIONS or station_id not in view.station_ids:
        raise NotFound("contract", contract_id)
    return station_id


def require_station(view: View, station_id: str) -> None:
    """Ask to act for a station, for those who see everything and for its own people. Raises NotFound."""
    if view.sight is not Sight.EVERYTHING and (view.sight is not Sight.STATIONS or station_id not in view.station_ids):
        raise NotFound("station", station_id)


def require_webhook(db: CommerceDb, view: View, webhook_id: str) -> None:
    """Ask for a webhook of the own organisation, in a session that is not narrowed. Raises NotFound."""
    query = select(WebhookEndpoint.id).where(WebhookEndpoint.id == webhook_id)
    if view.sight is not Sight.EVERYTHING:
        query = query.where(WebhookEndpoint.organisation_id == view.organisation_id)
    if db.exec(query).first() is None:
        raise NotFound("webhook", webhook_id)


def require_firm(view: View, party_id: str) -> None:
    """Ask to act for a firm. Raises NotFound when it is not the own organisation."""
    if view.sight is not Sight.EVERYTHING and view.organisation_id != party_id:
        raise NotFound("firm", party_id)


def require_standing(db: StationDb, view: View, standing_id: str) -> None:
    """Ask for a standing booking that is to be changed, in a session that is not narrowed. Raises NotFound."""
    _require(db, view, StandingBooking, standing_id, "standing booking")


def _require(db: StationDb, view: View, table: type[Any], key: str | int, what: str) -> Row[Any]:
    staff = view.sight is Sight.STATIONS
    found = None
    if not staff or db.station_id in view.station_ids:
        db.flush()
        query = _required(str(table.__tablename__), EVERYTHING if staff else view)
        found = connected(db).execute(query, {"key": key, "station": db.station_id}).first()
    if found is None:
        raise NotFound(what, key)
    return found


@functools.lru_cache(maxsize=1024)
def _required(name: str, view: View) -> Any:
    """The row of a key, at `station` where the table's rows name theirs, if a view has it."""
    table = next(mapper.class_ for mapper in default_registry.mappers if mapper.class_.__tablename__ == name)
    (primary,) = inspect(table).primary_key
    query, wanted = sql_select(table.__table__).where(primary == bindparam("key")), condition(view, table)
    if table in OWN_STATION:
        query = query.where(table.station_id == bindparam("station"))
    return query if wanted is None else query.where(wanted)


@functools.lru_cache(maxsize=1024)
def _criteria(view: View | str) -> dict[str, ExecutableOption]:
    found: dict[str, ExecutableOption] = {}
    for mapper in default_registry.mappers:
        wanted = condition(view, mapper.class_)
        if wanted is not None:
            found[str(mapper.class_.__tablename__)] = with_loader_criteria(mapper.class_, wanted, include_aliases=True)
    return found


def _seen(statement: Any, info: Mapping[Any, Any]) -> Any:
    view = info.get(_KEY)
    return statement if view is None or view == EVERYTHING else narrowed(statement, view, _criteria(view))


def rows_seen(db: StationDb, query: Select[Any], values: Mapping[str, object]) -> Sequence[Row[Any]]:
    """Rows of columns, narrowed to the session's station and view as all that it is asked for, and without the work of
    a session for objects that it has nothing to do with.

    Args:
        query: of columns; the same one again and again, since its narrowed form is made once.
    """
    db.flush()
    return connected(db).execute(_seen(of_station(query, db.station_id), db.info), values).all()


@event.listens_for(Session, "do_orm_execute")
def _narrow(state: ORMExecuteState) -> None:
    if isinstance(state.statement, (Select, Update, Delete)):
        state.statement = _seen(state.statement, state.session.info)
