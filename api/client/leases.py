"""Calls about lease contracts and packs: what a lessor does, and what a lessee may look at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pydantic import BaseModel

from api.access import FACTOR_HEADERS
from api.client.session import ServerSession, code_header
from api.routes.contracts import (
    ArrearsIn,
    ContractIn,
    ItemIn,
    OverrideIn,
    OverrideOut,
    ReadingsIn,
    SafetyOverrideIn,
    StepIn,
    Taken,
    VersionIn,
    VersionStepIn,
)
from swap.commerce.custody.show import CustodyRecord, PackUse
from swap.commerce.leases.show import ContractRecord, ContractSummary
from swap.commerce.leases.states import LeaseState
from swap.identity.rights import Factor


class LeaseCalls(ServerSession):
    """Contracts, custody, readings. `totp`: a code of the person's device, where money moves."""

    def draft_contract(self, contract: ContractIn, *, key: str | None = None) -> ContractRecord:
        """Draft a contract; it binds nobody before it is signed."""
        return self.change(ContractRecord, "POST", "/contracts", contract, key=key)

    def contracts(
        self, *, state: LeaseState | None = None, party_id: str | None = None, vehicle_id: str | None = None
    ) -> Iterator[ContractSummary]:
        """Contracts, newest first."""
        return self.all(ContractSummary, "/contracts", {"state": state, "party_id": party_id, "vehicle_id": vehicle_id})

    def contract(self, contract_id: str) -> ContractRecord:
        """One contract with its versions and everything that happened to it."""
        return self.get(ContractRecord, f"/contracts/{contract_id}")

    def add_version(
        self, contract_id: str, version: VersionIn, *, totp: str | None = None, key: str | None = None
    ) -> ContractRecord:
        """Change a contract from a day on; of a signed one the version is offered to the lessee."""
        return self._change_contract(contract_id, "versions", version, totp, key)

    def answer_offer(
        self, contract_id: str, version: int, step: VersionStepIn, *, totp: str | None = None, key: str | None = None
    ) -> ContractRecord:
        """Sign, decline or withdraw a version that is offered."""
        return self._change_contract(contract_id, f"versions/{version}/steps", step, totp, key)

    def take_step(
        self, contract_id: str, step: StepIn, *, totp: str | None = None, key: str | None = None
    ) -> ContractRecord:
        """Offer, sign, activate, suspend, resume, end, settle or withdraw a contract."""
        return self._change_contract(contract_id, "steps", step, totp, key)

    def arrears(
        self, contract_id: str, arrears: ArrearsIn, *, totp: str | None = None, key: str | None = None
    ) -> ContractRecord:
        """Announce arrears, or say that they are paid."""
        return self._change_contract(contract_id, "arrears", arrears, totp, key)

    def override(
        self, contract_id: str, override: OverrideIn, *, totp: str | None = None, key: str | None = None
    ) -> OverrideOut:
        """Serve a contract in spite of arrears, until an instant."""
        path = f"/contracts/{contract_id}/overrides"
        return self.change(OverrideOut, "POST", path, override, key=key, headers=code_header(totp))

    def override_for_safety(
        self, contract_id: str, override: SafetyOverrideIn, *, pin: str, key: str | None = None
    ) -> OverrideOut:
        """Have one vehicle served at the station, whatever its contract says, until an instant."""
        path = f"/contracts/{contract_id}/safety-overrides"
        headers = {FACTOR_HEADERS[Factor.PIN]: pin}
        return self.change(OverrideOut, "POST", path, override, key=key, headers=headers)

    def override_without_contract(
        self, vehicle_id: str, override: OverrideIn, *, totp: str | None = None, key: str | None = None
    ) -> OverrideOut:
        """Serve a vehicle without a contract at a station that asks for one, until an instant."""
        path = f"/rights/{vehicle_id}/overrides"
        return self.change(OverrideOut, "POST", path, override, key=key, headers=code_header(totp))

    def override_for_safety_without_contract(
        self, vehicle_id: str, override: OverrideIn, *, pin: str, key: str | None = None
    ) -> OverrideOut:
        """Have a vehicle without a contract served at the station, until an instant."""
        path = f"/rights/{vehicle_id}/safety-overrides"
        return self.change(OverrideOut, "POST", path, override, key=key, headers={FACTOR_HEADERS[Factor.PIN]: pin})

    def charge_item(
        self, contract_id: str, item: ItemIn, *, totp: str | None = None, key: str | None = None
    ) -> ContractRecord:
        """Charge a damage by the contract's list, or the purchase of a pack."""
        return self._change_contract(contract_id, "items", item, totp, key)

    def _change_contract(
        self, contract_id: str, part: str, body: BaseModel, totp: str | None, key: str | None
    ) -> ContractRecord:
        path = f"/contracts/{contract_id}/{part}"
        return self.change(ContractRecord, "POST", path, body, key=key, headers=code_header(totp))

    def custody(
        self, pack_id: str, *, from_at: datetime | None = None, to_at: datetime | None = None
    ) -> Iterator[CustodyRecord]:
        """Who held a pack, where, at each instant."""
        return self.all(CustodyRecord, f"/packs/{pack_id}/custody", {"from": from_at, "to": to_at})

    def pack_uses(self, period: str, *, owner_id: str | None = None) -> Iterator[PackUse]:
        """What each own pack did in a month such as 2026-06, and what it earned."""
        return self.all(PackUse, "/pack-uses", {"period": period, "owner_id": owner_id})

    def give_readings(self, readings: ReadingsIn, *, key: str | None = None) -> Taken:
        """Give readings that rents rest on."""
        return self.change(Taken, "POST", "/readings", readings, key=key)
