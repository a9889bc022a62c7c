"""A queue in which every peer gets its turn, so that one who floods delays only itself (DESIGN §6)."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FairQueue(Generic[K, V]):
    """One queue for each key, bounded in weight, served in turn; weight counts until the batch is dealt out."""

    def __init__(self) -> None:
        self._queues: OrderedDict[K, deque[tuple[V, int]]] = OrderedDict()
        self._weights: Counter[K] = Counter()
        self._some, self._room = asyncio.Event(), asyncio.Event()

    async def put(self, key: K, value: V, weight: int, most: int) -> None:
        """Queue one; waits while `most` or more is queued for this key."""
        while self._weights[key] >= most:
            self._room.clear()
            await self._room.wait()
        self._weights[key] += weight
        self._queues.setdefault(key, deque()).append((value, weight))
        self._some.set()

    async def take(self, limit: int) -> list[V]:
        """Wait for one, then take up to `limit`, one of each key in turn; each key's stay in order."""
        while not self._queues:
            self._some.clear()
            await self._some.wait()
        taken: list[V] = []
        while self._queues and len(taken) < limit:
            key, queue = self._queues.popitem(last=False)
            value, weight = queue.popleft()
            self._weights[key] -= weight
            taken.append(value)
            if queue:
                self._queues[key] = queue
            else:
                del self._weights[key]
        self._room.set()
        return taken

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))
