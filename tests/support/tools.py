"""Programs from outside Python that some tests need: skip without them here, fail without them in CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ALSO_NAMED = {"chromium": ("chromium-browser", "google-chrome-stable", "google-chrome")}


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def skip_or_fail(reason: str) -> NoReturn:
    """Skip on a developer's machine; fail in CI, where a missing tool would hide untested code."""
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def require_tool(name: str) -> Path:
    """Return the path of a program such as `mbpoll` or `chromium`, or skip (in CI: fail) the test."""
    for candidate in (name, *ALSO_NAMED.get(name, ())):
        if found := shutil.which(candidate):
            return Path(found)
    skip_or_fail(f"{name} is not installed (Debian: apt-get install {name})")
