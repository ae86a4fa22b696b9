"""The order of the tests for several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import slow_first


class Item:
    """What the order asks of a test."""

    def __init__(self, name: str) -> None:
        self.path = Path(name[0])
        self.name = name

    def get_closest_marker(self, marker: str) -> object:
        return marker if self.name.endswith(marker) else None


def items(*names: str) -> Any:
    return [Item(name) for name in names]


QUICK = [f"q{number}" for number in range(9)]


@pytest.mark.parametrize("processes", [2, 3])
def test_each_process_begins_with_its_share_of_the_files_with_slow_tests(processes: int) -> None:
    listed = items(*QUICK, "a1 slow", "a2 slow", "b1 slow", "c1 slow")
    ordered = slow_first(listed, processes)
    assert sorted(item.name for item in ordered) == sorted(item.name for item in listed)
    starts = [0]
    for left in range(processes, 1, -1):  # as xdist deals them out
        starts.append(starts[-1] + (len(listed) - starts[-1]) // left)
    assert all(ordered[start].name.endswith("slow") for start in starts)
    assert [item.name for item in ordered if item.path == Path("a")] == ["a1 slow", "a2 slow"]


def test_one_process_keeps_the_order_and_more_slow_tests_than_a_part_are_all_there() -> None:
    listed = items("q0", "a1 slow", "q1")
    assert slow_first(listed, 1) == listed
    many = items(*(f"a{number} slow" for number in range(7)), "q0")
    assert {item.name for item in slow_first(many, 4)} == {item.name for item in many}
