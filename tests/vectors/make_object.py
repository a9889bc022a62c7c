"""Vectors of objects: header slots, the commitment, the signature, and agreement with the envelope."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from make_envelope import KEY, outer, plaintext, sealed
from vector import NOW, bad, good, newer, node, pack, seed

from almenara.crypto import box
from almenara.crypto.hashing import digest
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

ALPHA = node("alpha")
SALT, BODY = seed("salt"), b"a body of whatever schema"
CIRCLE, STATEMENT = seed("circle", 16), seed("statement", 16)

BAD_HEADERS = [
    ("unknown-version", "version-zero", "there was no version 0", {"ver": 0}),
    ("out-of-range", "type-zero", "types begin at 1", {"type": 0}),
    ("wrong-suite", "type-key-packet", "a key packet is no object", {"type": 20, "ref_id": b""}),
    ("wrong-length", "author-one-byte-short", "31 bytes", {"author": bytes(31)}),
    ("wrong-length", "circle-empty", "every object is in a circle", {"circle": b""}),
    ("wrong-length", "statement-32-bytes", "a statement's id is 16 bytes", {"statement": bytes(32)}),
    ("out-of-range", "card-counter-zero", "counters begin at 1", {"card_counter": 0}),
    ("out-of-range", "seq-negative", "-1", {"seq": -1}),
    ("out-of-range", "seq-past-32-bits", "2^32", {"seq": 2**32}),
    ("wrong-length", "prev-missing", "only the very first header has none", {"seq": 1, "prev": b""}),
    ("wrong-length", "prev-16-bytes", "a hash has 32", {"prev": bytes(16)}),
    ("wrong-length", "alert-without-id", "an alert has an id", {"ref_id": b""}),
    ("wrong-length", "acknowledgement-of-nothing", "an answer names an alert", {"type": 5, "ref_id": b""}),
    ("wrong-length", "statement-with-reference", "a statement refers to nothing", {"type": 12}),
    ("out-of-range", "revision-past-16-bits", "65536", {"revision": 65536}),
    ("out-of-range", "alert-without-expiry", "every alert ends", {"expires_min": 0}),
    ("out-of-range", "expires-when-created", "no life", {"expires_min": NOW}),
    ("out-of-range", "expires-after-367-days", "366 days at most", {"expires_min": NOW + 366 * 1440 + 1}),
    ("out-of-range", "tlp-five", "0 to 4 exist", {"tlp": 5}),
    ("out-of-range", "lane-two", "0 and 1 exist", {"lane": 2}),
    ("out-of-range", "algorithm-zero", "algorithms begin at 1", {"sig_alg": 0}),
    ("wrong-type", "seq-is-boolean", "true is no 1", {"seq": True}),
    ("wrong-type", "author-as-text", "56 letters instead of 32 bytes", {"author": ALPHA.root.node_id.text}),
    ("wrong-type", "tlp-as-text", "the words are for people", {"tlp": "TLP:RED"}),
]


def slots(**changes: Any) -> dict[str, Any]:
    """Return the slots of a good alert's header by name, with changes."""
    fields = {
        "ver": 1,
        "type": 1,
        "author": ALPHA.id,
        "circle": CIRCLE,
        "statement": STATEMENT,
        "card_counter": 1,
        "incarnation": seed("incarnation", 16),
        "seq": 0,
        "prev": b"",
        "ref_id": seed("alert", 16),
        "revision": 0,
        "body_commit": digest(Label.BODY, SALT, BODY),
        "created_min": NOW,
        "expires_min": NOW + 129_600,
        "tlp": 3,
        "lane": 0,
        "sig_alg": 1,
    }
    return fields | changes


def content(header: bytes, salt: bytes = SALT, body: bytes = BODY) -> bytes:
    """Return an object over these header bytes, signed by alpha."""
    return pack(header, ALPHA.op.sign(Label.OBJECT, header), salt, body)


def with_slots(**changes: Any) -> bytes:
    """Return an object whose header has these changes."""
    return content(pack(*slots(**changes).values()))


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    yield from _good()
    yield from _bad()
    yield from _in_envelope()


def _good() -> Iterator[Vector]:
    header = pack(*slots().values())
    yield good(
        "object",
        "good",
        "an alert; the worked example of SPEC.md",
        {"content": content(header), "op_sign": ALPHA.op.public},
        header=slots(),
        header_bytes=header,
        hash=digest(Label.HEADER_HASH, header),
        salt=SALT,
        body=BODY,
    )
    yield good(
        "envelope-circle",
        "worked-example",
        "that alert, sealed; the worked example of SPEC.md",
        {"envelope": sealed(outer(), plaintext(4096, box.OVERHEAD, content(header))), "key": KEY},
        content=content(header),
    )
    later = slots(type=11, seq=2**32 - 1, prev=seed("previous"), ref_id=b"", expires_min=0, lane=1, tlp=0)
    header = pack(*later.values())
    yield good(
        "object",
        "receipt",
        "no reference, no expiry, the highest number",
        {"content": content(header), "op_sign": ALPHA.op.public},
        header=later,
        header_bytes=header,
        hash=digest(Label.HEADER_HASH, header),
        salt=SALT,
        body=BODY,
    )


