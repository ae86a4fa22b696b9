"""A call of demand response by request: answered, written into the journal, held, and settled by its samples."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.demand_response import limit_at
from scheduler.response.programme import EventSpan, ProgrammeSection
from scheduler.types import StationMode, TariffSlice
from swap.events import append_event
from swap.messages.power import DrAnswered
from swap.reading.response import answered, settled
from swap.station.power.response import DrCall, take_call
from swap.station.states.modes import ModeTrigger
from swap.tables import SiteSample
from tests.support.sim.plant import DIRECT_PROGRAMME, station
from tests.support.swap.station import Bench

VOLUNTARY = DIRECT_PROGRAMME | {"id": "voluntary", "control": "voluntary"}
ABSORB = VOLUNTARY | {"id": "absorb", "direction": "absorb"}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    programmes = tuple(ProgrammeSection.model_validate(one) for one in (DIRECT_PROGRAMME, VOLUNTARY, ABSORB))
    bench = Bench(tmp_path, station().model_copy(update={"programmes": programmes}))
    await bench.start()
    await bench.run(5)
    yield bench
    bench.close()


def minute(bench: Bench, minutes: float) -> datetime:
    return bench.clock.now().replace(second=0, microsecond=0) + timedelta(minutes=minutes)


def told(bench: Bench) -> list[DrAnswered]:
    with bench.store.reading_station(bench.config.station.id) as db:
        return list(answered(db))


def sampled(bench: Bench, from_at: datetime, hours: float, kw: float) -> None:
    """The meter's record of a time."""
    with bench.store.station(bench.config.station.id) as db:
        for number in range(int(hours * 12)):
            at = from_at + timedelta(minutes=5 * number)
            station_id = bench.config.station.id
            row = SiteSample(station_id=station_id, at=at, import_kw=kw, limit_kw=2000.0, ready_packs=0, queue_length=0)
            db.add(row)


async def test_direct_control_is_accepted_and_held_also_after_a_restart(bench: Bench) -> None:
    begin, end = minute(bench, 1), minute(bench, 61)
    asked: dict[str, Any] = {"programme": "direct", "from_at": begin.isoformat(), "until_at": end.isoformat()}
    asked["limit_kw"] = 50.0
    status, answer = await bench.settled(bench.ask("demand_response", **asked))
    assert status == "done", answer
    assert "at or below 50 kW" in answer
    (event,) = told(bench)
    assert (event.accepted, event.limit_kw, event.objections) == (True, 50.0, ("late_notice",))
    await bench.controller.rack.charge_cycle()
    context = bench.controller.context
    zone = context.config.station.zone
    assert limit_at(context.dr_events, begin, zone)[0] == 50.0
    assert limit_at(context.dr_events, end, zone)[0] is None
    await bench.run(70)
    # 50 kW less 20 of base load is 30: chargers below the offer level take it, and what is short says why.
    assert sum(one.power_kw for one in context.plan.values()) <= 30.0
    fresh = replace(context, orders=())  # as a controller that has just started
    bench.controller.rack.context = fresh
    await bench.controller.rack.charge_cycle()
    assert [order.limit_kw for order in fresh.orders] == [50.0]


async def test_who_waits_is_named_by_the_truck(bench: Bench) -> None:
    """Nobody at the station knows the id of a swap."""
    await bench.controller.change_mode(ModeTrigger.HOLD, "look", "Operator A")
    trucks = {bench.arrive(one.id): one.id for one in bench.config.vehicles}
    begin, end = minute(bench, 1), minute(bench, 181)
    asked: dict[str, Any] = {"programme": "direct", "from_at": begin.isoformat(), "until_at": end.isoformat()}
    status, answer = await bench.settled(bench.ask("demand_response", **asked, limit_kw=0.0))
    assert status == "done", answer
    (event,) = told(bench)
    assert event.waits
    assert {one.truck for one in event.waits} <= set(trucks), "the journal keeps the swap"
    named = [part.split(" waits ")[0] for part in answer.split("; ")[1:]]
    assert named == [trucks[one.truck] for one in event.waits]


