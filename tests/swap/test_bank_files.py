"""Bank statements: read strictly in the forms that banks and spreadsheets write, whole or not at all."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from decimal import Decimal

import pytest

from swap.commerce.errors import BankLineKnown, FileUnreadable
from swap.commerce.ledger.chart import Account
from swap.commerce.ledger.postings import TOP_UP
from swap.commerce.payments.bank import end_bank_line, list_bank_lines, take_bank_file
from swap.commerce.payments.bank_file import read_statement
from swap.commerce.payments.records import BankFileRecord, BankLineRecord
from swap.commerce.payments.refunds import refund
from swap.commerce.payments.taking import list_payments
from swap.errors import Conflict, InvalidInput, NotFound
from swap.store import Store
from tests.support.swap.ledger import AT, balance_fen, charge, firms_store

BANK, UNMATCHED = Account("op", "bank"), Account("op", "unmatched")
HEADER = "交易日期,交易流水号,贷方金额,借方金额,对方户名,对方账号,摘要,币种\n"
GOOD = (
    HEADER
    + '2026-06-30,N1,"1,234.50",,fleet公司,6222001,电费,人民币\n'
    + "2026/7/1,N2,,20.00,某人,6222002,手续费,CNY\n"
    + "\n"
    + "20260702,N3,7,,陌生人,,,\n"
)
READ = [("N1", 123450, "fleet公司", 2), ("N2", -2000, "某人", 3), ("N3", 700, "陌生人", 5)]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (GOOD.encode(), "utf-8"),
        (codecs.BOM_UTF8 + GOOD.replace("\n", "\r\n").encode(), "utf-8"),
        (GOOD.encode("gbk"), "gb18030"),
        (GOOD.replace(",", "\t").replace('"1\t234.50"', "1,234.50").encode("utf-16"), "utf-16"),
        (GOOD.replace(",", ";").replace('"1;234.50"', "1,234.50").encode(), "utf-8"),
        (GOOD.replace("N1", '"=""N1"""').replace("2026-06-30", "2026-06-30 08:15:00").encode(), "utf-8"),
    ],
)
def test_files_of_banks_and_spreadsheets_are_read(data: bytes, encoding: str) -> None:
    found = read_statement(data)
    assert found.encoding == encoding
    assert [(one.reference, one.amount_fen, one.other_name, one.line_no) for one in found.lines] == READ
    assert [one.booked_on.isoformat() for one in found.lines] == ["2026-06-30", "2026-07-01", "2026-07-02"]


def with_line(line: str) -> bytes:
    return (GOOD + line + "\n").encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "file = '0 bytes': allowed a header and at least one line"),
        (b" \r\n\r\n", "file = '5 bytes'"),
        (HEADER.encode(), "a header and at least one line"),
        (b"PK\x03\x04 sheet", "Excel"),
        (b"date,amount\n2026-06-30,1\n", "line 1, header"),
        ("时间,流水号\n2026-06-30,1\n".encode(), "交易日期"),
        (with_line("2026-07-02,N1,1,,,,,"), "line 6, reference = 'N1': allowed a number of its own; line 2 has it"),
        (with_line("2026-07-02,,1,,,,,"), "line 6, reference = ''"),
        (with_line("2026-07-32,N4,1,,,,,"), "line 6, date = '2026-07-32'"),
        (with_line("2026-07-02,N4,-1,,,,,"), "line 6, credit = '-1'"),
        (with_line("2026-07-02,N4,1.005,,,,,"), "line 6, credit = '1.005'"),
        (with_line("2026-07-02,N4,1e3,,,,,"), "line 6, credit = '1e3'"),
        (with_line('2026-07-02,N4,"12,34",,,,,'), "line 6, credit = '12,34'"),
        (with_line("2026-07-02,N4,9999999999999,1,,,,"), "one amount that is not 0"),
        (with_line("2026-07-02,N4,99999999999999,,,,,"), "line 6, credit"),
        (with_line("2026-07-02,N4,,,,,,"), "line 6, amount"),
        (with_line("2026-07-02,N4,0.00,0,,,,"), "line 6, amount"),
        (with_line("2026-07-02,N4,1,,,,,USD"), "line 6, currency = 'USD': allowed CNY"),
        (with_line("2026-07-02,N4"), "line 6, amount"),
        (with_line('2026-07-02,"N4,1,,,,,'), "CSV"),
        (with_line("2026-07-02,N4,1,,a\x07,,,"), "line 6, line"),
        (with_line(f"2026-07-02,N4,1,,,,{'x' * 401},"), "line 6, memo"),
        (GOOD.encode() + b"2026-07-02,N4,1,,\xff\xff,,,\n", "line 6, encoding = 'ff"),
    ],
)
def test_a_wrong_file_names_line_field_and_value(data: bytes, said: str) -> None:
    with pytest.raises(FileUnreadable) as error:
        read_statement(data)
    assert said in str(error.value)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with firms_store(database_url) as store:
        yield store


