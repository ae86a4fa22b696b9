"""How long the audit takes, against a loop that reads, parses and hashes the same rows in the same run.

The databases are written by a script into a temporary folder: swaps of the first lane of an example station, each
with its steps, commands, moves, charging and bill, one after the other, so that the audit finds nothing wrong.
Each measurement is a process of its own, so that its memory is its own. Each size is ten times the one before;
`SWAPS=100000` goes on to so many (about a quarter of an hour, and 3.5 GB of disk), `--quick` measures the first.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

from sqlalchemy import JSON

from robotics.port import CommandCode
from scheduler.types import PackState
from swap import tables
from swap.audit import audit
from swap.audit.rows import instant, shape
from swap.config.loading import load_station
from swap.config.seed import sync_station
from swap.config.station_file import StationConfig
from swap.journal.canonical import canonical_json
from swap.journal.chain import Entry, entry_hash
from swap.messages.base import Event
from swap.messages.commerce import BilledLine, BillIssued
from swap.messages.events import SwapCheck, SwapCompleted, SwapDispatched, SwapQueued, SwapStepDone, SwapStepStarted
from swap.messages.packs import ChargeEnded, ChargeStarted, PackMoved, PackRead, PackStateChanged
from swap.station.sequence.recipe import COMPLETED, Place, StepTable, load_recipe
from swap.store import Store
from swap.tables import StationEvent

STATION = Path(__file__).parents[1] / "examples" / "yangquan_mine" / "station.toml"
START_AT = datetime(2026, 9, 1, tzinfo=UTC)
SIZES = (1_000, 10_000)
AT_MOST_PER_LOOP, AT_MOST_TENFOLD, AT_MOST_MB = 6.0, 11.0, 300.0
_SEQ_MAX = 65535
_LOT = 2000
_MODELS = [getattr(tables, name) for name in tables.__all__ if hasattr(getattr(tables, name), "__table__")]
_SUBJECT = ("swap_id", "pack_id", "bay_id", "lane_id", "cause_seq")
FULL_KWH, EMPTY_KWH = 260.0, 100.0


def _stored(value: object) -> object:
    """A value as SQLite keeps it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return canonical_json(value) if isinstance(value, dict | list) else value


