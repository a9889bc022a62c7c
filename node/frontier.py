"""How far we have come in one lane of a peer's log, when what it announced is not all here yet (PROTOCOL §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_WAITING = 4_096  # positions remembered one by one; above, the cursor stays below for the rest of the session


class Frontier:
    """The cursor never passes a position that was announced, or answered busy, and is not settled."""

    def __init__(self, reached: int = 0) -> None:
        self._reached = reached
        self._waiting: set[int] = set()
        self._ceiling: int | None = None

    def wait(self, position: int) -> None:
        """Announced, or not taken now: the cursor stays below until it is settled."""
        if position <= self._reached and position <= self.cursor:
            return  # the cursor was told; it never falls
        self._waiting.add(position)
        if len(self._waiting) > MAX_WAITING:
            highest = max(self._waiting)
            self._waiting.discard(highest)
            self._ceiling = highest - 1 if self._ceiling is None else min(self._ceiling, highest - 1)

    def settle(self, positions: Iterable[int]) -> None:
        """These are here, or refused for good."""
        settled = list(positions)
        self._waiting.difference_update(settled)
        self._reached = max([self._reached, *settled])

    @property
    def cursor(self) -> int:
        """The highest position that nothing unsettled lies below."""
        bounds = [self._reached]
        if self._waiting:
            bounds.append(min(self._waiting) - 1)
        if self._ceiling is not None:
            bounds.append(self._ceiling)
        return max(0, min(bounds))
