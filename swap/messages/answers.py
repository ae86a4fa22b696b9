"""What the controller answers to a person: a code with values, so that each reader has it in his language.

`N_` marks the English texts for the catalogue of the api room, which extracts them from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from swap.words import N_

ANSWERS: dict[str, str] = {
    "held": N_("held"),
    "robots_held": N_("robots are on hold; the station stays in: {mode}"),
    "hold_unconfirmed": N_("lane {lane_id}: the cell does not confirm it"),
    "manual": N_("manual: the cell may be moved by local mode"),
    "closed": N_("closed"),
    "open": N_("open for service"),
    "restart_permitted": N_(
        "permitted: a start within {minutes} min after a stop in good order goes on by itself, unless the station is "
        "held before"
    ),
    "stock_unseen": N_("the stock cannot be confirmed yet: no fresh reading of {unseen}"),
    "not_while": N_("not possible while the station is {mode}"),
    "confirm_again": N_("held: confirm once more when the station may go on"),
    "going_on": N_("going on"),
    "places_blocked": N_("blocked: {places}"),
    "place": "{where} {on_record} / {seen}",
    "stays_held": N_("swap {swap_id} in lane {lane_id} stays held: {hold}"),
    "stays_held_lacking": N_("swap {swap_id} in lane {lane_id} stays held: {hold}; not fulfilled: {facts}"),
    "fact": "{fact}",
    "not_fact": N_("not: {fact}"),
    "decided": "{decision}",
    "reset": N_("reset asked of the cell"),
    "cancelled": N_("cancelled"),
    "pack_released": N_("released; it is identified anew"),
    "pack_taken_out": N_("pack {pack_id} is off site"),
    "pack_brought_in": N_("pack {pack_id} is in bay {bay_id}; it is identified anew"),
    "bay_released": N_("released"),
    "dr_accepted_floor": N_("accepted: the import is raised to {floor} kW from {begin} to {end}"),
    "dr_accepted": N_("accepted: the import is held at or below {limit} kW from {begin} to {end}"),
    "dr_declined": N_("declined: {objections}"),
    "dr_objection": "{objection}",
    "dr_waits": N_("{truck} waits {minutes} min longer for it"),
    "dr_waits_long": N_("{truck} waits longer for it, and no end is in sight"),
    "no_programme": N_("no programme {given}; there are: {allowed}"),
    "device_refused": N_("a device did not take it: {error}"),
    "unknown_kind": N_("kind {kind} is unknown"),
    "not_valid": N_("the request is not valid: {error}"),
    "cell_silent": N_("lane {lane_id}: the cell does not answer"),
    "cell_unusable": N_("lane {lane_id}: what the cell says cannot be used: {link}"),
    "cell_at_work": N_("lane {lane_id}: the cell is at work"),
    "reset_at_equipment": N_("lane {lane_id}: {fact} is reset at the equipment"),
    "still_tripped": N_("still not fulfilled: {trips}; reset it at the equipment first"),
    "trip": "{lane_id}: {fact}",
    "unknown_decision": N_("the decision {given} is unknown; there are: {allowed}"),
    "unknown_lane": N_("no lane {given}; there are: {allowed}"),
    "not_possible": N_("{decision} is not possible for swap {swap_id} as things stand"),
    "decision_lacks": N_("{decision} is not possible for swap {swap_id}; not fulfilled: {facts}"),
    "in_no_lane": N_("swap {given} is in no lane"),
    "no_swap": N_("no swap {given}"),
    "no_pack": N_("no pack {given}"),
    "pack_not_here": N_("pack {pack_id} is in no bay and not in the tank of this station"),
    "pack_in_swap": N_("pack {pack_id} is promised to a truck, or a swap is moving it"),
    "pack_still_seen": N_("bay {bay_id} still holds a pack: what is there is carried out first"),
    "hot_procedure": N_("bay {bay_id}: its hot pack is still being dealt with"),
    "pack_not_off_site": N_("pack {pack_id} is not off site"),
    "pack_does_not_fit": N_("bay {bay_id} takes no pack of kind {given}"),
    "bay_taken": N_("pack {pack_id} is on record in bay {bay_id}: it is taken off site first"),
    "bay_in_swap": N_("a swap uses bay {bay_id}"),
    "pack_unseen": N_("bay {bay_id} does not read this pack now; it reads: {given}"),
    "no_bay": N_("no bay {given}"),
    "not_queued": N_("swap {swap_id} is {swap_state}: only a queued one is cancelled this way; use decide"),
    "in_tank": N_("pack {pack_id} is in the tank: it is taken off site, not released"),
    "mode_forbids": N_("{mode_trigger} is not allowed while the station is {mode}"),
    "asked_before": N_("asked before something happened that only a new look shows: look again, then ask again"),
    "expired": N_("not done: it was not taken up within {limit_s} s; look again, then ask again"),
    "pack_forbids": N_("{pack_trigger} is not allowed for a pack that is {pack_state}"),
}
"""English text by code; the names in braces are those of the values."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Answer:
    """One statement of an answer. A value is a text, a code (its name says of what), or statements of their own."""

    code: str
    values: Mapping[str, str | tuple[Answer, ...]]


STORED = TypeAdapter(tuple[Answer, ...])
"""Between statements and how they stand in the database."""


def say(
    parts: Iterable[Answer],
    text: Callable[[str], str] = str,
    word: Callable[[str, str], str] = lambda name, code: code,
    joint: str = "; ",
) -> str:
    """An answer in a language: `text` translates a text, `word` gives the word for a value by its name."""

    def shown(part: Answer) -> str:
        values = {k: word(k, v) if isinstance(v, str) else say(v, text, word, ", ") for k, v in part.values.items()}
        return text(ANSWERS[part.code]).format(**values)

    return joint.join(shown(part) for part in parts)
