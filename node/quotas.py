"""How much one peer may deliver in a scope and lane, and one author write in a circle, in a day (PROTOCOL §6).

Kept in memory: a restart forgives, which costs at most one more day's worth. Nothing over a quota is lost: the answer
is *busy*, and the sender offers it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from almenara.node.clock import DAY_MS
from almenara.protocol.limits import MINUTES_PER_DAY, SMALL

if TYPE_CHECKING:
    from almenara.node.clock import Clock
    from almenara.protocol.object import Header

SCOPE_COUNT = 65_536
"""Envelopes that one peer may deliver under one tag and lane in a day. A tag lasts a week: a circle of 100 in which
each writes 90 a day can so be caught up with in a day, from a single peer."""
SCOPE_BYTES = 2 * SCOPE_COUNT * SMALL  # 512 MiB: as many alerts, and room for statements and cards
AUTHOR_COUNT = 8_192
"""Objects of one author, one circle and one day of creation: one every ten seconds around the clock. By the day of
creation, so that a month of one author's can arrive in one day."""
MAX_BUCKETS = 16_384  # of each kind: 100 peers with 80 tags each; beyond, the one longest unused is forgotten


@dataclass(slots=True)
class _Bucket:
    """What is left, refilled evenly through the day, never above the day's worth."""

    count: float
    size: float
    at: int  # ms


class Quotas:
    """Token buckets by (peer, tag, lane), counters by (author, circle, day of creation)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._delivered: dict[tuple[bytes, bytes, int], _Bucket] = {}
        self._written: dict[tuple[bytes, bytes, int], int] = {}

    def admits(self, peer: bytes, tag: bytes, lane: int, size: int) -> bool:
        """Take an envelope off what a peer may still deliver under a tag; false where nothing is left.

        Each lane has its own, so that nobody's routine keeps a critical alert away.
        """
        now = self._clock()
        bucket = self._delivered.pop((peer, tag, lane), None) or _Bucket(SCOPE_COUNT, SCOPE_BYTES, now)
        self._delivered[peer, tag, lane] = bucket  # last in the order of use
        share = max(0, now - bucket.at) / DAY_MS
        bucket.count = min(SCOPE_COUNT, bucket.count + share * SCOPE_COUNT)
        bucket.size = min(SCOPE_BYTES, bucket.size + share * SCOPE_BYTES)
        bucket.at = now
        while len(self._delivered) > MAX_BUCKETS:
            del self._delivered[next(iter(self._delivered))]
        if bucket.count < 1 or bucket.size < size:
            return False
        bucket.count -= 1
        bucket.size -= size
        return True

    def writes(self, header: Header) -> bool:
        """Count an object of its author; false above the day's worth."""
        key = (header.author, header.circle, header.created_min // MINUTES_PER_DAY)
        written = self._written.pop(key, 0) + 1
        self._written[key] = min(written, AUTHOR_COUNT + 1)
        while len(self._written) > MAX_BUCKETS:
            del self._written[next(iter(self._written))]
        return written <= AUTHOR_COUNT
