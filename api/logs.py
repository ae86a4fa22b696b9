"""Logging of a process that runs on: one JSON object a line on standard error, or a person's form on a terminal.

Every module logs through the standard library (`logging.getLogger(__name__)`); structlog forms the lines. What a line
is about is bound where the work begins (`structlog.contextvars.bind_contextvars`): `station` by the entry points,
`lane` and `swap` by the lanes. What a library logs is shown from warnings on.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog

from swap.messages.values import printable

ROOMS = ("api", "sim", "swap", "robotics", "battery_bms", "scheduler")
Level = Literal["debug", "info", "warning", "error"]


def configure_logging(level: Level = "info", stream: TextIO | None = None) -> None:
    """Form and level of every line from now on; what was configured before is replaced.

    Args:
        level: the least that our own rooms show.
        stream: where lines go; standard error when not given. A terminal gets the person's form.
    """
    stream = sys.stderr if stream is None else stream
    known: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _written_out,
    ]
    shown: list[structlog.typing.Processor]
    if stream.isatty():
        shown = [
            structlog.processors.format_exc_info,
            _lines_written_out,
            structlog.dev.ConsoleRenderer(timestamp_key="at", exception_formatter=structlog.dev.plain_traceback),
        ]
    else:
        shown = [
            structlog.processors.format_exc_info,
            _lines_written_out,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=known, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for room in ROOMS:
        logging.getLogger(room).setLevel(level.upper())


def _written_out(_logger: object, _method: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Names and device texts reach a log: what acts on a terminal is written out, and a line stays one line."""
    for key, value in entry.items():
        if isinstance(value, str):
            entry[key] = printable(value.rstrip("\n"))
    return entry


def _lines_written_out(_logger: object, _method: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The same for a traceback, which has lines."""
    if isinstance(entry.get("exception"), str):
        entry["exception"] = printable(entry["exception"], lines=True)
    return entry
