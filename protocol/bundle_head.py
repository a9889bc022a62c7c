"""The clear beginning of a bundle, and the key behind it: sealed to one node, or stretched from a passphrase.

Nothing here says who wrote the file, for whom, or when.  A node tries its prekeys one after another instead of being
told which one it was: a key id would name the recipient to everybody who has seen its prekey.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from almenara.crypto import sealing
from almenara.crypto.errors import KeyMalformed, OpenFailed
from almenara.crypto.hashing import derive
from almenara.crypto.labels import Label
from almenara.crypto.passwords import stretch
from almenara.crypto.stream import KEY_BYTES
from almenara.protocol.errors import Defect, LocalError, NewerVersion, RemoteError
from almenara.protocol.limits import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almenara.crypto.identity import NodeId
    from almenara.crypto.sealing import PrekeySecret

MAGIC: Final = b"ALMB"
START_BYTES: Final = 6  # magic, version, suite: what tells how long the head is
SALT_BYTES: Final = 16
# As the vault's. They do not stand in the file: one that could ask for more would take the reader's machine down.
PASSES: Final = 3
MEMORY_BYTES: Final = 256 * 1024 * 1024


class Suite(IntEnum):
    """Who can open a bundle."""

    RECIPIENT = 1
    """One node: the file key is sealed to its prekey (HPKE with X-Wing)."""
    PASSPHRASE = 2
    """Whoever has the passphrase: the file key is Argon2id of it."""


HEAD_BYTES: Final = {
    Suite.RECIPIENT: START_BYTES + sealing.OVERHEAD + KEY_BYTES,
    Suite.PASSPHRASE: START_BYTES + SALT_BYTES,
}


@dataclass(frozen=True, slots=True)
class Opened:
    """A head with the key of the stream behind it, and the node it was sealed to, if to one."""

    head: bytes = field(repr=False)
    stream_key: bytes = field(repr=False)
    recipient: NodeId | None = None


def seal_for(recipient: NodeId, prekey_public: bytes, file_key: bytes) -> Opened:
    """Begin a bundle that one node opens; `file_key` is 32 fresh random bytes.

    Raises:
        LocalError: BAD_KEY, the prekey is none.

    """
    start = _start(Suite.RECIPIENT)
    try:
        head = start + sealing.seal_to(prekey_public, file_key, _info(start, recipient))
    except KeyMalformed:
        raise LocalError(Defect.BAD_KEY, "prekey", "an X-Wing public key") from None
    return _opened(head, file_key, recipient)


def lock_with(passphrase: str, salt: bytes) -> Opened:
    """Begin a bundle that a passphrase opens; `salt` is 16 fresh random bytes.  Takes a second and 256 MiB.

    Raises:
        LocalError: WRONG_LENGTH, the salt.
        MemoryError: the machine has not that much.

    """
    if len(salt) != SALT_BYTES:
        raise LocalError(Defect.WRONG_LENGTH, "salt", f"{SALT_BYTES} bytes", f"{len(salt)} bytes")
    return unlock(_start(Suite.PASSPHRASE) + salt, passphrase)


def parse_start(data: bytes) -> Suite:
    """Read the first 6 bytes of a file; its head is HEAD_BYTES[suite] long.

    Raises:
        RemoteError: TRUNCATED, BAD_MAGIC or UNKNOWN_VERSION (0).
        NewerVersion: a later version, or a suite we do not know.

    """
    if len(data) < START_BYTES:
        raise RemoteError(Defect.TRUNCATED, "head", f"{START_BYTES} bytes", f"{len(data)} bytes")
    if data[:4] != MAGIC:
        raise RemoteError(Defect.BAD_MAGIC, "magic", MAGIC.decode())
    version, suite = data[4], data[5]
    if version > VERSION:
        raise NewerVersion(Defect.UNKNOWN_VERSION, "bundle", f"version {VERSION}", f"version {version}")
    if version < VERSION:
        raise RemoteError(Defect.UNKNOWN_VERSION, "bundle", f"version {VERSION}", f"version {version}")
    if suite not in set(Suite):
        raise NewerVersion(Defect.UNKNOWN_SUITE, "suite", "1 or 2", str(suite))
    return Suite(suite)


def open_with(head: bytes, own: NodeId, secrets: Iterable[PrekeySecret]) -> Opened:
    """Find the file key with one of our prekeys.

    Raises:
        RemoteError: what `parse_start` refuses, WRONG_SUITE, TRUNCATED; WRONG_RECIPIENT, none of them opens it.

    """
    _check_head(head, Suite.RECIPIENT)
    info = _info(head[:START_BYTES], own)
    for secret in secrets:
        try:
            return _opened(head, secret.open(head[START_BYTES:], info), own)
        except OpenFailed:
            continue
    raise RemoteError(Defect.WRONG_RECIPIENT, "head", "sealed to one of our prekeys")


def unlock(head: bytes, passphrase: str) -> Opened:
    """Find the file key with a passphrase.  Whether it was the right one shows at the first chunk.

    Raises:
        RemoteError: what `parse_start` refuses, WRONG_SUITE, TRUNCATED.
        MemoryError: the machine has not the 256 MiB.

    """
    _check_head(head, Suite.PASSPHRASE)
    file_key = stretch(passphrase, head[START_BYTES:], memory_bytes=MEMORY_BYTES, passes=PASSES)
    return _opened(head, file_key, None)


def _check_head(head: bytes, suite: Suite) -> None:
    found = parse_start(head)
    if found is not suite:
        raise RemoteError(Defect.WRONG_SUITE, "suite", f"{suite:d}", f"{found:d}")
    if len(head) != HEAD_BYTES[suite]:
        raise RemoteError(Defect.TRUNCATED, "head", f"{HEAD_BYTES[suite]} bytes", f"{len(head)} bytes")


def _start(suite: Suite) -> bytes:
    return MAGIC + bytes([VERSION, suite])


def _info(start: bytes, recipient: NodeId) -> bytes:
    return Label.BUNDLE_INFO + start + recipient.raw


def _opened(head: bytes, file_key: bytes, recipient: NodeId | None) -> Opened:
    return Opened(head, derive(Label.BUNDLE_STREAM, file_key, head), recipient)
