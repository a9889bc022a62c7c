"""Discovery: tags of a pair by hour and side, and announcements that hold them."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from vector import Vector

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = bytes(range(0x40, 0x60))
ALPHA, BETA = bytes([0xA1]) * 32, bytes([0xB2]) * 32
HOUR = 496_667  # in August 2026
FILLER = bytes(range(128))


def tag(secret: bytes, hour: int, announcer: bytes) -> bytes:
    """HKDF-SHA256 written out: extract with a salt of 32 zero bytes, one block of expand."""
    key = hmac.digest(bytes(32), secret, "sha256")
    info = b"almenara/1/discovery-tag\0" + hour.to_bytes(4) + announcer
    return hmac.digest(key, info + b"\1", hashlib.sha256)[:8]


def rising(parts: list[bytes]) -> bytes:
    """Join in rising order."""
    return b"".join(sorted(parts))


def vectors() -> Iterator[Vector]:
    """Tags first, then announcements."""
    for name, about, hour, announcer in (
        ("alpha", "what alpha announces", HOUR, ALPHA),
        ("beta", "the other side of the pair, in the same hour", HOUR, BETA),
        ("next-hour", "an hour later nothing is the same", HOUR + 1, ALPHA),
        ("first-hour", "hour 0", 0, ALPHA),
        ("last-hour", "the last hour of four bytes", 2**32 - 1, BETA),
    ):
        given = {"carry_secret": SECRET, "hour": hour, "announcer": announcer}
        yield Vector("discovery-tag", name, about, given, {"tag": tag(SECRET, hour, announcer)})
    own = [tag(SECRET, HOUR, ALPHA), tag(SECRET, HOUR, BETA)]
    padded = [FILLER[start : start + 8] for start in range(0, 112, 8)]
    good = rising([*own, *padded])
    yield Vector(
        "discovery-notice", "two-peers", "filled up to sixteen", {"notice": good}, {"tags": rising(own + padded)}
    )
    nobody = rising([*padded, FILLER[112:120], FILLER[120:]])
    yield Vector(
        "discovery-notice", "no-peer", "a node without peers looks the same", {"notice": nobody}, {"tags": nobody}
    )
    for name, about, data, defect in (
        ("one-tag-short", "fewer would count the peers", good[8:], "wrong-length"),
        ("one-byte-more", "nothing may follow", good + b"\0", "wrong-length"),
        ("empty", "no tags", b"", "wrong-length"),
        ("falling", "an order would say who came first", good[8:16] + good[:8] + good[16:], "not-sorted"),
        ("tag-twice", "each stands once", good[:8] + good[:8] + good[16:], "not-sorted"),
    ):
        yield Vector("discovery-notice", name, about, {"notice": data}, defect=defect)
