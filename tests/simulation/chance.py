"""Where chance comes from in a run: generators grown from its seed, put in place of the operating system's.

Ed25519, the circles' cipher and every hash are the real ones. Three primitives draw their own randomness inside the
library and take no seed: ML-DSA-65 signatures, HPKE and the making of TLS keys. Twins of the same sizes stand in for
them, which open and verify exactly what theirs would; that the real ones hold is for `tests/crypto` to prove.
"""

from __future__ import annotations

import hashlib
import os
import random
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ed25519

from almenara.crypto import certificate, identity, sealing
from almenara.crypto import random as source

if TYPE_CHECKING:
    from collections.abc import Iterator

MLDSA_PUBLIC, MLDSA_SIGNATURE, TAG = 1952, 3309, 16


@contextmanager
def seeded(seed: int | str) -> Iterator[None]:
    """Everything random in this process comes from the seed until the block ends."""
    rng = random.Random(f"{seed}/nodes")
    tls = SimpleNamespace(Ed25519PrivateKey=_TlsKeys(rng), Ed25519PublicKey=ed25519.Ed25519PublicKey)
    twins = (
        (source, "randombytes", rng.randbytes),
        (os, "urandom", rng.randbytes),  # uuid4
        (random, "_urandom", rng.randbytes),  # SystemRandom
        (identity, "mldsa", SimpleNamespace(MLDSA65PublicKey=_RootPublic, MLDSA65PrivateKey=_RootKey)),
        (sealing, "hpke", SimpleNamespace(MLKEM768X25519PublicKey=_joined, MLKEM768X25519PrivateKey=_joined_of)),
        (sealing, "_SUITE", _Suite(rng)),
        (certificate, "ed25519", tls),
    )
    with ExitStack() as stack:
        for place, name, twin in twins:
            stack.enter_context(mock.patch.object(place, name, twin))
        yield


def _stream(*parts: bytes, length: int) -> bytes:
    return hashlib.shake_256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest(length)


class _RootPublic:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    @classmethod
    def from_public_bytes(cls, raw: bytes) -> _RootPublic:
        return cls(raw)

    def public_bytes_raw(self) -> bytes:
        return self._raw

    def verify(self, signature: bytes, message: bytes) -> None:
        if signature != _stream(self._raw, message, length=MLDSA_SIGNATURE):
            raise InvalidSignature


class _RootKey:
    def __init__(self, seed: bytes) -> None:
        self._public = _stream(b"mldsa", seed, length=MLDSA_PUBLIC)

    @classmethod
    def from_seed_bytes(cls, seed: bytes) -> _RootKey:
        return cls(seed)

    def public_key(self) -> _RootPublic:
        return _RootPublic(self._public)

    def sign(self, message: bytes) -> bytes:
        return _stream(self._public, message, length=MLDSA_SIGNATURE)


def _joined(lattice: Any, curve: Any) -> bytes:
    return bytes(lattice.public_bytes_raw() + curve.public_bytes_raw())


def _joined_of(lattice: Any, curve: Any) -> bytes:
    return _joined(lattice.public_key(), curve.public_key())


class _Suite:
    """Opens for the holder of the key it was sealed to and for the same `info`, and for nobody else."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def encrypt(self, plaintext: bytes, recipient: bytes, info: bytes) -> bytes:
        encapsulated = self._rng.randbytes(sealing.ENCAPSULATED_BYTES)
        return encapsulated + self._masked(plaintext, encapsulated, recipient, info) + _tag(plaintext, recipient, info)

    def decrypt(self, sealed: bytes, recipient: bytes, info: bytes) -> bytes:
        start = sealing.ENCAPSULATED_BYTES
        plaintext = self._masked(sealed[start:-TAG], sealed[:start], recipient, info)
        if sealed[-TAG:] != _tag(plaintext, recipient, info):
            raise InvalidTag
        return plaintext

    @staticmethod
    def _masked(text: bytes, encapsulated: bytes, recipient: bytes, info: bytes) -> bytes:
        mask = _stream(encapsulated, recipient, info, length=len(text))
        return (int.from_bytes(text) ^ int.from_bytes(mask)).to_bytes(len(text))


def _tag(plaintext: bytes, recipient: bytes, info: bytes) -> bytes:
    return _stream(b"tag", plaintext, recipient, info, length=TAG)


class _TlsKeys:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.from_private_bytes = ed25519.Ed25519PrivateKey.from_private_bytes

    def generate(self) -> ed25519.Ed25519PrivateKey:
        return self.from_private_bytes(self._rng.randbytes(32))
