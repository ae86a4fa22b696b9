"""Amounts in Chinese capitals (大写金额), as they stand on invoices and cheques. Pure.

The rules are those of the annex to the payment and settlement rules of the People's Bank (正确填写票据和结算凭证的基本
规定): zeros between figures are written once, an amount without jiao and fen ends in 整, and so does one without fen.
"""

from __future__ import annotations

_DIGITS = "零壹贰叁肆伍陆柒捌玖"
_PLACES = ("", "拾", "佰", "仟")
LARGEST_FEN = 10**18 - 1


def in_capitals(fen: int) -> str:
    """An amount in capitals; a negative one, of a red letter, begins with （负数）.

    Raises:
        ValueError: more than 16 figures of yuan.
    """
    if abs(fen) > LARGEST_FEN:
        raise ValueError(f"fen = {fen}: allowed -{LARGEST_FEN}…{LARGEST_FEN}")
    sign = "（负数）" if fen < 0 else ""
    yuan, rest = divmod(abs(fen), 100)
    jiao, cents = divmod(rest, 10)
    whole = f"{_yuan(yuan)}圆" if yuan else ""
    if not rest:
        return f"{sign}{whole or '零圆'}整"
    if not jiao:
        return f"{sign}{whole}{'零' if yuan else ''}{_DIGITS[cents]}分"
    end = f"{_DIGITS[cents]}分" if cents else "整"
    return f"{sign}{whole}{_DIGITS[jiao]}角{end}"


def _yuan(yuan: int) -> str:
    for base, name in ((10**8, "亿"), (10**4, "万")):
        if yuan >= base:
            high, low = divmod(yuan, base)
            rest = ("零" if low < base // 10 else "") + _yuan(low) if low else ""
            return _yuan(high) + name + rest
    return _group(yuan)


def _group(group: int) -> str:
    said, gap = "", False
    for place in range(3, -1, -1):
        digit = group // 10**place % 10
        if not digit:
            gap = bool(said)
            continue
        said += ("零" if gap else "") + _DIGITS[digit] + _PLACES[place]
        gap = False
    return said
