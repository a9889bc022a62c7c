"""Random bytes: the only source of chance in this package."""

from __future__ import annotations

from nacl.bindings import randombytes


def random_bytes(length: int) -> bytes:
    """Draw `length` bytes from the operating system's generator, by way of libsodium: fit for keys and nonces."""
    return randombytes(length)
