"""An author's chain of headers in a circle: gaps show withholding, two in one place are a fork (PROTOCOL §4).

Headers come in any order and are shown at once, so a gap or a fork is a value, never an error.  A chain is counted for
each (author, circle, incarnation).  An incarnation ends with the next opening of the author's database, and the next
begins at 0 with the hash of the author's last header before it: an honest restore is a new incarnation and no fork.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from almenara.protocol.object import ALERT_FAMILY, ANSWERS, ObjectType

if TYPE_CHECKING:
    from almenara.protocol.object import Header

Place: TypeAlias = tuple[bytes, bytes, bytes]
"""Author, circle, incarnation."""
RevisionKey: TypeAlias = tuple[bytes, int, bytes, int]
"""Author, line of revisions, ref_id, revision."""


class ForkKind(StrEnum):
    """In which way an author contradicts itself."""

    SEQ = "seq"
    """Two headers with one number; one of the two may be known only as the `prev` of its successor."""
    REVISION = "revision"
    """Two bodies for one revision of one alert, or of one author's answer to it."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Two hashes where there may be one: of headers, or of bodies (commitments).  `at` is the seq or the revision."""

    kind: ForkKind
    at: int
    first: bytes
    second: bytes


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What is held around a header: hashes, and in `next_prev` what its successor names; None where nothing is held."""

    same: bytes | None = None
    before: bytes | None = None
    next_prev: bytes | None = None
    commit: bytes | None = None
    """The body commitment held for the same author, line, ref_id and revision."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a header's arrival shows: numbers missing below it, and forks."""

    missing: tuple[range, ...]
    forks: tuple[Fork, ...]

    @property
    def linked(self) -> bool:
        """Whether everything from 0 to this header is held and agrees."""
        return not self.missing and not self.forks


def place(header: Header) -> Place:
    """Return the chain a header belongs to."""
    return header.author, header.circle, header.incarnation


def revision_key(header: Header) -> RevisionKey | None:
    """Return what may have one body only, or None for types that have no revisions.

    Alert, update, cancel and retract share one line of revisions; each type of answer has its own.
    """
    if header.type in ALERT_FAMILY:
        return header.author, ObjectType.ALERT, header.ref_id, header.revision
    if header.type in ANSWERS:
        return header.author, header.type, header.ref_id, header.revision
    return None


def find_forks(header: Header, hash_: bytes, held: Neighbours) -> tuple[Fork, ...]:
    """Return the forks that a verified header and what is held around it prove, or ()."""
    forks = []
    if held.same is not None and held.same != hash_:
        forks.append(Fork(ForkKind.SEQ, header.seq, held.same, hash_))
    if header.seq and held.before is not None and held.before != header.prev:
        forks.append(Fork(ForkKind.SEQ, header.seq - 1, held.before, header.prev))
    if held.next_prev is not None and held.next_prev != hash_:
        forks.append(Fork(ForkKind.SEQ, header.seq, held.next_prev, hash_))
    if held.commit is not None and held.commit != header.body_commit:
        forks.append(Fork(ForkKind.REVISION, header.revision, held.commit, header.body_commit))
    return tuple(forks)


class _Chain:
    """The headers of one place: hash and prev by seq, and the runs of numbers that are held."""

    def __init__(self) -> None:
        self.hashes: dict[int, bytes] = {}
        self.prevs: dict[int, bytes] = {}
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, seq: int, hash_: bytes, prev: bytes) -> None:
        if seq in self.hashes:
            return
        self.hashes[seq] = hash_
        self.prevs[seq] = prev
        at = bisect_right(self._starts, seq)
        self._starts.insert(at, seq)
        self._stops.insert(at, seq + 1)
        for left in (at, at - 1):  # join with the run above, then with the run below
            if 0 <= left < len(self._starts) - 1 and self._stops[left] == self._starts[left + 1]:
                self._stops[left] = self._stops.pop(left + 1)
                del self._starts[left + 1]

    def missing_below(self, seq: int) -> tuple[range, ...]:
        """Return the numbers that are not held below `seq`, which is."""
        at = bisect_right(self._starts, seq)
        ends = [0, *self._stops[: at - 1]]
        gaps = (range(stop, start) for stop, start in zip(ends, self._starts[:at], strict=True))
        return tuple(gap for gap in gaps if gap)


class HeaderChains:
    """Chains held in memory; a store that keeps headers elsewhere asks `find_forks` with its own neighbours."""

    def __init__(self) -> None:
        self._chains: dict[Place, _Chain] = {}
        self._commits: dict[RevisionKey, bytes] = {}

    def add(self, header: Header, hash_: bytes) -> Verdict:
        """Add a verified header with its hash; the first of two contradicting ones stays the one held."""
        chain = self._chains.setdefault(place(header), _Chain())
        key = revision_key(header)
        held = Neighbours(
            same=chain.hashes.get(header.seq),
            before=chain.hashes.get(header.seq - 1),
            next_prev=chain.prevs.get(header.seq + 1),
            commit=self._commits.get(key) if key else None,
        )
        chain.add(header.seq, hash_, header.prev)
        if key:
            self._commits.setdefault(key, header.body_commit)
        return Verdict(chain.missing_below(header.seq), find_forks(header, hash_, held))
