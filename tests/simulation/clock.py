"""Time that jumps: an event loop whose clock goes to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = 1_795_000_000_000  # when every run begins: a Wednesday in November 2026, in ms


class NeverWakesError(AssertionError):
    """Everybody waits for somebody else, and no timer runs: a deadlock, found at once."""


class _JumpingSelector(selectors.BaseSelector):
    """Never waits: moves the loop's clock by the time it was asked to wait for."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NeverWakesError("nothing is ready and no timer runs")
        self.now += max(timeout, 0.0)
        return []  # there is no socket in a simulation, only the loop's own waking pipe, which nobody uses

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is seconds since the run began, moved by timers alone."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now
