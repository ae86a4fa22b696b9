"""What Prometheus reads at `/metrics`: how this process answers, how the controller lives, how the station stands.

Requests are counted as they end. The rest is looked up when it is asked for: the controller's own word from its board,
the station from the database; while that is away its figures are left out, and `swap_database_up` is 0.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from api.deps import Doors
from scheduler.types import StationMode
from swap.errors import DatabaseAway, NotFound
from swap.identity.principal import EVERYTHING
from swap.reading.figures import StationFigures, station_figures
from swap.station.life.status import ControlWord

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper ends of the histogram of answer times, real seconds."""
_ONE = ""
"""Stands for the only value of a figure without labels."""
UNKNOWN = "none"
"""Operation of a request that no route takes."""


class Metrics:
    """The figures of one application."""

    def __init__(self, doors: Doors) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "swap_http_requests",
            "Requests answered, by operation and status.",
            ("operation", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "swap_http_request_seconds",
            "Real seconds until a request was answered, by operation; streams are not counted.",
            ("operation",),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        # Found by what they count: to look one up by its labels costs more than to count.
        self._counted = functools.lru_cache(maxsize=4096)(self._requests.labels)
        self._timed = functools.lru_cache(maxsize=1024)(self._seconds.labels)
        self._registry.register(_Station(doors))

    def answered(self, scope: Scope, status: int, seconds: float | None) -> None:
        """A request has ended.

        Args:
            seconds: how long it took; None of a stream.
        """
        route = scope.get("route")
        operation = getattr(route, "operation_id", None) or getattr(route, "name", None) or UNKNOWN
        self._counted(operation, status).inc()
        if seconds is not None:
            self._timed(operation).observe(seconds)

    def text(self) -> bytes:
        """Everything in Prometheus' text format; asks the database."""
        return generate_latest(self._registry)


class _Station(Collector):
    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    def describe(self) -> list[Metric]:
        """Nothing beforehand: what there is depends on what is known."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything but the requests."""
        yield from self._control()
        try:
            with self._doors.reading(EVERYTHING) as db:
                figures = station_figures(db)
        except (DatabaseAway, NotFound):
            figures = None
        yield _gauge("swap_database_up", "The database answers.", {_ONE: figures is not None})
        if figures is not None:
            yield from _figures(figures)

    def _control(self) -> Iterator[Metric]:
        board = self._doors.control
        if board is None:  # it runs in another process, and is known by the database alone
            return
        word, status, age_s = board.word(), board.status, board.age_s()
        words = {one.value: one is word for one in ControlWord}
        yield _gauge("swap_control_word", "The controller's state in one word: 1 at the one that holds.", words, "word")
        if status is None or age_s is None:
            return
        yield _gauge("swap_control_status_age_seconds", "Real seconds since the controller has spoken.", {_ONE: age_s})
        lag = {_ONE: status.loop_lag_s}
        yield _gauge("swap_control_loop_lag_seconds", "Longest lag of the controller's loops of late.", lag)
        wait = {_ONE: status.oldest_write_s or 0.0}
        yield _gauge("swap_control_commit_wait_seconds", "Age of the controller's oldest commit under way.", wait)


def _figures(figures: StationFigures) -> Iterator[Metric]:
    mode = figures.availability.mode
    modes = {one.value: one == mode for one in StationMode}
    yield _gauge("swap_station_mode", "Mode of the station: 1 at the one it is in.", modes, "mode")
    yield _gauge("swap_station_controlled", "A controller has the station and was heard.", {_ONE: figures.controlled})
    head = CounterMetricFamily("swap_journal_head_seq", "Number of the newest event of the journal.")
    head.add_metric((), figures.head_seq)
    yield head
    swaps = CounterMetricFamily("swap_swaps_ended", "Swaps that have ended, by result.", labels=("result",))
    for result, count in figures.swaps.items():
        swaps.add_metric((result,), count)
    yield swaps
    ready = {kind: count for kind, count in figures.availability.ready_packs.items()}
    yield _gauge("swap_ready_packs", "Packs that are charged and free, by kind.", ready, "kind")
    waiting = {_ONE: figures.availability.trucks_waiting}
    yield _gauge("swap_trucks_waiting", "Trucks that wait for a lane.", waiting)
    faults = {str(level): count for level, count in figures.open_faults.items()}
    yield _gauge("swap_faults_open", "Faults that are not cleared, by level.", faults, "level")
    site = figures.site
    if site is not None:
        if site.import_kw is not None:
            yield _gauge("swap_site_import_kw", "Power from the grid, kW.", {_ONE: site.import_kw})
        yield _gauge("swap_site_limit_kw", "Limit of the power from the grid, kW.", {_ONE: site.limit_kw})
        if site.charge_kw is not None:
            yield _gauge("swap_site_charge_kw", "Power into the packs, kW.", {_ONE: site.charge_kw})


def _gauge(name: str, meaning: str, values: Mapping[str, float], label: str | None = None) -> Metric:
    """A gauge: one value, or one for each value of a label."""
    family = GaugeMetricFamily(name, meaning, labels=() if label is None else (label,))
    for one, value in values.items():
        family.add_metric(() if label is None else (one,), float(value))
    return family
