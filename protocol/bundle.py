"""Bundles: a file of envelopes for a stick, a letter, or any other way around a shutdown (DESIGN §6; SPEC.md §14).

Written and read as a stream in bounded memory.  What comes before damage is given out before the damage is told, and
nothing in a bundle counts more than if a peer had pushed it: the file is a way, not an authority.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from almenara.crypto import signing
from almenara.crypto.errors import CryptoError, OpenFailed
from almenara.crypto.labels import Label
from almenara.crypto.stream import HEADER_BYTES, OVERHEAD, StreamOpener, StreamSealer
from almenara.protocol.card import Introduction, parse_introduction
from almenara.protocol.codec import Shape, blob, integer, octets
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.limits import MAX_FRAME, MAX_INTRODUCTION, SIGNATURE_BYTES, VERSION
from almenara.protocol.messages import Keys, encode_message, parse_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from almenara.crypto.signing import SigningKey
    from almenara.protocol.bundle_head import Opened

CHUNK_BYTES: Final = 65_536  # of plaintext; what one flipped byte on a bad stick costs
SEALED_BYTES: Final = CHUNK_BYTES + OVERHEAD
MAX_CHUNKS: Final = 2**15  # 2 GiB: the largest power of two that fits a file of FAT32
MAX_RECORD: Final = MAX_FRAME  # bytes of a record's content: a KEYS message, or an envelope
MAX_RECORDS: Final = 2**20  # the smallest envelopes would fill the largest file with half as many

_LENGTH = struct.Struct(">I")
_KIND_BYTES: Final = 1
_END_ROOM: Final = _LENGTH.size + _KIND_BYTES + 8  # bytes that END may take
_HEADER = Shape("bundle header", ("created_hour", integer()), ("sender", blob(MAX_INTRODUCTION)), version=VERSION)
_SIGNED = Shape("signed bundle header", ("fields", blob(MAX_RECORD)), ("signature", octets(0, SIGNATURE_BYTES)))
_END = Shape("bundle end", ("count", integer(0, MAX_RECORDS)))


class Kind(IntEnum):
    """What a record is.  HEADER comes first, KEYS before all envelopes, END last."""

    HEADER = 1
    KEYS = 2
    ENVELOPE = 3
    END = 4


@dataclass(frozen=True, slots=True)
class Header:
    """When the bundle was made, in hours since 1970, and by whom; verified.  No sender where a passphrase opens it."""

    created_hour: int
    sender: Introduction | None


@dataclass(frozen=True, slots=True)
class Carried:
    """An envelope, not judged yet."""

    envelope: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A record that a rule refuses; the next one is not touched by that."""

    error: RemoteError
    size: int


Event: TypeAlias = Header | Keys | Carried | Spoilt


def sign_header(created_hour: int, introduction: bytes, opened: Opened, key: SigningKey) -> bytes:
    """Return the header record's content for a bundle to one node: by whom it is, for its reader alone.

    Raises:
        LocalError: a slot breaks its rule; WRONG_SUITE, nobody in particular can open the bundle.

    """
    if opened.recipient is None:
        raise LocalError(Defect.WRONG_SUITE, "suite", "a bundle to one node")
    fields = _HEADER.write(created_hour, introduction)
    return _SIGNED.write(fields, key.sign(Label.BUNDLE_SIGN, _signed_bytes(opened, fields)))


def nameless_header(created_hour: int) -> bytes:
    """Return the header record's content for a bundle under a passphrase."""
    return _SIGNED.write(_HEADER.write(created_hour, b""), b"")


def _signed_bytes(opened: Opened, fields: bytes) -> bytes:
    """Head and recipient are signed too: nobody can put a header over another file, or pass it on to somebody else."""
    return opened.head + (opened.recipient.raw if opened.recipient else b"") + fields


