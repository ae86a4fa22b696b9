"""Draw the matrix of `docs/access.md` and `docs/access.zh-CN.md` from the one table of rights.

`python deploy/access.py --pages` writes it into the pages; without it the matrix is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from swap.identity.rights import RIGHTS, Right, Role

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "docs" / "access.md", ROOT / "docs" / "access.zh-CN.md")
MARK = "<!-- drawn by deploy/access.py -->\n"
HEADS = {
    Role.ADMINISTRATOR: "adm",
    Role.STATION_OPERATOR: "op",
    Role.SHIFT_WORKER: "shift",
    Role.SAFETY_OFFICER: "safety",
    Role.FLEET_OPERATOR: "fleet",
    Role.DRIVER: "driver",
    Role.BATTERY_OWNER: "owner",
    Role.ACCOUNTANT: "acc",
    Role.PLANNER: "plan",
    Role.SUPERVISOR: "sup",
}


def matrix() -> str:
    """The table: a row an operation, a column a role."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f"| | {' | '.join(HEADS.values())} | key | |"
    yield "|---|" + "---|" * (len(HEADS) + 2)
    for operation, right in RIGHTS.items():
        cells = [_cell(right, role) for role in HEADS]
        scope = f"`{right.scope}`" if right.scope is not None else ""
        factor = "" if right.factor is None else right.factor.value.upper()
        yield f"| `{operation}` | {' | '.join(cells)} | {scope} | {factor} |"


def _cell(right: Right, role: Role) -> str:
    if right.anyone:
        return "·"
    return "A" if role in right.every else "S" if role in right.station else "O" if role in right.own else ""


def with_matrix(page: str) -> str:
    """A page with the matrix as it is now."""
    before, _, after = page.split(MARK)
    return f"{before}{MARK}\n{matrix()}\n{MARK}{after}"


if __name__ == "__main__":
    if "--pages" in sys.argv[1:]:
        for path in PAGES:
            path.write_text(with_matrix(path.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(matrix())
