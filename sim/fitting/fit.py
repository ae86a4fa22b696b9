"""Numbers of a scenario from a record, each with how well it fits.

Rates are those of the scenario's own model: a rate by hour times a factor by weekday, Poisson within the hour (maximum
likelihood, by iterative proportional fitting). States of charge are triangular (least Cramér–von Mises distance), lane
times gamma about their mean. Whether a model fits is asked by a parametric bootstrap: how often a record drawn from the
fitted model, and fitted again, lies further from its fit than this record does. So no table is needed that would not
know that the parameters come from the same data.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sim.fitting.visits import VisitRecord
from sim.scenario.file import SocSection
from sim.scenario.notes import Note
from sim.scenario.streams import Purpose, generator
from swap.words import N_

Floats = NDArray[np.float64]

DOUBT_BELOW = 0.01
"""A fit is doubted where a record this far from it is rarer than that."""
SAMPLES = 199
"""Records drawn for each question."""
LEAST = 20
"""Fewer values fit nothing."""
_QUANTILES = 300
"""So many of sorted values stand for all of them in a search."""
_REFERENCE = 20_000
"""Draws that stand for a distribution without a formula here."""


class TooLittle(Exception):
    """The record holds too little to fit anything."""


@dataclass(frozen=True, slots=True)
class Goodness:
    """How well one model fits."""

    name: str
    """rates, weekdays, soc or swap_s."""
    of: str
    """Fleet, or empty."""
    count: int
    """Values behind it."""
    distance: float
    """Of the record from its fit: for rates the variance of hourly counts ÷ that of a Poisson stream (1: as one), for
    weekdays the deviance ÷ its degrees of freedom, else the largest difference of the distribution functions."""
    p: float
    """Share of drawn records that lie as far from theirs."""

    @property
    def fits(self) -> bool:
        """Nothing speaks against the model."""
        return self.p >= DOUBT_BELOW


@dataclass(frozen=True)
class Fit:
    """What a record says in the words of a scenario."""

    visits: int
    days: float
    rate_by_hour: tuple[float, ...]
    """Trucks per hour, mean over the weekdays."""
    factor_by_weekday: tuple[float, ...]
    """Monday first; the mean is 1."""
    soc_by_fleet: dict[str, SocSection]
    """"" where the record tells no fleets."""
    swap_s: float | None
    swap_cv: float | None
    booked_share: float | None
    goodness: tuple[Goodness, ...]
    notes: tuple[Note, ...]

    @property
    def fits(self) -> bool:
        """No model is doubted."""
        return all(item.fits for item in self.goodness)


def fit(visits: VisitRecord, seed: int = 1) -> Fit:
    """Fit all that a record tells.

    Raises:
        TooLittle: fewer than `LEAST` trucks, or less than a day.
    """
    hours = list(visits.hours())
    days = sum(inside for _, inside in hours) / 24
    if len(visits.visits) < LEAST or days < 1:
        raise TooLittle(
            f"{len(visits.visits)} trucks in {days:.1f} day(s): rates by hour need {LEAST} trucks and a whole day"
        )
    draw = generator(seed, 0, Purpose.FIT)
    notes: list[Note] = []
    rates, weekdays, goodness = _fit_rates(visits, draw, notes)
    soc_by_fleet: dict[str, SocSection] = {}
    for fleet in sorted({visit.fleet for visit in visits.visits}):
        values = np.sort([level for visit in visits.visits if visit.fleet == fleet for level in visit.soc_pct])
        if values.size >= LEAST:
            soc_by_fleet[fleet], found = _fit_soc(values, fleet, draw)
            goodness.append(found)
        elif values.size:
            message = N_("fleet {fleet}: {count} states of charge fit nothing, {least} are needed")
            notes.append(Note(message, {"fleet": fleet or "–", "count": int(values.size), "least": LEAST}))
    took = np.sort([visit.swap_s for visit in visits.visits if visit.swap_s is not None])
    swap_s = swap_cv = None
    if took.size >= LEAST:
        swap_s, swap_cv, found = _fit_gamma(took, draw)
        goodness.append(found)
    told = [visit.booked for visit in visits.visits if visit.booked is not None]
    booked_share = sum(told) / len(told) if told else None
    return Fit(
        len(visits.visits),
        days,
        tuple(rates.tolist()),
        tuple(weekdays.tolist()),
        soc_by_fleet,
        swap_s,
        swap_cv,
        booked_share,
        tuple(goodness),
        tuple(notes),
    )


# -- rates


def _fit_rates(visits: VisitRecord, draw: Generator, notes: list[Note]) -> tuple[Floats, Floats, list[Goodness]]:
    slots = list(visits.hours())
    weekday = np.array([at.weekday() for at, _ in slots])
    hour = np.array([at.hour for at, _ in slots])
    inside_h = np.array([lasts for _, lasts in slots])
    place = {at: number for number, (at, _) in enumerate(slots)}
    counts = np.zeros(len(slots))
    for at, count in Counter(v.at.replace(minute=0, second=0, microsecond=0) for v in visits.visits).items():
        counts[place[at]] = count
    exposure = np.zeros((7, 24))
    np.add.at(exposure, (weekday, hour), inside_h)

    def by_cell(of_slots: Floats) -> Floats:
        cells = np.zeros((7, 24))
        np.add.at(cells, (weekday, hour), of_slots)
        return cells

    whole_week = len(slots) >= 7 * 24
    parameters = 24 + (6 if whole_week else 0)

    def fitted(of_slots: Floats) -> tuple[Floats, Floats, float, float]:
        cells = by_cell(of_slots)
        rates, factors = _multiplicative(cells, exposure, by_weekday=whole_week)
        of_cells = factors[:, None] * rates[None, :]
        dispersion = _dispersion(of_slots, of_cells[weekday, hour] * inside_h, parameters)
        return rates, factors, dispersion, _deviance(cells, of_cells * exposure, parameters)

    rates, factors, dispersion, deviance = fitted(counts)
    if not whole_week:
        notes.append(Note(N_("the record is shorter than a week: every factor by weekday is 1")))
    expected = (factors[:, None] * rates[None, :])[weekday, hour] * inside_h
    drawn = [fitted(draw.poisson(expected).astype(float))[2:] for _ in range(SAMPLES)]
    count = len(visits.visits)
    goodness = [Goodness("rates", "", count, dispersion, _share_above(dispersion, [d for d, _ in drawn]))]
    if whole_week:
        goodness.append(Goodness("weekdays", "", count, deviance, _share_above(deviance, [g for _, g in drawn])))
    return rates, factors, goodness


def _multiplicative(counts: Floats, exposure: Floats, *, by_weekday: bool) -> tuple[Floats, Floats]:
    """Rates by hour and factors by weekday, of mean 1, that are most likely for counts by weekday and hour."""
    factors = np.ones(7)
    for _ in range(100 if by_weekday else 0):
        rates = _divided(counts.sum(axis=0), factors @ exposure)
        new = _divided(counts.sum(axis=1), exposure @ rates)
        new /= max(float(new.mean()), 1e-12)
        close = bool(np.abs(new - factors).max() < 1e-12)
        factors = new
        if close:
            break
    return _divided(counts.sum(axis=0), factors @ exposure), factors


def _divided(one: Floats, other: Floats) -> Floats:
    found: Floats = np.divide(one, other, out=np.zeros_like(one), where=other > 0)
    return found


def _dispersion(counts: Floats, expected: Floats, parameters: int) -> float:
    """Pearson's sum of squares ÷ degrees of freedom: 1 for a Poisson stream of these means."""
    some = expected > 0
    return float(((counts[some] - expected[some]) ** 2 / expected[some]).sum() / max(some.sum() - parameters, 1))


