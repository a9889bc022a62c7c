"""Vectors of how envelopes flow in an open session: announcements, credits, parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from make_session import ALPHA, BETA, CURSORS, HELLO, INTEREST, OWN_EPOCH, OWN_NONCE
from vector import NOW, bad, good, pack, seed, share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

KIND = "session-flow"
GIVEN = {
    "own": ALPHA.id,
    "peer": BETA.id,
    "nonce": OWN_NONCE,
    "log_epoch": OWN_EPOCH,
    "now_min": NOW,
    "opening": [HELLO, INTEREST, CURSORS],
}
ONE, TWO = seed("envelope one"), seed("envelope two")
PIECE = share("piece", bytes(4_096))


def have(*places: tuple[int, int, bytes]) -> bytes:
    """Return a HAVE."""
    return pack(11, [list(place) for place in places])


def want(*places: tuple[int, int]) -> bytes:
    """Return a WANT."""
    return pack(12, [list(place) for place in places])


def part(position: int, left: int, data: bytes = PIECE, lane: int = 1) -> dict[str, Any]:
    """Return a PART; its data stand apart, since they are long."""
    return {"heard": pack(14, lane, position, left, data)[: -len(data)], "then": data}


def heard(frame: bytes) -> dict[str, bytes]:
    """Return what the peer says."""
    return {"heard": frame}


def said(frame: bytes) -> dict[str, bytes]:
    """Return what we say."""
    return {"said": frame}


EMPTY = [heard(pack(4, 0, position, b"")) for position in range(1, 129)]  # each takes 4,096 of the 524,288 bytes

GOOD: list[tuple[str, str, list[dict[str, Any]], list[str]]] = [
    (
        "announced-and-answered",
        "one of two is there already, the other is asked for",
        [heard(have((1, 3, ONE), (1, 4, TWO))), said(pack(5, 1, 3, [[3, 0]])), said(want((1, 4)))],
        ["Announced"],
    ),
    (
        "asked-and-pushed",
        "what we announced is asked for",
        [
            said(have((0, 10, ONE))),
            heard(want((0, 10))),
            said(pack(4, 0, 10, b"an envelope")),
            heard(pack(5, 0, 10, [])),
        ],
        ["Wanted", "Acked"],
    ),
    (
        "pushed-after-all",
        "nobody asked, and it is pushed all the same",
        [heard(have((1, 3, ONE))), heard(pack(4, 1, 3, b"an envelope")), said(want((1, 3)))],
        ["Announced", "Pushed"],
    ),
    (
        "announced-again",
        "after an answer, since busy is not final",
        [heard(have((1, 3, ONE))), said(pack(5, 1, 2, [[3, 3]])), heard(have((1, 3, ONE)))],
        ["Announced", "Announced"],
    ),
    (
        "parts",
        "a critical envelope comes between two of four parts",
        [part(7, 3), part(7, 2), heard(pack(4, 0, 8, b"critical")), part(7, 1), part(7, 0)],
        ["Pushed", "Pushed"],
    ),
    ("credit-used-up", "the last byte of it", EMPTY, ["Pushed"] * 128),
    (
        "credit-given-back",
        "one more after a commit",
        [*EMPTY, said(pack(13, 0, 4_096)), heard(pack(4, 0, 129, b""))],
        ["Pushed"] * 129,
    ),
    ("busy", "an outcome that is not final", [said(have((1, 10, ONE))), heard(pack(5, 1, 9, [[10, 3]]))], ["Acked"]),
]

BAD: list[tuple[str, str, str, list[dict[str, Any]]]] = [
    ("wrong-count", "have-nothing", "one at least", [heard(pack(11, []))]),
    ("wrong-count", "have-97", "96 at most", [heard(have(*[(1, number, ONE) for number in range(97)]))]),
    ("not-sorted", "have-falling", "they rise", [heard(have((1, 4, ONE), (1, 3, TWO)))]),
    (
        "repeated",
        "have-one-position-twice",
        "two ids for one",
        [heard(have((1, 3, min(ONE, TWO)), (1, 3, max(ONE, TWO))))],
    ),
    ("repeated", "have-again", "before an answer", [heard(have((1, 3, ONE))), heard(have((1, 3, ONE)))]),
    ("out-of-range", "have-lane-two", "two lanes exist", [heard(have((2, 3, ONE)))]),
    ("wrong-length", "have-short-id", "31 bytes", [heard(have((1, 3, ONE[1:])))]),
    ("wrong-count", "want-nothing", "one at least", [said(have((1, 10, ONE))), heard(pack(12, []))]),
    ("out-of-range", "want-unannounced", "never spoken of", [said(have((1, 10, ONE))), heard(want((1, 11)))]),
    ("out-of-range", "want-other-lane", "announced in lane 1", [said(have((1, 10, ONE))), heard(want((0, 10)))]),
    ("out-of-range", "want-pushed", "pushed, not announced", [said(pack(4, 1, 10, b"x")), heard(want((1, 10)))]),
    (
        "out-of-range",
        "want-twice",
        "asked before",
        [said(have((1, 10, ONE))), heard(want((1, 10))), heard(want((1, 10)))],
    ),
    (
        "out-of-range",
        "want-answered",
        "it has it already",
        [said(have((1, 10, ONE))), heard(pack(5, 1, 10, [[10, 0]])), heard(want((1, 10)))],
    ),
    ("out-of-range", "ack-above-announced", "11 after 10", [said(have((1, 10, ONE))), heard(pack(5, 1, 11, []))]),
    ("out-of-range", "credit-unspent", "nothing was pushed", [heard(pack(13, 1, 1))]),
    ("out-of-range", "credit-too-much", "4,097 for 4,096", [said(pack(4, 1, 10, b"x")), heard(pack(13, 1, 4_097))]),
    ("out-of-range", "credit-other-lane", "spent in lane 1", [said(pack(4, 1, 10, b"x")), heard(pack(13, 0, 4_096))]),
    ("out-of-range", "credit-of-nothing", "1 at least", [said(pack(4, 1, 10, b"x")), heard(pack(13, 1, 0))]),
    ("over-credit", "one-too-many", "empty ones take room", [*EMPTY, heard(pack(4, 0, 129, b""))]),
    ("too-large", "large-in-routine-lane", "4,097 bytes at once", [heard(pack(4, 1, 3, PIECE + b"x"))]),
    ("out-of-range", "part-in-critical-lane", "whole there", [part(7, 3, lane=0)]),
    ("out-of-range", "five-parts", "4 or 16", [part(7, 4)]),
    ("out-of-range", "one-part", "4 or 16", [part(7, 0)]),
    ("out-of-range", "seventeen-parts", "4 or 16", [part(7, 16)]),
    ("wrong-length", "short-part", "4,095 bytes", [part(7, 3, PIECE[1:])]),
    ("wrong-order", "part-left-out", "1 after 3", [part(7, 3), part(7, 1)]),
    ("wrong-order", "part-twice", "3 after 3", [part(7, 3), part(7, 3)]),
    ("wrong-order", "parts-of-two", "another position between", [part(7, 3), part(8, 2)]),
    ("wrong-order", "push-between-parts", "the same lane", [part(7, 3), heard(pack(4, 1, 8, b"x"))]),
]


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    for name, about, script, events in GOOD:
        yield good(KIND, name, about, GIVEN | {"script": script}, events=events)
    for defect, name, about, script in BAD:
        yield bad(defect, KIND, name, about, **GIVEN, script=script)
