"""Vectors of repair: ROOTS and RANGE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from make_session import ALPHA, BETA, HELLO, INTEREST, OPEN, OWN_EPOCH, OWN_NONCE, PEER_NONCE
from vector import NOW, bad, good, pack, seed

from almenara.crypto.hashing import derive, digest, mac
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

HOUR = NOW // 60
FIRST = HOUR - 24 * 34 + 1  # of class 1
TAG, OTHER = sorted(seed(f"tag {number}", 16) for number in (1, 2))
KEY = derive(Label.REPAIR_KEY, min(OWN_NONCE, PEER_NONCE), max(OWN_NONCE, PEER_NONCE))
IDS = sorted(seed(f"envelope {number}") for number in range(4))
ITEMS = [[TAG, 1, HOUR - 2, found] for found in IDS[:3]] + [[TAG, 1, HOUR, IDS[3]]]
ZEROS = bytes(16)


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    yield from _frames()
    yield from _roots()
    yield from _runs()
    for defect, name, about, frames in BAD_STEPS:
        yield bad(defect, "repair", name, about, **given(ITEMS, frames))


def ranges(
    tag: bytes = TAG, *, cls: int = 1, start: int = 0, coming: int = 0, lacking: bytes = b"", data: bytes
) -> Any:
    """Return one entry of a RANGE frame."""
    return [tag, cls, start, coming, lacking, data]


def step(*sets: Any, last: int = 1, hour: int = HOUR) -> bytes:
    """Return a RANGE frame."""
    return pack(10, hour, last, list(sets))


def short(found: bytes) -> bytes:
    """Return an id in a list."""
    return mac(Label.REPAIR_ID, KEY, found)[:8]


def hour_of(hour: int, *ids: bytes) -> bytes:
    """Return an hour and its digest."""
    return hour.to_bytes(4, "big") + digest(Label.REPAIR_HOUR, *sorted(ids))


def whole(*hours: bytes) -> bytes:
    """Return the fingerprint of whole hours."""
    return mac(Label.REPAIR_RANGE, KEY, b"\0" + b"".join(hours))[:16]


def root_of(*sets: bytes, hour: int = HOUR) -> bytes:
    """Return a root."""
    return mac(Label.REPAIR_ROOT, KEY, hour.to_bytes(4, "big"), *sets)[:16]


def given(items: list[Any], frames: list[bytes], *, tags: tuple[bytes, ...] = (TAG, OTHER)) -> dict[str, Any]:
    """Return the input of a side that does not start, and said ROOTS."""
    return {"nonces": [OWN_NONCE, PEER_NONCE], "hour": HOUR, "tags": list(tags), "items": items, "frames": frames}


ALL = [hour_of(HOUR - 2, *IDS[:3]), hour_of(HOUR, IDS[3])]
TO_END = b"\x7f"  # a fingerprint up to the end of the set
LIST_TO_END = b"\xbf"
FIVE = b"\x40\x05" + ZEROS  # of the first five hours


def _frames() -> Iterator[Vector]:
    """What a session takes, before anybody looks into the ranges."""
    kind = "session"
    base = {"own": ALPHA.id, "peer": BETA.id, "nonce": OWN_NONCE, "log_epoch": OWN_EPOCH, "now_min": NOW}
    base |= {"scope_keys": []}
    roots, entry = pack(9, HOUR, ZEROS), ranges(data=FIVE)
    events = ["Greeted", "ScopesProven", "CursorsTold", "RootsTold", "RangesTold"]
    told = base | {"frames": [*OPEN, roots, step(entry)]}
    yield good(kind, "repair", "ROOTS, then a step", told, events=events, proven=[])
    wrong: list[tuple[str, str, str, list[bytes]]] = [
        ("wrong-order", "roots-before-cursors", "nothing flows yet", [HELLO, INTEREST, roots]),
        ("wrong-length", "root-15-bytes", "cut short", [*OPEN, pack(9, HOUR, ZEROS[1:])]),
        ("wrong-count", "roots-without-root", "two slots", [*OPEN, pack(9, HOUR)]),
        ("out-of-range", "last-two", "0 or 1", [*OPEN, step(entry, last=2)]),
        ("out-of-range", "range-class-two", "two classes exist", [*OPEN, step(ranges(cls=2, data=FIVE))]),
        ("wrong-count", "range-set-says-nothing", "no coming, no lacking, no ranges", [*OPEN, step(ranges(data=b""))]),
        ("not-sorted", "range-set-twice", "each once in a frame", [*OPEN, step(entry, ranges(start=9, data=FIVE))]),
        ("not-sorted", "range-sets-falling", "by tag and class", [*OPEN, step(ranges(OTHER, data=FIVE), entry)]),
        ("too-long", "range-frame-past-4096", "small frames", [*OPEN, step(ranges(lacking=bytes(4_090), data=FIVE))]),
        ("wrong-count", "range-65-sets", "64 at most", [*OPEN, step(*_many_sets(65))]),
    ]
    for defect, name, about, frames in wrong:
        yield bad(defect, kind, name, about, **base, frames=frames)


def _many_sets(count: int) -> list[Any]:
    return [ranges(number.to_bytes(16, "big"), coming=1, data=b"") for number in range(count)]


def _roots() -> Iterator[Vector]:
    told = TAG + b"\1" + digest(Label.REPAIR_SET, *ALL)
    yield good("repair", "root", "of two hours in one set", given(ITEMS, []), root=root_of(told), **_nothing())
    yield good("repair", "root-of-nothing", "no set is filled", given([], []), root=root_of(), **_nothing())
    old = [[TAG, 1, FIRST - 1, seed("old")]]
    told = given([*ITEMS, *old], [])
    root = root_of(TAG + b"\1" + digest(Label.REPAIR_SET, *ALL))
    yield good("repair", "root-above-the-floor", "an hour before the first is left out", told, root=root, **_nothing())


def _nothing() -> dict[str, Any]:
    return {"said": [], "lacking": [], "coming": 0}


def _runs() -> Iterator[Vector]:
    root = root_of(TAG + b"\1" + digest(Label.REPAIR_SET, *ALL))
    same = step(ranges(data=TO_END + whole(*ALL)))
    yield good(
        "repair",
        "equal-fingerprint",
        "answered by an empty step, the end",
        given(ITEMS, [same]),
        root=root,
        said=[step()],
        lacking=[],
        coming=0,
    )
    both = short(IDS[1]) + short(seed("not here"))
    yield good(
        "repair",
        "list",
        "one id of theirs is lacking here, three of ours there",
        given(ITEMS, [step(ranges(data=LIST_TO_END + b"\x02" + both))]),
        root=root,
        said=[step(ranges(coming=3, lacking=b"\x02", data=b""))],
        lacking=[IDS[0], IDS[2], IDS[3]],
        coming=1,
    )
    yield good(
        "repair",
        "first-step-without-our-set",
        "it is empty there: all of it will be pushed",
        given(ITEMS, [step()]),
        root=root,
        said=[step(ranges(coming=4, data=b""))],
        lacking=IDS[:3] + IDS[3:],
        coming=0,
    )
    yield good(
        "repair",
        "unproven-tag",
        "a set of a tag that is not proven is ignored",
        given([], [step(ranges(seed("tag 3", 16), data=TO_END + ZEROS))]),
        root=root_of(),
        said=[step()],
        lacking=[],
        coming=0,
    )


BAD_STEPS: list[tuple[str, str, str, list[bytes]]] = [
    ("wrong-order", "unasked-hour", "no ROOTS had this hour", [step(ranges(data=FIVE), hour=HOUR + 1)]),
    ("wrong-hour", "hour-changes", "within a run", [step(ranges(data=FIVE), last=0), step(hour=HOUR - 1)]),
    ("wrong-order", "run-after-the-end", "one run for one ROOTS", [step(), step()]),
    ("malformed", "fingerprint-cut-short", "15 bytes", [step(ranges(data=FIVE[:-1]))]),
    ("malformed", "list-cut-short", "two announced", [step(ranges(data=b"\xbf\x02" + bytes(8)))]),
    ("malformed", "prefix-cut-short", "three announced", [step(ranges(data=b"\x43\x01\x02"))]),
    ("out-of-range", "mode-three", "0 to 2 exist", [step(ranges(data=b"\xff"))]),
    ("out-of-range", "prefix-33-bytes", "ids have 32", [step(ranges(data=b"\x61\x00" + bytes(33 + 16)))]),
    ("out-of-range", "list-of-65", "64 at most", [step(ranges(data=b"\xbf\x41" + bytes(520)))]),
    ("out-of-range", "hour-past-32-bits", "2^32", [step(ranges(data=b"\x40\xff\xff\xff\xff\x0f" + ZEROS))]),
    ("not-canonical", "hours-in-long-form", "5 in two bytes", [step(ranges(data=b"\x40\x85\x00" + ZEROS))]),
    ("not-canonical", "skip-at-the-end", "it leads nowhere", [step(ranges(data=FIVE + b"\x00\x05"))]),
    ("not-canonical", "two-skips", "one is enough", [step(ranges(data=b"\x00\x01\x00\x01" + FIVE))]),
    ("not-sorted", "bound-stands-still", "no hours forward", [step(ranges(data=FIVE + b"\x40\x00" + ZEROS))]),
    ("not-sorted", "bound-after-the-end", "63 is the last", [step(ranges(data=(TO_END + ZEROS) * 2))]),
    ("bad-form", "over-an-hours-middle", "five hours and a prefix", [step(ranges(data=b"\x41\x05\xaa" + ZEROS))]),
    (
        "bad-form",
        "from-an-hours-middle",
        "a prefix, then two hours",
        [step(ranges(data=b"\x01\x00\xaa\x40\x02" + ZEROS))],
    ),
    ("not-sorted", "range-again", "in the next frame", [step(ranges(data=FIVE), last=0), step(ranges(data=FIVE))]),
    (
        "not-sorted",
        "set-falls-back",
        "in the next frame",
        [step(ranges(OTHER, data=FIVE), last=0), step(ranges(data=FIVE))],
    ),
    ("out-of-range", "answer-to-nothing", "no id was listed", [step(ranges(lacking=b"\x01", data=b""))]),
    ("too-large", "seventh-step-of-theirs", "twelve are a run", [step(ranges(data=TO_END + ZEROS))] * 7),
]
