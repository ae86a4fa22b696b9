"""Which truck may have a pack: the contract decides, at the booking and before the first motion of a swap.

`entitled` is pure; `may_swap` reads what it needs. Without a contract a fleet swaps as ever, with packs of its own or
spot swaps, unless `[commerce] contract_required` says otherwise. Arrears are announced and bite on new bookings only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from sqlmodel import col, func, select

from swap.commerce.leases.billing import counting
from swap.commerce.leases.contracts import contract_row, contracts_of_vehicle, events_of, lease_of, note
from swap.commerce.leases.errors import ContractState
from swap.commerce.leases.lease import LeaseHistory
from swap.commerce.leases.periods import day_of, start_of
from swap.commerce.leases.settle import stranding_told
from swap.commerce.leases.states import BINDING, LeaseState
from swap.commerce.seals import sealed
from swap.commerce_db import AnyDb, CommerceDb
from swap.errors import InvalidInput, NotFound
from swap.register.vehicles import vehicle_model
from swap.rights import BookingTerms, MaySwap, Purpose
from swap.tables import LeaseEvent, Pack, Swap, VehicleModelRow, VehicleOverride
from swap.words import N_


class RightCode(StrEnum):
    """Why a truck may, or may not, have a pack."""

    NO_CONTRACT_NEEDED = "no_contract_needed"
    ENTITLED = "entitled"
    CREDIT_OVERRIDE = "credit_override"
    CREDIT_WITHOUT_CONTRACT = "credit_without_contract"
    SAFETY_OVERRIDE = "safety_override"
    STRANDING = "stranding"
    NO_CONTRACT = "no_contract"
    NOT_ACTIVE = "not_active"
    SUSPENDED = "suspended"
    ENDED = "ended"
    OTHER_STATION = "other_station"
    OTHER_KIND = "other_kind"
    TOO_MANY = "too_many"
    ARREARS = "arrears"


WORDS: dict[RightCode, str] = {
    RightCode.NO_CONTRACT_NEEDED: N_("vehicle {vehicle_id} needs no contract here"),
    RightCode.ENTITLED: N_("contract {contract_id} entitles vehicle {vehicle_id}"),
    RightCode.CREDIT_OVERRIDE: N_("contract {contract_id} is in arrears; served by a credit override until {until_at}"),
    RightCode.CREDIT_WITHOUT_CONTRACT: N_(
        "vehicle {vehicle_id} has no contract; served by a credit override until {until_at}"
    ),
    RightCode.SAFETY_OVERRIDE: N_("vehicle {vehicle_id} is served by a safety override until {until_at}"),
    RightCode.STRANDING: N_(
        "contract {contract_id} is in arrears; vehicle {vehicle_id} would strand with {soc_pct} % and is served once"
    ),
    RightCode.NO_CONTRACT: N_("vehicle {vehicle_id} has no contract, and station {station_id} asks for one"),
    RightCode.NOT_ACTIVE: N_("contract {contract_id} of vehicle {vehicle_id} is {state} and not active yet"),
    RightCode.SUSPENDED: N_("contract {contract_id} of vehicle {vehicle_id} is suspended"),
    RightCode.ENDED: N_("contract {contract_id} of vehicle {vehicle_id} has ended"),
    RightCode.OTHER_STATION: N_("contract {contract_id} does not count at station {station_id}, but at {stations}"),
    RightCode.OTHER_KIND: N_("contract {contract_id} entitles to {kinds}, which vehicle {vehicle_id} does not take"),
    RightCode.TOO_MANY: N_(
        "contract {contract_id} entitles to {entitled} packs; {held} are held by its other vehicles, {asked} are asked"
    ),
    RightCode.ARREARS: N_("contract {contract_id} has been in arrears since {bites_at}: no new bookings"),
}
"""Texts of the catalogues."""
ALLOWING = (
    RightCode.NO_CONTRACT_NEEDED,
    RightCode.ENTITLED,
    RightCode.CREDIT_OVERRIDE,
    RightCode.CREDIT_WITHOUT_CONTRACT,
    RightCode.SAFETY_OVERRIDE,
    RightCode.STRANDING,
)


@dataclass(frozen=True, slots=True)
class PaymentStanding:
    """What has been said of a contract's payments and of who is served all the same; of a vehicle without a contract
    the latter."""

    bites_at: datetime | None = None
    """From when arrears refuse new bookings; None without any."""
    stranded: bool = False
    """The one swap of a truck that would strand has been given since the arrears were announced."""
    credit_until_at: datetime | None = None
    safety_until_at: Mapping[str, datetime] = field(default_factory=dict)
    """By vehicle."""


@dataclass(frozen=True, slots=True)
class RightFacts:
    """What the right rests on."""

    vehicle_id: str
    station_id: str
    asked: int
    """Packs that the truck takes."""
    kinds: frozenset[str]
    """Kinds that it takes."""
    lease: LeaseHistory | None = None
    """The contract that covers it, or covered it last."""
    state: LeaseState | None = None
    held_by_others: int = 0
    """Packs of the entitlement's kinds on the other vehicles of the contract."""
    standing: PaymentStanding = PaymentStanding()
    soc_pct: Decimal | None = None
    """Lowest of the truck's packs, where it is at the station."""
    contract_required: bool = False


