"""`swap user` and `swap token`: accounts without the HTTP interface, for the first administrator and for trying out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.common import DatabaseUrl, Json, fail, print_json, print_table, read_settings
from api.cli.data import existing_store
from api.terminal import echo, language, text

if TYPE_CHECKING:
    from swap.identity.accounts import UserRecord

commands = typer.Typer()
user = typer.Typer(no_args_is_help=True, help="Accounts of people.")
commands.add_typer(user, name="user")

ACTOR = "command_line"
Login = Annotated[str, typer.Argument(help="What the person signs in with.", show_default=False)]


@commands.command(epilog='Example: `curl -H "Authorization: Bearer $(swap token --role driver)" …`')
def token(
    role: Annotated[str, typer.Option("--role", help="Role of the account, such as fleet_operator.")],
    database_url: DatabaseUrl = None,
) -> None:
    """Print an access token of the account for trying out that has a role; in development only."""
    from datetime import UTC, datetime

    from swap.identity.accounts import user_of_login
    from swap.identity.rights import Role
    from swap.identity.sign_in import tokens_for

    if read_settings(database_url=database_url).environment != "development":
        fail(text("tokens without a password are given in development only; sign in with POST /api/v1/auth/login"))
    if role not in set(Role):
        fail(text("there is no role {role}; there are {roles}", role=role, roles=", ".join(Role)))
    store = existing_store(database_url)
    try:
        with store.identity() as db:
            one = user_of_login(db, role)
            if not one.demo or one.disabled_at is not None:
                fail(text("{login} is no account for trying out that is in use", login=role))
            tokens = tokens_for(db, one.user_id, datetime.now(UTC))
    finally:
        store.close()
    echo(tokens.access_token)


@user.command(
    epilog="Example: `swap user create li.ming --name 'Li Ming' --firm fleet-a --role driver --vehicle YQ-001`"
)
def create(
    login: Login,
    name: Annotated[str, typer.Option("--name", help="The person's name.")],
    firm: Annotated[str, typer.Option("--firm", help="Firm that the person belongs to, by its id in the register.")],
    role: Annotated[list[str], typer.Option("--role", help="What the person is there for; may be given again.")],
    station: Annotated[str | None, typer.Option("--station", help="The one station the person works at.")] = None,
    vehicle: Annotated[
        list[str] | None,
        typer.Option("--vehicle", help="A driver's own vehicle; may be given again. None: all of the firm's."),
    ] = None,
    ask_password: Annotated[bool, typer.Option("--ask-password", help="Type the password, unseen.")] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Make an account. Its password is printed this once, unless it is typed."""
    from datetime import UTC, datetime

    from swap.identity import secrets
    from swap.identity.accounts import create_user

    password = _password(ask=ask_password)
    hashed = secrets.hashed(secrets.password_text(password))
    store = existing_store(database_url)
    try:
        with store.identity() as db:
            made = create_user(
                db,
                login=login,
                name=name,
                organisation_id=firm,
                roles=role,
                station_id=station,
                vehicle_ids=vehicle or (),
                password_hash=hashed,
                actor=ACTOR,
                at=datetime.now(UTC),
            )
    finally:
        store.close()
    _tell(made, None if ask_password else password)


def _password(*, ask: bool) -> str:
    import secrets as chance

    if not ask:
        return chance.token_urlsafe(12)
    return str(typer.prompt(text("Password"), hide_input=True, confirmation_prompt=True))


def _tell(made: UserRecord, password: str | None) -> None:
    echo(text("{login}: account {id} of {name}", login=made.login, id=made.user_id, name=made.name))
    if password is not None:
        echo(text("password, shown this once: {password}", password=password))


@user.command(name="list", epilog="Example: `swap user list --json`")
def list_(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """Print the accounts."""
    from swap.identity.accounts import list_users

    store = existing_store(database_url)
    try:
        with store.reading_identity() as db:
            found, _ = list_users(db, limit=100_000)
    finally:
        store.close()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    words = language()
    print_table(
        (text("login"), text("name"), text("firm"), text("roles"), text("in use")),
        [
            (
                one.login,
                one.name,
                one.organisation_id,
                ", ".join(words.word("account_role", role) for role in one.roles),
                text("no") if one.disabled_at else text("yes"),
            )
            for one in found
        ],
    )


@user.command(epilog="Example: `swap user disable li.ming`")
def disable(
    login: Login,
    enable: Annotated[bool, typer.Option("--enable", help="Let it be used again instead.")] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Let nobody sign in with an account any more; every sign-in of it ends now."""
    from datetime import UTC, datetime

    from swap.identity.accounts import change_user, user_of_login

    store = existing_store(database_url)
    try:
        with store.identity() as db:
            one = user_of_login(db, login)
            change_user(db, one.user_id, disabled=not enable, actor=ACTOR, at=datetime.now(UTC))
    finally:
        store.close()
    echo(text("{login}: in use", login=one.login) if enable else text("{login}: disabled", login=one.login))


@user.command(name="reset-password", epilog="Example: `swap user reset-password li.ming`")
def reset_password(
    login: Login,
    ask_password: Annotated[bool, typer.Option("--ask-password", help="Type the password, unseen.")] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Give an account another password, printed this once; every sign-in of it ends now."""
    from datetime import UTC, datetime

    from swap.identity import secrets
    from swap.identity.accounts import set_password, user_of_login

    password = _password(ask=ask_password)
    hashed = secrets.hashed(secrets.password_text(password))
    store = existing_store(database_url)
    try:
        with store.identity() as db:
            one = user_of_login(db, login)
            set_password(db, one.user_id, hashed, actor=ACTOR, at=datetime.now(UTC))
    finally:
        store.close()
    _tell(one, None if ask_password else password)
