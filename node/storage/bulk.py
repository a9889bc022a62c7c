"""Many rows in one statement, for the path that every received alert takes.

SQLAlchemy writes the statement; the values go to the driver as they are. Its own handling of each row's parameters
took as much time as SQLCipher itself (measured).
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from almenara.node.storage.sealed import binder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from sqlalchemy import Column, Dialect
    from sqlalchemy.ext.asyncio import AsyncConnection

    from almenara.node.storage.repository import Shape

R = TypeVar("R")


class BulkInsert(Generic[R]):
    """An INSERT that skips rows whose key is taken."""

    def __init__(self, shape: Shape[R]) -> None:
        # Core writes columns in the order of the table, whatever the order of the names.
        self._columns = [
            column for column in shape.table.c if column.name in shape.fields and column.name != "position"
        ]
        self._numbered = "position" in shape.table.c
        self._get = attrgetter(*[shape.fields[column.name] for column in self._columns])
        self._prepared: WeakKeyDictionary[Dialect, _Prepared] = WeakKeyDictionary()

    async def run(self, connection: AsyncConnection, rows: Iterable[R]) -> None:
        """Insert rows."""
        await self._run(connection, [self._get(row) for row in rows])

    async def run_numbered(
        self, connection: AsyncConnection, rows: Iterable[R], positions: Iterable[int | None]
    ) -> None:
        """Insert those rows that are given a position, the first column of their table."""
        pairs = zip(rows, positions, strict=True)
        await self._run(connection, [(at, *self._get(row)) for row, at in pairs if at is not None])

    async def _run(self, connection: AsyncConnection, values: list[tuple[Any, ...]]) -> None:
        if not values:
            return
        dialect = connection.dialect
        if dialect not in self._prepared:
            first = [self._columns[0].table.c.position] if self._numbered else []
            self._prepared[dialect] = _Prepared(dialect, [*first, *self._columns])
        prepared = self._prepared[dialect]
        await connection.exec_driver_sql(prepared.sql, prepared.bind(values))


class _Prepared:
    """One engine's statement, and what must be done to values before its driver takes them."""

    def __init__(self, dialect: Dialect, columns: Sequence[Column[Any]]) -> None:
        insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        statement = insert(columns[0].table).on_conflict_do_nothing()
        self.sql = str(statement.compile(dialect=dialect, column_keys=[column.name for column in columns]))
        binders = [(at, binder(column.type, dialect)) for at, column in enumerate(columns)]
        self._binders = [(at, bind) for at, bind in binders if bind is not None]

    def bind(self, values: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The values, sealed where the columns are."""
        return [_bound(row, self._binders) for row in values] if self._binders else values


def _bound(row: tuple[Any, ...], binders: Sequence[tuple[int, Callable[[Any], Any]]]) -> tuple[Any, ...]:
    bound = list(row)
    for at, bind in binders:
        bound[at] = bind(bound[at])
    return tuple(bound)


class BulkSelect:
    """A SELECT of plain columns for many values of one column."""

    def __init__(self, key: Column[bytes], *columns: Column[Any]) -> None:
        self._key, self._statement = key, select(*columns)
        self._heads: WeakKeyDictionary[Dialect, str] = WeakKeyDictionary()

    async def run(self, connection: AsyncConnection, values: Collection[bytes]) -> Sequence[Any]:
        """The rows that have one of the values."""
        if not values:
            return []
        dialect = connection.dialect
        if dialect not in self._heads:
            self._heads[dialect] = f"{self._statement.compile(dialect=dialect)} WHERE {self._key.name}"
        if dialect.name == "postgresql":
            found = await connection.exec_driver_sql(f"{self._heads[dialect]} = ANY($1::BYTEA[])", (list(values),))
        else:
            places = ", ".join("?" * len(values))
            found = await connection.exec_driver_sql(f"{self._heads[dialect]} IN ({places})", tuple(values))
        return found.all()
