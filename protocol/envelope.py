"""Envelopes: what travels and what carriers hold, in three sizes and two suites (PROTOCOL §4).

A carrier reads the 48 outer bytes and nothing else.  They are authenticated with the content, so nobody on the way can
move an envelope to another hour, class, lane or scope.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from almenara.crypto import box, sealing
from almenara.crypto.errors import KeyMalformed, OpenFailed
from almenara.crypto.hashing import digest
from almenara.crypto.labels import Label
from almenara.protocol.errors import Defect, LocalError, NewerVersion, RemoteError
from almenara.protocol.limits import (
    CLASS_DAYS,
    HOURS_PER_DAY,
    ID_BYTES,
    LARGE,
    MEDIUM,
    MINUTES_PER_HOUR,
    SIZES,
    SMALL,
    UINT32,
    VERSION,
)

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId
    from almenara.crypto.sealing import PrekeySecret

__all__ = [
    "CLASS_DAYS",
    "CRITICAL",
    "LARGE",
    "MEDIUM",
    "ROUTINE",
    "SIZES",
    "SMALL",
    "Outer",
    "Suite",
    "envelope_id",
    "is_past_life",
    "open_circle",
    "open_packet",
    "parse_outer",
    "room",
    "seal_circle",
    "seal_packet",
    "smallest_size",
]

MAGIC: Final = 0xA1  # no text in UTF-8 and no JSON begins so
CRITICAL, ROUTINE = 0, 1  # lanes
OUTER_BYTES: Final = 48
_OUTER = struct.Struct(">BBH16sIBB6s16s")
_RESERVED = bytes(6)
_LENGTH = struct.Struct(">I")


class Suite(IntEnum):
    """How the content is sealed."""

    X_WING = 0x0101
    """HPKE with X-Wing to one recipient's prekey: key packets only."""
    CIRCLE = 0x0201
    """XChaCha20-Poly1305 under a class key of a circle: every object."""


_SUITES = {int(suite): suite for suite in Suite}  # the hot path's way from number to member
_OVERHEAD = {Suite.X_WING: sealing.OVERHEAD, Suite.CIRCLE: box.OVERHEAD}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    """The readable 48 bytes of an envelope.

    `tag` names the scope, `created_hour` counts hours since 1970 UTC, `cls` is 0 (travels 7 days) or 1 (35 days),
    `lane` is CRITICAL or ROUTINE, `kid` names the key.  Raises LocalError for values outside.
    """

    suite: Suite
    tag: bytes
    created_hour: int
    cls: int
    lane: int
    kid: bytes

    def __post_init__(self) -> None:
        if len(self.tag) != ID_BYTES:
            raise LocalError(Defect.WRONG_LENGTH, "tag", f"{ID_BYTES} bytes", f"{len(self.tag)} bytes")
        if len(self.kid) != ID_BYTES:
            raise LocalError(Defect.WRONG_LENGTH, "kid", f"{ID_BYTES} bytes", f"{len(self.kid)} bytes")
        if not 0 <= self.created_hour <= UINT32:
            raise LocalError(Defect.OUT_OF_RANGE, "created_hour", f"0 to {UINT32}")
        if self.cls not in {0, 1}:
            raise LocalError(Defect.OUT_OF_RANGE, "class", "0 or 1")
        if self.lane not in {CRITICAL, ROUTINE}:
            raise LocalError(Defect.OUT_OF_RANGE, "lane", "0 or 1")

    def pack(self) -> bytes:
        """Return the 48 bytes."""
        return _OUTER.pack(
            MAGIC, VERSION, self.suite, self.tag, self.created_hour, self.cls, self.lane, _RESERVED, self.kid
        )


def parse_outer(envelope: bytes) -> Outer:
    """Read the outer bytes of an envelope; needs no key.

    Raises:
        RemoteError: BAD_SIZE, BAD_MAGIC, UNKNOWN_VERSION (0), RESERVED_NOT_ZERO or OUT_OF_RANGE (class, lane).
        NewerVersion: a later envelope version, or a suite we do not know.

    """
    if len(envelope) not in SIZES:
        raise RemoteError(Defect.BAD_SIZE, "envelope", "4096, 16384 or 65536 bytes", f"{len(envelope)} bytes")
    magic, version, suite, tag, created_hour, cls, lane, reserved, kid = _OUTER.unpack_from(envelope)
    if magic != MAGIC:
        raise RemoteError(Defect.BAD_MAGIC, "magic", f"{MAGIC:#04x}")
    _check_version(version, suite)
    if cls > 1:
        raise RemoteError(Defect.OUT_OF_RANGE, "class", "0 or 1")
    if lane > ROUTINE:
        raise RemoteError(Defect.OUT_OF_RANGE, "lane", "0 or 1")
    if reserved != _RESERVED:
        raise RemoteError(Defect.RESERVED_NOT_ZERO, "bytes 26 to 31", "zero")
    return Outer(suite=_SUITES[suite], tag=tag, created_hour=created_hour, cls=cls, lane=lane, kid=kid)


def _check_version(version: int, suite: int) -> None:
    if version > VERSION:
        raise NewerVersion(Defect.UNKNOWN_VERSION, "envelope", f"version {VERSION}", f"version {version}")
    if version < VERSION:
        raise RemoteError(Defect.UNKNOWN_VERSION, "envelope", f"version {VERSION}", f"version {version}")
    if suite not in _SUITES:
        raise NewerVersion(Defect.UNKNOWN_SUITE, "suite", "0x0101 or 0x0201", f"{suite:#06x}")


