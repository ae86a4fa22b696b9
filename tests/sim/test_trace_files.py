"""Recorded arrivals as spreadsheets and station systems write them: read rightly, or refused by name and line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sim.scenario.demand import DAY_S, Arrival, arrivals
from sim.scenario.file import Scenario
from sim.scenario.load import parse_scenario
from sim.scenario.trace import TraceFile, TraceForm, read_trace
from swap.config.loading import ConfigError
from tests.support.sim.study import scenario_data

SHANGHAI = ZoneInfo("Asia/Shanghai")
GOOD = """at,fleet,vehicle,soc_pct,booked
2026-06-01T06:00,f1,T1,22,yes
2026-06-01T07:30,f1,T2,30.5,no
2026-06-02T00:10,,T1,,
"""
FIRST = [(21_600.0, "f1", "T1", 22.0, True), (27_000.0, "f1", "T2", 30.5, False), (87_000.0, "", "T1", None, None)]


def told(path: Path, form: TraceForm) -> TraceFile | str:
    """The trace, or what is said against the file."""
    try:
        return read_trace(path, form, SHANGHAI, ("f1",))
    except ConfigError as error:
        return "\n".join(error.problems)


def seen(trace: TraceFile) -> list[tuple[Any, ...]]:
    return [(row.at_s, row.fleet, row.vehicle, row.soc_pct, row.booked) for row in trace.rows]


def swapped(old: str, new: str) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new).encode()


def with_instants(form: Callable[[str], str]) -> bytes:
    lines = GOOD.splitlines()
    cells = [line.split(",", 1) for line in lines[1:]]
    return "\n".join([lines[0], *(f"{form(at)},{rest}" for at, rest in cells)]).encode()


EXCEL = {"2026-06-01T06:00": "46174.25", "2026-06-01T07:30": "46174.3125", "2026-06-02T00:10": "46175.0069444444"}
OFFSETS = dict(zip(EXCEL, ("2026-05-31T22:00Z", "2026-06-01T07:30+08:00", "2026-06-02T01:10+0900"), strict=True))
HEADED = GOOD.replace("at,fleet,vehicle,soc_pct", "进站时间,车队,车牌号,SOC(%)").replace("booked", "已预约")
NAMED = TraceForm(
    (("at", "进站时间"), ("booked", "已预约"), ("fleet", "车队"), ("soc_pct", "SOC(%)"), ("vehicle", "车牌号"))
)

READ: dict[str, tuple[bytes, TraceForm]] = {
    "as it is": (GOOD.encode(), TraceForm()),
    "UTF-8 with a byte order mark": (GOOD.encode("utf-8-sig"), TraceForm()),
    "UTF-16": (GOOD.encode("utf-16"), TraceForm()),
    "headings in Chinese, UTF-8": (HEADED.encode(), NAMED),
    "headings in Chinese, GBK": (HEADED.encode("gbk"), NAMED),
    "headings in Chinese, UTF-16": (HEADED.encode("utf-16"), NAMED),
    "semicolons and a decimal comma": (GOOD.replace(",", ";").replace("30.5", "30,5").encode(), TraceForm()),
    "tabs": (GOOD.replace(",", "\t").encode(), TraceForm()),
    "lines end as on Windows": (GOOD.replace("\n", "\r\n").encode(), TraceForm()),
    "empty lines and an empty last column": (GOOD.replace("\n", ",\n\n").encode(), TraceForm()),
    "slashes": (with_instants(lambda at: at.replace("-0", "/").replace("T", " ")), TraceForm()),
    "in words": (with_instants(lambda at: f"{at[:4]}年6月{int(at[8:10])}日 {at[11:]}"), TraceForm()),
    "seconds of the clock": (with_instants(lambda at: f"{at}:00.000"), TraceForm()),
    "offsets": (with_instants(lambda at: f"{at}+08:00"), TraceForm()),
    "two offsets": (with_instants(lambda at: OFFSETS[at]), TraceForm()),
    "dates as Excel counts them": (with_instants(lambda at: EXCEL[at]), TraceForm(numbers="excel")),
    "seconds": (with_instants(lambda at: {"06": "21600", "07": "27000", "00": "87000"}[at[11:13]]), TraceForm()),
    "a share of 1": (GOOD.replace(",22,", ",0.22,").replace("30.5", "0.305").encode(), TraceForm(soc_unit="share")),
    "with the sign": (GOOD.replace(",22,", ",22%,").replace("30.5", "30.5 %").encode(), TraceForm()),
    "yes and no in Chinese": (GOOD.replace("yes", "是").replace(",no", ",否").encode(), TraceForm()),
    "a column more": (GOOD.replace("booked", "booked,driver").replace("yes", "yes,Li").encode() + b"", TraceForm()),
}

REFUSED: dict[str, tuple[bytes, TraceForm, str]] = {
    "nothing": (b"", TraceForm(), "is empty"),
    "a header alone": (b"at,fleet\n", TraceForm(), "has a header and no row"),
    "no header": (GOOD.split("\n", 1)[1].encode(), TraceForm(), "line 1: the header is missing"),
    "another heading": (swapped("at,", "when,"), TraceForm(), "line 1: no column 'at'; there are: 'when', 'fleet'"),
    "a heading twice": (swapped("booked", "fleet"), TraceForm(), "line 1: the heading 'fleet' stands there 2 times"),
    "a heading that may be meant": (swapped("soc_pct", "SOC"), TraceForm(), 'demand.trace_columns = { soc_pct = "SOC"'),
    "a mapped heading that is not there": (GOOD.encode(), NAMED, "line 1: no heading '进站时间' for at"),
    "a mapped column that is none": (GOOD.encode(), TraceForm((("soc", "x"),)), "trace_columns.soc: is no column"),
    "UTF-16 without its mark": (GOOD.encode("utf-16-le"), TraceForm(), "UTF-16 without a byte order mark"),
    "neither": (GOOD.encode() + b"\xff\xff\xff,f1\n", TraceForm(), "line 5: is neither UTF-8, UTF-16 nor GBK"),
    "a workbook": (b"PK\x03\x04rest", TraceForm(), "is an Excel workbook: save the sheet as CSV"),
    "an old workbook": (b"\xd0\xcf\x11\xe0rest", TraceForm(), "is an Excel workbook"),
    "unsorted": (
        swapped("2026-06-01T07:30", "2026-06-01T05:30"),
        TraceForm(),
        "line 3: at '2026-06-01T05:30' is before",
    ),
    "no instant": (swapped("2026-06-01T07:30", "soon"), TraceForm(), "line 3: at 'soon' is no instant"),
    "empty instant": (swapped("2026-06-01T07:30", ""), TraceForm(), "line 3: at is empty"),
    "day first": (
        swapped("2026-06-01T07:30", "01/06/2026 07:30"),
        TraceForm(),
        "line 3: at '01/06/2026 07:30' leaves open",
    ),
    "no such day": (
        swapped("2026-06-02T00:10", "2026-06-31T00:10"),
        TraceForm(),
        "line 4: at '2026-06-31T00:10' is no instant",
    ),
    "no such hour": (swapped("T07:30", "T25:30"), TraceForm(), "line 3: at '2026-06-01T25:30' is no instant"),
    "no such minute": (swapped("T07:30", "T07:75"), TraceForm(), "line 3: at '2026-06-01T07:75' is no instant"),
    "the year 9999": (
        swapped("2026-06-02", "9999-06-02"),
        TraceForm(),
        "line 4: at '9999-06-02T00:10': allowed are the years",
    ),
    "ninety years": (swapped("2026-06-02", "2096-06-02"), TraceForm(), "allowed up to 3660: is an instant wrong?"),
    "offset here, none there": (swapped("T07:30", "T07:30+08:00"), TraceForm(), "line 3: some instants have an offset"),
    "numbers among instants": (
        swapped("2026-06-01T07:30", "27000"),
        TraceForm(),
        "line 2: at '2026-06-01T06:00' is no number",
    ),
    "dates as Excel counts them, not said": (
        with_instants(lambda at: EXCEL[at]),
        TraceForm(),
        "set demand.trace_numbers",
    ),
    "no Excel date": (
        b"at\n46174.25\n99999999\n",
        TraceForm(numbers="excel"),
        "line 3: at '99999999': no date as Excel",
    ),
    "negative seconds": (b"at\n-20\n5\n", TraceForm(), "line 2: at '-20': allowed 0…"),
    "endless seconds": (b"at\n5\ninf\n", TraceForm(), "line 3: at 'inf' is no number"),
    "seconds that are none": (b"at\nnan\n5\n", TraceForm(), "line 2: at 'nan' is no number"),
    "years of seconds": (b"at\n5\n1e30\n", TraceForm(), "line 3: at '1e30': allowed 0…316224000 s"),
    "overfull": (swapped(",22,", ",150,"), TraceForm(), "line 2: soc_pct '150': allowed 0…100 %"),
    "less than empty": (swapped(",22,", ",-20,"), TraceForm(), "line 2: soc_pct '-20': allowed 0…100 %"),
    "no state of charge": (swapped(",22,", ",nan,"), TraceForm(), "line 2: soc_pct 'nan' is no number"),
    "endless state of charge": (swapped(",22,", ",inf,"), TraceForm(), "line 2: soc_pct 'inf' is no number"),
    "a share, not said": (
        swapped(",22,", ",0.3,"),
        TraceForm(),
        "line 2: soc_pct '0.3' would be 0.3 %; for a share of 1",
    ),
    "a percentage as a share": (GOOD.encode(), TraceForm(soc_unit="share"), "line 2: soc_pct '22': allowed 0…1"),
    "a decimal comma between commas": (
        swapped(",30.5,", ",30,5,"),
        TraceForm(),
        "line 3: has 6 fields, the header has 5",
    ),
    "a field short": (swapped(",T1,22,yes", ""), TraceForm(), "line 2: has 2 fields, the header has 5"),
    "unknown fleet": (
        swapped("7:30,f1", "7:30,f9"),
        TraceForm(),
        "line 3: fleet 'f9' is not in the scenario; known: f1",
    ),
    "booked perhaps": (swapped("yes", "perhaps"), TraceForm(), "line 2: booked 'perhaps': allowed yes, no"),
    "a name without end": (swapped("T2", "T" * 40), TraceForm(), "has 40 characters; allowed up to 32"),
    "the same truck twice at once": (GOOD.encode() + b"2026-06-02T00:10,f1,T1,30,\n", TraceForm(), "in line 4 too"),
}


@pytest.mark.parametrize("name", READ)
def test_a_file_that_can_be_understood_is_read(name: str, tmp_path: Path) -> None:
    data, form = READ[name]
    (tmp_path / "trace.csv").write_bytes(data)
    trace = told(tmp_path / "trace.csv", form)
    assert isinstance(trace, TraceFile), trace
    expected = [(at_s, *rest) for at_s, *rest in FIRST]
    found = seen(trace)
    assert [row[1:] for row in found] == [tuple(row[1:]) for row in expected]
    assert [row[0] for row in found] == pytest.approx([row[0] for row in expected], abs=0.5)
    assert trace.first_on == (None if name == "seconds" else date(2026, 6, 1))
    assert trace.days == 2


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    data, form, said = REFUSED[name]
    (tmp_path / "trace.csv").write_bytes(data)
    found = told(tmp_path / "trace.csv", form)
    assert isinstance(found, str)
    assert said in found


def test_all_problems_come_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    rows = "".join(f"2026-06-03T{n % 24:02d}:00,f9,T{n},150,maybe\n" for n in range(30))
    (tmp_path / "trace.csv").write_text(GOOD.replace("T07:30", "") + rows)
    with pytest.raises(ConfigError) as caught:
        read_trace(tmp_path / "trace.csv", TraceForm(), SHANGHAI, ("f1",))
    problems = caught.value.problems
    assert len(problems) == 51
    assert problems[-1].startswith("and ")
    lines = [int(problem.split()[1].rstrip(":")) for problem in problems[:-1]]
    assert lines == sorted(lines)
    assert len(set(lines)) > 10


def traced(folder: Path, text: str, **over: Any) -> Scenario:
    (folder / "day.csv").write_text(text, encoding="utf-8")
    demand = {"mode": "trace", "trace": "day.csv"} | over.pop("demand", {})
    return parse_scenario(scenario_data(demand=demand, **over), folder=folder)


def played(read: Scenario, count: int, seed: int = 1) -> list[Arrival]:
    return list(islice(arrivals(read, read.start_at, seed), count))


def test_a_trace_keeps_its_own_calendar(tmp_path: Path) -> None:
    study = {"days": 1, "replications": 2}
    read = traced(tmp_path, GOOD, study=study)
    assert read.start_at.isoformat() == "2026-06-01T00:00:00+08:00"
    assert [arrival.at_s for arrival in played(read, 3)] == [21_600, 27_000, 87_000]
    later = traced(tmp_path, GOOD, study=study | {"start_on": date(2026, 6, 2)})
    assert [arrival.at_s for arrival in played(later, 2)] == [600, DAY_S + 21_600]
    with pytest.raises(ConfigError, match=r"study.start_on = 2026-01-05: .* covers 2026-06-01 to 2026-06-02"):
        traced(tmp_path, GOOD, study=study | {"start_on": date(2026, 1, 5)})


def test_a_trace_is_repeated_on_the_same_weekdays(tmp_path: Path) -> None:
    text = "at,vehicle\n" + "".join(f"2026-06-{day:02d}T12:00,D{day}\n" for day in range(1, 11))
    found = played(traced(tmp_path, text), 24)
    assert [arrival.vehicle_id for arrival in found[8:19]] == [f"D{n}" for n in (9, 10, 4, 5, 6, 7, 8, 9, 10, 4, 5)]
    assert all(arrival.at_s == day * DAY_S + DAY_S / 2 for day, arrival in enumerate(found))
    # A start outside its days, as a sensitivity run in another month has it, finds the same weekday inside.
    elsewhere = traced(tmp_path, text)
    january = elsewhere.study.model_copy(update={"start_on": date(2026, 1, 5)})
    assert played(elsewhere.model_copy(update={"study": january}), 1)[0].vehicle_id == "D8"  # a Monday too


def test_what_a_record_says_is_kept_and_the_rest_is_drawn(tmp_path: Path) -> None:
    read = traced(tmp_path, GOOD, bookings={"share": 1.0, "no_show_share": 1.0, "window_min": 30})
    first, second, third = played(read, 3)
    assert (first.vehicle_id, first.soc_pct, first.booked) == ("T1", (22.0,), True)
    assert first.booked_from_s <= first.at_s <= first.booked_until_s
    assert (second.booked, second.booked_until_s) == (False, 0.0)
    assert third.booked  # drawn
    assert 15 <= third.soc_pct[0] <= 45
    assert all(arrival.comes for arrival in (first, second, third))


@pytest.mark.parametrize("factor", [0.8, 1.2, 2.0])
def test_more_demand_reaches_a_trace(tmp_path: Path, factor: float) -> None:
    text = "at,vehicle\n" + "".join(f"{60 * n},V{n}\n" for n in range(1440))
    read = traced(tmp_path, text, demand={"factor": factor, "repeat_trace": False})
    found = list(arrivals(read, read.start_at, 1))
    assert len(found) == pytest.approx(1440 * factor, rel=0.03)
    assert [a.at_s for a in found] == sorted(a.at_s for a in found)
    recorded = [a for a in found if str(a.vehicle_id).startswith("V")]
    assert len({a.vehicle_id for a in recorded}) == len(recorded)
    assert len(recorded) == pytest.approx(1440 * min(factor, 1.0), rel=0.03)
