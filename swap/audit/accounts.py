"""Accounts, keys and sign-ins: as their record of changes leads to them, with roles that their firms have."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlmodel import col

from swap.audit.findings import Findings
from swap.audit.rows import Reader
from swap.identity.principal import ROLES_OF
from swap.tables import AccessChange, AccessToken, ApiKey, Party, Station, TokenFamily, UserAccount

MADE = {"user_created", "key_created"}
"""Kinds of the first change of an account or key: it says what it was made with."""


CHANGES = {"roles": "roles", "vehicles": "vehicle_ids"}
"""Kinds of changes that name what stood there before and stands there then, and the field."""


def check_accounts(reader: Reader, findings: Findings) -> None:
    """Every check of accounts, keys and tokens."""
    found = findings["access_in_its_changes"]
    changes: dict[str, list[Any]] = defaultdict(list)
    for change in reader.rows(AccessChange, order=(col(AccessChange.id),)):
        changes[change.subject].append(change)
    kinds = {row.id: row.kind for row in reader.rows(Party, judged=False)}
    operators = {row.id: row.operator_id for row in reader.rows(Station, judged=False)}
    accounts = {row.id: row for row in reader.rows(UserAccount, order=(col(UserAccount.id),))}
    keys = {row.id: row for row in reader.rows(ApiKey, order=(col(ApiKey.id),))}
    for table, rows in (("user_account", accounts), ("api_key", keys)):
        for row in rows.values():
            name = f"{table} {row.id}"
            _roles(found, name, row, kinds, operators)
            _changed(found, name, row, changes.get(row.id, []))
    for subject, told in changes.items():
        if any(change.kind in MADE for change in told):
            found.look(subject in accounts or subject in keys, f"access_change: {subject} was made, and is not there")
    _sign_ins(reader, findings, accounts)


def _roles(found: Any, name: str, row: Any, kinds: dict[str, str], operators: dict[str, str]) -> None:
    allowed = {role.value for role in ROLES_OF.get(kinds.get(row.organisation_id, ""), ())}
    wrong = sorted(set(row.roles) - allowed)
    found.look(not wrong and row.roles, f"{name}: roles {', '.join(wrong) or 'none'} are none of {row.organisation_id}")
    drives = not row.vehicle_ids or row.roles == ["driver"]
    found.look(drives, f"{name}: vehicle_ids are those of a driver, its roles are {', '.join(row.roles)}")
    if row.station_id is not None:
        own = operators.get(row.station_id) == row.organisation_id
        found.look(own, f"{name}: station_id {row.station_id} is run by another firm than {row.organisation_id}")


def _changed(found: Any, name: str, row: Any, told: list[Any]) -> None:
    """What the changes of one account or key lead to, against what stands there."""
    if not found.look(bool(told) and told[0].kind in MADE, f"{name}: no access_change made it"):
        return
    stands: dict[str, Any] = dict(told[0].after)
    found.look(row.created_at == told[0].at, f"{name}: created_at is {row.created_at}, made at {told[0].at}")
    ended, ends = None, "disabled_at" if hasattr(row, "disabled_at") else "revoked_at"
    totp = False
    stands.setdefault("vehicle_ids", [])
    for change in told[1:]:
        if (field := CHANGES.get(change.kind)) is not None:
            before = change.before.get(field)
            found.look(
                before == stands.get(field),
                f"access_change {change.id}: {field} were {stands.get(field)}, not {before}",
            )
            stands[field] = change.after.get(field)
        elif change.kind in ("disabled", "key_revoked"):
            ended = change.at
        elif change.kind == "erased":
            ended = ended or change.at
        elif change.kind == "enabled":
            ended = None
        elif change.kind == "key_renewed":
            stands["scopes"] = change.after.get("scopes")
        elif change.kind in ("totp_begun", "totp_set"):
            totp = change.kind == "totp_set"
    for field, value in stands.items():
        found.look(
            getattr(row, field) == value, f"{name}: {field} is {getattr(row, field)}, its changes lead to {value}"
        )
    found.look(getattr(row, ends) == ended, f"{name}: {ends} is {getattr(row, ends)}, its changes lead to {ended}")
    if hasattr(row, "totp_confirmed"):
        found.look(
            row.totp_confirmed == totp, f"{name}: totp_confirmed is {row.totp_confirmed}, its changes say {totp}"
        )


def _sign_ins(reader: Reader, findings: Findings, accounts: dict[str, Any]) -> None:
    found = findings["sign_ins_bounded"]
    families = {row.id: row for row in reader.rows(TokenFamily, order=(col(TokenFamily.id),))}
    for row in families.values():
        name = f"token_family {row.id}"
        found.look(row.created_at < row.expires_at, f"{name}: expires_at is not after created_at")
        found.look(
            (row.revoked_at is None) == (row.revoked_why == ""), f"{name}: revoked_at and revoked_why contradict"
        )
        account = accounts.get(row.account_id)
        ended = account is not None and account.disabled_at is not None
        found.look(not ended or row.revoked_at is not None, f"{name}: account {row.account_id} is disabled, it is not")
    for row in reader.rows(AccessToken, order=(col(AccessToken.hash),)):
        family = families.get(row.family_id)
        name = f"access_token {row.hash[:12]}"
        if not found.look(family is not None, f"{name}: there is no token_family {row.family_id}"):
            continue
        assert family is not None
        found.look(
            family.created_at <= row.issued_at < row.expires_at, f"{name}: issued_at or expires_at is out of order"
        )
        found.look(row.expires_at <= family.expires_at, f"{name}: expires_at is after its family's")
