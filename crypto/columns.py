"""Columns that hold cases, bodies, people and keys, sealed where the database itself does not encrypt (SCHEMAS §5)."""

from __future__ import annotations

from almenara.crypto import box
from almenara.crypto.errors import KeyMalformed
from almenara.crypto.labels import Label
from almenara.crypto.random import random_bytes


class ColumnSealer:
    """Seals the values of a database's columns under one 32-byte key.

    A value opens only in the column it was sealed for. Moving a value between rows of one column, or bringing an old
    value back, is not noticed: whoever may write to the database can do that with whole rows as well.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != box.KEY_BYTES:
            raise KeyMalformed(f"a column key has {box.KEY_BYTES} bytes, got {len(key)}")
        self._key = key

    def seal(self, column: str, plaintext: bytes) -> bytes:
        """Return the value for storage: 40 bytes longer, different each time. `column` is "table.column"."""
        return box.seal(self._key, random_bytes(box.NONCE_BYTES), plaintext, Label.COLUMN + column.encode())

    def open(self, column: str, sealed: bytes) -> bytes:
        """Return the value again. Raises OpenFailed for another key, another column, or damage."""
        return box.open(self._key, sealed, Label.COLUMN + column.encode())
