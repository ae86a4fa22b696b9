"""A day at a small station, in station time, in which nearly everything happens that a database can tell of."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from decimal import Decimal

import pytest

from swap.commerce.bills import closing
from swap.commerce.bills.closing import close_period
from swap.commerce.bills.issuing import correct_bill
from swap.commerce.bills.money import CENTI_KWH
from swap.commerce.bookings.keeping import tell
from swap.commerce.bookings.standing import Rule, change_standing, make_standing
from swap.commerce.bookings.store import cancel_booking, change_booking, make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.commerce.charges import NewCharge, Sale, add_charge
from swap.commerce_db import CommerceDb
from swap.config.loading import parse_station
from swap.config.station_file import StationConfig
from swap.messages.events import SwapCompleted, SwapDispatched, SwapHeld, SwapStepStarted
from swap.messages.packs import ThermalStep
from swap.reading.lists import list_bills
from swap.register.persons import erase_person, is_person
from swap.station.requests import acknowledge_fault
from swap.station.states.thermal_stages import Stage
from tests.support.sim.plant import code, station_data
from tests.support.swap.lease_day import leased
from tests.support.swap.paid import pay_everything
from tests.support.swap.station import Bench
from tests.support.swap.told import deliver, listen


def shared_station() -> StationConfig:
    """The plant's station, whose operator shares the income of the service with the owner of the packs."""
    shares = [
        {"of": "service", "party": "op", "share": "0.75", "takes_rest": True},
        {"of": "service", "party": "owner", "share": "0.25"},
    ]
    return parse_station(station_data() | {"billing": {"shares": shares}})


def month_end(bench: Bench) -> None:
    """Rent and a deposit are charged, the month is closed, a part of the rent is given back, and the next is closed.
    Whoever closes the one after it is stopped before its last commit."""
    at, zone = bench.clock.now(), bench.config.station.zone
    first, second = at + timedelta(days=40), at + timedelta(days=80)
    month, next_month = (f"{one - timedelta(days=30):%Y-%m}" for one in (first, second))
    rent = NewCharge(
        source="rent:one",
        seller_id="owner",
        buyer_id="fleet",
        kind="rent",
        station_id=bench.config.station.id,
        vehicle_id="V1",
        pack_id=code(11),
        period=month,
        from_at=at,
        until_at=at + timedelta(days=15),
        quantity=Decimal(282),
        unit="kwh_month",
        unit_price_yuan=Decimal("10"),
        amount_yuan=Decimal("1410.00"),
        tax_category="rent",
        tax_rate=Decimal("0.13"),
        basis={"factors": {"days": "15/30"}},
    )
    with bench.store.commerce() as db:
        made, _ = add_charge(db, rent, at)
    close_period(bench.store, month, at=first, zone=zone, name="Li")
    with bench.store.commerce() as db:
        back = replace(
            rent,
            source="rent:one:c1",
            period=next_month,
            quantity=Decimal(-1),
            unit="item",
            unit_price_yuan=Decimal("94.00"),
            amount_yuan=Decimal("-94.00"),
            corrects_id=made.id,
            basis={},
        )
        add_charge(db, back, first)
        collected = {**rent.basis, "for": "op"}
        two = replace(rent, source="rent:two", period=next_month, sale=Sale.COLLECTED, basis=collected)
        add_charge(db, two, first)
    close_period(bench.store, next_month, at=second, zone=zone, name="Li")
    third = at + timedelta(days=120)
    open_month = f"{third - timedelta(days=30):%Y-%m}"
    with bench.store.commerce() as db:
        for number in (3, 4):
            add_charge(db, replace(rent, source=f"rent:{number}", period=open_month), second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closing, "LINES_A_COMMIT", 1)
        patch.setattr(closing, "_issue", _stopped)
        with pytest.raises(StoppedError):
            close_period(bench.store, open_month, at=third, zone=zone, name="Li", seller_id="owner")


class StoppedError(Exception):
    """The process has ended here."""


def _stopped(db: CommerceDb, asked: object, month: object) -> None:
    raise StoppedError


