"""Vectors of header chains: what a reader reports of headers that came in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from make_object import slots
from vector import NOW, good, pack, seed

from almenara.crypto.hashing import digest
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector


def header(**changes: Any) -> bytes:
    """Return header bytes; each seq is a revision of its own unless a test says otherwise."""
    return pack(*slots(**({"revision": changes.get("seq", 0)} | changes)).values())


def named(header_bytes: bytes) -> bytes:
    """Return a header's hash."""
    return digest(Label.HEADER_HASH, header_bytes)


def fork(kind: str, at: int, first: bytes, second: bytes) -> dict[str, Any]:
    """Return a fork as a reader reports it: what is held, then what came."""
    return {"kind": kind, "at": at, "first": first, "second": second}


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    first = header()
    second = header(seq=1, prev=named(first))
    third = header(seq=2, prev=named(second))
    rival = header(seq=1, prev=named(first), lane=1)
    yield chain("in-order", "linked from 0", [first, second, third])
    yield chain("last-first", "a gap until the others come", [third, first, second], missing=[[[0, 2]], [], []])
    yield chain(
        "two-headers-with-one-number",
        "they differ in the lane",
        [first, second, rival],
        forks=[[], [], [fork("seq", 1, named(second), named(rival))]],
    )
    yield chain(
        "prev-of-a-hidden-twin",
        "the third header follows one nobody has seen",
        [first, second, header(seq=2, prev=named(rival))],
        forks=[[], [], [fork("seq", 1, named(second), named(rival))]],
    )
    yield chain(
        "gap-filled-from-the-middle",
        "one hole becomes two, then none",
        [first, header(seq=4, prev=named(third)), third, second, header(seq=3, prev=named(third))],
        missing=[[], [[1, 4]], [[1, 2]], [], []],
        forks=[[], [], [], [], [fork("seq", 3, named(third), named(header(seq=3, prev=named(third))))]],
    )
    yield chain(
        "three-in-one-place",
        "each against the one that is held",
        [first, second, rival, header(seq=1, prev=named(first), tlp=1)],
        forks=[
            [],
            [],
            [fork("seq", 1, named(second), named(rival))],
            [fork("seq", 1, named(second), named(header(seq=1, prev=named(first), tlp=1)))],
        ],
    )
    yield from _revisions(first)


def _revisions(first: bytes) -> Iterator[Vector]:
    commit, other = digest(Label.BODY, seed("salt"), b"a body of whatever schema"), seed("another body")
    twin = header(seq=1, prev=named(first), revision=0, type=4, body_commit=other)
    yield chain(
        "two-bodies-for-one-revision",
        "an alert and its retraction with one revision",
        [first, twin],
        forks=[[], [fork("revision", 0, commit, other)]],
    )
    ack, dispute = header(type=5), header(type=9, seq=1, revision=0, prev=named(header(type=5)), body_commit=other)
    yield chain("ack-and-dispute", "two answers to one alert are no fork", [ack, dispute])
    again = header(seq=1, prev=named(first), revision=0, created_min=NOW + 40_000)
    yield chain("sent-again", "the same revision and body under a new header", [first, again])
    restored = header(prev=named(first), incarnation=seed("after a restore", 16), revision=1)
    yield chain("restored", "a new incarnation begins at 0 after the last known header", [first, restored])


def chain(
    name: str,
    about: str,
    headers: list[bytes],
    missing: list[list[list[int]]] | None = None,
    forks: list[list[dict[str, Any]]] | None = None,
) -> Vector:
    """Return a vector; for each header in turn the missing numbers below it, from-to, and the forks it shows."""
    nothing: list[Any] = [[] for _ in headers]
    return good("chain", name, about, {"headers": headers}, missing=missing or nothing, forks=forks or nothing)
