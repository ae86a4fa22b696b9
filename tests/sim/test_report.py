"""The planner's report: structure, both languages, no outside request, the numbers of the JSON output."""

from __future__ import annotations

import csv
import json
import re
import types
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from openpyxl import load_workbook
from pydantic import BaseModel

from deploy.catalogues import REPORT, extracted, po_path
from sim.report.assumptions import CHOICES, FIELDS, UNSEEN
from sim.report.plots import study_plots
from sim.report.report import Report, size_report, station_line, study_report
from sim.report.results import cost_parts, size_values, study_values
from sim.report.tables import (
    assumption_table,
    flat,
    limit_kw_by_hour,
    limit_kw_steps,
    number,
    share_text,
    shown,
    unit_of,
    wait_bins,
    write_tables,
)
from sim.report.words import CHANGES, PART_NAMES, QUANTITIES, SECTIONS, UNITS, load_words
from sim.scenario.file import Scenario
from sim.sizing.answer import Sizing, find_size, pack_table
from sim.sizing.search import Effort
from sim.sizing.trial import Trial
from sim.sizing.year import YearSpan
from sim.study.design import design_of
from sim.study.parallel import Workers, workers
from sim.study.stats import Estimate
from sim.study.study import StudyResult, run_study, simulate_once
from swap.words import LANGUAGES
from tests.support.sim.study import scenario

CHARTS = "window.echarts = {}; // no </script> in here, see https://example.org"


@pytest.fixture(scope="module")
def study() -> StudyResult:
    with workers(1) as pool:
        made = scenario(storage={"energy_kwh": 430, "power_kw": 200})
        return run_study(made, pool, replications=3, days=2, warmup_days=0.5)


@pytest.fixture(scope="module")
def sized() -> tuple[list[Trial], Sizing]:
    read = scenario(
        demand={"trucks_per_hour_by_hour": [5.0] * 24, "follows_cold": False},
        promise={"wait_limit_min": 10, "target_share": 0.9},
        costs={"lost_swap_yuan": 100, "wait_yuan_per_h": 20},
        sizing={"packs": [7, 8, 9], "transformer_kva": [1250, 2000], "lanes": [1]},
    )
    effort = Effort(days=2, warmup_days=0.5, first=3, step=3, most=6)
    with workers(1) as pool:
        return pack_table(read, pool, effort), find_size(read, pool, effort)


