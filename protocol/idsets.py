"""Sets of envelope ids by hour, frozen copies of them, and their digests (PROTOCOL §6).

A fingerprint is a hash over ids in order, never a sum: an insider could prepare different sets with equal sums.  The
digest of an hour is cached, so a whole set costs as many hashes as hours that changed.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from almenara.crypto.hashing import derive, digest, mac
from almenara.crypto.labels import Label
from almenara.protocol.limits import CLASS_DAYS, HOURS_PER_DAY, UINT32

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SetKey: TypeAlias = tuple[bytes, int]
"""Tag and class: what is in one set."""
Bound: TypeAlias = tuple[int, bytes]
"""A place between ids: an hour, and the beginning of the first id at or after it; no bytes for the hour's begin."""
Span: TypeAlias = tuple[Bound, Bound]
"""From one bound to before another: whole hours, or inside one hour."""
Key: TypeAlias = tuple[int, bytes]
"""Hour and envelope id."""

START: Final[Bound] = (0, b"")
END: Final[Bound] = (UINT32 + 1, b"")
WHOLE: Final[Span] = (START, END)
ROOT_BYTES: Final = 16
FINGERPRINT_BYTES: Final = 16
SHORT_BYTES: Final = 8  # of an id in a list; keyed, so nobody but the two sides could prepare a collision


def first_hour(cls: int, hour: int) -> int:
    """Return the first hour whose envelopes of a class take part in a repair of `hour`: a day before they end."""
    return max(hour - HOURS_PER_DAY * (CLASS_DAYS[cls] - 1) + 1, 0)


class Bucket:
    """The ids of one hour, sorted, and their digest, made when it is first asked for.  Never changed."""

    __slots__ = ("_digest", "ids")

    def __init__(self, ids: tuple[bytes, ...]) -> None:
        self.ids = ids
        self._digest = b""

    @property
    def digest(self) -> bytes:
        """SHA-256 over the sorted ids."""
        if not self._digest:
            self._digest = digest(Label.REPAIR_HOUR, *self.ids)
        return self._digest