@dataclass(frozen=True, slots=True)
class ContractRight:
    """Whether a truck may have a pack, and why."""

    code: RightCode
    contract_id: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """Whether it may."""
        return self.code in ALLOWING

    @property
    def message(self) -> str:
        """The reason, a text of the catalogues with the names of `values` in braces."""
        return WORDS[self.code]

    @property
    def words(self) -> str:
        """The reason in English."""
        return self.message.format(**self.values)


def entitled(facts: RightFacts, purpose: Purpose, at: datetime) -> ContractRight:
    """Whether a truck may have its packs at an instant, by its contract. Pure."""
    standing, lease = facts.standing, facts.lease
    values = {"vehicle_id": facts.vehicle_id, "station_id": facts.station_id, "contract_id": lease.id if lease else "-"}

    def right(code: RightCode, **more: str) -> ContractRight:
        return ContractRight(code, None if lease is None else lease.id, values | more)

    safety = standing.safety_until_at.get(facts.vehicle_id)
    if safety is not None and at < safety:
        return right(RightCode.SAFETY_OVERRIDE, until_at=safety.isoformat())
    credit = standing.credit_until_at
    if lease is None:
        if not facts.contract_required:
            return right(RightCode.NO_CONTRACT_NEEDED)
        if credit is not None and at < credit:
            return right(RightCode.CREDIT_WITHOUT_CONTRACT, until_at=credit.isoformat())
        return right(RightCode.NO_CONTRACT)
    state = facts.state or LeaseState.DRAFT
    today = day_of(at, lease.terms.tz)
    if lease.active_from is None or today < lease.active_from:
        return right(RightCode.NOT_ACTIVE, state=state.value)
    if not lease.covers(facts.vehicle_id, today):
        return right(RightCode.ENDED)
    if any(days.first <= today < days.until for days in lease.suspensions):
        return right(RightCode.SUSPENDED)
    version = lease.version_of(today)
    assert version is not None
    terms = version.terms
    if facts.station_id not in terms.stations:
        return right(RightCode.OTHER_STATION, stations=", ".join(terms.stations))
    kinds = {part.kind: part.number for part in terms.entitlement if part.kind in facts.kinds}
    if not kinds:
        return right(RightCode.OTHER_KIND, kinds=", ".join(part.kind for part in terms.entitlement))
    if facts.held_by_others + facts.asked > sum(kinds.values()):
        return right(
            RightCode.TOO_MANY,
            entitled=str(sum(kinds.values())),
            held=str(facts.held_by_others),
            asked=str(facts.asked),
        )
    bites_at = standing.bites_at
    if bites_at is None or at < bites_at or purpose == "booked_swap":
        return right(RightCode.ENTITLED)
    if credit is not None and at < credit:
        return right(RightCode.CREDIT_OVERRIDE, until_at=credit.isoformat())
    low = facts.soc_pct is not None and facts.soc_pct < terms.stranding_soc_pct
    if purpose == "walk_in" and low and not standing.stranded:
        return right(RightCode.STRANDING, soc_pct=str(facts.soc_pct))
    return right(RightCode.ARREARS, bites_at=bites_at.isoformat())


