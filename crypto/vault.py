"""The vault: one file with everything secret a node keeps, under a passphrase (DESIGN §3, SCHEMAS §5).

    magic 8 | version 1 | passes 1 | memory 4 (KiB) | salt 16        the header
    nonce 24 ‖ vault key 32 ‖ tag 16                                 the vault key, sealed under the key-encryption key
    nonce 24 ‖ content ‖ tag 16                                      the content, sealed under the vault key
    sum 32                                                           SHA-256 over all of the above

Integers are big-endian. Key-encryption key = HKDF(Argon2id(passphrase, salt) ‖ machine secret, header). The associated
data of each part is everything before it. The sum tells an accident (a torn write, a bad disk) from a wrong passphrase;
against somebody who rewrites the file the seals defend: such a file can be useless, but never opens to other content.
"""

from __future__ import annotations

import struct

from almenara.crypto import box, hashing
from almenara.crypto.errors import OpenFailed, VaultDamaged, WrongPassphrase
from almenara.crypto.labels import Label
from almenara.crypto.passwords import stretch
from almenara.crypto.random import random_bytes

MAGIC = b"ALMVAULT"
VERSION = 1
SALT_BYTES = 16

PASSES = 3
MEMORY_KIB = 256 * 1024
# What a header may ask for. Below ours, a rewritten file would make the passphrase cheap to guess at the next save;
# above, opening it would take the machine down.
MAX_PASSES = 16
MAX_MEMORY_KIB = 2 * 1024 * 1024

_HEADER = struct.Struct(f">{len(MAGIC)}sBBI{SALT_BYTES}s")
_KEY_END = _HEADER.size + box.KEY_BYTES + box.OVERHEAD
_SMALLEST = _KEY_END + box.OVERHEAD + hashing.DIGEST_BYTES


def seal_vault(content: bytes, passphrase: str, *, machine_secret: bytes = b"") -> bytes:
    """Make a vault file over `content`, with a fresh salt and vault key each time.

    `machine_secret` is what this machine keeps elsewhere (keyring, TPM): without it, file and passphrase open nothing.
    """
    header = _HEADER.pack(MAGIC, VERSION, PASSES, MEMORY_KIB, random_bytes(SALT_BYTES))
    vault_key = random_bytes(box.KEY_BYTES)
    kek = _key_encryption_key(header, passphrase, machine_secret)
    head = header + box.seal(kek, random_bytes(box.NONCE_BYTES), vault_key, Label.VAULT + header)
    whole = head + box.seal(vault_key, random_bytes(box.NONCE_BYTES), content, Label.VAULT + head)
    return whole + hashing.digest(Label.VAULT_SUM, whole)


def open_vault(data: bytes, passphrase: str, *, machine_secret: bytes = b"") -> bytes:
    """Return the content of a vault file.

    Raises VaultDamaged (where possible before any costly work), WrongPassphrase, or MemoryError as `stretch` does.
    """
    _check_whole(data)
    header, head = data[: _HEADER.size], data[:_KEY_END]
    kek = _key_encryption_key(header, passphrase, machine_secret)
    try:
        vault_key = box.open(kek, head[_HEADER.size :], Label.VAULT + header)
    except OpenFailed:
        raise WrongPassphrase("the passphrase does not open this vault") from None
    try:
        return box.open(vault_key, data[_KEY_END : -hashing.DIGEST_BYTES], Label.VAULT + head)
    except OpenFailed:
        raise VaultDamaged("the vault's content does not belong to its key") from None


def _check_whole(data: bytes) -> None:
    """Length, sum, magic, version and costs. Raises VaultDamaged."""
    if len(data) < _SMALLEST:
        raise VaultDamaged(f"a vault has at least {_SMALLEST} bytes, got {len(data)}")
    whole, given_sum = data[: -hashing.DIGEST_BYTES], data[-hashing.DIGEST_BYTES :]
    if hashing.digest(Label.VAULT_SUM, whole) != given_sum:
        raise VaultDamaged("the vault's checksum does not match: the file was cut short or changed")
    magic, version, passes, memory_kib, _ = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise VaultDamaged(f"not a vault of version {VERSION}")
    if not PASSES <= passes <= MAX_PASSES or not MEMORY_KIB <= memory_kib <= MAX_MEMORY_KIB:
        raise VaultDamaged(f"the vault asks for {passes} passes over {memory_kib} KiB, outside what is accepted")


def _key_encryption_key(header: bytes, passphrase: str, machine_secret: bytes) -> bytes:
    _, _, passes, memory_kib, salt = _HEADER.unpack(header)
    stretched = stretch(passphrase, salt, memory_bytes=memory_kib * 1024, passes=passes)
    return hashing.derive(Label.VAULT_KEY, stretched + machine_secret, header)
