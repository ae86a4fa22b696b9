"""Bills of one swap: one for its completion, as issued, adding up, and made of what the record says.

Every line is worked out again from the journal: the readings, the charging, and the prices, rules and parties in force
when the swap ended. So a line that was changed together with its total and its event is found too.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, type_coerce
from sqlalchemy.types import NullType
from sqlmodel import col

from swap.audit.findings import Findings, listed
from swap.audit.journal import COMMERCE, JournalTold, named, parsed
from swap.audit.rows import Reader, instant
from swap.audit.swap_files import KnownContracts, SwapFile
from swap.commerce.bills.money import BASIS_POINT, CENTI_KWH, FEN, UNIT_PRICE, taxed, to_decimal
from swap.commerce.bills.pricing import PricedLine, PricedSwap, energy_price, price_swap
from swap.commerce.bills.quantity import ChargeReading, SeatEnergy
from swap.commerce.bills.readings import meters_of, prices_of_time
from swap.commerce.bills.record import charge_reading
from swap.commerce.bills.terms import WAITS_FOR_CHARGING, EnergyPrice, Measure, SwapTerms, station_terms
from swap.commerce.charges import half_up, whole
from swap.commerce.leases.billing import by_contract
from swap.config.prices import StationPrices
from swap.messages.commerce import CONTRACT_CHANGED, LATE_READING, BilledLine, BillIssued, BillReversed
from swap.messages.events import SwapCompleted
from swap.messages.packs import PackRead
from swap.tables import ChargeSession, StationEvent, Swap, SwapSeat

BILL_WITHIN = timedelta(hours=1)
"""A completed swap may be without a bill while the journal has not come further than this beyond it.

