"""`swap ledger` and `swap reconcile`: the books for other programs, and a month's energy explained."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from api.cli.common import (
    FOUND,
    OK,
    DatabaseUrl,
    Json,
    Station,
    fail,
    print_json,
    print_table,
    read_settings,
    read_station,
)
from api.cli.data import existing_store
from api.terminal import echo, text

commands = typer.Typer()
ledger = typer.Typer(no_args_is_help=True, help="The books of the firms.")
commands.add_typer(ledger, name="ledger")


@ledger.command(epilog="Example: `swap ledger export --beancount --from 2026-01-01 --to 2027-01-01 > books.beancount`")
def export(
    beancount: Annotated[bool, typer.Option("--beancount", help="As a beancount file: the one form there is.")] = False,
    from_: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="First day; what was before comes as opening balances."),
    ] = None,
    to: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The day after the last.")] = None,
    zone: Annotated[str, typer.Option("--zone", help="Time zone whose days count.")] = "Asia/Shanghai",
    database_url: DatabaseUrl = None,
) -> None:
    """Print the ledger so that another program can check it: `bean-check FILE`."""
    from zoneinfo import ZoneInfo

    from swap.commerce.ledger.beancount import export as lines
    from swap.zones import zone_names

    if not beancount:
        fail(text("name the form: --beancount"))
    if zone not in zone_names():
        fail(text("{zone} is no time zone; allowed: a name such as Asia/Shanghai", zone=zone))
    if from_ is not None and to is not None and to <= from_:
        fail(text("--to {to} is not after --from {from_}", to=to.date(), from_=from_.date()))
    local = ZoneInfo(zone)
    from_at, to_at = (None if day is None else day.replace(tzinfo=local) for day in (from_, to))
    store = existing_store(database_url)
    try:
        with store.reading_commerce() as session:
            for line in lines(session, local, from_at=from_at, to_at=to_at):
                echo(line)
    finally:
        store.close()
    raise typer.Exit(OK)


@ledger.command(name="bank-file", epilog="Example: `swap ledger bank-file june.csv --firm operator`")
def bank_file(
    file: Annotated[Path, typer.Argument(help="Statement of the bank as CSV.", show_default=False)],
    firm: Annotated[str, typer.Option("--firm", help="Firm whose bank account it is.", show_default=False)],
    database_url: DatabaseUrl = None,
) -> None:
    """Take a bank's statement, whole or not at all; lines that nobody can explain go on the work list."""
    from datetime import UTC

    from swap.commerce.payments.bank import take_bank_file

    if not file.is_file():
        fail(text("there is no file {file}", file=file))
    store = existing_store(database_url)
    try:
        with store.commerce() as session:
            found = take_bank_file(session, firm, file.read_bytes(), datetime.now(UTC))
    finally:
        store.close()
    echo(text("{lines} line(s) taken, {open} on the work list", lines=len(found.lines), open=found.open_count))


@ledger.command(
    name="play-acquirer", epilog="Example: `swap ledger play-acquirer ao-… --channel channel_a --amount 150`"
)
def play_acquirer(
    order: Annotated[str, typer.Argument(help="Order that a payment or top-up has made.", show_default=False)],
    channel: Annotated[str, typer.Option("--channel", help="channel_a or channel_b.", show_default=False)],
    amount: Annotated[str, typer.Option("--amount", help="Yuan of the order.", show_default=False)],
    number: Annotated[str, typer.Option("--number", help="The acquirer's number of the payment.")] = "1",
    times: Annotated[int, typer.Option("--times", min=1, max=100, help="How often it tells.")] = 1,
    server: Annotated[str, typer.Option("--server", help="Address of the station.")] = "http://127.0.0.1:8080",
) -> None:
    """Pay an order as the simulated acquirer would: its signed call, with SWAP_ACQUIRER_SECRET."""
    from datetime import UTC

    import httpx

    from sim.live.acquirer import CALLBACK, fee_yuan, paid_call

    secret = read_settings().acquirer_secret
    if secret is None:
        fail(text("set SWAP_ACQUIRER_SECRET to what the station was started with"))
    for _ in range(times):
        call = paid_call(
            secret.get_secret_value(),
            channel=channel,
            number=number,
            order_id=order,
            amount_yuan=amount,
            at=datetime.now(UTC),
            fee_yuan=fee_yuan(amount),
        )
        try:
            answer = httpx.post(f"{server}{CALLBACK}", content=call.body, headers=dict(call.headers))
        except httpx.HTTPError as error:
            fail(text("{server} does not answer: {reason}", server=server, reason=error))
        echo(f"{answer.status_code} {answer.text}")
        if answer.is_error:
            raise typer.Exit(FOUND)


@commands.command(epilog="Example: `swap reconcile examples/yangquan_mine/station.toml --month 2026-06`")
def reconcile(
    station: Station,
    month: Annotated[str, typer.Option("--month", help="Such as 2026-06.", show_default=False)],
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Explain a month's energy: station meter, charger counters, packs, swaps, stock, and what is left."""
    from swap.reading.reconciliation import month_of, read_month

    config = read_station(station)
    store = existing_store(database_url)
    try:
        with store.reading_station(config.station.id) as session:
            found = read_month(session, *month_of(month, config.station.zone))
    finally:
        store.close()
    if as_json:
        print_json(found.model_dump(mode="json") | {"stock_change_kwh": str(found.stock_change_kwh)})
        return
    print_table(
        (text("energy of the month"), "kWh"),
        [
            (text("station meter"), found.meter_kwh),
            (text("+ from the sun"), found.pv_kwh),
            (text("− into the storage"), found.storage_kwh),
            (text("− charger counters"), found.chargers_kwh),
            (text("= other use of the station"), found.other_use_kwh),
            (text("charger counters − into packs = losses of charging"), found.charging_loss_kwh),
            (text("into packs"), found.into_packs_kwh),
            (text("− handed out to trucks"), found.handed_out_kwh),
            (text("+ taken back from trucks"), found.taken_back_kwh),
            (text("− change of the stock"), found.stock_change_kwh),
            (text("= not explained"), found.unexplained_kwh),
        ],
        right=(1,),
    )
    echo(
        text(
            "{hours} h without a reading of the station meter; {unmetered} of {sessions} sessions without a counter; "
            "{unread} of {exchanges} exchanges without a reading",
            hours=found.unread_h,
            unmetered=found.sessions_unmetered,
            sessions=found.sessions,
            unread=found.exchanges_unread,
            exchanges=found.exchanges,
        )
    )
