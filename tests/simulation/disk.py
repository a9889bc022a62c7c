"""The disk of one node: a real database in a file, driven from the loop's own thread, which fails when it is told to.

Production runs each connection in a thread of its own (aiosqlite), and threads finish in an order that no seed decides.
So the same driver and the same SQLAlchemy dialect stand over a connection that works at once; how long a commit takes
is drawn from the seed instead. The file is not encrypted and not synced: what SQLCipher and fsync promise is proven
with real processes and a real kernel (`tests/integration/test_crash.py`); here only the order of events matters.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiosqlite
import sqlcipher3
from sqlalchemy import AsyncAdaptedQueuePool, event
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import LRUCache

from almenara.node.storage import migrate
from almenara.node.storage.engine import Store
from almenara.node.storage.sqlcipher import READERS, _Dbapi
from tests.simulation.clock import NOW, VirtualLoop
from tests.simulation.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from almenara.node.clock import Clock

COMMIT_SECONDS = (0.0005, 0.02)  # from a good SSD to a busy memory card
YIELD = 0.02  # how often a statement lets everybody else go first
_PRAGMAS = ("journal_mode = WAL", "synchronous = OFF", "foreign_keys = ON", "temp_store = MEMORY", "busy_timeout = 0")
_READING = ("SELECT", "PRAGMA", "BEGIN", "WITH")
_PARTS = ("", "-wal", "-shm")
Fault = sqlcipher3.dbapi2.OperationalError


_COMPILED: Any = LRUCache(2_000)


class _OneDialect(SQLiteDialect_aiosqlite):
    """Equal to every other, so that all nodes of all runs share the statements one has compiled: half the time."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _OneDialect)

    def __hash__(self) -> int:
        return 1


