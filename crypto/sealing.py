"""Sealing to one recipient: HPKE (RFC 9180) with X-Wing, HKDF-SHA256, ChaCha20-Poly1305; suite 0x0101 (PROTOCOL §4).

X-Wing joins ML-KEM-768 and X25519: what is sealed stays sealed as long as one of the two holds. Base mode, single shot:
HPKE says nothing about the sender, so what is inside carries its own signature. All that must match goes into `info`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

from almenara.crypto.errors import KeyMalformed, OpenFailed
from almenara.crypto.random import random_bytes

SEED_BYTES = 32
MLKEM_SEED_BYTES = 64
MLKEM_PUBLIC_BYTES = 1184
PUBLIC_BYTES = MLKEM_PUBLIC_BYTES + 32
ENCAPSULATED_BYTES = 1088 + 32  # ML-KEM ciphertext ‖ ephemeral X25519 key
OVERHEAD = ENCAPSULATED_BYTES + 16

_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


@dataclass(frozen=True, slots=True)
class PrekeySecret:
    """One X-Wing key pair, grown from the 32-byte seed whose destruction ends it."""

    seed: bytes = field(repr=False)
    public: bytes = field(init=False, repr=False)
    _private: hpke.MLKEM768X25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise KeyMalformed(f"a prekey seed has {SEED_BYTES} bytes, got {len(self.seed)}")
        expanded = hashlib.shake_256(self.seed).digest(MLKEM_SEED_BYTES + 32)
        lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:MLKEM_SEED_BYTES])
        curve = x25519.X25519PrivateKey.from_private_bytes(expanded[MLKEM_SEED_BYTES:])
        public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        object.__setattr__(self, "public", public)
        object.__setattr__(self, "_private", hpke.MLKEM768X25519PrivateKey(lattice, curve))

    @classmethod
    def generate(cls) -> PrekeySecret:
        """Draw a fresh prekey."""
        return cls(random_bytes(SEED_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> PrekeySecret:
        """Grow the prekey of this seed. Raises KeyMalformed unless it has 32 bytes."""
        return cls(seed)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Return the plaintext of what `seal_to` made for this key with this `info`.

        Raises OpenFailed, for every reason alike.
        """
        try:
            return _SUITE.decrypt(sealed, self._private, info=info)
        except (InvalidTag, ValueError):
            raise OpenFailed("the sealed bytes do not open") from None


def seal_to(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal for the holder of a prekey: encapsulation (1,120) ‖ ciphertext ‖ tag (16), different each time.

    Raises KeyMalformed for bytes that no honest node publishes as a prekey.
    """
    if len(public) != PUBLIC_BYTES:
        raise KeyMalformed(f"an X-Wing public key has {PUBLIC_BYTES} bytes, got {len(public)}")
    try:
        recipient = hpke.MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(public[:MLKEM_PUBLIC_BYTES]),
            x25519.X25519PublicKey.from_public_bytes(public[MLKEM_PUBLIC_BYTES:]),
        )
        return _SUITE.encrypt(plaintext, recipient, info=info)
    except ValueError:
        # A coefficient outside the field (FIPS 203, 7.2), or an X25519 point of small order.
        raise KeyMalformed("not an X-Wing public key") from None
