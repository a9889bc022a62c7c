"""Vectors of envelopes: the outer bytes, and opening under a circle key or with a prekey."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from vector import NOW, Node, bad, good, newer, node, pinned, seed

from almenara.crypto import box, sealing
from almenara.crypto.hashing import digest
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

HOUR = NOW // 60
KEY, TAG, KID = seed("class key"), seed("tag", 16), seed("kid", 16)
CIRCLE, PACKET = 0x0201, 0x0101
CONTENT = b"what is sealed is any bytes"


def outer(
    *, magic: int = 0xA1, version: int = 1, suite: int = CIRCLE, cls: int = 0, lane: int = 0, zero: bytes = bytes(6)
) -> bytes:
    """Return 48 outer bytes."""
    return struct.pack(">BBH16sIBB6s16s", magic, version, suite, TAG, HOUR, cls, lane, zero, KID)


def plaintext(size: int, overhead: int, content: bytes = CONTENT, length: int | None = None, end: bytes = b"") -> bytes:
    """Return length, content and padding; `end` puts something into the last bytes of the padding."""
    body = struct.pack(">I", len(content) if length is None else length) + content
    room = size - 48 - overhead
    return body.ljust(room - len(end), b"\0") + end


def sealed(head: bytes, plain: bytes, key: bytes = KEY) -> bytes:
    """Return an envelope under a circle key."""
    return head + box.seal(key, seed("nonce", 24), plain, head)


def packet(recipient: Node, plain: bytes) -> bytes:
    """Return an envelope to one recipient; the encapsulation is pinned."""
    head = outer(suite=PACKET)
    info = Label.ENVELOPE_INFO + head + recipient.id

    def seal() -> bytes:
        return head + sealing.seal_to(recipient.prekey.public, plain, info)

    return pinned("packet", info + plain, seal)


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    yield from _outer()
    yield from _circle()
    yield from _packet()


def _outer() -> Iterator[Vector]:
    whole = sealed(outer(cls=1, lane=1), plaintext(4096, box.OVERHEAD))
    yield good(
        "envelope-outer",
        "good",
        "what a carrier reads",
        {"envelope": whole},
        suite=CIRCLE,
        tag=TAG,
        created_hour=HOUR,
        cls=1,
        lane=1,
        kid=KID,
        id=digest(Label.ENVELOPE_ID, whole),
    )
    rest = bytes(4096 - 48)
    cases = [
        ("bad-size", "one-byte-short", "4,095 bytes", outer() + rest[1:]),
        ("bad-size", "one-byte-long", "4,097 bytes", outer() + rest + b"\0"),
        ("bad-size", "empty", "no bytes at all", b""),
        ("bad-magic", "other-magic", "0xa2", outer(magic=0xA2) + rest),
        ("unknown-version", "version-zero", "there was no version 0", outer(version=0) + rest),
        ("out-of-range", "class-two", "0 and 1 exist", outer(cls=2) + rest),
        ("out-of-range", "lane-two", "0 and 1 exist", outer(lane=2) + rest),
        ("reserved-not-zero", "reserved-byte-set", "byte 31 is 1", outer(zero=bytes(5) + b"\1") + rest),
    ]
    for defect, name, about, envelope in cases:
        yield bad(defect, "envelope-outer", name, about, envelope=envelope)
    future = outer(version=2) + rest
    yield newer("unknown-version", "envelope-outer", "version-two", "of the future", envelope=future)
    unknown = outer(suite=0x0301) + rest
    yield newer("unknown-suite", "envelope-outer", "suite-unknown", "0x0301", envelope=unknown)


def _circle() -> Iterator[Vector]:
    kind = "envelope-circle"
    plain = plaintext(4096, box.OVERHEAD)
    whole = sealed(outer(), plain)
    full = plaintext(4096, box.OVERHEAD, bytes(4004))
    nothing = plaintext(4096, box.OVERHEAD, b"")
    yield good(kind, "good", "27 bytes of content", {"envelope": whole, "key": KEY}, content=CONTENT)
    yield good(kind, "full", "no padding", {"envelope": sealed(outer(), full), "key": KEY}, content=bytes(4004))
    yield good(kind, "empty", "padding alone", {"envelope": sealed(outer(), nothing), "key": KEY}, content=b"")
    for at, what in (
        (20, "created-hour"),
        (4, "tag"),
        (25, "lane"),
        (32, "key-id"),
        (60, "nonce"),
        (100, "ciphertext"),
    ):
        changed = bytearray(whole)
        changed[at] ^= 1
        yield bad("bad-tag", kind, f"{what}-changed", f"one bit of byte {at}", envelope=bytes(changed), key=KEY)
    cases = [
        ("bad-padding", "padding-not-zero", "the last byte is 1", plaintext(4096, box.OVERHEAD, end=b"\1")),
        ("bad-padding", "length-past-the-end", "4,005 bytes claimed", plaintext(4096, box.OVERHEAD, length=4005)),
        ("bad-padding", "length-of-four-billion", "2^32 - 1", plaintext(4096, box.OVERHEAD, length=2**32 - 1)),
    ]
    for defect, name, about, bad_plain in cases:
        yield bad(defect, kind, name, about, envelope=sealed(outer(), bad_plain), key=KEY)
    yield bad("bad-tag", kind, "another-key", "sealed under another key", envelope=whole, key=seed("another key"))
    mislabelled = sealed(outer(suite=PACKET), plain)
    yield bad(
        "wrong-suite", kind, "suite-of-key-packets", "0x0101 over a circle sealing", envelope=mislabelled, key=KEY
    )


def _packet() -> Iterator[Vector]:
    kind, alpha, beta = "envelope-packet", node("alpha"), node("beta")
    plain = plaintext(4096, sealing.OVERHEAD)
    whole = packet(alpha, plain)
    mine = {"recipient": alpha.id, "prekey_seed": alpha.prekey.seed}
    yield good(kind, "good", "27 bytes of content", {"envelope": whole, **mine}, content=CONTENT)
    renamed = mine | {"recipient": beta.id}
    yield bad("bad-tag", kind, "for-another-node", "alpha's key, but beta's id in info", envelope=whole, **renamed)
    foreign = mine | {"prekey_seed": beta.prekey.seed}
    yield bad("bad-tag", kind, "another-prekey", "beta's key", envelope=whole, **foreign)
    changed = bytearray(whole)
    changed[20] ^= 1
    yield bad("bad-tag", kind, "created-hour-changed", "one bit of byte 20", envelope=bytes(changed), **mine)
    padded = packet(alpha, plaintext(4096, sealing.OVERHEAD, end=b"\1"))
    yield bad("bad-padding", kind, "padding-not-zero", "the last byte is 1", envelope=padded, **mine)
    circle = sealed(outer(), plaintext(4096, box.OVERHEAD))
    yield bad("wrong-suite", kind, "suite-of-circles", "0x0201", envelope=circle, **mine)
