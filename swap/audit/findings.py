"""What an audit finds: by invariant, how many items were looked at, and what is wrong with which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from swap.words import N_

INVARIANTS: dict[str, str] = {
    # every row by itself
    "rows_well_formed": N_("Each row has values of its columns' types, and none where one is needed is missing."),
    "values_in_range": N_("Each number is one that its unit and its column allow."),
    "codes_known": N_("Each code (a state, a mode, a reason, a result) is one that this program writes."),
    "references_exist": N_("What a row points at is there."),
    # the journals
    "journal_chained": N_(
        "Each event of a station follows the one before, holds its hash, and is what its own hash was made from."
    ),
    "journal_understood": N_(
        "Each event is of a known kind and says what events of its kind say, no more and no less."
    ),
    "journal_reaches_heads": N_(
        "Each head that was written down outside of the database is still in its journal, with the same hash."
    ),
    "journal_in_time": N_("The journal of a station goes forward in time."),
    "actors_known": N_(
        "Whoever caused an event is a known person or a known machine, and what only people do was done by a person."
    ),
    # who may do what
    "access_in_its_changes": N_(
        "Each account and key has the firm, the roles and the end that its record of changes leads to, and roles that "
        "a firm of its kind has."
    ),
    "sign_ins_bounded": N_("Each token lasts within its sign-in, and a disabled account has no sign-in left."),
    # the station as it stands
    "file_is_on_record": N_("The register, the stations and their bays are what the journal says the file brought."),
    "mode_in_journal": N_(
        "The station's mode and its reason are those of its newest change, and each change is legal."
    ),
    "bay_in_journal": N_("A bay is blocked exactly when the journal says so, for its reason, and is named as it is."),
    "last_numbers_kept": N_(
        "The last number of each lane is that of its newest command, or of a result that was taken over since."
    ),
    "fault_in_journal": N_("Each fault was raised, acknowledged and cleared as its events say, and only as they say."),
    "fault_open_once": N_(
        "A fault is open at most once for a station and source, and marked open until it is cleared."
    ),
    "request_in_journal": N_("Each request was answered as its event says, once; an open one has no answer."),
    "hot_pack_in_journal": N_("The newest procedure for a hot pack in a bay stands where its events have brought it."),
    "samples_in_time": N_("Samples of the site's power follow each other in time."),
    # packs
    "pack_in_one_place": N_(
        "Every pack is in exactly one place, and has a seat when and only when it is on a vehicle."
    ),
    "bay_holds_one_pack": N_("A bay holds at most one pack, and every pack's bay exists."),
    "seat_holds_one_pack": N_("A seat of a vehicle and a gripper hold at most one pack."),
    "pack_place_in_journal": N_("The moves of a pack form one chain, and its last move ends where the pack is."),
    "pack_state_fits_place": N_("A pack's state is one that its place allows."),
    "pack_states_legal": N_(
        "Every change of a pack's state is one of its table, and the last one leads to its state, since then."
    ),
    "pack_energy_possible": N_("A pack holds no more than it is rated for, and its energy fits its state of charge."),
    "reserved_pack_is_promised": N_(
        "A reserved pack is promised to exactly one open swap, which has not taken it yet."
    ),
    "charge_sessions_apart": N_(
        "Charging sessions of a pack do not overlap; an open one is marked open and lies in the pack's bay."
    ),
    "charge_in_journal": N_(
        "Each charging session began and ended as its events say, with their energy and meter; no meter runs backwards."
    ),
    "charged_energy_adds_up": N_("The energy charged into a pack is the sum of its charging sessions."),
    # swaps
    "swap_in_journal": N_(
        "Each swap says what its events say: who came when and for what, where it stands, and how it ended."
    ),
    "swap_steps_legal": N_(
        "The steps of each swap join, each is one of its recipe's table, and the last leads to its state."
    ),
    "swap_ended_or_open_with_reason": N_(
        "Each swap has ended with one event that says so, or waits in the queue, runs, or is held with a reason."
    ),
    "swap_locks": N_(
        "An open swap holds its vehicle, and its lane once dispatched; an ended one holds nothing; none is held twice."
    ),
    "command_numbers_rise": N_(
        "Command numbers of a lane rise from command to command (65535 wraps to 1), and none but the newest is open."
    ),
    "commands_match_steps": N_(
        "Each command of a swap was given and ended as the events of its step say, and each such step has its command."
    ),
    "exchange_in_journal": N_(
        "Each exchanged seat got its new pack by a move of that swap, with the bays and energies that its events tell; "
        "a completed swap exchanged what its event says."
    ),
    "installed_energy_is_kept": N_("What a pack held when it was put on a vehicle is what its next bill starts from."),
    # commerce
    "booking_in_journal": N_("Each booking is the one that was promised, and stands where its events have brought it."),
    "booking_used_once": N_(
        "A booking serves at most one swap, of its own vehicle; its status fits the swap; it ends with one event."
    ),
    "bookings_apart": N_("The open bookings of a truck do not overlap."),
    "bookings_have_packs": N_(
        "In a time in which no pack can come back charged, no more packs are promised than the station had."
    ),
    "standing_in_journal": N_("Each standing booking is as its events say, and makes one booking a day."),
    "bookings_fit": N_("The open bookings of a station can all be served in the slots in which they were promised."),
    "no_show_as_told": N_(
        "A booking whose truck did not come was charged what its end tells, once, and nobody else was."
    ),
    "response_as_settled": N_(
        "Each event of demand response that was accepted and is over is settled, each settlement is what baseline, "
        "meter and programme make it and is charged as it tells, and nothing else is."
    ),
    "completed_swap_billed_once": N_("Each completed swap has exactly one bill, and no other swap has any."),
    "bill_in_journal": N_("Each bill, line by line, is the one that was issued."),
    "bill_adds_up": N_(
        "A bill is the sum of its lines, and each line is quantity × unit price, rounded half up to the fen."
    ),
    "reversal_mirrors_bill": N_(
        "A reversal has the negative lines of the swap's bill; a correction comes only with a reversal."
    ),
    "bill_energy_is_the_packs": N_(
        "Each exchanged seat is billed with the energy that its pack gave up, by an energy and a service line."
    ),
    # the ledger and payments
    "account_named": N_("Each account is named by its firm, a kind of the chart and what it is kept for."),
    "transfer_sealed": N_("Each transfer has the legs, the sum and the content that its seal and its digest say."),
    "no_leg_unsealed": N_("No leg is left without the seal of its transfer."),
    "leg_in_one_firm": N_("Each leg moves an amount between two accounts of one firm."),
    "hold_settled_once": N_(
        "What is held is posted or voided at most once, in its time, and never more than was held."
    ),
    "transfer_has_source": N_(
        "Each transfer is exactly what the bill, charge, payment or bank line makes that it names."
    ),
    "owed_is_posted": N_("Each bill and each charge is in the ledger."),
    "books_balance": N_("The accounts of each firm add up to nothing: what is debited is credited."),
    "books_mirror": N_("What one firm has to receive from another or holds for it stands in the other's books too."),
    "floors_kept": N_("No wallet is below 0 by more than its credit, and no deposit below 0."),
    "payment_not_exceeded": N_("No payment pays and gives back more than it was."),
    "debt_not_overpaid": N_("No bill or charge is paid with more than is owed for it."),
    "payment_rows_sealed": N_("Each row about payments is what its digest was made from."),
    "payment_told_alike": N_("Bank lines, calls of the acquirer and net statements say what their payments say."),
    # webhooks
    "webhook_events_sealed": N_(
        "Each event for a webhook is what its digest was made from, and none is wanting between the first and the last."
    ),
    "webhook_outcome_fits": N_("What was delivered to a webhook was answered with success, and what was not, was not."),
    "webhook_told_in_order": N_(
        "Each webhook was told each event of its firm and kinds since it was made, up to where it stands, and no other."
    ),
    "webhook_mark_in_journal": N_("A journal was read for webhooks no further than it goes."),
    # leases and custody
    "lease_versions_kept": N_("Each version of a contract says what it said when it was put on record."),
    "lease_versions_signed": N_("No version of a signed contract counts without the lessee's signature."),
    "lease_in_its_events": N_("Each contract stands where its events have brought it, step by legal step."),
    "leases_apart": N_("No vehicle has two binding contracts on one day."),
    "overrides_kept": N_(
        "Each override of a vehicle without a contract is as a person gave it, for a week at most, and none is wanting."
    ),
    "lease_charge_due": N_(
        "Each charge of a contract is between its parties, of one of its versions, for days on which it was active, "
        "and is quantity × price × factors, half up."
    ),
    "rents_complete": N_("The rents of each closed month add up as its run says."),
    "rents_rated_again": N_(
        "What rent runs have charged is, to the fen, what contracts and readings make it, as they were known at the "
        "last run."
    ),
    "contract_acts_charged": N_(
        "Each early end, damage, purchase and return of a deposit of a contract was charged as the contract asks, "
        "once, and nothing else was."
    ),
    "stranding_as_told": N_(
        "Each truck that a journal tells was served below its reach in spite of arrears was charged as told, the "
        "lessor was told, and no other was charged."
    ),
    "charge_names_own_pack": N_("A charge of a contract names no pack that another organisation than the seller owns."),
    "custody_in_journal": N_("Each move of a pack that a journal tells of is in custody, as it is told, and no other."),
    "custody_unbroken": N_("Each pack leaves the place in which it was: its custody has neither gap nor overlap."),
    "readings_in_journal": N_(
        "Each reading that a journal gave is the one that its event tells; those of an instant are numbered from 1."
    ),
    "bill_priced_by_its_instant": N_(
        "Each line has the price, the tariff period, the parties and the tax that were in force when its swap ended."
    ),
    "bill_flagged": N_("A bill has the flags that its readings, its prices and the record of its packs ask for."),
    "charge_adds_up": N_(
        "A charge is quantity × unit price (× the factors that it names), and a correction names one of its own kind."
    ),
    "taken_once": N_("Each line of a bill and each charge is on at most one invoice, as it was when it was taken."),
    "invoice_adds_up": N_(
        "An invoice is the sum of its lines, net + tax = gross on each, and each line has the tax of its rate."
    ),
    "drafts_of_closings": N_(
        "A line without an invoice is one of the next invoices of a seller whose month is being closed."
    ),
    "invoice_numbers_whole": N_(
        "The invoices of a seller are numbered from 1 without gaps, in the order of their making."
    ),
    "red_letter_names_invoice": N_(
        "A red letter names an earlier invoice of the same two firms, and never gives back more than it asked."
    ),
    "period_closed_for_good": N_(
        "A closed month is what it was when it was closed: its invoices, lines and settlements, and all months before."
    ),
    "shares_conserved": N_(
        "What is shared is the income that was invoiced, and the shares sum to it to the fen, by the shares in force."
    ),
}
"""What must always hold, by the name of the invariant."""


@dataclass
class Finding:
    """What was found of one invariant."""

    examined: int = 0
    pending: int = 0
    violations: list[str] = field(default_factory=list)

    def look(self, holds: object, otherwise: str) -> bool:
        """Count one item; note the violation when it does not hold. Gives back whether it holds."""
        self.examined += 1
        if not holds:
            self.violations.append(otherwise)
        return bool(holds)

    def wait(self) -> None:
        """Count one item that cannot be judged yet, or whose event was written before it said what is asked."""
        self.examined += 1
        self.pending += 1

    def same(self, what: str, where: str, row: Any, told: Mapping[str, Any], within: timedelta | None = None) -> None:
        """Compare columns of a row with what an event says; count each, name each that differs.

        Args:
            what: the row, for people.
            where: the event, for people.
            told: what the event says, by column.
            within: how far instants may be apart.
        """
        for name, said in told.items():
            self.examined += 1
            value = getattr(row, name)
            if value == said or (within is not None and _near(value, said, within)):
                continue
            self.violations.append(f"{what}: {name} is {shown(value)}, {where} says {shown(said)}")


def _near(one: object, other: object, within: timedelta) -> bool:
    return isinstance(one, datetime) and isinstance(other, datetime) and abs(one - other) <= within


def shown(value: object) -> str:
    """A value as a violation shows it."""
    return value.isoformat() if isinstance(value, datetime) else repr(value)


class Findings:
    """The findings of every invariant."""

    def __init__(self) -> None:
        self._by_name = {name: Finding() for name in INVARIANTS}

    def __getitem__(self, name: str) -> Finding:
        return self._by_name[name]

    def items(self) -> Iterator[tuple[str, Finding]]:
        """By name, in the order of `INVARIANTS`."""
        yield from self._by_name.items()


def listed(values: Iterable[object]) -> str:
    """Values one after the other; `none` for none."""
    return ", ".join(map(str, values)) or "none"
