"""Accounts for trying out, one a role, and the key of the simulated fleet.

Their passwords are made of the server's secret and the account's id, so that they can be printed at every start and
differ from database to database. Outside development they sign nobody in.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select

from swap.identity import secrets
from swap.identity.accounts import create_api_key, create_user
from swap.identity.changes import note
from swap.identity.principal import BATTERY_OWNER, FLEET, STATION_OPERATOR
from swap.identity.rights import Role
from swap.identity.settings import IdentitySettings
from swap.store import Store
from swap.tables import ApiKey, Party, UserAccount

ACTOR = "development"
FIRM_OF = dict.fromkeys(Role, STATION_OPERATOR) | {
    Role.FLEET_OPERATOR: FLEET,
    Role.DRIVER: FLEET,
    Role.BATTERY_OWNER: BATTERY_OWNER,
}
"""Kind of the firm that the account of a role belongs to; of several the first by id, or the station's own operator."""


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """What to sign in with."""

    role: Role
    user_id: str
    login: str
    password: str
    pin: str


def demo_logins(store: Store, settings: IdentitySettings, operator_id: str, at: datetime) -> tuple[DemoLogin, ...]:
    """The accounts for trying out; those that are missing are made, where there is a firm for them."""
    wanted = {role: role.value for role in Role}
    with store.reading_identity() as db:
        rows = db.exec(select(UserAccount).where(col(UserAccount.login).in_(wanted.values())))
        known = {row.login: row.id for row in rows if row.demo}
        firms: dict[str, str] = {}
        for party in db.exec(select(Party).order_by(col(Party.id).desc())):
            firms[party.kind] = party.id
        firms[STATION_OPERATOR] = operator_id
    missing = [role for role in wanted if role.value not in known and FIRM_OF[role] in firms]
    if missing:
        made = {role: _login(settings, role, secrets.new_id("us")) for role in missing}
        hashes = {
            role: (secrets.hashed(one.password, demo=True), secrets.hashed(one.pin, demo=True))
            for role, one in made.items()
        }
        with store.identity() as db:
            taken = set(db.exec(select(UserAccount.login)))
            for role, one in made.items():
                if one.login in taken:  # another station has been faster, or somebody has such an account
                    continue
                create_user(
                    db,
                    login=one.login,
                    name=f"Demo {role.value.replace('_', ' ')}",
                    organisation_id=firms[FIRM_OF[role]],
                    roles=[role],
                    password_hash=hashes[role][0],
                    pin_hash=hashes[role][1],
                    actor=ACTOR,
                    at=at,
                    demo=True,
                    user_id=one.user_id,
                )
                known[one.login] = one.user_id
    return tuple(_login(settings, role, known[login]) for role, login in wanted.items() if login in known)


def _login(settings: IdentitySettings, role: Role, user_id: str) -> DemoLogin:
    made = secrets.derived(settings.secret, "demo", user_id)
    password = base64.b32encode(made[:10]).decode().lower()
    return DemoLogin(role, user_id, role.value, password, f"{100_000 + int.from_bytes(made[10:14]) % 900_000:06d}")


FLEET_KEY = "simulated fleet"
FLEET_SCOPES = ("bookings:write", "swaps:read", "swaps:write")


def simulated_fleet_key(store: Store, operator_id: str, at: datetime) -> str:
    """The key with which simulated trucks book and check in; another one at each start."""
    with store.identity() as db:
        held = select(ApiKey).where(ApiKey.name == FLEET_KEY, ApiKey.organisation_id == operator_id)
        row = db.exec(held.where(col(ApiKey.revoked_at).is_(None))).first()
        if row is None:
            role = [Role.STATION_OPERATOR]
            _, key = create_api_key(
                db, name=FLEET_KEY, organisation_id=operator_id, roles=role, scopes=FLEET_SCOPES, actor=ACTOR, at=at
            )
            return key
        key = secrets.new_token(secrets.KEY)
        row.key_hash, row.scopes = secrets.token_hash(key), sorted(FLEET_SCOPES)
        db.add(row)
        note(db, "key_renewed", row.id, actor=ACTOR, at=at, after={"scopes": row.scopes})
        return key
