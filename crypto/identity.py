"""Who a node is: its root keys, and the node id that is their hash (PROTOCOL §1, SCHEMAS §1).

Root keys are Ed25519 and ML-DSA-65 (FIPS 204) together and sign nothing but cards. Both signatures must verify, so a
card stays genuine as long as one of the two algorithms holds.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa

from almenara.crypto import signing
from almenara.crypto.errors import KeyMalformed, NodeIdMalformed, SignatureInvalid
from almenara.crypto.hashing import DIGEST_BYTES, digest
from almenara.crypto.labels import Label
from almenara.crypto.random import random_bytes

CHECK_BYTES = 3  # 24 bits: one typing error in 16.7 million goes unnoticed; id and check fill 56 letters exactly
TEXT_LETTERS = 56
GROUP_LETTERS = 8

ED25519_PUBLIC_BYTES = signing.PUBLIC_BYTES
ED25519_SIGNATURE_BYTES = signing.SIGNATURE_BYTES
MLDSA65_SEED_BYTES = 32
MLDSA65_PUBLIC_BYTES = 1952
MLDSA65_SIGNATURE_BYTES = 3309
ROOT_PUBLIC_BYTES = ED25519_PUBLIC_BYTES + MLDSA65_PUBLIC_BYTES
ROOT_SIGNATURE_BYTES = ED25519_SIGNATURE_BYTES + MLDSA65_SIGNATURE_BYTES

_IGNORED_IN_TEXT = str.maketrans("", "", " \t\r\n-")


@dataclass(frozen=True, slots=True, order=True)
class NodeId:
    """The 32 bytes that name a node. Orders and hashes by them; prints as 56 letters; logs as the first 8."""

    raw: bytes

    def __post_init__(self) -> None:
        if type(self.raw) is not bytes or len(self.raw) != DIGEST_BYTES:
            raise NodeIdMalformed(f"a node id is {DIGEST_BYTES} bytes")

    @classmethod
    def of(cls, ed25519_public: bytes, mldsa65_public: bytes) -> NodeId:
        """Hash both root public keys (PROTOCOL §1). Raises KeyMalformed for a key of the wrong length."""
        return RootPublic(ed25519_public, mldsa65_public).node_id

    @classmethod
    def parse(cls, text: str) -> NodeId:
        """Read the written form, ignoring case, white space and hyphens. Raises NodeIdMalformed for anything else."""
        letters = text.translate(_IGNORED_IN_TEXT)
        # Letters beyond ASCII may have an ASCII capital (dotless i, long s): one id would have many spellings.
        if not letters.isascii() or len(letters) != TEXT_LETTERS:
            raise NodeIdMalformed(f"a node id is written with {TEXT_LETTERS} letters, got {len(letters)} characters")
        try:
            decoded = base64.b32decode(letters.upper())
        except binascii.Error:
            raise NodeIdMalformed("a node id is written with the letters a to z and the digits 2 to 7") from None
        raw, check = decoded[:DIGEST_BYTES], decoded[DIGEST_BYTES:]
        if check != _check_bytes(raw):
            raise NodeIdMalformed("the check digits of this node id do not fit: it holds a typing error")
        return cls(raw)

    @property
    def text(self) -> str:
        """The written form: 56 letters, lower-case base32 of id ‖ check bytes."""
        return base64.b32encode(self.raw + _check_bytes(self.raw)).decode("ascii").lower()

    @property
    def groups(self) -> str:
        """The written form for people: 7 groups of 8 letters."""
        text = self.text
        return " ".join(text[at : at + GROUP_LETTERS] for at in range(0, TEXT_LETTERS, GROUP_LETTERS))

    @property
    def short(self) -> str:
        """The first 8 letters: for logs and lists, never to identify a node."""
        return self.text[:GROUP_LETTERS]

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"NodeId({self.short})"


@dataclass(frozen=True, slots=True)
class RootPublic:
    """A node's two root public keys."""

    ed25519: bytes
    mldsa65: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.ed25519) != ED25519_PUBLIC_BYTES or len(self.mldsa65) != MLDSA65_PUBLIC_BYTES:
            expected = f"{ED25519_PUBLIC_BYTES} and {MLDSA65_PUBLIC_BYTES} bytes"
            raise KeyMalformed(f"root keys have {expected}, got {len(self.ed25519)} and {len(self.mldsa65)}")

    @classmethod
    def from_raw(cls, raw: bytes) -> RootPublic:
        """Split ed25519 ‖ mldsa65. Raises KeyMalformed unless there are 1,984 bytes."""
        return cls(raw[:ED25519_PUBLIC_BYTES], raw[ED25519_PUBLIC_BYTES:])

    @property
    def raw(self) -> bytes:
        """ed25519 ‖ mldsa65: 1,984 bytes."""
        return self.ed25519 + self.mldsa65

    @property
    def node_id(self) -> NodeId:
        """The id these keys stand for."""
        return NodeId(digest(Label.NODE_ID, self.ed25519, self.mldsa65))

    def verify(self, label: Label, message: bytes, signature: bytes) -> None:
        """Check Ed25519 signature ‖ ML-DSA-65 signature, each over label ‖ message.

        Raises SignatureInvalid unless both hold.
        """
        if len(signature) != ROOT_SIGNATURE_BYTES:
            raise SignatureInvalid(f"a root signature has {ROOT_SIGNATURE_BYTES} bytes, got {len(signature)}")
        signing.verify(self.ed25519, label, message, signature[:ED25519_SIGNATURE_BYTES])
        try:
            mldsa.MLDSA65PublicKey.from_public_bytes(self.mldsa65).verify(
                signature[ED25519_SIGNATURE_BYTES:], label + message
            )
        except InvalidSignature:
            raise SignatureInvalid("the ML-DSA-65 signature does not verify") from None