def may_swap(
    db: AnyDb,
    vehicle_id: str,
    station_id: str,
    at: datetime,
    *,
    purpose: Purpose = "walk_in",
    contract_required: bool = False,
) -> ContractRight:
    """Whether a vehicle may have its packs at a station, for a booking, as a walk-in or for the swap it has booked.

    Raises:
        NotFound: no such vehicle.
    """
    model_id = vehicle_model(db, vehicle_id)
    if model_id is None:
        raise NotFound("vehicle", vehicle_id)
    lease, state = _contract_for(db, vehicle_id, at)
    if lease is None:  # nothing else counts
        given = _given_without_contract(db, vehicle_id, station_id) if contract_required else PaymentStanding()
        bare = RightFacts(vehicle_id, station_id, 0, frozenset(), standing=given, contract_required=contract_required)
        return entitled(bare, purpose, at)
    model = db.get(VehicleModelRow, model_id)
    on_it = db.exec(select(Pack).where(Pack.vehicle_id == vehicle_id)).all()
    socs = [Decimal(repr(float(pack.soc_pct))) for pack in on_it if pack.soc_pct is not None]
    version = lease.version_of(day_of(at, lease.terms.tz)) or lease.newest
    others = [name for name in version.terms.vehicles if name != vehicle_id]
    entitled_to = [part.kind for part in version.terms.entitlement]
    query = select(Pack.id).where(col(Pack.vehicle_id).in_(others), col(Pack.kind).in_(entitled_to))
    held = len(db.exec(query).all())
    facts = RightFacts(
        vehicle_id=vehicle_id,
        station_id=station_id,
        asked=1 if model is None else model.packs_per_vehicle,
        kinds=frozenset(model.pack_kinds if model is not None else [pack.kind for pack in on_it]),
        lease=lease,
        state=state,
        held_by_others=held,
        standing=standing_of(events_of(db, lease.id), station_id),
        soc_pct=min(socs, default=None),
        contract_required=contract_required,
    )
    return entitled(facts, purpose, at)


class ContractRights:
    """`SwapRights` by lease contracts.

    Args:
        contract_required: a vehicle without a contract has no swap.
    """

    def __init__(self, *, contract_required: bool = False) -> None:
        self._contract_required = contract_required

    def may_swap(self, db: AnyDb, vehicle_id: str, station_id: str, at: datetime, purpose: Purpose) -> MaySwap:
        """Whether a vehicle may have a swap at a station at an instant. Raises NotFound."""
        required = self._contract_required
        right = may_swap(db, vehicle_id, station_id, at, purpose=purpose, contract_required=required)
        return MaySwap(right.allowed, right.message, dict(right.values))

    def terms(self, db: AnyDb, vehicle_id: str, station_id: str, at: datetime) -> BookingTerms:
        """The class of the contract that counts for the vehicle there; without one what the station asks."""
        found = counting(db, vehicle_id, station_id, at)
        if found is None:
            return BookingTerms()
        said = found[1].terms.bookings
        return BookingTerms(said.priority, said.no_show_yuan)


def swap_right(db: AnyDb, swap_id: str, at: datetime, *, contract_required: bool = False) -> ContractRight:
    """The right of the truck of an open swap; one that was admitted as stranding keeps it. Raises NotFound."""
    swap = db.get(Swap, swap_id)
    if swap is None:
        raise NotFound("swap", swap_id)
    purpose: Purpose = "walk_in" if swap.booking_id is None else "booked_swap"
    right = may_swap(db, swap.vehicle_id, swap.station_id, at, purpose=purpose, contract_required=contract_required)
    arrears = right.code is RightCode.ARREARS and right.contract_id is not None
    if arrears and stranding_told(events_of(db, right.contract_id or ""), swap_id):
        return ContractRight(RightCode.STRANDING, right.contract_id, dict(right.values) | {"soc_pct": "-"})
    return right


