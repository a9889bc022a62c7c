"""Passphrases and passwords: one written form for what people type, and Argon2id (RFC 9106) over it.

The passphrase is the node's and opens the vault; passwords are people's and open the panel. Text is normalised to NFKC
first: keyboards and phones write the same letters in different code points, and nobody should be locked out by that.
"""

from __future__ import annotations

import re
import unicodedata

from nacl import bindings
from nacl.exceptions import CryptoError as SodiumError

from almenara.crypto.errors import WrongPassword

PASSWORD_MEMORY_BYTES = 64 * 1024 * 1024  # several people may sign in at once on a small machine
PASSWORD_PASSES = 3
_COSTS = f"m={PASSWORD_MEMORY_BYTES // 1024},t={PASSWORD_PASSES},p=1"
_OUR_HASH = re.compile(rf"\$argon2id\$v=19\${_COSTS}\$[A-Za-z0-9+/]{{22}}\$[A-Za-z0-9+/]{{43}}")


def hash_password(password: str) -> str:
    """Return what the database keeps: an Argon2id string with its own salt and costs, different each time."""
    hashed = bindings.crypto_pwhash_str_alg(
        text_bytes(password), PASSWORD_PASSES, PASSWORD_MEMORY_BYTES, bindings.crypto_pwhash_ALG_ARGON2ID13
    )
    return hashed.rstrip(b"\0").decode("ascii")


def check_password(hashed: str, password: str) -> None:
    """Compare a password with what `hash_password` made.

    Raises WrongPassword, also for a hash that is not ours: one with other costs could take the machine down.
    """
    if not _OUR_HASH.fullmatch(hashed):
        raise WrongPassword("the stored hash is not one of ours")
    try:
        bindings.crypto_pwhash_str_verify(hashed.encode(), text_bytes(password))
    except SodiumError:
        raise WrongPassword("the password does not match") from None


def stretch(passphrase: str, salt: bytes, *, memory_bytes: int, passes: int) -> bytes:
    """Derive 32 bytes by Argon2id (version 1.3, one lane) over the normalised text; `salt` has 16 bytes.

    Raises MemoryError where the machine cannot give that much memory: the passphrase may still be the right one.
    """
    try:
        return bindings.crypto_pwhash_alg(
            32, text_bytes(passphrase), salt, passes, memory_bytes, bindings.crypto_pwhash_ALG_ARGON2ID13
        )
    except SodiumError:
        raise MemoryError(f"Argon2id needs {memory_bytes // 2**20} MiB of memory") from None


def text_bytes(text: str) -> bytes:
    """Normalise to NFKC, then encode as UTF-8.

    A lone surrogate, which no keyboard writes, keeps bytes of its own instead of raising.
    """
    return unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")
