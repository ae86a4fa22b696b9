"""Show the house as its imports draw it: rooms, floors and arrows of each package.

`python deploy/house.py` prints the table of this checkout, `python deploy/house.py DIR` that of another;
`python deploy/house.py --pages` draws the pictures of `docs/house*.md` anew.

A *room* is what lies directly in a folder: a subfolder or a module. An *arrow* goes from one room to another as soon
as one module of the first imports one of the second. A *floor* is a step of the longest way down along the arrows.
A *circle* is a set of modules, or of rooms, that reach each other.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("api", "sim", "swap", "robotics", "battery_bms", "scheduler")
PAGES = (ROOT / "docs" / "house.md", ROOT / "docs" / "house.zh-CN.md")
MARK = "<!-- drawn by deploy/house.py -->"
SHOWN = ("sim", "swap", "api")
"""Packages with rooms inside; the siblings below are rooms themselves."""


@dataclass(frozen=True)
class Folder:
    """What lies in one folder of the code."""

    name: str
    floors: tuple[tuple[str, ...], ...]
    """Rooms by floor, the lowest first. Rooms of one circle share a floor."""
    arrows: Mapping[tuple[str, str], tuple[str, str]]
    """One import of each arrow, by the two rooms."""
    circles: tuple[tuple[str, ...], ...]
    lines: int

    @property
    def rooms(self) -> tuple[str, ...]:
        """Every room, the lowest first."""
        return tuple(room for floor in self.floors for room in floor)

    def lines_of_text(self) -> list[str]:
        """The folder as a person reads it: one line of counts, then floor by floor from the top."""
        count = len(self.circles)
        shown = [
            f"{self.name}: {len(self.rooms)} rooms, {len(self.floors)} floors, {len(self.arrows)} arrows, "
            f"{count} {'circle' if count == 1 else 'circles'}, {self.lines} lines"
        ]
        for number, floor in reversed(list(enumerate(self.floors))):
            shown.append(f"  {number}  " + "  ".join(self._room(room) for room in floor))
        return shown + [f"  circle: {' <-> '.join(circle)}" for circle in self.circles]

    def _room(self, room: str) -> str:
        below = sorted(low for high, low in self.arrows if high == room)
        return f"{room} -> {', '.join(below)};" if below else f"{room};"


@dataclass(frozen=True)
class House:
    """A checkout as its imports draw it."""

    imports: Mapping[str, frozenset[str]]
    """What each module imports of the house."""
    lines: Mapping[str, int]
    folders: frozenset[str]
    """Modules that are packages."""

    def circles(self) -> list[tuple[str, ...]]:
        """Modules that import each other, in a circle of any length."""
        return _circles(self.imports)

    def folder(self, name: str) -> Folder:
        """One folder with its rooms; what stands in its own `__init__` is the house rule of no room."""
        depth = len(name.split(".")) + 1
        arrows: dict[tuple[str, str], tuple[str, str]] = {}
        rooms: dict[str, set[str]] = defaultdict(set)
        lines = 0
        for module, targets in sorted(self.imports.items()):
            if not f"{module}.".startswith(f"{name}."):
                continue
            lines += self.lines[module]
            if module == name:
                continue
            room = module.split(".")[depth - 1]
            rooms[room] |= set()
            for target in sorted(targets):
                if target.startswith(f"{name}.") and (below := target.split(".")[depth - 1]) != room:
                    rooms[room].add(below)
                    arrows.setdefault((room, below), (module, target))
        return Folder(name, _floors(rooms), arrows, tuple(_circles(rooms)), lines)

    def modules_in(self) -> dict[str, int]:
        """How many modules lie in each folder."""
        count: dict[str, int] = defaultdict(int)
        for module in self.imports:
            count[module if module in self.folders else module.rpartition(".")[0]] += 1
        return dict(count)


def read_house(root: Path = ROOT, packages: Iterable[str] = PACKAGES) -> House:
    """Read the imports of a checkout; nothing of it is run.

    The checkout must come first on the path where Python looks for modules: `main` sees to it.
    """
    graph = grimp.build_graph(*packages, cache_dir=None)
    found = {module: frozenset(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    lines, folders = {}, set()
    for module in found:
        path = root.joinpath(*module.split("."))
        if path.is_dir():
            folders.add(module)
            path /= "__init__"
        lines[module] = len(path.with_suffix(".py").read_text(encoding="utf-8").splitlines())
    return House(found, lines, frozenset(folders))


def _circles(below: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Sets of more than one that reach each other."""
    reach = cache(partial(_reachable, below))
    circles = {tuple(sorted(b for b in reach(a) if a in reach(b))) for a in below if a in reach(a)}
    return sorted(circle for circle in circles if len(circle) > 1)


def _reachable(below: Mapping[str, Iterable[str]], start: str) -> frozenset[str]:
    seen: set[str] = set()
    waiting = list(below[start])
    while waiting:
        if (one := waiting.pop()) not in seen:
            seen.add(one)
            waiting += below[one]
    return frozenset(seen)


def _floors(below: Mapping[str, set[str]]) -> tuple[tuple[str, ...], ...]:
    """Rooms by the longest way down; a circle is one step."""
    circle_of = {room: circle for circle in _circles(below) for room in circle}

    @cache
    def floor(rooms: tuple[str, ...]) -> int:
        low = {low for room in rooms for low in below[room]} - set(rooms)
        return 1 + max((floor(circle_of.get(room, (room,))) for room in low), default=-1)

    floors: dict[int, list[str]] = defaultdict(list)
    for room in sorted(below):
        floors[floor(circle_of.get(room, (room,)))].append(room)
    return tuple(tuple(floors[number]) for number in sorted(floors))


def report(house: House) -> Iterator[str]:
    """The whole house in words."""
    for name in SHOWN:
        yield from house.folder(name).lines_of_text()
    fullest = max(house.modules_in().items(), key=lambda item: item[1])
    yield f"{len(house.imports)} modules; the fullest folder is {fullest[0]} with {fullest[1]}"
    circles = house.circles()
    yield f"circles between modules: {len(circles)}"
    yield from (f"  {' <-> '.join(circle)}" for circle in circles)


def picture(house: House) -> str:
    """Mermaid drawings of the rooms; arrows that follow from others are left out."""
    drawn = []
    for name in SHOWN:
        folder = house.folder(name)
        below: dict[str, set[str]] = {room: set() for room in folder.rooms}
        for high, low in folder.arrows:
            below[high].add(low)
        lines = [f"**`{name}/`**\n", "```mermaid", "flowchart TD"]
        for high in reversed(folder.rooms):
            implied = {
                end for low in below[high] for end in _reachable(below, low) if low not in _reachable(below, end)
            }
            lines += [f"    {high} --> {low}" for low in sorted(below[high] - implied)] or [f"    {high}"]
        drawn.append("\n".join([*lines, "```"]))
    return "\n\n".join(drawn)


def with_picture(page: str, drawn: str) -> str:
    """A page with the drawings between its two marks."""
    before, _, rest = page.partition(MARK)
    _, _, after = rest.partition(MARK)
    return f"{before}{MARK}\n\n{drawn}\n\n{MARK}{after}"


def main(arguments: list[str]) -> int:
    if arguments == ["--pages"]:
        sys.path.insert(0, str(ROOT))
        drawn = picture(read_house())
        for page in PAGES:
            page.write_text(with_picture(page.read_text(encoding="utf-8"), drawn), encoding="utf-8")
        return 0
    root = Path(arguments[0]).resolve() if arguments else ROOT
    sys.path.insert(0, str(root))
    print("\n".join(report(read_house(root))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
