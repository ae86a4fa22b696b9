"""The rooms as the imports draw them; `python deploy/house.py` prints the same."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from deploy.house import PACKAGES, PAGES, ROOT, SHOWN, House, picture, read_house, report, with_picture

MAX_MODULES = 20


@pytest.fixture(scope="module")
def house() -> House:
    return read_house()


def test_the_house_is_printed(house: House, proved: Callable[[str], None]) -> None:
    proved("\n".join(report(house)))
    assert all(len(house.folder(name).rooms) > 5 for name in SHOWN), "the imports were not read"


def test_no_two_modules_import_each_other(house: House) -> None:
    assert house.circles() == []


def test_no_two_rooms_import_each_other(house: House) -> None:
    folders = [house.folder(name) for name in sorted(house.folders)]
    circles = {tuple(f"{folder.name}.{room}" for room in circle) for folder in folders for circle in folder.circles}
    assert circles == set()


def test_no_folder_is_a_shelf(house: House) -> None:
    folders = {path.parent for name in ("benchmarks", "deploy") for path in (ROOT / name).rglob("*.py")}
    beside = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {"benchmarks", "deploy"} <= beside.keys()
    assert {name: count for name, count in (house.modules_in() | beside).items() if count > MAX_MODULES} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_the_house(page: Path, house: House) -> None:
    text = page.read_text(encoding="utf-8")
    assert with_picture(text, picture(house)) == text, "run: python deploy/house.py --pages"
    named = set(re.findall(rf"`((?:{'|'.join(PACKAGES)})/[^` ]*)`", text))
    assert len(named) > 60
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    rooms = {room.replace(".", "/") + "/" for room in house.folders - {"sim", "swap"}}
    beside = {f"{name}/{room}.py" for name in ("api", "swap") for room in house.folder(name).rooms}
    files = {name for name in beside if (ROOT / name).is_file()}
    assert (rooms | files) - named == set(), "a room that is not on the page"
    changes = text.split("\n## ")[2].splitlines()
    assert len([line for line in changes if line.startswith("| ")]) > 30


def test_every_room_says_what_it_holds(house: House) -> None:
    short = []
    for room in house.folders:
        said = ast.get_docstring(ast.parse(ROOT.joinpath(*room.split("."), "__init__.py").read_text("utf-8"))) or ""
        if len(re.findall(r"[.](?:\s|$)", said)) < 2:
            short.append(room)
    assert short == []


def test_a_house_with_every_fault_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Circles of modules and of rooms, floors and arrows of a house small enough to count by hand."""
    files = {
        "yard/__init__.py": "",
        "yard/top.py": "from yard.left import one",
        "yard/left/__init__.py": "",
        "yard/left/one.py": "import yard.right.one\nimport yard.left.two",
        "yard/left/two.py": "",
        "yard/right/__init__.py": "",
        "yard/right/one.py": "import yard.right.two",
        "yard/right/two.py": "import yard.right.one\nimport yard.left.two\nimport yard.base",
        "yard/base.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "yard", raising=False)
    house = read_house(tmp_path, ["yard"])
    assert house.circles() == [("yard.right.one", "yard.right.two")]
    folder = house.folder("yard")
    assert folder.floors == (("base",), ("left", "right"), ("top",))
    assert set(folder.arrows) == {("top", "left"), ("left", "right"), ("right", "left"), ("right", "base")}
    assert folder.circles == (("left", "right"),)
    assert house.modules_in() == {"yard": 3, "yard.left": 3, "yard.right": 3}
    shown = "\n".join(folder.lines_of_text())
    assert shown == dedent(
        """\
        yard: 4 rooms, 3 floors, 4 arrows, 1 circle, 12 lines
          2  top -> left;
          1  left -> right;  right -> base, left;
          0  base;
          circle: left <-> right"""
    )
