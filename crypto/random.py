"""Random bytes of the operating system: the only source of chance in this package."""

from __future__ import annotations

import os


def random_bytes(length: int) -> bytes:
    """`length` bytes from the kernel's generator, fit for keys and nonces."""
    return os.urandom(length)
