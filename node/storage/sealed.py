"""Column types that seal a value where the database itself does not encrypt (SCHEMAS §5).

SQLCipher encrypts every page, so there values are stored as they are. On PostgreSQL each value is sealed under the
column key from the vault, and values that must be found again (`Blind`) are stored as a keyed hash.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect, LargeBinary, SmallInteger
from sqlalchemy.types import TypeDecorator, TypeEngine

from almenara.crypto.columns import ColumnSealer
from almenara.crypto.hashing import derive, mac
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_BLIND = b"blind"  # tells the key of keyed hashes from the key that seals


class _Keys:
    """What one database's column key gives: a sealer, and a key for hashes."""

    def __init__(self, column_key: bytes) -> None:
        self.sealer = ColumnSealer(column_key)
        self.blind = derive(Label.COLUMN_KEY, column_key, _BLIND)


_keys: WeakKeyDictionary[Dialect, _Keys] = WeakKeyDictionary()


def use_column_key(dialect: Dialect, column_key: bytes) -> None:
    """Let the engine that owns this dialect seal and open columns; nothing else of an engine is known to a type."""
    _keys[dialect] = _Keys(column_key)


class Sealed(TypeDecorator[T], Generic[T]):
    """Base: a value as bytes, sealed for its column (`table.column`) where a column key is in use."""

    impl = LargeBinary
    cache_ok = True
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]

    def __init__(self, column: str) -> None:
        super().__init__()
        self.column = column

    def process_bind_param(self, value: T | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        keys = _keys.get(dialect)
        plain = type(self).encode(value)
        return keys.sealer.seal(self.column, plain) if keys else plain

    def process_result_value(self, value: Any | None, dialect: Dialect) -> T | None:
        if value is None:
            return None
        keys = _keys.get(dialect)
        return type(self).decode(keys.sealer.open(self.column, value) if keys else value)


class SealedBytes(Sealed[bytes]):
    """Bytes."""

    cache_ok = True
    encode = staticmethod(bytes)
    decode = staticmethod(bytes)


class SealedText(Sealed[str]):
    """Text."""

    cache_ok = True
    encode = staticmethod(str.encode)
    decode = staticmethod(bytes.decode)


def _to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class SealedJson(Sealed[Any]):
    """Anything JSON can hold."""

    cache_ok = True
    encode = staticmethod(_to_json)
    decode = staticmethod(json.loads)


class SealedTexts(Sealed[tuple[str, ...]]):
    """A few texts."""

    cache_ok = True
    encode = staticmethod(_to_json)
    decode = staticmethod(lambda value: tuple(json.loads(value)))


class Blind(TypeDecorator[Any]):
    """Bytes or text that only WHERE and UNIQUE need; never read back, since PostgreSQL holds a keyed hash of it."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, column: str) -> None:
        super().__init__()
        self.column = column

    def process_bind_param(self, value: bytes | str | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        keys = _keys.get(dialect)
        plain = value.encode() if isinstance(value, str) else value
        return mac(Label.COLUMN, keys.blind, self.column.encode(), b"\0", plain) if keys else plain


class Flag(TypeDecorator[bool]):
    """A flag as 1 or 0 (SCHEMAS §1)."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else int(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> bool | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else bool(value)


def binder(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """What must be done to a value of a type before the driver takes it; None where nothing must."""
    if not isinstance(kind, TypeDecorator) or (isinstance(kind, SealedBytes | Blind) and dialect not in _keys):
        return None
    return partial(kind.process_bind_param, dialect=dialect)
