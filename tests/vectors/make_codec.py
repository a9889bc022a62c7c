"""Vectors of the codec: each negative one is a value that plain msgpack reads and this codec must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vector import bad, good, pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

KIND = "codec"
DEEPEST = b"\x91" * 5 + b"\x01"

REFUSED = [
    ("malformed", "empty-input", "no bytes at all", b""),
    ("wrong-type", "not-an-array", "an integer where the outermost value must be an array", b"\x01"),
    ("not-canonical", "integer-in-long-form", "1 in three bytes", b"\x91\xcd\x00\x01"),
    ("not-canonical", "integer-in-signed-form", "1 in the signed form", b"\x91\xd1\x00\x01"),
    ("not-canonical", "integer-in-64-bits", "1 in nine bytes", b"\x91\xcf\x00\x00\x00\x00\x00\x00\x00\x01"),
    ("not-canonical", "text-in-long-form", "one letter with a length byte of its own", b"\x91\xd9\x01a"),
    ("not-canonical", "bytes-in-long-form", "one byte with a length of two bytes", b"\x91\xc5\x00\x01a"),
    ("not-canonical", "array-in-long-form", "an array of one with a length of four bytes", b"\xdd\x00\x00\x00\x01\x01"),
    ("wrong-type", "nil", "nil: an absent value is empty bytes, empty text, an empty array or 0", b"\x91\xc0"),
    ("wrong-type", "boolean", "true: a flag is 1 or 0", b"\x91\xc3"),
    ("wrong-type", "float-32", "1.0", b"\x91\xca\x3f\x80\x00\x00"),
    ("wrong-type", "float-64", "1.0", b"\x91\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"),
    ("wrong-type", "not-a-number", "a NaN with a payload", b"\x91\xcb\x7f\xf8\x00\x00\x00\x00\x00\x01"),
    ("wrong-type", "empty-map", "a map, even an empty one", b"\x91\x80"),
    ("malformed", "map", "a map with a repeated key", b"\x91\x82\xa1a\x01\xa1a\x02"),
    ("malformed", "extension", "an extension of one byte", b"\x91\xd4\x05a"),
    ("malformed", "timestamp", "the timestamp extension", b"\x91\xd6\xff\x00\x00\x00\x00"),
    ("malformed", "byte-after-the-end", "a good array and one more byte", b"\x91\x01\x02"),
    ("malformed", "cut-short", "an array of two with one item", b"\x92\x01"),
    ("malformed", "array-of-four-billion", "a length that must not be believed", b"\xdd\xff\xff\xff\xff"),
    ("malformed", "too-many-items", "an array of 1,025", pack(*[0] * 1025)),
    ("too-deep", "six-arrays-deep", "five arrays around an array", b"\x91" + DEEPEST),
    ("too-deep", "six-hundred-arrays-deep", "what plain msgpack reads without complaint", b"\x91" * 600 + b"\x01"),
    ("malformed", "text-not-utf-8", "a byte that begins no letter", b"\x91\xa1\xff"),
    ("malformed", "text-with-surrogate", "half a surrogate pair, written in three bytes", b"\x91\xa3\xed\xa0\x80"),
    ("malformed", "reserved-byte", "0xc1, which msgpack never uses", b"\x91\xc1"),
]


def vectors() -> Iterator[Vector]:
    """Yield the vectors of the codec."""
    yield good(
        KIND,
        "every-type",
        "integers, bytes, text and arrays",
        {"data": pack(0, 127, 128, 2**32 - 1, b"", b"\x00\xff", "", "é", [], [1, [b"x"]])},
        value=[0, 127, 128, 2**32 - 1, {"bytes": ""}, {"bytes": "00ff"}, "", "é", [], [1, [{"bytes": "78"}]]],
    )
    yield good(KIND, "deepest", "four arrays around an array", {"data": DEEPEST}, value=[[[[[1]]]]])
    yield good(KIND, "most-items", "an array of 1,024", {"data": pack(*[0] * 1024)}, value=[0] * 1024)
    for defect, name, about, data in REFUSED:
        yield bad(defect, KIND, name, about, data=data)
    yield bad(
        "too-long", KIND, "one-byte-too-long", "17 bytes where 16 are allowed", data=pack(bytes(14)), max_bytes=16
    )
