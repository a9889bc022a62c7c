"""Cases, whole, and what was sent of them. None of it leaves the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import CaseRow, SentRow

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from almenara.node.clock import Clock

_CASE = Shape(CaseRow, schema.cases)
_SENT = Shape(SentRow, schema.sent)
_case, _sent = schema.cases.c, schema.sent.c


class Cases(Repository):
    """Cases by id; `sent` has one row for each circle that was told."""

    __slots__ = ("_clock",)

    def __init__(self, connection: AsyncConnection, clock: Clock) -> None:
        super().__init__(connection)
        self._clock = clock

    async def put(self, row: CaseRow) -> None:
        await self._put(_CASE, row)

    async def get(self, case_id: bytes) -> CaseRow | None:
        return await self._row(_CASE, _case.case_id == case_id)

    async def all(self, state: str | None = None) -> list[CaseRow]:
        """Of one state or of every state, oldest first."""
        chosen = _CASE.select() if state is None else _CASE.select().where(_case.state == state)
        return await self._rows(_CASE, chosen.order_by(_case.created_at, _case.case_id))

    async def set_state(self, case_id: bytes, state: str) -> None:
        """Change the state, now."""
        await self._set(schema.cases, {"state": state, "updated_at": self._clock()}, _case.case_id == case_id)

    async def sent(self, case_id: bytes) -> list[SentRow]:
        return await self._rows(_SENT, _SENT.select().where(_sent.case_id == case_id).order_by(_sent.sent_at))

    async def put_sent(self, row: SentRow) -> None:
        """Record that a case went to a circle. Raises `sqlalchemy.exc.IntegrityError` if it did before."""
        await self._connection.execute(schema.sent.insert(), [_SENT.values(row)])

    async def sent_all(self) -> list[SentRow]:
        return await self._rows(_SENT, _SENT.select().order_by(_sent.sent_at))