A bill waits for the reading of the pack given back; a process may also end between completion and bill.
"""


class MoneyChecks:
    """The checks of the bills of one swap after the other.

    Args:
        told: what the journals say: how far each has come, which prices were in force, whose each vehicle is.
        rated_kwh: rated energy by pack.
    """

    def __init__(self, reader: Reader, findings: Findings, told: JournalTold, rated_kwh: dict[str, float]) -> None:
        self._reader = reader
        self._findings = findings
        self._told = told
        self._newest_at = told.newest_at
        self._rated_kwh = rated_kwh
        self._contracts = KnownContracts(reader)
        self._put_on = _put_on(reader)
        """By pack and vehicle: when a swap put it on that one first."""

    def look(self, file: SwapFile) -> None:
        """Every check of the bills of a swap."""
        self._billed_once(file)
        self._as_issued(file)
        for bill in file.bills:
            self._adds_up(file, bill)
        self._worked_out_again(file)
        self._mirrored(file)

    def _billed_once(self, file: SwapFile) -> None:
        found, row = self._findings["completed_swap_billed_once"], file.row
        count, done = sum(bill.kind == "swap" for bill in file.bills), row.state == "completed"
        newest_at = self._newest_at.get(row.station_id)
        if done and count == 0 and row.ended_at and newest_at and newest_at <= row.ended_at + BILL_WITHIN:
            found.wait()
            return
        found.look(count == done, f"{file.name} is {row.state} and has {count} bills")

    def _as_issued(self, file: SwapFile) -> None:
        """Each bill is the one that its event tells of, with every line, and no event tells of another."""
        found = self._findings["bill_in_journal"]
        bills = {bill.id: bill for bill in file.bills}
        told = Counter(said.bill_id for _, said in file.told(BillIssued, BillReversed))
        for key in bills.keys() | told.keys():
            found.look(
                key in bills and told[key] == 1,
                f"bill {key} of {file.name} {'exists' if key in bills else 'does not exist'}, "
                f"{told[key]} events issued it",
            )
        for event, said in file.told(BillIssued, BillReversed):
            bill = bills.get(said.bill_id)
            if bill is None:
                continue
            values: dict[str, Any] = {
                "station_id": event.station_id,
                "issued_at": event.at,
                "total_fen": said.total_fen,
            }
            if isinstance(said, BillIssued):
                values |= {"kind": said.bill, "flags": ",".join(said.flags)}
            else:
                values["kind"] = "reversal"
                late = said.reason != LATE_READING or "unmeasured" in bill.flags.split(",")
                found.look(late or event.actor != COMMERCE, f"{named(event)}: the bill was measured")
                if said.reverses in bills:
                    values["flags"] = bills[said.reverses].flags
            if said.payer_id is None:
                found.wait()  # issued before its event told who pays for what
            else:
                values["payer_id"] = said.payer_id
                self._lines(file, bill, named(event), said.lines)
            found.same(f"bill {bill.id}", named(event), bill, values)

    def _lines(self, file: SwapFile, bill: Any, where: str, told: tuple[BilledLine, ...]) -> None:
        found = self._findings["bill_in_journal"]
        lines = {line.line_no: line for line in file.lines.get(bill.id, [])}
        numbers = list(range(1, len(told) + 1))
        found.look(
            sorted(lines) == numbers,
            f"bill {bill.id} has lines (line_no) {listed(sorted(lines))}, {where} {listed(numbers)}",
        )
        for number, said in enumerate(told, start=1):
            if number in lines:
                values = {name: getattr(said, name) for name in said.model_fields_set}
                if "prices_seq" not in said.model_fields_set:
                    found.wait()  # issued before its event told of tax and price
                found.same(f"bill_line {bill.id}:{number}", where, lines[number], values)

    def _adds_up(self, file: SwapFile, bill: Any) -> None:
        found, lines = self._findings["bill_adds_up"], file.lines.get(bill.id, [])
        total = sum(_gross_fen(line) for line in lines)
        found.look(total == bill.total_fen, f"bill {bill.id}: total_fen is {bill.total_fen}, its lines are {total} fen")
        for line in lines:
            amount, tax = _amount_fen(line)
            found.look(
                amount == line.amount_fen,
                f"bill_line {bill.id}:{line.line_no}: amount_fen is {line.amount_fen} for "
                f"{line.energy_centi_kwh} × 0.01 kWh at {line.unit_price_1e4_yuan} × 0.0001 yuan, should be {amount}",
            )
            found.look(
                tax == line.tax_fen,
                f"bill_line {bill.id}:{line.line_no}: tax_fen is {line.tax_fen} at tax_rate_bp {line.tax_rate_bp}, "
                f"should be {tax}",
            )

    def _mirrored(self, file: SwapFile) -> None:
        found = self._findings["reversal_mirrors_bill"]
        kinds = {bill.kind: bill for bill in file.bills}
        for bill in file.bills:
            if bill.kind == "correction":
                found.look("reversal" in kinds, f"bill {bill.id} corrects {file.name} without a reversal")
            if bill.kind == "reversal":
                first = kinds.get("swap")
                found.look(
                    first is not None
                    and _amounts(file, bill, -1) == _amounts(file, first, 1)
                    and bill.payer_id == first.payer_id,
                    f"bill {bill.id} does not mirror the bill of {file.name}",
                )
        if len(kinds) < len(file.bills):
            found.violations.append(f"{file.name} has two bills of one kind")

    # worked out again

    def _worked_out_again(self, file: SwapFile) -> None:
        done = file.told(SwapCompleted)
        bills = [bill for bill in file.bills if bill.kind in ("swap", "correction")]
        if not bills or len(done) != 1:
            return
        event = done[0][0]
        prices = self._prices_before(file.row.station_id, event.seq)
        for bill in bills:
            lines = {(line.kind, line.seat): line for line in file.lines.get(bill.id, [])}
            if len(lines) < len(file.lines.get(bill.id, [])):
                self._findings["bill_energy_is_the_packs"].violations.append(
                    f"bill {bill.id} has two lines of one kind for one seat"
                )
            if prices is None:
                self._findings["bill_priced_by_its_instant"].wait()  # older than the first prices told
                continue
            changed = {line.basis.get("reason") for line in lines.values()} == {CONTRACT_CHANGED}
            terms = self._terms(file, prices, event.at, lines, bill.issued_at if changed else event.at)
            right = self._right(file, bill, terms, prices, event.at)
            if bill.kind == "swap":
                self._energy(file, bill, lines, right)
                self._flags(bill, right, terms, lines)
            elif changed or any(line.basis.get("confirmed_by") == COMMERCE for line in lines.values()):
                self._energy(file, bill, lines, right)  # by the readings, as the first one; nobody has confirmed any
            self._priced(bill, lines, right, terms, prices, event.at)

    def _prices_before(self, station_id: str, seq: int) -> StationPrices | None:
        told = self._told.prices.get(station_id, [])
        before = [prices for _, prices in told if prices.seq < seq]
        return before[-1] if before else told[0][1] if told else None

    def _terms(
        self, file: SwapFile, prices: StationPrices, at: datetime, lines: dict[Any, Any], known_at: datetime
    ) -> SwapTerms:
        """The terms in force: those of the contract that counted, as it was known at an instant, or of the station."""
        found = self._contracts.counting(file.row.vehicle_id, file.row.station_id, at, known_at)
        if found is not None:
            contract_id, version = found
            return by_contract(prices, contract_id, version.number, version.terms)
        line = next(iter(lines.values()), None)
        vehicle = self._told.file.get(("vehicle", file.row.vehicle_id), {}).get("fleet_id")
        known = vehicle is not None and vehicle[1] <= at
        buyer = vehicle[0] if vehicle is not None and known else line.buyer_id if line is not None else ""
        return station_terms(prices, buyer)

    def _right(self, file: SwapFile, bill: Any, terms: SwapTerms, prices: StationPrices, at: datetime) -> PricedSwap:
        """What the bill of a swap should have said when it was issued."""
        seats, costs = [], []
        for seat in file.exchanged():
            pack_id = seat.old_pack_id
            first_at = self._put_on.get((pack_id, file.row.vehicle_id))
            charged = self._charged_after(file, pack_id, bill.issued_at) if terms.measure in WAITS_FOR_CHARGING else ()
            counters = self._counters(file, pack_id) if terms.measure is Measure.BMS_COUNTER else (None, None)
            seats.append(
                SeatEnergy(
                    seat.seat,
                    pack_id,
                    to_decimal(self._rated_kwh.get(pack_id or "")),
                    to_decimal(seat.last_settled_soe_kwh),
                    to_decimal(seat.returned_soe_kwh),
                    first_at is None or first_at > file.row.arrived_at,
                    *counters,
                    tuple(charged),
                    meters_of(prices),
                )
            )
            history = []
            if terms.energy_price is EnergyPrice.MOVING_AVERAGE:
                told = self._told.prices[file.row.station_id]
                history = [
                    (reading, prices_of_time(told, reading.started_at))
                    for reading in self._sessions(pack_id, file.row.station_id)
                    if reading.started_at < file.row.arrived_at and reading.ended_at <= bill.issued_at
                ]
            costs.append(energy_price(terms, prices, at, history))
        return price_swap(seats, costs, terms, prices, at)

    def _sessions(self, pack_id: str | None, station_id: str) -> list[ChargeReading]:
        rows = self._reader.rows(
            ChargeSession,
            col(ChargeSession.pack_id) == pack_id,
            col(ChargeSession.station_id) == station_id,
            order=(col(ChargeSession.started_at), col(ChargeSession.id)),
            judged=False,
        )
        return [charge_reading(row) for row in rows if row.ended_at is not None]

    def _charged_after(self, file: SwapFile, pack_id: str | None, issued_at: datetime) -> list[ChargeReading]:
        seats, swaps = SwapSeat.__table__.c, Swap.__table__.c  # type: ignore[attr-defined]
        later = (
            select(type_coerce(func.min(swaps.dispatched_at), NullType()))
            .join(SwapSeat.__table__, swaps.id == seats.swap_id)  # type: ignore[attr-defined]
            .where(seats.new_pack_id == pack_id, seats.exchanged.is_(True), swaps.station_id == file.row.station_id)
            .where(swaps.dispatched_at > file.row.arrived_at, swaps.id != file.row.id)
        )
        told = self._reader.db.execute(later).scalar_one()
        until_at = None if told is None else instant(told)
        return [
            one
            for one in self._sessions(pack_id, file.row.station_id)
            if one.started_at >= file.row.arrived_at
            and one.ended_at <= issued_at
            and (until_at is None or one.started_at < until_at)
        ]

    def _counters(self, file: SwapFile, pack_id: str | None) -> tuple[Decimal | None, Decimal | None]:
        rows = self._reader.rows(
            StationEvent,
            col(StationEvent.station_id) == file.row.station_id,
            col(StationEvent.pack_id) == pack_id,
            col(StationEvent.kind) == PackRead.kind,
            order=(col(StationEvent.seq),),
            judged=False,
        )
        found: list[tuple[str | None, Decimal | None]] = []
        for row in rows:
            said = parsed(row.kind, row.data)
            if row.at >= file.row.arrived_at and row.swap_id != file.row.id:
                break
            if isinstance(said, PackRead) and said.discharged_kwh is not None:
                found.append((row.swap_id, to_decimal(said.discharged_kwh)))
        if not found or found[-1][0] != file.row.id:
            return None, None
        return (found[-2][1] if len(found) > 1 else None), found[-1][1]

    def _energy(self, file: SwapFile, bill: Any, lines: dict[Any, Any], right: PricedSwap) -> None:
        found = self._findings["bill_energy_is_the_packs"]
        rest = dict(lines)
        for said in right.lines:
            line = rest.pop((said.kind, said.seat), None)
            expected = whole(said.energy_kwh, CENTI_KWH)
            flag = said.basis["flag"]
            if line is not None and line.basis.get("flag") == "unmeasured" and flag != "unmeasured":
                found.wait()  # the reading came after the bill; a person corrects it
                continue
            found.look(
                line is not None and line.energy_centi_kwh == expected and line.pack_id == said.pack_id,
                f"bill {bill.id}, seat {said.seat}, {said.kind}: "
                f"{line.energy_centi_kwh if line else 'no line'} × 0.01 kWh, the pack's record says {expected}",
            )
            if line is not None:
                told = line.basis.get("flag")
                found.look(told == flag, f"bill {bill.id}, seat {said.seat}, {said.kind}: flag is {told}, not {flag}")
        found.violations += [
            f"bill {bill.id} has a line {kind} for seat {number}, which was not exchanged" for kind, number in rest
        ]

    def _flags(self, bill: Any, right: PricedSwap, terms: SwapTerms, lines: dict[Any, Any]) -> None:
        found = self._findings["bill_flagged"]
        if any(line.prices_seq is None for line in lines.values()) or "unmeasured" in bill.flags:
            found.wait()  # issued before bills told their prices; or before the reading came
            return
        said = set(filter(None, bill.flags.split(",")))
        asked = {flag.value for flag in right.flags}
        found.look(said == asked, f"bill {bill.id}: flags is {bill.flags}, should be {listed(sorted(asked))}")

    def _priced(
        self, bill: Any, lines: dict[Any, Any], right: PricedSwap, terms: SwapTerms, prices: StationPrices, at: datetime
    ) -> None:
        found = self._findings["bill_priced_by_its_instant"]
        for said in right.lines:
            line = lines.get((said.kind, said.seat))
            if line is None:
                continue
            if line.prices_seq is None:
                found.wait()
                continue
            found.same(
                f"bill_line {bill.id}:{line.line_no}",
                f"event {prices.seq} of the station, with its prices,",
                line,
                _asked(said)
                | {"prices_seq": prices.seq, "priced_at": at}
                | {"contract_id": terms.contract_id, "contract_version": terms.contract_version},
            )


def _put_on(reader: Reader) -> dict[tuple[str, str], datetime]:
    seats, swaps = SwapSeat.__table__.c, Swap.__table__.c  # type: ignore[attr-defined]
    first = type_coerce(func.min(swaps.arrived_at), NullType())
    query = (
        select(seats.new_pack_id, swaps.vehicle_id, first)
        .join(Swap.__table__, swaps.id == seats.swap_id)  # type: ignore[attr-defined]
        .where(seats.exchanged.is_(True))
        .group_by(seats.new_pack_id, swaps.vehicle_id)
    )
    found = {}
    for pack_id, vehicle_id, at in reader.db.execute(query):
        with suppress(ValueError):  # `rows_well_formed` tells of it
            found[pack_id, vehicle_id] = instant(at)
    return found


def _asked(said: PricedLine) -> dict[str, Any]:
    """What a line should say of price, parties and tax."""
    return {
        "unit_price_1e4_yuan": whole(said.unit_price_yuan, UNIT_PRICE),
        "tariff_period": said.tariff_period,
        "payee_id": said.sale.seller_id,
        "buyer_id": said.sale.buyer_id,
        "sale": said.sale.sale.value,
        "for_id": said.sale.for_id,
        "tax_included": said.sale.tax_included,
        "tax_category": said.sale.tax_category,
        "tax_rate_bp": whole(said.sale.tax_rate, BASIS_POINT),
    }


def _gross_fen(line: Any) -> int:
    return int(line.amount_fen if line.tax_included else line.amount_fen + line.tax_fen)


def _amount_fen(line: Any) -> tuple[int, int]:
    """Amount and tax of a line, from quantity, price and rate; of a negative one the mirror image."""
    sign = -1 if line.energy_centi_kwh < 0 else 1
    yuan = abs(Decimal(line.energy_centi_kwh)) * CENTI_KWH * Decimal(line.unit_price_1e4_yuan) * UNIT_PRICE
    tax = taxed(yuan, Decimal(line.tax_rate_bp) * BASIS_POINT, included=line.tax_included)
    return sign * int(half_up(yuan, FEN) / FEN), sign * int(tax.tax_yuan / FEN)


def _amounts(file: SwapFile, bill: Any, sign: int) -> list[tuple[Any, ...]]:
    return [
        (
            line.kind,
            line.seat,
            line.payee_id,
            line.buyer_id,
            line.tax_category,
            line.tax_rate_bp,
            sign * line.energy_centi_kwh,
            sign * line.amount_fen,
            sign * line.tax_fen,
        )
        for line in file.lines.get(bill.id, [])
    ]
