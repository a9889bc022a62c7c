"""Sealing under a shared key: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03); suite 0x0201, and keys at rest.

The 24-byte nonce may be drawn at random for any number of messages. The cipher does not commit to its key: where
several keys could be tried, the key is named and committed to beside it (`kid` and `key_commit`, PROTOCOL §5.7).
"""

from __future__ import annotations

from nacl import bindings
from nacl.exceptions import CryptoError as SodiumError

from almenara.crypto.errors import KeyMalformed, OpenFailed

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16
OVERHEAD = NONCE_BYTES + TAG_BYTES


def seal(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    """Return nonce ‖ ciphertext ‖ tag, bound to the associated data `ad`; never call it twice with one key and nonce.

    Raises KeyMalformed for a key or nonce of the wrong length.
    """
    _check_key(key)
    if len(nonce) != NONCE_BYTES:
        raise KeyMalformed(f"a nonce has {NONCE_BYTES} bytes, got {len(nonce)}")
    return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, ad, nonce, key)


def open(key: bytes, sealed: bytes, ad: bytes) -> bytes:  # noqa: A001 -- always called as box.open
    """Return the plaintext of what `seal` made with this key and `ad`.

    Raises OpenFailed, for every reason alike; KeyMalformed for a key of the wrong length.
    """
    _check_key(key)
    if len(sealed) < OVERHEAD:
        raise OpenFailed("the sealed bytes do not open")
    nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, ad, nonce, key)
    except SodiumError:
        raise OpenFailed("the sealed bytes do not open") from None


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise KeyMalformed(f"a key has {KEY_BYTES} bytes, got {len(key)}")
