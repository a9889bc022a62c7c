"""Vectors of carrying: what is asked, what is answered, and how a request is padded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from make_session import ALPHA, BETA, CIRCLE, OPEN, OWN_EPOCH, OWN_NONCE
from vector import NOW, bad, good, pack, seed

from almenara.crypto.hashing import derive
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

WEEK = NOW // 60 // 168
KEYS = sorted(seed(f"carried {number}") for number in range(8))
ASKED = [[key, WEEK + number % 2] for number, key in enumerate(KEYS)]
LAST_WEEK = (2**32 - 1) // 168


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    yield from _frames()
    yield from _padding()


def _asked(*changed: list[Any]) -> bytes:
    return pack(15, [*changed, *ASKED[len(changed) :]])


BAD: list[tuple[str, str, str, list[bytes]]] = [
    ("wrong-order", "before-cursors", "nothing flows yet", [*OPEN[:2], _asked()]),
    ("wrong-order", "after-bye", "BYE is the end", [*OPEN, pack(8, 0, 0), _asked()]),
    ("wrong-count", "seven-scopes", "a multiple of eight", [*OPEN, pack(15, ASKED[1:])]),
    ("wrong-count", "scope-of-three", "key and week", [*OPEN, _asked([*ASKED[0], 1])]),
    ("wrong-count", "without-scopes", "one slot, if only an empty one", [*OPEN, pack(15)]),
    ("wrong-length", "tag-for-key", "a tag opens no scope", [*OPEN, _asked([KEYS[0][:16], WEEK])]),
    ("wrong-length", "no-key", "a scope has one", [*OPEN, _asked([b"", WEEK])]),
    ("wrong-type", "week-as-text", "a number", [*OPEN, _asked([KEYS[0], str(WEEK)])]),
    ("wrong-type", "key-as-text", "bytes", [*OPEN, _asked(["k" * 32, WEEK])]),
    ("out-of-range", "week-past-the-last", "no hour lies in it", [*OPEN, _asked([KEYS[0], LAST_WEEK + 1])]),
    ("out-of-range", "week-before-the-first", "-1", [*OPEN, _asked([KEYS[0], -1])]),
    ("not-sorted", "keys-falling", "their order would tell which belong together", [*OPEN, pack(15, ASKED[::-1])]),
    (
        "repeated",
        "key-in-two-weeks",
        "a key is of one week",
        [*OPEN, pack(15, [[KEYS[0], WEEK], [KEYS[0], WEEK + 1], *ASKED[2:]])],
    ),
    ("malformed", "a-thousand-and-thirty-two", "more than an array holds", [*OPEN, pack(15, [[b"", 0]] * 1_032)]),
    ("wrong-order", "answer-unasked", "nothing was asked", [*OPEN, pack(16, 64_000_000, 0)]),
    ("wrong-count", "asked-with-a-circle", "no circle is ever named", [*OPEN, pack(15, ASKED, CIRCLE)]),
]
BAD_ANSWERS: list[tuple[str, str, str, bytes]] = [
    ("out-of-range", "granted-past-32-bits", "2^32", pack(16, 2**32, 0)),
    ("out-of-range", "used-below-zero", "-1", pack(16, 64_000_000, -1)),
    ("wrong-count", "answer-of-one", "granted and used", pack(16, 64_000_000)),
]


def _frames() -> Iterator[Vector]:
    kind = "carry"
    given = {"own": ALPHA.id, "peer": BETA.id, "nonce": OWN_NONCE, "log_epoch": OWN_EPOCH, "now_min": NOW}
    yield good(kind, "asked", "eight scopes", given | {"asks": False, "frames": [*OPEN, _asked()]}, asked=ASKED)
    yield good(kind, "stopped", "none any more", given | {"asks": False, "frames": [*OPEN, pack(15, [])]}, asked=[])
    answer = [*OPEN, pack(16, 64_000_000, 4_096)]
    yield good(
        kind,
        "answered",
        "after we had asked",
        given | {"asks": True, "frames": answer},
        told=[64_000_000, 4_096],
    )
    for defect, name, about, frames in BAD:
        yield bad(defect, kind, name, about, **given, asks=False, frames=frames)
    for defect, name, about, frame in BAD_ANSWERS:
        yield bad(defect, kind, name, about, **given, asks=True, frames=[*OPEN, frame])


def _padding() -> Iterator[Vector]:
    secret, weeks = seed("decoys of alpha"), [WEEK - 1, WEEK, WEEK + 1]
    true = [[KEYS[0], WEEK], [KEYS[1], WEEK], [KEYS[2], WEEK + 1]]
    false = [
        [derive(Label.CARRY_DECOY, secret, BETA.id, week.to_bytes(4, "big"), number.to_bytes(4, "big")), week]
        for week, count in zip(weeks, (8, 6, 7), strict=True)
        for number in range(count)
    ]
    yield good(
        "carry-padding",
        "three-weeks",
        "eight keys in each week, whatever is true of them",
        {"secret": secret, "carrier": BETA.id, "weeks": weeks, "scopes": true},
        frame=pack(15, sorted(true + false)),
    )