def _contract_for(db: AnyDb, vehicle_id: str, at: datetime) -> tuple[LeaseHistory | None, LeaseState | None]:
    """The contract that covers a vehicle, else one that will, else the one that covered it last."""
    found: list[tuple[int, str, LeaseHistory, LeaseState]] = []
    for contract_id in contracts_of_vehicle(db, vehicle_id):
        state = LeaseState(contract_row(db, contract_id).state)
        if state not in (*BINDING, LeaseState.ENDED):  # settled: the truck swaps as one without a contract again
            continue
        lease = lease_of(db, contract_id)
        covers = lease.active_from is not None and lease.covers(vehicle_id, day_of(at, lease.terms.tz))
        rank = 2 if covers else 1 if state in BINDING else 0
        found.append((rank, lease.terms.first_day.isoformat(), lease, state))
    if not found:
        return None, None
    _, _, lease, state = max(found, key=lambda one: (one[0], one[1], one[2].id))
    return lease, state


def standing_of(events: tuple[LeaseEvent, ...], station_id: str | None = None) -> PaymentStanding:
    """What events of a contract say of payments, and of overrides that count at a station, the newest last."""
    bites_at: datetime | None = None
    stranded, credit_until_at = False, None
    safety: dict[str, datetime] = {}
    for event in events:
        if event.data.get("station_id", station_id) != station_id and event.kind.endswith("_override"):
            continue
        if event.kind == "arrears":
            bites_at, stranded = datetime.fromisoformat(event.data["bites_at"]), False
        elif event.kind == "arrears_cleared":
            bites_at, stranded = None, False
        elif event.kind == "stranding":
            stranded = True
        elif event.kind == "credit_override":
            credit_until_at = datetime.fromisoformat(event.data["until_at"])
        elif event.kind == "safety_override":
            safety[event.data["vehicle_id"]] = datetime.fromisoformat(event.data["until_at"])
    return PaymentStanding(bites_at, stranded, credit_until_at, safety)


def announce_arrears(db: CommerceDb, contract_id: str, amount_yuan: Decimal, *, at: datetime, actor: str) -> datetime:
    """Announce arrears; the instant from which they refuse new bookings: a whole day after the contract's notice.

    Raises:
        NotFound: no such contract.
        ContractState: arrears are announced already.
        InvalidInput: nothing is owed.
    """
    lease = lease_of(db, contract_id)
    if amount_yuan <= 0:
        raise InvalidInput("amount_yuan", str(amount_yuan), N_("more than 0 yuan"))
    if standing_of(events_of(db, contract_id)).bites_at is not None:
        raise ContractState(N_("arrears of contract {contract_id} are announced"), {"contract_id": contract_id})
    day = day_of(at, lease.terms.tz)
    bites_at = start_of(day + timedelta(days=lease.terms.arrears_notice_days + 1), lease.terms.tz)
    data = {"amount_yuan": str(amount_yuan), "bites_at": bites_at.isoformat()}
    note(db, contract_id, "arrears", day, at=at, actor=actor, data=data)
    return bites_at


def clear_arrears(db: CommerceDb, contract_id: str, *, at: datetime, actor: str) -> None:
    """The arrears are paid. Raises NotFound, ContractState where none are announced."""
    lease = lease_of(db, contract_id)
    if standing_of(events_of(db, contract_id)).bites_at is None:
        raise ContractState(N_("contract {contract_id} has no arrears"), {"contract_id": contract_id})
    note(db, contract_id, "arrears_cleared", day_of(at, lease.terms.tz), at=at, actor=actor, data={})


