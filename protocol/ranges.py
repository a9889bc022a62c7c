"""Ranges of a set on the wire: each gives its mode and its upper bound only, and begins where the one before ended.

    range = head (mode << 6 | length) [hours forward (varint) | prefix (length bytes)] [payload]

A length of 63 stands for the end of the set, and no bound follows.  This form is half as long as arrays would be, and
a repair of scattered differences consists of little else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.idsets import END, FINGERPRINT_BYTES, SHORT_BYTES, Bound, Span, is_span
from almenara.protocol.limits import HASH_BYTES, UINT32

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LISTED: Final = 64  # ids in one list: what a reader has to compare them with is bounded by its own set
_TO_END: Final = 63  # in place of a length: up to the end of the set
_VARINT_BYTES: Final = 5  # of an hour at most
_USUAL_HEADS: Final = 6  # bytes of heads and hours of a range and the skip before it
_HEAD_BYTES: Final = 1 + _VARINT_BYTES + HASH_BYTES  # of a bound with its mode at most
MAX_RANGE_BYTES: Final = 2 * _HEAD_BYTES + 1 + MAX_LISTED * SHORT_BYTES  # of a range and a skip before it


class Mode(IntEnum):
    """What a range says."""

    SKIP = 0
    """Nothing: it leads to the bound where the next one begins."""
    FINGERPRINT = 1
    LIST = 2


@dataclass(frozen=True, slots=True)
class Range:
    """A span of one set, with its fingerprint or with the short ids of all that is in it."""

    span: Span
    mode: Mode
    payload: bytes

    @property
    def weight(self) -> int:
        """About as many bytes as it takes in a frame, skips included."""
        return len(self.payload) + len(self.span[1][1]) + len(self.span[0][1]) + _USUAL_HEADS

    @property
    def listed(self) -> list[bytes]:
        """The short ids of a list, in order."""
        return [self.payload[at : at + SHORT_BYTES] for at in range(0, len(self.payload), SHORT_BYTES)]


def encode_range(said: Range, at: Bound) -> bytes:
    """Encode one range where the one before ended at `at`, with a skip before it if it begins later."""
    low, high = said.span
    skip = b"" if low == at else _head(Mode.SKIP, at, low)
    head = _head(said.mode, low, high)
    count = bytes([len(said.payload) // SHORT_BYTES]) if said.mode is Mode.LIST else b""
    return skip + head + count + said.payload


def _head(mode: Mode, at: Bound, high: Bound) -> bytes:
    if high == END:
        return bytes([mode << 6 | _TO_END])
    hour, prefix = high
    return bytes([mode << 6 | len(prefix)]) + _varint(hour - at[0]) + prefix


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


def read_ranges(first_hour: int, data: bytes) -> Iterator[Range]:
    """Read ranges that begin at an hour; skips are left out.

    Raises:
        RemoteError: MALFORMED, cut short; OUT_OF_RANGE, an unknown mode, a length, a list or an hour beyond its limit;
            NOT_SORTED, a bound that does not rise; BAD_FORM, neither whole hours nor inside one; NOT_CANONICAL.

    """
    reader = _Reader(data)
    at: Bound = (first_hour, b"")
    skipped = False
    while reader.more:
        head = reader.octet()
        mode, length = _mode(head >> 6), head & 63
        high = END if length == _TO_END else _bound(reader, at[0], length)
        if high <= at:
            raise RemoteError(Defect.NOT_SORTED, "bound", "above the one before")
        if mode is Mode.SKIP:
            if skipped or not reader.more:
                raise RemoteError(Defect.NOT_CANONICAL, "skip", "a range behind it")
        else:
            if not is_span(at, high):
                raise RemoteError(Defect.BAD_FORM, "range", "whole hours, or inside one hour")
            yield Range((at, high), mode, _payload(reader, mode))
        at, skipped = high, mode is Mode.SKIP


def _mode(number: int) -> Mode:
    if number > Mode.LIST:
        raise RemoteError(Defect.OUT_OF_RANGE, "mode", "0 to 2", str(number))
    return Mode(number)


def _bound(reader: _Reader, hour: int, length: int) -> Bound:
    if length > HASH_BYTES:
        raise RemoteError(Defect.OUT_OF_RANGE, "prefix", f"0 to {HASH_BYTES} bytes, or {_TO_END}", str(length))
    hour += reader.varint()
    if hour > UINT32:
        raise RemoteError(Defect.OUT_OF_RANGE, "hour", f"at most {UINT32}")
    return hour, reader.take(length)


def _payload(reader: _Reader, mode: Mode) -> bytes:
    if mode is Mode.FINGERPRINT:
        return reader.take(FINGERPRINT_BYTES)
    count = reader.octet()
    if count > MAX_LISTED:
        raise RemoteError(Defect.OUT_OF_RANGE, "list", f"at most {MAX_LISTED} ids", str(count))
    return reader.take(count * SHORT_BYTES)


class _Reader:
    """Bytes from the front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise RemoteError(Defect.MALFORMED, "ranges", f"{end} bytes", f"{len(self._data)} bytes")
        found = self._data[self._at : end]
        self._at = end
        return found

    def octet(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        number = 0
        for place in range(_VARINT_BYTES):
            octet = self.octet()
            number |= (octet & 0x7F) << 7 * place
            if octet <= 0x7F:
                if octet == 0 and place:
                    raise RemoteError(Defect.NOT_CANONICAL, "hours", "the shortest form")
                return number
        raise RemoteError(Defect.OUT_OF_RANGE, "hours", f"at most {_VARINT_BYTES} bytes")
