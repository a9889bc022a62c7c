"""Ed25519 by libsodium: the one verifier of this project.

Verifiers disagree about edge cases: of 914 published ones OpenSSL accepts 165 that libsodium refuses (low-order points,
encodings out of range). Two verifiers would be two truths about one report, so every Ed25519 signature, a certificate's
included, is checked here and nowhere else. The rule, beyond RFC 8032: the scalar S is below the group order, the public
key is in canonical form, and neither the public key nor R is a point of small order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nacl import bindings
from nacl.exceptions import BadSignatureError

from almenara.crypto.errors import KeyMalformed, SignatureInvalid
from almenara.crypto.random import random_bytes

if TYPE_CHECKING:
    from almenara.crypto.labels import Label

SEED_BYTES = 32
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key pair, grown from its 32-byte seed."""

    seed: bytes = field(repr=False)
    public: bytes = field(init=False)
    _expanded: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise KeyMalformed(f"an Ed25519 seed has {SEED_BYTES} bytes, got {len(self.seed)}")
        public, expanded = bindings.crypto_sign_seed_keypair(self.seed)
        object.__setattr__(self, "public", public)
        object.__setattr__(self, "_expanded", expanded)

    @classmethod
    def generate(cls) -> SigningKey:
        """Draw a fresh key pair."""
        return cls(random_bytes(SEED_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """Grow the key pair of this seed. Raises KeyMalformed unless it has 32 bytes."""
        return cls(seed)

    def sign(self, label: Label, message: bytes) -> bytes:
        """Return the signature over label ‖ message: 64 bytes, the same for the same input (RFC 8032)."""
        return bindings.crypto_sign(label + message, self._expanded)[:SIGNATURE_BYTES]


def verify(public: bytes, label: Label, message: bytes, signature: bytes) -> None:
    """Check a signature over label ‖ message. Raises SignatureInvalid; KeyMalformed for a key that has not 32 bytes."""
    verify_unlabelled(public, label + message, signature)


def verify_unlabelled(public: bytes, message: bytes, signature: bytes) -> None:
    """Do the same for the one thing that is signed in somebody else's format: an X.509 certificate."""
    if len(public) != PUBLIC_BYTES:
        raise KeyMalformed(f"an Ed25519 public key has {PUBLIC_BYTES} bytes, got {len(public)}")
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalid(f"an Ed25519 signature has {SIGNATURE_BYTES} bytes, got {len(signature)}")
    try:
        bindings.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        raise SignatureInvalid("the Ed25519 signature does not verify") from None