def _deviance(counts: Floats, expected: Floats, parameters: int) -> float:
    """How much likelier a rate of its own for each hour of the week makes the record, ÷ the degrees of freedom."""
    some = counts > 0
    gained = float((counts[some] * np.log(counts[some] / expected[some])).sum() + expected.sum() - counts.sum())
    return 2 * gained / max(int((expected > 0).sum()) - parameters, 1)


def _share_above(value: float, drawn: Sequence[float]) -> float:
    """The p-value of a bootstrap, never 0."""
    return (1 + sum(other >= value for other in drawn)) / (1 + len(drawn))


# -- states of charge


def _fit_soc(values: Floats, fleet: str, draw: Generator) -> tuple[SocSection, Goodness]:
    low, mode, high = _triangle(values)
    distance = _largest_difference(values, _triangular_cdf(values, low, mode, high))

    def again() -> float:
        sample = np.sort(draw.triangular(low, mode, high, values.size)) if high > low else values
        return _largest_difference(sample, _triangular_cdf(sample, *_triangle(sample, (low, mode, high))))

    p = _share_above(distance, [again() for _ in range(SAMPLES)])
    section = SocSection(min_pct=round(low, 1), mode_pct=round(mode, 1), max_pct=round(high, 1))
    return section, Goodness("soc", fleet, int(values.size), distance, p)