class Frozen:
    """A set as it was at one moment: what a run works on while the store goes on changing."""

    def __init__(self, buckets: Mapping[int, Bucket]) -> None:
        self._buckets = buckets
        self._hours = sorted(buckets)
        self._before = [0, *accumulate(len(buckets[hour].ids) for hour in self._hours)]

    def __len__(self) -> int:
        return self._before[-1]

    def digest(self) -> bytes:
        """Unkeyed digest of the whole set: 32 bytes."""
        return digest(Label.REPAIR_SET, self._hour_digests(self._hours))

    def fingerprint(self, span: Span, key: bytes) -> bytes:
        """Keyed digest of a span: 16 bytes."""
        if _whole_hours(span):
            data = b"\0" + self._hour_digests(self._filled(span))
        else:
            data = b"\1" + b"".join(self._inside(span))
        return mac(Label.REPAIR_RANGE, key, data)[:FINGERPRINT_BYTES]

    def count(self, span: Span) -> int:
        """How many ids lie in a span."""
        if _whole_hours(span):
            low, high = self._places(span)
            return self._before[high] - self._before[low]
        return len(self._inside(span))

    def keys(self, span: Span = WHOLE) -> list[Key]:
        """The ids in a span, in order, with their hours."""
        if _whole_hours(span):
            return [(hour, found) for hour in self._filled(span) for found in self._buckets[hour].ids]
        return [(span[0][0], found) for found in self._inside(span)]

    def split(self, span: Span, parts: int) -> list[Span]:
        """Cut a span that holds at least two ids into about equally filled ones: between hours, else inside one."""
        if not _whole_hours(span):
            return _spans([span[0], *self._cuts_inside(span, parts), span[1]])
        hours = self._filled(span)
        if len(hours) > 1:
            return _spans([span[0], *self._cuts_between(span, hours, parts), span[1]])
        alone: Span = ((hours[0], b""), (hours[0] + 1, b""))
        around = [span[0], alone[0], *self._cuts_inside(alone, parts), alone[1], span[1]]
        return _spans(sorted(set(around)))

    def _hour_digests(self, hours: Iterable[int]) -> bytes:
        return b"".join(hour.to_bytes(4, "big") + self._buckets[hour].digest for hour in hours)

    def _places(self, span: Span) -> tuple[int, int]:
        return bisect_left(self._hours, span[0][0]), bisect_left(self._hours, span[1][0])

    def _filled(self, span: Span) -> Sequence[int]:
        low, high = self._places(span)
        return self._hours[low:high]

    def _inside(self, span: Span) -> Sequence[bytes]:
        (hour, low), (_, high) = span
        bucket = self._buckets.get(hour)
        if bucket is None:
            return ()
        return bucket.ids[bisect_left(bucket.ids, low) : bisect_left(bucket.ids, high) if high else len(bucket.ids)]

    def _cuts_between(self, span: Span, hours: Sequence[int], parts: int) -> list[Bound]:
        first, last = self._places(span)
        base, total = self._before[first], self._before[last] - self._before[first]
        cuts: list[Bound] = []
        for place, hour in enumerate(hours[1:], first + 1):
            filled = self._before[place] - base
            if filled * parts >= total * (len(cuts) + 1) and len(cuts) + 1 < parts:
                cuts.append((hour, b""))
        return cuts or [(hours[-1], b"")]

    def _cuts_inside(self, span: Span, parts: int) -> list[Bound]:
        """At the shortest prefixes that part neighbours."""
        ids = self._inside(span)
        cuts = {ids[part * len(ids) // parts - 1 : part * len(ids) // parts + 1] for part in range(1, parts)}
        return sorted((span[0][0], _parting(*pair)) for pair in cuts if len(pair) > 1)


EMPTY: Final = Frozen({})


class IdSet:
    """Ids of one tag and class that grow with the log.  New ones are sorted in when a copy is frozen."""

    def __init__(self) -> None:
        self._buckets: dict[int, Bucket] = {}
        self._fresh: dict[int, list[bytes]] = {}

    def __len__(self) -> int:
        self._settle()
        return sum(len(bucket.ids) for bucket in self._buckets.values())

    def add(self, hour: int, envelope_id: bytes) -> None:
        """Add one; once more does nothing."""
        self._fresh.setdefault(hour, []).append(envelope_id)

    def prune(self, before: int) -> None:
        """Forget the hours before one."""
        for hours in (self._buckets, self._fresh):
            for hour in [hour for hour in hours if hour < before]:
                del hours[hour]

    def freeze(self, first: int) -> Frozen:
        """Copy what lies at or after the hour `first`: as many references as hours."""
        self._settle()
        return Frozen({hour: bucket for hour, bucket in self._buckets.items() if hour >= first})

    def _settle(self) -> None:
        for hour, ids in self._fresh.items():
            held = self._buckets[hour].ids if hour in self._buckets else ()
            self._buckets[hour] = Bucket(tuple(sorted({*held, *ids})))
        self._fresh.clear()


def root(sets: Mapping[SetKey, Frozen], hour: int, key: bytes) -> bytes:
    """Return the keyed digest of all sets that are not empty, frozen for `hour`: 16 bytes."""
    filled = sorted(key for key, found in sets.items() if len(found))
    told = [tag + bytes([cls]) + sets[tag, cls].digest() for tag, cls in filled]
    return mac(Label.REPAIR_ROOT, key, hour.to_bytes(4, "big"), *told)[:ROOT_BYTES]


def repair_key(nonce: bytes, other: bytes) -> bytes:
    """Return the key of a session's digests, from both HELLO nonces; the same on both sides."""
    return derive(Label.REPAIR_KEY, min(nonce, other), max(nonce, other))


def short_id(envelope_id: bytes, key: bytes) -> bytes:
    """Return what stands for an id in a list: 8 bytes."""
    return mac(Label.REPAIR_ID, key, envelope_id)[:SHORT_BYTES]


def is_span(low: Bound, high: Bound) -> bool:
    """Whether two rising bounds enclose whole hours, or lie in one hour."""
    return _whole_hours((low, high)) or high == (low[0] + 1, b"") or high[0] == low[0]


def _whole_hours(span: Span) -> bool:
    return not (span[0][1] or span[1][1])


def _spans(bounds: Sequence[Bound]) -> list[Span]:
    return list(pairwise(bounds))


def _parting(before: bytes, after: bytes) -> bytes:
    """The shortest beginning of `after` that is above `before`."""
    length = next(at for at, (a, b) in enumerate(zip(before, after, strict=True)) if a != b) + 1
    return after[:length]
