"""A journal for each station, chained by hashes; persons by id; the register; rows that name their station.

Every event is carried over in its order, numbered by its station and hashed. Names of persons move into one table,
from where they can be erased; what a machine did keeps the machine's name.

Revision: 0003, after 0002.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from swap.journal.canonical import canonical_json, without_nan
from swap.journal.chain import FIRST, Entry, entry_hash

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OLD = "station_event_0002"
_CHUNK = 5000
_MACHINES = frozenset({"controller", "commerce", "station_file", "api", "simulated fleet"})
_BY_PERSONS = frozenset({"request.answered", "fault.acknowledged", "bill.reversed"})
"""Kinds of events that only persons cause, whatever they are called."""
_CANCELLED_BY = "cancelled by "


def upgrade() -> None:
    if _events("station_event") and _gap():
        raise RuntimeError("the journal has a gap: look at it with `swap audit` of the release that wrote it")
    _register()
    _stations()
    _keys_by_station()
    persons = _Persons()
    _journal(persons)
    _names_out_of_rows(persons)
    persons.store()


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _events(table: str) -> int:
    return int(op.get_bind().execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())


def _gap() -> bool:
    first, last = op.get_bind().execute(sa.text("SELECT min(id), max(id) FROM station_event")).one()
    return bool(first != 1 or last != _events("station_event"))


# New tables and columns


def _register() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=True),
        sa.Column("known_since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_person"),
        sa.UniqueConstraint("name", name="uq_person_name"),
    )
    op.create_table(
        "pack_kind",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("rated_kwh", sa.Float(), nullable=False),
        sa.Column("ratings", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pack_kind"),
    )
    op.create_table(
        "vehicle_model",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("swap_mode", sa.String(16), nullable=False),
        sa.Column("packs_per_vehicle", sa.Integer(), nullable=False),
        sa.Column("pack_kinds", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_vehicle_model"),
    )


def _stations() -> None:
    db = op.get_bind()
    op.add_column("station", sa.Column("number", sa.Integer(), nullable=True))
    op.add_column("robot_command", sa.Column("station_id", sa.String(32), nullable=True))
    stations = db.execute(sa.text("SELECT id FROM station ORDER BY id")).scalars().all()
    for number, station_id in enumerate(stations, start=1):
        values = {"number": number, "station": station_id, "lanes": f"{station_id}:%"}
        db.execute(sa.text("UPDATE station SET number = :number WHERE id = :station"), values)
        db.execute(
            sa.text("UPDATE robot_command SET station_id = :station WHERE substr(lane_id, 1, :length) = :prefix"),
            {"station": station_id, "length": len(station_id) + 1, "prefix": f"{station_id}:"},
        )
    with op.batch_alter_table("station") as table:
        table.alter_column("number", existing_type=sa.Integer(), nullable=False)
        table.create_unique_constraint("uq_station_number", ["number"])
    with op.batch_alter_table("robot_command") as table:
        table.alter_column("station_id", existing_type=sa.String(32), nullable=False)
        table.create_foreign_key("fk_robot_command_station_id", "station", ["station_id"], ["id"])


def _keys_by_station() -> None:
    """A key that a caller chose is that of its station."""
    for name in ("booking", "swap"):
        with op.batch_alter_table(name) as table:
            table.drop_constraint(f"uq_{name}_idempotency_key", type_="unique")
            table.create_unique_constraint(f"uq_{name}_station_id_idempotency_key", ["station_id", "idempotency_key"])


# The journal


class _Persons:
    """Ids of the persons whose names stand in the rows."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, datetime]] = {}

    def actor(self, name: str, at: datetime) -> str:
        """How the journal names a person."""
        name = " ".join(name.split())[:64]
        if name not in self._known:
            self._known[name] = (f"pe-{secrets.token_hex(8)}", at)
        return f"person:{self._known[name][0]}"

    def store(self) -> None:
        """Write the table."""
        table = sa.table(
            "person", sa.column("id"), sa.column("name"), sa.column("known_since_at", sa.DateTime(timezone=True))
        )
        rows = [{"id": key, "name": name, "known_since_at": at} for name, (key, at) in self._known.items()]
        if rows:
            op.get_bind().execute(table.insert(), rows)