class Page(HTMLParser):
    """What a browser would load, and the numbers of the tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.rows: dict[str, list[list[float]]] = {}
        self.scripts: dict[str, str] = {}
        self.seen: list[str] = []
        """Texts that a reader sees."""
        self._table = self._script = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.loads += [value for name, value in given.items() if name in ("src", "href", "data", "action", "srcset")]
        self.loads += [value for value in given.values() if "url(" in value or "@import" in value]
        self.ids.add(given.get("id", ""))
        if tag == "table":
            self._table = given["id"].removeprefix("table-")
            self.rows[self._table] = []
        elif tag == "tr":
            self.rows[self._table].append([])
        elif tag == "td" and "data-value" in given:
            self.rows[self._table][-1].append(float(given["data-value"]))
        self.seen += [given[name] for name in ("title", "aria-label") if name in given]
        self._script = given.get("id", "code") if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._script = ""

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = data
        elif data.strip():
            self.seen.append(data.strip())


@pytest.fixture(params=["zh", "en"])
def reports(request: pytest.FixtureRequest, study: StudyResult, sized: tuple[list[Trial], Sizing]) -> list[Report]:
    words = load_words(request.param)
    table, found = sized
    return [study_report(study, words), size_report(table, found, words, found.scenario)]


def test_the_answer_comes_first_then_charts_tables_and_how_it_was_made(reports: list[Report]) -> None:
    for report, plots in zip(reports, [4, 5], strict=True):
        html = report.html(CHARTS)
        page = Page(html)
        assert html.index('id="answer"') < html.index('id="plot-') < html.index("<table") < html.index('id="made"')
        assert report.answer[0] in html
        assert len([name for name in page.ids if name.startswith("plot-")]) == plots
        assert set(json.loads(page.scripts["options"])) == {n.removeprefix("plot-") for n in page.ids if "plot-" in n}
        assert {"key_numbers", "periods", "hours", "waits", "assumptions"} <= set(page.rows)
        assert str(report.scenario.study.seed) in [value for _, value in report.made]
        assert html.count("</script>") == 4


def test_it_asks_for_nothing_from_outside(reports: list[Report]) -> None:
    for report in reports:
        page = Page(report.html(CHARTS))
        assert page.loads == []
        html = report.html("")
        assert "http://" not in html
        assert "https://" not in html
        assert "default-src 'none'" in html


def test_the_numbers_are_those_of_the_json_output(reports: list[Report], study: StudyResult) -> None:
    page = Page(reports[0].html(CHARTS))
    values = json.loads(page.scripts["values"])
    assert values == json.loads(json.dumps(study_values(study)))
    assert [row[0] for row in page.rows["key_numbers"][1:]] == [v["mean"] for v in values["values"].values()]
    hours = page.rows["hours"][1:]
    for at, name in enumerate(("ready_by_hour", "waiting_by_hour", "site_kw_by_hour")):
        assert [row[at] for row in hours] == values[name]
        assert json.loads(page.scripts["options"])["power"]["series"][2]["data"] == values["site_kw_by_hour"]


def test_storage_is_shown_where_there_is_some(reports: list[Report], study: StudyResult) -> None:
    page, without = Page(reports[0].html(CHARTS)), Page(reports[1].html(CHARTS))
    values = json.loads(page.scripts["values"])["storage_per_day_by_period"]
    used = {period: found for period, found in values.items() if any(found.values())}
    assert [row for row in page.rows["storage"] if row] == [list(found.values()) for found in used.values()]
    saved = sum(found["saved_yuan"] for found in used.values())
    assert saved == pytest.approx(study.mean("storage_saved_yuan_per_day").mean)
    assert saved > 0
    plot = json.loads(page.scripts["options"])["storage"]
    assert plot["series"][2]["data"] == json.loads(page.scripts["values"])["stored_kwh_by_hour"]
    assert max(plot["series"][2]["data"]) == pytest.approx(430)
    assert plot["series"][3]["data"] == json.loads(page.scripts["values"])["storage_kw_by_hour"]
    assert "storage" not in without.rows
    assert "storage" not in json.loads(without.scripts["options"])
    assert len(without.rows["key_numbers"]) == len(page.rows["key_numbers"]) - 5


def test_the_search_is_shown_as_found(reports: list[Report], sized: tuple[list[Trial], Sizing]) -> None:
    page = Page(reports[1].html(CHARTS))
    table, found = sized
    assert found.answer is not None
    assert json.loads(page.scripts["values"]) == json.loads(json.dumps(size_values(table, found)))
    assert len(page.rows["front"]) == len(found.front) + 1
    for trial in found.trials.values():
        parts = sum(part.mean for part in cost_parts(trial).values())
        assert parts == pytest.approx(trial.cost.mean, rel=1e-9)
    assert page.rows["cost"][1][-1] == found.answer.cost.mean
    assert len(page.rows["sensitivity"]) == 5
    # Every decision stands there, and what less of each would do.
    assert {"station", "weeks", "prices"} <= set(page.rows)
    assert len(page.rows["prices"]) == len(found.prices) + 1
    assert {price.resource for price in found.prices} >= {"packs", "chargers", "transformer_kva"}


def test_an_answer_at_the_edge_of_the_grid_is_warned_of(
    reports: list[Report], sized: tuple[list[Trial], Sizing]
) -> None:
    found = sized[1]
    assert found.answer is not None
    # Whichever of two ratings it is, it is one end of the list; one number of lanes is the planner's choice.
    assert found.edges["transformer_kva"] == ("lowest" if found.answer.design.transformer_kva == 1250 else "highest")
    assert "lanes" not in found.edges
    assert "chargers" not in found.edges
    assert len(reports[1].warnings) == len(found.edges)
    html = reports[1].html("")
    assert all(f'<p class="warn">{line}</p>' in html for line in reports[1].warnings)


def test_an_unstable_station_stands_on_no_front(sized: tuple[list[Trial], Sizing]) -> None:
    found = sized[1]
    design = replace(found.front[0].design, packs=1)
    weak = scenario(
        demand={"trucks_per_hour_by_hour": [5.0] * 24, "follows_cold": False},
        equipment={"packs": {"lfp-282": 1}, "transformer_kva": 2500},
    )
    runs = [simulate_once(weak, 1, n, days=3) for n in range(3)]
    span = YearSpan(weak.study.start_on, 0.0, 3.0)
    free = Trial(design, weak, 0.0, (span,), [runs], verdict=True)
    assert free.result().unstable
    front = replace(found, trials={design: free, **found.trials}).front
    assert front
    assert design not in [trial.design for trial in front]


def test_the_table_by_packs_alone_has_an_answer(sized: tuple[list[Trial], Sizing]) -> None:
    table, found = sized
    report = size_report(table, None, load_words("en"), found.scenario)
    assert set(report.plots) == {"waits", "stock", "power"}
    for verdicts, sentence in (
        ((False, None, True), "Smallest stock that keeps the promise: 9 packs"),
        ((False, None, None), "Undecided with packs alone: "),
        ((False, False, False), "Not reachable with packs alone: "),
    ):
        told = [replace(trial, verdict=verdict) for trial, verdict in zip(table, verdicts, strict=True)]
        report = size_report(told, None, load_words("en"), found.scenario)
        assert report.answer[0].startswith(sentence)


def test_undecided_is_never_told_as_impossible(sized: tuple[list[Trial], Sizing]) -> None:
    """P9: "not reachable: no design serves 95 %" stood beside one that "serves 96.2 ± 1.6 %"."""
    table, found = sized
    assert found.answer is not None
    none = replace(found, answer=None, prices=(), rivals=(), largest=found.answer, gains={}, binding=None)
    unsure = replace(none, best=replace(found.answer, verdict=None))
    stopped = replace(none, best=replace(found.answer, verdict=True), stopped=True)
    for said, verdict, mood, sentence in (
        (none, False, "bad", "Not reachable: no design of the grid serves 90% of the trucks"),
        (unsure, None, "unsure", "Undecided: no design of the grid keeps the promise for certain"),
        (stopped, None, "unsure", "Stopped before the end"),
    ):
        report = size_report(table, said, load_words("en"), said.scenario)
        assert said.verdict is verdict
        assert report.mood == mood
        assert report.answer[0].startswith(sentence)
        assert ("Not reachable" in " ".join(report.answer)) is (verdict is False)
        assert ("The cheapest so far" in " ".join(report.answer)) is said.stopped


def test_a_share_near_the_target_has_the_digits_that_tell_them_apart(sized: tuple[list[Trial], Sizing]) -> None:
    """A promise of 99.99 % was "wanted 100 %", beside a station that served "99.9 ± 0.1 %"."""
    assert share_text(Estimate(0.9712, 0.002, 20)) == "97.1% ± 0.4%"
    assert share_text(Estimate(0.99942, 0.0002, 20)) == "99.94% ± 0.04%"
    assert share_text(Estimate(1.0, 0.0, 20)) == "100.0% ± 0.0%"
    assert share_text(Estimate(0.99, float("inf"), 1)) == "99.0%"
    assert shown(Estimate(float("nan"), float("nan"), 4)) == "–"
    table, found = sized
    promise = found.scenario.promise.model_copy(update={"target_share": 0.9999})
    strict = found.scenario.model_copy(update={"promise": promise})
    assert found.answer is not None
    none = replace(found, scenario=strict, answer=None, prices=(), rivals=(), largest=found.answer, binding=None)
    said = " ".join(size_report(table, none, load_words("en"), strict).answer)
    assert "99.99%" in said
    assert "100% of the trucks" not in said
    assert "No resource helps for certain with one step more" in said


def test_waits_fall_into_bins_that_end_at_the_promise(study: StudyResult) -> None:
    bins = wait_bins(study)
    assert sum(share.mean for _, _, share in bins) == pytest.approx(1)
    limit_min = study.scenario.promise.wait_limit_min
    assert limit_min in [high for _, high, _ in bins]
    inside = sum(share.mean for _, high, share in bins if high is not None and high <= limit_min)
    runs = [float((run.waits_min <= limit_min).mean()) for run in study.runs]
    assert inside == pytest.approx(sum(runs) / len(runs))


def test_demand_response_lowers_the_limit_in_its_hours() -> None:
    def limits(from_hour: float, hours: float) -> list[int]:
        event = {"from_hour": from_hour, "hours": hours, "limit_kw": 500}
        found = limit_kw_by_hour(scenario(dr_events=[event]))
        assert max(found) in (500, 2500 * 0.95)
        return [hour for hour, limit in enumerate(found) if limit == 500]

    assert limits(17, 2) == [17, 18]
    assert limits(17.5, 1) == [17, 18]
    assert limits(23, 2) == [0, 23]
    assert limits(0, 24) == list(range(24))


def test_tables_can_be_read_as_a_workbook_and_as_csv(reports: list[Report], tmp_path: Path) -> None:
    for report in reports:
        write_tables(report.tables, tmp_path / "out.xlsx", report.words)
        written = write_tables(report.tables, tmp_path / "csv", report.words)
        book = load_workbook(tmp_path / "out.xlsx")
        assert book.sheetnames == [table.id for table in report.tables] == [path.stem for path in written]
        means = [row[1] for row in book["key_numbers"].iter_rows(min_row=3, values_only=True)]
        with (tmp_path / "csv" / "key_numbers.csv").open(encoding="utf-8-sig") as file:
            heads, *rows = list(csv.reader(file))
        # A workbook keeps 16 digits, a CSV file all of them.
        # A share stands there as the column of units says, in per cent.
        shown = {row[0]: (row[1], row[4]) for row in rows}
        share = report.values.get("values", {}).get("share_within_promise")
        if share is not None:
            found, unit = shown[report.words.text("Served within the promise")]
            assert float(found) == pytest.approx(100 * share["mean"])
            assert unit == "%"
        assert [float(row[1]) for row in rows] == pytest.approx(means, rel=1e-14)
        assert all(float(row[2]) <= float(row[1]) <= float(row[3]) for row in rows)
        assert len(set(heads)) == 5


def test_heads_of_written_tables_say_the_unit_where_no_column_does(reports: list[Report]) -> None:
    tables = {table.id: flat(table, reports[1].words) for table in reports[1].tables}
    words = reports[1].words
    heads, rows = tables["by_packs"]
    at = heads.index(words.text("Within the promise") + ", %")
    shares = [row[at] for row in rows]
    assert any(isinstance(share, float) and share > 1 for share in shares)
    assert all(words.unit("yuan") in head for head in tables["cost"][0][1:-3])
    assert tables["money"][1][0][-1] == words.unit("yuan")


def test_the_head_names_the_sized_station(reports: list[Report], sized: tuple[list[Trial], Sizing]) -> None:
    answer = sized[1].answer
    assert answer is not None
    assert answer.design != design_of(sized[1].scenario)
    head = reports[1].html(CHARTS).split("<header>")[1].split("</header>")[0]
    assert station_line(answer.scenario, reports[1].words) in head


def test_money_counts_in_ten_thousands_in_chinese_and_in_millions_in_english(
    reports: list[Report], sized: tuple[list[Trial], Sizing]
) -> None:
    answer = sized[1].answer
    assert answer is not None
    unit, word = (1e4, "万元") if reports[1].words.tag.startswith("zh") else (1e6, "million yuan")
    plot = reports[1].plots["cost"]
    assert word in plot["xAxis"]["name"]
    assert sum(part["data"][0] for part in plot["series"][:-1]) == pytest.approx(answer.cost.mean / unit)


def test_the_limit_is_drawn_to_the_minute() -> None:
    event = {"from_hour": 17.25, "hours": 1.5, "limit_kw": 500}
    night = {"from_hour": 23, "hours": 2, "limit_kw": 800}
    read = scenario(dr_events=[event, night])
    full_kw = 2500 * 0.95
    steps = [(0.0, 800.0), (1.0, full_kw), (17.25, 500.0), (18.75, full_kw), (23.0, 800.0)]
    assert limit_kw_steps(read) == steps
    line = study_plots(run_study(read, Workers(None, 1), days=0.5, warmup_days=0.0, replications=2), load_words("en"))
    drawn = line["power"]["series"][-1]
    assert drawn["data"][:4] == [[0.0, 800.0], [1.0, 800.0], [1.0, full_kw], [17.25, full_kw]]
    assert drawn["data"][-1] == [24.0, 800.0]
    assert line["power"]["xAxis"][drawn["xAxisIndex"]]["max"] == 24


def test_every_value_of_the_scenario_is_stated_with_its_unit(reports: list[Report]) -> None:
    table = next(table for table in reports[0].tables if table.id == "assumptions")
    rows = {row[4]: row for row in table.rows}
    words = reports[0].words
    assert rows["promise.wait_limit_min"][2:4] == (10.0, words.unit("min"))
    assert rows["equipment.transformer_kva"][2:4] == (2500.0, "kVA")
    assert rows["fleets[f1].arrive_soc.max_pct"][2:4] == (45.0, "%")
    assert rows["equipment.packs"][2] == "lfp-282: 8"
    assert rows["demand.mode"][2] == f"{words.text('rate by hour')} (profile)"
    assert rows["demand.follows_cold"][2] == words.text("no")
    assert unit_of("trucks_per_hour_by_hour") == "1/h"
    assert unit_of("insulation_ohm_per_v") == "Ω/V"
    assert unit_of("seed") == ""


MONTH = {"energy_price_yuan_per_kwh": "0.41", "adders_yuan_per_kwh": "0.1"}


def test_prices_of_single_months_are_stated_too() -> None:
    read = scenario(tariff={"profile": "flat", "months": {"2026-09": MONTH}})
    rows = {row[4]: row for row in assumption_table(read, load_words("zh")).rows}
    assert rows["tariff.months[2026-09].energy_price_yuan_per_kwh"][1:4] == ("当月电能量价格", "0.41", "元/kWh")


def test_every_field_of_a_scenario_has_a_phrase_and_every_choice_a_word() -> None:
    for section in section_types():
        fields = set(section.model_fields) - UNSEEN
        named = set(FIELDS[section.__name__])
        # What holds sections of its own is named by them.
        assert named <= fields
        assert all(_holds_sections(section, name) for name in fields - named), fields - named
        for name in fields:
            assert set(choices_of(section, name)) == set(CHOICES.get(f"{section.__name__}.{name}", {}))
        units = {unit_of(name) for name in fields}
        worded = {unit for unit in units if re.search("yuan|day|year", unit)} | units & {"min"}
        assert worded <= set(UNITS)


def section_types(of: type[BaseModel] = Scenario) -> Iterator[type[BaseModel]]:
    """The classes of all sections of a scenario, each once, `of` first."""
    seen: list[type[BaseModel]] = [of]
    for section in seen:
        yield section
        for field in section.model_fields.values():
            seen += [found for found in _models(field.annotation) if found not in seen]


def choices_of(section: type[BaseModel], name: str) -> tuple[str, ...]:
    """The texts that a field may hold when these are listed in its type; else none."""
    annotation = section.model_fields[name].annotation
    parts = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return tuple(str(value) for part in parts if get_origin(part) is Literal for value in get_args(part))


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (tuple, dict, Annotated, Union, types.UnionType):
        return [found for part in get_args(annotation) for found in _models(part)]
    return []


def _holds_sections(section: type[BaseModel], name: str) -> bool:
    held = list(section_types(section))[1:]
    return any(other.__name__ in str(section.model_fields[name].annotation) for other in held)


ENGLISH_SENTENCE = re.compile(r"[A-Za-z’'-]{2,}(?:[ ,]+[A-Za-z’'-]{2,}){2,}")
"""Three words in a row; names of files, versions and units have fewer."""


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def test_the_chinese_report_has_no_english_sentence_and_the_english_one_no_chinese(
    study: StudyResult, sized: tuple[list[Trial], Sizing], tmp_path: Path
) -> None:
    for language, stray in (("zh", ENGLISH_SENTENCE), ("en", re.compile(r"[一-鿿]+"))):
        words = load_words(language)
        table, found = sized
        for report in (study_report(study, words), size_report(table, found, words, found.scenario)):
            page = Page(report.html(CHARTS))
            for text in page.seen:
                # A scenario carries its name in both languages.
                assert not stray.search(text) or text == report.scenario.name_zh, text
            for text in strings(json.loads(page.scripts["options"])):
                assert not stray.search(text), text
            for path in write_tables(report.tables, tmp_path / language, words):
                heads = path.read_text(encoding="utf-8-sig").splitlines()[0]
                assert not stray.search(heads), heads


def test_words_that_are_the_same_in_both_languages_are_no_words() -> None:
    # Every text of the catalogue that has letters is a translation, not a copy.
    copies = [text for text, translation in texts("zh_CN", ".po").items() if text == translation]
    assert copies == []


def texts(language: str, suffix: str) -> dict[str, str]:
    with po_path(language, REPORT).with_suffix(suffix).open("rb") as file:
        catalogue = read_mo(file) if suffix == ".mo" else read_po(file)
    return {str(message.id): str(message.string) for message in catalogue if message.id}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(language: str) -> None:
    wanted = {str(message.id) for message in extracted(REPORT) if message.id}
    found = texts(language, ".po")
    assert set(found) == wanted, "run: python deploy/catalogues.py"
    assert [text for text, translation in found.items() if not translation] == []
    assert texts(language, ".mo") == found
    for text, translation in found.items():
        assert sorted(re.findall(r"\{\w+[^}]*\}", text)) == sorted(re.findall(r"\{\w+[^}]*\}", translation)), text


def test_every_name_has_words(study: StudyResult, sized: tuple[list[Trial], Sizing]) -> None:
    assert set(QUANTITIES) == set(study.estimates())
    assert set(PART_NAMES) == set(cost_parts(sized[0][0]))
    assert set(CHANGES) == {change for change, _, _ in sized[1].sensitivity}
    sections = {name for name, info in Scenario.model_fields.items() if "Section" in str(info.annotation)}
    assert sections <= set(SECTIONS)


def test_numbers_are_never_in_powers_of_ten() -> None:
    assert [number(v) for v in (0, 0.01234, 1.5, 999.96, 12345.6, 7_669_503, float("inf"))] == [
        "0", "0.01234", "1.5", "1,000", "12,350", "7,670,000", "–",
    ]  # fmt: skip
