"""How long to wait before dialling again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


class Backoff:
    """Decorrelated jitter: each wait is drawn between the base and three times the wait before it, up to the cap.

    After an outage the peers of a node so come back spread out instead of all at once. Contact from the other
    side is the best news there is: whoever receives it calls `reset`.
    """

    def __init__(self, base: float, cap: float, rng: Random) -> None:
        """Both times in seconds."""
        self._base = base
        self._cap = cap
        self._rng = rng
        self._last = base

    def next(self) -> float:
        """Return the next wait in seconds."""
        self._last = min(self._cap, self._rng.uniform(self._base, self._last * 3))
        return self._last

    def reset(self) -> None:
        """Start from the base again."""
        self._last = self._base
