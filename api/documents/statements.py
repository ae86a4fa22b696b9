"""What stands on a statement, in one language, before it is drawn: of an account, a settlement, a net statement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from api.documents.sheet import Sheet
from api.words import Language
from swap.commerce.bills.capitals import in_capitals
from swap.commerce.bills.money import FEN
from swap.commerce.bills.records import SettlementRecord
from swap.commerce.charges import whole
from swap.commerce.ledger.chart import Detail, chart
from swap.commerce.ledger.records import AccountStatement
from swap.commerce.payments.netting import NetRecord
from swap.words import N_

Names = Mapping[str, tuple[str, str]]
"""Chinese and English name of each firm."""


_DETAILS = {Detail.CATEGORY: "category", Detail.CHANNEL: "pay_method"}
"""Details of accounts that have words; the others are firms."""


class _Said:
    """Firms, instants and money in a language."""

    def __init__(self, names: Names, language: Language) -> None:
        self._names = names
        self._language = language
        self.text = language.text

    def firm(self, party_id: str) -> str:
        return self._language.pick(*self._names.get(party_id, (party_id, party_id)))

    def account(self, account_id: str) -> str:
        _, kind, *rest = account_id.split(":", 2)
        of = chart().get(kind)
        word = kind if of is None else self._language.pick(of.name_zh, of.name_en)
        if not rest:
            return word
        words = None if of is None else _DETAILS.get(of.detail)
        return f"{word} · {self.firm(rest[0]) if words is None else self._language.word(words, rest[0])}"

    def instant(self, at: datetime | None) -> str:
        return "–" if at is None else f"{at.astimezone(self._language.zone):%Y-%m-%d %H:%M}"

    def capitals(self, yuan: Decimal) -> tuple[str, str]:
        return self.text("In capitals"), in_capitals(whole(yuan, FEN))


def account_sheet(statement: AccountStatement, names: Names, language: Language) -> Sheet:
    """What stands on the statement of an account (对账单)."""
    said = _Said(names, language)
    text = said.text
    return Sheet(
        title=text("Statement of account"),
        head=(
            (text("Firm"), said.firm(statement.firm_id)),
            (text("Account"), said.account(statement.account_id)),
            (text("Number"), statement.account_id),
            (text("From"), said.instant(statement.from_at)),
            (text("Until"), said.instant(statement.until_at)),
        ),
        columns=tuple(
            text(name) for name in (N_("No."), N_("Date"), N_("Source"), N_("Account"), N_("Amount"), N_("Balance"))
        ),
        widths_mm=(12, 34, 78, 78, 36, 36),
        rows=tuple(
            (
                str(number),
                said.instant(one.at),
                one.source,
                said.account(one.other_account_id),
                one.amount_yuan,
                balance,
            )
            for number, (one, balance) in enumerate(zip(statement.entries, statement.balances_yuan, strict=True), 1)
        ),
        totals=(
            (text("Balance before"), f"{statement.opening_yuan:,.2f}"),
            (text("Balance after"), f"¥{statement.closing_yuan:,.2f}"),
            said.capitals(statement.closing_yuan),
        ),
        notes=(),
    )


def settlement_sheet(settlement: SettlementRecord, names: Names, language: Language) -> Sheet:
    """What stands on a settlement statement: what of an income goes to whom."""
    said = _Said(names, language)
    text = said.text
    return Sheet(
        title=text("Settlement statement"),
        head=(
            (text("Seller"), said.firm(settlement.seller_id)),
            (text("Number"), settlement.settlement_id),
            (text("Month"), settlement.period),
            (text("Station"), settlement.station_id),
            (text("Income of"), language.word("line_kind", settlement.kind)),
            (text("Issued"), said.instant(settlement.made_at)),
        ),
        columns=tuple(text(name) for name in (N_("No."), N_("Firm"), N_("Share"), N_("Takes the rest"), N_("Amount"))),
        widths_mm=(12, 110, 40, 50, 60),
        rows=tuple(
            (
                str(number),
                said.firm(one.party_id),
                f"{one.share * 100:f}".rstrip("0").rstrip(".") + " %",
                text("yes") if one.takes_rest else "",
                one.amount_yuan,
            )
            for number, one in enumerate(settlement.shares, 1)
        ),
        totals=(
            (text("Income without tax"), f"¥{settlement.income_yuan:,.2f}"),
            said.capitals(settlement.income_yuan),
        ),
        notes=(text("Shares are rounded towards zero; the firm that takes the rest gets what is left over."),),
    )


def net_sheet(net: NetRecord, names: Names, language: Language) -> Sheet:
    """What stands on a net statement: what two firms owe each other, set off."""
    said = _Said(names, language)
    text = said.text
    first, second = said.firm(net.first_id), said.firm(net.second_id)
    return Sheet(
        title=text("Net statement"),
        head=(
            (text("Between"), first),
            (text("And"), second),
            (text("Number"), net.statement_id),
            (text("Until"), said.instant(net.until_at)),
        ),
        columns=tuple(text(name) for name in (N_("Owed by"), N_("Owed to"), N_("Amount"), N_("Set off"), N_("Left"))),
        widths_mm=(80, 80, 40, 40, 40),
        rows=(
            (first, second, net.first_owes_yuan, net.offset_yuan, net.first_owes_yuan - net.offset_yuan),
            (second, first, net.second_owes_yuan, net.offset_yuan, net.second_owes_yuan - net.offset_yuan),
        ),
        totals=(
            (text("Left to pay"), f"¥{net.rest_yuan:,.2f}"),
            (text("By"), "–" if net.payer_id is None else said.firm(net.payer_id)),
            said.capitals(net.rest_yuan),
        ),
        notes=(),
    )
