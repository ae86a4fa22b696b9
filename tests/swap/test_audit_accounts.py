"""Accounts, keys and sign-ins: what somebody changes behind the program's back is found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from swap.audit import AuditReport
from swap.identity.accounts import change_user, create_api_key, create_user
from swap.identity.sign_in import tokens_for
from tests.support.swap.commerce import filled_store, station
from tests.support.swap.damage import Examined, bare

AT = datetime(2026, 11, 20, 8, tzinfo=UTC)
CHECKED = ("access_in_its_changes", "sign_ins_bounded")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three accounts, two of them changed, one disabled, sign-ins of two, and a key."""
    path = tmp_path_factory.mktemp("accounts") / "swap.db"
    with filled_store(f"sqlite:///{path}", station()) as store, store.identity() as db:
        made = [
            create_user(
                db, login=login, name=login, organisation_id=firm, roles=[role], password_hash="-",
                actor="command_line", at=AT,
            ).user_id
            for login, firm, role in (("li", "op", "administrator"), ("wang", "fleet", "driver"))
        ]  # fmt: skip
        create_api_key(
            db, name="telematics", organisation_id="fleet", roles=["fleet_operator"], scopes=["swaps:read"],
            actor="command_line", at=AT,
        )  # fmt: skip
        create_api_key(
            db, name="on board", organisation_id="fleet", roles=["driver"], scopes=["swaps:read"], vehicle_ids=["V0"],
            actor="command_line", at=AT,
        )  # fmt: skip
        for user_id in made:
            tokens_for(db, user_id, AT)
        zhao = create_user(
            db, login="zhao", name="zhao", organisation_id="fleet", roles=["driver"], vehicle_ids=["V0"],
            password_hash="-", actor="command_line", at=AT,
        )  # fmt: skip
        change_user(db, zhao.user_id, vehicle_ids=["V1"], actor="command_line", at=AT)
        change_user(db, made[1], roles=["fleet_operator"], actor="command_line", at=AT + timedelta(hours=1))
        change_user(db, made[1], disabled=True, actor="command_line", at=AT + timedelta(hours=2))
    return path


def found(report: AuditReport) -> dict[str, tuple[str, ...]]:
    return {one.name: one.violations for one in report.invariants if one.name in CHECKED and one.violations}


@pytest.fixture(scope="module")
def unguarded(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examined]:
    """They in tables that have neither triggers nor constraints."""
    examined = Examined(bare(written, tmp_path_factory.mktemp("bare")))
    yield examined
    examined.close()


def test_what_the_program_wrote_is_right(written: Path, unguarded: Examined) -> None:
    guarded = Examined(written)
    assert found(guarded.after("")) == found(unguarded.after("")) == {}
    guarded.close()


WANG, LI, ZHAO = "login = 'wang'", "login = 'li'", "login = 'zhao'"
ACCESS_DAMAGE = {
    "access_in_its_changes": (
        f"UPDATE user_account SET roles = '[\"administrator\"]' WHERE {WANG}",
        f"UPDATE user_account SET roles = '[\"driver\"]' WHERE {WANG}",
        f"UPDATE user_account SET organisation_id = 'own' WHERE {LI}",
        f"UPDATE user_account SET station_id = 'S' WHERE {WANG}",
        f"UPDATE user_account SET vehicle_ids = '[]' WHERE {ZHAO}",
        f"UPDATE user_account SET vehicle_ids = '[\"V0\"]' WHERE {ZHAO}",
        f"UPDATE user_account SET vehicle_ids = '[\"V0\"]' WHERE {WANG}",
        "UPDATE api_key SET vehicle_ids = '[]' WHERE name = 'on board'",
        "UPDATE api_key SET vehicle_ids = '[\"V0\"]' WHERE name = 'telematics'",
        "DELETE FROM access_change WHERE kind = 'vehicles'",
        f"UPDATE user_account SET disabled_at = NULL WHERE {WANG}",
        f"UPDATE user_account SET totp_confirmed = 1 WHERE {LI}",
        f"UPDATE user_account SET created_at = '2026-01-01 00:00:00.000000' WHERE {LI}",
        "UPDATE api_key SET scopes = '[\"bookings:write\"]'",
        "UPDATE api_key SET roles = '[\"administrator\"]'",
        "UPDATE api_key SET revoked_at = '2026-11-21 00:00:00.000000'",
        "DELETE FROM api_key",
        "DELETE FROM access_change WHERE kind = 'disabled'",
        "DELETE FROM access_change WHERE kind = 'key_created'",
        "UPDATE access_change SET before = '{\"roles\": [\"planner\"]}' WHERE kind = 'roles'",
    ),
    "sign_ins_bounded": (
        "UPDATE token_family SET revoked_at = NULL, revoked_why = ''",
        "UPDATE token_family SET revoked_why = ''",
        "UPDATE token_family SET expires_at = created_at",
        "UPDATE access_token SET family_id = 'tf-x'",
        "UPDATE access_token SET expires_at = '2036-01-01 00:00:00.000000' WHERE kind = 'refresh'",
        "UPDATE access_token SET issued_at = '2020-01-01 00:00:00.000000'",
    ),
}
"""By invariant: scripts, each of which it must find."""


@pytest.mark.parametrize(
    ("invariant", "script"), [(name, script) for name, scripts in ACCESS_DAMAGE.items() for script in scripts]
)
def test_damage_to_who_may_do_what_is_found(unguarded: Examined, invariant: str, script: str) -> None:
    assert invariant in found(unguarded.after(script))
