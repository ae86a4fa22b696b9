"""The chart of accounts: which kinds of account a firm may have, declared in `chart.toml`."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Root(StrEnum):
    """The four groups of accounts."""

    ASSETS = "assets"
    LIABILITIES = "liabilities"
    INCOME = "income"
    EXPENSES = "expenses"

    @property
    def grows_by_debit(self) -> bool:
        """Whether a debit makes it more."""
        return self in (Root.ASSETS, Root.EXPENSES)


class Detail(StrEnum):
    """What tells several accounts of one kind apart."""

    NONE = "none"
    FIRM = "firm"
    CATEGORY = "category"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True)
class AccountKind:
    """One kind of account."""

    name: str
    root: Root
    detail: Detail
    name_en: str
    name_zh: str
    floor: bool = False
    """Its balance may not fall below 0, but for a credit that is granted."""


@functools.cache
def chart() -> dict[str, AccountKind]:
    """Every kind of account, by name."""
    with Path(__file__).with_name("chart.toml").open("rb") as file:
        data = tomllib.load(file)
    return {
        name: AccountKind(
            name,
            Root(section["root"]),
            Detail(section["detail"]),
            section["name_en"],
            section["name_zh"],
            section.get("floor", False),
        )
        for name, section in data.items()
    }


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """One account of a firm.

    Raises:
        ValueError: no kind of the chart, or a detail where it has none, or none where it has one.
    """

    firm_id: str
    kind: str
    detail: str = ""

    def __post_init__(self) -> None:
        kind = chart().get(self.kind)
        if kind is None:
            raise ValueError(f"kind = {self.kind!r}: allowed {', '.join(chart())}")
        if bool(self.detail) != (kind.detail is not Detail.NONE):
            raise ValueError(f"{self.id}: detail = {self.detail!r}: allowed {kind.detail.value}")
        if self.detail == self.firm_id and kind.detail is Detail.FIRM:
            raise ValueError(f"{self.id}: a firm owes nothing to itself")

    @property
    def id(self) -> str:
        """Key in the database."""
        return ":".join(part for part in (self.firm_id, self.kind, self.detail) if part)

    @property
    def of(self) -> AccountKind:
        """Its kind in the chart."""
        return chart()[self.kind]
