"""Where the node's time comes from: one function, injected everywhere, so that tests and simulations can replace it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def now_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def minute_of(ms: int) -> int:
    """The wire's unit for instants: whole minutes since 1970 UTC."""
    return ms // MINUTE_MS


def rfc3339(ms: int | None) -> str:
    """An instant as people and programs outside see it, `2026-11-20T14:37:00.000Z`; empty for none (SCHEMAS §1)."""
    if ms is None:
        return ""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"