@dataclass
class Writer:
    """Writes swaps of one lane as the station would, without asking anybody."""

    connection: sqlite3.Connection
    config: StationConfig
    table: StepTable
    at: datetime = START_AT
    seq: int = 0
    previous: str = ""
    number: int = 0
    rows: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    energy: dict[str, float | None] = field(default_factory=dict)
    """What each pack on a truck was put on with."""
    cycles: dict[str, float] = field(default_factory=dict)

    @property
    def station(self) -> str:
        return self.config.station.id

    def key(self, bay: str) -> str:
        return f"{self.station}:{bay}"

    def put(self, table: str, **values: object) -> None:
        lot = self.rows.setdefault(table, [])
        lot.append(values)
        if len(lot) >= _LOT:
            self.flush(table)

    def flush(self, *tables: str) -> None:
        for table in tables or tuple(self.rows):
            lot = self.rows.pop(table, [])
            if lot:
                marks = ", ".join(f":{name}" for name in lot[0])
                stored = [{name: _stored(value) for name, value in row.items()} for row in lot]
                self.connection.executemany(f"INSERT INTO {table} ({', '.join(lot[0])}) VALUES ({marks})", stored)

    def tell(self, event: Event, actor: str = "controller", **about: object) -> None:
        self.seq += 1
        subject: dict[str, Any] = {name: about.get(name) for name in _SUBJECT}
        data = canonical_json(event.payload())
        entry = Entry(
            station_id=self.station,
            seq=self.seq,
            epoch=1,
            at=self.at,
            kind=event.kind,
            actor=actor,
            data=data,
            prev_hash=self.previous,
            **subject,
        )
        self.previous = entry_hash(entry)
        values = {name: getattr(entry, name) for name in Entry.__slots__}
        self.put("station_event", **values, hash=self.previous)

    def state(self, pack: str, before: str, trigger: str, after: str, bay: str | None = None) -> None:
        self.tell(
            PackStateChanged(before=PackState(before), after=PackState(after), trigger=trigger),
            pack_id=pack,
            bay_id=bay,
        )

    def swap(self, number: int, vehicle: Any, old: str, new: str, new_bay: str, old_bay: str) -> None:
        """One truck's swap, and then the charging of the pack it brought."""
        config, lane = self.config, self.config.lanes[0].id
        swap_id, key = f"sw-{number:012d}", f"{config.station.id}:{lane}"
        about = {"swap_id": swap_id, "lane_id": lane}
        new_key, old_key = f"{self.station}:{new_bay}", f"{self.station}:{old_bay}"
        arrived_at = self.at
        self.tell(SwapQueued(booking_id=None, seats=1, vehicle_id=vehicle.id, priority=0), "api", swap_id=swap_id)
        self.state(new, "ready", "reserve", "reserved", new_key)
        first = next(iter(self.table.by_state))
        self.tell(
            SwapDispatched(
                state=first,
                swap_order=self.table.swap_order,
                packs=(new,),
                from_bays=(new_bay,),
                to_bays=(old_bay,),
                recipe=self.table.recipe,
            ),
            **about,
        )
        checks: dict[str, dict[str, object]] = {}
        state, where = first, {old: f"vehicle:{vehicle.id}:1", new: f"bay:{new_key}"}
        lsoe, ended_at = self.energy[old], self.at
        while state != COMPLETED:
            row = self.table.by_state[state]
            for check in row.checks:
                checks[check.value] = {"result": "pass", "tries": 1}
                self.tell(SwapCheck(check=check.value, result="pass", tries=1), **about)
            seq, issued_at = None, self.at
            if row.command is not None:
                self.number = self.number % _SEQ_MAX + 1
                seq, code = self.number, CommandCode(row.command)
                started = SwapStepStarted(
                    state=state, seq=seq, command=code.name, tries=0, source=0, target=0, vehicle_tag=vehicle.tag
                )
                self.tell(started, **about)
            self.at += timedelta(seconds=row.nominal_s)
            if row.command is not None:
                self.put(
                    "robot_command",
                    station_id=self.station,
                    lane_id=key,
                    seq=seq,
                    swap_id=swap_id,
                    state=state,
                    code=int(code),
                    source=0,
                    target=0,
                    vehicle_tag=vehicle.tag,
                    issued_at=issued_at,
                    ended_at=self.at,
                    result="done",
                    fault_code=0,
                )
            if row.move is not None:
                pack = old if row.move.pack == "old" else new
                self.moved(row.move.target, pack, where, vehicle, key, old_key, about)
            following = row.next_state
            self.tell(SwapStepDone(state=state, next=following, seq=seq, took_s=row.nominal_s), **about)
            state = following
        ended_at = self.at
        self.tell(SwapCompleted(seats=1, exchanged=(1,)), **about)
        completed_seq = self.seq
        self.put(
            "swap",
            id=swap_id,
            station_id=self.station,
            vehicle_id=vehicle.id,
            lane_id=lane,
            recipe=self.table.recipe,
            pack_count=1,
            priority=0,
            state=COMPLETED,
            phase="pending",
            tries=0,
            entered_at=ended_at,
            hold_detail={},
            checks=checks,
            arrived_at=arrived_at,
            dispatched_at=arrived_at,
            ended_at=ended_at,
            end_reason=COMPLETED,
        )
        self.put(
            "swap_seat",
            swap_id=swap_id,
            seat=1,
            old_pack_id=old,
            new_pack_id=new,
            old_bay_id=old_key,
            new_bay_id=new_key,
            last_settled_soe_kwh=lsoe,
            returned_soe_kwh=EMPTY_KWH,
            returned_soc_pct=40.0,
            installed_soe_kwh=FULL_KWH,
            installed_soc_pct=95.0,
            exchanged=1,
        )
        self.tell(
            PackRead(energy_kwh=EMPTY_KWH, soc_pct=40.0, soh_pct=100.0, temp_max_c=25.0),
            swap_id=swap_id,
            pack_id=old,
            bay_id=old_key,
        )
        self.bill(swap_id, vehicle.fleet, old, lsoe, completed_seq)
        self.charged(old, old_key)

    def moved(
        self, target: Place, pack: str, where: dict[str, str], vehicle: Any, key: str, old_key: str, about: Any
    ) -> None:
        """A confirmed move of a step."""
        source, bay, held = where[pack], None, {}
        if target is Place.GRIPPER:
            where[pack], change = (
                f"gripper:{key}",
                ("on_vehicle" if source.startswith("vehicle") else "reserved", "pick", "picked"),
            )
        elif target is Place.SEAT:
            where[pack], change = f"vehicle:{vehicle.id}:1", ("picked", "install", "on_vehicle")
            held = {"energy_kwh": FULL_KWH, "soc_pct": 95.0}
            self.energy[pack] = FULL_KWH
        else:
            where[pack], bay, change = f"bay:{old_key}", old_key, ("picked", "store", "received")
        self.tell(PackMoved(source=source, target=where[pack], **held), pack_id=pack, bay_id=bay, **about)  # type: ignore[arg-type]
        self.state(pack, change[0], change[1], change[2], bay)

    def bill(self, swap_id: str, payer: str, pack: str, lsoe: float | None, cause: int) -> None:
        """Its bill, by the readings."""
        used = round(((lsoe or 0.0) - EMPTY_KWH) * 100)
        kwh, bill_id = max(0, used), f"bl{swap_id[2:]}"
        flag = None if used >= 0 else "charged_elsewhere"
        lines = tuple(
            BilledLine(
                kind=kind,
                seat=1,
                pack_id=pack,
                payee_id=self.config.station.operator,
                energy_centi_kwh=kwh,
                unit_price_1e4_yuan=price,
                amount_fen=(kwh * price + 5000) // 10000,
                basis={"lsoe_kwh": str(lsoe), "usoe_kwh": str(EMPTY_KWH), "flag": flag},
                buyer_id=payer,
                sale="own",
                tax_included=True,
                tax_category=category,
                tax_rate_bp=rate_bp,
                tax_fen=self.tax_fen((kwh * price + 5000) // 10000, rate_bp),
            )
            for kind, price, category, rate_bp in (
                ("energy", 4000, "electricity", 1300),
                ("service", 3000, "service", 600),
            )
        )
        total = sum(line.amount_fen for line in lines)
        flags = () if flag is None else (flag,)
        self.put(
            "bill",
            id=bill_id,
            station_id=self.station,
            swap_id=swap_id,
            kind="swap",
            payer_id=payer,
            issued_at=self.at,
            total_fen=total,
            flags=",".join(flags),
        )
        for number, line in enumerate(lines, start=1):
            self.put("bill_line", bill_id=bill_id, line_no=number, **line.model_dump())
        issued = BillIssued(bill_id=bill_id, bill="swap", total_fen=total, flags=flags, payer_id=payer, lines=lines)
        self.tell(issued, "commerce", swap_id=swap_id, cause_seq=cause)

    @staticmethod
    def tax_fen(amount_fen: int, rate_bp: int) -> int:
        """Tax in an amount, half up."""
        return (2 * amount_fen * rate_bp + 10_000 + rate_bp) // (2 * (10_000 + rate_bp))

    def charged(self, pack: str, bay: str) -> None:
        """A pack that has come back is charged until it is ready."""
        self.state(pack, "received", "identify", "identified", bay)
        self.state(pack, "identified", "wait", "waiting", bay)
        started_at = self.at
        self.tell(ChargeStarted(energy_kwh=EMPTY_KWH, meter_kwh=0.0), pack_id=pack, bay_id=bay)
        self.state(pack, "waiting", "charge", "charging", bay)
        self.at += timedelta(minutes=30)
        gained = FULL_KWH - EMPTY_KWH
        self.tell(ChargeEnded(gained_kwh=gained, meter_kwh=170.0), pack_id=pack, bay_id=bay)
        self.state(pack, "charging", "ready", "ready", bay)
        self.cycles[pack] = self.cycles.get(pack, 0.0) + gained
        self.put(
            "charge_session",
            station_id=self.station,
            pack_id=pack,
            bay_id=bay,
            started_at=started_at,
            ended_at=self.at,
            start_energy_kwh=EMPTY_KWH,
            end_energy_kwh=FULL_KWH,
            start_meter_kwh=0.0,
            end_meter_kwh=170.0,
        )


def write(path: Path, swaps: int) -> None:
    """A database with so many completed swaps."""
    config = load_station(STATION)
    store = Store(f"sqlite:///{path}")
    store.upgrade()
    sync_station(store, config, START_AT)
    store.close()
    table = load_recipe(config.lanes[0].recipe, config.folder).table(1, config.lanes[0].swap_order)
    with closing(sqlite3.connect(path)) as connection:
        # Nobody else has this file yet: pages go straight into it, and not first into a log as large.
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-50000")
        last = connection.execute("SELECT seq, hash FROM station_event ORDER BY seq DESC LIMIT 1").fetchone()
        writer = Writer(connection, config, table, seq=last[0], previous=last[1])
        racked = connection.execute("SELECT id, bay_id FROM pack WHERE bay_id IS NOT NULL ORDER BY bay_id").fetchall()
        taken = {bay for _, bay in racked}
        bays = connection.execute("SELECT id FROM bay WHERE role = 'rack' ORDER BY position").fetchall()
        free = next(bay for (bay,) in bays if bay not in taken)
        trucks = {vehicle.id: vehicle for vehicle in config.vehicles}
        on_truck: dict[str, str] = {}
        for pack, vehicle_id, settled in connection.execute(
            "SELECT id, vehicle_id, settled_soe_kwh FROM pack WHERE vehicle_id IS NOT NULL ORDER BY vehicle_id"
        ).fetchall():
            on_truck[vehicle_id] = pack
            writer.energy[pack] = settled
        for pack, bay in racked:
            writer.state(pack, "received", "identify", "identified", bay)
            writer.state(pack, "identified", "ready", "ready", bay)
        ready = list(racked)
        order = sorted(on_truck)
        for number in range(swaps):
            vehicle = trucks[order[number % len(order)]]
            new, new_bay = ready.pop(0)
            old = on_truck[vehicle.id]
            writer.at += timedelta(minutes=2)
            names = (new_bay.partition(":")[2], free.partition(":")[2])
            writer.swap(number, vehicle, old, new, *names)
            on_truck[vehicle.id], free = new, new_bay
            ready.append((old, writer.key(names[1])))
        writer.flush()
        _stand(connection, writer, ready, on_truck)
        connection.commit()


def _stand(
    connection: sqlite3.Connection, writer: Writer, ready: list[tuple[str, str]], on_truck: dict[str, str]
) -> None:
    """Packs and lanes as they stand after all of it."""
    since = dict(
        connection.execute(
            "SELECT pack_id, max(at) FROM station_event WHERE kind IN ('pack.state', 'pack.moved') GROUP BY pack_id"
        )
    )
    connection.execute("UPDATE pack SET bay_id = NULL, vehicle_id = NULL, seat = NULL, off_site = 1")
    values: list[tuple[object, ...]] = [(bay, None, None, None, pack) for pack, bay in ready]
    values += [(None, vehicle, 1, writer.energy[pack], pack) for vehicle, pack in on_truck.items()]
    for bay, vehicle, seat, settled, pack in values:
        cycles = writer.cycles.get(str(pack), 0)
        connection.execute(
            "UPDATE pack SET bay_id = ?, vehicle_id = ?, seat = ?, settled_soe_kwh = ?, off_site = 0, state = ?, "
            "state_since_at = ?, cycles_kwh = ? WHERE id = ?",
            (
                bay,
                vehicle,
                seat,
                settled,
                "ready" if bay else "on_vehicle",
                since[pack],
                cycles,
                pack,
            ),
        )
    lane = writer.config.lanes[0].id
    connection.execute("UPDATE station SET last_seq_by_lane = ?", (json.dumps({lane: writer.number}),))


def loop(path: Path) -> int:
    """Read, parse and hash every row; how many there were."""
    store, count = Store(f"sqlite:///{path}"), 0
    with store.reading() as db:
        for model in _MODELS:
            form = shape(model)
            names = [name for name, _, _ in form.columns]
            texts = [names.index(name) for name in names if isinstance(form.table.columns[name].type, JSON)]
            for row in db.execute(form.query.execution_options(yield_per=500)):
                count += 1
                for place in texts:
                    json.loads(row[place] or "null")
                if model is StationEvent:
                    json.loads(row.data)
                    fields = row._asdict()
                    del fields["hash"]
                    entry_hash(Entry(**fields | {"at": instant(row.at)}))
    store.close()
    return count


def measured(path: Path) -> dict[str, object]:
    """Processor seconds of the loop and of the audit in this process, and its memory."""
    start = process_time()
    rows = loop(path)
    loop_s = process_time() - start
    store = Store(f"sqlite:///{path}")
    start = process_time()
    with store.reading() as db:
        report = audit(db)
    audit_s = process_time() - start
    store.close()
    wrong = [text for i in report.invariants for text in i.violations]
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "loop_s": loop_s, "audit_s": audit_s, "memory_mb": memory_mb, "wrong": wrong[:5]}


