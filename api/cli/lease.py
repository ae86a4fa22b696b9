"""`swap lease` and `swap custody`: rents of a month, contracts, and who held a pack."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from api.cli.common import DatabaseUrl, Json, fail, print_json, print_table
from api.cli.data import existing_store
from api.terminal import echo, text

commands = typer.Typer()
lease = typer.Typer(no_args_is_help=True, help="Lease contracts and their rents.")
custody = typer.Typer(no_args_is_help=True, help="Who held which pack.")
commands.add_typer(lease, name="lease")
commands.add_typer(custody, name="custody")

Pack = Annotated[str, typer.Option("--pack", help="Code of the pack.", show_default=False)]


@lease.command("rent-run", epilog="Example: `swap lease rent-run --month 2026-06`")
def rent_run(
    month: Annotated[str, typer.Option("--month", help="Month that has ended, such as 2026-06.", show_default=False)],
    as_known: Annotated[
        bool,
        typer.Option("--as-known", help="Though a journal that `swap commerce import` took in ends within the month."),
    ] = False,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Charge the rents of a month, and of earlier ones that are open. A second time changes nothing."""
    from swap.commerce.leases.rent import run_rent
    from swap.commerce.posting import post_charges

    store, at = existing_store(database_url), datetime.now(UTC)
    try:
        report = run_rent(store, month, at, as_known=as_known)
        post_charges(store, at)
    finally:
        store.close()
    if as_json:
        print_json(dataclasses.asdict(report))
        return
    if not report.months:
        echo(text("the rents of {month} have been charged", month=month))
        return
    echo(
        text(
            "{months}: {contracts} contracts, {charges} charges",
            months=", ".join(report.months),
            contracts=report.contracts,
            charges=len(report.charges),
        )
    )


@lease.command(epilog="Example: `swap lease draft contract.toml --by 'Wang'`")
def draft(
    file: Annotated[Path, typer.Argument(help="Contract file (TOML), as docs/leases.md has it.", show_default=False)],
    by: Annotated[str, typer.Option("--by", help="Name of the person who does it.", show_default=False)],
    database_url: DatabaseUrl = None,
) -> None:
    """Put a contract on record as a draft, from a file."""
    import tomllib

    from pydantic import ValidationError

    from swap.commerce.leases.contracts import draft as put_on_record
    from swap.commerce.leases.terms import LeaseTerms
    from swap.register.persons import person_actor

    if not file.is_file():
        fail(text("there is no file {file}", file=file))
    try:
        terms = LeaseTerms.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        fail(f"{file}: {error}")
    except ValidationError as error:
        lines = [
            f"  - {'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)
        ]
        fail("\n".join([f"{file}:", *lines]))
    store, at = existing_store(database_url), datetime.now(UTC)
    try:
        with store.commerce() as db:
            echo(put_on_record(db, terms, at=at, actor=person_actor(db, by, at)))
    finally:
        store.close()


@lease.command(epilog="Example: `swap lease states`")
def states() -> None:
    """The states of a contract and what leads from one to the next, as Markdown."""
    from swap.commerce.leases.states import LEASE

    echo(LEASE.markdown())


@custody.command(epilog="Example: `swap custody export --pack 001PB…`")
def export(pack: Pack, database_url: DatabaseUrl = None) -> None:
    """The life-cycle events of a pack, one JSON object a line: in, out, swapped, another holder."""
    import json

    from swap.commerce.custody.show import life_events_of
    from swap.commerce.custody.take import take_journals

    store = existing_store(database_url)
    try:
        take_journals(store)
        with store.reading_commerce() as db:
            for event in life_events_of(db, pack):
                echo(json.dumps(dataclasses.asdict(event), ensure_ascii=False, default=lambda at: at.isoformat()))
    finally:
        store.close()


@custody.command(epilog="Example: `swap custody use --owner bank --month 2026-06`")
def use(
    owner: Annotated[str, typer.Option("--owner", help="Firm that owns the packs.", show_default=False)],
    month: Annotated[str, typer.Option("--month", help="Month, such as 2026-06.", show_default=False)],
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """What each pack of an owner did in a month (UTC), and what it earned."""
    from swap.commerce.custody.show import pack_uses
    from swap.commerce.custody.take import take_journals
    from swap.commerce.leases.periods import is_month, month_days

    if not is_month(month):
        fail(text("{month} is no month, such as 2026-06", month=month))
    first = month_days(month).first
    from_at = datetime(first.year, first.month, 1, tzinfo=UTC)
    until_at = from_at + timedelta(days=month_days(month).count)
    store = existing_store(database_url)
    try:
        take_journals(store)
        with store.reading_commerce() as db:
            found = pack_uses(db, owner, from_at, until_at, month)
    finally:
        store.close()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    print_table(
        (text("pack"), text("on vehicles, h"), text("share"), text("installed"), text("income, yuan")),
        [(one.pack_id, one.on_vehicles_h, one.share, one.installed, one.income_yuan) for one in found],
        right=(1, 2, 3, 4),
    )
