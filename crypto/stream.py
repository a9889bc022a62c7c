"""A long secret as a row of sealed chunks: libsodium's secretstream (XChaCha20-Poly1305), under a key used once.

Each chunk opens only at its place, and the last one says that it is the last: what was cut short, reordered, repeated
or added to does not open, or does not end. The key is derived from whatever stands before the stream, so that this is
bound to it too.
"""

from __future__ import annotations

from nacl import bindings
from nacl.exceptions import CryptoError as SodiumError

from almenara.crypto.errors import KeyMalformed, OpenFailed

KEY_BYTES = bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES
HEADER_BYTES = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
OVERHEAD = bindings.crypto_secretstream_xchacha20poly1305_ABYTES  # of each chunk
_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


class StreamSealer:
    """Seals chunk after chunk. `header`, 24 bytes that differ each time, goes before the first one."""

    def __init__(self, key: bytes) -> None:
        _check_key(key)
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        self.header: bytes = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)

    def seal(self, chunk: bytes, *, last: bool) -> bytes:
        """Return the chunk sealed, 17 bytes longer; nothing may follow the last one."""
        tag = _FINAL if last else _MESSAGE
        sealed: bytes = bindings.crypto_secretstream_xchacha20poly1305_push(self._state, chunk, b"", tag)
        return sealed


class StreamOpener:
    """Opens chunk after chunk. Raises KeyMalformed for a key or header of the wrong length."""

    def __init__(self, key: bytes, header: bytes) -> None:
        _check_key(key)
        if len(header) != HEADER_BYTES:
            raise KeyMalformed(f"a stream's header has {HEADER_BYTES} bytes, got {len(header)}")
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def open(self, sealed: bytes) -> tuple[bytes, bool]:
        """Return the next chunk, and whether it is the last. Raises OpenFailed, for every reason alike."""
        if len(sealed) < OVERHEAD:
            raise OpenFailed("the sealed bytes do not open")
        try:
            chunk, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(self._state, sealed, b"")
        except SodiumError:
            raise OpenFailed("the sealed bytes do not open") from None
        if tag not in {_MESSAGE, _FINAL}:  # libsodium has two more, which a sealer here never sets
            raise OpenFailed("the sealed bytes do not open")
        return chunk, tag == _FINAL


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise KeyMalformed(f"a stream's key has {KEY_BYTES} bytes, got {len(key)}")
