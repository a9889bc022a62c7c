"""What has changed, numbered, for pages that are looking at it. Identifiers only, never content."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

KEPT = 1024  # events a page may fall behind before it simply reloads


@dataclass(frozen=True, slots=True)
class Event:
    """`kind` is inbox, delivery, peers, circles, cases or status; `ref` an identifier."""

    kind: str
    ref: str


class Events:
    """A short memory of changes and a way to wait for the next."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, Event]] = deque(maxlen=KEPT)
        self._changed = asyncio.Event()
        self.last = 0

    def publish(self, kind: str, ref: str = "") -> None:
        """Tell everybody who waits."""
        self.last += 1
        self._kept.append((self.last, Event(kind, ref)))
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, after: int, timeout: float) -> list[tuple[int, Event]]:  # noqa: ASYNC109 - the caller's patience
        """Events numbered above `after`; waits for one at most `timeout` seconds, then returns nothing."""
        if self.last <= after:
            try:
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
            except TimeoutError:
                return []
        return [(number, event) for number, event in self._kept if number > after]
