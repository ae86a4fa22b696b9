"""Tables and plain values of what uncertain inputs do to a study."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.report.results import interval
from sim.report.tables import Cell, Share, Table
from sim.report.words import INPUT_NAMES, Words
from sim.sizing.uncertainty import InputEffect, Uncertainty
from sim.study.stats import Estimate


def chance_line(found: Uncertainty, words: Words) -> str:
    """The chance that the promise holds, in a line."""
    mean, low, high = found.chance
    inputs = "; ".join(words.text(INPUT_NAMES[name]) for name in found.drawn)
    said = words.text(
        "Chance that the promise holds: {mean} ({low} to {high}); of {count} draws {kept} keep it for certain, "
        "{broken} break it, {undecided} are undecided. Drawn: {inputs}.",
        mean=f"{mean:.1%}",
        low=f"{low:.1%}",
        high=f"{high:.1%}",
        count=len(found.shares),
        kept=found.kept,
        broken=found.broken,
        undecided=len(found.shares) - found.kept - found.broken,
        inputs=inputs,
    )
    return said + " " + words.text("Their ranges are assumed; [uncertainty] gives yours.") if found.assumed else said


def uncertainty_tables(found: Uncertainty, words: Words) -> list[Table]:
    """Tornado, and what the draws give."""
    text = words.text
    heads = (
        text("Input"),
        text("Low"),
        text("High"),
        text("Share within the promise, more at low"),
        text("Share within the promise, more at high"),
        text("Yuan a year more at low"),
        text("Yuan a year more at high"),
        text("Why not"),
    )
    rows = tuple(_row(effect, words) for effect in found.effects)
    tables = [Table("tornado", text("What each input does by itself"), heads, rows)]
    shares = sorted(share.mean for share in found.shares)
    yuan = sorted(found.yearly_yuan)
    marks = ((text("5 % lie below"), 0.05), (text("half lie below"), 0.5), (text("95 % lie below"), 0.95))
    drawn = tuple((name, Share(float(np.quantile(shares, at))), float(np.quantile(yuan, at))) for name, at in marks)
    title = text("All drawn inputs together, {count} draws", count=len(shares))
    return [
        *tables,
        Table("draws", title, (text("Of the draws"), text("Within the promise"), text("yuan a year")), drawn),
    ]


def _row(effect: InputEffect, words: Words) -> tuple[Cell, ...]:
    name, none = words.text(INPUT_NAMES[effect.name]), words.text("not applicable")
    ends = (effect.given.low, effect.given.high)
    if effect.lack is not None:
        return (name, *ends, *(none,) * 4, words.text(effect.lack))
    shares: tuple[Cell, ...] = (none, none) if effect.share is None else tuple(Share(end) for end in effect.share)
    yuan: tuple[Cell, ...] = (none, none) if effect.yearly_yuan is None else effect.yearly_yuan
    return (name, *ends, *shares, *yuan, "")


def uncertainty_values(found: Uncertainty) -> dict[str, Any]:
    """Every number of it by name; null is not applicable."""
    mean, low, high = found.chance
    return {
        "draws": len(found.shares),
        "drawn": list(found.drawn),
        "ranges_assumed": found.assumed,
        "chance_that_the_promise_holds": {"mean": mean, "low": low, "high": high},
        "kept": found.kept,
        "broken": found.broken,
        "share_within_promise_by_draw": [share.mean for share in found.shares],
        "yuan_per_year_by_draw": list(found.yearly_yuan),
        "tornado": [
            {
                "input": effect.name,
                "low": effect.given.low,
                "high": effect.given.high,
                "applicable": effect.lack is None,
                "why_not": effect.lack,
                "share_within_promise_more": _both(effect.share),
                "yuan_per_year_more": _both(effect.yearly_yuan),
            }
            for effect in found.effects
        ],
    }


def _both(ends: tuple[Estimate, Estimate] | None) -> dict[str, dict[str, float]] | None:
    return None if ends is None else {"at_low": interval(ends[0]), "at_high": interval(ends[1])}
