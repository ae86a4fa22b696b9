"""`--report`, `--tables` and `--lang` of the planner's commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli_common import fail

if TYPE_CHECKING:
    from sim.report import Report
    from sim.report_words import Words

CHARTS = Path(__file__).parent / "console" / "static" / "vendor" / "echarts" / "echarts.min.js"


class Language(StrEnum):
    """Languages of a report."""

    zh = "zh"
    en = "en"


ReportFile = Annotated[
    Path | None,
    typer.Option("--report", help="Write a report, one HTML file that needs nothing else.", dir_okay=False),
]
Tables = Annotated[
    Path | None,
    typer.Option("--tables", help="Write the report's tables: a workbook (NAME.xlsx), or a folder of CSV files."),
]
Lang = Annotated[Language, typer.Option("--lang", help="Language of report and tables.")]


class ReportWanted:
    """What is to be written at the end; refused at the start when it cannot be, before long work."""

    def __init__(self, report: Path | None, tables: Path | None, language: Language) -> None:
        self.report, self.tables = report, tables
        self.language = language
        if report is not None and not CHARTS.is_file():
            fail(
                f"--report needs the chart library, which is not at {CHARTS}: run `make setup`, or copy "
                "dist/echarts.min.js of the npm package echarts 6 there"
            )
        if report is not None and not report.parent.is_dir():
            fail(f"--report {report}: no such folder {report.parent}")
        if tables is not None and tables.suffix.lower() != ".xlsx" and tables.is_file():
            fail(f"--tables {tables}: is a file; give NAME.xlsx or a folder")

    def __bool__(self) -> bool:
        return self.report is not None or self.tables is not None

    @property
    def words(self) -> Words:
        """Texts of the language asked for."""
        from sim.report_words import load_words

        return load_words(self.language.value)

    def write(self, report: Report) -> None:
        """Write what was asked for and say where, on standard error."""
        from sim.report_tables import write_tables

        try:
            if self.report is not None:
                self.report.write_text(report.html(CHARTS.read_text(encoding="utf-8")), encoding="utf-8")
                typer.echo(f"report: {self.report}", err=True)
            if self.tables is not None:
                write_tables(report.tables, self.tables, report.words)
                typer.echo(f"tables: {self.tables}", err=True)
        except OSError as error:
            fail(f"cannot write {error.filename}: {error.strerror}")
