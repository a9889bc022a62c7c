"""Who this node is: root and operational keys, database keys and TLS password, in one vault file (SCHEMAS §5)."""

from __future__ import annotations

from dataclasses import dataclass

import msgpack

from almenara.crypto.errors import VaultDamaged
from almenara.crypto.identity import NodeId, RootKeys
from almenara.crypto.random import random_bytes
from almenara.crypto.signing import SigningKey

_VERSION = 1
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The vault's content. `database_key` opens SQLCipher, `column_key` seals columns on PostgreSQL."""

    root: RootKeys
    operational: SigningKey
    database_key: bytes
    column_key: bytes
    tls_password: bytes

    @property
    def node_id(self) -> NodeId:
        """Our name to everybody else."""
        return self.root.node_id

    @classmethod
    def generate(cls) -> Identity:
        """A new organisation."""
        return cls(
            root=RootKeys.generate(),
            operational=SigningKey.generate(),
            database_key=random_bytes(_SECRET_BYTES),
            column_key=random_bytes(_SECRET_BYTES),
            tls_password=random_bytes(_SECRET_BYTES).hex().encode(),
        )

    def encode(self) -> bytes:
        """The plaintext that the vault file seals."""
        ed25519, mldsa65 = self.root.seeds
        fields = [
            _VERSION,
            ed25519,
            mldsa65,
            self.operational.seed,
            self.database_key,
            self.column_key,
            self.tls_password,
        ]
        return bytes(msgpack.packb(fields))

    @classmethod
    def decode(cls, content: bytes) -> Identity:
        """Raises `VaultDamaged` for content that this version did not write."""
        fields = msgpack.unpackb(content)
        if not isinstance(fields, list) or len(fields) != 7 or fields[0] != _VERSION:
            raise VaultDamaged
        _, ed25519, mldsa65, operational, database_key, column_key, tls_password = fields
        return cls(
            root=RootKeys.from_seeds(ed25519, mldsa65),
            operational=SigningKey.from_seed(operational),
            database_key=database_key,
            column_key=column_key,
            tls_password=tls_password,
        )
