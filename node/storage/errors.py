"""Why a store cannot be opened or written. None of these carries a key or a value."""

from __future__ import annotations


class StorageError(Exception):
    """Base: something is wrong with the place where the node keeps things."""


class DatabaseKeyWrong(StorageError):  # noqa: N818 - the condition, as in `WrongPassphrase`
    """The file is no database, or not one under this key."""


class SchemaTooNew(StorageError):  # noqa: N818 - the condition
    """A newer program wrote this database. Use that program; going back would lose what only it understands."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(f"the database has schema {found}, this program knows up to {known}")
        self.found, self.known = found, known


class EraseBlocked(StorageError):  # noqa: N818 - the condition
    """Readers kept the write-ahead log in use, so what was deleted may still lie in it. Try again."""
