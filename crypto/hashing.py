"""Hashes, derived keys and authentication codes, each beginning with its label. SHA-256 throughout (DESIGN §14).

Parts are joined without lengths: a caller passes parts of fixed length, and at most the last one may vary.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from almenara.crypto.errors import MacInvalid

if TYPE_CHECKING:
    from almenara.crypto.labels import Label

DIGEST_BYTES = 32


def digest(label: Label, *parts: bytes) -> bytes:
    """Hash label ‖ parts by SHA-256: 32 bytes."""
    return hashlib.sha256(b"".join((label, *parts))).digest()


def digest512(label: Label, *parts: bytes) -> bytes:
    """Hash label ‖ parts by SHA-512: 64 bytes, for the 60-digit code of pairing by files (PROTOCOL §3)."""
    return hashlib.sha512(b"".join((label, *parts))).digest()


def derive(label: Label, key: bytes, *context: bytes, length: int = DIGEST_BYTES) -> bytes:
    """HKDF-SHA256 (RFC 5869): `key` as input key, no salt, label ‖ context as info; `length` bytes, at most 8,160."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=b"".join((label, *context))).derive(key)


def mac(label: Label, key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) over label ‖ parts: 32 bytes."""
    return hmac.digest(key, b"".join((label, *parts)), "sha256")


def check_mac(label: Label, key: bytes, given: bytes, *parts: bytes) -> None:
    """Compare `given` with the whole 32-byte code in constant time. Raises MacInvalid."""
    if not hmac.compare_digest(mac(label, key, *parts), given):
        raise MacInvalid("the authentication code does not match")


def equal(left: bytes, right: bytes) -> bool:
    """Whether two byte strings are equal, in time that does not depend on where they differ."""
    return hmac.compare_digest(left, right)
