"""Fees of bookings whose trucks did not come: what somebody changes of them behind the program's back is found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from swap.commerce.bookings.store import make_booking, tend_bookings
from swap.commerce.bookings.wanted import Wanted
from tests.support.swap.commerce import AT, STATION, charge_packs, filled_store, station
from tests.support.swap.damage import Examined, bare
from tests.support.swap.databases import migrated_sqlite
from tests.swap.test_bookings import capacity_rules

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examined]:
    """Two trucks that did not come, one of whose promises was cancelled, without triggers and constraints."""
    path = tmp_path_factory.mktemp("fees") / "swap.db"
    config = station().model_copy(update={"bookings": capacity_rules(no_show_fee_yuan="50.5")})
    with filled_store(migrated_sqlite(path), config) as store:
        charge_packs(store)
        with store.station(STATION) as db:
            for number in range(2):
                make_booking(db, config, Wanted(f"V{number}", AT + HOUR, AT + 2 * HOUR), at=AT)
            assert len(tend_bookings(db, config, AT + 4 * HOUR)) == 2
    examined = Examined(bare(path, tmp_path_factory.mktemp("bare")))
    yield examined
    examined.close()


def found(examined: Examined, script: str) -> dict[str, tuple[str, ...]]:
    return {one.name: one.violations for one in examined.after(script).invariants if one.violations}


FIRST = "(SELECT min(id) FROM charge)"
FEE_DAMAGE = {
    "no_show_as_told": (
        f"DELETE FROM charge WHERE id = {FIRST}",
        # raised with its quantity, so that it adds up
        f"UPDATE charge SET amount_fen = amount_fen * 2, quantity_1e6 = quantity_1e6 * 2 WHERE id = {FIRST}",
        f"UPDATE charge SET source = 'no_show:bk-x' WHERE id = {FIRST}",
        f"UPDATE charge SET kind = 'service' WHERE id = {FIRST}",
        f"UPDATE charge SET station_id = NULL WHERE id = {FIRST}",
        f"UPDATE charge SET made_at = '2026-11-02 00:00:00.000000' WHERE id = {FIRST}",
    ),
}
"""By invariant: scripts, each of which it must find."""


def test_what_the_program_wrote_is_right(unguarded: Examined) -> None:
    assert "no_show_as_told" not in found(unguarded, "")


@pytest.mark.parametrize(
    ("invariant", "script"), [(name, script) for name, scripts in FEE_DAMAGE.items() for script in scripts]
)
def test_damage_to_a_fee_is_found(unguarded: Examined, invariant: str, script: str) -> None:
    assert invariant in found(unguarded, script)
