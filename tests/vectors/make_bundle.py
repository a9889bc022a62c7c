"""Vectors of bundles: the head and the key behind it, the records, and a whole file that is damaged in transport."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from vector import NOW, bad, good, newer, node, pack, pinned, seed, share

from almenara.crypto import sealing
from almenara.crypto.hashing import derive
from almenara.crypto.labels import Label
from almenara.crypto.passwords import stretch
from almenara.crypto.stream import StreamSealer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

HOUR = NOW // 60
FILE_KEY, SALT, PASSPHRASE = seed("file key"), seed("bundle salt", 16), "four unrelated words here"
CHUNK = 65_536
HEADER, KEYS, ENVELOPE, END = 1, 2, 3, 4
ENVELOPE_BYTES = seed("any envelope", 64)  # not judged here
CIRCLE, STATEMENT, PACKET = seed("bundle circle", 16), seed("bundle statement", 40), seed("bundle packet", 48)


def start(*, magic: bytes = b"ALMB", version: int = 1, suite: int = 1) -> bytes:
    """Return the first six bytes."""
    return magic + bytes([version, suite])


def sealed_head(recipient: str = "beta", info_of: bytes = b"") -> bytes:
    """Return the head of a bundle to one node; the encapsulation is pinned."""
    beta = node(recipient)
    info = Label.BUNDLE_INFO + (info_of or start()) + beta.id
    return start() + pinned("bundle head", info, lambda: sealing.seal_to(beta.prekey.public, FILE_KEY, info))


def stream_key(head: bytes, file_key: bytes = FILE_KEY) -> bytes:
    """Return the key of the stream behind a head."""
    return derive(Label.BUNDLE_STREAM, file_key, head)


def record(kind: int, content: bytes) -> bytes:
    """Return one record."""
    return struct.pack(">IB", 1 + len(content), kind) + content


def header(
    *, ver: int = 1, by: str = "alpha", signed_by: str = "alpha", head: bytes = b"", recipient: str = "beta"
) -> bytes:
    """Return the header record of a bundle to one node."""
    fields = pack(ver, HOUR, node(by).introduction())
    signature = node(signed_by).op.sign(Label.BUNDLE_SIGN, (head or sealed_head()) + node(recipient).id + fields)
    return record(HEADER, pack(fields, signature))


def nameless(introduction: bytes = b"", signature: bytes = b"") -> bytes:
    """Return the header record of a bundle under a passphrase."""
    return record(HEADER, pack(pack(1, HOUR, introduction), signature))


def keys() -> bytes:
    """Return a record with what a KEYS message would say."""
    return record(KEYS, pack(7, CIRCLE, [STATEMENT], [], PACKET))


def envelope(data: bytes = ENVELOPE_BYTES) -> bytes:
    """Return a record with something in place of an envelope."""
    return record(ENVELOPE, data)


def end(count: int) -> bytes:
    """Return the last record."""
    return record(END, pack(count))


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    yield from _heads()
    yield from _records()
    yield from _files()


def _heads() -> Iterator[Vector]:
    kind, head, beta = "bundle-head", sealed_head(), node("beta")
    mine = {"own": beta.id, "prekey_seed": beta.prekey.seed}
    yield good(kind, "to-one-node", "sealed to beta", {"head": head, **mine}, stream_key=stream_key(head))
    locked = start(suite=2) + SALT
    file_key = stretch(PASSPHRASE, SALT, memory_bytes=2**28, passes=3)
    yield good(
        kind,
        "under-a-passphrase",
        "256 MiB, 3 passes",
        {"head": locked, "passphrase": PASSPHRASE},
        stream_key=stream_key(locked, file_key),
    )
    changed = bytearray(head)
    changed[-1] ^= 1
    elsewhere = mine | {"own": node("alpha").id}
    foreign = mine | {"prekey_seed": node("alpha").prekey.seed}
    other_start = sealed_head(info_of=start(suite=2))
    cases: list[tuple[str, str, str, bytes, dict[str, Any]]] = [
        ("truncated", "empty", "no bytes at all", b"", mine),
        ("truncated", "five-bytes", "the suite is missing", start()[:5], mine),
        ("truncated", "one-byte-short", "1,173 bytes", head[:-1], mine),
        ("truncated", "salt-cut", "15 bytes of salt", locked[:-1], {"passphrase": PASSPHRASE}),
        ("bad-magic", "other-magic", "ALMC", start(magic=b"ALMC") + head[6:], mine),
        ("unknown-version", "version-zero", "there was no version 0", start(version=0) + head[6:], mine),
        ("wrong-suite", "a-passphrase-for-a-sealed-one", "suite 1", head, {"passphrase": PASSPHRASE}),
        ("wrong-suite", "a-prekey-for-a-locked-one", "suite 2", locked, mine),
        ("wrong-recipient", "for-another-node", "beta's key, alpha's id", head, elsewhere),
        ("wrong-recipient", "another-prekey", "alpha's key", head, foreign),
        ("wrong-recipient", "one-bit-changed", "the last byte of the head", bytes(changed), mine),
        ("wrong-recipient", "sealed-under-another-start", "info said suite 2", other_start, mine),
    ]
    for defect, name, about, given, who in cases:
        yield bad(defect, kind, name, about, head=given, **who)
    yield newer("unknown-version", kind, "version-two", "of the future", head=start(version=2) + head[6:], **mine)
    yield newer("unknown-suite", kind, "suite-three", "unknown", head=start(suite=3) + head[6:], **mine)


def _records() -> Iterator[Vector]:
    """Plaintexts; the reader's own test seals them under the key of the head, padded to a chunk."""
    kind, head, alpha = "bundle-records", sealed_head(), node("alpha")
    told = {"created_hour": HOUR, "sender": alpha.id, "keys": 1, "envelopes": [ENVELOPE_BYTES], "spoilt": []}
    whole = header() + keys() + envelope() + end(2)
    sealed = {"head": head, "recipient": node("beta").id}
    locked = {"head": start(suite=2) + SALT}
    nobody = told | {"sender": b"", "keys": 0}
    yield good(kind, "good", "one of each", sealed | {"plaintext": whole}, **told)
    plain = nameless() + envelope() + end(1)
    yield good(kind, "good-under-a-passphrase", "no sender", locked | {"plaintext": plain}, **nobody)
    question = record(KEYS, pack(6, CIRCLE, b""))
    spoilt: list[tuple[str, str, str, bytes]] = [
        ("unknown-kind", "record-of-an-unknown-kind", "9", header() + record(9, b"?") + envelope() + end(2)),
        ("wrong-order", "second-header", "after the first", header() + header() + envelope() + end(2)),
        ("wrong-order", "keys-after-envelopes", "too late", header() + envelope() + keys() + end(2)),
        ("unknown-kind", "keys-that-are-a-question", "KEYREQ", header() + question + envelope() + end(2)),
    ]
    for defect, name, about, plaintext in spoilt:
        found = told | {"keys": 0, "spoilt": [defect]}
        yield good(kind, name, f"{about}: costs only itself", sealed | {"plaintext": plaintext}, **found)
    from_nobody = nameless() + keys() + envelope() + end(2)
    unnamed = nobody | {"spoilt": ["not-allowed"]}
    yield good(kind, "keys-from-nobody", "costs only itself", locked | {"plaintext": from_nobody}, **unnamed)
    over_another = header(head=start(suite=2) + SALT) + end(0)
    long_length = struct.pack(">I", 1 + 81_920 + 1) + bytes(70)
    cases: list[tuple[str, str, str, dict[str, Any], bytes]] = [
        ("wrong-order", "no-header", "an envelope first", sealed, envelope() + end(1)),
        ("wrong-order", "end-alone", "no header", sealed, end(0)),
        ("bad-signature", "signed-by-another", "by beta", sealed, header(signed_by="beta") + end(0)),
        ("bad-signature", "header-of-another-file", "signed over another head", sealed, over_another),
        ("bad-signature", "header-for-another-node", "signed for alpha", sealed, header(recipient="alpha") + end(0)),
        ("bad-signature", "not-signed", "no signature", sealed, nameless(alpha.introduction()) + end(0)),
        ("malformed", "no-sender-to-one-node", "no introduction", sealed, nameless() + end(0)),
        (
            "not-allowed",
            "sender-under-a-passphrase",
            "it would be named",
            locked,
            nameless(alpha.introduction()) + end(0),
        ),
        ("not-allowed", "signature-under-a-passphrase", "64 bytes", locked, nameless(b"", bytes(64)) + end(0)),
        (
            "wrong-number",
            "a-million-claimed",
            "one record, a million counted",
            sealed,
            header() + envelope() + end(10**6),
        ),
        ("wrong-number", "one-too-few", "two records, one counted", sealed, header() + keys() + envelope() + end(1)),
        ("out-of-range", "more-than-there-can-be", "2^20 + 1", sealed, header() + end(2**20 + 1)),
        ("wrong-length", "record-of-nothing", "length 0 before END", sealed, header() + bytes(4) + end(0)),
        ("too-long", "record-too-long", "81,921 bytes of content", sealed, header() + long_length),
        ("bad-padding", "padding-not-zero", "a one behind END", sealed, header() + end(0) + b"\1"),
        ("truncated", "no-end", "the chunk ends before END", sealed, header() + struct.pack(">IB", 66_000, ENVELOPE)),
        ("not-canonical", "count-in-a-long-form", "END", sealed, header() + record(END, b"\x91\xcd\0\0")),
    ]
    for defect, name, about, given, plaintext in cases:
        yield bad(defect, kind, name, about, **given, plaintext=plaintext)
    yield newer(
        "unknown-version", kind, "header-of-version-two", "of the future", **sealed, plaintext=header(ver=2) + end(0)
    )