@dataclass(frozen=True, slots=True)
class RootKeys:
    """A node's root key pairs, grown from two 32-byte seeds. They do not rotate: new roots are a new node."""

    seeds: tuple[bytes, bytes] = field(repr=False)
    public: RootPublic = field(init=False)
    _ed25519: signing.SigningKey = field(init=False, repr=False, compare=False)
    _mldsa65: mldsa.MLDSA65PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ed25519_seed, mldsa65_seed = self.seeds
        if len(mldsa65_seed) != MLDSA65_SEED_BYTES:
            raise KeyMalformed(f"an ML-DSA-65 seed has {MLDSA65_SEED_BYTES} bytes, got {len(mldsa65_seed)}")
        ed25519 = signing.SigningKey.from_seed(ed25519_seed)
        mldsa65 = mldsa.MLDSA65PrivateKey.from_seed_bytes(mldsa65_seed)
        object.__setattr__(self, "_ed25519", ed25519)
        object.__setattr__(self, "_mldsa65", mldsa65)
        object.__setattr__(self, "public", RootPublic(ed25519.public, mldsa65.public_key().public_bytes_raw()))

    @classmethod
    def generate(cls) -> RootKeys:
        """Draw fresh roots: a new node."""
        return cls((random_bytes(signing.SEED_BYTES), random_bytes(MLDSA65_SEED_BYTES)))

    @classmethod
    def from_seeds(cls, ed25519_seed: bytes, mldsa65_seed: bytes) -> RootKeys:
        """Grow the roots of these two seeds. Raises KeyMalformed unless each has 32 bytes."""
        return cls((ed25519_seed, mldsa65_seed))

    @property
    def node_id(self) -> NodeId:
        """The id of this node."""
        return self.public.node_id

    def sign(self, label: Label, message: bytes) -> bytes:
        """Return Ed25519 signature ‖ ML-DSA-65 signature, each over label ‖ message: 3,373 bytes.

        The second differs each time (the hedged form of FIPS 204).
        """
        return self._ed25519.sign(label, message) + self._mldsa65.sign(label + message)


def _check_bytes(raw: bytes) -> bytes:
    return digest(Label.NODE_ID_CHECK, raw)[:CHECK_BYTES]