class Disk:
    """`strike` and `full` are the faults; `on_loss` is told when power fails in the middle of a write."""

    def __init__(self, path: Path, rng: random.Random, trace: Trace, on_loss: Callable[[], None]) -> None:
        self.path, self.name = path, path.parent.name
        self.rng, self.trace, self._on_loss = rng, trace, on_loss
        self.full = False
        self.dead = True
        self._left: int | None = None
        self._open: list[Any] = []

    # what a world does to it

    def strike(self, after: int) -> None:
        """Power fails after so many more points of writing: each statement, before each commit, after each commit."""
        self._left = after

    def heal(self) -> None:
        """No fault is left that was to come."""
        self.full, self._left = False, None

    def die(self) -> None:
        """Nothing is written from now on; a transaction under way never happened."""
        self.dead, self._left = True, None
        for raw in self._open:
            raw.close()
        self._open.clear()

    def copy_to(self, folder: Path) -> None:
        """Take a snapshot, as a backup of the machine would."""
        folder.mkdir(exist_ok=True)
        for part in _PARTS[:2]:
            here = self.path.with_name(self.path.name + part)
            if here.exists():
                shutil.copyfile(here, folder / here.name)

    def restore(self, folder: Path) -> None:
        """Put a snapshot back; the disk must be dead."""
        for part in _PARTS:
            self.path.with_name(self.path.name + part).unlink(missing_ok=True)
        for kept in sorted(folder.iterdir()):
            shutil.copyfile(kept, self.path.with_name(kept.name))

    def peek(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask what is committed, past the node."""
        with closing(sqlcipher3.dbapi2.connect(str(self.path))) as raw:
            return list(raw.execute(statement, values))

    async def open(self, clock: Clock) -> Store:
        """As `open_store`."""
        self.dead = False
        store = Store(self._engine(1, "BEGIN IMMEDIATE"), self._engine(READERS, "BEGIN"), clock)
        async with store._writer.connect() as connection, connection.begin():
            await migrate.to_head(connection)
        return store

    def _engine(self, connections: int, begin: str) -> AsyncEngine:
        async def create() -> Connection:
            return Connection(self)

        engine = create_async_engine(
            "sqlite+aiosqlite://",
            module=_Dbapi(aiosqlite, sqlcipher3.dbapi2),
            async_creator=create,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
        )
        engine.sync_engine.dialect.__class__ = _OneDialect
        engine.sync_engine._compiled_cache = _COMPILED

        @event.listens_for(engine.sync_engine, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql(begin)

        return engine

    # what its connections ask

    def connect(self) -> Any:
        """A connection that `die` closes."""
        self.check()
        raw = sqlcipher3.dbapi2.connect(str(self.path), isolation_level=None)
        for pragma in _PRAGMAS:
            raw.execute(f"PRAGMA {pragma}")
        self._open.append(raw)
        return raw

    def forget(self, raw: Any) -> None:
        """One that was closed in order."""
        if raw in self._open:
            self._open.remove(raw)
            raw.close()

    def check(self) -> None:
        """Raise Fault while there is no power."""
        if self.dead:
            raise Fault("disk I/O error")

    def point(self) -> None:
        """Something is about to be written, or just was."""
        self.check()
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self.trace.note("power-loss", self.name)
                self.die()
                self._on_loss()
                raise Fault("disk I/O error")

    async def commit(self, raw: Any) -> None:
        """Durable after this returns, or not at all, or durable and nobody knows."""
        self.check()  # first: what a crash leaves running must draw nothing from the seed
        await asyncio.sleep(self.rng.uniform(*COMMIT_SECONDS))
        self.check()
        if not raw.in_transaction:
            return
        writing = raw.total_changes
        self.point()
        if self.full:
            raise Fault("database or disk is full")
        raw.commit()
        self.trace.note("commit", f"{self.name} {writing}")
        self.point()


@cache
def empty_database() -> bytes:
    """What every node begins with; migrations are slow, and the same for all."""
    loop = VirtualLoop()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.db"
        disk = Disk(path, random.Random(0), Trace(loop), lambda: None)
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(_made(disk))
            return path.read_bytes()
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _made(disk: Disk) -> None:
    await (await disk.open(lambda: NOW)).close()


class Connection:
    """What SQLAlchemy's dialect uses of an aiosqlite connection."""

    def __init__(self, disk: Disk) -> None:
        self.disk, self._connection = disk, disk.connect()
        self.isolation_level = None

    def cursor(self) -> Cursor:
        """A new cursor."""
        self.disk.check()
        return Cursor(self.disk, self._connection.cursor())

    async def execute(self, statement: str) -> Cursor:
        """A cursor that has executed this."""
        cursor = self.cursor()
        await cursor.execute(statement)
        return cursor

    async def create_function(self, *arguments: Any, **named: Any) -> None:
        """As sqlite3."""
        self._connection.create_function(*arguments, **named)

    async def commit(self) -> None:
        """End a transaction; `Disk.commit` decides how."""
        await self.disk.commit(self._connection)

    async def rollback(self) -> None:
        """Works on a dead disk too: there is nothing to undo."""
        if not self.disk.dead:
            self._connection.rollback()

    async def close(self) -> None:
        """Give the file back."""
        self.disk.forget(self._connection)

    def stop(self) -> None:
        """The same, at once."""
        self.disk.forget(self._connection)


class Cursor:
    """What SQLAlchemy's dialect uses of an aiosqlite cursor."""

    def __init__(self, disk: Disk, raw: Any) -> None:
        self._disk, self._raw = disk, raw

    async def __aenter__(self) -> Self:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    async def execute(self, statement: str, parameters: Any = ()) -> Self:
        """One statement, now."""
        await self._before(statement)
        self._raw.execute(statement, parameters)
        return self

    async def executemany(self, statement: str, rows: Any) -> Self:
        """The same for many rows."""
        await self._before(statement)
        self._raw.executemany(statement, rows)
        return self

    async def _before(self, statement: str) -> None:
        self._disk.check()
        if self._disk.rng.random() < YIELD:
            await asyncio.sleep(0)
        if statement.lstrip().startswith(_READING):
            self._disk.check()
        else:
            self._disk.point()

    async def fetchone(self) -> Any:
        """The next row."""
        self._disk.check()
        return self._raw.fetchone()

    async def fetchall(self) -> list[Any]:
        """The other rows."""
        self._disk.check()
        return list(self._raw.fetchall())

    async def close(self) -> None:
        """A dead disk has closed it."""
        if not self._disk.dead:
            self._raw.close()
