"""The values of an invoice under the names of the digital invoice (数电发票), by a profile that a partner confirms."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from swap.commerce.bills.capitals import in_capitals
from swap.commerce.bills.money import FEN
from swap.commerce.bills.records import InvoiceRecord
from swap.commerce.charges import whole

_PROFILE = Path(__file__).with_name("digital_invoice.toml")


@cache
def _profile() -> dict[str, Any]:
    return tomllib.loads(_PROFILE.read_text(encoding="utf-8"))


def digital_invoice(invoice: InvoiceRecord, names: Mapping[str, tuple[str, str]]) -> bytes:
    """JSON of the fields that the profile names; what only the tax platform knows is left empty."""
    profile = _profile()
    values = invoice.model_dump(mode="json") | {
        "seller_name": names.get(invoice.seller_id, (invoice.seller_id, ""))[0],
        "buyer_name": names.get(invoice.buyer_id, (invoice.buyer_id, ""))[0],
        "gross_in_capitals": in_capitals(whole(invoice.gross_yuan, FEN)),
        "kind_code": profile["kind"]["code"],
    }
    body = {name: values[source] if source else "" for name, source in profile["invoice"].items()}
    lines = [
        {
            name: profile["classification"].get(line.tax_category, "")
            if source == "classification"
            else line.model_dump(mode="json")[source]
            if source
            else ""
            for name, source in profile["line"].items()
        }
        for line in invoice.lines
    ]
    said = {"profile": profile["name"], "confirmed": profile["confirmed"], **body, "lines": lines}
    return json.dumps(said, ensure_ascii=False, indent=2).encode()