def _bad() -> Iterator[Vector]:
    op_sign = ALPHA.op.public
    header = pack(*slots().values())
    signature = ALPHA.op.sign(Label.OBJECT, header)
    for defect, name, about, change in BAD_HEADERS:
        yield bad(defect, "object", name, about, content=with_slots(**change), op_sign=op_sign)
    whole = {
        "slot-missing": ("wrong-count", "sixteen slots", content(pack(*list(slots().values())[:-1]))),
        "slot-too-many": ("wrong-count", "eighteen slots", content(pack(*slots().values(), 0))),
        "header-not-canonical": ("not-canonical", "tlp in two bytes", content(_long_form(header))),
        "header-nested": ("wrong-type", "an array instead of its bytes", pack([1], signature, SALT, BODY)),
        "header-empty": ("wrong-length", "no header", pack(b"", signature, SALT, BODY)),
        "without-body": ("wrong-count", "three items", pack(header, signature, SALT)),
        "body-as-text": ("wrong-type", "text is not bytes", pack(header, signature, SALT, "text")),
        "salt-empty": ("wrong-length", "a body needs its salt", pack(header, signature, b"", BODY)),
        "signature-63-bytes": ("wrong-length", "cut short", pack(header, signature[:-1], SALT, BODY)),
        "other-body": ("bad-commit", "not the body that was signed for", pack(header, signature, SALT, BODY + b"!")),
        "other-salt": ("bad-commit", "not the salt that was signed for", pack(header, signature, seed("x"), BODY)),
        "byte-moved-to-salt": (
            "wrong-length",
            "salt 33, body one less",
            pack(header, signature, SALT + b"a", BODY[1:]),
        ),
        "signed-by-another": (
            "bad-signature",
            "beta's key",
            pack(header, node("beta").op.sign(Label.OBJECT, header), SALT, BODY),
        ),
        "signed-as-profile": (
            "bad-signature",
            "another label",
            pack(header, ALPHA.op.sign(Label.PROFILE, header), SALT, BODY),
        ),
        "signature-not-reduced": (
            "bad-signature",
            "S plus the group order",
            pack(header, _raised(signature), SALT, BODY),
        ),
    }
    for name, (defect, about, data) in whole.items():
        yield bad(defect, "object", name, about, content=data, op_sign=op_sign)
    yield newer(
        "unknown-version", "object", "version-two", "of the future", content=content(pack(2, b"new")), op_sign=op_sign
    )
    unknown_type = with_slots(type=21)
    yield newer("unknown-type", "object", "type-unknown", "21", content=unknown_type, op_sign=op_sign)
    unknown_algorithm = with_slots(sig_alg=2)
    yield newer("unknown-algorithm", "object", "algorithm-unknown", "2", content=unknown_algorithm, op_sign=op_sign)
    broken_future = content(b"\x92\xcc\x02\x01")
    yield bad(
        "not-canonical",
        "object",
        "version-two-in-long-form",
        "broken, not newer",
        content=broken_future,
        op_sign=op_sign,
    )


def _long_form(header: bytes) -> bytes:
    """Return the header with its third slot from the end, tlp 3, written as 0xcc 0x03."""
    return header[:-3] + b"\xcc" + header[-3:]


def _raised(signature: bytes) -> bytes:
    """Return the same signature with S + L: a second encoding that lax verifiers accept."""
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    return signature[:32] + scalar.to_bytes(32, "little")


def _in_envelope() -> Iterator[Vector]:
    kind = "object-in-envelope"
    data = with_slots()
    given = {"content": data, "circle": CIRCLE, "statement": STATEMENT, "cls": 0, "size": 4096}
    yield good(kind, "good", "header, envelope and key agree", given | {"outer": _outer()})
    cases = [
        ("wrong-circle", "key-of-another-circle", {"circle": seed("another circle", 16)}),
        ("wrong-statement", "key-of-another-statement", {"statement": seed("another", 16)}),
        ("wrong-class", "key-of-the-other-class", {"cls": 1}),
        ("wrong-lane", "in-the-other-lane", {"outer": _outer(lane=1)}),
        ("wrong-hour", "an-hour-later", {"outer": _outer(hour=NOW // 60 + 1)}),
        ("bad-size", "alert-in-the-middle-size", {"size": 16384}),
    ]
    for defect, name, change in cases:
        yield bad(defect, kind, name, name.replace("-", " "), **(given | {"outer": _outer()} | change))


def _outer(lane: int = 0, hour: int = NOW // 60) -> bytes:
    return struct.pack(">BBH16sIBB6s16s", 0xA1, 1, 0x0201, seed("tag", 16), hour, 0, lane, bytes(6), seed("kid", 16))