class Dear:
    """Prices at which everything that can be spared is held back."""

    def slices(self, from_at: datetime, until_at: datetime) -> list[TariffSlice]:
        return [TariffSlice(from_at, until_at, "peak", 1.5)]


async def test_an_accepted_floor_raises_what_prices_hold_back_also_after_a_restart(bench: Bench) -> None:
    context, rack = bench.controller.context, bench.controller.rack
    context.prices, context.policy = Dear(), replace(context.policy, reserve_ready=0)
    await rack.charge_cycle()
    assert sum(one.power_kw for one in context.plan.values()) == 0.0, "it is dear, and nobody waits"
    begin = bench.clock.now() - timedelta(minutes=1)
    accepted = DrAnswered(
        event_id="dr-1", programme="p", control="voluntary", told_at=begin, from_at=begin,
        until_at=begin + timedelta(minutes=30), accepted=True, floor_kw=120.0,
    )  # fmt: skip
    with bench.store.station(bench.config.station.id) as db:
        append_event(db, accepted, station_id=bench.config.station.id, at=begin, actor="controller")
    await rack.charge_cycle()
    output_kw = (120.0 - context.config.site.base_load_kw) * context.config.site.charger_efficiency
    assert sum(one.power_kw for one in context.plan.values()) == pytest.approx(output_kw, abs=1.0)
    fresh = replace(context, floors=())  # as a controller that has just started
    rack.context = fresh
    await rack.charge_cycle()
    assert [floor.floor_kw for floor in fresh.floors] == [120.0]
    assert sum(one.power_kw for one in fresh.plan.values()) == pytest.approx(output_kw, abs=1.0)
    bench.seconds += 31 * 60.0
    await rack.charge_cycle()
    assert fresh.floors == ()


async def test_a_call_to_absorb_is_answered_with_its_floor(bench: Bench) -> None:
    context = bench.controller.context
    context.prices, context.policy = Dear(), replace(context.policy, reserve_ready=0)
    begin = minute(bench, 60) - timedelta(minutes=minute(bench, 60).minute % 15) + timedelta(minutes=15)
    for back in (1, 2):
        sampled(bench, begin - timedelta(days=back, minutes=15), 1.5, 30.0)
    end = begin + timedelta(minutes=15)
    asked: dict[str, Any] = {"programme": "absorb", "from_at": begin.isoformat(), "until_at": end.isoformat()}
    status, answer = await bench.settled(bench.ask("demand_response", **asked, asked_kw=100.0))
    assert status == "done", answer
    assert "accepted: the import is raised to 130 kW" in answer
    (event,) = told(bench)
    assert (event.accepted, event.limit_kw, event.floor_kw) == (True, None, 130.0)
    status, answer = await bench.settled(bench.ask("demand_response", **asked, asked_kw=5000.0))
    assert status == "refused"
    assert [one.accepted for one in told(bench)] == [True, False]
    status, answer = await bench.settled(bench.ask("demand_response", **asked, asked_kw=100.0))
    assert (status, answer) == ("refused", "declined: overlaps"), "the same power is not sold twice"


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"programme": "none"}, "no programme none; there are: direct, voluntary, absorb"),
        ({"limit_kw": None}, "limit_kw"),
        ({"asked_kw": 10.0}, "limit_kw"),
        ({"from_at": "2020-01-01T00:00:00+00:00"}, "in this order"),
        ({"from_at": "soon"}, "arguments.from_at"),
        ({"programme": "voluntary", "limit_kw": None, "asked_kw": 100.0}, "needs 2 days"),
    ],
)
async def test_a_call_that_cannot_be_answered_is_refused_and_leaves_no_event(
    bench: Bench, over: dict[str, Any], said: str
) -> None:
    begin, end = minute(bench, 20), minute(bench, 80)
    asked: dict[str, Any] = {"programme": "direct", "from_at": begin.isoformat(), "until_at": end.isoformat()}
    asked |= {"limit_kw": 50.0} | over
    given = {name: value for name, value in asked.items() if value is not None}
    status, answer = await bench.settled(bench.ask("demand_response", **given))
    assert status == "refused"
    assert said in answer
    assert told(bench) == []