def _create_journal() -> None:
    op.create_table(
        "station_event",
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(48), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("swap_id", sa.String(32), nullable=True),
        sa.Column("pack_id", sa.String(24), nullable=True),
        sa.Column("bay_id", sa.String(64), nullable=True),
        sa.Column("lane_id", sa.String(32), nullable=True),
        sa.Column("cause_seq", sa.BigInteger(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_station_event_station_id"),
        sa.PrimaryKeyConstraint("station_id", "seq", name="pk_station_event"),
    )
    op.create_index("ix_station_event_station_id_kind_seq", "station_event", ["station_id", "kind", "seq"])
    op.create_index("ix_station_event_swap_id", "station_event", ["swap_id"])
    op.create_index("ix_station_event_pack_id", "station_event", ["pack_id"])


def _journal(persons: _Persons) -> None:
    db = op.get_bind()
    _protection("station_event", keep=False)
    for column in ("kind", "pack_id", "station_id", "swap_id"):
        op.drop_index(f"ix_station_event_{column}", "station_event")
    op.rename_table("station_event", _OLD)
    if not _is_sqlite():
        op.execute(f"ALTER TABLE {_OLD} RENAME CONSTRAINT pk_station_event TO pk_{_OLD}")
    _create_journal()
    table = sa.table(
        "station_event",
        *(sa.column(name) for name in Entry.__slots__ if name != "at"),
        sa.column("at", sa.DateTime(timezone=True)),
        sa.column("hash"),
    )
    rows: list[dict[str, Any]] = []
    for row in _chained(persons):
        rows.append(row)
        if len(rows) == _CHUNK:
            db.execute(table.insert(), rows)
            rows = []
    if rows:
        db.execute(table.insert(), rows)
    op.drop_table(_OLD)
    _protection("station_event", keep=True)


def _chained(persons: _Persons) -> Iterator[dict[str, Any]]:
    heads: dict[str, tuple[int, str]] = {}
    seqs = array("Q", [0])
    """Number in its station of the event of each id; ids have no gaps."""
    for old in _old_events():
        seq, previous = heads.get(old.station_id, (0, FIRST))
        at = _utc(old.at)
        by_person = old.kind in _BY_PERSONS or (old.kind == "bill.issued" and old.data.get("kind") == "correction")
        person = by_person or old.actor not in _MACHINES
        entry = Entry(
            station_id=old.station_id,
            seq=seq + 1,
            epoch=1,
            at=at,
            kind=old.kind,
            actor=persons.actor(old.actor, at) if person else old.actor,
            swap_id=old.swap_id,
            pack_id=old.pack_id,
            bay_id=old.bay_id,
            lane_id=old.lane_id,
            cause_seq=None if old.cause_id is None else seqs[old.cause_id],
            data=canonical_json(without_nan(old.data)),
            prev_hash=previous,
        )
        own = entry_hash(entry)
        seqs.append(entry.seq)
        heads[old.station_id] = (entry.seq, own)
        yield {name: getattr(entry, name) for name in Entry.__slots__} | {"hash": own}


def _old_events() -> Iterator[Any]:
    old = sa.table(
        _OLD,
        *(sa.column(n) for n in ("id", "station_id", "kind", "actor", "swap_id", "pack_id", "bay_id", "lane_id")),
        sa.column("cause_id"),
        sa.column("at", sa.DateTime(timezone=True)),
        sa.column("data", sa.JSON()),
    )
    after = 0
    while rows := op.get_bind().execute(sa.select(old).where(old.c.id > after).order_by(old.c.id).limit(_CHUNK)).all():
        yield from rows
        after = rows[-1].id


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _protection(name: str, *, keep: bool) -> None:
    """Take the triggers off that keep rows as they were written, or put them on."""
    if _is_sqlite():
        for action in ("update", "delete"):
            if keep:
                op.execute(
                    f"CREATE TRIGGER {name}_no_{action} BEFORE {action.upper()} ON {name} "
                    f"BEGIN SELECT RAISE(ABORT, '{name} rows are never changed'); END"
                )
            else:
                op.execute(f"DROP TRIGGER {name}_no_{action}")
        return
    for trigger, when, each in (("change", "UPDATE OR DELETE", "ROW"), ("truncate", "TRUNCATE", "STATEMENT")):
        if keep:
            op.execute(
                f"CREATE TRIGGER {name}_no_{trigger} BEFORE {when} ON {name} "
                f"FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        else:
            op.execute(f"DROP TRIGGER {name}_no_{trigger} ON {name}")


# Names of persons elsewhere


def _names_out_of_rows(persons: _Persons) -> None:
    db = op.get_bind()
    at = sa.DateTime(timezone=True)
    request = sa.table("control_request", sa.column("id"), sa.column("requested_by"), sa.column("requested_at", at))
    for row in db.execute(sa.select(request)).all():
        actor = persons.actor(row.requested_by, _utc(row.requested_at))
        db.execute(request.update().where(request.c.id == row.id).values(requested_by=actor))
    fault = sa.table("fault", sa.column("id"), sa.column("acknowledged_by"), sa.column("acknowledged_at", at))
    for row in db.execute(sa.select(fault).where(fault.c.acknowledged_by.is_not(None))).all():
        actor = persons.actor(row.acknowledged_by, _utc(row.acknowledged_at))
        db.execute(fault.update().where(fault.c.id == row.id).values(acknowledged_by=actor))
    swap = sa.table("swap", sa.column("id"), sa.column("end_reason"), sa.column("ended_at", at))
    for row in db.execute(sa.select(swap).where(swap.c.end_reason.startswith(_CANCELLED_BY))).all():
        actor = persons.actor(row.end_reason.removeprefix(_CANCELLED_BY), _utc(row.ended_at))
        db.execute(swap.update().where(swap.c.id == row.id).values(end_reason=f"{_CANCELLED_BY}{actor}"))
    _names_out_of_bills(persons)


def _names_out_of_bills(persons: _Persons) -> None:
    db = op.get_bind()
    bill = sa.table("bill", sa.column("id"), sa.column("kind"), sa.column("issued_at", sa.DateTime(timezone=True)))
    line = sa.table("bill_line", sa.column("bill_id"), sa.column("line_no"), sa.column("basis", sa.JSON()))
    corrected = (
        sa.select(line, bill.c.issued_at)
        .join_from(line, bill, bill.c.id == line.c.bill_id)
        .where(bill.c.kind == "correction")
    )
    rows = [row for row in db.execute(corrected).all() if row.basis.get("confirmed_by")]
    if not rows:
        return
    _protection("bill_line", keep=False)
    for row in rows:
        basis = row.basis | {"confirmed_by": persons.actor(row.basis["confirmed_by"], _utc(row.issued_at))}
        one = (line.c.bill_id == row.bill_id) & (line.c.line_no == row.line_no)
        db.execute(line.update().where(one).values(basis=basis))
    _protection("bill_line", keep=True)


def downgrade() -> None:
    if _events("station_event"):
        raise RuntimeError("a journal by station does not go back into one: restore the copy made before the upgrade")
    _protection("station_event", keep=False)
    op.drop_table("station_event")
    op.create_table(
        "station_event",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(48), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("swap_id", sa.String(32), nullable=True),
        sa.Column("pack_id", sa.String(24), nullable=True),
        sa.Column("bay_id", sa.String(64), nullable=True),
        sa.Column("lane_id", sa.String(32), nullable=True),
        sa.Column("cause_id", sa.BigInteger(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_station_event_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_station_event"),
    )
    for column in ("kind", "pack_id", "station_id", "swap_id"):
        op.create_index(f"ix_station_event_{column}", "station_event", [column])
    _protection("station_event", keep=True)
    for name in ("booking", "swap"):
        with op.batch_alter_table(name) as table:
            table.drop_constraint(f"uq_{name}_station_id_idempotency_key", type_="unique")
            table.create_unique_constraint(f"uq_{name}_idempotency_key", ["idempotency_key"])
    with op.batch_alter_table("robot_command") as table:
        table.drop_constraint("fk_robot_command_station_id", type_="foreignkey")
        table.drop_column("station_id")
    with op.batch_alter_table("station") as table:
        table.drop_constraint("uq_station_number", type_="unique")
        table.drop_column("number")
    for table_name in ("vehicle_model", "pack_kind", "person"):
        op.drop_table(table_name)
