"""Facts of a step: true, false or unknown, each by the age of what it rests on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from robotics.port import Location, LocationKind, Signal
from swap.station.sequence.permissives import (
    CellFacts,
    Missing,
    broken_guards,
    fact,
    location,
    missing,
    seat_heads,
    tripped,
)
from swap.station.sequence.recipe import Place, StepRow, load_recipe
from tests.support.swap.sequence import Cycle, heads


def of(state: str, *, packs: int = 1) -> tuple[StepRow, Cycle]:
    swap = Cycle(state, packs=packs)
    return swap.table.by_state[state], swap


def value(name: str, row: StepRow, swap: Cycle) -> bool | None:
    return fact(name, row, swap.session.seats[row.seat - 1], swap.facts().cell, swap.table.pack_count)


@pytest.mark.parametrize("signal", list(Signal))
@pytest.mark.parametrize("truth", [True, False, None])
def test_a_signal_is_what_the_cell_says_while_it_is_fresh(signal: Signal, truth: bool | None) -> None:
    _, swap = of("unlocking")
    swap.see(**{signal.value: truth})
    assert swap.facts().cell.signal(signal) is truth
    swap.age_s = 2.1
    assert swap.facts().cell.signal(signal) is None
    assert tripped(swap.facts().cell) is None


@pytest.mark.parametrize("signal", [Signal.TRANSFER_OCCUPIED, Signal.TANK_READY, Signal.TANK_OCCUPIED])
def test_signals_of_the_slow_block_have_its_age(signal: Signal) -> None:
    _, swap = of("unlocking")
    swap.see(**{signal.value: True})
    swap.slow_age_s = 9.9
    assert swap.facts().cell.signal(signal) is True
    for age_s in (10.1, None):
        swap.slow_age_s = age_s
        assert swap.facts().cell.signal(signal) is None
        assert swap.facts().cell.signal(Signal.HOMED) is True


@pytest.mark.parametrize(("beat_age_s", "fresh"), [(None, True), (1.9, True), (2.0, True), (2.1, False)])
def test_a_heartbeat_older_than_a_reading_may_be_counts_as_none(beat_age_s: float | None, fresh: bool) -> None:
    """S21: read a moment ago from a program that stands still."""
    _, swap = of("unlocking")
    facts = replace(swap.facts().cell, beat_age_s=beat_age_s)
    assert facts.fresh is fresh
    assert (facts.signal(Signal.HOMED) is None) is not fresh


def test_a_still_heartbeat_makes_everything_unknown() -> None:
    row, swap = of("unlocking")
    swap.see(heartbeat_ok=False)
    facts = swap.facts().cell
    assert not facts.fresh
    assert [m.value for m in missing(row.permissives, row, swap.session.seats[0], facts, 1)] == [None] * len(
        row.permissives
    )


@pytest.mark.parametrize(
    ("state", "name", "place"),
    [
        ("lifting_old", "source_occupied", "seat"),
        ("placing_new", "target_occupied", "seat"),
        ("storing_old", "target_occupied", 3),
        ("fetching_new", "source_occupied", 1),
        ("restoring_new", "target_occupied", 1),
        ("retrieving_old", "source_occupied", 3),
    ],
)
@pytest.mark.parametrize("truth", [True, False, None])
def test_occupied_is_that_of_the_rows_place(state: str, name: str, place: str | int, truth: bool | None) -> None:
    row, swap = of(state)
    if isinstance(place, int):
        swap.bay(place, occupied=truth)
    else:
        swap.see(seat_1_occupied=truth)
    assert value(name, row, swap) is truth


def test_places_of_the_second_seat() -> None:
    row, swap = of("lifting_old_2", packs=2)
    swap.see(seat_1_occupied=False, seat_2_occupied=True)
    assert value("source_occupied", row, swap) is True
    stored, other = of("storing_old_2", packs=2)
    other.bay(3, occupied=True).bay(4, occupied=False)
    assert value("target_occupied", stored, other) is False


def test_the_transfer_bay_is_a_place_too() -> None:
    swap = Cycle("collecting_new", order="in_out").see(transfer_occupied=True)
    row = swap.table.by_state["collecting_new"]
    assert value("source_occupied", row, swap) is True
    swap.slow_age_s = 11.0
    assert value("source_occupied", row, swap) is None


@pytest.mark.parametrize("truth", [True, False, None])
def test_pack_safe_is_that_of_the_new_pack(truth: bool | None) -> None:
    row, swap = of("fetching_new")
    swap.bay(1, pack_safe=truth)
    assert value("pack_safe", row, swap) is truth
    swap.bays.pop(1)
    assert value("pack_safe", row, swap) is None


@pytest.mark.parametrize("truth", [True, False, None])
def test_the_charger_must_be_off_where_a_pack_is_taken(truth: bool | None) -> None:
    row, swap = of("retrieving_old")
    swap.bay(3, power_off=truth)
    assert value("source_power_off", row, swap) is truth
    seat, other = of("lifting_old")
    assert value("source_power_off", seat, other) is None  # no bay, so no charger known to be off


def test_a_missing_fact_gives_its_value_and_the_age_of_what_it_rests_on() -> None:
    row, swap = of("fetching_new")
    swap.see(homed=False).bay(1, occupied=False, pack_safe=None, reading_age_s=12.0)
    swap.age_s, swap.slow_age_s = 0.25, 1.5
    found = missing(row.permissives, row, swap.session.seats[0], swap.facts().cell, 1)
    assert [m.as_data() for m in found] == [
        {"name": "homed", "value": False, "age_s": 0.25},
        {"name": "source_occupied", "value": False, "age_s": 1.5},
        {"name": "pack_safe", "value": None, "age_s": 12.0},
    ]


@pytest.mark.parametrize(("truth", "lacks"), [(True, True), (False, False), (None, True)])
def test_the_opposite_of_a_fact_is_not_true_of_an_unknown_one(truth: bool | None, lacks: bool) -> None:
    row, swap = of("homing")
    swap.see(gripper_loaded=truth)
    found = missing(("!gripper_loaded",), row, swap.session.seats[0], swap.facts().cell, 1)
    assert bool(found) is lacks


def test_guards_are_the_permissives_that_must_hold_throughout() -> None:
    row, swap = of("lifting_old")
    swap.see(locks_open=False, seat_1_occupied=False, homed=False)  # needed to begin, changed by the motion itself
    assert broken_guards(row, swap.session.seats[0], swap.facts().cell, 1) == []
    swap.see(curtain_clear=False, smoke_ok=None)
    names = {m.name: m.value for m in broken_guards(row, swap.session.seats[0], swap.facts().cell, 1)}
    assert names == {"curtain_clear": False, "smoke_ok": None}


@pytest.mark.parametrize("signal", [Signal.ESTOP_OK, Signal.POWER_OK, Signal.FIRE_OK])
def test_a_trip_is_known_not_guessed(signal: Signal) -> None:
    _, swap = of("unlocking")
    assert tripped(swap.facts().cell) is None
    swap.see(**{signal.value: None})
    assert tripped(swap.facts().cell) is None
    swap.see(**{signal.value: False})
    assert tripped(swap.facts().cell) is signal


def test_heads_are_listed_seat_by_seat() -> None:
    values = heads("1010", "0111")
    assert len(values) == 16
    assert seat_heads(values, 1, 2) == (True, False, True, False, None, None, None, None)
    assert seat_heads(values, 2, 2) == (False, True, True, True, None, None, None, None)
    assert seat_heads((), 1, 2) == ()


def test_with_one_seat_the_sum_of_all_sensors_counts() -> None:
    row, swap = of("locking")
    swap.see(heads_closed=heads("0000"), locks_closed=True)
    assert value("locks_closed", row, swap) is True
    swap.see(heads_closed=heads("1111"), locks_closed=False)
    assert value("locks_closed", row, swap) is False
    assert value("all_locks_closed", row, swap) is False


def test_every_fact_of_every_shipped_row_can_be_worked_out() -> None:
    for name in ("top_lift", "side_grab", "chassis"):
        for packs in (1, 2):
            for order in ("out_in", "in_out"):
                table = load_recipe(name).table(packs, "in_out" if order == "in_out" else "out_in")
                swap = Cycle(recipe=name, packs=packs, order=table.swap_order)
                for row in table.rows:
                    for text in (*row.permissives, *row.confirm):
                        known = value(text.removeprefix("!"), row, swap)
                        assert known is not None, (name, packs, order, row.state, text)


def test_facts_are_a_value_of_one_look() -> None:
    _, swap = of("unlocking")
    look = swap.facts().cell
    assert isinstance(look, CellFacts)
    swap.see(homed=False)
    assert look.signal(Signal.HOMED) is True
    assert replace(look, fast_age_s=None).signal(Signal.HOMED) is None


@pytest.mark.parametrize(("age_s", "slow_age_s"), [(2.0, 0.5), (0.1, 10.0)])
def test_what_is_just_as_old_as_it_may_be_counts(age_s: float, slow_age_s: float) -> None:
    _, swap = of("unlocking")
    swap.age_s, swap.slow_age_s = age_s, slow_age_s
    assert swap.facts().cell.fresh
    assert swap.facts().cell.slow_fresh


def test_an_age_is_told_to_a_hundredth_of_a_second() -> None:
    assert Missing("homed", None, 1.23456).as_data() == {"name": "homed", "value": None, "age_s": 1.23}
    assert Missing("homed", None, None).as_data()["age_s"] is None


def test_a_bay_that_nothing_is_known_of_is_unknown() -> None:
    row, swap = of("storing_old")
    swap.bays.pop(swap.session.seats[0].old_position)
    assert value("target_occupied", row, swap) is None


def test_the_one_transfer_bay_is_its_place() -> None:
    _, swap = of("unlocking")
    assert location(Place.TRANSFER, swap.session.seats[0]) == Location(LocationKind.TRANSFER, 1)


@pytest.mark.parametrize("name", ["locks_open", "locks_closed"])
def test_the_locks_of_one_of_two_seats_are_unknown_without_heads_or_a_fresh_look(name: str) -> None:
    row, swap = of("unlocking_1", packs=2)
    swap.see(heads_open=heads("----", "----"), heads_closed=heads("----", "----"))
    assert value(name, row, swap) is None
    swap.see(heads_open=heads("1111", "0000"), heads_closed=heads("1111", "1111"))
    assert value(name, row, swap) is True
    swap.age_s = 2.1
    assert value(name, row, swap) is None


@pytest.mark.parametrize("state", ["homing", "storing_old", "lifting_old"])
def test_only_a_bay_has_a_charger_that_must_be_off(state: str) -> None:
    row, swap = of(state)
    assert value("source_power_off", row, swap) is None


@pytest.mark.parametrize(
    ("packs", "seats", "filled"),
    [
        (1, (True, False), True),
        (1, (False, True), False),
        (1, (None, True), None),
        (2, (True, True), True),
        (2, (True, False), False),
        (2, (False, None), False),
        (2, (True, None), None),
    ],
)
def test_the_seats_are_those_that_the_vehicle_has(
    packs: int, seats: tuple[bool | None, bool | None], filled: bool | None
) -> None:
    row, swap = of("releasing", packs=packs)
    swap.see(seat_1_occupied=seats[0], seat_2_occupied=seats[1])
    assert value("all_seats_occupied", row, swap) is filled


@pytest.mark.parametrize(
    ("first", "second", "all_of_them"), [(False, True, False), (True, True, True), (None, True, None)]
)
def test_all_packs_are_accepted_when_each_is(first: bool | None, second: bool, all_of_them: bool | None) -> None:
    row, swap = of("releasing", packs=2)
    swap.see(seat_1_accepted=first, seat_2_accepted=second)
    assert value("all_packs_accepted", row, swap) is all_of_them
    swap.see(seat_3_accepted=False)  # of a seat that this vehicle has not
    assert value("all_packs_accepted", row, swap) is all_of_them


def test_a_head_that_the_first_seat_has_is_asked_of_the_second() -> None:
    row, swap = of("lifting_old_2", packs=2)
    swap.see(heads_open=heads("1111", "111-"))
    assert value("locks_open", row, swap) is None
    swap.see(heads_open=heads("111-", "111-"))
    assert value("locks_open", row, swap) is True


def test_a_fact_of_the_slow_block_has_its_age() -> None:
    row, swap = of("unlocking")
    swap.see(tank_ready=False, homed=False)
    found = missing(("tank_ready", "homed"), row, swap.session.seats[0], swap.facts().cell, 1)
    assert [(m.name, m.age_s) for m in found] == [("tank_ready", 0.5), ("homed", 0.1)]