async def test_no_hold_waits_while_a_call_is_reckoned(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    reckoning, reckoned = asyncio.Event(), asyncio.Event()

    async def slow(*rest: Any) -> DrAnswered:
        reckoning.set()
        await reckoned.wait()
        return await take_call(*rest)

    monkeypatch.setattr("swap.station.answers.take_call", slow)
    begin, end = minute(bench, 20), minute(bench, 80)
    asked: dict[str, Any] = {"programme": "direct", "from_at": begin.isoformat(), "until_at": end.isoformat()}
    call = bench.ask("demand_response", **asked, limit_kw=50.0)
    answering = asyncio.create_task(bench.controller.calls_cycle())
    await reckoning.wait()
    hold = bench.ask("hold")
    await bench.controller.answer_cycle()
    assert bench.answer(hold)[0] == "done"
    assert bench.controller.context.mode is StationMode.HELD
    assert bench.answer(call)[0] == "open"
    reckoned.set()
    await answering
    assert bench.answer(call)[0] == "done"


async def test_a_voluntary_event_is_measured_by_the_days_before_and_settled_by_samples(bench: Bench) -> None:
    begin = minute(bench, 60) - timedelta(minutes=minute(bench, 60).minute % 15) + timedelta(minutes=15)
    end = begin + timedelta(minutes=30)
    for back in (1, 2):
        sampled(bench, begin - timedelta(days=back, minutes=15), 1.5, 400.0 * back)
    programme = bench.config.programmes[1]
    context = bench.controller.context
    span = EventSpan(bench.clock.now(), begin, end)
    event = await take_call(context, DrCall(programme, span, asked_kw=300.0))
    assert event.accepted, event.objections
    assert event.baseline_kw == pytest.approx((600.0, 600.0))
    assert event.limit_kw == pytest.approx(300.0)
    sampled(bench, begin, 0.25, 300.0)
    sampled(bench, begin + timedelta(minutes=15), 0.25, 450.0)
    with bench.store.reading_station(bench.config.station.id) as db:
        lines = settled(db, programme, event)
    assert lines is not None
    assert [(str(one.counted_kwh), str(one.money_yuan), str(one.penalty_yuan)) for one in lines.slots] == [
        ("75.000", "150.00", "0.00"),
        ("0.000", "0.00", "37.50"),  # 150 of 300 kW: below the least share, 37.5 kWh short
    ]
    # The next day is measured by the same two: the day of the event does not count.
    later = EventSpan(bench.clock.now(), begin + timedelta(days=1), end + timedelta(days=1))
    again = await take_call(context, DrCall(programme, later, asked_kw=300.0))
    assert again.baseline_kw == event.baseline_kw


async def test_what_cannot_be_foreseen_ends_no_loop_and_is_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    begin = bench.clock.now() - timedelta(minutes=1)
    accepted = DrAnswered(
        event_id="dr-1", programme="voluntary", control="voluntary", told_at=begin, from_at=begin,
        until_at=begin + timedelta(minutes=30), accepted=True, limit_kw=120.0, offered_kw=10.0, baseline_kw=(500.0,),
    )  # fmt: skip
    with bench.store.station(bench.config.station.id) as db:
        append_event(db, accepted, station_id=bench.config.station.id, at=begin, actor="controller")
    await bench.controller.calls_cycle()
    assert "cannot be foreseen" in caplog.text, "its baseline has one slot, the event more"
    assert "response_short" not in bench.open_faults()
