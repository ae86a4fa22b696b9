"""Checks of bills: one for each completed swap, adding up, and made of what the packs' records say."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal

from swap.audit.records import Finding, Records, grouped
from swap.commerce.pricing import CENTI_KWH, FEN, UNIT_PRICE, SeatEnergy, billed_energy, round_half_up, to_decimal
from swap.messages.events import BillIssued, BillReversed
from swap.tables import Bill, BillLine

BILL_WITHIN = timedelta(hours=1)
"""A completed swap may be without a bill while the journal has not come further than this beyond it.

A bill waits for the reading of the pack given back; a process may also end between completion and bill.
"""


def completed_swap_billed_once(records: Records, found: Finding) -> None:
    """Each completed swap has exactly one bill, and no other swap has any."""
    counts = Counter(bill.swap_id for bill in records.bills.values() if bill.kind == "swap")
    for swap in records.swaps.values():
        count, done = counts[swap.id], swap.state == "completed"
        newest_at = records.newest_at(swap.station_id)
        if done and count == 0 and swap.ended_at and newest_at and newest_at <= swap.ended_at + BILL_WITHIN:
            found.examined += 1
            found.pending += 1
            continue
        found.look(count == done, f"swap {swap.id} is {swap.state} and has {count} bills")
    found.violations += [
        f"a bill is for swap {key}, which does not exist" for key in counts.keys() - records.swaps.keys()
    ]


def bill_in_journal(records: Records, found: Finding) -> None:
    """Each bill has one event, with its total."""
    issued = [event for _, event in records.told(BillIssued)]
    told: list[BillIssued | BillReversed] = [*issued, *(event for _, event in records.told(BillReversed))]
    events = grouped(told, lambda event: event.bill_id)
    for bill in records.bills.values():
        totals = [event.total_fen for event in events.get(bill.id, [])]
        found.look(totals == [bill.total_fen], f"bill {bill.id} of {bill.total_fen} fen has events of {totals} fen")
    unknown = events.keys() - records.bills.keys()
    found.violations += [f"an event tells of bill {key}, which does not exist" for key in unknown]


def bill_adds_up(records: Records, found: Finding) -> None:
    """A bill is the sum of its lines, and each line is quantity × unit price, rounded half up to the fen."""
    for bill in records.bills.values():
        lines = records.lines.get(bill.id, [])
        total = sum(line.amount_fen for line in lines)
        found.look(total == bill.total_fen, f"bill {bill.id} is {bill.total_fen} fen, its lines are {total} fen")
        for line in lines:
            amount = _amount_fen(line)
            found.look(
                amount == line.amount_fen,
                f"bill {bill.id}, line {line.line_no}: {line.amount_fen} fen for "
                f"{line.energy_centi_kwh} × 0.01 kWh at {line.unit_price_1e4_yuan} × 0.0001 yuan, should be {amount}",
            )
    orphans = records.lines.keys() - records.bills.keys()
    found.violations += [f"lines of bill {key}, which does not exist" for key in orphans]


def _amount_fen(line: BillLine) -> int:
    yuan = Decimal(line.energy_centi_kwh) * CENTI_KWH * Decimal(line.unit_price_1e4_yuan) * UNIT_PRICE
    return int(round_half_up(yuan, FEN) / FEN)


def reversal_mirrors_bill(records: Records, found: Finding) -> None:
    """A reversal has the negative lines of the swap's bill; a correction comes only with a reversal."""
    by_swap = grouped(records.bills.values(), lambda bill: bill.swap_id)
    for swap_id, bills in by_swap.items():
        kinds = {bill.kind: bill for bill in bills}
        for bill in bills:
            if bill.kind == "correction":
                found.look("reversal" in kinds, f"bill {bill.id} corrects swap {swap_id} without a reversal")
            if bill.kind == "reversal":
                first = kinds.get("swap")
                found.look(
                    first is not None and _lines(records, bill, -1) == _lines(records, first, 1),
                    f"bill {bill.id} does not mirror the bill of swap {swap_id}",
                )
        if len(kinds) < len(bills):
            found.violations.append(f"swap {swap_id} has two bills of one kind")


def _lines(records: Records, bill: Bill, sign: int) -> list[tuple[str, int | None, int, int]]:
    lines = records.lines.get(bill.id, [])
    return [(line.kind, line.seat, sign * line.energy_centi_kwh, sign * line.amount_fen) for line in lines]


def bill_energy_is_the_packs(records: Records, found: Finding) -> None:
    """Each exchanged seat is billed with the energy that its pack gave up, by an energy and a service line."""
    for bill in records.bills.values():
        swap = records.swaps.get(bill.swap_id)
        if bill.kind != "swap" or swap is None:
            continue
        lines = {(line.kind, line.seat): line for line in records.lines.get(bill.id, [])}
        seats = records.exchanged(swap.id)
        for seat in seats:
            pack = records.packs.get(seat.old_pack_id or "")
            quantity_kwh, flag = billed_energy(
                SeatEnergy(
                    seat.seat,
                    seat.old_pack_id,
                    to_decimal(pack.rated_kwh) if pack else None,
                    to_decimal(seat.last_settled_soe_kwh),
                    to_decimal(seat.returned_soe_kwh),
                )
            )
            expected = int(quantity_kwh / CENTI_KWH)
            for kind in ("energy", "service"):
                line = lines.pop((kind, seat.seat), None)
                if line is not None and line.basis.get("flag") == "unmeasured" and flag is None:
                    found.examined += 1
                    found.pending += 1  # the reading came after the bill; a person corrects it
                    continue
                found.look(
                    line is not None and line.energy_centi_kwh == expected and line.pack_id == seat.old_pack_id,
                    f"bill {bill.id}, seat {seat.seat}, {kind}: "
                    f"{line.energy_centi_kwh if line else 'no line'} × 0.01 kWh, the pack's record says {expected}",
                )
        found.violations += [
            f"bill {bill.id} has a line {kind} for seat {number}, which was not exchanged" for kind, number in lines
        ]


MONEY_CHECKS = (
    completed_swap_billed_once,
    bill_in_journal,
    bill_adds_up,
    reversal_mirrors_bill,
    bill_energy_is_the_packs,
)
