"""What is written down for people to read later: who did what, and what was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import AuditRow, QuarantineRow

if TYPE_CHECKING:
    from collections.abc import Sequence

_AUDIT = Shape(AuditRow, schema.audit)
_QUARANTINE = Shape(QuarantineRow, schema.quarantine)
_quarantine = schema.quarantine.c

QUARANTINE_ROWS = 10_000
"""Refusals that are kept: enough to see a pattern, and no peer can fill the disk with them."""


class Audit(Repository):
    """Who did what; only ever added to."""

    __slots__ = ()

    async def add(self, at: int, who: str, what: str, ref: str) -> None:
        await self._connection.execute(schema.audit.insert(), [_AUDIT.values(AuditRow(at, who, what, ref))])

    async def recent(self, limit: int) -> list[AuditRow]:
        """Newest first."""
        return await self._rows(_AUDIT, _AUDIT.select().order_by(schema.audit.c.id.desc()).limit(limit))


class Quarantine(Repository):
    """Why envelopes were refused; their bytes are not kept."""

    __slots__ = ()

    async def add(self, rows: Sequence[QuarantineRow]) -> None:
        """Write refusals down, and forget the oldest beyond QUARANTINE_ROWS."""
        if not rows:
            return
        await self._connection.execute(schema.quarantine.insert(), [_QUARANTINE.values(row) for row in rows])
        newest = select(func.max(_quarantine.id)).scalar_subquery()
        await self._delete(schema.quarantine, _quarantine.id <= newest - QUARANTINE_ROWS)

    async def recent(self, limit: int) -> list[QuarantineRow]:
        """Newest first."""
        return await self._rows(_QUARANTINE, _QUARANTINE.select().order_by(_quarantine.id.desc()).limit(limit))

    async def count(self) -> int:
        found: int = await self._value(select(func.count()).select_from(schema.quarantine))
        return found
