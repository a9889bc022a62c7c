"""A queue in which what is critical goes first and peers take turns: who floods delays only itself (DESIGN §6)."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FairQueue(Generic[K, V]):
    """One queue for each key and lane, bounded in weight by key; a lower lane goes first, within it keys take turns."""

    def __init__(self, lanes: int) -> None:
        self._lanes: list[OrderedDict[K, deque[tuple[V, int]]]] = [OrderedDict() for _ in range(lanes)]
        self._weights: Counter[K] = Counter()
        self._some, self._room = asyncio.Event(), asyncio.Event()

    async def put(self, lane: int, key: K, value: V, weight: int, most: int) -> None:
        """Queue one; waits while `most` or more is queued for this key."""
        while self._weights[key] >= most:
            self._room.clear()
            await self._room.wait()
        self._weights[key] += weight
        self._lanes[lane].setdefault(key, deque()).append((value, weight))
        self._some.set()

    async def take(self, limit: int) -> list[V]:
        """Wait for one, then take up to `limit`: of each lane one of each key in turn; each key's stay in order."""
        while not any(self._lanes):
            self._some.clear()
            await self._some.wait()
        taken: list[V] = []
        for queues in self._lanes:
            while queues and len(taken) < limit:
                key, queue = queues.popitem(last=False)
                value, weight = queue.popleft()
                self._weights[key] -= weight
                taken.append(value)
                if queue:
                    queues[key] = queue
        self._weights += Counter()  # drops those with nothing queued
        self._room.set()
        return taken

    def __len__(self) -> int:
        return sum(len(queue) for queues in self._lanes for queue in queues.values())
