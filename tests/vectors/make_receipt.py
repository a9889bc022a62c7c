"""Vectors of receipt bodies: what a member says it holds and has erased."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vector import bad, good, newer, pack, seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

AUTHOR, OTHER, THIRD = sorted(seed(f"receipt author {n}") for n in range(3))
FIRST, SECOND = sorted(seed(f"incarnation {n}", 16) for n in range(2))
HASHES = sorted(seed(f"erased {n}") for n in range(3))
RUN = [OTHER, FIRST, 0, 7]


def receipt(*runs: list[Any], erased: list[bytes] | None = None) -> bytes:
    """Return a body."""
    return pack(1, list(runs), erased or [])


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    runs = [RUN, [OTHER, FIRST, 9, 9], [OTHER, SECOND, 0, 2**32 - 1], [THIRD, FIRST, 3, 4]]
    body = receipt(*runs, erased=HASHES)
    shown = [{"author": a, "incarnation": i, "first": f, "last": u} for a, i, f, u in runs]
    yield good("receipt", "good", "three chains, one with a hole", given(body), runs=shown, erased=HASHES)
    yield good(
        "receipt", "erased-alone", "nothing new is held", given(receipt(erased=HASHES[:1])), runs=[], erased=HASHES[:1]
    )
    yield from _bad_runs()
    yield from _bad_bodies()


def _bad_runs() -> Iterator[Vector]:
    yield no("out-of-range", "run-backwards", "it ends before it begins", receipt([OTHER, FIRST, 4, 3]))
    yield no("repeated", "runs-that-touch", "7 and 8: one run, not two", receipt(RUN, [OTHER, FIRST, 8, 9]))
    yield no("repeated", "runs-that-overlap", "7 is in both", receipt(RUN, [OTHER, FIRST, 7, 9]))
    yield no("not-sorted", "runs-falling", "by author, then incarnation", receipt([THIRD, FIRST, 3, 4], RUN))
    yield no("not-sorted", "run-twice", "the same again", receipt(RUN, RUN))
    yield no("not-allowed", "own-chain", "nobody needs to be told what it said", receipt([AUTHOR, FIRST, 0, 1]))
    yield no("wrong-count", "run-without-end", "three slots", receipt([OTHER, FIRST, 0]))
    yield no("wrong-length", "run-of-a-short-author", "31 bytes", receipt([OTHER[1:], FIRST, 0, 1]))
    yield no("wrong-type", "run-from-text", "a number is no text", receipt([OTHER, FIRST, "0", 1]))
    many = [[OTHER, seed(f"one of many {n}", 16), 0, n] for n in range(61)]
    yield no("wrong-count", "61-runs", "60 fit", receipt(*sorted(many)))


def _bad_bodies() -> Iterator[Vector]:
    yield no("wrong-count", "empty", "says nothing", receipt())
    yield no("wrong-count", "heads-only", "without the slot of erased hashes", pack(1, [RUN]))
    yield no("not-sorted", "erased-falling", "by value", receipt(RUN, erased=HASHES[::-1]))
    yield no("wrong-length", "erased-16-bytes", "a hash is 32", receipt(RUN, erased=[HASHES[0][:16]]))
    long = receipt(*sorted([OTHER, seed(f"long {n}", 16), 2**31, 2**32 - 1] for n in range(59)))
    yield no("too-long", "too-long", "more than fits beside a header", long)
    yield no("unknown-version", "version-zero", "0 is none", pack(0, [RUN], []))
    yield newer("unknown-version", "receipt", "version-two", "to be kept", **given(pack(2, [RUN], [])))


def given(body: bytes) -> dict[str, Any]:
    """Return the input of a vector."""
    return {"author": AUTHOR, "body": body}


def no(defect: str, name: str, about: str, body: bytes) -> Vector:
    """Return a vector that must be refused."""
    return bad(defect, "receipt", name, about, **given(body))