def _files() -> Iterator[Vector]:
    """One whole file; the damage is described, since the file has 66,751 bytes."""
    kind, head = "bundle-file", sealed_head()
    plain = (header() + keys() + envelope() + end(2)).ljust(CHUNK, b"\0")

    def seal() -> bytes:
        sealer = StreamSealer(stream_key(head))
        return head + sealer.header + sealer.seal(plain, last=True)

    whole = share("bundle", pinned("bundle file", head + plain, seal))
    beta = node("beta")
    given = {"file": whole, "own": beta.id, "prekey_seed": beta.prekey.seed}
    yield good(kind, "good", "one chunk", given, envelopes=1)
    for at, what in ((len(head), "stream-header"), (len(head) + 24, "first-byte"), (len(whole) - 1, "last-byte")):
        yield bad("bad-tag", kind, f"{what}-changed", f"one bit of byte {at}", **given, flip=at)
    for keep, what in (
        (len(head), "after-the-head"),
        (len(head) + 24, "after-the-stream-header"),
        (len(whole) - 1, "a-byte"),
    ):
        yield bad("truncated", kind, f"cut-{what}", f"{keep} bytes are left", **given, cut=keep)
    yield bad("too-long", kind, "one-byte-behind", "65,537 would be another chunk", **given, append=b"\0")
    yield bad("too-long", kind, "the-chunk-again", "repeated", **given, append=bytes(65_553))