def override(
    db: CommerceDb,
    contract_id: str,
    kind: Literal["credit", "safety"],
    *,
    until_at: datetime,
    at: datetime,
    actor: str,
    reason: str,
    vehicle_id: str | None = None,
    station_id: str | None = None,
) -> None:
    """Serve a contract in spite of arrears (credit: operator or lessor), or a vehicle whatever its contract says
    (safety: the safety officer), by a named person, until an instant at most a week away.

    Args:
        station_id: it counts there only; None: at every station.

    Raises:
        NotFound: no such contract, or credit at a station of which it says nothing.
        InvalidInput: the end is past or too far, no reason, or no vehicle of the contract.
    """
    lease = lease_of(db, contract_id)
    if kind == "credit" and station_id is not None and station_id not in lease.terms.stations:
        raise NotFound("contract", contract_id)
    _check_override(until_at, at, reason)
    data = {"until_at": until_at.isoformat(), "reason": reason}
    if kind == "safety":
        if vehicle_id not in lease.terms.vehicles or vehicle_id is None:
            allowed = ", ".join(lease.terms.vehicles)
            raise InvalidInput("vehicle_id", vehicle_id, N_("one of {vehicles}"), vehicles=allowed)
        data["vehicle_id"] = vehicle_id
    if station_id is not None:
        data["station_id"] = station_id
    note(db, contract_id, f"{kind}_override", day_of(at, lease.terms.tz), at=at, actor=actor, data=data)


def override_without_contract(
    db: CommerceDb,
    vehicle_id: str,
    kind: Literal["credit", "safety"],
    *,
    until_at: datetime,
    at: datetime,
    actor: str,
    reason: str,
    station_id: str,
) -> None:
    """Serve a vehicle without a contract at a station that asks for one, by a named person (credit: its operator;
    safety: its safety officer), until an instant at most a week away. It is billed as the station bills.

    Raises:
        NotFound: no such vehicle.
        ContractState: it has a contract, which is overridden instead.
        InvalidInput: the end is past or too far, or no reason.
    """
    if vehicle_model(db, vehicle_id) is None:
        raise NotFound("vehicle", vehicle_id)
    lease, _ = _contract_for(db, vehicle_id, at)
    if lease is not None:
        raise ContractState(
            N_("vehicle {vehicle_id} has contract {contract_id}, which is overridden instead"),
            {"contract_id": lease.id, "vehicle_id": vehicle_id},
        )
    _check_override(until_at, at, reason)
    newest = db.exec(select(func.max(VehicleOverride.no)).where(VehicleOverride.vehicle_id == vehicle_id)).one()
    row = VehicleOverride(
        vehicle_id=vehicle_id,
        no=(newest or 0) + 1,
        at=at,
        kind=f"{kind}_override",
        station_id=station_id,
        until_at=until_at,
        actor=actor,
        reason=reason,
    )
    db.add(sealed(row))
    db.flush()


LONGEST = timedelta(days=7)
"""An override ends so long after it was given at the latest."""


def _check_override(until_at: datetime, at: datetime, reason: str) -> None:
    latest = at + LONGEST
    if not at < until_at <= latest:
        raise InvalidInput(
            "until_at",
            until_at.isoformat(),
            N_("after {now_at}, up to {latest_at}"),
            now_at=at.isoformat(),
            latest_at=latest.isoformat(),
        )
    if not reason.strip():
        raise InvalidInput("reason", reason, N_("why it is done"))


def _given_without_contract(db: AnyDb, vehicle_id: str, station_id: str) -> PaymentStanding:
    """The newest override of each kind of a vehicle without a contract that counts at a station."""
    row = VehicleOverride
    query = select(row.kind, row.until_at).where(row.vehicle_id == vehicle_id, row.station_id == station_id)
    until_at = dict(db.exec(query.order_by(col(row.no))).all())
    safety = until_at.get("safety_override")
    return PaymentStanding(
        credit_until_at=until_at.get("credit_override"),
        safety_until_at={} if safety is None else {vehicle_id: safety},
    )
