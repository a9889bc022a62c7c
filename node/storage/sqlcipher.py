"""Connections to a SQLCipher file: how they are keyed, what they promise on disk, and what they keep in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiosqlite
import sqlcipher3
from sqlalchemy import AsyncAdaptedQueuePool, event
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_dbapi
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from almenara.node.storage.errors import DatabaseKeyWrong

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

KEY_BYTES = 32
BUSY_MS = 5_000  # another connection of this process writes; batches take well under a second
WRITER_CACHE_KIB = 32 * 1024  # holds the two random-order indexes of 100,000 alerts (14 MB); 64 MiB gains nothing
READER_CACHE_KIB = 4 * 1024  # emptied by every commit of the writer, so more would not be used
READERS = 2
LOG_PAGES = 4_000  # 16 MB of write-ahead log between checkpoints; 64 MB gains nothing (measured)

_PRAGMAS = (
    "cipher_hmac_algorithm = HMAC_SHA256",  # part of the file's form; processors compute it, unlike SHA-512 (-10 %)
    "journal_mode = WAL",
    "synchronous = FULL",  # NORMAL loses acknowledged rows at power loss (measured)
    "secure_delete = ON",
    "foreign_keys = ON",
    "temp_store = MEMORY",
    f"busy_timeout = {BUSY_MS}",
    f"wal_autocheckpoint = {LOG_PAGES}",
)


# The driver asks every value that is not an int, float or str how it wants to be bound, and for bytes searches three
# places in vain: 2 us a value, three quarters of an insert. With an adapter it finds the answer, the value itself.
sqlcipher3.dbapi2.register_adapter(bytes, bytes)


class _Dbapi(AsyncAdapt_aiosqlite_dbapi):
    """aiosqlite over sqlcipher3, whose exceptions are its own; SQLAlchemy would not take them for errors otherwise."""

    def _init_dbapi_attributes(self) -> None:
        for name in (
            "DatabaseError", "Error", "IntegrityError", "NotSupportedError", "OperationalError", "ProgrammingError",
            "sqlite_version", "sqlite_version_info", "PARSE_COLNAMES", "PARSE_DECLTYPES", "Binary",
        ):  # fmt: skip
            setattr(self, name, getattr(sqlcipher3.dbapi2, name))


def writer(path: Path, key: bytes) -> AsyncEngine:
    """The one connection that writes; its transactions take the write lock at once."""
    return _engine(path, key, connections=1, begin="BEGIN IMMEDIATE", pragmas=(f"cache_size = -{WRITER_CACHE_KIB}",))


def reader(path: Path, key: bytes) -> AsyncEngine:
    """Connections that only read, each transaction one snapshot."""
    pragmas = (f"cache_size = -{READER_CACHE_KIB}", "query_only = ON")
    return _engine(path, key, connections=READERS, begin="BEGIN", pragmas=pragmas)


async def truncate_log(engine: AsyncEngine) -> bool:
    """Copy the write-ahead log into the database and empty it; False while a reader still needs it."""
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        cursor = await raw.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
        busy, _, _ = await cursor.fetchone()
        await cursor.close()
    return not busy


def _engine(path: Path, key: bytes, *, connections: int, begin: str, pragmas: tuple[str, ...]) -> AsyncEngine:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a database key has {KEY_BYTES} bytes, got {len(key)}")

    async def create() -> aiosqlite.Connection:
        opened = await asyncio.to_thread(_open, path, key, (*_PRAGMAS, *pragmas))
        connection = aiosqlite.Connection(lambda: opened, iter_chunk_size=64)
        connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does for those it opens: a crash must not hang
        return await connection

    engine = create_async_engine(
        "sqlite+aiosqlite://",
        module=_Dbapi(aiosqlite, sqlcipher3.dbapi2),
        async_creator=create,
        poolclass=AsyncAdaptedQueuePool,  # with async_creator, SQLAlchemy would silently pick one shared connection
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _open(path: Path, key: bytes, pragmas: tuple[str, ...]) -> Any:
    # The driver must begin no transactions, SQLAlchemy's event above does; and one thread opens, another one uses.
    connection = sqlcipher3.dbapi2.connect(str(path), isolation_level=None, check_same_thread=False)
    try:
        # Before the key, or a wrong one is reported on standard error.
        connection.execute("PRAGMA cipher_log_level = NONE")
        connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except sqlcipher3.dbapi2.DatabaseError as error:
        connection.close()
        if "not a database" in str(error):
            raise DatabaseKeyWrong from None
        raise
    return connection
