"""Circles' statements with their secrets, farewells, and the class keys that follow from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import select

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import ClassKeyRow, LeaveRow, StatementRow

_STATEMENT = Shape(StatementRow, schema.statements)
_LEAVE = Shape(LeaveRow, schema.leaves)
_KEY = Shape(ClassKeyRow, schema.class_keys)
_statement, _leave, _key = schema.statements.c, schema.leaves.c, schema.class_keys.c


class Statements(Repository):
    """Statements by id; parents come before children in every list."""

    __slots__ = ()

    async def put(self, row: StatementRow) -> None:
        await self._put(_STATEMENT, row)

    async def put_content(self, row: StatementRow) -> None:
        """Insert; of a known statement keep the secrets, the first arrival, and content that the new row lacks."""
        held = await self.get(row.statement_id)
        if held is not None:
            row = replace(
                row,
                content=row.content or held.content,
                epoch_key=held.epoch_key,
                carry_secret=held.carry_secret,
                received_at=held.received_at,
            )
        await self._put(_STATEMENT, row)

    async def get(self, statement_id: bytes) -> StatementRow | None:
        return await self._row(_STATEMENT, _statement.statement_id == statement_id)

    async def content(self, statement_id: bytes) -> bytes:
        """The signed object, empty where it is not held."""
        found = await self._value(select(_statement.content).where(_statement.statement_id == statement_id))
        return found or b""

    async def of(self, circle_id: bytes) -> list[StatementRow]:
        chosen = _STATEMENT.select().where(_statement.circle_id == circle_id)
        return await self._rows(_STATEMENT, chosen.order_by(_statement.number, _statement.statement_id))

    async def all(self) -> list[StatementRow]:
        return await self._rows(_STATEMENT, _STATEMENT.select().order_by(_statement.number, _statement.statement_id))

    async def set(self, statement_id: bytes, **columns: Any) -> None:
        await self._set(schema.statements, columns, _statement.statement_id == statement_id)

    async def put_secrets(self, circle_id: bytes, statement_id: bytes, epoch_key: bytes, carry_secret: bytes) -> None:
        """Keep the secrets of a statement that is held."""
        where = (_statement.circle_id == circle_id, _statement.statement_id == statement_id)
        await self._set(schema.statements, {"epoch_key": epoch_key, "carry_secret": carry_secret}, *where)

    async def secrets(self, statement_id: bytes) -> tuple[bytes, bytes] | None:
        """Epoch key and carry secret, while both are held."""
        row = await self.get(statement_id)
        return (row.epoch_key, row.carry_secret) if row and row.epoch_key and row.carry_secret else None

    async def erase_epoch_key(self, statement_id: bytes) -> None:
        """Forget it; `Store.erase_checkpoint` afterwards clears the disk."""
        await self.set(statement_id, epoch_key=None)

    async def put_leave(
        self, circle_id: bytes, node_id: bytes, statement_id: bytes, content: bytes, received_at: int
    ) -> None:
        await self._put(_LEAVE, LeaveRow(circle_id, node_id, statement_id, content, received_at))

    async def leaves(self, circle_id: bytes) -> list[LeaveRow]:
        chosen = _LEAVE.select().where(_leave.circle_id == circle_id)
        return await self._rows(_LEAVE, chosen.order_by(_leave.received_at, _leave.node_id))


class Keys(Repository):
    """Class keys, until their day."""

    __slots__ = ()

    async def put(self, row: ClassKeyRow) -> None:
        await self._put(_KEY, row)

    async def all(self) -> list[ClassKeyRow]:
        return await self._rows(_KEY, _KEY.select().order_by(_key.statement_id, _key.cls))

    async def set_destroy(self, statement_id: bytes, cls: int, destroy_at: int) -> None:
        """Set the day a key dies. A day once set is never put off."""
        where = (_key.statement_id == statement_id, _key.cls == cls)
        await self._set(schema.class_keys, {"destroy_at": destroy_at}, *where, _key.destroy_at.is_(None))

    async def destroy_due(self, now: int) -> int:
        """Delete keys whose day has come; returns how many.

        SQLite overwrites the freed bytes (`secure_delete`); `Store.erase_checkpoint` afterwards empties the write-ahead
        log that still holds them.
        """
        return await self._delete(schema.class_keys, _key.destroy_at <= now)