def _of(swaps: int, folder: Path) -> dict[str, Any]:
    path = folder / f"{swaps}.db"
    write(path, swaps)
    command = [sys.executable, "-m", "benchmarks.audit", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert not found["wrong"], found["wrong"]
    return found


def _sizes(quick: bool) -> tuple[int, ...]:
    if quick:
        return SIZES[:1]
    most = int(os.environ.get("SWAPS") or SIZES[-1])
    sizes = [min(SIZES[0], most)]
    while sizes[-1] < most:
        sizes.append(min(10 * sizes[-1], most))
    return tuple(sizes)


def run(quick: bool = False) -> dict[str, object]:
    """The audit over the loop, ten times the rows over once, memory, and whether all are within their limits."""
    sizes = _sizes(quick)
    results: dict[str, object] = {}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for swaps in sizes:
            found[swaps] = one = _of(swaps, Path(folder))
            results[f"{swaps}_swaps_rows"] = one["rows"]
            results[f"{swaps}_swaps_loop_s"] = round(one["loop_s"], 3)
            results[f"{swaps}_swaps_audit_s"] = round(one["audit_s"], 3)
            results[f"{swaps}_swaps_per_loop"] = round(one["audit_s"] / one["loop_s"], 2)
            results[f"{swaps}_swaps_memory_mb"] = round(one["memory_mb"], 1)
    agree = all(
        one["audit_s"] <= AT_MOST_PER_LOOP * one["loop_s"] and one["memory_mb"] <= AT_MOST_MB for one in found.values()
    )
    for few, many in pairwise(sizes):
        tenfold = found[many]["rows"] / found[few]["rows"] / 10
        grown, loop_grown = (found[many][name] / found[few][name] / tenfold for name in ("audit_s", "loop_s"))
        results[f"{many}_swaps_time_for_tenfold_rows"] = round(grown, 2)
        results[f"{many}_swaps_loop_for_tenfold_rows"] = round(loop_grown, 2)
        # The loop is linear by what it does: where it took more than ten times as long, the machine had grown slower.
        agree = agree and grown <= AT_MOST_TENFOLD * max(loop_grown / 10, 1.0)
    return results | {"agree": agree}


if __name__ == "__main__":
    print(json.dumps(measured(Path(sys.argv[1]))))
