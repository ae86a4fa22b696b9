"""Calls about lease contracts and packs: what a lessor does, and what a lessee may look at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from api.client.session import ServerSession
from api.routes.contracts import (
    ArrearsIn,
    ContractIn,
    ItemIn,
    OverrideIn,
    ReadingsIn,
    StepIn,
    Taken,
    VersionIn,
)
from swap.commerce.custody.show import CustodyRecord, PackUse
from swap.commerce.leases.show import ContractRecord, ContractSummary
from swap.commerce.leases.states import LeaseState


class LeaseCalls(ServerSession):
    """Contracts, custody, readings."""

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

    def add_version(self, contract_id: str, version: VersionIn, *, key: str | None = None) -> ContractRecord:
        """Change a contract from a day on."""
        return self.change(ContractRecord, "POST", f"/contracts/{contract_id}/versions", version, key=key)

    def take_step(self, contract_id: str, step: StepIn, *, key: str | None = None) -> ContractRecord:
        """Offer, sign, activate, suspend, resume, end, settle or withdraw a contract."""
        return self.change(ContractRecord, "POST", f"/contracts/{contract_id}/steps", step, key=key)

    def arrears(self, contract_id: str, arrears: ArrearsIn, *, key: str | None = None) -> ContractRecord:
        """Announce arrears, or say that they are paid."""
        return self.change(ContractRecord, "POST", f"/contracts/{contract_id}/arrears", arrears, key=key)

    def override(self, contract_id: str, override: OverrideIn, *, key: str | None = None) -> ContractRecord:
        """Serve a contract in spite of arrears, until an instant."""
        return self.change(ContractRecord, "POST", f"/contracts/{contract_id}/overrides", override, key=key)

    def charge_item(self, contract_id: str, item: ItemIn, *, key: str | None = None) -> ContractRecord:
        """Charge a damage by the contract's list, or the purchase of a pack."""
        return self.change(ContractRecord, "POST", f"/contracts/{contract_id}/items", item, key=key)

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