def envelope_id(envelope: bytes) -> bytes:
    """Return the 32 bytes by which nodes name this sealing; another sealing of one object has another."""
    return digest(Label.ENVELOPE_ID, envelope)


def room(suite: Suite, size: int) -> int:
    """Return how many bytes of content an envelope of `size` bytes holds under `suite`."""
    return size - OUTER_BYTES - _OVERHEAD[suite] - _LENGTH.size


def smallest_size(suite: Suite, length: int, sizes: tuple[int, ...] = SIZES) -> int:
    """Return the smallest of `sizes` that holds `length` bytes.

    Raises:
        LocalError: TOO_LARGE, none does.

    """
    for size in sizes:
        if length <= room(suite, size):
            return size
    raise LocalError(Defect.TOO_LARGE, "content", f"at most {room(suite, sizes[-1])} bytes", f"{length} bytes")


def is_past_life(outer: Outer, now_min: int) -> bool:
    """Whether an envelope is older than its class travels, counted in whole hours; `now_min` in minutes since 1970."""
    return now_min // MINUTES_PER_HOUR - outer.created_hour > CLASS_DAYS[outer.cls] * HOURS_PER_DAY


def seal_circle(outer: Outer, size: int, key: bytes, nonce: bytes, content: bytes) -> bytes:
    """Seal an object under a circle's 32-byte class key; `nonce` is 24 fresh random bytes.

    Raises:
        LocalError: WRONG_SUITE, BAD_SIZE, TOO_LARGE or BAD_KEY.

    """
    plaintext = _padded(outer, Suite.CIRCLE, size, content)
    head = outer.pack()
    try:
        return head + box.seal(key, nonce, plaintext, head)
    except KeyMalformed:
        raise LocalError(Defect.BAD_KEY, "key or nonce", "32 and 24 bytes") from None


def open_circle(envelope: bytes, key: bytes, outer: Outer | None = None) -> bytes:
    """Open an object's envelope with the class key that its key id names, and return the content.

    `outer` spares reading the outer bytes again, where the caller has done so to find the key.

    Raises:
        RemoteError: what `parse_outer` refuses, WRONG_SUITE, BAD_TAG or BAD_PADDING.
        LocalError: BAD_KEY, our key has not 32 bytes.

    """
    _expect(outer or parse_outer(envelope), Suite.CIRCLE)
    try:
        return _unpadded(box.open(key, envelope[OUTER_BYTES:], envelope[:OUTER_BYTES]))
    except OpenFailed:
        raise RemoteError(Defect.BAD_TAG, "envelope") from None
    except KeyMalformed:
        raise LocalError(Defect.BAD_KEY, "key", f"{box.KEY_BYTES} bytes") from None


def seal_packet(outer: Outer, size: int, recipient: NodeId, prekey_public: bytes, content: bytes) -> bytes:
    """Seal a key packet to one recipient's prekey.

    Raises:
        LocalError: WRONG_SUITE, BAD_SIZE, TOO_LARGE, or BAD_KEY for a prekey that is none.

    """
    plaintext = _padded(outer, Suite.X_WING, size, content)
    head = outer.pack()
    try:
        return head + sealing.seal_to(prekey_public, plaintext, _info(head, recipient))
    except KeyMalformed:
        raise LocalError(Defect.BAD_KEY, "prekey", "an X-Wing public key") from None


def open_packet(envelope: bytes, own: NodeId, secret: PrekeySecret) -> bytes:
    """Open a key packet sealed to our prekey, and return the content.

    Raises:
        RemoteError: what `parse_outer` refuses, WRONG_SUITE, BAD_TAG or BAD_PADDING.

    """
    _expect(parse_outer(envelope), Suite.X_WING)
    try:
        return _unpadded(secret.open(envelope[OUTER_BYTES:], _info(envelope[:OUTER_BYTES], own)))
    except OpenFailed:
        raise RemoteError(Defect.BAD_TAG, "envelope") from None


def _expect(outer: Outer, suite: Suite) -> None:
    if outer.suite is not suite:
        raise RemoteError(Defect.WRONG_SUITE, "suite", f"{suite:#06x}", f"{outer.suite:#06x}")


def _info(head: bytes, recipient: NodeId) -> bytes:
    return Label.ENVELOPE_INFO + head + recipient.raw


def _padded(outer: Outer, suite: Suite, size: int, content: bytes) -> bytes:
    if outer.suite is not suite:
        raise LocalError(Defect.WRONG_SUITE, "suite", f"{suite:#06x}", f"{outer.suite:#06x}")
    if size not in SIZES:
        raise LocalError(Defect.BAD_SIZE, "size", "4096, 16384 or 65536 bytes", f"{size} bytes")
    smallest_size(suite, len(content), (size,))
    return (_LENGTH.pack(len(content)) + content).ljust(room(suite, size) + _LENGTH.size, b"\0")


def _unpadded(plaintext: bytes) -> bytes:
    (length,) = _LENGTH.unpack_from(plaintext)
    end = _LENGTH.size + length
    if end > len(plaintext):
        raise RemoteError(Defect.BAD_PADDING, "length", "a length within the envelope")
    # Room in the padding would be a hidden channel, and one object would have many sealings of one plaintext.
    if plaintext[end:] != bytes(len(plaintext) - end):
        raise RemoteError(Defect.BAD_PADDING, "padding", "zeros")
    return plaintext[_LENGTH.size : end]
