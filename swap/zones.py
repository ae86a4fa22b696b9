"""Which time zones there are."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones


@cache
def zone_names() -> frozenset[str]:
    """Names of the IANA list, such as Asia/Shanghai. Looked for once: they are some hundred files."""
    return frozenset(available_timezones())
