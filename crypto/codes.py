"""Codes two people read to each other when their nodes pair (PROTOCOL §3).

The same digits on both sides, or somebody stands between.
"""

from __future__ import annotations

SHORT_DIGITS, SHORT_GROUP = 12, 4
LONG_DIGITS, LONG_GROUP = 60, 5

SHORT_SECRET_BYTES = 32
LONG_DIGEST_BYTES = 64


def short_code(secret: bytes) -> str:
    """Return 12 digits in 3 groups of 4: the first 64 bits, big-endian, of a 32-byte secret both derived, mod 10¹².

    Safe only after a commitment: an attacker then has one guess in 10¹² and no way to try another.
    """
    if len(secret) != SHORT_SECRET_BYTES:
        raise ValueError(f"a short code is made of {SHORT_SECRET_BYTES} bytes, got {len(secret)}")
    return _digits(int.from_bytes(secret[:8]), SHORT_DIGITS, SHORT_GROUP)


def long_code(digest: bytes) -> str:
    """Return 60 digits in 12 groups of 5: a 64-byte hash over both files, as one big-endian number, mod 10⁶⁰.

    Safe without a commitment: 199 bits are too many to search.
    """
    if len(digest) != LONG_DIGEST_BYTES:
        raise ValueError(f"a long code is made of {LONG_DIGEST_BYTES} bytes, got {len(digest)}")
    return _digits(int.from_bytes(digest), LONG_DIGITS, LONG_GROUP)


def _digits(number: int, digits: int, group: int) -> str:
    text = f"{number % 10**digits:0{digits}d}"
    return " ".join(text[at : at + group] for at in range(0, digits, group))
