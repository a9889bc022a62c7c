"""What all repositories share: rows to columns and back, over one connection inside one transaction."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Executable, Select, Table, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

R = TypeVar("R")


class Shape(Generic[R]):
    """How a row type lies in its table: fields are the columns of the same name.

    `copies` names columns that hold a second form of a field, such as the keyed hash by which it is found.
    """

    def __init__(self, row_type: type[R], table: Table, **copies: str) -> None:
        names = [field.name for field in fields(row_type)]  # type: ignore[arg-type] # every row type is a dataclass
        self.row_type, self.table = row_type, table
        self.fields = {name: name for name in names} | copies
        self._get = attrgetter(*self.fields.values())
        self._select = select(*[table.c[name] for name in names])

    def values(self, row: R) -> dict[str, Any]:
        """Columns of a row, for writing."""
        return dict(zip(self.fields, self._get(row), strict=True))

    def select(self) -> Select[Any]:
        """Every column of the row type, in its order."""
        return self._select


class Repository:
    """Base: the one connection a transaction has."""

    __slots__ = ("_connection",)

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def _rows(self, shape: Shape[R], statement: Select[Any] | None = None) -> list[R]:
        found = await self._connection.execute(shape.select() if statement is None else statement)
        return [shape.row_type(*row) for row in found]

    async def _row(self, shape: Shape[R], *where: ColumnElement[bool]) -> R | None:
        found = (await self._connection.execute(shape.select().where(*where))).first()
        return None if found is None else shape.row_type(*found)

    async def _values(self, statement: Executable) -> list[Any]:
        return list((await self._connection.execute(statement)).scalars())

    async def _value(self, statement: Select[Any]) -> Any:
        return (await self._connection.execute(statement)).scalar()

    async def _put(self, shape: Shape[R], row: R) -> None:
        """Insert, or replace the row with the same primary key."""
        await self._connection.execute(_upsert(shape.table, self._connection.dialect.name), [shape.values(row)])

    async def _add(self, shape: Shape[R], rows: Sequence[R]) -> None:
        """Insert in one batch; rows whose key is taken change nothing."""
        if rows:
            statement = _insert_new(shape.table, self._connection.dialect.name)
            await self._connection.execute(statement, [shape.values(row) for row in rows])

    async def _set(self, table: Table, columns: dict[str, Any], *where: ColumnElement[bool]) -> int:
        return await self._changed(update(table).where(*where).values(columns))

    async def _delete(self, table: Table, *where: ColumnElement[bool]) -> int:
        return await self._changed(delete(table).where(*where))

    async def _changed(self, statement: Executable) -> int:
        return (await self._connection.execute(statement)).rowcount


@cache
def _insert_new(table: Table, dialect: str) -> Executable:
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


@cache
def _upsert(table: Table, dialect: str) -> Executable:
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    key = [column.name for column in table.primary_key]
    new = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=key, set_=new)
