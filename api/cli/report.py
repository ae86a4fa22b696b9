"""`--report`, `--tables` and `--lang` of the planner's commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.common import fail
from api.terminal import Lang, choose, chosen, echo, text

if TYPE_CHECKING:
    from sim.report.report import Report
    from sim.report.words import Words

CHARTS = Path(__file__).parents[1] / "console" / "static" / "vendor" / "echarts" / "echarts.min.js"


ReportFile = Annotated[
    Path | None,
    typer.Option("--report", help="Write a report, one HTML file that needs nothing else.", dir_okay=False),
]
Tables = Annotated[
    Path | None,
    typer.Option("--tables", help="Write the report's tables: a workbook (NAME.xlsx), or a folder of CSV files."),
]
ReportLang = Annotated[
    Lang | None,
    typer.Option(
        "--lang",
        help="Language of what is printed and of report and tables; without it these are Chinese.",
        show_default=False,
    ),
]


def _names_tables(path: Path) -> bool:
    """A workbook, a folder, or the name of a new folder: one with a suffix was meant for a file."""
    if path.suffix.lower() == ".xlsx":
        return not path.is_dir()
    return path.is_dir() or not (path.suffix or path.exists())


class ReportWanted:
    """What is to be written at the end; refused at the start when it cannot be, before long work."""

    def __init__(self, report: Path | None, tables: Path | None, language: Lang | None) -> None:
        self.report, self.tables = report, tables
        if language is not None:
            choose(language)
        for option, path in (("--report", report), ("--tables", tables)):
            if path is not None and not path.parent.is_dir():
                fail(text("{option} {path}: no such folder {folder}", option=option, path=path, folder=path.parent))
        if report is not None and not CHARTS.is_file():
            fail(
                text(
                    "--report needs the chart library, which is not at {path}: run `make setup`, or copy "
                    "dist/echarts.min.js of the npm package echarts 6 there",
                    path=CHARTS,
                )
            )
        if tables is not None and not _names_tables(tables):
            fail(text("{option} {path}: is neither NAME.xlsx nor a folder", option="--tables", path=tables))

    def __bool__(self) -> bool:
        return self.report is not None or self.tables is not None

    @property
    def words(self) -> Words:
        """Texts of the language asked for; Chinese when none was."""
        from sim.report.words import load_words

        return load_words((chosen() or Lang.zh).value)

    def write(self, report: Report) -> None:
        """Write what was asked for and say where, on standard error."""
        from sim.report.tables import write_tables

        try:
            if self.report is not None:
                self.report.write_text(report.html(CHARTS.read_text(encoding="utf-8")), encoding="utf-8")
                echo(text("report: {path}", path=self.report), err=True)
            if self.tables is not None:
                write_tables(report.tables, self.tables, report.words)
                echo(text("tables: {path}", path=self.tables), err=True)
        except OSError as error:
            fail(text("cannot write {path}: {reason}", path=error.filename, reason=error.strerror))
