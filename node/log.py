"""The log: an allow-list of fields, so that nothing about a case, a person or an address can get in by accident.

An event has a name (a constant in the code), a level, a time, and fields of this list. What else is bound to it is
dropped and counted in `dropped`. An exception is logged as its type and a fresh id, never as text or traceback, since
both may hold data.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from almenara.crypto.random import random_bytes

if TYPE_CHECKING:
    from almenara.node.config import Log

TEXT_FIELDS = frozenset({"peer", "defect", "field", "error", "kind", "id", "state", "reason", "command", "version"})
"""Words and identifiers: short forms of node ids, names of rules, types and fields. Their form is checked too."""
NUMBER_FIELDS = frozenset({"count", "lane", "milliseconds", "position", "type", "bytes"})
EVENT_WORDS = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
FIELD_WORDS = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}", re.ASCII)
ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")

Event = MutableMapping[str, Any]


def configure(settings: Log, stream: TextIO | None = None) -> None:
    """Send events to a stream (standard error): words on a terminal, else one JSON object a line."""
    out = sys.stderr if stream is None else stream
    console = settings.format == "console" or (settings.format is None and out.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=out.isatty()) if console else structlog.processors.JSONRenderer()
    )
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    structlog.configure(
        processors=[
            allow_listed,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _quiet_libraries(level)


def allow_listed(_logger: Any, _method: str, event: Event) -> Event:
    """Keep what the lists name, in the form they name; count the rest."""
    name, failure = event.pop("event", ""), event.pop("exc_info", None)
    kept: Event = {key: value for key, value in event.items() if _allowed(key, value)}
    dropped = len(event) - len(kept)
    if EVENT_WORDS.fullmatch(str(name)):
        kept["event"] = name
    else:
        kept["event"] = "unnamed"
        dropped += 1
    if failure:
        kept.update(_about(failure))
    if dropped:
        kept["dropped"] = dropped
    return kept


def _allowed(key: str, value: object) -> bool:
    if key in NUMBER_FIELDS:
        return type(value) is int
    text = isinstance(value, str) and FIELD_WORDS.fullmatch(value) and not ADDRESS.search(value)
    return key in TEXT_FIELDS and bool(text)


def _about(failure: Any) -> Mapping[str, str]:
    error = failure if isinstance(failure, BaseException) else sys.exc_info()[1]
    return {"error": type(error).__name__, "id": random_bytes(4).hex()}


class _Library(logging.Handler):
    """What libraries log by Python's own logging: that they did, who, how bad, and the type of an exception."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on the logger's name and the exception's type; messages may hold addresses or data."""
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        fields = {"kind": record.name.partition(".")[0], **({"error": kind} if kind else {})}
        structlog.get_logger().log(record.levelno // 10 * 10, "library", **fields)  # between two levels is the lower


def _quiet_libraries(level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_Library()]
    root.setLevel(max(level, logging.WARNING))  # below, libraries speak of every statement and connection
    logging.captureWarnings(capture=True)