def _triangle(values: Floats, start: tuple[float, float, float] | None = None) -> tuple[float, float, float]:
    """Least, most frequent and greatest value of the triangle that is nearest to sorted values of 0…100.

    Args:
        start: a triangle that is near already.
    """
    if values.size > _QUANTILES:
        values = values[np.linspace(0, values.size - 1, _QUANTILES).round().astype(int)]

    def distance(low: float, mode: float, high: float) -> float:
        ranks = (np.arange(values.size) + 0.5) / values.size
        return float(((_triangular_cdf(values, low, mode, high) - ranks) ** 2).sum())

    low, high = float(values[0]), float(values[-1])
    best = start or (low, min(max(3 * float(values.mean()) - low - high, low), high), high)
    least = distance(*best)
    step = 8.0 if start is None else 1.0
    while step > 0.05:
        moved = False
        for at in range(3):
            for sign in (-1, 1):
                tried = list(best)
                tried[at] = min(max(tried[at] + sign * step, 0.0), 100.0)
                if tried[0] <= tried[1] <= tried[2] and (found := distance(*tried)) < least:
                    best, least, moved = (tried[0], tried[1], tried[2]), found, True
        if not moved:
            step /= 2
    return best


def _triangular_cdf(values: Floats, low: float, mode: float, high: float) -> Floats:
    if high - low < 1e-9:
        return (values >= low).astype(float)
    up = np.clip(values - low, 0, None) ** 2 / max((high - low) * (mode - low), 1e-12)
    down = 1 - np.clip(high - values, 0, None) ** 2 / max((high - low) * (high - mode), 1e-12)
    found: Floats = np.where(values < low, 0.0, np.where(values <= mode, np.minimum(up, 1.0), np.maximum(down, 0.0)))
    return found


def _largest_difference(values: Floats, cdf: Floats) -> float:
    """Kolmogorov's distance of sorted values from a distribution."""
    steps = np.arange(values.size + 1) / values.size
    return float(max((steps[1:] - cdf).max(), (cdf - steps[:-1]).max()))


# -- lane times


def _fit_gamma(values: Floats, draw: Generator) -> tuple[float, float, Goodness]:
    """Mean, coefficient of variation, and how well the gamma distribution of the study fits."""

    def distance(sample: Floats) -> float:
        mean, cv = float(sample.mean()), float(sample.std(ddof=1) / sample.mean())
        if cv < 1e-6:
            return 0.0
        reference = np.sort(draw.gamma(1 / cv**2, cv**2 * mean, _REFERENCE))
        return _largest_difference(sample, np.searchsorted(reference, sample, side="right") / _REFERENCE)

    mean, cv = float(values.mean()), float(values.std(ddof=1) / values.mean())
    found = distance(values)
    samples = SAMPLES if cv >= 1e-6 else 0
    drawn = [distance(np.sort(draw.gamma(1 / cv**2, cv**2 * mean, values.size))) for _ in range(samples)]
    return round(mean, 1), round(cv, 3), Goodness("swap_s", "", int(values.size), found, _share_above(found, drawn))


# -- as a file


def scenario_part(found: Fit, source: str, say: Callable[[Note], str] = str) -> str:
    """The fitted numbers as a part of a scenario file (TOML), with a line on each that is doubted.

    Args:
        source: what was fitted, for the first line.
    """
    lines = [f"# {source}: {found.visits} trucks in {found.days:.1f} days, fitted by swap fit."]
    lines += [f"# {say(note)}" for note in found.notes]
    for item in found.goodness:
        doubt = "" if item.fits else f": DOUBTED, a record this far off comes in {item.p:.1%} of all"
        of = f" of {item.of}" if item.of else ""
        lines.append(f"# {item.name}{of}: distance {item.distance:.3g}, p = {item.p:.3f}{doubt}")
    lines += [
        "",
        "[demand]",
        'mode = "profile"',
        "trucks_per_hour_by_hour = [" + ", ".join(f"{rate:.3f}" for rate in found.rate_by_hour) + "]",
        "factor_by_weekday = [" + ", ".join(f"{factor:.3f}" for factor in found.factor_by_weekday) + "]",
        "follows_cold = false  # the weather of the record is in its rates",
    ]
    if found.booked_share is not None:
        lines += ["", "[bookings]", f"share = {found.booked_share:.3f}"]
    if found.swap_s is not None and found.swap_cv is not None and math.isfinite(found.swap_cv):
        lines += ["", "[equipment]  # lane time of a swap, stops left out", f"swap_s = {found.swap_s:.1f}"]
        lines.append(f"swap_cv = {min(found.swap_cv, 1.0):.3f}")
    for fleet, soc in found.soc_by_fleet.items():
        lines += ["", f"[[fleets]]  # into the fleet {fleet}" if fleet else "[[fleets]]  # into each fleet"]
        lines += [f'id = "{fleet}"'] if fleet else []
        values = f"min_pct = {soc.min_pct:.1f}, mode_pct = {soc.peak_pct:.1f}, max_pct = {soc.max_pct:.1f}"
        lines.append(f"arrive_soc = {{ {values} }}")
    return "\n".join(lines) + "\n"
