"""Our suite written out from its documents, tested on their vectors, then held against `sealing`.

HPKE: RFC 9180. X-Wing: draft-connolly-cfrg-xwing-kem and draft-ietf-hpke-pq. Only SHA-2, SHA-3, ML-KEM-768, X25519 and
ChaCha20-Poly1305 themselves come from libraries; how they are joined stands here, for a second implementation.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from almenara.crypto.sealing import PrekeySecret, seal_to

if TYPE_CHECKING:
    from collections.abc import Callable

Vectors = list[dict[str, Any]]
XWING, DHKEM_X25519 = 0x647A, 0x0020
HKDF_SHA256, CHACHA20_POLY1305, BASE_MODE = 0x0001, 0x0003, 0


def extract(suite: bytes, salt: bytes, label: bytes, key: bytes) -> bytes:
    """LabeledExtract (RFC 9180, section 4)."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + key, "sha256")


def expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand, for at most one block of 32 bytes."""
    text = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(key, text + b"\1", "sha256")[:length]


def key_schedule(kem: int, shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and base nonce in base mode (RFC 9180, section 5.1)."""
    suite = b"HPKE" + b"".join(part.to_bytes(2, "big") for part in (kem, HKDF_SHA256, CHACHA20_POLY1305))
    context = bytes([BASE_MODE]) + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    secret = extract(suite, shared, b"secret", b"")
    return expand(suite, secret, b"key", context, 32), expand(suite, secret, b"base_nonce", context, 12)


def xwing_decapsulate(seed: bytes, enc: bytes) -> bytes:
    """SHA3-256 over both shared secrets, the X25519 ciphertext and key, and X-Wing's six-byte label."""
    expanded = hashlib.shake_256(seed).digest(96)
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
    from_curve = curve.exchange(x25519.X25519PublicKey.from_public_bytes(enc[1088:]))
    own = curve.public_key().public_bytes_raw()
    joined = lattice.decapsulate(enc[:1088]) + from_curve + enc[1088:] + own + bytes.fromhex("5c2e2f2f5e5c")
    return hashlib.sha3_256(joined).digest()


def of_suite(vectors: Vectors, kem: int) -> Vectors:
    wanted = (BASE_MODE, kem, HKDF_SHA256, CHACHA20_POLY1305)
    return [
        vector
        for vector in vectors
        if tuple(vector[name] for name in ("mode", "kem_id", "kdf_id", "aead_id")) == wanted
    ]


def check_encryptions(vector: dict[str, Any], key: bytes, base_nonce: bytes) -> None:
    assert (key.hex(), base_nonce.hex()) == (vector["key"], vector["base_nonce"])
    for encryption in vector["encryptions"]:
        nonce, aad, plaintext = (bytes.fromhex(encryption[name]) for name in ("nonce", "aad", "pt"))
        assert ChaCha20Poly1305(key).encrypt(nonce, plaintext, aad).hex() == encryption["ct"]
    assert vector["encryptions"][0]["nonce"] == vector["base_nonce"]


def test_rfc_9180_vector_of_our_kdf_and_aead(vector_json: Callable[[str], Vectors]) -> None:
    """The RFC has no X-Wing; its X25519 suite shares the whole key schedule and cipher with ours."""
    (vector,) = of_suite(vector_json("HPKE/test-vectors.json"), DHKEM_X25519)
    key, base_nonce = key_schedule(DHKEM_X25519, bytes.fromhex(vector["shared_secret"]), bytes.fromhex(vector["info"]))
    check_encryptions(vector, key, base_nonce)


def test_published_xwing_vector_of_our_suite(vector_json: Callable[[str], Vectors]) -> None:
    """The public key grown from the seed, the shared secret, the key, and every ciphertext."""
    (vector,) = of_suite(vector_json("HPKE/hpke-pq-test-vectors.json"), XWING)
    seed, enc = bytes.fromhex(vector["skRm"]), bytes.fromhex(vector["enc"])
    assert PrekeySecret.from_seed(seed).public.hex() == vector["pkRm"]
    shared = xwing_decapsulate(seed, enc)
    assert shared.hex() == vector["shared_secret"]
    key, base_nonce = key_schedule(XWING, shared, bytes.fromhex(vector["info"]))
    check_encryptions(vector, key, base_nonce)


def test_every_published_xwing_key_is_ours(vector_json: Callable[[str], Vectors]) -> None:
    """Whatever KDF the vector goes on with, seed, public key and shared secret are X-Wing's."""
    vectors = [vector for vector in vector_json("HPKE/hpke-pq-test-vectors.json") if vector["kem_id"] == XWING]
    assert len(vectors) == 2
    for vector in vectors:
        seed = bytes.fromhex(vector["skRm"])
        assert PrekeySecret.from_seed(seed).public.hex() == vector["pkRm"]
        assert xwing_decapsulate(seed, bytes.fromhex(vector["enc"])).hex() == vector["shared_secret"]


def test_prekey_opens_what_the_vector_s_sender_encapsulated(vector_json: Callable[[str], Vectors]) -> None:
    """`open` itself, on the published encapsulation: only the associated data, which we leave empty, is sealed anew."""
    (vector,) = of_suite(vector_json("HPKE/hpke-pq-test-vectors.json"), XWING)
    cipher = ChaCha20Poly1305(bytes.fromhex(vector["key"]))
    ciphertext = cipher.encrypt(bytes.fromhex(vector["base_nonce"]), b"plaintext", b"")
    opened = PrekeySecret.from_seed(bytes.fromhex(vector["skRm"])).open(
        bytes.fromhex(vector["enc"]) + ciphertext, bytes.fromhex(vector["info"])
    )
    assert opened == b"plaintext"


def test_what_we_seal_opens_by_the_documents() -> None:
    """The other direction: `seal_to` makes what the definitions here open."""
    secret, info = PrekeySecret.generate(), b"almenara"
    sealed = seal_to(secret.public, b"plaintext", info)
    key, nonce = key_schedule(XWING, xwing_decapsulate(secret.seed, sealed[:1120]), info)
    assert ChaCha20Poly1305(key).decrypt(nonce, sealed[1120:], b"") == b"plaintext"