async def ordinary(bench: Bench) -> str:
    """Two swaps of V1, one of them booked and corrected, V2 cancelled in the queue, V3 under way; V3's swap."""
    await bench.start()
    listen(bench.store)
    await bench.run(5)
    at = bench.clock.now()
    with bench.store.station(bench.config.station.id) as db:
        for vehicle, minutes in (("V1", 0), ("V4", 60)):
            start_at = at + timedelta(minutes=minutes)
            booking = make_booking(
                db,
                bench.config,
                Wanted(vehicle, start_at, start_at + timedelta(minutes=30)),
                at=at,
            )
        cancel_booking(db, booking.booking_id, at=at)
    bench.arrive("V1", 30)
    await bench.run_until(SwapDispatched.kind)
    waiting = bench.arrive("V2", 30)
    bench.ask("cancel_swap", swap_id=waiting)
    bench.plant.leave_yard("V2")
    await bench.run_until(SwapCompleted.kind)
    await bench.run(60, 2)
    bench.arrive("V1", 60)
    await bench.run_until(SwapCompleted.kind)
    await bench.run(5)
    with bench.store.station(bench.config.station.id) as db:
        first = list_bills(db).items[-1]
        quantity = first.lines[0].energy_kwh - CENTI_KWH
        correct_bill(db, first.bill_id, {1: quantity}, at=bench.clock.now(), name="Li", reason="read again")
    leased(bench.store, bench.config, bench.clock.now())
    month_end(bench)
    deliver(bench.store, bench.config.station.id)
    under_way = bench.arrive("V3", 30)
    await bench.run_until(SwapStepStarted.kind)
    return under_way


async def eventful(bench: Bench) -> None:
    """`ordinary`, then a lost guard holds V3's swap, and a pack becomes hot and stays, since the lane is held.

    V2 and V4 have booked for the evening, V1 for every day; of two further bookings one is changed, and one falls
    through by the hold. Faults were raised, seen and cleared, a person's name is erased, and money
    has moved in every way there is.
    """
    under_way = await ordinary(bench)
    bench.plant.inject("curtain", "L1")
    await bench.run_until(SwapHeld.kind, 20, 1.0)
    bench.plant.clear("curtain", "L1")
    await bench.settled(bench.ask("confirm", "Wang"))
    await bench.settled(bench.ask("decide", "Wang", swap_id=under_way, decision="continue"))
    await bench.run_until(SwapStepStarted.kind, state="locking")
    at = bench.clock.now()
    with bench.store.station(bench.config.station.id) as db:
        window = Wanted("V3", at + timedelta(minutes=30), at + timedelta(minutes=60))
        soon = make_booking(db, bench.config, window, at=at)
        change_booking(db, bench.config, soon.booking_id, at=at, min_kwh=10.0)
    bench.plant.inject("handbrake_released", "L1")
    await bench.run_until(SwapHeld.kind, 20, 1.0)
    at = bench.clock.now()
    with bench.store.station(bench.config.station.id) as db:
        for vehicle, minutes in (("V2", 240), ("V4", 300)):
            start_at = at + timedelta(minutes=minutes)
            end_at = start_at + timedelta(minutes=30)
            make_booking(db, bench.config, Wanted(vehicle, start_at, end_at), at=at)
        daily = Rule("V1", tuple(range(1, 8)), time(20, 0), 30, at.date(), (at + timedelta(days=3)).date())
        standing = make_standing(db, bench.config, daily, at=at)
        left_out = (at + timedelta(days=2)).date()
        change_standing(db, bench.config, standing.standing_id, at=at, exceptions=(left_out,))
        fault = next(row for row in db.open_faults() if row.source.startswith("lane:"))
        assert fault.id is not None
        acknowledge_fault(db, station_id=db.station_id, fault_id=fault.id, name="Wang", at=at)
        moving = {key.partition(":")[2] for key in db.bays_in_motion()}
    hot = next(
        pack
        for pack, place in bench.places().items()
        if place.startswith("bay:") and place.removeprefix("bay:") not in moving
    )
    bench.plant.inject("pack_heats", hot, c_per_s=2.0)
    await bench.run_until(ThermalStep.kind, 300, 1.0, stage=Stage.ISOLATED)
    await bench.settled(bench.ask("release_pack", "Zhao", pack_id="no pack"))
    await bench.settled(bench.ask("hold", "Zhao"))
    with bench.store.station(bench.config.station.id) as db:
        assert soon.booking_id in tell(db, bench.config, bench.clock.now())
    with bench.store.station(bench.config.station.id) as db:
        by = next(e.actor for e in db.events() if is_person(e.actor))
    with bench.store.transaction() as whole:
        erase_person(whole, by.partition(":")[2], bench.clock.now())
    pay_everything(bench.store, bench.config.station.id, bench.clock.now(), operator="op", fleet="fleet", owner="owner")
    deliver(bench.store, bench.config.station.id)
