"""Tables and plain values of the money of a design, and of candidates side by side. What is undefined is said so."""

from __future__ import annotations

from typing import Any

from sim.report.results import VERDICT_NAMES, board_values, cost_parts, interval, maybe_interval, station_values
from sim.report.tables import Cell, Share, Table
from sim.report.words import BOARD_UNITS, VERDICTS, Words
from sim.sizing.board import UNITS, Board
from sim.sizing.compare import Candidate, CandidateGap, Comparison
from sim.study.stats import Estimate


def money_table(board: Board, words: Words) -> Table:
    """The money of one design."""
    heads = (words.text("Quantity"), words.text("Value"), words.text("Unit"))
    rows = [(heading, cell, unit) for heading, cell, unit in _rows(board, words)]
    return Table("money", words.text("Money"), heads, tuple(rows))


def _rows(board: Board, words: Words) -> list[tuple[str, Cell, str]]:
    """Heading, value and unit; "–" stands for what is undefined."""
    text, yuan, years = words.text, words.unit("yuan"), words.unit("years")
    rows: list[tuple[str, Cell, str]] = [
        (text("Investment"), board.investment_yuan, yuan),
        (text("Cost a year: annuities, pay, electricity"), board.yearly_yuan, yuan),
    ]
    for name in UNITS:
        many, one = BOARD_UNITS[name]
        rows.append((text(many), _or_dash(board.yearly[name]), ""))
        rows.append((text(one), _or_dash(board.per[name]), yuan))
    rows += [
        (text("Revenue of the first year"), _or_dash(board.revenue_yuan), yuan),
        (text("Subsidies"), board.subsidy_yuan, yuan),
        (
            text("Net present value, {years} years at {rate}", years=board.years, rate=f"{board.discount:.3%}"),
            _or_dash(board.present_value_yuan),
            yuan,
        ),
        (text("Internal rate of return"), irr_cell(board, words), "%"),
        (text("Payback"), _payback(board, board.payback_years, words), years),
        (text("Payback, discounted"), _payback(board, board.discounted_payback_years, words), years),
    ]
    return rows


def _or_dash(value: Estimate | None) -> Cell:
    return "–" if value is None else value


def irr_cell(board: Board, words: Words) -> Cell:
    """The internal rate of return, or why there is none."""
    if board.irr is None:
        return "–"
    if not board.irr:
        return words.text("none")
    if len(board.irr) > 1:
        return words.text("not unique: {rates}", rates=", ".join(f"{rate:.2%}" for rate in board.irr))
    return Share(board.irr[0])


def _payback(board: Board, value: float | None, words: Words) -> Cell:
    if board.flows is None:
        return "–"
    return words.text("not within {years} years", years=board.years) if value is None else value


def flow_table(board: Board, words: Words) -> Table | None:
    """Cash flows year by year; None where they mean nothing."""
    if board.flows is None:
        return None
    text = words.text
    total, rows = 0.0, []
    for year, flow in enumerate(board.flows):
        total += flow
        rows.append((year, flow, flow / (1 + board.discount) ** year, total))
    heads = (
        text("Year"),
        text("Cash flow, yuan"),
        text("Discounted, yuan"),
        text("Sum of the flows, yuan"),
    )
    return Table("flows", text("Cash flows, before income tax"), heads, tuple(rows))


def money_tables(board: Board, words: Words) -> list[Table]:
    """Money and cash flows of one design."""
    flows = flow_table(board, words)
    return [money_table(board, words), *([] if flows is None else [flows])]


# Candidates side by side


def compare_tables(found: Comparison, words: Words) -> list[Table]:
    """Candidates in columns, what differs from the first, and the cash flows of each."""
    text = words.text
    names = [one.name for one in found.candidates]
    sides = [_side(one, words) for one in found.candidates]
    rows = [(heading, *(side[at][1] for side in sides), unit) for at, (heading, _, unit) in enumerate(sides[0])]
    tables = [Table("compare", text("Side by side"), (text("Quantity"), *names, text("Unit")), tuple(rows))]
    gaps = [_gap_rows(gap, words) for gap in found.gaps]
    heads = (text("More than {name}, on the same trucks", name=names[0]), *names[1:], text("Unit"))
    rows = [(heading, *(gap[at][1] for gap in gaps), unit) for at, (heading, _, unit) in enumerate(gaps[0])]
    return [*tables, Table("gaps", text("Differences, pair by pair"), heads, tuple(rows))]


def _side(one: Candidate, words: Words) -> list[tuple[str, Cell, str]]:
    text, trial = words.text, one.trial
    at, hardest = trial.hardest
    station = station_values(trial)
    rows: list[tuple[str, Cell, str]] = [
        (text("Design"), words.design(trial.design), ""),
        (text("Power of one charger"), station["charger_kw"], "kW"),
        (text("Within the promise, over the year"), Share(trial.share), "%"),
        (text("Within the promise, hardest week"), Share(hardest), "%"),
        (text("Hardest week"), words.week(trial.spans[at]), ""),
        (text("Promise"), text(VERDICTS[trial.verdict]), ""),
        (text("P95 wait, min"), trial.result().wait_quantile_min(0.95), ""),
        (text("Yearly cost with lost swaps and waiting"), trial.cost, words.unit("yuan")),
    ]
    return rows + _rows(one.board, words)


def _gap_rows(gap: CandidateGap, words: Words) -> list[tuple[str, Cell, str]]:
    text, yuan = words.text, words.unit("yuan")
    return [
        (text("Within the promise, over the year"), Share(gap.share), "%"),
        (text("Investment"), gap.investment_yuan, yuan),
        (text("Cost a year: annuities, pay, electricity"), gap.yearly_yuan, yuan),
        (text("Cost of a swap"), gap.yuan_per_swap, yuan),
        (text("Net present value"), _or_dash(gap.present_value_yuan), yuan),
    ]


def compare_values(found: Comparison) -> dict[str, Any]:
    """Every number of a comparison by name."""
    return {
        "seed": found.seed,
        "replications": found.replications,
        "candidates": [
            {
                "name": one.name,
                "station": station_values(one.trial),
                "verdict": VERDICT_NAMES[one.trial.verdict],
                "share_within_promise": interval(one.trial.share),
                "share_within_promise_in_the_hardest_week": interval(one.trial.hardest[1]),
                "yuan_per_year": interval(one.trial.cost),
                "yuan_per_year_by_part": {name: part.mean for name, part in cost_parts(one.trial).items()},
                "money": board_values(one.board),
            }
            for one in found.candidates
        ],
        "more_than_the_first": [
            {
                "name": one.name,
                "share_within_promise": interval(gap.share),
                "investment_yuan": gap.investment_yuan,
                "paid_yuan_per_year": interval(gap.yearly_yuan),
                "yuan_per_swap": interval(gap.yuan_per_swap),
                "net_present_value_yuan": maybe_interval(gap.present_value_yuan),
            }
            for one, gap in zip(found.candidates[1:], found.gaps, strict=True)
        ],
    }
