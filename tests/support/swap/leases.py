"""Leases for tests: a store with a station, terms, and a simulated time of swaps brought into custody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from swap.commerce.custody.take import JournalEvent, NewReading, add_readings, take_events, take_journals
from swap.commerce.leases.contracts import answer_version, draft, move, revise
from swap.commerce.leases.states import LeaseTrigger, VersionStep
from swap.commerce.leases.terms import LeaseTerms
from swap.commerce_db import CommerceDb
from swap.config.loading import parse_station
from swap.store import Store
from tests.support.swap.commerce import code, station_data
from tests.support.swap.databases import fill

FIRST_AT = datetime(2023, 12, 1, tzinfo=UTC)
"""The station comes into the record."""
WHO = "person:tester"


def terms(**changed: Any) -> LeaseTerms:
    """Terms of a plain contract of truck V0, with changes."""
    return LeaseTerms.model_validate(terms_data(**changed))


def terms_data(**changed: Any) -> dict[str, Any]:
    """The same as it is given over HTTP."""
    plain: dict[str, Any] = {
        "lessor_id": "own",
        "lessee_id": "fleet",
        "first_day": "2024-01-01",
        "vehicles": ["V0"],
        "entitlement": [{"kind": "lfp", "number": 1}],
        "stations": ["S"],
        "components": [{"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "10"}],
    }
    return deepcopy(plain | changed)


@contextmanager
def lease_store(folder: Path, **sizes: int) -> Iterator[Store]:
    """A store with station S, firms own and fleet, trucks V0…, and its first moves in custody."""
    url = f"sqlite:///{folder / 'leases.db'}"
    fill(url, parse_station(station_data(**({"bays": 8, "packs": 4, "trucks": 6} | sizes))), FIRST_AT)
    store = Store(url)
    take_journals(store)
    yield store
    store.close()


def signed(store: Store, given: LeaseTerms, at: datetime = FIRST_AT) -> str:
    """A contract that is active from its first day on; its id."""
    with store.commerce() as db:
        contract_id = draft(db, given, at=at, actor=WHO)
        for trigger in (LeaseTrigger.OFFER, LeaseTrigger.SIGN, LeaseTrigger.ACTIVATE):
            move(db, contract_id, trigger, at=at, actor=WHO)
    return contract_id


def signed_version(db: CommerceDb, contract_id: str, effective: date, given: LeaseTerms, at: datetime) -> int:
    """A version that the lessor has offered and the lessee has signed at an instant; its number."""
    number = revise(db, contract_id, effective, given, at=at, actor=WHO)
    answer_version(db, contract_id, number, VersionStep.SIGN, at=at, actor=WHO)
    return number


@dataclass
class Traffic:
    """Swaps of trucks with one seat, told to custody like a journal tells them, and kept as plain values too."""

    chance: Random
    on: dict[str, str]
    """Pack by truck."""
    rack: list[str]
    seq: int = 1_000_000
    swaps: int = 0
    counters: dict[str, Decimal] = field(default_factory=dict)
    odometers: dict[str, Decimal] = field(default_factory=dict)
    moves: list[tuple[str, datetime, str, str, str | None, Decimal | None]] = field(default_factory=list)
    readings: list[tuple[str, str, datetime, Decimal]] = field(default_factory=list)
    _events: list[JournalEvent] = field(default_factory=list)
    _given: int = 0
    free_at: datetime = FIRST_AT
    """When the one lane is free again."""
    late: list[tuple[str, str, datetime, Decimal]] = field(default_factory=list)
    """Readings that somebody gives later."""

    @classmethod
    def of(cls, seed: int, trucks: int = 6, packs: int = 4) -> Traffic:
        """The trucks and packs of `lease_store`."""
        traffic = cls(
            Random(seed), {f"V{n}": code(101 + n) for n in range(trucks)}, [code(n + 1) for n in range(packs)]
        )
        for truck, pack in traffic.on.items():
            traffic.moves.append((pack, FIRST_AT, "off_site", f"vehicle:{truck}:1", None, Decimal("262.26")))
        for n, pack in enumerate(traffic.rack):
            traffic.moves.append((pack, FIRST_AT, "off_site", f"bay:S:A{n + 1}", None, None))
        for n, pack in enumerate([*traffic.on.values(), *traffic.rack]):
            traffic.counters[pack] = Decimal(1000 + n)
            traffic.read(pack, "counter_kwh", FIRST_AT, traffic.counters[pack])
        return traffic

    def read(self, subject: str, quantity: str, at: datetime, value: Decimal) -> None:
        """A reading; every twelfth counter or odometer comes late."""
        one = (subject, quantity, at, value)
        slow = quantity in ("counter_kwh", "odometer_km") and at > FIRST_AT and self.chance.random() < 1 / 12
        (self.late if slow else self.readings).append(one)

    def move(self, pack: str, at: datetime, source: str, target: str, swap: str | None, kwh: Decimal | None) -> None:
        """A pack comes to another place."""
        self.seq += 1
        data: dict[str, Any] = {"from": source, "to": target}
        if kwh is not None:
            data["energy_kwh"] = float(kwh)
        self.moves.append((pack, at, source, target, swap, kwh))
        self._events.append(JournalEvent("S", self.seq, at, "pack.moved", swap, pack, data))

    def swap(self, truck: str, at: datetime) -> None:
        """A truck gets another pack."""
        self.swaps += 1
        old, new, swap = self.on[truck], self.rack.pop(0), f"sw-{self.swaps}"
        used = Decimal(self.chance.randint(5_000, 24_000)).scaleb(-2)
        bay = f"bay:S:B{self.swaps % 7}"
        self.move(old, at, f"vehicle:{truck}:1", "gripper:S:L1", swap, None)
        self.move(old, at + timedelta(seconds=60), "gripper:S:L1", bay, swap, None)
        self.counters[old] += used
        read_at = at + timedelta(seconds=70)
        self.read(old, "counter_kwh", read_at, self.counters[old])
        self.read(old, "energy_kwh", read_at, Decimal(self.chance.randint(2_000, 25_000)).scaleb(-2))
        self.read(old, "soh_pct", read_at, Decimal(self.chance.randint(760, 990)).scaleb(-1))
        self.move(new, at + timedelta(seconds=90), bay, "gripper:S:L1", swap, None)
        full = Decimal(self.chance.randint(25_000, 28_200)).scaleb(-2)
        self.move(new, at + timedelta(seconds=150), "gripper:S:L1", f"vehicle:{truck}:1", swap, full)
        self.read(swap, "energy_price", at, Decimal(self.chance.choice((3000, 5500, 8250))).scaleb(-4))
        self.odometers[truck] = self.odometers.get(truck, Decimal(50_000)) + self.chance.randint(60, 220)
        self.read(truck, "odometer_km", at, self.odometers[truck])
        self.read(truck, "engine_h", at, (self.odometers[truck] / 23).quantize(Decimal("0.1")))
        self.read(truck, "tonnes", at, Decimal(self.chance.randint(100, 900)).scaleb(-1))
        self.on[truck] = new
        self.rack.append(old)

    def day(self, day: date, trucks: Iterable[str]) -> None:
        """Each truck swaps once, twice or not at all, at its own time, some of them around midnight in China."""
        times: list[tuple[datetime, str]] = []
        for truck in trucks:
            for _ in range(self.chance.choice((0, 1, 1, 2))):
                minute = self.chance.choice((self.chance.randint(0, 1439), 958, 961))
                times.append((datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minute), truck))
        for at, truck in sorted(times):
            wanted = at + timedelta(seconds=self.chance.randint(0, 59))
            self.free_at = max(wanted, self.free_at) + timedelta(seconds=240)
            self.swap(truck, self.free_at - timedelta(seconds=240))

    def tell(self, store: Store, *, all_readings: bool = False) -> None:
        """Bring what happened since the last time into custody; late readings with the last call, or by half."""
        share = len(self.late) if all_readings else len(self.late) // 2
        self.readings += self.late[:share]
        del self.late[:share]
        with store.commerce() as db:
            take_events(db, self._events)
            add_readings(db, [NewReading(*one, "entered", WHO, one[2]) for one in self.readings[self._given :]])
        self._events.clear()
        self._given = len(self.readings)
