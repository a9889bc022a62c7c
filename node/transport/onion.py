"""Onion addresses of version 3: told from other names, and a slip of the pen in one found (Tor's rend-spec-v3, §6)."""

from __future__ import annotations

import base64
import binascii
from hashlib import sha3_256

SUFFIX = ".onion"
_KEY_BYTES, _CHECK_BYTES, _VERSION = 32, 2, b"\x03"


def is_onion(host: str) -> bool:
    """Whether only Tor can find the host; asking any other resolver for it would tell whom we look for (RFC 7686)."""
    return host.endswith(SUFFIX)


def is_sound(host: str) -> bool:
    """Whether the label before `.onion` is a public key with its right check sum and version."""
    label = host.removesuffix(SUFFIX).rpartition(".")[2]
    try:
        raw = base64.b32decode(label.upper())
    except (binascii.Error, ValueError):
        return False
    key, check, version = raw[:_KEY_BYTES], raw[_KEY_BYTES:-1], raw[-1:]
    right = sha3_256(b".onion checksum" + key + version).digest()[:_CHECK_BYTES]
    return len(key) == _KEY_BYTES and version == _VERSION and check == right