def given(store: Store, *lines: str) -> BankFileRecord:
    with store.commerce() as db:
        return take_bank_file(db, "op", (HEADER + "\n".join(lines) + "\n").encode(), AT)


def work_list(store: Store) -> tuple[BankLineRecord, ...]:
    with store.reading_commerce() as db:
        return list_bank_lines(db, firm_id="op", only_open=True).items


def test_lines_are_matched_by_bill_or_name_or_put_on_the_work_list(store: Store) -> None:
    first, second = charge(store, "a", "100.00"), charge(store, "b", "50.00")
    foreign = charge(store, "c", "50.00", seller_id="own")
    found = given(
        store,
        f"2026-06-30,N1,50.00,,?,,pays {second.removeprefix('charge:')},",
        "2026-06-30,N2,30,,fleet公司,,,",
        f"2026-06-30,N3,50.00,,?,,{foreign.removeprefix('charge:')},",
        "2026-06-30,N4,,20.00,other Ltd,,rent,",
    )
    assert [line.outcome for line in found.lines] == ["payment", "payment", None, None]
    assert found.open_count == 2
    assert {line.reference for line in work_list(store)} == {"N3", "N4"}
    with store.reading_commerce() as db:
        pays = {one.target: one.amount_yuan for payment in list_payments(db).items for one in payment.allocations}
    assert pays == {second: Decimal("50.00"), first: Decimal("30.00")}
    assert (balance_fen(store, BANK), balance_fen(store, UNMATCHED)) == (11000, 3000)


def test_a_line_of_the_work_list_is_decided_once(store: Store) -> None:
    lines = given(
        store,
        "2026-06-30,N1,50.00,,?,,,",
        "2026-06-30,N2,70.00,,?,,,",
        "2026-06-30,N3,,9.00,?,,,",
        "2026-06-30,N4,5.00,,?,,,",
    ).lines
    first, second, third, fourth = (line.line_id for line in lines)
    with store.commerce() as db:
        assert end_bank_line(db, first, "payment", AT, payer_id="fleet", purpose=TOP_UP).payment_id is not None
        end_bank_line(db, second, "channel", AT, detail="channel_b")
        end_bank_line(db, third, "other", AT, detail="fee of the bank")
    assert [line.line_id for line in work_list(store)] == [fourth]
    assert balance_fen(store, Account("op", "wallet", "fleet")) == 5000
    assert balance_fen(store, Account("op", "clearing", "channel_b")) == -7000
    assert (balance_fen(store, BANK), balance_fen(store, UNMATCHED)) == (11600, 500 - 900)
    wrong: list[tuple[str, str, dict[str, str], type[Exception], str]] = [
        (first, "other", {}, Conflict, "is decided: payment"),
        ("nothing", "other", {}, NotFound, "nothing"),
        (fourth, "lost", {}, InvalidInput, "payment, refund, channel, other"),
        (fourth, "refund", {}, InvalidInput, "refund for what went out"),
        (fourth, "payment", {}, InvalidInput, "the firm that paid"),
        (fourth, "payment", {"payer_id": "fleet", "purpose": "gift"}, InvalidInput, "debt, top_up"),
        (fourth, "channel", {"detail": "cash"}, InvalidInput, "channel_a, channel_b"),
    ]
    for line_id, outcome, more, error, match in wrong:
        with pytest.raises(error, match=match), store.commerce() as db:
            end_bank_line(db, line_id, outcome, AT, **more)
    assert [line.line_id for line in work_list(store)] == [fourth]


def test_a_refund_that_has_left_the_account_is_known_by_its_number(store: Store) -> None:
    (line,) = given(store, "2026-06-30,N1,50.00,,fleet公司,,,").lines
    assert line.payment_id is not None
    with store.commerce() as db:
        back = refund(db, line.payment_id, 1500, reference="r", reason="too much", at=AT)
    found = given(
        store, f"2026-07-01,N2,,15.00,fleet公司,,{back.refund_id},", f"2026-07-01,N3,,15.00,?,,{back.refund_id},"
    )
    assert [one.outcome for one in found.lines] == ["refund", None]
    assert (balance_fen(store, BANK), balance_fen(store, UNMATCHED)) == (2000, -1500)


def test_a_file_with_a_line_that_is_known_is_not_taken_at_all(store: Store) -> None:
    given(store, "2026-06-30,N1,50.00,,fleet公司,,,")
    with pytest.raises(BankLineKnown, match="line 3, reference = 'N1'"):
        given(store, "2026-06-30,N2,50.00,,fleet公司,,,", "2026-06-30,N1,50.00,,fleet公司,,,")
    with pytest.raises(FileUnreadable, match="line 3, currency"):
        given(store, "2026-06-30,N2,50.00,,fleet公司,,,", "2026-06-30,N3,50.00,,fleet公司,,,EUR")
    with pytest.raises(NotFound, match="nobody"), store.commerce() as db:
        take_bank_file(db, "nobody", GOOD.encode(), AT)
    assert balance_fen(store, BANK) == 5000
    with store.reading_commerce() as db:
        assert len(list_payments(db).items) == 1
        assert len(list_bank_lines(db).items) == 1