class BundleWriter:
    """Takes records, gives bytes of the file.  The order of kinds is the caller's to keep."""

    def __init__(self, opened: Opened, header: bytes) -> None:
        """`header` is what `sign_header` or `nameless_header` made."""
        self._sealer = StreamSealer(opened.stream_key)
        self._start = opened.head + self._sealer.header
        self._waiting = bytearray()
        self._sealed = self._added = 0
        self._put(Kind.HEADER, header)

    def start(self) -> bytes:
        """Return the first bytes of the file."""
        return self._start

    def has_room(self, size: int) -> bool:
        """Whether a record with so many bytes still fits."""
        used = self._sealed * CHUNK_BYTES + len(self._waiting) + _END_ROOM
        fits = used + _LENGTH.size + _KIND_BYTES + size <= MAX_CHUNKS * CHUNK_BYTES
        return fits and self._added + 1 <= MAX_RECORDS

    def keys(self, message: Keys) -> bytes:
        """Add what a KEYS message would say; return the chunks that are full now.

        Raises:
            LocalError: a slot breaks its rule, or TOO_LARGE.

        """
        return self._add(Kind.KEYS, encode_message(message))

    def envelope(self, data: bytes) -> bytes:
        """Add an envelope as it is; return the chunks that are full now.

        Raises:
            LocalError: TOO_LARGE.

        """
        return self._add(Kind.ENVELOPE, data)

    def finish(self) -> Iterator[bytes]:
        """End it, and pad it to a power of two of chunks, so that the size of a file tells only its magnitude."""
        self._put(Kind.END, _END.write(self._added))
        needed = self._sealed + -(-len(self._waiting) // CHUNK_BYTES)
        chunks = 1 << (needed - 1).bit_length()
        while self._sealed < chunks:
            yield self._seal(last=self._sealed + 1 == chunks)

    def _add(self, kind: Kind, content: bytes) -> bytes:
        if not self.has_room(len(content)):
            raise LocalError(Defect.TOO_LARGE, "bundle", f"at most {MAX_CHUNKS} chunks and {MAX_RECORDS} records")
        self._put(kind, content)
        self._added += 1
        full = bytearray()
        while len(self._waiting) > CHUNK_BYTES:  # not when it is just full: that one may be the last
            full += self._seal(last=False)
        return bytes(full)

    def _put(self, kind: Kind, content: bytes) -> None:
        self._waiting += _LENGTH.pack(_KIND_BYTES + len(content)) + bytes([kind]) + content

    def _seal(self, *, last: bool) -> bytes:
        chunk = bytes(self._waiting[:CHUNK_BYTES]).ljust(CHUNK_BYTES, b"\0")
        del self._waiting[:CHUNK_BYTES]
        self._sealed += 1
        return self._sealer.seal(chunk, last=last)


class BundleReader:
    """Takes the bytes behind the head as they come, gives what the records are, and never holds more than two chunks.

    `opened` is what `bundle_head` made of the head.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._stream: StreamOpener | None = None
        self._raw, self._plain = bytearray(), bytearray()
        self._last = self._ended = False
        self._expected = Kind.HEADER  # the earliest kind that may come now
        self._count = 0
        self.chunks = 0  # opened so far: with none, the key may have been the wrong one

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield what these bytes complete; take every event before the next call.

        Raises:
            RemoteError: BAD_TAG, TOO_LARGE, TOO_LONG (bytes behind the end, or a record), WRONG_COUNT, WRONG_LENGTH,
                WRONG_ORDER, WRONG_NUMBER, BAD_PADDING, TRUNCATED, or what is wrong with the header.
                Nothing behind it can be read.
            NewerVersion: the header is of a later version.

        """
        self._raw += data
        if self._stream is None:
            if len(self._raw) < HEADER_BYTES:
                return
            self._stream = StreamOpener(self._opened.stream_key, bytes(self._raw[:HEADER_BYTES]))
            del self._raw[:HEADER_BYTES]
        while len(self._raw) >= SEALED_BYTES:
            self._open_chunk(self._stream)
            yield from self._records()
            if self._last:
                self._check_end()
        if self._last and self._raw:
            raise RemoteError(Defect.TOO_LONG, "bundle", "nothing behind the last chunk")

    def close(self) -> None:
        """Say that no more bytes come.

        Raises:
            RemoteError: TRUNCATED, it was not the end.

        """
        if not self._last or not self._ended:
            raise RemoteError(Defect.TRUNCATED, "bundle", "a last chunk", f"{self.chunks} chunks")

    def _open_chunk(self, stream: StreamOpener) -> None:
        if self._last:
            raise RemoteError(Defect.TOO_LONG, "bundle", "nothing behind the last chunk")
        if self.chunks == MAX_CHUNKS:
            raise RemoteError(Defect.TOO_LARGE, "bundle", f"at most {MAX_CHUNKS} chunks")
        try:
            chunk, self._last = stream.open(bytes(self._raw[:SEALED_BYTES]))
        except OpenFailed:
            raise RemoteError(Defect.BAD_TAG, "chunk", "", f"chunk {self.chunks + 1}") from None
        del self._raw[:SEALED_BYTES]
        self._plain += chunk
        self.chunks += 1

    def _records(self) -> Iterator[Event]:
        at = 0
        while not self._ended and len(self._plain) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._plain, at)
            self._check_length(length)
            end = at + _LENGTH.size + length
            if end > len(self._plain):
                break
            record = bytes(self._plain[at + _LENGTH.size : end])
            at = end
            event = self._read(record[0], record[_KIND_BYTES:])
            if event is not None:
                yield event
        del self._plain[:at]
        if self._ended:
            self._check_padding()

    @staticmethod
    def _check_length(length: int) -> None:
        if not length:
            raise RemoteError(Defect.WRONG_LENGTH, "record", "a kind")
        if length > _KIND_BYTES + MAX_RECORD:
            raise RemoteError(Defect.TOO_LONG, "record", f"at most {MAX_RECORD} bytes", f"{length - _KIND_BYTES} bytes")

    def _read(self, kind: int, content: bytes) -> Event | None:
        """Read one record.  What is wrong with it alone is an event; what is wrong with the order ends everything."""
        if self._expected is Kind.HEADER:
            return self._read_header(kind, content)
        if kind == Kind.END:
            self._read_end(content)
            return None
        self._count += 1
        if self._count > MAX_RECORDS:
            raise RemoteError(Defect.WRONG_COUNT, "record", f"at most {MAX_RECORDS}")
        try:
            return self._read_one(kind, content)
        except RemoteError as error:
            return Spoilt(error, len(content))

    def _read_one(self, kind: int, content: bytes) -> Event:
        if kind == Kind.ENVELOPE:
            self._expected = Kind.ENVELOPE
            return Carried(content)
        if kind == Kind.KEYS:
            return self._read_keys(content)
        if kind == Kind.HEADER:
            raise RemoteError(Defect.WRONG_ORDER, "record", "one header")
        raise RemoteError(Defect.UNKNOWN_KIND, "record", f"1 to {Kind.END:d}", str(kind))

    def _read_keys(self, content: bytes) -> Keys:
        if self._opened.recipient is None:
            raise RemoteError(Defect.NOT_ALLOWED, "record", "keys in a bundle to one node only")
        if self._expected is Kind.ENVELOPE:
            raise RemoteError(Defect.WRONG_ORDER, "record", "keys before envelopes")
        message = parse_message(content)
        if not isinstance(message, Keys):
            raise RemoteError(Defect.UNKNOWN_KIND, "record", "a KEYS message")
        return message

    def _read_header(self, kind: int, content: bytes) -> Header:
        if kind != Kind.HEADER:
            raise RemoteError(Defect.WRONG_ORDER, "record", "a header first")
        fields, signature = _SIGNED.read(content, MAX_RECORD)
        _, created_hour, introduction = _HEADER.read(fields, MAX_RECORD)
        self._expected = Kind.KEYS
        if self._opened.recipient is None:
            if introduction or signature:
                raise RemoteError(Defect.NOT_ALLOWED, "sender", "none in a bundle under a passphrase")
            return Header(created_hour, None)
        sender = parse_introduction(introduction)
        try:
            signing.verify(sender.card.op_sign, Label.BUNDLE_SIGN, _signed_bytes(self._opened, fields), signature)
        except CryptoError:
            raise RemoteError(Defect.BAD_SIGNATURE, "signature", "the sender's operational key's") from None
        return Header(created_hour, sender)

    def _read_end(self, content: bytes) -> None:
        (count,) = _END.read(content, MAX_RECORD)
        self._ended = True
        if count != self._count:
            raise RemoteError(Defect.WRONG_NUMBER, "count", str(self._count), str(count))

    def _check_padding(self) -> None:
        if self._plain.strip(b"\0"):
            raise RemoteError(Defect.BAD_PADDING, "padding", "zeros")
        self._plain.clear()

    def _check_end(self) -> None:
        if not self._ended:
            raise RemoteError(Defect.TRUNCATED, "bundle", "a record END before the last chunk's end")
        if self.chunks & (self.chunks - 1):
            raise RemoteError(Defect.WRONG_COUNT, "chunk", "a power of two of chunks", str(self.chunks))
