"""The node's database and its transactions: SQLCipher in the node's home, or PostgreSQL for a hub (DESIGN §13)."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from almenara.node.storage import migrate, sqlcipher
from almenara.node.storage.alerts import Alerts
from almenara.node.storage.cards import Cards, Prekeys
from almenara.node.storage.carrying import Carrying
from almenara.node.storage.cases import Cases
from almenara.node.storage.chains import Chains
from almenara.node.storage.circles import Circles
from almenara.node.storage.deliveries import Deliveries
from almenara.node.storage.errors import EraseBlocked
from almenara.node.storage.forks import Forks
from almenara.node.storage.gaps import Gaps
from almenara.node.storage.log import Log
from almenara.node.storage.meta import Meta
from almenara.node.storage.peers import Peers
from almenara.node.storage.people import People
from almenara.node.storage.receipts import Receipts
from almenara.node.storage.records import Audit, Quarantine
from almenara.node.storage.sealed import use_column_key
from almenara.node.storage.statements import Keys, Statements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from almenara.node.clock import Clock

POSTGRES_CONNECTIONS = 5  # one writer and a few readers per worker; a hub runs several workers
# Plans made while a table was still small would be kept, and read it whole when it has grown (measured: 1 ms a row).
_POSTGRES_SETTINGS = {"plan_cache_mode": "force_custom_plan"}
_WRITER_LOCK = 0x616C6D656E617261  # "almenara": the advisory lock that serialises writers of one database
_ERASE_TRIES, _ERASE_WAIT_S = 50, 0.1  # readers of this node end within milliseconds


class Transaction:
    """One transaction: a repository for each noun, all over the same connection."""

    __slots__ = (
        "alerts", "audit", "cards", "carrying", "cases", "chains", "circles", "deliveries", "forks", "gaps",
        "keys", "log", "meta", "peers", "people", "prekeys", "quarantine", "receipts", "statements",
    )  # fmt: skip

    def __init__(self, connection: AsyncConnection, clock: Clock) -> None:
        self.meta = Meta(connection)
        self.peers = Peers(connection)
        self.cards = Cards(connection)
        self.prekeys = Prekeys(connection)
        self.circles = Circles(connection)
        self.statements = Statements(connection)
        self.keys = Keys(connection)
        self.chains = Chains(connection)
        self.gaps = Gaps(connection)
        self.forks = Forks(connection)
        self.receipts = Receipts(connection)
        self.log = Log(connection)
        self.alerts = Alerts(connection)
        self.deliveries = Deliveries(connection)
        self.carrying = Carrying(connection)
        self.cases = Cases(connection, clock)
        self.people = People(connection)
        self.audit = Audit(connection)
        self.quarantine = Quarantine(connection)


class Store:
    """An open database. Writers come one after another, so positions are committed in the order they are given."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine, clock: Clock) -> None:
        self._writer, self._reader, self._clock = writer, reader, clock
        self._lock = asyncio.Lock()

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._writer.dialect.name

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """One transaction that commits on leaving, durably, and rolls back on an exception."""
        async with self._lock, self._writer.connect() as connection, connection.begin():
            if self.dialect == "postgresql":
                await connection.execute(select(func.pg_advisory_xact_lock(_WRITER_LOCK)))
            yield Transaction(connection, self._clock)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """One unchanging view of everything committed so far; writing in it is refused by the database."""
        async with self._reader.connect() as connection, connection.begin():
            yield Transaction(connection, self._clock)

    async def erase_checkpoint(self) -> None:
        """Make what was deleted unreadable on this disk. Raises EraseBlocked while a long read needs the old log.

        `secure_delete` overwrites freed bytes in the database, but they stay in the write-ahead log until it is
        truncated (measured). On PostgreSQL, dead rows stay until vacuumed: there only the seal of the columns protects.
        """
        if self.dialect != "sqlite":
            return
        async with self._lock:
            for _ in range(_ERASE_TRIES):
                if await sqlcipher.truncate_log(self._writer):
                    return
                await asyncio.sleep(_ERASE_WAIT_S)
        raise EraseBlocked

    async def close(self) -> None:
        """Close every connection; nothing may be under way."""
        await self._reader.dispose()
        await self._writer.dispose()


async def open_store(place: str | Path, database_key: bytes, column_key: bytes, *, clock: Clock) -> Store:
    """Open, and bring the schema up to date. `place` is a path for SQLCipher or a postgresql:// URL.

    `database_key` (32 bytes) keys SQLCipher, `column_key` (32 bytes) seals columns on PostgreSQL. Raises
    DatabaseKeyWrong or SchemaTooNew.
    """
    if str(place).startswith("postgresql"):
        store = _on_postgres(str(place), column_key, clock)
    else:
        store = _on_sqlcipher(Path(place), database_key, clock)
    try:
        async with store._writer.connect() as connection, connection.begin():  # noqa: SLF001 - this module's own class
            await migrate.to_head(connection)
    except BaseException:
        await store.close()
        raise
    return store


def _on_sqlcipher(path: Path, key: bytes, clock: Clock) -> Store:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # -wal and -shm take this file's mode
    return Store(sqlcipher.writer(path, key), sqlcipher.reader(path, key), clock)


def _on_postgres(url: str, column_key: bytes, clock: Clock) -> Store:
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        pool_size=POSTGRES_CONNECTIONS,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"server_settings": _POSTGRES_SETTINGS},
    )
    use_column_key(engine.dialect, column_key)
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return Store(engine, reader, clock)
