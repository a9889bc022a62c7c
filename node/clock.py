"""Where the node's time comes from: one function, injected everywhere, so that tests and simulations can replace it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from uuid import uuid4

Clock = Callable[[], int]
Uptime = Callable[[], tuple[str, int]]
"""A name for this start of the computer, and the milliseconds it has run since, sleep included."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def now_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def uptime() -> tuple[str, int]:
    """What no setting of the date can change."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return _boot(), time.clock_gettime_ns(clock) // 1_000_000


@cache
def _boot() -> str:
    """Where the computer names no start of its own, each start of the program is one."""
    with suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return uuid4().hex


def minute_of(ms: int) -> int:
    """The wire's unit for instants: whole minutes since 1970 UTC."""
    return ms // MINUTE_MS


def rfc3339(ms: int | None) -> str:
    """An instant as people and programs outside see it, `2026-11-20T14:37:00.000Z`; empty for none (SCHEMAS §1)."""
    if ms is None:
        return ""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"
